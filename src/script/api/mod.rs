//! All that scripts can call. One file per subject of the reference; each function is thin: script values to types, one call of the
//! session, handle or map back. The doc comments are the reference: `netwright doc`, `help()` and error hints read them.

#![expect(unreachable_pub, reason = "the macro that registers functions takes public ones only")]

pub mod bridge;
pub mod files;
pub mod firewall;
pub mod link;
pub mod measure;
pub mod needs;
pub mod netns;
pub mod nft;
pub(crate) mod options;
pub mod process;
pub(crate) mod programs;
pub(crate) mod reached;
pub(crate) mod record;
pub mod route;
pub mod run;
pub mod secret;
pub mod tc;
pub mod tests;
pub mod value;
pub mod verify;
pub mod why;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext, Position, exported_module};

use super::error::{place_of, throw};
use crate::draw::{Blame, Topology};
use crate::error::Error;
use crate::op::Where;
use crate::session::Session;
use crate::session::mutant::Look;

/// What a script function returns.
pub(crate) type Out<T> = Result<T, Box<EvalAltResult>>;

/// The state of one run of scripts, shared by every call: the engine's tag holds it.
#[derive(Clone)]
pub(crate) struct Run(pub(crate) Rc<RunState>);

/// What [`Run`] shares.
pub(crate) struct RunState {
    /// What the run does to the kernel.
    pub(crate) session: Rc<Session>,
    /// `--var k=v` and the words after the script.
    pub(crate) arguments: RefCell<super::arguments::Arguments>,
    /// What `defer` was given, to be run last first.
    pub(crate) deferred: RefCell<Vec<FnPtr>>,
    /// How many checks held.
    pub(crate) passed: Cell<u64>,
    /// The sentences of the checks that did not.
    pub(crate) failed: RefCell<Vec<Error>>,
    /// What standard input gave, once it was read.
    pub(crate) stdin: OnceCell<String>,
    /// netwright's own listeners, kept until the end.
    pub(crate) listeners: RefCell<Vec<process::Listener>>,
    /// The programs that the script has started.
    pub(crate) programs: programs::Programs,
    /// Calls of `exec` whose result nobody looks at: the source and the place.
    pub(crate) unlooked: RefCell<HashSet<(String, Position)>>,
    /// How many expectations and assertions held.
    pub(crate) held: Cell<u64>,
    /// Whether somebody looks again and again: what fails may still come, and is not explained before the last look.
    pub(crate) looking: Cell<bool>,
    /// The probe that failed last, to be explained.
    pub(crate) missed: RefCell<Option<verify::Missed>>,
    /// Tables that are not as expected, found again by the tag of what `all_ok` gave.
    pub(crate) tables: RefCell<VecDeque<(i32, Rc<crate::verify::matrix::Matrix>)>>,
    /// The tests of the run.
    pub(crate) tests: tests::Tests,
    /// What captures packets.
    pub(crate) captures: measure::Captures,
    /// Whether commands run in the order of the script.
    pub(crate) in_order: bool,
    /// The script that is running, if it cannot tell when a command runs: it catches nothing.
    pub(crate) patient: RefCell<Option<String>>,
    /// What failed where a script cannot be told.
    pub(crate) late: RefCell<Option<Error>>,
    /// What `why` blamed last, and the epoch of the session that it is true for.
    pub(crate) blamed: RefCell<Option<(u64, Blame)>>,
}

impl RunState {
    /// Remembers what `why` blamed, for pictures drawn before anything changes.
    pub(crate) fn blame(&self, answer: &crate::why::finding::Finding) {
        *self.blamed.borrow_mut() = Blame::of(answer).map(|blame| (self.session.epoch(), blame));
    }

    /// Closes the listeners from the `first` on.
    pub(crate) fn end_listeners(&self, first: usize) {
        let mut listeners = self.listeners.borrow_mut();
        let first = first.min(listeners.len());
        for listener in listeners.drain(first..) {
            listener.close();
        }
    }

    /// Counts an expectation that held.
    pub(crate) fn hold(&self) {
        self.held.set(self.held.get() + 1);
    }

    /// The live network, with what `why` blamed last in it, unless something changed since.
    pub(crate) fn picture(&self) -> crate::Result<Topology> {
        self.session.settle_all()?;
        let blamed = self.blamed.borrow().clone();
        let current = blamed.filter(|(epoch, _)| *epoch == self.session.epoch());
        Ok(Topology::read(&self.session)?.with_culprit(current.map(|(_, blame)| blame)))
    }
}

