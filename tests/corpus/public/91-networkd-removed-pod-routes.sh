#!/usr/bin/env bash
# Pods of other nodes are gone after systemd-networkd was restarted (cloudnativelabs/kube-router#1815, bottlerocket-os/bottlerocket#3436).
# Cause: it removed the routes to their subnets, which it had not made: what is for them goes out by the default route.
. "$(dirname "$0")/lab.sh"

FROM=pc-pa; TO=tcp/100.96.1.7:80
build() {
  new pa pb na nb gw lan; bridge_ lan br0; for k in na:99 nb:93 gw:1; do s=${k%:*}; wire $s ens5 lan p-$s; port lan p-$s br0; addr $s ens5 172.20.205.${k#*:}/24; done
  for k in a:3 b:1; do s=${k%:*}; bridge_ n$s kube-bridge; addr n$s kube-bridge 100.96.${k#*:}.1/24; wire p$s eth0 n$s v-p; port n$s v-p kube-bridge; addr p$s eth0 100.96.${k#*:}.7/24; route p$s default via 100.96.${k#*:}.1; sy n$s net.ipv4.ip_forward=1; done
  wire gw wan lan w; sy gw net.ipv4.ip_forward=1; route na default via 172.20.205.1; route nb default via 172.20.205.1
  route nb 100.96.3.0/24 via 172.20.205.99 proto 17; listen pb tcp 80
}
fix() { route na 100.96.1.0/24 via 172.20.205.93; }

play "$@"
