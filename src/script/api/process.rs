//! The user's own programs, and listeners of netwright's own.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rhai::Map;
use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::value::{Options, words};
use super::{Netns, Out, act, reject};
use crate::error::Result;
use crate::exec::background::Background;
use crate::probe::{self, Endpoint};

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

fn execute(context: &NativeCallContext, netns: &Netns, given: &Dynamic, options: Map) -> Out<Map> {
    let options = reject(context, Options::new(options, "exec"))?;
    let words = reject(context, words(given, "exec"))?;
    let deadline = reject(context, options.time("timeout"))?.unwrap_or(EXEC_DEADLINE);
    let stdin = reject(context, options.text("stdin"))?;
    let output = act(context, &netns.run, |session| session.run_user(&netns.at, &words, stdin.as_deref(), deadline))?;
    Ok(Map::from_iter([
        ("ok".into(), output.ok.into()),
        ("status".into(), Dynamic::from_int(output.ran.status.unwrap_or(-1).into())),
        ("stdout".into(), output.ran.stdout.into()),
        ("stderr".into(), output.ran.stderr.into()),
    ]))
}

fn serve(context: &NativeCallContext, netns: &Netns, endpoint: &str, banner: Option<String>) -> Out<Listener> {
    let endpoint: Endpoint = reject(context, endpoint.parse())?;
    {
        let mut listeners = netns.run.0.listeners.borrow_mut();
        listeners.retain(|listener| listener.serving.borrow().is_running());
        let same = |listener: &&Listener| listener.netns.at == netns.at && listener.endpoint == endpoint;
        if let Some(listener) = listeners.iter().find(same) {
            return Ok(listener.clone());
        }
    }
    let bind = || probe::Listener::bind(std::slice::from_ref(&endpoint), banner.map(String::into_bytes));
    let serving = act(context, &netns.run, |session| -> Result<probe::Listener> { session.within(&netns.at, bind)? })?;
    let listener = Listener { netns: netns.clone(), endpoint, serving: Rc::new(RefCell::new(serving)) };
    netns.run.0.listeners.borrow_mut().push(listener.clone());
    Ok(listener)
}

#[export_module]
pub mod api {
    /// Runs a program in the namespace and waits for it: `#{ ok, status, stdout, stderr }`. A string is split as a shell splits words and never
    /// given to a shell; or an array of words. A program that fails is no error: look at `ok`.
    ///
    /// ```rhai
    /// let said = netns("ns-blue").exec("ip -brief link");
    /// assert(said.ok);
    /// assert(said.stdout.contains("lo"));
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec(context: NativeCallContext, netns: &mut Netns, command: Dynamic) -> Out<Map> {
        execute(&context, netns, &command, Map::new())
    }

    /// The same with `#{ timeout: "5m", stdin: "text" }`; the time is 60 s otherwise.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").exec("cat", #{ stdin: "hello" }).stdout, "hello");
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec_with(context: NativeCallContext, netns: &mut Netns, command: Dynamic, options: Map) -> Out<Map> {
        execute(&context, netns, &command, options)
    }

    /// Starts a program in the namespace and goes on; it is stopped at the end of the run.
    ///
    /// ```rhai
    /// let server = netns("ns-blue").start("sleep 60");
    /// assert(server.running);
    /// server.stop();
    /// assert(!server.running);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn start(context: NativeCallContext, netns: &mut Netns, command: Dynamic) -> Out<Process> {
        let words = reject(&context, words(&command, "start"))?;
        let running = act(&context, &netns.run, |session| session.start_user(&netns.at, &words))?;
        Ok(Process { netns: netns.clone(), running })
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

    /// A listener of netwright's own that echoes what it gets, until the end of the run: `"tcp/8080"`, `"udp/53"`, `"tcp/10.0.0.1:80"`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.listen("tcp/8080");
    /// expect(blue).reaches("tcp/127.0.0.1:8080");
    /// ```
    #[rhai_fn(name = "listen", return_raw, pure)]
    pub fn listen(context: NativeCallContext, netns: &mut Netns, endpoint: &str) -> Out<Listener> {
        serve(&context, netns, endpoint, None)
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
        serve(&context, netns, endpoint, banner)
    }

    /// How many connections or datagrams the listener has taken.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let web = blue.listen("tcp/80");
    /// blue.connect("tcp/127.0.0.1:80");
    /// eventually("2s", || web.accepted == 1);
    /// ```
    #[rhai_fn(get = "accepted", pure)]
    pub fn accepted(listener: &mut Listener) -> i64 {
        let counts = listener.serving.borrow().counts();
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
