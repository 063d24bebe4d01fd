//! Tests of the tests: each file is run clean, then again and again with one thing of its network broken, and says which breakages no test noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::event::{Breakable, Event};
use super::schedule::{Options, once, shuffle};
use super::{Outcome, Plan};
use crate::exec::interrupt::Interrupt;
use crate::op::breakage::Mutant;

/// What stands for a file's own checks and set-up among its tests.
pub(crate) const TOP_LEVEL: &str = "(top level)";

/// How many of the breakages are tried, and which.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// At most so many.
    pub limit: Option<usize>,
    /// The number that decides the order, and so which ones are left out.
    pub seed: u64,
    /// The time for all of it, the clean runs included.
    pub time: Option<Duration>,
}

/// What came of a breakage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// A test failed with it.
    Noticed,
    /// All tests passed all the same.
    Survived,
    /// It could not be broken, or nobody looks after it: it says nothing about the tests.
    Void,
    /// There was no time for it, or the limit was reached.
    Untried,
}

/// A breakage and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tried {
    /// What is broken.
    pub what: String,
    /// What a test would have to ask.
    pub would: String,
    /// The commands that break it.
    pub commands: Vec<String>,
    /// The script that made the thing; `None` when nobody knows.
    pub source: Option<String>,
    /// Its line; 0 when unknown.
    pub line: usize,
    /// What came of it.
    pub fate: Fate,
    /// The test that noticed.
    pub noticed_by: Option<String>,
    /// Why it says nothing.
    pub reason: Option<String>,
    /// In milliseconds.
    pub took_ms: f64,
    #[serde(skip)]
    mutant: Mutant,
}

/// What came of a file.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct FileReport {
    /// The file as the user named it.
    pub file: String,
    /// How many tests passed in the clean runs.
    pub tests: usize,
    /// Why nothing of it was broken.
    pub left_out: Option<String>,
    /// Whether that is a fault: it fails, or not always, when nothing is broken.
    pub bad: bool,
    /// The script's own programs: what they made is not broken.
    pub programs: Vec<String>,
    /// The breakages, in the order of the script.
    pub tried: Vec<Tried>,
}

/// What came of all files.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The files, in order.
    pub files: Vec<FileReport>,
    /// The number that decided the order.
    pub seed: u64,
    /// How many sandboxes at once.
    pub jobs: usize,
    /// From begin to end, in milliseconds.
    pub took_ms: f64,
    /// Whether the time was over before all was tried.
    pub out_of_time: bool,
}

impl FileReport {
    /// How many breakages came to that.
    #[must_use]
    pub(crate) fn count(&self, fate: Fate) -> usize {
        self.tried.iter().filter(|one| one.fate == fate).count()
    }
}

impl Report {
    /// How many breakages came to that.
    #[must_use]
    pub(crate) fn count(&self, fate: Fate) -> usize {
        self.files.iter().map(|file| file.count(fate)).sum()
    }

    /// How many of a hundred breakages that were tried were noticed; `None` when none was.
    #[must_use]
    pub(crate) fn score(&self) -> Option<f64> {
        score(self.count(Fate::Noticed), self.count(Fate::Survived))
    }

    /// The exit code: a file that fails by itself and a score below what was asked are failures; nothing tried proves nothing.
    #[must_use]
    pub(crate) fn exit_code(&self, fail_under: Option<f64>) -> u8 {
        match self.score() {
            _ if self.files.iter().any(|file| file.bad) => 1,
            None => 4,
            Some(score) => u8::from(fail_under.is_some_and(|least| score < least)),
        }
    }
}

/// The share of noticed ones in percent.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub(crate) fn score(noticed: usize, survived: usize) -> Option<f64> {
    (noticed + survived > 0).then(|| 100.0 * noticed as f64 / (noticed + survived) as f64)
}

/// Something that somebody who waits wants to see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress<'a> {
    /// A file was run clean.
    Clean(&'a FileReport),
    /// A breakage was tried: of which file, and which of how many.
    Tried(&'a str, &'a Tried, usize, usize),
}

