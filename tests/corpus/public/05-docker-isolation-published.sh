#!/usr/bin/env bash
# A container of one network cannot reach a port that a container of another network publishes on the host's address
# (moby/moby#38784, moby/moby#18354). Cause: after DNAT the packet goes from one bridge to another, and the isolation chains drop it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/172.22.222.174:8080
build() {
  new host web client inet
  bridge_ host br-one; addr host br-one 172.30.0.1/24; bridge_ host br-two; addr host br-two 172.30.1.1/24
  wire web eth0 host vweb; port host vweb br-one; addr web eth0 172.30.0.2/24; route web default via 172.30.0.1
  wire client eth0 host vcli; port host vcli br-two; addr client eth0 172.30.1.2/24; route client default via 172.30.1.1
  wire host eth0 inet eth0; addr host eth0 172.22.222.174/24; addr inet eth0 172.22.222.1/24; route host default via 172.22.222.1
  sy host net.ipv4.ip_forward=1
  n host iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:DOCKER -
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.30.0.0/24 ! -o br-one -j MASQUERADE
-A POSTROUTING -s 172.30.1.0/24 ! -o br-two -j MASQUERADE
-A POSTROUTING -s 172.30.0.2/32 -d 172.30.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -d 172.22.222.174/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.30.0.2:80
COMMIT
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-USER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o br-one -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-one -j DOCKER
-A FORWARD -i br-one ! -o br-one -j ACCEPT
-A FORWARD -i br-one -o br-one -j ACCEPT
-A FORWARD -o br-two -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o br-two -j DOCKER
-A FORWARD -i br-two ! -o br-two -j ACCEPT
-A FORWARD -i br-two -o br-two -j ACCEPT
-A DOCKER -d 172.30.0.2/32 ! -i br-one -o br-one -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i br-one ! -o br-one -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -i br-two ! -o br-two -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o br-one -j DROP
-A DOCKER-ISOLATION-STAGE-2 -o br-two -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
R
  listen web tcp 80
}
fix() { n host iptables -I DOCKER-USER -i br-two -o br-one -p tcp --dport 80 -j ACCEPT; n host iptables -I DOCKER-USER -i br-one -o br-two -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; }

play "$@"
