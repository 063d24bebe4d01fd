//! Values as people read them: tables for arrays of maps, links with their addresses and state.

use std::fmt::Write as _;

use comfy_table::{ContentArrangement, Table};
use rhai::{Array, Dynamic, Engine, Map, Scope};

use super::api::{Link, Netns};
use crate::text::wrap::wrap;

/// As wide as a table gets.
const WIDTH: usize = 80;
/// As many columns a table has; iproute2 has thirty keys for a link.
const COLUMNS: usize = 8;
/// Keys that say most about a record, in the order in which they are read.
const FIRST: &[&str] = &[
    "name",
    "ifname",
    "dst",
    "gateway",
    "dev",
    "from",
    "to",
    "via",
    "ok",
    "sent",
    "received",
    "loss_pct",
    "reason",
    "operstate",
    "addr_info",
    "address",
    "local",
    "prefixlen",
    "lladdr",
    "state",
    "mtu",
    "master",
    "link_kind",
    "table",
    "metric",
    "protocol",
    "chain",
    "rule",
    "packets",
    "bytes",
];
/// Keys that nobody misses in a table.
const DULL: &[&str] = &[
    "flags",
    "group",
    "txqlen",
    "qdisc",
    "linkmode",
    "link_type",
    "broadcast",
    "promiscuity",
    "allmulti",
    "min_mtu",
    "max_mtu",
    "valid_life_time",
    "preferred_life_time",
    "num_tx_queues",
    "num_rx_queues",
    "gso_max_size",
    "gso_max_segs",
    "tso_max_size",
    "tso_max_segs",
    "gro_max_size",
    "inet6_addr_gen_mode",
    "scope",
    "metrics",
    "pref",
];

/// A value for a person; `None` for nothing.
pub(super) fn value(engine: &Engine, value: &Dynamic) -> Option<String> {
    if value.is_unit() {
        return None;
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(if text.contains('\n') { text.trim_end().to_owned() } else { format!("{:?}", text.as_str()) });
    }
    let value = &super::api::record::plain(value);
    if let Ok(items) = value.as_array_ref() {
        return Some(array(engine, &items));
    }
    if let Ok(fields) = value.as_map_ref() {
        return Some(map(engine, &fields));
    }
    Some(one_line(engine, value))
}

/// A value on one line.
fn one_line(engine: &Engine, value: &Dynamic) -> String {
    if let Some(link) = value.read_lock::<Link>() {
        return of_link(&link);
    }
    if let Some(netns) = value.read_lock::<Netns>() {
        return of_netns(&netns);
    }
    if value.is_unit() {
        return "()".to_owned();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.to_string();
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(|item| one_line(engine, item)).collect::<Vec<_>>().join(", ");
    }
    if let Ok(fields) = value.as_map_ref() {
        if let (Some(local), Some(prefix)) = (fields.get("local"), fields.get("prefixlen")) {
            return format!("{local}/{prefix}");
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("{key}: {}", one_line(engine, value))).collect();
        return format!("#{{{}}}", fields.join(", "));
    }
    // A type of ours says itself what it is.
    let mut scope = Scope::new();
    scope.push("value", value.clone());
    let said = engine.eval_expression_with_scope::<String>(&mut scope, "value.to_string()");
    said.unwrap_or_else(|_| value.to_string())
}

/// `ns-blue/eth0 10.0.0.1/24 up`.
fn of_link(link: &Link) -> String {
    let session = &link.netns.run.0.session;
    let name = format!("{}/{}", link.netns.at, link.name);
    let Ok(live) = session.link_require(link.at()) else { return format!("{name} gone") };
    let addrs = session.addrs_of(link.at()).unwrap_or_default();
    let mut words = vec![name];
    words.extend(
        addrs.iter().flat_map(crate::model::net_addr::Addr::ipnets).filter(is_worth_a_line).map(|net| net.to_string()),
    );
    words.push(crate::draw::state_of(&live).word().to_owned());
    words.join(" ")
}

fn is_worth_a_line(net: &ipnet::IpNet) -> bool {
    !matches!(net, ipnet::IpNet::V6(net) if net.addr().is_unicast_link_local())
}

/// `ns-blue: lo, eth0`.
fn of_netns(netns: &Netns) -> String {
    let name = netns.at.name();
    match netns.run.0.session.links(&netns.at) {
        Ok(links) => {
            format!("{name}: {}", links.iter().map(|link| link.ifname.as_str()).collect::<Vec<_>>().join(", "))
        }
        Err(_) => format!("{name} gone"),
    }
}

fn array(engine: &Engine, items: &Array) -> String {
    if !items.is_empty() && items.iter().all(Dynamic::is_map) {
        let maps: Vec<Map> = items.iter().filter_map(|item| item.as_map_ref().ok().map(|map| map.clone())).collect();
        return table(engine, &maps);
    }
    let lines: Vec<String> = items.iter().map(|item| one_line(engine, item)).collect();
    let plain = items.iter().all(|item| item.is_int() || item.is_string() || item.is_bool() || item.is_float());
    if plain && lines.iter().map(|line| line.len() + 2).sum::<usize>() < WIDTH {
        return format!("[{}]", lines.join(", "));
    }
    lines.join("\n")
}

fn table(engine: &Engine, rows: &[Map]) -> String {
    let mut keys: Vec<String> = Vec::new();
    for key in rows.iter().flat_map(Map::keys) {
        if !keys.iter().any(|known| known == key.as_str()) {
            keys.push(key.to_string());
        }
    }
    let rank = |key: &String| {
        let first = FIRST.iter().position(|first| first == key);
        (first.unwrap_or(FIRST.len()), DULL.contains(&key.as_str()))
    };
    keys.sort_by_key(|key| rank(key));
    let is_empty = |key: &String| rows.iter().all(|row| row.get(key.as_str()).is_none_or(Dynamic::is_unit));
    let is_dull = |key: &String| {
        let nested = |row: &Map| row.get(key.as_str()).is_some_and(Dynamic::is_map);
        keys.len() > COLUMNS && (DULL.contains(&key.as_str()) || rows.iter().any(nested))
    };
    let shown: Vec<&String> = keys.iter().filter(|key| !is_empty(key) && !is_dull(key)).take(COLUMNS).collect();
    let hidden: Vec<&str> =
        keys.iter().filter(|key| !shown.contains(key) && !is_empty(key)).map(String::as_str).collect();

    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(WIDTH).unwrap_or(100)).set_header(shown.iter());
    for row in rows {
        let cell = |key: &&String| row.get(key.as_str()).map_or(String::new(), |value| one_line(engine, value));
        table.add_row(shown.iter().map(cell));
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    if !hidden.is_empty() {
        for line in wrap(&format!("also: {}", hidden.join(", ")), WIDTH) {
            let _ = writeln!(text, "{line}");
        }
    }
    text.trim_end().to_owned()
}

fn map(engine: &Engine, fields: &Map) -> String {
    let width = fields.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    let mut sorted: Vec<(&str, &Dynamic)> = fields.iter().map(|(key, value)| (key.as_str(), value)).collect();
    sorted.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    for (key, value) in sorted {
        let nested = value.as_array_ref().is_ok_and(|items| items.len() > 1 && items.iter().all(Dynamic::is_map));
        if nested {
            lines.push(format!("{key}:"));
            lines.extend(self::value(engine, value).unwrap_or_default().lines().map(|line| format!("    {line}")));
        } else {
            lines.push(format!("{key:<width$}  {}", one_line(engine, value)));
        }
    }
    if lines.is_empty() { "#{}".to_owned() } else { lines.join("\n") }
}
