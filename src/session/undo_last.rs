//! Taking back the end of what a run did, while the run goes on: `:undo` of the REPL.

use std::ops::Range;

use super::undo::Undoing;
use super::{Session, Undone};
use crate::op::Fact;

impl Session {
    /// Whether any of these commands changed the kernel and is not undone yet.
    #[must_use]
    pub fn has_changes(&self, commands: Range<usize>) -> bool {
        let log = self.log.borrow();
        log.get(commands).is_some_and(|records| records.iter().any(|record| record.succeeded() && !record.is_undone()))
    }

    /// How many commands changed the kernel and are not undone.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.log.borrow().iter().filter(|record| record.succeeded() && !record.is_undone()).count()
    }

    /// Undoes the commands from `first` on, as [`Session::undo_all`] does with all of them.
    pub fn undo_from(&self, first: usize) -> Undone {
        self.set_place(None);
        self.next_epoch();
        let log = self.log.take();
        let mut undone = {
            let mut journal = self.journal.borrow_mut();
            let undoing = Undoing::new(&self.exec, &log, journal.as_mut(), &self.id);
            undoing.knowing(self.seen_before(), Vec::new()).since(first).all()
        };
        for record in log.iter().skip(first).rev().filter(|record| record.is_undone()) {
            if let Some(Fact::Netns(one)) = record.op.fact() {
                self.made.borrow_mut().remove(&one.name);
            }
            self.made_links.borrow_mut().undone(&record.op);
        }
        *self.log.borrow_mut() = log;
        self.known.borrow_mut().forget();
        undone.unknown = self.ran_since(first);
        self.ran.borrow_mut().retain(|(before, _)| *before < first);
        undone
    }

    /// The user's own programs that ran after the first commands, where what they changed is not gone with the run.
    pub(super) fn ran_since(&self, first: usize) -> Vec<String> {
        let ran = self.ran.borrow();
        ran.iter().filter(|(before, _)| *before >= first).map(|(_, named)| named.clone()).collect()
    }
}
