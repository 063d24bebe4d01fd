//! The way of each cable: straight through the gaps between the boxes of a row, in curves where there is nothing between two rows.

use super::Sort;
use super::layout::{Block, Layout, Row, Side, Tab};

/// How deep a cable hangs that joins two boxes of a row, or a box with itself: the wider, the deeper, up to so much more.
const HANG: f64 = 30.0;
const DEEPER: f64 = 44.0;
/// Between cables that go around a row side by side.
const LANE: f64 = 8.0;
/// How wide the way around a row is, at least.
const AROUND: f64 = 40.0;

type Point = (f64, f64);

/// A piece of the way, from where the last one ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Straight to a point.
    Line(Point),
    /// A cubic curve: its two control points and its end.
    Curve(Point, Point, Point),
}

/// Two tabs, and the way from the first to the second.
#[derive(Debug)]
pub(super) struct Cable {
    /// Once it is routed, that in the upper row first.
    pub(super) ends: [Tab; 2],
    pub(super) way: Vec<Step>,
    pub(super) sort: Sort,
    /// The packet of `why` passes it.
    pub(super) passed: bool,
}

impl Cable {
    /// A cable whose way is not known yet.
    pub(super) fn new(ends: [Tab; 2], sort: Sort, passed: bool) -> Self {
        Self { ends, way: Vec::new(), sort, passed }
    }

    pub(super) fn start(&self) -> Point {
        (self.ends[0].x, self.ends[0].y)
    }

    /// Everything that the cable stays within.
    pub(super) fn points(&self) -> Vec<Point> {
        let tabs =
            self.ends.iter().flat_map(|tab| [(tab.x - tab.width / 2.0, tab.y), (tab.x + tab.width / 2.0, tab.y)]);
        let way = self.way.iter().flat_map(|step| match *step {
            Step::Line(to) => vec![to],
            // Both control points are as deep: the curve reaches three quarters of that.
            Step::Curve(a, b, to) => vec![(a.0, to.1 + (a.1 - to.1) * 0.75), (b.0, to.1 + (b.1 - to.1) * 0.75), to],
        });
        tabs.chain(way).collect()
    }

    /// Moves all of it.
    pub(super) fn shift(&mut self, by: Point) {
        let moved = |at: Point| (at.0 + by.0, at.1 + by.1);
        for tab in &mut self.ends {
            (tab.x, tab.y) = moved((tab.x, tab.y));
        }
        for step in &mut self.way {
            *step = match *step {
                Step::Line(to) => Step::Line(moved(to)),
                Step::Curve(a, b, to) => Step::Curve(moved(a), moved(b), moved(to)),
            };
        }
    }

    /// The middle of the way, for a mark on it.
    pub(super) fn middle(&self) -> Point {
        let mut from = self.start();
        let mut longest = (0.0, from);
        for step in &self.way {
            let (to, middle) = match *step {
                Step::Line(to) => (to, (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1))),
                Step::Curve(a, b, to) => {
                    let at = |p: f64, a: f64, b: f64, q: f64| (p + 3.0 * a + 3.0 * b + q) / 8.0;
                    (to, (at(from.0, a.0, b.0, to.0), at(from.1, a.1, b.1, to.1)))
                }
            };
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length >= longest.0 {
                longest = (length, middle);
            }
            from = to;
        }
        longest.1
    }
}

/// A cable that has to pass a row between its ends.
struct Passage {
    cable: usize,
    row: usize,
    /// Where the straight line would pass.
    wish: f64,
    /// Which gap it takes: 0 is left of the row.
    gap: usize,
    /// Where it passes.
    x: f64,
}

