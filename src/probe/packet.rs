//! What is in the bytes: pure functions from slices to values and back. They never panic, whatever the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// ICMP types that the probes use.
pub(super) const ECHO_REPLY: u8 = 0;
pub(super) const ECHO_REQUEST: u8 = 8;
pub(super) const ECHO_REQUEST_V6: u8 = 128;
pub(super) const ECHO_REPLY_V6: u8 = 129;

/// Bytes of an ICMP echo header.
pub(super) const ECHO_HEADER: usize = 8;

/// An ICMP or `ICMPv6` echo request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo<'a> {
    /// The ICMP type.
    pub(super) kind: u8,
    /// Identifier.
    pub(super) id: u16,
    /// Sequence number.
    pub(super) seq: u16,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

/// The `N` bytes at `at`.
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Reads an echo message, ICMP header first. `None` if it is shorter than its header.
pub(super) fn echo(bytes: &[u8]) -> Option<Echo<'_>> {
    let [kind, _code, _, _, id_high, id_low, seq_high, seq_low] = take(bytes, 0)?;
    Some(Echo {
        kind,
        id: u16::from_be_bytes([id_high, id_low]),
        seq: u16::from_be_bytes([seq_high, seq_low]),
        payload: bytes.get(ECHO_HEADER..)?,
    })
}

/// Writes an echo request. The checksum is filled in for IPv4; for `ICMPv6` it is the kernel's work (RFC 3542, 3.1).
pub(super) fn echo_request(v6: bool, id: u16, seq: u16, token: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(ECHO_HEADER + size);
    out.extend([if v6 { ECHO_REQUEST_V6 } else { ECHO_REQUEST }, 0, 0, 0]);
    out.extend(id.to_be_bytes());
    out.extend(seq.to_be_bytes());
    out.extend(token);
    out.extend((0..=u8::MAX).cycle().take(size.saturating_sub(token.len())));
    if !v6 {
        let sum = checksum(&out).to_be_bytes();
        out[2..4].copy_from_slice(&sum);
    }
    out
}

/// The internet checksum (RFC 1071).
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// An IPv4 packet as a raw socket hands it over: source, destination, what follows the header.
pub(super) fn ipv4(bytes: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, &[u8])> {
    let first = *bytes.first()?;
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header < 20 {
        return None;
    }
    let source: [u8; 4] = take(bytes, 12)?;
    let destination: [u8; 4] = take(bytes, 16)?;
    Some((source.into(), destination.into(), bytes.get(header..)?))
}

/// A `struct sockaddr` of either family, as the kernel writes it.
pub(super) fn sockaddr(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(take(bytes, 0)?));
    let port = u16::from_be_bytes(take(bytes, 2)?);
    match family {
        libc::AF_INET => Some(SocketAddrV4::new(take::<4>(bytes, 4)?.into(), port).into()),
        libc::AF_INET6 => {
            let scope = take(bytes, 24).map_or(0, u32::from_ne_bytes);
            Some(SocketAddrV6::new(take::<16>(bytes, 8)?.into(), port, 0, scope).into())
        }
        _ => None,
    }
}

/// Control messages: level, type, data.
struct Control<'a>(&'a [u8]);

impl<'a> Iterator for Control<'a> {
    type Item = (i32, i32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const WORD: usize = size_of::<usize>();
        let length = usize::from_ne_bytes(take(self.0, 0)?);
        let level = i32::from_ne_bytes(take(self.0, WORD)?);
        let kind = i32::from_ne_bytes(take(self.0, WORD + 4)?);
        // A length shorter than its own header would never advance.
        let data = self.0.get(WORD + 8..length)?;
        self.0 = self.0.get(length.checked_next_multiple_of(WORD)?..).unwrap_or(&[]);
        Some((level, kind, data))
    }
}

/// One control message, padded as `CMSG_SPACE` does.
fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((size_of::<usize>() + 8 + data.len()).to_ne_bytes());
    out.extend(level.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(size_of::<usize>()), 0);
    out
}

/// Where an entry of the error queue comes from (`SO_EE_ORIGIN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This kernel.
    Local,
    /// An ICMP message.
    Icmp,
    /// An `ICMPv6` message.
    Icmp6,
    /// Something else: time stamps, zero copy.
    Other,
}

/// A `struct sock_extended_err` and the offender that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExtendedError {
    /// What the socket would have reported.
    pub(super) errno: i32,
    /// Where it comes from.
    pub(super) origin: Origin,
    /// The ICMP type.
    pub(super) kind: u8,
    /// The ICMP code.
    pub(super) code: u8,
    /// The MTU, where the error is about one.
    pub(super) info: u32,
    /// Who sent the ICMP message.
    pub(super) offender: Option<IpAddr>,
}

