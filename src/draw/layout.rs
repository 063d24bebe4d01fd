//! Where things stand: each connected part of the network in layers below its root, or in a row when it is a chain.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::cable::{self, Cable};
use super::graph::{facts, title};
use super::{Namespace, Role, Spot, State, Topology};

/// Sizes in pixels; a letter of the small font is 6.6 wide.
const LETTER: f64 = 6.7;
/// How much wider the bold font of a title is, with the widest that a reader may have.
const BOLD: f64 = 1.36;
const LINE: f64 = 16.0;
const PAD: f64 = 12.0;
const TITLE: f64 = 26.0;
const TAB: f64 = 18.0;
const GAP_X: f64 = 40.0;
const GAP_Y: f64 = 84.0;
pub(super) const MARGIN: f64 = 28.0;
/// Between the two tabs of a cable in a chain, and a little of each that lies in its box.
const GAP_TABS: f64 = 20.0;
/// Between parts of the network that do not hang together.
const GAP_PART: f64 = 64.0;
/// A row of boxes gets about this wide, then another begins.
const ROW: f64 = 1200.0;
/// A chain is drawn in a row up to this many boxes, with at most so many cables on each: their tabs stand above each other.
const CHAIN: usize = 6;
const CABLES: usize = 12;
/// A picture with a caption is at least this wide.
const CAPTION: f64 = 480.0;

/// As many routes and rules are written into a box, each cut to so many letters.
const FACTS: usize = 20;
const FACT: usize = 54;
/// How high the band is that holds the ports of a bridge, and how far it stands from others.
const BAND: f64 = 34.0;
const BAND_GAP: f64 = 14.0;
/// Between the tabs of a band.
const PORT_GAP: f64 = 12.0;

/// A line of text in a box.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) class: &'static str,
    pub(super) indent: f64,
}

/// A namespace as a box.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) title: String,
    pub(super) role: Role,
    pub(super) count: usize,
    pub(super) lines: Vec<Line>,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// `why` blames it.
    pub(super) blamed: bool,
    /// The row that it stands in.
    pub(super) row: usize,
    /// The bridges whose ports leave by its lower side.
    pub(super) bands: Vec<Band>,
}

/// A bridge at the lower side of its box, as wide as its ports.
#[derive(Debug)]
pub(super) struct Band {
    pub(super) master: String,
    pub(super) label: String,
    pub(super) class: &'static str,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

impl Band {
    pub(super) const HEIGHT: f64 = BAND;
}

impl Block {
    /// How far the cards of a stack, which stands for many, reach beyond the first.
    pub(super) fn cards(&self) -> f64 {
        if self.count > 1 { 10.0 } else { 0.0 }
    }
}

/// Boxes side by side; between two rows there is nothing but cables.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Cables lead from a box to the one beside it.
    pub(super) is_chain: bool,
    /// From the left to the right.
    pub(super) blocks: Vec<usize>,
}

/// The side of a box that a cable leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Top,
    Bottom,
    Left,
    Right,
}

/// Where a cable ends: a tab with the link's name on the edge of a box.
#[derive(Debug)]
pub(super) struct Tab {
    pub(super) block: usize,
    pub(super) side: Side,
    /// The link.
    pub(super) link: String,
    /// What stands on it: its name, unless that says nothing.
    pub(super) name: String,
    pub(super) state: State,
    /// The bridge that it is a port of.
    pub(super) master: Option<String>,
    /// `why` blames the link.
    pub(super) blamed: bool,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// The picture before it is written.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    pub(super) rows: Vec<Row>,
    pub(super) cables: Vec<Cable>,
    /// Lines below the picture.
    pub(super) caption: Vec<String>,
    pub(super) width: f64,
    pub(super) height: f64,
}

#[expect(clippy::cast_precision_loss, reason = "letters and boxes are few")]
fn float(number: usize) -> f64 {
    number as f64
}

fn text_width(text: &str) -> f64 {
    float(text.chars().count()) * LETTER
}

