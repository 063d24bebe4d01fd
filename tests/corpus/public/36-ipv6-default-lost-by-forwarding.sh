#!/usr/bin/env bash
# The machine lost its IPv6 default route when a container engine switched IPv6 forwarding on (moby/moby#43466, docker/for-linux#1373).
# Cause: a router takes no router advertisements unless accept_ra is 2; the router goes on sending them.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=2001:db8:ffff::9
build() {
  new router host; wire host eth0 router lan; addr router lan 2001:db8:50::1/64; addr router lo 2001:db8:ffff::9/128; sy router net.ipv6.conf.all.forwarding=1
  sy host net.ipv6.conf.eth0.accept_ra=1; sleep 2
  setsid ip netns exec pc-router python3 -c '
import socket,struct,time
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_HOPS,255); s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_IF,socket.if_nametoindex("lan"))
pfx=struct.pack("!BBBBIII",3,4,64,0xc0,7200,3600,0)+socket.inet_pton(socket.AF_INET6,"2001:db8:50::")
ra=struct.pack("!BBHBBHII",134,0,0,64,0,1800,0,0)+pfx
while True:
    try: s.sendto(ra,("ff02::1",0,0,socket.if_nametoindex("lan")))
    except OSError: pass
    time.sleep(1)' >/dev/null 2>&1 &
  sleep 4; sy host net.ipv6.conf.all.forwarding=1; sleep 1
}
fix() { sy host net.ipv6.conf.eth0.accept_ra=2; sleep 3; }

play "$@"
