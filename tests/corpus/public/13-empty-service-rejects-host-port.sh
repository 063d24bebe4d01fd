#!/usr/bin/env bash
# A process of the node listens, and clients are refused all the same (kubernetes/kubernetes#97360).
# Cause: a service without endpoints has this node port, and the proxy's rule in INPUT rejects it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.0.0.11:32445
build() {
  new node client; wire client eth0 node eth0; addr client eth0 10.0.0.50/24; addr node eth0 10.0.0.11/24
  n node iptables -N KUBE-EXTERNAL-SERVICES; n node iptables -N KUBE-FIREWALL
  n node iptables -A INPUT -m conntrack --ctstate NEW -m comment --comment "externally visible service portals" -j KUBE-EXTERNAL-SERVICES
  n node iptables -A INPUT -j KUBE-FIREWALL
  n node iptables -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "default/traefik:http has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 32445 -j REJECT --reject-with icmp-port-unreachable
  n node iptables -A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
  listen node tcp 32445
}
fix() { n node iptables -F KUBE-EXTERNAL-SERVICES; }

play "$@"
