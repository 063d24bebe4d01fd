#!/usr/bin/env bash
# The node port works by the machine's name, not by localhost (kubernetes/kubernetes#57922, cilium/cilium#6381).
# Cause: with route_localnet=1 the request goes to the pod with source 127.0.0.1; nobody masquerades it, and the pod drops it.
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=tcp/127.0.0.1:30080
build() {
  new node web; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1
  wire web eth0 node veth0; port node veth0 cni0; addr web eth0 10.244.0.5/24; route web default via 10.244.0.1
  n node iptables -t nat -N KUBE-NODEPORTS
  for c in PREROUTING OUTPUT; do n node iptables -t nat -A $c -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS; done
  n node iptables -t nat -A KUBE-NODEPORTS -p tcp --dport 30080 -j DNAT --to-destination 10.244.0.5:80
  listen web tcp 80
}
fix() { n node iptables -t nat -A POSTROUTING -s 127.0.0.0/8 -o cni0 -j MASQUERADE; }

play "$@"
