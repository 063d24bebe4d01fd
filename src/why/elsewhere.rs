//! What is meant and is elsewhere: an address that is one's own here, an answer that comes from another one, a packet that is led back to
//! its sender, a tunnel that ends where it begins.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::codes::Code;
use super::finding::{Culprit, Fix, Label, Leg};
use super::packet::{Hook, Packet, Port};
use super::service::{listening, serves};
use super::state::Net;
use super::walk::{Got, Walk, unspecified};
use crate::model::link::Link;
use crate::model::route::NextHop;

/// A size that the kernel remembers of a way, as it was told of it.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    ns: usize,
    mtu: u32,
    line: String,
}

impl Walk<'_> {
    /// What is asked for is an address of the asker itself, so it never leaves; somebody else has the address, too, and serves there. Noted.
    pub(super) fn own_twin(&mut self, ns: usize, packet: &Packet, port: u16) -> bool {
        let net = self.net;
        let itself = self.origin.as_ref().is_some_and(|(origin, asked)| *origin == ns && asked.dst == packet.dst);
        if !itself || packet.dst.is_loopback() {
            return false;
        }
        let Some(own) = net.ns(ns).owns(packet.dst) else { return false };
        let twin = (0..net.all.len()).filter(|other| *other != ns).find_map(|other| {
            let addr = net.ns(other).owns(packet.dst)?;
            let sockets = listening(net, other, packet.proto, port)?;
            sockets.iter().any(|socket| serves(socket, packet.dst, &addr.dev)).then_some((other, addr))
        });
        let Some((other, theirs)) = twin else { return false };
        let (at, there, dst) = (net.ns(ns).at.clone(), self.name(other), packet.dst);
        let proto = packet.proto_name();
        self.fault(
            Culprit::new(Code::AddrDuplicate, &at, "address", dst.to_string())
                .value(own.dev.clone())
                .says(format!(
                    "{dst} is an address of {at} itself ({}), so what {at} sends to it never leaves, and nothing listens on {proto} port {port} \
                     there; {there}/{} has it too, and listens on that port",
                    own.dev, theirs.dev
                ))
                .because(Label::State, format!("ip addr in {at}: {dst}/{} dev {}", own.len, own.dev))
                .because(Label::State, format!("ip addr in {there}: {dst}/{} dev {}", theirs.len, theirs.dev))
                .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                .fix(&format!("ip addr del {dst}/{} dev {}", own.len, own.dev)),
        );
        true
    }

    /// Another namespace that serves at an address of 127.0.0.0/8 (or `::1`), which is every namespace's own.
    pub(super) fn on_another_loopback(&self, ns: usize, packet: &Packet, port: u16) -> Option<(String, String)> {
        let net = self.net;
        (0..net.all.len()).filter(|other| *other != ns && packet.dst.is_loopback()).find_map(|other| {
            let sockets = listening(net, other, packet.proto, port)?;
            let socket = sockets.iter().find(|socket| socket.addr == Some(packet.dst))?;
            Some((self.name(other), socket.users.clone()))
        })
    }

    /// A translation leads a packet back to who sent it, with that one's own address as its source: no end takes such a packet. Noted.
    pub(super) fn back_to_sender(&mut self, ns: usize, dev: &str, out: &str, asked: IpAddr, packet: &Packet) -> bool {
        let net = self.net;
        let sender = self.origin.as_ref().is_some_and(|(origin, sent)| *origin != ns && sent.src == packet.src);
        if self.leg == Leg::Reply || self.depth > 0 || asked == packet.dst || packet.src != packet.dst || !sender {
            return false;
        }
        let mut after = packet.clone();
        let mut later = Walk::new(net);
        later.conns.clone_from(&self.conns);
        later.hook(ns, Hook::Postrouting, &mut after, dev, out, None);
        let conn = self.conns.iter().find(|conn| {
            conn.ns == ns && conn.before.dst.0 == asked && conn.after.dst.0 == packet.dst && conn.by.is_some()
        });
        let Some(conn) = conn.cloned().filter(|_| after.src == after.dst) else { return false };
        let Some(rule) = conn.by else { return false };
        let (at, src) = (net.ns(ns).at.clone(), packet.src);
        let known = (0..net.all.len()).any(|other| other != ns && net.ns(other).owns(asked).is_some());
        let code = if known { Code::DnatWrongTarget } else { Code::HairpinNoSnat };
        let mut culprit = Culprit::new(code, &at, "rule", format!("{} {} {}", rule.tool, rule.table, rule.chain))
            .value(rule.text.clone())
            .says(format!(
                "{at} hands what {src} sends to {asked} back to {src} itself (DNAT, `{}`): it would come in with its own address as the source, \
                 and no end takes that{}",
                rule.text,
                if known { "; the rule is meant for others, and does not spare the one that it leads to" } else { "" }
            ))
            .because(Label::State, format!("{} {} {} in {at}: {}", rule.tool, rule.table, rule.chain, rule.text));
        if known {
            let original = Packet { dst: asked, dport: conn.before.dst.1, ..packet.clone() };
            culprit = self.mend_rule(culprit, &original, (dev, ""), &rule);
        } else {
            let tool = if packet.v6() { "ip6tables" } else { "iptables" };
            culprit = culprit.fix(&format!("{tool} -t nat -A POSTROUTING -s {src} -d {src} -j MASQUERADE"));
        }
        self.fault(culprit.leads_astray());
        true
    }

    /// A packet for an address that is nobody's here comes to an end that serves its port and would send it back to the router that it came
    /// from: the address is what is missing (direct server return), and forwarding would only make a loop. Noted.
    pub(super) fn served_without_address(
        &mut self,
        ns: usize,
        packet: &Packet,
        iif: &str,
        said: &str,
        line: &str,
    ) -> bool {
        let net = self.net;
        let network = net.ns(ns);
        let Port::Exact(port) = packet.dport else { return false };
        if self.leg == Leg::Reply || self.depth > 0 {
            return false;
        }
        let free = Packet { src: unspecified(packet.v6()), ..packet.clone() };
        let Some(gateway) = self.route(ns, &free, None).ok().filter(|got| got.dev == iif).and_then(|got| got.gateway)
        else {
            return false;
        };
        let came = self.hops.iter().any(|hop| {
            let owns = |index: usize| net.ns(index).owns(gateway).is_some();
            hop.leg == self.leg && hop.out && hop.at != network.at && net.index(&hop.at).is_some_and(owns)
        });
        let all = |socket: &super::service::Listening| {
            socket.dev.is_none() && socket.addr.is_none_or(|addr| addr.is_unspecified())
        };
        let socket = listening(net, ns, packet.proto, port).and_then(|all_of| all_of.into_iter().find(all));
        let Some(socket) = socket.filter(|_| came) else { return false };
        let (at, dst, proto) = (network.at.clone(), packet.dst, packet.proto_name());
        let bits = if packet.v6() { 128 } else { 32 };
        let mut culprit = Culprit::new(Code::AddrMissing, &at, "address", dst.to_string())
            .value(iif)
            .says(format!(
                "{at} gets a packet for {dst} on {iif} and has no such address; it is no router, and would send it back to {gateway}, where it \
                 comes from; it serves {proto} port {port} on all its addresses, so it is the address that is missing (direct server return)"
            ))
            .because(Label::Kernel, format!("{line} → {said}"))
            .because(Label::State, format!("ip addr in {at}: no {dst}"))
            .because(Label::State, format!("ss -ln in {at}: {proto} {} {}", socket.shown, socket.users));
        for (index, other) in net.all.iter().enumerate().filter(|(index, _)| *index != ns) {
            if let Some(addr) = other.owns(dst) {
                let text = format!("ip addr in {}: {dst}/{} dev {}", self.name(index), addr.len, addr.dev);
                culprit = culprit.because(Label::State, text);
            }
        }
        culprit = culprit.fix(&format!("ip addr add {dst}/{bits} dev lo"));
        if network.addrs.iter().any(|addr| addr.dev != "lo" && addr.covers(dst)) {
            culprit = culprit
                .advise(format!("and let {at} not answer ARP for it (arp_ignore = 1, arp_announce = 2 on {iif}), or it takes it from the balancer"));
        }
        self.fault(culprit);
        true
    }

    /// Where a namespace would have to forward broadcasts that come in by a link and does not (`IN_DEV_BFORWARD`: for all and for the link).
    fn without_bc_forwarding<'a>(&self, ns: usize, iif: &'a str) -> Vec<&'a str> {
        let value = |dev: &str| self.net.setting(ns, &format!("ipv4/conf/{dev}/bc_forwarding"));
        ["all", iif].into_iter().filter(|dev| value(dev) == 0).collect()
    }

    /// Whether a namespace forwards broadcasts that come in by a link.
    pub(super) fn forwards_broadcasts(&self, ns: usize, iif: &str) -> bool {
        self.without_bc_forwarding(ns, iif).is_empty()
    }

    /// A broadcast to another network: who has that network takes it, and forwards it under `bc_forwarding` only. Noted.
    pub(super) fn broadcast_not_forwarded(
        &mut self,
        ns: usize,
        packet: &Packet,
        iif: &str,
        line: &str,
        said: &str,
    ) -> bool {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        let missing = self.without_bc_forwarding(ns, iif);
        let Some(first) = missing.first() else { return false };
        let onto = net.ns(ns).addrs.iter().find(|addr| addr.dev != iif && addr.dev != "lo" && addr.covers(packet.dst));
        let Some(onto) = onto else { return false };
        let mut culprit = Culprit::new(Code::ForwardingDisabled, &at, "sysctl", format!("net.ipv4.conf.{first}.bc_forwarding"))
            .value("0")
            .says(format!(
                "{at} gets a packet for {}, the broadcast address of its network on {}, takes it for itself and does not forward it: a broadcast \
                 is forwarded where bc_forwarding is 1 for all and for {iif}",
                packet.dst, onto.dev
            ))
            .because(Label::Kernel, format!("{line} → {said}"));
        for dev in &missing {
            culprit = culprit
                .because(Label::State, format!("net.ipv4.conf.{dev}.bc_forwarding = 0 in {at}"))
                .fix(&format!("sysctl -w net.ipv4.conf.{dev}.bc_forwarding=1"));
        }
        if net.setting(ns, "ipv4/ip_forward") == 0 {
            culprit = culprit.fix("sysctl -w net.ipv4.ip_forward=1");
        }
        self.fault(culprit);
        true
    }

    /// An answer carries an address of the very router that had sent the request on as it was, to an end that has it too, as behind a load
    /// balancer: a router takes nothing from outside that comes from itself, but under `accept_local`. Noted.
    pub(super) fn own_address_comes_back(
        &mut self,
        ns: usize,
        packet: &Packet,
        iif: &str,
        line: &str,
        said: &str,
    ) -> bool {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        let passed = |hop: &super::finding::Hop| hop.leg == Leg::Request && hop.out && hop.at == at;
        let sender = self.end.as_ref().filter(|(end, _)| *end != ns && net.ns(*end).owns(packet.src).is_some());
        let Some((sender, _)) = sender.filter(|_| self.leg == Leg::Reply && !packet.v6()) else { return false };
        if !self.hops.iter().any(passed) {
            return false;
        }
        let there = self.name(*sender);
        self.fault(
            Culprit::new(Code::MartianLocalnet, &at, "sysctl", format!("net.ipv4.conf.{iif}.accept_local"))
                .value("0")
                .says(format!(
                    "{at} sent the request for {} on to {there}, which has that address too and answers with it; it is {at}'s own, and {at} takes \
                     nothing from outside that comes from itself, unless accept_local is 1 for {iif}",
                    packet.src
                ))
                .because(Label::Kernel, format!("{line} → {said}"))
                .because(Label::State, format!("net.ipv4.conf.{iif}.accept_local = 0 in {at}"))
                .fix(&format!("sysctl -w net.ipv4.conf.{iif}.accept_local=1")),
        );
        true
    }

    /// The next hop that fails is one way of several: that is told, and what the others are.
    pub(super) fn one_way_of_several(
        &mut self,
        ns: usize,
        got: &Got,
        packet: &Packet,
        from: Option<&str>,
        index: usize,
    ) {
        let several = self.explain_route(ns, packet, from).filter(|(_, route)| route.nexthops.len() > 1);
        let (Some((_, route)), Some(gateway)) = (several, got.gateway) else { return };
        let at = self.net.ns(ns).at.clone();
        let via = |hop: &NextHop| {
            let gateway = hop.gateway.clone().or_else(|| hop.via.as_ref().map(|via| via.host.clone()));
            let dev = hop.dev.clone().unwrap_or_default();
            let text = gateway.as_ref().map_or(format!("dev {dev}"), |gateway| format!("via {gateway} dev {dev}"));
            (gateway.and_then(|ip| ip.parse::<IpAddr>().ok()), dev, text)
        };
        let ways: Vec<_> = route.nexthops.iter().map(via).collect();
        let others: Vec<&str> = ways
            .iter()
            .filter(|(ip, dev, _)| (*ip, dev.as_str()) != (Some(gateway), got.dev.as_str()))
            .map(|(.., text)| text.as_str())
            .collect();
        let family = if packet.v6() { "-6 " } else { "" };
        let name = route.dst.clone().unwrap_or_else(|| "default".into());
        let table = route.table.as_deref().filter(|table| *table != "main").map(|table| format!(" table {table}"));
        let rest = if let [one] = others.as_slice() {
            (*one).to_owned()
        } else {
            others.iter().map(|way| format!("nexthop {way}")).collect::<Vec<_>>().join(" ")
        };
        let Some(fault) = self.faults.get_mut(index).filter(|fault| {
            matches!(
                fault.code,
                Code::AddrMissing
                    | Code::RouteGatewayDead
                    | Code::LinkNoCarrier
                    | Code::LinkAdminDown
                    | Code::ArpIgnored
                    | Code::ArpDisabled
            )
        }) else {
            return;
        };
        if others.is_empty() {
            return;
        }
        let _ = write!(
            fault.message,
            "; that is one of {} ways of the multipath route `{name}` of {at}, to which the hash of the addresses leads this flow, while others go {}",
            ways.len(),
            others.join(" or ")
        );
        let text = format!(
            "ip route in {at}: {name} {}",
            ways.iter().map(|(.., text)| format!("nexthop {text}")).collect::<Vec<_>>().join(" ")
        );
        fault.evidence.push(super::finding::Evidence { label: Label::State, text });
        let line = format!(
            "or take the dead way out of the route: ip {family}route replace {name} {rest}{}",
            table.unwrap_or_default()
        );
        fault.advice = Some(match fault.advice.take() {
            Some(known) => format!("{known}; {line}"),
            None => line,
        });
    }

    /// The packet dies on a way that a router had told of (ICMP redirect) and that is remembered, past the tables: that is to blame.
    pub(super) fn by_a_redirect(&mut self, ns: usize, got: &Got, packet: &Packet, before: usize, hop: usize) {
        let (true, Some(gateway), Some(fault)) = (got.redirected && !self.guess, got.gateway, self.faults.get(before))
        else {
            return;
        };
        let (at, why, dst) = (self.net.ns(ns).at.clone(), fault.message.clone(), packet.dst);
        let route = self.explain_route(ns, packet, None).map(|(_, route)| super::routes::route_text(&route));
        let text = route.unwrap_or_default();
        let family = if packet.v6() { "-6 " } else { "" };
        let mut culprit = Culprit::new(Code::RouteWrongNexthop, &at, "route", dst.to_string())
            .value(format!("via {gateway}, redirected"))
            .says(format!(
                "{at} sends {dst} to {gateway} because a router told it to (ICMP redirect), which it remembers for some minutes, and not by its \
                 route `{text}`; on that way it dies"
            ))
            .because(Label::Kernel, format!("{} → via {gateway}, cache <redirected>", got.line))
            .because(Label::State, format!("ip route in {at}: {text}"))
            .because(Label::Inferred, format!("on that way: {why}"))
            .fix(&format!("ip {family}route flush cache"))
            .advise(format!(
                "if it is told so again: send_redirects = 0 on the router (for all and for the link: either is enough to send them), or \
                 accept_redirects = 0 in {at}"
            ));
        (culprit.leg, culprit.hop) = (self.leg, hop);
        self.faults.insert(before, culprit.leads_astray());
    }

    /// A size that was learned from a router's word keeps the sender from sending; what the walk meets afterwards tells whether it still holds.
    pub(super) fn learned(&mut self, ns: usize, mtu: u32, got: &Got) {
        if self.depth == 0 && self.leg == Leg::Request {
            self.learned = Some(Learned { ns, mtu, line: got.line.clone() });
        }
    }

    /// Both legs have room for the packet, and the sender remembers a smaller size: that is out of date; noted.
    pub(super) fn learned_no_more(&mut self) {
        let Some(Learned { ns, mtu, line }) = self.learned.take() else { return };
        let Some((_, asked)) = self.origin.clone() else { return };
        if self.left.is_some() || self.faults.iter().any(|fault| fault.code.is_of_mtu()) {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let family = if asked.v6() { "-6 " } else { "" };
        let leg = std::mem::replace(&mut self.leg, Leg::Request);
        self.fault(
            Culprit::new(Code::MtuExceeded, &at, "route", asked.dst.to_string())
                .value(format!("mtu {mtu}"))
                .says(format!(
                    "{at} remembers that the way to {} takes {mtu} bytes only, as a router told it when it was so, and refuses the packet of {} \
                     bytes itself (Message too long); by now every link of the way has room for it",
                    asked.dst, asked.size
                ))
                .because(Label::Kernel, format!("{line} → mtu {mtu}, cached, until it expires"))
                .fix(&format!("ip {family}route flush cache")),
        );
        self.leg = leg;
        if let Some(fault) = self.faults.last_mut() {
            fault.hop = 1;
        }
    }

    /// A tunnel whose other end is an address of this namespace itself, as where every machine has the same one behind its own NAT: it ends
    /// where it begins. Noted.
    pub(super) fn tunnel_to_itself(&mut self, ns: usize, link: &Link, remote: IpAddr, mac: Option<&str>) {
        let net = self.net;
        let (at, dev) = (net.ns(ns).at.clone(), link.ifname.clone());
        let key = |link: &Link| {
            let data = link.linkinfo.info_data.clone().unwrap_or_default();
            (data.get("id").cloned(), data.get("port").cloned())
        };
        // The end that has the hardware address which is sent to.
        let far = (0..net.all.len()).filter(|other| *other != ns).find_map(|other| {
            let fits = |one: &&Link| {
                let same = one.address.as_deref().zip(mac).is_some_and(|(one, mac)| one.eq_ignore_ascii_case(mac));
                one.kind() == Some("vxlan") && key(one) == key(link) && same
            };
            net.ns(other).links.iter().find(fits).map(|one| (other, one.ifname.clone()))
        });
        let code = if mac.is_some() { Code::FdbStaticWrong } else { Code::TunnelMismatch };
        let entry = mac.map(|mac| format!(" for {mac}")).unwrap_or_default();
        let mut culprit = Culprit::new(code, &at, "link", dev.clone())
            .value(format!("dst {remote}"))
            .says(format!(
                "the tunnel {at}/{dev} leads{entry} to {remote}, which is an address of {at} itself: it ends where it begins"
            ))
            .because(Label::State, format!("ip -d link and bridge fdb show dev {dev} in {at}: dst {remote}"))
            .because(Label::State, format!("ip addr in {at}: {remote} dev {}", net.ns(ns).owns(remote).map_or("", |addr| addr.dev.as_str())));
        let Some((other, theirs)) = far else {
            return self.fault(
                culprit
                    .advise("correct the address of the other end (the `dst` of the forwarding entry, or the remote)")
                    .leads_astray(),
            );
        };
        let there = net.ns(other).at.clone();
        let twin = net.ns(other).owns(remote).is_some();
        if twin {
            let _ = write!(culprit.message, "; {there} has the address {remote}, too, each in a network of its own");
            culprit = culprit.because(Label::State, format!("ip addr in {there}: {remote}"));
        }
        // A segment that both ends are on.
        let near = net.ns(ns).addrs.iter().find_map(|mine| {
            let usable =
                mine.dev != "lo" && mine.dev != dev && mine.ip.is_ipv6() == remote.is_ipv6() && mine.ip != remote;
            let stations = if usable { self.stations(ns, &mine.dev) } else { Vec::new() };
            stations.into_iter().filter(|(at, _)| *at == other).find_map(|(_, out)| {
                let yours = net.ns(other).addrs_of(out).find(|yours| mine.covers(yours.ip) && yours.ip != mine.ip)?;
                Some((mine.clone(), yours.clone()))
            })
        });
        let Some((mine, yours)) = near else {
            return self
                .fault(culprit.advise(format!("lead it to an address by which {there} is reached")).leads_astray());
        };
        let _ = write!(culprit.message, "; {there} is reached by {} on {}", yours.ip, mine.dev);
        let ends = [(ns, &at, &dev, &mine, mac.map(str::to_owned), yours.ip), {
            let own = link.address.clone();
            (other, &there, &theirs, &yours, own, mine.ip)
        }];
        for (index, place, dev, under, mac, to) in ends {
            // The outer packet must not come from the address that the other end has, too.
            if net.ns(index).owns(remote).is_none() {
                continue;
            }
            culprit.fix.push(Fix::new(
                place,
                &format!("ip link set dev {dev} type vxlan local {} dev {}", under.ip, under.dev),
            ));
            culprit.fix.push(Fix::new(
                place,
                &match mac {
                    Some(mac) => format!("bridge fdb replace {mac} dev {dev} dst {to}"),
                    None => format!("ip link set dev {dev} type vxlan remote {to}"),
                },
            ));
        }
        self.fault(culprit.leads_astray());
    }

    /// A tunnel of this namespace that is down, and whose other end is up where the target is: the routes by it went with it.
    pub(super) fn tunnel_down(&self, ns: usize, packet: &Packet) -> Option<String> {
        let net = self.net;
        let key = |link: &Link| {
            let data = link.linkinfo.info_data.clone().unwrap_or_default();
            (link.kind().map(str::to_owned), data.get("id").cloned(), data.get("port").cloned())
        };
        let mut down = net.ns(ns).links.iter().filter(|link| !link.is_up() && link.kind() == Some("vxlan"));
        down.find_map(|link| {
            let far = (0..net.all.len()).filter(|other| *other != ns).any(|other| {
                let there = net.ns(other);
                let end = there.links.iter().any(|one| key(one) == key(link));
                end && there.addrs.iter().any(|addr| addr.len > 0 && addr.dev != "lo" && addr.covers(packet.dst))
            });
            far.then(|| link.ifname.clone())
        })
    }
}

/// Who has the UDP port that a VXLAN link needs: then it cannot come up. What the kernel itself has belongs to no process.
pub(super) fn port_taken(net: &Net, ns: usize, link: &Link) -> Option<(u16, String)> {
    let data = link.linkinfo.info_data.as_ref().filter(|_| link.kind() == Some("vxlan"))?;
    let port = data.get("port").and_then(serde_json::Value::as_u64).and_then(|port| u16::try_from(port).ok())?;
    let sockets = listening(net, ns, 17, port)?;
    let socket = sockets.into_iter().find(|socket| !socket.users.is_empty())?;
    Some((port, socket.users))
}
