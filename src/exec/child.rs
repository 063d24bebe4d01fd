//! A copy of this program that runs a test file: its own process group, its output on pipes, its end watched from here.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A running copy.
#[derive(Debug)]
pub(crate) struct Child {
    handle: duct::Handle,
    pid: Pid,
}

/// How it ended: the exit code, or the signal that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// With this exit code.
    Exit(u8),
    /// By this signal.
    Signal(i32),
}

impl Child {
    /// Starts this program with `args`; `input` is its standard input. Returns its standard output and error too.
    ///
    /// On a `terminal` it stays in this process group, or a shell in it could not read.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the new process.
    pub(crate) fn start(args: &[OsString], input: &[u8], terminal: bool) -> io::Result<(Self, File, File)> {
        let mut stdin = tempfile::tempfile()?;
        stdin.write_all(input)?;
        stdin.rewind()?;
        let (out, child_out) = io::pipe()?;
        let (err, child_err) = io::pipe()?;
        let expression = duct::cmd("/proc/self/exe", args)
            .stdin_file(stdin)
            .stdout_file(child_out)
            .stderr_file(child_err)
            .unchecked()
            .before_spawn(move |command| {
                command.arg0("netwright");
                if !terminal {
                    command.process_group(0);
                }
                Ok(())
            });
        let handle = expression.start()?;
        drop(expression);
        let pid = handle.pids().first().and_then(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no pid"))?;
        Ok((Self { handle, pid }, std::os::fd::OwnedFd::from(out).into(), std::os::fd::OwnedFd::from(err).into()))
    }

    /// Its process id.
    #[must_use]
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Ends it. The kernel ends everything in its sandbox with it.
    pub(crate) fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Waits for its end.
    #[must_use]
    pub(crate) fn wait(&self) -> Left {
        let status = self.handle.wait().map(|output| output.status);
        let left = |status: ExitStatus| match (status.code(), status.signal()) {
            (Some(code), _) => Left::Exit(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            (None, signal) => Left::Signal(signal.unwrap_or(0)),
        };
        status.map_or(Left::Signal(0), left)
    }

    /// The process in the sandbox, as this pid namespace counts: the grandchild. `None` when it is not there or cannot be seen.
    #[must_use]
    pub(crate) fn inside(&self) -> Option<i32> {
        child_of(child_of(self.pid())?)
    }
}

/// The first child of a process: from the file that lists them, which kernels may lack, or from everybody's parent.
fn child_of(parent: i32) -> Option<i32> {
    if let Ok(text) = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return text.split_whitespace().next()?.parse().ok();
    }
    let parent_of = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let pids = std::fs::read_dir("/proc").ok()?;
    let mut pids = pids.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| parent_of(*pid) == Some(parent))
}

/// Ends this process when the one that started it ends: a runner that is killed leaves no sandboxes.
pub(crate) fn end_with_parent() {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}

/// The shell that the user has chosen.
#[must_use]
pub(crate) fn shell_of_user() -> String {
    let chosen = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    chosen.map_or_else(|| "/bin/sh".to_owned(), |shell| shell.to_string_lossy().into_owned())
}

/// A shell on the terminal, for somebody who wants to look around; its end is waited for.
///
/// # Errors
///
/// When there is no terminal or no shell.
pub(crate) fn shell() -> io::Result<()> {
    let terminal = crate::files::terminal;
    let path = super::tools::find(&shell_of_user()).ok_or(io::ErrorKind::NotFound)?;
    let expression = duct::cmd(path, [] as [&str; 0]).full_env(super::process::user_env());
    let files = expression.stdin_file(terminal()?).stdout_file(terminal()?).stderr_file(terminal()?);
    files.unchecked().run().map(drop)
}
