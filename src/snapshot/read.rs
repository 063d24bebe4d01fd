//! Reads a machine: every namespace that can be seen, several at a time, and changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::settings::{Names, Settings};
use super::told::{self, Told};
use super::{Far, Link, Listening, Machine, Neighbour, Netns, Snapshot, VERSION};
use crate::error::{Error, Kind, Ran, Result};
use crate::exec::Exec;
use crate::exec::asker::{complaint, inside, side_by_side};
use crate::exec::netns::NetnsFile;
use crate::exec::scratch::Scratch;
use crate::exec::tools;
use crate::exec::whereabouts;
use crate::model::link::{self, Peer};
use crate::model::nft_drops::COMPAT;
use crate::model::state::{self, Part, State};
use crate::model::{json, link_kinds};
use crate::op::{Tool, Where};
use crate::session::ends::{Shown, ends};
use crate::session::reading::{self, Reading};

/// A namespace as it was read, before it is known which links belong together.
struct Raw {
    at: Where,
    file: NetnsFile,
    links: Vec<link::Link>,
    netns: Netns,
}

/// What of a machine is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// All but its settings, which are more than half of the work.
    NoSettings,
}

/// Reads the machine.
///
/// # Errors
///
/// `Interrupted`; when its own namespace cannot be read. Another one that cannot is named in the document.
pub(crate) fn read(exec: &Exec, hidden: &[Where], extent: Extent) -> Result<Snapshot> {
    let reader = Reader::new(exec, extent)?;
    let mut places: Vec<(Where, NetnsFile)> = Vec::new();
    let mut named = vec![Where::Host];
    named.extend(crate::exec::netns::names()?.into_iter().map(Where::Named));
    named.extend(whereabouts::unnamed(hidden).into_iter().map(Where::Path));
    let mut unread = Vec::new();
    for at in named {
        let name = at.name();
        match exec.netns(&at) {
            Ok(file) => places.push((at, file)),
            Err(error) if at == Where::Host => return Err(error),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => unread.push(Netns { name, unread: vec![error.to_string()], ..Netns::default() }),
        }
    }
    let mut all = Vec::new();
    for (answer, (at, file)) in side_by_side(&places, |(at, file)| reader.namespace(at, file)).into_iter().zip(&places)
    {
        let name = at.name();
        match answer {
            Ok((links, netns)) => all.push(Raw {
                at: at.clone(),
                file: file.clone(),
                links,
                netns: Netns {
                    name,
                    path: match at {
                        Where::Path(path) => Some(path.clone()),
                        _ => None,
                    },
                    ..netns
                },
            }),
            Err(error) if *at == Where::Host || error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                unread.push(Netns { name, unread: vec![error.to_string()], ..Netns::default() });
            }
        }
    }
    join(&mut all);
    let mut namespaces: Vec<Netns> = all.into_iter().map(|raw| raw.netns).collect();
    namespaces.extend(unread);
    namespaces
        .get_mut(1..)
        .unwrap_or_default()
        .sort_by(|a, b| (a.path.is_some(), &a.name).cmp(&(b.path.is_some(), &b.name)));
    Ok(Snapshot {
        snapshot: VERSION,
        netwright: env!("CARGO_PKG_VERSION").to_owned(),
        taken: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        redacted: false,
        machine: machine(exec),
        namespaces,
        fresh: reader.fresh.unwrap_or_default(),
    })
}

/// Says of each link that leads into another namespace where it leads.
fn join(all: &mut [Raw]) {
    let shown: Vec<_> = all.iter().map(|raw| Shown { at: &raw.at, file: &raw.file, links: &raw.links }).collect();
    let far: Vec<((usize, usize), Far)> = ends(&shown)
        .into_iter()
        .map(|(from, (n, l))| (from, Far { netns: all[n].netns.name.clone(), link: all[n].links[l].ifname.clone() }))
        .collect();
    for ((n, l), far) in far {
        let name = all[n].links[l].ifname.clone();
        if let Some(link) = all[n].netns.links.iter_mut().find(|link| link.name == name) {
            link.far = Some(far);
        }
    }
}

