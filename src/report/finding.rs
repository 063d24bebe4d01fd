//! A finding of `why` as a person reads it: the verdict, the way with the broken hop marked, the evidence, and what mends it.

use std::fmt::Write as _;

use super::diagnostic::escape;
use super::wrap::wrap;
use crate::op::Where;
use crate::why::finding::{Culprit, Finding, Leg, Verdict};

/// How wide a sentence may be before it is broken.
const WIDTH: usize = 110;

/// Renders a finding, ending in a line break.
#[must_use]
pub fn render(finding: &Finding) -> String {
    let mut out = String::new();
    let (from, to) = (&finding.from, &finding.to);
    let reached = |verb: &str| format!("{from} {verb} {to}");
    match (&finding.culprit, finding.verdict) {
        (Some(culprit), verdict) => {
            let level = if verdict == Verdict::Pending { "pending" } else { "error" };
            let leg = if culprit.leg == Leg::Reply { ": the answer does not come back" } else { "" };
            let _ = writeln!(out, "{level}[{}]: {}{leg}", culprit.code, reached("cannot reach"));
        }
        (None, Verdict::Reachable) => {
            let _ = writeln!(out, "ok: {}", reached("reaches"));
        }
        (None, _) if finding.probe.as_ref().is_some_and(|probe| !probe.reached) => {
            let _ = writeln!(out, "inconclusive: {}, and nothing on the way says why", reached("cannot reach"));
        }
        (None, _) => {
            let _ = writeln!(out, "inconclusive: nobody can say whether {}", reached("reaches"));
        }
    }
    let path = path(finding);
    if !path.is_empty() {
        let _ = writeln!(out, "  path  {path}");
    }
    if let Some(culprit) = &finding.culprit {
        let value = if culprit.value.is_empty() || culprit.name.contains(&culprit.value) {
            String::new()
        } else {
            format!(" = {}", culprit.value)
        };
        let _ = writeln!(out, "  --> {}: {} {}{}", culprit.at, culprit.kind, culprit.name, value);
        for line in wrap(&culprit.message, WIDTH) {
            let _ = writeln!(out, "   |  {line}");
        }
        for evidence in &culprit.evidence {
            let _ = writeln!(out, "   = {:<9} {}", format!("{}:", evidence.label.word()), evidence.text);
        }
    }
    for note in &finding.notes {
        let _ = writeln!(out, "   = {:<9} {}", format!("{}:", note.label.word()), note.text);
    }
    match &finding.probe {
        Some(probe) => {
            let last = probe.last.as_ref().map(|last| {
                let at = last.at.as_ref().map_or_else(|| "an unknown namespace".to_owned(), Where::name);
                format!("; dropped in {at}: {} ({})", last.reason, last.function)
            });
            let word = if finding.culprit.is_some() {
                format!("      [{}]", finding.confidence.word())
            } else {
                String::new()
            };
            let _ = writeln!(out, "   = probe:    {}{}{word}", probe.detail, last.unwrap_or_default());
        }
        None => {
            let _ = writeln!(out, "   = probe:    none was sent      [{}]", finding.confidence.word());
        }
    }
    if let Some(culprit) = &finding.culprit {
        mending(&mut out, culprit);
    }
    for other in &finding.others {
        let word =
            if finding.verdict == Verdict::Blocked || finding.verdict == Verdict::Pending { "also" } else { "maybe" };
        let _ = writeln!(out, "   {word}[{}]: {}", other.code, other.message);
    }
    // What namespaces, links and rules are called comes from outside.
    out.lines().map(|line| escape(line) + "\n").collect()
}

fn mending(out: &mut String, culprit: &Culprit) {
    for (index, fix) in culprit.fix.iter().enumerate() {
        let lead = if index == 0 { "help: " } else { "      " };
        let _ = writeln!(out, "   {lead}{}", fix.line());
    }
    if let Some(advice) = &culprit.advice {
        let _ = writeln!(out, "   {}{advice}", if culprit.fix.is_empty() { "help: " } else { "      " });
    }
}

/// The way, namespace by namespace, of the leg that matters; broken where the culprit is.
fn path(finding: &Finding) -> String {
    let leg = finding.culprit.as_ref().map_or(Leg::Request, |culprit| culprit.leg);
    let last = finding.culprit.as_ref().map_or(usize::MAX, |culprit| culprit.hop);
    let mut out = String::new();
    let mut before: Option<&Where> = None;
    let mut broken = false;
    for (index, hop) in finding.hops.iter().enumerate().filter(|(_, hop)| hop.leg == leg) {
        let arrow = if index >= last && finding.culprit.is_some() {
            if broken { " ─ ─▶ " } else { " ──✗  " }
        } else {
            " ──▶ "
        };
        let inner = if index >= last && finding.culprit.is_some() && !broken { " ✗ " } else { " → " };
        broken |= index >= last && finding.culprit.is_some();
        match before {
            Some(at) if *at == hop.at => {
                let _ = write!(out, "{inner}{}", hop.dev);
            }
            Some(_) => {
                let _ = write!(out, "{arrow}{}/{}", hop.at, hop.dev);
            }
            None => {
                let _ = write!(out, "{}/{}", hop.at, hop.dev);
            }
        }
        before = Some(&hop.at);
    }
    if finding.culprit.is_some() && !broken && !out.is_empty() {
        out.push_str(" ✗");
    }
    out
}
