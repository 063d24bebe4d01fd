//! What could not be read is a fact of its own: what depends on it is not known, and no absence is a finding where nobody looked.

use super::OTHERS;
use super::codes::Code;
use super::finding::{Confidence, Culprit, Finding, Label, Verdict};
use super::state::{Net, Ns, Part};

/// Codes that say that something is nowhere: they hold only where everything was read.
const ABSENCE: [Code; 9] = [
    Code::LinkMissing,
    Code::LinkWrongNetns,
    Code::LinkNoCarrier,
    Code::AddrMissing,
    Code::RouteGatewayDead,
    Code::PortNotEnslaved,
    Code::NatMissing,
    Code::RouteWrongNexthop,
    Code::TunnelMismatch,
];

/// Codes that depend on who listens: where that could not be read, nobody knows.
const SOCKETS: [Code; 2] = [Code::ServiceNotListening, Code::ServiceWrongBind];

/// The namespaces that could not be read, each as what is to be said of it.
pub(super) fn unread(net: &Net) -> Vec<Culprit> {
    net.all.iter().filter_map(of).collect()
}

fn of(ns: &Ns) -> Option<Culprit> {
    let reason = ns.unread.as_ref()?;
    Some(
        Culprit::new(Code::NetnsUnreadable, &ns.at, "namespace", ns.at.name())
            .says(format!("{} could not be read: {reason}; what is in it, and what depends on it, is not known", ns.at))
            .because(Label::State, reason.clone())
            .advise(format!("see what `ip -j -d address show` says in {}", ns.at)),
    )
}

/// What of a namespace that was read could not be read, with what depends on it.
fn parts(net: &Net) -> Vec<(Part, Culprit)> {
    let told = |ns: &Ns| -> Vec<(Part, Culprit)> {
        let failed = ns.failed.borrow();
        let one = |(part, said): &(Part, String)| {
            let what = match part {
                Part::Rules => "the rules of its firewall",
                Part::Sockets => "who listens in it",
                Part::Bridges => "what its bridges know",
                Part::Queues => "its queueing disciplines",
                Part::Policy => "its policy rules of IPv6",
                Part::Routing => "where its kernel would send a packet",
                Part::Original => "something of the machine that this is a copy of",
            };
            let culprit = Culprit::new(Code::NetnsUnreadable, &ns.at, "namespace", ns.at.name())
                .value(what)
                .says(format!("{what} could not be read of {}: {said}; what depends on it is not known", ns.at))
                .because(Label::State, said.clone())
                .advise(format!("see what the program says in {}", ns.at));
            (*part, culprit)
        };
        failed.iter().map(one).collect()
    };
    net.all.iter().flat_map(told).collect()
}

/// What a survey could not look at: namespaces, then parts of others.
pub(super) fn all(net: &Net) -> Vec<Culprit> {
    unread(net).into_iter().chain(parts(net).into_iter().map(|(_, culprit)| culprit)).collect()
}

/// Takes back what was said as if the unread had nothing in it. A packet that was answered, or was seen to die so, needs no reading.
pub(super) fn weigh(net: &Net, complete: bool, finding: &mut Finding) {
    weighed(&unread(net), &parts(net), complete, finding);
}

