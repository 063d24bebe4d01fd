#!/usr/bin/env bash
# A transparent proxy never gets a connection (v2fly/v2ray-step-by-step#287, KatelynHaworth/go-tproxy#13).
# Cause: the rule hands the packet to the proxy without a mark, so it is routed on, not delivered: the kernel drops it when it forwards.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/203.0.113.9:8080
build() {
  new client proxy web; wire client eth0 proxy lan; addr client eth0 192.168.8.10/24; addr proxy lan 192.168.8.1/24; route client default via 192.168.8.1
  wire proxy wan web eth0; addr proxy wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; sy proxy net.ipv4.ip_forward=1
  listen web tcp 8080
  setsid ip netns exec pc-proxy python3 -c '
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.SOL_IP, 19, 1)
s.bind(("127.0.0.1", 12345)); s.listen(8)
while True: s.accept()[0].send(b"proxy")' >/dev/null 2>&1 &
  sleep 0.3; ip -n pc-proxy rule add fwmark 1 lookup 100; ip -n pc-proxy route add local default dev lo table 100
  n proxy nft -f - <<'R'
table ip v2ray {
  chain prerouting { type filter hook prerouting priority mangle; policy accept;
    ip daddr 192.168.0.0/16 return
    meta l4proto tcp tproxy to 127.0.0.1:12345 accept
  }
}
R
}
fix() { n proxy nft insert rule ip v2ray prerouting ip daddr != 192.168.0.0/16 meta l4proto tcp meta mark set 1; }

play "$@"
