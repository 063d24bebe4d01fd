#!/usr/bin/env bash
# With two providers some destinations are dead since one of them is out (Ysurac/openmptcprouter#4252).
# Cause: the multipath route still has the way by the dead provider, and the hash sends this destination there.
. "$(dirname "$0")/lab.sh"

FROM=pc-omr; TO=$(cat /run/pc-dead-way 2>/dev/null || echo 203.0.113.10)
build() {
  new omr m1 m2 vps; for k in 1 2; do wire omr eth$k m$k lan; addr omr eth$k 192.168.$k.2/24; addr m$k lan 192.168.$k.1/24; wire m$k wan vps eth$k; addr m$k wan 198.51.10$k.1/24; addr vps eth$k 198.51.10$k.9/24; route m$k default via 198.51.10$k.9; route vps 192.168.$k.0/24 via 198.51.10$k.1; sy m$k net.ipv4.ip_forward=1; done
  for a in 10 11 12 13 14 15 16 17 18 19 20 21; do addr vps lo 203.0.113.$a/32; done
  route omr default nexthop via 192.168.1.1 dev eth1 weight 1 nexthop via 192.168.2.1 dev eth2 weight 1
  ip -n pc-m2 addr del 192.168.2.1/24 dev lan
  for a in 10 11 12 13 14 15 16 17 18 19 20 21; do n omr ping -c 1 -W 1 203.0.113.$a >/dev/null 2>&1 || { echo 203.0.113.$a > /run/pc-dead-way; break; }; done
}
fix() { ip -n pc-omr route replace default via 192.168.1.1 dev eth1; }

play "$@"
