//! Putting back what the kernel took with the acts of a run, and with their undoing.
//!
//! Only what our own acts took goes back: what was there before an act and not after it, and is still as the act left it when the undoing begins.
//! What others have changed since is theirs. The undoing has side effects, too: what is there when it begins and is not made by the run must be
//! there when it ends. At the end a look tells whether it all is; what is not is named, and then something is left.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Record;
use super::journal::Owes;
use super::shared::Took;
use super::taken::{self, Reach};
use super::undo::{Ours, Undoing};
use crate::model::state::{Lost, Part, State, Thing};
use crate::op::addr::Addr;
use crate::op::qdisc::Is;
use crate::op::{Command, Fact, Object, Op, Undo, Where};
use crate::patience::scaled;

/// How long what was put back may take to be accepted: an IPv6 route with a source needs its address to be no longer tentative.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried.
const ROUND: Duration = Duration::from_millis(60);

/// A namespace that the undoing must leave as it was.
pub(super) struct Place {
    pub(super) netns: Where,
    reach: Reach,
    /// What is to go back.
    owed: Vec<Lost>,
    /// What was there at the last look.
    last: State,
    /// What others had at the beginning and the undoing took.
    took: Vec<Lost>,
    /// What the run itself made or set here.
    own: Own,
}

/// What a run made or set by its own ops in a namespace.
#[derive(Default)]
struct Own {
    addrs: HashSet<String>,
    routes: HashSet<String>,
    neighbours: HashSet<String>,
    settings: HashSet<String>,
    links: HashSet<String>,
    /// VLANs and entries of tables, by their links.
    ports: HashSet<String>,
    nexthops: HashSet<String>,
    /// Links whose root discipline it set.
    roots: HashSet<String>,
}

impl Own {
    /// What some records made.
    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut own = Self::default();
        records.for_each(|record| own.learn(&record.op.changes()));
        own
    }

    /// Learns from an op; what its inverse takes away is its own, too.
    fn learn_op(&mut self, op: &Op) {
        self.learn(&op.changes());
        match op.fact() {
            Some(Fact::Qdisc(one)) if !matches!(one.is, Is::Below(_)) => drop(self.roots.insert(one.link.clone())),
            _ => {}
        }
        let Undo::Commands(commands) = &op.undo else { return };
        for fact in commands.iter().filter_map(Command::fact) {
            if let Fact::Addr(Addr { link, addr, there: false, .. }) = fact {
                self.addrs.insert(format!("{link} {addr}"));
            }
        }
    }

    fn learn(&mut self, object: &Object) {
        match object {
            Object::LinkSetting { name, setting } => {
                let what = if setting == "up" { "state" } else { setting.as_str() };
                self.links.insert(format!("{name} {what}"));
            }
            Object::Addr { link, addr } => drop(self.addrs.insert(format!("{link} {addr}"))),
            Object::Route { dst } => drop(self.routes.insert(dst.clone())),
            Object::Neigh { addr } => drop(self.neighbours.insert(addr.clone())),
            Object::Nexthop { id } => drop(self.nexthops.insert(id.to_string())),
            Object::Vlan { link, vid } => drop(self.ports.insert(format!("{link} {vid}"))),
            Object::Fdb { link, mac, vlan } => {
                let vlan = vlan.map(|vlan| format!(" vlan {vlan}")).unwrap_or_default();
                self.ports.insert(format!("{link} {mac}{vlan}"));
            }
            Object::Sysctl { name } => {
                let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
                // Two names of one setting.
                let other = match path.as_str() {
                    "net/ipv4/ip_forward" => Some("net/ipv4/conf/all/forwarding"),
                    "net/ipv4/conf/all/forwarding" => Some("net/ipv4/ip_forward"),
                    _ => None,
                };
                self.settings.extend(other.map(str::to_owned));
                self.settings.insert(path);
            }
            _ => {}
        }
    }

    /// Whether a thing is the run's, or follows from an address of its own.
    fn made(&self, thing: &Thing) -> bool {
        let net = |text: &str| text.parse::<ipnet::IpNet>().ok().map(|net| net.trunc());
        let of_own = || {
            let dst = thing.key.split(' ').next().and_then(net);
            let link = thing.link();
            self.addrs
                .iter()
                .filter_map(|own| own.split_once(' '))
                .any(|(dev, addr)| Some(dev) == link && net(addr) == dst)
        };
        self.has(thing) || (thing.is_of_kernel() && of_own())
    }

    fn has(&self, thing: &Thing) -> bool {
        let second = || thing.key.split(' ').nth(1).unwrap_or_default();
        match thing.part {
            Part::Addr => self.addrs.contains(&thing.key),
            Part::Neigh => self.neighbours.contains(second()),
            Part::Sysctl => self.settings.contains(&thing.key),
            Part::Link => self.links.contains(&thing.key),
            Part::Nexthop => self.nexthops.contains(&thing.key),
            // What hangs below a root has more of a key, and is nobody's but its own.
            Part::Qdisc => self.roots.contains(&thing.key),
            Part::Vlan | Part::Fdb => self.ports.contains(&thing.key),
            Part::Route4 | Part::Route6 => thing.key.split(' ').next().is_some_and(|dst| self.routes.contains(dst)),
            _ => false,
        }
    }
}

