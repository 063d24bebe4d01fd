#!/usr/bin/env bash
# A device has no internet at a time at which its rule ought to let it through (openwrt/openwrt#9470, #9923, #19482).
# Cause: the rule looks at the clock, and its hours are not those that were meant (summer time, UTC, past midnight).
. "$(dirname "$0")/lab.sh"

FROM=pc-tv; TO=tcp/203.0.113.9:80
build() {
  new tv rtr web; wire tv eth0 rtr br-lan; addr tv eth0 192.168.1.178/24; addr rtr br-lan 192.168.1.1/24; route tv default via 192.168.1.1; wire rtr wan web eth0; addr rtr wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1
  sy rtr net.ipv4.ip_forward=1; listen web tcp 80
  n rtr nft -f - <<R
table inet fw4 {
  chain handle_reject { meta l4proto tcp reject with tcp reset; reject with icmpx type port-unreachable; }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    meta l4proto tcp ip saddr 192.168.1.178 meta hour "00:00:00"-"23:59:59" meta day { "$(LC_ALL=C date +%A)", "$(LC_ALL=C date -d tomorrow +%A)" } counter jump handle_reject comment "!fw4: TR4mbh"
    iifname "br-lan" oifname "wan" accept
  }
}
R
}
fix() { n rtr nft insert rule inet fw4 forward ip saddr 192.168.1.178 tcp dport 80 accept; }

play "$@"
