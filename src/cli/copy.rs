//! A sandbox that begins as the copy of a machine: this one, or the one of a snapshot.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;

use super::{fail, human};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::{Exec, reexec};
use crate::probe::{Endpoint, Listener, Proto};
use crate::sandbox::Sandbox;
use crate::session::{Event, Mode, Session};
use crate::snapshot::{BYTES_MAX, Copied, Extent, Snapshot, rebuild};

/// The word for this machine as it is now.
pub(super) const THIS: &str = "this";

/// How many of the things that could not be copied are named.
const NAMED_MAX: usize = 20;

/// Which machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This one, as it is now.
    This,
    /// The one of a snapshot.
    File(PathBuf),
}

impl Source {
    /// From a word of the command line: `this`, or a file. A file of that name is `./this`.
    pub(super) fn of(word: &OsString) -> Self {
        if word == THIS { Self::This } else { Self::File(word.into()) }
    }

    /// What the sandbox has to keep of the file system.
    pub(super) fn keep(&self) -> Option<PathBuf> {
        match self {
            Self::This => None,
            Self::File(path) => Some(path.clone()),
        }
    }

    /// Writes the snapshot of this machine to what is taken along into the sandbox: by a process of its own, because this one must stay one thread. A file
    /// is only looked at.
    pub(super) fn pack(&self, tools: &[(String, PathBuf)], file: &File) -> Result<()> {
        if let Self::File(path) = self {
            // Before anything is made: a file that is no snapshot is told at once.
            return read_file(path).map(drop);
        }
        let words: Vec<OsString> = std::iter::once("snapshot".into()).chain(super::tool_words(tools)).collect();
        let status = reexec::into_file(&words, file, false)
            .map_err(|error| Error::new(Kind::CommandFailed, format!("cannot read this machine: {error}")))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::new(Kind::CommandFailed, "this machine could not be read").hint("`netwright snapshot` says why"))
    }

    /// Reads the snapshot, inside the sandbox.
    pub(super) fn unpack(&self, sandbox: &Sandbox) -> Result<Snapshot> {
        match self {
            Self::File(path) => read_file(path),
            Self::This => {
                let mut text = String::new();
                let mut file = sandbox
                    .luggage()
                    .ok_or_else(|| Error::new(Kind::Internal, "the snapshot of this machine did not come along"))?;
                file.read_to_string(&mut text).map_err(|error| {
                    Error::new(Kind::Internal, format!("the snapshot of this machine cannot be read: {error}"))
                })?;
                Snapshot::parse(&text, "this machine")
            }
        }
    }
}

/// Reads a snapshot from a file.
pub(super) fn read_file(path: &std::path::Path) -> Result<Snapshot> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::PermissionDenied => Kind::PermissionDenied,
            _ => Kind::CommandFailed,
        };
        let error = Error::new(kind, format!("cannot read the snapshot `{shown}`: {error}"));
        if kind == Kind::NotFound {
            error.hint("`netwright snapshot -o FILE` writes one; `this` is this machine")
        } else {
            error
        }
    };
    let file = File::open(path).map_err(cannot)?;
    let mut text = Vec::new();
    // One byte more than is allowed, so that what is larger is refused and not cut.
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(cannot)?;
    let text = String::from_utf8(text)
        .map_err(|_| Error::new(Kind::InvalidArgument, format!("`{shown}` is no snapshot: it is not text in UTF-8")))?;
    Snapshot::parse(&text, &shown.to_string())
}

/// What a copy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To run in it; what could not be copied is said first.
    Run,
    /// To say what becomes of it ([`again`]); what could not be copied is said with that.
    Plan,
}

