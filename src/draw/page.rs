//! One page for a browser: the picture to move, zoom and search, and beside it all that is known of what one points at.
//!
//! Everything is in the page, and nothing is fetched: its policy allows its own script, by the hash, and no other. Without scripts it is the picture and
//! the details below it. Names come from elsewhere, so nothing of them is markup, and the script only shows, hides and marks what stands here.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::cable::Cable;
use super::layout::Tab;
use super::svg::For;
use super::{Blame, End, Link, Namespace, State, Topology};
use crate::text::{base64, markup, plural, sha256_bytes};

/// The page around what is put in: style, script, and the places `{{…}}`.
const TEMPLATE: &str = include_str!("page.html");

impl Topology {
    /// The page; `of` says of what the picture is, and when.
    #[must_use]
    pub fn html(&self, of: &str) -> String {
        self.page(of, None)
    }

    /// The same as a server gives it out: it asks its server for changes, and comes anew when the server has one of another number.
    #[must_use]
    pub fn live_html(&self, of: &str, number: u64) -> String {
        self.page(of, Some(number))
    }

    fn page(&self, of: &str, live: Option<u64>) -> String {
        let whole = self.spelled();
        let (picture, stands_for) = whole.fold(super::MANY);
        let links: usize = whole.namespaces.iter().map(|one| one.shown().count()).sum();
        let counts = format!("{}, {}", plural(whole.namespaces.len(), "namespace"), plural(links, "link"));
        let mut page = String::new();
        let mut rest = TEMPLATE;
        // In one pass: what is put in is not looked at again.
        while let Some((before, after)) = rest.split_once("{{") {
            let (place, after) = after.split_once("}}").unwrap_or((after, ""));
            page.push_str(before);
            rest = after;
            match place {
                "live" => page.extend(live.map(|number| format!(" data-number=\"{number}\""))),
                "connect" if live.is_some() => page.push_str(" connect-src 'self';"),
                "hash" => page.push_str(&base64(&sha256_bytes(script().as_bytes()))),
                "title" => page.push_str(&markup(&super::escape(of))),
                "counts" => page.push_str(&counts),
                "picture" => page.push_str(&picture.drawn(&format!("a network of {counts}"), For::Page)),
                "culprit" => page.extend(whole.culprit.iter().map(blame)),
                "list" => list(&whole, &mut page),
                "sections" => sections(&whole, &picture, &stands_for, &mut page),
                _ => {}
            }
        }
        page.push_str(rest);
        page
    }
}

/// What stands between the tags of the script.
fn script() -> &'static str {
    let inside = TEMPLATE.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
    inside.map_or("", |(script, _)| script)
}

/// Opens the group of a cable, which says what its ends are.
pub(super) fn wire(picture: &Topology, cable: &Cable) -> String {
    let [a, b] = &cable.ends;
    let said = |tab: &Tab| {
        let namespace = &picture.namespaces[tab.block];
        let link = namespace.links.iter().find(|link| link.name == tab.link);
        let mut words = format!("{}/{}", namespace.name, tab.link);
        let Some(link) = link else { return words };
        words.push_str(&link.kind_word(&namespace.name));
        for addr in &link.addrs {
            words.extend([" ", addr]);
        }
        words.extend(link.master.iter().flat_map(|master| [", port of ", master]));
        if link.state != State::Up {
            words.extend([", ", link.state.word()]);
        }
        words
    };
    let words = markup(&format!("{} ── {}", said(a), said(b)));
    format!("<g class=\"wire\" data-ends=\"{} {}\"><title>{words}</title>", a.block, b.block)
}

/// Opens the group of a box.
pub(super) fn node(index: usize) -> String {
    format!("<g class=\"node\" data-box=\"{index}\">")
}

/// Opens the group of a tab.
pub(super) fn end(tab: &Tab) -> String {
    format!("<g class=\"end\" data-box=\"{}\" data-link=\"{}\">", tab.block, markup(&tab.link))
}

/// One line of text, with a direction of its own.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", markup(text))
}

fn blame(culprit: &Blame) -> String {
    let way = culprit.way().map(|way| format!("<p>way: {}</p>\n", name(&way)));
    format!("<p class=\"blame\">{}</p>\n{}", name(&culprit.line()), way.unwrap_or_default())
}

/// Where the details of a namespace are.
fn place(at: usize) -> String {
    format!("at-{at}")
}

