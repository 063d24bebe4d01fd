//! Ports of bridges, VLANs, and who is behind which port.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};
use serde_json::Value;

use super::options;
use super::record::row;
use super::value::{Options, each, pairs, to_map, type_of, word};
use super::{Link, Out, act, link::verb, reject};
use crate::error::{Error, Kind, Result};
use crate::model::bridge::{FdbEntry, MdbEntry, Tags, VLAN_MAX, vlan_ids};
use crate::model::json;
use crate::model::{addr, link};
use crate::op::{self, Command};
use crate::session::{FdbSpec, PlugOptions};

const VLANS: std::ops::RangeInclusive<i64> = 1..=VLAN_MAX as i64;

/// The VLANs that a script names: a number, or text such as `"10-20"`.
fn ids(value: &Dynamic) -> Result<std::ops::RangeInclusive<u16>> {
    let text = word(value).ok_or_else(|| {
        Error::new(
            Kind::InvalidArgument,
            format!("a VLAN is a number or a range such as \"10-20\", not {}", type_of(value)),
        )
    })?;
    vlan_ids(&text)
}

/// What `plug` is told: its own options, and those of the port.
pub(super) fn plug_options(map: Map) -> Result<PlugOptions> {
    let is_own = |key: &str| options::of("plug").is_some_and(|known| known.iter().any(|(name, _)| *name == key));
    if let Some(error) = map.keys().find_map(|key| options::unknown("plug", key)) {
        return Err(error);
    }
    let (own, port): (Map, Map) = map.into_iter().partition(|(key, _)| is_own(key));
    let own = Options::new(own, "plug")?;
    Ok(PlugOptions { outer: own.text("outer")?, vlans: port_vlans(&own)?, port: pairs(&port, "plug")? })
}

/// The VLANs of a port that is plugged in, all of them.
fn port_vlans(options: &Options) -> Result<Option<Vec<(u16, Tags)>>> {
    let id = |key: &str| Ok::<_, Error>(options.number(key, VLANS)?.and_then(|id| u16::try_from(id).ok()));
    let tagged = options.flag("tagged")?;
    let invalid = |message: &str| Err(Error::new(Kind::InvalidArgument, message.to_owned()));
    let (access, pvid) = (id("vlan")?, id("pvid")?);
    let mut all = Vec::new();
    match (options.value("vlans"), access) {
        (Some(_), Some(_)) => return invalid("`vlan` is the one VLAN of a port, `vlans` are several: say one of them"),
        (None, Some(_)) if pvid.is_some() => return invalid("`vlan` is the port's `pvid` already: leave `pvid` out"),
        (None, Some(vlan)) => all.push((vlan, Tags::default())),
        (Some(vlans), None) => {
            all.extend(each(vlans, ids)?.into_iter().flatten().map(|vid| (vid, Tags::default())));
        }
        (None, None) if pvid.is_some() || tagged.is_some() => {
            return invalid("`pvid` and `tagged` are about `vlans`: `#{ vlans: [10, 20], pvid: 10 }`");
        }
        (None, None) => return Ok(None),
    }
    all.sort_by_key(|(vid, _)| *vid);
    all.dedup();
    if let Some(own) = access.or(pvid) {
        if !all.iter().any(|(vid, _)| *vid == own) {
            all.push((own, Tags::default()));
        }
        for (_, tags) in all.iter_mut().filter(|(vid, _)| *vid == own) {
            *tags = Tags { pvid: true, untagged: !tagged.unwrap_or(false) };
        }
    } else if tagged == Some(false) {
        return invalid("without a `pvid` all `vlans` are sent with their tag");
    }
    Ok(Some(all))
}

