#!/usr/bin/env bash
# Pods do not reach a machine of the home network, and it sees their own addresses (projectcalico/calico#4138, #4604, #7345).
# Cause: the LAN lies inside the IP pool 192.168.0.0/16, and what goes to a pool is not masqueraded.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=tcp/192.168.86.160:2049
build() {
  new pod node nas gw lan; bridge_ lan br0; for k in node:152 nas:160 gw:1; do s=${k%:*}; wire $s eth0 lan p-$s; port lan p-$s br0; addr $s eth0 192.168.86.${k#*:}/24; done
  wire pod eth0 node cali1; addr pod eth0 192.168.185.7/32; addr node cali1 169.254.1.1/32; route pod 169.254.1.1 dev eth0; route pod default via 169.254.1.1; route node 192.168.185.7 dev cali1
  sy node net.ipv4.ip_forward=1; sy gw net.ipv4.ip_forward=1; for s in node nas; do route $s default via 192.168.86.1; done
  n node ipset create cali40masq-ipam-pools hash:net; n node ipset add cali40masq-ipam-pools 192.168.0.0/16; n node ipset create cali40all-ipam-pools hash:net; n node ipset add cali40all-ipam-pools 192.168.0.0/16
  n node iptables -t nat -N cali-POSTROUTING; n node iptables -t nat -N cali-nat-outgoing; n node iptables -t nat -A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING; n node iptables -t nat -A cali-POSTROUTING -j cali-nat-outgoing
  n node iptables -t nat -A cali-nat-outgoing -m comment --comment "cali:flqWnvo8yq4ULQLa" -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully
  listen nas tcp 2049
}
fix() { n node iptables -t nat -A POSTROUTING -s 192.168.185.0/24 -d 192.168.86.0/24 -j MASQUERADE; }

play "$@"
