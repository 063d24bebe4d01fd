//! Warm tools: one `ip -batch -` per namespace stays open and answers in about 40 µs what a fresh `ip` answers in 1.7 ms.
//!
//! The protocol (measured on iproute2 6.1, KNOWLEDGE.md): behind the commands that are given together stands a line that no `ip` understands. A
//! line that fails says so on stderr, after what it complains of: `Command failed -:N`, where N counts lines; so the failure of the last line ends
//! the replies. JSON is flushed after every command, so all of stdout is in the pipe by then.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process_group};

use super::entry::Entry;
use super::interrupt::Interrupt;
use super::netns::NetnsFile;
use super::process::{FINISH_GRACE, OUTPUT_MAX_BYTES, Started, clean_env, os_words, set_nonblocking, start};
use crate::patience::scaled;

/// The words of a warm `ip`. A batch line has no flags of its own, so what is said with `-6` needs a process of its own.
const ARGV: [&str; 5] = ["-j", "-d", "-force", "-batch", "-"];
const ARGV_V6: [&str; 6] = ["-6", "-j", "-d", "-force", "-batch", "-"];
/// No object of `ip` begins like this, so the line always fails.
const MARKER: &str = "netwright-end-of-reply";
/// How often a wait looks at the interrupt flag.
const TICK: Duration = Duration::from_millis(50);
/// How much of what was said is kept before it is searched for names, in bytes.
const SAID_MAX_BYTES: usize = 256 << 10;
/// How long a wait does not look at stdout: an answer comes in many small writes, and to wake for each costs more than the answer. One that is
/// larger than the pipe waits that long for a reader.
const STDOUT_LATER: Duration = Duration::from_millis(2);

/// A warm `ip` inside one namespace.
pub(super) struct Warm {
    started: Started,
    stdin: Option<File>,
    stdout: File,
    stderr: File,
    lines: u64,
    /// Names of which the index may be in its cache, and what it said and was told that was not searched for such.
    seen: HashSet<String>,
    said: String,
    /// The lines that it was given together and has not answered: the first, and the marker behind the last.
    asked: VecDeque<(u64, u64)>,
    /// What it said after the last marker that was heard.
    heard: Vec<u8>,
    /// What it printed that belongs to no reply yet.
    printed: Vec<u8>,
    /// Its priority, given back when it is wanted.
    priority: Option<i32>,
}

/// What one command of a warm process answered.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) stdout: String,
    /// What it complained of; of lines that were given together, what belongs to none that failed is the last one's.
    pub(super) stderr: String,
    pub(super) failed: bool,
    /// Whether the process cannot have cached the index of the link of the name with which the line ends.
    pub(super) new_name: bool,
}

impl Warm {
    /// Starts one inside `netns`, or where the calling thread is.
    pub(super) fn start(ip: &Path, netns: Option<&NetnsFile>, family: Family) -> io::Result<Self> {
        let (stdin_reader, stdin) = io::pipe()?;
        let (stdout, stdout_writer) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        set_nonblocking(&stdout)?;
        set_nonblocking(&stderr)?;
        let files = [stdin_reader.into(), stdout_writer.into(), stderr_writer.into()];
        let argv = match family {
            Family::Any => os_words(&ARGV.map(String::from)),
            Family::V6 => os_words(&ARGV_V6.map(String::from)),
        };
        let started = start(ip, &argv, &clean_env(), Entry::of(netns), files)?;
        let file = |fd: OwnedFd| File::from(fd);
        Ok(Self {
            started,
            stdin: Some(file(stdin.into())),
            stdout: file(stdout.into()),
            stderr: file(stderr.into()),
            lines: 0,
            seen: HashSet::new(),
            said: String::new(),
            asked: VecDeque::new(),
            heard: Vec::new(),
            printed: Vec::new(),
            priority: None,
        })
    }

    /// The same, started by a thread that gave way ([`super::priority`]).
    pub(super) fn less_urgent(mut self, had: Option<i32>) -> Self {
        self.priority = had;
        self
    }

    /// Somebody waits for it now.
    pub(super) fn wanted(mut self) -> Self {
        if let Some(had) = self.priority.take() {
            super::priority::restore(self.started.pid, had);
        }
        self
    }

    /// Gives it commands, whose replies are heard together. Any error means that the process is of no use any more.
    pub(super) fn ask(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines.iter().map(String::as_str).chain([MARKER]) {
            text.extend([line, "\n"]);
        }
        let first = self.lines + 1;
        self.lines += lines.len() as u64 + 1;
        self.asked.push_back((first, self.lines));
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        stdin.write_all(text.as_bytes())
    }

