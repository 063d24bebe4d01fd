#!/usr/bin/env bash
# Since the router sends all DNS to the Pi-hole, the Pi-hole itself resolves nothing (coolhva/usg-kpn-ftth#35, stevejenkins/unifi-linux-utils#47).
# Cause: its own questions to the world are sent back to it, too: the rule lacks `! -s` of the Pi-hole.
. "$(dirname "$0")/lab.sh"

FROM=pc-pihole; TO=udp/203.0.113.53:53
build() {
  new pihole laptop rtr dns; bridge_ rtr eth1; addr rtr eth1 192.168.1.1/24; for k in pihole:2 laptop:20; do s=${k%:*}; wire $s eth0 rtr p-$s; port rtr p-$s eth1; addr $s eth0 192.168.1.${k#*:}/24; route $s default via 192.168.1.1; done
  wire rtr eth0 dns eth0; addr rtr eth0 203.0.113.1/24; addr dns eth0 203.0.113.53/24; sy rtr net.ipv4.ip_forward=1; listen dns udp 53; listen pihole udp 53
  n rtr iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE; n rtr iptables -t nat -A POSTROUTING -o eth1 -p udp --dport 53 -d 192.168.1.2 ! -s 192.168.1.2 -j MASQUERADE
  for p in udp tcp; do n rtr iptables -t nat -A PREROUTING -i eth1 -p $p --dport 53 -j DNAT --to-destination 192.168.1.2:53; done
}
fix() { n rtr iptables -t nat -I PREROUTING -i eth1 -s 192.168.1.2 -p udp --dport 53 -j ACCEPT; n rtr conntrack -F 2>/dev/null; }

play "$@"
