//! The documentation of all that scripts can call, as data: read from the doc comments of the Rust functions in `api` and of the modules
//! in `stdlib/`, and from nowhere else. `reference_text` renders it.

use std::fmt::Write as _;
use std::path::Path;

use rhai::Engine;

use super::engine::bare_engine;
use super::resolver::{Resolver, STD};
use super::signature::{self, Param, Signature, netwright_words};
use super::source::Sources;
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::model::suggest::nearest;

/// How a script uses an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// `name(…)`.
    Function,
    /// `value.name(…)`.
    Method,
    /// `value.name`.
    Property,
    /// Between two values: `a == b`.
    Operator,
}

impl Use {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Method => "method",
            Self::Property => "property",
            Self::Operator => "operator",
        }
    }
}

/// One function, method, property or operator; an overloaded name has several entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bare name.
    pub name: String,
    /// How it is used.
    pub used: Use,
    /// The type that it belongs to, in a script author's words.
    pub receiver: Option<String>,
    /// The module that must be imported first: `std/container`.
    pub module: Option<String>,
    /// How it is written, with the types of its parameters: `link.addr(addr: any value) -> link`.
    pub signature: String,
    /// The first sentence.
    pub summary: String,
    /// All of the text, without the examples.
    pub text: String,
    /// Scripts that run.
    pub examples: Vec<String>,
}

impl Entry {
    pub(super) fn new(from: &Signature) -> Self {
        let (name, property) = match from.name.strip_prefix("get$").or_else(|| from.name.strip_prefix("set$")) {
            Some(name) => (name, true),
            None => (from.name.as_str(), false),
        };
        let is_word = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let used = match (property, &from.this_type) {
            (true, _) => Use::Property,
            _ if !is_word => Use::Operator,
            (_, Some(_)) => Use::Method,
            (_, None) => Use::Function,
        };
        let receiver = match used {
            Use::Operator => from.params.first().map(|param| param.ty.clone()),
            _ => from.this_type.clone(),
        };
        let (text, examples) = divide(&from.docs);
        Self {
            name: name.to_owned(),
            signature: spell(from, name, used),
            used,
            receiver,
            module: from.module.clone(),
            summary: summary(&text),
            text,
            examples,
        }
    }

    /// The name under which people look for it: `link.addr`, `netns`, `container::network`.
    #[must_use]
    pub fn title(&self) -> String {
        match (&self.receiver, &self.module) {
            _ if self.used == Use::Operator => self.signature.clone(),
            (Some(receiver), _) => format!("{receiver}.{}", self.name),
            (None, Some(module)) => format!("{}::{}", alias(module), self.name),
            (None, None) => self.name.clone(),
        }
    }
}

/// A module of netwright's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleDoc {
    /// What scripts import: `std/container`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl ModuleDoc {
    /// The first sentence of its text.
    #[must_use]
    pub fn summary(&self) -> String {
        summary(&self.text)
    }
}

/// Everything that scripts can call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Sorted by module, receiver and name; the forms of an overloaded name from the shortest to the longest.
    pub entries: Vec<Entry>,
    /// The modules of netwright's own.
    pub modules: Vec<ModuleDoc>,
}

