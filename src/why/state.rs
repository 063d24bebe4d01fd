//! What the machine is: links, addresses, routes, neighbours of every namespace, and the rest of a namespace when a packet gets there.
//!
//! The first part is read of all namespaces at once, on two threads. Everything else (rules, sockets, queues) is read when the walk
//! comes to need it, and kept. All of it only reads.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::ipset::Ipsets;
use super::iptables::Tables;
use super::nft::Nft;
use crate::error::{Error, Kind, Result};
use crate::exec::asker::{complaint, side_by_side};
use crate::exec::netns::{self, NetnsFile, NetnsId};
use crate::exec::process::End;
use crate::exec::tools;
use crate::model::json;
use crate::model::link::Link;
use crate::model::messages::is_unsupported;
use crate::model::route::Route;
use crate::op::{Tool, Where};
use crate::probe::Ids;
use crate::session::Session;
use crate::session::reading::{self, Reading};

/// An address of a link.
#[derive(Clone, Debug)]
pub(super) struct Addr {
    /// The link.
    pub dev: String,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub len: u8,
    /// Duplicate address detection has not ended.
    pub tentative: bool,
    /// Duplicate address detection found somebody else.
    pub dadfailed: bool,
}

impl Addr {
    /// Whether an address is on the same segment by this prefix.
    #[must_use]
    pub(super) fn covers(&self, ip: IpAddr) -> bool {
        IpNet::new(self.ip, self.len).is_ok_and(|net| net.contains(&ip))
    }
}

/// A neighbour entry.
#[derive(Clone, Debug)]
pub(super) struct Neigh {
    /// The link.
    pub dev: String,
    /// The address.
    pub ip: IpAddr,
    /// The hardware address, when there is one.
    pub mac: Option<String>,
    /// Its states.
    pub state: Vec<String>,
}

/// What a program said.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Whether its status was 0.
    pub ok: bool,
    /// Whether it is not installed, and so could not be asked.
    pub missing: bool,
    /// Whether it ended by itself, and so printed all that it had to say.
    pub ended: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// The command as a person would type it.
    pub line: String,
}

/// The programs that are asked, found once; may be used by threads.
#[derive(Debug)]
pub(super) struct Programs {
    paths: HashMap<&'static str, PathBuf>,
    reading: Reading,
}

const PROGRAMS: [&str; 14] = [
    "ip",
    "bridge",
    "tc",
    "nft",
    "ss",
    "ipset",
    "conntrack",
    "wg",
    "iptables-nft-save",
    "ip6tables-nft-save",
    "iptables-legacy-save",
    "ip6tables-legacy-save",
    "iptables-save",
    "ip6tables-save",
];

/// All rules of nftables.
const LIST: [&str; 3] = ["-j", "list", "ruleset"];

/// A program and its words as one.
fn words_of(program: &str, argv: &[&str]) -> String {
    [&[program], argv].concat().join(" ")
}

impl Programs {
    fn new(session: &Session) -> Self {
        let chosen = session.exec().tools();
        let by_tool = |name: &str| Tool::ALL.into_iter().find(|tool| tool.program() == name);
        let path = |name: &'static str| match by_tool(name) {
            Some(tool) => chosen.path(tool).ok(),
            None => tools::find_own(name),
        };
        let paths = PROGRAMS.into_iter().filter_map(|name| Some((name, path(name)?))).collect();
        Self { paths, reading: Reading::new(session.exec().interrupt()) }
    }

    fn ask(&self, at: &Where, file: &NetnsFile, program: &str, argv: &[&str], stdin: Option<&str>) -> Answer {
        let words: Vec<String> = [program].into_iter().chain(argv.iter().copied()).map(str::to_owned).collect();
        let line = super::finding::Fix::of(at, words).line();
        let Some(path) = self.paths.get(program) else {
            return Answer { missing: true, line, ..Answer::default() };
        };
        match self.reading.asker().finish(at, file, path, argv, stdin) {
            Ok(done) => Answer {
                ok: matches!(done.end, End::Exited(0)),
                missing: false,
                ended: matches!(done.end, End::Exited(_)),
                stdout: done.stdout,
                stderr: done.stderr.trim().to_owned(),
                line,
            },
            Err(error) => Answer { stderr: error.to_string(), line, ..Answer::default() },
        }
    }
}

