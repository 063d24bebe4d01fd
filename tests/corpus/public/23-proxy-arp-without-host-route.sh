#!/usr/bin/env bash
# Pods of an air-gapped node get no answer to ARP for their gateway 169.254.1.1 (projectcalico/calico#3270).
# Cause: proxy ARP answers only for what the node has a route to, and the node has no default route.
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=192.168.5.38
build() {
  new node a b; sy node net.ipv4.ip_forward=1
  for k in a:37 b:38; do s=${k%:*}; wire $s eth0 node cali-$s; addr $s eth0 192.168.5.${k#*:}/32; route $s 169.254.1.1 dev eth0 scope link; route $s default via 169.254.1.1
    sy node net.ipv4.conf.cali-$s.proxy_arp=1 net.ipv4.neigh.cali-$s.proxy_delay=0; route node 192.168.5.${k#*:} dev cali-$s scope link; done
}
fix() { for s in a b; do ip -n pc-node addr add 169.254.1.1/32 dev cali-$s; done; }

play "$@"
