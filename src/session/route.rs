//! Routes, policy rules, neighbours.

use std::net::IpAddr;

use super::owed::Look;
use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::exec::Output;
use crate::model::addr::{Destination, destination};
use crate::model::neigh::{self, Neigh};
use crate::model::route::{self, Route};
use crate::model::state::{self, Part};
use crate::model::{addr, names, rule};
use crate::op::route::Family;
use crate::op::{self, Where};

/// A route that is wanted, in iproute2's words.
#[derive(Clone, Debug, Default)]
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
}

/// The metric that IPv6 gives to a route without one: `IP6_RT_PRIO_USER` of the kernel.
const V6_METRIC: u32 = 1024;

impl RouteSpec {
    /// Validates the parts and finds the family and the destination as `ip` prints it.
    fn resolve(&self) -> Result<(Family, String)> {
        let via = self.via.as_deref().map(addr::ip).transpose()?;
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
                            self.via.as_deref().unwrap_or("")
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
            words.push("via".into());
            if family == Family::V4 && via.contains(':') {
                words.push("inet6".into());
            }
            words.push(via.clone());
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
        if self.onlink {
            words.push("onlink".into());
        }
        words
    }

    /// Reads [`RouteSpec::words`] back; `None` for words that are none of them.
    pub(super) fn from_words(words: &[&str]) -> Option<Self> {
        let mut spec = Self::default();
        let mut words = words.iter().map(|word| (*word).to_owned()).peekable();
        spec.kind =
            words.next_if(|word| ["blackhole", "unreachable", "prohibit", "throw", "local"].contains(&word.as_str()));
        spec.dst = words.next()?;
        while let Some(word) = words.next() {
            match word.as_str() {
                "via" => {
                    words.next_if(|word| word == "inet6");
                    spec.via = words.next();
                }
                "dev" => spec.dev = words.next(),
                "metric" => spec.metric = Some(words.next()?.parse().ok()?),
                "table" => spec.table = words.next(),
                "src" => spec.src = words.next(),
                "scope" => spec.scope = words.next(),
                "mtu" => spec.mtu = Some(words.next()?.parse().ok()?),
                "proto" => spec.protocol = words.next(),
                "onlink" => spec.onlink = true,
                _ => return None,
            }
        }
        Some(spec)
    }

    /// Whether a route is this one.
    pub(super) fn is(&self, family: Family, route: &Route) -> bool {
        self.same_place(family, route) && self.satisfied_by(route)
    }

    /// Whether a route has the place that this one wants: the kernel keeps one route per destination, table and metric.
    pub(super) fn same_place(&self, family: Family, route: &Route) -> bool {
        let default = if family == Family::V6 { V6_METRIC } else { 0 };
        let metric = |metric: Option<u32>| metric.unwrap_or(default);
        metric(self.metric) == metric(route.metric)
    }

    /// Whether a route is as this one wants it, as far as this one says.
    fn satisfied_by(&self, route: &Route) -> bool {
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
        via && src
            && mtu
            && self.kind.as_deref().unwrap_or("unicast") == route.kind()
            && same(&self.dev, route.dev.as_deref())
            && same(&self.scope, Some(route.scope.as_deref().unwrap_or("global")))
            && (!self.onlink || route.flags.iter().any(|flag| flag == "onlink"))
    }
}

/// The words that make a route again as it was.
fn words_of(route: &Route, family: Family, table: Option<&str>) -> Vec<String> {
    let spec = RouteSpec {
        dst: route.dst.clone().unwrap_or_default(),
        via: route.next_hop().map(|via| via.to_string()),
        dev: route.dev.clone(),
        metric: route.metric,
        table: table.map(str::to_owned),
        kind: Some(route.kind().to_owned()).filter(|kind| kind != "unicast"),
        src: route.prefsrc.clone(),
        scope: route.scope.clone().filter(|scope| scope != "global"),
        onlink: route.flags.iter().any(|flag| flag == "onlink"),
        mtu: route.metrics.iter().find_map(|metric| u32::try_from(metric.get("mtu")?.as_u64()?).ok()),
        // What `ip` itself says when nobody says anything.
        protocol: route.protocol.clone().filter(|protocol| protocol != "boot"),
        family: Some(family),
    };
    spec.words(family, &spec.dst)
}

