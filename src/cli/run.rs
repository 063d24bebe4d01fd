//! `netwright run`: evaluate scripts, in a sandbox or on this machine; report; undo what failed on the machine.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;

use super::{Common, RunArgs, UserFiles, enter_sandbox_with, fail, on_big_stack, require_root, signal_code};
use super::{copy, document, inside};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::reexec;
use crate::exec::tools::Tools;
use crate::files;
use crate::op::{Tool, Where};
use crate::report::human::{self, Human};
use crate::sandbox::stay::Name;
use crate::sandbox::{self, Sandbox, Stay};
use crate::script::engine::{self, Job, Outcome};
use crate::script::usage::usage;
use crate::session::audit::Audit;
use crate::session::journal::{self, End, Header, Journal};
use crate::session::log::Log;
use crate::session::program;
use crate::session::{Event, Mode, Session, Undone, run_id};
use crate::snapshot::Copied;

/// Everything that a finished run leaves for its report.
pub(super) struct Finished {
    pub(super) session: Rc<Session>,
    pub(super) outcome: Outcome,
    pub(super) undone: Option<Undone>,
    pub(super) took: Duration,
    /// The copy that it began as.
    pub(super) copied: Option<Copied>,
}

/// Runs `netwright run`; the exit code.
pub(super) fn run(arguments: &RunArgs) -> u8 {
    let report = if arguments.json { Human::quiet(arguments.trace) } else { Human::new(arguments.trace) };
    let json = arguments.json;
    let mode = if arguments.host { Mode::Host } else { Mode::Sandbox };
    let (scripts, words) = arguments.common.split();
    if let Some(script) = scripts.first().filter(|_| words.iter().any(|word| word == "--help" || word == "-h")) {
        return match usage(script) {
            Ok(text) => {
                human::print(&text);
                0
            }
            Err(error) => fail(&error),
        };
    }
    if arguments.check {
        return super::drift::check(&arguments.common, json);
    }
    let on_host = OnHost { audit: arguments.audit.clone(), log: arguments.log.clone(), trial: arguments.trial };
    let copy = arguments.on.as_ref().map(copy::Source::of);
    let (keep, stay) = match inside::kept(&arguments.keep) {
        Ok((_, Some(_))) if copy.is_some() => {
            let message = "a copy of a machine does not stay";
            fail(&Error::new(Kind::InvalidArgument, message).hint("`--keep NAME` without `--on`"));
            return 2;
        }
        Ok(kept) => kept,
        Err(error) => {
            fail(&error);
            return 2;
        }
    };
    let manner = Manner { on_host, copy, keep, stay, inside: arguments.inside.clone(), ..Manner::new(mode) };
    start(&arguments.common, manner, report, move |finished| {
        let code = exit_code(finished);
        if json {
            document::print_run(&finished.session, &finished.outcome, finished.undone.as_ref(), code, finished.took);
        }
        show_errors(finished);
        code
    })
}

/// How a run begins.
#[derive(Debug)]
pub(super) struct Manner {
    /// Where it acts.
    pub(super) mode: Mode,
    /// Whether its commands run in the order of the script, one after the other.
    pub(super) in_order: bool,
    /// What only `--host` takes.
    pub(super) on_host: OnHost,
    /// The machine that the sandbox begins as a copy of.
    pub(super) copy: Option<copy::Source>,
    /// Where the script's programs may write to the machine's files, although it is a sandbox.
    pub(super) keep: Vec<PathBuf>,
    /// The name by which the sandbox stays when the scripts have succeeded.
    pub(super) stay: Option<Name>,
    /// The sandbox that was there before and is entered.
    pub(super) inside: Option<String>,
    /// Whether what the copy cannot tell is passed over, and nothing is said of it before the end.
    pub(super) rehearses: bool,
    /// A folder that netwright itself writes to at the end.
    pub(super) writes: Option<PathBuf>,
}

impl Manner {
    /// The usual one.
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            in_order: false,
            on_host: OnHost::default(),
            copy: None,
            keep: Vec::new(),
            stay: None,
            inside: None,
            rehearses: false,
            writes: None,
        }
    }
}

