//! `bridge`: VLANs of ports, and what a bridge or a VXLAN knows of who is where.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::model::bridge::{FdbEntry, MdbEntry, Tags};

/// A VLAN of a port, or of the bridge itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The port, or the bridge.
    pub dev: String,
    /// The VLAN.
    pub vid: u16,
    /// Whether it is the bridge itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// How the port has it; `None`: it is not in it.
    pub is: Option<Tags>,
}

impl Vlan {
    pub(super) fn words(&self) -> Vec<String> {
        let verb = if self.is.is_some() { "add" } else { "delete" };
        let head = ["vlan", verb, "dev", &self.dev, "vid", &self.vid.to_string()].map(String::from);
        let tags = self.is.into_iter().flat_map(Tags::words).chain(self.own.then_some("self")).map(str::to_owned);
        head.into_iter().chain(tags).collect()
    }

    pub(super) fn holds(&self, all: &[(u16, Tags)]) -> bool {
        self.is == all.iter().find(|(vid, _)| *vid == self.vid).map(|(_, tags)| *tags)
    }

    pub(super) fn otherwise(&self) -> String {
        match self.is {
            Some(_) => format!("`{}` does not have VLAN {} so", self.dev, self.vid),
            None => format!("`{}` is still in VLAN {}", self.dev, self.vid),
        }
    }
}

/// An entry of a forwarding table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fdb {
    /// The entry.
    pub entry: FdbEntry,
    /// Whether it is there.
    pub there: bool,
}

impl Fdb {
    pub(super) fn words(&self) -> Vec<String> {
        let verb = match (self.there, self.entry.is_one_of_many()) {
            (true, true) => "append",
            (true, false) => "replace",
            (false, _) => "delete",
        };
        let head = ["fdb", verb, &self.entry.mac, "dev", &self.entry.dev].map(String::from);
        head.into_iter().chain(self.entry.words()).collect()
    }

    pub(super) fn holds(&self, all: &[FdbEntry]) -> bool {
        self.there == all.iter().any(|one| self.entry.is(one))
    }

    pub(super) fn otherwise(&self) -> String {
        let FdbEntry { mac, dev, .. } = &self.entry;
        if self.there { format!("`{dev}` has no such entry for {mac}") } else { format!("`{dev}` still has {mac}") }
    }
}

/// An entry of a bridge's multicast table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mdb {
    /// The entry.
    pub entry: MdbEntry,
    /// Whether it is there.
    pub there: bool,
}

impl Mdb {
    pub(super) fn words(&self) -> Vec<String> {
        let MdbEntry { bridge, port, group, source, vid, state } = &self.entry;
        let verb = if self.there { "add" } else { "delete" };
        let mut words: Vec<String> = ["mdb", verb, "dev", bridge, "port", port, "grp", group].map(String::from).into();
        words.extend(source.iter().flat_map(|source| ["src".to_owned(), source.clone()]));
        words.extend(self.there.then(|| state.clone()));
        words.extend(vid.iter().flat_map(|vid| ["vid".to_owned(), vid.to_string()]));
        words
    }

    pub(super) fn holds(&self, all: &[MdbEntry]) -> bool {
        let found = all.iter().find(|one| self.entry.same_place(one));
        if self.there { found.is_some_and(|one| one.state == self.entry.state) } else { found.is_none() }
    }

    pub(super) fn otherwise(&self) -> String {
        let MdbEntry { port, group, .. } = &self.entry;
        let still = if self.there { "does not want" } else { "still wants" };
        format!("`{port}` {still} {group}")
    }
}

fn bridge<'a>(netns: &Where, words: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Tool::Bridge, netns, words)
}

/// The VLANs of a port, or of the bridge itself: `bridge -j vlan show dev NAME`.
#[must_use]
pub(crate) fn show_vlans(netns: &Where, dev: &str) -> Command {
    bridge(netns, ["-j", "vlan", "show", "dev", dev])
}

/// The VLANs of all ports: `bridge -j vlan show`.
#[must_use]
pub(crate) fn show_all_vlans(netns: &Where) -> Command {
    bridge(netns, ["-j", "vlan", "show"])
}

/// The entries of all forwarding tables: `bridge -j fdb show`.
#[must_use]
pub(crate) fn show_fdb(netns: &Where) -> Command {
    bridge(netns, ["-j", "fdb", "show"])
}

/// The entries of the multicast tables of all bridges: `bridge -j mdb show`.
#[must_use]
pub(crate) fn show_mdb(netns: &Where) -> Command {
    bridge(netns, ["-j", "mdb", "show"])
}

