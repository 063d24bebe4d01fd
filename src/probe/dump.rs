//! Questions that the kernel answers in microseconds where a tool takes milliseconds: for the many namespaces that have nothing to tell.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::NETFILTER;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::changes::socket;

/// From `linux/netlink.h`.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NFNL_SUBSYS_NFTABLES` in the upper half, `NFT_MSG_GETTABLE` in the lower (`linux/netfilter/nf_tables.h`).
const NFT_MSG_GETTABLE: u16 = (10 << 8) + 1;
/// From `linux/rtnetlink.h`.
const RTM_GETRULE: u16 = 34;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// How long the kernel may think about it, in seconds.
const PATIENCE: i64 = 2;

/// Whether the calling thread's namespace has a table of nftables, of any family: those of `iptables-nft` are such tables too. Without one there is
/// no rule in it. As `nft list tables` asks it, and with the same privilege.
///
/// # Errors
///
/// What the kernel says: a caller who may not look, a kernel without nftables. Nothing is known then.
pub fn has_nft_tables() -> io::Result<bool> {
    // `struct nfgenmsg`: any family, version 0.
    dump(&socket(Some(NETFILTER), &[])?, NFT_MSG_GETTABLE, &[0; 4]).map(|tables| !tables.is_empty())
}

/// Whether the calling thread's namespace has a table of iptables of the older kind, of either family: what `iptables-legacy` made or was asked for.
///
/// # Errors
///
/// A file of `/proc` that is there and cannot be read: it names them to root only.
pub fn has_legacy_tables() -> io::Result<bool> {
    for name in ["ip_tables_names", "ip6_tables_names"] {
        match std::fs::read(format!("/proc/thread-self/net/{name}")) {
            Ok(names) if names.is_empty() => {}
            Ok(_) => return Ok(true),
            // The kernel has no such tables, or their module is not loaded.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// The policy rules of IPv6 of the calling thread's namespace, as the kernel tells them, byte for byte: namespaces with the same have the same rules.
///
/// # Errors
///
/// What the kernel says.
pub fn policy_rules_v6() -> io::Result<Vec<u8>> {
    let family = u8::try_from(libc::AF_INET6).map_err(io::Error::other)?;
    // `struct fib_rule_hdr`.
    dump(&socket(None, &[])?, RTM_GETRULE, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Asks for all objects of a sort; the messages, each with the receiver's number in its header left out.
pub(super) fn dump(socket: &OwnedFd, kind: u16, head: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER + head.len()).map_err(io::Error::other)?;
    let mut request = Vec::with_capacity(HEADER + head.len());
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // The number of the request and of the sender.
    request.extend([0; 8]);
    request.extend(head);
    send(socket, &request, SendFlags::empty())?;
    let (mut told, mut buffer) = (Vec::new(), vec![0; 32 << 10]);
    loop {
        let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&patience))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (_, length) = recv(socket, buffer.as_mut_slice(), RecvFlags::TRUNC)?;
        if take(buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?, &mut told)? {
            return Ok(told);
        }
    }
}

/// Takes the messages of one datagram; `true` after the last.
fn take(mut bytes: &[u8], told: &mut Vec<u8>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let field = |at: usize| -> Option<u16> { Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?)) };
        let word = |at: usize| -> Option<i32> { Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
        let (length, kind, flags) = (word(0), field(4), field(6));
        let length = length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length >= HEADER);
        let (Some(length), Some(kind), Some(flags)) = (length, kind, flags) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if flags & NLM_F_DUMP_INTR != 0 {
            // It changed meanwhile: what was told is of no moment.
            return Err(io::ErrorKind::Interrupted.into());
        }
        let status = || word(HEADER).ok_or(io::ErrorKind::InvalidData);
        match kind {
            NLMSG_ERROR | NLMSG_DONE if status()? < 0 => return Err(io::Error::from_raw_os_error(-status()?)),
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => return Err(io::ErrorKind::InvalidData.into()),
            _ => {
                let message = bytes.get(..length).ok_or(io::ErrorKind::InvalidData)?;
                told.extend_from_slice(message.get(..8).unwrap_or_default());
                told.extend_from_slice(message.get(HEADER..).unwrap_or_default());
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct rtattr` after `struct rtattr`.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// `NLA_TYPE_MASK`: without the flag of those that have others in them.
        const TYPE: u16 = 0x3fff;
        let length = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?) & TYPE;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([9; 8]);
        message.extend(body);
        message
    }

    #[test]
    fn what_is_told_ends_with_done_and_an_error_is_no_end() {
        let mut told = Vec::new();
        assert!(!take(&message(24, 2, &[1, 2, 3, 4]), &mut told).unwrap());
        assert!(!told.is_empty() && !told.contains(&9), "who asked is not part of the answer: {told:?}");
        assert!(take(&message(NLMSG_DONE, 2, &[0; 4]), &mut told).unwrap());
        let refused = message(NLMSG_ERROR, 0, &(-1_i32).to_ne_bytes());
        assert_eq!(take(&refused, &mut told).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let ended_badly = message(NLMSG_DONE, 0, &(-95_i32).to_ne_bytes());
        assert!(take(&ended_badly, &mut told).is_err());
        assert!(take(&message(24, NLM_F_DUMP_INTR, &[1; 4]), &mut told).is_err(), "it changed meanwhile");
        assert!(take(&message(NLMSG_DONE, 0, &[]), &mut told).is_err(), "without a status nothing is known");
        for cut in 1..HEADER {
            assert!(take(&refused[..cut], &mut told).is_err());
        }
    }

    #[test]
    fn a_fresh_namespace_has_no_table_and_the_rules_of_every_fresh_one() {
        let ask = || {
            let flags = rustix::thread::UnshareFlags::NEWNET;
            // SAFETY: this thread of the test shares no file or memory with the namespace that it leaves.
            unsafe { rustix::thread::unshare_unsafe(flags) }.ok()?;
            Some((has_nft_tables().ok(), policy_rules_v6().ok()))
        };
        let [one, two] = [(); 2].map(|()| std::thread::spawn(ask).join().unwrap());
        let (Some(one), Some(two)) = (one, two) else {
            println!("skipped: making a network namespace in a thread needs root");
            return;
        };
        assert_ne!(one.0, Some(true));
        assert_eq!(one, two);
    }
}
