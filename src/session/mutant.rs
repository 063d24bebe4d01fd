//! Breaking one thing of what this run made, once, before its tests look: `netwright test --mutate`.

use super::{Event, Record, Session};
use crate::error::Result;
use crate::op::breakage::{self, Breakage, Mutant};
use crate::op::{Command, Op};

/// Who is about to look at the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A test begins.
    Test,
    /// An expectation, or a probe.
    Expectation,
    /// Anything that a test calls.
    Call,
}

/// Something that can be broken: which, and in which words.
#[derive(Clone, Debug)]
pub struct Breakable {
    /// Which.
    pub mutant: Mutant,
    /// In which words.
    pub breakage: Breakage,
    /// Where in the script it was made.
    pub place: Option<crate::error::Place>,
}

impl Session {
    /// What to break in this run.
    pub fn set_mutant(&self, mutant: Option<Mutant>) {
        *self.mutant.borrow_mut() = mutant;
    }

    /// Everything that this run made and that can be broken, in order.
    #[must_use]
    pub fn breakables(&self) -> Vec<Breakable> {
        let log = self.log.borrow();
        let mut seen = std::collections::HashMap::<String, usize>::new();
        let mut all = Vec::new();
        for record in log.iter().filter(|record| record.succeeded()) {
            let line = record.op.command.line();
            let nth = *seen.entry(line.clone()).and_modify(|nth| *nth += 1).or_insert(0);
            for (way, breakage) in breakage::of(&record.op).into_iter().enumerate() {
                let mutant = Mutant { line: line.clone(), nth, way, has_tests: false };
                all.push(Breakable { mutant, breakage, place: record.op.place.clone() });
            }
        }
        all
    }

    /// Breaks what is to be broken, once it is there and somebody is about to look. Says what came of it by [`Event::Broke`].
    ///
    /// # Errors
    ///
    /// What was deferred may fail.
    pub fn about_to_look(&self, look: Look) -> Result<()> {
        if look != Look::Call && self.watch.borrow().is_some() {
            self.settle_all()?;
            self.open_eyes();
        }
        let due = self.mutant.borrow().as_ref().is_some_and(|mutant| look != Look::Call || mutant.has_tests);
        if !due {
            return Ok(());
        }
        self.settle_all()?;
        let Some(mutant) = self.mutant.borrow().clone() else { return Ok(()) };
        let found = {
            let log = self.log.borrow();
            let same = |record: &&Record| record.succeeded() && record.op.command.line() == mutant.line;
            log.iter().filter(same).nth(mutant.nth).map(|record| record.op.clone())
        };
        let Some(op) = found else { return Ok(()) };
        let Some(breakage) = breakage::of(&op).into_iter().nth(mutant.way) else { return Ok(()) };
        self.set_mutant(None);
        let outcome = self.break_it(&op, &breakage);
        self.exec.retire_warm();
        self.known.borrow_mut().forget();
        self.next_epoch();
        self.emit(&Event::Broke(outcome.err().as_deref()));
        Ok(())
    }

    /// Why it could not be broken.
    fn break_it(&self, op: &Op, breakage: &Breakage) -> std::result::Result<(), String> {
        let shown = breakage::shown(op);
        let before = self.ask_all(&shown)?;
        for command in &breakage.commands {
            let output = self.exec.run(command).map_err(|error| error.to_string())?;
            if !output.ok {
                let said = output.ran.stderr.lines().next().unwrap_or("it failed").to_owned();
                return Err(format!("`{}`: {said}", command.line()));
            }
        }
        // A new process: a warm one may have answers of its own about names.
        self.exec.retire_warm();
        if self.ask_all(&shown)? == before {
            return Err("nothing changes: it was otherwise by then".into());
        }
        Ok(())
    }

    /// What these questions are answered, failures among it: a link that is gone is an answer. An error where a question could not be asked.
    fn ask_all(&self, questions: &[Command]) -> std::result::Result<Vec<(bool, String)>, String> {
        let answer = |question| self.exec.run(question).map(|output| (output.ok, output.ran.stdout));
        questions.iter().map(answer).collect::<Result<_>>().map_err(|error| error.to_string())
    }
}
