#!/usr/bin/env bash
# A container reaches nothing, not even its bridge; its neighbours do (kubernetes/kubernetes#31630, podman-container-tools/podman#18906, projectcalico/calico#2329).
# Cause: it was given the last address of the network, which is that of the broadcast.
. "$(dirname "$0")/lab.sh"

FROM=pc-c255; TO=10.180.2.1
build() {
  new node c255 c7; bridge_ node cbr0; addr node cbr0 10.180.2.1/24; sy node net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.cbr0.rp_filter=1
  for k in c255:255 c7:7; do s=${k%:*}; wire $s eth0 node v-$s; port node v-$s cbr0; ip -n pc-$s addr add 10.180.2.${k#*:}/24 brd + dev eth0; route $s default via 10.180.2.1; done
}
fix() { ip -n pc-c255 addr del 10.180.2.255/24 dev eth0; ip -n pc-c255 addr add 10.180.2.8/24 brd + dev eth0; }

play "$@"
