//! Kinds of links and the options that a script can give in a map, in iproute2's own words: `ns.vxlan("vx0", #{ id: 42, dstport: 4789 })`.
//!
//! [`table`] says for each option what value it takes, where `ip -j -d link` shows it, and whether it can be changed later. bridge, vxlan, macvlan,
//! veth and ifb were measured on Linux 6.18 with iproute2 6.1.0; the others were read in iproute2's source of that version (`ip/iplink_*.c`, `ip/link_*.c`).

pub mod table;
mod value;

use serde_json::Value;

pub use table::{COMMON, KINDS};

use super::Link;
use crate::{Error, Kind, Result};

/// A kind of link.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkKind {
    /// The word after `type`.
    pub name: &'static str,
    /// Whether it stands on another link, which the option `link` names.
    pub needs_parent: bool,
    /// Options without which iproute2 or the kernel refuses to make one.
    pub required: &'static [&'static str],
    /// Its own options; all kinds take [`COMMON`] beside them.
    pub options: &'static [LinkOption],
}

/// An option of a kind of link.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkOption {
    /// iproute2's word, and the key in the script's map.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Where `ip -j -d link` shows it.
    pub shown: Shown,
    /// Whether it can be changed on a link that is there.
    pub changeable: bool,
}

/// The values that an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A number within bounds, decimal or `0x…`.
    Number(u64, u64),
    /// A number within bounds, or one of some words (`inherit`).
    NumberOr(u64, u64, &'static [&'static str]),
    /// A time that the kernel keeps in its own ticks, so that it comes back rounded: `ageing_time 5` reads back as 4.
    Time(u64, u64),
    /// Yes or no, written `1` and `0`.
    Bit,
    /// Yes or no, written `on` and `off`.
    OnOff,
    /// Yes or no, written as the word itself and the word with `no` before it: `learning`, `nolearning`.
    Flag,
    /// Yes, written as the word alone; no is to leave it out.
    Word,
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// An address of either family, or `any`.
    Address,
    /// The name of a link.
    Link,
    /// A MAC address.
    Mac,
    /// The key of a tunnel: a number or four bytes like an IPv4 address.
    Key,
    /// Two ports, `1024-2048`.
    PortRange,
    /// Some addresses, joined by commas.
    Addresses,
}

/// Where `ip -j -d link` shows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// In the first of these keys of `info_data` that is there (`["remote", "remote6"]`).
    In(&'static [&'static str]),
    /// In this key, which is only there when it is on.
    WhenOn(&'static str),
    /// In the list `flags` of `info_data`, by this word.
    Flag(&'static str),
    /// In this key of the link itself.
    OnLink(&'static str),
}

/// A kind of link by name.
///
/// # Errors
///
/// [`Kind::InvalidArgument`], with the name that was probably meant.
pub fn kind(name: &str) -> Result<&'static LinkKind> {
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let error = Error::new(
            Kind::InvalidArgument,
            format!("netwright makes no links of kind `{}`", super::json::snippet(name)),
        );
        suggest(error, name, KINDS.iter().map(|kind| kind.name), "kinds")
    })
}

/// An option of a kind by name: one of its own or one of [`COMMON`].
///
/// # Errors
///
/// [`Kind::InvalidArgument`], with the option that was probably meant and the list of all.
pub fn option(kind_name: &str, name: &str) -> Result<&'static LinkOption> {
    let kind = kind(kind_name)?;
    all_options(kind).find(|option| option.name == name).ok_or_else(|| {
        let shown = super::json::snippet(name);
        let error = Error::new(Kind::InvalidArgument, format!("a {kind_name} link has no option `{shown}`"));
        suggest(error, name, all_options(kind).map(|option| option.name), "options")
    })
}

