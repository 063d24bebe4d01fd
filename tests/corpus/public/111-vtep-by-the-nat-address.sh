#!/usr/bin/env bash
# Pods of two Vagrant machines do not reach each other (kubernetes/kubernetes#17788, flannel-io/flannel#535, kubernetes-sigs/kubespray#2114).
# Cause: flannel took the first link, whose address is 10.0.2.15 on every machine: the tunnel of each leads to itself; `--iface eth1`.
. "$(dirname "$0")/lab.sh"

FROM=pc-p1; TO=10.244.2.2
node() { # NUMBER
  local k=n$1; wire $k eth0 nat$1 lan; addr $k eth0 10.0.2.15/24; addr nat$1 lan 10.0.2.2/24; route $k default via 10.0.2.2; wire $k eth1 sw p$1; port sw p$1 br0; addr $k eth1 192.168.33.1$1/24
  ip -n pc-$k link add flannel.1 address 0a:00:00:00:00:0$1 type vxlan id 1 dstport 8472 local 10.0.2.15 dev eth0 nolearning; ip -n pc-$k link set flannel.1 mtu 1450 up; addr $k flannel.1 10.244.$1.0/32
  bridge_ $k cni0; addr $k cni0 10.244.$1.1/24; wire p$1 eth0 $k v$1; port $k v$1 cni0; addr p$1 eth0 10.244.$1.2/24; route p$1 default via 10.244.$1.1; sy $k net.ipv4.ip_forward=1; }
peer() { # HERE THERE
  ip -n pc-n$1 route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink; ip -n pc-n$1 neigh replace 10.244.$2.0 lladdr 0a:00:00:00:00:0$2 dev flannel.1 nud permanent
  n n$1 bridge fdb replace 0a:00:00:00:00:0$2 dev flannel.1 dst "$3"; }
build() { new sw n1 n2 nat1 nat2 p1 p2; bridge_ sw br0; node 1; node 2; peer 1 2 10.0.2.15; peer 2 1 10.0.2.15; }
fix() {
  for k in 1 2; do ip -n pc-n$k link del flannel.1; ip -n pc-n$k link add flannel.1 address 0a:00:00:00:00:0$k type vxlan id 1 dstport 8472 local 192.168.33.1$k dev eth1 nolearning
    ip -n pc-n$k link set flannel.1 mtu 1450 up; addr n$k flannel.1 10.244.$k.0/32; done; peer 1 2 192.168.33.12; peer 2 1 192.168.33.11; }

play "$@"