/// What [`Reference::find`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// The guided tour, or the language in two pages, as markdown.
    Tour(&'static str),
    /// All of it.
    Overview(&'a Reference),
    /// A module, with what it offers.
    Module(&'a ModuleDoc, Vec<&'a Entry>),
    /// All that belongs to a type.
    Type(String, Vec<&'a Entry>),
    /// The entries of that name.
    Entries(Vec<&'a Entry>),
    /// Nothing is called so; these speak of it, and these modules.
    Found(String, Vec<&'a ModuleDoc>, Vec<&'a Entry>),
}

/// The guided tour; `tests/tour.rs` runs every block of it.
const TOUR: &str = include_str!("../report/tour.md");

/// Rhai in two pages; `tests/tour.rs` runs every block of it.
const LANGUAGE: &str = include_str!("../report/language.md");

/// What people call a type beside its name.
const ALIASES: &[(&str, &str)] = &[("ns", "namespace"), ("netns", "namespace"), ("expect", "expectation")];

impl Reference {
    /// The reference of this netwright.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&bare_engine(Resolver::new(Sources::default(), Path::new("").to_path_buf(), Interrupt::default())))
    }

    /// The reference of an engine that has the API.
    #[must_use]
    pub(crate) fn of(engine: &Engine) -> Self {
        let mut all = signature::of_api(engine, &netwright_words);
        let mut modules = Vec::new();
        for (path, text) in STD {
            if let Ok(ast) = engine.compile(text) {
                all.extend(signature::of_ast(&ast, Some(path)));
                // What is indented is a picture, and Markdown's word for that is four spaces.
                let picture = |line: &str| if line.starts_with("  ") { format!("  {line}") } else { line.to_owned() };
                let lines = ast.doc().lines().map(|line| line.trim_start_matches("//!").trim_end());
                let lines = lines.map(|line| picture(line.strip_prefix(' ').unwrap_or(line)));
                modules.push(ModuleDoc {
                    path: (*path).to_owned(),
                    text: lines.collect::<Vec<_>>().join("\n").trim().to_owned(),
                });
            }
        }
        // `to_debug` is what the REPL shows for `to_string`; nobody writes it.
        // What has no words is Rhai's own, said again for another type; `tests/reference.rs` looks for words of all others.
        let rhais = |entry: &Signature| entry.docs.is_empty() && entry.params.iter().any(|param| param.ty == "map");
        let written = |entry: &&Signature| {
            entry.name != "to_debug" && !super::sides::is_ours(&entry.name) && !(rhais(entry) && entry.module.is_none())
        };
        let mut entries: Vec<Entry> = all.iter().filter(written).map(Entry::new).collect();
        entries.sort_by_cached_key(|entry| {
            let operator = entry.used == Use::Operator;
            let (form, length) = (entry.used != Use::Property, entry.signature.len());
            (
                entry.module.clone(),
                entry.receiver.clone(),
                operator,
                entry.name.clone(),
                form,
                length,
                entry.signature.clone(),
            )
        });
        entries.dedup();
        Self { entries, modules }
    }

    /// The page of a name: `link.addr`, `addr`, `link`, `std/container`, `container::network`, or `tour`; without one, the overview.
    ///
    /// # Errors
    ///
    /// `NotFound`, with what was probably meant.
    pub fn find(&self, name: Option<&str>) -> Result<Page<'_>> {
        let Some(given) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok(Page::Overview(self));
        };
        let name = given.split('(').next().unwrap_or(given);
        if name == "tour" {
            return Ok(Page::Tour(TOUR));
        }
        if name == "language" || name == "rhai" {
            return Ok(Page::Tour(LANGUAGE));
        }
        let short_module = |module: &&ModuleDoc| module.path == name || alias(&module.path) == name;
        if let Some(module) = self.modules.iter().find(short_module) {
            let entries = self.entries.iter().filter(|entry| entry.module.as_ref() == Some(&module.path));
            return Ok(Page::Module(module, entries.collect()));
        }
        let found: Vec<&Entry> = self.entries.iter().filter(|entry| entry.is_called(name)).collect();
        if !found.is_empty() {
            return Ok(Page::Entries(found));
        }
        let ty = real_type(name);
        let found: Vec<&Entry> = self.entries.iter().filter(|entry| entry.receiver.as_deref() == Some(ty)).collect();
        if !found.is_empty() {
            return Ok(Page::Type(ty.to_owned(), found));
        }
        let (modules, found) = self.search(given);
        if modules.is_empty() && found.is_empty() {
            return Err(self.unknown(given, name));
        }
        Ok(Page::Found(given.to_owned(), modules, found))
    }

    /// What speaks of a word: in its name or summary, else anywhere in its text; whole words, capital letters or not.
    fn search(&self, word: &str) -> (Vec<&ModuleDoc>, Vec<&Entry>) {
        let Ok(word) =
            regex::RegexBuilder::new(&format!(r"\b{}s?\b", regex::escape(word))).case_insensitive(true).build()
        else {
            return Default::default();
        };
        let named: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| word.is_match(&entry.name.replace('_', " ")) || word.is_match(&entry.summary))
            .collect();
        let found = if named.is_empty() {
            self.entries.iter().filter(|entry| word.is_match(&entry.text)).collect()
        } else {
            named
        };
        (self.modules.iter().filter(|module| word.is_match(&module.text)).collect(), found)
    }

    fn unknown(&self, given: &str, name: &str) -> Error {
        let bare = name.rsplit(['.', ':', '/']).next().unwrap_or(name);
        let titles: Vec<String> = self.entries.iter().map(Entry::title).collect();
        let names = self.entries.iter().map(|entry| entry.name.as_str());
        let paths = self.modules.iter().map(|module| module.path.as_str());
        let near = nearest(name, titles.iter().map(String::as_str).chain(paths).chain(names.clone()));
        let same = titles.iter().find(|title| title.rsplit(['.', ':']).next() == Some(bare)).map(String::as_str);
        let near = near.or(same).or_else(|| nearest(bare, names));
        let error = Error::new(Kind::NotFound, format!("nothing in the reference is called `{given}`"));
        let error = near.into_iter().fold(error, |error, near| error.hint(format!("did you mean `{near}`?")));
        error.hint("`netwright doc` lists everything")
    }
}

