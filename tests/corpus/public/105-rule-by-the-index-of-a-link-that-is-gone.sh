#!/usr/bin/env bash
# A firewall lets the tunnel in until the tunnel is made anew (openNDS/mesh11sd#198, firezone/firezone#1865).
# Cause: `iif` holds the number of the link, not its name; the new link of that name has another number.
. "$(dirname "$0")/lab.sh"

FROM=pc-peer; TO=tcp/10.66.0.1:22
build() {
  new peer box; wire peer wg0 box wg0
  n box nft -f - <<'R'
table inet filter {
  chain input { type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    iif wg0 tcp dport 22 accept
  }
}
R
  ip -n pc-box link del wg0; wire peer wg9 box spare; wire peer wg0 box wg0; addr peer wg0 10.66.0.2/24; addr box wg0 10.66.0.1/24; listen box tcp 22
}
fix() { n box nft add rule inet filter input iifname wg0 tcp dport 22 accept; }

play "$@"
