//! The kernel's own words about traced packets: the netlink group that `nft monitor trace` listens to.
//!
//! Numbers are those of `include/uapi/linux/netfilter/nfnetlink.h` and `nf_tables.h`.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// `NFNLGRP_NFTRACE` is 9; the mask counts from bit 0.
const GROUP: u32 = 1 << 8;
/// `NFNL_SUBSYS_NFTABLES` in the upper half, `NFT_MSG_TRACE` in the lower.
const TRACE: u16 = (10 << 8) + 17;
/// The length of `nlmsghdr` and of `nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;

/// What a rule or chain did with a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::why) enum Did {
    Accept,
    Drop,
    Stolen,
    Queue,
    Continue,
    Jump(String),
    Return,
}

/// One step of a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::why) struct Step {
    /// Tells the packets of one namespace apart.
    pub(in crate::why) packet: u32,
    /// `ip`, `ip6`, `inet`, `bridge`, `arp`, `netdev`.
    pub(in crate::why) family: &'static str,
    pub(in crate::why) table: String,
    pub(in crate::why) chain: String,
    /// The rule's handle; none for the policy of a chain.
    pub(in crate::why) handle: Option<u64>,
    pub(in crate::why) did: Did,
}

/// Listens for the traces of the calling thread's namespace.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self(socket))
    }

    /// The steps that were told so far, in order. What was lost because there was too much of it is not there.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut all = Vec::new();
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            match recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) | Err(rustix::io::Errno::AGAIN) => return all,
                Ok((length, _)) => all.extend(messages(buffer.get(..length).unwrap_or_default())),
                Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {}
                Err(_) => return all,
            }
        }
    }
}

/// The trace messages of one datagram; others are skipped.
fn messages(mut bytes: &[u8]) -> Vec<Step> {
    let mut found = Vec::new();
    while let Some(length) = native(bytes, 0).and_then(|length| usize::try_from(length).ok()) {
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= HEADER + GENERIC) else { break };
        let kind = message.get(4..6).and_then(|two| Some(u16::from_ne_bytes(two.try_into().ok()?)));
        if kind == Some(TRACE) {
            found.extend(step(message));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn step(message: &[u8]) -> Option<Step> {
    let family = match *message.get(HEADER)? {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let attributes = attributes(message.get(HEADER + GENERIC..)?);
    let get = |kind: u16| attributes.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value);
    let word = |kind: u16| get(kind).map(text).unwrap_or_default();
    let handle = get(3).and_then(|value| Some(u64::from_be_bytes(value.try_into().ok()?)));
    let did = match get(4).and_then(big)? {
        // The policy of a base chain.
        1 => verdict(get(16).and_then(big)?, String::new()),
        2 => Did::Return,
        3 => {
            let inner = self::attributes(get(5)?);
            let code = inner.iter().find(|(kind, _)| *kind == 1).and_then(|(_, value)| big(value))?;
            let chain = inner.iter().find(|(kind, _)| *kind == 2).map(|(_, value)| text(value)).unwrap_or_default();
            verdict(code, chain)
        }
        _ => return None,
    };
    Some(Step { packet: get(6).and_then(big)?, family, table: word(1), chain: word(2), handle, did })
}

/// A verdict of `nf_tables` or netfilter; the upper half of a queue's is its number, of a drop's its errno.
fn verdict(code: u32, chain: String) -> Did {
    match code.cast_signed() {
        -1 | -2 => Did::Continue,
        -3 | -4 => Did::Jump(chain),
        -5 => Did::Return,
        code => match code & 0xff {
            0 => Did::Drop,
            2 => Did::Stolen,
            3 => Did::Queue,
            _ => Did::Accept,
        },
    }
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (half(bytes, 0), half(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { break };
        // The upper two bits are flags: nested, and in the byte order of the network.
        found.push((kind & 0x3fff, value));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn native(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn big(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = attributes.concat();
        let length = u32::try_from(HEADER + GENERIC + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend([2, 0, 0, 0]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn rules_policies_and_foreign_messages_are_told_apart() {
        let verdict = attribute(5 | 0x8000, &attribute(1, &0u32.to_be_bytes()));
        let head = |kind: u32| {
            vec![
                attribute(6, &7u32.to_be_bytes()),
                attribute(1, b"filter\0"),
                attribute(2, b"FORWARD\0"),
                attribute(4, &kind.to_be_bytes()),
            ]
        };
        let rule = [head(3), vec![attribute(3, &9u64.to_be_bytes()), verdict]].concat();
        let policy = [head(1), vec![attribute(16, &1u32.to_be_bytes())]].concat();
        let bytes = [message(TRACE, &rule), message(TRACE - 1, &rule), message(TRACE, &policy)].concat();
        let steps = messages(&bytes);
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].handle, &steps[0].did, steps[0].packet), (Some(9), &Did::Drop, 7));
        assert_eq!((steps[1].handle, &steps[1].did, steps[1].chain.as_str()), (None, &Did::Accept, "FORWARD"));
    }

    #[test]
    fn garbage_is_no_step_and_no_panic() {
        let whole = message(TRACE, &[attribute(6, &7u32.to_be_bytes()), attribute(4, &3u32.to_be_bytes())]);
        for end in 0..whole.len() {
            assert!(messages(&whole[..end]).is_empty());
        }
        assert!(messages(&[0xff; 64]).is_empty());
    }
}
