//! Putting rules back into their chains, each where it stood among those that are still there.
//!
//! A rule's number says nothing once others have put rules above it. So the chain as it was is compared with the chain as it is: a rule goes
//! next to the nearest of its former neighbours. Rules of others are neither touched nor moved.

use std::collections::HashSet;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::undo::Undoing;
use crate::op::firewall::{self, FormerChain};
use crate::op::netns::Netns;
use crate::op::{Answer, Ask, Command, Fact, Op, Tool, Undo, Where};

/// A rule as its words.
type Rule = Vec<String>;

/// Where a rule goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    number: usize,
    /// Whether a former neighbour, or the emptiness of the chain, tells it; otherwise it is the former number.
    sure: bool,
}

/// The indexes of what is in `these` and has no counterpart in `those`.
pub(super) fn only_in(these: &[Rule], those: &[Rule]) -> Vec<usize> {
    let found: HashSet<usize> = counterparts(these, those).into_iter().map(|(this, _)| this).collect();
    (0..these.len()).filter(|index| !found.contains(index)).collect()
}

/// Which rule of `old` is which of `new`: the longest common subsequence, so that twins are not mixed up.
fn counterparts(old: &[Rule], new: &[Rule]) -> Vec<(usize, usize)> {
    let ops = capture_diff_slices(Algorithm::Myers, old, new);
    let equal = ops.into_iter().filter_map(|op| match op {
        DiffOp::Equal { old_index, new_index, len } => Some((0..len).map(move |n| (old_index + n, new_index + n))),
        _ => None,
    });
    equal.flatten().collect()
}

/// Where the rule `index` of `former` goes in `now`, when those of `away` are not there either.
fn place(former: &[Rule], index: usize, away: &[usize], now: &[Rule]) -> Place {
    let stay: Vec<usize> = (0..former.len()).filter(|other| *other != index && !away.contains(other)).collect();
    let rules: Vec<Rule> = stay.iter().filter_map(|other| former.get(*other).cloned()).collect();
    let there: Vec<(usize, usize)> =
        counterparts(&rules, now).into_iter().filter_map(|(at, now)| Some((*stay.get(at)?, now))).collect();
    let above = there.iter().rev().find(|(other, _)| *other < index);
    let below = there.iter().find(|(other, _)| *other > index);
    let sure = |number| Place { number, sure: true };
    match (above, below) {
        (Some((above, at)), Some((below, _))) if index - above <= below - index => sure(at + 2),
        (_, Some((_, at))) => sure(at + 1),
        (Some((_, at)), None) => sure(at + 2),
        (None, None) if now.is_empty() => sure(1),
        (None, None) => Place { number: (index + 1).min(now.len() + 1), sure: false },
    }
}

/// A chain, by namespace, program, table and name.
type ChainAt = (Where, Tool, String, String);

/// Chains and links whose undoing has failed: what was done to them before must wait, for it is undone by what stands or is called there.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    /// They do not have their former name, or are not there: nothing can be undone in them.
    whole: Vec<ChainAt>,
    /// A rule has not gone back: the next would not know its place. What was added can still go.
    rules: Vec<ChainAt>,
    /// Links that do not have their former name, or are not back: how they were called before, and where.
    links: Vec<(Where, String)>,
    /// Namespaces from which a link has not come home: it would go with them.
    hosts: Vec<Where>,
}

