//! What can be so of a network, as a value: the question that shows it, whether an answer does, and the command that makes it so.
//!
//! One file per object holds its struct, with `words` (what makes it so), `ask` (what shows it) and `holds`. A verb, the proof after its act, the
//! undo, the look after the undo, `--check` and an emitted script all read the same value; what a command was for is never read out of its words.

use serde::{Deserialize, Serialize};

use super::link::{Link, Moved, Settings};
use super::route::{Family, Neigh, Nexthop, PolicyRule, Route};
use super::{
    Command, Object, Tool, Where, addr, bridge, ethtool, file, firewall, link, netns, nft, qdisc, route, sysctl, wg,
};
use crate::error::{Error, Kind, Result};
use crate::model;
use crate::model::state::Qdisc as Discipline;
use crate::model::{iptables, json, messages, neigh, rule};

/// Something that a command makes so in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// A namespace has this name, or none has.
    Netns(netns::Netns),
    /// A link is there, or not.
    Link(Link),
    /// A link is set so.
    Settings(Settings),
    /// A link is in another namespace.
    Moved(Moved),
    /// An address is on a link, or not.
    Addr(addr::Addr),
    /// A route is there, or not.
    Route(Box<Route>),
    /// A policy rule is there, or not.
    Rule(PolicyRule),
    /// A neighbour is pinned, or not.
    Neigh(Neigh),
    /// A kernel setting has this value.
    Sysctl(sysctl::Sysctl),
    /// A link has this queueing discipline.
    Qdisc(qdisc::Qdisc),
    /// A rule of iptables is there, or not.
    NfRule(firewall::Rule),
    /// A chain of iptables is there, or not.
    NfChain(firewall::Chain),
    /// A built-in chain of iptables has this policy.
    NfPolicy(firewall::Policy),
    /// A whole table of iptables, or many of its chains.
    NfTable(firewall::Table),
    /// Something of nft's own.
    Nft(nft::Nft),
    /// Something of a `WireGuard` link.
    Wireguard(wg::Wireguard),
    /// What a link leaves to its device.
    Offload(ethtool::Offload),
    /// A port is in a VLAN, or not.
    Vlan(bridge::Vlan),
    /// An entry of a forwarding table is there, or not.
    Fdb(bridge::Fdb),
    /// An entry of a multicast table is there, or not.
    Mdb(bridge::Mdb),
    /// A next hop object leads there, or there is none.
    Nexthop(Nexthop),
    /// A file has this text, or is not there.
    File(file::File),
}

impl Fact {
    /// Whether it is about a thing that comes (`true`) or goes (`false`); `None` for how a thing is.
    #[must_use]
    pub fn makes(&self) -> Option<bool> {
        match self {
            Self::Netns(one) => Some(one.there),
            Self::Link(one) => Some(one.there),
            Self::Addr(one) => Some(one.there),
            Self::Route(one) => Some(one.there),
            Self::Rule(one) => Some(one.there),
            Self::NfRule(one) => Some(one.is_there()),
            Self::NfChain(one) => Some(one.is_there()),
            Self::NfTable(_) => Some(false),
            Self::Settings(_)
            | Self::Moved(_)
            | Self::Neigh(_)
            | Self::Sysctl(_)
            | Self::Qdisc(_)
            | Self::NfPolicy(_)
            | Self::Nft(_)
            | Self::Wireguard(_)
            | Self::Offload(_)
            | Self::Vlan(_)
            | Self::Fdb(_)
            | Self::Mdb(_)
            | Self::Nexthop(_)
            | Self::File(_) => None,
        }
    }

    /// What it is about, without what it says of it: two facts about one object exclude or repeat each other.
    #[must_use]
    pub fn object(&self, netns: &Where) -> Object {
        match self {
            Self::Netns(one) => Object::Netns { name: one.name.clone() },
            Self::Link(one) => Object::Link { netns: netns.clone(), name: one.name.clone(), peer: one.peer.clone() },
            Self::Settings(one) => Object::LinkSetting { name: one.link.clone(), setting: one.said() },
            Self::Moved(one) => Object::LinkSetting { name: one.link.clone(), setting: "netns".to_owned() },
            Self::Addr(one) => Object::Addr { link: one.link.clone(), addr: one.addr.to_string() },
            Self::Route(one) => Object::Route { dst: one.dst.clone() },
            Self::Rule(_) => Object::Rule,
            Self::Neigh(one) => Object::Neigh { addr: one.addr.clone() },
            Self::Sysctl(one) => Object::Sysctl { name: one.name.clone() },
            Self::Qdisc(one) => Object::Qdisc { link: one.link.clone() },
            Self::NfRule(one) => Object::NfRule { chain: one.at.to_string() },
            Self::NfChain(one) => Object::NfChain { chain: one.at.to_string() },
            Self::NfPolicy(one) => Object::NfPolicy { chain: one.at.to_string() },
            Self::NfTable(one) => Object::NfTable { table: one.table.clone() },
            Self::Nft(one) => Object::Nft { what: one.what.clone() },
            Self::Wireguard(one) => Object::LinkSetting { name: one.link.clone(), setting: one.option() },
            Self::Offload(one) => Object::LinkSetting { name: one.link.clone(), setting: one.said() },
            Self::Vlan(one) => Object::Vlan { link: one.dev.clone(), vid: one.vid },
            Self::Fdb(bridge::Fdb { entry, .. }) => {
                Object::Fdb { link: entry.dev.clone(), mac: entry.mac.clone(), vlan: entry.vlan }
            }
            Self::Mdb(bridge::Mdb { entry, .. }) => {
                Object::Mdb { link: entry.port.clone(), group: entry.group.clone(), vid: entry.vid }
            }
            Self::Nexthop(one) => Object::Nexthop { id: one.id },
            Self::File(one) => Object::File { path: one.path.clone() },
        }
    }