/// What is read of a namespace later, when a packet gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The rules of its firewalls.
    Rules,
    /// Who listens.
    Sockets,
    /// What its bridges know.
    Bridges,
    /// Its queueing disciplines.
    Queues,
    /// Its policy rules of IPv6.
    Policy,
    /// Where its kernel would send a packet, and whom it answers for.
    Routing,
    /// Something of the namespace that this one is a copy of.
    Original,
}

/// One namespace.
pub(super) struct Ns {
    /// How it is named.
    pub at: Where,
    /// Which it is.
    pub id: NetnsId,
    file: NetnsFile,
    /// Its links.
    pub links: Vec<Link>,
    /// Where each of them is, by its name.
    by_name: HashMap<String, usize>,
    /// Its addresses.
    pub addrs: Vec<Addr>,
    /// Its neighbour entries.
    pub neighs: Vec<Neigh>,
    /// Its routes, of all tables and families.
    pub routes: Vec<Route>,
    /// Its policy rules: of IPv4, then of IPv6.
    pub rules: [Vec<Value>; 2],
    /// Why it could not be read, where it could not: what is missing here is then not known to be missing.
    pub unread: Option<String>,
    /// The later reads that failed: what each would have told, and what the program said instead.
    pub failed: RefCell<Vec<(Part, String)>>,
    sysctls: RefCell<HashMap<String, Option<String>>>,
    tables: OnceCell<Vec<Tables>>,
    nft: OnceCell<Nft>,
    fdb: OnceCell<Vec<Value>>,
    vlans: OnceCell<Vec<Value>>,
    mdb: OnceCell<Vec<Value>>,
    wireguard: OnceCell<String>,
    qdiscs: OnceCell<Vec<Value>>,
    xfrm: OnceCell<String>,
}

impl Ns {
    /// The namespace as an open file.
    #[must_use]
    pub(super) fn file(&self) -> &NetnsFile {
        &self.file
    }

    /// The link of that name.
    #[must_use]
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.by_name.get(name).and_then(|at| self.links.get(*at))
    }

    /// Whether it owns the address.
    #[must_use]
    pub(super) fn owns(&self, ip: IpAddr) -> Option<&Addr> {
        self.addrs.iter().find(|addr| addr.ip == ip)
    }

    /// The addresses of a link.
    pub(super) fn addrs_of<'a>(&'a self, dev: &'a str) -> impl Iterator<Item = &'a Addr> {
        self.addrs.iter().filter(move |addr| addr.dev == dev)
    }

    /// The ports of a bridge or the slaves of a bond.
    pub(super) fn ports<'a>(&'a self, master: &'a str) -> impl Iterator<Item = &'a Link> {
        self.links.iter().filter(move |link| link.master.as_deref() == Some(master))
    }

    /// The bridge that a link is a port of.
    #[must_use]
    pub(super) fn bridge_of(&self, link: &Link) -> Option<&Link> {
        self.link(link.master.as_deref()?).filter(|master| master.kind() == Some("bridge"))
    }
}

/// The id that a namespace knows another one by, if any; or that the kernel does not say.
type Asked = std::result::Result<Option<i32>, ()>;

/// All that is known.
pub(super) struct Net {
    programs: Programs,
    /// The namespaces.
    pub all: Vec<Ns>,
    /// The ends of veth pairs, by their index and that of their other end: the namespace and the place among its links.
    veths: HashMap<(u32, u32), Vec<(usize, usize)>>,
    /// The links that sit on another one and have an address of their own, likewise.
    stacked: Vec<(usize, usize)>,
    /// Whether a namespace could not be read.
    gaps: bool,
    /// What was asked before somebody wanted it, by the namespace and the words.
    ahead: RefCell<HashMap<(usize, String), Answer>>,
    /// For each namespace by index, the namespace ids that it knows others by.
    nsids: RefCell<HashMap<usize, HashMap<i32, String>>>,
    /// For each namespace and another one, by index, the id that the first knows the other by.
    ids: RefCell<HashMap<(usize, usize), Asked>>,
}