/// The session of a run in a sandbox that begins as a copy.
pub(super) fn session(
    exec: Exec,
    events: Box<dyn Fn(&Event<'_>)>,
    snapshot: &Snapshot,
    purpose: Purpose,
) -> Result<(Rc<Session>, Copied)> {
    let extent = if purpose == Purpose::Plan { Extent::Whole } else { Extent::NoSettings };
    let mut copied = rebuild(&exec, snapshot, extent)?;
    serve(&exec, snapshot, &mut copied);
    let session = Session::new(exec, Mode::Sandbox, events);
    for netns in &copied.hidden {
        session.add_hidden(netns.clone());
    }
    let unread = |netns: &crate::snapshot::Netns| {
        let at = copied.place(&netns.name);
        netns.unread.iter().map(|why| (at.clone(), why.clone())).collect::<Vec<_>>()
    };
    let unread = snapshot.namespaces.iter().flat_map(unread).collect();
    session.is_copy_of(&snapshot.machine.hostname, copied.world.clone(), unread);
    if purpose == Purpose::Run {
        tell(&copied.missing);
    }
    Ok((Rc::new(session), copied))
}

/// Puts a stand-in behind each port on which a program of the machine listens: it accepts, and sends back what it gets.
fn serve(exec: &Exec, snapshot: &Snapshot, copied: &mut Copied) {
    for netns in &snapshot.namespaces {
        let at = copied.place(&netns.name);
        for one in &netns.listening {
            let proto = if one.proto == "udp" { Proto::Udp } else { Proto::Tcp };
            // Those of all addresses take both families, where the machine has one for each.
            let addr = (!one.addr.is_unspecified()).then_some(one.addr);
            let endpoint = Endpoint { proto, addr, port: one.port, zone: None };
            let bound = exec.within(&at, || Listener::bind(std::slice::from_ref(&endpoint), None));
            match bound {
                Ok(Ok(listener)) => copied.services.push(listener),
                Ok(Err(error)) if error.kind() == Kind::Busy => {}
                Ok(Err(error)) | Err(error) => {
                    copied.missing.push(format!("{}: nobody answers for the listener {endpoint}: {error}", netns.name));
                }
            }
        }
    }
}

/// Says what could not be copied.
pub(super) fn tell(missing: &[String]) {
    if missing.is_empty() {
        return;
    }
    human::line("the copy is not the machine in this:");
    for line in missing.iter().take(NAMED_MAX) {
        human::line(&format!("  {line}"));
    }
    if missing.len() > NAMED_MAX {
        human::line(&format!("  … and {} more (`netwright plan --json` has all)", missing.len() - NAMED_MAX));
    }
}

/// Enters a sandbox that begins as a copy. `Err` is the exit code of a process that only supervised it, or could not.
pub(super) fn enter(
    source: &Source,
    tools: &[(String, PathBuf)],
    mut keep: Vec<PathBuf>,
) -> std::result::Result<(Sandbox, Snapshot), u8> {
    keep.extend(source.keep());
    let sandbox = super::enter_sandbox_with(&keep, Some(&|file: &File| source.pack(tools, file)), None)?;
    let snapshot = source.unpack(&sandbox).map_err(|error| fail(&error))?;
    Ok((sandbox, snapshot))
}

/// Does `work` in a sandbox that is the copy of a machine; its exit code.
pub(super) fn within(source: &Source, tools: &[(String, PathBuf)], work: impl FnOnce(&Session) -> Result<u8>) -> u8 {
    let keep = tools.iter().map(|(_, path)| path.clone()).collect();
    let (sandbox, machine) = match enter(source, tools, keep) {
        Ok(entered) => entered,
        Err(code) => return code,
    };
    super::run::raise_open_files();
    let interrupt = Interrupt::default();
    let work = || {
        super::run::listen(&interrupt, Some(sandbox))?;
        let exec = Exec::new(super::tools(tools)?, interrupt.clone())?;
        let (session, _copied) = session(exec, Box::new(|_| {}), &machine, Purpose::Run)?;
        work(&session)
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// What is meant by a word: a machine that was read now, or a snapshot.
pub(super) fn machine(word: &OsString, exec: impl FnOnce() -> Result<Exec>) -> Result<Snapshot> {
    match Source::of(word) {
        Source::This => crate::snapshot::read(&exec()?, &[], Extent::Whole),
        Source::File(path) => read_file(&path),
    }
}

/// What the copy is by now, with the names of the original.
pub(super) fn again(exec: &Exec, copied: &Copied) -> Result<Snapshot> {
    crate::snapshot::read(exec, &copied.hidden, Extent::Whole).map(|now| copied.named(now))
}
