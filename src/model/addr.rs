//! Addresses, networks and MACs that users write; the arithmetic is `ipnet`'s.
//!
//! iproute2 is generous where a typing error hides: `ip addr add 1.2.3/24` succeeds and adds `1.2.3.0/24`, `10.1` is `10.1.0.0`. Here everything is spelled in full.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use super::json::snippet;
use super::suggest;
use crate::{Error, Kind, Result};

/// How many subnets [`Cidr::subnets`] lists at most.
pub const SUBNETS_MAX: u128 = 65_536;

fn invalid(text: &str, what: &str, rule: &str) -> Error {
    let error = Error::new(Kind::InvalidArgument, format!("`{}` is not {what}: {rule}", snippet(text)));
    // Text that a loop put together from numbers.
    if rule == TOO_LARGE {
        error.hint("`cidr(\"10.0.0.0/16\").host(300)` counts on beyond 255: `10.0.1.44/16`")
    } else {
        error
    }
}

/// What is wrong with a number of an IPv4 address.
const TOO_LARGE: &str = "each number goes from 0 to 255";

/// An address: `10.0.0.1`, `2001:db8::1`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for anything else, also for what iproute2 would complete (`10.1`) and for zones (`fe80::1%eth0`).
pub fn ip(text: &str) -> Result<IpAddr> {
    if let Some((address, _)) = text.split_once('/')
        && let Ok(address) = address.parse::<IpAddr>()
    {
        return Err(invalid(text, "an address", "it has a prefix length").hint(format!("write `{address}`")));
    }
    text.parse()
        .map_err(|_| invalid(text, "an address", why_no_ip(text)).hint("write it in full: `10.0.0.1` or `2001:db8::1`"))
}

/// An address of a link with the prefix of its subnet: `10.0.0.1/24`, `2001:db8::1/64`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for anything else, and for addresses that no link can have (unspecified, multicast).
pub fn interface_addr(text: &str) -> Result<IpNet> {
    const WHAT: &str = "an address with a prefix";
    let Some((address, _)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => invalid(text, WHAT, "the prefix length is missing").hint(format!("write `{ip}/24`")),
            Ok(IpAddr::V6(ip)) => invalid(text, WHAT, "the prefix length is missing").hint(format!("write `{ip}/64`")),
            Err(_) => invalid(text, WHAT, why_no_ip(text)).hint("write it like `10.0.0.1/24` or `2001:db8::1/64`"),
        });
    };
    let net = net(text, WHAT)?;
    if net.addr().is_unspecified() {
        return Err(invalid(text, WHAT, &format!("`{address}` stands for no address at all")));
    }
    if net.addr().is_multicast() {
        return Err(invalid(text, WHAT, &format!("`{address}` is a multicast address, which no link can have")));
    }
    Ok(net)
}

/// A network: `10.1.0.0/16`, without host bits.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for anything else; for host bits with the network as a hint, for a bare address with its host route.
pub fn network(text: &str) -> Result<IpNet> {
    const WHAT: &str = "a network";
    if !text.contains('/') {
        return Err(match text.parse::<IpAddr>() {
            Ok(ip) => invalid(text, WHAT, "the prefix length is missing")
                .hint(format!("write `{}` for this one host", IpNet::from(ip))),
            Err(_) => invalid(text, WHAT, why_no_ip(text)).hint("write it like `10.1.0.0/16` or `2001:db8::/32`"),
        });
    }
    let net = net(text, WHAT)?;
    if net.addr() != net.network() {
        return Err(invalid(text, WHAT, "it has bits beyond its prefix").hint(format!("write `{}`", net.trunc())));
    }
    Ok(net)
}

/// What an address or a network covers, host bits or not; an address covers itself. `None` for names and masks in dots.
#[must_use]
pub fn covered(text: &str) -> Option<IpNet> {
    let host = || text.parse().ok().map(|ip: IpAddr| IpNet::from(ip));
    text.parse().ok().or_else(host).map(|net: IpNet| net.trunc())
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `default`, of the family that the gateway has.
    Default,
    /// A network.
    Net(IpNet),
}

/// Where a route leads: `default`, a [`network`], or a bare address for one host.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for anything else.
pub fn destination(text: &str) -> Result<Destination> {
    if text == "default" {
        return Ok(Destination::Default);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Destination::Net(IpNet::from(ip)));
    }
    network(text).map(Destination::Net).map_err(|error| suggest::with_nearest(error, text, ["default"]))
}

/// A MAC address that a link can have, in lower case: `02:00:00:00:00:01`.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for anything else, also for multicast addresses and zero, which the kernel refuses.
pub fn mac(text: &str) -> Result<String> {
    const WHAT: &str = "a MAC address for a link";
    let lower = any_mac(text)?;
    if lower == "00:00:00:00:00:00" {
        return Err(invalid(text, WHAT, "it is zero").hint(MAC_HINT));
    }
    if u8::from_str_radix(&lower[..2], 16).is_ok_and(|first| first & 1 == 1) {
        return Err(invalid(text, WHAT, "it is a multicast address (its first byte is odd)").hint(MAC_HINT));
    }
    Ok(lower)
}

