//! iptables and ip6tables in their own words, and what is built of them.

use std::net::IpAddr;

use super::{Did, Session, failure};
use crate::error::{Error, Kind, Result};
use crate::model::iptables::{self, Ruleset};
use crate::model::iptables_args::{Command as Words, Invocation, RuleRef};
use crate::model::names::link_name;
use crate::model::{addr, said};
use crate::op::firewall::{self as ops, MARK};
use crate::op::route::Family;
use crate::op::{Op, Where};

/// What iptables answered.
#[derive(Debug)]
pub enum FirewallAnswer {
    /// It was a question: what was printed.
    Text(String),
    /// It was a change.
    Did(Did),
}

/// A port that is published: what arrives for it goes to another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The port that is published.
    pub port: u16,
    /// The address it is published at; any address of the namespace's own when absent.
    pub addr: Option<IpAddr>,
    /// Where it goes.
    pub to: (IpAddr, u16),
}

impl Session {
    /// One call of iptables. A rule is looked for first, marked or not, and added with netwright's mark.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for words that iptables cannot take; what iptables says.
    pub fn iptables(&self, netns: &Where, family: Family, words: &[String]) -> Result<FirewallAnswer> {
        let call = Invocation::parse(words)?;
        if call.command.is_query() {
            let command = ops::command(netns, family, &call.table, &[], &untabled(call.argv()));
            let output = self.ask(&command)?;
            if !output.ok && !matches!(call.command, Words::Check { .. }) {
                return Err(failure(&command, output.ran));
            }
            return Ok(FirewallAnswer::Text(output.ran.stdout));
        }
        let did = self.firewall_change(netns, family, &call)?;
        Ok(FirewallAnswer::Did(self.count(did)))
    }

    fn firewall_change(&self, netns: &Where, family: Family, call: &Invocation) -> Result<Did> {
        let table = call.table.as_str();
        let apply = |op: Op| self.apply(op).map(|_| Did::Something);
        match &call.command {
            Words::Append { chain } => {
                if self.rule_exists(netns, family, call)?.is_some() {
                    return Ok(Did::Nothing);
                }
                apply(ops::append(netns, family, table, chain, &call.with_comment(MARK).spec))?;
                let is_there = self.rule_exists(netns, family, call)?.is_some();
                self.read_back(netns, is_there, || format!("the rule is not in `{chain}`"))?;
                Ok(Did::Something)
            }
            Words::Insert { chain, position } => {
                if self.rule_exists(netns, family, call)?.is_some() {
                    return Ok(Did::Nothing);
                }
                apply(ops::insert(netns, family, table, chain, *position, &call.with_comment(MARK).spec))?;
                let is_there = self.rule_exists(netns, family, call)?.is_some();
                self.read_back(netns, is_there, || format!("the rule is not in `{chain}`"))?;
                Ok(Did::Something)
            }
            Words::Delete { chain, rule: RuleRef::Spec } => {
                let Some(found) = self.rule_exists(netns, family, call)? else { return Ok(Did::Nothing) };
                let position = self.rule_position(netns, family, &found)?;
                let count = || self.chain_rules(netns, family, table, chain).map(|rules| rules.len());
                let former = count()?;
                apply(ops::delete(netns, family, table, chain, position, &found.spec))?;
                self.read_back(netns, count()? < former, || format!("the rule is still in `{chain}`"))?;
                Ok(Did::Something)
            }
            Words::Policy { chain, target } => {
                let policy = || -> Result<Option<String>> {
                    let text = self.query(&ops::list(netns, family, table, Some(chain)))?;
                    Ok(iptables::parse_list(table, &text)?.chain(chain).and_then(|chain| chain.policy.clone()))
                };
                let Some(former) = policy()? else {
                    return Err(Error::new(Kind::InvalidArgument, format!("`{chain}` in `{table}` has no policy"))
                        .hint("only built-in chains have one: INPUT, FORWARD, OUTPUT, PREROUTING, POSTROUTING")
                        .netns(netns.name()));
                };
                if former == *target {
                    return Ok(Did::Nothing);
                }
                apply(ops::policy(netns, family, table, chain, target, &former))?;
                let is_so = policy()?.as_ref() == Some(target);
                self.read_back(netns, is_so, || format!("the policy of `{chain}` is another"))?;
                Ok(Did::Something)
            }
            Words::NewChain { chain } => {
                let is_there = || self.ask(&ops::list(netns, family, table, Some(chain))).map(|output| output.ok);
                if is_there()? {
                    return Ok(Did::Nothing);
                }
                apply(ops::new_chain(netns, family, table, chain))?;
                self.read_back(netns, is_there()?, || format!("no chain `{chain}`"))?;
                Ok(Did::Something)
            }
            _ => {
                let saved = self.query(&ops::save(netns, family, Some(table)))?;
                apply(ops::other(netns, family, table, &untabled(call.argv()), &saved))?;
                let now = self.query(&ops::save(netns, family, Some(table)))?;
                let rules = |text: &str| iptables::parse_save(text).map(|rules| shape(&rules));
                Ok(if rules(&saved)? == rules(&now)? { Did::Nothing } else { Did::Something })
            }
        }
    }

