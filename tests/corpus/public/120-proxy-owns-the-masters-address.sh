#!/usr/bin/env bash
# A node does not reach the API server any more since a service has the master's address as externalIP (kubernetes/kubernetes#75290, #93175, #104679).
# Cause: in IPVS mode the proxy gives every node this address (kube-ipvs0): the node talks to itself. (An ifb stands for the dummy link here.)
. "$(dirname "$0")/lab.sh"

FROM=pc-worker; TO=tcp/192.168.101.7:6443
build() {
  new sw master worker; bridge_ sw br0; for k in master:7 worker:4; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 192.168.101.${k#*:}/24; done; listen master tcp 6443
  ip -n pc-worker link add kube-ipvs0 type ifb; addr worker kube-ipvs0 10.96.0.1/32 10.96.0.10/32 192.168.101.7/32
}
fix() { ip -n pc-worker addr del 192.168.101.7/32 dev kube-ipvs0; }

play "$@"