impl Place {
    /// Looks again: what is gone since the last look, the undoing took.
    fn look_again(&mut self, now: State) {
        let owed: HashSet<_> = self.owed.iter().map(|lost| (lost.was.part, lost.was.key.clone())).collect();
        let lost = self.last.lost(&now).into_iter().filter(|Lost { was, then, .. }| {
            let of_others = match was.part {
                Part::Sysctl => true,
                Part::Addr | Part::Route4 | Part::Route6 | Part::Neigh | Part::Proxy | Part::Nexthop | Part::Fdb => {
                    then.is_none()
                }
                // They follow from what the undoing does, and are the kernel's own affair.
                _ => false,
            };
            of_others && !was.is_of_kernel() && !self.own.has(was) && !owed.contains(&(was.part, was.key.clone()))
        });
        self.took.extend(lost);
        self.last = now;
    }

    /// What a setting took that another run needs stays away with it.
    pub(super) fn forgive(&mut self, record: &Record) {
        let taken: HashSet<_> = record.taken.iter().flatten().map(|lost| (lost.was.part, &lost.was.key)).collect();
        self.owed.retain(|lost| !taken.contains(&(lost.was.part, &lost.was.key)));
    }

    /// What must be so at the end. What a link had that is gone is gone with it, and a route does not go by a link that is down.
    fn targets(&self, now: &State) -> Vec<Thing> {
        let ground = Ground::of(now);
        let index = &ground.index;
        let wanted = self.owed.iter().chain(&self.took).filter(|lost| {
            // The user's inverse has the last word.
            !lost.by_user || {
                let now = index.get(&(lost.was.part, lost.was.key.as_str())).map(|thing| thing.value.clone());
                now == lost.then || now.is_none()
            }
        });
        let wanted: Vec<&Thing> = wanted.map(|lost| &lost.was).collect();
        // What is down comes up first, when that is among it.
        let up = wanted.iter().filter(|thing| thing.part == Part::Link && thing.value == "up");
        let up: HashSet<&str> = up.filter_map(|thing| thing.key.strip_suffix(" state")).collect();
        let bears = |thing: &Thing| {
            let comes_up = || thing.link().is_some_and(|link| up.contains(link) && ground.has_link(link));
            ground.bears(thing) || (thing.part.is_route() && comes_up())
        };
        wanted.into_iter().filter(|thing| bears(thing)).cloned().collect()
    }
}

/// What things stand on: the links of a namespace, and the folders of their settings.
struct Ground<'a> {
    index: HashMap<(Part, &'a str), &'a Thing>,
    folders: HashSet<&'a str>,
}

