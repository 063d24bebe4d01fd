//! Test cases: `test("a sentence", || …)`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{EvalAltResult, FnPtr, ImmutableString, Position};

use super::value::type_of;
use super::{Out, Run, reject, run_of, settle};
use crate::error::{Error, Kind, Place};
use crate::exec::{netns, processes};
use crate::script::engine::Script;
use crate::script::error::{Ended as Stop, place_of, throw};
use crate::session::Event;
use crate::session::mutant::Look;
use crate::testing::{self, Filter, Outcome, Plan};

/// What a run knows about its tests.
#[derive(Default)]
pub(crate) struct Tests {
    /// Which tests run, and how.
    pub(crate) plan: RefCell<Plan>,
    /// The plan's filter.
    pub(crate) filter: RefCell<Filter>,
    /// The script that is running, which can explain its errors.
    pub(crate) script: RefCell<Option<Rc<Script>>>,
    /// Tests that wait for the end of the set-up, when their order is to be another.
    pub(crate) waiting: RefCell<Vec<Case>>,
    /// How many tests came to what: passed, failed, skipped.
    pub(crate) counts: Cell<[u64; 3]>,
    /// How often each sentence was used, and the names of all tests that were met.
    pub(crate) names: RefCell<HashMap<String, u32>>,
    /// The test that runs now.
    pub(crate) current: RefCell<Option<String>>,
}

impl Tests {
    fn count(&self, outcome: Outcome) {
        let mut counts = self.counts.get();
        counts[match outcome {
            Outcome::Passed => 0,
            Outcome::Failed | Outcome::Inconclusive => 1,
            Outcome::Skipped => 2,
        }] += 1;
        self.counts.set(counts);
    }
}

/// A test that is to run.
#[derive(Clone)]
pub(crate) struct Case {
    name: String,
    place: Place,
    work: FnPtr,
}

impl Case {
    /// Its name and line.
    pub(crate) fn origin(&self) -> (String, usize) {
        (self.name.clone(), self.place.line)
    }
}

/// Who calls the closures of a test.
pub(crate) enum Caller<'a> {
    /// The script, which has not ended yet.
    Call(&'a NativeCallContext<'a>),
    /// The script has ended.
    Script(&'a Script),
}

impl Caller<'_> {
    fn call(&self, work: &FnPtr) -> Result<Dynamic, Box<EvalAltResult>> {
        match self {
            Self::Call(context) => work.call_within_context(context, ()),
            Self::Script(script) => script.call(work),
        }
    }
}

/// What is there before a test, to be compared with what is there after it.
struct Before {
    pids: Vec<i32>,
    netns: Vec<String>,
}

impl Before {
    fn now() -> Self {
        let pids = processes::others().into_iter().map(|other| other.pid).collect();
        Self { pids, netns: netns::names().unwrap_or_default() }
    }

    /// What has come and not gone. A program that is just ending gets a moment.
    fn left(&self) -> Vec<String> {
        let new = || processes::others().into_iter().filter(|other| !self.pids.contains(&other.pid));
        if new().next().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut left: Vec<String> = new().map(|other| format!("`{}` still runs", other.line)).collect();
        let names = netns::names().unwrap_or_default();
        left.extend(
            names
                .iter()
                .filter(|name| !self.netns.contains(name))
                .map(|name| format!("namespace `{name}` is still there")),
        );
        left
    }
}

/// Meets a test: runs it, names it, or passes it by, as the plan says.
fn meet(context: &NativeCallContext, sentence: &str, work: FnPtr) -> Out<()> {
    let run = run_of(context)?;
    let tests = &run.0.tests;
    if let Some(outer) = tests.current.borrow().as_ref() {
        let error = Error::new(Kind::InvalidArgument, format!("the test \"{sentence}\" stands inside of \"{outer}\""));
        return reject(context, Err(error.hint("`check(\"…\", || …)` makes a further statement inside of a test")));
    }
    if sentence.trim().is_empty() {
        let error = Error::new(Kind::InvalidArgument, "a test needs a sentence that says what holds");
        return reject(context, Err(error.hint("test(\"blue reaches green\", || { … })")));
    }
    let count = { *tests.names.borrow_mut().entry(sentence.to_owned()).and_modify(|count| *count += 1).or_insert(1) };
    let name = if count == 1 { sentence.to_owned() } else { format!("{sentence} #{count}") };
    let place = place_of(context);
    {
        let plan = tests.plan.borrow();
        let wanted = plan.only.as_ref().is_none_or(|only| only.contains(&name));
        if !wanted || !tests.filter.borrow().takes(&plan.file, &name) {
            return Ok(());
        }
        if plan.fail_fast && tests.counts.get()[1] > 0 {
            return Ok(());
        }
        if plan.list {
            run.0.session.emit(&Event::TestListed { name: &name, place: Some(&place) });
            return Ok(());
        }
        if plan.seed.is_some() {
            tests.waiting.borrow_mut().push(Case { name, place, work });
            return Ok(());
        }
    }
    run_case(&run, &Case { name, place, work }, &Caller::Call(context))
}

/// Tells the reporter, and forgets what an earlier test blamed: it is nothing to this one.
fn begin(run: &Run, case: &Case) -> Out<()> {
    run.0.session.emit(&Event::TestBegan { name: &case.name, place: Some(&case.place) });
    *run.0.tests.current.borrow_mut() = Some(case.name.clone());
    *run.0.blamed.borrow_mut() = None;
    run.0.session.about_to_look(Look::Test).map_err(throw)
}

