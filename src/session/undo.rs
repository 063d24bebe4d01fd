//! Playing the inverses back, last first: of a run that fails, of a kept one (`down`), of a dead one (`gc`).
//!
//! What a run made is removed only if its journal, its mark and its identity agree: a namespace has the stamp that was written down (its inode
//! alone comes again), a link has the index that was chosen before it was made and no other alias than the run's mark, a rule has the comment. What carries the same name and
//! is something else is left alone.

use std::cell::{Cell, RefCell};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::journal::{Identity, Journal, Owes};
use super::look::Verdict;
use super::program;
use super::put_back::Stuck;
use super::shared::{self, Released};
use super::undo_bulk as bulk;
use super::undo_taken::Place;
use super::{Record, Session};
use crate::error::{Error, Kind, Result};
use crate::exec::netns::{NetnsStamp, id_at, path_of};
use crate::exec::{Exec, leftover};
use crate::model::state::State;
use crate::model::{link, messages};
use crate::op::link::Moved;
use crate::op::route::Route;
use crate::op::{self, Command, Fact, Tool, Undo, Where};
use crate::patience::scaled;

/// How long what was deleted may take to vanish: `ip netns delete` returns before the kernel has cleaned up (12–19 ms measured).
const VANISH: Duration = Duration::from_secs(5);
/// How long after an intent its command may have acted, in milliseconds: the deadline of a command and what ending it takes.
const ACTED_WITHIN_MS: u64 = 13_000;
/// How much earlier than the intent a namespace's file may seem to be made, in milliseconds: the kernel stamps it with the time of its last tick.
const TICK_MS: u64 = 20;
/// The alias of what a run makes.
#[must_use]
pub(crate) fn mark_of(id: &str) -> String {
    format!("netwright:{id}")
}

/// What an undo came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// How many ops had to be undone.
    pub steps: usize,
    /// How many of them are undone.
    pub done: usize,
    /// What is left, and why: the op's own line and the reason.
    pub left: Vec<(String, String)>,
    /// What has the name of something that the run made and is something else: it was left alone.
    pub foreign: Vec<String>,
    /// What was undone in a way that somebody should look at.
    pub notes: Vec<String>,
    /// The user's own programs that ran where what they changed is not gone with the run: what that was, nobody knows.
    pub unknown: Vec<String>,
}

impl Undone {
    /// `11 of 11 steps, nothing left behind`.
    #[must_use]
    pub fn summary(&self) -> String {
        let verb = if self.unknown.len() == 1 { "was not undone" } else { "were not undone" };
        let own = || program::told(&self.unknown, verb);
        let end = match (self.left.len(), &self.unknown[..]) {
            (0, []) => "nothing left behind".to_owned(),
            (0, _) => format!("nothing left of them; {}", own()),
            (left, []) => format!("{left} left"),
            (left, _) => format!("{left} left; {}", own()),
        };
        format!("{} of {} steps, {end}", self.done, self.steps)
    }
}

impl Session {
    /// Undoes everything that this run did: processes, then ops from the last to the first. A failing step never stops the others.
    pub fn undo_all(&self) -> Undone {
        let stuck = self.stop_background();
        self.deferred.borrow_mut().clear();
        self.proofs.borrow_mut().clear();
        self.await_any();
        self.set_place(None);
        let log = self.log.take();
        let mut journal = self.journal.borrow_mut();
        let mut undone =
            Undoing::new(&self.exec, &log, journal.as_mut(), &self.id).knowing(self.seen_before(), Vec::new()).all();
        undone.left.extend(stuck.into_iter().map(|line| (line, "the process does not end".to_owned())));
        undone.unknown = self.ran_since(0);
        *self.log.borrow_mut() = log;
        self.made.borrow_mut().clear();
        self.made_links.borrow_mut().clear();
        undone
    }
}

/// How a step went.
pub(super) enum Step {
    /// It is undone, or there was nothing to undo.
    Done,
    /// The tool says that an address is deleted; many of a link are looked at together.
    Unseen,
    /// Another run needs it.
    Needed(String),
    /// It is something else now.
    Foreign(String),
    /// It could not be undone, and why.
    Failed(String),
}

