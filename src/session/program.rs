//! The user's own programs: what a run knows of what they change, and what takes it back.

use std::fs::File;
use std::rc::Rc;
use std::time::Duration;

use super::{Did, Event, Session, noted};
use crate::error::{Error, Kind, Result};
use crate::exec::Output;
use crate::exec::background::Background;
use crate::op::program::{self, User};
use crate::op::{Command, Tool, Where};

/// How long a question to a program of the machine may take: a resolver asks each of its servers twice, 5 s each.
const ASKED: Duration = Duration::from_secs(30);

/// What a program changes, as its script says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// The script does not say.
    #[default]
    Unknown,
    /// Nothing.
    Nothing,
    /// Something that nothing takes back.
    Lasting,
    /// Something that a program with these words takes back.
    Undone(Vec<String>),
}

/// A program of the script's own.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// Its words, with those that say how it is started.
    pub words: &'a [String],
    /// What the script calls it.
    pub name: &'a str,
    /// What it reads.
    pub stdin: Option<&'a str>,
    /// What it changes.
    pub effect: Effect,
}

impl<'a> Program<'a> {
    /// One of whose effect nobody says anything, and which reads nothing.
    #[must_use]
    pub fn plain(words: &'a [String]) -> Self {
        let name = words.first().map_or("?", String::as_str);
        Self { words, name, stdin: None, effect: Effect::Unknown }
    }
}

impl Session {
    /// Runs the user's own program. It may change anything, so warm processes are retired. What it changes is written down with what undoes it, if
    /// the script says that.
    ///
    /// # Errors
    ///
    /// When it could not run to its end; a program that fails is an [`Output`].
    pub fn run_user(&self, netns: &Where, program: &Program<'_>, deadline: Duration) -> Result<Output> {
        self.settle_all()?;
        self.may_start(program.name)?;
        let number = match &program.effect {
            Effect::Undone(undo) => Some(self.begin(program::run(netns, program.words, program.stdin, undo))?),
            _ => {
                self.before_change(None);
                self.known.borrow_mut().forget();
                self.next_epoch();
                self.note_program(netns, program)?;
                self.note_user(netns, program, false);
                None
            }
        };
        // It may leave a daemon behind, which must not hold the lock of the run.
        self.share_lock(false);
        let output = self.exec.run_user(netns, program.words, program.stdin, deadline);
        self.share_lock(true);
        self.exec.retire_warm();
        if let Some(number) = number {
            let output = self.note(number, output)?;
            // What ended by itself with an error has not acted, as with a raw command; what a signal ended may have.
            if output.ran.status.is_some_and(|status| status != 0 && !(129..=192).contains(&status)) {
                self.has_not_acted(number, &self.log.borrow()[number])?;
            } else {
                self.count(Did::Something);
            }
            return Ok(output);
        }
        let output = output?;
        let changes = program.effect != Effect::Nothing;
        self.emit(&Event::Ran { ran: &output.ran, changes, ok: output.ok, place: self.place.borrow().as_ref() });
        Ok(output)
    }

    /// Asks a program of the machine something in a namespace, with the files of that: it changes nothing.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when there is no such program; when it could not run to its end.
    pub fn ask_user(&self, netns: &Where, words: &[String]) -> Result<Output> {
        self.settle_all()?;
        let output = self.exec.run_user(netns, words, None, crate::patience::scaled(ASKED))?;
        self.emit(&Event::Ran { ran: &output.ran, changes: false, ok: output.ok, place: self.place().as_ref() });
        Ok(output)
    }