fn list(whole: &Topology, out: &mut String) {
    for (at, namespace) in whole.namespaces.iter().enumerate() {
        let blamed = if whole.blames(namespace) { " class=\"blame\"" } else { "" };
        let _ = writeln!(out, "<li{blamed}><a href=\"#{}\">{}</a></li>", place(at), name(&namespace.name));
    }
}

/// The details: of each box that stands for many which these are, and of each namespace everything.
fn sections(whole: &Topology, picture: &Topology, stands_for: &[Vec<usize>], out: &mut String) {
    let mut index: HashMap<&str, usize> = HashMap::new();
    for (at, namespace) in whole.namespaces.iter().enumerate() {
        index.entry(&namespace.name).or_insert(at);
    }
    for (number, (drawn, members)) in picture.namespaces.iter().zip(stands_for).enumerate() {
        if members.len() > 1 {
            let _ =
                writeln!(out, "<section id=\"box-{number}\" data-box=\"{number}\">\n<h2>{}</h2>", name(&drawn.name));
            let _ = writeln!(out, "<p>{} alike:</p>\n<ul>", members.len());
            for at in members {
                let _ = writeln!(out, "<li><a href=\"#{}\">{}</a></li>", place(*at), name(&whole.namespaces[*at].name));
            }
            out.push_str("</ul>\n</section>\n");
        }
        for at in members {
            section(whole, *at, number, &index, out);
        }
    }
}

fn section(whole: &Topology, at: usize, number: usize, index: &HashMap<&str, usize>, out: &mut String) {
    let namespace = &whole.namespaces[at];
    let id = place(at);
    let _ = writeln!(out, "<section id=\"{id}\" data-box=\"{number}\">\n<h2>{}</h2>", name(&namespace.name));
    if namespace.forwards {
        out.push_str("<p>forwarding</p>\n");
    }
    if whole.blames(namespace) {
        out.extend(whole.culprit.iter().map(blame));
    }
    if let Some(why) = &namespace.unread {
        let _ = writeln!(out, "<p class=\"blame\">{}</p>", name(why));
    }
    let links: Vec<&Link> = namespace.shown().map(|(_, link)| link).collect();
    if !links.is_empty() {
        out.push_str("<h3>Links</h3>\n<ul>\n");
        for link in links {
            line(whole, namespace, link, index, out);
        }
        out.push_str("</ul>\n");
    }
    for (title, class, all) in [
        ("Routes", "", &namespace.routes),
        ("Routes of further tables", "", &namespace.tables),
        ("Policy rules", "", &namespace.rules),
        ("Filter", " class=\"stop\"", &namespace.filter),
        ("NAT", "", &namespace.nat),
    ] {
        if all.is_empty() {
            continue;
        }
        let _ = writeln!(out, "<h3>{title}</h3>\n<ul>");
        for text in all {
            let _ = writeln!(out, "<li{class}><code>{}</code></li>", name(text));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</section>\n");
}

/// All of a link: what it is, its addresses, its state, and what it leads to.
fn line(whole: &Topology, namespace: &Namespace, link: &Link, index: &HashMap<&str, usize>, out: &mut String) {
    let blamed = whole.blames_link(namespace, link);
    let class = match link.state {
        _ if blamed => "blame",
        State::Up => "up",
        State::NoCarrier => "idle",
        State::Down => "down",
    };
    let sign = if blamed { "✗ " } else { "" };
    let _ = write!(out, "<li class=\"{class}\" data-link=\"{}\">{sign}<b>{}</b>", markup(&link.name), name(&link.name));
    let kind = link.kind_word(&namespace.name);
    if !kind.is_empty() {
        let _ = write!(out, " {}", name(kind.trim_start()));
    }
    for addr in &link.addrs {
        let _ = write!(out, " <code>{}</code>", name(addr));
    }
    if link.state != State::Up {
        let _ = write!(out, " {}", link.state.word());
    }
    if let Some(master) = &link.master {
        let _ = write!(out, ", port of {}", name(master));
    }
    let mut leads = |sign: &str, end: &Option<End>| {
        let Some(end) = end else { return };
        let words = name(&format!("{}/{}", end.netns, end.link));
        let _ = match index.get(end.netns.as_str()) {
            Some(at) => write!(out, " {sign} <a href=\"#{}\">{words}</a>", place(*at)),
            None => write!(out, " {sign} {words}"),
        };
    };
    leads("──", &link.peer);
    leads("┄┄", &link.far);
    out.push_str("</li>\n");
}
