//! The user's own programs, and listeners of netwright's own.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::Map;
use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::programs::Program;
use super::record::{Record, plain};
use super::secret::Secret;
use super::value::{Options, duration, pairs, type_of, word, words};
use super::{Netns, Out, act, reject};
use crate::error::{Error, Kind, Result};
use crate::exec::Output;
use crate::exec::background::Background;
use crate::model::shell;
use crate::op::program::Launch;
use crate::op::{Where, quote, secret};
use crate::patience::scaled;
use crate::probe::{self, Endpoint};
use crate::script::error::place_of;
use crate::session::noted::Noted;
use crate::session::program::Effect;
use crate::session::{self, Event, Session};

/// How long a program may run unless told otherwise.
const EXEC_DEADLINE: Duration = Duration::from_secs(60);

/// A program that runs beside the script.
#[derive(Clone)]
pub struct Process {
    netns: Netns,
    running: Rc<Background>,
}

/// A listener of netwright's own.
#[derive(Clone)]
pub struct Listener {
    netns: Netns,
    endpoint: Endpoint,
    serving: Rc<RefCell<probe::Listener>>,
}

/// How long a program may take until it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(10);
/// How long it is waited between two looks whether it is.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A warning that names the line of the script.
fn warn(session: &Session, text: &str) {
    let place = session.place().filter(|place| place.line > 0);
    let place = place.and_then(|place| Some(format!("{}:{}: ", place.source?, place.line))).unwrap_or_default();
    session.emit(&Event::Warning(&format!("{place}{text}")));
}

/// Warns of what only a shell would understand: the program gets it as a plain word.
fn warn_of_shell(session: &Session, given: &Dynamic, verb: &str) {
    let Ok(text) = given.as_immutable_string_ref() else { return };
    if let Some(found) = shell::only_for_a_shell(&text) {
        warn(session, &format!("{}; {}", shell::message(verb, found), shell::hint(verb, &text)));
    }
}

/// A program as a call says it.
struct Told {
    /// Its words, with those that say how it is started.
    words: Vec<String>,
    name: String,
    stdin: Option<String>,
    effect: Effect,
}

impl Told {
    fn read(session: &Session, at: &Where, given: &Dynamic, options: &Options, verb: &'static str) -> Result<Self> {
        let own = words(given, verb)?;
        let launch = launch(session, options, verb)?;
        let changed = launch != Launch::default();
        let name = own.first().cloned().unwrap_or_default();
        // `env` would say it in its own words. What another folder or another path leads to, it knows best.
        let is_sought = !name.contains('/') && !launch.env.iter().any(|(name, _)| name == "PATH");
        if changed && is_sought && !own.is_empty() {
            session.exec().find_user(at, &name)?;
        }
        let start = |own: &[String]| if own.is_empty() { Vec::new() } else { launch.words(own) };
        let undo = options.value("undo").map(|undo| words(undo, "undo")).transpose()?;
        let effect = match (undo, options.flag("changes")?) {
            (Some(_), Some(false)) => {
                return Err(Error::new(Kind::InvalidArgument, format!("`{verb}` changes nothing, and has an `undo`"))
                    .hint("what changes nothing needs none: leave out one of the two"));
            }
            (Some(undo), _) if undo.is_empty() => {
                return Err(Error::new(Kind::InvalidArgument, format!("`undo` of `{verb}` is no command"))
                    .hint("#{ undo: \"rm /run/x\" }"));
            }
            (Some(undo), _) => Effect::Undone(start(&undo)),
            (None, Some(true)) => Effect::Lasting,
            (None, Some(false)) => Effect::Nothing,
            (None, None) => Effect::Unknown,
        };
        Ok(Self { words: start(&own), name, stdin: options.text("stdin")?, effect })
    }

    fn program(&self) -> session::program::Program<'_> {
        session::program::Program {
            words: &self.words,
            name: &self.name,
            stdin: self.stdin.as_deref(),
            effect: self.effect.clone(),
        }
    }
}

