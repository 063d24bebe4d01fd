//! One process from start to end: its own process group, a deadline, capped output, nothing lost.
//!
//! duct starts it; the waiting is ours, because `kill()` of duct reaches only the direct child and its capture is unbounded (KNOWLEDGE.md).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::entry::Entry;
use super::interrupt::Interrupt;
use crate::error::{Error, Kind, Result};
use crate::patience::scaled;

/// How long a command may take unless its verb says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);
/// The way out when it is too short.
pub(super) const MORE_TIME: &str = "`--command-timeout 30s` of `run` and `plan` gives each command more time, `NETWRIGHT_SLOW=3` everything in every command";
/// How much of each output stream is kept, in bytes.
pub(crate) const OUTPUT_MAX_BYTES: usize = 16 << 20;
/// How long after its end a process's output is still read, when a grandchild keeps the pipe open.
const LINGER: Duration = Duration::from_millis(200);
/// How long a process has between TERM and KILL.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// How long a command that changes the kernel may still finish after the run was told to stop.
pub(super) const FINISH_GRACE: Duration = Duration::from_secs(1);
/// What any pipe takes at once: the kernel gives a page even to a user who has too many of them (`pipe-user-pages-soft`).
const PIPE_MIN_BYTES: usize = 4096;
/// How often a wait looks at the interrupt flag.
const TICK: Duration = Duration::from_millis(50);

/// How long a command of netwright's own may take on this machine.
#[must_use]
pub(crate) fn deadline() -> Duration {
    scaled(DEADLINE)
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Absolute path of the executable.
    pub path: &'a Path,
    /// Its words.
    pub argv: Vec<OsString>,
    /// Text for its standard input; empty input otherwise.
    pub stdin: Option<&'a str>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub entry: Entry<'a>,
}

/// How long it may take, and who may stop it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// When it is ended, counted from its start.
    pub deadline: Duration,
    /// Whether a signal to the run ends it at once. A command that changes the kernel gets [`FINISH_GRACE`] to finish: it needs
    /// milliseconds unless it hangs.
    pub stop_on_interrupt: bool,
    /// Whether whatever it leaves in its process group when it has ended is ended too: netwright's own tools leave nothing behind.
    pub alone: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline: deadline(), stop_on_interrupt: false, alone: true }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal, not ours.
    Killed(i32),
    /// By us, at its deadline.
    TimedOut,
    /// By us, because the run was interrupted.
    Interrupted,
    /// By us, because it printed more than [`OUTPUT_MAX_BYTES`].
    Flooded,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub end: End,
    /// Standard output, lossily decoded, at most [`OUTPUT_MAX_BYTES`].
    pub stdout: String,
    /// Standard error likewise.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

/// The environment of the tools: their messages in English, nothing of the user's that could change what they do.
#[must_use]
pub(crate) fn clean_env() -> Vec<(OsString, OsString)> {
    vec![("PATH".into(), super::tools::search_path().into()), ("LC_ALL".into(), "C".into())]
}

/// The environment of the user's own programs: the user's, without what netwright tells itself.
#[must_use]
pub(crate) fn user_env() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("NETWRIGHT_")).collect()
}

