//! The packet of the walk, as filters see it, and the three values that a match can have.

use std::net::IpAddr;
use std::sync::Arc;

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

    /// Either.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
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
    /// One of these, both ends included.
    Among(u16, u16),
}

/// `net.ipv4.ip_local_port_range` as the kernel has it when nobody sets it.
const LOCAL_PORTS: (u16, u16) = (32768, 60999);

impl Port {
    /// Whether it lies in a range.
    #[must_use]
    pub(super) fn within(self, low: u16, high: u16) -> Tri {
        match self {
            Self::None => Tri::No,
            Self::Exact(port) => (low <= port && port <= high).into(),
            Self::Ephemeral => Self::Among(LOCAL_PORTS.0, LOCAL_PORTS.1).within(low, high),
            Self::Among(first, last) if low <= first && last <= high => Tri::Yes,
            Self::Among(first, last) if high < first || last < low => Tri::No,
            Self::Among(..) => Tri::Maybe,
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
    /// An error about a connection.
    Related,
    /// An answer to nothing, or not looked at yet.
    Invalid,
    /// Told not to be tracked.
    Untracked,
    /// A rule that cannot be judged may have told it not to be tracked.
    Unknown,
}

impl Ct {
    /// The word of `-m conntrack` and nft.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Related => "related",
            Self::Invalid => "invalid",
            Self::Untracked => "untracked",
            Self::Unknown => "unknown",
        }
    }
}

/// What connection tracking keeps of a packet's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    /// The mark of the connection; `None` when nobody can say.
    pub mark: Option<u32>,
    /// Its source is translated.
    pub snat: bool,
    /// Its destination is translated.
    pub dnat: bool,
    /// Source and destination of its first packet as that came in.
    pub orig: Option<[(IpAddr, Port); 2]>,
    /// The zone of connection tracking that it is looked for in; `None` when nobody can say.
    pub zone: Option<u16>,
}

impl Default for Track {
    fn default() -> Self {
        Self { mark: Some(0), snat: false, dnat: false, orig: None, zone: Some(0) }
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
    /// Time to live; `None` when nobody can say.
    pub ttl: Option<u8>,
    /// Type of service: DSCP and ECN; `None` when nobody can say.
    pub tos: Option<u8>,
    /// Firewall mark; `None` when nobody can say.
    pub mark: Option<u32>,
    /// What connection tracking thinks of it.
    pub ct: Ct,
    /// Its connection.
    pub track: Track,
    /// What was done to it on the way.
    pub past: Past,
}

/// What rules did to a packet before: why it is what it is when it dies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// The rule that set its mark, and where: the index of the namespace is not known to the rule.
    pub marked: Option<Arc<RuleRef>>,
    /// The mark that a later rule took bits of, and that rule.
    pub overwritten: Option<(u32, Arc<RuleRef>)>,
    /// The rule that told this namespace not to track it.
    pub untracked: Option<Arc<RuleRef>>,
    /// The rule that may have handed it to a transparent proxy.
    pub proxied: Option<Arc<RuleRef>>,
    /// The rule that put it into a zone of connection tracking.
    pub zoned: Option<Arc<RuleRef>>,
}

impl Packet {
    /// Whether it is IPv6.
    #[must_use]
    pub(super) fn v6(&self) -> bool {
        self.dst.is_ipv6()
    }

