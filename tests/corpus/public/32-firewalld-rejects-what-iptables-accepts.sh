#!/usr/bin/env bash
# Guests get no DNS from the machine although iptables accepts port 53 from their bridge (firewalld/firewalld#397, lxd#7150).
# Cause: the firewall daemon's own nftables chain comes afterwards and rejects what its zones do not list.
. "$(dirname "$0")/lab.sh"

FROM=pc-guest; TO=udp/192.168.122.1:53
build() {
  new host guest; bridge_ host virbr0; addr host virbr0 192.168.122.1/24; wire guest eth0 host vnet0; port host vnet0 virbr0; addr guest eth0 192.168.122.10/24; route guest default via 192.168.122.1
  for p in udp tcp; do n host iptables -A INPUT -i virbr0 -p $p --dport 53 -j ACCEPT; done; n host iptables -A INPUT -i virbr0 -p udp --dport 67 -j ACCEPT
  n host nft -f - <<'R'
table inet firewalld {
  chain filter_INPUT { type filter hook input priority filter + 10; policy accept; ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    jump filter_INPUT_ZONES
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_ZONES { iifname "eth0" goto filter_IN_public
    goto filter_IN_public
  }
  chain filter_IN_public { jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain filter_IN_public_allow { tcp dport 22 accept
  }
}
R
  listen host udp 53 192.168.122.1
}
fix() { n host nft 'add rule inet firewalld filter_IN_public_allow udp dport 53 accept'; }

play "$@"
