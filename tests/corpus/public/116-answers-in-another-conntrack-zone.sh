#!/usr/bin/env bash
# Machines behind a firewall get no answers from name servers that its DNS proxy does not intercept (metal-stack/firewall-controller#223; istio/istio#46935).
# Cause: what goes to port 53 is tracked in zone 3, the answers come in without it: to conntrack they belong to nothing.
. "$(dirname "$0")/lab.sh"

FROM=pc-m1; TO=udp/203.0.113.53:53
build() {
  new m1 fw dns; wire m1 eth0 fw vlan63; addr m1 eth0 10.0.63.10/24; addr fw vlan63 10.0.63.1/24; route m1 default via 10.0.63.1; wire fw wan dns eth0; addr fw wan 203.0.113.1/24; addr dns eth0 203.0.113.53/24; route dns default via 203.0.113.1
  sy fw net.ipv4.ip_forward=1; listen dns udp 53
  n fw nft -f - <<'R'
table inet nat {
  set proxy_dns_servers { type ipv4_addr; elements = { 8.8.8.8, 1.1.1.1 } }
  chain prerouting_ct { type filter hook prerouting priority raw; policy accept;
    iifname "vlan63" meta l4proto { tcp, udp } th dport 53 ct zone set 3
  }
  chain output_ct { type filter hook output priority raw; policy accept;
    oifname "vlan63" meta l4proto { tcp, udp } th sport 53 ct zone set 3
  }
  chain prerouting { type nat hook prerouting priority dstnat; policy accept;
    ip daddr @proxy_dns_servers iifname "vlan63" udp dport 53 dnat ip to 203.0.113.1
  }
}
table inet firewall {
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname "vlan63" accept
  }
}
R
}
fix() { n fw nft insert rule inet nat prerouting_ct iifname vlan63 ip daddr != @proxy_dns_servers accept; n fw conntrack -F 2>/dev/null; }

play "$@"
