//! Between Rhai's errors and ours: what ended a run, and what a script catches.
//!
//! An [`Error`] travels through a script as a map with fixed keys. The map has no room for labels, notes and times, so the whole
//! error is kept beside it, found again by the tag of the thrown value: what a script catches and throws on loses nothing.

use std::cell::RefCell;
use std::collections::VecDeque;

use rhai::{AST, Dynamic, Engine, EvalAltResult, INT, Map, NativeCallContext, ParseError, Position};

use super::explain::{Explainer, Site};
use super::parse;
use super::signature::{self, Signature, Words, type_word, with_article};
use crate::error::{Call, Place, Ran};
use crate::model::suggest::nearest;
use crate::text::diagnostic::Sources;
use crate::{Error, Kind};

/// As many thrown errors are remembered in full; a script that catches in a loop throws any number.
const REMEMBERED: usize = 64;

thread_local! {
    /// Errors on their way through the script of this thread, by the tag of the value that was thrown.
    static THROWN: RefCell<(i32, VecDeque<(i32, Error)>)> = const { RefCell::new((0, VecDeque::new())) };
}

/// How a run of a script ended, other than by its last line.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The script asked for it, with this status.
    Exit(i64),
    /// It asked to be skipped, for this reason.
    Skipped(String),
    /// Somebody else asked for it.
    Interrupted,
    /// It failed.
    Error(Error),
}

/// The token of a run that ends as skipped, with the reason. `ErrorTerminated` carries it past every `try`.
#[derive(Clone, Debug)]
pub(crate) struct Skip(pub(crate) String);

/// What is known about the scripts when one of them fails. Nothing of it costs anything before.
pub(crate) struct Context<'a> {
    /// The engine that ran them.
    pub engine: &'a Engine,
    /// The name of the main script, as the sources know it.
    pub main: &'a str,
    /// The scripts, for the functions that they define.
    pub scripts: &'a [&'a AST],
    /// What loaded modules offer ([`signature::of_ast`] with the path that scripts import).
    pub modules: &'a [Signature],
    /// The paths that could be imported.
    pub importable: &'a [String],
    /// Names of variables that the host put into scope.
    pub variables: &'a [String],
    /// The texts, by name.
    pub sources: &'a dyn Sources,
    /// The author's words for types: [`signature::netwright_words`], or more.
    pub words: &'a Words,
}

impl Context<'_> {
    /// All that can be called: built in half a megabyte of metadata, so only for an error that needs it.
    ///
    /// `source` is where the call stands: inside of a module its own functions count, private ones too.
    fn signatures(&self, source: Option<&str>) -> Vec<Signature> {
        let mut all = signature::of_engine(self.engine, self.words);
        if let Some(source) = source.filter(|source| *source != self.main)
            && let Ok(module) = self.engine.compile(self.text(source))
        {
            all.extend(signature::of_ast(&module, None));
        }
        all.extend(self.scripts.iter().flat_map(|script| signature::of_ast(script, None)));
        all.extend_from_slice(self.modules);
        all
    }

    fn explained(&self, at: &Place, explain: impl FnOnce(Explainer<'_>) -> Error) -> Error {
        let all = self.signatures(at.source.as_deref());
        explain(Explainer { all: &all, words: self.words })
    }

    pub(super) fn text(&self, source: &str) -> String {
        self.sources.text(source).map(std::borrow::Cow::into_owned).unwrap_or_default()
    }

    /// Is there a function of this name that needs no receiver?
    pub(super) fn is_function(&self, name: &str) -> bool {
        self.signatures(None).iter().any(|signature| signature.name == name && signature.this_type.is_none())
    }
}

/// The place of the call that reached a native function.
#[must_use]
pub(crate) fn place_of(call: &NativeCallContext) -> Place {
    place(call.call_source().unwrap_or_default(), call.call_position())
}

/// Throws `error` so that a script catches the map of [`to_map`]. Set its place first ([`place_of`]), or the map has no line.
#[must_use]
#[expect(clippy::unnecessary_box_returns, reason = "what the functions that scripts call return")]
pub(crate) fn throw(error: Error) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(to_thrown(error), Position::NONE))
}

