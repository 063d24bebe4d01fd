#!/usr/bin/env bash
# A forwarded port answers from outside, and the host itself is refused by its own address (canonical/lxd#2074, #2584).
# Cause: the DNAT rule is in PREROUTING only; what the host sends itself passes OUTPUT.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=tcp/10.7.0.202:80
build() {
  new host c1 out; wire out eth0 host enp0s3; addr out eth0 10.7.0.50/24; addr host enp0s3 10.7.0.202/24
  bridge_ host lxdbr0; addr host lxdbr0 10.54.20.1/24; wire c1 eth0 host v1; port host v1 lxdbr0; addr c1 eth0 10.54.20.213/24; route c1 default via 10.54.20.1; sy host net.ipv4.ip_forward=1
  n host iptables -t nat -A PREROUTING -i enp0s3 -p tcp -m multiport --dports 80 -j DNAT --to-destination 10.54.20.213:80
  listen c1 tcp 80
}
fix() { n host iptables -t nat -A OUTPUT -o lo -p tcp -m multiport --dports 80 -j DNAT --to-destination 10.54.20.213:80; }

play "$@"
