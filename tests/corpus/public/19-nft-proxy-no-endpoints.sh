#!/usr/bin/env bash
# A service address is refused from one moment to the next; the proxy runs in nftables mode (kubernetes/kubernetes#20767, #17359 in iptables mode).
# Cause: the service has no endpoints: its element is in the map no-endpoint-services, which leads to reject.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.96.0.77:80
build() {
  new node client inet; bridge_ node cni0; addr node cni0 10.244.0.1/24; sy node net.ipv4.ip_forward=1
  wire client eth0 node veth0; port node veth0 cni0; addr client eth0 10.244.0.4/24; route client default via 10.244.0.1
  wire node eth0 inet eth0; addr node eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; route node default via 198.51.100.1
  n node nft -f - <<'R'
table ip kube-proxy {
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.77 . tcp . 80 : goto reject-chain }
  }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . udp . 53 : goto service-dns }
  }
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.10, 10.96.0.77 } }
  chain reject-chain { reject
  }
  chain service-dns { ip protocol udp dnat to 10.244.0.9:53
  }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain cluster-ips-check { ip daddr @cluster-ips reject
  }
  chain filter-forward { type filter hook forward priority -110; policy accept; ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
  chain filter-output { type filter hook output priority -110; policy accept; ct state new jump service-endpoints-check
  }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services
  }
}
R
}
fix() { n node nft 'delete element ip kube-proxy no-endpoint-services { 10.96.0.77 . tcp . 80 }'; wire web eth0 node vweb 2>/dev/null || { new web; wire web eth0 node vweb; }; port node vweb cni0; addr web eth0 10.244.0.5/24; route web default via 10.244.0.1; listen web tcp 80; n node nft 'add chain ip kube-proxy service-web; add rule ip kube-proxy service-web ip protocol tcp dnat to 10.244.0.5:80; add element ip kube-proxy service-ips { 10.96.0.77 . tcp . 80 : goto service-web }; add rule ip kube-proxy nat-prerouting accept'; n node nft 'flush chain ip kube-proxy cluster-ips-check'; }

play "$@"
