#!/usr/bin/env bash
# Containers of a compose project cannot ask the host's resolver, those of the default network can (omacom/omarchy#679, chaifeng/ufw-docker#19).
# Cause: the rule lets in what comes by docker0; their network has a bridge of its own (br-…).
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=udp/172.17.0.1:53
build() {
  new host c0 c1; bridge_ host docker0; addr host docker0 172.17.0.1/16; wire c0 eth0 host v0; port host v0 docker0; addr c0 eth0 172.17.0.2/16; route c0 default via 172.17.0.1
  bridge_ host br-9c1d; addr host br-9c1d 172.18.0.1/16; wire c1 eth0 host v1; port host v1 br-9c1d; addr c1 eth0 172.18.0.2/16; route c1 default via 172.18.0.1; listen host udp 53 172.17.0.1
  n host iptables -P INPUT DROP; n host iptables -N ufw-user-input; n host iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n host iptables -A INPUT -i lo -j ACCEPT; n host iptables -A INPUT -j ufw-user-input
  n host iptables -A ufw-user-input -p tcp --dport 22 -j ACCEPT; n host iptables -A ufw-user-input -i docker0 -p udp --dport 53 -j ACCEPT
}
fix() { n host iptables -A ufw-user-input -s 172.16.0.0/12 -p udp --dport 53 -j ACCEPT; }

play "$@"
