//! Looking at more than one packet: the whole matrix, a page, throughput, captured packets.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::record::Record;
use super::value::{Options, type_of, words};
use super::verify::all_ok as marked;
use super::{Netns, Out, Run, act, act_global, reject, run_of};
use crate::error::{Error, Kind, Result};
use crate::exec::background::Background;
use crate::exec::tools;
use crate::files::{self, Folder};
use crate::patience::scaled;
use crate::probe::{Target, http, throughput};
use crate::session::program::{Effect, Program};
use crate::verify::matrix::{Matrix, TIMEOUT};
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

/// `[[from, to], …]` as places in the list; a namespace or its name.
fn pairs(value: &Dynamic, option: &str, names: &[String]) -> Result<Vec<(usize, usize)>> {
    let wrong = |what: &str| {
        Error::new(Kind::InvalidArgument, format!("`{option}` of `reachability` is pairs of namespaces, not {what}"))
            .hint(format!("{option}: [[\"web\", \"db\"]]"))
    };
    let end = |value: &Dynamic| {
        let netns = value.read_lock::<Netns>().map(|netns| netns.at.to_string());
        let name = netns.or_else(|| value.clone().into_string().ok()).ok_or_else(|| wrong(&type_of(value)))?;
        names.iter().position(|known| *known == name).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("`{name}` of `{option}` is not in the list"))
                .hint(format!("in it are {}", names.join(", ")))
        })
    };
    let all = value.as_array_ref().map_err(|_| wrong(&type_of(value)))?;
    let pair = |pair: &Dynamic| match pair.as_array_ref().as_deref().map(Vec::as_slice) {
        Ok([from, to]) => Ok((end(from)?, end(to)?)),
        Ok(other) => Err(wrong(&format!("an array of {}", other.len()))),
        Err(_) => Err(wrong(&type_of(pair))),
    };
    all.iter().map(pair).collect()
}

fn survey(context: &NativeCallContext, given: &Array, options: Map) -> Out<Reachability> {
    let nodes = nodes(context, given)?;
    let at: Vec<_> = nodes.into_iter().map(|netns| netns.at).collect();
    let names: Vec<String> = at.iter().map(ToString::to_string).collect();
    let options = reject(context, Options::new(options, "reachability"))?;
    let read = |option: &str| options.value(option).map(|value| pairs(value, option, &names)).transpose();
    let (allow, deny) = (reject(context, read("allow"))?, reject(context, read("deny"))?);
    if let Some((from, to)) = allow.iter().flatten().find(|pair| deny.iter().flatten().any(|other| other == *pair)) {
        let text = format!("`{}` to `{}` is both allowed and denied", names[*from], names[*to]);
        return reject(context, Err(Error::new(Kind::InvalidArgument, text)));
    }
    let timeout = reject(context, options.time("timeout"))?.unwrap_or_else(|| scaled(TIMEOUT));
    let mut matrix = act_global(context, |session| session.reachability(&at, timeout))?;
    matrix.set_expected(|from, to| {
        let listed = |pairs: &Option<Vec<_>>| pairs.as_ref().map(|pairs| pairs.contains(&(from, to)));
        match (listed(&allow), listed(&deny)) {
            (Some(false), Some(false)) => None,
            (_, Some(true)) | (Some(false), None) => Some(false),
            (Some(true), _) | (None, Some(false) | None) => Some(true),
        }
    });
    // As `cannot_reach` has it: what cannot be read is no proof.
    act_global(context, |session| {
        matrix.prove(|from, addr| {
            Ok(why::forbids(session, from, &Target::icmp(addr), &Manner::default()).unwrap_or(false))
        })
    })?;
    Ok(Reachability(Rc::new(matrix)))
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

    /// The same with what is expected: `allow` names the pairs that must work and all others must not, `deny` the reverse; with both, other
    /// pairs may do as they like. A pair is `[from, to]`, namespaces or names. `timeout` is that of each probe.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// expect(reachability([netns("ns-blue"), netns("ns-green")], #{ deny: [] })).is_true();
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
        let found = |outcome| match outcome {
            Outcome::Reached => "reached",
            Outcome::NotReached => "blocked",
            Outcome::Inconclusive => "inconclusive",
        };
        let map = |(from, to, cell): (&crate::op::Where, &crate::op::Where, &crate::verify::matrix::Cell)| {
            Dynamic::from(Record::new(
                "differences",
                [
                    ("from", from.to_string().into()),
                    ("to", to.to_string().into()),
                    ("expected", cell.expected.unwrap_or(true).into()),
                    ("found", found(cell.outcome).into()),
                    ("reason", cell.word.into()),
                    ("detail", cell.detail.clone().into()),
                ],
            ))
        };
        matrix.0.differences().map(map).collect()
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
