#!/usr/bin/env bash
# A pod cannot reach itself by its own service address; others can (kubernetes/kubernetes#20475, kubernetes/website#748).
# Cause: with bridge-nf-call-iptables=1 the translated packet is bridged, and its port has hairpin mode off.
. "$(dirname "$0")/lab.sh"

FROM=pc-web; TO=tcp/10.96.0.25:80
build() {
  new node web other; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
  for k in web:5 other:6; do wire "${k%:*}" eth0 node "v-${k%:*}"; port node "v-${k%:*}" cni0; addr "${k%:*}" eth0 10.244.0.${k#*:}/24; route "${k%:*}" default via 10.244.0.1; done
  n node iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-SERVICES -
:KUBE-SVC-WEB -
:KUBE-SEP-WEB -
:KUBE-MARK-MASQ -
:KUBE-POSTROUTING -
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -d 10.96.0.25/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SVC-WEB -m comment --comment "default/web -> 10.244.0.5:80" -j KUBE-SEP-WEB
-A KUBE-SEP-WEB -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination 10.244.0.5:80
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
COMMIT
R
  listen web tcp 80
}
fix() { bridge -n pc-node link set dev v-web hairpin on; }

play "$@"
