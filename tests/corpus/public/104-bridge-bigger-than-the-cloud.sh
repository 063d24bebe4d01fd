#!/usr/bin/env bash
# Downloads in containers hang on a cloud machine, small answers arrive (moby/moby#22297, #22028).
# Cause: docker0 and the containers have MTU 1500, the machine's link 1450, and its firewall drops all ICMP: nobody is told.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=203.0.113.9; SIZE=1440
build() {
  new c1 host isp web; bridge_ host docker0; addr host docker0 172.17.0.1/16; wire c1 eth0 host v1; port host v1 docker0; addr c1 eth0 172.17.0.2/16; route c1 default via 172.17.0.1
  wire host eth0 isp c; addr host eth0 10.2.0.3/24; addr isp c 10.2.0.1/24; route host default via 10.2.0.1; ip -n pc-host link set eth0 mtu 1450; ip -n pc-isp link set c mtu 1450
  wire isp core web eth0; addr isp core 203.0.113.1/24; addr web eth0 203.0.113.9/24; route web default via 203.0.113.1; sy host net.ipv4.ip_forward=1; sy isp net.ipv4.ip_forward=1
  n host iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE; n host iptables -A OUTPUT -p icmp --icmp-type destination-unreachable -j DROP
}
fix() { ip -n pc-c1 link set eth0 mtu 1450; n host iptables -D OUTPUT 1; ip -n pc-c1 route flush cache; SIZE=1400; }
check() { ip netns exec pc-c1 ping -n -c 2 -i 0.3 -W 2 -M dont -s 1440 203.0.113.9 >/dev/null 2>&1 && ! { ip netns exec pc-c1 ping -n -c 1 -W 1 -M do -s 1440 203.0.113.9 2>&1 | grep -q '100% packet loss' && ! ip netns exec pc-c1 ping -n -c 1 -W 1 -M do -s 1440 203.0.113.9 2>&1 | grep -qiE 'too long|frag needed|mtu'; }; }

play "$@"
