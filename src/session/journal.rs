//! The write-ahead journal of a run on the machine: what it is about to do and how that is undone, before it does it.
//!
//! `/run/netwright/runs/ID/journal` holds one JSON line each for the header, every intent (before the command), every outcome (after it), every
//! undoing, and the end. `/run` lives exactly as long as the kernel state that the lines speak of, so nothing is fsynced (KNOWLEDGE.md).
//! A line that cannot be written whole is taken back, and its command does not run. A torn last line, which only a killed writer leaves, is
//! ignored by the reader.
//!
//! `/run/netwright/runs/ID/lock` is locked (flock) as long as the run or any tool that it started lives: the descriptor is inherited by them.
//! Whoever gets the lock knows that nobody acts for the run any more.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::error::{Error, Kind, Result};
use crate::exec::netns::NetnsStamp;
use crate::exec::processes::state_and_start;
use crate::files::{self, State};
use crate::model::state::{Lost, State as Things};
use crate::op::{Tool, Where};
use crate::patience::scaled;

/// Where netwright keeps what it knows of this machine; gone when it knows nothing.
pub(super) const HOME: &str = files::HOME;
/// Where runs keep their journals.
pub(crate) const RUNS: &str = files::RUNS;
/// The file in a run's folder that tells the watcher of a trial not to wait any longer.
pub(crate) const UNDO_NOW: &str = "undo-now";
/// The version of the format; a reader refuses others.
const VERSION: u32 = 2;

/// Who ran what, when: the first line.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub journal: u32,
    /// The run.
    pub id: String,
    /// `/proc/sys/kernel/random/boot_id`: kernel state does not outlive it.
    pub boot: String,
    /// The script's absolute path.
    pub script: String,
    /// SHA-256 of the script, in hex.
    pub sha256: String,
    /// Who ran it: the user behind sudo, if there is one.
    pub user: String,
    /// The process.
    pub pid: u32,
    /// When that process began, as `/proc` counts: its number is given to another one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_began: Option<u64>,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// When it began on the clock that nobody can set ([`boot_ms`]): the order of runs.
    #[serde(default)]
    pub began_ms: u64,
    /// The network namespace that it acted on as the host.
    pub netns: NetnsStamp,
}

/// What tells the thing that an op made from others of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// What tells a namespace from all that ever were.
    Netns(NetnsStamp),
    /// A link's index, chosen before it is made.
    Link(u32),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// It succeeded; what it made stays until `netwright down`.
    Kept,
    /// It waits for `netwright confirm` until this time ([`boot_ms`]), and is undone without it.
    Trial(u64),
    /// Everything was undone.
    Undone,
    /// Something could not be undone.
    Left,
}

/// A line after the header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Intent { intent: usize, record: Box<Record> },
    Outcome { outcome: usize, ok: bool, identity: Option<Identity> },
    Undone { undone: usize },
    End { end: End, at_ms: Option<u64> },
    Ran { ran: String },
    Before { before: Where, state: Things },
    Took { took: usize, lost: Vec<Lost> },
    Owes { owes: Vec<Owes> },
}

/// What the undoing of a run owes to a namespace: written before it begins, so that it can be gone on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Owes {
    /// The namespace.
    pub netns: Where,
    /// What the run's acts took.
    pub lost: Vec<Lost>,
    /// What was there when the undoing began.
    pub state: Things,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: File,
    length: u64,
    folder: PathBuf,
    lock: File,
    /// What the user's programs inherit, so that they are found whatever becomes of their environment.
    programs: Option<File>,
}

/// The file that the programs of a run have open ([`crate::exec::leftover`]).
const PROGRAMS: &str = "programs";

