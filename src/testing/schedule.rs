//! Runs test files: a process and a sandbox for each, as many at once as there are cores, and one stream of events out of all.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File as Stream;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::event::{Event, Failure, File, SCHEMA, Test};
use super::memory::Failed;
use super::results::Results;
use super::times::{self, Times};
use super::{Filter, Plan, TIMEOUT, names};
use crate::error::{Error, Kind};
use crate::exec::child::{Child, Left};
use crate::exec::interrupt::{Interrupt, signal_name};
use crate::patience::scaled;

/// How long after a test's time a child may be silent before it is ended by force: it then draws the network and looks around.
const GRACE: Duration = Duration::from_secs(10);
/// How long a child has between TERM and KILL.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// How often a wait looks whether the run is to stop.
const TICK: Duration = Duration::from_millis(50);
/// How much of what a child says on standard error is kept, in bytes.
const SAID_MAX: usize = 64 << 10;
/// How much of what a test prints is kept, in bytes.
const PRINTED_MAX: usize = 256 << 10;

/// How to run them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// How many files at once.
    pub jobs: usize,
    /// How often a failed test is tried again.
    pub retries: u32,
    /// What every file's plan has in common.
    pub plan: Plan,
    /// Only these tests, by absolute path.
    pub only: Option<Failed>,
    /// Of these files only these tests, by absolute path: `FILE:LINE`.
    pub chosen: Failed,
    /// What else the child is told on its command line: `--tool`, `--var`.
    pub args: Vec<OsString>,
    /// How long the tests usually take.
    pub times: Times,
}

/// Puts items into an order that a number decides, the same on every machine.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    // SplitMix64: enough for an order, and the numbers of a seed never change.
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for last in (1..items.len()).rev() {
        let other = usize::try_from(next() % (last as u64 + 1)).unwrap_or(0);
        items.swap(last, other);
    }
}

/// Runs the files and gives every event to `sink`, [`Event::Ended`] last. With kept sandboxes it returns when `interrupt` is set.
pub(crate) fn run(
    options: &Options,
    files: &[PathBuf],
    interrupt: &Interrupt,
    mut sink: impl FnMut(&Event),
) -> Results {
    let begun = Instant::now();
    let mut results = Results::default();
    let mut files = files.to_vec();
    if let Some(seed) = options.plan.seed {
        shuffle(&mut files, seed);
    }
    let jobs = options.jobs.clamp(1, files.len().max(1));
    let mut tell = |results: &mut Results, event: &Event| {
        results.add(event);
        sink(event);
    };
    let began = Event::Began { schema: SCHEMA, files: files.len(), jobs, seed: options.plan.seed };
    tell(&mut results, &began);
    let next = AtomicUsize::new(0);
    let (events, stream) = channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let worker = Worker { options, interrupt, events: events.clone() };
            let (next, files) = (&next, &files);
            // The child ends when this thread does: it lives until its last sandbox is gone.
            scope.spawn(move || {
                let mut kept = Vec::new();
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !interrupt.is_set()) {
                    kept.extend(worker.file(path));
                }
                let _ = worker.events.send(None);
                while !kept.is_empty() && !interrupt.is_set() {
                    std::thread::sleep(TICK);
                }
                for child in kept {
                    child.terminate();
                    let _ = child.wait();
                }
            });
        }
        let mut busy = jobs;
        while busy > 0 {
            match stream.recv() {
                Ok(Some(mut event)) => {
                    if let Event::TestEnded(test) = &mut event {
                        times::compare(&options.times, test);
                    }
                    tell(&mut results, &event);
                }
                Ok(None) => busy -= 1,
                Err(_) => break,
            }
        }
        let stopped = interrupt.signal().map(|signal| u8::try_from(128 + signal).unwrap_or(130));
        let counts = results.counts();
        let mut exit = results.exit_code(stopped);
        if options.plan.list && exit == 4 && counts.broken == 0 {
            exit = 0;
        }
        let ended = Event::Ended {
            passed: counts.passed,
            failed: counts.failed,
            skipped: counts.skipped,
            flaky: counts.flaky,
            broken: counts.broken,
            took_ms: millis(begun),
            exit,
        };
        tell(&mut results, &ended);
    });
    results
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

struct Worker<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    events: Sender<Option<Event>>,
}

/// One attempt at a file.
#[derive(Default)]
struct Attempt {
    number: u32,
    last: bool,
    /// The test that runs: name and line.
    running: Option<(String, usize)>,
    printed: Vec<String>,
    printed_bytes: usize,
    seen: BTreeSet<String>,
    /// Tests that failed and are to be tried again.
    again: BTreeMap<String, Test>,
    ended: Option<File>,
    kept: bool,
}

