#!/usr/bin/env bash
# A node does not reach its own address, and nothing that listens there, since Kubernetes was set up on it (canonical/k8s-snap#903).
# Cause: cilium moves the rule of the table local from 0 to 100; the machine's own rule for its subnet has 100 too, was there before, and comes first.
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=tcp/10.241.32.10:6443
build() {
  new node gw; wire node eth0 gw lan; addr node eth0 10.241.32.10/21; addr gw lan 10.241.32.1/21; sy gw net.ipv4.ip_forward=1; route node default via 10.241.32.1; route node default via 10.241.32.1 table 1
  ip -n pc-node rule add pref 100 from 10.241.32.0/21 lookup 1; ip -n pc-node rule add pref 32764 from 10.241.32.0/21 to 10.241.32.0/21 lookup main
  ip -n pc-node rule add pref 9 fwmark 0x200/0xf00 lookup 2004; ip -n pc-node rule add pref 100 lookup local; ip -n pc-node rule del pref 0; listen node tcp 6443
}
fix() { ip -n pc-node rule del pref 100 from 10.241.32.0/21; ip -n pc-node rule add pref 200 from 10.241.32.0/21 lookup 1; }

play "$@"
