//! What a process does about SIGINT.

/// Whether SIGINT is in a mask of signals in `/proc/PID/status`, in hexadecimal (proc(5)): `SigCgt` are those that it catches, `SigIgn` those that it ignores.
pub(crate) fn has_int(pid: u32, mask: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix(mask)?.strip_prefix(':'));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & 1 << (rustix::process::Signal::INT.as_raw() - 1) != 0)
}
