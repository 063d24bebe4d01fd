//! What can wait: in a namespace that this run made, a link comes up, an address, a first route and rules of iptables are added, and nothing known
//! is in the way.
//!
//! The warm `ip` of a new namespace needs a millisecond to start, and ports that come up on a bridge talk to all others. So such commands wait
//! until somebody looks, and then many namespaces run theirs side by side. A script cannot tell: whatever could see the difference (a question, a packet, another program, a line of output,
//! a `try`, a function call) comes after them, and one that fails is reported at its own place.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::proofs::Check;
use super::{Event, Op, Session};
use crate::error::{Error, Ran, Result};
use crate::exec::Output;
use crate::op::{Command, Where, firewall};

/// How many namespaces may wait before all of them are served: their warm processes are ready by then, and must still be there.
const WAITING_MAX: usize = 120;
/// How many rules are given to `iptables-restore` at a time, at most: well within the deadline of a command.
const TOGETHER_MAX: usize = 1000;

/// A command that waits, and what is to be seen after it.
pub(super) struct Deferred {
    /// Its place among all that ever waited.
    nth: u64,
    op: Op,
    /// What is to be seen after it; what it makes so, when nothing else is said.
    look: Option<Check>,
}

/// The commands that wait, sorted so that those of a run are always in the same order.
pub(super) type Queues = BTreeMap<Where, VecDeque<Deferred>>;

impl Session {
    /// Whether verbs may wait; a script that could tell says no.
    pub fn set_may_defer(&self, may: bool) {
        self.may_defer.set(may);
    }

    /// Whether commands for a namespace may be deferred.
    pub(super) fn defers(&self, netns: &Where) -> bool {
        self.may_defer.get() && self.is_made(netns)
    }

    /// Puts off a command that cannot fail in a way that matters, until its namespace is next used: meanwhile its warm `ip` starts.
    pub(super) fn defer(&self, mut op: Op, look: Option<Check>) {
        op.place = op.place.or_else(|| self.place());
        self.known.borrow_mut().learn(&op);
        let mut waiting = self.deferred.borrow_mut();
        let all = waiting.entry(op.command.netns.clone()).or_default();
        self.deferrals.set(self.deferrals.get() + 1);
        all.push_back(Deferred { nth: self.deferrals.get(), op, look });
    }

    /// Makes something that nothing known is in the way of: at once, or later together with others.
    pub(super) fn make_or_defer(&self, op: Op) -> Result<()> {
        if !self.defers(&op.command.netns) {
            let number = self.make(op)?;
            return self.prove_later(number);
        }
        self.defer(op, None);
        if self.deferred.borrow().len() >= WAITING_MAX { self.serve_all() } else { Ok(()) }
    }

