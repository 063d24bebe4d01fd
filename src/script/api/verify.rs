//! Looking whether it works: probes, expectations, assertions.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{EvalAltResult, FnPtr, ImmutableString, Map};

use super::measure::Reachability;
use super::reached::Reached;
use super::record::{Record, plain};
use super::value::{Options, duration, type_of};
use super::{Netns, Out, Run, act, act_global, reject, run_of, settle};
use crate::error::{Error, Kind, Result};
use crate::model::Cidr;
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{Endpoint, PingOptions, Proto, Target, Verdict, ping};
use crate::script::error::{known_error, place_of, throw};
use crate::script::sides::{self, Sides};
use crate::script::value_text::{show, shown};
use crate::session::Session;
use crate::session::mutant::Look;
use crate::session::noted::Noted;
use crate::verify::matrix::Matrix;
use crate::verify::{Aim, Finding, Manner, Outcome, REACH_TIMEOUT, SILENCE, Said};
use crate::why;
use crate::why::codes::Code;

/// How long `eventually` waits between two looks, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// What `expect(value)` gives: something to say about a value.
#[derive(Clone)]
pub struct Expectation {
    run: Run,
    value: Dynamic,
}

/// A probe that failed.
pub(crate) struct Missed {
    from: Where,
    aim: Aim,
    finding: Finding,
    manner: Manner,
}

impl Missed {
    fn of(from: &Where, target: &Target, verdict: &Verdict, manner: Manner, after: Duration) -> Self {
        let outcome = if verdict.is_not_reached() { Outcome::NotReached } else { Outcome::Inconclusive };
        let (word, detail) = (verdict.word(), verdict.detail());
        let finding = Finding { outcome, word, detail, target: target.clone(), after, rtt: None };
        Self::new(from, finding, manner)
    }

    /// A packet to an address that failed.
    pub(super) fn new(from: &Where, finding: Finding, manner: Manner) -> Self {
        Self { from: from.clone(), aim: Aim::Target(finding.target.clone()), finding, manner }
    }
}

pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::new(Kind::CheckFailed, message)
}

/// The namespace that an expectation is about.
fn prober(expectation: &Expectation, verb: &str) -> Result<Netns> {
    expectation.value.clone().try_cast::<Netns>().ok_or_else(|| {
        Error::new(
            Kind::InvalidArgument,
            format!("`expect(…).{verb}(…)` is about a namespace, not about {}", type_of(&expectation.value)),
        )
        .hint(format!("expect(netns(\"blue\")).{verb}(\"10.0.0.2\")"))
    })
}

/// What is aimed at, and at which service where the text says one of a namespace: `"tcp/web:80"`.
pub(super) fn aim(session: &Session, value: &Dynamic) -> Result<(Aim, Option<(Proto, u16)>)> {
    if let Some(netns) = value.read_lock::<Netns>() {
        return Ok((Aim::Netns(netns.at.clone()), None));
    }
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok((Aim::Target(Target::icmp(cidr.ip())), None));
    }
    match value.as_immutable_string_ref() {
        Ok(text) => session.aim_at(&text.parse::<Said>()?),
        Err(_) => Err(Error::new(
            Kind::InvalidArgument,
            format!("a target is a string such as \"tcp/10.0.0.2:80\" or a namespace, not {}", type_of(value)),
        )),
    }
}

/// The way of sending, to the service that the target names.
pub(super) fn to_service(manner: Manner, service: Option<(Proto, u16)>) -> Result<Manner> {
    match (service, manner.port) {
        (None, _) => Ok(manner),
        (Some((proto, port)), None) => Ok(Manner { port: Some(port), udp: proto == Proto::Udp, ..manner }),
        (Some((proto, port)), Some(other)) => {
            let message = format!("the target says port {port}, and so does `port`: {other}");
            Err(Error::new(Kind::InvalidArgument, message).hint(format!("\"{proto}/web:{port}\" is enough")))
        }
    }
}

/// How a packet is sent, as the options of a call say it.
pub(super) fn manner(options: &Options, verb: &str) -> Result<Manner> {
    let port = |key: &str| -> Result<Option<u16>> {
        Ok(options.number(key, 1..=65_535)?.and_then(|port| u16::try_from(port).ok()))
    };
    let wide = |key: &str, range| -> Result<Option<u32>> {
        Ok(options.number(key, range)?.and_then(|number| u32::try_from(number).ok()))
    };
    let known = super::options::of(verb).unwrap_or_default();
    let has = |key: &str| known.iter().any(|(name, _)| *name == key);
    let source = match options.text("from")? {
        Some(text) => Some(text.parse().map_err(|_| {
            Error::new(Kind::InvalidArgument, format!("`from` of `{verb}` is an address, not `{text}`"))
        })?),
        None => None,
    };
    Ok(Manner {
        source,
        sport: if has("sport") { port("sport")? } else { None },
        port: if has("port") { port("port")? } else { None },
        udp: false,
        mark: wide("mark", 0..=i64::from(u32::MAX))?,
        dev: options.text("dev")?,
        size: wide("size", 16..=65_507)?,
    })
}

/// A port that a service has, without an address: `tcp/80`.
fn service(text: &str) -> Result<Manner> {
    let endpoint: Endpoint = text.parse()?;
    if endpoint.addr.is_some() {
        let message = format!("`{text}` has an address, and the namespace has its own");
        return Err(Error::new(Kind::InvalidArgument, message).hint("expect(a).reaches(b, \"tcp/80\")"));
    }
    Ok(Manner { port: Some(endpoint.port), udp: endpoint.proto == Proto::Udp, ..Manner::default() })
}

