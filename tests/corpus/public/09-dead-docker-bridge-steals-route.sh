#!/usr/bin/env bash
# Hosts of the company behind the VPN are unreachable from containers (moby/moby#46615, docker/for-mac#2820).
# Cause: a bridge without any container still owns 172.18.0.0/16, a part of what the VPN routes.
. "$(dirname "$0")/lab.sh"

FROM=pc-app; TO=tcp/172.18.5.5:443
build() {
  new host app vpngw corp
  bridge_ host docker0; addr host docker0 172.17.0.1/16; wire app eth0 host veth0; port host veth0 docker0; addr app eth0 172.17.0.2/16; route app default via 172.17.0.1
  wire host tun0 vpngw tun0; addr host tun0 10.8.0.6/24; addr vpngw tun0 10.8.0.1/24; route host 172.16.0.0/12 via 10.8.0.1
  wire vpngw eth0 corp eth0; addr vpngw eth0 172.18.0.254/16; addr corp eth0 172.18.5.5/16; route corp default via 172.18.0.254
  bridge_ host br-3f2a; addr host br-3f2a 172.18.0.1/16
  sy host net.ipv4.ip_forward=1; sy vpngw net.ipv4.ip_forward=1
  n host iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
  listen corp tcp 443
}
fix() { ip -n pc-host link del br-3f2a; }

play "$@"
