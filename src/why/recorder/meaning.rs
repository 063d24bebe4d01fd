//! What a drop means: reason and function → class, and the netfilter hook out of the stack. Pure tables.

use std::fmt;

/// What a drop event says about the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A rule or policy of nft or iptables-nft, any family.
    Ruleset,
    /// iptables-legacy, a full connection table, or NAT without a free tuple.
    Netfilter,
    /// The reverse path filter.
    ReversePath,
    /// Not a router for the link it came in by.
    NotForwarding,
    /// No route, often for the reply.
    NoRoute,
    /// A blackhole, unreachable or prohibit route or rule.
    RouteError,
    /// A frame for another MAC reached layer 3.
    OtherHost,
    /// The bridge port does not forward (spanning tree state).
    PortState,
    /// The bridge or tunnel has no port left to send to: isolated, flood off, pinned.
    NoTarget,
    /// The bridge refused the frame: locked port, VLAN, a frame for its own source.
    BridgeRefused,
    /// The queueing discipline refused it; for ARP: a device without carrier.
    Queue,
    /// A tc filter.
    Tc,
    /// An XDP program.
    Xdp,
    /// Bigger than the MTU of the way ahead.
    TooBig,
    /// The other end of the veth is down or takes only smaller frames.
    PeerRefused,
    /// The hop limit ran out, or the header is damaged.
    HopLimit,
    /// Nobody answered ARP or neighbour discovery.
    NeighbourFailed,
    /// Nothing listens on the port or protocol.
    NoSocket,
    /// A socket is there and refused: backlog, buffer or filter.
    SocketRefused,
    /// An address that must not appear there: own, loopback, multicast.
    Martian,
    /// An `IPsec` policy.
    Xfrm,
    /// A security module or a cgroup program.
    Security,
    /// IPv6 is switched off on the link.
    V6Disabled,
    /// A tunnel could not take it: unknown VNI, bad header.
    Tunnel,
    /// A wrong checksum.
    Checksum,
    /// A segment that the TCP connection does not take.
    TcpState,
    /// A TCP signature (MD5, AO) or PSP that is missing or wrong.
    Signature,
    /// Headers that are not as they should be.
    Malformed,
    /// A fragment that is late, lost or double.
    Fragment,
    /// A device that did not take it.
    Device,
    /// Somebody's buffer was full or memory short.
    Full,
    /// Belongs to a flow that works: a copy nobody wanted.
    Harmless,
    /// In no table yet.
    Unknown,
}

/// One row: reason, function (`None`: any), class.
type Row = (&'static str, Option<&'static str>, Class);

