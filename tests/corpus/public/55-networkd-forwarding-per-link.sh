#!/usr/bin/env bash
# ip_forward is 1, and yet a container reaches nothing beyond its host (systemd/systemd#468).
# Cause: systemd-networkd switches forwarding off on every link that it manages and was not told otherwise.
. "$(dirname "$0")/lab.sh"

FROM=pc-ct; TO=203.0.113.1
build() {
  new host ct inet; wire ct host0 host ve-ct; addr ct host0 10.0.7.2/24; addr host ve-ct 10.0.7.1/24; route ct default via 10.0.7.1
  wire host enp1s0 inet eth0; addr host enp1s0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route host default via 198.51.100.1
  sy host net.ipv4.ip_forward=1; n host iptables -t nat -A POSTROUTING -s 10.0.7.0/24 -o enp1s0 -j MASQUERADE; sy host net.ipv4.conf.ve-ct.forwarding=0
}
fix() { sy host net.ipv4.conf.ve-ct.forwarding=1; }

play "$@"
