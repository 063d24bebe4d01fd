#!/usr/bin/env bash
# A cloud machine with a /32 has no way out after its image was updated (canonical/cloud-init#5523).
# Cause: the gateway lies outside its subnet and the route was written without `onlink`: the kernel refused it.
. "$(dirname "$0")/lab.sh"

FROM=pc-vm; TO=203.0.113.1
build() {
  new vm gw; wire vm ens2 gw lan; addr vm ens2 198.51.100.77/32; addr gw lan 172.31.1.1/32; addr gw lo 203.0.113.1/32; route gw 198.51.100.77 dev lan
}
fix() { ip -n pc-vm route add default via 172.31.1.1 dev ens2 onlink; }

play "$@"
