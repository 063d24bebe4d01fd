#!/usr/bin/env bash
# Pods do not reach machines of the data centre, the node does (cilium/cilium#10939).
# Cause: the rule spares 172.0.0.0/8, not the cluster's own 172.28.0.0/16: pods go out with addresses that nobody there routes.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=172.16.4.9
build() {
  new node pod dc db; wire pod eth0 node lxc1; addr pod eth0 172.28.0.14/24; addr node lxc1 172.28.0.1/24; route pod default via 172.28.0.1
  wire node eth0 dc n0; addr node eth0 172.16.3.2/24; addr dc n0 172.16.3.1/24; route node default via 172.16.3.1; wire db eth0 dc n1; addr db eth0 172.16.4.9/24; addr dc n1 172.16.4.1/24; route db default via 172.16.4.1
  for k in node dc; do sy $k net.ipv4.ip_forward=1; done
  n node iptables -t nat -N CILIUM_POST_nat; n node iptables -t nat -A POSTROUTING -j CILIUM_POST_nat
  n node iptables -t nat -A CILIUM_POST_nat -s 172.28.0.0/24 ! -d 172.0.0.0/8 ! -o cilium_+ -m comment --comment "cilium masquerade non-cluster" -j MASQUERADE
}
fix() { n node iptables -t nat -A CILIUM_POST_nat -s 172.28.0.0/24 ! -d 172.28.0.0/16 ! -o cilium_+ -j MASQUERADE; }

play "$@"
