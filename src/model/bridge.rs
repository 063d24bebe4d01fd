//! `bridge -j vlan show`, `bridge -j fdb show`, `bridge -j mdb show`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json;
use crate::{Error, Kind, Result};

/// The largest id of a VLAN (802.1Q; 4095 is reserved).
pub const VLAN_MAX: u16 = 4094;

/// How a port has a VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// What comes in without a tag belongs to it; one VLAN of a port at most.
    pub pvid: bool,
    /// It is sent without a tag.
    pub untagged: bool,
}

impl Tags {
    /// The words of `bridge vlan add`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        self.pvid.then_some("pvid").into_iter().chain(self.untagged.then_some("untagged"))
    }
}

/// The VLANs of a port, or of the bridge itself, each by itself, as `bridge -j vlan show` prints them.
///
/// ```json
/// [{"ifname":"pa","vlans":[{"vlan":10,"flags":["PVID","Egress Untagged"]},{"vlan":20,"vlanEnd":29}]}]
/// ```
///
/// # Errors
///
/// [`Kind::ToolOutput`] for what is no such list.
pub fn vlans(text: &str, dev: &str) -> Result<Vec<(u16, Tags)>> {
    let mut all = Vec::new();
    for port in json::records(text, "bridge vlan show")? {
        if port["ifname"] != dev {
            continue;
        }
        for vlan in port["vlans"].as_array().into_iter().flatten() {
            let id = |key: &str| vlan[key].as_u64().and_then(|id| u16::try_from(id).ok());
            let Some(first) = id("vlan") else {
                return Err(Error::new(Kind::ToolOutput, "`bridge vlan show` printed a VLAN without an id"));
            };
            let has = |flag: &str| vlan["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == flag));
            let tags = Tags { pvid: has("PVID"), untagged: has("Egress Untagged") };
            all.extend((first..=id("vlanEnd").unwrap_or(first)).map(|id| (id, tags)));
        }
    }
    Ok(all)
}

/// An entry of the forwarding table of a bridge or of a VXLAN: behind what a MAC address is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FdbEntry {
    /// The MAC address.
    pub mac: String,
    /// The port of a bridge, or the VXLAN.
    pub dev: String,
    /// Whether it is the link's own table (`self`, that of a VXLAN), and not that of its bridge (`master`).
    pub own: bool,
    /// The bridge whose table it is otherwise.
    pub bridge: Option<String>,
    /// `permanent`, `static` or `dynamic`.
    pub state: String,
    /// The VLAN that it counts in.
    pub vlan: Option<u16>,
    /// The other end of the tunnel.
    pub dst: Option<String>,
    /// The UDP port there.
    pub port: Option<u16>,
    /// The id of the VXLAN there.
    pub vni: Option<u32>,
    /// The id that it counts for on this side.
    pub src_vni: Option<u32>,
    /// The link by which the tunnel leaves.
    pub via: Option<String>,
    /// The next hop object that leads there.
    pub nhid: Option<u32>,
    /// It does not move to another port when its address is heard there.
    pub sticky: bool,
    /// A program outside of the kernel has learned it.
    pub extern_learn: bool,
}

impl FdbEntry {
    /// The words behind the MAC address and the link.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![if self.own { "self" } else { "master" }.to_owned(), self.state.clone()];
        let mut option = |word: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [word.to_owned(), value]));
        };
        option("dst", self.dst.clone());
        option("port", self.port.map(|port| port.to_string()));
        option("vni", self.vni.map(|vni| vni.to_string()));
        option("src_vni", self.src_vni.map(|vni| vni.to_string()));
        option("via", self.via.clone());
        option("nhid", self.nhid.map(|id| id.to_string()));
        option("vlan", self.vlan.map(|vlan| vlan.to_string()));
        let flags = [(self.sticky, "sticky"), (self.extern_learn, "extern_learn")];
        words.extend(flags.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned()));
        words
    }

    /// Whether one MAC address may have many of them: a VXLAN sends what is for all to each.
    #[must_use]
    pub fn is_one_of_many(&self) -> bool {
        let first = self.mac.split(':').next().and_then(|byte| u8::from_str_radix(byte, 16).ok()).unwrap_or_default();
        self.own && (first & 1 == 1 || self.mac.bytes().all(|byte| matches!(byte, b'0' | b':')))
    }

    /// Whether another one has its place: there is one for each address and VLAN of a table, whatever it leads to.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        let same_end = || self.dst == other.dst && self.nhid == other.nhid && same_or_unsaid(self, other);
        self.mac == other.mac
            && self.own == other.own
            && self.bridge == other.bridge
            && self.vlan == other.vlan
            && self.src_vni == other.src_vni
            && (!self.own || self.dev == other.dev)
            && (!self.is_one_of_many() || same_end())
    }

    /// Whether an entry that is there is as this one wants it.
    #[must_use]
    pub fn is(&self, there: &Self) -> bool {
        self.same_place(there)
            && self.dev == there.dev
            && self.state == there.state
            && self.dst == there.dst
            && self.nhid == there.nhid
            && self.sticky == there.sticky
            && self.extern_learn == there.extern_learn
            && same_or_unsaid(self, there)
    }
}