/// The value that a script catches for an error.
pub(super) fn to_thrown(error: Error) -> Dynamic {
    let mut value = Dynamic::from_map(to_map(&error));
    THROWN.with_borrow_mut(|(last, thrown)| {
        *last = last.checked_add(1).unwrap_or(1);
        value.set_tag(*last);
        if thrown.len() >= REMEMBERED {
            thrown.pop_front();
        }
        thrown.push_back((*last, error));
    });
    value
}

impl From<Error> for Box<EvalAltResult> {
    fn from(error: Error) -> Self {
        throw(error)
    }
}

/// What a script catches: always the same keys, `()` where there is nothing to say.
#[must_use]
pub(crate) fn to_map(error: &Error) -> Map {
    let parts = error.parts();
    let text = |text: &str| Dynamic::from(text.to_owned());
    let number = |number: usize| match INT::try_from(number) {
        Ok(number) if number > 0 => Dynamic::from_int(number),
        _ => Dynamic::UNIT,
    };
    let maybe = |value: Option<Dynamic>| value.unwrap_or(Dynamic::UNIT);
    let place = parts.place.as_ref();
    let ran = parts.ran.as_ref();
    let hints: Vec<&str> = parts.hints.iter().chain(parts.label.iter()).map(String::as_str).collect();
    [
        ("error", text(parts.kind.name())),
        ("message", text(&parts.message)),
        ("source", maybe(place.and_then(|place| place.source.as_deref()).map(text))),
        ("line", maybe(place.map(|place| number(place.line)))),
        ("position", maybe(place.map(|place| number(place.column)))),
        ("command", maybe(ran.map(|ran| text(&ran.command)))),
        ("status", maybe(ran.and_then(|ran| ran.status).map(|status| Dynamic::from_int(status.into())))),
        ("stdout", maybe(ran.map(|ran| text(&ran.stdout)))),
        ("stderr", maybe(ran.map(|ran| text(&ran.stderr)))),
        ("netns", maybe(parts.netns.as_deref().map(text))),
        ("hint", if hints.is_empty() { Dynamic::UNIT } else { text(&hints.join("; ")) }),
    ]
    .into_iter()
    // Only a failed expectation about a path has a reason of this sort.
    .chain(parts.why.as_ref().map(|why| ("why", super::api::value::to_dynamic(why))))
    .map(|(key, value)| (key.into(), value))
    .collect()
}

/// The whole error behind a thrown value, if it is one of ours.
pub(super) fn known_error(value: &Dynamic) -> Option<Error> {
    value.read_lock::<Map>().and_then(|map| from_map(&map, value.tag()))
}

/// The inverse of [`to_map`], for a map that a script threw; `None` when it is not one of ours.
fn from_map(map: &Map, tag: i32) -> Option<Error> {
    let text = |key: &str| map.get(key).and_then(|value| value.clone().into_string().ok());
    let number = |key: &str| map.get(key).and_then(|value| value.as_int().ok());
    let kind = Kind::from_name(&text("error")?)?;
    let message = text("message")?;
    let stored = THROWN.with_borrow(|(_, thrown)| {
        let found = thrown.iter().rev().find(|(at, _)| *at == tag);
        found.map(|(_, error)| error.clone()).filter(|error| error.kind() == kind)
    });
    let known = stored.is_some();
    let mut error = stored.unwrap_or_else(|| Error::new(kind, ""));
    let parts = error.parts_mut();
    parts.message = message;
    if !known {
        parts.hints.extend(text("hint"));
        parts.netns = text("netns");
        parts.ran = text("command").map(|command| Ran {
            command,
            status: number("status").and_then(|status| i32::try_from(status).ok()),
            stdout: text("stdout").unwrap_or_default(),
            stderr: text("stderr").unwrap_or_default(),
            ..Ran::default()
        });
    }
    if let Some(line) = number("line").and_then(|line| usize::try_from(line).ok()).filter(|line| *line > 0) {
        let column = number("position").and_then(|column| usize::try_from(column).ok()).unwrap_or(0);
        parts.place = Some(Place { source: text("source"), line, column });
    }
    Some(error)
}

