//! `ip -j -d link show`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw};
use crate::Result;

/// A link, as `ip -j -d -s link show` prints it.
///
/// ```json
/// {"ifindex":5,"link_index":2,"ifname":"r0","flags":["NO-CARRIER","BROADCAST","MULTICAST","UP"],"mtu":1500,"master":"br0",
///  "operstate":"LOWERLAYERDOWN","address":"46:f1:b1:29:f3:16","link_netnsid":7,"linkinfo":{"info_kind":"veth",
///  "info_slave_kind":"bridge","info_slave_data":{"state":"disabled"}},"ifalias":"…","altnames":["…"],"stats64":{"rx":{…},"tx":{…}}}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Link {
    /// The name.
    pub ifname: String,
    /// The index, unique in its namespace.
    pub ifindex: u32,
    /// The link below (macvlan, vlan) or the peer (veth), by name, when it is in the same namespace.
    pub link: Option<String>,
    /// The same by index, when it is in another namespace.
    pub link_index: Option<u32>,
    /// The namespace of `link_index`, by the id that this namespace has for it.
    pub link_netnsid: Option<i32>,
    /// `UP`, `LOWER_UP`, `NO-CARRIER`, `LOOPBACK`, …
    pub flags: Vec<String>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<String>,
    /// `UP`, `DOWN`, `UNKNOWN`, `LOWERLAYERDOWN`, …
    pub operstate: Option<String>,
    /// `ether`, `loopback`, `none`, `gre`, …
    pub link_type: Option<String>,
    /// The MAC address, or what the link type has in its place.
    pub address: Option<String>,
    /// Length of the transmit queue.
    pub txqlen: Option<u32>,
    /// Other names.
    pub altnames: Vec<String>,
    /// The alias: free text, where netwright's mark is.
    pub ifalias: Option<String>,
    /// What kind of link it is; absent for physical links and `lo`.
    pub linkinfo: LinkInfo,
    /// Counters, as `{"rx":{"bytes":0,…},"tx":{…}}`; only with `-s`.
    pub stats64: Option<Value>,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(Link);

/// `linkinfo` of a [`Link`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LinkInfo {
    /// `veth`, `bridge`, `vxlan`, …
    pub info_kind: Option<String>,
    /// Its options.
    pub info_data: Option<Value>,
    /// The kind of its master.
    pub info_slave_kind: Option<String>,
    /// Its options as a port of its master.
    pub info_slave_data: Option<Value>,
}

/// Where the other end of a veth is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// In the same namespace: `"link":"veth1"`.
    Here(String),
    /// In another: `"link_index":2,"link_netnsid":7`.
    Elsewhere {
        /// Its index there.
        ifindex: u32,
        /// The id of that namespace; `None` when this namespace has none for it.
        netnsid: Option<i32>,
    },
}

impl Link {
    /// `veth`, `bridge`, …; `None` for physical links and `lo`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.linkinfo.info_kind.as_deref()
    }

    /// Whether it is a port of a master of this kind: `bridge`, `bond`, `vrf`.
    #[must_use]
    pub fn slave_kind(&self) -> Option<&str> {
        self.linkinfo.info_slave_kind.as_deref()
    }

    /// Whether a flag is set.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    /// Whether it was set up; says nothing about the cable.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.has_flag("UP")
    }

    /// Whether the cable carries: the flag `LOWER_UP`, which is `netif_carrier_ok`. `NO-CARRIER` says less than its name: iproute2 prints it
    /// for a link that is `UP` and not `RUNNING`, and that comes from the operational state, which the kernel updates up to a second late.
    #[must_use]
    pub fn has_carrier(&self) -> bool {
        self.has_flag("LOWER_UP")
    }

    /// Whether it is the loopback link.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.has_flag("LOOPBACK")
    }

    /// The other end, for a veth.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        if self.kind() != Some("veth") {
            return None;
        }
        match (self.link_index, &self.link) {
            (Some(ifindex), _) => Some(Peer::Elsewhere { ifindex, netnsid: self.link_netnsid }),
            (None, Some(name)) => Some(Peer::Here(name.clone())),
            (None, None) => None,
        }
    }

    /// The index of the other end of a veth in another namespace.
    #[must_use]
    pub fn peer_index(&self) -> Option<u32> {
        match self.peer()? {
            Peer::Elsewhere { ifindex, .. } => Some(ifindex),
            Peer::Here(_) => None,
        }
    }

    /// The link below, by name: of a macvlan, vlan, ipvlan.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        if self.kind() == Some("veth") { None } else { self.link.as_deref() }
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// The links that the kernel makes in every namespace when the first tunnel of a kind comes (`fb_tunnels_only_for_init_net`), with their kinds.
const FALL_BACK: [(&str, &str); 9] = [
    ("gre0", "gre"),
    ("gretap0", "gretap"),
    ("erspan0", "erspan"),
    ("tunl0", "ipip"),
    ("sit0", "sit"),
    ("ip6tnl0", "ip6tnl"),
    ("ip6gre0", "ip6gre"),
    ("ip_vti0", "vti"),
    ("ip6_vti0", "vti6"),
];
/// Whether the kernel made a link of this name, unasked; without a kind, whether it may have.
#[must_use]
pub fn is_fall_back(name: &str, kind: Option<&str>) -> bool {
    FALL_BACK.iter().any(|(known, of)| *known == name && kind.is_none_or(|kind| kind == *of))
}

/// The links that `ip -j link show` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Link>> {
    json::views(stdout, what)
}
