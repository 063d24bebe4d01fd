//! A snapshot built again in a sandbox.
//!
//! What is virtual is made as it was. A network card, and whatever else cannot be made, is a *stand-in*: one end of a veth of the same name, MAC address
//! and MTU, whose other end lies in a namespace of its own and answers for the gateways and neighbours that the machine knew there. Nothing here is
//! believed to have worked: the copy is read again, and what differs is named.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::diff::FRESH_RULES;
use super::read::{self, Extent};
use super::settings::{Names, Settings, value_of};
use super::{Difference, Link, Netns, Snapshot, diff};
use crate::error::{Kind, Result};
use crate::exec::Exec;
use crate::exec::asker::{Asker, inside, side_by_side};
use crate::exec::netns::NetnsFile;
use crate::exec::scratch::Scratch;
use crate::exec::tools;
use crate::model::link::is_fall_back;
use crate::model::link_kinds;
use crate::model::state::{Part, Thing};
use crate::op::{Command, Tool, Where};
use crate::probe::Listener;
use crate::sandbox;
use crate::session::things;

/// Where the namespaces of a copy are that have no name; below `/run/netwright`, which is the sandbox's own.
const UNNAMED: &str = "/run/netwright/copy-";
/// Where the other ends of stand-ins are.
const WORLD: &str = "/run/netwright/world-";

/// What came of it.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The copy as it was read again, with the names of the original.
    pub snapshot: Snapshot,
    /// Namespaces without a name that are part of the copy.
    pub hidden: Vec<Where>,
    /// The other ends of stand-ins: what lies there is not the machine's.
    pub world: Vec<Where>,
    /// What could not be copied, and what that means.
    pub missing: Vec<String>,
    /// What answers where programs of the machine listen, for as long as this lives.
    pub services: Vec<Listener>,
    /// The namespaces of the original, and where they are in the sandbox.
    places: Vec<(String, Where)>,
}

impl Copied {
    /// Where a namespace of the original is in the sandbox.
    #[must_use]
    pub(crate) fn place(&self, name: &str) -> Where {
        place_of(&self.places, name)
    }

    /// What was read in the sandbox, with the names that its namespaces have in the original.
    #[must_use]
    pub(crate) fn named(&self, now: Snapshot) -> Snapshot {
        named_as_before(&self.places, now)
    }
}

/// Builds a snapshot in this sandbox, which must be empty; of the copy so much is read again and kept.
///
/// # Errors
///
/// `Interrupted`; when not even a namespace can be made, or the copy cannot be read.
pub(crate) fn rebuild(exec: &Exec, snapshot: &Snapshot, extent: Extent) -> Result<Copied> {
    let usual = Usual::read(exec)?;
    let plan = Plan::of(snapshot, &usual);
    let builder = Builder::new(exec);
    for path in plan.places.iter().filter_map(|(_, at)| match at {
        Where::Path(path) => Some(path),
        _ => None,
    }) {
        sandbox::make_namespace(path, &[])?;
    }
    for StandIn { world: path, .. } in &plan.stand_ins {
        // No link-local address: what is behind a stand-in speaks only when it is spoken to.
        sandbox::make_namespace(path, &[("net/ipv6/conf/default/addr_gen_mode", "1")])?;
    }
    let mut lacking = BTreeSet::new();
    for phase in &plan.phases {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut known: HashMap<&Where, usize> = HashMap::new();
        for Step { at, work } in phase {
            let group = match known.get(at) {
                Some(group) => *group,
                None => {
                    known.insert(at, groups.len());
                    groups.push((Vec::new(), at, exec.netns(at)?));
                    groups.len() - 1
                }
            };
            groups[group].0.push(work);
        }
        let groups: Vec<_> = groups.iter().map(|(works, at, file)| (works, *at, file)).collect();
        for said in side_by_side(&groups, |(works, at, file)| builder.all_of(works, at, file)) {
            lacking.extend(said?);
        }
    }
    let hidden: Vec<Where> =
        plan.places.iter().map(|(_, at)| at).filter(|at| matches!(at, Where::Path(_))).cloned().collect();
    let world = plan.stand_ins.iter().map(|one| Where::Path(one.world.clone())).collect();
    let snapshot_now = named_as_before(&plan.places, read::read(exec, &hidden, extent)?);
    let mut missing: Vec<String> = lacking.into_iter().collect();
    missing.extend(plan.notes.iter().cloned());
    for netns in &snapshot.namespaces {
        missing.extend(netns.unread.iter().map(|why| format!("{}: could not be read: {why}", netns.name)));
    }
    for netns in &snapshot.namespaces {
        let wanted = usual.wanted(netns, &snapshot.fresh);
        missing.extend(other_settings(exec, &place_of(&plan.places, &netns.name), &netns.name, &wanted)?);
    }
    let differs = diff(snapshot, &snapshot_now);
    missing.extend(differs.iter().filter(|one| !plan.is_expected(one)).map(in_words));
    Ok(Copied { snapshot: snapshot_now, hidden, world, missing, services: Vec::new(), places: plan.places })
}

/// What is to be done in one namespace, in this order.
type Group<'a> = (Vec<&'a Work>, &'a Where, NetnsFile);

