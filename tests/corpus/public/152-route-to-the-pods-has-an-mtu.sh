#!/usr/bin/env bash
# Pods do not get large packets from outside, though all links take 1500 (cilium/cilium#14679).
# Cause: the route to the node's own pods has an MTU, which newer kernels follow when they forward.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.11.0.5; SIZE=1460
build() {
  new client node pod; wire client eth0 node eth0; addr client eth0 10.0.0.2/24; addr node eth0 10.0.0.1/24; route client default via 10.0.0.1; wire node lxc_health pod eth0; addr node lxc_health 10.11.0.1/32; addr pod eth0 10.11.0.5/32; ip -n pc-pod route add 10.11.0.1 dev eth0; route pod default via 10.11.0.1
  sy node net.ipv4.ip_forward=1; route node 10.11.0.0/24 dev lxc_health mtu 1450
}
check() { ip -n pc-client route flush cache; n client ping -n -c 2 -i 0.3 -W 2 -M do -s 1460 "$TO" >/dev/null 2>&1; }
fix() { ip -n pc-node route replace 10.11.0.0/24 dev lxc_health; }

play "$@"
