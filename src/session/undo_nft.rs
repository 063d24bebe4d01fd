//! Taking back what nft changed: by what is there now, not by what was expected to be.

use super::nft::says_missing;
use super::undo::{Step, Undoing};
use crate::model::nft_words::{self as words, Listed};
use crate::op::nft::{self as ops, Inverse};
use crate::op::{Command, Undo, Where};

type Answer<T> = std::result::Result<T, String>;

impl Undoing<'_> {
    /// Takes back one change.
    pub(super) fn undo_nft(&self, number: usize, netns: &Where, inverse: &Inverse) -> Step {
        // When the whole table was put back, all in it has new handles.
        let later = self.records.get(number + 1..).unwrap_or_default();
        let same = later.iter().filter(|record| record.op.command.netns == *netns);
        let same = same.filter_map(|record| match &record.op.undo {
            Undo::Nft(other) if other.table() == inverse.table() => Some((record, &**other)),
            _ => None,
        });
        let remade = same.clone().any(|(record, other)| matches!(other, Inverse::Table { .. }) && record.is_undone());
        let holds_ours = same.clone().any(|(record, _)| record.succeeded() && !record.is_undone());
        if holds_ours && matches!(inverse, Inverse::Named { kind, .. } if kind == "table") {
            return Step::Failed("a later change in it must be undone first".into());
        }
        self.nft_taken_back(netns, inverse, remade).unwrap_or_else(Step::Failed)
    }

    fn nft_taken_back(&self, netns: &Where, inverse: &Inverse, remade: bool) -> Answer<Step> {
        match inverse {
            Inverse::Rule { table, chain, rule, had, handle } => {
                let now = self.nft_chain(netns, table, chain)?;
                let Some(ours) = find_rule(&now, rule, had, *handle, remade) else { return Ok(Step::Done) };
                let Ok(ours) = ours else {
                    return Ok(Step::Foreign(format!(
                        "the rule `{rule}` in `{table} {chain}` was made anew by somebody else"
                    )));
                };
                let said = self.act(&ops::delete_rule(netns, table, chain, ours));
                let gone = !self.nft_chain(netns, table, chain)?.iter().any(|listed| listed.handle == ours);
                Ok(ended(gone, said, "the rule is still there"))
            }
            Inverse::Named { table, kind, name, handle } => {
                let Some(listing) = self.nft_listed(netns, table)? else { return Ok(Step::Done) };
                let Some(now) = words::named(&listing, kind, name) else { return Ok(Step::Done) };
                if handle.is_some_and(|made| made != now) && !remade {
                    return Ok(Step::Foreign(format!("{kind} `{name}` of nft was made anew by somebody else")));
                }
                if kind == "table" && !words::is_empty(&listing) {
                    return Ok(Step::Foreign(format!("the table `{table}` holds what others have put in it")));
                }
                let said = self.act(&ops::delete_named(netns, table, kind, name, Some(now)));
                let gone = self.nft_listed(netns, table)?.is_none_or(|now| words::named(&now, kind, name).is_none());
                Ok(ended(gone, said, "it is still there"))
            }
            Inverse::Elements { table, set, keys } => {
                if self.nft_listed(netns, table)?.is_none() {
                    return Ok(Step::Done);
                }
                for key in keys {
                    if !self.nft_has_element(netns, table, set, key)? {
                        continue;
                    }
                    let said = self.act(&ops::delete_element(netns, table, set, key));
                    let gone = !self.nft_has_element(netns, table, set, key)?;
                    if let Step::Failed(why) = ended(gone, said, &format!("`{key}` is still in `{set}`")) {
                        return Ok(Step::Failed(why));
                    }
                }
                Ok(Step::Done)
            }
            Inverse::Table { table, before, restore, after } => {
                let now = self.nft_listed(netns, table)?.map(|listing| words::comparable(&listing)).unwrap_or_default();
                if now == *before {
                    return Ok(Step::Done);
                }
                if after.as_ref().is_some_and(|after| now != *after) {
                    return Ok(Step::Foreign(format!("the table `{table}` of nft was changed since by somebody else")));
                }
                let said = self.act(&ops::restored(netns, table, restore));
                let now = self.nft_listed(netns, table)?.map(|listing| words::comparable(&listing)).unwrap_or_default();
                Ok(ended(now == *before, said, &format!("the table `{table}` is not as it was")))
            }
        }
    }

    /// What a question prints; `None` when what it asks for is not there.
    fn nft_ask(&self, command: &Command) -> Answer<Option<String>> {
        let output = self.exec().run(command).map_err(|error| error.to_string())?;
        if output.ok {
            return Ok(Some(output.ran.stdout));
        }
        if says_missing(&output.ran.stderr) { Ok(None) } else { Err(output.ran.stderr.trim().to_owned()) }
    }

    fn nft_listed(&self, netns: &Where, table: &str) -> Answer<Option<String>> {
        Ok(self.nft_ask(&ops::list(netns, table))?.filter(|listing| !listing.trim().is_empty()))
    }

    fn nft_chain(&self, netns: &Where, table: &str, chain: &str) -> Answer<Vec<Listed>> {
        Ok(self
            .nft_ask(&ops::list_chain(netns, table, chain))?
            .map(|listing| words::rules(&listing))
            .unwrap_or_default())
    }

    fn nft_has_element(&self, netns: &Where, table: &str, set: &str, key: &str) -> Answer<bool> {
        Ok(self.nft_ask(&ops::get_element(netns, table, set, key))?.is_some())
    }
}

/// The rule of a run among those of its chain: its handle. An error when the handle means another rule by now. In a table that was made anew only
/// the words tell.
fn find_rule(
    now: &[Listed],
    rule: &str,
    had: &[u64],
    handle: Option<u64>,
    remade: bool,
) -> Option<std::result::Result<u64, ()>> {
    let by_words = |listed: &&Listed| listed.text == rule && (remade || !had.contains(&listed.handle));
    let found = match handle {
        Some(_) if remade => now.iter().rfind(by_words)?,
        Some(handle) => now.iter().find(|listed| listed.handle == handle)?,
        // Handles only go up: of those that are new, ours is the first.
        None => now.iter().filter(by_words).min_by_key(|listed| listed.handle)?,
    };
    Some(if found.text == rule { Ok(found.handle) } else { Err(()) })
}

/// What is so is done, whatever the tool said; what is not so is told by its complaint.
fn ended(holds: bool, said: Answer<()>, otherwise: &str) -> Step {
    match (holds, said) {
        (true, _) => Step::Done,
        (false, Err(why)) => Step::Failed(why),
        (false, Ok(())) => Step::Failed(otherwise.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_told_from_one_of_the_same_words() {
        let rule = |text: &str, handle| Listed { text: text.into(), handle };
        let now = [rule("drop", 3), rule("drop", 9), rule("accept", 8)];
        let find = |had: &[u64], handle, remade| find_rule(&now, "drop", had, handle, remade);
        assert_eq!(find(&[3], None, false), Some(Ok(9)));
        assert_eq!(find(&[3, 9], None, false), None);
        assert_eq!(find(&[], Some(9), false), Some(Ok(9)));
        assert_eq!(find(&[], Some(8), false), Some(Err(())));
        assert_eq!(find(&[], Some(7), false), None);
        assert_eq!(find(&[9], Some(7), true), Some(Ok(9)), "its table was made anew");
    }
}
