//! Reads a page of netwright as a stranger would: what of it is not the template must be well-formed, point at what is there, and hold no markup but its own.

use std::collections::{BTreeSet, HashMap};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The elements that a page is made of, and what may stand in their tags.
const ELEMENTS: [&str; 22] = [
    "main", "aside", "section", "svg", "style", "rect", "text", "path", "g", "title", "button", "h2", "h3", "p", "ul",
    "li", "a", "b", "bdi", "code", "kbd", "span",
];
const ATTRIBUTES: [&str; 27] = [
    "id",
    "class",
    "href",
    "data-box",
    "data-ends",
    "data-link",
    "role",
    "aria-label",
    "tabindex",
    "type",
    "hidden",
    "xmlns",
    "width",
    "height",
    "viewBox",
    "x",
    "y",
    "rx",
    "d",
    "style",
    "fill",
    "stroke",
    "dx",
    "dy",
    "cx",
    "cy",
    "r",
];

/// What is in a page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The picture, without what makes it one of a page.
    pub(crate) svg: String,
    /// The text of each element with an id, by that.
    pub(crate) texts: HashMap<String, String>,
    /// The headings of the sections.
    pub(crate) headings: Vec<String>,
    /// What the cables say.
    pub(crate) wires: Vec<String>,
    /// The attributes of each `g`.
    pub(crate) groups: Vec<HashMap<String, String>>,
    /// Which box each section belongs to, by its id.
    pub(crate) boxes: HashMap<String, String>,
}

impl Page {
    /// Reads a page; panics where it is not as it should be.
    pub(crate) fn read(page: &str) -> Self {
        assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">\n"));
        let from = page.find("<main id=\"view\">").expect("the picture");
        let to = page.find("<script>").expect("the script");
        // The one attribute that has no value in HTML.
        let body = format!("<body>{}</body>", &page[from..to].replace(" hidden>", " hidden=\"\">"));
        let mut read = Self { svg: picture(&body), ..Self::default() };
        let (mut open, mut targets): (Vec<HashMap<String, String>>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
        let (mut heading, mut title): (Option<String>, Option<String>) = (None, None);
        let mut reader = Reader::from_str(&body);
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(tag) if tag.name().as_ref() == b"body" => {}
                Event::End(tag) if tag.name().as_ref() == b"body" => {}
                Event::Start(tag) => {
                    let all = read.element(&tag);
                    targets.extend(all.get("href").cloned());
                    match tag.name().as_ref() {
                        b"h2" => heading = Some(String::new()),
                        b"title" => title = Some(String::new()),
                        b"g" => read.groups.push(all.clone()),
                        _ => {}
                    }
                    open.push(all);
                }
                Event::Empty(tag) => drop(read.element(&tag)),
                Event::End(tag) => {
                    open.pop();
                    match tag.name().as_ref() {
                        b"h2" => read.headings.extend(heading.take()),
                        b"title" => read.wires.extend(title.take()),
                        _ => {}
                    }
                }
                Event::Text(part) => {
                    said(&part.decode().expect("UTF-8"), &open, &mut read.texts, [&mut heading, &mut title]);
                }
                Event::GeneralRef(part) => {
                    let one = match part.decode().expect("UTF-8").as_ref() {
                        "amp" => "&",
                        "lt" => "<",
                        "gt" => ">",
                        "quot" => "\"",
                        "#39" => "'",
                        other => panic!("&{other}; is not written by netwright"),
                    };
                    said(one, &open, &mut read.texts, [&mut heading, &mut title]);
                }
                Event::Eof => break,
                other => panic!("{other:?} is not written by netwright"),
            }
        }
        assert!(open.is_empty(), "{open:?} is not closed");
        for target in targets {
            let id = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads away"));
            assert!(read.texts.contains_key(id), "{target} leads nowhere");
        }
        read
    }

    fn element(&mut self, tag: &BytesStart<'_>) -> HashMap<String, String> {
        let name = String::from_utf8(tag.name().as_ref().to_vec()).expect("UTF-8");
        assert!(ELEMENTS.contains(&name.as_str()), "<{name}>");
        let mut all = HashMap::new();
        for attribute in tag.attributes() {
            let attribute = attribute.expect("an attribute");
            let key = String::from_utf8(attribute.key.as_ref().to_vec()).expect("UTF-8");
            assert!(ATTRIBUTES.contains(&key.as_str()), "<{name} {key}>");
            let value = String::from_utf8(attribute.value.to_vec()).expect("UTF-8");
            all.insert(key, quick_xml::escape::unescape(&value).expect("escaped").into_owned());
        }
        if let Some(id) = all.get("id") {
            assert!(self.texts.insert(id.clone(), String::new()).is_none(), "two of id {id}");
            self.boxes.extend(all.get("data-box").map(|number| (id.clone(), number.clone())));
        }
        all
    }
}

/// A piece of text: it belongs to all that is open.
fn said(
    piece: &str,
    open: &[HashMap<String, String>],
    texts: &mut HashMap<String, String>,
    others: [&mut Option<String>; 2],
) {
    for id in open.iter().filter_map(|all| all.get("id")) {
        texts.get_mut(id).expect("an open id").push_str(piece);
    }
    for other in others.into_iter().flatten() {
        other.push_str(piece);
    }
}

/// The picture as it is drawn for an image: without the groups and what they say.
fn picture(body: &str) -> String {
    let svg = &body[body.find("<svg").expect("a picture")..body.find("</main>").expect("its end")];
    let is_of_the_page = |line: &&str| !line.starts_with("<g ") && *line != "</g>";
    let lines: Vec<String> = svg
        .lines()
        .filter(is_of_the_page)
        .map(|line| line.replace(" id=\"picture\"", "").replace(" role=\"group\"", " role=\"img\""))
        .collect();
    lines.join("\n") + "\n"
}
