//! Which of the three processes this is, and its first steps.

use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getegid, geteuid, getpid, getppid, kill_process, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, set_name, unshare_unsafe};

use signal_hook::low_level::siginfo::Origin;

use super::explain::{Failure, Step};
use super::lifeline::{Heard, Lifeline};
use super::settings::{put_as_booted, unlike_booted};
use super::stay::{self, Claim};
use super::supervisor::{self, Caught, Over};
use super::{ENV, init, loopback, mounts};
use crate::exec::reexec;
use crate::{Error, Kind, Result};

/// How the sandbox was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a user namespace of its own, without any privilege.
    Rootless,
    /// By root, in the user namespace of the caller.
    Root,
}

impl Mode {
    /// What this process can make: [`Mode::Root`] needs root with the capabilities that a container may have taken away.
    #[must_use]
    pub fn here() -> Self {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        let able = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
        if able && geteuid().is_root() { Self::Root } else { Self::Rootless }
    }

    /// One phrase for messages.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Rootless => "a rootless sandbox: own user, network, mount and pid namespace",
            Self::Root => "a sandbox made by root: own network, mount and pid namespace",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Rootless => "rootless",
            Self::Root => "root",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Rootless, Self::Root].into_iter().find(|mode| mode.word() == word)
    }
}

/// The proof that this process is P2: it is inside, and may build.
#[derive(Debug)]
pub struct Sandbox {
    pub(super) mode: Mode,
    pub(super) last: Mutex<Option<(i32, Instant)>>,
    pub(super) luggage: Option<File>,
    pub(super) files: Option<File>,
}

impl Sandbox {
    /// How it was made.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What was taken along from outside.
    #[must_use]
    pub fn luggage(&self) -> Option<&File> {
        self.luggage.as_ref()
    }

    /// The mount namespace of the user's programs, in a sandbox that was there before ([`stay::join`]).
    #[must_use]
    pub fn files(&self) -> Option<&File> {
        self.files.as_ref()
    }

    /// Whether a signal that reached this process counts.
    ///
    /// What was sent to a whole process group arrives twice: once directly, and once handed on by the supervisor through pid 1. Which of the two
    /// comes first is chance, and the kernel merges them into one while both are pending, so neither can be told by its sender: the same signal
    /// within [`TWICE`] is one. Otherwise one `timeout -s INT` would be two Ctrl-C, and the second leaves without cleaning up.
    #[must_use]
    pub fn counts(&self, origin: &Origin) -> bool {
        let Ok(mut last) = self.last.lock() else { return true };
        let now = Instant::now();
        let again = last.is_some_and(|(signal, at)| signal == origin.signal && now.duration_since(at) < TWICE);
        if !again {
            *last = Some((origin.signal, now));
        }
        !again
    }
}

/// Within this time the same signal is the same keystroke: far longer than handing it on takes, shorter than a second thought.
const TWICE: Duration = Duration::from_millis(300);

/// What is to stay when the script has ended: its name, and the script that it is told by.
#[derive(Clone, Debug)]
pub struct Stay {
    /// The name by which it is found again.
    pub name: stay::Name,
    /// The script that makes it, for a list.
    pub script: String,
}

/// How the run inside ended. P0 and P1 have nothing left to do but to exit with `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code: the run's own, or 128+n when signal n ended it.
    pub code: u8,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Ended {
    /// What to tell the user, when a signal that nobody asked for ended the run.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let signal = self.signal?;
        let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        Some(format!("the run was ended by {name} ({signal}); its sandbox is gone, nothing is left"))
    }
}

/// What [`enter_or_supervise`] found out.
#[derive(Debug)]
pub enum Entered {
    /// This process is inside: go on with the run.
    Inside(Sandbox),
    /// This process was P0 or P1 and the run is over: exit with the code.
    Ended(Ended),
}

/// What the variable says: the part to play, and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Init { mode: Mode, lifeline: i32, probe: bool, luggage: Option<i32> },
    Inside { mode: Mode, luggage: Option<i32> },
    Joined { mode: Mode, pidfd: i32 },
}

impl Marker {
    pub(super) fn encode(&self) -> String {
        let with = |text: String, luggage: &Option<i32>| match luggage {
            Some(number) => format!("{text}:with:{number}"),
            None => text,
        };
        match self {
            Self::Init { mode, lifeline, probe, luggage } => {
                let role = if *probe { "probe-init" } else { "init" };
                with(format!("{role}:{}:{lifeline}", mode.word()), luggage)
            }
            Self::Inside { mode, luggage } => with(format!("inside:{}", mode.word()), luggage),
            Self::Joined { mode, pidfd } => format!("joined:{}:{pidfd}", mode.word()),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, luggage) = match text.split_once(":with:") {
            Some((text, number)) => (text, Some(number.parse().ok()?)),
            None => (text, None),
        };
        let words: Vec<&str> = text.split(':').collect();
        match words[..] {
            [role @ ("init" | "probe-init"), mode, fd] => Some(Self::Init {
                mode: Mode::parse(mode)?,
                lifeline: fd.parse().ok()?,
                probe: role == "probe-init",
                luggage,
            }),
            ["joined", mode, pidfd] => Some(Self::Joined { mode: Mode::parse(mode)?, pidfd: pidfd.parse().ok()? }),
            ["inside", mode] => Some(Self::Inside { mode: Mode::parse(mode)?, luggage }),
            _ => None,
        }
    }
}