    /// Does what was deferred for a namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle(&self, netns: &Where) -> Result<()> {
        self.await_all()?;
        let waiting = self.deferred.borrow_mut().remove_entry(netns);
        waiting.map_or(Ok(()), |one| self.serve(vec![one]))
    }

    /// Does everything that was deferred, and looks at what was made: at the end of a run, and before anything that may look at any namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle_all(&self) -> Result<()> {
        self.await_all()?;
        let mut waiting = self.take_waiting();
        if !waiting.is_empty() {
            // The others are looked at meanwhile.
            let more: Vec<Where> = self
                .unproven()
                .into_iter()
                .filter(|netns_to_prove| waiting.iter().all(|(netns, _)| netns != netns_to_prove))
                .collect();
            waiting.splice(0..0, more.into_iter().map(|netns| (netns, VecDeque::new())));
            self.serve(waiting)?;
        }
        self.prove()
    }

    /// What waits, in the order in which its namespaces began to: so their processes were started.
    fn take_waiting(&self) -> Vec<(Where, VecDeque<Deferred>)> {
        let mut all: Vec<_> = std::mem::take(&mut *self.deferred.borrow_mut()).into_iter().collect();
        all.sort_by_key(|(_, all)| all.front().map(|later| later.nth));
        all
    }

    /// Does what was deferred, as far as a look at one namespace could tell: links tell of their other ends.
    pub(super) fn settle_for(&self, netns: &Where) -> Result<()> {
        // A lone `lo` that comes up is seen nowhere else.
        if self.deferred.borrow().values().any(|all| all.len() > 1) { self.serve_all() } else { self.settle(netns) }
    }

    /// Forgets what was deferred after the first `deferrals`.
    pub(super) fn drop_later_than(&self, deferrals: u64) {
        for all in self.deferred.borrow_mut().values_mut() {
            all.retain(|later| later.nth <= deferrals);
        }
        self.deferred.borrow_mut().retain(|_, all| !all.is_empty());
    }

    fn serve_all(&self) -> Result<()> {
        self.await_all()?;
        self.serve(self.take_waiting())
    }

    /// Runs what waits, the namespaces side by side, each with the looks that prove it. After a failure the commands behind it in its namespace may
    /// have run; they are in the log.
    fn serve(&self, waiting: Vec<(Where, VecDeque<Deferred>)>) -> Result<()> {
        let given = RefCell::new(VecDeque::new());
        let mut unwritten = None;
        let mut errors = Vec::new();
        let groups = waiting.into_iter().map_while(|(netns, all)| {
            let one = self.give_all(&netns, all).map_err(|error| unwritten = Some(error)).ok()?;
            let commands = one.commands();
            given.borrow_mut().push_back(one);
            Some(commands)
        });
        self.exec.run_side_by_side(groups, |outputs| {
            if let Some(one) = given.borrow_mut().pop_front() {
                errors.extend(self.served(one, outputs));
            }
        });
        // The one that comes first in the script, where it would have ended; if it failed for want of what was only pretended, that.
        let first = errors.into_iter().min_by_key(|(nth, _)| *nth).map(|(_, error)| error);
        match (unwritten, first) {
            (Some(error), _) => Err(error),
            (None, Some(error)) => Err(self.first_lie().ok().flatten().unwrap_or(error)),
            (None, None) => Ok(()),
        }
    }

    /// Writes down what a namespace is about to do.
    fn give_all(&self, netns: &Where, all: VecDeque<Deferred>) -> Result<Served> {
        let looks = self.looks(netns, &all);
        let begin = |later: Deferred| self.begin(later.op.clone()).map(|number| (later, number));
        let all: Vec<(Deferred, usize)> = all.into_iter().map(begin).collect::<Result<_>>()?;
        let runs = runs(&all);
        Ok(Served { all, runs, looks })
    }

    /// Writes down what came of it; the errors, each with its place among all that ever waited.
    fn served(&self, Served { all, runs, looks }: Served, outputs: Vec<Result<Output>>) -> Vec<(u64, Error)> {
        let (mut outputs, mut all) = (outputs.into_iter(), all.into_iter());
        let mut errors = Vec::new();
        for (run, output) in runs.into_iter().zip(outputs.by_ref()) {
            let together: Vec<(Deferred, usize)> = all.by_ref().take(run).collect();
            // All of them were done, or none: what was wrong with which is told by each alone.
            let each = match output {
                Ok(output) if run > 1 && !output.ok && !output.unsure => None,
                output => Some(output),
            };
            for (Deferred { nth, op, look }, number) in together {
                let output = each.clone().unwrap_or_else(|| self.exec.run(&op.command));
                let output = output.map(|output| if run > 1 { one_of(run, &op.command, output) } else { output });
                let noted = self.note(number, output).and_then(|output| {
                    if !output.ok {
                        return Err(self.failed(number, output)?);
                    }
                    self.add_proof(number, look);
                    Ok(())
                });
                if let Err(error) = noted {
                    errors.push((nth, op.place.map_or(error.clone(), |place| error.late_at(place))));
                    if run > 1 {
                        break;
                    }
                }
            }
        }
        for (question, output) in looks.iter().zip(outputs).filter(|_| errors.is_empty()) {
            if let Ok(output) = output {
                self.emit(&Event::Ran { ran: &output.ran, changes: false, ok: output.ok, place: None });
                self.see(question, &output);
            }
        }
        errors
    }

    /// The questions that prove what waits in a namespace and what is still to be proven there; none for a lone `lo`.
    fn looks(&self, netns: &Where, all: &VecDeque<Deferred>) -> Vec<Command> {
        if all.len() == 1 {
            return Vec::new();
        }
        let mut questions: Vec<Command> = Vec::new();
        let question = |later: &Deferred| match &later.look {
            Some(look) => look.question(netns),
            None => Check::of(&later.op.command)?.question(netns),
        };
        for question in all.iter().filter_map(question).chain(self.questions(netns)) {
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
        questions
    }
}

/// How many commands that follow each other are done in one go, one after the other: rules of one table.
fn runs(all: &[(Deferred, usize)]) -> Vec<usize> {
    let mut runs: Vec<usize> = Vec::new();
    let mut first = None;
    for (later, _) in all {
        let command = &later.op.command;
        match (first, runs.last_mut()) {
            (Some(first), Some(run)) if *run < TOGETHER_MAX && firewall::go_together(first, command) => *run += 1,
            _ => {
                first = Some(command);
                runs.push(1);
            }
        }
    }
    runs
}

/// A namespace that runs what waited there.
struct Served {
    all: Vec<(Deferred, usize)>,
    /// How many of them are done in one go, one after the other.
    runs: Vec<usize>,
    looks: Vec<Command>,
}

/// What came of one of several commands that were done in one go.
fn one_of(many: usize, command: &Command, output: Output) -> Output {
    let share = u32::try_from(many).unwrap_or(u32::MAX).max(1);
    let ran = Ran { command: command.line(), took: output.ran.took / share, ..output.ran };
    Output { ran, ..output }
}

impl Served {
    /// All that it runs in one go.
    fn commands(&self) -> Vec<Command> {
        let mut all = self.all.iter().map(|(later, _)| &later.op.command);
        let mut commands = Vec::with_capacity(self.runs.len() + self.looks.len());
        for run in &self.runs {
            let together: Vec<&Command> = all.by_ref().take(*run).collect();
            commands.extend(match together[..] {
                [one] => Some(one.clone()),
                _ => firewall::all_at_once(together.into_iter()),
            });
        }
        commands.extend(self.looks.iter().cloned());
        commands
    }
}
