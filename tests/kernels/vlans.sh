#!/bin/bash
# vlans.sh NETWRIGHT   what `why` says of VLANs that are wrong, and whether `why --fix --yes` mends them: in a namespace that plays the machine, as root.
# One line per case: ok|FAIL|skip CASE WHY; what was said of a case that failed goes to stderr. CASES=regex
#
#   a (untagged) ── pa ┐            ┌ pc ── c0, c0.10 (tagged) c
#                      br0 of sw ───┤                                  br0.10: the router of VLAN 10
#   b (untagged) ── pb ┘            └ trunk ── uplink, br1 of far ── pd ── d (untagged)
set -uo pipefail
nw=$1; : "${CASES:=.}"
[ "${INSIDE:-}" ] || exec env INSIDE=1 CASES="$CASES" unshare -nm bash -c 'mount -t tmpfs t /run; mkdir /run/netns; ip link set lo up; exec "$@"' _ "$0" "$@"
ip link add v0 type bridge vlan_filtering 1 2>/dev/null && ip link add link v0 name v0.2 type vlan id 2 2>/dev/null || { echo "skip vlans this kernel has no VLANs of links or of bridges"; exit 0; }
ip link del v0
port() { ip netns exec "$1" bridge vlan "${@:2}"; }
base() {
  for n in a b c d sw far; do ip netns del $n 2>/dev/null; ip netns add $n; ip -n $n link set lo up; ip netns exec $n sysctl -qw net.ipv6.conf.default.accept_dad=0; done
  for s in sw/br0 far/br1; do ip -n "${s%/*}" link add "${s#*/}" type bridge vlan_filtering 1 vlan_default_pvid 0; ip -n "${s%/*}" link set "${s#*/}" up; done
  for p in a/sw/br0 b/sw/br0 c/sw/br0 d/far/br1; do IFS=/ read -r n s br <<<"$p"
    ip -n $n link add ${n}0 type veth peer name p$n netns $s; ip -n $n link set ${n}0 up; ip -n $s link set p$n master $br up; done
  ip -n sw link add trunk type veth peer name uplink netns far; ip -n sw link set trunk master br0 up; ip -n far link set uplink master br1 up
  ip -n a addr add 10.1.0.1/24 dev a0; ip -n b addr add 10.1.0.3/24 dev b0; ip -n d addr add 10.1.0.4/24 dev d0
  ip -n c link add link c0 name c0.10 type vlan id 10; ip -n c link set c0.10 up; ip -n c addr add 10.1.0.2/24 dev c0.10
  for p in pa pb; do port sw add dev $p vid 10 pvid untagged; done; port far add dev pd vid 10 pvid untagged
  port sw add dev pc vid 10; port sw add dev trunk vid 10; port far add dev uplink vid 10
  ip -n sw link add link br0 name br0.10 type vlan id 10; ip -n sw link set br0.10 up; ip -n sw addr add 10.1.0.254/24 dev br0.10; port sw add dev br0 vid 10 self
  for _ in {1..50}; do reaches a 10.1.0.2 && reaches a 10.1.0.4 && reaches b 10.1.0.254 && return; sleep .2; done; return 1
}
reaches() { ip netns exec "$1" ping -c1 -W1 "$2" >/dev/null 2>&1; }
# one CASE CODE mended|told FROM TO WORDS-OF-THE-MEND COMMAND: it is named, with those words; and mended, or no command can mend it
one() {
  local what=$1 code=$2 how=$3 from=$4 to=$5 words=$6 said; shift 6; [[ $what =~ $CASES ]] || return 0
  said() { echo "FAIL $what $1"; printf '%s\n' "$what: $1" "$said" >&2; }
  base || { said=; said "the network does not work before anything is broken"; return; }
  "$@"; for n in a b c d sw; do ip -n $n neigh flush all 2>/dev/null; done
  reaches $from $to && { said=; said "still works"; return; }
  said=$("$nw" why "$from" "$to" 2>&1)
  grep -qF "[$code]" <<<"$(grep -m1 '^error' <<<"$said")" || { said "it is not named $code"; return; }
  grep -q 'also\[ROUTE' <<<"$said" && { said "a route is blamed"; return; }
  grep -qE "$words" <<<"$said" || { said "nothing like \`$words\`"; return; }
  if [ $how = mended ]; then said+=$("$nw" why --fix --yes "$from" "$to" 2>&1); reaches $from $to || { said "not mended"; return; }; fi
  echo "ok $what"
}
no() { port "$1" del dev "$2" vid 10 ${3:-}; }
one trunk-port-lacks-it PORT_VLAN mended a 10.1.0.2 'vlan add dev pc vid 10$' no sw pc
one trunk-port-lacks-it,-from-the-tagged-side PORT_VLAN mended c 10.1.0.1 'vlan add dev pc vid 10$' no sw pc
one the-bridge-itself-lacks-it PORT_VLAN mended a 10.1.0.254 'vlan add dev br0 vid 10 self' no sw br0 self
one the-bridge-itself-lacks-it,-from-its-own-link PORT_VLAN mended sw 10.1.0.1 'vlan add dev br0 vid 10 self' no sw br0 self
one access-port-in-another PORT_VLAN mended a 10.1.0.2 'vlan add dev pa vid 10 pvid untagged' eval 'no sw pa; port sw add dev pa vid 20 pvid untagged'
one access-port-in-another,-from-the-tagged-side PORT_VLAN mended c 10.1.0.1 'vlan add dev pa vid 10 pvid untagged' eval 'no sw pa; port sw add dev pa vid 20 pvid untagged'
one access-port-in-none PORT_VLAN mended a 10.1.0.2 'vlan add dev pa vid 10 pvid untagged' no sw pa
one access-port-in-none,-to-another PORT_VLAN mended b 10.1.0.1 'vlan add dev pa vid 10 pvid untagged' no sw pa
one access-port-tagged PORT_VLAN mended b 10.1.0.1 'vlan add dev pa vid 10 pvid untagged' port sw add dev pa vid 10 pvid
one trunk-port-untagged PORT_VLAN mended a 10.1.0.2 'vlan add dev pc vid 10$' port sw add dev pc vid 10 untagged
one near-end-of-the-trunk PORT_VLAN mended a 10.1.0.4 'vlan add dev trunk vid 10$' no sw trunk
one far-end-of-the-trunk PORT_VLAN mended a 10.1.0.4 'vlan add dev uplink vid 10$' no far uplink
one far-access-port PORT_VLAN mended c 10.1.0.4 'vlan add dev pd vid 10 pvid untagged' no far pd
one vlan-link-of-another-id VLAN_MISMATCH told c 10.1.0.1 'made anew|make one' eval 'ip -n c link del c0.10; ip -n c link add link c0 name c0.11 type vlan id 11; ip -n c link set c0.11 up; ip -n c addr add 10.1.0.2/24 dev c0.11'
one vlan-link-down LINK_ADMIN_DOWN mended a 10.1.0.2 'link set dev c0.10 up' ip -n c link set c0.10 down
one parent-down LINK_ADMIN_DOWN mended a 10.1.0.2 'link set dev c0 up' ip -n c link set c0 down