/// First match wins: rows with a function come before those without.
const ROWS: &[Row] = &[
    // A raw socket has its own copy already.
    ("NO_SOCKET", Some("ping_rcv"), Class::Harmless),
    ("NO_SOCKET", Some("icmp_rcv"), Class::Harmless),
    ("NO_SOCKET", Some("icmpv6_rcv"), Class::Harmless),
    // A flooded copy of a multicast frame, in a bystander.
    ("NOT_SPECIFIED", Some("ip6_mc_input"), Class::Harmless),
    ("IP_INADDRERRORS", Some("ip6_mc_input"), Class::Harmless),
    ("IPV6_NDISC_NS_OTHERHOST", None, Class::Harmless),
    ("UNHANDLED_PROTO", None, Class::Harmless),
    // A socket closes with packets that nobody has read.
    ("QUEUE_PURGE", None, Class::Harmless),
    ("NOT_SPECIFIED", Some("skb_queue_purge"), Class::Harmless),
    ("NOT_SPECIFIED", Some("skb_queue_purge_reason"), Class::Harmless),
    ("NETFILTER_DROP", Some("nf_hook_slow"), Class::Netfilter),
    ("NETFILTER_DROP", Some("nf_hook_slow_list"), Class::Netfilter),
    ("NETFILTER_DROP", None, Class::Ruleset),
    ("NOT_SPECIFIED", Some("nft_do_chain"), Class::Ruleset),
    ("NOT_SPECIFIED", Some("nf_hook_slow"), Class::Netfilter),
    ("IP_RPFILTER", None, Class::ReversePath),
    ("IP_INADDRERRORS", None, Class::NotForwarding),
    ("IP_INNOROUTES", None, Class::NoRoute),
    ("IP_OUTNOROUTES", None, Class::NoRoute),
    ("NOT_SPECIFIED", Some("ip_error"), Class::RouteError),
    ("NOT_SPECIFIED", Some("ip6_pkt_drop"), Class::RouteError),
    ("NOT_SPECIFIED", Some("ip6_forward"), Class::NotForwarding),
    ("OTHERHOST", None, Class::OtherHost),
    ("BRIDGE_INGRESS_STP_STATE", None, Class::PortState),
    ("NO_TX_TARGET", None, Class::NoTarget),
    ("NOT_SPECIFIED", Some("br_handle_frame_finish"), Class::BridgeRefused),
    ("NOT_SPECIFIED", Some("br_handle_frame"), Class::BridgeRefused),
    ("NOT_SPECIFIED", Some("br_flood"), Class::NoTarget),
    ("NOT_SPECIFIED", Some("br_forward"), Class::NoTarget),
    ("NOT_SPECIFIED", Some("br_dev_queue_push_xmit"), Class::TooBig),
    ("MAC_INVALID_SOURCE", None, Class::BridgeRefused),
    ("MAC_IEEE_MAC_CONTROL", None, Class::BridgeRefused),
    ("LOCAL_MAC", None, Class::BridgeRefused),
    ("NOT_SPECIFIED", Some("do_xdp_generic"), Class::Xdp),
    ("NOT_SPECIFIED", Some("__dev_forward_skb2"), Class::PeerRefused),
    ("NOT_SPECIFIED", Some("veth_xmit"), Class::PeerRefused),
    ("DEV_READY", None, Class::PeerRefused),
    ("DEV_HDR", None, Class::PeerRefused),
    ("QDISC_DROP", None, Class::Queue),
    ("QDISC_OVERLIMIT", None, Class::Queue),
    ("QDISC_CONGESTED", None, Class::Queue),
    ("NOT_SPECIFIED", Some("noop_enqueue"), Class::Queue),
    ("TC_INGRESS", None, Class::Tc),
    ("TC_EGRESS", None, Class::Tc),
    ("TC_COOKIE_ERROR", None, Class::Tc),
    ("TC_CHAIN_NOTFOUND", None, Class::Tc),
    ("TC_RECLASSIFY_LOOP", None, Class::Tc),
    ("XDP", None, Class::Xdp),
    ("PKT_TOO_BIG", None, Class::TooBig),
    // A packet that has a socket already (TPROXY), one for another's hardware address, one that a policy of IPsec forbids: not its time to
    // live, for which there is IP_INHDR.
    ("NOT_SPECIFIED", Some("ip_forward"), Class::Unknown),
    ("IP_INHDR", None, Class::HopLimit),
    ("NEIGH_FAILED", None, Class::NeighbourFailed),
    ("NEIGH_CREATEFAIL", None, Class::NeighbourFailed),
    ("NEIGH_QUEUEFULL", None, Class::NeighbourFailed),
    ("NEIGH_DEAD", None, Class::NeighbourFailed),
    ("NOT_SPECIFIED", Some("arp_error_report"), Class::NeighbourFailed),
    ("NOT_SPECIFIED", Some("ndisc_error_report"), Class::NeighbourFailed),
    ("NO_SOCKET", None, Class::NoSocket),
    ("IP_NOPROTO", None, Class::NoSocket),
    ("SOCKET_CLOSE", None, Class::SocketRefused),
    ("SOCKET_FILTER", None, Class::SocketRefused),
    ("SOCKET_RCVBUFF", None, Class::SocketRefused),
    ("SOCKET_BACKLOG", None, Class::SocketRefused),
    ("TCP_LISTEN_OVERFLOW", None, Class::SocketRefused),
    ("TCP_MINTTL", None, Class::SocketRefused),
    ("IP_LOCAL_SOURCE", None, Class::Martian),
    ("IP_LOCALNET", None, Class::Martian),
    ("IP_INVALID_SOURCE", None, Class::Martian),
    ("IP_INVALID_DEST", None, Class::Martian),
    ("UNICAST_IN_L2_MULTICAST", None, Class::Martian),
    ("XFRM_POLICY", None, Class::Xfrm),
    ("NOT_SPECIFIED", Some("__xfrm_policy_check"), Class::Xfrm),
    ("SECURITY_HOOK", None, Class::Security),
    ("BPF_CGROUP_EGRESS", None, Class::Security),
    ("IPV6DISABLED", None, Class::V6Disabled),
    ("VXLAN_INVALID_HDR", None, Class::Tunnel),
    ("VXLAN_VNI_NOT_FOUND", None, Class::Tunnel),
    ("VXLAN_ENTRY_EXISTS", None, Class::Tunnel),
    ("IP_TUNNEL_ECN", None, Class::Tunnel),
    ("TUNNEL_TXINFO", None, Class::Tunnel),
    ("IP_CSUM", None, Class::Checksum),
    ("TCP_CSUM", None, Class::Checksum),
    ("UDP_CSUM", None, Class::Checksum),
    ("ICMP_CSUM", None, Class::Checksum),
    ("SKB_CSUM", None, Class::Checksum),
    ("CPU_BACKLOG", None, Class::Full),
    ("FULL_RING", None, Class::Full),
    ("NOMEM", None, Class::Full),
    ("PROTO_MEM", None, Class::Full),
    ("TCP_FLAGS", None, Class::TcpState),
    ("TCP_ABORT_ON_DATA", None, Class::TcpState),
    ("TCP_ZEROWINDOW", None, Class::TcpState),
    ("TCP_OLD_DATA", None, Class::TcpState),
    ("TCP_OVERWINDOW", None, Class::TcpState),
    ("TCP_OFOMERGE", None, Class::TcpState),
    ("TCP_RFC7323_PAWS", None, Class::TcpState),
    ("TCP_RFC7323_PAWS_ACK", None, Class::TcpState),
    ("TCP_RFC7323_TW_PAWS", None, Class::TcpState),
    ("TCP_RFC7323_TSECR", None, Class::TcpState),
    ("TCP_OLD_SEQUENCE", None, Class::TcpState),
    ("TCP_INVALID_SEQUENCE", None, Class::TcpState),
    ("TCP_INVALID_END_SEQUENCE", None, Class::TcpState),
    ("TCP_INVALID_ACK_SEQUENCE", None, Class::TcpState),
    ("TCP_RESET", None, Class::TcpState),
    ("TCP_INVALID_SYN", None, Class::TcpState),
    ("TCP_CLOSE", None, Class::TcpState),
    ("TCP_FASTOPEN", None, Class::TcpState),
    ("TCP_OLD_ACK", None, Class::TcpState),
    ("TCP_TOO_OLD_ACK", None, Class::TcpState),
    ("TCP_ACK_UNSENT_DATA", None, Class::TcpState),
    ("TCP_OFO_QUEUE_PRUNE", None, Class::TcpState),
    ("TCP_OFO_DROP", None, Class::TcpState),
    ("TCP_AUTH_HDR", None, Class::Signature),
    ("TCP_MD5NOTFOUND", None, Class::Signature),
    ("TCP_MD5UNEXPECTED", None, Class::Signature),
    ("TCP_MD5FAILURE", None, Class::Signature),
    ("TCP_AONOTFOUND", None, Class::Signature),
    ("TCP_AOUNEXPECTED", None, Class::Signature),
    ("TCP_AOKEYNOTFOUND", None, Class::Signature),
    ("TCP_AOFAILURE", None, Class::Signature),
    ("PSP_INPUT", None, Class::Signature),
    ("PSP_OUTPUT", None, Class::Signature),
    ("PKT_TOO_SMALL", None, Class::Malformed),
    ("HDR_TRUNC", None, Class::Malformed),
    ("INVALID_PROTO", None, Class::Malformed),
    ("IPV6_BAD_EXTHDR", None, Class::Malformed),
    ("IPV6_NDISC_FRAG", None, Class::Malformed),
    ("IPV6_NDISC_HOP_LIMIT", None, Class::Malformed),
    ("IPV6_NDISC_BAD_CODE", None, Class::Malformed),
    ("IPV6_NDISC_BAD_OPTIONS", None, Class::Malformed),
    ("SKB_GSO_SEG", None, Class::Malformed),
    ("SKB_UCOPY_FAULT", None, Class::Malformed),
    ("CAN_RX_INVALID_FRAME", None, Class::Malformed),
    ("CANFD_RX_INVALID_FRAME", None, Class::Malformed),
    ("CANXL_RX_INVALID_FRAME", None, Class::Malformed),
    ("DUP_FRAG", None, Class::Fragment),
    ("FRAG_REASM_TIMEOUT", None, Class::Fragment),
    ("FRAG_TOO_FAR", None, Class::Fragment),
    ("CAKE_FLOOD", None, Class::Queue),
    ("FQ_BAND_LIMIT", None, Class::Queue),
    ("FQ_HORIZON_LIMIT", None, Class::Queue),
    ("FQ_FLOW_LIMIT", None, Class::Queue),
    ("DUALPI2_STEP_DROP", None, Class::Queue),
    ("TAP_FILTER", None, Class::Device),
    ("TAP_TXFILTER", None, Class::Device),
    ("NEIGH_HH_FILLFAIL", None, Class::Device),
    ("RECURSION_LIMIT", None, Class::Device),
    ("PFMEMALLOC", None, Class::Full),
    ("PACKET_SOCK_ERROR", None, Class::Harmless),
    ("UNIX_DISCONNECT", None, Class::Harmless),
    ("UNIX_SKIP_OOB", None, Class::Harmless),
    ("ARP_PVLAN_DISABLE", None, Class::Harmless),
];

