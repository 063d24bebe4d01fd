//! Files of a namespace, and what a script reads and writes as a filter: files, standard input, words, JSON.

use std::io::{self, IsTerminal, Read};
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::value::{Options, each, to_dynamic, type_of};
use super::{Netns, Out, act, act_global, reject, run_of};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::model::{Cidr, addr};
use crate::op::secret::HIDDEN;
use crate::script::source::{self, Unread};
use crate::script::value_text::shown;
use crate::session::file::{self, Resolver};

/// As much of a file or of standard input is taken, in bytes.
const TEXT_MAX: u64 = 16 << 20;
/// How often a script that waits for its input looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

/// An address: text or a cidr.
fn ip(value: &Dynamic, of: &str) -> Result<IpAddr> {
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok(cidr.ip());
    }
    match value.as_immutable_string_ref() {
        Ok(text) => addr::ip(&text),
        Err(_) => Err(invalid(format!("an address of `{of}` is a string or a cidr, not {}", type_of(value)))),
    }
}

/// A word of a file: without white space, which would make two of it.
fn word(value: &Dynamic, of: &str) -> Result<String> {
    let text = value
        .as_immutable_string_ref()
        .map_err(|_| invalid(format!("`{of}` is a string or an array of strings, not {}", type_of(value))))?;
    plain(&text, of).map(|()| text.to_string())
}

fn plain(text: &str, of: &str) -> Result<()> {
    let is_word = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#');
    if is_word { Ok(()) } else { Err(invalid(format!("`{text}` cannot stand in `{of}`: it is no single word"))) }
}

fn entries(map: &Map) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, value) in map {
        plain(name, "hosts")?;
        all.extend(each(value, |one| ip(one, "hosts"))?.into_iter().map(|addr| (addr.to_string(), name.to_string())));
    }
    Ok(all)
}

fn resolver(servers: &Array, options: Map) -> Result<Resolver> {
    let options = Options::new(options, "resolv_conf")?;
    let words = |key: &str| -> Result<Vec<String>> {
        options.value(key).map_or(Ok(Vec::new()), |value| each(value, |one| word(one, key)))
    };
    let servers = servers.iter().map(|server| ip(server, "resolv_conf")).collect::<Result<_>>()?;
    Ok(Resolver { servers, search: words("search")?, options: words("options")? })
}

fn give(context: &NativeCallContext, netns: &Netns, path: &str, text: &str) -> Out<()> {
    act(context, &netns.run, |session| session.netns_file(&netns.at, path, text).map(drop))
}

fn resolve_by(context: &NativeCallContext, netns: &Netns, servers: &Array, options: Map) -> Out<()> {
    let text = reject(context, resolver(servers, options).and_then(|resolver| resolver.text()))?;
    give(context, netns, "/etc/resolv.conf", &text)
}

/// What was read as text, if it is not too much.
fn text_of(bytes: Vec<u8>, what: &str) -> Result<String> {
    if bytes.len() as u64 > TEXT_MAX {
        return Err(invalid(format!("{what} holds more than {} MiB", TEXT_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| invalid(format!("{what} is not UTF-8")))
}

fn unreadable(error: &io::Error, what: &str) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::NotFound, format!("there is no file {what}")),
        io::ErrorKind::PermissionDenied => Error::new(Kind::PermissionDenied, format!("{what} may not be read")),
        _ => Error::new(Kind::CommandFailed, format!("{what} cannot be read: {}", source::plain(error))),
    }
}

pub(super) fn file_text(path: &str, interrupt: &Interrupt) -> Result<String> {
    let what = format!("`{path}`");
    let bytes = source::read_bytes(Path::new(path), TEXT_MAX, interrupt).map_err(|error| match error {
        Unread::Failed(error) => unreadable(&error, &what),
        Unread::Silent(waited) => {
            Error::new(Kind::TimedOut, format!("nobody writes into {what}")).hint(format!("waited {waited}"))
        }
        Unread::Interrupted(error) => error,
    })?;
    text_of(bytes, &what)
}

