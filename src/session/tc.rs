//! `tc` in its own words. Of a link's root discipline netwright knows what it was; what lies below goes with it, or the user says what undoes it.

use super::raw::RawAnswer;
use super::{Did, Session, failure};
use crate::error::{Error, Kind, Ran, Result};
use crate::exec::scratch::Scratch;
use crate::model::json;
use crate::model::state::Qdisc;
use crate::op::qdisc::Is;
use crate::op::{self, Command, Fact, Op, Tool, Undo, Where};

/// The verbs of `tc` that only ask (man 8 tc).
const QUESTIONS: [&str; 4] = ["show", "list", "ls", "get"];
/// The verbs that change something.
const CHANGES: [&str; 6] = ["add", "replace", "change", "link", "delete", "del"];
/// The disciplines whose classes somebody makes one by one.
const CLASSFUL: [&str; 5] = ["htb", "hfsc", "drr", "qfq", "cbq"];
/// What it speaks of.
const OBJECTS: [&str; 4] = ["qdisc", "class", "filter", "chain"];

fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

/// A change of a link's root discipline.
struct Root<'a> {
    verb: &'a str,
    link: &'a str,
    /// The words behind `root`; the handle first, if one is given.
    spec: Vec<String>,
}

/// Which link the words speak of, and the root discipline, if that is what they change.
fn read(words: &[String]) -> (Option<&str>, Option<Root<'_>>) {
    let link = words.iter().skip_while(|word| *word != "dev").nth(1).map(String::as_str);
    let is_root = words.first().is_some_and(|word| word == "qdisc") && words.iter().any(|word| word == "root");
    let (Some(link), Some(verb), true) = (link, words.get(1), is_root) else { return (link, None) };
    let mut spec: Vec<String> = words.iter().skip(2).cloned().collect();
    if let Some(at) = spec.iter().position(|word| word == "dev") {
        spec.drain(at..(at + 2).min(spec.len()));
    }
    if let Some(at) = spec.iter().position(|word| word == "root") {
        spec.remove(at);
    }
    (Some(link), Some(Root { verb, link, spec }))
}

impl Session {
    /// Runs `tc` with the user's words. A root discipline that is so already is left alone; otherwise the former one is put back by the undo.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for words that would leave netwright's control; `Unsupported` where what would be replaced could not be put back; what `tc`
    /// says.
    pub fn tc(&self, netns: &Where, words: &[String], undo: Option<&[String]>) -> Result<RawAnswer> {
        let verb = check(words)?;
        if QUESTIONS.contains(&verb) {
            let json = std::iter::once("-j".to_owned()).chain(words.iter().cloned());
            let text = self.query(&Command::new(Tool::Tc, netns, json))?;
            return Ok(match json::records(&text, "tc") {
                Ok(records) => RawAnswer::Records(records),
                Err(_) => RawAnswer::Text(text),
            });
        }
        let (link, root) = read(words);
        let link = link.ok_or_else(|| {
            invalid(format!("`tc {}` names no link", words.join(" "))).hint("tc qdisc add dev eth0 root fq")
        })?;
        self.link_require((netns, link))?;
        let did = match (undo, root) {
            (Some(undo), _) => {
                check(undo)?;
                let undo = Undo::by(Command::new(Tool::Tc, netns, undo.iter().cloned()));
                self.apply(Op::new(Command::new(Tool::Tc, netns, words.iter().cloned()), undo))?;
                Did::Something
            }
            (None, Some(root)) => self.tc_root(netns, &root)?,
            (None, None) => {
                let undo = self.tc_below(netns, link);
                self.apply(op::qdisc::below(netns, link, words, undo))?;
                Did::Something
            }
        };
        self.count(did);
        Ok(RawAnswer::Text(String::new()))
    }

    /// How something below a discipline is undone that says nothing of it: it goes with the link or the discipline that this run made.
    fn tc_below(&self, netns: &Where, link: &str) -> Undo {
        let is_ours = self.is_made(netns)
            || self.made_links.borrow().has(netns, link)
            || self.log.borrow().iter().any(|record| {
                let is_root = matches!(record.op.fact(), Some(Fact::Qdisc(one)) if one.link == link && !matches!(one.is, Is::Below(_)));
                is_root && record.op.command.netns == *netns && record.succeeded()
            });
        if is_ours {
            return Undo::Commands(Vec::new());
        }
        Undo::None("a raw `tc` command says what undoes it with `#{ undo: \"…\" }`".into())
    }

