#!/usr/bin/env bash
# On a bridge with multicast snooping IPv6 neighbours are not found, IPv4 works (lxc/incus#3294, freifunk-berlin/firmware#297).
# Cause: the bridge has a querier, so it floods solicitations no more, and the target's membership report never came (filtered here).
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=2001:db8:7::b
build() {
  new host a b; sy host net.bridge.bridge-nf-call-ip6tables=0
  n b ip6tables -A OUTPUT -p icmpv6 --icmpv6-type 143 -j DROP; n b ip6tables -A OUTPUT -p icmpv6 --icmpv6-type 131 -j DROP
  ip -n pc-host link add br0 type bridge mcast_snooping 1 mcast_query_response_interval 50 mcast_startup_query_interval 50; ip -n pc-host link set br0 up
  for s in a b; do wire $s eth0 host v-$s; port host v-$s br0; addr $s eth0 2001:db8:7::$s/64; done; sleep 3; ip -n pc-host link set br0 type bridge mcast_querier 1; sleep 2
  ip -n pc-a -6 neigh flush all
}
fix() { ip -n pc-host link set br0 type bridge mcast_snooping 0; ip -n pc-a -6 neigh flush all; }

play "$@"
