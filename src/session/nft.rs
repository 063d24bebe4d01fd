//! nft in its own words: one command, or a whole table.
//!
//! What a change would come to is tried first in a throw-away namespace with the same table and links of the same names: a change that would
//! change nothing is not made, and the listing of the copy tells what the real one must look like.

use super::{Did, Session, failure};
use crate::error::{Error, Kind, Ran, Result};
use crate::exec::scratch::Scratch;
use crate::model::messages;
use crate::model::nft_words::{self as words, Listed, Said, Table};
use crate::op::nft::{self as ops, Inverse};
use crate::op::{Command, Tool, Undo, Where};

/// What nft answered.
#[derive(Debug)]
pub enum NftAnswer {
    /// It was a question: what was printed.
    Text(String),
    /// It was a change.
    Did(Did),
}

/// The table whose making shows that a copy was really changed.
const MARK: &str = "netwright_rehearsed";

/// What a rehearsal came to.
struct Rehearsed {
    /// The table afterwards, comparable; empty when it is gone.
    after: String,
    /// The rule that was added, as nft lists it.
    rule: Option<String>,
}

impl Session {
    /// One command of nft. It is made only if it changes something.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for words that cannot be undone by anybody; what nft says.
    pub fn nft(&self, netns: &Where, text: &str) -> Result<NftAnswer> {
        let said = Said::parse(text)?;
        let text = text.trim().trim_end_matches(';').trim_end();
        let did = match &said {
            Said::Question => return self.query(&ops::question(netns, text)).map(NftAnswer::Text),
            Said::Rule { table, chain, rule } => self.nft_rule(netns, text, &table.to_string(), chain, rule)?,
            Said::Elements { table, set, elements } => {
                self.nft_elements(netns, text, &table.to_string(), set, elements)?
            }
            Said::Named { table, kind, name } => self.nft_named(netns, text, &table.to_string(), kind, name)?,
            Said::Other { table, verb } => self.nft_other(netns, text, &table.to_string(), verb)?,
        };
        Ok(NftAnswer::Did(self.count(did)))
    }

    /// The same of a rule that is wanted at its own place, though the same may stand elsewhere in its chain.
    ///
    /// # Errors
    ///
    /// As [`Session::nft`].
    pub fn nft_in_place(&self, netns: &Where, text: &str) -> Result<NftAnswer> {
        let Said::Rule { table, chain, rule } = Said::parse(text)? else { return self.nft(netns, text) };
        let before = self.nft_rules(netns, &table.to_string(), &chain)?;
        let rehearsed = self.nft_rule_rehearsed(netns, &table.to_string(), &chain, &rule)?;
        self.nft_rule_added(netns, text, (&table.to_string(), &chain), &rehearsed.unwrap_or(rule), &before)?;
        Ok(NftAnswer::Did(self.count(Did::Something)))
    }

    /// A whole table: what stands between its braces, in place of whatever has its name.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a text that is not the inside of one table; what nft says.
    pub fn nft_table(&self, netns: &Where, table: &Table, body: &str) -> Result<Did> {
        let table = table.to_string();
        let table = table.as_str();
        let first = body.split_whitespace().next().unwrap_or_default();
        if first == "table" {
            return Err(Error::new(Kind::InvalidArgument, "the text begins with the table itself")
                .hint(format!("give what stands between its braces: nft_table(\"{table}\", \"chain … {{ … }}\")")));
        }
        let (before, restore) = self.nft_now(netns, table)?;
        may_replace(netns, table, &restore)?;
        self.nft_would_take(&ops::load(
            netns,
            &["-c"],
            format!("add table {table}\ndelete table {table}\n{}", ops::block(table, body)),
        ))?;
        let after = self.nft_alone(netns, table, &ops::block(table, body))?;
        if after == before {
            return Ok(self.count(Did::Nothing));
        }
        let inverse = Inverse::Table { table: table.to_owned(), before, restore, after: Some(after.clone()) };
        self.apply(ops::table(netns, table, body, inverse))?;
        let now = self.nft_now(netns, table)?.0;
        self.read_back(netns, now == after, || format!("the table `{table}` is not as its text says"))?;
        Ok(self.count(Did::Something))
    }

