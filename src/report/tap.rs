//! TAP version 13, which `prove` reads: a plan, a line per test, a YAML block under each failure.

use std::fmt::Write as _;

use crate::testing::Outcome;
use crate::testing::event::Failure;
use crate::testing::results::Results;

/// The document.
#[must_use]
pub(crate) fn render(results: &Results) -> String {
    let total =
        results.files.values().map(|file| file.tests.len() + usize::from(file.end.broken.is_some())).sum::<usize>();
    let mut out = format!("TAP version 13\n1..{total}");
    if total == 0 {
        out.push_str(" # SKIP no test was selected");
    }
    out.push('\n');
    let mut number = 0;
    for (file, all) in &results.files {
        for test in &all.tests {
            number += 1;
            let mark = if test.outcome.is_bad() { "not ok" } else { "ok" };
            let _ = write!(out, "{mark} {number} - {}", name(&format!("{file}: {}", test.test)));
            if test.outcome == Outcome::Skipped {
                let _ = write!(out, " # SKIP {}", name(test.reason.as_deref().unwrap_or_default()));
            }
            out.push('\n');
            block(&mut out, test.outcome.word(), &test.failures);
        }
        if let Some(failure) = &all.end.broken {
            number += 1;
            let _ = writeln!(out, "not ok {number} - {}", name(file));
            block(&mut out, "broken", std::slice::from_ref(failure));
        }
    }
    out
}

/// A description is one line; `#` begins a directive and is escaped.
fn name(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(visible).collect::<String>().replace('\\', "\\\\").replace('#', "\\#")
}

fn block(out: &mut String, outcome: &str, failures: &[Failure]) {
    if failures.is_empty() {
        return;
    }
    // JSON is YAML, and quotes whatever may be in a message.
    let quote = |text: &str| serde_json::Value::from(text).to_string();
    let _ = writeln!(out, "  ---\n  outcome: {outcome}");
    let messages: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let _ = writeln!(out, "  message: {}", quote(&messages.join("; ")));
    if let Some(first) = failures.first() {
        if let Some(source) = &first.source {
            let _ = writeln!(out, "  at: {}", quote(&format!("{source}:{}", first.line)));
        }
        let _ = writeln!(out, "  diagnostic: {}", quote(&first.text));
    }
    let _ = writeln!(out, "  ...");
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_name_cannot_begin_a_directive() {
        assert_eq!(name("does it # SKIP later"), "does it \\# SKIP later");
        assert_eq!(name("a\\# SKIP"), "a\\\\\\# SKIP");
        assert_eq!(name("a\nok 2 - b"), "a ok 2 - b");
    }
}
