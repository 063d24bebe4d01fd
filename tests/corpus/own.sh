#!/usr/bin/env bash
# Faults that are not in faults.sh: the same lab and the same commands (setup, inject, flow, expect, grade, fix, run, run_all), other mistakes.
#
# `expect` is `CODE[|CODE…] where: words`: where the state cannot tell two codes apart, both are right.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/faults.sh"
FAULTS=()
DECOYS=()

A6C='dx-a icmp fd78::2 id=dx-c'; A6B='dx-a icmp fd77::3 id=dx-b'; AV='dx-a icmp 10.200.0.2 id=dx-c'
vx() { # NS LOCAL VXLAN-OPTIONS…: makes vx0 anew
  local ns=$1 ip=$2; shift 2
  ip -n "$ns" link del vx0 2>/dev/null
  ip -n "$ns" link add vx0 mtu 1450 type vxlan "$@"
  ip -n "$ns" addr add "$ip/24" dev vx0; ip -n "$ns" link set vx0 up
}
vx_a() { vx dx-a 10.200.0.1 id 42 local 10.77.0.2 remote 10.78.0.2 dstport 4789; }
vx_c() { vx dx-c 10.200.0.2 id 42 local 10.78.0.2 remote 10.77.0.2 dstport 4789; }
v6flush() { ia -6 neigh flush all; ib -6 neigh flush all; ih -6 neigh flush all; ic -6 neigh flush all; } 2>/dev/null
# service NS PYTHON: another service on port 80 instead of the lab's
service() { unserve "$1"; hold "svc-$1" ip netns exec "$1" python3 -c "$2"; sleep 0.4; }
noservice() { unhold "svc-$1"; serve "$1"; sleep 0.3; }

# ======================= policy routing, and routes that are not plain =======================
F rule_to_blackhole_table static "$AC" "RULE_MISDIRECT dx-host: rule to 10.78.0.0/24 lookup 200, a table with a blackhole" "200"
fault_rule_to_blackhole_table_inject() { ih route add blackhole default table 200; ih rule add to 10.78.0.0/24 pref 300 lookup 200; }
fault_rule_to_blackhole_table_fix() { ih rule del pref 300; }

F rule_wrong_table static "$AC" "RULE_MISDIRECT|ROUTE_WRONG_NEXTHOP dx-host: rule from 10.77.0.0/24 lookup 201 leads to the uplink" "201"
fault_rule_wrong_table_inject() { ih route add default via 198.51.100.2 table 201; ih rule add from 10.77.0.0/24 pref 301 lookup 201; }
fault_rule_wrong_table_fix() { ih rule del pref 301; }

F rule_reply_unreachable static "$AC" "RULE_MISDIRECT dx-c: rule to 10.77.0.0/24 unreachable stops the reply" "dx-c && rule"
fault_rule_reply_unreachable_inject() { ic rule add to 10.77.0.0/24 pref 302 unreachable; }
fault_rule_reply_unreachable_fix() { ic rule del pref 302; }

F rule_suppress_default static "$AC" "RULE_MISDIRECT dx-a: main is looked up with suppress_prefixlength 0 only" "dx-a && rule"
fault_rule_suppress_default_inject() { ia rule add pref 303 lookup main suppress_prefixlength 0; ia rule del pref 32766; }
fault_rule_suppress_default_fix() { ia rule add pref 32766 lookup main; }

F rule_sport_table static "$ACT" "RULE_MISDIRECT dx-a: rule ipproto tcp dport 80 prohibit" "dx-a && (prohibit|dport)"
fault_rule_sport_table_inject() { ia rule add ipproto tcp dport 80 pref 304 prohibit; }
fault_rule_sport_table_fix() { ia rule del pref 304; }

F unreachable_default_first static "$AC" "ROUTE_UNREACHABLE dx-a: unreachable default with the better metric" "dx-a && unreachable"
fault_unreachable_default_first_inject() { ia route del default; ia route add default via 10.77.0.1 metric 100; ia route add unreachable default metric 50; }
fault_unreachable_default_first_fix() { ia route del unreachable default metric 50; }

F prohibit_in_reply static "$AC" "ROUTE_PROHIBIT dx-c: prohibit 10.77.0.0/16 stops the reply" "dx-c && prohibit"
fault_prohibit_in_reply_inject() { ic route add prohibit 10.77.0.0/16; }
fault_prohibit_in_reply_fix() { ic route del prohibit 10.77.0.0/16; }

