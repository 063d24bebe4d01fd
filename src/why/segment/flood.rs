//! The flood: every station that a frame could come to, also past what bars the way.

use std::collections::HashSet;
use std::net::IpAddr;

use super::super::state::{Net, text};
use super::super::walk::Walk;
use super::bridge::{filters_vlans, tag_behind, vlan_id, vlan_of};
use crate::model::link::Link;
use crate::op::Where;

/// A piece of the way of a frame.
#[derive(Clone, Debug)]
pub(in crate::why) enum Piece {
    /// Out by a device.
    Out(usize, String),
    /// In by a device.
    In(usize, String),
    /// Through a bridge; without a port where the bridge itself is the end. `tag` is the VLAN tag that the frame has when it gets there.
    Bridge { ns: usize, bridge: String, from: Option<String>, to: Option<String>, tag: Option<u64> },
    /// From one macvlan to another on the same link.
    Sibling { one: (usize, String), other: (usize, String) },
}

/// A device that a frame can come to.
#[derive(Clone, Debug)]
pub(in crate::why) struct Station {
    pub(in crate::why) ns: usize,
    pub(in crate::why) dev: String,
    pub(in crate::why) way: Vec<Piece>,
}

/// The link that a macvlan or ipvlan sits on, which may be in another namespace.
pub(in crate::why) fn lower(net: &Net, ns: usize, link: &Link) -> Option<(usize, String)> {
    if !matches!(link.kind(), Some("macvlan" | "macvtap" | "ipvlan")) {
        return None;
    }
    if let Some(name) = link.parent() {
        return Some((ns, name.to_owned()));
    }
    let index = link.link_index?;
    let there = match link.link_netnsid {
        None => ns,
        Some(id) => {
            let name = net.nsid_name(ns, id)?;
            net.all.iter().position(|other| other.at == Where::Named(name.clone()))?
        }
    };
    let parent = net.ns(there).links.iter().find(|other| other.ifindex == index)?;
    Some((there, parent.ifname.clone()))
}

/// Whether a link is up and has a carrier.
pub(super) fn works(link: &Link) -> bool {
    link.is_up() && link.has_carrier()
}

/// Whether a VXLAN link may have an end that is not on this machine: it sends to a group, or to an address that nobody here has.
fn ends_elsewhere(net: &Net, ns: usize, link: &Link) -> bool {
    let entries = net.fdb(ns).iter().filter(|entry| text(entry, "ifname") == link.ifname);
    let data = link.linkinfo.info_data.as_ref();
    let told = ["remote", "remote6", "group", "group6"].into_iter().filter_map(|key| Some(text(data?, key)));
    let mut ends = entries.map(|entry| text(entry, "dst")).chain(told).filter_map(|ip| ip.parse::<IpAddr>().ok());
    ends.any(|ip| ip.is_multicast() || net.all.iter().all(|other| other.owns(ip).is_none()))
}

