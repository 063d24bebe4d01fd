//! `nft` in its own words. A command is one word of the argv: what it means is nft's business, quotes and braces with it.

use super::{Command, Fact, Op, Tool, Undo, Where};

/// Something of nft's own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nft {
    /// What, and in which table: `rule in inet lab fw`.
    pub what: String,
    /// The words that make it so.
    pub words: Vec<String>,
}

/// What takes back a change of nft. Written down before the change, when no handle is known, and again after it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inverse {
    /// A rule goes.
    Rule {
        /// Its table, with its family.
        table: String,
        /// Its chain.
        chain: String,
        /// The rule as nft lists it.
        rule: String,
        /// The handles of the rules that were there before.
        had: Vec<u64>,
        /// Its own handle, once that is known.
        handle: Option<u64>,
    },
    /// Something with a name goes.
    Named {
        /// Its table, with its family.
        table: String,
        /// `table`, `chain`, `set` …
        kind: String,
        /// Its name.
        name: String,
        /// Its handle, once that is known.
        handle: Option<u64>,
    },
    /// Elements go.
    Elements {
        /// The table.
        table: String,
        /// The set or map.
        set: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The whole table becomes what it was.
    Table {
        /// The table.
        table: String,
        /// What it was, comparable; empty when it was not there.
        before: String,
        /// The same as nft reads it, with what was counted.
        restore: String,
        /// What it is after the change, comparable; empty when it is gone. `None` while nobody knows.
        after: Option<String>,
    },
}

impl Inverse {
    /// The table that it speaks of.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::Rule { table, .. }
            | Self::Named { table, .. }
            | Self::Elements { table, .. }
            | Self::Table { table, .. } => table,
        }
    }

    /// The commands of it for a person or a script, which know no handles.
    #[must_use]
    pub fn commands(&self, netns: &Where) -> Vec<Command> {
        match self {
            Self::Rule { table, chain, handle: Some(handle), .. } => vec![delete_rule(netns, table, chain, *handle)],
            Self::Rule { .. } => Vec::new(),
            Self::Named { table, kind, name, .. } => vec![delete_named(netns, table, kind, name, None)],
            Self::Elements { table, set, keys } => {
                keys.iter().map(|key| delete_element(netns, table, set, key)).collect()
            }
            Self::Table { table, restore, .. } => vec![restored(netns, table, restore)],
        }
    }
}

fn nft<S: Into<String>>(netns: &Where, words: impl IntoIterator<Item = S>) -> Command {
    Command::new(Tool::Nft, netns, words)
}

/// A question: `nft [OPTIONS] TEXT`.
#[must_use]
pub(crate) fn question(netns: &Where, text: &str) -> Command {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (options, rest) = words.split_at(words.iter().take_while(|word| word.starts_with('-')).count());
    nft(netns, options.iter().map(|word| (*word).to_owned()).chain([rest.join(" ")]))
}

/// What says of a command whether nft would take it: `nft -c TEXT`.
#[must_use]
pub(crate) fn check(netns: &Where, text: &str) -> Command {
    nft(netns, ["-c", text])
}

/// Loads a text from standard input, or checks it (`-c`).
#[must_use]
pub(crate) fn load(netns: &Where, options: &[&str], text: String) -> Command {
    Command { stdin: Some(text), ..nft(netns, options.iter().chain(&["-f", "-"]).copied()) }
}

/// A table with handles and without what was counted: `nft -s -a list table FAMILY NAME`.
#[must_use]
pub(crate) fn list(netns: &Where, table: &str) -> Command {
    nft(netns, ["-s".to_owned(), "-a".into(), format!("list table {table}")])
}

/// A table as it is loaded again: `nft list table FAMILY NAME`.
#[must_use]
pub(crate) fn list_whole(netns: &Where, table: &str) -> Command {
    nft(netns, [format!("list table {table}")])
}

/// Which tables there are: `nft list tables`.
#[must_use]
pub(crate) fn tables(netns: &Where) -> Command {
    nft(netns, ["list tables"])
}

/// A chain with handles: `nft -s -a list chain FAMILY TABLE CHAIN`.
#[must_use]
pub(crate) fn list_chain(netns: &Where, table: &str, chain: &str) -> Command {
    nft(netns, ["-s".to_owned(), "-a".into(), format!("list chain {table} {chain}")])
}

