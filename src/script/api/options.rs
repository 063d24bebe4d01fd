//! The options of every call that takes a map of them: what a run accepts, and what `netwright check` knows before it.

use crate::error::{Error, Kind};
use crate::model::{link_kinds, suggest};

/// What the value of an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A time: `"200ms"`, or a number of seconds.
    Time,
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// One word: text, a number, true or false.
    Word,
    /// An address.
    Address,
    /// An address, or several ways.
    Ways,
    /// The name of a link.
    Link,
    /// A map.
    Map,
    /// The words of a command: a string that is split, or an array.
    Command,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Anything else.
    Any,
}

type Known = &'static [(&'static str, Form)];

const TIMEOUT: Known = &[("timeout", Form::Time)];

/// How a program runs to its end, and what it changes.
const PROGRAM: Known = &[
    ("timeout", Form::Time),
    ("stdin", Form::Word),
    ("env", Form::Map),
    ("user", Form::Word),
    ("cwd", Form::Word),
    ("undo", Form::Command),
    ("changes", Form::Flag),
];

/// How a packet is sent, with the time that it is waited for.
const SENT: Known = &[
    ("timeout", Form::Time),
    ("from", Form::Address),
    ("sport", Form::Number),
    ("port", Form::Number),
    ("mark", Form::Number),
    ("dev", Form::Link),
    ("size", Form::Number),
];

/// An entry of a forwarding table, in the words of `bridge fdb`.
const FDB: Known = &[
    ("dst", Form::Address),
    ("port", Form::Number),
    ("vni", Form::Number),
    ("src_vni", Form::Number),
    ("via", Form::Any),
    ("nhid", Form::Number),
    ("vlan", Form::Number),
    ("state", Form::OneOf(&["permanent", "static", "dynamic"])),
    ("self", Form::Flag),
    ("master", Form::Flag),
    ("sticky", Form::Flag),
    ("extern_learn", Form::Flag),
];

/// An entry of a multicast table, in the words of `bridge mdb`.
const MDB: Known = &[("vid", Form::Number), ("src", Form::Address)];

const FAMILY: Form = Form::OneOf(&["inet", "inet6", "4", "6"]);