    fn nft_rule(&self, netns: &Where, text: &str, table: &str, chain: &str, rule: &str) -> Result<Did> {
        let before = self.nft_rules(netns, table, chain)?;
        let rehearsed = self.nft_rule_rehearsed(netns, table, chain, rule)?;
        if before.iter().any(|listed| rehearsed.as_ref() == Some(&listed.text)) {
            return Ok(Did::Nothing);
        }
        self.nft_rule_added(netns, text, (table, chain), rehearsed.as_deref().unwrap_or(rule), &before)?;
        Ok(Did::Something)
    }

    /// The rules of a chain.
    fn nft_rules(&self, netns: &Where, table: &str, chain: &str) -> Result<Vec<Listed>> {
        let listing = self.query(&ops::list_chain(netns, table, chain)).map_err(|error| match error.kind() {
            Kind::NotFound => error.hint(format!(
                "make it first: ns.nft(\"add table {table}\"), ns.nft(\"add chain {table} {chain} {{ … }}\")"
            )),
            _ => error,
        })?;
        Ok(words::rules(&listing))
    }

    /// A rule as nft would list it; `None` when nobody can say.
    fn nft_rule_rehearsed(&self, netns: &Where, table: &str, chain: &str, rule: &str) -> Result<Option<String>> {
        let rehearsed = self.nft_rehearsed(netns, table, &format!("add rule {table} {chain} {rule}"))?;
        Ok(rehearsed.and_then(|done| done.rule))
    }

    /// Adds a rule to a chain that had these; undone by the handle that it gets.
    fn nft_rule_added(
        &self,
        netns: &Where,
        text: &str,
        (table, chain): (&str, &str),
        rule: &str,
        before: &[Listed],
    ) -> Result<()> {
        let had: Vec<u64> = before.iter().map(|listed| listed.handle).collect();
        let inverse = |handle, rule: &str| Inverse::Rule {
            table: table.to_owned(),
            chain: chain.to_owned(),
            rule: rule.to_owned(),
            had: had.clone(),
            handle,
        };
        self.apply(ops::change(netns, text, format!("rule in {table} {chain}"), inverse(None, rule)))?;
        let now = words::rules(&self.query(&ops::list_chain(netns, table, chain))?);
        let new = now.iter().find(|listed| !had.contains(&listed.handle) && listed.text == rule);
        let new = new.or_else(|| now.iter().find(|listed| !had.contains(&listed.handle)));
        self.read_back(netns, new.is_some(), || format!("the rule is not in `{table} {chain}`"))?;
        if let Some(new) = new {
            self.amend_last(Undo::Nft(Box::new(inverse(Some(new.handle), &new.text))))?;
        }
        Ok(())
    }

    fn nft_named(&self, netns: &Where, text: &str, table: &str, kind: &str, name: &str) -> Result<Did> {
        let (before, restore) = self.nft_now(netns, table)?;
        let listing = |session: &Self| -> Result<String> {
            if session.nft_has(netns, table)? { session.query(&ops::list(netns, table)) } else { Ok(String::new()) }
        };
        let is_there = words::named(&listing(self)?, kind, name).is_some();
        let creates = text.starts_with("create");
        if is_there && !creates {
            let rehearsed = self.nft_rehearsed(netns, table, text)?;
            if rehearsed.is_some_and(|done| done.after == before) {
                return Ok(Did::Nothing);
            }
            return self.nft_changed(netns, text, table, &before, &restore);
        }
        self.nft_would_take(&ops::check(netns, text))?;
        let inverse =
            |handle| Inverse::Named { table: table.to_owned(), kind: kind.to_owned(), name: name.to_owned(), handle };
        let what = if kind == "table" { format!("table {table}") } else { format!("{kind} {name} in {table}") };
        self.apply(ops::change(netns, text, what, inverse(None)))?;
        let handle = words::named(&listing(self)?, kind, name);
        self.read_back(netns, handle.is_some(), || format!("there is no {kind} `{name}`"))?;
        self.amend_last(Undo::Nft(Box::new(inverse(handle))))?;
        Ok(Did::Something)
    }

