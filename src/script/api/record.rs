//! Maps that netwright makes and whose keys are known: what `ping`, `exec`, `connect` and their like return, and the rows of iproute2's JSON.
//!
//! A map of a script's own gives `()` for a key that it does not have; of these a key that is not there is a typing mistake. Rhai's maps cannot
//! tell the two apart: its hook for a missing property does not say whether the property is read or set. So they are a type of their own
//! that does what a map does, and whose keys are looked up here.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map};

use crate::error::{Error, Kind};
use crate::model::suggest::with_nearest;
use crate::script::error::throw;

/// The keys of what these calls return.
const KEYS: &[(&str, &[&str])] = &[
    ("ping", &["ok", "sent", "received", "loss_pct", "rtt_ms", "min_ms", "max_ms", "jitter_ms", "reason", "detail"]),
    ("connect", &["ok", "reason", "rtt_ms", "detail"]),
    ("exec", &["ok", "status", "stdout", "stderr"]),
    ("http", &["ok", "status", "headers", "body"]),
];

/// Keys that iproute2 has for a kind of object, there or not. The lists are those of its JSON (`ipaddress.c`, `iproute.c`, `iprule.c`,
/// `ipneigh.c` up to 7.1): a key that is missing is `()`, a key that iproute2 does not have is a typing mistake.
const ROWS: &[(&str, &[&str])] = &[
    ("links", LINK),
    ("addrs", LINK),
    (
        "addr_info",
        &[
            "family",
            "family_index",
            "local",
            "peer",
            "address",
            "prefixlen",
            "metric",
            "broadcast",
            "anycast",
            "multicast",
            "scope",
            "ifa_flags",
            "secondary",
            "temporary",
            "nodad",
            "optimistic",
            "dadfailed",
            "home",
            "deprecated",
            "tentative",
            "permanent",
            "mngtmpaddr",
            "noprefixroute",
            "autojoin",
            "stable-privacy",
            "dynamic",
            "protocol",
            "label",
            "deleted",
            "valid_life_time",
            "preferred_life_time",
        ],
    ),
    (
        "routes",
        &[
            "type",
            "dst",
            "from",
            "nhid",
            "encap",
            "via",
            "gateway",
            "dev",
            "table",
            "protocol",
            "scope",
            "prefsrc",
            "src",
            "metric",
            "flags",
            "pref",
            "metrics",
            "nexthops",
            "cache",
            "expires",
            "error",
            "tos",
            "dscp",
            "realm",
            "flow",
            "flow_from",
            "flow_to",
            "iif",
            "oif",
            "uid",
            "mark",
            "users",
            "age",
            "used",
            "ipid",
            "ts",
            "tsage",
            "ttl",
            "ttl-propagate",
            "ttl-propogate",
            "ttl_propogate",
            "to",
            "host",
            "family",
            "deleted",
            "weight",
            "multicast",
            "mode",
            "segs",
            "srclen",
            "id",
            "preference",
            "src_len",
            "dport",
            "sport",
            "ipproto",
        ],
    ),
    (
        "rules",
        &[
            "priority",
            "not",
            "src",
            "srclen",
            "dst",
            "dstlen",
            "tos",
            "dsfield",
            "dscp",
            "dscp_mask",
            "flowlabel",
            "flowlabel_mask",
            "fwmark",
            "fwmask",
            "iif",
            "iif_detached",
            "oif",
            "oif_detached",
            "l3mdev",
            "uid_start",
            "uid_end",
            "ipproto",
            "sport",
            "sport_start",
            "sport_end",
            "sport_mask",
            "dport",
            "dport_start",
            "dport_end",
            "dport_mask",
            "tun_id",
            "table",
            "suppress_prefixlen",
            "sup_group",
            "suppress_ifgroup",
            "flow_from",
            "flow_to",
            "nat_gateway",
            "masquerade",
            "goto",
            "unresolved",
            "nop",
            "action",
            "protocol",
            "type",
            "family",
            "to_tbl",
            "deleted",
            "l3mdev-table",
        ],
    ),
    (
        "neighbours",
        &[
            "dst",
            "dev",
            "ifindex",
            "lladdr",
            "router",
            "proxy",
            "extern_learn",
            "offload",
            "managed",
            "miss",
            "extern_valid",
            "state",
            "protocol",
            "refcnt",
            "probes",
            "used",
            "confirmed",
            "updated",
            "vlan",
            "vni",
            "nhid",
            "master",
            "deleted",
            "family",
        ],
    ),
    // `vlan.c`, `fdb.c` and `mdb.c` of `bridge`.
    ("vlans", &["vlan", "vlanEnd", "flags", "tunid", "tunidEnd"]),
    (
        "fdb",
        &[
            "deleted",
            "opCode",
            "mac",
            "ifname",
            "dst",
            "vlan",
            "port",
            "vni",
            "src_vni",
            "viaIf",
            "viaIfIndex",
            "link_index",
            "linkNetNsId",
            "nhid",
            "used",
            "updated",
            "flags",
            "master",
            "state",
            "activity_notify",
            "inactive",
            "protocol",
        ],
    ),
    (
        "mdb",
        &[
            "opCode",
            "index",
            "dev",
            "port",
            "grp",
            "src",
            "state",
            "filter_mode",
            "source_list",
            "protocol",
            "flags",
            "vid",
            "timer",
            "vni",
            "src_vni",
            "dst",
            "dst_port",
            "via",
        ],
    ),
];
const LINK: &[&str] = &[
    "deleted",
    "ifindex",
    "ifname",
    "link",
    "link_index",
    "link_netnsid",
    "flags",
    "mtu",
    "xdp",
    "qdisc",
    "master",
    "operstate",
    "operstate_index",
    "linkmode",
    "linkmode_index",
    "group",
    "txqlen",
    "event",
    "link_type",
    "address",
    "link_pointtopoint",
    "broadcast",
    "permaddr",
    "promiscuity",
    "allmulti",
    "min_mtu",
    "max_mtu",
    "linkinfo",
    "inet6_addr_gen_mode",
    "num_tx_queues",
    "num_rx_queues",
    "gso_max_size",
    "gso_max_segs",
    "tso_max_size",
    "tso_max_segs",
    "gro_max_size",
    "gso_ipv4_max_size",
    "gro_ipv4_max_size",
    "phys_port_name",
    "phys_port_id",
    "phys_switch_id",
    "parentbus",
    "parentdev",
    "netns-immutable",
    "new_netns",
    "new_netnsid",
    "new_ifindex",
    "altnames",
    "stats",
    "stats64",
    "num_vf",
    "vfinfo_list",
    "ifalias",
    "proto_down",
    "proto_down_reason",
    "carrier_changes",
    "carrier_up_count",
    "carrier_down_count",
    "headroom",
    "tailroom",
    "max_pacing_offload_horizon",
    "addr_info",
    "af_spec",
    "vlan_tunnel",
    "dpll-pin",
    "dpll_pin",
    "port",
    "netns",
];

