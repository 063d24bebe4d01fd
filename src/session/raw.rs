//! Anything that iproute2 can do, in its own words.

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::op::{Command, Object, Op, Tool, Undo, Where};

/// What a raw `ip` command gave.
#[derive(Debug)]
pub enum RawAnswer {
    /// Records, when `ip` spoke JSON.
    Records(Vec<serde_json::Value>),
    /// Text, when it did not.
    Text(String),
}

/// The words that only look. iproute2 takes prefixes of them, and an object alone means `show`.
const LOOKING: [&str; 8] = ["show", "list", "lst", "get", "help", "save", "pids", "identify"];

/// Whether words only look: an object alone, or an object and a looking word.
fn only_looks(words: &[String]) -> bool {
    let mut plain = words.iter().filter(|word| !word.starts_with('-'));
    plain.next();
    match plain.next() {
        None => true,
        Some(action) => LOOKING.iter().any(|word| word.starts_with(action.as_str())) && action != "s" && action != "l",
    }
}

impl Session {
    /// Runs `ip` in a namespace with the user's words. What changes something is recorded with the inverse that the user gives.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for words that would leave netwright's control; what `ip` says.
    pub fn ip_raw(&self, netns: &Where, words: &[String], undo: Option<&[String]>) -> Result<RawAnswer> {
        for (word, why) in [
            ("-batch", "a batch hides what it does"),
            ("-b", "a batch hides what it does"),
            ("monitor", "it never ends"),
        ] {
            if words.iter().any(|given| given == word) {
                return Err(Error::new(Kind::InvalidArgument, format!("`ip {word}` cannot be run here: {why}")));
            }
        }
        if words.is_empty() {
            return Err(Error::new(Kind::InvalidArgument, "`ip` needs words").hint("ns.ip(\"route show table all\")"));
        }
        if only_looks(words) {
            let json = std::iter::once("-j".to_owned()).chain(words.iter().cloned());
            let text = self.query(&Command::new(Tool::Ip, netns, json))?;
            return Ok(match crate::model::json::records(&text, "ip") {
                Ok(records) => RawAnswer::Records(records),
                Err(_) => RawAnswer::Text(text),
            });
        }
        let undo = match undo {
            Some(words) => Undo::by(Command::new(Tool::Ip, netns, words.iter().cloned())),
            None => Undo::None("a raw `ip` command says what undoes it with `#{ undo: \"…\" }`".into()),
        };
        self.settle_all()?;
        let output = self.apply(Op::new(Command::new(Tool::Ip, netns, words.iter().cloned()), Object::Raw, undo))?;
        self.count(Did::Something);
        Ok(RawAnswer::Text(output.ran.stdout))
    }
}

#[cfg(test)]
mod tests {
    use super::only_looks;

    #[test]
    fn looking_and_changing_are_told_apart() {
        let looks = |text: &str| only_looks(&text.split(' ').map(String::from).collect::<Vec<_>>());
        for text in
            ["route show table all", "link", "-s link", "addr sh", "-6 route get ::1", "neigh list", "netns pids x"]
        {
            assert!(looks(text), "{text}");
        }
        for text in [
            "link add name x type dummy",
            "route add default via 10.0.0.1",
            "link set dev x up",
            "route flush cache",
            "netns exec a b",
        ] {
            assert!(!looks(text), "{text}");
        }
    }
}
