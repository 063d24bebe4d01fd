//! The culprit of `why` in a picture.

use serde::{Deserialize, Serialize};

use super::read::name_of;
use super::{Cable, End, Link, Namespace, Spot, Topology};
use crate::why::finding::{Culprit, Finding};

/// What `why` blames, as far as a picture shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// The namespace where the packet dies.
    pub netns: String,
    /// The link, when it is one that is to blame.
    pub link: Option<String>,
    /// The code of the finding: `NF_POLICY_DROP`.
    pub code: String,
    /// What happens, as a sentence.
    pub message: String,
    /// The links that the packet passes before, in order.
    #[serde(default)]
    pub path: Vec<End>,
}

impl Blame {
    /// The culprit of a finding; `None` when there is none.
    #[must_use]
    pub fn of(finding: &Finding) -> Option<Self> {
        let culprit = finding.culprit.as_ref()?;
        Some(Self {
            netns: name_of(&culprit.at),
            link: link_of(culprit),
            code: culprit.code.name().to_owned(),
            message: culprit.message.clone(),
            path: finding
                .hops
                .iter()
                .take(culprit.hop)
                .map(|hop| End { netns: name_of(&hop.at), link: hop.dev.clone() })
                .collect(),
        })
    }

    /// `pod-1/eth0 → host/br0 → host/eth0`; nothing when it is not known.
    pub(super) fn way(&self) -> Option<String> {
        let mut steps: Vec<String> = self.path.iter().map(|end| format!("{}/{}", end.netns, end.link)).collect();
        steps.dedup();
        (!steps.is_empty()).then(|| steps.join(" → "))
    }

    /// `✗ [NF_POLICY_DROP] the policy of …`
    pub(super) fn line(&self) -> String {
        format!("✗ [{}] {}", self.code, self.message)
    }
}

/// The name of the link, when the culprit is one or belongs to one: `eth0`, `eth0 ingress`.
fn link_of(culprit: &Culprit) -> Option<String> {
    let of_link = matches!(culprit.kind, "link" | "port" | "qdisc" | "filter" | "program");
    let name = culprit.name.split(' ').next().filter(|name| of_link && !name.is_empty())?;
    Some(name.to_owned())
}

impl Topology {
    /// The picture with the culprit of `why` in it.
    #[must_use]
    pub fn with_culprit(mut self, culprit: Option<Blame>) -> Self {
        self.culprit = culprit.map(|mut culprit| {
            let namespace = self.namespaces.iter().find(|namespace| namespace.name == culprit.netns);
            // `tcp 80` is a port of another sort.
            culprit.link = culprit.link.filter(|link| namespace.is_some_and(|namespace| namespace.has_link(link)));
            culprit
        });
        self
    }

    /// Whether the packet dies in this namespace.
    pub(super) fn blames(&self, namespace: &Namespace) -> bool {
        self.culprit.as_ref().is_some_and(|culprit| culprit.netns == namespace.name)
    }

    /// Whether it dies because of this link.
    pub(super) fn blames_link(&self, namespace: &Namespace, link: &Link) -> bool {
        let name = self.culprit.as_ref().and_then(|culprit| culprit.link.as_deref());
        self.blames(namespace) && name == Some(&link.name)
    }

    /// Whether it dies because of an end of this cable.
    pub(super) fn blames_cable(&self, cable: Cable) -> bool {
        self.ends(cable).any(|(namespace, link)| self.blames_link(namespace, link))
    }

    /// Whether the packet passes this link before it dies.
    pub(super) fn passes(&self, namespace: &Namespace, link: &Link) -> bool {
        let path = self.culprit.iter().flat_map(|culprit| &culprit.path);
        path.into_iter().any(|end| end.netns == namespace.name && end.link == link.name)
    }

    /// Whether it passes this cable: it leaves or comes by one of the ends, and the walk names no port of a bridge.
    pub(super) fn passes_cable(&self, cable: Cable) -> bool {
        self.ends(cable).any(|(namespace, link)| self.passes(namespace, link))
    }

    /// Whether it gets into this namespace.
    pub(super) fn passes_netns(&self, namespace: &Namespace) -> bool {
        self.culprit.iter().flat_map(|culprit| &culprit.path).any(|end| end.netns == namespace.name)
    }

    fn ends(&self, cable: Cable) -> impl Iterator<Item = (&Namespace, &Link)> {
        let end = |(n, l): Spot| self.namespaces.get(n).and_then(|one| Some((one, one.links.get(l)?)));
        cable.ends.into_iter().filter_map(end)
    }
}
