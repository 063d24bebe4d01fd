#!/usr/bin/env bash
# A container cannot wake a machine of the LAN (ollo69/ha-samsungtv-smart#236, dulli/caddy-wol#4, MarkusJx/traefik-wol#9).
# Cause: a broadcast of another network is taken by the host, not forwarded, unless bc_forwarding is on, for all and for the bridge.
. "$(dirname "$0")/lab.sh"

FROM=pc-ha; TO=udp/192.168.1.255:9
build() {
  new ha host tv; bridge_ host br-1f2e; addr host br-1f2e 172.18.0.1/16; wire ha eth0 host veth1; port host veth1 br-1f2e; addr ha eth0 172.18.0.2/16; route ha default via 172.18.0.1
  wire host eth0 tv eth0; addr host eth0 192.168.1.114/24; addr tv eth0 192.168.1.50/24; route tv default via 192.168.1.114; sy host net.ipv4.ip_forward=1
  rm -f /run/pc-tv.log; setsid ip netns exec pc-tv socat -u UDP-RECV:9 OPEN:/run/pc-tv.log,creat,append >/dev/null 2>&1 & sleep 0.3
}
check() { : > /run/pc-tv.log; echo wake | n ha socat -u - UDP-DATAGRAM:192.168.1.255:9,broadcast; sleep 0.5; grep -q wake /run/pc-tv.log; }
fix() { sy host net.ipv4.conf.all.bc_forwarding=1 net.ipv4.conf.br-1f2e.bc_forwarding=1; }

play "$@"