/// How a program is started: `env`, `cwd`, `user`.
fn launch(session: &Session, options: &Options, verb: &str) -> Result<Launch> {
    let invalid = |message: String| Error::new(Kind::InvalidArgument, message);
    let env = match options.value("env") {
        None => Vec::new(),
        Some(value) => {
            let map = value.as_map_ref().map_err(|_| {
                invalid(format!("`env` of `{verb}` is a map, not {}", type_of(value)))
                    .hint("#{ env: #{ LANG: \"C\" } }")
            })?;
            if let Some((name, _)) = map.iter().find(|(_, value)| value.is::<Secret>()) {
                return Err(invalid(format!("`{name}` in `env` is secret, and everybody can read the words of `env`"))
                    .hint("`stdin` is read by the program alone"));
            }
            pairs(&map, "env")?
        }
    };
    if let Some((name, _)) = env.iter().find(|(name, _)| name.is_empty() || name.starts_with('-') || name.contains('='))
    {
        return Err(invalid(format!("`{name}` cannot be the name of a variable")));
    }
    let cwd = options.text("cwd")?;
    if let Some(folder) = &cwd
        && !session.exec().in_user_files(|| std::path::Path::new(folder).is_dir())?
    {
        return Err(Error::new(Kind::NotFound, format!("there is no folder `{folder}`")));
    }
    let user = options.text("user")?.map(|name| session.user(&name)).transpose()?;
    Ok(Launch { env, cwd, user })
}

fn to_its_end(
    context: &NativeCallContext,
    netns: &Netns,
    given: &Dynamic,
    options: Map,
    verb: &'static str,
) -> Out<Output> {
    let options = reject(context, Options::new(options, verb))?;
    let deadline = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(EXEC_DEADLINE));
    act(context, &netns.run, |session| {
        let told = Told::read(session, &netns.at, given, &options, verb)?;
        warn_of_shell(session, given, verb);
        session.run_user(&netns.at, &told.program(), deadline)
    })
}

fn must(context: &NativeCallContext, netns: &Netns, given: &Dynamic, options: Map) -> Out<String> {
    let output = to_its_end(context, netns, given, options, "run")?;
    if output.ok {
        return Ok(output.ran.stdout.trim().to_owned());
    }
    let program = words(given, "run").ok().and_then(|words| words.into_iter().next()).unwrap_or_default();
    let said = output.ran.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let how = match output.ran.status {
        Some(status @ 129..=192) => {
            format!("was ended by {}", crate::exec::interrupt::signal_name(status - 128))
        }
        Some(status) => format!("failed with status {status}"),
        None => "did not end".to_owned(),
    };
    let message = match said {
        Some(said) => format!("`{program}` in `{}` {how}: {said}", netns.at),
        None => format!("`{program}` in `{}` {how}", netns.at),
    };
    let error = Error::new(Kind::CommandFailed, message).netns(netns.at.name()).ran(output.ran);
    reject(context, Err(error.hint("`exec` is for a program that may fail: look at its `.ok`")))
}

/// What tells that a program is ready.
enum Ready {
    /// Something listens there.
    Port(Endpoint),
    /// The file is there.
    File(std::path::PathBuf),
    /// It has run for so long.
    Time(Duration),
    /// It has printed this.
    Line(String),
}

impl Ready {
    fn read(value: &Dynamic) -> Result<Self> {
        let Ok(text) = value.as_immutable_string_ref() else {
            return duration(value).map(Self::Time).map_err(|_| {
                let message = format!("`ready` of `start` is a string or a time, not {}", type_of(value));
                Error::new(Kind::InvalidArgument, message)
                    .hint("\"tcp/80\", a file \"/run/x.sock\", a time \"500ms\", or a part of a line that it prints")
            });
        };
        Ok(match text.as_str() {
            text if text.starts_with("tcp/") || text.starts_with("udp/") => Self::Port(text.parse()?),
            text if text.starts_with('/') => Self::File(text.into()),
            text => match humantime::parse_duration(text) {
                Ok(time) => Self::Time(time),
                Err(_) => Self::Line(text.to_owned()),
            },
        })
    }

    fn is_so(&self, session: &Session, program: &Program) -> Result<bool> {
        Ok(match self {
            Self::Port(endpoint) => session.within(&program.at, || probe::listens(endpoint))??,
            Self::File(path) => session.exec().in_user_files(|| path.exists())?,
            Self::Time(time) => program.running.age() >= *time,
            Self::Line(part) => program.running.output().contains(part.as_str()),
        })
    }

