//! The way of one packet through the real rules, by nft's trace. Only with the user's consent: for that moment each namespace on the way
//! gets a table of netwright's own with one rule, which marks the packets of the flow as traced and lets everything pass.
//!
//! The table has the flag `owner`: it belongs to an `nft` that reads from a pipe of ours, and the kernel removes it when that `nft` ends,
//! which it does when the pipe is closed, also when we are killed.

mod netlink;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::codes::Code;
use super::finding::{Confidence, Culprit, Evidence, Finding, Label, Traced, Verdict};
use super::packet::Packet;
use super::state::Net;
use super::walk::Walk;
use super::{OTHERS, Question, again};
use crate::error::{Error, Kind, Result};
use crate::exec::piped::Piped;
use crate::op::Tool;
use crate::probe::Target;
use crate::session::Session;
use netlink::{Did, Listener, Step};

/// The name of the tables, before the process id.
const TABLE: &str = "netwright_trace";
/// How long an `nft` may take to make the table.
const SETUP: Duration = Duration::from_secs(3);
/// How long the last messages are waited for.
const SETTLE: Duration = Duration::from_millis(50);
/// Before everything else that looks at packets (`NF_IP_PRI_CONNTRACK_DEFRAG` is -400).
const PRIORITY: i32 = -450;
/// Packets of one namespace that are told; a flow has two, a retry has more.
const PACKETS: usize = 4;

/// What is traced: everything between the addresses that the flow has on its way.
pub(super) struct Flow {
    places: Vec<usize>,
    addrs: Vec<IpAddr>,
    proto: u8,
    v6: bool,
}

impl Flow {
    /// The flow as the walk found it.
    pub(super) fn of(walk: &Walk<'_>, from: usize, packet: &Packet) -> Self {
        let mut places = vec![from];
        for hop in &walk.hops {
            places.extend(walk.net.index(&hop.at).filter(|index| !places.contains(index)));
        }
        let mut addrs = vec![packet.dst];
        let origin = walk.origin.iter().map(|(_, packet)| packet);
        for packet in origin.chain(walk.end.iter().map(|(_, packet)| packet)) {
            addrs.extend([packet.src, packet.dst]);
        }
        for conn in &walk.conns {
            addrs.extend([&conn.before, &conn.after].into_iter().flat_map(|tuple| [tuple.src.0, tuple.dst.0]));
        }
        addrs.retain(|ip| ip.is_ipv6() == packet.v6() && !ip.is_unspecified());
        addrs.sort_unstable();
        addrs.dedup();
        Self { places, addrs, proto: packet.proto, v6: packet.v6() }
    }

    /// The lines that make the table, one transaction each: a kernel without the family `bridge` keeps the others.
    fn lines(&self, table: &str) -> Vec<String> {
        let family = if self.v6 { "ip6" } else { "ip" };
        let set = self.addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let proto = self.proto;
        let rule =
            format!("{family} saddr {{ {set} }} {family} daddr {{ {set} }} meta l4proto {proto} meta nftrace set 1");
        let make = |of: &str, hooks: &[&str]| {
            let mut line = format!("add table {of} {table} {{ flags owner; }}");
            for hook in hooks {
                let _ = write!(
                    line,
                    "; add chain {of} {table} {hook} {{ type filter hook {hook} priority {PRIORITY}; policy accept; }}"
                );
                let _ = write!(line, "; add rule {of} {table} {hook} {rule}");
            }
            line
        };
        vec![make("bridge", &["prerouting"]), make("inet", &["prerouting", "output"])]
    }
}

/// A namespace that is being traced.
struct Watched {
    ns: usize,
    listener: Listener,
    _table: Piped,
}

/// Whether rules can be traced here at all: to be asked before anything is sent.
///
/// # Errors
///
/// `ToolMissing` when there is no nft.
pub(super) fn possible(session: &Session) -> Result<()> {
    let found = session.exec().tools().path(Tool::Nft).map(drop);
    found.map_err(|error| {
        error.hint("`--trace-rules` needs nft of nftables; without it, `why` answers as well as it can")
    })
}

