//! A machine's network as one document: what `netwright snapshot` writes, `netwright diff` compares, and a rehearsal begins as.
//!
//! The document is JSON that a person can read: a line for each thing, in the words in which a tool would take it back. It holds no secrets: keys of
//! `WireGuard`, `MACsec` and `IPsec` are never read.

mod copy;
mod diff;
mod layout;
mod read;
mod redact;
mod settings;
mod told;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::model::state::{Part, State};
use crate::op::Where;

pub(crate) use copy::{Copied, rebuild};
pub(crate) use diff::{Difference, diff};
pub(crate) use read::{Extent, read};
pub(crate) use redact::redact;

/// The version of the document; it goes up when an older netwright could not read a newer one.
pub(crate) const VERSION: u32 = 1;

/// How large a document may be, in bytes: six times one of 5000 namespaces (1.1 MB for 500 with 5000 rules).
pub(crate) const BYTES_MAX: usize = 64 << 20;

/// The name of the namespace that plays the host.
pub(crate) const HOST: &str = "host";

/// A machine's network at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    /// [`VERSION`].
    pub snapshot: u32,
    /// Who wrote it.
    pub netwright: String,
    /// When, in UTC.
    pub taken: String,
    /// Whether addresses were replaced.
    #[serde(skip_serializing_if = "is_false")]
    pub redacted: bool,
    /// The machine.
    pub machine: Machine,
    /// Its namespaces, the host first.
    pub namespaces: Vec<Netns>,
    /// The settings that a new namespace has there, by their path below `/proc/sys`: namespaces tell only what they have otherwise.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fresh: BTreeMap<String, String>,
}

/// What a machine is beside its network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Machine {
    /// Its name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// Whether root read it: others do not see the firewall.
    pub root: bool,
    /// Which of the tools it has.
    pub tools: Vec<String>,
    /// Loaded modules that networks are made of.
    pub modules: Vec<String>,
}

/// A network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Netns {
    /// `host`, its name, or the path of one without a name.
    pub name: String,
    /// Where it was found, when it has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What could not be read of it, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// Its links.
    pub links: Vec<Link>,
    /// Settings of links, addresses, routes, neighbours that stay, and so on.
    pub things: State,
    /// Its policy rules, as `ip rule show` prints them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_rules: Vec<String>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip6_rules: Vec<String>,
    /// What each `iptables-save` printed, by its name: `iptables-nft`, `ip6tables-legacy`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub iptables: BTreeMap<String, Vec<String>>,
    /// Tables of nft that are not those of iptables, as `nft list ruleset` prints them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nft: Vec<String>,
    /// `ipset save`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipsets: Vec<String>,
    /// Settings below `/proc/sys` that are not those of a fresh namespace.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Who listens: `tcp 0.0.0.0 80`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<Listening>,
    /// Neighbours that it has learned. They come and go, and are not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
    /// `wg show LINK dump` without keys that are secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub wireguard: BTreeMap<String, Vec<String>>,
}

/// A link, beside what [`Netns::things`] says of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Link {
    /// Its name.
    pub name: String,
    /// `veth`, `bridge`, …; `None` for what is no virtual link, such as a network card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its options, in the words of iproute2.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// The other end of a veth, or what it stands on, when that is in another namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub far: Option<Far>,
    /// What it stands on or the other end of a veth, in the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// `ether`, `none`, `loopback`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_type: Option<String>,
    /// Whether its cable carries. Not compared.
    #[serde(skip_serializing_if = "is_false")]
    pub carrier: bool,
    /// Its other names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub altnames: Vec<String>,
    /// Its alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// A link of another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Far {
    /// The namespace, by its name in the document.
    pub netns: String,
    /// The link.
    pub link: String,
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Listening {
    /// `tcp` or `udp`.
    pub proto: String,
    /// The address, which may be that of all.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
}

/// A neighbour that was learned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Neighbour {
    /// On which link.
    pub dev: String,
    /// Its address.
    pub addr: IpAddr,
    /// Its MAC address.
    pub mac: String,
}

/// The link of a setting of `/proc/sys/net/ipv4/conf` and its like, and the path of what new links get. `all` and `default` are called links there.
fn of_link(path: &str) -> Option<(&str, String)> {
    let (folder, name) = path.rsplit_once('/')?;
    let (conf, link) = folder.rsplit_once('/')?;
    conf.ends_with("/conf").then(|| (link, format!("{conf}/default/{name}")))
}

