//! Kinds of links and the options that a script can give in a map, in iproute2's own words: `ns.vxlan("vx0", #{ id: 42, dstport: 4789 })`.
//!
//! [`table`] says for each option what value it takes, where `ip -j -d link` shows it, and whether it can be changed later. bridge, vxlan, macvlan,
//! veth and ifb were measured on Linux 6.18 with iproute2 6.1.0; the others were read in iproute2's source of that version (`ip/iplink_*.c`, `ip/link_*.c`).

pub mod table;
mod value;

use serde_json::Value;

pub use table::{COMMON, KINDS, PORT, TUN};

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
    /// Whether it has a MAC address, and whether that can be changed.
    pub mac: Mac,
    /// Its own options; all kinds take [`COMMON`] beside them.
    pub options: &'static [LinkOption],
}

/// The MAC address of a kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// It can be given and changed.
    Live,
    /// It is fixed when the link is made.
    Fixed,
    /// There is none, or it is its parent's.
    None,
}

impl LinkKind {
    /// Whether an option can be changed on a link of this kind that is there.
    #[must_use]
    pub fn can_change(&self, option: &LinkOption) -> bool {
        option.changeable && !(option.name == "address" && self.mac != Mac::Live)
    }
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
    /// The byte of a tunnel's outer header, or `inherit`. iproute2 reads it as hexadecimal, whatever it looks like (`rtnl_dsfield_a2n`).
    Tos,
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
    /// As the link that it stands on, in `link` of the link itself; its words stand with those of its kind.
    Lower,
    /// Not at all.
    Nowhere,
}

/// A kind of link by name.
///
/// # Errors
///
/// [`Kind::InvalidArgument`], with the name that was probably meant.
pub fn kind(name: &str) -> Result<&'static LinkKind> {
    KINDS.iter().chain([&PORT]).find(|kind| kind.name == name).ok_or_else(|| {
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
        if name == "address" {
            return Error::new(Kind::InvalidArgument, format!("a {kind_name} link has no MAC address of its own"))
                .hint("leave `address` out; the ends of a tunnel are `local` and `remote`");
        }
        let shown = super::json::snippet(name);
        let error = Error::new(Kind::InvalidArgument, format!("a {kind_name} link has no option `{shown}`"));
        suggest(error, name, all_options(kind).map(|option| option.name), "options")
    })
}

