//! What of the things that this run made any packet touched: `netwright test --coverage`.
//!
//! Rules are told by their counters, routes by the packets that a namespace took in or sent out (`ip route get … fibmatch` says by which route),
//! listeners by who came.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::noted::Noted;
use super::{Record, Session};
use crate::error::{Kind, Place};
use crate::model::addr::covered;
use crate::model::iptables::{self, Ruleset};
use crate::op::firewall::{self, RuleAct};
use crate::op::route::Family;
use crate::op::{Command, Fact, Op, Tool, Where};
use crate::probe::passing::{Passed, Passing};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    open: HashMap<Where, Passing>,
    passed: HashMap<Where, HashSet<Passed>>,
    /// The numbers of the commands whose things were touched.
    touched: BTreeSet<usize>,
    /// Namespaces whose packets cannot be seen, and why.
    blind: HashMap<Where, String>,
    /// Rules whose counters could not be read, by namespace and program, and why.
    uncounted: HashMap<(Where, Tool), String>,
}

/// Something that a script made, and whether any packet touched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// `rule`, `policy`, `route`, `service`.
    pub kind: &'static str,
    /// What it is, in which namespace.
    pub what: String,
    /// `None` when nobody can tell, with the reason.
    pub touched: Result<bool, String>,
    /// Where in the script it was made.
    pub place: Option<Place>,
}

impl Session {
    /// Watches from now on.
    pub fn watch_coverage(&self) {
        *self.watch.borrow_mut() = Some(Watch::default());
    }

    /// Sees what passes in every namespace that is there, before somebody looks.
    pub(super) fn open_eyes(&self) {
        if self.watch.borrow().is_none() {
            return;
        }
        for netns in self.everywhere() {
            let known = |watch: &Watch| watch.open.contains_key(&netns) || watch.blind.contains_key(&netns);
            if self.watch.borrow().as_ref().is_none_or(known) {
                continue;
            }
            let opened = self.exec.within(&netns, Passing::open).and_then(|opened| opened);
            if let Some(watch) = self.watch.borrow_mut().as_mut() {
                match opened {
                    Ok(passing) => {
                        watch.open.insert(netns, passing);
                    }
                    Err(error) => {
                        watch.blind.insert(netns, error.to_string());
                    }
                }
            }
        }
    }

    /// Takes in what passed and was counted, before something changes; closes the eyes in a namespace that is about to go.
    pub(super) fn before_change(&self, op: Option<&Op>) {
        let is_open = self.watch.borrow().as_ref().is_some_and(|watch| !watch.open.is_empty());
        if !is_open {
            return;
        }
        let takes_rules = op.is_none_or(|op| match op.fact() {
            Some(Fact::NfRule(rule)) => !matches!(rule.act, RuleAct::Append | RuleAct::Insert(_)),
            None | Some(Fact::NfTable(_) | Fact::NfChain(_) | Fact::NfPolicy(_)) => true,
            Some(Fact::Netns(one)) => !one.there,
            Some(_) => false,
        });
        self.sample(takes_rules);
        if let Some(Fact::Netns(one)) = op.and_then(Op::fact)
            && let Some(watch) = self.watch.borrow_mut().as_mut()
        {
            watch.open.remove(&Where::Named(one.name.clone()));
        }
    }