struct Flood<'a> {
    net: &'a Net,
    seen: HashSet<(usize, &'a str)>,
    known: HashSet<(usize, &'a str)>,
    found: Vec<(usize, &'a str, Vec<Piece>)>,
    /// Devices to which it comes with the tag of a VLAN for which there is no link, and the tag.
    strayed: Vec<(usize, &'a str, u64)>,
    /// The first device by which it leaves this machine, or comes to where nobody could look; rather one that works than one that does not.
    out: Option<(usize, &'a str, Vec<Piece>)>,
    wanted: Wanted,
}

/// What somebody asks for; in a segment of a thousand the ways cost more than all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Stations,
    Ways,
    WayOut,
}

impl<'a> Flood<'a> {
    /// A frame leaves by a device.
    fn emit(&mut self, ns: usize, dev: &'a str, way: &[Piece], tag: Option<u64>) {
        let net = self.net;
        let Some(link) = net.ns(ns).link(dev) else { return };
        let mut way = way.to_vec();
        match link.kind() {
            Some("bridge") => {
                let ports: Vec<&Link> =
                    net.ns(ns).ports(dev).filter(|port| !self.seen.contains(&(ns, port.ifname.as_str()))).collect();
                for port in ports {
                    let mut way = way.clone();
                    self.step(&mut way, || Piece::Bridge {
                        ns,
                        bridge: dev.into(),
                        from: None,
                        to: Some(port.ifname.clone()),
                        tag,
                    });
                    let tag = self.retagged(ns, link, dev, &port.ifname, tag);
                    self.emit(ns, &port.ifname, &way, tag);
                }
            }
            Some("bond" | "team") => {
                for port in net.ns(ns).ports(dev) {
                    self.emit(ns, &port.ifname, &way, tag);
                }
            }
            Some("vlan") => {
                let id = vlan_id(link);
                if let Some(parent) = link.parent() {
                    self.step(&mut way, || Piece::Out(ns, dev.into()));
                    self.emit(ns, parent, &way, id);
                }
            }
            Some("macvlan" | "macvtap" | "ipvlan") => {
                self.step(&mut way, || Piece::Out(ns, dev.into()));
                let Some((below, parent)) = lower(net, ns, link) else { return };
                let Some(on) = net.ns(below).link(&parent) else { return };
                for (at, sibling) in net.stacked().filter(|(_, other)| other.kind() == link.kind()) {
                    let own = (at, &sibling.ifname) == (ns, &link.ifname);
                    if !own && lower(net, at, sibling) == Some((below, parent.clone())) {
                        let mut way = way.clone();
                        self.step(&mut way, || Piece::Sibling {
                            one: (ns, dev.into()),
                            other: (at, sibling.ifname.clone()),
                        });
                        self.station(at, &sibling.ifname, &way);
                    }
                }
                self.emit(below, &on.ifname, &way, tag);
            }
            Some("veth") => {
                self.step(&mut way, || Piece::Out(ns, dev.into()));
                match net.peer(ns, link) {
                    Some((peer, other)) => self.receive(peer, &other.ifname, &way, tag),
                    None => self.leaves(ns, dev, way),
                }
            }
            Some("vxlan") => {
                let id = |link: &Link| link.linkinfo.info_data.as_ref().and_then(|data| data.get("id").cloned());
                self.step(&mut way, || Piece::Out(ns, dev.into()));
                for (at, other) in net.all.iter().enumerate().filter(|(at, _)| *at != ns) {
                    for far in other.links.iter().filter(|far| far.kind() == Some("vxlan") && id(far) == id(link)) {
                        self.receive(at, &far.ifname, &way, tag);
                    }
                }
                if self.wanted == Wanted::WayOut && ends_elsewhere(net, ns, link) {
                    self.leaves(ns, dev, way);
                }
            }
            // Nothing that is sent by these comes anywhere.
            Some("dummy" | "ifb" | "vrf") => {}
            _ if link.is_loopback() => {}
            _ => {
                self.step(&mut way, || Piece::Out(ns, dev.into()));
                self.leaves(ns, dev, way);
            }
        }
    }

    fn leaves(&mut self, ns: usize, dev: &'a str, way: Vec<Piece>) {
        let works = |ns: usize, dev: &str| self.net.ns(ns).link(dev).is_some_and(works);
        if self.out.as_ref().is_none_or(|(known, by, _)| !works(*known, by) && works(ns, dev)) {
            self.out = Some((ns, dev, way));
        }
    }

    /// A frame comes in by a device.
    fn receive(&mut self, ns: usize, dev: &'a str, way: &[Piece], tag: Option<u64>) {
        if !self.seen.insert((ns, dev)) {
            return;
        }
        let network = self.net.ns(ns);
        let Some(link) = network.link(dev) else { return };
        let mut way = way.to_vec();
        self.step(&mut way, || Piece::In(ns, dev.into()));
        if let Some(bridge) = network.bridge_of(link) {
            let through = |to: Option<String>| Piece::Bridge {
                ns,
                bridge: bridge.ifname.clone(),
                from: Some(dev.into()),
                to,
                tag,
            };
            let mut up = way.clone();
            self.step(&mut up, || through(None));
            let own = self.retagged(ns, bridge, dev, &bridge.ifname, tag);
            self.tagged(ns, &bridge.ifname, &up, own);
            for port in network.ports(&bridge.ifname).filter(|port| port.ifname != dev) {
                let mut on = way.clone();
                self.step(&mut on, || through(Some(port.ifname.clone())));
                self.seen.insert((ns, &port.ifname));
                let tag = self.retagged(ns, bridge, dev, &port.ifname, tag);
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

    fn tagged(&mut self, ns: usize, dev: &'a str, way: &[Piece], tag: Option<u64>) {
        let network = self.net.ns(ns);
        let above: Vec<&Link> = network.links.iter().filter(|above| above.parent() == Some(dev)).collect();
        match tag {
            Some(tag) => match above.iter().find(|above| vlan_id(above) == Some(tag)) {
                Some(vlan) => self.station(ns, &vlan.ifname, way),
                None => self.strayed.push((ns, dev, tag)),
            },
            None => {
                self.station(ns, dev, way);
                let net = self.net;
                for (at, child) in net.stacked() {
                    if lower(net, at, child).is_some_and(|(below, parent)| below == ns && parent == dev) {
                        self.station(at, &child.ifname, way);
                    }
                }
            }
        }
    }

    /// The tag with which a bridge hands a frame on that came with `tag`: its VLANs take tags away and put them on.
    fn retagged(&self, ns: usize, bridge: &Link, from: &str, to: &str, tag: Option<u64>) -> Option<u64> {
        if !filters_vlans(bridge) {
            return tag;
        }
        tag_behind(self.net, ns, to, vlan_of(self.net, ns, from, tag))
    }

    fn station(&mut self, ns: usize, dev: &'a str, way: &[Piece]) {
        if self.known.insert((ns, dev)) {
            self.found.push((ns, dev, way.to_vec()));
        }
    }

    /// Lengthens a way, where somebody asks for it.
    fn step(&self, way: &mut Vec<Piece>, piece: impl FnOnce() -> Piece) {
        if self.wanted != Wanted::Stations {
            way.push(piece());
        }
    }
}

/// Every device that a frame from a device could come to, in the order in which it does.
fn flood<'a>(net: &'a Net, ns: usize, dev: &str, wanted: Wanted) -> Flood<'a> {
    let mut flood = Flood {
        net,
        seen: HashSet::new(),
        known: HashSet::new(),
        found: Vec::new(),
        strayed: Vec::new(),
        out: None,
        wanted,
    };
    if let Some(link) = net.ns(ns).link(dev) {
        flood.seen.insert((ns, &link.ifname));
        flood.emit(ns, &link.ifname, &[], None);
    }
    flood
}

impl<'a> Walk<'a> {
    /// Every device that a frame from a device could come to.
    pub(in crate::why) fn flood(&self, ns: usize, dev: &str) -> Vec<Station> {
        let found = flood(self.net, ns, dev, Wanted::Ways).found.into_iter();
        found.map(|(ns, dev, way)| Station { ns, dev: dev.to_owned(), way }).collect()
    }

    /// The same without the ways.
    pub(in crate::why) fn stations(&self, ns: usize, dev: &str) -> Vec<(usize, &'a str)> {
        flood(self.net, ns, dev, Wanted::Stations).found.into_iter().map(|(ns, dev, _)| (ns, dev)).collect()
    }

    /// Where a frame from a device may leave this machine, rather by a link that works: past that nobody can say who gets it.
    pub(in crate::why) fn way_out(&self, ns: usize, dev: &str) -> Option<Station> {
        let (ns, dev, way) = flood(self.net, ns, dev, Wanted::WayOut).out?;
        Some(Station { ns, dev: dev.to_owned(), way })
    }

    /// Every device to which a frame from a device comes with the tag of a VLAN for which it has no link, and the tag.
    pub(in crate::why) fn strayed(&self, ns: usize, dev: &str) -> Vec<(usize, &'a str, u64)> {
        flood(self.net, ns, dev, Wanted::Stations).strayed
    }
}
