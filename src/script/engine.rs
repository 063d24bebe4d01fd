//! The engine, and a run of scripts from the first line to the last `defer`.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rhai::{AST, Dynamic, Engine, OptimizationLevel, Scope};

use super::api::tests::{Caller, Case, Tests, run_case};
use super::api::{self, Run, RunState};
use super::arguments::Arguments;
use super::bundle;
use super::caught;
use super::check::unlooked;
use super::error::{Context, Ended, from_parse, from_rhai};
use super::resolver::Resolver;
use super::signature::netwright_words;
use super::source::{self, Sources};
use crate::error::{Error, Result};
use crate::session::{Event, Session};
use crate::testing::{Filter, Plan, names};
use crate::text::diagnostic;

/// The stack of the thread that evaluates: Rhai recurses, and its limits below fit into this with room to spare.
pub(crate) const STACK_BYTES: usize = 64 << 20;

/// What to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Job {
    /// The scripts, in order.
    pub scripts: Vec<PathBuf>,
    /// `--var name=value`.
    pub vars: Vec<String>,
    /// The words after the script.
    pub words: Vec<String>,
    /// Which tests of the scripts run, and how.
    pub tests: Plan,
    /// Commands run in the order of the script, even where nobody but the reader of a plan can tell.
    pub in_order: bool,
    /// What listens goes on listening when the scripts have succeeded, as long as the outcome lives.
    pub stays: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The status that the script asked for with `exit`.
    pub exit: Option<u8>,
    /// Why it ended as skipped: something that it needs is missing here.
    pub skipped: Option<String>,
    /// What it failed with: the error that ended it, or the checks that did not hold.
    pub errors: Vec<Error>,
    /// How many checks held.
    pub passed: u64,
    /// How many tests passed, failed and were skipped.
    pub tests: [u64; 3],
    /// How many different sentences tests had, whether or not they ran.
    pub met: usize,
    /// Tests that were never met, because the script ended before them: name and line.
    pub unmet: Vec<(String, usize)>,
    /// Files that hold captured packets.
    pub kept: Vec<String>,
    /// Whether a script could not be read as one.
    pub unreadable: bool,
    /// The texts that the errors speak of.
    sources: Sources,
    /// What goes on listening.
    listening: Listening,
}

/// Listeners of a run that is over.
#[derive(Default)]
struct Listening(#[expect(dead_code, reason = "held, not read")] Vec<api::process::Listener>);

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listening")
    }
}

impl Outcome {
    /// The texts that the errors speak of.
    #[must_use]
    pub(crate) fn sources(&self) -> &dyn diagnostic::Sources {
        &self.sources
    }
}

/// Runs scripts. To be called on a thread with [`STACK_BYTES`] of stack.
#[must_use]
pub(crate) fn run(job: &Job, session: &Rc<Session>) -> Outcome {
    let sources = Sources::default();
    let mut outcome = Outcome {
        exit: None,
        skipped: None,
        errors: Vec::new(),
        passed: 0,
        tests: [0; 3],
        met: 0,
        unmet: Vec::new(),
        kept: Vec::new(),
        unreadable: false,
        sources: sources.clone(),
        listening: Listening::default(),
    };
    let filter = match Filter::new(job.tests.filter.as_deref()) {
        Ok(filter) => filter,
        Err(error) => {
            outcome.errors.push(error);
            return outcome;
        }
    };
    let arguments = match Arguments::parse(&job.vars, &job.words) {
        Ok(arguments) => arguments,
        Err(error) => {
            outcome.errors.push(error);
            return outcome;
        }
    };
    let tests = Tests { plan: RefCell::new(job.tests.clone()), filter: RefCell::new(filter), ..Tests::default() };
    let run = new_run(session, arguments, tests, job.in_order);
    for path in &job.scripts {
        let script = match Script::load(path, &sources, &run) {
            Ok(script) => Rc::new(script),
            Err(error) => {
                outcome.unreadable = true;
                outcome.errors.push(error);
                break;
            }
        };
        *run.0.tests.script.borrow_mut() = Some(Rc::clone(&script));
        let last = script.evaluate(&run);
        // The engine holds the run: together they would hold each other for ever.
        run.0.tests.script.borrow_mut().take();
        if !matches!(last, Ok(Last::Line)) {
            outcome.unmet = script.unmet(&run);
        }
        match last {
            Ok(Last::Line) => {}
            Ok(Last::Exit(status)) => {
                outcome.exit = Some(status);
                break;
            }
            Ok(Last::Skipped(reason)) => {
                outcome.skipped = Some(reason);
                break;
            }
            Err(error) => {
                outcome.errors.push(error);
                break;
            }
        }
    }
    let interrupted = session.exec().interrupt().is_set();
    if interrupted && outcome.errors.is_empty() {
        outcome.errors.push(session.exec().interrupt().error());
    }
    if outcome.errors.is_empty() && outcome.exit.is_none() && outcome.skipped.is_none() {
        for line in run.0.arguments.borrow().unused() {
            session.emit(&Event::Warning(&line));
        }
    }
    outcome.passed = run.0.passed.get();
    outcome.tests = run.0.tests.counts.get();
    outcome.met = run.0.tests.names.borrow().len();
    outcome.errors.extend(run.0.failed.borrow_mut().drain(..));
    // What failed keeps its packets; after success nobody comes for them.
    let keep = !outcome.errors.is_empty() || outcome.tests[1] > 0;
    outcome.kept = run.0.captures.end(0, keep);
    let listeners = run.0.listeners.take();
    if job.stays && outcome.errors.is_empty() && outcome.skipped.is_none() {
        outcome.listening = Listening(listeners);
    }
    outcome
}

