//! Looking at more than one packet: the whole matrix, a page, throughput, captured packets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::record::Record;
use super::value::{Options, each, type_of, words};
use super::verify::all_ok as marked;
use super::{Netns, Out, Run, act, act_global, reject, run_of};
use crate::error::{Error, Kind, Result};
use crate::exec::background::Background;
use crate::exec::tools;
use crate::files::{self, Folder};
use crate::patience::scaled;
use crate::probe::{Endpoint, http, throughput};
use crate::session::Session;
use crate::session::program::{Effect, Program};
use crate::verify::matrix::{Column, Matrix, Pair, Service, TIMEOUT};
use crate::verify::{Manner, Outcome};
use crate::why;

/// Who reaches whom, as scripts hold it.
#[derive(Clone)]
pub struct Reachability(pub(crate) Rc<Matrix>);

/// A program that captures packets, and its file.
#[derive(Clone)]
pub struct Capture {
    run: Run,
    running: Rc<Background>,
    file: PathBuf,
}

/// The captures of a run: what is not part of a failure is thrown away.
#[derive(Default)]
pub(crate) struct Captures {
    all: RefCell<Vec<(Rc<Background>, PathBuf)>>,
    count: Cell<u32>,
}

impl Captures {
    pub(crate) fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Ends the captures from the `first` on. With `keep` the names of their files, which otherwise are deleted.
    pub(crate) fn end(&self, first: usize, keep: bool) -> Vec<String> {
        let mut kept = Vec::new();
        for (running, file) in self.all.borrow_mut().drain(first..) {
            running.stop();
            if keep {
                kept.push(file.display().to_string());
            } else {
                let _ = std::fs::remove_file(&file);
                // The folder goes with its last file; it stays when there is anything else in it.
                if file.parent() != Some(&std::env::temp_dir()) {
                    let _ = file.parent().map(std::fs::remove_dir);
                }
            }
        }
        kept
    }
}

/// The nodes of a matrix.
fn nodes(context: &NativeCallContext, given: &Array) -> Out<Vec<Netns>> {
    let node = |value: &Dynamic| {
        value.clone().try_cast::<Netns>().ok_or_else(|| {
            Error::new(
                Kind::InvalidArgument,
                format!("`reachability` is about namespaces, not about {}", type_of(value)),
            )
            .hint("reachability([netns(\"a\"), netns(\"b\")])")
        })
    };
    reject(context, given.iter().map(node).collect())
}

/// A pair that is named: who, whom, and which of its services; all of them when that is left out.
type Named = (usize, usize, Option<Service>);

/// `[[from, to], [from, to, "tcp/80"], …]` as places in the list; a namespace or its name.
fn pairs(value: &Dynamic, option: &str, names: &[String], columns: &[Column]) -> Result<Vec<Named>> {
    let wrong = |what: &str| {
        Error::new(Kind::InvalidArgument, format!("`{option}` of `reachability` is pairs of namespaces, not {what}"))
            .hint(format!("{option}: [[\"web\", \"db\"], [\"web\", \"db\", \"tcp/5432\"]]"))
    };
    let end = |value: &Dynamic| {
        let netns = value.read_lock::<Netns>().map(|netns| netns.at.to_string());
        let name = netns.or_else(|| value.clone().into_string().ok()).ok_or_else(|| wrong(&type_of(value)))?;
        place_of_name(&name, option, names)
    };
    let all = value.as_array_ref().map_err(|_| wrong(&type_of(value)))?;
    let pair = |pair: &Dynamic| match pair.as_array_ref().as_deref().map(Vec::as_slice) {
        Ok([from, to]) => Ok((end(from)?, end(to)?, None)),
        Ok([from, to, port]) => {
            let (to, service) = (end(to)?, service(port)?);
            if columns.contains(&Column { node: to, service: Some(service) }) {
                return Ok((end(from)?, to, Some(service)));
            }
            Err(Error::new(Kind::NotFound, format!("`{service}` of `{}` in `{option}` is not asked for", names[to]))
                .hint(format!("port: #{{ \"{}\": \"{service}\" }}", names[to])))
        }
        Ok(other) => Err(wrong(&format!("an array of {}", other.len()))),
        Err(_) => Err(wrong(&type_of(pair))),
    };
    all.iter().map(pair).collect()
}

