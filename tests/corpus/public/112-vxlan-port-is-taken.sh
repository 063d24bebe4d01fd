#!/usr/bin/env bash
# Pods of one server do not reach those of the other (kubernetes/kubernetes#121530).
# Cause: another process has the port of the VXLAN: the link cannot come up. Another port helped.
. "$(dirname "$0")/lab.sh"

FROM=pc-p1; TO=10.244.2.2
node() { # NUMBER
  local k=n$1; wire $k eth0 sw p$1; port sw p$1 br0; addr $k eth0 192.168.5.1$1/24
  ip -n pc-$k link add flannel.1 address 0a:00:00:00:00:0$1 type vxlan id 1 dstport 8472 local 192.168.5.1$1 dev eth0 nolearning; ip -n pc-$k link set flannel.1 mtu 1450
  ip -n pc-$k link set flannel.1 up 2>/dev/null || :; addr $k flannel.1 10.244.$1.0/32
  bridge_ $k cni0; addr $k cni0 10.244.$1.1/24; sy $k net.ipv4.ip_forward=1; }
far() { # HERE THERE
  ip -n pc-n$1 route replace 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink 2>/dev/null || :; ip -n pc-n$1 neigh replace 10.244.$2.0 lladdr 0a:00:00:00:00:0$2 dev flannel.1 nud permanent
  n n$1 bridge fdb replace 0a:00:00:00:00:0$2 dev flannel.1 dst 192.168.5.1$2; }
pod() { wire p$1 eth0 n$1 v$1; port n$1 v$1 cni0; addr p$1 eth0 10.244.$1.2/24; route p$1 default via 10.244.$1.1; }
build() { new sw n1 n2 p1 p2; bridge_ sw br0; listen n1 udp 8472; node 1; node 2; pod 1; pod 2; far 1 2; far 2 1; }
fix() {
  for k in 1 2; do ip -n pc-n$k link del flannel.1; ip -n pc-n$k link add flannel.1 address 0a:00:00:00:00:0$k type vxlan id 1 dstport 8285 local 192.168.5.1$k dev eth0 nolearning
    ip -n pc-n$k link set flannel.1 mtu 1450 up; addr n$k flannel.1 10.244.$k.0/32; done; far 1 2; far 2 1; }

play "$@"
