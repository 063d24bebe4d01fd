//! `iptables` and `ip6tables` in their own words. Every call waits for the lock (`-w 5`), as KNOWLEDGE.md asks.

use super::{Command, Object, Op, Tool, Undo, Where};
use crate::op::route::Family;

/// How long iptables waits for its lock, in seconds.
const LOCK_WAIT_S: &str = "5";

/// The comment that marks a rule as made by netwright.
pub const MARK: &str = "netwright";

/// The program for a family.
#[must_use]
pub fn tool(family: Family) -> Tool {
    match family {
        Family::V4 => Tool::Iptables,
        Family::V6 => Tool::Ip6tables,
    }
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
pub fn command(netns: &Where, family: Family, table: &str, argv: &[&str], spec: &[String]) -> Command {
    Command::new(tool(family), netns, words(table, argv, spec))
}

/// Asks whether a rule exists: `iptables -C CHAIN SPEC…`.
#[must_use]
pub fn check(netns: &Where, family: Family, table: &str, chain: &str, spec: &[String]) -> Command {
    command(netns, family, table, &["-C", chain], spec)
}

/// Asks whether the rule that a command deletes by its words is there: `-C CHAIN SPEC…` for `-D CHAIN SPEC…`.
#[must_use]
pub fn check_deleted(delete: &Command) -> Option<Command> {
    let at = delete.argv.iter().position(|word| word == "-D")?;
    let mut check = delete.clone();
    "-C".clone_into(&mut check.argv[at]);
    Some(check)
}

/// Reads a chain, or the whole table: `iptables -S [CHAIN]`.
#[must_use]
pub fn list(netns: &Where, family: Family, table: &str, chain: Option<&str>) -> Command {
    let argv: Vec<&str> = std::iter::once("-S").chain(chain).collect();
    command(netns, family, table, &argv, &[])
}

/// Reads a chain, or the whole table, with what its rules have counted: `iptables -S [CHAIN] -v`.
#[must_use]
pub fn list_counted(netns: &Where, family: Family, table: &str, chain: Option<&str>) -> Command {
    let argv: Vec<&str> = std::iter::once("-S").chain(chain).chain(["-v"]).collect();
    command(netns, family, table, &argv, &[])
}

/// Reads a table, or all of them, with counters: `iptables-save -c [-t TABLE]`.
#[must_use]
pub fn save(netns: &Where, family: Family, table: Option<&str>) -> Command {
    let tool = match family {
        Family::V4 => Tool::IptablesSave,
        Family::V6 => Tool::Ip6tablesSave,
    };
    Command::new(tool, netns, ["-c"].into_iter().chain(table.into_iter().flat_map(|table| ["-t", table])))
}

/// Whether the words of a rule can be a line of `iptables-restore`, which knows quotes but splits at blanks.
#[must_use]
pub fn is_plain(spec: &[String]) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/@%+,=-!".contains(c);
    spec.iter().all(|word| !word.is_empty() && word.chars().all(plain))
}

/// Whether two commands append rules to one table of a namespace, in words that `iptables-restore` takes.
#[must_use]
pub fn go_together(one: &Command, other: &Command) -> bool {
    let appends = |command: &Command| {
        parts(command).filter(|(_, letter, rest)| *letter == "-A" && is_plain(rest)).map(|(table, ..)| table.to_owned())
    };
    (one.tool, &one.netns) == (other.tool, &other.netns)
        && appends(one).is_some_and(|table| appends(other) == Some(table))
}

/// Runs several commands about single rules of one table in one go, all or none: `iptables-restore --noflush`.
#[must_use]
pub fn all_at_once<'a>(commands: impl Iterator<Item = &'a Command>) -> Option<Command> {
    let mut commands = commands.peekable();
    let first = *commands.peek()?;
    let (table, ..) = parts(first)?;
    let mut text = format!("*{table}\n");
    for (_, letter, rest) in commands.map_while(parts) {
        text.push_str(letter);
        for word in rest {
            text.push(' ');
            text.push_str(word);
        }
        text.push('\n');
    }
    text.push_str("COMMIT\n");
    let mut command = Command::new(first.tool.restorer()?, &first.netns, ["--noflush", "-w", LOCK_WAIT_S]);
    command.stdin = Some(text);
    Some(command)
}

