//! GitHub Actions: annotations beside the source line, and the job summary.

use std::fmt::Write as _;

use super::markdown;
use crate::testing::event::Failure;
use crate::testing::results::Results;

/// GitHub shows ten errors and ten warnings of a step and drops the rest.
const ANNOTATIONS: usize = 10;
/// GitHub refuses a summary of more than 1 MiB, of all steps together.
pub(crate) const SUMMARY_MAX_BYTES: usize = 900 << 10;

/// The lines with annotations, one for each failed test, at most ten.
#[must_use]
pub(crate) fn annotations(results: &Results) -> String {
    let mut out = String::new();
    let broken = results.files.iter().filter_map(|(file, all)| Some((file, "cannot run", all.end.broken.as_ref()?)));
    let failed = results.tests().filter(|test| test.outcome.is_bad());
    let failed = failed.filter_map(|test| Some((&test.file, test.test.as_str(), test.failures.first()?)));
    let all: Vec<_> = broken.chain(failed).collect();
    let shown = shown(all.len());
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

/// Warnings of an option at script lines (source, line, text), at most ten; `rest` says what the others are: `more were not touched`.
pub(super) fn warnings(option: &str, all: &[(&str, usize, String)], rest: &str) -> String {
    let mut out = String::new();
    let shown = shown(all.len());
    for (source, line, text) in &all[..shown] {
        let _ = write!(out, "::warning file={}", property(source));
        if *line > 0 {
            let _ = write!(out, ",line={line}");
        }
        let _ = writeln!(out, ",title=netwright {option}::{}", data(text));
    }
    if all.len() > shown {
        let more = all.len() - shown;
        let _ = writeln!(out, "::warning title=netwright {option}::{more} {rest}; the job summary has them");
    }
    out
}

/// How many of so many annotations are shown: the tenth says how many there are beyond it.
fn shown(all: usize) -> usize {
    if all > ANNOTATIONS { ANNOTATIONS - 1 } else { all }
}

/// The job summary.
#[must_use]
pub(crate) fn summary(results: &Results) -> String {
    markdown::render(results, SUMMARY_MAX_BYTES)
}

/// One annotation of `netwright check`.
pub(crate) fn print_annotation(file: &str, (line, column): (usize, usize), title: &str, text: &str) {
    let (file, title, text) = (property(file), property(title), data(text));
    super::human::commands(&format!("::error file={file},line={line},col={column},title={title}::{text}\n"));
}

/// Whether a runner of GitHub Actions reads what is printed.
#[must_use]
pub(crate) fn listens() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| !value.is_empty() && value != "false")
}

/// A text in which a runner that reads it finds no command: names, messages and packets come from elsewhere.
#[must_use]
pub(crate) fn inert(text: &str) -> String {
    if listens() { without_commands(text) } else { text.to_owned() }
}

/// The runner ends a line at each CR and LF, trims it, and obeys what begins with `::` or has `##[` anywhere (actions/runner,
/// `ActionCommand.TryParseV2` and `TryParse`).
fn without_commands(text: &str) -> String {
    let one = |line: &str| {
        let begins = line.find(|c: char| !(c.is_whitespace() || c.is_control() || "\u{200b}\u{feff}".contains(c)));
        let (before, rest) = line.split_at(begins.unwrap_or(line.len()));
        let rest = rest.strip_prefix("::").map_or_else(|| rest.to_owned(), |rest| format!(": :{rest}"));
        format!("{before}{}", rest.replace("##[", "## ["))
    };
    text.split_inclusive(['\n', '\r']).map(one).collect()
}

/// As `@actions/core` escapes the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As `@actions/core` escapes a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_command() {
        for (given, shown) in [
            ("::error::x\n", ": :error::x\n"),
            ("a\n \u{a0}::set-output name=x::y\nb", "a\n \u{a0}: :set-output name=x::y\nb"),
            ("a\r::stop-commands::x", "a\r: :stop-commands::x"),
            ("say ##[error]x", "say ## [error]x"),
            ("fe80::1 and a::b\n", "fe80::1 and a::b\n"),
            ("\u{200b}::add-mask::x", "\u{200b}: :add-mask::x"),
        ] {
            assert_eq!(without_commands(given), shown, "{given:?}");
        }
    }

    #[test]
    fn a_property_ends_where_it_should() {
        assert_eq!(property("a,b:c%d\ne\rf"), "a%2Cb%3Ac%25d%0Ae%0Df");
        assert_eq!(data("a,b:c%d\ne\rf"), "a,b:c%25d%0Ae%0Df");
        let failure = Failure { message: "m".into(), text: "t".into(), line: 3, column: 2, ..Failure::default() };
        let mut out = String::new();
        annotation(&mut out, "d,line=9/f.rhai", "a,file=x::y", &failure);
        assert_eq!(out, "::error file=d%2Cline=9/f.rhai,line=3,col=2,title=a%2Cfile=x%3A%3Ay::m%0At\n");
    }
}
