//! `netwright test` for a person: a line per test as it ends, why it failed right below, and a summary.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::testing::Outcome;
use crate::testing::event::{Event, Failure, Test};
use crate::text::diagnostic::escape;

/// How often the line at the bottom of a terminal changes at most.
const REDRAW: Duration = Duration::from_millis(100);
/// How many lines of what a failed test printed are shown.
const PRINTED_LINES: usize = 40;

/// Prints events as they come, to standard error.
#[derive(Debug)]
pub(crate) struct Live {
    terminal: bool,
    colour: bool,
    drawn: bool,
    redrawn: Option<Instant>,
    files: usize,
    files_done: usize,
    running: Vec<(String, String)>,
    ended: usize,
    failed: usize,
    kept: Vec<(String, String)>,
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    /// With progress and colour only where they can be seen.
    #[must_use]
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colour = super::human::colour(&std::io::stderr());
        Self {
            terminal,
            colour,
            drawn: false,
            redrawn: None,
            files: 0,
            files_done: 0,
            running: Vec::new(),
            ended: 0,
            failed: 0,
            kept: Vec::new(),
        }
    }

    /// Prints an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Began { files, seed, jobs, .. } => {
                self.files = *files;
                let order =
                    seed.map_or(String::new(), |seed| format!(", shuffled: --shuffle {seed} repeats the order"));
                let (s, j) = (if *files == 1 { "" } else { "s" }, jobs);
                self.line(&format!("{files} file{s}, {j} at once{order}"));
            }
            Event::TestBegan { file, test, .. } => {
                self.running.retain(|(other, _)| other != file);
                self.running.push((file.clone(), test.clone()));
            }
            Event::Listed { .. }
            | Event::Printed { .. }
            | Event::FileBegan { .. }
            | Event::Recorded { .. }
            | Event::Covered { .. }
            | Event::Broke { .. } => {}
            Event::Warned { file, text } => self.line(&format!("warning: {}: {}", one(file), escape(text))),
            Event::TestEnded(test) => self.test(test),
            Event::Kept { file, enter, .. } => self.kept.push((file.clone(), enter.clone())),
            Event::FileEnded(end) => {
                self.files_done += 1;
                self.running.retain(|(other, _)| *other != end.file);
                if let Some(failure) = &end.broken {
                    self.mark("31", "FAIL", &format!("{}: cannot run", one(&end.file)));
                    self.failure(failure);
                }
                if !end.left.is_empty() {
                    self.line(&format!("     {}: at its end {}", one(&end.file), one(&end.left.join("; "))));
                }
            }
            Event::Ended { passed, failed, skipped, flaky, broken, took_ms, exit } => {
                let mut parts =
                    vec![format!("{passed} passed"), format!("{failed} failed"), format!("{skipped} skipped")];
                let more = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
                parts.extend(more(*flaky, "flaky"));
                parts.extend(more(*broken, if *broken == 1 { "file could not run" } else { "files could not run" }));
                self.line(&format!("{} in {:.2} s", parts.join(", "), took_ms / 1e3));
                if *exit == 4 && passed + failed + skipped + broken == 0 {
                    self.line("no test was selected, so nothing is proven");
                }
                for (file, enter) in std::mem::take(&mut self.kept) {
                    self.line(&format!("the sandbox of {} is open: {enter}", one(&file)));
                    self.line("Ctrl-C ends it");
                }
                return;
            }
        }
        self.progress();
    }

    fn test(&mut self, test: &Test) {
        self.running.retain(|(other, _)| *other != test.file);
        let mut text = format!("{}: {} ({:.0} ms)", one(&test.file), one(&test.test), test.took_ms);
        match test.usual_ms {
            Some(usual) => {
                let _ = write!(text, "  SLOWER than usual ({usual:.0} ms)");
            }
            None if test.slow => text.push_str("  SLOW"),
            None => {}
        }
        if test.again {
            self.mark("33", "AGAIN", &text);
            return;
        }
        self.ended += 1;
        match test.outcome {
            Outcome::Passed if test.attempt > 1 => {
                self.mark("33", "FLAKY", &format!("{text}, attempt {}", test.attempt));
            }
            Outcome::Passed => self.mark("32", "ok", &text),
            Outcome::Skipped => {
                self.mark("33", "skip", &format!("{text}: {}", one(test.reason.as_deref().unwrap_or_default())));
            }
            Outcome::Failed => self.mark("31", "FAIL", &text),
            Outcome::Inconclusive => self.mark("31", "FAIL", &format!("{text}  inconclusive")),
        }
        for left in &test.left {
            self.line(&format!("     left behind: {}", one(left)));
        }
        if test.outcome.is_bad() {
            self.failed += 1;
            for failure in &test.failures {
                self.failure(failure);
            }
            let lines: Vec<&str> = test.printed.iter().flat_map(|text| text.lines()).collect();
            for line in lines.iter().take(PRINTED_LINES) {
                self.line(&format!("     printed: {}", escape(line)));
            }
            if lines.len() > PRINTED_LINES {
                self.line(&format!("     … and {} more lines", lines.len() - PRINTED_LINES));
            }
        }
    }

    fn failure(&mut self, failure: &Failure) {
        for line in failure.text.lines() {
            self.line(&format!("     {}", escape(line)));
        }
    }

    fn mark(&mut self, colour: &str, word: &str, text: &str) {
        if self.colour {
            self.line(&format!("\x1b[{colour}m{word:<4}\x1b[0m {text}"));
        } else {
            self.line(&format!("{word:<4} {text}"));
        }
    }

    fn line(&mut self, text: &str) {
        let clear = if self.drawn { "\r\x1b[K" } else { "" };
        self.drawn = false;
        let _ = writeln!(std::io::stderr().lock(), "{clear}{}", super::github::inert(&crate::op::secret::redact(text)));
    }

    /// The line at the bottom of a terminal; a log gets none.
    fn progress(&mut self) {
        let soon = self.drawn && self.redrawn.is_some_and(|at| at.elapsed() < REDRAW);
        if !self.terminal || soon {
            return;
        }
        let now = self.running.first().map_or(String::new(), |(file, test)| format!("  {}: {}", one(file), one(test)));
        let text =
            format!("{}/{} files, {} tests, {} failed{now}", self.files_done, self.files, self.ended, self.failed);
        let width =
            rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20));
        let text: String = text.chars().take(width - 1).collect();
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
        (self.drawn, self.redrawn) = (true, Some(Instant::now()));
    }
}

/// One line without anything that drives a terminal.
pub(super) fn one(text: &str) -> String {
    escape(&text.replace('\n', " "))
}
