//! The only place that starts processes: duct, warm tools, deadlines, output caps. Nothing here knows what a command means.
//!
//! [`Exec`] runs a [`Command`] in its namespace: through the namespace's warm `ip` when it can, through a fresh process otherwise.
//! A thread enters the namespace and starts the program there, which costs 1.1 ms where `ip netns exec` costs 2.3 ms and more.
//! Every failure that a warm process reports is confirmed by a fresh one before anybody hears of it.

pub(crate) mod asker;
pub(crate) mod background;
mod batch;
pub(crate) mod child;
pub(crate) mod entry;
pub(crate) mod interrupt;
pub(crate) mod leftover;
pub mod netns;
pub(crate) mod piped;
mod pool;
mod priority;
pub(crate) mod process;
pub(crate) mod processes;
pub(crate) mod reexec;
pub(crate) mod scratch;
pub(crate) mod tools;
mod warm;
pub(crate) mod whereabouts;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Ran, Result};
use crate::op::{Command, Tool, Where, secret};
pub use batch::Given;
use entry::{Entry, UserFiles};
use interrupt::Interrupt;
use netns::{NetnsFile, NetnsStamp, id_at, path_of};
use pool::WarmPool;
use process::{End, Finished, Limits, Program};
use tools::Tools;
use warm::{Family, Warm};

/// How long a program of the script's own may take that undoes another one.
const OWN_DEADLINE: Duration = Duration::from_secs(60);
/// How long `ip netns exec` may take to enter a namespace before nobody waits for it any more.
const ENTRY_MAX: Duration = Duration::from_secs(1);

/// What stands below all commands. A test puts another one in the place of the tools and the kernel behind them.
pub trait Kernel {
    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// As [`Exec::run`].
    fn run(&self, command: &Command) -> Result<Output>;
}

/// Runs commands. It belongs to one thread; what it starts ahead runs on threads of its own.
pub struct Exec {
    tools: Tools,
    /// In the place of processes.
    kernel: Option<Box<dyn Kernel>>,
    interrupt: Interrupt,
    deadline: Duration,
    host: NetnsFile,
    open: RefCell<HashMap<Where, NetnsFile>>,
    warm: RefCell<WarmPool>,
    mark: Option<String>,
    files: UserFiles,
    /// Open files that mean nothing, so that there is room for what undoes when files have become short.
    reserve: RefCell<Vec<OwnedFd>>,
}

/// As many as a tool that is being started takes: its pipes, the file of its process, its namespace and what `posix_spawn` opens.
const RESERVE: usize = 14;

/// What came of a command that ran to its end by itself.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, its status, what it printed, how long it took.
    pub ran: Ran,
    /// Whether its status was 0.
    pub ok: bool,
    /// Whether it failed after a warm process had been given the same command and had failed otherwise, or died: it may have acted.
    pub unsure: bool,
}

impl Exec {
    /// An executor whose host is the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// `Unsupported` when `/proc` does not show the namespace.
    pub fn new(tools: Tools, interrupt: Interrupt) -> Result<Self> {
        let host = NetnsFile::current().map_err(|error| {
            Error::new(Kind::Unsupported, format!("cannot open /proc/thread-self/ns/net: {error}"))
                .hint("netwright needs /proc and a kernel with network namespaces")
        })?;
        Ok(Self {
            tools,
            kernel: None,
            interrupt,
            deadline: process::deadline(),
            mark: None,
            files: UserFiles::default(),
            reserve: RefCell::new((0..RESERVE).map_while(|_| rustix::io::fcntl_dupfd_cloexec(&host, 3).ok()).collect()),
            host,
            open: RefCell::default(),
            warm: RefCell::default(),
        })
    }

    /// The same with another kernel than the one that the tools speak to: no command starts a process.
    #[must_use]
    pub fn with_kernel(self, kernel: Box<dyn Kernel>) -> Self {
        Self { kernel: Some(kernel), ..self }
    }

