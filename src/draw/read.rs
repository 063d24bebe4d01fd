//! The kernel's answer as a topology.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::ask::{Programs, Raw};
use super::detail::{self, Tunnel};
use super::rules::Said;
use super::{End, Link, Namespace, Role, State, Topology};
use crate::error::{Kind, Result};
use crate::exec::netns::NetnsFile;
use crate::model::link::{self, Peer};
use crate::model::{net_addr, route, rule};
use crate::op::Where;
use crate::session::Session;
use crate::session::ends::{Shown, Spot, ends};

impl Topology {
    /// Reads the live network. A namespace that vanishes meanwhile is left out; one that cannot be read is named.
    ///
    /// # Errors
    ///
    /// When no namespace can be read.
    pub fn read(session: &Session) -> Result<Self> {
        session.settle_all()?;
        let programs = Programs::of(session)?;
        let mut places: Vec<(Where, NetnsFile)> = Vec::new();
        for at in session.everywhere() {
            match session.exec().netns(&at) {
                Ok(file) => places.push((at, file)),
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::InvalidArgument) => {}
                Err(error) => return Err(error),
            }
        }
        let seen = programs.read_all(&places)?;
        let mut namespaces: Vec<Namespace> = seen.iter().map(namespace).collect();
        let shown: Vec<_> = seen.iter().map(|raw| Shown { at: &raw.at, file: &raw.file, links: &raw.links }).collect();
        let far = ends(&shown);
        let tunnels = tunnels(&seen);
        let end = |(n, l): Spot| End { netns: name_of(&seen[n].at), link: seen[n].links[l].ifname.clone() };
        for (n, (namespace, raw)) in namespaces.iter_mut().zip(&seen).enumerate() {
            for (l, (link, seen)) in namespace.links.iter_mut().zip(&raw.links).enumerate() {
                link.far = tunnels.get(&(n, l)).map(|spot| end(*spot));
                let other = match (seen.kind(), seen.peer(), seen.parent()) {
                    (_, Some(Peer::Here(name)), _) => Some(End { netns: name_of(&raw.at), link: name }),
                    (Some(_), None, Some(name)) => Some(End { netns: name_of(&raw.at), link: name.to_owned() }),
                    _ => far.get(&(n, l)).map(|spot| end(*spot)),
                };
                if seen.kind() == Some("veth") { link.peer = other } else { link.parent = other }
            }
        }
        Ok(Self { namespaces, culprit: None })
    }
}

/// The other ends of tunnels: those that lead to an address of the other's namespace, and from there back. One that fits two is drawn to none.
fn tunnels(seen: &[Raw]) -> HashMap<Spot, Spot> {
    let mut owners: HashMap<IpAddr, BTreeSet<usize>> = HashMap::new();
    let mut ends: Vec<(Spot, Tunnel)> = Vec::new();
    for (n, raw) in seen.iter().enumerate() {
        ends.extend(raw.links.iter().enumerate().filter_map(|(l, link)| Some(((n, l), Tunnel::of(link)?))));
        for net in raw.addrs.iter().flat_map(net_addr::Addr::ipnets) {
            owners.entry(net.addr()).or_default().insert(n);
        }
    }
    let owns = |n: usize, ip: IpAddr| owners.get(&ip).is_some_and(|owners| owners.contains(&n));
    let mut by_remote: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for (index, (_, tunnel)) in ends.iter().enumerate() {
        by_remote.entry(tunnel.remote).or_default().push(index);
    }
    let mut found = HashMap::new();
    for ((n, l), tunnel) in &ends {
        // Those that lead here: to the address that is fixed, or to any of this namespace.
        let leads_here: Vec<&usize> = match tunnel.local {
            Some(local) => by_remote.get(&local).into_iter().flatten().collect(),
            None => by_remote.iter().filter(|(ip, _)| owns(*n, **ip)).flat_map(|(_, all)| all).collect(),
        };
        let fits = |index: &&usize| {
            let ((other, link), end) = &ends[**index];
            (*other, *link) != (*n, *l) && tunnel.fits(end) && owns(*other, tunnel.remote) && owns(*n, end.remote)
        };
        let fitting: Vec<&usize> = leads_here.into_iter().filter(fits).collect();
        if let [one] = fitting.as_slice() {
            found.insert((*n, *l), ends[**one].0);
        }
    }
    // Both have to agree.
    found.iter().filter(|(from, to)| found.get(to) == Some(from)).map(|(from, to)| (*from, *to)).collect()
}

