//! Processes that go on while the script does: `ns.start("…")`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, kill_process_group};

use super::entry::Entry;
use super::leftover::Started as Others;
use super::process::{OUTPUT_MAX_BYTES, Started, start, start_error};
use crate::error::{Error, Kind, Result};

/// How long a process has between TERM and KILL.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// The signals that a script may send, by their names without `SIG`.
const SIGNALS: [(&str, Signal); 13] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("WINCH", Signal::WINCH),
];
/// A signal by its name, with or without `SIG`.
///
/// # Errors
///
/// `InvalidArgument` for what is no signal that a script may send.
pub(crate) fn signal_named(name: &str) -> Result<Signal> {
    let plain = name.strip_prefix("SIG").unwrap_or(name);
    let found = SIGNALS.iter().find(|(known, _)| *known == plain).map(|(_, signal)| *signal);
    found.ok_or_else(|| {
        let names: Vec<&str> = SIGNALS.iter().map(|(known, _)| *known).collect();
        Error::new(Kind::InvalidArgument, format!("there is no signal `{name}`"))
            .hint(format!("signals: {}", names.join(", ")))
    })
}

/// How much is read at once: as much as a pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// A running program of the user's. A thread reads what it prints, so it never blocks on a full pipe; the last part is kept.
pub struct Background {
    started: Started,
    printed: Arc<Printed>,
    line: String,
    begun: Instant,
    stopped: AtomicBool,
}

impl Background {
    pub(super) fn start(
        path: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        entry: Entry<'_>,
        line: String,
        (stdin, stdout): (Option<&str>, Option<File>),
    ) -> Result<Self> {
        let fail = |error: io::Error| start_error(path, &error);
        let (reader, writer) = match stdin {
            None => (File::open("/dev/null").map_err(fail)?.into(), None),
            Some(_) => io::pipe().map(|(reader, writer)| (OwnedFd::from(reader), Some(writer))).map_err(fail)?,
        };
        let started = Self::start_with(path, argv, env, entry, line, (reader, stdout.map(OwnedFd::from)))?;
        // A thread of its own writes the input: the program may read it late, or never.
        if let (Some(text), Some(mut writer)) = (stdin.map(str::to_owned), writer) {
            std::thread::spawn(move || drop(writer.write_all(text.as_bytes())));
        }
        Ok(started)
    }

    /// The same with an input, and perhaps an output, of its own.
    pub(super) fn start_with(
        path: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        entry: Entry<'_>,
        line: String,
        (stdin, stdout): (OwnedFd, Option<OwnedFd>),
    ) -> Result<Self> {
        let fail = |error: io::Error| start_error(path, &error);
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| fail(error.into()))?;
        rustix::io::ioctl_fionbio(&reader, true).map_err(|error| fail(error.into()))?;
        let stdout = stdout.map_or_else(|| writer.try_clone(), Ok).map_err(fail)?;
        let files = [stdin, stdout, writer];
        let started = start(path, argv, env, entry, files).map_err(fail)?;
        let printed = Arc::new(Printed { reader, tail: Mutex::default() });
        let read = Arc::clone(&printed);
        std::thread::Builder::new().name("output".into()).spawn(move || read.follow()).map_err(fail)?;
        Ok(Self { started, printed, line, begun: Instant::now(), stopped: AtomicBool::new(false) })
    }

    /// The command as a person would type it.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.started.pid.as_raw_nonzero().get()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        matches!(self.started.handle.try_wait(), Ok(None))
    }

    /// Waits for its end. Returns whether it came.
    #[must_use]
    pub(super) fn ends_within(&self, time: Duration) -> bool {
        matches!(self.started.handle.wait_timeout(time), Ok(Some(_)))
    }

    /// Its exit status: `None` while it runs, 128 + n when signal n ended it.
    #[must_use]
    pub fn status(&self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let output = self.started.handle.try_wait().ok()??;
        output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal))
    }

    /// Whether it sleeps now: it waits for something, and has nothing left to do. `None` when it cannot be told.
    #[must_use]
    pub fn sleeps(&self) -> Option<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // proc_pid_stat(5): the state comes after the name, which may hold anything, in parentheses.
        stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with('S'))
    }

    /// Asks it for a report: SIGUSR1. Returns whether it was there to be asked.
    pub fn ask_for_report(&self) -> bool {
        self.running() && rustix::process::kill_process(self.started.pid, Signal::USR1).is_ok()
    }

    /// Sends it a signal by its name: `HUP`, `SIGUSR1`. Returns whether it was there to get it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what is no signal that a program takes.
    pub fn signal(&self, name: &str) -> Result<bool> {
        let signal = signal_named(name)?;
        Ok(self.running() && rustix::process::kill_process(self.started.pid, signal).is_ok())
    }

    /// Whether somebody ended it: it did not end by itself.
    #[must_use]
    pub fn was_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// How long ago it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The last lines that it printed, at most `count`.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.output();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(count)).map(|line| (*line).to_owned()).collect()
    }

    /// How it ended, in words; `None` while it runs.
    #[must_use]
    pub fn how_ended(&self) -> Option<String> {
        Some(match self.status()? {
            0 => "ended with status 0".to_owned(),
            status @ 129..=192 => format!("was ended by {}", super::interrupt::signal_name(status - 128)),
            status => format!("ended with status {status}"),
        })
    }

    /// What it printed so far, standard output and error together: the last [`OUTPUT_MAX_BYTES`], after a line that says how much is missing.
    #[must_use]
    pub fn output(&self) -> String {
        self.printed.text()
    }

    /// Ends it and everything in its process group: TERM, then KILL. Returns whether it is gone.
    pub fn stop(&self) -> bool {
        let group = |signal| {
            let _ = kill_process_group(self.started.pid, signal);
        };
        if self.running() {
            self.stopped.store(true, Ordering::Relaxed);
            // `su` and `setsid` give what they start a group of its own.
            let started = Others::by(self.pid());
            group(Signal::TERM);
            started.signal(Signal::TERM);
            let deadline = Instant::now() + crate::patience::scaled(TERM_GRACE);
            let _ = self.started.handle.wait_deadline(deadline);
            started.signal(Signal::KILL);
        }
        // The group may outlive its leader; its id stays taken while anyone is in it. When the leader was reaped and its number is there again, the
        // group was empty, and the number is somebody else's.
        if self.running() || !std::path::Path::new("/proc").join(self.pid().to_string()).exists() {
            group(Signal::KILL);
        }
        matches!(self.started.handle.wait_timeout(crate::patience::scaled(TERM_GRACE)), Ok(Some(_)))
    }
}

