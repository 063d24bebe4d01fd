//! iptables and ip6tables in their own words, and what is built of them.

use std::net::IpAddr;

use super::proofs::Check;
use super::put_back::only_in;
use super::{Did, Session, failure};
use crate::error::{Error, Kind, Result};
use crate::model::iptables::{self, Ruleset};
use crate::model::iptables_args::{Command as Words, Invocation, RuleRef};
use crate::model::names::link_name;
use crate::model::{addr, messages};
use crate::op::firewall::{self as ops, ChainAt, FormerChain, MARK};
use crate::op::route::Family;
use crate::op::{Ask, Op, Undo, Where};

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
        let at = At { netns, family, table: &call.table };
        let table = at.table;
        if let Words::Append { chain } = &call.command
            && self.rule_soon(at, chain, call)?
        {
            return Ok(Did::Something);
        }
        self.known.borrow_mut().forget_chains(netns);
        match &call.command {
            Words::Append { chain } => {
                self.rule_add(at, chain, call, |spec| ops::append(netns, family, table, chain, spec))
            }
            Words::Insert { chain, position } => {
                self.rule_add(at, chain, call, |spec| ops::insert(netns, family, table, chain, *position, spec))
            }
            Words::Delete { chain, rule } => self.rule_delete(at, chain, *rule, call),
            Words::Replace { chain, position } => self.rule_replace(at, chain, *position, call),
            Words::Flush { chain } => self.rules_flush(at, chain.as_deref()),
            Words::Policy { chain, target } => {
                let text = self.query(&ops::list(netns, family, table, Some(chain)))?;
                let listed = iptables::parse_list(table, &text)?;
                let Some(former) = listed.chain(chain).and_then(|chain| chain.policy.clone()) else {
                    return Err(Error::new(Kind::InvalidArgument, format!("`{chain}` in `{table}` has no policy"))
                        .hint("only built-in chains have one: INPUT, FORWARD, OUTPUT, PREROUTING, POSTROUTING")
                        .netns(netns.name()));
                };
                let op = ops::policy(netns, family, table, chain, target, &former);
                if former == *target {
                    self.need(&op)?;
                    return Ok(Did::Nothing);
                }
                self.act_and_look(op)?;
                Ok(Did::Something)
            }
            Words::NewChain { chain } => {
                if self.chain_exists(at, chain)? {
                    self.need_made(&ops::new_chain(netns, family, table, chain))?;
                    return Ok(Did::Nothing);
                }
                self.act_and_look(ops::new_chain(netns, family, table, chain))?;
                Ok(Did::Something)
            }
            Words::DeleteChain { chain } => {
                let mine = |name: &&String| chain.as_ref().is_none_or(|chain| chain == *name);
                let own_chains = || -> Result<Vec<String>> {
                    let chains = self.table_chains(at)?;
                    Ok(chains.into_iter().filter(|chain| chain.policy.is_none()).map(|chain| chain.name).collect())
                };
                let names: Vec<String> = own_chains()?.iter().filter(mine).cloned().collect();
                if chain.is_none() && names.is_empty() {
                    return Ok(Did::Nothing);
                }
                self.apply(ops::delete_chain(netns, family, table, chain.as_deref(), &names))?;
                let gone = !own_chains()?.iter().any(|name| names.contains(name));
                self.read_back(netns, gone, || format!("{} still there", names.join(", ")))?;
                Ok(Did::Something)
            }
            Words::RenameChain { from, to } => {
                self.apply(ops::rename_chain(netns, family, table, from, to))?;
                let is_so = self.chain_exists(at, to)? && !self.chain_exists(at, from)?;
                self.read_back(netns, is_so, || format!("`{from}` is not called `{to}`"))?;
                Ok(Did::Something)
            }
            // Questions have been answered; what is left is `-Z`.
            _ => self.apply(ops::zero(netns, family, table, &untabled(call.argv()))).map(|_| Did::Something),
        }
    }

    /// Puts off a rule for a namespace that this run made, where it cannot be there already: many are appended in one go, and a script cannot tell
    /// ([`super::deferred`]). Whether it was.
    fn rule_soon(&self, at: At<'_>, chain: &str, call: &Invocation) -> Result<bool> {
        let marked = call.with_comment(MARK);
        let key = (at.netns.clone(), ops::tool(at.family), at.table.to_owned(), chain.to_owned());
        if !(self.defers(at.netns) && self.exec.tools().restores(key.1) && ops::is_plain(&marked.spec)) {
            return Ok(false);
        }
        if !self.known.borrow().knows_chain(&key) {
            let Some(rules) = self.chain_rules(at, chain)? else { return Ok(false) };
            self.known.borrow_mut().saw_chain(key.clone(), &rules);
        }
        let Some(index) = self.known.borrow_mut().append(&key, &call.spec) else { return Ok(false) };
        let (spec, target) = (marked.spec.clone(), call.target().map(str::to_owned));
        let is_it =
            move |rule: &iptables::Rule| is_marked(rule) && rule.target() == target.as_deref() && rule.may_be(&spec);
        // Where it was put; or further on, should somebody have put one above.
        let holds = move |rules: &[iptables::Rule]| rules.iter().skip(index).any(&is_it);
        let op = ops::append(at.netns, at.family, at.table, chain, &marked.spec);
        self.defer(op, Some(Check::Rules(at.ask(chain), Box::new(holds))));
        Ok(true)
    }

    /// Adds a rule, unless it is there, marked or not.
    fn rule_add(&self, at: At<'_>, chain: &str, call: &Invocation, op: impl Fn(&[String]) -> Op) -> Result<Did> {
        let before = self.chain_rules(at, chain)?.unwrap_or_default();
        if let Some(found) = self.rule_exists(at, chain, call, &before)? {
            self.need_made(&op(&found.spec))?;
            return Ok(Did::Nothing);
        }
        self.apply(op(&call.with_comment(MARK).spec))?;
        let number = self.log.borrow().len().saturating_sub(1);
        let target = call.target().map(str::to_owned);
        let before = texts(&before);
        let holds = move |now: &[iptables::Rule]| {
            let ours =
                |index: usize| now.get(index).is_some_and(|rule| is_marked(rule) && rule.target() == target.as_deref());
            only_in(&texts(now), &before).into_iter().any(ours)
        };
        self.prove_later_by(number, Some(Check::Rules(at.ask(chain), Box::new(holds))))?;
        Ok(Did::Something)
    }

    /// Deletes a rule. Which one iptables will choose can only be guessed beforehand; afterwards the list tells, and the inverse is put right.
    fn rule_delete(&self, at: At<'_>, chain: &str, rule: RuleRef, call: &Invocation) -> Result<Did> {
        let before = self.chain_counted(at, chain)?.unwrap_or_default();
        let (spec, guess) = match rule {
            RuleRef::Number(number) => (None, usize::try_from(number).unwrap_or(usize::MAX) - 1),
            RuleRef::Spec => {
                let Some(found) = self.rule_exists(at, chain, call, &before)? else { return Ok(Did::Nothing) };
                let guess = likeliest(&before, &found.spec);
                (Some(found.spec), guess)
            }
        };
        let mut former = at.former(chain, &before);
        former.gone = Some(guess).filter(|guess| *guess < before.len()).into_iter().collect();
        self.apply(match (rule, spec) {
            (RuleRef::Number(number), _) => ops::delete_number(at.netns, at.family, former.clone(), number),
            (RuleRef::Spec, spec) => ops::delete(at.netns, at.family, former.clone(), &spec.unwrap_or_default()),
        })?;
        let now = self.chain_rules(at, chain)?.unwrap_or_default();
        let gone = only_in(&former.rules, &texts(&now));
        self.read_back(at.netns, !gone.is_empty(), || format!("the rule is still in `{chain}`"))?;
        if gone.len() == 1 && gone != former.gone {
            former.gone = gone;
            self.amend_last(Undo::Rules { commands: Vec::new(), chains: vec![former] })?;
        }
        Ok(Did::Something)
    }

    fn rule_replace(&self, at: At<'_>, chain: &str, position: u32, call: &Invocation) -> Result<Did> {
        let before = self.chain_counted(at, chain)?.unwrap_or_default();
        let index = usize::try_from(position).unwrap_or(usize::MAX) - 1;
        let mut former = at.former(chain, &before);
        former.gone = Some(index).filter(|index| *index < before.len()).into_iter().collect();
        self.apply(ops::replace(at.netns, at.family, former, position, &call.with_comment(MARK).spec))?;
        let now = self.chain_rules(at, chain)?.unwrap_or_default();
        let is_there = now.iter().any(|rule| is_marked(rule) && rule.target() == call.target());
        self.read_back(at.netns, is_there, || format!("the rule is not in `{chain}`"))?;
        if texts(&now) == texts(&before) {
            // It was this very rule before: there is nothing to take back.
            self.amend_last(Undo::Rules { commands: Vec::new(), chains: Vec::new() })?;
            return Ok(Did::Nothing);
        }
        Ok(Did::Something)
    }

    fn rules_flush(&self, at: At<'_>, chain: Option<&str>) -> Result<Did> {
        let full = || -> Result<Vec<FormerChain>> {
            let text = self.query(&ops::list_counted(at.netns, at.family, at.table, None))?;
            let chains = iptables::parse_list(at.table, &text)?.chains.into_iter();
            let chains = chains.filter(|one| chain.is_none_or(|chain| one.name == chain) && !one.rules.is_empty());
            let all = |one: iptables::Chain| FormerChain {
                gone: (0..one.rules.len()).collect(),
                ..at.former(&one.name, &one.rules)
            };
            Ok(chains.map(all).collect())
        };
        let former = full()?;
        let is_there = chain.is_none_or(|chain| self.chain_exists(at, chain).unwrap_or(false));
        if former.is_empty() && is_there {
            return Ok(Did::Nothing);
        }
        self.apply(ops::flush(at.netns, at.family, at.table, chain, former.clone()))?;
        let now = full()?;
        let stayed = former
            .iter()
            .any(|former| now.iter().any(|now| (&now.chain, &now.rules) == (&former.chain, &former.rules)));
        self.read_back(at.netns, !stayed, || "the rules are still there".into())?;
        Ok(Did::Something)
    }

    fn chain_exists(&self, at: At<'_>, chain: &str) -> Result<bool> {
        Ok(self.chain_rules(at, chain)?.is_some())
    }

    /// The rule as it is there: with netwright's mark, or just as the user says. Not asked where the chain, as it was listed, cannot have it.
    fn rule_exists(
        &self,
        at: At<'_>,
        chain: &str,
        call: &Invocation,
        listed: &[iptables::Rule],
    ) -> Result<Option<Invocation>> {
        let marked = listed.iter().any(is_marked).then(|| call.with_comment(MARK));
        let plain = (!listed.is_empty()).then(|| call.clone());
        let may_be = |form: &Invocation| listed.iter().any(|rule| rule.may_be(&form.spec));
        for form in marked.into_iter().chain(plain).filter(may_be) {
            let command = ops::check(at.netns, at.family, at.table, chain, &form.spec);
            let output = self.ask(&command)?;
            if output.ok {
                let is_listed = |rules: &[iptables::Rule]| rules.iter().any(|rule| rule.may_be(&form.spec));
                // The list knows better than a tool that says yes; somebody may have added it since.
                if is_listed(listed) || is_listed(&self.chain_rules(at, chain)?.unwrap_or_default()) {
                    return Ok(Some(form));
                }
                continue;
            }
            // `-C` answers 1 for a missing rule; a missing chain or a bad word is reported when the rule is added.
            let kind = messages::recognise(&output.ran.stderr).map(|said| said.kind);
            if kind != Some(Kind::NotFound) && output.ran.status != Some(1) {
                return Err(failure(&command, output.ran));
            }
        }
        Ok(None)
    }

    /// The rules of a chain, without their counters; `None` without such a chain.
    fn chain_rules(&self, at: At<'_>, chain: &str) -> Result<Option<Vec<iptables::Rule>>> {
        self.chain_listed(at, chain, &ops::list(at.netns, at.family, at.table, Some(chain)))
    }

    /// The same with their counters.
    fn chain_counted(&self, at: At<'_>, chain: &str) -> Result<Option<Vec<iptables::Rule>>> {
        self.chain_listed(at, chain, &ops::list_counted(at.netns, at.family, at.table, Some(chain)))
    }

    fn chain_listed(
        &self,
        at: At<'_>,
        chain: &str,
        command: &crate::op::Command,
    ) -> Result<Option<Vec<iptables::Rule>>> {
        let output = self.ask(command)?;
        if !output.ok {
            let missing = messages::recognise(&output.ran.stderr).is_some_and(|said| said.kind == Kind::NotFound);
            return if missing || output.ran.status == Some(1) { Ok(None) } else { Err(failure(command, output.ran)) };
        }
        let listed = iptables::parse_list(at.table, &output.ran.stdout)?;
        // A chain that is there is named, even when it is empty: a tool that says nothing is not iptables.
        let silent = || Error::new(Kind::ToolOutput, format!("`{}` succeeded and printed no chain", command.line()));
        listed.chain(chain).map_or_else(|| Err(silent().ran(output.ran)), |chain| Ok(Some(chain.rules.clone())))
    }

    /// All chains of a table, with their rules.
    fn table_chains(&self, at: At<'_>) -> Result<Vec<iptables::Chain>> {
        let text = self.query(&ops::list(at.netns, at.family, at.table, None))?;
        Ok(iptables::parse_list(at.table, &text)?.chains)
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

/// A table of a namespace.
#[derive(Clone, Copy)]
struct At<'a> {
    netns: &'a Where,
    family: Family,
    table: &'a str,
}

