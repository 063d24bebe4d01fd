#!/usr/bin/env bash
# Clients of one office do not reach a container host, all others do (bitwarden/server#947, docker/for-win#2769, docksal/docksal#696).
# Cause: a Docker network has the range of their office: the answers go into its bridge.
. "$(dirname "$0")/lab.sh"

FROM=pc-pc1; TO=tcp/10.3.0.4:443
build() {
  new pc1 rtr srv c1; wire pc1 eth0 rtr office; addr pc1 eth0 172.28.7.9/16; addr rtr office 172.28.0.254/16; route pc1 default via 172.28.0.254; wire rtr dmz srv eth0; addr rtr dmz 10.3.0.1/24; addr srv eth0 10.3.0.4/24; route srv default via 10.3.0.1; sy rtr net.ipv4.ip_forward=1
  bridge_ srv br-828c78b615e2; addr srv br-828c78b615e2 172.28.0.1/16; wire c1 eth0 srv veth1; port srv veth1 br-828c78b615e2; addr c1 eth0 172.28.0.2/16; route c1 default via 172.28.0.1; sy srv net.ipv4.ip_forward=1; listen srv tcp 443
}
fix() { ip -n pc-srv route add 172.28.7.0/24 via 10.3.0.1; }

play "$@"
