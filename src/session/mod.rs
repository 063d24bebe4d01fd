//! What this run did: every verb looks first, acts only if it must, and everything it does is recorded with its inverse.
//!
//! # What we promise and how it is tested
//!
//! On a real host: whatever happens, the machine ends as it was or as the script says, and netwright can say which. `tests/loops` builds
//! machines (network, mounts, `/run`, processes of their own, and what others have built, of every kind), breaks something there, and compares
//! a snapshot (links, addresses, routes, rules, both firewalls, settings, namespaces, processes, `/run/netwright`). `cargo test --test loops` runs
//! short forms, `NETWRIGHT_FULL=1` all; `tests/loops/RESULTS.md` tells of the last runs, and of every case that did not hold. The full counts are of
//! 29 November 2026; what came in since ran in the short forms.
//!
//! | loop | promise | short | full, held of all |
//! |---|---|---|---|
//! | `faults` | five scripts, every command × eight faults, once and lasting: as it was | 121 | 2288 of 2288 |
//! | `lies` | a tool that says yes and does nothing is noticed, at every command and at every step of the undo | 39 | 195 of 195 |
//! | `double` | build and undo fail, or the undo's tool lies: exit 5, what is left is named, `gc` leaves nothing | 60 | 414 of 414 |
//! | `kill-lines` | `kill -9` before, amid and after every journal line, then `gc` twice; also of a runbook as users write it | 44 | 996 of 996 |
//! | `kill-commands` | `kill -9` before and after every command, and with an orphan that acts late | 44 | 480 of 480 |
//! | `kill-random` | `kill -9` at random moments | 60 | 2940 of 2940 |
//! | `kill-undo` | `kill -9` of `down`, up to three times, then `down` and `gc` | 12 | 1000 of 1000 |
//! | `kill-tree` | `kill -9` of a run and all its tools at once | 12 | 997 of 1000 |
//! | `signals` | INT, TERM, HUP, single and double, at random moments | 48 | 600 of 600 |
//! | `decoys` | what others made is never touched or moved; what was taken out goes back between its neighbours | 94 | 1031 of 1034 |
//! | `pairs` | two at once, and a run beside `gc` | 26 | 309 of 310 |
//! | `space` | the disk full at every position of the journal | 74 | 2125 of 2125 |
//! | `deadlines` | every way to hang ends within the deadline + 2.5 s; a daemon that a tool leaves keeps nothing | 22 | 94 of 94 |
//! | `verbs` | each verb on what others built, in a run that fails and one that is taken down: all is as it was | 6 | 178 of 178 |
//! | `settings` | what several runs need stays until the last is gone; what others set since is theirs | 4 | 25 of 25 |
//! | `rootless` | the short forms of all others on machines that a plain user makes | 111 | 666 of 666 |
//!
//! `tests/fuzz.rs`, `src/why/fuzz.rs` and the journal's own tests are the fuzz targets: no input panics, and what is accepted is what was there.
//!
//! What is not promised, because nobody can keep it:
//!
//! - a tool that does nothing and answers every question as if it had is believed. One that says yes to everything is not: that a rule is there
//!   or gone is told by the list, too, and a chain that is there is named in it;
//! - what `exec` changes is undone by the user's words only (`#{ undo: … }`), and not looked at; of raw `ip` commands, what the user's inverse leaves
//!   alone is put back;
//! - what somebody else takes away in the moment of an act of ours is taken for the act's, and comes back with the undo;
//! - a link that comes up for the first time keeps the kernel's `noqueue`;
//! - after `exec` or `start` on the machine or in a namespace of others without such words, the end names what ran and was not undone;
//! - the stamp of a namespace that plays the machine is its inode alone before Linux 5.14 (no `SO_NETNS_COOKIE`): such a number comes again. Of
//!   namespaces with names it is inode and time, on every kernel;
//! - a rule none of whose neighbours is there any more goes to the number that it had, and the undo says so; one whose chain somebody has
//!   deleted stays out, and is named;
//! - when a run is killed between the moment in which `ip` is given `netns add` and the line that says which namespace that made, and somebody
//!   puts an empty one of the same name in its place within 13 s, that one is taken for the run's;
//! - counters that `iptables -Z` has set to zero go on from there;
//! - after `kill -9`, a daemon that a tool has left cannot be told from a tool that still acts: `gc` names it, and goes on when it has ended.
//!   At the end of a run that is not killed it keeps nothing.
//!
//! The session is the only caller of [`Exec`] for netwright's own commands. A verb is a method here, one file per subject; it takes
//! types, not script values. [`Session::apply`] is the one door through which the kernel is changed.

