//! Ports of bridges: their options and VLANs, and what a bridge or a VXLAN is told of who is where.

use std::ops::RangeInclusive;

use super::link::At;
use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::Link;
use crate::model::bridge::{self as model, FdbEntry, MdbEntry, Tags};
use crate::model::link_kinds::{self, PORT};
use crate::op::{self, Answer, Ask, Where};

/// The error of a kernel whose bridges know no VLANs.
pub(super) fn no_vlans(netns: &Where) -> Error {
    Error::new(Kind::Unsupported, "bridges of this kernel cannot filter VLANs")
        .hint("a kernel that was built with CONFIG_BRIDGE_VLAN_FILTERING is needed; `needs(\"vlan_filtering\")` asks for one")
        .netns(netns.name())
}

/// A forwarding entry that is wanted. What is left out is as it is usual for the link.
#[derive(Clone, Debug, Default)]
pub struct FdbSpec {
    /// What is said of it; its table and its state count only where they are said.
    pub entry: FdbEntry,
    /// `self`: the link's own table; `master`: that of its bridge.
    pub own: Option<bool>,
    /// Its state.
    pub state: Option<String>,
}

impl Session {
    /// A link that is a port of a bridge, or with `or_bridge` a bridge itself; whether it is that.
    fn require_port(&self, at: At<'_>, or_bridge: bool) -> Result<(Link, bool)> {
        let (netns, name) = at;
        let link = self.link_require(at)?;
        let itself = or_bridge && link.kind() == Some("bridge");
        if itself || link.slave_kind() == Some("bridge") {
            return Ok((link, itself));
        }
        Err(Error::new(Kind::InvalidArgument, format!("`{name}` in `{netns}` is no port of a bridge"))
            .hint("make it one: `link.master(bridge)`; of a namespace that is plugged in it is the outer end: `eth0.peer`")
            .netns(netns.name()))
    }

    /// Options of a port, in the words of `bridge link set`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a link that is no port, an option that it does not have, or a value that the option does not take.
    pub fn bridge_link(&self, at: At<'_>, options: &[(String, String)]) -> Result<Did> {
        let did = self.port_options(at, options)?;
        Ok(self.count(did))
    }

    pub(super) fn port_options(&self, at: At<'_>, options: &[(String, String)]) -> Result<Did> {
        let pairs: Vec<(&str, &str)> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        link_kinds::change_argv(PORT.name, &pairs)?;
        let (link, _) = self.require_port(at, false)?;
        pairs.iter().try_fold(Did::Nothing, |did, (option, value)| {
            Ok(did.or(self.link_option(at, PORT.name, &link, option, value)?))
        })
    }

    /// The VLANs of a port, or of the bridge itself.
    fn vlans_of(&self, at: At<'_>) -> Result<Vec<(u16, Tags)>> {
        match self.answer(at.0, &Ask::Vlans(at.1.to_owned()))? {
            Answer::Vlans(all) => Ok(all),
            _ => Ok(Vec::new()),
        }
    }

    /// Puts a port, or the bridge itself, into VLANs, or with `None` out of them.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a link that is neither, or for several VLANs that are to be the one of what has no tag; `Unsupported` where bridges
    /// know no VLANs.
    pub fn bridge_vlan(
        &self,
        at: At<'_>,
        ids: RangeInclusive<u16>,
        is: Option<Tags>,
        own: Option<bool>,
    ) -> Result<Did> {
        if is.is_some_and(|is| is.pvid) && ids.start() != ids.end() {
            return Err(Error::new(Kind::InvalidArgument, "what has no tag belongs to one VLAN, not to several")
                .hint("give one of them `pvid: true`, and the others by themselves"));
        }
        let (_, itself) = self.require_port(at, true)?;
        if own == Some(!itself) {
            let (what, way) =
                if itself { ("the bridge itself", "say `self: true`") } else { ("a port", "leave `self` out") };
            return Err(Error::new(Kind::InvalidArgument, format!("`{}` is {what}: {way}", at.1)));
        }
        let mut had = self.vlans_of(at)?;
        let mut did = Did::Nothing;
        for vid in ids {
            did = did.or(self.vlan(at, itself, vid, is, &mut had)?);
        }
        Ok(self.count(did))
    }

    /// One VLAN; `had` are those of the port before and after.
    fn vlan(&self, at: At<'_>, itself: bool, vid: u16, is: Option<Tags>, had: &mut Vec<(u16, Tags)>) -> Result<Did> {
        let op = op::bridge::vlan(at, itself, vid, is, had);
        if had.iter().find(|(id, _)| *id == vid).map(|(_, tags)| *tags) == is {
            self.need(&op)?;
            return Ok(Did::Nothing);
        }
        let acted = match is {
            Some(_) => self.make(op).and_then(|number| self.prove_later(number)),
            None => self.act_and_look(op),
        };
        acted.map_err(|error| if error.kind() == Kind::Unsupported { no_vlans(at.0) } else { error })?;
        had.retain(|(id, _)| *id != vid);
        if let Some(tags) = is {
            for (_, other) in had.iter_mut().filter(|_| tags.pvid) {
                other.pvid = false;
            }
            had.push((vid, tags));
        }
        Ok(Did::Something)
    }

    /// The VLANs of a port, all of them: it is in no other.
    pub(super) fn port_vlans(&self, at: At<'_>, wanted: &[(u16, Tags)]) -> Result<Did> {
        let mut had = self.vlans_of(at)?;
        let others: Vec<u16> =
            had.iter().map(|(vid, _)| *vid).filter(|vid| !wanted.iter().any(|(want, _)| want == vid)).collect();
        let mut did = Did::Nothing;
        for (vid, tags) in wanted {
            did = did.or(self.vlan(at, false, *vid, Some(*tags), &mut had)?);
        }
        for vid in others {
            did = did.or(self.vlan(at, false, vid, None, &mut had)?);
        }
        Ok(did)
    }

