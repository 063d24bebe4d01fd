//! The document of a run, for programs: `run --json` and `plan --json`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::report::json;
use crate::script::engine::Outcome;
use crate::session::{Session, Undone};
use crate::text::SCHEMA;

/// Prints what a run did.
pub(super) fn print_run(session: &Session, outcome: &Outcome, undone: Option<&Undone>, code: u8, took: Duration) {
    json::print(&of_run(session, outcome, undone, code, took));
}

/// What a run did.
pub(super) fn of_run(session: &Session, outcome: &Outcome, undone: Option<&Undone>, code: u8, took: Duration) -> Value {
    let commands: Vec<Value> = session
        .log()
        .iter()
        .map(|record| {
            let place = record.op.place.as_ref();
            json!({
                "argv": record.op.command.words(),
                "shell": record.op.command.line(),
                "netns": record.op.command.netns.name(),
                "changes": record.op.changes(),
                "source": place.and_then(|place| place.source.clone()),
                "line": place.map(|place| place.line),
                "ok": record.succeeded(),
                "took_ms": record.took.as_secs_f64() * 1e3,
            })
        })
        .collect();
    json!({
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
        "errors": outcome.errors.iter().map(json::error).collect::<Vec<_>>(),
        "undone": undone.map(|undone| json!({
            "steps": undone.steps,
            "done": undone.done,
            "notes": undone.notes,
            "unknown": undone.unknown,
            "left": undone.left.iter().map(|(line, why)| json!({ "command": line, "why": why })).collect::<Vec<_>>(),
        })),
    })
}
