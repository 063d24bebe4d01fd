#!/usr/bin/env bash
# Containers do not reach devices of the network that NetworkManager shares (balena-os/meta-balena#3180, home-assistant/operating-system#3865).
# Cause: the table nm-shared refuses all that its devices did not ask for.
. "$(dirname "$0")/lab.sh"

FROM=pc-frigate; TO=tcp/10.42.0.66:554
build() {
  new host frigate cam; bridge_ host docker0; addr host docker0 172.30.32.1/23; wire frigate eth0 host v0; port host v0 docker0; addr frigate eth0 172.30.33.4/23; route frigate default via 172.30.32.1
  wire cam eth0 host wlp3s0; addr host wlp3s0 10.42.0.1/24; addr cam eth0 10.42.0.66/24; route cam default via 10.42.0.1; sy host net.ipv4.ip_forward=1
  n host nft -f - <<'R'
table ip nm-shared-wlp3s0 {
  chain nat_postrouting { type nat hook postrouting priority srcnat; policy accept; ip saddr 10.42.0.0/24 ip daddr != 10.42.0.0/24 masquerade; }
  chain filter_forward { type filter hook forward priority filter; policy accept;
    ip daddr 10.42.0.0/24 oifname "wlp3s0" ct state { established, related } accept
    ip saddr 10.42.0.0/24 iifname "wlp3s0" accept
    iifname "wlp3s0" oifname "wlp3s0" accept
    iifname "wlp3s0" reject
    oifname "wlp3s0" reject
  }
}
R
  listen cam tcp 554
}
fix() { n host nft insert rule ip nm-shared-wlp3s0 filter_forward iifname docker0 oifname wlp3s0 accept; }

play "$@"
