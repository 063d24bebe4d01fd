//! Why a packet dies: a packet is tried, the state of every namespace is read, the way there and back is walked, and the first thing that
//! stops the flow is named, with how that is known and what mends it.
//!
//! | file | what |
//! |---|---|
//! | `state` | what the machine is, read in parallel and when needed; read only |
//! | `walk` | the legs: from hop to hop by the kernel's own route oracle |
//! | `segment` | between two devices: veth, bridges, neighbours |
//! | `filters`, `iptables`, `ipset`, `recent`, `nft`, `u32_match`, `trail` | the hooks, and what rules do: three-valued |
//! | `causes` | why a packet is what it is when a rule drops it |
//! | `supposed` | what the rules would do to it if something were otherwise |
//! | `near_miss` | the rule that would have let a packet pass, but for one thing |
//! | `groups` | multicast: who has joined |
//! | `source` | addresses that do not fit where they are |
//! | `elsewhere` | what is meant and is elsewhere: twins of an address, ways back to the sender, answers of another address |
//! | `tunnel` | packets inside packets |
//! | `routes` | why the kernel would not route |
//! | `upstream` | what an upstream router shows: a missing translation, a wrong turn, and the sandbox's pretended internet |
//! | `service`, `ports` | the end of a leg: who listens; ports that are all taken |
//! | `recorder` | the flight recorder: what the kernel did with one probe, hop by hop |
//! | `confirm` | what the recorder saw against what the walk says |
//! | `again` | a failure that passes: what changed meanwhile, what decides by chance |
//! | `unread` | what could not be read, and what is not known then |
//! | `survey` | what kills packets silently, whoever sends them |
//! | `trace` | with consent: what the rules did with one packet, by nft's trace |
//! | `outlook` | without a destination: gateways, resolvers, the way out |
//! | `trial` | the packet that is tried, beside the reading |
//! | `finding`, `codes` | the answer, and the one table of what can be wrong |

mod again;
mod causes;
pub mod codes;
mod confirm;
mod elsewhere;
mod evaluation;
mod filters;
pub mod finding;
#[cfg(test)]
mod fuzz;
mod groups;
mod ipset;
mod iptables;
mod near_miss;
mod nft;
#[cfg(test)]
#[path = "../../tests/netfilter/oracle.rs"]
mod oracle;
pub(crate) mod outlook;
mod packet;
mod ports;
mod recent;
pub mod recorder;
mod routes;
mod segment;
mod service;
mod source;
mod state;
mod supposed;
pub mod survey;
mod trace;
mod trial;
mod tunnel;
mod u32_match;
mod unread;
mod upstream;
mod walk;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{Established, Proto, Target, Verdict as Answer, answered_by};
use crate::session::Session;
use crate::verify::{Aim, Manner};
use codes::Code;
use finding::{Confidence, Culprit, Evidence, Finding, Label, Leg, Tried, Verdict};
pub use packet::PROTOCOLS;
use packet::{Ct, Packet, Port};
use state::Net;
use trial::Trial;
use walk::{Suspect, Walk, unspecified};

/// How long one try waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a service has to take a connection.
const ACCEPT: Duration = Duration::from_millis(150);
/// Further culprits that are told.
const OTHERS: usize = 3;

/// What else is asked of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The port to come from.
    pub sport: Option<u16>,
    /// Its type of service, or traffic class.
    pub tos: Option<u8>,
    /// The link that it leaves by.
    pub dev: Option<String>,
    /// The type of its ICMP message; an echo request unless told. Others are judged and not sent.
    pub icmp: Option<u8>,
    /// The number of its protocol, when it is none of TCP, UDP and ICMP. Such are judged and not sent.
    pub proto: Option<u8>,
}

impl Shape {
    /// Whether a probe can have it.
    #[must_use]
    pub fn is_sent(&self, v6: bool) -> bool {
        self.proto.is_none() && self.icmp.is_none_or(|kind| kind == if v6 { 128 } else { 8 })
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who wants to reach it.
    pub from: Where,
    /// What is to be reached.
    pub aim: Aim,
    /// Bytes of the payload of a ping, which then may not be fragmented.
    pub size: Option<u32>,
    /// The address to come from.
    pub source: Option<IpAddr>,
    /// The firewall mark.
    pub mark: Option<u32>,
    /// What else is asked of the packet.
    pub shape: Shape,
    /// Whether a packet may be tried.
    pub probe: bool,
    /// Whether the rules may be traced, which changes them for that moment.
    pub trace: bool,
}

impl Question {
    /// Whether `from` reaches `aim`.
    #[must_use]
    pub fn new(from: Where, aim: Aim) -> Self {
        Self { from, aim, size: None, source: None, mark: None, shape: Shape::default(), probe: true, trace: false }
    }

