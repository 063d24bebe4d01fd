//! `netwright why`: which hop is to blame, how that is known, and what mends it.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::inside::looking;
use super::{copy, fail, parse_tool};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::model::suggest;
use crate::op::Where;
use crate::probe::{Named, Proto, Target};
use crate::report::{finding as picture, human, json};
use crate::session::Session;
use crate::verify::{Aim, Said};
use crate::why::codes::Code;
use crate::why::finding::{Finding, Verdict};
use crate::why::outlook::{Prospect, outlook};
use crate::why::{PROTOCOLS, Question, Shape, codes, why};

/// `netwright why`
#[derive(Args, Debug)]
#[command(after_help = "\
Sends one packet and changes nothing; --fix does, --trace-rules for a moment.
Exit codes: 0 reachable, 1 blocked or inconclusive, 2 usage, 4 something missing

Examples:
  netwright why blue 10.0.0.2
  netwright why docker:web tcp/10.0.0.2:80 --json
  netwright why blue
  netwright why --on machine.json blue 10.0.0.2")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct WhyArgs {
    /// A namespace: its name, host, pid:4711, docker:web or /proc/4711/ns/net
    #[arg(required_unless_present = "explain")]
    from: Option<String>,
    #[arg(
        help = "A namespace, an address, tcp/10.0.0.2:80 or udp/[2001:db8::2]:53;\nnone: the gateways, the resolvers and the way out of FROM"
    )]
    to: Option<String>,
    /// Print the finding as JSON
    #[arg(long)]
    json: bool,
    /// Ping with so many bytes, unfragmented
    #[arg(long, value_name = "BYTES")]
    size: Option<u32>,
    /// Come from this address
    #[arg(long = "from", value_name = "ADDRESS", alias = "from-address")]
    from_address: Option<IpAddr>,
    /// Come from this port
    #[arg(long, value_name = "PORT")]
    sport: Option<u16>,
    /// Go to this port, by TCP or by --proto udp
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Another protocol, by name or number: udp, gre, 112
    #[arg(long, value_name = "PROTO")]
    proto: Option<String>,
    /// Another ICMP type than that of a ping
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["port", "sport", "proto"])]
    icmp: Option<u8>,
    /// Carry this firewall mark: 16 or 0x10
    #[arg(long, value_parser = parse_number)]
    mark: Option<u32>,
    /// Carry this type of service: 0x10
    #[arg(long, value_parser = parse_tos)]
    tos: Option<u8>,
    /// Leave by this link
    #[arg(long, value_name = "LINK")]
    dev: Option<String>,
    /// Send no packet: judge by the state alone
    #[arg(long)]
    no_probe: bool,
    /// In a sandbox that stays: run --keep NAME
    #[arg(long = "in", value_name = "NAME", conflicts_with = "on")]
    pub(super) inside: Option<String>,
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
    pub(super) tools: Vec<(String, PathBuf)>,
}