    /// Sets how long one command of netwright's own may take, [`process::deadline`] otherwise.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for a run whose programs of the user's must be found again when it dies: they get `NETWRIGHT_RUN=ID`.
    #[must_use]
    pub fn with_mark(mut self, id: &str) -> Self {
        self.mark = Some(id.to_owned());
        self
    }

    /// The same with other files for the user's programs than netwright itself sees: `make` gives the mount namespace, when the first of them starts.
    #[must_use]
    pub fn with_user_files(mut self, make: entry::Make) -> Self {
        self.files = UserFiles::new(make);
        self
    }

    /// The mount namespace of the user's programs; `None` when they see what netwright sees.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn user_files(&self) -> Result<Option<&std::fs::File>> {
        self.files.get()
    }

    /// Runs `work` where the files of the user's programs are.
    ///
    /// # Errors
    ///
    /// When they cannot be made, or not be entered.
    pub fn in_user_files<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Entry::default().with_files(self.files.get()?).within(work)
    }

    /// Where a program of the user's starts; `ip netns exec` enters a namespace that has a name.
    fn user_entry<'a>(&'a self, netns: &Where, file: &'a NetnsFile) -> Result<Entry<'a>> {
        let netns = matches!(netns, Where::Path(_)).then_some(file);
        Ok(Entry::of(netns).with_files(self.files.get()?))
    }

    fn user_env(&self) -> Vec<(OsString, OsString)> {
        let mark = self.mark.iter().map(|id| (leftover::MARK.into(), id.into()));
        process::user_env().into_iter().chain(mark).collect()
    }

    /// The flag that stops everything.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The programs of this machine.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// An open namespace. A name that means another namespace than before is opened anew, and its warm processes end.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none of that name, `InvalidArgument` when the file is no namespace.
    pub fn netns(&self, netns: &Where) -> Result<NetnsFile> {
        let Some(path) = path_of(netns) else { return Ok(self.host.clone()) };
        if let Some(file) = self.open.borrow().get(netns)
            && id_at(&path) == Some(file.id())
        {
            return Ok(file.clone());
        }
        self.forget(netns);
        let file = NetnsFile::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("no namespace `{netns}`")).netns(netns.name())
            }
            io::ErrorKind::InvalidInput => {
                Error::new(Kind::InvalidArgument, format!("`{}` is not a network namespace", path.display()))
                    .netns(netns.name())
            }
            io::ErrorKind::PermissionDenied => {
                Error::new(Kind::PermissionDenied, format!("cannot open `{}`: {error}", path.display()))
            }
            _ => Error::new(Kind::CommandFailed, format!("cannot open `{}`: {error}", path.display())),
        })?;
        self.open.borrow_mut().insert(netns.clone(), file.clone());
        Ok(file)
    }

    /// What tells a namespace from all that ever were.
    ///
    /// # Errors
    ///
    /// As [`Exec::netns`].
    pub fn netns_stamp(&self, netns: &Where) -> Result<NetnsStamp> {
        let stamp = self.netns(netns)?.stamp();
        // Only what has a name is surely kept by a mount.
        let made_ns = match netns {
            Where::Named(_) => path_of(netns).as_deref().and_then(NetnsStamp::at_mount).and_then(|now| now.made_ns),
            Where::Host | Where::Path(_) => None,
        };
        Ok(NetnsStamp { made_ns, ..stamp })
    }

    /// Closes everything that holds a namespace alive: its file and its warm processes. To be called before it is deleted.
    pub fn forget(&self, netns: &Where) {
        let gone = self.warm.borrow_mut().take(netns);
        gone.into_iter().for_each(Warm::stop);
        self.open.borrow_mut().remove(netns);
    }

    /// Starts the warm `ip` of a namespace in the background, for a script that will soon talk to it.
    pub fn warm_up(&self, netns: &Where) {
        let (Ok(file), Ok(ip)) = (self.netns(netns), self.tools.path(Tool::Ip)) else { return };
        self.warm.borrow_mut().spawn_ahead(netns, file, ip);
    }

    /// Ends all warm processes: after a link was deleted, renamed or moved, their name → ifindex caches are stale.
    pub fn retire_warm(&self) {
        self.warm.borrow_mut().retire();
    }

    /// Gives up all that can be done without: what undoes must be able to start, also when files or processes have become short.
    pub fn make_room(&self) {
        self.retire_warm();
        self.open.borrow_mut().clear();
        self.reserve.borrow_mut().clear();
    }

    /// Runs `work` on a thread inside a namespace.
    ///
    /// # Errors
    ///
    /// As [`Exec::netns`] and [`NetnsFile::within`].
    pub fn within<T: Send>(&self, netns: &Where, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.netns(netns)?.within(work)
    }

    /// Whether a namespace forwards IPv4, read from `/proc` by a thread inside: no process for what every run asks.
    ///
    /// # Errors
    ///
    /// As [`Exec::within`]. A file that is not there means no.
    pub fn forwards(&self, netns: &Where) -> Result<bool> {
        self.within(netns, || {
            std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1")
        })
    }

    /// Runs a command to its end in a process of its own.
    ///
    /// # Errors
    ///
    /// As [`Exec::run`].
    pub fn run_fresh(&self, command: &Command) -> Result<Output> {
        if let Some(kernel) = &self.kernel {
            return kernel.run(command);
        }
        if command.tool == Tool::Own {
            let mut words = command.argv.clone();
            // What netwright itself says is done by a program of the system, whatever the user's folders hold.
            if let (Some(_), Some(first)) = (command.fact(), words.first_mut())
                && let Some(path) = tools::find_own(first)
            {
                *first = path.display().to_string();
            }
            let deadline = crate::patience::scaled(OWN_DEADLINE);
            return self.run_user(&command.netns, &words, command.stdin.as_deref(), deadline);
        }
        let netns = self.netns(&command.netns)?;
        let path = self.tools.path(command.tool)?;
        let program = Program {
            path: &path,
            argv: command.argv.iter().map(OsString::from).collect(),
            stdin: command.stdin.as_deref(),
            env: process::clean_env(),
            entry: Entry::of((command.netns != Where::Host).then_some(&netns)),
        };
        let limits = Limits { deadline: self.deadline, ..Limits::default() };
        let finished = process::run(&program, limits, &self.interrupt)?;
        finished_output(&command.line(), &command.argv, finished, self.deadline).map_err(|error| match error.kind() {
            Kind::TimedOut => error.hint(process::MORE_TIME),
            Kind::ToolOutput => {
                error.hint(format!("is `{}` what it should be? `--tool` takes another", path.display()))
            }
            _ => error,
        })
    }

    fn drop_warm(&self, netns: &Where, family: Family) {
        let warm = self.warm.borrow_mut().remove(netns, family);
        drop(warm);
    }

    /// Runs `ip` for the set-up of the sandbox, before there is a session: `argv` begins with the program's name.
    ///
    /// # Errors
    ///
    /// What kept it from running, or `CommandFailed` with what it said.
    pub fn run_setup(&self, argv: &[&str], stdin: &str, netns: Option<&Path>) -> Result<()> {
        let netns = netns.map_or(Where::Host, |path| Where::Path(path.to_path_buf()));
        let mut command = Command::new(Tool::Ip, &netns, argv.iter().skip(1).copied());
        command.stdin = Some(stdin.to_owned());
        let brief = |ran: Ran| Ran { command: "ip -batch -".into(), ..ran };
        let output = self.run_fresh(&command).map_err(|mut error| {
            let parts = error.parts_mut();
            parts.message = format!(
                "the uplink of the sandbox cannot be built: {}",
                parts.message.replace(&command.line(), "ip -batch -")
            );
            parts.ran = parts.ran.take().map(brief);
            error
        })?;
        if output.ok {
            return Ok(());
        }
        let ip = self.tools.path(Tool::Ip)?;
        Err(Error::new(Kind::CommandFailed, "the uplink of the sandbox cannot be built: `ip` failed")
            .hint(format!("is `{}` iproute2? `{} -V` says so", ip.display(), ip.display()))
            .ran(brief(output.ran)))
    }

    /// Runs the user's own program in a namespace, with what `ip netns exec` gives (`/etc/netns`, `/sys`) when it has a name.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when there is no such program, `TimedOut`, `Interrupted`.
    pub fn run_user(&self, netns: &Where, words: &[String], stdin: Option<&str>, deadline: Duration) -> Result<Output> {
        self.interrupt.check()?;
        let file = self.netns(netns)?;
        let (path, argv) = self.user_program(netns, words)?;
        let program = Program { path: &path, argv, stdin, env: self.user_env(), entry: self.user_entry(netns, &file)? };
        let limits = Limits { deadline, stop_on_interrupt: true, alone: false };
        let finished = process::run(&program, limits, &self.interrupt)?;
        finished_output(&user_line(netns, words), words, finished, deadline).map_err(|error| match error.kind() {
            Kind::TimedOut => error.hint("`#{ timeout: \"5m\" }` gives it more time; `ns.start(…)` leaves it running"),
            Kind::ToolOutput => error.hint("write its output to a file instead"),
            _ => error,
        })
    }

    /// Starts the user's own program in a namespace and leaves it running; `stdin` is what it reads, `stdout` a file for its standard output.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when there is no such program.
    pub fn start_user(
        &self,
        netns: &Where,
        words: &[String],
        stdin: Option<&str>,
        stdout: Option<std::fs::File>,
    ) -> Result<background::Background> {
        let file = self.netns(netns)?;
        let (path, argv) = self.user_program(netns, words)?;
        let enter = self.user_entry(netns, &file)?;
        let (env, line) = (self.user_env(), user_line(netns, words));
        let background = background::Background::start(&path, &argv, &env, enter, line, (stdin, stdout))?;
        if matches!(netns, Where::Named(_)) {
            await_entry(&background, netns);
        }
        Ok(background)
    }

    /// Starts a tool in a namespace and keeps it open: it is told lines, and ends with this process, however that ends.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when it is not installed.
    pub fn hold(&self, tool: Tool, argv: &[&str], netns: &Where, file: &NetnsFile) -> Result<piped::Piped> {
        let path = self.tools.path(tool)?;
        let words: Vec<String> = [tool.program()].iter().chain(argv).map(|word| (*word).to_owned()).collect();
        let rest: Vec<OsString> = argv.iter().map(OsString::from).collect();
        // A tool that reads lines from people may keep a history in their home.
        let mut env = process::clean_env();
        env.push(("HOME".into(), "/dev/null".into()));
        piped::Piped::start(&path, &rest, &env, file, user_line(netns, &words))
    }

    /// Runs a program of the user's with this process's own terminal: a shell. It shares our process group, so that it may take the
    /// terminal; the status that it ended with.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when there is no such program.
    pub fn run_interactive(&self, netns: &Where, words: &[String]) -> Result<i32> {
        let file = self.netns(netns)?;
        let (path, argv) = self.user_program(netns, words)?;
        let enter = self.user_entry(netns, &file)?;
        process::run_interactive(&path, &argv, enter).map_err(|error| process::start_error(&path, &error))
    }

    /// This process becomes a program of the user's, with its own streams, so that signals, the terminal and a pipeline are the program's.
    ///
    /// # Errors
    ///
    /// It only returns when it cannot: `ToolMissing` when there is no such program.
    pub fn become_program(&self, netns: &Where, words: &[String]) -> Result<std::convert::Infallible> {
        let file = self.netns(netns)?;
        let (path, argv) = self.user_program(netns, words)?;
        let enter = self.user_entry(netns, &file)?;
        Err(process::start_error(&path, &process::become_program(&path, &argv, enter)))
    }

    /// A shell on the terminal, with the files of the user's programs; its end is waited for.
    ///
    /// # Errors
    ///
    /// When there is no terminal or no shell, or the files cannot be had.
    pub fn shell(&self) -> Result<()> {
        let file = self.netns(&Where::Host)?;
        let opened = self.user_entry(&Where::Host, &file)?.within(child::shell)?;
        opened.map_err(|error| Error::new(Kind::CommandFailed, format!("cannot open a shell: {error}")))
    }

    /// The path of a program of the user's.
    ///
    /// # Errors
    ///
    /// `ToolMissing` when there is none of that name.
    pub fn find_user(&self, netns: &Where, program: &str) -> Result<std::path::PathBuf> {
        // Another program of the user's may have made it.
        let found =
            tools::find(program).map_or_else(|| self.in_user_files(|| tools::find(program)), |path| Ok(Some(path)))?;
        found.ok_or_else(|| {
            Error::new(Kind::ToolMissing, format!("there is no program `{program}`"))
                .hint(format!("searched in {}", tools::user_path()))
                .netns(netns.name())
        })
    }

    fn user_program(&self, netns: &Where, words: &[String]) -> Result<(std::path::PathBuf, Vec<OsString>)> {
        let Some((program, rest)) = words.split_first() else {
            return Err(Error::new(Kind::InvalidArgument, "there is no command to run")
                .hint("give a program and its words: `ns.exec(\"ip -brief link\")`"));
        };
        let path = self.find_user(netns, program)?;
        if words.iter().any(|word| word.contains('\0')) {
            return Err(Error::new(Kind::InvalidArgument, "a word of a command cannot hold a NUL character"));
        }
        let rest = rest.iter().map(OsString::from);
        Ok(match netns {
            Where::Named(name) => {
                let prefix = ["netns", "exec", name].map(OsString::from).into_iter().chain([path.into_os_string()]);
                (self.tools.path(Tool::Ip)?, prefix.chain(rest).collect())
            }
            Where::Host | Where::Path(_) => (path, rest.collect()),
        })
    }
}

