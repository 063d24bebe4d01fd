#!/usr/bin/env bash
# A port that was opened by UPnP is not reached (miniupnp/miniupnp#422).
# Cause: miniupnpd accepts it in a table of its own; an accept ends that chain only, and the policy of the other table's chain drops it.
. "$(dirname "$0")/lab.sh"

FROM=pc-peer; TO=tcp/198.51.100.2:40005
build() {
  new rtr box peer; wire box eth0 rtr eth0; addr box eth0 192.168.1.46/24; addr rtr eth0 192.168.1.1/24; route box default via 192.168.1.1; wire rtr eth2 peer eth0; addr rtr eth2 198.51.100.2/24; addr peer eth0 198.51.100.9/24
  sy rtr net.ipv4.ip_forward=1; listen box tcp 40005
  n rtr nft -f - <<'R'
table ip filter {
  chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iifname { "lo", "eth0" } accept; }
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "eth0" accept; }
}
table ip nat {
  chain postrouting { type nat hook postrouting priority 100; policy accept; oifname "eth2" masquerade; }
}
table inet miniupnpd {
  chain forward { type filter hook forward priority -25; policy accept; iifname "eth2" ip daddr 192.168.1.46 tcp dport 40005 accept; }
}
table ip miniupnpd {
  chain prerouting { type nat hook prerouting priority -100; policy accept; iifname "eth2" tcp dport 40005 dnat to 192.168.1.46:40005; }
}
R
}
fix() { n rtr nft add rule ip filter forward iifname eth2 ip daddr 192.168.1.46 tcp dport 40005 accept; }

play "$@"