    /// What shows whether it is so. `None`: nothing does, or only what was there before tells.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        match self {
            Self::Netns(one) => Some(Ask::Netns(one.name.clone())),
            Self::Link(one) => Some(Ask::Link(one.name.clone())),
            Self::Settings(one) => Some(Ask::Link(one.name_after().to_owned())),
            Self::Moved(Moved { link, .. }) | Self::Addr(addr::Addr { link, .. }) => Some(Ask::Link(link.clone())),
            Self::Route(one) => Some(one.ask()),
            Self::Rule(one) => Some(Ask::Rules(one.family)),
            Self::Neigh(_) => Some(Ask::Neighbours),
            Self::Sysctl(one) => Some(Ask::Sysctl(one.name.clone())),
            Self::Qdisc(one) => one.ask(),
            Self::NfRule(one) => Some(one.at.ask()),
            Self::NfChain(one) => Some(one.at.ask()),
            Self::NfPolicy(one) => Some(one.at.ask()),
            Self::Wireguard(one) => one.is_shown().then(|| Ask::Wireguard(one.link.clone())),
            Self::Offload(one) => Some(Ask::Offloads(one.link.clone())),
            Self::Vlan(one) => Some(Ask::Vlans(one.dev.clone())),
            Self::Fdb(_) => Some(Ask::Fdb),
            Self::Mdb(_) => Some(Ask::Mdb),
            Self::Nexthop(_) => Some(Ask::Nexthops),
            Self::File(one) => Some(Ask::File(one.path.clone())),
            Self::NfTable(_) | Self::Nft(_) => None,
        }
    }

    /// The namespace in which that shows, of a command that acts in `netns`.
    #[must_use]
    pub fn shown_in<'a>(&'a self, netns: &'a Where) -> &'a Where {
        if let Self::Moved(one) = self { &one.to } else { netns }
    }

    /// Whether an answer shows that it is so. `None`: it does not tell, or it is an answer to another question.
    #[must_use]
    pub fn holds(&self, answer: &Answer) -> Option<bool> {
        match (self, answer) {
            (Self::Netns(one), Answer::Netns(there)) => Some(one.there == *there),
            (Self::Link(one), Answer::Links(all)) => Some(one.holds(all.iter().find(|link| link.ifname == one.name))),
            (Self::Link(one), Answer::Link(found)) => Some(one.holds(found.as_ref().map(|found| &found.seen))),
            (Self::Settings(one), Answer::Links(all)) => one.hold_in(all),
            (Self::Settings(one), Answer::Link(found)) => Some(one.hold(found.as_deref())),
            (Self::Moved(one), Answer::Links(all)) => Some(all.iter().any(|link| link.ifname == one.link)),
            (Self::Moved(_), Answer::Link(found)) => Some(found.is_some()),
            (Self::Addr(one), Answer::Links(all)) => Some(one.holds(all.iter().find(|link| link.ifname == one.link))),
            (Self::Addr(one), Answer::Link(found)) => Some(one.holds(found.as_ref().map(|found| &found.seen))),
            (Self::Route(one), Answer::Routes(all)) => Some(one.holds(all)),
            (Self::Route(one), Answer::RouteLines(text)) => one.holds_in(text),
            (Self::Rule(one), Answer::Rules(all)) => Some(one.there == all.iter().any(|rule| rule.is(&one.options))),
            (Self::Neigh(one), Answer::Neighbours(all)) => Some(one.pinned(all) == one.mac.as_deref()),
            (Self::Sysctl(one), Answer::Sysctl(now)) => Some(model::sysctl::values_equal(now, &one.value)),
            (Self::Qdisc(one), Answer::Disciplines(all)) => one.holds(all),
            (Self::NfRule(one), Answer::Chain(chain)) => one.holds(chain.as_deref()),
            (Self::NfChain(one), Answer::Chain(chain)) => Some(one.is_there() == chain.is_some()),
            (Self::NfPolicy(one), Answer::Chain(chain)) => {
                Some(chain.as_ref().and_then(|chain| chain.policy.as_ref()) == Some(&one.target))
            }
            (Self::Wireguard(one), Answer::Wireguard(state)) => one.holds(state),
            (Self::Offload(one), Answer::Offloads(all)) => Some(one.holds(all)),
            (Self::Vlan(one), Answer::Vlans(all)) => Some(one.holds(all)),
            (Self::Fdb(one), Answer::Fdb(all)) => Some(one.holds(all)),
            (Self::Mdb(one), Answer::Mdb(all)) => Some(one.holds(all)),
            (Self::Nexthop(one), Answer::Nexthops(all)) => Some(one.holds(all)),
            (Self::File(one), Answer::File(text)) => Some(one.text == *text),
            _ => None,
        }
    }

    /// What is so when it is not: `` `eth0` has no address 10.0.0.1/24 ``.
    #[must_use]
    pub fn otherwise(&self, answer: Option<&Answer>) -> String {
        match self {
            Self::Netns(one) if one.there => format!("there is no namespace `{}`", one.name),
            Self::Netns(one) => format!("`{}` is still there", one.name),
            Self::Link(one) if one.there => one.missing(),
            Self::Link(one) => format!("`{}` is still there", one.name),
            Self::Settings(one) => one.otherwise(answer),
            Self::Moved(one) => format!("no link `{}` in `{}`", one.link, one.to),
            Self::Addr(one) if one.there => format!("`{}` has no address {}", one.link, one.addr),
            Self::Addr(one) => format!("`{}` still has {}", one.link, one.addr),
            Self::Route(one) if one.there => format!("no such route to `{}`", one.dst),
            Self::Route(one) => format!("the route to `{}` is still there", one.dst),
            Self::Rule(one) if one.there => format!("no rule `{}`", one.said()),
            Self::Rule(_) => "the rule is still there".to_owned(),
            Self::Neigh(one) => one.otherwise(answer),
            Self::Sysctl(_) => match answer {
                Some(Answer::Sysctl(now)) => format!("it is `{now}`"),
                _ => "it has another value".to_owned(),
            },
            Self::Qdisc(one) => one.otherwise(),
            Self::NfRule(one) if one.is_there() => format!("the rule is not in `{}`", one.at.chain),
            Self::NfRule(one) => format!("the rule is still in `{}`", one.at.chain),
            Self::NfChain(one) if one.is_there() => format!("no chain `{}`", one.at.chain),
            Self::NfChain(_) => "the chain is still there".to_owned(),
            Self::NfPolicy(one) => match answer {
                Some(Answer::Chain(Some(chain))) => {
                    format!("the policy of `{}` is {}", one.at.chain, chain.policy.as_deref().unwrap_or("not known"))
                }
                _ => format!("the policy of `{}` is another", one.at.chain),
            },
            Self::NfTable(_) => "the rules are still there".to_owned(),
            Self::Nft(one) => format!("nft does not list {}", one.what),
            Self::Wireguard(_) => "`wg show` says otherwise".to_owned(),
            Self::Offload(one) => match answer {
                Some(Answer::Offloads(all)) => one.otherwise(Some(all)),
                _ => one.otherwise(None),
            },
            Self::Vlan(one) => one.otherwise(),
            Self::Fdb(one) => one.otherwise(),
            Self::Mdb(one) => one.otherwise(),
            Self::Nexthop(one) => one.otherwise(),
            Self::File(one) => one.otherwise(),
        }
    }

    /// The command that makes it so.
    #[must_use]
    pub fn command(self, netns: &Where) -> Command {
        let (tool, argv) = match &self {
            Self::Netns(one) => (Tool::Ip, one.words()),
            Self::Link(one) => (Tool::Ip, one.words()),
            Self::Settings(one) => (Tool::Ip, one.words()),
            Self::Moved(one) => (Tool::Ip, one.words()),
            Self::Addr(one) => (Tool::Ip, one.words()),
            Self::Route(one) => (Tool::Ip, one.words()),
            Self::Rule(one) => (Tool::Ip, one.words()),
            Self::Neigh(one) => (Tool::Ip, one.words()),
            Self::Sysctl(one) => (Tool::Sysctl, one.words()),
            Self::Qdisc(one) => (Tool::Tc, one.words()),
            Self::NfRule(one) => (firewall::tool(one.at.family), one.words()),
            Self::NfChain(one) => (firewall::tool(one.at.family), one.words()),
            Self::NfPolicy(one) => (firewall::tool(one.at.family), one.words()),
            Self::NfTable(one) => (firewall::tool(one.family), one.words()),
            Self::Nft(one) => (Tool::Nft, one.words.clone()),
            Self::Wireguard(one) => (Tool::Wg, one.words()),
            Self::Offload(one) => (Tool::Ethtool, one.words()),
            Self::Vlan(one) => (Tool::Bridge, one.words()),
            Self::Fdb(one) => (Tool::Bridge, one.words()),
            Self::Mdb(one) => (Tool::Bridge, one.words()),
            Self::Nexthop(one) => (Tool::Ip, one.words()),
            Self::File(one) => (Tool::Own, one.words()),
        };
        let stdin = if let Self::File(one) = &self { one.stdin() } else { None };
        Command { stdin, fact: Some(Box::new(self)), ..Command::new(tool, netns, argv) }
    }

    /// Whether links keep their names and indexes when it is made so: a warm `ip` may have cached those.
    #[must_use]
    pub fn keeps_names(&self) -> bool {
        matches!(self, Self::Addr(_) | Self::Route(_) | Self::Rule(_) | Self::Neigh(_) | Self::File(_))
    }
}