fn expect_reach(context: &NativeCallContext, it: &Expectation, target: &Dynamic, options: Map) -> Out<Reached> {
    let options = reject(context, Options::new(options, "reaches"))?;
    let timeout = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(REACH_TIMEOUT));
    let manner = reject(context, manner(&options, "reaches"))?;
    expect_reach_by(context, it, target, manner, timeout)
}

fn expect_reach_by(
    context: &NativeCallContext,
    it: &Expectation,
    target: &Dynamic,
    manner: Manner,
    timeout: Duration,
) -> Out<Reached> {
    let from = reject(context, prober(it, "reaches"))?;
    let (target, service) = act(context, &it.run, |session| aim(session, target))?;
    let manner = reject(context, to_service(manner, service))?;
    let reach = || act(context, &it.run, |session| session.reach_each(&from.at, &target, &manner, timeout));
    let begun = Instant::now();
    let mut findings = reach()?;
    // A program that has just been started does not listen yet.
    while findings.last().is_some_and(|finding| finding.word == "refused") && it.run.0.programs.any_young() {
        act(context, &it.run, |session| session.exec().interrupt().sleep(PAUSE.0 * 2))?;
        findings = reach()?;
        if let Some(finding) = findings.last_mut() {
            finding.after = begun.elapsed();
        }
    }
    let Some(finding) = findings.last().cloned() else {
        return Err(throw(failed("nothing was probed").at(place_of(context))));
    };
    if finding.outcome == Outcome::Reached {
        it.run.0.hold();
        note(context, it, &from.at, &finding, &manner, true);
        return Ok(Reached { run: it.run.clone(), from: from.at, aim: target, findings, manner, timeout });
    }
    if finding.is_not_known() && finding.outcome == Outcome::Inconclusive {
        return Err(throw(unknown(&from.at, &aim_text(&target, &finding), &finding).at(place_of(context))));
    }
    let mut error = failed(format!("`{}` cannot reach {}", from.at, aim_text(&target, &finding)))
        .label(finding.word)
        .note("expected", "an answer")
        .note("found", format!("{} (after {})", finding.detail, millis(finding.after)))
        .netns(from.at.name());
    let missed = Missed { from: from.at.clone(), aim: target, finding, manner };
    // Who looks again and again asks why once, at the end.
    if it.run.0.looking.get() {
        it.run.0.missed.replace(Some(missed));
    } else {
        error = explained(context, &it.run, &missed, error);
    }
    Err(throw(error.at(place_of(context))))
}

/// The error of a probe whose answer the copy of a machine does not know.
fn unknown(from: &Where, text: &str, finding: &Finding) -> Error {
    failed(format!("inconclusive: nobody can say whether `{from}` reaches {text}"))
        .label("inconclusive")
        .note("found", finding.detail.clone())
        .netns(from.name())
        .hint("ask the machine itself: `netwright run --host --check` changes nothing")
}

/// The error with why the probe failed. Whoever wants to know is not told less because that fails.
pub(super) fn explained(context: &NativeCallContext, run: &Run, missed: &Missed, mut error: Error) -> Error {
    for story in run.0.programs.ended() {
        error = error.note("ended", story);
    }
    let Missed { from, aim, finding, manner } = missed;
    if let Ok(answer) = act(context, run, |session| why::explain(session, from, aim, finding, manner)) {
        run.0.blame(&answer);
        for (name, text) in answer.notes_for_error() {
            error = error.note(name, text);
        }
        for hint in answer.culprit.iter().flat_map(crate::why::finding::Culprit::hints) {
            error = error.hint(hint);
        }
        error.parts_mut().why = Some(answer.json());
        if let Some(culprit) = answer.culprit.as_ref().filter(|culprit| culprit.code == Code::LinkMissing) {
            error = run.0.session.with_origin(&culprit.at, error);
        }
    }
    error
}

/// Remembers an expectation that held.
fn note(
    context: &NativeCallContext,
    it: &Expectation,
    from: &Where,
    finding: &Finding,
    manner: &Manner,
    reaches: bool,
) {
    let told = *manner != (Manner { port: manner.port, udp: manner.udp, ..Manner::default() });
    let (from, target) = (from.clone(), finding.target.clone());
    it.run.0.session.note_down(Noted::Reaches { from, target, reaches, told, place: Some(place_of(context)) });
}

fn expect_no_reach(context: &NativeCallContext, it: &Expectation, target: &Dynamic, options: Map) -> Out<()> {
    let options = reject(context, Options::new(options, "cannot_reach"))?;
    let silence = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(SILENCE));
    let manner = reject(context, manner(&options, "cannot_reach"))?;
    expect_no_reach_by(context, it, target, &manner, silence)
}

