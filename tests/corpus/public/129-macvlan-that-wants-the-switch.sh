#!/usr/bin/env bash
# Two containers of one host do not reach each other, those of other hosts do (jpetazzo/pipework#239; canonical/lxd#11319 for the modes).
# Cause: their macvlan is in VEPA mode: the switch has to send the frame back by the port that it came by (hairpin mode).
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=192.168.1.33
build() {
  new sw host c1 c3; bridge_ sw vmbr0; wire host eth0 sw tap1; port sw tap1 vmbr0; addr host eth0 192.168.1.30/24
  for k in c1:31 c3:33; do s=${k%:*}; ip -n pc-host link add m-$s link eth0 type macvlan mode vepa; ip -n pc-host link set m-$s netns pc-$s name eth0; ip -n pc-$s link set eth0 up; addr $s eth0 192.168.1.${k#*:}/24; done
}
check() { ip -n pc-c1 neigh flush all; n c1 ping -n -c 2 -i 0.3 -W 2 "$TO" >/dev/null 2>&1; }
fix() { n sw bridge link set dev tap1 hairpin on; }

play "$@"
