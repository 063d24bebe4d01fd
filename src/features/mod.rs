//! What this kernel and its tools can do, found by making one of each in a throw-away namespace: probed, never guessed.
//!
//! [`table`] says for every feature what proves it; here is what the answers mean. Nothing here starts a process: the caller gives a
//! [`Lab`], which runs commands apart from every other network. A probe costs only what was asked for.

mod lab;
pub(crate) mod table;

use std::cell::RefCell;
use std::collections::HashMap;

pub(crate) use lab::{ApartLab, Lab};

use crate::error::{Error, Kind, Result};
use crate::exec::{Exec, Output};
use crate::model::messages;
use crate::model::suggest::nearest;
use crate::op::{Command, Tool, Where};
use table::{Known, Proof};

/// Programs that scripts may need beside netwright's own tools, by their plain names.
pub(crate) const PROGRAMS: &[&str] = &[
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
pub(crate) struct Features {
    known: RefCell<HashMap<Feature, Answer>>,
}

impl Features {
    /// Whether a feature is there; probed in a throw-away namespace unless it was before.
    pub(crate) fn ask(&self, feature: &Feature, exec: &Exec) -> Answer {
        if let Some(answer) = self.known.borrow().get(feature) {
            return answer.clone();
        }
        let answer = probe(feature, &ApartLab::new(exec));
        self.known.borrow_mut().insert(feature.clone(), answer.clone());
        answer
    }
}

/// Finds out whether a feature is there. The lab must be fresh.
pub(crate) fn probe(feature: &Feature, lab: &dyn Lab) -> Answer {
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
    if program == "tcpdump" && crate::exec::tools::groups_are_fixed() {
        return "`tcpdump` changes its groups, which a rootless sandbox forbids".to_owned();
    }
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
    let stderr = &output.ran.stderr;
    let kind = match messages::recognise(stderr).map(|said| said.kind) {
        // `ip tuntap` about `/dev/net/tun`: who may not open it has no tun.
        _ if stderr.starts_with("open: ") => return Ok(()),
        _ if stderr.contains("Operation not permitted") => Kind::PermissionDenied,
        Some(kind @ (Kind::PermissionDenied | Kind::Busy)) => kind,
        _ => return Ok(()),
    };
    let line = first_line(stderr).unwrap_or_default();
    Err(Error::new(kind, format!("`{step}` in a throw-away namespace: {line}")).ran(output.ran.clone()))
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;
    use crate::error::Ran;

    /// A lab that knows some kinds of links, and says of others what iproute2 says.
    struct Fake {
        kinds: &'static [&'static str],
        says: &'static str,
        ran: RefCell<Vec<String>>,
    }

    impl Fake {
        fn new(kinds: &'static [&'static str], says: &'static str) -> Self {
            Self { kinds, says, ran: RefCell::default() }
        }
    }

    impl Lab for Fake {
        fn run(&self, command: &Command) -> Result<Output> {
            self.ran.borrow_mut().push(command.line());
            let ok = self.kinds.iter().any(|kind| command.argv.windows(2).any(|pair| pair == ["type", *kind]));
            let stderr = if ok { "" } else { self.says }.to_owned();
            Ok(Output { ran: Ran { status: Some(i32::from(!ok)), stderr, ..Ran::default() }, ok, unsure: false })
        }

        fn has_file(&self, _path: &Path) -> Result<bool> {
            Ok(false)
        }

        fn has_program(&self, name: &str) -> bool {
            name == "there"
        }
    }

    const UNKNOWN_TYPE: &str = "Error: Unknown device type.\n";

    fn ask(word: &str, lab: &Fake) -> String {
        match probe(&Feature::parse(word).expect(word), lab) {
            Answer::Yes => "yes".into(),
            Answer::No { reason, said } => format!("no: {reason} | {}", said.unwrap_or_default()),
            Answer::Unknown(error) => format!("unknown: {error}"),
        }
    }

    #[test]
    fn a_link_stands_on_whatever_the_kernel_has() {
        let lab = Fake::new(&["bridge", "vlan"], UNKNOWN_TYPE);
        assert_eq!(ask("vlan", &lab), "yes");
        let ran = lab.ran.take();
        assert_eq!(ran.last().map(String::as_str), Some("ip link add link nwlower name nwprobe type vlan id 2"));
        assert_eq!(ran.len(), 4, "veth, dummy, bridge, and then vlan: {ran:?}");

        assert_eq!(
            ask("vlan", &Fake::new(&["veth"], UNKNOWN_TYPE)),
            "no: this kernel has no vlan links | Error: Unknown device type."
        );
        assert!(ask("vlan", &Fake::new(&[], UNKNOWN_TYPE)).starts_with("no: this kernel has no link"));
    }

    #[test]
    fn a_probe_costs_only_what_was_asked() {
        let lab = Fake::new(&["vxlan"], UNKNOWN_TYPE);
        assert_eq!(ask("vxlan", &lab), "yes");
        assert_eq!(lab.ran.take(), ["ip link add name nwprobe type vxlan id 1 dstport 4789"]);
        assert_eq!(ask("tool:there", &lab), "yes");
        assert_eq!(ask("tool:gone", &lab), "no: `gone` is not installed | ");
        assert_eq!(lab.ran.take(), [""; 0]);
    }

    #[test]
    fn what_was_refused_is_unknown_and_not_missing() {
        let refused = Fake::new(&[], "RTNETLINK answers: Operation not permitted\n");
        for word in ["bridge", "vlan", "netem", "tun"] {
            assert!(ask(word, &refused).starts_with("unknown: "), "{word}: {}", ask(word, &refused));
        }
        let no_device = Fake::new(&[], "open: Permission denied\n");
        assert_eq!(ask("tun", &no_device), "no: there are no tun links here | open: Permission denied");
    }

    #[test]
    fn unknown_words_are_errors_with_a_way_out() {
        let hints = |word: &str| Feature::parse(word).expect_err(word).parts().hints.join(" | ");
        assert!(hints("vlann").starts_with("did you mean `vlan`?"), "{}", hints("vlann"));
        assert!(hints("tcpdumb").starts_with("did you mean `tcpdump`?"), "{}", hints("tcpdumb"));
        assert!(hints("zzzzzzzz").starts_with("it knows bridge, veth"), "{}", hints("zzzzzzzz"));
        for word in ["tool:", "tool:a b", "tool:/bin/sh", "tool:a\0"] {
            assert_eq!(Feature::parse(word).expect_err(word).kind(), Kind::InvalidArgument);
        }
    }

    #[test]
    fn every_step_of_the_table_names_a_tool() {
        for known in table::TABLE {
            let (Proof::Steps(steps) | Proof::OnLink(steps)) = known.proof else { continue };
            for step in steps.iter().chain(table::PARENTS) {
                assert_eq!(&command(step).line(), step);
            }
        }
    }
}