    fn sample(&self, rules: bool) {
        let fresh: Vec<(Where, Vec<Passed>)> = {
            let mut watch = self.watch.borrow_mut();
            let Some(watch) = watch.as_mut() else { return };
            let mut fresh = Vec::new();
            for (netns, passing) in &watch.open {
                let known = watch.passed.entry(netns.clone()).or_default();
                let new: Vec<Passed> = passing.drain().into_iter().filter(|one| known.insert(*one)).collect();
                fresh.push((netns.clone(), new));
            }
            fresh
        };
        let (mut touched, mut unread) = (BTreeSet::new(), Vec::new());
        let known = |number: &usize| self.watch.borrow().as_ref().is_some_and(|watch| watch.touched.contains(number));
        let log = self.log.borrow();
        let made = || log.iter().enumerate().filter(|(_, record)| record.succeeded()).filter(|(at, _)| !known(at));
        for (netns, passed) in fresh.into_iter().filter(|(_, passed)| !passed.is_empty()) {
            let routes: Vec<_> = made().filter(|(_, record)| is_route_in(record, &netns)).collect();
            if routes.is_empty() {
                continue;
            }
            // Who goes to one place from one place by one link goes by one route.
            let mut ways: HashSet<(bool, u32, std::net::IpAddr, std::net::IpAddr)> = HashSet::new();
            for one in passed {
                let link = if one.out { 0 } else { one.link };
                if ways.insert((one.out, link, one.from, one.to)) {
                    let found = self.ways_of(&netns, one);
                    let by = |record: &Record| found.iter().any(|way| is_by(&record.op, way));
                    touched.extend(routes.iter().filter(|(_, record)| by(record)).map(|(at, _)| *at));
                }
            }
        }
        if rules {
            let mut read: HashMap<(Where, Tool), Result<Ruleset, String>> = HashMap::new();
            for (at, record) in made().filter(|(_, record)| is_counted(record)) {
                let (netns, tool) = (&record.op.command.netns, record.op.command.tool);
                let rules = read.entry((netns.clone(), tool)).or_insert_with(|| self.counters(netns, tool));
                if rules.as_ref().is_ok_and(|rules| has_counted(&record.op, rules)) {
                    touched.insert(at);
                }
            }
            unread.extend(read.into_iter().filter_map(|(at, rules)| Some((at, rules.err()?))));
        }
        drop(log);
        if let Some(watch) = self.watch.borrow_mut().as_mut() {
            watch.touched.extend(touched);
            watch.uncounted.extend(unread);
        }
    }

    /// The rules of a namespace with what they counted; an error when they cannot be read. What was in a namespace that is gone was read before.
    fn counters(&self, netns: &Where, tool: Tool) -> Result<Ruleset, String> {
        let family = if tool == Tool::Ip6tables { Family::V6 } else { Family::V4 };
        let command = firewall::save(netns, family, None);
        let output = match self.exec.run(&command) {
            Ok(output) if output.ok => output,
            Ok(output) => return Err(super::failure(&command, output.ran).to_string()),
            Err(error) if error.kind() == Kind::NotFound => return Ok(Ruleset::default()),
            Err(error) => return Err(error.to_string()),
        };
        match iptables::parse_save(&output.ran.stdout) {
            // A rule was made there.
            Ok(rules) if rules.tables.is_empty() => Err(format!("`{}` lists nothing", command.line())),
            other => other.map_err(|error| error.to_string()),
        }
    }

    /// The routes by which a packet may have gone: records of `ip route get … fibmatch`. A socket that is bound to no address asks for the way
    /// without one first; who looks at the packet cannot tell, so both ways count.
    fn ways_of(&self, netns: &Where, one: Passed) -> Vec<serde_json::Value> {
        let (from, to) = (one.from.to_string(), one.to.to_string());
        let plain = vec!["-j", "route", "get", "fibmatch", &to];
        let mut words = plain.clone();
        words.extend(["from", &from]);
        let link = (!one.out).then(|| self.link_name(netns, one.link)).flatten();
        if let Some(link) = &link {
            words.extend(["iif", link]);
        }
        let ask = |words: &Vec<&str>| {
            let output = self.exec.run(&Command::new(Tool::Ip, netns, words.iter().copied())).ok()?;
            let value: serde_json::Value = serde_json::from_str(&output.ran.stdout).ok().filter(|_| output.ok)?;
            value.get(0).cloned()
        };
        let own = one.out.then(|| ask(&plain)).flatten();
        ask(&words).into_iter().chain(own).collect()
    }

