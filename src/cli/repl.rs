//! `netwright repl`: a conversation with a sandbox, or with this machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::Args;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;

use super::history::{self, History};
use super::repl_line::Assistant;
use super::run::{OnHost, WATCHES, finish, hostname, in_sandbox, on_machine};
use super::{UserFiles, enter_sandbox, fail, on_big_stack, parse_tool, require_root, signal_code};
use crate::draw::Topology;
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::child::shell_of_user;
use crate::exec::interrupt::Interrupt;
use crate::exec::reexec;
use crate::exec::tools::Tools;
use crate::files;
use crate::op::Where;
use crate::op::firewall::tool;
use crate::op::route::Family;
use crate::report::human::{self, Human};
use crate::sandbox::Sandbox;
use crate::script::engine::Job;
use crate::script::repl::{Answer, Console};
use crate::session::{Event, Mode, Session};

const HELP: &str = "\
Type what a script would say; a value without `;` behind it is shown. Tab completes, the arrow keys find what was typed before.

  :help [NAME]      this, or what a function or property does: :help link.addr
  :show             draw the network as it is now
  :diff             what is different from the start
  :why FROM TO      what stops a packet; :show then has it in red
  :undo [N]         take back the last input that changed something, or the last N
  :load FILE        run a script as if it had been typed
  :reset            take back all of it, and forget variables, functions and imports
  :trace on|off     print each command that runs
  :save FILE        write the session as a script; again: over what was saved before
  :shell [NS]       a shell in a namespace
  :quit             end; so does Ctrl-D";

/// `netwright repl`
#[derive(Args, Debug)]
#[command(after_help = "\
Input goes on until it is complete; an empty line ends it early.
:help lists the commands, `netwright doc tour` shows what to type.

Examples:
  netwright repl                 a sandbox: this machine is not touched
  netwright repl scripts/02-container-network.rhai
  sudo netwright repl --host     this machine; :undo takes back what was done
  netwright repl < lines         without a terminal: a line after the other")]
pub(super) struct ReplArgs {
    /// Act on this machine instead of a sandbox
    #[arg(long)]
    host: bool,
    /// Print each command with its time
    #[arg(long)]
    trace: bool,
    /// Programs may write there; all else they write goes with the sandbox
    #[arg(long, value_name = "PATH", conflicts_with = "host")]
    keep: Vec<PathBuf>,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
    /// A script to run first
    #[arg(value_name = "SCRIPT")]
    script: Option<PathBuf>,
}

/// Runs `netwright repl`; the exit code.
pub(super) fn repl(arguments: &ReplArgs) -> u8 {
    if let Err(error) = Tools::new(&arguments.tools) {
        fail(&error);
        return 2;
    }
    if let Err(error) = super::tools(&arguments.tools).and_then(|_| super::check_keep(&arguments.keep)) {
        return fail(&error);
    }
    let mode = if arguments.host { Mode::Host } else { Mode::Sandbox };
    let sandbox = match mode {
        Mode::Host => match require_root("--host") {
            Ok(()) => None,
            Err(error) => return fail(&error),
        },
        Mode::Sandbox => {
            let mut keep: Vec<PathBuf> = arguments.tools.iter().map(|(_, path)| path.clone()).collect();
            keep.extend(arguments.script.clone());
            match enter_sandbox(&keep) {
                Ok(sandbox) => Some(sandbox),
                Err(code) => return code,
            }
        }
    };
    super::run::raise_open_files();
    let files = sandbox.as_ref().map(|sandbox| UserFiles::of(sandbox, arguments.keep.clone()));
    let (interrupt, busy) = (Interrupt::default(), Arc::new(AtomicBool::new(false)));
    let id = Arc::new(OnceLock::new());
    if let Err(error) = listen(&interrupt, &busy, sandbox, &id) {
        return fail(&error);
    }
    let (tools, script, trace) = (arguments.tools.clone(), arguments.script.clone(), arguments.trace);
    let work = move || match Talk::new(&tools, interrupt, files, trace, script.as_deref(), busy) {
        Ok(mut talk) => {
            if talk.session.mode() == Mode::Host {
                let _ = id.set(talk.session.id().to_owned());
            }
            talk.go(script.as_deref())
        }
        Err(error) => fail(&error),
    };
    on_big_stack(work)
}

