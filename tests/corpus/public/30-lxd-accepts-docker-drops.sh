#!/usr/bin/env bash
# Containers lost the internet when a second container engine was installed, although their own firewall table accepts them
# (canonical/lxd#8716, #12810; moby/moby#52612). Cause: accept in one table does not end the matter: the policy of the other engine's chain is DROP.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=203.0.113.1
build() {
  new host c1 inet; bridge_ host lxdbr0; addr host lxdbr0 10.76.0.1/24; wire c1 eth0 host veth0; port host veth0 lxdbr0; addr c1 eth0 10.76.0.10/24; route c1 default via 10.76.0.1
  wire host eth0 inet eth0; addr host eth0 198.51.100.2/24; addr inet eth0 198.51.100.1/24; addr inet lo 203.0.113.1/32; route host default via 198.51.100.1
  bridge_ host docker0; addr host docker0 172.17.0.1/16; sy host net.ipv4.ip_forward=1
  n host nft -f - <<'R'
table inet lxd {
  chain pstrt.lxdbr0 { type nat hook postrouting priority srcnat; policy accept; ip saddr 10.76.0.0/24 ip daddr != 10.76.0.0/24 masquerade
  }
  chain fwd.lxdbr0 { type filter hook forward priority filter; policy accept; ip version 4 oifname "lxdbr0" accept
    ip version 4 iifname "lxdbr0" accept
  }
  chain in.lxdbr0 { type filter hook input priority filter; policy accept; iifname "lxdbr0" udp dport 67 accept
  }
}
R
  n host iptables -P FORWARD DROP; for c in DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER; do n host iptables -N $c; done
  n host iptables -A FORWARD -j DOCKER-USER; n host iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
  n host iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; n host iptables -A FORWARD -o docker0 -j DOCKER; n host iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
}
fix() { n host iptables -I DOCKER-USER -i lxdbr0 -j ACCEPT; n host iptables -I DOCKER-USER -o lxdbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; }

play "$@"
