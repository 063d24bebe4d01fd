//! What needs no look: a namespace that this run just made holds nothing but what this run put there.
//!
//! A look costs a question to the kernel and, in a new namespace, the wait for its warm `ip` to start. So what is known by construction is not
//! asked. The knowledge ends as soon as anything acts that netwright does not understand.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::model::iptables;
use crate::op::link::Setting;
use crate::op::route::Family;
use crate::op::{Fact, Op, Tool, Where};

/// How long a look at a link of others holds: while a script gives it one address after the other. Whatever is decided by a look may have
/// changed by the time it is decided; a list of 1000 addresses alone takes 30 ms.
const LOOK_HOLDS: Duration = Duration::from_millis(250);

/// What is known of the namespaces that this run made, and of bridges that it saw.
#[derive(Debug, Default)]
pub(super) struct Known {
    namespaces: HashMap<Where, Fresh>,
    bridges: HashSet<(Where, String)>,
    /// The links of namespaces at the last look around, and those made since.
    links: HashMap<Where, HashSet<String>>,
    /// The addresses of links at the last look, and those added since.
    addresses: HashMap<(Where, String), HashSet<IpNet>>,
    /// When the addresses of a link were last listed, as long as nothing but addresses was added since.
    listed: HashMap<(Where, String), Instant>,
    /// When the index of a link was last asked for, and which it is, as long as nothing but addresses was added since.
    indexes: HashMap<(Where, String), (Instant, u32)>,
    /// The chains of iptables that were looked at, and what was appended since.
    chains: HashMap<ChainAt, Chain>,
}

/// A chain, by namespace, program, table and name.
pub(super) type ChainAt = (Where, Tool, String, String);

/// What is known of the rules of a chain.
#[derive(Clone, Debug, Default)]
struct Chain {
    /// How many there are.
    length: usize,
    /// What they are like ([`iptables::likeness`]).
    like: HashSet<String>,
    /// Of some it cannot be told what they are like.
    vague: bool,
}

impl Chain {
    fn take(&mut self, words: &[String]) {
        self.length += 1;
        match iptables::likeness(words) {
            Some(like) => drop(self.like.insert(like)),
            None => self.vague = true,
        }
    }
}

/// A namespace since it was made.
#[derive(Debug, Default)]
struct Fresh {
    links: HashSet<String>,
    /// Those that nobody has set up.
    down: HashSet<String>,
    /// Links with the addresses that they were given.
    addresses: HashSet<(String, IpNet)>,
    routed: HashSet<Family>,
    /// Somebody has changed the rules of its firewall otherwise than by appending what [`Known::append`] was told.
    ruled: bool,
}

/// The chains that every table has.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

impl Known {
    /// There is no link of this name.
    pub(super) fn no_link(&self, netns: &Where, name: &str) -> bool {
        name != "lo" && self.namespaces.get(netns).is_some_and(|fresh| !fresh.links.contains(name))
    }

    /// The link is there and nobody has set it up.
    pub(super) fn is_down(&self, netns: &Where, link: &str) -> bool {
        self.namespaces.get(netns).is_some_and(|fresh| fresh.down.contains(link))
    }

    /// The link is there and nobody gave it this address. The kernel gives addresses by itself, but only local to the link.
    pub(super) fn no_address(&self, netns: &Where, link: &str, addr: IpNet) -> bool {
        let by_kernel = matches!(addr.addr(), IpAddr::V6(addr) if addr.is_unicast_link_local());
        let fresh = self.namespaces.get(netns).filter(|_| !by_kernel);
        fresh.is_some_and(|fresh| fresh.links.contains(link) && !fresh.addresses.contains(&(link.to_owned(), addr)))
    }

    /// The link had no such address when it was looked at, and got none since, as far as this run knows.
    pub(super) fn saw_no_address(&self, netns: &Where, link: &str, addr: IpNet) -> bool {
        self.addresses.get(&(netns.clone(), link.to_owned())).is_some_and(|all| !all.contains(&addr))
    }

