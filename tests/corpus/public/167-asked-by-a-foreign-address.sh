#!/usr/bin/env bash
# A host does not get past its router from the address of its own network, from that of the link it does (ipspace/netlab#2157).
# Cause: it asks ARP from that address; the router (arp_filter = 1) looks up the way to it without the table of the link, and it is another link.
. "$(dirname "$0")/lab.sh"

FROM=pc-x3; TO=172.16.41.2
build() {
  new x3 x2 dut mgmt; wire x3 eth1 dut eth1; addr x3 eth1 172.16.1.3/24; addr x3 lo 172.16.42.3/32; addr dut eth1 172.16.1.1/24; wire x2 eth1 dut eth2; addr x2 eth1 172.16.0.2/24; addr x2 lo 172.16.41.2/32; addr dut eth2 172.16.0.1/24
  wire dut eth0 mgmt eth0; addr dut eth0 192.168.17.2/24; addr mgmt eth0 192.168.17.1/24; route dut default via 192.168.17.1; route x3 default via 172.16.1.1 src 172.16.42.3; route x2 default via 172.16.0.1 src 172.16.41.2
  for t in 101 102; do route dut 172.16.1.0/24 dev eth1 table $t; route dut 172.16.0.0/24 dev eth2 table $t; route dut 172.16.42.0/24 via 172.16.1.3 dev eth1 table $t; route dut 172.16.41.0/24 via 172.16.0.2 dev eth2 table $t; done
  ip -n pc-dut rule add pref 1000 iif eth1 lookup 101; ip -n pc-dut rule add pref 1000 iif eth2 lookup 102; sy dut net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.arp_filter=1 net.ipv4.conf.eth2.arp_filter=1
}
# A question that is open keeps what comes after it waiting, and then fails it.
check() { ip -n pc-x3 neigh flush all; n x3 ping -n -c 2 -i 0.3 -W 2 "$TO" >/dev/null 2>&1; }
fix() { sy x3 net.ipv4.conf.eth1.arp_announce=2; }

play "$@"
