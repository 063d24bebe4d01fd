//! `netwright why --fix`: mends round by round, each of them a run of its own.
//!
//! What is run is journalled with its inverse before it runs, so that `netwright down` takes it back, and `netwright gc` what a round left
//! that was killed. Where a verb of scripts does the same, it does it: rules carry netwright's mark, so that no other of the same words goes in their
//! place, and a setting that somebody has changed since is his.

use std::io::IsTerminal as _;

use super::run::{OnHost, finish, on_machine};
use super::why::WhyArgs;
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::model::iptables_args::{Command as Words, Invocation};
use crate::op::firewall::{self, MARK};
use crate::op::route::Family;
use crate::op::{Command, Op, Tool, Undo, Where};
use crate::report::human;
use crate::script::engine::Job;
use crate::session::program::Program;
use crate::session::{Did, Session};
use crate::verify::Aim;
use crate::why::finding::{Change, Culprit, Finding, Fix, Leg, Verdict};
use crate::why::{Question, why};

/// How often `--fix` mends and looks again.
const ROUNDS: usize = 5;
/// What the runs are listed as.
const NAME: &str = "netwright why --fix";
/// The programs whose commands are journalled with an inverse where no verb does them; others are only named.
const TOOLS: [Tool; 4] = [Tool::Ip, Tool::Bridge, Tool::Tc, Tool::Nft];

/// Mends round by round: shows what it would run, asks, runs it, looks again, and takes back a round that did not bring the packet further.
pub(super) fn mend(
    arguments: &WhyArgs,
    session: &Session,
    question: &Question,
    mut finding: Finding,
    show: &dyn Fn(&Finding),
) -> Result<Finding> {
    for _ in 0..ROUNDS {
        let Some(culprit) = finding.culprit.clone().filter(|culprit| !culprit.fix.is_empty()) else { break };
        let mut commands = Vec::new();
        for fix in &culprit.fix {
            match refused(session, question, &finding, fix) {
                Some(reason) => human::line(&format!("not run: {}   ({reason})", fix.hint())),
                None => commands.push(fix.clone()),
            }
        }
        if commands.is_empty() || !agreed(arguments, &commands)? {
            break;
        }
        let exec = Exec::new(super::tools(&arguments.tools)?, Interrupt::default())?;
        let job = Job { scripts: vec![NAME.into()], ..Job::default() };
        let round = on_machine(exec, Box::new(|_| {}), &job, &OnHost::default())?;
        let mut ran = Vec::new();
        for fix in &commands {
            let first = round.log().len();
            let inverse = inverse(fix);
            match apply(&round, fix, inverse.as_ref()) {
                Ok(()) => {
                    human::line(&format!("ran: {}", fix.line()));
                    // What no journal knows.
                    ran.push((fix, first, inverse.filter(|_| !is_journalled(fix))));
                }
                Err(error) => human::line(&format!("ran: {}   (failed: {error})", fix.line())),
            }
        }
        let before = finding;
        finding = why(session, question)?;
        show(&finding);
        let same = |new: &Culprit| (new.code, &new.at, &new.name) == (culprit.code, &culprit.at, &culprit.name);
        let no_further = finding.verdict == Verdict::Inconclusive
            || finding
                .culprit
                .as_ref()
                .is_some_and(|new| same(new) && new.value == culprit.value && new.leg == culprit.leg);
        let back = finding.verdict != Verdict::Reachable && no_further;
        if back {
            human::line("that did not bring the packet further: it is taken back");
            for (fix, first, by_hand) in ran.iter().rev() {
                let journalled = round.log().get(*first).is_some_and(|record| !matches!(record.op.undo, Undo::None(_)));
                let has_one = by_hand.is_some() || journalled;
                let (verb, why) = if has_one { ("takes back", "") } else { ("left", "   (it has no inverse)") };
                human::line(&format!("{verb}: {}{why}", fix.line()));
                if let Some(inverse) = by_hand {
                    round.run_user(
                        &inverse.netns,
                        &Program::plain(&inverse.words),
                        crate::exec::process::deadline(),
                    )?;
                }
            }
        } else {
            // `netwright down` does not take it back.
            for inverse in ran.iter().filter_map(|(_, _, by_hand)| by_hand.as_ref()) {
                human::line(&format!("to take it back: {}", inverse.hint()));
            }
        }
        let mut errors = Vec::new();
        finish(&round, back, &mut errors, None);
        round.release_claims();
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        if back {
            finding = before;
            break;
        }
    }
    Ok(finding)
}

