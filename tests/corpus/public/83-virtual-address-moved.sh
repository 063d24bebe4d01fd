#!/usr/bin/env bash
# After a failover a client still sends to the old master's MAC (acassen/keepalived#347, #160, metallb/metallb#123).
# Cause: nobody announced the move: the client's neighbour entry is the old one's, which does not have the address any more.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.123.239:80
build() {
  new sw client ma mb; bridge_ sw br0
  for k in client:5 ma:100 mb:101; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 192.168.123.${k#*:}/24; done
  addr mb eth0 192.168.123.239/32; listen mb tcp 80; sy client net.ipv4.neigh.eth0.base_reachable_time_ms=3600000
  ip -n pc-client neigh replace 192.168.123.239 lladdr "$(n ma cat /sys/class/net/eth0/address)" dev eth0 nud reachable
}
fix() { ip -n pc-client neigh del 192.168.123.239 dev eth0; }

play "$@"
