//! dot and mermaid: for documents, and for programs that lay out by themselves.

use std::fmt::Write as _;

use super::{Link, Namespace, State, Topology};

impl Topology {
    /// Graphviz: a cluster per namespace, a node per link, cables between them.
    #[must_use]
    pub fn dot(&self) -> String {
        let picture = self.folded(super::MANY);
        let mut out = String::from(
            "graph netwright {\n  graph [rankdir=TB, fontname=\"sans-serif\", bgcolor=transparent]\n  \
             node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=10]\n  edge [fontname=\"sans-serif\"]\n",
        );
        for (n, namespace) in picture.namespaces.iter().enumerate() {
            let label: Vec<String> = std::iter::once(title(namespace)).chain(facts(namespace)).collect();
            let _ = writeln!(out, "  subgraph cluster_{n} {{\n    label=\"{}\"", dot_text(&label));
            let _ = writeln!(out, "    node_{n} [shape=point, style=invis]");
            for (l, link) in namespace.shown() {
                let style = match link.state {
                    State::Up => "",
                    State::NoCarrier => ", color=orange",
                    State::Down => ", color=gray, fontcolor=gray",
                };
                let _ = writeln!(out, "    link_{n}_{l} [label=\"{}\"{style}]", dot_text(&words(link)));
                let master = link.master.as_deref();
                if let Some(at) = master.and_then(|master| namespace.links.iter().position(|link| link.name == master))
                {
                    let _ = writeln!(out, "    link_{n}_{at} -- link_{n}_{l} [style=dotted]");
                }
            }
            out.push_str("  }\n");
        }
        for [(a, i), (b, j)] in picture.cables() {
            let _ = writeln!(out, "  link_{a}_{i} -- link_{b}_{j}");
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
            let label: Vec<String> = std::iter::once(title(namespace)).chain(facts(namespace)).collect();
            let _ = writeln!(out, "  subgraph ns_{n}[\"{}\"]", mermaid_text(&label));
            if namespace.shown().next().is_none() {
                let _ = writeln!(out, "    empty_{n}[\"no links\"]");
            }
            for (l, link) in namespace.shown() {
                let class = if link.state == State::Up { "" } else { ":::down" };
                let _ = writeln!(out, "    link_{n}_{l}[\"{}\"]{class}", mermaid_text(&words(link)));
            }
            for (l, link) in namespace.shown() {
                let master = link.master.as_deref();
                if let Some(at) = master.and_then(|master| namespace.links.iter().position(|link| link.name == master))
                {
                    let _ = writeln!(out, "    link_{n}_{at} -.- link_{n}_{l}");
                }
            }
            out.push_str("  end\n");
        }
        for [(a, i), (b, j)] in picture.cables() {
            let _ = writeln!(out, "  link_{a}_{i} --- link_{b}_{j}");
        }
        out.push_str("  classDef down stroke-dasharray: 4 3, opacity: 0.6\n");
        out
    }
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

fn words(link: &Link) -> Vec<String> {
    let mut words = vec![format!("{}{}", link.name, link.kind_word())];
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