/// Whether packets pass a link.
#[must_use]
pub fn state_of(link: &link::Link) -> State {
    if !link.is_up() {
        State::Down
    } else if link.has_carrier() || link.is_loopback() {
        State::Up
    } else {
        State::NoCarrier
    }
}

fn namespace(raw: &Raw) -> Namespace {
    let links = raw.links.iter().zip(&raw.addrs).map(|(link, addr)| Link {
        name: link.ifname.clone(),
        kind: link.kind().map(str::to_owned),
        addrs: addr.ipnets().filter(is_shown).map(|net| net.to_string()).collect(),
        state: state_of(link),
        master: link.master.clone(),
        detail: [detail::of(link), detail::vlans(&raw.vlans, &link.ifname), detail::shape(&raw.qdiscs, &link.ifname)]
            .concat(),
        count: 1,
        ..Link::default()
    });
    let (main, further): (Vec<_>, Vec<_>) =
        raw.routes.iter().partition(|route| matches!(route.table.as_deref(), None | Some("main" | "254")));
    let own = |route: &&&route::Route| !matches!(route.table.as_deref(), Some("local" | "255"));
    let in_table = |route: &&route::Route| Some(format!("{} {}", route.table.as_deref()?, said(route)?));
    let mut rules: Vec<String> = raw.rules[0].iter().filter_map(rule::Rule::said).collect();
    rules.extend(raw.rules[1].iter().filter_map(rule::Rule::said).map(|said| format!("ip6 {said}")));
    let mut words = Said::default();
    for (v6, ruleset) in &raw.saved {
        words.iptables(ruleset, *v6);
    }
    words.nft(&raw.nft, |family, table| {
        let of = |v6: bool| if v6 { "ip6" } else { "ip" };
        raw.saved.iter().any(|(v6, ruleset)| of(*v6) == family && ruleset.table(table).is_some())
    });
    Namespace {
        name: name_of(&raw.at),
        role: match &raw.at {
            Where::Host => Role::Host,
            Where::Path(path) if path == std::path::Path::new(crate::sandbox::INTERNET) => Role::Internet,
            _ => Role::Netns,
        },
        count: 1,
        unread: raw.unread.clone(),
        links: links.collect(),
        routes: main.iter().filter_map(|route| said(route)).collect(),
        tables: further.iter().filter(own).filter_map(in_table).collect(),
        rules,
        forwards: raw.forwards,
        filter: words.filter_lines(),
        nat: words.nat,
    }
}

/// Neither the kernel's own loopback nor link-local addresses.
fn is_shown(net: &ipnet::IpNet) -> bool {
    match net {
        ipnet::IpNet::V4(net) => !net.addr().is_loopback(),
        ipnet::IpNet::V6(net) => !net.addr().is_unicast_link_local() && !net.addr().is_loopback(),
    }
}

/// `default via 10.0.0.254`; nothing for what the kernel adds with an address.
fn said(route: &route::Route) -> Option<String> {
    if route.protocol.as_deref() == Some("kernel") {
        return None;
    }
    let dst = route.dst.as_deref()?;
    let dst = if route.kind() == "unicast" { dst.to_owned() } else { format!("{} {dst}", route.kind()) };
    let wrapped = |encap: &Option<String>| encap.as_ref().map(|encap| format!(" encap {encap}")).unwrap_or_default();
    let hop = |hop: &route::NextHop| {
        let via = hop.gateway.clone().or(hop.via.as_ref().map(|via| via.host.clone()))?;
        Some(format!("{via}{}", wrapped(&hop.encap)))
    };
    let hops: Vec<String> = route.nexthops.iter().filter_map(hop).collect();
    let dst = format!("{dst}{}", wrapped(&route.encap));
    Some(match (route.next_hop(), &route.dev) {
        _ if !hops.is_empty() => format!("{dst} via {}", hops.join(" or ")),
        (Some(hop), _) => format!("{dst} via {hop}"),
        (None, Some(dev)) => format!("{dst} dev {dev}"),
        (None, None) => dst,
    })
}

/// The name of a namespace; the sandbox's internet has none of `ip netns`.
#[must_use]
pub fn name_of(at: &Where) -> String {
    match at {
        Where::Path(path) if path == std::path::Path::new(crate::sandbox::INTERNET) => "the internet".to_owned(),
        other => other.name(),
    }
}