impl<'a> Ground<'a> {
    fn of(now: &'a State) -> Self {
        let index = now.index();
        let folders = index.keys().filter(|(part, _)| *part == Part::Sysctl).filter_map(|(_, path)| folder(path));
        Self { folders: folders.collect(), index }
    }

    fn state(&self, link: &str) -> Option<&str> {
        self.index.get(&(Part::Link, format!("{link} state").as_str())).map(|one| one.value.as_str())
    }

    fn has_link(&self, link: &str) -> bool {
        self.state(link).is_some()
    }

    /// Whether a thing can be there.
    fn bears(&self, thing: &Thing) -> bool {
        match thing.link().map(|link| self.state(link)) {
            // Without a look at the links nobody knows.
            Some(None) => !self.index.keys().any(|(part, _)| *part == Part::Link),
            Some(Some("down")) if thing.part.is_route() => false,
            None if thing.part == Part::Sysctl => folder(&thing.key).is_none_or(|it| self.folders.contains(it)),
            _ => true,
        }
    }
}

/// Whether a state has a thing as it was.
fn has(state: &State, thing: &Thing) -> bool {
    if thing.part == Part::Order {
        return misplaced(state, thing).is_empty();
    }
    let same = |one: &Thing| one.part == thing.part && one.value == thing.value;
    state.0.iter().any(|one| same(one) && (thing.part.is_route() || one.key == thing.key))
}

/// The IPv4 addresses of a link that must be taken off and added again, in order, so that they stand as they did; others stay behind them.
fn misplaced(state: &State, order: &Thing) -> Vec<Thing> {
    let prefix = format!("{} ", order.key);
    let here: Vec<(&str, &Thing)> = state
        .0
        .iter()
        .filter(|one| one.part == Part::Addr)
        .filter_map(|one| Some((one.key.strip_prefix(&prefix)?, one)))
        .filter(|(address, _)| !address.contains(':'))
        .collect();
    let find = |address: &str| here.iter().find(|(one, _)| *one == address).copied();
    let mut wanted: Vec<(&str, &Thing)> = order.value.split(' ').filter_map(find).collect();
    wanted.extend(here.iter().filter(|(one, _)| !order.value.split(' ').any(|known| known == *one)));
    let first = wanted.iter().zip(&here).position(|(a, b)| a.0 != b.0).unwrap_or(wanted.len());
    wanted.iter().skip(first).map(|(_, thing)| (*thing).clone()).collect()
}

/// Whether a queueing discipline is of a kind that holds what somebody puts into it (tc(8), CLASSFUL QDISCS), which nobody has looked at.
fn has_classes(thing: &Thing) -> bool {
    let kind = thing.value.split(' ').next().unwrap_or_default();
    thing.part == Part::Qdisc && matches!(kind, "htb" | "hfsc" | "drr" | "qfq" | "cbq" | "ets" | "prio" | "dsmark")
}

/// In which of three steps a thing goes back: what the others stand on first.
fn step(thing: &Thing) -> usize {
    match thing.part {
        Part::Addr => 1,
        Part::Neigh | Part::Proxy | Part::Nexthop | Part::Route4 | Part::Route6 => 2,
        _ => 0,
    }
}