F onlink_gateway static "$AC" "ROUTE_GATEWAY_DEAD dx-a: default via 10.99.0.1 onlink, nobody has it" "10\.99\.0\.1"
fault_onlink_gateway_inject() { ia route replace default via 10.99.0.1 dev eth0 onlink; }
fault_onlink_gateway_fix() { ia route replace default via 10.77.0.1; }

F default_without_gateway static "$AC" "ROUTE_WRONG_NEXTHOP dx-a: default dev eth0 scope link, 10.78.0.2 is not on that segment" "dx-a && eth0"
fault_default_without_gateway_inject() { ia route replace default dev eth0; }
fault_default_without_gateway_fix() { ia route del default dev eth0; ia route add default via 10.77.0.1; }

F multipath_dead static "$AC" "ROUTE_GATEWAY_DEAD dx-a: the nexthop 10.77.0.250 of a multipath route is nobody" "10\.77\.0\.250"
fault_multipath_dead_inject() { ia route replace default nexthop via 10.77.0.1 dev eth0 weight 1 nexthop via 10.77.0.250 dev eth0 weight 250; }
fault_multipath_dead_fix() { ia route replace default via 10.77.0.1; }

F nexthop_object_dead static "$AC" "ROUTE_GATEWAY_DEAD dx-a: nexthop object 7 via 10.77.0.251, nobody has it" "10\.77\.0\.251"
fault_nexthop_object_dead_inject() { ia nexthop add id 7 via 10.77.0.251 dev eth0; ia route del default; ia route add default nhid 7; }
fault_nexthop_object_dead_fix() { ia route del default; ia route add default via 10.77.0.1; }

F nexthop_object_blackhole static "$AC" "ROUTE_BLACKHOLE dx-host: 10.78.0.2 by nexthop object 8, a blackhole" "dx-host && blackhole"
fault_nexthop_object_blackhole_inject() { ih nexthop add id 8 blackhole; ih route add 10.78.0.2/32 nhid 8; }
fault_nexthop_object_blackhole_fix() { ih route del 10.78.0.2/32; }

F host_route_wrong_dev static "$AC" "ROUTE_WRONG_NEXTHOP dx-host: 10.78.0.2 dev br0" "dx-host && br0"
fault_host_route_wrong_dev_inject() { ih route add 10.78.0.2/32 dev br0; }
fault_host_route_wrong_dev_fix() { ih route del 10.78.0.2/32; }

F gateway_is_no_router static "$AC" "ROUTE_WRONG_NEXTHOP|FORWARDING_DISABLED dx-a: default via 10.77.0.3, which is dx-b and no router" "dx-b"
fault_gateway_is_no_router_inject() { ia route replace default via 10.77.0.3; }
fault_gateway_is_no_router_fix() { ia route replace default via 10.77.0.1; }

F local_route_hijack static "$ACT" "ROUTE_WRONG_NEXTHOP dx-host: local 10.78.0.2 swallows what is for dx-c" "dx-host && local && 10\.78\.0\.2"
fault_local_route_hijack_inject() { ih route add local 10.78.0.2/32 dev lo table local; }
fault_local_route_hijack_fix() { ih route del local 10.78.0.2/32 dev lo table local; }

F route_src_wrong static "$AC" "RETURN_ROUTE_MISSING|ROUTE_WRONG_NEXTHOP|ROUTE_MISSING dx-a sends from 10.55.0.1, which nobody routes back" "10\.55\.0\.1"
fault_route_src_wrong_inject() { ia addr add 10.55.0.1/32 dev lo; ia route add 10.78.0.0/24 via 10.77.0.1 src 10.55.0.1; }
fault_route_src_wrong_fix() { ia route del 10.78.0.0/24; }

F route_mtu_lock static "dx-a icmp 10.78.0.2 size=1400 id=dx-c" "MTU_EXCEEDED dx-a: the route says mtu lock 600" "mtu && 600"
fault_route_mtu_lock_inject() { ia route add 10.78.0.0/24 via 10.77.0.1 mtu lock 600; }
fault_route_mtu_lock_fix() { ia route del 10.78.0.0/24; ia route flush cache; }

F rp_filter_on_reply static "$AC" "RP_FILTER dx-a/eth0: replies come in by eth0, dx-a routes 10.78.0.2 by eth1" "dx-a && rp_filter"
fault_rp_filter_on_reply_inject() { asym_path; sy dx-a net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.eth0.rp_filter=1; }
fault_rp_filter_on_reply_fix() { sy dx-a net.ipv4.conf.eth0.rp_filter=0; }

