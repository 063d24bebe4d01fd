//! Reads an SVG of netwright as a stranger would, and says what is not legible in it.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// How wide a letter of the small and of the bold font is at most, in pixels, with the fonts of Debian.
const LETTER: f64 = 6.65;
const BOLD: f64 = 9.0;
const HEIGHT: f64 = 9.0;

#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn holds(&self, (x, y): (f64, f64)) -> bool {
        self.left < x && x < self.right && self.top < y && y < self.bottom
    }

    fn around(&self, other: &Self) -> bool {
        self.left <= other.left && self.top <= other.top && other.right <= self.right && other.bottom <= self.bottom
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn grown(&self, by: f64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }
}

/// What is in the picture.
#[derive(Debug, Default)]
pub(crate) struct Drawing {
    paper: Option<Area>,
    boxes: Vec<Area>,
    tabs: Vec<Area>,
    /// Where each text stands, and what it says.
    texts: Vec<(Area, String, String)>,
    /// Points along each cable.
    pub(crate) cables: Vec<Vec<(f64, f64)>>,
}

impl Drawing {
    /// Reads a picture; panics where it is not well-formed XML.
    pub(crate) fn read(svg: &str) -> Self {
        let mut reader = Reader::from_str(svg);
        let mut drawing = Self::default();
        let mut text: Option<HashMap<String, String>> = None;
        let mut said = String::new();
        loop {
            match reader.read_event().expect("well-formed XML") {
                Event::Start(tag) if tag.name().as_ref() == b"text" => text = Some(attributes(&tag)),
                Event::Text(part) if text.is_some() => said.push_str(&part.decode().expect("UTF-8")),
                // Each of these is one letter.
                Event::GeneralRef(_) if text.is_some() => said.push('&'),
                Event::End(tag) if tag.name().as_ref() == b"text" => {
                    drawing.text(&text.take().expect("a text"), &std::mem::take(&mut said));
                }
                Event::Start(tag) | Event::Empty(tag) => drawing.shape(&tag),
                Event::Eof => return drawing,
                _ => {}
            }
        }
    }

    fn shape(&mut self, tag: &BytesStart<'_>) {
        let all = attributes(tag);
        let class = all.get("class").cloned().unwrap_or_default();
        match (tag.name().as_ref(), class.split(' ').next()) {
            (b"svg", _) => {
                self.paper =
                    Some(Area { left: 0.0, top: 0.0, right: number(&all, "width"), bottom: number(&all, "height") });
            }
            (b"rect", Some("box")) => self.boxes.push(area(&all)),
            (b"rect", Some("tab")) => self.tabs.push(area(&all)),
            (b"path", Some("cable")) => self.cables.push(along(&all["d"])),
            _ => {}
        }
    }

    fn text(&mut self, all: &HashMap<String, String>, said: &str) {
        let (x, y, class) = (number(all, "x"), number(all, "y"), all.get("class").cloned().unwrap_or_default());
        let letter = if class == "title" { BOLD } else { LETTER };
        let width = f64::from(u32::try_from(said.chars().count()).unwrap()) * letter;
        let left = if class == "name" { x - width / 2.0 } else { x };
        self.texts.push((Area { left, top: y - HEIGHT, right: left + width, bottom: y + 2.0 }, class, said.to_owned()));
    }

    /// What is not legible, in words.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let mut flaws = Vec::new();
        let paper = self.paper.expect("a size");
        for one in self.boxes.iter().chain(&self.tabs) {
            if !paper.around(one) {
                flaws.push(format!("{one:?} leaves the paper"));
            }
        }
        // The cards of a stack lie on each other: the same size, a little aside.
        let cards = |a: &Area, b: &Area| (a.left - b.left).abs() <= 10.0 && (a.top - b.top).abs() <= 10.0;
        for (index, a) in self.boxes.iter().enumerate() {
            for b in self.boxes.iter().skip(index + 1).filter(|b| !cards(a, b) && a.overlaps(b)) {
                flaws.push(format!("boxes overlap: {a:?} {b:?}"));
            }
        }
        for (index, a) in self.tabs.iter().enumerate() {
            for b in self.tabs.iter().skip(index + 1).filter(|b| a.overlaps(b)) {
                flaws.push(format!("tabs overlap: {a:?} {b:?}"));
            }
        }
        for (area, class, said) in &self.texts {
            let held = match class.as_str() {
                "name" => self.tabs.iter().any(|tab| tab.around(area)),
                // The caption.
                "blame" if !self.boxes.iter().any(|one| one.overlaps(area)) => paper.around(area),
                _ => self.boxes.iter().any(|one| one.around(area)),
            };
            if !held {
                flaws.push(format!("`{said}` leaves its box: {area:?}"));
            }
            if class != "name" && self.tabs.iter().any(|tab| tab.overlaps(&area.grown(-2.0))) {
                flaws.push(format!("a tab lies on `{said}`"));
            }
        }
        for cable in &self.cables {
            for point in cable {
                if let Some(one) = self.boxes.iter().find(|one| one.grown(-1.0).holds(*point)) {
                    flaws.push(format!("a cable from {:?} is behind {one:?} at {point:?}", cable[0]));
                    break;
                }
                if !paper.holds(*point) {
                    flaws.push(format!("a cable leaves the paper at {point:?}"));
                    break;
                }
            }
        }
        flaws
    }
}

fn attributes(tag: &BytesStart<'_>) -> HashMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    tag.attributes()
        .map(|one| one.expect("an attribute"))
        .map(|one| (text(one.key.as_ref()), text(&one.value)))
        .collect()
}

fn number(all: &HashMap<String, String>, name: &str) -> f64 {
    all[name].parse().unwrap_or(0.0)
}

fn area(all: &HashMap<String, String>) -> Area {
    let (left, top) = (number(all, "x"), number(all, "y"));
    Area { left, top, right: left + number(all, "width"), bottom: top + number(all, "height") }
}

/// Points along a path of `M`, `L` and `C`.
fn along(path: &str) -> Vec<(f64, f64)> {
    let words: Vec<&str> = path.split(' ').collect();
    let number = |word: &str| word.trim_start_matches(['M', 'L', 'C']).parse().expect("a number");
    let pairs: Vec<(f64, f64)> = words.chunks(2).map(|pair| (number(pair[0]), number(pair[1]))).collect();
    let mut points = vec![pairs[0]];
    let mut at = 1;
    while at < pairs.len() {
        let from = *points.last().expect("a start");
        let is_curve = words[2 * at].starts_with('C');
        let (a, b, to) =
            if is_curve { (pairs[at], pairs[at + 1], pairs[at + 2]) } else { (from, pairs[at], pairs[at]) };
        for step in 1..=32 {
            let t = f64::from(step) / 32.0;
            let mix = |p: f64, a: f64, b: f64, q: f64| {
                let s = 1.0 - t;
                s * s * s * p + 3.0 * s * s * t * a + 3.0 * s * t * t * b + t * t * t * q
            };
            points.push((mix(from.0, a.0, b.0, to.0), mix(from.1, a.1, b.1, to.1)));
        }
        at += if is_curve { 3 } else { 1 };
    }
    points
}
