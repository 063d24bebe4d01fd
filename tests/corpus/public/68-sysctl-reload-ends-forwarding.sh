#!/usr/bin/env bash
# Containers lose the network when sysctl is loaded again (NixOS/nixpkgs#118656, moby/moby#47966).
# Cause: a file of sysctl.d says ip_forward = 0; dockerd had switched it on.
. "$(dirname "$0")/lab.sh"

FROM=pc-web; TO=203.0.113.1
build() {
  new host web inet; bridge_ host docker0; addr host docker0 172.17.0.1/16; wire web eth0 host v0; port host v0 docker0; addr web eth0 172.17.0.2/16; route web default via 172.17.0.1
  wire host eth0 inet eth0; addr host eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route host default via 198.51.100.1
  n host iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE; sy host net.ipv4.ip_forward=1; sy host net.ipv4.ip_forward=0
}
fix() { sy host net.ipv4.ip_forward=1; }

play "$@"