/// A question about a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Whether there is a namespace of this name.
    Netns(String),
    /// All links with their addresses.
    Links,
    /// One link with its addresses.
    Link(String),
    /// The routes to exactly one destination, in a table.
    Routes {
        /// The family.
        family: Family,
        /// The destination.
        dst: String,
        /// The table; `main` when absent.
        table: Option<String>,
    },
    /// All routes, in the words of `ip`.
    RouteLines(Family),
    /// The policy rules.
    Rules(Family),
    /// The neighbours.
    Neighbours,
    /// A kernel setting.
    Sysctl(String),
    /// The queueing disciplines of a link.
    Disciplines(String),
    /// A chain of iptables.
    Chain(firewall::ChainAt),
    /// A `WireGuard` link. What it prints is secret.
    Wireguard(String),
    /// What a link leaves to its device.
    Offloads(String),
    /// The VLANs of a port, or of the bridge itself.
    Vlans(String),
    /// The forwarding tables.
    Fdb,
    /// The multicast tables.
    Mdb,
    /// The next hop objects.
    Nexthops,
    /// A file, as the script's programs see it.
    File(String),
}

/// What was answered.
#[derive(Debug)]
pub enum Answer {
    /// Whether the namespace is there.
    Netns(bool),
    /// Links with their addresses.
    Links(Vec<link::Seen>),
    /// A link; `None` when it is not there.
    Link(Option<Box<link::Found>>),
    /// Routes.
    Routes(Vec<model::Route>),
    /// Routes as `ip` prints them.
    RouteLines(String),
    /// Policy rules.
    Rules(Vec<rule::Rule>),
    /// Neighbours.
    Neighbours(Vec<neigh::Neigh>),
    /// The value of a setting.
    Sysctl(String),
    /// Queueing disciplines.
    Disciplines(Vec<Discipline>),
    /// The chain; `None` without such a chain.
    Chain(Option<Box<iptables::Chain>>),
    /// A `WireGuard` link.
    Wireguard(Box<model::wireguard::State>),
    /// What a link leaves to its device.
    Offloads(Vec<model::ethtool::Feature>),
    /// VLANs.
    Vlans(Vec<(u16, model::bridge::Tags)>),
    /// Entries of forwarding tables.
    Fdb(Vec<model::bridge::FdbEntry>),
    /// Entries of multicast tables.
    Mdb(Vec<model::bridge::MdbEntry>),
    /// Next hop objects, in the words of `ip`.
    Nexthops(Vec<model::state::Thing>),
    /// What a file holds; `None` without such a file.
    File(Option<String>),
    /// What was asked for belongs to a link that is not there.
    Gone,
}