impl Journal {
    /// Begins the journal of a run and takes its lock.
    ///
    /// # Errors
    ///
    /// When `/run/netwright` cannot be written: then nothing may be changed.
    pub fn create(header: &Header) -> Result<Self> {
        let folder = Path::new(RUNS).join(&header.id);
        let cannot = |error: io::Error| cannot_write(&folder, &error);
        let deadline = Instant::now() + scaled(Duration::from_secs(2));
        let lock = loop {
            let made = files::private(Path::new(HOME), &folder);
            match made.and_then(|()| take_lock(&folder, true)) {
                Ok(Some(lock)) if !has_begun(&folder) => break lock,
                // A `gc` that saw the folder before its lock holds it for as long as it takes to remove it.
                Ok(None) if !has_begun(&folder) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // A kept or dead run of that name: two machines that share `/run` have the same second and the same process number.
                Ok(_) => return Err(taken(&header.id)),
                // Another run that ended just now took the empty folders away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    remove_folder(&folder);
                    return Err(cannot(error));
                }
            }
        };
        let open = || {
            // A `gc` that looks at a run without a first line makes the file, too.
            let file = files::state(&folder.join("journal"), State::AppendOrMake)?;
            file.set_len(0).map(|()| file)
        };
        let begin = |file| {
            let programs = files::state(&folder.join(PROGRAMS), State::OpenOrMake).ok();
            let mut journal = Self { file, length: 0, folder: folder.clone(), lock, programs };
            journal.append(header).map(|()| journal)
        };
        // What has no first line is no run.
        open().map_err(cannot).and_then(begin).inspect_err(|_| remove_folder(&folder))
    }

    /// Goes on with the journal of a dead or kept run. `None` while anybody acts for it.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn reopen(id: &str) -> Result<Option<Self>> {
        let folder = Path::new(RUNS).join(id);
        let cannot = |error: io::Error| cannot_write(&folder, &error);
        let Some(lock) = take_lock(&folder, true).map_err(cannot)? else { return Ok(None) };
        let opened = files::state(&folder.join("journal"), State::Append);
        let mut file = opened.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                // Its owner removed it just now; what is left is the lock that was made to look.
                remove_folder(&folder);
            }
            cannot(error)
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot)?;
        // What a killed writer left of its last line is cut off, so that the next line begins a line.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) as u64;
        file.set_len(whole).map_err(cannot)?;
        Ok(Some(Self { file, length: whole, folder, lock, programs: None }))
    }

    /// As [`Journal::reopen`], for a run that died before its journal had a first line.
    ///
    /// # Errors
    ///
    /// When its folder cannot be written.
    pub fn reopen_or_empty(id: &str) -> Result<Option<Self>> {
        let path = Path::new(RUNS).join(id).join("journal");
        let touched = files::state(&path, State::AppendOrMake);
        touched.map_err(|error| cannot_write(&path, &error))?;
        Self::reopen(id)
    }

    /// Says what is about to be done; of the same number again, that its inverse is another.
    ///
    /// # Errors
    ///
    /// When the line cannot be written whole: the command must not run.
    pub fn intent(&mut self, number: usize, record: &Record) -> Result<()> {
        /// As [`Line::Intent`], of a record that is somebody else's.
        #[derive(Serialize)]
        struct Intent<'a> {
            intent: usize,
            record: &'a Record,
        }
        // What undoes it keeps its keys; what was done needs none, but that by a setting it is told whether somebody has changed it since.
        let without = record.op.command.without_keys().filter(|_| record.op.command.tool != Tool::Sysctl);
        let Some(command) = without else {
            return self.append(&Intent { intent: number, record });
        };
        let mut shown = record.clone();
        shown.op.command = command;
        self.append(&Intent { intent: number, record: &shown })
    }

    /// Says what came of it.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn outcome(&mut self, number: usize, ok: bool, identity: Option<Identity>) -> Result<()> {
        self.append(&Line::Outcome { outcome: number, ok, identity })
    }

    /// Says that it was undone.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn undone(&mut self, number: usize) -> Result<()> {
        self.append(&Line::Undone { undone: number })
    }

    /// Says that the user's own program is about to run. Not its words, which may hold secrets.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn ran(&mut self, ran: &str) -> Result<()> {
        self.append(&Line::Ran { ran: ran.to_owned() })
    }

    /// Says how the run ended, and when ([`boot_ms`]).
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn end(&mut self, end: End) -> Result<()> {
        self.append(&Line::End { end, at_ms: Some(boot_ms()) })
    }

    /// Says what is there before a command acts that reaches farther than it says.
    ///
    /// # Errors
    ///
    /// When the line cannot be written: the command must not run.
    pub fn before(&mut self, netns: &Where, state: &Things) -> Result<()> {
        self.append(&Line::Before { before: netns.clone(), state: state.clone() })
    }

    /// Says what the kernel took with a command.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn took(&mut self, number: usize, lost: &[Lost]) -> Result<()> {
        self.append(&Line::Took { took: number, lost: lost.to_vec() })
    }

    /// Says what an undoing that begins owes.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn owes(&mut self, owes: &[Owes]) -> Result<()> {
        self.append(&Line::Owes { owes: owes.to_vec() })
    }

    /// Whether it has no first line: then its run did nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Removes the journal: nothing of the run is left.
    pub fn remove(self) {
        remove_folder(&self.folder);
    }

    /// Whether what is started from now on inherits the lock, as netwright's own tools do, or the mark of the user's programs.
    pub fn share_lock(&self, share: bool) {
        let flags = |share: bool| if share { FdFlags::empty() } else { FdFlags::CLOEXEC };
        let _ = fcntl_setfd(&self.lock, flags(share));
        // Whoever does not get the lock is a program of the user's.
        if let Some(programs) = &self.programs {
            let _ = fcntl_setfd(programs, flags(!share));
        }
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec(line)
            .map_err(|error| Error::new(Kind::Internal, format!("a line of the journal cannot be written: {error}")))?;
        text.push(b'\n');
        #[cfg(debug_assertions)]
        self::testing::die("before", &mut self.file, &text);
        match self.file.write(&text) {
            Ok(written) if written == text.len() => {
                self.length += written as u64;
                #[cfg(debug_assertions)]
                self::testing::die("after", &mut self.file, &text);
                Ok(())
            }
            result => {
                let _ = self.file.set_len(self.length);
                let full = io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
                Err(cannot_write(&self.folder, &result.err().unwrap_or(full)))
            }
        }
    }
}

