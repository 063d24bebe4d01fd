//! The names of tests that never got to run, read from the text: a set-up that fails must fail the tests behind it by name.

use std::sync::LazyLock;

use regex::Regex;

/// Comments and strings first, so that a `test(` in them is none.
static TOKENS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x) //[^\n]* | /\*(?s:.*?)\*/ | \btest\s*\(\s*"(?P<name>(?:\\.|[^"\\\n])*)" | "(?:\\.|[^"\\])*" | `[^`]*` "#,
    )
    .ok()
});

/// Name and line of each `test("…"` whose sentence is written out.
#[must_use]
pub(crate) fn in_text(text: &str) -> Vec<(String, usize)> {
    let Some(tokens) = TOKENS.as_ref() else { return Vec::new() };
    let names = tokens.captures_iter(text).filter_map(|found| found.name("name"));
    names
        .map(|name| (unescape(name.as_str()), 1 + text[..name.start()].bytes().filter(|byte| *byte == b'\n').count()))
        .collect()
}

/// The test that a line of a file belongs to: the last one that begins there or before.
#[must_use]
pub(crate) fn at_line(text: &str, line: usize) -> Option<String> {
    in_text(text).into_iter().take_while(|(_, begins)| *begins <= line).last().map(|(name, _)| name)
}

/// What Rhai makes of the escapes that occur in sentences.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            (char, false) => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_that_are_written_out_count() {
        let text = r#"
            // test("not this", || {});
            /* test("nor
               this") */
            let x = "test(\"nor this\"";
            test("one \"quoted\"", || { check("inner", || true) });
            for n in 0..3 { test(`number ${n}`, || {}); }
            latest("nor this");
            test ( "two", || {});
        "#;
        let at = |line| at_line(text, line);
        assert_eq!((at(5), at(6), at(8), at(99)), (None, Some("one \"quoted\"".into()), at(6), Some("two".into())));
        assert_eq!(in_text(text), [("one \"quoted\"".to_owned(), 6), ("two".to_owned(), 9)]);
    }
}
