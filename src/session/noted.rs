//! What a script does beside the commands of netwright's own: the user's programs, listeners, expectations. For plans, and for what is handed on.

use super::Session;
use super::program::Effect;
use crate::error::Place;
use crate::op::{Command, Fact, Op, Where, secret};
use crate::probe::{Target, Visitors};

/// Something of that kind, with its place in the script.
#[derive(Clone, Debug)]
pub enum Noted {
    /// The user's own program.
    Program {
        /// Where it ran.
        netns: Where,
        /// Its words.
        words: Vec<String>,
        /// Whether it went on running.
        background: bool,
        /// What it changes.
        effect: Effect,
        /// Where in the script.
        place: Option<Place>,
    },
    /// A listener of netwright's.
    Listener {
        /// Where, and on what.
        what: String,
        /// Whether anybody came.
        visitors: Visitors,
        /// Where in the script.
        place: Option<Place>,
    },
    /// An expectation about reachability that held.
    Reaches {
        /// Who probed.
        from: Where,
        /// What was probed.
        target: Target,
        /// Whether it was to be reached.
        reaches: bool,
        /// Whether the script says how it is sent: from which address or link, with which mark.
        told: bool,
        /// Where in the script.
        place: Option<Place>,
    },
    /// What more held of the answer of such an expectation.
    Refined {
        /// What was expected: `a reaches 10.0.0.2 within 20ms`.
        text: String,
        /// Where in the script.
        place: Option<Place>,
    },
    /// A check with a sentence.
    Checked {
        /// The sentence.
        sentence: String,
        /// Where in the script.
        place: Option<Place>,
    },
}

impl Noted {
    /// Where in the script.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Program { place, .. }
            | Self::Listener { place, .. }
            | Self::Reaches { place, .. }
            | Self::Refined { place, .. }
            | Self::Checked { place, .. } => place.as_ref(),
        }
    }

    /// Whether it is something that was done, and not only looked at.
    #[must_use]
    pub fn is_of_up(&self) -> bool {
        matches!(self, Self::Program { .. } | Self::Listener { .. })
    }

    /// Whether there are keys among its words.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        matches!(self, Self::Program { words, .. } if secret::hide(words, secret::Of::User) != *words)
    }

    /// Whether somebody may answer because of it.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self, Self::Listener { .. } | Self::Program { background: true, .. })
    }

    /// Whether another one is about the same probe, or the same sentence.
    #[must_use]
    pub fn is_asked_again_by(&self, later: &Self) -> bool {
        match (self, later) {
            (
                Self::Reaches { from, target, told, .. },
                Self::Reaches { from: other_from, target: other, told: other_told, .. },
            ) => (from, target, told) == (other_from, other, other_told),
            (Self::Checked { sentence, .. }, Self::Checked { sentence: other, .. })
            | (Self::Refined { text: sentence, .. }, Self::Refined { text: other, .. }) => sentence == other,
            _ => false,
        }
    }

    /// Why plain shell has no command for it.
    #[must_use]
    pub fn why_not_plain(&self) -> Option<String> {
        match self {
            Self::Listener { what, .. } => Some(format!("netwright itself listens on {what}")),
            Self::Program { .. } | Self::Reaches { .. } | Self::Refined { .. } | Self::Checked { .. } => None,
        }
    }
}

impl Session {
    /// Remembers something that was done or expected, behind the commands that came before it.
    pub fn note_down(&self, noted: Noted) {
        let position = self.log.borrow().len();
        self.noted.borrow_mut().push((position, noted));
    }

    /// All of it, each with the number of commands before it.
    #[must_use]
    pub fn noted(&self) -> Vec<(usize, Noted)> {
        self.noted.borrow().clone()
    }

    /// Remembers what the script asks for and a copy of a machine has already. Links and namespaces are not among it: what made them is not known.
    pub(super) fn had(&self, op: &Op) {
        if self.is_copy() && !matches!(op.fact(), Some(Fact::Link(_) | Fact::Netns(_))) {
            let position = self.log.borrow().len();
            let op = Op { place: self.place(), ..op.clone() };
            self.had.borrow_mut().push((position, op));
        }
    }

    /// All of that, each with the number of commands before it, but for what the run did itself.
    #[must_use]
    pub fn had_already(&self) -> Vec<(usize, Op)> {
        let mut seen: Vec<Command> = self.log.borrow().iter().map(|record| record.op.command.clone()).collect();
        let mut all = self.had.borrow().clone();
        all.retain(|(_, op)| {
            let is_new = !seen.contains(&op.command);
            seen.push(op.command.clone());
            is_new
        });
        all
    }
}