    /// The replies to the first commands that it was given together and that were not heard. Any error means that the process is of no use any
    /// more: `TimedOut` after the deadline, `Interrupted` when the run was told to stop and [`FINISH_GRACE`] has passed, another one when it
    /// ended or printed too much.
    pub(super) fn hear(
        &mut self,
        lines: &[String],
        deadline: Instant,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<Reply>> {
        let (first, marker) = *self.asked.front().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let said = self.until_marker(marker, deadline, interrupt)?;
        self.asked.pop_front();
        let mut rest = said.as_str();
        let mut replies = Vec::with_capacity(lines.len());
        for (number, line) in (first..).zip(lines) {
            let mut reply = Reply::default();
            if let Some((before, after)) = split_at_line(rest, &format!("Command failed -:{number}")) {
                (reply.failed, reply.stderr, rest) = (true, before.to_owned(), after);
                reply.new_name = self.cannot_know(line.rsplit(' ').next().unwrap_or_default());
            }
            let last = number + 1 == marker;
            if last {
                reply.stderr.push_str(rest);
            }
            reply.stdout = self.take_printed(last, !reply.failed && is_question(line));
            replies.push(reply);
        }
        for (line, reply) in lines.iter().zip(&replies) {
            self.remember(line, reply);
        }
        Ok(replies)
    }

    /// What a line printed. Only the end is marked, on stderr, so what stands on stdout may belong to later lines, too: each question that succeeds
    /// prints one line, its JSON, and what is no question prints nothing.
    fn take_printed(&mut self, last: bool, is_answer: bool) -> String {
        let end = match self.printed.iter().position(|byte| *byte == b'\n') {
            // Nothing else was asked: whatever it is, it belongs here.
            _ if last && self.asked.is_empty() => self.printed.len(),
            Some(end) if is_answer => end + 1,
            _ => 0,
        };
        let printed = self.printed.drain(..end).collect();
        String::from_utf8(printed).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
    }

    /// Whether the process cannot have cached the index of a link of this name. Every word of a command that succeeded, and every link that was named
    /// in an answer, may be in its cache; that is looked for when it matters, which is seldom.
    fn cannot_know(&mut self, name: &str) -> bool {
        let said = std::mem::take(&mut self.said);
        for key in ["\"ifname\":\"", "\"dev\":\"", "\"link\":\"", "\"master\":\"", "\"iif\":\"", "\"oif\":\""] {
            self.seen.extend(said.split(key).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
        self.seen.extend(
            said.lines().filter(|line| !line.starts_with('[')).flat_map(|line| line.split(' ')).map(str::to_owned),
        );
        !self.seen.contains(name)
    }

    /// Keeps what may be in its cache.
    fn remember(&mut self, line: &str, reply: &Reply) {
        if !reply.failed {
            self.said.extend([line, "\n"]);
        }
        self.said.push_str(&reply.stdout);
        if self.said.len() > SAID_MAX_BYTES {
            self.cannot_know("");
        }
    }

    /// Waits until the line `marker` has failed: what was said before.
    fn until_marker(&mut self, marker: u64, mut deadline: Instant, interrupt: &Interrupt) -> io::Result<String> {
        let end = format!("Command failed -:{marker}\n");
        let mut looked = 0;
        let (mut out_open, mut ended, mut interrupted, mut patient) = (true, false, false, true);
        loop {
            let open = read_available(&mut self.stderr, &mut self.heard)?;
            if let Some(at) = end_of_line(&self.heard, end.as_bytes(), looked) {
                read_available(&mut self.stdout, &mut self.printed)?;
                let said: Vec<u8> = self.heard.drain(..at).collect();
                let said = String::from_utf8_lossy(&said[..at - end.len()]);
                // The last of it is the complaint about the marker, one line.
                let said = said.trim_end_matches('\n');
                return Ok(said.rfind('\n').map_or("", |at| &said[..=at]).to_owned());
            }
            looked = self.heard.len();
            // A process that ended may have left its streams to a daemon, so their end is not waited for.
            if !open || ended || self.printed.len() > OUTPUT_MAX_BYTES || self.heard.len() > OUTPUT_MAX_BYTES {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if !interrupted && interrupt.is_set() {
                interrupted = true;
                deadline = deadline.min(Instant::now() + scaled(FINISH_GRACE));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let kind = if interrupted { io::ErrorKind::Interrupted } else { io::ErrorKind::TimedOut };
                return Err(io::Error::from(kind));
            }
            let left = left.min(if patient { STDOUT_LATER } else { TICK });
            let timeout =
                Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: left.subsec_nanos().into() };
            let mut fds =
                vec![PollFd::new(&self.stderr, PollFlags::IN), PollFd::new(&self.started.pidfd, PollFlags::IN)];
            if out_open && !patient {
                fds.push(PollFd::new(&self.stdout, PollFlags::IN));
            }
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => patient = false,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            ended = !fds[1].revents().is_empty();
            let stdout_ready = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
            if stdout_ready {
                out_open = read_available(&mut self.stdout, &mut self.printed)?;
            }
        }
    }

    /// Ends the process and waits for it: it holds its namespace alive until then.
    pub(super) fn stop(mut self) {
        self.close();
        self.reap();
    }

    /// Ends the process without waiting; [`Warm::stop`] waits. By a signal: it has answered or never will, and leaving by itself takes it a tenth of
    /// a millisecond of a core more.
    pub(super) fn close(&mut self) {
        self.stdin = None;
        // The whole group, while its leader is not reaped: a child of it may hold the pipes.
        let _ = kill_process_group(self.started.pid, Signal::KILL);
    }

    fn reap(&self) {
        self.ended_within(scaled(Duration::from_secs(1)));
    }

    /// Waits until the process has ended, by its own file descriptor: many end at once, and a wait by signal would wake for each of them.
    fn ended_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: left.subsec_nanos().into() };
            let _ = poll(&mut [PollFd::new(&self.started.pidfd, PollFlags::IN)], Some(&timeout));
            if matches!(self.started.handle.try_wait(), Ok(Some(_))) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }
}

impl Drop for Warm {
    fn drop(&mut self) {
        self.close();
        self.reap();
    }
}

/// Which of a namespace's two warm processes a command goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// The one without a family flag: `ip` then takes IPv4 where it must choose.
    Any,
    /// The one started with `-6`.
    V6,
}

