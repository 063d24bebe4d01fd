#!/usr/bin/env bash
# A monitoring host is locked out of ssh after some minutes (puppetlabs/puppetlabs-firewall#195, fail2ban/fail2ban#1795).
# Cause: the rule against guessing counts every new connection, its own checks too: its address is in the list.
. "$(dirname "$0")/lab.sh"

FROM=pc-mon; TO=tcp/192.168.60.5:22
build() {
  new mon srv; wire mon eth0 srv eth0; addr mon eth0 192.168.60.9/24; addr srv eth0 192.168.60.5/24; listen srv tcp 22
  n srv iptables -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name SSH --update --seconds 300 --hitcount 4 -j DROP; n srv iptables -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --name SSH --set
  for k in 1 2 3 4 5; do timeout 1 ip netns exec pc-mon bash -c 'exec 3<>/dev/tcp/192.168.60.5/22' 2>/dev/null || :; done
}
fix() { n srv iptables -I INPUT -s 192.168.60.9 -p tcp --dport 22 -j ACCEPT; }

play "$@"