impl Stuck {
    /// Why undoing an op must wait; `None` when it need not.
    pub(super) fn holds(&self, op: &Op) -> Option<&'static str> {
        let chains = chains_of(op);
        let any = |stuck: &[ChainAt]| chains.iter().any(|chain| stuck.contains(chain));
        if any(&self.whole) || (matches!(op.undo, Undo::Rules { .. }) && any(&self.rules)) {
            return Some("a later change of the same chain or table must be undone first");
        }
        let made = op.makes_link().map(|link| (&op.command.netns, link.name.as_str()));
        let link = op.link_after().or(made);
        if link.is_some_and(|(netns, link)| self.links.iter().any(|(at, name)| at == netns && name == link)) {
            return Some("a later change of the same link must be undone first");
        }
        let hosts = |netns: &Netns| self.hosts.iter().any(|at| matches!(at, Where::Named(name) if *name == netns.name));
        matches!(op.fact(), Some(Fact::Netns(netns)) if hosts(netns))
            .then_some("a link that was moved there must come home first")
    }

    /// Undoing an op has failed, or waits itself.
    pub(super) fn add(&mut self, op: &Op) {
        match (&op.undo, op.fact()) {
            (Undo::Rules { .. }, _) => self.rules.extend(chains_of(op)),
            (Undo::Nft(_), _) | (_, Some(Fact::NfTable(_) | Fact::NfChain(_))) => {
                self.whole.extend(chains_of(op));
            }
            (_, Some(Fact::Settings(set))) if set.new_name().is_some() => {
                self.links.push((op.command.netns.clone(), set.link.clone()));
            }
            (_, Some(Fact::Moved(one))) => {
                self.links.push((one.from.clone(), one.link.clone()));
                self.hosts.push(one.to.clone());
            }
            _ => {}
        }
    }
}

/// The chains that an op of the firewall and its inverse speak of.
fn chains_of(op: &Op) -> Vec<ChainAt> {
    let command = &op.command;
    let at = |table: &str, chain: &str| (command.netns.clone(), command.tool, table.to_owned(), chain.to_owned());
    let (commands, former): (&[Command], &[FormerChain]) = match &op.undo {
        Undo::Commands(commands) => (commands, &[]),
        Undo::Rules { commands, chains } => (commands, chains),
        Undo::Nft(inverse) => return vec![at(inverse.table(), "")],
        Undo::None(_) => (&[], &[]),
    };
    let named = std::iter::once(command).chain(commands).filter_map(Command::fact).flat_map(Fact::chains);
    let named = named.map(|named| at(&named.table, &named.chain));
    named.chain(former.iter().map(|former| at(&former.table, &former.chain))).collect()
}

