//! What several runs need: a setting belongs to the machine, not to the run that changed it first.
//!
//! `/run/netwright/settings` holds a file for each setting that a run has changed, or that a run found as another run had made it: what it was before
//! the first of them, and who needs it, in order. It goes back when the last of them is gone, to what it was before the first. So it is with
//! links, namespaces, chains and rules that one run made and another one needs: the last of them takes them away.
//!
//! The folder is locked (flock) while an entry is read and written; a run that is not there any more needs nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::taken::Reach;
use super::{Record, Session};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::state::Lost;
use crate::op::bridge::Fdb;
use crate::op::route::Route;
use crate::op::{Command, Fact, Object, Op, Undo, Where};

/// Where it is written down who needs what.
pub(super) const FOLDER: &str = "/run/netwright/settings";

/// Who needs a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// The run.
    pub(super) run: String,
    /// Its command that made it so, by its number; `None` when the run found it so.
    #[serde(default)]
    number: Option<usize>,
    /// What makes it as the run needs it.
    pub(super) wants: Command,
}

/// A thing that runs need.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    /// What makes it as it was before the first run.
    first: Vec<Command>,
    holders: Vec<Holder>,
    /// The making of a thing, by a run that is gone.
    #[serde(default)]
    made: Option<(String, Box<Record>)>,
    /// What the kernel took with the settings of runs that are gone, and how far those reach.
    #[serde(default)]
    took: Took,
}

/// What the kernel took with a setting that another run still needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Took {
    /// What the setting is.
    pub(super) changes: Option<Object>,
    /// How far it reaches.
    pub(super) reach: Option<Reach>,
    /// What is owed.
    pub(super) lost: Vec<Lost>,
}

/// What is left when a run does not need a thing any more.
#[derive(Debug)]
pub(super) enum Released {
    /// Nobody has written anything down.
    Unknown,
    /// Others need it: the last of them, and whether it was this run's word that held.
    Needed(Holder, bool),
    /// Nobody needs it: what makes it as it was before the first run, and what a run that is gone has made.
    Free(Vec<Command>, Option<(String, Box<Record>)>, Took),
}