/// Puts a port, or with `own` the bridge itself, into a VLAN, or out of it. Undone by what was: how it `had` the VLAN, and the one, if it is another,
/// that was its `pvid`.
#[must_use]
pub(crate) fn vlan(at: (&Where, &str), own: bool, vid: u16, is: Option<Tags>, had: &[(u16, Tags)]) -> Op {
    let (netns, dev) = at;
    let with = |vid: u16, is: Option<Tags>| Fact::Vlan(Vlan { dev: dev.to_owned(), vid, own, is }).command(netns);
    let former = had.iter().find(|(id, _)| *id == vid).map(|(_, tags)| *tags);
    let takes_pvid = is.is_some_and(|is| is.pvid);
    let pvid = had.iter().find(|(id, tags)| takes_pvid && *id != vid && tags.pvid);
    let undo = std::iter::once(with(vid, former)).chain(pvid.map(|(vid, tags)| with(*vid, Some(*tags))));
    Op::new(with(vid, is), Undo::Commands(undo.collect()))
}

/// Makes an entry of a forwarding table; undone by `former`, which has its place, or by deleting it.
#[must_use]
pub(crate) fn fdb(netns: &Where, entry: &FdbEntry, former: Option<&FdbEntry>) -> Op {
    let with = |entry: &FdbEntry, there| Fact::Fdb(Fdb { entry: entry.clone(), there }).command(netns);
    let undo = former.map_or_else(|| with(entry, false), |former| with(former, true));
    Op::new(with(entry, true), Undo::by(undo))
}

/// Deletes an entry of a forwarding table; undone by making it again.
#[must_use]
pub(crate) fn fdb_delete(netns: &Where, entry: &FdbEntry) -> Op {
    let with = |there| Fact::Fdb(Fdb { entry: entry.clone(), there }).command(netns);
    Op::new(with(false), Undo::by(with(true)))
}

/// Makes an entry of a multicast table, or deletes it; undone by the other.
#[must_use]
pub(crate) fn mdb(netns: &Where, entry: &MdbEntry, there: bool) -> Op {
    let with = |there| Fact::Mdb(Mdb { entry: entry.clone(), there }).command(netns);
    Op::new(with(there), Undo::by(with(!there)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::check;

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let tags = |pvid, untagged| Tags { pvid, untagged };
        let (access, trunk) = (tags(true, true), tags(false, false));
        check(
            &vlan((&red, "pa"), false, 10, Some(access), &[(1, access)]),
            "bridge -n red vlan add dev pa vid 10 pvid untagged",
            "bridge -n red vlan delete dev pa vid 10; bridge -n red vlan add dev pa vid 1 pvid untagged",
        );
        check(
            &vlan((&red, "br0"), true, 10, Some(trunk), &[(10, tags(false, true)), (1, access)]),
            "bridge -n red vlan add dev br0 vid 10 self",
            "bridge -n red vlan add dev br0 vid 10 untagged self",
        );
        check(
            &vlan((&red, "pa"), false, 1, None, &[(1, access)]),
            "bridge -n red vlan delete dev pa vid 1",
            "bridge -n red vlan add dev pa vid 1 pvid untagged",
        );
        let entry = |dev: &str| FdbEntry {
            mac: "02:00:00:00:00:05".into(),
            dev: dev.into(),
            state: "static".into(),
            ..FdbEntry::default()
        };
        check(
            &fdb(&red, &entry("pa"), None),
            "bridge -n red fdb replace 02:00:00:00:00:05 dev pa master static",
            "bridge -n red fdb delete 02:00:00:00:00:05 dev pa master static",
        );
        check(
            &fdb(&red, &entry("pa"), Some(&entry("pb"))),
            "bridge -n red fdb replace 02:00:00:00:00:05 dev pa master static",
            "bridge -n red fdb replace 02:00:00:00:00:05 dev pb master static",
        );
        let to_all = FdbEntry {
            mac: "00:00:00:00:00:00".into(),
            dev: "vx0".into(),
            own: true,
            state: "permanent".into(),
            dst: Some("10.0.0.2".into()),
            ..FdbEntry::default()
        };
        check(
            &fdb_delete(&red, &to_all),
            "bridge -n red fdb delete 00:00:00:00:00:00 dev vx0 self permanent dst 10.0.0.2",
            "bridge -n red fdb append 00:00:00:00:00:00 dev vx0 self permanent dst 10.0.0.2",
        );
        let wants = MdbEntry {
            bridge: "br0".into(),
            port: "pa".into(),
            group: "239.1.1.1".into(),
            source: Some("10.0.0.1".into()),
            vid: Some(10),
            state: "permanent".into(),
        };
        check(
            &mdb(&red, &wants, true),
            "bridge -n red mdb add dev br0 port pa grp 239.1.1.1 src 10.0.0.1 permanent vid 10",
            "bridge -n red mdb delete dev br0 port pa grp 239.1.1.1 src 10.0.0.1 vid 10",
        );
    }
}
