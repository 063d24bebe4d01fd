//! SVG, with the colours of the reader's own light or dark scheme.

use std::fmt::Write as _;

use super::layout::{Block, Layout, Side, TAB_HEIGHT, TEXT, Tab, layout};
use super::{Role, State, Topology};

/// Both schemes; `prefers-color-scheme` decides, also inside of an `<img>` on GitHub.
const STYLE: &str = "\
svg { --paper: #ffffff; --box: #f6f8fa; --edge: #57606a; --text: #1f2328; --soft: #57606a; --accent: #0969da; --good: #1a7f37; --warn: #9a6700; --off: #8c959f }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --box: #161b22; --edge: #8b949e; --text: #e6edf3; --soft: #9da7b3; --accent: #58a6ff; --good: #3fb950; --warn: #d29922; --off: #6e7681 } }
.paper { fill: var(--paper) }
.box { fill: var(--box); stroke: var(--edge); stroke-width: 1.2 }
.host { stroke: var(--accent); stroke-width: 2 }
.internet { stroke-dasharray: 5 4 }
text { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: var(--text) }
.title { font: bold 13px system-ui, sans-serif }
.addr { fill: var(--accent) }
.fact { fill: var(--soft) }
.idle { fill: var(--warn) }
.down { fill: var(--off) }
.cable { fill: none; stroke: var(--good); stroke-width: 1.8 }
.cable.idle { fill: none; stroke: var(--warn) }
.cable.down { fill: none; stroke: var(--off); stroke-dasharray: 5 4 }
.tab { fill: var(--paper); stroke: var(--good); stroke-width: 1.2 }
.tab.idle { fill: var(--paper); stroke: var(--warn) }
.tab.down { fill: var(--paper); stroke: var(--off) }
.name { text-anchor: middle; font-size: 10.5px }";

impl Topology {
    /// The picture as SVG, folded when there are many namespaces.
    #[must_use]
    pub fn svg(&self) -> String {
        let picture = self.folded(super::MANY);
        let Layout { blocks, cables, width, height } = layout(&picture);
        let mut out = String::new();
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"a network of {} namespaces\">",
            self.namespaces.len()
        );
        let _ = writeln!(out, "<style>\n{STYLE}\n</style>");
        let _ = writeln!(out, "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>");
        for [a, b] in &cables {
            let _ = writeln!(out, "<path class=\"cable{}\" d=\"{}\"/>", class_of(worse(a.state, b.state)), path(a, b));
        }
        for block in &blocks {
            draw_block(block, &mut out);
        }
        for tab in cables.iter().flatten() {
            draw_tab(tab, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }
}

fn draw_block(block: &Block, out: &mut String) {
    let (line, pad, title) = TEXT;
    let class = match block.role {
        Role::Host => " host",
        Role::Internet => " internet",
        Role::Netns => "",
    };
    let Block { x, y, width, height, .. } = block;
    // A stack of cards stands for many.
    for card in (1..=if block.count > 1 { 2 } else { 0 }).rev() {
        let by = f64::from(card) * 5.0;
        let _ = writeln!(
            out,
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>",
            x + by,
            y + by
        );
    }
    let _ = writeln!(
        out,
        "<rect class=\"box{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\"/>"
    );
    let _ = writeln!(
        out,
        "<text class=\"title\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x + pad,
        y + pad + 12.0,
        escape(&block.title)
    );
    let mut at = y + pad + title + 8.0;
    for text in &block.lines {
        let _ = writeln!(
            out,
            "<text class=\"{}\" x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
            text.class,
            x + pad + text.indent,
            escape(&text.text)
        );
        at += line;
    }
}

fn draw_tab(tab: &Tab, out: &mut String) {
    let _ = writeln!(
        out,
        "<rect class=\"tab{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{TAB_HEIGHT:.1}\" rx=\"4\"/>\
         <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        class_of(tab.state),
        tab.x - tab.width / 2.0,
        tab.y - TAB_HEIGHT / 2.0,
        tab.width,
        tab.x,
        tab.y + 3.8,
        escape(&tab.name)
    );
}

/// A smooth line that leaves each box at a right angle.
fn path(a: &Tab, b: &Tab) -> String {
    let reach = ((a.x - b.x).hypot(a.y - b.y) / 2.5).clamp(12.0, 120.0);
    let away = |tab: &Tab| match tab.side {
        Side::Top => (tab.x, tab.y - reach),
        Side::Bottom => (tab.x, tab.y + reach),
        Side::Left => (tab.x - reach, tab.y),
        Side::Right => (tab.x + reach, tab.y),
    };
    let ((ax, ay), (bx, by)) = (away(a), away(b));
    format!("M{:.1} {:.1} C{ax:.1} {ay:.1} {bx:.1} {by:.1} {:.1} {:.1}", a.x, a.y, b.x, b.y)
}

fn worse(a: State, b: State) -> State {
    match (a, b) {
        (State::Down, _) | (_, State::Down) => State::Down,
        (State::NoCarrier, _) | (_, State::NoCarrier) => State::NoCarrier,
        _ => State::Up,
    }
}

fn class_of(state: State) -> &'static str {
    match state {
        State::Up => "",
        State::NoCarrier => " idle",
        State::Down => " down",
    }
}

/// Text in XML; what XML cannot hold is shown as a replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