/// A chain as it was before some of its rules went: where those go back to is told by the ones that stood around them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

fn chain_object(table: &str, chain: &str) -> String {
    format!("{table} {chain}")
}

/// Appends a rule; undone by deleting it.
#[must_use]
pub fn append(netns: &Where, family: Family, table: &str, chain: &str, spec: &[String]) -> Op {
    Op::new(
        command(netns, family, table, &["-A", chain], spec),
        Object::NfRule { chain: chain_object(table, chain) },
        Undo::by(command(netns, family, table, &["-D", chain], spec)),
    )
}

/// Inserts a rule at a position, 1 being the first; undone by deleting it.
#[must_use]
pub fn insert(netns: &Where, family: Family, table: &str, chain: &str, position: u32, spec: &[String]) -> Op {
    Op::new(
        command(netns, family, table, &["-I", chain, &position.to_string()], spec),
        Object::NfRule { chain: chain_object(table, chain) },
        Undo::by(command(netns, family, table, &["-D", chain], spec)),
    )
}

/// Deletes a rule, told by its words or by its number; undone by putting it back.
#[must_use]
pub fn delete(netns: &Where, family: Family, former: FormerChain, rule: &[String]) -> Op {
    let (table, chain) = (former.table.clone(), former.chain.clone());
    Op::new(
        command(netns, family, &table, &["-D", &chain], rule),
        Object::NfRule { chain: chain_object(&table, &chain) },
        Undo::Rules { commands: Vec::new(), chains: vec![former] },
    )
}

/// Puts another rule in the place of one, 1 being the first; undone by deleting it and putting the former one back.
#[must_use]
pub fn replace(netns: &Where, family: Family, former: FormerChain, position: u32, spec: &[String]) -> Op {
    let (table, chain) = (former.table.clone(), former.chain.clone());
    Op::new(
        command(netns, family, &table, &["-R", &chain, &position.to_string()], spec),
        Object::NfRule { chain: chain_object(&table, &chain) },
        Undo::Rules { commands: vec![command(netns, family, &table, &["-D", &chain], spec)], chains: vec![former] },
    )
}

/// Empties a chain, or all chains of the table; undone by putting the rules back.
#[must_use]
pub fn flush(netns: &Where, family: Family, table: &str, chain: Option<&str>, former: Vec<FormerChain>) -> Op {
    let argv: Vec<&str> = std::iter::once("-F").chain(chain).collect();
    Op::new(
        command(netns, family, table, &argv, &[]),
        Object::NfTable { table: table.into() },
        Undo::Rules { commands: Vec::new(), chains: former },
    )
}

/// Deletes an empty chain, or all of them; undone by making `names` again.
#[must_use]
pub fn delete_chain(netns: &Where, family: Family, table: &str, chain: Option<&str>, names: &[String]) -> Op {
    let argv: Vec<&str> = std::iter::once("-X").chain(chain).collect();
    Op::new(
        command(netns, family, table, &argv, &[]),
        Object::NfTable { table: table.into() },
        Undo::Commands(names.iter().map(|name| command(netns, family, table, &["-N", name], &[])).collect()),
    )
}

/// Renames a chain; undone by its former name.
#[must_use]
pub fn rename_chain(netns: &Where, family: Family, table: &str, from: &str, to: &str) -> Op {
    Op::new(
        command(netns, family, table, &["-E", from, to], &[]),
        Object::NfChain { chain: chain_object(table, to) },
        Undo::by(command(netns, family, table, &["-E", to, from], &[])),
    )
}

/// Sets counters to zero. There is nothing to undo: counters change with the next packet, and nothing that a packet meets depends on them.
#[must_use]
pub fn zero(netns: &Where, family: Family, table: &str, argv: &[String]) -> Op {
    Op::new(
        command(netns, family, table, &[], argv),
        Object::NfTable { table: table.into() },
        Undo::Commands(Vec::new()),
    )
}

