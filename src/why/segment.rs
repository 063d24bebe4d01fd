//! What lies between two devices that talk IP: veth pairs, bridges and their ports, neighbours.
//!
//! The flood finds every station that a frame could come to, also past what bars the way; then the way to the right one is judged.
//!
//! | file | what |
//! |---|---|
//! | `flood` | where a frame could come to |
//! | `joined` | which links a frame could get between at all |
//! | `bridge` | through a bridge |
//! | `queue` | queueing disciplines and filters of tc |
//! | `neighbour` | ARP and neighbour discovery |
//! | `missing` | the next hop is not there |
//! | `proxy` | who answers for an address that is not his |

mod bridge;
mod flood;
mod joined;
mod missing;
mod neighbour;
mod proxy;
mod queue;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::Value;

use super::codes::Code;
use super::finding::{Culprit, Label};
use super::packet::{Hook, Packet};
use super::state::{Neigh, text};
use super::walk::Walk;
pub(super) use flood::{Piece, Station};
pub(super) use joined::{Joined, joined};
pub(super) use neighbour::solicited;
pub(super) use queue::taken;

impl Walk<'_> {
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
            if let Some(station) = self.proxied(ns, nexthop, packet, &stations) {
                self.way(ns, &station, packet, &mac_of(&station));
                return Some((station.ns, station.dev));
            }
            return self.missing_neighbour(ns, link, nexthop, gateway, packet, &stations);
        };
        let owner = owner.clone();
        let failed = stations.iter().find(|station| {
            station.ns != owner.ns
                && net
                    .ns(station.ns)
                    .addrs
                    .iter()
                    .any(|addr| addr.ip == nexthop && addr.dadfailed && addr.dev == station.dev)
        });
        if let Some(station) = failed.filter(|station| station.ns != ns) {
            let there = station.ns;
            self.tentative(there, nexthop);
        }
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
            if twin.is_none() && !self.answered_by_a_bridge(ns, dev, nexthop, &owner) {
                self.wrong_neighbour(ns, dev, nexthop, &entry, &owner, &mac_of(&owner), &stations);
            }
        } else if !known && !self.answered_by_a_bridge(ns, dev, nexthop, &owner) {
            self.resolution(ns, link, nexthop, packet, &owner);
        }
        Some((owner.ns, owner.dev))
    }

    /// Judges the way of a frame to a station.
    pub(super) fn way(&mut self, ns: usize, station: &Station, packet: &Packet, mac: &str) {
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
                Piece::Sibling { one, other } => self.siblings(&one, &other),
                Piece::Bridge { ns: at, bridge, from, to, tag } => {
                    self.through_bridge(at, &bridge, from.as_deref(), to.as_deref(), packet, &source, mac);
                    self.vlans(at, &bridge, (from.as_deref(), to.as_deref()), tag, station, packet);
                }
            }
        }
    }

    /// Two macvlans of one link talk to each other in the mode `bridge` only; ipvlans always do.
    fn siblings(&mut self, one: &(usize, String), other: &(usize, String)) {
        for (ns, dev) in [one, other] {
            let Some(link) = self.net.ns(*ns).link(dev).filter(|link| link.kind() != Some("ipvlan")) else { continue };
            let mode = link.linkinfo.info_data.as_ref().map(|data| text(data, "mode").to_owned()).unwrap_or_default();
            if mode == "bridge" || mode.is_empty() {
                continue;
            }
            let at = self.net.ns(*ns).at.clone();
            // Only two of the mode `bridge` talk to each other (`macvlan_queue_xmit`).
            let next = self.net.ns(other.0).link(&other.1).filter(|_| ns != &other.0 || dev != &other.1);
            let closed = next
                .and_then(|link| link.linkinfo.info_data.as_ref())
                .is_some_and(|data| text(data, "mode") != "bridge");
            let mut culprit = Culprit::new(Code::PortIsolated, &at, "link", dev.clone())
                    .value(format!("mode {mode}"))
                    .says(format!(
                        "{at}/{dev} is a macvlan in mode {mode}: it does not talk to the other macvlans of its link, {}/{} among them",
                        self.name(other.0), other.1
                    ))
                    .because(Label::State, format!("ip -d link show dev {dev} in {at}: macvlan mode {mode}"))
                    .fix(&format!("ip link set dev {dev} type macvlan mode bridge"));
            if closed {
                let line = format!("ip link set dev {} type macvlan mode bridge", other.1);
                culprit = culprit.fix_at(&self.net.ns(other.0).at, &line);
            }
            if mode == "vepa" {
                culprit = culprit.advise("or let the switch send frames back by the port that they came by (hairpin, reflective relay), as VEPA wants it");
            }
            self.fault(culprit);
            return;
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
            reply: false,
            size: packet.size + 50,
            df: false,
            ttl: Some(64),
            tos: None,
            mark: Some(0),
            ct: super::packet::Ct::New,
            track: super::packet::Track::default(),
            past: super::packet::Past::default(),
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
                Culprit::new(Code::MtuL2Mismatch, &at, "link", dev)
                    .value(format!("mtu {mtu}"))
                    .says(format!("{at}/{dev} has mtu {mtu}, its segment has {other}: packets of {} bytes vanish there without a word", packet.size))
                    .because(Label::State, format!("ip link show dev {dev} in {at}: mtu {mtu}"))
                    .fix(&format!("ip link set dev {dev} mtu {}", other.max(packet.size))),
            );
        }
        if let Some(xdp) = link.raw().get("xdp") {
            let mode = xdp.get("attached").or_else(|| xdp.get("mode")).map(Value::to_string).unwrap_or_default();
            let culprit = Culprit::new(Code::XdpDrop, &at, "program", format!("{dev} xdp"))
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

    pub(super) fn link_down(&mut self, ns: usize, dev: &str) {
        let at = self.net.ns(ns).at.clone();
        let mut culprit = Culprit::new(Code::LinkAdminDown, &at, "link", dev)
            .value("down")
            .says(format!("{at}/{dev} is down (not up)"))
            .because(Label::State, format!("ip link show dev {dev} in {at}: no UP"));
        let taken = self.net.ns(ns).link(dev).and_then(|link| super::elsewhere::port_taken(self.net, ns, link));
        culprit = match taken {
            Some((port, users)) => {
                let _ = write!(
                    culprit.message,
                    ", and cannot come up: its UDP port {port} is taken by a process ({users})"
                );
                culprit
                    .because(Label::State, format!("ss -lnu in {at}: port {port} {users}"))
                    .advise(format!("end that process, or give the tunnel another port on every end: {port} is taken"))
            }
            None => culprit.fix(&format!("ip link set dev {dev} up")),
        };
        if let Some((peer, other)) =
            self.net.ns(ns).link(dev).and_then(|link| self.net.peer(ns, link)).filter(|(_, other)| other.is_up())
        {
            culprit = culprit.because(
                Label::State,
                format!("{}/{}, its other end, shows NO-CARRIER", self.name(peer), other.ifname),
            );
        }
        let noted = self.faults.len();
        self.fault(culprit);
        let far = self.net.ns(ns).link(dev).and_then(|link| self.net.peer(ns, link));
        let far = far.map(|(peer, other)| (peer, other.ifname.clone())).filter(|_| self.faults.len() > noted);
        if let Some((peer, other)) = far {
            self.round_a_dead_link(peer, &other);
        }
    }
}

fn has(entry: &Neigh, state: &str) -> bool {
    entry.state.iter().any(|word| word == state)
}

fn link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
