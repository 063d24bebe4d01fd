//! dot and mermaid: for documents, and for programs that lay out by themselves.

use std::fmt::Write as _;

use super::{Blame, Link, Namespace, State, Topology};

/// What `why` blames: a red that is read on white and on black.
const RED: &str = "#d1242f";
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
                let _ = writeln!(out, "    link_{n}_{l} [label=\"{}\"{style}]", dot_text(&words(link, blamed)));
                let master = link.master.as_deref();
                if let Some(at) = master.and_then(|master| namespace.links.iter().position(|link| link.name == master))
                {
                    let _ = writeln!(out, "    link_{n}_{at} -- link_{n}_{l} [style=dotted]");
                }
            }
            out.push_str("  }\n");
        }
        for [(a, i), (b, j)] in picture.cables() {
            let style = if picture.blames_cable([(a, i), (b, j)]) {
                format!(" [color=\"{RED}\", fontcolor=\"{RED}\", penwidth=2, label=\"✗\"]")
            } else {
                String::new()
            };
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
            if namespace.shown().next().is_none() {
                let _ = writeln!(out, "    empty_{n}[\"no links\"]");
            }
            for (l, link) in namespace.shown() {
                let blamed = picture.blames_link(namespace, link);
                let class = match link.state {
                    _ if blamed => ":::blame",
                    State::Up => "",
                    State::Down | State::NoCarrier => ":::down",
                };
                let _ = writeln!(out, "    link_{n}_{l}[\"{}\"]{class}", mermaid_text(&words(link, blamed)));
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
        for [(a, i), (b, j)] in picture.cables() {
            let arrow = if picture.blames_cable([(a, i), (b, j)]) { "---|✗|" } else { "---" };
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

pub(super) fn facts(namespace: &Namespace) -> Vec<String> {
    let nat = namespace.nat.iter().map(|rule| format!("nat {}", short(rule)));
    namespace.routes.iter().cloned().chain(nat).collect()
}

/// A rule without netwright's mark, which says nothing in a picture.
pub(super) fn short(rule: &str) -> String {
    rule.replace("-m comment --comment netwright ", "")
}

fn words(link: &Link, blamed: bool) -> Vec<String> {
    let sign = if blamed { "✗ " } else { "" };
    let mut words = vec![format!("{sign}{}{}", link.name, link.kind_word())];
    words.extend(link.addrs.iter().cloned());
    if link.state != State::Up {
        words.push(link.state.word().to_owned());
    }
    words
}

fn dot_text(lines: &[String]) -> String {
    let escaped: Vec<String> = lines.iter().map(|line| line.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    escaped.join("\\n")
}

fn mermaid_text(lines: &[String]) -> String {
    let escaped: Vec<String> =
        lines.iter().map(|line| line.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")).collect();
    escaped.join("<br>")
}
