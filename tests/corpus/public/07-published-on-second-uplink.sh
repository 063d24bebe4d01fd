#!/usr/bin/env bash
# A port published on the machine's second uplink times out; the machine itself is reachable by that address
# (moby/moby#35251, lxd#1102). Cause: the source rule is for the uplink's address, but the answer still has the container's address
# when it is routed, so it leaves by the first uplink, whose router lets no foreign sources through.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.20.0.10:8080
build() {
  new host web gw0 gw1 client
  wire host eth0 gw0 lan; addr host eth0 10.10.0.10/24; addr gw0 lan 10.10.0.1/24
  wire host eth1 gw1 lan; addr host eth1 10.20.0.10/24; addr gw1 lan 10.20.0.1/24
  wire client to0 gw0 wan; addr client to0 10.30.0.1/30; addr gw0 wan 10.30.0.2/30
  wire client to1 gw1 wan; addr client to1 10.30.1.1/30; addr gw1 wan 10.30.1.2/30; addr client lo 203.0.113.9/32
  route gw0 default via 10.30.0.1; route gw1 default via 10.30.1.1
  route client 10.10.0.0/24 via 10.30.0.2 src 203.0.113.9; route client 10.20.0.0/24 via 10.30.1.2 src 203.0.113.9
  route host default via 10.10.0.1; ip -n pc-host route add default via 10.20.0.1 table 20; ip -n pc-host rule add from 10.20.0.10 lookup 20
  bridge_ host docker0; addr host docker0 172.17.0.1/16; wire web eth0 host veth0; port host veth0 docker0; addr web eth0 172.17.0.2/16; route web default via 172.17.0.1
  for k in host gw0 gw1 client; do sy $k net.ipv4.ip_forward=1; done
  n gw0 iptables -A FORWARD -i lan ! -s 10.10.0.0/24 -m comment --comment "no foreign sources" -j DROP
  n host iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
  n host iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
  listen web tcp 80
}
fix() { n host iptables -t mangle -A PREROUTING -i eth1 -j CONNMARK --set-mark 0x20; n host iptables -t mangle -A PREROUTING -i docker0 -j CONNMARK --restore-mark; ip -n pc-host rule add fwmark 0x20 lookup 20; }

play "$@"
