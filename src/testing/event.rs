//! The one stream that every reporter reads, in memory and as JSON lines (`--events`).

use serde::{Deserialize, Serialize};

use super::{Ended, Outcome};
use crate::error::Error;
use crate::op::breakage::Mutant;
use crate::text::diagnostic::{self, Sources};

/// The version of the stream.
pub(crate) use crate::text::SCHEMA;
/// How wide a diagnostic is drawn in an event: logs and web pages wrap later than that.
const WIDTH: usize = 120;

/// Something that happened during `netwright test`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The runner begins.
    Began {
        /// The version of this stream.
        schema: u32,
        /// How many files.
        files: usize,
        /// How many at once.
        jobs: usize,
        /// The number that decides the order, with `--shuffle`.
        seed: Option<u64>,
    },
    /// A file begins.
    FileBegan {
        /// The file as the user named it.
        file: String,
        /// 1, or more when it is tried again.
        attempt: u32,
    },
    /// A test has this name (`--list`).
    Listed {
        /// The file.
        file: String,
        /// The test.
        test: String,
        /// Its line.
        line: usize,
    },
    /// A test begins.
    TestBegan {
        /// The file.
        file: String,
        /// The test.
        test: String,
        /// Its line.
        line: usize,
    },
    /// The script printed something.
    Printed {
        /// The file.
        file: String,
        /// What it printed.
        text: String,
    },
    /// The script was warned.
    Warned {
        /// The file.
        file: String,
        /// The warning.
        text: String,
    },
    /// A test ended.
    TestEnded(Box<Test>),
    /// What a file made that could be broken (`--mutate`).
    Recorded {
        /// The file.
        file: String,
        /// In order.
        breakables: Vec<Breakable>,
        /// The script's own programs, which nobody knows how to break.
        programs: Vec<String>,
    },
    /// What packets touched of what a file made (`--coverage`).
    Covered {
        /// The file.
        file: String,
        /// In order.
        items: Vec<Covered>,
    },
    /// What was to be broken is broken, or why it could not be (`--mutate`).
    Broke {
        /// The file.
        file: String,
        /// Why not.
        failed: Option<String>,
    },
    /// The sandbox of a file with a failure stays open.
    Kept {
        /// The file.
        file: String,
        /// The process to enter.
        pid: i32,
        /// The command that enters it.
        enter: String,
    },
    /// A file ended.
    FileEnded(Box<File>),
    /// The runner ends.
    Ended {
        /// Tests that passed, the flaky ones included.
        passed: usize,
        /// Tests that failed.
        failed: usize,
        /// Tests that could not run here.
        skipped: usize,
        /// Tests that passed when tried again.
        flaky: usize,
        /// Files that could not be run at all.
        broken: usize,
        /// From begin to end, in milliseconds.
        took_ms: f64,
        /// The exit code.
        exit: u8,
    },
}

/// A test that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Test {
    /// The file.
    pub file: String,
    /// Its sentence.
    pub test: String,
    /// Its line; 0 when unknown.
    pub line: usize,
    /// What came of it.
    pub outcome: Outcome,
    /// In milliseconds.
    pub took_ms: f64,
    /// It took longer than [`super::SLOW`].
    pub slow: bool,
    /// How long it usually takes, in milliseconds, when it took much longer ([`super::times`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<f64>,
    /// 1, or more when it was tried again.
    pub attempt: u32,
    /// It failed and will be tried again.
    pub again: bool,
    /// Why it was skipped.
    pub reason: Option<String>,
    /// What it failed with.
    pub failures: Vec<Failure>,
    /// What it printed.
    pub printed: Vec<String>,
    /// What it left behind: processes, namespaces.
    pub left: Vec<String>,
    /// The live network at the end of a failed test, drawn.
    pub picture: Option<String>,
    /// The same as SVG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub svg: Option<String>,
}