/// Enters the sandbox (or not), evaluates the scripts on a thread with a big stack, undoes if need be, and calls `after`.
pub(super) fn start(
    common: &Common,
    manner: Manner,
    report: Human,
    after: impl FnOnce(&Finished) -> u8 + Send + 'static,
) -> u8 {
    let Manner { mode, in_order, on_host, copy, keep: kept, stay, inside, rehearses, writes } = manner;
    let (scripts, words) = common.split();
    // A typing mistake is told before anything is done.
    if let Err(code) = common.check_words() {
        return code;
    }
    let tools = common.tools.clone();
    if let Err(error) = Tools::new(&tools) {
        fail(&error);
        return 2;
    }
    if let Err(error) = super::tools(&tools).and_then(|_| super::check_keep(&kept)) {
        return fail(&error);
    }
    let tool_paths = || tools.iter().map(|(_, path)| path.clone());
    let keep = || scripts.iter().cloned().chain(tool_paths()).chain(writes.clone()).collect::<Vec<_>>();
    let entered = match (mode, &copy) {
        (Mode::Host, _) => match require_root("--host") {
            Ok(()) => Ok((None, None)),
            Err(error) => Err(fail(&error.hint("or rehearse it without `--host`: in the sandbox no root is needed"))),
        },
        (Mode::Sandbox, None) => match &inside {
            Some(name) => inside::join(name).map(|sandbox| (Some(sandbox), None)),
            None => {
                let script = scripts.first().map(|script| script.display().to_string()).unwrap_or_default();
                let stay = stay.clone().map(|name| Stay { name, script });
                enter_sandbox_with(&keep(), None, stay.as_ref()).map(|sandbox| (Some(sandbox), None))
            }
        },
        (Mode::Sandbox, Some(source)) => {
            copy::enter(source, &tools, keep()).map(|(sandbox, machine)| (Some(sandbox), Some(machine)))
        }
    };
    let (sandbox, machine) = match entered {
        Ok(entered) => entered,
        Err(code) => return code,
    };
    raise_open_files();
    let files = sandbox.as_ref().map(|sandbox| UserFiles::of(sandbox, kept));
    let joined = inside.is_some();
    let interrupt = Interrupt::default();
    if let Err(error) = listen(&interrupt, sandbox) {
        return fail(&error);
    }
    if mode == Mode::Host {
        human::line(&format!("netwright acts on this machine: {}", hostname()));
    }
    let stays = stay.is_some();
    let job = Job { scripts, vars: common.vars.clone(), words, in_order, stays, ..Job::default() };
    let timeout = common.timeout;
    let command_timeout = common.command_timeout;
    let work = move || {
        let begun = Instant::now();
        if let Some(timeout) = timeout {
            interrupt.set_deadline(timeout);
        }
        let events = Box::new(move |event: &Event<'_>| report.event(event));
        let exec = executor(&tools, interrupt, command_timeout).map(|exec| match files {
            Some(files) => files.given_to(exec),
            None => exec,
        });
        let session = exec.and_then(|exec| match mode {
            Mode::Sandbox => match &machine {
                None if joined => Ok((Rc::new(inside::going_on(exec, events)), None)),
                None => in_sandbox(exec, events).map(|session| (session, None)),
                Some(machine) => {
                    let purpose = if rehearses { copy::Purpose::Plan } else { copy::Purpose::Run };
                    copy::session(exec, events, machine, purpose).map(|(session, copied)| (session, Some(copied)))
                }
            },
            Mode::Host => on_machine(exec, events, &job, &on_host).map(|session| (session, None)),
        });
        match session {
            Err(error) => fail(&error),
            Ok((session, copied)) => {
                if rehearses {
                    session.pass_over();
                }
                // It starts while the script is read.
                session.exec().warm_up(&Where::Host);
                let mut outcome = engine::run(&job, &session);
                let failed = !outcome.errors.is_empty() || outcome.skipped.is_some();
                let stay = stay.filter(|_| !failed);
                let undone = match &stay {
                    Some(_) => None,
                    None => finish(&session, failed, &mut outcome.errors, on_host.trial),
                };
                session.release_claims();
                let finished = Finished { session, outcome, undone, took: begun.elapsed(), copied };
                let code = after(&finished);
                match stay {
                    Some(name) => inside::remain(&finished.session, &name, code),
                    None => code,
                }
            }
        }
    };
    on_big_stack(work)
}

/// The variable that tells `__watch` which run has started it: nobody else calls it.
pub(super) const WATCHES: &str = "NETWRIGHT_WATCH";

/// What only `--host` takes.
#[derive(Clone, Debug, Default)]
pub(super) struct OnHost {
    /// The audit log.
    audit: Option<PathBuf>,
    /// Where the log for people goes.
    log: Option<OsString>,
    /// How long the run may wait for `netwright confirm`.
    trial: Option<Duration>,
}

/// What runs the commands of this run.
pub(super) fn executor(
    tools: &[(String, PathBuf)],
    interrupt: Interrupt,
    command_timeout: Option<Duration>,
) -> Result<Exec> {
    let exec = Exec::new(Tools::new(tools)?, interrupt)?;
    Ok(match command_timeout {
        Some(limit) => exec.with_deadline(limit),
        None => exec,
    })
}

/// The session of a run in the sandbox, with the uplink.
pub(super) fn in_sandbox(exec: Exec, events: Box<dyn Fn(&Event<'_>)>) -> Result<Rc<Session>> {
    let internet = sandbox::build_uplink(|argv, stdin, netns| exec.run_setup(argv, stdin, netns))?;
    // The sandbox has a sysfs of its own. A program that is not iproute2 may well end with 0.
    if !std::path::Path::new("/sys/class/net/eth0").exists() {
        let ip = exec.tools().path(Tool::Ip)?;
        let message = "the uplink of the sandbox cannot be built: `ip` reports success, but there is no `eth0`";
        return Err(Error::new(Kind::ToolOutput, message).hint(format!(
            "is `{}` iproute2? `{} -V` says so",
            ip.display(),
            ip.display()
        )));
    }
    let session = Rc::new(Session::new(exec, Mode::Sandbox, events));
    session.add_hidden(Where::Path(internet.to_path_buf()));
    Ok(session)
}

/// How many runs may have begun in the same second with the same process number.
const SAME_ID_MAX: usize = 1000;

/// The session of a run on this machine, with its journal.
pub(super) fn on_machine(
    exec: Exec,
    events: Box<dyn Fn(&Event<'_>)>,
    job: &Job,
    on_host: &OnHost,
) -> Result<Rc<Session>> {
    let script =
        job.scripts.first().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).unwrap_or_default();
    let sha256 = hash(&script);
    let user = super::who::caller();
    let audit = on_host.audit.as_ref().map(|path| Audit::open(path, &user, &sha256)).transpose()?;
    let log = on_host.log.as_ref().map(|to| Log::open(to, &user)).transpose()?;
    let mut header = Header {
        journal: journal::version(),
        id: run_id(),
        boot: journal::boot_id(),
        script: script.display().to_string(),
        sha256,
        user: user.clone(),
        pid: std::process::id(),
        pid_began: journal::began(std::process::id()),
        started: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        began_ms: journal::boot_ms(),
        netns: exec.netns_stamp(&Where::Host)?,
    };
    let base = header.id.clone();
    let mut others = 1;
    let journal = loop {
        match Journal::create(&header) {
            // The clock was set back, or another machine that shares `/run` counts its processes as we do.
            Err(error) if error.kind() == Kind::AlreadyExists && others < SAME_ID_MAX => {
                others += 1;
                header.id = format!("{base}-{others}");
            }
            other => break other?,
        }
    };
    let id = header.id;
    if let Some(Err(error)) = log.as_ref().map(|log| log.line(&id, &format!("{} begins, by {user}", header.script))) {
        journal.remove();
        return Err(error);
    }
    if on_host.trial.is_some()
        && let Err(error) = reexec::detached(&["__watch".into(), id.clone().into()], WATCHES, &id)
    {
        // Nothing was done yet.
        journal.remove();
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let kind = if missing { Kind::ToolMissing } else { Kind::CommandFailed };
        let error = Error::new(kind, format!("cannot start the watcher of `--try`: {error}"));
        return Err(if missing { error.hint("install it: apt-get install util-linux") } else { error });
    }
    Ok(Rc::new(Session::on_host(exec, id, journal, audit, log, events)))
}

/// SHA-256 of a script in hex; of nothing when it cannot be read, which the run will say itself, or only once.
pub(super) fn hash(script: &Path) -> String {
    crate::text::sha256(&files::read_ordinary(script).unwrap_or_default())
}

/// How many open files the kernel's table of them has room for from the start: a warm process has three pipes and a claim one file.
const OPEN_FILES: i32 = 4096;

/// Makes room for open files: a thousand namespaces need more than the usual 1024. To be called while this process has one thread: to make the
/// table larger later, in one with several, the kernel waits for every processor each time it doubles (`expand_fdtable`, 8 ms).
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let last = limit.maximum.and_then(|most| i32::try_from(most).ok()).unwrap_or(OPEN_FILES).min(OPEN_FILES) - 1;
    // The copy is closed at once; the room stays.
    let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), last);
}

