//! What a link leaves to its device, as `ethtool -k` lists it.

use super::suggest;
use crate::error::{Error, Kind, Result};

/// The words of `ethtool -K` (ethtool(8)), and what `ethtool -k` calls them.
const WORDS: [(&str, &str); 12] = [
    ("rx", "rx-checksumming"),
    ("tx", "tx-checksumming"),
    ("sg", "scatter-gather"),
    ("tso", "tcp-segmentation-offload"),
    ("ufo", "udp-fragmentation-offload"),
    ("gso", "generic-segmentation-offload"),
    ("gro", "generic-receive-offload"),
    ("lro", "large-receive-offload"),
    ("rxvlan", "rx-vlan-offload"),
    ("txvlan", "tx-vlan-offload"),
    ("ntuple", "ntuple-filters"),
    ("rxhash", "receive-hashing"),
];

/// What others stand on, in that order: it goes on first and off last.
const GROUND: [&str; 3] = ["rx", "tx", "sg"];

/// A feature of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name as it is listed.
    pub name: String,
    /// Whether it is on.
    pub on: bool,
    /// What becomes of it when it is asked for the other way.
    pub change: Change,
    /// Whether it is one of those that the feature above it stands for.
    pub member: bool,
}

/// What becomes of a feature when it is asked for the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It changes.
    Free,
    /// Nobody can change it.
    Fixed,
    /// It was asked for already, and something that it needs is missing.
    Waits,
}