pub(super) fn layout(picture: &Topology) -> Layout {
    let count = picture.namespaces.len();
    let cables = picture.cables();
    let mut near = vec![Vec::new(); count];
    for cable in &cables {
        let [(a, _), (b, _)] = cable.ends;
        if a != b {
            near[a].push(b);
            near[b].push(a);
        }
    }
    // Which rows there are depends on how wide the boxes are, and what is at their lower sides on the rows.
    let mut tabs_width = vec![0.0; count];
    for (n, l) in cables.iter().flat_map(|cable| cable.ends) {
        tabs_width[n] += tab_width(&tab_name(&picture.namespaces[n].links[l])) + PORT_GAP;
    }
    let plain = picture.namespaces.iter().zip(&tabs_width);
    let plain: Vec<Block> = plain.map(|(one, tabs)| block(picture, one, *tabs, Vec::new())).collect();
    let (parts, alone) = parts(picture, &near, &cables, &plain);
    let below = below(&cables, &parts, count);
    let blocks = picture.namespaces.iter().enumerate().map(|(n, one)| {
        let bands = bands(picture, one, &below[n]);
        let in_bands: f64 = bands.iter().map(|band| band.width + BAND_GAP).sum();
        let loose = |l: &usize| !bands.iter().any(|band| Some(&band.master) == one.links[*l].master.as_ref());
        let loose = below[n].iter().filter(|l| loose(l)).map(|l| tab_width(&tab_name(&one.links[*l])) + PORT_GAP);
        let lower = in_bands + loose.sum::<f64>() + BAND_GAP;
        // Tabs side by side must fit, even when all leave by the same side.
        let width = if bands.is_empty() { tabs_width[n] } else { lower.max(tabs_width[n] - lower) };
        block(picture, one, width, bands)
    });
    let mut layout = Layout { blocks: blocks.collect(), ..Layout::default() };
    let mut shelf = Shelf::default();
    for rows in &parts {
        let gap = chain_gap(picture, &cables, rows);
        shelf.put(&mut layout, rows, gap);
    }
    // Those that stand alone share rows.
    if !alone.is_empty() {
        let rows = wrap(&[alone], &layout.blocks);
        shelf.put(&mut layout, &rows, GAP_X);
    }
    tabs(picture, &cables, &mut layout);
    cable::route(&mut layout);
    layout.fit();
    layout.caption(picture);
    layout
}

/// The rows of each part of the network, and what stands alone.
fn parts(
    picture: &Topology,
    near: &[Vec<usize>],
    cables: &[super::Cable],
    blocks: &[Block],
) -> (Vec<Vec<Vec<usize>>>, Vec<usize>) {
    let mut placed = vec![false; blocks.len()];
    let (mut parts, mut alone) = (Vec::new(), Vec::new());
    for start in 0..blocks.len() {
        if placed[start] {
            continue;
        }
        let part = reach(near, start);
        for member in &part {
            placed[*member] = true;
        }
        if part.len() == 1 {
            alone.push(start);
        } else {
            parts.push(rows(picture, near, cables, &part, blocks));
        }
    }
    (parts, alone)
}

/// The links of each namespace whose cables leave by its lower side; in a row of a chain they leave by the sides.
fn below(cables: &[super::Cable], parts: &[Vec<Vec<usize>>], count: usize) -> Vec<Vec<usize>> {
    let mut row_of = vec![(0, 0, false); count];
    for (p, rows) in parts.iter().enumerate() {
        for (r, row) in rows.iter().enumerate() {
            for one in row {
                row_of[*one] = (p, r, rows.len() == 1);
            }
        }
    }
    let mut below = vec![Vec::new(); count];
    for cable in cables {
        let [a, b] = cable.ends;
        for ((n, l), (other, _)) in [(a, b), (b, a)] {
            let ((_, row, is_chain), (_, far, _)) = (row_of[n], row_of[other]);
            if (row < far || n == other || row == far && !is_chain) && !below[n].contains(&l) {
                below[n].push(l);
            }
        }
    }
    below
}

/// The bridges among whose ports are some that leave by the lower side, in the order of the links.
fn bands(picture: &Topology, namespace: &Namespace, below: &[usize]) -> Vec<Band> {
    let mut bands = Vec::new();
    for (_, bridge) in namespace.shown() {
        let ports: Vec<&super::Link> = below
            .iter()
            .map(|l| &namespace.links[*l])
            .filter(|link| link.master.as_deref() == Some(&bridge.name))
            .collect();
        if ports.is_empty() {
            continue;
        }
        let blamed = picture.blames_link(namespace, bridge);
        let label = format!("{}{}", if blamed { "✗ " } else { "" }, said(namespace, bridge));
        let label = std::iter::once(&label).chain(&bridge.addrs).map(String::as_str).collect::<Vec<_>>().join("  ");
        let tabs: f64 = ports.iter().map(|port| tab_width(&tab_name(port)) + PORT_GAP).sum();
        let class = match bridge.state {
            _ if blamed => "blame",
            _ if picture.passes(namespace, bridge) => "path",
            State::Up => "",
            State::NoCarrier => "idle",
            State::Down => "down",
        };
        let width = (tabs + PORT_GAP).max(text_width(&label) + 2.0 * PAD);
        bands.push(Band { master: bridge.name.clone(), label, class, x: 0.0, y: 0.0, width });
    }
    bands
}