/// What the machine is beside its network.
fn machine(exec: &Exec) -> Machine {
    let system = rustix::system::uname();
    let has = |tool: &Tool| exec.tools().path(*tool).is_ok();
    let modules = std::fs::read_to_string("/proc/modules").unwrap_or_default();
    let mut modules: Vec<String> = modules
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| MODULES.iter().any(|part| name.contains(part)))
        .map(str::to_owned)
        .collect();
    modules.sort();
    Machine {
        hostname: system.nodename().to_string_lossy().into_owned(),
        kernel: system.release().to_string_lossy().into_owned(),
        root: rustix::process::geteuid().is_root(),
        tools: Tool::ALL.iter().filter(|tool| has(tool)).map(|tool| tool.program().to_owned()).collect(),
        modules,
    }
}

/// What the names of modules that networks are made of contain.
const MODULES: &[&str] = &[
    "nf_",
    "nft_",
    "xt_",
    "ip_tables",
    "ip6_tables",
    "iptable",
    "ip6table",
    "ip_set",
    "bridge",
    "br_netfilter",
    "vlan",
    "8021q",
    "vxlan",
    "geneve",
    "wireguard",
    "bonding",
    "dummy",
    "veth",
    "macv",
    "ipvlan",
    "tun",
    "gre",
    "ipip",
    "sit",
    "sch_",
    "cls_",
    "act_",
    "vrf",
    "xfrm",
    "esp4",
    "esp6",
    "ip_vs",
    "overlay",
];

/// Programs that are asked beside those of [`Tool`].
const IPSET: &str = "ipset";

/// What is needed to read namespaces from several threads.
struct Reader {
    reading: Reading,
    ip: PathBuf,
    bridge: Option<PathBuf>,
    tc: Option<PathBuf>,
    nft: Option<PathBuf>,
    ipset: Option<PathBuf>,
    wg: Option<PathBuf>,
    /// `iptables-save` and its like: the name in the document, the file of `/proc` that says whether there are tables, the program.
    savers: Vec<(&'static str, Option<&'static str>, PathBuf)>,
    extent: Extent,
    /// The names of settings, once they are known.
    names: Names,
    /// The settings of a fresh namespace; `None` when none can be made.
    fresh: Option<BTreeMap<String, String>>,
}

impl Reader {
    fn new(exec: &Exec, extent: Extent) -> Result<Self> {
        let chosen = |tool| exec.tools().path(tool).ok();
        let names = [
            ("iptables-nft", None, "iptables-nft-save", Tool::IptablesSave),
            ("ip6tables-nft", None, "ip6tables-nft-save", Tool::Ip6tablesSave),
            ("iptables-legacy", Some("ip_tables_names"), "iptables-legacy-save", Tool::IptablesSave),
            ("ip6tables-legacy", Some("ip6_tables_names"), "ip6tables-legacy-save", Tool::Ip6tablesSave),
        ];
        let savers = names.into_iter().filter_map(|(name, file, program, tool)| {
            // A machine with one kind of iptables calls it by its plain name.
            Some((name, file, tools::find_own(program).or_else(|| chosen(tool))?))
        });
        let fresh = (extent == Extent::Whole)
            .then(Scratch::new)
            .and_then(Result::ok)
            .and_then(|apart| exec.within(&apart.netns(), || Settings::read(&Names::default()).all()).ok());
        Ok(Self {
            reading: Reading::new(exec.interrupt()),
            ip: exec.tools().path(Tool::Ip)?,
            bridge: chosen(Tool::Bridge),
            tc: chosen(Tool::Tc),
            nft: chosen(Tool::Nft),
            ipset: tools::find_own(IPSET),
            wg: tools::find_own("wg"),
            savers: savers.collect(),
            extent,
            names: Names::default(),
            fresh,
        })
    }