/// The place of a namespace in the list.
fn place_of_name(name: &str, option: &str, names: &[String]) -> Result<usize> {
    names.iter().position(|known| known == name).ok_or_else(|| {
        Error::new(Kind::NotFound, format!("`{name}` of `{option}` is not in the list"))
            .hint(format!("in it are {}", names.join(", ")))
    })
}

/// `"tcp/443"`
fn service(value: &Dynamic) -> Result<Service> {
    let wrong = |what: &str| {
        Error::new(Kind::InvalidArgument, format!("a service of `reachability` is a port, not {what}"))
            .hint("port: \"tcp/443\", or what each namespace serves: port: #{ web: [\"tcp/80\", \"tcp/443\"] }")
    };
    let text = value.as_immutable_string_ref().map_err(|_| wrong(&type_of(value)))?;
    let endpoint: Endpoint = text.parse()?;
    match (endpoint.addr, endpoint.port) {
        (None, port) if port != 0 => Ok(Service { proto: endpoint.proto, port }),
        _ => Err(wrong(&format!("`{}`", text.as_str()))),
    }
}

/// The services that are asked for, each with its namespace.
fn services(value: &Dynamic, names: &[String]) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    let mut add = |node: usize, services: Vec<Service>| {
        columns.extend(services.into_iter().map(|service| Column { node, service: Some(service) }));
    };
    match value.as_map_ref() {
        Ok(map) => {
            let each = map.iter().map(|(name, value)| Ok((place_of_name(name, "port", names)?, each(value, service)?)));
            let mut each = each.collect::<Result<Vec<_>>>()?;
            each.sort_by_key(|(node, _)| *node);
            for (node, services) in each {
                add(node, services);
            }
        }
        Err(_) => {
            let services = each(value, service)?;
            for node in 0..names.len() {
                add(node, services.clone());
            }
        }
    }
    if columns.is_empty() {
        return Err(Error::new(Kind::InvalidArgument, "`port` of `reachability` names no service"));
    }
    Ok(columns)
}

/// What was found of a pair, in one word.
fn found(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Reached => "reached",
        Outcome::NotReached => "blocked",
        Outcome::Inconclusive => "inconclusive",
    }
}

/// What a baseline says: from whom, to which column, whether it is reached.
type Baseline = BTreeMap<String, BTreeMap<String, bool>>;

/// Reads a baseline that stands beside the script.
fn baseline(context: &NativeCallContext, session: &Session, name: &str) -> Result<Baseline> {
    let script = context.call_source().map(Path::new).and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let path = script.join(name);
    let interrupt = session.exec().interrupt();
    let text = session.exec().in_user_files(|| super::files::file_text(&path.to_string_lossy(), interrupt))?;
    let text = text.map_err(|error| error.hint("`print(reachability(…).baseline)` is what to put into it"))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::InvalidArgument, format!("`{}` is no baseline: {error}", path.display()))
            .hint("{ \"web\": { \"db tcp/5432\": true } }, as `.baseline` of a table prints it")
    })
}