/// Ctrl-C ends the running call and nothing else; TERM and HUP end the session, with the terminal as it was. What was done on this machine, by the
/// run `id`, is undone by another process: the one that waits for a line cannot be woken.
fn listen(
    interrupt: &Interrupt,
    busy: &Arc<AtomicBool>,
    sandbox: Option<Sandbox>,
    id: &Arc<OnceLock<String>>,
) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Kind::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let (cell, busy, id) = (interrupt.cell(), Arc::clone(busy), Arc::clone(id));
    let terminal = rustix::termios::tcgetattr(std::io::stdin()).ok();
    let listen = move || {
        for origin in signals.forever() {
            if sandbox.as_ref().is_some_and(|sandbox| !sandbox.counts(&origin)) {
                continue;
            }
            if busy.load(Ordering::SeqCst) {
                cell.store(origin.signal, Ordering::SeqCst);
            } else if origin.signal != SIGINT {
                if let Some(terminal) = &terminal {
                    let now = rustix::termios::OptionalActions::Now;
                    let _ = rustix::termios::tcsetattr(std::io::stdin(), now, terminal);
                }
                human::line(&format!("\nended by a signal{}", undo_later(id.get())));
                std::process::exit(signal_code(origin.signal).into());
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop).map_err(cannot)
}

/// Starts what undoes a run as soon as this process has ended; what is said of it.
fn undo_later(id: Option<&String>) -> &'static str {
    let Some(id) = id else { return "" };
    match reexec::detached_at_the_end(&["__watch".into(), id.into()], WATCHES, id) {
        Ok(()) => "; what was done on this machine is undone now",
        Err(_) => "; `netwright gc` undoes what was done on this machine",
    }
}

/// How the conversation goes on.
enum Next {
    On,
    End(u8),
}

/// A conversation with a person or with a pipe.
struct Talk {
    console: Rc<RefCell<Console>>,
    session: Rc<Session>,
    trace: Rc<Cell<bool>>,
    /// The network at the start.
    start: Facts,
    /// Something runs that Ctrl-C may end.
    busy: Arc<AtomicBool>,
    /// The exit code of the first error, for a pipe.
    code: u8,
    /// The file that was written last, and what was written.
    saved: Option<(PathBuf, String)>,
}

impl Talk {
    fn new(
        tools: &[(String, PathBuf)],
        interrupt: Interrupt,
        files: Option<UserFiles>,
        trace: bool,
        script: Option<&Path>,
        busy: Arc<AtomicBool>,
    ) -> Result<Self> {
        let trace = Rc::new(Cell::new(trace));
        let quiet: Rc<Cell<bool>> = Rc::default();
        let events = {
            let (trace, quiet) = (Rc::clone(&trace), Rc::clone(&quiet));
            move |event: &Event<'_>| Human::new(trace.get() && !quiet.get()).event(event)
        };
        let events: Box<dyn Fn(&Event<'_>)> = Box::new(events);
        let exec = Exec::new(Tools::new(tools)?, interrupt)?;
        let session = match files {
            None => {
                let job = Job { scripts: script.map(Path::to_path_buf).into_iter().collect(), ..Job::default() };
                on_machine(exec, events, &job, &OnHost::default())?
            }
            Some(files) => in_sandbox(files.given_to(exec), events)?,
        };
        quiet.set(true);
        let start = facts(&session)?;
        quiet.set(false);
        session.set_looks(true);
        let mut console = Console::new(&session, script);
        console.quiet = quiet;
        Ok(Self { console: Rc::new(RefCell::new(console)), session, trace, start, busy, code: 0, saved: None })
    }

    fn go(&mut self, script: Option<&Path>) -> u8 {
        let person = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if let Some(script) = script {
            let answer = self.while_busy(|console| console.load(script));
            if let Next::End(code) = self.answered(answer) {
                return self.end(code);
            }
        }
        let code = if person { self.with_person() } else { self.with_pipe() };
        self.end(code)
    }

    fn with_person(&mut self) -> u8 {
        if self.session.mode() == Mode::Host {
            let name = hostname();
            human::line(&format!("netwright acts on this machine: {name}   (:help for commands, :undo takes back)"));
        } else {
            human::line("netwright in a sandbox, nothing here touches this machine   (:help for commands)");
        }
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(false).tab_stop(4);
        let config = match config.max_history_size(history::MAX).and_then(|config| config.history_ignore_dups(true)) {
            Ok(config) => config.build(),
            Err(_) => Config::default(),
        };
        let mut editor: Editor<Assistant, FileHistory> = match Editor::with_config(config) {
            Ok(editor) => editor,
            Err(error) => {
                return fail(&Error::new(Kind::Internal, format!("the terminal cannot be used: {error}")));
            }
        };
        let colour = human::colour(&std::io::stdout());
        editor.set_helper(Some(Assistant::new(&self.console, colour)));
        let mut history = History::of_user();
        for line in history.lines() {
            let _ = editor.add_history_entry(line);
        }
        let prompt = if self.session.mode() == Mode::Host { "netwright --host> " } else { "netwright> " };
        let code = loop {
            match editor.readline(prompt) {
                Ok(input) => {
                    if !input.trim().is_empty() {
                        let _ = editor.add_history_entry(input.trim_end());
                        history.add(input.trim_end());
                    }
                    if let Next::End(code) = self.take(&input) {
                        break code;
                    }
                }
                Err(ReadlineError::Eof) if self.may_leave(&mut editor) => break 0,
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => {}
                Err(error) => break fail(&Error::new(Kind::Internal, format!("the terminal is gone: {error}"))),
            }
        };
        history.save();
        code
    }

    fn with_pipe(&mut self) -> u8 {
        let mut input = String::new();
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let ends = line.trim().is_empty() && !input.is_empty();
            input.push_str(&line);
            input.push('\n');
            if !ends && !is_command(&input) && self.console.borrow().is_unfinished(&input) {
                continue;
            }
            if let Next::End(code) = self.take(&std::mem::take(&mut input)) {
                return code;
            }
        }
        match self.take(&input) {
            Next::End(code) => code,
            Next::On => self.code,
        }
    }

