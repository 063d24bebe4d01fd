#!/usr/bin/env bash
# A service behind the node's own pods gives "no route to host" (flannel-io/flannel#254, host-gw on AWS).
# Cause: the node has a second route to its own pod subnet, by the NIC, and that one wins.
. "$(dirname "$0")/lab.sh"

FROM=pc-other; TO=10.244.1.5
build() {
  new node pod other aws; for k in node:99 other:50 aws:1; do s=${k%:*}; [ $s = aws ] || { wire $s eth0 aws p-$s; }; done
  bridge_ aws vpc; port aws p-node vpc; port aws p-other vpc; addr aws vpc 10.0.239.1/24; addr node eth0 10.0.239.99/24; addr other eth0 10.0.239.50/24
  route node default via 10.0.239.1; route other default via 10.0.239.1; route other 10.244.1.0/24 via 10.0.239.99
  bridge_ node docker0; addr node docker0 10.244.1.1/24; wire pod eth0 node v0; port node v0 docker0; addr pod eth0 10.244.1.5/24; route pod default via 10.244.1.1
  ip -n pc-node route del 10.244.1.0/24 dev docker0; ip -n pc-node route add 10.244.1.0/24 via 10.0.239.1 dev eth0; ip -n pc-node route append 10.244.1.0/24 dev docker0 src 10.244.1.1 metric 100
  sy node net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
}
fix() { ip -n pc-node route del 10.244.1.0/24 via 10.0.239.1; }

play "$@"
