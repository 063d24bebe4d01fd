//! What kills packets silently on this machine, whoever sends them: the part of `why` that needs no destination.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use super::codes::Code;
use super::finding::{Culprit, Label};
use super::packet::{Ct, Packet, Port};
use super::segment::{Joined, joined};
use super::state::{Addr, Net};
use super::walk::Walk;
use crate::error::Result;
use crate::model::link::Link;
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
    net.read_rules();
    let mut findings = Vec::new();
    for ns in 0..net.all.len() {
        bridged_drop(&net, ns, &mut findings);
        strict_reverse_path(&net, ns, &mut findings);
        both_backends(&net, ns, &mut findings);
        overlapping(&net, ns, &mut findings);
        unusable_v6(&net, ns, &mut findings);
        unadvertised(&net, ns, &mut findings);
        pinned(&net, ns, &mut findings);
        dead_bridges(&net, ns, &mut findings);
        floating_bridges(&net, ns, &mut findings);
        snooped(&net, ns, &mut findings);
    }
    for links in joined(&net) {
        odd_ones(&net, &links, &mut findings);
    }
    // What nobody could read was not looked at.
    let namespaces = net.all.iter().filter(|ns| ns.unread.is_none()).count();
    findings.extend(super::unread::all(&net));
    Ok(Survey { namespaces, findings })
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
        past: super::packet::Past::default(),
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
        let v6 = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        for (src, dst) in [(src, dst), (v6(1), v6(2))] {
            let mut walk = Walk::new(net);
            walk.bridge_netfilter(ns, bridge, Some(from), Some(to), &packet(src, dst));
            findings.append(&mut walk.faults);
        }
    }
}

/// A router that has an address from router advertisements, and takes no default route from them.
fn unadvertised(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let bare = Culprit::new(Code::RouteMissing, &net.ns(ns).at, "route", "default");
    let told = Walk::new(net).unadvertised(ns, true, bare);
    if !told.fix.is_empty() {
        let message = format!("{} has no default route for IPv6{}", net.ns(ns).at, told.message);
        findings.push(told.says(message));
    }
}

/// Neighbours that are pinned to a hardware address that their holder does not have.
fn pinned(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    for entry in network.neighs.iter().filter(|entry| entry.state.iter().any(|state| state == "PERMANENT")) {
        let Some(mac) = entry.mac.as_deref() else { continue };
        let stations = Walk::new(net).stations(ns, &entry.dev);
        let has = |(at, dev): &(usize, &str), mac: &str| {
            let link = net.ns(*at).link(dev);
            link.and_then(|link| link.address.as_deref()).is_some_and(|own| own.eq_ignore_ascii_case(mac))
        };
        let holds = |(at, dev): &(usize, &str)| *at != ns && net.ns(*at).addrs_of(dev).any(|addr| addr.ip == entry.ip);
        let holder = stations.into_iter().find(holds).filter(|holder| !has(holder, mac));
        let Some((holder, holder_dev)) = holder else { continue };
        let (at, there) = (&network.at, &net.ns(holder).at);
        let right = net.ns(holder).link(holder_dev).and_then(|link| link.address.clone()).unwrap_or_default();
        findings.push(
            Culprit::new(Code::NeighStaticWrong, at, "neighbour", format!("{} dev {}", entry.ip, entry.dev))
                .value(mac)
                .says(format!(
                    "{at} has a permanent neighbour entry: {} is at {mac} on {}; it is {there}/{}, at {right}",
                    entry.ip, entry.dev, holder_dev
                ))
                .because(
                    Label::State,
                    format!("ip neigh in {at}: {} dev {} lladdr {mac} PERMANENT", entry.ip, entry.dev),
                )
                .fix(&format!("ip neigh replace {} lladdr {right} dev {} nud permanent", entry.ip, entry.dev)),
        );
    }
}

/// A bridge without ports keeps its subnet from being reached by the way that a wider route knows.
fn dead_bridges(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    for bridge in network.links.iter().filter(|link| link.kind() == Some("bridge") && link.is_up()) {
        if network.ports(&bridge.ifname).next().is_some() {
            continue;
        }
        for addr in network.addrs_of(&bridge.ifname).filter(|addr| !link_local(addr.ip)) {
            let wider = network.routes.iter().find(|route| {
                route.kind() == "unicast"
                    && !route.is_default()
                    && route.dev.as_ref().is_some_and(|dev| *dev != bridge.ifname)
                    && route.destination().is_some_and(|net| net.prefix_len() < addr.len && net.contains(&addr.ip))
            });
            let owner = net.all.iter().enumerate().find_map(|(other, there)| {
                let theirs = there.addrs.iter().find(|theirs| addr.covers(theirs.ip) && theirs.dev != "lo")?;
                (other != ns).then(|| format!("{} in {}", theirs.ip, there.at))
            });
            let why = match (wider, owner) {
                (Some(route), _) => format!("shadows `{}`", super::routes::route_text(route)),
                (None, Some(owner)) => format!("hides {owner}"),
                (None, None) => continue,
            };
            let at = &network.at;
            findings.push(
                Culprit::new(Code::RouteWrongNexthop, at, "link", bridge.ifname.clone())
                    .value(format!("{}/{}", addr.ip, addr.len))
                    .says(format!(
                        "{at}/{} is a bridge without any port, and its subnet {}/{} {why}: what is for it goes nowhere",
                        bridge.ifname, addr.ip, addr.len
                    ))
                    .because(Label::State, format!("bridge link in {at}: no port of {}", bridge.ifname))
                    .fix(&format!("ip link set dev {} down", bridge.ifname)),
            );
        }
    }
}

