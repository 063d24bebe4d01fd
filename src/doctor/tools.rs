//! The programs: where they are, their versions, which package holds them.

use std::path::PathBuf;

use super::Lack;
use crate::exec::process::deadline;
use crate::exec::{Exec, tools};
use crate::model::version;
use crate::op::{Command, Tool, Where};

/// iproute2 5.0: before it, `ip -j` leaves out what netwright reads (routes of 4.x print text in the middle of their JSON).
const IPROUTE2_MIN: (&str, u32) = ("5.0", 190_107);

/// How iptables reaches the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Through nftables.
    Nft,
    /// Through the old `x_tables`.
    Legacy,
}

impl Backend {
    /// As iptables names it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nft => "nf_tables",
            Self::Legacy => "legacy",
        }
    }
}

/// A program, found or not.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its name.
    pub name: &'static str,
    /// The Debian package that holds it.
    pub package: &'static str,
    /// Whether netwright cannot do without it.
    pub needed: bool,
    /// What it is for, when netwright can do without it.
    pub purpose: &'static str,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// What it says that it is.
    pub version: Option<String>,
    /// For iptables.
    pub backend: Option<Backend>,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl Found {
    /// Whether it is there and works.
    #[must_use]
    pub(crate) fn ok(&self) -> bool {
        self.path.is_some() && self.problem.is_none()
    }

    /// What to do when it is not.
    #[must_use]
    pub(crate) fn advice(&self) -> Option<String> {
        let chosen = self.problem.as_deref().is_some_and(|problem| problem.starts_with("not at"));
        (!self.ok() && !chosen).then(|| tools::install(self.package))
    }

    /// Why it cannot be used, as a sentence.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<String> {
        self.problem.as_ref().map(|problem| format!("`{}` is {problem}", self.name))
    }

    pub(super) fn lack(&self) -> Option<Lack> {
        let what = self.trouble().filter(|_| self.needed)?;
        Some(Lack { what, advice: self.advice().into_iter().collect() })
    }
}

/// Looks for all of them.
#[must_use]
pub(crate) fn find(exec: &Exec) -> Vec<Found> {
    Tool::ALL.into_iter().map(|tool| one(exec, tool)).chain([tcpdump(exec)]).collect()
}

fn one(exec: &Exec, tool: Tool) -> Found {
    let purpose = match tool {
        Tool::Nft => "nft's own tables; sees rules that iptables does not show",
        Tool::Wg => "keys and peers of WireGuard",
        Tool::Ethtool => "offloads of links",
        Tool::Bridge => "looks at bridges",
        Tool::Tc => "shapes links",
        _ => "",
    };
    let mut found = Found {
        name: tool.program(),
        package: tool.package(),
        needed: purpose.is_empty(),
        purpose,
        path: None,
        version: None,
        backend: None,
        problem: None,
    };
    match exec.tools().path(tool) {
        Ok(path) => found.path = Some(path),
        Err(error) => {
            found.problem = Some(missing(&error.to_string(), tool.program()));
            return found;
        }
    }
    let word = if tool.takes_netns() { "-V" } else { "--version" };
    match exec.run_fresh(&Command::new(tool, &Where::Host, [word])) {
        Ok(output) => read_version(&mut found, tool, output.ok, &format!("{}{}", output.ran.stdout, output.ran.stderr)),
        Err(error) => found.problem = Some(format!("broken: {error}")),
    }
    found
}

/// `missing` says it all on the line of the tool; what else is wrong needs its words.
fn missing(message: &str, program: &str) -> String {
    let why = message.strip_prefix(&format!("`{program}` is ")).unwrap_or(message);
    if why == "not installed" { "missing".into() } else { why.to_owned() }
}

fn read_version(found: &mut Found, tool: Tool, ok: bool, text: &str) {
    found.version = version::find(text).map(str::to_owned);
    if matches!(found.package, "iptables") {
        // Before 1.8 there was only one backend, and no word for it.
        found.backend = Some(if text.contains("nf_tables") { Backend::Nft } else { Backend::Legacy });
    }
    let snapshot = version::snapshot(text);
    let too_old = match (&found.version, snapshot) {
        (_, Some(date)) => date < IPROUTE2_MIN.1,
        (Some(version), None) => version::numbers(version) < version::numbers(IPROUTE2_MIN.0),
        (None, None) => false,
    };
    found.problem = if tool.takes_netns() && found.version.is_none() && snapshot.is_none() {
        Some("not iproute2's: it says no version".into())
    } else if tool.takes_netns() && too_old {
        Some(format!("too old: netwright reads the JSON of iproute2 {} and later", IPROUTE2_MIN.0))
    } else if !ok && found.version.is_none() {
        Some("broken: it does not say its version".into())
    } else {
        None
    };
    if let (None, Some(date)) = (&found.version, snapshot) {
        found.version = Some(format!("ss{date:06}"));
    }
}

/// No tool of netwright's own, but what people want beside it.
fn tcpdump(exec: &Exec) -> Found {
    let path = tools::find_own("tcpdump");
    let said = path.as_ref().and_then(|path| {
        let words = [path.display().to_string(), "--version".to_owned()];
        exec.run_user(&Where::Host, &words, None, deadline()).ok()
    });
    let said = said.map(|output| format!("{}{}", output.ran.stdout, output.ran.stderr)).unwrap_or_default();
    Found {
        name: "tcpdump",
        package: "tcpdump",
        needed: false,
        purpose: "shows packets",
        problem: path.is_none().then(|| "missing".into()),
        path,
        version: version::find(&said).map(str::to_owned),
        backend: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tool: Tool, text: &str, version: Option<&str>, problem: Option<&str>) {
        let mut found = Found {
            name: tool.program(),
            package: tool.package(),
            needed: true,
            purpose: "",
            path: Some("/x".into()),
            version: None,
            backend: None,
            problem: None,
        };
        read_version(&mut found, tool, true, text);
        assert_eq!(found.version.as_deref(), version, "{text}");
        assert_eq!(found.problem.is_some(), problem.is_some(), "{text}: {:?}", found.problem);
        assert!(found.problem.unwrap_or_default().contains(problem.unwrap_or_default()), "{text}");
    }

    #[test]
    fn old_iproute2_is_told_from_new() {
        check(Tool::Ip, "ip utility, iproute2-6.1.0, libbpf 1.1.2", Some("6.1.0"), None);
        check(Tool::Ip, "ip utility, iproute2-ss200127", Some("ss200127"), None);
        check(Tool::Ip, "ip utility, iproute2-ss180129", Some("ss180129"), Some("too old"));
        check(Tool::Ip, "ip utility, iproute2-4.20.0", Some("4.20.0"), Some("too old"));
        check(Tool::Ip, "BusyBox", None, Some("not iproute2"));
        check(Tool::Iptables, "iptables v1.4.21", Some("1.4.21"), None);
    }
}