/// Runs the files clean, twice each, then with one thing broken at a time.
pub(crate) fn run(
    options: &Options,
    limits: Limits,
    files: &[PathBuf],
    interrupt: &Interrupt,
    sink: &(impl Fn(Progress<'_>) + Sync),
) -> Report {
    let begun = Instant::now();
    if let Some(time) = limits.time {
        interrupt.set_deadline(time);
    }
    let jobs = options.jobs.max(1);
    let mut reports: Vec<FileReport> = side_by_side(jobs, files, interrupt, |path| {
        let report = clean(options, path, interrupt);
        sink(Progress::Clean(&report));
        report
    })
    .into_iter()
    .zip(files)
    .map(|(report, path)| report.unwrap_or_else(|| left_out(path, "there was no time for it".into(), false)))
    .collect();

    let mut all: Vec<(usize, usize)> = reports
        .iter()
        .enumerate()
        .flat_map(|(file, report)| (0..report.tried.len()).map(move |at| (file, at)))
        .collect();
    shuffle(&mut all, limits.seed);
    all.truncate(limits.limit.unwrap_or(usize::MAX));
    let count = AtomicUsize::new(0);
    let outcomes = side_by_side(jobs, &all, interrupt, |(file, at)| {
        let one = &reports[*file].tried[*at];
        let tried = broken_run(options, &files[*file], one, interrupt);
        if tried.fate != Fate::Untried {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            sink(Progress::Tried(&reports[*file].file, &tried, number, all.len()));
        }
        tried
    });
    for ((file, at), outcome) in all.into_iter().zip(outcomes) {
        if let Some(outcome) = outcome {
            reports[file].tried[at] = outcome;
        }
    }
    let out_of_time = interrupt.is_set() && interrupt.signal().is_none();
    Report { files: reports, seed: limits.seed, jobs, took_ms: begun.elapsed().as_secs_f64() * 1e3, out_of_time }
}

/// Does `work` with each item, so many at once; `None` for those that were not begun when the run was to stop.
fn side_by_side<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    interrupt: &Interrupt,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, R>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at).filter(|_| !interrupt.is_set()) else { return };
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.insert(at, result);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    (0..items.len()).map(|at| done.remove(&at)).collect()
}

fn left_out(path: &Path, reason: String, bad: bool) -> FileReport {
    FileReport { file: path.display().to_string(), left_out: Some(reason), bad, ..FileReport::default() }
}

/// What one clean run came to.
#[derive(Default)]
struct Clean {
    outcomes: BTreeMap<String, (Outcome, Option<String>)>,
    breakables: Vec<Breakable>,
    programs: Vec<String>,
    broken: Option<String>,
    /// Whether the fault is the file's, and not what this machine lacks.
    exit: u8,
    skipped: Option<String>,
}

fn clean_run(options: &Options, path: &Path, interrupt: &Interrupt) -> Clean {
    let plan = Plan { record: true, keep: false, shell: false, artefacts: None, ..options.plan.clone() };
    let mut clean = Clean::default();
    once(options, &plan, path, interrupt, |event| {
        match event {
            Event::TestEnded(test) => {
                let message = test.failures.first().map(|failure| failure.message.clone()).or(test.reason);
                clean.outcomes.insert(test.test, (test.outcome, message));
            }
            Event::Recorded { breakables, programs, .. } => (clean.breakables, clean.programs) = (breakables, programs),
            Event::FileEnded(end) => {
                clean.exit = end.exit;
                clean.broken = end.broken.map(|failure| failure.message);
                clean.skipped = end.skipped;
            }
            _ => {}
        }
        true
    });
    clean
}

/// Runs a file clean, twice: only what holds both times can tell what a breakage does.
fn clean(options: &Options, path: &Path, interrupt: &Interrupt) -> FileReport {
    let first = clean_run(options, path, interrupt);
    let out = |reason: String, bad| left_out(path, reason, bad);
    if interrupt.is_set() {
        return out("there was no time for it".into(), false);
    }
    if let Some(message) = &first.broken {
        return out(format!("it cannot run: {message}"), first.exit != 4);
    }
    let passed = first.outcomes.values().filter(|(outcome, _)| *outcome == Outcome::Passed).count();
    if passed == 0 && !first.outcomes.values().any(|(outcome, _)| outcome.is_bad()) {
        let skipped = first.outcomes.values().find_map(|(_, reason)| reason.clone());
        let reason = first.skipped.clone().or(skipped);
        return out(reason.map_or("no test ran".into(), |reason| format!("its tests are skipped: {reason}")), false);
    }
    let second = clean_run(options, path, interrupt);
    if interrupt.is_set() {
        return out("there was no time for it".into(), false);
    }
    let word = |clean: &Clean, test: &str| clean.outcomes.get(test).map_or("missing", |(outcome, _)| outcome.word());
    let names = || first.outcomes.keys().chain(second.outcomes.keys());
    if let Some(test) = names().find(|test| word(&first, test) != word(&second, test)) {
        let (one, two) = (word(&first, test), word(&second, test));
        return out(format!("it is flaky: with nothing broken \"{test}\" {one}, then {two}"), true);
    }
    if let Some((test, (_, message))) = first.outcomes.iter().find(|(_, (outcome, _))| outcome.is_bad()) {
        let message = message.as_deref().unwrap_or_default();
        return out(format!("with nothing broken \"{test}\" fails: {message}"), true);
    }
    let has_tests = first.outcomes.keys().any(|test| test != TOP_LEVEL);
    // What only one of the runs made cannot be found again for sure.
    let same = |one: &&Breakable| second.breakables.iter().any(|other| other.mutant == one.mutant);
    let tried: Vec<Tried> = first.breakables.iter().filter(same).map(|one| untried(one, has_tests)).collect();
    let left_out = tried.is_empty().then(|| "it makes nothing that could be broken".to_owned());
    FileReport {
        file: path.display().to_string(),
        tests: passed,
        left_out,
        bad: false,
        programs: first.programs,
        tried,
    }
}

