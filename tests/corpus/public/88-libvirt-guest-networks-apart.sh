#!/usr/bin/env bash
# Guests of two NAT networks of one host do not reach each other (openshift/assisted-test-infra#1747).
# Cause: libvirt rejects what comes into a network unless its guests asked for it: LIBVIRT_FWI.
. "$(dirname "$0")/lab.sh"

FROM=pc-g1; TO=tcp/192.168.123.7:22
build() {
  new host g1 g2; sy host net.ipv4.ip_forward=1
  for k in g1:122:virbr0 g2:123:virbr1; do IFS=: read -r g t b <<<"$k"; bridge_ host "$b"; addr host "$b" "192.168.$t.1/24"; wire "$g" eth0 host "vnet-$g"; port host "vnet-$g" "$b"; addr "$g" eth0 "192.168.$t.7/24"; route "$g" default via "192.168.$t.1"; done
  listen g2 tcp 22
  n host iptables-restore <<'R'
*nat
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
:LIBVIRT_PRT -
-A POSTROUTING -j LIBVIRT_PRT
-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
-A LIBVIRT_PRT -s 192.168.123.0/24 ! -d 192.168.123.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:LIBVIRT_FWI -
:LIBVIRT_FWO -
:LIBVIRT_FWX -
-A FORWARD -j LIBVIRT_FWX
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
-A LIBVIRT_FWX -i virbr1 -o virbr1 -j ACCEPT
-A LIBVIRT_FWI -d 192.168.123.0/24 -o virbr1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr1 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.123.0/24 -i virbr1 -j ACCEPT
-A LIBVIRT_FWO -i virbr1 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
COMMIT
R
}
fix() { n host iptables -I LIBVIRT_FWI -s 192.168.122.0/24 -d 192.168.123.0/24 -j ACCEPT; }

play "$@"