/// The words of a command as a line of a batch, or `None` when only a fresh process can run it.
///
/// iproute2 splits a batch line on blanks and knows quotes but no escapes, so only plain words go there.
pub(super) fn batch_line(argv: &[String]) -> Option<(Family, String)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/@%+,=-".contains(c);
    let mut family = Family::Any;
    let mut words = Vec::with_capacity(argv.len());
    for word in argv {
        match word.as_str() {
            // On for the whole process; IPv4 is what `ip` takes where it must choose.
            "-j" | "-d" | "-4" if words.is_empty() => {}
            "-6" if words.is_empty() => family = Family::V6,
            word if word.is_empty() || !word.chars().all(plain) => return None,
            // Any other flag, such as `-s`, changes what is printed.
            word if words.is_empty() && word.starts_with('-') => return None,
            word => words.push(word),
        }
    }
    if matches!(&words[..], ["link", "show" | "list", ..] | ["link"]) {
        return None;
    }
    // `ip netns exec` and `monitor` would hold the process; `netns attach/set` and the like are rare.
    let warm = matches!(words.first().copied(), Some("link" | "address" | "route" | "rule" | "neigh"))
        || matches!(&words[..], ["netns", "add" | "delete", _]);
    warm.then(|| (family, words.join(" ")))
}

/// Whether a line asks and changes nothing: then its answer is one line of JSON.
fn is_question(line: &str) -> bool {
    line.split(' ').nth(1).is_some_and(|verb| matches!(verb, "show" | "get"))
}

/// What stands before and after a line of a text.
fn split_at_line<'a>(text: &'a str, line: &str) -> Option<(&'a str, &'a str)> {
    let mut at = 0;
    for have in text.split_inclusive('\n') {
        if have.strip_suffix('\n') == Some(line) {
            return Some((&text[..at], &text[at + have.len()..]));
        }
        at += have.len();
    }
    None
}

/// Where the line `line` ends in `text`; what lies before `looked` was searched before.
fn end_of_line(text: &[u8], line: &[u8], looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(line.len());
    let begins = |at: usize| at == 0 || text.get(at - 1) == Some(&b'\n');
    let mut all = text.get(from..)?.windows(line.len()).enumerate();
    all.find(|(at, window)| *window == line && begins(from + at)).map(|(at, _)| from + at + line.len())
}

/// Reads what is there; `false` at the end of the file.
fn read_available(file: &mut File, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 << 10];
    // A program that prints without end is never done; the caller looks at the length.
    while into.len() <= OUTPUT_MAX_BYTES {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<(Family, String)> {
        batch_line(&text.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_end_of_a_reply_is_a_line_of_its_own() {
        let line = b"Command failed -:2\n";
        let text = b"xCommand failed -:2\nCommand failed -:2\nCommand failed -:4\n";
        assert_eq!(end_of_line(text, line, 0), Some(39));
        assert_eq!(end_of_line(text, line, 30), Some(39), "found although its beginning was read before");
        assert_eq!(end_of_line(text, b"Command failed -:6\n", 0), None);
        assert_eq!(end_of_line(b"", line, 7), None);
    }

    #[test]
    fn only_plain_words_go_into_a_batch() {
        assert_eq!(line("-j -d address show dev x"), Some((Family::Any, "address show dev x".into())));
        assert_eq!(
            line("-4 route add default via 10.0.0.1"),
            Some((Family::Any, "route add default via 10.0.0.1".into()))
        );
        assert_eq!(line("-6 route show"), Some((Family::V6, "route show".into())));
        assert_eq!(line("netns add blue"), Some((Family::Any, "netns add blue".into())));
        for fresh in [
            "-s link show",
            "netns exec blue sh",
            "monitor",
            "link set dev x alias a\"b",
            "link set dev x alias  y",
            "tunnel show",
        ] {
            assert_eq!(line(fresh), None, "{fresh}");
        }
        assert_eq!(batch_line(&["link".into(), "show\nlink".into()]), None);
    }
}
