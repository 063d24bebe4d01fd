//! Every code a finding can carry, in one table: what it means, how it is seen, what mends it.
//!
//! `netwright why --explain CODE` prints from here, and nothing else gives a code a meaning.

use std::fmt;

macro_rules! codes {
    ($($variant:ident $name:ident $means:literal $seen:literal $mend:literal)*) => {
        /// A kind of fault: what a finding says stops a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(clippy::doc_markdown, reason = "the text is for the terminal, too: IPsec is a word there")]
        pub enum Code {
            $(#[doc = $means] $variant,)*
        }

        /// All codes, in the order of the layers that a packet passes.
        pub const ALL: &[Code] = &[$(Code::$variant),*];

        impl Code {
            /// The stable word, for example `RP_FILTER`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// What it means.
            #[must_use]
            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => $means,)* }
            }

            /// How it is seen on a machine.
            #[must_use]
            pub fn seen(self) -> &'static str {
                match self { $(Self::$variant => $seen,)* }
            }

            /// What mends it.
            #[must_use]
            pub fn mend(self) -> &'static str {
                match self { $(Self::$variant => $mend,)* }
            }
        }
    };
}

codes! {
NsMissing NS_MISSING "the namespace does not exist" "`ip netns list` does not name it" "make it, or correct the name"
NetnsUnreadable NETNS_UNREADABLE "a namespace could not be read, so nothing can be said of what is in it" "`ip -j -d address show` there fails, or prints no JSON or too much" "look at `ip` and at what it prints there; `--tool ip=PATH` takes another"
LinkMissing LINK_MISSING "a namespace has no link that could carry the packet" "`ip link` shows only lo" "add a veth pair into it"
LinkWrongNetns LINK_WRONG_NETNS "a link was never moved to the namespace that needs it" "both ends of a veth pair are in one namespace" "ip link set dev X netns NS"
LinkAdminDown LINK_ADMIN_DOWN "a link on the way is switched off" "`ip link` shows no UP; the other end shows NO-CARRIER" "ip link set dev X up"
LinkNoCarrier LINK_NO_CARRIER "a link on the way is up but has no carrier" "`ip link` shows NO-CARRIER, and the other end is not a link that is known here" "plug the cable, start the other end"
LoDown LO_DOWN "lo is down, so a namespace cannot talk to itself" "`ip link show lo` shows no UP" "ip link set dev lo up"
BridgeMacFloats BRIDGE_MAC_FLOATS "a bridge has the MAC address of one of its ports, and gets another one as ports come and go" "`ip link` shows a bridge with the address of a veth that is its port" "ip link set dev BRIDGE address MAC, with the address that it has"
PortNotEnslaved PORT_NOT_ENSLAVED "a link that should be a port of a bridge is not" "`ip -d link` shows no master" "ip link set dev X master BRIDGE"
PortWrongBridge PORT_WRONG_BRIDGE "a link is a port of another bridge than the one that leads to the target" "`ip link` shows another master" "ip link set dev X master BRIDGE"
PortIsolated PORT_ISOLATED "two isolated ports of one bridge do not talk to each other" "`bridge -d link` shows isolated on for both" "bridge link set dev X isolated off"
PortLocked PORT_LOCKED "a locked bridge port drops frames of source addresses that it was not told of" "`bridge -d link` shows locked on" "bridge link set dev X locked off"
PortStpState PORT_STP_STATE "a bridge port does not forward (yet)" "`bridge link` shows a state other than forwarding" "wait for twice forward_delay, or switch STP off"
PortFloodOff PORT_FLOOD_OFF "a bridge port takes no frames for addresses that the bridge has not learned, or no broadcasts" "`bridge -d link` shows flood off or bcast_flood off" "bridge link set dev X flood on"
PortHairpinOff PORT_HAIRPIN_OFF "a bridge port would have to send a frame back by the port that it came in by" "`bridge -d link` shows hairpin off; the target of a translation is behind the same port as the asker" "bridge link set dev X hairpin on"
McastSnooped MCAST_SNOOPED "a bridge that snoops multicast keeps it from a port that never joined the group; neighbour discovery of IPv6 is multicast" "`bridge mdb show` has no entry of the group for the port, and there is a querier" "ip link set dev BRIDGE type bridge mcast_snooping 0, or let the membership reports (MLD, IGMP) pass"
PortVlan PORT_VLAN "a bridge with VLAN filtering does not pass the frame between these ports" "`bridge vlan` shows no common VLAN" "bridge vlan add dev X vid N pvid untagged"
FdbStaticWrong FDB_STATIC_WRONG "a fixed forwarding entry of a bridge leads the frame to the wrong port" "`bridge fdb` has the address on another port" "bridge fdb del MAC dev X master"
MacDuplicate MAC_DUPLICATE "two stations of one segment have the same hardware address" "`ip link` shows the same address twice" "ip link set dev X address …"
L2FilterDrop L2_FILTER_DROP "a filter on frames (ebtables, nft bridge, arp or netdev tables) drops it" "`nft list ruleset`, `ebtables -L`" "delete the rule"
TcDrop TC_DROP "a tc filter drops the packet" "`tc -s filter show dev X ingress`" "tc filter del, or tc qdisc del dev X clsact"
XdpDrop XDP_DROP "an XDP program drops the packet" "`ip -d link` shows prog/xdp" "ip link set dev X xdp off"
QdiscDrop QDISC_DROP "a queueing discipline drops the packet" "`tc -s qdisc` counts dropped" "tc qdisc del dev X root"
AddrMissing ADDR_MISSING "nobody has the address that is asked for" "no `ip addr` on the segment shows it" "ip addr add ADDR dev X"
AddrDuplicate ADDR_DUPLICATE "two namespaces of one segment have the same address" "`ip addr` in both" "remove one of them"
PrefixMismatch PREFIX_MISMATCH "the two ends disagree about what is on their segment" "`ip addr`: the prefix lengths differ" "use the same prefix length on both ends"
NeighStaticWrong NEIGH_STATIC_WRONG "a permanent neighbour entry has the wrong hardware address" "`ip neigh` shows PERMANENT" "ip neigh del ADDR dev X"
NeighStaleWrong NEIGH_STALE_WRONG "a learned neighbour entry has an old or foreign hardware address" "`ip neigh` shows an address that nobody on the way has" "ip neigh flush to ADDR dev X"
ArpDisabled ARP_DISABLED "a link neither asks nor answers ARP" "`ip link` shows NOARP" "ip link set dev X arp on"
ArpIgnored ARP_IGNORED "a namespace does not answer ARP (or neighbour discovery) for the address on this link" "arp_ignore, arp_filter, proxy_arp, proxy_ndp" "sysctl -w net.ipv4.conf.X.arp_ignore=0"
RouteMissing ROUTE_MISSING "no route leads to the target" "`ip route get` says: Network is unreachable" "ip route add"
ReturnRouteMissing RETURN_ROUTE_MISSING "the answer has no route back" "`ip route get` at the answering end" "ip route add there, or translate the source address on the way"
RouteGatewayDead ROUTE_GATEWAY_DEAD "a route leads to a gateway that nobody is" "no `ip addr` on the segment shows the gateway" "ip route replace … via the right one"
RouteWrongNexthop ROUTE_WRONG_NEXTHOP "a route leads to a neighbour or link that does not lead on to the target" "`ip route get` names another link than the one the target is on" "delete or correct the route"
RouteBlackhole ROUTE_BLACKHOLE "a blackhole route swallows it" "`ip route` shows blackhole" "ip route del blackhole …"
RouteUnreachable ROUTE_UNREACHABLE "an unreachable route refuses it" "`ip route` shows unreachable" "ip route del unreachable …"
RouteProhibit ROUTE_PROHIBIT "a prohibit route refuses it" "`ip route` shows prohibit" "ip route del prohibit …"
RouteLoop ROUTE_LOOP "two routers send the packet to each other until its time to live is over, or a tunnel is routed into itself" "`ip route get` in each names the other" "correct one of the routes"
RuleMisdirect RULE_MISDIRECT "a policy rule refuses the packet or leads it to the wrong table" "`ip rule`" "ip rule del …"
ForwardingDisabled FORWARDING_DISABLED "a namespace gets a packet for somebody else and is no router" "net.ipv4.ip_forward, net.ipv4.conf.X.forwarding" "sysctl -w net.ipv4.ip_forward=1"
RpFilter RP_FILTER "the reverse path filter drops packets whose source is reached by another link" "rp_filter of all and of the link: the greater one counts" "sysctl -w net.ipv4.conf.X.rp_filter=2"
TtlExpired TTL_EXPIRED "the time to live is over before the target" "net.ipv4.ip_default_ttl, ping says: Time to live exceeded" "sysctl -w net.ipv4.ip_default_ttl=64"
MartianLocalnet MARTIAN_LOCALNET "an address that may not be on a wire (127.0.0.0/8, one's own, that of a broadcast) comes in from one" "log_martians" "translate it, or sysctl -w net.ipv4.conf.X.route_localnet=1"
XfrmBlock XFRM_BLOCK "an IPsec policy blocks it or wants a tunnel that is not there" "`ip xfrm policy`" "ip xfrm policy delete …"
LocalPortsExhausted LOCAL_PORTS_EXHAUSTED "no local port is free for another connection" "net.ipv4.ip_local_port_range, `ss -s`" "widen the range"
MtuExceeded MTU_EXCEEDED "the packet is larger than a link on the way takes, and may not be fragmented" "`ip link`: mtu; ICMP says: Frag needed" "raise the mtu, or send less"
MtuL2Mismatch MTU_L2_MISMATCH "two ends of one segment have different MTUs: what is too big vanishes without a word" "`ip link`: mtu" "the same mtu on both ends"
MtuBlackhole MTU_BLACKHOLE "the packet is too big and the message that says so does not come back" "a filter drops ICMP type 3 code 4" "let ICMP errors pass"
NfPolicyDrop NF_POLICY_DROP "the policy of a chain drops what no rule accepts" "`iptables -S`, `nft list ruleset`" "add a rule that accepts, or change the policy"
NfDrop NF_DROP "a rule drops it" "`iptables -S` with its counter" "delete the rule"
NfReject NF_REJECT "a rule refuses it with an answer" "`iptables -S` with its counter" "delete the rule"
ConntrackFull CONNTRACK_FULL "the table of connections is full" "nf_conntrack_count = nf_conntrack_max" "sysctl -w net.netfilter.nf_conntrack_max=…, or conntrack -F"
NatMissing NAT_MISSING "private addresses leave untranslated, and the far end has no route back to them" "no MASQUERADE or SNAT matches" "iptables -t nat -A POSTROUTING -s NET -o LINK -j MASQUERADE"
NatWrong NAT_WRONG "a rule that should translate does not apply: other link, other network, or shadowed by an earlier one" "`iptables -t nat -S POSTROUTING` with counters" "correct the rule"
ConntrackStale CONNTRACK_STALE "a connection that is tracked still goes where it went when it began, past rules that came later" "`conntrack -L` shows an entry without the translation that the rules would make now" "conntrack -D with its addresses and ports"
NatPortsExhausted NAT_PORTS_EXHAUSTED "no port is free for another translation" "`conntrack -S` counts insert_failed" "more addresses or ports for SNAT"
DnatMissing DNAT_MISSING "nothing listens here, and no rule hands the port on" "no DNAT for the port" "iptables -t nat -A PREROUTING … -j DNAT --to-destination"
DnatWrongTarget DNAT_WRONG_TARGET "the port is handed on to where nothing listens or nobody is" "`iptables -t nat -S PREROUTING`" "correct --to-destination"
HairpinNoSnat HAIRPIN_NO_SNAT "the target answers the client directly, past the router that translated the request" "DNAT without SNAT within one segment" "MASQUERADE what goes from the segment to the target"
ServiceNotListening SERVICE_NOT_LISTENING "nothing listens on the port" "`ss -ltnu`" "start the service"
ServiceWrongBind SERVICE_WRONG_BIND "the service listens on another address" "`ss -ltnu`" "let it listen on this address or on all"
ServiceWrongSource SERVICE_WRONG_SOURCE "the service answers from another address than the one it was asked at, and the asker waits for that one" "`tcpdump` shows the answer with another source; `ss -lnu` shows the socket on all addresses" "let it listen on that address itself, or answer from where it was asked (IP_PKTINFO, `multihome`)"
TcpSignature TCP_SIGNATURE "a socket takes only segments that are signed with its key (TCP MD5, AO), and drops others in silence" "the recorder says TCP_MD5NOTFOUND; `ss -tlni` shows md5keys" "the same key on both ends"
ServiceSilent SERVICE_SILENT "the service takes the connection and never answers" "`ss -ltn`: Recv-Q grows; the process is stopped or stuck" "look at the process"
ServiceBacklogFull SERVICE_BACKLOG_FULL "the queue of the listening socket is full" "`ss -ltn`: Recv-Q exceeds Send-Q" "look at the process, raise its backlog"
IcmpEchoIgnored ICMP_ECHO_IGNORED "the target does not answer pings by configuration" "icmp_echo_ignore_all" "sysctl -w net.ipv4.icmp_echo_ignore_all=0"
V6Disabled V6_DISABLED "IPv6 is switched off on a link" "disable_ipv6" "sysctl -w net.ipv6.conf.X.disable_ipv6=0, then add the addresses again"
V6ForwardingDisabled V6_FORWARDING_DISABLED "a namespace gets an IPv6 packet for somebody else and is no router" "net.ipv6.conf.all.forwarding" "sysctl -w net.ipv6.conf.all.forwarding=1"
V6NdBlocked V6_ND_BLOCKED "a filter drops neighbour discovery" "a rule on ICMPv6 type 135 or 136" "accept neighbour solicitation and advertisement"
V6DadPending V6_DAD_PENDING "an IPv6 address is still tentative and not used yet" "`ip -6 addr` shows tentative" "wait, or add it with nodad"
V6DadFailed V6_DAD_FAILED "somebody else has the IPv6 address" "`ip -6 addr` shows dadfailed" "use another address"
VlanMismatch VLAN_MISMATCH "two ends of one cable put their packets into different VLANs" "`ip -d link`: id and protocol of the VLAN links on both ends" "the same id and protocol on both ends"
TunnelMismatch TUNNEL_MISMATCH "the two ends of a tunnel do not fit together" "`ip -d link`: id, remote, local, port" "the same parameters on both ends"
}

impl Code {
    /// Whether the packet is too big for something on its way.
    #[must_use]
    pub fn is_of_mtu(self) -> bool {
        matches!(self, Self::MtuExceeded | Self::MtuL2Mismatch | Self::MtuBlackhole)
    }

    /// Whether a rule or the policy of a chain of a packet filter is at fault.
    #[must_use]
    pub fn is_of_filter(self) -> bool {
        matches!(self, Self::NfDrop | Self::NfReject | Self::NfPolicyDrop)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The code of that name.
#[must_use]
pub fn find(name: &str) -> Option<Code> {
    ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_says_all() {
        for (index, code) in ALL.iter().enumerate() {
            assert!(!code.means().is_empty() && !code.seen().is_empty() && !code.mend().is_empty());
            assert!(ALL[..index].iter().all(|other| other.name() != code.name()), "{code} stands twice");
        }
        assert_eq!(find("rp_filter"), Some(Code::RpFilter));
    }
}
