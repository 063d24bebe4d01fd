//! Where things stand: each connected part of the network in layers below its root, or in a row when it is a chain.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::cable::{self, Cable};
use super::graph::{facts, title};
use super::{Namespace, Role, State, Topology};

/// Sizes in pixels; a letter of the small font is 6.6 wide.
const LETTER: f64 = 6.7;
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
const ROW: f64 = 1080.0;
/// A chain is drawn in a row up to this many boxes, with at most so many cables on each: their tabs stand above each other.
const CHAIN: usize = 6;
const CABLES: usize = 12;
/// A picture with a caption is at least this wide.
const CAPTION: f64 = 480.0;

/// As many routes and rules are written into a box.
const FACTS: usize = 8;

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
    pub(super) name: String,
    pub(super) state: State,
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
    // Tabs side by side must fit, even when all leave by the same side.
    let mut tabs_width = vec![0.0; count];
    for (n, l) in cables.iter().flatten() {
        tabs_width[*n] += tab_width(&tab_name(&picture.namespaces[*n].links[*l])) + 14.0;
    }
    for [(a, _), (b, _)] in &cables {
        if a != b {
            near[*a].push(*b);
            near[*b].push(*a);
        }
    }
    let blocks = picture.namespaces.iter().zip(&tabs_width).map(|(one, tabs)| block(picture, one, *tabs)).collect();
    let mut layout = Layout { blocks, ..Layout::default() };
    let mut shelf = Shelf::default();
    let mut placed = vec![false; count];
    let mut alone = Vec::new();
    for start in 0..count {
        if placed[start] {
            continue;
        }
        let part = reach(&near, start);
        for member in &part {
            placed[*member] = true;
        }
        if part.len() == 1 {
            alone.push(start);
            continue;
        }
        let rows = rows(picture, &near, &part, &layout.blocks);
        let gap = chain_gap(picture, &cables, &rows);
        shelf.put(&mut layout, &rows, gap);
    }
    // Those that stand alone share rows.
    if !alone.is_empty() {
        let rows = wrap(&alone, &layout.blocks);
        shelf.put(&mut layout, &rows, GAP_X);
    }
    tabs(picture, &cables, &mut layout);
    cable::route(&mut layout);
    layout.fit();
    layout.caption(picture);
    layout
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
    let inside = cables.iter().filter(|[(a, _), (b, _)]| a != b && row.contains(a));
    inside.map(|[a, b]| width(*a) + width(*b) + GAP_TABS).fold(GAP_X, f64::max)
}

fn tab_name(link: &super::Link) -> String {
    if link.count > 1 { format!("{} links", link.count) } else { link.name.clone() }
}

fn tab_width(name: &str) -> f64 {
    text_width(name) + 14.0
}

fn block(picture: &Topology, namespace: &Namespace, tabs: f64) -> Block {
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
        let mut text = format!("{}{}{}", if is_blamed { "✗ " } else { "" }, link.name, link.kind_word());
        if link.count > 1 {
            let _ = write!(text, " ({} links)", link.count);
        }
        if link.state != State::Up {
            let _ = write!(text, " {}", link.state.word());
        }
        let class = if is_blamed { "blame" } else { class(link.state) };
        lines.push(Line { text, class, indent });
        lines.extend(link.addrs.iter().map(|addr| Line { text: addr.clone(), class: "addr", indent: indent + 12.0 }));
    };
    for (_, link) in namespace.shown() {
        let is_port = link.master.as_ref().is_some_and(|master| namespace.has_link(master));
        if is_port {
            continue;
        }
        push(link, 0.0);
        let ports: Vec<&super::Link> = namespace.ports(&link.name).map(|(_, port)| port).collect();
        for port in ports {
            push(port, 14.0);
        }
    }
    let facts = facts(namespace);
    let more = facts.len().saturating_sub(FACTS);
    lines.extend(facts.iter().take(FACTS).map(|text| Line { text: cut(text, 46), class: "fact", indent: 0.0 }));
    if more > 0 {
        lines.push(Line { text: format!("… and {more} more"), class: "fact", indent: 0.0 });
    }
    let widest = lines.iter().map(|line| text_width(&line.text) + line.indent).fold(0.0, f64::max);
    let title = title(namespace);
    let width = (widest + 2.0 * PAD).max(text_width(&title) * 1.25 + 2.0 * PAD).max(120.0).max(tabs);
    let height = TITLE + float(lines.len()) * LINE + 2.0 * PAD;
    let (role, count) = (namespace.role, namespace.count);
    Block { title, role, count, lines, x: 0.0, y: 0.0, width, height, blamed, row: 0 }
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
fn rows(picture: &Topology, near: &[Vec<usize>], part: &[usize], blocks: &[Block]) -> Vec<Vec<usize>> {
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
    layers.iter().flat_map(|layer| wrap(layer, blocks)).collect()
}

/// Boxes in rows that fit.
fn wrap(layer: &[usize], blocks: &[Block]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    let mut width = 0.0;
    for one in layer {
        let next = blocks[*one].width + GAP_X;
        if width + next > ROW && width > 0.0 {
            rows.push(Vec::new());
            width = 0.0;
        }
        width += next;
        if let Some(row) = rows.last_mut() {
            row.push(*one);
        }
    }
    rows
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
        Tab { block: n, side, name, state: link.state, blamed, x: 0.0, y: 0.0, width }
    };
    let mut made: Vec<[Tab; 2]> = cables.iter().map(|[a, b]| [tab(*a, b.0), tab(*b, a.0)]).collect();
    for n in 0..blocks.len() {
        for side in [Side::Top, Side::Bottom, Side::Left, Side::Right] {
            let mut here: Vec<(f64, usize, usize)> = Vec::new();
            for (cable, ends) in made.iter().enumerate() {
                for end in 0..2 {
                    if ends[end].block == n && ends[end].side == side {
                        let far = &blocks[ends[1 - end].block];
                        here.push((far.x + far.width / 2.0, cable, end));
                    }
                }
            }
            here.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let (block, total) = (&blocks[n], float(here.len()));
            let taken: f64 = here.iter().map(|(_, cable, end)| made[*cable][*end].width).sum();
            // The same space around each tab, however wide it is.
            let free = (block.width - taken) / total;
            let mut left = block.x;
            for (index, (_, cable, end)) in here.iter().enumerate() {
                let part = (float(index) + 0.5) / total;
                let tab = &mut made[*cable][*end];
                let right = left + free + tab.width;
                let middle = f64::midpoint(left, right);
                left = right;
                (tab.x, tab.y) = match side {
                    Side::Top => (middle, block.y),
                    Side::Bottom => (middle, block.y + block.height),
                    Side::Left => (block.x - tab.width / 2.0 + 6.0, block.y + block.height * part),
                    Side::Right => (block.x + block.width + tab.width / 2.0 - 6.0, block.y + block.height * part),
                };
            }
        }
    }
    layout.cables = made.into_iter().map(Cable::new).collect();
}

/// How high a tab is.
pub(super) const TAB_HEIGHT: f64 = TAB;
/// How high a line is, how far text stands from the edge of its box, and where the first line is.
pub(super) const TEXT: (f64, f64, f64) = (LINE, PAD, TITLE);
