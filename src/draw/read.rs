//! The kernel's answer as a topology.

use std::collections::HashMap;

use super::{End, Link, Namespace, Role, State, Topology};
use crate::error::Result;
use crate::model::link::{self, Peer};
use crate::model::{net_addr, netns, route};
use crate::op::route::Family;
use crate::op::{self, Command, Tool, Where};
use crate::session::Session;

/// A namespace and its links as the kernel has them, while peers are looked up.
struct Seen {
    at: Where,
    links: Vec<link::Link>,
    /// The named namespaces by the ids that this one has for them.
    ids: HashMap<i32, String>,
}

impl Topology {
    /// Reads the live network. A namespace that vanishes meanwhile is left out.
    ///
    /// # Errors
    ///
    /// When a tool fails otherwise.
    pub fn read(session: &Session) -> Result<Self> {
        let mut all = Vec::new();
        for at in session.everywhere() {
            if !session.netns_exists(&at) {
                continue;
            }
            match read(session, &at) {
                Ok((namespace, links)) => {
                    let ids = ids(session, &at, &links);
                    all.push((namespace, Seen { at, links, ids }));
                }
                Err(_) if !session.netns_exists(&at) => {}
                Err(error) => return Err(error),
            }
        }
        let (mut namespaces, seen): (Vec<Namespace>, Vec<Seen>) = all.into_iter().unzip();
        for (namespace, from) in namespaces.iter_mut().zip(&seen) {
            for (link, raw) in namespace.links.iter_mut().zip(&from.links) {
                link.peer = peer(&seen, from, raw);
            }
        }
        Ok(Self { namespaces, culprit: None })
    }
}

/// The ids that a namespace has for others; asked only where a cable leads out of it.
fn ids(session: &Session, at: &Where, links: &[link::Link]) -> HashMap<i32, String> {
    if !links.iter().any(|link| matches!(link.peer(), Some(Peer::Elsewhere { .. }))) {
        return HashMap::new();
    }
    let listed = session.query(&Command::new(Tool::Ip, at, ["-j", "netns", "list"])).unwrap_or_default();
    let entries = netns::parse(&listed).unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((entry.id?, entry.name))).collect()
}

/// The other end of a veth. In a chain of routers all indices are alike, so the namespace ids have to agree too, from both sides.
fn peer(seen: &[Seen], from: &Seen, link: &link::Link) -> Option<End> {
    match link.peer()? {
        Peer::Here(name) => Some(End { netns: name_of(&from.at), link: name }),
        Peer::Elsewhere { ifindex, netnsid } => {
            seen.iter().filter(|other| other.at != from.at && may_be(from, netnsid, &other.at)).find_map(|other| {
                let end = other.links.iter().find(|end| match end.peer() {
                    Some(Peer::Elsewhere { ifindex: back, netnsid }) => {
                        end.ifindex == ifindex && back == link.ifindex && may_be(other, netnsid, &from.at)
                    }
                    _ => false,
                })?;
                Some(End { netns: name_of(&other.at), link: end.ifname.clone() })
            })
        }
    }
}

/// Whether the namespace that `of` knows by this id can be `at`. The host and what a path names have no name to compare.
fn may_be(of: &Seen, id: Option<i32>, at: &Where) -> bool {
    match (id.and_then(|id| of.ids.get(&id)), at) {
        (Some(name), Where::Named(other)) => name == other,
        (Some(_), Where::Host) | (None, Where::Named(_)) => false,
        (_, Where::Path(_)) | (None, Where::Host) => true,
    }
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

fn read(session: &Session, at: &Where) -> Result<(Namespace, Vec<link::Link>)> {
    let text = session.query(&op::link::show_all(at))?;
    let links = link::parse(&text, "ip address show")?;
    let addrs = net_addr::parse(&text, "ip address show")?;
    let addrs_of = |name: &str| -> Vec<String> {
        let of_link = addrs.iter().filter(|addr| addr.ifname == name);
        of_link.flat_map(net_addr::Addr::ipnets).filter(is_shown).map(|net| net.to_string()).collect()
    };
    let shown = links
        .iter()
        .map(|link| Link {
            name: link.ifname.clone(),
            kind: link.kind().map(str::to_owned),
            addrs: addrs_of(&link.ifname),
            state: state_of(link),
            master: link.master.clone(),
            peer: None,
            count: 1,
        })
        .collect();
    let mut routes = Vec::new();
    for family in [Family::V4, Family::V6] {
        let text = session.query(&op::route::show_main(at, family))?;
        let parsed = route::parse(&text, "ip route show")?;
        routes.extend(parsed.iter().filter_map(said));
    }
    let forwards = session.sysctl_get(at, "net.ipv4.ip_forward").is_ok_and(|value| value == "1");
    // A machine without iptables has no NAT of iptables.
    let rules = session.firewall_rules(at, Family::V4, Some("nat")).unwrap_or_default();
    let chains = rules.tables.iter().flat_map(|table| &table.chains);
    let nat = chains.flat_map(|chain| chain.rules.iter().map(|rule| rule.text().to_owned())).collect();
    let role = match at {
        Where::Host => Role::Host,
        Where::Path(path) if path == std::path::Path::new(crate::sandbox::INTERNET) => Role::Internet,
        _ => Role::Netns,
    };
    let namespace = Namespace { name: name_of(at), role, count: 1, links: shown, routes, forwards, nat };
    Ok((namespace, links))
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
    Some(match (route.next_hop(), &route.dev) {
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
