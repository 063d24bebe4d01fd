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

/// How many namespaces may have unproven things before all of them are looked at: their warm processes must still be there.
const UNPROVEN_MAX: usize = 120;

/// Whether rules stand in their chain as they should.
type RulesHold = Box<dyn Fn(&[iptables::Rule]) -> bool>;

/// What is to be seen, and where.
pub(super) enum Check {
    /// That a fact is so.
    Fact(Box<Fact>, Ask),
    /// That rules stand in their chain as they should.
    Rules(Ask, RulesHold),
}

impl Check {
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
pub(super) struct Proof {
    /// The command, by its number in the log.
    record: usize,
    place: Option<Place>,
    look: Check,
    /// What is so when it is not.
    otherwise: String,
}

impl Session {
    /// What a command, by its number in the log, makes so is looked at later.
    pub(super) fn prove_later(&self, record: usize) -> Result<()> {
        self.prove_later_by(record, None)
    }

    /// The same, by another look than at what the command says.
    pub(super) fn prove_later_by(&self, record: usize, look: Option<Check>) -> Result<()> {
        self.add_proof(record, look);
        if self.proofs.borrow().len() >= UNPROVEN_MAX { self.prove() } else { Ok(()) }
    }

    /// The same, however many namespaces have unproven things.
    pub(super) fn add_proof(&self, record: usize, look: Option<Check>) {
        let (netns, proof) = {
            let log = self.log.borrow();
            let Some(op) = log.get(record).map(|record| &record.op) else { return };
            let Some(look) = look.or_else(|| Check::of(&op.command)) else { return };
            let otherwise = op.fact().map(|fact| fact.otherwise(None)).unwrap_or_default();
            (op.command.netns.clone(), Proof { record, place: op.place.clone(), look, otherwise })
        };
        self.proofs.borrow_mut().entry(netns).or_default().push(proof);
    }

    /// The questions that are still to be asked of a namespace.
    pub(super) fn questions(&self, netns: &Where) -> Vec<Command> {
        let all = self.proofs.borrow();
        all.get(netns).into_iter().flatten().filter_map(|proof| proof.look.question(netns)).collect()
    }

    /// The namespaces with unproven things.
    pub(super) fn unproven(&self) -> Vec<Where> {
        self.proofs.borrow().keys().cloned().collect()
    }

    /// Takes an answer that came by the way: what it shows is proof no more, and what it does not show is asked again.
    pub(super) fn see(&self, question: &Command, output: &Output) {
        let netns = &question.netns;
        let mut all = self.proofs.borrow_mut();
        let Some(proof) = all.get_mut(netns).filter(|_| output.ok) else { return };
        let is_it = |proof: &Proof| proof.look.question(netns).as_ref() == Some(question);
        let Some(first) = proof.iter().find(|proof| is_it(proof)) else { return };
        let Ok(answer) = first.look.ask().read(&output.ran.stdout) else { return };
        proof.retain(|proof| !is_it(proof) || !proof.look.is_shown(&answer));
        if proof.is_empty() {
            all.remove(netns);
        }
    }

    /// Looks at everything that commands should have made.
    ///
    /// # Errors
    ///
    /// `CommandFailed` for the first command that succeeded and made nothing; a question that failed.
    pub fn prove(&self) -> Result<()> {
        self.await_all()?;
        match self.first_lie()? {
            Some(lie) => Err(lie),
            None => Ok(()),
        }
    }

    /// The error of the first command that succeeded and made nothing.
    pub(super) fn first_lie(&self) -> Result<Option<Error>> {
        let proof = std::mem::take(&mut *self.proofs.borrow_mut());
        let mut rounds: Vec<Round> = Vec::new();
        for (netns, all) in proof {
            // A process answers one question at a time, so the questions to one namespace lie in different rounds.
            for (number, (question, proof)) in by_question(&netns, all).into_iter().enumerate() {
                if rounds.len() == number {
                    rounds.push(Round::default());
                }
                rounds[number].questions.push(question);
                rounds[number].proof.push((netns.clone(), proof));
            }
        }
        let mut lies = Vec::new();
        for Round { questions, proof } in rounds {
            let answers = self.ask_each(&questions)?;
            for (text, (netns, proof)) in answers.iter().zip(proof) {
                let Some(first) = proof.first() else { continue };
                let answer = first.look.ask().read(text)?;
                lies.extend(
                    proof.into_iter().filter(|proof| !proof.look.is_shown(&answer)).map(|proof| (netns.clone(), proof)),
                );
            }
        }
        let first = lies.into_iter().min_by_key(|(_, proof)| proof.record);
        Ok(first.map(|(netns, proof)| self.lie(&netns, &proof)))
    }

    fn lie(&self, netns: &Where, proof: &Proof) -> Error {
        let error = self.made_nothing(proof.record, netns, &proof.otherwise);
        match &proof.place {
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
    proof: Vec<(Where, Vec<Proof>)>,
}

/// What is proof in a namespace by the question that answers it.
fn by_question(netns: &Where, all: Vec<Proof>) -> Vec<(Command, Vec<Proof>)> {
    let mut questions: Vec<(Command, Vec<Proof>)> = Vec::new();
    for proof in all {
        let Some(question) = proof.look.question(netns) else { continue };
        match questions.iter_mut().find(|(known, _)| *known == question) {
            Some((_, same)) => same.push(proof),
            None => questions.push((question, vec![proof])),
        }
    }
    questions
}
