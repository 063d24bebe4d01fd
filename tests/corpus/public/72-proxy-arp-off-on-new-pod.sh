#!/usr/bin/env bash
# A new pod does not find its gateway while older ones of the node do (projectcalico/calico#4186).
# Cause: proxy_arp was never switched on for its cali link.
. "$(dirname "$0")/lab.sh"

FROM=pc-b; TO=10.0.0.254
build() {
  new node a b gw; sy node net.ipv4.ip_forward=1; wire node eth0 gw eth0; addr node eth0 10.0.0.1/24; addr gw eth0 10.0.0.254/24; route node default via 10.0.0.254; route gw 10.233.76.0/24 via 10.0.0.1
  for k in a:8 b:9; do s=${k%:*}; wire $s eth0 node cali-$s; addr $s eth0 10.233.76.${k#*:}/32; route $s 169.254.1.1 dev eth0 scope link; route $s default via 169.254.1.1
    route node 10.233.76.${k#*:} dev cali-$s scope link; sy node net.ipv4.neigh.cali-$s.proxy_delay=0; done
  sy node net.ipv4.conf.cali-a.proxy_arp=1
}
fix() { sy node net.ipv4.conf.cali-b.proxy_arp=1; ip -n pc-b neigh flush all; }

play "$@"
