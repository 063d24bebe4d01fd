//! Sandboxes that stay: each has a name, by which other commands find it, enter it and end it.
//!
//! P2 asks pid 1 to stay ([`remain`]); pid 1 lets go of its supervisor and of the terminal, the supervisor writes
//! down where pid 1 is and ends with the run's exit code. Who enters later makes a process in the namespaces of pid 1 ([`join`]).

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use serde::{Deserialize, Serialize};

use super::enter::{Entered, Marker, Sandbox, not_a_sandbox};
use super::{ENV, Ended, Mode, supervisor};
use crate::exec::{processes, reexec};
use crate::files::{self, Folder};
use crate::patience::scaled;
use crate::{Error, Kind, Result};

/// What P2 tells pid 1, and whoever enters later: inside of the sandbox, in its own `/run`.
const TOLD: &str = "/run/netwright/stays";
/// How long pid 1 of a sandbox may take to end after `kill -9`: the kernel takes every process and every namespace in it along.
const END_MAX: Duration = Duration::from_secs(30);
/// How long the end of a sandbox may take whose supervisor was killed.
const DYING: Duration = Duration::from_secs(2);

/// The name of a sandbox that stays: a letter, then letters, digits, `-` and `_`, at most 32. No run and no file of a script is called so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// How long a name may be, in bytes.
const NAME_MAX: usize = 32;

impl Name {
    /// The name that a word is.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when it is none.
    pub fn parse(word: &str) -> Result<Self> {
        let rest_is_fine = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if rest_is_fine && word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.len() <= NAME_MAX {
            return Ok(Self(word.to_owned()));
        }
        Err(Error::new(Kind::InvalidArgument, format!("`{word}` is no name for a sandbox"))
            .hint(format!("a letter, then letters, digits, `-` and `_`, at most {NAME_MAX}: lab, ci-3")))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is written down of a sandbox that stays, or is about to.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Entry {
    /// Pid 1 of the sandbox as its maker counts; the supervisor before there is one.
    init: Process,
    /// Who waits for the script. When it is gone and pid 1 is not, the sandbox stays, whatever could still be written down.
    supervisor: Process,
    /// Whether the script has ended and the sandbox stays.
    stays: bool,
    rootless: bool,
    /// What it was made by.
    script: String,
    /// When it was made, as RFC 3339 has it.
    started: String,
}

/// A process, told from one that is given its number later.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Process {
    pid: i32,
    /// When it began, in ticks since the machine started.
    began: Option<u64>,
}

impl Process {
    fn of(pid: i32) -> Self {
        Self { pid, began: processes::state_and_start(pid.unsigned_abs()).1 }
    }

    /// Whether it still runs. Where nobody can tell, without `/proc`, nothing is taken for gone.
    fn is_alive(self) -> bool {
        match processes::state_and_start(self.pid.unsigned_abs()) {
            (Some(state), began) => !matches!(state, 'Z' | 'X') && began == self.began,
            (None, _) => !Path::new("/proc/self/stat").exists(),
        }
    }
}

/// A sandbox that stays.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub name: String,
    init: Process,
    /// The script that made it.
    pub script: String,
    /// When it was made, as RFC 3339 has it.
    pub started: String,
    mode: Mode,
}

/// The folder of this user's sandboxes and the one above it that nobody else may have made.
fn folder() -> (PathBuf, PathBuf) {
    let uid = rustix::process::geteuid();
    let home = if uid.is_root() {
        PathBuf::from("/run/netwright")
    } else {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let own = |path: &PathBuf| files::trusted(path, path).is_ok();
        match runtime.filter(own) {
            Some(runtime) => runtime.join("netwright"),
            None => PathBuf::from(format!("/tmp/netwright-{}", uid.as_raw())),
        }
    };
    let folder = home.join("sandboxes");
    (home, folder)
}

fn cannot(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| {
        let kind =
            if error.kind() == io::ErrorKind::PermissionDenied { Kind::PermissionDenied } else { Kind::CommandFailed };
        Error::new(kind, format!("cannot write down the sandbox in `{}`: {error}", path.display()))
    }
}