F xfrm_block static "$AC" "XFRM_BLOCK dx-host: an IPsec policy blocks 10.77.0.2 → 10.78.0.2" "dx-host && (xfrm|ipsec)"
fault_xfrm_block_inject() { ih xfrm policy add src 10.77.0.2/32 dst 10.78.0.2/32 dir fwd action block; }
fault_xfrm_block_fix() { ih xfrm policy delete src 10.77.0.2/32 dst 10.78.0.2/32 dir fwd; }

F ttl_by_rule static "$AC" "TTL_EXPIRED dx-host: mangle PREROUTING sets the TTL to 1" "ttl && dx-host"
fault_ttl_by_rule_inject() { h iptables -w -t mangle -A PREROUTING -i br0 -j TTL --ttl-set 1; }
fault_ttl_by_rule_fix() { h iptables -w -t mangle -F PREROUTING; }

# ======================= ARP and neighbours =======================
F router_noarp static "$AC" "ARP_DISABLED dx-host/br0 has NOARP" "dx-host && br0 && arp"
fault_router_noarp_inject() { ih link set br0 arp off; noneigh; }
fault_router_noarp_fix() { ih link set br0 arp on; noneigh; }

F arp_ignore static "$AB" "ARP_IGNORED dx-b: arp_ignore = 8" "dx-b && arp_ignore"
fault_arp_ignore_inject() { sy dx-b net.ipv4.conf.all.arp_ignore=8; noneigh; }
fault_arp_ignore_fix() { sy dx-b net.ipv4.conf.all.arp_ignore=0; noneigh; }

F router_neigh_static static "$AC" "NEIGH_STATIC_WRONG dx-host: 10.78.0.2 is pinned to another address" "dx-host && 02:de:ad"
fault_router_neigh_static_inject() { ih neigh replace 10.78.0.2 lladdr 02:de:ad:00:00:01 dev vc nud permanent; }
fault_router_neigh_static_fix() { ih neigh del 10.78.0.2 dev vc; }

F reply_neigh_static static "$AB" "NEIGH_STATIC_WRONG dx-b: 10.77.0.2 is pinned to another address" "dx-b && 02:de:ad"
fault_reply_neigh_static_inject() { ib neigh replace 10.77.0.2 lladdr 02:de:ad:00:00:02 dev eth0 nud permanent; }
fault_reply_neigh_static_fix() { ib neigh del 10.77.0.2 dev eth0; }

F v6_neigh_static static "$A6B" "NEIGH_STATIC_WRONG dx-a: fd77::3 is pinned to another address" "dx-a && 02:de:ad"
fault_v6_neigh_static_inject() { ia neigh replace fd77::3 lladdr 02:de:ad:00:00:03 dev eth0 nud permanent; }
fault_v6_neigh_static_fix() { ia neigh del fd77::3 dev eth0; }

F arp_table_drop static "$AB" "L2_FILTER_DROP dx-b: nft table arp drops requests" "dx-b && arp"
fault_arp_table_drop_inject() { b nft 'add table arp quiet; add chain arp quiet in { type filter hook input priority 0; policy accept; }; add rule arp quiet in arp operation request drop'; noneigh; }
fault_arp_table_drop_fix() { b nft delete table arp quiet; noneigh; }

F primary_removed static "dx-a icmp 10.77.0.33 id=dx-b" "ADDR_MISSING 10.77.0.33 went with the primary address of dx-b" "10\.77\.0\.33"
fault_primary_removed_baseline() { ib addr add 10.77.0.33/24 dev eth0; }
fault_primary_removed_inject() { ib addr del 10.77.0.3/24 dev eth0; noneigh; }
fault_primary_removed_fix() { ib addr add 10.77.0.3/24 dev eth0; ib addr add 10.77.0.33/24 dev eth0; ib route replace default via 10.77.0.1; }

F link_moved static "$AB" "LINK_MISSING|LINK_WRONG_NETNS|ADDR_MISSING dx-b lost its eth0 to dx-d" "10\.77\.0\.3|dx-b|dx-d"
fault_link_moved_inject() { ip netns add dx-d; ib link set eth0 netns dx-d; noneigh; }
fault_link_moved_fix() { ip netns del dx-d; ih link del vb 2>/dev/null; mk_ns_leg b 3; noneigh; }

