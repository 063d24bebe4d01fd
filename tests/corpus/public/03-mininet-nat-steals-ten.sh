#!/usr/bin/env bash
# Starting an emulated network with NAT on a remote machine cuts off the administrator (mininet/mininet#437).
# Cause: the NAT link gets 10.0.0.3/8, so answers to 10.1.0.5 are looked for on the emulated network.
. "$(dirname "$0")/lab.sh"

FROM=pc-admin; TO=tcp/10.128.0.10:22
build() {
  new host gw admin h1; bridge_ host s1
  wire host eth0 gw lan; addr host eth0 10.128.0.10/16; addr gw lan 10.128.0.1/16; route host default via 10.128.0.1
  wire admin eth0 gw office; addr admin eth0 10.1.0.5/24; addr gw office 10.1.0.1/24; route admin default via 10.1.0.1
  sy gw net.ipv4.ip_forward=1; sy host net.ipv4.ip_forward=1
  wire h1 h1-eth0 host s1-eth1; port host s1-eth1 s1; addr h1 h1-eth0 10.0.0.1/8
  wire host nat0-eth0 host s1-eth2; port host s1-eth2 s1; addr host nat0-eth0 10.0.0.3/8; route h1 default via 10.0.0.3
  n host iptables -t nat -A POSTROUTING -s 10.0.0.0/8 ! -d 10.0.0.0/8 -j MASQUERADE
  listen host tcp 22
}
fix() { route host 10.1.0.0/24 via 10.128.0.1; }

play "$@"
