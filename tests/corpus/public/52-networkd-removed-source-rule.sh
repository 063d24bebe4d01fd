#!/usr/bin/env bash
# The second address of a machine with two providers is silent after a restart of systemd-networkd (systemd/systemd#22077).
# Cause: the rule `from SECOND lookup 200` was removed; answers leave by the first provider, which drops foreign sources.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.20.0.10:22
build() {
  new host gw0 gw1 client
  wire host eth0 gw0 lan; addr host eth0 10.10.0.10/24; addr gw0 lan 10.10.0.1/24; wire host eth1 gw1 lan; addr host eth1 10.20.0.10/24; addr gw1 lan 10.20.0.1/24
  wire client to0 gw0 wan; addr client to0 10.30.0.1/30; addr gw0 wan 10.30.0.2/30; wire client to1 gw1 wan; addr client to1 10.30.1.1/30; addr gw1 wan 10.30.1.2/30
  addr client lo 203.0.113.9/32; route gw0 default via 10.30.0.1; route gw1 default via 10.30.1.1
  route client 10.10.0.0/24 via 10.30.0.2 src 203.0.113.9; route client 10.20.0.0/24 via 10.30.1.2 src 203.0.113.9
  route host default via 10.10.0.1; ip -n pc-host route add default via 10.20.0.1 table 200; ip -n pc-host route add 10.20.0.0/24 dev eth1 table 200
  for k in gw0 gw1; do sy $k net.ipv4.ip_forward=1; done; sy client net.ipv4.conf.all.rp_filter=0
  n gw0 iptables -A FORWARD -i lan ! -s 10.10.0.0/24 -j DROP
  listen host tcp 22
}
fix() { ip -n pc-host rule add from 10.20.0.10 lookup 200 pref 200; }

play "$@"
