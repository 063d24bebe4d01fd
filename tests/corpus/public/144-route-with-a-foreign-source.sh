#!/usr/bin/env bash
# A cluster node has no internet, its own network it reaches (ClusterLabs/resource-agents#1217, FRRouting/frr#361).
# Cause: the default route names another link's address as the source (`src`), which the gateway does not know.
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=203.0.113.9
build() {
  new node gw peer web; wire node ens18 gw lan; addr node ens18 192.168.222.93/24; addr gw lan 192.168.222.1/24; wire node tun0 peer tun0; addr node tun0 10.9.0.2/24; addr peer tun0 10.9.0.1/24; wire gw wan web eth0; addr gw wan 203.0.113.1/24; addr web eth0 203.0.113.9/24
  sy gw net.ipv4.ip_forward=1; route gw 10.9.0.0/24 via 203.0.113.254; n gw iptables -t nat -A POSTROUTING -s 192.168.222.0/24 -o wan -j MASQUERADE; route node default via 192.168.222.1 src 10.9.0.2
}
fix() { ip -n pc-node route replace default via 192.168.222.1 src 192.168.222.93; }

play "$@"
