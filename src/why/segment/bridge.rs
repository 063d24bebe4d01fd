//! Through a bridge: the state and the flags of its ports, its forwarding database, VLANs, and the filters on frames.

use std::net::IpAddr;

use serde_json::Value;

use super::super::codes::Code;
use super::super::filters::Bridged;
use super::super::finding::{Culprit, Label};
use super::super::packet::{Hook, Packet};
use super::super::state::{Net, text};
use super::super::walk::Walk;
use super::flood::Station;
use super::has;
use crate::model::link::Link;

impl Walk<'_> {
    #[expect(clippy::too_many_arguments, reason = "one frame")]
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    pub(super) fn through_bridge(
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
                let mut culprit = Culprit::new(Code::PortStpState, &at, "port", dev)
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
                Culprit::new(Code::PortIsolated, &at, "port", to)
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
                    Culprit::new(Code::PortLocked, &at, "port", from)
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
                    Culprit::new(Code::FdbStaticWrong, &at, "fdb", format!("{mac} dev {port}"))
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
                Culprit::new(if own { Code::MacDuplicate } else { Code::FdbStaticWrong }, &at, "fdb", format!("{source} dev {port}"))
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
                        Culprit::new(Code::PortFloodOff, &at, "port", to)
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
                    Culprit::new(Code::MtuL2Mismatch, &at, "link", to)
                        .value(format!("mtu {mtu}"))
                        .says(format!("port {to} of {at}/{bridge} has mtu {mtu}: a bridge drops bigger frames ({} bytes) without a word", packet.size))
                        .because(Label::State, format!("ip link show dev {to} in {at}: mtu {mtu}"))
                        .fix(&format!("ip link set dev {to} mtu {}", packet.size.max(1500))),
                );
            }
        }
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
    pub(super) fn knows(&self, packet: &Packet) -> bool {
        let Some(hop) = self.hops.iter().rev().find(|hop| hop.out) else { return false };
        let Some(ns) = self.net.index(&hop.at) else { return false };
        self.net.ns(ns).neighs.iter().any(|entry| {
            entry.dev == hop.dev && entry.mac.is_some() && entry.ip.is_ipv6() == packet.v6() && has(entry, "PERMANENT")
        })
    }

    /// What the VLANs of a bridge do to a frame that gets there with `tag` on its way to a station.
    pub(super) fn vlans(
        &mut self,
        ns: usize,
        bridge: &str,
        (from, to): (Option<&str>, Option<&str>),
        tag: Option<u64>,
        station: &Station,
        packet: &Packet,
    ) {
        let net = self.net;
        let Some(of) = net.ns(ns).link(bridge).filter(|of| filters_vlans(of)) else { return };
        let (inn, out) = (from.unwrap_or(bridge), to.unwrap_or(bridge));
        let vid = vlan_of(net, ns, inn, tag);
        // The VLAN of the link that the frame is for, where that is right behind the port.
        let last = net.ns(ns).link(out).is_some_and(|link| match net.peer(ns, link) {
            Some((there, peer)) => there == station.ns && below(net, station) == peer.ifname,
            None => station.ns == ns && below(net, station) == of.ifname,
        });
        let wanted = last.then(|| vlan_there(net, station, packet)).flatten();
        let fault = |dev: &str, vid: u64, how: &str, said: String, why: String| {
            let own = if dev == bridge { " self" } else { "" };
            Culprit::new(Code::PortVlan, &net.ns(ns).at, "port", dev)
                .value(format!("pvid of {inn}: {}", pvid(net, ns, inn).map_or("none".to_owned(), |id| id.to_string())))
                .says(format!("{}/{bridge} filters VLANs: {said}", net.ns(ns).at))
                .because(Label::State, format!("bridge vlan show in {}", net.ns(ns).at))
                .because(Label::State, why)
                .fix(&format!("bridge vlan add dev {dev} vid {vid}{how}{own}"))
        };
        let plain = " pvid untagged";
        let with_tag = |dev: &str, vid: u64| format!("what is behind {dev} takes VLAN {vid} with its tag");
        let without = |dev: &str| format!("what is behind {dev} takes frames without a tag");
        let culprit = match (vid, tag) {
            (None, _) => {
                let want = wanted.or_else(|| pvid(net, ns, out)).unwrap_or(1);
                let said = format!("{inn} has no pvid, so it takes no frames without a tag");
                fault(inn, want, plain, said, without(inn))
            }
            (Some(vid), Some(_)) if member(net, ns, inn, vid).is_none() => {
                let home = wanted.or_else(|| pvid(net, ns, out)).filter(|home| *home != vid);
                if let Some(home) = home.filter(|home| member(net, ns, inn, *home).is_some())
                    && let Some(culprit) = other_id(net, ns, inn, vid, home)
                {
                    self.fault(culprit);
                    return;
                }
                let said = format!("frames come to {inn} with the tag of VLAN {vid}, and {inn} is not in it");
                fault(inn, vid, "", said, format!("what is behind {inn} sends VLAN {vid} with its tag"))
            }
            (Some(vid), _) => {
                let said = format!("{inn} puts frames into VLAN {vid}, and {out} is not in it");
                match (member(net, ns, out, vid), wanted) {
                    (None, Some(other)) if tag.is_none() && other != vid && member(net, ns, out, other).is_some() => {
                        fault(inn, other, plain, said, with_tag(out, other))
                    }
                    (None, wanted) if wanted == Some(vid) || wants_tag(net, ns, out, vid) => {
                        fault(out, vid, "", said, with_tag(out, vid))
                    }
                    (None, _) => fault(out, vid, plain, said, without(out)),
                    (Some(_), Some(other)) if other != vid => match other_id(net, ns, out, other, vid) {
                        Some(culprit) => culprit,
                        None => return,
                    },
                    (Some(untagged), wanted) if last && untagged != (wanted != Some(vid)) => {
                        let (how, words, why) =
                            if untagged { ("", "without", with_tag(out, vid)) } else { (plain, "with", without(out)) };
                        fault(out, vid, how, format!("{out} sends VLAN {vid} {words} its tag"), why)
                    }
                    _ => return,
                }
            }
        };
        self.fault(culprit);
    }

    /// Whether `br_netfilter` shows what a bridge bridges to the hooks of IP.
    pub(in crate::why) fn shows_frames(&self, ns: usize, bridge: &Link, v6: bool) -> bool {
        let name = if v6 { "ip6tables" } else { "iptables" };
        let option = bridge
            .linkinfo
            .info_data
            .as_ref()
            .and_then(|data| data.get(format!("nf_call_{name}")))
            .and_then(Value::as_u64);
        self.net.setting(ns, &format!("bridge/bridge-nf-call-{name}")) == 1 || option == Some(1)
    }

    /// Multicast snooping: with a querier there, a bridge sends a multicast to the ports only that told it to be members of the group, and
    /// to routers (`br_handle_frame_finish`, `br_multicast_querier_exists`). Neighbour discovery is multicast.
    pub(in crate::why) fn snooped(
        &mut self,
        ns: usize,
        bridge: &str,
        to: &str,
        group: IpAddr,
        target: (usize, &str),
    ) -> bool {
        let network = self.net.ns(ns);
        let Some(of) = network.link(bridge) else { return true };
        let data = of.linkinfo.info_data.clone().unwrap_or_default();
        let number = |key: &str| data.get(key).and_then(Value::as_u64).unwrap_or(0);
        let querier = number("mcast_querier") == 1 || data.get("mcast_querier_ipv6_addr").is_some();
        if number("mcast_snooping") != 1 || !querier {
            return true;
        }
        let mdb = self.net.mdb(ns);
        let member = mdb.iter().any(|entry| {
            text(entry, "dev") == bridge && text(entry, "port") == to && text(entry, "grp").parse() == Ok(group)
        });
        let slave = network.link(to).and_then(|link| link.linkinfo.info_slave_data.clone()).unwrap_or_default();
        // A port to a router gets every multicast; 2 says that it is one.
        let router = slave.get("multicast_router").and_then(Value::as_u64) == Some(2);
        if member || router {
            return true;
        }
        let (at, (there, dev)) = (network.at.clone(), target);
        let mut culprit = Culprit::new(Code::McastSnooped, &at, "link", bridge)
            .value("mcast_snooping 1")
            .says(format!(
                "{at}/{bridge} snoops multicast and there is a querier, so it sends what is for {group} only to ports that joined; {to} did \
                 not, so the neighbour solicitation never gets to {}/{dev}",
                self.name(there)
            ))
            .because(Label::State, format!("ip -d link show dev {bridge} in {at}: mcast_snooping 1, a querier is there"))
            .because(Label::State, format!("bridge mdb show in {at}: no {group} on {to}"));
        // The report of the target, which never came.
        let report = Packet {
            src: super::super::walk::unspecified(true),
            dst: group,
            proto: 58,
            icmp: Some(143),
            ..Packet::solicitation()
        };
        let mut walk = Walk::new(self.net);
        if !walk.hook(there, Hook::Output, &mut report.clone(), "", dev, None)
            && let Some(by) = walk.faults.first()
        {
            culprit = culprit.because(Label::State, format!("its membership report is dropped: {}", by.message));
        }
        self.fault(culprit.fix(&format!("ip link set dev {bridge} type bridge mcast_snooping 0")));
        false
    }

    /// With `br_netfilter`, bridged packets pass the hooks of IP.
    pub(in crate::why) fn bridge_netfilter(
        &mut self,
        ns: usize,
        bridge: &Link,
        from: Option<&str>,
        to: Option<&str>,
        packet: &Packet,
    ) {
        let (Some(from), Some(to)) = (from, to) else { return };
        if !self.shows_frames(ns, bridge, packet.v6()) {
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
}

pub(super) fn filters_vlans(bridge: &Link) -> bool {
    bridge.linkinfo.info_data.as_ref().and_then(|data| data.get("vlan_filtering")).and_then(Value::as_u64) == Some(1)
}

/// The id of a VLAN link.
pub(super) fn vlan_id(link: &Link) -> Option<u64> {
    let data = link.linkinfo.info_data.as_ref().filter(|_| link.kind() == Some("vlan"))?;
    data.get("id").and_then(Value::as_u64)
}

/// The VLANs of a port, or of the bridge itself, from `bridge -j vlan show`: first, last, whether it is the port's own (`pvid`), and whether
/// it leaves without its tag.
fn port_vlans<'a>(net: &'a Net, ns: usize, dev: &str) -> impl Iterator<Item = (u64, u64, bool, bool)> + use<'a> {
    let entry = net.vlans(ns).iter().find(|entry| text(entry, "ifname") == dev);
    let vlans = entry.and_then(|entry| entry.get("vlans")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    vlans.iter().map(|vlan| {
        let id = vlan.get("vlan").and_then(Value::as_u64).unwrap_or(0);
        let flags = vlan.get("flags").map(Value::to_string).unwrap_or_default();
        let last = vlan.get("vlanEnd").and_then(Value::as_u64).unwrap_or(id);
        (id, last, flags.contains("PVID"), flags.contains("Untagged"))
    })
}