    /// Asks about a packet that is sent so.
    pub fn sent_as(&mut self, manner: &Manner) {
        (self.size, self.source, self.mark) = (manner.size, manner.source, manner.mark);
        (self.shape.sport, self.shape.dev) = (manner.sport, manner.dev.clone());
        if let Aim::Target(target) = &self.aim {
            self.aim = Aim::Target(manner.aimed(target));
        }
    }
}

/// Says why `from` cannot reach the target, or that it can.
///
/// # Errors
///
/// When a namespace is not there, or the machine cannot be read.
pub fn why(session: &Session, question: &Question) -> Result<Finding> {
    answer(session, question, false)
}

/// `failed` says that a probe of somebody else's failed just now.
fn answer(session: &Session, question: &Question, failed: bool) -> Result<Finding> {
    if question.trace {
        trace::possible(session)?;
    }
    let (target, owner) = aim_at(session, question)?;
    let v6 = target.addr.is_ipv6();
    let trial = Trial::of(session, question, &target, owner.as_ref());
    let sent = question.shape.is_sent(v6);
    let running = if question.probe && sent { Some(trial?.begin()?) } else { None };
    let reading = Instant::now();
    let mut given = vec![&question.from];
    given.extend(owner.as_ref());
    let net = Net::read(session, &given, v6);
    let walked = net.as_ref().ok().and_then(|net| {
        let from = net.index(&question.from)?;
        let mut walk = Walk::new(net);
        walk.bound.clone_from(&question.shape.dev);
        let sent = packet(question, &target);
        walk.round_trip(from, sent.clone());
        source::chosen_wrongly(net, from, &sent, &mut walk);
        source::won_by_metric(net, from, &sent, &mut walk);
        Some((from, walk))
    });
    let read = reading.elapsed();
    // While the packet is waited for, its like is recorded: when that dies where the walk says, the waiting is over.
    let glance = match (&running, &net, &walked) {
        (Some(running), Ok(net), Some((from, walk))) if !running.is_over() => {
            let taken = confirm::take(session, question, &target, net, *from, confirm::GLANCE);
            if taken.as_ref().is_ok_and(|taken| confirm::decides(taken, walk.faults.first())) {
                running.stop();
            }
            taken.ok()
        }
        _ => None,
    };
    let mut tried = running.map(trial::Running::end).transpose()?;
    let judging = Instant::now();
    let net = net.as_ref().map_err(Clone::clone)?;
    let (from, mut walk) =
        walked.ok_or_else(|| Error::new(Kind::NotFound, format!("no namespace `{}`", question.from)))?;
    let recorded = second_look(session, question, &target, net, from, &mut tried, glance);
    let failed = failed || tried.as_ref().is_some_and(|(tried, _)| !tried.reached);
    let flow = trace::Flow::of(&walk, from, &packet(question, &target));
    let mut finding = Finding {
        hops: std::mem::take(&mut walk.hops),
        probe: tried.as_ref().map(|tried| tried.0.clone()),
        ..Finding::new(&question.from, target.to_string())
    };
    let silent = tried.as_ref().and_then(|(_, open)| silent_service(net, &walk, &target, open.as_ref()));
    match (&tried, silent) {
        (Some((tried, _)), None) if tried.reached => {
            finding.verdict = Verdict::Reachable;
            finding.confidence = Confidence::Observed;
            open_eyes(net, &walk, from, &packet(question, &target), &mut finding);
        }
        (Some(_), Some(culprit)) => {
            finding.verdict = Verdict::Blocked;
            finding.confidence = Confidence::Observed;
            finding.culprit = Some(culprit);
        }
        _ => {
            judge(session, question, &target, net, &mut walk, &mut finding)?;
            if let Some(recorded) = recorded {
                confirm::confirm(recorded, question, &mut finding);
            }
            unread::weigh(net, walk.complete, &mut finding);
            if failed && finding.culprit.is_none() {
                finding.culprit = stranger(session, question, &target, net, &walk)?;
                if finding.culprit.is_some() {
                    (finding.verdict, finding.confidence) = (Verdict::Blocked, Confidence::Observed);
                }
            }
            if failed && finding.culprit.is_none() && !silence_fits(&walk, &mut finding) {
                finding.verdict = Verdict::Inconclusive;
                again::ask_again(session, question, &target, net, &mut finding, reading)?;
            }
        }
    }
    if question.probe && !sent {
        let text = "predicted only: no probe can send that packet".to_owned();
        finding.notes.push(Evidence { label: Label::Inferred, text });
    }
    // What is answered in the copy of a machine need not be answered on it.
    if finding.verdict == Verdict::Reachable
        && let Some(text) = session.not_known(target.addr)?
    {
        finding.verdict = Verdict::Inconclusive;
        finding.notes.push(finding::Evidence { label: finding::Label::State, text });
    }
    if question.trace {
        trace::trace(session, question, &target, net, &flow, &mut finding)?;
    }
    finding.took = read + judging.elapsed();
    Ok(finding)
}

/// Explains a probe that failed already. Only where nothing is in the way that could be judged, one more packet is tried.
///
/// # Errors
///
/// As [`why`].
pub fn explain(
    session: &Session,
    from: &Where,
    aim: &Aim,
    failed: &crate::verify::Finding,
    manner: &Manner,
) -> Result<Finding> {
    let mut question = Question::new(from.clone(), Aim::Target(failed.target.clone()));
    question.sent_as(manner);
    question.probe = false;
    let mut finding = answer(session, &question, true)?;
    finding.to = aim.to_string();
    let tried = Tried {
        reached: false,
        word: failed.word.to_owned(),
        detail: failed.detail.clone(),
        refused: None,
        last: None,
        took: failed.after,
    };
    finding.probe = Some(tried);
    Ok(finding)
}

/// Whether the state proves that a probe which nobody answered was forbidden: a filter, a route or a setting that stands in its way.
/// That nobody is there proves nothing, nor does what may just have been forgotten: a link that is down, a router that does not forward.
///
/// # Errors
///
/// As [`why`].
pub fn forbids(session: &Session, from: &Where, silent: &Target, manner: &Manner) -> Result<bool> {
    let mut question = Question::new(from.clone(), Aim::Target(silent.clone()));
    question.sent_as(manner);
    question.probe = false;
    let finding = why(session, &question)?;
    let codes = [
        Code::NfPolicyDrop,
        Code::NfDrop,
        Code::NfReject,
        Code::L2FilterDrop,
        Code::TcDrop,
        Code::XdpDrop,
        Code::XfrmBlock,
        Code::PortIsolated,
        Code::PortLocked,
        Code::RouteBlackhole,
        Code::RouteUnreachable,
        Code::RouteProhibit,
    ];
    // The first thing in the way of the request: what is wrong with the answer's way proves it just as well.
    Ok(finding.verdict == Verdict::Blocked && finding.culprit.is_some_and(|culprit| codes.contains(&culprit.code)))
}

/// Records one more packet of a flow that was not answered. When that one arrives, it comes and goes.
fn second_look(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    from: usize,
    tried: &mut Option<(Tried, Option<Established>)>,
    glance: Option<(Option<Answer>, recorder::Recording)>,
) -> Option<Result<recorder::Recording>> {
    let (tried, _) = tried.as_mut().filter(|(tried, _)| !tried.reached)?;
    // One that was recorded meanwhile and shows nothing says nothing.
    let telling = |(answer, recording): &(Option<Answer>, recorder::Recording)| {
        matches!(recording.end(), recorder::End::Dropped(seen, _) if seen.own)
            || answer.as_ref().is_some_and(Answer::is_reached)
    };
    let taken = match glance.filter(telling) {
        Some(taken) => Ok(taken),
        None => confirm::take(session, question, target, net, from, confirm::PATIENCE),
    };
    let (answer, recording) = match taken {
        Ok((answer, recording)) => (answer, Ok(recording)),
        // Without the recorder silence is listened to twice all the same.
        Err(error) if tried.is_silent() => {
            (once(session, question, target, None).ok().map(|(answer, _)| answer), Err(error))
        }
        Err(error) => (None, Err(error)),
    };
    // What only told of an earlier packet, or was answered by a stranger, is no better for being asked again without a witness.
    if let Some(answer) =
        answer.filter(|answer| answer.is_reached() && tried.is_silent() && matches!(question.aim, Aim::Target(_)))
    {
        tried.reached = true;
        answer.word().clone_into(&mut tried.word);
        // Neither is lost to the resolution of an address: the kernel keeps those that wait for it.
        tried.detail = format!("{}, after 1 without an answer: it comes and goes", answer.detail());
    }
    Some(recording)
}

/// The address to try, and the namespace that must answer when the aim names one.
fn aim_at(session: &Session, question: &Question) -> Result<(Target, Option<Where>)> {
    match &question.aim {
        Aim::Target(target) => Ok((target.clone(), None)),
        Aim::Netns(netns) => {
            session.exec().netns(netns)?;
            let addrs = session.shared_addrs(&question.from, netns)?;
            let addr = addrs.first().copied().ok_or_else(|| {
                Error::new(Kind::NotFound, format!("`{netns}` has no address that could be reached"))
                    .hint("give one of its links an address")
                    .netns(netns.name())
            })?;
            Ok((Target::icmp(addr), Some(netns.clone())))
        }
    }
}

fn packet(question: &Question, target: &Target) -> Packet {
    let v6 = target.addr.is_ipv6();
    let header = if v6 { 40 } else { 20 };
    let size = match (target.proto, question.size) {
        (Proto::Icmp, size) => size.unwrap_or(56) + 8,
        (Proto::Udp, size) => size.unwrap_or(16) + 8,
        (Proto::Tcp, size) => size.unwrap_or(0) + 40,
    };
    let shape = &question.shape;
    let ports = target.proto != Proto::Icmp && shape.proto.is_none();
    let echo = if v6 { 128 } else { 8 };
    Packet {
        src: question.source.unwrap_or_else(|| unspecified(v6)),
        dst: target.addr,
        proto: shape.proto.unwrap_or_else(|| Packet::number(target.proto, v6)),
        sport: if ports { shape.sport.map_or(Port::Ephemeral, Port::Exact) } else { Port::None },
        dport: if ports { Port::Exact(target.port) } else { Port::None },
        icmp: (!ports && shape.proto.is_none()).then(|| shape.icmp.unwrap_or(echo)),
        reply: false,
        size: size + header,
        df: question.size.is_some() || target.proto == Proto::Tcp,
        ttl: Some(64),
        tos: Some(shape.tos.unwrap_or(0)),
        mark: Some(question.mark.unwrap_or(0)),
        ct: Ct::New,
        track: packet::Track::default(),
        past: packet::Past::default(),
    }
}

/// One more packet that really leaves.
fn again(session: &Session, question: &Question, target: &Target) -> Result<()> {
    let (answer, _) = once(session, question, target, None)?;
    if answer.is_older() {
        std::thread::sleep(Duration::from_millis(100));
        once(session, question, target, None)?;
    }
    Ok(())
}

fn once(
    session: &Session,
    question: &Question,
    target: &Target,
    owner: Option<&Where>,
) -> Result<(Answer, Option<Established>)> {
    Trial::of(session, question, target, owner)?.once()
}

/// What is sent to a group need not be answered: silence says nothing against the members that the walk found, as long as nothing of it was seen
/// to be dropped. Returns whether that is so; then they are told.
fn silence_fits(walk: &Walk<'_>, finding: &mut Finding) -> bool {
    let silent = finding.probe.as_ref().is_some_and(|tried| tried.is_silent() && tried.last.is_none());
    let judged = walk.left.is_none() && finding.others.is_empty();
    if !silent || !judged || walk.members.is_empty() {
        return false;
    }
    let members: Vec<String> = walk.members.iter().map(|(ns, dev)| format!("{}/{dev}", walk.name(*ns))).collect();
    let text = format!(
        "a group need not answer; these have joined it, listen, and nothing is in the way: {}",
        members.join(", ")
    );
    finding.notes.push(Evidence { label: Label::State, text });
    (finding.verdict, finding.confidence) = (Verdict::Reachable, Confidence::Predicted);
    true
}

/// The connection stands, and nobody takes it from the queue.
fn silent_service(net: &Net, walk: &Walk<'_>, target: &Target, open: Option<&Established>) -> Option<Culprit> {
    let open = open.filter(|open| target.proto == Proto::Tcp && open.verdict().is_reached())?;
    let (ns, packet) = walk.end.as_ref()?;
    let Port::Exact(port) = packet.dport else { return None };
    let waiting = || service::listening(net, *ns, packet.proto, port)?.into_iter().find(|socket| socket.queued > 0);
    waiting()?;
    std::thread::sleep(scaled(ACCEPT));
    let socket = waiting()?;
    let _ = open;
    let at = net.ns(*ns).at.clone();
    let state = process_state(&socket.users).map(|state| format!("; its process {state}")).unwrap_or_default();
    Some(
        Culprit::new(Code::ServiceSilent, &at, "socket", format!("tcp {}", socket.shown))
            .value(format!("{} connections wait to be accepted", socket.queued))
            .says(format!("tcp port {port} in {at} takes the connection and never answers: the service hangs and does not accept it{state}"))
            .because(Label::Probe, "the handshake succeeds, no data comes")
            .because(Label::State, format!("ss -ltnp in {at}: Recv-Q {} {} {}", socket.queued, socket.shown, socket.users))
            .advise("look at the process: stopped, stuck or overloaded"),
    )
}

/// A UDP service that answers by another address than it was asked at: it is asked by a socket that takes answers of everybody.
fn stranger(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    walk: &Walk<'_>,
) -> Result<Option<Culprit>> {
    let Some((ns, packet)) = walk.end.as_ref().filter(|(_, packet)| packet.proto == 17 && packet.dst == target.addr)
    else {
        return Ok(None);
    };
    let Port::Exact(port) = packet.dport else { return Ok(None) };
    let on_all = |socket: &service::Listening| socket.addr.is_none_or(|addr| addr.is_unspecified());
    let Some(socket) = service::listening(net, *ns, 17, port).and_then(|all| all.into_iter().find(on_all)) else {
        return Ok(None);
    };
    let options = trial::connect_options(question, PATIENCE);
    let interrupt = session.exec().interrupt();
    let cancel = || interrupt.is_set();
    let file = session.exec().netns(&question.from)?;
    let answer = file.within(|| answered_by(target, &options, &cancel))??;
    let Some(other) = answer.filter(|ip| *ip != target.addr && net.ns(*ns).owns(*ip).is_some()) else {
        return Ok(None);
    };
    let at = net.ns(*ns).at.clone();
    let asked = target.addr;
    let culprit = Culprit::new(Code::ServiceWrongSource, &at, "socket", format!("udp {}", socket.shown))
        .value(other.to_string())
        .says(format!(
            "udp port {port} in {at} listens on all addresses ({}) and answers what is asked at {asked} by {other}, the address that the kernel \
             takes for what is sent there: who asked at {asked} does not take that for the answer",
            socket.shown
        ))
        .because(Label::Probe, format!("asked by a socket that takes answers of everybody, {asked} is silent and {other} answers"))
        .because(Label::State, format!("ss -lnu in {at}: {} {}", socket.shown, socket.users))
        .advise(format!(
            "let the service listen on {asked} itself, or answer from where it was asked (IP_PKTINFO; `multihome` of OpenVPN)"
        ));
    Ok(Some(culprit))
}

/// What `/proc` says of the process in `users:(("python3",pid=7,fd=3))`.
fn process_state(users: &str) -> Option<String> {
    let pid = users.split("pid=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(')')?.1.split_whitespace().next()?.to_owned();
    Some(match state.as_str() {
        "T" | "t" => format!("{pid} is stopped"),
        "D" => format!("{pid} waits for the disk"),
        "Z" => format!("{pid} is dead"),
        _ => format!("is {pid}"),
    })
}

/// A small packet arrives; what may still keep a transfer from working is said with it.
fn open_eyes(net: &Net, walk: &Walk<'_>, from: usize, sent: &Packet, finding: &mut Finding) {
    if !matches!(sent.proto, 6 | 17) {
        return;
    }
    let mut warn = |text: String| finding.notes.push(Evidence { label: Label::Inferred, text });
    // As big as the sender's link takes, and bigger than what was tried: what no ICMP error tells of.
    let first = walk.hops.iter().find(|hop| hop.out).and_then(|hop| net.ns(net.index(&hop.at)?).link(&hop.dev)?.mtu);
    let mut big = Walk::new(net);
    big.round_trip(from, Packet { size: first.unwrap_or(1500).min(9000), df: true, ..sent.clone() });
    for fault in big.faults.iter().filter(|fault| matches!(fault.code, Code::MtuL2Mismatch | Code::MtuBlackhole)) {
        warn(format!("warning: a small packet arrives, a big one does not: [{}] {}", fault.code, fault.message));
    }
    let rules = walk.suspects.iter().filter(|suspect| suspect.culprit.code.is_of_filter()).take(OTHERS);
    for suspect in rules {
        warn(format!(
            "warning: this one arrived; whether all do depends on {} in {}: `{}`",
            suspect.culprit.name, suspect.culprit.at, suspect.culprit.value
        ));
    }
    if let Some(stale) = walk.stale_connection() {
        warn(format!("warning: [{}] {}", stale.code, stale.message));
    }
}

/// The flow does not work, or nobody tried: what the walk found.
fn judge(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    walk: &mut Walk<'_>,
    finding: &mut Finding,
) -> Result<()> {
    let probed = finding.probe.is_some();
    let mut faults = std::mem::take(&mut walk.faults);
    let suspects = std::mem::take(&mut walk.suspects);
    if let Some(place) = &walk.left {
        let text = format!("the packet leaves by {place} for a place that is not on this machine");
        finding.notes.push(Evidence { label: Label::Inferred, text });
    }
    if let Some(proxy) = &walk.proxied {
        let text = format!("{proxy}: what that sends on is not judged");
        finding.notes.push(Evidence { label: Label::Inferred, text });
    }
    if faults.is_empty() {
        if let Some(culprit) = walk.stale_connection() {
            finding.verdict = Verdict::Blocked;
            finding.confidence = Confidence::Predicted;
            finding.culprit = Some(culprit);
            return Ok(());
        }
        return by_suspects(session, question, target, net, suspects, finding);
    }
    let mut first = faults.remove(0);
    // The answer meets the same chain the other way round: one half of the mending alone mends nothing.
    if matches!(first.code, Code::NfDrop | Code::NfReject | Code::L2FilterDrop) && first.leg == Leg::Request {
        let same = |other: &&Culprit| {
            other.leg == Leg::Reply && (other.code, &other.at, other.kind) == (first.code, &first.at, first.kind)
        };
        let back: Vec<finding::Fix> = faults.iter().filter(same).flat_map(|other| other.fix.iter().cloned()).collect();
        first.fix.extend(back);
        let mut seen = Vec::new();
        first.fix.retain(|fix| {
            !seen.contains(fix) && {
                seen.push(fix.clone());
                true
            }
        });
    }
    // A reverse path filter in the rules, and no way back at all: the way back mends both.
    if first.code == Code::NfDrop
        && (first.value.contains("rpfilter") || first.value.contains("fib saddr"))
        && let Some(back) = faults.iter().find(|other| other.code == Code::ReturnRouteMissing && other.at == first.at)
    {
        first
            .evidence
            .push(Evidence { label: Label::Inferred, text: format!("the answer has no way either: {}", back.message) });
        if !back.fix.is_empty() {
            first.fix.clone_from(&back.fix);
        }
    }
    // Both are one asymmetry: what lets the request in does not lead the answer back.
    if first.code == Code::RpFilter
        && let Some(back) = faults
            .iter()
            .find(|other| other.code == Code::RuleMisdirect && other.at == first.at && other.leg == Leg::Reply)
    {
        first.evidence.push(Evidence {
            label: Label::Inferred,
            text: format!("the answer takes that other way too: {}", back.message),
        });
        first.fix.extend(back.fix.iter().cloned());
    }
    finding.verdict = if walk.pending && matches!(first.code, Code::V6DadPending | Code::PortStpState) {
        Verdict::Pending
    } else {
        Verdict::Blocked
    };
    finding.confidence = Confidence::Predicted;
    finding.culprit = Some(first);
    let rest = suspects.into_iter().map(|suspect| suspect.culprit).filter(|_| !probed);
    finding.others = faults.into_iter().chain(rest).take(OTHERS).collect();
    Ok(())
}

/// Nothing certain is in the way: tries again and sees which counter moves.
fn by_suspects(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    mut suspects: Vec<Suspect>,
    finding: &mut Finding,
) -> Result<()> {
    if finding.probe.is_none() {
        // Nobody tried, and nothing is in the way that could be judged.
        finding.verdict =
            if suspects.is_empty() && finding.notes.is_empty() { Verdict::Reachable } else { Verdict::Inconclusive };
        finding.others = suspects.into_iter().map(|suspect| suspect.culprit).take(OTHERS).collect();
        return Ok(());
    }
    if suspects.is_empty() {
        return Ok(());
    }
    let before: Vec<Option<u64>> = suspects.iter().map(|suspect| counter(net, suspect)).collect();
    let fresh = Net::read(session, &[&question.from], target.addr.is_ipv6())?;
    again(session, question, target)?;
    let now: Vec<Option<u64>> = suspects
        .iter()
        .map(|suspect| {
            let ns = fresh.index(&net.ns(suspect.ns).at)?;
            counter(&fresh, &Suspect { ns, ..suspect.clone() })
        })
        .collect();
    if let Some((index, by)) = to_blame(&before, &now) {
        let mut culprit = suspects.remove(index).culprit;
        let text = match by {
            Some(by) => format!("its counter rose by {by} while one more packet was tried"),
            None => "everything else on the way was judged and lets it pass; the packet does not arrive".to_owned(),
        };
        culprit.evidence.push(Evidence { label: if by.is_some() { Label::Probe } else { Label::Inferred }, text });
        finding.verdict = Verdict::Blocked;
        finding.confidence = Confidence::Observed;
        finding.culprit = Some(culprit);
    }
    finding.others = suspects.into_iter().map(|suspect| suspect.culprit).take(OTHERS).collect();
    Ok(())
}

/// Which of the suspects is to blame, and by how much its counter rose, from their counters before and after one more packet: the only
/// one that rose; without counters the only suspect, since everything else on both legs was judged.
fn to_blame(before: &[Option<u64>], now: &[Option<u64>]) -> Option<(usize, Option<u64>)> {
    let risen = |(index, (before, now)): (usize, (&Option<u64>, &Option<u64>))| {
        let by = (*now)?.checked_sub((*before)?).filter(|by| *by > 0)?;
        Some((index, by))
    };
    let all: Vec<_> = before.iter().zip(now).enumerate().filter_map(risen).collect();
    match (all.as_slice(), before) {
        ([(index, by)], _) => Some((*index, Some(*by))),
        ([], [None]) => Some((0, None)),
        _ => None,
    }
}

/// The counter of a suspect: packets of a rule, drops of a queueing discipline.
fn counter(net: &Net, suspect: &Suspect) -> Option<u64> {
    if let Some(rule) = &suspect.rule {
        if rule.tool == "nft" {
            return net.nft(suspect.ns).counter(rule);
        }
        return [false, true]
            .into_iter()
            .flat_map(|v6| net.tables(suspect.ns, v6))
            .find_map(|tables| tables.counter(rule));
    }
    if !matches!(suspect.culprit.code, Code::TcDrop | Code::QdiscDrop) {
        return None;
    }
    let mut words = suspect.culprit.name.split(' ');
    let dev = words.next()?;
    if suspect.culprit.code == Code::TcDrop
        && let Some(packets) = segment::taken(net, suspect.ns, dev, words.next()?)
    {
        return Some(packets);
    }
    let ours = |kind: &str| matches!(kind, "clsact" | "ingress") == (suspect.culprit.code == Code::TcDrop);
    let found = net
        .qdiscs(suspect.ns)
        .iter()
        .find(|qdisc| state::text(qdisc, "dev") == dev && ours(state::text(qdisc, "kind")))?;
    found.get("drops")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::to_blame;

    #[test]
    fn only_a_counter_that_rose_alone_is_blamed() {
        for (before, now, blamed) in [
            (vec![Some(3)], vec![Some(4)], Some((0, Some(1)))),
            (vec![Some(3)], vec![Some(3)], None),
            (vec![Some(3)], vec![Some(2)], None),
            (vec![Some(3), Some(7)], vec![Some(3), Some(9)], Some((1, Some(2)))),
            (vec![Some(3), Some(7)], vec![Some(4), Some(9)], None),
            (vec![None], vec![None], Some((0, None))),
            (vec![None, None], vec![None, None], None),
            (vec![Some(3)], vec![None], None),
        ] {
            assert_eq!(to_blame(&before, &now), blamed, "{before:?} → {now:?}");
        }
    }
}
