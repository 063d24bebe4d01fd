//! The event stream as JSON lines: from a child to the runner, and for programs (`--events`).

use std::io::Write;

use crate::testing::event::Event;

/// An event as one line.
#[must_use]
pub(crate) fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default() + "\n"
}

/// Prints an event to standard output, whole and at once: the process may be killed any moment.
pub(crate) fn print(event: &Event) {
    super::human::commands(&line(event));
}

/// Writes to the terminal, whatever standard output and error are.
pub(crate) fn to_terminal(text: &str) {
    if let Ok(mut terminal) = crate::files::terminal() {
        let _ = writeln!(terminal, "{text}");
    }
}
