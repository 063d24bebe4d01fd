#!/usr/bin/env bash
# A VPN pod sends on what came out of its tunnel, and the node drops it; rp_filter is 0 (projectcalico/calico#4630, #5643).
# Cause: Calico has the reverse path filter as a rule of its own: raw, -m rpfilter --validmark --invert.
. "$(dirname "$0")/lab.sh"

FROM=pc-remote; TO=tcp/10.233.0.80:80
build() {
  new remote vpod node web; wire remote tun0 vpod tun0; addr remote tun0 10.99.0.2/24; addr vpod tun0 10.99.0.1/24; route remote default via 10.99.0.1; sy vpod net.ipv4.ip_forward=1; sy node net.ipv4.ip_forward=1
  for k in vpod:90 web:80; do s=${k%:*}; wire $s eth0 node cali-$s; addr $s eth0 10.233.0.${k#*:}/32; addr node cali-$s 169.254.1.1/32; route $s 169.254.1.1 dev eth0; route $s default via 169.254.1.1; route node 10.233.0.${k#*:} dev cali-$s; sy node net.ipv4.conf.cali-$s.rp_filter=0; done
  sy node net.ipv4.conf.all.rp_filter=0
  for t in raw; do n node iptables -t $t -N cali-PREROUTING; n node iptables -t $t -N cali-rpf-skip; n node iptables -t $t -A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING; done
  n node iptables -t raw -A cali-PREROUTING -m comment --comment "cali:XFX5xbM8B9qR10JG" -j MARK --set-xmark 0x0/0xf0000
  n node iptables -t raw -A cali-PREROUTING -i cali+ -m comment --comment "cali:EWMPb0zVROM-woQp" -j MARK --set-xmark 0x40000/0x40000
  n node iptables -t raw -A cali-PREROUTING -m comment --comment "cali:PWuxTAIaFCtsg5Qa" -m mark --mark 0x40000/0x40000 -j cali-rpf-skip
  n node iptables -t raw -A cali-PREROUTING -m comment --comment "cali:fSSbGND7dgyemWU7" -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
  listen web tcp 80; route node 10.99.0.0/24 via 10.233.0.90 dev cali-vpod onlink 2>/dev/null; ip -n pc-node route del 10.99.0.0/24 2>/dev/null || :
}
fix() { route node 10.99.0.0/24 via 10.233.0.90 dev cali-vpod onlink; }

play "$@"