/// Does what a verb of scripts does as well; `None` when none does.
fn by_verb(round: &Session, fix: &Fix) -> Option<Result<Did>> {
    let words: Vec<&str> = fix.words.iter().map(String::as_str).collect();
    let netns = &fix.netns;
    let family = |program: &str| match program {
        "iptables" => Some(Family::V4),
        "ip6tables" => Some(Family::V6),
        _ => None,
    };
    match words.as_slice() {
        ["sysctl", "-w", setting @ ..] => {
            let setting = setting.join(" ");
            let (name, value) = setting.split_once('=')?;
            Some(round.sysctl_set(netns, name, value))
        }
        ["ip", "link", "set", "dev", dev, "up"] => Some(round.link_up((netns, dev), true)),
        ["nft", rest @ ..] => Some(round.nft_in_place(netns, &rest.join(" ")).map(|_| Did::Something)),
        [program, ..] => {
            let family = family(program)?;
            let rest = fix.words.get(1..)?;
            let call = Invocation::parse(rest).ok()?;
            let spec = &call.with_comment(MARK).spec;
            // A verb would be content with the same rule further down, which comes too late.
            let op = match &call.command {
                Words::Append { chain } => firewall::append(netns, family, &call.table, chain, spec),
                Words::Insert { chain, position } => {
                    firewall::insert(netns, family, &call.table, chain, *position, spec)
                }
                _ => return Some(round.iptables(netns, family, rest).map(|_| Did::Nothing)),
            };
            Some(round.apply(op).map(|_| round.count(Did::Something)))
        }
        [] => None,
    }
}

/// Whether a command is one of those that are journalled.
fn is_journalled(fix: &Fix) -> bool {
    fix.words.first().is_some_and(|program| TOOLS.iter().any(|tool| tool.program() == program))
}

/// Runs a command, journalled with its inverse.
fn apply(round: &Session, fix: &Fix, inverse: Option<&Fix>) -> Result<()> {
    if let Some(did) = by_verb(round, fix) {
        return did.map(drop);
    }
    let command = |fix: &Fix| {
        let (program, rest) = fix.words.split_first()?;
        let tool = TOOLS.into_iter().find(|tool| tool.program() == program)?;
        Some(Command::new(tool, &fix.netns, rest.iter().cloned()))
    };
    if let Some(act) = command(fix) {
        let undo = inverse.and_then(command).map_or_else(|| Undo::None("no command takes it back".into()), Undo::by);
        round.apply(Op::new(act, undo))?;
        round.count(Did::Something);
        return Ok(());
    }
    let output = round.run_user(&fix.netns, &Program::plain(&fix.words), crate::exec::process::deadline())?;
    if output.ok {
        return Ok(());
    }
    let said = output.ran.stderr.lines().next().unwrap_or("it failed").to_owned();
    Err(Error::new(Kind::CommandFailed, said))
}

/// Why a command is for a person to run only.
fn refused(session: &Session, question: &Question, finding: &Finding, fix: &Fix) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().all(|word| fix.words.iter().any(|have| have == word));
    if fix.kind() == Change::Removes && has(&["route", "default"]) {
        return Some("a default route is never deleted");
    }
    let culprit = finding.culprit.as_ref()?;
    let guard = culprit.code.is_of_filter();
    if guard && fix.kind() == Change::Removes {
        return Some("a rule that may be right is not deleted");
    }
    // The flow only leaves to the last namespace of its way there, unless the target is on this machine: then that one is between the two.
    let target = match &question.aim {
        Aim::Target(target) => Some(target.addr),
        Aim::Netns(_) => None,
    };
    let way: Vec<_> = finding.hops.iter().filter(|hop| hop.leg == Leg::Request).collect();
    let last = way.last().filter(|last| !last.out && last.at == fix.netns && last.at != question.from)?;
    let passes = way.iter().any(|hop| hop.out && hop.at == last.at);
    let has_target = |netns: &Where| {
        session.addrs(netns).is_ok_and(|addrs| {
            addrs.iter().flat_map(crate::model::net_addr::Addr::ipnets).any(|net| Some(net.addr()) == target)
        })
    };
    let owns = has_target(&last.at) || session.everywhere().iter().any(has_target);
    (target.is_some() && !passes && !owns).then_some("the flow only leaves to this namespace: it is not ours to mend")
}

/// Shows the commands and asks, unless `--yes` said so.
fn agreed(arguments: &WhyArgs, commands: &[Fix]) -> Result<bool> {
    if arguments.yes() {
        return Ok(true);
    }
    for fix in commands {
        human::line(&format!("would run ({}): {}", fix.kind().word(), fix.hint()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            Kind::InvalidArgument,
            "`--fix` asks before it runs anything, and nobody can answer here",
        )
        .hint("`--fix --yes` runs what is shown without asking"));
    }
    human::line("run that? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The command that takes another back, where there is one and no verb knows it.
fn inverse(fix: &Fix) -> Option<Fix> {
    let words: Vec<&str> = fix.words.iter().map(String::as_str).collect();
    let owned = |words: &[&str]| Some(Fix::of(&fix.netns, words.iter().copied()));
    match words.as_slice() {
        ["bridge", "link", "set", "dev", dev, flag, value @ ("on" | "off")] => {
            owned(&["bridge", "link", "set", "dev", dev, flag, if *value == "on" { "off" } else { "on" }])
        }
        ["ipset", "del", rest @ ..] => owned(&[&["ipset", "add"], rest].concat()),
        // The verb turned round takes the same words back.
        _ => {
            let at = words.iter().position(|word| *word == "add").filter(|at| *at <= 4)?;
            let (head, rest) = (words.get(..at)?, words.get(at + 1..)?);
            owned(&[head, &["del"], rest].concat())
        }
    }
}
