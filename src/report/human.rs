//! What a person at a terminal reads: the script's own output on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use super::github;
use crate::error::Error;
use crate::session::Event;
use crate::text::diagnostic::{self, Sources, escape};

/// How wide a diagnostic is drawn when the terminal does not say.
const WIDTH: usize = 100;

/// Prints events as they come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Human {
    trace: bool,
    data_is_ours: bool,
}

impl Human {
    /// For a person: with `trace`, each command and its time.
    #[must_use]
    pub(crate) fn new(trace: bool) -> Self {
        Self { trace, data_is_ours: false }
    }

    /// For a command whose standard output is a document: what the script prints goes to standard error.
    #[must_use]
    pub(crate) fn quiet(trace: bool) -> Self {
        Self { trace, data_is_ours: true }
    }

    /// Prints an event.
    pub(crate) fn event(self, event: &Event<'_>) {
        match event {
            Event::Printed(text) if self.data_is_ours => line(text),
            Event::Printed(printed) => text(&format!("{printed}\n")),
            Event::Checked { sentence, held } => line(&format!("{} {sentence}", if *held { "ok  " } else { "FAIL" })),
            Event::TestListed { name, .. } => line(name),
            Event::TestEnded(test) => test_ended(test),
            Event::Warning(text) => line(&format!("warning: {text}")),
            Event::Ran { ran, changes, ok, place } if self.trace => {
                let mark = if *changes { '+' } else { '?' };
                let status = if *ok { String::new() } else { format!("  (exit {})", ran.status.unwrap_or(-1)) };
                let place = place.map(|place| format!("  line {}", place.line)).unwrap_or_default();
                let millis = ran.took.as_secs_f64() * 1e3;
                line(&format!("{mark} {millis:>8.3} ms  {}{status}{place}", escape(&ran.command)));
            }
            Event::Ran { .. } | Event::TestBegan { .. } | Event::Broke(_) => {}
        }
    }
}

/// A test of a script that is run by itself: its line, and why it failed.
fn test_ended(test: &crate::testing::Ended<'_>) {
    use crate::testing::Outcome;
    let name = escape(&test.name.replace('\n', " "));
    match test.outcome() {
        Outcome::Passed => line(&format!("ok   {name}")),
        Outcome::Skipped => line(&format!("skip {name}: {}", test.skipped.unwrap_or_default())),
        Outcome::Failed | Outcome::Inconclusive => line(&format!("FAIL {name}")),
    }
    for failure in test.errors {
        error(failure, test.sources);
    }
}

/// Whether a stream takes colours: a terminal that knows them (`TERM` is not `dumb`), of a person who wants them (no `NO_COLOR`).
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stream.is_terminal() && !dumb && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints an error as a diagnostic.
pub(crate) fn error(error: &Error, sources: &dyn Sources) {
    let colour = colour(&std::io::stderr());
    let text = diagnostic::render(error, sources, colour, WIDTH);
    let _ = write(&mut anstream::stderr().lock(), &github::inert(&text));
}

/// Prints a line of talk. Whatever of it came from elsewhere, it drives no terminal.
pub(crate) fn line(text: &str) {
    let _ = write(&mut anstream::stderr().lock(), &github::inert(&format!("{}\n", visible(text))));
}

/// Lines of a text, each with what could drive a terminal spelled out.
fn visible(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// Prints data.
pub(crate) fn print(text: &str) {
    commands(&github::inert(text));
}

/// Prints lines of data for a person: on a terminal nothing in them drives it.
pub(crate) fn text(text: &str) {
    print(&if std::io::stdout().is_terminal() { visible(text) } else { text.to_owned() });
}

/// Prints what another program is to obey: the annotations of GitHub, a document.
pub(super) fn commands(text: &str) {
    if let Err(error) = write(&mut std::io::stdout().lock(), text) {
        LOST.get_or_init(|| error.to_string());
    }
}

/// Why something that was to be printed on standard output is lost.
static LOST: OnceLock<String> = OnceLock::new();

/// Why standard output does not have all that was printed: a full disk behind it. A reader that went away wanted no more.
#[must_use]
pub(crate) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
}

/// A reader that went away (`netwright plan x | head`) is no reason to fail or to panic.
fn write(to: &mut dyn Write, text: &str) -> std::io::Result<()> {
    match to.write_all(crate::op::secret::redact(text).as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
