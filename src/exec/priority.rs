//! Tools that start ahead give way to the one that works now: a warm `ip` takes most of a millisecond of a core to start, and while nobody
//! waits for it the run should not either.

use rustix::process::{Pid, getpriority_process, nice, setpriority_process};
use rustix::thread::{CapabilitySet, capabilities};

/// How many steps of `nice` a tool that starts ahead gives way. Measured on two cores: 100 namespaces take 133 instead of 165 ms, and more
/// steps bring nothing.
const STEPS: i32 = 10;
/// The user ids of a process in the first user namespace: all of them, as they are (`user_namespaces(7)`).
const ALL_IDS: [&str; 3] = ["0", "0", "4294967295"];

/// Makes this thread and what it starts give way. What they had, to be given back with [`restore`]; `None` when that would be refused, and then
/// nothing changes.
pub(super) fn give_way() -> Option<i32> {
    let had = getpriority_process(None).ok().filter(|_| may_raise())?;
    nice(STEPS).ok().map(|_| had)
}

/// Gives a process back what [`give_way`] took.
pub(super) fn restore(pid: Pid, had: i32) {
    // It may have ended; then it is asked in vain, and that is noticed.
    let _ = setpriority_process(Some(pid), had);
}

/// Whether the kernel lets this process raise priorities: `CAP_SYS_NICE`, and not only in a user namespace of one's own (`can_nice` of the kernel).
fn may_raise() -> bool {
    let able = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_NICE));
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    able && map.split_whitespace().eq(ALL_IDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_given_back() {
        let thread = || {
            let before = getpriority_process(None).expect("a priority");
            let Some(had) = give_way() else {
                assert_eq!(
                    getpriority_process(None).expect("a priority"),
                    before,
                    "what cannot be given back is not taken"
                );
                return println!("skipped: priorities cannot be raised here");
            };
            let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
            let pid = Pid::from_child(&child);
            assert_eq!(getpriority_process(Some(pid)).expect("its priority"), (before + STEPS).min(19));
            restore(pid, had);
            assert_eq!(getpriority_process(Some(pid)).expect("its priority"), before);
            child.kill().expect("killed");
            child.wait().expect("gone");
        };
        // A thread of its own: the others keep theirs.
        std::thread::spawn(thread).join().expect("no panic");
    }
}
