//! What is still to be looked at: a tool may say yes and do nothing, so what a command should have made is read back.
//!
//! Not after each command: a namespace that was plugged in, addressed and routed answers for all of that at once, and many namespaces
//! answer side by side. It happens before anything that looks, waits or changes what is there, when a command fails, and at the end
//! of the run. The error then names the command and its place in the script, wherever the script is by then.

use ipnet::IpNet;
use serde::Deserialize;

use super::Session;
use crate::error::{Error, Kind, Place, Result};
use crate::exec::Output;
use crate::model::net_addr::AddrInfo;
use crate::model::route::Route;
use crate::model::{iptables, json};
use crate::op::{self, Command, Where};

/// How many namespaces may owe a look before all of them are looked at: their warm processes must still be there.
const OWING_MAX: usize = 120;

/// Whether what is seen is as it should be.
type Holds<T> = Box<dyn Fn(&T) -> bool>;

/// Where to look, and whether what is seen there is as it should be.
pub(super) enum Look {
    /// At the links of the namespace and their addresses.
    Links(Holds<[Seen]>),
    /// At the routes that a command lists.
    Routes(Command, Holds<[Route]>),
    /// At what a command prints.
    Text(Command, Holds<str>),
    /// At the rules of the chain of a table that a command lists.
    Rules(Command, String, Holds<[iptables::Rule]>),
}

impl Look {
    /// Whether a link is there and as it should be.
    pub(super) fn at_link(name: &str, holds: impl Fn(&Seen) -> bool + 'static) -> Self {
        let name = name.to_owned();
        Self::Links(Box::new(move |all| all.iter().any(|link| link.ifname == name && holds(link))))
    }

    pub(super) fn question(&self, netns: &Where) -> Command {
        match self {
            Self::Links(_) => op::link::show_all(netns),
            Self::Routes(command, _) | Self::Text(command, _) | Self::Rules(command, ..) => command.clone(),
        }
    }
}

/// What of a link may matter: a namespace may have a thousand.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    ifname: String,
    flags: Vec<String>,
    pub(super) master: Option<String>,
    pub(super) ifalias: Option<String>,
    addr_info: Vec<AddrInfo>,
}

impl Seen {
    /// Whether it was set up.
    pub(super) fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    /// Whether it has an address.
    pub(super) fn has(&self, addr: IpNet) -> bool {
        self.addr_info.iter().filter_map(AddrInfo::ipnet).any(|have| have == addr)
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

/// What was answered to one question.
enum Answer {
    Links(Vec<Seen>),
    Routes(Vec<Route>),
    Text(String),
    Rules(Vec<iptables::Rule>),
}

impl Answer {
    fn parse(look: &Look, text: &str) -> Result<Self> {
        Ok(match look {
            Look::Links(_) => Self::Links(json::brief(text, "ip address show")?),
            Look::Routes(..) => Self::Routes(json::brief(text, "ip route show")?),
            Look::Text(..) => Self::Text(text.to_owned()),
            Look::Rules(_, table, _) => {
                let chains = iptables::parse_list(table, text)?.chains;
                Self::Rules(chains.into_iter().next().map(|chain| chain.rules).unwrap_or_default())
            }
        })
    }

    fn shows(&self, look: &Look) -> bool {
        match (look, self) {
            (Look::Links(holds), Self::Links(seen)) => holds(seen),
            (Look::Routes(_, holds), Self::Routes(routes)) => holds(routes),
            (Look::Text(_, holds), Self::Text(text)) => holds(text),
            (Look::Rules(.., holds), Self::Rules(rules)) => holds(rules),
            _ => false,
        }
    }
}

impl Session {
    /// Remembers what a command, by its number in the log, should have made.
    pub(super) fn owe(&self, record: usize, netns: &Where, look: Look, otherwise: impl Into<String>) -> Result<()> {
        self.remember(record, netns, look, otherwise);
        if self.owed.borrow().len() >= OWING_MAX { self.prove() } else { Ok(()) }
    }

    /// The same, however many namespaces owe a look.
    pub(super) fn remember(&self, record: usize, netns: &Where, look: Look, otherwise: impl Into<String>) {
        let place = self.log.borrow().get(record).and_then(|record| record.op.place.clone());
        let owed = Owed { record, place, look, otherwise: otherwise.into() };
        self.owed.borrow_mut().entry(netns.clone()).or_default().push(owed);
    }

    /// The questions that are still to be asked of a namespace.
    pub(super) fn questions(&self, netns: &Where) -> Vec<Command> {
        let all = self.owed.borrow();
        all.get(netns).into_iter().flatten().map(|owed| owed.look.question(netns)).collect()
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
        let Some(first) = owed.iter().find(|owed| owed.look.question(netns) == *question) else { return };
        let Ok(answer) = Answer::parse(&first.look, &output.ran.stdout) else { return };
        owed.retain(|owed| owed.look.question(netns) != *question || !answer.shows(&owed.look));
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
                let answer = Answer::parse(&first.look, text)?;
                lies.extend(
                    owed.into_iter().filter(|owed| !answer.shows(&owed.look)).map(|owed| (netns.clone(), owed)),
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
        let question = owed.look.question(netns);
        match questions.iter_mut().find(|(known, _)| *known == question) {
            Some((_, same)) => same.push(owed),
            None => questions.push((question, vec![owed])),
        }
    }
    questions
}
