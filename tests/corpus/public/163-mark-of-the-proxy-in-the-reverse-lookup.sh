#!/usr/bin/env bash
# Clients of a router with a transparent proxy lose the internet when a VPN client starts, the router itself does not (MetaCubeX/Meta-Docs#214; tailscale/tailscale#19796).
# Cause: that client sets src_valid_mark = 1: the reverse lookup has the mark of TPROXY then, ends at the local route, and the source is a martian.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/203.0.113.9:443
build() {
  new client router web; wire client eth0 router br-lan; addr client eth0 192.168.1.20/24; addr router br-lan 192.168.1.1/24; route client default via 192.168.1.1
  wire router wan web eth0; addr router wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; sy router net.ipv4.ip_forward=1; listen web tcp 443
  setsid ip netns exec pc-router python3 -c '
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.setsockopt(socket.SOL_IP, 19, 1)
s.bind(("127.0.0.1", 7894)); s.listen(8)
while True: s.accept()[0].send(b"proxy")' >/dev/null 2>&1 &
  sleep 0.3; ip -n pc-router rule add pref 1024 fwmark 0x80 lookup 80; ip -n pc-router route add local default dev lo table 80
  n router nft -f - <<'R'
table inet mihomo {
  chain prerouting { type filter hook prerouting priority mangle; policy accept;
    ip daddr { 127.0.0.0/8, 192.168.0.0/16 } return
    iifname "br-lan" meta l4proto { tcp, udp } meta mark set 0x80 tproxy ip to 127.0.0.1:7894 accept
  }
}
R
  sy router net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.br-lan.rp_filter=0 net.ipv4.conf.all.src_valid_mark=1
}
fix() { sy router net.ipv4.conf.all.src_valid_mark=0; }

play "$@"
