//! dot and mermaid: for documents, and for programs that lay out by themselves.

use crate::text::diagnostic::escape;
use std::fmt::Write as _;

use super::{Blame, Link, Namespace, Sort, State, Topology};

/// What `why` blames: a red that is read on white and on black.
const RED: &str = "#d1242f";
/// The way of its packet.
const BLUE: &str = "#0969da";
/// As many policy rules, filter rules and translations are drawn of a namespace.
const RULES: usize = 8;
/// How wide its sentence may get.
const SENTENCE: usize = 60;

impl Topology {
    /// Graphviz: a cluster per namespace, a node per link, cables between them.
    #[must_use]
    pub fn dot(&self) -> String {
        let picture = self.folded(super::MANY);
        let mut out = String::from(
            "graph netwright {\n  graph [rankdir=TB, fontname=\"sans-serif\", bgcolor=transparent]\n  \
             node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10]\n  edge [fontname=\"sans-serif\"]\n",
        );
        if let Some(culprit) = &picture.culprit {
            let sentence = dot_text(&crate::text::wrap::wrap(&culprit.line(), SENTENCE));
            let _ = writeln!(out, "  graph [label=\"{sentence}\", labelloc=b, fontcolor=\"{RED}\"]");
        }
        for (n, namespace) in picture.namespaces.iter().enumerate() {
            let blame = picture.culprit.as_ref().filter(|_| picture.blames(namespace));
            let label = dot_text(&headed(namespace, blame));
            let _ = writeln!(out, "  subgraph cluster_{n} {{\n    label=\"{label}\"");
            match (&picture.culprit, blame) {
                (None, _) => {}
                (Some(_), Some(_)) => {
                    let _ = writeln!(out, "    color=\"{RED}\"; penwidth=2; fontcolor=\"{RED}\"");
                }
                // A cluster takes the colour of the graph's label, unless it is told otherwise.
                (Some(_), None) => out.push_str("    fontcolor=black\n"),
            }
            let _ = writeln!(out, "    node_{n} [shape=point, style=invis]");
            for (l, link) in namespace.shown() {
                let blamed = picture.blames_link(namespace, link);
                let style = match link.state {
                    _ if blamed => ", color=\"#d1242f\", fontcolor=\"#d1242f\", penwidth=2",
                    State::Up => "",
                    State::NoCarrier => ", color=orange",
                    State::Down => ", color=gray, fontcolor=gray",
                };
                let _ =
                    writeln!(out, "    link_{n}_{l} [label=\"{}\"{style}]", dot_text(&words(namespace, link, blamed)));
                let master = link.master.as_deref();
                if let Some(at) = master.and_then(|master| namespace.links.iter().position(|link| link.name == master))
                {
                    let _ = writeln!(out, "    link_{n}_{at} -- link_{n}_{l} [style=dotted]");
                }
            }
            out.push_str("  }\n");
        }
        for cable in picture.cables() {
            let [(a, i), (b, j)] = cable.ends;
            let mut style: Vec<String> = match cable.sort {
                Sort::Veth => vec![],
                Sort::Parent => vec!["style=dotted".into()],
                Sort::Tunnel => vec!["style=dashed".into()],
            };
            if picture.blames_cable(cable) {
                style.push(format!("color=\"{RED}\", fontcolor=\"{RED}\", penwidth=2, label=\"✗\""));
            } else if picture.passes_cable(cable) {
                style.push(format!("color=\"{BLUE}\", penwidth=3"));
            }
            let style = if style.is_empty() { String::new() } else { format!(" [{}]", style.join(", ")) };
            let _ = writeln!(out, "  link_{a}_{i} -- link_{b}_{j}{style}");
        }
        out.push_str("}\n");
        out
    }