/// What a script came to that did not fail.
enum Last {
    /// Its last line.
    Line,
    /// `exit`, with this status.
    Exit(u8),
    /// `skip` or `needs`, with this reason.
    Skipped(String),
}

/// The state that the calls of one run share.
pub(super) fn new_run(session: &Rc<Session>, arguments: Arguments, tests: Tests, in_order: bool) -> Run {
    Run(Rc::new(RunState {
        session: Rc::clone(session),
        arguments: RefCell::new(arguments),
        deferred: RefCell::default(),
        passed: Cell::new(0),
        failed: RefCell::default(),
        listeners: RefCell::default(),
        programs: api::programs::Programs::default(),
        unlooked: RefCell::default(),
        stdin: std::cell::OnceCell::new(),
        held: Cell::new(0),
        looking: Cell::new(false),
        missed: RefCell::default(),
        tables: RefCell::default(),
        tests,
        captures: api::measure::Captures::default(),
        in_order,
        patient: RefCell::default(),
        late: RefCell::default(),
        blamed: RefCell::default(),
    }))
}

/// One script, compiled.
pub(crate) struct Script {
    engine: Engine,
    ast: AST,
    name: String,
    resolver: Resolver,
    sources: Sources,
    /// Whether it catches errors, and so could tell when a command runs.
    catches: bool,
}