/// Turns what Rhai returned into how the run ended.
#[must_use]
#[expect(clippy::boxed_local, reason = "it is what Rhai returns")]
pub(crate) fn from_rhai(error: Box<EvalAltResult>, context: &Context<'_>) -> Ended {
    let mut calls: Vec<Call> = Vec::new();
    let mut source = context.main.to_owned();
    let mut within = None;
    let mut error = *error;
    let leaf = loop {
        let (inner, call, next) = match error {
            EvalAltResult::ErrorInFunctionCall(name, callee, inner, at) => {
                let call = Call { within: within.take(), import: false, place: place(&source, at) };
                within = Some(if name.starts_with("anon$") { String::new() } else { name.clone() });
                let next = match callee {
                    _ if name == "eval" => "<eval>".to_owned(),
                    none if none.is_empty() => source.clone(),
                    other => closure_source(&name, context).unwrap_or(other),
                };
                (inner, call, next)
            }
            EvalAltResult::ErrorInModule(name, inner, at) => {
                let call = Call { within: within.take(), import: true, place: place(&source, at) };
                (inner, call, if name.is_empty() { source.clone() } else { name })
            }
            leaf => break leaf,
        };
        if call.place.line > 0 {
            calls.push(call);
        }
        source = next;
        error = *inner;
    };
    let mut at = place(&source, leaf.position());
    if at.line == 0 {
        // A native function's own error has no position; its call has one.
        at = calls.last().map_or(at, |call| call.place.clone());
    }
    let mut error = match ended(leaf, &at, context) {
        Ended::Error(error) => error.at(at.clone()),
        other => return other,
    };
    calls.reverse();
    if let Some(place) = &mut error.parts_mut().place
        && (place.line, place.column) == (at.line, at.column)
    {
        place.source = at.source; // of the same place, we know the file better: see `closure_source`
    }
    // Between double quotes `${x}` stays as it is, and is then no address and no name.
    if error.parts().message.contains("${") && error.kind() == Kind::InvalidArgument {
        error = error.hint("values are put into text between back-ticks: `…${x}…`");
    } else if let Some(name) = in_braces(&error.parts().message).filter(|_| error.kind() == Kind::InvalidArgument) {
        let hint = format!("values are put into text between back-ticks: `…${{{name}}}…`");
        error = error.hint(hint);
    }
    let here = error.parts().place.clone();
    calls.retain(|call| here.as_ref() != Some(&call.place));
    // A native function that calls back (`map`) is a frame of its own, at the place of its call: keep the outer one.
    calls.reverse();
    calls.dedup_by(|inner, outer| inner.place == outer.place);
    calls.reverse();
    if !error.parts().late {
        error.parts_mut().calls = calls;
    }
    out_of_std(&mut error);
    Ended::Error(error)
}

/// An error inside of netwright's own modules is shown at the call that led there from the user's script: nobody can edit `std/…`.
fn out_of_std(error: &mut Error) {
    let is_std = |place: &Place| place.source.as_deref().is_some_and(|source| source.starts_with("std/"));
    let parts = error.parts_mut();
    let Some(inside) = parts.place.clone().filter(is_std) else { return };
    let Some(at) = parts.calls.iter().position(|call| !is_std(&call.place)) else { return };
    let outside = parts.calls.remove(at);
    // The steps between the two lie inside, too.
    parts.calls.drain(..at);
    parts.place = Some(outside.place);
    let source = inside.source.unwrap_or_default();
    parts.notes.push(("inside".into(), format!("{source}:{}:{}", inside.line, inside.column)));
}

/// The script that a closure stands in. Rhai names the file of the function that calls it, also to `place_of`.
fn closure_source(name: &str, context: &Context<'_>) -> Option<String> {
    let is_here =
        |script: &&&AST| name.starts_with("anon$") && script.iter_functions().any(|function| function.name == name);
    context.scripts.iter().find(is_here).and_then(|script| script.source()).map(str::to_owned)
}

/// Turns a parse error of the script `source` into ours.
#[must_use]
pub(crate) fn from_parse(error: &ParseError, source: &str, context: &Context<'_>) -> Error {
    parse::explain(error.err_type(), place(source, error.position()), context)
}

pub(super) fn place(source: &str, at: Position) -> Place {
    Place {
        source: (!source.is_empty()).then(|| source.to_owned()),
        line: at.line().unwrap_or(0),
        column: at.position().unwrap_or(0),
    }
}

