//! Routes, policy rules, neighbours.

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::addr::{Destination, destination};
use crate::model::route::Route;
use crate::model::state::{self, Part};
use crate::model::{addr, neigh, rule};
use crate::op::route::{Family, Neigh, Way};
use crate::op::{self, Answer, Where};

pub use crate::op::route::RouteSpec;

/// What makes a route again as it was, as far as its JSON tells.
fn spec_of(route: &Route, family: Family, table: Option<&str>) -> RouteSpec {
    RouteSpec {
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
    }
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
        let unrouted = dst == "default" && self.known.borrow().no_route(netns, family);
        let have = if unrouted { Vec::new() } else { self.routes_to(netns, family, &dst, spec)? };
        let op = match have.iter().find(|route| spec.same_place(family, route)) {
            Some(route) if spec.satisfied_by(route) => {
                self.need(&op::route::add(netns, family, &dst, spec))?;
                return Ok(self.count(Did::Nothing));
            }
            // `ip -6 route replace` adds a second next hop in some cases; so the old one goes by its own words in the undo.
            Some(route) => {
                let former = self.former_way(netns, family, &dst, spec.table.as_deref(), route)?;
                op::route::replace(netns, family, &dst, spec, former)
            }
            None => op::route::add(netns, family, &dst, spec),
        };
        if unrouted {
            self.make_or_defer(op)?;
        } else {
            let number = self.make(op)?;
            self.prove_later(number)?;
        }
        Ok(self.count(Did::Something))
    }

    /// The words that make a route again as it was. Those of `ip` itself: its JSON does not tell all (`mtu lock`), and no list of ours would.
    fn former_way(&self, netns: &Where, family: Family, dst: &str, table: Option<&str>, route: &Route) -> Result<Way> {
        let part = if family == Family::V6 { Part::Route6 } else { Part::Route4 };
        let text = self.query(&super::things::routes_to(netns, family, dst, table))?;
        let Some(mut words) = state::route_words(part, &text, route.metric) else {
            return Ok(Way::Spec(spec_of(route, family, table)));
        };
        if let Some(table) = table.filter(|_| !words.iter().any(|word| word == "table")) {
            words.extend(["table".to_owned(), table.to_owned()]);
        }
        Ok(Way::Words(words))
    }

    fn routes_to(&self, netns: &Where, family: Family, dst: &str, spec: &RouteSpec) -> Result<Vec<Route>> {
        match self.answer(netns, &spec.ask(family, dst))? {
            Answer::Routes(routes) => Ok(routes),
            _ => Ok(Vec::new()),
        }
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
        let have = rule::parse(&self.query(&op::route::rules(netns, family))?, "ip rule show")?;
        if have.iter().any(|rule| rule.is(words)) {
            return Ok(self.count(Did::Nothing));
        }
        let mut words = words.to_vec();
        if !words.iter().any(|(word, _)| ["priority", "pref", "preference", "order"].contains(&word.as_str())) {
            words.push(("priority".into(), next_priority(&have).to_string()));
        }
        self.act_and_look(op::route::rule_add(netns, family, &words))?;
        Ok(self.count(Did::Something))
    }

    /// A neighbour that stays as it is told.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad address, `NotFound` for the link.
    pub fn neigh_ensure(&self, netns: &Where, spec: &NeighSpec) -> Result<Did> {
        addr::ip(&spec.addr)?;
        let mac = addr::mac(&spec.mac)?;
        self.link_require((netns, &spec.dev))?;
        let have = neigh::parse(&self.query(&op::route::neighbours(netns))?, "ip neigh show")?;
        let wanted = Neigh { addr: spec.addr.clone(), dev: spec.dev.clone(), mac: Some(mac.clone()) };
        let former = wanted.pinned(&have);
        let op = op::route::neigh_replace(netns, &spec.addr, &mac, &spec.dev, former);
        if former == Some(mac.as_str()) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }
}

/// The priority that the kernel gives to a rule without one (`fib_default_rule_pref`): one before the second rule, the first being that of
/// the table `local`. It is said, because a rule without a priority that is added twice is there twice, and one that is deleted may be another's.
fn next_priority(rules: &[rule::Rule]) -> u32 {
    rules.get(1).map_or(0, |second| second.priority.saturating_sub(1))
}
