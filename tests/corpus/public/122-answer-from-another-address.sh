#!/usr/bin/env bash
# A VPN server is not reached by its virtual address, by its own it is (OpenVPN/openvpn#476; traefik/traefik#7430, NLnetLabs/unbound#1026, umurmur/umurmur#92).
# Cause: it listens on all addresses and answers by the first one of the link: the client waits for the other. `multihome`, or listen on that address.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=udp/10.1.0.2:1194
vpn() { # ADDRESS
  setsid ip netns exec pc-srv python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 1194))
while True:
    d, a = s.recvfrom(2048); s.sendto(d, a)' "$1" >/dev/null 2>&1 & sleep 0.4; }
build() { new client srv; wire client eth0 srv eth0; addr client eth0 10.1.0.200/24; addr srv eth0 10.1.0.21/24 10.1.0.2/24; vpn 0.0.0.0; }
fix() { for p in $(ip netns pids pc-srv); do kill "$p"; done; sleep 0.2; vpn 10.1.0.2; }

play "$@"