/// The error itself, without the calls around it.
fn ended(leaf: EvalAltResult, at: &Place, context: &Context<'_>) -> Ended {
    Ended::Error(match leaf {
        EvalAltResult::ErrorTerminated(token, _) => return terminated(&token),
        EvalAltResult::Exit(value, _) => return Ended::Exit(value.as_int().unwrap_or(0)),
        EvalAltResult::ErrorParsing(what, position) => {
            return Ended::Error(parse::explain(
                &what,
                place(at.source.as_deref().unwrap_or_default(), position),
                context,
            ));
        }
        EvalAltResult::ErrorSystem(what, error) => match error.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) if what.is_empty() => Error::new(Kind::Internal, lower(&other.to_string())),
            Err(other) => Error::new(Kind::Internal, format!("{}: {other}", lower(&what))),
        },
        EvalAltResult::ErrorRuntime(value, _) => thrown(&value, at, context),
        EvalAltResult::ErrorFunctionNotFound(call, _) => {
            let site = site(at, &call, context);
            context.explained(at, |explainer| explainer.function(&call, &site))
        }
        EvalAltResult::ErrorDotExpr(text, _) => dot(&text, at, context),
        EvalAltResult::ErrorIndexingType(text, _) => context.explained(at, |explainer| explainer.index(&text)),
        other => names(&other, at, context)
            .or_else(|| limits(&other, context.engine))
            .unwrap_or_else(|| values(&other, at, context)),
    })
}

fn terminated(token: &Dynamic) -> Ended {
    if let Ok(status) = token.as_int() {
        return Ended::Exit(status);
    }
    if let Some(Skip(reason)) = token.read_lock::<Skip>().as_deref() {
        return Ended::Skipped(reason.clone());
    }
    let ours = token.read_lock::<Map>().and_then(|map| from_map(&map, token.tag()));
    ours.map_or(Ended::Interrupted, Ended::Error)
}

/// A value that the script threw, or a native function.
fn thrown(value: &Dynamic, at: &Place, context: &Context<'_>) -> Error {
    if let Some(map) = value.read_lock::<Map>() {
        return from_map(&map, value.tag()).unwrap_or_else(|| uncaught_map(&map, at, context));
    }
    let by_script = word_at(at, context) == "throw";
    let error = match value {
        _ if value.is_unit() => Error::new(Kind::InvalidArgument, "uncaught throw without a value"),
        _ if by_script => Error::new(Kind::InvalidArgument, format!("uncaught throw: {value}")),
        _ => Error::new(Kind::InvalidArgument, lower(&value.to_string())),
    };
    if by_script { error.label("thrown here") } else { error }
}

/// A map with other keys: the script's own, or what Rhai makes of its errors for `catch`.
fn uncaught_map(map: &Map, at: &Place, context: &Context<'_>) -> Error {
    if let Some(error) = of_rhai(map, at.source.as_deref(), context) {
        return error;
    }
    let text = |key: &str| map.get(key).and_then(|value| value.clone().into_string().ok());
    let said = text("message").unwrap_or_else(|| Dynamic::from_map(map.clone()).to_string());
    Error::new(Kind::InvalidArgument, format!("uncaught throw: {said}")).label("thrown here")
}

/// What Rhai made for `catch` of an error of its own, in our words; `None` for any other map.
///
/// Of an error inside of a called function only its text is left, with the place at its end.
pub(super) fn of_rhai(map: &Map, source: Option<&str>, context: &Context<'_>) -> Option<Error> {
    let text = |key: &str| map.get(key).and_then(|value| value.clone().into_string().ok());
    let number = |key: &str| map.get(key).and_then(|value| value.as_int().ok()).and_then(|n| usize::try_from(n).ok());
    let (name, message, line) = (text("error")?, text("message")?, number("line")?);
    if !name.starts_with("Error") {
        return None;
    }
    let named = |source: Option<String>| source.filter(|source| !source.is_empty());
    let here = named(text("source")).or_else(|| source.map(str::to_owned));
    let outer = Place { source: here.clone(), line, column: number("position").unwrap_or(0) };
    let first = message.lines().next().unwrap_or_default();
    let placed = regex::Regex::new(r"^(.*?)(?: @ '([^']*)')? \(line (\d+), position (\d+)\)$").ok()?;
    let (said, from) = match placed.captures(first) {
        Some(parts) => {
            let group = |index: usize| parts.get(index).map(|part| part.as_str().to_owned());
            let number = |index: usize| group(index).and_then(|text| text.parse().ok()).unwrap_or(0);
            let source = named(group(2)).or(here);
            (group(1).unwrap_or_default(), Place { source, line: number(3), column: number(4) })
        }
        None => (first.to_owned(), outer.clone()),
    };
    let Ended::Error(error) = ended(leaf(&said), &from, context) else { return None };
    // Nobody can edit netwright's own modules.
    let inside = from.source.as_deref().is_some_and(|source| source.starts_with("std/"));
    Some(error.at(if inside { outer } else { from }))
}