fn survey(context: &NativeCallContext, given: &Array, options: Map) -> Out<Reachability> {
    let nodes = nodes(context, given)?;
    let at: Vec<_> = nodes.into_iter().map(|netns| netns.at).collect();
    let names: Vec<String> = at.iter().map(ToString::to_string).collect();
    let options = reject(context, Options::new(options, "reachability"))?;
    let columns = reject(context, options.value("port").map(|value| services(value, &names)).transpose())?;
    let columns = columns.unwrap_or_default();
    let read = |option: &str| options.value(option).map(|value| pairs(value, option, &names, &columns)).transpose();
    let (allow, deny) = (reject(context, read("allow"))?, reject(context, read("deny"))?);
    if let Some((from, to, _)) = allow.iter().flatten().find(|pair| deny.iter().flatten().any(|other| other == *pair)) {
        let text = format!("`{}` to `{}` is both allowed and denied", names[*from], names[*to]);
        return reject(context, Err(Error::new(Kind::InvalidArgument, text)));
    }
    let known = match reject(context, options.text("baseline"))? {
        Some(_) if allow.is_some() || deny.is_some() => {
            let text = "`reachability` takes a `baseline`, or `allow` and `deny`";
            return reject(context, Err(Error::new(Kind::InvalidArgument, text)));
        }
        Some(name) => Some(act_global(context, |session| baseline(context, session, &name))?),
        None => None,
    };
    let timeout = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(TIMEOUT));
    let mut matrix = act_global(context, |session| session.reachability(&at, &columns, timeout))?;
    if let Some(known) = &known {
        reject(context, covers(known, &matrix))?;
        let heads: Vec<(Column, String)> = matrix.columns.iter().map(|column| (*column, matrix.name(column))).collect();
        matrix.set_expected(|from, column| {
            let (_, head) = heads.iter().find(|(known, _)| known == column)?;
            known.get(names.get(from)?)?.get(head).copied()
        });
    } else {
        matrix.set_expected(|from, column| {
            // What names a service says more than what names its namespace.
            let listed = |pairs: &Option<Vec<Named>>| {
                pairs.as_ref().map(|pairs| {
                    pairs.contains(&(from, column.node, None)) || pairs.contains(&(from, column.node, column.service))
                })
            };
            match (listed(&allow), listed(&deny)) {
                (Some(false), Some(false)) => None,
                (_, Some(true)) | (Some(false), None) => Some(false),
                (Some(true), _) | (None, Some(false) | None) => Some(true),
            }
        });
    }
    // As `cannot_reach` has it: what cannot be read is no proof.
    act_global(context, |session| {
        matrix.prove(|from, target| Ok(why::forbids(session, from, target, &Manner::default()).unwrap_or(false)))
    })?;
    Ok(Reachability(Rc::new(matrix)))
}

/// Whether a baseline speaks of the pairs of a table, and of no others: what it does not know would pass unseen.
fn covers(known: &Baseline, matrix: &Matrix) -> Result<()> {
    let asked: Vec<(String, String)> = matrix.pairs().map(|(from, _, to, _)| (from.to_string(), to)).collect();
    let told = |(from, to): &(String, String)| known.get(from).is_some_and(|row| row.contains_key(to));
    let missing = asked.iter().find(|pair| !told(pair));
    let told = known.iter().flat_map(|(from, row)| row.keys().map(move |to| (from.clone(), to.clone())));
    let stray = told.into_iter().find(|pair| !asked.contains(pair));
    let error = match (missing, stray) {
        (Some((from, to)), _) => format!("the baseline does not know `{from}` to `{to}`"),
        (None, Some((from, to))) => format!("the baseline knows `{from}` to `{to}`, which is not asked for"),
        (None, None) => return Ok(()),
    };
    Err(Error::new(Kind::CheckFailed, error).hint("`print(reachability(…).baseline)` is what it would say now"))
}

