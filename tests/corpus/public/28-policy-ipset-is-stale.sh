#!/usr/bin/env bash
# A new pod is refused by a service that its network policy allows; old pods are let through (cloudnativelabs/kube-router#2059, #378).
# Cause: the ipset of allowed sources does not have the new pod's address.
. "$(dirname "$0")/lab.sh"

FROM=pc-newpod; TO=tcp/10.244.0.5:80
build() {
  new node web oldpod newpod; bridge_ node kube-bridge; addr node kube-bridge 10.244.0.1/24; sy node net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  for k in web:5 oldpod:40 newpod:44; do s=${k%:*}; wire $s eth0 node v-$s; port node v-$s kube-bridge; addr $s eth0 10.244.0.${k#*:}/24; route $s default via 10.244.0.1; done
  n node ipset create KUBE-SRC-ALLOW hash:ip; n node ipset add KUBE-SRC-ALLOW 10.244.0.40; n node ipset create KUBE-DST-WEB hash:ip; n node ipset add KUBE-DST-WEB 10.244.0.5
  n node iptables-restore <<'R'
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-ROUTER-FORWARD -
:KUBE-POD-FW-WEB -
:KUBE-NWPLCY-ALLOW -
-A FORWARD -m comment --comment "kube-router netpol" -j KUBE-ROUTER-FORWARD
-A KUBE-ROUTER-FORWARD -d 10.244.0.5/32 -m comment --comment "traffic to pod web" -j KUBE-POD-FW-WEB
-A KUBE-ROUTER-FORWARD -d 10.244.0.5/32 -m physdev --physdev-is-bridged -m comment --comment "traffic to pod web, bridged" -j KUBE-POD-FW-WEB
-A KUBE-POD-FW-WEB -m comment --comment "stateful firewall for pod" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-WEB -m addrtype --src-type LOCAL -d 10.244.0.5/32 -m comment --comment "the pod's own node" -j ACCEPT
-A KUBE-POD-FW-WEB -m comment --comment "run through nw policy allow-intra" -j KUBE-NWPLCY-ALLOW
-A KUBE-POD-FW-WEB -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min -j LOG
-A KUBE-POD-FW-WEB -m comment --comment "REJECT traffic destined for POD name:web" -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-POD-FW-WEB -j MARK --set-xmark 0x0/0x10000
-A KUBE-NWPLCY-ALLOW -m set --match-set KUBE-SRC-ALLOW src -m set --match-set KUBE-DST-WEB dst -j MARK --set-xmark 0x10000/0x10000
COMMIT
R
  listen web tcp 80
}
fix() { n node ipset add KUBE-SRC-ALLOW 10.244.0.44; }

play "$@"
