//! What the flight recorder saw of one more packet, against what the walk says: the same place and fate confirms it; another is right.

use std::time::Duration;

use super::codes::Code;
use super::finding::{Confidence, Culprit, Evidence, Finding, Label, LastSeen, Leg, Verdict};
use super::recorder::{Class, Dropped, End, KnownLink, Match, Place, Plan, Recording, Seen, What, means, record};
use super::state::Net;
use super::trial::{connect_options, ping_options};
use super::{OTHERS, Question};
use crate::op::Where;
use crate::probe::{Proto, Target, Verdict as Answer, connect, ping};
use crate::session::Session;

/// How long the recorded packet is waited for: what the kernel does with it, it does at once.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// The same while another packet is waited for anyway.
pub(super) const GLANCE: Duration = Duration::from_millis(150);

/// Takes what one more packet showed into the finding. Where nothing could be recorded, the finding stands and says so.
pub(super) fn confirm(recorded: crate::Result<Recording>, question: &Question, finding: &mut Finding) {
    let recording = match recorded {
        Ok(recording) => recording,
        Err(error) => {
            let text = format!("the flight recorder cannot be used here: {error}");
            finding.notes.push(Evidence { label: Label::Inferred, text });
            return;
        }
    };
    let (seen, dropped) = match recording.end() {
        End::Dropped(seen, dropped) => (seen, dropped),
        // A neighbour that nobody answers for, and a table without a route, fit what they fit and contradict nothing.
        End::Unresolved(seen) => return unresolved(&recording, seen, question, finding),
        End::Unrouted(seen) => return softly(&recording, seen.netns, finding, &ROUTE),
        End::Open => return by_errno(question, finding),
    };
    let at = recording.place_of(seen).cloned();
    if let Some(probe) = &mut finding.probe {
        probe.last = Some(LastSeen {
            at: at.clone(),
            dev: seen.dev.clone().unwrap_or_default(),
            reason: dropped.reason.clone().unwrap_or_else(|| "dropped".into()),
            function: dropped.function.clone().unwrap_or_default(),
        });
    }
    let fits = |culprit: &Culprit| {
        let here = |at: &Where| near(culprit, at) || Net::is_pretended(at);
        codes(dropped.class).contains(&culprit.code) && at.as_ref().is_none_or(here)
    };
    if finding.culprit.as_ref().is_some_and(&fits) {
        finding.confidence = Confidence::Confirmed;
        return;
    }
    if gave_up(&recording, seen, dropped, finding) || strayed(&recording, at.as_ref(), finding) {
        return;
    }
    // What leads a packet astray is to blame for what it meets there.
    if let Some(culprit) = finding.culprit.as_mut().filter(|culprit| culprit.astray) {
        let after = |at: &Where| {
            finding.hops.iter().skip(culprit.hop.saturating_sub(1)).any(|hop| hop.leg == culprit.leg && hop.at == *at)
        };
        if at.as_ref().is_some_and(|at| *at == culprit.at || after(at)) {
            culprit.evidence.push(Evidence { label: Label::Probe, text: recording.summary() });
            finding.confidence = Confidence::Confirmed;
        }
        return;
    }
    if let Some(index) = finding.others.iter().position(&fits) {
        let found = finding.others.remove(index);
        let before = finding.culprit.replace(found);
        finding.others.splice(0..0, before);
        finding.others.truncate(OTHERS);
        (finding.verdict, finding.confidence) = (Verdict::Blocked, Confidence::Confirmed);
        return;
    }
    // What another cause shows as well (a neighbour that nobody answers for, a copy for somebody else) says nothing against the walk.
    let vague = matches!(
        dropped.class,
        Class::NeighbourFailed
            | Class::OtherHost
            | Class::Harmless
            | Class::Unknown
            | Class::Full
            | Class::SocketRefused
            | Class::Queue
            | Class::NoTarget
            | Class::BridgeRefused
            | Class::PeerRefused
            | Class::TcpState
            | Class::Malformed
            | Class::Fragment
            | Class::Device
    );
    match &finding.culprit {
        // The packet is right: where it died is the answer, and what the state says is a remark.
        Some(known) if !vague && seen.own => match at
            .as_ref()
            .filter(|at| !Net::is_pretended(at) && telling(dropped, known, at, &question.from))
            .and_then(|at| observed(at, seen.dev.as_deref(), dropped))
        {
            Some(culprit) => {
                let before = finding.culprit.replace(culprit);
                let text = before.as_ref().map(|before| {
                    format!("the state says otherwise, and the packet did not: [{}] {}", before.code, before.message)
                });
                finding.notes.extend(text.map(|text| Evidence { label: Label::Inferred, text }));
                finding.others.splice(0..0, before);
                finding.others.truncate(OTHERS);
                (finding.verdict, finding.confidence) = (Verdict::Blocked, Confidence::Observed);
            }
            None => finding.confidence = Confidence::Contradicted,
        },
        Some(_) => {}
        None => {
            if let Some(culprit) = at
                .as_ref()
                .filter(|at| !Net::is_pretended(at))
                .and_then(|at| observed(at, seen.dev.as_deref(), dropped))
            {
                finding.culprit = Some(culprit);
                (finding.verdict, finding.confidence) = (Verdict::Blocked, Confidence::Observed);
            }
        }
    }
}

