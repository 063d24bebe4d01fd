//! `tc qdisc`: the queueing disciplines of links.

use serde::{Deserialize, Serialize};

use super::fact::Ask;
use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::model::state::Qdisc as Discipline;

/// The queueing of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qdisc {
    /// The link.
    pub link: String,
    /// What is so of it.
    pub is: Is,
}

/// What is so of the queueing of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Is {
    /// Its root discipline is this one, in the words of `tc` behind `root`.
    Root(Vec<String>),
    /// It has the root discipline that the kernel gives it.
    Kernel,
    /// Something below its root discipline changes, in the user's own words.
    Below(Vec<String>),
}

impl Qdisc {
    pub(super) fn words(&self) -> Vec<String> {
        let root = |verb: &str| ["qdisc", verb, "dev", &self.link, "root"].map(String::from);
        match &self.is {
            Is::Root(spec) => root("replace").into_iter().chain(spec.iter().cloned()).collect(),
            Is::Kernel => root("delete").into(),
            Is::Below(words) => words.clone(),
        }
    }

    /// The kind of its root discipline.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        let Is::Root(spec) = &self.is else { return None };
        let at = if spec.first().is_some_and(|word| word == "handle") { 2 } else { 0 };
        spec.get(at).map(String::as_str)
    }

    pub(super) fn ask(&self) -> Option<Ask> {
        (!matches!(self.is, Is::Below(_))).then(|| Ask::Disciplines(self.link.clone()))
    }

    pub(super) fn holds(&self, all: &[Discipline]) -> Option<bool> {
        let mut roots = all.iter().filter(|one| one.is_root());
        match &self.is {
            // As `tc` printed it, it is printed again; in other words it may be printed otherwise.
            Is::Root(spec) => match spec.split_first() {
                Some((first, [_, words @ ..])) if first == "handle" => Some(roots.any(|one| one.words == words)),
                _ => None,
            },
            // The kernel's own has the handle 0; another one stays until it is deleted.
            Is::Kernel => Some(roots.all(Discipline::is_of_kernel)),
            Is::Below(_) => None,
        }
    }

    pub(super) fn otherwise(&self) -> String {
        match self.is {
            Is::Kernel => format!("`{}` still has it", self.link),
            _ => format!("`{}` has not that queueing discipline", self.link),
        }
    }
}

fn command(netns: &Where, link: &str, is: Is) -> Command {
    Fact::Qdisc(Qdisc { link: link.to_owned(), is }).command(netns)
}

/// The queueing disciplines of a link: `tc -j qdisc show dev NAME`.
#[must_use]
pub(crate) fn show(netns: &Where, link: &str) -> Command {
    Command::new(Tool::Tc, netns, ["-j", "qdisc", "show", "dev", link])
}

/// The queueing disciplines of a link in the words that `tc` reads: `tc qdisc show dev NAME`.
#[must_use]
pub(crate) fn show_words(netns: &Where, link: &str) -> Command {
    Command::new(Tool::Tc, netns, ["qdisc", "show", "dev", link])
}

/// Replaces the root queueing discipline: `tc qdisc replace dev NAME root SPEC…`; undone by deleting it, and by `former`, what was there as `tc`
/// prints it. It is deleted first: `replace` keeps the packets that wait, and one that is larger than the bucket then is never let out again, nor
/// anything behind it (`tbf_change` of the kernel).
#[must_use]
pub(crate) fn replace(netns: &Where, link: &str, spec: &[String], former: Option<&[String]>) -> Op {
    let root = |spec: &[String]| command(netns, link, Is::Root(spec.to_vec()));
    let undo = std::iter::once(command(netns, link, Is::Kernel)).chain(former.map(root));
    Op::new(root(spec), Undo::Commands(undo.collect()))
}