/// Ports, ids and links of a tunnel that are the link's own are not shown.
fn same_or_unsaid(wanted: &FdbEntry, there: &FdbEntry) -> bool {
    fn same<T: PartialEq>(want: Option<&T>, have: Option<&T>) -> bool {
        have.is_none() || want == have
    }
    same(wanted.port.as_ref(), there.port.as_ref())
        && same(wanted.vni.as_ref(), there.vni.as_ref())
        && same(wanted.via.as_ref(), there.via.as_ref())
}

/// The entries that `bridge -j fdb show` printed.
///
/// ```json
/// [{"mac":"02:00:00:00:00:05","ifname":"pa","vlan":10,"flags":[],"master":"br0","state":"static"},
///  {"mac":"00:00:00:00:00:00","ifname":"vx0","dst":"10.0.0.2","flags":["self"],"state":"permanent"}]
/// ```
///
/// # Errors
///
/// [`Kind::ToolOutput`] for what is no such list.
pub fn fdb(text: &str) -> Result<Vec<FdbEntry>> {
    let entry = |one: &Value| {
        let word = |key: &str| one[key].as_str().map(str::to_owned);
        let number = |key: &str| one[key].as_u64().and_then(|number| u32::try_from(number).ok());
        let short = |key: &str| number(key).and_then(|number| u16::try_from(number).ok());
        let has = |flag: &str| one["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == flag));
        Some(FdbEntry {
            mac: word("mac")?,
            dev: word("ifname")?,
            own: has("self"),
            bridge: word("master").filter(|_| !has("self")),
            state: word("state").filter(|state| !state.is_empty()).unwrap_or_else(|| "dynamic".to_owned()),
            vlan: short("vlan"),
            dst: word("dst"),
            port: short("port"),
            vni: number("vni"),
            src_vni: number("src_vni"),
            via: word("viaIf"),
            nhid: number("nhid"),
            sticky: has("sticky"),
            extern_learn: has("extern_learn"),
        })
    };
    Ok(json::records(text, "bridge fdb show")?.iter().filter_map(entry).collect())
}

/// An entry of the multicast table of a bridge: who wants a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MdbEntry {
    /// The bridge.
    pub bridge: String,
    /// The port that the group is sent to.
    pub port: String,
    /// The group: an address of either family, or a MAC address.
    pub group: String,
    /// Only what comes from this address.
    pub source: Option<String>,
    /// The VLAN that it counts in.
    pub vid: Option<u16>,
    /// `permanent`, or `temp` for one that was heard.
    pub state: String,
}

impl MdbEntry {
    /// Whether another one has its place.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        let same = |a: &str, b: &str| match (a.parse::<std::net::IpAddr>(), b.parse::<std::net::IpAddr>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => a.eq_ignore_ascii_case(b),
        };
        let source = match (&self.source, &other.source) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a == b,
        };
        self.bridge == other.bridge
            && self.port == other.port
            && self.vid == other.vid
            && source
            && same(&self.group, &other.group)
    }
}

/// The entries that `bridge -j mdb show` printed.
///
/// ```json
/// [{"mdb":[{"index":3,"dev":"br0","port":"pa","grp":"239.1.1.1","state":"permanent","protocol":"static","flags":[],"vid":10}],"router":{}}]
/// ```
///
/// # Errors
///
/// [`Kind::ToolOutput`] for what is no such list.
pub fn mdb(text: &str) -> Result<Vec<MdbEntry>> {
    let entry = |one: &Value| {
        let word = |key: &str| one[key].as_str().map(str::to_owned);
        Some(MdbEntry {
            bridge: word("dev")?,
            port: word("port")?,
            group: word("grp")?,
            source: word("src"),
            vid: one["vid"].as_u64().and_then(|vid| u16::try_from(vid).ok()),
            state: word("state")?,
        })
    };
    let records = json::records(text, "bridge mdb show")?;
    let all = records.iter().filter_map(|record| record["mdb"].as_array()).flatten();
    Ok(all.filter_map(entry).collect())
}

/// The VLANs that a text names: `10`, `10-20`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for what is no VLAN.
pub fn vlan_ids(text: &str) -> Result<std::ops::RangeInclusive<u16>> {
    let id = |text: &str| text.trim().parse::<u16>().ok().filter(|id| (1..=VLAN_MAX).contains(id));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (id(first), id(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Error::new(Kind::InvalidArgument, format!("`{}` is no VLAN", json::snippet(text)))
            .hint(format!("a VLAN is a number from 1 to {VLAN_MAX}, or a range such as \"10-20\""))),
    }
}

