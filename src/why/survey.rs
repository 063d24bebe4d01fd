//! What kills packets silently on this machine, whoever sends them: the part of `why` that needs no destination.

use std::net::IpAddr;

use super::finding::{Culprit, Label};
use super::packet::{Ct, Packet, Port};
use super::state::{Addr, Net};
use super::walk::Walk;
use crate::error::Result;
use crate::op::Where;
use crate::session::Session;

/// What was looked at and found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The namespaces that were read.
    pub namespaces: usize,
    /// What is wrong, namespace by namespace.
    pub findings: Vec<Culprit>,
}

impl Survey {
    /// The document of `--json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": 1,
            "namespaces": self.namespaces,
            "findings": self.findings.iter().map(Culprit::json).collect::<Vec<_>>(),
        })
    }
}

/// Looks at every namespace of the machine; sends nothing and changes nothing.
///
/// # Errors
///
/// When the machine's own namespace cannot be read.
pub fn survey(session: &Session) -> Result<Survey> {
    let net = Net::read(session, &[&Where::Host], true)?;
    let mut findings = Vec::new();
    for ns in 0..net.all.len() {
        bridged_drop(&net, ns, &mut findings);
        strict_reverse_path(&net, ns, &mut findings);
        both_backends(&net, ns, &mut findings);
        overlapping(&net, ns, &mut findings);
        unusable_v6(&net, ns, &mut findings);
        for link in net.ns(ns).links.iter().filter(|link| link.is_up() && !link.is_loopback()) {
            segment(&net, ns, &link.ifname, &mut findings);
        }
    }
    Ok(Survey { namespaces: net.all.len(), findings })
}

/// A packet that somebody might send.
fn packet(src: IpAddr, dst: IpAddr) -> Packet {
    let v6 = dst.is_ipv6();
    Packet {
        src,
        dst,
        proto: if v6 { 58 } else { 1 },
        sport: Port::None,
        dport: Port::None,
        icmp: Some(if v6 { 128 } else { 8 }),
        reply: false,
        size: 84,
        df: false,
        ttl: Some(64),
        tos: None,
        mark: Some(0),
        ct: Ct::New,
        track: super::packet::Track::default(),
    }
}

/// `br_netfilter` shows bridged packets to FORWARD, and FORWARD drops them.
fn bridged_drop(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    for bridge in network.links.iter().filter(|link| link.kind() == Some("bridge") && link.is_up()) {
        let ports: Vec<&str> = network.ports(&bridge.ifname).map(|port| port.ifname.as_str()).take(2).collect();
        let [from, to] = ports.as_slice() else { continue };
        // Two stations of the subnet of the bridge, or of any: the rules may tell them apart.
        let subnet = network.addrs_of(&bridge.ifname).find(|addr| addr.ip.is_ipv4());
        let mut hosts =
            subnet.and_then(|addr| ipnet::IpNet::new(addr.ip, addr.len).ok()).into_iter().flat_map(|net| net.hosts());
        let any = |last: u8| IpAddr::from([10, 0, 0, last]);
        let (src, dst) = (hosts.next().unwrap_or(any(1)), hosts.next().unwrap_or(any(2)));
        let mut walk = Walk::new(net);
        walk.bridge_netfilter(ns, bridge, Some(from), Some(to), &packet(src, dst));
        findings.append(&mut walk.faults);
    }
}

/// The strict reverse path filter drops what a neighbour sends by the route that it has.
fn strict_reverse_path(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    for link in network.links.iter().filter(|link| link.is_up() && !link.is_loopback()) {
        let dev = link.ifname.as_str();
        let strict = ["all", dev].iter().map(|name| net.setting(ns, &format!("ipv4/conf/{name}/rp_filter"))).max();
        if strict != Some(1) {
            continue;
        }
        let mut walk = Walk::new(net);
        for station in walk.flood(ns, dev).iter().filter(|station| station.ns != ns) {
            let there = net.ns(station.ns);
            for route in there.routes.iter().filter(|route| route.dev.as_deref() == Some(&station.dev)) {
                let hop = route.next_hop().filter(IpAddr::is_ipv4);
                let Some(hop) = hop.filter(|hop| network.addrs_of(dev).any(|addr| addr.ip == *hop)) else { continue };
                let own = there.addrs_of(&station.dev).find(|addr| addr.covers(hop)).map(|addr| addr.ip);
                let Some(src) = route.prefsrc.as_deref().and_then(|ip| ip.parse().ok()).or(own) else { continue };
                let sent = packet(src, hop);
                if let Err((said, line)) = walk.route(ns, &sent, Some(dev)) {
                    walk.rp_filter(ns, &sent, dev, &said, &line);
                }
            }
        }
        findings.append(&mut walk.faults);
    }
}

