//! What lies between two devices that talk IP: veth pairs, bridges and their ports, neighbours.
//!
//! The flood finds every station that a frame could come to, also past what bars the way; then the way to the right one is judged.

use std::net::IpAddr;

use serde_json::Value;

use super::filters::Bridged;
use super::finding::{Culprit, Label, Leg};
use super::packet::{Hook, Packet};
use super::state::{Neigh, text};
use super::walk::Walk;
use crate::model::link::Link;

/// A piece of the way of a frame.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Out by a device.
    Out(usize, String),
    /// In by a device.
    In(usize, String),
    /// Through a bridge; without a port where the bridge itself is the end.
    Bridge { ns: usize, bridge: String, from: Option<String>, to: Option<String> },
}

/// A device that a frame can come to.
#[derive(Clone, Debug)]
pub(super) struct Station {
    pub(super) ns: usize,
    pub(super) dev: String,
    pub(super) way: Vec<Piece>,
}

struct Flood<'w, 'a> {
    walk: &'w Walk<'a>,
    seen: Vec<(usize, String)>,
    found: Vec<Station>,
}

impl Flood<'_, '_> {
    /// A frame leaves by a device.
    fn emit(&mut self, ns: usize, dev: &str, way: &[Piece], tag: Option<u64>) {
        let net = self.walk.net;
        let Some(link) = net.ns(ns).link(dev) else { return };
        let mut way = way.to_vec();
        match link.kind() {
            Some("bridge") => {
                let ports: Vec<&Link> =
                    net.ns(ns).ports(dev).filter(|port| !self.seen.contains(&(ns, port.ifname.clone()))).collect();
                for port in ports {
                    let mut way = way.clone();
                    way.push(Piece::Bridge { ns, bridge: dev.into(), from: None, to: Some(port.ifname.clone()) });
                    self.emit(ns, &port.ifname, &way, tag);
                }
            }
            Some("bond" | "team") => {
                for port in net.ns(ns).ports(dev) {
                    self.emit(ns, &port.ifname, &way, tag);
                }
            }
            Some("vlan") => {
                let id = link.linkinfo.info_data.as_ref().and_then(|data| data.get("id")).and_then(Value::as_u64);
                if let Some(parent) = link.parent() {
                    way.push(Piece::Out(ns, dev.into()));
                    self.emit(ns, parent, &way, id);
                }
            }
            Some("macvlan" | "macvtap" | "ipvlan") => {
                if let Some(parent) = link.parent() {
                    way.push(Piece::Out(ns, dev.into()));
                    for (at, other) in net.all.iter().enumerate() {
                        let siblings = other.links.iter().filter(|other| {
                            other.kind() == link.kind()
                                && (at, &other.ifname) != (ns, &link.ifname)
                                && other.link_index == link.link_index
                                && other.parent() == link.parent()
                        });
                        for sibling in siblings.filter(|sibling| at == ns || sibling.link_index.is_some()) {
                            self.station(at, &sibling.ifname, &way);
                        }
                    }
                    self.emit(ns, parent, &way, tag);
                }
            }
            Some("veth") => {
                way.push(Piece::Out(ns, dev.into()));
                if let Some((peer, other)) = net.peer(ns, link) {
                    let name = other.ifname.clone();
                    self.receive(peer, &name, &way, tag);
                }
            }
            Some("vxlan") => {
                let id = |link: &Link| link.linkinfo.info_data.as_ref().and_then(|data| data.get("id").cloned());
                way.push(Piece::Out(ns, dev.into()));
                for (at, other) in net.all.iter().enumerate().filter(|(at, _)| *at != ns) {
                    for far in other.links.iter().filter(|far| far.kind() == Some("vxlan") && id(far) == id(link)) {
                        self.receive(at, &far.ifname, &way, tag);
                    }
                }
            }
            _ => {}
        }
    }

    /// A frame comes in by a device.
    fn receive(&mut self, ns: usize, dev: &str, way: &[Piece], tag: Option<u64>) {
        if self.seen.contains(&(ns, dev.to_owned())) {
            return;
        }
        self.seen.push((ns, dev.to_owned()));
        let network = self.walk.net.ns(ns);
        let Some(link) = network.link(dev) else { return };
        let mut way = way.to_vec();
        way.push(Piece::In(ns, dev.into()));
        if let Some(bridge) = network.bridge_of(link) {
            let through =
                |to: Option<String>| Piece::Bridge { ns, bridge: bridge.ifname.clone(), from: Some(dev.into()), to };
            let mut up = way.clone();
            up.push(through(None));
            self.tagged(ns, &bridge.ifname, &up, tag);
            for port in network.ports(&bridge.ifname).filter(|port| port.ifname != dev) {
                let mut on = way.clone();
                on.push(through(Some(port.ifname.clone())));
                self.seen.push((ns, port.ifname.clone()));
                self.emit(ns, &port.ifname, &on, tag);
            }
            return;
        }
        if let Some(master) = link
            .master
            .as_deref()
            .and_then(|name| network.link(name))
            .filter(|master| matches!(master.kind(), Some("bond" | "team")))
        {
            self.tagged(ns, &master.ifname, &way, tag);
            return;
        }
        self.tagged(ns, dev, &way, tag);
    }

    fn tagged(&mut self, ns: usize, dev: &str, way: &[Piece], tag: Option<u64>) {
        let network = self.walk.net.ns(ns);
        let above: Vec<&Link> = network.links.iter().filter(|above| above.parent() == Some(dev)).collect();
        match tag {
            Some(tag) => {
                for vlan in above.iter().filter(|above| above.kind() == Some("vlan")) {
                    let id = vlan.linkinfo.info_data.as_ref().and_then(|data| data.get("id")).and_then(Value::as_u64);
                    if id == Some(tag) {
                        self.station(ns, &vlan.ifname, way);
                    }
                }
            }
            None => {
                self.station(ns, dev, way);
                for child in above.iter().filter(|above| matches!(above.kind(), Some("macvlan" | "ipvlan"))) {
                    self.station(ns, &child.ifname, way);
                }
            }
        }
    }

    fn station(&mut self, ns: usize, dev: &str, way: &[Piece]) {
        if !self.found.iter().any(|known| known.ns == ns && known.dev == dev) {
            self.found.push(Station { ns, dev: dev.into(), way: way.to_vec() });
        }
    }
}

