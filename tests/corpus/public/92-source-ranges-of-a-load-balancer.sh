#!/usr/bin/env bash
# A pod does not reach a service of its own cluster by its load balancer's address; it did before an upgrade (kubernetes/kubernetes#109575, #110289).
# Cause: loadBalancerSourceRanges lacks the pods' range: what the ranges do not let through is dropped by its original destination.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=tcp/172.42.42.100:5678
build() {
  new node pod web; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1
  for k in pod:40 web:5; do s=${k%:*}; wire $s eth0 node v-$s; port node v-$s cni0; addr $s eth0 10.244.0.${k#*:}/24; route $s default via 10.244.0.1; done
  wire node eth0 pod spare; addr node eth0 172.42.42.10/24; listen web tcp 8080; sy node net.bridge.bridge-nf-call-iptables=1
  n node iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-SERVICES -
:KUBE-FW-VOTE -
:KUBE-EXT-VOTE -
:KUBE-SVC-VOTE -
:KUBE-SEP-VOTE -
:KUBE-MARK-MASQ -
:KUBE-POSTROUTING -
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -d 172.42.42.100/32 -p tcp -m comment --comment "default/vote loadbalancer IP" -m tcp --dport 5678 -j KUBE-FW-VOTE
-A KUBE-FW-VOTE -s 10.180.0.0/16 -m comment --comment "default/vote loadbalancer IP" -j KUBE-EXT-VOTE
-A KUBE-FW-VOTE -m comment --comment "other traffic to default/vote will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-EXT-VOTE -j KUBE-MARK-MASQ
-A KUBE-EXT-VOTE -j KUBE-SVC-VOTE
-A KUBE-SVC-VOTE -j KUBE-SEP-VOTE
-A KUBE-SEP-VOTE -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-VOTE -p tcp -m tcp -j DNAT --to-destination 10.244.0.5:8080
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-PROXY-FIREWALL -
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A KUBE-PROXY-FIREWALL -d 172.42.42.100/32 -p tcp -m comment --comment "default/vote traffic not accepted by KUBE-FW-VOTE" -m tcp --dport 5678 -j DROP
COMMIT
R
}
fix() { n node iptables -t nat -I KUBE-FW-VOTE -s 10.244.0.0/16 -j KUBE-EXT-VOTE; }

play "$@"
