#!/usr/bin/env bash
# A namespace reaches its gateway but nothing beyond; forwarding is on (the commonest question about namespaces; tutorials on veth, bridge and NAT).
# Cause: nobody masquerades; the router upstream checks sources (rp_filter), as most do, and drops the private address on arrival.
. "$(dirname "$0")/lab.sh"

FROM=pc-ns; TO=203.0.113.1
build() {
  new host ns inet; bridge_ host br0; addr host br0 10.5.0.254/24; wire ns eth0 host v0; port host v0 br0; addr ns eth0 10.5.0.1/24; route ns default via 10.5.0.254
  wire host eth0 inet eth0; addr host eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route host default via 198.51.100.1
  sy host net.ipv4.ip_forward=1; sy inet net.ipv4.conf.all.rp_filter=2
}
fix() { n host iptables -t nat -A POSTROUTING -s 10.5.0.0/24 -o eth0 -j MASQUERADE; }

play "$@"
