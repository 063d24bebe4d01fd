#!/usr/bin/env bash
# A box has no network as root, as a user it has (hardkernel/linux#409, anbox/anbox#1078, MichaIng/DietPi#4397).
# Cause: the rule of the VPN says uidrange 0-0: it sends root, and nobody else, into the table of the VPN.
. "$(dirname "$0")/lab.sh"

FROM=pc-box; TO=203.0.113.9
build() {
  new box gw vpn web; wire box eth0 gw lan; addr box eth0 192.168.8.20/24; addr gw lan 192.168.8.1/24; route box default via 192.168.8.1; wire gw wan web eth0; addr gw wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; sy gw net.ipv4.ip_forward=1; n gw iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
  wire box wg0 vpn wg0; addr box wg0 10.70.1.1/24; addr vpn wg0 10.70.1.254/24; ip -n pc-box route add default dev wg0 table 51900; ip -n pc-box rule add pref 32765 uidrange 0-0 lookup 51900
}
fix() { ip -n pc-box rule del pref 32765; }

play "$@"
