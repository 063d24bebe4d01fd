#!/usr/bin/env bash
# The zone "internal" is to go out by "external", which masquerades, and nothing passes (firewalld/firewalld#1015).
# Cause: from zone to zone nothing is forwarded without a policy: the zone's own chain rejects it.
. "$(dirname "$0")/lab.sh"

FROM=pc-pc; TO=1.1.1.1
build() {
  new pc srvr isp; wire pc eth0 srvr br0; addr pc eth0 192.168.3.105/24; addr srvr br0 192.168.3.1/24; route pc default via 192.168.3.1
  wire srvr enp3s0 isp c; addr srvr enp3s0 198.51.100.20/24; addr isp c 198.51.100.1/24; addr isp lo 1.1.1.1/32; route srvr default via 198.51.100.1; sy srvr net.ipv4.ip_forward=1
  n srvr nft -f - <<'R'
table inet firewalld {
  chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept;
    oifname "enp3s0" meta nfproto ipv4 oifname != "lo" masquerade
  }
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_ZONES {
    ip saddr 192.168.3.0/24 goto filter_FWD_internal
    iifname "br0" goto filter_FWD_internal
    iifname "enp3s0" goto filter_FWD_external
    goto filter_FWD_public
  }
  chain filter_FWD_internal { jump filter_FWD_internal_allow
    meta l4proto { icmp, ipv6-icmp } oifname "br0" accept
    log prefix "filter_FWD_internal_REJECT: "
    reject with icmpx admin-prohibited
  }
  chain filter_FWD_internal_allow { oifname "br0" accept
  }
  chain filter_FWD_external { reject with icmpx admin-prohibited
  }
  chain filter_FWD_public { reject with icmpx admin-prohibited
  }
}
R
}
fix() { n srvr nft insert rule inet firewalld filter_FWD_internal_allow oifname enp3s0 accept; }

play "$@"
