//! The words that a user gives to iptables, understood as far as netwright needs: which table, which command, which chain. What follows is the
//! user's and stays as it is, in its order.

mod command;

pub use command::{Command, RuleRef};

use super::{names, words};
use crate::{Error, Kind, Result};

/// The tables that iptables has.
pub const TABLES: &[&str] = &["filter", "nat", "mangle", "raw", "security"];

/// One call of iptables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// `filter` unless `-t` says otherwise.
    pub table: String,
    /// What to do.
    pub command: Command,
    /// Matches and target of the rule, with their `!`, in the user's order.
    pub spec: Vec<String>,
    /// Options that only shape output (`-n`, `-v`, `-x`, `--line-numbers`).
    pub shape: Vec<String>,
    target_at: Option<usize>,
}

/// Short and long names of the commands.
const COMMANDS: &[(char, &str)] = &[
    ('A', "append"),
    ('I', "insert"),
    ('D', "delete"),
    ('R', "replace"),
    ('C', "check"),
    ('P', "policy"),
    ('N', "new-chain"),
    ('X', "delete-chain"),
    ('E', "rename-chain"),
    ('F', "flush"),
    ('Z', "zero"),
    ('L', "list"),
    ('S', "list-rules"),
];

/// iptables' own options with a value that stay in the spec.
const VALUED: &[(char, &str)] = &[
    ('p', "protocol"),
    ('p', "proto"),
    ('s', "source"),
    ('s', "src"),
    ('d', "destination"),
    ('d', "dst"),
    ('i', "in-interface"),
    ('o', "out-interface"),
    ('j', "jump"),
    ('g', "goto"),
    ('m', "match"),
];

impl Invocation {
    /// Understands the words after `iptables`, in all the forms that iptables takes: `-t nat -A POSTROUTING`, `-tnat -APOSTROUTING`,
    /// `--table=nat --append POSTROUTING`, `-nvL INPUT`. `-w` is dropped, since netwright always waits for the lock.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidArgument`] for no command, two commands, a missing or impossible chain, an unknown table, an option without its value.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut reader =
            Reader { args, at: 0, table: None, command: None, spec: Vec::new(), shape: Vec::new(), target_at: None };
        while reader.at < args.len() {
            reader.step()?;
        }
        reader.finish()
    }

    /// All words: `-t nat -A POSTROUTING …`.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        let mut argv = self.shape.clone();
        argv.extend(self.with_command(&self.command));
        argv
    }

    /// The question whether the rule is there: `-t TABLE -C CHAIN …`. `None` for commands that are not about a described rule.
    #[must_use]
    pub fn check_argv(&self) -> Option<Vec<String>> {
        let chain = self.rule_chain()?;
        Some(self.with_command(&Command::Check { chain }))
    }

    /// The words that append the rule.
    #[must_use]
    pub fn append_argv(&self) -> Option<Vec<String>> {
        let chain = self.rule_chain()?;
        Some(self.with_command(&Command::Append { chain }))
    }

    /// The words that delete the rule by its description.
    #[must_use]
    pub fn delete_argv(&self) -> Option<Vec<String>> {
        let chain = self.rule_chain()?;
        Some(self.with_command(&Command::Delete { chain, rule: RuleRef::Spec }))
    }

    /// The words that insert the rule at a place, from 1.
    #[must_use]
    pub fn insert_argv(&self, position: u32) -> Option<Vec<String>> {
        let chain = self.rule_chain()?;
        Some(self.with_command(&Command::Insert { chain, position }))
    }

    /// The target of `-j` or `-g`.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        let at = self.target_at?;
        let word = self.spec.get(at)?;
        if let Some((_, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
            return Some(value);
        }
        if word.starts_with("--") || word.len() == 2 {
            self.spec.get(at + 1).map(String::as_str)
        } else {
            word.get(2..)
        }
    }

    /// The same with a comment: `-m comment --comment MARK` just before the target, or at the end when there is none.
    /// A comment of the user's own stays; iptables keeps several.
    #[must_use]
    pub fn with_comment(&self, mark: &str) -> Self {
        let mut marked = self.clone();
        let at = self.target_at.unwrap_or(self.spec.len()).min(self.spec.len());
        marked.spec.splice(at..at, ["-m", "comment", "--comment", mark].map(str::to_owned));
        marked.target_at = self.target_at.map(|target| target + 4);
        marked
    }

    /// All words as one line, quoted as `iptables-save` does.
    #[must_use]
    pub fn text(&self) -> String {
        self.argv().iter().map(|word| words::quote(word)).collect::<Vec<_>>().join(" ")
    }

    fn rule_chain(&self) -> Option<String> {
        self.command.has_spec().then(|| self.command.chain().map(str::to_owned)).flatten()
    }

    fn with_command(&self, command: &Command) -> Vec<String> {
        let mut argv = vec!["-t".to_owned(), self.table.clone()];
        argv.extend(command.words());
        argv.extend(self.spec.iter().cloned());
        argv
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

fn looks_like_option(word: &str) -> bool {
    word.starts_with('-') || word == "!"
}

/// Reads the words one option at a time, as getopt does.
struct Reader<'a> {
    args: &'a [String],
    at: usize,
    table: Option<String>,
    command: Option<Command>,
    spec: Vec<String>,
    shape: Vec<String>,
    target_at: Option<usize>,
}

