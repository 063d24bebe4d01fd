//! Looking whether a fact is so: after an act and after its undoing, for a tool may say yes and do nothing.

use super::undo::Undoing;
use super::{Session, failure};
use crate::error::{Error, Kind, Result};
use crate::exec::netns::{id_at, path_of};
use crate::exec::{Exec, Output};
use crate::model::{iptables, sysctl};
use crate::op::firewall::{self, ChainAt, RuleAct};
use crate::op::link::Link;
use crate::op::{Answer, Ask, Command, Fact, Op, Where};

/// Asks a question; `run` runs its command.
pub(super) fn answer(
    exec: &Exec,
    netns: &Where,
    ask: &Ask,
    run: impl Fn(&Command) -> Result<Output>,
) -> Result<Answer> {
    match ask {
        Ask::Netns(name) => {
            return Ok(Answer::Netns(path_of(&Where::Named(name.clone())).as_deref().and_then(id_at).is_some()));
        }
        Ask::Sysctl(name) => {
            return match super::sysctl::read(exec, netns, &sysctl::Name::parse(name)?)? {
                Ok(now) => Ok(Answer::Sysctl(now)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Answer::Gone),
                Err(error) => Err(Error::new(Kind::CommandFailed, format!("`{name}` cannot be read: {error}"))),
            };
        }
        Ask::File(path) => return file(exec, path).map(Answer::File),
        Ask::Chain(at) => return chain(netns, at, run).map(|chain| Answer::Chain(chain.map(Box::new))),
        _ => {}
    }
    let Some(command) = ask.command(netns) else { return Ok(Answer::Gone) };
    // What is secret passes no reporter.
    let output = if matches!(ask, Ask::Wireguard(_)) { exec.run_fresh(&command)? } else { run(&command)? };
    if output.ok {
        return ask.read(&output.ran.stdout);
    }
    ask.read_failure(&output.ran.stderr).map_or_else(|| Err(failure(&command, output.ran)), Ok)
}

/// What a file holds, as the script's programs see it; `None` without such a file.
fn file(exec: &Exec, path: &str) -> Result<Option<String>> {
    match exec.in_user_files(|| std::fs::read_to_string(path))? {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(Kind::CommandFailed, format!("`{path}` cannot be read: {error}"))),
    }
}

/// A chain of iptables; `None` without such a chain.
fn chain(netns: &Where, at: &ChainAt, run: impl Fn(&Command) -> Result<Output>) -> Result<Option<iptables::Chain>> {
    let list = |chain| firewall::list(netns, at.family, &at.table, chain);
    let command = list(Some(&at.chain));
    let mut output = run(&command)?;
    let of_chain = output.ok;
    if !of_chain {
        // What is said about a chain that is not there differs between versions: the whole table tells.
        output = run(&list(None))?;
        if !output.ok {
            return Err(failure(&command, output.ran));
        }
    }
    let listed = iptables::parse_list(&at.table, &output.ran.stdout)?;
    // A chain that is there is named, even when it is empty; and a table has chains.
    match listed.chain(&at.chain) {
        Some(chain) => Ok(Some(chain.clone())),
        None if !of_chain && !listed.chains.is_empty() => Ok(None),
        None => Err(Error::new(Kind::ToolOutput, format!("`{}` printed no chain", command.line()))),
    }
}

impl Session {
    /// Asks a question about a namespace, after what was deferred there.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub(super) fn answer(&self, netns: &Where, ask: &Ask) -> Result<Answer> {
        if ask.command(netns).is_none() {
            self.settle_all()?;
        }
        answer(&self.exec, netns, ask, |command| self.ask(command))
    }

    /// Acts, and reads back whether it is so.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`]; `CommandFailed` when it is otherwise after the act.
    pub(super) fn act_and_look(&self, op: Op) -> Result<()> {
        let (netns, fact) = (op.command.netns.clone(), op.command.fact.clone());
        self.apply(op)?;
        let Some((fact, ask)) = fact.and_then(|fact| fact.ask().map(|ask| (fact, ask))) else { return Ok(()) };
        let answer = self.answer(fact.shown_in(&netns), &ask)?;
        self.read_back(&netns, fact.holds(&answer) == Some(true), || fact.otherwise(Some(&answer)))
    }
}

/// What a look at the machine says about a command of an inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as the command says.
    Holds,
    /// It is otherwise, or nobody answers.
    Not(String),
    /// Nothing can be said: the command is not one of those that netwright writes.
    Untold,
}

impl Undoing<'_> {
    /// Looks whether the machine is as a command of an inverse says.
    pub(super) fn look(&self, command: &Command) -> Verdict {
        self.looked(command).unwrap_or_else(|error| Verdict::Not(error.to_string()))
    }

    /// The same; an error when nobody answers.
    pub(super) fn looked(&self, command: &Command) -> Result<Verdict> {
        let Some((fact, ask)) = command.fact().and_then(|fact| Some((fact, fact.ask()?))) else {
            return Ok(Verdict::Untold);
        };
        let answer = self.answer(fact.shown_in(&command.netns), &ask)?;
        if is_gone_with_more(fact, &answer) {
            return Ok(Verdict::Holds);
        }
        let holds = match (fact, fact.holds(&answer)) {
            // That a rule is gone is said by `-C`; that the tool is not one which says yes or no to everything, by the list.
            (Fact::NfRule(rule), None) if rule.act == RuleAct::Delete => {
                Some(!self.exec().run(&rule.check(&command.netns))?.ok)
            }
            // What is deleted may take its time, and is waited for elsewhere.
            (Fact::Netns(_) | Fact::Link(_), Some(false)) if fact.makes() == Some(false) => None,
            (_, holds) => holds,
        };
        Ok(match holds {
            Some(true) => Verdict::Holds,
            Some(false) => Verdict::Not(fact.otherwise(Some(&answer))),
            None => Verdict::Untold,
        })
    }

    /// Asks a question about a namespace.
    pub(super) fn answer(&self, netns: &Where, ask: &Ask) -> Result<Answer> {
        // Only what is asked of a warm process may be stale: a name or a file is looked at as it is.
        answer(self.exec, netns, ask, |command| self.exec().run(command))
    }

    /// Whether no route has the place of the one that a command makes: its destination, table and metric. `None` when nobody can say.
    pub(super) fn route_place_is_empty(&self, command: &Command) -> Option<bool> {
        let Some(Fact::Route(route)) = command.fact() else { return None };
        let spec = route.spec()?;
        match self.answer(&command.netns, &spec.ask(route.family, &route.dst)).ok()? {
            Answer::Routes(routes) => Some(!routes.iter().any(|one| spec.same_place(route.family, one))),
            _ => None,
        }
    }
}

/// Whether what a fact is about is gone with its link: then there is nothing to be put right. But a link that should have its former name again is
/// looked for by that.
fn is_gone_with_more(fact: &Fact, answer: &Answer) -> bool {
    match (fact, answer) {
        (Fact::Settings(set), Answer::Link(None)) => set.new_name().is_none(),
        (Fact::Link(Link { there, .. }), Answer::Link(None)) => !there,
        (Fact::Addr(_), Answer::Link(None)) | (_, Answer::Gone) => true,
        _ => false,
    }
}
