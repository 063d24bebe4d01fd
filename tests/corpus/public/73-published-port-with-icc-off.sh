#!/usr/bin/env bash
# A container does not reach a port that its neighbour publishes on the host (moby/moby#53713, moby/moby#53723).
# Cause: with icc=false and no userland proxy the packet is translated and then dropped as one from bridge to bridge.
. "$(dirname "$0")/lab.sh"

FROM=pc-app; TO=tcp/192.168.1.10:8080
build() {
  new host app web; bridge_ host docker0; addr host docker0 172.17.0.1/16; addr host lo 192.168.1.10/32; sy host net.ipv4.ip_forward=1
  for k in app:2 web:3; do s=${k%:*}; wire $s eth0 host v-$s; port host v-$s docker0; n host bridge link set dev v-$s hairpin on; addr $s eth0 172.17.0.${k#*:}/16; route $s default via 172.17.0.1; done
  n host iptables-restore <<'R'
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.0/16 -o docker0 -m conntrack --ctstate DNAT -j MASQUERADE
-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.3:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER -i docker0 -o docker0 -j DROP
COMMIT
R
  listen web tcp 80
}
fix() { n host iptables -I DOCKER 1 -d 172.17.0.3/32 -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT; }

play "$@"
