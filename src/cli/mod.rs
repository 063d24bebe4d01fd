//! The command line: one file per subcommand. Beside `report` this is the only room that prints.

mod bundle;
mod check;
mod copy;
mod doc;
pub(crate) mod doctor;
mod document;
mod drift;
mod emit;
mod generate;
mod history;
mod inside;
mod mend;
mod plan;
mod ps;
mod repl;
mod repl_line;
mod run;
mod runs;
mod serve;
mod show;
mod snapshot;
mod test;
mod test_child;
mod test_watch;
mod who;
mod why;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::error::{Error, Kind};
use crate::exec::Exec;
use crate::exec::tools::Tools;
use crate::op::Tool;
use crate::report::human;
use crate::sandbox;
use crate::script::engine::STACK_BYTES;

/// Exit codes in `--help`; the README has the table.
const AFTER_HELP: &str = "\
Exit codes: 0 ok, 1 check or test failed, 2 usage, 3 script error,
4 tool, privilege or kernel feature missing, 5 clean-up incomplete, 6 timeout,
7 held by another run, 70 bug, 129/130/143 signal (after clean-up)
NETWRIGHT_SLOW=20: a machine 20 times slower; every deadline is so much longer
Examples:
  netwright doc tour                  begin here
  netwright run lab.rhai              in a sandbox: this machine is not touched
  sudo netwright why blue 10.0.0.2    on any machine: which hop is to blame";

/// Script a Linux network, rehearse it, run it, be told why a packet dies
#[derive(Debug, Parser)]
#[command(name = "netwright", version, after_help = AFTER_HELP, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a script, in a sandbox unless told otherwise
    Run(RunArgs),
    /// Rehearse a script in a sandbox, print the commands it runs
    Plan(PlanArgs),
    /// Write a script as plain shell: up.sh, verify.sh, down.sh
    Emit(emit::EmitArgs),
    /// Put a script and its modules into one file
    Bundle(bundle::BundleArgs),
    /// Try things out, in a sandbox unless told otherwise
    Repl(repl::ReplArgs),
    /// Find mistakes in scripts without running anything
    Check(check::CheckArgs),
    /// Draw the live network of this machine
    Show(show::ShowArgs),
    /// Write down this machine's network as one document
    Snapshot(snapshot::SnapshotArgs),
    /// Say what is otherwise in another snapshot, or by now
    Diff(snapshot::DiffArgs),
    /// Run test files, each in a sandbox of its own, in parallel
    Test(test::TestArgs),
    #[command(name = "__test", hide = true)]
    TestChild(test_child::ChildArgs),
    /// Say which hop stops a packet, how it is known, what mends it
    Why(why::WhyArgs),
    /// Run a program in a sandbox that stays
    Exec(inside::ExecArgs),
    /// Open a shell in a sandbox that stays
    Shell(inside::ShellArgs),
    /// Say what this machine lacks, and what to do about it
    Doctor(doctor::DoctorArgs),
    /// List the runs and sandboxes of this machine, and what each made
    Ps(ps::PsArgs),
    /// Undo a kept run, or end a sandbox that stays
    Down(runs::DownArgs),
    /// Undo dead runs, and clean up what crashes left
    Gc(runs::GcArgs),
    /// Keep a run that was started with --try
    Confirm(runs::ConfirmArgs),
    /// Undo a run unless it is confirmed in time; started by --try
    #[command(name = "__watch", hide = true)]
    Watch(runs::WatchArgs),
    /// Say what scripts can call
    Doc(doc::DocArgs),
    /// Print the completions of a shell
    Completions(generate::CompletionsArgs),
    /// Print the man page, or write all of them
    Man(generate::ManArgs),
}

