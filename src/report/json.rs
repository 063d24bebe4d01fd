//! Documents for programs: each has `"schema": 1`.

use serde_json::{Value, json};

use super::{github, human};
use crate::error::Error;

/// Prints a document on one line.
pub(crate) fn print(document: &Value) {
    // What GitHub takes for a command can only stand in a string.
    let text = format!("{document}\n");
    human::commands(&if github::listens() { text.replace("##[", "#\\u0023[") } else { text });
}

/// An error with the keys that a script catches.
#[must_use]
pub(crate) fn error(error: &Error) -> Value {
    let parts = error.parts();
    let place = parts.place.as_ref();
    let ran = parts.ran.as_ref();
    json!({
        "error": parts.kind.name(),
        "message": parts.message,
        "source": place.and_then(|place| place.source.clone()),
        "line": place.map(|place| place.line),
        "position": place.map(|place| place.column),
        "command": ran.map(|ran| ran.command.clone()),
        "status": ran.and_then(|ran| ran.status),
        "stdout": ran.map(|ran| ran.stdout.clone()),
        "stderr": ran.map(|ran| ran.stderr.clone()),
        "netns": parts.netns,
        "hints": parts.hints,
        "why": parts.why,
        "notes": parts.notes.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect::<Vec<_>>(),
    })
}
