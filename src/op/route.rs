//! `ip route`, `ip rule`, `ip neigh`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::fact::{Answer, Ask};
use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::error::{Error, Kind, Result};
use crate::model::addr::{Destination, destination};
use crate::model::state::{Part, State, Thing};
use crate::model::{self, addr, names};

/// The address family flag of `ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// `-4`
    V4,
    /// `-6`
    V6,
}

impl Family {
    /// `-4` or `-6`.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(addr: std::net::IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl std::str::FromStr for Family {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "inet" | "4" => Ok(Self::V4),
            "inet6" | "6" => Ok(Self::V6),
            other => {
                Err(Error::new(Kind::InvalidArgument, format!("`{other}` is not a family"))
                    .hint("\"inet\" or \"inet6\""))
            }
        }
    }
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The family.
    pub family: Family,
    /// The destination as `ip` prints it.
    pub dst: String,
    /// Whether it is there.
    pub there: bool,
    /// Whether it takes the place of the one with the same destination, table and metric.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaces: bool,
    /// Where it leads.
    pub way: Way,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::large_enum_variant, reason = "a route is in a box where it is a fact")]
pub enum Way {
    /// As it is wanted.
    Spec(RouteSpec),
    /// As `ip` printed one that was there.
    Words(Vec<String>),
}

impl Route {
    pub(super) fn words(&self) -> Vec<String> {
        let verb = match (self.there, self.replaces) {
            (false, _) => "delete",
            (true, false) => "add",
            (true, true) => "replace",
        };
        let way = match &self.way {
            Way::Spec(spec) => spec.words(self.family, &self.dst),
            Way::Words(words) => words.clone(),
        };
        [self.family.flag(), "route", verb].map(String::from).into_iter().chain(way).collect()
    }

    pub(super) fn ask(&self) -> Ask {
        match &self.way {
            Way::Spec(spec) => spec.ask(self.family, &self.dst),
            Way::Words(_) => Ask::RouteLines(self.family),
        }
    }

    pub(super) fn holds(&self, all: &[model::Route]) -> bool {
        let is_it = |route: &model::Route| match &self.way {
            Way::Spec(spec) => spec.is(self.family, route),
            Way::Words(_) => false,
        };
        self.there == all.iter().any(is_it)
    }

    pub(super) fn holds_in(&self, text: &str) -> Option<bool> {
        let Way::Words(words) = &self.way else { return None };
        let part = if self.family == Family::V6 { Part::Route6 } else { Part::Route4 };
        let (mut now, mut wanted) = (State::default(), State::default());
        now.take_routes(part, text);
        wanted.take_routes(part, &words.join(" "));
        let wanted = wanted.0.first()?;
        Some(self.there == now.0.iter().any(|route| route.value == wanted.value))
    }

    /// As it is wanted; `None` for one that `ip` printed.
    #[must_use]
    pub fn spec(&self) -> Option<&RouteSpec> {
        match &self.way {
            Way::Spec(spec) => Some(spec),
            Way::Words(_) => None,
        }
    }
}

/// A route that is wanted, in iproute2's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteSpec {
    /// `default`, a network, or an address.
    pub dst: String,
    /// The next hop.
    pub via: Option<String>,
    /// The link.
    pub dev: Option<String>,
    /// The metric; the lower the better.
    pub metric: Option<u32>,
    /// The table, by name or number.
    pub table: Option<String>,
    /// `unicast`, `blackhole`, `unreachable`, `prohibit`, `throw`.
    pub kind: Option<String>,
    /// The source address for what the machine itself sends.
    pub src: Option<String>,
    /// `global`, `link`, `host`.
    pub scope: Option<String>,
    /// The next hop is on the link even if no network says so.
    pub onlink: bool,
    /// The MTU in bytes.
    pub mtu: Option<u32>,
    /// Who made it, when it is put back: `static`, `dhcp`.
    pub protocol: Option<String>,
    /// `default` alone does not say which family.
    pub family: Option<Family>,
    /// Several ways at once, among which packets are shared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// The next hop object that it goes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nhid: Option<u32>,
}

/// One of several ways of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hop {
    /// The next hop.
    pub via: Option<String>,
    /// The link.
    pub dev: Option<String>,
    /// Its share, from 1 to 256.
    pub weight: u32,
}

