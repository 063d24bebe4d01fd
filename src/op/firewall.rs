//! `iptables` and `ip6tables` in their own words. Every call waits for the lock (`-w 5`), as KNOWLEDGE.md asks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fact::Ask;
use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::model::iptables;
use crate::op::route::Family;

/// How long iptables waits for its lock, in seconds.
const LOCK_WAIT_S: &str = "5";

/// The comment that marks a rule as made by netwright.
pub(crate) const MARK: &str = "netwright";

/// The program for a family.
#[must_use]
pub(crate) fn tool(family: Family) -> Tool {
    match family {
        Family::V4 => Tool::Iptables,
        Family::V6 => Tool::Ip6tables,
    }
}

/// The family of a program.
#[must_use]
pub(crate) fn family(tool: Tool) -> Family {
    if tool == Tool::Ip6tables { Family::V6 } else { Family::V4 }
}

fn words(table: &str, argv: &[&str], spec: &[String]) -> Vec<String> {
    ["-w", LOCK_WAIT_S, "-t", table]
        .iter()
        .chain(argv)
        .map(|word| (*word).to_owned())
        .chain(spec.iter().cloned())
        .collect()
}

/// Any iptables command: `iptables -w 5 -t TABLE WORDS… SPEC…`.
#[must_use]
pub(crate) fn command(netns: &Where, family: Family, table: &str, argv: &[&str], spec: &[String]) -> Command {
    Command::new(tool(family), netns, words(table, argv, spec))
}

/// Asks whether a rule exists: `iptables -C CHAIN SPEC…`.
#[must_use]
pub(crate) fn check(netns: &Where, family: Family, table: &str, chain: &str, spec: &[String]) -> Command {
    command(netns, family, table, &["-C", chain], spec)
}

/// Reads a chain, or the whole table: `iptables -S [CHAIN]`.
#[must_use]
pub(crate) fn list(netns: &Where, family: Family, table: &str, chain: Option<&str>) -> Command {
    let argv: Vec<&str> = std::iter::once("-S").chain(chain).collect();
    command(netns, family, table, &argv, &[])
}

/// Reads a chain, or the whole table, with what its rules have counted: `iptables -S [CHAIN] -v`.
#[must_use]
pub(crate) fn list_counted(netns: &Where, family: Family, table: &str, chain: Option<&str>) -> Command {
    let argv: Vec<&str> = std::iter::once("-S").chain(chain).chain(["-v"]).collect();
    command(netns, family, table, &argv, &[])
}

/// Reads a table, or all of them, with counters: `iptables-save -c [-t TABLE]`.
#[must_use]
pub(crate) fn save(netns: &Where, family: Family, table: Option<&str>) -> Command {
    let tool = match family {
        Family::V4 => Tool::IptablesSave,
        Family::V6 => Tool::Ip6tablesSave,
    };
    Command::new(tool, netns, ["-c"].into_iter().chain(table.into_iter().flat_map(|table| ["-t", table])))
}

/// Whether the words of a rule can be a line of `iptables-restore`, which knows quotes but splits at blanks.
#[must_use]
pub(crate) fn is_plain(spec: &[String]) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/@%+,=-!".contains(c);
    spec.iter().all(|word| !word.is_empty() && word.chars().all(plain))
}

/// A chain as it was before some of its rules went: where those go back to is told by the ones that stood around them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerChain {
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// All of its rules in order, each as the words after `-A CHAIN`.
    pub rules: Vec<Vec<String>>,
    /// Which of them went, from 0, ascending.
    pub gone: Vec<usize>,
    /// The packets and bytes that each of them has counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<(u64, u64)>,
}

impl FormerChain {
    fn at(&self, family: Family) -> ChainAt {
        ChainAt::new(family, &self.table, &self.chain)
    }
}

/// A chain of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChainAt {
    /// The family, which says which program.
    pub family: Family,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl ChainAt {
    /// A chain by its names.
    #[must_use]
    pub fn new(family: Family, table: &str, chain: &str) -> Self {
        Self { family, table: table.to_owned(), chain: chain.to_owned() }
    }

    pub(super) fn ask(&self) -> Ask {
        Ask::Chain(self.clone())
    }
}

impl fmt::Display for ChainAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.chain)
    }
}

/// A rule in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Where.
    pub at: ChainAt,
    /// What becomes of it.
    pub act: RuleAct,
    /// Its words, as iptables takes them; none where its number tells which it is.
    pub spec: Vec<String>,
}

