//! GitHub Actions: annotations beside the source line, and the job summary.

use std::fmt::Write as _;

use super::markdown;
use crate::testing::event::Failure;
use crate::testing::results::Results;

/// GitHub shows ten errors of a step and drops the rest.
const ANNOTATIONS: usize = 10;
/// GitHub refuses a summary of more than 1 MiB, of all steps together.
pub const SUMMARY_MAX_BYTES: usize = 900 << 10;

/// The lines with annotations, one for each failed test, at most ten.
#[must_use]
pub fn annotations(results: &Results) -> String {
    let mut out = String::new();
    let broken = results.files.iter().filter_map(|(file, all)| Some((file, "cannot run", all.end.broken.as_ref()?)));
    let failed = results.tests().filter(|test| test.outcome.is_bad());
    let failed = failed.filter_map(|test| Some((&test.file, test.test.as_str(), test.failures.first()?)));
    let all: Vec<_> = broken.chain(failed).collect();
    // The tenth says how many there are beyond it.
    let shown = if all.len() > ANNOTATIONS { ANNOTATIONS - 1 } else { all.len() };
    for (file, title, failure) in &all[..shown] {
        annotation(&mut out, file, title, failure);
    }
    if all.len() > shown {
        let _ =
            writeln!(out, "::error title=netwright::{} more tests failed; the job summary has them", all.len() - shown);
    }
    out
}

fn annotation(out: &mut String, file: &str, title: &str, failure: &Failure) {
    let source = failure.source.as_deref().unwrap_or(file);
    let _ = write!(out, "::error file={}", property(source));
    if failure.line > 0 {
        let _ = write!(out, ",line={}", failure.line);
        if failure.column > 0 {
            let _ = write!(out, ",col={}", failure.column);
        }
    }
    let _ = writeln!(out, ",title={}::{}", property(title), data(&format!("{}\n{}", failure.message, failure.text)));
}

/// The job summary.
#[must_use]
pub fn summary(results: &Results) -> String {
    markdown::render(results, SUMMARY_MAX_BYTES)
}

/// As `@actions/core` escapes the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As `@actions/core` escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
