//! What the host's `ip` was given and has not answered: while the kernel makes a namespace or a cable, the script goes on.
//!
//! Each takes the kernel half a millisecond, and the script about as long to come to the next one. As with what waits ([`super::deferred`]) a script
//! cannot tell: whatever could see the difference comes after the answers, and a command that fails is reported at its own place. It is written
//! ahead as ever: the intent is in the journal before the command is given. A namespace is known, with its inode in the journal, before anything
//! is put into it.

use std::collections::VecDeque;

use super::{Op, Session};
use crate::error::Result;
use crate::exec;
use crate::op::{Fact, Where};

/// How many commands may be in flight: what they say must fit into a pipe, and after `kill -9` they still run.
const GIVEN_MAX: usize = 8;

/// What is done when a command was answered: with its number in the log, or its error.
pub(super) type Then = Box<dyn FnOnce(&Session, Result<usize>) -> Result<()>>;

/// A command on its way.
pub(super) struct Given {
    number: usize,
    reply: exec::Given,
    then: Then,
    /// How many commands had been deferred before it.
    put_off: u64,
}

/// One that was answered, and is in the journal as what it came to.
struct Done {
    number: usize,
    made: Result<usize>,
    then: Then,
    put_off: u64,
}

/// The commands in flight, in the order in which they were given.
pub(super) type InFlight = VecDeque<Given>;

impl Session {
    /// Makes something, and then does something about it: at once, or when the answer is heard.
    pub(super) fn submit(&self, op: Op, then: impl FnOnce(&Self, Result<usize>) -> Result<()> + 'static) -> Result<()> {
        // Programs of the user's may do what nobody knows of.
        let alone = self.background.borrow().is_empty();
        if !(self.may_defer.get() && alone && op.command.netns == Where::Host) {
            let made = self.make(op);
            return then(self, made);
        }
        // One at a time: until its inode is written down, nothing tells it from what somebody else puts in its place.
        let done = if self.is_making_netns(|_| true) { self.answers() } else { Vec::new() };
        // What is to be done about it can wait until the process has its next command; unless there is none.
        let may_wait = done.iter().all(|done| done.made.is_ok());
        if !may_wait || self.deferred.borrow().contains_key(&Where::Host) {
            self.conclude(done)?;
            self.settle(&Where::Host)?;
            return self.give(op, then);
        }
        self.give(op, then)?;
        self.conclude(done)
    }

    fn give(&self, op: Op, then: impl FnOnce(&Self, Result<usize>) -> Result<()> + 'static) -> Result<()> {
        if self.in_flight.borrow().len() >= GIVEN_MAX {
            self.await_all()?;
        }
        let number = self.begin(op)?;
        let command = self.log.borrow()[number].op.command.clone();
        let reply = self.exec.give(&command);
        let put_off = self.deferrals.get();
        self.in_flight.borrow_mut().push_back(Given { number, reply, then: Box::new(then), put_off });
        Ok(())
    }

    /// Whether a namespace is being made, by one of these names.
    fn is_making_netns(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        let log = self.log.borrow();
        let is_made =
            |given: &Given| matches!(log[given.number].op.fact(), Some(Fact::Netns(one)) if is_meant(&one.name));
        self.in_flight.borrow().iter().any(is_made)
    }

    /// Waits for a namespace, if it is being made.
    pub(super) fn await_netns(&self, name: &str) -> Result<()> {
        if self.is_making_netns(|given| given == name) { self.await_all() } else { Ok(()) }
    }

    /// Waits for all answers.
    ///
    /// # Errors
    ///
    /// The first failure, at its own place in the script. What came after it may have run, and is undone by what is found.
    pub fn await_all(&self) -> Result<()> {
        self.conclude(self.answers())
    }

    /// Waits for all answers, for whoever undoes what they tell of.
    pub(super) fn await_any(&self) {
        drop(self.answers());
    }

    /// The answers, up to the first failure: after that there is nothing to hear, the process is given up; unless another index makes it right, then
    /// the others are run anew. All are heard before anything else is asked of it.
    fn answers(&self) -> Vec<Done> {
        let given = std::mem::take(&mut *self.in_flight.borrow_mut());
        let mut heard = Vec::new();
        for Given { number, reply, then, put_off } in given {
            let command = self.log.borrow()[number].op.command.clone();
            let output = self.with_free_index(number, self.exec.hear(&command, reply));
            let failed = !output.as_ref().is_ok_and(|output| output.ok);
            heard.push((number, output, then, put_off));
            if failed {
                break;
            }
        }
        let finish = |(number, output, then, put_off)| {
            let made = self.finish(number, output).map(|_| number);
            Done { number, made, then, put_off }
        };
        heard.into_iter().map(finish).collect()
    }

    /// Does what is to be done about what was made.
    fn conclude(&self, all: Vec<Done>) -> Result<()> {
        for Done { number, made, then, put_off } in all {
            if made.is_err() {
                // What was deferred after it came later in the script.
                self.drop_later_than(put_off);
            }
            let place = self.log.borrow()[number].op.place.clone();
            then(self, made).map_err(|error| error.late_at(place.unwrap_or_default()))?;
        }
        Ok(())
    }
}