    /// What a program printed; a failure is noted, unless the kernel has nothing of the kind.
    fn ask(
        &self,
        (at, file): (&Where, &NetnsFile),
        (path, argv): (&Path, &[&str]),
        stdin: Option<&str>,
        netns: &mut Netns,
    ) -> Result<String> {
        Self::note(self.reading.asker().ask(at, file, path, argv, stdin), netns)
    }

    /// What a program printed; a failure is noted.
    fn note(said: Result<Ran>, netns: &mut Netns) -> Result<String> {
        let said: Ran = match said {
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                netns.unread.push(error.to_string());
                return Ok(String::new());
            }
            Ok(said) => said,
        };
        netns.unread.extend(complaint(&said));
        Ok(said.stdout)
    }

    fn namespace(&self, at: &Where, file: &NetnsFile) -> Result<(Vec<link::Link>, Netns)> {
        self.reading.asker().interrupt().check()?;
        let mut netns = Netns::default();
        let here = (at, file);
        let ip = self.ip.as_path();
        // One process answers all of it; a kernel without one of them answers the others.
        let text = self.ask(here, (ip, &["-j", "-d", "-force", "-batch", "-"]), Some(told::BATCH), &mut netns)?;
        let (shown, neighbours, routes) = match Told::read(&text) {
            Some(Told { shown, neighbours, routes }) => (shown, neighbours, routes),
            None => self.read_apart(here, &mut netns)?,
        };
        if shown.is_empty() {
            // Every namespace has its lo.
            let why = netns.unread.pop().unwrap_or_else(|| "`ip` names no link, not even lo".into());
            return Err(Error::new(Kind::ToolOutput, format!("the links of `{at}` could not be read: {why}")));
        }
        let mut state = State::default();
        let more = state.take_links(&Value::Array(shown.clone()).to_string())?;
        let links: Vec<link::Link> =
            shown.into_iter().filter_map(|record| json::view(record, "`ip address show`").ok()).collect();
        Self::take_neighbours(neighbours, &mut state, &mut netns)?;
        if let (true, Some(bridge)) = (more.ports, &self.bridge) {
            let text = self.ask(here, (bridge, &["-j", "fdb", "show"]), None, &mut netns)?;
            state.take_fdb(&text, &more.macs)?;
        }
        if let (true, Some(bridge)) = (more.vlans, &self.bridge) {
            let text = self.ask(here, (bridge, &["-j", "vlan", "show"]), None, &mut netns)?;
            state.take_vlans(&text)?;
        }
        if let (true, Some(tc)) = (more.qdiscs, &self.tc) {
            state.take_qdiscs(&self.ask(here, (tc, &["qdisc", "show"]), None, &mut netns)?);
        }
        self.take_routes(here, &routes, &mut state, &mut netns)?;
        netns.links = links.iter().map(describe).collect();
        netns.things = state;
        self.take_firewall(here, &mut netns)?;
        for link in links.iter().filter(|link| link.kind() == Some("wireguard")) {
            let Some(wg) = &self.wg else { break };
            let text = self.ask(here, (wg, &["show", &link.ifname, "dump"]), None, &mut netns)?;
            netns.wireguard.insert(link.ifname.clone(), without_keys(&text));
        }
        netns.listening = inside(at, file, listening)?;
        if self.extent == Extent::Whole {
            let host = *at == Where::Host;
            // The first namespace has settings that others lack.
            let names = if host { &Names::default() } else { &self.names };
            netns.sysctls = inside(at, file, || Settings::read(names))?.changed(self.fresh.as_ref(), host);
        }
        Ok((links, netns))
    }

    /// Neighbours that stay are part of the state; those that were learned are a note.
    fn take_neighbours(all: Vec<Value>, state: &mut State, netns: &mut Netns) -> Result<()> {
        let is = |record: &Value, word: &str| {
            record.get("state").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == word))
        };
        let proxy = |record: &Value| record.get("proxy").is_some();
        let (proxies, others): (Vec<Value>, Vec<Value>) = all.into_iter().partition(proxy);
        let (permanent, learned): (Vec<Value>, Vec<Value>) =
            others.into_iter().partition(|record| is(record, "PERMANENT"));
        state.take_neighbours(&Value::Array(permanent).to_string(), false)?;
        state.take_neighbours(&Value::Array(proxies).to_string(), true)?;
        for one in learned.iter().filter(|one| !is(one, "NOARP") && !is(one, "FAILED")) {
            let text = |key: &str| one.get(key).and_then(Value::as_str);
            if let (Some(dev), Some(mac), Some(Ok(addr))) =
                (text("dev"), text("lladdr"), text("dst").map(str::parse::<IpAddr>))
            {
                netns.neighbours.push(Neighbour { dev: dev.to_owned(), addr, mac: mac.to_owned() });
            }
        }
        netns.neighbours.sort();
        Ok(())
    }

    /// The links, the neighbours, and the text of routes and rules, by a process for those that JSON tells whole and one for the others.
    fn read_apart(&self, here: (&Where, &NetnsFile), netns: &mut Netns) -> Result<(Vec<Value>, Vec<Value>, String)> {
        netns.unread.clear();
        let ip = self.ip.as_path();
        let batch = "address show\nneigh show\nneigh show proxy\n";
        let text = self.ask(here, (ip, &["-j", "-d", "-force", "-batch", "-"]), Some(batch), netns)?;
        let (shown, neighbours) =
            json::records(&text, "`ip -batch`")?.into_iter().partition(|record| record.get("addr_info").is_some());
        // One process prints the routes of both families.
        let batch = "route show table all\nrule show\nnexthop show\n";
        let routes = self.ask(here, (ip, &["-o", "-d", "-force", "-batch", "-"]), Some(batch), netns)?;
        Ok((shown, neighbours, routes))
    }

    fn take_routes(&self, here: (&Where, &NetnsFile), text: &str, things: &mut State, netns: &mut Netns) -> Result<()> {
        let is_rule = |line: &&str| line.split_once(':').is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        let (rules, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(is_rule);
        let (nexthops, routes): (Vec<&str>, Vec<&str>) = rest.into_iter().partition(|line| line.starts_with("id "));
        things.take_nexthops(&nexthops.join("\n"));
        for part in [Part::Route4, Part::Route6] {
            let own: Vec<&str> = routes.iter().copied().filter(|line| state::family_of(line) == Some(part)).collect();
            things.take_routes(part, &own.join("\n"));
        }
        netns.ip_rules = rules.into_iter().map(rule_words).collect();
        let said = self.reading.policy_rules_v6(here.0, here.1, &self.ip, &["-o", "-d", "-6", "rule", "show"]);
        netns.ip6_rules = Self::note(said, netns)?.lines().map(rule_words).collect();
        Ok(())
    }

    fn take_firewall(&self, here: (&Where, &NetnsFile), netns: &mut Netns) -> Result<()> {
        let mut native = Vec::new();
        let mut of_iptables = Vec::new();
        let may_have = reading::may_have_nft(here.0, here.1);
        if let Some(nft) = self.nft.as_ref().filter(|_| may_have) {
            let text = self.ask(here, (nft, &["list", "ruleset"]), None, netns)?;
            for table in tables(&text) {
                if table.is_of_iptables() { of_iptables.push(table) } else { native.push(table) }
            }
        }
        let legacy = inside(here.0, here.1, || {
            ["ip_tables_names", "ip6_tables_names"].map(|name| net_file(name).is_some_and(|text| !text.is_empty()))
        })?;
        let mut seen: HashSet<&Path> = HashSet::new();
        for (name, file, path) in &self.savers {
            let v6 = name.starts_with("ip6");
            let has = match file {
                Some(_) => legacy[usize::from(v6)],
                None => {
                    self.nft.is_none() && may_have
                        || of_iptables.iter().any(|table| table.family == if v6 { "ip6" } else { "ip" })
                }
            };
            if !has || !seen.insert(path) {
                continue;
            }
            // It has tables: a failure of any sort is one to read them.
            match self.reading.asker().ask(here.0, here.1, path, &["-c"], None) {
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Ok(said) if said.status == Some(0) => {
                    let lines: Vec<String> =
                        said.stdout.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
                    if lines.iter().any(|line| line.starts_with('*')) {
                        netns.iptables.insert((*name).to_owned(), lines);
                    }
                }
                Ok(said) => {
                    let first = said.stderr.lines().next().unwrap_or("it says nothing");
                    netns.unread.push(format!("`{}` failed: {first}", said.command));
                }
                Err(error) => netns.unread.push(error.to_string()),
            }
        }
        // A table of such a name that `iptables-save` does not know is somebody's own.
        let known = |table: &&Table| {
            let key = if table.family == "ip6" { "ip6tables-nft" } else { "iptables-nft" };
            netns.iptables.get(key).is_some_and(|lines| lines.iter().any(|line| *line == format!("*{}", table.name)))
        };
        native.extend(of_iptables.iter().filter(|table| !known(table)).cloned());
        netns.nft = native.iter().flat_map(|table| table.lines.iter().cloned()).collect();
        let uses_sets =
            netns.iptables.values().flatten().any(|line| line.contains("match-set") || line.contains("-j SET"));
        if let Some(ipset) = self.ipset.as_ref().filter(|_| uses_sets || *here.0 == Where::Host) {
            let text = self.ask(here, (ipset, &["save"]), None, netns)?;
            netns.ipsets = text.lines().map(str::to_owned).collect();
        }
        Ok(())
    }
}

