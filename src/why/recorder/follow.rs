//! From raw events to what happened to the probe: which events are its own, on which link of which namespace. Pure.
//!
//! Events name a link and an skb address, never a namespace, and on a busy machine the softirqs that run on top of the probing thread carry
//! other people's packets too. Both are solved by following: what the thread does outside interrupts is the probe's, in its own namespace;
//! an skb that was sent on one end of a veth and received next is received on the other end; whatever happens until the next packet is
//! received happens in that namespace. An skb received without having been sent before is foreign unless it has the probe's length.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::meaning::redirect;
use super::parse::Raw;
use super::{Class, Dropped, Hook, Leg, Match, Place, Seen, What, hook};
use crate::exec::netns::NetnsId;

const ETH_P_ARP: u16 = 0x0806;
/// The smallest number that is an Ethernet protocol. Below are unix and netlink messages, which are dropped by `kfree_skb` as well.
const ETH_P_MIN: u16 = 0x600;
/// `LOOPBACK_IFINDEX`: the incoming link of a route lookup for a packet of one's own.
const OUTPUT: i64 = 1;

const LOOPBACK: &str = "lo";

/// How long after its last sign of life a packet may be dropped in a foreign thread: its address then belongs to somebody else.
const FRESH: Duration = Duration::from_micros(200);

/// A link of a known namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    netns: Option<NetnsId>,
    dev: String,
}

/// One skb, while it lives.
struct Packet {
    id: u32,
    protocol: Option<u16>,
    len: u32,
    leg: Leg,
    spot: Spot,
    /// The last thing it did was to leave `spot`.
    sent: bool,
    cpu: u32,
    pid: u32,
    time: Duration,
}

/// What a processor (or the probing thread) works on.
#[derive(Clone, Default)]
struct Cursor {
    ours: bool,
    netns: Option<NetnsId>,
    dev: Option<String>,
    packet: Option<u32>,
    protocol: Option<u16>,
    leg: Leg,
    /// Who sent the packet that is being worked on, as routing saw it.
    source: Option<IpAddr>,
}

/// Follows the packets of one probe.
pub(super) struct Follower<'a> {
    sender: NetnsId,
    places: &'a [Place],
    wanted: Match,
    packets: HashMap<String, Packet>,
    own: Cursor,
    others: HashMap<u32, Cursor>,
    /// Neighbours that were asked for.
    asked: Vec<(Spot, IpAddr, Leg)>,
    /// Events of a timer, before the one that tells whose timer it is.
    pending: HashMap<u32, Vec<Raw>>,
    next: u32,
    seen: Vec<Seen>,
}

/// Turns both traces of a probe, merged by time, into what happened. `true`: the event is of the probing thread.
pub(super) fn follow(events: &[(bool, Raw)], sender: NetnsId, places: &[Place], wanted: Match) -> Vec<Seen> {
    let mut follower = Follower {
        sender,
        places,
        wanted,
        packets: HashMap::new(),
        own: Cursor::default(),
        others: HashMap::new(),
        asked: Vec::new(),
        pending: HashMap::new(),
        next: 0,
        seen: Vec::new(),
    };
    for (own, raw) in events {
        follower.event(*own, raw);
    }
    follower.seen
}

