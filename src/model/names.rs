//! Which names netwright accepts for links, namespaces, aliases and chains.
//!
//! The kernel takes nearly anything: `a%d` (and makes `a0` of it), `-x`, `*`, `é` for links, `-all`, spaces and newlines for namespaces. Every such name
//! breaks some tool, so they are refused before anything runs.

use super::json::snippet;
use crate::{Error, Kind, Result};

/// The longest name of a link, in bytes (`IFNAMSIZ` with its final zero is 16).
pub const LINK_NAME_MAX: usize = 15;
/// The longest name of a namespace that netwright makes.
pub const NETNS_NAME_MAX: usize = 64;
/// The longest alias, in bytes (`IFALIASZ` with its final zero is 256).
pub const ALIAS_MAX: usize = 255;
/// The longest name of an iptables chain, in bytes (`XT_EXTENSION_MAXNAMELEN` with its final zero is 29).
pub const CHAIN_NAME_MAX: usize = 28;

/// Words that iproute2 reads as words of its grammar where a link's name may also stand, and names that mean all links elsewhere.
///
/// `ip link add type veth`, `ip link set up up`, `ip addr show up`: iproute2 compares each word with its keywords before it takes one for a name
/// (`ip/iplink.c`, `ip/ipaddress.c`, `ip/iproute.c`). netwright itself always writes `name X` and `dev X`; people who look at the network with
/// iproute2 do not. `all` and `default` are directories of their own in `/proc/sys/net/ipv4/conf`, so that a link of that name has no
/// sysctls. Prefixes of keywords (`a` for `address`, `li` for `link`) stay allowed: to refuse them would cost every one-letter name.
const KEYWORDS: &[&str] = &[
    // ip link add, ip link set
    "addrgenmode",
    "address",
    "alias",
    "allmulticast",
    "arp",
    "brd",
    "broadcast",
    "carrier",
    "dev",
    "down",
    "dynamic",
    "group",
    "gro_max_size",
    "gso_max_segs",
    "gso_max_size",
    "index",
    "link",
    "link-netns",
    "link-netnsid",
    "master",
    "mode",
    "mtu",
    "multicast",
    "name",
    "netns",
    "nomaster",
    "numrxqueues",
    "numtxqueues",
    "parentdev",
    "peer",
    "promisc",
    "property",
    "protodown",
    "qlen",
    "state",
    "trailers",
    "txqlen",
    "txqueuelen",
    "type",
    "up",
    "vf",
    "vrf",
    "xdp",
    "xdpdrv",
    "xdpgeneric",
    "xdpoffload",
    // the commands, and what stands for a list
    "add",
    "all",
    "any",
    "change",
    "default",
    "del",
    "delete",
    "flush",
    "help",
    "list",
    "lst",
    "none",
    "replace",
    "set",
    "show",
    // ip addr, ip route, ip rule
    "anycast",
    "blackhole",
    "from",
    "iif",
    "inet",
    "inet6",
    "label",
    "local",
    "lookup",
    "metric",
    "nexthop",
    "nhid",
    "oif",
    "onlink",
    "proto",
    "protocol",
    "remote",
    "scope",
    "src",
    "table",
    "to",
    "via",
    "weight",
];

/// Whether `name` is a word of iproute2's grammar, and so no good as the name of a link.
#[must_use]
pub fn is_keyword(name: &str) -> bool {
    KEYWORDS.contains(&name)
}

/// Checks the name of a link: 1 to 15 bytes of `A-Za-z0-9_.-`, not starting with `-` or `.`, and no keyword of iproute2.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] that names the broken rule, with a valid name derived from it as a hint.
pub fn link_name(name: &str) -> Result<()> {
    let rule = if name.contains('%') {
        Some("the kernel takes `%d` in a name as a pattern and makes another name of it".to_owned())
    } else {
        broken(name, LINK_NAME_MAX, "the kernel's limit")
    };
    let rule = rule.or_else(|| is_keyword(name).then(|| "iproute2 reads it as a word of its own".to_owned()));
    rule.map_or(Ok(()), |rule| Err(refuse("link", name, &rule, LINK_NAME_MAX)))
}

