//! A snapshot for a bug report: public addresses, MAC addresses and public keys are replaced, each always by the same one; the machine's name goes.
//! An address that a rule has as a number (`--u32`, `@nh,96,32` of nft) is not known for one.

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
/// A link that is named by its MAC address (`systemd.net-naming-scheme(7)`: `enx525400123456`).
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(en|wl|ww|ib|sl)x([0-9a-f]{12})\b").ok());
/// A key of `WireGuard`'s: 32 bytes in base64.
static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/]{43}=").ok());
/// What a person wrote: the comment of a rule, what stands in quotes.
static WRITTEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#""[^"]*"|comment \S+"#).ok());

/// Replaces public addresses, MAC addresses, public keys, and the name of the machine. Addresses of one /24 or /64 stay in one, so that routes still fit;
/// private, loopback, link-local, multicast and documentation addresses stay as they are, but for a public or a MAC address that is part of them.
///
/// # Errors
///
/// `Internal` when the document cannot be made into JSON and back.
pub(crate) fn redact(snapshot: &Snapshot) -> Result<Snapshot> {
    let internal =
        |error: serde_json::Error| Error::new(Kind::Internal, format!("the snapshot cannot be redacted: {error}"));
    let mut value = serde_json::to_value(snapshot).map_err(internal)?;
    let mut known = Known { host: snapshot.machine.hostname.clone(), ..Known::default() };
    walk(&mut value, &mut known);
    let mut redacted: Snapshot = serde_json::from_value(value).map_err(internal)?;
    redacted.machine.hostname = "redacted".into();
    redacted.redacted = true;
    Ok(redacted)
}

/// What was replaced by what.
#[derive(Default)]
struct Known {
    /// The machine's name.
    host: String,
    keys: HashMap<String, usize>,
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
                if let (Value::String(text), "alias") = (&mut one, key.as_str()) {
                    *text = known.unnamed(text);
                }
                all.insert(replace(&key, known), one);
            }
        }
        _ => {}
    }
}

fn replace(text: &str, known: &mut Known) -> String {
    let (Some(address), Some(named), Some(key), Some(written)) =
        (ADDRESS.as_ref(), NAMED.as_ref(), KEY.as_ref(), WRITTEN.as_ref())
    else {
        return String::new();
    };
    let text = key.replace_all(text, |found: &Captures<'_>| known.key(&found[0]));
    let text = address.replace_all(&text, |found: &Captures<'_>| one(&found[0], known));
    let text = named.replace_all(&text, |found: &Captures<'_>| {
        let bytes = u64::from_str_radix(&found[2], 16).unwrap_or(0).to_be_bytes();
        let [_, _, mac @ ..] = bytes;
        format!("{}x{}", &found[1], known.mac(mac).replace(':', ""))
    });
    written.replace_all(&text, |found: &Captures<'_>| known.unnamed(&found[0])).into_owned()
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
        if let Some(ip) = self.with_parts(ip) {
            return ip;
        }
        let stays = ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_unique_local()
            || ip.is_unicast_link_local()
            || words[..2] == [0x2001, 0xdb8]
            // What is too short to be anybody's.
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

    /// An address that stays but for a part: IPv4 in IPv6 (`::ffff:8.8.8.8`, `64:ff9b::8.8.8.8`, ISATAP's `fe80::5efe:8.8.8.8`), or the MAC address of a link in
    /// what is no public address (EUI-64, RFC 4291).
    fn with_parts(&mut self, ip: Ipv6Addr) -> Option<String> {
        let (words, bytes) = (ip.segments(), ip.octets());
        let [.., a, b, c, d] = bytes;
        let v4 = Ipv4Addr::new(a, b, c, d);
        let wraps = words[..5] == [0; 5] && words[5] == 0xffff || words[0] == 0x64 && words[1] == 0xff9b;
        let isatap = words[5] == 0x5efe && matches!(words[4], 0 | 0x200);
        if wraps || isatap && words[0] >= 0xfc00 {
            let new = self.v4(v4);
            let mut whole = bytes;
            whole[12..].copy_from_slice(&new.parse::<Ipv4Addr>().ok()?.octets());
            return Some(Ipv6Addr::from(whole).to_string());
        }
        let local = ip.is_unicast_link_local() || ip.is_unique_local();
        if local && bytes[11..13] == [0xff, 0xfe] {
            let of = [bytes[8] ^ 2, bytes[9], bytes[10], bytes[13], bytes[14], bytes[15]];
            let new = mac(&self.mac(of))?;
            let mut whole = bytes;
            whole[8..11].copy_from_slice(&[new[0] ^ 2, new[1], new[2]]);
            whole[13..].copy_from_slice(&new[3..]);
            return Some(Ipv6Addr::from(whole).to_string());
        }
        None
    }

    fn key(&mut self, key: &str) -> String {
        let next = self.keys.len();
        format!("key-{}", *self.keys.entry(key.to_owned()).or_insert(next) + 1)
    }

    /// What a person wrote, without the machine's name, whole or up to its first dot.
    fn unnamed(&self, text: &str) -> String {
        let short = self.host.split('.').next().unwrap_or_default();
        let names = [self.host.as_str(), short].into_iter().filter(|name| !matches!(*name, "" | "localhost" | "host"));
        names.fold(text.to_owned(), |text, name| without_word(&text, name))
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

/// A text without a word, wherever it stands by itself.
fn without_word(text: &str, word: &str) -> String {
    let of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = &from[word.len()..];
        let last = before.chars().next_back().or_else(|| out.chars().next_back());
        let alone = !last.is_some_and(of_word) && !after.chars().next().is_some_and(of_word);
        out.push_str(before);
        out.push_str(if alone { "redacted" } else { word });
        rest = after;
    }
    out + rest
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

    #[test]
    fn what_is_part_of_something_else_is_replaced_there() {
        let mut known = Known { host: "edge7.example.net".into(), ..Known::default() };
        let mut told = |text: &str| replace(text, &mut known);
        assert_eq!(told("link/ether 52:54:00:12:34:56"), "link/ether 02:00:5e:10:00:00");
        assert_eq!(told("lo enx525400123456 state"), "lo enx02005e100000 state");
        assert_eq!(told("fe80::5054:ff:fe12:3456/64"), "fe80::5eff:fe10:0/64");
        assert_eq!(told("fd00:1::5054:ff:fe12:3456"), "fd00:1::5eff:fe10:0");
        assert_eq!(told("::ffff:8.8.4.4"), "::ffff:198.18.0.4");
        assert_eq!(told("64:ff9b::8.8.4.4/128"), "64:ff9b::c612:4/128");
        assert_eq!(told("::ffff:10.0.0.1 fe80::5efe:10.0.0.1"), "::ffff:10.0.0.1 fe80::5efe:a00:1");
        let key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        assert_eq!(told(&format!("{key} 51820 {key}")), "key-1 51820 key-1");
        assert_eq!(
            told("-A FORWARD -m comment --comment \"from edge7, not edge77\" -j edge7"),
            "-A FORWARD -m comment --comment \"from redacted, not edge77\" -j edge7"
        );
        assert_eq!(told("--comment edge7 -j X"), "--comment redacted -j X");
    }
}