F source_taken static "dx-a tcp 10.77.0.3 80 id=dx-b" "ADDR_DUPLICATE dx-d has 10.77.0.2 of dx-a too, and dx-b answers dx-d" "10\.77\.0\.2 && dx-d"
fault_source_taken_inject() {
  ip netns add dx-d; id_ link set lo up
  ih link add vd type veth peer name eth0 address 02:00:00:00:00:0d netns dx-d; ih link set vd master br0 up
  id_ addr add 10.77.0.2/24 dev eth0; id_ link set eth0 up; sleep 0.3; a ping -c1 -W1 10.77.0.3 >/dev/null
  ib neigh replace 10.77.0.2 lladdr 02:00:00:00:00:0d dev eth0 nud stale
}
fault_source_taken_fix() { ip netns del dx-d; ih link del vd 2>/dev/null; noneigh; }

F v6_source_tentative static "$A6C" "V6_DAD_PENDING dx-a: fd77::2 is still tentative, nothing is sent from it" "fd77::2 && (tentative|dad)"
fault_v6_source_tentative_inject() { ia -6 addr del fd77::2/64 dev eth0; sy dx-a net.ipv6.conf.eth0.dad_transmits=60; ia -6 addr add fd77::2/64 dev eth0; }
fault_v6_source_tentative_fix() { ia -6 addr del fd77::2/64 dev eth0; ia -6 addr add fd77::2/64 dev eth0 nodad; }

# ======================= bridges =======================
F fdb_static_wrong static "$AB" "FDB_STATIC_WRONG dx-host: 02:…:0b is pinned to another port" "fdb|fixed|forwarding entry"
fault_fdb_static_wrong_inject() { ih link add vz type veth peer name vz1; ih link set vz master br0 up; ih link set vz1 up; brh fdb replace 02:00:00:00:00:0b dev vz master static sticky; }
fault_fdb_static_wrong_fix() { brh fdb del 02:00:00:00:00:0b dev vz master; ih link del vz; }

F bcast_flood_off static "$AB" "PORT_FLOOD_OFF dx-host/vb: bcast_flood off keeps ARP away" "vb && flood"
fault_bcast_flood_off_inject() { brh link set dev vb bcast_flood off; noneigh; }
fault_bcast_flood_off_fix() { brh link set dev vb bcast_flood on; noneigh; }

F flood_and_learning_off static "$AB" "PORT_FLOOD_OFF dx-host/vb: flood off and learning off" "vb && flood"
fault_flood_and_learning_off_inject() { brh link set dev vb flood off learning off; brh fdb del 02:00:00:00:00:0b dev vb master 2>/dev/null; noneigh; }
fault_flood_and_learning_off_fix() { brh link set dev vb flood on learning on; noneigh; }

F mcast_flood_off static "$A6B" "PORT_FLOOD_OFF dx-host/vb: mcast_flood off keeps neighbour solicitations away" "vb && flood"
fault_mcast_flood_off_inject() { ih link set br0 type bridge mcast_snooping 0; brh link set dev vb mcast_flood off; v6flush; }
fault_mcast_flood_off_fix() { brh link set dev vb mcast_flood on; v6flush; }

F port_state_disabled static "$AB" "PORT_STP_STATE dx-host/vb: state disabled" "vb && (disabled|state)"
fault_port_state_disabled_inject() { brh link set dev vb state 0; }
fault_port_state_disabled_fix() { brh link set dev vb state 3; }

F port_locked static "$AB" "PORT_LOCKED dx-host/va is locked" "va && lock"
fault_port_locked_inject() { brh link set dev va locked on learning off; brh fdb del 02:00:00:00:00:0a dev va master 2>/dev/null; }
fault_port_locked_fix() { brh link set dev va locked off learning on; }

F port_other_bridge static "$AB" "PORT_WRONG_BRIDGE dx-host/vb is a port of br1" "vb && br1"
fault_port_other_bridge_inject() { ih link add br1 type bridge; ih link set br1 up; ih link set vb master br1; noneigh; }
fault_port_other_bridge_fix() { ih link set vb master br0; noneigh; }

F bridge_nft_drop static "$AB" "L2_FILTER_DROP dx-host: nft table bridge drops by ether saddr" "bridge && guard"
fault_bridge_nft_drop_inject() { h nft 'add table bridge guard; add chain bridge guard fw { type filter hook forward priority 0; policy accept; }; add rule bridge guard fw ether saddr 02:00:00:00:00:0a drop'; }
fault_bridge_nft_drop_fix() { h nft delete table bridge guard; }