impl Hop {
    fn words(&self, family: Family) -> Vec<String> {
        let mut words = vec!["nexthop".to_owned()];
        if let Some(via) = &self.via {
            words.extend(via_words(family, via));
        }
        words.extend(self.dev.iter().flat_map(|dev| ["dev".to_owned(), dev.clone()]));
        words.extend(["weight".to_owned(), self.weight.to_string()]);
        words
    }

    fn is(&self, hop: &model::NextHop) -> bool {
        let gateway = hop.gateway.as_deref().or(hop.via.as_ref().map(|via| via.host.as_str()));
        let address = |text: Option<&str>| text.and_then(|text| text.parse::<IpAddr>().ok());
        (self.via.is_none() || address(self.via.as_deref()) == address(gateway))
            && (self.dev.is_none() || self.dev == hop.dev)
            && self.weight == hop.weight.unwrap_or(1)
            && hop.encap.is_none()
    }
}

/// A gateway, also one of the other family.
fn via_words(family: Family, via: &str) -> impl Iterator<Item = String> {
    let inet6 = (family == Family::V4 && via.contains(':')).then_some("inet6");
    ["via"].into_iter().chain(inet6).chain([via]).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The metric that IPv6 gives to a route without one: `IP6_RT_PRIO_USER` of the kernel.
const V6_METRIC: u32 = 1024;

impl RouteSpec {
    /// What shows the routes to its destination.
    #[must_use]
    pub fn ask(&self, family: Family, dst: &str) -> Ask {
        Ask::Routes { family, dst: dst.to_owned(), table: self.table.clone() }
    }

    /// Validates the parts and finds the family and the destination as `ip` prints it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what can be no route.
    pub fn resolve(&self) -> Result<(Family, String)> {
        let first = self.via.as_ref().or_else(|| self.hops.iter().find_map(|hop| hop.via.as_ref()));
        let via = first.map(|via| addr::ip(via)).transpose()?;
        for hop in &self.hops {
            hop.via.as_deref().map(addr::ip).transpose()?;
            hop.dev.as_deref().map(names::link_name).transpose()?;
        }
        let src = self.src.as_deref().map(addr::ip).transpose()?;
        if let Some(dev) = &self.dev {
            names::link_name(dev)?;
        }
        Ok(match destination(&self.dst)? {
            Destination::Default => {
                let family = self.family.or_else(|| via.or(src).map(Family::of)).unwrap_or(Family::V4);
                (family, "default".to_owned())
            }
            Destination::Net(net) => {
                let family = Family::of(net.addr());
                if matches!((family, via), (Family::V6, Some(IpAddr::V4(_)))) {
                    return Err(Error::new(
                        Kind::InvalidArgument,
                        format!(
                            "the gateway of `{}` must be an IPv6 address, not `{}`",
                            self.dst,
                            first.map_or("", String::as_str)
                        ),
                    ));
                }
                let host = net.prefix_len() == net.max_prefix_len();
                (family, if host { net.addr().to_string() } else { net.to_string() })
            }
        })
    }

    fn words(&self, family: Family, dst: &str) -> Vec<String> {
        let mut words: Vec<String> = self.kind.iter().cloned().collect();
        words.push(dst.to_owned());
        if let Some(via) = &self.via {
            words.extend(via_words(family, via));
        }
        let mut option = |word: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([word.to_owned(), value]);
            }
        };
        option("dev", self.dev.clone());
        option("metric", self.metric.map(|metric| metric.to_string()));
        option("table", self.table.clone());
        option("src", self.src.clone());
        option("scope", self.scope.clone());
        option("mtu", self.mtu.map(|mtu| mtu.to_string()));
        option("proto", self.protocol.clone());
        option("nhid", self.nhid.map(|id| id.to_string()));
        if self.onlink {
            words.push("onlink".into());
        }
        words.extend(self.hops.iter().flat_map(|hop| hop.words(family)));
        words
    }

    /// Whether a route is this one.
    #[must_use]
    pub fn is(&self, family: Family, route: &model::Route) -> bool {
        self.same_place(family, route) && self.satisfied_by(route)
    }

    /// Whether a route has the place that this one wants: the kernel keeps one route per destination, table and metric.
    #[must_use]
    pub fn same_place(&self, family: Family, route: &model::Route) -> bool {
        let default = if family == Family::V6 { V6_METRIC } else { 0 };
        let metric = |metric: Option<u32>| metric.unwrap_or(default);
        metric(self.metric) == metric(route.metric)
    }

    /// Whether a route is as this one wants it, as far as this one says.
    #[must_use]
    pub fn satisfied_by(&self, route: &model::Route) -> bool {
        let same = |want: &Option<String>, have: Option<&str>| want.as_deref().is_none_or(|want| Some(want) == have);
        let address = |text: Option<&str>| text.and_then(|text| text.parse::<IpAddr>().ok());
        let via = self.via.as_deref().is_none_or(|want| address(Some(want)) == route.next_hop());
        let src = self.src.as_deref().is_none_or(|want| address(Some(want)) == address(route.prefsrc.as_deref()));
        let mtu = self.mtu.is_none_or(|want| {
            route
                .metrics
                .iter()
                .any(|metric| metric.get("mtu").and_then(serde_json::Value::as_u64) == Some(want.into()))
        });
        // What goes by an object may show its ways, too.
        let all = self.nhid.is_some()
            || self.hops.len() == route.nexthops.len()
                && self.hops.iter().all(|hop| route.nexthops.iter().any(|one| hop.is(one)));
        via && src
            && mtu
            && all
            && (self.nhid.is_none() || self.nhid == route.nhid)
            && self.kind.as_deref().unwrap_or("unicast") == route.kind()
            && same(&self.dev, route.dev.as_deref())
            && same(&self.scope, Some(route.scope.as_deref().unwrap_or("global")))
            && route.encap.is_none()
            && (!self.onlink || route.flags.iter().any(|flag| flag == "onlink"))
    }
}

