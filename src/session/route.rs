//! Routes, policy rules, neighbours.

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::addr::{Destination, destination};
use crate::model::route::Route;
use crate::model::state::{self, Part};
use crate::model::{addr, neigh, rule};
use crate::op::route::{Family, Neigh, Way};
use crate::op::{self, Answer, Ask, Fact, Where};

pub(crate) use crate::op::route::RouteSpec;

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
        hops: Vec::new(),
        nhid: route.nhid,
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
        let leads = spec.via.is_some() || spec.dev.is_some() || spec.nhid.is_some() || !spec.hops.is_empty();
        if !leads && spec.kind.as_deref().is_none_or(|kind| kind == "unicast") {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("a route to `{}` needs a gateway or a link", spec.dst),
            )
            .hint("ns.route(\"default\", \"10.0.0.254\") or ns.route(\"10.1.0.0/16\", #{ dev: \"eth0\" })"));
        }
        for dev in spec.dev.iter().chain(spec.hops.iter().filter_map(|hop| hop.dev.as_ref())) {
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
        let said = get("family").map(str::parse::<Family>).transpose()?;
        let of = |net: &str| match destination(net)? {
            Destination::Net(net) => Ok(Some(Family::of(net.addr()))),
            Destination::Default => Ok(None),
        };
        let nets = ["from", "to"].into_iter().filter_map(get).filter(|net| *net != "all");
        let mut family = said;
        for net in nets {
            let own = of(net)?;
            if let (Some(family), Some(own)) = (family, own)
                && family != own
            {
                return Err(Error::new(Kind::InvalidArgument, format!("`{net}` is not of the rule's family"))
                    .hint("a rule is for one family: make one for each"));
            }
            family = family.or(own);
        }
        let family = family.unwrap_or(Family::V4);
        let is_off = |(name, value): &&(String, String)| op::route::is_flag(name) && value == "0";
        let words: Vec<_> = words.iter().filter(|one| one.0 != "family" && !is_off(one)).cloned().collect();
        let words = words.as_slice();
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

    /// A next hop object: where routes that go by it lead.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a bad address; `NotFound` for the link; what `ip` says.
    pub fn nexthop_ensure(&self, netns: &Where, id: u32, words: &[String]) -> Result<Did> {
        let after = |word: &str| words.iter().skip_while(|one| *one != word).nth(1);
        if let Some(dev) = after("dev") {
            self.link_require((netns, dev))?;
        }
        if let Some(via) = after("via") {
            addr::ip(via)?;
        }
        let wanted = op::route::Nexthop { id, is: Some(words.to_vec()) };
        let all = match self.answer(netns, &Ask::Nexthops)? {
            Answer::Nexthops(all) => all,
            _ => Vec::new(),
        };
        let former = wanted.now(&all).map(|now| now.split_whitespace().map(str::to_owned).collect());
        let op = op::route::nexthop(netns, id, words, former);
        if Fact::Nexthop(wanted).holds(&Answer::Nexthops(all)) == Some(true) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }

    /// The table of a VRF.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link, `InvalidArgument` when it is none.
    pub fn vrf_table(&self, at: super::link::At<'_>) -> Result<String> {
        let link = self.link_require(at)?;
        let table =
            link.linkinfo.info_data.as_ref().and_then(|data| data.get("table")).filter(|_| link.kind() == Some("vrf"));
        table.map(ToString::to_string).ok_or_else(|| {
            Error::new(
                Kind::InvalidArgument,
                format!("`{}` in `{}` is {}, not a VRF", at.1, at.0, super::link::describe(&link)),
            )
            .hint("make one: `ns.vrf(\"red\", #{ table: 100 })`")
            .netns(at.0.name())
        })
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
