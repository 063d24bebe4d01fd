#!/usr/bin/env bash
# A machine loses IPv6 when the provider has changed the prefix (openwrt/openwrt#20816, systemd/systemd#29651, home-assistant/operating-system#5000).
# Cause: it still sends from its address of the old prefix, which nobody deprecated and nobody routes back any more.
. "$(dirname "$0")/lab.sh"

FROM=pc-desk; TO=tcp/[2001:db8:51::9]:80
build() {
  new desk rtr isp web; wire desk eth0 rtr br-lan; addr desk eth0 2001:db8:50::10/64 2001:db8:9::10/64; addr rtr br-lan 2001:db8:50::1/64 2001:db8:9::1/64; ip -n pc-desk -6 route add default via 2001:db8:9::1
  wire rtr wan isp lan; addr rtr wan 2001:db8:77::2/64; addr isp lan 2001:db8:77::1/64; ip -n pc-rtr -6 route add default via 2001:db8:77::1; wire isp wan web eth0; addr isp wan 2001:db8:51::1/64; addr web eth0 2001:db8:51::9/64; ip -n pc-web -6 route add default via 2001:db8:51::1
  for s in rtr isp; do sy $s net.ipv6.conf.all.forwarding=1; done; ip -n pc-isp -6 route add 2001:db8:9::/64 via 2001:db8:77::2; ip -n pc-isp -6 route add unreachable 2001:db8:50::/64
  setsid ip netns exec pc-web socat TCP6-LISTEN:80,fork,reuseaddr EXEC:cat >/dev/null 2>&1 & sleep 0.3
}
fix() { ip -n pc-desk addr change 2001:db8:50::10/64 dev eth0 preferred_lft 0; }

play "$@"