/// Whether any address of the second that the first can name is connected to, and how fast.
fn bits(context: &NativeCallContext, from: &Netns, to: &Netns, options: Map) -> Out<i64> {
    let options = reject(context, Options::new(options, "throughput"))?;
    let seconds = match options.value("seconds") {
        None => 1.0,
        Some(value) => {
            let float = value
                .as_float()
                .ok()
                .or_else(|| value.as_int().ok().and_then(|n| i32::try_from(n).ok()).map(f64::from));
            let usable = float.filter(|seconds| (0.01..=3600.0).contains(seconds));
            let error = || Error::new(Kind::InvalidArgument, "`seconds` of `throughput` is a number from 0.01 to 3600");
            reject(context, usable.ok_or_else(error))?
        }
    };
    let port =
        reject(context, options.number("port", 1..=65_535))?.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let address = match reject(context, options.text("address"))? {
        None => None,
        Some(text) => {
            let bad = |_| Error::new(Kind::InvalidArgument, format!("`{text}` is not an address"));
            Some(reject(context, text.parse::<std::net::IpAddr>().map_err(bad))?)
        }
    };
    act(context, &from.run, |session| {
        let addr = match address {
            Some(addr) => addr,
            None => session.first_shared_addr(&from.at, &to.at)?,
        };
        session.wait_for_dad(&from.at, addr)?;
        let listener = session.within(&to.at, || throughput::receiver(addr, port))??;
        let at = listener.local_addr().map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let stream = session.within(&from.at, || throughput::sender(at))??;
        let interrupt = session.exec().interrupt().clone();
        let (bytes, took) =
            throughput::measure(&listener, stream, Duration::from_secs_f64(seconds), &|| interrupt.is_set())?;
        interrupt.check()?;
        let micros = took.as_micros().max(1);
        Ok(i64::try_from(u128::from(bytes) * 8 * 1_000_000 / micros).unwrap_or(i64::MAX))
    })
}

fn fetch(context: &NativeCallContext, netns: &Netns, url: &str, options: Map) -> Out<Record> {
    let options = reject(context, Options::new(options, "http"))?;
    let timeout = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(Duration::from_secs(5)));
    let url: http::Url = reject(context, url.parse())?;
    let answer = act(context, &netns.run, |session| {
        session.wait_for_dad(&netns.at, url.at.ip())?;
        let interrupt = session.exec().interrupt().clone();
        let answer = session.within(&netns.at, || http::get(&url, timeout, &|| interrupt.is_set()))?;
        interrupt.check()?;
        answer.map_err(|error| error.netns(netns.at.name()))
    })?;
    let headers: Map = answer.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Ok(Record::new(
        "http",
        [
            ("ok", (200..300).contains(&answer.status).into()),
            ("status", Dynamic::from_int(answer.status.into())),
            ("headers", headers.into()),
            ("body", answer.body.into()),
        ],
    ))
}

/// How long tcpdump may take until it listens.
const READY: Duration = Duration::from_secs(5);

fn record(context: &NativeCallContext, netns: &Netns, link: &str, filter: &str) -> Out<Capture> {
    let run = &netns.run;
    let filter = reject(context, words(&Dynamic::from(filter.to_owned()), "capture"))?;
    let running = act(context, run, |session| -> Result<_> {
        if tools::find_own("tcpdump").is_none() {
            return Err(Error::new(Kind::ToolMissing, "`tcpdump` is not installed")
                .hint(format!("install it: {}", tools::install("tcpdump")))
                .hint("needs(\"tcpdump\") skips where it is missing"));
        }
        if tools::groups_are_fixed() {
            return Err(Error::new(
                Kind::Unsupported,
                "`tcpdump` changes its groups, which a rootless sandbox forbids",
            )
            .hint("run it with sudo")
            .hint("needs(\"tcpdump\") skips where it cannot run"));
        }
        session.link_require((&netns.at, link))?;
        let folder = run.0.tests.plan.borrow().artefacts.clone().unwrap_or_else(std::env::temp_dir);
        let cannot = |error: std::io::Error| {
            Error::new(Kind::PermissionDenied, format!("cannot write to the folder `{}`: {error}", folder.display()))
        };
        let count = run.0.captures.count.get() + 1;
        run.0.captures.count.set(count);
        // In sandboxes that run at the same time every run has the same process id: the script's name tells them apart.
        let script = run.0.tests.plan.borrow().file.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let plain = |text: &str| text.replace('/', "-");
        let name = format!("{}-{script}-{count}-{}-{}-", session.id(), plain(&netns.at.name()), plain(link));
        // What root sees is nobody else's: the file is made here, new and private, and tcpdump gets it open, whoever it becomes.
        let made = Folder::make(&folder, 0o700).and_then(|it| it.create_random(&name, ".pcap", files::PRIVATE));
        let (open, name) = made.map_err(cannot)?;
        let file = folder.join(name);
        // Without `-U` packets wait in a buffer.
        // Without immediate mode the kernel holds packets back for up to a second, and who stops then loses them.
        let program = tools::find_own("tcpdump").map_or_else(|| "tcpdump".into(), |path| path.display().to_string());
        let words =
            [program.as_str(), "--immediate-mode", "-i", link, "-n", "-U", "-Z", "root", "-w", "-"].map(String::from);
        let words: Vec<String> = words.into_iter().chain(filter).collect();
        let tcpdump = Program { effect: Effect::Nothing, ..Program::plain(&words) };
        let running = session.start_user_into(&netns.at, &tcpdump, Some(open))?;
        run.0.captures.all.borrow_mut().push((Rc::clone(&running), file.clone()));
        let begun = Instant::now();
        while !running.output().contains("listening on") {
            session.exec().interrupt().sleep(Duration::from_millis(10))?;
            if !running.running() || begun.elapsed() > scaled(READY) {
                let said = running.output();
                return Err(Error::new(Kind::CommandFailed, "`tcpdump` does not capture").note("said", said.trim()));
            }
        }
        Ok((running, file))
    })?;
    let (running, file) = running;
    Ok(Capture { run: run.clone(), running, file })
}