/// The kernel gave up a question that was open when the packet was sent (`neigh_invalidate`, three seconds after it was first asked): that says
/// what the open question says, where nobody answers for a neighbour who should be there. Returns whether that is so; then it is confirmed.
fn gave_up(recording: &Recording, seen: &Seen, dropped: &Dropped, finding: &mut Finding) -> bool {
    if dropped.class == Class::NeighbourFailed {
        softly(recording, seen.netns, finding, &NEIGHBOUR);
    }
    dropped.class == Class::NeighbourFailed && finding.confidence == Confidence::Confirmed
}

/// A frame for another's hardware address ends there, whatever that one does with it. Returns whether that is so; then it is confirmed.
fn strayed(recording: &Recording, at: Option<&Where>, finding: &mut Finding) -> bool {
    let off = |at: &Where| !finding.hops.iter().any(|hop| hop.at == *at);
    let code = finding.culprit.as_ref().map(|culprit| culprit.code);
    let strays = matches!(
        code,
        Some(
            Code::NeighStaleWrong
                | Code::NeighStaticWrong
                | Code::AddrDuplicate
                | Code::MacDuplicate
                | Code::FdbStaticWrong
        )
    );
    if !strays || !at.is_some_and(off) {
        return false;
    }
    confirmed(recording, finding);
    true
}

/// Whether what was recorded is the end that the walk predicts: nothing more is to be waited for.
pub(super) fn decides(recorded: &(Option<Answer>, Recording), first: Option<&Culprit>) -> bool {
    let (answer, recording) = recorded;
    let (Some(culprit), End::Dropped(seen, dropped)) = (first, recording.end()) else { return false };
    let here = recording.place_of(seen).is_some_and(|at| near(culprit, at));
    seen.own && here && codes(dropped.class).contains(&culprit.code) && !answer.as_ref().is_some_and(Answer::is_reached)
}

const NEIGHBOUR: [Code; 18] = [
    Code::McastSnooped,
    Code::AddrMissing,
    Code::RouteGatewayDead,
    Code::ArpDisabled,
    Code::ArpIgnored,
    Code::PortFloodOff,
    Code::L2FilterDrop,
    Code::V6NdBlocked,
    Code::V6Disabled,
    Code::PortNotEnslaved,
    Code::PrefixMismatch,
    Code::LinkAdminDown,
    Code::PortIsolated,
    Code::PortStpState,
    Code::V6DadPending,
    Code::V6DadFailed,
    Code::PortWrongBridge,
    Code::RpFilter,
];
// A policy rule that says `unreachable` is to the kernel no route at all (`ENETUNREACH` of `fib4_rule_action`).
const ROUTE: [Code; 11] = [
    Code::RuleMisdirect,
    // A tunnel whose packets are routed into it (`-ELOOP` of `udp_tunnel_dst_lookup`).
    Code::RouteLoop,
    Code::RouteMissing,
    Code::RouteWrongNexthop,
    Code::ReturnRouteMissing,
    Code::NatMissing,
    Code::NatWrong,
    Code::PrefixMismatch,
    Code::LinkMissing,
    Code::LinkAdminDown,
    Code::AddrMissing,
];