/// Makes the sandbox around this program, or finds itself in it.
///
/// Call it once, before any thread exists and before anything is printed; `keep` are the paths the run reads (the scripts, module
/// directories): what of them lies under `/run` stays reachable. The current directory, the program and `PATH` are kept anyway.
///
/// # Errors
///
/// When the kernel forbids the sandbox, with the reason and the ways out; when the variable [`ENV`] was set by hand.
pub fn enter_or_supervise(keep: &[PathBuf]) -> Result<Entered> {
    enter_with(keep, None, None)
}

/// What writes down what is taken along into a sandbox.
pub type Pack<'a> = dyn Fn(&File) -> Result<()> + 'a;

/// The same with something to take along from outside: `pack` writes it, in P0, before the sandbox is made; [`Sandbox::luggage`] has it inside.
///
/// # Errors
///
/// As [`enter_or_supervise`], and what `pack` says; `Busy` when there is a sandbox of the name already.
pub fn enter_with(keep: &[PathBuf], pack: Option<&Pack<'_>>, stay: Option<&Stay>) -> Result<Entered> {
    let Some(text) = std::env::var_os(ENV) else {
        let luggage = pack.map(|pack| luggage().and_then(|file| pack(&file).map(|()| file))).transpose()?;
        let mode = Mode::here();
        let claim = stay.map(|stay| Claim::take(&stay.name, mode, &stay.script)).transpose()?;
        return supervise(mode, false, luggage.as_ref(), claim).map(Entered::Ended);
    };
    // SAFETY: this process has one thread (the caller's duty, and P0, P1 and P2 come here first), so nobody reads the environment.
    unsafe { std::env::remove_var(ENV) };
    match text.to_str().and_then(Marker::parse) {
        Some(Marker::Init { mode, lifeline, probe, luggage }) => {
            let marker = Marker::Inside { mode, luggage };
            become_init(mode, lifeline, probe, keep, &marker, stay.is_some()).map(Entered::Ended)
        }
        Some(Marker::Inside { mode, luggage }) if is_inside() => {
            let _ = set_name(c"netwright");
            let luggage = luggage.map(|number| unpack(number).ok_or_else(not_a_sandbox)).transpose()?;
            Ok(Entered::Inside(Sandbox { mode, last: Mutex::new(None), luggage, files: None }))
        }
        _ => Err(not_a_sandbox()),
    }
}

pub(super) fn not_a_sandbox() -> Error {
    Error::new(Kind::InvalidArgument, format!("`{ENV}` is set, but this is not netwright's sandbox"))
        .hint(format!("unset it: `unset {ENV}`; netwright sets it for its own processes only"))
}

/// The name of the file in memory that is taken along.
const LUGGAGE: &str = "netwright-luggage";

/// A file in memory that the processes of the sandbox inherit.
fn luggage() -> Result<File> {
    let made = rustix::fs::memfd_create(LUGGAGE, rustix::fs::MemfdFlags::empty());
    let error = |errno| Error::new(Kind::Unsupported, format!("cannot make a file in memory: {errno}"));
    made.map(File::from).map_err(error)
}

/// Takes the file over by its number; `None` when that is another one.
fn unpack(number: i32) -> Option<File> {
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    if number <= 2 || !link.to_string_lossy().starts_with(&format!("/memfd:{LUGGAGE}")) {
        return None;
    }
    // SAFETY: the descriptor is open (its /proc entry was just read) and is the file that P0 made for this process, which has opened nothing of the
    // kind, so that nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC).ok()?;
    let mut file = File::from(fd);
    file.rewind().ok()?;
    Some(file)
}