impl WhyArgs {
    /// Whether `--fix` asks nobody.
    pub(super) fn yes(&self) -> bool {
        self.yes
    }
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
    if arguments.to.is_none() {
        return match prospects(arguments) {
            Ok(fine) => u8::from(!fine),
            Err(error) => failed(&error),
        };
    }
    match answer(arguments) {
        Ok(finding) => u8::from(finding.verdict != Verdict::Reachable),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> u8 {
    let code = fail(error);
    // A name or address that means nothing is wrong usage; what else fails is the machine.
    match error.kind() {
        Kind::InvalidArgument => 2,
        Kind::NotFound => 1,
        _ => code.max(4),
    }
}

/// Shows what a namespace cannot do. Returns whether nothing stands in its way.
fn prospects(arguments: &WhyArgs) -> Result<bool> {
    let exec = Exec::new(super::tools(&arguments.tools)?, Interrupt::default())?;
    let session = looking(exec);
    let from = there(&session, place(&session, arguments.from.as_deref().unwrap_or_default())?)?;
    let all = outlook(&session, &from)?;
    if arguments.json {
        let one = |prospect: &Prospect| serde_json::json!({ "what": prospect.what, "fine": prospect.fine, "finding": prospect.finding.json() });
        json::print(&serde_json::Value::Array(all.iter().map(one).collect()));
    } else {
        for prospect in &all {
            match &prospect.finding.probe {
                _ if !prospect.fine => {
                    human::print(&format!("{}:\n", prospect.what));
                    human::print(&picture::render(&prospect.finding, picture::Style::of_stdout()));
                }
                Some(probe) => human::print(&format!("ok: {}: {}\n", prospect.what, probe.detail)),
                None => human::print(&format!("ok: {}: nothing stands in the way\n", prospect.what)),
            }
        }
    }
    Ok(all.iter().all(|prospect| prospect.fine))
}

/// A namespace that is there.
pub(super) fn there(session: &Session, netns: Where) -> Result<Where> {
    if let Err(error) = session.exec().netns(&netns) {
        return Err(missing(error, &netns));
    }
    session.know(&netns);
    Ok(netns)
}

fn explain(code: &str) -> u8 {
    if code == "all" {
        for code in codes::ALL {
            human::print(&format!("{:<24} {}\n", code.name(), code.means()));
        }
        return 0;
    }
    match codes::find(code) {
        Some(code) => {
            human::print(&format!(
                "{}: {}\n\n  seen:   {}\n  mended: {}\n",
                code.name(),
                code.means(),
                code.seen(),
                code.mend()
            ));
            0
        }
        None => {
            let error = Error::new(Kind::InvalidArgument, format!("there is no code `{code}`"));
            let error = suggest::with_nearest(error, code, codes::ALL.iter().map(|known| known.name()));
            let error = error.hint("`netwright why --explain all` lists them");
            fail(&error);
            2
        }
    }
}

fn answer(arguments: &WhyArgs) -> Result<Finding> {
    let exec = Exec::new(super::tools(&arguments.tools)?, Interrupt::default())?;
    let session = looking(exec);
    let (question, mut finding) = ask(arguments, &session)?;
    if arguments.fix {
        finding =
            super::mend::mend(arguments, &session, &question, finding, &|finding| show(arguments, &session, finding))?;
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
        shape: Shape {
            sport: arguments.sport,
            tos: arguments.tos,
            dev: arguments.dev.clone(),
            icmp: arguments.icmp,
            proto: protocol(arguments)?.0,
        },
        probe: !arguments.no_probe && (arguments.on.is_none() || arguments.rehearse),
        trace: arguments.trace_rules,
        ..question(session, from, to)?
    };
    let question = Question { aim: by_port(arguments, session, &question)?, ..question };
    let finding = why(session, &question)?;
    show(arguments, session, &finding);
    Ok((question, finding))
}

/// A number as iproute2 takes it: decimal, or hex with `0x`.
fn parse_number(text: &str) -> std::result::Result<u32, String> {
    let read = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
    read.map_err(|_| format!("`{text}` is no number: 16 or 0x10"))
}

fn parse_tos(text: &str) -> std::result::Result<u8, String> {
    parse_number(text)?.try_into().map_err(|_| format!("`{text}` is more than a type of service holds: 0 to 0xff"))
}

/// What `--proto` says: the number of a protocol without ports, and whether it is UDP.
fn protocol(arguments: &WhyArgs) -> Result<(Option<u8>, bool)> {
    let Some(word) = arguments.proto.as_deref() else { return Ok((None, false)) };
    match word {
        "tcp" | "6" => return Ok((None, false)),
        "udp" | "17" => return Ok((None, true)),
        "icmp" | "1" | "ipv6-icmp" | "58" if arguments.port.is_none() => return Ok((None, false)),
        _ => {}
    }
    let known = PROTOCOLS.iter().find(|(number, name)| word == *name || word.parse() == Ok(*number));
    match known {
        Some(_) if arguments.port.is_some() || arguments.sport.is_some() => Err(Error::new(
            Kind::InvalidArgument,
            format!("the protocol `{word}` has no ports that are asked for here"),
        )),
        Some((number, _)) => Ok((Some(*number), false)),
        None => {
            let names: Vec<&str> = PROTOCOLS.iter().map(|(_, name)| *name).collect();
            Err(Error::new(Kind::InvalidArgument, format!("`{word}` is no protocol that can be asked for"))
                .hint(format!("there are: tcp, udp, icmp, {}", names.join(", "))))
        }
    }
}

/// The aim with the port that `--port` says.
fn by_port(arguments: &WhyArgs, session: &Session, question: &Question) -> Result<Aim> {
    let udp = protocol(arguments)?.1;
    let Some(port) = arguments.port else {
        let has_ports = matches!(&question.aim, Aim::Target(target) if target.proto != Proto::Icmp);
        if (udp || arguments.sport.is_some()) && !has_ports {
            return Err(Error::new(Kind::InvalidArgument, "this needs a port to go to")
                .hint("`--port 53`, or `udp/10.0.0.2:53`"));
        }
        return Ok(question.aim.clone());
    };
    let addr = match &question.aim {
        Aim::Target(target) => target.addr,
        Aim::Netns(netns) => session.shared_addrs(&question.from, netns)?.first().copied().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("`{netns}` has no address that could be reached")).netns(netns.name())
        })?,
    };
    Ok(Aim::Target(if udp { Target::udp(addr, port) } else { Target::tcp(addr, port) }))
}