    fn missing(&self) -> String {
        match self {
            Self::Port(endpoint) => format!("nothing listens on {endpoint}"),
            Self::File(path) => format!("there is no `{}`", path.display()),
            Self::Time(time) => format!("it has not run for {}", humantime::format_duration(*time)),
            Self::Line(part) => format!("it has not printed `{part}`"),
        }
    }
}

/// Waits until a program is ready; one that is not is ended.
fn await_ready(session: &Session, program: &Program, ready: &Ready, limit: Duration) -> Result<()> {
    let failed = |message: String| {
        let lines = program.running.last_lines(10);
        let error = Error::new(Kind::CommandFailed, message).netns(program.at.name());
        if lines.is_empty() { error.note("printed", "nothing") } else { error.note("printed", lines.join("\n")) }
    };
    loop {
        // Looked at before: what ended after the last look was ready, or never will be.
        let how = program.running.how_ended();
        if ready.is_so(session, program)? {
            return Ok(());
        }
        if let Some(how) = how {
            return Err(failed(format!("`{}` {how} before it was ready: {}", program.command, ready.missing())));
        }
        if program.running.age() >= limit {
            let limit = humantime::format_duration(limit);
            let error = failed(format!("`{}` is not ready within {limit}: {}", program.command, ready.missing()));
            program.running.stop();
            return Err(error.hint("`timeout` beside `ready` gives it more time"));
        }
        session.exec().interrupt().sleep(READY_PAUSE)?;
    }
}

fn begin(context: &NativeCallContext, netns: &Netns, given: &Dynamic, options: Map) -> Out<Process> {
    let options = reject(context, Options::new(options, "start"))?;
    let ready = reject(context, options.value("ready").map(Ready::read).transpose())?;
    let limit = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(READY_DEADLINE));
    let running = act(context, &netns.run, |session| {
        let told = Told::read(session, &netns.at, given, &options, "start")?;
        warn_of_shell(session, given, "start");
        let running = session.start_user(&netns.at, &told.program())?;
        let command = quote(&secret::hide(&told.words, secret::Of::User));
        let program = Program { at: netns.at.clone(), command, running };
        netns.run.0.programs.add(program.clone());
        if let Some(ready) = &ready {
            await_ready(session, &program, ready, limit)?;
        }
        Ok(program.running)
    })?;
    Ok(Process { netns: netns.clone(), running })
}

fn execute(context: &NativeCallContext, netns: &Netns, given: &Dynamic, options: Map) -> Out<Record> {
    let output = to_its_end(context, netns, given, options, "exec")?;
    if !output.ok
        && netns
            .run
            .0
            .unlooked
            .borrow()
            .contains(&(context.call_source().unwrap_or_default().to_owned(), context.call_position()))
    {
        let status = output.ran.status.map_or("a signal".to_owned(), |status| format!("status {status}"));
        let said = output.ran.stderr.trim().lines().next_back().map_or(String::new(), |line| format!(" ({line})"));
        let line = &output.ran.command;
        warn(
            &netns.run.0.session,
            &format!("nobody looks at `exec`: `{line}` failed with {status}{said}; `run` would fail here"),
        );
    }
    Ok(Record::new(
        "exec",
        [
            ("ok", output.ok.into()),
            ("status", Dynamic::from_int(output.ran.status.unwrap_or(-1).into())),
            ("stdout", output.ran.stdout.into()),
            ("stderr", output.ran.stderr.into()),
        ],
    ))
}

/// Waits for the end of a program; its status.
fn await_end(context: &NativeCallContext, process: &Process, limit: Duration) -> Out<i64> {
    let until = Instant::now() + limit;
    act(context, &process.netns.run, |session| {
        loop {
            if let Some(status) = process.running.status() {
                return Ok(status.into());
            }
            if Instant::now() >= until {
                let limit = humantime::format_duration(limit);
                let message = format!("`{}` did not end within {limit}", process.running.line());
                return Err(Error::new(Kind::TimedOut, message).hint("`wait(\"5m\")` waits longer; `.stop()` ends it"));
            }
            session.exec().interrupt().sleep(READY_PAUSE)?;
        }
    })
}

