#!/usr/bin/env bash
# Two lab nodes on one Linux bridge; IPv4 works, IPv6 does not (srl-labs/containerlab#2389).
# Cause: the ip6 FORWARD policy is DROP and br_netfilter shows it bridged packets, neighbour discovery included.
. "$(dirname "$0")/lab.sh"

FROM=pc-n1; TO=2001:db8:12::2
build() {
  new host n1 n2; bridge_ host br-clab
  for k in 1 2; do wire n$k eth1 host n$k-eth1; port host n$k-eth1 br-clab; addr n$k eth1 2001:db8:12::$k/64 10.12.0.$k/24; done
  sy host net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
  n host ip6tables -P FORWARD DROP; n host iptables -P FORWARD ACCEPT
}
fix() { n host ip6tables -I FORWARD -i br-clab -j ACCEPT; }

play "$@"