/// Any MAC address: also that of a group, or the one of all zeros by which a VXLAN sends to all.
///
/// # Errors
///
/// [`Kind::InvalidArgument`] for what is none.
pub fn any_mac(text: &str) -> Result<String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Ok(text.to_ascii_lowercase());
    }
    let why = "it needs six pairs of hexadecimal digits, joined by `:`";
    Err(invalid(text, "a MAC address for a link", why).hint(MAC_HINT))
}

const MAC_HINT: &str = "write it like `02:00:00:00:00:01`; `02` at the start says that you chose it";

/// `ADDRESS/PREFIX`, spelled in full.
fn net(text: &str, what: &str) -> Result<IpNet> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let example = "write it like `10.0.0.1/24` or `2001:db8::1/64`";
    let ip: IpAddr = address.parse().map_err(|_| invalid(text, what, why_no_ip(address)).hint(example))?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let canonical = prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
    let length = prefix.parse::<u8>().ok().filter(|length| canonical && *length <= max);
    length.and_then(|length| IpNet::new(ip, length).ok()).ok_or_else(|| {
        let usual = if ip.is_ipv4() { 24 } else { 64 };
        invalid(text, what, &format!("the prefix length is a number from 0 to {max}"))
            .hint(format!("write `{ip}/{usual}`"))
    })
}

/// The likeliest reason why `text` is no address.
fn why_no_ip(text: &str) -> &'static str {
    let numeric = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let parts = || text.split('.');
    if text.is_empty() {
        "it is empty"
    } else if text.chars().any(char::is_whitespace) {
        "it has spaces"
    } else if text.contains('%') {
        "an address with a zone (`%`) is not accepted; the link is named separately"
    } else if numeric && parts().count() != 4 {
        "an IPv4 address has four numbers"
    } else if numeric && parts().any(str::is_empty) {
        "one of its numbers is missing"
    } else if numeric && parts().any(|part| part.len() > 1 && part.starts_with('0')) {
        "a number starts with 0, which some tools read as octal"
    } else if numeric {
        TOO_LARGE
    } else {
        "it is neither IPv4 nor IPv6"
    }
}

/// An address with its prefix, and the arithmetic that scripts do with it. `10.0.0.1/24` keeps its host part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr(pub IpNet);

impl Cidr {
    /// The `index`th address of the network, with the prefix: host 1 of `10.0.0.0/24` is `10.0.0.1/24`. Host 0 is the network itself.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidArgument`] when the network has no such address.
    pub fn host(&self, index: i128) -> Result<Self> {
        let bits = self.0.max_prefix_len() - self.0.prefix_len();
        let last = if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 };
        let offset = u128::try_from(index).ok().filter(|offset| *offset <= last).ok_or_else(|| {
            Error::new(Kind::InvalidArgument, format!("`{}` has no host {index}", self.network()))
                .hint(format!("its addresses are numbered from 0 to {last}"))
        })?;
        // Within the network, so that neither the sum nor the narrowing can overflow.
        let ip = match self.0.network() {
            IpAddr::V4(ip) => {
                IpAddr::V4(Ipv4Addr::from(ip.to_bits().wrapping_add(u32::try_from(offset).unwrap_or(u32::MAX))))
            }
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(ip.to_bits().wrapping_add(offset))),
        };
        Ok(Self(IpNet::new_assert(ip, self.0.prefix_len())))
    }

    /// The network without host bits: `10.0.0.0/24`.
    #[must_use]
    pub fn network(&self) -> Self {
        Self(self.0.trunc())
    }

    /// Length of the prefix.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.0.prefix_len()
    }

    /// The address without its prefix.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.0.addr()
    }

    /// Whether the network holds an address or a whole network: `10.0.0.7`, `10.0.0.0/25`, `10.0.0.7/24`.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidArgument`] when `other` is neither.
    pub fn contains(&self, other: &str) -> Result<bool> {
        let other = if other.contains('/') { net(other, "an address or a network")? } else { IpNet::from(ip(other)?) };
        Ok(self.0.trunc().contains(&other.trunc()))
    }

    /// The subnets of the network with the given, longer prefix.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidArgument`] when the prefix is shorter or too long, or there would be more than [`SUBNETS_MAX`].
    pub fn subnets(&self, prefix: i64) -> Result<Vec<Self>> {
        let (have, max) = (self.0.prefix_len(), self.0.max_prefix_len());
        let Some(length) = u8::try_from(prefix).ok().filter(|length| (have..=max).contains(length)) else {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("`{}` has no subnets of length {prefix}", self.network()),
            )
            .hint(format!("the length goes from {have} to {max}")));
        };
        if u32::from(length - have) > SUBNETS_MAX.ilog2() {
            let most = u32::from(have) + SUBNETS_MAX.ilog2();
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("`{}` has more than {SUBNETS_MAX} subnets of length {prefix}", self.network()),
            )
            .hint(format!("take a length up to {most}, and subnets of subnets")));
        }
        let subnets = self.0.trunc().subnets(length).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        Ok(subnets.map(Self).collect())
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('/') {
            let ip = ip(text)?;
            let usual = if ip.is_ipv4() { 24 } else { 64 };
            return Err(
                invalid(text, "a network", "the prefix length is missing").hint(format!("write `{ip}/{usual}`"))
            );
        }
        net(text, "a network").map(Self)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
