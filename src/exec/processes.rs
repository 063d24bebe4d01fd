//! Who else runs in this pid namespace: after a test, what it left behind.

use std::path::Path;

/// A process that is not netwright's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// Its process id.
    pub pid: i32,
    /// Its command line, words separated by spaces; its name when it has none.
    pub line: String,
}

/// Every process here but the first, this one, and the warm `ip`s. In a sandbox these are the ones that the script has started.
#[must_use]
pub(crate) fn others() -> Vec<Other> {
    let me = std::process::id();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Other> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != 1 && u32::try_from(*pid) != Ok(me))
        .filter_map(|pid| Some(Other { pid, line: line(pid)? }))
        .collect();
    found.sort_by_key(|other| other.pid);
    found
}

/// The state of a process and when it began, in ticks since the machine started (`proc_pid_stat(5)`).
#[must_use]
pub(crate) fn state_and_start(pid: u32) -> (Option<char>, Option<u64>) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold anything; the time is the 22nd of all.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest.trim_start());
    (rest.chars().next(), rest.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()))
}

/// `None` for a process that is gone, dead, or ours.
fn line(pid: i32) -> Option<String> {
    let folder = Path::new("/proc").join(pid.to_string());
    let bytes = std::fs::read(folder.join("cmdline")).ok()?;
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let line = words.join(" ").trim_end().to_owned();
    // The warm `ip` reads its commands from standard input: see `warm`.
    let warm = words.first().is_some_and(|program| program.ends_with("/ip")) && line.ends_with("-batch -");
    if warm {
        return None;
    }
    if !line.is_empty() {
        return Some(line);
    }
    // A zombie has no command line, nor has a kernel thread.
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let (name, state) = stat.rsplit_once(')')?;
    let dead = state.trim_start().starts_with(['Z', 'X']);
    (!dead).then(|| name.split_once('(').map_or_else(String::new, |(_, name)| name.to_owned()))
}