fn expect_no_reach_by(
    context: &NativeCallContext,
    it: &Expectation,
    target: &Dynamic,
    manner: &Manner,
    silence: Duration,
) -> Out<()> {
    let from = reject(context, prober(it, "cannot_reach"))?;
    let (target, service) = act(context, &it.run, |session| aim(session, target))?;
    let manner = &reject(context, to_service(manner.clone(), service))?;
    let finding = act(context, &it.run, |session| session.cannot_reach(&from.at, &target, manner, silence))?;
    let text = aim_text(&target, &finding);
    if finding.is_not_known() && finding.outcome == Outcome::Inconclusive {
        return Err(throw(unknown(&from.at, &text, &finding).at(place_of(context))));
    }
    let forbidden = finding.outcome == Outcome::Inconclusive
        && act(context, &it.run, |session| why::forbids(session, &from.at, &finding.target, manner)).unwrap_or(false);
    let error = match finding.outcome {
        Outcome::Inconclusive if forbidden => {
            it.run.0.hold();
            note(context, it, &from.at, &finding, manner, false);
            return Ok(());
        }
        Outcome::NotReached => {
            it.run.0.hold();
            note(context, it, &from.at, &finding, manner, false);
            return Ok(());
        }
        Outcome::Reached => {
            failed(format!("`{}` reaches {text}", from.at)).label("reached").note("expected", "no answer")
        }
        Outcome::Inconclusive => failed(format!("inconclusive: nobody can say whether `{}` reaches {text}", from.at))
            .label("inconclusive")
            .note(
                "expected",
                "proof that it cannot: an ICMP error, a reset, or silence while somebody else is answered",
            )
            .hint("is anybody there? silence proves nothing about a place that answers nobody"),
    };
    let found = format!("{} (after {})", finding.detail, millis(finding.after));
    Err(throw(error.note("found", found).netns(from.at.name()).at(place_of(context))))
}

/// The target as the script wrote it; a namespace with the address that was probed.
pub(super) fn aim_text(aim: &Aim, finding: &Finding) -> String {
    match aim {
        Aim::Target(target) => target.to_string(),
        Aim::Netns(netns) => format!("`{netns}` at {}", finding.target),
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// As many tables that are not as expected are remembered.
const TABLES: usize = 64;
/// As many kinds of failure of a table are explained.
const KINDS: usize = 4;

/// Whether a table is as expected, marked so that an assertion about it can show the table.
pub(super) fn all_ok(run: &Run, matrix: &Rc<Matrix>) -> Dynamic {
    let mut answer = Dynamic::from(matrix.all_ok());
    if !matrix.all_ok() {
        let mut tables = run.0.tables.borrow_mut();
        let tag = tables.back().map_or(1, |(tag, _)| tag.checked_add(1).unwrap_or(1));
        tables.push_back((tag, Rc::clone(matrix)));
        if tables.len() > TABLES {
            tables.pop_front();
        }
        answer.set_tag(tag);
    }
    answer
}

/// The table that a value tells of: one itself, or what its `all_ok` gave.
fn table_of(run: &Run, value: &Dynamic) -> Option<Rc<Matrix>> {
    if let Some(table) = value.read_lock::<Reachability>() {
        return Some(Rc::clone(&table.0));
    }
    let tag = Some(value.tag()).filter(|tag| *tag != 0 && value.is_bool())?;
    run.0.tables.borrow().iter().find(|(known, _)| *known == tag).map(|(_, table)| Rc::clone(table))
}

/// A table that is not as expected: what differs, and why, once for each kind of failure.
fn table_error(context: &NativeCallContext, run: &Run, table: &Matrix) -> Error {
    let mut error = match table.differences().count() {
        1 => failed("1 pair is not as expected"),
        wrong => failed(format!("{wrong} pairs are not as expected")),
    }
    .note("found", table.to_string());
    let mut explained = Vec::new();
    for (from, to, column, cell) in table.differences() {
        let unreached = cell.expected != Some(false) && cell.outcome != Outcome::Reached;
        if !unreached || explained.contains(&cell.word) || explained.len() == KINDS {
            continue;
        }
        explained.push(cell.word);
        let aim = match &cell.target {
            Some(target) if target.proto != Proto::Icmp => Aim::Target(target.clone()),
            _ => Aim::Netns(to.clone()),
        };
        let question = why::Question::new(from.clone(), aim);
        let Ok(answer) = act(context, run, |session| why::why(session, &question)) else { continue };
        if error.parts().why.is_none() && answer.culprit.is_some() {
            run.0.blame(&answer);
            error.parts_mut().why = Some(answer.json());
        }
        for (name, text) in answer.notes_for_error() {
            let text = if name == "why" { format!("`{from}` to `{column}`: {text}") } else { text };
            if !error.parts().notes.iter().any(|known| known.1 == text) {
                error = error.note(name, text);
            }
        }
        if let Some(fix) = answer.culprit.as_ref().and_then(|culprit| culprit.fix.first()) {
            error = error.hint(fix.hint());
        }
    }
    error
}

/// What is to be true is: otherwise what was found instead, and what it was compared with.
fn check_true(context: &NativeCallContext, value: &Dynamic, message: Option<&str>) -> Out<()> {
    let run = run_of(context)?;
    let sides = sides::take();
    let table = table_of(&run, value);
    let error = match (value.as_bool(), &table) {
        (Ok(true), _) => {
            run.0.hold();
            return Ok(());
        }
        (_, Some(table)) if table.all_ok() => {
            run.0.hold();
            return Ok(());
        }
        (_, Some(table)) => table_error(context, &run, table),
        (Ok(_), None) => with_sides(failed("the assertion does not hold"), sides.as_ref()),
        (Err(_), None) => {
            let error = failed(format!("found {}, expected true", shown(value)));
            if has_ok(value) { error.hint("`.ok` tells whether it worked") } else { error }
        }
    };
    let error = match message {
        Some(message) => error.retold(message),
        None => error,
    };
    Err(throw(error.at(place_of(context))))
}

/// A map of an outcome, such as that of `ping`.
fn has_ok(value: &Dynamic) -> bool {
    plain(value).as_map_ref().is_ok_and(|map| map.get("ok").is_some_and(Dynamic::is_bool))
}

/// The error with both sides of the comparison that did not hold.
fn with_sides(error: Error, sides: Option<&Sides>) -> Error {
    match sides {
        Some(sides) => error.note("found", sides.left.clone()).note("expected", sides.expected()),
        None => error,
    }
}

/// A value over several lines, one for each item, so that two can be compared.
fn lines(value: &Dynamic, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    if let Ok(items) = value.as_array_ref() {
        let items: Vec<String> = items.iter().map(|item| lines(item, depth + 1)).collect();
        return format!("{indent}[\n{}{indent}]\n", items.concat());
    }
    if let Ok(map) = value.as_map_ref() {
        let item = |(key, value)| format!("{indent}  {key}: {}", lines(value, depth + 1).trim_start());
        let items: Vec<String> = map.iter().map(item).collect();
        return format!("{indent}#{{\n{}{indent}}}\n", items.concat());
    }
    format!("{indent}{}\n", show(value))
}

/// A value with netwright's own maps as Rhai's; the mark of a table stays.
fn keep_tag(value: &Dynamic) -> Dynamic {
    let mut copy = plain(value);
    copy.set_tag(value.tag());
    copy
}

/// Whether two values are the same, by the script's own `==` where it has one.
fn same(context: &NativeCallContext, a: &Dynamic, b: &Dynamic) -> bool {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return a.total_cmp(&b).is_eq();
    }
    match (a.as_array_ref(), b.as_array_ref()) {
        (Ok(a), Ok(b)) => return a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(context, a, b)),
        (Err(_), Err(_)) => {}
        _ => return false,
    }
    match (a.as_map_ref(), b.as_map_ref()) {
        (Ok(a), Ok(b)) => {
            return a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(context, value, other)));
        }
        (Err(_), Err(_)) => {}
        _ => return false,
    }
    if a.is_unit() || b.is_unit() {
        return a.is_unit() && b.is_unit();
    }
    context.call_native_fn::<bool>("==", (a.clone(), b.clone())).unwrap_or(false)
}

