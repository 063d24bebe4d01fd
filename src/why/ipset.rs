//! The sets of `ipset`: what they hold, and whether a packet is in one.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::evaluation::number;
use super::packet::{Packet, Port, Spot, Tri, icmp_kind, icmp6_kind, protocol};

/// How deep sets may list other sets: the kernel lets a `list:set` hold no other list.
const DEPTH: u8 = 2;

/// One set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    /// What its elements are made of: `ip`, `net`, `port`, `iface`, `mark`, `mac`, `set`.
    parts: Vec<String>,
    elements: Vec<(String, bool)>,
}

/// The sets of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ipsets {
    sets: HashMap<String, Set>,
}

impl Ipsets {
    /// What `ipset save` printed.
    #[must_use]
    pub(super) fn parse(stdout: &str) -> Self {
        let mut sets: HashMap<String, Set> = HashMap::new();
        for line in stdout.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["create", name, kind, ..] => {
                    let parts = kind.split_once(':').map_or(*kind, |(_, parts)| parts);
                    let parts = parts.split(',').map(str::to_owned).collect();
                    sets.insert((*name).to_owned(), Set { parts, elements: Vec::new() });
                }
                ["add", name, element, rest @ ..] => {
                    // What follows a comment is free text.
                    let nomatch = rest.iter().take_while(|word| **word != "comment").any(|word| *word == "nomatch");
                    if let Some(set) = sets.get_mut(*name) {
                        set.elements.push(((*element).to_owned(), nomatch));
                    }
                }
                _ => {}
            }
        }
        Self { sets }
    }

    /// Whether a packet is in a set, and what of the packet is looked for there, as `ipset add` takes it.
    #[must_use]
    pub(super) fn holds(&self, name: &str, sides: &str, packet: &Packet, spot: &Spot<'_>) -> (Tri, String) {
        self.look(name, &sides.split(',').collect::<Vec<_>>(), packet, spot, 0)
    }

    /// Whether an element stands in a set just so, and not within another one.
    #[must_use]
    pub(super) fn has(&self, name: &str, element: &str) -> bool {
        self.sets.get(name).is_some_and(|set| set.elements.iter().any(|(one, _)| one == element))
    }

    fn look(&self, name: &str, sides: &[&str], packet: &Packet, spot: &Spot<'_>, depth: u8) -> (Tri, String) {
        let Some(set) = self.sets.get(name).filter(|_| depth < DEPTH) else { return (Tri::Maybe, String::new()) };
        if set.parts == ["set"] {
            let listed = set.elements.iter().map(|(of, _)| self.look(of, sides, packet, spot, depth + 1));
            return listed.fold((Tri::No, String::new()), |(all, text), (one, of)| {
                (all.or(one), if one == Tri::Yes || text.is_empty() { of } else { text })
            });
        }
        let sides: Vec<bool> = sides.iter().map(|side| *side == "src").collect();
        let have: Vec<String> = (set.parts.iter().enumerate())
            .map(|(index, part)| shown(part, sides.get(index).or(sides.last()).copied().unwrap_or(true), packet, spot))
            .collect();
        let (mut best, mut maybe): (Option<(u32, bool)>, bool) = (None, false);
        for (element, nomatch) in &set.elements {
            let pieces: Vec<&str> = element.split(',').collect();
            let mut weight = 0;
            let judged = set.parts.iter().enumerate().fold(Tri::Yes, |all, (index, part)| {
                let source = sides.get(index).or(sides.last()).copied().unwrap_or(true);
                // An element may say less than its set could: `bitmap:ip,mac` without the MAC is any.
                let Some(piece) = pieces.get(index) else { return all };
                let (one, bits) = is(part, piece, source, packet, spot);
                weight += bits;
                all.and(one)
            });
            match judged {
                Tri::Yes if best.is_none_or(|(known, _)| weight >= known) => best = Some((weight, *nomatch)),
                Tri::Maybe => maybe = true,
                _ => {}
            }
        }
        let found = match best {
            // The longest prefix decides, also when it says `nomatch`.
            Some((_, nomatch)) if !maybe => (!nomatch).into(),
            None if !maybe => Tri::No,
            _ => Tri::Maybe,
        };
        (found, have.join(","))
    }
}

/// What of a packet a part of an element is compared with.
fn shown(part: &str, source: bool, packet: &Packet, spot: &Spot<'_>) -> String {
    match part {
        "ip" | "net" => if source { packet.src } else { packet.dst }.to_string(),
        "port" => match if source { packet.sport } else { packet.dport } {
            Port::Exact(port) => format!("{}:{port}", packet.proto_name()),
            _ => packet.proto_name().to_owned(),
        },
        "iface" => if source { spot.iif } else { spot.oif }.to_owned(),
        "mark" => packet.mark.map_or_else(String::new, |mark| format!("0x{mark:x}")),
        "mac" => spot.macs.map_or_else(String::new, |(from, _)| from.to_owned()),
        _ => String::new(),
    }
}

