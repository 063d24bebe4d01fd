#!/usr/bin/env bash
# A container behind a VPN container does not reach another container of the same host (qdm12/gluetun#289, #1379).
# Cause: the kill switch: OUTPUT drops all that is not for the tunnel or the VPN's own server.
. "$(dirname "$0")/lab.sh"

FROM=pc-gluetun; TO=tcp/172.22.0.22:9117
build() {
  new host gluetun jackett vpn; sy host net.ipv4.ip_forward=1
  bridge_ host br-a; addr host br-a 172.18.0.1/16; wire gluetun eth0 host v-g; port host v-g br-a; addr gluetun eth0 172.18.0.2/16; route gluetun default via 172.18.0.1
  bridge_ host br-b; addr host br-b 172.22.0.1/16; wire jackett eth0 host v-j; port host v-j br-b; addr jackett eth0 172.22.0.22/16; route jackett default via 172.22.0.1
  wire gluetun tun0 vpn tun0; addr gluetun tun0 10.64.0.5/32; ip -n pc-gluetun route add default dev tun0 table 51820; ip -n pc-gluetun rule add pref 101 not fwmark 0xca6c lookup 51820; ip -n pc-gluetun rule add pref 99 to 172.22.0.0/16 lookup main
  n gluetun iptables -P INPUT DROP; n gluetun iptables -P OUTPUT DROP; n gluetun iptables -A INPUT -i lo -j ACCEPT; n gluetun iptables -A OUTPUT -o lo -j ACCEPT
  n gluetun iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n gluetun iptables -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  n gluetun iptables -A OUTPUT -o tun0 -j ACCEPT; n gluetun iptables -A OUTPUT -d 198.51.100.77/32 -o eth0 -p udp -m udp --dport 51820 -j ACCEPT; n gluetun iptables -A OUTPUT -s 172.18.0.2/32 -d 172.18.0.0/16 -o eth0 -j ACCEPT
  listen jackett tcp 9117
}
fix() { n gluetun iptables -A OUTPUT -o eth0 -s 172.18.0.2 -d 172.22.0.0/16 -j ACCEPT; }

play "$@"
