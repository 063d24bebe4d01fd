//! An [`Error`] as a person reads it: the source line, what ran, what it said, and a way out.
//!
//! Everything that comes from outside (scripts, tools, the kernel) is escaped first, so that no output can drive the terminal.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::time::Duration;

use annotate_snippets::renderer::{
    DEFAULT_EMPHASIS_STYLE, DEFAULT_ERROR_STYLE, DEFAULT_HELP_STYLE, DEFAULT_LINE_NUM_STYLE, Style,
};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::span::{line_range, span_at};
use crate::Error;
use crate::error::{Call, Place, Ran};

/// As many lines of a tool's words are shown.
const SAID_LINES: usize = 8;
/// As many characters of one line are shown.
const LINE_CHARS: usize = 400;
/// As many calls of a backtrace are shown; an infinite recursion has thousands.
const CALLS: usize = 6;
/// Bytes of a source line that are worth scanning; a minified script has one line of megabytes.
const SOURCE_LINE: usize = 4096;

/// Gives the text of a source by its name.
pub trait Sources {
    /// The text of the script or module `name`, or `None` when there is none at hand.
    fn text(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl<S: BuildHasher> Sources for HashMap<String, String, S> {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(|text| Cow::Borrowed(text.as_str()))
    }
}

impl Sources for BTreeMap<String, String> {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(|text| Cow::Borrowed(text.as_str()))
    }
}

/// Renders `error` for a terminal of `width` columns, ending in a line break.
#[must_use]
pub(crate) fn render(error: &Error, sources: &dyn Sources, color: bool, width: usize) -> String {
    let parts = error.parts();
    let paint = Paint { color };
    let mut out = String::new();
    paint.headline(&mut out, &parts.message);

    let place = parts.place.as_ref().filter(|place| place.source.is_some() || place.line > 0);
    let digits = place.map_or(1, |place| place.line.max(1).to_string().len());
    let gutter = " ".repeat(digits);
    if let Some(place) = place {
        let _ = writeln!(out, "{gutter}{} {}", paint.dim("-->"), origin(place));
    }
    let snippet = place.and_then(|place| snippet(place, parts.label.as_deref(), sources, color, width));
    match (&snippet, &parts.label) {
        (Some(snippet), _) => out.push_str(snippet),
        (None, Some(label)) => footer(&mut out, &format!("{gutter} {} ", paint.dim("=")), digits + 3, label),
        (None, None) => {}
    }
    for call in backtrace(&parts.calls) {
        let _ = writeln!(out, "{gutter}{} {call}", paint.dim(":::"));
    }
    for (name, text) in facts(parts.ran.as_ref()).into_iter().chain(parts.notes.iter().cloned()) {
        let lead = format!("{gutter} {} {}: ", paint.dim("="), paint.strong(&name));
        footer(&mut out, &lead, digits + 5 + name.chars().count(), &text);
    }
    for hint in &parts.hints {
        let lead = format!("{gutter} {}: ", paint.help("help"));
        footer(&mut out, &lead, digits + 7, hint);
    }
    out
}

/// The caret picture of one line, made by annotate-snippets; `None` when the text or the line is not there.
fn snippet(place: &Place, label: Option<&str>, sources: &dyn Sources, color: bool, width: usize) -> Option<String> {
    if place.line == 0 {
        return None;
    }
    let source = sources.text(place.source.as_deref().unwrap_or_default())?;
    let mut line = line_range(&source, place.line)?;
    if line.is_empty() && place.line > 1 && line.start == source.len() {
        return None; // the empty "line" after the last line break
    }
    let mut span = span_at(&source, place.line, place.column);
    // A window around the span, on character boundaries.
    line.start = line.start.max(floor(&source, span.start.saturating_sub(SOURCE_LINE)));
    line.end = line.end.min(floor(&source, span.start + SOURCE_LINE)).max(line.start);
    span.start = span.start.clamp(line.start, line.end);
    span.end = span.end.clamp(span.start, line.end);
    let text = &source[line.clone()];
    let span = span.start - line.start..span.end - line.start;

    let label = label.map(|label| escape(&label.replace('\n', " ")));
    let annotation = AnnotationKind::Primary.span(span).label(label);
    let group =
        Group::with_level(Level::ERROR).element(Snippet::source(text).line_start(place.line).annotation(annotation));
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let picture = renderer.term_width(width.clamp(40, 1000)).render(&[group]);
    Some(picture.trim_end_matches('\n').to_owned() + "\n")
}

