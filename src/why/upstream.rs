//! Where the way leaves what is ours: an upstream router that does not know a source or a target only shows what went wrong before it.
//! The sandbox's pretended internet is such a router, and never to blame.

use super::codes::Code;
use super::finding::{Culprit, Fix, Label, Leg};
use super::packet::{Packet, Port};
use super::routes::{private, route_text};
use super::state::Net;
use super::walk::{Walk, unspecified};

/// What the pretended internet is and is not.
const PRETENDED: &str = "the pretended internet of the sandbox answers pings at 203.0.113.1 and 2001:db8::1 only; with --host it is the real one";

/// A neighbouring router that leads to a target: the link towards it, its address there, our own address there, and which it is.
struct Neighbour {
    dev: String,
    gateway: std::net::IpAddr,
    own: std::net::IpAddr,
    ns: usize,
}

impl Walk<'_> {
    /// The pretended internet takes no packet further and knows no private network: noted, at whoever sent it there.
    pub(super) fn beyond(&mut self, ns: usize, packet: &Packet, kernel: &str) {
        if self.leg == Leg::Request && self.net.ns(ns).owns(packet.dst).is_none() {
            if !self.wrong_turn(ns, packet, kernel) {
                self.unanswered(&format!("nobody has {}", packet.dst), &packet.dst.to_string());
            }
            return;
        }
        let answer = if self.leg == Leg::Request { packet.answer() } else { packet.clone() };
        if !self.nat_missing(ns, &answer, kernel) {
            let said = format!("the internet has no way back to {}", answer.dst);
            self.unanswered(&said, &answer.dst.to_string());
        }
    }

    /// What is asked of the pretended internet and is not there: a target, a way back, a service; noted at whoever asked.
    fn unanswered(&mut self, said: &str, name: &str) {
        let Some((origin, _)) = self.origin.clone() else { return };
        let culprit = Culprit::new(Code::AddrMissing, &self.net.ns(origin).at, "address", name)
            .says(format!("{said}: {PRETENDED}"))
            .because(Label::State, "the uplink of the sandbox leads to a namespace that plays the internet")
            .advise(PRETENDED);
        self.fault(culprit);
    }

    /// Whatever the walk blames on the pretended internet itself is what somebody asked of it in vain.
    pub(super) fn not_pretended(&self, culprit: Culprit) -> Culprit {
        let Some((origin, asked)) = self.origin.as_ref().filter(|_| Net::is_pretended(&culprit.at)) else {
            return culprit;
        };
        let port = match asked.dport {
            Port::Exact(port) => format!("nothing listens on {} port {port} of {}", asked.proto_name(), asked.dst),
            _ => format!("{} does not answer that", asked.dst),
        };
        let place = self.net.ns(*origin).at.clone();
        Culprit { at: place, fix: Vec::new(), evidence: Vec::new(), ..culprit }
            .says(format!("{port}: {PRETENDED}"))
            .because(Label::State, "the uplink of the sandbox leads to a namespace that plays the internet")
            .advise("let a namespace of your own play the server")
    }

    /// A private target was sent out, mostly translated, to a router that does not know it: the turn was wrong where the packet began.
    pub(super) fn wrong_turn(&mut self, ns: usize, packet: &Packet, kernel: &str) -> bool {
        let net = self.net;
        let Some((origin, asked)) = self.origin.clone() else { return false };
        if self.leg == Leg::Reply || !private(packet.dst) || self.depth > 0 || origin == ns {
            return false;
        }
        let translated = self
            .conns
            .iter()
            .rev()
            .find(|conn| conn.ns != ns && conn.after.dst.0 == packet.dst && conn.before.src.0 != conn.after.src.0);
        let translated = translated.map(|conn| (conn.ns, conn.after.src.0));
        let owned = net.all.iter().any(|other| other.owns(packet.dst).is_some());
        if translated.is_none() && !(net.pretended(ns) && owned) {
            return false;
        }
        let Ok(got) = self.route(origin, &asked, None) else { return false };
        let at = net.ns(origin).at.clone();
        let text = self.explain_route(origin, &asked, None).map(|(_, route)| route_text(&route)).unwrap_or_default();
        let there = self.called(ns);
        let out = match translated {
            Some((router, source)) => format!("{} sends it out as from {source} (NAT) to {there}", self.name(router)),
            None => format!("it leaves for {there}"),
        };
        let culprit = Culprit::new(Code::RouteWrongNexthop, &at, "route", text.clone())
            .value(got.dev.clone())
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
            .because(Label::Kernel, kernel)
            .leads_astray();
        let culprit = match self.way_to(origin, packet.dst, &got.dev) {
            Some(way) => {
                let family = if packet.v6() { "-6 " } else { "" };
                let (router, subnet) = (self.name(way.ns), self.subnet_of(packet.dst));
                let line = format!("ip {family}route add {subnet} via {} dev {}", way.gateway, way.dev);
                let mut culprit = culprit
                    .says(format!(
                        "{at} sends {} by `{text}` ({}), and so out: {out}, which does not know it; {router} at {} on {} leads there, and {at} has no route by it",
                        packet.dst, got.dev, way.gateway, way.dev
                    ))
                    .because(Label::State, format!("{router} knows the way to {} and is at {} on {} of {at}", packet.dst, way.gateway, way.dev))
                    .fix(&line);
                culprit.fix.extend(self.answer_by(&way, packet));
                culprit
            }
            None => culprit
                .says(format!(
                    "{at} sends {}, a private address, by `{text}` ({}), and so out: {out}, which does not know it",
                    packet.dst, got.dev
                ))
                .advise(format!("give {at}, or a router on the way, a route to the network of {}", packet.dst)),
        };
        self.fault(culprit);
        true
    }

    /// A router sent the request on by its default route to one that does not know the way, and another one beside it does: its own route
    /// is missing. Noted.
    pub(super) fn not_taken(&mut self, ns: usize, packet: &Packet, kernel: &str) -> bool {
        let net = self.net;
        if self.leg == Leg::Reply || self.depth > 0 {
            return false;
        }
        let mut routers: Vec<usize> = Vec::new();
        for hop in self.hops.iter().rev().filter(|hop| hop.leg == Leg::Request && hop.out) {
            let Some(index) = net.index(&hop.at).filter(|index| *index != ns && !routers.contains(index)) else {
                continue;
            };
            if net.ns(index).link(&hop.dev).is_some_and(|link| link.master.is_none()) {
                routers.push(index);
            }
        }
        for router in routers {
            let Some(way) = self.way_to(router, packet.dst, "").filter(|way| way.ns != ns) else { continue };
            let default = self.explain_route(router, &Packet { src: unspecified(packet.v6()), ..packet.clone() }, None);
            let Some((_, route)) = default.filter(|(_, route)| route.is_default()) else { continue };
            let at = net.ns(router).at.clone();
            let (there, subnet, family) =
                (self.name(way.ns), self.subnet_of(packet.dst), if packet.v6() { "-6 " } else { "" });
            let culprit = Culprit::new(Code::RouteMissing, &at, "route", subnet.clone())
                .value("missing")
                .says(format!(
                    "{at} has no route to {subnet}, so {} goes by `{}` to {}, which has none either; {there} at {} on {} leads there",
                    packet.dst,
                    route_text(&route),
                    self.called(ns),
                    way.gateway,
                    way.dev
                ))
                .because(Label::Kernel, kernel)
                .because(Label::State, format!("ip route in {there}: it knows the way to {}", packet.dst))
                .fix(&format!("ip {family}route add {subnet} via {} dev {}", way.gateway, way.dev))
                .leads_astray();
            self.fault(culprit);
            return true;
        }
        false
    }

    /// The command that lets the target answer by the router that it is asked by, where its own routes lead elsewhere.
    fn answer_by(&self, way: &Neighbour, packet: &Packet) -> Option<Fix> {
        let net = self.net;
        let target = (0..net.all.len()).find(|other| net.ns(*other).owns(packet.dst).is_some())?;
        let back = Packet { src: packet.dst, dst: way.own, ..packet.answer() };
        if target == way.ns {
            return None;
        }
        let got = self.route(target, &back, None);
        let near = |ip| net.ns(way.ns).owns(ip).is_some();
        if got.as_ref().is_ok_and(|got| got.gateway.is_some_and(near)) {
            return None;
        }
        let dev = got.map(|got| got.dev).unwrap_or_default();
        let other = self.way_to(target, way.own, &dev)?;
        let family = if packet.v6() { "-6 " } else { "" };
        let line = format!("ip {family}route add {} via {} dev {}", self.subnet_of(way.own), other.gateway, other.dev);
        Some(Fix::new(&net.ns(target).at, &line))
    }

    /// A router beside a namespace, on another link than `but`, that leads to an address by more than its default route.
    fn way_to(&self, ns: usize, dst: std::net::IpAddr, but: &str) -> Option<Neighbour> {
        let net = self.net;
        let forwarding = if dst.is_ipv6() { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
        let own = net.ns(ns).addrs.iter().filter(|addr| {
            addr.dev != "lo" && addr.dev != but && addr.ip.is_ipv6() == dst.is_ipv6() && !link_local(addr.ip)
        });
        for addr in own {
            for station in self.flood(ns, &addr.dev) {
                let there = net.ns(station.ns);
                if station.ns == ns || net.setting(station.ns, forwarding) != 1 || net.pretended(station.ns) {
                    continue;
                }
                let mut gateways = there.addrs_of(&station.dev).filter(|far| addr.covers(far.ip) && far.ip != addr.ip);
                let Some(gateway) = gateways.next() else { continue };
                let question = Packet {
                    src: unspecified(dst.is_ipv6()),
                    dst,
                    ..self.origin.as_ref().map(|(_, packet)| packet.clone())?
                };
                let leads = self.route(station.ns, &question, None).is_ok_and(|got| got.dev != station.dev)
                    && self
                        .explain_route(station.ns, &question, None)
                        .is_some_and(|(_, route)| !route.is_default() && matches!(route.kind(), "unicast" | "local"));
                if leads {
                    return Some(Neighbour {
                        dev: addr.dev.clone(),
                        gateway: gateway.ip,
                        own: addr.ip,
                        ns: station.ns,
                    });
                }
            }
        }
        None
    }

    /// What a namespace is called in a sentence.
    pub(super) fn called(&self, ns: usize) -> String {
        if self.net.pretended(ns) { "the internet".to_owned() } else { self.name(ns) }
    }
}

fn link_local(ip: std::net::IpAddr) -> bool {
    matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local())
}
