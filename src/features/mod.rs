//! What this kernel and its tools can do, found by making one of each in a throw-away namespace: probed, never guessed.
//!
//! [`table`] says for every feature what proves it; here is what the answers mean. Nothing here starts a process: the caller gives a
//! [`Lab`], which runs commands apart from every other network. A probe costs only what was asked for.

mod lab;
pub mod table;

use std::cell::RefCell;
use std::collections::HashMap;

pub use lab::{ApartLab, Lab};

use crate::error::{Error, Kind, Result};
use crate::exec::{Exec, Output};
use crate::model::said;
use crate::model::suggest::nearest;
use crate::op::{Command, Tool, Where};
use crate::session;
use table::{Known, Proof};

/// Programs that scripts may need beside netwright's own tools, by their plain names.
pub const PROGRAMS: &[&str] = &[
    "arping",
    "curl",
    "dig",
    "dnsmasq",
    "ethtool",
    "iperf3",
    "nc",
    "ncat",
    "nginx",
    "nmap",
    "ping",
    "python3",
    "socat",
    "ss",
    "tcpdump",
    "traceroute",
    "wg",
];

/// Something that a script or a user may need of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// A feature of the kernel, with the tool that reaches it.
    Kernel(&'static Known),
    /// A program, by its name.
    Program(String),
}

impl Feature {
    /// Reads the word that `needs` takes: `vlan`, `netem`, `nat`, `tcpdump`, `tool:dig`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a word that means nothing, with the nearest one that does.
    pub fn parse(word: &str) -> Result<Self> {
        if let Some(program) = word.strip_prefix("tool:") {
            let plain =
                !program.is_empty() && !program.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/');
            if plain {
                return Ok(Self::Program(program.to_owned()));
            }
            return Err(Error::new(Kind::InvalidArgument, format!("{program:?} is not the name of a program"))
                .hint("write it as on a command line, without its folder: needs(\"tool:tcpdump\")"));
        }
        if let Some(known) = table::find(word) {
            return Ok(Self::Kernel(known));
        }
        if Self::programs().any(|program| program == word) {
            return Ok(Self::Program(word.to_owned()));
        }
        let error = Error::new(Kind::InvalidArgument, format!("{word:?} is no feature that netwright knows"));
        let error = match nearest(word, table::TABLE.iter().map(|known| known.name).chain(Self::programs())) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!(
                "it knows {}",
                table::TABLE.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
            )),
        };
        Err(error.hint(format!("for a program of that name write \"tool:{word}\"")))
    }

    fn programs() -> impl Iterator<Item = &'static str> {
        Tool::ALL.into_iter().map(Tool::program).chain(PROGRAMS.iter().copied())
    }
}

/// Whether a feature is there.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It was made and works.
    Yes,
    /// It is not there.
    No {
        /// A sentence: ``this kernel has no vlan links``.
        reason: String,
        /// What the tool said.
        said: Option<String>,
    },
    /// Nobody can say, and why.
    Unknown(Error),
}

/// The answers of one run: each feature is probed at most once.
#[derive(Debug, Default)]
pub struct Features {
    known: RefCell<HashMap<Feature, Answer>>,
}

impl Features {
    /// Whether a feature is there; probed in a throw-away namespace unless it was before.
    pub fn ask(&self, feature: &Feature, exec: &Exec) -> Answer {
        if let Some(answer) = self.known.borrow().get(feature) {
            return answer.clone();
        }
        let answer = probe(feature, &ApartLab::new(exec));
        self.known.borrow_mut().insert(feature.clone(), answer.clone());
        answer
    }
}

/// Finds out whether a feature is there. The lab must be fresh.
pub fn probe(feature: &Feature, lab: &dyn Lab) -> Answer {
    match feature {
        Feature::Program(name) if lab.has_program(name) => Answer::Yes,
        Feature::Program(name) => Answer::No { reason: not_installed(name), said: None },
        Feature::Kernel(known) => prove(known, lab).unwrap_or_else(|error| match error.kind() {
            Kind::ToolMissing => Answer::No { reason: error.to_string(), said: None },
            _ => Answer::Unknown(error),
        }),
    }
}

fn not_installed(program: &str) -> String {
    format!("`{program}` is not installed")
}

/// Makes one. What could not be tried is an error.
fn prove(known: &Known, lab: &dyn Lab) -> Result<Answer> {
    let steps = match known.proof {
        Proof::File(path) => {
            let there = lab.has_file(path.as_ref())?;
            let no = || Answer::No { reason: known.lacking.to_owned(), said: None };
            return Ok(if there { Answer::Yes } else { no() });
        }
        Proof::Steps(steps) => steps,
        Proof::OnLink(steps) => {
            let mut parent = false;
            // Not every kernel has each kind; any will do to stand on.
            for step in table::PARENTS {
                let output = lab.run(&command(step))?;
                if output.ok {
                    parent = true;
                    break;
                }
                not_refused(step, &output)?;
            }
            if !parent {
                return Ok(Answer::No { reason: "this kernel has no link that one could stand on".into(), said: None });
            }
            steps
        }
    };
    for step in steps {
        let output = lab.run(&command(step))?;
        if !output.ok {
            not_refused(step, &output)?;
            return Ok(lacking(known, &output));
        }
    }
    Ok(Answer::Yes)
}

/// A command that was refused, or found the tool busy, says nothing about the kernel.
fn not_refused(step: &str, output: &Output) -> Result<()> {
    match said::recognise(&output.ran.stderr).map(|said| said.kind) {
        Some(Kind::PermissionDenied | Kind::Busy) => Err(session::failure(&command(step), output.ran.clone())),
        _ if output.ran.stderr.contains("Operation not permitted") => Err(Error::new(
            Kind::PermissionDenied,
            format!("`{}` is forbidden: {}", step, first_line(&output.ran.stderr).unwrap_or_default()),
        )),
        _ => Ok(()),
    }
}

/// The answer of a step that failed. The steps are known to be right, so it is the kernel or the tool that cannot.
fn lacking(known: &Known, output: &Output) -> Answer {
    Answer::No { reason: known.lacking.to_owned(), said: first_line(&output.ran.stderr) }
}

fn first_line(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// A step of the table as a command; the lab says where it runs.
fn command(step: &str) -> Command {
    let mut words = step.split_whitespace();
    let program = words.next().unwrap_or_default();
    let tool = Tool::ALL.into_iter().find(|tool| tool.program() == program).unwrap_or(Tool::Ip);
    Command::new(tool, &Where::Host, words)
}
