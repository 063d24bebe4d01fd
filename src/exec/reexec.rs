//! netwright starting itself again: how the sandbox gets its first processes.
//!
//! No `pre_exec` hook and an absolute path, so that std uses `posix_spawn`; no output is captured by [`start`], so that duct starts
//! no thread: after `unshare(CLONE_NEWPID)` the kernel refuses threads to the caller.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::ExitStatus;

/// `/proc/self/exe` also when the file was replaced or lies under the hidden `/run`.
const MYSELF: &str = "/proc/self/exe";

/// A running copy of this program.
pub(crate) struct Again(duct::Handle);

impl Again {
    /// Its process id, as the caller's pid namespace counts.
    #[must_use]
    pub(crate) fn pid(&self) -> Option<i32> {
        self.0.pids().first().and_then(|pid| i32::try_from(*pid).ok())
    }

    /// Its status when it has ended.
    ///
    /// # Errors
    ///
    /// When the kernel cannot say.
    pub(crate) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?.map(|output| output.status))
    }
}

fn expression(args: impl IntoIterator<Item = OsString>, variable: &str, value: &str) -> duct::Expression {
    let name = std::env::args_os().next().unwrap_or_else(|| "netwright".into());
    duct::cmd(MYSELF, args).env(variable, value).unchecked().before_spawn(move |command| {
        command.arg0(&name);
        Ok(())
    })
}

/// Starts this program again with the same arguments, streams, directory and environment, and `variable=value` in it.
///
/// # Errors
///
/// When the kernel refuses the new process.
pub(crate) fn start(variable: &str, value: &str) -> io::Result<Again> {
    expression(std::env::args_os().skip(1), variable, value).start().map(Again)
}

/// Runs this program again without arguments and with `variable=value`, and returns what it printed.
///
/// # Errors
///
/// When the kernel refuses the new process.
pub(crate) fn output(variable: &str, value: &str) -> io::Result<(ExitStatus, Vec<u8>)> {
    let output = expression([], variable, value).stdin_null().stderr_null().stdout_capture().run()?;
    Ok((output.status, output.stdout))
}

/// Runs this program with other arguments to its end; what it prints goes into `file`. Its standard error is the caller's, or
/// nobody's.
///
/// # Errors
///
/// When the kernel refuses the new process.
pub(crate) fn into_file(args: &[OsString], file: &File, quiet: bool) -> io::Result<ExitStatus> {
    let name = std::env::args_os().next().unwrap_or_else(|| "netwright".into());
    let command = duct::cmd(MYSELF, args).unchecked().before_spawn(move |command| {
        command.arg0(&name);
        Ok(())
    });
    let command = command.stdin_null().stdout_file(file.try_clone()?);
    let command = if quiet { command.stderr_null() } else { command };
    Ok(command.run()?.status)
}

/// Starts this program with other arguments and `variable=value` in a session of its own, without a terminal and without waiting for it.
///
/// It outlives the caller, and a closed terminal does not reach it. `setsid` of util-linux makes the session: doing it between fork
/// and exec would make std fork.
///
/// # Errors
///
/// When `setsid` is missing or the kernel refuses the new process.
pub(crate) fn detached(args: &[OsString], variable: &str, value: &str) -> io::Result<()> {
    let setsid = super::tools::find_own("setsid")
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "`setsid` is not installed"))?;
    let myself = std::fs::read_link(MYSELF)?;
    let words = ["--fork".into(), myself.into_os_string()].into_iter().chain(args.iter().cloned());
    // `setsid --fork` ends at once, so waiting for it is waiting for nothing.
    duct::cmd(setsid, words).env(variable, value).stdin_null().stdout_null().stderr_null().run().map(drop)
}

/// The same for a caller that is about to end: nothing that it has open is left to the new process, locks that its tools inherit neither.
///
/// # Errors
///
/// As [`detached`].
pub(crate) fn detached_at_the_end(args: &[OsString], variable: &str, value: &str) -> io::Result<()> {
    let numbers = std::fs::read_dir("/proc/self/fd")?.flatten();
    for number in numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|number| *number > 2) {
        // SAFETY: only a flag of the number is set, whatever it is by now; nothing is closed here.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(file, rustix::io::FdFlags::CLOEXEC);
    }
    detached(args, variable, value)
}
