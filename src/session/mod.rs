//! What this run did: every verb looks first, acts only if it must, and everything it does is recorded with its inverse.
//!
//! The session is the only caller of [`Exec`] for netwright's own commands. A verb is a method here, one file per subject; it takes
//! types, not script values. [`Session::apply`] is the one door through which the kernel is changed.

mod bridge;
mod firewall;
mod link;
mod netns;
mod raw;
mod route;
mod shape;
mod sysctl;
mod undo;

pub use bridge::PlugOptions;
pub use firewall::{FirewallAnswer, Forward};
pub use raw::RawAnswer;
pub use route::{NeighSpec, RouteSpec};
pub use shape::Shape;
pub use undo::Undone;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Kind, Place, Ran, Result};
use crate::exec::background::Background;
use crate::exec::netns::NetnsId;
use crate::exec::{Exec, Output};
use crate::model::said;
use crate::op::{Command, Object, Op, Undo, Where};

/// Where a run acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a sandbox whose root namespace plays the host; everything is gone with it.
    Sandbox,
    /// On this machine; kept when the run succeeds, undone when it fails.
    Host,
}

impl Mode {
    /// The word that scripts and reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Host => "host",
        }
    }
}

/// What a verb did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// It was so already.
    Nothing,
    /// It changed the kernel.
    Something,
}

impl Did {
    /// Something, if either did.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self == Self::Something { self } else { other }
    }
}

