#!/usr/bin/env bash
# The virtual address is answered by the wrong machine every other time (acassen/keepalived#821, cookeem/kubeadm-ha#49).
# Cause: VRRP does not pass the firewalls, so both are master and both have the address.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/172.31.50.10:10000
build() {
  new sw client ma mb; bridge_ sw br0
  for k in client:5 ma:6 mb:7; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 172.31.50.${k#*:}/28; done
  for s in ma mb; do addr $s eth0 172.31.50.10/32; n $s iptables -A INPUT -p 112 -j DROP; done
  listen ma tcp 10000; ip -n pc-client neigh replace 172.31.50.10 lladdr "$(n mb cat /sys/class/net/eth0/address)" dev eth0 nud reachable
  sy client net.ipv4.neigh.eth0.base_reachable_time_ms=3600000
}
fix() { ip -n pc-mb addr del 172.31.50.10/32 dev eth0; ip -n pc-client neigh flush dev eth0; }

play "$@"
