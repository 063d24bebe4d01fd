#!/usr/bin/env bash
# With an exit node in use nothing that comes in by the real link is taken (tailscale/tailscale#19537, #3310; NixOS/nixpkgs#515001).
# Cause: the mark that leads around table 52 is restored before routing, but rp_filter asks without it as long as src_valid_mark is 0.
. "$(dirname "$0")/lab.sh"

FROM=pc-client; TO=tcp/10.128.0.9:22
build() {
  new client gw node exit; wire client eth0 gw c; addr client eth0 203.0.113.50/24; addr gw c 203.0.113.1/24; route client default via 203.0.113.1; sy gw net.ipv4.ip_forward=1
  wire gw lan node ens4; addr gw lan 10.128.0.1/24; addr node ens4 10.128.0.9/24; route node default via 10.128.0.1
  wire node tailscale0 exit tailscale0; addr node tailscale0 100.64.0.9/32; addr exit tailscale0 100.64.0.1/32; sy exit net.ipv4.ip_forward=1
  ip -n pc-node route add default dev tailscale0 table 52; ip -n pc-node route add throw 10.128.0.0/24 table 52
  ip -n pc-node rule add pref 5210 fwmark 0x80000/0xff0000 lookup main; ip -n pc-node rule add pref 5270 lookup 52
  n node iptables -t mangle -A PREROUTING -i ens4 -m conntrack --ctstate NEW -j CONNMARK --set-xmark 0x80000/0xff0000
  n node iptables -t mangle -A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
  n node iptables -t mangle -A OUTPUT -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
  sy node net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.ens4.rp_filter=1 net.ipv4.conf.all.src_valid_mark=0; listen node tcp 22
}
fix() { sy node net.ipv4.conf.all.src_valid_mark=1; }

play "$@"
