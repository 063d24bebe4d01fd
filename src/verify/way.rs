//! The way that a packet takes: one is sent, and seen in every namespace that it passes. Packet sockets see it, which change nothing there.
//!
//! What leaves one namespace comes in at the next as it left: the same ends, the same hop limit. A router takes one off the hop limit, and may
//! translate the ends. A namespace that only bridges takes nothing in for itself. What is carried inside of another packet is seen where that ends.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Manner, Session};
use crate::error::Result;
use crate::op::Where;
use crate::probe::passing::Passing;
use crate::probe::sighting::{Sighting, Sign};
use crate::probe::{Proto, Target, Verdict, ping};
use crate::session::mutant::Look;

/// As many namespaces are looked into by one thread: to close a packet socket, the kernel waits for all of its CPUs.
const EACH: usize = 8;
/// How often a packet is sent that nobody answers.
const TRIES: u32 = 3;

/// The ends of a packet on the wire.
type Ends = (SocketAddr, SocketAddr);
/// Packet sockets, each with its namespace.
type Eyes = Vec<(Where, Passing)>;
/// Namespaces, and why they could not be looked into.
type Blind = Vec<(Where, String)>;

/// The way that a packet took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The namespaces that forwarded it, in order.
    pub hops: Vec<Where>,
    /// Who took it in. `None`: it went where nobody could see it.
    pub end: Option<Where>,
    /// The address that it came from when it was seen last.
    pub source: IpAddr,
    /// The namespaces that gave it another source address, each with that address.
    pub translated: Vec<(Where, IpAddr)>,
}

/// What came of a packet whose way was to be seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was answered.
    pub verdict: Verdict,
    /// The way; `None` when the packet was not even seen to leave.
    pub way: Option<Way>,
    /// Namespaces that could not be looked into, and why.
    pub blind: Blind,
}

impl Session {
    /// Sends one more packet and sees which way it takes.
    ///
    /// # Errors
    ///
    /// When the probe cannot be made, or the sender's own namespace cannot be looked into.
    pub fn way(&self, from: &Where, target: &Target, manner: &Manner, timeout: Duration) -> Result<Seen> {
        self.about_to_look(Look::Expectation)?;
        self.settle_all()?;
        self.wait_for_dad(from, target.addr)?;
        let (eyes, blind) = self.eyes(from)?;
        let mut sent = self.send_one(from, target, manner, timeout / TRIES)?;
        for _ in 1..TRIES {
            if sent.0.is_reached() {
                break;
            }
            sent = self.send_one(from, target, manner, timeout / TRIES)?;
        }
        let (verdict, sign) = sent;
        let seen: Vec<(Where, Vec<Sighting>)> =
            eyes.iter().map(|(netns, eye)| (netns.clone(), eye.sightings())).collect();
        close(eyes);
        let way = sign.of(from, &seen).and_then(|sign| follow(from, &only(sign, seen)));
        Ok(Seen { verdict, way, blind })
    }