/// A link in a box: its name, what it is, and its state when it is not up.
fn said(namespace: &Namespace, link: &super::Link) -> String {
    let mut text = format!("{}{}", link.name, link.kind_word(&namespace.name));
    if link.count > 1 {
        let _ = write!(text, " ({} links)", link.count);
    }
    if link.state != State::Up {
        let _ = write!(text, " {}", link.state.word());
    }
    text
}

impl Layout {
    /// Moves everything so that nothing is nearer to an edge than the margin, and makes the picture as large as that needs.
    fn fit(&mut self) {
        let boxes = self.blocks.iter().flat_map(|block| {
            let (right, bottom) = (block.x + block.width + block.cards(), block.y + block.height + block.cards());
            [(block.x, block.y), (right, bottom)]
        });
        let points: Vec<(f64, f64)> = boxes.chain(self.cables.iter().flat_map(Cable::points)).collect();
        let (left, top) = points.iter().fold((f64::MAX, f64::MAX), |(x, y), at| (x.min(at.0), y.min(at.1)));
        let (right, bottom) = points.iter().fold((0.0_f64, 0.0_f64), |(x, y), at| (x.max(at.0), y.max(at.1)));
        if points.is_empty() {
            (self.width, self.height) = (2.0 * MARGIN, 2.0 * MARGIN);
            return;
        }
        let by = (MARGIN - left, MARGIN - top);
        for block in &mut self.blocks {
            block.x += by.0;
            block.y += by.1;
            for band in &mut block.bands {
                band.x += by.0;
                band.y += by.1;
            }
        }
        for cable in &mut self.cables {
            cable.shift(by);
        }
        (self.width, self.height) = (right + by.0 + MARGIN, bottom + by.1 + MARGIN);
    }

    /// What `why` said, below the picture.
    fn caption(&mut self, picture: &Topology) {
        let Some(culprit) = &picture.culprit else { return };
        self.width = self.width.max(CAPTION);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in letters")]
        let room = ((self.width - 2.0 * MARGIN) / LETTER) as usize;
        self.caption = crate::text::wrap::wrap(&culprit.line(), room);
        self.height += float(self.caption.len()) * LINE + PAD;
    }
}

/// Parts of the picture beside each other, as long as they fit, then below.
#[derive(Default)]
struct Shelf {
    x: f64,
    y: f64,
    height: f64,
}

impl Shelf {
    /// Gives the boxes of these rows their places.
    fn put(&mut self, layout: &mut Layout, rows: &[Vec<usize>], gap: f64) {
        let width = |blocks: &[Block], row: &[usize]| {
            row.iter().map(|one| blocks[*one].width + blocks[*one].cards() + gap).sum::<f64>() - gap
        };
        let widest = rows.iter().map(|row| width(&layout.blocks, row)).fold(0.0, f64::max);
        if self.x > 0.0 && self.x + widest > ROW {
            (self.x, self.y, self.height) = (0.0, self.y + self.height + GAP_Y, 0.0);
        }
        let is_chain = rows.len() == 1;
        let mut top = self.y;
        for row in rows {
            let tallest = row.iter().map(|one| layout.blocks[*one].height).fold(0.0, f64::max);
            let mut x = self.x + (widest - width(&layout.blocks, row)) / 2.0;
            let (index, mut bottom) = (layout.rows.len(), top);
            for one in row {
                let block = &mut layout.blocks[*one];
                block.x = x;
                // Side by side, boxes stand in the middle: the cables between them are straight.
                block.y = if is_chain { top + (tallest - block.height) / 2.0 } else { top };
                block.row = index;
                x += block.width + block.cards() + gap;
                bottom = bottom.max(block.y + block.height + block.cards());
            }
            layout.rows.push(Row { top, bottom, is_chain, blocks: row.clone() });
            self.height = self.height.max(bottom - self.y);
            top = bottom + GAP_Y;
        }
        self.x += widest + GAP_PART;
    }
}

