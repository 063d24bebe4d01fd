#!/usr/bin/env bash
# A container inside a container (with an address of the outer network) is silent; the outer one is fine (canonical/lxd#2423 and questions about macvlan in guests).
# Cause: the host's bridge lets only the outer container's MAC through its port.
. "$(dirname "$0")/lab.sh"

FROM=pc-inner; TO=10.76.0.1
build() {
  new host outer inner; bridge_ host lxdbr0; addr host lxdbr0 10.76.0.1/24; wire outer eth0 host veth0; port host veth0 lxdbr0; ip -n pc-outer link set eth0 address 00:16:3e:6c:31:c9; addr outer eth0 10.76.0.10/24
  ip -n pc-outer link add mv0 link eth0 type macvlan mode bridge; ip -n pc-outer link set mv0 netns pc-inner; ip -n pc-inner link set mv0 name eth0 address 02:42:0a:4c:00:14 up; addr inner eth0 10.76.0.20/24; ip -n pc-inner route add default via 10.76.0.1
  n host nft -f - <<'R'
table bridge lxd {
  chain in.outer.eth0 { type filter hook input priority filter; policy accept; iifname "veth0" ether saddr != 00:16:3e:6c:31:c9 drop
    iifname "veth0" arp saddr ether != 00:16:3e:6c:31:c9 drop
  }
  chain fwd.outer.eth0 { type filter hook forward priority filter; policy accept; iifname "veth0" ether saddr != 00:16:3e:6c:31:c9 drop
    iifname "veth0" arp saddr ether != 00:16:3e:6c:31:c9 drop
  }
}
R
}
fix() { n host nft delete table bridge lxd; }

play "$@"