impl At<'_> {
    /// What shows a chain.
    fn ask(self, chain: &str) -> Ask {
        Ask::Chain(ChainAt::new(self.family, self.table, chain))
    }

    /// A chain as it is, for an inverse.
    fn former(self, chain: &str, rules: &[iptables::Rule]) -> FormerChain {
        FormerChain {
            table: self.table.to_owned(),
            chain: chain.to_owned(),
            rules: texts(rules),
            gone: Vec::new(),
            counters: rules.iter().map(|rule| (rule.packets, rule.bytes)).collect(),
        }
    }
}

fn is_marked(rule: &iptables::Rule) -> bool {
    rule.comments().any(|comment| comment == MARK)
}

fn texts(rules: &[iptables::Rule]) -> Vec<Vec<String>> {
    rules.iter().map(|rule| rule.words.clone()).collect()
}

/// The rule that a description most likely means, from 0: the first that shares most words with it. iptables prints more than it was given:
/// addresses with their length (`10.0.0.1/32`), `-m tcp`, `--reject-with`.
fn likeliest(rules: &[iptables::Rule], spec: &[String]) -> usize {
    let score = |rule: &iptables::Rule| -> usize {
        let shared = |word: &&String| {
            rule.words
                .iter()
                .any(|have| have == *word || have.split_once('/').is_some_and(|(address, _)| address == *word))
        };
        spec.iter().filter(shared).count() * 2 + usize::from(rule.words.len() <= spec.len() + 2)
    };
    let best = rules.iter().map(score).max().unwrap_or(0);
    rules.iter().position(|rule| score(rule) == best).unwrap_or(0)
}
