//! `netwright why`: which hop is to blame, how that is known, and what mends it.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::{copy, fail, parse_tool};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::model::suggest;
use crate::op::Where;
use crate::report::{finding as picture, human, json};
use crate::session::{Mode, Session};
use crate::verify::Aim;
use crate::why::finding::{Change, Culprit, Finding, Fix, Leg, Verdict};
use crate::why::{Question, codes, why};

/// How often `--fix` mends and looks again.
const ROUNDS: usize = 5;

/// `netwright why`
#[derive(Args, Debug)]
#[command(after_help = "\
Sends one packet and changes nothing; --fix does, --trace-rules for a moment.
Exit codes: 0 reachable, 1 blocked or inconclusive, 2 usage, 4 something missing

Examples:
  netwright why blue 10.0.0.2
  netwright why pid:4711 tcp/10.0.0.2:80 --json
  netwright why --on machine.json blue 10.0.0.2")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct WhyArgs {
    /// A namespace: its name, host, pid:4711 or /proc/4711/ns/net
    #[arg(required_unless_present = "explain")]
    from: Option<String>,
    #[arg(
        required_unless_present = "explain",
        help = "A namespace, an address, tcp/10.0.0.2:80 or udp/[2001:db8::2]:53"
    )]
    to: Option<String>,
    /// Print the finding as JSON
    #[arg(long)]
    json: bool,
    /// Ping with so many bytes, unfragmented
    #[arg(long, value_name = "BYTES")]
    size: Option<u32>,
    /// Come from this address
    #[arg(long, value_name = "ADDRESS")]
    from_address: Option<IpAddr>,
    /// Carry this firewall mark
    #[arg(long)]
    mark: Option<u32>,
    /// Send no packet: judge by the state alone
    #[arg(long)]
    no_probe: bool,
    /// Ask about the machine of a snapshot
    #[arg(long, value_name = "SNAPSHOT", conflicts_with_all = ["fix", "trace_rules"])]
    on: Option<OsString>,
    /// With --on: send the packet in a copy of that machine
    #[arg(long, requires = "on")]
    rehearse: bool,
    /// Show each rule's verdict: nft traces one packet
    #[arg(long, conflicts_with = "no_probe")]
    trace_rules: bool,
    /// Show what mends it, ask, run it, and look again
    #[arg(long, conflicts_with = "no_probe")]
    fix: bool,
    /// Do not ask before --fix runs what it shows
    #[arg(long, requires = "fix")]
    yes: bool,
    /// Say what a code means, or list `all`
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
}

/// Runs `netwright why`; the exit code.
pub(super) fn run(arguments: &WhyArgs) -> u8 {
    if let Some(code) = &arguments.explain {
        return explain(code);
    }
    if let Some(word) = &arguments.on {
        return copy::within(&copy::Source::of(word), &arguments.tools, |session| {
            let finding = ask(arguments, session)?.1;
            Ok(u8::from(finding.verdict != Verdict::Reachable))
        });
    }
    match answer(arguments) {
        Ok(finding) => u8::from(finding.verdict != Verdict::Reachable),
        Err(error) => {
            let code = fail(&error);
            // A name or address that means nothing is wrong usage; what else fails is the machine.
            match error.kind() {
                Kind::InvalidArgument => 2,
                Kind::NotFound => 1,
                _ => code.max(4),
            }
        }
    }
}

fn explain(code: &str) -> u8 {
    if code == "all" {
        for code in codes::ALL {
            human::print(&format!("{:<24} {}\n", code.name, code.means));
        }
        return 0;
    }
    match codes::find(code) {
        Some(code) => {
            human::print(&format!(
                "{}: {}\n\n  seen:   {}\n  mended: {}\n",
                code.name, code.means, code.seen, code.mend
            ));
            0
        }
        None => {
            let error = Error::new(Kind::InvalidArgument, format!("there is no code `{code}`"));
            let error = suggest::with_nearest(error, code, codes::ALL.iter().map(|known| known.name));
            let error = error.hint("`netwright why --explain all` lists them");
            fail(&error);
            2
        }
    }
}

fn answer(arguments: &WhyArgs) -> Result<Finding> {
    let exec = Exec::new(super::tools(&arguments.tools)?, Interrupt::default())?;
    let session = Session::new(exec, Mode::Host, Box::new(|_| {}));
    let (question, mut finding) = ask(arguments, &session)?;
    if arguments.fix {
        finding = mend(arguments, &session, &question, finding)?;
    }
    Ok(finding)
}

/// Asks, and shows the answer.
fn ask(arguments: &WhyArgs, session: &Session) -> Result<(Question, Finding)> {
    let (from, to) = (arguments.from.as_deref().unwrap_or_default(), arguments.to.as_deref().unwrap_or_default());
    let question = Question {
        size: arguments.size,
        source: arguments.from_address,
        mark: arguments.mark,
        probe: !arguments.no_probe && (arguments.on.is_none() || arguments.rehearse),
        trace: arguments.trace_rules,
        ..question(session, from, to)?
    };
    let finding = why(session, &question)?;
    show(arguments, &finding);
    Ok((question, finding))
}