/// What becomes of a rule. Numbers are from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAct {
    /// It comes last.
    Append,
    /// It comes at this place.
    Insert(u32),
    /// It comes in the place of this one.
    Replace(u32),
    /// It goes.
    Delete,
    /// The one with this number goes.
    DeleteNumber(u32),
}

impl Rule {
    /// `-A`, `-I`, `-R` or `-D`.
    fn letter(&self) -> &'static str {
        match self.act {
            RuleAct::Append => "-A",
            RuleAct::Insert(_) => "-I",
            RuleAct::Replace(_) => "-R",
            RuleAct::Delete | RuleAct::DeleteNumber(_) => "-D",
        }
    }

    /// The words without the table: `-A INPUT -j DROP`.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        let number = match self.act {
            RuleAct::Insert(number) | RuleAct::Replace(number) | RuleAct::DeleteNumber(number) => Some(number),
            RuleAct::Append | RuleAct::Delete => None,
        };
        let head = [self.letter().to_owned(), self.at.chain.clone()].into_iter();
        head.chain(number.map(|number| number.to_string())).chain(self.spec.iter().cloned()).collect()
    }

    pub(super) fn words(&self) -> Vec<String> {
        words(&self.at.table, &[], &self.said())
    }

    /// Whether it comes; otherwise it goes.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self.act, RuleAct::Delete | RuleAct::DeleteNumber(_))
    }

    /// Whether it has netwright's mark.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.spec.iter().any(|word| word == MARK)
    }

    /// What it does with a packet: the word behind `-j`.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.spec.iter().skip_while(|word| *word != "-j").nth(1).map(String::as_str)
    }

    /// Whether it may be one of these.
    #[must_use]
    pub fn may_be_in(&self, rules: &[iptables::Rule]) -> bool {
        let marked = |rule: &iptables::Rule| rule.comments().any(|comment| comment == MARK);
        rules.iter().any(|rule| (!self.is_marked() || marked(rule)) && rule.may_be(&self.spec))
    }

    /// The list tells that a rule is not there; whether one that may be it is it, only iptables knows ([`Rule::check`]).
    pub(super) fn holds(&self, chain: Option<&iptables::Chain>) -> Option<bool> {
        if matches!(self.act, RuleAct::DeleteNumber(_)) {
            return None;
        }
        let may_be = chain.is_some_and(|chain| self.may_be_in(&chain.rules));
        if may_be { None } else { Some(!self.is_there()) }
    }

    /// Asks iptables whether it is there: `-C CHAIN SPEC…`.
    #[must_use]
    pub fn check(&self, netns: &Where) -> Command {
        check(netns, self.at.family, &self.at.table, &self.at.chain, &self.spec)
    }
}

/// A chain that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Which; of one that is renamed, by its new name.
    pub at: ChainAt,
    /// What becomes of it.
    pub act: ChainAct,
}

/// What becomes of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainAct {
    /// It is made.
    New,
    /// It is deleted.
    Delete,
    /// It had this name.
    RenameFrom(String),
}

impl Chain {
    pub(super) fn words(&self) -> Vec<String> {
        let chain = self.at.chain.as_str();
        match &self.act {
            ChainAct::New => words(&self.at.table, &["-N", chain], &[]),
            ChainAct::Delete => words(&self.at.table, &["-X", chain], &[]),
            ChainAct::RenameFrom(from) => words(&self.at.table, &["-E", from, chain], &[]),
        }
    }

    /// Whether it is there afterwards.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.act != ChainAct::Delete
    }
}

/// The policy of a built-in chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which chain.
    pub at: ChainAt,
    /// `ACCEPT` or `DROP`.
    pub target: String,
}

impl Policy {
    pub(super) fn words(&self) -> Vec<String> {
        words(&self.at.table, &["-P", &self.at.chain, &self.target], &[])
    }
}

/// A table, or what one command does to many of its chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The family.
    pub family: Family,
    /// The table.
    pub table: String,
    /// What becomes of it.
    pub act: TableAct,
}

/// What becomes of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableAct {
    /// The rules go, of one chain or of all.
    Flush(Option<String>),
    /// Empty chains go, one or all.
    DeleteChains(Option<String>),
    /// Counters become zero, in the user's words.
    Zero(Vec<String>),
}

