//! The user's programs that a dead run has left running, found by their environment.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that the user's programs get on the machine: the run that started them. What they start inherits it.
pub const MARK: &str = "NETWRIGHT_RUN";

/// How long they have between TERM and KILL, and after KILL.
const GRACE: Duration = Duration::from_secs(2);

/// A process of a run.
struct Left {
    pid: Pid,
    fd: std::os::fd::OwnedFd,
    line: String,
}

/// Ends every process of the run `id`: TERM, then KILL. Returns the lines of those that do not end.
#[must_use]
pub fn end_all(id: &str) -> Vec<String> {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + GRACE;
        let mut told: Vec<Pid> = Vec::new();
        loop {
            let left = find(id);
            if left.is_empty() {
                return Vec::new();
            }
            for one in left.iter().filter(|one| !told.contains(&one.pid)) {
                // It may have ended by itself, which is what is wanted.
                let _ = pidfd_send_signal(&one.fd, signal);
            }
            told.extend(left.iter().map(|one| one.pid));
            if Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    find(id).into_iter().map(|one| one.line).collect()
}

/// The processes whose environment names the run. One that has ended and is not reaped has none.
fn find(id: &str) -> Vec<Left> {
    let wanted = format!("{MARK}={id}");
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    pids.filter(|pid| *pid != me)
        .filter_map(|pid| {
            let folder = Path::new("/proc").join(pid.to_string());
            let ours = || {
                let environ = std::fs::read(folder.join("environ")).unwrap_or_default();
                environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            };
            if !ours() {
                return None;
            }
            let pid = Pid::from_raw(pid)?;
            let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            let words = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned();
            // Asked again with the process held: its number was not given to another one meanwhile.
            ours().then_some(Left { pid, fd, line })
        })
        .collect()
}
