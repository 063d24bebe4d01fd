#!/usr/bin/env bash
# CoreDNS cannot reach the API server by its service address: "no route to host" (kubernetes/minikube#4350, k3s-io/k3s#24).
# Cause: the host firewall ends INPUT with REJECT icmp-host-prohibited, and the service leads to the node's own port 6443.
. "$(dirname "$0")/lab.sh"

FROM=pc-coredns; TO=tcp/10.43.0.1:443
build() {
  new node coredns; bridge_ node cni0; addr node cni0 10.42.0.1/24; wire coredns eth0 node v0; port node v0 cni0; addr coredns eth0 10.42.0.8/24; route coredns default via 10.42.0.1
  new lan; wire node eth0 lan e; addr node eth0 10.0.0.11/24; addr lan e 10.0.0.1/24; route node default via 10.0.0.1; sy node net.ipv4.ip_forward=1
  n node iptables -t nat -N KUBE-SERVICES; for c in PREROUTING OUTPUT; do n node iptables -t nat -A $c -j KUBE-SERVICES; done
  n node iptables -t nat -A KUBE-SERVICES -d 10.43.0.1/32 -p tcp --dport 443 -m comment --comment "default/kubernetes:https cluster IP" -j DNAT --to-destination 10.0.0.11:6443
  n node iptables -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT; n node iptables -A INPUT -p icmp -j ACCEPT; n node iptables -A INPUT -i lo -j ACCEPT
  n node iptables -A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT; n node iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited
  listen node tcp 6443
}
fix() { n node iptables -I INPUT 1 -i cni0 -p tcp --dport 6443 -j ACCEPT; }

play "$@"