impl Ask {
    /// The command that asks. `None` for what no tool is asked: whether a namespace is there, the value of a setting, what a file holds.
    #[must_use]
    pub fn command(&self, netns: &Where) -> Option<Command> {
        Some(match self {
            Self::Netns(_) | Self::Sysctl(_) | Self::File(_) => return None,
            Self::Links => link::show_all(netns),
            Self::Link(name) => link::show(netns, name),
            Self::Routes { family, dst, table } => route::show(netns, *family, dst, table.as_deref()),
            Self::RouteLines(family) => route::show_lines(netns, *family),
            Self::Rules(family) => route::rules(netns, *family),
            Self::Neighbours => route::neighbours(netns),
            Self::Disciplines(name) => qdisc::show_words(netns, name),
            Self::Chain(at) => firewall::list(netns, at.family, &at.table, Some(&at.chain)),
            Self::Wireguard(link) => wg::dump(netns, link),
            Self::Offloads(link) => ethtool::show(netns, link),
            Self::Vlans(dev) => bridge::show_vlans(netns, dev),
            Self::Fdb => bridge::show_fdb(netns),
            Self::Mdb => bridge::show_mdb(netns),
            Self::Nexthops => route::nexthops(netns),
        })
    }

    /// What a failure of the command says: that there is no such thing. `None`: nothing.
    #[must_use]
    pub fn read_failure(&self, stderr: &str) -> Option<Answer> {
        match self {
            Self::Link(_) => (messages::recognise(stderr)?.kind == Kind::NotFound).then_some(Answer::Link(None)),
            Self::Routes { .. } => messages::has_no_table(stderr).then(|| Answer::Routes(Vec::new())),
            Self::Vlans(_) | Self::Offloads(_) => {
                (messages::recognise(stderr)?.kind == Kind::NotFound).then_some(Answer::Gone)
            }
            _ => None,
        }
    }