/// The undoing of a run from its records.
pub(crate) struct Undoing<'a> {
    pub(super) exec: &'a Exec,
    /// Whether namespaces were deleted since the warm processes were started: links of others went with them, which they may have cached.
    stale: Cell<bool>,
    pub(super) records: &'a [Record],
    pub(super) journal: Option<&'a mut Journal>,
    pub(super) id: Option<String>,
    mark: Option<String>,
    pub(super) undone: Undone,
    /// The first record that is undone.
    pub(super) first: usize,
    /// The namespace that the run acted on as the host is gone, and what was in it.
    pub(super) host_gone: bool,
    /// Notes of inverses whose work was done already.
    already_there: RefCell<Vec<String>>,
    /// What was there before acts that reach farther than they say.
    pub(super) before: Vec<(Where, State)>,
    /// What an undoing that was cut short owes.
    pub(super) owes: Vec<Owes>,
}

impl<'a> Undoing<'a> {
    /// The undoing of what `records` say; with a journal, each step is written down.
    #[must_use]
    pub(crate) fn new(exec: &'a Exec, records: &'a [Record], journal: Option<&'a mut Journal>, id: &str) -> Self {
        let id = journal.is_some().then(|| id.to_owned());
        let mark = id.as_deref().map(mark_of);
        Self {
            exec,
            stale: Cell::new(false),
            records,
            journal,
            id,
            mark,
            undone: Undone::default(),
            first: 0,
            host_gone: false,
            already_there: RefCell::default(),
            before: Vec::new(),
            owes: Vec::new(),
        }
    }

    /// The namespace that played the host is gone: what the run did in it went with it, and no other namespace is touched in its place.
    #[must_use]
    pub(crate) fn without_host(self) -> Self {
        Self { host_gone: true, ..self }
    }

    /// Whether what a record did is gone with the namespace that played the host.
    pub(super) fn went_with_host(&self, record: &Record) -> bool {
        self.host_gone && !matches!(record.op.fact(), Some(Fact::Netns(_))) && record.op.command.netns == Where::Host
    }

    /// Knows what was there before the acts, and what an earlier undoing owes.
    #[must_use]
    pub(crate) fn knowing(self, before: Vec<(Where, State)>, owes: Vec<Owes>) -> Self {
        Self { before, owes, ..self }
    }

