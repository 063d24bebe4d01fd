#!/usr/bin/env bash
# A node port is silent when its pod has an address of the node's second interface (aws/amazon-vpc-cni-k8s#75).
# Cause: after DNAT the reverse lookup has the pod's address as source, and the pod's policy rule sends it to eth1: the strict filter of eth0 drops it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.7.0.10:30080
build() {
  new vpc client node pod
  wire client eth0 vpc c; addr client eth0 10.9.0.50/24; addr vpc c 10.9.0.1/24; route client default via 10.9.0.1
  wire node eth0 vpc a; addr node eth0 10.7.0.10/24; addr vpc a 10.7.0.1/24; wire node eth1 vpc b; addr node eth1 10.7.1.10/24; addr vpc b 10.7.1.1/24
  sy vpc net.ipv4.ip_forward=1; sy node net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1
  route node default via 10.7.0.1; ip -n pc-node route add 10.7.1.1 dev eth1 table 2; ip -n pc-node route add default via 10.7.1.1 dev eth1 table 2
  wire pod eth0 node eni77; addr pod eth0 10.7.1.77/32; route pod 169.254.1.1 dev eth0; route pod default via 169.254.1.1; addr node eni77 169.254.1.1/32; route node 10.7.1.77 dev eni77
  ip -n pc-node rule add to 10.7.1.77 pref 512 lookup main; ip -n pc-node rule add from 10.7.1.77 pref 1536 lookup 2
  n vpc iptables -A FORWARD -i b ! -s 10.7.1.0/24 -m comment --comment "source check of the interface" -j DROP
  n node iptables -t nat -A PREROUTING -p tcp --dport 30080 -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.7.1.77:80
  listen pod tcp 80
}
fix() { n node iptables -t mangle -A PREROUTING -i eth0 -m addrtype --dst-type LOCAL -j CONNMARK --set-xmark 0x80/0x80; n node iptables -t mangle -A PREROUTING -i eni+ -j CONNMARK --restore-mark --mask 0x80; ip -n pc-node rule add fwmark 0x80/0x80 pref 1024 lookup main; sy node net.ipv4.conf.eth0.rp_filter=2; }

play "$@"
