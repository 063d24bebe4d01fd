//! What a namespace holds, thing by thing, in the words in which a tool would take it back.
//!
//! The kernel does more than it is told: with an address go others of its subnet and routes, with a link that goes down its routes and IPv6
//! addresses, with a master the settings of the port. Two states of a namespace, before and after an act, tell what that was ([`State::lost`]).
//!
//! Routes and queueing disciplines are read from the text of `ip` and `tc`, not from their JSON: the text is what they read back, and the JSON
//! leaves out what matters (`mtu lock`, units; iproute2 6.1.0).

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json;
use crate::Result;

/// What sort of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A setting of a link: `eth0 mtu` is `1500`.
    Link,
    /// A setting of a bridge's port: `port0 isolated` is `on`.
    Port,
    /// A VLAN of a port: `port0 10` is `pvid untagged`.
    Vlan,
    /// An entry of a bridge's table that somebody made: `port0 02:00:00:00:00:99` is `master static`.
    Fdb,
    /// A root queueing discipline: `eth0` is `tbf rate 1Mbit …`.
    Qdisc,
    /// A setting of the kernel, by its path below `/proc/sys`.
    Sysctl,
    /// An address: `eth0 10.0.0.1/24` is `scope global label eth0`.
    Addr,
    /// The order of the IPv4 addresses of a link: the first of a subnet is its primary one.
    Order,
    /// A neighbour that stays: `eth0 10.0.0.9` is `lladdr 02:00:00:00:00:09`.
    Neigh,
    /// An address that is answered for.
    Proxy,
    /// A next hop object.
    Nexthop,
    /// An IPv4 route, by what makes its place: `10.0.0.0/8 table main metric 50`.
    Route4,
    /// An IPv6 route.
    Route6,
}

impl Part {
    /// Whether it is a route.
    #[must_use]
    pub fn is_route(self) -> bool {
        matches!(self, Self::Route4 | Self::Route6)
    }
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// What sort of thing.
    pub part: Part,
    /// What tells it from others of its sort.
    pub key: String,
    /// What it is, in words that a tool takes.
    pub value: String,
    /// More such words that are not compared: a lifetime that runs, the handle of a discipline.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub more: String,
}

impl Thing {
    /// A thing without more words.
    pub fn new(part: Part, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { part, key: key.into(), value: value.into(), more: String::new() }
    }

    /// The link that it hangs on.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        match self.part {
            Part::Sysctl | Part::Nexthop => None,
            Part::Route4 | Part::Route6 => self.value.split(' ').skip_while(|word| *word != "dev").nth(1),
            _ => self.key.split(' ').next(),
        }
    }

    /// Whether a route or an address is one that the kernel makes by itself, with an address or a link.
    #[must_use]
    pub fn is_of_kernel(&self) -> bool {
        self.part.is_route() && self.value.contains(" proto kernel ")
    }
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { part, key, value, .. } = self;
        match part {
            Part::Link | Part::Port => write!(f, "{key} {value}"),
            Part::Vlan => write!(f, "vlan of {key} {value}"),
            Part::Fdb => write!(f, "fdb entry {key} {value}"),
            Part::Qdisc => write!(f, "qdisc of {key}: {value}"),
            Part::Sysctl => write!(f, "{} = {value}", key.replace('/', ".")),
            Part::Addr => write!(f, "address of {key} {value}"),
            Part::Order => write!(f, "order of the addresses of {key}: {value}"),
            Part::Neigh => write!(f, "neighbour on {key} {value}"),
            Part::Proxy => write!(f, "proxy neighbour on {key}"),
            Part::Nexthop => write!(f, "nexthop id {key} {value}"),
            Part::Route4 | Part::Route6 => write!(f, "route {value}"),
        }
    }
}

/// A thing that an act took or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// As it was.
    pub was: Thing,
    /// What it was right after the act; `None` when it was gone.
    pub then: Option<String>,
    /// Whether the act was the user's own words: then only what their inverse leaves alone is put back.
    #[serde(default)]
    pub by_user: bool,
}

/// The things of a namespace, in the order in which they are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct State(pub Vec<Thing>);

/// By what a thing is found.
type Key<'a> = (Part, &'a str);

