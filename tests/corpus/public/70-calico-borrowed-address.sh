#!/usr/bin/env bash
# Pods of one node do not reach a pod of another that borrowed an address (projectcalico/calico#3246, #2612).
# Cause: node1 has a blackhole for its whole block and no /32 to the borrowed address.
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=10.192.79.150
build() {
  new n1 n2 a b; wire n1 eth0 n2 eth0; addr n1 eth0 10.0.0.1/24; addr n2 eth0 10.0.0.2/24
  for k in a:n1:130 b:n2:150; do IFS=: read -r s h l <<<"$k"; wire $s eth0 $h cali-$s; addr $s eth0 10.192.79.$l/32; route $s 169.254.1.1 dev eth0 scope link; route $s default via 169.254.1.1
    addr $h cali-$s 169.254.1.1/32; route $h 10.192.79.$l dev cali-$s scope link; sy $h net.ipv4.ip_forward=1; done
  route n1 blackhole 10.192.79.128/26 proto bird; route n2 10.192.79.128/26 via 10.0.0.1 proto bird
}
fix() { ip -n pc-n1 route add 10.192.79.150/32 via 10.0.0.2; }

play "$@"
