//! What is wrong with a script that does not parse, and what its author probably meant.

use regex::Regex;
use rhai::{LexError, ParseErrorType};

use super::error::{Context, lower};
use super::sides;
use crate::error::Place;
use crate::model::suggest::nearest;
use crate::text::span::line_range;
use crate::{Error, Kind};

/// Explains a parse error at `at`.
pub(super) fn explain(what: &ParseErrorType, at: Place, context: &Context<'_>) -> Error {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    let error = match what {
        ParseErrorType::MissingToken(token, why) => return missing(token, why, at, context),
        ParseErrorType::UnexpectedEOF => match unclosed(&context.text(at.source.as_deref().unwrap_or_default())) {
            Some((bracket, line, column)) => {
                let error = invalid(format!("the `{bracket}` is never closed")).label("opened here");
                return error.at(Place { line, column, ..at });
            }
            None => invalid("the script ends in the middle of a statement".to_owned()),
        },
        ParseErrorType::BadInput(what) => lexical(what, &at, context),
        ParseErrorType::Reserved(word) => reserved(word),
        ParseErrorType::VariableUndefined(name) => unknown_variable(name, &at, context),
        ParseErrorType::ModuleUndefined(name) => unknown_module(name, &at, context),
        ParseErrorType::UnknownOperator(operator) if matches!(operator.as_str(), "++" | "--") => no_increment(operator),
        ParseErrorType::UnknownOperator(operator) if operator == "..." => {
            invalid("there is no `...`".to_owned()).hint("a range is `1..3` without its end, `1..=3` with it")
        }
        ParseErrorType::UnknownOperator(operator) => invalid(format!("no operator `{operator}`")),
        ParseErrorType::AssignmentToConstant(name) if name.is_empty() => {
            invalid("a value cannot be assigned to".to_owned()).hint("did you mean `==`?")
        }
        ParseErrorType::AssignmentToConstant(name) => invalid(format!("`{name}` is a constant"))
            .label("cannot be changed")
            .hint(format!("declare it with `let {name}` to change it")),
        ParseErrorType::AssignmentToInvalidLHS(_) => {
            invalid("this cannot be assigned to".to_owned()).hint("put it into a variable first; `==` compares")
        }
        ParseErrorType::FnDuplicatedDefinition(name, count) => {
            let parameters = if *count == 1 { "1 parameter".to_owned() } else { format!("{count} parameters") };
            invalid(format!("there is a function `{name}` with {parameters} already"))
        }
        ParseErrorType::DuplicatedProperty(name) => invalid(format!("the key `{name}` stands twice in this map")),
        ParseErrorType::DuplicatedVariable(name) => invalid(format!("the name `{name}` stands twice")),
        ParseErrorType::FnDuplicatedParam(function, name) => {
            invalid(format!("`{function}` has two parameters named `{name}`"))
        }
        ParseErrorType::WrongFnDefinition => {
            invalid("a function cannot stand inside of a block or another function".to_owned())
                .hint("move it to the top level, or use a closure: `let f = |x| …;`")
        }
        ParseErrorType::WrongDocComment => {
            invalid("a doc comment stands here without a function".to_owned()).hint("write `//` instead of `///`")
        }
        ParseErrorType::LoopBreak => invalid("`break` and `continue` only work inside of a loop".to_owned()),
        ParseErrorType::VariableExpected => invalid("a variable needs a name here".to_owned()),
        ParseErrorType::PropertyExpected if is_address(&around(&at, context).0) => {
            invalid("an address is not a number".to_owned()).hint("write it as a string, in quotes: `\"10.0.0.1\"`")
        }
        ParseErrorType::PropertyExpected if word_at(&at, context).is_some() => {
            let word = word_at(&at, context).unwrap_or_default();
            invalid(format!("`{word}` is a word of the language and cannot be a bare key"))
                .label("a reserved word")
                .hint(format!("write it in quotes: `\"{word}\": …`"))
        }
        ParseErrorType::PropertyExpected => invalid("the name of a property or key is missing".to_owned()),
        ParseErrorType::MismatchedType(wanted, found) => {
            let error = invalid(format!("expected {wanted}, found {found}"));
            if wanted.contains("boolean") { error.hint("compare it: `x == …`") } else { error }
        }
        ParseErrorType::ExprExpected(what) => invalid(format!("expected {what}")),
        ParseErrorType::ExprTooDeep => {
            invalid("this expression is nested too deeply".to_owned()).hint("put parts of it into variables")
        }
        other => invalid(lower(&other.to_string())),
    };
    error.at(at)
}