    /// Reads what the command of a question printed.
    ///
    /// # Errors
    ///
    /// When it is no such answer.
    pub fn read(&self, text: &str) -> Result<Answer> {
        Ok(match self {
            Self::Netns(_) => Answer::Netns(!text.is_empty()),
            Self::Sysctl(_) => Answer::Sysctl(model::sysctl::parse_value(text)),
            Self::File(_) => Answer::File(Some(text.to_owned())),
            Self::Links => Answer::Links(json::brief(text, "ip address show")?),
            Self::Link(_) => Answer::Link(link::Found::read(text)?),
            Self::Routes { .. } => Answer::Routes(json::brief(text, "ip route show")?),
            Self::RouteLines(_) => Answer::RouteLines(text.to_owned()),
            Self::Rules(_) => Answer::Rules(rule::parse(text, "ip rule show")?),
            Self::Neighbours => Answer::Neighbours(neigh::parse(text, "ip neigh show")?),
            Self::Disciplines(_) => {
                let all: Vec<Discipline> = text.lines().filter_map(Discipline::parse).collect();
                if all.is_empty() && !text.trim().is_empty() {
                    return Err(Error::new(Kind::ToolOutput, "`tc qdisc show` printed no queueing discipline"));
                }
                Answer::Disciplines(all)
            }
            // A chain that is there is named, even when it is empty.
            Self::Chain(at) => match iptables::parse_list(&at.table, text)?.chain(&at.chain) {
                Some(chain) => Answer::Chain(Some(Box::new(chain.clone()))),
                None => return Err(Error::new(Kind::ToolOutput, format!("no chain `{}` was printed", at.chain))),
            },
            Self::Wireguard(_) => Answer::Wireguard(Box::new(model::wireguard::parse_dump(text)?)),
            Self::Offloads(_) => Answer::Offloads(model::ethtool::features(text)?),
            Self::Vlans(dev) => Answer::Vlans(model::bridge::vlans(text, dev)?),
            Self::Fdb => Answer::Fdb(model::bridge::fdb(text)?),
            Self::Mdb => Answer::Mdb(model::bridge::mdb(text)?),
            Self::Nexthops => {
                let mut now = model::state::State::default();
                now.take_nexthops(text);
                Answer::Nexthops(now.0)
            }
        })
    }