/// How far the boxes of a chain stand apart: both tabs of each cable fit between them.
fn chain_gap(picture: &Topology, cables: &[super::Cable], rows: &[Vec<usize>]) -> f64 {
    let [row] = rows else { return GAP_X };
    let width = |(n, l): (usize, usize)| tab_width(&tab_name(&picture.namespaces[n].links[l]));
    let ends = cables.iter().map(|cable| cable.ends);
    let inside = ends.filter(|[(a, _), (b, _)]| a != b && row.contains(a));
    inside.map(|[a, b]| width(a) + width(b) + GAP_TABS).fold(GAP_X, f64::max)
}

fn tab_name(link: &super::Link) -> String {
    match link.count {
        0 | 1 if link.is_nameless() => String::new(),
        0 | 1 => link.name.clone(),
        many => format!("{many} links"),
    }
}

fn tab_width(name: &str) -> f64 {
    text_width(name) + 14.0
}

fn block(picture: &Topology, namespace: &Namespace, tabs: f64, bands: Vec<Band>) -> Block {
    let mut lines = Vec::new();
    let blamed = picture.blames(namespace);
    if let Some(culprit) = picture.culprit.as_ref().filter(|_| blamed) {
        lines.push(Line { text: format!("✗ {}", culprit.code), class: "blame", indent: 0.0 });
    }
    let class = |state: State| match state {
        State::Up => "link",
        State::NoCarrier => "link idle",
        State::Down => "link down",
    };
    let mut push = |link: &super::Link, indent: f64| {
        let is_blamed = picture.blames_link(namespace, link);
        let text = format!("{}{}", if is_blamed { "✗ " } else { "" }, said(namespace, link));
        let class = if is_blamed { "blame" } else { class(link.state) };
        lines.push(Line { text, class, indent });
        lines.extend(link.addrs.iter().map(|addr| Line { text: addr.clone(), class: "addr", indent: indent + 12.0 }));
    };
    // Beside the bands, only what they do not say: the tab of a port has its name and its state.
    let banded = |name: &str| bands.iter().any(|band| band.master == name);
    let is_said =
        |port: &super::Link| port.peer.is_some() && port.addrs.is_empty() && !picture.blames_link(namespace, port);
    for (_, link) in namespace.shown() {
        let is_port = link.master.as_ref().is_some_and(|master| namespace.has_link(master));
        if is_port {
            continue;
        }
        let in_band = banded(&link.name);
        let is_dot = link.is_nameless() && is_said(link) && link.state == State::Up;
        if !in_band && !is_dot {
            push(link, 0.0);
        }
        let ports: Vec<&super::Link> = namespace.ports(&link.name).map(|(_, port)| port).collect();
        for port in ports {
            match in_band {
                true if is_said(port) => {}
                true => push(port, 0.0),
                false => push(port, 14.0),
            }
        }
    }
    let facts = facts(namespace);
    let more = facts.len().saturating_sub(FACTS);
    let class = |text: &str| if text.starts_with("filter ") { "fact stop" } else { "fact" };
    lines.extend(facts.iter().take(FACTS).map(|text| Line { text: cut(text, FACT), class: class(text), indent: 0.0 }));
    if more > 0 {
        lines.push(Line { text: format!("… and {more} more"), class: "fact", indent: 0.0 });
    }
    let widest = lines.iter().map(|line| text_width(&line.text) + line.indent).fold(0.0, f64::max);
    let title = title(namespace);
    let width = (widest + 2.0 * PAD).max(text_width(&title) * BOLD + 2.0 * PAD).max(120.0).max(tabs);
    let band = if bands.is_empty() { 0.0 } else { BAND };
    let height = TITLE + float(lines.len()) * LINE + 2.0 * PAD + band;
    let (role, count) = (namespace.role, namespace.count);
    Block { title, role, count, lines, x: 0.0, y: 0.0, width, height, blamed, row: 0, bands }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Everything that hangs together with a namespace.
fn reach(near: &[Vec<usize>], start: usize) -> Vec<usize> {
    let mut found = vec![start];
    let mut at = 0;
    while at < found.len() {
        for next in &near[found[at]] {
            if !found.contains(next) {
                found.push(*next);
            }
        }
        at += 1;
    }
    found
}

/// The boxes of one part, row by row.
fn rows(
    picture: &Topology,
    near: &[Vec<usize>],
    cables: &[super::Cable],
    part: &[usize],
    blocks: &[Block],
) -> Vec<Vec<usize>> {
    let distinct = |one: usize| {
        let mut others = near[one].clone();
        others.sort_unstable();
        others.dedup();
        others.len()
    };
    let ends: Vec<usize> = part.iter().copied().filter(|one| distinct(*one) == 1).collect();
    let is_chain = part.iter().all(|one| distinct(*one) <= 2) && ends.len() == 2;
    let role = |one: &usize| picture.namespaces[*one].role;
    let has_host = part.iter().any(|one| role(one) != Role::Netns);
    let few = part.len() <= CHAIN && part.iter().all(|one| near[*one].len() <= CABLES);
    if is_chain && few && !has_host {
        return vec![reach(near, ends[0])];
    }
    let named = |wanted: Role| part.iter().copied().find(|one| role(one) == wanted);
    let busiest = || part.iter().copied().max_by_key(|one| (distinct(*one), usize::MAX - one));
    let root = named(Role::Internet).or_else(|| named(Role::Host));
    let Some(root) = root.or_else(|| if is_chain { ends.first().copied() } else { busiest() }) else {
        return Vec::new();
    };

    let mut depth = vec![usize::MAX; blocks.len()];
    depth[root] = 0;
    let mut queue = VecDeque::from([root]);
    let mut layers: Vec<Vec<usize>> = Vec::new();
    while let Some(one) = queue.pop_front() {
        if layers.len() <= depth[one] {
            layers.push(Vec::new());
        }
        layers[depth[one]].push(one);
        for next in &near[one] {
            if depth[*next] == usize::MAX {
                depth[*next] = depth[one] + 1;
                queue.push_back(*next);
            }
        }
    }
    // Below its box, what hangs on the same bridge stands together.
    let mut place = vec![0; blocks.len()];
    let mut out = Vec::new();
    for layer in &layers {
        let upper = |one: usize| -> (usize, usize) {
            let ends = cables.iter().filter_map(|cable| match cable.ends {
                [(n, _), far] if n == one && depth[far.0] < depth[one] => Some(far),
                [far, (n, _)] if n == one && depth[far.0] < depth[one] => Some(far),
                _ => None,
            });
            let on = |(n, l): Spot| {
                let master = picture.namespaces[n].links[l].master.as_deref();
                let at =
                    master.and_then(|master| picture.namespaces[n].links.iter().position(|link| link.name == master));
                (place[n], at.unwrap_or(usize::MAX))
            };
            ends.map(on).min().unwrap_or_default()
        };
        let mut sorted: Vec<((usize, usize), usize)> = layer.iter().map(|one| (upper(*one), *one)).collect();
        sorted.sort_by_key(|(upper, _)| *upper);
        for (index, (_, one)) in sorted.iter().enumerate() {
            place[*one] = index;
        }
        let groups: Vec<Vec<usize>> =
            sorted.chunk_by(|(a, _), (b, _)| a == b).map(|group| group.iter().map(|(_, one)| *one).collect()).collect();
        out.extend(wrap(&groups, blocks));
    }
    out
}

/// Boxes in rows that fit. Groups keep beside each other: each has a share of every row.
fn wrap(groups: &[Vec<usize>], blocks: &[Block]) -> Vec<Vec<usize>> {
    let widest = |group: &[usize]| group.iter().map(|one| blocks[*one].width + GAP_X).fold(0.0, f64::max);
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    let share = |group: &[usize], rows: usize| group.len().div_ceil(rows);
    let width = |rows: usize| groups.iter().map(|group| float(share(group, rows)) * widest(group)).sum::<f64>();
    // As few rows as fit; many small groups may not, and are wrapped as they come.
    let Some(rows) = (1..=most).find(|rows| width(*rows) <= ROW || groups.len() == 1 && *rows == most) else {
        return wrap(&[groups.concat()], blocks);
    };
    let row = |row: usize| {
        groups
            .iter()
            .flat_map(|group| group.chunks(share(group, rows).max(1)).nth(row).unwrap_or_default().to_vec())
            .collect()
    };
    (0..rows).map(row).filter(|row: &Vec<usize>| !row.is_empty()).collect()
}

/// Puts a tab on each end of each cable, spread over the side that faces the other end.
fn tabs(picture: &Topology, cables: &[super::Cable], layout: &mut Layout) {
    let blocks = &layout.blocks;
    let tab = |(n, l): (usize, usize), other: usize| {
        let (block, far) = (&blocks[n], &blocks[other]);
        // Beside each other boxes have room for tabs only in a chain; else the cable goes below.
        let beside = layout.rows[block.row].is_chain;
        let side = if block.row < far.row || n == other || block.row == far.row && !beside {
            Side::Bottom
        } else if block.row > far.row {
            Side::Top
        } else if block.x < far.x {
            Side::Right
        } else {
            Side::Left
        };
        let namespace = &picture.namespaces[n];
        let link = &namespace.links[l];
        let (name, blamed) = (tab_name(link), picture.blames_link(namespace, link));
        let width = tab_width(&name);
        let master = link.master.clone().filter(|_| side == Side::Bottom);
        Tab { block: n, side, link: link.name.clone(), name, state: link.state, master, blamed, x: 0.0, y: 0.0, width }
    };
    let ends = |cable: &super::Cable| [tab(cable.ends[0], cable.ends[1].0), tab(cable.ends[1], cable.ends[0].0)];
    let mut made: Vec<[Tab; 2]> = cables.iter().map(ends).collect();
    let mut bands: Vec<Vec<Band>> = Vec::new();
    for (n, block) in blocks.iter().enumerate() {
        let mut placed: Vec<Band> = Vec::new();
        for side in [Side::Top, Side::Bottom, Side::Left, Side::Right] {
            let mut here: Vec<(usize, f64, usize, usize)> = Vec::new();
            for (cable, ends) in made.iter().enumerate() {
                for end in 0..2 {
                    if ends[end].block == n && ends[end].side == side {
                        let far = &blocks[ends[1 - end].block];
                        let band = |band: &Band| Some(&band.master) == ends[end].master.as_ref();
                        let band = block.bands.iter().position(band).unwrap_or(usize::MAX);
                        here.push((band, far.x + far.width / 2.0, cable, end));
                    }
                }
            }
            here.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
            // A band with its tabs, or a tab by itself.
            let units: Vec<&[(usize, f64, usize, usize)]> =
                here.chunk_by(|a, b| a.0 == b.0 && a.0 != usize::MAX).collect();
            let tab_width = |(_, _, cable, end): &(usize, f64, usize, usize)| made[*cable][*end].width;
            let width = |unit: &[(usize, f64, usize, usize)]| {
                unit.first()
                    .and_then(|first| block.bands.get(first.0))
                    .map_or_else(|| unit.iter().map(tab_width).sum(), |band| band.width)
            };
            // The same space around each, however wide it is.
            let spread = |from: f64, room: f64, widths: &[f64]| -> Vec<f64> {
                let free = (room - widths.iter().sum::<f64>()) / float(widths.len());
                let mut left = from + free / 2.0;
                let step = |width: &f64| {
                    let at = left;
                    left += width + free;
                    at
                };
                widths.iter().map(step).collect()
            };
            let widths: Vec<f64> = units.iter().map(|unit| width(unit)).collect();
            let mut middles: Vec<(usize, usize, f64)> = Vec::new();
            for (unit, (left, room)) in units.iter().zip(spread(block.x, block.width, &widths).into_iter().zip(&widths))
            {
                let inner: Vec<f64> = unit.iter().map(tab_width).collect();
                let places =
                    spread(left, *room, &inner).into_iter().zip(&inner).map(|(left, width)| left + width / 2.0);
                middles.extend(unit.iter().zip(places).map(|((_, _, cable, end), middle)| (*cable, *end, middle)));
                if let Some(band) = unit.first().and_then(|first| block.bands.get(first.0)) {
                    let (label, master) = (band.label.clone(), band.master.clone());
                    placed.push(Band { label, master, x: left, y: block.y + block.height - BAND, ..*band });
                }
            }
            let total = float(middles.len());
            for (index, (cable, end, middle)) in middles.into_iter().enumerate() {
                let part = (float(index) + 0.5) / total;
                let tab = &mut made[cable][end];
                (tab.x, tab.y) = match side {
                    Side::Top => (middle, block.y),
                    Side::Bottom => (middle, block.y + block.height),
                    Side::Left => (block.x - tab.width / 2.0 + 6.0, block.y + block.height * part),
                    Side::Right => (block.x + block.width + tab.width / 2.0 - 6.0, block.y + block.height * part),
                };
            }
        }
        bands.push(placed);
    }
    for (block, bands) in layout.blocks.iter_mut().zip(bands) {
        block.bands = bands;
    }
    layout.cables = made
        .into_iter()
        .zip(cables)
        .map(|(ends, cable)| Cable::new(ends, cable.sort, picture.passes_cable(*cable)))
        .collect();
}

/// How high a tab is.
pub(super) const TAB_HEIGHT: f64 = TAB;
/// How high a line is, how far text stands from the edge of its box, and where the first line is.
pub(super) const TEXT: (f64, f64, f64) = (LINE, PAD, TITLE);
