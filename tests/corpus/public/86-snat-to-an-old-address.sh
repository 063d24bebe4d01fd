#!/usr/bin/env bash
# VPN clients lost the internet when the machine got another address (Nyr/openvpn-install#991).
# Cause: the rule still says SNAT --to the old address, which is nobody's now: answers find no one.
. "$(dirname "$0")/lab.sh"

FROM=pc-laptop; TO=203.0.113.9
build() {
  new laptop vpn isp web
  wire laptop tun0 vpn tun0; addr laptop tun0 10.8.0.2/24; addr vpn tun0 10.8.0.1/24; route laptop default via 10.8.0.1
  wire vpn eth0 isp cust; addr vpn eth0 198.51.100.20/24; addr isp cust 198.51.100.1/24; route vpn default via 198.51.100.1
  wire isp core web eth0; addr isp core 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1
  sy vpn net.ipv4.ip_forward=1; sy isp net.ipv4.ip_forward=1
  n vpn iptables -t nat -A POSTROUTING -s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to-source 198.51.100.7
}
fix() { n vpn iptables -t nat -R POSTROUTING 1 -s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to-source 198.51.100.20; }

play "$@"