/// The VLAN into which a port puts frames without a tag.
fn pvid(net: &Net, ns: usize, dev: &str) -> Option<u64> {
    port_vlans(net, ns, dev).find(|(.., pvid, _)| *pvid).map(|(id, ..)| id)
}

/// Whether a port is in a VLAN, and whether frames of it leave there without their tag.
fn member(net: &Net, ns: usize, dev: &str, vid: u64) -> Option<bool> {
    port_vlans(net, ns, dev).find(|(low, high, ..)| (*low..=*high).contains(&vid)).map(|(.., untagged)| untagged)
}

/// The VLAN of a frame that comes to a port with or without a tag.
pub(super) fn vlan_of(net: &Net, ns: usize, from: &str, tag: Option<u64>) -> Option<u64> {
    tag.or_else(|| pvid(net, ns, from))
}

/// The tag with which a frame of a VLAN leaves by a port; where the port is not in it, the one with which it would be taken.
pub(super) fn tag_behind(net: &Net, ns: usize, to: &str, vid: Option<u64>) -> Option<u64> {
    let vid = vid?;
    let untagged = match member(net, ns, to, vid) {
        // A tag that nobody behind takes bars the way.
        Some(untagged) => untagged || is_plain_end(net, ns, to),
        None => !wants_tag(net, ns, to, vid),
    };
    (!untagged).then_some(vid)
}

