//! Who passes: the addresses of the packets that a namespace takes in and sends out, read off a packet socket, which changes nothing there.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::{Domain, Protocol, Socket, Type};

use super::sighting::{self, Sighting};
use super::sys;
use super::target::Proto;
use crate::Result;

/// A packet that passed, as far as it matters which way it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Passed {
    /// Whether it was sent out, and did not come in.
    pub out: bool,
    /// The index of the link that it came in by or left by.
    pub link: u32,
    /// From where.
    pub from: IpAddr,
    /// To where.
    pub to: IpAddr,
    /// To which port, of TCP and UDP.
    pub port: Option<(Proto, u16)>,
}

/// An open packet socket of a namespace. It keeps the namespace alive: close it before the namespace is to be gone.
#[derive(Debug)]
pub(crate) struct Passing(Socket);

/// Bytes of a packet that are read: the longest IP header, the one behind it, and the token of a probe.
const HEAD: usize = 128;
/// At most so many packets are taken in at a time.
const AT_ONCE: usize = 200_000;

impl Passing {
    /// Opens one in the calling thread's namespace.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`, `Unsupported` on a kernel without packet sockets.
    pub(crate) fn open() -> Result<Self> {
        let every = Protocol::from(i32::from(u16::try_from(libc::ETH_P_ALL).unwrap_or(3).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), Some(every));
        let socket = socket.map_err(|error| sys::failed("cannot see the packets that pass", &error))?;
        sys::roomy(&socket);
        Ok(Self(socket))
    }

    /// The packets since the last look, each kind once.
    #[must_use]
    pub(crate) fn drain(&self) -> HashSet<Passed> {
        let mut all = HashSet::new();
        self.each(|out, link, bytes| {
            all.extend(read(bytes).map(|(from, to, port)| Passed { out, link, from, to, port }));
        });
        all
    }

    /// The probes among the packets since the last look.
    #[must_use]
    pub(crate) fn sightings(&self) -> Vec<Sighting> {
        let mut all = Vec::new();
        self.each(|out, _, bytes| all.extend(sighting::read(out, bytes)));
        all
    }

    /// Hands over what was sent out or came in for this namespace: whether it was sent, by which link, and its head.
    fn each(&self, mut take: impl FnMut(bool, u32, &[u8])) {
        let mut buffer = [MaybeUninit::uninit(); HEAD];
        for _ in 0..AT_ONCE {
            let Ok((count, from)) = self.0.recv_from(&mut buffer) else { break };
            if usize::try_from(from.len()).unwrap_or(0) < size_of::<libc::sockaddr_ll>() - 8 {
                continue;
            }
            // SAFETY: the kernel fills in a `sockaddr_ll` for a packet socket, and the storage is larger than one.
            let at = unsafe { &*from.as_ptr().cast::<libc::sockaddr_ll>() };
            // SAFETY: `recv_from` has written so many bytes.
            let bytes: Vec<u8> = buffer[..count.min(HEAD)].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            let out = at.sll_pkttype == libc::PACKET_OUTGOING;
            let link = u32::try_from(at.sll_ifindex).unwrap_or(0);
            if out || at.sll_pkttype == libc::PACKET_HOST {
                take(out, link, &bytes);
            }
        }
    }
}

type Head = (IpAddr, IpAddr, Option<(Proto, u16)>);

/// Reads the head of an IP packet.
fn read(bytes: &[u8]) -> Option<Head> {
    let four = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
    let sixteen = |at: usize| -> Option<[u8; 16]> { bytes.get(at..at + 16)?.try_into().ok() };
    let (from, to, protocol, behind): (IpAddr, IpAddr, u8, usize) = match bytes.first()? >> 4 {
        4 => (
            Ipv4Addr::from(four(12)?).into(),
            Ipv4Addr::from(four(16)?).into(),
            *bytes.get(9)?,
            usize::from(bytes.first()? & 15) * 4,
        ),
        6 => (Ipv6Addr::from(sixteen(8)?).into(), Ipv6Addr::from(sixteen(24)?).into(), *bytes.get(6)?, 40),
        _ => return None,
    };
    let proto = match protocol {
        6 => Some(Proto::Tcp),
        17 => Some(Proto::Udp),
        _ => None,
    };
    let port = bytes.get(behind + 2..behind + 4).map(|two| u16::from_be_bytes([two[0], two[1]]));
    Some((from, to, proto.zip(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_packets_are_read_and_garbage_is_none() {
        let mut tcp = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        tcp.extend([0x9c, 0x40, 0, 80, 0, 0]);
        let (from, to, port) = read(&tcp).unwrap();
        assert_eq!(
            (from.to_string(), to.to_string(), port),
            ("10.0.0.1".into(), "10.0.0.2".into(), Some((Proto::Tcp, 80)))
        );
        let mut six = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
        six.extend([
            0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
        ]);
        six.extend([0, 9, 0, 53]);
        let (from, to, port) = read(&six).unwrap();
        assert_eq!(
            (from.to_string(), to.to_string(), port),
            ("fd00::1".into(), "fd00::2".into(), Some((Proto::Udp, 53)))
        );
        for length in 0..tcp.len() {
            let _ = read(&tcp[..length]);
        }
        assert_eq!(read(&[0x45; 10]), None);
        assert_eq!(read(&[0; 40]), None);
    }
}