impl State {
    /// A thing by its sort and key.
    #[must_use]
    pub fn index(&self) -> HashMap<Key<'_>, &Thing> {
        self.0.iter().map(|thing| ((thing.part, thing.key.as_str()), thing)).collect()
    }

    /// What is not there afterwards, or is otherwise.
    #[must_use]
    pub fn lost(&self, after: &Self) -> Vec<Lost> {
        let after = after.index();
        let lost = |was: &Thing| {
            let now = after.get(&(was.part, was.key.as_str()));
            let same = now.is_some_and(|now| now.value == was.value);
            (!same).then(|| Lost { was: was.clone(), then: now.map(|now| now.value.clone()), by_user: false })
        };
        self.0.iter().filter_map(lost).collect()
    }

    /// Takes the links and their addresses in that `ip -j -d address show` printed; what else is to be asked.
    ///
    /// # Errors
    ///
    /// [`Kind::ToolOutput`](crate::Kind::ToolOutput) for what is no list of links.
    pub fn take_links(&mut self, text: &str) -> Result<More> {
        let mut more = More::default();
        for link in json::records(text, "ip address show")? {
            let Some(link) = link.as_object() else { continue };
            let Some(name) = link.get("ifname").and_then(Value::as_str) else { continue };
            self.take_link(name, link, &mut more);
            self.take_addresses(name, link);
        }
        Ok(more)
    }

    fn take_link(&mut self, name: &str, link: &Map<String, Value>, more: &mut More) {
        let mut setting =
            |part, what: &str, value: &str| self.0.push(Thing::new(part, format!("{name} {what}"), value));
        let up = link.get("flags").and_then(Value::as_array).is_some_and(|flags| flags.iter().any(|flag| flag == "UP"));
        setting(Part::Link, "state", if up { "up" } else { "down" });
        for what in ["mtu", "address"] {
            if let Some(value) = link.get(what).and_then(word) {
                setting(Part::Link, what, &value);
            }
        }
        let master = link.get("master").and_then(Value::as_str);
        setting(Part::Link, "master", master.unwrap_or("-"));
        let info = link.get("linkinfo").and_then(Value::as_object);
        let text = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_str);
        let data = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_object);
        if text("info_slave_kind") == Some("bridge") || text("info_kind") == Some("bridge") {
            more.macs.extend(link.get("address").and_then(Value::as_str).map(str::to_owned));
        }
        if text("info_slave_kind") == Some("bridge") {
            more.ports = true;
            let data = data("info_slave_data");
            for (key, option) in PORT_OPTIONS {
                if let Some(value) = data.and_then(|data| data.get(*key)).and_then(word) {
                    setting(Part::Port, option, &value);
                }
            }
        }
        if data("info_data").and_then(|data| data.get("vlan_filtering")).is_some_and(|on| *on == 1) {
            more.vlans = true;
        }
        let kind = link.get("qdisc").and_then(Value::as_str).unwrap_or("noqueue");
        more.qdiscs |= !matches!(kind, "noqueue" | "noop");
    }

    fn take_addresses(&mut self, name: &str, link: &Map<String, Value>) {
        let infos = link.get("addr_info").and_then(Value::as_array);
        let mut order: Vec<String> = Vec::new();
        let mut v6 = Vec::new();
        for info in infos.into_iter().flatten().filter_map(Value::as_object) {
            // One that changes by itself is nobody's.
            if info.contains_key("temporary") {
                continue;
            }
            let Some((address, words)) = addr_words(info) else { continue };
            let mut thing = Thing::new(Part::Addr, format!("{name} {address}"), words.join(" "));
            thing.more = lifetimes(info);
            if address.contains(':') {
                v6.push(thing);
            } else {
                order.push(address);
                self.0.push(thing);
            }
        }
        // The kernel puts a new IPv6 address before the others of its scope, so the last comes first.
        self.0.extend(v6.into_iter().rev());
        if order.len() > 1 {
            self.0.push(Thing::new(Part::Order, name, order.join(" ")));
        }
    }

    /// Takes the neighbours in that `ip -j neigh show nud permanent` or, with `proxy`, `ip -j neigh show proxy` printed.
    ///
    /// # Errors
    ///
    /// As [`State::take_links`].
    pub fn take_neighbours(&mut self, text: &str, proxy: bool) -> Result<()> {
        for neigh in json::records(text, "ip neigh show")? {
            let word = |key: &str| neigh.get(key).and_then(Value::as_str);
            let (Some(dst), Some(dev)) = (word("dst"), word("dev")) else { continue };
            let key = format!("{dev} {dst}");
            match word("lladdr") {
                _ if proxy => self.0.push(Thing::new(Part::Proxy, key, "")),
                // Those of multicast and of noarp links are the kernel's.
                Some(mac) => {
                    let router = if neigh.get("router").is_some() { " router" } else { "" };
                    let learned = if neigh.get("extern_learn").is_some() { " extern_learn" } else { "" };
                    self.0.push(Thing::new(Part::Neigh, key, format!("lladdr {mac}{router}{learned}")));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Takes the entries in that `bridge -j fdb show` printed and somebody made; not those of the ports' own addresses.
    ///
    /// # Errors
    ///
    /// As [`State::take_links`].
    pub fn take_fdb(&mut self, text: &str, own: &[String]) -> Result<()> {
        for entry in json::records(text, "bridge fdb show")? {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            let (Some(mac), Some(dev), Some(state)) = (text("mac"), text("ifname"), text("state")) else { continue };
            if text("master").is_none() || !matches!(state, "static" | "permanent") {
                continue;
            }
            if state == "permanent" && own.iter().any(|own| own == mac) {
                continue;
            }
            let vlan = entry.get("vlan").and_then(word).map(|vlan| format!(" vlan {vlan}")).unwrap_or_default();
            let flags = entry.get("flags").and_then(Value::as_array);
            let sticky = flags.is_some_and(|flags| flags.iter().any(|flag| flag == "sticky"));
            let value = format!("master {state}{vlan}{}", if sticky { " sticky" } else { "" });
            self.0.push(Thing::new(Part::Fdb, format!("{dev} {mac}{vlan}"), value));
        }
        Ok(())
    }

    /// Takes the VLANs of ports in that `bridge -j vlan show` printed.
    ///
    /// # Errors
    ///
    /// As [`State::take_links`].
    pub fn take_vlans(&mut self, text: &str) -> Result<()> {
        for port in json::records(text, "bridge vlan show")? {
            let Some(dev) = port.get("ifname").and_then(Value::as_str) else { continue };
            for vlan in port.get("vlans").and_then(Value::as_array).into_iter().flatten() {
                let Some(vid) = vlan.get("vlan").and_then(word) else { continue };
                let has = |flag: &str| {
                    vlan.get("flags").and_then(Value::as_array).is_some_and(|flags| flags.iter().any(|one| one == flag))
                };
                let words = [("PVID", "pvid"), ("Egress Untagged", "untagged")];
                let words: Vec<&str> = words.into_iter().filter(|(flag, _)| has(flag)).map(|(_, word)| word).collect();
                self.0.push(Thing::new(Part::Vlan, format!("{dev} {vid}"), words.join(" ")));
            }
        }
        Ok(())
    }

    /// Takes the next hop objects in that `ip -o nexthop show` printed.
    pub fn take_nexthops(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = joined(line);
            if let (Some("id"), Some(id)) = (words.next(), words.next()) {
                let mut kept = Vec::new();
                while let Some(word) = words.next() {
                    // The one follows from the gateway, the other is how long a group has been out of balance: `ip nexthop` takes neither.
                    if matches!(word, "scope" | "unbalanced_time") {
                        words.next();
                    } else {
                        kept.push(word);
                    }
                }
                self.0.push(Thing::new(Part::Nexthop, id, kept.join(" ")));
            }
        }
    }

    /// Takes the routes in that `ip -o -d route show table all` printed, but those that come and go with addresses and links.
    pub fn take_routes(&mut self, part: Part, text: &str) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for mut thing in text.lines().filter_map(|line| route(part, line)) {
            let times = seen.entry(thing.key.clone()).or_default();
            *times += 1;
            if *times > 1 {
                thing.key = format!("{} #{times}", thing.key);
            }
            self.0.push(thing);
        }
    }

    /// Takes the root queueing disciplines in that `tc qdisc show` printed and somebody made.
    pub fn take_qdiscs(&mut self, text: &str) {
        for qdisc in text.lines().filter_map(Qdisc::parse).filter(|qdisc| !qdisc.is_of_kernel()) {
            let place = qdisc.parent.as_deref().map(|parent| format!(" parent {parent}")).unwrap_or_default();
            let mut thing = Thing::new(Part::Qdisc, format!("{}{place}", qdisc.dev), qdisc.words.join(" "));
            thing.more = format!("handle {}", qdisc.handle);
            self.0.push(thing);
        }
    }
}

/// What else is to be asked, as the links show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// There is a port of a bridge.
    pub ports: bool,
    /// A bridge has VLANs.
    pub vlans: bool,
    /// A link has a queueing discipline that need not be the kernel's own.
    pub qdiscs: bool,
    /// The addresses of bridges and their ports, which they know by themselves.
    pub macs: Vec<String>,
}