/// `NET_ADDR_SET` of the kernel (include/uapi/linux/netdevice.h): somebody gave the link its address.
const ADDRESS_SET: &str = "3";

/// A bridge to which nobody gave an address has the lowest of its ports' (`br_stp_recalculate_bridge_id`), and another one as soon as that port goes or a
/// lower one comes. Where that is a network card it stays; where it is a cable to a container it does not.
fn floating_bridges(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    // `/sys` shows the links of one namespace, which need not even be this one: elsewhere nobody can say, so nothing is said.
    let floats = |bridge: &Link| {
        let says = |file: &str, value: &str| {
            let path = format!("/sys/class/net/{}/{file}", bridge.ifname);
            std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
        };
        network.at == Where::Host
            && says("ifindex", &bridge.ifindex.to_string())
            && !says("addr_assign_type", ADDRESS_SET)
    };
    for bridge in network.links.iter().filter(|link| link.kind() == Some("bridge") && link.is_up()) {
        let lowest =
            network.ports(&bridge.ifname).filter(|port| port.address.is_some()).min_by_key(|port| &port.address);
        let Some(port) = lowest.filter(|port| port.kind().is_some() && port.address == bridge.address) else {
            continue;
        };
        let speaks = network.addrs_of(&bridge.ifname).any(|addr| !link_local(addr.ip));
        if !speaks || !floats(bridge) {
            continue;
        }
        let (at, name, mac) = (&network.at, &bridge.ifname, bridge.address.clone().unwrap_or_default());
        findings.push(
            Culprit::new(Code::BridgeMacFloats, at, "link", name.clone())
                .value(mac.clone())
                .says(format!(
                    "{at}/{name} has the MAC address of its port {}: it gets another one when that port goes or one with a lower address comes, \
                     and who knows the old one loses it for seconds",
                    port.ifname
                ))
                .because(Label::State, format!("ip link in {at}: {name} and {} are both at {mac}", port.ifname))
                .fix(&format!("ip link set dev {name} address {mac}")),
        );
    }
}