/// Finds the extended error among control messages.
pub(super) fn extended_error(bytes: &[u8]) -> Option<ExtendedError> {
    Control(bytes).find_map(|(level, kind, data)| {
        let is_error = (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVERR)
            || (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
        if !is_error {
            return None;
        }
        let [origin, kind, code, _pad] = take(data, 4)?;
        Some(ExtendedError {
            errno: i32::from_ne_bytes(take(data, 0)?),
            origin: match origin {
                1 => Origin::Local,
                2 => Origin::Icmp,
                3 => Origin::Icmp6,
                _ => Origin::Other,
            },
            kind,
            code,
            info: u32::from_ne_bytes(take(data, 8)?),
            offender: data.get(16..).and_then(sockaddr).map(|addr| addr.ip()).filter(|addr| !addr.is_unspecified()),
        })
    })
}

/// The local address that a packet was sent to, from `IP_PKTINFO` or `IPV6_PKTINFO`, with the index of the link it came in by.
pub(super) fn local_address(bytes: &[u8]) -> Option<(IpAddr, u32)> {
    Control(bytes).find_map(|(level, kind, data)| match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            Some((Ipv4Addr::from(take::<4>(data, 4)?).into(), u32::from_ne_bytes(take(data, 0)?)))
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            Some((Ipv6Addr::from(take::<16>(data, 0)?).into(), u32::from_ne_bytes(take(data, 16)?)))
        }
        _ => None,
    })
}

/// The control message that makes an answer leave from the address that was asked. Empty where the kernel has to choose: for multicast.
pub(super) fn answer_from(local: Option<(IpAddr, u32)>) -> Vec<u8> {
    match local {
        Some((IpAddr::V4(addr), _)) if !addr.is_multicast() && !addr.is_broadcast() => {
            let mut data = [0; 12];
            data[4..8].copy_from_slice(&addr.octets());
            control(libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
        }
        Some((IpAddr::V6(addr), index)) if !addr.is_multicast() => {
            let mut data = [0; 20];
            data[..16].copy_from_slice(&addr.octets());
            // Only a link-local address needs its link; elsewhere the routing table decides.
            if addr.is_unicast_link_local() {
                data[16..].copy_from_slice(&index.to_ne_bytes());
            }
            control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
        }
        _ => Vec::new(),
    }
}

/// One TCP socket of a namespace: a line of `/proc/net/tcp` or `/proc/net/tcp6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its own end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The state as the kernel numbers it: 1 established, 3 half open, 6 time wait, 10 listening, …
    pub state: u8,
}