/// How long tcpdump may take to write what the kernel has given to it, and to report.
const SETTLE: Duration = Duration::from_secs(5);

/// What tcpdump says of itself: `5 packets captured`, `5 packets received by filter`, `0 packets dropped by kernel`, on one line when it is asked
/// (SIGUSR1) and on three at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// How many reports there were.
    reports: usize,
    /// How many packets the kernel has dropped for want of room, by the last report.
    dropped: u64,
}

impl Tally {
    fn read(said: &str) -> Self {
        let lost = |line: &str| -> Option<u64> {
            let (before, _) = line.split_once(" dropped by kernel")?;
            let before = before.strip_suffix(" packets").or_else(|| before.strip_suffix(" packet"))?;
            before.rsplit([' ', ',']).next()?.parse().ok()
        };
        let all: Vec<u64> = said.lines().filter_map(lost).collect();
        Self { reports: all.len(), dropped: all.last().copied().unwrap_or(0) }
    }
}

impl Capture {
    /// Waits until tcpdump has nothing left to do: what was on the link before now is in the file. It sleeps only when its ring is empty:
    /// a packet that comes wakes it at once (`packet_rcv`, `sk_data_ready`), and each is written before the next (`-U`).
    fn await_idle(&self, interrupt: &crate::exec::interrupt::Interrupt) -> Result<()> {
        let begun = Instant::now();
        while self.running.running() && self.running.sleeps() != Some(true) {
            if begun.elapsed() > scaled(SETTLE) {
                return Err(self.unknown("`tcpdump` does not keep up with the packets"));
            }
            interrupt.sleep(Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn unknown(&self, why: &str) -> Error {
        Error::new(Kind::CommandFailed, format!("nobody can say how many packets there were: {why}"))
            .note("said", self.running.last_lines(4).join("; "))
            .hint("a narrower filter captures less: ns.capture(\"eth0\", \"icmp\")")
    }

    /// How many packets were captured until now, when that is known to be all of them.
    fn count(&self, session: &crate::session::Session) -> Result<i64> {
        let interrupt = session.exec().interrupt();
        session.settle_all()?;
        self.await_idle(interrupt)?;
        let before = Tally::read(&self.running.output()).reports;
        let begun = Instant::now();
        // A report of a process that has just ended is its last one.
        let asked = self.running.ask_for_report();
        let tally = loop {
            let tally = Tally::read(&self.running.output());
            if tally.reports > before || !asked && tally.reports > 0 {
                break tally;
            }
            if !self.running.running() && tally.reports == 0 {
                return Err(self.unknown("`tcpdump` has ended by itself"));
            }
            if begun.elapsed() > scaled(SETTLE) {
                return Err(self.unknown("`tcpdump` does not say whether any were dropped"));
            }
            interrupt.sleep(Duration::from_millis(1))?;
        };
        if tally.dropped > 0 {
            return Err(self.unknown(&format!("the kernel dropped {} before they were captured", tally.dropped)));
        }
        Ok(count_packets(&self.file))
    }
}

/// How many packets a file of tcpdump holds: 24 bytes, then each packet behind 16 bytes that say its length (pcap-savefile(5)).
fn count_packets(file: &Path) -> i64 {
    let bytes = std::fs::read(file).unwrap_or_default();
    let big = bytes.starts_with(&[0xa1, 0xb2]);
    let (mut at, mut count) = (24, 0);
    while let Some(length) = bytes.get(at + 8..at + 12).and_then(|four| <[u8; 4]>::try_from(four).ok()) {
        let length = if big { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) };
        at += 16 + usize::try_from(length).unwrap_or(usize::MAX / 2);
        count += i64::from(at <= bytes.len());
    }
    count
}

#[export_module]
pub mod api {
    /// Pings every pair of namespaces at once, in every family that both have: a table with `.all_ok` and `.differences`.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// let all = reachability([netns("ns-blue"), netns("ns-green")]);
    /// print(all);
    /// assert(all.all_ok);
    /// ```
    #[rhai_fn(name = "reachability", return_raw)]
    pub fn reachability(context: NativeCallContext, namespaces: Array) -> Out<Reachability> {
        survey(&context, &namespaces, Map::new())
    }

    /// The same with what is asked for and what is expected. `port` is a service that each namespace is asked for (`"tcp/443"`), or several, or a map
    /// of namespaces to theirs; the table then has a column for each. `allow` names the pairs that must work and all others must not, `deny` the
    /// reverse; with both, other pairs may do as they like. A pair is `[from, to]`, namespaces or names, or `[from, to, "tcp/443"]`. `baseline` is a
    /// file beside the script that says what is expected of every pair: what `.baseline` gives. `timeout` is that of each probe; all are made at
    /// once, so silence costs one of them.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let green = netns("ns-green");
    /// let ends = veth(blue, "eth0", green, "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// expect(reachability([blue, green], #{ deny: [] })).is_true();
    /// green.listen("tcp/443");
    /// expect(reachability([blue, green], #{ port: #{ "ns-green": ["tcp/443", "tcp/80"] }, allow: [["ns-blue", "ns-green", "tcp/443"]] })).is_true();
    /// ```
    #[rhai_fn(name = "reachability", return_raw)]
    pub fn reachability_with(context: NativeCallContext, namespaces: Array, options: Map) -> Out<Reachability> {
        survey(&context, &namespaces, options)
    }

    /// Whether every pair is as expected; without an expectation, whether everybody reaches everybody.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// assert(reachability([netns("ns-blue"), netns("ns-green")]).all_ok);
    /// ```
    #[rhai_fn(get = "all_ok", return_raw, pure)]
    pub fn all_ok(context: NativeCallContext, matrix: &mut Reachability) -> Out<Dynamic> {
        Ok(marked(&run_of(&context)?, &matrix.0))
    }

    /// The pairs that are not as expected: `#{ from, to, expected, found, reason, detail }`; `found` is `"reached"`, `"blocked"` or
    /// `"inconclusive"`.
    ///
    /// ```rhai
    /// let pair = reachability([netns("ns-blue"), netns("ns-green")]);
    /// assert_eq(pair.differences[0].found, "blocked");
    /// ```
    #[rhai_fn(get = "differences", pure)]
    pub fn differences(matrix: &mut Reachability) -> Array {
        let map = |(from, _, to, cell): Pair<'_>| {
            Dynamic::from(Record::new(
                "differences",
                [
                    ("from", from.to_string().into()),
                    ("to", to.into()),
                    ("expected", cell.expected.unwrap_or(true).into()),
                    ("found", found(cell.outcome).into()),
                    ("reason", cell.word.into()),
                    ("detail", cell.detail.clone().into()),
                ],
            ))
        };
        matrix.0.differences().map(map).collect()
    }

    /// Every pair with what was found: `#{ from, to, found, reason, rtt_ms, detail }`; `rtt_ms` is `()` without an answer.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// let all = reachability([netns("ns-blue"), netns("ns-green")]).pairs;
    /// assert(all[0].rtt_ms < 1000.0);
    /// ```
    #[rhai_fn(get = "pairs", pure)]
    pub fn all_pairs(matrix: &mut Reachability) -> Array {
        let map = |(from, _, to, cell): Pair<'_>| {
            let rtt = cell.rtt.map_or(Dynamic::UNIT, |rtt| Dynamic::from_float(rtt.as_secs_f64() * 1e3));
            Dynamic::from(Record::new(
                "pairs",
                [
                    ("from", from.to_string().into()),
                    ("to", to.into()),
                    ("found", found(cell.outcome).into()),
                    ("reason", cell.word.into()),
                    ("rtt_ms", rtt),
                    ("detail", cell.detail.clone().into()),
                ],
            ))
        };
        matrix.0.pairs().map(map).collect()
    }