fn all_options(kind: &'static LinkKind) -> impl Iterator<Item = &'static LinkOption> {
    // `link` is for kinds that stand on another one.
    let has = |option: &&LinkOption| match option.name {
        "link" => kind.needs_parent,
        "address" => kind.mac != Mac::None,
        // Those of the link itself are set on the link.
        _ => kind.name != PORT.name && kind.name != TUN,
    };
    kind.options.iter().chain(COMMON.iter().filter(has))
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
    let own = if kind_name == TUN { Vec::new() } else { vec!["type".to_owned(), kind_name.to_owned()] };
    let (mut common, mut own) = (Vec::new(), own);
    words(kind_name, options, |option, words| if of_link(option) { common.extend(words) } else { own.extend(words) })?;
    common.extend(own);
    Ok(common)
}

/// The words that change a link of this kind, after `ip link set dev NAME`: `mtu 1400 type bridge stp_state 1`.
///
/// # Errors
///
/// As [`argv`], and [`Kind::Unsupported`] for an option that the kernel fixes when the link is made.
pub fn change_argv(kind_name: &str, options: &[(&str, &str)]) -> Result<Vec<String>> {
    let kind = kind(kind_name)?;
    let (mut common, mut own) = (Vec::new(), Vec::new());
    let mut fixed = None;
    words(kind_name, options, |option, words| {
        if !kind.can_change(option) {
            fixed.get_or_insert(option.name);
        }
        if of_link(option) { common.extend(words) } else { own.extend(words) }
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

fn of_link(option: &LinkOption) -> bool {
    matches!(option.shown, Shown::OnLink(_))
}

/// Whether an option is one that all kinds take.
#[must_use]
pub fn is_common(name: &str) -> bool {
    COMMON.iter().any(|option| option.name == name)
}

/// Whether the `info_data` of a link differs from what an option asks for. `None`: cannot tell (an unknown or invisible option, an invalid value).
#[must_use]
pub fn differs(kind_name: &str, info_data: &Value, name: &str, given: &str) -> Option<bool> {
    let option = option(kind_name, name).ok()?;
    match option.shown {
        Shown::In(keys) => match keys.iter().find_map(|key| info_data.get(key)) {
            Some(shown) => value::differs(option.takes, shown, given),
            // An endpoint that is not set is not shown, nor is a byte of zeros.
            None if option.takes == Takes::Tos => Some(given != "0" && given != "0x0"),
            None => matches!(option.takes, Takes::Address | Takes::Link).then_some(given != "any"),
        },
        Shown::WhenOn(key) => {
            let on = info_data.get(key).is_some_and(|shown| shown.as_bool().unwrap_or(true));
            Some(on != value::truth(given)?)
        }
        Shown::Flag(word) => {
            // A link without any flag shows no list.
            let on =
                info_data.get("flags").and_then(Value::as_array).is_some_and(|all| all.iter().any(|flag| flag == word));
            info_data.as_object()?;
            Some(on != value::truth(given)?)
        }
        Shown::OnLink(_) | Shown::Lower | Shown::Nowhere => None,
    }
}

/// [`differs`] for a whole link, as one of a kind or as a port ([`PORT`]), which also knows the [`COMMON`] options.
#[must_use]
pub fn link_differs(kind_name: &str, link: &Link, name: &str, given: &str) -> Option<bool> {
    let option = option(kind_name, name).ok()?;
    match option.shown {
        Shown::OnLink(key) => value::differs(option.takes, link.raw().get(key)?, given),
        Shown::Lower => Some(link.link.as_deref() != Some(given)),
        _ => differs(kind_name, data(kind_name, link).unwrap_or(&Value::Null), name, given),
    }
}

/// Where a link shows its options, as one of a kind or as a port.
fn data<'a>(kind_name: &str, link: &'a Link) -> Option<&'a Value> {
    let info = &link.linkinfo;
    if kind_name == PORT.name { info.info_slave_data.as_ref() } else { info.info_data.as_ref() }
}

/// What a link shows for an option, as a word that could be given back. `None`: it is not shown, or not as a word.
#[must_use]
pub fn shown(kind_name: &str, link: &Link, name: &str) -> Option<String> {
    let option = option(kind_name, name).ok()?;
    let data = data(kind_name, link);
    let value = match option.shown {
        Shown::In(keys) => keys.iter().find_map(|key| data?.get(key))?,
        Shown::WhenOn(key) => return Some(if data?.get(key).is_some() { "1" } else { "0" }.to_owned()),
        Shown::Flag(word) => {
            let flags = data?.get("flags").and_then(Value::as_array);
            let on = flags.is_some_and(|all| all.iter().any(|flag| flag == word));
            return Some(if on { "1" } else { "0" }.to_owned());
        }
        Shown::OnLink(key) => link.raw().get(key)?,
        Shown::Lower => return link.link.clone(),
        Shown::Nowhere => return None,
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(if *truth { "1" } else { "0" }.to_owned()),
        Value::Object(range) => Some(format!("{}-{}", range.get("low")?, range.get("high")?)),
        Value::Array(all) => all.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|all| all.join(",")),
        Value::Null => None,
    }
}

/// Whether a link does not show an option that a kernel that has it always shows: it was built without. Only of bridges is known what is always
/// there (`br_fill_info`: what `CONFIG_BRIDGE_VLAN_FILTERING` and its like leave out).
#[must_use]
pub fn unknown_here(link: &Link, name: &str) -> bool {
    if link.kind() != Some("bridge") {
        return false;
    }
    let (Ok(option), Some(data)) = (option("bridge", name), link.linkinfo.info_data.as_ref()) else { return false };
    matches!(option.shown, Shown::In(keys) if keys.iter().all(|key| data.get(key).is_none()))
}

/// Whether a value of an option asks for nothing: what a kernel without the option does anyway.
#[must_use]
pub fn is_off(kind_name: &str, name: &str, given: &str) -> bool {
    option(kind_name, name).is_ok_and(|option| match option.takes {
        Takes::Bit | Takes::OnOff | Takes::Flag | Takes::Word => value::truth(given) == Some(false),
        _ => given == "0",
    })
}

/// Options that iproute2 wants to be told again with a change of this one, although they stay as they are.
#[must_use]
pub fn companion(kind_name: &str, name: &str) -> Option<&'static str> {
    match (kind_name, name) {
        // `geneve: missing virtual network identifier`
        ("geneve", _) if !is_common(name) => Some("id"),
        // `vxlan: 'group' requires 'dev' to be specified`
        ("vxlan", "group") => Some("dev"),
        _ => None,
    }
}

/// Refuses times that a bond would not have: the kernel keeps them as multiples of `miimon`, rounded down, and without a word
/// (`_bond_option_delay_set` of `bond_options.c`).
///
/// # Errors
///
/// [`Kind::InvalidArgument`], with the times that are near.
pub fn refuse_rounded(kind_name: &str, options: &[(&str, &str)], link: Option<&Link>) -> Result<()> {
    if kind_name != "bond" {
        return Ok(());
    }
    let given = |name: &str| options.iter().find(|(have, _)| *have == name).and_then(|(_, value)| value.parse().ok());
    let beat: u64 = given("miimon").or_else(|| shown(kind_name, link?, "miimon")?.parse().ok()).unwrap_or(0);
    for name in ["updelay", "downdelay", "peer_notify_delay"] {
        let Some(wanted) = given(name).filter(|wanted: &u64| beat > 0 && !wanted.is_multiple_of(beat)) else {
            continue;
        };
        let below = wanted - wanted % beat;
        return Err(Error::new(
            Kind::InvalidArgument,
            format!("a bond with miimon {beat} has no {name} {wanted}: it would read back {below}"),
        )
        .hint(format!("write a multiple of miimon: {below} or {}", below + beat)));
    }
    Ok(())
}

/// How an option that is on is turned off, where that takes another word than the option's own: iproute2 has none for it.
#[must_use]
pub fn way_off(kind_name: &str, name: &str) -> Option<&'static str> {
    match (kind_name, name) {
        ("ipvlan", "private" | "vepa") => Some("`bridge: true` does that"),
        ("ipvlan", "bridge") => Some("`\"private\": true` or `vepa: true` does that"),
        _ => None,
    }
}

/// Adds the nearest name and the list of names.
pub(crate) fn suggest(error: Error, given: &str, names: impl Iterator<Item = &'static str>, what: &str) -> Error {
    let names: Vec<_> = names.collect();
    let error = super::suggest::with_nearest(error, given, names.iter().copied());
    error.hint(format!("{what}: {}", names.join(", ")))
}
