//! The user's programs that a dead run has left running, found by their environment, by a file that they have open, and by who started them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that the user's programs get on the machine: the run that started them. What they start inherits it.
pub(crate) const MARK: &str = "NETWRIGHT_RUN";

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
pub(crate) fn end_all(id: &str) -> Vec<String> {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + crate::patience::scaled(GRACE);
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

/// The processes of the run: those whose environment names it, those that have its mark open (a program may drop its environment, as `env -i` and
/// `su -` do, and keeps its files), and what any of these has started (`sudo` drops both, and waits for what it starts).
fn find(id: &str) -> Vec<Left> {
    let wanted = format!("{MARK}={id}");
    let mark = format!("{}/{id}/programs", crate::files::RUNS);
    let lock = format!("{}/{id}/lock", crate::files::RUNS);
    let own = |pid: i32| {
        let folder = Path::new("/proc").join(pid.to_string());
        let environ = std::fs::read(folder.join("environ")).unwrap_or_default();
        if environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            return true;
        }
        let has = |path: &str| crate::files::is_open_in(&pid.to_string(), Path::new(path));
        // Whoever has the lock, too, is a tool of netwright's: it ends by itself, within its deadline.
        has(&mark) && !has(&lock)
    };
    with_descendants(&own)
}

/// The processes that are meant, and all that they have started and these have, each held so that its number cannot become another's.
fn with_descendants(meant: &dyn Fn(i32) -> bool) -> Vec<Left> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let parents = parents();
    let mut found: BTreeSet<i32> = parents.keys().copied().filter(|pid| *pid != me && meant(*pid)).collect();
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| **pid != me && found.contains(*parent) && !found.contains(*pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    let hold = |pid: &i32| {
        let number = Pid::from_raw(*pid)?;
        let fd = pidfd_open(number, PidfdFlags::empty()).ok()?;
        // Asked again with the process held: its number was not given to another one meanwhile.
        if !meant(*pid) && parent_of(*pid).is_none_or(|parent| parents.get(pid) != Some(&parent)) {
            return None;
        }
        let words = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned();
        Some(Left { pid: number, fd, line })
    };
    found.iter().filter_map(hold).collect()
}

/// Every process that has not ended, and the one that started it.
fn parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parent_of(pid)?))).collect()
}

/// The parent of a process; `None` when it has ended.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z" && state != "X")
}

/// What a process has started: it may have left the process group.
pub(super) struct Started(Vec<Left>);

impl Started {
    /// What it has started by now.
    pub(super) fn by(pid: i32) -> Self {
        Self(with_descendants(&|one| one == pid))
    }

    /// Ends all of it.
    pub(super) fn signal(&self, signal: Signal) {
        for one in &self.0 {
            let _ = pidfd_send_signal(&one.fd, signal);
        }
    }
}