fn weighed(unread: &[Culprit], parts: &[(Part, Culprit)], complete: bool, finding: &mut Finding) {
    if finding.confidence == Confidence::Observed {
        return;
    }
    let hidden = match &finding.culprit {
        // A way that was walked to its ends leads through no namespace that could not be read.
        None => {
            let walked = complete && finding.verdict == Verdict::Reachable;
            !parts.is_empty() || !(walked || unread.is_empty())
        }
        Some(culprit) => {
            let absent = ABSENCE.contains(&culprit.code);
            let whole = |one: &Culprit| one.at == culprit.at || absent;
            // Rules translate: what was found missing behind them may never have been wanted. Bridges lead to who is missing.
            let part = |(part, one): &(Part, Culprit)| match part {
                Part::Rules | Part::Bridges | Part::Policy | Part::Original => absent,
                Part::Sockets => one.at == culprit.at && SOCKETS.contains(&culprit.code),
                Part::Routing => one.at == culprit.at || absent,
                Part::Queues => false,
            };
            unread.iter().any(whole) || parts.iter().any(part)
        }
    };
    if !hidden {
        return;
    }
    let before = finding.culprit.take();
    finding.verdict = Verdict::Inconclusive;
    finding.confidence = Confidence::Predicted;
    let parts = parts.iter().map(|(_, culprit)| culprit);
    finding.others.splice(0..0, unread.iter().chain(parts).cloned().chain(before));
    finding.others.truncate(OTHERS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Where;

    fn finding(code: Option<(Code, &str)>, verdict: Verdict, confidence: Confidence) -> Finding {
        let at = |name: &str| Where::Named(name.into());
        let culprit = code.map(|(code, ns)| Culprit::new(code, &at(ns), "x", "x"));
        Finding { verdict, confidence, culprit, ..Finding::new(&at("a"), "10.0.0.2") }
    }

    /// What stays as it was said, and what is taken back: a namespace, rules, sockets and queues of `u` could not be read.
    #[test]
    fn what_depends_on_the_unread_is_not_known() {
        use Confidence::{Observed, Predicted};
        use Verdict::{Blocked, Reachable};
        let u = || Culprit::new(Code::NetnsUnreadable, &Where::Named("u".into()), "namespace", "u");
        let (whole, rules, sockets, queues) = (None, Some(Part::Rules), Some(Part::Sockets), Some(Part::Queues));
        let routing = Some(Part::Routing);
        for (hidden, code, verdict, confidence, complete, doubtful) in [
            (whole, None, Reachable, Predicted, false, true),
            (whole, None, Reachable, Predicted, true, false),
            (whole, None, Reachable, Observed, false, false),
            (whole, Some((Code::LoDown, "u")), Blocked, Predicted, false, true),
            (whole, Some((Code::LinkMissing, "a")), Blocked, Predicted, false, true),
            (whole, Some((Code::NfDrop, "a")), Blocked, Predicted, false, false),
            (whole, Some((Code::LinkMissing, "a")), Blocked, Observed, false, false),
            (rules, None, Reachable, Predicted, true, true),
            (rules, None, Reachable, Observed, true, false),
            (rules, Some((Code::NfDrop, "u")), Blocked, Predicted, true, false),
            (rules, Some((Code::NatMissing, "u")), Blocked, Predicted, true, true),
            (sockets, Some((Code::ServiceNotListening, "u")), Blocked, Predicted, true, true),
            (sockets, Some((Code::ServiceNotListening, "b")), Blocked, Predicted, true, false),
            (routing, Some((Code::RouteMissing, "u")), Blocked, Predicted, false, true),
            (routing, Some((Code::AddrMissing, "b")), Blocked, Predicted, false, true),
            (routing, Some((Code::NfDrop, "b")), Blocked, Predicted, false, false),
            (queues, None, Reachable, Predicted, true, true),
            (queues, Some((Code::RouteMissing, "u")), Blocked, Predicted, false, false),
        ] {
            let case = format!("{hidden:?} {code:?} {verdict:?} {confidence:?} {complete}");
            let (unread, parts) = match hidden {
                None => (vec![u()], Vec::new()),
                Some(part) => (Vec::new(), vec![(part, u())]),
            };
            let mut finding = finding(code, verdict, confidence);
            weighed(&unread, &parts, complete, &mut finding);
            let taken_back = finding.verdict == Verdict::Inconclusive && finding.culprit.is_none();
            assert_eq!(taken_back, doubtful, "{case}");
            assert_eq!(finding.others.first().is_some_and(|one| one.code == Code::NetnsUnreadable), doubtful, "{case}");
            // What was blamed before is still told, after it.
            assert_eq!(finding.others.len(), if doubtful { 1 + usize::from(code.is_some()) } else { 0 }, "{case}");
        }
    }
}
