//! `-m u32` of iptables: tests on the bytes of the packet. The header is built from what is known; a test on other bytes is a maybe.

use super::evaluation::number;
use super::packet::{Packet, Port, Tri};

/// The bytes of a packet that are known.
#[must_use]
pub(super) fn header(packet: &Packet) -> Vec<Option<u8>> {
    let mut bytes: Vec<Option<u8>> = Vec::new();
    let size = u16::try_from(packet.size).unwrap_or(u16::MAX).to_be_bytes();
    match (packet.src, packet.dst) {
        (std::net::IpAddr::V4(src), std::net::IpAddr::V4(dst)) => {
            bytes.extend([Some(0x45), packet.tos, Some(size[0]), Some(size[1]), None, None, None, None]);
            bytes.extend([packet.ttl, Some(packet.proto), None, None]);
            bytes.extend(src.octets().into_iter().chain(dst.octets()).map(Some));
        }
        (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
            let payload = u16::try_from(packet.size.saturating_sub(40)).unwrap_or(u16::MAX).to_be_bytes();
            bytes.extend([
                Some(0x60),
                None,
                None,
                None,
                Some(payload[0]),
                Some(payload[1]),
                Some(packet.proto),
                packet.ttl,
            ]);
            bytes.extend(src.octets().into_iter().chain(dst.octets()).map(Some));
        }
        _ => return bytes,
    }
    let port = |port: Port| match port {
        Port::Exact(port) => port.to_be_bytes().map(Some),
        _ => [None, None],
    };
    if let Some(kind) = packet.icmp {
        bytes.extend([Some(kind), Some(packet.icmp_code())]);
    } else {
        bytes.extend(port(packet.sport));
        bytes.extend(port(packet.dport));
        if packet.proto == 6 {
            bytes.extend([None; 8]);
            bytes.extend([None, Some(packet.tcp_flags())]);
        }
    }
    bytes
}

/// A big-endian word and which of its bits are known.
fn word(bytes: &[Option<u8>], at: usize) -> (u32, u32) {
    (0..4).fold((0, 0), |(value, known), index| match bytes.get(at + index).copied().flatten() {
        Some(byte) => (value << 8 | u32::from(byte), known << 8 | 0xff),
        None => (value << 8, known << 8),
    })
}

/// Whether a u32 expression, such as `12&0xFFFF0000=0x0A4D0000:0x0A4DFFFF,1&&6&0xFF=6`, matches.
#[must_use]
pub(super) fn matches(text: &str, packet: &Packet) -> Tri {
    let bytes = header(packet);
    text.split("&&").map(|test| one(test, &bytes)).fold(Tri::Yes, Tri::and)
}

fn one(test: &str, bytes: &[Option<u8>]) -> Tri {
    let Some((location, wanted)) = test.split_once('=') else { return Tri::Maybe };
    // An offset that moves along the header (`@`) starts from a value in the packet.
    let mut base = 0usize;
    let mut value = (0u32, 0u32);
    for (index, part) in location.split('@').enumerate() {
        if index > 0 {
            if value.1 != u32::MAX {
                return Tri::Maybe;
            }
            base += value.0 as usize;
        }
        let first = part.find(['&', '<', '>']).unwrap_or(part.len());
        let Some(offset) = number(&part[..first]) else { return Tri::Maybe };
        value = word(bytes, base + offset as usize);
        let mut rest = &part[first..];
        while !rest.is_empty() {
            let (operator, length) = match rest.as_bytes() {
                [b'&', ..] => ('&', 1),
                [b'<', b'<', ..] => ('<', 2),
                [b'>', b'>', ..] => ('>', 2),
                _ => return Tri::Maybe,
            };
            let end = rest[length..].find(['&', '<', '>']).map_or(rest.len(), |at| at + length);
            let Some(operand) = number(&rest[length..end]) else { return Tri::Maybe };
            let shift = operand.min(31);
            value = match operator {
                '&' => (value.0 & operand, value.1 | !operand),
                '<' => (value.0 << shift, value.1 << shift | ((1 << shift) - 1)),
                _ => (value.0 >> shift, value.1 >> shift | !(u32::MAX >> shift)),
            };
            rest = &rest[end..];
        }
    }
    if value.1 != u32::MAX {
        return Tri::Maybe;
    }
    for part in wanted.split(',') {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let (Some(low), Some(high)) = (number(low), number(high)) else { return Tri::Maybe };
        if low <= value.0 && value.0 <= high {
            return Tri::Yes;
        }
    }
    Tri::No
}
