//! Values of link options: from the script's words to iproute2's, and compared with what iproute2 shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::{LinkOption, Takes};
use crate::model::json::snippet;
use crate::model::{addr, names};
use crate::{Error, Kind, Result};

const INHERIT: &str = "inherit";
/// The byte that stands for `inherit`: what is shown as JSON is the byte.
const TOS_INHERIT: u64 = 1;

/// The words for an option and its value: `["id", "42"]`, `["nolearning"]`.
pub(super) fn words(kind: &str, option: &LinkOption, given: &str) -> Result<Vec<String>> {
    let name = option.name;
    let wrong = || {
        Error::new(
            Kind::InvalidArgument,
            format!("`{}` is no value for the option `{name}` of a {kind} link", snippet(given)),
        )
        .hint(format!("`{name}` takes {}", expectation(option.takes)))
    };
    let pair = |value: String| Ok(vec![name.to_owned(), value]);
    match option.takes {
        Takes::Number(min, max) | Takes::Time(min, max) => {
            number(given).filter(|value| (min..=max).contains(value)).ok_or_else(wrong)?;
            pair(given.to_owned())
        }
        Takes::NumberOr(min, max, words) => {
            let fits = words.contains(&given) || number(given).is_some_and(|value| (min..=max).contains(&value));
            if fits { pair(given.to_owned()) } else { Err(wrong()) }
        }
        Takes::Tos if given == INHERIT => pair(given.to_owned()),
        Takes::Tos => {
            let byte = number(given).filter(|value| *value <= 0xff).ok_or_else(wrong)?;
            pair(format!("{byte:#x}"))
        }
        Takes::Bit => pair(if truth(given).ok_or_else(wrong)? { "1" } else { "0" }.to_owned()),
        Takes::OnOff => pair(if truth(given).ok_or_else(wrong)? { "on" } else { "off" }.to_owned()),
        Takes::Flag => Ok(vec![if truth(given).ok_or_else(wrong)? { name.to_owned() } else { format!("no{name}") }]),
        Takes::Word => Ok(if truth(given).ok_or_else(wrong)? { vec![name.to_owned()] } else { Vec::new() }),
        Takes::OneOf(words) => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(given)).ok_or_else(wrong)?;
            pair((*word).to_owned())
        }
        Takes::Address => {
            if given != "any" {
                addr::ip(given)?;
            }
            pair(given.to_owned())
        }
        Takes::Addresses => {
            for one in given.split(',') {
                addr::ip(one)?;
            }
            pair(given.to_owned())
        }
        Takes::Link => {
            names::link_name(given)?;
            pair(given.to_owned())
        }
        Takes::Mac => pair(addr::mac(given)?),
        Takes::Key => {
            key(given).ok_or_else(wrong)?;
            pair(given.to_owned())
        }
        Takes::PortRange => {
            let (low, high) = range(given).ok_or_else(wrong)?;
            Ok(vec![name.to_owned(), low.to_string(), high.to_string()])
        }
    }
}

/// Whether what iproute2 shows differs from what was given; `None` when it cannot be told.
pub(super) fn differs(takes: Takes, shown: &Value, given: &str) -> Option<bool> {
    match takes {
        Takes::Number(..) | Takes::NumberOr(..) => Some(shown_number(shown)? != number(given)?),
        Takes::Tos => Some(tos(shown)? != if given == INHERIT { TOS_INHERIT } else { number(given)? }),
        // The kernel's tick is at most 10 ms, one unit; iproute2 prints whole units, rounded down.
        Takes::Time(..) => Some(shown_number(shown)?.abs_diff(number(given)?) > 1),
        Takes::Bit | Takes::OnOff | Takes::Flag | Takes::Word => {
            let on =
                shown.as_bool().or_else(|| shown.as_u64().map(|bit| bit != 0)).or_else(|| truth(shown.as_str()?))?;
            Some(on != truth(given)?)
        }
        Takes::OneOf(_) | Takes::Mac => Some(!shown.as_str()?.eq_ignore_ascii_case(given)),
        Takes::Link => Some(shown.as_str()? != given),
        Takes::Address => Some(address(shown.as_str()?)? != address(given)?),
        Takes::Key => Some(key(shown.as_str()?)? != key(given)?),
        Takes::PortRange => {
            let (low, high) = range(given)?;
            Some(shown.get("low")?.as_u64()? != u64::from(low) || shown.get("high")?.as_u64()? != u64::from(high))
        }
        Takes::Addresses => {
            let shown: Option<Vec<IpAddr>> = shown.as_array()?.iter().map(|one| one.as_str()?.parse().ok()).collect();
            let given: Option<Vec<IpAddr>> = given.split(',').map(|one| one.parse().ok()).collect();
            Some(shown? != given?)
        }
    }
}

/// Yes and no, as scripts and iproute2 write them.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "1" | "yes" => Some(true),
        "false" | "off" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// A value that would be right, as a script writes it.
pub(super) fn example(takes: Takes) -> &'static str {
    match takes {
        Takes::Number(..) | Takes::NumberOr(..) | Takes::Time(..) | Takes::Key | Takes::Tos => "10",
        Takes::Bit | Takes::OnOff | Takes::Flag | Takes::Word => "true",
        Takes::Link => "\"eth0\"",
        Takes::Mac => "\"02:00:00:00:00:01\"",
        Takes::Address | Takes::Addresses => "\"192.0.2.1\"",
        Takes::PortRange => "\"1024-2048\"",
        Takes::OneOf(_) => "\"…\"",
    }
}

/// What an option takes, in words.
pub(super) fn expectation(takes: Takes) -> String {
    match takes {
        Takes::Number(min, max) | Takes::Time(min, max) => format!("a number from {min} to {max}"),
        Takes::NumberOr(min, max, words) => format!("a number from {min} to {max}, or {}", words.join(", ")),
        Takes::Tos => format!("a number from 0 to 255, or {INHERIT}"),
        Takes::Bit | Takes::OnOff | Takes::Flag | Takes::Word => "true or false".to_owned(),
        Takes::OneOf(words) => format!("one of {}", words.join(", ")),
        Takes::Address => "an address, or `any`".to_owned(),
        Takes::Addresses => "addresses, joined by commas".to_owned(),
        Takes::Link => "the name of a link".to_owned(),
        Takes::Mac => "a MAC address".to_owned(),
        Takes::Key => "a number, or four bytes like `0.0.0.7`".to_owned(),
        Takes::PortRange => "two ports, like `1024-2048`".to_owned(),
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

/// A number as iproute2 shows one: `4789`, `"0x8"`.
fn shown_number(shown: &Value) -> Option<u64> {
    shown.as_u64().or_else(|| number(shown.as_str()?))
}

/// A byte as iproute2 shows one: `"0x10"`, `"inherit"`.
fn tos(shown: &Value) -> Option<u64> {
    if shown == INHERIT { Some(TOS_INHERIT) } else { shown_number(shown) }
}

fn key(text: &str) -> Option<u32> {
    text.parse::<Ipv4Addr>().ok().map(Ipv4Addr::to_bits).or_else(|| u32::try_from(number(text)?).ok())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once(['-', ' '])?;
    let (low, high) = (u16::try_from(number(low.trim())?).ok()?, u16::try_from(number(high.trim())?).ok()?);
    (low <= high).then_some((low, high))
}

/// An address; `any` and both unspecified addresses are one and the same.
fn address(text: &str) -> Option<IpAddr> {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    if text == "any" {
        Some(any)
    } else {
        text.parse().ok().map(|ip: IpAddr| if ip.is_unspecified() { any } else { ip })
    }
}
