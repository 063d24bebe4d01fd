#!/usr/bin/env bash
# A device that is on the whitelist has no internet behind a second router (oblique/create_ap#175, supershadoe/delta#94).
# Cause: the list has hardware addresses, and what comes through a router has the router's.
. "$(dirname "$0")/lab.sh"

FROM=pc-tab; TO=tcp/203.0.113.9:80
build() {
  new tab ext ap web; wire tab eth0 ext lan; addr tab eth0 192.168.12.20/24; addr ext lan 192.168.12.1/24; route tab default via 192.168.12.1; wire ext up ap ap0; addr ext up 192.168.11.2/24; addr ap ap0 192.168.11.1/24; route ext default via 192.168.11.1; route ap 192.168.12.0/24 via 192.168.11.2
  wire ap wan web eth0; addr ap wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; for s in ext ap; do sy $s net.ipv4.ip_forward=1; done; listen web tcp 80; n ap iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
  ip -n pc-tab link set eth0 address 02:00:5e:10:00:20
  n ap iptables -A FORWARD -i ap0 -m mac --mac-source 02:00:5e:10:00:20 -j ACCEPT; n ap iptables -A FORWARD -i ap0 -j DROP
}
fix() { n ap iptables -I FORWARD -i ap0 -s 192.168.12.20 -j ACCEPT; }

play "$@"