fn fdb_spec(mac: &str, options: Map, of: &'static str) -> Result<FdbSpec> {
    let options = Options::new(options, of)?;
    let number = |key, max: u32| -> Result<Option<u32>> {
        Ok(options.number(key, 0..=max.into())?.and_then(|number| u32::try_from(number).ok()))
    };
    let short = |key, max: u16| Ok::<_, Error>(number(key, max.into())?.and_then(|number| u16::try_from(number).ok()));
    let state = options.text("state")?;
    if let Some(wrong) = state.as_deref().filter(|state| !matches!(*state, "permanent" | "static" | "dynamic")) {
        return Err(Error::new(Kind::InvalidArgument, format!("`{wrong}` is no state of an entry"))
            .hint("\"permanent\", \"static\" or \"dynamic\""));
    }
    let own = match (options.flag("self")?, options.flag("master")?) {
        (Some(own), Some(master)) if own == master => {
            return Err(Error::new(
                Kind::InvalidArgument,
                "an entry is in one table: `self`, the link's own, or `master`, that of its bridge",
            ));
        }
        (Some(own), _) => Some(own),
        (None, master) => master.map(|master| !master),
    };
    let dst = options.text("dst")?;
    if let Some(dst) = &dst {
        addr::ip(dst)?;
    }
    let entry = FdbEntry {
        mac: addr::any_mac(mac)?,
        vlan: short("vlan", VLAN_MAX)?,
        dst,
        port: short("port", u16::MAX)?,
        vni: number("vni", 0xff_ffff)?,
        src_vni: number("src_vni", 0xff_ffff)?,
        via: options.text("via")?,
        nhid: number("nhid", u32::MAX)?,
        sticky: options.flag("sticky")?.unwrap_or(false),
        extern_learn: options.flag("extern_learn")?.unwrap_or(false),
        ..FdbEntry::default()
    };
    Ok(FdbSpec { entry, own, state })
}

fn mdb_entry(group: &str, port: &Link, options: Map, of: &'static str) -> Result<MdbEntry> {
    let options = Options::new(options, of)?;
    Ok(MdbEntry {
        port: port.name.clone(),
        group: group.to_owned(),
        source: options.text("src")?,
        vid: options.number("vid", VLANS)?.and_then(|vid| u16::try_from(vid).ok()),
        ..MdbEntry::default()
    })
}

fn mdb_change(
    context: &NativeCallContext,
    bridge: &Link,
    entry: Result<MdbEntry>,
    port: &Link,
    there: bool,
) -> Out<Link> {
    let entry = reject(context, entry)?;
    verb(context, bridge, |session| {
        if port.netns.at != bridge.netns.at {
            let message =
                format!("`{}` is in `{}`, `{}` in `{}`", port.name, port.netns.at, bridge.name, bridge.netns.at);
            return Err(Error::new(Kind::InvalidArgument, message).hint(
                "a port and its bridge are in one namespace; of what is plugged in it is the outer end: `eth0.peer`",
            ));
        }
        session.mdb(bridge.at(), &entry, there)
    })
}

/// What `bridge` prints of a link that must be there.
fn records(context: &NativeCallContext, link: &Link, command: &Command) -> Out<Vec<Value>> {
    act(context, &link.netns.run, |session| {
        session.link_require(link.at())?;
        json::records(&session.query(command)?, "bridge show")
    })
}

/// The lists that stand in records under a key.
fn listed<'a>(records: impl Iterator<Item = &'a Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    records.filter_map(move |record| record[key].as_array()).flatten()
}

/// What a script sees of them.
fn rows<'a>(all: impl Iterator<Item = &'a Value>, of: &'static str) -> Array {
    all.filter_map(|one| Some(Dynamic::from(row(to_map(one.as_object()?), of)))).collect()
}

#[export_module]
pub mod api {
    /// Sets options of a bridge's port, in the words of `bridge link set`: `isolated`, `hairpin`, `learning`, `flood`, `mcast_flood`, `bcast_flood`,
    /// `neigh_suppress`, `guard`, `root_block`, `fastleave`, `locked`, `cost`, `priority`, …
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.bridge_link(#{ isolated: true, learning: false });
    /// assert(port.info.linkinfo.info_slave_data.isolated);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn bridge_link(context: NativeCallContext, link: &mut Link, options: Map) -> Out<Link> {
        if let Some(error) = options.keys().find_map(|key| options::unknown("bridge_link", key)) {
            return reject(&context, Err(error));
        }
        let options = reject(&context, pairs(&options, "bridge_link"))?;
        verb(&context, link, |session| session.bridge_link(link.at(), &options))
    }