/// Ends what the run started. On the machine: keeps what a run that succeeded made, and undoes one that failed or was skipped half way. When it
/// cannot be written down that the run is kept, that is one more error, and the run is undone.
pub(super) fn finish(
    session: &Session,
    failed: bool,
    errors: &mut Vec<Error>,
    trial: Option<Duration>,
) -> Option<Undone> {
    if session.mode() == Mode::Sandbox {
        session.stop_background();
        return None;
    }
    if !failed {
        session.stop_background();
        match keep(session, trial) {
            Ok(()) => {
                tell_changes(session);
                let state = trial.map_or("ended", |_| "waits to be confirmed");
                log(session, &format!("{state}: {} changed, {} already so", session.changed(), session.unchanged()));
                return None;
            }
            // Whoever cleans up later could not know that it is to be kept: it did not succeed.
            Err(error) => errors.push(error),
        }
    }
    // Neither the signal that ended the script nor another ends its undoing.
    session.exec().interrupt().hold();
    let undone = session.undo_all();
    log(session, &format!("failed, undone {}", undone.summary()));
    if let Some(mut journal) = session.take_journal() {
        if undone.left.is_empty() {
            journal.remove();
        } else {
            let _ = journal.end(End::Left);
            human::line(&format!(
                "not everything could be undone: `netwright gc` tries again, `netwright ps` shows it ({})",
                session.id()
            ));
        }
    }
    Some(undone)
}

