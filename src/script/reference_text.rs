//! The script reference for people and programs: text, markdown, JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::reference::{Entry, Page, Reference, Use, alias};
use crate::text::SCHEMA;
use crate::text::wrap::wrap;

/// How wide a signature may be before its summary goes to the next line.
const COLUMN: usize = 44;
/// How wide a list is: what fits beside another window.
const WIDTH: usize = 110;

/// A page for a terminal.
#[must_use]
pub(crate) fn text(page: &Page<'_>) -> String {
    let mut out = String::new();
    match page {
        Page::Tour(tour) => out.push_str(tour),
        Page::Overview(reference) => {
            for (heading, entries) in sections(reference) {
                let _ = writeln!(out, "{heading}\n");
                list(&mut out, &entries);
                out.push('\n');
            }
            out.push_str("More about a name: netwright doc NAME, or help(\"NAME\") in a script. A guided tour: netwright doc tour. The language: netwright doc language\n");
        }
        Page::Module(module, entries) => {
            let name = alias(&module.path);
            let _ = writeln!(out, "import \"{}\" as {name};\n\n{}\n", module.path, module.text);
            list(&mut out, entries);
        }
        Page::Type(_, entries) => list(&mut out, entries),
        Page::Found(word, modules, entries) => {
            let _ = writeln!(out, "nothing is called `{word}`; of it speak:\n");
            for module in modules {
                let _ = writeln!(out, "  import \"{}\"  {}", module.path, module.summary());
            }
            list(&mut out, entries);
        }
        Page::Entries(entries) => {
            for (at, entry) in entries.iter().enumerate() {
                let _ = write!(out, "{}{}\n\n", if at == 0 { "" } else { "\n" }, entry.signature);
                indent(&mut out, &entry.text, "  ");
                for example in &entry.examples {
                    out.push('\n');
                    indent(&mut out, example, "    ");
                }
            }
        }
    }
    out
}

fn indent(out: &mut String, text: &str, by: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "{}{line}", if line.is_empty() { "" } else { by });
    }
}

/// One entry after the other: how it is written, and beside it what it is for.
fn list(out: &mut String, entries: &[&Entry]) {
    for entry in entries {
        let mut left = entry.signature.as_str();
        if left.chars().count() > COLUMN {
            let _ = writeln!(out, "  {left}");
            left = "";
        }
        for line in wrap(&entry.summary, WIDTH - COLUMN - 4) {
            let _ = writeln!(out, "  {left:COLUMN$}  {line}");
            left = "";
        }
    }
}

/// The entries by what they belong to, with a heading for each.
fn sections(reference: &Reference) -> Vec<(String, Vec<&Entry>)> {
    let mut sections: Vec<(String, Vec<&Entry>)> = Vec::new();
    for entry in &reference.entries {
        let heading = match (&entry.module, &entry.receiver) {
            (Some(module), _) => format!("import \"{module}\" as {};", alias(module)),
            (None, Some(receiver)) => receiver.clone(),
            (None, None) => "functions".to_owned(),
        };
        match sections.last_mut() {
            Some((last, entries)) if *last == heading => entries.push(entry),
            _ => sections.push((heading, vec![entry])),
        }
    }
    sections
}

/// A page as markdown; the overview is the whole reference.
#[must_use]
pub(crate) fn markdown(page: &Page<'_>) -> String {
    let mut out = String::new();
    match page {
        Page::Tour(tour) => out.push_str(tour),
        Page::Overview(reference) => {
            out.push_str("# What scripts can call\n\nWritten by `netwright doc --format markdown` from the doc comments of the code.\n");
            let plain: Vec<&Entry> = reference.entries.iter().filter(|entry| entry.module.is_none()).collect();
            for (receiver, entries) in by_receiver(&plain) {
                let heading = receiver.map_or("Functions".to_owned(), |receiver| format!("On a value: {receiver}"));
                let _ = write!(out, "\n## {heading}\n");
                entries_markdown(&mut out, &entries, "###");
            }
            for module in &reference.modules {
                let entries: Vec<&Entry> =
                    reference.entries.iter().filter(|entry| entry.module.as_ref() == Some(&module.path)).collect();
                let _ = write!(out, "\n## Module `{}`\n\n{}\n", module.path, module.text);
                entries_markdown(&mut out, &entries, "###");
            }
        }
        Page::Module(module, entries) => {
            let _ = write!(out, "# Module `{}`\n\n{}\n", module.path, module.text);
            entries_markdown(&mut out, entries, "##");
        }
        Page::Type(ty, entries) => {
            let _ = writeln!(out, "# On a value: {ty}");
            entries_markdown(&mut out, entries, "##");
        }
        Page::Entries(entries) | Page::Found(_, _, entries) => entries_markdown(&mut out, entries, "##"),
    }
    out.trim_start().to_owned()
}

fn by_receiver<'a>(entries: &[&'a Entry]) -> Vec<(Option<&'a str>, Vec<&'a Entry>)> {
    let mut groups: Vec<(Option<&str>, Vec<&Entry>)> = Vec::new();
    for entry in entries {
        match groups.last_mut() {
            Some((receiver, group)) if *receiver == entry.receiver.as_deref() => group.push(entry),
            _ => groups.push((entry.receiver.as_deref(), vec![entry])),
        }
    }
    groups
}

fn entries_markdown(out: &mut String, entries: &[&Entry], level: &str) {
    let mut last = None;
    for entry in entries {
        let title = entry.title();
        if last.as_ref() != Some(&title) {
            let _ = write!(out, "\n{level} `{title}`\n");
        }
        last = Some(title);
        if entry.used != Use::Operator {
            let _ = write!(out, "\n    {}\n", entry.signature);
        }
        let _ = write!(out, "\n{}\n", entry.text);
        for example in &entry.examples {
            let _ = write!(out, "\n```rhai\n{example}\n```\n");
        }
    }
}

/// A page as a document for programs.
#[must_use]
pub(crate) fn document(page: &Page<'_>) -> Value {
    let (entries, modules) = match page {
        Page::Tour(tour) => return json!({ "schema": SCHEMA, "tour": tour }),
        Page::Overview(reference) => (reference.entries.iter().collect(), reference.modules.iter().collect()),
        Page::Module(module, entries) => (entries.clone(), vec![*module]),
        Page::Type(_, entries) | Page::Entries(entries) => (entries.clone(), Vec::new()),
        Page::Found(_, modules, entries) => (entries.clone(), modules.clone()),
    };
    let entry = |entry: &&Entry| {
        json!({
            "name": entry.name,
            "title": entry.title(),
            "kind": entry.used.name(),
            "receiver": entry.receiver,
            "module": entry.module,
            "signature": entry.signature,
            "summary": entry.summary,
            "text": entry.text,
            "examples": entry.examples,
        })
    };
    json!({
        "schema": SCHEMA,
        "modules": modules.iter().map(|module| json!({ "path": module.path, "text": module.text })).collect::<Vec<_>>(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