impl Script {
    fn load(path: &Path, sources: &Sources, run: &Run) -> Result<Self> {
        let name = path.display().to_string();
        let interrupt = run.0.session.exec().interrupt();
        let text = source::read(path, interrupt)?;
        sources.add(&name, &text);
        bundle::open(path, &text, sources)?;
        let root = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_path_buf)).unwrap_or_default();
        let resolver = Resolver::new(sources.clone(), root, interrupt.clone());
        let engine = new_engine(run, resolver.clone());
        let sources = sources.clone();
        let mut script = Self { ast: AST::empty(), engine, name, resolver, sources, catches: false };
        let compiled = script.engine.compile(source::without_shebang(&text));
        match compiled {
            Ok(mut ast) => {
                ast.set_source(script.name.as_str());
                let places = unlooked(&ast).into_iter().map(|at| (script.name.clone(), at));
                run.0.unlooked.borrow_mut().extend(places);
                script.catches = caught::remember(&ast);
                script.ast = ast;
                Ok(script)
            }
            Err(error) => Err(script.with_context(|context| from_parse(&error, &script.name, context))),
        }
    }

    /// Runs it and then what it deferred.
    fn evaluate(&self, run: &Run) -> Result<Last> {
        let mut scope = Scope::new();
        // Where nothing is caught, nobody can tell when a command runs.
        *run.0.patient.borrow_mut() = (!run.0.in_order && !self.catches).then(|| self.name.clone());
        let result = self.engine.run_ast_with_scope(&mut scope, &self.ast);
        run.0.patient.borrow_mut().take();
        let mut ended = self.ended(result, run);
        // What was put off came before what ended the script.
        match run.0.session.settle_all() {
            Err(error) if ended.is_ok() || error.parts().late => ended = Err(error),
            _ => {}
        }
        if matches!(ended, Ok(Last::Line)) {
            ended = self.ended(self.run_waiting(run), run);
        }
        while let Some(work) = { run.0.deferred.borrow_mut().pop() } {
            let result = work.call::<Dynamic>(&self.engine, &self.ast, ()).map(drop);
            let last = self.ended(result, run);
            // The first failure is the one that explains.
            if ended.is_ok() && !matches!(last, Ok(Last::Line)) {
                ended = last;
            }
        }
        run.0.session.settle_all().and(ended)
    }

    /// Runs the tests that wait for the end of the set-up, in the order that the seed decides.
    fn run_waiting(&self, run: &Run) -> api::Out<()> {
        let mut waiting: Vec<_> = run.0.tests.waiting.borrow_mut().drain(..).collect();
        let seed = run.0.tests.plan.borrow().seed.unwrap_or_default();
        crate::testing::schedule::shuffle(&mut waiting, seed);
        waiting.iter().try_for_each(|case| run_case(run, case, &Caller::Script(self)))
    }

    /// The tests in its text that were not met, among those that the plan wants.
    fn unmet(&self, run: &Run) -> Vec<(String, usize)> {
        let tests = &run.0.tests;
        let (met, plan) = (tests.names.borrow(), tests.plan.borrow());
        let text =
            diagnostic::Sources::text(&self.sources, &self.name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let wanted = |name: &str| {
            let only = plan.only.as_ref().is_none_or(|only| only.contains(name));
            only && !met.contains_key(name) && tests.filter.borrow().takes(&plan.file, name)
        };
        let mut waiting = tests.waiting.borrow().iter().map(Case::origin).collect::<Vec<_>>();
        waiting.extend(names::in_text(&text).into_iter().filter(|(name, _)| wanted(name)));
        waiting
    }

    /// Calls a function that the script has made.
    pub(crate) fn call(&self, work: &rhai::FnPtr) -> api::Out<Dynamic> {
        work.call(&self.engine, &self.ast, ())
    }

    /// What ended a call.
    pub(crate) fn explain(&self, error: Box<rhai::EvalAltResult>) -> Ended {
        self.with_context(|context| from_rhai(error, context))
    }

    /// The texts that its errors speak of.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// How a part of the run ended; what failed where a script cannot be told comes first.
    fn ended(&self, result: api::Out<()>, run: &Run) -> Result<Last> {
        if let Some(error) = run.0.late.borrow_mut().take() {
            return Err(error);
        }
        let Err(error) = result else { return Ok(Last::Line) };
        match self.explain(error) {
            Ended::Exit(status) => Ok(Last::Exit(u8::try_from(status).unwrap_or(0))),
            Ended::Skipped(reason) => Ok(Last::Skipped(reason)),
            Ended::Interrupted => Err(run.0.session.exec().interrupt().error()),
            Ended::Error(error) => Err(error),
        }
    }

    fn with_context<T>(&self, work: impl FnOnce(&Context<'_>) -> T) -> T {
        work(&Context {
            engine: &self.engine,
            main: &self.name,
            scripts: &[&self.ast],
            modules: &self.resolver.signatures(),
            importable: &Resolver::std_paths(),
            variables: &[],
            sources: &self.sources,
            words: &netwright_words,
        })
    }
}

/// The engine of a run.
pub(super) fn new_engine(run: &Run, resolver: Resolver) -> Engine {
    let mut engine = bare_engine(resolver.clone());
    caught::register(&mut engine, resolver);
    engine.set_default_tag(Dynamic::from(run.clone()));

    let interrupt = run.0.session.exec().interrupt().clone();
    let state = Rc::clone(&run.0);
    engine.on_progress(move |operations| {
        // A signal is one atomic load; the clock is looked at every 1024 operations.
        let stop = interrupt.signal().is_some() || (operations % 1024 == 0 && interrupt.is_set());
        (stop || state.late.borrow().is_some()).then_some(Dynamic::UNIT)
    });
    let state = Rc::clone(&run.0);
    engine.on_print(move |text| match state.session.settle_all() {
        Ok(()) => state.session.emit(&Event::Printed(text)),
        // Rhai's `print` cannot fail, but what was put off came before it.
        Err(error) => drop(state.late.borrow_mut().get_or_insert(error)),
    });
    let debugger = Rc::clone(&run.0.session);
    engine.on_debug(move |text, source, position| {
        let source = source.unwrap_or("script");
        debugger.emit(&Event::Warning(&format!("{source}:{position:?} {text}")));
    });
    engine
}

/// The engine without a run: it knows all that scripts can call, and can only parse. The one `Engine::new`.
pub(super) fn bare_engine(resolver: Resolver) -> Engine {
    let mut engine = Engine::new();
    // Explicit, because Rhai's own differ between debug and release builds (KNOWLEDGE.md).
    engine.set_max_call_levels(64);
    engine.set_max_expr_depths(256, 128);
    engine.set_max_string_size(64 << 20);
    engine.set_max_array_size(1 << 20);
    engine.set_max_map_size(1 << 20);
    engine.set_max_modules(256);
    // The optimiser drops a `try { import … }` whose alias is not used.
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_strict_variables(true);
    engine.disable_symbol("eval");
    engine.set_module_resolver(resolver);
    api::register(&mut engine);
    super::sides::register(&mut engine);
    engine
}
