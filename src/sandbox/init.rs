//! P1 after the mounts: pid 1 of the sandbox. Starts P2, hands signals on, reaps orphans, ends with P2.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, wait};
use signal_hook::consts::{SIGCHLD, SIGUSR1};

use super::lifeline::{Heard, Lifeline};
use super::stay::{self, Told};
use super::supervisor::STAYS;
use crate::exec::reexec;

/// What ended P2: exit code, or 128+n and the signal. `stays`: P2 may say by SIGUSR1 that the sandbox stays without its supervisor.
pub(super) fn run(lifeline: &Lifeline, marker: &str, stays: bool) -> std::io::Result<(u8, Option<i32>)> {
    let (mut wakes, bell) = UnixStream::pair()?;
    wakes.set_nonblocking(true)?;
    let asked = Arc::new(AtomicBool::new(false));
    if stays {
        signal_hook::flag::register(SIGUSR1, Arc::clone(&asked))?;
        signal_hook::low_level::pipe::register(SIGUSR1, bell.try_clone()?)?;
    }
    signal_hook::low_level::pipe::register(SIGCHLD, bell)?;
    // While there is a supervisor.
    let mut line = Some(lifeline);

    let runtime = reexec::start(super::ENV, marker)?;
    let pid = runtime.pid().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::NotFound)?;
    // The loop below reaps every child, this one too; duct must not wait for it.
    std::mem::forget(runtime);
    lifeline.say(b'R');

    loop {
        Lifeline::wait(line, &wakes);
        if let Some(last) = line
            && asked.load(Ordering::SeqCst)
            && let Some(told) = Told::read()
            && set_parent_process_death_signal(None).is_ok()
        {
            stay::let_go();
            last.say(STAYS);
            last.say(told.code);
            line = None;
        }
        match line.map_or(Heard::Nothing, Lifeline::listen) {
            Heard::Eof => std::process::exit(137), // the supervisor is dead: end, and the kernel ends the rest
            Heard::Bytes(signals) => {
                for signal in signals.into_iter().filter_map(|n| Signal::from_named_raw(i32::from(n))) {
                    let _ = kill_process(pid, signal);
                }
            }
            Heard::Nothing => {}
        }
        let _ = wakes.read(&mut [0; 256]);
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == pid {
                let code = status.exit_status().or(status.terminating_signal().map(|s| 128 + s)).unwrap_or(255);
                return Ok((u8::try_from(code & 0xff).unwrap_or(u8::MAX), status.terminating_signal()));
            }
        }
    }
}
