#!/usr/bin/env bash
# Nobody reaches a mail server any more since somebody typed wrong passwords (docker-mailserver/docker-mailserver#523, linuxserver/docker-swag#148).
# Cause: the host hides all clients behind its own address of the bridge, and fail2ban in the container has banned that.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/192.168.1.5:143
build() {
  new client host mail; wire client eth0 host eth0; addr client eth0 192.168.1.9/24; addr host eth0 192.168.1.5/24; bridge_ host br-mail; addr host br-mail 172.18.0.1/16; wire mail eth0 host veth1; port host veth1 br-mail; addr mail eth0 172.18.0.2/16; route mail default via 172.18.0.1
  sy host net.ipv4.ip_forward=1; listen mail tcp 143; n host iptables -t nat -A PREROUTING -p tcp --dport 143 -j DNAT --to-destination 172.18.0.2:143; n host iptables -t nat -A POSTROUTING -o br-mail -j MASQUERADE
  n mail nft -f - <<'R'
table inet f2b-table {
  set addr-set-dovecot { type ipv4_addr; elements = { 198.51.100.66, 172.18.0.1 } }
  chain f2b-chain { type filter hook input priority filter - 1; policy accept; tcp dport { 143, 993 } ip saddr @addr-set-dovecot reject; }
}
R
}
fix() { n mail nft delete element inet f2b-table addr-set-dovecot { 172.18.0.1 }; }

play "$@"
