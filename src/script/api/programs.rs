//! The programs that a script has started: what became of them explains why nobody answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::exec::background::Background;
use crate::op::Where;
use crate::patience::scaled;

/// A program that has just been started may not listen yet: an expectation waits this long for it.
pub(crate) const YOUNG: Duration = Duration::from_secs(2);
/// As many programs are told of.
const MOST: usize = 3;
/// As many of their last lines are shown.
const LINES: usize = 3;

/// Programs of one run, in the order of their start.
#[derive(Default)]
pub(crate) struct Programs(RefCell<Vec<Program>>);

/// One of them.
#[derive(Clone)]
pub(crate) struct Program {
    /// Where it was started.
    pub(crate) at: Where,
    /// The command as a person would type it there.
    pub(crate) command: String,
    /// The process.
    pub(crate) running: Rc<Background>,
}

impl Programs {
    pub(crate) fn add(&self, program: Program) {
        self.0.borrow_mut().push(program);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Ends those from the `first` on. Returns those that do not end.
    pub(crate) fn end(&self, first: usize) -> Vec<String> {
        let ending: Vec<Program> = self.0.borrow_mut().drain(first..).collect();
        let stays = |one: &&Program| one.running.running() && !one.running.stop();
        ending.iter().rev().filter(stays).map(|one| format!("`{}` does not end", one.command)).collect()
    }

    /// Whether one runs that has started just now.
    pub(crate) fn any_young(&self) -> bool {
        self.0.borrow().iter().any(|one| one.running.age() < scaled(YOUNG) && one.running.running())
    }

    /// Those that have ended by themselves: which, how, and their last lines. Failures first.
    pub(crate) fn ended(&self) -> Vec<String> {
        let all = self.0.borrow();
        let gone = |one: &&Program| !one.running.was_stopped() && one.running.status().is_some();
        let mut gone: Vec<&Program> = all.iter().filter(gone).collect();
        gone.sort_by_key(|one| one.running.status() == Some(0));
        gone.iter().take(MOST).map(|one| one.story()).collect()
    }
}

impl Program {
    /// `` `python3 -m http.serverr` in `web` ended with status 1: No module named http.serverr ``
    pub(crate) fn story(&self) -> String {
        let how = self.running.how_ended().unwrap_or_else(|| "still runs".to_owned());
        let said = self.running.last_lines(LINES);
        let said = if said.is_empty() { "it printed nothing".to_owned() } else { said.join("; ") };
        format!("`{}` in `{}` {how}: {said}", self.command, self.at)
    }
}
