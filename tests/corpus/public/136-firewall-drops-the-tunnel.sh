#!/usr/bin/env bash
# Pods of one node do not reach those of the other (flannel-io/flannel#871, #2055, #1704).
# Cause: the firewall of the other node refuses the VXLAN itself (8472/udp).
. "$(dirname "$0")/lab.sh"

FROM=pc-p1; TO=tcp/10.244.2.2:80
node() { # NUMBER
  local k=n$1; wire $k eth0 sw p$1; port sw p$1 br0; addr $k eth0 192.168.7.1$1/24
  ip -n pc-$k link add flannel.1 address 0a:00:00:00:00:0$1 type vxlan id 1 dstport 8472 local 192.168.7.1$1 dev eth0 nolearning; ip -n pc-$k link set flannel.1 mtu 1450 up; addr $k flannel.1 10.244.$1.0/32
  bridge_ $k cni0; addr $k cni0 10.244.$1.1/24; wire p$1 eth0 $k v$1; port $k v$1 cni0; addr p$1 eth0 10.244.$1.2/24; route p$1 default via 10.244.$1.1; sy $k net.ipv4.ip_forward=1; }
peer() { # HERE THERE
  ip -n pc-n$1 route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink; ip -n pc-n$1 neigh replace 10.244.$2.0 lladdr 0a:00:00:00:00:0$2 dev flannel.1 nud permanent
  n n$1 bridge fdb replace 0a:00:00:00:00:0$2 dev flannel.1 dst 192.168.7.1$2; }
build() {
  new sw n1 n2 p1 p2; bridge_ sw br0; node 1; node 2; peer 1 2; peer 2 1; listen p2 tcp 80
  n n2 iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n n2 iptables -A INPUT -i lo -j ACCEPT; n n2 iptables -A INPUT -p icmp -j ACCEPT
  n n2 iptables -A INPUT -p tcp -m multiport --dports 22,6443,10250 -j ACCEPT; n n2 iptables -A INPUT -j REJECT --reject-with icmp-host-prohibited
}
fix() { n n2 iptables -I INPUT -p udp --dport 8472 -j ACCEPT; }

play "$@"