impl Undoing<'_> {
    /// The namespaces that were there before the run and that its acts, or their undoing, reach; what is owed to them is written down.
    pub(super) fn places(&mut self) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for record in self.records.iter().skip(self.first) {
            let Some(reach) = record.reach.as_ref().filter(|_| !refused(record)) else { continue };
            let netns = &record.op.command.netns;
            let resumed = self.owes.iter().any(|owes| owes.netns == *netns);
            let same = record
                .netns
                .as_ref()
                .is_none_or(|then| self.exec().netns_stamp(netns).is_ok_and(|now| then.same(&now) != Some(false)));
            if !same || (self.host_gone && *netns == Where::Host) || (record.is_undone() && !resumed) {
                continue;
            }
            match places.iter_mut().find(|place| place.netns == *netns) {
                Some(place) => place.reach.and(reach),
                None => places.push(Place {
                    netns: netns.clone(),
                    reach: reach.clone(),
                    owed: Vec::new(),
                    last: State::default(),
                    took: Vec::new(),
                    own: Own::default(),
                }),
            }
        }
        places.retain_mut(|place| {
            // What a person took back before the last step, in a conversation, is not there to be told from what others have.
            let is_past = |record: &Record| record.undone.get().is_some_and(|records| records < self.records.len());
            for record in
                self.records.iter().filter(|record| record.op.command.netns == place.netns && !is_past(record))
            {
                place.own.learn_op(&record.op);
            }
            if let Some(owes) = self.owes.iter().find(|owes| owes.netns == place.netns) {
                place.owed.clone_from(&owes.lost);
                place.last = owes.state.clone();
                return true;
            }
            match taken::read(self.exec(), &place.netns, &place.reach) {
                Ok(state) => {
                    place.owed = self.owed(place, &state);
                    place.last = state;
                    true
                }
                Err(error) => {
                    let what = format!("what was in `{}` before", place.netns);
                    self.undone.left.push((what, format!("it cannot be looked at: {error}")));
                    false
                }
            }
        });
        let owes = places.iter().map(|place| Owes {
            netns: place.netns.clone(),
            lost: place.owed.clone(),
            state: place.last.clone(),
        });
        let owes: Vec<Owes> = owes.collect();
        if !owes.is_empty()
            && let Some(journal) = self.journal.as_mut()
        {
            let _ = journal.owes(&owes);
        }
        places
    }

    /// What the acts took in a namespace and is still as they left it.
    fn owed(&self, place: &Place, now: &State) -> Vec<Lost> {
        let mut all: Vec<Lost> = Vec::new();
        let mut known: HashMap<(Part, String), usize> = HashMap::new();
        // What the run itself had made by then, and not taken back, is no loss.
        let mut made: Vec<&Record> = Vec::new();
        let index = now.index();
        for (number, record) in self.records.iter().enumerate() {
            // A link that came home within the run is as that move left it: down, without all that it had.
            if let Some(Fact::Moved(moved)) = record.op.fact()
                && moved.to == place.netns
                && !(refused(record) || record.is_undone())
            {
                for lost in all.iter_mut().filter(|lost| hangs_on(&lost.was, &moved.link)) {
                    lost.then = index.get(&(lost.was.part, lost.was.key.as_str())).map(|thing| thing.value.clone());
                }
            }
            if record.op.command.netns != place.netns || refused(record) {
                continue;
            }
            let is_new = match record.op.fact() {
                Some(Fact::Addr(addr)) => addr.there,
                Some(Fact::Route(_) | Fact::Neigh(_) | Fact::Nexthop(_)) => true,
                Some(Fact::Vlan(vlan)) => vlan.is.is_some(),
                Some(Fact::Fdb(fdb)) => fdb.there,
                _ => false,
            };
            if is_new {
                made.push(record);
            }
            let owes = number >= self.first && record.reach.is_some() && !record.is_undone();
            if !owes || matches!(record.op.undo, Undo::None(_)) {
                continue;
            }
            // What a link had that is another's by now is gone with it.
            if matches!(self.ours_in_the_end(number, record), Ok(Ours::Gone | Ours::Foreign(_))) {
                continue;
            }
            let took = match &record.taken {
                Some(took) => took.clone(),
                None if !taken::takes(&record.op) => continue,
                // It died in the act: what was there before the first such act is all that is known.
                None => {
                    let before = self.before.iter().filter(|(netns, _)| *netns == place.netns);
                    let by_user = record.op.is_raw();
                    before.flat_map(|(_, state)| state.lost(now)).map(|lost| Lost { by_user, ..lost }).collect()
                }
            };
            if took.is_empty() {
                continue;
            }
            let own =
                Own::of(made.iter().copied().filter(|one| one.undone.get().is_none_or(|records| records > number)));
            for lost in took.into_iter().filter(|lost| !own.made(&lost.was)) {
                match known.get(&(lost.was.part, lost.was.key.clone())) {
                    Some(at) => {
                        if let Some(earlier) = all.get_mut(*at) {
                            earlier.then = lost.then;
                        }
                    }
                    None => {
                        known.insert((lost.was.part, lost.was.key.clone()), all.len());
                        all.push(lost);
                    }
                }
            }
        }
        all.retain(|lost| {
            let now = index.get(&(lost.was.part, lost.was.key.as_str())).map(|thing| &thing.value);
            // A setting that the run made goes back by its own inverse.
            let own = place.own.has(&lost.was);
            if own { lost.was.part.is_route() || lost.was.part == Part::Addr } else { now == lost.then.as_ref() }
        });
        all
    }

    /// Takes over what the settings of runs that are gone took: it is owed by the last run that needed them.
    pub(super) fn inherit(&self, places: &mut Vec<Place>, netns: &Where, took: Took) {
        let Some(reach) = took.reach else { return };
        if !places.iter().any(|place| place.netns == *netns) {
            let Ok(last) = taken::read(self.exec(), netns, &reach) else { return };
            let (owed, own, netns) = (Vec::new(), Own::default(), netns.clone());
            places.push(Place { netns, reach, owed, last, took: Vec::new(), own });
        }
        for place in places.iter_mut().filter(|place| place.netns == *netns) {
            if let Some(changes) = &took.changes {
                place.own.learn(changes);
            }
            let index = place.last.index();
            let now = |lost: &Lost| index.get(&(lost.was.part, lost.was.key.as_str())).map(|thing| &thing.value);
            let still = |lost: &&Lost| !place.own.has(&lost.was) && now(lost) == lost.then.as_ref();
            let still: Vec<Lost> = took.lost.iter().filter(still).cloned().collect();
            // What the later run took is what the earlier one had left: the first of them knows how it was.
            for owed in &mut place.owed {
                let earlier =
                    took.lost.iter().find(|lost| (lost.was.part, &lost.was.key) == (owed.was.part, &owed.was.key));
                if let Some(earlier) = earlier.filter(|earlier| earlier.then.as_ref() == Some(&owed.was.value)) {
                    owed.was = earlier.was.clone();
                }
            }
            place.owed.extend(still);
        }
    }

    /// Looks at a namespace around a step that is the user's own words: what those do is meant.
    pub(super) fn look_around(&self, places: &mut [Place], netns: &Where, meant: bool) {
        let Some(place) = places.iter_mut().find(|place| place.netns == *netns) else { return };
        if let Ok(now) = taken::read(self.exec(), netns, &place.reach) {
            if meant { place.last = now } else { place.look_again(now) }
        }
    }

    /// Puts back what was taken, and looks whether it is there.
    pub(super) fn put_taken_back(&mut self, places: Vec<Place>) {
        for mut place in places {
            match self.restore(&mut place) {
                Ok(missing) => self.undone.left.extend(missing),
                Err(why) => {
                    let what = format!("what was in `{}` before", place.netns);
                    self.undone.left.push((what, format!("it cannot be looked at: {why}")));
                }
            }
        }
    }

    /// What could not be put back, and why.
    fn restore(&self, place: &mut Place) -> Result<Vec<(String, String)>, String> {
        let read =
            |place: &Place| taken::read(self.exec(), &place.netns, &place.reach).map_err(|error| error.to_string());
        let now = read(place)?;
        place.look_again(now);
        let mut targets = place.targets(&place.last);
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        self.exec().retire_warm();
        let bare: Vec<String> = targets
            .iter()
            .filter(|thing| has_classes(thing) && !has(&place.last, thing))
            .map(Thing::to_string)
            .collect();
        let mut why: HashMap<String, String> = HashMap::new();
        self.put(place, &targets, 0, &mut why)?;
        self.put(place, &targets, 1, &mut why)?;
        let now = read(place)?;
        let orders: Vec<Thing> = targets.iter().filter(|one| one.part == Part::Order).cloned().collect();
        for again in orders.iter().map(|order| misplaced(&now, order)).filter(|again| !again.is_empty()) {
            for thing in again.iter().rev() {
                if let Some(command) = super::things::addr_away(&place.netns, thing) {
                    // Gone with its primary address already.
                    let _ = self.act(&command);
                }
            }
            targets.retain(|one| !again.iter().any(|thing| thing.part == one.part && thing.key == one.key));
            targets.extend(again);
            let lost = now.lost(&read(place)?).into_iter().map(|lost| lost.was);
            let lost: Vec<Thing> = lost
                .filter(|was| was.part != Part::Addr && was.part != Part::Order && !has_key(&targets, was))
                .collect();
            targets.extend(lost);
            self.put(place, &targets, 1, &mut why)?;
        }
        self.put(place, &targets, 2, &mut why)?;
        let now = read(place)?;
        // The kernel takes its time with links of namespaces that are deleted: what stood on one may be gone with it by now.
        let ground = Ground::of(&now);
        let missing = targets.iter().filter(|thing| !has(&now, thing) && ground.bears(thing));
        let missing: Vec<(String, String)> = missing
            .map(|thing| {
                let line = thing.to_string();
                let why =
                    why.get(&line).cloned().unwrap_or_else(|| "the kernel took it, and it is not as it was".into());
                (line, why)
            })
            .collect();
        let bare = bare.into_iter().filter(|line| missing.iter().all(|(other, _)| other != line));
        let bare: Vec<_> =
            bare.map(|line| (line, "it is back without the classes and filters that it may have had".into())).collect();
        Ok(missing.into_iter().chain(bare).collect())
    }

    /// Puts back the things of a step that are not there, round by round: one may need another.
    fn put(
        &self,
        place: &Place,
        targets: &[Thing],
        at: usize,
        why: &mut HashMap<String, String>,
    ) -> Result<(), String> {
        let begun = Instant::now();
        let mut before = usize::MAX;
        loop {
            let now = taken::read(self.exec(), &place.netns, &place.reach).map_err(|error| error.to_string())?;
            let missing: Vec<&Thing> = targets
                .iter()
                .filter(|thing| step(thing) == at && thing.part != Part::Order && !has(&now, thing))
                .collect();
            let waits = missing.iter().any(|thing| thing.part == Part::Route6) && begun.elapsed() < scaled(PATIENCE);
            if missing.is_empty() || (missing.len() >= before && !waits) {
                return Ok(());
            }
            if missing.len() >= before {
                std::thread::sleep(ROUND);
            }
            before = missing.len();
            let index = now.index();
            for thing in missing {
                let over = index.contains_key(&(thing.part, thing.key.as_str()));
                let result = super::things::put_back(&place.netns, thing, over)
                    .map_or_else(|| Err("netwright cannot make it again".to_owned()), |command| self.act(&command));
                match result {
                    Ok(()) => drop(why.remove(&thing.to_string())),
                    Err(error) => drop(why.insert(thing.to_string(), error)),
                }
            }
        }
    }
}