impl Entry {
    fn is_called(&self, name: &str) -> bool {
        if name == self.name || name == self.title() {
            return true;
        }
        if let Some((module, bare)) = name.rsplit_once("::") {
            let is_module = |path: &String| *path == module || alias(path) == module;
            return bare == self.name && self.module.as_ref().is_some_and(is_module);
        }
        name.split_once('.')
            .is_some_and(|(receiver, bare)| bare == self.name && self.receiver.as_deref() == Some(real_type(receiver)))
    }
}

fn real_type(name: &str) -> &str {
    ALIASES.iter().find(|(short, _)| *short == name).map_or(name, |(_, ty)| ty)
}

/// What a module is imported as in the examples: the last part of its path.
#[must_use]
pub fn alias(module: &str) -> &str {
    module.rsplit('/').next().unwrap_or(module)
}

/// How a call is written, in a script author's words.
fn spell(from: &Signature, name: &str, used: Use) -> String {
    // A method's first parameter is the value before the dot; a method written in Rhai has it as `this`.
    let rest =
        if from.scripted || from.this_type.is_none() { &from.params[..] } else { from.params.get(1..).unwrap_or(&[]) };
    let receiver = from.this_type.as_deref().unwrap_or_default();
    match (used, &from.module) {
        (Use::Property, _) => format!("{receiver}.{name}{}", returns(from).replacen(" -> ", ": ", 1)),
        (Use::Method, _) => format!("{receiver}.{name}({}", tail(from, rest)),
        (Use::Operator, _) => {
            let types: Vec<&str> = from.params.iter().map(|param| param.ty.as_str()).collect();
            types.join(&format!(" {name} "))
        }
        (Use::Function, Some(module)) => format!("{}::{name}({}", alias(module), tail(from, rest)),
        (Use::Function, None) => format!("{name}({}", tail(from, rest)),
    }
}

/// What follows in a call, of which these parameters are still to be given: `addr) -> link`. The hints of the REPL are written by it too.
pub(super) fn tail(from: &Signature, params: &[Param]) -> String {
    let spell = |param: &Param| match param.ty.as_str() {
        "any value" if !param.name.is_empty() => param.name.clone(),
        ty if param.name.is_empty() => ty.to_owned(),
        ty => format!("{}: {ty}", param.name),
    };
    format!("{}){}", params.iter().map(spell).collect::<Vec<_>>().join(", "), returns(from))
}

fn returns(from: &Signature) -> String {
    match from.returns.as_str() {
        _ if from.scripted => String::new(),
        "nothing" => String::new(),
        ty => format!(" -> {ty}"),
    }
}

/// A doc comment as text and examples.
fn divide(docs: &str) -> (String, Vec<String>) {
    let (mut text, mut examples) = (Vec::new(), Vec::new());
    let mut example: Option<Vec<&str>> = None;
    for line in docs.lines() {
        match (&mut example, line.trim()) {
            (Some(lines), "```") => {
                examples.push(lines.join("\n"));
                example = None;
            }
            (Some(lines), _) => lines.push(line),
            (None, "```rhai") => example = Some(Vec::new()),
            (None, "# Example" | "# Examples") => {}
            // rustdoc's links mean nothing here.
            (None, _) => text.push(line.replace("[`", "`").replace("`]", "`")),
        }
    }
    (text.join("\n").trim().to_owned(), examples)
}

/// The first sentence of a text, on one line.
fn summary(text: &str) -> String {
    let paragraph = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    let end = paragraph.match_indices(". ").map(|(at, _)| at).find(|at| {
        // Not in `code`, and not in "e. g.".
        paragraph.get(..*at).is_some_and(|before| before.matches('`').count() % 2 == 0 && before.len() > 4)
    });
    let sentence = end.and_then(|at| paragraph.get(..=at)).unwrap_or(&paragraph);
    sentence.trim().to_owned()
}

