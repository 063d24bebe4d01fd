//! What scripts can call, as data: read from Rhai's metadata, spelled in the words of a script author.

use rhai::{AST, Engine};
use serde_json::Value;

/// A parameter of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Param {
    /// Its name; empty when it has none.
    pub name: String,
    /// Its type in the author's words (see [`type_word`]); `any value` when it has none.
    pub ty: String,
}

/// A function, getter (`get$name`), setter (`set$name`) or operator that scripts can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The name, as scripts and Rhai write it.
    pub name: String,
    /// All parameters, the receiver of a method first.
    pub params: Vec<Param>,
    /// What it returns, in the author's words.
    pub returns: String,
    /// The doc comment without its slashes.
    pub docs: String,
    /// The type whose method it is: that of a first parameter taken by `&mut`.
    pub this_type: Option<String>,
    /// The module that must be imported first, by its path; `None` for what is always there.
    pub module: Option<String>,
    /// It is written in Rhai, so its parameters have no types.
    pub scripted: bool,
}

/// The author's words for Rust types that this crate adds: from the last segment of the Rust name (`Netns`) to a noun (`namespace`).
pub(crate) type Words = dyn Fn(&str) -> Option<String>;

/// What netwright calls its own types.
#[must_use]
pub(crate) fn netwright_words(rust: &str) -> Option<String> {
    let word = match rust {
        "Netns" => "namespace",
        "Link" => "link",
        "Cidr" => "cidr",
        "Process" => "process",
        "Listener" => "listener",
        "Expectation" | "Expect" => "expectation",
        "Reached" => "answer",
        "Finding" => "finding",
        "Reachability" => "reachability",
        "Capture" => "capture",
        "Record" => "map",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Rust's name of a type, or Rhai's, in the words of a script author.
#[must_use]
pub(crate) fn type_word(spelled: &str, words: &Words) -> String {
    let ty = spelled.trim();
    let ty = ty.strip_prefix('&').unwrap_or(ty).trim_start();
    let ty = ty.strip_prefix("mut ").unwrap_or(ty).trim();
    if ty.contains(" | ") {
        return "string".to_owned(); // Rhai shows every string argument as `&str | ImmutableString | String`
    }
    let (base, generics) = match ty.split_once('<') {
        Some((base, generics)) => (base, generics.strip_suffix('>').unwrap_or(generics)),
        None => (ty, ""),
    };
    let base = base.rsplit("::").next().unwrap_or(base);
    if matches!(base, "Result" | "RhaiResultOf" | "Option") {
        return type_word(first_argument(generics), words);
    }
    if let Some(word) = words(base) {
        return word;
    }
    match base {
        "str" | "String" | "ImmutableString" | "string" | "SmartString" => "string",
        "INT" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64" | "i128" | "u128" | "isize" | "usize" => {
            "integer"
        }
        "FLOAT" | "f32" | "f64" => "float",
        "Vec" if generics == "u8" => "blob",
        "Blob" => "blob",
        "Array" | "Vec" => "array",
        "Map" | "BTreeMap" => "map",
        "Dynamic" | "RhaiResult" | "" | "?" | "_" => "any value",
        "FnPtr" | "Fn" => "function",
        "()" => "nothing",
        "Range" | "RangeInclusive" | "ExclusiveRange" | "InclusiveRange" | "range=" => "range",
        "Instant" => "timestamp",
        // An alias of a result: `Fails<Link>`.
        _ if !generics.is_empty() => return type_word(first_argument(generics), words),
        other => other,
    }
    .to_owned()
}

fn first_argument(generics: &str) -> &str {
    let mut depth = 0;
    for (at, c) in generics.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => return &generics[..at],
            _ => {}
        }
    }
    generics
}

/// `a link`, `an integer`; `any value` and `nothing` stand for themselves.
#[must_use]
pub(crate) fn with_article(word: &str) -> String {
    match word {
        "any value" | "nothing" => word.to_owned(),
        _ if word.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) => format!("an {word}"),
        _ => format!("a {word}"),
    }
}

/// Everything registered in `engine`: the always-there functions and those of static modules.
///
/// With the standard packages this is half a megabyte of metadata: for `help()` and for errors, not for the hot path.
#[must_use]
pub(crate) fn of_engine(engine: &Engine, words: &Words) -> Vec<Signature> {
    of_metadata_of(engine, true, words)
}