/// Writes into the log of a run how it ended. What is done stays done when that is lost.
fn log(session: &Session, what: &str) {
    if let Err(error) = session.tell(what) {
        human::line(&error.to_string());
    }
}

/// How many of its changes a run on the machine names.
const CHANGES_MAX: usize = 20;

/// Says what the run changed, a line for each, and how much was so already.
fn tell_changes(session: &Session) {
    let log = session.log();
    // A mark says only whose a link is.
    let is_alias = |one: &crate::op::link::Setting| matches!(one, crate::op::link::Setting::Alias(_));
    let is_mark = |op: &crate::op::Op| match op.fact() {
        Some(crate::op::Fact::Settings(set)) => set.to.first().is_some_and(is_alias),
        _ => false,
    };
    let acted = log.iter().filter(|record| record.succeeded() && !is_mark(&record.op));
    let (back, changes): (Vec<_>, Vec<_>) = acted.partition(|record| record.is_undone());
    let back = match back.len() {
        0 => String::new(),
        some => format!(", {} taken back", crate::text::plural(some, "command")),
    };
    human::line(&format!("{} changed, {} already so{back}", session.changed(), session.unchanged()));
    for record in changes.iter().take(CHANGES_MAX) {
        let place = record.op.place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
        human::line(&format!("  {place}{}", record.op.command.line().replace('\n', "\\n")));
    }
    if changes.len() > CHANGES_MAX {
        human::line(&format!("  … and {} more commands (`--trace` shows all)", changes.len() - CHANGES_MAX));
    }
    let lasting = session.not_undone();
    if !lasting.is_empty() {
        human::line(&format!("  {}", program::told(&lasting, "will not be undone")));
    }
}

