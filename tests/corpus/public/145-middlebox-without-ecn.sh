#!/usr/bin/env bash
# Some servers are not reached since tcp_ecn was switched on (systemd/systemd#9748, #9878, cesanta/mongoose#3402).
# Cause: a firewall on the way takes a SYN that offers ECN for an invalid one.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/203.0.113.9:4433
build() {
  new client fw srv; wire client eth0 fw lan; addr client eth0 10.5.0.2/24; addr fw lan 10.5.0.1/24; route client default via 10.5.0.1; wire fw wan srv eth0; addr fw wan 203.0.113.1/24; addr srv eth0 203.0.113.9/24; route srv default via 203.0.113.1; sy fw net.ipv4.ip_forward=1; listen srv tcp 4433
  sy client net.ipv4.tcp_ecn=1 net.ipv4.tcp_ecn_fallback=0
  n fw iptables -N bad-flags; n fw iptables -A bad-flags -m ecn --ecn-tcp-ece -p tcp -j DROP; n fw iptables -A FORWARD -p tcp -j bad-flags
}
fix() { sy client net.ipv4.tcp_ecn=2; }

play "$@"
