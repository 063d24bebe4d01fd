//! The live network as a picture: read from the kernel, drawn as text, dot, mermaid, SVG or a page, or given as a document.
//!
//! | file | what |
//! |---|---|
//! | `ask` | the tools, asked in several namespaces at a time |
//! | `read` | their answers as a [`Topology`] |
//! | `detail`, `rules` | what a link is, and what a rule does, in a few words |
//! | `fold` | namespaces that are alike as one, so that hundreds stay readable |
//! | `text` | for a terminal of 80 columns |
//! | `graph` | dot and mermaid |
//! | `layout`, `cable`, `svg` | boxes in rows, cables around them |
//! | `page` | that with everything one may ask of it, for a browser |
//! | `blame` | the culprit of `why` in it |
//! | `watch` | waiting for a change |

mod ask;
mod blame;
mod cable;
mod detail;
mod fold;
mod graph;
mod layout;
mod page;
mod read;
mod rules;
mod svg;
mod text;
mod watch;

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::op::Where;
use crate::text::diagnostic::escape;

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
    /// What could not be read of it, and why: what is missing here is then not known to be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Its links.
    pub links: Vec<Link>,
    /// Its routes beyond those that come with addresses, of the main table: `default via 10.0.0.254`.
    pub routes: Vec<String>,
    /// The same of further tables, each after the name of its table: `100 default via 10.0.0.254`.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Policy rules beyond those of every namespace: `from 10.0.0.0/24 lookup 100`.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Whether it forwards IPv4.
    pub forwards: bool,
    /// What stops packets, of iptables and of nft: `FORWARD policy DROP`, `INPUT drops tcp/22 in eth0`.
    #[serde(default)]
    pub filter: Vec<String>,
    /// What translates addresses, of iptables and of nft: `tcp/443 → 10.1.0.1:8443`, `masquerade out eth0`.
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
    /// What it is beyond its kind: `id 42`, `remote 10.0.0.2`, `mode bridge`, `table 10`.
    #[serde(default)]
    pub detail: Vec<String>,
    /// The link below: of a VLAN, macvlan, ipvlan.
    #[serde(default)]
    pub parent: Option<End>,
    /// The other end of a tunnel, where it is one of these namespaces.
    #[serde(default)]
    pub far: Option<End>,
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

/// A link by the index of its namespace and its own.
pub(crate) type Spot = (usize, usize);

/// What a line between two links is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// A veth pair.
    #[default]
    Veth,
    /// A link and the one below it, in another namespace.
    Parent,
    /// A tunnel between its two ends.
    Tunnel,
}

/// A cable between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cable {
    pub(crate) ends: [Spot; 2],
    pub(crate) sort: Sort,
}

impl Topology {
    /// The same with other names for some of its namespaces.
    #[must_use]
    pub fn renamed(mut self, names: &[(Where, String)]) -> Self {
        let rename = |name: &mut String| {
            if let Some((_, new)) = names.iter().find(|(at, _)| at.name() == *name) {
                name.clone_from(new);
            }
        };
        for netns in &mut self.namespaces {
            rename(&mut netns.name);
            for link in &mut netns.links {
                for end in [&mut link.peer, &mut link.parent, &mut link.far].into_iter().flatten() {
                    rename(&mut end.netns);
                }
            }
        }
        if let Some(blame) = &mut self.culprit {
            rename(&mut blame.netns);
            blame.path.iter_mut().for_each(|end| rename(&mut end.netns));
        }
        self
    }