/// A link as the document has it.
fn describe(link: &link::Link) -> Link {
    let kind = link.kind();
    let of_kind = kind.and_then(|kind| link_kinds::kind(kind).ok());
    let mut options: BTreeMap<String, String> = of_kind
        .into_iter()
        .flat_map(|kind| kind.options.iter().map(|option| (kind.name, option.name)))
        .filter_map(|(kind, option)| Some((option.to_owned(), link_kinds::shown(kind, link, option)?)))
        .collect();
    if kind == Some("tun") {
        let data = link.linkinfo.info_data.as_ref();
        let mode = data.and_then(|data| data.get("type")).and_then(Value::as_str).unwrap_or("tun");
        options.insert("mode".into(), mode.to_owned());
    }
    Link {
        name: link.ifname.clone(),
        kind: kind.map(str::to_owned),
        options,
        far: None,
        on: match link.peer() {
            Some(Peer::Here(name)) => Some(name),
            Some(Peer::Elsewhere { .. }) => None,
            None => link.parent().map(str::to_owned),
        },
        link_type: link.link_type.clone(),
        carrier: link.has_carrier(),
        altnames: link.altnames.clone(),
        alias: link.ifalias.clone(),
    }
}

/// A line of `ip -o -d rule show`, without who made it.
fn rule_words(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    if let Some(at) = words.iter().position(|word| *word == "proto") {
        words.drain(at..(at + 2).min(words.len()));
    }
    words.join(" ")
}