    /// Mermaid, as GitHub draws it in markdown.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let picture = self.folded(super::MANY);
        let mut out = String::from("flowchart TB\n");
        for (n, namespace) in picture.namespaces.iter().enumerate() {
            let blame = picture.culprit.as_ref().filter(|_| picture.blames(namespace));
            let label = mermaid_text(&headed(namespace, blame));
            let _ = writeln!(out, "  subgraph ns_{n}[\"{label}\"]");
            if namespace.unread.is_none() && namespace.shown().next().is_none() {
                let _ = writeln!(out, "    empty_{n}[\"no links\"]");
            } else if namespace.unread.is_some() {
                let _ = writeln!(out, "    empty_{n}[\"not read\"]");
            }
            for (l, link) in namespace.shown() {
                let blamed = picture.blames_link(namespace, link);
                let class = match link.state {
                    _ if blamed => ":::blame",
                    State::Up => "",
                    State::Down | State::NoCarrier => ":::down",
                };
                let _ = writeln!(out, "    link_{n}_{l}[\"{}\"]{class}", mermaid_text(&words(namespace, link, blamed)));
            }
            for (l, link) in namespace.shown() {
                let master = link.master.as_deref();
                if let Some(at) = master.and_then(|master| namespace.links.iter().position(|link| link.name == master))
                {
                    let _ = writeln!(out, "    link_{n}_{at} -.- link_{n}_{l}");
                }
            }
            out.push_str("  end\n");
            if blame.is_some() {
                let _ = writeln!(out, "  style ns_{n} stroke:{RED},stroke-width:3px");
            }
        }
        for cable in picture.cables() {
            let [(a, i), (b, j)] = cable.ends;
            let arrow = match cable.sort {
                _ if picture.blames_cable(cable) => "---|✗|",
                _ if picture.passes_cable(cable) => "===",
                Sort::Veth => "---",
                Sort::Parent | Sort::Tunnel => "-.-",
            };
            let _ = writeln!(out, "  link_{a}_{i} {arrow} link_{b}_{j}");
        }
        if let Some(culprit) = &picture.culprit {
            let sentence = mermaid_text(&crate::text::wrap::wrap(&culprit.line(), SENTENCE));
            let _ = writeln!(out, "  why[\"{sentence}\"]:::blame");
            let _ = writeln!(out, "  classDef blame stroke:{RED},stroke-width:3px,color:{RED}");
        }
        out.push_str("  classDef down stroke-dasharray: 4 3, opacity: 0.6\n");
        out
    }
}

/// The title of a namespace, what `why` has against it, and its routes and rules.
fn headed(namespace: &Namespace, blame: Option<&Blame>) -> Vec<String> {
    let blame = blame.map(|blame| format!("✗ {}", blame.code));
    std::iter::once(title(namespace)).chain(blame).chain(facts(namespace)).collect()
}

pub(super) fn title(namespace: &Namespace) -> String {
    let mut title = namespace.name.clone();
    if namespace.count > 1 {
        let _ = write!(title, " ({} alike)", namespace.count);
    }
    if namespace.forwards {
        title.push_str(" · forwarding");
    }
    title
}

/// What a namespace has beside its links: routes, policy rules, what stops packets and what translates them. Of many rules the first.
pub(super) fn facts(namespace: &Namespace) -> Vec<String> {
    let routes = namespace.unread.iter().chain(&namespace.routes).cloned();
    let tables = namespace.tables.iter().map(|route| format!("table {route}"));
    let all = routes.chain(tables).chain(bounded("rule", &namespace.rules));
    all.chain(bounded("filter", &namespace.filter)).chain(bounded("nat", &namespace.nat)).collect()
}

/// The first of many, and how many there are beside them.
fn bounded<'a>(word: &'a str, all: &'a [String]) -> impl Iterator<Item = String> + 'a {
    // A line that says "1 more" takes the place of that one.
    let shown = if all.len() > RULES { RULES - 1 } else { all.len() };
    let more = all.len() - shown;
    let first = all.iter().take(shown).map(move |one| format!("{word} {one}"));
    first.chain((more > 0).then(|| format!("{word} … and {more} more")))
}

fn words(namespace: &Namespace, link: &Link, blamed: bool) -> Vec<String> {
    let sign = if blamed { "✗ " } else { "" };
    let name = if link.is_nameless() && !blamed { "·" } else { &link.name };
    let mut words = vec![format!("{sign}{name}{}", link.kind_word(&namespace.name))];
    words.extend(link.addrs.iter().cloned());
    if link.state != State::Up {
        words.push(link.state.word().to_owned());
    }
    words
}

fn dot_text(lines: &[String]) -> String {
    let escaped: Vec<String> =
        lines.iter().map(|line| escape(line).replace('\\', "\\\\").replace('"', "\\\"")).collect();
    escaped.join("\\n")
}

fn mermaid_text(lines: &[String]) -> String {
    // `#35;` is mermaid's own way to write a character, and a backtick at the beginning makes the text Markdown.
    let one = |line: &String| {
        let line = escape(line).replace('#', "#35;").replace('`', "#96;");
        line.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
    };
    lines.iter().map(one).collect::<Vec<_>>().join("<br>")
}
