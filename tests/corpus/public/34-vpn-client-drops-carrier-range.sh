#!/usr/bin/env bash
# A machine whose own network is in 100.64.0.0/10 is cut off when a mesh VPN starts (tailscale/tailscale#12829, #12555; in #19876 with the legacy backend).
# Cause: the VPN's chain drops that range on every link but its own; the rule is in iptables-legacy here.
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=100.100.0.2
build() {
  new a b; wire a eth0 b eth0; addr a eth0 100.100.0.1/20; addr b eth0 100.100.0.2/20
  n b iptables-legacy -N ts-input; n b iptables-legacy -A INPUT -j ts-input
  n b iptables-legacy -A ts-input -s 100.87.58.112/32 -i lo -j ACCEPT
  n b iptables-legacy -A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
  n b iptables-legacy -A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
}
fix() { n b iptables-legacy -I ts-input 3 -s 100.100.0.0/20 -i eth0 -j ACCEPT; }

play "$@"