/// The greatest character boundary that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn origin(place: &Place) -> String {
    let source = match place.source.as_deref() {
        None | Some("") => "<script>",
        Some(source) => source,
    };
    let source = escape(&source.replace('\n', "\\n"));
    match (place.line, place.column) {
        (0, _) => source,
        (line, 0) => format!("{source}:{line}"),
        (line, column) => format!("{source}:{line}:{column}"),
    }
}

fn backtrace(calls: &[Call]) -> Vec<String> {
    let mut lines: Vec<_> = calls
        .iter()
        .map(|call| {
            let verb = if call.import { "imported" } else { "called" };
            let within = match call.within.as_deref() {
                None => String::new(),
                Some("") => " in a closure".to_owned(),
                Some(name) => format!(" in `{}`", escape(name)),
            };
            format!("{verb} from {}{within}", origin(&call.place))
        })
        .collect();
    if lines.len() > CALLS {
        let hidden = lines.len() - CALLS;
        lines.splice(CALLS / 2..CALLS / 2 + hidden, [format!("… {hidden} more {}", super::noun(hidden, "call"))]);
    }
    lines
}

/// The command and its words, as `= name: text` facts.
fn facts(ran: Option<&Ran>) -> Vec<(String, String)> {
    let Some(ran) = ran else { return Vec::new() };
    let mut facts = vec![("ran".to_owned(), format!("{}   ({})", ran.command, outcome(ran)))];
    let said = if ran.stderr.trim().is_empty() { &ran.stdout } else { &ran.stderr };
    let lines: Vec<_> = said.trim().lines().collect();
    if !lines.is_empty() {
        let mut said = lines.iter().take(SAID_LINES).map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
        if lines.len() > SAID_LINES {
            let more = lines.len() - SAID_LINES;
            let _ = write!(said, "\n… {more} more {}", super::noun(more, "line"));
        }
        facts.push(("said".to_owned(), said));
    }
    facts
}

fn outcome(ran: &Ran) -> String {
    let status = ran.status.map_or_else(|| "killed".to_owned(), |status| format!("exit {status}"));
    if ran.took.is_zero() { status } else { format!("{status}, {}", took(ran.took)) }
}