/// A policy rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// The family.
    pub family: Family,
    /// iproute2's options and their values: `from 10.0.0.0/24`, `table 100`.
    pub options: Vec<(String, String)>,
    /// Whether it is there.
    pub there: bool,
}

impl PolicyRule {
    pub(super) fn words(&self) -> Vec<String> {
        let head = [self.family.flag(), "rule", if self.there { "add" } else { "delete" }].map(String::from);
        let words = |(name, value): &(String, String)| {
            std::iter::once(name.clone()).chain((!is_flag(name)).then(|| value.clone())).collect::<Vec<_>>()
        };
        head.into_iter().chain(self.options.iter().flat_map(words)).collect()
    }

    pub(super) fn said(&self) -> String {
        self.options.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" ")
    }

    /// The value of the first of these options that it has.
    #[must_use]
    pub fn value(&self, names: &[&str]) -> Option<&str> {
        let found = names.iter().find_map(|name| self.options.iter().find(|(option, _)| option == name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Options of a rule that are words alone.
#[must_use]
pub(crate) fn is_flag(option: &str) -> bool {
    matches!(option, "not" | "l3mdev")
}

/// A next hop object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nexthop {
    /// Its number.
    pub id: u32,
    /// Where it leads, in the words of `ip nexthop`; `None`: there is none.
    pub is: Option<Vec<String>>,
}

impl Nexthop {
    pub(super) fn words(&self) -> Vec<String> {
        let verb = if self.is.is_some() { "replace" } else { "delete" };
        let head = ["nexthop", verb, "id", &self.id.to_string()].map(String::from);
        head.into_iter().chain(self.is.iter().flatten().cloned()).collect()
    }

    pub(super) fn holds(&self, all: &[Thing]) -> bool {
        let now = self.now(all);
        match &self.is {
            None => now.is_none(),
            Some(words) => now.is_some_and(|now| leads_there(words, now)),
        }
    }

    /// The object as it is, in the words of `ip`.
    #[must_use]
    pub fn now<'a>(&self, all: &'a [Thing]) -> Option<&'a str> {
        let id = self.id.to_string();
        all.iter().find(|thing| thing.key == id).map(|thing| thing.value.as_str())
    }

    pub(super) fn otherwise(&self) -> String {
        let is = if self.is.is_some() { "is otherwise, or not there" } else { "is still there" };
        format!("the next hop {} {is}", self.id)
    }
}