/// Definitions for editors (`.d.rhai`): of all that is always there, or of a module.
///
/// # Errors
///
/// `InvalidArgument` for a name that is no module.
pub fn definitions(module: Option<&str>) -> Result<String> {
    let Some(given) = module else {
        let engine = bare_engine(Resolver::new(Sources::default(), Path::new("").to_path_buf(), Interrupt::default()));
        let mut all: Vec<String> = signature::of_api(&engine, &netwright_words).iter().map(definition).collect();
        all.sort_by_cached_key(|text| text.lines().last().unwrap_or_default().to_owned());
        return Ok(format!("module static;\n{}", all.concat()));
    };
    let reference = Reference::new();
    let Some(module) = reference.modules.iter().find(|module| module.path == given || alias(&module.path) == given)
    else {
        return Err(Error::new(Kind::InvalidArgument, format!("`{given}` is no module, so it has no definitions of its own"))
            .hint("`netwright doc --format d.rhai` has all that is always there, `netwright doc std/container --format d.rhai` a module"));
    };
    let mut out = format!("module {};\n", alias(&module.path));
    for (_, text) in STD.iter().filter(|(path, _)| *path == module.path) {
        out.push_str(&headers(text));
    }
    Ok(out)
}

/// One definition as Rhai's own `Engine::definitions` writes it, which needs the feature `internals`.
fn definition(of: &Signature) -> String {
    let ty = |word: &str| {
        match word {
            "any value" => "?",
            "nothing" => "()",
            "string" => "String",
            "integer" => "int",
            "array" => "Array",
            "map" => "Map",
            "function" => "FnPtr",
            "boolean" => "bool",
            "namespace" => "Netns",
            "link" => "Link",
            "cidr" => "Cidr",
            "process" => "Process",
            "listener" => "Listener",
            "expectation" => "Expectation",
            other => other,
        }
        .to_owned()
    };
    let (word, name) = match of.name.split_once('$') {
        Some((accessor, name)) => ("fn", format!("{accessor} {name}")),
        None if of.name.starts_with(|c: char| c.is_alphabetic()) => ("fn", of.name.clone()),
        None => ("op", of.name.clone()),
    };
    let params = of.params.iter().map(|param| match word {
        "op" => ty(&param.ty),
        _ => format!("{}: {}", param.name, ty(&param.ty)),
    });
    let docs: String = of.docs.lines().map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect();
    format!("\n{docs}{word} {name}({}) -> {};\n", params.collect::<Vec<_>>().join(", "), ty(&of.returns))
}

/// The doc comments and heads of the public functions of a module.
fn headers(text: &str) -> String {
    let mut out = String::new();
    let mut docs = Vec::new();
    for line in text.lines() {
        if line.starts_with("///") {
            docs.push(line);
            continue;
        }
        if line.starts_with("fn ") {
            let head = line.split(" {").next().unwrap_or(line);
            let _ = write!(out, "\n{}\n{head};\n", docs.join("\n"));
        }
        docs.clear();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doc_comment_is_divided() {
        let (text, examples) = divide("One. Two\nthree as [`x`].\n\n# Example\n\n```rhai\na();\n\nb();\n```");
        assert_eq!(text, "One. Two\nthree as `x`.");
        assert_eq!(examples, ["a();\n\nb();"]);
        assert_eq!(summary(&text), "One. Two three as `x`.");
        assert_eq!(summary("The first. The second."), "The first.");
        assert_eq!(summary("With `a. b` in it. More."), "With `a. b` in it.");
    }

    #[test]
    fn names_are_found_as_people_write_them() {
        let reference = Reference::new();
        let titles = |name: &str| match reference.find(Some(name)).unwrap() {
            Page::Entries(entries) => entries.iter().map(|entry| entry.title()).collect::<Vec<_>>(),
            page => panic!("{name}: {page:?}"),
        };
        assert_eq!(titles("link.addr"), ["link.addr"]);
        assert_eq!(titles("ns.plug"), ["namespace.plug"; 2]);
        assert!(titles("addrs").contains(&"link.addrs".to_owned()));
        assert_eq!(titles("container::pod"), ["map.pod"]);
        assert_eq!(titles("netns(\"blue\")"), ["netns", "link.netns"]);
        assert!(matches!(reference.find(Some("std/lab")), Ok(Page::Module(..))));
        assert!(matches!(reference.find(Some("lab")), Ok(Page::Module(..))));
        assert!(matches!(reference.find(Some("ns")), Ok(Page::Type(..))));
        assert!(matches!(reference.find(None), Ok(Page::Overview(_))));
        let error = reference.find(Some("link.adr")).unwrap_err();
        assert_eq!(error.parts().hints[0], "did you mean `link.addr`?");
        assert_eq!(error.kind().exit_code(), 3);
    }

    #[test]
    fn signatures_are_spelled_as_calls() {
        let reference = Reference::new();
        for signature in [
            "netns(name: string) -> namespace",
            "link.addr(addr) -> link",
            "link.addrs: array",
            "link == link",
            "container::network(name, gateway)",
            "map.pod(name, address)",
            "sleep(time)",
        ] {
            assert!(reference.entries.iter().any(|entry| entry.signature == signature), "{signature}");
        }
    }
}