/// All that standard input holds.
fn all_input() -> Result<String> {
    let (mut bytes, what) = (Vec::new(), "standard input");
    let read = std::io::stdin().lock().take(TEXT_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error, what))?;
    text_of(bytes, what)
}

/// Standard input to its end, unless the run is to stop before.
fn input(interrupt: &Interrupt) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Err(invalid("standard input is a terminal: there is nothing to read".into())
            .hint("echo '{}' | netwright run SCRIPT"));
    }
    // A read cannot be called off; the thread ends with the process.
    let (told, heard) = channel();
    std::thread::spawn(move || told.send(all_input()));
    loop {
        interrupt.check()?;
        match heard.recv_timeout(TICK) {
            Ok(text) => return text,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(Kind::Internal, "the thread that reads standard input has gone"));
            }
        }
    }
}

/// A value as JSON. What JSON has not (a namespace, a link, a cidr) is the text that `print` shows of it.
fn json(value: &Dynamic) -> serde_json::Value {
    use serde_json::Value;
    if value.is_unit() {
        return Value::Null;
    }
    if let Ok(truth) = value.as_bool() {
        return truth.into();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.as_str().into();
    }
    if value.is::<super::secret::Secret>() {
        return HIDDEN.into();
    }
    if let Ok(number) = value.as_int() {
        return number.into();
    }
    if let Ok(number) = value.as_float() {
        return number.into();
    }
    if let Ok(all) = value.as_array_ref() {
        return all.iter().map(json).collect();
    }
    if let Ok(map) = value.as_map_ref() {
        return Value::Object(map.iter().map(|(key, value)| (key.to_string(), json(value))).collect());
    }
    let fields = super::record::plain(value);
    if fields.is_map() { json(&fields) } else { super::value::word(value).unwrap_or_else(|| shown(value)).into() }
}

#[export_module]
pub mod api {
    /// Gives the programs of the namespace, those that start from now on, a file of their own in the place of the machine's, as `ip netns exec`
    /// lays `/etc/netns/NAME/FILE` over `/etc/FILE`. The machine's own is not touched; where it has none, an empty one is made to lie below.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.file("/etc/motd", "hello from blue\n");
    /// assert_eq(blue.run("cat /etc/motd"), "hello from blue");
    /// ```
    #[rhai_fn(name = "file", return_raw, pure)]
    pub fn file(context: NativeCallContext, netns: &mut Netns, path: &str, text: &str) -> Out<()> {
        give(&context, netns, path, text)
    }