/// The error that has this text (`EvalAltResult`'s `Display`), as far as our words need to know it.
fn leaf(said: &str) -> EvalAltResult {
    let at = Position::NONE;
    let owned = |text: &str| text.to_owned();
    let index = |what: &str| {
        let rest = said.strip_prefix(what)?.strip_prefix(" index ")?;
        let (index, rest) = rest.split_once(" out of bounds: ")?;
        let count = rest.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
        Some((count, index.parse().ok()?))
    };
    let types = |what: &str| {
        let rest = said.strip_prefix(what)?.strip_prefix(" type incorrect: ")?;
        let (actual, wanted) = rest.strip_suffix(')')?.split_once(" (expecting ")?;
        Some((owned(wanted), owned(actual)))
    };
    if let Some((length, index)) = index("Array") {
        return EvalAltResult::ErrorArrayBounds(length, index, at);
    }
    if let Some((length, index)) = index("String") {
        return EvalAltResult::ErrorStringBounds(length, index, at);
    }
    if let Some((wanted, actual)) = types("Data") {
        return EvalAltResult::ErrorMismatchDataType(wanted, actual, at);
    }
    if let Some((wanted, actual)) = types("Output") {
        return EvalAltResult::ErrorMismatchOutputType(wanted, actual, at);
    }
    match said.split_once(": ") {
        Some(("Function not found", call)) => EvalAltResult::ErrorFunctionNotFound(owned(call), at),
        Some(("Variable not found", name)) => EvalAltResult::ErrorVariableNotFound(owned(name), at),
        Some(("Property not found", name)) => EvalAltResult::ErrorPropertyNotFound(owned(name), at),
        Some(("Module not found", name)) => EvalAltResult::ErrorModuleNotFound(owned(name), at),
        Some(("Indexer unavailable", ty)) => EvalAltResult::ErrorIndexingType(owned(ty), at),
        _ if said.contains("ter is not registered for type '") => EvalAltResult::ErrorDotExpr(owned(said), at),
        _ if said == "For loop expects iterable type" => EvalAltResult::ErrorFor(at),
        _ if said == "'this' not bound" => EvalAltResult::ErrorUnboundThis(at),
        _ => match said.strip_prefix("Cannot modify constant ") {
            Some(name) => EvalAltResult::ErrorAssignmentToConstant(owned(name), at),
            None => EvalAltResult::ErrorArithmetic(owned(said), at),
        },
    }
}

/// `Unknown property 'x' - a getter is not registered for type 'T'`, and its sister for setters.
fn dot(text: &str, at: &Place, context: &Context<'_>) -> Error {
    let quoted: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
    let site = site(at, quoted.first().copied().unwrap_or_default(), context);
    match quoted.as_slice() {
        [name, ty] => context.explained(at, |explainer| explainer.property(name, ty, None, &site)),
        [name, ty, value] => context.explained(at, |explainer| explainer.property(name, ty, Some(value), &site)),
        _ => Error::new(Kind::InvalidArgument, lower(text)),
    }
}