impl Table {
    pub(super) fn words(&self) -> Vec<String> {
        let with = |letter: &str, chain: &Option<String>| -> Vec<String> {
            std::iter::once(letter.to_owned()).chain(chain.clone()).collect()
        };
        let rest = match &self.act {
            TableAct::Flush(chain) => with("-F", chain),
            TableAct::DeleteChains(chain) => with("-X", chain),
            TableAct::Zero(words) => words.clone(),
        };
        words(&self.table, &[], &rest)
    }
}

impl Fact {
    /// The chains of iptables that it speaks of by name.
    #[must_use]
    pub fn chains(&self) -> Vec<ChainAt> {
        match self {
            Self::NfRule(rule) => vec![rule.at.clone()],
            Self::NfPolicy(policy) => vec![policy.at.clone()],
            Self::NfChain(chain) => {
                let from = match &chain.act {
                    ChainAct::RenameFrom(from) => Some(ChainAt { chain: from.clone(), ..chain.at.clone() }),
                    ChainAct::New | ChainAct::Delete => None,
                };
                from.into_iter().chain([chain.at.clone()]).collect()
            }
            Self::NfTable(Table { family, table, act: TableAct::Flush(chain) | TableAct::DeleteChains(chain) }) => {
                chain.iter().map(|chain| ChainAt::new(*family, table, chain)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The table of iptables that it is about.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::NfRule(Rule { at, .. }) | Self::NfPolicy(Policy { at, .. }) | Self::NfChain(Chain { at, .. }) => {
                Some(&at.table)
            }
            Self::NfTable(table) => Some(&table.table),
            _ => None,
        }
    }

    /// The rule of iptables that it is about.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::NfRule(rule) => Some(rule),
            _ => None,
        }
    }
}

/// Whether two commands append rules to one table of a namespace, in words that `iptables-restore` takes.
#[must_use]
pub(crate) fn go_together(one: &Command, other: &Command) -> bool {
    let appended = |command: &'_ Command| {
        let rule = command.fact()?.rule()?;
        (rule.act == RuleAct::Append && is_plain(&rule.said())).then(|| rule.at.table.clone())
    };
    (one.tool, &one.netns) == (other.tool, &other.netns)
        && appended(one).is_some_and(|table| appended(other) == Some(table))
}

/// Runs several commands about single rules of one table in one go, all or none: `iptables-restore --noflush`.
#[must_use]
pub(crate) fn all_at_once<'a>(commands: impl Iterator<Item = &'a Command>) -> Option<Command> {
    let mut commands = commands.peekable();
    let first = *commands.peek()?;
    let table = &first.fact()?.rule()?.at.table;
    let mut text = format!("*{table}\n");
    for rule in commands.map_while(|command| command.fact()?.rule()) {
        text.push_str(&rule.said().join(" "));
        text.push('\n');
    }
    text.push_str("COMMIT\n");
    let mut command = Command::new(first.tool.restorer()?, &first.netns, ["--noflush", "-w", LOCK_WAIT_S]);
    command.stdin = Some(text);
    Some(command)
}

fn rule(netns: &Where, at: ChainAt, act: RuleAct, spec: &[String]) -> Command {
    Fact::NfRule(Rule { at, act, spec: spec.to_vec() }).command(netns)
}

/// Appends a rule; undone by deleting it.
#[must_use]
pub(crate) fn append(netns: &Where, family: Family, table: &str, chain: &str, spec: &[String]) -> Op {
    let with = |act| rule(netns, ChainAt::new(family, table, chain), act, spec);
    Op::new(with(RuleAct::Append), Undo::by(with(RuleAct::Delete)))
}

/// Inserts a rule at a position, 1 being the first; undone by deleting it.
#[must_use]
pub(crate) fn insert(netns: &Where, family: Family, table: &str, chain: &str, position: u32, spec: &[String]) -> Op {
    let with = |act| rule(netns, ChainAt::new(family, table, chain), act, spec);
    Op::new(with(RuleAct::Insert(position)), Undo::by(with(RuleAct::Delete)))
}

/// Deletes a rule, told by its words; undone by putting it back.
#[must_use]
pub(crate) fn delete(netns: &Where, family: Family, former: FormerChain, spec: &[String]) -> Op {
    let command = rule(netns, former.at(family), RuleAct::Delete, spec);
    Op::new(command, Undo::Rules { commands: Vec::new(), chains: vec![former] })
}