/// Traces one more packet and takes what the rules did with it into the finding.
///
/// # Errors
///
/// When nft is missing, too old, or does not take the rules.
pub(super) fn trace(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    flow: &Flow,
    finding: &mut Finding,
) -> Result<()> {
    let table = format!("{TABLE}_{}", std::process::id());
    let watched = flow.places.iter().map(|ns| watch(session, net, *ns, &table, flow)).collect::<Result<Vec<_>>>()?;
    again(session, question, target)?;
    sleep(SETTLE);
    let steps: Vec<(usize, Vec<Step>)> = watched.iter().map(|watched| (watched.ns, watched.listener.steps())).collect();
    drop(watched);
    let mut ended = None;
    for (ns, steps) in &steps {
        let steps: Vec<&Step> = steps.iter().filter(|step| step.table != table).collect();
        let mut packets: Vec<u32> = steps.iter().map(|step| step.packet).collect();
        packets.dedup();
        for packet in packets.into_iter().take(PACKETS) {
            let of: Vec<&Step> = steps.iter().copied().filter(|step| step.packet == packet).collect();
            tell(net, *ns, &of, finding);
        }
        let end = steps.iter().rev().find(|step| matches!(step.did, Did::Drop | Did::Queue | Did::Stolen));
        ended = ended.or_else(|| end.map(|step| (*ns, (*step).clone())));
        legacy(net, *ns, flow.v6, finding);
    }
    if finding.verdict == Verdict::Reachable {
        return Ok(());
    }
    match ended {
        Some((ns, step)) => blame(net, ns, &step, finding),
        None => clear(net, flow, finding),
    }
    Ok(())
}

/// Makes the table of one namespace and listens there.
fn watch(session: &Session, net: &Net, ns: usize, table: &str, flow: &Flow) -> Result<Watched> {
    let place = net.ns(ns);
    let refused = |why: String| {
        Error::new(Kind::CommandFailed, format!("the rules of {} cannot be traced: {why}", place.at))
            .hint("tracing needs a kernel with nf_tables and table owners (5.12) and an nft with an interactive mode")
    };
    let listener = place.file().within(Listener::open)?.map_err(|error| refused(error.to_string()))?;
    let mut held = session.exec().hold(Tool::Nft, &["-i"], &place.at, place.file())?;
    let lines = flow.lines(table).into_iter().chain([format!("list table inet {table}")]);
    for line in lines {
        held.tell(&line).map_err(|error| refused(error.to_string()))?;
    }
    let begun = Instant::now();
    // Its answer to the last line; what it repeats of our lines begins with `add`.
    let ready = |said: &str| {
        said.lines().any(|line| {
            line.trim().starts_with("meta nftrace set 1")
                || line.contains("meta nftrace set 1") && !line.contains("add rule")
        })
    };
    loop {
        session.exec().interrupt().check()?;
        let said = held.output();
        if ready(&said) {
            return Ok(Watched { ns, listener, _table: held });
        }
        if !held.running() || begun.elapsed() > crate::patience::scaled(SETUP) {
            let why = said.lines().find(|line| line.contains("rror")).unwrap_or("nft did not answer").to_owned();
            return Err(refused(why));
        }
        sleep(Duration::from_millis(2));
    }
}