    /// One complete input.
    fn take(&mut self, input: &str) -> Next {
        let text = input.trim();
        if text.is_empty() {
            return Next::On;
        }
        if is_command(text) {
            return self.command(text);
        }
        let answer = self.while_busy(|console| console.evaluate(input.trim_end()));
        self.answered(answer)
    }

    fn while_busy<T>(&self, work: impl FnOnce(&mut Console) -> T) -> T {
        self.busy.store(true, Ordering::SeqCst);
        let result = work(&mut self.console.borrow_mut());
        self.busy.store(false, Ordering::SeqCst);
        result
    }

    fn answered(&mut self, answer: Result<Answer>) -> Next {
        let interrupt = self.session.exec().interrupt();
        let signal = interrupt.signal();
        interrupt.reset();
        let failed = self.console.borrow().take_failed();
        for error in failed {
            self.complain(&error);
        }
        match answer {
            Ok(Answer::Done(value)) => {
                if let Some(value) = value {
                    human::print(&format!("{value}\n"));
                }
            }
            Ok(Answer::Exit(status)) => return Next::End(status),
            Err(error) => self.complain(&error),
        }
        match signal {
            Some(signal) if signal != SIGINT => Next::End(signal_code(signal)),
            _ => Next::On,
        }
    }

    fn complain(&mut self, error: &Error) {
        human::error(error, self.console.borrow().sources());
        if self.code == 0 {
            self.code = error.kind().exit_code();
        }
    }

    fn command(&mut self, text: &str) -> Next {
        let (name, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(name, rest)| (name, rest.trim()));
        let done = match name {
            ":quit" | ":q" | ":exit" => return Next::End(self.code),
            ":help" | ":h" | ":?" => self.help(rest),
            ":show" => self.show(),
            ":diff" => self.diff(),
            ":why" => return self.why(rest),
            ":undo" => self.undo(rest),
            ":load" => return self.load(rest),
            ":reset" => self.reset(),
            ":trace" => self.set_trace(rest),
            ":save" => self.save(rest),
            ":shell" => self.shell(rest),
            _ => {
                Err(Error::new(Kind::InvalidArgument, format!("no command `{name}`")).hint(":help lists the commands"))
            }
        };
        if let Err(error) = done {
            self.complain(&error);
        }
        Next::On
    }

    fn help(&self, name: &str) -> Result<()> {
        if name.is_empty() {
            human::print(&format!("{HELP}\n"));
            return Ok(());
        }
        self.console.borrow().describe(name).map(|text| human::print(&text))
    }

    fn show(&self) -> Result<()> {
        let topology = self.console.borrow().picture()?;
        let colour = human::colour(&std::io::stdout());
        human::print(&format!("{}\n", topology.draw_text(colour)));
        Ok(())
    }