    /// What was found as JSON, for a file that `baseline` reads: committed, its changes are seen. What was inconclusive is taken for not reached.
    ///
    /// ```rhai
    /// let pair = reachability([netns("ns-blue"), netns("ns-green")]);
    /// assert_eq(parse_json(pair.baseline), #{ "ns-blue": #{ "ns-green": false }, "ns-green": #{ "ns-blue": false } });
    /// ```
    #[rhai_fn(get = "baseline", pure)]
    pub fn as_baseline(matrix: &mut Reachability) -> String {
        let mut all = Baseline::new();
        for (from, _, to, cell) in matrix.0.pairs() {
            all.entry(from.to_string()).or_default().insert(to, cell.outcome == Outcome::Reached);
        }
        serde_json::to_string_pretty(&all).unwrap_or_default()
    }

    /// The table in Markdown, with how long each answer took.
    ///
    /// ```rhai
    /// assert(reachability([netns("ns-blue"), netns("ns-green")]).markdown.contains("| **ns-blue** |"));
    /// ```
    #[rhai_fn(get = "markdown", pure)]
    pub fn markdown(matrix: &mut Reachability) -> String {
        matrix.0.markdown()
    }

    /// The table as a picture (SVG), coloured by what was found, with how long each answer took and a red frame where it is not as expected.
    ///
    /// ```rhai
    /// assert(reachability([netns("ns-blue"), netns("ns-green")]).svg.starts_with("<svg"));
    /// ```
    #[rhai_fn(get = "svg", pure)]
    pub fn svg(matrix: &mut Reachability) -> String {
        matrix.0.svg()
    }

