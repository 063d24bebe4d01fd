//! What a probe is aimed at and what a listener listens on, as text: `10.0.0.2`, `tcp/10.0.0.2:80`, `udp/[2001:db8::2]:53`, `tcp/8080`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::{Error, Kind, Result};

/// How to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proto {
    /// ICMP echo, of the address's family.
    Icmp,
    /// A TCP connection.
    Tcp,
    /// A UDP datagram.
    Udp,
}

impl Proto {
    /// `icmp`, `tcp`, `udp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a probe is aimed at.
///
/// ```
/// # use netwright::probe::Target;
/// for text in ["10.0.0.2", "2001:db8::2", "fe80::1%eth0", "tcp/10.0.0.2:80", "udp/[2001:db8::2]:53"] {
///     assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How to probe.
    pub proto: Proto,
    /// The address.
    pub addr: IpAddr,
    /// The port; 0 for ICMP.
    pub port: u16,
    /// The link that a link-local IPv6 address belongs to: `eth0` in `fe80::1%eth0`.
    pub zone: Option<String>,
}

impl Target {
    /// An ICMP target.
    #[must_use]
    pub fn icmp(addr: IpAddr) -> Self {
        Self { proto: Proto::Icmp, addr, port: 0, zone: None }
    }

    /// A TCP target.
    #[must_use]
    pub fn tcp(addr: IpAddr, port: u16) -> Self {
        Self { proto: Proto::Tcp, addr, port, zone: None }
    }

    /// A UDP target.
    #[must_use]
    pub fn udp(addr: IpAddr, port: u16) -> Self {
        Self { proto: Proto::Udp, addr, port, zone: None }
    }
}

/// `addr%zone`.
struct Zoned<'a>(IpAddr, Option<&'a str>);

impl fmt::Display for Zoned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(zone) => write!(f, "{}%{zone}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `addr:port`, with brackets around an IPv6 address.
fn fmt_at(f: &mut fmt::Formatter<'_>, addr: IpAddr, zone: Option<&str>, port: u16) -> fmt::Result {
    match addr {
        IpAddr::V4(_) => write!(f, "{addr}:{port}"),
        IpAddr::V6(_) => write!(f, "[{}]:{port}", Zoned(addr, zone)),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.proto == Proto::Icmp {
            return Zoned(self.addr, self.zone.as_deref()).fmt(f);
        }
        write!(f, "{}/", self.proto)?;
        fmt_at(f, self.addr, self.zone.as_deref(), self.port)
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        target(text).map_err(|(why, hint)| bad(text, "probe target", &why, hint))
    }
}

/// A target by the name of a namespace: `web`, `tcp/web:80`. Whose name it is, and which address it has, the session knows.
///
/// ```
/// # use netwright::probe::{Named, Proto};
/// let web: Named = "tcp/web:80".parse().unwrap();
/// assert_eq!((web.name.as_str(), web.service), ("web", Some((Proto::Tcp, 80))));
/// assert!(!Named::is_meant("10.0.0.2") && !Named::is_meant("web.example"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The port that is probed; none: it is pinged.
    pub service: Option<(Proto, u16)>,
}

impl Named {
    /// Whether a text speaks of a namespace and not of an address: a name begins with a letter, and has no dot here, for then it would be taken for one
    /// that a name server knows.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let bare = ["tcp/", "udp/"].iter().find_map(|proto| text.strip_prefix(proto));
        let name = match bare {
            Some(rest) => rest.split_once(':').map_or(rest, |(name, _)| name),
            None => text,
        };
        let more_colons = bare.is_some_and(|rest| rest.matches(':').count() > 1);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && !more_colons
            && !name.contains(|c: char| matches!(c, '.' | ':' | '/' | '%' | '[') || c.is_whitespace() || c.is_control())
    }
}

impl FromStr for Named {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        named(text).map_err(|(why, hint)| bad(text, "probe target", &why, hint))
    }
}

