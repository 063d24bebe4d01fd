#!/usr/bin/env bash
# A service answers from other nodes but not when its pod is on the same node (kubernetes-the-hard-way#561, kubernetes/kubernetes#87426).
# Cause: bridge-nf-call-iptables=0, so the answer is bridged past the translation and comes from the wrong address.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.96.0.10:80
build() {
  new node client dns; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0
  for k in client:4 dns:5; do wire "${k%:*}" eth0 node "v-${k%:*}"; port node "v-${k%:*}" cni0; addr "${k%:*}" eth0 10.244.0.${k#*:}/24; route "${k%:*}" default via 10.244.0.1; done
  n node iptables -t nat -N KUBE-SERVICES; n node iptables -t nat -A PREROUTING -j KUBE-SERVICES
  n node iptables -t nat -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp --dport 80 -j DNAT --to-destination 10.244.0.5:80
  listen dns tcp 80
}
fix() { sy node net.bridge.bridge-nf-call-iptables=1; }

play "$@"