    /// The link had this address when it was looked at, a moment ago.
    pub(super) fn saw_address(&self, netns: &Where, link: &str, addr: IpNet) -> bool {
        let key = (netns.clone(), link.to_owned());
        let listed = self.listed.get(&key).is_some_and(|at| at.elapsed() < LOOK_HOLDS);
        listed && self.addresses.get(&key).is_some_and(|all| all.contains(&addr))
    }

    /// The index of a link that was looked at a moment ago.
    pub(super) fn index(&self, netns: &Where, link: &str) -> Option<u32> {
        let (at, index) = self.indexes.get(&(netns.clone(), link.to_owned()))?;
        (at.elapsed() < LOOK_HOLDS).then_some(*index)
    }

    /// The link has this index now.
    pub(super) fn saw_index(&mut self, netns: &Where, link: &str, index: u32) {
        self.indexes.insert((netns.clone(), link.to_owned()), (Instant::now(), index));
    }

    /// These are all the addresses of a link.
    pub(super) fn saw_addresses(&mut self, netns: &Where, link: &str, all: HashSet<IpNet>) {
        let key = (netns.clone(), link.to_owned());
        self.listed.insert(key.clone(), Instant::now());
        self.addresses.insert(key, all);
    }

    /// What was seen of the addresses of a link does not hold any more; whether anything had been seen.
    pub(super) fn forget_addresses(&mut self, netns: &Where, link: &str) -> bool {
        self.addresses.remove(&(netns.clone(), link.to_owned())).is_some()
    }

    /// The rules of a chain.
    pub(super) fn saw_chain(&mut self, at: ChainAt, rules: &[iptables::Rule]) {
        let mut chain = Chain::default();
        for rule in rules {
            chain.take(&rule.words);
        }
        self.chains.insert(at, chain);
    }

    /// Whether the rules of a chain are known: it was looked at, or it is one that a new namespace has.
    pub(super) fn knows_chain(&self, at: &ChainAt) -> bool {
        let fresh = || self.namespaces.get(&at.0).is_some_and(|fresh| !fresh.ruled) && BUILT_IN.contains(&&*at.3);
        self.chains.contains_key(at) || fresh()
    }

    /// Takes a rule that will be appended to a chain that is known: its place there, from 0. `None` when it may be there already.
    pub(super) fn append(&mut self, at: &ChainAt, words: &[String]) -> Option<usize> {
        let chain = self.chains.entry(at.clone()).or_default();
        let like = iptables::likeness(words)?;
        if chain.vague || chain.like.contains(&like) {
            return None;
        }
        chain.take(words);
        Some(chain.length - 1)
    }

    /// Nothing is known of the rules of a namespace any more.
    pub(super) fn forget_chains(&mut self, netns: &Where) {
        self.chains.retain(|(at, ..), _| at != netns);
        if let Some(fresh) = self.namespaces.get_mut(netns) {
            fresh.ruled = true;
        }
    }

    /// Nobody made a route of this family by hand.
    pub(super) fn no_route(&self, netns: &Where, family: Family) -> bool {
        self.namespaces.get(netns).is_some_and(|fresh| !fresh.routed.contains(&family))
    }

    /// Somebody looked at all links of the namespace, or it was made by this run.
    pub(super) fn knows_links(&self, netns: &Where) -> bool {
        self.links.contains_key(netns) || self.namespaces.contains_key(netns)
    }

    /// There was no link of this name, as far as anybody looked.
    pub(super) fn saw_no_link(&self, netns: &Where, name: &str) -> bool {
        self.links.get(netns).is_some_and(|names| !names.contains(name)) || self.no_link(netns, name)
    }

    /// These are all the links of a namespace.
    pub(super) fn saw_links(&mut self, netns: &Where, names: HashSet<String>) {
        self.links.insert(netns.clone(), names);
    }

    /// What was seen of links does not hold any more; whether anything had been seen.
    pub(super) fn forget_links(&mut self) -> bool {
        let knew = !self.links.is_empty() || !self.namespaces.is_empty();
        self.forget();
        knew
    }

