#!/usr/bin/env bash
# A container resolves no name: it asks 127.0.0.53 (debops/debops#1929, vmware/photon#1033).
# Cause: that is the resolver of the host (systemd-resolved), and in the container 127.0.0.53 is the container. (fix: a resolver of its own stands for `--dns`.)
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=udp/127.0.0.53:53
build() {
  new host c1; bridge_ host docker0; addr host docker0 172.17.0.1/16; wire c1 eth0 host veth1; port host veth1 docker0; addr c1 eth0 172.17.0.2/16; route c1 default via 172.17.0.1; listen host udp 53 127.0.0.53
}
fix() { listen c1 udp 53 127.0.0.53; }

play "$@"