/// Gives every cable its way.
pub(super) fn route(layout: &mut Layout) {
    for cable in &mut layout.cables {
        let [a, b] = &cable.ends;
        if layout.blocks[b.block].row < layout.blocks[a.block].row {
            cable.ends.reverse();
        }
    }
    let (blocks, rows) = (&layout.blocks, &layout.rows);
    let mut passages: Vec<Passage> = Vec::new();
    for (index, cable) in layout.cables.iter().enumerate() {
        let [upper, lower] = &cable.ends;
        let (from, to) = (blocks[upper.block].row, blocks[lower.block].row);
        // Where the straight line would pass each row.
        let step = (lower.x - upper.x) / f64::from(u32::try_from(to - from).unwrap_or(1).max(1));
        let mut wish = upper.x;
        for (row, between) in rows.iter().enumerate().take(to).skip(from + 1) {
            wish += step;
            passages.push(Passage { cable: index, row, wish, gap: nearest_gap(blocks, between, wish), x: wish });
        }
    }
    give_lanes(blocks, rows, &mut passages);
    let ways: Vec<Vec<Step>> = layout
        .cables
        .iter()
        .enumerate()
        .map(|(index, cable)| {
            let mut own: Vec<(usize, f64)> = passages
                .iter()
                .filter(|passage| passage.cable == index)
                .map(|passage| (passage.row, passage.x))
                .collect();
            own.sort_by_key(|(row, _)| *row);
            way(blocks, rows, cable, &own)
        })
        .collect();
    for (cable, way) in layout.cables.iter_mut().zip(ways) {
        cable.way = way;
    }
}

/// The space between two boxes of a row, or beside all of them.
fn gap(blocks: &[Block], row: &Row, index: usize, cables: f64) -> (f64, f64) {
    let around = AROUND.max(LANE * (cables + 1.0));
    let right = |at: usize| row.blocks.get(at).map(|one| blocks[*one].x + blocks[*one].width + blocks[*one].cards());
    let left = |at: usize| row.blocks.get(at).map(|one| blocks[*one].x);
    match (index.checked_sub(1).and_then(right), left(index)) {
        (Some(from), Some(to)) => (from, to),
        (None, Some(to)) => (to - around, to),
        (Some(from), None) => (from, from + around),
        (None, None) => (0.0, around),
    }
}

fn nearest_gap(blocks: &[Block], row: &Row, wish: f64) -> usize {
    let off = |index: &usize| {
        let (from, to) = gap(blocks, row, *index, 0.0);
        (f64::midpoint(from, to) - wish).abs()
    };
    (0..=row.blocks.len()).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(0)
}

/// Cables that take the same gap pass it side by side.
fn give_lanes(blocks: &[Block], rows: &[Row], passages: &mut [Passage]) {
    passages.sort_by(|a, b| (a.row, a.gap).cmp(&(b.row, b.gap)).then(a.wish.total_cmp(&b.wish)));
    for together in passages.chunk_by_mut(|a, b| (a.row, a.gap) == (b.row, b.gap)) {
        let count = f64::from(u32::try_from(together.len()).unwrap_or(u32::MAX));
        let Some((row, index)) = together.first().map(|first| (first.row, first.gap)) else { continue };
        let (from, to) = gap(blocks, &rows[row], index, count);
        for (lane, passage) in (1_u32..).zip(together) {
            passage.x = from + (to - from) * f64::from(lane) / (count + 1.0);
        }
    }
}

/// The way from the upper end to the lower; `passages` are the rows between, with the place where each is passed.
fn way(blocks: &[Block], rows: &[Row], cable: &Cable, passages: &[(usize, f64)]) -> Vec<Step> {
    let [upper, lower] = &cable.ends;
    let row = &rows[blocks[upper.block].row];
    let end = (lower.x, lower.y);
    if matches!(upper.side, Side::Left | Side::Right) {
        let middle = f64::midpoint(upper.x, lower.x);
        return vec![Step::Curve((middle, upper.y), (middle, lower.y), end)];
    }
    // Below its own row first: the box beside it may be taller.
    let mut at = (upper.x, row.bottom);
    let mut way = vec![Step::Line(at)];
    if lower.side == Side::Bottom {
        let deep = row.bottom + HANG + ((upper.x - lower.x).abs() / 12.0).min(DEEPER);
        way.push(Step::Curve((upper.x, deep), (lower.x, deep), (lower.x, row.bottom)));
        way.push(Step::Line(end));
        return way;
    }
    let curve = |from: Point, to: Point| {
        let middle = f64::midpoint(from.1, to.1);
        Step::Curve((from.0, middle), (to.0, middle), to)
    };
    for (row, x) in passages {
        way.push(curve(at, (*x, rows[*row].top)));
        at = (*x, rows[*row].bottom);
        way.push(Step::Line(at));
    }
    way.push(curve(at, end));
    way
}
