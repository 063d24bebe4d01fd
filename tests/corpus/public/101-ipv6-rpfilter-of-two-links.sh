#!/usr/bin/env bash
# With cable and wireless in one network IPv6 is dead by one of them (firewalld/firewalld#459, #603).
# Cause: IPv6_rpfilter: the rule `fib saddr . mark . iif oif missing drop` wants the answer to go by the link that the packet came by.
. "$(dirname "$0")/lab.sh"

FROM=pc-peer; TO=2001:db8:5::20
build() {
  new sw peer box; bridge_ sw br0; wire peer eth0 sw p1; port sw p1 br0; addr peer eth0 2001:db8:5::9/64
  wire box enp2s0 sw p2; port sw p2 br0; wire box wlan0 sw p3; port sw p3 br0; addr box enp2s0 2001:db8:5::10/64
  ip -n pc-box addr add 2001:db8:5::20/64 dev wlan0 nodad metric 600 2>/dev/null || addr box wlan0 2001:db8:5::20/64
  n box nft -f - <<'R'
table inet firewalld {
  chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing log prefix "rpfilter_DROP: " drop
  }
}
R
}
fix() { n box nft insert rule inet firewalld mangle_PREROUTING iifname wlan0 ip6 saddr 2001:db8:5::/64 accept; }

play "$@"
