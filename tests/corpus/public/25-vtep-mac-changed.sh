#!/usr/bin/env bash
# After a reboot of one node nobody reaches its pods (flannel-io/flannel#1155, #1795).
# Cause: udev gave its VXLAN link another MAC; the other nodes still have the old one pinned, as neighbour and in the forwarding table.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod1; TO=10.244.2.2
build() {
  new lan n1 n2 pod1 pod2; bridge_ lan br0; sy lan net.bridge.bridge-nf-call-iptables=0
  for k in 1 2; do wire n$k eth0 lan n$k; port lan n$k br0; addr n$k eth0 10.0.0.1$k/24; sy n$k net.ipv4.ip_forward=1
    ip -n pc-n$k link add flannel.1 address 5e:89:db:49:c6:0$k type vxlan id 1 local 10.0.0.1$k dev eth0 dstport 8472 nolearning; ip -n pc-n$k link set flannel.1 mtu 1450 up; addr n$k flannel.1 10.244.$k.0/32
    wire pod$k eth0 n$k veth0; addr pod$k eth0 10.244.$k.2/24; addr n$k veth0 10.244.$k.1/24; route pod$k default via 10.244.$k.1; done
  for k in 1 2; do o=$((3-k)); ip -n pc-n$k neigh add 10.244.$o.0 lladdr 5e:89:db:49:c6:0$o dev flannel.1 nud permanent
    bridge -n pc-n$k fdb append 5e:89:db:49:c6:0$o dev flannel.1 dst 10.0.0.1$o; route n$k 10.244.$o.0/24 via 10.244.$o.0 dev flannel.1 onlink; done
  ip -n pc-n2 link set flannel.1 address d6:02:e3:df:ea:7a; ip -n pc-n2 neigh replace 10.244.1.0 lladdr 5e:89:db:49:c6:01 dev flannel.1 nud permanent
}
fix() { ip -n pc-n1 neigh replace 10.244.2.0 lladdr d6:02:e3:df:ea:7a dev flannel.1 nud permanent; bridge -n pc-n1 fdb append d6:02:e3:df:ea:7a dev flannel.1 dst 10.0.0.12; }

play "$@"