F netdev_ingress_drop static "$AB" "L2_FILTER_DROP dx-host: nft netdev ingress of va drops" "va && (netdev|ingress)"
fault_netdev_ingress_drop_inject() { h nft 'add table netdev early; add chain netdev early in { type filter hook ingress device va priority 0; policy accept; }; add rule netdev early in ip daddr 10.77.0.3 drop'; }
fault_netdev_ingress_drop_fix() { h nft delete table netdev early; }

# macvlan on br0: dx-d has 10.77.0.40, dx-wan gets 10.77.0.41
macvlan_pair() {
  ip netns add dx-d; id_ link set lo up
  ih link add mv1 link br0 type macvlan mode bridge; ih link set mv1 netns dx-d; id_ addr add 10.77.0.40/24 dev mv1; id_ link set mv1 up
  ih link add mv2 link br0 type macvlan mode bridge; ih link set mv2 netns dx-wan; iw addr add 10.77.0.41/24 dev mv2; iw link set mv2 up
}
F macvlan_private static "dx-d icmp 10.77.0.41 id=dx-wan" "PORT_ISOLATED dx-d/mv1 is a macvlan in mode private" "mv1 && private"
fault_macvlan_private_baseline() { macvlan_pair; }
fault_macvlan_private_inject() { id_ link set mv1 type macvlan mode private; id_ neigh flush all; }
fault_macvlan_private_fix() { id_ link set mv1 type macvlan mode bridge; }

F macvlan_parent static "dx-d icmp 10.77.0.1 id=dx-host" "PORT_ISOLATED dx-d/mv1 is a macvlan of dx-host/br0: the two never talk to each other" "mv1 && br0 && macvlan"
fault_macvlan_parent_baseline() { ip netns add dx-d; ih link add vd type veth peer name eth0 netns dx-d; ih link set vd master br0 up; id_ addr add 10.77.0.40/24 dev eth0; id_ link set eth0 up; }
fault_macvlan_parent_inject() { ih link del vd; ih link add mv1 link br0 type macvlan mode bridge; ih link set mv1 netns dx-d; id_ addr add 10.77.0.40/24 dev mv1; id_ link set mv1 up; }
fault_macvlan_parent_fix() { id_ link del mv1; ih link add vd type veth peer name eth0 netns dx-d; ih link set vd master br0 up; id_ addr add 10.77.0.40/24 dev eth0; id_ link set eth0 up; }

# ======================= tc and queues =======================
F tc_egress_bpf suspect "$AC" "TC_DROP dx-host/vc egress: a bpf program drops" "vc && tc"
fault_tc_egress_bpf_inject() { h tc qdisc add dev vc clsact; h tc filter add dev vc egress bpf da bytecode '1,6 0 0 2,'; }
fault_tc_egress_bpf_fix() { h tc qdisc del dev vc clsact; }

F tc_redirect suspect "$AB" "TC_DROP dx-host/va ingress: every frame is redirected to vc" "va && tc"
fault_tc_redirect_inject() { h tc qdisc add dev va clsact; h tc filter add dev va ingress u32 match u32 0 0 action mirred egress redirect dev vc; }
fault_tc_redirect_fix() { h tc qdisc del dev va clsact; }

F pfifo_without_room static "$AC" "QDISC_DROP dx-host/vc: pfifo with a limit of 0" "vc && (pfifo|queue)"
fault_pfifo_without_room_inject() { h tc qdisc add dev vc root pfifo limit 0; }
fault_pfifo_without_room_fix() { h tc qdisc del dev vc root; }

F tbf_small_burst static "dx-a icmp 10.78.0.2 size=1200 id=dx-c" "QDISC_DROP dx-host/vc: tbf with a burst smaller than the packet" "vc && (tbf|queue)"
fault_tbf_small_burst_inject() { h tc qdisc add dev vc root tbf rate 1mbit burst 600 latency 50ms; }
fault_tbf_small_burst_fix() { h tc qdisc del dev vc root; }

# ======================= netfilter =======================
F notrack_kills_masq static "$AW" "NAT_WRONG|NAT_MISSING dx-host: raw NOTRACK keeps 10.77.0.2 from being translated" "dx-host && (notrack|untracked|raw)"
fault_notrack_kills_masq_inject() { h iptables -w -t raw -A PREROUTING -s 10.77.0.0/24 -p icmp -j CT --notrack; }
fault_notrack_kills_masq_fix() { h iptables -w -t raw -F; }

F conntrack_zone probe "$AW" "NAT_WRONG dx-host: requests are tracked in zone 5, replies in another" "zone|inconclusive"
fault_conntrack_zone_inject() { h iptables -w -t raw -A PREROUTING -i br0 -j CT --zone 5; }
fault_conntrack_zone_fix() { h iptables -w -t raw -F; h conntrack -F 2>/dev/null; true; }