/// Writes down that what the run made stays, for good or until it is confirmed.
fn keep(session: &Session, trial: Option<Duration>) -> Result<()> {
    if session.log().iter().all(crate::session::Record::is_undone) {
        if let Some(journal) = session.take_journal() {
            journal.remove();
        }
        return Ok(());
    }
    let until =
        |limit: Duration| journal::boot_ms().saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX / 2));
    let mut kept = KEPT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    session.end_journal(trial.map_or(End::Kept, |limit| End::Trial(until(limit))))?;
    *kept = true;
    drop(kept);
    drop(session.take_journal());
    match trial {
        None => human::line(&format!("kept: `netwright down {}` undoes it", session.id())),
        Some(limit) => human::line(&format!(
            "undone in {} unless you say: netwright confirm {}",
            humantime::format_duration(limit),
            session.id()
        )),
    }
    Ok(())
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
        None if finished.outcome.tests[1] > 0 => 1,
        None => finished.outcome.exit.unwrap_or(0),
    }
}

/// Prints what went wrong, and what was undone.
pub(super) fn show_errors(finished: &Finished) {
    let mut errors = finished.outcome.errors.clone();
    if let Some(reason) = &finished.outcome.skipped {
        human::line(&format!("skipped: {reason}"));
        if let (true, Some(undone)) = (errors.is_empty(), finished.undone.as_ref().filter(|undone| undone.steps > 0)) {
            human::line(&format!("undone: {}", undone.summary()));
            for note in &undone.notes {
                human::line(&format!("note: {note}"));
            }
            for (line, why) in &undone.left {
                human::line(&format!("left: {line} ({why})"));
            }
        }
    }
    if let (Some(first), Some(undone)) = (errors.first_mut(), &finished.undone) {
        first.parts_mut().notes.push(("undone".into(), undone.summary()));
        for note in &undone.notes {
            first.parts_mut().notes.push(("note".into(), note.clone()));
        }
        for (line, why) in &undone.left {
            first.parts_mut().notes.push(("left".into(), format!("{line} ({why})")));
        }
    }
    for error in &errors {
        human::error(error, finished.outcome.sources());
    }
    for file in &finished.outcome.kept {
        human::line(&format!("packets: {file}"));
    }
    let [passed, failed, skipped] = finished.outcome.tests;
    if passed + failed + skipped > 0 {
        human::line(&format!("tests: {passed} passed, {failed} failed, {skipped} skipped"));
    }
    if finished.outcome.passed > 0 {
        let failed = errors.iter().filter(|error| error.kind() == Kind::CheckFailed).count();
        human::line(&format!("checks: {} held, {failed} failed", finished.outcome.passed));
    }
}

/// The signal that ended the run; the interrupt forgets it before undoing.
static LAST_SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Whether it is written down that the run is kept: it has succeeded, and no signal makes it otherwise.
static KEPT: Mutex<bool> = Mutex::new(false);

/// First signal: the run ends, with undoing. Second: the process ends at once.
pub(super) fn listen(interrupt: &Interrupt, sandbox: Option<Sandbox>) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let cell = interrupt.cell();
    let listen = move || {
        for origin in signals.forever() {
            if sandbox.as_ref().is_some_and(|sandbox| !sandbox.counts(&origin)) {
                continue;
            }
            // Held until the process is gone when this is the second signal: nobody then writes down that the run is kept.
            let kept = KEPT.lock();
            if kept.as_ref().is_ok_and(|kept| **kept) {
                continue;
            }
            if LAST_SIGNAL.swap(origin.signal, Ordering::SeqCst) != 0 {
                let rest = if sandbox.is_some() { "" } else { "; `netwright gc` cleans up" };
                human::line(&format!("interrupted again: leaving at once{rest}"));
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
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
