#!/usr/bin/env bash
# A resolver answers some clients and not others, though it listens on 0.0.0.0 (NethServer/dev#7794, osism/ansible-collection-services#1882, opnsense/core#8934).
# Cause: its socket is bound to a link (SO_BINDTODEVICE): what comes in by another one is not for it.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=udp/192.168.1.5:53
dns() { setsid ip netns exec pc-host socat "UDP-RECVFROM:53,fork,reuseaddr${1:+,so-bindtodevice=$1}" EXEC:cat >/dev/null 2>&1 & sleep 0.3; }
build() {
  new client host vm; wire client eth0 host eth0; addr client eth0 192.168.1.9/24; addr host eth0 192.168.1.5/24; bridge_ host virbr0; addr host virbr0 192.168.122.1/24; wire vm eth0 host vnet0; port host vnet0 virbr0; addr vm eth0 192.168.122.50/24; dns virbr0
}
fix() { for p in $(ip netns pids pc-host); do kill "$p"; done; sleep 0.2; dns; }

play "$@"