/// A bridge that snoops multicast, has a querier, and ports of IPv6 stations that joined no group: neighbour discovery does not get to them.
fn snooped(net: &Net, ns: usize, findings: &mut Vec<Culprit>) {
    let network = net.ns(ns);
    for bridge in network.links.iter().filter(|link| link.kind() == Some("bridge") && link.is_up()) {
        let mut walk = Walk::new(net);
        for port in network.ports(&bridge.ifname).filter(|port| port.is_up()) {
            let Some((there, far)) = net.peer(ns, port) else { continue };
            let own = net
                .ns(there)
                .addrs_of(&far.ifname)
                .find(|addr| addr.ip.is_ipv6() && !link_local(addr.ip) && !addr.tentative);
            let Some(group) = own.and_then(|addr| super::segment::solicited(addr.ip)) else { continue };
            if !walk.snooped(ns, &bridge.ifname, &port.ifname, group, (there, &far.ifname)) {
                break;
            }
        }
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
        for (at, far) in walk.stations(ns, dev).into_iter().filter(|(at, _)| *at != ns) {
            let there = net.ns(at);
            for route in there.routes.iter().filter(|route| route.dev.as_deref() == Some(far)) {
                let hop = route.next_hop().filter(IpAddr::is_ipv4);
                let Some(hop) = hop.filter(|hop| network.addrs_of(dev).any(|addr| addr.ip == *hop)) else { continue };
                let own = there.addrs_of(far).find(|addr| addr.covers(hop)).map(|addr| addr.ip);
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
            Culprit::new(Code::NfPolicyDrop, at, "rules", format!("{} and {}", nft.tool(), legacy.tool()))
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
                Culprit::new(Code::PrefixMismatch, at, "address", format!("{}/{}", other.ip, other.len))
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

/// What stands out in one segment: addresses that two have, and ends that take packets of another size than most. A frame is followed only from such a
/// link: in a segment of a thousand, to follow one from each is a million ways.
fn odd_ones(net: &Net, links: &[Joined<'_>], findings: &mut Vec<Culprit>) {
    let speaks = |(ns, link): &&Joined<'_>| !link.is_loopback() && net.ns(*ns).addrs_of(&link.ifname).next().is_some();
    let links: Vec<&Joined<'_>> = links.iter().filter(speaks).collect();
    let mut holders: HashMap<IpAddr, BTreeSet<usize>> = HashMap::new();
    let mut sizes: HashMap<u32, usize> = HashMap::new();
    for (ns, link) in links.iter().copied() {
        for addr in net.ns(*ns).addrs_of(&link.ifname) {
            holders.entry(addr.ip).or_default().insert(*ns);
        }
        *sizes.entry(link.mtu.unwrap_or_default()).or_default() += 1;
    }
    // Of two that are as many the larger: the smaller end is what is told.
    let usual = sizes.into_iter().max_by_key(|(mtu, count)| (*count, *mtu)).map(|(mtu, _)| mtu);
    // Each pair once.
    let mut told: HashSet<(usize, usize, IpAddr)> = HashSet::new();
    let mut told_sizes: HashSet<[(usize, &str); 2]> = HashSet::new();
    let walk = Walk::new(net);
    for (ns, link) in links.into_iter().filter(|(_, link)| link.is_up()) {
        let (network, dev) = (net.ns(*ns), link.ifname.as_str());
        let shared: Vec<&Addr> = network
            .addrs_of(dev)
            .filter(|addr| holders.get(&addr.ip).is_some_and(|holders| holders.len() > 1))
            .collect();
        if shared.is_empty() && link.mtu == usual {
            continue;
        }
        let stations: Vec<(usize, &str)> = walk
            .stations(*ns, dev)
            .into_iter()
            .filter(|(at, far)| at != ns && net.ns(*at).addrs_of(far).next().is_some())
            .collect();
        for (at, far) in &stations {
            for addr in shared.iter().filter(|addr| net.ns(*at).addrs_of(far).any(|theirs| theirs.ip == addr.ip)) {
                let (first, last) = ((*ns).min(*at), (*ns).max(*at));
                if told.insert((first, last, addr.ip)) {
                    let (one, other) = if first == *ns { ((*ns, dev), (*at, *far)) } else { ((*at, *far), (*ns, dev)) };
                    findings.push(duplicate(net, one, other, addr.ip));
                }
            }
        }
        // Of an end of the usual size the others tell.
        if link.mtu == usual {
            continue;
        }
        let mut others: BTreeMap<u32, Vec<(usize, &str)>> = BTreeMap::new();
        for (at, far) in &stations {
            if let Some(theirs) = net.ns(*at).link(far).and_then(|there| there.mtu)
                && link.mtu.is_some_and(|mtu| mtu != theirs)
                && told_sizes.insert({
                    let mut pair = [(*ns, dev), (*at, *far)];
                    pair.sort_unstable();
                    pair
                })
            {
                others.entry(theirs).or_default().push((*at, far));
            }
        }
        findings.extend(others.iter().filter_map(|(theirs, others)| other_mtu(net, (*ns, link), *theirs, others)));
    }
}

fn duplicate(net: &Net, (ns, dev): (usize, &str), (at, far): (usize, &str), ip: IpAddr) -> Culprit {
    let (network, there) = (net.ns(ns), net.ns(at));
    let (here, far) = (format!("{}/{dev}", network.at), format!("{}/{far}", there.at));
    Culprit::new(Code::AddrDuplicate, &there.at, "address", ip.to_string())
        .value(format!("{here} and {far}"))
        .says(format!("{ip} is on {here} and on {far}: whoever answers ARP first gets the packets"))
        .because(Label::State, format!("ip addr: {ip} in {} and in {}", network.at, there.at))
        .advise("remove one of them")
}

/// A link that takes packets of another size than `others` of its segment do.
fn other_mtu(net: &Net, (ns, link): Joined<'_>, theirs: u32, others: &[(usize, &str)]) -> Option<Culprit> {
    let (mtu, ((at, far), more)) = (link.mtu?, others.split_first()?);
    let (network, there, dev) = (&net.ns(ns).at, &net.ns(*at).at, link.ifname.as_str());
    let (here, far_end) = (format!("{network}/{dev}"), format!("{there}/{far}"));
    let (small, name) = if mtu < theirs { (network, dev) } else { (there, *far) };
    let (least, most) = (mtu.min(theirs), mtu.max(theirs));
    let more = match more.len() {
        0 => String::new(),
        1 => " (and so does another one)".to_owned(),
        count => format!(" (and so do {count} others)"),
    };
    Some(
        Culprit::new(Code::MtuL2Mismatch, small, "link", name)
            .value(format!("mtu {least}"))
            .says(format!(
                "{here} takes {mtu} bytes and {far_end}, on the same segment, {theirs}{more}: bigger packets vanish without a word"
            ))
            .because(Label::State, format!("ip link: mtu {mtu} on {here}, mtu {theirs} on {far_end}"))
            .fix(&format!("ip link set dev {name} mtu {most}")),
    )
}