/// The keys of what a call returns, where they are known.
pub(crate) fn keys_of(call: &str) -> Option<&'static [&'static str]> {
    KEYS.iter().find(|(of, _)| *of == call).map(|(_, keys)| *keys)
}

/// A row of iproute2's JSON.
pub(crate) fn row(fields: Map, of: &'static str) -> Record {
    let may_have = ROWS.iter().find(|(known, _)| *known == of).map_or(&[][..], |(_, keys)| *keys);
    let fields = fields
        .into_iter()
        .map(|(key, value)| {
            let value = if key == "addr_info" { rows(&value, "addr_info") } else { value };
            (key, value)
        })
        .collect();
    Record { fields, of, may_have }
}

/// The maps of an array as such rows.
fn rows(value: &Dynamic, of: &'static str) -> Dynamic {
    match value.as_array_ref() {
        Ok(items) => items
            .iter()
            .map(|item| {
                item.clone().try_cast::<Map>().map_or_else(|| item.clone(), |fields| Dynamic::from(row(fields, of)))
            })
            .collect::<Array>()
            .into(),
        Err(_) => value.clone(),
    }
}

/// A map whose keys are known.
#[derive(Clone, Debug)]
pub struct Record {
    fields: Map,
    of: &'static str,
    /// Keys that it may have beside its own; one that it does not have is `()`.
    may_have: &'static [&'static str],
}

