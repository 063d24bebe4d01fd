//! What is otherwise in one snapshot than in another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::Ipv6Addr;

use super::{Link, Netns, Snapshot};
use crate::model::state::{Part, State, Thing};

/// Which way a difference goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sign {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, with other values.
    Changed,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Difference {
    /// The namespace.
    pub netns: String,
    /// Which way.
    pub sign: Sign,
    /// What sort of thing: `address`, `route`, `sysctl`, `rule of iptables-nft filter`, …
    pub what: String,
    /// Which one.
    pub key: String,
    /// Its value in the first; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub was: String,
    /// Its value in the second.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub is: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, key, was, is, .. } = self;
        let name = if key.is_empty() { what.clone() } else { format!("{what} {key}") };
        match self.sign {
            Sign::Added => write!(f, "+ {name}{}", after(is)),
            Sign::Removed => write!(f, "- {name}{}", after(was)),
            Sign::Changed => write!(f, "~ {name}: {} → {}", shown(was), shown(is)),
        }
    }
}

fn after(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" {value}") }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

/// The differences, by namespace. What comes and goes by itself (counters, learned neighbours, lifetimes, a carrier) is not compared.
#[must_use]
pub(crate) fn diff<'a>(first: &'a Snapshot, second: &'a Snapshot) -> Vec<Difference> {
    let mut found = Vec::new();
    let by_name = |snapshot: &'a Snapshot| -> HashMap<&'a str, &'a Netns> {
        snapshot.namespaces.iter().map(|netns| (netns.name.as_str(), netns)).collect()
    };
    let (before, after) = (by_name(first), by_name(second));
    // In the order of the first, then what is new.
    let new = second.namespaces.iter().filter(|netns| !before.contains_key(netns.name.as_str()));
    for netns in first.namespaces.iter().chain(new) {
        let name = &netns.name;
        let whole = |sign| Difference {
            netns: name.clone(),
            sign,
            what: "namespace".into(),
            key: name.clone(),
            was: String::new(),
            is: String::new(),
        };
        match (before.get(name.as_str()), after.get(name.as_str())) {
            (Some(a), Some(b)) => of_netns((a, &first.fresh), (b, &second.fresh), &mut found),
            // What is in one that came or went says what it is.
            (None, Some(b)) => {
                found.push(whole(Sign::Added));
                of_netns((&fresh(b), &second.fresh), (b, &second.fresh), &mut found);
            }
            (Some(_), None) => found.push(whole(Sign::Removed)),
            (None, None) => {}
        }
    }
    found
}

/// Things by what they are and which; two alike are told by a number.
type Things = BTreeMap<(String, String), String>;

/// Settings by their path below `/proc/sys`.
type Settings = BTreeMap<String, String>;

/// Two states of a namespace, each with what a new one has on its machine.
fn of_netns((a, fresh_a): (&Netns, &Settings), (b, fresh_b): (&Netns, &Settings), found: &mut Vec<Difference>) {
    let (before, after) = (things(a), things(b));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    for key in keys {
        let (was, is) = (before.get(&key), after.get(&key));
        let sign = match (was, is) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(_), Some(_)) => Sign::Changed,
            (None, _) => Sign::Added,
            (_, None) => Sign::Removed,
        };
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let (what, key) = key;
        if sign == Sign::Added && goes_without_saying(a, b, (&what, &key), is.map_or("", String::as_str)) {
            continue;
        }
        found.push(Difference { netns: a.name.clone(), sign, what, key, was: text(was), is: text(is) });
    }
    orders(a, b, found);
    settings((a, fresh_a), (b, fresh_b), found);
}

/// Settings by their values: which of them a document tells depends on what new links and namespaces have.
fn settings((a, fresh_a): (&Netns, &Settings), (b, fresh_b): (&Netns, &Settings), found: &mut Vec<Difference>) {
    let of_machine = fresh_a.iter().filter(|(path, value)| fresh_b.get(*path) != Some(*value)).map(|(path, _)| path);
    let paths: BTreeSet<&String> = a.sysctls.keys().chain(b.sysctls.keys()).chain(of_machine).collect();
    for path in paths {
        let (was, is) = (a.setting(path, fresh_a), b.setting(path, fresh_b));
        let sign = match (was, is) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(_), Some(_)) => Sign::Changed,
            // A document without what is usual: nobody knows.
            (None, Some(_)) if fresh_a.is_empty() || b.sysctls.contains_key(path) => Sign::Added,
            (Some(_), None) if fresh_b.is_empty() || a.sysctls.contains_key(path) => Sign::Removed,
            // Another kernel has it, or has it not; or nobody knows.
            _ => continue,
        };
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let key = path.replace('/', ".");
        found.push(Difference {
            netns: a.name.clone(),
            sign,
            what: "sysctl".into(),
            key,
            was: text(was),
            is: text(is),
        });
    }
}