/// Checks the name of a namespace: 1 to 64 of `A-Za-z0-9_.-`, not starting with `-` or `.`, and not `host`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] that names the broken rule, with a valid name derived from it as a hint.
pub fn netns_name(name: &str) -> Result<()> {
    if name == "host" {
        return Err(Error::new(
            Kind::InvalidArgument,
            "`host` cannot be the name of a namespace: it is netwright's word for the machine",
        )
        .hint("write `host()` for the namespace that plays the machine, or take another name: `host-1`"));
    }
    broken(name, NETNS_NAME_MAX, "netwright's limit")
        .map_or(Ok(()), |rule| Err(refuse("namespace", name, &rule, NETNS_NAME_MAX)))
}

/// Checks an alias of a link: 1 to 255 bytes of text without control characters.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] that names the broken rule.
pub fn alias(text: &str) -> Result<()> {
    let rule = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.len() > ALIAS_MAX {
        format!("it has {} bytes, {ALIAS_MAX} is the kernel's limit", text.len())
    } else if let Some(odd) = text.chars().find(|c| c.is_control()) {
        format!("it has the character {odd:?}")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::InvalidArgument, format!("`{}` cannot be the alias of a link: {rule}", snippet(text)))
        .hint("an alias is one line of 1 to 255 bytes"))
}

/// Checks the name of an iptables chain: 1 to 28 bytes of visible ASCII, not starting with `-` or `!`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] that names the broken rule, with a valid name derived from it as a hint.
pub fn chain_name(name: &str) -> Result<()> {
    let rule = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.starts_with(['-', '!']) {
        format!("it starts with `{}`, which iptables reads as an option", &name[..1])
    } else if let Some(odd) = name.chars().find(|c| !c.is_ascii_graphic() || "\"'\\`".contains(*c)) {
        format!("it has the character {odd:?}")
    } else if name.len() > CHAIN_NAME_MAX {
        format!("it has {} bytes, {CHAIN_NAME_MAX} is iptables' limit", name.len())
    } else {
        return Ok(());
    };
    Err(refuse("chain", name, &rule, CHAIN_NAME_MAX))
}

/// The rule of the common grammar that `name` breaks.
fn broken(name: &str, max: usize, whose: &str) -> Option<String> {
    if name.is_empty() {
        Some("it is empty".to_owned())
    } else if let Some(odd) = name.chars().find(|c| !is_plain(*c)) {
        Some(format!("it has the character {odd:?}; letters, digits and `_ . -` are allowed"))
    } else if name.starts_with('-') {
        Some("it starts with `-`, which tools read as an option".to_owned())
    } else if name.starts_with('.') {
        Some("it starts with `.`, and it is also the name of a file".to_owned())
    } else if name.len() > max {
        Some(format!("it has {} bytes, {max} is {whose}", name.len()))
    } else {
        None
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-".contains(c)
}

fn refuse(what: &str, name: &str, rule: &str, max: usize) -> Error {
    let article = if name.is_empty() { "an empty string".to_owned() } else { format!("`{}`", snippet(name)) };
    Error::new(Kind::InvalidArgument, format!("{article} cannot be the name of a {what}: {rule}"))
        .hint(format!("for example `{}`", suggest(name, what, max)))
}

/// A valid name like `name`.
fn suggest(name: &str, what: &str, max: usize) -> String {
    let plain: String = name.chars().filter(|c| is_plain(*c)).collect();
    let plain: String = plain.trim_start_matches(['-', '.']).chars().take(max).collect();
    match (plain.as_str(), what) {
        ("", "link") => "eth0".to_owned(),
        ("", "chain") => "MY-CHAIN".to_owned(),
        ("", _) => "blue".to_owned(),
        (word, "link") if is_keyword(word) => format!("{}0", &word[..word.len().min(max - 1)]),
        ("host", _) => "host-1".to_owned(),
        (word, _) => word.to_owned(),
    }
}