/// Deletes a rule, told by its number from 1; undone by putting it back.
#[must_use]
pub(crate) fn delete_number(netns: &Where, family: Family, former: FormerChain, number: u32) -> Op {
    let command = rule(netns, former.at(family), RuleAct::DeleteNumber(number), &[]);
    Op::new(command, Undo::Rules { commands: Vec::new(), chains: vec![former] })
}

/// Puts another rule in the place of one, 1 being the first; undone by deleting it and putting the former one back.
#[must_use]
pub(crate) fn replace(netns: &Where, family: Family, former: FormerChain, position: u32, spec: &[String]) -> Op {
    let with = |act| rule(netns, former.at(family), act, spec);
    let (command, undo) = (with(RuleAct::Replace(position)), with(RuleAct::Delete));
    Op::new(command, Undo::Rules { commands: vec![undo], chains: vec![former] })
}

fn whole(netns: &Where, family: Family, table: &str, act: TableAct) -> Command {
    Fact::NfTable(Table { family, table: table.to_owned(), act }).command(netns)
}

/// Empties a chain, or all chains of the table; undone by putting the rules back.
#[must_use]
pub(crate) fn flush(netns: &Where, family: Family, table: &str, chain: Option<&str>, former: Vec<FormerChain>) -> Op {
    let command = whole(netns, family, table, TableAct::Flush(chain.map(str::to_owned)));
    Op::new(command, Undo::Rules { commands: Vec::new(), chains: former })
}

fn chain_command(netns: &Where, at: ChainAt, act: ChainAct) -> Command {
    Fact::NfChain(Chain { at, act }).command(netns)
}

/// Deletes an empty chain, or all of them; undone by making `names` again.
#[must_use]
pub(crate) fn delete_chain(netns: &Where, family: Family, table: &str, chain: Option<&str>, names: &[String]) -> Op {
    let again = |name: &String| chain_command(netns, ChainAt::new(family, table, name), ChainAct::New);
    Op::new(
        whole(netns, family, table, TableAct::DeleteChains(chain.map(str::to_owned))),
        Undo::Commands(names.iter().map(again).collect()),
    )
}

/// Renames a chain; undone by its former name.
#[must_use]
pub(crate) fn rename_chain(netns: &Where, family: Family, table: &str, from: &str, to: &str) -> Op {
    let renamed = |from: &str, to: &str| {
        chain_command(netns, ChainAt::new(family, table, to), ChainAct::RenameFrom(from.to_owned()))
    };
    Op::new(renamed(from, to), Undo::by(renamed(to, from)))
}

/// Sets counters to zero. There is nothing to undo: counters change with the next packet, and nothing that a packet meets depends on them.
#[must_use]
pub(crate) fn zero(netns: &Where, family: Family, table: &str, argv: &[String]) -> Op {
    Op::new(whole(netns, family, table, TableAct::Zero(argv.to_vec())), Undo::Commands(Vec::new()))
}

/// Puts a rule back into its chain in an inverse, with what it has counted: `-I CHAIN POSITION SPEC… -c PACKETS BYTES`, 1 being the first position.
#[must_use]
pub(crate) fn insert_command(
    netns: &Where,
    family: Family,
    former: &FormerChain,
    position: usize,
    index: usize,
) -> Command {
    let mut spec = former.rules.get(index).cloned().unwrap_or_default();
    if let Some((packets, bytes)) = former.counters.get(index).filter(|counted| **counted != (0, 0)) {
        spec.extend(["-c".to_owned(), packets.to_string(), bytes.to_string()]);
    }
    let position = u32::try_from(position).unwrap_or(u32::MAX);
    rule(netns, former.at(family), RuleAct::Insert(position), &spec)
}

/// Sets the policy of a built-in chain; undone by the former one.
#[must_use]
pub(crate) fn policy(netns: &Where, family: Family, table: &str, chain: &str, target: &str, former: &str) -> Op {
    let with = |target: &str| {
        let at = ChainAt::new(family, table, chain);
        Fact::NfPolicy(Policy { at, target: target.to_owned() }).command(netns)
    };
    Op::new(with(target), Undo::by(with(former)))
}