/// Puts a rule back into its chain in an inverse, with what it has counted: `-I CHAIN POSITION SPEC… -c PACKETS BYTES`, 1 being the first position.
#[must_use]
pub fn insert_command(like: &Command, former: &FormerChain, position: usize, rule: usize) -> Command {
    let spec = former.rules.get(rule).map(Vec::as_slice).unwrap_or_default();
    let mut argv = words(&former.table, &["-I", &former.chain, &position.to_string()], spec);
    if let Some((packets, bytes)) = former.counters.get(rule).filter(|counted| **counted != (0, 0)) {
        argv.extend(["-c".to_owned(), packets.to_string(), bytes.to_string()]);
    }
    Command::new(like.tool, &like.netns, argv)
}

/// Reads a chain, or the table, with the program and in the namespace of another command: `iptables -S [CHAIN]`.
#[must_use]
pub fn list_like(like: &Command, table: &str, chain: Option<&str>) -> Command {
    let argv: Vec<&str> = std::iter::once("-S").chain(chain).collect();
    Command::new(like.tool, &like.netns, words(table, &argv, &[]))
}

/// The table, the command's letter, and the words after it, of a command of this file.
#[must_use]
pub fn parts(command: &Command) -> Option<(&str, &str, &[String])> {
    match &command.argv[..] {
        [wait, _, t, table, letter, rest @ ..] if wait == "-w" && t == "-t" => Some((table, letter, rest)),
        _ => None,
    }
}

/// Sets the policy of a built-in chain; undone by the former one.
#[must_use]
pub fn policy(netns: &Where, family: Family, table: &str, chain: &str, target: &str, former: &str) -> Op {
    Op::new(
        command(netns, family, table, &["-P", chain, target], &[]),
        Object::NfPolicy { chain: chain_object(table, chain) },
        Undo::by(command(netns, family, table, &["-P", chain, former], &[])),
    )
}

/// Makes a chain; undone by deleting it.
#[must_use]
pub fn new_chain(netns: &Where, family: Family, table: &str, chain: &str) -> Op {
    Op::new(
        command(netns, family, table, &["-N", chain], &[]),
        Object::NfChain { chain: chain_object(table, chain) },
        // Not flushed before: the run's own rules are undone one by one, and what somebody else put there is theirs.
        Undo::by(command(netns, family, table, &["-X", chain], &[])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    fn check_op(op: &Op, command: &str, undo: &str) {
        assert_eq!(op.command.line(), command);
        let Undo::Commands(commands) = &op.undo else { panic!("no inverse") };
        assert_eq!(commands.iter().map(Command::line).collect::<Vec<_>>().join("; "), undo);
    }

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
        assert_eq!(
            check_deleted(&inverse[0]).map(|check| check.line()).as_deref(),
            Some("iptables -w 5 -t filter -C INPUT -j DROP")
        );
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
        let op = delete(&Where::Host, Family::V4, former.clone(), &spec("2"));
        assert_eq!(op.command.line(), "iptables -w 5 -t filter -D INPUT 2");
        assert_eq!(op.undo, Undo::Rules { commands: Vec::new(), chains: vec![former.clone()] });
        assert_eq!(
            insert_command(&op.command, &former, 2, 1).line(),
            "iptables -w 5 -t filter -I INPUT 2 -j DROP -c 6 504"
        );
        assert_eq!(
            insert_command(&op.command, &former, 1, 0).line(),
            "iptables -w 5 -t filter -I INPUT 1 -i lo -j ACCEPT"
        );
        assert_eq!(list_like(&op.command, "nat", Some("OUTPUT")).line(), "iptables -w 5 -t nat -S OUTPUT");
        assert_eq!(parts(&op.command), Some(("filter", "-D", &spec("INPUT 2")[..])));
        let op = replace(&Where::Host, Family::V6, former.clone(), 2, &spec("-j REJECT"));
        assert_eq!(op.command.line(), "ip6tables -w 5 -t filter -R INPUT 2 -j REJECT");
        let Undo::Rules { commands, .. } = op.undo else { panic!() };
        assert_eq!(commands[0].line(), "ip6tables -w 5 -t filter -D INPUT -j REJECT");
        let op = flush(&Where::Host, Family::V4, "filter", Some("INPUT"), vec![former]);
        assert_eq!(op.command.line(), "iptables -w 5 -t filter -F INPUT");
    }
}
