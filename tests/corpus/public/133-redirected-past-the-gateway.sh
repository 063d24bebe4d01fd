#!/usr/bin/env bash
# A client bypasses the gateway that has a tunnel to what the main router does not reach (zlylong/EdgeRouteGW#31; rancher/rancher#9548).
# Cause: the gateway had once redirected it to the main router (send_redirects is on for the link), and the client remembers that.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=203.0.113.119
build() {
  new sw client gw main web; bridge_ sw br0; for k in client:9 gw:50 main:1; do s=${k%:*}; wire $s eth0 sw p-$s; port sw p-$s br0; addr $s eth0 192.168.100.${k#*:}/24; done; route client default via 192.168.100.50
  wire main wan web eth0; addr main wan 198.51.100.1/24; addr web eth0 198.51.100.9/24 203.0.113.119/32; route web default via 198.51.100.1; route main 203.0.113.0/24 via 198.51.100.9
  wire gw tun0 web tun0; addr gw tun0 10.9.0.1/30; addr web tun0 10.9.0.2/30; sy gw net.ipv4.ip_forward=1; sy main net.ipv4.ip_forward=1; route gw default via 192.168.100.1
  sy client net.ipv4.conf.all.accept_redirects=1 net.ipv4.conf.eth0.accept_redirects=1; sy gw net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.eth0.send_redirects=1
  n client ping -c 3 -i 0.3 -W 1 203.0.113.119 >/dev/null 2>&1 || :
  ip -n pc-main route replace blackhole 203.0.113.0/24; route gw 203.0.113.119 via 10.9.0.2; route web 192.168.100.0/24 via 10.9.0.1
}
fix() { sy gw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0; ip -n pc-client route flush cache; }

play "$@"