    fn nft_elements(&self, netns: &Where, text: &str, table: &str, set: &str, elements: &[String]) -> Result<Did> {
        let (before, _) = self.nft_now(netns, table)?;
        if self.nft_rehearsed(netns, table, text)?.is_some_and(|done| done.after == before) {
            return Ok(Did::Nothing);
        }
        self.nft_would_take(&ops::check(netns, text))?;
        let has = |key: &str| -> Result<bool> { Ok(self.ask(&ops::get_element(netns, table, set, key))?.ok) };
        let mut missing = Vec::new();
        for element in elements {
            if !has(words::element_key(element))? {
                missing.push(element.as_str());
            }
        }
        // What nft will not merge is for it to say.
        let given = if missing.is_empty() { elements.iter().map(String::as_str).collect() } else { missing.clone() };
        let keys: Vec<String> = missing.iter().map(|element| words::element_key(element).to_owned()).collect();
        let inverse = Inverse::Elements { table: table.to_owned(), set: set.to_owned(), keys: keys.clone() };
        let change = format!("add element {table} {set} {{ {} }}", given.join(", "));
        self.apply(ops::change(netns, &change, format!("elements of {set} in {table}"), inverse))?;
        for key in &keys {
            self.read_back(netns, has(key)?, || format!("`{set}` has no `{key}`"))?;
        }
        Ok(Did::Something)
    }

    /// A change that only the whole table tells: what goes, what is emptied, what is replaced.
    fn nft_other(&self, netns: &Where, text: &str, table: &str, verb: &str) -> Result<Did> {
        let takes_away = matches!(verb, "delete" | "destroy");
        if !self.nft_has(netns, table)? {
            if takes_away {
                return Ok(Did::Nothing);
            }
            return Err(Error::new(Kind::NotFound, format!("there is no table `{table}` in `{netns}`"))
                .netns(netns.name())
                .hint(format!("ns.nft(\"add table {table}\")")));
        }
        let (before, restore) = self.nft_now(netns, table)?;
        let checked = self.exec.run(&ops::check(netns, text))?;
        if !checked.ok {
            let error = failure(&ops::check(netns, text), checked.ran);
            // What is not there need not go.
            return if takes_away && error.kind() == Kind::NotFound { Ok(Did::Nothing) } else { Err(error) };
        }
        if verb != "reset" && self.nft_rehearsed(netns, table, text)?.is_some_and(|done| done.after == before) {
            return Ok(Did::Nothing);
        }
        self.nft_changed(netns, text, table, &before, &restore)
    }

    /// Makes a change that is undone by the whole table as it was.
    fn nft_changed(&self, netns: &Where, text: &str, table: &str, before: &str, restore: &str) -> Result<Did> {
        may_replace(netns, table, restore)?;
        self.nft_would_take(&ops::check(netns, text))?;
        let inverse = |after| Inverse::Table {
            table: table.to_owned(),
            before: before.to_owned(),
            restore: restore.to_owned(),
            after,
        };
        self.apply(ops::change(netns, text, format!("table {table}"), inverse(None)))?;
        let after = self.nft_now(netns, table)?.0;
        let is_reset = text.starts_with("reset");
        self.read_back(netns, is_reset || after != before, || format!("`{table}` is as it was"))?;
        let did = if after == before { Did::Nothing } else { Did::Something };
        self.amend_last(Undo::Nft(Box::new(inverse(Some(after)))))?;
        Ok(did)
    }

    fn nft_has(&self, netns: &Where, table: &str) -> Result<bool> {
        let line = format!("table {table}");
        Ok(self.query(&ops::tables(netns))?.lines().any(|have| have.trim() == line))
    }

    /// The table, comparable and as nft reads it; both empty when it is not there.
    fn nft_now(&self, netns: &Where, table: &str) -> Result<(String, String)> {
        if !self.nft_has(netns, table)? {
            return Ok(Default::default());
        }
        let listing = self.query(&ops::list(netns, table))?;
        let restore = self.query(&ops::list_whole(netns, table))?;
        Ok((words::comparable(&listing), restore))
    }

    /// The error of what nft would not take.
    fn nft_would_take(&self, check: &Command) -> Result<()> {
        let output = self.exec.run(check)?;
        if output.ok {
            return Ok(());
        }
        let meant = words::misspelt(&output.ran.stderr);
        let error = failure(check, output.ran);
        Err(match meant {
            Some((word, near)) => error.hint(format!("`{word}`: did you mean `{near}`?")),
            None => error,
        })
    }

