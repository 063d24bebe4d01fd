//! Nobody on the segment has the next hop's address: because it is elsewhere, not usable, or not there.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::codes::Code;
use super::super::finding::{Culprit, Label, Leg};
use super::super::packet::Packet;
use super::super::walk::Walk;
use super::bridge::vlan_id;
use super::flood::{Piece, Station, works};
use super::{has, link_local};
use crate::model::link::Link;

/// The smallest MTU that IPv6 works with (`IPV6_MIN_MTU`).
const V6_MTU_MIN: u32 = 1280;

impl Walk<'_> {
    /// A link that is up and has no carrier, whose other end nobody here knows.
    pub(in crate::why) fn lacks_carrier(&mut self, ns: usize, link: &Link, advice: &str) {
        if !link.is_up() || link.has_carrier() {
            return;
        }
        let (at, dev) = (self.net.ns(ns).at.clone(), &link.ifname);
        self.fault(
            Culprit::new(Code::LinkNoCarrier, &at, "link", dev.clone())
                .value("NO-CARRIER")
                .says(format!("{at}/{dev} is up but has no carrier"))
                .because(Label::State, format!("ip link show dev {dev} in {at}: NO-CARRIER"))
                .advise(advice),
        );
        self.round_a_dead_link(ns, &dev.clone());
    }

    /// A link without carrier keeps its routes, and another link leads to the same: told with the fault that was just noted.
    pub(in crate::why) fn round_a_dead_link(&mut self, ns: usize, dev: &str) {
        let network = self.net.ns(ns);
        let dead = network.link(dev).is_some_and(|link| link.is_up() && !link.has_carrier());
        let v6 = |route: &crate::model::route::Route| route.is_ipv6();
        let routes = || {
            network
                .routes
                .iter()
                .filter(|route| matches!(route.table.as_deref(), None | Some("main")) && route.kind() == "unicast")
        };
        let found = routes().filter(|route| super::super::routes::leaves_by(route, dev)).find_map(|mine| {
            let other = routes().find(|other| {
                let up = other.dev.as_deref().and_then(|dev| network.link(dev)).is_some_and(Link::has_carrier);
                other.dst == mine.dst && v6(other) == v6(mine) && !super::super::routes::leaves_by(other, dev) && up
            })?;
            Some((mine.clone(), other.clone()))
        });
        let Some((mine, other)) = found.filter(|_| dead) else { return };
        let family = if v6(&mine) { "ipv6" } else { "ipv4" };
        let set = |dev: &str| self.net.setting(ns, &format!("{family}/conf/{dev}/ignore_routes_with_linkdown")) == 1;
        if set("all") || set(dev) {
            return;
        }
        let at = network.at.clone();
        let Some(fault) = self.faults.last_mut() else { return };
        let other = super::super::routes::route_text(&other);
        fault.message = format!(
            "{}; {at} has `{other}` too, and does not take it: a route by a link without carrier stays and wins as long as \
             ignore_routes_with_linkdown is 0",
            fault.message
        );
        let line = format!("sysctl -w net.{family}.conf.{dev}.ignore_routes_with_linkdown=1");
        fault.evidence.push(super::super::finding::Evidence {
            label: Label::State,
            text: format!("net.{family}.conf.{dev}.ignore_routes_with_linkdown = 0 in {at}"),
        });
        fault.fix.insert(0, super::super::finding::Fix::new(&at, &line));
    }

    /// Nobody on the segment has the next hop's address.
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    pub(in crate::why) fn missing_neighbour(
        &mut self,
        ns: usize,
        link: &Link,
        ip: IpAddr,
        gateway: bool,
        packet: &Packet,
        stations: &[Station],
    ) -> Option<(usize, String)> {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        let dev = link.ifname.clone();
        // What bars the way may also be why.
        let holders: Vec<(usize, String)> = net
            .all
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != ns)
            .flat_map(|(other, known)| {
                known.addrs.iter().filter(|addr| addr.ip == ip).map(move |addr| (other, addr.dev.clone()))
            })
            .collect();
        if let Some(fixed) =
            net.ns(ns).neighs.iter().find(|entry| entry.ip == ip && entry.dev == dev && has(entry, "PERMANENT"))
            && let Some(station) = stations
                .iter()
                .find(|station| net.ns(station.ns).link(&station.dev).is_some_and(|link| link.address == fixed.mac))
        {
            let station = station.clone();
            let mac = fixed.mac.clone().unwrap_or_default();
            self.way(ns, &station, packet, &mac);
            return Some((station.ns, station.dev));
        }
        // A dummy or a kind that is not known leads to no segment that could be searched.
        let walked =
            ["veth", "bridge", "vlan", "bond", "team", "macvlan", "macvtap", "ipvlan", "dummy", "vxlan", "vrf", "ifb"];
        if stations.is_empty() && link.kind().is_some_and(|kind| !walked.contains(&kind)) {
            self.left = Some(format!("{at}/{dev} ({})", link.kind().unwrap_or_default()));
            return None;
        }
        if self.other_vlan(ns, link, ip) || self.other_tag(ns, link, ip) {
            return None;
        }
        if matches!(link.kind(), Some("bond" | "team")) && !link.has_carrier() && link.is_up() {
            let ports: Vec<String> = net.ns(ns).ports(&dev).map(|port| port.ifname.clone()).collect();
            let words = if ports.is_empty() {
                "has no ports".to_owned()
            } else {
                format!("has no port that works: {}", ports.join(", "))
            };
            self.fault(
                Culprit::new(Code::LinkNoCarrier, &at, "link", dev.clone())
                    .value("NO-CARRIER")
                    .says(format!("{at}/{dev} is a bond without carrier: it {words}"))
                    .because(Label::State, format!("ip link show dev {dev} in {at}: NO-CARRIER"))
                    .advise(format!("ip link set dev LINK master {dev}, or bring its ports up")),
            );
            return None;
        }
        let nobody = format!("nobody on the segment of {at}/{dev} has that address");
        // Where the segment leaves this machine, whoever has it may be out there.
        let out = self.way_out(ns, &dev).filter(|_| holders.is_empty());
        if let Some(out) = out.as_ref().filter(|out| net.ns(out.ns).link(&out.dev).is_some_and(works)) {
            self.left = Some(format!("{}/{}", net.ns(out.ns).at, out.dev));
            let known = net.ns(ns).neighs.iter().find(|entry| entry.ip == ip && entry.dev == dev);
            let mac = known.and_then(|entry| entry.mac.clone()).unwrap_or_default();
            self.way(ns, out, packet, &mac);
            return None;
        }
        if holders.is_empty() && self.nobodys_source(ip, &nobody, &format!("{at}: {ip} is on-link by {dev}")) {
            return None;
        }
        if holders.is_empty() && self.nobodys_target(ip, &nobody) {
            return None;
        }
        if !holders.iter().any(|(other, _)| stations.iter().any(|station| station.ns == *other))
            && self.unproxied(ns, ip, packet, stations)
        {
            return None;
        }
        if let Some((other, other_dev)) = holders.first().cloned() {
            if self.own_parent(ns, link, ip, other, &other_dev) {
                return None;
            }
            return self.elsewhere(ns, link, ip, gateway, packet, stations, other, &other_dev);
        }
        if stations.is_empty()
            && (link.kind() == Some("veth") && net.peer(ns, link).is_none()
                || !matches!(link.kind(), Some("veth" | "bridge")))
        {
            self.left = Some(format!("{at}/{dev}"));
            self.lacks_carrier(ns, link, "look at the other end");
            return None;
        }
        // The way to everybody may be barred as well: the nearest bar comes first.
        if let [only] = stations {
            let only = only.clone();
            self.way(ns, &only, packet, "");
        }
        if ip.is_ipv6()
            && let Some(station) = stations.iter().find(|station| {
                net.setting(station.ns, &format!("ipv6/conf/{}/disable_ipv6", station.dev)) == 1 && station.ns != ns
            })
        {
            let (there, dev) = (station.ns, station.dev.clone());
            self.v6_disabled_for(there, &dev, Some(ip));
            return None;
        }
        if ip.is_ipv6() && self.too_small_for_v6(ns, ip, stations) {
            return None;
        }
        if gateway {
            self.dead_gateway(ns, &dev, ip, packet, stations, out.as_ref());
            return None;
        }
        let bare: Vec<&Station> = stations
            .iter()
            .filter(|station| {
                station.ns != ns
                    && !net
                        .ns(station.ns)
                        .addrs_of(&station.dev)
                        .any(|addr| addr.ip.is_ipv6() == ip.is_ipv6() && !link_local(addr.ip))
            })
            .filter(|station| net.ns(station.ns).link(&station.dev).is_some_and(|link| link.kind() != Some("bridge")))
            .collect();
        if let (Some(out), true) = (&out, bare.len() != 1) {
            self.dead_way_out(ns, out, packet);
            return None;
        }
        let len = net
            .ns(ns)
            .addrs_of(&dev)
            .find(|addr| addr.covers(ip))
            .map_or(if ip.is_ipv4() { 24 } else { 64 }, |addr| addr.len);
        let (place, object) = match bare.as_slice() {
            [one] => (net.ns(one.ns).at.clone(), one.dev.clone()),
            _ => (at.clone(), ip.to_string()),
        };
        let all: Vec<String> =
            stations.iter().map(|station| format!("{}/{}", self.called(station.ns), station.dev)).collect();
        // Whatever plays the internet has what it has.
        let own = stations.iter().filter(|station| !net.pretended(station.ns));
        let own: Vec<String> = own.map(|station| format!("{}/{}", self.name(station.ns), station.dev)).collect();
        let mut culprit = Culprit::new(
            Code::AddrMissing,
            &place,
            "address",
            if bare.len() == 1 { object.clone() } else { ip.to_string() },
        )
        .value(ip.to_string())
        .because(Label::State, format!("nobody on the segment of {at}/{dev} has {ip}: {}", all.join(", ")));
        culprit = match bare.as_slice() {
            [one] => culprit
                .says(format!("nobody owns {ip}; {place}/{} is on the segment and has no address at all", one.dev))
                .fix(&format!("ip addr add {ip}/{len} dev {object}")),
            _ => culprit.says(format!("nobody on the segment of {at}/{dev} owns {ip}")).advise(match own.as_slice() {
                [] => format!("give {ip} to the one that should have it"),
                own => format!("give {ip} to the one that should have it: {}", own.join(", ")),
            }),
        };
        self.fault(culprit);
        None
    }

    /// Nobody here has it, and the link by which the segment leaves this machine does not work; noted.
    fn dead_way_out(&mut self, ns: usize, out: &Station, packet: &Packet) {
        let net = self.net;
        self.left = Some(format!("{}/{}", net.ns(out.ns).at, out.dev));
        self.way(ns, out, packet, "");
        if let Some(link) = net.ns(out.ns).link(&out.dev) {
            self.lacks_carrier(out.ns, link, "look at the other end");
        }
    }

    /// A translation to a target that nobody is; noted.
    fn nobodys_target(&mut self, ip: IpAddr, nobody: &str) -> bool {
        let conn =
            self.conns.iter().find(|conn| conn.after.dst.0 == ip && conn.before.dst.0 != ip && conn.by.is_some());
        let Some((conn, rule)) = conn.cloned().and_then(|conn| conn.by.clone().map(|rule| (conn, rule))) else {
            return false;
        };
        if self.leg == Leg::Reply {
            return false;
        }
        let router = self.net.ns(conn.ns).at.clone();
        let culprit = Culprit::new(Code::DnatWrongTarget, &router, "rule", rule.text.clone())
            .value(ip.to_string())
            .says(format!("{router} hands {} on (DNAT) to {ip}, and {nobody}", conn.before.dst.0))
            .because(Label::State, rule.text.clone());
        let culprit = match self.left_over(&conn, &rule) {
            Some((other, living, words)) => {
                let mut culprit =
                    culprit.because(Label::State, format!("a later rule leads to {living}: {}", other.text));
                culprit.message = format!(
                    "{}; the rule is a left-over: `{}` after it leads to {living}, which is there",
                    culprit.message, other.text
                );
                culprit.fix_words(words)
            }
            None => culprit.advise("correct the target of the rule"),
        };
        self.fault(culprit);
        true
    }

    /// The other end of the cable has the address on a VLAN with another id or protocol; noted.
    fn other_vlan(&mut self, ns: usize, link: &Link, ip: IpAddr) -> bool {
        let net = self.net;
        let tag = |link: &Link| {
            let data = link.linkinfo.info_data.as_ref().filter(|_| link.kind() == Some("vlan"))?;
            Some((data.get("id")?.as_u64()?, super::super::state::text(data, "protocol").to_owned()))
        };
        let Some((id, proto)) = tag(link) else { return false };
        let Some(below) = link.parent().map(str::to_owned) else { return false };
        let found = self.flood(ns, &below).into_iter().find_map(|station| {
            let there = net.ns(station.ns);
            let far = there.links.iter().find(|far| {
                far.parent() == Some(station.dev.as_str())
                    && tag(far).is_some()
                    && there.addrs_of(&far.ifname).any(|addr| addr.ip == ip)
            })?;
            Some((station.ns, far.ifname.clone(), tag(far)?))
        });
        let Some((other, far, (theirs, far_proto))) = found.filter(|(.., tag)| *tag != (id, proto.clone())) else {
            return false;
        };
        let (at, there, dev) = (net.ns(ns).at.clone(), self.name(other), link.ifname.clone());
        let words =
            |id: u64, proto: &str| format!("id {id} protocol {proto}").trim_end_matches(" protocol ").to_owned();
        let (mine, yours) = (words(id, &proto), words(theirs, &far_proto));
        self.fault(
            Culprit::new(Code::VlanMismatch, &at, "link", dev.clone())
                .value(mine.clone())
                .says(format!("{at}/{dev} is VLAN {mine}, and {there}/{far} at the other end of the cable, which has {ip}, is VLAN {yours}"))
                .because(Label::State, format!("ip -d link show dev {dev} in {at}: {mine}"))
                .because(Label::State, format!("ip -d link show dev {far} in {there}: {yours}"))
                .advise("the id and protocol of a VLAN link cannot be changed: make one of them anew"),
        );
        true
    }

    /// Bridges deliver the frame with the tag of another VLAN than that of the link that has the address; noted.
    fn other_tag(&mut self, ns: usize, link: &Link, ip: IpAddr) -> bool {
        let net = self.net;
        let found = self.strayed(ns, &link.ifname).into_iter().find_map(|(other, dev, tag)| {
            let there = net.ns(other);
            let far = there.links.iter().find(|far| {
                far.parent() == Some(dev)
                    && vlan_id(far).is_some_and(|id| id != tag)
                    && there.addrs_of(&far.ifname).any(|addr| addr.ip == ip)
            })?;
            Some((other, far, tag))
        });
        let Some((other, far, tag)) = found else { return false };
        let (at, dev, id) = (net.ns(other).at.clone(), far.ifname.clone(), vlan_id(far).unwrap_or(0));
        self.fault(
            Culprit::new(Code::VlanMismatch, &at, "link", dev.clone())
                .value(format!("id {id}"))
                .says(format!(
                    "{at}/{dev}, which has {ip}, is VLAN {id}, and frames get there with the tag of VLAN {tag}"
                ))
                .because(Label::State, format!("ip -d link show dev {dev} in {at}: id {id}"))
                .advise("the id and protocol of a VLAN link cannot be changed: make one of them anew"),
        );
        true
    }

    /// A macvlan never talks to the link that it sits on; noted.
    fn own_parent(&mut self, ns: usize, link: &Link, ip: IpAddr, other: usize, other_dev: &str) -> bool {
        let pairs = [(ns, link.ifname.as_str(), other, other_dev), (other, other_dev, ns, link.ifname.as_str())];
        for (child_ns, child, parent_ns, parent) in pairs {
            let Some(macvlan) = self.net.ns(child_ns).link(child) else { continue };
            if super::flood::lower(self.net, child_ns, macvlan) != Some((parent_ns, parent.to_owned())) {
                continue;
            }
            let (at, there) = (self.net.ns(child_ns).at.clone(), self.net.ns(parent_ns).at.clone());
            let kind = macvlan.kind().unwrap_or_default().to_owned();
            self.fault(
                Culprit::new(Code::PortIsolated, &at, "link", child.to_owned())
                    .value(kind.clone())
                    .says(format!(
                        "{at}/{child} is a {kind} of {there}/{parent}, and a {kind} never talks to the link that it sits on, so not to {ip}"
                    ))
                    .because(Label::State, format!("ip -d link show dev {child} in {at}: {kind}@{parent}"))
                    .advise(format!("give {there} a {kind} of its own on {parent} and {ip} on that, or use a veth pair")),
            );
            return true;
        }
        false
    }

    /// IPv6 goes from a link whose MTU is less than 1280 (RFC 8200, section 5), with all its addresses; noted.
    fn too_small_for_v6(&mut self, ns: usize, ip: IpAddr, stations: &[Station]) -> bool {
        let small = stations.iter().find(|station| {
            station.ns != ns
                && self
                    .net
                    .ns(station.ns)
                    .link(&station.dev)
                    .and_then(|link| link.mtu)
                    .is_some_and(|mtu| mtu < V6_MTU_MIN)
        });
        let Some(station) = small.cloned() else { return false };
        let at = self.net.ns(station.ns).at.clone();
        let dev = station.dev;
        let mtu = self.net.ns(station.ns).link(&dev).and_then(|link| link.mtu).unwrap_or(0);
        self.fault(
            Culprit::new(Code::V6Disabled, &at, "link", dev.clone())
                .value(format!("mtu {mtu}"))
                .says(format!("IPv6 is off on {at}/{dev}: its mtu {mtu} is less than the {V6_MTU_MIN} that IPv6 needs, so its addresses are gone and nobody has {ip}"))
                .because(Label::State, format!("ip link show dev {dev} in {at}: mtu {mtu}"))
                .fix(&format!("ip link set dev {dev} mtu 1500"))
                .fix(&format!("ip -6 addr replace {ip}/64 dev {dev} nodad")),
        );
        true
    }

    fn dead_gateway(
        &mut self,
        ns: usize,
        dev: &str,
        ip: IpAddr,
        packet: &Packet,
        stations: &[Station],
        out: Option<&Station>,
    ) {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        let v6 = ip.is_ipv6();
        // Somebody else uses this gateway too, or a router of the segment has lost its address: then the address is what is missing.
        let routes_here = |other: usize| net.ns(other).routes.iter().any(|route| route.next_hop() == Some(ip));
        let shared = (0..net.all.len())
            .any(|other| other != ns && routes_here(other) && stations.iter().any(|station| station.ns == other));
        let forwards =
            |other: usize| net.setting(other, if v6 { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" }) == 1;
        let has_addr = |station: &Station| {
            net.ns(station.ns).addrs_of(&station.dev).any(|addr| addr.ip.is_ipv6() == v6 && !link_local(addr.ip))
        };
        let bare = stations.iter().find(|station| {
            station.ns != ns
                && !has_addr(station)
                && (forwards(station.ns)
                    || net.ns(station.ns).link(&station.dev).is_some_and(|link| link.kind() == Some("bridge")))
        });
        let router = stations.iter().find(|station| forwards(station.ns) && has_addr(station) && station.ns != ns);
        let explained = self.explain_route(ns, packet, None);
        let route = explained.map(|(_, route)| super::super::routes::route_text(&route)).unwrap_or_default();
        if let (Some(bare), true) = (bare, router.is_none() || shared) {
            let len = net.ns(ns).addrs_of(dev).find(|addr| addr.covers(ip)).map_or(24, |addr| addr.len);
            let place = net.ns(bare.ns).at.clone();
            self.fault(
                Culprit::new(Code::AddrMissing, &place, "address", bare.dev.clone())
                    .value(ip.to_string())
                    .says(format!("nobody has {ip}, the gateway of {at}: {place}/{} is the router of the segment and has no such address", bare.dev))
                    .because(Label::State, format!("{at}: {route}"))
                    .because(Label::State, format!("ip addr show dev {} in {place}: no {ip}", bare.dev))
                    .fix(&format!("ip addr add {ip}/{len} dev {}", bare.dev)),
            );
            return;
        }
        if let Some(out) = out {
            return self.dead_way_out(ns, out, packet);
        }
        let mut culprit = Culprit::new(Code::RouteGatewayDead, &at, "route", route.clone())
            .value(ip.to_string())
            .says(format!(
                "the route `{route}` of {at} leads to {ip}, and nobody on the segment of {dev} has that address"
            ))
            .because(Label::State, format!("{at}: {route}"))
            .because(
                Label::State,
                format!(
                    "no address {ip} among: {}",
                    stations
                        .iter()
                        .map(|station| format!("{}/{}", self.name(station.ns), station.dev))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            );
        let right = router.and_then(|router| {
            net.ns(router.ns)
                .addrs_of(&router.dev)
                .find(|addr| addr.ip.is_ipv6() == v6 && !link_local(addr.ip))
                .map(|addr| addr.ip)
        });
        if let Some(right) = right {
            let dst = route.split_whitespace().next().unwrap_or("default").to_owned();
            culprit =
                culprit.fix(&format!("ip {}route replace {dst} via {right} dev {dev}", if v6 { "-6 " } else { "" }));
        }
        self.fault(culprit);
    }

    /// The address of a router on the segment of a link.
    fn router_of(&self, ns: usize, dev: &str, v6: bool) -> Option<IpAddr> {
        let forwarding = if v6 { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
        self.flood(ns, dev).iter().filter(|one| one.ns != ns && self.net.setting(one.ns, forwarding) == 1).find_map(
            |one| {
                let mut theirs = self.net.ns(one.ns).addrs_of(&one.dev).filter(|addr| addr.ip.is_ipv6() == v6);
                theirs.find(|addr| self.net.ns(ns).addrs_of(dev).any(|mine| mine.covers(addr.ip))).map(|addr| addr.ip)
            },
        )
    }

    /// The address exists, but not on this segment.
    #[expect(clippy::too_many_arguments, reason = "one question")]
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    pub(in crate::why) fn elsewhere(
        &mut self,
        ns: usize,
        link: &Link,
        ip: IpAddr,
        gateway: bool,
        packet: &Packet,
        stations: &[Station],
        other: usize,
        other_dev: &str,
    ) -> Option<(usize, String)> {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        let there = net.ns(other).at.clone();
        let held = net.ns(other).owns(ip)?.clone();
        if ip.is_ipv6() && (held.tentative || held.dadfailed) {
            self.tentative(other, ip);
            return None;
        }
        let far = self.flood(other, other_dev);
        // A loose end: a device without a master and without addresses in a namespace that has a bridge on the other side.
        for (side, opposite, opposite_here) in [(stations, &far, other), (&far[..], &stations.to_vec(), ns)] {
            for loose in side {
                let network = net.ns(loose.ns);
                let Some(dev) = network.link(&loose.dev) else { continue };
                let idle = dev.master.is_none()
                    && dev.kind() != Some("bridge")
                    && !network.addrs_of(&loose.dev).any(|addr| !link_local(addr.ip));
                let bridge = opposite.iter().find(|one| {
                    one.ns == loose.ns && network.link(&one.dev).is_some_and(|link| link.kind() == Some("bridge"))
                });
                let own = (loose.ns == opposite_here)
                    .then(|| {
                        network.links.iter().find(|link| {
                            link.kind() == Some("bridge")
                                && network.addrs_of(&link.ifname).any(|addr| addr.ip == ip || addr.covers(packet.src))
                        })
                    })
                    .flatten();
                let bridge = bridge.map(|one| one.dev.clone()).or_else(|| own.map(|link| link.ifname.clone()));
                if let Some(bridge) = bridge.filter(|_| idle) {
                    let place = network.at.clone();
                    let name = loose.dev.clone();
                    let mut culprit = Culprit::new(Code::PortNotEnslaved, &place, "link", name.clone())
                        .value("no master")
                        .says(format!("{place}/{name} is no port of any bridge; {ip} is behind {place}/{bridge}"))
                        .because(Label::State, format!("ip link show dev {name} in {place}: no master"))
                        .fix(&format!("ip link set dev {name} master {bridge}"));
                    if !dev.is_up() {
                        culprit = culprit.fix(&format!("ip link set dev {name} up"));
                    }
                    self.fault(culprit);
                    return None;
                }
            }
        }
        // Two bridges in one namespace, one on each side.
        for near in stations
            .iter()
            .filter(|one| net.ns(one.ns).link(&one.dev).is_some_and(|link| link.kind() == Some("bridge")))
        {
            let same = |one: &&Station| {
                one.ns == near.ns
                    && one.dev != near.dev
                    && net.ns(one.ns).link(&one.dev).is_some_and(|link| link.kind() == Some("bridge"))
            };
            let behind = far.iter().find(same).map(|one| one.dev.clone()).or_else(|| {
                (other == near.ns && net.ns(other).link(other_dev).is_some_and(|link| link.kind() == Some("bridge")))
                    .then(|| other_dev.to_owned())
            });
            if let Some(behind) = behind.filter(|_| held.covers(packet.src) || gateway) {
                let place = net.ns(near.ns).at.clone();
                let in_subnet = net.ns(near.ns).addrs_of(&near.dev).any(|addr| addr.covers(ip));
                let port_towards = |stations: &[Station], target: &str| {
                    let station = stations.iter().find(|one| one.ns == near.ns && one.dev == target);
                    station.and_then(|one| {
                        one.way.iter().rev().find_map(|piece| match piece {
                            Piece::Bridge { from: Some(from), .. } => Some(from.clone()),
                            _ => None,
                        })
                    })
                };
                let (port, bridge) = if in_subnet {
                    (port_towards(&far, &behind), near.dev.clone())
                } else {
                    (port_towards(stations, &near.dev), behind.clone())
                };
                if let Some(port) = port {
                    let now = net.ns(near.ns).link(&port).and_then(|link| link.master.clone()).unwrap_or_default();
                    self.fault(
                        Culprit::new(Code::PortWrongBridge, &place, "port", port.clone())
                            .value(now.clone())
                            .says(format!(
                                "{place}/{port} is a port of {now}, the other end of the subnet is behind {bridge}"
                            ))
                            .because(Label::State, format!("ip link show dev {port} in {place}: master {now}"))
                            .fix(&format!("ip link set dev {port} master {bridge}")),
                    );
                    return None;
                }
            }
        }
        let mine =
            net.ns(ns).addrs_of(&link.ifname).filter(|addr| addr.covers(ip)).min_by_key(|addr| addr.len).cloned();
        let explained = self.explain_route(ns, packet, None);
        let led =
            explained.as_ref().map(|(rule, _)| rule).filter(|rule| !super::super::routes::ordinary(rule)).cloned();
        let route = explained.map(|(_, route)| route);
        let by_prefix = route.as_ref().is_none_or(|route| route.protocol.as_deref() == Some("kernel"));
        if let Some(mine) = mine.filter(|mine| !gateway && by_prefix && !held.covers(mine.ip)) {
            // The prefix length that the neighbours use.
            let sane = stations
                .iter()
                .flat_map(|one| net.ns(one.ns).addrs_of(&one.dev))
                .find(|addr| addr.covers(mine.ip) && addr.len > mine.len)
                .map(|addr| addr.len);
            let mut culprit = Culprit::new(Code::PrefixMismatch, &at, "address", format!("{}/{}", mine.ip, mine.len))
                .value(link.ifname.clone())
                .says(format!(
                    "{at}/{} has {}/{}: with that prefix {ip} looks on-link, but it is {there}/{other_dev} ({}/{}), on another segment",
                    link.ifname, mine.ip, mine.len, held.ip, held.len
                ))
                .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", mine.ip, mine.len, link.ifname));
            // Others of the segment may use the short prefix with good reason: a longer route wins over it.
            let way = net.ns(ns).routes.iter().find(|route| {
                route.is_default()
                    && route.is_ipv6() == ip.is_ipv6()
                    && route.kind() == "unicast"
                    && route.dev.as_ref().is_some_and(|dev| *dev != link.ifname)
                    && route.next_hop().is_some()
            });
            if let (None, Some(hop), true) =
                (sane, way.and_then(crate::model::route::Route::next_hop), held.len > mine.len)
            {
                let family = if ip.is_ipv6() { "-6 " } else { "" };
                culprit = culprit.fix(&format!("ip {family}route add {} via {hop}", self.subnet_of(ip)));
            }
            if let Some(len) = sane {
                culprit = culprit
                    .fix(&format!("ip addr add {}/{len} dev {}", mine.ip, link.ifname))
                    .fix(&format!("ip addr del {}/{} dev {}", mine.ip, mine.len, link.ifname));
            }
            self.fault(culprit);
            return None;
        }
        let text = route.as_ref().map(super::super::routes::route_text).unwrap_or_default();
        if gateway {
            self.fault(
                Culprit::new(Code::RouteGatewayDead, &at, "route", text.clone())
                    .value(ip.to_string())
                    .says(format!("the route `{text}` of {at} leads to {ip} by {}, but {ip} is {there}/{other_dev}, which is not on that segment", link.ifname))
                    .because(Label::State, format!("ip addr in {there}: {ip} dev {other_dev}"))
                    .advise("correct the route, or connect the two segments"),
            );
            return None;
        }
        let mut culprit = Culprit::new(Code::RouteWrongNexthop, &at, "route", text.clone())
            .value(link.ifname.clone())
            .says(format!(
                "{at} sends {ip} by {}, but {ip} is {there}/{other_dev}, which is not on that segment",
                link.ifname
            ))
            .because(Label::State, format!("{at}: {text}"));
        culprit = self.shadowed(ns, link, ip, culprit);
        if let Some(rule) = led.filter(|rule| rule.get("uid_start").is_some()) {
            let shown = super::super::routes::rule_text(&rule);
            (culprit.code, culprit.kind, culprit.name) = (Code::RuleMisdirect, "rule", shown.clone());
            culprit.message = format!(
                "the policy rule `{shown}` of {at} takes what these users send, root among them, to `{text}`, and so by {}; {ip} is {there}/{other_dev}, \
                 which is not on that segment: what other users send does not go there",
                link.ifname
            );
            let family = if ip.is_ipv6() { "-6 " } else { "" };
            culprit = culprit
                .because(Label::State, format!("ip rule in {at}: {shown}"))
                .fix(&format!("ip {family}rule del pref {}", super::super::routes::preference(&rule)));
        } else if route.is_some_and(|route| route.protocol.as_deref() != Some("kernel")) {
            culprit = culprit.fix(&format!("ip {}route del {text}", if ip.is_ipv6() { "-6 " } else { "" }));
            // Where it was the only route, the router of the segment takes over.
            let rest =
                net.ns(ns).routes.iter().filter(|other| {
                    other.is_default() && other.is_ipv6() == ip.is_ipv6() && other.next_hop().is_some()
                });
            if rest.count() == 0 && text.starts_with("default") {
                let router = self.router_of(ns, &link.ifname, ip.is_ipv6());
                let family = if ip.is_ipv6() { "-6 " } else { "" };
                if let Some(router) = router {
                    culprit = culprit.fix(&format!("ip {family}route add default via {router} dev {}", link.ifname));
                }
            }
        }
        if culprit.fix.is_empty()
            && let Some((near, came)) = self.asked_by(ns).filter(|(_, came)| *came != link.ifname)
        {
            let (family, bits) = if ip.is_ipv6() { ("-6 ", 128) } else { ("", 32) };
            culprit = culprit
                .because(Label::State, format!("the request from {ip} came into {at} by {came}, from {near}"))
                .fix(&format!("ip {family}route add {ip}/{bits} via {near} dev {came}"));
        }
        if let Some(only) = stations.first().filter(|_| stations.len() == 1).cloned() {
            self.way(ns, &only, packet, "");
        }
        self.fault(culprit);
        None
    }

    /// A link that leads nowhere has the longer prefix of two ways: the other one is shadowed.
    fn shadowed(&self, ns: usize, link: &Link, ip: IpAddr, culprit: Culprit) -> Culprit {
        let network = self.net.ns(ns);
        let dev = &link.ifname;
        let ports = network.ports(dev).count();
        let empty = link.kind() == Some("bridge") && ports == 0;
        let mut culprit = culprit;
        if empty || !link.has_carrier() {
            let words = if empty { "a bridge without any port, and so without carrier" } else { "without carrier" };
            let _ = write!(culprit.message, "; {dev} is {words}");
            culprit = culprit.because(Label::State, format!("ip link show dev {dev} in {}: {words}", network.at));
        }
        let other = network
            .routes
            .iter()
            .filter(|route| {
                route.kind() == "unicast"
                    && route.table.as_deref().unwrap_or("main") == "main"
                    && route.is_ipv6() == ip.is_ipv6()
                    && route
                        .dev
                        .as_ref()
                        .is_some_and(|other| other != dev && network.link(other).is_some_and(Link::is_up))
                    && (route.is_default() || route.destination().is_some_and(|net| net.contains(&ip)))
            })
            .max_by_key(|route| route.destination().map_or(0, |net| net.prefix_len()));
        let Some(other) = other.filter(|_| empty || !link.has_carrier()) else { return culprit };
        let text = super::super::routes::route_text(other);
        let way = text.split_once(' ').map_or("", |(_, way)| way);
        let (family, bits) = if ip.is_ipv6() { ("-6 ", 128) } else { ("", 32) };
        let _ = write!(culprit.message, " and shadows `{text}`");
        culprit
            .because(Label::State, format!("{}: {text}", network.at))
            .fix(&format!("ip {family}route add {ip}/{bits} {way}"))
    }

    pub(in crate::why) fn v6_disabled(&mut self, ns: usize, dev: &str) {
        self.v6_disabled_for(ns, dev, None);
    }

    pub(in crate::why) fn v6_disabled_for(&mut self, ns: usize, dev: &str, ip: Option<IpAddr>) {
        let at = self.net.ns(ns).at.clone();
        let mut culprit = Culprit::new(Code::V6Disabled, &at, "sysctl", format!("net.ipv6.conf.{dev}.disable_ipv6"))
            .value("1")
            .says(format!(
                "IPv6 is disabled on {at}/{dev}: disable_ipv6 = 1{}",
                ip.map(|ip| format!(", so nobody has {ip}")).unwrap_or_default()
            ))
            .because(Label::State, format!("net.ipv6.conf.{dev}.disable_ipv6 = 1 in {at}"))
            .fix(&format!("sysctl -w net.ipv6.conf.{dev}.disable_ipv6=0"));
        if let (Some(ip), Leg::Request) = (ip, self.leg) {
            culprit = culprit.fix(&format!("ip -6 addr replace {ip}/64 dev {dev} nodad"));
            // Its default route went with the address: the router of the segment is whoever the others use.
            let gateway = self.net.all.iter().flat_map(|other| &other.routes).find(|route| {
                route.is_ipv6()
                    && route.is_default()
                    && route.next_hop().is_some_and(|hop| ipnet::IpNet::new(ip, 64).is_ok_and(|net| net.contains(&hop)))
            });
            if let Some(hop) = gateway.and_then(crate::model::route::Route::next_hop) {
                culprit = culprit.fix(&format!("ip -6 route replace default via {hop}"));
            }
        }
        self.fault(culprit);
    }

    /// An IPv6 address that is not usable (yet); noted.
    pub(in crate::why) fn tentative(&mut self, ns: usize, ip: IpAddr) -> bool {
        let Some(addr) = self.net.ns(ns).owns(ip).filter(|addr| addr.tentative || addr.dadfailed).cloned() else {
            return false;
        };
        let at = self.net.ns(ns).at.clone();
        let code = if addr.dadfailed { Code::V6DadFailed } else { Code::V6DadPending };
        let word = if addr.dadfailed {
            "has failed duplicate address detection: somebody else has it"
        } else {
            "is still tentative: duplicate address detection (DAD) has not ended"
        };
        self.pending |= !addr.dadfailed;
        let heard = self.heard_itself(ns, &addr.dev, ip).filter(|_| addr.dadfailed);
        let culprit = Culprit::new(code, &at, "address", format!("{ip}/{}", addr.len))
            .value(if addr.dadfailed { "dadfailed" } else { "tentative" })
            .says(format!("{ip} of {at}/{} {word}", addr.dev))
            .because(Label::State, format!("ip -6 addr show dev {} in {at}: {ip} tentative", addr.dev));
        let again = |culprit: Culprit| {
            culprit
                .fix(&format!("ip -6 addr del {ip}/{} dev {}", addr.len, addr.dev))
                .fix(&format!("ip -6 addr add {ip}/{} dev {} nodad", addr.len, addr.dev))
        };
        let culprit = if let Some((place, port)) = heard {
            let mut culprit = culprit
                .because(Label::State, format!("nobody else here has {ip}"))
                .because(Label::State, format!("bridge -d link show dev {port} in {place}: hairpin on"));
            culprit.message = format!(
                "{ip} of {at}/{} has failed duplicate address detection against itself: the bridge port {place}/{port} is in hairpin mode and sends \
                 it its own question back",
                addr.dev
            );
            again(culprit.fix_at(&place, &format!("bridge link set dev {port} hairpin off")))
        } else if addr.dadfailed {
            culprit.advise("use another address, or take it from the other")
        } else {
            again(culprit)
        };
        self.fault(culprit);
        true
    }

    /// The bridge port in hairpin mode behind which an address is that nobody else has.
    fn heard_itself(&self, ns: usize, dev: &str, ip: IpAddr) -> Option<(crate::op::Where, String)> {
        let net = self.net;
        let twin = net.all.iter().enumerate().any(|(other, known)| other != ns && known.owns(ip).is_some());
        let (there, port) = net.ns(ns).link(dev).and_then(|link| net.peer(ns, link)).filter(|_| !twin)?;
        let data = port.linkinfo.info_slave_data.as_ref()?;
        let on = data.get("hairpin").and_then(serde_json::Value::as_bool) == Some(true);
        on.then(|| (net.ns(there).at.clone(), port.ifname.clone()))
    }
}