F nfqueue_nobody static "$AC" "NF_DROP dx-host FORWARD: NFQUEUE, and nobody takes packets from the queue" "forward && queue"
fault_nfqueue_nobody_inject() { h iptables -w -A FORWARD -d 10.78.0.2 -j NFQUEUE --queue-num 5; }
fault_nfqueue_nobody_fix() { h iptables -w -F FORWARD; }

F limit_used_up probe "$AC" "NF_POLICY_DROP dx-host FORWARD: -m limit accepts one packet an hour, the policy drops" "forward && (limit|policy)"
fault_limit_used_up_inject() { h iptables -w -P FORWARD DROP; h iptables -w -A FORWARD -o br0 -j ACCEPT; h iptables -w -A FORWARD -i br0 -m limit --limit 1/hour --limit-burst 1 -j ACCEPT; a ping -c2 -W1 10.78.0.2 >/dev/null; }
fault_limit_used_up_fix() { h iptables -w -P FORWARD ACCEPT; }

F reject_with_reset static "$ABT" "NF_REJECT dx-b INPUT: REJECT with a tcp-reset" "dx-b && input && reject"
fault_reject_with_reset_inject() { b iptables -w -A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset; }
fault_reject_with_reset_fix() { b iptables -w -F INPUT; }

F redirect_to_nothing static "$ACT" "DNAT_WRONG_TARGET dx-host: REDIRECT to port 3128, where no proxy is" "dx-host && 3128"
fault_redirect_to_nothing_inject() { h iptables -w -t nat -A PREROUTING -i br0 -p tcp --dport 80 -j REDIRECT --to-ports 3128; }
fault_redirect_to_nothing_fix() { h iptables -w -t nat -D PREROUTING -i br0 -p tcp --dport 80 -j REDIRECT --to-ports 3128; }

F snat_to_stranger static "$AW" "NAT_WRONG dx-host: SNAT to 198.51.100.77, which it does not have" "198\.51\.100\.77"
fault_snat_to_stranger_inject() { h iptables -w -t nat -I POSTROUTING 1 -o up0 -j SNAT --to-source 198.51.100.77; }
fault_snat_to_stranger_fix() { h iptables -w -t nat -D POSTROUTING 1; }

F dnat_answer_untracked static "$WD" "NAT_WRONG dx-host: raw NOTRACK keeps the answer from being turned back" "dx-host && (notrack|untracked|raw)"
fault_dnat_answer_untracked_inject() { h iptables -w -t raw -A PREROUTING -p tcp --sport 80 -j CT --notrack; }
fault_dnat_answer_untracked_fix() { h iptables -w -t raw -F; }

F dnat_to_nobody static "$WD" "DNAT_WRONG_TARGET|ADDR_MISSING dx-host: 8080 goes to 10.77.0.99, which is nobody" "10\.77\.0\.99"
fault_dnat_to_nobody_inject() { h iptables -w -t nat -R PREROUTING 1 -d 198.51.100.1/32 -p tcp --dport 8080 -j DNAT --to-destination 10.77.0.99:80; }
fault_dnat_to_nobody_fix() { lab_nat; }

F uplink_renamed static "$AW" "NAT_WRONG|NAT_MISSING dx-host: MASQUERADE is bound to up0, the link is called up9 now" "masquerade && (up0|up9)"
fault_uplink_renamed_inject() { ih link set up0 down; ih link set up0 name up9; ih link set up9 up; ih route replace default via 198.51.100.2; }
fault_uplink_renamed_fix() { ih link set up9 down; ih link set up9 name up0; ih link set up0 up; ih route replace default via 198.51.100.2; }

F dnat_to_loopback static "dx-a tcp 10.77.0.3 8081 id=dx-b" "MARTIAN_LOCALNET dx-b: DNAT to 127.0.0.1 without route_localnet" "dx-b && (127\.0\.0\.1|route_localnet)"
fault_dnat_to_loopback_baseline() { sy dx-b net.ipv4.conf.eth0.route_localnet=1; b iptables -w -t nat -A PREROUTING -p tcp --dport 8081 -j DNAT --to-destination 127.0.0.1:80; }
fault_dnat_to_loopback_inject() { sy dx-b net.ipv4.conf.eth0.route_localnet=0; }
fault_dnat_to_loopback_fix() { sy dx-b net.ipv4.conf.eth0.route_localnet=1; }

