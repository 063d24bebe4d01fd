#!/usr/bin/env bash
# Since a second router hangs in the network, machines of another subnet lose their gateway (coolsnowwolf/lede#4552, v-byte-cpu/sx#117).
# Cause: it has proxy_arp on and answers for every address that it has a way to.
. "$(dirname "$0")/lab.sh"

FROM=pc-box; TO=203.0.113.9
build() {
  new sw box gw side web; bridge_ sw br0; wire box eth0 sw p1; port sw p1 br0; addr box eth0 192.168.8.160/24; wire gw lan sw p2; port sw p2 br0; addr gw lan 192.168.8.1/24; wire side br-lan sw p3; port sw p3 br0; addr side br-lan 192.168.1.1/24
  route box default via 192.168.8.1; wire gw wan web eth0; addr gw wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; sy gw net.ipv4.ip_forward=1
  wire side wan gw spare; addr side wan 198.51.100.2/24; route side default via 198.51.100.1; sy side net.ipv4.ip_forward=1 net.ipv4.conf.br-lan.proxy_arp=1
  ip -n pc-box neigh replace 192.168.8.1 lladdr "$(n side cat /sys/class/net/br-lan/address)" dev eth0 nud reachable; sy box net.ipv4.neigh.eth0.base_reachable_time_ms=3600000
}
fix() { sy side net.ipv4.conf.br-lan.proxy_arp=0; ip -n pc-box neigh flush dev eth0; }

play "$@"
