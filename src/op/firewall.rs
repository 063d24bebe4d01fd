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

/// Asks whether the rule that a command inserts is there already: `-C CHAIN SPEC…` for `-I CHAIN N SPEC…`.
#[must_use]
pub fn check_inserted(insert: &Command) -> Option<Command> {
    let at = insert.argv.iter().position(|word| word == "-I")?;
    let (head, rest) = (&insert.argv[..at], insert.argv.get(at + 1..)?);
    let (chain, spec) = (rest.first()?, rest.get(2..)?);
    let words = head.iter().map(String::as_str).chain(["-C", chain]).chain(spec.iter().map(String::as_str));
    Some(Command::new(insert.tool, &insert.netns, words))
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

/// Reads a table, or all of them, with counters: `iptables-save -c [-t TABLE]`.
#[must_use]
pub fn save(netns: &Where, family: Family, table: Option<&str>) -> Command {
    let tool = match family {
        Family::V4 => Tool::IptablesSave,
        Family::V6 => Tool::Ip6tablesSave,
    };
    Command::new(tool, netns, ["-c"].into_iter().chain(table.into_iter().flat_map(|table| ["-t", table])))
}

/// Puts a whole table back: `iptables-restore -w 5 -c -T TABLE` with the text of [`save`].
#[must_use]
pub fn restore(netns: &Where, family: Family, table: &str, saved: &str) -> Command {
    let tool = match family {
        Family::V4 => Tool::IptablesRestore,
        Family::V6 => Tool::Ip6tablesRestore,
    };
    let mut command = Command::new(tool, netns, ["-w", LOCK_WAIT_S, "-c", "-T", table]);
    command.stdin = Some(saved.to_owned());
    command
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

/// Deletes the rule with this specification; undone by inserting it where it was.
#[must_use]
pub fn delete(netns: &Where, family: Family, table: &str, chain: &str, position: u32, spec: &[String]) -> Op {
    Op::new(
        command(netns, family, table, &["-D", chain], spec),
        Object::NfRule { chain: chain_object(table, chain) },
        Undo::by(command(netns, family, table, &["-I", chain, &position.to_string()], spec)),
    )
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

/// Any other change of a table; undone by putting the whole table back as it was saved.
#[must_use]
pub fn other(netns: &Where, family: Family, table: &str, argv: &[String], saved: &str) -> Op {
    Op::new(
        command(netns, family, table, &[], argv),
        Object::NfTable { table: table.into() },
        Undo::by(restore(netns, family, table, saved)),
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
            &delete(&Where::Host, v4, "filter", "INPUT", 3, &spec("-j DROP")),
            "iptables -w 5 -t filter -D INPUT -j DROP",
            "iptables -w 5 -t filter -I INPUT 3 -j DROP",
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
            &other(&Where::Host, v4, "nat", &spec("-F WEB"), "*nat\nCOMMIT\n"),
            "iptables -w 5 -t nat -F WEB",
            "printf %s '*nat\nCOMMIT\n' | iptables-restore -w 5 -c -T nat",
        );
        let Undo::Commands(inverse) = delete(&Where::Host, v4, "filter", "INPUT", 3, &spec("-j DROP")).undo else {
            panic!()
        };
        assert_eq!(
            check_inserted(&inverse[0]).map(|check| check.line()).as_deref(),
            Some("iptables -w 5 -t filter -C INPUT -j DROP")
        );
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
}