impl Listener {
    /// Closes it and its connections.
    pub(crate) fn close(&self) {
        self.serving.borrow_mut().stop();
    }
}

/// What a listener does with those who come.
enum Service {
    Echo(Option<String>),
    Pages(probe::Site),
}

/// What a path is answered with: a text, or a map of what is said and how.
fn page(value: &Dynamic) -> Result<probe::Page> {
    if let Some(text) = word(value) {
        return Ok(probe::Page::text(200, &text));
    }
    let Some(map) = plain(value).try_cast::<Map>() else {
        let message = format!("a page is a text or a map, not {}", type_of(value));
        return Err(Error::new(Kind::InvalidArgument, message).hint("ns.serve(\"tcp/80\", #{ \"/\": \"hello\" })"));
    };
    let options = Options::new(map, "page")?;
    let status = options.number("status", 100..=599)?.and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let headers = match options.value("headers").map(|value| plain(value).try_cast::<Map>()) {
        Some(Some(headers)) => pairs(&headers, "page")?,
        Some(None) => {
            return Err(Error::new(Kind::InvalidArgument, "`headers` of a page is a map")
                .hint("#{ headers: #{ \"Cache-Control\": \"no-store\" } }"));
        }
        None => Vec::new(),
    };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_bad = |(name, value): &&(String, String)| {
        name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0'])
    };
    if let Some((name, value)) = headers.iter().find(is_bad) {
        return Err(Error::new(
            Kind::InvalidArgument,
            format!("`{}: {}` is no header", name.escape_debug(), value.escape_debug()),
        ));
    }
    Ok(probe::Page {
        status,
        headers,
        body: options.text("body")?.unwrap_or_default(),
        delay: options.time("delay")?.unwrap_or_default(),
    })
}

/// The pages of a server: one for all paths, or a map of those that there are.
fn site(value: &Dynamic) -> Result<probe::Site> {
    match plain(value).try_cast::<Map>() {
        Some(map) if map.keys().any(|key| key.starts_with('/')) => {
            if let Some(key) = map.keys().find(|key| !key.starts_with('/')) {
                return Err(Error::new(Kind::InvalidArgument, format!("`{key}` is no path: it begins with `/`")));
            }
            let pages = map.iter().map(|(path, value)| Ok((path.to_string(), page(value)?)));
            Ok(probe::Site { pages: pages.collect::<Result<_>>()?, other: None })
        }
        _ => Ok(probe::Site { other: Some(page(value)?), ..probe::Site::default() }),
    }
}

fn serve(context: &NativeCallContext, netns: &Netns, endpoint: &str, service: Service) -> Out<Listener> {
    let endpoint: Endpoint = reject(context, endpoint.parse())?;
    {
        // Those that are closed stay in the list: a test counts from where it began.
        let listeners = netns.run.0.listeners.borrow();
        let same = |listener: &&Listener| {
            listener.netns.at == netns.at && listener.endpoint == endpoint && listener.serving.borrow().is_running()
        };
        // Pages may be others than before.
        if let Some(listener) = listeners.iter().find(same).filter(|_| matches!(service, Service::Echo(_))) {
            return Ok(listener.clone());
        }
    }
    let bind = || match service {
        Service::Echo(banner) => probe::Listener::bind(std::slice::from_ref(&endpoint), banner.map(String::into_bytes)),
        Service::Pages(site) => probe::Listener::serve(&endpoint, site),
    };
    let serving = act(context, &netns.run, |session| -> Result<probe::Listener> {
        session.may_start(&endpoint.to_string())?;
        session.within(&netns.at, bind)?
    })?;
    let what = format!("{endpoint} in {}", netns.at);
    let visitors = serving.visitors();
    netns.run.0.session.note_down(Noted::Listener { what, visitors, place: Some(place_of(context)) });
    let listener = Listener { netns: netns.clone(), endpoint, serving: Rc::new(RefCell::new(serving)) };
    netns.run.0.listeners.borrow_mut().push(listener.clone());
    Ok(listener)
}

