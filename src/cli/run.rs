//! `netwright run`: evaluate scripts, in a sandbox or on this machine; report; undo what failed on the machine.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;

use super::{Common, RunArgs, fail, require_root, signal_code};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::op::Where;
use crate::report::human::{self, Human};
use crate::report::json;
use crate::sandbox::{self, Entered, Sandbox};
use crate::script::engine::{self, Job, Outcome, STACK_BYTES};
use crate::session::{Event, Mode, Session, Undone};

/// Everything that a finished run leaves for its report.
pub(super) struct Finished {
    pub(super) session: Rc<Session>,
    pub(super) outcome: Outcome,
    pub(super) undone: Option<Undone>,
    pub(super) took: Duration,
}

/// Runs `netwright run`; the exit code.
pub(super) fn run(arguments: &RunArgs) -> u8 {
    let report = if arguments.json { Human::quiet(arguments.trace) } else { Human::new(arguments.trace) };
    let json = arguments.json;
    let mode = if arguments.host { Mode::Host } else { Mode::Sandbox };
    start(&arguments.common, mode, report, move |finished| {
        let code = exit_code(finished);
        if json {
            json::print_run(&finished.session, &finished.outcome, finished.undone.as_ref(), code, finished.took);
        }
        show_errors(finished);
        code
    })
}

/// Enters the sandbox (or not), evaluates the scripts on a thread with a big stack, undoes if need be, and calls `after`.
pub(super) fn start(
    common: &Common,
    mode: Mode,
    report: Human,
    after: impl FnOnce(&Finished) -> u8 + Send + 'static,
) -> u8 {
    let (scripts, words) = common.split();
    let tools = common.tools.clone();
    if let Err(error) = Tools::new(&tools) {
        fail(&error);
        return 2;
    }
    let sandbox = match mode {
        Mode::Host => match require_root() {
            Ok(()) => None,
            Err(error) => return fail(&error),
        },
        Mode::Sandbox => {
            let keep: Vec<_> = scripts.iter().cloned().chain(tools.iter().map(|(_, path)| path.clone())).collect();
            match sandbox::enter_or_supervise(&keep) {
                Ok(Entered::Inside(sandbox)) => Some(sandbox),
                Ok(Entered::Ended(ended)) => {
                    if let Some(message) = ended.message() {
                        human::line(&message);
                    }
                    return ended.code;
                }
                Err(error) => return fail(&error),
            }
        }
    };
    let interrupt = Interrupt::default();
    if let Err(error) = listen(&interrupt, sandbox) {
        return fail(&error);
    }
    if mode == Mode::Host {
        human::line(&format!("netwright acts on this machine: {}", hostname()));
    }
    let job = Job { scripts, vars: common.vars.clone(), words };
    let timeout = common.timeout;
    let work = move || {
        let begun = Instant::now();
        if let Some(timeout) = timeout {
            interrupt.set_deadline(timeout);
        }
        match session(&tools, interrupt, mode, report) {
            Err(error) => fail(&error),
            Ok(session) => {
                let outcome = engine::run(&job, &session);
                let undone = finish(&session, &outcome);
                after(&Finished { session, outcome, undone, took: begun.elapsed() })
            }
        }
    };
    let thread = std::thread::Builder::new().name("script".into()).stack_size(STACK_BYTES).spawn(work);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => {
            fail(&Error::new(Kind::Internal, "the evaluating thread panicked").hint("please report this as a bug"))
        }
        Err(error) => fail(&Error::new(Kind::Busy, format!("cannot start a thread: {error}"))),
    }
}

/// The session of a run, with the uplink when it is in a sandbox.
fn session(tools: &[(String, PathBuf)], interrupt: Interrupt, mode: Mode, report: Human) -> Result<Rc<Session>> {
    let exec = Exec::new(Tools::new(tools)?, interrupt)?;
    let internet = match mode {
        Mode::Host => None,
        Mode::Sandbox => Some(sandbox::build_uplink(|argv, stdin, netns| exec.run_setup(argv, stdin, netns))?),
    };
    let session = Rc::new(Session::new(exec, mode, Box::new(move |event: &Event<'_>| report.event(event))));
    if let Some(internet) = internet {
        session.add_hidden(Where::Path(internet.to_path_buf()));
    }
    Ok(session)
}

/// Ends what the run started; on the machine, undoes a run that failed.
fn finish(session: &Session, outcome: &Outcome) -> Option<Undone> {
    if session.mode() == Mode::Sandbox || outcome.errors.is_empty() {
        session.stop_background();
        return None;
    }
    // The signal that ended the script must not end its undoing.
    session.exec().interrupt().reset();
    Some(session.undo_all())
}

/// The exit code of a finished run.
pub(super) fn exit_code(finished: &Finished) -> u8 {
    if finished.undone.as_ref().is_some_and(|undone| !undone.left.is_empty()) {
        return 5;
    }
    match finished.outcome.errors.first() {
        Some(error) if error.kind() == Kind::Interrupted => match LAST_SIGNAL.load(Ordering::SeqCst) {
            0 => signal_code(SIGINT),
            signal => signal_code(signal),
        },
        Some(error) => error.kind().exit_code(),
        None => finished.outcome.exit.unwrap_or(0),
    }
}

/// Prints what went wrong, and what was undone.
pub(super) fn show_errors(finished: &Finished) {
    let mut errors = finished.outcome.errors.clone();
    if let (Some(first), Some(undone)) = (errors.first_mut(), &finished.undone) {
        first.parts_mut().notes.push(("undone".into(), undone.summary()));
        for (line, why) in &undone.left {
            first.parts_mut().notes.push(("left".into(), format!("{line} ({why})")));
        }
    }
    for error in &errors {
        human::error(error, finished.outcome.sources());
    }
    if finished.outcome.passed > 0 {
        let failed = errors.iter().filter(|error| error.kind() == Kind::CheckFailed).count();
        human::line(&format!("checks: {} held, {failed} failed", finished.outcome.passed));
    }
}

/// The signal that ended the run; the interrupt forgets it before undoing.
static LAST_SIGNAL: AtomicI32 = AtomicI32::new(0);

/// First signal: the run ends, with undoing. Second: the process ends at once.
fn listen(interrupt: &Interrupt, sandbox: Option<Sandbox>) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let cell = interrupt.cell();
    let listen = move || {
        for origin in signals.forever() {
            if sandbox.as_ref().is_some_and(|sandbox| !sandbox.counts(&origin)) {
                continue;
            }
            if LAST_SIGNAL.swap(origin.signal, Ordering::SeqCst) != 0 {
                human::line("interrupted again: leaving at once");
                std::process::exit(signal_code(origin.signal).into());
            }
            cell.store(origin.signal, Ordering::SeqCst);
            if std::io::stderr().is_terminal() {
                human::line("ending the run … (once more leaves at once)");
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop).map_err(cannot)
}

/// The name of this machine, for the loud line of `--host`.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
