#!/usr/bin/env bash
# IPv6 of a machine dies some seconds after its firewall came up (firewalld/firewalld#594, geerlingguy/ansible-role-firewall#113).
# Cause: neighbour solicitations are dropped with all else that was not allowed.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/[2001:db8:1::80]:443
build() {
  new client srv; wire client eth0 srv eth0; addr client eth0 2001:db8:1::5/64; addr srv eth0 2001:db8:1::80/64
  setsid ip netns exec pc-srv socat TCP6-LISTEN:443,fork,reuseaddr EXEC:cat >/dev/null 2>&1 & sleep 0.3
  n srv nft -f - <<'R'
table inet firewalld {
  chain filter_INPUT { type filter hook input priority 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    iifname "eth0" goto filter_IN_drop
    reject with icmpx admin-prohibited
  }
  chain filter_IN_drop {
    tcp dport 443 accept
    drop
  }
}
R
}
fix() { n srv nft insert rule inet firewalld filter_IN_drop icmpv6 type '{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }' accept; }

play "$@"
