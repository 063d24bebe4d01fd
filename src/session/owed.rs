//! What is still to be looked at: a tool may say yes and do nothing, so what a command should have made is read back.
//!
//! Not after each command: a namespace that was plugged in, addressed and routed answers for all of that at once, and many namespaces
//! answer side by side. It happens before anything that looks, waits or changes what is there, when a command fails, and at the end
//! of the run. The error then names the command and its place in the script, wherever the script is by then.

use super::Session;
use crate::error::{Error, Kind, Place, Result};
use crate::exec::Output;
use crate::model::iptables;
use crate::op::{Answer, Ask, Command, Fact, Where};

/// How many namespaces may owe a look before all of them are looked at: their warm processes must still be there.
const OWING_MAX: usize = 120;

/// Whether rules stand in their chain as they should.
type RulesHold = Box<dyn Fn(&[iptables::Rule]) -> bool>;

/// What is to be seen, and where.
pub(super) enum Look {
    /// That a fact is so.
    Fact(Box<Fact>, Ask),
    /// That rules stand in their chain as they should.
    Rules(Ask, RulesHold),
}

impl Look {
    /// That what a command makes is so. `None`: no answer would tell.
    pub(super) fn of(command: &Command) -> Option<Self> {
        let fact = command.fact.clone()?;
        // One look at the links of a namespace proves all that was done to them.
        let ask = fact.ask()?.wide();
        Some(Self::Fact(fact, ask))
    }

    fn ask(&self) -> &Ask {
        match self {
            Self::Fact(_, ask) | Self::Rules(ask, _) => ask,
        }
    }

    /// Whether an answer shows it.
    fn is_shown(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Fact(fact, _), answer) => fact.holds(answer) == Some(true),
            (Self::Rules(_, hold), Answer::Chain(chain)) => {
                hold(chain.as_ref().map(|chain| chain.rules.as_slice()).unwrap_or_default())
            }
            _ => false,
        }
    }

    /// The command that asks.
    pub(super) fn question(&self, netns: &Where) -> Option<Command> {
        self.ask().command(netns)
    }
}

/// One thing that a command should have made.
pub(super) struct Owed {
    /// The command, by its number in the log.
    record: usize,
    place: Option<Place>,
    look: Look,
    /// What is so when it is not.
    otherwise: String,
}

impl Session {
    /// What a command, by its number in the log, makes so is looked at later.
    pub(super) fn owe(&self, record: usize) -> Result<()> {
        self.owe_look(record, None)
    }

    /// The same, by another look than at what the command says.
    pub(super) fn owe_look(&self, record: usize, look: Option<Look>) -> Result<()> {
        self.remember(record, look);
        if self.owed.borrow().len() >= OWING_MAX { self.prove() } else { Ok(()) }
    }

    /// The same, however many namespaces owe a look.
    pub(super) fn remember(&self, record: usize, look: Option<Look>) {
        let (netns, owed) = {
            let log = self.log.borrow();
            let Some(op) = log.get(record).map(|record| &record.op) else { return };
            let Some(look) = look.or_else(|| Look::of(&op.command)) else { return };
            let otherwise = op.fact().map(|fact| fact.otherwise(None)).unwrap_or_default();
            (op.command.netns.clone(), Owed { record, place: op.place.clone(), look, otherwise })
        };
        self.owed.borrow_mut().entry(netns).or_default().push(owed);
    }

    /// The questions that are still to be asked of a namespace.
    pub(super) fn questions(&self, netns: &Where) -> Vec<Command> {
        let all = self.owed.borrow();
        all.get(netns).into_iter().flatten().filter_map(|owed| owed.look.question(netns)).collect()
    }

    /// The namespaces that owe a look.
    pub(super) fn owing(&self) -> Vec<Where> {
        self.owed.borrow().keys().cloned().collect()
    }