    fn link_name(&self, netns: &Where, index: u32) -> Option<String> {
        let output = self.exec.run(&crate::op::link::show_all(netns)).ok()?;
        let links = crate::model::link::parse(&output.ran.stdout, "ip address show").ok()?;
        links.into_iter().find(|link| link.ifindex == index).map(|link| link.ifname)
    }

    /// Everything that was made and that packets touch, in order. The eyes are closed.
    #[must_use]
    pub fn covered(&self) -> Vec<Covered> {
        self.sample(true);
        let Some(watch) = self.watch.borrow_mut().take() else { return Vec::new() };
        let log = self.log.borrow();
        let mut all: Vec<Covered> = Vec::new();
        for (at, record) in log.iter().enumerate().filter(|(_, record)| record.succeeded()) {
            let op = &record.op;
            let netns = &op.command.netns;
            let (kind, what) = match op.fact() {
                Some(Fact::Route(route)) if route.there => {
                    ("route", format!("the route to {} in `{netns}`", route.dst))
                }
                Some(Fact::NfPolicy(policy)) if is_counted(record) => {
                    ("policy", format!("the policy of {} in `{netns}`", policy.at))
                }
                Some(Fact::NfRule(_)) if is_counted(record) => {
                    ("rule", format!("`{}` in `{netns}`", crate::op::breakage::rule_of(&op.command)))
                }
                _ => continue,
            };
            let blind = match kind {
                "route" => watch.blind.get(netns),
                _ => watch.uncounted.get(&(netns.clone(), op.command.tool)),
            };
            // What was seen once is known.
            let touched = match blind {
                Some(why) if !watch.touched.contains(&at) => Err(why.clone()),
                _ => Ok(watch.touched.contains(&at)),
            };
            // A thing that is made again is the same.
            let same = |one: &&mut Covered| one.what == what && one.place == op.place;
            match all.iter_mut().find(same) {
                Some(one) if touched == Ok(true) => one.touched = touched,
                Some(_) => {}
                None => all.push(Covered { kind, what, touched, place: op.place.clone() }),
            }
        }
        for (_, noted) in self.noted.borrow().iter() {
            let Noted::Listener { what, visitors, place } = noted else { continue };
            let (what, touched) =
                (format!("who listens on {}", what.replacen(" in ", " in `", 1) + "`"), visitors.any());
            match all.iter_mut().find(|one| one.what == what && one.place == *place) {
                Some(one) => one.touched = one.touched.clone().map(|was| was || touched),
                None => all.push(Covered { kind: "service", what, touched: Ok(touched), place: place.clone() }),
            }
        }
        all
    }
}

/// Whether it made a route there; one that forbids sends nothing anywhere, but is met all the same.
fn is_route_in(record: &Record, netns: &Where) -> bool {
    record.op.command.netns == *netns && matches!(record.op.fact(), Some(Fact::Route(route)) if route.there)
}

/// Whether it made something that counts packets: a rule, or a policy that is not the one that chains begin with.
fn is_counted(record: &Record) -> bool {
    match record.op.fact() {
        Some(Fact::NfRule(rule)) => rule.is_there(),
        Some(Fact::NfPolicy(policy)) => policy.target != "ACCEPT",
        _ => false,
    }
}

/// Whether the rule or policy of an op has counted a packet.
fn has_counted(op: &Op, rules: &Ruleset) -> bool {
    let (at, spec) = match op.fact() {
        Some(Fact::NfRule(rule)) => (&rule.at, Some(&rule.spec)),
        Some(Fact::NfPolicy(policy)) => (&policy.at, None),
        _ => return false,
    };
    let Some(chain) = rules.chain(&at.table, &at.chain) else { return false };
    let Some(spec) = spec else { return chain.packets > 0 };
    // iptables prints other words than it was given: the rule is the one that has most of them.
    let score = |rule: &iptables::Rule| {
        let has = |word: &&String| {
            let cut = |have: &String| have.split_once('/').is_some_and(|(address, _)| address == *word);
            rule.words.iter().any(|have| have == *word || cut(have))
        };
        spec.iter().filter(has).count()
    };
    let may = chain.rules.iter().filter(|rule| rule.may_be(spec));
    let best = may.clone().map(score).max().unwrap_or(0);
    may.filter(|rule| score(rule) == best).any(|rule| rule.packets > 0)
}