#[export_module]
pub mod api {
    /// Runs a program in the namespace and waits for it: `#{ ok, status, stdout, stderr }`. A string is split as a shell splits words and never
    /// given to a shell; or an array of words. A program that fails is no error: look at `ok`, or use `run`. What it writes to files in a sandbox is
    /// seen by the programs after it, and gone with the run, unless `--keep PATH` names it.
    ///
    /// ```rhai
    /// let said = netns("ns-blue").exec("ip -brief link");
    /// assert(said.ok);
    /// assert(said.stdout.contains("lo"));
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec(context: NativeCallContext, netns: &mut Netns, command: Dynamic) -> Out<Record> {
        execute(&context, netns, &command, Map::new())
    }

    /// The same with options. How it runs: `timeout` (60 s otherwise), `stdin` (a text), `env` (a map of variables beside those that it has
    /// anyway), `cwd` (the folder that it starts in), `user` (whom it runs as; with root only). What it changes: `undo` is the command that takes
    /// it back, planned, journalled and run by the undo like a verb's own, unless the program ended with an error and so changed nothing;
    /// `changes: false` says that there is nothing to take back, `changes: true` that nothing takes it back. What runs on the machine without one
    /// of the first two is named at the end of the run, and by `down`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// assert_eq(blue.exec("cat", #{ stdin: "hello" }).stdout, "hello");
    /// assert_eq(blue.run("sh -c 'echo $A; pwd'", #{ env: #{ A: "b" }, cwd: "/tmp", changes: false }), "b\n/tmp");
    /// host().run("touch /tmp/mark", #{ undo: "rm /tmp/mark" });
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec_with(context: NativeCallContext, netns: &mut Netns, command: Dynamic, options: Map) -> Out<Record> {
        execute(&context, netns, &command, options)
    }

    /// Runs a program that must succeed, and returns what it printed, without white space at its ends. It fails with the program's last line of
    /// error and its status. `/etc/netns/NAME/resolv.conf` and `hosts`, where they are, are the DNS resolver and the hosts of the programs of the
    /// namespace `NAME`; in a sandbox a file that a program writes is gone with the run.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").run("echo hello"), "hello");
    /// try { netns("ns-blue").run("false"); } catch (e) { assert_eq(e.status, 1); }
    /// host().run(["sh", "-c", "mkdir -p /etc/netns/ns-blue && echo '10.0.0.2 app.test' > /etc/netns/ns-blue/hosts"]);
    /// assert(netns("ns-blue").run("getent hosts app.test").contains("10.0.0.2"));
    /// ```
    #[rhai_fn(name = "run", return_raw, pure)]
    pub fn run(context: NativeCallContext, netns: &mut Netns, command: Dynamic) -> Out<String> {
        must(&context, netns, &command, Map::new())
    }

    /// The same with the options of `exec`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").run("cat", #{ stdin: "hello\n" }), "hello");
    /// ```
    #[rhai_fn(name = "run", return_raw, pure)]
    pub fn run_with(context: NativeCallContext, netns: &mut Netns, command: Dynamic, options: Map) -> Out<String> {
        must(&context, netns, &command, options)
    }

