#!/usr/bin/env bash
# With --accept-routes a machine is no longer reached on its own LAN (tailscale/tailscale#1164, #15055).
# Cause: a subnet router announces that same LAN; its route stands in table 52, whose rule 5270 comes before the one of main.
. "$(dirname "$0")/lab.sh"

FROM=pc-desk; TO=192.168.1.103
build() {
  new bob desk rtr; bridge_ rtr lan; addr rtr lan 192.168.1.1/24
  for k in bob:103 desk:203; do s=${k%:*}; wire $s eth0 rtr p-$s; port rtr p-$s lan; addr $s eth0 192.168.1.${k#*:}/24; route $s default via 192.168.1.1; done
  new peer; wire bob tailscale0 peer ts0; addr bob tailscale0 100.71.166.1/32; addr peer ts0 100.71.166.52/32; route peer 100.71.166.1 dev ts0
  ip -n pc-bob route add 100.71.166.52 dev tailscale0 table 52; ip -n pc-bob route add 192.168.1.0/24 via 100.71.166.52 dev tailscale0 onlink table 52
  ip -n pc-bob rule add pref 5210 fwmark 0x80000/0xff0000 lookup main; ip -n pc-bob rule add pref 5270 lookup 52
}
fix() { ip -n pc-bob rule add to 192.168.1.0/24 pref 2500 lookup main; }

play "$@"