/// A table of nft in nft's own words.
#[derive(Clone)]
struct Table {
    family: String,
    name: String,
    lines: Vec<String>,
}

impl Table {
    /// Whether its name is one of those that iptables gives.
    fn is_of_iptables(&self) -> bool {
        matches!(self.family.as_str(), "ip" | "ip6") && COMPAT.contains(&self.name.as_str())
    }
}

/// The tables that `nft list ruleset` printed.
fn tables(text: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if !open && let Some(rest) = line.strip_prefix("table ") {
            let mut words = rest.split_whitespace();
            if let (Some(family), Some(name)) = (words.next(), words.next()) {
                found.push(Table { family: family.to_owned(), name: name.to_owned(), lines: Vec::new() });
                open = true;
            }
        }
        if open {
            if let Some(table) = found.last_mut() {
                table.lines.push(line.to_owned());
            }
            open = line != "}" && !(line.starts_with("table ") && line.ends_with('}'));
        }
    }
    found
}

/// `wg show LINK dump` without the private key (first word of the first line) and the shared keys (second word of the others).
fn without_keys(text: &str) -> Vec<String> {
    let line = |(number, line): (usize, &str)| {
        let hidden = usize::from(number > 0);
        let words = line.split('\t').enumerate().map(|(at, word)| match word {
            "(none)" => word,
            _ if at == hidden => "(hidden)",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    // Counters and times of the last handshake pass.
    text.lines().enumerate().map(line).collect()
}

/// A file of `/proc/net` as the calling thread's namespace has it.
fn net_file(name: &str) -> Option<String> {
    std::fs::read_to_string(Path::new("/proc/thread-self/net").join(name)).ok()
}

/// The sockets of the calling thread's namespace that listen.
fn listening() -> Vec<Listening> {
    let mut found = BTreeSet::new();
    // The kernel counts the sockets of a namespace; to list them it walks the table of all namespaces (`established_get_first`).
    let counts: String = ["sockstat", "sockstat6"].map(|name| net_file(name).unwrap_or_default()).concat();
    let has_none = |file: &str| {
        let word = file.to_uppercase();
        counts.lines().any(|line| line.split(' ').take(3).eq([&*format!("{word}:"), "inuse", "0"]))
    };
    // `st` 0A is `TCP_LISTEN`; an UDP socket that is bound and not connected is 07, `TCP_CLOSE` (include/net/tcp_states.h).
    for (file, proto, state) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        if has_none(file) {
            continue;
        }
        for line in net_file(file).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(&st)) = (words.get(1), words.get(3)) else { continue };
            if st != state {
                continue;
            }
            if let Some((addr, port)) = socket_address(local) {
                found.insert(Listening { proto: proto.to_owned(), addr, port });
            }
        }
    }
    found.into_iter().collect()
}