/// The settings of a bridge's port: their keys in `info_slave_data`, and the words of `ip link set … type bridge_slave` (iproute2 6.1.0,
/// `ip/iplink_bridge_slave.c`). Not its state, which is the protocol's.
const PORT_OPTIONS: &[(&str, &str)] = &[
    ("priority", "priority"),
    ("cost", "cost"),
    ("hairpin", "hairpin"),
    ("guard", "guard"),
    ("root_block", "root_block"),
    ("fastleave", "fastleave"),
    ("learning", "learning"),
    ("flood", "flood"),
    ("proxy_arp", "proxy_arp"),
    ("proxy_arp_wifi", "proxy_arp_wifi"),
    ("multicast_router", "mcast_router"),
    ("mcast_flood", "mcast_flood"),
    ("bcast_flood", "bcast_flood"),
    ("mcast_to_unicast", "mcast_to_unicast"),
    ("neigh_suppress", "neigh_suppress"),
    ("vlan_tunnel", "vlan_tunnel"),
    ("isolated", "isolated"),
    ("locked", "locked"),
];

/// Words that `ip` prints of what passes, and does not take.
const PASSING: [&str; 7] = ["linkdown", "dead", "offload", "offload_failed", "trap", "rt_offload", "rt_trap"];

/// The words of a line that `ip -o` has joined: a `\` stands for an end of a line, and may touch the word before it.
fn joined(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || c == '\\').filter(|word| !word.is_empty());
    words.filter(|word| !PASSING.contains(word))
}

