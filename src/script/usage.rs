//! `netwright run SCRIPT --help`: what a script says of itself and which arguments it asks for, read from its text without running it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::source;
use crate::error::Result;

/// `arg("subnet", "10.0.0.0/24")` and `arg("subnet")`. The default ends at the closing parenthesis of the same line.
static ARG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\barg\(\s*"([^"\\]+)"\s*(?:,\s*([^\n]*?))?\s*\)"#).ok());

/// The help of a script: its header (`//!` lines) and its arguments.
///
/// # Errors
///
/// When the script cannot be read.
pub fn usage(path: &Path) -> Result<String> {
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
    if arguments.is_empty() {
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
    Ok(out)
}

/// The arguments that a text asks for, once each, with their defaults as they are written.
fn arguments(text: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
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