    /// Takes an answer that came by the way: what it shows is owed no more, and what it does not show is asked again.
    pub(super) fn see(&self, question: &Command, output: &Output) {
        let netns = &question.netns;
        let mut all = self.owed.borrow_mut();
        let Some(owed) = all.get_mut(netns).filter(|_| output.ok) else { return };
        let is_it = |owed: &Owed| owed.look.question(netns).as_ref() == Some(question);
        let Some(first) = owed.iter().find(|owed| is_it(owed)) else { return };
        let Ok(answer) = first.look.ask().read(&output.ran.stdout) else { return };
        owed.retain(|owed| !is_it(owed) || !owed.look.is_shown(&answer));
        if owed.is_empty() {
            all.remove(netns);
        }
    }

    /// Looks at everything that commands should have made.
    ///
    /// # Errors
    ///
    /// `CommandFailed` for the first command that succeeded and made nothing; a question that failed.
    pub fn prove(&self) -> Result<()> {
        self.hear_all()?;
        match self.first_lie()? {
            Some(lie) => Err(lie),
            None => Ok(()),
        }
    }

    /// The error of the first command that succeeded and made nothing.
    pub(super) fn first_lie(&self) -> Result<Option<Error>> {
        let owed = std::mem::take(&mut *self.owed.borrow_mut());
        let mut rounds: Vec<Round> = Vec::new();
        for (netns, all) in owed {
            // A process answers one question at a time, so the questions to one namespace lie in different rounds.
            for (number, (question, owed)) in by_question(&netns, all).into_iter().enumerate() {
                if rounds.len() == number {
                    rounds.push(Round::default());
                }
                rounds[number].questions.push(question);
                rounds[number].owed.push((netns.clone(), owed));
            }
        }
        let mut lies = Vec::new();
        for Round { questions, owed } in rounds {
            let answers = self.ask_each(&questions)?;
            for (text, (netns, owed)) in answers.iter().zip(owed) {
                let Some(first) = owed.first() else { continue };
                let answer = first.look.ask().read(text)?;
                lies.extend(
                    owed.into_iter().filter(|owed| !owed.look.is_shown(&answer)).map(|owed| (netns.clone(), owed)),
                );
            }
        }
        let first = lies.into_iter().min_by_key(|(_, owed)| owed.record);
        Ok(first.map(|(netns, owed)| self.lie(&netns, &owed)))
    }

    fn lie(&self, netns: &Where, owed: &Owed) -> Error {
        let error = self.made_nothing(owed.record, netns, &owed.otherwise);
        match &owed.place {
            Some(place) => error.late_at(place.clone()),
            None => error,
        }
    }

    /// The error of a command that succeeded and changed nothing.
    pub(super) fn made_nothing(&self, record: usize, netns: &Where, otherwise: &str) -> Error {
        let line = self.log.borrow_mut().get_mut(record).map(|record| {
            // Nobody knows what it did: it is undone by what is found.
            record.ok = None;
            record.op.command.line()
        });
        let line = line.unwrap_or_default();
        Error::new(Kind::CommandFailed, format!("`{line}` succeeded, but in `{netns}`: {otherwise}"))
            .hint("something else changes it at the same time, or the tool is not what it seems: `netwright doctor`")
            .netns(netns.name())
    }
}

/// Questions that are asked side by side, and what each of them is to show.
#[derive(Default)]
struct Round {
    questions: Vec<Command>,
    owed: Vec<(Where, Vec<Owed>)>,
}

/// What is owed in a namespace by the question that answers it.
fn by_question(netns: &Where, all: Vec<Owed>) -> Vec<(Command, Vec<Owed>)> {
    let mut questions: Vec<(Command, Vec<Owed>)> = Vec::new();
    for owed in all {
        let Some(question) = owed.look.question(netns) else { continue };
        match questions.iter_mut().find(|(known, _)| *known == question) {
            Some((_, same)) => same.push(owed),
            None => questions.push((question, vec![owed])),
        }
    }
    questions
}
