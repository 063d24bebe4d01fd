//! Names and values of sysctls.

use std::fmt;

use crate::{Error, Kind, Result};

/// A valid name of a sysctl, in either spelling.
///
/// As in sysctl(8), the first separator decides which spelling it is; in the dotted one a dot that belongs to a link's name is written as a slash:
/// `net.ipv4.conf.eth0/100.forwarding` is `net/ipv4/conf/eth0.100/forwarding`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    slashed: String,
}

impl Name {
    /// Reads a name in either spelling.
    ///
    /// # Errors
    ///
    /// [`Kind::InvalidArgument`] unless it is at least two parts of letters, digits, `_`, `-` and `.`, joined by dots or slashes.
    pub fn parse(text: &str) -> Result<Self> {
        let fail = |rule: &str| {
            Err(Error::new(
                Kind::InvalidArgument,
                format!("`{}` is not the name of a sysctl: {rule}", super::json::snippet(text)),
            )
            .hint("names look like `net.ipv4.ip_forward` or `net/ipv4/conf/eth0.100/forwarding`"))
        };
        if text.is_empty() {
            return fail("it is empty");
        }
        if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-/".contains(*c))) {
            return fail(&format!("it has the character {odd:?}; letters, digits and `. _ - /` are allowed"));
        }
        if text.starts_with('-') {
            return fail("it starts with `-`");
        }
        let slashed = match text.find(['.', '/']) {
            None => return fail("it has one part only"),
            Some(at) if text[at..].starts_with('/') => text.to_owned(),
            Some(_) => swap(text),
        };
        for part in slashed.split('/') {
            if part.is_empty() {
                return fail("a part of it is empty");
            }
            if part.chars().all(|c| c == '.') {
                return fail("a part of it is only dots");
            }
        }
        Ok(Self { slashed })
    }

    /// The path below `/proc/sys`: `net/ipv4/conf/eth0.100/forwarding`.
    #[must_use]
    pub fn slashed(&self) -> &str {
        &self.slashed
    }

    /// The spelling for `sysctl`: `net.ipv4.conf.eth0/100.forwarding`.
    #[must_use]
    pub fn dotted(&self) -> String {
        swap(&self.slashed)
    }
}

/// Settings that scripts often name (`Documentation/networking/ip-sysctl.rst` of Linux); `all` stands for any link.
const WELL_KNOWN: [&str; 36] = [
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.core.default_qdisc",
    "net.core.somaxconn",
    "net.ipv4.conf.all.accept_local",
    "net.ipv4.conf.all.accept_redirects",
    "net.ipv4.conf.all.arp_announce",
    "net.ipv4.conf.all.arp_filter",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.log_martians",
    "net.ipv4.conf.all.proxy_arp",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.send_redirects",
    "net.ipv4.fib_multipath_hash_policy",
    "net.ipv4.icmp_echo_ignore_all",
    "net.ipv4.icmp_echo_ignore_broadcasts",
    "net.ipv4.ip_default_ttl",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_syncookies",
    "net.ipv6.bindv6only",
    "net.ipv6.conf.all.accept_dad",
    "net.ipv6.conf.all.accept_ra",
    "net.ipv6.conf.all.autoconf",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.all.proxy_ndp",
    "net.netfilter.nf_conntrack_max",
];

impl Name {
    /// The well-known setting that is meant where one part of the name is nearly right and all others are; `None` for the name itself.
    #[must_use]
    pub fn well_known(&self) -> Option<String> {
        let mine: Vec<&str> = self.slashed.split('/').collect();
        // The name of a link may be anything.
        let is_link = |at: usize| at == 3 && matches!(mine.get(2), Some(&("conf" | "neigh")));
        let same = |at: usize, part: &str| is_link(at) || mine.get(at) == Some(&part);
        let all = WELL_KNOWN.iter().map(|known| known.split('.').collect::<Vec<_>>());
        let near: Vec<Vec<&str>> = all.filter(|known| known.len() == mine.len()).collect();
        if near.iter().any(|known| known.iter().enumerate().all(|(at, part)| same(at, part))) {
            return None;
        }
        near.iter().find_map(|known| {
            let other: Vec<usize> = (0..known.len()).filter(|at| !same(*at, known[*at])).collect();
            let [at] = other.as_slice() else { return None };
            super::suggest::nearest(mine[*at], [known[*at]])?;
            let parts = (0..known.len()).map(|at| if is_link(at) { mine[at] } else { known[at] });
            Some(Self { slashed: parts.collect::<Vec<_>>().join("/") }.dotted())
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dotted())
    }
}

fn swap(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        })
        .collect()
}

/// A value as people write it: without the final newline, and with one space where the kernel prints tabs (`4096\t131072\t6291456`).
/// The lines of a value with several lines stay apart.
#[must_use]
pub fn parse_value(text: &str) -> String {
    text.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

/// Whether two values mean the same: word by word, numbers by value (`01` is `1`).
#[must_use]
pub fn values_equal(a: &str, b: &str) -> bool {
    let same =
        |(x, y): (&str, &str)| x == y || matches!((x.parse::<i128>(), y.parse::<i128>()), (Ok(x), Ok(y)) if x == y);
    let (a, b): (Vec<_>, Vec<_>) = (a.split_whitespace().collect(), b.split_whitespace().collect());
    a.len() == b.len() && a.into_iter().zip(b).all(same)
}
