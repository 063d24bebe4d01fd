//! What literal arguments may be: names, addresses, targets, times, and the options of maps.

use std::time::Duration;

use super::super::api::options::{self, Form};
use super::super::api::reached;
use super::super::signature::with_article;
use crate::error::{Error, Kind, Result};
use crate::exec::background::signal_named;
use crate::model::ethtool::listed_name;
use crate::model::iptables_args::Invocation;
use crate::model::{Cidr, addr, bridge, link_kinds, names, nft_words, shell, sysctl};
use crate::probe::http::Url;
use crate::probe::{Endpoint, Proto};
use crate::session::{file, shape};
use crate::verify::Said;

/// Checks a literal string at a position of a call. `this` is the type of the receiver, whose position is 0.
pub(super) fn text(name: &str, this: Option<&str>, at: usize, count: usize, text: &str) -> Result<()> {
    match (this, name, at) {
        (None, "netns", 0) => names::netns_name(text),
        (None, "cidr", 0) => text.parse::<Cidr>().map(drop),
        (None, "sleep" | "eventually", 0) => time(text),
        (None, "veth", 1 | 3) | (Some("namespace"), "plug", 1) | (Some("link"), "rename", 1) => names::link_name(text),
        (Some("namespace"), kind, 1) if link_kinds::kind(kind).is_ok() => names::link_name(text),
        (Some("namespace"), "route", 1) => addr::destination(text).map(drop),
        (Some("namespace"), "route", 2)
        | (Some("namespace"), "route_get" | "neigh", 1)
        | (Some("answer"), "through_nat", 1) => addr::ip(text).map(drop),
        (Some("namespace"), "neigh", 2) | (Some("link"), "mac", 1) => addr::mac(text).map(drop),
        (Some("namespace"), "sysctl", 1) => setting(text),
        (Some("namespace"), "nft_table", 1) => text.parse::<nft_words::Table>().map(drop),
        (Some("namespace"), "nft", 1) => nft_words::Said::parse(text).map(drop),
        (Some("namespace"), "listen", 1) => text.parse::<Endpoint>().map(drop),
        (Some("link"), "bridge_vlan" | "bridge_vlan_delete", 1) => bridge::vlan_ids(text).map(drop),
        (Some("link"), "fdb" | "fdb_delete", 1) => addr::any_mac(text).map(drop),
        (Some("link"), "mdb" | "mdb_delete", 1) => bridge::group(text).map(drop),
        (Some("namespace"), "ping", 1) => target(text, true),
        (Some("namespace"), "connect", 1) => target(text, false),
        (Some("namespace"), "iptables" | "ip6tables", 1) => iptables(text),
        (Some("namespace"), "exec" | "run" | "start", 1) => program(text, name),
        (Some("namespace"), "ip", 1) => words(text, name).map(drop),
        (Some("namespace"), "file", 1) => file::checked(text),
        (Some("process"), "signal", 1) => signal_named(text).map(drop),
        (Some("namespace"), "http", 1) => text.parse::<Url>().map(drop),
        (Some("namespace"), "capture", 1) => names::link_name(text),
        (Some("namespace"), "masquerade", 2) if count > 2 => source(text),
        (Some("namespace"), "port_forward", 1) => text.parse::<Endpoint>().and_then(|endpoint| has_ports(&endpoint)),
        (Some("namespace"), "port_forward", 2) => socket(text),
        (Some("link"), "addr", 1) => addr::interface_addr(text).map(drop),
        (None, "why", 1) | (Some("expectation"), "reaches" | "cannot_reach", 1) => text.parse::<Said>().map(drop),
        (Some("answer"), "within", 1) => reached::limit(&text.into()).map(drop),
        (Some("answer"), "via", 1) => Err(reached::no_list("a string", &format!("\"{text}\""))),
        _ => Ok(()),
    }
}

/// Checks a literal number at a position of a call.
pub(super) fn number(name: &str, this: Option<&str>, at: usize, number: i64) -> Result<()> {
    let invalid = |message: String| Err(Error::new(Kind::InvalidArgument, message));
    match (this, name, at) {
        (None, "exit", 0) if number != 0 && !(10..=63).contains(&number) => {
            invalid(format!("a script exits with 0 or with 10 to 63, not with {number}"))
        }
        (Some("link"), "mtu", 1) if !(68..=i64::from(i32::MAX)).contains(&number) => {
            invalid(format!("no link has an MTU of {number}"))
        }
        (Some("link"), "bridge_vlan" | "bridge_vlan_delete", 1) => bridge::vlan_ids(&number.to_string()).map(drop),
        (Some("answer"), "within", 1) if number <= 0 => Err(reached::no_time()),
        (Some("answer"), "with_mtu", 1) => reached::mtu(number).map(drop),
        (Some("answer"), "via", 1) => Err(reached::no_list("an integer", "\"r1\"")),
        (Some("cidr"), "subnets", 1) if !(0..=128).contains(&number) => {
            invalid(format!("no network has a prefix of {number} bits"))
        }
        _ => Ok(()),
    }
}

