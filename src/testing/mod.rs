//! Test files: what one test came to, as events, and the runner that gives each file a sandbox and a process of its own.
//!
//! The runner ([`schedule`]) starts `netwright __test FILE` for each file. That child evaluates the file in its sandbox and writes
//! [`event::Event`]s as JSON lines; reporters ([`crate::report`]) turn the one stream into everything that people read. Nothing here
//! prints, and nothing here knows Rhai.

pub(crate) mod discover;
pub(crate) mod event;
pub(crate) mod memory;
pub(crate) mod mutate;
pub(crate) mod names;
pub(crate) mod results;
pub(crate) mod schedule;
pub(crate) mod times;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Place, Result};
use crate::op::breakage::Mutant;
use crate::text::diagnostic;

/// How long a test may take unless `--timeout` says otherwise; set-up counts as one.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// A test that takes longer is marked as slow.
/// It is a remark, not a limit, and not scaled.
pub(crate) const SLOW: Duration = Duration::from_secs(3);

/// Which tests of a file run, and how: what the runner tells the child.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Plan {
    /// Only tests whose `FILE: sentence` matches.
    pub filter: Option<String>,
    /// Only tests of these names.
    pub only: Option<BTreeSet<String>>,
    /// Name the tests instead of running them.
    pub list: bool,
    /// The time for each test, and for the set-up.
    pub timeout: Option<Duration>,
    /// Run the tests after the set-up, in an order that this number decides.
    pub seed: Option<u64>,
    /// Look after each test for what it left behind; not on a machine where others live.
    pub leaks: bool,
    /// Stay after a failure, so that somebody can look around.
    pub keep: bool,
    /// Open a shell on the terminal when a test fails.
    pub shell: bool,
    /// Begin no test after one that failed.
    #[serde(default)]
    pub fail_fast: bool,
    /// Say at the end what was made that could be broken.
    #[serde(default)]
    pub record: bool,
    /// Say at the end what packets touched.
    #[serde(default)]
    pub coverage: bool,
    /// Break this before the tests look.
    #[serde(default)]
    pub mutant: Option<Mutant>,
    /// Where artefacts of failed tests go.
    pub artefacts: Option<std::path::PathBuf>,
    /// The file as the user named it.
    pub file: String,
}

/// A filter that is known to be a regular expression.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Option<regex::Regex>);

impl Filter {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when it is no regular expression.
    pub(crate) fn new(text: Option<&str>) -> Result<Self> {
        let compile = |text| {
            regex::Regex::new(text).map_err(|error| {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                Error::new(Kind::InvalidArgument, format!("`{text}` is not a regular expression: {reason}"))
            })
        };
        text.map(compile).transpose().map(Self)
    }

    /// Whether a test of a file is meant.
    #[must_use]
    pub(crate) fn takes(&self, file: &str, sentence: &str) -> bool {
        self.0.as_ref().is_none_or(|filter| filter.is_match(&format!("{file}: {sentence}")))
    }
}

/// What came of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// Nobody can say; counts as failed.
    Inconclusive,
    /// It could not run here, with a reason.
    Skipped,
}

impl Outcome {
    /// Whether the run fails with it.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Inconclusive)
    }

    /// The word that people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Skipped => "skipped",
        }
    }

    /// The outcome of a test that failed with these errors.
    #[must_use]
    pub fn of(errors: &[Error]) -> Self {
        let inconclusive = |error: &Error| error.parts().label.as_deref() == Some("inconclusive");
        match errors {
            [] => Self::Passed,
            errors if errors.iter().all(inconclusive) => Self::Inconclusive,
            _ => Self::Failed,
        }
    }
}

/// The end of a test, in the process that ran it.
pub struct Ended<'a> {
    /// Its sentence; made unique among the tests of the script.
    pub name: &'a str,
    /// Where it stands.
    pub place: Option<&'a Place>,
    /// What it failed with; none when it passed.
    pub errors: &'a [Error],
    /// Why it could not run here.
    pub skipped: Option<&'a str>,
    /// How long it took.
    pub took: Duration,
    /// What it left behind.
    pub left: &'a [String],
    /// The live network, drawn, when it failed.
    pub picture: Option<&'a str>,
    /// The same as SVG.
    pub svg: Option<&'a str>,
    /// The texts that the errors speak of.
    pub sources: &'a dyn diagnostic::Sources,
}

impl Ended<'_> {
    /// What came of it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.errors.is_empty() && self.skipped.is_some() { Outcome::Skipped } else { Outcome::of(self.errors) }
    }
}

impl std::fmt::Debug for Ended<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended").field("name", &self.name).field("outcome", &self.outcome()).finish_non_exhaustive()
    }
}