impl Connection {
    /// Whether it waits for connections and is none itself.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state == 10
    }
}

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`. Lines look like
/// `   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 …`; those that do not are skipped.
/// IPv4 addresses of dual-stack sockets come out as IPv4.
pub(super) fn tcp_table(text: &str) -> impl Iterator<Item = Connection> + '_ {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        Some(Connection {
            local: hex_endpoint(words.next()?)?,
            remote: hex_endpoint(words.next()?)?,
            state: u8::from_str_radix(words.next()?, 16).ok()?,
        })
    })
}

/// `0100007F:1F90`: each 32-bit word of the address in the machine's byte order, the port in plain hexadecimal.
fn hex_endpoint(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..addr.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(addr.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let addr = match bytes.len() {
        4 => IpAddr::from(take::<4>(&bytes, 0)?),
        16 => IpAddr::from(take::<16>(&bytes, 0)?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(addr, port))
}

/// One IPv6 address of a namespace: a line of `/proc/net/if_inet6`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inet6 {
    pub(super) addr: Ipv6Addr,
    pub(super) link: String,
    /// Duplicate address detection is not through yet.
    pub(super) tentative: bool,
    /// Duplicate address detection found another owner; the address stays unusable.
    pub(super) duplicate: bool,
}

/// Reads `/proc/net/if_inet6`: `20010db8000000000000000000000001 02 40 00 40     eth0`
/// (address, index, prefix length, scope, flags, link).
pub(super) fn inet6_table(text: &str) -> impl Iterator<Item = Inet6> + '_ {
    const DADFAILED: u32 = 0x08;
    const TENTATIVE: u32 = 0x40;
    text.lines().filter_map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [addr, _index, _prefix, _scope, flags, link] = words[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        Some(Inet6 {
            addr: Ipv6Addr::from(u128::from_str_radix(addr, 16).ok().filter(|_| addr.len() == 32)?),
            link: link.to_owned(),
            tentative: flags & TENTATIVE != 0 && flags & DADFAILED == 0,
            duplicate: flags & DADFAILED != 0,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_echo_request_reads_back_and_sums_to_zero() {
        let bytes = echo_request(false, 0x1234, 7, b"0123456789abcdef", 19);
        assert_eq!(bytes.len(), 27);
        assert_eq!(checksum(&bytes), 0);
        let read = echo(&bytes).unwrap();
        assert_eq!((read.kind, read.id, read.seq), (ECHO_REQUEST, 0x1234, 7));
        assert_eq!(read.payload, b"0123456789abcdef\x00\x01\x02");
    }

    #[test]
    fn the_checksum_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn an_ipv4_header_with_options_is_stepped_over() {
        let mut packet = vec![0x46; 1];
        packet.resize(12, 0);
        packet.extend([10, 0, 0, 2, 10, 0, 0, 1]);
        packet.extend([1, 1, 1, 1]);
        packet.extend(b"rest");
        let (from, to, rest) = ipv4(&packet).unwrap();
        assert_eq!((from.to_string(), to.to_string(), rest), ("10.0.0.2".into(), "10.0.0.1".into(), &b"rest"[..]));
        assert_eq!(ipv4(&packet[..22]), None, "truncated inside the options");
        assert_eq!(ipv4(&[0x65; 40]), None, "not IPv4");
        assert_eq!(ipv4(&[0x43; 40]), None, "a header of 12 bytes");
    }

    #[test]
    fn an_extended_error_names_its_offender() {
        let mut data = 113i32.to_ne_bytes().to_vec();
        data.extend([2, 3, 13, 0]);
        data.extend(1400u32.to_ne_bytes());
        data.extend([0; 4]);
        data.extend(u16::try_from(libc::AF_INET).unwrap().to_ne_bytes());
        data.extend([0, 0, 10, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = control(libc::IPPROTO_IP, libc::IP_TTL, &[1]);
        bytes.extend(control(libc::IPPROTO_IP, libc::IP_RECVERR, &data));
        let error = extended_error(&bytes).unwrap();
        assert_eq!(
            error,
            ExtendedError {
                errno: 113,
                origin: Origin::Icmp,
                kind: 3,
                code: 13,
                info: 1400,
                offender: Some("10.0.0.254".parse().unwrap())
            }
        );
        for short in 0..bytes.len() {
            let _ = extended_error(&bytes[..short]);
        }
    }

    #[test]
    fn the_answer_leaves_from_where_it_was_asked() {
        for (addr, index) in [("10.0.0.1", 0), ("2001:db8::1", 0), ("fe80::1", 7), ("::ffff:10.0.0.1", 0)] {
            let addr: IpAddr = addr.parse().unwrap();
            assert_eq!(local_address(&answer_from(Some((addr, index)))), Some((addr, index)));
        }
        assert!(answer_from(Some(("ff02::1".parse().unwrap(), 3))).is_empty());
    }

    #[test]
    fn tcp_tables_of_both_families() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n   \
            0: 0200000A:1F90 0100000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
            1: 0000000000000000FFFF00000200000A:1F90 0000000000000000FFFF00000100000A:9C41 03 0:0\n   \
            2: B80D0120000000000000000002000000:0050 00000000000000000000000000000000:0000 0A 0:0\n  3: xx\n";
        let table: Vec<_> = tcp_table(text).collect();
        let shown: Vec<_> = table.iter().map(|c| format!("{} {} {}", c.local, c.remote, c.state)).collect();
        assert_eq!(
            shown,
            ["10.0.0.2:8080 10.0.0.1:40000 1", "10.0.0.2:8080 10.0.0.1:40001 3", "[2001:db8::2]:80 [::]:0 10"]
        );
        assert!(table[2].is_listening());
    }

    #[test]
    fn tentative_and_duplicate_addresses() {
        let text = "20010db8000000000000000000000001 02 40 00 40     eth0\n\
            20010db8000000000000000000000002 02 40 00 48     eth0\n\
            00000000000000000000000000000001 01 80 10 80       lo\nrubbish\n";
        let table: Vec<_> = inet6_table(text).map(|a| (a.addr.to_string(), a.tentative, a.duplicate)).collect();
        assert_eq!(
            table,
            [("2001:db8::1".into(), true, false), ("2001:db8::2".into(), false, true), ("::1".into(), false, false)]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = echo(&bytes);
            let _ = ipv4(&bytes);
            let _ = sockaddr(&bytes);
            let _ = extended_error(&bytes);
            let _ = local_address(&bytes);
            let _ = checksum(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            let _ = tcp_table(&text).count();
            let _ = inet6_table(&text).count();
        }

        #[test]
        fn no_control_message_makes_the_walk_panic(
            length in prop_oneof![0usize..64, Just(usize::MAX), Just(usize::MAX - 7), any::<usize>()],
            level in prop_oneof![Just(0), Just(41)],
            kind in prop_oneof![Just(8), Just(11), Just(25), Just(50)],
            data in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend(i32::to_ne_bytes(level));
            bytes.extend(i32::to_ne_bytes(kind));
            bytes.extend(&data);
            let _ = extended_error(&bytes);
            let _ = local_address(&bytes);
        }

        #[test]
        fn no_text_makes_a_table_panic(text in "\\PC{0,80}", hex in "[0-9A-Fa-f: é]{0,60}") {
            let _ = tcp_table(&text).count();
            let _ = tcp_table(&hex).count();
            let _ = inet6_table(&format!("{hex} {text}")).count();
        }
    }
}
