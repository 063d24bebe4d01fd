//! What could not be read is a fact of its own: what depends on it is not known, and no absence is a finding where nobody looked.

use super::OTHERS;
use super::finding::{Confidence, Culprit, Finding, Label, Verdict};
use super::state::{Net, Ns};

/// Codes that say that something is nowhere: they hold only where everything was read.
const ABSENCE: [&str; 9] = [
    "LINK_MISSING",
    "LINK_WRONG_NETNS",
    "LINK_NO_CARRIER",
    "ADDR_MISSING",
    "ROUTE_GATEWAY_DEAD",
    "PORT_NOT_ENSLAVED",
    "NAT_MISSING",
    "ROUTE_WRONG_NEXTHOP",
    "TUNNEL_MISMATCH",
];

/// The namespaces that could not be read, each as what is to be said of it.
pub(super) fn unread(net: &Net) -> Vec<Culprit> {
    net.all.iter().filter_map(of).collect()
}

fn of(ns: &Ns) -> Option<Culprit> {
    let reason = ns.unread.as_ref()?;
    Some(
        Culprit::new("NETNS_UNREADABLE", &ns.at, "namespace", ns.at.name())
            .says(format!("{} could not be read: {reason}; what is in it, and what depends on it, is not known", ns.at))
            .because(Label::State, reason.clone())
            .advise(format!("see what `ip -j -d address show` says in {}", ns.at)),
    )
}

/// Takes back what was said as if the unread had nothing in it. A packet that was answered, or was seen to die so, needs no reading.
pub(super) fn weigh(net: &Net, complete: bool, finding: &mut Finding) {
    let unread = unread(net);
    if unread.is_empty()
        || finding.verdict == Verdict::Reachable && (finding.confidence == Confidence::Observed || complete)
    {
        return;
    }
    let doubtful = finding.culprit.as_ref().is_none_or(|culprit| {
        let there = unread.iter().any(|one| one.at == culprit.at);
        finding.confidence != Confidence::Observed && (there || ABSENCE.contains(&culprit.code))
    });
    if !doubtful {
        return;
    }
    let before = finding.culprit.take();
    finding.verdict = Verdict::Inconclusive;
    finding.confidence = Confidence::Predicted;
    finding.others.splice(0..0, unread.into_iter().chain(before));
    finding.others.truncate(OTHERS);
}
