//! A failure that passes: nothing certain is in the way, so the packet is tried once more, and what changed meanwhile, or decides by
//! chance, is named.

use std::time::Instant;

use super::finding::{Evidence, Finding, Label};
use super::state::Net;
use super::{Question, once};
use crate::op::Where;
use crate::probe::{Proto, Target};
use crate::session::Session;

/// A program that started so short a time before it was asked may not have listened yet.
const FRESH_SECONDS: f64 = 3.0;

/// Tries once more, where the failure has no culprit, and notes what came of it: no failure without a word about why.
pub(super) fn ask_again(
    session: &Session,
    question: &Question,
    target: &Target,
    net: &Net,
    finding: &mut Finding,
    failed: Instant,
) -> crate::Result<()> {
    let (answer, _) = once(session, question, target, None)?;
    let after = failed.elapsed().as_millis();
    if !answer.is_reached() {
        let text = format!(
            "asked again {after} ms later: {}; nothing that could be judged stands in the way{}",
            answer.detail(),
            // Only netwright's own listeners answer whatever they get.
            if target.proto == Proto::Udp {
                "; a program need not answer a packet that it does not understand"
            } else {
                ""
            }
        );
        finding.notes.push(Evidence { label: Label::Probe, text });
        return Ok(());
    }
    let text = format!("asked again {after} ms later it was reached: it comes and goes");
    finding.notes.push(Evidence { label: Label::Probe, text });
    let mut causes: Vec<Evidence> = finding
        .others
        .iter()
        .map(|other| Evidence { label: Label::Inferred, text: format!("this may decide: {}", other.message) })
        .collect();
    let places: Vec<Where> = {
        let mut seen = Vec::new();
        for hop in &finding.hops {
            if !seen.contains(&hop.at) {
                seen.push(hop.at.clone());
            }
        }
        seen
    };
    let fresh = Net::read(session, &[&question.from], target.addr.is_ipv6())?;
    for at in &places {
        if let (Some(before), Some(now)) = (net.index(at), fresh.index(at)) {
            let changed = changes(net, before, &fresh, now);
            causes.extend(changed.into_iter().map(|text| Evidence { label: Label::State, text }));
        }
    }
    if target.proto != Proto::Icmp {
        causes.extend(young_listener(net, finding, target));
    }
    if causes.is_empty() {
        let text = "neither a rule that decides by chance nor a neighbour, an address or a forwarding entry that changed was seen".to_owned();
        causes.push(Evidence { label: Label::Inferred, text });
    }
    finding.notes.extend(causes);
    Ok(())
}

/// What became otherwise in a namespace since the first look: neighbours, addresses on probation, hardware addresses, forwarding entries.
fn changes(net: &Net, before: usize, fresh: &Net, now: usize) -> Vec<String> {
    let (old, new) = (net.ns(before), fresh.ns(now));
    let at = &old.at;
    let mut found = Vec::new();
    // What waits for an answer or got one this moment; to be reachable or stale is how entries age.
    let waits =
        |state: &[String]| state.iter().any(|word| ["INCOMPLETE", "FAILED", "PROBE", "NONE"].contains(&word.as_str()));
    for neigh in &new.neighs {
        let was = old.neighs.iter().find(|was| was.ip == neigh.ip && was.dev == neigh.dev);
        let (mac, state) = (neigh.mac.as_deref().unwrap_or("nobody"), neigh.state.join(","));
        match was {
            Some(was) if was.mac != neigh.mac => found.push(format!(
                "meanwhile neighbour {} of {at} on {} became {mac} ({state}): it was {} ({})",
                neigh.ip,
                neigh.dev,
                was.mac.as_deref().unwrap_or("nobody"),
                was.state.join(",")
            )),
            Some(was) if waits(&was.state) && !waits(&neigh.state) => {
                found.push(format!(
                    "meanwhile neighbour {} of {at} on {} answered: it was {}",
                    neigh.ip,
                    neigh.dev,
                    was.state.join(",")
                ));
            }
            None if !waits(&neigh.state) => {
                found.push(format!("meanwhile {at} learned its neighbour {} on {}: {mac}", neigh.ip, neigh.dev));
            }
            _ => {}
        }
    }
    for addr in old.addrs.iter().filter(|addr| addr.tentative) {
        let still = new.addrs.iter().any(|now| now.ip == addr.ip && now.dev == addr.dev && now.tentative);
        let word = if still { "is being tested" } else { "was being tested until now" };
        found.push(format!("{}/{} of {at} {word} for a duplicate (tentative)", addr.dev, addr.ip));
    }
    for link in &new.links {
        if let Some(was) = old.link(&link.ifname).filter(|was| was.address != link.address) {
            let mac = |link: &crate::model::link::Link| link.address.clone().unwrap_or_default();
            found.push(format!(
                "meanwhile {at}/{} changed its hardware address from {} to {}",
                link.ifname,
                mac(was),
                mac(link)
            ));
        }
    }
    let entry = |value: &serde_json::Value| {
        let text = |key: &str| super::state::text(value, key).to_owned();
        (text("mac"), text("ifname"))
    };
    if old.links.iter().any(|link| link.kind() == Some("bridge")) {
        let known: Vec<_> = net.fdb(before).iter().map(entry).collect();
        for (mac, dev) in fresh.fdb(now).iter().map(entry) {
            if let Some((_, was)) = known.iter().find(|(other, was)| *other == mac && *was != dev)
                && !known.contains(&(mac.clone(), dev.clone()))
            {
                found.push(format!("meanwhile the bridge in {at} learned {mac} on {dev}: it was on {was}"));
            }
        }
    }
    found
}

/// A program that listens on the port and was started just now.
fn young_listener(net: &Net, finding: &Finding, target: &Target) -> Vec<Evidence> {
    let Some(at) = finding.hops.iter().rev().find(|hop| hop.leg == super::finding::Leg::Request).map(|hop| &hop.at)
    else {
        return Vec::new();
    };
    let proto = if target.proto == Proto::Tcp { 6 } else { 17 };
    let sockets =
        net.index(at).and_then(|ns| super::service::listening(net, ns, proto, target.port)).unwrap_or_default();
    let young = sockets.iter().filter_map(|socket| {
        let pid: u32 = socket.users.split("pid=").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        let age = age_of(pid)?;
        (age < FRESH_SECONDS).then(|| Evidence {
            label: Label::State,
            text: format!(
                "the program that listens on port {} in {at} was started {age:.1} s ago: {}",
                target.port, socket.users
            ),
        })
    });
    young.collect()
}

/// How many seconds a process has run: field 22 of `/proc/PID/stat` counts ticks since boot, of which there are 100 in a second for
/// user space on every architecture (`USER_HZ`).
fn age_of(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    Some((uptime - started / 100.0).max(0.0))
}
