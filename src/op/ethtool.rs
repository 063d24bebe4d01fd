//! `ethtool`: what a link leaves to its device.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::model::ethtool::{self as model, Feature};

/// Features of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offload {
    /// The link.
    pub link: String,
    /// Its features by the words of `ethtool -K`, each on or off.
    pub set: Vec<(String, bool)>,
}

impl Offload {
    pub(super) fn words(&self) -> Vec<String> {
        let set = self.set.iter().flat_map(|(word, on)| [word.as_str(), if *on { "on" } else { "off" }]);
        ["-K", &self.link].into_iter().chain(set).map(str::to_owned).collect()
    }

    /// The words without what they are set to.
    pub(super) fn said(&self) -> String {
        let words: Vec<&str> = self.set.iter().map(|(word, _)| word.as_str()).collect();
        format!("offload {}", words.join(" "))
    }

    pub(super) fn holds(&self, all: &[Feature]) -> bool {
        self.set.iter().all(|(word, on)| model::is(all, word, *on))
    }

    pub(super) fn otherwise(&self, all: Option<&[Feature]>) -> String {
        let wrong = |(word, on): &&(String, bool)| all.is_some_and(|all| !model::is(all, word, *on));
        let Some((word, on)) = self.set.iter().find(wrong).or(self.set.first()) else {
            return format!("`{}` is otherwise", self.link);
        };
        if *on {
            format!("`{word}` of `{}` is not on: what it needs is off (`sg`, `tx`, `rx`)", self.link)
        } else {
            format!("`{word}` of `{}` is still on", self.link)
        }
    }
}

/// What a link leaves to its device: `ethtool -k NAME`.
#[must_use]
pub(crate) fn show(netns: &Where, link: &str) -> Command {
    Command::new(Tool::Ethtool, netns, ["-k", link])
}

/// Sets a feature: `ethtool -K NAME tso off`; undone by what it, or each that it stands for, was.
#[must_use]
pub(crate) fn offload(netns: &Where, link: &str, word: &str, on: bool, former: Vec<(String, bool)>) -> Op {
    let with = |set| Fact::Offload(Offload { link: link.to_owned(), set }).command(netns);
    Op::new(with(vec![(word.to_owned(), on)]), Undo::by(with(former)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::check;

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        assert_eq!(show(&red, "x").line(), "ip netns exec red ethtool -k x");
        check(
            &offload(&red, "x", "tso", false, vec![("tso".into(), true)]),
            "ip netns exec red ethtool -K x tso off",
            "ip netns exec red ethtool -K x tso on",
        );
        let mixed = vec![("tx-scatter-gather".to_owned(), true), ("tx-scatter-gather-fraglist".to_owned(), false)];
        check(
            &offload(&Where::Host, "x", "sg", false, mixed),
            "ethtool -K x sg off",
            "ethtool -K x tx-scatter-gather on tx-scatter-gather-fraglist off",
        );
    }
}
