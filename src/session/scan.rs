//! What carries netwright's mark and belongs to no run: a journal was lost, or somebody removed it by hand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::journal::{self, RUNS};
use super::reading;
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::netns::{NETNS_DIR, NetnsFile, NetnsStamp, names};
use crate::files::Foreign;
use crate::model::iptables_args::TABLES;
use crate::model::{iptables, link};
use crate::op::firewall::{self, MARK};
use crate::op::route::Family;
use crate::op::{self, Command, Where};

/// Something that is left and that no run knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// A namespace whose `lo` carries the mark.
    Netns(String),
    /// A link that carries the mark.
    Link(Where, String),
    /// A rule with the mark's comment: where it is, and the command that deletes it.
    Rule(Where, Box<Command>),
    /// A file in `/run/netns` without a namespace behind it.
    Broken(PathBuf),
}

/// What is known of the runs of this machine.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The runs whose journals are there: what carries their mark is theirs.
    pub runs: Vec<String>,
    /// Whether one of them may have rules here, which carry no run's name.
    pub rules: bool,
}

impl Known {
    /// Adds the runs of those who have a `/run` of their own and perhaps this network: a container, a service with private mounts. Found by the
    /// processes that see them; what a run there made is its own, whether it lives or is kept. Only what is root's is believed: anybody can have a
    /// `/run` of his own, and nobody but root has made something on this network.
    pub(crate) fn add_elsewhere(&mut self, here: &NetnsStamp) {
        let below = Path::new(RUNS.trim_start_matches('/'));
        let folder_at = |root: &Path| Foreign::open(root).and_then(|root| root.below(below)).ok();
        let mut seen: HashSet<(u64, u64)> = folder_at(Path::new("/")).iter().map(Foreign::id).collect();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            let Some(folder) = folder_at(&entry.path().join("root")).filter(|folder| seen.insert(folder.id())) else {
                continue;
            };
            for run in folder.names() {
                // What it may have done here is not told by a journal that cannot be read.
                let journal = folder.below(Path::new(&run)).and_then(|folder| folder.read("journal"));
                let header = journal.ok().and_then(|text| journal::header_of(&text));
                self.add(run, header.map(|header| header.netns), here);
            }
        }
    }

    /// Adds a run that acted on the network namespace `netns`, as far as its journal can be read.
    pub(crate) fn add(&mut self, id: String, netns: Option<NetnsStamp>, here: &NetnsStamp) {
        self.rules |= netns.is_none_or(|netns| netns.same(here) != Some(false));
        self.runs.push(id);
    }
}

/// What a search found, and what it could not look at.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What belongs to no run.
    pub orphans: Vec<Orphan>,
    /// What was not seen, with the reason: there may be more.
    pub unread: Vec<String>,
}

/// The number of the PID namespace that this process sees the others in.
#[must_use]
pub(crate) fn pid_namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").ok().map(|file| file.ino())
}

/// Finds them, in the host and in all named namespaces.
///
/// # Errors
///
/// When the host cannot be read.
pub(crate) fn orphans(exec: &Exec, known: &Known) -> Result<Found> {
    let Found { orphans: mut found, mut unread } = Found::default();
    let mut namespaces = vec![Where::Host];
    for name in names()? {
        let netns = Where::Named(name.clone());
        match exec.netns(&netns) {
            Ok(_) => namespaces.push(netns),
            Err(error) if error.kind() == Kind::InvalidArgument => found.extend(broken(&name)),
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => unread.push(format!("netns {name}: {error}")),
        }
    }
    for netns in namespaces {
        let links = match exec.run(&op::link::show_all(&netns)) {
            Ok(output) => link::parse(&output.ran.stdout, "ip address show")?,
            Err(error) if netns == Where::Host => return Err(error),
            Err(error) => {
                unread.push(format!("netns {netns}: {error}"));
                continue;
            }
        };
        let ours = |link: &&link::Link| orphan_mark(link.ifalias.as_deref(), &known.runs);
        if let Where::Named(name) = &netns
            && links.iter().filter(ours).any(link::Link::is_loopback)
        {
            found.push(Orphan::Netns(name.clone()));
            continue;
        }
        found.extend(links.iter().filter(ours).map(|link| Orphan::Link(netns.clone(), link.ifname.clone())));
        // Rules carry no run's name: while any run is known, they may be its.
        if !known.rules && may_have_rules(exec, &netns) {
            found.extend(rules(exec, &netns, &mut unread));
        }
    }
    Ok(Found { orphans: found, unread })
}

/// Whether an alias is a mark of a run that is not known.
fn orphan_mark(alias: Option<&str>, known: &[String]) -> bool {
    let run = alias.and_then(|alias| alias.strip_prefix("netwright:"));
    run.is_some_and(|run| !known.iter().any(|id| id == run))
}

/// An empty ordinary file in `/run/netns`: `ip netns add` was killed before its mount, or the mount is gone.
fn broken(name: &str) -> Option<Orphan> {
    let path = PathBuf::from(NETNS_DIR).join(name);
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    (metadata.is_file() && metadata.len() == 0).then_some(Orphan::Broken(path))
}

/// Whether iptables may have rules there, of either kind. Five tables of two families take ten processes; most namespaces have none.
fn may_have_rules(exec: &Exec, netns: &Where) -> bool {
    let may_have = |file: &NetnsFile| reading::may_have_nft(netns, file) || reading::may_have_legacy(netns, file);
    exec.netns(netns).map_or(true, |file| may_have(&file))
}

/// The rules with the mark. A table that the kernel has not, or whose tool this machine has not, has none of netwright's; another failure is noted.
fn rules(exec: &Exec, netns: &Where, unread: &mut Vec<String>) -> Vec<Orphan> {
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        for table in TABLES {
            let command = firewall::list(netns, family, table, None);
            let listed = exec.run(&command).and_then(|output| {
                if !output.ok {
                    return Err(super::failure(&command, output.ran));
                }
                iptables::parse_list(table, &output.ran.stdout)
            });
            let listed = match listed {
                // A table has its built-in chains, always.
                Ok(listed) if listed.chains.is_empty() => {
                    unread.push(format!("{}: it printed nothing", command.line()));
                    continue;
                }
                Ok(listed) => listed,
                Err(error) if matches!(error.kind(), Kind::ToolMissing | Kind::Unsupported | Kind::NotFound) => {
                    continue;
                }
                Err(error) => {
                    unread.push(format!("{}: {error}", command.line()));
                    continue;
                }
            };
            for chain in &listed.chains {
                let marked = |rule: &&iptables::Rule| rule.comments().any(|comment| comment == MARK);
                for rule in chain.rules.iter().filter(marked) {
                    let command = firewall::command(netns, family, table, &["-D", &chain.name], &rule.words);
                    found.push(Orphan::Rule(netns.clone(), Box::new(command)));
                }
            }
        }
    }
    found
}

impl Orphan {
    /// Removes it.
    ///
    /// # Errors
    ///
    /// What the tool says.
    pub(crate) fn remove(&self, exec: &Exec) -> Result<()> {
        let command = match self {
            Self::Netns(name) => {
                exec.forget(&Where::Named(name.clone()));
                op::netns::delete_command(name)
            }
            Self::Link(netns, name) => op::link::delete_command(netns, name),
            Self::Rule(_, command) => (**command).clone(),
            Self::Broken(path) => {
                return std::fs::remove_file(path).map_err(|error| Error::new(Kind::CommandFailed, error.to_string()));
            }
        };
        let output = exec.run(&command)?;
        exec.retire_warm();
        if output.ok { Ok(()) } else { Err(super::failure(&command, output.ran)) }
    }
}