/// Rules that are in both, and in another order: which of them a packet meets first is another.
fn orders(a: &Netns, b: &Netns, found: &mut Vec<Difference>) {
    let (before, after) = (chains(a), chains(b));
    for (chain, was) in &before {
        let Some(is) = after.get(chain) else { continue };
        let (was, is) = (in_both(was, is), in_both(is, was));
        let Some((was, is)) = was.iter().zip(&is).find(|(was, is)| was != is) else { continue };
        let (what, key) = (format!("order of {}", chain.0), chain.1.clone());
        let text = |rule: &&str| format!("first {rule}");
        found.push(Difference { netns: a.name.clone(), sign: Sign::Changed, what, key, was: text(was), is: text(is) });
    }
}

/// The rules of one list that are in another too, each as often as there.
fn in_both<'a>(own: &'a [String], other: &[String]) -> Vec<&'a str> {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for rule in other {
        *left.entry(rule).or_default() += 1;
    }
    let mut taken = Vec::new();
    for rule in own {
        if let Some(left) = left.get_mut(rule.as_str()).filter(|left| **left > 0) {
            *left -= 1;
            taken.push(rule.as_str());
        }
    }
    taken
}

/// The rules of each chain, in their order: by whose they are, and the chain's name.
fn chains(netns: &Netns) -> BTreeMap<(String, String), Vec<String>> {
    let mut all: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (tool, lines) in &netns.iptables {
        let mut table = "";
        for line in lines.iter().map(|line| without_counters(line)) {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(chain) = line.strip_prefix("-A ").and_then(|rest| rest.split(' ').next()) {
                all.entry((format!("rules of {tool}"), format!("-t {table} {chain}")))
                    .or_default()
                    .push(line.to_owned());
            }
        }
    }
    let mut place: Vec<&str> = Vec::new();
    for line in netns.nft.iter().map(|line| line.trim()) {
        if line == "}" {
            place.pop();
        } else if let Some(head) = line.strip_suffix('{') {
            place.push(head.trim());
        } else if place.last().is_some_and(|head| head.starts_with("chain ")) {
            all.entry(("rules of nft".into(), place.join(" "))).or_default().push(uncounted(line));
        }
    }
    all
}

/// A namespace of that name in which nothing was done but to set its `lo` up.
fn fresh(like: &Netns) -> Netns {
    let is_lo = |thing: &&Thing| thing.link() == Some("lo") && thing.part != Part::Sysctl;
    let rules = |all: &[&str], there: &[String]| {
        // What was not read has none.
        all.iter().filter(|_| !there.is_empty()).map(|rule| (*rule).to_owned()).collect()
    };
    Netns {
        name: like.name.clone(),
        links: like.links.iter().filter(|link| link.name == "lo").cloned().collect(),
        things: State(like.things.0.iter().filter(is_lo).filter(|thing| !is_given(thing)).cloned().collect()),
        ip_rules: rules(&FRESH_RULES, &like.ip_rules),
        ip6_rules: rules(&FRESH_RULES[..2], &like.ip6_rules),
        ..Netns::default()
    }
}

/// Whether an address of `lo` is one that somebody gave it.
fn is_given(thing: &Thing) -> bool {
    thing.part == Part::Addr && !["lo 127.0.0.1/8", "lo ::1/128"].contains(&thing.key.as_str())
}

/// The policy rules of a namespace in which nobody made one; of IPv6 the first two (`fib_default_rules_init`, `fib6_rules_net_init`).
pub(super) const FRESH_RULES: [&str; 3] =
    ["0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default"];