impl Reader<'_> {
    fn step(&mut self) -> Result<()> {
        let word = self.args[self.at].clone();
        self.at += 1;
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
            self.long(&word, name, value)
        } else if word.len() > 1 && word.starts_with('-') {
            self.short(&word)
        } else if word == "!" {
            self.spec.push(word);
            Ok(())
        } else {
            Err(self.stray(&word))
        }
    }

    fn long(&mut self, word: &str, name: &str, value: Option<String>) -> Result<()> {
        if let Some((letter, _)) = COMMANDS.iter().find(|(_, long)| *long == name) {
            return self.command(*letter, word, value);
        }
        match name {
            "table" => self.set_table(word, value),
            "wait" | "wait-interval" => {
                self.skip_number();
                Ok(())
            }
            "numeric" | "verbose" | "exact" | "line-numbers" => {
                self.shape.push(word.to_owned());
                Ok(())
            }
            "set-counters" => {
                self.spec.push(word.to_owned());
                self.take_plain(2);
                Ok(())
            }
            _ if VALUED.iter().any(|(_, long)| *long == name) => {
                if matches!(name, "jump" | "goto") {
                    self.target(word)?;
                }
                self.spec.push(word.to_owned());
                if value.is_none() { self.take_value(word) } else { Ok(()) }
            }
            _ => self.foreign(word, value.is_some()),
        }
    }

    /// `-A`, `-AINPUT`, `-nvL`, `-tnat`, `-jDROP`, …: letters without a value may stand together.
    fn short(&mut self, word: &str) -> Result<()> {
        for (at, letter) in word.char_indices().skip(1) {
            let rest = &word[at + letter.len_utf8()..];
            let value = (!rest.is_empty()).then(|| rest.to_owned());
            if COMMANDS.iter().any(|(short, _)| *short == letter) {
                return self.command(letter, word, value);
            }
            match letter {
                't' => return self.set_table(word, value),
                'w' | 'W' => {
                    if value.is_none() {
                        self.skip_number();
                    }
                    return Ok(());
                }
                'n' | 'v' | 'x' => self.shape.push(format!("-{letter}")),
                'c' => {
                    self.spec.push(format!("-{letter}{rest}"));
                    self.take_plain(if value.is_some() { 1 } else { 2 });
                    return Ok(());
                }
                _ if VALUED.iter().any(|(short, _)| *short == letter) => {
                    if matches!(letter, 'j' | 'g') {
                        self.target(word)?;
                    }
                    self.spec.push(format!("-{letter}{rest}"));
                    return if value.is_none() { self.take_value(word) } else { Ok(()) };
                }
                'f' | '4' | '6' => self.spec.push(format!("-{letter}")),
                // An option of a match; its words are the match's own.
                _ => {
                    self.spec.push(format!("-{letter}{rest}"));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// An option of a match or target: its values are all words up to the next option.
    fn foreign(&mut self, word: &str, has_value: bool) -> Result<()> {
        self.spec.push(word.to_owned());
        if has_value {
            return Ok(());
        }
        if words::takes_text(word) {
            return self.take_value(word);
        }
        self.take_plain(usize::MAX);
        Ok(())
    }

    fn target(&mut self, word: &str) -> Result<()> {
        if self.target_at.is_some() {
            return Err(
                invalid(format!("`{word}` is a second target")).hint("a rule has one `-j` or `-g`: write two rules")
            );
        }
        self.target_at = Some(self.spec.len());
        Ok(())
    }

    fn set_table(&mut self, word: &str, value: Option<String>) -> Result<()> {
        let name = match value {
            Some(value) => value,
            None => self
                .next_plain()
                .ok_or_else(|| invalid(format!("`{word}` needs the name of a table")).hint(tables_hint()))?,
        };
        if !TABLES.contains(&name.as_str()) {
            return Err(invalid(format!("iptables has no table `{}`", super::json::snippet(&name))).hint(tables_hint()));
        }
        if self.table.replace(name).is_some() {
            return Err(invalid("the table is named twice").hint("one `-t` for one call"));
        }
        Ok(())
    }

    fn command(&mut self, letter: char, word: &str, value: Option<String>) -> Result<()> {
        if let Some(first) = &self.command {
            return Err(invalid(format!("`{word}` is a second command after `-{}`", first.letter()))
                .hint("one call of iptables does one thing: write two calls"));
        }
        let optional = matches!(letter, 'X' | 'F' | 'Z' | 'L' | 'S');
        let chain = value.or_else(|| self.next_plain());
        if let Some(chain) = &chain {
            names::chain_name(chain)?;
        } else if !optional {
            return Err(invalid(format!("`{word}` needs the name of a chain"))
                .hint(format!("for example `-{letter} INPUT`; the chain comes right after the command")));
        }
        let required = || chain.clone().unwrap_or_default();
        let command = match letter {
            'A' => Command::Append { chain: required() },
            'I' => Command::Insert { chain: required(), position: self.number()?.unwrap_or(1) },
            'D' => {
                let rule = self.number()?.map_or(RuleRef::Spec, RuleRef::Number);
                Command::Delete { chain: required(), rule }
            }
            'R' => {
                let position = self.number()?.ok_or_else(|| {
                    invalid(format!("`{word}` needs the number of a rule"))
                        .hint(format!("for example `-R {} 1 …`", required()))
                })?;
                Command::Replace { chain: required(), position }
            }
            'C' => Command::Check { chain: required() },
            'P' => {
                let target = self.next_plain().ok_or_else(|| {
                    invalid(format!("`{word}` needs a policy")).hint(format!("for example `-P {} DROP`", required()))
                })?;
                Command::Policy { chain: required(), target }
            }
            'N' => Command::NewChain { chain: required() },
            'E' => {
                let to =
                    self.next_plain().ok_or_else(|| invalid(format!("`{word}` needs the old name and the new one")))?;
                names::chain_name(&to)?;
                Command::RenameChain { from: required(), to }
            }
            'X' => Command::DeleteChain { chain },
            'F' => Command::Flush { chain },
            'Z' => Command::Zero { number: self.number_of(chain.as_ref())?, chain },
            'L' => Command::List { number: self.number_of(chain.as_ref())?, chain },
            _ => Command::ListRules { number: self.number_of(chain.as_ref())?, chain },
        };
        self.command = Some(command);
        Ok(())
    }

    fn number_of(&mut self, chain: Option<&String>) -> Result<Option<u32>> {
        if chain.is_some() { self.number() } else { Ok(None) }
    }

    /// The number of a rule, if the next word is no option.
    fn number(&mut self) -> Result<Option<u32>> {
        let Some(word) = self.next_plain() else { return Ok(None) };
        match word.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(invalid(format!("`{}` is not the number of a rule", super::json::snippet(&word)))
                .hint("rules are numbered from 1; matches begin with an option: `-s 10.0.0.0/24`")),
        }
    }

    fn next_plain(&mut self) -> Option<String> {
        let word = self.args.get(self.at).filter(|word| !looks_like_option(word))?;
        self.at += 1;
        Some(word.clone())
    }

    fn take_plain(&mut self, most: usize) {
        let mut taken = 0;
        while taken < most {
            let Some(word) = self.next_plain() else { break };
            self.spec.push(word);
            taken += 1;
        }
    }

    /// The value of an option that has exactly one, whatever it looks like.
    fn take_value(&mut self, word: &str) -> Result<()> {
        let value = self.args.get(self.at).ok_or_else(|| invalid(format!("`{word}` needs a value")))?;
        self.at += 1;
        self.spec.push(value.clone());
        Ok(())
    }

    fn skip_number(&mut self) {
        if self.args.get(self.at).is_some_and(|word| word.parse::<f64>().is_ok()) {
            self.at += 1;
        }
    }

    fn stray(&self, word: &str) -> Error {
        let error = invalid(format!("iptables does not expect the word `{}` here", super::json::snippet(word)));
        if self.at == 1 && word.contains("tables") {
            error.hint("leave the program's name out: begin with `-A INPUT …`")
        } else if word.is_empty() {
            error.hint("the word is empty")
        } else {
            error.hint("it belongs to no option; quote a value that has blanks: `--comment \"two words\"`")
        }
    }

    fn finish(self) -> Result<Invocation> {
        let command = self.command.ok_or_else(|| {
            invalid("these words have no iptables command")
                .hint("say what to do: `-A CHAIN` appends a rule, `-I CHAIN` inserts one, `-D CHAIN` deletes one, `-P CHAIN DROP` sets a policy")
        })?;
        if !command.has_spec() && !self.spec.is_empty() {
            return Err(invalid(format!(
                "`-{}` takes no rule, but `{}` follows",
                command.letter(),
                self.spec.join(" ")
            )));
        }
        if self.spec.last().is_some_and(|word| word == "!")
            && !self.spec.iter().rev().nth(1).is_some_and(|word| words::takes_text(word))
        {
            return Err(invalid("nothing follows the last `!`")
                .hint("`!` stands before the option that it negates: `! -o eth0`"));
        }
        Ok(Invocation {
            table: self.table.unwrap_or_else(|| "filter".to_owned()),
            command,
            spec: self.spec,
            shape: self.shape,
            target_at: self.target_at,
        })
    }
}

fn tables_hint() -> String {
    format!("tables: {}", TABLES.join(", "))
}