/// A token is missing. Rhai points to what stands there instead, which may be lines further down.
fn missing(token: &str, why: &str, at: Place, context: &Context<'_>) -> Error {
    let text = context.text(at.source.as_deref().unwrap_or_default());
    let (before, _) = around(&at, context);
    if let Some((bracket, line, column)) = unclosed(&text).filter(|_| is_at_end(&text, &at)) {
        let error = Error::new(Kind::InvalidArgument, format!("the `{bracket}` is never closed")).label("opened here");
        return error.at(Place { line, column, ..at });
    }
    if let Some(error) = foreign(at.clone(), context) {
        return error;
    }
    let closing = matches!(token, ";" | "," | ")" | "]" | "}");
    let end = if closing && before.trim().is_empty() { end_of_code_before(&text, at.line) } else { None };
    let place = match end {
        Some((line, column)) => Place { line, column, ..at },
        None => at,
    };
    let error = match token {
        ";" => Error::new(Kind::InvalidArgument, "missing `;` after a statement"),
        _ => Error::new(Kind::InvalidArgument, format!("missing `{token}` {}", why.trim()).trim_end().to_owned()),
    };
    let (_, after) = around(&place, context);
    let error = match token {
        "," if after.starts_with([';', '}']) => error.hint("or `)`, when these are all"),
        "{" if after.starts_with(':') => error.hint("the body stands in braces: `for i in 1..4 { … }`, `if x { … }`"),
        "{" => error.hint("the body stands in braces: `{ … }`"),
        _ => error,
    };
    error.label(format!("`{token}` expected")).at(place)
}

/// Words of other languages, and what Rhai has for them.
const FOREIGN: &[(&str, &str)] = &[
    ("and", "`and` is written `&&`"),
    ("or", "`or` is written `||`"),
    ("not", "`not` is written `!`: `!x`"),
    ("elif", "`elif` is written `else if`"),
    ("elsif", "`elsif` is written `else if`"),
    ("then", "there is no `then`: the body stands in braces, `if x { … }`"),
    ("fi", "the body of an `if` stands in braces: `if x { … }`"),
    ("def", "a function is written `fn name(a, b) { … }`"),
    ("function", "a function is written `fn name(a, b) { … }`"),
    ("lambda", "a function without a name is written `|x| …`"),
    ("except", "an error is caught with `try { … } catch (e) { … }`"),
    ("is", "two values are compared with `==`"),
];

/// The hint for a word of another language.
fn word_of_another(word: &str) -> Option<&'static str> {
    FOREIGN.iter().find(|(foreign, _)| *foreign == word).map(|(_, hint)| *hint)
}

/// What stands at a place, or just before it, is a word of another language, or a map without its `#`.
fn foreign(at: Place, context: &Context<'_>) -> Option<Error> {
    let (before, after) = around(&at, context);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let here: String = after.chars().take_while(|c| is_word(*c)).collect();
    let last = before.trim_end().rsplit(|c: char| !is_word(c)).next().unwrap_or_default();
    let (word, column) = match (word_of_another(&here), word_of_another(last)) {
        (Some(_), _) => (here.as_str(), at.column),
        (None, Some(_)) => (last, before.trim_end().chars().count() + 1 - last.chars().count()),
        (None, None) if after.starts_with(':') && !after.starts_with("::") && in_braces(&before) => {
            let error = Error::new(Kind::InvalidArgument, "this is a block, not a map");
            return Some(error.label("a key?").hint("a map begins with `#{`: `#{ via: \"10.0.0.1\" }`").at(at));
        }
        (None, None) => return None,
    };
    let hint = word_of_another(word)?;
    Some(Error::new(Kind::InvalidArgument, format!("Rhai has no `{word}`")).hint(hint).at(Place { column, ..at }))
}

/// The last brace before is an open one, of no map.
fn in_braces(before: &str) -> bool {
    before.rfind('{').is_some_and(|open| !before[..open].ends_with('#') && !before[open..].contains('}'))
}

/// Only white space comes after a place.
fn is_at_end(text: &str, at: &Place) -> bool {
    line_range(text, at.line).is_none_or(|line| {
        let cut = text[line.clone()]
            .char_indices()
            .nth(at.column.saturating_sub(1))
            .map_or(line.end, |(at, _)| line.start + at);
        text[cut..].trim().is_empty()
    })
}

/// `10.0.`: an address that lost its quotes.
fn is_address(before: &str) -> bool {
    let mut parts = before.rsplit('.');
    let numeric = |part: &str| part.ends_with(|c: char| c.is_ascii_digit());
    parts.next() == Some("") && parts.next().is_some_and(numeric) && parts.next().is_some_and(numeric)
}

