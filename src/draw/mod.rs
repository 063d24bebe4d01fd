//! The live network as text: read from the kernel, drawn for a terminal of 80 columns.

use std::fmt::Write as _;

use crate::error::Result;
use crate::model::link::{Link, Peer};
use crate::model::{link, net_addr, route};
use crate::op::route::Family;
use crate::op::{self, Where};
use crate::session::Session;

/// The network of all namespaces at one moment.
#[derive(Debug)]
pub struct Topology {
    /// Each namespace, the host first.
    pub namespaces: Vec<Namespace>,
}

/// One namespace.
#[derive(Debug)]
pub struct Namespace {
    /// Which one.
    pub at: Where,
    /// Its links.
    pub links: Vec<Link>,
    /// The addresses of each link, by its name.
    pub addrs: Vec<(String, Vec<String>)>,
    /// Its default gateways.
    pub gateways: Vec<String>,
    /// Whether it forwards IPv4.
    pub forwards: bool,
    /// NAT rules, as iptables prints them.
    pub nat: Vec<String>,
}

impl Topology {
    /// Reads the live network. A namespace that vanishes meanwhile is left out.
    ///
    /// # Errors
    ///
    /// When a tool fails otherwise.
    pub fn read(session: &Session) -> Result<Self> {
        let mut namespaces = Vec::new();
        for at in session.everywhere() {
            if !session.netns_exists(&at) {
                continue;
            }
            namespaces.push(Namespace::read(session, at)?);
        }
        Ok(Self { namespaces })
    }

    /// The other end of a veth, as `netns/link`.
    fn peer(&self, of: &Namespace, link: &Link) -> Option<String> {
        match link.peer()? {
            Peer::Here(name) => Some(name),
            Peer::Elsewhere { ifindex, .. } => self.namespaces.iter().find_map(|other| {
                let back = |end: &&Link| end.ifindex == ifindex && end.peer_index() == Some(link.ifindex);
                let end = other.links.iter().find(back).filter(|_| other.at != of.at)?;
                Some(format!("{}/{}", display(&other.at), end.ifname))
            }),
        }
    }

    /// The drawing.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for namespace in &self.namespaces {
            if !out.is_empty() {
                out.push('\n');
            }
            self.draw(namespace, &mut out);
        }
        out.trim_end().to_owned()
    }

    fn draw(&self, namespace: &Namespace, out: &mut String) {
        let forwards = if namespace.forwards { "  forwarding" } else { "" };
        let _ = writeln!(out, "{}{forwards}", display(&namespace.at));
        let top: Vec<&Link> = namespace
            .links
            .iter()
            .filter(|link| link.master.is_none() && (!link.is_loopback() || namespace.own_loopback().is_some()))
            .collect();
        let last = top.len() + namespace.gateways.len() + namespace.nat.len();
        let mut drawn = 0;
        let mut branch = |out: &mut String, text: &str| {
            drawn += 1;
            let _ = writeln!(out, "{} {text}", if drawn == last { "└──" } else { "├──" });
            if drawn == last { "    " } else { "│   " }
        };
        for link in top {
            let stem = branch(out, &self.line(namespace, link));
            let ports: Vec<&Link> =
                namespace.links.iter().filter(|port| port.master.as_deref() == Some(link.ifname.as_str())).collect();
            for (index, port) in ports.iter().enumerate() {
                let corner = if index + 1 == ports.len() { "└──" } else { "├──" };
                let _ = writeln!(out, "{stem}{corner} {}", self.line(namespace, port));
            }
        }
        for gateway in &namespace.gateways {
            branch(out, &format!("default via {gateway}"));
        }
        for rule in &namespace.nat {
            branch(out, &format!("nat {rule}"));
        }
    }

    fn line(&self, namespace: &Namespace, link: &Link) -> String {
        let mut line = link.ifname.clone();
        if let Some(kind) = link.kind().filter(|kind| *kind != "veth") {
            let _ = write!(line, " ({kind})");
        }
        for addr in namespace.addrs_of(&link.ifname) {
            let _ = write!(line, " {addr}");
        }
        if !link.is_up() {
            line.push_str(" down");
        } else if !link.has_carrier() && !link.is_loopback() {
            line.push_str(" no-carrier");
        }
        if let Some(peer) = self.peer(namespace, link) {
            let _ = write!(line, " ── {peer}");
        }
        line
    }
}

impl Namespace {
    fn read(session: &Session, at: Where) -> Result<Self> {
        let text = session.query(&op::link::show_all(&at))?;
        let links = link::parse(&text, "ip address show")?;
        let addrs = net_addr::parse(&text, "ip address show")?;
        let mut gateways = Vec::new();
        for family in [Family::V4, Family::V6] {
            let text = session.query(&op::route::show(&at, family, "default", None))?;
            let routes = route::parse(&text, "ip route show")?;
            gateways.extend(routes.iter().filter_map(|route| Some(route.next_hop()?.to_string())));
        }
        let forwards = session.sysctl_get(&at, "net.ipv4.ip_forward").is_ok_and(|value| value == "1");
        let rules = session.firewall_rules(&at, Family::V4, Some("nat")).unwrap_or_default();
        let nat = rules
            .tables
            .iter()
            .flat_map(|table| &table.chains)
            .flat_map(|chain| chain.rules.iter().map(|rule| rule.text().to_owned()))
            .collect();
        let shown = |net: &ipnet::IpNet| match net.addr() {
            std::net::IpAddr::V6(ip) => !ip.is_unicast_link_local(),
            std::net::IpAddr::V4(_) => true,
        };
        let addrs = addrs
            .iter()
            .map(|addr| (addr.ifname.clone(), addr.ipnets().filter(shown).map(|net| net.to_string()).collect()))
            .collect();
        Ok(Self { at, links, addrs, gateways, forwards, nat })
    }

    fn addrs_of<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a str> {
        let usual = move |addr: &&str| link == "lo" && matches!(*addr, "127.0.0.1/8" | "::1/128");
        let of_link = self.addrs.iter().filter(move |(name, _)| name == link);
        of_link.flat_map(|(_, addrs)| addrs.iter().map(String::as_str)).filter(move |addr| !usual(addr))
    }

    /// An address on the loopback link beyond the usual ones.
    fn own_loopback(&self) -> Option<&str> {
        self.addrs_of("lo").next()
    }
}

/// The name of a namespace; the sandbox's internet has none of `ip netns`.
fn display(at: &Where) -> String {
    match at {
        Where::Path(path) if path == std::path::Path::new(crate::sandbox::INTERNET) => "the internet".to_owned(),
        other => other.name(),
    }
}
