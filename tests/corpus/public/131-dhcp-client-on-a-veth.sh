#!/usr/bin/env bash
# A small computer loses the network when containers start (NetworkConfiguration/dhcpcd#531, #90; raspberrypi/linux#4092).
# Cause: the DHCP client takes the containers' links for its own, gives them link-local addresses and makes one of them the default route (`denyinterfaces veth*`).
. "$(dirname "$0")/lab.sh"

FROM=pc-pi; TO=203.0.113.9
build() {
  new pi rtr web c1; wire pi wlan0 rtr lan; addr pi wlan0 192.168.0.10/24; addr rtr lan 192.168.0.1/24; wire rtr wan web eth0; addr rtr wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; sy rtr net.ipv4.ip_forward=1; n rtr iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
  bridge_ pi docker0; addr pi docker0 172.17.0.1/16; wire c1 eth0 pi vethf3dccb4; port pi vethf3dccb4 docker0; addr c1 eth0 172.17.0.2/16; route c1 default via 172.17.0.1
  ip -n pc-pi route add default via 192.168.0.1 dev wlan0 proto dhcp src 192.168.0.10 metric 303; ip -n pc-pi addr add 169.254.110.9/16 dev vethf3dccb4 noprefixroute
  ip -n pc-pi route add 169.254.0.0/16 dev vethf3dccb4 scope link src 169.254.110.9 metric 206; ip -n pc-pi route add default dev vethf3dccb4 scope link src 169.254.110.9 metric 206
}
fix() { ip -n pc-pi route del default dev vethf3dccb4; }

play "$@"
