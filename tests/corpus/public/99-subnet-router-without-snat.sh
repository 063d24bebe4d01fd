#!/usr/bin/env bash
# Machines behind a subnet router with --snat-subnet-routes=false never answer (tailscale/tailscale#8407, #14971).
# Cause: they have no route back to 100.64.0.0/10: the answer goes to the provider's router, which knows none.
. "$(dirname "$0")/lab.sh"

FROM=pc-mac; TO=tcp/172.31.46.5:80
build() {
  new mac m1 m2 aws lan; bridge_ lan br0; for k in m1:5 m2:195 aws:1; do s=${k%:*}; wire $s eth0 lan p-$s; port lan p-$s br0; addr $s eth0 172.31.46.${k#*:}/20; done
  wire mac tailscale0 m2 tailscale0; addr mac tailscale0 100.101.1.1/32; addr m2 tailscale0 100.101.1.2/32; route mac 100.101.1.2 dev tailscale0; route m2 100.101.1.1 dev tailscale0; route mac 172.31.0.0/16 via 100.101.1.2 dev tailscale0
  sy m2 net.ipv4.ip_forward=1; sy aws net.ipv4.ip_forward=1; route m1 default via 172.31.46.1; route m2 default via 172.31.46.1; listen m1 tcp 80
}
fix() { route m1 100.64.0.0/10 via 172.31.46.195; }

play "$@"
