//! A snapshot for a bug report: public addresses and MAC addresses are replaced, each always by the same one.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::Snapshot;
use crate::error::{Error, Kind, Result};

/// What looks like an address of any sort; what does not parse as one is left alone.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[0-9A-Fa-f]*(?:[:.][0-9A-Fa-f]*){2,}[0-9A-Fa-f]*").ok());

/// Replaces public addresses and MAC addresses, and the names of the machine. Addresses of one /24 or /64 stay in one, so that routes still fit; private,
/// loopback, link-local, multicast and documentation addresses stay as they are.
///
/// # Errors
///
/// `Internal` when the document cannot be made into JSON and back.
pub fn redact(snapshot: &Snapshot) -> Result<Snapshot> {
    let internal =
        |error: serde_json::Error| Error::new(Kind::Internal, format!("the snapshot cannot be redacted: {error}"));
    let mut value = serde_json::to_value(snapshot).map_err(internal)?;
    let mut known = Known::default();
    walk(&mut value, &mut known);
    let mut redacted: Snapshot = serde_json::from_value(value).map_err(internal)?;
    redacted.machine.hostname = "redacted".into();
    redacted.redacted = true;
    Ok(redacted)
}

/// What was replaced by what.
#[derive(Default)]
struct Known {
    v4: HashMap<[u8; 3], usize>,
    v6: HashMap<[u8; 8], usize>,
    macs: HashMap<[u8; 6], usize>,
}

fn walk(value: &mut Value, known: &mut Known) {
    match value {
        Value::String(text) => *text = replace(text, known),
        Value::Array(all) => all.iter_mut().for_each(|one| walk(one, known)),
        Value::Object(all) => {
            let old = std::mem::take(all);
            for (key, mut one) in old {
                walk(&mut one, known);
                all.insert(replace(&key, known), one);
            }
        }
        _ => {}
    }
}

fn replace(text: &str, known: &mut Known) -> String {
    let Some(address) = ADDRESS.as_ref() else { return text.to_owned() };
    address.replace_all(text, |found: &Captures<'_>| one(&found[0], known)).into_owned()
}

fn one(word: &str, known: &mut Known) -> String {
    // A full stop or colon behind it is the sentence's.
    let bare = word.trim_end_matches('.');
    let bare = if bare.ends_with("::") { bare } else { bare.trim_end_matches(':') };
    let tail = &word[bare.len()..];
    let new = if let Some(mac) = mac(bare) {
        known.mac(mac)
    } else if let Ok(ip) = bare.parse::<Ipv4Addr>() {
        known.v4(ip)
    } else if let Ok(ip) = bare.parse::<Ipv6Addr>() {
        known.v6(ip)
    } else {
        bare.to_owned()
    };
    new + tail
}

fn mac(word: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = word.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

impl Known {
    fn v4(&mut self, ip: Ipv4Addr) -> String {
        let [a, b, c, d] = ip.octets();
        let shared = a == 100 && (64..128).contains(&b);
        let stays = ip.is_private()
            || ip.is_loopback()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_documentation()
            || ip.is_broadcast()
            || shared
            || a == 0
            || a == 255;
        if stays {
            return ip.to_string();
        }
        let next = self.v4.len();
        let net = *self.v4.entry([a, b, c]).or_insert(next);
        // 198.18.0.0/15 is for tests of networks (RFC 2544): 512 nets, then the last stands for the rest.
        let net = net.min(511);
        Ipv4Addr::new(198, 18 + u8::from(net > 255), u8::try_from(net % 256).unwrap_or(255), d).to_string()
    }

    fn v6(&mut self, ip: Ipv6Addr) -> String {
        let words = ip.segments();
        let stays = ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_unique_local()
            || ip.is_unicast_link_local()
            || words[..2] == [0x2001, 0xdb8]
            // IPv4 in IPv6, and what is too short to be anybody's.
            || words[0] < 0x2000;
        if stays {
            return ip.to_string();
        }
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&ip.octets()[..8]);
        let next = self.v6.len();
        let net = u16::try_from(*self.v6.entry(prefix).or_insert(next)).unwrap_or(u16::MAX);
        // The part of the host may be made of a MAC address.
        let last = words[7];
        let host = if words[4..7] == [0; 3] || last == 0 { [words[4], words[5], words[6]] } else { [0, 0, 0xeeee] };
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, net, host[0], host[1], host[2], last).to_string()
    }

    fn mac(&mut self, mac: [u8; 6]) -> String {
        if mac == [0; 6] || mac == [0xff; 6] || mac[0] & 1 == 1 {
            return mac.map(|byte| format!("{byte:02x}")).join(":");
        }
        let next = self.macs.len();
        let [.., a, b] = u32::try_from(*self.macs.entry(mac).or_insert(next)).unwrap_or(u32::MAX).to_be_bytes();
        format!("02:00:5e:10:{a:02x}:{b:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_is_always_replaced_by_the_same_one_and_stays_in_its_net() {
        let mut known = Known::default();
        let mut told = |text: &str| replace(text, &mut known);
        assert_eq!(told("default via 8.8.4.1 dev eth0 src 8.8.4.7"), "default via 198.18.0.1 dev eth0 src 198.18.0.7");
        assert_eq!(told("8.8.8.0/24"), "198.18.1.0/24");
        assert_eq!(told("-A FORWARD -s 8.8.4.7/32"), "-A FORWARD -s 198.18.0.7/32");
        assert_eq!(told("eth0 2a01:4f8:1::5/64: x"), "eth0 2001:db8:ffff::5/64: x");
        assert_eq!(told("lladdr 52:54:00:12:34:56"), "lladdr 02:00:5e:10:00:00");
        assert_eq!(told("52:54:00:12:34:57 52:54:00:12:34:56"), "02:00:5e:10:00:01 02:00:5e:10:00:00");
        for same in [
            "10.0.0.1/8",
            "fe80::1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "33:33:00:00:00:01",
            "1.2.3",
            "a.b.c",
            "0: from all",
            "net.ipv4.conf",
            "fd00::1",
            "00:00:00:00:00:00",
            "ff02::1:ff00:1",
            "224.0.0.1",
        ] {
            assert_eq!(told(same), same);
        }
    }
}
