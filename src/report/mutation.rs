//! What `netwright test --mutate` found: for a person, as JSON, Markdown, `JUnit`, and as annotations of GitHub.

use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use super::files::Format;
use super::github;
use super::markdown::fenced;
use super::{human, live, place};
use crate::testing::mutate::{Fate, FileReport, Progress, Report, Tried, score};
use crate::text::cell;
use crate::text::diagnostic::escape;

/// One line for what just happened, on standard error.
pub(crate) fn progress(progress: Progress<'_>) {
    match progress {
        Progress::Clean(file) => human::line(&match &file.left_out {
            Some(why) => format!("{} {}: {why}", if file.bad { "FAIL" } else { "skip" }, file.file),
            None => format!("ok   {}: {}, {} to break", file.file, passed(file.tests), things(file.tried.len())),
        }),
        Progress::Tried(file, one, number, of) => {
            let (word, more) = match one.fate {
                Fate::Noticed => ("ok", format!(": noticed by \"{}\"", one.noticed_by.as_deref().unwrap_or_default())),
                Fate::Survived => ("MISS", ": no test notices".into()),
                Fate::Void | Fate::Untried => ("void", format!(": {}", one.reason.as_deref().unwrap_or_default())),
            };
            human::line(&format!(
                "{word:<4} {number}/{of} {}: {}{more}",
                place(file, one.source.as_deref(), one.line),
                one.what
            ));
        }
    }
}

/// The whole report for a person.
#[must_use]
pub(crate) fn text(report: &Report, fail_under: Option<f64>) -> String {
    let mut out = String::new();
    for file in report.files.iter().filter(|file| file.count(Fate::Survived) > 0) {
        let _ = writeln!(out, "{}: breakages that no test notices", escape(&file.file));
        for one in survivors(file) {
            let _ = writeln!(
                out,
                "  {}: {}",
                escape(&place(&file.file, one.source.as_deref(), one.line)),
                escape(&one.what)
            );
            let _ = writeln!(out, "    broken by  {}", escape(&one.commands.join("; ")));
            let _ = writeln!(out, "    a test     {}", escape(&one.would));
        }
        if !file.programs.is_empty() {
            let first = escape(&live::one(&file.programs[0]));
            let more = file.programs.len() - 1;
            let more = if more == 0 { String::new() } else { format!(", and {more} more") };
            let _ = writeln!(out, "  not broken: what the script's own programs made ({first}{more})");
        }
    }
    for file in &report.files {
        if let Some(why) = &file.left_out {
            let _ = writeln!(out, "{}: {}", escape(&file.file), escape(why));
        }
    }
    let _ = writeln!(out, "{}", verdict(report, fail_under));
    out
}

/// One sentence with the score.
#[must_use]
pub(crate) fn verdict(report: &Report, fail_under: Option<f64>) -> String {
    let count = |fate| report.count(fate);
    let (noticed, survived) = (count(Fate::Noticed), count(Fate::Survived));
    let mut out = match report.score() {
        None => "no breakage was tried, so nothing is proven".to_owned(),
        Some(score) => format!("{noticed} of {} breakages noticed: {}", noticed + survived, percent(score)),
    };
    let more = |count: usize, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
    out.push_str(&more(survived, "survived"));
    out.push_str(&more(count(Fate::Void), "say nothing"));
    out.push_str(&more(
        count(Fate::Untried),
        if report.out_of_time { "not tried: the time is over" } else { "not tried" },
    ));
    let _ = write!(out, " in {:.1} s, {} at once, --seed {}", report.took_ms / 1e3, report.jobs, report.seed);
    if let (Some(score), Some(least)) = (report.score(), fail_under)
        && score < least
    {
        let _ = write!(out, "; {} was asked for", percent(least));
    }
    out
}

/// The report in a format; `None` where it has none.
#[must_use]
pub(crate) fn render(report: &Report, format: Format, fail_under: Option<f64>) -> Option<String> {
    match format {
        Format::Json => Some(format!("{}\n", document(report, fail_under))),
        Format::Markdown | Format::Github => Some(markdown(report, fail_under)),
        Format::Junit => Some(junit(report)),
        Format::Tap | Format::Html => None,
    }
}

fn document(report: &Report, fail_under: Option<f64>) -> serde_json::Value {
    json!({
        "schema": crate::text::SCHEMA,
        "exit": report.exit_code(fail_under),
        "score": report.score(),
        "counts": {
            "noticed": report.count(Fate::Noticed),
            "survived": report.count(Fate::Survived),
            "void": report.count(Fate::Void),
            "untried": report.count(Fate::Untried),
        },
        "seed": report.seed,
        "took_ms": report.took_ms,
        "out_of_time": report.out_of_time,
        "files": report.files,
    })
}