/// Whether a part of an element is what the packet has, and by how many bits of a prefix.
fn is(part: &str, piece: &str, source: bool, packet: &Packet, spot: &Spot<'_>) -> (Tri, u32) {
    match part {
        "ip" | "net" => {
            let ip = if source { packet.src } else { packet.dst };
            let net = piece.parse::<IpNet>().ok().or_else(|| piece.parse::<IpAddr>().ok().map(IpNet::from));
            let range = piece
                .split_once('-')
                .and_then(|(low, high)| Some((low.parse::<IpAddr>().ok()?, high.parse::<IpAddr>().ok()?)));
            match (net, range) {
                (Some(net), _) => (net.contains(&ip).into(), u32::from(net.prefix_len())),
                (_, Some((low, high))) => ((low <= ip && ip <= high).into(), 0),
                _ => (Tri::Maybe, 0),
            }
        }
        "port" => (is_port(piece, source, packet), 0),
        "iface" => match piece.strip_prefix("physdev:") {
            Some(port) => {
                let have = if source { spot.physin } else { spot.physout };
                ((have == Some(port)).into(), 0)
            }
            None => ((piece == if source { spot.iif } else { spot.oif }).into(), 0),
        },
        "mark" => (packet.mark.zip(number(piece)).map_or(Tri::Maybe, |(have, want)| (have == want).into()), 0),
        "mac" => (spot.macs.map_or(Tri::Maybe, |(from, _)| from.eq_ignore_ascii_case(piece).into()), 0),
        _ => (Tri::Maybe, 0),
    }
}

/// `tcp:80`, `icmp:echo-request`, or a number alone, which is a port of TCP or UDP.
fn is_port(piece: &str, source: bool, packet: &Packet) -> Tri {
    let (proto, rest) = piece.split_once(':').map_or((None, piece), |(proto, rest)| (Some(proto), rest));
    match proto.map(protocol) {
        Some(None) => return Tri::Maybe,
        Some(Some(proto)) if proto != packet.proto => return Tri::No,
        None if !matches!(packet.proto, 6 | 17) => return Tri::No,
        _ => {}
    }
    if let Some(kind) = packet.icmp {
        let want = if packet.v6() { icmp6_kind(rest) } else { icmp_kind(rest) };
        return want.map_or(Tri::Maybe, |(want, code)| {
            (want == kind && code.is_none_or(|code| code == packet.icmp_code())).into()
        });
    }
    let (low, high) = rest.split_once('-').unwrap_or((rest, rest));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) => if source { packet.sport } else { packet.dport }.within(low, high),
        _ => Tri::Maybe,
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{Hook, Sort, Way};
    use super::*;

    const SAVED: &str = "\
create allowed hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x5e3
add allowed 10.244.0.40
create nets hash:net family inet hashsize 1024 maxelem 65536
add nets 10.0.0.0/8
add nets 10.9.0.0/16 nomatch
create web hash:ip,port family inet hashsize 1024 maxelem 65536 comment
add web 10.1.0.5,tcp:80 comment \"nomatch is no word here\"
create ports bitmap:port range 0-1024
add ports 53
create cards hash:net,iface family inet hashsize 1024 maxelem 65536
add cards 10.0.0.0/8,eth0
create all list:set size 8
add all allowed
add all nets
create marks hash:ip,mark family inet markmask 0xffffffff hashsize 1024 maxelem 65536
add marks 10.1.0.5,0x00000010
";

    fn asked(set: &str, sides: &str, src: &str, dst: &str) -> Tri {
        let packet = Packet {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            proto: 6,
            sport: Port::Ephemeral,
            dport: Port::Exact(80),
            icmp: None,
            ..Packet::solicitation()
        };
        let sort = |_: IpAddr| Sort::Unicast;
        let way = |_: &Packet| Way::Unknown;
        let spot = Spot {
            hook: Hook::Forward,
            iif: "eth0",
            oif: "eth1",
            physin: None,
            physout: None,
            sort: &sort,
            way: &way,
            arp: false,
            macs: None,
        };
        Ipsets::parse(SAVED).holds(set, sides, &packet, &spot).0
    }

    #[test]
    fn sets_hold_what_the_kernel_says_they_hold() {
        for (set, sides, src, dst, want) in [
            ("allowed", "src", "10.244.0.40", "10.1.0.5", Tri::Yes),
            ("allowed", "src", "10.244.0.44", "10.1.0.5", Tri::No),
            ("nets", "dst", "1.1.1.1", "10.1.0.5", Tri::Yes),
            ("nets", "dst", "1.1.1.1", "10.9.0.5", Tri::No),
            ("web", "dst,dst", "1.1.1.1", "10.1.0.5", Tri::Yes),
            ("web", "dst,dst", "1.1.1.1", "10.1.0.6", Tri::No),
            // The source port is one that the kernel chooses.
            ("web", "dst,src", "1.1.1.1", "10.1.0.5", Tri::No),
            ("ports", "dst", "1.1.1.1", "10.1.0.5", Tri::No),
            ("cards", "src,src", "10.7.0.1", "10.1.0.5", Tri::Yes),
            ("cards", "src,dst", "10.7.0.1", "10.1.0.5", Tri::No),
            ("all", "src", "10.244.0.40", "1.1.1.1", Tri::Yes),
            ("all", "src", "10.9.0.1", "1.1.1.1", Tri::No),
            ("marks", "dst,dst", "1.1.1.1", "10.1.0.5", Tri::No),
            ("nobody", "src", "1.1.1.1", "1.1.1.1", Tri::Maybe),
        ] {
            assert_eq!(asked(set, sides, src, dst), want, "{set} {sides} {src} {dst}");
        }
    }
}
