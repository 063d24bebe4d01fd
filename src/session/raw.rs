//! Anything that iproute2 can do, in its own words.

use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::ip_words::{self, Meaning};
use crate::op::{Command, Op, Tool, Undo, Where};

/// What a raw `ip` command gave.
#[derive(Debug)]
pub enum RawAnswer {
    /// Records, when `ip` spoke JSON.
    Records(Vec<serde_json::Value>),
    /// Text, when it did not.
    Text(String),
}

impl Session {
    /// Runs `ip` in a namespace with the user's words. What changes something is recorded with the inverse that the user gives.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for words that would leave netwright's control; what `ip` says.
    pub fn ip_raw(&self, netns: &Where, words: &[String], undo: Option<&[String]>) -> Result<RawAnswer> {
        if words.is_empty() {
            return Err(Error::new(Kind::InvalidArgument, "`ip` needs words").hint("ns.ip(\"route show table all\")"));
        }
        if ip_words::meaning(words)? == Meaning::Question {
            let json = std::iter::once("-j".to_owned()).chain(words.iter().cloned());
            let text = self.query(&Command::new(Tool::Ip, netns, json))?;
            return Ok(match crate::model::json::records(&text, "ip") {
                Ok(records) => RawAnswer::Records(records),
                Err(_) => RawAnswer::Text(text),
            });
        }
        let undo = match undo {
            Some(words) => {
                ip_words::meaning(words)?;
                Undo::by(Command::new(Tool::Ip, netns, words.iter().cloned()))
            }
            None => Undo::None("a raw `ip` command says what undoes it with `#{ undo: \"…\" }`".into()),
        };
        self.settle_all()?;
        let op = Op::new(Command::new(Tool::Ip, netns, words.iter().cloned()), undo);
        let output = self.apply(op).map_err(|error| match error.kind() {
            Kind::AlreadyExists => error
                .hint("`ns.ip` runs its words each time: look first whether it is there, or take a verb, which does"),
            _ => error,
        })?;
        self.count(Did::Something);
        Ok(RawAnswer::Text(output.ran.stdout))
    }
}
