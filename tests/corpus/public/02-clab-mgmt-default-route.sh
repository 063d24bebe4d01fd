#!/usr/bin/env bash
# Lab hosts keep the default route of the management network, so traffic for the other side of the lab router leaves by it
# (srl-labs/containerlab#3208, ipspace/netlab#1641). Cause: no route to the far lab network by eth1; the default is the management bridge.
. "$(dirname "$0")/lab.sh"

FROM=pc-h1; TO=10.2.0.12
build() {
  new host h1 h2 r inet; bridge_ host br-mgmt; addr host br-mgmt 172.20.20.1/24
  wire host eth0 inet eth0; addr host eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route host default via 198.51.100.1
  for k in h1:11 h2:12 r:10; do wire "${k%:*}" eth0 host "${k%:*}-eth0"; port host "${k%:*}-eth0" br-mgmt; addr "${k%:*}" eth0 172.20.20.${k#*:}/24; route "${k%:*}" default via 172.20.20.1; done
  wire h1 eth1 r eth1; addr h1 eth1 10.1.0.11/24; addr r eth1 10.1.0.1/24
  wire h2 eth1 r eth2; addr h2 eth1 10.2.0.12/24; addr r eth2 10.2.0.1/24
  sy host net.ipv4.ip_forward=1; sy r net.ipv4.ip_forward=1; sy inet net.ipv4.ip_forward=1
  n host iptables -t nat -A POSTROUTING -s 172.20.20.0/24 ! -o br-mgmt -j MASQUERADE
}
fix() { route h1 10.2.0.0/24 via 10.1.0.1; route h2 10.1.0.0/24 via 10.2.0.1; }

play "$@"