    /// The same about all things of its kind, where one answer serves many: a namespace may have a thousand links, so one alone is asked for by name.
    #[must_use]
    pub fn wide(self) -> Self {
        match self {
            Self::Link(_) => Self::Links,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::firewall::{ChainAct, ChainAt, RuleAct};
    use crate::op::link::{New, Setting};
    use crate::op::route::{RouteSpec, Way};
    use crate::op::told::words;

    fn one_link(more: &str) -> String {
        format!(
            r#"[{{"ifname":"x","ifindex":3,"flags":["BROADCAST"],"mtu":1500,"address":"02:00:00:00:00:01"{more}}}]"#
        )
    }

    fn set(setting: Setting) -> Fact {
        Fact::Settings(Settings { link: "x".into(), to: vec![setting] })
    }

    fn route(dst: &str, via: &str, metric: Option<u32>, there: bool) -> Fact {
        let spec = RouteSpec { dst: dst.into(), via: Some(via.into()), metric, ..RouteSpec::default() };
        Fact::Route(Box::new(Route {
            family: Family::V4,
            dst: dst.into(),
            there,
            replaces: false,
            way: Way::Spec(spec),
        }))
    }

    fn rule(options: &[(&str, &str)], there: bool) -> Fact {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fact::Rule(PolicyRule { family: Family::V4, options, there })
    }

    fn file(text: Option<&str>) -> Fact {
        Fact::File(file::File { path: "/etc/netns/x/hosts".into(), text: text.map(str::to_owned), new: true })
    }

    fn input(act: RuleAct, spec: &str) -> Fact {
        let at = ChainAt::new(Family::V4, "filter", "INPUT");
        Fact::NfRule(firewall::Rule { at, act, spec: words(spec) })
    }

    /// What shows each fact, and what does not: a difference in any one part of it must be seen.
    fn check(cases: &[(Fact, &str, Option<bool>)]) {
        for (fact, text, shown) in cases {
            let ask = fact.ask().unwrap();
            let missing = || ask.read_failure("Device \"y\" does not exist.").unwrap();
            let answer = if text.is_empty() { missing() } else { ask.read(text).unwrap() };
            assert_eq!(fact.holds(&answer), *shown, "{fact:?}\nby {text}");
            assert!(!fact.otherwise(Some(&answer)).is_empty() && !fact.otherwise(None).is_empty());
            // The journal gives back what was written.
            let json = serde_json::to_string(&fact).unwrap();
            assert_eq!(serde_json::from_str::<Fact>(&json).unwrap(), *fact, "{json}");
        }
    }

    #[test]
    fn links_and_addresses_are_shown_or_not() {
        let up = one_link("").replace("BROADCAST", "UP");
        let port = one_link(r#","master":"br0""#);
        let addressed = one_link(r#","addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24}]"#);
        let bridge = one_link(r#","linkinfo":{"info_kind":"bridge","info_data":{"stp_state":1}}"#);
        let addr = |text: &str, there| {
            Fact::Addr(addr::Addr { link: "x".into(), addr: text.parse().unwrap(), there, more: Vec::new() })
        };
        let link = |name: &str, there| Fact::Link(Link { name: name.into(), there, peer: None, new: None });
        let options = |text: &str| set(Setting::Options(words(text)));
        check(&[
            (link("x", true), &up, Some(true)),
            (link("y", true), "", Some(false)),
            (link("x", false), &up, Some(false)),
            (link("y", false), "", Some(true)),
            (set(Setting::Up), &up, Some(true)),
            (set(Setting::Up), &port, Some(false)),
            (set(Setting::Down), &port, Some(true)),
            (set(Setting::Down), &up, Some(false)),
            (set(Setting::Master("br0".into())), &port, Some(true)),
            (set(Setting::Master("br1".into())), &port, Some(false)),
            (set(Setting::NoMaster), &port, Some(false)),
            (set(Setting::NoMaster), &up, Some(true)),
            (set(Setting::Mtu(1500)), &up, Some(true)),
            (set(Setting::Mtu(1501)), &up, Some(false)),
            (set(Setting::Address("02:00:00:00:00:01".into())), &up, Some(true)),
            (set(Setting::Address("02:00:00:00:00:02".into())), &up, Some(false)),
            (set(Setting::Alias("netwright:1".into())), &up, Some(false)),
            (options("type bridge stp_state 1"), &bridge, Some(true)),
            (options("type bridge stp_state 0"), &bridge, Some(false)),
            (addr("10.0.0.1/24", true), &addressed, Some(true)),
            (addr("10.0.0.1/25", true), &addressed, Some(false)),
            (addr("10.0.0.2/24", true), &addressed, Some(false)),
            (addr("10.0.0.1/24", false), &addressed, Some(false)),
            (addr("10.0.0.2/24", false), &addressed, Some(true)),
        ]);
    }

    #[test]
    fn routes_rules_and_neighbours_are_shown_or_not() {
        let routes = r#"[{"dst":"default","gateway":"10.0.0.9","dev":"eth0","metric":50,"flags":[]}]"#;
        let rules = r#"[{"priority":100,"src":"10.0.0.0","srclen":24,"table":"100"}]"#;
        let neighbours = r#"[{"dst":"10.0.0.9","dev":"x","lladdr":"02:00:00:00:00:09","state":["PERMANENT"]}]"#;
        let lines = "unicast default via 10.0.0.9 dev eth0 table main proto boot scope global metric 50\n";
        let former = |via: &str| {
            let way =
                Way::Words(words(&format!("unicast default via {via} dev eth0 proto boot scope global metric 50")));
            let dst = "default".to_owned();
            Fact::Route(Box::new(Route { family: Family::V4, dst, there: true, replaces: true, way }))
        };
        let neigh = |mac: Option<&str>| {
            Fact::Neigh(Neigh { addr: "10.0.0.9".into(), dev: "x".into(), mac: mac.map(str::to_owned) })
        };
        check(&[
            (route("default", "10.0.0.9", Some(50), true), routes, Some(true)),
            (route("default", "10.0.0.9", Some(51), true), routes, Some(false)),
            (route("default", "10.0.0.8", Some(50), true), routes, Some(false)),
            (route("default", "10.0.0.9", Some(50), false), routes, Some(false)),
            (former("10.0.0.9"), lines, Some(true)),
            (former("10.0.0.8"), lines, Some(false)),
            (rule(&[("from", "10.0.0.0/24"), ("table", "100")], true), rules, Some(true)),
            (rule(&[("from", "10.0.0.0/24"), ("table", "101")], true), rules, Some(false)),
            (rule(&[("from", "10.0.1.0/24"), ("table", "100")], true), rules, Some(false)),
            (rule(&[("from", "10.0.0.0/24"), ("table", "100")], false), rules, Some(false)),
            (neigh(Some("02:00:00:00:00:09")), neighbours, Some(true)),
            (neigh(Some("02:00:00:00:00:08")), neighbours, Some(false)),
            (neigh(None), neighbours, Some(false)),
        ]);
    }

    #[test]
    fn settings_and_firewalls_are_shown_or_not() {
        let sysctl = |value: &str| {
            Fact::Sysctl(sysctl::Sysctl { name: "net.ipv4.ping_group_range".into(), value: value.into() })
        };
        let qdisc = |is| Fact::Qdisc(qdisc::Qdisc { link: "x".into(), is });
        let at = || ChainAt::new(Family::V4, "filter", "INPUT");
        let policy = |target: &str| Fact::NfPolicy(firewall::Policy { at: at(), target: target.into() });
        let chain = |act| Fact::NfChain(firewall::Chain { at: at(), act });
        let wireguard = |set| Fact::Wireguard(wg::Wireguard { link: "wg0".into(), set });
        let listed = "-P INPUT DROP\n-A INPUT -s 10.0.0.1/32 -m comment --comment netwright -j ACCEPT\n";
        let ours = "-s 10.0.0.1 -m comment --comment netwright -j ACCEPT";
        let tbf = "qdisc tbf 8001: root refcnt 2 rate 1Mbit burst 10Kb lat 50ms";
        let features = "Features for x:\ntcp-segmentation-offload: on\n\ttx-tcp-segmentation: on\nrx-gro-list: off\n";
        let waits = "Features for x:\ntcp-segmentation-offload: on\n\ttx-tcp-segmentation: off [requested on]\n";
        let offload =
            |word: &str, on| Fact::Offload(ethtool::Offload { link: "x".into(), set: vec![(word.to_owned(), on)] });
        let dump = "priv\tpub\t51820\toff\nPEER=\t(none)\t(none)\t10.0.0.0/24\t0\t0\t0\toff\n";
        check(&[
            (sysctl("0 1"), "0\t1\n", Some(true)),
            (sysctl("0 2"), "0\t1\n", Some(false)),
            (qdisc(qdisc::Is::Root(words("handle 8001: tbf rate 1Mbit burst 10Kb lat 50ms"))), tbf, Some(true)),
            (qdisc(qdisc::Is::Root(words("handle 8001: tbf rate 2Mbit burst 10Kb lat 50ms"))), tbf, Some(false)),
            (qdisc(qdisc::Is::Root(words("tbf rate 1mbit burst 10k latency 50ms"))), tbf, None),
            (qdisc(qdisc::Is::Kernel), tbf, Some(false)),
            (qdisc(qdisc::Is::Kernel), "qdisc noqueue 0: root refcnt 2", Some(true)),
            // Whether one that may be it is it, only iptables knows.
            (input(RuleAct::Append, ours), listed, None),
            (input(RuleAct::Append, "-s 10.0.0.1 -j ACCEPT"), listed, Some(false)),
            (input(RuleAct::Append, "-s 10.0.0.2 -j DROP"), listed, Some(false)),
            (input(RuleAct::Delete, "-s 10.0.0.2 -j DROP"), listed, Some(true)),
            (input(RuleAct::Delete, ours), listed, None),
            (input(RuleAct::DeleteNumber(1), ""), listed, None),
            (policy("DROP"), listed, Some(true)),
            (policy("ACCEPT"), listed, Some(false)),
            (chain(ChainAct::New), listed, Some(true)),
            (chain(ChainAct::Delete), listed, Some(false)),
            (file(Some("a\n")), "a\n", Some(true)),
            (file(Some("a\n")), "a", Some(false)),
            (file(None), "a", Some(false)),
            (offload("tso", true), features, Some(true)),
            (offload("tso", false), features, Some(false)),
            (offload("tso", true), waits, Some(false)),
            (offload("rx-gro-list", false), features, Some(true)),
            (offload("gro", false), features, Some(false)),
            (wireguard(wg::Set::NoPeer("PEER=".into())), dump, Some(false)),
            (wireguard(wg::Set::NoPeer("OTHER=".into())), dump, Some(true)),
            (wireguard(wg::Set::Option("listen-port".into(), "51820".into())), dump, Some(true)),
            (wireguard(wg::Set::Option("listen-port".into(), "1".into())), dump, Some(false)),
        ]);
    }

    #[test]
    fn ports_and_tables_of_bridges_are_shown_or_not() {
        use crate::model::bridge::{FdbEntry, MdbEntry, Tags};
        let vlans = r#"[{"ifname":"x","vlans":[{"vlan":10,"flags":["PVID","Egress Untagged"]},{"vlan":20}]}]"#;
        let fdb = r#"[{"mac":"02:00:00:00:00:05","ifname":"x","flags":[],"master":"br0","state":"static"}]"#;
        let mdb = r#"[{"mdb":[{"dev":"br0","port":"x","grp":"239.1.1.1","state":"permanent"}],"router":{}}]"#;
        let port = one_link(r#","linkinfo":{"info_slave_kind":"bridge","info_slave_data":{"isolated":true}}"#);
        let access = Some(Tags { pvid: true, untagged: true });
        let vlan = |vid, is| Fact::Vlan(bridge::Vlan { dev: "x".into(), vid, own: false, is });
        let entry = |dev: &str, state: &str, there| {
            let entry = FdbEntry {
                mac: "02:00:00:00:00:05".into(),
                dev: dev.into(),
                bridge: Some("br0".into()),
                state: state.into(),
                ..FdbEntry::default()
            };
            Fact::Fdb(bridge::Fdb { entry, there })
        };
        let wants = |group: &str, there| {
            let entry = MdbEntry {
                bridge: "br0".into(),
                port: "x".into(),
                group: group.into(),
                state: "permanent".into(),
                ..MdbEntry::default()
            };
            Fact::Mdb(bridge::Mdb { entry, there })
        };
        let nexthops = "id 1 via 10.0.0.2 dev x scope link \nid 10 group 1,3/2 \n";
        let nexthop = |id, is: Option<&str>| Fact::Nexthop(Nexthop { id, is: is.map(words) });
        check(&[
            (nexthop(1, Some("via 10.0.0.2 dev x")), nexthops, Some(true)),
            (nexthop(1, Some("via 10.0.0.3 dev x")), nexthops, Some(false)),
            (nexthop(10, Some("group 1,3/2")), nexthops, Some(true)),
            (nexthop(10, Some("group 1/2")), nexthops, Some(false)),
            (nexthop(2, None), nexthops, Some(true)),
            (nexthop(1, None), nexthops, Some(false)),
            (vlan(10, access), vlans, Some(true)),
            (vlan(10, Some(Tags::default())), vlans, Some(false)),
            (vlan(20, Some(Tags::default())), vlans, Some(true)),
            (vlan(20, access), vlans, Some(false)),
            (vlan(20, None), vlans, Some(false)),
            (vlan(30, None), vlans, Some(true)),
            (entry("x", "static", true), fdb, Some(true)),
            (entry("x", "permanent", true), fdb, Some(false)),
            (entry("y", "static", true), fdb, Some(false)),
            (entry("x", "static", false), fdb, Some(false)),
            (entry("y", "static", false), fdb, Some(true)),
            (wants("239.1.1.1", true), mdb, Some(true)),
            (wants("239.1.1.2", true), mdb, Some(false)),
            (wants("239.1.1.1", false), mdb, Some(false)),
            (wants("239.1.1.2", false), mdb, Some(true)),
            (set(Setting::Options(words("type bridge_slave isolated on"))), &port, Some(true)),
            (set(Setting::Options(words("type bridge_slave isolated off"))), &port, Some(false)),
        ]);
    }

    #[test]
    fn a_port_is_one_only_in_its_bridge_and_up() {
        let new = New { kind: "veth".into(), index: Some(7), port_of: Some("br0".into()), words: words("type veth") };
        let fact = Fact::Link(Link { name: "x".into(), there: true, peer: None, new: Some(new) });
        for (text, shown) in [
            (one_link(r#","master":"br0""#).replace("BROADCAST", "UP"), true),
            (one_link(r#","master":"br0""#), false),
            (one_link("").replace("BROADCAST", "UP"), false),
            ("[]".to_owned(), false),
        ] {
            assert_eq!(fact.holds(&Ask::Links.read(&text).unwrap()), Some(shown), "{text}");
        }
        assert_eq!(fact.command(&Where::Host).line(), "ip link add name x index 7 up master br0 type veth");
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_read() {
        let link = Ask::Link("x".into());
        assert!(matches!(link.read_failure("Device \"x\" does not exist."), Some(Answer::Link(None))));
        assert!(link.read_failure("RTNETLINK answers: Operation not permitted").is_none());
        let routes = Ask::Routes { family: Family::V4, dst: "default".into(), table: Some("7".into()) };
        assert!(
            matches!(routes.read_failure("Error: ipv4: FIB table does not exist."), Some(Answer::Routes(all)) if all.is_empty())
        );
        assert!(routes.read_failure("Error: any valid prefix is expected").is_none());
        let chain = Ask::Chain(ChainAt::new(Family::V4, "filter", "INPUT"));
        assert!(chain.read("").is_err(), "a chain that is there is named");
        assert!(Ask::Disciplines("x".into()).read("garbage").is_err());
        let at = ChainAt::new(Family::V4, "filter", "INPUT");
        let policy = Fact::NfPolicy(firewall::Policy { at, target: "DROP".into() });
        assert_eq!(policy.holds(&Answer::Chain(None)), Some(false), "a chain that is not there has no policy");
        assert!(link.read("garbage").is_err());
    }
}