/// Runs a test to its end and tells the reporter. An error only when the whole run is to stop.
pub(crate) fn run_case(run: &Run, case: &Case, caller: &Caller<'_>) -> Out<()> {
    let (tests, session) = (&run.0.tests, &run.0.session);
    let Some(script) = tests.script.borrow().clone() else {
        // Without a script (in the REPL) nobody else could explain the error.
        return caller.call(&case.work).map(drop);
    };
    begin(run, case)?;
    let plan = tests.plan.borrow().clone();
    let interrupt = session.exec().interrupt();
    let limit = || plan.timeout.into_iter().for_each(|timeout| interrupt.set_deadline(timeout));
    let before = plan.leaks.then(Before::now);
    let (deferred, failed) = (run.0.deferred.borrow().len(), run.0.failed.borrow().len());
    let held = run.0.held.get();
    let (captures, programs) = (run.0.captures.len(), run.0.programs.len());
    let listeners = run.0.listeners.borrow().len();
    let (mut errors, mut skipped) = (Vec::new(), None);

    limit();
    let begun = Instant::now();
    let mut stop = false;
    let said_false = Cell::new(false);
    let said_true = Cell::new(false);
    let mut ended = |result: Result<Dynamic, Box<EvalAltResult>>| match result {
        Ok(value) if value.as_bool() == Ok(false) => {
            said_false.set(true);
        }
        Ok(value) => said_true.set(said_true.get() || value.as_bool() == Ok(true)),
        Err(error) => match script.explain(error) {
            Stop::Error(error) => errors.push(error),
            Stop::Skipped(reason) => skipped = Some(reason),
            Stop::Exit(status) => errors.push(
                Error::new(Kind::InvalidArgument, format!("the test called `exit({status})`"))
                    .hint("`return` ends a test, `skip(\"reason\")` skips it")
                    .at(session.place().unwrap_or_else(|| case.place.clone())),
            ),
            Stop::Interrupted => {
                stop = interrupt.signal().is_some();
                let error = match plan.timeout.filter(|_| !stop) {
                    Some(timeout) => Error::new(
                        Kind::TimedOut,
                        format!("the test took longer than {}", humantime::format_duration(timeout)),
                    )
                    .hint("give it more time with `--timeout`"),
                    None => interrupt.error(),
                };
                errors.push(error.at(case.place.clone()));
            }
        },
    };
    ended(caller.call(&case.work));
    limit();
    loop {
        let next = {
            let mut all = run.0.deferred.borrow_mut();
            if all.len() > deferred { all.pop() } else { None }
        };
        let Some(work) = next else { break };
        // Its value means nothing.
        ended(caller.call(&work).map(|_| Dynamic::UNIT));
    }
    errors.extend(run.0.failed.borrow_mut().drain(failed..));
    // `check` returns what it found: as the last line of a test it has said all there is to say.
    if errors.is_empty() && said_false.get() {
        errors.push(Error::new(Kind::CheckFailed, "the test returned false").at(case.place.clone()));
    }
    let took = begun.elapsed();
    // A loop over nothing, an `if` that was not entered: it passes, and people should know how.
    if errors.is_empty() && skipped.is_none() && !said_true.get() && run.0.held.get() == held {
        session.emit(&Event::Warning(&format!("the test \"{}\" passed and expected nothing", case.name)));
    }
    *tests.current.borrow_mut() = None;

    let packets = run.0.captures.end(captures, !errors.is_empty());
    // What a test has started ends with it: the next one finds the ports free.
    let stuck = run.0.programs.end(programs);
    run.0.end_listeners(listeners);
    if let (Some(first), false) = (errors.first_mut(), packets.is_empty()) {
        first.parts_mut().notes.push(("packets".into(), packets.join(", ")));
    }
    let mut left = before.map(|before| before.left()).unwrap_or_default();
    left.extend(stuck);
    let sources = script.sources().clone();
    let picture = (!errors.is_empty() && plan.leaks && !stop)
        .then(|| run.0.picture().ok().map(|topology| (topology.text(), topology.svg())))
        .flatten();
    let end = testing::Ended {
        name: &case.name,
        place: Some(&case.place),
        errors: &errors,
        skipped: skipped.as_deref(),
        took,
        left: &left,
        picture: picture.as_ref().map(|(text, _)| text.as_str()),
        svg: picture.as_ref().map(|(_, svg)| svg.as_str()),
        sources: &sources,
    };
    session.emit(&Event::TestEnded(&end));
    tests.count(end.outcome());
    limit();
    if stop || interrupt.is_set() {
        return Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE)));
    }
    Ok(())
}

#[export_module]
pub mod api {
    /// A test case: its sentence says what holds, its function proves it. It fails when the function throws, returns `false`, or a `check`
    /// in it does not hold; the next test runs all the same. What it gives to `defer` runs at its end, programs and listeners that it has
    /// started end with it, and `skip` skips this test only.
    ///
    /// ```rhai
    /// test("blue has no routes yet", || {
    ///     assert_eq(netns("ns-blue").routes.len(), 0);
    /// });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn test(context: NativeCallContext, sentence: ImmutableString, work: Dynamic) -> Out<()> {
        let given = type_of(&work);
        let work = work.try_cast::<FnPtr>().ok_or_else(|| {
            Error::new(Kind::InvalidArgument, format!("a test is a function, not {given}"))
                .hint("test(\"a sentence\", || { … })")
        });
        let work = reject(&context, work)?;
        settle(&context)?;
        meet(&context, &sentence, work)
    }
}