impl Drop for Journal {
    /// Lets go of the lock for all that inherited it: every tool has ended, and a daemon that one of them left does not act for the run.
    fn drop(&mut self) {
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// The processes that have the lock of a run open, which they inherited.
#[must_use]
pub(crate) fn holders(id: &str) -> Vec<String> {
    holders_of(&Path::new(RUNS).join(id).join("lock"))
}

/// The other processes that have a file open.
fn holders_of(lock: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && *pid != own)
        .filter(|pid| files::is_open_in(pid, lock))
        .collect()
}

/// Removes the folder of a run, and the folders above it while they are empty. The lock goes last; should this be cut short, what is left is
/// removed by the next `gc`.
fn remove_folder(folder: &Path) {
    for name in ["journal", "confirmed", UNDO_NOW, PROGRAMS, "lock"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    for folder in [folder, Path::new(RUNS), Path::new(HOME)] {
        let _ = std::fs::remove_dir(folder);
    }
}

/// Sudden death at a chosen line, for the tests; it is not in a release.
#[cfg(debug_assertions)]
mod testing {
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// `NETWRIGHT_TEST_KILL=before:7` (or `amid`, `after`) kills this process at the 7th line that it writes to a journal.
    pub(super) fn die(now: &str, file: &mut File, text: &[u8]) {
        static LINES: AtomicUsize = AtomicUsize::new(0);
        let Ok(wanted) = std::env::var("NETWRIGHT_TEST_KILL") else { return };
        let line = LINES.fetch_add(usize::from(now == "before"), Ordering::SeqCst) + usize::from(now == "before");
        let torn = wanted == format!("amid:{line}") && now == "before";
        if torn {
            let _ = file.write(&text[..text.len() / 2]);
        }
        if torn || wanted == format!("{now}:{line}") {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

/// Whether the journal of a run has its first line.
fn has_begun(folder: &Path) -> bool {
    std::fs::read(folder.join("journal")).is_ok_and(|text| text.contains(&b'\n'))
}

fn taken(id: &str) -> Error {
    Error::new(Kind::AlreadyExists, format!("there is a run `{id}` already"))
}

fn cannot_write(folder: &Path, error: &io::Error) -> Error {
    let (kind, way_out) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Kind::PermissionDenied, "look at what `/run/netwright` is, and remove it"),
        io::ErrorKind::ReadOnlyFilesystem => (Kind::Unsupported, "`mount -o remount,rw /run`"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (Kind::CommandFailed, "make room in /run"),
        _ => (Kind::CommandFailed, "see to it that root can write to /run"),
    };
    Error::new(kind, format!("the journal in `{}` cannot be written: {error}", folder.display()))
        .hint(format!("without a journal nothing is changed: {way_out}, then run it again"))
}

/// Takes the lock of a run, without waiting. `None`: somebody holds it. Who only looks must not make the file: its owner may be removing it.
fn take_lock(folder: &Path, create: bool) -> io::Result<Option<File>> {
    let path = folder.join("lock");
    let how = if create { State::OpenOrMake } else { State::Open };
    let mut lock = files::state(&path, how)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) if is_held_by_strangers(&lock, &path) => {
            std::fs::remove_file(&path)?;
            lock = files::state(&path, State::Make)?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        }
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Its owner may have removed the file between the opening and the locking.
    let same = std::fs::metadata(&path).is_ok_and(|there| lock.metadata().is_ok_and(|own| own.ino() == there.ino()));
    if same { Ok(Some(lock)) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
}

/// Whether only processes of other users hold a lock: they opened it while an earlier netwright, or somebody, had left it open to them. All that acts
/// for a run is of the user who runs it.
pub(super) fn is_held_by_strangers(lock: &File, path: &Path) -> bool {
    let Ok(meta) = lock.metadata() else { return false };
    let open_to_others = meta.mode() & 0o077 != 0;
    if !open_to_others {
        // Nobody else ever could.
        return false;
    }
    let owner = |pid: &String| std::fs::metadata(format!("/proc/{pid}")).map(|meta| meta.uid());
    let holders = holders_of(path);
    let own = rustix::process::geteuid().as_raw();
    !holders.is_empty() && holders.iter().all(|pid| owner(pid).is_ok_and(|uid| uid != own))
}

/// The first line of a journal; `None` for what is no journal of this version.
pub(super) fn header_of(text: &[u8]) -> Option<Header> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok().filter(|header: &Header| header.journal == VERSION)
}

/// A run as its journal tells it.
#[derive(Debug)]
pub(crate) struct Past {
    /// The first line.
    pub header: Header,
    /// What it did or was about to do, in order.
    pub records: Vec<Record>,
    /// The user's own programs that it ran on the machine.
    pub ran: Vec<String>,
    /// How it ended, if it says so.
    pub end: Option<End>,
    /// When its script had ended, in milliseconds of this boot: not when the run was confirmed or undone.
    pub ended_ms: Option<u64>,
    /// Whether anybody still acts for it.
    pub live: bool,
    /// What was there before the acts that reach farther than they say.
    pub before: Vec<(Where, Things)>,
    /// What an undoing that was cut short owes.
    pub owes: Vec<Owes>,
}

impl Past {
    /// Reads the journal of a run.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none, or none with a whole first line: what has not begun did nothing. `ToolOutput` for a journal that is none or of
    /// another version.
    pub(crate) fn read(id: &str) -> Result<Self> {
        Self::read_in(&Path::new(RUNS).join(id))
    }

    fn read_in(folder: &Path) -> Result<Self> {
        let path = folder.join("journal");
        // Read as a whole before it is split: while its writer is in the middle of a line, only the end of what is there may be torn.
        let text = std::fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let id = folder.file_name().unwrap_or_default().to_string_lossy();
                Error::new(Kind::NotFound, format!("there is no run `{id}`"))
            }
            _ => Error::new(Kind::CommandFailed, format!("cannot read `{}`: {error}", path.display())),
        })?;
        if !text.contains(&b'\n') {
            let path = path.display();
            return Err(Error::new(Kind::NotFound, format!("`{path}` has no first line: the run has not begun")));
        }
        let live = matches!(take_lock(folder, false), Ok(None));
        Self::parse(&text, live).map_err(|why| {
            Error::new(Kind::ToolOutput, format!("`{}` is no journal that can be read: {why}", path.display()))
        })
    }