    /// Puts a port, or the bridge itself, into a VLAN, or a range of them (`"10-20"`): what it sends in it has its tag.
    ///
    /// ```rhai
    /// needs("vlan_filtering");
    /// let br0 = host().bridge("br0", #{ vlan_filtering: true }).up();
    /// let trunk = netns("ns-blue").plug("eth0", br0).peer;
    /// trunk.bridge_vlan("10-20").bridge_vlan_delete(1);
    /// assert_eq(trunk.vlans.len(), 11);
    /// ```
    #[rhai_fn(name = "bridge_vlan", return_raw, pure)]
    pub fn bridge_vlan(context: NativeCallContext, link: &mut Link, vlan: Dynamic) -> Out<Link> {
        bridge_vlan_with(context, link, vlan, Map::new())
    }

    /// The same with `pvid` (what comes in without a tag belongs to it) and `untagged` (it is sent without a tag); `self: true` may be said of the
    /// bridge itself, which is in a VLAN to take part in it.
    ///
    /// ```rhai
    /// needs("vlan_filtering");
    /// let br0 = host().bridge("br0", #{ vlan_filtering: true }).up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.bridge_vlan(10, #{ pvid: true, untagged: true });
    /// br0.bridge_vlan(10, #{ self: true });
    /// assert_eq(port.vlans.filter(|one| one.vlan == 10)[0].flags, ["PVID", "Egress Untagged"]);
    /// ```
    #[rhai_fn(name = "bridge_vlan", return_raw, pure)]
    pub fn bridge_vlan_with(context: NativeCallContext, link: &mut Link, vlan: Dynamic, options: Map) -> Out<Link> {
        let ids = reject(&context, ids(&vlan))?;
        let options = reject(&context, Options::new(options, "bridge_vlan"))?;
        let flag = |key| reject(&context, options.flag(key));
        let tags = Tags { pvid: flag("pvid")?.unwrap_or(false), untagged: flag("untagged")?.unwrap_or(false) };
        let own = flag("self")?;
        verb(&context, link, |session| session.bridge_vlan(link.at(), ids, Some(tags), own))
    }