    fn tc_root(&self, netns: &Where, root: &Root<'_>) -> Result<Did> {
        let link = root.link;
        let former = self.tc_root_now(netns, link)?;
        if let Some(former) = &former
            && !self.tc_is_ours(netns, link)
        {
            let lists = |what: &str| self.query(&Command::new(Tool::Tc, netns, [what, "show", "dev", link]));
            let classful = former.words.first().is_some_and(|kind| CLASSFUL.contains(&kind.as_str()));
            if (classful && !lists("class")?.trim().is_empty()) || !lists("filter")?.trim().is_empty() {
                let what = format!("the classes and filters of `{link}` could not be put back");
                return Err(Error::new(Kind::Unsupported, what)
                    .hint("say what undoes it: `ns.tc(\"…\", #{ undo: \"…\" })`")
                    .netns(netns.name()));
            }
        }
        if matches!(root.verb, "delete" | "del") {
            let Some(former) = former else { return Ok(Did::Nothing) };
            self.apply(op::qdisc::delete(netns, link, &former.spec()))?;
            let gone = self.tc_root_now(netns, link)?.is_none();
            self.read_back(netns, gone, || format!("`{link}` still has its queueing discipline"))?;
            return Ok(Did::Something);
        }
        if root.spec.is_empty() {
            return Err(
                invalid(format!("`tc qdisc {}` says no discipline", root.verb)).hint("tc qdisc add dev eth0 root fq")
            );
        }
        let wanted = self.tc_rehearsed(netns, root, former.is_some())?;
        let is_so = |now: &Qdisc| {
            wanted.as_ref().is_some_and(|wanted| {
                wanted.words == now.words && (!root.spec.contains(&"handle".to_owned()) || wanted.handle == now.handle)
            })
        };
        if former.as_ref().is_some_and(is_so) {
            return Ok(Did::Nothing);
        }
        if let (Some(former), true) = (&former, root.verb != "change") {
            // What waits in it goes: `replace` of the same kind would keep packets that never fit again.
            self.apply(op::qdisc::delete(netns, link, &former.spec()))?;
        }
        let before = former.filter(|_| root.verb == "change").map(|former| former.spec());
        self.apply(op::qdisc::replace(netns, link, &root.spec, before.as_deref()))?;
        let now = self.tc_root_now(netns, link)?;
        self.read_back(netns, now.as_ref().is_some_and(|now| wanted.is_none() || is_so(now)), || {
            format!("`{link}` has not that queueing discipline")
        })?;
        Ok(Did::Something)
    }

    fn tc_is_ours(&self, netns: &Where, link: &str) -> bool {
        matches!(self.tc_below(netns, link), Undo::Commands(_))
    }

    /// The root discipline that somebody asked for; the kernel's own has the handle 0.
    fn tc_root_now(&self, netns: &Where, link: &str) -> Result<Option<Qdisc>> {
        let text = self.query(&op::qdisc::show_words(netns, link))?;
        Ok(text.lines().find_map(Qdisc::parse).filter(|root| root.is_root() && !root.is_of_kernel()))
    }

    /// The same discipline on a link of a throw-away namespace, as `tc` shows it there. `None` when that cannot be tried; an error when it fails there
    /// and that matters.
    fn tc_rehearsed(&self, netns: &Where, root: &Root<'_>, matters: bool) -> Result<Option<Qdisc>> {
        let scratch = Scratch::new()?;
        let there = scratch.netns();
        let answer = (|| {
            let made = ["dummy", "bridge"].iter().any(|kind| {
                let add = Command::new(Tool::Ip, &there, ["link", "add", "name", root.link, "type", kind]);
                self.exec.run_fresh(&add).is_ok_and(|output| output.ok)
            });
            let spec = op::qdisc::replace(&there, root.link, &root.spec, None).command;
            if !made {
                return Ok(None);
            }
            let tried = self.exec.run_fresh(&spec)?;
            if !tried.ok && matters {
                // Before what is there is taken away for it.
                let real = Command { netns: netns.clone(), ..spec };
                return Err(failure(&real, Ran { command: real.line(), ..tried.ran }));
            }
            if !tried.ok {
                return Ok(None);
            }
            let text = self.exec.run_fresh(&op::qdisc::show_words(&there, root.link))?.ran.stdout;
            Ok(text.lines().find_map(Qdisc::parse).filter(|root| root.is_root() && !root.is_of_kernel()))
        })();
        self.exec.forget(&there);
        answer
    }
}

/// The verb of the words.
fn check(words: &[String]) -> Result<&str> {
    let object = words.first().map_or("", String::as_str);
    if object.starts_with('-') {
        return Err(invalid("`tc` takes no options here".into()).hint("begin with qdisc, class or filter"));
    }
    if !OBJECTS.contains(&object) {
        return Err(crate::model::suggest::with_nearest(
            invalid(format!("`tc` has no object `{object}` here")),
            object,
            OBJECTS,
        )
        .hint(format!("objects: {}", OBJECTS.join(", "))));
    }
    let verb = words.get(1).map_or("show", String::as_str);
    if QUESTIONS.contains(&verb) || CHANGES.contains(&verb) {
        return Ok(verb);
    }
    let all = QUESTIONS.into_iter().chain(CHANGES);
    Err(crate::model::suggest::with_nearest(invalid(format!("`tc {object}` has no verb `{verb}`")), verb, all)
        .hint(format!("verbs: {}, {}", QUESTIONS.join(", "), CHANGES.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn a_root_discipline_is_told_from_what_lies_below() {
        let given = words("qdisc add dev eth0 handle 1: root htb default 10");
        let (link, root) = read(&given);
        assert_eq!((link, root.map(|root| root.spec)), (Some("eth0"), Some(words("handle 1: htb default 10"))));
        assert!(read(&words("class add dev eth0 parent 1: classid 1:10 htb rate 1mbit")).1.is_none());
        assert!(read(&words("qdisc add dev eth0 clsact")).1.is_none());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert_eq!(check(&words("qdisc")).unwrap(), "show");
        for (text, hint) in
            [("qdsic add dev eth0 root fq", "qdisc"), ("qdisc ad dev eth0", "add"), ("-batch x", "begin")]
        {
            let error = check(&words(text)).map(str::to_owned).unwrap_err();
            assert!(format!("{:?}", error.parts().hints).contains(hint), "{text}");
        }
    }
}
