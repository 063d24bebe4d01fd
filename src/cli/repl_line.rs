//! The line of the REPL while it is edited: completion, hints, colours, and whether it is complete.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::script::repl::Console;

/// The commands of the REPL, for completion.
const COMMANDS: &[&str] =
    &[":diff", ":help", ":load", ":quit", ":reset", ":save", ":shell", ":show", ":trace", ":undo", ":why"];
const KEYWORDS: &[&str] = &[
    "as", "break", "catch", "const", "continue", "do", "else", "export", "false", "fn", "for", "if", "import", "in",
    "let", "loop", "private", "return", "switch", "this", "throw", "true", "try", "until", "while",
];

const DIM: &str = "\u{1b}[90m";
const MAGENTA: &str = "\u{1b}[35m";
const GREEN: &str = "\u{1b}[32m";
const CYAN: &str = "\u{1b}[36m";
const BLUE: &str = "\u{1b}[34m";
const RESET: &str = "\u{1b}[0m";

/// Helps with the line.
pub(super) struct Assistant {
    console: Rc<RefCell<Console>>,
    colour: bool,
}

impl Assistant {
    pub(super) fn new(console: &Rc<RefCell<Console>>, colour: bool) -> Self {
        Self { console: Rc::clone(console), colour }
    }
}

impl Helper for Assistant {}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..pos];
        let begin = before.len() - before.trim_start().len();
        if before[begin..].starts_with(':') {
            return Ok(self.command(before, begin));
        }
        Ok(self.console.borrow().complete(before))
    }
}

impl Assistant {
    /// What can stand in a command: its name, then what it is about.
    fn command(&self, before: &str, begin: usize) -> (usize, Vec<String>) {
        let start = before.rfind(char::is_whitespace).map_or(begin, |at| at + 1).max(begin);
        let word = &before[start..];
        let words: Vec<String> = match before[begin..].split_whitespace().next().filter(|_| start > begin) {
            None => COMMANDS.iter().map(|name| (*name).to_owned()).collect(),
            Some(":trace") => ["on", "off"].map(str::to_owned).into(),
            Some(":shell" | ":why") => {
                let mut names = self.console.borrow().session().netns_names().unwrap_or_default();
                names.push("host".to_owned());
                names
            }
            Some(_) => Vec::new(),
        };
        (start, words.into_iter().filter(|candidate| candidate.starts_with(word)).collect())
    }
}

/// A hint that is only read: the right arrow does not insert it.
pub(super) struct Signature(String);

impl Hint for Signature {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assistant {
    type Hint = Signature;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Signature> {
        let ready = pos == line.len() && line.ends_with(['(', ',', ' ']) && !line.trim_start().starts_with(':');
        if !ready {
            return None;
        }
        let gap = if line.ends_with(',') { " " } else { "" };
        self.console.borrow().hint(line).map(|hint| Signature(format!("{gap}{hint}")))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let is_command = input.trim_start().starts_with(':');
        // Two line ends say that it is meant as it stands.
        if is_command || input.trim().is_empty() || input.ends_with('\n') || !self.console.borrow().is_unfinished(input)
        {
            return Ok(ValidationResult::Valid(None));
        }
        Ok(ValidationResult::Incomplete)
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colour { Cow::Owned(coloured(line)) } else { Cow::Borrowed(line) }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        if self.colour { Cow::Owned(format!("{BLUE}{prompt}{RESET}")) } else { Cow::Borrowed(prompt) }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colour { Cow::Owned(format!("{DIM}{hint}{RESET}")) } else { Cow::Borrowed(hint) }
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.colour && kind != CmdKind::MoveCursor
    }
}

/// A line with its strings, numbers, keywords, calls and comments in colour.
fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let (len, colour) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), DIM)
        } else if matches!(c, '"' | '`') {
            (string_len(rest, c), GREEN)
        } else if c.is_ascii_digit() {
            (rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()), CYAN)
        } else if c.is_alphabetic() || c == '_' || c == ':' && out.is_empty() {
            let len = rest[c.len_utf8()..].find(|c: char| !c.is_alphanumeric() && c != '_');
            let len = len.map_or(rest.len(), |len| len + c.len_utf8());
            let colour = if c == ':' || KEYWORDS.contains(&&rest[..len]) {
                MAGENTA
            } else if rest[len..].starts_with('(') {
                BLUE
            } else {
                ""
            };
            (len, colour)
        } else {
            (c.len_utf8(), "")
        };
        let text = &rest[..len];
        if colour.is_empty() {
            out.push_str(text);
        } else {
            let _ = write!(out, "{colour}{text}{RESET}");
        }
        rest = &rest[len..];
    }
    out
}

fn string_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote == '"';
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::coloured;

    fn plain(text: &str) -> String {
        let mut out = String::new();
        let mut parts = text.split('\u{1b}');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
        }
        out
    }

    proptest! {
        #[test]
        fn colours_change_no_letter(line in "[a-z0-9\"`\\\\ (){}.:/é_\n]{0,60}") {
            prop_assert_eq!(plain(&coloured(&line)), line);
        }
    }
}