/// What a process prints.
struct Printed {
    reader: OwnedFd,
    tail: Mutex<Tail>,
}

/// The last part of it.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// How many bytes came before.
    dropped: u64,
}

impl Printed {
    /// Reads until nobody can print any more.
    fn follow(&self) {
        loop {
            let mut fds = [PollFd::new(&self.reader, PollFlags::IN)];
            let polled = poll(&mut fds, None);
            if !matches!(polled, Ok(_) | Err(rustix::io::Errno::INTR)) || !self.drain(&mut self.lock()) {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the pipe holds. Returns whether more may come.
    fn drain(&self, tail: &mut Tail) -> bool {
        let mut buffer = vec![0; PIPE_BYTES];
        // Whoever prints all the time must not keep the reader for ever.
        for _ in 0..16 {
            match rustix::io::read(&self.reader, &mut buffer[..]) {
                Ok(0) => return false,
                Ok(count) => tail.add(buffer.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// All that was printed until now: what is still in the pipe, too.
    fn text(&self) -> String {
        let mut tail = self.lock();
        self.drain(&mut tail);
        let missing = match tail.dropped {
            0 => String::new(),
            dropped => format!("[the first {dropped} bytes are not kept]\n"),
        };
        missing + &*String::from_utf8_lossy(tail.bytes.make_contiguous())
    }
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let over = self.bytes.len().saturating_sub(OUTPUT_MAX_BYTES);
        self.bytes.drain(..over);
        self.dropped += over as u64;
    }
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background").field("line", &self.line).field("pid", &self.pid()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Background {
        let words = ["-c", script].map(OsString::from);
        Background::start(Path::new("/bin/sh"), &words, &[], Entry::default(), script.into(), (None, None)).unwrap()
    }

    fn ended(background: &Background) -> String {
        while background.running() {
            std::thread::sleep(Duration::from_millis(5));
        }
        background.output()
    }

    #[test]
    fn all_that_was_printed_is_there_when_it_has_ended() {
        for _ in 0..20 {
            assert_eq!(ended(&run("echo out; echo err >&2; printf end")), "out\nerr\nend");
        }
    }

    #[test]
    fn only_the_last_part_is_kept() {
        // 20 MiB, more than is kept, and a last word.
        let text = ended(&run("head -c 20971520 /dev/zero | tr '\\0' x; printf end"));
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, format!("[the first {} bytes are not kept]", 20_971_523 - OUTPUT_MAX_BYTES));
        assert_eq!(rest.len(), OUTPUT_MAX_BYTES);
        assert!(rest.starts_with("xxx") && rest.ends_with("xend"));
    }
}