    fn diff(&self) -> Result<()> {
        self.session.settle_all()?;
        let (now, unread) = facts(&self.session)?;
        // What cannot be read is not known to be gone, nor what could not be read at the start to be new.
        let known = |fact: &&String| {
            let of = |name: &String| {
                fact.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['/', ' ']) && !rest.contains("could not be read"))
            };
            !unread.iter().chain(&self.start.1).any(of)
        };
        let gone = self.start.0.difference(&now).filter(known).map(|fact| (fact, '-'));
        let new = now.difference(&self.start.0).filter(known).map(|fact| (fact, '+'));
        let mut lines: Vec<(&String, char)> = gone.chain(new).collect();
        lines.sort();
        for (fact, mark) in &lines {
            human::print(&format!("{mark} {fact}\n"));
        }
        if lines.is_empty() {
            human::line("nothing is different from the start");
        }
        Ok(())
    }

    /// `:why A B` is the script function, with names of namespaces put into its words.
    fn why(&mut self, rest: &str) -> Next {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [from, to] = words.as_slice() else {
            self.complain(&Error::new(Kind::InvalidArgument, "write `:why FROM TO`").hint(":why ns-blue 10.0.0.2"));
            return Next::On;
        };
        let names = self.session.netns_names().unwrap_or_default();
        let is_place =
            *from == "host" || self.console.borrow().has_variable(from) || names.iter().any(|name| name == from);
        if !is_place && let Err(error) = self.session.netns_require(&Where::Named((*from).to_owned())) {
            self.complain(&error);
            return Next::On;
        }
        let spell = |word: &str| {
            if self.console.borrow().has_variable(word) {
                word.to_owned()
            } else if word == "host" {
                "host()".to_owned()
            } else if names.iter().any(|name| name == word) {
                format!("netns({word:?})")
            } else {
                format!("{word:?}")
            }
        };
        let input = format!("print(why({}, {}));", spell(from), spell(to));
        let answer = self.while_busy(|console| console.look(&input));
        self.answered(answer)
    }

    fn undo(&self, rest: &str) -> Result<()> {
        let count: usize = if rest.is_empty() { Ok(1) } else { rest.parse() }
            .map_err(|_| Error::new(Kind::InvalidArgument, format!("`:undo {rest}`: how many inputs is a number")))?;
        self.take_back(count)
    }

    /// Undoes the last inputs that did something, and tells how it went.
    fn take_back(&self, count: usize) -> Result<()> {
        let (lines, undone) = self.console.borrow_mut().undo(count)?;
        if undone.steps == 0 {
            human::line("there is nothing to undo");
            return Ok(());
        }
        for line in lines.iter().flat_map(|input| input.lines()) {
            human::line(&format!("- {line}"));
        }
        human::line(&format!("undone: {}", undone.summary()));
        for note in &undone.notes {
            human::line(&format!("note: {note}"));
        }
        for (line, why) in &undone.left {
            human::line(&format!("left: {line} ({why})"));
        }
        Ok(())
    }

    /// Runs a script as an input like any other.
    fn load(&mut self, rest: &str) -> Next {
        if rest.is_empty() {
            self.complain(&Error::new(Kind::InvalidArgument, "write `:load FILE`").hint(":load lab.rhai"));
            return Next::On;
        }
        let answer = self.while_busy(|console| console.load(Path::new(rest)));
        self.answered(answer)
    }

    /// Back to an empty conversation. What cannot be undone is named, and stays.
    fn reset(&mut self) -> Result<()> {
        let errors = self.while_busy(Console::end);
        for error in &errors {
            self.complain(error);
        }
        self.take_back(usize::MAX)?;
        let console = self.console.borrow().empty();
        *self.console.borrow_mut() = console;
        Ok(())
    }

    fn set_trace(&self, rest: &str) -> Result<()> {
        let on = match rest {
            "on" => true,
            "off" => false,
            "" => !self.trace.get(),
            _ => return Err(Error::new(Kind::InvalidArgument, "write `:trace on` or `:trace off`")),
        };
        self.trace.set(on);
        human::line(if on { "trace on" } else { "trace off" });
        Ok(())
    }

    fn save(&mut self, rest: &str) -> Result<()> {
        if rest.is_empty() {
            return Err(Error::new(Kind::InvalidArgument, "write `:save FILE`").hint(":save lab.rhai"));
        }
        let script = self.console.borrow().script();
        let text = format!("#!/usr/bin/env -S netwright run\n{script}");
        let path = Path::new(rest);
        if self.session.mode() == Mode::Sandbox && crate::sandbox::goes_with_sandbox(path) {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("`{rest}` would be gone with the sandbox: it has a `/run` of its own"),
            )
            .hint("save it in another folder"));
        }
        // What this conversation wrote, and nobody has touched since, is its own to write again.
        let own = self.saved.as_ref().is_some_and(|(before, written)| {
            before == path && files::read_ordinary(path).is_ok_and(|now| now == written.as_bytes())
        });
        let write = || {
            if own {
                files::replace(path, files::SHARED, text.as_bytes())
            } else {
                files::create(path, files::SHARED)?.write_all(text.as_bytes())
            }
        };
        write().map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::new(
                Kind::AlreadyExists,
                format!("`{rest}` is there already, and is not what this session saved"),
            )
            .hint("save under another name"),
            _ => Error::new(Kind::CommandFailed, format!("cannot write `{rest}`: {error}")),
        })?;
        self.saved = Some((path.to_owned(), text));
        human::line(&format!("saved {} lines to {rest}", script.lines().count()));
        Ok(())
    }

    fn shell(&self, rest: &str) -> Result<()> {
        let netns = match rest {
            "" | "host" | "host()" => Where::Host,
            name => Where::Named(name.to_owned()),
        };
        self.session.settle_all()?;
        self.session.netns_require(&netns)?;
        human::line(&format!("a shell in {netns}; `exit` comes back"));
        let result = self.session.exec().run_interactive(&netns, &[shell_of_user()]);
        self.session.exec().retire_warm();
        result.map(drop)
    }

    /// Ctrl-D: asks only when something was done on the machine.
    fn may_leave(&self, editor: &mut Editor<Assistant, FileHistory>) -> bool {
        let changes = self.session.changes();
        if self.session.mode() == Mode::Sandbox || changes == 0 {
            return true;
        }
        let ask = format!("{changes} commands changed this machine: keep, undo or stay? [k/u/s] ");
        match editor.readline(&ask).as_deref().map(str::trim) {
            Ok("k" | "keep") => true,
            Ok("u" | "undo") => {
                if let Err(error) = self.take_back(usize::MAX) {
                    human::error(&error, self.console.borrow().sources());
                }
                true
            }
            _ => false,
        }
    }

    /// Runs what was deferred and ends what was started; from a pipe that failed, the machine gets back what it was.
    fn end(&mut self, code: u8) -> u8 {
        let errors = self.while_busy(Console::end);
        for error in &errors {
            self.complain(error);
        }
        self.session.exec().interrupt().reset();
        let code = if code == 0 && !errors.is_empty() { self.code } else { code };
        // From a pipe it is a run like any other: what failed is undone. A person has seen what failed and decides.
        let failed = code != 0 && !std::io::stdin().is_terminal();
        let mut late = Vec::new();
        // A signal that comes now must not end the undoing.
        self.busy.store(true, Ordering::SeqCst);
        let undone = finish(&self.session, failed, &mut late, None);
        for error in &late {
            self.complain(error);
        }
        self.session.release_claims();
        if let Some(undone) = undone {
            human::line(&format!("undone: {}", undone.summary()));
            return if undone.left.is_empty() { code } else { 5 };
        }
        code
    }
}

/// What there is, one fact a line, and the names of the namespaces that could not be read.
type Facts = (BTreeSet<String>, Vec<String>);

/// What there is: what pictures show, and every rule of the firewalls.
fn facts(session: &Session) -> Result<Facts> {
    let topology = Topology::read(session)?;
    let unread = topology.namespaces.iter().filter(|one| one.unread.is_some()).map(|one| one.name.clone()).collect();
    let mut facts = topology.facts();
    for at in session.everywhere() {
        for family in [Family::V4, Family::V6] {
            // A machine without iptables has no rules of it.
            let rules = session.firewall_rules(&at, family, None).unwrap_or_default();
            facts.extend(rules.lines().into_iter().map(|line| format!("{at} {} {line}", tool(family).program())));
        }
    }
    Ok((facts, unread))
}

fn is_command(text: &str) -> bool {
    text.trim_start().starts_with(':')
}