/// Whether an address is the link-local one that the kernel makes of a MAC address (modified EUI-64, RFC 4291, appendix A).
fn is_of_mac(netns: &Netns, thing: &Thing) -> bool {
    let parts = || {
        let (dev, net) = thing.key.split_once(' ').filter(|_| thing.part == Part::Addr)?;
        let addr: Ipv6Addr = net.strip_suffix("/64")?.parse().ok()?;
        let key = format!("{dev} address");
        let mac = netns.things.0.iter().find(|thing| thing.part == Part::Link && thing.key == key)?;
        let bytes: Vec<u8> = mac.value.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let mut made = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
        made.get_mut(8..11)?.copy_from_slice(bytes.get(..3)?);
        made.get_mut(13..)?.copy_from_slice(bytes.get(3..6)?);
        made[8] ^= 2;
        Some(addr.octets() == made)
    };
    parts().unwrap_or(false)
}

/// What a port of a bridge has when nobody says otherwise, but for its cost, which follows from its speed (`br_add_if`, `BR_AUTO_MASK`).
const FRESH_PORT: &[(&str, &str)] = &[
    ("bcast_flood", "on"),
    ("fastleave", "off"),
    ("flood", "on"),
    ("guard", "off"),
    ("hairpin", "off"),
    ("isolated", "off"),
    ("learning", "on"),
    ("locked", "off"),
    ("mcast_flood", "on"),
    ("mcast_router", "1"),
    ("mcast_to_unicast", "off"),
    ("neigh_suppress", "off"),
    ("priority", "32"),
    ("proxy_arp", "off"),
    ("proxy_arp_wifi", "off"),
    ("root_block", "off"),
    ("vlan_tunnel", "off"),
];

/// Whether something of a link that is new is as every new link has it.
fn goes_without_saying(before: &Netns, after: &Netns, (sort, key): (&str, &str), value: &str) -> bool {
    let Some((name, what)) = key.split_once(' ') else { return false };
    let Some(link) = after.link(name).filter(|_| before.link(name).is_none()) else { return false };
    match sort {
        "port" => what == "cost" || FRESH_PORT.contains(&(what, value)),
        "link" => {
            let of_bridge = link.kind.as_deref() == Some("bridge")
                && link.options.contains_key(what)
                && !matches!((what, value), ("vlan_filtering" | "stp_state", "1"));
            let usual = matches!((what, value), ("master", "-") | ("mtu", "1500") | ("state", "down"));
            of_bridge || usual || what == "address"
        }
        _ => false,
    }
}

fn put(into: &mut Things, what: &str, key: &str, value: impl Into<String>) {
    let (mut name, mut times) = (key.to_owned(), 1);
    while into.contains_key(&(what.to_owned(), name.clone())) {
        times += 1;
        name = format!("{key} (the {times}th)");
    }
    into.insert((what.to_owned(), name), value.into());
}

/// Everything of a namespace that is compared.
fn things(netns: &Netns) -> Things {
    let mut all = Things::new();
    for link in &netns.links {
        of_link(link, &mut all);
    }
    // What the kernel adds by itself follows from the addresses.
    let given = |thing: &&Thing| !thing.is_of_kernel() && !is_of_mac(netns, thing);
    for thing in netns.things.0.iter().filter(given) {
        let what = match thing.part {
            Part::Link => "link",
            Part::Port => "port",
            Part::Vlan => "vlan of port",
            Part::Fdb => "fdb entry",
            Part::Qdisc => "qdisc of",
            Part::Sysctl => "sysctl",
            Part::Addr => "address",
            // Follows from the addresses; that their order is another one says nothing that they do not.
            Part::Order => continue,
            Part::Neigh => "neighbour",
            Part::Proxy => "proxy neighbour",
            Part::Nexthop => "nexthop",
            Part::Route4 => "route",
            Part::Route6 => "route of IPv6",
        };
        if thing.part.is_route() {
            // Its words are all that it is.
            put(&mut all, what, &thing.value, "");
        } else {
            put(&mut all, what, &thing.key, thing.value.clone());
        }
    }
    for (what, rules) in [("policy rule", &netns.ip_rules), ("policy rule of IPv6", &netns.ip6_rules)] {
        for rule in rules {
            put(&mut all, what, rule, "");
        }
    }
    for (tool, lines) in &netns.iptables {
        let mut table = "";
        for line in lines {
            let line = without_counters(line);
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some((chain, policy)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
                // Looking at a table makes it, with chains that are empty and accept.
                if policy != "ACCEPT" {
                    put(&mut all, &format!("chain of {tool}"), &format!("{table} {chain}"), policy);
                }
            } else if line.starts_with('-') {
                put(&mut all, &format!("rule of {tool}"), &format!("-t {table} {line}"), "");
            }
        }
    }
    for (path, line) in nft_lines(&netns.nft) {
        put(&mut all, "nft", &path, line);
    }
    for line in &netns.ipsets {
        put(&mut all, "ipset", line, "");
    }
    for one in &netns.listening {
        put(&mut all, "listener", &format!("{} {} port {}", one.proto, one.addr, one.port), "");
    }
    for (link, lines) in &netns.wireguard {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            // Endpoint, allowed addresses; not the times and counters behind them.
            let stays = if words.len() > 4 { words.get(..4) } else { words.get(..) };
            put(&mut all, "wireguard", &format!("{link} {}", stays.unwrap_or_default().join(" ")), "");
        }
    }
    all
}

