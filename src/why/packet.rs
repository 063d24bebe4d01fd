//! The packet of the walk, as filters see it, and the three values that a match can have.

use std::net::IpAddr;

use crate::probe::Proto;

/// Yes, no, or nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tri {
    /// It matches.
    Yes,
    /// It does not.
    No,
    /// It may.
    Maybe,
}

impl Tri {
    /// Both.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    /// The contrary when `not`.
    #[must_use]
    pub(super) fn flip(self, not: bool) -> Self {
        match (not, self) {
            (true, Self::Yes) => Self::No,
            (true, Self::No) => Self::Yes,
            _ => self,
        }
    }
}

impl From<bool> for Tri {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// A port: known, or one that the kernel will choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// There is none: the protocol has no ports.
    None,
    /// This one.
    Exact(u16),
    /// One of the local range.
    Ephemeral,
}

impl Port {
    /// Whether it lies in a range.
    #[must_use]
    pub(super) fn within(self, low: u16, high: u16) -> Tri {
        match self {
            Self::None => Tri::No,
            Self::Exact(port) => (low <= port && port <= high).into(),
            Self::Ephemeral if low <= 32768 && high >= 60999 => Tri::Yes,
            Self::Ephemeral if high < 32768 || low > 60999 => Tri::No,
            Self::Ephemeral => Tri::Maybe,
        }
    }
}

/// What connection tracking thinks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ct {
    /// The first of its connection.
    New,
    /// Of a connection that was seen in both directions.
    Established,
    /// An answer to nothing.
    Invalid,
    /// Told not to be tracked.
    Untracked,
}

impl Ct {
    /// The word of `-m conntrack` and nft.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
        }
    }
}

/// A packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Number of the protocol: 1, 6, 17, 58.
    pub proto: u8,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
    /// Type of an ICMP message.
    pub icmp: Option<u8>,
    /// Whether it is an answer.
    pub reply: bool,
    /// Bytes of the whole IP packet.
    pub size: u32,
    /// Whether it may not be fragmented.
    pub df: bool,
    /// Time to live.
    pub ttl: u8,
    /// Firewall mark; `None` when nobody can say.
    pub mark: Option<u32>,
    /// Its connection.
    pub ct: Ct,
}

impl Packet {
    /// Whether it is IPv6.
    #[must_use]
    pub(super) fn v6(&self) -> bool {
        self.dst.is_ipv6()
    }

    /// The name of its protocol.
    #[must_use]
    pub(super) fn proto_name(&self) -> &'static str {
        match self.proto {
            6 => "tcp",
            17 => "udp",
            58 => "ipv6-icmp",
            _ => "icmp",
        }
    }

    /// The answer to it.
    #[must_use]
    pub(super) fn answer(&self) -> Self {
        let icmp = match (self.icmp, self.v6()) {
            (Some(_), true) => Some(129),
            (Some(_), false) => Some(0),
            (None, _) => None,
        };
        let (src, dst) = (self.dst, self.src);
        Self {
            src,
            dst,
            sport: self.dport,
            dport: self.sport,
            icmp,
            reply: true,
            ttl: 64,
            ct: Ct::New,
            mark: Some(0),
            ..self.clone()
        }
    }

    /// Its TCP flags, as far as they matter: SYN, or SYN and ACK.
    #[must_use]
    pub(super) fn tcp_flags(&self) -> u8 {
        if self.reply { 0x12 } else { 0x02 }
    }

    /// The number of a protocol of a probe.
    #[must_use]
    pub(super) fn number(proto: Proto, v6: bool) -> u8 {
        match (proto, v6) {
            (Proto::Tcp, _) => 6,
            (Proto::Udp, _) => 17,
            (Proto::Icmp, true) => 58,
            (Proto::Icmp, false) => 1,
        }
    }
}

/// The number of a protocol by its name.
#[must_use]
pub(super) fn protocol(word: &str) -> Option<u8> {
    Some(match word {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        "udplite" => 136,
        other => return other.parse().ok(),
    })
}