    /// The table, with `!` at every pair that is not as expected and why below.
    ///
    /// ```rhai
    /// assert(reachability([netns("ns-blue"), netns("ns-green")]).to_string().contains("! `ns-blue`"));
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn reachability_to_string(matrix: &mut Reachability) -> String {
        matrix.0.to_string()
    }

    /// Gets a page by HTTP: `#{ ok, status, headers, body }`; `ok` for a status from 200 to 299. The server is an address: names are not
    /// looked up.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.listen("tcp/80", #{ banner: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello" });
    /// assert_eq(blue.http("http://127.0.0.1/").body, "hello");
    /// ```
    #[rhai_fn(name = "http", return_raw, pure)]
    pub fn http(context: NativeCallContext, netns: &mut Netns, url: &str) -> Out<Record> {
        fetch(&context, netns, url, Map::new())
    }

    /// The same with `#{ timeout: "10s" }`; 5 s otherwise.
    ///
    /// ```rhai
    /// try { netns("ns-blue").http("http://127.0.0.1/", #{ timeout: "1s" }); } catch (e) { assert_eq(e.error, "CommandFailed"); }
    /// ```
    #[rhai_fn(name = "http", return_raw, pure)]
    pub fn http_with(context: NativeCallContext, netns: &mut Netns, url: &str, options: Map) -> Out<Record> {
        fetch(&context, netns, url, options)
    }