/// Whether what is right behind a port is a link that takes no frames with a tag.
fn is_plain_end(net: &Net, ns: usize, dev: &str) -> bool {
    let Some(link) = net.ns(ns).link(dev) else { return false };
    let Some((there, end)) = net.peer(ns, link) else { return false };
    end.master.is_none() && !net.ns(there).links.iter().any(|above| above.parent() == Some(end.ifname.as_str()))
}

/// The device that a station is, or that its VLAN link is on.
fn below<'a>(net: &'a Net, station: &'a Station) -> &'a str {
    let link = net.ns(station.ns).link(&station.dev);
    link.filter(|link| link.kind() == Some("vlan")).and_then(Link::parent).unwrap_or(&station.dev)
}

/// The VLAN in which a station is to get a packet with its tag, if it has a VLAN link for it.
fn vlan_there(net: &Net, station: &Station, packet: &Packet) -> Option<u64> {
    let there = net.ns(station.ns);
    let own = there.link(&station.dev).and_then(vlan_id);
    own.or_else(|| {
        let is_for = |dev: &str| there.addrs_of(dev).any(|addr| addr.covers(packet.dst) || addr.covers(packet.src));
        if is_for(&station.dev) {
            return None;
        }
        let above = there.links.iter().filter(|above| above.parent() == Some(station.dev.as_str()));
        above.filter(|above| is_for(&above.ifname)).find_map(vlan_id)
    })
}

