#!/usr/bin/env bash
# A virtual address on lo is not reached when kube-proxy is strict about ARP (kube-vip/kube-vip#1114).
# Cause: arp_ignore = 1: the node answers ARP only for addresses of the link that was asked.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.7.0.100
build() {
  new node client; wire client eth0 node ens160; addr client eth0 10.7.0.5/24; addr node ens160 10.7.0.2/24; addr node lo 10.7.0.100/32
  sy node net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
}
fix() { ip -n pc-node addr del 10.7.0.100/32 dev lo; ip -n pc-node addr add 10.7.0.100/32 dev ens160; ip -n pc-client neigh flush all; }

play "$@"
