//! Markdown for a job summary, a pull request or a ticket: what failed first, then the table.

use std::fmt::Write as _;

use crate::testing::Outcome;
use crate::testing::event::{Failure, Test};
use crate::testing::results::Results;
use crate::text::cell;

/// The document, at most `limit` bytes: what does not fit is counted instead of shown.
#[must_use]
pub(crate) fn render(results: &Results, limit: usize) -> String {
    let counts = results.counts();
    let verdict = if results.exit == 0 { "passed" } else { "failed" };
    let more = |count: usize, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
    let mut out = format!(
        "## netwright: {verdict}\n\n{} passed, {} failed, {} skipped{}{} in {:.1} s\n",
        counts.passed,
        counts.failed,
        counts.skipped,
        more(counts.flaky, "flaky"),
        more(counts.broken, if counts.broken == 1 { "file could not run" } else { "files could not run" }),
        results.took_ms / 1e3
    );
    // The closing words, and a table row that is cut, need room too.
    let limit = limit.saturating_sub(512);
    let mut dropped = 0_usize;
    let mut add = |out: &mut String, text: String| {
        let fits = out.len() + text.len() <= limit;
        if fits {
            out.push_str(&text);
        } else {
            dropped += 1;
        }
        fits
    };
    for (file, all) in &results.files {
        if let Some(failure) = &all.end.broken {
            add(&mut out, broken(file, failure));
        }
        // The network as it was drawn last in this file.
        let mut drawn: Option<&str> = None;
        for test in all.tests.iter().filter(|test| test.outcome.is_bad()) {
            if add(&mut out, failed(test, drawn)) {
                drawn = test.picture.as_deref().or(drawn);
            }
        }
    }
    add(&mut out, "\n| | file | test | time |\n|---|---|---|---:|\n".to_owned());
    for test in results.tests() {
        let mark = match test.outcome {
            Outcome::Passed if test.attempt > 1 => "🔁 flaky",
            Outcome::Passed => "✅",
            Outcome::Failed => "❌",
            Outcome::Inconclusive => "❓ inconclusive",
            Outcome::Skipped => "⏭️ skipped",
        };
        let mut name = cell(&test.test);
        if let Some(reason) = &test.reason {
            let _ = write!(name, " ({})", cell(reason));
        }
        let usual = test.usual_ms.map(|usual| format!(", usually {usual:.0} ms")).unwrap_or_default();
        add(&mut out, format!("| {mark} | {} | {name} | {:.0} ms{usual} |\n", cell(&test.file), test.took_ms));
    }
    add(&mut out, super::coverage::markdown(results));
    if dropped > 0 {
        let _ = write!(out, "\n{dropped} more entries do not fit here; the other reports have them\n");
    }
    out
}

fn failed(test: &Test, drawn: Option<&str>) -> String {
    let mut out = format!("\n### ❌ {}: {}\n", cell(&test.file), cell(&test.test));
    for failure in &test.failures {
        out.push_str(&fenced(&failure.text));
    }
    let commands: Vec<&str> = test.failures.iter().filter_map(|failure| failure.command.as_deref()).collect();
    if !commands.is_empty() {
        let _ = write!(out, "\nThe command that failed:\n{}", fenced(&commands.join("\n")));
    }
    if !test.printed.is_empty() {
        let _ = write!(
            out,
            "\n<details><summary>what it printed</summary>\n{}\n</details>\n",
            fenced(&test.printed.join("\n"))
        );
    }
    if let Some(picture) = &test.picture {
        match drawn.map(|drawn| changed(drawn, picture)) {
            None => {
                let _ = write!(out, "\n<details><summary>the network</summary>\n{}\n</details>\n", fenced(picture));
            }
            Some(changed) if changed.is_empty() => out.push_str("\nThe network is as it is drawn above.\n"),
            Some(changed) => {
                let summary = "what is different in the network from what is drawn above";
                let _ = write!(out, "\n<details><summary>{summary}</summary>\n{}\n</details>\n", fenced(&changed));
            }
        }
    }
    out
}

/// The namespaces of a picture that are not drawn like this in an earlier one, and those that are gone; empty when there are none.
fn changed(before: &str, now: &str) -> String {
    let name = |part: &str| {
        let first = part.lines().next().unwrap_or_default();
        first.trim_start_matches("✗ ").split("  ").next().unwrap_or_default().to_owned()
    };
    let (before, now): (Vec<&str>, Vec<&str>) = (before.split("\n\n").collect(), now.split("\n\n").collect());
    let mut parts: Vec<String> =
        now.iter().filter(|part| !before.contains(part)).map(|part| (*part).to_owned()).collect();
    let here: Vec<String> = now.iter().map(|part| name(part)).collect();
    let gone: Vec<String> = before.iter().map(|part| name(part)).filter(|name| !here.contains(name)).collect();
    if !gone.is_empty() {
        parts.push(format!("gone: {}", gone.join(", ")));
    }
    parts.join("\n\n")
}

fn broken(file: &str, failure: &Failure) -> String {
    format!("\n### ❌ {} could not run\n{}", cell(file), fenced(&failure.text))
}

/// A code block whose fence is longer than any run of backticks in it.
pub(super) fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("\n{fence}text\n{}\n{fence}\n", text.trim_end())
}