/// What is needed to build from several threads.
struct Builder {
    asker: Asker,
    programs: HashMap<Program, PathBuf>,
}

impl Builder {
    fn new(exec: &Exec) -> Self {
        let path = |program: Program| match program.tool() {
            Some(tool) => exec.tools().path(tool).ok(),
            None => tools::find_own(program.name()).or_else(|| tools::find_own(program.other_name())),
        };
        let programs = Program::all().filter_map(|program| Some((program, path(program)?))).collect();
        Self { asker: Asker::new(exec.interrupt()), programs }
    }

    /// Does what is to be done in one namespace. What a program refuses differs afterwards, and is named then; here only what could not be run.
    fn all_of(&self, works: &[&Work], at: &Where, file: &NetnsFile) -> Result<Vec<String>> {
        let mut lacking = Vec::new();
        for work in works {
            match work {
                Work::Settings(settings) => inside(at, file, || {
                    for (path, value) in settings {
                        let at = Path::new("/proc/sys").join(path);
                        let same = std::fs::read_to_string(&at).is_ok_and(|now| value_of(&now) == *value);
                        if !same {
                            let _ = sandbox::set(&at, value);
                        }
                    }
                })?,
                Work::Run { program, argv, stdin } => {
                    let Some(path) = self.programs.get(program) else {
                        lacking.push(format!("`{}` is not installed here: what it makes is missing", program.name()));
                        continue;
                    };
                    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                    match self.asker.ask(at, file, path, &argv, Some(stdin)) {
                        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                        Err(error) => lacking.push(error.to_string()),
                        Ok(_) => {}
                    }
                }
            }
        }
        Ok(lacking)
    }
}

/// Holds numbers of groups, which are others for whoever has a user namespace (`inet_get_ping_group_range_table`).
const OF_GROUPS: &str = "net/ipv4/ping_group_range";

/// The settings that the namespaces of this sandbox have before anything is done to them.
#[derive(Debug)]
struct Usual {
    host: BTreeMap<String, String>,
    /// Those that `ip netns add` makes.
    others: BTreeMap<String, String>,
}

impl Usual {
    fn read(exec: &Exec) -> Result<Self> {
        let host = exec.within(&Where::Host, || Settings::read(&Names::default()).all())?;
        let others =
            Scratch::new().and_then(|apart| exec.within(&apart.netns(), || Settings::read(&Names::default()).all()));
        Ok(Self { host, others: others.unwrap_or_default() })
    }

    /// What has to be so in a copy of this namespace and may not be: what it tells, and what it does not tell because a new one on that machine has it
    /// too (`fresh`), where one of this sandbox has not.
    fn wanted(&self, netns: &Netns, fresh: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let usual = if netns.place() == Where::Host { &self.host } else { &self.others };
        let otherwise = |(path, value): &(&String, &String)| {
            path.as_str() != OF_GROUPS && usual.get(*path).is_some_and(|here| here != *value)
        };
        let own = netns.sysctls.iter();
        fresh.iter().filter(otherwise).chain(own).map(|(path, value)| (path.clone(), value.clone())).collect()
    }
}

/// The settings of a namespace that are not so in its copy.
fn other_settings(exec: &Exec, at: &Where, name: &str, wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let read = || {
        let now = |path: &str| std::fs::read_to_string(Path::new("/proc/sys").join(path)).map(|text| value_of(&text));
        let differs = |(path, value): (&String, &String)| {
            let now = now(path).unwrap_or_else(|_| "not there".into());
            let path = path.replace('/', ".");
            (now != *value).then(|| format!("{name}: sysctl {path} is {now} in the copy, not {value}"))
        };
        wanted.iter().filter_map(differs).collect()
    };
    exec.netns(at)?.within(read)
}

/// What was read in the sandbox, with the names that its namespaces have in the original.
fn named_as_before(places: &[(String, Where)], mut copy: Snapshot) -> Snapshot {
    copy.namespaces.retain(|netns| !netns.name.starts_with(WORLD));
    let name_of = |name: &str| {
        let known = places.iter().find(|(_, at)| matches!(at, Where::Path(path) if path == Path::new(name)));
        known.map_or_else(|| name.to_owned(), |(known, _)| known.clone())
    };
    for netns in &mut copy.namespaces {
        netns.name = name_of(&netns.name);
        for far in netns.links.iter_mut().filter_map(|link| link.far.as_mut()) {
            far.netns = name_of(&far.netns);
        }
    }
    copy
}

/// A difference between the machine and its copy.
fn in_words(one: &Difference) -> String {
    format!("{}: {one}", one.netns)
}

/// A link that stands for one that cannot be made.
#[derive(Clone, Debug)]
struct StandIn {
    /// Its namespace, by its name in the document.
    netns: String,
    link: String,
    /// The namespace of its other end.
    world: PathBuf,
}

/// One thing to do in one namespace.
#[derive(Debug)]
struct Step {
    at: Where,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Settings below `/proc/sys`.
    Settings(Vec<(String, String)>),
    /// A program that reads what to do.
    Run { program: Program, argv: Vec<String>, stdin: String },
}

/// What builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Program {
    Ip,
    Bridge,
    Tc,
    Nft,
    Ipset,
    Wg,
    Iptables { v6: bool, legacy: bool },
}

