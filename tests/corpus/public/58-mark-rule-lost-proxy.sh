#!/usr/bin/env bash
# After a link of the bond flapped nothing reaches the node's proxy (flatcar/Flatcar#620, cilium/cilium#18706).
# Cause: the rule `fwmark 0x200/0xf00 lookup 2004` is gone, so what was marked for the local proxy is forwarded instead.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=tcp/10.96.5.5:80
build() {
  new node pod gw; wire pod eth0 node lxc1; addr pod eth0 10.0.1.5/24; addr node lxc1 10.0.1.1/24; route pod default via 10.0.1.1
  wire node eth0 gw lan; addr node eth0 198.51.100.2/24; addr gw lan 198.51.100.1/24; route node default via 198.51.100.1; sy node net.ipv4.ip_forward=1
  n node iptables -t mangle -A PREROUTING -d 10.96.5.5/32 -p tcp --dport 80 -m comment --comment "cilium: TPROXY mark" -j MARK --set-xmark 0x200/0xf00
  ip -n pc-node route add local 0.0.0.0/0 dev lo table 2004; listen node tcp 80
}
fix() { ip -n pc-node rule add fwmark 0x200/0xf00 lookup 2004 pref 9; }

play "$@"