/// `0100007F:0050`: the words of the address in the order of this machine, the port as a number.
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(addr.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let addr = match addr.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((addr, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_in_the_order_of_bytes_of_this_machine() {
        if cfg!(target_endian = "little") {
            assert_eq!(socket_address("0100007F:0050"), Some((Ipv4Addr::LOCALHOST.into(), 80)));
            assert_eq!(
                socket_address("B80D0120000000000000000001000000:01BB"),
                Some(("2001:db8::1".parse().unwrap(), 443))
            );
        }
        for bad in ["", "x:1", "0100007F", "0100007F:x", "01:0050"] {
            assert_eq!(socket_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn tables_are_told_apart() {
        let text = "table ip filter {\n\tchain INPUT {\n\t}\n}\ntable inet lab {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\ntable ip empty {\n}\n";
        let found = tables(text);
        let told: Vec<_> =
            found.iter().map(|table| (table.family.as_str(), table.name.as_str(), table.lines.len())).collect();
        assert_eq!(told, [("ip", "filter", 4), ("inet", "lab", 5), ("ip", "empty", 2)]);
        assert!(found[0].is_of_iptables() && !found[1].is_of_iptables() && !found[2].is_of_iptables());
    }

    #[test]
    fn keys_are_never_in_it() {
        let text = "PRIV=\tPUB=\t51820\toff\nPEER=\tPSK=\t10.0.0.1:51820\t10.1.0.0/16\t0\t0\t0\toff\nPEER2=\t(none)\t(none)\t10.2.0.0/16\t0\t0\t0\toff\n";
        let lines = without_keys(text);
        assert_eq!(lines[0], "(hidden) PUB= 51820 off");
        assert!(lines[1].starts_with("PEER= (hidden) 10.0.0.1:51820"), "{}", lines[1]);
        assert!(lines[2].starts_with("PEER2= (none) (none)"), "{}", lines[2]);
    }

    #[test]
    fn who_made_a_rule_is_left_out() {
        assert_eq!(rule_words("0:\tfrom all lookup local proto kernel"), "0: from all lookup local");
        assert_eq!(rule_words("99: from 10.0.0.0/8 lookup 7"), "99: from 10.0.0.0/8 lookup 7");
    }
}