/// `netwright run`
#[derive(Args, Debug)]
#[command(after_help = "\
Several scripts run in order in one session. What follows them is theirs:
arg(\"pods\", 2) in the script takes --pods 3; SCRIPT --help lists them.

Examples:
  netwright run --trace scripts/02-container-network.rhai
  netwright run --keep lab lab.rhai     then: netwright shell lab web
  sudo netwright run --host --try 60s runbook.rhai
  sudo netwright run --host --check runbook.rhai")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct RunArgs {
    /// Act on this machine; undone if the run fails
    #[arg(long)]
    host: bool,
    /// With --host: change nothing, say what is not as the script says
    #[arg(long, requires = "host", conflicts_with_all = ["trial", "audit", "log"])]
    check: bool,
    /// Rehearse on a copy of that machine: FILE, or `this`
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "host")]
    on: Option<OsString>,
    /// NAME: the sandbox stays. ./PATH: what programs write there stays
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "host")]
    keep: Vec<PathBuf>,
    /// In a sandbox that stays, instead of a new one
    #[arg(long = "in", value_name = "NAME", conflicts_with_all = ["host", "on", "keep"])]
    inside: Option<String>,
    /// Print each command with its time
    #[arg(long)]
    trace: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    /// With --host: one JSON line per command
    #[arg(long, value_name = "FILE", requires = "host")]
    audit: Option<PathBuf>,
    /// With --host: a line per change to journald, syslog or FILE
    #[arg(long, value_name = "WHERE", requires = "host")]
    log: Option<OsString>,
    /// With --host: undo unless confirmed in time
    #[arg(long = "try", value_name = "TIME", requires = "host", value_parser = humantime::parse_duration)]
    trial: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

/// `netwright plan`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright plan lab.rhai
  netwright plan lab.rhai --pods 3
  sudo netwright plan --host runbook.rhai   what this machine still lacks
  netwright plan --json lab.rhai | jq -r '.commands[].argv[0]'")]
struct PlanArgs {
    /// Only what this machine lacks, rehearsed on a copy of it
    #[arg(long, conflicts_with = "on")]
    host: bool,
    /// The same of another machine: a snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    on: Option<OsString>,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What every command that runs scripts takes.
#[derive(Args, Debug)]
struct Common {
    /// Give the script an argument
    #[arg(long = "var", value_name = "NAME=VALUE")]
    vars: Vec<String>,
    /// End the run after this time: 90s
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    timeout: Option<Duration>,
    /// Time for each command, else 10s
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    command_timeout: Option<Duration>,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
    /// Scripts, then the arguments for them
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "SCRIPT")]
    words: Vec<OsString>,
}

fn parse_limit(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err("write a time above zero with its unit, for example `500ms`, `90s` or `5m`".into()),
    }
}

fn parse_tool(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("write NAME=PATH, for example `ip=/opt/iproute2/ip`".into()),
    }
}

/// The words that choose the same tools again, for a netwright that this one starts.
fn tool_words(tools: &[(String, PathBuf)]) -> impl Iterator<Item = OsString> {
    tools.iter().flat_map(|(name, path)| {
        let mut choice = OsString::from(format!("{name}="));
        choice.push(path);
        ["--tool".into(), choice]
    })
}

impl Common {
    /// The scripts, and the words for them: what follows the first word that is no script. A leading `--` ends the scripts.
    fn split(&self) -> (Vec<PathBuf>, Vec<String>) {
        let is_script = |word: &&OsString| {
            let path = PathBuf::from(word);
            path.extension().is_some_and(|ending| ending == "rhai") && path.exists()
        };
        let more = self.words.iter().skip(1).take_while(is_script).count();
        let scripts = self.words.iter().take(1 + more).map(PathBuf::from).collect();
        let words = self.words.iter().skip(1 + more);
        let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        if words.first().is_some_and(|word| word == "--") {
            words.remove(0);
        }
        (scripts, words)
    }
}