/// Whether an op has surely not acted. A tool of netwright's own ops may fail after it has acted; of the user's words only those are undone that did
/// not fail by themselves.
fn refused(record: &Record) -> bool {
    record.ok == Some(false) && (record.op.is_raw() || record.is_undone())
}

/// Whether a thing goes with a link: its own, a route by it, one of its settings.
fn hangs_on(thing: &Thing, link: &str) -> bool {
    let of_setting = || folder(&thing.key).and_then(|folder| folder.rsplit('/').next());
    if thing.part == Part::Sysctl { of_setting() == Some(link) } else { thing.link() == Some(link) }
}

/// The folder of a setting: that of a link goes with the link.
fn folder(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

fn has_key(things: &[Thing], thing: &Thing) -> bool {
    things.iter().any(|one| one.part == thing.part && one.key == thing.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(things: &[(Part, &str, &str)]) -> State {
        State(things.iter().map(|(part, key, value)| Thing::new(*part, *key, *value)).collect())
    }

    fn place(last: State, owed: Vec<Lost>) -> Place {
        Place { netns: Where::Host, reach: Reach::default(), owed, last, took: Vec::new(), own: Own::default() }
    }

    #[test]
    fn what_the_undoing_takes_of_others_goes_back_and_not_what_the_run_made() {
        let before = state(&[
            (Part::Addr, "a 10.0.0.5/24", "scope global"),
            (Part::Addr, "a 10.0.0.6/24", "scope global"),
            (Part::Route4, "10.0.0.0/24 table main metric 0", "unicast 10.0.0.0/24 dev a proto kernel scope link"),
            (Part::Route4, "10.9.0.0/16 table main metric 0", "unicast 10.9.0.0/16 via 10.0.0.9 dev a"),
            (Part::Link, "br mtu", "1400"),
            (Part::Sysctl, "net/ipv4/ip_forward", "1"),
            (Part::Sysctl, "net/ipv4/conf/b/forwarding", "1"),
        ]);
        let mut place = place(before, Vec::new());
        place.own.learn(&Object::Addr { link: "a".into(), addr: "10.0.0.5/24".into() });
        place.own.learn(&Object::Sysctl { name: "net.ipv4.conf.all.forwarding".into() });
        place.look_again(state(&[
            (Part::Link, "br mtu", "1500"),
            (Part::Sysctl, "net/ipv4/ip_forward", "0"),
            (Part::Sysctl, "net/ipv4/conf/b/forwarding", "0"),
        ]));
        let took: Vec<_> = place.took.iter().map(|lost| lost.was.key.as_str()).collect();
        assert_eq!(took, ["a 10.0.0.6/24", "10.9.0.0/16 table main metric 0", "net/ipv4/conf/b/forwarding"]);
    }

    #[test]
    fn the_users_inverse_has_the_last_word() {
        let lost = |by_user| Lost { was: Thing::new(Part::Link, "a mtu", "1500"), then: Some("1400".into()), by_user };
        let now = |mtu| state(&[(Part::Link, "a state", "up"), (Part::Link, "a mtu", mtu)]);
        let targets = |by_user, mtu| place(State::default(), vec![lost(by_user)]).targets(&now(mtu)).len();
        assert_eq!((targets(true, "1400"), targets(true, "1300"), targets(false, "1300")), (1, 0, 1));
    }

    #[test]
    fn a_route_by_a_link_that_comes_up_again_goes_back_too() {
        let lost =
            |part, key: &str, value: &str| Lost { was: Thing::new(part, key, value), then: None, by_user: false };
        let route = || lost(Part::Route4, "10.9.0.0/16", "unicast 10.9.0.0/16 via 10.0.0.9 dev a");
        let up = Lost { then: Some("down".into()), ..lost(Part::Link, "a state", "up") };
        let targets = |owed, now: &[_]| place(State::default(), owed).targets(&state(now)).len();
        let down = [(Part::Link, "a state", "down")];
        assert_eq!(targets(vec![route()], &down), 0, "somebody set it down");
        assert_eq!(targets(vec![up.clone(), route()], &down), 2);
        assert_eq!(targets(vec![up, route()], &[(Part::Link, "b state", "up")]), 0, "the link is gone");
    }

    #[test]
    fn addresses_stand_as_they_did() {
        let order = Thing::new(Part::Order, "a", "10.0.0.1/24 10.0.0.2/24 10.0.0.3/24");
        let again = |have: &[&str]| {
            let things = have.iter().map(|one| Thing::new(Part::Addr, format!("a {one}"), "")).collect();
            misplaced(&State(things), &order).iter().map(|one| one.key[2..].to_owned()).collect::<Vec<_>>()
        };
        assert!(again(&["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.0.0.9/24"]).is_empty());
        assert!(again(&["10.0.0.1/24", "10.0.0.3/24"]).is_empty(), "one that somebody took away is no disorder");
        assert_eq!(
            again(&["10.0.0.2/24", "10.0.0.9/24", "10.0.0.1/24"]),
            ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.9/24"],
            "those of others stay behind"
        );
    }
}
