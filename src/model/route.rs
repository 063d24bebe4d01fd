//! `ip -j route show` and `ip -j route get`.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw, word};
use crate::Result;

/// A route, as `ip -j -d route show table all` prints it.
///
/// ```json
/// {"type":"unicast","dst":"10.6.0.0/16","gateway":"10.9.0.2","dev":"v1","table":"main","protocol":"boot","scope":"global",
///  "prefsrc":"10.9.0.9","flags":[],"metrics":[{"mtu":1300,"advmss":1200}]}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Route {
    /// `unicast` (absent without `-d`), `blackhole`, `unreachable`, `prohibit`, `local`, `broadcast`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `default`, `10.0.0.0/24`, or `10.0.0.1` for a host.
    pub dst: Option<String>,
    /// The next hop, of the same family.
    pub gateway: Option<String>,
    /// The next hop of the other family.
    pub via: Option<Via>,
    /// The link that it leaves by.
    pub dev: Option<String>,
    /// The table, by name or number; absent means `main`, or the one that was asked for.
    #[serde(deserialize_with = "word")]
    pub table: Option<String>,
    /// The lower the better.
    pub metric: Option<u32>,
    /// Who made it: `kernel`, `boot`, `static`, …
    #[serde(deserialize_with = "word")]
    pub protocol: Option<String>,
    /// `global`, `link`, `host`.
    #[serde(deserialize_with = "word")]
    pub scope: Option<String>,
    /// The source address for what the machine itself sends.
    pub prefsrc: Option<String>,
    /// `onlink`, `linkdown`, `dead`, …
    pub flags: Vec<String>,
    /// `[{"mtu":1300,"advmss":1200}]`.
    pub metrics: Vec<Map<String, Value>>,
    /// The ways of a multipath route.
    pub nexthops: Vec<NextHop>,
    /// The next hop object, by id.
    pub nhid: Option<u32>,
    /// How what goes by it is wrapped: `seg6`, `mpls`, `ip`, … (`ip-route(8)`, ENCAP).
    pub encap: Option<String>,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(Route);

/// A gateway of the other family: `"via":{"family":"inet6","host":"2001:db8::9"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Via {
    /// `inet6` or `inet`.
    pub family: String,
    /// The address.
    pub host: String,
}

/// One way of a multipath route: `{"gateway":"10.9.0.2","dev":"v1","weight":3,"flags":[]}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NextHop {
    /// The next hop, of the same family.
    pub gateway: Option<String>,
    /// The next hop of the other family.
    pub via: Option<Via>,
    /// The link that it leaves by.
    pub dev: Option<String>,
    /// Its share.
    pub weight: Option<u32>,
    /// How what goes that way is wrapped.
    pub encap: Option<String>,
    /// `onlink`, `linkdown`, `dead`, …
    pub flags: Vec<String>,
}

impl Route {
    /// Whether it is an IPv6 route. iproute2 does not say; every IPv6 route of the kernel carries `"pref":"medium"`.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        let address = |text: &String| text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
        self.dst
            .iter()
            .chain(&self.gateway)
            .chain(&self.prefsrc)
            .chain(self.nexthops.iter().filter_map(|hop| hop.gateway.as_ref()))
            .find_map(address)
            .map_or_else(|| self.raw.contains_key("pref"), |ip| ip.is_ipv6())
    }

    /// Where it leads: `default` is `0.0.0.0/0` or `::/0`, a bare address a host route. `None` when iproute2 printed something else.
    #[must_use]
    pub fn destination(&self) -> Option<IpNet> {
        match self.dst.as_deref()? {
            "default" if self.is_ipv6() => Some(IpNet::V6(Ipv6Net::default())),
            "default" => Some(IpNet::V4(Ipv4Net::default())),
            text => text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)),
        }
    }

    /// Whether it is a default route.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.destination().is_some_and(|net| net.prefix_len() == 0)
    }

    /// `unicast` unless it says otherwise.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("unicast")
    }

    /// The next hop of either family, when there is exactly one.
    #[must_use]
    pub fn next_hop(&self) -> Option<IpAddr> {
        self.gateway.as_deref().or(self.via.as_ref().map(|via| via.host.as_str()))?.parse().ok()
    }

    /// Whether it has several ways.
    #[must_use]
    pub fn is_multipath(&self) -> bool {
        !self.nexthops.is_empty()
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// The routes that `ip -j route` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Route>> {
    json::views(stdout, what)
}
