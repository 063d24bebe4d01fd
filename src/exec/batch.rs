//! Commands that a warm process is given together, and namespaces that work side by side.
//!
//! What a warm process is given and has not answered is a batch. Every failure that it reports is confirmed by a fresh process before anybody
//! hears of it: it may come from a stale cache.

use std::collections::VecDeque;
use std::io;
use std::slice;
use std::time::Instant;

use super::process::{self, End};
use super::warm::{Family, Reply, Warm, batch_line};
use super::{Exec, Output, not_ended};
use crate::error::{Error, Kind, Ran, Result};
use crate::op::{Command, Tool, Where};

/// How many namespaces work side by side: the kernel changes one at a time (its RTNL lock), so many more would only wait for each other.
const AHEAD: usize = 16;

/// Commands that a warm process was given together.
struct Batch {
    family: Family,
    lines: Vec<String>,
    /// When, or why not.
    begun: Result<Instant>,
    /// When nobody waits for the answers any more.
    until: Instant,
}

/// A command that was given and not heard ([`Exec::give`]).
#[must_use]
pub struct Given(Option<Batch>);

impl Exec {
    /// Runs a command to its end, warm when possible.
    ///
    /// # Errors
    ///
    /// When it could not be started, did not end by itself or printed more than can be read. A command that failed is an [`Output`].
    pub fn run(&self, command: &Command) -> Result<Output> {
        self.interrupt.check()?;
        let given = self.give(command);
        self.hear(command, given)
    }

    /// Gives a command to the warm process of its namespace and does not wait. What was given must be heard, in this order, before anything else
    /// is asked of that process.
    pub fn give(&self, command: &Command) -> Given {
        Given(self.ask(slice::from_ref(command)))
    }

    /// What came of a command that was given; one that only a process of its own can run runs now.
    ///
    /// # Errors
    ///
    /// As [`Exec::run`].
    pub fn hear(&self, command: &Command, given: Given) -> Result<Output> {
        let mut answers = self.wait_for_batch(slice::from_ref(command), given.0);
        answers.pop().unwrap_or_else(|| Err(Error::new(Kind::Internal, "a command has no answer")))
    }

    /// Runs commands to their ends: those of a group one after the other, the groups side by side; `heard` gets the answers of each group in turn,
    /// and must not ask anything. No two groups act in the same namespace. A group is taken when its turn comes, and none is taken any more when a
    /// command does not end by itself.
    pub fn run_side_by_side(
        &self,
        groups: impl IntoIterator<Item = Vec<Command>>,
        mut heard: impl FnMut(Vec<Result<Output>>),
    ) {
        let mut groups = groups.into_iter();
        let mut ahead = VecDeque::new();
        let mut stuck = None;
        loop {
            while stuck.is_none() && ahead.len() < AHEAD && self.warm.borrow_mut().bears(ahead.len()) {
                let Some(group) = groups.next() else { break };
                let batch = self.ask(&group);
                ahead.push_back((group, batch));
            }
            let Some((group, batch)) = ahead.pop_front() else { return };
            heard(self.hear_group(&group, batch, &mut stuck));
        }
    }

    /// The answers of a group whose first batch was asked. `stuck` is the error of the first command that did not end by itself: nobody waits for
    /// others any more.
    fn hear_group(
        &self,
        group: &[Command],
        mut batch: Option<Batch>,
        stuck: &mut Option<Error>,
    ) -> Vec<Result<Output>> {
        let mut answers: Vec<Result<Output>> = Vec::new();
        while answers.len() < group.len() {
            let rest = &group[answers.len()..];
            match (&stuck, &mut batch) {
                (None, _) => {}
                (Some(_), Some(batch)) => batch.until = Instant::now(),
                (Some(error), None) => {
                    answers.extend(rest.iter().map(|_| Err(error.clone())));
                    break;
                }
            }
            let count = batch.as_ref().map_or(1, |batch| batch.lines.len());
            answers.extend(self.wait_for_batch(&rest[..count], batch.take()));
            let ended_by_us = |answer: &Result<Output>| answer.as_ref().err().filter(|it| did_not_end(it)).cloned();
            *stuck = stuck.take().or_else(|| answers.iter().find_map(ended_by_us));
            // What needs another process goes on when the first has answered.
            batch = if stuck.is_none() { self.ask(&group[answers.len()..]) } else { None };
        }
        answers
    }

    /// Gives the first commands of a group to a warm process, as far as they go to the same one; `None` when the first goes to none.
    fn ask(&self, group: &[Command]) -> Option<Batch> {
        let first = group.first().filter(|_| self.kernel.is_none())?;
        let (family, line) = warm_line(first)?;
        let same = |command: &Command| warm_line(command).filter(|(other, _)| *other == family).map(|(_, line)| line);
        let lines: Vec<String> = std::iter::once(line).chain(group[1..].iter().map_while(same)).collect();
        let begun = self.interrupt.check().and_then(|()| self.ask_warm(first, family, &lines));
        Some(Batch { family, lines, begun, until: Instant::now() + self.deadline })
    }

