//! Where things stand: each connected part of the network in layers below its root, or in a row when it is a chain.

use std::collections::VecDeque;
use std::fmt::Write as _;

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
const MARGIN: f64 = 28.0;
/// A row of boxes gets about this wide, then another begins.
const ROW: f64 = 1080.0;
/// A chain is drawn in a row up to this many boxes.
const CHAIN: usize = 6;

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
    /// The layer that it stands in.
    row: usize,
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
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

/// The picture before it is written.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    /// Two tabs that a cable joins.
    pub(super) cables: Vec<[Tab; 2]>,
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
    let mut blocks: Vec<Block> =
        picture.namespaces.iter().zip(&tabs_width).map(|(one, tabs)| block(one, *tabs)).collect();
    let mut placed = vec![false; count];
    let (mut top, mut width) = (MARGIN, 0.0_f64);
    // A part that hangs together after the other; those that stand alone share rows.
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
        let rows = rows(picture, &near, &part, &blocks);
        (top, width) = place(&mut blocks, &rows, &near, top, width);
    }
    if !alone.is_empty() {
        let rows = wrap(&alone, &blocks);
        (top, width) = place(&mut blocks, &rows, &near, top, width);
    }
    let mut layout =
        Layout { blocks, cables: Vec::new(), width: width + MARGIN, height: (top - GAP_Y + MARGIN).max(2.0 * MARGIN) };
    tabs(picture, &cables, &mut layout);
    layout
}

fn tab_name(link: &super::Link) -> String {
    if link.count > 1 { format!("{} links", link.count) } else { link.name.clone() }
}

fn tab_width(name: &str) -> f64 {
    text_width(name) + 14.0
}

fn block(namespace: &Namespace, tabs: f64) -> Block {
    let mut lines = Vec::new();
    let class = |state: State| match state {
        State::Up => "link",
        State::NoCarrier => "link idle",
        State::Down => "link down",
    };
    let mut push = |link: &super::Link, indent: f64| {
        let mut text = format!("{}{}", link.name, link.kind_word());
        if link.count > 1 {
            let _ = write!(text, " ({} links)", link.count);
        }
        if link.state != State::Up {
            let _ = write!(text, " {}", link.state.word());
        }
        lines.push(Line { text, class: class(link.state), indent });
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
    Block { title, role, count, lines, x: 0.0, y: 0.0, width, height, row: 0 }
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
    if is_chain && part.len() <= CHAIN && !has_host {
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

/// Gives the boxes of these rows their places; where the next rows begin, and how wide the picture is.
fn place(blocks: &mut [Block], rows: &[Vec<usize>], near: &[Vec<usize>], mut top: f64, mut width: f64) -> (f64, f64) {
    let row_width =
        |blocks: &[Block], row: &[usize]| row.iter().map(|one| blocks[*one].width + GAP_X).sum::<f64>() - GAP_X;
    let widest = rows.iter().map(|row| row_width(blocks, row)).fold(0.0, f64::max);
    let first = blocks.iter().map(|block| block.row).max().unwrap_or(0) + 1;
    // In a chain the gap holds two tabs side by side.
    let single = rows.len() == 1 && rows[0].len() > 1 && !near[rows[0][0]].is_empty();
    let gap = if single { GAP_X * 3.0 } else { GAP_X };
    let extra = gap - GAP_X;
    for (index, row) in rows.iter().enumerate() {
        let tallest = row.iter().map(|one| blocks[*one].height).fold(0.0, f64::max);
        let mut x = MARGIN + (widest - row_width(blocks, row)) / 2.0;
        for one in row {
            let block = &mut blocks[*one];
            block.x = x;
            block.y = if single { top + (tallest - block.height) / 2.0 } else { top };
            block.row = first + index;
            x += block.width + gap;
        }
        width = width.max(MARGIN + widest + extra * float(row.len().saturating_sub(1)));
        top += tallest + GAP_Y;
    }
    (top, width)
}

/// Puts a tab on each end of each cable, spread over the side that faces the other end.
fn tabs(picture: &Topology, cables: &[super::Cable], layout: &mut Layout) {
    let blocks = &layout.blocks;
    let tab = |(n, l): (usize, usize), other: usize| {
        let (block, far) = (&blocks[n], &blocks[other]);
        let side = if block.row < far.row || n == other {
            Side::Bottom
        } else if block.row > far.row {
            Side::Top
        } else if block.x < far.x {
            Side::Right
        } else {
            Side::Left
        };
        let link = &picture.namespaces[n].links[l];
        let name = tab_name(link);
        let width = tab_width(&name);
        Tab { block: n, side, name, state: link.state, x: 0.0, y: 0.0, width }
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
            for (index, (_, cable, end)) in here.iter().enumerate() {
                let part = (float(index) + 0.5) / total;
                let tab = &mut made[*cable][*end];
                (tab.x, tab.y) = match side {
                    Side::Top => (block.x + block.width * part, block.y),
                    Side::Bottom => (block.x + block.width * part, block.y + block.height),
                    Side::Left => (block.x - tab.width / 2.0 + 6.0, block.y + block.height * part),
                    Side::Right => (block.x + block.width + tab.width / 2.0 - 6.0, block.y + block.height * part),
                };
            }
        }
    }
    layout.cables = made;
}

/// How high a tab is.
pub(super) const TAB_HEIGHT: f64 = TAB;
/// How high a line is, how far text stands from the edge of its box, and where the first line is.
pub(super) const TEXT: (f64, f64, f64) = (LINE, PAD, TITLE);