/// The name by which a word is listed. A feature of the kernel's own has a dash in its name.
///
/// # Errors
///
/// `InvalidArgument` for a word that `ethtool` does not know, with the nearest that it does.
pub fn listed_name(word: &str) -> Result<&str> {
    if let Some((_, name)) = WORDS.iter().find(|(short, _)| *short == word) {
        return Ok(name);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if word.contains('-') && !word.starts_with('-') && word.chars().all(is_plain) {
        return Ok(word);
    }
    let words = || WORDS.iter().map(|(short, _)| *short);
    let error = Error::new(Kind::InvalidArgument, format!("`offload` has no option `{word}`"));
    Err(suggest::with_nearest(error, word, words())
        .hint(format!("options: {}, and the names that `ethtool -k` lists", words().collect::<Vec<_>>().join(", "))))
}

/// In which order features are set: what others need goes on before them and off after them, and off goes before on.
#[must_use]
pub fn rank(word: &str, on: bool) -> (bool, usize) {
    let ground = GROUND.iter().position(|ground| *ground == word || listed_name(ground).is_ok_and(|name| name == word));
    let depth = ground.unwrap_or(GROUND.len());
    (on, if on { depth } else { GROUND.len() - depth })
}

/// Reads what `ethtool -k` prints.
///
/// # Errors
///
/// `ToolOutput` when it lists nothing.
pub fn features(text: &str) -> Result<Vec<Feature>> {
    let read = |line: &str| {
        let (name, state) = line.split_once(": ")?;
        let mut words = state.splitn(2, ' ');
        let on = match words.next()? {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        let more = words.next().unwrap_or_default();
        let change = match more {
            _ if more.contains("[fixed]") => Change::Fixed,
            _ if more.contains("[requested") => Change::Waits,
            _ => Change::Free,
        };
        Some(Feature { name: name.trim().to_owned(), on, change, member: name.starts_with(['\t', ' ']) })
    };
    let all: Vec<Feature> = text.lines().filter_map(read).collect();
    if all.is_empty() {
        return Err(Error::new(Kind::ToolOutput, "`ethtool -k` listed no feature"));
    }
    Ok(all)
}

/// A feature by its word, and those that it stands for.
#[must_use]
pub fn find<'a>(all: &'a [Feature], word: &str) -> Option<(&'a Feature, Vec<&'a Feature>)> {
    let name = listed_name(word).ok()?;
    let at = all.iter().position(|one| one.name == name)?;
    let one = all.get(at)?;
    let members = all.iter().skip(at + 1).take_while(|next| next.member && !one.member);
    Some((one, members.filter(|member| member.change != Change::Fixed).collect()))
}

/// Whether a feature is so. One of several that was asked for and is missing something is not on.
#[must_use]
pub fn is(all: &[Feature], word: &str, on: bool) -> bool {
    find(all, word).is_some_and(|(one, members)| {
        one.on == on && !(on && members.iter().chain([&one]).any(|member| !member.on && member.change == Change::Waits))
    })
}

/// The words that set a feature as it is: its own, or where those that it stands for differ, theirs.
#[must_use]
pub fn as_it_is(all: &[Feature], word: &str) -> Vec<(String, bool)> {
    let Some((one, members)) = find(all, word) else { return Vec::new() };
    // What was asked for and waits for something else is asked for again.
    let wanted = |member: &Feature| member.on != (member.change == Change::Waits);
    if members.iter().all(|member| wanted(member) == one.on) {
        return vec![(word.to_owned(), one.on)];
    }
    members.iter().map(|member| (member.name.clone(), wanted(member))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ethtool 6.1 prints a veth of Linux 6.18, `tso` asked for while `tx` is off.
    const LISTED: &str = "Features for v0:\nrx-checksumming: on\ntx-checksumming: off\n\ttx-checksum-ipv4: off [fixed]\n\ttx-checksum-ip-generic: off\n\ttx-checksum-sctp: off\nscatter-gather: on\n\ttx-scatter-gather: on\n\ttx-scatter-gather-fraglist: off\ntcp-segmentation-offload: on\n\ttx-tcp-segmentation: off [requested on]\n\ttx-tcp-accecn-segmentation: on\nlarge-receive-offload: off [fixed]\nrx-gro-list: off\n";

    #[test]
    fn features_are_read_with_what_they_stand_for() {
        let all = features(LISTED).unwrap();
        let (tx, members) = find(&all, "tx").unwrap();
        assert!(!tx.on && tx.change == Change::Free);
        assert_eq!(members.len(), 2, "not the one that is fixed: {members:?}");
        assert!(is(&all, "tx", false) && is(&all, "rx", true) && is(&all, "rx-gro-list", false));
        assert!(!is(&all, "tso", true), "it waits for `tx`");
        assert_eq!(find(&all, "lro").unwrap().0.change, Change::Fixed);
        assert!(find(&all, "ufo").is_none() && !is(&all, "ufo", false), "it is not there");
        assert!(features("Cannot get device feature names: No such device\n").is_err());
    }

    #[test]
    fn what_was_mixed_is_said_one_by_one() {
        let all = features(LISTED).unwrap();
        let said = |word: &str| as_it_is(&all, word);
        assert_eq!(said("tx"), [("tx".to_owned(), false)]);
        assert_eq!(said("rx"), [("rx".to_owned(), true)]);
        assert_eq!(
            said("sg"),
            [("tx-scatter-gather".to_owned(), true), ("tx-scatter-gather-fraglist".to_owned(), false)]
        );
        assert_eq!(said("tso"), [("tso".to_owned(), true)], "all of it was asked for");
    }

    #[test]
    fn what_others_need_goes_on_first_and_off_last() {
        let mut set = vec![("tso", true), ("tx", true), ("gro", false), ("sg", true), ("rx", false)];
        set.sort_by_key(|(word, on)| rank(word, *on));
        assert_eq!(set, [("gro", false), ("rx", false), ("tx", true), ("sg", true), ("tso", true)]);
    }

    #[test]
    fn words_that_ethtool_does_not_know_are_refused() {
        assert_eq!(listed_name("tso").unwrap(), "tcp-segmentation-offload");
        assert_eq!(listed_name("rx-udp-gro-forwarding").unwrap(), "rx-udp-gro-forwarding");
        for (bad, hint) in [("tos", "tso"), ("grou", "gro"), ("-k", "options"), ("a-b c", "options"), ("", "options")] {
            let error = listed_name(bad).unwrap_err();
            assert!(format!("{:?}", error.parts().hints).contains(hint), "{bad}: {error:?}");
        }
    }
}
