//! `netwright __test FILE`: what the runner starts for each file. Its plan comes on standard input, its events go to standard output.

use std::cell::{OnceCell, RefCell};
use std::io::Read;
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use clap::Args;

use super::{UserFiles, fail, on_big_stack, parse_tool, run};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::exec::{Exec, child, processes};
use crate::op::Where;
use crate::report::stream;
use crate::sandbox::stay::{self, Name};
use crate::sandbox::{self, Entered};
use crate::script::engine::{self, Job, Outcome};
use crate::session::noted::Noted;
use crate::session::program::Effect;
use crate::session::{Event, Mode, Session};
use crate::testing::event::{self, Failure, Test};
use crate::testing::{self, Plan};

/// What stands for a file's own checks and set-up among its tests.
const TOP_LEVEL: &str = "(top level)";

/// `netwright __test`
#[derive(Args, Debug)]
pub(super) struct ChildArgs {
    #[arg(long = "var")]
    vars: Vec<String>,
    #[arg(long = "tool", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
    #[arg(long = "keep")]
    keep: Vec<PathBuf>,
    /// A folder that netwright itself writes to.
    #[arg(long)]
    writes: Option<PathBuf>,
    #[arg(long = "in")]
    inside: Option<String>,
    file: PathBuf,
}

/// Runs one file; the exit code.
pub(super) fn child(arguments: &ChildArgs) -> u8 {
    let supervisor = std::env::var_os(sandbox::ENV).is_none();
    if supervisor {
        child::end_with_parent();
    }
    let tools = arguments.tools.iter().map(|(_, path)| path.clone());
    let keep: Vec<_> = tools.chain([arguments.file.clone()]).chain(arguments.writes.clone()).collect();
    let entered = match &arguments.inside {
        Some(name) => Name::parse(name).and_then(|name| stay::join(&name)),
        None => sandbox::enter_or_supervise(&keep),
    };
    let sandbox = match entered {
        Ok(Entered::Inside(sandbox)) => sandbox,
        Ok(Entered::Ended(ended)) => return ended.code,
        Err(error) => return fail(&error),
    };
    let mut text = String::new();
    let plan = std::io::stdin().read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Plan>(&text).ok());
    let Some(plan) = plan else {
        return fail(
            &Error::new(Kind::InvalidArgument, "`__test` is for netwright itself").hint("use `netwright test`"),
        );
    };
    run::raise_open_files();
    let files = UserFiles::of(&sandbox, arguments.keep.clone());
    let joined = arguments.inside.is_some();
    let interrupt = Interrupt::default();
    if let Err(error) = run::listen(&interrupt, Some(sandbox)) {
        return fail(&error);
    }
    if let Some(timeout) = plan.timeout {
        interrupt.set_deadline(timeout);
    }
    let (tools, vars, file) = (arguments.tools.clone(), arguments.vars.clone(), arguments.file.clone());
    let job = Job { scripts: vec![file], vars, words: Vec::new(), tests: plan, ..Job::default() };
    let work = move || match session(&tools, files, joined, interrupt, &job.tests) {
        Err(error) => fail(&error),
        Ok(session) => {
            let begun = Instant::now();
            let outcome = engine::run(&job, &session);
            finish(&job, &session, &outcome, begun)
        }
    };
    on_big_stack(work)
}

/// A session in the sandbox whose events go to the runner.
fn session(
    tools: &[(String, PathBuf)],
    files: UserFiles,
    joined: bool,
    interrupt: Interrupt,
    plan: &Plan,
) -> Result<Rc<Session>> {
    let exec = files.given_to(Exec::new(Tools::new(tools)?, interrupt)?);
    if !joined {
        sandbox::build_uplink(|argv, stdin, netns| exec.run_setup(argv, stdin, netns))?;
    }
    let (file, shell) = (plan.file.clone(), plan.shell);
    let own: Rc<OnceCell<Weak<Session>>> = Rc::default();
    let known = Rc::clone(&own);
    let events = move |event: &Event<'_>| {
        let session = known.get().and_then(Weak::upgrade).filter(|_| shell);
        tell(&file, session.as_deref(), event);
    };
    let session = Rc::new(Session::new(exec, Mode::Sandbox, Box::new(events)));
    let _ = own.set(Rc::downgrade(&session));
    session.add_hidden(Where::Path(sandbox::INTERNET.into()));
    session.set_mutant(plan.mutant.clone());
    if plan.coverage {
        session.watch_coverage();
    }
    Ok(session)
}

/// `shell`: the session in whose sandbox a shell is opened after a test that fails.
fn tell(file: &str, shell: Option<&Session>, event: &Event<'_>) {
    let file = file.to_owned();
    match event {
        Event::TestListed { name, place } => {
            stream::print(&event::Event::Listed {
                file,
                test: (*name).to_owned(),
                line: place.map_or(0, |at| at.line),
            });
        }
        Event::TestBegan { name, place } => {
            stream::print(&event::Event::TestBegan {
                file,
                test: (*name).to_owned(),
                line: place.map_or(0, |at| at.line),
            });
        }
        Event::TestEnded(ended) => {
            stream::print(&event::Event::TestEnded(Box::new(Test::new(&file, ended))));
            if let Some(session) = shell.filter(|_| ended.outcome().is_bad()) {
                open_shell(session, &file, ended);
            }
        }
        Event::Broke(failed) => {
            stream::print(&event::Event::Broke { file, failed: failed.map(str::to_owned) });
        }
        Event::Printed(text) => stream::print(&event::Event::Printed { file, text: (*text).to_owned() }),
        Event::Warning(text) => stream::print(&event::Event::Warned { file, text: (*text).to_owned() }),
        _ => {}
    }
}

