//! Documents for programs: each has `"schema": 1`.

use std::time::Duration;

use serde_json::{Value, json};

use super::human;
use crate::error::Error;
use crate::script::engine::Outcome;
use crate::session::{Session, Undone};

/// The version of every document.
pub const SCHEMA: u32 = 1;

/// Prints what a run did.
pub fn print_run(session: &Session, outcome: &Outcome, undone: Option<&Undone>, code: u8, took: Duration) {
    let commands: Vec<Value> = session
        .log()
        .iter()
        .map(|record| {
            let place = record.op.place.as_ref();
            json!({
                "argv": record.op.command.words(),
                "netns": record.op.command.netns.name(),
                "changes": record.op.changes,
                "source": place.and_then(|place| place.source.clone()),
                "line": place.map(|place| place.line),
                "ok": record.succeeded(),
                "took_ms": record.took.as_secs_f64() * 1e3,
            })
        })
        .collect();
    let document = json!({
        "schema": SCHEMA,
        "run": {
            "id": session.id(),
            "mode": session.mode().name(),
            "changed": session.changed(),
            "unchanged": session.unchanged(),
            "checks_held": outcome.passed,
            "took_ms": took.as_secs_f64() * 1e3,
            "exit": code,
        },
        "skipped": outcome.skipped,
        "commands": commands,
        "errors": outcome.errors.iter().map(error).collect::<Vec<_>>(),
        "undone": undone.map(|undone| json!({
            "steps": undone.steps,
            "done": undone.done,
            "notes": undone.notes,
            "left": undone.left.iter().map(|(line, why)| json!({ "command": line, "why": why })).collect::<Vec<_>>(),
        })),
    });
    print(&document);
}

/// Prints a document on one line.
pub fn print(document: &Value) {
    human::print(&format!("{document}\n"));
}

/// An error with the keys that a script catches.
#[must_use]
pub fn error(error: &Error) -> Value {
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
