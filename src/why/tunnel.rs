//! Tunnels: the outer packet has a way of its own, and the two ends must fit together.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use super::finding::{Culprit, Evidence, Label, Leg};
use super::packet::{Ct, Packet, Port};
use super::state::text;
use super::walk::{Walk, unspecified};
use crate::model::link::Link;

impl Walk<'_> {
    /// A tunnel device: the packet goes on inside another one.
    pub(super) fn tunnel(&mut self, ns: usize, link: &Link, packet: Packet) -> Option<(usize, Packet)> {
        let at = self.net.ns(ns).at.clone();
        let data = link.linkinfo.info_data.clone().unwrap_or_default();
        let number = |data: &Value, key: &str| data.get(key).and_then(Value::as_u64).unwrap_or(0);
        let ip = |data: &Value, key: &str| -> Option<IpAddr> {
            text(data, key).parse().ok().or_else(|| text(data, &format!("{key}6")).parse().ok())
        };
        let remote = ip(&data, "remote").or_else(|| self.vtep(ns, &link.ifname));
        if remote.is_none() {
            self.no_remote(ns, link);
            return None;
        }
        let Some(remote) = remote.filter(|_| self.depth < 3) else {
            self.left = Some(format!("{at}/{}", link.ifname));
            return None;
        };
        // The outer packet.
        let outer = Packet {
            src: ip(&data, "local").unwrap_or_else(|| unspecified(remote.is_ipv6())),
            dst: remote,
            proto: 17,
            sport: Port::Ephemeral,
            dport: Port::Exact(u16::try_from(number(&data, "port")).unwrap_or(4789)),
            icmp: None,
            reply: false,
            size: packet.size + 50,
            df: false,
            ttl: Some(64),
            tos: None,
            mark: Some(0),
            ct: Ct::New,
            track: super::packet::Track::default(),
        };
        let before = self.faults.len();
        let visits = std::mem::take(&mut self.visits);
        let (origin, conns) = (self.origin.take(), self.conns.clone());
        self.depth += 1;
        self.origin = Some((ns, outer.clone()));
        let ttl = u8::try_from(number(&data, "ttl")).ok().filter(|ttl| *ttl > 0);
        let outside = std::mem::replace(&mut self.tunnel_ttl, ttl.map(|ttl| (ns, link.ifname.clone(), ttl)));
        self.remote_is_nobody(ns, link, remote);
        let end = self.originate(ns, outer);
        self.tunnel_ttl = outside;
        self.depth -= 1;
        (self.origin, self.visits) = (origin, visits);
        if self.leg == Leg::Reply {
            self.conns = conns;
        }
        for fault in &mut self.faults[before..] {
            let words = format!("outer packet of the tunnel {at}/{}", link.ifname);
            fault.evidence.push(Evidence { label: Label::Inferred, text: words });
        }
        let (to, _) = end?;
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
            return self.arrive(to, &name, packet);
        }
        let mine = format!("vni {} port {}", number(&data, "id"), number(&data, "port"));
        let Some(other) = far.first() else {
            self.fault(
                Culprit::new("TUNNEL_MISMATCH", &there, "link", link.ifname.clone())
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
        let culprit = Culprit::new("TUNNEL_MISMATCH", &there, "link", name.clone())
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
        let mut culprit = Culprit::new("TUNNEL_MISMATCH", &at, "link", dev.clone())
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
    fn remote_is_nobody(&mut self, ns: usize, link: &Link, remote: IpAddr) {
        if self.net.all.iter().any(|other| other.owns(remote).is_some()) {
            return;
        }
        let Some((other, right)) = self.other_end(ns, link).filter(|(_, right)| *right != remote) else { return };
        let (at, dev, there) = (self.net.ns(ns).at.clone(), link.ifname.clone(), self.name(other));
        self.fault(
            Culprit::new("TUNNEL_MISMATCH", &at, "link", dev.clone())
                .value(format!("remote {remote}"))
                .says(format!("{at}/{dev} sends to {remote}, which nobody has; the other end in {there} is {right}"))
                .because(Label::State, format!("ip -d link show dev {dev} in {at}: remote {remote}"))
                .because(Label::State, format!("ip addr in {there}: {right}"))
                .fix(&format!("ip link set dev {dev} type vxlan remote {right}"))
                .leads_astray(),
        );
    }

    fn vtep(&self, ns: usize, dev: &str) -> Option<IpAddr> {
        let entry = self.net.fdb(ns).iter().find(|entry| text(entry, "ifname") == dev && entry.get("dst").is_some())?;
        text(entry, "dst").parse().ok()
    }
}
