//! Undoing many things of a kind together: the rules of a table go in one `iptables-restore`, the addresses of a link are looked at once. What one step
//! alone would have proven is proven of each.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;

use super::Record;
use super::journal::Identity;
use super::look::Verdict;
use super::put_back::Stuck;
use super::undo::{Ours, Undoing};
use crate::model::{iptables, net_addr};
use crate::op::firewall::{self, Rule, RuleAct};
use crate::op::{self, Command, Fact, Undo, Where};

/// How many rules go at a time, at most: well within the deadline of a command.
const TOGETHER_MAX: usize = 1000;

/// Whether the inverse of an op deletes addresses and does nothing else.
pub(super) fn deletes_address(record: &Record, commands: &[Command]) -> bool {
    matches!(record.op.fact(), Some(Fact::Addr(_)))
        && !commands.is_empty()
        && commands.iter().all(|command| deleted_address(command).is_some())
}

/// The address that a command deletes.
fn deleted_address(command: &Command) -> Option<IpNet> {
    match command.fact()? {
        Fact::Addr(addr) if !addr.there => Some(addr.addr),
        _ => None,
    }
}

/// The command that deletes the rule that an op appended or inserted, where it is of those that go together.
fn deleted_rule(record: &Record) -> Option<(&Command, &Rule)> {
    let Undo::Commands(commands) = &record.op.undo else { return None };
    let [command] = &commands[..] else { return None };
    let rule = command.fact()?.rule()?;
    let plain = rule.is_marked() && firewall::is_plain(&rule.said());
    (rule.act == RuleAct::Delete && plain && record.succeeded()).then_some((command, rule))
}

impl Undoing<'_> {
    /// How many of the first of these are rules of one table that go together.
    pub(super) fn rules_together(&self, order: &[usize], stuck: &Stuck) -> usize {
        let of = |number: &usize| {
            let record = self.records.get(*number)?;
            let (command, rule) = deleted_rule(record)?;
            let alone = record.inside_made && self.first == 0
                || self.went_with_host(record)
                || stuck.holds(&record.op).is_some();
            (!alone).then_some((command.tool, &command.netns, &rule.at.table))
        };
        // Other runs may need what this one made: then each is told from theirs.
        if self.id.is_some() && super::shared::is_used() {
            return 0;
        }
        let Some(first) = order.first().and_then(of) else { return 0 };
        if !self.exec().tools().restores(first.0) {
            return 0;
        }
        order.iter().take(TOGETHER_MAX).take_while(|number| of(number) == Some(first)).count()
    }

    /// Deletes rules of one table in one go, and looks whether they are gone. `false`: nothing was done, because one of them is not as it should be.
    pub(super) fn delete_rules(&mut self, numbers: &[usize], stuck: &mut Stuck) -> bool {
        let records: Vec<(usize, &Record)> =
            numbers.iter().filter_map(|number| Some((*number, self.records.get(*number)?))).collect();
        let ours = |record: &Record| matches!(self.still_ours(record), Ok(Ours::Yes));
        let deletes: Vec<&Command> = records.iter().filter_map(|(_, record)| Some(deleted_rule(record)?.0)).collect();
        let Some(restore) = firewall::all_at_once(deletes.into_iter()) else { return false };
        if !records.iter().all(|(_, record)| ours(record)) || !self.exec().run(&restore).is_ok_and(|output| output.ok) {
            return false;
        }
        let listed = self.listed(records.first().map(|(_, record)| *record));
        for (number, record) in records {
            self.undone.steps += 1;
            let Some((command, rule)) = deleted_rule(record) else { continue };
            let gone = listed.as_ref().is_some_and(|table| {
                let chain = table.chain(&rule.at.chain);
                !table.chains.is_empty() && chain.is_none_or(|chain| !rule.may_be_in(&chain.rules))
            });
            match if gone { Verdict::Holds } else { self.look(command) } {
                Verdict::Not(why) => {
                    stuck.add(&record.op);
                    self.undone.left.push((record.op.command.line(), why));
                }
                Verdict::Holds | Verdict::Untold => self.note(number),
            }
        }
        true
    }

    /// The table of a rule as it is; `None` when nobody says.
    fn listed(&self, record: Option<&Record>) -> Option<iptables::Table> {
        let (command, Rule { at, .. }) = deleted_rule(record?)?;
        let list = firewall::list(&command.netns, at.family, &at.table, None);
        let output = self.exec().run(&list).ok().filter(|output| output.ok)?;
        iptables::parse_list(&at.table, &output.ran.stdout).ok()
    }

    /// Those of the links that were made which are gone already: all of a namespace are looked at at once, for one alone costs a thread.
    pub(super) fn links_gone(&self, numbers: &[usize]) -> HashSet<usize> {
        let mut all: HashMap<&Where, Vec<(usize, &str, u32)>> = HashMap::new();
        for number in numbers {
            let Some(record) = self.records.get(*number) else { continue };
            if let (Some(Fact::Link(link)), Some(Identity::Link(index))) = (record.op.fact(), record.identity) {
                all.entry(&record.op.command.netns).or_default().push((*number, &link.name, index));
            }
        }
        let gone = |links: Vec<(usize, &str, u32)>| -> Vec<usize> {
            let is_gone = |(_, name, index): &(usize, &str, u32)| {
                crate::probe::link_index(name).is_ok_and(|now| now != Some(*index))
            };
            links.into_iter().filter(is_gone).map(|(number, ..)| number).collect()
        };
        all.into_iter().flat_map(|(netns, links)| self.exec.within(netns, || gone(links)).unwrap_or_default()).collect()
    }

    /// Looks whether addresses that were deleted are gone, unless `next` is about one of the same link.
    pub(super) fn see_addresses(&mut self, unseen: &mut Vec<usize>, next: Option<&Record>) {
        let of = |record: &Record| match record.op.fact() {
            Some(Fact::Addr(addr)) => Some((record.op.command.netns.clone(), addr.link.clone())),
            _ => None,
        };
        let Some(first) = unseen.first().and_then(|number| of(self.records.get(*number)?)) else { return };
        if next.and_then(of).as_ref() == Some(&first) {
            return;
        }
        let now = self.addresses_now(&first.0, &first.1);
        let records = self.records;
        for number in unseen.drain(..) {
            let Some(record) = records.get(number) else { continue };
            let Undo::Commands(commands) = &record.op.undo else { continue };
            let is_gone = |command: &Command| {
                let address = deleted_address(command);
                now.as_ref().is_some_and(|now| address.is_some_and(|address| !now.contains(&address)))
            };
            // What is still there is deleted once more, and looked at by itself.
            match commands
                .iter()
                .filter(|command| !is_gone(command))
                .find_map(|command| self.run(command, record).err())
            {
                Some(why) => self.undone.left.push((record.op.command.line(), why)),
                None => self.note(number),
            }
        }
    }

    /// The addresses of a link; none when it is gone; `None` when nobody says.
    fn addresses_now(&self, netns: &Where, link: &str) -> Option<HashSet<IpNet>> {
        let output = self.exec().run(&op::link::show(netns, link)).ok()?;
        if !output.ok {
            return self.find_link(netns, link).ok()?.is_none().then(HashSet::new);
        }
        let all = net_addr::parse(&output.ran.stdout, "ip address show").ok()?;
        (!all.is_empty()).then(|| all.iter().flat_map(net_addr::Addr::ipnets).collect())
    }
}