/// Nobody answered for a neighbour.
fn unresolved(recording: &Recording, seen: &Seen, question: &Question, finding: &mut Finding) {
    let is_v6 = matches!(seen.what, What::Neighbour { addr, .. } if addr.is_ipv6());
    let asker = seen.netns.and_then(|id| recording.name_of(id)) == Some(&question.from);
    if is_v6 && asker && filtered_on_segment(question, finding) {
        confirmed(recording, finding);
    } else {
        softly(recording, seen.netns, finding, &NEIGHBOUR);
    }
}

/// What was recorded is the fate that the culprit explains.
fn confirmed(recording: &Recording, finding: &mut Finding) {
    if let Some(culprit) = &mut finding.culprit {
        culprit.evidence.push(Evidence { label: Label::Probe, text: recording.summary() });
        finding.confidence = Confidence::Confirmed;
    }
}

/// Whether a filter on the asker's own segment is to blame. It drops the neighbour discovery of IPv6 with the packet, and nothing else is seen while a
/// question is open: the kernel repeats it once a second, and whatever is sent meanwhile waits.
fn filtered_on_segment(question: &Question, finding: &Finding) -> bool {
    let on_segment = |culprit: &Culprit| {
        let near = |at: &Where| *at == question.from || *at == culprit.at;
        let filter = culprit.code.is_of_filter() && culprit.leg == Leg::Request && culprit.at != question.from;
        filter && finding.hops.iter().take(culprit.hop).all(|hop| near(&hop.at))
    };
    finding.culprit.as_ref().is_some_and(on_segment)
}

fn softly(recording: &Recording, netns: Option<crate::exec::netns::NetnsId>, finding: &mut Finding, codes: &[Code]) {
    let known = netns.is_some_and(|id| recording.name_of(id).is_some());
    if known && finding.culprit.as_ref().is_some_and(|culprit| codes.contains(&culprit.code)) {
        confirmed(recording, finding);
    }
}

/// The sender's own kernel refused to send: that is the place, and its errno tells the sort.
fn by_errno(question: &Question, finding: &mut Finding) {
    let Some(refused) = finding.probe.as_ref().and_then(|probe| probe.refused) else { return };
    let codes: &[Code] = match refused {
        "unreachable" => &ROUTE_OR_RULE,
        "host-unreachable" => &[Code::RouteUnreachable, Code::RuleMisdirect],
        "blackhole" => &[Code::RouteBlackhole, Code::RuleMisdirect],
        "prohibited" => &[Code::RouteProhibit, Code::RuleMisdirect, Code::NfDrop, Code::NfPolicyDrop, Code::NfReject],
        "too-big" => &[Code::MtuExceeded],
        "no-source-address" => &[Code::AddrMissing, Code::V6DadPending, Code::LocalPortsExhausted],
        "link-down" => &[Code::LinkAdminDown],
        _ => &[],
    };
    let fits = |culprit: &&Culprit| culprit.at == question.from && culprit.leg == Leg::Request;
    if finding.culprit.as_ref().filter(fits).is_some_and(|culprit| codes.contains(&culprit.code)) {
        finding.confidence = Confidence::Confirmed;
    }
}

const ROUTE_OR_RULE: [Code; 10] = [
    Code::RouteMissing,
    Code::RouteUnreachable,
    Code::RuleMisdirect,
    Code::LinkMissing,
    Code::LinkWrongNetns,
    Code::LinkAdminDown,
    Code::LoDown,
    Code::AddrMissing,
    Code::V6Disabled,
    Code::V6DadPending,
];

/// Whether a drop elsewhere than the state says is the packet's own end. What a router's own OUTPUT drops is an ICMP error about the packet,
/// and one more packet than was asked for may be the one too many for a table of ports or connections.
fn telling(dropped: &Dropped, known: &Culprit, at: &Where, prober: &Where) -> bool {
    match dropped.class {
        Class::Ruleset => {
            !known.code.is_of_mtu() && (dropped.hook != Some(super::recorder::Hook::Output) || at == prober)
        }
        Class::Netfilter | Class::NoSocket | Class::TooBig => false,
        _ => true,
    }
}