/// A started process with our ends of its pipes.
pub(super) struct Started {
    pub(super) handle: duct::Handle,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

/// Starts a process in its own process group, there, with these three files.
pub(super) fn start(
    path: &Path,
    argv: &[OsString],
    env: &[(OsString, OsString)],
    entry: Entry<'_>,
    [stdin, stdout, stderr]: [OwnedFd; 3],
) -> io::Result<Started> {
    let spawn = || -> io::Result<Started> {
        let expression = duct::cmd(path, argv)
            .full_env(env.iter().cloned())
            .stdin_file(File::from(stdin))
            .stdout_file(File::from(stdout))
            .stderr_file(File::from(stderr))
            .unchecked()
            // No `pre_exec` here: it would make std fork instead of posix_spawn.
            .before_spawn(|command| {
                std::os::unix::process::CommandExt::process_group(command, 0);
                Ok(())
            });
        let handle = expression.start()?;
        let pid = handle.pids().first().and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no pid"))?;
        // The child is not reaped before `handle.wait`, so the pid is still its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Started { handle, pid, pidfd })
    };
    entry.within(spawn).map_err(|error| io::Error::other(error.to_string()))?
}

/// Runs a process with our own terminal, in a process group that is ours alone, to its end.
pub(super) fn run_interactive(path: &Path, argv: &[OsString], entry: Entry<'_>) -> io::Result<i32> {
    let run = || -> io::Result<i32> {
        let status = duct::cmd(path, argv).full_env(user_env()).unchecked().run()?.status;
        Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
    };
    let _ = rustix::process::setpgid(None, None);
    take_terminal();
    let status = entry.within(run).map_err(|error| io::Error::other(error.to_string()))?;
    take_terminal();
    status
}

/// This process becomes a program (execve(2)); why not, otherwise.
pub(super) fn become_program(path: &Path, argv: &[OsString], entry: Entry<'_>) -> io::Error {
    if let Err(error) = entry.enter() {
        return error;
    }
    std::process::Command::new(path).args(argv).env_clear().envs(user_env()).exec()
}

/// Makes our process group the one in the foreground. A shell gives the terminal back to the group that it came from by number; in a
/// sandbox that group lives outside of the pid namespace and has none, so we have a group of our own and take the terminal back.
fn take_terminal() {
    let ours = rustix::process::getpid();
    // SAFETY: a disposition is set and put back; no handler of ours runs.
    let before = unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    let _ = rustix::termios::tcsetpgrp(io::stdin(), ours);
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGTTOU, before) };
}

/// Runs a process to its end.
///
/// # Errors
///
/// `ToolMissing` or `PermissionDenied` when it cannot be started. How it ended is in [`Finished`], never an error here.
pub(crate) fn run(program: &Program<'_>, limits: Limits, interrupt: &Interrupt) -> Result<Finished> {
    let begun = Instant::now();
    let start_error = |error: &io::Error| start_error(program.path, error);
    let (stdin, stdin_writer) = match program.stdin {
        Some(_) => io::pipe().map(|(r, w)| (OwnedFd::from(r), Some(w))),
        None => File::open("/dev/null").map(|file| (file.into(), None)),
    }
    .map_err(|error| start_error(&error))?;
    let (out_reader, out_writer) = io::pipe().map_err(|error| start_error(&error))?;
    let (err_reader, err_writer) = io::pipe().map_err(|error| start_error(&error))?;
    let files = [stdin, out_writer.into(), err_writer.into()];
    let started =
        start(program.path, &program.argv, &program.env, program.entry, files).map_err(|error| start_error(&error))?;
    if let (Some(text), Some(mut writer)) = (program.stdin, stdin_writer) {
        if text.len() <= PIPE_MIN_BYTES {
            drop(writer.write_all(text.as_bytes()));
        } else {
            // A thread of its own writes the input: the process may print before it reads.
            let text = text.to_owned();
            std::thread::spawn(move || drop(writer.write_all(text.as_bytes())));
        }
    }
    Ok(Waiter { started, out: Stream::new(out_reader.into()), err: Stream::new(err_reader.into()), begun }
        .wait(limits, interrupt))
}

/// The error of a program that cannot be started.
#[must_use]
pub(crate) fn start_error(path: &Path, error: &io::Error) -> Error {
    let name = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::ToolMissing, format!("`{name}` does not exist")),
        io::ErrorKind::PermissionDenied => Error::new(Kind::PermissionDenied, format!("`{name}` may not be executed"))
            .hint(format!("`ls -l {name}` shows its mode and owner")),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Error::new(Kind::CommandFailed, format!("`{name}` is not a program of this machine"))
                .hint("a script needs a first line such as `#!/bin/sh`")
        }
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let error_of_start =
                Error::new(Kind::CommandFailed, format!("cannot start `{name}`: {}", text.to_lowercase()));
            match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                Some(rustix::io::Errno::MFILE) => {
                    error_of_start.hint("`ulimit -n` says how many files may be open: raise it")
                }
                Some(rustix::io::Errno::NFILE) => {
                    error_of_start.hint("`sysctl fs.file-max` says how many files the machine may have open")
                }
                Some(rustix::io::Errno::AGAIN) => {
                    error_of_start.hint("`ulimit -u` says how many processes there may be: raise it")
                }
                _ => error_of_start,
            }
        }
    }
}

/// One end of a pipe and what was read from it.
struct Stream {
    file: Option<File>,
    bytes: Vec<u8>,
    truncated: bool,
}

impl Stream {
    fn new(fd: OwnedFd) -> Self {
        Self { file: Some(File::from(fd)), bytes: Vec::new(), truncated: false }
    }

