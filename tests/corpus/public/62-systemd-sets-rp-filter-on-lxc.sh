#!/usr/bin/env bash
# After an update of systemd pods reach nothing beyond their node (cilium/cilium#10645).
# Cause: systemd 245 sets rp_filter to 1 on the new lxc links; the node's route to its pods goes by cilium_host.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=203.0.113.1
build() {
  new node pod inet; wire pod eth0 node lxc7; addr pod eth0 10.244.0.190/32; route pod 10.244.0.1 dev eth0 scope link; route pod default via 10.244.0.1
  ip -n pc-node link add cilium_host type veth peer name cilium_net; for d in cilium_host cilium_net; do ip -n pc-node link set $d up; done
  addr node cilium_host 10.244.0.1/32; route node 10.244.0.0/24 dev cilium_host src 10.244.0.1
  sy node net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lxc7.rp_filter=1
  ip -n pc-pod neigh replace 10.244.0.1 lladdr $(n node cat /sys/class/net/lxc7/address) dev eth0 nud permanent # cilium answers ARP itself
  ip -n pc-node route add 10.244.0.190 dev lxc7 table 2005; ip -n pc-node rule add fwmark 0x200/0xf00 pref 20 lookup 2005; n node iptables -t mangle -A PREROUTING -i eth0 -m conntrack --ctstate ESTABLISHED -j MARK --set-xmark 0x200/0xf00
  wire node eth0 inet eth0; addr node eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route node default via 198.51.100.1; sy node net.ipv4.conf.eth0.rp_filter=0
  n node iptables -t nat -A POSTROUTING -s 10.244.0.0/24 ! -d 10.244.0.0/24 ! -o cilium_+ -j MASQUERADE
}
fix() { sy node net.ipv4.conf.lxc7.rp_filter=0; }

play "$@"