/// What the file made that could be broken, and the programs of which nobody knows what they made.
fn recorded(session: &Session, file: &str) -> event::Event {
    let breakables = session.breakables().into_iter().map(|one| event::Breakable {
        mutant: one.mutant,
        what: one.breakage.what,
        would: one.breakage.would,
        commands: one.breakage.commands.iter().map(crate::op::Command::line).collect(),
        line: one.place.as_ref().map_or(0, |place| place.line),
        source: one.place.and_then(|place| place.source),
    });
    let programs = session.noted().into_iter().filter_map(|(_, noted)| match noted {
        Noted::Program { effect: Effect::Nothing, .. } => None,
        Noted::Program { words, place, .. } => {
            let line = crate::op::quote(&crate::op::secret::hide(&words, crate::op::secret::Of::User));
            let line = line.lines().next().unwrap_or_default().to_owned();
            Some(place.map_or_else(|| line.clone(), |place| format!("line {}: {line}", place.line)))
        }
        _ => None,
    });
    event::Event::Recorded { file: file.to_owned(), breakables: breakables.collect(), programs: programs.collect() }
}

fn open_shell(session: &Session, file: &str, ended: &testing::Ended<'_>) {
    let text = format!("a shell in the sandbox of {file}: {}\n`exit` goes on with the next test", ended.name);
    stream::to_terminal(&text);
    if let Err(error) = session.exec().shell() {
        stream::print(&event::Event::Warned { file: file.to_owned(), text: error.to_string() });
    }
}

/// Tells how the file ended: the tests that never ran, and what its own top level came to.
fn finish(job: &Job, session: &Session, outcome: &Outcome, begun: Instant) -> u8 {
    let plan = &job.tests;
    let failures: Vec<Failure> = outcome.errors.iter().map(|error| Failure::new(error, outcome.sources())).collect();
    let bad = RefCell::new(outcome.tests[1] > 0);
    let end = |name: &str, line: usize, errors: &[Error], skipped: Option<&str>| {
        let place = crate::error::Place { source: Some(plan.file.clone()), line, column: 0 };
        let took = if name == TOP_LEVEL { begun.elapsed() } else { Duration::ZERO };
        let sources = outcome.sources();
        let place = Some(&place);
        let ended = testing::Ended { name, place, errors, skipped, took, left: &[], picture: None, svg: None, sources };
        *bad.borrow_mut() |= ended.outcome().is_bad();
        stream::print(&event::Event::TestEnded(Box::new(Test::new(&plan.file, &ended))));
    };
    let unreadable = outcome.unreadable && !failures.is_empty();
    let whole = plan.filter.is_none() && plan.only.as_ref().is_none_or(|only| only.contains(TOP_LEVEL));
    if let (false, Some(first)) = (unreadable, outcome.errors.first()) {
        let line = first.parts().place.as_ref().map_or(0, |place| place.line);
        if outcome.unmet.is_empty() || outcome.errors.iter().any(|error| error.kind() == Kind::CheckFailed) {
            end(TOP_LEVEL, line, &outcome.errors, None);
        }
        for (name, line) in &outcome.unmet {
            let mut error = first.clone();
            error.parts_mut().notes.insert(0, ("set-up".into(), "it failed before this test".into()));
            end(name, *line, std::slice::from_ref(&error), None);
        }
    } else if let Some(reason) = &outcome.skipped {
        if outcome.unmet.is_empty() && whole {
            end(TOP_LEVEL, 0, &[], Some(reason));
        }
        for (name, line) in &outcome.unmet {
            end(name, *line, &[], Some(reason));
        }
    } else if !unreadable && outcome.met == 0 && outcome.passed > 0 && whole && !plan.list {
        // A file of checks only is one test.
        end(TOP_LEVEL, 0, &[], None);
    }
    if plan.coverage {
        let items = session.covered().into_iter().map(|one| event::Covered {
            kind: one.kind.to_owned(),
            what: one.what,
            touched: one.touched.as_ref().ok().copied(),
            reason: one.touched.err(),
            line: one.place.as_ref().map_or(0, |place| place.line),
            source: one.place.and_then(|place| place.source),
        });
        stream::print(&event::Event::Covered { file: plan.file.clone(), items: items.collect() });
    }
    if plan.record {
        stream::print(&recorded(session, &plan.file));
    }
    let stuck = session.stop_background();
    let mut left: Vec<String> = stuck.into_iter().map(|line| format!("`{line}` does not end")).collect();
    if plan.leaks && !plan.list {
        left.extend(processes::others().into_iter().map(|other| format!("`{}` still runs", other.line)));
    }
    let stay = plan.keep && *bad.borrow();
    stream::print(&event::Event::FileEnded(Box::new(event::File {
        file: plan.file.clone(),
        attempt: 1,
        took_ms: begun.elapsed().as_secs_f64() * 1e3,
        broken: failures.into_iter().next().filter(|_| unreadable),
        exit: if unreadable { outcome.errors.first().map_or(3, |error| error.kind().exit_code()) } else { 0 },
        skipped: outcome.skipped.clone(),
        left,
    })));
    if stay {
        stream::print(&event::Event::Kept { file: plan.file.clone(), pid: 0, enter: String::new() });
        let interrupt = session.exec().interrupt();
        interrupt.reset();
        while interrupt.sleep(Duration::from_secs(3600)).is_ok() {}
    }
    0
}
