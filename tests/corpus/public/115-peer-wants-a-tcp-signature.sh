#!/usr/bin/env bash
# A BGP session does not come up; without the password it does at once (osrg/gobgp#2852, metallb/metallb#1125).
# Cause: the router has a key (TCP MD5) for this peer, and what comes without or with another one is dropped in silence.
. "$(dirname "$0")/lab.sh"

FROM=pc-node; TO=tcp/10.1.2.1:179
bgp() { # [KEY]
  setsid ip netns exec pc-tor python3 -c '
import socket, struct, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if len(sys.argv) > 1:
    k = sys.argv[1].encode(); a = struct.pack("=H2s4s", 2, b"", socket.inet_aton("10.1.2.2")).ljust(128, b"\0")
    s.setsockopt(6, 14, a + struct.pack("=BBHi", 0, 0, len(k), 0) + k.ljust(80, b"\0"))
s.bind(("10.1.2.1", 179)); s.listen(8)
while True: s.accept()' "$@" >/dev/null 2>&1 & sleep 0.4; }
build() { new node tor; wire node eth0 tor swp1; addr node eth0 10.1.2.2/24; addr tor swp1 10.1.2.1/24; bgp yourPassword; }
fix() { for p in $(ip netns pids pc-tor); do kill "$p"; done; sleep 0.2; bgp; }

play "$@"
