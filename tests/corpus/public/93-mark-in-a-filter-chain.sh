#!/usr/bin/env bash
# A router marks its own packets for the tunnel, and they leave by the default route (openwrt/openwrt#9955).
# Cause: the chain is `type filter hook output`: only `type route` has the way looked up again when the mark changes.
. "$(dirname "$0")/lab.sh"

FROM=pc-rtr; TO=10.77.0.9
build() {
  new rtr isp hub; wire rtr wan isp c; addr rtr wan 198.51.100.20/24; addr isp c 198.51.100.1/24; route rtr default via 198.51.100.1; sy isp net.ipv4.ip_forward=1
  wire rtr wg0 hub wg0; addr rtr wg0 10.66.0.2/24; addr hub wg0 10.66.0.1/24; addr hub lo 10.77.0.9/32; route hub default via 10.66.0.2
  ip -n pc-rtr route add default via 10.66.0.1 dev wg0 table 100; ip -n pc-rtr rule add fwmark 0x1 lookup 100
  n rtr nft -f - <<'R'
table inet fw4 {
  set my_subnets { type ipv4_addr; flags interval; elements = { 10.77.0.0/16 } }
  chain mangle_output { type filter hook output priority mangle; policy accept;
    ip daddr @my_subnets counter meta mark set 0x1 comment "!fw4: Mark outgoing packets destined to my subnets"
  }
  chain srcnat { type nat hook postrouting priority srcnat; policy accept;
    oifname "wg0" masquerade
  }
}
R
}
fix() { n rtr nft delete chain inet fw4 mangle_output; n rtr nft add chain inet fw4 mangle_output '{ type route hook output priority mangle; policy accept; }'; n rtr nft add rule inet fw4 mangle_output ip daddr @my_subnets meta mark set 1; }

play "$@"