    /// The hosts that the programs of the namespace know by name, beside `localhost`: a map of names to an address or several.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.hosts(#{ "app.test": "10.0.0.2", "db.test": ["10.0.0.3", "2001:db8::3"] });
    /// assert_eq(blue.resolve("app.test"), ["10.0.0.2"]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn hosts(context: NativeCallContext, netns: &mut Netns, names: Map) -> Out<()> {
        let entries = reject(&context, entries(&names))?;
        give(&context, netns, "/etc/hosts", &file::hosts(&entries))
    }

    /// Whom the programs of the namespace ask for names: at most three servers.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.resolv_conf(["192.168.77.1"]);
    /// assert_eq(blue.run("cat /etc/resolv.conf"), "nameserver 192.168.77.1");
    /// ```
    #[rhai_fn(name = "resolv_conf", return_raw, pure)]
    pub fn resolv_conf(context: NativeCallContext, netns: &mut Netns, servers: Array) -> Out<()> {
        resolve_by(&context, netns, &servers, Map::new())
    }

    /// The same with `search`, the domains in which short names are looked for, and `options` in the words of resolv.conf(5).
    ///
    /// ```rhai
    /// netns("ns-blue").resolv_conf(["192.168.77.1"], #{ search: "lab.test", options: ["timeout:1", "attempts:1"] });
    /// ```
    #[rhai_fn(name = "resolv_conf", return_raw, pure)]
    pub fn resolv_conf_with(context: NativeCallContext, netns: &mut Netns, servers: Array, options: Map) -> Out<()> {
        resolve_by(&context, netns, &servers, options)
    }

    /// The addresses that a program of the namespace gets for a name (`getent ahosts`), in its order; an empty array when nobody knows the name.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.hosts(#{ "app.test": "10.0.0.2" });
    /// assert_eq(blue.resolve("app.test"), ["10.0.0.2"]);
    /// ```
    #[rhai_fn(name = "resolve", return_raw, pure)]
    pub fn resolve(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Array> {
        let found = act(&context, &netns.run, |session| session.resolve(&netns.at, name))?;
        Ok(found.into_iter().map(Dynamic::from).collect())
    }

    /// The text of a file, as the script's programs see it: with what they have written in a sandbox. At most 16 MiB of UTF-8.
    ///
    /// ```rhai
    /// host().run(["sh", "-c", "echo hello > /tmp/said"], #{ changes: false });
    /// assert_eq(read_file("/tmp/said"), "hello\n");
    /// ```
    #[rhai_fn(name = "read_file", return_raw)]
    pub fn read_file(context: NativeCallContext, path: &str) -> Out<String> {
        act_global(&context, |session| {
            session.settle_all()?;
            let interrupt = session.exec().interrupt();
            session.exec().in_user_files(|| file_text(path, interrupt))?
        })
    }

    /// What the script is given by standard input, to its end: `lab.json` of `netwright run SCRIPT < lab.json`. The same text each time.
    ///
    /// ```rhai
    /// // netwright run SCRIPT < lab.json
    /// if arg("from-stdin", false) { print(parse_json(stdin()).len()); }
    /// ```
    #[rhai_fn(name = "stdin", return_raw)]
    pub fn stdin(context: NativeCallContext) -> Out<String> {
        let run = run_of(&context)?;
        if let Some(text) = run.0.stdin.get() {
            return Ok(text.clone());
        }
        let text = act(&context, &run, |session| {
            session.settle_all()?;
            input(session.exec().interrupt())
        })?;
        Ok(run.0.stdin.get_or_init(|| text).clone())
    }

    /// The words behind the script that belong to no name: `a` and `b` of `netwright run SCRIPT --count 3 a b`.
    ///
    /// ```rhai
    /// for name in args() { netns(name); }
    /// ```
    #[rhai_fn(name = "args", return_raw)]
    pub fn words(context: NativeCallContext) -> Out<Array> {
        let run = run_of(&context)?;
        let words = run.0.arguments.borrow_mut().words();
        Ok(words.into_iter().map(Dynamic::from).collect())
    }

    /// The value as JSON, on one line. What JSON does not have, a namespace or a cidr, is the text that `print` shows.
    ///
    /// ```rhai
    /// assert_eq(to_json([1, #{ a: "b" }, ()]), `[1,{"a":"b"},null]`);
    /// print(host().routes.to_json());
    /// ```
    #[rhai_fn(name = "to_json", pure)]
    pub fn to_json(value: &mut Dynamic) -> String {
        json(value).to_string()
    }

    /// The same of a map.
    ///
    /// ```rhai
    /// assert_eq(#{ up: true, mtu: 1500 }.to_json(), `{"mtu":1500,"up":true}`);
    /// ```
    // Rhai has one of its own for maps, which no namespace and no address passes.
    #[rhai_fn(name = "to_json", pure)]
    pub fn map_to_json(value: &mut Map) -> String {
        json(&value.clone().into()).to_string()
    }

    /// The value that a text of JSON says: maps, arrays, strings, numbers, `()` for null.
    ///
    /// ```rhai
    /// let lab = parse_json(`{ "hosts": [{ "name": "web", "mtu": 1400 }] }`);
    /// assert_eq(lab.hosts[0].mtu, 1400);
    /// ```
    #[rhai_fn(name = "parse_json", return_raw)]
    pub fn parse_json(context: NativeCallContext, text: &str) -> Out<Dynamic> {
        let value = serde_json::from_str::<serde_json::Value>(text);
        let value = value.map_err(|error| invalid(format!("this is no JSON: {error}")));
        reject(&context, value).map(|value| to_dynamic(&value))
    }
}
