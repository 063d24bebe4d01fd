#!/usr/bin/env bash
# A container is not reached from its host since Docker was installed anew (moby/moby#46601).
# Cause: a bridge of the old installation still has the same network, and its route comes first.
. "$(dirname "$0")/lab.sh"

FROM=pc-host; TO=tcp/10.4.0.2:7777
build() {
  new host c1; bridge_ host br-80e26527c0be; addr host br-80e26527c0be 10.4.0.1/30; bridge_ host br-aa170273e54a; addr host br-aa170273e54a 10.4.0.1/30
  wire c1 eth0 host veth1; port host veth1 br-aa170273e54a; addr c1 eth0 10.4.0.2/30; route c1 default via 10.4.0.1; listen c1 tcp 7777
}
fix() { ip -n pc-host link del br-80e26527c0be; }

play "$@"