/// A scalar as a word.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(if *on { "on" } else { "off" }.to_owned()),
        _ => None,
    }
}

/// An address with its prefix, and the words after `ip address add ADDR dev LINK` that make it what it is.
#[must_use]
pub(crate) fn addr_words(info: &Map<String, Value>) -> Option<(String, Vec<String>)> {
    let text = |key: &str| info.get(key).and_then(Value::as_str);
    let number = |key: &str| info.get(key).and_then(Value::as_u64);
    let plen = number("prefixlen")?;
    let local = text("local").or_else(|| text("address"))?;
    let mut words: Vec<String> = Vec::new();
    if let Some(peer) = text("address").filter(|_| text("local").is_some()) {
        words.extend(["peer".to_owned(), format!("{peer}/{plen}")]);
    }
    for (key, word) in [("broadcast", "broadcast"), ("scope", "scope"), ("label", "label")] {
        if let Some(value) = text(key) {
            words.extend([word.to_owned(), value.to_owned()]);
        }
    }
    if let Some(metric) = number("metric") {
        words.extend(["metric".to_owned(), metric.to_string()]);
    }
    for flag in ["noprefixroute", "home", "mngtmpaddr", "nodad"] {
        if info.contains_key(flag) {
            words.push(flag.to_owned());
        }
    }
    Some((format!("{local}/{plen}"), words))
}

/// The lifetimes of an address that has an end.
fn lifetimes(info: &Map<String, Value>) -> String {
    let forever = u64::from(super::net_addr::FOREVER);
    let number = |key: &str| info.get(key).and_then(Value::as_u64).unwrap_or(forever);
    let (valid, preferred) = (number("valid_life_time"), number("preferred_life_time"));
    let word = |seconds: u64| if seconds == forever { "forever".to_owned() } else { seconds.to_string() };
    if valid == forever && preferred == forever {
        return String::new();
    }
    format!("valid_lft {} preferred_lft {}", word(valid), word(preferred))
}

/// The words of a route that goes by a next hop object without the ways of that, which are shown with it and cannot be said beside it.
fn without_ways<'a>(words: &[&'a str]) -> Vec<&'a str> {
    if !words.contains(&"nhid") {
        return words.to_vec();
    }
    let own = words.iter().take_while(|word| **word != "nexthop");
    let mut own = own.copied();
    let mut kept = Vec::new();
    while let Some(word) = own.next() {
        match word {
            "via" => {
                if own.next() == Some("inet6") {
                    own.next();
                }
            }
            "dev" => {
                own.next();
            }
            _ => kept.push(word),
        }
    }
    kept
}

/// A route's segments as `ip` takes them: it prints `segs 2 [ fd00::7 fd00::8 ]` (iproute2 6.1.0, `print_srh`) and reads `segs fd00::7,fd00::8`. Of
/// the mode `inline` it prints the destination's own place at the end, as `::`.
fn as_taken(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(" segs ") {
        let Some((segments, behind)) = after.split_once(" [ ").and_then(|(_, list)| list.split_once(" ]")) else {
            break;
        };
        let inline = before.ends_with(" mode inline");
        let segments: Vec<&str> = segments.split_whitespace().filter(|one| !(inline && *one == "::")).collect();
        out.push_str(before);
        out.push_str(" segs ");
        out.push_str(&segments.join(","));
        rest = behind;
    }
    if out.is_empty() { line.into() } else { (out + rest).into() }
}

