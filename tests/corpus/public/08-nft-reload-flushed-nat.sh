#!/usr/bin/env bash
# After the firewall service was reloaded, published ports refuse connections while the containers run on
# (containers/netavark#1258, podman#8048). Cause: the reload flushed the table with the engine's DNAT rules.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/198.51.100.10:8080
build() {
  new host web client
  wire client eth0 host eth0; addr client eth0 198.51.100.9/24; addr host eth0 198.51.100.10/24
  bridge_ host podman0; addr host podman0 10.88.0.1/16; wire web eth0 host veth0; port host veth0 podman0; addr web eth0 10.88.0.2/16; route web default via 10.88.0.1
  sy host net.ipv4.ip_forward=1
  listen web tcp 80
  netavark; n host nft -f - <<'R'
flush ruleset
table inet filter {
  chain input { type filter hook input priority 0; policy accept; }
  chain forward { type filter hook forward priority 0; policy accept; }
}
R
}
netavark() { n host nft -f - <<'R'
table inet netavark {
  chain NETAVARK-HOSTPORT { type nat hook prerouting priority dstnat; policy accept; fib daddr type local tcp dport 8080 dnat ip to 10.88.0.2:80
  }
  chain NETAVARK-MASQ { type nat hook postrouting priority srcnat; policy accept; ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 masquerade
  }
}
R
}
fix() { netavark; }

play "$@"
