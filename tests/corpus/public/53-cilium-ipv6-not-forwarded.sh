#!/usr/bin/env bash
# In a dual-stack cluster IPv6 of pods goes nowhere, IPv4 works (cilium/cilium#27900, a comment).
# Cause: net.ipv6.conf.all.forwarding is 0 on the node.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=2001:db8:ffff::9
build() {
  new node pod r; wire pod eth0 node lxc1; addr pod eth0 fd00:10:0::5/64; addr node lxc1 fd00:10:0::1/64; ip -n pc-pod -6 route add default via fd00:10:0::1
  wire node eth0 r lan; addr node eth0 2001:db8:50::2/64; addr r lan 2001:db8:50::1/64; addr r lo 2001:db8:ffff::9/128
  ip -n pc-node -6 route add default via 2001:db8:50::1; ip -n pc-r -6 route add fd00:10:0::/64 via 2001:db8:50::2; sy node net.ipv4.ip_forward=1; sleep 2
}
fix() { sy node net.ipv6.conf.all.forwarding=1; }

play "$@"
