//! `ip -j neigh show`.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw, present};
use crate::Result;

/// A neighbour, as `ip -j neigh show` prints it.
///
/// ```json
/// {"dst":"2001:db8::2","dev":"v1","lladdr":"02:00:00:00:00:0b","router":null,"state":["STALE"]}
/// {"dst":"10.9.0.77","dev":"v1","proxy":null}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Neigh {
    /// Its address.
    pub dst: Option<String>,
    /// The link that it is behind; absent where the question named one.
    pub dev: Option<String>,
    /// Its MAC address; absent while nobody answered.
    pub lladdr: Option<String>,
    /// `REACHABLE`, `STALE`, `PERMANENT`, `INCOMPLETE`, `FAILED`, …
    pub state: Vec<String>,
    /// It says that it is a router (IPv6).
    #[serde(deserialize_with = "present")]
    pub router: bool,
    /// We answer for it (`ip neigh show proxy`).
    #[serde(deserialize_with = "present")]
    pub proxy: bool,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(Neigh);

impl Neigh {
    /// Its address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.dst.as_deref()?.parse().ok()
    }

    /// Whether it is in this state.
    #[must_use]
    pub fn is(&self, state: &str) -> bool {
        self.state.iter().any(|have| have == state)
    }

    /// Whether somebody answered, or was entered by hand: packets can be sent to it.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.lladdr.is_some() && !self.is_failed()
    }

    /// Whether nobody answered so far: `INCOMPLETE` or `FAILED`.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.is("FAILED") || self.is("INCOMPLETE")
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// The neighbours that `ip -j neigh show` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Neigh>> {
    json::views(stdout, what)
}
