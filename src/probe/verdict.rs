//! What came of a probe. Three values: reached, not reached with the kernel's reason, inconclusive.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::packet::{ExtendedError, Origin};
use super::sys;
use crate::patience::scaled;

/// No neighbour that is asked for now is given up within this time.
const FRESH: Duration = Duration::from_millis(900);

/// Why something was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing listens there: a TCP reset, or ICMP port unreachable.
    Refused,
    /// No answer in time.
    Timeout,
    /// No route to the network (`ENETUNREACH`).
    Unreachable,
    /// A route, but no way to the host (`EHOSTUNREACH`): no neighbour answers, or an `unreachable` route.
    HostUnreachable,
    /// A `blackhole` route of the sender's own (`EINVAL`).
    Blackhole,
    /// A firewall or a `prohibit` route said no (`EACCES`, `EPERM`, ICMP "administratively prohibited").
    Prohibited,
    /// An open connection was reset.
    Reset,
    /// The packet is larger than the path takes.
    TooBig,
    /// The packet ran out of hops.
    TtlExceeded,
    /// No address to send from (`EADDRNOTAVAIL`).
    NoSourceAddress,
    /// The link is down (`ENETDOWN`).
    LinkDown,
    /// The probe was told to stop.
    Cancelled,
    /// An errno or ICMP message that has no name here; [`NotReached::errno`] has the number.
    Other,
}

impl Reason {
    /// The word that scripts compare with: `refused`, `timeout`, `unreachable`, `prohibited`, `reset`, `too-big`, `ttl-exceeded`,
    /// `no-source-address`, `link-down`, `cancelled`, `failed`. All the ways of having no way are `unreachable`; [`Reason::name`] tells them apart.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::HostUnreachable | Self::Blackhole => "unreachable",
            other => other.name(),
        }
    }

    /// The exact name, stable: as [`Reason::word`], and `host-unreachable`, `blackhole`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::HostUnreachable => "host-unreachable",
            Self::Blackhole => "blackhole",
            Self::Prohibited => "prohibited",
            Self::Reset => "reset",
            Self::TooBig => "too-big",
            Self::TtlExceeded => "ttl-exceeded",
            Self::NoSourceAddress => "no-source-address",
            Self::LinkDown => "link-down",
            Self::Cancelled => "cancelled",
            Self::Other => "failed",
        }
    }

    /// What an errno means for a probe.
    pub(super) fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNREFUSED | libc::ENOPROTOOPT => Self::Refused,
            libc::ETIMEDOUT => Self::Timeout,
            libc::ENETUNREACH => Self::Unreachable,
            libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENONET => Self::HostUnreachable,
            // fib_props[] and ip6_dst_error: a blackhole route is EINVAL, a prohibit route EACCES.
            libc::EINVAL => Self::Blackhole,
            libc::EACCES | libc::EPERM => Self::Prohibited,
            libc::ECONNRESET | libc::EPIPE => Self::Reset,
            libc::EMSGSIZE => Self::TooBig,
            libc::EADDRNOTAVAIL => Self::NoSourceAddress,
            libc::ENETDOWN => Self::LinkDown,
            _ => Self::Other,
        }
    }

    /// What an ICMP error means for a probe. The errno alone would not do: the kernel makes "prohibited" an `EHOSTUNREACH`.
    fn from_icmp(v6: bool, kind: u8, code: u8, errno: i32) -> Self {
        match (v6, kind, code) {
            (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => Self::Prohibited,
            (false, 3, 2 | 3) | (true, 1, 4) => Self::Refused,
            (false, 3, 0 | 6 | 11) | (true, 1, 0) => Self::Unreachable,
            (false, 3, 1 | 5 | 7 | 8 | 12 | 14 | 15) | (true, 1, 2 | 3) => Self::HostUnreachable,
            (false, 3, 4) | (true, 2, _) => Self::TooBig,
            (false, 11, _) | (true, 3, _) => Self::TtlExceeded,
            _ => Self::from_errno(errno),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an ICMP error says, in the words of the RFCs.
fn icmp_words(v6: bool, kind: u8, code: u8) -> &'static str {
    match (v6, kind, code) {
        (false, 3, 0) => "destination network unreachable",
        (false, 3, 1) => "destination host unreachable",
        (false, 3, 2) => "destination protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "destination port unreachable",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 5) => "source route failed",
        (false, 3, 6) => "destination network unknown",
        (false, 3, 7) => "destination host unknown",
        (false, 3, 8) => "source host isolated",
        (false, 3, 9) => "communication with the network administratively prohibited",
        (false, 3, 10) => "communication with the host administratively prohibited",
        (false, 3, 11) => "destination network unreachable for this type of service",
        (false, 3, 12) => "destination host unreachable for this type of service",
        (false, 3, 13) | (true, 1, 1) => "communication administratively prohibited",
        (false, 3, 14) => "host precedence violation",
        (false, 3, 15) => "precedence cutoff in effect",
        (false, 11, 0) | (true, 3, 0) => "hop limit exceeded in transit",
        (false, 11, _) | (true, 3, _) => "fragment reassembly time exceeded",
        (false, 12, _) | (true, 4, _) => "parameter problem",
        (true, 1, 0) => "no route to destination",
        (true, 1, 2) => "beyond scope of source address",
        (true, 1, 3) => "address unreachable",
        (true, 1, 5) => "source address failed ingress/egress policy",
        (true, 1, 6) => "reject route to destination",
        (true, 2, _) => "packet too big",
        _ => "an ICMP error",
    }
}

/// A probe that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// From sending to the answer.
    pub rtt: Duration,
    /// Who answered.
    pub from: IpAddr,
    /// The address of ours that it answered to.
    pub local: IpAddr,
}

/// A probe that the kernel, ours or another, said no to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReached {
    /// Why.
    pub reason: Reason,
    /// Who said so: the sender of the ICMP error or of the TCP reset. `None` when the sender's own kernel refused.
    pub by: Option<IpAddr>,
    /// Whether `by` is an address of the sender's own namespace: its kernel gave up on a neighbour.
    pub by_self: bool,
    /// The error number.
    pub errno: Option<i32>,
    /// Type and code of the ICMP error.
    pub icmp: Option<(u8, u8)>,
    /// The largest packet that would pass, where that was the reason.
    pub mtu: Option<u32>,
    /// How long after sending.
    pub after: Duration,
}

