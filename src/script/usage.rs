//! `netwright run SCRIPT --help`: what a script says of itself and which arguments it asks for, read from its text without running it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::arguments::Arguments;
use super::source;
use crate::error::Result;

/// `arg("subnet", "10.0.0.0/24")` and `arg("subnet")`. The default ends at the closing parenthesis of the same line.
static ARG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\barg\(\s*"([^"\\]+)"\s*(?:,\s*([^\n]*?))?\s*\)"#).ok());

/// A call of `args`, any call of `arg`, and any import.
static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bargs\s*\(").ok());
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\barg\s*\(|\bFn\s*\(").ok());
static IMPORT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"\bimport\s+["`]?([^"`\n]*)"#).ok());

/// The help of a script: its header (`//!` lines) and its arguments.
///
/// # Errors
///
/// When the script cannot be read.
pub(crate) fn usage(path: &Path) -> Result<String> {
    let text = source::read(path, &crate::exec::interrupt::Interrupt::default())?;
    let mut out = format!("{}\n", path.display());
    let header: Vec<&str> = text
        .lines()
        .skip_while(|line| line.starts_with("#!"))
        .map_while(|line| line.trim().strip_prefix("//!"))
        .collect();
    for line in &header {
        let _ = writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(line));
    }
    let arguments = arguments(&text);
    let words = takes_words(&code_of(&text));
    if arguments.is_empty() && !words {
        out.push_str("\nThe script takes no arguments.\n");
        return Ok(out);
    }
    out.push_str("\nArguments of the script:\n");
    for (name, default) in arguments {
        let _ = match default {
            Some(default) => writeln!(out, "  --{name} VALUE   default {default}"),
            None => writeln!(out, "  --{name} VALUE   must be given"),
        };
    }
    if words {
        out.push_str("  WORD …   as many as you like\n");
    }
    Ok(out)
}

/// What is given to scripts and none of them takes, a sentence each, with the argument that was perhaps meant. Nothing when it cannot be known
/// before they run: an argument has a name that is computed, or a module of their own may ask for more.
///
/// # Errors
///
/// `InvalidArgument` when what is given cannot be read.
pub(crate) fn strangers(paths: &[PathBuf], vars: &[String], words: &[String]) -> Result<Vec<String>> {
    let mut arguments = Arguments::parse(vars, words)?;
    for path in paths {
        // A pipe gives its text once, to the run, and may make it wait.
        if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Ok(Vec::new());
        }
        // What cannot be read, the run will say.
        let Ok(text) = source::read(path, &crate::exec::interrupt::Interrupt::default()) else { return Ok(Vec::new()) };
        let code = code_of(&text);
        let calls = CALL.iter().flat_map(|call| call.find_iter(&code)).count();
        let named = ARG.iter().flat_map(|arg| arg.captures_iter(&code)).count();
        let own = IMPORT.iter().flat_map(|import| import.captures_iter(&code)).any(|path| !path[1].starts_with("std/"));
        if calls != named || own {
            return Ok(Vec::new());
        }
        for (name, _) in &self::arguments(&text) {
            arguments.announce(name);
        }
        if takes_words(&code) {
            arguments.words();
        }
    }
    Ok(arguments.unused())
}

/// Whether a script takes words that belong to no name.
fn takes_words(code: &str) -> bool {
    WORDS.iter().any(|words| words.is_match(code))
}

/// A text without its lines of comment.
fn code_of(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The arguments that a text asks for, once each, with their defaults as they are written.
fn arguments(text: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let code = code_of(text);
    for captures in ARG.iter().flat_map(|arg| arg.captures_iter(&code)) {
        let name = captures[1].to_owned();
        if found.iter().all(|(known, _)| *known != name) {
            found.push((name, captures.get(2).map(|default| default.as_str().to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_script_takes_is_known_before_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let known = |text: &str, words: &[&str]| {
            let path = folder.path().join("x.rhai");
            std::fs::write(&path, text).unwrap();
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            strangers(&[path], &["v=1".to_owned()], &words).unwrap()
        };
        let both = "arg(\"v\", 0); let n = arg(\"pods\", 2);";
        assert_eq!(known(both, &["--pods", "3"]), [""; 0]);
        assert_eq!(known(both, &["--pod", "3"]), ["the script has no argument `--pod`: did you mean `--pods`?"]);
        assert_eq!(known(both, &["10.0.0.0/8"]), ["the script takes no argument `10.0.0.0/8`"]);
        assert_eq!(known("// arg(\"v\", 0)", &[]), ["the script has no argument `--v`"]);
        // A computed name, or a module that may ask for more.
        assert_eq!(known("for name in names { arg(name, 0); }", &["--pod", "3"]), [""; 0]);
        assert_eq!(known("import \"lib/x\" as x; arg(\"v\", 0);", &["--pod", "3"]), [""; 0]);
        assert_eq!(known("import \"std/lab\" as lab; arg(\"v\", 0);", &["--pod", "3"]).len(), 1);
    }

    #[test]
    fn arguments_are_found_in_the_text() {
        let text = r#"
            let subnet = cidr(arg("subnet", "10.42.0.0/24"));
            let count = arg("pods", 2);
            // arg("commented", 1)
            let key = arg("key");
            let again = arg("pods", 3);
        "#;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            arguments(text),
            [("subnet".into(), some("\"10.42.0.0/24\"")), ("pods".into(), some("2")), ("key".into(), None)]
        );
    }
}