fn all_options(kind: &'static LinkKind) -> impl Iterator<Item = &'static LinkOption> {
    // `link` is for kinds that stand on another one.
    kind.options.iter().chain(COMMON.iter().filter(|option| kind.needs_parent || option.name != "link"))
}

/// The words that make a link of this kind, after `ip link add name NAME`: `link eth0 mtu 1400 type vlan id 10`. The order of a kind's own options is kept.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for an unknown kind or option, one given twice, a missing one, or a value that the option does not take.
pub fn argv(kind_name: &str, options: &[(&str, &str)]) -> Result<Vec<String>> {
    let kind = kind(kind_name)?;
    let given = |name: &str| options.iter().any(|(have, _)| *have == name);
    for required in kind.required {
        if !given(required) {
            let example = kind
                .options
                .iter()
                .chain(COMMON)
                .find(|option| option.name == *required)
                .map_or("…", |o| value::example(o.takes));
            return Err(Error::new(Kind::InvalidArgument, format!("a {kind_name} link needs the option `{required}`"))
                .hint(format!("for example `#{{ {required}: {example} }}`")));
        }
    }
    let (mut common, mut own) = (Vec::new(), vec!["type".to_owned(), kind_name.to_owned()]);
    words(
        kind_name,
        options,
        |option, words| if is_common(option) { common.extend(words) } else { own.extend(words) },
    )?;
    common.extend(own);
    Ok(common)
}

/// The words that change a link of this kind, after `ip link set dev NAME`: `mtu 1400 type bridge stp_state 1`.
///
/// # Errors
///
/// As [`argv`], and [`Kind::Unsupported`] for an option that the kernel fixes when the link is made.
pub fn change_argv(kind_name: &str, options: &[(&str, &str)]) -> Result<Vec<String>> {
    let (mut common, mut own) = (Vec::new(), Vec::new());
    let mut fixed = None;
    words(kind_name, options, |option, words| {
        if !option.changeable {
            fixed.get_or_insert(option.name);
        }
        if is_common(option) { common.extend(words) } else { own.extend(words) }
    })?;
    if let Some(name) = fixed {
        return Err(Error::new(
            Kind::Unsupported,
            format!("the option `{name}` of a {kind_name} link cannot be changed"),
        )
        .hint("delete the link first, so that it is made anew"));
    }
    if !own.is_empty() {
        common.extend(["type".to_owned(), kind_name.to_owned()]);
        common.extend(own);
    }
    Ok(common)
}

fn words(
    kind_name: &str,
    options: &[(&str, &str)],
    mut each: impl FnMut(&'static LinkOption, Vec<String>),
) -> Result<()> {
    for (index, (name, given)) in options.iter().enumerate() {
        let option = option(kind_name, name)?;
        if options[..index].iter().any(|(before, _)| before == name) {
            return Err(Error::new(Kind::InvalidArgument, format!("the option `{name}` is given twice")));
        }
        each(option, value::words(kind_name, option, given)?);
    }
    Ok(())
}

fn is_common(option: &LinkOption) -> bool {
    matches!(option.shown, Shown::OnLink(_))
}

/// Whether the `info_data` of a link differs from what an option asks for. `None`: cannot tell (an unknown or invisible option, an invalid value).
#[must_use]
pub fn differs(kind_name: &str, info_data: &Value, name: &str, given: &str) -> Option<bool> {
    let option = option(kind_name, name).ok()?;
    match option.shown {
        Shown::In(keys) => match keys.iter().find_map(|key| info_data.get(key)) {
            Some(shown) => value::differs(option.takes, shown, given),
            // An endpoint that is not set is not shown.
            None => matches!(option.takes, Takes::Address | Takes::Link).then_some(given != "any"),
        },
        Shown::WhenOn(key) => {
            let on = info_data.get(key).is_some_and(|shown| shown.as_bool().unwrap_or(true));
            Some(on != value::truth(given)?)
        }
        Shown::Flag(word) => {
            let on = info_data.get("flags")?.as_array()?.iter().any(|flag| flag == word);
            Some(on != value::truth(given)?)
        }
        Shown::OnLink(_) => None,
    }
}

/// [`differs`] for a whole link, which also knows the [`COMMON`] options.
#[must_use]
pub fn link_differs(link: &Link, name: &str, given: &str) -> Option<bool> {
    let kind_name = link.kind()?;
    let option = option(kind_name, name).ok()?;
    match option.shown {
        Shown::OnLink(key) => value::differs(option.takes, link.raw().get(key)?, given),
        _ => differs(kind_name, link.linkinfo.info_data.as_ref().unwrap_or(&Value::Null), name, given),
    }
}

/// What a link shows for an option, as a word that could be given back. `None`: it is not shown, or not as a word.
#[must_use]
pub fn shown(link: &Link, name: &str) -> Option<String> {
    let option = option(link.kind()?, name).ok()?;
    let data = link.linkinfo.info_data.as_ref();
    let value = match option.shown {
        Shown::In(keys) => keys.iter().find_map(|key| data?.get(key))?,
        Shown::WhenOn(key) => return Some(if data?.get(key).is_some() { "1" } else { "0" }.to_owned()),
        Shown::Flag(word) => {
            let flags = data?.get("flags")?.as_array()?;
            return Some(if flags.iter().any(|flag| flag == word) { "1" } else { "0" }.to_owned());
        }
        Shown::OnLink(key) => link.raw().get(key)?,
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
        _ => None,
    }
}

/// Adds the nearest name and the list of names.
pub(crate) fn suggest(error: Error, given: &str, names: impl Iterator<Item = &'static str>, what: &str) -> Error {
    let names: Vec<_> = names.collect();
    let error = super::suggest::with_nearest(error, given, names.iter().copied());
    error.hint(format!("{what}: {}", names.join(", ")))
}