impl Undoing<'_> {
    /// Puts the rules that went back into their chain, with the program and in the namespace of `like`. What is there as often as it was is
    /// there again. The answer says which went to a place that no neighbour confirms.
    pub(super) fn put_back(&self, like: &Command, former: &FormerChain) -> Result<Vec<String>, String> {
        let (netns, family) = (&like.netns, firewall::family(like.tool));
        let at = firewall::ChainAt::new(family, &former.table, &former.chain);
        let rules_now = || match self.answer(netns, &Ask::Chain(at.clone())) {
            Ok(Answer::Chain(chain)) => {
                Ok(chain.map(|chain| chain.rules.into_iter().map(|rule| rule.words).collect::<Vec<Rule>>()))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        let mut notes = Vec::new();
        let Some(mut now) = rules_now()? else {
            return Err(format!("the chain `{}` of `{}` is gone", former.chain, former.table));
        };
        for (done, index) in former.gone.iter().enumerate() {
            let Some(rule) = former.rules.get(*index) else { continue };
            let count = |rules: &[Rule]| rules.iter().filter(|one| *one == rule).count();
            if count(&now) >= count(&former.rules) {
                continue;
            }
            let away = former.gone.get(done..).unwrap_or_default();
            let place = place(&former.rules, *index, away, &now);
            let command = firewall::insert_command(netns, family, former, place.number, *index);
            self.act(&command)?;
            let then = rules_now()?.unwrap_or_default();
            if count(&then) <= count(&now) {
                return Err(format!("`{}` succeeded, but the rule is not there", command.line()));
            }
            now = then;
            if !place.sure {
                let line = command.line();
                notes.push(format!("`{line}`: none of the rules that stood around it is there any more"));
            }
        }
        Ok(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;
    use proptest::prelude::*;

    fn rules(text: &str) -> Vec<Rule> {
        text.chars().map(|c| vec![c.to_string()]).collect()
    }

    fn at(former: &str, index: usize, now: &str) -> (usize, bool) {
        let place = place(&rules(former), index, &[index], &rules(now));
        (place.number, place.sure)
    }

    #[test]
    fn what_a_link_did_before_it_left_waits_until_it_is_home() {
        let (host, red, blue) = (Where::Host, Where::Named("red".into()), Where::Named("blue".into()));
        let mut stuck = Stuck::default();
        stuck.add(&op::link::moved(&red, "nic", &blue));
        let holds = |stuck: &Stuck, op: &Op| stuck.holds(op).is_some();
        // Its namespace would take it along.
        assert!(holds(&stuck, &op::netns::add("blue")) && !holds(&stuck, &op::netns::add("red")));
        let renamed = op::link::rename(&red, "eth1", "nic");
        assert!(holds(&stuck, &renamed) && holds(&stuck, &op::link::mtu(&red, "nic", 1400, 1500)));
        assert!(!holds(&stuck, &op::link::mtu(&red, "eth0", 1400, 1500)));
        let moved = op::link::moved(&host, "eth1", &red);
        assert!(!holds(&stuck, &moved));
        stuck.add(&renamed);
        assert!(holds(&stuck, &moved));
        stuck.add(&moved);
        assert!(holds(&stuck, &op::link::add(&host, "eth1", "dummy", &[])) && holds(&stuck, &op::netns::add("red")));
    }

    #[test]
    fn a_rule_goes_next_to_its_nearest_neighbour() {
        assert_eq!(at("abc", 1, "ac"), (2, true));
        assert_eq!(at("abc", 1, "Xac"), (3, true), "somebody put one above");
        assert_eq!(at("abc", 1, "aXc"), (2, true));
        assert_eq!(at("abc", 0, "Xbc"), (2, true));
        assert_eq!(at("abc", 2, "abX"), (3, true));
        assert_eq!(at("abcd", 1, "XcYd"), (2, true), "the one below is all that is near");
        assert_eq!(at("a", 0, ""), (1, true));
        assert_eq!(at("abc", 2, "XY"), (3, false), "nobody tells");
        assert_eq!(at("a", 0, "XY"), (1, false));
        assert_eq!(at("aba", 1, "aa"), (2, true), "between twins");
        assert_eq!(at("aab", 1, "Xab"), (3, true));
    }

    #[test]
    fn what_went_is_told_by_the_lists() {
        assert_eq!(only_in(&rules("abc"), &rules("ac")), [1]);
        assert_eq!(only_in(&rules("aba"), &rules("ba")), [0]);
        assert!(only_in(&rules("abc"), &rules("aXbc")).is_empty());
    }

    proptest! {
        /// Some rules go, others put theirs anywhere: all go back in their order, and without those of others the chain is as it was.
        #[test]
        fn rules_of_others_change_nothing(
            count in 1_usize..8,
            gone in prop::collection::btree_set(0_usize..8, 0..8),
            foreign in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let former: Vec<Rule> = (0..count).map(|n| vec![n.to_string()]).collect();
            let gone: Vec<usize> = gone.into_iter().filter(|n| *n < count).collect();
            let mut now: Vec<Rule> =
                former.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, rule)| rule.clone()).collect();
            for (n, index) in foreign.iter().enumerate() {
                now.insert(index.index(now.len() + 1), vec![format!("foreign {n}")]);
            }
            let is_foreign = |rule: &&Rule| rule[0].starts_with("foreign");
            let others: Vec<Rule> = now.iter().filter(is_foreign).cloned().collect();
            for (done, index) in gone.iter().enumerate() {
                let place = place(&former, *index, &gone[done..], &now);
                prop_assert!(place.sure || gone.len() == count);
                now.insert(place.number - 1, former[*index].clone());
            }
            prop_assert_eq!(now.iter().filter(is_foreign).cloned().collect::<Vec<_>>(), others);
            prop_assert_eq!(now.into_iter().filter(|rule| !is_foreign(&rule)).collect::<Vec<_>>(), former);
        }
    }
}