/// Whether a culprit is where the packet died: a route or setting elsewhere may be why it dies there.
fn near(culprit: &Culprit, at: &Where) -> bool {
    culprit.at == *at
        || matches!(
            culprit.code,
            Code::TtlExpired
                | Code::RouteLoop
                | Code::RouteWrongNexthop
                | Code::NatMissing
                | Code::NatWrong
                | Code::DnatWrongTarget
                | Code::HairpinNoSnat
                | Code::NeighStaticWrong
                | Code::NeighStaleWrong
                | Code::LinkAdminDown
                | Code::MtuL2Mismatch
                | Code::AddrDuplicate
                | Code::MacDuplicate
                | Code::V6DadPending
                | Code::V6DadFailed
        )
}

/// The codes that show as this.
fn codes(class: Class) -> &'static [Code] {
    match class {
        Class::Ruleset | Class::Netfilter => &[
            Code::NfDrop,
            Code::NfPolicyDrop,
            Code::NfReject,
            Code::L2FilterDrop,
            Code::V6NdBlocked,
            Code::ConntrackFull,
            Code::NatPortsExhausted,
        ],
        // A source that no route leads back to should have been translated, and one that came the wrong way was sent there.
        Class::ReversePath => &[
            Code::RpFilter,
            Code::NatMissing,
            Code::NatWrong,
            Code::ReturnRouteMissing,
            Code::RouteWrongNexthop,
            Code::AddrMissing,
        ],
        // A packet from a link-local address, because no other can be used yet, is not forwarded.
        Class::NotForwarding => &[
            Code::ForwardingDisabled,
            Code::V6ForwardingDisabled,
            Code::AddrMissing,
            Code::RouteWrongNexthop,
            Code::V6DadPending,
        ],
        Class::NoRoute => &ROUTE,
        Class::RouteError => &[
            Code::RouteBlackhole,
            Code::RouteUnreachable,
            Code::RouteProhibit,
            Code::RuleMisdirect,
            Code::ForwardingDisabled,
            Code::RouteMissing,
            Code::RouteWrongNexthop,
            Code::ReturnRouteMissing,
            Code::NatMissing,
            Code::NatWrong,
        ],
        Class::OtherHost => &[
            Code::NeighStaticWrong,
            Code::NeighStaleWrong,
            Code::MacDuplicate,
            Code::AddrDuplicate,
            Code::PortNotEnslaved,
        ],
        // A bridge that is down has its ports in the state `disabled`.
        Class::PortState => &[Code::PortStpState, Code::LinkAdminDown],
        Class::NoTarget => &[
            Code::McastSnooped,
            Code::PortHairpinOff,
            Code::PortIsolated,
            Code::PortFloodOff,
            Code::FdbStaticWrong,
            Code::LinkAdminDown,
            Code::PortStpState,
        ],
        Class::BridgeRefused => &[
            Code::PortLocked,
            Code::PortVlan,
            Code::PortIsolated,
            Code::MacDuplicate,
            Code::FdbStaticWrong,
            Code::PortHairpinOff,
        ],
        Class::Queue => &[Code::QdiscDrop, Code::LinkAdminDown, Code::LinkNoCarrier],
        Class::Tc => &[Code::TcDrop],
        Class::Xdp => &[Code::XdpDrop],
        Class::TooBig => &[Code::MtuExceeded, Code::MtuBlackhole, Code::MtuL2Mismatch],
        Class::PeerRefused => &[Code::MtuL2Mismatch, Code::LinkAdminDown],
        Class::HopLimit => &[Code::TtlExpired, Code::RouteLoop],
        Class::NeighbourFailed => &NEIGHBOUR,
        Class::NoSocket => &[
            Code::ServiceNotListening,
            Code::ServiceWrongBind,
            Code::DnatMissing,
            Code::DnatWrongTarget,
            Code::HairpinNoSnat,
            // The answer that is not turned back comes from a stranger.
            Code::NatWrong,
            Code::AddrDuplicate,
            Code::V6DadFailed,
        ],
        Class::SocketRefused => &[Code::ServiceBacklogFull],
        // A source whose way back ends at a local route is taken for the machine's own (`__fib_validate_source`).
        Class::Martian => {
            &[Code::NatMissing, Code::MartianLocalnet, Code::AddrDuplicate, Code::RouteLoop, Code::RpFilter]
        }
        Class::Xfrm => &[Code::XfrmBlock],
        Class::V6Disabled => &[Code::V6Disabled],
        Class::Tunnel => &[Code::TunnelMismatch],
        Class::Signature => &[Code::TcpSignature],
        _ => &[],
    }
}