/// The number of an ICMP type by its name.
#[must_use]
pub(super) fn icmp_type(word: &str) -> Option<u8> {
    Some(match word {
        "echo-reply" | "pong" => 0,
        "destination-unreachable" => 3,
        "echo-request" | "ping" => 8,
        "time-exceeded" => 11,
        "redirect" => 5,
        other => return other.split('/').next()?.parse().ok(),
    })
}

/// The number of an `ICMPv6` type by its name.
#[must_use]
pub(super) fn icmp6_type(word: &str) -> Option<u8> {
    Some(match word {
        "destination-unreachable" => 1,
        "packet-too-big" => 2,
        "time-exceeded" => 3,
        "parameter-problem" => 4,
        "echo-request" => 128,
        "echo-reply" => 129,
        "router-solicitation" | "nd-router-solicit" => 133,
        "router-advertisement" | "nd-router-advert" => 134,
        "neighbour-solicitation" | "neighbor-solicitation" | "nd-neighbor-solicit" => 135,
        "neighbour-advertisement" | "neighbor-advertisement" | "nd-neighbor-advert" => 136,
        "redirect" | "nd-redirect" => 137,
        other => return other.split('/').next()?.parse().ok(),
    })
}

/// A hook of the network stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hook {
    /// Before routing.
    Prerouting,
    /// For this namespace.
    Input,
    /// Through this namespace.
    Forward,
    /// From this namespace.
    Output,
    /// After routing.
    Postrouting,
    /// As it comes in by a device.
    Ingress,
    /// As it goes out by a device.
    Egress,
}

impl Hook {
    /// The chain of iptables.
    #[must_use]
    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
            Self::Ingress => "INGRESS",
            Self::Egress => "EGRESS",
        }
    }
}

/// Where a filter looks at the packet.
#[derive(Clone)]
pub(super) struct Spot<'a> {
    /// The hook.
    pub hook: Hook,
    /// The link that it came in by; empty for one's own.
    pub iif: &'a str,
    /// The link that it goes out by; empty when it does not.
    pub oif: &'a str,
    /// The bridge port that it came in by.
    pub physin: Option<&'a str>,
    /// The bridge port that it goes out by.
    pub physout: Option<&'a str>,
    /// The addresses of the namespace.
    pub local: &'a dyn Fn(IpAddr) -> bool,
    /// Ethernet type when it is not IP: ARP.
    pub arp: bool,
    /// Hardware addresses of the frame, where they are known.
    pub macs: Option<(&'a str, &'a str)>,
}

/// The rule or policy that a filter ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleRef {
    /// `iptables`, `iptables-legacy`, `ip6tables`, `nft`, …
    pub tool: String,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// The rule as its tool writes it; for a policy, the policy.
    pub text: String,
    /// Whether it is the policy of the chain.
    pub policy: bool,
    /// Packets counted so far, where they are.
    pub packets: Option<u64>,
    /// Whether it answers.
    pub reject: bool,
    /// The command that takes it away.
    pub delete: Vec<String>,
    /// The chain of the hook that led here.
    pub base: String,
    /// What it is told apart by, to read its counter again: number or handle.
    pub handle: u64,
}

/// How an address is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nat {
    /// The source becomes the address of the link.
    Masquerade,
    /// The source becomes this.
    Source(Option<IpAddr>, Option<u16>),
    /// The destination becomes this.
    Destination(Option<IpAddr>, Option<u16>),
    /// The destination becomes this namespace.
    Redirect(Option<u16>),
}

/// What a chain does to a packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    /// It is dropped by this.
    pub drop: Option<RuleRef>,
    /// Something that nobody can judge may accept it before.
    pub maybe_accepted: bool,
    /// Rules that nobody can judge and that would drop it.
    pub suspects: Vec<RuleRef>,
    /// Its mark becomes this (`Some(None)`: nobody can say).
    #[expect(clippy::option_option, reason = "no mark is another answer than nobody can say")]
    pub mark: Option<Option<u32>>,
    /// Its time to live becomes this.
    pub ttl: Option<u8>,
    /// It is not tracked any more.
    pub notrack: bool,
    /// It is translated by this.
    pub nat: Option<(Nat, RuleRef)>,
}