impl Program {
    fn all() -> impl Iterator<Item = Self> {
        let iptables = [(false, false), (true, false), (false, true), (true, true)];
        [Self::Ip, Self::Bridge, Self::Tc, Self::Nft, Self::Ipset, Self::Wg]
            .into_iter()
            .chain(iptables.map(|(v6, legacy)| Self::Iptables { v6, legacy }))
    }

    fn tool(self) -> Option<Tool> {
        match self {
            Self::Ip => Some(Tool::Ip),
            Self::Bridge => Some(Tool::Bridge),
            Self::Tc => Some(Tool::Tc),
            Self::Nft => Some(Tool::Nft),
            Self::Wg => Some(Tool::Wg),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipset => "ipset",
            Self::Iptables { v6: false, legacy: false } => "iptables-nft-restore",
            Self::Iptables { v6: true, legacy: false } => "ip6tables-nft-restore",
            Self::Iptables { v6: false, legacy: true } => "iptables-legacy-restore",
            Self::Iptables { v6: true, legacy: true } => "ip6tables-legacy-restore",
            other => other.tool().map_or("", Tool::program),
        }
    }

    /// What a machine with one kind of iptables calls it.
    fn other_name(self) -> &'static str {
        match self {
            Self::Iptables { v6: false, .. } => "iptables-restore",
            Self::Iptables { v6: true, .. } => "ip6tables-restore",
            other => other.name(),
        }
    }
}

/// What is to be done, before anything is.
#[derive(Debug, Default)]
struct Plan {
    /// The namespaces of the document, and what they are in the sandbox.
    places: Vec<(String, Where)>,
    /// One after the other. What is in one phase is done side by side in each namespace, and in order within it.
    phases: Vec<Vec<Step>>,
    stand_ins: Vec<StandIn>,
    notes: Vec<String>,
}

impl Plan {
    fn of(snapshot: &Snapshot, usual: &Usual) -> Self {
        let mut plan = Self::default();
        for (number, netns) in snapshot.namespaces.iter().enumerate() {
            let at = match netns.place() {
                Where::Path(_) => Where::Path(format!("{UNNAMED}{number}").into()),
                other => other,
            };
            plan.places.push((netns.name.clone(), at));
        }
        let named = plan.places.iter().filter_map(|(_, at)| match at {
            Where::Named(name) => Some(["netns", "add", name].map(str::to_owned).to_vec()),
            _ => None,
        });
        let named: Vec<_> = named.collect();
        plan.next_phase();
        plan.batch(&Where::Host, Program::Ip, &[], &named);
        plan.next_phase();
        for netns in &snapshot.namespaces {
            let at = plan.place(&netns.name);
            let wanted = usual.wanted(netns, &snapshot.fresh);
            plan.settings(&at, &wanted, |path| !is_of_link(path) || path.contains("/conf/lo/"));
        }
        plan.links(snapshot);
        let depths = depths(snapshot);
        for depth in 0..=depths.iter().copied().max().unwrap_or_default() {
            plan.next_phase();
            for (netns, _) in snapshot.namespaces.iter().zip(&depths).filter(|(_, of_netns)| **of_netns == depth) {
                plan.inside(netns);
            }
        }
        plan.next_phase();
        plan.beyond(snapshot);
        plan
    }

    fn next_phase(&mut self) {
        self.phases.push(Vec::new());
    }

    fn place(&self, name: &str) -> Where {
        place_of(&self.places, name)
    }

    /// Whether a difference only says that a link is a stand-in, or what comes and goes with it.
    fn is_expected(&self, one: &Difference) -> bool {
        match one.what.as_str() {
            "link" => {
                let mut words = one.key.splitn(2, ' ');
                let name = words.next().unwrap_or_default();
                let rest = words.next();
                let is_stand_in = self.stand_ins.iter().any(|it| it.netns == one.netns && it.link == name);
                let of_state = matches!(rest, Some("mtu" | "address" | "master" | "state"));
                is_stand_in && !of_state
            }
            // Programs are not copied, and keys are not in a snapshot.
            // Settings are compared by their values: which of them a snapshot has depends on who took it.
            other => matches!(other, "listener" | "wireguard" | "sysctl"),
        }
    }

    fn push(&mut self, at: &Where, work: Work) {
        if self.phases.is_empty() {
            self.next_phase();
        }
        if let Some(phase) = self.phases.last_mut() {
            // What one program can do at once it does at once: each start costs more than what it does.
            if let Work::Run { program: Program::Ip, argv, stdin } = &work
                && let Some(Step { work: Work::Run { program: Program::Ip, argv: before, stdin: all }, .. }) =
                    phase.last_mut().filter(|last| last.at == *at)
                && argv == before
            {
                all.push_str(stdin);
                return;
            }
            phase.push(Step { at: at.clone(), work });
        }
    }

    /// Lines for a program with a batch mode. A line that fails does not keep the others from being tried.
    fn batch(&mut self, at: &Where, program: Program, flags: &[&str], lines: &[Vec<String>]) {
        if lines.is_empty() {
            return;
        }
        let argv = flags.iter().copied().chain(["-force", "-batch", "-"]).map(str::to_owned).collect();
        let stdin = lines.iter().map(|words| line(words) + "\n").collect();
        self.push(at, Work::Run { program, argv, stdin });
    }

