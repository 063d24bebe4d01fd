#!/usr/bin/env bash
# A port forwarded from the second provider times out, from the first it works (Ysurac/openmptcprouter#3519, openwrt/firewall4#93).
# Cause: the answer comes from the server in the LAN and takes the default route of the first provider: no mark brings it back.
. "$(dirname "$0")/lab.sh"

FROM=pc-user; TO=tcp/198.51.100.3:443
build() {
  new user r0 rtr srv; wire user eth0 rtr wan1; addr user eth0 198.51.100.1/24; addr rtr wan1 198.51.100.3/24; addr user lo 203.0.113.7/32
  wire rtr wan0 r0 c; addr rtr wan0 192.168.1.3/24; addr r0 c 192.168.1.1/24; route rtr default via 192.168.1.1; sy r0 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.c.rp_filter=1
  wire rtr lan srv eth0; addr rtr lan 192.168.100.1/24; addr srv eth0 192.168.100.5/24; route srv default via 192.168.100.1; sy rtr net.ipv4.ip_forward=1
  route user default via 198.51.100.3 src 203.0.113.7; ip -n pc-user route replace 198.51.100.0/24 dev eth0 src 203.0.113.7
  ip -n pc-rtr route add default via 198.51.100.1 dev wan1 table 101
  n rtr iptables -t nat -A PREROUTING -i wan1 -p tcp --dport 443 -j DNAT --to-destination 192.168.100.5
  n rtr iptables -t nat -A POSTROUTING -o wan+ -j MASQUERADE; listen srv tcp 443
}
fix() { n rtr iptables -t mangle -A PREROUTING -i wan1 -j CONNMARK --set-mark 0x101; n rtr iptables -t mangle -A PREROUTING -i lan -j CONNMARK --restore-mark; ip -n pc-rtr rule add fwmark 0x101 lookup 101; }

play "$@"
