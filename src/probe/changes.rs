//! The kernel's announcements of changes to a network, so that nobody has to ask again and again.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// Groups of rtnetlink, from `linux/rtnetlink.h`: links, addresses and routes of both families, forwarding.
const RTNETLINK: [u32; 6] = [
    1,  // RTNLGRP_LINK
    5,  // RTNLGRP_IPV4_IFADDR
    7,  // RTNLGRP_IPV4_ROUTE
    9,  // RTNLGRP_IPV6_IFADDR
    11, // RTNLGRP_IPV6_ROUTE
    24, // RTNLGRP_IPV4_NETCONF
];
/// From `linux/netfilter/nfnetlink.h`: rules of nft, and of iptables-nft.
const NFNLGRP_NFTABLES: u32 = 7;

/// Listens in the calling thread's namespace: sockets that can be read when something changes there. As long as one is open, the namespace
/// lives.
///
/// # Errors
///
/// What the kernel says about the rtnetlink socket; a kernel without nftables announces no rules.
pub fn announcements() -> io::Result<Vec<OwnedFd>> {
    let mut sockets = vec![socket(None, &RTNETLINK)?];
    sockets.extend(socket(Some(NETFILTER), &[NFNLGRP_NFTABLES]));
    Ok(sockets)
}

/// A socket of a netlink protocol; `None` is number 0, which is rtnetlink.
pub(super) fn socket(protocol: Option<Protocol>, groups: &[u32]) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    let groups = groups.iter().fold(0, |all, group| all | 1 << (group - 1));
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Takes what has been announced so far; what it says is read from the kernel's state anyway.
pub fn drain(socket: impl AsFd) {
    let mut buffer = [0; 8192];
    // More than the socket holds was announced: that is a change too, and the next call succeeds.
    while matches!(recv(&socket, &mut buffer, RecvFlags::empty()), Ok(_) | Err(Errno::NOBUFS | Errno::INTR)) {}
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn what_changes_here_is_announced_and_what_does_not_is_not() {
        let flags = rustix::thread::UnshareFlags::NEWNET;
        // SAFETY: this thread of the test shares no file or memory with the namespace that it leaves.
        if unsafe { rustix::thread::unshare_unsafe(flags) }.is_err() {
            println!("skipped: making a network namespace in a thread needs root");
            return;
        }
        let sockets = announcements().unwrap();
        let heard = |limit: i64| {
            let mut polled: Vec<PollFd<'_>> = sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            let limit = rustix::event::Timespec { tv_sec: limit, tv_nsec: 0 };
            poll(&mut polled, Some(&limit)).unwrap() > 0
        };
        assert!(!heard(0), "nothing has happened yet");
        let forwarding = "/proc/sys/net/ipv4/ip_forward";
        let now = std::fs::read_to_string(forwarding).unwrap();
        std::fs::write(forwarding, if now.trim() == "1" { "0" } else { "1" }).unwrap();
        assert!(heard(60), "forwarding was announced");
        sockets.iter().for_each(drain);
        assert!(!heard(0), "everything was taken");
    }
}
