#!/usr/bin/env bash
# A laptop has no internet as soon as a device without one is plugged in, though the wireless is fine (balena-os/wifi-connect#500; omarchy#5436).
# Cause: both offer a default route, and that of the wired link has the smaller metric.
. "$(dirname "$0")/lab.sh"

FROM=pc-laptop; TO=tcp/203.0.113.9:443
build() {
  new laptop device ap web; wire laptop eth0 device lan; addr laptop eth0 192.168.50.77/24; addr device lan 192.168.50.1/24; sy device net.ipv4.ip_forward=1; wire laptop wlan0 ap lan; addr laptop wlan0 192.168.1.77/24; addr ap lan 192.168.1.1/24
  wire ap wan web eth0; addr ap wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; sy ap net.ipv4.ip_forward=1; n ap iptables -t nat -A POSTROUTING -o wan -j MASQUERADE; listen web tcp 443
  route laptop default via 192.168.50.1 dev eth0 proto dhcp src 192.168.50.77 metric 100; route laptop default via 192.168.1.1 dev wlan0 proto dhcp src 192.168.1.77 metric 600
}
fix() { ip -n pc-laptop route del default via 192.168.50.1 dev eth0 metric 100; route laptop default via 192.168.50.1 dev eth0 proto dhcp src 192.168.50.77 metric 700; }

play "$@"