/// Whether an object that is shown so leads where the words say; what they do not say may be.
fn leads_there(words: &[String], now: &str) -> bool {
    let shown: Vec<&str> = now.split_whitespace().collect();
    let after =
        |words: &[&str], word: &str| words.iter().skip_while(|one| **one != word).nth(1).map(|one| (*one).to_owned());
    let wanted: Vec<&str> = words.iter().map(String::as_str).collect();
    let address = |text: Option<String>| text.and_then(|text| text.parse::<IpAddr>().ok());
    let flag = |word: &str| wanted.contains(&word) == shown.contains(&word);
    let dev = after(&wanted, "dev");
    address(after(&wanted, "via")) == address(after(&shown, "via"))
        && (dev.is_none() || dev == after(&shown, "dev"))
        && after(&wanted, "group") == after(&shown, "group")
        && ["blackhole", "fdb", "onlink"].into_iter().all(flag)
}

/// A pinned neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neigh {
    /// Its address.
    pub addr: String,
    /// The link it is on.
    pub dev: String,
    /// The MAC address that it is pinned to; `None`: it is not pinned.
    pub mac: Option<String>,
}

impl Neigh {
    pub(super) fn words(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match &self.mac {
            Some(mac) => words(&["neigh", "replace", &self.addr, "lladdr", mac, "dev", &self.dev, "nud", "permanent"]),
            None => words(&["neigh", "delete", &self.addr, "dev", &self.dev]),
        }
    }

    /// The MAC address that the neighbour is pinned to among these.
    #[must_use]
    pub fn pinned<'a>(&self, all: &'a [model::Neigh]) -> Option<&'a str> {
        let ip = self.addr.parse().ok();
        let same = |neigh: &&model::Neigh| {
            neigh.ip() == ip && neigh.dev.as_deref() == Some(self.dev.as_str()) && neigh.is("PERMANENT")
        };
        all.iter().find(same)?.lladdr.as_deref()
    }

    pub(super) fn otherwise(&self, answer: Option<&Answer>) -> String {
        match answer {
            Some(Answer::Neighbours(all)) => {
                format!("`{}` is pinned to {}", self.addr, self.pinned(all).unwrap_or("nothing"))
            }
            _ => format!("`{}` is not pinned to {}", self.addr, self.mac.as_deref().unwrap_or("nothing")),
        }
    }
}

/// All routes of a family in all tables, in the words of `ip` itself, which tell more than its JSON (`mtu lock`): `ip -o -d -4 route show table all`.
#[must_use]
pub(crate) fn show_lines(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-o", "-d", family.flag(), "route", "show", "table", "all"])
}

/// The routes of the main table: `ip -j -4 route show`.
#[must_use]
pub(crate) fn show_main(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-j", family.flag(), "route", "show"])
}

/// The routes to exactly `dst` in `table`: `ip -j -4 route show DST [table T]`.
#[must_use]
pub(crate) fn show(netns: &Where, family: Family, dst: &str, table: Option<&str>) -> Command {
    let mut argv = vec!["-j", family.flag(), "route", "show", dst];
    if let Some(table) = table {
        argv.extend(["table", table]);
    }
    Command::new(Tool::Ip, netns, argv)
}

/// What the kernel would do: `ip -j route get ADDR …`.
#[must_use]
pub(crate) fn get(netns: &Where, addr: &str, more: &[String]) -> Command {
    let argv = ["-j", "route", "get", addr].map(String::from).into_iter().chain(more.iter().cloned());
    Command::new(Tool::Ip, netns, argv)
}

/// Adds a route.
#[must_use]
pub(crate) fn add(netns: &Where, family: Family, dst: &str, spec: &RouteSpec) -> Op {
    let with = |there| {
        let way = Way::Spec(spec.clone());
        Fact::Route(Box::new(Route { family, dst: dst.to_owned(), there, replaces: false, way })).command(netns)
    };
    Op::new(with(true), Undo::by(with(false)))
}

