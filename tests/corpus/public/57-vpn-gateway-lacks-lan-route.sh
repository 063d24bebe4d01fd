#!/usr/bin/env bash
# Packets of the other site arrive at the VPN gateway and are never answered; the gateway of that site itself is answered (opnsense/core#7355).
# Cause: routes are made for the tunnel's own subnet only; there is none back to 192.168.1.0/24.
. "$(dirname "$0")/lab.sh"

FROM=pc-pc1; TO=192.168.2.10
build() {
  new pc1 g1 g2 srv; wire pc1 eth0 g1 lan; addr pc1 eth0 192.168.1.10/24; addr g1 lan 192.168.1.1/24; route pc1 default via 192.168.1.1
  wire g1 wg0 g2 wg1; addr g1 wg0 192.168.7.2/25; addr g2 wg1 192.168.7.1/25; route g1 192.168.2.0/24 via 192.168.7.1
  wire g2 lan srv eth0; addr g2 lan 192.168.2.1/24; addr srv eth0 192.168.2.10/24; route srv default via 192.168.2.1
  sy g1 net.ipv4.ip_forward=1; sy g2 net.ipv4.ip_forward=1
}
fix() { route g2 192.168.1.0/24 via 192.168.7.2; }

play "$@"
