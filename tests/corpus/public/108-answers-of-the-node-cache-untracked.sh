#!/usr/bin/env bash
# Pods under a policy get no answers from the node-local DNS cache (kubernetes/kubernetes#98758, projectcalico/calico#3795).
# Cause: its NOTRACK rules: the answer is UNTRACKED, so the pod's policy takes it for something new.
. "$(dirname "$0")/lab.sh"

FROM=pc-pod; TO=udp/169.254.20.10:53
build() {
  new node pod; wire pod eth0 node cali7; addr pod eth0 10.244.0.7/32; addr node cali7 169.254.1.1/32; route pod 169.254.1.1 dev eth0; route pod default via 169.254.1.1; route node 10.244.0.7 dev cali7
  addr node lo 169.254.20.10/32; sy node net.ipv4.ip_forward=1; listen node udp 53 169.254.20.10
  n node iptables -t raw -A PREROUTING -d 169.254.20.10/32 -p udp -m udp --dport 53 -m comment --comment "NodeLocal DNS Cache: skip conntrack" -j NOTRACK
  n node iptables -t raw -A OUTPUT -s 169.254.20.10/32 -p udp -m udp --sport 53 -m comment --comment "NodeLocal DNS Cache: skip conntrack" -j NOTRACK
  n node iptables -N cali-OUTPUT; n node iptables -N cali-tw-cali7; n node iptables -A OUTPUT -j cali-OUTPUT; n node iptables -A cali-OUTPUT -o cali7 -j cali-tw-cali7
  n node iptables -A cali-tw-cali7 -m comment --comment "cali:e5ryQ1Fq" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  n node iptables -A cali-tw-cali7 -m comment --comment "cali:Drop if no profiles matched" -j DROP
}
fix() { n node iptables -t raw -D PREROUTING 1; n node iptables -t raw -D OUTPUT 1; }

play "$@"
