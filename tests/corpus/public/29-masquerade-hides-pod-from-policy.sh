#!/usr/bin/env bash
# A node's exporter lets pods in by their addresses, yet pods of other nodes are dropped (flannel-io/flannel#964, #835).
# Cause: the sending node masquerades what goes to node addresses, so the packet comes from the node, not from the pod.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod1; TO=tcp/10.0.0.12:9100
build() {
  new lan n1 n2 pod1; bridge_ lan br0; sy lan net.bridge.bridge-nf-call-iptables=0
  for k in 1 2; do wire n$k eth0 lan n$k; port lan n$k br0; addr n$k eth0 10.0.0.1$k/24; sy n$k net.ipv4.ip_forward=1; done
  wire pod1 eth0 n1 veth0; addr pod1 eth0 10.244.1.2/24; addr n1 veth0 10.244.1.1/24; route pod1 default via 10.244.1.1; route n2 10.244.1.0/24 via 10.0.0.11
  n n1 iptables -t nat -N FLANNEL-POSTRTG; n n1 iptables -t nat -A POSTROUTING -j FLANNEL-POSTRTG
  n n1 iptables -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN; n n1 iptables -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
  n n2 iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n n2 iptables -A INPUT -s 10.244.0.0/16 -p tcp --dport 9100 -j ACCEPT
  n n2 iptables -A INPUT -p tcp --dport 9100 -j DROP
  listen n2 tcp 9100
}
fix() { n n1 iptables -t nat -I FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.0.0.0/24 -j RETURN; }

play "$@"
