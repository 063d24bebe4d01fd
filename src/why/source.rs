//! Addresses that do not fit where they are: a source that nobody answers while another one of the same link would do, an address on the port
//! of a bridge, one that is the broadcast address of its own network.

use std::net::IpAddr;

use ipnet::IpNet;

use super::codes::Code;
use super::finding::{Culprit, Evidence, Fix, Label, Leg};
use super::packet::{Packet, Port};
use super::state::{Addr, Net};
use super::walk::{Walk, unspecified};
use crate::model::route::Route;

/// How many addresses of a subnet are looked at for a free one.
const SEARCHED: usize = 4096;

impl Walk<'_> {
    /// A packet leaves by a link that is a port: what comes in by that belongs to its master, so nobody's hardware address is ever learned on
    /// it, and no answer gets to it. Noted.
    pub(super) fn address_on_a_port(&mut self, ns: usize, dev: &str, nexthop: IpAddr, v6: bool) {
        let network = self.net.ns(ns);
        let Some(link) = network.link(dev) else { return };
        let Some(master) = link.master.as_deref().and_then(|master| network.link(master)) else { return };
        let kind = master.kind().unwrap_or_default();
        let pinned = |entry: &super::state::Neigh| {
            entry.dev == dev
                && entry.ip == nexthop
                && entry.state.iter().any(|word| word == "PERMANENT" || word == "NOARP")
        };
        if !matches!(kind, "bridge" | "bond" | "team") || network.neighs.iter().any(pinned) {
            return;
        }
        let link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let own: Vec<&Addr> =
            network.addrs_of(dev).filter(|addr| addr.ip.is_ipv6() == v6 && !link_local(addr.ip)).collect();
        let Some(first) = own.first() else { return };
        let (at, to) = (network.at.clone(), master.ifname.clone());
        let mut culprit = Culprit::new(Code::RouteWrongNexthop, &at, "address", format!("{}/{} dev {dev}", first.ip, first.len))
            .value(format!("master {to}"))
            .says(format!(
                "{at} sends by {dev}, which is a port of the {kind} {to}: what comes in by it is {to}'s, the answers to {} among it; the address \
                 {}/{} and its routes belong on {to}",
                if v6 { "neighbour discovery" } else { "ARP" },
                first.ip,
                first.len
            ))
            .because(Label::State, format!("ip link show dev {dev} in {at}: master {to}"))
            .because(Label::State, format!("ip addr show dev {dev} in {at}: {}/{}", first.ip, first.len));
        let nodad = if v6 { " nodad" } else { "" };
        for addr in &own {
            culprit = culprit
                .fix(&format!("ip addr del {}/{} dev {dev}", addr.ip, addr.len))
                .fix(&format!("ip addr add {}/{} dev {to}{nodad}", addr.ip, addr.len));
        }
        culprit.fix.extend(moved_routes(&network.routes, &at, dev, &to, v6));
        self.fault(culprit);
    }

    /// An address whose prefix covers the target, without the route to that prefix which comes with an address by itself. Noted.
    pub(super) fn without_its_prefix(&mut self, ns: usize, packet: &Packet, kernel: &str) -> bool {
        let network = self.net.ns(ns);
        let bits = if packet.v6() { 128 } else { 32 };
        let own = network.addrs.iter().find(|addr| {
            let up = network.link(&addr.dev).is_some_and(crate::model::link::Link::is_up);
            addr.dev != "lo" && up && addr.len < bits && addr.covers(packet.dst) && addr.ip != packet.dst
        });
        let Some(own) = own.cloned() else { return false };
        let near = self.flood(ns, &own.dev).iter().any(|one| self.net.ns(one.ns).owns(packet.dst).is_some());
        if !near {
            return false;
        }
        let (at, prefix) = (network.at.clone(), network_of(&own));
        // In a table that no rule looks into it would be another fault.
        if network.routes.iter().any(|route| route.destination().is_some_and(|net| net.to_string() == prefix)) {
            return false;
        }
        let code = if self.leg == Leg::Reply { Code::ReturnRouteMissing } else { Code::RouteMissing };
        let family = if packet.v6() { "-6 " } else { "" };
        self.fault(
            Culprit::new(code, &at, "route", prefix.clone())
                .value("missing")
                .says(format!(
                    "{at} has {}/{} on {}, where {} is too, and no route to the prefix {prefix}: the address came without it (noprefixroute), and \
                     nothing else said that the prefix is on this link",
                    own.ip, own.len, own.dev, packet.dst
                ))
                .because(Label::Kernel, kernel)
                .because(Label::State, format!("ip addr in {at}: {}/{} dev {}; ip route: none for {prefix}", own.ip, own.len, own.dev))
                .fix(&format!("ip {family}route add {prefix} dev {}", own.dev)),
        );
        true
    }

    /// A packet comes from an address, or is for one, that is the broadcast address of a network here, and somebody has it as his own. Noted.
    pub(super) fn broadcast_as_an_address(&mut self, ns: usize, packet: &Packet, said: &str, line: &str) -> bool {
        let net = self.net;
        if packet.v6() {
            return false;
        }
        let is_last =
            |addr: &Addr, ip: IpAddr| addr.len < 31 && addr.dev != "lo" && last_of(addr.ip, addr.len) == Some(ip);
        let found = [packet.src, packet.dst].into_iter().find_map(|ip| {
            let here = net.ns(ns).addrs.iter().find(|addr| is_last(addr, ip))?;
            let owner = (0..net.all.len()).find(|other| net.ns(*other).owns(ip).is_some())?;
            Some((ip, here.clone(), owner, net.ns(owner).owns(ip)?.clone()))
        });
        let Some((ip, here, owner, own)) = found else { return false };
        let (at, there) = (net.ns(ns).at.clone(), net.ns(owner).at.clone());
        let what = if ip == packet.src { "comes from" } else { "is for" };
        let mut culprit = Culprit::new(Code::MartianLocalnet, &there, "address", format!("{ip}/{}", own.len))
            .value(own.dev.clone())
            .says(format!(
                "{ip}, the address of {there}/{}, is the broadcast address of its network {}: {at} has no use for a packet that {what} it",
                own.dev,
                network_of(&here)
            ))
            .because(Label::Kernel, format!("{line} → {said}"))
            .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", here.ip, here.len, here.dev))
            .because(Label::State, format!("ip addr in {there}: {ip}/{} dev {}", own.len, own.dev));
        let taken = |ip: IpAddr| net.all.iter().any(|other| other.owns(ip).is_some());
        let free =
            IpNet::new(here.ip, here.len).ok().and_then(|subnet| subnet.hosts().take(SEARCHED).find(|ip| !taken(*ip)));
        culprit = match free.filter(|_| own.len == here.len) {
            Some(free) => {
                let routes = moved_routes(&net.ns(owner).routes, &there, &own.dev, &own.dev, false);
                let mut culprit = culprit
                    .fix(&format!("ip addr del {ip}/{} dev {}", own.len, own.dev))
                    .fix(&format!("ip addr add {free}/{} dev {}", own.len, own.dev));
                culprit.fix.extend(routes);
                culprit
            }
            None => culprit.advise(format!("give {there} another address of the network than its last one")),
        };
        self.fault(culprit);
        true
    }
}

