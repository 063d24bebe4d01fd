#!/usr/bin/env bash
# The host and its container on a macvlan network do not reach each other (moby/libnetwork#1915).
# Cause: a macvlan never talks to the link below it.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=172.16.9.149
build() {
  new host gw web; wire host eno1 gw lan; addr host eno1 172.16.9.151/24; addr gw lan 172.16.9.1/24
  ip -n pc-host link add mv0 link eno1 type macvlan mode bridge; ip -n pc-host link set mv0 netns pc-web; ip -n pc-web link set mv0 name eth0; addr web eth0 172.16.9.149/24; ip -n pc-web link set eth0 up
}
fix() { ip -n pc-host link add shim link eno1 type macvlan mode bridge; ip -n pc-host addr add 172.16.9.200/32 dev shim; ip -n pc-host link set shim up; ip -n pc-host route add 172.16.9.149/32 dev shim; }

play "$@"
