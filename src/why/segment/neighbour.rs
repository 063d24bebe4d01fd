//! Neighbours: whether an address would be found out on a segment, and whether what is known of it is right.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::super::codes::Code;
use super::super::finding::{Culprit, Label};
use super::super::packet::{Hook, Packet};
use super::super::state::{Neigh, text};
use super::super::walk::{Got, Walk};
use super::flood::{Piece, Station};
use super::has;
use crate::model::link::Link;
use crate::op::Where;

impl Walk<'_> {
    pub(super) fn duplicate_address(
        &mut self,
        ip: IpAddr,
        owner: &Station,
        twin: &Station,
        ns: usize,
        dev: &str,
        entry: Option<&Neigh>,
    ) {
        let (a, b) = (&self.net.ns(owner.ns).at, &self.net.ns(twin.ns).at);
        let mut culprit = Culprit::new(Code::AddrDuplicate, b, "address", ip.to_string())
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

    pub(super) fn same_mac(&mut self, ns: usize, link: &Link, owner: &Station, stations: &[Station]) {
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
            Culprit::new(Code::MacDuplicate, &b, "link", first_dev.clone())
                .value(shared.clone())
                .says(format!("{a}/{other_dev} and {b}/{first_dev} share the same hardware (MAC) address {shared}: the bridge between them cannot tell them apart"))
                .because(Label::State, format!("ip link: {shared} on {a}/{other_dev} and on {b}/{first_dev}"))
                .fix(&format!("ip link set dev {first_dev} address {fresh}"))
                .fix_at(&a, &format!("ip neigh flush dev {other_dev}")),
        );
    }

    #[expect(clippy::too_many_arguments, reason = "one frame or packet at one place")]
    pub(super) fn wrong_neighbour(
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
        let proxy = if fixed { None } else { self.false_proxy(stations, &mac, ip) };
        let culprit = Culprit::new(
            if fixed { Code::NeighStaticWrong } else { Code::NeighStaleWrong },
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
        .because(Label::State, format!("ip neigh in {at}: {ip} dev {dev} lladdr {mac} {}", entry.state.join(" ")));
        let culprit = match proxy {
            Some((there, link, sysctl, line)) => {
                let mut culprit = culprit
                    .because(
                        Label::State,
                        format!("{sysctl} = 1 in {there}, and a route of it leads to {ip} by another link"),
                    )
                    .fix_at(&there, &line);
                let _ = write!(
                    culprit.message,
                    "; {there}/{link} answers for it as a proxy ({sysctl}), for it has a way to {ip}"
                );
                culprit
            }
            None => culprit,
        };
        self.fault(culprit.fix(&format!("ip neigh del {ip} dev {dev}")));
    }

    /// Who answers for an address that is somebody else's, since it is a proxy for all that it has another way to (`arp_process`,
    /// `arp_fwd_proxy`): its place, its link, the sysctl, and what takes it back.
    fn false_proxy(&self, stations: &[Station], mac: &str, ip: IpAddr) -> Option<(Where, String, String, String)> {
        if ip.is_ipv6() {
            return None;
        }
        let holder = stations.iter().find(|other| {
            self.net.ns(other.ns).link(&other.dev).is_some_and(|link| link.address.as_deref() == Some(mac))
        })?;
        let on = |link: &str| self.net.setting(holder.ns, &format!("ipv4/conf/{link}/proxy_arp")) == 1;
        let name = if on(&holder.dev) { holder.dev.as_str() } else { "all" };
        if !on(name) {
            return None;
        }
        let to = Packet { src: super::super::walk::unspecified(false), dst: ip, ..Packet::solicitation() };
        let (_, route) = self.explain_route(holder.ns, &to, None)?;
        if route.kind() != "unicast" || super::super::routes::leaves_by(&route, &holder.dev) {
            return None;
        }
        let sysctl = format!("net.ipv4.conf.{name}.proxy_arp");
        let line = format!("sysctl -w {sysctl}=0");
        Some((self.net.ns(holder.ns).at.clone(), holder.dev.clone(), sysctl, line))
    }

    /// Whether the address would be found out: ARP or neighbour discovery.
    pub(super) fn resolution(&mut self, ns: usize, link: &Link, ip: IpAddr, packet: &Packet, owner: &Station) {
        let (net, at) = (self.net, self.net.ns(ns).at.clone());
        let there = net.ns(owner.ns).at.clone();
        let far = net.ns(owner.ns).link(&owner.dev);
        for (place, link) in [(&at, Some(link)), (&there, far)] {
            if let Some(link) = link.filter(|link| link.has_flag("NOARP") && link.link_type.as_deref() == Some("ether"))
            {
                self.fault(
                    Culprit::new(Code::ArpDisabled, place, "link", link.ifname.clone())
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
                Culprit::new(Code::ArpIgnored, &there, "sysctl", format!("net.ipv4.conf.{}.arp_ignore", owner.dev))
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
            if let Some(got) = self.route(owner.ns, &back, None).ok().filter(|got| got.dev != owner.dev) {
                self.by_arp_filter(owner, sender, &back, &got);
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

    /// Who is asked leaves the answer to another link, by which it would send to who asks (`arp_filter`). Noted.
    fn by_arp_filter(&mut self, owner: &Station, sender: IpAddr, back: &Packet, got: &Got) {
        let (net, dev) = (self.net, &owner.dev);
        let network = net.ns(owner.ns);
        let at = network.at.clone();
        let route = self.explain_route(owner.ns, back, None).map(|(_, route)| route);
        let shown = route.as_ref().map(super::super::routes::route_text).unwrap_or_default();
        let mut culprit = Culprit::new(Code::ArpIgnored, &at, "sysctl", format!("net.ipv4.conf.{dev}.arp_filter"))
            .value("1")
            .says(format!(
                "{at} does not answer ARP on {dev}: arp_filter is on, and {sender}, who asks, is routed by another link, {} (`{shown}`)",
                got.dev
            ))
            .because(Label::State, format!("arp_filter = 1 (the greater of all and {dev}) in {at}"))
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev));
        // An address beside the link's own, such as a virtual one, that came with the prefix of the whole segment.
        let other = network.link(&got.dev).filter(|link| {
            super::flood::lower(net, owner.ns, link) == Some((owner.ns, dev.clone()))
                && route.is_some_and(|route| route.protocol.as_deref() == Some("kernel"))
        });
        let wide =
            other.and_then(|link| network.addrs_of(&link.ifname).find(|addr| addr.covers(sender) && addr.len < 32));
        culprit = match wide {
            Some(addr) => {
                let _ = write!(
                    culprit.message,
                    "; {}/{} of {}, which sits on {dev}, brought that route to all of the segment: as a second address there it wants no prefix (/32)",
                    addr.ip, addr.len, addr.dev
                );
                culprit
                    .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", addr.ip, addr.len, addr.dev))
                    .fix(&format!("ip addr add {}/32 dev {}", addr.ip, addr.dev))
                    .fix(&format!("ip addr del {}/{} dev {}", addr.ip, addr.len, addr.dev))
            }
            None => culprit
                .fix("sysctl -w net.ipv4.conf.all.arp_filter=0")
                .fix(&format!("sysctl -w net.ipv4.conf.{dev}.arp_filter=0")),
        };
        self.fault(culprit);
    }

    /// A bridge on the way answers the question for an address itself, from its own neighbour entry, and with another hardware address than its
    /// owner has (`neigh_suppress`, `br_do_proxy_suppress_arp`, `br_do_suppress_nd`). Returns whether that is so; noted.
    pub(super) fn answered_by_a_bridge(&mut self, ns: usize, dev: &str, ip: IpAddr, owner: &Station) -> bool {
        let net = self.net;
        let right = net.ns(owner.ns).link(&owner.dev).and_then(|link| link.address.clone()).unwrap_or_default();
        let suppresses = |ns: usize, port: &str| {
            let data = net.ns(ns).link(port).and_then(|link| link.linkinfo.info_slave_data.as_ref());
            data.and_then(|data| data.get("neigh_suppress")).and_then(serde_json::Value::as_bool) == Some(true)
        };
        let found = owner.way.iter().find_map(|piece| {
            let Piece::Bridge { ns: place, bridge, from, to: Some(_), .. } = piece else { return None };
            // What comes in by such a port is only handed on.
            if net.ns(*place).owns(ip).is_some() || from.as_ref().is_some_and(|from| suppresses(*place, from)) {
                return None;
            }
            let entry = net.ns(*place).neighs.iter().find(|entry| entry.dev == *bridge && entry.ip == ip)?;
            let mac = entry.mac.clone().filter(|_| !has(entry, "FAILED") && !has(entry, "INCOMPLETE"))?;
            let behind = net.fdb(*place).iter().find(|known| {
                let port = text(known, "ifname");
                text(known, "mac").eq_ignore_ascii_case(&mac)
                    && text(known, "master") == bridge
                    && suppresses(*place, port)
            })?;
            Some((*place, bridge.clone(), entry.clone(), mac, text(behind, "ifname").to_owned()))
        });
        let Some((place, bridge, entry, mac, port)) = found.filter(|(.., mac, _)| !mac.eq_ignore_ascii_case(&right))
        else {
            return false;
        };
        let (at, there, me) = (net.ns(place).at.clone(), self.name(owner.ns), net.ns(ns).at.clone());
        let fixed = has(&entry, "PERMANENT") || has(&entry, "NOARP");
        let asks = if ip.is_ipv6() { "neighbour solicitations" } else { "ARP" };
        let code = if fixed { Code::NeighStaticWrong } else { Code::NeighStaleWrong };
        let culprit = Culprit::new(code, &at, "neighbour", format!("{ip} dev {bridge}"))
            .value(mac.clone())
            .says(format!(
                "{at}/{bridge} answers {asks} for {ip} itself (neigh_suppress of its port {port}), from its own neighbour entry, and that has {mac}; \
                 {ip} is {there}/{} at {right}",
                owner.dev
            ))
            .because(Label::State, format!("ip neigh in {at}: {ip} dev {bridge} lladdr {mac} {}", entry.state.join(" ")))
            .because(Label::State, format!("bridge -d link show dev {port} in {at}: neigh_suppress on; bridge fdb: {mac} dev {port}"));
        let culprit = if fixed {
            let state = if has(&entry, "PERMANENT") { "permanent" } else { "noarp" };
            culprit.fix(&format!("ip neigh replace {ip} lladdr {right} dev {bridge} nud {state}"))
        } else {
            culprit.fix(&format!("ip neigh del {ip} dev {bridge}"))
        };
        self.fault(
            culprit
                .fix_at(&me, &format!("ip neigh flush to {ip} dev {dev}"))
                .advise("where a routing daemon (EVPN) writes these entries, it will write the same again until it learns of the change"),
        );
        true
    }

    /// The address that an ARP question comes from.
    pub(super) fn arp_source(&self, ns: usize, dev: &str, ip: IpAddr, packet: &Packet) -> Option<IpAddr> {
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

    pub(super) fn discovery(&mut self, ns: usize, dev: &str, ip: IpAddr, packet: &Packet, owner: &Station) {
        let Some(group) = solicited(ip) else { return };
        let solicit = Packet { src: packet.src, dst: group, ..Packet::solicitation() };
        let advert = Packet { src: ip, dst: packet.src, icmp: Some(136), ..solicit.clone() };
        let steps = [
            (ns, Hook::Output, &solicit, "", dev),
            (owner.ns, Hook::Input, &solicit, owner.dev.as_str(), ""),
            (owner.ns, Hook::Output, &advert, "", owner.dev.as_str()),
            (ns, Hook::Input, &advert, dev, ""),
        ];
        for piece in owner.way.clone() {
            if let Piece::Bridge { ns: place, bridge, from: Some(_), to, .. } = piece {
                let port = to.unwrap_or_else(|| bridge.clone());
                if !self.snooped(place, &bridge, &port, group, (owner.ns, &owner.dev)) {
                    return;
                }
            }
        }
        let before = self.faults.len();
        let conns = self.conns.clone();
        for (place, hook, message, iif, oif) in steps {
            let mut message = (*message).clone();
            if !self.hook(place, hook, &mut message, iif, oif, None) {
                break;
            }
            let sent = hook == Hook::Output;
            if sent && !self.bridged_discovery(owner, &message, place == ns) {
                break;
            }
        }
        self.conns = conns;
        for fault in &mut self.faults[before..] {
            fault.code = Code::V6NdBlocked;
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
                        super::super::finding::Fix::new(&fault.at, &line("neighbour-solicitation")),
                        super::super::finding::Fix::new(&fault.at, &line("neighbour-advertisement")),
                    ];
                }
            }
        }
    }
}

impl Walk<'_> {
    /// Sends a message of neighbour discovery through the bridges between, which may show it to the hooks of IP. Returns whether it passes.
    fn bridged_discovery(&mut self, owner: &Station, message: &Packet, forth: bool) -> bool {
        for piece in owner.way.clone() {
            let Piece::Bridge { ns: place, bridge, from: Some(from), to: Some(to), .. } = piece else { continue };
            let Some(of) = self.net.ns(place).link(&bridge).cloned() else { continue };
            let before = self.faults.len();
            let (inn, out) = if forth { (from, to) } else { (to, from) };
            self.bridge_netfilter(place, &of, Some(&inn), Some(&out), message);
            if self.faults.len() > before {
                return false;
            }
        }
        true
    }
}

/// The group that a neighbour solicitation for an address goes to: the last 24 bits of it (RFC 4291, section 2.7.1).
pub(in crate::why) fn solicited(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [.., high, middle, low] = ip.octets();
    let group = std::net::Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(high),
        u16::from(middle) << 8 | u16::from(low),
    );
    Some(group.into())
}