/// A namespace, as scripts hold it.
#[derive(Clone)]
pub struct Netns {
    pub(crate) run: Run,
    pub(crate) at: Where,
}

/// A link, as scripts hold it.
#[derive(Clone)]
pub struct Link {
    pub(crate) netns: Netns,
    pub(crate) name: String,
}

impl Netns {
    pub(crate) fn new(run: &Run, at: Where) -> Self {
        run.0.session.know(&at);
        Self { run: run.clone(), at }
    }

    pub(crate) fn link(&self, name: &str) -> Link {
        Link { netns: self.clone(), name: name.to_owned() }
    }
}

impl Link {
    pub(crate) fn at(&self) -> (&Where, &str) {
        (&self.netns.at, &self.name)
    }
}

/// What Rhai counts as the level of a native call in a statement of the script itself; inside of a function it is higher.
const TOP_LEVEL: usize = 1;

/// The run that a call belongs to.
pub(crate) fn run_of(context: &NativeCallContext) -> Out<Run> {
    let run = context.tag().and_then(|tag| tag.clone().try_cast::<Run>());
    run.ok_or_else(|| throw(Error::new(crate::Kind::Internal, "the engine has lost its run")))
}

/// Does something with the session on behalf of a script: says where it comes from, and turns the error into what a script catches.
pub(crate) fn act<T>(
    context: &NativeCallContext,
    run: &Run,
    work: impl FnOnce(&Session) -> crate::Result<T>,
) -> Out<T> {
    let session = &run.0.session;
    let place = place_of(context);
    // In a function or a module an error also tells who called it, and that is only known now.
    let patient = context.call_level() == TOP_LEVEL && *run.0.patient.borrow() == place.source;
    session.set_may_defer(patient && place.source.is_some());
    session.set_place(Some(place.clone()));
    let looked = if run.0.tests.current.borrow().is_some() { session.about_to_look(Look::Call) } else { Ok(()) };
    looked.and_then(|()| work(session)).map_err(|error| raise(run, error.at(place)))
}

/// The same for a global function.
pub(crate) fn act_global<T>(context: &NativeCallContext, work: impl FnOnce(&Session) -> crate::Result<T>) -> Out<T> {
    let run = run_of(context)?;
    act(context, &run, work)
}

/// Does what verbs have put off: before something that may take its time or catch errors.
pub(crate) fn settle(context: &NativeCallContext) -> Out<()> {
    act_global(context, Session::settle_all)
}

/// An error of a value that the script gave, at the place of the call.
pub(crate) fn reject<T>(context: &NativeCallContext, result: crate::Result<T>) -> Out<T> {
    result.map_err(|error| throw(error.at(place_of(context))))
}

/// Throws an error, unless the run is to stop: that cannot be caught.
#[expect(clippy::unnecessary_box_returns, reason = "it is what Rhai takes")]
fn raise(run: &Run, error: Error) -> Box<EvalAltResult> {
    if run.0.session.exec().interrupt().is_set() {
        return Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, rhai::Position::NONE));
    }
    throw(error)
}

/// Registers everything.
pub(crate) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Netns>("Netns")
        .register_type_with_name::<Link>("Link")
        .register_type_with_name::<process::Process>("Process")
        .register_type_with_name::<process::Listener>("Listener")
        .register_type_with_name::<verify::Expectation>("Expectation")
        .register_type_with_name::<reached::Reached>("Reached")
        .register_type_with_name::<measure::Reachability>("Reachability")
        .register_type_with_name::<measure::Capture>("Capture")
        .register_type_with_name::<why::Finding>("Finding")
        .register_type_with_name::<secret::Secret>("Secret")
        .register_type_with_name::<crate::model::Cidr>("Cidr");
    record::register(engine);
    for module in [
        exported_module!(netns::api),
        exported_module!(link::api),
        exported_module!(bridge::api),
        exported_module!(route::api),
        exported_module!(firewall::api),
        exported_module!(nft::api),
        exported_module!(tc::api),
        exported_module!(secret::api),
        exported_module!(process::api),
        exported_module!(files::api),
        exported_module!(verify::api),
        exported_module!(reached::api),
        exported_module!(tests::api),
        exported_module!(measure::api),
        exported_module!(needs::api),
        exported_module!(why::api),
        exported_module!(run::api),
        exported_module!(value::api),
    ] {
        engine.register_global_module(module.into());
    }
}