/// What this crate adds to the language: as [`of_engine`], without Rhai's standard packages.
#[must_use]
pub(crate) fn of_api(engine: &Engine, words: &Words) -> Vec<Signature> {
    of_metadata_of(engine, false, words)
}

fn of_metadata_of(engine: &Engine, standard: bool, words: &Words) -> Vec<Signature> {
    let Ok(json) = engine.gen_fn_metadata_to_json(standard) else { return Vec::new() };
    let Ok(value) = serde_json::from_str::<Value>(&json) else { return Vec::new() };
    let mut all = Vec::new();
    of_module(&value, None, words, &mut all);
    all
}

fn of_module(value: &Value, module: Option<&str>, words: &Words, all: &mut Vec<Signature>) {
    for function in value["functions"].as_array().into_iter().flatten() {
        if function["access"] != "private" && function["isAnonymous"] != true {
            all.push(of_metadata(function, module, words));
        }
    }
    for (name, sub) in value["modules"].as_object().into_iter().flatten() {
        let path = module.map_or_else(|| name.clone(), |module| format!("{module}::{name}"));
        of_module(sub, Some(&path), words, all);
    }
}

fn of_metadata(function: &Value, module: Option<&str>, words: &Words) -> Signature {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let given: Vec<_> = function["params"].as_array().into_iter().flatten().collect();
    let count = function["numParams"].as_u64().unwrap_or(0).min(64);
    let params = (0..usize::try_from(count).unwrap_or(0))
        .map(|at| {
            let param = given.get(at).copied().unwrap_or(&Value::Null);
            Param {
                name: text(&param["name"]).trim_start_matches('_').to_owned(),
                ty: type_word(&text(&param["type"]), words),
            }
        })
        .collect::<Vec<_>>();
    let by_reference = given.first().is_some_and(|param| text(&param["type"]).starts_with("&mut"));
    let returns = match text(&function["returnType"]) {
        none if none.is_empty() => "nothing".to_owned(),
        ty => type_word(&ty, words),
    };
    Signature {
        name: text(&function["name"]),
        this_type: params.first().filter(|_| by_reference).map(|param| param.ty.clone()),
        params,
        returns,
        docs: docs(function["docComments"].as_array().into_iter().flatten().map(text)),
        module: module.map(str::to_owned),
        scripted: function["type"] == "script",
    }
}

/// The functions that a script defines; with `module`, those that it offers to who imports it.
#[must_use]
pub(crate) fn of_ast(ast: &AST, module: Option<&str>) -> Vec<Signature> {
    ast.iter_functions()
        // Rhai makes a function of each closure, which is nobody's to call.
        .filter(|one| module.is_none() || (one.access == rhai::FnAccess::Public && !one.name.contains('$')))
        .map(|function| Signature {
            name: function.name.to_owned(),
            params: function
                .params
                .iter()
                .map(|name| Param { name: (*name).to_owned(), ty: "any value".to_owned() })
                .collect(),
            returns: "any value".to_owned(),
            docs: docs(function.comments.iter().map(|line| (*line).to_owned())),
            this_type: function.this_type.map(str::to_owned),
            module: module.map(str::to_owned),
            scripted: true,
        })
        .collect()
}

/// Doc comments without their markers: `///` on each line, or `/** … */`.
fn docs(comments: impl Iterator<Item = String>) -> String {
    let mut lines = Vec::new();
    for comment in comments {
        for line in comment.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("///").or_else(|| line.strip_prefix("/**")).unwrap_or(line);
            let line = line.strip_suffix("*/").unwrap_or(line);
            lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
        }
    }
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_in_the_authors_words() {
        for (rust, word) in [
            ("&str | ImmutableString | String", "string"),
            ("&mut Netns", "namespace"),
            ("netwright::script::api::Link", "link"),
            ("Result<Vec<Dynamic>, Box<EvalAltResult>>", "array"),
            ("core::result::Result<rhai::types::dynamic::Dynamic,alloc::boxed::Box<rhai::EvalAltResult>>", "any value"),
            ("Result<(), Box<EvalAltResult>>", "nothing"),
            ("i64", "integer"),
            ("Fn", "function"),
            ("()", "nothing"),
            ("range=", "range"),
            ("Fails<Link>", "link"),
            ("Frob", "Frob"),
        ] {
            assert_eq!(type_word(rust, &netwright_words), word, "{rust}");
        }
    }
}
