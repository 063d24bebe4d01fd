#!/usr/bin/env bash
# Containers with addresses out of the host's own /64 are not reached from outside (docker/for-linux#928, moby/moby#10831).
# Cause: the router asks for them on the wire, and the host does not answer in their place (NDP proxy).
. "$(dirname "$0")/lab.sh"

FROM=pc-router; TO=2001:db8:c0:0:1::10
build() {
  new router host web; wire router lan host eth0; addr router lan 2001:db8:c0::1/64; addr host eth0 2001:db8:c0::2/64
  bridge_ host docker0; addr host docker0 2001:db8:c0:0:1::1/80; wire web eth0 host v0; port host v0 docker0; addr web eth0 2001:db8:c0:0:1::10/80; ip -n pc-web -6 route add default via 2001:db8:c0:0:1::1
  sy host net.ipv6.conf.all.forwarding=1 net.ipv6.neigh.eth0.proxy_delay=0; sleep 2
}
fix() { sy host net.ipv6.conf.eth0.proxy_ndp=1; ip -n pc-host -6 neigh add proxy 2001:db8:c0:0:1::10 dev eth0; ip -n pc-router -6 neigh flush all; }

play "$@"
