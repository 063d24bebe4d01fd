//! Tunnels: the outer packet has a way of its own, and the two ends must fit together.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use super::codes::Code;
use super::finding::{Culprit, Evidence, Label, Leg};
use super::packet::{Ct, Packet, Port};
use super::routes::{leaves_by, route_text};
use super::state::text;
use super::walk::{Walk, unspecified};
use crate::model::link::Link;

/// Whether a link sends its packets on inside others, or in another way that no segment has.
#[must_use]
pub(super) fn encapsulates(link: &Link) -> bool {
    let kind = link.kind().unwrap_or_default();
    kind == "vxlan" || kind == "wireguard" || wraps(kind).is_some() || OPAQUE.contains(&kind)
}

/// Links whose way is not walked: what happens behind them only the recorder sees.
const OPAQUE: [&str; 15] = [
    "vti",
    "vti6",
    "xfrm",
    "macsec",
    "bareudp",
    "gtp",
    "l2tp",
    "tun",
    "ppp",
    "batadv",
    "erspan",
    "ip6erspan",
    "ovpn",
    "hsr",
    "can",
];

/// How a kind of tunnel wraps packets: the protocol of the outer ones, what that adds at most, and whether that is IPv6.
fn wraps(kind: &str) -> Option<(u8, u32)> {
    Some(match kind {
        "gre" => (47, 28),
        "gretap" => (47, 42),
        "ip6gre" => (47, 48),
        "ip6gretap" => (47, 62),
        "ipip" => (4, 20),
        "sit" => (41, 20),
        "ip6tnl" => (41, 48),
        "geneve" => (17, 50),
        _ => return None,
    })
}

/// What a kind of tunnel adds to a packet.
#[must_use]
pub(super) fn overhead(link: &Link) -> u32 {
    match link.kind().unwrap_or_default() {
        "vxlan" => 50,
        "wireguard" => 80,
        kind => wraps(kind).map_or(0, |(_, more)| more),
    }
}