/// Line and column just behind the last code before `line`, skipping empty lines and comments.
fn end_of_code_before(text: &str, line: usize) -> Option<(usize, usize)> {
    (1..line).rev().find_map(|line| {
        let code = &text[line_range(text, line)?];
        let code = code.find("//").filter(|at| !code[..*at].contains('"')).map_or(code, |at| &code[..at]).trim_end();
        (!code.trim().is_empty()).then(|| (line, code.chars().count() + 1))
    })
}

fn lexical(what: &LexError, at: &Place, context: &Context<'_>) -> Error {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    match what {
        LexError::UnterminatedString => {
            let (_, after) = around(at, context);
            let error = invalid("this string is never closed".to_owned()).label("opened here");
            if after.starts_with('`') {
                error.hint("close it with a back-tick")
            } else {
                error.hint("close it with `\"` on the same line; text over several lines stands in back-ticks")
            }
        }
        LexError::MalformedChar(text) => invalid("single quotes hold one character".to_owned())
            .hint(format!("write `\"{}\"` for a string", text.trim_matches('\''))),
        LexError::MalformedEscapeSequence(text) => invalid(format!("no escape `{text}` in strings"))
            .hint("write `\\\\` for a backslash; text in back-ticks knows no escapes"),
        LexError::MalformedNumber(text) => invalid(format!("`{text}` is not a number"))
            .hint(format!("addresses, times and sizes are strings: `\"{text}\"`")),
        LexError::MalformedIdentifier(text) => invalid(format!("`{text}` is not a name")),
        LexError::ImproperSymbol(symbol, _) if symbol == "=" => {
            invalid("`=` assigns, it does not compare".to_owned()).hint("did you mean `==`?")
        }
        LexError::ImproperSymbol(symbol, why) => {
            let error = invalid(format!("`{symbol}` does not work here"));
            if why.is_empty() { error } else { error.hint(lower(why).replace('\'', "`")) }
        }
        LexError::Runtime(why) if why == sides::TOO_MANY => invalid(format!(
            "more than {} variables at a time",
            sides::VARIABLES_MAX
        ))
        .label("one too many")
        .hint(
            "keep many values in an array or a map: `let ports = [80, 443];`, or in functions and files of their own",
        ),
        LexError::UnexpectedInput(text) => invalid(format!("unexpected `{text}`")),
        other => invalid(lower(&other.to_string())),
    }
}

fn reserved(word: &str) -> Error {
    let error = Error::new(Kind::InvalidArgument, format!("`{word}` is a reserved word")).label("cannot be a name");
    match word {
        "null" | "nil" | "void" => error.hint("nothing is written `()`"),
        "match" | "case" => error.hint("Rhai's word is `switch`"),
        "use" | "module" | "package" => {
            error.hint(format!("`import \"…\" as name;` brings in a module; as a name, try `{word}_`"))
        }
        "var" => error.hint("a variable is declared with `let`"),
        "async" | "await" | "go" | "spawn" | "thread" => error.hint("a background process is `ns.start(\"…\")`"),
        "new" => error.hint("there is no `new`: call the function, for example `netns(\"blue\")`"),
        "++" | "--" => no_increment(word),
        _ if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            error.hint(format!("choose another, for example `{word}_`"))
        }
        _ => Error::new(Kind::InvalidArgument, format!("`{word}` does not work here")),
    }
}

fn no_increment(operator: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("there is no `{operator}`"))
        .hint(format!("write `x {}= 1`", &operator[..1]))
}

/// A name that is not in scope.
pub(super) fn unknown_variable(name: &str, at: &Place, context: &Context<'_>) -> Error {
    let error = Error::new(Kind::NotFound, format!("no variable `{name}`"));
    match name {
        "None" | "undefined" | "NULL" | "Null" => return error.hint("nothing is written `()`"),
        "True" | "TRUE" => return error.hint("did you mean `true`?"),
        "False" | "FALSE" => return error.hint("did you mean `false`?"),
        "self" => return error.hint("did you mean `this`?"),
        _ => {}
    }
    if let Some(hint) = word_of_another(name) {
        return Error::new(Kind::InvalidArgument, format!("Rhai has no `{name}`")).hint(hint);
    }
    let (before, after) = around(at, context);
    let next = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start();
    if next.starts_with(':') && !next.starts_with("::") && in_braces(&before) {
        return error.hint(format!("a map begins with `#{{`: `#{{ {name}: … }}`"));
    }
    let in_call = before.matches('(').count() > before.matches(')').count();
    if in_call && next.starts_with('=') && !next.starts_with("==") && before.trim_end().ends_with(['(', ',']) {
        return error.hint(format!("a call has no named arguments: options are a map, `#{{ {name}: … }}`"));
    }
    let text = context.text(at.source.as_deref().unwrap_or_default());
    let end = line_range(&text, at.line).map_or(text.len(), |line| line.end);
    let declared = declared(&text[..end]);
    if declared.iter().any(|(declared, line)| declared == name && *line < at.line) {
        return error.label("not known here").hint(format!(
            "a function does not see variables outside of it: pass `{name}` as a parameter; a block's own variables end with it"
        ));
    }
    if context.is_function(name) {
        return error.label("this is a function").hint(format!("write `{name}(…)` to call it"));
    }
    let known = declared.iter().map(|(name, _)| name.as_str()).chain(context.variables.iter().map(String::as_str));
    match nearest(name, known) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("declare it first: `let {name} = …;`; text stands in quotes: `\"{name}\"`")),
    }
}