    /// The answers to a batch of commands; without one, the first command runs in a process of its own.
    fn wait_for_batch(&self, commands: &[Command], batch: Option<Batch>) -> Vec<Result<Output>> {
        let fresh = |command: &Command| self.interrupt.check().and_then(|()| self.run_fresh(command));
        let (Some(batch), Some(first)) = (batch, commands.first()) else {
            return commands.iter().take(1).map(fresh).collect();
        };
        let Batch { family, lines, begun, until } = batch;
        let unsure = |output: Output| Output { unsure: !output.ok, ..output };
        match begun.and_then(|begun| Ok((begun, self.hear_warm(first, family, &lines, begun, until)?))) {
            Ok((begun, replies)) => {
                let heard = commands.iter().zip(&lines).zip(replies);
                heard.map(|((command, line), reply)| self.believe(command, family, line, reply, begun)).collect()
            }
            Err(error) if did_not_end(&error) => {
                let error = one_of(commands, error);
                commands.iter().map(|_| Err(error.clone())).collect()
            }
            // A broken process says nothing, but it may have acted.
            Err(_) => commands.iter().map(|command| self.run_fresh(command).map(unsure)).collect(),
        }
    }

    /// The answer of a warm process, or that of a fresh one where the warm one may be wrong.
    fn believe(&self, command: &Command, family: Family, line: &str, reply: Reply, begun: Instant) -> Result<Output> {
        let Reply { stdout, stderr, failed, new_name } = reply;
        let asks = line.strip_prefix("address show");
        // A link that is not there, by a name that the process cannot have cached, needs no confirmation.
        let name = asks.and_then(|rest| rest.strip_prefix(" dev ")).filter(|_| new_name);
        let missing = name.is_some_and(|name| stderr.trim_end() == format!("Device \"{name}\" does not exist."));
        // A question that was answered with a complaint met a stale index: `Cannot send link request: No such device`, and no failure.
        let stale = asks.is_some() && !stderr.is_empty();
        if missing || !(failed || stale) {
            let (command, status) = (command.line(), Some(i32::from(failed)));
            let ran = Ran { command, status, stdout, stderr, took: begun.elapsed() };
            return Ok(Output { ran, ok: !failed, unsure: false });
        }
        self.drop_warm(&command.netns, family);
        let output = self.run_fresh(command)?;
        let unsure = !(output.ok || failed && stderr == output.ran.stderr);
        Ok(Output { unsure, ..output })
    }

    /// Gives lines to the warm process of a command's namespace; when that was.
    fn ask_warm(&self, command: &Command, family: Family, lines: &[String]) -> Result<Instant> {
        let begun = Instant::now();
        let netns = self.netns(&command.netns)?;
        let ip = self.tools.path(Tool::Ip)?;
        let mut pool = self.warm.borrow_mut();
        let warm = pool
            .get(&command.netns, family, || Warm::start(&ip, (command.netns != Where::Host).then_some(&netns), family))
            .map_err(|error| process::start_error(&ip, &error))?;
        let asked = warm.ask(lines);
        drop(pool);
        asked.map(|()| begun).map_err(|error| self.broken(command, family, begun, &error))
    }

    /// What the warm process of a command's namespace says to the lines that it was given.
    fn hear_warm(
        &self,
        command: &Command,
        family: Family,
        lines: &[String],
        begun: Instant,
        until: Instant,
    ) -> Result<Vec<Reply>> {
        let mut pool = self.warm.borrow_mut();
        let heard = match pool.asked(&command.netns, family) {
            Some(warm) => warm.hear(lines, until, &self.interrupt),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        drop(pool);
        heard.map_err(|error| self.broken(command, family, begun, &error))
    }

    /// The error of a warm process, which is not used again.
    fn broken(&self, command: &Command, family: Family, begun: Instant, error: &io::Error) -> Error {
        self.drop_warm(&command.netns, family);
        let ran = Ran { command: command.line(), took: begun.elapsed(), ..Ran::default() };
        match error.kind() {
            io::ErrorKind::TimedOut => not_ended(End::TimedOut, ran, self.deadline).hint(process::MORE_TIME),
            io::ErrorKind::Interrupted => not_ended(End::Interrupted, ran, self.deadline),
            _ => Error::new(Kind::ToolOutput, format!("`{}` stopped answering", ran.command)).ran(ran),
        }
    }
}

/// The error of commands that were given together, of which one did not end: nobody knows which.
fn one_of(commands: &[Command], mut error: Error) -> Error {
    let [first, _, ..] = commands else { return error };
    let parts = error.parts_mut();
    let line = first.line();
    parts.message = parts.message.replace(&format!("`{line}`"), &format!("one of {} commands", commands.len()));
    parts.ran = None;
    parts.notes.extend(commands.iter().map(|command| ("one of".into(), command.line())));
    error.netns(first.netns.name())
}

/// Whether an error says that a command was ended by us.
fn did_not_end(error: &Error) -> bool {
    matches!(error.kind(), Kind::TimedOut | Kind::Interrupted)
}

/// The line that a warm `ip` can be given for a command.
fn warm_line(command: &Command) -> Option<(Family, String)> {
    if command.tool == Tool::Ip && command.stdin.is_none() { batch_line(&command.argv) } else { None }
}
