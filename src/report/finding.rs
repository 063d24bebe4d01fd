//! A finding of `why` as a person reads it: the verdict, the way with the broken hop marked, the evidence, and what mends it.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use annotate_snippets::renderer::{
    DEFAULT_ERROR_STYLE, DEFAULT_HELP_STYLE, DEFAULT_LINE_NUM_STYLE, DEFAULT_NOTE_STYLE, DEFAULT_WARNING_STYLE,
};

use crate::draw::name_of;
use crate::op::Where;
use crate::text::diagnostic::escape;
use crate::text::wrap::wrap;
use crate::why::finding::{Culprit, Evidence, Finding, Leg, Verdict};
use crate::why::survey::Survey;

/// How a finding is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colours.
    pub color: bool,
    /// How many columns there are. Commands are never broken.
    pub width: usize,
}

impl Style {
    /// For files, scripts and pipes.
    pub const PLAIN: Self = Self { color: false, width: 117 };

    /// For whatever standard output is; `NO_COLOR` is heeded.
    #[must_use]
    pub fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self::PLAIN;
        }
        let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
        let width = if columns == 0 { Self::PLAIN.width } else { columns.clamp(40, Self::PLAIN.width) };
        Self { color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()), width }
    }

    /// What comes from outside is spelled out, and then each line gets the colours of its sort.
    fn finish(self, text: &str) -> String {
        text.lines().map(|line| self.paint(&escape(line)) + "\n").collect()
    }

    fn paint(self, line: &str) -> String {
        if !self.color {
            return line.to_owned();
        }
        // What the line begins with, by the sort of the line.
        let begins = [
            ("error[", "]", DEFAULT_ERROR_STYLE),
            ("pending[", "]", DEFAULT_WARNING_STYLE),
            ("warning[", "]", DEFAULT_WARNING_STYLE),
            ("inconclusive", ":", DEFAULT_WARNING_STYLE),
            ("ok", ":", DEFAULT_HELP_STYLE),
            ("   help", ":", DEFAULT_HELP_STYLE),
            ("   advice", ":", DEFAULT_HELP_STYLE),
            ("   also[", "]", DEFAULT_NOTE_STYLE),
            ("   maybe[", "]", DEFAULT_NOTE_STYLE),
            ("   =", ":", DEFAULT_LINE_NUM_STYLE),
            ("  -->", " ", DEFAULT_LINE_NUM_STYLE),
            ("   |", " ", DEFAULT_LINE_NUM_STYLE),
            ("  path", " ", DEFAULT_LINE_NUM_STYLE),
        ];
        let found = begins.into_iter().find_map(|(begin, end, style)| {
            let rest = line.strip_prefix(begin)?;
            let cut = begin.len() + rest.find(end)? + end.len();
            Some((line.split_at_checked(cut)?, style))
        });
        let Some(((head, rest), style)) = found else { return line.replace('✗', &mark()) };
        let rest = if head.starts_with("  path") { rest.replace('✗', &mark()) } else { rest.to_owned() };
        format!("{style}{head}{style:#}{rest}")
    }
}

/// The place where the way is broken.
fn mark() -> String {
    format!("{DEFAULT_ERROR_STYLE}✗{DEFAULT_ERROR_STYLE:#}")
}

/// Renders a finding, ending in a line break.
#[must_use]
pub fn render(finding: &Finding, style: Style) -> String {
    let mut out = String::new();
    headline(&mut out, finding);
    way(&mut out, finding, style.width);
    if let Some(culprit) = &finding.culprit {
        let value = if culprit.value.is_empty() || culprit.name.contains(&culprit.value) {
            String::new()
        } else {
            format!(" = {}", culprit.value)
        };
        let _ = writeln!(out, "  --> {}: {} {}{}", culprit.at, culprit.kind, culprit.name, value);
        about(&mut out, culprit, style.width);
    }
    for note in &finding.notes {
        evidence(&mut out, note, style.width);
    }
    probe(&mut out, finding);
    if let Some(culprit) = &finding.culprit {
        mending(&mut out, culprit);
    }
    for other in &finding.others {
        let blocked = matches!(finding.verdict, Verdict::Blocked | Verdict::Pending);
        let word = if blocked { "also" } else { "maybe" };
        hanging(&mut out, &format!("   {word}[{}]: ", other.code), "     ", &other.message, style.width);
    }
    style.finish(&out)
}

fn headline(out: &mut String, finding: &Finding) {
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
}

fn about(out: &mut String, culprit: &Culprit, width: usize) {
    for line in wrap(&culprit.message, width.saturating_sub(7)) {
        let _ = writeln!(out, "   |  {line}");
    }
    for one in &culprit.evidence {
        evidence(out, one, width);
    }
}