/// Errors about a name.
fn names(error: &EvalAltResult, at: &Place, context: &Context<'_>) -> Option<Error> {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    Some(match error {
        EvalAltResult::ErrorVariableNotFound(name, _) => parse::unknown_variable(name, at, context),
        EvalAltResult::ErrorModuleNotFound(name, _) => parse::unknown_module(name, at, context),
        EvalAltResult::ErrorVariableExists(name, _) => invalid(format!("`{name}` is defined already")),
        EvalAltResult::ErrorForbiddenVariable(name, _) => invalid(format!("`{name}` cannot be the name of a variable")),
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            let text = context.text(at.source.as_deref().unwrap_or_default());
            let error = Error::new(Kind::NotFound, format!("the map has no key `{name}`"));
            let key = regex::Regex::new(r"\b([A-Za-z_]\w*)\s*:").ok()?;
            let keys: Vec<&str> = key.captures_iter(&text).filter_map(|found| Some(found.get(1)?.as_str())).collect();
            match nearest(name, keys) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("`\"{name}\" in map` tells whether a key is there")),
            }
        }
        EvalAltResult::ErrorIndexNotFound(index, _) => Error::new(Kind::NotFound, format!("no index `{index}`")),
        EvalAltResult::ErrorUnboundThis(_) => {
            invalid("`this` is nothing here".to_owned()).hint("`this` exists in functions that are called with a dot")
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => invalid(format!("`{name}` is a constant"))
            .label("cannot be changed")
            .hint(format!("declare it with `let {name}` to change it")),
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            let what = match name.split_once('$') {
                Some(("set", property)) => format!("setting `{property}` would change a constant"),
                Some(("index", _)) => "setting an element would change a constant".to_owned(),
                Some((_, property)) => format!("`{property}` cannot be read of a constant"),
                None => format!("`{name}` would change a constant"),
            };
            invalid(what).hint("declare it with `let` instead of `const`")
        }
        EvalAltResult::ErrorDataRace(name, _) => {
            invalid(format!("`{name}` is in use by the call that this is an argument of"))
                .hint("copy it into another variable first")
        }
        _ => return None,
    })
}

/// Limits that a script ran into.
fn limits(error: &EvalAltResult, engine: &Engine) -> Option<Error> {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    Some(match error {
        EvalAltResult::ErrorStackOverflow(_) => {
            invalid(format!("more than {} function calls inside each other", engine.max_call_levels()))
                .label("the outermost call")
                .hint("infinite recursion? `netwright check` finds a function that hides a verb which it calls")
        }
        EvalAltResult::ErrorTooManyOperations(_) => {
            invalid(format!("the script takes more than {} steps", engine.max_operations())).hint("an endless loop?")
        }
        EvalAltResult::ErrorTooManyVariables(_) => invalid(format!("more than {} variables", engine.max_variables())),
        EvalAltResult::ErrorTooManyModules(_) => invalid(format!("more than {} modules", engine.max_modules())),
        EvalAltResult::ErrorDataTooLarge(what, _) => invalid(format!("too large: {}", lower(what)))
            .hint("a loop that adds to a string, array or map without end?"),
        _ => return None,
    })
}

/// Whether a place comes right after this character.
fn stands_behind(what: char, at: &Place, context: &Context<'_>) -> bool {
    let text = context.text(at.source.as_deref().unwrap_or(context.main));
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let before: Vec<char> = line.chars().take(at.column.saturating_sub(1)).collect();
    before.iter().rev().find(|character| !character.is_whitespace()) == Some(&what)
}

/// Errors about values, and whatever a later Rhai adds.
fn values(error: &EvalAltResult, at: &Place, context: &Context<'_>) -> Error {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    match error {
        EvalAltResult::ErrorMismatchDataType(wanted, found, _)
        | EvalAltResult::ErrorMismatchOutputType(wanted, found, _) => {
            let (wanted, found) = (type_word(wanted, context.words), type_word(found, context.words));
            let map = found == "map";
            let found = if found == "nothing" { "`()`".to_owned() } else { with_article(&found) };
            let error = invalid(format!("expected {}, found {found}", with_article(&wanted)));
            let error = error.label(format!("this is {found}"));
            match wanted.as_str() {
                "bool" if map => error.hint("`.ok` tells whether it worked"),
                // What Rhai says of `map[0]`.
                "string" if stands_behind('[', at, context) => {
                    error.hint("a map is read by its keys, `.dev` or `[\"dev\"]`: it has no first or second")
                }
                _ => error,
            }
        }
        EvalAltResult::ErrorArrayBounds(length, index, _) => bounds("array", "element", *length, *index),
        EvalAltResult::ErrorStringBounds(length, index, _) => bounds("string", "character", *length, *index),
        EvalAltResult::ErrorBitFieldBounds(length, index, _) => bounds("integer", "bit", *length, *index),
        EvalAltResult::ErrorFor(_) => invalid("`for` cannot go through this value".to_owned())
            .hint("it goes through arrays, strings, ranges (`0..3`) and the keys of a map (`map.keys()`)"),
        EvalAltResult::ErrorArithmetic(what, _) => match what.as_str() {
            "" => invalid("this cannot be computed".to_owned()),
            what => invalid(lower(what)),
        },
        EvalAltResult::LoopBreak(breaks, ..) => {
            invalid(format!("`{}` outside of a loop", if *breaks { "break" } else { "continue" }))
        }
        other => {
            let text = other.to_string();
            let text = text.rsplit_once(" (line ").map_or(text.as_str(), |(text, _)| text);
            invalid(lower(text))
        }
    }
}