/// What a listener listens on.
///
/// ```
/// # use netwright::probe::Endpoint;
/// for text in ["tcp/8080", "udp/53", "tcp/10.0.0.1:8080", "tcp/[::1]:8080"] {
///     assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// TCP or UDP.
    pub proto: Proto,
    /// The address; `None` listens on all addresses of both families.
    pub addr: Option<IpAddr>,
    /// The port; 0 (only from code, not from text) lets the kernel choose.
    pub port: u16,
    /// The link that a link-local IPv6 address belongs to.
    pub zone: Option<String>,
}

impl Endpoint {
    /// All addresses at `port`.
    #[must_use]
    pub fn any(proto: Proto, port: u16) -> Self {
        Self { proto, addr: None, port, zone: None }
    }

    /// One address at one port.
    #[must_use]
    pub fn at(proto: Proto, at: SocketAddr) -> Self {
        Self { proto, addr: Some(at.ip()), port: at.port(), zone: None }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.proto)?;
        match self.addr {
            None => write!(f, "{}", self.port),
            Some(addr) => fmt_at(f, addr, self.zone.as_deref(), self.port),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        endpoint(text).map_err(|(why, hint)| bad(text, "listener", &why, hint))
    }
}

/// What is wrong, and the way out.
type Wrong = (String, String);

fn bad(text: &str, what: &str, why: &str, hint: String) -> Error {
    Error::new(Kind::InvalidArgument, format!("`{}` is no {what}: {why}", shown(text))).hint(hint)
}

/// `text` in an error: control characters escaped, and not a megabyte of it.
fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

fn wrong<T>(why: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((why.into(), hint.into()))
}

const SHAPES: &str = "a target is `10.0.0.2` (ping), `tcp/10.0.0.2:80` or `udp/[2001:db8::2]:53`";
const ENDPOINTS: &str = "a listener is `tcp/8080`, `udp/53`, `tcp/10.0.0.1:8080` or `tcp/[2001:db8::1]:8080`";

fn target(text: &str) -> Result<Target, Wrong> {
    plain(text, SHAPES)?;
    let Some((proto, rest)) = text.split_once('/') else {
        return icmp(text);
    };
    if proto.ends_with(':') && rest.starts_with('/') {
        return icmp(text);
    }
    if proto == "icmp" {
        return icmp(rest);
    }
    let proto = protocol(proto, rest, SHAPES)?;
    if rest.is_empty() || !rest.contains(['.', ':', '[']) && rest.parse::<u64>().is_ok() {
        let port = if rest.is_empty() { "80" } else { rest };
        return wrong(
            "it names no address",
            format!("put the address before the port: `{proto}/10.0.0.2:{port}` or `{proto}/[2001:db8::2]:{port}`"),
        );
    }
    let (addr, zone, port) = address_port(proto, rest)?;
    if addr.is_unspecified() {
        return wrong(
            format!("`{addr}` means any address"),
            "name the address to reach; `127.0.0.1` or `::1` is the namespace itself",
        );
    }
    Ok(Target { proto, addr, port, zone })
}

fn named(text: &str) -> Result<Named, Wrong> {
    plain(text, SHAPES)?;
    let Some((proto, rest)) = text.split_once('/') else {
        return Ok(Named { name: text.to_owned(), service: None });
    };
    let proto = protocol(proto, rest, SHAPES)?;
    let Some((name, number)) = rest.split_once(':') else {
        return wrong("it has no port", format!("write `{proto}/{rest}:80`"));
    };
    Ok(Named { name: name.to_owned(), service: Some((proto, port(number)?)) })
}

fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    plain(text, ENDPOINTS)?;
    let Some((proto, rest)) = text.split_once('/') else {
        if text.parse::<u16>().is_ok() {
            return wrong("it names no protocol", format!("write `tcp/{text}` or `udp/{text}`"));
        }
        return wrong("it names no protocol and port", ENDPOINTS);
    };
    let proto = protocol(proto, rest, ENDPOINTS)?;
    if rest.is_empty() {
        return wrong("it names no port", ENDPOINTS);
    }
    if !rest.contains(['.', ':', '[']) {
        return Ok(Endpoint::any(proto, port(rest)?));
    }
    let (addr, zone, port) = address_port(proto, rest)?;
    Ok(Endpoint { proto, addr: Some(addr).filter(|addr| !addr.is_unspecified()), port, zone })
}

/// Nothing empty, nothing with spaces or control characters.
fn plain(text: &str, shapes: &str) -> Result<(), Wrong> {
    if text.is_empty() {
        return wrong("it is empty", shapes);
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(' ') => wrong("it has a space in it", shapes),
        Some(c) => wrong(format!("it has the character `{}` in it", c.escape_debug()), shapes),
        None => Ok(()),
    }
}

fn icmp(text: &str) -> Result<Target, Wrong> {
    if let Some(inner) = text.strip_prefix('[') {
        let (addr, rest) = inner.split_once(']').unwrap_or((inner, ""));
        return match rest.strip_prefix(':') {
            Some(port) => {
                wrong("it has a port and no protocol", format!("write `tcp/[{addr}]:{port}` or `udp/[{addr}]:{port}`"))
            }
            None => wrong("brackets are only for an address with a port", format!("write `{addr}`")),
        };
    }
    for proto in ["tcp", "udp"] {
        if let Some(rest) = text.strip_prefix(proto).and_then(|rest| rest.strip_prefix(':')) {
            let rest = rest.trim_start_matches('/');
            return wrong(
                format!("`{proto}` and the address are joined by a slash"),
                format!("write `{proto}/{rest}`"),
            );
        }
    }
    if let Some((addr, port)) = text.split_once(':')
        && !port.contains(':')
        && (addr.contains('.') || addr.parse::<IpAddr>().is_ok())
    {
        return wrong("it has a port and no protocol", format!("write `tcp/{addr}:{port}` or `udp/{addr}:{port}`"));
    }
    let (addr, zone) = address(text)?;
    if addr.is_unspecified() {
        return wrong(
            "it means any address",
            "name the address to reach; `127.0.0.1` or `::1` is the namespace itself",
        );
    }
    Ok(Target { zone, ..Target::icmp(addr) })
}

fn protocol(text: &str, rest: &str, shapes: &str) -> Result<Proto, Wrong> {
    match text {
        "tcp" => Ok(Proto::Tcp),
        "udp" => Ok(Proto::Udp),
        "" => wrong("it names no protocol before the slash", shapes),
        _ if text.parse::<IpAddr>().is_ok() => wrong(
            format!("`/{rest}` makes it a network, not one address"),
            format!("write the address alone (`{text}`), or a protocol first: `tcp/{text}:80`"),
        ),
        _ => {
            let lower = text.to_lowercase();
            if lower == "tcp" || lower == "udp" {
                return wrong(format!("protocols are written small, not `{text}`"), format!("write `{lower}/{rest}`"));
            }
            let what = format!("`{text}` is not a protocol that can be probed");
            match ["tcp", "udp"].into_iter().find(|near| strsim::damerau_levenshtein(&lower, near) == 1) {
                Some(near) => wrong(what, format!("did you mean `{near}/{rest}`?")),
                None => wrong(what, shapes),
            }
        }
    }
}

