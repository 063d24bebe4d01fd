#!/usr/bin/env bash
# A guest's second address is silent, its first one is fine (OpenNebula/one#3354, #3556).
# Cause: the host lets only the addresses of a set through the guest's port, and the alias was not put into it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.2.86.11
build() {
  new host client vm; bridge_ host onebr1; wire client eth0 host eth1; port host eth1 onebr1; wire vm eth0 host one-1-0; port host one-1-0 onebr1; ip -n pc-vm link set eth0 address 02:00:0a:02:56:01
  addr client eth0 10.2.86.5/24; addr vm eth0 10.2.86.1/24 10.2.86.11/24; sy host net.bridge.bridge-nf-call-iptables=1; n host ipset create one-1-0-ip-spoofing hash:net; n host ipset add one-1-0-ip-spoofing 10.2.86.1
  n host iptables-restore <<'R'
*filter
:FORWARD ACCEPT
:opennebula -
:one-1-0-i -
:one-1-0-o -
-A FORWARD -m physdev --physdev-is-bridged -j opennebula
-A opennebula -m physdev --physdev-in one-1-0 --physdev-is-bridged -j one-1-0-o
-A opennebula -m physdev --physdev-out one-1-0 --physdev-is-bridged -j one-1-0-i
-A opennebula -j ACCEPT
-A one-1-0-i -m state --state RELATED,ESTABLISHED -j ACCEPT
-A one-1-0-i -j RETURN
-A one-1-0-o -m mac ! --mac-source 02:00:0a:02:56:01 -j DROP
-A one-1-0-o -p udp -m udp --sport 68 --dport 67 -j RETURN
-A one-1-0-o -m set ! --match-set one-1-0-ip-spoofing src -j DROP
-A one-1-0-o -m state --state RELATED,ESTABLISHED -j ACCEPT
-A one-1-0-o -j RETURN
COMMIT
R
}
fix() { n host ipset add one-1-0-ip-spoofing 10.2.86.11; }

play "$@"