fn of_link(link: &Link, all: &mut Things) {
    put(all, "link", &link.name, link.kind.clone().unwrap_or_default());
    let option = |all: &mut Things, name: &str, value: &str| {
        put(all, "link", &format!("{} {name}", link.name), value);
    };
    for (name, value) in &link.options {
        option(all, name, value);
    }
    if let Some(far) = &link.far {
        option(all, "leads to", &format!("{} of {}", far.link, far.netns));
    }
    if let Some(on) = &link.on {
        option(all, "stands on", on);
    }
    if let Some(alias) = &link.alias {
        option(all, "alias", alias);
    }
    for name in &link.altnames {
        option(all, "altname", name);
    }
}

/// `[12:340] -A INPUT …` and `:INPUT ACCEPT [12:340]` without what is counted.
fn without_counters(line: &str) -> &str {
    let line = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, rest)| rest);
    if line.starts_with(':') { line.split_once(" [").map_or(line, |(head, _)| head) } else { line }
}

/// The lines of tables, each with the place that it stands in, without what is counted.
fn nft_lines(lines: &[String]) -> Vec<(String, String)> {
    let mut place: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in lines {
        let line = line.trim();
        if line == "}" {
            place.pop();
            continue;
        }
        let text = uncounted(line);
        if let Some(head) = line.strip_suffix('{') {
            place.push(head.trim().to_owned());
            found.push((place.join(" "), String::new()));
        } else if !line.is_empty() {
            found.push((format!("{} {text}", place.join(" ")), String::new()));
        }
    }
    found
}