/// `10.0.0.2:80`, `[2001:db8::2]:80`.
fn address_port(proto: Proto, text: &str) -> Result<(IpAddr, Option<String>, u16), Wrong> {
    if let Some(inner) = text.strip_prefix('[') {
        let Some((addr, rest)) = inner.split_once(']') else {
            return wrong("the bracket is not closed", format!("write `{proto}/[2001:db8::2]:80`"));
        };
        if addr.parse::<std::net::Ipv4Addr>().is_ok() {
            return wrong("brackets are for IPv6 addresses", format!("write `{proto}/{addr}{rest}`"));
        }
        let (ip, zone) = address(addr)?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((ip, zone, port(text)?)),
            None if rest.is_empty() => wrong("it has no port", format!("write `{proto}/[{addr}]:80`")),
            None => wrong(format!("`{rest}` after the bracket is not a port"), format!("write `{proto}/[{addr}]:80`")),
        };
    }
    if text.matches(':').count() > 1 {
        let whole = address(text).ok();
        let split = text.rsplit_once(':').filter(|(addr, port)| address(addr).is_ok() && port.parse::<u16>().is_ok());
        return match (whole, split) {
            (_, Some((addr, port))) => {
                wrong("an IPv6 address with a port needs brackets", format!("write `{proto}/[{addr}]:{port}`"))
            }
            (Some(_), None) => {
                wrong("it has no port, and an IPv6 address needs brackets", format!("write `{proto}/[{text}]:80`"))
            }
            (None, None) => {
                wrong(format!("`{text}` is not an address and a port"), format!("write `{proto}/[2001:db8::2]:80`"))
            }
        };
    }
    let Some((addr, number)) = text.split_once(':') else {
        address(text)?;
        return wrong("it has no port", format!("write `{proto}/{text}:80`"));
    };
    if addr.is_empty() {
        return wrong("it names no address before the port", format!("write `{proto}/10.0.0.2:{number}`"));
    }
    let (ip, zone) = address(addr)?;
    Ok((ip, zone, port(number)?))
}

fn port(text: &str) -> Result<u16, Wrong> {
    let hint = "ports go from 1 to 65535";
    if text.is_empty() {
        return wrong("the port is missing", hint);
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(format!("`{text}` is not a port number"), hint);
    }
    match text.parse::<u16>() {
        Ok(0) => wrong("port 0 cannot be probed or listened on", hint),
        Ok(_) if text.starts_with('0') => {
            wrong(format!("the port `{text}` has a leading zero"), format!("write `{}`", text.trim_start_matches('0')))
        }
        Ok(port) => Ok(port),
        Err(_) => wrong(format!("port {text} is too large"), hint),
    }
}

/// An address, perhaps with a zone. An IPv4-mapped IPv6 address is the IPv4 address: that is what would be on the wire.
fn address(text: &str) -> Result<(IpAddr, Option<String>), Wrong> {
    if let Some((addr, zone)) = text.split_once('%') {
        let Ok(IpAddr::V6(ip)) = addr.parse() else {
            return wrong("only an IPv6 address can have a `%link`", format!("write `{addr}`"));
        };
        let good =
            (1..=15).contains(&zone.len()) && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b));
        if !good {
            return wrong(
                format!("`{zone}` is not the name of a link"),
                "after `%` stands the link, as in `fe80::1%eth0`",
            );
        }
        return Ok((ip.into(), Some(zone.to_owned())));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
            wrong(format!("`{ip}` is link-local and does not say on which link"), format!("write `{ip}%eth0`"))
        }
        Ok(ip) => Ok((ip.to_canonical(), None)),
        Err(_) => Err(no_address(text)),
    }
}