    /// The rule as it is there: with netwright's mark, or just as the user says.
    fn rule_exists(&self, netns: &Where, family: Family, call: &Invocation) -> Result<Option<Invocation>> {
        let Some(chain) = call.command.chain() else { return Ok(None) };
        for form in [call.with_comment(MARK), call.clone()] {
            let command = ops::check(netns, family, &call.table, chain, &form.spec);
            let output = self.ask(&command)?;
            if output.ok {
                return Ok(Some(form));
            }
            // `-C` answers 1 for a missing rule; a missing chain or a bad word is reported when the rule is added.
            let kind = said::recognise(&output.ran.stderr).map(|said| said.kind);
            if kind != Some(Kind::NotFound) && output.ran.status != Some(1) {
                return Err(failure(&command, output.ran));
            }
        }
        Ok(None)
    }

    /// The place of a rule in its chain, from 1: adding a twin and asking would change the kernel, so the list is compared.
    fn rule_position(&self, netns: &Where, family: Family, call: &Invocation) -> Result<u32> {
        let Some(chain) = call.command.chain() else { return Ok(1) };
        let rules = self.chain_rules(netns, family, &call.table, chain)?;
        let mut want = call.spec.clone();
        want.sort();
        // iptables prints addresses with their length (`10.0.0.1/32`) and adds `-m tcp`: most words in common wins.
        let common = |rule: &iptables::Rule| {
            rule.words.iter().filter(|word| want.iter().any(|w| word.starts_with(w.as_str()))).count()
        };
        Ok(rules
            .iter()
            .max_by_key(|rule| (common(rule), std::cmp::Reverse(rule.words.len())))
            .map_or(1, |rule| rule.number))
    }

    /// The rules of a chain, without their counters.
    fn chain_rules(&self, netns: &Where, family: Family, table: &str, chain: &str) -> Result<Vec<iptables::Rule>> {
        let text = self.query(&ops::list(netns, family, table, Some(chain)))?;
        let listed = iptables::parse_list(table, &text)?;
        Ok(listed.chain(chain).map(|chain| chain.rules.clone()).unwrap_or_default())
    }

    /// All rules of a table, or of all tables, with their counters.
    ///
    /// # Errors
    ///
    /// What `iptables-save` says.
    pub fn firewall_rules(&self, netns: &Where, family: Family, table: Option<&str>) -> Result<Ruleset> {
        if let Some(table) = table
            && !crate::model::iptables_args::TABLES.contains(&table)
        {
            return Err(Error::new(Kind::InvalidArgument, format!("iptables has no table `{table}`"))
                .hint(format!("tables: {}", crate::model::iptables_args::TABLES.join(", "))));
        }
        iptables::parse_save(&self.query(&ops::save(netns, family, table))?)
    }

    /// Hides what leaves by `link` behind its address; only what comes from `source`, when given.
    ///
    /// # Errors
    ///
    /// As [`Session::iptables`]; `NotFound` for the link.
    pub fn masquerade(&self, netns: &Where, link: &str, source: Option<&str>) -> Result<Did> {
        link_name(link)?;
        self.link_require((netns, link))?;
        let source = source.map(addr::network).transpose()?;
        let family = source.map_or(Family::V4, |net| Family::of(net.addr()));
        let mut words = vec!["-t".to_owned(), "nat".into(), "-A".into(), "POSTROUTING".into()];
        if let Some(source) = source {
            words.extend(["-s".into(), source.to_string()]);
        }
        words.extend(["-o", link, "-j", "MASQUERADE"].map(String::from));
        let did = self.firewall_change(netns, family, &Invocation::parse(&words)?)?;
        Ok(self.count(did))
    }

    /// Publishes a port: for what comes from outside (PREROUTING) and for what the namespace itself sends (OUTPUT).
    ///
    /// # Errors
    ///
    /// As [`Session::iptables`].
    pub fn port_forward(&self, netns: &Where, forward: &Forward) -> Result<Did> {
        let family = Family::of(forward.to.0);
        if forward.addr.is_some_and(|addr| Family::of(addr) != family) {
            return Err(Error::new(
                Kind::InvalidArgument,
                "a port cannot be forwarded from one address family to the other",
            ));
        }
        let to = match forward.to {
            (IpAddr::V4(ip), port) => format!("{ip}:{port}"),
            (IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
        };
        let mut did = Did::Nothing;
        for chain in ["PREROUTING", "OUTPUT"] {
            let mut words = vec!["-t".to_owned(), "nat".into(), "-A".into(), chain.into()];
            match forward.addr {
                Some(addr) => words.extend(["-d".to_owned(), addr.to_string()]),
                None => words.extend(["-m", "addrtype", "--dst-type", "LOCAL"].map(String::from)),
            }
            let port = forward.port.to_string();
            words.extend(
                ["-p", forward.protocol, "--dport", &port, "-j", "DNAT", "--to-destination", &to].map(String::from),
            );
            did = did.or(self.firewall_change(netns, family, &Invocation::parse(&words)?)?);
        }
        Ok(self.count(did))
    }
}

/// The words without `-t TABLE`, which the op adds itself.
fn untabled(mut argv: Vec<String>) -> Vec<String> {
    if let Some(at) = argv.iter().position(|word| word == "-t") {
        argv.drain(at..(at + 2).min(argv.len()));
    }
    argv
}

/// A rule set without its counters, for telling whether anything changed.
fn shape(rules: &Ruleset) -> Vec<String> {
    rules
        .tables
        .iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| {
            let head = format!("{} {:?}", chain.name, chain.policy);
            std::iter::once(head).chain(chain.rules.iter().map(|rule| rule.words.join(" ")))
        })
        .collect()
}