    /// Reads lines. A last line without its end is what a killed writer left, and is ignored.
    fn parse(text: &[u8], live: bool) -> std::result::Result<Self, String> {
        let mut lines = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').peekable();
        let first = lines.next().unwrap_or_default();
        let header: Header = serde_json::from_slice(first).map_err(|error| format!("line 1: {error}"))?;
        if header.journal != VERSION {
            return Err(format!("it is version {}, this netwright reads {VERSION}", header.journal));
        }
        let mut past = Self {
            header,
            records: Vec::new(),
            ran: Vec::new(),
            end: None,
            ended_ms: None,
            live,
            before: Vec::new(),
            owes: Vec::new(),
        };
        let mut number = 1;
        while let Some(line) = lines.next() {
            number += 1;
            match serde_json::from_slice(line) {
                Ok(line) => past.take(line),
                Err(_) if lines.peek().is_none() => break,
                Err(error) => return Err(format!("line {number}: {error}")),
            }
        }
        Ok(past)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Intent { intent, record } if intent == self.records.len() => self.records.push(*record),
            Line::Outcome { outcome, ok, identity } => {
                if let Some(record) = self.records.get_mut(outcome) {
                    record.ok = Some(ok);
                    record.identity = identity.or(record.identity);
                }
            }
            Line::Undone { undone } => {
                if let Some(record) = self.records.get(undone) {
                    record.undone.set(Some(self.records.len()));
                }
            }
            Line::End { end, at_ms } => {
                // That something is left may be said by a `gc` long after.
                let by_itself = matches!(end, End::Kept | End::Trial(_));
                if self.end.replace(end).is_none() && by_itself {
                    self.ended_ms = at_ms;
                }
            }
            Line::Ran { ran } => self.ran.push(ran),
            Line::Before { before, state } => self.before.push((before, state)),
            Line::Took { took, lost } => {
                if let Some(record) = self.records.get_mut(took) {
                    record.taken = Some(lost);
                }
            }
            Line::Owes { owes } => self.owes = owes,
            // The same again: its inverse is better known now, or its link is to have another index.
            Line::Intent { intent, record } => {
                if let Some(known) = self.records.get_mut(intent) {
                    known.op = record.op;
                    known.identity = record.identity.or(known.identity);
                }
            }
        }
    }

    /// Every run of this machine, oldest first; those whose journal cannot be read as errors, which is `NotFound` for one that has not begun or is
    /// gone just now.
    #[must_use]
    pub(crate) fn all() -> Vec<(String, Result<Self>)> {
        let Ok(folders) = std::fs::read_dir(RUNS) else { return Vec::new() };
        let mut ids: Vec<String> = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        ids.sort();
        let mut all: Vec<_> = ids.into_iter().map(|id| (id.clone(), Self::read(&id))).collect();
        // The name tells the time of a clock that may have been set meanwhile.
        all.sort_by_key(|(_, past)| past.as_ref().map_or(0, |past| past.header.began_ms));
        all
    }

    /// Whether the run's own process is gone while a tool that it started still acts: that ends within the deadline of a command.
    #[must_use]
    pub(crate) fn is_orphaned(&self) -> bool {
        let (state, began) = state_and_start(self.header.pid);
        let is_another = matches!((began, self.header.pid_began), (Some(now), Some(then)) if now != then);
        // What waits to be confirmed is held by its watcher.
        self.live && self.state() != "trial" && (is_another || matches!(state, None | Some('Z' | 'X')))
    }

    /// `live`, `kept`, `trial`, `dead`, `left`, `undone`.
    #[must_use]
    pub(crate) fn state(&self) -> &'static str {
        match (self.live, self.end) {
            (_, Some(End::Trial(until_ms))) if self.live || boot_ms() <= until_ms.saturating_add(WATCHER_MS) => "trial",
            (true, _) => "live",
            (false, Some(End::Kept)) => "kept",
            (false, Some(End::Left)) => "left",
            (false, Some(End::Undone)) => "undone",
            (false, Some(End::Trial(_)) | None) => "dead",
        }
    }
}

