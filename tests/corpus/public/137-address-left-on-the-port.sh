#!/usr/bin/env bash
# A server is off the network since its link was put into a bridge (devplayer0/docker-net-dhcp#19, lxc/incus-os#223).
# Cause: the address stayed on the link: what comes in belongs to the bridge now, the answers to ARP, too.
. "$(dirname "$0")/lab.sh"

FROM=pc-srv; TO=192.168.56.1
build() {
  new srv rtr; wire srv eth0 rtr lan; addr srv eth0 192.168.56.20/24; addr rtr lan 192.168.56.1/24; route srv default via 192.168.56.1
  bridge_ srv my-bridge; port srv eth0 my-bridge
}
fix() { ip -n pc-srv addr flush dev eth0; addr srv my-bridge 192.168.56.20/24; route srv default via 192.168.56.1; }

play "$@"