    /// The link is a bridge.
    pub(super) fn is_bridge(&self, netns: &Where, name: &str) -> bool {
        self.bridges.contains(&(netns.clone(), name.to_owned()))
    }

    /// The link was seen to be a bridge.
    pub(super) fn saw_bridge(&mut self, netns: &Where, name: &str) {
        self.bridges.insert((netns.clone(), name.to_owned()));
    }

    /// Learns from an op that is about to run.
    pub(super) fn learn(&mut self, op: &Op) {
        let netns = &op.command.netns;
        if !matches!(op.fact(), Some(Fact::Addr(one)) if one.there) {
            self.listed.clear();
            self.indexes.clear();
        }
        match op.fact() {
            // What the user's own words do, nobody knows.
            None | Some(Fact::Moved(_)) => self.forget(),
            Some(Fact::Netns(one)) => {
                let netns = Where::Named(one.name.clone());
                self.namespaces.remove(&netns);
                self.addresses.retain(|(at, _), _| *at != netns);
                self.forget_chains(&netns);
                if one.there {
                    self.namespaces.insert(netns, Fresh::default());
                } else {
                    self.bridges.clear();
                }
            }
            // A deleted link takes its other end, its addresses and its routes with it.
            Some(Fact::Link(link)) if !link.there => self.forget(),
            Some(Fact::Link(link)) => {
                let own = (netns, &link.name);
                let is_up = |end: (&Where, &String)| end == own && link.new.iter().any(|new| new.port_of.is_some());
                for (netns, name) in std::iter::once(own).chain(link.peer.iter().map(|(netns, name)| (netns, name))) {
                    if let Some(names) = self.links.get_mut(netns) {
                        names.insert(name.clone());
                    }
                    if let Some(fresh) = self.namespaces.get_mut(netns) {
                        fresh.links.insert(name.clone());
                        if !is_up((netns, name)) {
                            fresh.down.insert(name.clone());
                        }
                    }
                }
            }
            Some(Fact::Settings(settings)) if settings.new_name().is_some() => self.forget(),
            Some(Fact::Settings(settings)) if settings.sets(|one| *one == Setting::Up) => {
                if let Some(fresh) = self.namespaces.get_mut(netns) {
                    fresh.down.remove(&settings.link);
                }
            }
            Some(Fact::Addr(one)) => {
                if let Some(fresh) = self.namespaces.get_mut(netns) {
                    fresh.addresses.insert((one.link.clone(), one.addr));
                }
                if let Some(seen) = self.addresses.get_mut(&(netns.clone(), one.link.clone())) {
                    seen.insert(one.addr);
                }
            }
            Some(Fact::Route(route)) => {
                if let Some(fresh) = self.namespaces.get_mut(netns) {
                    fresh.routed.insert(route.family);
                }
            }
            Some(_) => {}
        }
    }

    /// Knows nothing any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;

    #[test]
    fn a_look_at_a_link_holds_for_a_moment_and_until_anything_but_an_address_is_added() {
        let (red, addr) = (Where::Named("red".to_owned()), "10.0.0.1/24".parse().unwrap());
        let other = "10.0.0.2/24".parse().unwrap();
        let mut known = Known::default();
        let look = |known: &mut Known| {
            known.saw_index(&red, "eth0", 7);
            known.saw_addresses(&red, "eth0", HashSet::from([addr]));
        };
        look(&mut known);
        assert!(known.saw_address(&red, "eth0", addr) && !known.saw_address(&red, "eth0", other));
        known.learn(&op::addr::add(&red, "eth0", other));
        assert!(known.saw_address(&red, "eth0", addr) && known.index(&red, "eth0") == Some(7));
        for takes in [
            op::addr::delete(&red, "eth0", addr, &[]),
            op::link::down(&red, "eth0"),
            op::link::delete(&red, "eth0"),
            op::netns::delete("red"),
        ] {
            look(&mut known);
            known.learn(&takes);
            assert!(!known.saw_address(&red, "eth0", addr), "{}", takes.command.line());
        }
        look(&mut known);
        std::thread::sleep(LOOK_HOLDS);
        assert!(!known.saw_address(&red, "eth0", addr) && known.index(&red, "eth0").is_none());
        // Who asked for the index alone has not looked at the addresses again.
        known.saw_index(&red, "eth0", 7);
        assert!(!known.saw_address(&red, "eth0", addr));
    }

