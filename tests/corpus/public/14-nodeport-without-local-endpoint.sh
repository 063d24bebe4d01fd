#!/usr/bin/env bash
# A node port of a service with externalTrafficPolicy Local is silent on nodes without a pod of it (kubernetes/website#2499, kubernetes/kubernetes#92761).
# Cause: nat marks the packet 0x8000 ("has no local endpoints"), and KUBE-FIREWALL drops what is marked.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.0.0.11:31449
build() {
  new node client; wire client eth0 node eth0; addr client eth0 10.0.0.50/24; addr node eth0 10.0.0.11/24
  n node iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-SERVICES -
:KUBE-NODEPORTS -
:KUBE-XLB-NGINX -
:KUBE-MARK-DROP -
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A KUBE-SERVICES -m comment --comment "service nodeports; must be the last rule" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/nginx" -m tcp --dport 31449 -j KUBE-XLB-NGINX
-A KUBE-XLB-NGINX -m comment --comment "default/nginx has no local endpoints" -j KUBE-MARK-DROP
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-FIREWALL -
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -m comment --comment "dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
R
  listen node tcp 31449
}
fix() { n node iptables -t nat -F KUBE-XLB-NGINX; }

play "$@"