/// The routes of a family by a link, as they are made again by another one: they went with the last address.
fn moved_routes(routes: &[Route], at: &crate::op::Where, dev: &str, to: &str, v6: bool) -> Vec<Fix> {
    let ours = |route: &&Route| {
        route.dev.as_deref() == Some(dev)
            && route.is_ipv6() == v6
            && route.kind() == "unicast"
            && route.protocol.as_deref() != Some("kernel")
            && route.next_hop().is_some()
    };
    let family = if v6 { "-6 " } else { "" };
    let again = |route: &Route| {
        let text = super::routes::route_text(route).replace(&format!("dev {dev}"), &format!("dev {to}"));
        Fix::new(at, &format!("ip {family}route replace {text}"))
    };
    routes.iter().filter(ours).map(again).collect()
}

/// The network of an address.
fn network_of(addr: &Addr) -> String {
    IpNet::new(addr.ip, addr.len).map_or_else(|_| addr.ip.to_string(), |net| net.trunc().to_string())
}

/// The last address of a network, which all of it listens to.
fn last_of(ip: IpAddr, len: u8) -> Option<IpAddr> {
    IpNet::new(ip, len).ok().map(|net| net.broadcast())
}

/// No way leads back to the source that the kernel chose, and one to another address of the same link does: the choice is to blame. It then
/// stands before what was found.
pub(super) fn chosen_wrongly(net: &Net, from: usize, sent: &Packet, walk: &mut Walk<'_>) {
    let Some((origin, asked)) = walk.origin.clone().filter(|(origin, _)| *origin == from && sent.src.is_unspecified())
    else {
        return;
    };
    let Some(first) = walk.faults.first().filter(|fault| {
        let of_the_way = matches!(
            fault.code,
            Code::ReturnRouteMissing
                | Code::RouteMissing
                | Code::RouteUnreachable
                | Code::RouteBlackhole
                | Code::RouteProhibit
                | Code::RouteGatewayDead
                | Code::NatMissing
        );
        // Where a way back is there and leads astray, that way is to blame; and so is a filter that looks at the way back.
        of_the_way && fault.leg == Leg::Reply && !fault.astray
    }) else {
        return;
    };
    let Ok(got) = walk.route(origin, sent, None) else { return };
    let usable = |addr: &&Addr| {
        let near = matches!(addr.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        addr.ip.is_ipv6() == sent.v6() && addr.ip != asked.src && !near && !addr.tentative && !addr.dadfailed
    };
    let better = net.ns(from).addrs_of(&got.dev).filter(usable).find(|addr| {
        let mut other = Walk::new(net);
        other.bound.clone_from(&walk.bound);
        other.round_trip(from, Packet { src: addr.ip, ..sent.clone() });
        other.complete && other.faults.is_empty() && other.suspects.is_empty() && other.left.is_none()
    });
    let Some(better) = better else { return };
    let own = net.ns(from).owns(asked.src);
    let (at, dst, src) = (net.ns(from).at.clone(), asked.dst, asked.src);
    let dev = own.map_or_else(|| got.dev.clone(), |own| own.dev.clone());
    let len = own.map_or(if sent.v6() { 128 } else { 32 }, |own| own.len);
    let free = Packet { src: unspecified(sent.v6()), sport: Port::Ephemeral, ..sent.clone() };
    let route = walk.explain_route(from, &free, None).map(|(_, route)| route);
    let told = route.as_ref().and_then(|route| route.prefsrc.as_deref()).and_then(|ip| ip.parse().ok()) == Some(src);
    let text = route.as_ref().map(super::routes::route_text).unwrap_or_default();
    let family = if sent.v6() { "-6 " } else { "" };
    let why = if told {
        format!("its route `{text} src {src}` says so")
    } else {
        "the kernel chooses it among its addresses".to_owned()
    };
    let mut culprit = Culprit::new(Code::ReturnRouteMissing, &at, "address", src.to_string())
        .value(dev.clone())
        .says(format!(
            "{at} sends to {dst} from {src} ({dev}), for {why}, and no way leads back to that; from {}, its other address on {}, it would be answered",
            better.ip, got.dev
        ))
        .because(Label::Kernel, format!("{} → src {src}", got.line))
        .because(Label::Inferred, format!("from {src}: {}", first.message))
        .because(Label::Inferred, format!("from {}: nothing is in the way, there and back", better.ip));
    culprit = match route.filter(|_| told || !sent.v6()) {
        Some(_) => culprit.fix(&format!("ip {family}route replace {text} src {}", better.ip)),
        None => culprit.fix(&format!("ip addr change {src}/{len} dev {dev} preferred_lft 0")),
    };
    (culprit.leg, culprit.hop) = (first.leg, first.hop);
    if sent.v6() && !told {
        let text = format!("an address whose prefix is not routed any more is to be deprecated ({src} is not)");
        culprit.evidence.push(Evidence { label: Label::Inferred, text });
    }
    walk.faults.insert(0, culprit.leads_astray());
}

/// The way that the asker takes leads nowhere, and one of the same network by another link, which only has the greater metric, leads there: the
/// metrics are to blame. It then stands before what was found.
pub(super) fn won_by_metric(net: &Net, from: usize, sent: &Packet, walk: &mut Walk<'_>) {
    let Some(first) = walk.faults.first().filter(|fault| {
        let of_the_way = matches!(
            fault.code,
            Code::RouteMissing
                | Code::RouteUnreachable
                | Code::RouteBlackhole
                | Code::RouteProhibit
                | Code::RouteGatewayDead
                | Code::ReturnRouteMissing
                | Code::NatMissing
                | Code::AddrMissing
                | Code::ForwardingDisabled
                | Code::V6ForwardingDisabled
        );
        // What is missing right here, or what was led astray by more than a metric, is told already.
        of_the_way && fault.at != net.ns(from).at || fault.code == Code::RouteMissing && fault.astray
    }) else {
        return;
    };
    let Some((rule, taken)) = walk.explain_route(from, sent, None).filter(|(_, route)| route.kind() == "unicast")
    else {
        return;
    };
    let metric = |route: &Route| route.metric.unwrap_or(0);
    let same = |other: &&Route| {
        let place = |route: &Route| (route.table.clone(), route.dst.clone(), route.is_ipv6());
        place(other) == place(&taken)
            && other.kind() == "unicast"
            && metric(other) > metric(&taken)
            && other.dev != taken.dev
    };
    let mut others: Vec<&Route> = net.ns(from).routes.iter().filter(same).collect();
    others.sort_by_key(|other| metric(other));
    let better = others.into_iter().find(|other| {
        let mut walk = Walk::new(net);
        walk.bound.clone_from(&other.dev);
        walk.round_trip(from, sent.clone());
        walk.complete && walk.faults.is_empty() && walk.suspects.is_empty() && walk.left.is_none()
    });
    let (Some(better), true) = (better, super::routes::ordinary(&rule) && walk.bound.is_none()) else { return };
    let (at, dst) = (net.ns(from).at.clone(), sent.dst);
    let (wins, loses) = (super::routes::route_text(&taken), super::routes::route_text(better));
    let (low, high) = (metric(&taken), metric(better));
    let family = if sent.v6() { "-6 " } else { "" };
    let mut culprit = Culprit::new(Code::RouteWrongNexthop, &at, "route", wins.clone())
        .value(format!("metric {low}"))
        .says(format!(
            "{at} has two routes that {dst} fits, and takes `{wins}`, for its metric {low} is the smaller one; by `{loses}` (metric {high}) {dst} is \
             reached, by the first one it is not: {}",
            first.message
        ))
        .because(Label::State, format!("ip route in {at}: {wins}; {loses}"))
        .because(Label::Inferred, format!("by {}: nothing is in the way, there and back", better.dev.as_deref().unwrap_or_default()));
    let plain = loses.split(" metric ").next().unwrap_or(&loses).to_owned();
    culprit = if low > 1 {
        culprit.fix(&format!("ip {family}route add {plain} metric {}", low - 1))
    } else {
        let way = wins.split(" metric ").next().unwrap_or(&wins).to_owned();
        culprit
            .fix(&format!("ip {family}route add {way} metric {}", high.saturating_add(1)))
            .fix(&format!("ip {family}route del {wins}"))
    };
    (culprit.leg, culprit.hop) = (Leg::Request, 1);
    walk.faults.insert(0, culprit.leads_astray());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_of_a_network_is_that_of_its_broadcast() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (own, len, last) in
            [("10.180.2.1", 24, "10.180.2.255"), ("10.0.0.1", 23, "10.0.1.255"), ("10.0.0.129", 25, "10.0.0.255")]
        {
            assert_eq!(last_of(ip(own), len), Some(ip(last)), "{own}/{len}");
        }
        assert_ne!(last_of(ip("10.0.0.1"), 23), Some(ip("10.0.0.255")), "in a /23 that is an address like another");
    }

    #[test]
    fn routes_move_with_an_address_and_those_of_the_kernel_come_by_themselves() {
        let route = |dst: &str, gateway: Option<&str>, dev: &str, protocol: &str| {
            let mut route = Route::default();
            (route.dst, route.gateway) = (Some(dst.into()), gateway.map(str::to_owned));
            (route.dev, route.protocol) = (Some(dev.into()), Some(protocol.into()));
            route
        };
        let routes = [
            route("default", Some("10.0.0.1"), "eth0", "boot"),
            route("10.0.0.0/24", None, "eth0", "kernel"),
            route("10.9.0.0/16", Some("10.1.0.1"), "eth1", "static"),
        ];
        let moved = moved_routes(&routes, &crate::op::Where::Host, "eth0", "br0", false);
        let shown: Vec<String> = moved.iter().map(|fix| fix.words.join(" ")).collect();
        assert_eq!(shown, ["ip route replace default via 10.0.0.1 dev br0"]);
    }
}