/// The folder, locked. `None` when there is none and none is wanted.
fn lock(make: bool) -> io::Result<Option<File>> {
    loop {
        let folder = match File::open(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
                files::private(Path::new(super::journal::HOME), Path::new(FOLDER))?;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        flock(&folder, FlockOperation::LockExclusive)?;
        // Somebody may have removed the empty folder meanwhile.
        if std::fs::metadata(FOLDER).is_ok_and(|now| folder.metadata().is_ok_and(|own| own.ino() == now.ino())) {
            return Ok(Some(folder));
        }
    }
}

fn path_of(key: &str) -> PathBuf {
    // FNV-1a; the key itself stands inside.
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Path::new(FOLDER).join(format!("{hash:016x}"))
}

fn read(path: &Path) -> Option<Entry> {
    let mut entry: Entry = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    entry.holders.retain(|holder| Path::new(super::journal::RUNS).join(&holder.run).exists());
    Some(entry)
}

/// Writes an entry, so that it is whole at any time.
fn write(path: &Path, entry: &Entry) -> io::Result<()> {
    files::replace(path, 0o600, &serde_json::to_vec(entry).map_err(io::Error::other)?)
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir(FOLDER);
}

/// A run changes a thing, whose inverse is `first` when it is the first to do so.
fn hold(key: &str, holder: Holder, first: &[Command]) -> io::Result<()> {
    let Some(_lock) = lock(true)? else { return Ok(()) };
    let path = path_of(key);
    let known = read(&path).filter(|entry| entry.key == key && !entry.holders.is_empty());
    let mut entry = known.unwrap_or_else(|| Entry {
        key: key.to_owned(),
        first: first.to_vec(),
        holders: Vec::new(),
        made: None,
        took: Took::default(),
    });
    entry.holders.push(holder);
    write(&path, &entry)
}

/// A run finds a thing as it needs it: when other runs do, too, or `always`, it is written down.
fn need(key: &str, holder: Holder, always: bool) -> io::Result<()> {
    let Some(_lock) = lock(always)? else { return Ok(()) };
    let path = path_of(key);
    let known = read(&path).filter(|entry| entry.key == key);
    let fresh =
        || Entry { key: key.to_owned(), first: Vec::new(), holders: Vec::new(), made: None, took: Took::default() };
    let Some(mut entry) = known.or_else(|| always.then(fresh)) else { return Ok(()) };
    if entry.holders.iter().any(|one| one.run == holder.run) {
        return Ok(());
    }
    entry.holders.push(holder);
    write(&path, &entry)
}

/// A run does not need a thing any more. Should others need it, what its `record` made or took is theirs to take away or put back.
pub(super) fn release(key: &str, run: &str, number: Option<usize>, record: Option<&Record>) -> Released {
    let Ok(Some(_lock)) = lock(false) else { return Released::Unknown };
    let path = path_of(key);
    let Some(mut entry) = read(&path).filter(|entry| entry.key == key) else { return Released::Unknown };
    let is_it = |holder: &Holder| holder.run == run && holder.number == number;
    let at = entry.holders.iter().rposition(is_it);
    let was_last = at.is_some_and(|at| at + 1 == entry.holders.len());
    entry.holders.retain(|holder| !is_it(holder));
    match entry.holders.last().cloned() {
        None => {
            remove(&path);
            Released::Free(entry.first, entry.made, entry.took)
        }
        Some(holder) => {
            match record {
                Some(record) if number.is_none() => entry.made = Some((run.to_owned(), Box::new(record.clone()))),
                // What holds is not its word, so what it took stays away as long as that of the others.
                Some(record) if holder.run != run && !was_last => {
                    entry.took.changes = Some(record.op.changes());
                    entry.took.reach = entry.took.reach.or_else(|| record.reach.clone());
                    entry.took.lost.extend(record.taken.iter().flatten().cloned());
                }
                _ => {}
            }
            let _ = write(&path, &entry);
            Released::Needed(holder, was_last)
        }
    }
}

/// The keys of what a run found as it needs it.
pub(super) fn found_by(run: &str) -> Vec<(String, Holder)> {
    let Ok(Some(_lock)) = lock(false) else { return Vec::new() };
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().filter_map(|entry| read(&entry.ok()?.path()));
    entries
        .filter_map(|entry| {
            let holder = entry.holders.iter().find(|holder| holder.run == run && holder.number.is_none())?;
            Some((entry.key.clone(), holder.clone()))
        })
        .collect()
}

/// What an op changes, by a name that two runs share; `None` for what is no setting.
pub(super) fn key_of(op: &Op, id: &str) -> Option<String> {
    let netns = &op.command.netns;
    let what = match op.fact()? {
        Fact::Sysctl(set) => {
            let path = set.path().replace('/', ".");
            let same = if path == "net.ipv4.conf.all.forwarding" { "net.ipv4.ip_forward" } else { &path };
            format!("sysctl {same}")
        }
        Fact::Settings(set) => format!("link {} {}", set.link, set.option()?),
        Fact::Wireguard(set) => format!("link {} {}", set.link, set.option()),
        Fact::Offload(set) => {
            let words: Vec<&str> = set.set.iter().map(|(word, _)| word.as_str()).collect();
            format!("link {} offload {}", set.link, words.join(" "))
        }
        Fact::NfPolicy(policy) => format!("policy {} {}", op.command.tool.program(), policy.at),
        Fact::Neigh(neigh) => format!("neigh {} {}", neigh.addr, neigh.dev),
        Fact::Nexthop(one) => format!("nexthop {}", one.id),
        Fact::Vlan(vlan) => format!("vlan {} {}", vlan.dev, vlan.vid),
        // One of many ends stands beside the others.
        Fact::Fdb(fdb) if fdb.entry.is_one_of_many() => return None,
        Fact::Fdb(Fdb { entry, .. }) => {
            let table = if entry.own { &entry.dev } else { "master" };
            format!("fdb {table} {} {}", entry.mac, entry.vlan.unwrap_or_default())
        }
        Fact::File(file) => format!("file {}", file.path),
        Fact::Route(route) => {
            let spec = route.spec()?;
            let (table, metric) = (spec.table.as_deref().unwrap_or("main"), spec.metric.unwrap_or(0));
            format!("route {} {} {table} {metric}", route.family.flag(), route.dst)
        }
        _ => return None,
    };
    Some(format!("{id} {netns} {what}"))
}

/// What an op makes, by a name that two runs share: what takes it away says which it is.
pub(super) fn key_of_made(op: &Op, id: &str) -> Option<String> {
    let fact = op.fact().filter(|fact| fact.makes() == Some(true))?;
    let (Fact::Link(_) | Fact::Netns(_) | Fact::NfRule(_) | Fact::NfChain(_), Undo::Commands(undo)) = (fact, &op.undo)
    else {
        return None;
    };
    undo.first().map(|undo| format!("{id} made {}", undo.line()))
}

/// Whether anything is written down at all.
pub(super) fn is_used() -> bool {
    Path::new(FOLDER).exists()
}

/// Removes what nobody needs any more.
pub(super) fn sweep() {
    let Ok(Some(_lock)) = lock(false) else { return };
    for path in std::fs::read_dir(FOLDER).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        if read(&path).is_none_or(|entry| entry.holders.is_empty()) {
            let _ = std::fs::remove_file(path);
        }
    }
    let _ = std::fs::remove_dir(FOLDER);
}

impl Session {
    /// The machine's own namespace, which tells its settings from those of another that shares `/run`.
    fn of_machine(&self) -> String {
        machine(&self.exec)
    }