/// Checks an item of a literal array.
pub(super) fn item(name: &str, this: Option<&str>, value: Value<'_>) -> Result<()> {
    match (this, name, value) {
        (Some("answer"), "via", Value::Text(text)) => reached::hop_name(text),
        (Some("answer"), "via", Value::Unknown) => Ok(()),
        (Some("answer"), "via", other) => Err(reached::no_name(&with_article(other.ty()))),
        _ => Ok(()),
    }
}

/// A value in a literal map, or in an array.
pub(super) enum Value<'a> {
    /// A literal string.
    Text(&'a str),
    /// A literal integer.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A literal of another type.
    Other(&'static str),
    /// Anything else.
    Unknown,
}

impl Value<'_> {
    /// Its type in the author's words.
    fn ty(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Number(_) => "integer",
            Self::Flag(_) => "bool",
            Self::Other(ty) => ty,
            Self::Unknown => "any value",
        }
    }
}

/// Checks the keys of a literal map, and the literal values; the key that is wrong comes with the error.
pub(super) fn options(name: &str, this: Option<&str>, map: &[(&str, Value<'_>)]) -> Vec<(Option<usize>, Error)> {
    if let Some(kind) = options::kind_of(name).filter(|_| matches!(this, Some("namespace" | "link"))) {
        return of_link(name, kind, map);
    }
    if this == Some("namespace") && name == "hosts" {
        let address = |(_, value): &(&str, Value<'_>)| match value {
            Value::Text(text) => addr::ip(text).err(),
            Value::Other("array") | Value::Unknown => None,
            other => {
                let message = format!("an address of `hosts` is a string or a cidr, not {}", with_article(other.ty()));
                Some(Error::new(Kind::InvalidArgument, message))
            }
        };
        return map.iter().enumerate().filter_map(|(index, entry)| Some((Some(index), address(entry)?))).collect();
    }
    let Some(known) = options::of(name) else { return Vec::new() };
    let check = |(key, value): &(&str, Value<'_>)| match known.iter().find(|(known, _)| known == key) {
        None if name == "offload" => {
            listed_name(key).map(drop).and_then(|()| option(name, key, Form::Flag, value)).err()
        }
        None => options::unknown(name, key),
        Some((_, form)) => option(name, key, *form, value).and_then(|()| option_text(name, key, value)).err(),
    };
    map.iter().enumerate().filter_map(|(index, entry)| Some((Some(index), check(entry)?))).collect()
}

/// Checks what the text or number of an option says, where its call reads that itself.
fn option_text(call: &str, key: &str, value: &Value<'_>) -> Result<()> {
    match (call, value) {
        ("shape", Value::Text(text)) => shape::check_option(key, text),
        ("shape", Value::Number(number)) => shape::check_option(key, &number.to_string()),
        _ => Ok(()),
    }
}

/// Checks the literal value of an option.
fn option(call: &str, key: &str, form: Form, value: &Value<'_>) -> Result<()> {
    let wants = |wants: &str| {
        let message = format!("`{key}` of `{call}` is {wants}, you gave {}", with_article(value.ty()));
        Err(Error::new(Kind::InvalidArgument, message))
    };
    match (form, value) {
        (Form::Any, _)
        | (_, Value::Unknown)
        | (Form::Time, Value::Number(0..) | Value::Other("float"))
        | (Form::Number, Value::Number(_))
        | (Form::Flag, Value::Flag(_))
        | (Form::Map, Value::Other("map"))
        | (Form::Command | Form::Ways, Value::Other("array")) => Ok(()),
        (Form::Time, Value::Text(text)) => time(text),
        (Form::Time, _) => wants("a time"),
        (Form::Number, _) => wants("an integer"),
        (Form::Flag, _) => wants("true or false"),
        (Form::Map, _) => wants("a map"),
        (Form::Command, Value::Text(text)) => program(text, key),
        (Form::Command, _) => wants("a string or an array of words"),
        (Form::Address | Form::Ways, Value::Text(text)) => addr::ip(text).map(drop),
        (Form::Ways, _) => wants("an address or an array of ways"),
        (Form::Address, _) => wants("an address"),
        (Form::Link, Value::Text(text)) => names::link_name(text),
        (Form::Link, _) => wants("the name of a link"),
        (Form::Word, Value::Other("array" | "map")) | (Form::OneOf(_), Value::Other(_)) => wants("a string"),
        (Form::OneOf(words), Value::Text(text)) if !words.contains(text) => {
            Err(Error::new(Kind::InvalidArgument, format!("`{text}` is no {key}")).hint(words.join(", ")))
        }
        (Form::Word | Form::OneOf(_), _) => Ok(()),
    }
}

/// iproute2's options of a kind of link: the same table that makes the command.
fn of_link(call: &str, kind: &'static link_kinds::LinkKind, map: &[(&str, Value<'_>)]) -> Vec<(Option<usize>, Error)> {
    let mut found = Vec::new();
    for (index, (key, value)) in map.iter().enumerate() {
        let own = options::of(call).and_then(|known| known.iter().find(|(known, _)| known == key));
        let change = |value: &str| link_kinds::change_argv(kind.name, &[(key, value)]).map(drop);
        let checked = match (own, value) {
            (Some((_, form)), value) => option(call, key, *form, value),
            (None, Value::Text(text)) => change(text),
            (None, Value::Number(number)) => change(&number.to_string()),
            (None, Value::Flag(flag)) => change(if *flag { "1" } else { "0" }),
            (None, Value::Other(_) | Value::Unknown) => link_kinds::option(kind.name, key).map(drop),
        };
        match checked {
            // Said with the options of the call itself.
            Err(_) if let Some(error) = options::unknown(call, key).filter(|_| call != kind.name) => {
                found.push((Some(index), error));
            }
            Err(error) if error.kind() != Kind::Unsupported => found.push((Some(index), error)),
            _ => {}
        }
    }
    if let Some(missing) = kind.required.iter().find(|needed| !map.iter().any(|(key, _)| key == *needed)) {
        let error = Error::new(Kind::InvalidArgument, format!("a {} link needs the option `{missing}`", kind.name));
        found.push((None, error));
    }
    found
}