/// Something that a reporter may want to show.
#[derive(Debug)]
pub enum Event<'a> {
    /// A command ended.
    Ran {
        /// What ran.
        ran: &'a Ran,
        /// Whether it was meant to change the kernel.
        changes: bool,
        /// Whether it succeeded.
        ok: bool,
        /// Where in the script it came from.
        place: Option<&'a Place>,
    },
    /// The script printed something, without its line end.
    Printed(&'a str),
    /// A check with a sentence was made.
    Checked {
        /// The sentence.
        sentence: &'a str,
        /// Whether it held.
        held: bool,
    },
    /// Something the user should know that is no error.
    Warning(&'a str),
}

/// A command that changed the kernel, or tried to.
#[derive(Clone, Debug)]
pub struct Record {
    /// The op, with its inverse.
    pub op: Op,
    /// How long it took.
    pub took: Duration,
    /// Whether it succeeded.
    pub ok: bool,
    /// Whether it lies in the life of a namespace that this run made, and so is gone with it.
    inside_made: bool,
    /// Whether it was undone.
    undone: Cell<bool>,
}

/// One run.
pub struct Session {
    exec: Exec,
    mode: Mode,
    id: String,
    events: Box<dyn Fn(&Event<'_>)>,
    place: RefCell<Option<Place>>,
    log: RefCell<Vec<Record>>,
    changed: Cell<u64>,
    unchanged: Cell<u64>,
    made: RefCell<HashMap<String, NetnsId>>,
    deferred: RefCell<HashMap<Where, Op>>,
    background: RefCell<Vec<Rc<Background>>>,
    /// Namespaces beyond the named ones that play a part, for probes that look for who owns an address.
    hidden: RefCell<Vec<Where>>,
    /// Every namespace that the script has named, in order.
    known: RefCell<Vec<Where>>,
}

impl Session {
    /// A session that has done nothing yet.
    #[must_use]
    pub fn new(exec: Exec, mode: Mode, events: Box<dyn Fn(&Event<'_>)>) -> Self {
        Self {
            exec,
            mode,
            id: run_id(),
            events,
            place: RefCell::default(),
            log: RefCell::default(),
            changed: Cell::new(0),
            unchanged: Cell::new(0),
            made: RefCell::default(),
            deferred: RefCell::default(),
            background: RefCell::default(),
            hidden: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// The executor, for what the user runs.
    #[must_use]
    pub fn exec(&self) -> &Exec {
        &self.exec
    }

    /// Where this run acts.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The name of this run.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many verbs changed something.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.changed.get()
    }

    /// How many verbs found that it was so already.
    #[must_use]
    pub fn unchanged(&self) -> u64 {
        self.unchanged.get()
    }

    /// Every command that changed the kernel or tried to, in order.
    #[must_use]
    pub fn log(&self) -> std::cell::Ref<'_, Vec<Record>> {
        self.log.borrow()
    }

    /// Says where in the script the next ops come from.
    pub fn set_place(&self, place: Option<Place>) {
        *self.place.borrow_mut() = place;
    }

    /// Where in the script the run is.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place.borrow().clone()
    }

    /// Tells the reporter.
    pub fn emit(&self, event: &Event<'_>) {
        (self.events)(event);
    }

    /// Adds a namespace that `ip netns` does not list, such as the sandbox's internet.
    pub fn add_hidden(&self, netns: Where) {
        self.hidden.borrow_mut().push(netns);
    }

    /// Remembers that the script spoke of a namespace.
    pub fn know(&self, netns: &Where) {
        let mut known = self.known.borrow_mut();
        if !known.contains(netns) {
            known.push(netns.clone());
        }
    }

    /// Every namespace that may own an address: the host, those that the script named, the other named ones, the hidden ones.
    #[must_use]
    pub fn everywhere(&self) -> Vec<Where> {
        let mut all = vec![Where::Host];
        all.extend(self.known.borrow().iter().filter(|netns| **netns != Where::Host).cloned());
        for name in crate::exec::netns::names().unwrap_or_default() {
            let netns = Where::Named(name);
            if !all.contains(&netns) {
                all.push(netns);
            }
        }
        all.extend(self.hidden.borrow().iter().cloned());
        all
    }

    /// Counts a verb and passes on what it did.
    pub(crate) fn count(&self, did: Did) -> Did {
        let counter = if did == Did::Something { &self.changed } else { &self.unchanged };
        counter.set(counter.get() + 1);
        did
    }

    /// Asks a question that must succeed.
    ///
    /// # Errors
    ///
    /// The failure of the command, classified.
    pub fn query(&self, command: &Command) -> Result<String> {
        let output = self.ask(command)?;
        if output.ok { Ok(output.ran.stdout) } else { Err(failure(command, output.ran)) }
    }

    /// Asks a question that may be answered by a failure.
    ///
    /// # Errors
    ///
    /// When the command could not run to its end.
    pub fn ask(&self, command: &Command) -> Result<Output> {
        self.settle(&command.netns)?;
        let output = self.exec.run(command)?;
        self.emit(&Event::Ran { ran: &output.ran, changes: false, ok: output.ok, place: self.place.borrow().as_ref() });
        Ok(output)
    }

    /// Changes the kernel: the only way to do it.
    ///
    /// # Errors
    ///
    /// The failure of the command, classified.
    pub fn apply(&self, op: Op) -> Result<Output> {
        self.settle(&op.command.netns)?;
        self.apply_now(op)
    }

    /// Puts off an op that cannot fail in a way that matters, until its namespace is next used: meanwhile its warm `ip` starts.
    fn defer(&self, mut op: Op) {
        op.place = self.place();
        self.deferred.borrow_mut().insert(op.command.netns.clone(), op);
    }

    /// Does what was put off for a namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle(&self, netns: &Where) -> Result<()> {
        let op = self.deferred.borrow_mut().remove(netns);
        op.map_or(Ok(()), |op| self.apply_now(op).map(drop))
    }

    /// Does everything that was put off: at the end of a run, and before anything that may look at any namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::apply`].
    pub fn settle_all(&self) -> Result<()> {
        let ops: Vec<Op> = self.deferred.borrow_mut().drain().map(|(_, op)| op).collect();
        ops.into_iter().try_for_each(|op| self.apply_now(op).map(drop))
    }

    fn apply_now(&self, mut op: Op) -> Result<Output> {
        if op.place.is_none() {
            op.place = self.place();
        }
        if let (Object::Netns { name }, Undo::None(_)) = (&op.changes, &op.undo) {
            self.exec.forget(&Where::Named(name.clone()));
        }
        let index = {
            let mut log = self.log.borrow_mut();
            let inside_made = self.is_made(&op.command.netns);
            log.push(Record { op: op.clone(), took: Duration::ZERO, ok: false, inside_made, undone: Cell::new(false) });
            log.len() - 1
        };
        let result = self.exec.run(&op.command);
        if op.moves_names() {
            self.exec.retire_warm();
        }
        let output = result?;
        {
            let mut log = self.log.borrow_mut();
            log[index].took = output.ran.took;
            log[index].ok = output.ok;
        }
        self.emit(&Event::Ran { ran: &output.ran, changes: true, ok: output.ok, place: op.place.as_ref() });
        if output.ok { Ok(output) } else { Err(failure(&op.command, output.ran)) }
    }

    /// Whether this run made the namespace.
    fn is_made(&self, netns: &Where) -> bool {
        matches!(netns, Where::Named(name) if self.made.borrow().contains_key(name))
    }

    /// Runs the user's own program. It may change anything, so warm processes are retired.
    ///
    /// # Errors
    ///
    /// When it could not run to its end; a program that fails is an [`Output`].
    pub fn run_user(&self, netns: &Where, words: &[String], stdin: Option<&str>, deadline: Duration) -> Result<Output> {
        self.settle_all()?;
        let output = self.exec.run_user(netns, words, stdin, deadline);
        self.exec.retire_warm();
        let output = output?;
        self.emit(&Event::Ran { ran: &output.ran, changes: true, ok: output.ok, place: self.place.borrow().as_ref() });
        Ok(output)
    }

    /// Starts the user's own program; it is stopped at the end of the run.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_user(&self, netns: &Where, words: &[String]) -> Result<Rc<Background>> {
        self.settle_all()?;
        let background = Rc::new(self.exec.start_user(netns, words)?);
        self.exec.retire_warm();
        self.background.borrow_mut().push(Rc::clone(&background));
        Ok(background)
    }

    /// Stops every program that [`Session::start_user`] left running. Returns those that would not end.
    pub fn stop_background(&self) -> Vec<String> {
        let all: Vec<_> = self.background.borrow_mut().drain(..).collect();
        all.iter().rev().filter(|one| !one.stop()).map(|one| one.line().to_owned()).collect()
    }

    /// Runs `work` on a thread inside a namespace.
    ///
    /// # Errors
    ///
    /// When the namespace is not there or may not be entered.
    pub fn within<T: Send>(&self, netns: &Where, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.settle(netns)?;
        self.exec.within(netns, work)
    }
}

/// The error of a command that failed: its kind by what it said, its message the last line of it.
#[must_use]
pub fn failure(command: &Command, ran: Ran) -> Error {
    let known = said::recognise(&ran.stderr);
    let kind = known.map_or(Kind::CommandFailed, |known| known.kind);
    let program = command.tool.program();
    let line = ran.stderr.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let message = match line {
        Some(line) => format!("`{program}` in `{}`: {}", command.netns, line.trim_end_matches('.')),
        None => format!("`{program}` in `{}` failed with status {}", command.netns, ran.status.unwrap_or(-1)),
    };
    let mut error = Error::new(kind, message).netns(command.netns.name()).ran(ran);
    if let Some(hint) = known.and_then(|known| known.hint) {
        error = error.hint(hint);
    }
    error
}

/// `YYMMDD-hhmmss-PID` in UTC: sorts by time, tells runs of one second apart.
fn run_id() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    format!("{}-{}-{}", &digits[2..8], &digits[8..14], std::process::id())
}