/// Tells what the rules of a namespace did with one packet.
fn tell(net: &Net, ns: usize, steps: &[&Step], finding: &mut Finding) {
    let at = net.ns(ns).at.clone();
    let mut words = Vec::new();
    for step in steps.iter().filter(|step| step.did != Did::Continue) {
        let rule = Place::of(net, ns, step);
        let verdict = match &step.did {
            Did::Accept => "accept".to_owned(),
            Did::Drop => "drop".to_owned(),
            Did::Stolen => "stolen".to_owned(),
            Did::Queue => "queue".to_owned(),
            Did::Jump(chain) => format!("jump {chain}"),
            Did::Return | Did::Continue => "return".to_owned(),
        };
        let by = if step.handle.is_some() { format!(" by `{}`", rule.text) } else { " by its policy".to_owned() };
        let quiet = matches!(step.did, Did::Return);
        words.push(format!("{} {} {verdict}{}", rule.table, rule.chain, if quiet { String::new() } else { by }));
        finding.trace.push(Traced {
            at: at.clone(),
            table: format!("{} {}", step.family, step.table),
            chain: step.chain.clone(),
            rule: step.handle.map(|_| rule.text.clone()),
            verdict,
        });
    }
    if !words.is_empty() {
        let text = format!("traced in {at}: {}", words.join(" → "));
        if !finding.notes.iter().any(|note| note.text == text) {
            finding.notes.push(Evidence { label: Label::Probe, text });
        }
    }
}

/// What nft cannot see.
fn legacy(net: &Net, ns: usize, v6: bool, finding: &mut Finding) {
    if net.tables(ns, v6).iter().any(|tables| tables.legacy) {
        let text = format!("{} has iptables-legacy rules: nft's trace does not see them", net.ns(ns).at);
        finding.notes.push(Evidence { label: Label::Inferred, text });
    }
}

/// A rule or policy in the words of the tool that made it.
struct Place {
    tool: &'static str,
    table: String,
    chain: String,
    text: String,
    /// The command that takes it away.
    delete: Vec<String>,
}

impl Place {
    fn of(net: &Net, ns: usize, step: &Step) -> Self {
        let v6 = step.family == "ip6";
        let mine = net.tables(ns, v6).into_iter().find(|tables| !tables.legacy && tables.has(&step.table));
        let classic = matches!(step.family, "ip" | "ip6") && mine.is_some();
        let listing =
            step.handle.map(|_| net.ask(ns, "nft", &["-a", "list", "chain", step.family, &step.table, &step.chain]));
        let rules: Vec<(u64, String)> = listing.map(|listing| handles(&listing.stdout)).unwrap_or_default();
        let index = step.handle.and_then(|handle| rules.iter().position(|(known, _)| *known == handle));
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        if let Some(tables) = mine.filter(|_| classic) {
            let (table, chain) = (step.table.as_str(), step.chain.as_str());
            let rule = index.and_then(|index| tables.rules(table, chain).get(index));
            let (text, delete) = match (rule, step.handle) {
                (Some(rule), _) => (
                    format!("-A {chain} {}", rule.text()),
                    owned(&["-t", table, "-D", chain]).into_iter().chain(rule.words.iter().cloned()).collect(),
                ),
                (None, Some(handle)) => (format!("handle {handle}"), Vec::new()),
                (None, None) => ("policy DROP".to_owned(), owned(&["-t", table, "-P", chain, "ACCEPT"])),
            };
            return Self { tool: tables.tool(), table: table.to_owned(), chain: chain.to_owned(), text, delete };
        }
        let table = format!("{} {}", step.family, step.table);
        let (text, delete) = match step.handle {
            Some(handle) => (
                index.and_then(|index| rules.get(index)).map(|(_, text)| text.clone()).unwrap_or_default(),
                owned(&["delete", "rule", step.family, &step.table, &step.chain, "handle", &handle.to_string()]),
            ),
            None => (
                "policy drop".to_owned(),
                owned(&["chain", step.family, &step.table, &step.chain, "{", "policy", "accept", ";", "}"]),
            ),
        };
        Self { tool: "nft", table, chain: step.chain.clone(), text, delete }
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.tool, self.table, self.chain)
    }
}

/// The rules of `nft -a list chain`, with their handles.
fn handles(listing: &str) -> Vec<(u64, String)> {
    let rule = |line: &str| {
        let (text, handle) = line.trim().rsplit_once(" # handle ")?;
        let heads = text.ends_with('{');
        Some((handle.trim().parse().ok()?, text.trim().to_owned())).filter(|_| !heads)
    };
    listing.lines().filter_map(rule).collect()
}

