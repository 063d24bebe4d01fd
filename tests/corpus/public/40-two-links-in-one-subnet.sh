#!/usr/bin/env bash
# A machine with two links in one subnet answers on one address only (a frequent question).
# Cause: with arp_ignore=1 the second address comes in by the second link, but the way back is by the first: the strict filter drops it.
. "$(dirname "$0")/lab.sh"

FROM=pc-peer; TO=10.0.0.3
build() {
  new lan host peer; bridge_ lan br0; sy lan net.bridge.bridge-nf-call-iptables=0
  wire peer eth0 lan p; port lan p br0; addr peer eth0 10.0.0.9/24
  for k in 0:2 1:3; do wire host eth${k%:*} lan h${k%:*}; port lan h${k%:*} br0; addr host eth${k%:*} 10.0.0.${k#*:}/24; done
  sy host net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
}
fix() { sy host net.ipv4.conf.eth1.rp_filter=2; }

play "$@"