fn bounds(container: &str, item: &str, length: usize, index: INT) -> Error {
    let items = if length == 1 { format!("1 {item}") } else { format!("{length} {item}s") };
    let has = if length == 0 { "is empty".to_owned() } else { format!("has {items}") };
    let error = Error::new(Kind::InvalidArgument, format!("no index {index}: the {container} {has}"));
    match length {
        0 => error,
        1 => error.hint("the only one is 0"),
        _ => error.hint(format!("valid are 0 to {}, and -1 for the last", length - 1)),
    }
}

/// The word at a place.
fn word_at(at: &Place, context: &Context<'_>) -> String {
    let (_, after) = parse::around(at, context);
    after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// How the call or property at `at` is written.
fn site(at: &Place, call: &str, context: &Context<'_>) -> Site {
    let text = context.text(at.source.as_deref().unwrap_or_default());
    let module =
        call.split(" (").next().and_then(|name| name.rsplit_once("::")).and_then(|(alias, _)| {
            parse::imports(&text).into_iter().find(|(_, name)| name == alias).map(|(path, _)| path)
        });
    let (before, _) = parse::around(at, context);
    let before = before.trim_end();
    let before = before.strip_suffix('?').unwrap_or(before);
    let Some(before) =
        before.strip_suffix('.').or_else(|| before.strip_suffix(".?")).filter(|text| !text.ends_with('.'))
    else {
        return Site { module, ..Site::default() };
    };
    let rest = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    let name = &before[rest.len()..];
    let plain = name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !rest.ends_with(['.', ':']);
    Site { method: true, receiver: plain.then(|| name.to_owned()), module }
}

/// Our messages start in lower case, unless the first word is a name.
pub(super) fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().collect::<String>() + chars.as_str()
        }
        _ => text.to_owned(),
    }
}