/// The VLAN link behind a port, or on the bridge itself, that has another id than the VLAN in which both sides meet.
fn other_id(net: &Net, ns: usize, port: &str, id: u64, home: u64) -> Option<Culprit> {
    let link = net.ns(ns).link(port)?;
    let (there, end) = net.peer(ns, link).unwrap_or((ns, link));
    let network = net.ns(there);
    let vlan =
        network.links.iter().find(|above| above.parent() == Some(end.ifname.as_str()) && vlan_id(above) == Some(id))?;
    let (at, dev) = (&network.at, &vlan.ifname);
    Some(
        Culprit::new(Code::VlanMismatch, at, "link", dev)
            .value(format!("id {id}"))
            .says(format!(
                "{at}/{dev} is VLAN {id}, and the port {port} that it is on leads to the other side in VLAN {home}"
            ))
            .because(Label::State, format!("ip -d link show dev {dev} in {at}: id {id}"))
            .because(Label::State, format!("bridge vlan show in {}", net.ns(ns).at))
            .advise("the id and protocol of a VLAN link cannot be changed: make one of them anew"),
    )
}

/// Whether what is behind a port of a bridge, or on the bridge itself, takes frames of a VLAN with their tag: it has a link for that
/// VLAN, or is a port of another bridge that has it tagged.
fn wants_tag(net: &Net, ns: usize, dev: &str, vid: u64) -> bool {
    let network = net.ns(ns);
    let Some(link) = network.link(dev) else { return false };
    let (there, end) = match net.peer(ns, link) {
        Some((there, peer)) => (there, peer),
        None if link.kind() == Some("bridge") => (ns, link),
        None => return false,
    };
    let other = net.ns(there);
    let master = end.master.as_deref().filter(|_| end.ifname != dev || there != ns);
    let has_link =
        |below: &str| other.links.iter().any(|above| above.parent() == Some(below) && vlan_id(above) == Some(vid));
    let Some(bridge) = master.and_then(|master| other.link(master)) else { return has_link(&end.ifname) };
    if !filters_vlans(bridge) {
        return has_link(&end.ifname) || has_link(&bridge.ifname);
    }
    member(net, there, &end.ifname, vid).is_some_and(|_| pvid(net, there, &end.ifname) != Some(vid))
}