impl Follower<'_> {
    fn event(&mut self, own: bool, raw: &Raw) {
        let mut cursor = if own { self.own.clone() } else { self.others.get(&raw.cpu).cloned().unwrap_or_default() };
        if own && !raw.interrupt {
            cursor = Cursor { ours: true, netns: Some(self.sender), ..Cursor::default() };
        }
        match raw.event.as_str() {
            "net_dev_queue" if own && cursor.ours => self.queue(raw, &cursor),
            "net_dev_start_xmit" => self.xmit(own, raw, &mut cursor),
            "netif_receive_skb" => self.receive(own, raw, &mut cursor),
            "kfree_skb" => self.dropped(own, raw, &cursor),
            "fib_table_lookup" | "fib6_table_lookup" if own => self.lookup(raw, &mut cursor),
            "icmp_send" if own && cursor.ours => self.icmp(own, raw, &cursor),
            "icmp_send" if !own => self.pending.entry(raw.cpu).or_default().push(raw.clone()),
            "neigh_event_send_done" | "neigh_update" | "neigh_timer_handler" => self.neighbour(own, raw, &cursor),
            _ => {}
        }
        if own {
            self.own = cursor;
        } else {
            self.others.insert(raw.cpu, cursor);
        }
    }

    fn push(&mut self, own: bool, raw: &Raw, spot: Option<Spot>, cursor: &Cursor, what: What) {
        let (netns, dev) = match spot {
            Some(spot) => (spot.netns, Some(spot.dev)),
            None => (cursor.netns, cursor.dev.clone()),
        };
        let (packet, protocol, leg) = (cursor.packet, cursor.protocol, cursor.leg);
        self.seen.push(Seen { time: raw.time, netns, dev, packet, protocol, leg, own, what });
    }

    /// A device is about to queue it: if the queue refuses, this is the only word about which device it was.
    fn queue(&mut self, raw: &Raw, cursor: &Cursor) {
        let (Some(skb), Some(dev)) = (raw.value("skbaddr"), raw.value("dev")) else { return };
        let len = raw.small::<u32>("len").unwrap_or(0).saturating_sub(14);
        let netns = cursor.netns.filter(|netns| self.has(*netns, dev) || !self.knows(*netns));
        let spot = Spot { netns: netns.or_else(|| self.only(dev, None)), dev: dev.to_owned() };
        // The same as before if it is worked on, or if it is an IP packet that waited for its neighbour.
        if let Some(packet) = self.packets.get_mut(skb)
            && packet.len == len
            && (cursor.packet == Some(packet.id) || packet.protocol != Some(ETH_P_ARP))
        {
            packet.spot = spot;
            return;
        }
        let id = self.number();
        let (cpu, pid, time) = (raw.cpu, raw.pid, raw.time);
        let packet = Packet { id, protocol: None, len, leg: cursor.leg, spot, sent: false, cpu, pid, time };
        self.packets.insert(skb.to_owned(), packet);
    }

    fn xmit(&mut self, own: bool, raw: &Raw, cursor: &mut Cursor) {
        let (Some(skb), Some(dev)) = (raw.value("skbaddr"), raw.value("dev")) else { return };
        let protocol = raw.small::<u16>("protocol");
        let frame = raw.small::<u32>("len").unwrap_or(0);
        // Where layer 3 begins: 14 behind an Ethernet header, 0 on a tunnel.
        let len = frame.saturating_sub(raw.small("network_offset").unwrap_or(14));
        let known = self.packets.get(skb).filter(|packet| {
            let queued = packet.protocol.is_none();
            let alive = protocol != Some(ETH_P_ARP) || cursor.packet == Some(packet.id) || packet.sent;
            packet.len == len && (queued || (alive && packet.protocol == protocol))
        });
        if !cursor.ours && known.is_none() && (own || self.wanted.length.is_none_or(|wanted| wanted != len)) {
            return;
        }
        let here = known.and_then(|packet| packet.spot.netns).or(cursor.netns);
        let (id, leg) = known.map_or((None, cursor.leg), |packet| (Some(packet.id), packet.leg));
        let id = id.unwrap_or_else(|| self.number());
        // Sent from where it is being worked on; what a timer sends, from where it was last.
        let netns = cursor.netns.filter(|netns| self.has(*netns, dev)).or_else(|| {
            here.filter(|netns| self.has(*netns, dev))
                .or_else(|| self.only(dev, None))
                .or(here.filter(|id| !self.knows(*id)))
        });
        let spot = Spot { netns, dev: dev.to_owned() };
        let packet = Packet {
            id,
            protocol,
            len,
            leg,
            spot: spot.clone(),
            sent: true,
            cpu: raw.cpu,
            pid: raw.pid,
            time: raw.time,
        };
        self.packets.insert(skb.to_owned(), packet);
        let at = Cursor { packet: Some(id), protocol, leg, ..Cursor::default() };
        self.push(own, raw, Some(spot), &at, What::Xmit { len });
    }

    fn receive(&mut self, own: bool, raw: &Raw, cursor: &mut Cursor) {
        let (Some(skb), Some(dev)) = (raw.value("skbaddr"), raw.value("dev")) else { return };
        let len = raw.small::<u32>("len").unwrap_or(0);
        let known = self.packets.get(skb).filter(|packet| packet.len == len);
        if known.is_none() && self.wanted.length != Some(len) {
            *cursor = Cursor::default();
            return;
        }
        let netns = match known {
            // What is sent by lo stays where it is, and every namespace has one.
            _ if dev == LOOPBACK => {
                known.and_then(|packet| packet.spot.netns).or(cursor.netns).or(own.then_some(self.sender))
            }
            Some(packet) if packet.sent => self.across(&packet.spot, dev),
            // The same frame again, now as the bridge's.
            Some(packet) => packet.spot.netns.filter(|id| self.has(*id, dev)).or_else(|| self.only(dev, None)),
            None => self.only(dev, None),
        };
        let (id, protocol, leg) = known.map_or((None, self.wanted.protocol, Leg::Request), |packet| {
            (Some(packet.id), packet.protocol, packet.leg)
        });
        let id = id.unwrap_or_else(|| self.number());
        let spot = Spot { netns, dev: dev.to_owned() };
        let packet = Packet {
            id,
            protocol,
            len,
            leg,
            spot: spot.clone(),
            sent: false,
            cpu: raw.cpu,
            pid: raw.pid,
            time: raw.time,
        };
        self.packets.insert(skb.to_owned(), packet);
        *cursor =
            Cursor { ours: true, netns, dev: Some(dev.to_owned()), packet: Some(id), protocol, leg, source: None };
        self.push(own, raw, Some(spot), cursor, What::Receive { len });
    }

    fn dropped(&mut self, own: bool, raw: &Raw, cursor: &Cursor) {
        let protocol = raw.small::<u16>("protocol");
        if protocol.is_some_and(|protocol| protocol < ETH_P_MIN) {
            return;
        }
        let reason = raw.after("reason:").filter(|reason| !reason.is_empty()).map(str::to_owned);
        let (hook, bridged) = hook(&raw.stack).map_or((None, false), |(hook, bridged)| (Some(hook), bridged));
        let known = raw.value("skbaddr").and_then(|skb| {
            // An address is used again within milliseconds: only what is worked on here. What waited for its neighbour is reported with it.
            let packet = self.packets.get(skb)?;
            let fits = packet.protocol.is_none_or(|other| Some(other) == protocol) && hook != Some(Hook::Output);
            let fresh = (packet.cpu, packet.pid) == (raw.cpu, raw.pid) && raw.time.saturating_sub(packet.time) < FRESH;
            (fits && (own || (fresh && reason.as_deref() != Some("NEIGH_FAILED")))).then_some(skb)
        });
        let packet = known.and_then(|skb| self.packets.remove(skb));
        if packet.is_none() && !(own && cursor.ours) {
            if !own {
                self.pending.entry(raw.cpu).or_default().push(raw.clone());
            }
            return;
        }
        let mut at = cursor.clone();
        let mut spot = None;
        if let Some(packet) = packet {
            (at.packet, at.leg) = (Some(packet.id), packet.leg);
            spot = Some(packet.spot);
        } else if own && raw.interrupt && at.protocol != protocol {
            // A new one, made while working on another: an answer that was dropped before it was sent.
            at.packet = None;
        }
        at.protocol = protocol.or(at.protocol);
        let function = raw.location().map(str::to_owned).or_else(|| caller(&raw.stack));
        let class =
            if redirect(&raw.stack) { Class::Harmless } else { Class::of(reason.as_deref(), function.as_deref()) };
        let stack = raw.stack.clone();
        self.push(own, raw, spot, &at, What::Drop(Dropped { reason, function, class, hook, bridged, stack }));
    }

    fn lookup(&mut self, raw: &Raw, cursor: &mut Cursor) {
        let Some((source, destination)) = raw.flow().filter(|_| cursor.ours) else { return };
        let (iif, error) = (raw.number("iif").unwrap_or(0), raw.small("err").unwrap_or(0));
        if iif > OUTPUT {
            cursor.source = Some(source);
            self.settle_by_index(iif, cursor);
        } else if iif == OUTPUT && cursor.source == Some(destination) {
            cursor.leg = Leg::Reply;
        }
        let table = raw.small("table").unwrap_or(0);
        let out = raw.after("dev").filter(|dev| error == 0 && *dev != "-").map(str::to_owned);
        let iif = u32::try_from(iif).unwrap_or(0);
        let what = What::Fib { table, error, iif, source, destination, out };
        self.push(true, raw, None, cursor, what);
    }

    /// Two namespaces had a link of the name: the index that routing was asked with may tell them apart.
    fn settle_by_index(&mut self, iif: i64, cursor: &mut Cursor) {
        let (None, Some(dev), Ok(index)) = (cursor.netns, &cursor.dev, u32::try_from(iif)) else { return };
        let mut all = self.places.iter().filter(|place| place.link(dev).is_some_and(|link| link.index == index));
        let (Some(place), None) = (all.next(), all.next()) else { return };
        cursor.netns = Some(place.netns.id());
        // What led here was in the same place.
        let mine = |seen: &&mut Seen| seen.netns.is_none() && seen.packet == cursor.packet && seen.dev == cursor.dev;
        for seen in self.seen.iter_mut().rev().take_while(mine) {
            seen.netns = cursor.netns;
        }
        for packet in self.packets.values_mut().filter(|packet| Some(packet.id) == cursor.packet && !packet.sent) {
            packet.spot.netns = cursor.netns;
        }
    }

    fn icmp(&mut self, own: bool, raw: &Raw, cursor: &Cursor) {
        if let (Some(kind), Some(code)) = (raw.small("type"), raw.small("code")) {
            self.push(own, raw, None, cursor, What::IcmpSend { kind, code });
        }
    }

    fn neighbour(&mut self, own: bool, raw: &Raw, cursor: &Cursor) {
        let key = if raw.number("family") == Some(i64::from(libc::AF_INET6)) { "primary_key6" } else { "primary_key4" };
        let (Some(dev), Some(Ok(addr))) = (raw.after("dev"), raw.after(key).map(str::parse::<IpAddr>)) else { return };
        let state = raw.after("new_state").or_else(|| raw.after("nud_state")).unwrap_or_default();
        let asked = self.asked.iter().rev().find(|(spot, other, _)| spot.dev == dev && *other == addr).cloned();
        if own && cursor.ours {
            let spot = Spot { netns: cursor.netns, dev: dev.to_owned() };
            if raw.event == "neigh_event_send_done" && state == "incomplete" {
                self.asked.push((spot.clone(), addr, cursor.leg));
            }
            if raw.event == "neigh_update" || state == "incomplete" {
                self.push(own, raw, Some(spot), cursor, What::Neighbour { addr, state: state.to_owned() });
            }
        } else if let (Some((spot, _, leg)), false) = (asked, own) {
            let at = Cursor { ours: true, netns: spot.netns, dev: Some(spot.dev.clone()), leg, ..Cursor::default() };
            self.push(own, raw, Some(spot), &at, What::Neighbour { addr, state: state.to_owned() });
            // A timer first reports to the packets that wait, and then says whose timer it is.
            if state == "failed" && raw.event == "neigh_timer_handler" {
                for waiting in self.pending.remove(&raw.cpu).unwrap_or_default() {
                    let recent = raw.time.saturating_sub(waiting.time) < Duration::from_millis(20);
                    if !recent || waiting.pid != raw.pid {
                        continue;
                    }
                    if waiting.event == "icmp_send" {
                        self.icmp(false, &waiting, &at);
                    } else if waiting.after("reason:") == Some("NEIGH_FAILED")
                        || caller(&waiting.stack).is_some_and(|name| name.ends_with("error_report"))
                    {
                        let function = waiting.location().map(str::to_owned).or_else(|| caller(&waiting.stack));
                        let reason = waiting.after("reason:").map(str::to_owned);
                        let class = Class::NeighbourFailed;
                        let (hook, bridged, stack) = (None, false, waiting.stack.clone());
                        let at = Cursor { protocol: waiting.small("protocol"), ..at.clone() };
                        let dropped = Dropped { reason, function, class, hook, bridged, stack };
                        self.push(false, &waiting, None, &at, What::Drop(dropped));
                    }
                }
            }
        }
        if !own && raw.event == "neigh_timer_handler" {
            self.pending.remove(&raw.cpu);
        }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn place(&self, netns: NetnsId) -> Option<&Place> {
        self.places.iter().find(|place| place.netns.id() == netns)
    }

    fn knows(&self, netns: NetnsId) -> bool {
        self.place(netns).is_some()
    }

    fn has(&self, netns: NetnsId, dev: &str) -> bool {
        self.place(netns).is_some_and(|place| place.links.iter().any(|link| link.name == dev))
    }

    /// The one known namespace that has a link of this name, apart from the link `but`.
    fn only(&self, dev: &str, but: Option<&Spot>) -> Option<NetnsId> {
        let mut all = self
            .places
            .iter()
            .map(|place| place.netns.id())
            .filter(|id| self.has(*id, dev) && but.is_none_or(|spot| spot.netns != Some(*id) || spot.dev != dev));
        all.next().filter(|_| all.next().is_none())
    }

    /// Where a frame arrives that left at `from` and is seen next on `dev`.
    fn across(&self, from: &Spot, dev: &str) -> Option<NetnsId> {
        let link = from.netns.and_then(|id| self.place(id)).and_then(|place| place.link(&from.dev));
        if let Some((netns, index)) = link.and_then(|link| link.peer) {
            let Some(place) = self.place(netns) else { return Some(netns) };
            if place.links.iter().any(|link| link.index == index && link.name == dev) {
                return Some(netns);
            }
        }
        // Only links whose other end is not known to be elsewhere.
        let fits = |place: &&Place| {
            place.link(dev).is_some_and(|link| match link.peer {
                Some((netns, index)) => {
                    Some(netns) == from.netns
                        && self
                            .place(netns)
                            .is_none_or(|other| other.link(&from.dev).is_some_and(|it| it.index == index))
                }
                None => Some(place.netns.id()) != from.netns || dev != from.dev,
            })
        };
        let mut all = self.places.iter().filter(fits).map(|place| place.netns.id());
        match (all.next(), all.next()) {
            (Some(one), None) => Some(one),
            (None, _) => self.only(dev, Some(from)),
            _ => None,
        }
    }
}

