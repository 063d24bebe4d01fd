#!/usr/bin/env bash
# A load balancer sends its clients to a server, and nothing comes back (google/seesaw#25; iqiyi/dpvs#312 for the way it should be).
# Cause: with direct server return the packet keeps the virtual address, and this server does not have it on any link.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.38.8.70:80
build() {
  new sw client lb rs1 rs2; bridge_ sw br0; for k in lb:1 rs1:21 rs2:22; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 10.38.9.${k#*:}/24; done
  wire client eth0 lb eth1; addr client eth0 10.38.4.9/24; addr lb eth1 10.38.4.1/24; route client default via 10.38.4.1; sy lb net.ipv4.ip_forward=1
  for s in rs1 rs2; do route $s default via 10.38.9.1; listen $s tcp 80; done; addr rs2 lo 10.38.8.70/32; route lb 10.38.8.70 via 10.38.9.21
}
fix() { ip -n pc-rs1 addr add 10.38.8.70/32 dev lo; }

play "$@"
