#!/usr/bin/env bash
# A machine reaches its own network by IPv6 and nothing beyond (systemd/systemd#28437, FRRouting/frr#6231 for the field).
# Cause: the router advertisement said a hop limit of 1, and the machine took it.
. "$(dirname "$0")/lab.sh"

FROM=pc-desk; TO=tcp/[2001:db8:51::9]:80
build() {
  new desk rtr web; wire desk eth0 rtr lan; addr desk eth0 2001:db8:50::10/64; addr rtr lan 2001:db8:50::1/64; ip -n pc-desk -6 route add default via 2001:db8:50::1; wire rtr wan web eth0; addr rtr wan 2001:db8:51::1/64; addr web eth0 2001:db8:51::9/64; ip -n pc-web -6 route add default via 2001:db8:51::1
  sy rtr net.ipv6.conf.all.forwarding=1; sy desk net.ipv6.conf.eth0.hop_limit=1; setsid ip netns exec pc-web socat TCP6-LISTEN:80,fork,reuseaddr EXEC:cat >/dev/null 2>&1 & sleep 0.3
}
fix() { sy desk net.ipv6.conf.eth0.hop_limit=64; }

play "$@"
