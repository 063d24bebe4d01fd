//! The culprit of `why` in a picture.

use serde::{Deserialize, Serialize};

use super::read::name_of;
use super::{Cable, Link, Namespace, Topology};
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
}

impl Blame {
    /// The culprit of a finding; `None` when there is none.
    #[must_use]
    pub fn of(finding: &Finding) -> Option<Self> {
        let culprit = finding.culprit.as_ref()?;
        Some(Self {
            netns: name_of(&culprit.at),
            link: link_of(culprit),
            code: culprit.code.to_owned(),
            message: culprit.message.clone(),
        })
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
        let end = |(n, l): (usize, usize)| self.namespaces.get(n).and_then(|one| Some((one, one.links.get(l)?)));
        cable.into_iter().filter_map(end).any(|(namespace, link)| self.blames_link(namespace, link))
    }
}
