#!/usr/bin/env bash
# Two machines of one LAN do not reach each other by IPv6: "Network is unreachable" (systemd/systemd#1520, #33715).
# Cause: the address was added with `noprefixroute` (or /128), as DHCPv6 gives it, and nobody said that the prefix is on this link.
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=2001:db8:15::20
build() {
  new sw a b; bridge_ sw br0; for s in a b; do wire $s eth0 sw p-$s; port sw p-$s br0; done
  ip -n pc-a addr add 2001:db8:15::10/64 dev eth0 nodad noprefixroute; addr b eth0 2001:db8:15::20/64
}
fix() { ip -n pc-a -6 route add 2001:db8:15::/64 dev eth0; }

play "$@"