/// Whether a way is that of the route which an op made.
fn is_by(op: &Op, way: &serde_json::Value) -> bool {
    let Some(Fact::Route(route)) = op.fact() else { return false };
    let Some(spec) = route.spec() else { return false };
    let says = |key: &str| match &way[key] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let dst = &route.dst;
    let is_default = |text: &str| text == "default" || covered(text).is_some_and(|net| net.prefix_len() == 0);
    let to = says("dst").unwrap_or_default();
    let same_place = if is_default(dst) {
        is_default(&to) && (route.family == Family::V6) == to_six(way)
    } else {
        covered(dst).is_some() && covered(dst) == covered(&to)
    };
    let agrees = |want: Option<&str>, key: &str| match (want, says(key)) {
        (Some(want), Some(have)) => want == have,
        (Some(want), None) => key == "table" && want == "main",
        (None, have) => key != "table" || have.is_none_or(|have| have == "main"),
    };
    let metric = spec.metric.map(|metric| metric.to_string());
    same_place
        && agrees(spec.via.as_deref(), "gateway")
        && agrees(spec.dev.as_deref(), "dev")
        && agrees(spec.table.as_deref(), "table")
        && agrees(metric.as_deref(), "metric")
}

/// Whether a way is one of IPv6.
fn to_six(way: &serde_json::Value) -> bool {
    let six = |key: &str| way[key].as_str().is_some_and(|text| text.contains(':'));
    six("gateway") || six("prefsrc") || six("dst") || way.get("pref").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::route;
    use serde_json::json;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn a_way_is_that_of_the_route_with_the_same_words() {
        let red = Where::Named("red".into());
        let via = |via: &str, metric| route::RouteSpec { via: Some(via.into()), metric, ..Default::default() };
        let op = route::add(&red, Family::V4, "default", &via("10.0.0.254", None));
        assert!(is_by(&op, &json!({"dst": "default", "gateway": "10.0.0.254", "dev": "eth0"})));
        assert!(!is_by(&op, &json!({"dst": "default", "gateway": "10.0.0.253", "dev": "eth0"})));
        assert!(!is_by(&op, &json!({"dst": "default", "gateway": "10.0.0.254", "dev": "eth0", "table": "100"})));
        let op = route::add(&red, Family::V4, "10.9.9.1/32", &via("10.0.0.2", Some(20)));
        assert!(is_by(&op, &json!({"dst": "10.9.9.1", "gateway": "10.0.0.2", "metric": 20})));
        assert!(!is_by(&op, &json!({"dst": "10.9.9.1", "gateway": "10.0.0.2", "metric": 10})));
        assert!(!is_by(&op, &json!({"dst": "10.9.9.0/24", "gateway": "10.0.0.2", "metric": 20})));
    }

    #[test]
    fn the_counter_is_that_of_the_rule_with_most_of_the_words() {
        let saved = "*filter\n:INPUT DROP [0:0]\n\
            [0:0] -A INPUT -p tcp -m tcp --dport 22 -m comment --comment netwright -j ACCEPT\n\
            [3:9] -A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 23 -m comment --comment netwright -j ACCEPT\nCOMMIT\n";
        let rules = iptables::parse_save(saved).unwrap();
        let made = |spec: &str| firewall::append(&Where::Host, Family::V4, "filter", "INPUT", &words(spec));
        assert!(!has_counted(&made("-p tcp --dport 22 -m comment --comment netwright -j ACCEPT"), &rules));
        assert!(has_counted(&made("-p tcp --dport 23 -s 10.0.0.1 -m comment --comment netwright -j ACCEPT"), &rules));
        assert!(!has_counted(&firewall::policy(&Where::Host, Family::V4, "filter", "INPUT", "DROP", "ACCEPT"), &rules));
    }
}