impl Record {
    /// What `of` returns.
    pub(crate) fn new<const N: usize>(of: &'static str, fields: [(&str, Dynamic); N]) -> Self {
        debug_assert!(
            keys_of(of).is_none_or(|keys| fields.iter().all(|(key, _)| keys.contains(key)) && keys.len() == N),
            "the keys of `{of}` are not those of the table"
        );
        Self { fields: fields.into_iter().map(|(key, value)| (key.into(), value)).collect(), of, may_have: &[] }
    }

    /// Its fields as Rhai's own values.
    fn plain_fields(&self) -> Map {
        self.fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
    }

    /// The error of `map[0]`: it is one, not a list of such.
    #[expect(clippy::unnecessary_box_returns, reason = "Rhai's errors are boxed")]
    fn by_number(&self) -> Box<EvalAltResult> {
        let some: Vec<&str> = self.fields.keys().take(4).map(rhai::Identifier::as_str).collect();
        let message = format!("this is one map of `{}`, not a list: it has no first or second", self.of);
        let hint = match some.first() {
            Some(first) => format!("read it by its keys: `.{first}`; it has {}", some.join(", ")),
            None => "it is empty".to_owned(),
        };
        throw(Error::new(Kind::InvalidArgument, message).hint(hint))
    }

    #[expect(clippy::unnecessary_box_returns, reason = "Rhai's errors are boxed")]
    fn unknown(&self, key: &str) -> Box<EvalAltResult> {
        let own: Vec<&str> = self.fields.keys().map(rhai::Identifier::as_str).collect();
        if self.may_have.is_empty() {
            return throw(unknown_key(self.of, key, &own));
        }
        let all = own.iter().chain(self.may_have).copied();
        let message = format!("iproute2 has no key `{key}` in what `{}` gives", self.of);
        let error = with_nearest(Error::new(Kind::NotFound, message), key, all);
        throw(error.hint(format!("this one has {}", own.join(", "))))
    }

    fn get(&self, key: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        match self.fields.get(key) {
            Some(value) => Ok(value.clone()),
            None if self.may_have.contains(&key) => Ok(Dynamic::UNIT),
            None => Err(self.unknown(key)),
        }
    }
}

/// The error for a key that what `of` returns does not have.
pub(crate) fn unknown_key(of: &str, key: &str, keys: &[&str]) -> Error {
    let error = Error::new(Kind::NotFound, format!("what `{of}` returns has no `{key}`"));
    let error = match keys.iter().find(|known| key.len() > 2 && known.starts_with(&format!("{key}_"))) {
        Some(longer) => error.hint(format!("did you mean `{longer}`?")),
        None => with_nearest(error, key, keys.iter().copied()),
    };
    error.hint(format!("it has {}", keys.join(", ")))
}

/// The value with such maps as Rhai's own, to be compared and shown.
pub(crate) fn plain(value: &Dynamic) -> Dynamic {
    if let Some(record) = value.read_lock::<Record>() {
        return record.plain_fields().into();
    }
    match value.as_array_ref() {
        Ok(items) => items.iter().map(plain).collect::<Array>().into(),
        Err(_) => value.clone(),
    }
}

