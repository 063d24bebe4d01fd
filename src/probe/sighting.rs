//! A probe as it passes by: told from all other packets by its token or, of a TCP connection, by the number that it begins with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::packet::{self, ECHO_REQUEST, ECHO_REQUEST_V6};
use super::witness::Token;

/// What tells a probe from all other packets. Translation of addresses and ports leaves it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sign {
    /// An echo request with this token.
    Echo(Token),
    /// A UDP datagram with this token. Whoever echoes it sends it too.
    Datagram(Token),
    /// The first segment of a TCP connection, by its sequence number.
    Syn(u32),
}

/// A probe that was seen in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Whether it was sent out there, and did not come in.
    pub out: bool,
    /// Its hop limit: each router takes one off.
    pub ttl: u8,
    /// From where to where; without ports for an echo request.
    pub ends: (SocketAddr, SocketAddr),
    /// Which one it is.
    pub sign: Sign,
}

/// Headers that may stand between that of IPv6 and what it carries: hop-by-hop, routing and destination options.
const OPTIONS_V6: [u8; 3] = [0, 43, 60];
/// The header of a fragment.
const FRAGMENT_V6: u8 = 44;
/// As many of them are passed over.
const HEADERS_MAX: usize = 8;
/// The flags of a TCP segment that count: SYN, RST, ACK. The first segment has only the first.
const FLAGS: (u8, u8) = (0x16, 0x02);

/// Reads a probe from the head of an IP packet. `None` for anything else, and for the further fragments of one.
pub(super) fn read(out: bool, bytes: &[u8]) -> Option<Sighting> {
    let (from, to, ttl, protocol, rest): (IpAddr, IpAddr, u8, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let (from, to, rest) = packet::ipv4(bytes)?;
            let fragment = u16::from_be_bytes([*bytes.get(6)?, *bytes.get(7)?]) & 0x1fff;
            if fragment != 0 {
                return None;
            }
            (from.into(), to.into(), *bytes.get(8)?, *bytes.get(9)?, rest)
        }
        6 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).into())
            };
            let (protocol, rest) = behind_v6(*bytes.get(6)?, bytes.get(40..)?)?;
            (address(8)?, address(24)?, *bytes.get(7)?, protocol, rest)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let (sign, ports) = match protocol {
        1 | 58 => {
            let echo = packet::echo(rest)?;
            let request = if protocol == 58 { ECHO_REQUEST_V6 } else { ECHO_REQUEST };
            if echo.kind != request {
                return None;
            }
            (Sign::Echo(Token::leading(echo.payload)?), (0, 0))
        }
        17 => (Sign::Datagram(Token::leading(rest.get(8..)?)?), (port(0)?, port(2)?)),
        6 if rest.get(13)? & FLAGS.0 == FLAGS.1 => {
            let number: [u8; 4] = rest.get(4..8)?.try_into().ok()?;
            (Sign::Syn(u32::from_be_bytes(number)), (port(0)?, port(2)?))
        }
        _ => return None,
    };
    Some(Sighting { out, ttl, ends: (SocketAddr::new(from, ports.0), SocketAddr::new(to, ports.1)), sign })
}

/// What an IPv6 packet carries behind the headers of its options.
fn behind_v6(mut protocol: u8, mut rest: &[u8]) -> Option<(u8, &[u8])> {
    for _ in 0..HEADERS_MAX {
        let length = match protocol {
            FRAGMENT_V6 if u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]) >> 3 == 0 => 8,
            FRAGMENT_V6 => return None,
            other if OPTIONS_V6.contains(&other) => (usize::from(*rest.get(1)?) + 1) * 8,
            other => return Some((other, rest)),
        };
        protocol = *rest.first()?;
        rest = rest.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The head of an IP packet from ….1 to ….2.
    fn head(v6: bool, protocol: u8, ttl: u8) -> Vec<u8> {
        if !v6 {
            return vec![0x45, 0, 0, 0, 0, 0, 0, 0, ttl, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        }
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, ttl];
        for last in [1, 2] {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        bytes
    }

    #[test]
    fn probes_are_told_from_their_answers() {
        let token = Token::random().unwrap();
        for v6 in [false, true] {
            let request = packet::echo_request(v6, 1, 2, token.bytes(), 56);
            let mut bytes = head(v6, if v6 { 58 } else { 1 }, 63);
            bytes.extend(&request);
            let seen = read(true, &bytes).unwrap();
            assert_eq!((seen.out, seen.ttl, seen.sign), (true, 63, Sign::Echo(token)));
            let at = bytes.len() - request.len();
            bytes[at] = if v6 { 129 } else { 0 };
            assert_eq!(read(true, &bytes), None, "an answer");

            let mut bytes = head(v6, 17, 64);
            bytes.extend([0x9c, 0x40, 0, 53, 0, 0, 0, 0]);
            bytes.extend(token.bytes());
            let seen = read(false, &bytes).unwrap();
            assert_eq!((seen.sign, seen.ends.0.port(), seen.ends.1.port()), (Sign::Datagram(token), 40_000, 53));

            let mut bytes = head(v6, 6, 64);
            bytes.extend([0x9c, 0x40, 0, 80, 0, 0, 1, 2, 0, 0, 0, 0, 0xa0, 0x02, 0, 0]);
            assert_eq!(read(true, &bytes).unwrap().sign, Sign::Syn(0x0102));
            let flags = bytes.len() - 3;
            bytes[flags] = 0x12;
            assert_eq!(read(true, &bytes), None, "the answer to it");
        }
    }

    #[test]
    fn what_stands_behind_options_is_read_and_a_further_fragment_is_not() {
        let token = Token::random().unwrap();
        let mut datagram = vec![0x9c, 0x40, 0, 53, 0, 0, 0, 0];
        datagram.extend(token.bytes());
        let with = |next: u8, header: &[u8]| {
            let mut bytes = head(true, next, 64);
            bytes.extend(header);
            bytes.extend(&datagram);
            read(false, &bytes)
        };
        assert!(with(0, &[17, 0, 1, 4, 0, 0, 0, 0]).is_some(), "hop by hop");
        assert!(with(44, &[17, 0, 0, 1, 0, 0, 0, 7]).is_some(), "the first fragment");
        assert_eq!(with(44, &[17, 0, 0, 8, 0, 0, 0, 7]), None, "the second one");
        let mut later = head(false, 17, 64);
        later[7] = 1;
        later.extend(&datagram);
        assert_eq!(read(false, &later), None);
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128), v6: bool) {
            let _ = read(false, &bytes);
            let mut packet = head(v6, bytes.first().copied().unwrap_or(0), 1);
            packet.extend(&bytes);
            let _ = read(true, &packet);
        }
    }
}
