#!/usr/bin/env bash
# A server has no IPv6 address any more since the MTU of its link was changed (sonic-net/SONiC#294, systemd/systemd#3046).
# Cause: IPv6 wants 1280 at least: below that the kernel takes IPv6 off the link, and the addresses with it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/[2001:db8:1::5]:80
build() {
  new client srv; wire client eth0 srv Ethernet4; addr client eth0 2001:db8:1::9/64 10.10.10.9/24; addr srv Ethernet4 2001:db8:1::5/64 10.10.10.5/24
  setsid ip netns exec pc-srv socat TCP6-LISTEN:80,fork,reuseaddr EXEC:cat >/dev/null 2>&1 & sleep 0.3
  ip -n pc-srv link set Ethernet4 mtu 1024
}
fix() { ip -n pc-srv link set Ethernet4 mtu 1500; addr srv Ethernet4 2001:db8:1::5/64; }

play "$@"