/// A route as `ip -o -d route show` prints it; none that the kernel keeps for itself.
fn route(part: Part, line: &str) -> Option<Thing> {
    let line = &*as_taken(line);
    let mut kept = Vec::new();
    let mut more = String::new();
    let mut words = joined(line).peekable();
    while let Some(word) = words.next() {
        match word {
            // A time that runs: `expires 1799sec`.
            "expires" => more = format!("expires {}", words.next()?.trim_end_matches("sec")),
            // What the kernel answers, which follows from the type.
            "error" => drop(words.next()),
            // It is always locked, and `ip` does not take the word.
            "lock" if kept.last() == Some(&"rto_min") => {}
            // Said only where all tables are listed.
            "table" if words.peek() == Some(&"main") => drop(words.next()),
            _ => kept.push(word),
        }
    }
    let (kind, dst) = (*kept.first()?, *kept.get(1)?);
    // What a next hop object is, on a line of its own, is no route.
    if matches!(kind, "local" | "broadcast" | "anycast" | "multicast" | "nh_info") {
        return None;
    }
    let after = |name: &str| kept.iter().skip_while(|word| **word != name).nth(1).copied();
    if part == Part::Route6 && after("dev") == Some("lo") && after("metric") == Some("4294967295") {
        return None;
    }
    let (table, metric) = (after("table").unwrap_or("main"), after("metric").unwrap_or("0"));
    let tos = after("tos").map(|tos| format!(" tos {tos}")).unwrap_or_default();
    let mut key = format!("{dst} table {table} metric {metric}{tos}");
    if part == Part::Route6 {
        // Routes to one destination with one metric stand beside each other.
        key = format!("{key} via {} dev {}", after("via").unwrap_or("-"), after("dev").unwrap_or("-"));
    }
    let mut thing = Thing::new(part, key, without_ways(&kept).join(" "));
    thing.more = more;
    Some(thing)
}

/// Which family a line of `ip -o -d route show table all` is of, where both are listed. iproute2 does not say of a default route; every IPv6 route of
/// the kernel has a preference (`pref medium`). `None` for a line that is no route of either.
#[must_use]
pub(crate) fn family_of(line: &str) -> Option<Part> {
    let mut words = line.split_whitespace();
    let dst = words.nth(1)?;
    let text = dst.split('/').next()?;
    let v6 = match text.parse::<std::net::IpAddr>() {
        Ok(ip) => ip.is_ipv6(),
        Err(_) if dst == "default" => {
            let words: Vec<&str> = words.collect();
            words.windows(2).any(|two| matches!(two, ["pref", "low" | "medium" | "high"]))
        }
        Err(_) => return None,
    };
    Some(if v6 { Part::Route6 } else { Part::Route4 })
}

/// The words of the route of a list of `ip -o -d route show` that has a metric, for an inverse.
#[must_use]
pub(crate) fn route_words(part: Part, text: &str, metric: Option<u32>) -> Option<Vec<String>> {
    let wanted = metric.unwrap_or(0).to_string();
    let metric = |thing: &Thing| thing.value.split(' ').skip_while(|word| *word != "metric").nth(1).map(str::to_owned);
    let found = text
        .lines()
        .filter_map(|line| route(part, line))
        .find(|one| metric(one).unwrap_or_else(|| "0".into()) == wanted)?;
    Some(format!("{} {}", found.value, found.more).split_whitespace().map(str::to_owned).collect())
}

/// A queueing discipline as `tc qdisc show` prints it: `qdisc tbf 8001: dev eth0 root refcnt 2 rate 1Mbit burst 10Kb lat 50ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// The link.
    pub dev: String,
    /// `8001:`; `0:` of the kernel's own.
    pub handle: String,
    /// What it hangs below; `None` at the root.
    pub parent: Option<String>,
    /// Its kind and options.
    pub words: Vec<String>,
}

/// The names of the numbers of netem's models of loss, which `tc` prints and does not read.
const LOSS_NUMBERS: [&str; 9] = ["p", "r", "1-h", "1-k", "p13", "p31", "p32", "p23", "p14"];