/// Why `text` is not an address.
fn no_address(text: &str) -> Wrong {
    let v4 = "an IPv4 address is four numbers from 0 to 255, as in `10.0.0.2`";
    if text.is_empty() {
        return ("the address is missing".into(), v4.into());
    }
    if text.contains(':') {
        return (format!("`{text}` is not an IPv6 address"), "an IPv6 address looks like `2001:db8::2`".into());
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() != 4 || parts.contains(&"") {
            let count = parts.iter().filter(|part| !part.is_empty()).count();
            return (
                format!("`{text}` has {count} number{}, an IPv4 address has four", if count == 1 { "" } else { "s" }),
                v4.into(),
            );
        }
        if let Some(part) = parts.iter().find(|part| part.len() > 1 && part.starts_with('0')) {
            let clean: Vec<String> = parts.iter().map(|part| part.parse().unwrap_or(0u64).to_string()).collect();
            return (
                format!("`{part}` has a leading zero, which some programs read as octal"),
                format!("write `{}`", clean.join(".")),
            );
        }
        if let Some(part) = parts.iter().find(|part| part.parse::<u8>().is_err()) {
            return (format!("`{part}` is more than 255"), v4.into());
        }
    }
    (
        format!("`{text}` is a name, not an address"),
        "probes take addresses, so that no name server decides what is tested; give the address, or a namespace".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn why(text: &str) -> String {
        let error = text.parse::<Target>().unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        format!("{error} | {}", error.parts().hints.join(" | "))
    }

    #[test]
    fn targets_read_and_write() {
        let target: Target = "udp/[fe80::2%veth-a]:53".parse().unwrap();
        assert_eq!((target.proto, target.port, target.zone.as_deref()), (Proto::Udp, 53, Some("veth-a")));
        assert_eq!(target.to_string(), "udp/[fe80::2%veth-a]:53");
        assert_eq!("icmp/10.0.0.2".parse::<Target>().unwrap().to_string(), "10.0.0.2");
        assert_eq!("tcp/[::ffff:10.0.0.2]:80".parse::<Target>().unwrap().to_string(), "tcp/10.0.0.2:80");
    }

    #[test]
    fn bad_targets_say_what_where_and_the_way_out() {
        for (text, expected) in [
            ("", "it is empty"),
            ("tcp/10.0.0.2", "it has no port | write `tcp/10.0.0.2:80`"),
            ("tcp/10.0.0.2:", "the port is missing"),
            ("tcp/2001:db8::2:80", "needs brackets | write `tcp/[2001:db8::2]:80`"),
            ("tcp/2001:db8::2", "brackets | write `tcp/["),
            ("tcp/[2001:db8::2]", "it has no port | write `tcp/[2001:db8::2]:80`"),
            ("tcp/[2001:db8::2", "the bracket is not closed"),
            ("tcp/[2001:db8::2]80", "`80` after the bracket is not a port"),
            ("tcp/[10.0.0.2]:80", "brackets are for IPv6 addresses | write `tcp/10.0.0.2:80`"),
            ("tcp/10.0.0.2:0", "port 0 cannot be probed"),
            ("tcp/10.0.0.2:65536", "port 65536 is too large | ports go from 1 to 65535"),
            ("tcp/10.0.0.2:-1", "`-1` is not a port number"),
            ("tcp/10.0.0.2:+80", "`+80` is not a port number"),
            ("tcp/10.0.0.2:http", "`http` is not a port number"),
            ("tcp/10.0.0.2:080", "leading zero | write `80`"),
            ("tcp/80", "it names no address | put the address before the port: `tcp/10.0.0.2:80`"),
            ("tcp/", "it names no address"),
            ("tcp/:80", "it names no address before the port"),
            ("sctp/10.0.0.2:80", "`sctp` is not a protocol that can be probed"),
            ("TCP/10.0.0.2:80", "written small, not `TCP` | write `tcp/10.0.0.2:80`"),
            ("tcp:10.0.0.2:80", "joined by a slash | write `tcp/10.0.0.2:80`"),
            ("tcp://10.0.0.2:80", "joined by a slash | write `tcp/10.0.0.2:80`"),
            ("/10.0.0.2:80", "it names no protocol before the slash"),
            ("10.0.0.2:80", "it has a port and no protocol | write `tcp/10.0.0.2:80`"),
            ("[2001:db8::2]:80", "it has a port and no protocol | write `tcp/[2001:db8::2]:80`"),
            ("[2001:db8::2]", "brackets are only for an address with a port | write `2001:db8::2`"),
            ("10.0.0.0/24", "`/24` makes it a network, not one address"),
            ("1.2.3", "`1.2.3` has 3 numbers, an IPv4 address has four"),
            ("1.2.3.4.5", "has 5 numbers"),
            ("7", "has 1 number,"),
            ("10.0.0.010", "`010` has a leading zero, which some programs read as octal | write `10.0.0.10`"),
            ("10.0.0.256", "`256` is more than 255"),
            ("300.0.0.1", "`300` is more than 255"),
            ("99999999999999999999999.0.0.1", "is more than 255"),
            ("web.example", "`web.example` is a name, not an address"),
            ("tcp/web:80", "`web` is a name, not an address"),
            ("2001:db8::g", "is not an IPv6 address"),
            ("fe80::1", "link-local and does not say on which link | write `fe80::1%eth0`"),
            ("fe80::1%", "`` is not the name of a link"),
            ("10.0.0.1%eth0", "only an IPv6 address can have a `%link`"),
            ("0.0.0.0", "it means any address"),
            ("tcp/[::]:80", "`::` means any address"),
            ("10.0.0.2 ", "it has a space in it"),
            ("10.0.0.2\n", "it has the character `\\n` in it"),
        ] {
            let got = why(text);
            assert!(got.contains(expected), "{text:?}: {got}");
            assert!(got.starts_with(&format!("`{}` is no probe target: ", text.escape_debug())), "{got}");
        }
    }

    #[test]
    fn a_name_is_told_from_an_address_that_is_wrong() {
        let name = |text: &str| text.parse::<Named>().map(|named| (named.name, named.service));
        assert_eq!(name("web").unwrap(), ("web".to_owned(), None));
        assert_eq!(name("udp/ns-blue:53").unwrap(), ("ns-blue".to_owned(), Some((Proto::Udp, 53))));
        for meant in ["web", "ns_1", "tcp/web:80", "tcp/web", "tcp/web:http", "beef"] {
            assert!(Named::is_meant(meant), "{meant}");
        }
        for other in [
            "10.0.0.300",
            "beef::1",
            "tcp/beef::1",
            "tcp/[::1]:80",
            "web.example",
            "sctp/web:80",
            "tcp/80",
            "7",
            "",
            "tcp:web",
        ] {
            assert!(!Named::is_meant(other), "{other}");
        }
        for (text, expected) in [
            ("tcp/web", "it has no port | write `tcp/web:80`"),
            ("tcp/web:http", "`http` is not a port number"),
            ("tcp/web:0", "port 0"),
        ] {
            let error = text.parse::<Named>().unwrap_err();
            let got = format!("{error} | {}", error.parts().hints.join(" | "));
            assert!(got.contains(expected), "{text}: {got}");
        }
    }

    #[test]
    fn endpoints_read_and_write() {
        assert_eq!("tcp/0.0.0.0:80".parse::<Endpoint>().unwrap(), Endpoint::any(Proto::Tcp, 80));
        assert_eq!("tcp/[fe80::1%eth0]:80".parse::<Endpoint>().unwrap().to_string(), "tcp/[fe80::1%eth0]:80");
        for (text, expected) in [
            ("8080", "it names no protocol"),
            ("tcp", "it names no protocol and port"),
            ("tcp/", "it names no port"),
            ("tcp/0", "port 0"),
            ("tcp/70000", "too large"),
            ("tcp/http", "`http` is not a port number"),
            ("icmp/80", "`icmp` is not a protocol"),
            ("tcp/10.0.0.1", "it has no port"),
            ("tcp/::1:80", "needs brackets"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains(expected), "{text:?}: {error}");
            assert!(!error.parts().hints.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", near in "(tcp|udp|icmp)?[/:]?[\\[\\]0-9a-f.:%é]{0,30}") {
            for text in [text, near] {
                if let Ok(target) = text.parse::<Target>() {
                    prop_assert_eq!(&target.to_string().parse::<Target>().unwrap(), &target);
                }
                if let Ok(endpoint) = text.parse::<Endpoint>() {
                    prop_assert_eq!(&endpoint.to_string().parse::<Endpoint>().unwrap(), &endpoint);
                }
            }
        }
    }
}