fn path_is_of_all(link: &str) -> bool {
    matches!(link, "all" | "default")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Netns {
    /// The namespace that it stands for, where it has a name.
    #[must_use]
    pub(crate) fn place(&self) -> Where {
        match &self.path {
            Some(path) => Where::Path(path.clone()),
            None if self.name == HOST => Where::Host,
            None => Where::Named(self.name.clone()),
        }
    }

    /// The value of a setting by its path below `/proc/sys`, also one that is not told because new links or namespaces (`fresh`) have the same. `None`:
    /// there is no such link, or nobody knows.
    #[must_use]
    pub(crate) fn setting<'a>(&'a self, path: &str, fresh: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let told = |path: &str| self.sysctls.get(path).or_else(|| fresh.get(path)).map(String::as_str);
        match of_link(path) {
            Some((link, _)) if !path_is_of_all(link) && link != "lo" && self.link(link).is_none() => None,
            Some((link, default)) if !path_is_of_all(link) && link != "lo" => {
                self.sysctls.get(path).map(String::as_str).or_else(|| told(&default))
            }
            _ => told(path),
        }
    }

    /// Its link of that name.
    #[must_use]
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Snapshot {
    /// The document as text: a line for each thing.
    ///
    /// # Errors
    ///
    /// `Internal` when it cannot be written as JSON.
    pub(crate) fn to_text(&self) -> Result<String> {
        let value = serde_json::to_value(self).map_err(|error| {
            Error::new(Kind::Internal, format!("the snapshot cannot be written as a document: {error}"))
        })?;
        Ok(layout::pretty(&value))
    }

    /// Reads a document; `name` is where it came from.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for one that is cut off, is none, is too large, is of a newer version, or contradicts itself.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self> {
        let refuse = |why: String| Error::new(Kind::InvalidArgument, format!("`{name}` is no snapshot: {why}"));
        if text.len() > BYTES_MAX {
            return Err(refuse(format!("it has more than the {} MB that are read", BYTES_MAX >> 20)));
        }
        let head: Head = serde_json::from_str(text).map_err(|error| {
            let cut = if error.is_eof() { "it ends too early: " } else { "" };
            refuse(format!("{cut}{error}")).hint("`netwright snapshot -o FILE` writes one")
        })?;
        match head.snapshot {
            None => {
                return Err(refuse("it has no `snapshot` with a version".into())
                    .hint("`netwright snapshot -o FILE` writes one"));
            }
            Some(VERSION) => {}
            Some(other) => {
                let error = format!("it is of version {other}, and this netwright reads {VERSION}");
                return Err(refuse(error).hint("take it anew, or read it with the netwright that wrote it"));
            }
        }
        let snapshot: Self = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        snapshot.contradiction().map_or(Ok(snapshot), |why| Err(refuse(why)))
    }

    /// What in it cannot be together.
    fn contradiction(&self) -> Option<String> {
        if self.namespaces.first().is_none_or(|first| first.name != HOST) {
            return Some(format!("its first namespace is not `{HOST}`"));
        }
        let mut names = std::collections::HashSet::new();
        for netns in &self.namespaces {
            if !names.insert(netns.name.as_str()) {
                return Some(format!("it has two namespaces `{}`", netns.name));
            }
            if netns.path.is_none() && !is_file_name(&netns.name, 255) {
                return Some(format!("`{}` cannot be the name of a namespace", netns.name.escape_debug()));
            }
            let mut links = std::collections::HashSet::new();
            for link in &netns.links {
                // Stranger names than scripts may give: the kernel has no rule against `up` (`dev_valid_name`).
                if !is_file_name(&link.name, 15) || link.name.contains(':') {
                    let name = link.name.escape_debug();
                    return Some(format!("in `{}`: `{name}` cannot be the name of a link", netns.name));
                }
                if !links.insert(link.name.as_str()) {
                    return Some(format!("`{}` has two links `{}`", netns.name, link.name));
                }
            }
            if let Some(name) = netns.links.iter().find_map(|link| Self::ring(netns, link)) {
                return Some(format!("in `{}` the link `{name}` stands on itself, through others", netns.name));
            }
            if let Some(name) = ring_of_masters(netns) {
                return Some(format!("in `{}` the link `{name}` is its own master, through others", netns.name));
            }
        }
        None
    }

    /// The name of a link that stands on itself.
    fn ring<'a>(netns: &Netns, link: &'a Link) -> Option<&'a str> {
        if link.kind.as_deref() == Some("veth") {
            return None;
        }
        let mut at = link;
        for _ in 0..netns.links.len() {
            at = at.on.as_ref().and_then(|name| netns.link(name)).filter(|on| on.kind.as_deref() != Some("veth"))?;
            if at.name == link.name {
                return Some(&link.name);
            }
        }
        None
    }
}

/// A link that is a port of itself.
fn ring_of_masters(netns: &Netns) -> Option<&str> {
    let masters: std::collections::HashMap<&str, &str> = netns
        .things
        .0
        .iter()
        .filter(|thing| thing.part == Part::Link && thing.value != "-")
        .filter_map(|thing| Some((thing.key.strip_suffix(" master")?, thing.value.as_str())))
        .collect();
    masters.keys().copied().find(|link| {
        let mut at = *link;
        (0..masters.len()).any(|_| {
            at = masters.get(at).copied().unwrap_or_default();
            at == *link
        })
    })
}

/// Whether a name is one that a file could have, of at most so many bytes, and without blanks.
fn is_file_name(name: &str, most: usize) -> bool {
    let forbidden = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    !name.is_empty() && name.len() <= most && !matches!(name, "." | "..") && !name.contains(forbidden)
}

/// What tells the version.
#[derive(Deserialize)]
struct Head {
    snapshot: Option<u32>,
}
