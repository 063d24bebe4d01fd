//! `netwright plan`: rehearse in a sandbox and print the commands that a run would execute.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run::{Finished, Manner, exit_code, show_errors, start};
use super::{PlanArgs, copy, document, snapshot};
use crate::error::{Error, Kind, Place, Result};
use crate::op::{Command, Op, Undo};
use crate::report::human::{self, Human};
use crate::session::Mode;
use crate::session::noted::Noted;
use crate::session::program::{self, Effect};
use crate::snapshot::{Difference, diff};

/// Runs `netwright plan`; the exit code.
pub(super) fn plan(arguments: &PlanArgs) -> u8 {
    let as_json = arguments.json;
    let copy = match &arguments.on {
        Some(word) => Some(copy::Source::of(word)),
        None => arguments.host.then_some(copy::Source::This),
    };
    let rehearses = copy.is_some();
    let manner = Manner { in_order: true, copy, rehearses, ..Manner::new(Mode::Sandbox) };
    start(&arguments.common, manner, Human::quiet(false), move |finished| {
        let code = exit_code(finished);
        if finished.copied.is_some() {
            return on_machine(finished, code, as_json);
        }
        if as_json {
            document::print_run(&finished.session, &finished.outcome, None, code, finished.took);
        } else {
            human::text(&lines(finished));
        }
        show_errors(finished);
        code
    })
}

/// What a machine still lacks: the commands, then what would become of it. 0 when that is nothing, 1 when it is something.
fn on_machine(finished: &Finished, code: u8, as_json: bool) -> u8 {
    let differences = match changes(finished) {
        Ok(differences) => differences,
        Err(error) => return super::fail(&error),
    };
    let lacks = finished.session.log().iter().any(crate::session::Record::succeeded);
    let code = match code {
        // Nothing of a script that was skipped was looked at.
        0 if finished.outcome.skipped.is_some() => Kind::Unsupported.exit_code(),
        0 => u8::from(lacks),
        code => code,
    };
    let missing = finished.copied.as_ref().map(|copied| copied.missing.clone()).unwrap_or_default();
    let passed_over = finished.session.passed_over();
    if as_json {
        let mut document = document::of_run(&finished.session, &finished.outcome, None, code, finished.took);
        if let Some(object) = document.as_object_mut() {
            object.insert("differences".into(), json!(differences));
            object.insert("not_copied".into(), json!(missing));
            let judged = |(place, why): &(Option<crate::error::Place>, String)| json!({ "line": place.as_ref().map(|place| place.line), "source": place.as_ref().and_then(|place| place.source.clone()), "why": why });
            object.insert("not_judged".into(), Value::Array(passed_over.iter().map(judged).collect()));
        }
        crate::report::json::print(&document);
    } else {
        human::text(&lines(finished));
        if lacks {
            human::text(&format!("\n# what becomes of the machine\n{}", snapshot::lines(&differences)));
        }
        copy::tell(&missing);
        for (place, why) in &passed_over {
            let at = place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
            human::line(&format!("{at}not judged: {why}"));
        }
        if !lacks && code == 0 && finished.outcome.skipped.is_none() {
            human::line("nothing to do: the machine is as the script says");
        }
    }
    show_errors(finished);
    code
}

/// What is otherwise in the copy after the run.
fn changes(finished: &Finished) -> Result<Vec<Difference>> {
    let Some(copied) = &finished.copied else { return Ok(Vec::new()) };
    finished.session.settle_all()?;
    let now = copy::again(finished.session.exec(), copied)
        .map_err(|error: Error| error.hint("the copy cannot be read again"))?;
    // Who listens in the copy are stand-ins, and what a script starts to check something goes with it.
    Ok(diff(&copied.snapshot, &now).into_iter().filter(|one| one.what != "listener").collect())
}

/// The commands in order, each run of them below the script line that they come from. The script's own programs stand among them.
fn lines(finished: &Finished) -> String {
    let mut out = String::new();
    let mut last = None;
    let programs = finished.session.noted();
    let mut programs = programs.iter().peekable();
    let mut put = |place: Option<&Place>, text: &str| {
        let line = place.map(|place| (place.source.clone().unwrap_or_default(), place.line));
        if line != last {
            if let Some((source, line)) = &line {
                let text = finished.outcome.sources().text(source);
                let text = text.as_deref().and_then(|text| text.lines().nth(line.saturating_sub(1))).unwrap_or("");
                let _ = writeln!(out, "{}# {source}:{line}  {}", if out.is_empty() { "" } else { "\n" }, text.trim());
            }
            last = line;
        }
        let _ = writeln!(out, "{text}");
    };
    let log = finished.session.log();
    for (position, record) in log.iter().enumerate() {
        while let Some((_, noted)) = programs.next_if(|(at, _)| *at <= position) {
            put_program(noted, &mut put);
        }
        if record.succeeded() {
            put(record.op.place.as_ref(), &command(&record.op));
        }
    }
    programs.for_each(|(_, noted)| put_program(noted, &mut put));
    out
}

/// A command as the line that it is; a program of the script's own with what undoes it.
fn command(op: &Op) -> String {
    let line = op.command.line();
    match &op.undo {
        Undo::Commands(undo) if program::is_own(&op.command) => {
            let undo: Vec<String> = undo.iter().map(Command::line).collect();
            format!("{line}   # the script's own program; undone by: {}", undo.join("; "))
        }
        _ => line,
    }
}

/// A program of the script's own, as the line that it is.
fn put_program(noted: &Noted, put: &mut impl FnMut(Option<&Place>, &str)) {
    let Noted::Program { netns, words, background, effect, place } = noted else { return };
    let words = crate::op::secret::hide(words, crate::op::secret::Of::User);
    let line = crate::op::quote(&crate::op::as_typed(netns, &words));
    let line = if *background { format!("{line} &") } else { line };
    let changes = match effect {
        Effect::Nothing => "it changes nothing",
        Effect::Lasting => "nothing undoes it",
        Effect::Unknown | Effect::Undone(_) => "its effect is not known",
    };
    put(place.as_ref(), &format!("{line}   # the script's own program; {changes}"));
}