pub(crate) mod audit;
mod bridge;
pub(crate) mod claim;
pub(crate) mod containers;
pub(crate) mod copy;
pub(crate) mod coverage;
mod deferred;
pub(crate) mod ends;
#[cfg(test)]
mod fake;
mod feature;
pub(crate) mod file;
mod firewall;
mod in_flight;
mod index;
pub(crate) mod journal;
mod known;
mod link;
pub(crate) mod log;
mod look;
mod made;
pub(crate) mod mutant;
mod netns;
mod nft;
pub(crate) mod noted;
mod offload;
mod peer;
mod port;
pub(crate) mod program;
mod proofs;
mod put_back;
mod raw;
pub(crate) mod reading;
mod route;
pub(crate) mod scan;
pub(crate) mod shape;
mod shared;
mod sysctl;
mod taken;
mod tc;
pub(crate) mod things;
pub(crate) mod undo;
mod undo_bulk;
mod undo_last;
mod undo_nft;
mod undo_taken;
mod wireguard;

pub(crate) use bridge::PlugOptions;
pub(crate) use firewall::{FirewallAnswer, Forward};
pub(crate) use nft::NftAnswer;
pub(crate) use port::FdbSpec;
pub(crate) use raw::RawAnswer;
pub(crate) use route::{NeighSpec, RouteSpec};
pub(crate) use shape::{PRESETS, Shape};
pub(crate) use undo::Undone;
pub(crate) use wireguard::Wireguard;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Kind, Place, Ran, Result};
use crate::exec::background::Background;
use crate::exec::netns::NetnsStamp;
use crate::exec::{Exec, Output};
use crate::model::messages;
use crate::model::state::{Lost, State};
use crate::op::{self, Command, Fact, Op, Undo, Where};
use crate::sandbox::Setting;
use audit::Audit;
use claim::Claims;
use journal::{Identity, Journal};
use known::Known;
use log::Log;

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
    /// A test has this name; it does not run.
    TestListed {
        /// Its name.
        name: &'a str,
        /// Where it stands.
        place: Option<&'a Place>,
    },
    /// A test begins.
    TestBegan {
        /// Its name.
        name: &'a str,
        /// Where it stands.
        place: Option<&'a Place>,
    },
    /// A test ended.
    TestEnded(&'a crate::testing::Ended<'a>),
    /// What was to be broken is broken, or why it could not be.
    Broke(Option<&'a str>),
    /// Something the user should know that is no error.
    Warning(&'a str),
}

/// A command that changed the kernel, or tried to.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The op, with its inverse.
    pub op: Op,
    /// Whether it succeeded; `None` while nobody knows: it was about to run, and the run died.
    #[serde(skip)]
    pub ok: Option<bool>,
    /// What tells the thing that it made from others of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// When it was about to run, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took.
    #[serde(skip)]
    pub took: Duration,
    /// Whether it lies in the life of a namespace or link that this run made, and so is gone with it.
    #[serde(default)]
    inside_made: bool,
    /// The namespace that it acted in, when that has a name or path and was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    netns: Option<NetnsStamp>,
    /// The number of the record that made what this one deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<usize>,
    /// How far it reaches beyond what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reach: Option<taken::Reach>,
    /// What the kernel took with it; `None` while nobody knows.
    #[serde(skip)]
    taken: Option<Vec<Lost>>,
    /// How many records there were when it was undone; `None` when it is not.
    #[serde(skip)]
    undone: Cell<Option<usize>>,
}

