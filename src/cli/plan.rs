//! `netwright plan`: rehearse in a sandbox and print the commands that a run would execute.

use std::fmt::Write as _;

use super::PlanArgs;
use super::document;
use super::run::{Finished, OnHost, exit_code, show_errors, start};
use crate::report::human::{self, Human};
use crate::session::Mode;

/// Runs `netwright plan`; the exit code.
pub(super) fn plan(arguments: &PlanArgs) -> u8 {
    let as_json = arguments.json;
    start(&arguments.common, Mode::Sandbox, Human::quiet(false), OnHost::default(), true, move |finished| {
        let code = exit_code(finished);
        if as_json {
            document::print_run(&finished.session, &finished.outcome, None, code, finished.took);
        } else {
            human::text(&lines(finished));
        }
        show_errors(finished);
        code
    })
}

/// The commands in order, each run of them below the script line that they come from.
fn lines(finished: &Finished) -> String {
    let mut out = String::new();
    let mut last = None;
    for record in finished.session.log().iter().filter(|record| record.succeeded()) {
        let place = record.op.place.as_ref();
        let line = place.map(|place| (place.source.clone().unwrap_or_default(), place.line));
        if line != last {
            if let Some((source, line)) = &line {
                let text = finished.outcome.sources().text(source);
                let text = text.as_deref().and_then(|text| text.lines().nth(line.saturating_sub(1))).unwrap_or("");
                let _ = writeln!(out, "{}# {source}:{line}  {}", if out.is_empty() { "" } else { "\n" }, text.trim());
            }
            last = line;
        }
        let _ = writeln!(out, "{}", record.op.command.line());
    }
    out
}
