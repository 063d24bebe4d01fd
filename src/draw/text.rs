//! For a terminal: a tree per namespace, ports below their bridge, each cable named by its other end.

use std::fmt::Write as _;

use super::{Link, Namespace, State, Topology};
use crate::text::diagnostic::escape;
use crate::text::wrap::wrap;

/// As wide as the picture gets.
const WIDTH: usize = 80;
/// ANSI: down in grey, up without a carrier in yellow, the culprit of `why` in red, names bold.
const GREY: &str = "\u{1b}[90m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[1;31m";
const BOLD: &str = "\u{1b}[1m";
const RESET: &str = "\u{1b}[0m";

impl Topology {
    /// The drawing without colour, folded when there are many namespaces.
    #[must_use]
    pub fn text(&self) -> String {
        self.draw_text(false)
    }

    /// The drawing, with ANSI colours or without.
    #[must_use]
    pub fn draw_text(&self, colour: bool) -> String {
        let mut out = String::new();
        let picture = self.folded(super::MANY);
        for namespace in &picture.namespaces {
            if !out.is_empty() {
                out.push('\n');
            }
            draw(&picture, namespace, colour, &mut out);
        }
        out.trim_end().to_owned()
    }
}

fn draw(picture: &Topology, namespace: &Namespace, colour: bool, out: &mut String) {
    let culprit = picture.culprit.as_ref().filter(|_| picture.blames(namespace));
    let (begin, sign) = if culprit.is_some() { (RED, "✗ ") } else { (BOLD, "") };
    let (begin, reset) = if colour { (begin, RESET) } else { ("", "") };
    let _ = write!(out, "{begin}{sign}{}{reset}", escape(&namespace.name));
    if namespace.count > 1 {
        let _ = write!(out, "  ({} alike)", namespace.count);
    }
    out.push_str(if namespace.forwards { "  forwarding\n" } else { "\n" });
    let is_top = |link: &Link| link.master.as_ref().is_none_or(|master| !namespace.has_link(master));
    let top: Vec<&Link> = namespace.shown().map(|(_, link)| link).filter(|link| is_top(link)).collect();
    let facts = super::graph::facts(namespace);
    let way = culprit.and_then(super::Blame::way);
    let last = top.len() + facts.len() + usize::from(culprit.is_some()) + usize::from(way.is_some());
    let mut drawn = 0;
    let mut branch = |out: &mut String, text: &str, colour: Option<&str>| {
        drawn += 1;
        let (corner, stem) = if drawn == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        wrapped(out, corner, stem, text, colour);
        stem
    };
    let red = Some(RED).filter(|_| colour);
    if let Some(culprit) = culprit {
        branch(out, &culprit.line(), red);
    }
    if let Some(way) = way {
        branch(out, &format!("way: {way}"), None);
    }
    let drawn_link = |link: &Link| {
        if picture.blames_link(namespace, link) {
            (format!("✗ {}", line(picture, namespace, link, false)), red)
        } else {
            (line(picture, namespace, link, link.is_nameless()), tint(link, colour))
        }
    };
    for link in top {
        let (text, tint) = drawn_link(link);
        let stem = branch(out, &text, tint);
        let ports: Vec<&Link> = namespace.ports(&link.name).map(|(_, port)| port).collect();
        for (index, port) in ports.iter().enumerate() {
            let (corner, below) =
                if index + 1 == ports.len() { ("└── ", "    ") } else { ("├── ", "│   ") };
            let (text, tint) = drawn_link(port);
            wrapped(out, &format!("{stem}{corner}"), &format!("{stem}{below}"), &text, tint);
        }
    }
    for fact in &facts {
        branch(out, fact, Some(YELLOW).filter(|_| colour && fact.starts_with("filter ")));
    }
}

fn tint(link: &Link, colour: bool) -> Option<&'static str> {
    match link.state {
        State::Up => None,
        State::NoCarrier => Some(YELLOW),
        State::Down => Some(GREY),
    }
    .filter(|_| colour)
}

fn line(picture: &Topology, namespace: &Namespace, link: &Link, nameless: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    if !nameless {
        words.push(format!("{}{}", link.name, link.kind_word(&namespace.name)));
    }
    if link.count > 1 {
        words.push(format!("({} links)", link.count));
    }
    words.extend(link.addrs.iter().cloned());
    if link.state != State::Up {
        words.push(link.state.word().to_owned());
    }
    words.extend(link.peer.as_ref().map(|peer| format!("── {}", picture.called(peer))));
    words.extend(link.far.as_ref().map(|far| format!("┄┄ {}/{}", far.netns, far.link)));
    words.join(" ")
}

/// A line, broken between words where it would leave the screen; what follows stands below its text.
fn wrapped(out: &mut String, first: &str, next: &str, text: &str, colour: Option<&str>) {
    let room = WIDTH.saturating_sub(next.chars().count() + 2).max(20);
    let lines = wrap(&escape(text), room);
    let (begin, end) = colour.map_or(("", ""), |colour| (colour, RESET));
    for (index, line) in lines.iter().enumerate() {
        let lead = if index == 0 { first.to_owned() } else { format!("{next}  ") };
        let _ = writeln!(out, "{lead}{begin}{line}{end}");
    }
}