    /// Reads once; called when poll said that there is something.
    fn read(&mut self) {
        let Some(file) = &mut self.file else { return };
        let mut buffer = [0; 16 << 10];
        match file.read(&mut buffer) {
            Ok(0) => self.file = None,
            Ok(count) => {
                let room = OUTPUT_MAX_BYTES.saturating_sub(self.bytes.len());
                self.truncated |= count > room;
                self.bytes.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.file = None,
        }
    }
}

struct Waiter {
    started: Started,
    out: Stream,
    err: Stream,
    begun: Instant,
}

impl Waiter {
    fn wait(mut self, limits: Limits, interrupt: &Interrupt) -> Finished {
        let mut stop: Option<(End, Instant)> = None;
        let mut killed = false;
        let mut exited: Option<Instant> = None;
        let mut interrupted: Option<Instant> = None;
        let grace = if limits.stop_on_interrupt { Duration::ZERO } else { scaled(FINISH_GRACE) };
        loop {
            let now = Instant::now();
            if interrupted.is_none() && interrupt.is_set() {
                interrupted = Some(now);
            }
            if exited.is_none() && stop.is_none() {
                if self.out.truncated || self.err.truncated {
                    stop = Some((End::Flooded, now));
                } else if now >= self.begun + limits.deadline {
                    stop = Some((End::TimedOut, now));
                } else if interrupted.is_some_and(|since| now >= since + grace) {
                    stop = Some((End::Interrupted, now));
                }
                if stop.is_some() {
                    self.signal(Signal::TERM);
                }
            }
            if let Some((_, since)) = stop
                && !killed
                && exited.is_none()
                && now >= since + scaled(TERM_GRACE)
            {
                self.signal(Signal::KILL);
                killed = true;
            }
            if let Some(at) = exited {
                let closed = self.out.file.is_none() && self.err.file.is_none();
                if closed || now >= at + scaled(LINGER) {
                    break;
                }
            }
            self.poll(&mut exited);
        }
        let lingers = limits.alone && (self.out.file.is_some() || self.err.file.is_some());
        if stop.is_some() || lingers {
            // Whatever the group left behind goes with it.
            self.signal(Signal::KILL);
        }
        let end = match stop {
            Some((end, _)) => end,
            None if self.out.truncated || self.err.truncated => End::Flooded,
            None => self.status(),
        };
        Finished {
            end,
            stdout: lossy(std::mem::take(&mut self.out.bytes)),
            stderr: lossy(std::mem::take(&mut self.err.bytes)),
            took: self.begun.elapsed(),
        }
    }

    fn poll(&mut self, exited: &mut Option<Instant>) {
        let mut fds = Vec::with_capacity(3);
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let streams: Vec<bool> = [&self.out, &self.err].map(|stream| stream.file.is_some()).into();
        for stream in [&self.out, &self.err] {
            if let Some(file) = &stream.file {
                fds.push(PollFd::new(file, readable));
            }
        }
        if exited.is_none() {
            fds.push(PollFd::new(&self.started.pidfd, PollFlags::IN));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(TICK.as_nanos()).unwrap_or(50_000_000) };
        let ready: Vec<bool> = match poll(&mut fds, Some(&timeout)) {
            Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
            Err(_) => return,
        };
        let mut ready = ready.into_iter();
        let mut next = || ready.next().unwrap_or(false);
        if streams[0] && next() {
            self.out.read();
        }
        if streams[1] && next() {
            self.err.read();
        }
        if exited.is_none() && next() {
            *exited = Some(Instant::now());
        }
    }

    fn signal(&self, signal: Signal) {
        // The group is the process's own. It may be gone already, which is what was wanted.
        let _ = kill_process_group(self.started.pid, signal);
    }

    fn status(&self) -> End {
        match self.started.handle.wait() {
            Ok(output) => match (output.status.code(), output.status.signal()) {
                (Some(code), _) => End::Exited(code),
                (None, signal) => End::Killed(signal.unwrap_or(0)),
            },
            Err(_) => End::Killed(0),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // Reaps the child when it was killed: `status` was not asked for then.
        let _ = self.started.handle.wait_timeout(scaled(TERM_GRACE));
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Non-blocking reads from here on.
pub(super) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Turns words into what [`Program`] takes.
#[must_use]
pub(crate) fn os_words(words: &[String]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