fn time(text: &str) -> Result<()> {
    humantime::parse_duration(text).map(|_: Duration| ()).map_err(|_| {
        Error::new(Kind::InvalidArgument, format!("`{text}` is not a time"))
            .hint("write \"200ms\", \"5s\", \"1m 30s\", or a number of seconds")
    })
}

/// A setting whose name is nearly that of a well-known one, and that this kernel does not have either.
fn setting(text: &str) -> Result<()> {
    let name = sysctl::Name::parse(text)?;
    let there = std::path::Path::new("/proc/sys").join(name.slashed()).exists();
    match name.well_known().filter(|_| !there) {
        Some(near) => {
            Err(Error::new(Kind::NotFound, format!("no sysctl `{text}`")).hint(format!("did you mean `{near}`?")))
        }
        None => Ok(()),
    }
}

fn target(text: &str, ping: bool) -> Result<()> {
    let (shown, is_bare) = match text.parse()? {
        Said::Target(target) => (target.to_string(), target.proto == Proto::Icmp),
        Said::Named(named) => (text.to_owned(), named.service.is_none()),
    };
    match (ping, is_bare) {
        (true, false) => Err(Error::new(Kind::InvalidArgument, format!("`ping` takes an address, not `{shown}`"))
            .hint(format!("ns.connect(\"{shown}\") tries a port"))),
        (false, true) => Err(Error::new(Kind::InvalidArgument, format!("`connect` takes a port: tcp/{shown}:80"))
            .hint(format!("ns.ping(\"{shown}\") tries an address"))),
        _ => Ok(()),
    }
}

fn has_ports(endpoint: &Endpoint) -> Result<()> {
    if endpoint.proto == Proto::Icmp {
        return Err(Error::new(Kind::InvalidArgument, "icmp has no ports").hint("\"tcp/8080\" or \"udp/53\""));
    }
    Ok(())
}

fn socket(text: &str) -> Result<()> {
    text.parse::<std::net::SocketAddr>().map(drop).map_err(|_| {
        Error::new(Kind::InvalidArgument, format!("`{text}` is not an address with a port"))
            .hint("\"10.0.0.1:80\" or \"[2001:db8::1]:80\"")
    })
}

fn source(text: &str) -> Result<()> {
    if text.contains('/') { addr::network(text).map(drop) } else { addr::ip(text).map(drop) }
}

fn words(text: &str, of: &str) -> Result<Vec<String>> {
    shlex::split(text).ok_or_else(|| {
        Error::new(Kind::InvalidArgument, format!("the quotes of `{text}` do not match"))
            .hint(format!("give `{of}` an array of words instead: [\"a\", \"b c\"]"))
    })
}

fn program(text: &str, of: &str) -> Result<()> {
    words(text, of)?;
    match shell::only_for_a_shell(text) {
        None => Ok(()),
        Some(found) => Err(Error::new(Kind::InvalidArgument, shell::message(of, found)).hint(shell::hint(of, text))),
    }
}

fn iptables(text: &str) -> Result<()> {
    Invocation::parse(&words(text, "iptables")?).map(drop)
}