/// A rule ended it: whatever the walk says, the packet is right.
fn blame(net: &Net, ns: usize, step: &Step, finding: &mut Finding) {
    let at = net.ns(ns).at.clone();
    let place = Place::of(net, ns, step);
    let policy = step.handle.is_none();
    let verb = if step.did == Did::Drop { "drops" } else { "takes" };
    let seen = Evidence {
        label: Label::Probe,
        text: format!("nft trace in {at}: {} {verb} the packet: `{}`", place.name(), place.text),
    };
    let fits = |culprit: &Culprit| {
        culprit.at == at
            && culprit.name == place.name()
            && (culprit.kind == "policy") == policy
            && (policy || culprit.value.contains(place.text.as_str()) || place.text.contains(culprit.value.as_str()))
    };
    if let Some(culprit) = finding.culprit.as_mut().filter(|culprit| fits(culprit)) {
        culprit.evidence.push(seen);
        finding.confidence = Confidence::Confirmed;
        return;
    }
    let known = finding.others.iter().position(fits).map(|index| finding.others.remove(index));
    let mut culprit = known.unwrap_or_else(|| {
        let code = match step.family {
            "bridge" | "netdev" | "arp" => Code::L2FilterDrop,
            _ if policy => Code::NfPolicyDrop,
            _ if place.text.to_lowercase().contains("reject") => Code::NfReject,
            _ => Code::NfDrop,
        };
        let mut culprit = Culprit::new(code, &at, if policy { "policy" } else { "rule" }, place.name())
            .value(place.text.clone())
            .says(format!(
                "{} {} of {at} {verb} the packet: `{}`",
                if policy { "the policy of" } else { "a rule in" },
                place.name(),
                place.text
            ));
        if !place.delete.is_empty() {
            let words = std::iter::once(place.tool.to_owned()).chain(place.delete.iter().cloned());
            culprit = culprit.fix_words(words);
        }
        culprit.hop = finding.hops.iter().rposition(|hop| hop.at == at).map_or(0, |index| index + 1);
        culprit
    });
    culprit.evidence.push(seen);
    let before = finding.culprit.replace(culprit);
    finding.others.splice(0..0, before);
    finding.others.truncate(OTHERS);
    (finding.verdict, finding.confidence) = (Verdict::Blocked, Confidence::Observed);
}

/// No rule ended it: the rules that nobody could judge are cleared, where nft sees them all.
fn clear(net: &Net, flow: &Flow, finding: &mut Finding) {
    let rule = |culprit: &Culprit| culprit.code.is_of_filter();
    let seen = |culprit: &Culprit| {
        flow.places.iter().any(|ns| net.ns(*ns).at == culprit.at) && !culprit.name.contains("legacy")
    };
    let before = finding.others.len();
    if finding.culprit.is_none() {
        finding.others.retain(|other| !(rule(other) && seen(other)));
    }
    let cleared = before - finding.others.len();
    let text = match cleared {
        0 => "nft trace: no rule drops the packet".to_owned(),
        _ => format!("nft trace: no rule drops the packet; {cleared} that might have are cleared"),
    };
    finding.notes.push(Evidence { label: Label::Probe, text });
}

#[cfg(test)]
mod tests {
    use super::handles;

    #[test]
    fn rules_are_told_from_the_heads_of_chains() {
        let listing = "table ip filter { # handle 1\n\tchain INPUT { # handle 1\n\t\ttype filter hook input priority filter; \
                       policy accept;\n\t\tmeta l4proto icmp xt match u32 counter packets 1 bytes 84 drop # handle 2\n\t\tcounter \
                       packets 0 bytes 0 # handle 7\n\t}\n}\n";
        let found = handles(listing);
        assert_eq!(found.iter().map(|(handle, _)| *handle).collect::<Vec<_>>(), [2, 7]);
        assert!(found[0].1.ends_with("drop"));
    }
}
