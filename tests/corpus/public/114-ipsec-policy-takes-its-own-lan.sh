#!/usr/bin/env bash
# Since a gateway sends everything into an IPsec tunnel, its own LAN does not reach it any more (opnsense/core#2571, strongswan/strongswan#2428).
# Cause: the policy 0.0.0.0/0 takes what comes from the LAN, too, which has never been in a tunnel; the LAN wants a policy of its own (bypass-lan).
. "$(dirname "$0")/lab.sh"

FROM=pc-desk; TO=tcp/192.168.1.1:443
build() {
  new desk gw far; wire desk eth0 gw lan; addr desk eth0 192.168.1.10/24; addr gw lan 192.168.1.1/24; route desk default via 192.168.1.1; wire gw wan far eth0; addr gw wan 203.0.113.2/24; addr far eth0 203.0.113.1/24
  sy gw net.ipv4.ip_forward=1; listen gw tcp 443
  ip -n pc-gw xfrm policy add src 192.168.1.0/24 dst 0.0.0.0/0 dir out priority 399999 tmpl src 203.0.113.2 dst 203.0.113.1 proto esp reqid 1 mode tunnel
  for d in in fwd; do ip -n pc-gw xfrm policy add src 0.0.0.0/0 dst 192.168.1.0/24 dir $d priority 399999 tmpl src 203.0.113.1 dst 203.0.113.2 proto esp reqid 1 mode tunnel; done
}
fix() { for d in in out fwd; do ip -n pc-gw xfrm policy add src 192.168.1.0/24 dst 192.168.1.0/24 dir $d priority 1000; done; }

play "$@"