    /// A neighbour solicitation, whose addresses are to be filled in.
    #[must_use]
    pub(super) fn solicitation() -> Self {
        let none = IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED);
        Self {
            src: none,
            dst: none,
            proto: 58,
            sport: Port::None,
            dport: Port::None,
            icmp: Some(135),
            reply: false,
            size: 72,
            df: false,
            ttl: Some(255),
            tos: Some(0),
            mark: Some(0),
            ct: Ct::Untracked,
            track: Track::default(),
            past: Past::default(),
        }
    }

    /// Remembers which rule gave it its mark, and which one took away bits of the mark that it had.
    pub(super) fn remember_mark(&mut self, before: Option<u32>, by: RuleRef) {
        let by = Arc::new(by);
        if let (Some(old), Some(new)) = (before, self.mark)
            && old & !new != 0
        {
            self.past.overwritten = Some((old, Arc::clone(&by)));
        }
        self.past.marked = Some(by);
    }

    /// The name of its protocol.
    #[must_use]
    pub(super) fn proto_name(&self) -> &'static str {
        match self.proto {
            6 => "tcp",
            17 => "udp",
            58 => "ipv6-icmp",
            other => PROTOCOLS.iter().find(|(number, _)| *number == other).map_or("icmp", |(_, name)| name),
        }
    }

    /// The answer to it.
    #[must_use]
    pub(super) fn answer(&self) -> Self {
        let icmp = match (self.icmp, self.v6()) {
            // The other questions of ICMP have the next number as their answer; what is no question is answered by its like, if at all.
            (Some(kind @ (13 | 15 | 17)), false) => Some(kind + 1),
            (Some(kind), _) if !matches!(kind, 8 | 128) => Some(kind),
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
            ttl: Some(64),
            // An echo reply repeats it, the second packet of a handshake has none, and what a service sets nobody knows.
            tos: match self.proto {
                6 => Some(0),
                17 => None,
                _ => self.tos,
            },
            ct: Ct::New,
            mark: Some(0),
            track: Track::default(),
            past: Past::default(),
            ..self.clone()
        }
    }

    /// Its TCP flags, as far as they matter: SYN, or SYN and ACK.
    #[must_use]
    pub(super) fn tcp_flags(&self) -> u8 {
        if self.reply { 0x12 } else { 0x02 }
    }

    /// The code of its ICMP message: of the errors only "fragmentation needed" is sent here, and the echoes have none.
    #[must_use]
    pub(super) fn icmp_code(&self) -> u8 {
        if self.icmp == Some(3) && !self.v6() { 4 } else { 0 }
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

/// Protocols without ports that can be asked for, by number and by the name that `iptables` and `nft` have for them.
pub const PROTOCOLS: [(u8, &str); 10] = [
    (2, "igmp"),
    (4, "ipencap"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (89, "ospf"),
    (103, "pim"),
    (112, "vrrp"),
    (132, "sctp"),
];

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

/// A type of ICMP by its name or numbers (`3/4`), with its code when that is said.
#[must_use]
pub(super) fn icmp_kind(word: &str) -> Option<(u8, Option<u8>)> {
    Some(match word {
        "echo-reply" | "pong" => (0, None),
        "destination-unreachable" => (3, None),
        "network-unreachable" => (3, Some(0)),
        "host-unreachable" => (3, Some(1)),
        "protocol-unreachable" => (3, Some(2)),
        "port-unreachable" => (3, Some(3)),
        "fragmentation-needed" => (3, Some(4)),
        "source-quench" => (4, None),
        "redirect" => (5, None),
        "echo-request" | "ping" => (8, None),
        "router-advertisement" => (9, None),
        "router-solicitation" => (10, None),
        "time-exceeded" | "ttl-exceeded" => (11, None),
        "parameter-problem" => (12, None),
        "timestamp-request" => (13, None),
        "timestamp-reply" => (14, None),
        "info-request" => (15, None),
        "info-reply" => (16, None),
        "address-mask-request" => (17, None),
        "address-mask-reply" => (18, None),
        other => return numbers(other),
    })
}

/// The same of `ICMPv6`.
#[must_use]
pub(super) fn icmp6_kind(word: &str) -> Option<(u8, Option<u8>)> {
    Some(match word {
        "destination-unreachable" => (1, None),
        "no-route" => (1, Some(0)),
        "communication-prohibited" => (1, Some(1)),
        "beyond-scope" => (1, Some(2)),
        "address-unreachable" => (1, Some(3)),
        "port-unreachable" => (1, Some(4)),
        "packet-too-big" => (2, None),
        "time-exceeded" => (3, None),
        "parameter-problem" => (4, None),
        "echo-request" | "ping" => (128, None),
        "echo-reply" | "pong" => (129, None),
        "mld-listener-query" => (130, None),
        "mld-listener-report" => (131, None),
        "mld-listener-done" | "mld-listener-reduction" => (132, None),
        "router-solicitation" | "nd-router-solicit" => (133, None),
        "router-advertisement" | "nd-router-advert" => (134, None),
        "neighbour-solicitation" | "neighbor-solicitation" | "nd-neighbor-solicit" => (135, None),
        "neighbour-advertisement" | "neighbor-advertisement" | "nd-neighbor-advert" => (136, None),
        "redirect" | "nd-redirect" => (137, None),
        "router-renumbering" => (138, None),
        "mld2-listener-report" => (143, None),
        other => return numbers(other),
    })
}

fn numbers(word: &str) -> Option<(u8, Option<u8>)> {
    match word.split_once('/') {
        Some((kind, code)) => Some((kind.parse().ok()?, Some(code.parse().ok()?))),
        None => Some((word.parse().ok()?, None)),
    }
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

/// What an address is to a namespace, by its table `local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Its own.
    Local,
    /// A segment's.
    Broadcast,
    /// A group's.
    Multicast,
    /// Somebody's.
    Unicast,
}

impl Packet {
    /// What a reverse path filter in the rules looks up: the way to the source, as from the destination where that is one host's, with the
    /// mark if it looks at it, and without protocol or ports (`ipt_rpfilter.c`, `ip6t_rpfilter.c`, `nft_fib_ipv4.c`, `nft_fib_ipv6.c`).
    #[must_use]
    pub(super) fn way_back(&self, sort: Sort, marked: bool) -> Self {
        let none: IpAddr =
            if self.v6() { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
        let src = if matches!(sort, Sort::Local | Sort::Unicast) { self.dst } else { none };
        Self { src, dst: self.src, ..self.looked_up(marked) }
    }

    /// What rules that ask the routing tables look up: without protocol or ports, with the mark if they look at it.
    #[must_use]
    pub(super) fn looked_up(&self, marked: bool) -> Self {
        let mark = if marked { self.mark } else { Some(0) };
        Self { proto: 0, sport: Port::None, dport: Port::None, icmp: None, mark, ..self.clone() }
    }
}

impl Sort {
    /// The word of nft; iptables writes it in capitals.
    #[must_use]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Broadcast => "broadcast",
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
        }
    }
}

/// Where routing tables lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By these links.
    By(Vec<String>),
    /// Here.
    Local,
    /// Nowhere, or to a route that refuses.
    Nowhere,
    /// Nobody can say.
    Unknown,
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
    /// What an address is to the namespace.
    pub sort: &'a dyn Fn(IpAddr) -> Sort,
    /// Where the namespace's routing tables lead a packet, policy rules counting.
    pub way: &'a dyn Fn(&Packet) -> Way,
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
    /// The rules that led to its chain, the first one first.
    pub path: Vec<Step>,
    /// What of a named set or map made it match.
    pub element: Option<String>,
}

