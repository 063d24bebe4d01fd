//! `netwright run --host --check`: whether the machine is still as a script says. Nothing is changed.
//!
//! First the script runs on a copy of the machine: each command that changes something there is what the machine lacks. When there is none, it runs
//! on the machine itself with a session that refuses to change anything, so that its expectations are about the real thing, and what the copy did not
//! show is found.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::time::Duration;

use serde_json::{Value, json};

use super::run::{executor, raise_open_files};
use super::{Common, fail, on_big_stack, require_root};
use crate::error::{Error, Kind, Place, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::reexec;
use crate::report::human::{self, Human};
use crate::report::json as documents;
use crate::script::engine::{self, Job, Outcome};
use crate::session::copy::HeldBack;
use crate::session::{Event, Mode, Session};
use crate::text::{SCHEMA, plural};

/// Runs it; 0 when the machine is as the script says, 1 when not, else what kept it from being known.
pub(super) fn check(common: &Common, as_json: bool) -> u8 {
    if let Err(error) = require_root("--host --check") {
        return fail(&error);
    }
    if let Err(code) = common.check_words() {
        return code;
    }
    let rehearsed = match rehearse(common) {
        Ok(rehearsed) => rehearsed,
        Err(error) => return fail(&error),
    };
    if let Some(reason) = rehearsed.document.get("skipped").and_then(Value::as_str) {
        // Nothing of it was looked at.
        return not_known(&format!("the script was skipped: {reason}"), as_json, Kind::Unsupported.exit_code());
    }
    if rehearsed.code > 1 {
        let errors = rehearsed.errors().join("; ");
        let why = format!("the rehearsal on a copy of the machine ended early: {errors}");
        return not_known(&why, as_json, rehearsed.code);
    }
    // An expectation that fails on the copy where nothing is lacking is asked of the machine itself.
    if rehearsed.lacks() {
        return differs(&rehearsed, as_json);
    }
    on_machine(common, as_json, rehearsed)
}

/// Says that nobody knows; the exit code.
fn not_known(why: &str, as_json: bool, code: u8) -> u8 {
    if as_json {
        documents::print(&json!({ "schema": SCHEMA, "drift": null, "not_known": why }));
    } else {
        human::text(&format!("not known: {why}\n"));
    }
    code
}

/// What the rehearsal printed.
struct Rehearsed {
    code: u8,
    document: Value,
}

impl Rehearsed {
    fn list(&self, key: &str) -> Vec<Value> {
        self.document.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The commands that changed something: what the machine lacks.
    fn commands(&self) -> Vec<Value> {
        self.list("commands").into_iter().filter(|command| command.get("ok") == Some(&json!(true))).collect()
    }

    fn lacks(&self) -> bool {
        !self.commands().is_empty()
    }

    fn errors(&self) -> Vec<String> {
        let text = |error: &Value| error.get("message").and_then(Value::as_str).map(str::to_owned);
        self.list("errors").iter().filter_map(text).collect()
    }
}

/// Rehearses on a copy of this machine, in a process of its own.
fn rehearse(common: &Common) -> Result<Rehearsed> {
    let cannot = |error: std::io::Error| Error::new(Kind::CommandFailed, format!("cannot rehearse: {error}"));
    let mut words: Vec<OsString> = ["plan", "--host", "--json"].map(OsString::from).into();
    words.extend(common.again());
    let made = rustix::fs::memfd_create("netwright-plan", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(made.map_err(|errno| cannot(errno.into()))?);
    let status = reexec::into_file(&words, &file, true).map_err(cannot)?;
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).map_err(cannot)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70);
    let document = serde_json::from_str(&text).unwrap_or(Value::Null);
    if document.is_null() && code <= 1 {
        return Err(Error::new(Kind::Internal, "the rehearsal on a copy of this machine told nothing")
            .hint("`netwright plan --host` with the same script says why"));
    }
    Ok(Rehearsed { code, document })
}

/// Says what is not as the script says.
fn differs(rehearsed: &Rehearsed, as_json: bool) -> u8 {
    let commands = rehearsed.commands();
    let differences = rehearsed.list("differences");
    if as_json {
        documents::print(&json!({
            "schema": SCHEMA,
            "drift": true,
            "differences": differences,
            "commands": commands,
            "not_copied": rehearsed.list("not_copied"),
            "not_judged": rehearsed.list("not_judged"),
            "errors": rehearsed.list("errors"),
        }));
        return 1;
    }
    let errors = rehearsed.errors();
    human::text(&format!(
        "drift: {} not as the script says, {} would mend it\n",
        plural(differences.len(), "thing"),
        plural(commands.len(), "command")
    ));
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    for one in &differences {
        human::line(&format!("  {}: {}", text(one, "netns"), in_words(one)));
    }
    for command in &commands {
        let line = command.get("line").and_then(Value::as_u64);
        let place = line.map(|line| format!("{}:{line}", text(command, "source"))).unwrap_or_default();
        human::line(&format!("  {place}  {}", text(command, "shell")));
    }
    for error in errors {
        human::line(&format!("  the rehearsal: {error}"));
    }
    // A difference may be one of the copy.
    let missing: Vec<String> =
        rehearsed.list("not_copied").iter().filter_map(|line| line.as_str().map(str::to_owned)).collect();
    super::copy::tell(&missing);
    1
}

/// `sysctl net.ipv4.ip_forward: found 0, expected 1`.
fn in_words(one: &Value) -> String {
    let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{} {}", text("what"), text("key"));
    let name = name.trim_end();
    match text("sign") {
        "added" => format!("{name}: not there, expected{}", value(text("is"))),
        "removed" => format!("{name}: there{}, and not expected", value(text("was"))),
        _ => format!("{name}: found {}, expected {}", text("was"), text("is")),
    }
}

fn value(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

/// Runs the script on the machine itself, without changing anything.
fn on_machine(common: &Common, as_json: bool, rehearsed: Rehearsed) -> u8 {
    raise_open_files();
    let interrupt = Interrupt::default();
    if let Err(error) = super::run::listen(&interrupt, None) {
        return fail(&error);
    }
    if let Some(timeout) = common.timeout {
        interrupt.set_deadline(timeout);
    }
    let (scripts, words) = common.split();
    let job = Job { scripts, vars: common.vars.clone(), words, in_order: true, ..Job::default() };
    let (tools, command_timeout) = (common.tools.clone(), common.command_timeout);
    on_big_stack(move || {
        let report = Human::quiet(false);
        let events = Box::new(move |event: &Event<'_>| report.event(event));
        let session = executor(&tools, interrupt, command_timeout).map(|exec| Session::new(exec, Mode::Host, events));
        let session = match session {
            Ok(session) => std::rc::Rc::new(session),
            Err(error) => return fail(&error),
        };
        session.only_read();
        let outcome = engine::run(&job, &session);
        session.stop_background();
        verdict(&outcome, &session.held_back(), as_json, &rehearsed)
    })
}

/// What the run on the machine itself says.
fn verdict(outcome: &Outcome, held_back: &[HeldBack], as_json: bool, rehearsed: &Rehearsed) -> u8 {
    if let Some(reason) = &outcome.skipped {
        return not_known(&format!("the script was skipped: {reason}"), as_json, Kind::Unsupported.exit_code());
    }
    let line = |place: Option<&Place>| place.map(|place| format!("line {}", place.line)).unwrap_or_default();
    // A program of the script's own is not started: the lines behind it were seen on the copy only. What its error led to says nothing.
    let stopped = held_back.iter().find(|one| !one.changes);
    let from = stopped.map(|one| line(one.place.as_ref()));
    // What would have been changed counts, whoever caught the error.
    let changes: Vec<&str> = held_back.iter().filter(|one| one.changes).map(|one| one.text.as_str()).collect();
    let failed = outcome.errors.first().filter(|_| stopped.is_none());
    if let Some(error) = failed.filter(|error| error.kind() != Kind::CheckFailed && changes.is_empty()) {
        return not_known(&error.to_string(), as_json, error.kind().exit_code());
    }
    let drifted = !changes.is_empty() || failed.is_some() || outcome.tests[1] > 0;
    let note =
        stopped.zip(from.as_ref()).map(|(one, from)| format!("from {from} on only the copy was asked: {}", one.text));
    if as_json {
        documents::print(&json!({
            "schema": SCHEMA,
            "drift": drifted,
            "differences": [],
            "commands": [],
            "would_change": changes,
            "checks_held": outcome.passed,
            "not_copied": rehearsed.list("not_copied"),
            "not_judged": note.iter().collect::<Vec<_>>(),
            "errors": outcome.errors.iter().filter(|_| failed.is_some()).map(documents::error).collect::<Vec<_>>(),
        }));
        return u8::from(drifted);
    }
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if !drifted {
        let checks = match outcome.passed {
            0 => String::new(),
            held => format!(", {} held", plural(count(held), "check")),
        };
        let copy = from.map(|from| format!(" (from {from} on the copy only)")).unwrap_or_default();
        human::text(&format!("ok: the machine is as the script says{checks}{copy}\n"));
    } else if let Some(change) = changes.first() {
        human::text(&format!("drift: {change}\n"));
    } else if let Some(error) = failed {
        human::text(&format!("drift: {error}\n"));
    } else {
        human::text(&format!("drift: {} failed\n", plural(count(outcome.tests[1]), "test")));
    }
    if let Some(error) = failed {
        human::error(error, outcome.sources());
    }
    if let Some(note) = note {
        human::line(&note);
    }
    u8::from(drifted)
}

impl Common {
    /// The words that say the same to another command.
    fn again(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for var in &self.vars {
            words.extend(["--var".into(), var.into()]);
        }
        let time = |limit: Duration| humantime::format_duration(limit).to_string().replace(' ', "");
        for (name, limit) in [("--timeout", self.timeout), ("--command-timeout", self.command_timeout)] {
            words.extend(limit.into_iter().flat_map(|limit| [OsString::from(name), time(limit).into()]));
        }
        words.extend(super::tool_words(&self.tools));
        words.extend(self.words.iter().cloned());
        words
    }
}