# ======================= services =======================
F echo_ignored static "$AB" "ICMP_ECHO_IGNORED dx-b" "dx-b && icmp_echo_ignore_all"
fault_echo_ignored_inject() { sy dx-b net.ipv4.icmp_echo_ignore_all=1; }
fault_echo_ignored_fix() { sy dx-b net.ipv4.icmp_echo_ignore_all=0; }

F svc_v6only static "$ABT" "SERVICE_WRONG_BIND dx-b: tcp 80 listens on IPv6 only" "dx-b && (\[::\]|ipv6)"
fault_svc_v6only_inject() { service dx-b 'import socket,time
s=socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1); s.bind(("::",80)); s.listen(8); time.sleep(999)'; }
fault_svc_v6only_fix() { noservice dx-b; }

F svc_bound_to_device static "$ACT" "SERVICE_WRONG_BIND dx-c: tcp 80 is bound to the device vx0" "dx-c && vx0"
fault_svc_bound_to_device_inject() { service dx-c 'import socket,time
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,25,b"vx0"); s.bind(("",80)); s.listen(8); time.sleep(999)'; }
fault_svc_bound_to_device_fix() { noservice dx-c; }

F svc_backlog_full static "$ABT" "SERVICE_BACKLOG_FULL dx-b: the accept queue of tcp 80 is full" "dx-b && (queue|backlog)"
fault_svc_backlog_full_inject() { service dx-b 'import socket,time
s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(("",80)); s.listen(0)
c=[socket.socket() for _ in range(4)]
for k in c:
    k.setblocking(False)
    try: k.connect(("127.0.0.1",80))
    except BlockingIOError: pass
time.sleep(999)'; sleep 0.3; }
fault_svc_backlog_full_fix() { noservice dx-b; }

# ======================= IPv6 =======================
F v6_gateway_dead static "$A6C" "ROUTE_GATEWAY_DEAD dx-a: default via fe80::dead, nobody has it" "fe80::dead"
fault_v6_gateway_dead_inject() { ia -6 route replace default via fe80::dead dev eth0; }
fault_v6_gateway_dead_fix() { ia -6 route replace default via fd77::1; }

F v6_unreachable static "$A6C" "ROUTE_UNREACHABLE dx-a: unreachable fd78::/64" "dx-a && unreachable"
fault_v6_unreachable_inject() { ia -6 route add unreachable fd78::/64; }
fault_v6_unreachable_fix() { ia -6 route del unreachable fd78::/64; }

F v6_no_return static "$A6C" "RETURN_ROUTE_MISSING dx-c has no way back to fd77::2" "dx-c && (back|return|reply)"
fault_v6_no_return_inject() { ic -6 route del default; }
fault_v6_no_return_fix() { ic -6 route add default via fd78::1; }

F v6_forward_drop static "$A6C" "NF_POLICY_DROP dx-host ip6tables FORWARD" "forward && ip6tables"
fault_v6_forward_drop_inject() { h ip6tables -w -P FORWARD DROP; }
fault_v6_forward_drop_fix() { h ip6tables -w -P FORWARD ACCEPT; }

F v6_disabled_router static "$A6C" "V6_DISABLED dx-host net.ipv6.conf.br0.disable_ipv6 = 1" "dx-host && br0 && disable_ipv6"
fault_v6_disabled_router_inject() { sy dx-host net.ipv6.conf.br0.disable_ipv6=1; v6flush; }
fault_v6_disabled_router_fix() { sy dx-host net.ipv6.conf.br0.disable_ipv6=0; ih -6 addr replace fd77::1/64 dev br0 nodad; ia -6 route replace default via fd77::1; }

F v6_mtu_too_small static "$A6B" "ADDR_MISSING|V6_DISABLED|MTU_L2_MISMATCH dx-b/eth0: mtu 1200 is less than IPv6 needs, its addresses are gone" "dx-b|fd77::3"
fault_v6_mtu_too_small_inject() { ib link set eth0 mtu 1200; v6flush; }
fault_v6_mtu_too_small_fix() { ib link set eth0 mtu 1500; ib -6 addr replace fd77::3/64 dev eth0 nodad; ib -6 route replace default via fd77::1; }

F v6_dad_failed static "dx-a tcp fd77::3 80 id=dx-b" "V6_DAD_FAILED|ADDR_DUPLICATE dx-b: fd77::3 is on dx-d too" "fd77::3"
fault_v6_dad_failed_inject() {
  ip netns add dx-d; id_ link set lo up
  ih link add vd type veth peer name eth0 address 02:00:00:00:00:0d netns dx-d; ih link set vd master br0 up
  id_ link set eth0 up; id_ -6 addr add fd77::3/64 dev eth0 nodad; sleep 1
  sy dx-b net.ipv6.conf.eth0.accept_dad=1; ib -6 addr del fd77::3/64 dev eth0; ib -6 addr add fd77::3/64 dev eth0; sleep 2; v6flush
}
fault_v6_dad_failed_fix() { ip netns del dx-d; ih link del vd 2>/dev/null; ib -6 addr del fd77::3/64 dev eth0; ib -6 addr add fd77::3/64 dev eth0 nodad; v6flush; }

# ======================= tunnels =======================
F vxlan_port static "$AV" "TUNNEL_MISMATCH vx0: port 4789 in dx-a, 8472 in dx-c" "8472"
fault_vxlan_port_inject() { vx dx-c 10.200.0.2 id 42 local 10.78.0.2 remote 10.77.0.2 dstport 8472; ia neigh flush all; }
fault_vxlan_port_fix() { vx_c; }

F vxlan_remote static "$AV" "TUNNEL_MISMATCH|ADDR_MISSING dx-a vx0: the remote 10.78.0.9 is nobody" "10\.78\.0\.9"
fault_vxlan_remote_inject() { vx dx-a 10.200.0.1 id 42 local 10.77.0.2 remote 10.78.0.9 dstport 4789; }
fault_vxlan_remote_fix() { vx_a; }

F vxlan_reply_remote static "$AV" "TUNNEL_MISMATCH|ADDR_MISSING dx-c vx0: the remote 10.77.0.9 is nobody" "10\.77\.0\.9"
fault_vxlan_reply_remote_inject() { vx dx-c 10.200.0.2 id 42 local 10.78.0.2 remote 10.77.0.9 dstport 4789 nolearning; ia neigh flush all; }
fault_vxlan_reply_remote_fix() { vx_c; }

F vxlan_no_peer static "$AV" "TUNNEL_MISMATCH dx-a vx0 has no remote and no forwarding entry" "vx0 && (remote|fdb|entry)"
fault_vxlan_no_peer_inject() { vx dx-a 10.200.0.1 id 42 local 10.77.0.2 dstport 4789 nolearning; }
fault_vxlan_no_peer_fix() { vx_a; }

F vxlan_ttl static "$AV" "TTL_EXPIRED dx-a vx0: its outer packets have a TTL of 1" "vx0 && ttl"
fault_vxlan_ttl_inject() { vx dx-a 10.200.0.1 id 42 local 10.77.0.2 remote 10.78.0.2 dstport 4789 ttl 1; }
fault_vxlan_ttl_fix() { vx_a; }

F vxlan_far_down static "$AV" "LINK_ADMIN_DOWN dx-c/vx0 is down" "dx-c && vx0"
fault_vxlan_far_down_inject() { ic link set vx0 down; }
fault_vxlan_far_down_fix() { ic link set vx0 up; }

# ======================= decoys =======================
D v6_if_forwarding_off "$A6C" "IPv6 asks net.ipv6.conf.all.forwarding only"
decoy_v6_if_forwarding_off_inject() { sy dx-host net.ipv6.conf.br0.forwarding=0; }
D proxy_arp "$AC" "default without a gateway works where the router answers ARP for others"
decoy_proxy_arp_inject() { sy dx-host net.ipv4.conf.br0.proxy_arp=1; ia route replace default dev eth0; }
D prohibit_other_table "$AC" "a prohibit in a table that no rule looks into"
decoy_prohibit_other_table_inject() { ih route add prohibit 10.78.0.0/24 table 77; ih rule add from 10.66.0.0/16 pref 77 lookup 77; }
D nft_drop_other "$AC" "drops of another bridge, another device and another family"
decoy_nft_drop_other_inject() { h nft 'add table bridge guard; add chain bridge guard fw { type filter hook forward priority 0; policy accept; }; add rule bridge guard fw ether saddr 02:00:00:00:00:99 drop'; h ip6tables -w -P FORWARD DROP; }
D locked_but_known "$AB" "a locked port whose station the bridge was told of"
decoy_locked_but_known_inject() { brh fdb replace 02:00:00:00:00:0a dev va master static; brh link set dev va locked on learning off; }
D unreachable_worse_metric "$AC" "an unreachable default with the worse metric"
decoy_unreachable_worse_metric_inject() { ia route add unreachable default metric 4000; }

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