impl NotReached {
    /// A refusal by the sender's own kernel.
    pub(super) fn local(errno: i32, mtu: Option<u32>, after: Duration) -> Self {
        let reason = Reason::from_errno(errno);
        Self { reason, by: None, by_self: false, errno: Some(errno), icmp: None, mtu, after }
    }

    /// What an entry of the error queue says.
    pub(super) fn queued(error: &ExtendedError, after: Duration) -> Self {
        let v6 = error.origin == Origin::Icmp6;
        if !matches!(error.origin, Origin::Icmp | Origin::Icmp6) {
            return Self::local(error.errno, Some(error.info).filter(|_| error.errno == libc::EMSGSIZE), after);
        }
        let reason = Reason::from_icmp(v6, error.kind, error.code, error.errno);
        Self {
            reason,
            by: error.offender,
            by_self: error.offender.is_some_and(sys::is_own),
            errno: Some(error.errno),
            icmp: Some((error.kind, error.code)),
            mtu: Some(error.info).filter(|_| reason == Reason::TooBig),
            after,
        }
    }

    /// Whether somebody, this namespace or a router, gave up sooner than it could have asked for the neighbour: the kernel asks three times, a
    /// second apart (`mcast_solicit`, `retrans_time_ms`; arp(7)), and fails all that waits for a neighbour together. A packet before this one had
    /// begun it, perhaps when the network was another. A route that refuses says the same, and says it again.
    #[must_use]
    pub fn is_older(&self) -> bool {
        self.reason == Reason::HostUnreachable && self.after < scaled(FRESH)
    }

    /// What happened, as a sentence: `10.0.0.254 answered: destination host unreachable`.
    #[must_use]
    pub fn detail(&self) -> String {
        let by = self.by.map_or_else(|| "someone".to_owned(), |by| by.to_string());
        if let Some((kind, code)) = self.icmp {
            // The family of the answer is that of its sender; without one, type 3 tells (ICMPv6 type 3 is a time-out).
            let v6 = self.by.map_or(kind < 3, |by| by.is_ipv6());
            let words = icmp_words(v6, kind, code);
            let mtu = self.mtu.map(|mtu| format!(", the next link takes {mtu} bytes")).unwrap_or_default();
            if self.by_self && self.reason == Reason::HostUnreachable {
                return format!("no neighbour answered: {by}, this namespace itself, says {words}");
            }
            return format!("{by} answered: {words}{mtu}");
        }
        if self.by.is_some() {
            return format!("{by} answered with a TCP reset");
        }
        let name = self.errno.map(errno_name).unwrap_or_default();
        match self.reason {
            Reason::Unreachable => format!("this namespace has no route to it ({name})"),
            Reason::HostUnreachable => {
                format!("an `unreachable` route, or no neighbour that answers ({name})")
            }
            Reason::Blackhole => format!("a `blackhole` route of this namespace swallows it ({name})"),
            Reason::Prohibited if self.errno == Some(libc::EACCES) => {
                format!("a `prohibit` route of this namespace forbids it ({name})")
            }
            Reason::Prohibited => format!("this namespace's own firewall does not let it out ({name})"),
            Reason::NoSourceAddress => {
                format!("no address to send from; an IPv6 address may still be tentative ({name})")
            }
            Reason::LinkDown => format!("the link is down ({name})"),
            Reason::TooBig => match self.mtu {
                Some(mtu) => format!("the packet is larger than the {mtu} bytes that the path takes ({name})"),
                None => format!("the packet is larger than the path takes ({name})"),
            },
            _ => match self.errno {
                Some(errno) => format!("the kernel said: {}", std::io::Error::from_raw_os_error(errno)),
                None => self.reason.name().to_owned(),
            },
        }
    }
}

