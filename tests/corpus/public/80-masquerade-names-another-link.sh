#!/usr/bin/env bash
# VPN clients are connected and have no internet (angristan/openvpn-install#237, sovereign/sovereign#96).
# Cause: the MASQUERADE rule says `-o eth0`; the link of this machine is called ens5.
. "$(dirname "$0")/lab.sh"

FROM=pc-laptop; TO=203.0.113.9
build() {
  new laptop vpn isp web
  wire laptop tun0 vpn tun0; addr laptop tun0 10.8.0.2/24; addr vpn tun0 10.8.0.1/24; route laptop default via 10.8.0.1
  wire vpn ens5 isp cust; addr vpn ens5 172.26.0.107/20; addr isp cust 172.26.0.1/20; route vpn default via 172.26.0.1
  wire isp core web eth0; addr isp core 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1
  sy vpn net.ipv4.ip_forward=1; sy isp net.ipv4.ip_forward=1
  n vpn iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE
}
fix() { n vpn iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -o ens5 -j MASQUERADE; }

play "$@"