/// How long after its time the watcher of a trial may take to act, in milliseconds; then it is taken for dead, and so is the run.
const WATCHER_MS: u64 = 5_000;

/// Now, in milliseconds since 1970.
#[must_use]
pub(crate) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// When a process began, for a header.
#[must_use]
pub(crate) fn began(pid: u32) -> Option<u64> {
    state_and_start(pid).1
}

/// The time since this boot, in milliseconds, with the time that the machine slept: nobody can set this clock.
#[must_use]
pub(crate) fn boot_ms() -> u64 {
    // Not `clock_gettime` of rustix, which panics where the vDSO has no `getcpu`: User Mode Linux 7.2.
    std::fs::read_to_string("/proc/uptime").ok().and_then(|text| uptime_ms(&text)).unwrap_or(0)
}

/// `12345.67 …` of `/proc/uptime`, in milliseconds.
fn uptime_ms(text: &str) -> Option<u64> {
    let (seconds, rest) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths: u64 = rest.get(..2)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(hundredths * 10)
}

/// Whether a word may be the name of a run: never a path.
#[must_use]
pub(crate) fn is_id(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Looks whether what is kept of runs is this user's alone: what somebody else has put there is not believed.
///
/// # Errors
///
/// `PermissionDenied` when it is another user's, as root's is for a plain user. That there is nothing is no error.
pub(crate) fn trusted() -> Result<()> {
    let looked = [RUNS, super::claim::CLAIMS, super::shared::FOLDER].into_iter().try_for_each(|folder| {
        match files::trusted(Path::new(HOME), Path::new(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    });
    match looked {
        Ok(()) => Ok(()),
        Err(error) => {
            let refused = error.kind() == io::ErrorKind::PermissionDenied;
            let kind = if refused { Kind::PermissionDenied } else { Kind::CommandFailed };
            let error = Error::new(kind, format!("the runs of this machine cannot be read: {error}"));
            Err(if rustix::process::geteuid().is_root() {
                error.hint("look at what it is, and remove it")
            } else {
                error.hint("they are root's: run it with sudo")
            })
        }
    }
}

/// The version that a new header carries.
#[must_use]
pub(crate) fn version() -> u32 {
    VERSION
}

/// The boot that this is.
#[must_use]
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::netns::NetnsId;

    fn header() -> String {
        serde_json::to_string(&Header {
            journal: VERSION,
            id: "x".into(),
            boot: "b".into(),
            script: "/s.rhai".into(),
            sha256: "0".into(),
            user: "root".into(),
            pid: 1,
            pid_began: None,
            started: "t".into(),
            began_ms: 1,
            netns: NetnsId { dev: 4, inode: 5 }.into(),
        })
        .unwrap()
    }

    fn record() -> Record {
        Record::new(crate::op::netns::add("blue"))
    }

    #[test]
    fn the_time_since_boot_is_read() {
        assert_eq!(uptime_ms("12345.67 98765.43\n"), Some(12_345_670));
        assert_eq!(uptime_ms("nonsense"), None);
        let before = boot_ms();
        std::thread::sleep(std::time::Duration::from_millis(40));
        assert!(before > 0 && boot_ms() > before);
    }

    #[test]
    fn a_journal_is_read_back_and_a_torn_last_line_is_ignored() {
        let intent = serde_json::to_string(&Line::Intent { intent: 0, record: Box::new(record()) }).unwrap();
        let netns = Identity::Netns(NetnsId { dev: 1, inode: 2 }.into());
        let outcome = serde_json::to_string(&Line::Outcome { outcome: 0, ok: true, identity: Some(netns) }).unwrap();
        let text = format!("{}\n{intent}\n{outcome}\n{{\"intent\":1,\"rec", header());
        let past = Past::parse(text.as_bytes(), false).unwrap();
        assert_eq!(past.records.len(), 1);
        assert_eq!((past.records[0].ok, past.records[0].identity), (Some(true), Some(netns)));
        assert_eq!(past.records[0].op, crate::op::netns::add("blue"));
        assert_eq!(past.state(), "dead");
    }

    #[test]
    fn a_run_ended_when_its_script_did() {
        let ended = |lines: &str| Past::parse(format!("{}\n{lines}", header()).as_bytes(), false).unwrap().ended_ms;
        let line = |end: End, at_ms: u64| serde_json::to_string(&Line::End { end, at_ms: Some(at_ms) }).unwrap() + "\n";
        assert_eq!(ended(&line(End::Kept, 7)), Some(7));
        assert_eq!(ended(&[line(End::Trial(99), 7), line(End::Kept, 50)].concat()), Some(7), "confirmed later");
        assert_eq!(ended(&[line(End::Kept, 7), line(End::Left, 50)].concat()), Some(7), "taken down in part");
        assert_eq!(ended(&line(End::Left, 50)), None, "killed, and cleaned up in part");
        assert_eq!(ended("{\"end\":\"kept\"}\n"), None, "an earlier version says no time");
    }

    #[test]
    fn every_prefix_of_a_journal_can_be_read_or_is_refused() {
        let intent = serde_json::to_string(&Line::Intent { intent: 0, record: Box::new(record()) }).unwrap();
        let text = format!("{}\n{intent}\n{}\n", header(), r#"{"end":"kept"}"#);
        let head = header().len();
        for length in 0..=text.len() {
            let past = Past::parse(&text.as_bytes()[..length], false);
            assert_eq!(past.is_ok(), length >= head, "{length}");
        }
        assert!(Past::parse(format!("{}\ngarbage\n{intent}\n", header()).as_bytes(), false).is_err());
    }

    #[test]
    fn what_has_no_whole_first_line_has_not_begun_and_what_is_damaged_is_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("journal"), text).unwrap();
            Past::read_in(folder.path()).map(|past| past.header.id).map_err(|error| error.kind())
        };
        assert_eq!(Past::read_in(folder.path()).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(read(""), Err(Kind::NotFound));
        assert_eq!(read(&header()[..9]), Err(Kind::NotFound));
        assert_eq!(read("\n"), Err(Kind::ToolOutput));
        assert_eq!(read("{}\n"), Err(Kind::ToolOutput));
        assert_eq!(read(&(header() + "\n")), Ok("x".into()));
    }

    /// A journal with everything that one can hold.
    fn whole() -> String {
        let former = crate::op::firewall::FormerChain {
            table: "filter".into(),
            chain: "INPUT".into(),
            rules: vec![vec!["-j".into(), "DROP".into()]],
            gone: vec![0],
            counters: vec![(1, 2)],
        };
        let host = crate::op::Where::Host;
        let delete = crate::op::firewall::delete(&host, crate::op::route::Family::V4, former, &["1".into()]);
        let lines = [
            Line::Intent { intent: 0, record: Box::new(record()) },
            Line::Outcome {
                outcome: 0,
                ok: true,
                identity: Some(Identity::Netns(NetnsId { dev: 1, inode: 2 }.into())),
            },
            Line::Intent { intent: 1, record: Box::new(Record::new(delete.clone())) },
            Line::Intent { intent: 1, record: Box::new(Record::new(delete)) },
            Line::Outcome { outcome: 1, ok: false, identity: Some(Identity::Link(7)) },
            Line::Undone { undone: 1 },
            Line::Ran { ran: "wg".into() },
            Line::Before { before: Where::Host, state: Things::default() },
            Line::Took { took: 1, lost: Vec::new() },
            Line::Owes { owes: Vec::new() },
            Line::End { end: End::Trial(9), at_ms: Some(8) },
        ];
        let lines = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n");
        std::iter::once(header() + "\n").chain(lines).collect()
    }

    #[test]
    fn an_intent_that_is_said_again_has_another_inverse() {
        let past = Past::parse(whole().as_bytes(), false).unwrap();
        assert_eq!((past.records.len(), past.records[1].ok), (2, Some(false)));
        let mut better = record();
        better.op.undo = crate::op::Undo::None("x".into());
        let line = serde_json::to_string(&Line::Intent { intent: 0, record: Box::new(better) }).unwrap();
        let past = Past::parse(format!("{}{line}\n", whole()).as_bytes(), false).unwrap();
        assert_eq!((past.records.len(), past.records[0].ok), (2, Some(true)));
        assert!(matches!(past.records[0].op.undo, crate::op::Undo::None(_)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            cases: if std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1") { 100_000 } else { 1000 },
            failure_persistence: None,
            ..proptest::prelude::ProptestConfig::default()
        })]

        /// A damaged journal is refused, or tells of nothing that it does not hold: never more commands than it has intents.
        #[test]
        fn no_damaged_journal_is_believed_too_much(
            edits in proptest::collection::vec((0_usize..3000, 0_usize..80, "(?s)[\\[\\]{}\",:0-9a-z\n]{0,6}|.{0,3}"), 0..4),
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
            at in 0_usize..3000,
        ) {
            let mut text = whole().into_bytes();
            for (at, length, put) in edits {
                let from = at.min(text.len());
                let to = (from + length).min(text.len());
                text.splice(from..to, put.into_bytes());
            }
            let at = at.min(text.len());
            text.splice(at..at, bytes);
            if let Ok(past) = Past::parse(&text[..], false) {
                let said = String::from_utf8_lossy(&text);
                let intents = said.lines().filter(|line| line.contains("intent")).count();
                proptest::prop_assert!(past.records.len() <= intents);
                proptest::prop_assert!(past.end.is_none() || said.contains("end"));
                let _ = (past.state(), past.is_orphaned());
            }
        }
    }
}
