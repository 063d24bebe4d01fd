//! `JUnit` XML, made by quick-junit: whatever a test prints, the document stays well-formed.

use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use crate::testing::Outcome;
use crate::testing::event::{Failure, Test};
use crate::testing::results::Results;

/// The document.
#[must_use]
pub(crate) fn render(results: &Results) -> String {
    let mut report = Report::new("netwright");
    report.set_time(time(results.took_ms));
    for (file, all) in &results.files {
        let mut suite = TestSuite::new(file.as_str());
        suite.set_time(time(all.end.took_ms));
        for test in &all.tests {
            let mut status = status(test);
            let earlier = all.retried.iter().filter(|other| other.test == test.test);
            for rerun in earlier {
                let mut failed = TestRerun::new(NonSuccessKind::Failure);
                failed.set_time(time(rerun.took_ms));
                if let Some(first) = rerun.failures.first() {
                    failed.set_message(first.message.as_str()).set_type(first.error.as_str());
                    failed.set_description(texts(&rerun.failures));
                }
                status.add_rerun(failed);
            }
            let mut case = TestCase::new(test.test.as_str(), status);
            case.set_classname(file.as_str()).set_time(time(test.took_ms));
            case.extra.insert("file".into(), file.as_str().into());
            if test.line > 0 {
                case.extra.insert("line".into(), test.line.to_string().into());
            }
            if !test.printed.is_empty() {
                case.set_system_out(test.printed.join("\n"));
            }
            if !test.left.is_empty() {
                case.set_system_err(format!("left behind: {}", test.left.join("; ")));
            }
            suite.add_test_case(case);
        }
        if let Some(failure) = &all.end.broken {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(failure.message.as_str()).set_type(failure.error.as_str());
            status.set_description(failure.text.as_str());
            let mut case = TestCase::new("(file)", status);
            case.set_classname(file.as_str()).set_time(time(all.end.took_ms));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string().unwrap_or_default()
}

fn status(test: &Test) -> TestCaseStatus {
    match test.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(test.reason.clone().unwrap_or_default());
            status
        }
        Outcome::Failed | Outcome::Inconclusive => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            if let Some(first) = test.failures.first() {
                status.set_message(first.message.as_str()).set_type(first.error.as_str());
            }
            let mut text = texts(&test.failures);
            if let Some(picture) = &test.picture {
                let _ = write!(text, "\nthe network at the end of the test:\n{picture}");
            }
            status.set_description(text);
            status
        }
    }
}

fn texts(failures: &[Failure]) -> String {
    failures.iter().map(|failure| failure.text.as_str()).collect::<Vec<_>>().join("\n")
}

fn time(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}