    fn settings(&mut self, at: &Where, all: &BTreeMap<String, String>, wanted: impl Fn(&str) -> bool) {
        let mut all: Vec<(String, String)> =
            all.iter().filter(|(path, _)| wanted(path)).map(|(path, value)| (path.clone(), value.clone())).collect();
        // What changes all links comes before what is said of each.
        all.sort_by_key(|(path, _)| (!path.ends_with("ip_forward"), !path.contains("/conf/all/"), path.clone()));
        if !all.is_empty() {
            self.push(at, Work::Settings(all));
        }
    }

    /// Makes the links of all namespaces, each after what it stands on.
    fn links(&mut self, snapshot: &Snapshot) {
        let mut made: HashSet<(String, String)> = HashSet::new();
        let mut waiting: Vec<(&Netns, &Link)> = Vec::new();
        for netns in &snapshot.namespaces {
            made.insert((netns.name.clone(), "lo".into()));
            // The kernel makes these with the first tunnel of their kind, in every namespace.
            waiting.extend(
                netns
                    .links
                    .iter()
                    .filter(|link| link.name != "lo" && !is_fall_back(&link.name, link.kind.as_deref()))
                    .map(|link| (netns, link)),
            );
        }
        let exists = |netns: &str, link: &str| {
            snapshot.namespaces.iter().find(|known| known.name == netns).is_some_and(|known| known.link(link).is_some())
        };
        let mut lines: Vec<(Where, Vec<String>)> = Vec::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut later = Vec::new();
            for (netns, link) in waiting {
                let key = (netns.name.clone(), link.name.clone());
                if made.contains(&key) {
                    continue;
                }
                let needs = needs(netns, link);
                if needs
                    .iter()
                    .any(|(netns, link)| exists(netns, link) && !made.contains(&(netns.clone(), link.clone())))
                {
                    later.push((netns, link));
                    continue;
                }
                let is_there = needs.iter().all(|(netns, link)| exists(netns, link));
                lines.extend(self.link(netns, link, is_there));
                if let Some(far) = far_end(netns, link) {
                    made.insert(far);
                }
                made.insert(key);
            }
            waiting = later;
            if waiting.len() == before {
                // They stand on each other: refused when the document is read.
                break;
            }
        }
        // One process for what follows each other in one namespace.
        let mut run: Option<(Where, Vec<Vec<String>>)> = None;
        for (at, words) in lines {
            match &mut run {
                Some((same, lines)) if *same == at => lines.push(words),
                _ => {
                    if let Some((at, lines)) = run.replace((at, vec![words])) {
                        self.next_phase();
                        self.batch(&at, Program::Ip, &[], &lines);
                    }
                }
            }
        }
        if let Some((at, lines)) = run {
            self.next_phase();
            self.batch(&at, Program::Ip, &[], &lines);
        }
    }

    /// What makes one link.
    fn link(&mut self, netns: &Netns, link: &Link, needs_are_there: bool) -> Vec<(Where, Vec<String>)> {
        let at = self.place(&netns.name);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let name = link.name.as_str();
        match link.kind.as_deref() {
            Some("veth") => {
                if let Some((other, peer)) = far_end(netns, link) {
                    let mut line = words(&["link", "add", "name", name, "type", "veth", "peer", "name", &peer]);
                    let other = self.place(&other);
                    if other != at {
                        line.extend(["netns".to_owned(), word_of(&other)]);
                    }
                    return vec![(at, line)];
                }
                self.notes.push(format!(
                    "{}: the other end of the veth {name} is in a namespace that could not be seen: a stand-in takes its place",
                    netns.name
                ));
            }
            // A program holds the other end of one that carries.
            Some("tun") if !link.carrier => {
                let mode = link.options.get("mode").map_or("tun", String::as_str);
                return vec![(at, words(&["tuntap", "add", "dev", name, "mode", mode]))];
            }
            Some(kind) if needs_are_there && link_kinds::kind(kind).is_ok() => {
                if kind == "wireguard" {
                    self.notes.push(format!(
                        "{}: the keys of {name} are not in a snapshot, so nothing passes this tunnel",
                        netns.name
                    ));
                }
                return of_kind(kind, link).map_or_else(Vec::new, |(make, set)| {
                    let (from, to) = match &link.far {
                        Some(far) => (self.place(&far.netns), Some(word_of(&at))),
                        None => (at.clone(), None),
                    };
                    let mut line = words(&["link", "add", "name", name]);
                    line.extend(to.into_iter().flat_map(|to| ["netns".to_owned(), to]));
                    line.extend(make);
                    let set = set.into_iter().map(|option| {
                        (at.clone(), words(&["link", "set", "dev", name]).into_iter().chain(option).collect())
                    });
                    std::iter::once((from, line)).chain(set).collect()
                });
            }
            Some(kind) => self.notes.push(format!(
                "{}: {name} is a {kind}, which cannot be made here: a stand-in takes its place, and what is behind it is not there",
                netns.name
            )),
            None => {}
        }
        let world = PathBuf::from(format!("{WORLD}{}", self.stand_ins.len()));
        let peer = ["link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns"];
        let line = words(&peer).into_iter().chain([world.display().to_string()]).collect();
        self.stand_ins.push(StandIn { netns: netns.name.clone(), link: link.name.clone(), world });
        vec![(at, line)]
    }

    /// What is inside a namespace, once all links are there.
    fn inside(&mut self, netns: &Netns) {
        let at = self.place(&netns.name);
        let mut ip: Vec<Vec<String>> = Vec::new();
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        // No link waits for duplicate address detection: nobody else is there.
        let dad = || {
            let others = netns.links.iter().filter(|link| link.name != "lo");
            others.map(|link| format!("net/ipv6/conf/{}/accept_dad", link.name))
        };
        let quiet: Vec<(String, String)> = dad().map(|path| (path, "0".to_owned())).collect();
        for link in &netns.links {
            if let Some(alias) = &link.alias {
                ip.push(owned(&["link", "set", "dev", &link.name, "alias", alias]));
            }
            for name in &link.altnames {
                ip.push(owned(&["link", "property", "add", "dev", &link.name, "altname", name]));
            }
        }
        let things = |parts: &[Part]| -> Vec<&Thing> {
            netns.things.0.iter().filter(|thing| parts.contains(&thing.part)).collect()
        };
        let of = |thing: &Thing| things::put_back(&at, thing, false);
        let setting = |thing: &&&Thing, what: &str| thing.key.ends_with(what);
        let links = things(&[Part::Link]);
        for what in [" address", " mtu", " master"] {
            let set = links.iter().filter(|thing| setting(thing, what) && thing.value != "-" && !is_lo(&thing.key));
            ip.extend(set.filter_map(|thing| Some(of(thing)?.argv)));
        }
        ip.extend(things(&[Part::Port]).into_iter().filter_map(|thing| Some(of(thing)?.argv)));
        self.push(&at, Work::Settings(quiet));
        self.batch(&at, Program::Ip, &[], &ip);
        for (link, lines) in &netns.wireguard {
            let argv = wireguard(link, lines);
            if netns.link(link).is_some() && argv.len() > 2 {
                self.push(&at, Work::Run { program: Program::Wg, argv, stdin: String::new() });
            }
        }
        self.vlans(&at, netns);
        // What stands on another link can only be up when that is: the second time all can.
        let up: Vec<Vec<String>> = links
            .iter()
            .filter(|thing| setting(thing, " state") && thing.value == "up")
            .filter_map(|thing| Some(of(thing)?.argv))
            .collect();
        self.batch(&at, Program::Ip, &[], &up.iter().chain(&up).cloned().collect::<Vec<_>>());
        let after = [Part::Addr, Part::Neigh, Part::Proxy, Part::Nexthop];
        let lines: Vec<_> = things(&after).into_iter().filter_map(|thing| Some(of(thing)?.argv)).collect();
        self.batch(&at, Program::Ip, &[], &lines);
        let argvs = |parts: &[Part]| -> Vec<Vec<String>> {
            things(parts).into_iter().filter_map(|thing| Some(of(thing)?.argv)).collect()
        };
        self.batch(&at, Program::Bridge, &[], &argvs(&[Part::Fdb]));
        self.batch(&at, Program::Tc, &[], &argvs(&[Part::Qdisc]));
        // `ip` takes what names no family for IPv4.
        for (part, flag, flags) in [(Part::Route4, "-4", &[][..]), (Part::Route6, "-6", &["-6"])] {
            let routes: Vec<Vec<String>> = things(&[part])
                .into_iter()
                .filter(|thing| !thing.is_of_kernel())
                .filter_map(of)
                .map(|command: Command| command.argv.into_iter().filter(|word| word != flag).collect())
                .collect();
            // A gateway may be reached by another route of the list: the second time that one is there.
            self.batch(&at, Program::Ip, flags, &routes.iter().chain(&routes).cloned().collect::<Vec<_>>());
            let rules = if flag == "-4" { &netns.ip_rules } else { &netns.ip6_rules };
            self.rules(&at, flags, rules);
        }
        self.settings(&at, &netns.sysctls, is_of_link);
        let usual = netns.sysctls.get("net/ipv6/conf/default/accept_dad").map_or("1", String::as_str);
        let back: Vec<(String, String)> =
            dad().filter(|path| !netns.sysctls.contains_key(path)).map(|path| (path, usual.to_owned())).collect();
        self.push(&at, Work::Settings(back));
        self.firewall(&at, netns);
    }

    /// VLANs of ports; the one that a bridge gives to each new port goes where the port does not have it.
    fn vlans(&mut self, at: &Where, netns: &Netns) {
        let all: Vec<&Thing> = netns.things.0.iter().filter(|thing| thing.part == Part::Vlan).collect();
        let has = |dev: &str, vid: &str| all.iter().any(|thing| thing.key == format!("{dev} {vid}"));
        let devs: BTreeSet<&str> = all.iter().filter_map(|thing| thing.link()).collect();
        let master = |dev: &str| {
            let key = format!("{dev} master");
            let found = netns.things.0.iter().find(|thing| thing.part == Part::Link && thing.key == key);
            found.map(|thing| thing.value.as_str()).filter(|master| *master != "-")
        };
        let pvid = |dev: &str| {
            let bridge = netns.link(master(dev).unwrap_or(dev));
            bridge.and_then(|link| link.options.get("vlan_default_pvid")).cloned().unwrap_or_else(|| "1".into())
        };
        let is_bridge = |dev: &str| netns.link(dev).is_some_and(|link| link.kind.as_deref() == Some("bridge"));
        let mut lines: Vec<Vec<String>> = Vec::new();
        let line = |words: &[&str], dev: &str| {
            let own: &[&str] = if is_bridge(dev) { &["self"] } else { &[] };
            words.iter().chain(own).map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        for dev in devs {
            let given = pvid(dev);
            if !has(dev, &given) {
                lines.push(line(&["vlan", "del", "dev", dev, "vid", &given], dev));
            }
        }
        for thing in &all {
            let mut key = thing.key.split(' ');
            let (Some(dev), Some(vid)) = (key.next(), key.next()) else { continue };
            let words: Vec<&str> =
                ["vlan", "add", "dev", dev, "vid", vid].into_iter().chain(thing.value.split_whitespace()).collect();
            lines.push(line(&words, dev));
        }
        self.batch(at, Program::Bridge, &[], &lines);
    }

    /// Policy rules: those of a fresh namespace go, but for the first.
    fn rules(&mut self, at: &Where, flags: &[&str], rules: &[String]) {
        let fresh = if flags.contains(&"-6") { &FRESH_RULES[..2] } else { &FRESH_RULES[..] };
        if rules.is_empty() || rules.iter().map(String::as_str).eq(fresh.iter().copied()) {
            return;
        }
        let mut lines = vec![vec!["rule".to_owned(), "flush".to_owned()]];
        for rule in rules.iter().filter(|rule| rule.as_str() != FRESH_RULES[0]) {
            let Some((number, words)) = rule.split_once(':') else { continue };
            let head = ["rule", "add", "priority", number].map(str::to_owned);
            lines.push(head.into_iter().chain(words.split_whitespace().map(str::to_owned)).collect());
        }
        self.batch(at, Program::Ip, flags, &lines);
    }

    fn firewall(&mut self, at: &Where, netns: &Netns) {
        let text = |lines: &[String]| lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>();
        if !netns.ipsets.is_empty() {
            let stdin = text(&netns.ipsets);
            self.push(at, Work::Run { program: Program::Ipset, argv: vec!["restore".into()], stdin });
        }
        for (name, lines) in &netns.iptables {
            let program = Program::Iptables { v6: name.starts_with("ip6"), legacy: name.ends_with("legacy") };
            self.push(at, Work::Run { program, argv: vec!["-c".into()], stdin: text(lines) });
        }
        if !netns.nft.is_empty() {
            let argv = ["-f", "-"].map(str::to_owned).into();
            self.push(at, Work::Run { program: Program::Nft, argv, stdin: text(&netns.nft) });
        }
    }

    /// The other ends of the stand-ins: up, with the addresses that the machine found there, and a way back.
    fn beyond(&mut self, snapshot: &Snapshot) {
        let mut known: HashMap<String, Behind<'_>> = HashMap::new();
        for StandIn { netns, link, world } in self.stand_ins.clone() {
            let Some(netns) = snapshot.namespaces.iter().find(|known| known.name == netns) else { continue };
            let behind = known.entry(netns.name.clone()).or_insert_with(|| Behind::of(netns));
            let answers = behind.answers(&link);
            let nets = behind.nets(&link);
            let mut lines: Vec<Vec<String>> = vec![
                ["link", "set", "dev", "lo", "up"].map(str::to_owned).into(),
                ["link", "set", "dev", "eth0", "up"].map(str::to_owned).into(),
            ];
            for addr in &answers {
                let host = IpNet::from(*addr).to_string();
                let nodad: &[&str] = if addr.is_ipv6() { &["nodad"] } else { &[] };
                lines.push(
                    ["address", "add", &host, "dev", "eth0"]
                        .iter()
                        .chain(nodad)
                        .map(|word| (*word).to_owned())
                        .collect(),
                );
            }
            for net in nets {
                lines.push(["route", "add", &net.trunc().to_string(), "dev", "eth0"].map(str::to_owned).into());
            }
            self.batch(&Where::Path(world), Program::Ip, &[], &lines);
        }
    }
}

