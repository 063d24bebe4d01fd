//! The uplink and the pretended internet behind it.
//!
//! ```text
//!   the sandbox's root (plays the host)             the internet (hidden: not in /run/netns)
//!   eth0 198.51.100.2/24, 2001:db8:1::2/64  ──────  eth0 198.51.100.1/24, 2001:db8:1::1/64
//!   default via 198.51.100.1, 2001:db8:1::1         lo   203.0.113.1/32;  eth0 2001:db8::1/128
//! ```
//!
//! The internet drops private source addresses (RFC 1918, ULA, link-local) as a provider does, without any firewall: it has no
//! default route, so it has no way back to anything but 198.51.100.0/24 and `2001:db8:1::/64`. For IPv4 `rp_filter=1` drops such a packet
//! when it comes in; for IPv6 the answer finds no route. It has no link-local address (and so no route to `fe80::/64`) either. That is
//! why `2001:db8::1` is on its link and not on `lo`: the kernel solicits a neighbour from the address of the packet that waits only when
//! that is on the same link, else from a link-local address, and without one not at all (`ndisc_solicit`, `ndisc_send_ns`).

use std::path::Path;

use rustix::mount::mount_bind;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::{Error, Kind, Result};

/// Where the internet's namespace is bound. `ip netns list` does not look here.
pub const INTERNET: &str = "/run/netwright/internet";

/// What is done on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Files under `/proc/sys` and their values, before the batch.
    pub sysctls: Vec<(&'static str, &'static str)>,
    /// Lines for `ip -batch -`.
    pub batch: Vec<&'static str>,
}

/// Both sides; the internet's comes first, because it makes the pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// In the namespace at [`INTERNET`].
    pub internet: Side,
    /// In the sandbox's root.
    pub root: Side,
}

/// The uplink as data; without IPv6 where the kernel was booted without it.
#[must_use]
pub fn uplink(ipv6: bool) -> Uplink {
    let mut uplink = both_families();
    if !ipv6 {
        for side in [&mut uplink.internet, &mut uplink.root] {
            side.sysctls.retain(|(file, _)| !file.starts_with("net/ipv6"));
            side.batch.retain(|line| !line.contains("2001:"));
        }
    }
    uplink
}

fn both_families() -> Uplink {
    Uplink {
        internet: Side {
            sysctls: vec![
                ("net/ipv4/ip_forward", "0"),
                ("net/ipv4/conf/all/rp_filter", "1"),
                // 1 is "none": no link-local address on links made from now on (kernel, ip-sysctl.rst).
                ("net/ipv6/conf/default/addr_gen_mode", "1"),
            ],
            batch: vec![
                // Process 1 lives in the sandbox's root.
                "link add name eth0 type veth peer name eth0 netns 1",
                "address add 198.51.100.1/24 dev eth0",
                "address add 2001:db8:1::1/64 dev eth0 nodad",
                "address add 203.0.113.1/32 dev lo",
                "address add 2001:db8::1/128 dev eth0 nodad",
                "link set dev lo up",
                "link set dev eth0 up",
            ],
        },
        root: Side {
            sysctls: Vec::new(),
            batch: vec![
                "address add 198.51.100.2/24 dev eth0",
                "address add 2001:db8:1::2/64 dev eth0 nodad",
                "link set dev eth0 up",
                "route add default via 198.51.100.1 dev eth0",
                "route add default via 2001:db8:1::1 dev eth0",
            ],
        },
    }
}

/// Builds it; P2 calls this once, before the script. `run(argv, stdin, netns)` runs a program in the namespace at a path, or in the
/// caller's. Returns the path of the internet's namespace ([`INTERNET`]).
///
/// # Errors
///
/// What `run` says, or the kernel when it refuses another network namespace.
pub fn build_uplink(mut run: impl FnMut(&[&str], &str, Option<&Path>) -> Result<()>) -> Result<&'static Path> {
    let Uplink { internet, root } = uplink(Path::new("/proc/sys/net/ipv6").exists());
    let path = Path::new(INTERNET);
    make_namespace(path, &internet.sysctls)?;
    run(&["ip", "-batch", "-"], &lines(&internet.batch), Some(path))?;
    run(&["ip", "-batch", "-"], &lines(&root.batch), None)?;
    Ok(path)
}

/// Writes a setting in the calling thread's namespace.
///
/// # Errors
///
/// What the kernel says.
pub fn set(path: &Path, value: &str) -> std::io::Result<()> {
    std::fs::write(path, value)
}

fn lines(batch: &[&str]) -> String {
    batch.iter().flat_map(|line| [line, "\n"]).collect()
}

/// A network namespace with these sysctls, held by a bind mount only; the file must be below the sandbox's own `/run`. A thread enters it, so that no
/// process is needed and this one stays where it is.
///
/// # Errors
///
/// `Unsupported` when the kernel refuses it.
pub fn make_namespace(path: &Path, sysctls: &[(&'static str, &'static str)]) -> Result<()> {
    let at = path.to_path_buf();
    let sysctls = sysctls.to_vec();
    let made = std::thread::spawn(move || -> std::io::Result<()> {
        // SAFETY: only `FILES` is dangerous.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        for (file, value) in sysctls {
            std::fs::write(Path::new("/proc/sys").join(file), value)?;
        }
        std::fs::File::create(&at)?;
        mount_bind("/proc/thread-self/ns/net", &at)?;
        Ok(())
    });
    match made.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Error::new(
            Kind::Unsupported,
            format!("cannot make the namespace `{}` of the sandbox: {e}", path.display()),
        )),
        Err(_) => Err(Error::new(Kind::Internal, "the thread that makes a namespace of the sandbox panicked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uplink_is_what_the_design_promises() {
        let all = [uplink(true).internet.batch, uplink(true).root.batch].concat().join("\n");
        for part in ["198.51.100.2/24", "2001:db8:1::2/64", "198.51.100.1/24", "203.0.113.1/32", "2001:db8::1/128"] {
            assert!(all.contains(part), "{part}");
        }
        assert!(
            !uplink(true).internet.batch.iter().any(|line| line.contains("default")),
            "the internet knows no way back"
        );
    }

    #[test]
    fn without_ipv6_nothing_names_it() {
        let Uplink { internet, root } = uplink(false);
        assert!(internet.batch.iter().chain(&root.batch).all(|line| !line.contains(':') && !line.contains("nodad")));
        assert_eq!((internet.batch.len(), root.batch.len(), internet.sysctls.len()), (5, 3, 2));
    }

    #[test]
    fn words_are_written_out() {
        assert_eq!(lines(&["a b", "c"]), "a b\nc\n");
    }
}
