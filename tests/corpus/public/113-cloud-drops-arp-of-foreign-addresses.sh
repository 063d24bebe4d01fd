#!/usr/bin/env bash
# A load balancer's address is not reached on a cloud, those of the machines are (metallb/metallb#2640, projectcalico/felix#337).
# Cause: the hypervisor lets a machine answer ARP for its own addresses only (OpenStack: allowed_address_pairs).
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.20.0.100:80
build() {
  new hv client vm; bridge_ hv brq7; wire client eth0 hv tap1; port hv tap1 brq7; addr client eth0 10.20.0.5/24; wire vm eth0 hv tap2; port hv tap2 brq7; addr vm eth0 10.20.0.9/24 10.20.0.100/32; listen vm tcp 80
  n hv ebtables -N neutronARP-tap2; n hv ebtables -P neutronARP-tap2 DROP; n hv ebtables -A neutronARP-tap2 -p ARP --arp-ip-src 10.20.0.9 -j ACCEPT; n hv ebtables -A FORWARD -i tap2 -p ARP -j neutronARP-tap2
}
fix() { n hv ebtables -I neutronARP-tap2 -p ARP --arp-ip-src 10.20.0.100 -j ACCEPT; ip -n pc-client neigh flush all; }

play "$@"