#[expect(clippy::cast_precision_loss, reason = "compared with a float only where the script does so")]
fn number(value: &Dynamic) -> Option<f64> {
    value.as_float().ok().or_else(|| value.as_int().ok().map(|number| number as f64))
}

fn check_equal(context: &NativeCallContext, found: &Dynamic, expected: &Dynamic) -> Out<()> {
    let run = run_of(context)?;
    let (found, expected) = (&keep_tag(found), &plain(expected));
    if same(context, found, expected) {
        run.0.hold();
        return Ok(());
    }
    if let Some(table) = table_of(&run, found).filter(|_| expected.as_bool() == Ok(true)) {
        return Err(throw(table_error(context, &run, &table).at(place_of(context))));
    }
    let nested = |value: &Dynamic| value.is_map() || value.is_array();
    let error = if nested(found) && nested(expected) {
        let (old, new) = (lines(expected, 0), lines(found, 0));
        let text = similar::TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).to_string();
        // The `@@` lines count lines of a text that nobody sees.
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("@@")).collect();
        failed("what was found is not what was expected")
            .label("- expected, + found")
            .note("difference", text.join("\n"))
    } else {
        failed(format!("found {}, expected {}", show(found), show(expected)))
            .note("expected", show(expected))
            .note("found", show(found))
    };
    Err(throw(error.at(place_of(context))))
}

/// The answer of a closure that is asked whether something is so. Nothing, or the answer of a probe, is one when an expectation `held` on the way to it.
fn truth(value: &Dynamic, of: &str, held: bool) -> Result<bool> {
    if let Some(table) = value.read_lock::<Reachability>() {
        return Ok(table.0.all_ok());
    }
    if (value.is_unit() || value.is::<Reached>()) && held {
        return Ok(true);
    }
    value.as_bool().map_err(|_| {
        let error = Error::new(
            Kind::InvalidArgument,
            format!("the function given to `{of}` must return true or false, not {}", type_of(value)),
        );
        if has_ok(value) {
            return error.hint("`.ok` tells whether it worked");
        }
        error.hint("its last line is what it returns, without a `;`").hint("or let it `expect` or `assert` something")
    })
}

/// What an assertion is about: true, false, or a table.
fn condition_of(value: &Dynamic) -> Result<()> {
    if value.is_bool() || value.is::<Reachability>() {
        return Ok(());
    }
    let error =
        Error::new(Kind::InvalidArgument, format!("`assert` expects true or false, you gave {}", type_of(value)));
    Err(if has_ok(value) { error.hint("`.ok` tells whether it worked") } else { error.hint("compare it: `x == …`") })
}

/// As many changes of a value are shown: the first ones and the last.
const CHANGES: usize = 6;