impl Record {
    /// A record of an op that has not run.
    #[must_use]
    pub fn new(op: Op) -> Self {
        Self {
            op,
            ok: None,
            identity: None,
            at_ms: journal::now_ms(),
            took: Duration::ZERO,
            inside_made: false,
            netns: None,
            own: None,
            reach: None,
            taken: None,
            undone: Cell::new(None),
        }
    }

    /// Whether it was undone.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.undone.get().is_some()
    }

    /// The number of the record that made what this one deletes.
    #[must_use]
    pub fn maker(&self) -> Option<usize> {
        self.own
    }

    /// Whether the command ran and succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.ok == Some(true)
    }
}

/// One run.
pub struct Session {
    exec: Exec,
    mode: Mode,
    id: String,
    events: Box<dyn Fn(&Event<'_>)>,
    place: RefCell<Option<Place>>,
    log: RefCell<Vec<Record>>,
    /// Goes up whenever the network may have become another.
    epoch: Cell<u64>,
    changed: Cell<u64>,
    unchanged: Cell<u64>,
    made: RefCell<HashMap<String, NetnsStamp>>,
    made_links: RefCell<made::Links>,
    indexes: index::Indexes,
    journal: RefCell<Option<Journal>>,
    audit: Option<Audit>,
    /// Where people read what it does.
    told: Option<Log>,
    claims: RefCell<Claims>,
    known: RefCell<Known>,
    inherits_forwarding: Cell<Option<bool>>,
    unlike_booted: RefCell<Option<Vec<Setting>>>,
    /// Sorted, so that the commands of a run are always in the same order.
    may_defer: Cell<bool>,
    deferred: RefCell<deferred::Queues>,
    in_flight: RefCell<in_flight::InFlight>,
    /// How many commands were ever deferred.
    deferrals: Cell<u64>,
    proofs: RefCell<BTreeMap<Where, Vec<proofs::Proof>>>,
    /// What was looked at before an act on what was there before this run.
    looked_at: RefCell<Vec<(Where, taken::Reach, State)>>,
    looks: Cell<bool>,
    background: RefCell<Vec<Rc<Background>>>,
    /// The user's own programs that ran where what they change stays when the run is undone.
    /// Each with the number of commands before it.
    ran: RefCell<Vec<(usize, String)>>,
    /// Namespaces beyond the named ones that play a part, for probes that look for who owns an address.
    hidden: RefCell<Vec<Where>>,
    /// Every namespace that the script has named, in order.
    mentioned: RefCell<Vec<Where>>,
    /// What was found out about this machine.
    features: crate::features::Features,
    copy: RefCell<Option<copy::Copy>>,
    /// What the script does and expects beside commands, each with the number of commands before it.
    noted: RefCell<Vec<(usize, noted::Noted)>>,
    /// What a copy of a machine had already, as it would have been done, behind so many commands.
    had: RefCell<Vec<(usize, Op)>>,
    reads_only: Cell<bool>,
    held_back: RefCell<Vec<copy::HeldBack>>,
    /// What packets touched so far (`--coverage`).
    watch: RefCell<Option<coverage::Watch>>,
    /// What is to be broken before the tests look.
    mutant: RefCell<Option<op::breakage::Mutant>>,
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
            epoch: Cell::default(),
            changed: Cell::new(0),
            unchanged: Cell::new(0),
            made: RefCell::default(),
            made_links: RefCell::default(),
            indexes: index::Indexes::default(),
            journal: RefCell::default(),
            audit: None,
            told: None,
            claims: RefCell::default(),
            known: RefCell::default(),
            inherits_forwarding: Cell::new(None),
            unlike_booted: RefCell::default(),
            may_defer: Cell::new(false),
            deferred: RefCell::default(),
            in_flight: RefCell::default(),
            deferrals: Cell::default(),
            proofs: RefCell::default(),
            looked_at: RefCell::default(),
            looks: Cell::default(),
            background: RefCell::default(),
            ran: RefCell::default(),
            hidden: RefCell::default(),
            mentioned: RefCell::default(),
            features: crate::features::Features::default(),
            copy: RefCell::default(),
            noted: RefCell::default(),
            had: RefCell::default(),
            reads_only: Cell::default(),
            held_back: RefCell::default(),
            watch: RefCell::default(),
            mutant: RefCell::default(),
        }
    }

    /// The same on the machine: what it does is journalled before it is done, and marked.
    #[must_use]
    pub fn on_host(
        exec: Exec,
        id: String,
        journal: Journal,
        audit: Option<Audit>,
        told: Option<Log>,
        events: Box<dyn Fn(&Event<'_>)>,
    ) -> Self {
        let exec = exec.with_mark(&id);
        let session = Self { id, audit, told, ..Self::new(exec, Mode::Host, events) };
        journal.share_lock(true);
        *session.journal.borrow_mut() = Some(journal);
        session
    }

    /// Writes into the log of the run, if it has one, how it goes.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn tell(&self, what: &str) -> Result<()> {
        self.told.as_ref().map_or(Ok(()), |told| told.line(&self.id, what))
    }

    /// Takes the journal out, to end it.
    pub fn take_journal(&self) -> Option<Journal> {
        self.journal.borrow_mut().take()
    }

    /// Writes down how the run ended.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn end_journal(&self, end: journal::End) -> Result<()> {
        self.journal.borrow_mut().as_mut().map_or(Ok(()), |journal| journal.end(end))
    }

    /// Lets go of the names that this run claimed.
    pub fn release_claims(&self) {
        self.claims.take().release();
    }

    /// The mark of this run on what it makes on the machine; a sandbox needs none.
    fn mark(&self) -> Option<String> {
        self.journal.borrow().is_some().then(|| undo::mark_of(&self.id))
    }

    /// Claims a name for this run: on the machine, two runs never work on the same ones.
    fn claim(&self, what: &str, name: &str) -> Result<()> {
        self.claim_in("", what, name)
    }

    /// Claims a name that means something in one place only.
    fn claim_in(&self, place: &str, what: &str, name: &str) -> Result<()> {
        if self.journal.borrow().is_none() {
            return Ok(());
        }
        self.claims.borrow_mut().claim(place, what, name, &self.id)
    }

    /// Claims a link by its place: those of named namespaces are claimed with their namespace.
    fn claim_link(&self, netns: &Where, name: &str) -> Result<()> {
        // Who acts on another network namespace that shares `/run` has links of his own.
        let inode = |netns: &Where| self.exec.netns(netns).map(|file| file.id().inode.to_string()).unwrap_or_default();
        match netns {
            Where::Host => self.claim_in(&inode(&Where::Host), "link", name),
            Where::Named(netns) => self.claim("netns", netns),
            Where::Path(path) => self.claim_in(&inode(netns), "netns", &path.to_string_lossy().replace('/', "_")),
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

    /// A number that is another after anything that may have changed the network: what was found out before may no longer be so.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    fn next_epoch(&self) {
        self.epoch.set(self.epoch.get() + 1);
    }

    /// Tells the reporter.
    pub fn emit(&self, event: &Event<'_>) {
        if let Event::Checked { sentence, held: true } = event {
            self.note_down(noted::Noted::Checked { sentence: (*sentence).to_owned(), place: self.place() });
        }
        match event {
            // A reporter in another process knows no secrets.
            Event::Printed(text) => (self.events)(&Event::Printed(&op::secret::redact(text))),
            event => (self.events)(event),
        }
    }

    /// Adds a namespace that `ip netns` does not list, such as the sandbox's internet.
    pub fn add_hidden(&self, netns: Where) {
        self.hidden.borrow_mut().push(netns);
    }

    /// Remembers that the script spoke of a namespace.
    pub fn know(&self, netns: &Where) {
        let mut known = self.mentioned.borrow_mut();
        if !known.contains(netns) {
            known.push(netns.clone());
        }
    }

    /// Every namespace that may own an address: the host, those that the script named, the other named ones, the hidden ones.
    #[must_use]
    pub fn everywhere(&self) -> Vec<Where> {
        let mut all = vec![Where::Host];
        all.extend(self.mentioned.borrow().iter().filter(|netns| **netns != Where::Host).cloned());
        let known: HashSet<Where> = all.iter().cloned().collect();
        let named = crate::exec::netns::names().unwrap_or_default().into_iter().map(Where::Named);
        all.extend(named.filter(|netns| !known.contains(netns)));
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
        self.settle_for(&command.netns)?;
        let output = self.exec.run(command)?;
        self.emit(&Event::Ran { ran: &output.ran, changes: false, ok: output.ok, place: self.place.borrow().as_ref() });
        self.see(command, &output);
        Ok(output)
    }

    /// Asks one question of each of several namespaces, side by side; all must succeed. A list of routes may have no table to list.
    ///
    /// # Errors
    ///
    /// The first failure, classified.
    fn ask_each(&self, commands: &[Command]) -> Result<Vec<String>> {
        let groups = commands.iter().map(|command| vec![command.clone()]);
        let mut answers = Vec::with_capacity(commands.len());
        self.exec.run_side_by_side(groups, |answer| answers.extend(answer));
        let mut texts = Vec::with_capacity(commands.len());
        for (command, output) in commands.iter().zip(answers) {
            let output = output?;
            self.emit(&Event::Ran { ran: &output.ran, changes: false, ok: output.ok, place: self.place().as_ref() });
            if !(output.ok || messages::has_no_table(&output.ran.stderr)) {
                return Err(failure(command, output.ran));
            }
            texts.push(output.ran.stdout);
        }
        Ok(texts)
    }

    /// Changes the kernel, after a look at what was made before.
    ///
    /// # Errors
    ///
    /// The failure of the command, classified.
    pub fn apply(&self, op: Op) -> Result<Output> {
        self.settle_all()?;
        let (_, output) = self.apply_now(op)?;
        Ok(output)
    }

    /// Makes something that takes nothing away: what was made before can be looked at later, as this can ([`Session::prove_later`]).
    /// The number of the command in the log.
    ///
    /// # Errors
    ///
    /// The failure of the command, classified.
    fn make(&self, op: Op) -> Result<usize> {
        self.settle(&op.command.netns)?;
        let (number, _) = self.apply_now(op)?;
        Ok(number)
    }

    /// The error of a command that succeeded and changed nothing, unless `holds`: what matters is read back, for a tool may lie.
    fn read_back(&self, netns: &Where, holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
        if holds {
            return Ok(());
        }
        let last = self.log.borrow().len().saturating_sub(1);
        Err(self.made_nothing(last, netns, &otherwise()))
    }

    /// Puts the inverse of the last command right: what it did exactly is only known now.
    fn amend_last(&self, undo: Undo) -> Result<()> {
        let mut log = self.log.borrow_mut();
        let number = log.len().saturating_sub(1);
        let Some(record) = log.last_mut() else { return Ok(()) };
        record.op.undo = undo;
        self.journal.borrow_mut().as_mut().map_or(Ok(()), |journal| journal.intent(number, record))
    }

    fn apply_now(&self, op: Op) -> Result<(usize, Output)> {
        let before = self.before(&op)?;
        let number = self.begin(op)?;
        let command = self.log.borrow()[number].op.command.clone();
        let output = self.with_free_index(number, self.exec.run(&command));
        let output = self.finish(number, output);
        if let Some((reach, before)) = before {
            self.after(number, &reach, &before)?;
        }
        Ok((number, output?))
    }

    /// Writes down what is about to run; its number in the log.
    fn begin(&self, mut op: Op) -> Result<usize> {
        self.may_change(&op)?;
        self.before_change(Some(&op));
        if op.place.is_none() {
            op.place = self.place();
        }
        if let Some(Fact::Netns(op::netns::Netns { name, there: false })) = op.fact() {
            self.exec.forget(&Where::Named(name.clone()));
        }
        let mut record = Record::new(op);
        self.describe(&mut record);
        let number = self.log.borrow().len();
        if let Some(journal) = self.journal.borrow_mut().as_mut() {
            journal.intent(number, &record)?;
        }
        self.hold(number, &record)?;
        self.known.borrow_mut().learn(&record.op);
        self.next_epoch();
        self.log.borrow_mut().push(record);
        Ok(number)
    }

    /// Writes down what came of a command that was begun, and says why when it failed.
    fn finish(&self, number: usize, output: Result<Output>) -> Result<Output> {
        let output = self.note(number, output)?;
        if !output.ok {
            let error = self.failed(number, output)?;
            // It may have failed because something is not there that an earlier command pretended to make.
            return Err(self.first_lie().ok().flatten().unwrap_or(error));
        }
        self.mark_link(number)?;
        Ok(output)
    }

    /// Writes down what came of a command that was begun.
    fn note(&self, number: usize, output: Result<Output>) -> Result<Output> {
        if self.log.borrow()[number].op.moves_names() {
            self.exec.retire_warm();
        }
        // Without an answer nobody knows whether it acted: the record stays open, and is undone by what is found.
        let output = output?;
        let identity = {
            let log = self.log.borrow();
            self.learn(number, &log[number].op, output.ok, log[number].identity)
        };
        {
            let mut log = self.log.borrow_mut();
            let record = &mut log[number];
            record.took = output.ran.took;
            // As without an answer: it stays open when a warm process may have acted before it died.
            record.ok = (!output.unsure).then_some(output.ok);
            record.identity = identity.or(record.identity);
        }
        let log = self.log.borrow();
        let op = &log[number].op;
        if let Some(audit) = &self.audit {
            audit.command(&self.id, op, &output)?;
        }
        if let Some(told) = &self.told {
            told.command(&self.id, op, &output)?;
        }
        if let Some(journal) = self.journal.borrow_mut().as_mut()
            && !output.unsure
        {
            journal.outcome(number, output.ok, identity)?;
        }
        self.emit(&Event::Ran { ran: &output.ran, changes: true, ok: output.ok, place: op.place.as_ref() });
        Ok(output)
    }

    /// The error of a command that failed.
    fn failed(&self, number: usize, output: Output) -> Result<Error> {
        let log = self.log.borrow();
        let (unsure, status) = (output.unsure, output.ran.status);
        let error = failure(&log[number].op.command, output.ran);
        // The user's own command that ended by itself with an error has not acted, whatever it said: what is there is somebody else's, and the
        // user's inverse would delete it. One that a signal ended may have.
        let by_itself = status.is_some_and(|status| !(129..=192).contains(&status));
        let refused = by_itself && log[number].op.is_raw();
        if (error.kind() == Kind::AlreadyExists || refused) && !unsure {
            // Somebody else was faster: what is there is theirs, and there is nothing to undo.
            self.has_not_acted(number, &log[number])?;
        }
        Ok(error)
    }

    /// Writes down that there is nothing to undo of a command that was begun.
    fn has_not_acted(&self, number: usize, record: &Record) -> Result<()> {
        record.undone.set(Some(number + 1));
        self.journal.borrow_mut().as_mut().map_or(Ok(()), |journal| journal.undone(number))
    }

    /// What must be known of an op before it runs: whether it is gone with something that this run made, in which namespace it acts,
    /// and, on the machine, the index of the link that it makes.
    fn describe(&self, record: &mut Record) {
        let netns = record.op.command.netns.clone();
        let made_links = self.made_links.borrow();
        let of_own_link = match record.op.fact() {
            Some(Fact::Link(link)) => link.peer.as_ref().is_some_and(|(netns, _)| self.is_made(netns)),
            Some(Fact::Settings(settings)) if settings.new_name().is_some() => false,
            Some(Fact::Moved(_)) => false,
            _ => record.op.sets_link().is_some_and(|name| made_links.has(&netns, name)),
        };
        // What leaves a namespace is not gone with it, nor is what a link of others takes home.
        let to = record.op.fact().map_or(&netns, |fact| fact.shown_in(&netns));
        let deleted =
            record.op.fact().and_then(|fact| if let Fact::Link(link) = fact { Some(&*link.name) } else { None });
        let of_guest = record.op.sets_link().or(deleted).is_some_and(|name| made_links.has_guest(&netns, name));
        record.inside_made = (self.is_made(&netns) && self.is_made(to) && !of_guest) || of_own_link;
        drop(made_links);
        let on_machine = self.journal.borrow().is_some();
        record.reach = self.farther(&record.op).filter(|_| !record.inside_made);
        if netns != Where::Host && !record.inside_made {
            record.netns = if on_machine {
                self.exec.netns_stamp(&netns).ok()
            } else {
                self.exec.netns(&netns).ok().map(|file| file.id().into())
            };
        }
        record.own = self.maker_of(&record.op);
        if record.op.makes_link().is_some_and(op::link::Link::takes_index) && on_machine {
            let index = self.next_index();
            op::link::choose_index(&mut record.op, index);
            record.identity = Some(Identity::Link(index));
        }
        if let Some(name) = record.op.sets_link()
            && !record.inside_made
            && on_machine
        {
            // A link that was there before: when it is another one by then, there is nothing to put back.
            let index = self.index_now(&netns, name);
            record.identity = index.map(Identity::Link);
        }
    }

    /// The index of a link, without a word to the reporter.
    fn index_now(&self, netns: &Where, name: &str) -> Option<u32> {
        let seen = self.known.borrow().index(netns, name);
        seen.or_else(|| {
            let index = self.link_now(netns, name)?.ifindex;
            self.known.borrow_mut().saw_index(netns, name, index);
            Some(index)
        })
    }

    /// A link, without a word to the reporter.
    fn link_now(&self, netns: &Where, name: &str) -> Option<crate::model::link::Link> {
        let output = self.exec.run(&op::link::show(netns, name)).ok().filter(|output| output.ok)?;
        crate::model::link::parse(&output.ran.stdout, "ip address show").ok()?.into_iter().next()
    }

    /// Marks a link that was just made on the machine, unless it is gone with a namespace that carries the mark.
    fn mark_link(&self, number: usize) -> Result<()> {
        let (netns, name, mark, place) = {
            let op = &self.log.borrow()[number].op;
            let (Some(link), Some(mark)) = (op.makes_link(), self.mark()) else { return Ok(()) };
            let netns = &op.command.netns;
            if self.is_made(netns) || link.peer.as_ref().is_some_and(|(netns, _)| self.is_made(netns)) {
                return Ok(());
            }
            (netns.clone(), link.name.clone(), mark, op.place.clone())
        };
        // It belongs to the verb that made the link, wherever the script is by now.
        let number = self.make(Op { place, ..op::link::mark(&netns, &name, &mark) })?;
        self.prove_later(number)
    }

    fn share_lock(&self, share: bool) {
        if let Some(journal) = self.journal.borrow().as_ref() {
            journal.share_lock(share);
        }
    }

    /// Runs `work` on a thread inside a namespace.
    ///
    /// # Errors
    ///
    /// When the namespace is not there or may not be entered.
    pub fn within<T: Send>(&self, netns: &Where, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.settle_all()?;
        self.exec.within(netns, work)
    }
}

/// The error of a command that failed: its kind by what it said, its message the last line of it.
#[must_use]
pub(crate) fn failure(command: &Command, ran: Ran) -> Error {
    let known = messages::recognise(&ran.stderr);
    let kind = known.map_or(Kind::CommandFailed, |known| known.kind);
    let program = command.tool.program();
    let line = ran.stderr.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let message = match line {
        Some(line) => format!("`{program}` in `{}`: {}", command.netns, line.trim_end_matches('.')),
        None => match ran.status {
            Some(status @ 129..=192) => {
                let signal = crate::exec::interrupt::signal_name(status - 128);
                format!("`{program}` in `{}` was ended by {signal}", command.netns)
            }
            status => format!("`{program}` in `{}` failed with status {}", command.netns, status.unwrap_or(-1)),
        },
    };
    let mut error = Error::new(kind, message).netns(command.netns.name()).ran(ran);
    if let Some(hint) = known.and_then(|known| known.hint) {
        error = error.hint(hint);
    }
    error
}

/// The name of a new run: `YYMMDD-hhmmss-PID` in UTC. It sorts by time and tells runs of one second apart.
#[must_use]
pub(crate) fn run_id() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    format!("{}-{}-{}", &digits[2..8], &digits[8..14], std::process::id())
}
