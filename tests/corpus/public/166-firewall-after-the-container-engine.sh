#!/usr/bin/env bash
# Containers have no way out beside a firewall of one's own (podman-container-tools/podman#28973, containers/netavark#977, greenpau/cni-plugins#3).
# Cause: podman accepts them in its own table; the last rule of the other table refuses them all the same.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=tcp/203.0.113.9:443
build() {
  new host c1 web; bridge_ host podman1; addr host podman1 10.89.0.1/24; wire c1 eth0 host veth0; port host veth0 podman1; addr c1 eth0 10.89.0.7/24; route c1 default via 10.89.0.1
  wire host wan web eth0; addr host wan 203.0.113.1/24; addr web eth0 203.0.113.9/24; sy host net.ipv4.ip_forward=1; listen web tcp 443
  n host nft -f - <<'R'
table inet netavark {
  chain INPUT { type filter hook input priority filter; policy accept; ip saddr 10.89.0.0/24 meta l4proto { tcp, udp } th dport 53 accept; }
  chain FORWARD { type filter hook forward priority filter; policy accept; ct state invalid drop; ip daddr 10.89.0.0/24 ct state established,related accept; ip saddr 10.89.0.0/24 accept; }
  chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr 10.89.0.0/24 jump nv_2f259bab; }
  chain nv_2f259bab { ip daddr 10.89.0.0/24 accept; ip daddr != 224.0.0.0/4 masquerade; }
}
table inet filter {
  chain forward { type filter hook forward priority filter; policy accept;
    ct state established,related accept
    iifname "lan" oifname "wan" accept
    reject with icmpx admin-prohibited
  }
}
R
}
fix() { n host nft insert rule inet filter forward iifname podman1 oifname wan accept; }

play "$@"
