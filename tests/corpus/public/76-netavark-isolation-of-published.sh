#!/usr/bin/env bash
# A container does not reach the port that a container of another network publishes (containers/netavark#709).
# Cause: both networks are isolated: after the translation the packet goes from bridge to bridge, and NETAVARK_ISOLATION_2 drops it.
. "$(dirname "$0")/lab.sh"

FROM=pc-a; TO=tcp/10.0.2.15:8080
build() {
  new host a b; addr host lo 10.0.2.15/32; sy host net.ipv4.ip_forward=1
  for k in a:podman1:0 b:podman2:1; do IFS=: read -r s br net <<<"$k"; bridge_ host $br; addr host $br 10.89.$net.1/24; wire $s eth0 host v-$s; port host v-$s $br; addr $s eth0 10.89.$net.2/24; route $s default via 10.89.$net.1; done
  n host iptables-restore <<'R'
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:NETAVARK-HOSTPORT-DNAT - [0:0]
:NETAVARK-B - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT
-A POSTROUTING -s 10.89.0.0/24 -j NETAVARK-B
-A NETAVARK-B -d 10.89.0.0/24 -j ACCEPT
-A NETAVARK-B ! -d 224.0.0.0/4 -j MASQUERADE
-A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.89.1.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:NETAVARK_FORWARD - [0:0]
:NETAVARK_ISOLATION_1 - [0:0]
:NETAVARK_ISOLATION_2 - [0:0]
-A FORWARD -j NETAVARK_ISOLATION_1
-A FORWARD -m comment --comment "netavark firewall rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -d 10.89.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s 10.89.0.0/24 -j ACCEPT
-A NETAVARK_ISOLATION_1 -i podman1 ! -o podman1 -j NETAVARK_ISOLATION_2
-A NETAVARK_ISOLATION_1 -i podman2 ! -o podman2 -j NETAVARK_ISOLATION_2
-A NETAVARK_ISOLATION_2 -o podman1 -j DROP
-A NETAVARK_ISOLATION_2 -o podman2 -j DROP
COMMIT
R
  listen b tcp 80
}
fix() { n host iptables -I NETAVARK_ISOLATION_2 1 -s 10.89.0.2 -d 10.89.1.2 -p tcp --dport 80 -j ACCEPT; n host iptables -I NETAVARK_ISOLATION_2 1 -s 10.89.1.2 -d 10.89.0.2 -p tcp --sport 80 -j ACCEPT; }

play "$@"
