#!/usr/bin/env bash
# A VPN comes up, and nothing goes through it (adrienverge/openfortivpn#729; here the tunnel is a VXLAN).
# Cause: the server pushes a route to the network that its own public address is in: the packets of the tunnel go into the tunnel.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.212.134.1
end() { # NS LOCAL REMOTE ADDRESS
  ip -n "pc-$1" link add vpn0 type vxlan id 9 dstport 4789 local "$2" remote "$3"; ip -n "pc-$1" link set vpn0 mtu 1400 up; addr "$1" vpn0 "$4"; }
build() {
  new client home forti; wire client eth0 home lan; addr client eth0 192.168.1.10/24; addr home lan 192.168.1.1/24; wire home wan forti port1; addr home wan 203.0.113.254/24; addr forti port1 203.0.113.1/24
  route client default via 192.168.1.1; route forti 192.168.1.0/24 via 203.0.113.254; sy home net.ipv4.ip_forward=1; end client 192.168.1.10 203.0.113.1 10.212.134.200/24; end forti 203.0.113.1 192.168.1.10 10.212.134.1/24
  for net in 172.16.0.0/16 203.0.113.0/24; do route client $net dev vpn0; done
}
# A question that is open keeps what comes after it waiting, and then fails it.
check() { ip -n pc-client neigh flush all; n client ping -n -c 2 -i 0.3 -W 2 "$TO" >/dev/null 2>&1; }
fix() { ip -n pc-client route del 203.0.113.0/24 dev vpn0; }

play "$@"