/// Looks again and again. `None` when it came to be so; otherwise the error, and the probe that failed in the last look.
fn look_until(
    context: &NativeCallContext,
    run: &Run,
    limit: Duration,
    ask: &FnPtr,
) -> Out<Option<(Error, Option<Missed>)>> {
    let place = place_of(context);
    let begun = Instant::now();
    let (mut pause, mut looks) = (PAUSE.0, 0_u64);
    let mut history: Vec<(Duration, String)> = Vec::new();
    loop {
        looks += 1;
        run.0.missed.take();
        drop(sides::take());
        let held = run.0.held.get();
        let since = begun.elapsed();
        let (last, answer) = match ask.call_within_context::<Dynamic>(context, ()) {
            Ok(answer) if reject(context, truth(&answer, "eventually", run.0.held.get() > held))? => return Ok(None),
            Ok(answer) => (None, Some(answer)),
            Err(error) if may_pass(&error) => (Some(error), None),
            Err(error) => return Err(error),
        };
        let found = sides::take();
        let seen = found.as_ref().map(|sides| sides.left.clone()).or_else(|| last.as_deref().map(last_words));
        if let Some(seen) = seen.filter(|seen| history.last().is_none_or(|(_, last)| last != seen)) {
            history.push((since, seen));
            // The first ones tell where it began, the last ones where it goes.
            if history.len() > CHANGES {
                history.remove(CHANGES / 2);
            }
        }
        if begun.elapsed() >= limit {
            let message = format!("not so within {}", humantime::format_duration(limit));
            let mut error = match answer.and_then(|answer| table_of(run, &answer)) {
                Some(table) => table_error(context, run, &table).retold(&message),
                None => with_sides(failed(message), found.as_ref()),
            };
            if let Some(last) = &last {
                error = caught(last, error.note("last", last_words(last)));
            }
            if history.len() > 1 {
                let step = |(at, value): &(Duration, String)| format!("{value} at {}", millis(*at));
                error = error.note("changed", history.iter().map(step).collect::<Vec<_>>().join(", "));
            }
            let times = if looks == 1 { "once".to_owned() } else { format!("{looks} times") };
            return Ok(Some((error.note("looked", times).at(place), run.0.missed.take())));
        }
        act_global(context, |session| session.exec().interrupt().sleep(pause))?;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// The error with the notes and hints of one that was caught.
fn caught(thrown: &EvalAltResult, mut error: Error) -> Error {
    let EvalAltResult::ErrorRuntime(value, _) = innermost(thrown) else { return error };
    let Some(inner) = known_error(value) else { return error };
    let parts = inner.parts();
    for (name, text) in &parts.notes {
        error = error.note(name.clone(), text.clone());
    }
    for hint in &parts.hints {
        error = error.hint(hint.clone());
    }
    error.parts_mut().why.clone_from(&parts.why);
    error
}

/// Whether a failure may pass by itself: the network is still settling.
fn may_pass(error: &EvalAltResult) -> bool {
    let EvalAltResult::ErrorRuntime(thrown, _) = innermost(error) else { return false };
    let Ok(map) = thrown.as_map_ref() else { return false };
    let kind = map.get("error").and_then(|kind| kind.clone().into_string().ok());
    matches!(
        kind.as_deref().and_then(Kind::from_name),
        Some(Kind::CheckFailed | Kind::NotFound | Kind::CommandFailed | Kind::Busy)
    )
}

fn innermost(error: &EvalAltResult) -> &EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
            innermost(inner)
        }
        leaf => leaf,
    }
}

/// The address of a target: of a namespace by its name, the first that the prober may be expected to reach.
fn one_target(context: &NativeCallContext, netns: &Netns, text: &str) -> Out<Target> {
    let said = reject(context, text.parse::<Said>())?;
    act(context, &netns.run, |session| session.one_target(&netns.at, &said))
}

fn ping_map(context: &NativeCallContext, netns: &Netns, target: &str, options: Map) -> Out<Record> {
    let options = reject(context, Options::new(options, "ping"))?;
    let target = one_target(context, netns, target)?;
    let parse = || -> Result<(Target, PingOptions)> {
        if target.proto != Proto::Icmp {
            return Err(Error::new(Kind::InvalidArgument, format!("`ping` takes an address, not `{target}`"))
                .hint(format!("ns.connect(\"{target}\") tries a port")));
        }
        let mut ping = PingOptions::for_target(&target);
        if let Some(count) = options.number("count", 1..=10_000)? {
            ping.count = u16::try_from(count).unwrap_or(1);
        }
        if let Some(timeout) = options.time("timeout")? {
            ping.timeout = timeout;
        }
        if let Some(interval) = options.time("interval")? {
            ping.interval = interval;
        }
        if let Some(size) = options.number("size", 16..=65_507)? {
            ping.size = usize::try_from(size).unwrap_or(56);
        }
        let manner = manner(&options, "ping")?;
        (ping.source, ping.mark, ping.device) = (manner.source, manner.mark, manner.dev);
        Ok((target.clone(), ping))
    };
    let (target, ping_options) = reject(context, parse())?;
    let report = act(context, &netns.run, |session| -> Result<_> {
        let interrupt = session.exec().interrupt().clone();
        session.wait_for_dad(&netns.at, target.addr)?;
        session.within(&netns.at, || ping(target.addr, &ping_options, &|| interrupt.is_set()))?
    })?;
    if !report.verdict.is_reached() {
        let manner = Manner {
            source: ping_options.source,
            mark: ping_options.mark,
            dev: ping_options.device.clone(),
            ..Manner::default()
        };
        netns.run.0.missed.replace(Some(Missed::of(&netns.at, &target, &report.verdict, manner, ping_options.timeout)));
    }
    let (sent, received) = (i64::from(report.sent), i64::from(report.received));
    let ms = |time: Option<Duration>| time.map_or(Dynamic::UNIT, |time| (time.as_secs_f64() * 1e3).into());
    let loss =
        if sent == 0 { 100.0 } else { 100.0 * f64::from(report.sent - report.received) / f64::from(report.sent) };
    let ok = sent > 0 && received == sent;
    let (reason, detail) = match (&report.verdict, received) {
        (verdict, 0) => (verdict.word(), verdict.detail()),
        (verdict, _) if ok => (verdict.word(), verdict.detail()),
        _ => ("loss", format!("{} of {sent} not answered", sent - received)),
    };
    Ok(Record::new(
        "ping",
        [
            ("ok", ok.into()),
            ("sent", Dynamic::from_int(sent)),
            ("received", Dynamic::from_int(received)),
            ("loss_pct", loss.into()),
            ("rtt_ms", ms(report.mean())),
            ("min_ms", ms(report.rtts.iter().min().copied())),
            ("max_ms", ms(report.rtts.iter().max().copied())),
            ("jitter_ms", ms(report.jitter())),
            ("reason", reason.into()),
            ("detail", detail.into()),
        ],
    ))
}