impl Class {
    /// The class of a drop. Before Linux 5.17 there is no reason, and the function alone has to tell.
    #[must_use]
    pub fn of(reason: Option<&str>, function: Option<&str>) -> Self {
        // `ip6_forward.constprop.0`, `br_handle_frame_finish.isra.0`
        let function = function.and_then(|name| name.split('.').next());
        let reason = reason.unwrap_or("NOT_SPECIFIED");
        let matches = |row: &&Row| row.0 == reason && row.1.is_none_or(|name| Some(name) == function);
        let by_function = |row: &&Row| reason == "NOT_SPECIFIED" && row.1.is_some() && row.1 == function;
        ROWS.iter().find(matches).or_else(|| ROWS.iter().find(by_function)).map_or(Self::Unknown, |row| row.2)
    }

    /// What it means, as a clause.
    #[must_use]
    pub fn means(self) -> &'static str {
        match self {
            Self::Ruleset => "a rule or policy of nft or iptables dropped it",
            Self::Netfilter => {
                "netfilter dropped it: iptables-legacy, a full connection table, or NAT without a free port"
            }
            Self::ReversePath => "the reverse path filter dropped it",
            Self::NotForwarding => "forwarding is off for the link it came in by, or it is not a unicast address",
            Self::NoRoute => "no route leads to its destination",
            Self::RouteError => "a blackhole, unreachable or prohibit route took it",
            Self::OtherHost => "the frame is addressed to another MAC",
            Self::PortState => "the bridge port is not in forwarding state",
            Self::NoTarget => "no port is left to send it to",
            Self::BridgeRefused => "the bridge does not take it from this port",
            Self::Queue => "the queue of the device refused it; a device without carrier does so with ARP",
            Self::Tc => "a tc filter dropped it",
            Self::Xdp => "an XDP program dropped it",
            Self::TooBig => "it is bigger than the MTU ahead",
            Self::PeerRefused => "the other end of the veth is down or takes only smaller frames",
            Self::HopLimit => "its hop limit ran out",
            Self::NeighbourFailed => "nobody answered for the next hop's address",
            Self::NoSocket => "nothing listens there",
            Self::SocketRefused => "the socket is there and refused it",
            Self::Martian => "its address must not appear there",
            Self::Xfrm => "an IPsec policy dropped it",
            Self::Security => "a security module or a cgroup program dropped it",
            Self::V6Disabled => "IPv6 is switched off on the link",
            Self::Tunnel => "the tunnel did not take it",
            Self::Checksum => "its checksum is wrong",
            Self::TcpState => "the TCP connection does not take such a segment",
            Self::Signature => "its signature is missing or wrong",
            Self::Malformed => "it is not as its protocol wants it",
            Self::Fragment => "a fragment of it is late, lost or double",
            Self::Device => "the device did not take it",
            Self::Full => "a buffer was full",
            Self::Harmless => "a copy that nobody wanted; the flow is not hurt",
            Self::Unknown => "the kernel dropped it",
        }
    }

    /// What to look at next.
    #[must_use]
    pub fn ask_next(self) -> &'static str {
        match self {
            Self::Ruleset => "differences of the rules' counters, else nft trace",
            Self::Netfilter => "legacy counters, conntrack count and statistics",
            Self::ReversePath => "the greater of `rp_filter` of all and of the device, and the route back",
            Self::NotForwarding => "the forwarding sysctls; is it the wrong gateway?",
            Self::NoRoute | Self::RouteError => "routes and rules",
            Self::OtherHost => "neighbour entries, ports that are not enslaved",
            Self::PortState | Self::NoTarget | Self::BridgeRefused => "`bridge -d link` and the forwarding database",
            Self::Queue => "the carrier of the device and of its peer, then the queueing discipline",
            Self::Tc | Self::Xdp => "the programs on the device",
            Self::TooBig | Self::PeerRefused => "state and MTU of the devices along the path",
            Self::HopLimit => "a routing loop, else the sender's TTL",
            Self::NeighbourFailed => "who owns the next hop's address",
            Self::NoSocket | Self::SocketRefused => "`ss` in that namespace; is it the right one?",
            Self::Martian => "addresses and NAT: whose address does it carry?",
            Self::Xfrm => "`ip xfrm policy`",
            Self::Security => "the security module's log and the programs of the cgroup",
            Self::V6Disabled => "`disable_ipv6` of the link",
            Self::Tunnel => "both ends of the tunnel",
            Self::Checksum => "checksum offloading of the devices",
            Self::TcpState => "`ss -tni` on both ends: has one of them forgotten the connection?",
            Self::Signature => "the keys of both ends",
            Self::Malformed => "who made it; offloading of the devices",
            Self::Fragment => "the MTU of the path",
            Self::Device => "`ip -d link` of it and of what it sits on",
            Self::Full => "load; ask again",
            Self::Harmless => "nothing",
            Self::Unknown => "the function that dropped it",
        }
    }
}

