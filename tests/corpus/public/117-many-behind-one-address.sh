#!/usr/bin/env bash
# A machine behind a router is turned away by a server that others of its network use (hardware/mailserver#168, picoCTF/picoCTF#224).
# Cause: connlimit counts by address, and behind the router all have the same one: its neighbours' open connections fill the limit.
. "$(dirname "$0")/lab.sh"

FROM=pc-anna; TO=tcp/203.0.113.9:80
build() {
  new anna ben home srv; bridge_ home br-lan; addr home br-lan 192.168.1.1/24; for k in anna:10 ben:11; do s=${k%:*}; wire $s eth0 home p-$s; port home p-$s br-lan; addr $s eth0 192.168.1.${k#*:}/24; route $s default via 192.168.1.1; done
  wire home wan srv eth0; addr home wan 203.0.113.1/24; addr srv eth0 203.0.113.9/24; sy home net.ipv4.ip_forward=1; n home iptables -t nat -A POSTROUTING -o wan -j MASQUERADE; listen srv tcp 80
  n srv iptables -N http-flood; n srv iptables -A http-flood -j DROP; n srv iptables -A INPUT -p tcp --syn --dport 80 -m connlimit --connlimit-above 3 --connlimit-mask 32 -j http-flood
  for k in 1 2 3; do setsid ip netns exec pc-ben bash -c 'exec 3<>/dev/tcp/203.0.113.9/80; exec sleep 1000' >/dev/null 2>&1 & done; sleep 0.5
}
fix() { n srv iptables -I INPUT -p tcp --syn --dport 80 -s 203.0.113.1 -j ACCEPT; }

play "$@"