/// Makes a chain; undone by deleting it.
#[must_use]
pub(crate) fn new_chain(netns: &Where, family: Family, table: &str, chain: &str) -> Op {
    let with = |act| chain_command(netns, ChainAt::new(family, table, chain), act);
    // Not flushed before: the run's own rules are undone one by one, and what somebody else put there is theirs.
    Op::new(with(ChainAct::New), Undo::by(with(ChainAct::Delete)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::{check as check_op, words as spec};

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let v4 = Family::V4;
        check_op(
            &append(&red, v4, "nat", "POSTROUTING", &spec("-o eth0 -j MASQUERADE")),
            "ip netns exec red iptables -w 5 -t nat -A POSTROUTING -o eth0 -j MASQUERADE",
            "ip netns exec red iptables -w 5 -t nat -D POSTROUTING -o eth0 -j MASQUERADE",
        );
        check_op(
            &insert(&Where::Host, Family::V6, "filter", "INPUT", 2, &spec("-j DROP")),
            "ip6tables -w 5 -t filter -I INPUT 2 -j DROP",
            "ip6tables -w 5 -t filter -D INPUT -j DROP",
        );
        check_op(
            &policy(&Where::Host, v4, "filter", "FORWARD", "DROP", "ACCEPT"),
            "iptables -w 5 -t filter -P FORWARD DROP",
            "iptables -w 5 -t filter -P FORWARD ACCEPT",
        );
        check_op(
            &new_chain(&Where::Host, v4, "nat", "WEB"),
            "iptables -w 5 -t nat -N WEB",
            "iptables -w 5 -t nat -X WEB",
        );
        check_op(
            &delete_chain(&Where::Host, v4, "nat", None, &spec("A B")),
            "iptables -w 5 -t nat -X",
            "iptables -w 5 -t nat -N A; iptables -w 5 -t nat -N B",
        );
        check_op(
            &rename_chain(&Where::Host, v4, "nat", "A", "B"),
            "iptables -w 5 -t nat -E A B",
            "iptables -w 5 -t nat -E B A",
        );
        check_op(&zero(&Where::Host, v4, "nat", &spec("-Z OUTPUT")), "iptables -w 5 -t nat -Z OUTPUT", "");
        let Undo::Commands(inverse) = append(&Where::Host, v4, "filter", "INPUT", &spec("-j DROP")).undo else {
            panic!()
        };
        let rule = inverse[0].fact().and_then(Fact::rule).unwrap();
        assert_eq!(rule.check(&Where::Host).line(), "iptables -w 5 -t filter -C INPUT -j DROP");
        assert_eq!(save(&red, v4, Some("nat")).line(), "ip netns exec red iptables-save -c -t nat");
        assert_eq!(list(&red, v4, "nat", Some("OUTPUT")).line(), "ip netns exec red iptables -w 5 -t nat -S OUTPUT");
    }
    #[test]
    fn rules_that_go_are_kept_with_their_chain() {
        let former = FormerChain {
            table: "filter".into(),
            chain: "INPUT".into(),
            rules: vec![spec("-i lo -j ACCEPT"), spec("-j DROP")],
            gone: vec![1],
            counters: vec![(0, 0), (6, 504)],
        };
        let op = delete_number(&Where::Host, Family::V4, former.clone(), 2);
        assert_eq!(op.command.line(), "iptables -w 5 -t filter -D INPUT 2");
        assert_eq!(op.undo, Undo::Rules { commands: Vec::new(), chains: vec![former.clone()] });
        assert_eq!(
            insert_command(&Where::Host, Family::V4, &former, 2, 1).line(),
            "iptables -w 5 -t filter -I INPUT 2 -j DROP -c 6 504"
        );
        assert_eq!(
            insert_command(&Where::Host, Family::V4, &former, 1, 0).line(),
            "iptables -w 5 -t filter -I INPUT 1 -i lo -j ACCEPT"
        );
        let op = delete(&Where::Host, Family::V4, former.clone(), &spec("-j DROP"));
        assert_eq!(op.command.line(), "iptables -w 5 -t filter -D INPUT -j DROP");
        let op = replace(&Where::Host, Family::V6, former.clone(), 2, &spec("-j REJECT"));
        assert_eq!(op.command.line(), "ip6tables -w 5 -t filter -R INPUT 2 -j REJECT");
        let Undo::Rules { commands, .. } = op.undo else { panic!() };
        assert_eq!(commands[0].line(), "ip6tables -w 5 -t filter -D INPUT -j REJECT");
        let op = flush(&Where::Host, Family::V4, "filter", Some("INPUT"), vec![former]);
        assert_eq!(op.command.line(), "iptables -w 5 -t filter -F INPUT");
    }
}