    fn fdb_now(&self, netns: &Where) -> Result<Vec<FdbEntry>> {
        match self.answer(netns, &Ask::Fdb)? {
            Answer::Fdb(all) => Ok(all),
            _ => Ok(Vec::new()),
        }
    }

    /// The entry that is wanted, in full.
    fn fdb_entry(&self, at: At<'_>, spec: &FdbSpec) -> Result<FdbEntry> {
        let (netns, dev) = at;
        let link = self.link_require(at)?;
        let is_port = link.slave_kind() == Some("bridge");
        let entry = &spec.entry;
        let of_tunnel = entry.dst.is_some() || entry.vni.is_some() || entry.src_vni.is_some() || entry.nhid.is_some();
        let own = spec.own.unwrap_or(of_tunnel || !is_port);
        if !own && !is_port {
            return Err(Error::new(Kind::InvalidArgument, format!("`{dev}` in `{netns}` is no port of a bridge"))
                .hint("leave `master` out for its own table")
                .netns(netns.name()));
        }
        if let Some(via) = &entry.via {
            self.link_require((netns, via))?;
        }
        let usual = if own { "permanent" } else { "static" };
        Ok(FdbEntry {
            dev: dev.to_owned(),
            own,
            bridge: link.master.filter(|_| !own),
            state: spec.state.clone().unwrap_or_else(|| usual.to_owned()),
            ..entry.clone()
        })
    }

    /// An entry of the forwarding table of a bridge (of a port) or of a VXLAN. What had its place is put back by the undo.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link; what `bridge` says.
    pub fn fdb_ensure(&self, at: At<'_>, spec: &FdbSpec) -> Result<Did> {
        let entry = self.fdb_entry(at, spec)?;
        let now = self.fdb_now(at.0)?;
        let former = now.iter().find(|one| entry.same_place(one));
        // What was heard is heard again.
        let told = former.filter(|one| matches!(one.state.as_str(), "static" | "permanent"));
        let op = op::bridge::fdb(at.0, &entry, told);
        if former.is_some_and(|one| entry.is(one)) {
            self.need(&op)?;
            return Ok(self.count(Did::Nothing));
        }
        self.act_and_look(op)?;
        Ok(self.count(Did::Something))
    }

    /// Deletes the entries of a MAC address that lead to a link, as far as more is said of them.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link; what `bridge` says.
    pub fn fdb_delete(&self, at: At<'_>, spec: &FdbSpec) -> Result<Did> {
        let entry = self.fdb_entry(at, spec)?;
        let is_it = |one: &FdbEntry| {
            one.mac == entry.mac
                && one.dev == entry.dev
                && one.own == entry.own
                && one.vlan == entry.vlan
                && (entry.dst.is_none() || entry.dst == one.dst)
                && (entry.vni.is_none() || entry.vni == one.vni)
        };
        let mut did = Did::Nothing;
        for one in self.fdb_now(at.0)?.iter().filter(|one| is_it(one)) {
            self.act_and_look(op::bridge::fdb_delete(at.0, one))?;
            did = Did::Something;
        }
        Ok(self.count(did))
    }

    /// Says that a port of a bridge, or the bridge itself, wants a multicast group, or with `there` false that it does not. Where the bridge filters
    /// VLANs and none is said, it counts in all of the port.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what is no group or no port of this bridge; what `bridge` says, for instance while the bridge is down.
    pub fn mdb(&self, at: At<'_>, entry: &MdbEntry, there: bool) -> Result<Did> {
        let (netns, bridge) = at;
        model::group(&entry.group)?;
        if let Some(source) = &entry.source {
            crate::model::addr::ip(source)?;
        }
        let link = self.link_require(at)?;
        if link.kind() != Some("bridge") {
            let message = format!("`{bridge}` in `{netns}` is {}, not a bridge", super::link::describe(&link));
            return Err(Error::new(Kind::InvalidArgument, message)
                .hint("br.mdb(\"239.1.1.1\", port)")
                .netns(netns.name()));
        }
        let port = self.link_require((netns, &entry.port))?;
        if entry.port != bridge && port.master.as_deref() != Some(bridge) {
            let message = format!("`{}` in `{netns}` is no port of `{bridge}`", entry.port);
            return Err(Error::new(Kind::InvalidArgument, message).netns(netns.name()));
        }
        let filters = link.linkinfo.info_data.as_ref().is_some_and(|data| data["vlan_filtering"] == 1);
        let vids: Vec<Option<u16>> = if entry.vid.is_none() && filters {
            self.vlans_of((netns, &entry.port))?.into_iter().map(|(vid, _)| Some(vid)).collect()
        } else {
            vec![entry.vid]
        };
        let now = match self.answer(netns, &Ask::Mdb)? {
            Answer::Mdb(all) => all,
            _ => Vec::new(),
        };
        let mut did = Did::Nothing;
        for vid in vids {
            let wanted = MdbEntry { vid, bridge: bridge.to_owned(), state: "permanent".to_owned(), ..entry.clone() };
            let former = now.iter().find(|one| wanted.same_place(one));
            let is_so = if there { former.is_some_and(|one| one.state == wanted.state) } else { former.is_none() };
            if is_so {
                self.need(&op::bridge::mdb(netns, &wanted, there))?;
                continue;
            }
            if let Some(former) = former {
                // One that was heard would be in the way of one that stays.
                self.act_and_look(op::bridge::mdb(netns, former, false))?;
            }
            if there {
                self.act_and_look(op::bridge::mdb(netns, &wanted, true))?;
            }
            did = Did::Something;
        }
        Ok(self.count(did))
    }
}