fn number(data: &Value, key: &str) -> u64 {
    data.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// An address of a tunnel; `any` is none.
fn address(data: &Value, key: &str) -> Option<IpAddr> {
    let ip = text(data, key).parse().ok().or_else(|| text(data, &format!("{key}6")).parse().ok());
    ip.filter(|ip: &IpAddr| !ip.is_unspecified())
}

/// What tells a tunnel from others, as `ip -d link` has it.
fn shape(link: &Link) -> String {
    let data = link.linkinfo.info_data.clone().unwrap_or_default();
    let mut words = Vec::new();
    for key in ["id", "port", "local", "remote", "local6", "remote6", "ikey", "okey", "proto", "mode"] {
        let value = data.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        words.extend(value.filter(|value| !value.is_empty()).map(|value| format!("{key} {value}")));
    }
    if words.is_empty() { "nothing set".into() } else { words.join(" ") }
}

/// A peer of `wg show all dump`, or with an empty key the interface itself.
struct Wg {
    dev: String,
    key: String,
    endpoint: Option<std::net::SocketAddr>,
    allowed: Vec<ipnet::IpNet>,
    port: u16,
}

impl Wg {
    fn parse(dump: &str) -> (Vec<Self>, Vec<Self>) {
        let (mut interfaces, mut peers) = (Vec::new(), Vec::new());
        for line in dump.lines() {
            let words: Vec<&str> = line.split('\t').collect();
            match words.as_slice() {
                [dev, _, key, port, _] => interfaces.push(Self {
                    dev: (*dev).into(),
                    key: (*key).into(),
                    endpoint: None,
                    allowed: Vec::new(),
                    port: port.parse().unwrap_or(0),
                }),
                [dev, key, _, endpoint, allowed, ..] => peers.push(Self {
                    dev: (*dev).into(),
                    key: (*key).into(),
                    endpoint: endpoint.parse().ok(),
                    allowed: allowed.split(',').filter_map(|net| net.parse().ok()).collect(),
                    port: 0,
                }),
                _ => {}
            }
        }
        (interfaces, peers)
    }

    fn allows(&self, ip: IpAddr) -> Option<u8> {
        self.allowed.iter().filter(|net| net.contains(&ip)).map(ipnet::IpNet::prefix_len).max()
    }

    /// Its list with one address more.
    fn and(&self, ip: IpAddr) -> String {
        let nets = self.allowed.iter().copied().chain([ipnet::IpNet::from(ip)]);
        nets.map(|net| net.to_string()).collect::<Vec<_>>().join(",")
    }
}

impl Walk<'_> {
    /// A tunnel device: the packet goes on inside another one.
    pub(super) fn tunnel(
        &mut self,
        ns: usize,
        link: &Link,
        nexthop: IpAddr,
        packet: Packet,
    ) -> Option<(usize, Packet)> {
        match link.kind().unwrap_or_default() {
            _ if self.depth >= 3 => self.not_walked(ns, link),
            "vxlan" => self.vxlan(ns, link, nexthop, packet),
            "wireguard" => self.wireguard(ns, link, packet),
            kind => match wraps(kind) {
                Some((proto, more)) => self.wrapped(ns, link, proto, more, packet),
                None => self.not_walked(ns, link),
            },
        }
    }

    /// Where the walk ends: behind a link whose way it does not know.
    fn not_walked(&mut self, ns: usize, link: &Link) -> Option<(usize, Packet)> {
        let (at, dev) = (self.net.ns(ns).at.clone(), link.ifname.clone());
        self.left = Some(format!("{at}/{dev} ({})", link.kind().unwrap_or("tunnel")));
        let advice = "look at the other end: the program that should hold it, or the link below";
        self.lacks_carrier(ns, link, advice);
        None
    }

    /// The outer packet of a tunnel.
    fn outer(local: Option<IpAddr>, remote: IpAddr, proto: u8, port: Option<u16>, size: u32) -> Packet {
        Packet {
            src: local.unwrap_or_else(|| unspecified(remote.is_ipv6())),
            dst: remote,
            proto,
            sport: if port.is_some() { Port::Ephemeral } else { Port::None },
            dport: port.map_or(Port::None, Port::Exact),
            icmp: None,
            reply: false,
            size,
            df: false,
            ttl: Some(64),
            tos: None,
            mark: Some(0),
            ct: Ct::New,
            track: super::packet::Track::default(),
            past: super::packet::Past::default(),
        }
    }

    /// Walks the way of an outer packet. Returns the namespace where it ends, and what it is there.
    fn outside(&mut self, ns: usize, link: &Link, outer: Packet, ttl: Option<u8>) -> Option<(usize, Packet)> {
        if self.routed_into_itself(ns, link, &outer) {
            return None;
        }
        let at = self.net.ns(ns).at.clone();
        let before = self.faults.len();
        let visits = std::mem::take(&mut self.visits);
        let (origin, conns) = (self.origin.take(), self.conns.clone());
        self.depth += 1;
        self.origin = Some((ns, outer.clone()));
        let outside = std::mem::replace(&mut self.tunnel_ttl, ttl.map(|ttl| (ns, link.ifname.clone(), ttl)));
        let carried = match (outer.proto, outer.dport) {
            (17, Port::Exact(port)) => format!(" (udp port {port})"),
            _ => String::new(),
        };
        let end = self.originate(ns, outer);
        self.tunnel_ttl = outside;
        self.depth -= 1;
        (self.origin, self.visits) = (origin, visits);
        if self.leg == Leg::Reply {
            self.conns = conns;
        }
        for fault in self.faults.iter_mut().skip(before) {
            let words = format!("outer packet of the tunnel {at}/{}{carried}", link.ifname);
            if fault.code.is_of_filter() {
                fault.message = format!("{}; it is the {words}", fault.message);
            }
            fault.evidence.push(Evidence { label: Label::Inferred, text: words });
        }
        end
    }

    /// A route leads the packets of a tunnel into the tunnel, which the kernel does not do (`-ELOOP` of `udp_tunnel_dst_lookup` and of `WireGuard`,
    /// `tdev == dev` in `ip_tunnel_xmit`). Noted.
    fn routed_into_itself(&mut self, ns: usize, link: &Link, outer: &Packet) -> bool {
        // One that is bound to a link below it goes by that.
        if link.parent().is_some()
            || link.linkinfo.info_data.as_ref().is_some_and(|data| !text(data, "link").is_empty())
        {
            return false;
        }
        let Ok(got) = self.route(ns, outer, None) else { return false };
        let Some((_, route)) = self.explain_route(ns, outer, None).filter(|_| got.dev == link.ifname) else {
            return false;
        };
        let network = self.net.ns(ns);
        let (at, dev, remote) = (network.at.clone(), &link.ifname, outer.dst);
        let shown = route_text(&route);
        let family = if outer.v6() { "-6 " } else { "" };
        // The way that it would take without that route, which then is for this address alone.
        let table = route.table.clone();
        let around = network.routes.iter().filter(|other| {
            let covers = other.is_default() && other.is_ipv6() == outer.v6()
                || other.destination().is_some_and(|net| net.contains(&remote));
            covers && other.table == table && other.kind() == "unicast" && !leaves_by(other, dev)
        });
        let around = around.max_by_key(|other| {
            (other.destination().map_or(0, |net| net.prefix_len()), std::cmp::Reverse(other.metric))
        });
        let mut culprit = Culprit::new(Code::RouteLoop, &at, "route", shown.clone())
            .value(dev.clone())
            .says(format!(
                "{at} sends the packets of the tunnel {dev}, which are for {remote}, by `{shown}`: into the tunnel itself, where the kernel drops them"
            ))
            .because(Label::Kernel, format!("{} → dev {dev}", got.line))
            .because(Label::State, format!("ip -d link show dev {dev} in {at}: {}", shape(link)));
        let alone = if outer.v6() { 128 } else { 32 };
        let wide = route.destination().is_none_or(|net| net.prefix_len() < alone);
        culprit = match around.filter(|_| wide) {
            Some(other) => {
                let text = route_text(other);
                let way = text.split_once(' ').map_or("", |(_, way)| way).to_owned();
                culprit
                    .because(Label::State, format!("without it {at} would send them by `{text}`"))
                    .fix(&format!("ip {family}route add {remote}/{alone} {way}"))
            }
            None => culprit.fix(&format!("ip {family}route del {shown}")),
        };
        self.fault(culprit.leads_astray());
        true
    }

    /// GRE, IPIP, SIT, IPv6 tunnels and GENEVE: the other end is found by its addresses and keys.
    fn wrapped(&mut self, ns: usize, link: &Link, proto: u8, more: u32, packet: Packet) -> Option<(usize, Packet)> {
        let at = self.net.ns(ns).at.clone();
        let kind = link.kind().unwrap_or_default().to_owned();
        let data = link.linkinfo.info_data.clone().unwrap_or_default();
        let Some(remote) = address(&data, "remote") else { return self.not_walked(ns, link) };
        let port = (proto == 17).then(|| u16::try_from(number(&data, "port")).unwrap_or(6081));
        let outer = Self::outer(address(&data, "local"), remote, proto, port, packet.size + more);
        self.wrong_remote(ns, link, remote);
        let ttl = u8::try_from(number(&data, "ttl")).ok().filter(|ttl| *ttl > 0);
        let (to, arrived) = self.outside(ns, link, outer, ttl)?;
        let there = self.net.ns(to).at.clone();
        let far: Vec<Link> =
            self.net.ns(to).links.iter().filter(|other| other.kind() == Some(&kind) && !bare(other)).cloned().collect();
        let theirs = |other: &Link| other.linkinfo.info_data.clone().unwrap_or_default();
        let fits = |other: &&Link| {
            let theirs = theirs(other);
            address(&theirs, "remote").is_none_or(|ip| ip == arrived.src)
                && address(&theirs, "local").is_none_or(|ip| ip == arrived.dst)
                && text(&data, "okey") == text(&theirs, "ikey")
                && number(&data, "id") == number(&theirs, "id")
                && number(&data, "port") == number(&theirs, "port")
        };
        if let Some(other) = far.iter().find(fits) {
            let name = other.ifname.clone();
            if !other.is_up() {
                self.link_down(to, &name);
            }
            if other.master.is_some() {
                return self.not_walked(ns, link);
            }
            return self.arrive(to, &name, packet);
        }
        let mine = shape(link);
        let near = far
            .iter()
            .find(|other| address(&theirs(other), "remote").is_none_or(|ip| ip == arrived.src))
            .or(far.first());
        let Some(other) = near else {
            self.fault(
                Culprit::new(Code::TunnelMismatch, &there, "link", link.ifname.clone())
                    .value(mine.clone())
                    .says(format!(
                        "{at}/{} sends {kind} ({mine}) to {remote}, but {there} has no {kind} link",
                        link.ifname
                    ))
                    .because(Label::State, format!("ip -d link show type {kind} in {there}: none"))
                    .advise(format!("make the other end in {there}")),
            );
            return None;
        };
        let (yours, name) = (shape(other), other.ifname.clone());
        let data_there = theirs(other);
        let mut culprit = Culprit::new(Code::TunnelMismatch, &there, "link", name.clone())
            .value(yours.clone())
            .says(format!("the {kind} ends do not fit: {at}/{} has {mine}, {there}/{name} has {yours}", link.ifname))
            .because(Label::State, format!("ip -d link show dev {} in {at}: {mine}", link.ifname))
            .because(Label::State, format!("ip -d link show dev {name} in {there}: {yours}"));
        if kind == "geneve" {
            culprit = culprit.advise("the id and the port of a GENEVE link cannot be changed: make one end anew");
        } else {
            let mut words = Vec::new();
            if address(&data_there, "remote").is_some_and(|ip| ip != arrived.src) {
                words.push(format!("remote {}", arrived.src));
            }
            if address(&data_there, "local").is_some_and(|ip| ip != arrived.dst) {
                words.push(format!("local {}", arrived.dst));
            }
            if text(&data, "okey") != text(&data_there, "ikey") {
                let key = text(&data, "okey");
                words.push(if key.is_empty() { "nokey".into() } else { format!("key {key}") });
            }
            culprit = culprit.fix(&format!("ip link set dev {name} type {kind} {}", words.join(" ")));
        }
        self.fault(culprit);
        self.arrive(to, &name, packet)
    }

    /// The remote of a tunnel is not the end that waits for it.
    fn wrong_remote(&mut self, ns: usize, link: &Link, remote: IpAddr) {
        let network = self.net.ns(ns);
        let kind = link.kind().unwrap_or_default();
        let waits = |other: &Link, at: usize| {
            other.kind() == Some(kind)
                && other
                    .linkinfo
                    .info_data
                    .as_ref()
                    .and_then(|data| address(data, "remote"))
                    .is_some_and(|ip| network.owns(ip).is_some() && at != ns)
        };
        let ends: Vec<(usize, IpAddr)> = (self.net.all.iter().enumerate())
            .flat_map(|(at, other)| other.links.iter().filter(move |one| waits(one, at)).map(move |one| (at, one)))
            .filter_map(|(at, one)| Some((at, address(one.linkinfo.info_data.as_ref()?, "local")?)))
            .collect();
        let [(other, right)] = ends.as_slice() else { return };
        if *right == remote {
            return;
        }
        let (at, dev, there) = (network.at.clone(), link.ifname.clone(), self.name(*other));
        self.fault(
            Culprit::new(Code::TunnelMismatch, &at, "link", dev.clone())
                .value(format!("remote {remote}"))
                .says(format!("{at}/{dev} sends to {remote}, but the end that waits for it is {right} in {there}"))
                .because(Label::State, format!("ip -d link show dev {dev} in {at}: {}", shape(link)))
                .because(Label::State, format!("ip -d link in {there}: local {right}"))
                .fix(&format!("ip link set dev {dev} type {kind} remote {right}"))
                .leads_astray(),
        );
    }

    /// `WireGuard`: the peer is found by its allowed addresses, the other end by its key.
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    fn wireguard(&mut self, ns: usize, link: &Link, packet: Packet) -> Option<(usize, Packet)> {
        let net = self.net;
        let (at, dev) = (net.ns(ns).at.clone(), link.ifname.clone());
        let (interfaces, peers) = Wg::parse(net.wireguard(ns));
        let Some(mine) = interfaces.iter().find(|one| one.dev == dev) else { return self.not_walked(ns, link) };
        let here: Vec<&Wg> = peers.iter().filter(|peer| peer.dev == dev).collect();
        // Every WireGuard link that is known, with where it is.
        let all: Vec<(usize, Wg)> = (0..net.all.len())
            .filter(|other| net.ns(*other).links.iter().any(|link| link.kind() == Some("wireguard")))
            .flat_map(|other| Wg::parse(net.wireguard(other)).0.into_iter().map(move |one| (other, one)))
            .collect();
        let holder = (0..net.all.len()).find(|other| *other != ns && net.ns(*other).owns(packet.dst).is_some());
        let meant = || all.iter().find(|(other, _)| Some(*other) == holder);
        let mismatch = |place: &crate::op::Where, name: &str, value: String| {
            Culprit::new(Code::TunnelMismatch, place, "link", name).value(value)
        };
        let known = || here.iter().map(|peer| peer.key.clone()).collect::<Vec<_>>().join(", ");
        let Some(peer) = here
            .iter()
            .filter_map(|peer| Some((peer.allows(packet.dst)?, peer)))
            .max_by_key(|(len, _)| *len)
            .map(|(_, peer)| peer)
        else {
            let mut culprit = mismatch(&at, &dev, "allowed-ips".into())
                .says(format!(
                    "no peer of {at}/{dev} has {} among its allowed-ips: the kernel has no key to send it with",
                    packet.dst
                ))
                .because(
                    Label::State,
                    format!("wg show {dev} in {at}: peers: {}", if here.is_empty() { "none".into() } else { known() }),
                );
            let right = meant().and_then(|(_, far)| here.iter().find(|peer| peer.key == far.key));
            culprit = match right {
                Some(peer) => {
                    culprit.fix(&format!("wg set {dev} peer {} allowed-ips {}", peer.key, peer.and(packet.dst)))
                }
                None => culprit.advise(format!("wg set {dev} peer … allowed-ips {}", packet.dst)),
            };
            self.fault(culprit);
            return None;
        };
        let far = all.iter().find(|(_, one)| one.key == peer.key);
        let Some(endpoint) = peer.endpoint else {
            // Who never heard from a peer does not know where it is; an answer goes where the question came from.
            if let Some((to, far)) = far.filter(|_| self.leg == Leg::Reply) {
                let (to, name) = (*to, far.dev.clone());
                return self.arrive(to, &name, packet);
            }
            self.fault(
                mismatch(&at, &dev, "no endpoint".into())
                    .says(format!(
                        "the peer {} of {at}/{dev} has no endpoint, and has never called: nobody knows where to send",
                        peer.key
                    ))
                    .because(Label::State, format!("wg show {dev} in {at}: peer {}: endpoint (none)", peer.key))
                    .advise(format!("wg set {dev} peer {} endpoint ADDR:PORT", peer.key)),
            );
            return None;
        };
        let outer = Self::outer(None, endpoint.ip(), 17, Some(endpoint.port()), packet.size + overhead(link));
        let (to, arrived) = self.outside(ns, link, outer, None)?;
        let there = net.ns(to).at.clone();
        let ends: Vec<&Wg> = all.iter().filter(|(other, _)| *other == to).map(|(_, one)| one).collect();
        let Port::Exact(port) = arrived.dport else { return None };
        let Some(end) = ends.iter().find(|one| one.port == port) else {
            let right = far.filter(|(other, _)| *other == to).map(|(_, one)| one.port).filter(|port| *port > 0);
            let mut culprit = mismatch(&at, &dev, format!("endpoint {endpoint}"))
                .says(format!(
                    "{at}/{dev} sends to {endpoint}, and no WireGuard link of {there} listens on port {port}"
                ))
                .because(Label::State, format!("wg show {dev} in {at}: peer {}: endpoint {endpoint}", peer.key))
                .because(
                    Label::State,
                    format!(
                        "wg show all in {there}: listening ports: {}",
                        ends.iter().map(|one| format!("{} {}", one.dev, one.port)).collect::<Vec<_>>().join(", ")
                    ),
                );
            culprit = match right {
                Some(port) => {
                    let right = std::net::SocketAddr::new(endpoint.ip(), port);
                    culprit.fix(&format!("wg set {dev} peer {} endpoint {right}", peer.key))
                }
                None => culprit.advise("correct the endpoint, or the port that the other end listens on"),
            };
            self.fault(culprit);
            return None;
        };
        if end.key != peer.key {
            let allowed = peer.allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            self.fault(
                mismatch(&at, &dev, format!("peer {}", peer.key))
                    .says(format!(
                        "{at}/{dev} takes {endpoint} for the peer {}, but {there}/{} has the key {}",
                        peer.key, end.dev, end.key
                    ))
                    .because(Label::State, format!("wg show {dev} in {at}: peer {}", peer.key))
                    .because(Label::State, format!("wg show {} in {there}: public key {}", end.dev, end.key))
                    .fix(&format!("wg set {dev} peer {} remove", peer.key))
                    .fix(&format!("wg set {dev} peer {} allowed-ips {allowed} endpoint {endpoint}", end.key)),
            );
        }
        let back = Wg::parse(net.wireguard(to)).1.into_iter().find(|one| one.dev == end.dev && one.key == mine.key);
        match back {
            None => self.fault(
                mismatch(&there, &end.dev, "peers".into())
                    .says(format!(
                        "{there}/{} has no peer with the key of {at}/{dev} ({}), so it answers no handshake",
                        end.dev, mine.key
                    ))
                    .because(Label::State, format!("wg show {} in {there}: no peer {}", end.dev, mine.key))
                    .fix(&format!(
                        "wg set {} peer {} allowed-ips {}",
                        end.dev,
                        mine.key,
                        ipnet::IpNet::from(packet.src)
                    )),
            ),
            Some(back) if back.allows(packet.src).is_none() => self.fault(
                mismatch(&there, &end.dev, "allowed-ips".into())
                    .says(format!(
                        "{there}/{} takes nothing from {} of its peer {}: that is not among the allowed-ips",
                        end.dev, packet.src, mine.key
                    ))
                    .because(
                        Label::State,
                        format!(
                            "wg show {} in {there}: peer {}: allowed-ips {}",
                            end.dev,
                            mine.key,
                            back.allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
                        ),
                    )
                    .fix(&format!("wg set {} peer {} allowed-ips {}", end.dev, mine.key, back.and(packet.src))),
            ),
            Some(_) => {}
        }
        let name = end.dev.clone();
        if net.ns(to).link(&name).is_some_and(|link| !link.is_up()) {
            self.link_down(to, &name);
        }
        self.arrive(to, &name, packet)
    }

    /// VXLAN: the other end is found by the forwarding entry of the next hop's hardware address, else by the remote.
    fn vxlan(&mut self, ns: usize, link: &Link, nexthop: IpAddr, packet: Packet) -> Option<(usize, Packet)> {
        let at = self.net.ns(ns).at.clone();
        let data = link.linkinfo.info_data.clone().unwrap_or_default();
        let entry =
            self.net.ns(ns).neighs.iter().find(|one| one.dev == link.ifname && one.ip == nexthop && one.mac.is_some());
        let mac = entry.and_then(|one| one.mac.clone());
        let fixed = entry.is_some_and(|one| one.state.iter().any(|state| state == "PERMANENT" || state == "NOARP"));
        let by_fdb = self.vtep(ns, &link.ifname, mac.as_deref());
        let remote =
            by_fdb.as_ref().map(|(ip, _)| *ip).or_else(|| address(&data, "remote")).or_else(|| address(&data, "group"));
        let Some(remote) = remote else {
            self.no_remote(ns, link);
            return None;
        };
        if remote.is_multicast() {
            return self.by_group(ns, link, packet);
        }
        let port = u16::try_from(number(&data, "port")).unwrap_or(4789);
        let outer = Self::outer(address(&data, "local"), remote, 17, Some(port), packet.size + 50);
        let ttl = u8::try_from(number(&data, "ttl")).ok().filter(|ttl| *ttl > 0);
        if self.net.ns(ns).owns(remote).is_some() {
            self.tunnel_to_itself(ns, link, remote, by_fdb.as_ref().map(|(_, mac)| mac.as_str()));
            return None;
        }
        self.remote_is_nobody(ns, link, remote, by_fdb.as_ref().map(|(_, mac)| mac.as_str()));
        let (to, _) = self.outside(ns, link, outer, ttl)?;
        let far: Vec<&Link> = self.net.ns(to).links.iter().filter(|other| other.kind() == Some("vxlan")).collect();
        let key = |data: &Value| (number(data, "id"), number(data, "port"));
        let fits =
            far.iter().find(|other| other.linkinfo.info_data.as_ref().is_some_and(|other| key(other) == key(&data)));
        let there = self.net.ns(to).at.clone();
        if let Some(other) = fits {
            if !other.is_up() {
                let name = other.ifname.clone();
                self.link_down(to, &name);
            }
            let name = other.ifname.clone();
            let theirs = other.address.clone().unwrap_or_default();
            let routed = other.master.is_none();
            if let Some(mac) = mac.filter(|mac| routed && !theirs.is_empty() && !mac.eq_ignore_ascii_case(&theirs)) {
                self.pinned_elsewhere(ns, link, nexthop, &mac, fixed, (to, &name, &theirs), remote);
            }
            return self.arrive(to, &name, packet);
        }
        let mine = format!("vni {} port {}", number(&data, "id"), number(&data, "port"));
        let Some(other) = far.first() else {
            self.fault(
                Culprit::new(Code::TunnelMismatch, &there, "link", link.ifname.clone())
                    .value(mine.clone())
                    .says(format!(
                        "{at}/{} sends VXLAN ({mine}) to {remote}, but {there} has no VXLAN device",
                        link.ifname
                    ))
                    .because(Label::State, format!("ip -d link show type vxlan in {there}: none"))
                    .advise(format!("make the other end in {there}")),
            );
            return None;
        };
        let theirs = other.linkinfo.info_data.clone().unwrap_or_default();
        let yours = format!("vni {} port {}", number(&theirs, "id"), number(&theirs, "port"));
        let name = other.ifname.clone();
        let anew = self.made_anew(to, &name, number(&data, "id"), number(&data, "port"));
        let culprit = Culprit::new(Code::TunnelMismatch, &there, "link", name.clone())
            .value(yours.clone())
            .says(format!("the VXLAN ends do not fit: {at}/{} has {mine}, {there}/{name} has {yours}", link.ifname))
            .because(Label::State, format!("ip -d link show dev {} in {at}: {mine}", link.ifname))
            .because(Label::State, format!("ip -d link show dev {name} in {there}: {yours}"))
            .because(Label::Inferred, "the id and the port of a VXLAN device cannot be changed: it is made anew");
        self.fault(anew.iter().fold(culprit, |culprit, line| culprit.fix(line)));
        self.arrive(to, &name, packet)
    }

    /// The commands that make a VXLAN device again, with another id and port and all else as it was.
    fn made_anew(&self, ns: usize, dev: &str, id: u64, port: u64) -> Vec<String> {
        let Some(link) = self.net.ns(ns).link(dev) else { return Vec::new() };
        let data = link.linkinfo.info_data.clone().unwrap_or_default();
        let mut make = format!("ip link add {dev} mtu {} type vxlan id {id}", link.mtu.unwrap_or(1450));
        for (key, word) in
            [("local", "local"), ("local6", "local"), ("remote", "remote"), ("remote6", "remote"), ("link", "dev")]
        {
            let value = text(&data, key);
            if !value.is_empty() {
                let _ = write!(make, " {word} {value}");
            }
        }
        let _ = write!(make, " dstport {port}");
        if data.get("learning").and_then(Value::as_bool) == Some(false) {
            make += " nolearning";
        }
        let mut lines = vec![format!("ip link del {dev}"), make];
        lines.extend(link.master.iter().map(|master| format!("ip link set dev {dev} master {master}")));
        for addr in self.net.ns(ns).addrs_of(dev) {
            if !matches!(addr.ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
                lines.push(format!("ip addr add {}/{} dev {dev}", addr.ip, addr.len));
            }
        }
        lines.push(format!("ip link set dev {dev} up"));
        lines
    }

    /// The end of a tunnel of the same sort elsewhere, and the address that it is reached by.
    fn other_end(&self, ns: usize, link: &Link) -> Option<(usize, IpAddr)> {
        let id = |link: &Link| link.linkinfo.info_data.as_ref().and_then(|data| data.get("id").cloned());
        self.net.all.iter().enumerate().filter(|(other, _)| *other != ns).find_map(|(index, other)| {
            let far = other.links.iter().find(|far| far.kind() == Some("vxlan") && id(far) == id(link))?;
            let local = far.linkinfo.info_data.as_ref().and_then(|data| text(data, "local").parse().ok());
            Some((index, local?))
        })
    }

    /// A VXLAN device that was never told where its other end is.
    fn no_remote(&mut self, ns: usize, link: &Link) {
        let (at, dev) = (self.net.ns(ns).at.clone(), link.ifname.clone());
        let mut culprit = Culprit::new(Code::TunnelMismatch, &at, "link", dev.clone())
            .value("no remote")
            .says(format!("{at}/{dev} does not know its other end: it has no remote and no forwarding entry (fdb) with a destination"))
            .because(Label::State, format!("ip -d link show dev {dev} in {at}: no remote"))
            .because(Label::State, format!("bridge fdb show dev {dev} in {at}: no dst"));
        culprit = match self.other_end(ns, link) {
            Some((_, ip)) => culprit.fix(&format!("bridge fdb append 00:00:00:00:00:00 dev {dev} dst {ip}")),
            None => culprit.advise(format!("bridge fdb append 00:00:00:00:00:00 dev {dev} dst …")),
        };
        self.fault(culprit);
    }

    /// The remote of a tunnel that nobody is, while the other end is somebody else.
    fn remote_is_nobody(&mut self, ns: usize, link: &Link, remote: IpAddr, entry: Option<&str>) {
        if self.net.all.iter().any(|other| other.owns(remote).is_some()) {
            return;
        }
        let Some((other, right)) = self.other_end(ns, link).filter(|(_, right)| *right != remote) else { return };
        let (at, dev, there) = (self.net.ns(ns).at.clone(), link.ifname.clone(), self.name(other));
        let (said, mend) = match entry {
            Some(mac) => (
                format!("bridge fdb show dev {dev} in {at}: {mac} dst {remote}"),
                format!("bridge fdb replace {mac} dev {dev} dst {right}"),
            ),
            None => (
                format!("ip -d link show dev {dev} in {at}: remote {remote}"),
                format!("ip link set dev {dev} type vxlan remote {right}"),
            ),
        };
        self.fault(
            Culprit::new(Code::TunnelMismatch, &at, "link", dev.clone())
                .value(format!("remote {remote}"))
                .says(format!("{at}/{dev} sends to {remote}, which nobody has; the other end in {there} is {right}"))
                .because(Label::State, said)
                .because(Label::State, format!("ip addr in {there}: {right}"))
                .fix(&mend)
                .leads_astray(),
        );
    }

    /// The other end of a VXLAN device by multicast: whoever has the same id and group.
    fn by_group(&mut self, ns: usize, link: &Link, packet: Packet) -> Option<(usize, Packet)> {
        let key = |link: &Link| {
            let data = link.linkinfo.info_data.clone().unwrap_or_default();
            (number(&data, "id"), number(&data, "port"), text(&data, "group").to_owned())
        };
        let found = (0..self.net.all.len()).filter(|other| *other != ns).find_map(|other| {
            let mut links = self.net.ns(other).links.iter().filter(|one| one.kind() == Some("vxlan"));
            let far = links.find(|one| key(one) == key(link) && one.master.is_none())?;
            Some((other, far.ifname.clone()))
        });
        // Whether the group is reached is not walked.
        let Some((to, name)) = found else { return self.not_walked(ns, link) };
        self.arrive(to, &name, packet)
    }

    /// The next hop of a tunnel is pinned to a hardware address that its end does not have.
    #[expect(clippy::too_many_arguments, reason = "both ends of a tunnel")]
    fn pinned_elsewhere(
        &mut self,
        ns: usize,
        link: &Link,
        nexthop: IpAddr,
        mac: &str,
        fixed: bool,
        (to, name, theirs): (usize, &str, &str),
        remote: IpAddr,
    ) {
        let (at, dev, there) = (self.net.ns(ns).at.clone(), &link.ifname, self.name(to));
        let word = if fixed { "permanent" } else { "learned" };
        let mut culprit = Culprit::new(
            if fixed { Code::NeighStaticWrong } else { Code::NeighStaleWrong },
            &at,
            "neighbour",
            format!("{nexthop} dev {dev}"),
        )
        .value(mac)
        .says(format!(
            "{at} has a {word} neighbour entry: {nexthop} is at {mac} on {dev}; the end of that tunnel, {there}/{name}, has the address \
             {theirs}, and takes nothing that is for another"
        ))
        .because(Label::State, format!("ip neigh in {at}: {nexthop} dev {dev} lladdr {mac}"))
        .because(Label::State, format!("ip link show dev {name} in {there}: {theirs}"));
        if fixed {
            culprit = culprit
                .fix(&format!("ip neigh replace {nexthop} lladdr {theirs} dev {dev} nud permanent"))
                .fix(&format!("bridge fdb replace {theirs} dev {dev} dst {remote}"));
        } else {
            culprit = culprit.fix(&format!("ip neigh del {nexthop} dev {dev}"));
        }
        self.fault(culprit);
    }

    /// The forwarding entry of a VXLAN device for a hardware address, else the one for all that have none: destination and key.
    fn vtep(&self, ns: usize, dev: &str, mac: Option<&str>) -> Option<(IpAddr, String)> {
        let entries =
            || self.net.fdb(ns).iter().filter(|entry| text(entry, "ifname") == dev && entry.get("dst").is_some());
        let of = |mac: &str| entries().find(|entry| text(entry, "mac").eq_ignore_ascii_case(mac));
        let found = mac.and_then(of).or_else(|| of("00:00:00:00:00:00")).or_else(|| entries().next())?;
        Some((text(found, "dst").parse().ok()?, text(found, "mac").to_owned()))
    }
}

/// Whether it is one of the devices that the kernel makes by itself with the first tunnel of a kind (`gre0`, `tunl0`, `sit0`).
fn bare(link: &Link) -> bool {
    !link.is_up()
        && link
            .linkinfo
            .info_data
            .as_ref()
            .is_none_or(|data| address(data, "remote").is_none() && address(data, "local").is_none())
}
