#!/usr/bin/env bash
# A network that is reached by another way too is dead since its own cable is out (sonic-net/sonic-buildimage#24461).
# Cause: the connected route stays and wins; with ignore_routes_with_linkdown the other way is taken.
. "$(dirname "$0")/lab.sh"

FROM=pc-sonic; TO=10.10.10.9
build() {
  new sonic r2 leaf; wire sonic PortChannel02 leaf e0; addr sonic PortChannel02 10.10.10.1/24; addr leaf e0 10.10.10.9/24
  wire sonic Ethernet0 r2 e0; addr sonic Ethernet0 1.1.1.1/30; addr r2 e0 1.1.1.2/30; wire r2 e1 leaf e1; addr r2 e1 1.1.2.1/30; addr leaf e1 1.1.2.2/30; route r2 10.10.10.0/24 via 1.1.2.2; sy r2 net.ipv4.ip_forward=1; route leaf 1.1.1.0/30 via 1.1.2.1
  route sonic 10.10.10.0/24 via 1.1.1.2 metric 20; ip -n pc-leaf link set e0 down
}
fix() { sy sonic net.ipv4.conf.all.ignore_routes_with_linkdown=1 net.ipv4.conf.PortChannel02.ignore_routes_with_linkdown=1; }

play "$@"
