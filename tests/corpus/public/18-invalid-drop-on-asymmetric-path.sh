#!/usr/bin/env bash
# Connections through two routers never open since one of them drops INVALID packets (kubernetes/kubernetes#94861, firewalld/firewalld#1061).
# Cause: requests go by the first router, answers by the second, which has never seen the request.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.2.0.5:80
build() {
  new client server r1 r2 l1 l2; for k in 1 2; do bridge_ l$k br0; sy l$k net.bridge.bridge-nf-call-iptables=0; done
  wire client eth0 l1 c; port l1 c br0; addr client eth0 10.1.0.5/24; wire server eth0 l2 s; port l2 s br0; addr server eth0 10.2.0.5/24
  for k in 1 2; do wire r$k lan1 l1 r$k; port l1 r$k br0; addr r$k lan1 10.1.0.$k/24; wire r$k lan2 l2 r$k; port l2 r$k br0; addr r$k lan2 10.2.0.$k/24
    sy r$k net.ipv4.ip_forward=1; n r$k iptables -N KUBE-FORWARD; n r$k iptables -A FORWARD -j KUBE-FORWARD
    n r$k iptables -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP; n r$k iptables -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; done
  route client default via 10.1.0.1; route server default via 10.2.0.2
  listen server tcp 80
}
fix() { n r2 iptables -D KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP; }

play "$@"