fn evidence(out: &mut String, one: &Evidence, width: usize) {
    let head = format!("   = {:<9} ", format!("{}:", one.label.word()));
    let rest = " ".repeat(head.len());
    hanging(out, &head, &rest, &one.text, width);
}

/// Text that is broken between words, with its further lines indented.
fn hanging(out: &mut String, head: &str, rest: &str, text: &str, width: usize) {
    let room = width.saturating_sub(head.chars().count().max(rest.len()));
    for (index, line) in wrap(text, room).into_iter().enumerate() {
        let _ = writeln!(out, "{}{}", if index == 0 { head } else { rest }, line.trim_end());
    }
}

fn probe(out: &mut String, finding: &Finding) {
    let Some(probe) = &finding.probe else {
        let _ = writeln!(out, "   = probe:    none was sent      [{}]", finding.confidence.word());
        return;
    };
    let last = probe.last.as_ref().map(|last| {
        let at = last.at.as_ref().map_or_else(|| "an unknown namespace".to_owned(), name_of);
        format!("; dropped in {at}: {} ({})", last.reason, last.function)
    });
    let word = if finding.culprit.is_some() { format!("      [{}]", finding.confidence.word()) } else { String::new() };
    let _ = writeln!(out, "   = probe:    {}{}{word}", probe.detail, last.unwrap_or_default());
}

/// Renders what a look at the whole network found, ending in a line break.
#[must_use]
pub fn survey(found: &Survey, style: Style) -> String {
    let mut out = String::new();
    let many = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    for culprit in &found.findings {
        let _ = writeln!(out, "warning[{}]: {}: {} {}", culprit.code, culprit.at, culprit.kind, culprit.name);
        about(&mut out, culprit, style.width);
        mending(&mut out, culprit);
    }
    let what = many(found.findings.len(), "finding");
    let _ = writeln!(out, "{what} in {}", many(found.namespaces, "namespace"));
    style.finish(&out)
}

fn mending(out: &mut String, culprit: &Culprit) {
    for (index, fix) in culprit.fix.iter().enumerate() {
        let lead = if index == 0 { "help: " } else { "      " };
        let _ = writeln!(out, "   {lead}{}", fix.hint());
    }
    if let Some(script) = &culprit.script {
        let _ = writeln!(out, "   in a script: {script}");
    }
    if let Some(advice) = &culprit.advice {
        // No command mends it: somebody has to act.
        let _ = writeln!(out, "   {}{advice}", if culprit.fix.is_empty() { "advice: " } else { "      " });
    }
}

/// The way, broken into lines between two hops where it is too long.
fn way(out: &mut String, finding: &Finding, width: usize) {
    let mut column = 0;
    for piece in path(finding) {
        let length = piece.chars().count();
        if column == 0 {
            let _ = write!(out, "  path  ");
            column = 8;
        } else if column + length > width {
            let _ = write!(out, "\n       ");
            column = 7;
        }
        let _ = write!(out, "{piece}");
        column += length;
    }
    if column > 0 {
        let _ = writeln!(out);
    }
}

/// The same with what people call the containers in it. Commands stay as they are: they need the path.
#[must_use]
pub fn called(text: &str, names: &[(Where, String)]) -> String {
    let mut command = false;
    let line = |line: &str| {
        // Commands stand behind `help:`, and below it further in than anything else.
        command = line.trim_start().starts_with("help:") || command && line.starts_with("         ");
        if command {
            return line.to_owned();
        }
        names.iter().fold(line.to_owned(), |line, (at, name)| line.replace(&at.name(), name))
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The way, link by link, of the leg that matters; broken where the culprit is.
fn path(finding: &Finding) -> Vec<String> {
    let leg = finding.culprit.as_ref().map_or(Leg::Request, |culprit| culprit.leg);
    let last = finding.culprit.as_ref().map_or(usize::MAX, |culprit| culprit.hop);
    let mut out: Vec<String> = Vec::new();
    let mut before: Option<&Where> = None;
    let mut broken = false;
    for (index, hop) in finding.hops.iter().enumerate().filter(|(_, hop)| hop.leg == leg) {
        let beyond = index >= last && finding.culprit.is_some();
        let arrow = match (beyond, broken) {
            (false, _) => " ──▶ ",
            (true, false) => " ──✗  ",
            (true, true) => " ─ ─▶ ",
        };
        let inner = if beyond && !broken { " ✗ " } else { " → " };
        broken |= beyond;
        out.push(match before {
            Some(at) if *at == hop.at => format!("{inner}{}", hop.dev),
            Some(_) => format!("{arrow}{}/{}", name_of(&hop.at), hop.dev),
            None => format!("{}/{}", hop.at, hop.dev),
        });
        before = Some(&hop.at);
    }
    if finding.culprit.is_some() && !broken && !out.is_empty() {
        out.push(" ✗".to_owned());
    }
    out
}