fn connect_map(context: &NativeCallContext, netns: &Netns, target: &str, options: Map) -> Out<Record> {
    let options = reject(context, Options::new(options, "connect"))?;
    let timeout = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(Duration::from_secs(2)));
    let target = one_target(context, netns, target)?;
    let parse = || -> Result<Target> {
        if target.proto == Proto::Icmp {
            return Err(Error::new(Kind::InvalidArgument, format!("`connect` takes a port: tcp/{target}:80"))
                .hint(format!("ns.ping(\"{target}\") tries an address")));
        }
        Ok(target.clone())
    };
    let target = reject(context, parse())?;
    let manner = reject(context, manner(&options, "connect"))?;
    let established = act(context, &netns.run, |session| {
        session.wait_for_dad(&netns.at, target.addr)?;
        session.probe(&netns.at, &target, &manner, timeout)
    })?;
    let verdict = established.into_verdict();
    if !verdict.is_reached() {
        netns.run.0.missed.replace(Some(Missed::of(&netns.at, &target, &verdict, manner, timeout)));
    }
    let rtt = verdict.rtt().map_or(Dynamic::UNIT, |rtt| (rtt.as_secs_f64() * 1e3).into());
    Ok(Record::new(
        "connect",
        [
            ("ok", verdict.is_reached().into()),
            ("reason", verdict.word().into()),
            ("rtt_ms", rtt),
            ("detail", verdict.detail().into()),
        ],
    ))
}

#[export_module]
pub mod api {
    /// Pings an address once: `#{ ok, sent, received, loss_pct, rtt_ms, min_ms, max_ms, jitter_ms, reason, detail }`. `ok` when every packet was
    /// answered; `rtt_ms` is the mean, `jitter_ms` the mean difference between one answer's time and the next's; times are `()` where there are none.
    /// `reason` is `reached`, `loss` when some were answered, otherwise `timeout`, `unreachable`, … New IPv6 addresses are waited for.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").ping("127.0.0.1").ok);
    /// assert_eq(netns("ns-blue").ping("203.0.113.1").reason, "unreachable");
    /// ```
    #[rhai_fn(name = "ping", return_raw, pure)]
    pub fn ping_once(context: NativeCallContext, netns: &mut Netns, addr: &str) -> Out<Record> {
        ping_map(&context, netns, addr, Map::new())
    }

    /// The same with options: `count`, `timeout` of each packet (1.2 s otherwise), `interval` between two, `size` in bytes, `from`
    /// address, `mark`, `dev` to leave by.
    ///
    /// ```rhai
    /// let many = netns("ns-blue").ping("127.0.0.1", #{ count: 3, interval: "10ms" });
    /// assert_eq(many.received, 3);
    /// assert(many.min_ms <= many.rtt_ms && many.rtt_ms <= many.max_ms);
    /// assert(netns("ns-blue").ping("127.0.0.1", #{ from: "127.0.0.2", mark: 7, dev: "lo" }).ok);
    /// ```
    #[rhai_fn(name = "ping", return_raw, pure)]
    pub fn ping_with(context: NativeCallContext, netns: &mut Netns, addr: &str, options: Map) -> Out<Record> {
        ping_map(&context, netns, addr, options)
    }

    /// Tries a port: `#{ ok, reason, rtt_ms, detail }`; `reason` is `reached`, `refused`, `timeout`, `unreachable`, `prohibited`, …
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").connect("tcp/127.0.0.1:80").reason, "refused");
    /// ```
    #[rhai_fn(name = "connect", return_raw, pure)]
    pub fn connect(context: NativeCallContext, netns: &mut Netns, target: &str) -> Out<Record> {
        connect_map(&context, netns, target, Map::new())
    }

    /// The same with options: `timeout` (2 s otherwise), `from` address, `sport`, `mark`, `dev` to leave by.
    ///
    /// ```rhai
    /// netns("ns-blue").connect("udp/[::1]:53", #{ timeout: "100ms" });
    /// ```
    #[rhai_fn(name = "connect", return_raw, pure)]
    pub fn connect_with(context: NativeCallContext, netns: &mut Netns, target: &str, options: Map) -> Out<Record> {
        connect_map(&context, netns, target, options)
    }