impl Common {
    /// Whether the words can be what they stand for; the exit code when not.
    fn check_words(&self) -> Result<(), u8> {
        let first = self.words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        if first.starts_with('-') && first.len() > 1 && !std::path::Path::new(&first).exists() {
            let name = first.split('=').next().unwrap_or(&first);
            let command = Cli::command();
            let options = command.get_subcommands().filter(|one| matches!(one.get_name(), "run" | "plan" | "emit"));
            let options: Vec<String> = options
                .flat_map(clap::Command::get_arguments)
                .filter_map(|option| option.get_long().map(|long| format!("--{long}")))
                .collect();
            let error = Error::new(Kind::InvalidArgument, format!("there is no option `{name}`"));
            let error = crate::model::suggest::with_nearest(error, name, options.iter().map(String::as_str));
            fail(&error.hint("options of netwright stand before the script, those of the script behind it"));
            return Err(2);
        }
        let (scripts, words) = self.split();
        match crate::script::usage::strangers(&scripts, &self.vars, &words) {
            Ok(strange) if strange.is_empty() => Ok(()),
            Ok(strange) => {
                let script = scripts.first().map(|path| path.display().to_string()).unwrap_or_default();
                for line in strange {
                    let error = Error::new(Kind::InvalidArgument, line);
                    fail(&error.hint(format!("`netwright run {script} --help` lists its arguments")));
                }
                Err(2)
            }
            Err(error) => {
                fail(&error);
                Err(2)
            }
        }
    }
}

/// Runs the command line of this process. The first thing in `main`: before this, no thread may exist and nothing may be printed.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = sandbox::run_probe_child() {
        return ExitCode::from(code);
    }
    if let Some(code) = doctor::child() {
        return ExitCode::from(code);
    }
    let cli = match Cli::try_parse_from(arguments()) {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own codes: 0 for `--help` and `--version`, 2 for wrong usage.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if let Err(error) = crate::patience::check() {
        fail(&error);
        return ExitCode::from(2);
    }
    let joined = match cli.command.inside().map(inside::join).transpose() {
        Ok(joined) => joined,
        Err(code) => return ExitCode::from(code),
    };
    let code = match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Plan(arguments) => plan::plan(arguments),
        Command::Emit(arguments) => emit::emit(arguments),
        Command::Bundle(arguments) => bundle::bundle(arguments),
        Command::Repl(arguments) => repl::repl(arguments),
        Command::Check(arguments) => check::check(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Snapshot(arguments) => snapshot::snapshot(arguments),
        Command::Diff(arguments) => snapshot::diff(arguments),
        Command::Completions(arguments) => generate::completions(arguments, Cli::command()),
        Command::Man(arguments) => generate::man(arguments, Cli::command()),
        Command::Test(arguments) => test::test(arguments),
        Command::TestChild(arguments) => test_child::child(arguments),
        Command::Why(arguments) => why::run(arguments),
        Command::Doctor(arguments) => doctor::doctor(arguments),
        Command::Exec(arguments) => joined.as_ref().map_or(2, |sandbox| inside::exec(arguments, sandbox)),
        Command::Shell(arguments) => joined.as_ref().map_or(2, |sandbox| inside::shell(arguments, sandbox)),
        Command::Ps(arguments) => ps::ps(arguments),
        Command::Down(arguments) => runs::down(arguments),
        Command::Gc(arguments) => runs::gc(arguments),
        Command::Confirm(arguments) => runs::confirm(arguments),
        Command::Watch(arguments) => runs::watch(arguments),
        Command::Doc(arguments) => doc::doc(arguments),
    };
    ExitCode::from(match (code, human::lost()) {
        (0, Some(why)) => {
            let error =
                Error::new(Kind::Unsupported, format!("standard output does not have all that was printed: {why}"));
            fail(&error.hint("make room behind it, or take another place"))
        }
        (code, _) => code,
    })
}

/// `netwright lab.rhai` means `netwright run lab.rhai`, so that `#!/usr/bin/env netwright` works.
fn arguments() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let command = Cli::command();
    let is_command = |word: &str| word == "help" || command.get_subcommands().any(|known| known.get_name() == word);
    if let Some(first) = words.get(1) {
        let text = first.to_string_lossy();
        let looks_like_script = text.ends_with(".rhai") || std::path::Path::new(first).is_file();
        if !text.starts_with('-') && !is_command(&text) && looks_like_script {
            words.insert(1, "run".into());
        }
    }
    words
}

/// Prints an error that has nothing to do with a script, and gives its exit code.
fn fail(error: &Error) -> u8 {
    human::error(error, &std::collections::HashMap::<String, String>::new());
    error.kind().exit_code()
}