/// Whether the stack says that it is a redirect of the router's own, and not the packet that it tells about. NAT always drops those of
/// translated connections (`nf_nat_icmp_reply_translation`), and nobody misses them.
#[must_use]
pub(super) fn redirect(stack: &[String]) -> bool {
    stack.iter().any(|name| name.starts_with("ip_rt_send_redirect") || name.starts_with("ndisc_send_redirect"))
}

/// Where in netfilter a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// PREROUTING.
    Prerouting,
    /// INPUT.
    Input,
    /// FORWARD.
    Forward,
    /// OUTPUT.
    Output,
    /// POSTROUTING.
    Postrouting,
    /// The netdev family's ingress.
    Ingress,
    /// The netdev family's egress.
    Egress,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The hook that a stack passed last (innermost first), and whether it was on a bridge: the function that called `nf_hook_slow`.
/// The functions between, which static inlining removes on some kernels, are skipped.
#[must_use]
pub fn hook(stack: &[String]) -> Option<(Hook, bool)> {
    let at = stack.iter().position(|name| name.starts_with("nf_hook_slow") || name == "nft_do_chain_netdev")?;
    let bridge = stack.iter().skip(at).any(|name| name.starts_with("br_"));
    stack.iter().skip(at + 1).find_map(|name| {
        let hook = match name.split('.').next().unwrap_or_default() {
            "ip_rcv"
            | "ipv6_rcv"
            | "ip_list_rcv"
            | "ipv6_list_rcv"
            | "br_nf_pre_routing"
            | "br_nf_pre_routing_ipv6"
            | "br_handle_frame" => Hook::Prerouting,
            "ip_local_deliver" | "ip6_input" | "br_pass_frame_up" => Hook::Input,
            "ip_forward" | "ip6_forward" | "br_nf_forward_ip" | "br_nf_forward" | "br_nf_forward_arp"
            | "__br_forward" | "br_forward" => Hook::Forward,
            "__ip_local_out" | "ip_local_out" | "__ip6_local_out" | "ip6_local_out" | "raw_sendmsg"
            | "rawv6_sendmsg" | "ip6_xmit" | "arp_xmit" | "arp_send_dst" | "ndisc_send_skb" => Hook::Output,
            "ip_output" | "ip_mc_output" | "ip6_output" | "br_nf_post_routing" | "br_forward_finish" => {
                Hook::Postrouting
            }
            "__netif_receive_skb_core" | "__netif_receive_skb_one_core" | "nf_hook_ingress" => Hook::Ingress,
            "__dev_queue_xmit" | "nf_hook_egress" => Hook::Egress,
            _ => return None,
        };
        Some((hook, bridge && !matches!(hook, Hook::Ingress | Hook::Egress)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_diagnosis() {
        for (reason, function, class) in [
            ("NETFILTER_DROP", "nft_do_chain", Class::Ruleset),
            ("NETFILTER_DROP", "nf_hook_slow", Class::Netfilter),
            ("IP_RPFILTER", "ip_rcv_finish_core", Class::ReversePath),
            ("IP_INADDRERRORS", "ip_error", Class::NotForwarding),
            ("NOT_SPECIFIED", "ip_error", Class::RouteError),
            ("NOT_SPECIFIED", "br_handle_frame_finish.isra.0", Class::BridgeRefused),
            ("NO_SOCKET", "ping_rcv", Class::Harmless),
            ("NO_SOCKET", "tcp_v4_rcv", Class::NoSocket),
            ("NO_SOCKET", "__udp4_lib_rcv", Class::NoSocket),
            ("IP_INHDR", "ip_forward", Class::HopLimit),
            ("FROM_THE_FUTURE", "f", Class::Unknown),
        ] {
            assert_eq!(Class::of(Some(reason), Some(function)), class, "{reason}@{function}");
        }
        assert_eq!(Class::of(None, Some("nft_do_chain")), Class::Ruleset, "an old kernel");
        assert_eq!(Class::of(None, None), Class::Unknown);
    }

    #[test]
    fn no_row_is_shadowed() {
        for (at, row) in ROWS.iter().enumerate() {
            let shadow = ROWS[..at].iter().find(|other| other.0 == row.0 && (other.1.is_none() || other.1 == row.1));
            assert_eq!(shadow, None, "before {row:?}");
        }
    }

    #[test]
    fn the_stack_tells_the_hook() {
        let stack = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let input = stack(
            "sk_skb_reason_drop nft_do_chain nft_do_chain_ipv4 nf_hook_slow ip_local_deliver __netif_receive_skb_one_core",
        );
        assert_eq!(hook(&input), Some((Hook::Input, false)));
        let bridged = stack(
            "sk_skb_reason_drop nft_do_chain nft_do_chain_ipv4 nf_hook_slow br_nf_forward_ip nf_hook_slow __br_forward br_handle_frame_finish",
        );
        assert_eq!(hook(&bridged), Some((Hook::Forward, true)));
        assert_eq!(hook(&stack("sk_skb_reason_drop ip_rcv_core ip_rcv")), None);
    }

    #[test]
    fn a_redirect_is_not_the_packet() {
        let stack = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(redirect(&stack(
            "sk_skb_reason_drop nf_hook_slow ip_output __icmp_send ip_rt_send_redirect ip_forward"
        )));
        assert!(!redirect(&stack("sk_skb_reason_drop nf_hook_slow ip_output __icmp_send ip_forward")));
    }
}
