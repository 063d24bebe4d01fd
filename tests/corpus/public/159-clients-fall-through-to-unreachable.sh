#!/usr/bin/env bash
# Clients of a mesh node have no internet, the node itself has (freifunk-berlin/firmware#402).
# Cause: what comes in by the clients' bridge may use the tables of the mesh only; those have no default route, and the next rule refuses.
. "$(dirname "$0")/lab.sh"

FROM=pc-phone; TO=203.0.113.9
build() {
  new phone node isp; wire phone eth0 node br-dhcp; addr phone eth0 10.230.195.90/28; addr node br-dhcp 10.230.195.81/28; route phone default via 10.230.195.81; wire node wan isp lan; addr node wan 192.168.2.2/24; addr isp lan 192.168.2.1/24 203.0.113.9/32; route node default via 192.168.2.1; sy node net.ipv4.ip_forward=1; n node iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
  ip -n pc-node rule add pref 2000 lookup 112; ip -n pc-node route add 10.230.195.80/28 dev br-dhcp table 112; ip -n pc-node rule add pref 19999 iif br-dhcp lookup 113; ip -n pc-node rule add pref 20001 iif br-dhcp unreachable
}
fix() { ip -n pc-node route add default via 192.168.2.1 dev wan table 113; }

play "$@"
