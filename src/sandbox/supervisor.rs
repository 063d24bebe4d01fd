//! P0 while the sandbox lives: forwards what was meant for it, stops and continues with it, and ends as it ends.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGQUIT, SIGTERM, SIGTSTP};
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
        let mut wanted = vec![SIGCHLD, SIGIO];
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

/// What P1 says when the sandbox stays; the exit code of the run is the next byte.
pub(super) const STAYS: u8 = b'S';

/// How P0's work is over.
pub(super) enum Over {
    /// P1 has ended; by then the kernel has ended everything in its pid namespace.
    Ended(ExitStatus),
    /// P1 needs no supervisor any more. The run's exit code.
    Stays(u8),
}

/// Waits until P1 has ended, or says that it stays.
pub(super) fn wait(init: &Again, lifeline: &Lifeline, mut caught: Caught) -> std::io::Result<Over> {
    let mut heard: Vec<u8> = Vec::new();
    let mut started = false;
    let mut last: Option<(i32, Instant)> = None;
    loop {
        if let Some(status) = init.try_wait()? {
            return Ok(Over::Ended(status));
        }
        let signals: Vec<_> = caught.0.wait().collect();
        if let Heard::Bytes(bytes) = lifeline.listen() {
            started = true;
            heard.extend(bytes);
            if let Some(code) = heard.windows(2).find(|pair| pair[0] == STAYS).map(|pair| pair[1]) {
                return Ok(Over::Stays(code));
            }
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

/// Waits until a process that has entered a sandbox has ended; signals that were meant for this one are handed on.
pub(super) fn attend(child: &Again, mut caught: Caught) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for origin in caught.0.wait().collect::<Vec<_>>() {
            let signal = Signal::from_named_raw(origin.signal).filter(|_| forwards(origin.signal, origin.cause, true));
            if let (Some(signal), Some(pid)) = (signal, child.pid().and_then(Pid::from_raw)) {
                let _ = kill_process(pid, signal);
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
