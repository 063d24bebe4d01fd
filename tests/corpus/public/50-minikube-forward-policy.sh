#!/usr/bin/env bash
# With the driver "none" pods reach nothing beyond their node (kubernetes/minikube#16560).
# Cause: the FORWARD policy is DROP since the container engine came; `iptables -P FORWARD ACCEPT` helped.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=203.0.113.1
build() {
  new node pod inet; bridge_ node bridge; addr node bridge 10.244.0.1/16; wire pod eth0 node v0; port node v0 bridge; addr pod eth0 10.244.0.7/16; route pod default via 10.244.0.1
  wire node eth0 inet eth0; addr node eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route node default via 198.51.100.1
  sy node net.ipv4.ip_forward=1
  n node iptables -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
  n node iptables -N DOCKER-USER; n node iptables -N DOCKER-FORWARD; n node iptables -A FORWARD -j DOCKER-USER; n node iptables -A FORWARD -j DOCKER-FORWARD
  n node iptables -A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n node iptables -A DOCKER-FORWARD -i docker0 -j ACCEPT
  n node iptables -P FORWARD DROP
}
fix() { n node iptables -P FORWARD ACCEPT; }

play "$@"