/// Takes the root queueing discipline away; undone by `former`, its words as `tc` prints them.
#[must_use]
pub(crate) fn delete(netns: &Where, link: &str, former: &[String]) -> Op {
    Op::new(command(netns, link, Is::Kernel), Undo::by(command(netns, link, Is::Root(former.to_vec()))))
}

/// Changes what lies below the root discipline, in the user's own words; undone as `undo` says.
#[must_use]
pub(crate) fn below(netns: &Where, link: &str, words: &[String], undo: Undo) -> Op {
    Op::new(command(netns, link, Is::Below(words.to_vec())), undo)
}

/// The place of a filter: a link, `egress` or `ingress`, and its number among the others.
pub(crate) type Place<'a> = (&'a Where, &'a str, &'a str, &'a str);

/// The filters of a place: `tc filter show dev NAME egress pref N`.
#[must_use]
pub(crate) fn show_filter(netns: &Where, link: &str, side: &str, pref: &str) -> Command {
    Command::new(Tool::Tc, netns, ["filter", "show", "dev", link, side, "pref", pref])
}

/// A discipline that only holds filters, of what leaves and of what comes in: `tc qdisc add dev NAME clsact`.
#[must_use]
pub(crate) fn clsact(netns: &Where, link: &str) -> Op {
    let words = |verb: &str| ["qdisc", verb, "dev", link, "clsact"].map(String::from);
    let undo = Undo::by(command(netns, link, Is::Below(words("delete").into())));
    below(netns, link, &words("add"), undo)
}

fn filter_words((_, link, side, pref): Place<'_>, verb: &str) -> Vec<String> {
    ["filter", verb, "dev", link, side, "protocol", "all", "pref", pref].map(String::from).into()
}

/// Adds the filter of a place; undone by deleting it.
#[must_use]
pub(crate) fn filter(at: Place<'_>, spec: &[String]) -> Op {
    let words = [filter_words(at, "add"), spec.to_vec()].concat();
    let undo = Undo::by(command(at.0, at.1, Is::Below(filter_words(at, "delete"))));
    below(at.0, at.1, &words, undo)
}

/// Deletes the filter of a place; undone by adding what it was.
#[must_use]
pub(crate) fn filter_delete(at: Place<'_>, former: &[String]) -> Op {
    let again = [filter_words(at, "add"), former.to_vec()].concat();
    below(at.0, at.1, &filter_words(at, "delete"), Undo::by(command(at.0, at.1, Is::Below(again))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::{check, words};

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let former = words("handle 8001: tbf rate 1Mbit");
        let (shaped, gone) =
            ("tc -n red qdisc replace dev x root netem delay 20ms", "tc -n red qdisc delete dev x root");
        let again = "tc -n red qdisc replace dev x root handle 8001: tbf rate 1Mbit";
        check(&replace(&red, "x", &words("netem delay 20ms"), None), shaped, gone);
        check(&replace(&red, "x", &words("netem delay 20ms"), Some(&former)), shaped, &format!("{gone}; {again}"));
        check(&delete(&red, "x", &former), gone, again);
        let class = below(&red, "x", &words("class add dev x parent 1: classid 1:10"), Undo::None("x".into()));
        assert_eq!(class.command.line(), "tc -n red class add dev x parent 1: classid 1:10");
        check(&clsact(&red, "x"), "tc -n red qdisc add dev x clsact", "tc -n red qdisc delete dev x clsact");
        let (at, spec) = ((&red, "x", "egress", "7"), words("matchall action drop"));
        let (added, gone) = (
            "tc -n red filter add dev x egress protocol all pref 7 matchall action drop",
            "tc -n red filter delete dev x egress protocol all pref 7",
        );
        check(&filter(at, &spec), added, gone);
        check(&filter_delete(at, &spec), gone, added);
        let Some(Fact::Qdisc(kind)) = replace(&red, "x", &former, None).command.fact().cloned() else { panic!() };
        assert_eq!(kind.kind(), Some("tbf"), "not its handle");
    }
}