    /// A user of the machine, by name or number.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none, `Unsupported` where nobody can become that user.
    pub fn user(&self, name: &str) -> Result<User> {
        let words = ["getent", "passwd", name].map(str::to_owned);
        let found = self.ask_user(&Where::Host, &words)?;
        let user = User::read(&found.ran.stdout).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no user `{name}`")).hint("`getent passwd` lists all users")
        })?;
        if !crate::files::has_user(user.uid) {
            let message = format!("a sandbox without root has no user but its own: nothing can run as `{name}`");
            return Err(Error::new(Kind::Unsupported, message).hint("run it with sudo"));
        }
        Ok(user)
    }

    /// Remembers that the user's own program runs on the machine, or in a namespace of others, and changes what nothing takes back. In one that this
    /// run made it may do what it likes: that goes with the namespace.
    fn note_program(&self, netns: &Where, program: &Program<'_>) -> Result<()> {
        if self.journal.borrow().is_none() || self.is_made(netns) || program.effect == Effect::Nothing {
            return Ok(());
        }
        let name = program.name.rsplit('/').next().unwrap_or(program.name);
        let named = match self.place() {
            Some(place) if place.line > 0 => format!("`{name}` (line {})", place.line),
            _ => format!("`{name}`"),
        };
        if let Some(journal) = self.journal.borrow_mut().as_mut() {
            journal.ran(&named)?;
        }
        self.ran.borrow_mut().push((self.log.borrow().len(), named));
        Ok(())
    }

    fn note_user(&self, netns: &Where, program: &Program<'_>, background: bool) {
        let (netns, words, effect) = (netns.clone(), program.words.to_vec(), program.effect.clone());
        self.note_down(noted::Noted::Program { netns, words, background, effect, place: self.place() });
    }

    /// Starts the user's own program; it is stopped at the end of the run.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_user(&self, netns: &Where, program: &Program<'_>) -> Result<Rc<Background>> {
        self.start_user_into(netns, program, None)
    }

    /// The same with a file for its standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_user_into(
        &self,
        netns: &Where,
        program: &Program<'_>,
        stdout: Option<File>,
    ) -> Result<Rc<Background>> {
        self.settle_all()?;
        self.may_start(program.name)?;
        self.known.borrow_mut().forget();
        self.next_epoch();
        self.note_program(netns, program)?;
        self.note_user(netns, program, true);
        // What lives longer than the run must not hold its lock.
        self.share_lock(false);
        let background = self.exec.start_user(netns, program.words, program.stdin, stdout);
        self.share_lock(true);
        let background = Rc::new(background?);
        self.exec.retire_warm();
        self.background.borrow_mut().push(Rc::clone(&background));
        Ok(background)
    }

    /// Stops every program that [`Session::start_user`] left running. Returns those that would not end.
    pub fn stop_background(&self) -> Vec<String> {
        let all: Vec<_> = self.background.borrow_mut().drain(..).collect();
        all.iter().rev().filter(|one| !one.stop()).map(|one| one.line().to_owned()).collect()
    }

    /// The user's own programs that ran where what they changed is not gone with the run, and which nothing takes back.
    #[must_use]
    pub fn not_undone(&self) -> Vec<String> {
        self.ran_since(0)
    }
}

/// ``2 commands of the script's own were not undone: `wg` (line 3), `sh` (line 9)``; of many, the first. `verb` is what becomes of them.
#[must_use]
pub(crate) fn told(programs: &[String], verb: &str) -> String {
    const NAMED: usize = 6;
    let mut named: Vec<&str> = Vec::new();
    for program in programs {
        if !named.contains(&program.as_str()) {
            named.push(program);
        }
    }
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (count, command) = (programs.len(), if programs.len() == 1 { "command" } else { "commands" });
    format!("{count} {command} of the script's own {verb}: {}{more}", named.join(", "))
}

/// Whether a command is a program of the script's own, with what undoes it.
#[must_use]
pub(crate) fn is_own(command: &Command) -> bool {
    command.tool == Tool::Own && command.fact.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_undone_is_counted_and_named() {
        let named = |count: usize| -> Vec<String> { (1..=count).map(|line| format!("`a` (line {line})")).collect() };
        assert_eq!(told(&named(1), "was not undone"), "1 command of the script's own was not undone: `a` (line 1)");
        let twice = ["`a` (line 1)".to_owned(), "`a` (line 1)".to_owned()];
        assert_eq!(told(&twice, "x"), "2 commands of the script's own x: `a` (line 1)");
        assert!(told(&named(8), "x").ends_with("`a` (line 6) and 2 more"));
    }
}