/// Whether a set has an element: `nft get element FAMILY TABLE SET { KEY }`.
#[must_use]
pub(crate) fn get_element(netns: &Where, table: &str, set: &str, key: &str) -> Command {
    nft(netns, [format!("get element {table} {set} {{ {key} }}")])
}

/// A change in nft's own words, which echoes the handle of what it made: `nft -s -e -a TEXT`.
#[must_use]
pub(crate) fn change(netns: &Where, text: &str, what: String, inverse: Inverse) -> Op {
    let words = ["-s", "-e", "-a", text].map(String::from).into();
    Op::new(Fact::Nft(Nft { what, words }).command(netns), Undo::Nft(Box::new(inverse)))
}

/// A table in place of whatever has its name, all in one step.
#[must_use]
pub(crate) fn table(netns: &Where, table: &str, body: &str, inverse: Inverse) -> Op {
    let text = format!("add table {table}\ndelete table {table}\n{}", block(table, body));
    let fact = Fact::Nft(Nft { what: format!("table {table}"), words: ["-f", "-"].map(String::from).into() });
    Op::new(Command { stdin: Some(text), ..fact.command(netns) }, Undo::Nft(Box::new(inverse)))
}

/// A table as a text that nft reads.
#[must_use]
pub(crate) fn block(table: &str, body: &str) -> String {
    format!("table {table} {{\n{}\n}}\n", body.trim_matches('\n').trim_end())
}

/// Deletes a rule by its handle.
#[must_use]
pub(crate) fn delete_rule(netns: &Where, table: &str, chain: &str, handle: u64) -> Command {
    nft(netns, [format!("delete rule {table} {chain} handle {handle}")])
}

/// Deletes something with a name, by its handle when that is known.
#[must_use]
pub(crate) fn delete_named(netns: &Where, table: &str, kind: &str, name: &str, handle: Option<u64>) -> Command {
    let text = match (kind, handle) {
        ("table", Some(handle)) => {
            format!("delete table {} handle {handle}", table.split(' ').next().unwrap_or_default())
        }
        ("table", None) => format!("delete table {table}"),
        // nft 1.0.6 takes the handles of no other kinds.
        ("chain" | "set", Some(handle)) => format!("delete {kind} {table} handle {handle}"),
        _ => format!("delete {kind} {table} {name}"),
    };
    nft(netns, [text])
}

/// Deletes an element.
#[must_use]
pub(crate) fn delete_element(netns: &Where, table: &str, set: &str, key: &str) -> Command {
    nft(netns, [format!("delete element {table} {set} {{ {key} }}")])
}

/// Makes a table what it was.
#[must_use]
pub(crate) fn restored(netns: &Where, table: &str, restore: &str) -> Command {
    if restore.is_empty() {
        return nft(netns, [format!("delete table {table}")]);
    }
    load(netns, &[], format!("add table {table}\ndelete table {table}\n{restore}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: &str = "inet lab";

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let line = |command: Command| command.line();
        assert_eq!(line(question(&red, "-a list ruleset")), "ip netns exec red nft -a 'list ruleset'");
        assert_eq!(line(delete_rule(&Where::Host, LAB, "fw", 7)), "nft 'delete rule inet lab fw handle 7'");
        assert_eq!(
            line(delete_named(&Where::Host, LAB, "chain", "fw", Some(3))),
            "nft 'delete chain inet lab handle 3'"
        );
        assert_eq!(line(delete_named(&Where::Host, LAB, "table", "lab", None)), "nft 'delete table inet lab'");
        assert_eq!(
            line(delete_named(&Where::Host, LAB, "ct helper", "ftp", Some(4))),
            "nft 'delete ct helper inet lab ftp'"
        );
        let op = change(
            &Where::Host,
            "add rule inet lab fw drop",
            "rule".into(),
            Inverse::Rule {
                table: LAB.into(),
                chain: "fw".into(),
                rule: "drop".into(),
                had: Vec::new(),
                handle: Some(4),
            },
        );
        assert_eq!(line(op.command), "nft -s -e -a 'add rule inet lab fw drop'");
        let Undo::Nft(inverse) = op.undo else { panic!() };
        assert_eq!(inverse.commands(&Where::Host)[0].line(), "nft 'delete rule inet lab fw handle 4'");
        assert_eq!(line(restored(&Where::Host, LAB, "")), "nft 'delete table inet lab'");
        let text = restored(&Where::Host, LAB, "table inet lab {\n}\n").stdin.unwrap();
        assert_eq!(text, "add table inet lab\ndelete table inet lab\ntable inet lab {\n}\n");
    }
}
