#!/usr/bin/env bash
# A container cannot reach a service on its own machine; with the firewall off it can (ufw-docker#16).
# Cause: the way to the bridge's address is INPUT, where the default is to drop; the DOCKER-USER rules are of no help.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=tcp/172.18.0.1:9900
build() {
  new host c1; bridge_ host br-app; addr host br-app 172.18.0.1/16; wire c1 eth0 host veth0; port host veth0 br-app; addr c1 eth0 172.18.0.2/16; route c1 default via 172.18.0.1; sy host net.ipv4.ip_forward=1
  n host iptables-restore <<'R'
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER-USER -
:ufw-before-input -
:ufw-after-input -
:ufw-user-input -
:ufw-not-local -
:ufw-skip-to-policy-input -
:ufw-reject-input -
-A INPUT -j ufw-before-input
-A INPUT -j ufw-after-input
-A INPUT -j ufw-reject-input
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -s 172.16.0.0/12 -j RETURN
-A DOCKER-USER -j RETURN
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-input -j ufw-user-input
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input
-A ufw-after-input -m addrtype --dst-type BROADCAST -j ufw-skip-to-policy-input
-A ufw-skip-to-policy-input -j DROP
COMMIT
R
  listen host tcp 9900
}
fix() { n host iptables -A ufw-user-input -s 172.18.0.0/16 -p tcp --dport 9900 -j ACCEPT; }

play "$@"