impl Test {
    /// The test that ended, of a file.
    #[must_use]
    pub(crate) fn new(file: &str, ended: &Ended<'_>) -> Self {
        Self {
            file: file.to_owned(),
            test: ended.name.to_owned(),
            line: ended.place.map_or(0, |place| place.line),
            outcome: ended.outcome(),
            took_ms: ended.took.as_secs_f64() * 1e3,
            slow: ended.took > super::SLOW,
            usual_ms: None,
            attempt: 1,
            again: false,
            reason: ended.skipped.map(str::to_owned),
            failures: ended.errors.iter().map(|error| Failure::new(error, ended.sources)).collect(),
            printed: Vec::new(),
            left: ended.left.to_vec(),
            picture: ended.picture.map(str::to_owned),
            svg: ended.svg.map(str::to_owned),
        }
    }

    /// A test that never ended by itself.
    #[must_use]
    pub(crate) fn failed(file: &str, test: &str, line: usize, failure: Failure) -> Self {
        Self {
            file: file.to_owned(),
            test: test.to_owned(),
            line,
            outcome: Outcome::Failed,
            took_ms: 0.0,
            slow: false,
            usual_ms: None,
            attempt: 1,
            again: false,
            reason: None,
            failures: vec![failure],
            printed: Vec::new(),
            left: Vec::new(),
            picture: None,
            svg: None,
        }
    }
}

/// Something that a file made and that can be broken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Breakable {
    /// Which.
    pub mutant: Mutant,
    /// What is broken then.
    pub what: String,
    /// What a test would have to ask to notice.
    pub would: String,
    /// The commands that break it, as a person would type them.
    pub commands: Vec<String>,
    /// The script that made it.
    pub source: Option<String>,
    /// Its line; 0 when unknown.
    pub line: usize,
}

/// Something that a file made, and whether a packet touched it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Covered {
    /// `rule`, `policy`, `route`, `service`.
    pub kind: String,
    /// What it is, in which namespace.
    pub what: String,
    /// `None` when nobody can tell.
    pub touched: Option<bool>,
    /// Why nobody can tell.
    pub reason: Option<String>,
    /// The script that made it.
    pub source: Option<String>,
    /// Its line; 0 when unknown.
    pub line: usize,
}

/// A file that ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct File {
    /// The file.
    pub file: String,
    /// 1, or more when it was tried again.
    pub attempt: u32,
    /// In milliseconds.
    pub took_ms: f64,
    /// Why none of its tests could run: it does not parse, or there is no sandbox. The exit code says which.
    pub broken: Option<Failure>,
    /// The exit code of a broken file; 0 otherwise.
    pub exit: u8,
    /// Why its top level ended it early as a success.
    pub skipped: Option<String>,
    /// What still ran in its sandbox at the end.
    pub left: Vec<String>,
}

/// What a test failed with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The kind, as scripts see it.
    pub error: String,
    /// One sentence.
    pub message: String,
    /// The whole diagnostic, without colour.
    pub text: String,
    /// The script.
    pub source: Option<String>,
    /// 1-based; 0 when unknown.
    pub line: usize,
    /// 1-based; 0 when unknown.
    pub column: usize,
    /// The command that was run.
    pub command: Option<String>,
    /// The way out, if one is known.
    pub hint: Option<String>,
}

impl Failure {
    /// Reads an error.
    #[must_use]
    pub(crate) fn new(error: &Error, sources: &dyn Sources) -> Self {
        let parts = error.parts();
        let place = parts.place.clone().unwrap_or_default();
        Self {
            error: parts.kind.name().to_owned(),
            message: parts.message.clone(),
            text: diagnostic::render(error, sources, false, WIDTH),
            source: place.source,
            line: place.line,
            column: place.column,
            command: parts.ran.as_ref().map(|ran| ran.command.clone()),
            hint: parts.hints.first().cloned(),
        }
    }

    /// A failure that has no place in a script.
    #[must_use]
    pub(crate) fn plain(error: &Error) -> Self {
        Self::new(error, &std::collections::HashMap::<String, String>::new())
    }
}
