#!/usr/bin/env bash
# Containers of an internal IPv6 network do not find each other (moby/moby#45460).
# Cause: the isolation rules drop what is not from the network's own range, and solicitations come from there to ff02::; they are seen as bridged packets.
. "$(dirname "$0")/lab.sh"

FROM=pc-c1; TO=fdf1:a844:380c:b247::3
build() {
  new host c1 c2; bridge_ host br-73d147f51290; addr host br-73d147f51290 fdf1:a844:380c:b247::1/64; sy host net.bridge.bridge-nf-call-ip6tables=1
  for k in c1:2 c2:3; do s=${k%:*}; wire $s eth0 host v-$s; port host v-$s br-73d147f51290; addr $s eth0 fdf1:a844:380c:b247::${k#*:}/64; done
  n host ip6tables -N DOCKER-ISOLATION-STAGE-1; n host ip6tables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
  n host ip6tables -A DOCKER-ISOLATION-STAGE-1 ! -s fdf1:a844:380c:b247::/64 -o br-73d147f51290 -j DROP
  n host ip6tables -A DOCKER-ISOLATION-STAGE-1 ! -d fdf1:a844:380c:b247::/64 -i br-73d147f51290 -j DROP
  n host ip6tables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
}
fix() { n host ip6tables -I DOCKER-ISOLATION-STAGE-1 -p icmpv6 --icmpv6-type neighbour-solicitation -j ACCEPT; n host ip6tables -I DOCKER-ISOLATION-STAGE-1 -p icmpv6 --icmpv6-type neighbour-advertisement -j ACCEPT; }

play "$@"