/// A group that can be wanted: an address for many of either family, or such a MAC address.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for an address of one.
pub fn group(text: &str) -> Result<String> {
    let is_mac = text.split(':').count() == 6 && text.parse::<std::net::IpAddr>().is_err();
    let many = if is_mac {
        let mac = super::addr::any_mac(text)?;
        u8::from_str_radix(mac.get(..2).unwrap_or_default(), 16).is_ok_and(|first| first & 1 == 1)
    } else {
        super::addr::ip(text)?.is_multicast()
    };
    if many {
        return Ok(text.to_owned());
    }
    Err(Error::new(Kind::InvalidArgument, format!("`{text}` is no multicast group"))
        .hint("\"239.1.1.1\", \"ff05::1\" or \"01:00:5e:01:01:01\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_told_one_by_one() {
        let text = r#"[{"ifname":"pa","vlans":[{"vlan":1,"flags":["PVID","Egress Untagged"]},{"vlan":20,"vlanEnd":21},{"vlan":30,"flags":["Egress Untagged"]}]},
            {"ifname":"pb","vlans":[{"vlan":7}]}]"#;
        let tags = |pvid, untagged| Tags { pvid, untagged };
        let expected =
            [(1, tags(true, true)), (20, tags(false, false)), (21, tags(false, false)), (30, tags(false, true))];
        assert_eq!(vlans(text, "pa").unwrap(), expected);
        assert_eq!(vlans(text, "pc").unwrap(), []);
        assert!(vlans(r#"[{"ifname":"pa","vlans":[{}]}]"#, "pa").is_err() && vlans("no", "pa").is_err());
        assert_eq!(tags(true, true).words().collect::<Vec<_>>(), ["pvid", "untagged"]);
    }

    /// What `bridge -j fdb show` of iproute2 6.1 printed, and the words that make it so.
    #[test]
    fn entries_are_read_as_they_are_written() {
        let text = r#"[{"mac":"02:00:00:00:00:05","ifname":"pa","vlan":10,"flags":["sticky"],"master":"br0","state":"static"},
            {"mac":"00:00:00:00:00:00","ifname":"vx0","dst":"10.0.0.2","port":4790,"vni":7,"viaIf":"eth0","flags":["self"],"state":"permanent"},
            {"mac":"02:00:00:00:00:06","ifname":"pb","flags":[],"master":"br0","state":""},{}]"#;
        let all = fdb(text).unwrap();
        let said: Vec<String> =
            all.iter().map(|one| format!("{} {} {}", one.mac, one.dev, one.words().join(" "))).collect();
        assert_eq!(
            said,
            [
                "02:00:00:00:00:05 pa master static vlan 10 sticky",
                "00:00:00:00:00:00 vx0 self permanent dst 10.0.0.2 port 4790 vni 7 via eth0",
                "02:00:00:00:00:06 pb master dynamic",
            ]
        );
        assert!(all[1].is_one_of_many() && !all[0].is_one_of_many());
    }

    #[test]
    fn an_entry_has_the_place_of_another_port_but_not_of_another_end_for_all() {
        let port = |dev: &str| FdbEntry {
            mac: "02:00:00:00:00:05".into(),
            dev: dev.into(),
            state: "static".into(),
            ..FdbEntry::default()
        };
        assert!(port("pa").same_place(&port("pb")) && !port("pa").is(&port("pb")) && port("pa").is(&port("pa")));
        assert!(!port("pa").is(&FdbEntry { state: "permanent".into(), ..port("pa") }));
        assert!(!port("pa").same_place(&FdbEntry { vlan: Some(10), ..port("pa") }));
        let end = |mac: &str, dst: &str| FdbEntry {
            mac: mac.into(),
            dev: "vx0".into(),
            own: true,
            dst: Some(dst.into()),
            ..FdbEntry::default()
        };
        assert!(!end("00:00:00:00:00:00", "10.0.0.2").same_place(&end("00:00:00:00:00:00", "10.0.0.3")));
        assert!(end("02:00:00:00:00:05", "10.0.0.2").same_place(&end("02:00:00:00:00:05", "10.0.0.3")));
        let other = FdbEntry { vni: Some(8), ..end("00:00:00:00:00:00", "10.0.0.2") };
        assert!(!end("00:00:00:00:00:00", "10.0.0.2").is(&other) && other.is(&end("00:00:00:00:00:00", "10.0.0.2")));
    }

    #[test]
    fn groups_and_vlans_that_can_be() {
        let text = r#"[{"mdb":[{"index":3,"dev":"br0","port":"pa","grp":"ff05::0:1","state":"permanent","flags":[],"vid":10}],"router":{}}]"#;
        let one = mdb(text).unwrap().remove(0);
        assert!(one.same_place(&MdbEntry { group: "ff05::1".into(), ..one.clone() }));
        assert!(
            !one.same_place(&MdbEntry { vid: None, ..one.clone() })
                && !one.same_place(&MdbEntry { group: "ff05::2".into(), ..one.clone() })
        );
        for (text, is) in [
            ("239.1.1.1", true),
            ("ff05::1", true),
            ("01:00:5e:01:01:01", true),
            ("10.0.0.1", false),
            ("02:00:00:00:00:01", false),
            ("x", false),
        ] {
            assert_eq!(group(text).is_ok(), is, "{text}");
        }
        assert_eq!(vlan_ids("10").unwrap(), 10..=10);
        assert_eq!(vlan_ids("10-20").unwrap(), 10..=20);
        for wrong in ["0", "4095", "20-10", "x", "", "-", "10-"] {
            assert!(vlan_ids(wrong).is_err(), "{wrong}");
        }
    }
}