    /// Something to say about a value: `.reaches`, `.cannot_reach`, `.equals`, `.contains`, `.is_true`.
    ///
    /// ```rhai
    /// expect(1 + 1).equals(2);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn expect(context: NativeCallContext, value: Dynamic) -> Out<Expectation> {
        Ok(Expectation { run: run_of(&context)?, value })
    }

    /// Fails unless the namespace reaches the target: an address, `"tcp/10.0.0.2:80"`, `"udp/[2001:db8::2]:53"`, or another namespace, itself or
    /// by its name (`"web"`, `"tcp/web:80"`), which must be the one that answers, at each of its addresses. More can be expected of the answer:
    /// `.within("20ms")`, `.with_mtu(1400)`, `.via(["r1"])`, `.through_nat("198.51.100.2")`.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// expect(netns("ns-blue")).reaches("10.0.0.2");
    /// expect(netns("ns-blue")).reaches(netns("ns-green"));
    /// netns("ns-green").listen("tcp/80");
    /// expect(netns("ns-blue")).reaches("tcp/ns-green:80").within("500ms");
    /// ```
    #[rhai_fn(name = "reaches", return_raw, pure)]
    pub fn reaches(context: NativeCallContext, expectation: &mut Expectation, target: Dynamic) -> Out<Reached> {
        expect_reach(&context, expectation, &target, Map::new())
    }

    /// The same with options: `timeout` (3 s otherwise), and how the packet is sent: `from` address, `sport`, `port` to go to, `mark`, `dev` to leave
    /// by, `size` of a ping that may not be fragmented.
    ///
    /// ```rhai
    /// expect(netns("ns-blue")).reaches("127.0.0.1", #{ timeout: "10s" });
    /// expect(netns("ns-blue")).reaches("127.0.0.1", #{ from: "127.0.0.2", mark: 7, dev: "lo", size: 1000 });
    /// ```
    #[rhai_fn(name = "reaches", return_raw, pure)]
    pub fn reaches_with(
        context: NativeCallContext,
        expectation: &mut Expectation,
        target: Dynamic,
        options: Map,
    ) -> Out<Reached> {
        expect_reach(&context, expectation, &target, options)
    }

    /// Fails unless the namespace reaches the service of another one, `"tcp/80"` or `"udp/53"`, at each of its addresses, of every family that both have.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// netns("ns-green").listen("tcp/80");
    /// expect(netns("ns-blue")).reaches(netns("ns-green"), "tcp/80");
    /// ```
    #[rhai_fn(name = "reaches", return_raw, pure)]
    pub fn reaches_service(
        context: NativeCallContext,
        expectation: &mut Expectation,
        target: Netns,
        service: &str,
    ) -> Out<Reached> {
        let manner = reject(&context, self::service(service))?;
        expect_reach_by(&context, expectation, &Dynamic::from(target), manner, scaled(REACH_TIMEOUT))
    }

    /// Fails unless it is proven that the namespace cannot reach the target: an ICMP error, a reset, or silence while another namespace is
    /// answered from there. What nobody can prove is inconclusive, and fails.
    ///
    /// ```rhai
    /// expect(netns("ns-blue")).cannot_reach("203.0.113.1");
    /// ```
    #[rhai_fn(name = "cannot_reach", return_raw, pure)]
    pub fn cannot_reach(context: NativeCallContext, expectation: &mut Expectation, target: Dynamic) -> Out<()> {
        expect_no_reach(&context, expectation, &target, Map::new())
    }

    /// The same with `#{ timeout: "3s" }`: how long silence is listened to; 1.2 s otherwise.
    ///
    /// ```rhai
    /// expect(netns("ns-blue")).cannot_reach("203.0.113.1", #{ timeout: "500ms" });
    /// ```
    #[rhai_fn(name = "cannot_reach", return_raw, pure)]
    pub fn cannot_reach_with(
        context: NativeCallContext,
        expectation: &mut Expectation,
        target: Dynamic,
        options: Map,
    ) -> Out<()> {
        expect_no_reach(&context, expectation, &target, options)
    }

    /// Fails unless it is proven that the namespace cannot reach a service of another one, `"tcp/80"` or `"udp/53"`.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// expect(netns("ns-blue")).cannot_reach(netns("ns-green"), "tcp/80");
    /// ```
    #[rhai_fn(name = "cannot_reach", return_raw, pure)]
    pub fn cannot_reach_service(
        context: NativeCallContext,
        expectation: &mut Expectation,
        target: Netns,
        service: &str,
    ) -> Out<()> {
        let manner = reject(&context, self::service(service))?;
        expect_no_reach_by(&context, expectation, &Dynamic::from(target), &manner, scaled(SILENCE))
    }

    /// Fails unless the value equals another.
    ///
    /// ```rhai
    /// expect(netns("ns-blue").routes.len()).equals(0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn equals(context: NativeCallContext, expectation: &mut Expectation, expected: Dynamic) -> Out<()> {
        check_equal(&context, &expectation.value, &expected)
    }

    /// Fails unless the text, array or map contains a part, item or key.
    ///
    /// ```rhai
    /// expect("10.0.0.1/24").contains("/24");
    /// expect([1, 2]).contains(2);
    /// expect(#{ a: 1 }).contains("a");
    /// ```
    #[rhai_fn(name = "contains", return_raw, pure)]
    pub fn expect_contains(context: NativeCallContext, expectation: &mut Expectation, part: Dynamic) -> Out<()> {
        let value = &plain(&expectation.value);
        let part_text = part.as_immutable_string_ref();
        let found = if let Ok(text) = value.as_immutable_string_ref() {
            part_text.is_ok_and(|part| text.contains(part.as_str()))
        } else if let Ok(items) = value.as_array_ref() {
            items.iter().any(|item| same(&context, item, &part))
        } else if let Ok(map) = value.as_map_ref() {
            part_text.is_ok_and(|key| map.contains_key(key.as_str()))
        } else {
            let error = Error::new(Kind::InvalidArgument, format!("{} contains nothing", type_of(value)));
            return Err(throw(error.hint("a string, an array or a map does").at(place_of(&context))));
        };
        if found {
            expectation.run.0.hold();
            return Ok(());
        }
        let error = failed(format!("{} does not contain {}", show(value), show(&part)));
        Err(throw(error.note("found", show(value)).at(place_of(&context))))
    }

    /// Fails unless the value is true.
    ///
    /// ```rhai
    /// expect(netns("ns-blue").exists).is_true();
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn is_true(context: NativeCallContext, expectation: &mut Expectation) -> Out<()> {
        check_true(&context, &expectation.value, None)
    }

    /// Fails unless the condition holds, and shows what was compared; of a reachability table, what differs and why.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").exists);
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// assert(reachability([netns("ns-blue"), netns("ns-green")]).all_ok);
    /// ```
    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_that(context: NativeCallContext, condition: Dynamic) -> Out<()> {
        reject(&context, condition_of(&condition))?;
        check_true(&context, &condition, None)
    }

    /// Fails with the message unless the condition holds.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").exists, "the namespace is gone");
    /// ```
    #[rhai_fn(name = "assert", return_raw)]
    pub fn assert_message(context: NativeCallContext, condition: Dynamic, message: ImmutableString) -> Out<()> {
        reject(&context, condition_of(&condition))?;
        check_true(&context, &condition, Some(&message))
    }

    /// Fails unless the two values are equal, and shows both.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").name, "ns-blue");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn assert_eq(context: NativeCallContext, found: Dynamic, expected: Dynamic) -> Out<()> {
        check_equal(&context, &found, &expected)
    }

    /// Asks again and again until the function returns true, or an `expect` or `assert` in it holds, at most for `limit`. A check that fails
    /// inside counts as "not yet". At the end it says what was found last, how that changed, and why a probe failed.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// eventually("5s", || blue.ping("127.0.0.1").ok);
    /// eventually("5s", || expect(blue).reaches("127.0.0.1"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn eventually(context: NativeCallContext, limit: Dynamic, ask: FnPtr) -> Out<()> {
        let limit = scaled(reject(&context, duration(&limit))?);
        let run = run_of(&context)?;
        settle(&context)?;
        let outer = run.0.looking.replace(true);
        let ended = look_until(&context, &run, limit, &ask);
        run.0.looking.set(outer);
        let Some((error, probe)) = ended? else {
            run.0.hold();
            return Ok(());
        };
        let error = match probe {
            Some(missed) if !outer && error.parts().notes.iter().any(|(name, _)| name == "last") => {
                explained(&context, &run, &missed, error)
            }
            Some(missed) if !outer => {
                let last = format!(
                    "`{}` to {}: {}",
                    missed.from,
                    aim_text(&missed.aim, &missed.finding),
                    missed.finding.detail
                );
                explained(&context, &run, &missed, error.note("last probe", last))
            }
            _ => run.0.programs.ended().into_iter().fold(error, |error, story| error.note("ended", story)),
        };
        Err(throw(error))
    }

    /// A check with a sentence: recorded and printed; a false one fails the run at its end.
    ///
    /// ```rhai
    /// check("blue has no routes yet", || netns("ns-blue").routes.len() == 0);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn check(context: NativeCallContext, sentence: ImmutableString, ask: FnPtr) -> Out<bool> {
        let run = run_of(&context)?;
        let place = place_of(&context);
        settle(&context)?;
        act(&context, &run, |session| session.about_to_look(Look::Expectation))?;
        let held = run.0.held.get();
        drop(sides::take());
        let failure = match ask.call_within_context::<Dynamic>(&context, ()) {
            Ok(answer) if reject(&context, truth(&answer, "check", run.0.held.get() > held))? => None,
            Ok(answer) => {
                let error = match table_of(&run, &answer) {
                    Some(table) => table_error(&context, &run, &table).retold(&sentence),
                    None => with_sides(failed(sentence.as_str()), sides::take().as_ref()),
                };
                Some(error.at(place))
            }
            Err(error) if may_pass(&error) => {
                Some(caught(&error, failed(sentence.as_str()).note("because", last_words(&error))).at(place))
            }
            Err(error) => return Err(error),
        };
        let held = failure.is_none();
        run.0.session.emit(&crate::session::Event::Checked { sentence: &sentence, held });
        match failure {
            None => {
                run.0.hold();
                run.0.passed.set(run.0.passed.get() + 1);
            }
            Some(error) => run.0.failed.borrow_mut().push(error),
        }
        Ok(held)
    }
}

/// What an error said, in one line.
fn last_words(error: &EvalAltResult) -> String {
    if let EvalAltResult::ErrorRuntime(thrown, _) = innermost(error)
        && let Ok(map) = thrown.as_map_ref()
        && let Some(message) = map.get("message")
    {
        return message.to_string();
    }
    let mut leaf = innermost(error).to_string();
    if let Some(at) = leaf.find(" (line") {
        leaf.truncate(at);
    }
    leaf
}