/// Rules in both backends of iptables: each hides from the other's `iptables -S`.
fn both_backends(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    for v6 in [false, true] {
        let tables = net.tables(ns, v6);
        let (legacy, nft): (Vec<_>, Vec<_>) =
            tables.into_iter().filter(|tables| tables.holds_rules()).partition(|tables| tables.legacy);
        let (Some(legacy), Some(nft)) = (legacy.first(), nft.first()) else { continue };
        let at = &net.ns(ns).at;
        findings.push(
            Culprit::new("NF_POLICY_DROP", at, "rules", format!("{} and {}", nft.tool(), legacy.tool()))
                .value("both backends")
                .says(format!(
                    "{at} has rules of {} and of {}: a packet passes both, and each tool shows only its own",
                    nft.tool(),
                    legacy.tool()
                ))
                .because(Label::State, format!("{}-save and {}-save in {at}", nft.tool(), legacy.tool()))
                .advise("keep the rules in one of them"),
        );
    }
}

fn link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Two links of one namespace whose subnets overlap: one of them never gets an answer.
fn overlapping(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    let shared = |addr: &&Addr| {
        let host = if addr.ip.is_ipv4() { 32 } else { 128 };
        addr.dev != "lo"
            && addr.len < host
            && addr.len > 0
            && !link_local(addr.ip)
            && network.link(&addr.dev).is_some_and(|link| link.is_up() && link.master.is_none())
    };
    let addrs: Vec<&Addr> = network.addrs.iter().filter(shared).collect();
    for (index, one) in addrs.iter().enumerate() {
        for other in addrs.iter().skip(index + 1).filter(|other| other.dev != one.dev) {
            if one.ip.is_ipv6() != other.ip.is_ipv6() || !(one.covers(other.ip) || other.covers(one.ip)) {
                continue;
            }
            let at = &network.at;
            findings.push(
                Culprit::new("PREFIX_MISMATCH", at, "address", format!("{}/{}", other.ip, other.len))
                    .value(other.dev.clone())
                    .says(format!(
                        "the subnets of {}/{} on {} and {}/{} on {} overlap in {at}: what is behind one of the links is looked for behind the other",
                        one.ip, one.len, one.dev, other.ip, other.len, other.dev
                    ))
                    .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", one.ip, one.len, one.dev))
                    .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", other.ip, other.len, other.dev))
                    .advise("give one of the links another subnet, or a longer prefix"),
            );
        }
    }
}

/// IPv6 addresses that are not usable.
fn unusable_v6(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    // A link-local address is tentative for a second whenever a link comes up.
    for addr in net.ns(ns).addrs.iter().filter(|addr| addr.dadfailed || (addr.tentative && !link_local(addr.ip))) {
        let mut walk = Walk::new(net);
        walk.tentative(ns, addr.ip);
        findings.append(&mut walk.faults);
    }
}

/// One segment: addresses that two have, and ends that take packets of different sizes.
fn segment(net: &Net, ns: usize, dev: &str, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    if network.addrs_of(dev).next().is_none() {
        return;
    }
    let walk = Walk::new(net);
    let mtu = network.link(dev).and_then(|link| link.mtu);
    for station in walk.flood(ns, dev) {
        let there = net.ns(station.ns);
        // Each pair once.
        if station.ns <= ns || there.addrs_of(&station.dev).next().is_none() {
            continue;
        }
        let (here, far) = (format!("{}/{dev}", network.at), format!("{}/{}", there.at, station.dev));
        for addr in network.addrs_of(dev).filter(|addr| there.addrs_of(&station.dev).any(|theirs| theirs.ip == addr.ip))
        {
            findings.push(
                Culprit::new("ADDR_DUPLICATE", &there.at, "address", addr.ip.to_string())
                    .value(format!("{here} and {far}"))
                    .says(format!("{} is on {here} and on {far}: whoever answers ARP first gets the packets", addr.ip))
                    .because(Label::State, format!("ip addr: {} in {} and in {}", addr.ip, network.at, there.at))
                    .advise("remove one of them"),
            );
        }
        let theirs = there.link(&station.dev).and_then(|link| link.mtu);
        let (Some(mtu), Some(theirs)) = (mtu, theirs) else { continue };
        if mtu != theirs {
            let (small, name, least, most) = if mtu < theirs {
                (&network.at, dev, mtu, theirs)
            } else {
                (&there.at, station.dev.as_str(), theirs, mtu)
            };
            findings.push(
                Culprit::new("MTU_L2_MISMATCH", small, "link", name)
                    .value(format!("mtu {least}"))
                    .says(format!("{here} takes {mtu} bytes and {far}, on the same segment, {theirs}: bigger packets vanish without a word"))
                    .because(Label::State, format!("ip link: mtu {mtu} on {here}, mtu {theirs} on {far}"))
                    .fix(&format!("ip link set dev {name} mtu {most}")),
            );
        }
    }
}
