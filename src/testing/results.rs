//! The events of a run, gathered: what reports that come at the end are made from.

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::{Covered, Event, File, Test};

/// Everything that is known at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Results {
    /// The files, by name.
    pub files: BTreeMap<String, FileResults>,
    /// From begin to end, in milliseconds.
    pub took_ms: f64,
    /// The number that decided the order.
    pub seed: Option<u64>,
    /// The exit code.
    pub exit: u8,
}

/// What came of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FileResults {
    /// Its tests, in order, each with its last attempt.
    pub tests: Vec<Test>,
    /// Attempts that failed and were tried again.
    pub retried: Vec<Test>,
    /// What packets touched of what it made, with `--coverage`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coverage: Vec<Covered>,
    /// Its end.
    pub end: File,
}

/// How many tests came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Passed, the flaky ones included.
    pub passed: usize,
    /// Failed or inconclusive.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
    /// Passed when tried again.
    pub flaky: usize,
    /// Files that could not be run at all.
    pub broken: usize,
}

impl Results {
    /// Takes in an event.
    pub(crate) fn add(&mut self, event: &Event) {
        match event {
            Event::Began { seed, .. } => self.seed = *seed,
            Event::TestEnded(test) => {
                let file = self.files.entry(test.file.clone()).or_default();
                if test.again {
                    file.retried.push((**test).clone());
                } else {
                    file.tests.push((**test).clone());
                }
            }
            Event::FileEnded(end) => {
                let file = self.files.entry(end.file.clone()).or_default();
                let took_ms = file.end.took_ms + end.took_ms;
                file.end = File { took_ms, ..(**end).clone() };
            }
            // Of a file that is tried again, the last attempt counts.
            Event::Covered { file, items } => self.files.entry(file.clone()).or_default().coverage.clone_from(items),
            Event::Ended { took_ms, exit, .. } => (self.took_ms, self.exit) = (*took_ms, *exit),
            _ => {}
        }
    }

    /// Every test, by file.
    pub(crate) fn tests(&self) -> impl Iterator<Item = &Test> {
        self.files.values().flat_map(|file| &file.tests)
    }

    /// Counts them.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for test in self.tests() {
            match test.outcome {
                super::Outcome::Passed => counts.passed += 1,
                super::Outcome::Skipped => counts.skipped += 1,
                super::Outcome::Failed | super::Outcome::Inconclusive => counts.failed += 1,
            }
            counts.flaky += usize::from(test.outcome == super::Outcome::Passed && test.attempt > 1);
        }
        counts.broken = self.files.values().filter(|file| file.end.broken.is_some()).count();
        counts
    }

    /// How many of a hundred things that packets could touch were touched; `None` when there are none.
    #[must_use]
    pub(crate) fn coverage(&self) -> Option<f64> {
        let of = |touched: bool| self.covered().filter(|(_, one)| one.touched == Some(touched)).count();
        super::mutate::score(of(true), of(false))
    }

    /// Everything that packets could touch, with its file.
    pub(crate) fn covered(&self) -> impl Iterator<Item = (&str, &Covered)> {
        self.files.iter().flat_map(|(file, all)| all.coverage.iter().map(|one| (file.as_str(), one)))
    }

    /// The exit code: a run that was interrupted or a bug, what is missing here, what does not parse, what failed, nothing selected.
    #[must_use]
    pub(crate) fn exit_code(&self, interrupted: Option<u8>) -> u8 {
        let broken = |codes: &[u8]| self.files.values().map(|file| file.end.exit).find(|exit| codes.contains(exit));
        let counts = self.counts();
        let ran = counts.passed + counts.failed + counts.skipped;
        let skipped_file = self.files.values().any(|file| file.end.skipped.is_some());
        interrupted
            .or_else(|| broken(&[70]))
            .or_else(|| broken(&[4]))
            .or_else(|| broken(&[3]))
            .or_else(|| self.files.values().map(|file| file.end.exit).find(|exit| *exit != 0))
            .unwrap_or(match (counts.failed, ran) {
                (1.., _) => 1,
                (0, 0) if !skipped_file => 4,
                _ => 0,
            })
    }
}