/// P0.
pub(super) fn supervise(mode: Mode, probe: bool, luggage: Option<&File>, claim: Option<Claim>) -> Result<Ended> {
    let io =
        |what: &str, e: &std::io::Error| Error::new(Kind::Internal, format!("cannot start the sandbox: {what}: {e}"));
    let caught = Caught::new().map_err(|e| io("catching signals", &e))?;
    let (mine, theirs) = Lifeline::pair().map_err(|e| io("making a socket pair", &e))?;

    if claim.is_some() {
        mine.ring().map_err(|e| io("listening to it", &e))?;
    }

    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if mode == Mode::Rootless {
        unshare(UnshareFlags::NEWUSER, Step::UserNamespace, mode)?;
        for (file, line) in [
            ("setgroups", "deny".to_owned()), // or the kernel refuses gid_map to the unprivileged (user_namespaces(7))
            ("uid_map", format!("0 {uid} 1")),
            ("gid_map", format!("0 {gid} 1")),
        ] {
            std::fs::write(format!("/proc/self/{file}"), line)
                .map_err(|e| Failure::io(Step::MapIds, &e, mode).explain())?;
        }
    }
    unshare(UnshareFlags::NEWPID, Step::PidNamespace, mode)?;

    let luggage = luggage.map(AsRawFd::as_raw_fd);
    let marker = Marker::Init { mode, lifeline: theirs.number(), probe, luggage };
    let child = reexec::start(ENV, &marker.encode()).map_err(|e| Failure::io(Step::Start, &e, mode).explain())?;
    drop(theirs);
    let end = |error: Error| {
        // Without a name nobody finds it again.
        if let Some(pid) = child.pid().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        error
    };
    let mut claim = claim;
    if let (Some(claim), Some(pid)) = (&mut claim, child.pid()) {
        claim.begins(pid).map_err(end)?;
    }
    match supervisor::wait(&child, &mine, caught).map_err(|e| io("waiting for it", &e))? {
        Over::Ended(status) => {
            let (code, signal) = supervisor::code_of(status);
            Ok(Ended { code, signal })
        }
        Over::Stays(code) => {
            claim.map_or(Ok(()), Claim::keep).map_err(end)?;
            // It outlives this process: nothing waits for it any more.
            std::mem::forget(child);
            Ok(Ended { code, signal: None })
        }
    }
}

/// P1.
fn become_init(
    mode: Mode,
    lifeline: i32,
    probe: bool,
    keep: &[PathBuf],
    inside: &Marker,
    stays: bool,
) -> Result<Ended> {
    let death = set_parent_process_death_signal(Some(Signal::KILL));
    let lifeline = Lifeline::inherited(lifeline).ok_or_else(not_a_sandbox)?;
    if death.is_err() || getpid().as_raw_nonzero().get() != 1 {
        return Err(not_a_sandbox());
    }
    // The supervisor may have died between its fork and the prctl above.
    if lifeline.listen() == Heard::Eof {
        return Ok(Ended { code: 137, signal: None });
    }
    let _ = set_name(c"netwright-init");
    unshare(UnshareFlags::NEWNET, Step::NetNamespace, mode)?;
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWUTS, Step::MountNamespace, mode)?;
    mounts::arrange(mode, keep).map_err(Failure::explain)?;
    put_as_booted(&unlike_booted());
    loopback::up().map_err(|e| Failure::new(Step::Loopback, e, mode).explain())?;
    if probe {
        return Ok(Ended { code: 0, signal: None });
    }
    let (code, signal) =
        init::run(&lifeline, &inside.encode(), stays).map_err(|e| Failure::io(Step::Start, &e, mode).explain())?;
    Ok(Ended { code, signal })
}

fn unshare(flags: UnshareFlags, step: Step, mode: Mode) -> Result<()> {
    // SAFETY: only `FILES` is dangerous, and it is never among the flags.
    unsafe { unshare_unsafe(flags) }.map_err(|e| Failure::new(step, e, mode).explain())
}

/// Whether this is P2: the first child of a pid 1 that is this program, in a network that leads nowhere yet.
///
/// The last part alone keeps a forged variable harmless: the machine's real network has a route or an address.
fn is_inside() -> bool {
    let same_program = match (std::fs::metadata("/proc/1/exe"), std::fs::metadata("/proc/self/exe")) {
        (Ok(init), Ok(me)) => (init.dev(), init.ino()) == (me.dev(), me.ino()),
        _ => false,
    };
    let only_loopback = |file: &str, column: usize, skip: usize| {
        std::fs::read_to_string(file).map_or(true, |text| {
            text.lines().skip(skip).all(|line| line.split_whitespace().nth(column).is_none_or(|device| device == "lo"))
        })
    };
    getpid().as_raw_nonzero().get() == 2
        && getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == 1)
        && same_program
        && only_loopback("/proc/self/net/if_inet6", 5, 0)
        && only_loopback("/proc/self/net/route", 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_survive_the_environment_and_nothing_else_is_one() {
        for marker in [
            Marker::Init { mode: Mode::Root, lifeline: 7, probe: false, luggage: None },
            Marker::Init { mode: Mode::Root, lifeline: 7, probe: false, luggage: Some(8) },
            Marker::Init { mode: Mode::Rootless, lifeline: 9, probe: true, luggage: None },
            Marker::Inside { mode: Mode::Root, luggage: None },
            Marker::Inside { mode: Mode::Root, luggage: Some(5) },
            Marker::Joined { mode: Mode::Rootless, pidfd: 6 },
        ] {
            assert_eq!(Marker::parse(&marker.encode()), Some(marker));
        }
        for text in ["", "1", "inside", "inside:x", "init:root", "init:root:x", "inside:root:1", "inside:root:with:x"] {
            assert_eq!(Marker::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_test_runner_is_not_inside() {
        assert!(!is_inside());
    }
}