/// Puts a route in the place of the one with the same destination, table and metric; undone by putting `former` back.
#[must_use]
pub(crate) fn replace(netns: &Where, family: Family, dst: &str, spec: &RouteSpec, former: Way) -> Op {
    let with = |way| {
        Fact::Route(Box::new(Route { family, dst: dst.to_owned(), there: true, replaces: true, way })).command(netns)
    };
    Op::new(with(Way::Spec(spec.clone())), Undo::by(with(former)))
}

/// The policy rules of a family: `ip -j -4 rule show`.
#[must_use]
pub(crate) fn rules(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-j", family.flag(), "rule", "show"])
}

/// Adds a policy rule.
#[must_use]
pub(crate) fn rule_add(netns: &Where, family: Family, options: &[(String, String)]) -> Op {
    let with = |there| Fact::Rule(PolicyRule { family, options: options.to_vec(), there }).command(netns);
    Op::new(with(true), Undo::by(with(false)))
}

/// The next hop objects: `ip -o nexthop show`.
#[must_use]
pub(crate) fn nexthops(netns: &Where) -> Command {
    Command::new(Tool::Ip, netns, ["-o", "nexthop", "show"])
}

/// Makes a next hop object, or changes where it leads; undone by `former`, or by deleting it.
#[must_use]
pub(crate) fn nexthop(netns: &Where, id: u32, words: &[String], former: Option<Vec<String>>) -> Op {
    let with = |is| Fact::Nexthop(Nexthop { id, is }).command(netns);
    Op::new(with(Some(words.to_vec())), Undo::by(with(former)))
}

/// All neighbours: `ip -j neigh show`.
#[must_use]
pub(crate) fn neighbours(netns: &Where) -> Command {
    Command::new(Tool::Ip, netns, ["-j", "neigh", "show"])
}