/// What Rhai offers for maps, for these; it is Rhai's own reference that documents it.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Record>("map")
        .register_indexer_get(|record: &mut Record, key: &str| record.get(key))
        .register_indexer_set(|record: &mut Record, key: &str, value: Dynamic| -> Result<(), Box<EvalAltResult>> {
            match record.fields.get_mut(key) {
                Some(field) => *field = value,
                None if record.may_have.contains(&key) => drop(record.fields.insert(key.into(), value)),
                None => return Err(record.unknown(key)),
            }
            Ok(())
        })
        .register_indexer_get(|record: &mut Record, _: i64| -> Result<Dynamic, Box<EvalAltResult>> {
            Err(record.by_number())
        })
        .register_fn("get", |record: &mut Record, key: &str| record.fields.get(key).cloned().unwrap_or(Dynamic::UNIT))
        .register_fn("contains", |record: &mut Record, key: &str| record.fields.contains_key(key))
        .register_fn("contains_key", |record: &mut Record, key: &str| record.fields.contains_key(key))
        .register_fn("keys", |record: &mut Record| -> Array {
            record.fields.keys().map(|key| ImmutableString::from(key.as_str()).into()).collect()
        })
        .register_fn("values", |record: &mut Record| -> Array { record.fields.values().cloned().collect() })
        .register_fn("len", |record: &mut Record| i64::try_from(record.fields.len()).unwrap_or(i64::MAX))
        .register_fn("is_empty", |record: &mut Record| record.fields.is_empty())
        .register_fn("to_map", |record: &mut Record| record.plain_fields())
        .register_fn("+", |map: Map, record: Record| -> Map { map.into_iter().chain(record.plain_fields()).collect() })
        .register_fn("+", |record: Record, map: Map| -> Map { record.plain_fields().into_iter().chain(map).collect() })
        .register_fn("to_json", |record: &mut Record| rhai::format_map_as_json(&record.plain_fields()))
        .register_fn("to_string", |record: &mut Record| Dynamic::from(record.plain_fields()).to_string())
        .register_fn("to_debug", |record: &mut Record| format!("{:?}", Dynamic::from(record.plain_fields())));
    for (operator, negated) in [("==", false), ("!=", true)] {
        engine
            .register_fn(operator, move |a: Record, b: Record| {
                same_text(&a.plain_fields(), &b.plain_fields()) != negated
            })
            .register_fn(operator, move |a: Record, b: Map| same_text(&a.plain_fields(), &b) != negated)
            .register_fn(operator, move |a: Map, b: Record| same_text(&a, &b.plain_fields()) != negated)
            .register_fn(operator, move |a: Record, (): ()| {
                let _ = a;
                negated
            })
            .register_fn(operator, move |(): (), a: Record| {
                let _ = a;
                negated
            })
            .register_fn(operator, |a: Record, b: i64| never(&a, &b.into()))
            .register_fn(operator, |a: Record, b: &str| never(&a, &b.into()))
            .register_fn(operator, |a: Record, b: bool| never(&a, &b.into()))
            .register_fn(operator, |a: i64, b: Record| never(&b, &a.into()))
            .register_fn(operator, |a: &str, b: Record| never(&b, &a.into()))
            .register_fn(operator, |a: bool, b: Record| never(&b, &a.into()));
    }
}

/// Fields are numbers, texts and truths: they are the same when they read the same.
fn same_text(a: &Map, b: &Map) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// A map is never equal to what is none: whoever compares them means one of its fields.
fn never(record: &Record, other: &Dynamic) -> Result<bool, Box<EvalAltResult>> {
    let what = super::value::type_of(other);
    let field = match (other.is_int(), other.is_string()) {
        (true, _) if record.fields.contains_key("status") => "status",
        (_, true) if record.fields.contains_key("stdout") => "stdout",
        _ if record.fields.contains_key("ok") => "ok",
        _ => record.fields.keys().next().map_or("…", rhai::Identifier::as_str),
    };
    let error =
        Error::new(Kind::InvalidArgument, format!("what `{}` returns is a map, which never equals {what}", record.of));
    Err(throw(error.hint(format!("compare one of its fields: `.{field}`"))))
}
