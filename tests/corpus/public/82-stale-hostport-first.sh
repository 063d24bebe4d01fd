#!/usr/bin/env bash
# A host port is dead after its pod was restarted (containernetworking/plugins#683, cilium/cilium#18227, projectcalico/calico#3412).
# Cause: the chain of the old pod was not removed and comes first: its address is nobody's any more.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.0.0.10:8126
build() {
  new client node pod; wire client eth0 node eth0; addr client eth0 10.0.0.50/24; addr node eth0 10.0.0.10/24
  bridge_ node cni0; addr node cni0 10.244.0.1/24; wire pod eth0 node v-new; port node v-new cni0; addr pod eth0 10.244.0.9/24; route pod default via 10.244.0.1
  sy node net.ipv4.ip_forward=1; listen pod tcp 8126
  n node iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:CNI-HOSTPORT-DNAT -
:CNI-HOSTPORT-SETMARK -
:CNI-HOSTPORT-MASQ -
:CNI-DN-2340674fa9a846ba6cee5 -
:CNI-DN-98502136a6caa3b998bdb -
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cbr0\" id: \"770c07dfd094\"" -m multiport --dports 8126 -j CNI-DN-2340674fa9a846ba6cee5
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cbr0\" id: \"b57a45acaad1\"" -m multiport --dports 8126 -j CNI-DN-98502136a6caa3b998bdb
-A CNI-DN-2340674fa9a846ba6cee5 -s 10.244.0.0/24 -p tcp -m tcp --dport 8126 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-2340674fa9a846ba6cee5 -p tcp -m tcp --dport 8126 -j DNAT --to-destination 10.244.0.5:8126
-A CNI-DN-98502136a6caa3b998bdb -s 10.244.0.0/24 -p tcp -m tcp --dport 8126 -j CNI-HOSTPORT-SETMARK
-A CNI-DN-98502136a6caa3b998bdb -p tcp -m tcp --dport 8126 -j DNAT --to-destination 10.244.0.9:8126
COMMIT
R
}
fix() { n node iptables -t nat -D CNI-HOSTPORT-DNAT 1; }

play "$@"