    #[test]
    fn a_rule_is_appended_unseen_only_where_it_cannot_be() {
        let (red, words) =
            (Where::Named("red".into()), |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let at = |chain: &str| (red.clone(), Tool::Iptables, "filter".to_owned(), chain.to_owned());
        let mut known = Known::default();
        assert!(!known.knows_chain(&at("INPUT")), "nothing is known of a namespace that was there before");
        known.learn(&op::netns::add("red"));
        assert!(known.knows_chain(&at("INPUT")) && !known.knows_chain(&at("own")));
        assert_eq!(known.append(&at("INPUT"), &words("-s 10.0.0.1 -j DROP")), Some(0));
        assert_eq!(known.append(&at("INPUT"), &words("-s 10.0.0.2 -j DROP")), Some(1));
        assert_eq!(known.append(&at("INPUT"), &words("-s 10.0.0.1/32 -p tcp -j DROP")), None, "it may be the first");
        assert_eq!(known.append(&at("INPUT"), &words("-s host.example -j DROP")), None, "nobody knows");
        known.forget_chains(&red);
        assert!(!known.knows_chain(&at("INPUT")) && !known.knows_chain(&at("OUTPUT")));
        let rule = |text: &str| {
            iptables::parse_list("filter", &format!("-A own {text}")).unwrap().chain("own").unwrap().rules.clone()
        };
        known.saw_chain(at("own"), &rule("-j ACCEPT"));
        assert_eq!(known.append(&at("own"), &words("-j DROP")), Some(1));
        known.learn(&op::netns::add("red"));
        assert_eq!(known.append(&at("own"), &words("-j DROP")), Some(0), "another of that name");
    }

    #[test]
    fn what_is_known_ends_when_somebody_else_may_have_acted() {
        let red = Where::Named("red".into());
        let mut known = Known::default();
        assert!(!known.no_link(&red, "eth0"), "nothing is known of a namespace that was there before");
        known.learn(&op::netns::add("red"));
        let addr: IpNet = "10.0.0.1/24".parse().unwrap();
        assert!(known.no_link(&red, "eth0") && known.no_route(&red, Family::V4));
        assert!(!known.no_link(&red, "lo") && !known.no_address(&red, "eth0", addr) && !known.is_down(&red, "lo"));
        known.learn(&op::link::add_veth((&red, "eth0"), (&Where::Host, "p0")));
        assert!(!known.no_link(&red, "eth0") && known.no_address(&red, "eth0", addr) && known.is_down(&red, "eth0"));
        assert!(
            !known.no_address(&red, "eth0", "fe80::1/64".parse().unwrap()),
            "the kernel gives such an address by itself"
        );
        known.learn(&op::link::up(&red, "eth0"));
        assert!(!known.is_down(&red, "eth0"));
        known.learn(&op::addr::add(&red, "eth0", addr));
        assert!(
            !known.no_address(&red, "eth0", addr) && known.no_address(&red, "eth0", "10.0.0.2/24".parse().unwrap())
        );
        known.learn(&op::route::add(&red, Family::V4, "default", &op::route::RouteSpec::default()));
        assert!(!known.no_route(&red, Family::V4) && known.no_route(&red, Family::V6));
        known.saw_links(&Where::Host, HashSet::from(["br0".to_owned()]));
        assert!(known.saw_no_link(&Where::Host, "p1") && !known.saw_no_link(&Where::Host, "br0"));
        known.learn(&op::link::add_port((&red, "eth1"), (&Where::Host, "p1"), "br0").unwrap());
        assert!(!known.saw_no_link(&Where::Host, "p1") && known.is_down(&red, "eth1"));
        known.saw_bridge(&Where::Host, "br0");
        known.learn(&op::link::delete(&red, "eth0"));
        assert!(!known.no_link(&red, "eth0") && !known.is_bridge(&Where::Host, "br0"));
    }
}
