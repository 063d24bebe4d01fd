#!/usr/bin/env bash
# Multicast between containers does not work although the overlay carries it (weaveworks/weave#90, #92).
# Cause: it goes where the default route goes, by eth0 of Docker, and not by the link of the overlay.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=udp/239.1.2.3:5000
build() {
  new host c1 c2; bridge_ host docker0; addr host docker0 172.17.0.1/16; bridge_ host weave
  for k in c1:2 c2:3; do s=${k%:*}; wire $s eth0 host v-$s; port host v-$s docker0; addr $s eth0 172.17.0.${k#*:}/16; route $s default via 172.17.0.1; wire $s ethwe host w-$s; port host w-$s weave; addr $s ethwe 10.32.0.${k#*:}/12; done
  ip -n pc-host link set weave type bridge mcast_snooping 0
  rm -f /run/pc-c2.log; setsid ip netns exec pc-c2 socat -u UDP-RECV:5000,ip-add-membership=239.1.2.3:10.32.0.3 OPEN:/run/pc-c2.log,creat,append >/dev/null 2>&1 & sleep 0.3
}
check() { : > /run/pc-c2.log; echo hi | n c1 socat -u - UDP-DATAGRAM:239.1.2.3:5000; sleep 0.5; grep -q hi /run/pc-c2.log; }
fix() { ip -n pc-c1 route add 224.0.0.0/4 dev ethwe; }

play "$@"