/// A culprit that only the recorder saw: its class has one meaning.
fn observed(at: &Where, dev: Option<&str>, dropped: &Dropped) -> Option<Culprit> {
    let code = match dropped.class {
        Class::Ruleset | Class::Netfilter => Code::NfDrop,
        Class::ReversePath => Code::RpFilter,
        Class::Tc => Code::TcDrop,
        Class::Xdp => Code::XdpDrop,
        Class::PortState => Code::PortStpState,
        Class::Xfrm => Code::XfrmBlock,
        Class::HopLimit => Code::TtlExpired,
        Class::Tunnel => Code::TunnelMismatch,
        Class::NotForwarding => Code::ForwardingDisabled,
        Class::NoRoute => Code::RouteMissing,
        Class::RouteError => Code::RouteUnreachable,
        Class::Martian => Code::MartianLocalnet,
        Class::NoSocket => Code::ServiceNotListening,
        Class::TooBig => Code::MtuExceeded,
        Class::V6Disabled => Code::V6Disabled,
        Class::Signature => Code::TcpSignature,
        _ => return None,
    };
    let place = dev.unwrap_or_default();
    if code == Code::TcpSignature {
        let what = dropped.reason.as_deref().and_then(means).unwrap_or(dropped.class.means());
        return Some(
            Culprit::new(code, at, "socket", place)
                .says(format!(
                    "a socket of {at} has a key for this peer (TCP MD5 or AO, as BGP uses it), and drops in silence what is not signed with it: \
                     {dropped}; {what}"
                ))
                .because(Label::Probe, format!("dropped in {at}: {dropped}"))
                .advise("give both ends the same key, for each other's addresses, or neither; a translation (NAT) between them breaks it, too"),
        );
    }
    if code == Code::RpFilter {
        return Some(
            Culprit::new(code, at, "sysctl", format!("net.ipv4.conf.{place}.rp_filter"))
                .says(format!("the packet dies in {at} at {place}: the reverse path filter drops it, for {at} would answer its source by another link"))
                .because(Label::Probe, format!("dropped in {at}: {dropped}"))
                .fix(&format!("sysctl -w net.ipv4.conf.{place}.rp_filter=2")),
        );
    }
    Some(
        Culprit::new(code, at, "link", place)
            .says(format!(
                "the packet dies in {at} at {place}: {dropped}; {}; the state that was read does not say which it is",
                dropped.reason.as_deref().and_then(means).unwrap_or(dropped.class.means())
            ))
            .because(Label::Probe, format!("dropped in {at}: {dropped}")),
    )
}

/// Records one more packet. Returns what came of it, where it could be sent, and what was seen.
///
/// # Errors
///
/// When nothing can be recorded here.
pub(super) fn take(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    from: usize,
    patience: Duration,
) -> crate::Result<(Option<Answer>, Recording)> {
    let places = net
        .all
        .iter()
        .enumerate()
        .map(|(index, ns)| Place {
            at: ns.at.clone(),
            netns: ns.file().clone(),
            links: ns
                .links
                .iter()
                .map(|link| KnownLink {
                    index: link.ifindex,
                    name: link.ifname.clone(),
                    peer: net.peer(index, link).map(|(other, far)| (net.ns(other).id, far.ifindex)),
                })
                .collect(),
        })
        .collect();
    // An odd length tells the probe from other pings.
    let size = question.size.unwrap_or(57 + std::process::id() % 60);
    let (protocol, header) = if target.addr.is_ipv6() { (0x86dd, 40) } else { (0x0800, 20) };
    let length = (target.proto == Proto::Icmp).then_some(size + 8 + header);
    let plan = Plan { places, wanted: Match { protocol: Some(protocol), length }, linger: Duration::ZERO };
    let interrupt = session.exec().interrupt().clone();
    let cancel = || interrupt.is_set();
    let file = net.ns(from).file();
    if target.proto == Proto::Icmp {
        let options = ping_options(question, target, size, patience);
        record(file, &plan, || ping(target.addr, &options, &cancel).map(|report| report.verdict).ok())
    } else {
        let options = connect_options(question, patience);
        record(file, &plan, || connect(target, &options, &cancel).map(|open| open.verdict().clone()).ok())
    }
}