/// Makes the sandbox around this process, before it has threads. `Err` is the exit code of a process that only supervised it, or could not.
fn enter_sandbox(keep: &[PathBuf]) -> Result<sandbox::Sandbox, u8> {
    enter_sandbox_with(keep, None, None)
}

/// The same, with what is taken along from outside, and what is to stay ([`sandbox::enter_with`]).
fn enter_sandbox_with(
    keep: &[PathBuf],
    pack: Option<&sandbox::Pack<'_>>,
    stay: Option<&sandbox::Stay>,
) -> Result<sandbox::Sandbox, u8> {
    match sandbox::enter_with(keep, pack, stay) {
        Ok(sandbox::Entered::Inside(sandbox)) => Ok(sandbox),
        Ok(sandbox::Entered::Ended(ended)) => {
            if let Some(message) = ended.message() {
                human::line(&message);
            }
            Err(ended.code)
        }
        Err(error) => Err(fail(&error)),
    }
}

/// The files of the user's programs in a sandbox.
enum UserFiles {
    /// Files of their own: what they write goes with the run, but for what is in the paths.
    New(sandbox::Mode, Vec<PathBuf>),
    /// Those of a sandbox that was there before: a mount namespace.
    There(std::fs::File),
}

impl UserFiles {
    /// The files of the programs in a sandbox; in a new one, what is in `keep` can be written to.
    fn of(sandbox: &sandbox::Sandbox, keep: Vec<PathBuf>) -> Self {
        match sandbox.files().map(std::fs::File::try_clone) {
            Some(Ok(file)) => Self::There(file),
            _ => Self::New(sandbox.mode(), keep),
        }
    }

    /// What starts the programs, with these files.
    fn given_to(self, exec: Exec) -> Exec {
        exec.with_user_files(match self {
            Self::New(mode, keep) => Box::new(move || sandbox::files(mode, &keep)),
            Self::There(file) => Box::new(move || {
                file.try_clone()
                    .map_err(|error| Error::new(Kind::Internal, format!("cannot copy a descriptor: {error}")))
            }),
        })
    }
}

/// A folder that netwright writes to while it is in the sandbox, which has a `/run` of its own: one that lies there is made before, and kept out of it.
fn written_below_run(folder: &Path, mode: u32) -> std::io::Result<Option<PathBuf>> {
    if sandbox::below_run(folder).is_none() {
        return Ok(None);
    }
    crate::files::Folder::make(folder, mode)?;
    Ok(Some(folder.to_path_buf()))
}

/// An error when something that is to be kept is not there: told before anything is done.
fn check_keep(keep: &[PathBuf]) -> crate::Result<()> {
    keep.iter().try_for_each(|path| sandbox::keepable(path).map(drop))
}

/// Does the work that evaluates scripts on a thread whose stack is big enough for it; the exit code.
fn on_big_stack(work: impl FnOnce() -> u8 + Send + 'static) -> u8 {
    let thread = std::thread::Builder::new().name("script".into()).stack_size(STACK_BYTES).spawn(work);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => {
            fail(&Error::new(Kind::Internal, "the evaluating thread panicked").hint("please report this as a bug"))
        }
        Err(error) => fail(
            &Error::new(Kind::Unsupported, format!("cannot start a thread: {error}"))
                .hint("`ulimit -u` and `ulimit -v` say how many processes and how much memory there may be"),
        ),
    }
}

/// The exit code of a signal.
fn signal_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(130)
}

/// The tools, when `ip` is there and iproute2's: without it no command that looks at a network can do anything.
fn tools(chosen: &[(String, PathBuf)]) -> crate::Result<Tools> {
    let tools = Tools::new(chosen)?;
    tools.path(Tool::Ip)?;
    Ok(tools)
}

/// What changes this machine needs root: rehearsing does not.
fn require_root(what: &str) -> crate::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::new(Kind::PermissionDenied, format!("`{what}` changes this machine and needs root"))
        .hint("run it with sudo"))
}
