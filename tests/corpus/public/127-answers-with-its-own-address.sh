#!/usr/bin/env bash
# A load balancer in DR mode does not let its servers' answers through (acassen/keepalived#1827).
# Cause: they carry the virtual address, which is its own: it takes none from outside that has it, unless accept_local is on. (A mark and policy routing stand for IPVS.)
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/172.16.10.30:80
build() {
  new client lb rs; wire client eth0 lb enp1s0; addr client eth0 172.16.10.50/24; addr lb enp1s0 172.16.10.2/24 172.16.10.30/32; wire lb enp4s0 rs eth0; addr lb enp4s0 192.168.50.1/24; addr rs eth0 192.168.50.10/24; addr rs lo 172.16.10.30/32
  route rs default via 192.168.50.1; listen rs tcp 80; sy lb net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.enp4s0.rp_filter=0
  ip -n pc-lb route add default via 192.168.50.10 dev enp4s0 table 100; ip -n pc-lb rule add pref 10 lookup local; ip -n pc-lb rule del pref 0; ip -n pc-lb rule add pref 5 fwmark 1 lookup 100
  n lb iptables -t mangle -A PREROUTING -i enp1s0 -d 172.16.10.30 -p tcp --dport 80 -j MARK --set-mark 1
}
fix() { sy lb net.ipv4.conf.enp4s0.accept_local=1; }

play "$@"