fn untried(one: &Breakable, has_tests: bool) -> Tried {
    Tried {
        what: one.what.clone(),
        would: one.would.clone(),
        commands: one.commands.clone(),
        source: one.source.clone(),
        line: one.line,
        fate: Fate::Untried,
        noticed_by: None,
        reason: None,
        took_ms: 0.0,
        mutant: Mutant { has_tests, ..one.mutant.clone() },
    }
}

/// Runs a file with one thing broken, until a test notices.
fn broken_run(options: &Options, path: &Path, one: &Tried, interrupt: &Interrupt) -> Tried {
    let begun = Instant::now();
    let plan = Plan {
        mutant: Some(one.mutant.clone()),
        fail_fast: true,
        keep: false,
        shell: false,
        artefacts: None,
        ..options.plan.clone()
    };
    let mut broken: Option<Result<(), String>> = None;
    let mut noticed: Option<String> = None;
    let mut early = None;
    once(options, &plan, path, interrupt, |event| {
        match event {
            Event::Broke { failed, .. } => broken = Some(failed.map_or(Ok(()), Err)),
            Event::TestEnded(test) if test.outcome.is_bad() && noticed.is_none() => {
                if broken.is_some() {
                    noticed = Some(test.test);
                } else {
                    early = Some(test.test);
                }
            }
            Event::FileEnded(end) if end.broken.is_some() && noticed.is_none() => noticed = Some(TOP_LEVEL.into()),
            _ => {}
        }
        noticed.is_none() && early.is_none() && !matches!(broken, Some(Err(_)))
    });
    let mut tried = Tried { took_ms: begun.elapsed().as_secs_f64() * 1e3, ..one.clone() };
    (tried.fate, tried.reason, tried.noticed_by) = match (broken, early, noticed) {
        (Some(Err(why)), ..) => (Fate::Void, Some(why), None),
        (_, Some(test), _) => (Fate::Void, Some(format!("\"{test}\" failed before anything was broken")), None),
        (Some(Ok(())), None, Some(test)) => (Fate::Noticed, None, Some(test)),
        _ if interrupt.is_set() => (Fate::Untried, None, None),
        (Some(Ok(())), None, None) => (Fate::Survived, None, None),
        (None, None, _) => (Fate::Void, Some("nothing looks at the network after it was made".into()), None),
    };
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fates: &[Fate]) -> Report {
        let one = |fate: &Fate| Tried { fate: *fate, ..untried(&breakable(), true) };
        let tried = fates.iter().map(one).collect();
        Report { files: vec![FileReport { tried, ..FileReport::default() }], ..Report::default() }
    }

    fn breakable() -> Breakable {
        Breakable {
            mutant: Mutant::default(),
            what: "x".into(),
            would: "y".into(),
            commands: Vec::new(),
            source: None,
            line: 1,
        }
    }

    #[test]
    fn the_score_counts_what_was_tried_and_could_be_broken() {
        let of = |fates: &[Fate]| report(fates).score();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Fate::Void, Fate::Untried]), None);
        assert_eq!(of(&[Fate::Noticed, Fate::Noticed, Fate::Noticed, Fate::Survived, Fate::Void]), Some(75.0));
    }

    #[test]
    fn a_low_score_fails_only_where_one_was_asked_for_and_nothing_tried_proves_nothing() {
        let half = report(&[Fate::Noticed, Fate::Survived]);
        assert_eq!(half.exit_code(None), 0);
        assert_eq!(half.exit_code(Some(50.0)), 0);
        assert_eq!(half.exit_code(Some(50.1)), 1);
        assert_eq!(report(&[Fate::Untried]).exit_code(None), 4);
        let mut flaky = report(&[Fate::Noticed]);
        flaky.files.push(left_out(Path::new("x"), "flaky".into(), true));
        assert_eq!(flaky.exit_code(None), 1);
    }

    #[test]
    fn work_is_done_side_by_side_and_comes_back_in_order() {
        let items: Vec<usize> = (0..50).collect();
        let done = side_by_side(4, &items, &Interrupt::default(), |item| item * 2);
        assert_eq!(
            done.into_iter().flatten().collect::<Vec<_>>(),
            items.iter().map(|item| item * 2).collect::<Vec<_>>()
        );
        let stopped = Interrupt::default();
        stopped.cell().store(2, Ordering::SeqCst);
        assert!(side_by_side(4, &items, &stopped, |item| *item).iter().all(Option::is_none));
    }
}
