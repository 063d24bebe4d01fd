#!/usr/bin/env bash
# A pod's firewall lets the client in, and the client is refused (kubernetes/website#1759).
# Cause: kubenet masquerades all that is not for 10.0.0.0/8, and so packets to pods of 192.168.1.0/24, too: they come with the node's address.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.1.7:80
build() {
  new node pod client; wire client eth0 node eth0; addr client eth0 172.20.0.9/24; addr node eth0 172.20.0.1/24; route client 192.168.1.0/24 via 172.20.0.1
  bridge_ node cbr0; addr node cbr0 192.168.1.1/24; wire pod eth0 node v0; port node v0 cbr0; addr pod eth0 192.168.1.7/24; route pod default via 192.168.1.1; sy node net.ipv4.ip_forward=1
  n node iptables -t nat -A POSTROUTING ! -d 10.0.0.0/8 -m addrtype ! --dst-type LOCAL -m comment --comment "kubenet: SNAT for outbound traffic from cluster" -j MASQUERADE
  n pod iptables -A INPUT -p tcp --dport 80 ! -s 172.20.0.9 -j REJECT
  listen pod tcp 80
}
fix() { n node iptables -t nat -I POSTROUTING 1 -d 192.168.1.0/24 -j ACCEPT; }

play "$@"