    /// Starts a program in the namespace and goes on; it is stopped at the end of the test or run that started it. Any server will do, one of
    /// DHCP and DNS too: `start("dnsmasq --no-daemon --dhcp-range=10.0.0.50,10.0.0.60", #{ ready: "udp/67" })`.
    ///
    /// ```rhai
    /// let server = netns("ns-blue").start("sleep 60");
    /// assert(server.running);
    /// server.stop();
    /// assert(!server.running);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn start(context: NativeCallContext, netns: &mut Netns, command: Dynamic) -> Out<Process> {
        begin(&context, netns, &command, Map::new())
    }

    /// The same, and waits until the program is ready: `#{ ready: "tcp/80" }` until it listens there, `"/run/x.sock"` until the file is there,
    /// `"Serving HTTP"` until it has printed that, `"500ms"` until it has run for that long. It fails, with the program's last lines, when
    /// that does not come within `timeout` (10 s) or the program ends before. `stdin`, `env`, `cwd`, `user` and `changes` are those of `exec`.
    ///
    /// ```rhai
    /// let ready = netns("ns-blue").start(["sh", "-c", "echo up; sleep 60"], #{ ready: "up", timeout: "5s" });
    /// assert(ready.running);
    /// ```
    #[rhai_fn(name = "start", return_raw, pure)]
    pub fn start_with(context: NativeCallContext, netns: &mut Netns, command: Dynamic, options: Map) -> Out<Process> {
        begin(&context, netns, &command, options)
    }

    /// Whether the program still runs.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").start("sleep 60").running);
    /// ```
    #[rhai_fn(get = "running", pure)]
    pub fn running(process: &mut Process) -> bool {
        process.running.running()
    }

    /// What the program printed so far, standard output and error together. Of more than 16 MiB the last part is kept, after a line that says
    /// how much is missing.
    ///
    /// ```rhai
    /// let hello = netns("ns-blue").start("echo hello");
    /// eventually("5s", || hello.output == "hello\n");
    /// ```
    #[rhai_fn(get = "output", pure)]
    pub fn output(process: &mut Process) -> String {
        process.running.output()
    }

    /// The exit status; `()` while it runs, 128 + n when signal n ended it.
    ///
    /// ```rhai
    /// let done = netns("ns-blue").start("true");
    /// eventually("5s", || done.status == 0);
    /// ```
    #[rhai_fn(get = "status", pure)]
    pub fn status(process: &mut Process) -> Dynamic {
        process.running.status().map_or(Dynamic::UNIT, |status| Dynamic::from_int(status.into()))
    }

    /// Waits until the program has ended, for 60 s; its exit status.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").start("sh -c 'exit 3'").wait(), 3);
    /// ```
    #[rhai_fn(name = "wait", return_raw, pure)]
    pub fn wait(context: NativeCallContext, process: &mut Process) -> Out<i64> {
        await_end(&context, process, scaled(EXEC_DEADLINE))
    }

    /// The same for another time.
    ///
    /// ```rhai
    /// let counting = netns("ns-blue").start("sleep 60");
    /// try { counting.wait("50ms"); } catch (e) { assert_eq(e.error, "TimedOut"); }
    /// ```
    #[rhai_fn(name = "wait", return_raw, pure)]
    pub fn wait_for(context: NativeCallContext, process: &mut Process, timeout: Dynamic) -> Out<i64> {
        let limit = reject(&context, duration(&timeout))?;
        await_end(&context, process, scaled(limit))
    }

    /// Sends the program a signal by its name: `"HUP"`, `"USR1"`, `"STOP"`. An error when the program has ended.
    ///
    /// ```rhai
    /// let server = netns("ns-blue").start("sleep 60");
    /// server.signal("INT");
    /// assert_eq(server.wait(), 130);
    /// ```
    #[rhai_fn(name = "signal", return_raw, pure)]
    pub fn signal(context: NativeCallContext, process: &mut Process, name: &str) -> Out<()> {
        act(&context, &process.netns.run, |_| {
            if process.running.signal(name)? {
                return Ok(());
            }
            let how = process.running.how_ended().unwrap_or_else(|| "has ended".to_owned());
            Err(Error::new(Kind::NotFound, format!("`{}` {how}: it gets no signal", process.running.line())))
        })
    }

    /// The process id.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").start("sleep 60").pid > 1);
    /// ```
    #[rhai_fn(get = "pid", pure)]
    pub fn pid(process: &mut Process) -> i64 {
        process.running.pid().into()
    }

    /// Ends the program and everything it started: TERM, then KILL.
    ///
    /// ```rhai
    /// netns("ns-blue").start("sleep 60").stop();
    /// ```
    #[rhai_fn(name = "stop", return_raw, pure)]
    pub fn process_stop(context: NativeCallContext, process: &mut Process) -> Out<()> {
        act(&context, &process.netns.run, |_| {
            if process.running.stop() {
                return Ok(());
            }
            Err(crate::Error::new(crate::Kind::Busy, format!("`{}` does not end", process.running.line())))
        })
    }

    /// The command and its process id as text.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").start("sleep 60").to_string().contains("sleep 60"));
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn process_to_string(process: &mut Process) -> String {
        format!("{} [{}]", process.running.line(), process.running.pid())
    }

    /// A listener of netwright's own that echoes what it gets, until the end of the test or run that made it: `"tcp/8080"`, `"udp/53"`, `"tcp/10.0.0.1:80"`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.listen("tcp/8080");
    /// expect(blue).reaches("tcp/127.0.0.1:8080");
    /// ```
    #[rhai_fn(name = "listen", return_raw, pure)]
    pub fn listen(context: NativeCallContext, netns: &mut Netns, endpoint: &str) -> Out<Listener> {
        serve(&context, netns, endpoint, Service::Echo(None))
    }

    /// The same with a banner that every connection gets first: `#{ banner: "220 hello\r\n" }`.
    ///
    /// ```rhai
    /// netns("ns-blue").listen("tcp/25", #{ banner: "220 hello\r\n" });
    /// ```
    #[rhai_fn(name = "listen", return_raw, pure)]
    pub fn listen_with(context: NativeCallContext, netns: &mut Netns, endpoint: &str, options: Map) -> Out<Listener> {
        let options = reject(&context, Options::new(options, "listen"))?;
        let banner = reject(&context, options.text("banner"))?;
        serve(&context, netns, endpoint, Service::Echo(banner))
    }

    /// A server of pages over HTTP/1.1, until the end of the test or run that made it: one text for all paths, or a map from paths to texts or to
    /// `#{ body, status, delay, headers }`; a path that is not there is answered with 404. Clients keep their connections, and may ask ahead.
    /// There is no TLS, and of requests only the path counts.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let web = blue.serve("tcp/80", #{
    ///     "/": "hello\n",
    ///     "/old": #{ status: 301, headers: #{ Location: "/" } },
    ///     "/slow": #{ body: "late", delay: "50ms" },
    ///     "/gone": #{ status: 410 },
    /// });
    /// assert_eq(blue.http("http://127.0.0.1/").body, "hello\n");
    /// assert_eq(blue.http("http://127.0.0.1/gone").status, 410);
    /// assert_eq(blue.http("http://127.0.0.1/other?page=2").status, 404);
    /// assert_eq(web.requests, ["GET /", "GET /gone", "GET /other?page=2"]);
    /// ```
    #[rhai_fn(name = "serve", return_raw, pure)]
    pub fn serve_pages(context: NativeCallContext, netns: &mut Netns, endpoint: &str, pages: Dynamic) -> Out<Listener> {
        let site = reject(&context, site(&pages))?;
        serve(&context, netns, endpoint, Service::Pages(site))
    }

    /// What was asked of a server of pages, in order: the first 10,000. A listener that echoes was asked for nothing.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let web = blue.serve("tcp/80", "hello");
    /// blue.http("http://127.0.0.1/a");
    /// assert_eq(web.requests, ["GET /a"]);
    /// ```
    #[rhai_fn(get = "requests", pure)]
    pub fn requests(listener: &mut Listener) -> rhai::Array {
        let serving = listener.serving.borrow();
        serving.settle();
        serving.requests().into_iter().map(Dynamic::from).collect()
    }

    /// How many connections or datagrams have come to the listener until now.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let web = blue.listen("tcp/80");
    /// blue.connect("tcp/127.0.0.1:80");
    /// assert_eq(web.accepted, 1);
    /// ```
    #[rhai_fn(get = "accepted", pure)]
    pub fn accepted(listener: &mut Listener) -> i64 {
        let serving = listener.serving.borrow();
        serving.settle();
        let counts = serving.counts();
        i64::try_from(counts.accepted + counts.datagrams).unwrap_or(i64::MAX)
    }

    /// Whether the listener still serves.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").listen("tcp/80").running);
    /// ```
    #[rhai_fn(name = "running", get = "running", pure)]
    pub fn listener_running(listener: &mut Listener) -> bool {
        listener.serving.borrow().is_running()
    }

    /// Closes the listener and its connections.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.listen("tcp/80").stop();
    /// assert_eq(blue.connect("tcp/127.0.0.1:80").reason, "refused");
    /// ```
    #[rhai_fn(name = "stop", pure)]
    pub fn listener_stop(listener: &mut Listener) {
        listener.serving.borrow_mut().stop();
    }

    /// The listener as text: `ns-blue tcp/80`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").listen("tcp/80").to_string(), "ns-blue tcp/80");
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn listener_to_string(listener: &mut Listener) -> String {
        format!("{} {}", listener.netns.at, listener.endpoint)
    }
}
