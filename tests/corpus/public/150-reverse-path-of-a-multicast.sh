#!/usr/bin/env bash
# A receiver has joined the group, tcpdump shows the stream, the program gets nothing (troglobit/smcroute#99, weaveworks/weave#354).
# Cause: the reverse path filter: the sender's network is not reached by the link that the stream comes in by.
. "$(dirname "$0")/lab.sh"

FROM=pc-cam; TO=udp/239.100.0.5:5000
build() {
  new sw cam rcv gw; bridge_ sw br0; ip -n pc-sw link set br0 type bridge mcast_snooping 0; wire cam eth0 sw p1; port sw p1 br0; wire rcv ens224 sw p2; port sw p2 br0; addr cam eth0 10.254.245.140/24; route cam 224.0.0.0/4 dev eth0; addr rcv ens224 10.1.9.2/24; wire rcv ens192 gw lan; addr rcv ens192 10.2.0.2/24; addr gw lan 10.2.0.1/24; route rcv default via 10.2.0.1
  sy rcv net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.ens224.rp_filter=1
  rm -f /run/pc-rcv.log; setsid ip netns exec pc-rcv socat -u UDP-RECV:5000,ip-add-membership=239.100.0.5:ens224 OPEN:/run/pc-rcv.log,creat,append >/dev/null 2>&1 & sleep 0.3
}
check() { : > /run/pc-rcv.log; echo hi | n cam socat -u - UDP-DATAGRAM:239.100.0.5:5000; sleep 0.5; grep -q hi /run/pc-rcv.log; }
fix() { sy rcv net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.ens224.rp_filter=0; }

play "$@"