impl Entry {
    /// Whether there is a sandbox. One whose supervisor was killed goes with it, unless it had begun to stay: the kernel takes a moment for that.
    fn is_there(&self) -> bool {
        let begun = Instant::now();
        while self.init.is_alive() {
            if self.stays || self.supervisor.is_alive() || begun.elapsed() > scaled(DYING) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A name that a run has taken: given back when it is dropped, unless the sandbox stays.
pub(super) struct Claim {
    name: Name,
    folder: PathBuf,
    entry: Entry,
    stays: bool,
}

impl Claim {
    /// Takes a name.
    pub(super) fn take(name: &Name, mode: Mode, script: &str) -> Result<Self> {
        let (home, folder) = folder();
        files::private(&home, &folder).map_err(cannot(&folder))?;
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let me = Process::of(me);
        let entry = Entry {
            init: me,
            supervisor: me,
            stays: false,
            rootless: mode == Mode::Rootless,
            script: script.to_owned(),
            started: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        };
        let path = folder.join(&name.0);
        let place = || Folder::open(&folder)?.place(OsStr::new(&name.0), files::PRIVATE, entry.text().as_bytes());
        // One that is dead gives way once; whoever is faster has it.
        for _ in 0..2 {
            match place() {
                Ok(()) => return Ok(Self { name: name.clone(), folder, entry, stays: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read(&folder, &name.0) {
                    Read::Entry(other) if other.is_there() => break,
                    Read::Entry(_) | Read::Gone => drop(std::fs::remove_file(&path)),
                    Read::Not(why) => return Err(unreadable(&path, &why)),
                },
                Err(error) => return Err(cannot(&path)(error)),
            }
        }
        Err(Error::new(Kind::Busy, format!("there is a sandbox `{name}` already"))
            .hint(format!("`netwright down {name}` ends it; `netwright ps` lists them")))
    }

    /// There is a pid 1: this process of the caller's pid namespace.
    pub(super) fn begins(&mut self, pid: i32) -> Result<()> {
        self.entry.init = Process::of(pid);
        self.write()
    }

    /// The sandbox stays.
    pub(super) fn keep(mut self) -> Result<()> {
        self.entry.stays = true;
        self.write()?;
        self.stays = true;
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let folder = Folder::open(&self.folder).map_err(cannot(&self.folder))?;
        let text = self.entry.text();
        folder.replace(OsStr::new(&self.name.0), files::PRIVATE, text.as_bytes()).map_err(cannot(&self.folder))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.stays {
            forget(&self.folder, &self.name.0);
        }
    }
}

/// Removes what is written down of a sandbox, and the folders when they are empty.
fn forget(folder: &Path, name: &str) {
    let _ = std::fs::remove_file(folder.join(name));
    let _ = std::fs::remove_dir(folder);
    let _ = folder.parent().map(std::fs::remove_dir);
}

/// What is written down under a name.
enum Read {
    Entry(Entry),
    Gone,
    /// Something that nobody can read, and why: it is written whole, so that this is no moment that passes.
    Not(String),
}

fn read(folder: &Path, name: &str) -> Read {
    let text = Folder::open(folder).and_then(|folder| folder.read(OsStr::new(name)));
    match text {
        Ok(text) => serde_json::from_str(&text).map_or_else(|error| Read::Not(error.to_string()), Read::Entry),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Read::Gone,
        Err(error) => Read::Not(error.to_string()),
    }
}

fn unreadable(path: &Path, why: &str) -> Error {
    Error::new(Kind::CommandFailed, format!("`{}` cannot be read: {why}", path.display()))
        .hint("if no sandbox of that name is wanted any more, delete the file")
}

/// The sandboxes of a user.
#[derive(Debug, Default)]
pub struct Sandboxes {
    /// Those that stay, by name.
    pub kept: Vec<Kept>,
    /// Names under which nobody can read what stands there, and the error.
    pub unread: Vec<(String, Error)>,
}

/// This user's sandboxes that stay, by name. What is written down of dead ones is removed.
///
/// # Errors
///
/// `PermissionDenied` when somebody else made the folder.
pub fn all() -> Result<Sandboxes> {
    let (home, folder) = folder();
    match files::trusted(&home, &folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sandboxes::default()),
        Err(error) => return Err(Error::new(Kind::PermissionDenied, error.to_string())),
    }
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let mut found = Sandboxes::default();
    for name in names.into_iter().filter(|name| Name::parse(name).is_ok()) {
        let entry = match read(&folder, &name) {
            Read::Entry(entry) => entry,
            Read::Gone => continue,
            Read::Not(why) => {
                let error = unreadable(&folder.join(&name), &why);
                found.unread.push((name, error));
                continue;
            }
        };
        if !entry.is_there() {
            forget(&folder, &name);
        } else if entry.stays || !entry.supervisor.is_alive() {
            let mode = if entry.rootless { Mode::Rootless } else { Mode::Root };
            let Entry { init, script, started, .. } = entry;
            found.kept.push(Kept { name, init, script, started, mode });
        }
    }
    Ok(found)
}

/// The sandbox of that name.
///
/// # Errors
///
/// `NotFound`.
pub fn find(name: &Name) -> Result<Kept> {
    let Sandboxes { kept: mut all, unread } = all()?;
    if let Some(at) = all.iter().position(|kept| kept.name == name.0) {
        return Ok(all.swap_remove(at));
    }
    if let Some((_, error)) = unread.into_iter().find(|(other, _)| *other == name.0) {
        return Err(error);
    }
    let error = Error::new(Kind::NotFound, format!("there is no sandbox `{name}`"));
    Err(match &all[..] {
        [] => error.hint(format!(
            "`netwright run --keep {name} SCRIPT` makes one that stays; sandboxes of other users are theirs"
        )),
        some => {
            let names: Vec<&str> = some.iter().map(|kept| kept.name.as_str()).collect();
            error.hint(format!("there are: {}", names.join(", ")))
        }
    })
}

impl Kept {
    /// Its pid 1, as this pid namespace counts.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.init.pid
    }

    /// A descriptor of its pid 1: nobody else is meant, whatever number comes round.
    fn open(&self) -> Result<OwnedFd> {
        let gone = || Error::new(Kind::NotFound, format!("the sandbox `{}` has just ended", self.name));
        let fd = Pid::from_raw(self.init.pid).ok_or(Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        match fd {
            Ok(fd) if self.init.is_alive() => Ok(fd),
            Ok(_) | Err(Errno::SRCH) => Err(gone()),
            Err(errno) => {
                let message = format!("the sandbox `{}` cannot be held: {errno}", self.name);
                Err(Error::new(Kind::Unsupported, message)
                    .hint("this needs Linux 5.3 or later, and room for open files"))
            }
        }
    }

    /// Ends it: everything in it is gone when this returns.
    ///
    /// # Errors
    ///
    /// `Unsupported` when it cannot be held, `TimedOut` when the kernel does not end it.
    pub fn end(&self) -> Result<()> {
        match self.open() {
            Ok(fd) => drop(pidfd_send_signal(&fd, Signal::KILL)),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        let begun = Instant::now();
        while self.init.is_alive() {
            if begun.elapsed() > scaled(END_MAX) {
                return Err(Error::new(Kind::TimedOut, format!("the sandbox `{}` does not end", self.name)));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        forget(&folder().1, &self.name);
        Ok(())
    }
}

/// What P2 tells pid 1 and those who enter.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Told {
    /// The exit code of the run.
    pub(super) code: u8,
    /// The number of P2's descriptor of the mount namespace that the user's programs live in.
    pub(super) files: Option<i32>,
}

impl Told {
    pub(super) fn read() -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(TOLD).ok()?).ok()
    }

    pub(super) fn write(self) -> io::Result<()> {
        std::fs::write(TOLD, serde_json::to_string(&self).unwrap_or_default())
    }
}

/// Lets the sandbox of this process (P2) stay when its supervisor ends, with the run's exit code: the terminal is given back. `files` is the mount
/// namespace of the user's programs. The caller has to live on, for the sandbox ends with it.
///
/// # Errors
///
/// When pid 1 cannot be told.
pub fn remain(code: u8, files: Option<&File>) -> Result<()> {
    let told = Told { code, files: files.map(AsRawFd::as_raw_fd) };
    let cannot = |error: io::Error| Error::new(Kind::Internal, format!("the sandbox cannot stay: {error}"));
    told.write().map_err(cannot)?;
    let_go();
    kill_process(Pid::INIT, Signal::USR1).map_err(|errno| cannot(errno.into()))
}

/// Gives the terminal back: a session of one's own, and nobody to read from or to write to.
pub(super) fn let_go() {
    let _ = rustix::process::setsid();
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

/// Enters a sandbox that stays: a process in its namespaces goes on with the same arguments, and this one waits for it.
///
/// Call it once, before any thread exists and before anything is printed, as [`super::enter_or_supervise`].
///
/// # Errors
///
/// `NotFound`; `Unsupported` on kernels that cannot enter by a descriptor of a process (before Linux 5.8).
pub fn join(name: &Name) -> Result<Entered> {
    let Some(text) = std::env::var_os(ENV) else { return attend(name).map(Entered::Ended) };
    // SAFETY: this process has one thread (the caller's duty), so nobody reads the environment.
    unsafe { std::env::remove_var(ENV) };
    match text.to_str().and_then(Marker::parse) {
        Some(Marker::Joined { mode, pidfd }) => {
            let init = inherited(pidfd).ok_or_else(not_a_sandbox)?;
            let folder = std::env::current_dir();
            enter(&init, ThreadNameSpaceType::MOUNT)?;
            // A folder of this machine that the sandbox does not have: its root, where this process is now.
            let _ = folder.and_then(std::env::set_current_dir);
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            let files =
                Told::read().and_then(|told| told.files).map(|number| File::open(format!("/proc/2/fd/{number}")));
            let files = files.transpose().map_err(|error| {
                Error::new(Kind::PermissionDenied, format!("cannot enter the files of the sandbox's programs: {error}"))
            })?;
            Ok(Entered::Inside(Sandbox { mode, last: Mutex::new(None), luggage: None, files }))
        }
        _ => Err(not_a_sandbox()),
    }
}

/// The process that waits.
fn attend(name: &Name) -> Result<Ended> {
    let kept = find(name)?;
    let init = kept.open()?;
    let io =
        |what: &str, error: io::Error| Error::new(Kind::Internal, format!("cannot enter the sandbox: {what}: {error}"));
    let caught = supervisor::Caught::new().map_err(|error| io("catching signals", error))?;
    let user = if kept.mode == Mode::Rootless { ThreadNameSpaceType::USER } else { ThreadNameSpaceType::empty() };
    enter(
        &init,
        user | ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::PROCESS_ID,
    )?;
    rustix::io::fcntl_setfd(&init, rustix::io::FdFlags::empty()).map_err(|errno| io("handing it on", errno.into()))?;
    let marker = Marker::Joined { mode: kept.mode, pidfd: init.as_raw_fd() };
    let child = reexec::start(ENV, &marker.encode()).map_err(|error| io("starting", error))?;
    let status = supervisor::attend(&child, caught).map_err(|error| io("waiting for it", error))?;
    // The signal that ended a program in it ended nothing else: nobody need be told.
    Ok(Ended { code: supervisor::code_of(status).0, signal: None })
}

fn enter(init: &OwnedFd, what: ThreadNameSpaceType) -> Result<()> {
    move_into_thread_name_spaces(init.as_fd(), what).map_err(|errno| {
        let error = Error::new(Kind::Unsupported, format!("the sandbox cannot be entered: {errno}"));
        match errno {
            Errno::INVAL => error.hint("this needs Linux 5.8 or later"),
            _ => error.hint("a sandbox is entered by who made it, from where it was made"),
        }
    })
}

/// Takes the descriptor of a process over by its number.
fn inherited(number: i32) -> Option<OwnedFd> {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let text = link.to_string_lossy();
    if number <= 2 || !(text.starts_with("anon_inode:[pidfd]") || text.starts_with("pidfd:")) {
        return None;
    }
    // SAFETY: the descriptor is open (its /proc entry was just read), this is the first code of a single-threaded process, which opened no descriptor
    // of a process of its own, so that nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neither_paths_nor_runs_nor_scripts() {
        for good in ["lab", "L", "ci-3", "a_b", &"x".repeat(NAME_MAX)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "3", "261120-214224-4711", "lab.rhai", "./lab", "-x", "a b", "ä", "..", &"x".repeat(NAME_MAX + 1)]
        {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_process_is_not_the_one_that_is_given_its_number() {
        let mut me = Process::of(i32::try_from(std::process::id()).unwrap());
        assert!(me.is_alive());
        me.began = me.began.map(|ticks| ticks + 1);
        assert!(!me.is_alive(), "the number has come round");
        assert!(!Process::of(i32::MAX).is_alive());
    }
}