/// A rule that led to another chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// As its tool writes it.
    pub text: String,
    /// The command that takes it away.
    pub delete: Vec<String>,
    /// What of a named set or map made it match.
    pub element: Option<String>,
}

/// A named set that was asked whether it holds something of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `ipset`, or `nft` and with it family and table.
    pub tool: String,
    /// Its name.
    pub set: String,
    /// What was looked for.
    pub element: String,
    /// Whether it is there.
    pub held: bool,
    /// Whether it stands there just so, and can be taken out.
    pub exact: bool,
    /// The rule that asked.
    pub rule: String,
}

impl RuleRef {
    /// The program and the words that take it away.
    #[must_use]
    pub(super) fn deletion(&self) -> Vec<String> {
        std::iter::once(self.tool.clone()).chain(self.delete.iter().cloned()).collect()
    }
}

/// What an address or port becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To<T> {
    /// It stays.
    Same,
    /// This.
    One(T),
    /// One of these, both ends included.
    Among(T, T),
    /// Nobody can say.
    Unknown,
}

/// How an address is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nat {
    /// The source becomes the address of the link.
    Masquerade(To<u16>),
    /// The source becomes this.
    Source(To<IpAddr>, To<u16>),
    /// The destination becomes this.
    Destination(To<IpAddr>, To<u16>),
    /// The destination becomes this namespace.
    Redirect(To<u16>),
    /// The network part of the address becomes this one: of the source after routing, else of the destination.
    Map(ipnet::IpNet),
}