    /// Writes down that an op of this run changes a setting that was there before.
    pub(super) fn hold(&self, number: usize, record: &Record) -> Result<()> {
        if self.journal.borrow().is_none() || record.inside_made {
            return Ok(());
        }
        let (Some(key), Undo::Commands(first)) = (key_of(&record.op, &self.of_machine()), &record.op.undo) else {
            return Ok(());
        };
        if first.is_empty() {
            return Ok(());
        }
        let holder = Holder { run: self.id.clone(), number: Some(number), wants: wanting(&record.op) };
        hold(&key, holder, first).map_err(|error| cannot(&error))
    }

    /// Writes down that this run needs a setting as it is, if another run has made it so.
    pub(super) fn need(&self, op: &Op) -> Result<()> {
        self.had(op);
        if self.journal.borrow().is_none() || self.is_made(&op.command.netns) || !is_used() {
            return Ok(());
        }
        let Some(key) = key_of(op, &self.of_machine()) else { return Ok(()) };
        let holder = Holder { run: self.id.clone(), number: None, wants: wanting(op) };
        need(&key, holder, false).map_err(|error| cannot(&error))
    }

    /// Writes down that this run needs a thing that another run has made.
    pub(super) fn need_made(&self, op: &Op) -> Result<()> {
        self.had(op);
        if self.journal.borrow().is_none() || self.is_made(&op.command.netns) {
            return Ok(());
        }
        let Some(key) = key_of_made(op, &self.of_machine()) else { return Ok(()) };
        let own =
            self.log.borrow().iter().any(|record| record.op.undo == op.undo && record.op.changes() == op.changes());
        if own {
            return Ok(());
        }
        let holder = Holder { run: self.id.clone(), number: None, wants: op.command.clone() };
        need(&key, holder, true).map_err(|error| cannot(&error))
    }

    /// The same of a link, if its mark says that another run made it.
    pub(super) fn need_link(&self, link: &crate::model::Link, op: &Op) -> Result<()> {
        let theirs = link.ifalias.as_deref().is_some_and(|alias| alias.starts_with("netwright:"));
        if theirs && link.ifalias != self.mark() { self.need_made(op) } else { Ok(()) }
    }
}

/// What tells the settings of a machine from those of another network namespace that shares `/run`.
pub(super) fn machine(exec: &crate::exec::Exec) -> String {
    let file = exec.netns(&Where::Host);
    file.map(|file| format!("{}:{}", file.id().dev, file.id().inode)).unwrap_or_default()
}

/// The command that makes a setting so, whoever has another there.
fn wanting(op: &Op) -> Command {
    match op.fact() {
        Some(Fact::Route(route)) => {
            Fact::Route(Box::new(Route { replaces: true, ..(**route).clone() })).command(&op.command.netns)
        }
        _ => op.command.clone(),
    }
}

fn cannot(error: &io::Error) -> Error {
    Error::new(Kind::CommandFailed, format!("cannot write down in `{FOLDER}` what this run needs: {error}"))
        .hint("without it nothing is changed: make room in /run, then run it again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;
    use crate::op::route::{Family, RouteSpec};

    #[test]
    fn one_setting_has_one_name_whoever_sets_it() {
        let host = Where::Host;
        let key = |op: &Op| key_of(op, "m").unwrap_or_default();
        let forward = op::sysctl::set(&host, "net.ipv4.ip_forward", "1", "0");
        assert_eq!(key(&forward), key(&op::sysctl::set(&host, "net.ipv4.conf.all.forwarding", "0", "1")));
        assert_eq!(key(&op::link::mtu(&host, "a", 1400, 1500)), "m host link a mtu");
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let ageing =
            |value: &str| op::link::set_options(&host, "br", &words(&format!("type bridge ageing_time {value}")), None);
        assert_eq!(key(&ageing("100")), key(&ageing("200")));
        assert_eq!(
            key(&op::link::set_options(&host, "a", &words("mtu 1300"), None)),
            key(&op::link::mtu(&host, "a", 1400, 1500))
        );
        let route = |via: &str, metric| {
            let spec = RouteSpec { dst: "default".into(), via: Some(via.into()), metric, ..RouteSpec::default() };
            op::route::add(&host, Family::V4, "default", &spec)
        };
        assert_eq!(key(&route("10.0.0.1", None)), key(&route("10.0.0.2", None)));
        assert_ne!(key(&route("10.0.0.1", None)), key(&route("10.0.0.1", Some(5))));
        assert_eq!(key_of(&op::link::rename(&host, "a", "b"), "m"), None);
        let made = |op: &Op| key_of_made(op, "m");
        assert_eq!(made(&op::netns::add("x")).as_deref(), Some("m made ip netns delete x"));
        assert_eq!(made(&op::netns::delete("x")), None);
    }
}
