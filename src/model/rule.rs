//! `ip -j rule show`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw, present, word};
use crate::Result;

/// A routing rule, as `ip -j rule show` prints it.
///
/// ```json
/// {"priority":1001,"not":null,"src":"10.1.0.0","srclen":16,"dst":"10.2.0.0","dstlen":16,"fwmark":"0x1","fwmask":"0xff",
///  "iif":"v1","table":"main"}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// The lowest is asked first.
    pub priority: u32,
    /// The selectors are negated.
    #[serde(deserialize_with = "present")]
    pub not: bool,
    /// `all` or an address.
    pub src: Option<String>,
    /// Length of the prefix; absent for a host.
    pub srclen: Option<u8>,
    /// An address; absent means all.
    pub dst: Option<String>,
    /// Length of the prefix; absent for a host.
    pub dstlen: Option<u8>,
    /// The link that the packet came by.
    pub iif: Option<String>,
    /// The link that its socket is bound to.
    pub oif: Option<String>,
    /// `0x1`.
    #[serde(deserialize_with = "word")]
    pub fwmark: Option<String>,
    /// `0xff`.
    #[serde(deserialize_with = "word")]
    pub fwmask: Option<String>,
    /// `tcp`, `udp`, …
    #[serde(deserialize_with = "word")]
    pub ipproto: Option<String>,
    /// The table to look in, by name or number.
    #[serde(deserialize_with = "word")]
    pub table: Option<String>,
    /// `blackhole`, `unreachable`, `prohibit`, `goto`, …; absent means the table.
    pub action: Option<String>,
    /// Who made it; only with `-d`.
    #[serde(deserialize_with = "word")]
    pub protocol: Option<String>,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(Rule);

impl Rule {
    /// The source network; `None` for all.
    #[must_use]
    pub fn source(&self) -> Option<IpNet> {
        net(self.src.as_deref()?, self.srclen)
    }

    /// The destination network; `None` for all.
    #[must_use]
    pub fn destination(&self) -> Option<IpNet> {
        net(self.dst.as_deref()?, self.dstlen)
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

fn net(ip: &str, len: Option<u8>) -> Option<IpNet> {
    let ip: IpAddr = ip.parse().ok()?;
    match len {
        Some(len) => IpNet::new(ip, len).ok(),
        None => Some(IpNet::from(ip)),
    }
}

/// The rules that `ip -j rule show` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Rule>> {
    json::views(stdout, what)
}
