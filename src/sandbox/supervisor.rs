//! P0 while the sandbox lives: forwards what was meant for it, stops and continues with it, and ends as it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::lifeline::{Heard, Lifeline};
use crate::exec::reexec::Again;

/// The same signal again within this time is the same wish: `timeout` signals its child and then the child's whole group.
const SAME: Duration = Duration::from_millis(100);

/// The signals, caught from before P1 starts so that none is lost.
pub(super) struct Caught(SignalsInfo<WithOrigin>);

impl Caught {
    pub(super) fn new() -> std::io::Result<Self> {
        let ignored = ignored_signals();
        let mut wanted = vec![SIGCHLD];
        // What the user had ignored stays ignored (nohup, background jobs of a script).
        wanted.extend(
            [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT].into_iter().filter(|s| ignored >> (s - 1) & 1 == 0),
        );
        SignalsInfo::new(wanted).map(Self)
    }
}

/// The mask of ignored signals of this process; bit n-1 for signal n.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0)
}

/// Whether a caught signal goes down the line.
///
/// The terminal sends Ctrl-C, Ctrl-\ and Ctrl-Z to the whole foreground group, and P2 is in it: forwarding would double them.
/// Before P2 exists (`started`) nobody else can have got it, pid 1 without a handler least of all.
fn forwards(signal: i32, cause: Cause, started: bool) -> bool {
    match signal {
        SIGINT | SIGQUIT | SIGTSTP => !started || cause != Cause::Kernel,
        SIGHUP | SIGTERM | SIGCONT => true,
        _ => false,
    }
}

/// Waits until P1 has ended. By then the kernel has ended everything in its pid namespace.
pub(super) fn wait(init: &Again, lifeline: &Lifeline, mut caught: Caught) -> std::io::Result<ExitStatus> {
    let mut started = false;
    let mut last: Option<(i32, Instant)> = None;
    loop {
        if let Some(status) = init.try_wait()? {
            return Ok(status);
        }
        let signals: Vec<_> = caught.0.wait().collect();
        if let Heard::Bytes(_) = lifeline.listen() {
            started = true;
        }
        for origin in signals {
            if forwards(origin.signal, origin.cause, started)
                && last.is_none_or(|(signal, at)| signal != origin.signal || at.elapsed() > SAME)
                && let Ok(byte) = u8::try_from(origin.signal)
            {
                lifeline.say(byte);
                last = Some((origin.signal, Instant::now()));
            }
            if origin.signal == SIGTSTP {
                let _ = kill_process(getpid(), Signal::STOP);
            }
        }
    }
}

/// The exit code of a status, as shells count, and the signal that ended the process.
pub(super) fn code_of(status: ExitStatus) -> (u8, Option<i32>) {
    let code = |n: i32| u8::try_from(n & 0xff).unwrap_or(u8::MAX);
    match (status.code(), status.signal()) {
        (Some(exit), _) => (code(exit), None),
        (None, Some(signal)) => (code(128 + signal), Some(signal)),
        (None, None) => (u8::MAX, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::siginfo::Sent;

    #[test]
    fn only_what_the_terminal_did_not_deliver_is_forwarded() {
        for (signal, cause, started, expected) in [
            (SIGINT, Cause::Kernel, true, false),
            (SIGINT, Cause::Kernel, false, true),
            (SIGINT, Cause::Sent(Sent::User), true, true),
            (SIGQUIT, Cause::Kernel, true, false),
            (SIGTSTP, Cause::Sent(Sent::User), true, true),
            (SIGTERM, Cause::Sent(Sent::User), true, true),
            (SIGHUP, Cause::Kernel, true, true),
            (SIGCHLD, Cause::Kernel, true, false),
        ] {
            assert_eq!(forwards(signal, cause, started), expected, "{signal} {cause:?} {started}");
        }
    }

    #[test]
    fn statuses_become_the_codes_of_shells() {
        assert_eq!(code_of(ExitStatus::from_raw(3 << 8)), (3, None));
        assert_eq!(code_of(ExitStatus::from_raw(9)), (137, Some(9)));
    }
}