    /// Takes a port, or the bridge itself, out of a VLAN, or a range of them, if it is in it.
    ///
    /// ```rhai
    /// needs("vlan_filtering");
    /// let br0 = host().bridge("br0", #{ vlan_filtering: true }).up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.bridge_vlan_delete(1);
    /// assert_eq(port.vlans, []);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn bridge_vlan_delete(context: NativeCallContext, link: &mut Link, vlan: Dynamic) -> Out<Link> {
        let ids = reject(&context, ids(&vlan))?;
        verb(&context, link, |session| session.bridge_vlan(link.at(), ids, None, None))
    }

    /// The VLANs of a port, or of the bridge itself, an array of maps with the keys of `bridge -j vlan show`: `vlan`, `flags`.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// print(netns("ns-blue").plug("eth0", br0).peer.vlans);
    /// ```
    #[rhai_fn(get = "vlans", return_raw, pure)]
    pub fn vlans(context: NativeCallContext, link: &mut Link) -> Out<Array> {
        let (netns, name) = link.at();
        let records = records(&context, link, &op::bridge::show_vlans(netns, name))?;
        Ok(rows(listed(records.iter().filter(|port| port["ifname"] == name), "vlans"), "vlans"))
    }

    /// Says behind which port of a bridge a MAC address is: an entry of its forwarding table that stays.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.fdb("02:00:00:00:00:05");
    /// assert_eq(port.fdb.filter(|one| one.mac == "02:00:00:00:00:05")[0].state, "static");
    /// ```
    #[rhai_fn(name = "fdb", return_raw, pure)]
    pub fn fdb(context: NativeCallContext, link: &mut Link, mac: &str) -> Out<Link> {
        fdb_with(context, link, mac, Map::new())
    }

    /// The same with the words of `bridge fdb`: `vlan`, `state` (`"static"`, `"permanent"`, `"dynamic"`), `sticky`; of a VXLAN the other end `dst`,
    /// its `port`, `vni`, `via`, `src_vni`, `nhid`. The MAC address `00:00:00:00:00:00` of a VXLAN is for all: it may have many ends. `self` is the
    /// link's own table, `master` that of its bridge.
    ///
    /// ```rhai
    /// needs("vxlan");
    /// let blue = netns("ns-blue");
    /// let vx0 = blue.vxlan("vx0", #{ id: 42, dstport: 4789 });
    /// vx0.fdb("00:00:00:00:00:00", #{ dst: "10.0.0.2" }).fdb("00:00:00:00:00:00", #{ dst: "10.0.0.3" });
    /// vx0.fdb("02:00:00:00:00:05", #{ dst: "10.0.0.2" });
    /// assert_eq(vx0.fdb.len(), 3);
    /// ```
    #[rhai_fn(name = "fdb", return_raw, pure)]
    pub fn fdb_with(context: NativeCallContext, link: &mut Link, mac: &str, options: Map) -> Out<Link> {
        let spec = reject(&context, fdb_spec(mac, options, "fdb"))?;
        verb(&context, link, |session| session.fdb_ensure(link.at(), &spec))
    }

    /// Deletes the entries of a MAC address that lead to the link, if there are any.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.fdb("02:00:00:00:00:05").fdb_delete("02:00:00:00:00:05");
    /// assert(!port.fdb.some(|one| one.mac == "02:00:00:00:00:05"));
    /// ```
    #[rhai_fn(name = "fdb_delete", return_raw, pure)]
    pub fn fdb_delete(context: NativeCallContext, link: &mut Link, mac: &str) -> Out<Link> {
        fdb_delete_with(context, link, mac, Map::new())
    }

    /// The same with the options of `fdb`: only the entry to this `dst`, in this `vlan`, …
    ///
    /// ```rhai
    /// needs("vxlan");
    /// let vx0 = netns("ns-blue").vxlan("vx0", #{ id: 42, dstport: 4789 });
    /// vx0.fdb("00:00:00:00:00:00", #{ dst: "10.0.0.2" }).fdb("00:00:00:00:00:00", #{ dst: "10.0.0.3" });
    /// vx0.fdb_delete("00:00:00:00:00:00", #{ dst: "10.0.0.2" });
    /// assert_eq(vx0.fdb[0].dst, "10.0.0.3");
    /// ```
    #[rhai_fn(name = "fdb_delete", return_raw, pure)]
    pub fn fdb_delete_with(context: NativeCallContext, link: &mut Link, mac: &str, options: Map) -> Out<Link> {
        let spec = reject(&context, fdb_spec(mac, options, "fdb_delete"))?;
        verb(&context, link, |session| session.fdb_delete(link.at(), &spec))
    }

    /// The entries of the forwarding table that lead to the link, or of a bridge all, an array of maps with the keys of `bridge -j fdb show`.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// port.fdb("02:00:00:00:00:05");
    /// assert(br0.fdb.some(|one| one.mac == "02:00:00:00:00:05" && one.ifname == port.name));
    /// ```
    #[rhai_fn(get = "fdb", return_raw, pure)]
    pub fn fdb_entries(context: NativeCallContext, link: &mut Link) -> Out<Array> {
        let records = records(&context, link, &op::bridge::show_fdb(&link.netns.at))?;
        let name = link.name.as_str();
        Ok(rows(records.iter().filter(|one| one["ifname"] == name || one["master"] == name), "fdb"))
    }

    /// Says that a port of the bridge wants a multicast group, of either family or by its MAC address, whether or not it is heard to.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// br0.mdb("239.1.1.1", port).mdb("ff05::1", port);
    /// assert(br0.mdb.some(|one| one.grp == "239.1.1.1" && one.port == port.name));
    /// ```
    #[rhai_fn(name = "mdb", return_raw, pure)]
    pub fn mdb(context: NativeCallContext, link: &mut Link, group: &str, port: Link) -> Out<Link> {
        mdb_with(context, link, group, port, Map::new())
    }

    /// The same in one VLAN (`vid`) or only for what comes from one address (`src`).
    ///
    /// ```rhai
    /// needs("vlan_filtering");
    /// let br0 = host().bridge("br0", #{ vlan_filtering: true }).up();
    /// let port = netns("ns-blue").plug("eth0", br0, #{ vlan: 10 }).peer;
    /// br0.mdb("239.1.1.1", port, #{ vid: 10 });
    /// ```
    #[rhai_fn(name = "mdb", return_raw, pure)]
    pub fn mdb_with(context: NativeCallContext, link: &mut Link, group: &str, port: Link, options: Map) -> Out<Link> {
        mdb_change(&context, link, mdb_entry(group, &port, options, "mdb"), &port, true)
    }

    /// Says that a port of the bridge does not want a multicast group any more.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let port = netns("ns-blue").plug("eth0", br0).peer;
    /// br0.mdb("239.1.1.1", port).mdb_delete("239.1.1.1", port);
    /// assert(!br0.mdb.some(|one| one.grp == "239.1.1.1"));
    /// ```
    #[rhai_fn(name = "mdb_delete", return_raw, pure)]
    pub fn mdb_delete(context: NativeCallContext, link: &mut Link, group: &str, port: Link) -> Out<Link> {
        mdb_delete_with(context, link, group, port, Map::new())
    }

    /// The same in one VLAN (`vid`) or only for what comes from one address (`src`).
    ///
    /// ```rhai
    /// needs("vlan_filtering");
    /// let br0 = host().bridge("br0", #{ vlan_filtering: true }).up();
    /// let port = netns("ns-blue").plug("eth0", br0, #{ vlan: 10 }).peer;
    /// br0.mdb("239.1.1.1", port).mdb_delete("239.1.1.1", port, #{ vid: 10 });
    /// ```
    #[rhai_fn(name = "mdb_delete", return_raw, pure)]
    pub fn mdb_delete_with(
        context: NativeCallContext,
        link: &mut Link,
        group: &str,
        port: Link,
        options: Map,
    ) -> Out<Link> {
        mdb_change(&context, link, mdb_entry(group, &port, options, "mdb_delete"), &port, false)
    }

    /// The multicast groups that the bridge's ports, or that this port wants, an array of maps with the keys of `bridge -j mdb show`.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// br0.mdb("239.1.1.1", netns("ns-blue").plug("eth0", br0).peer);
    /// assert_eq(br0.mdb.filter(|one| one.grp == "239.1.1.1")[0].state, "permanent");
    /// ```
    #[rhai_fn(get = "mdb", return_raw, pure)]
    pub fn mdb_entries(context: NativeCallContext, link: &mut Link) -> Out<Array> {
        let records = records(&context, link, &op::bridge::show_mdb(&link.netns.at))?;
        let name = link.name.as_str();
        Ok(rows(listed(records.iter(), "mdb").filter(|one| one["dev"] == name || one["port"] == name), "mdb"))
    }

    /// The ports of a bridge, bond or VRF, an array of links.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// netns("ns-blue").plug("eth0", br0);
    /// assert_eq(br0.ports.map(|port| port.name), ["ns-blue-eth0"]);
    /// ```
    #[rhai_fn(get = "ports", return_raw, pure)]
    pub fn ports(context: NativeCallContext, link: &mut Link) -> Out<Array> {
        let links: Vec<link::Link> = act(&context, &link.netns.run, |session| {
            session.link_require(link.at())?;
            session.links(&link.netns.at)
        })?;
        let ports = links.iter().filter(|one| one.master.as_deref() == Some(link.name.as_str()));
        Ok(ports.map(|port| Dynamic::from(link.netns.link(&port.ifname))).collect())
    }
}
