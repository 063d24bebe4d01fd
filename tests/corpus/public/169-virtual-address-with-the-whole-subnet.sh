#!/usr/bin/env bash
# The own address of a router is not reached while it is master of a virtual one, that is (acassen/keepalived#2282, #2512, #1040).
# Cause: the virtual address has the prefix of the subnet (/24 instead of /32), so its macvlan has a route to all of it; by that eth0 (arp_filter = 1) leaves ARP to others.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.10.10.11
build() {
  new lb client; wire client eth0 lb eth0; addr client eth0 10.10.10.5/24; ip -n pc-lb addr add 10.10.10.11/24 dev eth0 noprefixroute; route lb 10.10.10.0/24 dev eth0 proto kernel scope link src 10.10.10.11 metric 100
  ip -n pc-lb link add vrrp.44 link eth0 address 00:00:5e:00:01:2c type macvlan mode private; ip -n pc-lb link set vrrp.44 up; addr lb vrrp.44 10.10.10.20/24
  sy lb net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=1 net.ipv4.conf.eth0.arp_filter=1
  sy lb net/ipv4/conf/vrrp.44/rp_filter=0 net/ipv4/conf/vrrp.44/arp_filter=0 net/ipv4/conf/vrrp.44/accept_local=1
}
# A question that is open keeps what comes after it waiting, and then fails it.
check() { ip -n pc-client neigh flush all; n client ping -n -c 2 -i 0.3 -W 2 "$TO" >/dev/null 2>&1; }
fix() { ip -n pc-lb addr del 10.10.10.20/24 dev vrrp.44; addr lb vrrp.44 10.10.10.20/32; }

play "$@"