fn took(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    match ms {
        _ if ms < 1.0 => format!("{ms:.2} ms"),
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// `lead` and the lines of `text`, all but the first indented by `indent`.
fn footer(out: &mut String, lead: &str, indent: usize, text: &str) {
    out.push_str(lead);
    aligned(out, indent, text);
}

fn aligned(out: &mut String, indent: usize, text: &str) {
    for (at, line) in text.trim_end().split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
        let line = line.trim_end_matches('\r');
        let cut = line.char_indices().nth(LINE_CHARS).map_or(line.len(), |(at, _)| at);
        out.push_str(&escape(&line[..cut]));
        if cut < line.len() {
            out.push('…');
        }
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

/// One line of foreign text with everything spelled out that could move the cursor, change colours or reorder text.
#[must_use]
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                out.extend(c.escape_unicode());
            }
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

/// annotate-snippets' own colours, for the lines that it does not draw.
#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn headline(self, out: &mut String, message: &str) {
        let mut text = String::new();
        aligned(&mut text, "error: ".len(), message);
        let text = text.trim_end_matches('\n');
        let _ = writeln!(out, "{}{}", self.with(DEFAULT_ERROR_STYLE, "error"), self.strong(&format!(": {text}")));
    }

    fn dim(self, text: &str) -> String {
        self.with(DEFAULT_LINE_NUM_STYLE, text)
    }

    fn strong(self, text: &str) -> String {
        self.with(DEFAULT_EMPHASIS_STYLE, text)
    }

    fn help(self, text: &str) -> String {
        self.with(DEFAULT_HELP_STYLE, text)
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use proptest::prelude::*;

    fn place(line: usize, column: usize) -> Place {
        Place { source: Some("lab.rhai".into()), line, column }
    }

    fn sources(text: &str) -> HashMap<String, String> {
        HashMap::from([("lab.rhai".to_owned(), text.to_owned())])
    }

    fn shown(error: &Error, text: &str) -> String {
        render(error, &sources(text), false, 100)
    }

    fn design() -> Error {
        Error::new(Kind::NotFound, "no link `veth9` in `red`")
            .label("links in `red`: lo, veth0")
            .hint("did you mean `veth0`?")
            .note("undone", "11 of 11 steps, nothing left behind")
            .ran(Ran {
                command: "ip -n red link set dev veth9 up".into(),
                status: Some(1),
                stderr: "Cannot find device \"veth9\"\n".into(),
                took: Duration::from_millis(2),
                ..Ran::default()
            })
            .at(place(12, 9))
    }

    #[test]
    fn it_looks_as_in_the_design() {
        let text = "\n".repeat(11) + "    red.link(\"veth9\").up();\n";
        insta::assert_snapshot!(shown(&design(), &text), @r#"
        error: no link `veth9` in `red`
          --> lab.rhai:12:9
           |
        12 |     red.link("veth9").up();
           |         ^^^^^^^^^^^^^ links in `red`: lo, veth0
           = ran: ip -n red link set dev veth9 up   (exit 1, 2 ms)
           = said: Cannot find device "veth9"
           = undone: 11 of 11 steps, nothing left behind
           help: did you mean `veth0`?
        "#);
    }

    #[test]
    fn without_text_the_header_and_the_facts_remain() {
        let mut error = design();
        error.parts_mut().calls = vec![
            Call { within: Some("build".into()), import: false, place: place(3, 5) },
            Call { within: None, import: true, place: place(1, 1) },
        ];
        insta::assert_snapshot!(render(&error, &HashMap::<String, String>::new(), false, 100), @r#"
        error: no link `veth9` in `red`
          --> lab.rhai:12:9
           = links in `red`: lo, veth0
          ::: called from lab.rhai:3:5 in `build`
          ::: imported from lab.rhai:1:1
           = ran: ip -n red link set dev veth9 up   (exit 1, 2 ms)
           = said: Cannot find device "veth9"
           = undone: 11 of 11 steps, nothing left behind
           help: did you mean `veth0`?
        "#);
    }

    #[test]
    fn long_and_hostile_output_is_cut_and_escaped() {
        let said = (1..=12).map(|n| format!("line {n} \u{1b}[2J\r\n")).collect::<Vec<_>>().concat();
        let error = Error::new(Kind::CommandFailed, "two\nlines\u{7}")
            .ran(Ran { command: "tool".into(), stderr: said, ..Ran::default() })
            .note("rule", "a\nb\u{202e}");
        insta::assert_snapshot!(shown(&error, ""), @r"
        error: two
               lines\u{7}
          = ran: tool   (killed)
          = said: line 1 \u{1b}[2J
                  line 2 \u{1b}[2J
                  line 3 \u{1b}[2J
                  line 4 \u{1b}[2J
                  line 5 \u{1b}[2J
                  line 6 \u{1b}[2J
                  line 7 \u{1b}[2J
                  line 8 \u{1b}[2J
                  … 4 more lines
          = rule: a
                  b\u{202e}
        ");
    }

    #[test]
    fn tabs_and_wide_characters_keep_the_carets_in_place() {
        let error = Error::new(Kind::NotFound, "no link").at(place(1, 16));
        insta::assert_snapshot!(shown(&error, "\tlet 名 = \"日本\"; f(1);"), @r#"
        error: no link
         --> lab.rhai:1:16
          |
        1 |     let 名 = "日本"; f(1);
          |                      ^^^^
        "#);
    }

    #[test]
    fn a_line_of_megabytes_is_shown_around_the_place() {
        let text = format!("{} f(1) {}", "x".repeat(1_000_000), "é".repeat(1_000_000));
        let shown = shown(&Error::new(Kind::NotFound, "no").at(place(1, 1_000_002)), &text);
        assert!(shown.contains("f(1)") && shown.contains("lab.rhai:1:1000002"), "{shown}");
        assert!(shown.len() < 2000);
    }

    #[test]
    fn no_colour_unless_asked() {
        assert!(!shown(&design(), "x").contains('\u{1b}'));
        assert!(render(&design(), &sources("x"), true, 80).contains("\u{1b}[1m"));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            text in "(?s)[\\PC\n\r\t\u{1b}\"'`(){};日\u{301}]{0,60}",
            message in "(?s).{0,20}",
            line in 0usize..9, column in 0usize..70, width in 0usize..200, color: bool,
        ) {
            let error = Error::new(Kind::NotFound, message.clone()).label(message.clone()).hint(message).at(place(line, column));
            let shown = render(&error, &sources(&text), color, width);
            let escaped = !shown.contains('\u{1b}');
            prop_assert!(color || escaped);
        }
    }
}
