#!/usr/bin/env bash
# After the change to nftables mode node ports are refused by a node's second address (kubernetes/kubernetes#122724, k0sproject/k0s#5760).
# Cause: in this mode node ports are for the primary address of the node only: the set nodeport-ips does not have the other.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.56.11:30080
build() {
  new other node client pod; wire node eth0 other eth0; addr node eth0 10.0.0.11/24; addr other eth0 10.0.0.1/24; route node default via 10.0.0.1; wire node eth1 client eth0; addr node eth1 192.168.56.11/24; addr client eth0 192.168.56.1/24
  bridge_ node cni0; addr node cni0 10.244.0.1/24; wire pod eth0 node v1; port node v1 cni0; addr pod eth0 10.244.0.5/24; route pod default via 10.244.0.1; sy node net.ipv4.ip_forward=1; listen pod tcp 80
  n node nft -f - <<'R'
table ip kube-proxy {
  set nodeport-ips { type ipv4_addr; elements = { 10.0.0.11 } }
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.20 . tcp . 80 : goto service-ULMVA6XW-ns/web/tcp/http } }
  map service-nodeports { type inet_proto . inet_service : verdict; elements = { tcp . 30080 : goto external-ULMVA6XW-ns/web/tcp/http } }
  chain service-ULMVA6XW-ns/web/tcp/http { meta l4proto tcp dnat to 10.244.0.5:80; }
  chain external-ULMVA6XW-ns/web/tcp/http { meta mark set meta mark or 0x4000; goto service-ULMVA6XW-ns/web/tcp/http; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; meta mark & 0x4000 == 0 return; meta mark set meta mark ^ 0x4000; masquerade; }
}
R
}
fix() { n node nft add element ip kube-proxy nodeport-ips { 192.168.56.11 }; }

play "$@"