/// `counter packets 3 bytes 252` as `counter`.
fn uncounted(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        kept.push(*word);
        at += 1;
        if words.get(at) == Some(&"packets") && words.get(at + 2) == Some(&"bytes") {
            at += 4;
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(host: Netns) -> Snapshot {
        Snapshot { namespaces: vec![Netns { name: "host".into(), ..host }], ..Snapshot::default() }
    }

    fn told(a: Netns, b: Netns) -> Vec<String> {
        diff(&with(a), &with(b)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_counts_and_passes_is_not_compared() {
        let iptables = |counters: &str, rule: &str| Netns {
            iptables: [(
                "iptables-nft".to_owned(),
                vec![
                    "*filter".to_owned(),
                    format!(":FORWARD DROP [{counters}]"),
                    format!("[{counters}] {rule}"),
                    "COMMIT".into(),
                ],
            )]
            .into(),
            nft: vec![
                "table inet x {".into(),
                "chain c {".into(),
                format!("counter packets {} bytes 9 accept", &counters[..1]),
                "}".into(),
                "}".into(),
            ],
            ..Netns::default()
        };
        assert_eq!(told(iptables("0:0", "-A FORWARD -j ACCEPT"), iptables("7:420", "-A FORWARD -j ACCEPT")), [""; 0]);
        assert_eq!(
            told(iptables("0:0", "-A FORWARD -j ACCEPT"), iptables("0:0", "-A FORWARD -j DROP")),
            [
                "- rule of iptables-nft -t filter -A FORWARD -j ACCEPT",
                "+ rule of iptables-nft -t filter -A FORWARD -j DROP"
            ]
        );
    }

    #[test]
    fn each_sort_of_difference_is_told_in_a_line() {
        let things = |mtu: &str, route: Option<&str>| Netns {
            things: State(
                [Thing::new(Part::Link, "eth0 mtu", mtu)]
                    .into_iter()
                    .chain(route.map(|route| Thing::new(Part::Route4, "x", route)))
                    .collect(),
            ),
            ..Netns::default()
        };
        assert_eq!(
            told(things("1500", None), things("1400", Some("unicast default via 10.0.0.1 dev eth0"))),
            ["~ link eth0 mtu: 1500 → 1400", "+ route unicast default via 10.0.0.1 dev eth0"]
        );
        let mut two = with(Netns::default());
        two.namespaces.push(Netns { name: "blue".into(), ..Netns::default() });
        let told: Vec<_> = diff(&with(Netns::default()), &two).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["+ namespace blue"]);
    }

    #[test]
    fn rules_in_another_order_are_a_difference() {
        let iptables = |rules: [&str; 3]| Netns {
            iptables: [(
                "iptables-nft".to_owned(),
                std::iter::once("*filter".to_owned())
                    .chain(rules.map(|rule| format!("[0:0] -A FORWARD {rule}")))
                    .collect(),
            )]
            .into(),
            ..Netns::default()
        };
        let one = || iptables(["-s 10.0.0.1 -j ACCEPT", "-j DROP", "-j LOG"]);
        assert_eq!(told(one(), one()), [""; 0]);
        assert_eq!(
            told(one(), iptables(["-j DROP", "-s 10.0.0.1 -j ACCEPT", "-j LOG"])),
            [
                "~ order of rules of iptables-nft -t filter FORWARD: first -A FORWARD -s 10.0.0.1 -j ACCEPT → first -A FORWARD -j DROP"
            ]
        );
        // A rule that is gone or new leaves the order of the others.
        assert_eq!(
            told(one(), iptables(["-s 10.0.0.2 -j DROP", "-s 10.0.0.1 -j ACCEPT", "-j LOG"])),
            [
                "- rule of iptables-nft -t filter -A FORWARD -j DROP",
                "+ rule of iptables-nft -t filter -A FORWARD -s 10.0.0.2 -j DROP"
            ]
        );
        let nft = |rules: [&str; 2]| Netns {
            nft: ["table inet x {", "chain c {"]
                .into_iter()
                .chain(rules)
                .chain(["}", "}"])
                .map(str::to_owned)
                .collect(),
            ..Netns::default()
        };
        let changed =
            told(nft(["counter packets 1 bytes 2 accept", "drop"]), nft(["drop", "counter packets 3 bytes 4 accept"]));
        assert_eq!(changed, ["~ order of rules of nft table inet x chain c: first counter accept → first drop"]);
    }

    #[test]
    fn a_setting_that_is_not_told_has_the_value_of_new_ones() {
        let path = |name: &str| format!("net/ipv4/{name}");
        let machine = |usual: &str, told: &[(&str, &str)]| Snapshot {
            fresh: [("ip_forward", usual), ("conf/default/rp_filter", "0"), ("conf/lo/rp_filter", "0")]
                .map(|(name, value)| (path(name), value.to_owned()))
                .into(),
            ..with(Netns {
                links: ["lo", "eth0"].map(|name| Link { name: name.into(), ..Link::default() }).into(),
                sysctls: told.iter().map(|(name, value)| (path(name), (*value).to_owned())).collect(),
                ..Netns::default()
            })
        };
        let told = |a: &Snapshot, b: &Snapshot| -> Vec<String> { diff(a, b).iter().map(ToString::to_string).collect() };
        let plain = machine("0", &[]);
        assert_eq!(told(&plain, &machine("0", &[("ip_forward", "0"), ("conf/eth0/rp_filter", "0")])), [""; 0]);
        assert_eq!(
            told(&plain, &machine("0", &[("ip_forward", "1"), ("conf/eth0/rp_filter", "2")])),
            ["~ sysctl net.ipv4.conf.eth0.rp_filter: 0 → 2", "~ sysctl net.ipv4.ip_forward: 0 → 1"]
        );
        assert_eq!(told(&plain, &machine("1", &[])), ["~ sysctl net.ipv4.ip_forward: 0 → 1"], "another kernel's usual");
        assert_eq!(told(&plain, &machine("1", &[("ip_forward", "0")])), [""; 0]);
        let mut gone = machine("0", &[("conf/gone0/rp_filter", "1")]);
        gone.namespaces[0].links.push(Link { name: "gone0".into(), ..Link::default() });
        assert_eq!(told(&gone, &plain), ["- link gone0", "- sysctl net.ipv4.conf.gone0.rp_filter 1"]);
    }

    #[test]
    fn two_alike_are_two() {
        let rules = |count: usize| Netns { ip_rules: vec!["9: from all lookup 7".into(); count], ..Netns::default() };
        assert_eq!(told(rules(2), rules(2)), [""; 0]);
        assert_eq!(told(rules(2), rules(1)).len(), 1);
    }
}