    /// The same with everything spelled out in its texts that could turn round or cut off what stands beside it.
    fn spelled(&self) -> Self {
        fn spell<'a>(texts: impl IntoIterator<Item = &'a mut String>) {
            for text in texts {
                *text = escape(text);
            }
        }
        let mut all = self.clone();
        for netns in &mut all.namespaces {
            spell([&mut netns.name]);
            spell(&mut netns.unread);
            for texts in [&mut netns.routes, &mut netns.tables, &mut netns.rules, &mut netns.filter, &mut netns.nat] {
                spell(texts);
            }
            for link in &mut netns.links {
                spell([&mut link.name]);
                spell(link.kind.iter_mut().chain(&mut link.master).chain(&mut link.addrs).chain(&mut link.detail));
                for end in [&mut link.peer, &mut link.parent, &mut link.far].into_iter().flatten() {
                    spell([&mut end.netns, &mut end.link]);
                }
            }
        }
        if let Some(blame) = &mut all.culprit {
            spell([&mut blame.netns, &mut blame.code, &mut blame.message]);
            spell(&mut blame.link);
            for end in &mut blame.path {
                spell([&mut end.netns, &mut end.link]);
            }
        }
        all
    }

    /// What lies between two links, each once: veth pairs, links that were moved away from the one below, tunnels.
    fn cables(&self) -> Vec<Cable> {
        let (mut seen, mut cables, index) = (BTreeSet::new(), Vec::new(), self.index());
        for (n, namespace) in self.namespaces.iter().enumerate() {
            for (l, link) in namespace.links.iter().enumerate() {
                let away = link.parent.as_ref().filter(|parent| parent.netns != namespace.name);
                for (sort, end) in
                    [(Sort::Veth, link.peer.as_ref()), (Sort::Parent, away), (Sort::Tunnel, link.far.as_ref())]
                {
                    let Some(other) = end.and_then(|end| index.get(&(&end.netns, &end.link)).copied()) else {
                        continue;
                    };
                    let ends = if (n, l) <= other { [(n, l), other] } else { [other, (n, l)] };
                    if seen.insert((ends, sort)) {
                        cables.push(Cable { ends, sort });
                    }
                }
            }
        }
        cables
    }

    /// `host/web0`; for an end whose name says nothing the bridge that it is a port of: `host (br0)`.
    fn called(&self, end: &End) -> String {
        let netns = self.namespaces.iter().find(|namespace| namespace.name == end.netns);
        let link = netns.and_then(|netns| netns.links.iter().find(|link| link.name == end.link));
        match link.filter(|link| link.is_nameless()) {
            None => format!("{}/{}", end.netns, end.link),
            Some(Link { master: Some(master), .. }) => format!("{} ({master})", end.netns),
            Some(_) => end.netns.clone(),
        }
    }

    /// Where each link is, by the names of its namespace and its own; of two of a name the first.
    fn index(&self) -> HashMap<(&str, &str), Spot> {
        let all = self.namespaces.iter().enumerate().flat_map(|(n, namespace)| {
            namespace.links.iter().enumerate().map(move |(l, link)| ((&*namespace.name, &*link.name), (n, l)))
        });
        let mut index = HashMap::new();
        for (name, spot) in all {
            index.entry(name).or_insert(spot);
        }
        index
    }

    /// What there is but for rules of firewalls, one fact a line, in a fixed order: two of these lists can be compared.
    #[must_use]
    pub fn facts(&self) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        for namespace in &self.namespaces {
            let name = &namespace.name;
            facts.insert(name.clone());
            facts.extend(namespace.unread.as_ref().map(|why| format!("{name} {why}")));
            facts.extend(namespace.forwards.then(|| format!("{name} forwarding")));
            for link in namespace.links.iter().filter(|link| !link.is_fall_back()) {
                facts.insert(format!("{name}/{}{} {}", link.name, link.kind_word(name), link.state.word()));
                facts.extend(link.addrs.iter().map(|addr| format!("{name}/{} {addr}", link.name)));
                facts.extend(link.master.iter().map(|master| format!("{name}/{} port of {master}", link.name)));
            }
            facts.extend(namespace.routes.iter().map(|route| format!("{name} route {route}")));
            facts.extend(namespace.tables.iter().map(|route| format!("{name} table {route}")));
            facts.extend(namespace.rules.iter().map(|rule| format!("{name} rule {rule}")));
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
    /// Links that a picture shows: no loopback without an address of its own, nothing that the kernel made unasked and nobody uses.
    fn shown(&self) -> impl Iterator<Item = (usize, &Link)> {
        let bare = |link: &Link| link.name == "lo" && link.addrs.is_empty() || link.is_fall_back();
        self.links.iter().enumerate().filter(move |(_, link)| !bare(link))
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
    /// ` (bridge)`, ` (vlan id 10 on eth0)`, for a link of the namespace `home`; nothing for a veth, of which there are most.
    fn kind_word(&self, home: &str) -> String {
        let kind = self.kind.iter().filter(|kind| *kind != "veth").cloned();
        let on = self.parent.as_ref().map(|parent| {
            if parent.netns == home {
                format!("on {}", parent.link)
            } else {
                format!("on {}/{}", parent.netns, parent.link)
            }
        });
        let words: Vec<String> = kind.chain(self.detail.iter().cloned()).chain(on).collect();
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(" ")) }
    }

    /// Whether the kernel made it in every namespace when the first tunnel of its kind came, and nobody uses it.
    fn is_fall_back(&self) -> bool {
        self.state == State::Down
            && self.addrs.is_empty()
            && self.master.is_none()
            && crate::model::link::is_fall_back(&self.name, self.kind.as_deref())
    }

    /// Whether its name was made by a program from a hash (`webser-f068ba0a`, `veth1a2b3c4`): beside the name of the other end it says nothing.
    fn is_nameless(&self) -> bool {
        let hashed = |name: &str| {
            let tail = name.len() - name.trim_end_matches(|c: char| matches!(c, '0'..='9' | 'a'..='f')).len();
            let tail = &name[name.len() - tail..];
            tail.len() >= 7
                && tail.contains(|c: char| c.is_ascii_digit())
                && tail.contains(|c: char| c.is_ascii_lowercase())
        };
        self.peer.is_some() && self.kind.as_deref() == Some("veth") && self.name.split(" … ").all(hashed)
    }
}
