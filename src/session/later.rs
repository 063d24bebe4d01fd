//! What can wait: in a namespace that this run made, a link comes up, an address and a first route are added, and nothing known is in the way.
//!
//! The warm `ip` of a new namespace needs a millisecond to start, and ports that come up on a bridge talk to all others. So such commands wait
//! until somebody looks, and then many namespaces run theirs side by side. A script cannot tell: whatever could see the difference (a question, a packet, another program, a line of output,
//! a `try`, a function call) comes after them, and one that fails is reported at its own place.

use std::collections::{BTreeMap, VecDeque};

use super::owed::Look;
use super::{Op, Session};
use crate::error::Result;
use crate::op::{Command, Where};

/// How many namespaces may wait before all of them are served: their warm processes are ready by then, and must still be there.
const WAITING_MAX: usize = 120;

/// A command that waits, and what is to be seen after it.
pub(super) struct Later {
    /// Its place among all that ever waited.
    nth: u64,
    op: Op,
    look: Look,
    otherwise: String,
}

/// The commands that wait, sorted so that those of a run are always in the same order.
pub(super) type Waiting = BTreeMap<Where, VecDeque<Later>>;

impl Session {
    /// Whether verbs may wait; a script that could tell says no.
    pub fn set_patient(&self, patient: bool) {
        self.patient.set(patient);
    }

    /// Puts off a command that cannot fail in a way that matters, until its namespace is next used: meanwhile its warm `ip` starts.
    pub(super) fn put_off(&self, mut op: Op, look: Look, otherwise: impl Into<String>) {
        op.place = op.place.or_else(|| self.place());
        self.facts.borrow_mut().learn(&op);
        let mut waiting = self.waiting.borrow_mut();
        let all = waiting.entry(op.command.netns.clone()).or_default();
        self.put_off.set(self.put_off.get() + 1);
        all.push_back(Later { nth: self.put_off.get(), op, look, otherwise: otherwise.into() });
    }

    /// Makes something that nothing known is in the way of: at once, or later together with others. `look` shows it.
    pub(super) fn make_soon(&self, op: Op, look: Look, otherwise: impl Into<String>) -> Result<()> {
        let netns = op.command.netns.clone();
        if !self.patient.get() || !self.is_made(&netns) {
            let number = self.make(op)?;
            return self.owe(number, &netns, look, otherwise);
        }
        self.put_off(op, look, otherwise);
        if self.waiting.borrow().len() >= WAITING_MAX { self.serve_all() } else { Ok(()) }
    }

    /// Does what was put off for a namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle(&self, netns: &Where) -> Result<()> {
        self.hear_all()?;
        let waiting = self.waiting.borrow_mut().remove_entry(netns);
        waiting.map_or(Ok(()), |one| self.serve(Waiting::from([one])))
    }

    /// Does everything that was put off, and looks at what was made: at the end of a run, and before anything that may look at any namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle_all(&self) -> Result<()> {
        self.serve_all()?;
        self.prove()
    }

    /// Does what was put off, as far as a look at one namespace could tell: links tell of their other ends.
    pub(super) fn settle_for(&self, netns: &Where) -> Result<()> {
        // A lone `lo` that comes up is seen nowhere else.
        if self.waiting.borrow().values().any(|all| all.len() > 1) { self.serve_all() } else { self.settle(netns) }
    }

    /// Forgets what was put off after the first `put_off`.
    pub(super) fn drop_later_than(&self, put_off: u64) {
        for all in self.waiting.borrow_mut().values_mut() {
            all.retain(|later| later.nth <= put_off);
        }
        self.waiting.borrow_mut().retain(|_, all| !all.is_empty());
    }

    fn serve_all(&self) -> Result<()> {
        self.hear_all()?;
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        self.serve(waiting)
    }

    /// Runs what waits, the namespaces side by side, each with the looks that prove it. After a failure the commands behind it in its namespace may
    /// have run; they are in the log.
    fn serve(&self, waiting: Waiting) -> Result<()> {
        let begin = |later: &Later| self.begin(later.op.clone());
        let begun: Vec<usize> = waiting.values().flatten().map(begin).collect::<Result<_>>()?;
        let looks: Vec<Vec<Command>> = waiting.iter().map(|(netns, all)| self.looks(netns, all)).collect();
        let command = |later: &Later| later.op.command.clone();
        let groups = waiting.values().zip(&looks).map(|(all, looks)| all.iter().map(command).chain(looks.clone()));
        let outputs = self.exec.run_side_by_side(&groups.map(Iterator::collect).collect::<Vec<_>>());
        let (mut begun, mut errors) = (begun.into_iter(), Vec::new());
        for (((netns, all), looks), outputs) in waiting.into_iter().zip(looks).zip(outputs) {
            let mut outputs = outputs.into_iter();
            for (Later { nth, op, look, otherwise }, number) in all.into_iter().zip(begun.by_ref()) {
                let Some(output) = outputs.next() else { break };
                let done = self.finish(number, output).and_then(|_| self.owe(number, &netns, look, otherwise));
                if let Err(error) = done {
                    errors.push((nth, op.place.map_or(error.clone(), |place| error.late_at(place))));
                }
            }
            for (question, output) in looks.iter().zip(outputs).filter(|_| errors.is_empty()) {
                if let Ok(output) = output {
                    self.see(&netns, question, &output);
                }
            }
        }
        // The one that comes first in the script, where it would have ended.
        errors.into_iter().min_by_key(|(nth, _)| *nth).map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The questions that prove what waits in a namespace and what is owed there; none for a lone `lo`.
    fn looks(&self, netns: &Where, all: &VecDeque<Later>) -> Vec<Command> {
        if all.len() < 2 {
            return Vec::new();
        }
        let mut questions: Vec<Command> = Vec::new();
        for question in all.iter().map(|later| later.look.question(netns)).chain(self.questions(netns)) {
            if !questions.contains(&question) {
                questions.push(question);
            }
        }
        questions
    }
}