fn read_ns(programs: &Programs, at: &Where, file: NetnsFile, v6: bool) -> Ns {
    let batch = "address show\nneigh show\nroute show table all\nrule show\n";
    let answer = programs.ask(at, &file, "ip", &["-j", "-d", "-force", "-batch", "-"], Some(batch));
    let mut ns = Ns {
        at: at.clone(),
        id: file.id(),
        file,
        links: Vec::new(),
        by_name: HashMap::new(),
        addrs: Vec::new(),
        neighs: Vec::new(),
        routes: Vec::new(),
        rules: [Vec::new(), Vec::new()],
        unread: None,
        failed: RefCell::default(),
        sysctls: RefCell::default(),
        tables: OnceCell::new(),
        nft: OnceCell::new(),
        fdb: OnceCell::new(),
        vlans: OnceCell::new(),
        mdb: OnceCell::new(),
        wireguard: OnceCell::new(),
        qdiscs: OnceCell::new(),
        xfrm: OnceCell::new(),
    };
    let mut records = json::records(&answer.stdout, "`ip -batch`");
    if records.is_err() || !answer.ended {
        // More than fits, such as a full table of the internet: the rest is read without the routes, for which the kernel is asked anyway.
        let few = "address show\nneigh show\nroute show table local\nrule show\n";
        let less = programs.ask(at, &ns.file, "ip", &["-j", "-d", "-force", "-batch", "-"], Some(few));
        records = if less.ended {
            json::records(&less.stdout, "`ip -batch`")
        } else {
            Err(Error::new(Kind::ToolOutput, format!("`ip` did not end by itself: {}", less.stderr)))
        };
    }
    let records = records.unwrap_or_else(|error| {
        ns.unread = Some(error.to_string());
        Vec::new()
    });
    for record in records {
        if record.get("addr_info").is_some() {
            add_link(&mut ns, record);
        } else if record.get("type").is_some() {
            ns.routes.extend(json::view::<Route>(record, "`ip route`"));
        } else if record.get("priority").is_some() {
            ns.rules[0].push(record);
        } else if let (Some(ip), Some(dev)) =
            (text(&record, "dst").parse().ok(), record.get("dev").and_then(Value::as_str))
        {
            let state = record.get("state").and_then(Value::as_array).cloned().unwrap_or_default();
            ns.neighs.push(Neigh {
                dev: dev.to_owned(),
                ip,
                mac: record.get("lladdr").and_then(Value::as_str).map(str::to_owned),
                state: state.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect(),
            });
        }
    }
    if ns.links.is_empty() && ns.unread.is_none() {
        // Every namespace has its lo.
        let said = answer.stderr.lines().next().unwrap_or("it names no link, not even lo");
        ns.unread = Some(format!("`ip` says nothing of it: {said}"));
    }
    if v6 {
        let ip = programs.paths.get("ip").map_or(Path::new("ip"), PathBuf::as_path);
        let said = programs.reading.policy_rules_v6(at, &ns.file, ip, &["-6", "-j", "rule", "show"]);
        let said = said.map_err(|error| error.to_string()).and_then(|said| match complaint(&said) {
            Some(why) => Err(why),
            None => json::records(&said.stdout, "`ip rule`").map_err(|error| error.to_string()),
        });
        ns.rules[1] = said.unwrap_or_else(|why| {
            ns.failed.borrow_mut().push((Part::Policy, why));
            Vec::new()
        });
    }
    ns
}

fn add_link(ns: &mut Ns, record: Value) {
    let Ok(link) = json::view::<Link>(record, "`ip addr`") else { return };
    let infos = link.raw().get("addr_info").and_then(Value::as_array).cloned().unwrap_or_default();
    for info in infos {
        let flag = |name: &str| info.get(name).and_then(Value::as_bool).unwrap_or(false);
        if let Ok(ip) = text(&info, "local").parse() {
            let len = info.get("prefixlen").and_then(Value::as_u64).and_then(|len| u8::try_from(len).ok());
            ns.addrs.push(Addr {
                dev: link.ifname.clone(),
                ip,
                len: len.unwrap_or(0),
                tentative: flag("tentative"),
                dadfailed: flag("dadfailed"),
            });
        }
    }
    ns.by_name.entry(link.ifname.clone()).or_insert(ns.links.len());
    ns.links.push(link);
}

