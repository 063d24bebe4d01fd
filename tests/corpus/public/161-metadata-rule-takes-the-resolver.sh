#!/usr/bin/env bash
# Pods resolve no names on a cloud whose resolver is 169.254.169.254 (openshift/sdn#12, ovn-kubernetes/ovn-kubernetes#6090).
# Cause: the rule that keeps them from the metadata refuses everything at that address, DNS too.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=udp/169.254.169.254:53
build() {
  new pod node cloud; wire pod eth0 node tun0; addr pod eth0 10.128.0.9/23; addr node tun0 10.128.0.1/23; route pod default via 10.128.0.1; wire node eth0 cloud eth0; addr node eth0 10.0.0.5/24; addr cloud eth0 10.0.0.1/24 169.254.169.254/32; route node default via 10.0.0.1
  sy node net.ipv4.ip_forward=1; n node iptables -t nat -A POSTROUTING -s 10.128.0.0/14 -o eth0 -j MASQUERADE; listen cloud udp 53 169.254.169.254; listen cloud tcp 80
  n node iptables -N OPENSHIFT-BLOCK-OUTPUT; n node iptables -A FORWARD -j OPENSHIFT-BLOCK-OUTPUT; n node iptables -A OPENSHIFT-BLOCK-OUTPUT -d 169.254.169.254 -j REJECT
}
fix() { n node iptables -I OPENSHIFT-BLOCK-OUTPUT -d 169.254.169.254 -p udp --dport 53 -j ACCEPT; }

play "$@"
