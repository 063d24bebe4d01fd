//! The live network as a picture: read from the kernel, drawn as text, dot, mermaid or SVG, or given as a document.
//!
//! | file | what |
//! |---|---|
//! | `read` | the kernel's answer as a [`Topology`] |
//! | `fold` | namespaces that are alike as one, so that hundreds stay readable |
//! | `text` | for a terminal of 80 columns |
//! | `graph` | dot and mermaid |
//! | `layout`, `cable`, `svg` | boxes in rows, cables around them |
//! | `blame` | the culprit of `why` in it |
//! | `watch` | waiting for a change |

mod blame;
mod cable;
mod fold;
mod graph;
mod layout;
mod read;
mod svg;
mod text;
mod watch;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use blame::Blame;
pub use read::{name_of, state_of};
pub use watch::{Watch, Woken};

/// More namespaces than this are folded in a picture.
pub const MANY: usize = 12;

/// The network of all namespaces at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Each namespace, the host first.
    pub namespaces: Vec<Namespace>,
    /// What `why` blames; pictures show it in red and with a ✗.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub culprit: Option<Blame>,
}

/// What a namespace is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The namespace that plays the host.
    Host,
    /// A named one, or one given by a path.
    #[default]
    Netns,
    /// The sandbox's pretended internet.
    Internet,
}

/// One namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub role: Role,
    /// How many namespaces this stands for; more than 1 only in a folded picture.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: usize,
    /// Its links.
    pub links: Vec<Link>,
    /// Its routes beyond those that come with addresses: `default via 10.0.0.254`.
    pub routes: Vec<String>,
    /// Whether it forwards IPv4.
    pub forwards: bool,
    /// NAT rules, as iptables prints them.
    pub nat: Vec<String>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its kind: `veth`, `bridge`, …; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Its addresses, link-local ones left out.
    pub addrs: Vec<String>,
    /// Whether packets pass.
    pub state: State,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<String>,
    /// The other end of a veth.
    pub peer: Option<End>,
    /// How many links this stands for; more than 1 only in a folded picture.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: usize,
}

/// One end of a cable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct End {
    /// The namespace's name.
    pub netns: String,
    /// The link's name.
    pub link: String,
}

/// Whether packets pass a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Up, with a carrier.
    #[default]
    Up,
    /// Set up, but nothing is at the other end.
    NoCarrier,
    /// Not set up.
    Down,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoCarrier => "no-carrier",
            Self::Down => "down",
        }
    }
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "it is what serde calls")]
fn is_one(count: &usize) -> bool {
    *count == 1
}

/// A cable between two ends, each by the index of its namespace and link.
pub(crate) type Cable = [(usize, usize); 2];

impl Topology {
    /// The veth pairs, each once.
    fn cables(&self) -> Vec<Cable> {
        let mut seen = BTreeSet::new();
        let mut cables = Vec::new();
        for (n, namespace) in self.namespaces.iter().enumerate() {
            for (l, link) in namespace.links.iter().enumerate() {
                let Some(other) = link.peer.as_ref().and_then(|peer| self.find(peer)) else { continue };
                let cable = if (n, l) <= other { [(n, l), other] } else { [other, (n, l)] };
                if seen.insert(cable) {
                    cables.push(cable);
                }
            }
        }
        cables
    }

    fn find(&self, end: &End) -> Option<(usize, usize)> {
        let n = self.namespaces.iter().position(|namespace| namespace.name == end.netns)?;
        let l = self.namespaces[n].links.iter().position(|link| link.name == end.link)?;
        Some((n, l))
    }

    /// What there is but for NAT, one fact a line, in a fixed order: two of these lists can be compared.
    #[must_use]
    pub fn facts(&self) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        for namespace in &self.namespaces {
            let name = &namespace.name;
            facts.insert(name.clone());
            facts.extend(namespace.forwards.then(|| format!("{name} forwarding")));
            for link in &namespace.links {
                facts.insert(format!("{name}/{}{} {}", link.name, link.kind_word(), link.state.word()));
                facts.extend(link.addrs.iter().map(|addr| format!("{name}/{} {addr}", link.name)));
                facts.extend(link.master.iter().map(|master| format!("{name}/{} port of {master}", link.name)));
            }
            facts.extend(namespace.routes.iter().map(|route| format!("{name} route {route}")));
        }
        facts
    }

    /// The document: `#{ schema, namespaces }`, and `culprit` when there is one.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        let mut document = serde_json::json!({ "schema": 1 });
        document["namespaces"] = serde_json::to_value(&self.namespaces).unwrap_or_default();
        if let Some(culprit) = &self.culprit {
            document["culprit"] = serde_json::to_value(culprit).unwrap_or_default();
        }
        document
    }
}

impl Namespace {
    /// Links that a picture shows: no loopback without an address of its own.
    fn shown(&self) -> impl Iterator<Item = (usize, &Link)> {
        self.links.iter().enumerate().filter(|(_, link)| link.name != "lo" || !link.addrs.is_empty())
    }

    /// The ports of a bridge, bond or VRF.
    fn ports<'a>(&'a self, master: &'a str) -> impl Iterator<Item = (usize, &'a Link)> {
        self.shown().filter(move |(_, link)| link.master.as_deref() == Some(master))
    }

    fn has_link(&self, name: &str) -> bool {
        self.links.iter().any(|link| link.name == name)
    }
}

impl Link {
    /// ` (bridge)`; nothing for a veth, of which there are most.
    fn kind_word(&self) -> String {
        match self.kind.as_deref() {
            None | Some("veth") => String::new(),
            Some(kind) => format!(" ({kind})"),
        }
    }
}