/// The options of a call by its name.
const CALLS: &[(&str, Known)] = &[
    ("reaches", SENT),
    ("cannot_reach", SENT),
    (
        "connect",
        &[
            ("timeout", Form::Time),
            ("from", Form::Address),
            ("sport", Form::Number),
            ("mark", Form::Number),
            ("dev", Form::Link),
        ],
    ),
    ("http", TIMEOUT),
    (
        "ping",
        &[
            ("count", Form::Number),
            ("timeout", Form::Time),
            ("size", Form::Number),
            ("interval", Form::Time),
            ("from", Form::Address),
            ("mark", Form::Number),
            ("dev", Form::Link),
        ],
    ),
    ("exec", PROGRAM),
    ("run", PROGRAM),
    (
        "start",
        &[
            ("ready", Form::Any),
            ("timeout", Form::Time),
            ("stdin", Form::Word),
            ("env", Form::Map),
            ("user", Form::Word),
            ("cwd", Form::Word),
            ("changes", Form::Flag),
        ],
    ),
    ("resolv_conf", &[("search", Form::Any), ("options", Form::Any)]),
    ("listen", &[("banner", Form::Word)]),
    ("page", &[("body", Form::Word), ("status", Form::Number), ("delay", Form::Time), ("headers", Form::Map)]),
    (
        "why",
        &[
            ("size", Form::Number),
            ("from", Form::Address),
            ("sport", Form::Number),
            ("port", Form::Number),
            ("mark", Form::Number),
            ("dev", Form::Link),
            ("probe", Form::Flag),
        ],
    ),
    (
        "reachability",
        &[
            ("allow", Form::Any),
            ("deny", Form::Any),
            ("port", Form::Any),
            ("baseline", Form::Word),
            ("timeout", Form::Time),
        ],
    ),
    ("throughput", &[("seconds", Form::Any), ("port", Form::Number), ("address", Form::Address)]),
    (
        "plug",
        &[
            ("outer", Form::Link),
            ("vlan", Form::Number),
            ("vlans", Form::Any),
            ("pvid", Form::Number),
            ("tagged", Form::Flag),
        ],
    ),
    ("bridge_vlan", &[("pvid", Form::Flag), ("untagged", Form::Flag), ("self", Form::Flag)]),
    ("fdb", FDB),
    ("fdb_delete", FDB),
    ("mdb", MDB),
    ("mdb_delete", MDB),
    (
        "shape",
        &[
            ("rate", Form::Word),
            ("burst", Form::Word),
            ("delay", Form::Word),
            ("jitter", Form::Word),
            ("loss", Form::Word),
            ("duplicate", Form::Word),
            ("corrupt", Form::Word),
            ("reorder", Form::Word),
            ("police", Form::Word),
            ("direction", Form::OneOf(&["both", "egress", "ingress"])),
            ("preset", Form::OneOf(crate::session::PRESETS)),
        ],
    ),
    // And the names that `ethtool -k` lists.
    (
        "offload",
        &[
            ("rx", Form::Flag),
            ("tx", Form::Flag),
            ("sg", Form::Flag),
            ("tso", Form::Flag),
            ("ufo", Form::Flag),
            ("gso", Form::Flag),
            ("gro", Form::Flag),
            ("lro", Form::Flag),
            ("rxvlan", Form::Flag),
            ("txvlan", Form::Flag),
            ("ntuple", Form::Flag),
            ("rxhash", Form::Flag),
        ],
    ),
    (
        "route",
        &[
            ("via", Form::Ways),
            ("dev", Form::Any),
            ("metric", Form::Number),
            ("table", Form::Word),
            ("type", Form::Word),
            ("src", Form::Address),
            ("scope", Form::Word),
            ("onlink", Form::Flag),
            ("mtu", Form::Number),
            ("family", FAMILY),
            ("vrf", Form::Any),
            ("nhid", Form::Number),
        ],
    ),
    (
        "nexthop",
        &[
            ("via", Form::Address),
            ("dev", Form::Any),
            ("onlink", Form::Flag),
            ("blackhole", Form::Flag),
            ("group", Form::Any),
            ("fdb", Form::Flag),
        ],
    ),
    ("hop", &[("via", Form::Address), ("dev", Form::Any), ("weight", Form::Number)]),
    (
        "rule",
        &[
            ("from", Form::Any),
            ("to", Form::Any),
            ("iif", Form::Any),
            ("oif", Form::Any),
            ("fwmark", Form::Word),
            ("table", Form::Word),
            ("priority", Form::Word),
            ("tos", Form::Word),
            ("ipproto", Form::Word),
            ("dport", Form::Word),
            ("sport", Form::Word),
            ("lookup", Form::Word),
            ("pref", Form::Word),
            ("dsfield", Form::Word),
            ("family", FAMILY),
            ("not", Form::Flag),
            ("l3mdev", Form::Flag),
            ("uidrange", Form::Word),
            ("tun_id", Form::Word),
            ("suppress_prefixlength", Form::Number),
            ("suppress_ifgroup", Form::Word),
            ("goto", Form::Number),
            ("type", Form::OneOf(&["blackhole", "unreachable", "prohibit", "nop"])),
        ],
    ),
    ("ip", &[("undo", Form::Command)]),
    ("tc", &[("undo", Form::Command)]),
    // What `wg` sets, beside the options of a link.
    ("wireguard", &[("key", Form::Any), ("port", Form::Number), ("peers", Form::Any)]),
    // One peer of `wireguard`.
    (
        "peer",
        &[
            ("key", Form::Word),
            ("endpoint", Form::Word),
            ("allowed", Form::Any),
            ("keepalive", Form::Number),
            ("psk", Form::Any),
        ],
    ),
];

/// The options of a call; `None` for calls that take none of these.
pub(crate) fn of(call: &str) -> Option<Known> {
    CALLS.iter().find(|(name, _)| *name == call).map(|(_, known)| *known)
}

/// The kind of link whose options a call takes beside its own: the very word for calls that make one.
pub(crate) fn kind_of(call: &str) -> Option<&'static link_kinds::LinkKind> {
    let name = if matches!(call, "plug" | "bridge_link") { link_kinds::PORT.name } else { call };
    link_kinds::kind(name).ok()
}

/// The error of a key that means nothing to a call, with the nearest that does.
pub(crate) fn unknown(call: &str, key: &str) -> Option<Error> {
    let own = of(call).unwrap_or_default().iter().map(|(name, _)| *name);
    let known: Vec<&str> =
        own.chain(kind_of(call).into_iter().flat_map(|kind| kind.options).map(|one| one.name)).collect();
    if known.contains(&key) {
        return None;
    }
    let error = Error::new(Kind::InvalidArgument, format!("`{call}` has no option `{key}`"));
    Some(suggest::with_nearest(error, key, known.iter().copied()).hint(format!("options: {}", known.join(", "))))
}
