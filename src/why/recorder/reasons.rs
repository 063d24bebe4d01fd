//! Every word that the kernel has for losing a packet (`SKB_DROP_REASON_*`, Linux 5.17 to 7.2), and what it means.
//!
//! Reasons that the kernel gave up again have the names that they had. OVS, and 802.11, have reasons of their own, which are not here.

/// The reasons of the core, in the kernel's order.
pub(super) const REASONS: &[(&str, &str)] = &[
    ("NOT_SPECIFIED", "the kernel gives no reason: the function that dropped it tells"),
    ("NO_SOCKET", "no socket is there for it"),
    ("SOCKET_CLOSE", "its socket was closed"),
    ("SOCKET_FILTER", "a BPF filter of the socket dropped it"),
    ("SOCKET_RCVBUFF", "the receive buffer of the socket is full"),
    ("UNIX_DISCONNECT", "a Unix socket was disconnected"),
    ("UNIX_SKIP_OOB", "urgent data of a Unix socket was skipped"),
    ("PKT_TOO_SMALL", "it is shorter than its headers"),
    ("TCP_CSUM", "its TCP checksum is wrong"),
    ("UDP_CSUM", "its UDP checksum is wrong"),
    ("NETFILTER_DROP", "netfilter dropped it: a rule, a policy, or connection tracking"),
    ("OTHERHOST", "its frame is addressed to another MAC"),
    ("IP_CSUM", "the checksum of its IP header is wrong"),
    ("IP_INHDR", "its IP header is wrong, or its time to live is over"),
    ("IP_RPFILTER", "the reverse path filter dropped it"),
    ("UNICAST_IN_L2_MULTICAST", "it is for one address and came in a multicast frame (drop_unicast_in_l2_multicast)"),
    ("XFRM_POLICY", "an IPsec policy dropped it, or wanted it encrypted"),
    ("IP_NOPROTO", "nothing takes its protocol: no module for it, or no such tunnel"),
    ("PROTO_MEM", "the memory for its protocol is used up (udp_mem, tcp_mem)"),
    ("TCP_AUTH_HDR", "its TCP signature (MD5 or AO) is malformed"),
    ("TCP_MD5NOTFOUND", "it lacks the TCP MD5 signature that the socket wants"),
    ("TCP_MD5UNEXPECTED", "it has a TCP MD5 signature that the socket has no key for"),
    ("TCP_MD5FAILURE", "its TCP MD5 signature is wrong: the keys differ"),
    ("TCP_AONOTFOUND", "it lacks the TCP-AO signature that the socket wants"),
    ("TCP_AOUNEXPECTED", "it has a TCP-AO signature that the socket has no key for"),
    ("TCP_AOKEYNOTFOUND", "its TCP-AO key is not known to the socket"),
    ("TCP_AOFAILURE", "its TCP-AO signature is wrong: the keys differ"),
    ("SOCKET_BACKLOG", "the backlog of the busy socket is full"),
    ("TCP_FLAGS", "its TCP flags make no sense"),
    ("TCP_ABORT_ON_DATA", "data came for a connection that was closed"),
    ("TCP_ZEROWINDOW", "the receiver has no room: its program does not read"),
    ("TCP_OLD_DATA", "its data was received before"),
    ("TCP_OVERWINDOW", "its data is beyond what the receiver takes"),
    ("TCP_OFOMERGE", "its data waits out of order already"),
    (
        "TCP_RFC7323_PAWS",
        "its TCP timestamp is older than the last one: another connection with the same ports, often behind one NAT",
    ),
    ("TCP_RFC7323_PAWS_ACK", "the timestamp of its ACK is older than the last one"),
    (
        "TCP_RFC7323_TW_PAWS",
        "its timestamp is older than that of the connection that ended with these ports (TIME-WAIT)",
    ),
    ("TCP_RFC7323_TSECR", "it echoes a timestamp that was never sent"),
    ("TCP_LISTEN_OVERFLOW", "the accept queue of the listening socket is full"),
    ("TCP_OLD_SEQUENCE", "its sequence number is old"),
    ("TCP_INVALID_SEQUENCE", "its sequence number is out of the window"),
    ("TCP_INVALID_END_SEQUENCE", "its end is out of the window"),
    ("TCP_INVALID_ACK_SEQUENCE", "it acknowledges what is out of the window"),
    ("TCP_RESET", "it is a reset out of place"),
    ("TCP_INVALID_SYN", "it opens a connection that is open: the other end has forgotten it"),
    ("TCP_CLOSE", "the connection is closed"),
    ("TCP_FASTOPEN", "TCP Fast Open did not take it"),
    ("TCP_OLD_ACK", "its ACK is old"),
    ("TCP_TOO_OLD_ACK", "its ACK is too old"),
    ("TCP_ACK_UNSENT_DATA", "it acknowledges what was never sent"),
    ("TCP_OFO_QUEUE_PRUNE", "data out of order was thrown away for want of memory"),
    ("TCP_OFO_DROP", "its data waits already"),
    ("IP_OUTNOROUTES", "no route leads out for it"),
    ("BPF_CGROUP_EGRESS", "a BPF program of a cgroup dropped it"),
    ("IPV6DISABLED", "IPv6 is switched off on the link"),
    ("NEIGH_CREATEFAIL", "no entry for the neighbour could be made: the table is full (gc_thresh3)"),
    ("NEIGH_FAILED", "nobody answered for the next hop"),
    ("NEIGH_QUEUEFULL", "too many packets wait for the neighbour's answer (unres_qlen)"),
    ("NEIGH_DEAD", "the neighbour entry is being removed"),
    ("NEIGH_HH_FILLFAIL", "no room for the hardware header"),
    ("TC_EGRESS", "a tc filter dropped it on the way out"),
    ("SECURITY_HOOK", "a security module (SELinux, AppArmor, Smack) dropped it"),
    ("QDISC_DROP", "the queueing discipline dropped it"),
    ("QDISC_OVERLIMIT", "the queue is longer than its limit"),
    ("QDISC_CONGESTED", "the queueing discipline says congestion (red, codel)"),
    ("CAKE_FLOOD", "cake's flood protection dropped it"),
    ("FQ_BAND_LIMIT", "a band of fq is over its limit"),
    ("FQ_HORIZON_LIMIT", "its time to be sent is beyond fq's horizon"),
    ("FQ_FLOW_LIMIT", "its flow is over the limit of fq"),
    ("CPU_BACKLOG", "the backlog of the processor is full (netdev_max_backlog, or the flow limit of RPS)"),
    ("XDP", "an XDP program dropped it"),
    ("TC_INGRESS", "a tc filter dropped it on the way in"),
    ("UNHANDLED_PROTO", "nobody takes frames of its type: VLAN without a link for it, or a protocol without a module"),
    ("SKB_CSUM", "its checksum could not be computed"),
    ("SKB_GSO_SEG", "it could not be cut into segments"),
    ("SKB_UCOPY_FAULT", "its data could not be copied from the program"),
    ("DEV_HDR", "the device did not take its header"),
    ("DEV_READY", "the device or its other end is not up"),
    ("FULL_RING", "the ring of the device is full"),
    ("NOMEM", "memory is short"),
    ("HDR_TRUNC", "its headers are cut off"),
    ("TAP_FILTER", "a BPF filter of the tun device dropped it"),
    ("TAP_TXFILTER", "the address filter of the tap device dropped it"),
    ("ICMP_CSUM", "its ICMP checksum is wrong"),
    ("INVALID_PROTO", "its protocol forbids it, as an echo request to a broadcast"),
    ("IP_INADDRERRORS", "it is for somebody else, and the link does not forward"),
    ("IP_INNOROUTES", "no route leads to its destination"),
    ("IP_LOCAL_SOURCE", "it comes from outside with an address of the machine itself"),
    ("IP_INVALID_SOURCE", "its source address may not be on a wire (multicast, 0.0.0.0, 240.0.0.0/4)"),
    ("IP_LOCALNET", "127.0.0.0/8 is on a wire, and route_localnet is 0"),
    ("IP_INVALID_DEST", "its destination address may not be there"),
    ("PKT_TOO_BIG", "it is bigger than the MTU ahead and may not be cut"),
    ("DUP_FRAG", "the fragment came twice"),
    ("FRAG_REASM_TIMEOUT", "not all fragments came in time"),
    ("FRAG_TOO_FAR", "fragments of too many other packets came between (ipfrag_max_dist)"),
    ("TCP_MINTTL", "its time to live is less than the socket wants (IP_MINTTL: a BGP session over a router)"),
    ("IPV6_BAD_EXTHDR", "an extension header is wrong"),
    ("IPV6_NDISC_FRAG", "neighbour discovery came in fragments (suppress_frag_ndisc)"),
    ("IPV6_NDISC_HOP_LIMIT", "neighbour discovery with a hop limit other than 255: it came over a router"),
    ("IPV6_NDISC_BAD_CODE", "neighbour discovery with a wrong code"),
    ("IPV6_NDISC_BAD_OPTIONS", "neighbour discovery with wrong options"),
    ("IPV6_NDISC_NS_OTHERHOST", "the neighbour solicitation is for another"),
    ("QUEUE_PURGE", "the queue was emptied as its socket or link went"),
    ("TC_COOKIE_ERROR", "tc lost its place in the chain"),
    ("PACKET_SOCK_ERROR", "a packet socket that listens in could not take its copy"),
    ("TC_CHAIN_NOTFOUND", "tc was sent to a chain that is not there"),
    ("TC_RECLASSIFY_LOOP", "tc filters send it round in circles"),
    ("VXLAN_INVALID_HDR", "its VXLAN header is wrong"),
    ("VXLAN_VNI_NOT_FOUND", "no VXLAN link has its id"),
    ("MAC_INVALID_SOURCE", "its source MAC is a multicast, or the link's own"),
    ("VXLAN_ENTRY_EXISTS", "the VXLAN forwarding entry of its source is pinned to another end"),
    ("NO_TX_TARGET", "no port or end is left to send it to"),
    ("IP_TUNNEL_ECN", "the congestion marks of the outer and the inner packet contradict each other"),
    ("TUNNEL_TXINFO", "the tunnel link needs a destination with each packet, and it has none (external)"),
    ("LOCAL_MAC", "its source MAC is the VXLAN link's own"),
    ("ARP_PVLAN_DISABLE", "an ARP answer back out of the link that it came in by (proxy_arp_pvlan is off)"),
    ("MAC_IEEE_MAC_CONTROL", "it is a frame that no bridge forwards (01:80:c2:…)"),
    ("BRIDGE_INGRESS_STP_STATE", "the bridge port is not in forwarding state"),
    ("CAN_RX_INVALID_FRAME", "it is no valid CAN frame"),
    ("CANFD_RX_INVALID_FRAME", "it is no valid CAN FD frame"),
    ("CANXL_RX_INVALID_FRAME", "it is no valid CAN XL frame"),
    ("PFMEMALLOC", "memory is short, and its socket may not use the reserve"),
    ("DUALPI2_STEP_DROP", "the queueing discipline dualpi2 dropped it"),
    ("PSP_INPUT", "PSP security did not take it"),
    ("PSP_OUTPUT", "PSP security did not let it out"),
    ("RECURSION_LIMIT", "it went round in virtual links too deep: a tunnel within itself, or a loop of stacked links"),
];

/// What a reason means, as a clause.
#[must_use]
pub fn means(reason: &str) -> Option<&'static str> {
    REASONS.iter().find(|(name, _)| *name == reason).map(|(_, means)| *means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once() {
        for (at, (name, means)) in REASONS.iter().enumerate() {
            assert!(!means.is_empty());
            assert!(REASONS[..at].iter().all(|(other, _)| other != name), "{name} stands twice");
        }
    }

    #[test]
    fn every_reason_of_a_kernel_has_a_meaning_and_a_class() {
        let kernel = include_str!("../../../tests/fixtures/drop-reasons.txt");
        let lacking: Vec<&str> =
            kernel.split_whitespace().filter(|name| *name != "MAX" && means(name).is_none()).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
        let vague = |name: &&str| {
            !matches!(*name, "MAX" | "NOT_SPECIFIED")
                && super::super::Class::of(Some(name), None) == super::super::Class::Unknown
        };
        let unclassed: Vec<&str> = kernel.split_whitespace().filter(vague).collect();
        assert!(unclassed.is_empty(), "{unclassed:?}");
    }
}
