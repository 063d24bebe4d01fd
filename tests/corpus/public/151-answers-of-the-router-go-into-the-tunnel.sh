#!/usr/bin/env bash
# Clients of a VPN router get no answer from the router itself, not even to a ping; the world they reach (skycoin/skywire#3551, AdguardTeam/KnowledgeBaseVPN#350).
# Cause: the rule that sends the LAN into the tunnel is `from` its network, and the router's own address is in it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.77.0.1:53
build() {
  new client rtr far; wire client wlan0 rtr ap0; addr client wlan0 10.77.0.20/24; addr rtr ap0 10.77.0.1/24; route client default via 10.77.0.1; wire rtr tun0 far tun0; addr rtr tun0 10.8.0.2/24; addr far tun0 10.8.0.1/24; addr far lo 203.0.113.9/32; sy rtr net.ipv4.ip_forward=1
  n rtr iptables -t nat -A POSTROUTING -o tun0 -j MASQUERADE; ip -n pc-rtr route add default via 10.8.0.1 table 100; ip -n pc-rtr rule add from 10.77.0.0/24 lookup 100 pref 1000; listen rtr tcp 53
}
fix() { ip -n pc-rtr rule del pref 1000; ip -n pc-rtr rule add iif ap0 lookup 100 pref 1000; ip -n pc-rtr rule add to 10.77.0.0/24 lookup main pref 900; }

play "$@"
