#!/usr/bin/env bash
# Behind a provider that shares its addresses pages load at times and at times not (openwrt/openwrt#14449, openwrt/firewall4#79, vyos/vyos-1x#3274).
# Cause: the translation may use a handful of ports only, and all of them are taken towards this server.
. "$(dirname "$0")/lab.sh"

FROM=pc-anna; TO=tcp/203.0.113.9:80
build() {
  new anna ben rtr web; bridge_ rtr br-lan; addr rtr br-lan 192.168.1.1/24; for k in anna:10 ben:11; do s=${k%:*}; wire $s eth0 rtr p-$s; port rtr p-$s br-lan; addr $s eth0 192.168.1.${k#*:}/24; route $s default via 192.168.1.1; done
  wire rtr map-wan web eth0; addr rtr map-wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; sy rtr net.ipv4.ip_forward=1; listen web tcp 80
  n rtr nft -f - <<'R'
table inet fw4 {
  chain srcnat { type nat hook postrouting priority srcnat; policy accept;
    meta nfproto ipv4 meta l4proto tcp oifname "map-wan" counter snat ip to 203.0.113.1:19728-19731
    meta nfproto ipv4 meta l4proto udp oifname "map-wan" counter snat ip to 203.0.113.1:19728-19731
  }
}
R
  for k in 1 2 3 4; do setsid ip netns exec pc-ben bash -c 'exec 3<>/dev/tcp/203.0.113.9/80; exec sleep 1000' >/dev/null 2>&1 & done; sleep 0.5
}
fix() { n rtr nft insert rule inet fw4 srcnat meta l4proto tcp oifname map-wan snat ip to 203.0.113.1:20752-29751; }

play "$@"
