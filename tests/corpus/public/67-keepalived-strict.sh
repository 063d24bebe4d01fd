#!/usr/bin/env bash
# The virtual address of keepalived answers nobody (acassen/keepalived#474, #1946).
# Cause: vrrp_strict forbids it: keepalived keeps an nft set of its addresses and drops what is for them.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.47.155:53
build() {
  new lb client; wire client eth0 lb ens192; addr client eth0 192.168.47.9/24; addr lb ens192 192.168.47.2/24 192.168.47.155/32
  n lb nft -f - <<'R'
table ip keepalived {
  set vips { type ipv4_addr; elements = { 192.168.47.155 }; }
  chain out { type filter hook output priority filter - 1; policy accept; ip saddr @vips drop; }
  chain in { type filter hook input priority filter - 1; policy accept; ip daddr @vips drop; }
}
R
  listen lb tcp 53
}
fix() { n lb nft flush set ip keepalived vips; }

play "$@"