/// Pins a neighbour: `ip neigh replace ADDR lladdr MAC dev LINK nud permanent`; undone by `former`, or by deleting it.
#[must_use]
pub(crate) fn neigh_replace(netns: &Where, addr: &str, mac: &str, dev: &str, former: Option<&str>) -> Op {
    let with = |mac: Option<&str>| {
        Fact::Neigh(Neigh { addr: addr.to_owned(), dev: dev.to_owned(), mac: mac.map(str::to_owned) }).command(netns)
    };
    Op::new(with(Some(mac)), Undo::by(with(former)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::check;

    #[test]
    fn a_route_that_wraps_is_another_one() {
        let spec = RouteSpec { via: Some("10.0.0.2".into()), ..RouteSpec::default() };
        let route = |more: &str| {
            let text = format!("[{{\"dst\":\"10.9.0.0/16\",\"gateway\":\"10.0.0.2\"{more}}}]");
            model::route::parse(&text, "routes").unwrap().remove(0)
        };
        assert!(spec.satisfied_by(&route("")) && !spec.satisfied_by(&route(",\"encap\":\"mpls\"")));
    }

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let via = |via: &str| RouteSpec { dst: "default".into(), via: Some(via.into()), ..RouteSpec::default() };
        check(
            &add(&red, Family::V4, "default", &via("10.0.0.254")),
            "ip -n red -4 route add default via 10.0.0.254",
            "ip -n red -4 route delete default via 10.0.0.254",
        );
        check(
            &replace(&red, Family::V6, "default", &via("fd00::1"), Way::Spec(via("fd00::2"))),
            "ip -n red -6 route replace default via fd00::1",
            "ip -n red -6 route replace default via fd00::2",
        );
        let op =
            rule_add(&red, Family::V4, &[("from", "10.0.0.0/24"), ("table", "100")].map(|(a, b)| (a.into(), b.into())));
        assert_eq!(op.command.line(), "ip -n red -4 rule add from 10.0.0.0/24 table 100");
        let op = neigh_replace(&red, "10.0.0.9", "02:00:00:00:00:09", "eth0", None);
        assert_eq!(
            op.command.line(),
            "ip -n red neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent"
        );
        assert_eq!(
            show(&red, Family::V4, "default", Some("100")).line(),
            "ip -n red -j -4 route show default table 100"
        );
        assert_eq!(get(&red, "203.0.113.1", &[]).line(), "ip -n red -j route get 203.0.113.1");
    }

    #[test]
    fn several_ways_and_objects() {
        let red = Where::Named("red".into());
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let hop = |via: &str, weight| Hop { via: Some(via.into()), dev: None, weight };
        let spec = RouteSpec {
            dst: "default".into(),
            hops: vec![hop("10.0.0.2", 1), hop("10.0.0.3", 3)],
            metric: Some(5),
            ..RouteSpec::default()
        };
        check(
            &add(&red, Family::V4, "default", &spec),
            "ip -n red -4 route add default metric 5 nexthop via 10.0.0.2 weight 1 nexthop via 10.0.0.3 weight 3",
            "ip -n red -4 route delete default metric 5 nexthop via 10.0.0.2 weight 1 nexthop via 10.0.0.3 weight 3",
        );
        let shown = |second: u32| {
            let text = format!(
                r#"[{{"dst":"default","metric":5,"flags":[],"nexthops":[{{"gateway":"10.0.0.2","dev":"a","weight":1,"flags":[]}},{{"gateway":"10.0.0.3","dev":"a","weight":{second},"flags":[]}}]}}]"#
            );
            model::route::parse(&text, "x").unwrap().remove(0)
        };
        assert!(spec.is(Family::V4, &shown(3)) && !spec.is(Family::V4, &shown(2)));
        let one = RouteSpec { hops: vec![hop("10.0.0.2", 1)], ..spec.clone() };
        assert!(!one.is(Family::V4, &shown(3)) && !RouteSpec { hops: Vec::new(), ..spec }.is(Family::V4, &shown(3)));
        check(
            &nexthop(&red, 7, &words("group 1,3/2"), Some(words("group 1"))),
            "ip -n red nexthop replace id 7 group 1,3/2",
            "ip -n red nexthop replace id 7 group 1",
        );
        check(
            &nexthop(&red, 7, &words("blackhole"), None),
            "ip -n red nexthop replace id 7 blackhole",
            "ip -n red nexthop delete id 7",
        );
        for (wanted, now, is) in [
            ("via 10.0.0.2", "via 10.0.0.2 dev a scope link", true),
            ("via 10.0.0.2 dev b", "via 10.0.0.2 dev a scope link", false),
            ("via 10.0.0.3", "via 10.0.0.2 dev a scope link", false),
            ("group 1,3/2", "group 1,3/2", true),
            ("group 1/2", "group 1,3/2", false),
            ("blackhole", "blackhole", true),
            ("via 10.0.0.2", "blackhole", false),
        ] {
            assert_eq!(leads_there(&words(wanted), now), is, "{wanted} by {now}");
        }
        let not = rule_add(
            &red,
            Family::V6,
            &[("from", "2001:db8::/32"), ("not", "1"), ("type", "blackhole")].map(|(a, b)| (a.into(), b.into())),
        );
        assert_eq!(not.command.line(), "ip -n red -6 rule add from 2001:db8::/32 not type blackhole");
    }

    /// The kernel keeps one route for each destination, table and metric: another metric is another route.
    #[test]
    fn a_route_is_the_wanted_one_only_with_the_same_metric_and_way() {
        let route = |json: &str| model::route::parse(&format!("[{json}]"), "x").unwrap().remove(0);
        let have = route(r#"{"dst":"10.1.0.0/16","gateway":"10.0.0.9","dev":"eth0","metric":50,"flags":[]}"#);
        let want = |metric: Option<u32>, via: &str| RouteSpec {
            dst: "10.1.0.0/16".into(),
            via: Some(via.into()),
            metric,
            ..RouteSpec::default()
        };
        for (metric, via, is) in [
            (Some(50), "10.0.0.9", true),
            (Some(49), "10.0.0.9", false),
            (Some(51), "10.0.0.9", false),
            (None, "10.0.0.9", false),
            (Some(50), "10.0.0.8", false),
        ] {
            assert_eq!(want(metric, via).is(Family::V4, &have), is, "{metric:?} via {via}");
        }
        let bare = route(r#"{"dst":"10.1.0.0/16","gateway":"10.0.0.9","dev":"eth0","flags":[]}"#);
        assert!(want(None, "10.0.0.9").is(Family::V4, &bare) && !want(Some(50), "10.0.0.9").is(Family::V4, &bare));
    }
}