/// What of `wg show LINK dump` may be told: the port, the mark and the peers, but no keys that are secret.
fn wireguard(link: &str, lines: &[String]) -> Vec<String> {
    let mut argv = vec!["set".to_owned(), link.to_owned()];
    for (number, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let mut option = |name: &str, value: Option<&&str>| {
            if let Some(value) = value.filter(|value| !matches!(**value, "(none)" | "off" | "0")) {
                argv.extend([name.to_owned(), (*value).to_owned()]);
            }
        };
        if number == 0 {
            option("listen-port", words.get(2));
            option("fwmark", words.get(3));
        } else {
            option("peer", words.first());
            option("endpoint", words.get(2));
            option("persistent-keepalive", words.get(7));
            option("allowed-ips", words.get(3));
        }
    }
    argv
}

fn place_of(places: &[(String, Where)], name: &str) -> Where {
    places.iter().find(|(known, _)| known == name).map_or(Where::Host, |(_, at)| at.clone())
}

/// A line of a batch: iproute2 knows quotes, and nothing to escape one with.
fn line(words: &[String]) -> String {
    let plain =
        |word: &&String| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "\"'#\\".contains(c));
    let quoted = |word: &String| {
        if plain(&word) {
            word.clone()
        } else if word.contains('"') {
            format!("'{word}'")
        } else {
            format!("\"{word}\"")
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What `ip` takes after `netns`; the sandbox's own namespace is that of this process.
fn word_of(at: &Where) -> String {
    at.word().unwrap_or_else(|| std::process::id().to_string())
}

fn is_lo(key: &str) -> bool {
    key.starts_with("lo ")
}

/// Whether a setting is one of a single link.
fn is_of_link(path: &str) -> bool {
    path.contains("/conf/") && !path.contains("/conf/all/") && !path.contains("/conf/default/")
}

/// What a link must come after.
fn needs(netns: &Netns, link: &Link) -> Vec<(String, String)> {
    if link.kind.as_deref() == Some("veth") {
        return Vec::new();
    }
    let here = |name: &String| (netns.name.clone(), name.clone());
    let on = link.on.iter().map(here);
    let dev = link.options.get("dev").filter(|dev| netns.link(dev).is_some()).map(here);
    let far = link.far.iter().map(|far| (far.netns.clone(), far.link.clone()));
    on.chain(dev).chain(far).collect()
}

/// How many namespaces deep each stands on others: a link whose lower link is in another namespace comes up after that one (`ENETDOWN` of
/// `macvlan_open` and its like). Those that stand on each other have as many as there are.
fn depths(snapshot: &Snapshot) -> Vec<usize> {
    let all = &snapshot.namespaces;
    let index: HashMap<&str, usize> = all.iter().enumerate().map(|(at, netns)| (netns.name.as_str(), at)).collect();
    let below = |netns: &Netns| -> Vec<usize> {
        let others = netns.links.iter().filter(|link| link.kind.as_deref() != Some("veth"));
        others.filter_map(|link| index.get(link.far.as_ref()?.netns.as_str()).copied()).collect()
    };
    let below: Vec<Vec<usize>> = all.iter().map(below).collect();
    let mut depths = vec![0; all.len()];
    for _ in 0..all.len() {
        let before = depths.clone();
        for (at, below) in below.iter().enumerate() {
            let deepest = below.iter().filter(|one| **one != at).map(|one| before[*one] + 1).max();
            depths[at] = deepest.unwrap_or_default().min(all.len());
        }
        if depths == before {
            break;
        }
    }
    depths
}

/// The other end of a veth, by namespace and name.
fn far_end(netns: &Netns, link: &Link) -> Option<(String, String)> {
    if link.kind.as_deref() != Some("veth") {
        return None;
    }
    let far = link.far.as_ref().map(|far| (far.netns.clone(), far.link.clone()));
    far.or_else(|| Some((netns.name.clone(), link.on.clone()?)))
}

/// The words that make a link of a kind, and those that set each of its other options afterwards: one that is refused keeps none of the others.
fn of_kind(kind_name: &str, link: &Link) -> Option<(Vec<String>, Vec<Vec<String>>)> {
    let kind = link_kinds::kind(kind_name).ok()?;
    let lower = link.far.as_ref().map(|far| far.link.as_str()).or(link.on.as_deref());
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if kind.needs_parent {
        pairs.push(("link", lower?));
    }
    let option = |name: &str| link.options.get(name).map(String::as_str);
    for name in kind.required.iter().filter(|name| **name != "link") {
        pairs.push((name, option(name)?));
    }
    let mut set = Vec::new();
    for known in kind.options {
        let Some(value) = option(known.name) else { continue };
        if pairs.iter().any(|(name, _)| *name == known.name) {
            continue;
        }
        if kind.can_change(known) {
            let again = link_kinds::companion(kind_name, known.name).and_then(|name| Some((name, option(name)?)));
            let words: Vec<(&str, &str)> = std::iter::once((known.name, value)).chain(again).collect();
            set.extend(link_kinds::change_argv(kind_name, &words).ok().filter(|words| !words.is_empty()));
        } else {
            let with: Vec<(&str, &str)> = pairs.iter().copied().chain([(known.name, value)]).collect();
            if link_kinds::argv(kind_name, &with).is_ok() {
                pairs = with;
            }
        }
    }
    Some((link_kinds::argv(kind_name, &pairs).ok()?, set))
}

/// What a machine knows of what is behind its links.
struct Behind<'a> {
    /// The addresses of each link.
    nets: HashMap<&'a str, Vec<IpNet>>,
    masters: HashMap<&'a str, &'a str>,
    /// Gateways and neighbours, by the link that leads to them.
    others: HashMap<&'a str, BTreeSet<IpAddr>>,
}

impl<'a> Behind<'a> {
    fn of(netns: &'a Netns) -> Self {
        let mut behind = Self { nets: HashMap::new(), masters: HashMap::new(), others: HashMap::new() };
        for thing in &netns.things.0 {
            let mut key = thing.key.split(' ');
            match thing.part {
                Part::Addr => {
                    if let (Some(link), Some(Ok(net))) = (thing.link(), key.nth(1).map(str::parse)) {
                        behind.nets.entry(link).or_default().push(net);
                    }
                }
                Part::Link if thing.value != "-" => {
                    let link = thing.key.strip_suffix(" master");
                    behind.masters.extend(link.map(|link| (link, thing.value.as_str())));
                }
                Part::Route4 | Part::Route6 => {
                    let words: Vec<&str> = thing.value.split(' ').collect();
                    for (at, _) in words.iter().enumerate().filter(|(_, word)| **word == "via") {
                        let after = words.get(at + 1).filter(|word| **word != "inet6").or_else(|| words.get(at + 2));
                        let dev = words.get(at..).unwrap_or_default().iter().skip_while(|word| **word != "dev").nth(1);
                        if let (Some(dev), Some(Ok(via))) = (dev, after.map(|via| via.parse())) {
                            behind.others.entry(dev).or_default().insert(via);
                        }
                    }
                }
                Part::Neigh => {
                    if let (Some(dev), Some(Ok(addr))) = (key.next(), key.next().map(str::parse)) {
                        behind.others.entry(dev).or_default().insert(addr);
                    }
                }
                _ => {}
            }
        }
        for one in &netns.neighbours {
            behind.others.entry(&one.dev).or_default().insert(one.addr);
        }
        let own: HashSet<IpAddr> = behind.nets.values().flatten().map(IpNet::addr).collect();
        for found in behind.others.values_mut() {
            found.retain(|addr| !own.contains(addr) && !addr.is_multicast());
        }
        behind
    }

    /// The addresses of a link.
    fn nets(&self, link: &str) -> &[IpNet] {
        self.nets.get(link).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whom the machine found behind a link. What is plugged into a bridge is reached by the addresses of the bridge.
    fn answers(&self, link: &str) -> BTreeSet<IpAddr> {
        let devs = [Some(link), self.masters.get(link).copied()];
        devs.into_iter().flatten().filter_map(|dev| self.others.get(dev)).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_link_is_who_was_found_there() {
        let thing = |part, key: &str, value: &str| Thing::new(part, key, value);
        let things = vec![
            thing(Part::Addr, "br0 10.0.0.1/24", ""),
            thing(Part::Addr, "eth0 192.168.1.7/24", ""),
            thing(Part::Link, "pod master", "br0"),
            thing(Part::Link, "eth0 master", "-"),
            thing(Part::Route4, "default", "default via 192.168.1.1 dev eth0 proto static"),
            thing(Part::Route4, "10.9.0.0/16", "10.9.0.0/16 via 10.0.0.9 dev br0"),
            thing(Part::Route4, "10.8.0.0/16", "10.8.0.0/16 via inet6 fe80::9 dev br0"),
            thing(Part::Neigh, "eth0 192.168.1.2", "lladdr 02:00:00:00:00:02"),
            // Its own address, and one of a group, are nobody's behind it.
            thing(Part::Neigh, "br0 192.168.1.7", "lladdr 02:00:00:00:00:07"),
            thing(Part::Neigh, "br0 ff02::1", "lladdr 33:33:00:00:00:01"),
        ];
        let neighbour = |dev: &str, addr: &str| super::super::Neighbour {
            dev: dev.into(),
            addr: addr.parse().unwrap(),
            mac: "02:00:00:00:00:03".into(),
        };
        let netns = Netns {
            things: crate::model::state::State(things),
            neighbours: vec![neighbour("pod", "10.0.0.3")],
            ..Netns::default()
        };
        let behind = Behind::of(&netns);
        let answers = |link: &str| -> Vec<String> { behind.answers(link).iter().map(ToString::to_string).collect() };
        assert_eq!(answers("eth0"), ["192.168.1.1", "192.168.1.2"]);
        assert_eq!(answers("pod"), ["10.0.0.3", "10.0.0.9", "fe80::9"]);
        assert_eq!(answers("lo"), [""; 0]);
        assert_eq!(behind.nets("br0"), ["10.0.0.1/24".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn what_stands_on_another_namespace_comes_after_it() {
        let link = |name: &str, kind: &str, far: Option<&str>| Link {
            name: name.into(),
            kind: Some(kind.into()),
            far: far.map(|netns| super::super::Far { netns: netns.into(), link: "eth0".into() }),
            ..Link::default()
        };
        let netns = |name: &str, links: Vec<Link>| Netns { name: name.into(), links, ..Netns::default() };
        let snapshot = |namespaces| Snapshot { namespaces, ..Snapshot::default() };
        let chain = snapshot(vec![
            netns("host", vec![link("v0", "veth", Some("c"))]),
            netns("a", vec![link("m0", "macvlan", Some("b"))]),
            netns("b", vec![link("m1", "macvlan", Some("host")), link("own", "ipvlan", Some("b"))]),
            netns("c", vec![link("v1", "veth", Some("a"))]),
        ]);
        assert_eq!(depths(&chain), [0, 2, 1, 0]);
        let ring = snapshot(vec![
            netns("a", vec![link("m0", "macvlan", Some("b"))]),
            netns("b", vec![link("m1", "macvlan", Some("a"))]),
        ]);
        assert!(depths(&ring).into_iter().all(|depth| depth <= 2));
    }
}