    /// How many bits per second go from one namespace to another over a TCP connection, measured for a second.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// assert(throughput(netns("ns-blue"), netns("ns-green")) > 1_000_000);
    /// ```
    #[rhai_fn(name = "throughput", return_raw)]
    pub fn throughput(context: NativeCallContext, from: Netns, to: Netns) -> Out<i64> {
        bits(&context, &from, &to, Map::new())
    }

    /// The same with `#{ seconds: 2, port: 5001, address: "10.0.0.2" }`: how long, to which port, to which address of the second.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// assert(throughput(blue, blue, #{ seconds: 0.1, address: "127.0.0.1" }) > 1_000_000);
    /// ```
    #[rhai_fn(name = "throughput", return_raw)]
    pub fn throughput_with(context: NativeCallContext, from: Netns, to: Netns, options: Map) -> Out<i64> {
        bits(&context, &from, &to, options)
    }

    /// Captures the packets of a link with `tcpdump` until the end of the test or run. The file is kept when that fails, and is gone otherwise:
    /// a script that wants it copies `.file` before.
    ///
    /// ```rhai
    /// needs("tcpdump");
    /// let blue = netns("ns-blue");
    /// let seen = blue.capture("lo");
    /// blue.ping("127.0.0.1");
    /// eventually("5s", || seen.packets >= 2);
    /// ```
    #[rhai_fn(name = "capture", return_raw, pure)]
    pub fn capture(context: NativeCallContext, netns: &mut Netns, link: &str) -> Out<Capture> {
        record(&context, netns, link, "")
    }

    /// The same with a filter in the words of pcap-filter(7): `"tcp port 80"`.
    ///
    /// ```rhai
    /// needs("tcpdump");
    /// let seen = netns("ns-blue").capture("lo", "udp port 53");
    /// assert_eq(seen.packets, 0);
    /// ```
    #[rhai_fn(name = "capture", return_raw, pure)]
    pub fn capture_filter(context: NativeCallContext, netns: &mut Netns, link: &str, filter: &str) -> Out<Capture> {
        record(&context, netns, link, filter)
    }

    /// How many packets were captured until now: all that were on the link. An error when that is not known, because the kernel dropped some
    /// or `tcpdump` ended by itself.
    ///
    /// ```rhai
    /// needs("tcpdump");
    /// let blue = netns("ns-blue");
    /// let seen = blue.capture("lo", "icmp");
    /// assert_eq(seen.packets, 0);
    /// blue.ping("127.0.0.1");
    /// assert(seen.packets > 0);
    /// ```
    #[rhai_fn(get = "packets", return_raw, pure)]
    pub fn packets(context: NativeCallContext, capture: &mut Capture) -> Out<i64> {
        act(&context, &capture.run.clone(), |session| capture.count(session))
    }

    /// The file that the packets go to.
    ///
    /// ```rhai
    /// needs("tcpdump");
    /// assert(netns("ns-blue").capture("lo").file.contains(".pcap"));
    /// ```
    #[rhai_fn(get = "file", pure)]
    pub fn file(capture: &mut Capture) -> String {
        capture.file.display().to_string()
    }

    /// Ends the capture; what was on the link until now stays in the file.
    ///
    /// ```rhai
    /// needs("tcpdump");
    /// netns("ns-blue").capture("lo").stop();
    /// ```
    #[rhai_fn(name = "stop", return_raw, pure)]
    pub fn capture_stop(context: NativeCallContext, capture: &mut Capture) -> Out<()> {
        act(&context, &capture.run.clone(), |session| {
            session.settle_all()?;
            capture.await_idle(session.exec().interrupt())?;
            capture.running.stop();
            Ok(())
        })
    }
}