/// The function that gave the packet up: the first of the stack that is neither tracing nor freeing.
fn caller(stack: &[String]) -> Option<String> {
    let freeing = |name: &str| {
        name.contains("trace")
            || name.contains("kfree_skb")
            || name.contains("skb_reason_drop")
            || name.starts_with("skb_release")
    };
    stack.iter().find(|name| !freeing(name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::netns::NetnsFile;
    use crate::op::Where;
    use crate::why::recorder::{KnownLink, parse};

    const RECEIVED: &str = "p-7 [001] ..s1. 10.000010: netif_receive_skb: dev=lo skbaddr=00000000aaaaaaaa len=105\n";

    fn followed(own: &str, others: &str) -> Vec<Seen> {
        let netns = NetnsFile::current().unwrap();
        let id = netns.id();
        let links = vec![KnownLink { index: 1, name: "lo".into(), peer: None }];
        let place = Place { at: Where::Host, netns, links };
        let read = |mine, text| parse::trace(text).events.into_iter().map(move |raw| (mine, raw));
        let mut events: Vec<_> = read(true, own).chain(read(false, others)).collect();
        events.sort_by_key(|(_, raw)| raw.time);
        follow(&events, id, &[place], Match { protocol: Some(0x800), length: Some(105) })
    }

    fn drops(own: &str, others: &str) -> usize {
        followed(own, others).iter().filter(|seen| matches!(seen.what, What::Drop(_))).count()
    }

    fn dropped(pid: u32, cpu: u32, micros: u32) -> String {
        format!(
            "x-{pid} [{cpu:03}] ..s1. 10.{micros:06}: kfree_skb: skbaddr=00000000aaaaaaaa rx_sk=0 protocol=2048 location=nft_do_chain+0x1/0x2 reason: NETFILTER_DROP\n"
        )
    }

    #[test]
    fn an_address_that_was_used_again_is_not_ours() {
        assert_eq!(drops(&format!("{RECEIVED}{}", dropped(7, 1, 15)), ""), 1, "our own");
        assert_eq!(drops(RECEIVED, &dropped(9, 1, 30)), 0, "another thread on the same processor");
        // The same thread that handled our packet, in another trace.
        assert_eq!(drops("", &format!("{RECEIVED}{}", dropped(7, 1, 15))), 1);
        assert_eq!(drops("", &format!("{RECEIVED}{}", dropped(7, 1, 900))), 0, "too late");
        assert_eq!(drops("", &format!("{RECEIVED}{}", dropped(7, 0, 15))), 0, "another processor");
    }

    #[test]
    fn what_others_receive_on_top_of_our_thread_is_not_ours() {
        let foreign = format!("{}{}", RECEIVED.replace("len=105", "len=228"), dropped(7, 1, 15));
        assert_eq!(followed(&foreign, ""), []);
        // A unix socket's message.
        assert_eq!(drops(&dropped(7, 1, 5).replace("2048", "0").replace("..s1.", "....."), ""), 0);
    }
}
