#!/usr/bin/env bash
# A pod with a bandwidth limit gets small packets and no large ones (kubernetes/kubernetes#67438, containernetworking/plugins#169).
# Cause: units were taken for others: the bucket of the token bucket filter holds less than a packet, and what does not fit is dropped.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=10.244.0.5; SIZE=1200
build() {
  new client node pod; wire client eth0 node eth0; addr client eth0 10.0.0.2/24; addr node eth0 10.0.0.1/24; route client default via 10.0.0.1; wire node veth20261d7b pod eth0; addr node veth20261d7b 10.244.0.1/24; addr pod eth0 10.244.0.5/24; route pod default via 10.244.0.1
  sy node net.ipv4.ip_forward=1; n node tc qdisc add dev veth20261d7b root tbf rate 1mbit burst 1000 latency 25ms
}
fix() { n node tc qdisc replace dev veth20261d7b root tbf rate 1mbit burst 32kb latency 25ms; }

play "$@"
