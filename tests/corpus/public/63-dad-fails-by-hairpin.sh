#!/usr/bin/env bash
# Every pod's IPv6 address is a duplicate (kubernetes/kubernetes#32291).
# Cause: the bridge port is in hairpin mode: the pod hears its own duplicate address detection (kernels without RFC 7527).
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=2001:db8:5::2
build() {
  new node pod; bridge_ node cbr0; ip -n pc-node link set cbr0 type bridge mcast_snooping 0; addr node cbr0 2001:db8:5::1/64; wire pod eth0 node veth1; port node veth1 cbr0
  n node bridge link set dev veth1 hairpin on; sy pod net.ipv6.conf.all.enhanced_dad=0 net.ipv6.conf.default.enhanced_dad=0 net.ipv6.conf.eth0.enhanced_dad=0
  sleep 3; ip -n pc-pod addr add 2001:db8:5::2/64 dev eth0; sleep 3
}
fix() { n node bridge link set dev veth1 hairpin off; ip -n pc-pod addr del 2001:db8:5::2/64 dev eth0; ip -n pc-pod addr add 2001:db8:5::2/64 dev eth0 nodad; ip -n pc-node -6 neigh flush all; }

play "$@"