    /// Packet sockets of all namespaces, opened side by side.
    fn eyes(&self, from: &Where) -> Result<(Eyes, Blind)> {
        let (mut files, mut blind) = (Vec::new(), Vec::new());
        for netns in self.everywhere() {
            match self.exec().netns(&netns) {
                Ok(file) => files.push((netns, file)),
                Err(error) if netns == *from => return Err(error),
                // One that the script has deleted again.
                Err(error) if error.kind() == crate::Kind::NotFound => {}
                Err(error) => blind.push((netns, error.to_string())),
            }
        }
        let opened = std::thread::scope(|scope| {
            let open = |part: &[(Where, crate::exec::netns::NetnsFile)]| -> Vec<_> {
                part.iter()
                    .map(|(netns, file)| (netns.clone(), file.within(Passing::open).and_then(|eye| eye)))
                    .collect()
            };
            let threads: Vec<_> = files.chunks(EACH).map(|part| scope.spawn(move || open(part))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        let mut eyes = Vec::new();
        for (netns, eye) in opened {
            match eye {
                Ok(eye) => eyes.push((netns, eye)),
                Err(error) if netns == *from => return Err(error),
                Err(error) => blind.push((netns, error.to_string())),
            }
        }
        Ok((eyes, blind))
    }

    /// One packet, and what it is told by.
    fn send_one(&self, from: &Where, target: &Target, manner: &Manner, timeout: Duration) -> Result<(Verdict, Told)> {
        if target.proto == Proto::Icmp {
            let interrupt = self.exec().interrupt().clone();
            let options = manner.pinging(target, timeout);
            let report = self.within(from, || ping(target.addr, &options, &|| interrupt.is_set()))??;
            self.exec().interrupt().check()?;
            return Ok((report.verdict, Told::By(Sign::Echo(report.token))));
        }
        let established = self.probe(from, target, manner, timeout)?;
        let told = match (target.proto, established.ends()) {
            (Proto::Tcp, Some(ends)) => Told::As(ends),
            _ => Told::By(Sign::Datagram(established.token())),
        };
        Ok((established.into_verdict(), told))
    }
}

/// Closes packet sockets side by side.
fn close(mut left: Eyes) {
    std::thread::scope(|scope| {
        while !left.is_empty() {
            let part = left.split_off(left.len().saturating_sub(EACH));
            scope.spawn(move || drop(part));
        }
    });
}

/// What tells the packet that was sent.
enum Told {
    /// This.
    By(Sign),
    /// The first segment between these ends, as it leaves.
    As(Ends),
}

impl Told {
    fn of(&self, from: &Where, seen: &[(Where, Vec<Sighting>)]) -> Option<Sign> {
        match self {
            Self::By(sign) => Some(*sign),
            // Either end may be translated as it leaves; both at once leave nothing to know it by.
            Self::As((local, remote)) => {
                let first = |one: &&Sighting| one.out && matches!(one.sign, Sign::Syn(_));
                let own = || seen.iter().filter(|(netns, _)| netns == from).flat_map(|(_, all)| all).filter(first);
                let (from_port, to) =
                    (|one: &&Sighting| one.ends.0.port() == local.port(), |one: &&Sighting| same(one.ends.1, *remote));
                let found = own().find(|one| from_port(one) && to(one)).or_else(|| own().find(to));
                found.or_else(|| own().find(from_port)).map(|one| one.sign)
            }
        }
    }
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip().to_canonical() == other.ip().to_canonical() && one.port() == other.port()
}

fn only(sign: Sign, seen: Vec<(Where, Vec<Sighting>)>) -> Vec<(Where, Vec<Sighting>)> {
    let own = |all: Vec<Sighting>| all.into_iter().filter(|one| one.sign == sign).collect();
    seen.into_iter().map(|(netns, all)| (netns, own(all))).collect()
}

/// Follows a packet from namespace to namespace by what was seen of it.
fn follow(from: &Where, seen: &[(Where, Vec<Sighting>)]) -> Option<Way> {
    let sent = |netns: &Where, ttl: u8| -> Vec<Ends> {
        let all = seen.iter().filter(|(other, _)| other == netns).flat_map(|(_, all)| all);
        all.filter(|one| one.out && one.ttl == ttl).map(|one| one.ends).collect()
    };
    let own = seen.iter().filter(|(netns, _)| netns == from).flat_map(|(_, all)| all);
    let mut ttl = own.filter(|one| one.out).map(|one| one.ttl).max()?;
    let mut wires = sent(from, ttl);
    let mut past = wires.clone();
    let mut way = Way { hops: Vec::new(), end: None, source: wires.first()?.0.ip(), translated: Vec::new() };
    loop {
        let came: Vec<(&Where, Ends)> = seen
            .iter()
            .filter_map(|(netns, all)| {
                let here = all.iter().find(|one| !one.out && one.ttl == ttl && wires.contains(&one.ends))?;
                Some((netns, here.ends))
            })
            .collect();
        // A datagram that is echoed goes the other way between the same ends.
        let onward = |netns: &Where| -> Vec<Ends> {
            let lower = ttl.checked_sub(1).map(|ttl| sent(netns, ttl)).unwrap_or_default();
            lower.into_iter().filter(|(source, to)| !past.contains(&(*to, *source))).collect()
        };
        // Where a link of one namespace stands on one of another, both see it come; only one of them sends it on.
        let next =
            came.iter().map(|(netns, ends)| (*netns, *ends, onward(netns))).find(|(.., onward)| !onward.is_empty());
        let Some((netns, before, onward)) = next else {
            let stays = came.iter().find(|(netns, _)| *netns != from).or(came.first());
            if let Some((netns, ends)) = stays {
                (way.end, way.source) = (Some((*netns).clone()), ends.0.ip());
            }
            return Some(way);
        };
        way.source = onward.last()?.0.ip();
        if way.source != before.0.ip() {
            way.translated.push((netns.clone(), way.source));
        }
        way.hops.push(netns.clone());
        past.extend(&onward);
        wires = onward;
        ttl -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGN: Sign = Sign::Syn(7);

    fn at(name: &str) -> Where {
        Where::Named(name.to_owned())
    }

    fn ends(text: &str) -> Ends {
        let (from, to) = text.split_once(' ').unwrap();
        let end = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        (end(from), end(to))
    }

    /// `>64 A B`: sent with this hop limit; `<64 A B`: came in.
    fn seen(lines: &[(&str, &[&str])]) -> Vec<(Where, Vec<Sighting>)> {
        let one = |text: &&str| {
            let (way, rest) = text.split_at(1);
            let (ttl, rest) = rest.split_once(' ').unwrap();
            Sighting { out: way == ">", ttl: ttl.parse().unwrap(), ends: ends(rest), sign: SIGN }
        };
        lines.iter().map(|(name, all)| (at(name), all.iter().map(one).collect())).collect()
    }

    fn told(all: &[(&str, &[&str])]) -> (String, Option<String>, String) {
        let way = follow(&at("a"), &seen(all)).unwrap();
        let hops: Vec<String> = way.hops.iter().map(Where::name).collect();
        (hops.join(" "), way.end.map(|end| end.name()), way.source.to_string())
    }

    #[test]
    fn a_packet_is_followed_from_router_to_router() {
        let way = told(&[
            ("b", &["<62 1.1.1.1 2.2.2.2"]),
            ("r2", &["<63 1.1.1.1 2.2.2.2", ">62 1.1.1.1 2.2.2.2"]),
            ("a", &[">64 1.1.1.1 2.2.2.2"]),
            // A bridge sends it as it is, and takes nothing in for itself.
            ("switch", &[">64 1.1.1.1 2.2.2.2"]),
            ("r1", &["<64 1.1.1.1 2.2.2.2", ">63 1.1.1.1 2.2.2.2"]),
        ]);
        assert_eq!(way, ("r1 r2".into(), Some("b".into()), "1.1.1.1".into()));
    }

    #[test]
    fn translation_does_not_hide_it_and_is_told() {
        let all = seen(&[
            ("a", &[">64 1.1.1.1 8.8.8.8"]),
            ("nat", &["<64 1.1.1.1 8.8.8.8", ">63 9.9.9.9 2.2.2.2"]),
            ("b", &["<63 9.9.9.9 2.2.2.2"]),
        ]);
        let way = follow(&at("a"), &all).unwrap();
        assert_eq!((way.source.to_string(), way.end), ("9.9.9.9".into(), Some(at("b"))));
        assert_eq!(way.translated, [(at("nat"), "9.9.9.9".parse().unwrap())]);
    }

    #[test]
    fn an_echo_that_comes_back_another_way_is_not_taken_for_the_packet() {
        let way = told(&[
            ("a", &[">64 1.1.1.1 2.2.2.2", "<63 2.2.2.2 1.1.1.1"]),
            ("r1", &["<64 1.1.1.1 2.2.2.2", ">63 1.1.1.1 2.2.2.2"]),
            ("b", &["<63 1.1.1.1 2.2.2.2", ">64 2.2.2.2 1.1.1.1"]),
            ("r2", &["<64 2.2.2.2 1.1.1.1", ">63 2.2.2.2 1.1.1.1"]),
        ]);
        assert_eq!(way, ("r1".into(), Some("b".into()), "1.1.1.1".into()));
        // The same way back, through the router that it came by.
        let way = told(&[
            ("a", &[">64 1.1.1.1 2.2.2.2"]),
            ("r1", &["<64 1.1.1.1 2.2.2.2", ">63 2.2.2.2 1.1.1.1", ">63 1.1.1.1 2.2.2.2", "<64 2.2.2.2 1.1.1.1"]),
            ("b", &["<63 1.1.1.1 2.2.2.2", ">64 2.2.2.2 1.1.1.1"]),
        ]);
        assert_eq!(way, ("r1".into(), Some("b".into()), "1.1.1.1".into()));
    }

    #[test]
    fn where_nobody_sees_it_the_way_ends_unknown() {
        let way = told(&[("a", &[">64 1.1.1.1 2.2.2.2"]), ("r1", &["<64 1.1.1.1 2.2.2.2", ">63 1.1.1.1 2.2.2.2"])]);
        assert_eq!(way, ("r1".into(), None, "1.1.1.1".into()));
        let own = told(&[("a", &[">64 127.0.0.1 127.0.0.1", "<64 127.0.0.1 127.0.0.1"])]);
        assert_eq!(own, (String::new(), Some("a".into()), "127.0.0.1".into()));
        assert_eq!(follow(&at("a"), &seen(&[("b", &["<64 1.1.1.1 2.2.2.2"])])), None, "it never left");
        // A link of one namespace on one of another: both see it come.
        let shared = told(&[
            ("a", &[">64 1.1.1.1 2.2.2.2"]),
            ("host", &["<64 1.1.1.1 2.2.2.2"]),
            ("r1", &["<64 1.1.1.1 2.2.2.2", ">63 1.1.1.1 2.2.2.2"]),
            ("b", &["<63 1.1.1.1 2.2.2.2"]),
        ]);
        assert_eq!(shared.0, "r1");
    }
}