fn markdown(report: &Report, fail_under: Option<f64>) -> String {
    let mut out = format!("## netwright: do the tests notice?\n\n{}\n", cell(&verdict(report, fail_under)));
    for file in report.files.iter().filter(|file| file.count(Fate::Survived) > 0) {
        let _ = write!(out, "\n### {}\n", cell(&file.file));
        for one in survivors(file) {
            let _ = write!(
                out,
                "\n- **{}** ({})\n",
                cell(&one.what),
                cell(&place(&file.file, one.source.as_deref(), one.line))
            );
            let _ = writeln!(out, "  A test that would notice: {}", cell(&one.would));
            for line in fenced(&one.commands.join("\n")).lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    out.push_str("\n| file | noticed | survived | say nothing | not tried | score |\n|---|---:|---:|---:|---:|---:|\n");
    for file in &report.files {
        let count = |fate| file.count(fate);
        let (noticed, survived) = (count(Fate::Noticed), count(Fate::Survived));
        let last = match (&file.left_out, score(noticed, survived)) {
            (Some(why), _) => cell(why),
            (None, Some(score)) => percent(score),
            (None, None) => "–".into(),
        };
        let (void, untried) = (count(Fate::Void), count(Fate::Untried));
        let _ = writeln!(out, "| {} | {noticed} | {survived} | {void} | {untried} | {last} |", cell(&file.file));
    }
    out
}

fn junit(report: &Report) -> String {
    let mut document = quick_junit::Report::new("netwright mutate");
    document.set_time(time(report.took_ms));
    for file in &report.files {
        let mut suite = TestSuite::new(file.file.as_str());
        suite.set_time(time(file.tried.iter().map(|one| one.took_ms).sum()));
        if let Some(why) = &file.left_out {
            let mut status =
                if file.bad { TestCaseStatus::non_success(NonSuccessKind::Error) } else { TestCaseStatus::skipped() };
            status.set_message(why.as_str());
            let mut case = TestCase::new("(clean run)", status);
            case.set_classname(file.file.as_str());
            suite.add_test_case(case);
        }
        for (number, one) in file.tried.iter().enumerate() {
            let mut status = match one.fate {
                Fate::Noticed => TestCaseStatus::success(),
                Fate::Survived => TestCaseStatus::non_success(NonSuccessKind::Failure),
                Fate::Void | Fate::Untried => TestCaseStatus::skipped(),
            };
            match one.fate {
                Fate::Survived => {
                    status.set_message("no test notices").set_type("Survived");
                    status.set_description(format!("broken by: {}\na test: {}", one.commands.join("; "), one.would));
                }
                Fate::Void => drop(status.set_message(one.reason.clone().unwrap_or_default())),
                Fate::Untried => drop(status.set_message("not tried")),
                Fate::Noticed => {}
            }
            let mut case = TestCase::new(format!("{}. {}", number + 1, one.what), status);
            case.set_classname(file.file.as_str()).set_time(time(one.took_ms));
            case.extra.insert("file".into(), one.source.as_deref().unwrap_or(&file.file).into());
            if one.line > 0 {
                case.extra.insert("line".into(), one.line.to_string().into());
            }
            suite.add_test_case(case);
        }
        document.add_test_suite(suite);
    }
    document.to_string().unwrap_or_default()
}

/// A warning at the script line of each survivor, at most ten.
#[must_use]
pub(crate) fn annotations(report: &Report) -> String {
    let warning = |one: &Tried| format!("no test notices when {}\na test that would: {}", one.what, one.would);
    let all: Vec<_> = report
        .files
        .iter()
        .flat_map(|file| survivors(file).map(move |one| (file, one)))
        .map(|(file, one)| (one.source.as_deref().unwrap_or(&file.file), one.line, warning(one)))
        .collect();
    github::warnings("--mutate", &all, "more breakages survived")
}

fn survivors(file: &FileReport) -> impl Iterator<Item = &Tried> {
    file.tried.iter().filter(|one| one.fate == Fate::Survived)
}

pub(super) fn percent(score: f64) -> String {
    // Never up to 100 when something survived.
    format!("{:.1} %", (score * 10.0).floor() / 10.0)
}

fn passed(count: usize) -> String {
    format!("{count} test{} passed twice", if count == 1 { "" } else { "s" })
}

fn things(count: usize) -> String {
    format!("{count} thing{}", if count == 1 { "" } else { "s" })
}

fn time(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}