/// Mends round by round: shows what it would run, asks, runs it, looks again, and takes back a round that did not bring the packet further.
fn mend(arguments: &WhyArgs, session: &Session, question: &Question, mut finding: Finding) -> Result<Finding> {
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
        let mut back = Vec::new();
        for fix in &commands {
            let inverse = inverse(session, fix);
            let output = session.run_user(&fix.netns, &fix.words, None, crate::exec::process::deadline())?;
            let said = output.ran.stderr.lines().next().unwrap_or_default().to_owned();
            let end = if output.ok { String::new() } else { format!("   (failed: {said})") };
            human::line(&format!("ran: {}{end}", fix.line()));
            if output.ok {
                back.push((fix, inverse));
            }
        }
        let before = finding;
        finding = why(session, question)?;
        show(arguments, &finding);
        let same = |new: &Culprit| (new.code, &new.at, &new.name) == (culprit.code, &culprit.at, &culprit.name);
        let no_further = finding.verdict == Verdict::Inconclusive
            || finding
                .culprit
                .as_ref()
                .is_some_and(|new| same(new) && new.value == culprit.value && new.leg == culprit.leg);
        if finding.verdict != Verdict::Reachable && no_further {
            human::line("that did not bring the packet further: it is taken back");
            for (fix, inverse) in back.into_iter().rev() {
                let Some(inverse) = inverse else {
                    human::line(&format!("left: {}   (it has no inverse)", fix.line()));
                    continue;
                };
                let output =
                    session.run_user(&inverse.netns, &inverse.words, None, crate::exec::process::deadline())?;
                let end = if output.ok { "" } else { "   (failed)" };
                human::line(&format!("took back: {}{end}", inverse.line()));
            }
            finding = before;
            break;
        }
    }
    Ok(finding)
}

/// Why a command is for a person to run only.
fn refused(session: &Session, question: &Question, finding: &Finding, fix: &Fix) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().all(|word| fix.words.iter().any(|have| have == word));
    if fix.kind() == Change::Removes && has(&["route", "default"]) {
        return Some("a default route is never deleted");
    }
    let culprit = finding.culprit.as_ref()?;
    let guard = matches!(culprit.code, "NF_DROP" | "NF_REJECT" | "NF_POLICY_DROP");
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
    if arguments.yes {
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

/// The command that takes another back, where there is one. A rule of nft has none: its handle is not told.
fn inverse(session: &Session, fix: &Fix) -> Option<Fix> {
    let words: Vec<&str> = fix.words.iter().map(String::as_str).collect();
    let owned = |words: &[&str]| Some(Fix::of(&fix.netns, words.iter().copied()));
    match words.as_slice() {
        [tool, "-t", table, "-I", chain, number, rest @ ..] if number.parse::<u32>().is_ok() => {
            owned(&[&[*tool, "-t", table, "-D", chain], rest].concat())
        }
        [tool, "-I", chain, number, rest @ ..] if number.parse::<u32>().is_ok() => {
            owned(&[&[*tool, "-D", chain], rest].concat())
        }
        ["ip", "link", "set", "dev", dev, "up"] => owned(&["ip", "link", "set", "dev", dev, "down"]),
        ["sysctl", "-w", setting] => {
            let name = setting.split('=').next()?;
            let value = session.sysctl_get(&fix.netns, name).ok()?;
            owned(&["sysctl", "-w", &format!("{name}={value}")])
        }
        // The verb turned round takes the same words back.
        [program, ..] => {
            let (verb, turned) = if program.contains("tables") { ("-A", "-D") } else { ("add", "del") };
            let at = words.iter().position(|word| *word == verb).filter(|at| *at <= 4 && *program != "nft")?;
            let (head, rest) = (words.get(..at)?, words.get(at + 1..)?);
            owned(&[head, &[turned], rest].concat())
        }
        [] => None,
    }
}

/// The question of two places as people write them.
///
/// # Errors
///
/// `InvalidArgument` when a word means nothing, `NotFound` with the names that there are.
pub(super) fn question(session: &Session, from: &str, to: &str) -> Result<Question> {
    let from = place(from)?;
    let aim = aim(session, to)?;
    for netns in [Some(&from), if let Aim::Netns(netns) = &aim { Some(netns) } else { None }].into_iter().flatten() {
        if let Err(error) = session.exec().netns(netns) {
            return Err(missing(error, netns));
        }
        session.know(netns);
    }
    Ok(Question::new(from, aim))
}

fn show(arguments: &WhyArgs, finding: &Finding) {
    if arguments.json {
        json::print(&finding.json());
    } else {
        human::print(&picture::render(finding, picture::Style::of_stdout()));
    }
}

fn missing(error: Error, netns: &Where) -> Error {
    match error.kind() {
        Kind::NotFound => {
            let names = crate::exec::netns::names().unwrap_or_default();
            let known = if names.is_empty() {
                "this machine has none with a name".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            };
            error.label("NS_MISSING").hint(known)
        }
        Kind::PermissionDenied => error.hint(format!("looking into `{netns}` needs root")),
        _ => error,
    }
}

/// A namespace as people write it.
fn place(text: &str) -> Result<Where> {
    if text == "host" {
        return Ok(Where::Host);
    }
    if let Some(pid) = text.strip_prefix("pid:") {
        let pid: u32 =
            pid.parse().map_err(|_| Error::new(Kind::InvalidArgument, format!("`{text}` is no process: pid:4711")))?;
        return Ok(Where::Path(format!("/proc/{pid}/ns/net").into()));
    }
    if text.contains('/') {
        return Ok(Where::Path(text.into()));
    }
    Ok(Where::Named(text.to_owned()))
}

fn aim(session: &Session, text: &str) -> Result<Aim> {
    match text.parse() {
        Ok(target) => Ok(Aim::Target(target)),
        Err(error) => {
            let netns = place(text)?;
            let looks_like_target = text.starts_with("tcp/") || text.starts_with("udp/") || text.starts_with("icmp/");
            if looks_like_target
                || (session.exec().netns(&netns).is_err() && text.contains([':', '/']) && !text.starts_with("pid:"))
            {
                return Err(error);
            }
            Ok(Aim::Netns(netns))
        }
    }
}