impl Qdisc {
    /// Reads a line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned).peekable();
        let (_, kind, handle) = (words.next().filter(|word| word == "qdisc")?, words.next()?, words.next()?);
        // `tc qdisc show dev LINK` leaves the link out.
        let dev = words.next_if(|word| word == "dev").map_or(Some(String::new()), |_| words.next())?;
        let parent = match words.next()?.as_str() {
            "parent" => Some(words.next()?),
            _ => None,
        };
        let netem = kind == "netem";
        let mut options = vec![kind];
        while let Some(word) = words.next() {
            match word.as_str() {
                // `loss gemodel p 1% r 10% …` is read without the names.
                name if netem && LOSS_NUMBERS.contains(&name) => {}
                "refcnt" | "direct_packets_stat" => drop(words.next()),
                "offloaded" => {}
                // Packets, which `tc` prints with a letter and reads without.
                _ => match word.strip_suffix('p') {
                    Some(number) if number.parse::<u64>().is_ok() => options.push(number.to_owned()),
                    _ => options.push(word),
                },
            }
        }
        Some(Self { dev, handle, parent, words: options })
    }

    /// Whether it is the one of the whole link.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.parent.is_none()
    }

    /// Whether nobody asked for it.
    #[must_use]
    pub fn is_of_kernel(&self) -> bool {
        self.handle == "0:"
    }

    /// The words after `tc qdisc replace dev LINK root`.
    #[must_use]
    pub fn spec(&self) -> Vec<String> {
        ["handle".to_owned(), self.handle.clone()].into_iter().chain(self.words.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(state: &State, part: Part) -> Vec<String> {
        state.0.iter().filter(|one| one.part == part).map(|one| format!("{}: {}", one.key, one.value)).collect()
    }

    /// iproute2 6.1.0 does not read what it prints of segments.
    #[test]
    fn segments_are_written_as_they_are_taken() {
        let value = |line: &str| route(Part::Route6, line).map(|route| route.value).unwrap_or_default();
        let line = "unicast fd09::/64  encap seg6 mode encap segs 2 [ fd00::7 fd00::8 ] dev v0 metric 1024 pref medium";
        assert_eq!(
            value(line),
            "unicast fd09::/64 encap seg6 mode encap segs fd00::7,fd00::8 dev v0 metric 1024 pref medium"
        );
        let line = "unicast fd0a::/64  encap seg6 mode inline segs 3 [ fd00::7 fd00::8 :: ] dev v0 metric 1024";
        assert_eq!(value(line), "unicast fd0a::/64 encap seg6 mode inline segs fd00::7,fd00::8 dev v0 metric 1024");
        let plain = "unicast 10.9.0.0/16 encap mpls  100/200 via 10.0.0.2 dev v0";
        assert_eq!(as_taken(plain), plain);
    }

    /// As iproute2 6.1.0 prints them; the undo could not put them back.
    #[test]
    fn what_ip_prints_and_does_not_take_is_left_out() {
        let route =
            route(Part::Route4, "unicast 10.52.0.0/16 via 10.1.0.9 dev eth1 mtu lock 1300 rto_min lock 5ms quickack 1");
        assert_eq!(
            route.unwrap().value,
            "unicast 10.52.0.0/16 via 10.1.0.9 dev eth1 mtu lock 1300 rto_min 5ms quickack 1"
        );
        let mut state = State::default();
        state.take_routes(
            Part::Route4,
            "nh_info id 4 group 1/2 type resilient buckets 32 nexthop via 10.1.0.7 dev eth1 weight 1",
        );
        assert!(state.0.is_empty());
        state.take_nexthops(
            "id 4 group 1/2 type resilient buckets 32 idle_timer 60 unbalanced_timer 0 unbalanced_time 3 scope link",
        );
        assert_eq!(
            values(&state, Part::Nexthop),
            ["4: group 1/2 type resilient buckets 32 idle_timer 60 unbalanced_timer 0"]
        );
    }

    #[test]
    fn the_family_of_a_route_is_told_where_both_are_listed() {
        for (line, family) in [
            ("unicast default via 10.1.0.9 dev d0 table main proto boot scope global ", Some(Part::Route4)),
            ("unicast default via inet6 fe80::1 dev pref table main proto boot", Some(Part::Route4)),
            ("unicast default via fe80::9 dev d0 table main proto boot metric 1024 pref medium", Some(Part::Route6)),
            (
                "unreachable default dev lo table unspec proto kernel metric 4294967295 error -101 pref medium",
                Some(Part::Route6),
            ),
            ("unicast 10.8.0.0/16 via inet6 2001:db8::4 dev d0 table main", Some(Part::Route4)),
            ("blackhole 10.9.0.1 table main proto boot", Some(Part::Route4)),
            ("multicast ff00::/8 dev d0 table local proto kernel metric 256 pref medium", Some(Part::Route6)),
            ("\tnh_info id 7 via 10.1.0.3 dev d0 scope link proto unspec ", None),
            ("100 as to 200 via inet 10.1.0.1 dev d0 proto static", None),
            ("", None),
        ] {
            assert_eq!(family_of(line), family, "{line}");
        }
    }

    #[test]
    fn a_discipline_is_read_with_and_without_its_link() {
        let all = Qdisc::parse("qdisc tbf 8160: dev eth0 root refcnt 2 rate 1Mbit burst 10Kb lat 50ms ").unwrap();
        let one = Qdisc::parse("qdisc tbf 8160: root refcnt 2 rate 1Mbit burst 10Kb lat 50ms ").unwrap();
        assert_eq!((all.dev.as_str(), one.dev.as_str()), ("eth0", ""));
        assert_eq!(all.spec().join(" "), "handle 8160: tbf rate 1Mbit burst 10Kb lat 50ms");
        assert_eq!((all.spec(), one.is_root(), one.is_of_kernel()), (one.spec(), true, false));
        // As iproute2 6.1 prints them.
        for (line, words) in [
            ("loss gemodel p 1% r 10% 1-h 70% 1-k 0.1% ecn", "loss gemodel 1% 10% 70% 0.1% ecn"),
            ("loss state p13 1% p31 99% p32 0% p23 100% p14 0%", "loss state 1% 99% 0% 100% 0%"),
            ("loss 1% 25%", "loss 1% 25%"),
        ] {
            let one = Qdisc::parse(&format!("qdisc netem 8001: root refcnt 2 limit 1000 {line}")).unwrap();
            assert_eq!(one.spec().join(" "), format!("handle 8001: netem limit 1000 {words}"));
        }
        let below = Qdisc::parse("qdisc fq_codel 0: parent :1 limit 10240p").unwrap();
        assert!(!below.is_root() && below.words.join(" ") == "fq_codel limit 10240");
    }

    #[test]
    fn routes_are_kept_in_the_words_that_make_them_again() {
        let mut state = State::default();
        state.take_routes(
            Part::Route4,
            "unicast 10.76.0.0/16 via 10.74.0.9 dev other0 table 176 proto boot scope global \n\
             unicast 10.77.0.0/16 table main proto boot scope global \\\tnexthop via 10.74.0.8 dev other0 weight 1 linkdown \\\tnexthop via 10.74.0.9 dev other0 weight 3 \n\
             unicast 10.78.0.0/16 via 10.74.0.9 dev other0 table main proto boot scope global metric 50 mtu lock 1300 \n\
             local 10.74.0.1 dev other0 table local proto kernel scope host src 10.74.0.1 \n",
        );
        assert_eq!(
            values(&state, Part::Route4),
            [
                "10.76.0.0/16 table 176 metric 0: unicast 10.76.0.0/16 via 10.74.0.9 dev other0 table 176 proto boot scope global",
                "10.77.0.0/16 table main metric 0: unicast 10.77.0.0/16 proto boot scope global nexthop via 10.74.0.8 dev other0 weight 1 nexthop via 10.74.0.9 dev other0 weight 3",
                "10.78.0.0/16 table main metric 50: unicast 10.78.0.0/16 via 10.74.0.9 dev other0 proto boot scope global metric 50 mtu lock 1300",
            ]
        );
        let mut state = State::default();
        state.take_routes(
            Part::Route6,
            "unicast default via fe80::1 dev eth0 table main proto ra scope global metric 1024 expires 1790sec hoplimit 64 pref medium\n\
             anycast 2001:db8:7:: dev other0 table local proto kernel scope global metric 0 pref medium\n",
        );
        assert_eq!(state.0.len(), 1);
        assert_eq!(state.0[0].more, "expires 1790");
        assert!(state.0[0].value.ends_with("metric 1024 hoplimit 64 pref medium"), "{}", state.0[0].value);
        let text = "unicast default via 10.0.0.1 dev a table main proto boot scope global \nunicast default dev b table main proto dhcp scope link metric 100 \n";
        let words = |metric| route_words(Part::Route4, text, metric).map(|words| words.join(" "));
        assert_eq!(words(Some(100)).as_deref(), Some("unicast default dev b proto dhcp scope link metric 100"));
        assert!(words(None).is_some_and(|words| words.contains("dev a")) && words(Some(7)).is_none());
    }

    #[test]
    fn links_addresses_and_ports() {
        let text = r#"[{"ifname":"port0","flags":["UP"],"mtu":1500,"address":"02:00:00:00:00:01","master":"brx","qdisc":"noqueue",
            "linkinfo":{"info_slave_kind":"bridge","info_slave_data":{"cost":50,"isolated":true,"state":"forwarding"}},
            "addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"broadcast":"10.0.0.255","scope":"global","label":"port0","valid_life_time":4294967295,"preferred_life_time":4294967295},
                {"family":"inet","local":"10.0.0.2","prefixlen":24,"scope":"global","secondary":true,"label":"port0:1","dynamic":true,"valid_life_time":90,"preferred_life_time":0},
                {"family":"inet6","local":"2001:db8::1","prefixlen":64,"scope":"global","noprefixroute":true},
                {"family":"inet6","local":"2001:db8::77","prefixlen":64,"scope":"global","temporary":true},
                {"family":"inet6","local":"2001:db8::2","prefixlen":64,"scope":"global"}]}]"#;
        let mut state = State::default();
        let more = state.take_links(text).unwrap();
        assert!(more.ports && !more.vlans && !more.qdiscs);
        assert_eq!(values(&state, Part::Port), ["port0 cost: 50", "port0 isolated: on"]);
        assert_eq!(
            values(&state, Part::Addr),
            [
                "port0 10.0.0.1/24: broadcast 10.0.0.255 scope global label port0",
                "port0 10.0.0.2/24: scope global label port0:1",
                "port0 2001:db8::2/64: scope global",
                "port0 2001:db8::1/64: scope global noprefixroute",
            ],
            "the last IPv6 address goes back first"
        );
        assert_eq!(values(&state, Part::Order), ["port0: 10.0.0.1/24 10.0.0.2/24"]);
        assert_eq!(
            state.0.iter().find(|one| one.key.ends_with("10.0.0.2/24")).unwrap().more,
            "valid_lft 90 preferred_lft 0"
        );
        assert!(State::default().take_links("garbage").is_err());
    }

    #[test]
    fn what_was_lost_is_what_is_gone_or_otherwise() {
        let state = |things: &[(&str, &str)]| {
            State(things.iter().map(|(key, value)| Thing::new(Part::Link, *key, *value)).collect())
        };
        let before = state(&[("a mtu", "1500"), ("b mtu", "1500"), ("c mtu", "1500")]);
        let lost = before.lost(&state(&[("a mtu", "1500"), ("b mtu", "1400"), ("d mtu", "1")]));
        let told: Vec<_> = lost.iter().map(|lost| (lost.was.key.as_str(), lost.then.as_deref())).collect();
        assert_eq!(told, [("b mtu", Some("1400")), ("c mtu", None)]);
    }

    #[test]
    fn all_ways_of_a_route_come_back() {
        let words = |part, text: &str, metric| route_words(part, text, metric).map(|words| words.join(" "));
        let v6 = "unicast 2001:db8:77::/64 proto boot scope global metric 1024 pref medium\\\tnexthop via 2001:db8:5::2 dev e0 weight 1 \\\tnexthop via 2001:db8:5::3 dev e0 weight 3 ";
        assert_eq!(
            words(Part::Route6, v6, Some(1024)).as_deref(),
            Some(
                "unicast 2001:db8:77::/64 proto boot scope global metric 1024 pref medium nexthop via 2001:db8:5::2 dev e0 weight 1 nexthop via 2001:db8:5::3 dev e0 weight 3"
            )
        );
        let by_object = "unicast 10.2.0.0/16 nhid 10 proto boot scope global \\\tnexthop via 10.0.0.2 dev e0 weight 3 ";
        assert_eq!(
            words(Part::Route4, by_object, None).as_deref(),
            Some("unicast 10.2.0.0/16 nhid 10 proto boot scope global")
        );
        let by_one = "unicast 10.2.0.0/16 nhid 1 via 10.0.0.2 dev e0 proto boot scope global";
        assert_eq!(
            words(Part::Route4, by_one, None).as_deref(),
            Some("unicast 10.2.0.0/16 nhid 1 proto boot scope global")
        );
        let mut state = State::default();
        state.take_nexthops("id 1 via 10.0.0.2 dev e0 scope link \nid 10 group 1,3/2 ");
        assert_eq!(values(&state, Part::Nexthop), ["1: via 10.0.0.2 dev e0", "10: group 1,3/2"]);
    }

    #[test]
    fn entries_of_bridges_neighbours_and_disciplines() {
        let mut state = State::default();
        state
            .take_fdb(
                r#"[{"mac":"02:00:00:00:00:99","ifname":"port0","flags":["sticky"],"master":"brx","state":"static","vlan":7},
                    {"mac":"12:5b:2b:ba:1a:0b","ifname":"port0","flags":[],"master":"brx","state":"permanent"},
                    {"mac":"33:33:00:00:00:01","ifname":"port0","flags":["self"],"state":"permanent"},
                    {"mac":"02:00:00:00:00:98","ifname":"port0","flags":[],"master":"brx","state":""}]"#,
                &["12:5b:2b:ba:1a:0b".to_owned()],
            )
            .unwrap();
        assert_eq!(values(&state, Part::Fdb), ["port0 02:00:00:00:00:99 vlan 7: master static vlan 7 sticky"]);
        state
            .take_neighbours(
                r#"[{"dst":"10.0.0.9","dev":"eth0","lladdr":"02:00:00:00:00:09","state":["PERMANENT"]}]"#,
                false,
            )
            .unwrap();
        assert_eq!(values(&state, Part::Neigh), ["eth0 10.0.0.9: lladdr 02:00:00:00:00:09"]);
        state.take_qdiscs("qdisc noqueue 0: dev eth0 root refcnt 2 \nqdisc tbf 8001: dev other1 root refcnt 3 rate 1Mbit burst 10Kb lat 50ms \nqdisc pfifo 10: dev a parent 1:1 limit 5p\n");
        assert_eq!(
            values(&state, Part::Qdisc),
            ["other1: tbf rate 1Mbit burst 10Kb lat 50ms", "a parent 1:1: pfifo limit 5"]
        );
        state.take_vlans(r#"[{"ifname":"port0","vlans":[{"vlan":1,"flags":["PVID","Egress Untagged"]}]}]"#).unwrap();
        assert_eq!(values(&state, Part::Vlan), ["port0 1: pvid untagged"]);
        state.take_nexthops("id 1 via 10.0.0.9 dev eth0 scope link \n");
        assert_eq!(values(&state, Part::Nexthop), ["1: via 10.0.0.9 dev eth0"]);
    }
}
