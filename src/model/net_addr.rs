//! `ip -j addr show`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, present};
use crate::Result;

/// A lifetime that never ends, as iproute2 prints it.
pub const FOREVER: u32 = u32::MAX;

/// A link with its addresses, as `ip -j addr show` prints it: `{"ifindex":2,"ifname":"br0",…,"addr_info":[{…}]}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Addr {
    /// The name of the link.
    pub ifname: String,
    /// Its index.
    pub ifindex: u32,
    /// `UP`, `LOWER_UP`, `LOOPBACK`, …
    pub flags: Vec<String>,
    /// Its addresses. Empty entries, which filters leave behind, are dropped.
    pub addr_info: Vec<AddrInfo>,
    #[serde(skip)]
    raw: Map<String, Value>,
}

/// One address.
///
/// ```json
/// {"family":"inet","local":"10.8.0.1","address":"10.8.0.2","prefixlen":32,"scope":"global","label":"v1",
///  "valid_life_time":4294967295,"preferred_life_time":4294967295}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // iproute2's own flags
pub struct AddrInfo {
    /// `inet` or `inet6`.
    pub family: Option<String>,
    /// The address.
    pub local: Option<String>,
    /// The peer's address of a point-to-point link; then `prefixlen` is the peer's.
    pub address: Option<String>,
    /// Length of the prefix.
    pub prefixlen: Option<u8>,
    /// `global`, `link`, `host`.
    pub scope: Option<String>,
    /// The label (IPv4 only).
    pub label: Option<String>,
    /// The broadcast address.
    pub broadcast: Option<String>,
    /// It has a lifetime.
    #[serde(deserialize_with = "present")]
    pub dynamic: bool,
    /// Another address of the same subnet is the primary one.
    #[serde(deserialize_with = "present")]
    pub secondary: bool,
    /// Duplicate address detection is not done; until then nothing can use it.
    #[serde(deserialize_with = "present")]
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    #[serde(deserialize_with = "present")]
    pub dadfailed: bool,
    /// Not to be used for new connections.
    #[serde(deserialize_with = "present")]
    pub deprecated: bool,
    /// No route to its subnet was made.
    #[serde(deserialize_with = "present")]
    pub noprefixroute: bool,
    /// Seconds; [`FOREVER`] without end.
    pub valid_life_time: Option<u32>,
    /// Seconds; [`FOREVER`] without end.
    pub preferred_life_time: Option<u32>,
}

impl AddrInfo {
    /// The address itself.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.local.as_deref().or(self.address.as_deref())?.parse().ok()
    }

    /// The address with its prefix, `10.0.0.1/24`.
    #[must_use]
    pub fn ipnet(&self) -> Option<IpNet> {
        IpNet::new(self.ip()?, self.prefixlen?).ok()
    }

    /// The peer's address of a point-to-point link.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.local.as_ref()?;
        self.address.as_deref()?.parse().ok()
    }

    /// Whether it stays until somebody removes it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !self.dynamic && self.valid_life_time.is_none_or(|seconds| seconds == FOREVER)
    }
}

impl Addr {
    /// The addresses that can be read, with their prefixes.
    pub fn ipnets(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.addr_info.iter().filter_map(AddrInfo::ipnet)
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

impl json::View for Addr {
    fn keep(&mut self, raw: Map<String, Value>) {
        self.addr_info.retain(|info| info.local.is_some() || info.address.is_some());
        self.raw = raw;
    }
    fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// The links with their addresses that `ip -j addr show` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Addr>> {
    json::views(stdout, what)
}
