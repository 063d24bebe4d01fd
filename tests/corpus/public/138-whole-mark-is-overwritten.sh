#!/usr/bin/env bash
# A node port is not reached from machines beside the node (kubernetes/kubernetes#19983, projectcalico/felix#964).
# Cause: the proxy's mark, which asks for masquerading later, is overwritten by a network plugin that sets its own without a mask.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.40.10:30080
build() {
  new sw client node back; bridge_ sw br0; for k in client:9 node:10 back:20; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 192.168.40.${k#*:}/24; done; sy node net.ipv4.ip_forward=1; listen back tcp 80
  n node iptables-restore <<'R'
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j DNAT --to-destination 192.168.40.20:80
-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
COMMIT
*filter
:felix-FORWARD - [0:0]
-A FORWARD -j felix-FORWARD
-A felix-FORWARD -j MARK --set-xmark 0x1000000/0xffffffff
-A felix-FORWARD -m mark --mark 0x1000000/0x1000000 -j ACCEPT
COMMIT
R
}
fix() { n node iptables -R felix-FORWARD 1 -j MARK --set-xmark 0x1000000/0x1000000; n node conntrack -F 2>/dev/null; }

play "$@"
