#!/usr/bin/env bash
# A firewall started inside a container, and its resolver 127.0.0.11 refuses (moby/libnetwork#1938, moby/moby#35095).
# Cause: the flush took the engine's rules that lead port 53 of 127.0.0.11 to the resolver's own port.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=tcp/127.0.0.11:53
build() { new c1; listen c1 tcp 36913 127.0.0.11; listen c1 udp 43458 127.0.0.11; n c1 iptables -t nat -F; }
fix() { n c1 iptables -t nat -A OUTPUT -d 127.0.0.11 -p tcp --dport 53 -j DNAT --to-destination 127.0.0.11:36913; }

play "$@"