/// The word that stands alone in braces in a text, as other languages put values into one.
fn in_braces(text: &str) -> Option<&str> {
    let name = text.split_once('{')?.1.split_once('}')?.0;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn full() -> Error {
        Error::new(Kind::CommandFailed, "it failed")
            .label("links: lo")
            .hint("first")
            .hint("second")
            .note("undone", "all")
            .netns("red")
            .ran(Ran {
                command: "ip link".into(),
                status: Some(2),
                stdout: "out".into(),
                stderr: "err".into(),
                took: Duration::from_millis(3),
            })
            .at(Place { source: Some("lab.rhai".into()), line: 3, column: 5 })
    }

    fn with_context<T>(engine: &Engine, text: &str, work: impl FnOnce(&Context<'_>) -> T) -> T {
        let sources = HashMap::from([("lab.rhai".to_owned(), text.to_owned())]);
        work(&Context {
            engine,
            main: "lab.rhai",
            scripts: &[],
            modules: &[],
            importable: &[],
            variables: &[],
            sources: &sources,
            words: &signature::netwright_words,
        })
    }

    fn ended_with(engine: &Engine, script: &str) -> Ended {
        let error = engine.run(script).unwrap_err();
        with_context(engine, script, |context| from_rhai(error, context))
    }

    #[test]
    fn a_caught_error_has_always_the_same_keys() {
        let keys = "command error hint line message netns position source status stderr stdout";
        for error in [full(), Error::new(Kind::Busy, "x")] {
            let map = to_map(&error);
            assert_eq!(map.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "), keys);
        }
        let map = to_map(&full());
        assert_eq!(map["position"].as_int(), Ok(5));
        assert_eq!(map["hint"].clone().into_string().as_deref(), Ok("first; second; links: lo"));
        assert!(to_map(&Error::new(Kind::Busy, "x"))["line"].is_unit());
    }

    #[test]
    fn what_is_caught_and_thrown_on_loses_nothing() {
        let mut engine = Engine::new();
        engine.register_fn("fail", || -> Result<(), Box<EvalAltResult>> { Err(full().into()) });
        let Ended::Error(error) = ended_with(&engine, "try { fail() } catch (e) { let f = e; throw f; }") else {
            panic!()
        };
        let (before, after) = (full(), error);
        assert_eq!(format!("{:?}", before.parts()), format!("{:?}", after.parts()));
        let Ended::Error(changed) = ended_with(&engine, "try { fail() } catch (e) { e.message = \"mine\"; throw e; }")
        else {
            panic!()
        };
        assert_eq!((changed.to_string().as_str(), changed.parts().notes.len()), ("mine", 1));
    }

    #[test]
    fn a_map_of_the_scripts_own_with_our_keys_is_an_error_of_that_kind() {
        let script = "throw #{ error: \"Busy\", message: \"held\", hint: \"wait\", command: \"ip l\", status: 2 };";
        let Ended::Error(error) = ended_with(&Engine::new(), script) else { panic!() };
        assert_eq!((error.kind(), error.parts().hints.as_slice()), (Kind::Busy, ["wait".to_owned()].as_slice()));
        assert_eq!(error.parts().ran.as_ref().and_then(|ran| ran.status), Some(2));
        assert_eq!(error.parts().place.as_ref().map(|place| place.line), Some(1));
    }

    #[test]
    fn an_end_is_not_an_error() {
        let mut engine = Engine::new();
        engine.register_fn("leave", |token: Dynamic| -> Result<(), Box<EvalAltResult>> {
            Err(EvalAltResult::ErrorTerminated(token, Position::NONE).into())
        });
        assert!(matches!(ended_with(&engine, "fn f() { leave(12) } f()"), Ended::Exit(12)));
        assert!(matches!(ended_with(&engine, "leave(())"), Ended::Interrupted));
        let Ended::Error(late) = ended_with(&engine, "leave(#{ error: \"TimedOut\", message: \"too late\" })") else {
            panic!()
        };
        assert_eq!(late.kind(), Kind::TimedOut);
    }

    #[test]
    fn a_system_error_can_carry_ours() {
        let ours = EvalAltResult::ErrorSystem(String::new(), Box::new(full()));
        let Ended::Error(error) = with_context(&Engine::new(), "", |context| from_rhai(ours.into(), context)) else {
            panic!()
        };
        assert_eq!(error.kind(), Kind::CommandFailed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_panics(
            script in "(let |fn |f|x|\\(|\\)|\\{|\\}|\"|'|`|=|;|\\.|0|#\\{|\\[|\\]|//|/\\*|\n|é| |\\||import |throw |, ){0,20}",
            what in "[a-z$: ']{0,9}( \\(.{0,12}\\)?)?", line in 0u16..5, column in 0u16..30,
        ) {
            let mut engine = Engine::new();
            engine.set_max_operations(1000);
            engine.set_strict_variables(true);
            let at = if line == 0 { Position::NONE } else { Position::new(line, column) };
            with_context(&engine, &script, |context| {
                if let Err(error) = engine.compile(&script) {
                    let _ = from_parse(&error, "lab.rhai", context);
                } else if let Err(error) = engine.run(&script) {
                    let _ = from_rhai(error, context);
                }
                let _ = from_rhai(EvalAltResult::ErrorFunctionNotFound(what.clone(), at).into(), context);
                let _ = from_rhai(EvalAltResult::ErrorDotExpr(what.clone(), at).into(), context);
                let _ = from_rhai(EvalAltResult::ErrorIndexingType(what.clone(), at).into(), context);
                let _ = from_rhai(EvalAltResult::ErrorVariableNotFound(what.clone(), at).into(), context);
            });
        }
    }
}
