#!/usr/bin/env bash
# A guest that moved to another node is not reached by guests of the same network, until somebody flushes entries (FRRouting/frr#2129; how it answers: FRRouting/frr#16015).
# Cause: with neigh_suppress the bridge answers ARP itself, from its own neighbour entry, and that has the hardware address of before.
. "$(dirname "$0")/lab.sh"

FROM=pc-h1; TO=192.168.10.2
leaf() { # NUMBER OTHER
  wire l$1 eth0 spine p$1; port spine p$1 br0; addr l$1 eth0 10.0.0.$1/24; bridge_ l$1 br100; addr l$1 br100 192.168.10.25$1/24
  ip -n pc-l$1 link add vxlan100 type vxlan id 100 dstport 4789 local 10.0.0.$1 nolearning; ip -n pc-l$1 link set vxlan100 master br100; ip -n pc-l$1 link set vxlan100 up
  n l$1 bridge link set dev vxlan100 neigh_suppress on learning off; n l$1 bridge fdb append 00:00:00:00:00:00 dev vxlan100 dst 10.0.0.$2
  wire h$1 eth0 l$1 swp1; port l$1 swp1 br100; ip -n pc-h$1 link set eth0 address 46:18:30:9c:dc:0$1; addr h$1 eth0 192.168.10.$1/24; }
evpn() { # MAC: what the routing daemon of the first leaf knows of the guest
  n l1 bridge fdb replace "$1" dev vxlan100 dst 10.0.0.2 self extern_learn; n l1 bridge fdb replace "$1" dev vxlan100 master extern_learn; ip -n pc-l1 neigh replace 192.168.10.2 lladdr "$1" dev br100 nud noarp extern_learn; }
build() { new spine l1 l2 h1 h2; bridge_ spine br0; leaf 1 2; leaf 2 1; evpn 46:18:30:9c:dc:77; }
# A question that is open keeps what comes after it waiting, and then fails it.
check() { ip -n pc-h1 neigh flush all; n h1 ping -n -c 2 -i 0.3 -W 2 "$TO" >/dev/null 2>&1; }
fix() { evpn 46:18:30:9c:dc:02; }

play "$@"
