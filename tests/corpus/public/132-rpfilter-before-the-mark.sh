#!/usr/bin/env bash
# With a WireGuard tunnel as the default route its own packets get no answers over IPv6 (firewalld/firewalld#603; NixOS/nixpkgs#39054).
# Cause: firewalld's reverse path filter stands in raw, before the mark of the connection is restored, and does not look at marks.
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=udp/[2001:db8:9::9]:51820; OPTS="--mark 0xca6c"
build() {
  new node gw exit peer; wire node wlp0 gw lan; addr node wlp0 2001:db8:1::2/64; addr gw lan 2001:db8:1::1/64; wire gw wan peer eth0; addr gw wan 2001:db8:9::1/64; addr peer eth0 2001:db8:9::9/64; ip -n pc-peer -6 route add default via 2001:db8:9::1
  sy gw net.ipv6.conf.all.forwarding=1; wire node wg0 exit wg0; addr node wg0 fd00:9::2/64; addr exit wg0 fd00:9::1/64; ip -n pc-node -6 route add default via 2001:db8:1::1
  ip -n pc-node -6 route add default dev wg0 table 51820; ip -n pc-node -6 rule add pref 30863 not fwmark 0xca6c lookup 51820; ip -n pc-node -6 rule add pref 30862 lookup main suppress_prefixlength 0
  setsid ip netns exec pc-peer socat UDP6-RECVFROM:51820,fork EXEC:cat >/dev/null 2>&1 & sleep 0.3
  n node nft -f - <<'R'
table ip6 wg-quick-wg0 {
  chain premangle { type filter hook prerouting priority mangle; policy accept; meta l4proto udp meta mark set ct mark; }
  chain postmangle { type filter hook postrouting priority mangle; policy accept; meta l4proto udp meta mark 0xca6c ct mark set meta mark; }
}
table inet firewalld {
  chain raw_PREROUTING { type filter hook prerouting priority raw + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . iif oif missing log prefix "rpfilter_DROP: " drop
  }
}
R
}
check() { timeout 4 ip netns exec "$FROM" python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, 36, 0xca6c); s.settimeout(1.5)
s.sendto(b"hi", ("2001:db8:9::9", 51820)); s.recv(9)'; }
fix() {
  n node nft flush chain inet firewalld raw_PREROUTING
  n node nft -f - <<'R'
table inet firewalld {
  chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
}
R
}

play "$@"
