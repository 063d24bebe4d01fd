//! SVG, with the colours of the reader's own light or dark scheme.

use std::fmt::Write as _;

use super::cable::{Cable, Step};
use super::layout::{Band, Block, Layout, MARGIN, TAB_HEIGHT, TEXT, Tab, layout};
use super::page;
use super::{Role, Sort, State, Topology};
use crate::text::markup;

/// Both schemes; `prefers-color-scheme` decides, also inside of an `<img>` on GitHub.
const STYLE: &str = "\
svg { --paper: #ffffff; --box: #f6f8fa; --edge: #57606a; --text: #1f2328; --soft: #57606a; --accent: #0969da; --good: #1a7f37; --warn: #9a6700; --off: #6e7781; --bad: #cf222e }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --box: #161b22; --edge: #8b949e; --text: #e6edf3; --soft: #9da7b3; --accent: #58a6ff; --good: #3fb950; --warn: #d29922; --off: #848d97; --bad: #ff7b72 } }
.paper { fill: var(--paper) }
.box { fill: var(--box); stroke: var(--edge); stroke-width: 1.2 }
.host { stroke: var(--accent); stroke-width: 2 }
.internet { stroke-dasharray: 5 4 }
text { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: var(--text) }
.title { font: bold 13px system-ui, sans-serif }
.addr { fill: var(--accent) }
.fact { fill: var(--soft) }
.fact.stop { fill: var(--warn) }
.idle { fill: var(--warn) }
.down { fill: var(--off) }
.cable { fill: none; stroke: var(--good); stroke-width: 1.8 }
.cable.idle { fill: none; stroke: var(--warn) }
.cable.down { fill: none; stroke: var(--off); stroke-dasharray: 5 4 }
.tab { fill: var(--paper); stroke: var(--good); stroke-width: 1.2 }
.tab.idle { fill: var(--paper); stroke: var(--warn) }
.tab.down { fill: var(--paper); stroke: var(--off) }
.cable.tunnel { stroke: var(--accent); stroke-dasharray: 2 4 }
.cable.parent { stroke: var(--edge); stroke-dasharray: 8 3 }
.cable.path { stroke: var(--accent); stroke-width: 3.6 }
.band { fill: var(--paper); stroke: var(--edge); stroke-width: 1 }
.band.path { stroke: var(--accent); stroke-width: 2.4 }
.band.idle { stroke: var(--warn) }
.band.down { stroke: var(--off); stroke-dasharray: 5 4 }
.band.blame { stroke: var(--bad); stroke-width: 2.4 }
.box.blame { stroke: var(--bad); stroke-width: 2.4 }
text.blame { fill: var(--bad); font-weight: bold }
.cable.blame { stroke: var(--bad); stroke-width: 2.4 }
.tab.blame { stroke: var(--bad); stroke-width: 2 }
.cross { stroke: var(--bad); stroke-width: 3; stroke-linecap: round }
.name { text-anchor: middle; font-size: 10.5px }";

impl Topology {
    /// The picture as SVG, folded when there are many namespaces.
    #[must_use]
    pub fn svg(&self) -> String {
        let label = format!("a network of {} namespaces", self.namespaces.len());
        self.spelled().folded(super::MANY).drawn(&label, For::Image)
    }

    /// This picture, with a name for those who do not see it.
    pub(super) fn drawn(&self, label: &str, reader: For) -> String {
        let Layout { blocks, cables, width, height, caption, .. } = layout(self);
        let mut out = String::new();
        let (id, role) = match reader {
            For::Image => ("", "img"),
            For::Page => (" id=\"picture\"", "group"),
        };
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\"{id} width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"{role}\" aria-label=\"{label}\">",
        );
        let _ = writeln!(out, "<style>\n{STYLE}\n</style>");
        let _ = writeln!(out, "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>");
        let mut group = |open: String, close: &str, draw: &dyn Fn(&mut String)| match reader {
            For::Image => draw(&mut out),
            For::Page => {
                let _ = writeln!(out, "{open}");
                draw(&mut out);
                out.push_str(close);
            }
        };
        for cable in &cables {
            group(page::wire(self, cable), "</g>\n", &|out| draw_cable(cable, out));
        }
        for (index, block) in blocks.iter().enumerate() {
            group(page::node(index), "</g>\n", &|out| draw_block(block, out));
        }
        for tab in cables.iter().flat_map(|cable| &cable.ends) {
            group(page::end(tab), "</g>\n", &|out| draw_tab(tab, out));
        }
        let (line, ..) = TEXT;
        let mut at = height - MARGIN + 12.0;
        for text in caption.iter().rev() {
            at -= line;
            let _ = writeln!(out, "<text class=\"blame\" x=\"{MARGIN:.1}\" y=\"{at:.1}\">{}</text>", markup(text));
        }
        out.push_str("</svg>\n");
        out
    }
}

/// Who reads a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// It stands by itself.
    Image,
    /// A page: each box, cable and tab is a group that says what it is.
    Page,
}

fn draw_block(block: &Block, out: &mut String) {
    let (line, pad, title) = TEXT;
    let class = match block.role {
        _ if block.blamed => " blame",
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
        markup(&block.title)
    );
    let mut at = y + pad + title + 8.0;
    for text in &block.lines {
        let _ = writeln!(
            out,
            "<text class=\"{}\" x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
            text.class,
            x + pad + text.indent,
            markup(&text.text)
        );
        at += line;
    }
    for band in &block.bands {
        let Band { x, y, width, class, .. } = band;
        let height = Band::HEIGHT;
        let _ = writeln!(
            out,
            "<rect class=\"band {class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"5\"/>\
             <text class=\"bridge {class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + pad,
            y + 15.0,
            markup(&band.label)
        );
    }
}

fn draw_tab(tab: &Tab, out: &mut String) {
    let _ = writeln!(
        out,
        "<rect class=\"tab{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{TAB_HEIGHT:.1}\" rx=\"4\"/>\
         <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        if tab.blamed { " blame" } else { class_of(tab.state) },
        tab.x - tab.width / 2.0,
        tab.y - TAB_HEIGHT / 2.0,
        tab.width,
        tab.x,
        tab.y + 3.8,
        markup(&tab.name)
    );
}

fn draw_cable(cable: &Cable, out: &mut String) {
    let [a, b] = &cable.ends;
    let blamed = a.blamed || b.blamed;
    let class = match (cable.sort, worse(a.state, b.state)) {
        _ if blamed => " blame",
        _ if cable.passed => " path",
        (Sort::Tunnel, State::Up) => " tunnel",
        (Sort::Parent, State::Up) => " parent",
        (_, state) => class_of(state),
    };
    let (x, y) = cable.start();
    let mut path = format!("M{x:.1} {y:.1}");
    for step in &cable.way {
        let _ = match step {
            Step::Line((x, y)) => write!(path, " L{x:.1} {y:.1}"),
            Step::Curve((ax, ay), (bx, by), (x, y)) => write!(path, " C{ax:.1} {ay:.1} {bx:.1} {by:.1} {x:.1} {y:.1}"),
        };
    }
    let _ = writeln!(out, "<path class=\"cable{class}\" d=\"{path}\"/>");
    if blamed {
        let (x, y) = cable.middle();
        let (left, right, top, bottom) = (x - 7.0, x + 7.0, y - 7.0, y + 7.0);
        let _ = writeln!(
            out,
            "<path class=\"cross\" d=\"M{left:.1} {top:.1} L{right:.1} {bottom:.1} M{left:.1} {bottom:.1} L{right:.1} {top:.1}\"/>"
        );
    }
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