    /// Tries a change of a table out on a copy. `None` when that cannot be: the change speaks of handles, which are others in the copy.
    fn nft_rehearsed(&self, netns: &Where, table: &str, text: &str) -> Result<Option<Rehearsed>> {
        let of_handles = text.split_whitespace().any(|word| matches!(word, "handle" | "position"));
        if of_handles {
            return Ok(None);
        }
        let listing =
            if self.nft_has(netns, table)? { self.query(&ops::list_whole(netns, table))? } else { String::new() };
        let scratch = self.nft_scratch(netns, &format!("{listing}{text}"))?;
        let there = scratch.netns();
        let answer = (|| {
            if !listing.is_empty() && !self.exec.run_fresh(&ops::load(&there, &[], listing))?.ok {
                return Ok(None);
            }
            let marked = format!("{text}\nadd table ip {MARK}\n");
            let output = self.exec.run_fresh(&ops::load(&there, &["-s", "-e", "-a"], marked))?;
            if !output.ok {
                // The real one tells why, in its own words.
                self.nft_would_take(&ops::check(netns, text))?;
                return Ok(None);
            }
            let tables = self.exec.run_fresh(&ops::tables(&there))?.ran.stdout;
            if !tables.contains(MARK) {
                // What says yes and does nothing proves nothing.
                return Ok(None);
            }
            let echoed =
                output.ran.stdout.lines().filter(|line| line.starts_with("add rule ")).find_map(words::handle_of);
            // `add rule FAMILY TABLE CHAIN RULE`: behind the fifth word.
            let rule = echoed.map(|echoed| echoed.text.splitn(6, ' ').nth(5).unwrap_or_default().to_owned());
            Ok(Some(Rehearsed { after: self.nft_copy(&there, table)?, rule }))
        })();
        self.exec.forget(&there);
        answer
    }

    /// A text that makes a table, as nft lists it.
    fn nft_alone(&self, netns: &Where, table: &str, text: &str) -> Result<String> {
        let scratch = self.nft_scratch(netns, text)?;
        let there = scratch.netns();
        let answer = (|| {
            let load = ops::load(&there, &[], text.to_owned());
            let output = self.exec.run_fresh(&load)?;
            if !output.ok {
                let load = Command { netns: netns.clone(), ..load };
                return Err(failure(&load, Ran { command: load.line(), ..output.ran }));
            }
            let all = self.exec.run_fresh(&ops::tables(&there))?.ran.stdout;
            let one = format!("table {table}");
            if let Some(other) = all.lines().map(str::trim).find(|line| !line.is_empty() && *line != one) {
                return Err(Error::new(Kind::InvalidArgument, format!("the text ends its table and makes `{other}`"))
                    .hint("one call for each table"));
            }
            let copy = self.nft_copy(&there, table)?;
            if copy.is_empty() {
                return Err(Error::new(
                    Kind::ToolOutput,
                    format!("`nft` says that it has made `{table}`, and has not"),
                )
                .netns(netns.name()));
            }
            Ok(copy)
        })();
        self.exec.forget(&there);
        answer
    }

    fn nft_copy(&self, there: &Where, table: &str) -> Result<String> {
        let listed = self.exec.run_fresh(&ops::list(there, table))?;
        Ok(if listed.ok { words::comparable(&listed.ran.stdout) } else { String::new() })
    }

    /// A throw-away namespace with links of the same names, if the text speaks of any: some rules only load where their link is.
    fn nft_scratch(&self, netns: &Where, text: &str) -> Result<Scratch> {
        let scratch = Scratch::new()?;
        let of_links = ["iif ", "oif ", "device", "flowtable", "hook ingress", "hook egress"];
        if of_links.iter().any(|word| text.contains(word)) {
            let links = self.query(&crate::op::link::show_all(netns))?;
            let links = crate::model::link::parse(&links, "ip address show")?;
            let lines: String = links
                .iter()
                .filter(|link| !link.is_loopback())
                // Of kinds that kernels have, whichever this one has: for the second the name is there.
                .flat_map(|link| ["dummy", "bridge"].map(|kind| format!("link add name {} type {kind}\n", link.ifname)))
                .collect();
            let there = scratch.netns();
            let mut command = Command::new(Tool::Ip, &there, ["-force", "-batch", "-"]);
            command.stdin = Some(lines);
            self.exec.run_fresh(&command)?;
            self.exec.forget(&there);
        }
        Ok(scratch)
    }
}

/// The error of a table that nft cannot write back as it is.
fn may_replace(netns: &Where, table: &str, listing: &str) -> Result<()> {
    if !words::is_of_iptables(listing) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unsupported,
        format!("the table `{table}` is iptables' own: nft cannot write all its rules back"),
    )
    .hint("change it with `ns.iptables(…)`, or take a table of another name")
    .netns(netns.name()))
}

/// Whether nft complains that something is not there.
pub(super) fn says_missing(stderr: &str) -> bool {
    messages::recognise(stderr).is_some_and(|said| said.kind == Kind::NotFound)
}