/// The question of two places as people write them.
///
/// # Errors
///
/// `InvalidArgument` when a word means nothing, `NotFound` with the names that there are.
pub(super) fn question(session: &Session, from: &str, to: &str) -> Result<Question> {
    let from = place(session, from)?;
    let aim = aim(session, &from, to)?;
    for netns in [Some(&from), if let Aim::Netns(netns) = &aim { Some(netns) } else { None }].into_iter().flatten() {
        if let Err(error) = session.exec().netns(netns) {
            return Err(missing(error, netns));
        }
        session.know(netns);
    }
    Ok(Question::new(from, aim))
}

fn show(arguments: &WhyArgs, session: &Session, finding: &Finding) {
    let names = session.container_names(&finding.places());
    if arguments.json {
        let mut document = finding.json();
        if let (Some(map), false) = (document.as_object_mut(), names.is_empty()) {
            let names = names.iter().map(|(at, name)| (at.name(), name.clone().into())).collect();
            map.insert("names".into(), serde_json::Value::Object(names));
        }
        json::print(&document);
    } else {
        human::print(&picture::called(&picture::render(finding, picture::Style::of_stdout()), &names));
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
            error.label(Code::NsMissing.name()).hint(known)
        }
        Kind::PermissionDenied => error.hint(format!("looking into `{netns}` needs root")),
        _ => error,
    }
}

/// A namespace as people write it.
pub(super) fn place(session: &Session, text: &str) -> Result<Where> {
    if text == "host" {
        return Ok(Where::Host);
    }
    if let Some(container) = session.container(text) {
        return container;
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

/// `from` is who asks: a port of a namespace is one of the address that it can name.
fn aim(session: &Session, from: &Where, text: &str) -> Result<Aim> {
    match text.parse() {
        Ok(target) => Ok(Aim::Target(target)),
        Err(_) if let Ok(Said::Named(Named { name, service: Some((proto, port)) })) = text.parse() => {
            let netns = place(session, &name)?;
            session.exec().netns(&netns).map_err(|error| missing(error, &netns))?;
            let addr = session.first_shared_addr(from, &netns)?;
            Ok(Aim::Target(Target { proto, port, ..Target::icmp(addr) }))
        }
        Err(error) => {
            let netns = place(session, text)?;
            let looks_like_target = text.starts_with("tcp/") || text.starts_with("udp/") || text.starts_with("icmp/");
            if looks_like_target
                || (session.exec().netns(&netns).is_err()
                    && text.contains([':', '/'])
                    && !text.starts_with("pid:")
                    && session.container(text).is_none())
            {
                return Err(error);
            }
            Ok(Aim::Netns(netns))
        }
    }
}