/// Runs a file once, as `plan` says, and gives every event to `each`, which says whether to go on; otherwise the sandbox is ended.
pub(crate) fn once(
    options: &Options,
    plan: &Plan,
    path: &Path,
    interrupt: &Interrupt,
    mut each: impl FnMut(Event) -> bool,
) {
    let (events, stream) = channel();
    let stop = Interrupt::default();
    std::thread::scope(|scope| {
        let own = stop.clone();
        scope.spawn(move || {
            let worker = Worker { options, interrupt: &own, events };
            let plan = Plan { file: path.display().to_string(), ..plan.clone() };
            let mut attempt = Attempt { number: 1, last: true, ..Attempt::default() };
            worker.attempt(path, &plan, &mut attempt);
            let end = File { file: plan.file, ..attempt.ended.unwrap_or_default() };
            worker.tell(Event::FileEnded(Box::new(end)));
            let _ = worker.events.send(None);
        });
        let mut going = true;
        loop {
            match stream.recv_timeout(TICK) {
                Ok(Some(event)) if going => going = each(event),
                Ok(Some(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if !going || interrupt.is_set() {
                stop.cell().store(signal_hook::consts::SIGTERM, Ordering::SeqCst);
            }
        }
    });
}

impl Worker<'_> {
    fn tell(&self, event: Event) {
        let _ = self.events.send(Some(event));
    }

    /// Runs a file, its failed tests again as often as is allowed. Returns the child whose sandbox stays open.
    fn file(&self, path: &Path) -> Option<Child> {
        let begun = Instant::now();
        let name = path.display().to_string();
        let mut plan = Plan { file: name.clone(), ..self.options.plan.clone() };
        if let Some(only) = &self.options.only {
            let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
            plan.only = Some(only.get(&real).cloned().unwrap_or_default());
        }
        if let Some(chosen) = path.canonicalize().ok().and_then(|real| self.options.chosen.get(&real)) {
            plan.only = Some(chosen.clone());
        }
        let mut owed: BTreeMap<String, Test> = BTreeMap::new();
        let mut end = File::default();
        let mut kept = None;
        for number in 1..=self.options.retries + 1 {
            let last = number > self.options.retries || self.interrupt.is_set();
            let mut attempt = Attempt { number, last, ..Attempt::default() };
            self.tell(Event::FileBegan { file: name.clone(), attempt: number });
            kept = self.attempt(path, &plan, &mut attempt);
            owed.retain(|test, _| !attempt.seen.contains(test));
            owed.append(&mut attempt.again);
            end = attempt.ended.unwrap_or_default();
            if owed.is_empty() || last || end.broken.is_some() || self.interrupt.is_set() {
                break;
            }
            plan.only = Some(owed.keys().cloned().collect());
        }
        // What was to be tried again and was not, failed.
        for (_, mut test) in owed {
            test.again = false;
            self.tell(Event::TestEnded(Box::new(test)));
        }
        let end = File { file: name, took_ms: millis(begun), ..end };
        self.tell(Event::FileEnded(Box::new(end)));
        kept
    }

    fn attempt(&self, path: &Path, plan: &Plan, attempt: &mut Attempt) -> Option<Child> {
        let mut args: Vec<OsString> = vec!["__test".into()];
        args.extend(self.options.args.iter().cloned());
        args.extend(["--".into(), path.into()]);
        let input = serde_json::to_vec(plan).unwrap_or_default();
        let (child, out, err) = match Child::start(&args, &input, plan.shell) {
            Ok(started) => started,
            Err(error) => {
                let error = Error::new(Kind::Busy, format!("cannot start a process for the file: {error}"));
                attempt.ended = Some(broken(Failure::plain(&error), 4));
                return None;
            }
        };
        let said = std::thread::spawn(move || read_some(err));
        let lines = lines_of(out);
        let forced = self.watch(&child, &lines, plan, attempt);
        if attempt.kept {
            return Some(child);
        }
        let left = child.wait();
        let said = said.join().unwrap_or_default();
        if attempt.ended.is_none() {
            self.cut_short(path, plan, attempt, left, forced, &said);
        }
        None
    }

    /// Takes in what the child says until it has nothing more to say. The reason, when it had to be ended.
    fn watch(&self, child: &Child, lines: &Receiver<String>, plan: &Plan, attempt: &mut Attempt) -> Option<String> {
        let limit = plan.timeout.unwrap_or_else(|| scaled(TIMEOUT)) + scaled(GRACE);
        let mut heard = Instant::now();
        let mut asked: Option<(Instant, String)> = None;
        let mut killed = false;
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => {
                    heard = Instant::now();
                    if let Ok(event) = serde_json::from_str(&line) {
                        self.heard(event, child, plan, attempt);
                    }
                    if attempt.kept {
                        return None;
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return asked.map(|(_, why)| why),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            match &asked {
                None if self.interrupt.is_set() => {
                    let signal = self.interrupt.signal().map_or_else(|| "a signal".into(), signal_name);
                    asked = Some((now, format!("interrupted by {signal}")));
                    child.terminate();
                }
                None if !plan.shell && now > heard + limit => {
                    let seconds = limit.as_secs();
                    asked = Some((now, format!("nothing was heard of it for {seconds} s, so it was ended by force")));
                    child.terminate();
                }
                Some((at, _)) if !killed && now > *at + scaled(TERM_GRACE) => {
                    killed = true;
                    child.kill();
                }
                _ => {}
            }
        }
    }

    fn heard(&self, event: Event, child: &Child, plan: &Plan, attempt: &mut Attempt) {
        match event {
            Event::TestBegan { file, test, line } => {
                attempt.running = Some((test.clone(), line));
                attempt.printed.clear();
                attempt.printed_bytes = 0;
                self.tell(Event::TestBegan { file, test, line });
            }
            Event::Printed { file, text } => {
                if attempt.printed_bytes <= PRINTED_MAX {
                    attempt.printed_bytes += text.len();
                    attempt.printed.push(text.chars().take(PRINTED_MAX).collect());
                }
                self.tell(Event::Printed { file, text });
            }
            Event::TestEnded(mut test) => {
                attempt.running = None;
                test.printed = std::mem::take(&mut attempt.printed);
                self.ended(*test, attempt);
            }
            Event::FileEnded(end) => {
                attempt.ended = Some(File { attempt: attempt.number, ..*end });
            }
            Event::Kept { file, .. } => {
                attempt.kept = true;
                let pid = child.inside().unwrap_or_else(|| child.pid());
                let user = if rustix::process::geteuid().is_root() { "" } else { " --user --preserve-credentials" };
                let enter = format!("nsenter --target {pid}{user} --mount --net --pid --uts bash");
                self.tell(Event::Kept { file, pid, enter });
            }
            Event::Listed { .. }
            | Event::Warned { .. }
            | Event::Recorded { .. }
            | Event::Covered { .. }
            | Event::Broke { .. } => {
                self.tell(event);
            }
            Event::Began { .. } | Event::FileBegan { .. } | Event::Ended { .. } => {}
        }
        let _ = plan;
    }

    fn ended(&self, mut test: Test, attempt: &mut Attempt) {
        test.attempt = attempt.number;
        attempt.seen.insert(test.test.clone());
        if test.outcome.is_bad() && !attempt.last {
            test.again = true;
            attempt.again.insert(test.test.clone(), test.clone());
        }
        self.tell(Event::TestEnded(Box::new(test)));
    }

    /// The child ended before its file did: the test that ran failed, and so did those behind it.
    fn cut_short(
        &self,
        path: &Path,
        plan: &Plan,
        attempt: &mut Attempt,
        left: Left,
        forced: Option<String>,
        said: &str,
    ) {
        let how = forced.unwrap_or_else(|| match left {
            Left::Exit(code @ 129..) => format!("ended by {}", signal_name(i32::from(code) - 128)),
            Left::Signal(signal) => format!("ended by {}", signal_name(signal)),
            Left::Exit(code) => format!("ended with status {code}"),
        });
        let began = attempt.running.is_some() || !attempt.seen.is_empty();
        if let (Left::Exit(code @ (2 | 4 | 70)), false) = (left, began) {
            // It could not even begin, and has said why.
            let message = said.lines().next().unwrap_or(&how).trim_start_matches("error: ").to_owned();
            let error = Kind::Unsupported.name().to_owned();
            let failure = Failure { error, message, text: said.to_owned(), ..Failure::default() };
            attempt.ended = Some(broken(failure, code));
            return;
        }
        let fail = |message: String| {
            let mut error = Error::new(Kind::Interrupted, message);
            if !said.trim().is_empty() {
                error = error.note("said", said.trim());
            }
            Failure { source: Some(plan.file.clone()), ..Failure::plain(&error) }
        };
        if let Some((test, line)) = attempt.running.take() {
            let failure = Failure { line, ..fail(format!("the sandbox was lost while the test ran: {how}")) };
            let mut test = Test::failed(&plan.file, &test, line, failure);
            test.printed = std::mem::take(&mut attempt.printed);
            self.ended(test, attempt);
        }
        let text = crate::files::read_ordinary(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let filter = Filter::new(plan.filter.as_deref()).unwrap_or_default();
        for (test, line) in names::in_text(&text) {
            let wanted = plan.only.as_ref().is_none_or(|only| only.contains(&test)) && filter.takes(&plan.file, &test);
            if wanted && !attempt.seen.contains(&test) {
                let failure = Failure { line, ..fail(format!("the sandbox was lost before the test began: {how}")) };
                self.ended(Test::failed(&plan.file, &test, line, failure), attempt);
            }
        }
        if attempt.seen.is_empty() {
            attempt.ended = Some(broken(fail(format!("the sandbox was lost: {how}")), 1));
        }
    }
}

fn broken(failure: Failure, exit: u8) -> File {
    File { broken: Some(failure), exit, ..File::default() }
}

/// The lines of a stream, read by a thread of its own.
fn lines_of(stream: Stream) -> Receiver<String> {
    let (lines, read) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            if lines.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    read
}

/// Reads a stream to its end and keeps the beginning.
fn read_some(mut stream: Stream) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let room = SAID_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_order_and_loses_nothing() {
        let order = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