/// A pinned neighbour.
#[derive(Clone, Debug)]
pub struct NeighSpec {
    /// Its address.
    pub addr: String,
    /// Its MAC address.
    pub mac: String,
    /// The link it is on.
    pub dev: String,
}

impl NeighSpec {
    /// The MAC address that the neighbour is pinned to.
    pub(super) fn pinned<'a>(&self, all: &'a [Neigh]) -> Option<&'a str> {
        let ip = self.addr.parse().ok();
        let same = |neigh: &&Neigh| {
            neigh.ip() == ip && neigh.dev.as_deref() == Some(self.dev.as_str()) && neigh.is("PERMANENT")
        };
        all.iter().find(same)?.lladdr.as_deref()
    }
}

impl Session {
    /// A route; another route in its place (same destination, table and metric) is replaced.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what can never be a route or what the kernel refuses.
    pub fn route_ensure(&self, netns: &Where, spec: &RouteSpec) -> Result<Did> {
        let (family, dst) = spec.resolve()?;
        if spec.via.is_none() && spec.dev.is_none() && spec.kind.as_deref().is_none_or(|kind| kind == "unicast") {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("a route to `{}` needs a gateway or a link", spec.dst),
            )
            .hint("ns.route(\"default\", \"10.0.0.254\") or ns.route(\"10.1.0.0/16\", #{ dev: \"eth0\" })"));
        }
        if let Some(dev) = &spec.dev {
            self.link_require((netns, dev))?;
        }
        let words = spec.words(family, &dst);
        let unrouted = dst == "default" && self.facts.borrow().no_route(netns, family);
        let have = if unrouted { Vec::new() } else { self.routes_to(netns, family, &dst, spec.table.as_deref())? };
        let op = match have.iter().find(|route| spec.same_place(family, route)) {
            Some(route) if spec.satisfied_by(route) => {
                self.need(&op::route::add(netns, family, &dst, &words))?;
                return Ok(self.count(Did::Nothing));
            }
            // `ip -6 route replace` adds a second next hop in some cases; so the old one goes by its own words in the undo.
            Some(route) => {
                let former = self.former_words(netns, family, &dst, spec.table.as_deref(), route)?;
                op::route::replace(netns, family, &dst, &words, &former)
            }
            None => op::route::add(netns, family, &dst, &words),
        };
        let question = op::route::show(netns, family, &dst, spec.table.as_deref());
        let wanted = spec.clone();
        let look = Look::Routes(question, Box::new(move |routes| routes.iter().any(|route| wanted.is(family, route))));
        let otherwise = format!("no such route to `{dst}`");
        if unrouted {
            self.make_soon(op, look, otherwise)?;
        } else {
            let number = self.make(op)?;
            self.owe(number, netns, look, otherwise)?;
        }
        Ok(self.count(Did::Something))
    }

    /// The words that make a route again as it was. Those of `ip` itself: its JSON does not tell all (`mtu lock`), and no list of ours would.
    fn former_words(
        &self,
        netns: &Where,
        family: Family,
        dst: &str,
        table: Option<&str>,
        route: &Route,
    ) -> Result<Vec<String>> {
        let part = if family == Family::V6 { Part::Route6 } else { Part::Route4 };
        let text = self.query(&super::things::routes_to(netns, family, dst, table))?;
        let mut words = state::route_words(part, &text, route.metric).unwrap_or_else(|| words_of(route, family, table));
        if let Some(table) = table.filter(|_| !words.iter().any(|word| word == "table")) {
            words.extend(["table".to_owned(), table.to_owned()]);
        }
        Ok(words)
    }

    fn routes_to(&self, netns: &Where, family: Family, dst: &str, table: Option<&str>) -> Result<Vec<Route>> {
        let command = op::route::show(netns, family, dst, table);
        let output = self.ask(&command)?;
        if !output.ok && !no_table(&output) {
            return Err(super::failure(&command, output.ran));
        }
        route::parse(&output.ran.stdout, "ip route show")
    }

    /// A policy rule, as pairs of iproute2's words: `from 10.0.0.0/24`, `table 100`.
    ///
    /// # Errors
    ///
    /// What `ip rule` says.
    pub fn rule_ensure(&self, netns: &Where, words: &[(String, String)]) -> Result<Did> {
        let get = |word: &str| words.iter().find(|(name, _)| name == word).map(|(_, value)| value.as_str());
        let family = match get("from").or_else(|| get("to")) {
            Some(net) if net != "all" => match destination(net)? {
                Destination::Net(net) => Family::of(net.addr()),
                Destination::Default => Family::V4,
            },
            _ => Family::V4,
        };
        let rules = || rule::parse(&self.query(&op::route::rules(netns, family))?, "ip rule show");
        let have = rules()?;
        if have.iter().any(|rule| rule.is(words)) {
            return Ok(self.count(Did::Nothing));
        }
        let mut words = words.to_vec();
        if !words.iter().any(|(word, _)| ["priority", "pref", "preference", "order"].contains(&word.as_str())) {
            words.push(("priority".into(), next_priority(&have).to_string()));
        }
        let spec: Vec<String> = words.iter().flat_map(|(word, value)| [word.clone(), value.clone()]).collect();
        self.apply(op::route::rule_add(netns, family, &spec))?;
        let is_there = rules()?.iter().any(|rule| rule.is(&words));
        self.read_back(netns, is_there, || format!("no rule `{}`", spec.join(" ")))?;
        Ok(self.count(Did::Something))
    }

    /// A neighbour that stays as it is told.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad address, `NotFound` for the link.
    pub fn neigh_ensure(&self, netns: &Where, spec: &NeighSpec) -> Result<Did> {
        let ip = addr::ip(&spec.addr)?;
        let mac = addr::mac(&spec.mac)?;
        self.link_require((netns, &spec.dev))?;
        let pinned = || -> Result<Option<String>> {
            let have = neigh::parse(&self.query(&op::route::neighbours(netns))?, "ip neigh show")?;
            Ok(spec.pinned(&have).map(str::to_owned))
        };
        let former = pinned()?;
        let op = op::route::neigh_replace(netns, &spec.addr, &mac, &spec.dev, former.as_deref());
        if former.as_deref() == Some(mac.as_str()) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.apply(op)?;
        let is_pinned = pinned()?.as_deref() == Some(mac.as_str());
        self.read_back(netns, is_pinned, || format!("{ip} is not pinned to {mac}"))?;
        Ok(self.count(Did::Something))
    }
}

/// Whether a list of routes failed because its table has none: `Error: ipv4: FIB table does not exist.` with status 2.
pub(super) fn no_table(output: &Output) -> bool {
    output.ran.stderr.contains("FIB table does not exist")
}

/// The priority that the kernel gives to a rule without one (`fib_default_rule_pref`): one before the second rule, the first being that of
/// the table `local`. It is said, because a rule without a priority that is added twice is there twice, and one that is deleted may be another's.
fn next_priority(rules: &[rule::Rule]) -> u32 {
    rules.get(1).map_or(0, |second| second.priority.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::route;

    /// The kernel keeps one route for each destination, table and metric: another metric is another route.
    #[test]
    fn a_route_is_the_wanted_one_only_with_the_same_metric_and_way() {
        let route = |json: &str| route::parse(&format!("[{json}]"), "x").unwrap().remove(0);
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
