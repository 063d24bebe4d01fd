#!/usr/bin/env bash
# A container's page is not reached from the LAN, on the host itself it is (mbentley/docker-omada-controller#8, crowdrender/cr-docker#26).
# Cause: it was published on 127.0.0.1 only: the rule and the proxy are for that address.
. "$(dirname "$0")/lab.sh"

FROM=pc-lap; TO=tcp/192.168.1.5:8088
build() {
  new lap host omada; wire lap eth0 host eth0; addr lap eth0 192.168.1.9/24; addr host eth0 192.168.1.5/24; bridge_ host docker0; addr host docker0 172.17.0.1/16; wire omada eth0 host veth1; port host veth1 docker0; addr omada eth0 172.17.0.2/16; route omada default via 172.17.0.1
  sy host net.ipv4.ip_forward=1; listen omada tcp 8088; listen host tcp 8088 127.0.0.1
  n host iptables -t nat -N DOCKER; n host iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; n host iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
  n host iptables -t nat -A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:8088
}
fix() { n host iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8088 -j DNAT --to-destination 172.17.0.2:8088; }

play "$@"
