//! `ip -j netns list`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw};
use crate::Result;

/// A named namespace, as `ip -j netns list` prints it: `{"name":"red","id":7}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetnsEntry {
    /// Its name in `/run/netns`.
    pub name: String,
    /// The id that the asking namespace has for it, if it has one: the `link_netnsid` of links.
    pub id: Option<i32>,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(NetnsEntry);

impl NetnsEntry {
    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// The namespaces that `ip -j netns list` printed.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str) -> Result<Vec<NetnsEntry>> {
    json::views(stdout, "`ip netns list`")
}