/// A string of a record; empty when it is not there.
pub(super) fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Net {
    /// Reads every namespace of the machine that is known by a name or given.
    ///
    /// # Errors
    ///
    /// When a namespace that was given is not there.
    pub(super) fn read(session: &Session, given: &[&Where], v6: bool) -> Result<Self> {
        session.settle_all()?;
        let programs = Programs::new(session);
        if !programs.paths.contains_key("ip") {
            return Err(Error::new(Kind::ToolMissing, "`ip` is not installed")
                .hint(format!("install it: {}", tools::install("iproute2"))));
        }
        let mut wanted: Vec<(Where, NetnsFile)> = Vec::new();
        let mut known = HashSet::new();
        let mut add = |at: &Where, must: bool| -> Result<()> {
            match session.exec().netns(at) {
                Ok(file) if !known.insert(file.id()) => Ok(()),
                Ok(file) => {
                    wanted.push((at.clone(), file));
                    Ok(())
                }
                Err(error) if must => Err(error),
                Err(_) => Ok(()),
            }
        };
        for at in given {
            add(at, true)?;
        }
        for at in session.everywhere() {
            add(&at, false)?;
        }
        let mut net = Self::new(programs);
        net.read_all(&wanted, v6);
        let strangers = net.strangers();
        net.read_all(&strangers, v6);
        for (at, why) in session.copy_lacks() {
            for ns in net.all.iter().filter(|ns| ns.at == at) {
                ns.failed.borrow_mut().push((Part::Original, why.clone()));
            }
        }
        Ok(net)
    }

    /// Only these namespaces, for tests that made them.
    #[cfg(test)]
    pub(super) fn of(session: &Session, places: &[(Where, NetnsFile)], v6: bool) -> Self {
        let mut net = Self::new(Programs::new(session));
        net.read_all(places, v6);
        net
    }

    fn new(programs: Programs) -> Self {
        Self {
            programs,
            all: Vec::new(),
            veths: HashMap::new(),
            stacked: Vec::new(),
            gaps: false,
            ahead: RefCell::default(),
            nsids: RefCell::default(),
            ids: RefCell::default(),
        }
    }

    fn read_all(&mut self, wanted: &[(Where, NetnsFile)], v6: bool) {
        let (programs, first) = (&self.programs, self.all.len());
        self.all.extend(side_by_side(wanted, |(at, file)| read_ns(programs, at, file.clone(), v6)));
        for (at, ns) in self.all.iter().enumerate().skip(first) {
            self.gaps |= ns.unread.is_some();
            for (place, link) in ns.links.iter().enumerate() {
                match link.kind() {
                    Some("veth") => {
                        let key = (link.ifindex, link.link_index.unwrap_or(0));
                        self.veths.entry(key).or_default().push((at, place));
                    }
                    Some("macvlan" | "macvtap" | "ipvlan") => self.stacked.push((at, place)),
                    _ => {}
                }
            }
        }
    }

    /// Namespaces without a name that a veth leads into: containers. Found by the processes that live in them.
    fn strangers(&self) -> Vec<(Where, NetnsFile)> {
        let lost = |(index, ns): (usize, &Ns)| {
            ns.links.iter().any(|link| link.link_netnsid.is_some() && self.peer(index, link).is_none())
        };
        if !self.all.iter().enumerate().any(lost) {
            return Vec::new();
        }
        let mut known: HashSet<NetnsId> = self.all.iter().map(|ns| ns.id).collect();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let is_pid = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
            let path = entry.path().join("ns/net");
            if let Some(id) = netns::id_at(&path).filter(|id| is_pid && !known.contains(id)) {
                known.insert(id);
                if let Ok(file) = NetnsFile::open(&path) {
                    found.push((Where::Path(path), file));
                }
            }
        }
        found
    }

    /// The links that sit on another one and have an address of their own: macvlan, macvtap, ipvlan.
    pub(super) fn stacked(&self) -> impl Iterator<Item = (usize, &Link)> {
        self.stacked.iter().filter_map(|(at, place)| Some((*at, self.all.get(*at)?.links.get(*place)?)))
    }

    /// Asks several namespaces at a time what will be asked of each.
    pub(super) fn ask_ahead(&self, wanted: &[usize], program: &str, argv: &[&str]) {
        let programs = &self.programs;
        let places: Vec<(usize, &Where, &NetnsFile)> =
            wanted.iter().filter_map(|at| self.all.get(*at).map(|ns| (*at, &ns.at, &ns.file))).collect();
        let answers = side_by_side(&places, |(_, at, file)| programs.ask(at, file, program, argv, None));
        let words = words_of(program, argv);
        let mut ahead = self.ahead.borrow_mut();
        ahead.extend(places.iter().zip(answers).map(|((at, ..), answer)| ((*at, words.clone()), answer)));
    }

    /// Reads the rules of all namespaces that have some, several at a time.
    pub(super) fn read_rules(&self) {
        let all: Vec<(&Where, &NetnsFile)> = self.all.iter().map(|ns| (&ns.at, &ns.file)).collect();
        let may_have = side_by_side(&all, |(at, file)| reading::may_have_nft(at, file));
        let (mut some, mut of_iptables) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (at, may_have) in may_have.into_iter().enumerate() {
            if may_have { some.push(at) } else { drop(self.all[at].nft.set(Nft::parse(""))) }
        }
        self.ask_ahead(&some, "nft", &LIST);
        for at in some {
            for (family, list) in ["ip", "ip6"].iter().zip(&mut of_iptables) {
                if self.nft(at).families.iter().any(|known| known == family) {
                    list.push(at);
                }
            }
        }
        for (program, list) in ["iptables-nft-save", "ip6tables-nft-save"].iter().zip(&of_iptables) {
            self.ask_ahead(list, program, &["-c"]);
        }
    }

    /// The index of a namespace.
    #[must_use]
    pub(super) fn index(&self, at: &Where) -> Option<usize> {
        let id = netns::path_of(at).and_then(|path| netns::id_at(&path));
        self.all.iter().position(|ns| ns.at == *at).or_else(|| self.all.iter().position(|ns| Some(ns.id) == id))
    }

    /// The namespace of an index.
    #[must_use]
    pub(super) fn ns(&self, index: usize) -> &Ns {
        &self.all[index]
    }

    /// Whether a namespace plays the internet of the sandbox: netwright's own, and never to blame.
    #[must_use]
    pub(super) fn pretended(&self, index: usize) -> bool {
        Self::is_pretended(&self.all[index].at)
    }

    /// The same of a place.
    #[must_use]
    pub(super) fn is_pretended(at: &Where) -> bool {
        *at == Where::Path(crate::sandbox::INTERNET.into())
    }

    /// Asks a program in a namespace.
    #[must_use]
    pub(super) fn ask(&self, ns: usize, program: &str, argv: &[&str]) -> Answer {
        if let Some(known) = self.ahead.borrow_mut().remove(&(ns, words_of(program, argv))) {
            return known;
        }
        let ns = &self.all[ns];
        self.programs.ask(&ns.at, &ns.file, program, argv, None)
    }

    /// Asks for a part of a namespace. Where the program failed, that this part is empty is not known; a kernel that has nothing of the
    /// kind, and a program that is not installed, are no failures.
    #[must_use]
    pub(super) fn ask_for(&self, ns: usize, part: Part, program: &str, argv: &[&str]) -> Answer {
        let answer = self.ask(ns, program, argv);
        let said = answer.stderr.lines().next().unwrap_or("it did not end well, and says nothing");
        if !answer.ok && !answer.missing && !is_unsupported(&answer.stderr) {
            self.not_read(ns, part, &answer.line, said);
        }
        answer
    }

    /// Notes that a part of a namespace could not be read.
    pub(super) fn not_read(&self, ns: usize, part: Part, line: &str, said: &str) {
        let mut failed = self.all[ns].failed.borrow_mut();
        let told = format!("`{line}` failed: {said}");
        if !failed.iter().any(|(_, known)| *known == told) {
            failed.push((part, told));
        }
    }

    /// A kernel setting below `/proc/sys/net`, for example `ipv4/conf/eth0/rp_filter`.
    #[must_use]
    pub(super) fn sysctl(&self, ns: usize, path: &str) -> Option<String> {
        let ns = &self.all[ns];
        if let Some(value) = ns.sysctls.borrow().get(path) {
            return value.clone();
        }
        let value = self.read_file(ns, &Path::new("/proc/sys/net").join(path));
        ns.sysctls.borrow_mut().insert(path.to_owned(), value.clone());
        value
    }

    /// The same as a number; 0 when it is not there.
    #[must_use]
    pub(super) fn setting(&self, ns: usize, path: &str) -> i64 {
        self.sysctl(ns, path).and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn read_file(&self, ns: &Ns, path: &Path) -> Option<String> {
        let _ = self;
        ns.file.within(|| std::fs::read_to_string(path).ok()).ok()?.map(|text| text.trim().to_owned())
    }

    /// A file of `/proc/net` as the namespace sees it.
    #[must_use]
    pub(super) fn proc_net(&self, ns: usize, name: &str) -> String {
        self.read_file(&self.all[ns], &Path::new("/proc/thread-self/net").join(name)).unwrap_or_default()
    }

    /// The other end of a veth link.
    #[must_use]
    pub(super) fn peer(&self, ns: usize, link: &Link) -> Option<(usize, &Link)> {
        if link.kind() != Some("veth") {
            return None;
        }
        if let Some(name) = &link.link {
            return Some((ns, self.all[ns].link(name)?));
        }
        let index = link.link_index?;
        let fitting = self.veths.get(&(index, link.ifindex)).map(Vec::as_slice).unwrap_or_default();
        let mut candidates: Vec<(usize, &Link)> = fitting
            .iter()
            .filter(|(at, _)| *at != ns || link.link_netnsid.is_none())
            .filter_map(|(at, place)| Some((*at, self.all.get(*at)?.links.get(*place)?)))
            .collect();
        // Indices are alike in many namespaces: where a namespace could not be read, the one that fits may be somebody else.
        if candidates.len() > 1 || self.gaps {
            candidates.retain(|(at, _)| *at == ns || !matches!(self.nsid(ns, *at), Ok(id) if id != link.link_netnsid));
        }
        if candidates.len() > 1 {
            let named = self.nsid_name(ns, link.link_netnsid?);
            if let Some(found) =
                named.and_then(|name| candidates.iter().find(|(at, _)| self.all[*at].at == Where::Named(name.clone())))
            {
                return Some(*found);
            }
            // The other side may know us by name.
            let me = match &self.all[ns].at {
                Where::Named(name) => Some(name.clone()),
                _ => None,
            };
            candidates.retain(|(at, other)| {
                let known = other.link_netnsid.and_then(|id| self.nsid_name(*at, id));
                known.is_none() || known == me
            });
        }
        candidates.first().copied()
    }

    fn nsid(&self, ns: usize, other: usize) -> Asked {
        *self.ids.borrow_mut().entry((ns, other)).or_insert_with(|| {
            let ids = self.all[ns].file.within(Ids::open).map_err(drop)?.map_err(drop)?;
            ids.of(&self.all[other].file).map_err(drop)
        })
    }

    /// The name of the namespace that another one knows by this id.
    pub(super) fn nsid_name(&self, ns: usize, id: i32) -> Option<String> {
        if let Some(known) = self.nsids.borrow().get(&ns) {
            return known.get(&id).cloned();
        }
        let answer = self.ask(ns, "ip", &["-j", "netns", "list-id"]);
        let records = json::records(&answer.stdout, "`ip netns list-id`").unwrap_or_default();
        let map: HashMap<i32, String> = records
            .iter()
            .filter_map(|record| {
                Some((i32::try_from(record.get("nsid")?.as_i64()?).ok()?, record.get("name")?.as_str()?.to_owned()))
            })
            .collect();
        let found = map.get(&id).cloned();
        self.nsids.borrow_mut().insert(ns, map);
        found
    }

    /// The rules of iptables: those of each backend that has any.
    #[must_use]
    pub(super) fn tables(&self, ns: usize, v6: bool) -> Vec<&Tables> {
        let all = self.all[ns].tables.get_or_init(|| {
            let mut found = Vec::new();
            // Without nft nobody says whether there are any: the tool is asked, which makes none.
            let blind =
                !self.programs.paths.contains_key("nft") && reading::may_have_nft(&self.all[ns].at, &self.all[ns].file);
            let nft_has = |family: &str| blind || self.nft(ns).families.iter().any(|known| known == family);
            for (program, v6, legacy, has) in [
                ("iptables-nft-save", false, false, nft_has("ip")),
                ("ip6tables-nft-save", true, false, nft_has("ip6")),
                ("iptables-legacy-save", false, true, !self.proc_net(ns, "ip_tables_names").is_empty()),
                ("ip6tables-legacy-save", true, true, !self.proc_net(ns, "ip6_tables_names").is_empty()),
            ] {
                if has {
                    let answer = self.ask_for(ns, Part::Rules, program, &["-c"]);
                    match Tables::parse(&answer.stdout, v6, legacy) {
                        Ok(tables) => found.extend(tables),
                        Err(error) => self.not_read(ns, Part::Rules, &answer.line, &error.to_string()),
                    }
                }
            }
            if found.iter().any(Tables::asks_sets) {
                let sets = Arc::new(Ipsets::parse(&self.ask_for(ns, Part::Rules, "ipset", &["save"]).stdout));
                for tables in &mut found {
                    tables.know_sets(&sets);
                }
            }
            for tables in &mut found {
                tables.know_recents(&|name| self.proc_net(ns, &format!("xt_recent/{name}")));
            }
            found
        });
        all.iter().filter(|tables| tables.v6 == v6).collect()
    }

    /// The native rules of nftables.
    #[must_use]
    pub(super) fn nft(&self, ns: usize) -> &Nft {
        self.all[ns].nft.get_or_init(|| {
            let (at, file) = (&self.all[ns].at, &self.all[ns].file);
            let known = self.ahead.borrow().contains_key(&(ns, words_of("nft", &LIST)));
            if !known && !reading::may_have_nft(at, file) {
                return Nft::parse("");
            }
            let answer = self.ask_for(ns, Part::Rules, "nft", &LIST);
            if answer.ok && !answer.stdout.contains("\"metainfo\"") {
                // nft begins each list with its version, also when there is nothing.
                self.not_read(ns, Part::Rules, &answer.line, "it printed no list");
            } else if answer.ok
                && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&answer.stdout)
            {
                self.not_read(ns, Part::Rules, &answer.line, &format!("it printed no JSON: {error}"));
            }
            let mut nft = Nft::parse(&answer.stdout);
            if nft.has_netdev() {
                nft.add_devices(&self.ask(ns, "nft", &["list", "ruleset"]).stdout);
            }
            nft
        })
    }

    /// The records that a tool prints as JSON. What succeeds and is no JSON was not read, which is not the same as none.
    pub(super) fn listed(&self, ns: usize, part: Part, program: &'static str, words: &[&str]) -> Vec<Value> {
        let answer = self.ask_for(ns, part, program, words);
        self.records(ns, part, &answer)
    }

    /// The records of an answer.
    pub(super) fn records(&self, ns: usize, part: Part, answer: &Answer) -> Vec<Value> {
        json::records(&answer.stdout, &answer.line).unwrap_or_else(|error| {
            if answer.ok {
                self.not_read(ns, part, &answer.line, &error.to_string());
            }
            Vec::new()
        })
    }

    /// The forwarding database of the bridges.
    #[must_use]
    pub(super) fn fdb(&self, ns: usize) -> &[Value] {
        self.all[ns].fdb.get_or_init(|| self.listed(ns, Part::Bridges, "bridge", &["-j", "fdb", "show"]))
    }

    /// The VLANs of bridge ports.
    #[must_use]
    pub(super) fn vlans(&self, ns: usize) -> &[Value] {
        self.all[ns].vlans.get_or_init(|| self.listed(ns, Part::Bridges, "bridge", &["-j", "vlan", "show"]))
    }

    /// The multicast groups that the ports of the bridges have joined.
    #[must_use]
    pub(super) fn mdb(&self, ns: usize) -> &[Value] {
        self.all[ns].mdb.get_or_init(|| {
            let records = self.listed(ns, Part::Bridges, "bridge", &["-j", "mdb", "show"]);
            records.iter().filter_map(|record| record.get("mdb")?.as_array().cloned()).flatten().collect()
        })
    }

    /// What `wg show all dump` says; the secret keys stay in here.
    #[must_use]
    pub(super) fn wireguard(&self, ns: usize) -> &str {
        self.all[ns].wireguard.get_or_init(|| self.ask(ns, "wg", &["show", "all", "dump"]).stdout)
    }

    /// The queueing disciplines.
    #[must_use]
    pub(super) fn qdiscs(&self, ns: usize) -> &[Value] {
        self.all[ns].qdiscs.get_or_init(|| self.listed(ns, Part::Queues, "tc", &["-s", "-j", "qdisc", "show"]))
    }

    /// The `IPsec` policies, as text: iproute2 has no JSON for them.
    #[must_use]
    pub(super) fn xfrm(&self, ns: usize) -> &str {
        self.all[ns].xfrm.get_or_init(|| {
            let stat = self.proc_net(ns, "xfrm_stat");
            if stat.is_empty() {
                String::new()
            } else {
                self.ask_for(ns, Part::Rules, "ip", &["xfrm", "policy"]).stdout
            }
        })
    }
}
