//! A rehearsed run as plain shell: `up.sh`, `verify.sh`, `down.sh`, for machines without netwright.
//!
//! POSIX sh and the tools that the commands name. Each command stands behind the question whether it is needed ([`step`]), so that a second `up.sh`
//! changes nothing; what it does is written to a file before it does it, so that `down.sh` takes back that and nothing else, whenever `up.sh` ended.
//! Pure: text in, text out.

mod scripts;
mod step;

use std::collections::HashMap;

use crate::op::netns::Netns;
use crate::op::{Fact, Where};
use crate::probe::{Proto, Target};
use crate::session::noted::Noted;
use crate::session::{Record, Session};
use step::Step;

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripts {
    /// Brings about what the script says.
    pub up: String,
    /// Says as TAP whether it is so.
    pub verify: String,
    /// Takes back what `up.sh` did.
    pub down: String,
    /// What has no plain command, each with its line.
    pub missing: Vec<String>,
    /// The lines of the script whose commands hold keys, which stand in the scripts as they are.
    pub with_keys: Vec<String>,
}

/// Where the scripts come from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The script, as its user named it.
    pub script: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// A word for the file that tells what was done.
    pub name: String,
}

/// Makes the scripts of a run that was rehearsed; `line` gives a line of a source.
#[must_use]
pub fn emit(session: &Session, origin: &Origin, line: &dyn Fn(&str, usize) -> Option<String>) -> Scripts {
    let log = session.log();
    let kept = kept(&log);
    let mut made: HashMap<&str, usize> = HashMap::new();
    let mut items: Vec<Item> = Vec::new();
    let (mut missing, mut with_keys) = (Vec::new(), Vec::new());
    let noted = session.noted();
    let mut programs = noted.iter().filter(|(_, noted)| noted.is_of_up()).peekable();
    let mut number = 0;
    for (position, record) in log.iter().enumerate() {
        while let Some((_, noted)) = programs.next_if(|(at, _)| *at <= position) {
            number += 1;
            items.push(Item { number, head: head(noted.place(), line), what: What::Noted(noted.clone()) });
        }
        if !kept.contains(&position) {
            continue;
        }
        number += 1;
        let inside = match &record.op.command.netns {
            Where::Named(name) => made.get(name.as_str()).copied(),
            _ => None,
        };
        if let Some(Fact::Netns(Netns { name, there: true })) = record.op.fact() {
            made.insert(name, number);
        }
        let step = Step::of(&record.op, inside);
        if record.op.command.without_keys().is_some() {
            with_keys.push(place(record));
        }
        if let Some(why) = &step.without_undo {
            missing.push(format!("{}: `{}` cannot be taken back: {why}", place(record), record.op.command.line()));
        }
        let head = head(record.op.place.as_ref(), line);
        items.push(Item { number, head, what: What::Step(Box::new(step)) });
    }
    for (_, noted) in programs {
        number += 1;
        items.push(Item { number, head: head(noted.place(), line), what: What::Noted(noted.clone()) });
    }
    for (_, one) in &noted {
        if one.has_keys() {
            with_keys.push(line_of(one.place()));
        }
        if let Some(why) = one.why_not_plain() {
            missing.push(format!("{}: {why}", line_of(one.place())));
        }
    }
    let serves = noted.iter().any(|(_, one)| one.serves());
    let last = kept.iter().copied().max().map_or(0, |at| at + 1);
    let checks: Vec<Check> = noted
        .iter()
        .enumerate()
        .filter(|(at, (_, one))| !noted.iter().skip(at + 1).any(|(_, later)| one.is_asked_again_by(later)))
        .filter_map(|(_, (position, one))| Check::of(one, serves, *position < last))
        .collect();
    Scripts {
        up: scripts::up(origin, &items),
        verify: scripts::verify(origin, &items, &checks),
        down: scripts::down(origin, &items),
        missing,
        with_keys,
    }
}

/// Something that `up.sh` does, with a number of its own in the file that tells what was done.
struct Item {
    number: usize,
    /// The line of the script that it comes from.
    head: String,
    what: What,
}

enum What {
    Step(Box<Step>),
    /// A program of the script's own, as it is.
    Noted(Noted),
}

/// Something that `verify.sh` asks beside the steps.
struct Check {
    text: String,
    /// The command whose status says whether it holds, or why there is none.
    command: Result<String, String>,
}

impl Check {
    /// `outdated`: the script went on to change the network.
    fn of(noted: &Noted, serves: bool, outdated: bool) -> Option<Self> {
        match noted {
            Noted::Reaches { from, target, reaches, .. } => {
                let verb = if *reaches { "reaches" } else { "cannot reach" };
                let text = format!("{from} {verb} {target}");
                let command = if outdated && !reaches {
                    Err("the script went on to change the network behind it".into())
                } else {
                    probe(from, target, *reaches, serves)
                };
                Some(Self { text, command })
            }
            Noted::Checked { sentence, .. } => {
                Some(Self { text: sentence.clone(), command: Err("it is a closure of the script".into()) })
            }
            _ => None,
        }
    }
}

/// The command that probes as the script did.
fn probe(from: &Where, target: &Target, reaches: bool, serves: bool) -> Result<String, String> {
    let addr = target.addr.to_string();
    let words = match target.proto {
        Proto::Icmp => ["ping", "-c", "1", "-W", "1", &addr].map(str::to_owned).to_vec(),
        Proto::Udp => return Err("there is no plain command that hears whether UDP arrives".into()),
        Proto::Tcp if serves => return Err("the script itself serves what it asks for".into()),
        Proto::Tcp => {
            let port = target.port.to_string();
            ["nc", "-z", "-w", "1", &addr, &port].map(str::to_owned).to_vec()
        }
    };
    let line = crate::op::quote(&crate::op::as_typed(from, &words));
    Ok(if reaches { format!("tries {line}") } else { format!("not {line}") })
}

/// The commands that stay: those that succeeded, and neither what the run took back itself nor what did that.
fn kept(log: &[Record]) -> std::collections::HashSet<usize> {
    let mut kept: std::collections::HashSet<usize> = (0..log.len())
        .filter(|at| log.get(*at).is_some_and(|record| record.succeeded() && !record.is_undone()))
        .collect();
    for (at, record) in log.iter().enumerate() {
        if let Some(maker) = record.maker().filter(|_| kept.contains(&at)) {
            kept.remove(&maker);
            kept.remove(&at);
        }
    }
    kept
}

fn place(record: &Record) -> String {
    line_of(record.op.place.as_ref())
}

fn line_of(place: Option<&crate::error::Place>) -> String {
    place.map_or_else(|| "?".to_owned(), |place| format!("line {}", place.line))
}

/// `# runbook.rhai:7  let br = host().bridge("br0");`
fn head(place: Option<&crate::error::Place>, line: &dyn Fn(&str, usize) -> Option<String>) -> String {
    let Some(place) = place else { return String::new() };
    let source = place.source.clone().unwrap_or_default();
    let text = line(&source, place.line).unwrap_or_default();
    format!("# {}:{}  {}", one_line(&source), place.line, one_line(text.trim()))
}

/// A text as part of a comment, which is one line, whatever a name holds.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
