#!/usr/bin/env bash
# A service is refused by its IPv4 address although it listens on all (bgauduch/call-of-duty-2-docker-server#21, wahern/cqueues#7).
# Cause: the machine has net.ipv6.bindv6only=1: a socket on [::] takes IPv6 and nothing else.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.0.7.5:28960
serve() { setsid ip netns exec pc-srv python3 -c '
import socket
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 28960)); s.listen(8)
while True: s.accept()' >/dev/null 2>&1 & sleep 0.4; }
build() { new client srv; wire client eth0 srv eth0; addr client eth0 10.0.7.9/24 2001:db8:7::9/64; addr srv eth0 10.0.7.5/24 2001:db8:7::5/64; sy srv net.ipv6.bindv6only=1; serve; }
fix() { for p in $(ip netns pids pc-srv); do kill "$p"; done; sy srv net.ipv6.bindv6only=0; sleep 0.2; serve; }

play "$@"
