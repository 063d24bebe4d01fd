#!/usr/bin/env bash
# After an upgrade of the container engine nobody behind the VPN link reaches container addresses any more, although the
# filter table accepts it (moby/moby#51015, uncloud#293). Cause: one DROP per container in raw PREROUTING.
. "$(dirname "$0")/lab.sh"

FROM=pc-remote; TO=tcp/172.18.0.2:80
build() {
  new host c1 remote; bridge_ host docker0; addr host docker0 172.18.0.1/16
  wire c1 eth0 host veth1; port host veth1 docker0; addr c1 eth0 172.18.0.2/16; route c1 default via 172.18.0.1
  wire remote vpn0 host vpn0; addr remote vpn0 10.210.0.2/24; addr host vpn0 10.210.0.1/24; route remote 172.18.0.0/16 via 10.210.0.1
  sy host net.ipv4.ip_forward=1
  n host iptables -t raw -A PREROUTING -d 172.18.0.2/32 ! -i docker0 -j DROP
  n host iptables -P FORWARD DROP
  n host iptables -N DOCKER-USER; n host iptables -N DOCKER-FORWARD
  n host iptables -A FORWARD -j DOCKER-USER; n host iptables -A FORWARD -j DOCKER-FORWARD
  n host iptables -A DOCKER-USER -i vpn0 -o docker0 -j ACCEPT
  n host iptables -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  n host iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT
  n host iptables -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o docker0 -j MASQUERADE
  listen c1 tcp 80
}
fix() { n host iptables -t raw -I PREROUTING -i vpn0 -d 172.18.0.2/32 -j ACCEPT; }

play "$@"