/// The symbol of an errno, for those that a probe meets.
fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::ENETUNREACH => "ENETUNREACH",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EINVAL => "EINVAL",
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETDOWN => "ENETDOWN",
        libc::EMSGSIZE => "EMSGSIZE",
        libc::EHOSTDOWN => "EHOSTDOWN",
        _ => return format!("errno {errno}"),
    };
    name.to_owned()
}

/// No answer and no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How long it was waited for.
    pub after: Duration,
    /// Whether the wait was cut short by the caller.
    pub cancelled: bool,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Reached(Reached),
    /// It was refused, by somebody with a reason.
    NotReached(NotReached),
    /// Nobody said anything. It may have arrived.
    Inconclusive(Silence),
}

impl Verdict {
    /// Whether it was answered.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        matches!(self, Self::Reached(_))
    }

    /// Whether there is proof that it was not reached.
    #[must_use]
    pub fn is_not_reached(&self) -> bool {
        matches!(self, Self::NotReached(_))
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_inconclusive(&self) -> bool {
        matches!(self, Self::Inconclusive(_))
    }

    /// As [`NotReached::is_older`].
    #[must_use]
    pub fn is_older(&self) -> bool {
        matches!(self, Self::NotReached(why) if why.is_older())
    }

    /// Why not, unless it was reached. Silence is [`Reason::Timeout`] or [`Reason::Cancelled`].
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Reached(_) => None,
            Self::NotReached(why) => Some(why.reason),
            Self::Inconclusive(silence) if silence.cancelled => Some(Reason::Cancelled),
            Self::Inconclusive(_) => Some(Reason::Timeout),
        }
    }

    /// `reached`, or the [`Reason::word`].
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.reason().map_or("reached", Reason::word)
    }

    /// What happened, as a sentence.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Reached(reached) => {
                format!("{} answered in {:.3} ms", reached.from, reached.rtt.as_secs_f64() * 1e3)
            }
            Self::NotReached(why) => why.detail(),
            Self::Inconclusive(silence) if silence.cancelled => "stopped before an answer came".to_owned(),
            Self::Inconclusive(silence) => format!("no answer within {:.0} ms", silence.after.as_secs_f64() * 1e3),
        }
    }

    /// How long the answer took.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        if let Self::Reached(reached) = self { Some(reached.rtt) } else { None }
    }

    /// Silence until the deadline.
    pub(super) fn timeout(after: Duration) -> Self {
        Self::Inconclusive(Silence { after, cancelled: false })
    }

    /// Silence until the caller had enough.
    pub(super) fn cancelled(after: Duration) -> Self {
        Self::Inconclusive(Silence { after, cancelled: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icmp_codes_become_words() {
        for (origin, kind, code, errno, word, name) in [
            (Origin::Icmp, 3, 13, libc::EHOSTUNREACH, "prohibited", "prohibited"),
            (Origin::Icmp, 3, 3, libc::ECONNREFUSED, "refused", "refused"),
            (Origin::Icmp, 3, 0, libc::ENETUNREACH, "unreachable", "unreachable"),
            (Origin::Icmp, 3, 1, libc::EHOSTUNREACH, "unreachable", "host-unreachable"),
            (Origin::Icmp, 11, 0, libc::EHOSTUNREACH, "ttl-exceeded", "ttl-exceeded"),
            (Origin::Icmp, 12, 0, libc::EPROTO, "failed", "failed"),
            (Origin::Icmp6, 1, 1, libc::EACCES, "prohibited", "prohibited"),
            (Origin::Icmp6, 2, 0, libc::EMSGSIZE, "too-big", "too-big"),
            (Origin::Local, 0, 0, libc::EMSGSIZE, "too-big", "too-big"),
        ] {
            let error = ExtendedError { errno, origin, kind, code, info: 1280, offender: None };
            let not = NotReached::queued(&error, Duration::ZERO);
            assert_eq!((not.reason.word(), not.reason.name()), (word, name), "{error:?}");
            assert!(!not.detail().is_empty());
        }
    }

    #[test]
    fn sentences() {
        let error = ExtendedError {
            errno: libc::EHOSTUNREACH,
            origin: Origin::Icmp,
            kind: 3,
            code: 1,
            info: 0,
            offender: Some("192.0.2.254".parse().unwrap()),
        };
        assert_eq!(
            NotReached::queued(&error, Duration::ZERO).detail(),
            "192.0.2.254 answered: destination host unreachable"
        );
        assert_eq!(
            NotReached::local(libc::ENETUNREACH, None, Duration::ZERO).detail(),
            "this namespace has no route to it (ENETUNREACH)"
        );
        assert_eq!(Verdict::timeout(Duration::from_secs(1)).detail(), "no answer within 1000 ms");
    }
}