/// A module that was not imported (`lab::star`), or that does not exist (`import "std/labb"`).
pub(super) fn unknown_module(name: &str, at: &Place, context: &Context<'_>) -> Error {
    let text = context.text(at.source.as_deref().unwrap_or_default());
    let (_, after) = around(at, context);
    let imported = imports(&text);
    if after.starts_with(['"', '`']) || name.contains('/') {
        let error = Error::new(Kind::NotFound, format!("no module `{name}`"));
        return match nearest(name, context.importable.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        };
    }
    let error = Error::new(Kind::NotFound, format!("no module is imported as `{name}`"));
    if let Some(near) = nearest(name, imported.iter().map(|(_, alias)| alias.as_str())) {
        return error.hint(format!("did you mean `{near}`?"));
    }
    match context.importable.iter().find(|path| path.rsplit('/').next() == Some(name)) {
        Some(path) => error.hint(format!("import it first: `import \"{path}\" as {name};`")),
        None => error,
    }
}

/// Path and alias of each `import "path" as alias` in a text.
pub(super) fn imports(text: &str) -> Vec<(String, String)> {
    let Ok(import) = Regex::new(r#"\bimport\s+"([^"\n]*)"\s+as\s+(\w+)"#) else { return Vec::new() };
    import.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

/// The names that a text declares, each with its line: `let`, `const`, `for`, parameters. Told by pattern, for suggestions only.
fn declared(text: &str) -> Vec<(String, usize)> {
    let Ok(pattern) = Regex::new(r"\b(?:let|const|for)\s+\(?([A-Za-z_]\w*)|\bfn\s+\w+\s*\(([^)]*)\)|\|([\w\s,]*)\|")
    else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for found in pattern.captures_iter(line) {
            let list = found.get(1).or_else(|| found.get(2)).or_else(|| found.get(3)).map_or("", |list| list.as_str());
            let list = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.extend(list.map(|name| (name.to_owned(), at + 1)));
        }
    }
    names
}

/// The line of a place, before and from its column.
pub(super) fn around(at: &Place, context: &Context<'_>) -> (String, String) {
    let text = context.text(at.source.as_deref().unwrap_or_default());
    if at.line == 0 {
        return (String::new(), String::new());
    }
    let line = line_range(&text, at.line).map_or("", |line| &text[line]);
    let cut = line.char_indices().nth(at.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    (line[..cut].to_owned(), line[cut..].to_owned())
}

/// The word that stands at a place.
fn word_at(at: &Place, context: &Context<'_>) -> Option<String> {
    let (_, rest) = around(at, context);
    let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    word.starts_with(|c: char| c.is_ascii_lowercase()).then_some(word)
}

/// The last bracket of a text that nothing closes, with line and column.
fn unclosed(text: &str) -> Option<(char, usize, usize)> {
    let mut open = Vec::new();
    let (mut line, mut column) = (1, 0);
    let mut chars = text.chars().peekable();
    let mut inside: Option<char> = None; // a quote, `/` for a line comment, `*` for a block comment
    while let Some(c) = chars.next() {
        column += 1;
        if c == '\n' {
            (line, column) = (line + 1, 0);
        }
        match (inside, c) {
            (Some('/'), '\n') => inside = None,
            (Some('*'), '*') if chars.peek() == Some(&'/') => inside = None,
            (Some('"' | '\''), '\\') => {
                chars.next();
                column += 1;
            }
            (Some(quote), _) if quote == c && quote != '/' && quote != '*' => inside = None,
            (None, '"' | '\'' | '`') => inside = Some(c),
            (None, '/') if matches!(chars.peek(), Some('/' | '*')) => inside = chars.peek().copied(),
            (None, '(' | '[' | '{') => open.push((c, line, column)),
            (None, ')' | ']' | '}') => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}