    /// Leaves what came before a record in place.
    #[must_use]
    pub(super) fn since(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// Undoes everything: processes, then the firewall, then the rest from the last to the first, namespaces at the end and together; then
    /// looks whether they are gone.
    #[must_use]
    pub(crate) fn all(mut self) -> Undone {
        self.exec.make_room();
        // The programs that the run started go with the run, not with its last steps.
        let stuck = self.id.as_deref().filter(|_| self.first == 0).map(leftover::end_all).unwrap_or_default();
        self.undone.left.extend(stuck.into_iter().map(|line| (line, "the process does not end".to_owned())));
        let rank = |record: &Record| match record.op.fact() {
            Some(Fact::NfRule(_) | Fact::NfChain(_) | Fact::NfPolicy(_) | Fact::NfTable(_) | Fact::Nft(_)) => 0,
            Some(Fact::Netns(_)) => 2,
            _ => 1,
        };
        let mut order: Vec<usize> =
            (self.first..self.records.len()).rev().filter(|n| !self.records[*n].is_undone()).collect();
        // Stable: within a rank, last first.
        order.sort_by_key(|number| rank(&self.records[*number]));
        let mut to_verify = Vec::new();
        let mut stuck = Stuck::default();
        let records = self.records;
        let mut places = self.places();
        let mut unseen = Vec::new();
        let mut order = order.as_slice();
        // How many of the next could not go together: each goes alone then.
        let mut alone = 0;
        while let Some((&number, rest)) = order.split_first() {
            let record = &records[number];
            self.see_addresses(&mut unseen, Some(record));
            let together = if alone == 0 { self.rules_together(order, &stuck) } else { 0 };
            if together > 1 {
                if self.delete_rules(&order[..together], &mut stuck) {
                    order = &order[together..];
                    continue;
                }
                alone = together;
            }
            alone = alone.saturating_sub(1);
            order = rest;
            let meant = record.op.is_raw() && record.reach.is_some();
            if meant {
                self.look_around(&mut places, &record.op.command.netns, false);
            }
            self.undone.steps += usize::from(record.succeeded());
            // What it lies in may stay, when only the end is undone.
            let gone_with_more = record.inside_made && self.first == 0;
            let step = if gone_with_more || self.went_with_host(record) || self.is_superseded(number) {
                Step::Done
            } else if let Some(why) = stuck.holds(&record.op) {
                Step::Failed(why.into())
            } else {
                self.step(number, record, &mut places)
            };
            if meant {
                self.look_around(&mut places, &record.op.command.netns, true);
            }
            if matches!(step, Step::Failed(_)) {
                stuck.add(&record.op);
            }
            match step {
                Step::Done if makes(record) && !self.went_with_host(record) => to_verify.push(number),
                Step::Done => self.note(number),
                Step::Unseen => unseen.push(number),
                Step::Needed(note) => {
                    self.undone.notes.push(note);
                    self.note(number);
                }
                Step::Foreign(what) => {
                    self.undone.foreign.push(what);
                    self.note(number);
                }
                Step::Failed(why) => self.undone.left.push((record.op.command.line(), why)),
            }
        }
        self.see_addresses(&mut unseen, None);
        let gone = self.links_gone(&to_verify);
        for number in to_verify {
            let record = &self.records[number];
            if gone.contains(&number) || self.is_gone(record) {
                self.note(number);
            } else {
                self.undone.left.push((record.op.command.line(), "it is still there".into()));
            }
        }
        self.let_go(&mut places);
        self.put_taken_back(places);
        self.undone.notes.append(&mut self.already_there.borrow_mut());
        self.undone
    }

    /// Whether an earlier change of the same setting has been undone already, after this one was made, which could not be: it has its first value again.
    fn is_superseded(&self, number: usize) -> bool {
        let op = &self.records[number].op;
        let is_setting = |fact: &Fact| {
            matches!(
                fact,
                Fact::Sysctl(_)
                    | Fact::NfPolicy(_)
                    | Fact::Settings(_)
                    | Fact::Wireguard(_)
                    | Fact::Offload(_)
                    | Fact::Vlan(_)
                    | Fact::Fdb(_)
                    | Fact::Nexthop(_)
            )
        };
        if !op.fact().is_some_and(is_setting) {
            return false;
        }
        let changes = op.changes();
        self.records[..number].iter().any(|earlier| {
            earlier.undone.get().is_some_and(|records| records > number)
                && earlier.ok != Some(false)
                && earlier.op.command.netns == op.command.netns
                && earlier.op.command.tool == op.command.tool
                && earlier.op.changes() == changes
        })
    }

    /// Writes down that a step is undone. A journal that cannot be written does not stop the undoing: `gc` finds the step undone already.
    pub(super) fn note(&mut self, number: usize) {
        let record = &self.records[number];
        self.undone.done += usize::from(record.succeeded());
        record.undone.set(Some(self.records.len()));
        if let Some(journal) = self.journal.as_mut() {
            let _ = journal.undone(number);
        }
    }

    fn step(&mut self, number: usize, record: &Record, places: &mut Vec<Place>) -> Step {
        // What `ip` itself said to have failed has not acted; who undoes it all the same would undo what somebody else did.
        if record.op.is_raw() && record.ok == Some(false) {
            return Step::Done;
        }
        let (commands, chains) = match &record.op.undo {
            Undo::Commands(commands) => (commands, &[][..]),
            Undo::Rules { commands, chains } => (commands, &chains[..]),
            Undo::Nft(_) => (const { &Vec::new() }, &[][..]),
            // What it deleted was the run's own, and goes with this undo.
            Undo::None(_) if !record.succeeded() || record.own.is_some_and(|made| made >= self.first) => {
                return Step::Done;
            }
            Undo::None(why) => return Step::Failed(why.clone()),
        };
        match self.still_ours(record) {
            Ok(Ours::Yes) => {}
            Ok(Ours::Gone) => {
                self.need_no_more(number, record);
                return Step::Done;
            }
            Ok(Ours::Foreign(what)) => {
                self.need_no_more(number, record);
                return Step::Foreign(what);
            }
            Err(error) => return Step::Failed(error.to_string()),
        }
        if let Undo::Nft(inverse) = &record.op.undo {
            return self.undo_nft(number, &record.op.command.netns, inverse);
        }
        let mut commands = commands.clone();
        if let Some(step) = self.released(number, record, &mut commands, places) {
            return step;
        }
        if let Some(step) = self.changed_since(record, &commands) {
            return step;
        }
        if let Some(Fact::Netns(one)) = record.op.fact() {
            self.exec.forget(&Where::Named(one.name.clone()));
        }
        if bulk::deletes_address(record, &commands)
            && commands.iter().all(|command| self.exec().run(command).is_ok_and(|output| output.ok))
        {
            return Step::Unseen;
        }
        let mut failed = None;
        for command in &commands {
            if let Err(why) = self.run(command, record) {
                failed = Some(why);
            }
        }
        for former in chains {
            match self.put_back(&record.op.command, former) {
                Ok(notes) => self.undone.notes.extend(notes),
                Err(why) => failed = Some(why),
            }
        }
        failed.map_or(Step::Done, Step::Failed)
    }

    /// Lets go of a thing that is gone, or another's by now: there is nothing to put back.
    fn need_no_more(&self, number: usize, record: &Record) {
        let Some(id) = self.id.as_deref().filter(|_| !record.inside_made && shared::is_used()) else { return };
        let machine = shared::machine(self.exec);
        if let Some(key) = shared::key_of(&record.op, &machine) {
            shared::release(&key, id, Some(number), None);
        } else if let Some(key) = shared::key_of_made(&record.op, &machine) {
            shared::release(&key, id, None, None);
        }
    }

    /// Lets go of what this run and perhaps others need: their step, if they do; otherwise `commands` may become what makes it as it was before
    /// the first of them.
    fn released(
        &self,
        number: usize,
        record: &Record,
        commands: &mut Vec<Command>,
        places: &mut Vec<Place>,
    ) -> Option<Step> {
        let id = self.id.as_deref().filter(|_| !record.inside_made && shared::is_used())?;
        let machine = shared::machine(self.exec);
        let (key, made) = match shared::key_of(&record.op, &machine) {
            Some(key) => (key, None),
            None => (shared::key_of_made(&record.op, &machine)?, Some(record)),
        };
        let line = record.op.command.line();
        match shared::release(&key, id, made.is_none().then_some(number), Some(record)) {
            Released::Needed(holder, _) if holder.run == id => None,
            Released::Needed(holder, was_last) => {
                let here = self.look(&record.op.command) == Verdict::Holds;
                if made.is_none() && was_last && here && self.look(&holder.wants) != Verdict::Holds {
                    // What the other run had set, before this one set it otherwise.
                    return Some(match self.run(&holder.wants, record) {
                        Err(why) => Step::Failed(why),
                        Ok(()) => {
                            let wants = holder.wants.line();
                            Step::Needed(format!("it is as the run {} needs it again: `{wants}`", holder.run))
                        }
                    });
                }
                for place in places.iter_mut().filter(|place| place.netns == record.op.command.netns) {
                    place.forgive(record);
                }
                Some(Step::Needed(format!("`{line}` is left as it is: the run {} needs it", holder.run)))
            }
            Released::Free(first, _, took) if made.is_none() && !first.is_empty() => {
                *commands = undo_of_first(first, &record.op.command);
                self.inherit(places, &record.op.command.netns, took);
                None
            }
            Released::Free(..) | Released::Unknown => None,
        }
    }

    /// The step of a setting that somebody has changed since: what is not as the run set it is somebody else's.
    fn changed_since(&self, record: &Record, commands: &[Command]) -> Option<Step> {
        let is_setting = match record.op.fact() {
            Some(Fact::Settings(set)) => set.option().is_some(),
            Some(
                Fact::Wireguard(_)
                | Fact::Offload(_)
                | Fact::Sysctl(_)
                | Fact::NfPolicy(_)
                | Fact::Neigh(_)
                | Fact::Route(_)
                | Fact::Vlan(_)
                | Fact::Fdb(_)
                | Fact::Mdb(_)
                | Fact::Nexthop(_)
                | Fact::File(_),
            ) => true,
            _ => false,
        };
        if !is_setting || commands.is_empty() || self.id.is_none() || record.inside_made {
            return None;
        }
        match self.looked(&record.op.command) {
            Ok(Verdict::Not(now)) => {
                let (told, untold): (Vec<_>, Vec<_>) = commands.iter().partition(|command| command.fact().is_some());
                let undone = told.iter().all(|command| matches!(self.looked(command), Ok(Verdict::Holds)));
                if undone && !untold.is_empty() {
                    // What has no fact, such as a folder that was made for a file, nobody can look at: it is undone whatever became of the rest.
                    return None;
                }
                if !undone && self.is_nowhere(record) {
                    // Nobody has set it otherwise: it went with its link, and what was there before is put back.
                    return None;
                }
                let line = record.op.command.line();
                Some(if undone {
                    Step::Done
                } else {
                    Step::Foreign(format!("what `{line}` set was changed since: {now}"))
                })
            }
            _ => None,
        }
    }

    /// Whether there is no route at all in the place of the one that an op made: to its destination, in its table.
    fn is_nowhere(&self, record: &Record) -> bool {
        self.route_place_is_empty(&record.op.command) == Some(true)
    }

    /// Lets go of what the run found as it needs it: what nobody needs any more goes back.
    fn let_go(&mut self, places: &mut Vec<Place>) {
        let Some(id) = self.id.clone().filter(|_| self.first == 0 && !self.host_gone && shared::is_used()) else {
            return;
        };
        for (key, holder) in shared::found_by(&id) {
            let line = holder.wants.line();
            match shared::release(&key, &id, None, None) {
                Released::Needed(other, _) => {
                    self.undone.notes.push(format!("`{line}` is left as it is: the run {} needs it", other.run));
                }
                Released::Free(first, made, took) => {
                    self.inherit(places, &holder.wants.netns, took);
                    if !first.is_empty() && self.look(&holder.wants) == Verdict::Holds {
                        for command in undo_of_first(first, &holder.wants) {
                            let done = self.act(&command).and_then(|()| match self.look(&command) {
                                Verdict::Not(why) => Err(why),
                                _ => Ok(()),
                            });
                            if let Err(why) = done {
                                self.undone.left.push((command.line(), why));
                            }
                        }
                    }
                    if let Some((maker, record)) = made {
                        self.take_away(&maker, &record);
                    }
                }
                Released::Unknown => {}
            }
        }
    }

    /// Takes away what another run made that is gone, and this one needed longest.
    fn take_away(&mut self, maker: &str, record: &Record) {
        let own = self.mark.replace(mark_of(maker));
        let step = match (self.still_ours(record), &record.op.undo) {
            (Ok(Ours::Yes), Undo::Commands(commands)) => {
                if let Some(Fact::Netns(one)) = record.op.fact() {
                    self.exec.forget(&Where::Named(one.name.clone()));
                }
                let failed = commands.iter().find_map(|command| self.run(command, record).err());
                failed.or_else(|| (makes(record) && !self.is_gone(record)).then(|| "it is still there".to_owned()))
            }
            (Err(error), _) => Some(error.to_string()),
            _ => None,
        };
        self.mark = own;
        if let Some(why) = step {
            self.undone.left.push((record.op.command.line(), why));
        }
    }

    /// The executor, for looking.
    pub(super) fn exec(&self) -> &Exec {
        if self.stale.replace(false) {
            self.exec.retire_warm();
        }
        self.exec
    }

    /// Whether what is started now keeps the lock of the run: a program of the script's own may leave a daemon behind.
    fn share_lock(&self, share: bool) {
        if let Some(journal) = self.journal.as_ref() {
            journal.share_lock(share);
        }
    }

    /// Runs a command that must succeed.
    pub(super) fn act(&self, command: &Command) -> std::result::Result<(), String> {
        let output = self.exec().run(command).map_err(|error| error.to_string())?;
        if output.ok { Ok(()) } else { Err(first_line(&output.ran.stderr)) }
    }

    /// Runs one command of an inverse. "Already gone" is success. What perhaps never happened need not be there; but only the tool's own
    /// words or a look tell so: that an inverse fails for another reason must not be taken for it.
    pub(super) fn run(&self, command: &Command, record: &Record) -> std::result::Result<(), String> {
        // Namespaces go one after the other by one process: their names are all that it is told.
        let of_netns = matches!(command.fact(), Some(Fact::Netns(_)));
        let is_own = command.tool == Tool::Own;
        self.share_lock(!is_own);
        let result = if of_netns { self.exec.run(command) } else { self.exec().run(command) };
        self.share_lock(true);
        if of_netns {
            self.stale.set(true);
        } else if !command.fact().is_some_and(Fact::keeps_names) || record.op.is_raw() {
            self.exec.retire_warm();
        }
        match result {
            // What the user's own words undo, only the user can tell.
            Ok(output) if output.ok && record.op.is_raw() => Ok(()),
            Ok(output) if output.ok => match self.look(command) {
                Verdict::Not(why) => Err(why),
                Verdict::Holds | Verdict::Untold => Ok(()),
            },
            Ok(output) => match messages::recognise(&output.ran.stderr).map(|said| said.kind) {
                // What is gone needs nothing; a link that has another name has not come home.
                Some(Kind::NotFound) if !matches!(command.fact(), Some(Fact::Moved(_))) => Ok(()),
                // It was undone before somebody could write that down, or never done: what it would make is there.
                Some(Kind::AlreadyExists) if record.op.is_raw() => {
                    let said = first_line(&output.ran.stderr);
                    self.already_there.borrow_mut().push(format!("`{}`: {said}; taken for undone", command.line()));
                    Ok(())
                }
                Some(Kind::InvalidArgument | Kind::Unsupported) if !record.succeeded() => Ok(()),
                // What the tool will not do is perhaps so already: a chain that is made again, a rule that is deleted.
                _ if self.look(command) == Verdict::Holds => Ok(()),
                _ => Err(first_line(&output.ran.stderr)),
            },
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            // A tool that hangs or floods may have been kept from acting in the first place.
            Err(_) if command.tool == Tool::Sysctl && self.look(command) == Verdict::Holds => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether what an op made or changed is still the same thing.
    pub(super) fn still_ours(&self, record: &Record) -> Result<Ours> {
        if let Some(then) = &record.netns {
            match self.exec.netns_stamp(&record.op.command.netns) {
                Ok(now) if then.same(&now) == Some(false) => return Ok(Ours::Gone),
                Err(error) if error.kind() == Kind::NotFound => return Ok(Ours::Gone),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        let netns = &record.op.command.netns;
        match (record.op.fact(), record.identity) {
            (Some(Fact::Netns(one)), identity) => self.netns_ours(&one.name, identity, record),
            (Some(Fact::Link(link)), Some(Identity::Link(index))) => self.link_ours(netns, &link.name, index),
            (Some(Fact::Moved(one)), Some(Identity::Link(index))) => self.moved_ours(one, index, record),
            // The inverse of a renaming speaks of the new name.
            (Some(Fact::Settings(set)), Some(Identity::Link(index))) => self.link_same(netns, set.name_after(), index),
            (_, Some(Identity::Link(index))) => {
                record.op.sets_link().map_or(Ok(Ours::Yes), |link| self.link_same(netns, link, index))
            }
            _ => Ok(Ours::Yes),
        }
    }

    /// The same while nothing is undone yet: a later step of the run may have given its link another name, or moved it.
    pub(super) fn ours_in_the_end(&self, number: usize, record: &Record) -> Result<Ours> {
        let ours = self.still_ours(record)?;
        let (Ours::Gone | Ours::Foreign(_), Some((netns, link))) = (&ours, record.op.link_after()) else {
            return Ok(ours);
        };
        let takes_away = |later: &Record| {
            let is_it = later.op.command.netns == *netns && later.op.sets_link() == Some(link);
            is_it && !later.is_undone() && later.ok != Some(false) && later.op.link_after() != Some((netns, link))
        };
        let later = self.records.iter().enumerate().skip(number + 1).find(|(_, later)| takes_away(later));
        later.map_or(Ok(ours), |(number, later)| self.ours_in_the_end(number, later))
    }

    /// Whether a link that was moved is where it went. The kernel gives it another index where its own is taken, so what came there in a command
    /// without an outcome is it when nobody has its name where it was.
    fn moved_ours(&self, one: &Moved, index: u32, record: &Record) -> Result<Ours> {
        let links = |netns: &Where| -> Result<Vec<link::Link>> {
            match self.exec().run(&op::link::show_all(netns)) {
                Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
                Ok(output) if output.ok => link::parse(&output.ran.stdout, "ip address show"),
                Ok(output) => match messages::recognise(&output.ran.stderr) {
                    Some(said) if said.kind == Kind::NotFound => Ok(Vec::new()),
                    _ => Err(super::failure(&op::link::show_all(netns), output.ran)),
                },
            }
        };
        let named = |link: &link::Link| link.ifname == one.link;
        let there = links(&one.to)?;
        // It never went, or is home already: what it lost by that is owed to it all the same.
        if links(&one.from)?.iter().any(named) {
            return Ok(Ours::Yes);
        }
        // It may have got another name there, which is taken back before this.
        if there.iter().any(|link| link.ifindex == index || (record.ok.is_none() && named(link))) {
            return Ok(Ours::Yes);
        }
        Ok(match there.iter().find(|link| named(link)) {
            Some(_) => Ours::Foreign(format!("link `{}` in `{}` is another one by now", one.link, one.to)),
            None => Ours::Gone,
        })
    }

    fn netns_ours(&self, name: &str, identity: Option<Identity>, record: &Record) -> Result<Ours> {
        let netns = Where::Named(name.to_owned());
        let Some(path) = path_of(&netns) else { return Ok(Ours::Gone) };
        let Ok(metadata) = std::fs::metadata(&path) else { return Ok(Ours::Gone) };
        let Some(now) = NetnsStamp::at_mount(&path) else { return Ok(Ours::Gone) };
        let foreign = || Ok(Ours::Foreign(format!("namespace `{name}` was made by somebody else")));
        match identity {
            Some(Identity::Netns(made)) => match made.same(&now) {
                Some(true) => Ok(Ours::Yes),
                Some(false) => foreign(),
                // An older journal knows the number alone, which comes again.
                None => {
                    if self.is_new_or_marked(&netns)? {
                        Ok(Ours::Yes)
                    } else {
                        foreign()
                    }
                }
            },
            Some(_) => foreign(),
            // The run died between the command and its outcome: the namespace must have been made just then, and be as new.
            None => {
                if self.exec.netns(&netns).is_err() {
                    // `ip netns add` was killed between the file and the mount.
                    return if metadata.len() == 0 { Ok(Ours::Yes) } else { foreign() };
                }
                let made_ms = metadata.ctime().unsigned_abs() * 1000 + metadata.ctime_nsec().unsigned_abs() / 1_000_000;
                let in_time =
                    (record.at_ms.saturating_sub(TICK_MS)..=record.at_ms + ACTED_WITHIN_MS).contains(&made_ms);
                if in_time && self.is_new_or_marked(&netns)? { Ok(Ours::Yes) } else { foreign() }
            }
        }
    }

    /// Whether a namespace holds nothing but a `lo` that nobody touched, or one with our mark.
    fn is_new_or_marked(&self, netns: &Where) -> Result<bool> {
        let output = self.exec().run(&op::link::show_all(netns))?;
        let links = link::parse(&output.ran.stdout, "ip address show")?;
        let marked = links.iter().any(|link| link.is_loopback() && link.ifalias == self.mark);
        let new = links.len() <= 1 && links.iter().all(|link| !link.is_up() && link.ifalias.is_none());
        Ok((marked && self.mark.is_some()) || new)
    }

    fn link_ours(&self, netns: &Where, name: &str, index: u32) -> Result<Ours> {
        let Some(link) = self.find_link(netns, name)? else { return Ok(Ours::Gone) };
        let alias_agrees = link.ifalias.is_none() || link.ifalias == self.mark;
        if link.ifindex == index && alias_agrees {
            return Ok(Ours::Yes);
        }
        Ok(Ours::Foreign(format!("link `{name}` in `{netns}` was made by somebody else")))
    }

    /// Whether a link that the run only changed is the one that it changed.
    fn link_same(&self, netns: &Where, name: &str, index: u32) -> Result<Ours> {
        // The index alone is asked for: a link may have hundreds of addresses.
        if let Ok(Ok(Some(now))) = self.exec.within(netns, || crate::probe::link_index(name))
            && now == index
        {
            return Ok(Ours::Yes);
        }
        Ok(match self.find_link(netns, name)? {
            None => Ours::Gone,
            Some(link) if link.ifindex == index => Ours::Yes,
            Some(_) => Ours::Foreign(format!("link `{name}` in `{netns}` was made anew by somebody else")),
        })
    }

    pub(super) fn find_link(&self, netns: &Where, name: &str) -> Result<Option<link::Link>> {
        let command = op::link::show(netns, name);
        let output = match self.exec().run(&command) {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            other => other?,
        };
        if output.ok {
            return Ok(link::parse(&output.ran.stdout, "ip address show")?.into_iter().next());
        }
        match messages::recognise(&output.ran.stderr) {
            Some(said) if said.kind == Kind::NotFound => Ok(None),
            _ => Err(Error::new(Kind::CommandFailed, output.ran.stderr.trim().to_owned())),
        }
    }

    /// Waits until a thing that was made is gone. A link that should be gone with its namespace, which something holds, is deleted by itself.
    fn is_gone(&self, record: &Record) -> bool {
        if self.waits_until_gone(record) {
            return true;
        }
        let (Some(Fact::Link(_)), Undo::Commands(commands)) = (record.op.fact(), &record.op.undo) else {
            return false;
        };
        commands.iter().all(|command| self.run(command, record).is_ok()) && self.waits_until_gone(record)
    }

    fn waits_until_gone(&self, record: &Record) -> bool {
        let deadline = Instant::now() + scaled(VANISH);
        let path = |name: &str| path_of(&Where::Named(name.to_owned()));
        let still = || match (record.op.fact(), record.identity) {
            (Some(Fact::Netns(one)), Some(Identity::Netns(made))) => {
                let now = path(&one.name).as_deref().and_then(NetnsStamp::at_mount);
                now.is_some_and(|now| made.same(&now) != Some(false))
            }
            // What is somebody else's has not come this far.
            (Some(Fact::Netns(one)), None) => path(&one.name).as_deref().and_then(id_at).is_some(),
            (Some(Fact::Link(link)), Some(Identity::Link(index))) => {
                let (netns, name) = (&record.op.command.netns, link.name.as_str());
                // The kernel tells the index of a name without waiting for what it is still taking apart.
                match self.exec.within(netns, || crate::probe::link_index(name)) {
                    Ok(Ok(now)) => now == Some(index),
                    _ => matches!(self.find_link(netns, name), Ok(Some(link)) if link.ifindex == index),
                }
            }
            _ => false,
        };
        while still() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

/// What makes a setting as it was before the first run that changed it. A route that nobody had goes by the words of whoever set it last.
fn undo_of_first(mut first: Vec<Command>, last: &Command) -> Vec<Command> {
    for command in &mut first {
        if let (Some(Fact::Route(route)), Some(Fact::Route(last_route))) = (command.fact(), last.fact())
            && !route.there
        {
            let route = Route { there: false, ..(**last_route).clone() };
            *command = Fact::Route(Box::new(route)).command(&last.netns);
        }
    }
    first
}

/// Whether a record made a namespace or a link, which must be gone after the undo.
fn makes(record: &Record) -> bool {
    record.op.fact().is_some_and(|fact| matches!(fact, Fact::Netns(_) | Fact::Link(_)) && fact.makes() == Some(true))
}

/// Whose a thing is.
pub(super) enum Ours {
    /// The run's.
    Yes,
    /// Nobody's: it is not there any more.
    Gone,
    /// Somebody else's.
    Foreign(String),
}

/// The first line of what a tool complained.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("it failed").trim().to_owned()
}
