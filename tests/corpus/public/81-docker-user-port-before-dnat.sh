#!/usr/bin/env bash
# A published port is opened in DOCKER-USER, and clients time out (moby/moby#22054).
# Cause: DOCKER-USER sees the packet after DNAT: its port is the container's 9000, and the rule accepts 9900.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.56.101:9900
build() {
  new client host c1
  wire client eth0 host enp0s8; addr client eth0 192.168.56.1/24; addr host enp0s8 192.168.56.101/24
  bridge_ host docker0; addr host docker0 172.17.0.1/16; wire c1 eth0 host veth1; port host veth1 docker0; addr c1 eth0 172.17.0.2/16; route c1 default via 172.17.0.1
  sy host net.ipv4.ip_forward=1; listen c1 tcp 9000
  n host iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER -d 192.168.56.101/32 ! -i docker0 -p tcp -m tcp --dport 9900 -j DNAT --to-destination 172.17.0.2:9000
COMMIT
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 9000 -j ACCEPT
-A DOCKER-USER -i enp0s8 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A DOCKER-USER -i enp0s8 -p tcp -m tcp --dport 9900 -j RETURN
-A DOCKER-USER -i enp0s8 -j DROP
COMMIT
R
}
fix() { n host iptables -I DOCKER-USER 3 -i enp0s8 -p tcp -m conntrack --ctorigdstport 9900 --ctdir ORIGINAL -j RETURN; }

play "$@"