/// Waits until `ip netns exec` has entered the namespace, so that whoever asks for the process's namespace finds the right one.
fn await_entry(background: &background::Background, netns: &Where) {
    let wanted = netns::path_of(netns).as_deref().and_then(netns::id_at);
    let of_process = format!("/proc/{}/ns/net", background.pid());
    let until = Instant::now() + crate::patience::scaled(ENTRY_MAX);
    while background.running() && netns::id_at(std::path::Path::new(&of_process)) != wanted && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The user's command as a person would type it.
#[must_use]
pub fn user_line(netns: &Where, words: &[String]) -> String {
    let prefix: Vec<String> = match netns {
        Where::Host => Vec::new(),
        Where::Named(name) => ["ip", "netns", "exec", name].map(String::from).into(),
        Where::Path(path) => vec!["nsenter".into(), format!("--net={}", path.display())],
    };
    crate::op::quote(&prefix.into_iter().chain(secret::hide(words, secret::Of::User)).collect::<Vec<_>>())
}

/// The error of a process that we ended; `limit` is what it had.
fn not_ended(end: End, ran: Ran, limit: Duration) -> Error {
    let command = &ran.command;
    let (kind, message) = match end {
        End::Interrupted => (Kind::Interrupted, format!("interrupted while `{command}` ran")),
        End::Flooded => {
            (Kind::ToolOutput, format!("`{command}` printed more than {} MiB", process::OUTPUT_MAX_BYTES >> 20))
        }
        _ => (Kind::TimedOut, format!("`{command}` did not end within {}", humantime::format_duration(limit))),
    };
    Error::new(kind, message).ran(ran)
}

/// Turns a finished process into an output, or into the error of one that did not end by itself.
fn finished_output(command: &str, words: &[String], finished: Finished, limit: Duration) -> Result<Output> {
    let Finished { end, stdout, stderr, took } = finished;
    let stderr = secret::hide_in(stderr, words);
    let ran = Ran { command: command.to_owned(), status: None, stdout, stderr, took };
    let status = match end {
        End::Exited(status) => status,
        End::Killed(signal) => 128 + signal,
        // Millions of characters of it say nothing more.
        End::Flooded => {
            return Err(not_ended(end, Ran { stdout: String::new(), stderr: String::new(), ..ran }, limit));
        }
        End::TimedOut | End::Interrupted => return Err(not_ended(end, ran, limit)),
    };
    Ok(Output { ok: status == 0, ran: Ran { status: Some(status), ..ran }, unsure: false })
}