impl Walk<'_> {
    /// Every device that a frame from a device could come to.
    pub(super) fn flood(&self, ns: usize, dev: &str) -> Vec<Station> {
        let mut flood = Flood { walk: self, seen: vec![(ns, dev.to_owned())], found: Vec::new() };
        flood.emit(ns, dev, &[], None);
        flood.found
    }

    /// From a device to the one that has the next hop's address. What bars the way is noted.
    pub(super) fn segment(
        &mut self,
        ns: usize,
        dev: &str,
        nexthop: IpAddr,
        gateway: bool,
        packet: &Packet,
    ) -> Option<(usize, String)> {
        let net = self.net;
        let stations = self.flood(ns, dev);
        let link = net.ns(ns).link(dev)?;
        let owns = |station: &&Station| {
            let there = net.ns(station.ns);
            station.ns != ns
                && there.addrs.iter().any(|addr| {
                    addr.ip == nexthop
                        && !addr.dadfailed
                        && (nexthop.is_ipv4() || (addr.dev == station.dev && !addr.tentative))
                })
        };
        let exact = |station: &&&Station| net.ns(station.ns).owns(nexthop).is_some_and(|addr| addr.dev == station.dev);
        let owners: Vec<&Station> = stations.iter().filter(owns).collect();
        let entry = net
            .ns(ns)
            .neighs
            .iter()
            .find(|neigh| neigh.dev == dev && neigh.ip == nexthop && neigh.mac.is_some())
            .cloned();
        let mac_of = |station: &Station| {
            net.ns(station.ns).link(&station.dev).and_then(|link| link.address.clone()).unwrap_or_default()
        };
        let by_mac = entry.as_ref().and_then(|entry| owners.iter().find(|owner| Some(mac_of(owner)) == entry.mac));
        let Some(&owner) = by_mac.or_else(|| owners.iter().find(exact)).or_else(|| owners.first()) else {
            return self.missing_neighbour(ns, link, nexthop, gateway, packet, &stations);
        };
        let owner = owner.clone();
        let twin = owners.iter().find(|other| other.ns != owner.ns && exact(other));
        if let Some(twin) = twin {
            self.duplicate_address(nexthop, &owner, twin, ns, dev, entry.as_ref());
        }
        self.way(ns, &owner, packet, &mac_of(&owner));
        self.same_mac(ns, link, &owner, &stations);
        let known = entry.as_ref().is_some_and(|entry| !has(entry, "FAILED") && !has(entry, "INCOMPLETE"));
        if let Some(entry) = entry
            .filter(|entry| known && entry.mac.as_deref().is_some_and(|mac| !mac.eq_ignore_ascii_case(&mac_of(&owner))))
        {
            if twin.is_none() {
                self.wrong_neighbour(ns, dev, nexthop, &entry, &owner, &mac_of(&owner), &stations);
            }
        } else if !known {
            self.resolution(ns, link, nexthop, packet, &owner);
        }
        Some((owner.ns, owner.dev))
    }

    fn duplicate_address(
        &mut self,
        ip: IpAddr,
        owner: &Station,
        twin: &Station,
        ns: usize,
        dev: &str,
        entry: Option<&Neigh>,
    ) {
        let (a, b) = (&self.net.ns(owner.ns).at, &self.net.ns(twin.ns).at);
        let mut culprit = Culprit::new("ADDR_DUPLICATE", b, "address", ip.to_string())
            .value(format!("{a}/{} and {b}/{}", owner.dev, twin.dev))
            .says(format!(
                "{ip} is on {a}/{} and on {b}/{}: whoever answers ARP first gets the packets",
                owner.dev, twin.dev
            ))
            .because(Label::State, format!("ip addr: {ip} in {a} and in {b}"));
        if let Some(mac) = entry.and_then(|entry| entry.mac.as_deref()) {
            culprit = culprit.because(
                Label::State,
                format!("{} takes {ip} for {mac} on {dev}, which is {a}/{}", self.name(ns), owner.dev),
            );
        }
        // Whom to take it from is for a person to say: only the one that answers wrongly now is known.
        let (wrong, wrong_dev) = if entry.is_some() { (owner.ns, &owner.dev) } else { (twin.ns, &twin.dev) };
        let len = self.net.ns(wrong).owns(ip).map_or(32, |addr| addr.len);
        let at = self.net.ns(wrong).at.clone();
        let culprit = culprit.fix_at(&at, &format!("ip addr del {ip}/{len} dev {wrong_dev}"));
        let me = self.net.ns(ns).at.clone();
        self.fault(culprit.fix_at(&me, &format!("ip neigh flush to {ip} dev {dev}")));
    }

    fn same_mac(&mut self, ns: usize, link: &Link, owner: &Station, stations: &[Station]) {
        let mine = link.address.clone().unwrap_or_default();
        let mac =
            |ns: usize, dev: &str| self.net.ns(ns).link(dev).and_then(|link| link.address.clone()).unwrap_or_default();
        let theirs = mac(owner.ns, &owner.dev);
        let other = if mine == theirs && !mine.is_empty() {
            Some((ns, link.ifname.clone()))
        } else {
            let twin = stations.iter().find(|other| {
                other.ns != owner.ns
                    && other.ns != ns
                    && !theirs.is_empty()
                    && [&mine, &theirs].contains(&&mac(other.ns, &other.dev))
            });
            twin.map(|twin| (twin.ns, twin.dev.clone()))
        };
        let Some((other, other_dev)) = other else { return };
        let (first, first_dev, shared) =
            if mac(other, &other_dev) == theirs { (owner.ns, &owner.dev, &theirs) } else { (ns, &link.ifname, &mine) };
        let (a, b) = (self.net.ns(other).at.clone(), self.net.ns(first).at.clone());
        // A fresh local address for one of them, derived from the old one.
        let fresh = format!(
            "{}:{:02x}",
            &shared[..shared.len().saturating_sub(3)],
            0xe0 ^ u8::from_str_radix(&shared[shared.len().saturating_sub(2)..], 16).unwrap_or(1)
        );
        self.fault(
            Culprit::new("MAC_DUPLICATE", &b, "link", first_dev.clone())
                .value(shared.clone())
                .says(format!("{a}/{other_dev} and {b}/{first_dev} share the same hardware (MAC) address {shared}: the bridge between them cannot tell them apart"))
                .because(Label::State, format!("ip link: {shared} on {a}/{other_dev} and on {b}/{first_dev}"))
                .fix(&format!("ip link set dev {first_dev} address {fresh}"))
                .fix_at(&a, &format!("ip neigh flush dev {other_dev}")),
        );
    }

    #[expect(clippy::too_many_arguments, reason = "one frame or packet at one place")]
    fn wrong_neighbour(
        &mut self,
        ns: usize,
        dev: &str,
        ip: IpAddr,
        entry: &Neigh,
        owner: &Station,
        right: &str,
        stations: &[Station],
    ) {
        let at = self.net.ns(ns).at.clone();
        let mac = entry.mac.clone().unwrap_or_default();
        let fixed = has(entry, "PERMANENT") || has(entry, "NOARP");
        // A router answers with the address of whichever device got the question.
        let theirs = self.net.ns(owner.ns).links.iter().any(|link| link.address.as_deref() == Some(&mac)) && !fixed;
        if theirs {
            return;
        }
        let holder = stations.iter().find(|other| {
            self.net.ns(other.ns).link(&other.dev).is_some_and(|link| link.address.as_deref() == Some(&mac))
        });
        let holder = holder.map_or("nobody here has that address".to_owned(), |other| {
            format!("that is {}/{}", self.name(other.ns), other.dev)
        });
        let word = if fixed { "permanent (static)" } else { "learned" };
        self.fault(
            Culprit::new(
                if fixed { "NEIGH_STATIC_WRONG" } else { "NEIGH_STALE_WRONG" },
                &at,
                "neighbour",
                format!("{ip} dev {dev}"),
            )
            .value(mac.clone())
            .says(format!(
                "{at} has a {word} neighbour entry: {ip} is at {mac} on {dev}; {holder}; {ip} is {}/{} at {right}",
                self.name(owner.ns),
                owner.dev
            ))
            .because(Label::State, format!("ip neigh in {at}: {ip} dev {dev} lladdr {mac} {}", entry.state.join(" ")))
            .fix(&format!("ip neigh del {ip} dev {dev}")),
        );
    }

    /// Whether the address would be found out: ARP or neighbour discovery.
    fn resolution(&mut self, ns: usize, link: &Link, ip: IpAddr, packet: &Packet, owner: &Station) {
        let (net, at) = (self.net, self.net.ns(ns).at.clone());
        let there = net.ns(owner.ns).at.clone();
        let far = net.ns(owner.ns).link(&owner.dev);
        for (place, link) in [(&at, Some(link)), (&there, far)] {
            if let Some(link) = link.filter(|link| link.has_flag("NOARP") && link.link_type.as_deref() == Some("ether"))
            {
                self.fault(
                    Culprit::new("ARP_DISABLED", place, "link", link.ifname.clone())
                        .value("NOARP")
                        .says(format!(
                            "{place}/{} has NOARP: it neither asks nor answers ARP, so nobody finds {ip}",
                            link.ifname
                        ))
                        .because(Label::State, format!("ip link show dev {} in {place}: NOARP", link.ifname))
                        .fix(&format!("ip link set dev {} arp on", link.ifname)),
                );
                return;
            }
        }
        if ip.is_ipv6() {
            self.discovery(ns, &link.ifname, ip, packet, owner);
            return;
        }
        let setting = |name: &str| {
            net.setting(owner.ns, &format!("ipv4/conf/all/{name}"))
                .max(net.setting(owner.ns, &format!("ipv4/conf/{}/{name}", owner.dev)))
        };
        let ignore = setting("arp_ignore");
        let on_dev = net.ns(owner.ns).addrs_of(&owner.dev).any(|addr| addr.ip == ip);
        let sender = self.arp_source(ns, &link.ifname, ip, packet);
        let same_net = net
            .ns(owner.ns)
            .addrs_of(&owner.dev)
            .any(|addr| addr.ip == ip && sender.is_some_and(|sender| addr.covers(sender)));
        if ignore == 8 || (ignore == 1 && !on_dev) || (ignore == 2 && !same_net) {
            self.fault(
                Culprit::new("ARP_IGNORED", &there, "sysctl", format!("net.ipv4.conf.{}.arp_ignore", owner.dev))
                    .value(ignore.to_string())
                    .says(format!("{there} does not answer ARP for {ip} on {}: arp_ignore = {ignore}", owner.dev))
                    .because(Label::State, format!("arp_ignore = {ignore} (the greater of all and {})", owner.dev))
                    .fix("sysctl -w net.ipv4.conf.all.arp_ignore=0")
                    .fix(&format!("sysctl -w net.ipv4.conf.{}.arp_ignore=0", owner.dev)),
            );
            return;
        }
        let Some(sender) = sender else { return };
        // The question is routed like a packet: the reverse path filter and missing routes eat it too.
        let ask = Packet { src: sender, dst: ip, proto: 1, mark: Some(0), ..packet.clone() };
        if let Err((said, line)) = self.route(owner.ns, &ask, Some(&owner.dev)) {
            if self.rp_filter(owner.ns, &ask, &owner.dev, &said, &line) {
                return;
            }
        } else if setting("arp_filter") > 0 {
            let back = Packet { src: ip, dst: sender, ..ask.clone() };
            if self.route(owner.ns, &back, None).is_ok_and(|got| got.dev != owner.dev) {
                self.fault(
                    Culprit::new("ARP_IGNORED", &there, "sysctl", format!("net.ipv4.conf.{}.arp_filter", owner.dev))
                        .value("1")
                        .says(format!("{there} does not answer ARP on {}: arp_filter is on and {sender} is routed by another link", owner.dev))
                        .because(Label::State, "arp_filter = 1")
                        .fix("sysctl -w net.ipv4.conf.all.arp_filter=0")
                        .fix(&format!("sysctl -w net.ipv4.conf.{}.arp_filter=0", owner.dev)),
                );
                return;
            }
        }
        let answer = Packet { src: ip, dst: sender, reply: true, ..ask.clone() };
        let ask = Packet { reply: false, ..ask };
        let none = ("", "");
        let mine = link.ifname.as_str();
        let checks = [
            (ns, Hook::Output, &ask, (none.0, mine)),
            (owner.ns, Hook::Input, &ask, (owner.dev.as_str(), none.1)),
            (owner.ns, Hook::Output, &answer, (none.0, owner.dev.as_str())),
            (ns, Hook::Input, &answer, (mine, none.1)),
        ];
        for (place, hook, frame, devs) in checks {
            if !self.frame_hook(place, "arp", hook, frame, devs, true, None) {
                return;
            }
        }
        for piece in owner.way.clone() {
            if let Piece::Bridge { ns, from: Some(from), to: Some(to), .. } = piece {
                let there = self.frame_hook(ns, "bridge", Hook::Forward, &ask, (&from, &to), true, None);
                if !there || !self.frame_hook(ns, "bridge", Hook::Forward, &answer, (&to, &from), true, None) {
                    return;
                }
            }
        }
    }

    /// The address that an ARP question comes from.
    fn arp_source(&self, ns: usize, dev: &str, ip: IpAddr, packet: &Packet) -> Option<IpAddr> {
        let net = self.net;
        let announce = net
            .setting(ns, "ipv4/conf/all/arp_announce")
            .max(net.setting(ns, &format!("ipv4/conf/{dev}/arp_announce")));
        let own = net.ns(ns).owns(packet.src).is_some();
        let of_dev: Vec<_> = net.ns(ns).addrs_of(dev).filter(|addr| addr.ip.is_ipv4()).collect();
        let near = of_dev.iter().find(|addr| addr.covers(ip)).map(|addr| addr.ip);
        match announce {
            0 if own => Some(packet.src),
            1 if own && net.ns(ns).addrs_of(dev).any(|addr| addr.covers(ip) && addr.covers(packet.src)) => {
                Some(packet.src)
            }
            _ => near.or_else(|| of_dev.first().map(|addr| addr.ip)).or_else(|| {
                net.ns(ns).addrs.iter().find(|addr| addr.dev != "lo" && addr.ip.is_ipv4()).map(|addr| addr.ip)
            }),
        }
    }

    fn discovery(&mut self, ns: usize, dev: &str, ip: IpAddr, packet: &Packet, owner: &Station) {
        let before = self.faults.len();
        let solicit = Packet {
            dst: ip,
            proto: 58,
            icmp: Some(135),
            ttl: Some(255),
            size: 72,
            mark: Some(0),
            ct: super::packet::Ct::Untracked,
            sport: super::packet::Port::None,
            dport: super::packet::Port::None,
            ..packet.clone()
        };
        let advert = Packet { src: ip, dst: packet.src, icmp: Some(136), ..solicit.clone() };
        let steps = [
            (ns, Hook::Output, &solicit, "", dev),
            (owner.ns, Hook::Input, &solicit, owner.dev.as_str(), ""),
            (owner.ns, Hook::Output, &advert, "", owner.dev.as_str()),
            (ns, Hook::Input, &advert, dev, ""),
        ];
        let conns = self.conns.clone();
        for (place, hook, message, iif, oif) in steps {
            let mut message = (*message).clone();
            if !self.hook(place, hook, &mut message, iif, oif, None) {
                break;
            }
        }
        self.conns = conns;
        for fault in &mut self.faults[before..] {
            fault.code = "V6_ND_BLOCKED";
            fault.message =
                format!("neighbour discovery (ICMPv6 types 135 and 136) for {ip} is blocked: {}", fault.message);
            if fault.kind == "policy" {
                let words = fault.name.clone();
                let mut words = words.split_whitespace();
                let tool = words.next().unwrap_or("ip6tables").to_owned();
                let chain = words.last().unwrap_or("INPUT").to_owned();
                if tool.starts_with("ip6tables") {
                    let line = |kind: &str| format!("{tool} -I {chain} 1 -p ipv6-icmp --icmpv6-type {kind} -j ACCEPT");
                    fault.fix = vec![
                        super::finding::Fix::new(&fault.at, &line("neighbour-solicitation")),
                        super::finding::Fix::new(&fault.at, &line("neighbour-advertisement")),
                    ];
                }
            }
        }
    }

    /// Judges the way of a frame to a station.
    fn way(&mut self, ns: usize, station: &Station, packet: &Packet, mac: &str) {
        let source = station.way.iter().find_map(|piece| match piece {
            Piece::Out(ns, dev) => self.net.ns(*ns).link(dev).and_then(|link| link.address.clone()),
            _ => None,
        });
        let source = self
            .hops
            .last()
            .and_then(|hop| self.net.ns(ns).link(&hop.dev))
            .and_then(|link| link.address.clone())
            .or(source)
            .unwrap_or_default();
        for piece in station.way.clone() {
            match piece {
                Piece::Out(at, dev) => {
                    let Some(link) = self.net.ns(at).link(&dev) else { continue };
                    if !link.is_up() {
                        self.link_down(at, &dev);
                    }
                    if self.hops.last().is_none_or(|hop| hop.dev != dev || hop.at != self.net.ns(at).at) {
                        self.qdisc(at, &dev, packet, false);
                        self.hop(at, &dev, true);
                    }
                    self.frame_hook(at, "netdev", Hook::Egress, packet, ("", &dev), false, Some((&source, mac)));
                    if link.kind() == Some("vxlan") {
                        // A VXLAN device that is a bridge port: its outer packet has a way of its own.
                        let _ = self.tunnel_port(at, &dev, packet);
                    }
                }
                Piece::In(at, dev) => self.comes_in(at, &dev, packet, (&source, mac), station),
                Piece::Bridge { ns: at, bridge, from, to } => {
                    self.through_bridge(at, &bridge, from.as_deref(), to.as_deref(), packet, &source, mac);
                }
            }
        }
    }

    fn tunnel_port(&mut self, ns: usize, dev: &str, packet: &Packet) -> Option<()> {
        let link = self.net.ns(ns).link(dev)?;
        let data = link.linkinfo.info_data.clone()?;
        let remote: IpAddr = text(&data, "remote").parse().ok()?;
        if self.depth > 2 {
            return None;
        }
        let port = data.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).unwrap_or(4789);
        let outer = Packet {
            src: text(&data, "local").parse().unwrap_or_else(|_| super::walk::unspecified(remote.is_ipv6())),
            dst: remote,
            proto: 17,
            dport: super::packet::Port::Exact(port),
            sport: super::packet::Port::Ephemeral,
            icmp: None,
            df: false,
            size: packet.size + 50,
            ..packet.clone()
        };
        let (origin, conns) = (self.origin.clone(), self.conns.clone());
        self.origin = Some((ns, outer.clone()));
        self.depth += 1;
        let end = self.originate(ns, outer);
        self.depth -= 1;
        self.origin = origin;
        self.conns = conns;
        end.map(drop)
    }

    fn comes_in(&mut self, ns: usize, dev: &str, packet: &Packet, macs: (&str, &str), station: &Station) {
        let at = self.net.ns(ns).at.clone();
        let Some(link) = self.net.ns(ns).link(dev) else { return };
        if !link.is_up() {
            self.link_down(ns, dev);
        }
        if (ns, dev) != (station.ns, station.dev.as_str()) {
            self.hop(ns, dev, false);
        }
        let mtu = link.mtu.unwrap_or(u32::MAX);
        if packet.size > mtu && link.kind() == Some("veth") {
            let other = self.net.peer(ns, link).and_then(|(_, other)| other.mtu).unwrap_or(1500);
            self.fault(
                Culprit::new("MTU_L2_MISMATCH", &at, "link", dev)
                    .value(format!("mtu {mtu}"))
                    .says(format!("{at}/{dev} has mtu {mtu}, its segment has {other}: packets of {} bytes vanish there without a word", packet.size))
                    .because(Label::State, format!("ip link show dev {dev} in {at}: mtu {mtu}"))
                    .fix(&format!("ip link set dev {dev} mtu {}", other.max(packet.size))),
            );
        }
        if let Some(xdp) = link.raw().get("xdp") {
            let mode = xdp.get("attached").or_else(|| xdp.get("mode")).map(Value::to_string).unwrap_or_default();
            let culprit = Culprit::new("XDP_DROP", &at, "program", format!("{dev} xdp"))
                .value(
                    xdp.get("prog")
                        .map(|prog| prog.get("id").map_or_else(|| prog.to_string(), Value::to_string))
                        .unwrap_or_default(),
                )
                .says(format!("an XDP program on {at}/{dev} sees every packet first and may drop it"))
                .because(Label::State, format!("ip -d link show dev {dev} in {at}: prog/xdp, mode {mode}"))
                .fix(&format!("ip link set dev {dev} xdpgeneric off"))
                .fix(&format!("ip link set dev {dev} xdp off"));
            self.suspect(ns, culprit, None);
        }
        self.qdisc(ns, dev, packet, true);
        self.frame_hook(ns, "netdev", Hook::Ingress, packet, (dev, ""), false, Some(macs));
    }

    /// The queue and the filters of a device.
    pub(super) fn qdisc(&mut self, ns: usize, dev: &str, packet: &Packet, ingress: bool) {
        let at = self.net.ns(ns).at.clone();
        let all: Vec<Value> = self.net.qdiscs(ns).iter().filter(|qdisc| text(qdisc, "dev") == dev).cloned().collect();
        for qdisc in all {
            let kind = text(&qdisc, "kind");
            let drops = qdisc.get("drops").and_then(Value::as_u64).unwrap_or(0);
            if matches!(kind, "clsact" | "ingress") {
                let direction = if ingress { "ingress" } else { "egress" };
                if kind == "ingress" && !ingress {
                    continue;
                }
                let answer = self.net.ask(ns, "tc", &["-s", "-j", "filter", "show", "dev", dev, direction]);
                let filters = crate::model::json::records(&answer.stdout, "`tc filter`").unwrap_or_default();
                let drops_all =
                    filters.iter().find(|filter| filter.get("options").is_some() && may_drop(filter, packet));
                if let Some(filter) = drops_all {
                    let certain = certainly_drops(filter);
                    let culprit = Culprit::new("TC_DROP", &at, "filter", format!("{dev} {direction}"))
                        .value(text(filter, "kind"))
                        .says(format!(
                            "a tc filter ({}) on {direction} of {at}/{dev} {} the packet",
                            text(filter, "kind"),
                            if certain { "drops" } else { "may drop" }
                        ))
                        .because(
                            Label::State,
                            format!(
                                "tc -s filter show dev {dev} {direction} in {at}: {} (qdisc {kind}, dropped {drops})",
                                text(filter, "kind")
                            ),
                        )
                        .fix(&format!("tc qdisc del dev {dev} {kind}"));
                    if certain { self.fault(culprit) } else { self.suspect(ns, culprit, None) }
                }
                continue;
            }
            if ingress
                || matches!(kind, "noqueue" | "mq")
                || (matches!(kind, "pfifo_fast" | "fq_codel" | "fq") && drops == 0)
            {
                continue;
            }
            let number = |key: &str| qdisc.get("options").and_then(|options| options.get(key)).and_then(Value::as_f64);
            let loss = qdisc.pointer("/options/loss-random/loss").and_then(Value::as_f64).unwrap_or(0.0);
            let frame = f64::from(packet.size + 14);
            let too_small = (kind == "bfifo" && number("limit").is_some_and(|limit| limit < frame))
                || (kind == "tbf" && number("burst").is_some_and(|burst| burst < frame));
            let certain = loss >= 0.999 || kind == "blackhole" || too_small;
            let culprit = Culprit::new("QDISC_DROP", &at, "qdisc", format!("{dev} {kind}"))
                .value(qdisc.get("options").map(Value::to_string).unwrap_or_default())
                .says(format!(
                    "the queueing discipline {kind} of {at}/{dev} {} the packet",
                    if certain { "drops" } else { "may drop" }
                ))
                .because(Label::State, format!("tc -s qdisc show dev {dev} in {at}: {kind}, dropped {drops}"))
                .fix(&format!("tc qdisc del dev {dev} root"));
            if certain { self.fault(culprit) } else { self.suspect(ns, culprit, None) }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one frame")]
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    fn through_bridge(
        &mut self,
        ns: usize,
        bridge: &str,
        from: Option<&str>,
        to: Option<&str>,
        packet: &Packet,
        source: &str,
        mac: &str,
    ) {
        let (net, at) = (self.net, self.net.ns(ns).at.clone());
        let network = net.ns(ns);
        let Some(of) = network.link(bridge) else { return };
        if !of.is_up() {
            self.link_down(ns, bridge);
        }
        let slave = |dev: Option<&str>| {
            dev.and_then(|dev| network.link(dev)).and_then(|link| link.linkinfo.info_slave_data.clone())
        };
        let flag =
            |data: &Option<Value>, key: &str| data.as_ref().and_then(|data| data.get(key)).and_then(Value::as_bool);
        let (data_in, data_out) = (slave(from), slave(to));
        for (dev, data) in [(from, &data_in), (to, &data_out)] {
            let Some((dev, data)) = dev.zip(data.as_ref()) else { continue };
            let state = text(data, "state");
            let up = network.link(dev).is_some_and(|link| link.is_up() && link.has_carrier());
            if !state.is_empty() && state != "forwarding" && up && of.is_up() {
                let info = of.linkinfo.info_data.clone().unwrap_or_default();
                let delay = info.get("forward_delay").and_then(Value::as_u64).unwrap_or(0) / 100;
                let stp = info.get("stp_state").and_then(Value::as_u64).unwrap_or(0);
                self.pending |= stp == 1 && matches!(state, "listening" | "learning");
                let mut culprit = Culprit::new("PORT_STP_STATE", &at, "port", dev)
                    .value(state)
                    .says(format!(
                        "port {dev} of {at}/{bridge} is {state}, not forwarding (STP {}, forward_delay {delay} s)",
                        if stp == 1 { "on" } else { "off" }
                    ))
                    .because(Label::State, format!("bridge link show dev {dev} in {at}: state {state}"));
                if stp == 1 {
                    culprit = culprit.fix(&format!("ip link set dev {bridge} type bridge stp_state 0"));
                }
                culprit = culprit.fix(&format!("bridge link set dev {dev} state 3"));
                self.fault(culprit);
            }
        }
        if let (Some(from), Some(to)) = (from, to)
            && flag(&data_in, "isolated") == Some(true)
            && flag(&data_out, "isolated") == Some(true)
        {
            self.fault(
                Culprit::new("PORT_ISOLATED", &at, "port", to)
                    .value("isolated on")
                    .says(format!("ports {from} and {to} of {at}/{bridge} are both isolated: isolated ports talk to the others only"))
                    .because(Label::State, format!("bridge -d link in {at}: {from} isolated on, {to} isolated on"))
                    .fix(&format!("bridge link set dev {from} isolated off")),
            );
        }
        let learned = |mac: &str| {
            net.fdb(ns)
                .iter()
                .find(|entry| text(entry, "mac").eq_ignore_ascii_case(mac) && text(entry, "master") == bridge)
        };
        if let Some(from) = from {
            let known = learned(source).is_some_and(|entry| text(entry, "ifname") == from);
            if flag(&data_in, "locked") == Some(true) && !known {
                self.fault(
                    Culprit::new("PORT_LOCKED", &at, "port", from)
                        .value("locked on")
                        .says(format!("port {from} of {at}/{bridge} is locked, and {source} is not among the addresses that it was told of"))
                        .because(Label::State, format!("bridge -d link show dev {from} in {at}: locked on; no fdb entry {source} on {from}"))
                        .fix(&format!("bridge link set dev {from} locked off")),
                );
            }
        }
        // A fixed entry decides the port; also one that makes the address the bridge's own.
        let fixed = |entry: &&Value| text(entry, "state") == "permanent" || text(entry, "state") == "static";
        if let Some(entry) =
            learned(mac).filter(fixed).filter(|entry| Some(text(entry, "ifname")) != to.or(Some(bridge)))
        {
            let port = text(entry, "ifname").to_owned();
            let own = network.links.iter().any(|link| link.ifname == port && link.address.as_deref() == Some(mac));
            if !own || to.is_some() {
                self.fault(
                    Culprit::new("FDB_STATIC_WRONG", &at, "fdb", format!("{mac} dev {port}"))
                        .value(text(entry, "state"))
                        .says(format!(
                            "a fixed entry of {at}/{bridge} sends frames for {mac} to {port}, but it is behind {}",
                            to.unwrap_or(bridge)
                        ))
                        .because(
                            Label::State,
                            format!("bridge fdb in {at}: {mac} dev {port} master {bridge} {}", text(entry, "state")),
                        )
                        .fix(&format!("bridge fdb del {mac} dev {port} master")),
                );
            }
        }
        if let Some(entry) = from
            .and(learned(source))
            .filter(fixed)
            .filter(|entry| from.is_some_and(|from| text(entry, "ifname") != from))
        {
            let port = text(entry, "ifname").to_owned();
            let own = network.links.iter().any(|link| link.ifname == port && link.address.as_deref() == Some(source));
            self.fault(
                Culprit::new(if own { "MAC_DUPLICATE" } else { "FDB_STATIC_WRONG" }, &at, "fdb", format!("{source} dev {port}"))
                    .value(text(entry, "state"))
                    .says(format!("a fixed entry of {at}/{bridge} has the sender {source} on {port}, but it is behind {}: its frames are dropped or answers go astray", from.unwrap_or_default()))
                    .because(Label::State, format!("bridge fdb in {at}: {source} dev {port} master {bridge} {}", text(entry, "state")))
                    .fix(&format!("bridge fdb del {source} dev {port} master")),
            );
        }
        if let Some(to) = to {
            let known = learned(mac).is_some_and(|entry| text(entry, "ifname") == to);
            let resolved = self.hops.last().is_some();
            for (key, needs) in
                [("flood", !known), ("bcast_flood", resolved && packet.dst.is_ipv4()), ("mcast_flood", packet.v6())]
            {
                let asks = key != "flood";
                if flag(&data_out, key) == Some(false) && needs && !(asks && self.knows(packet)) {
                    self.fault(
                        Culprit::new("PORT_FLOOD_OFF", &at, "port", to)
                            .value(format!("{key} off"))
                            .says(format!(
                                "port {to} of {at}/{bridge} has {key} off: {} never reach it",
                                match key {
                                    "flood" => "frames for an address that the bridge has not learned",
                                    "bcast_flood" => "broadcasts, and so ARP questions,",
                                    _ => "multicasts, and so neighbour solicitations,",
                                }
                            ))
                            .because(Label::State, format!("bridge -d link show dev {to} in {at}: {key} off"))
                            .fix(&format!("bridge link set dev {to} {key} on")),
                    );
                }
            }
            let mtu = network.link(to).and_then(|link| link.mtu).unwrap_or(u32::MAX);
            if packet.size > mtu {
                self.fault(
                    Culprit::new("MTU_L2_MISMATCH", &at, "link", to)
                        .value(format!("mtu {mtu}"))
                        .says(format!("port {to} of {at}/{bridge} has mtu {mtu}: a bridge drops bigger frames ({} bytes) without a word", packet.size))
                        .because(Label::State, format!("ip link show dev {to} in {at}: mtu {mtu}"))
                        .fix(&format!("ip link set dev {to} mtu {}", packet.size.max(1500))),
                );
            }
        }
        self.vlans(ns, of, from, to);
        let hook = match (from, to) {
            (Some(_), Some(_)) => Hook::Forward,
            (Some(_), None) => Hook::Input,
            _ => Hook::Output,
        };
        let (inn, out) = (from.unwrap_or(bridge), to.unwrap_or(bridge));
        if from.is_some() {
            self.frame_hook(ns, "bridge", Hook::Prerouting, packet, (inn, ""), false, Some((source, mac)));
        }
        self.frame_hook(ns, "bridge", hook, packet, (inn, out), false, Some((source, mac)));
        if to.is_some() {
            self.frame_hook(ns, "bridge", Hook::Postrouting, packet, ("", out), false, Some((source, mac)));
        }
        self.bridge_netfilter(ns, of, from, to, packet);
    }

    /// Whether the next hop's address need not be asked for.
    fn knows(&self, packet: &Packet) -> bool {
        let Some(hop) = self.hops.iter().rev().find(|hop| hop.out) else { return false };
        let Some(ns) = self.net.index(&hop.at) else { return false };
        self.net.ns(ns).neighs.iter().any(|entry| {
            entry.dev == hop.dev && entry.mac.is_some() && entry.ip.is_ipv6() == packet.v6() && has(entry, "PERMANENT")
        })
    }

    fn vlans(&mut self, ns: usize, bridge: &Link, from: Option<&str>, to: Option<&str>) {
        let filtering =
            bridge.linkinfo.info_data.as_ref().and_then(|data| data.get("vlan_filtering")).and_then(Value::as_u64);
        if filtering != Some(1) {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let of = |dev: &str| -> Vec<(u64, u64, bool)> {
            let entry = self.net.vlans(ns).iter().find(|entry| text(entry, "ifname") == dev);
            let vlans =
                entry.and_then(|entry| entry.get("vlans")).and_then(Value::as_array).cloned().unwrap_or_default();
            vlans
                .iter()
                .map(|vlan| {
                    let id = vlan.get("vlan").and_then(Value::as_u64).unwrap_or(0);
                    let flags = vlan.get("flags").map(Value::to_string).unwrap_or_default();
                    (id, vlan.get("vlanEnd").and_then(Value::as_u64).unwrap_or(id), flags.contains("PVID"))
                })
                .collect()
        };
        let (inn, out) = (from.unwrap_or(&bridge.ifname), to.unwrap_or(&bridge.ifname));
        let pvid = of(inn).iter().find(|(_, _, pvid)| *pvid).map(|(id, _, _)| *id);
        let passes = pvid.is_some_and(|id| of(out).iter().any(|(low, high, _)| (*low..=*high).contains(&id)));
        if passes {
            return;
        }
        let vid = pvid.map_or("none".to_owned(), |id| id.to_string());
        let dev = if pvid.is_none() { inn } else { out };
        let want = pvid.or_else(|| of(out).iter().find(|(_, _, pvid)| *pvid).map(|(id, _, _)| *id)).unwrap_or(1);
        let own = if dev == bridge.ifname { " self" } else { "" };
        self.fault(
            Culprit::new("PORT_VLAN", &at, "port", dev)
                .value(format!("pvid of {inn}: {vid}"))
                .says(format!(
                    "{at}/{} filters VLANs: {inn} puts frames into VLAN {vid}, and {out} is not in it",
                    bridge.ifname
                ))
                .because(Label::State, format!("bridge vlan show in {at}"))
                .fix(&format!("bridge vlan add dev {dev} vid {want} pvid untagged{own}")),
        );
    }

    /// With `br_netfilter`, bridged packets pass the hooks of IP.
    fn bridge_netfilter(&mut self, ns: usize, bridge: &Link, from: Option<&str>, to: Option<&str>, packet: &Packet) {
        let (Some(from), Some(to)) = (from, to) else { return };
        let name = if packet.v6() { "ip6tables" } else { "iptables" };
        let option = bridge
            .linkinfo
            .info_data
            .as_ref()
            .and_then(|data| data.get(format!("nf_call_{name}")))
            .and_then(Value::as_u64);
        let on = self.net.setting(ns, &format!("bridge/bridge-nf-call-{name}")) == 1 || option == Some(1);
        if !on {
            return;
        }
        let mut packet = packet.clone();
        let bridged = Some(Bridged { physin: from, physout: to });
        let bridge = bridge.ifname.clone();
        self.hook(ns, Hook::Prerouting, &mut packet, &bridge, "", bridged);
        self.hook(ns, Hook::Forward, &mut packet, &bridge, &bridge, bridged);
        let before = (packet.src, packet.dst);
        self.hook(ns, Hook::Postrouting, &mut packet, "", &bridge, bridged);
        // What is translated while it is only bridged may come back by another way.
        self.guess |= before != (packet.src, packet.dst) || packet.track.dnat;
    }

    pub(super) fn link_down(&mut self, ns: usize, dev: &str) {
        let at = self.net.ns(ns).at.clone();
        let mut culprit = Culprit::new("LINK_ADMIN_DOWN", &at, "link", dev)
            .value("down")
            .says(format!("{at}/{dev} is down (not up)"))
            .because(Label::State, format!("ip link show dev {dev} in {at}: no UP"));
        culprit = culprit.fix(&format!("ip link set dev {dev} up"));
        if let Some((peer, other)) =
            self.net.ns(ns).link(dev).and_then(|link| self.net.peer(ns, link)).filter(|(_, other)| other.is_up())
        {
            culprit = culprit.because(
                Label::State,
                format!("{}/{}, its other end, shows NO-CARRIER", self.name(peer), other.ifname),
            );
        }
        self.fault(culprit);
    }

    /// Nobody on the segment has the next hop's address.
    fn missing_neighbour(
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
        if let Some((other, other_dev)) = holders.first().cloned() {
            return self.elsewhere(ns, link, ip, gateway, packet, stations, other, &other_dev);
        }
        if stations.is_empty()
            && (link.kind() == Some("veth") && net.peer(ns, link).is_none()
                || !matches!(link.kind(), Some("veth" | "bridge")))
        {
            self.left = Some(format!("{at}/{dev}"));
            if link.is_up() && !link.has_carrier() {
                self.fault(
                    Culprit::new("LINK_NO_CARRIER", &at, "link", dev.clone())
                        .value("NO-CARRIER")
                        .says(format!("{at}/{dev} is up but has no carrier"))
                        .because(Label::State, format!("ip link show dev {dev} in {at}: NO-CARRIER"))
                        .advise("look at the other end"),
                );
            }
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
        if gateway {
            self.dead_gateway(ns, &dev, ip, packet, stations);
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
            stations.iter().map(|station| format!("{}/{}", self.name(station.ns), station.dev)).collect();
        let mut culprit = Culprit::new(
            "ADDR_MISSING",
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
            _ => culprit
                .says(format!("nobody on the segment of {at}/{dev} owns {ip}"))
                .advise(format!("give {ip} to the one that should have it: {}", all.join(", "))),
        };
        self.fault(culprit);
        None
    }

    fn dead_gateway(&mut self, ns: usize, dev: &str, ip: IpAddr, packet: &Packet, stations: &[Station]) {
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
        let route = explained.map(|(_, route)| super::routes::route_text(&route)).unwrap_or_default();
        if let (Some(bare), true) = (bare, router.is_none() || shared) {
            let len = net.ns(ns).addrs_of(dev).find(|addr| addr.covers(ip)).map_or(24, |addr| addr.len);
            let place = net.ns(bare.ns).at.clone();
            self.fault(
                Culprit::new("ADDR_MISSING", &place, "address", bare.dev.clone())
                    .value(ip.to_string())
                    .says(format!("nobody has {ip}, the gateway of {at}: {place}/{} is the router of the segment and has no such address", bare.dev))
                    .because(Label::State, format!("{at}: {route}"))
                    .because(Label::State, format!("ip addr show dev {} in {place}: no {ip}", bare.dev))
                    .fix(&format!("ip addr add {ip}/{len} dev {}", bare.dev)),
            );
            return;
        }
        let mut culprit = Culprit::new("ROUTE_GATEWAY_DEAD", &at, "route", route.clone())
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

    /// The address exists, but not on this segment.
    #[expect(clippy::too_many_arguments, reason = "one question")]
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    fn elsewhere(
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
                    let mut culprit = Culprit::new("PORT_NOT_ENSLAVED", &place, "link", name.clone())
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
                        Culprit::new("PORT_WRONG_BRIDGE", &place, "port", port.clone())
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
        let route = explained.map(|(_, route)| route);
        let by_prefix = route.as_ref().is_none_or(|route| route.protocol.as_deref() == Some("kernel"));
        if let Some(mine) = mine.filter(|mine| !gateway && by_prefix && !held.covers(mine.ip)) {
            // The prefix length that the neighbours use.
            let sane = stations
                .iter()
                .flat_map(|one| net.ns(one.ns).addrs_of(&one.dev))
                .find(|addr| addr.covers(mine.ip) && addr.len > mine.len)
                .map(|addr| addr.len);
            let mut culprit = Culprit::new("PREFIX_MISMATCH", &at, "address", format!("{}/{}", mine.ip, mine.len))
                .value(link.ifname.clone())
                .says(format!(
                    "{at}/{} has {}/{}: with that prefix {ip} looks on-link, but it is {there}/{other_dev} ({}/{}), on another segment",
                    link.ifname, mine.ip, mine.len, held.ip, held.len
                ))
                .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", mine.ip, mine.len, link.ifname));
            if let Some(len) = sane {
                culprit = culprit
                    .fix(&format!("ip addr add {}/{len} dev {}", mine.ip, link.ifname))
                    .fix(&format!("ip addr del {}/{} dev {}", mine.ip, mine.len, link.ifname));
            }
            self.fault(culprit);
            return None;
        }
        let text = route.as_ref().map(super::routes::route_text).unwrap_or_default();
        if gateway {
            self.fault(
                Culprit::new("ROUTE_GATEWAY_DEAD", &at, "route", text.clone())
                    .value(ip.to_string())
                    .says(format!("the route `{text}` of {at} leads to {ip} by {}, but {ip} is {there}/{other_dev}, which is not on that segment", link.ifname))
                    .because(Label::State, format!("ip addr in {there}: {ip} dev {other_dev}"))
                    .advise("correct the route, or connect the two segments"),
            );
            return None;
        }
        let mut culprit = Culprit::new("ROUTE_WRONG_NEXTHOP", &at, "route", text.clone())
            .value(link.ifname.clone())
            .says(format!(
                "{at} sends {ip} by {}, but {ip} is {there}/{other_dev}, which is not on that segment",
                link.ifname
            ))
            .because(Label::State, format!("{at}: {text}"));
        if route.is_some_and(|route| route.protocol.as_deref() != Some("kernel")) {
            culprit = culprit.fix(&format!("ip {}route del {text}", if ip.is_ipv6() { "-6 " } else { "" }));
        }
        if let Some(only) = stations.first().filter(|_| stations.len() == 1).cloned() {
            self.way(ns, &only, packet, "");
        }
        self.fault(culprit);
        None
    }

    pub(super) fn v6_disabled(&mut self, ns: usize, dev: &str) {
        self.v6_disabled_for(ns, dev, None);
    }

    fn v6_disabled_for(&mut self, ns: usize, dev: &str, ip: Option<IpAddr>) {
        let at = self.net.ns(ns).at.clone();
        let mut culprit = Culprit::new("V6_DISABLED", &at, "sysctl", format!("net.ipv6.conf.{dev}.disable_ipv6"))
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
    pub(super) fn tentative(&mut self, ns: usize, ip: IpAddr) -> bool {
        let Some(addr) = self.net.ns(ns).owns(ip).filter(|addr| addr.tentative || addr.dadfailed).cloned() else {
            return false;
        };
        let at = self.net.ns(ns).at.clone();
        let code = if addr.dadfailed { "V6_DAD_FAILED" } else { "V6_DAD_PENDING" };
        let word = if addr.dadfailed {
            "has failed duplicate address detection: somebody else has it"
        } else {
            "is still tentative: duplicate address detection (DAD) has not ended"
        };
        self.pending |= !addr.dadfailed;
        let culprit = Culprit::new(code, &at, "address", format!("{ip}/{}", addr.len))
            .value(if addr.dadfailed { "dadfailed" } else { "tentative" })
            .says(format!("{ip} of {at}/{} {word}", addr.dev))
            .because(Label::State, format!("ip -6 addr show dev {} in {at}: {ip} tentative", addr.dev));
        let culprit = if addr.dadfailed {
            culprit.advise("use another address, or take it from the other")
        } else {
            culprit
                .fix(&format!("ip -6 addr del {ip}/{} dev {}", addr.len, addr.dev))
                .fix(&format!("ip -6 addr add {ip}/{} dev {} nodad", addr.len, addr.dev))
        };
        self.fault(culprit);
        true
    }
}

fn has(entry: &Neigh, state: &str) -> bool {
    entry.state.iter().any(|word| word == state)
}

fn link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether a filter of tc could drop the packet: everything but those that are told to match other addresses or ports.
fn may_drop(filter: &Value, packet: &Packet) -> bool {
    let keys = filter.pointer("/options/keys");
    let differs = |key: &str, ip: IpAddr| {
        keys.and_then(|keys| keys.get(key)).and_then(Value::as_str).is_some_and(|net| {
            !net.parse::<ipnet::IpNet>().map_or_else(|_| net.parse() == Ok(ip), |net| net.contains(&ip))
        })
    };
    if differs("dst_ip", packet.dst) || differs("src_ip", packet.src) {
        return false;
    }
    if keys
        .and_then(|keys| keys.get("ip_proto"))
        .and_then(Value::as_str)
        .is_some_and(|proto| super::packet::protocol(proto) != Some(packet.proto))
    {
        return false;
    }
    let port = |key: &str| keys.and_then(|keys| keys.get(key)).and_then(Value::as_u64);
    if let (Some(want), super::packet::Port::Exact(have)) = (port("dst_port"), packet.dport)
        && want != u64::from(have)
    {
        return false;
    }
    let actions = filter.pointer("/options/actions").and_then(Value::as_array);
    let kind = text(filter, "kind");
    match actions {
        Some(actions) => {
            actions.iter().any(|action| action.to_string().contains("drop") || action.to_string().contains("shot"))
                || kind == "bpf"
        }
        None => kind == "bpf",
    }
}

fn certainly_drops(filter: &Value) -> bool {
    let actions = filter.pointer("/options/actions").and_then(Value::as_array);
    let drops = actions.is_some_and(|actions| {
        actions.iter().any(|action| text(action, "kind") == "gact" && action.to_string().contains("drop"))
    });
    let plain = actions.is_some_and(|actions| !actions.iter().any(|action| action.to_string().contains("random")));
    drops && plain && matches!(text(filter, "kind"), "matchall" | "flower")
}
