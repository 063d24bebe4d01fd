//! How long tests usually take: `--baseline FILE`, written by the first run and compared with by the next.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::event::Test;
use super::results::Results;
use crate::error::{Error, Kind, Result};
use crate::patience::scaled;
use crate::text::SCHEMA;

/// Milliseconds by `FILE: sentence`.
pub(crate) type Times = BTreeMap<String, f64>;

/// A test that takes so many times as long as usual is marked, when that is also so much longer.
const TIMES: f64 = 2.0;
const LONGER: Duration = Duration::from_millis(100);

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    tests: Times,
}

/// Reads the times of an earlier run; `None` when there is no file, or an empty one.
///
/// # Errors
///
/// `InvalidArgument` for a file that holds something else.
pub(crate) fn read(path: &Path) -> Result<Option<Times>> {
    let bytes = match crate::files::read_ordinary(path) {
        Ok(bytes) if bytes.is_empty() => return Ok(None),
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::new(Kind::InvalidArgument, format!("cannot read `{}`: {error}", path.display())));
        }
    };
    let wrong = |why: String| {
        Error::new(Kind::InvalidArgument, format!("`{}` has no times of tests: {why}", path.display()))
            .hint("without the file, `--baseline` writes it")
    };
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if document.schema != SCHEMA {
        return Err(wrong(format!("it is of schema {}, and this netwright reads {SCHEMA}", document.schema)));
    }
    Ok(Some(document.tests))
}

/// The times of a run as the text of the file: of each test that passed. Nothing when none did.
#[must_use]
pub(crate) fn text(results: &Results) -> Option<String> {
    let passed = results.tests().filter(|test| test.outcome == Outcome::Passed && test.attempt == 1);
    // Tenths are enough: the next run takes another time anyway.
    let tests: Times = passed.map(|test| (name(test), (test.took_ms * 10.0).round() / 10.0)).collect();
    if tests.is_empty() {
        return None;
    }
    serde_json::to_string_pretty(&Document { schema: SCHEMA, tests }).ok().map(|text| text + "\n")
}

/// Marks a test that took longer than usual.
pub(crate) fn compare(times: &Times, test: &mut Test) {
    let limit = |usual: f64| (usual * TIMES).max(usual + scaled(LONGER).as_secs_f64() * 1e3);
    let usual = times.get(&name(test)).copied().filter(|usual| usual.is_finite() && *usual >= 0.0);
    test.usual_ms = usual.filter(|usual| test.outcome != Outcome::Skipped && test.took_ms > limit(*usual));
}

fn name(test: &Test) -> String {
    format!("{}: {}", test.file, test.test)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event::Failure;

    fn took(name: &str, ms: f64) -> Test {
        let mut test = Test::failed("a_test.rhai", name, 1, Failure::default());
        (test.outcome, test.took_ms) = (Outcome::Passed, ms);
        test
    }

    #[test]
    fn what_takes_much_longer_than_usual_is_marked() {
        let mut results = Results::default();
        let failed = Test { outcome: Outcome::Failed, ..took("failed", 3.0) };
        let flaky = Test { attempt: 2, ..took("flaky", 3.0) };
        results.files.entry("a_test.rhai".into()).or_default().tests =
            vec![took("quick", 2.04), took("long", 400.0), failed, flaky];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("times.json");
        assert_eq!(read(&path).unwrap(), None);
        std::fs::write(&path, text(&results).unwrap()).unwrap();
        let times = read(&path).unwrap().unwrap();
        assert_eq!(times.keys().collect::<Vec<_>>(), ["a_test.rhai: long", "a_test.rhai: quick"]);
        let marked = |name: &str, ms: f64| {
            let mut test = took(name, ms);
            compare(&times, &mut test);
            test.usual_ms
        };
        let more = scaled(LONGER).as_secs_f64() * 1e3;
        assert_eq!(marked("quick", 2.0 + more), None, "a little is no reason");
        assert_eq!(marked("quick", 3.0 + more), Some(2.0));
        assert_eq!(marked("long", 790.0_f64.max(400.0 + more)), None);
        assert_eq!(marked("long", 810.0_f64.max(410.0 + more)), Some(400.0));
        assert_eq!(marked("new", 1e6), None);
    }

    #[test]
    fn a_file_of_something_else_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("times.json");
        for text in
            ["x", "[]", "{\"schema\":1}", "{\"schema\":1,\"tests\":{\"a\":\"b\"}}", "{\"schema\":99,\"tests\":{}}"]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap_err().kind(), Kind::InvalidArgument, "{text}");
        }
        assert_eq!(read(folder.path()).unwrap_err().kind(), Kind::InvalidArgument);
        assert_eq!(text(&Results::default()), None);
    }
}
