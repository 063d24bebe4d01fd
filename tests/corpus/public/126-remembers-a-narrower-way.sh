#!/usr/bin/env bash
# Large packets fail at the sender itself ("message too long") although the way has room for them again (ipspace/netlab#3692).
# Cause: the kernel remembers for ten minutes what a router had told it of the way: `ip route flush cache`.
. "$(dirname "$0")/lab.sh"

FROM=pc-h1; TO=203.0.113.9; SIZE=1460
build() {
  new h1 dut web; wire h1 eth0 dut eth1; addr h1 eth0 172.16.0.2/24; addr dut eth1 172.16.0.1/24; route h1 default via 172.16.0.1; wire dut eth2 web eth0; addr dut eth2 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; sy dut net.ipv4.ip_forward=1
  ip -n pc-dut link set eth2 mtu 1400; n h1 ping -c 2 -i 0.3 -W 1 -M do -s 1460 203.0.113.9 >/dev/null 2>&1 || :; ip -n pc-dut link set eth2 mtu 1500
}
fix() { ip -n pc-h1 route flush cache; }

play "$@"
