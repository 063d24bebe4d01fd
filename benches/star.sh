#!/usr/bin/env bash
# star-N, built by netwright and by the one-process-per-command bash that tutorials show, one after
# the other in one run. By hand, as root, on a quiet machine:
#
#     cargo build --release && benches/star.sh [N=100] [REPETITIONS=5]
#
# Every build happens in namespaces of its own (network, mounts, pids, /run): the machine's network
# is out of reach, and the next build starts only when the kernel has forgotten the one before.
# `processes` is the machine-wide count of forks (/proc/stat), so its minimum is the honest one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
netwright=${NETWRIGHT:-$here/../target/release/netwright}

build_bash() {
    ip link add br0 type bridge
    ip addr add 10.0.255.254/16 dev br0
    ip link set br0 up
    ip netns add wan
    ip link add up0 type veth peer name wan0
    ip link set wan0 netns wan
    ip addr add 198.51.100.1/30 dev up0
    ip link set up0 up
    ip netns exec wan ip addr add 198.51.100.2/30 dev wan0
    ip netns exec wan ip link set wan0 up
    ip netns exec wan ip link set lo up
    ip route add default via 198.51.100.2
    sysctl -q -w net.ipv4.ip_forward=1
    iptables -t nat -A POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE
    for ((i = 1; i <= $1; i++)); do
        ip netns add "n$i"
        ip link add "v$i" type veth peer name "p$i"
        ip link set "p$i" netns "n$i"
        ip netns exec "n$i" ip link set "p$i" name eth0
        ip link set "v$i" master br0
        ip link set "v$i" up
        ip netns exec "n$i" ip addr add "10.0.$((i / 250)).$((i % 250 + 2))/16" dev eth0
        ip netns exec "n$i" ip link set eth0 up
        ip netns exec "n$i" ip link set lo up
        ip netns exec "n$i" ip route add default via 10.0.255.254
    done
}

build_netwright() {
    "$netwright" run --host "$here/star.rhai" -- --n "$1"
}

forks() { awk '/^processes/ { print $2 }' /proc/stat; }
now_us() { echo $((${EPOCHREALTIME/[.,]/})); }

# The lab is right: as many ports as asked for, and the last node has its address, its default
# route and the NAT rule in front of it. Its neighbour entry for the gateway proves a real packet.
verify() {
    local ports
    ports=$(ip -o link show master br0 | wc -l)
    [ "$ports" -eq "$1" ] || { echo "star.sh: $ports ports instead of $1" >&2; return 1; }
    ip netns exec "n$1" bash -c 'exec 3<>/dev/udp/198.51.100.2/9 && echo x >&3'
    for _ in {1..50}; do
        [ -n "$(ip -n "n$1" neigh show 10.0.255.254 nud reachable nud delay nud stale nud probe)" ] && break
        sleep 0.1
    done
    ip -n "n$1" neigh show 10.0.255.254 | grep -q lladdr
    ip -n "n$1" route show default | grep -q 'via 10.0.255.254'
    iptables -t nat -S POSTROUTING | grep -q -- '-o up0 .*-j MASQUERADE'
}

# Inside the private machine: build, time, verify, print "microseconds forks".
if [ "${1-}" = inside ]; then
    builder=$2 n=$3
    mount -t tmpfs tmpfs /run
    mkdir /run/netns /run/lock
    mount -t sysfs sysfs /sys
    ip link set lo up
    forks_before=$(forks)
    began=$(now_us)
    "build_$builder" "$n" >/dev/null
    took=$(($(now_us) - began))
    forked=$(($(forks) - forks_before))
    verify "$n"
    echo "$took $forked"
    exit
fi

n=${1:-100} repetitions=${2:-5}
[ "$(id -u)" -eq 0 ] || { echo "star.sh: run as root: both builders get the same rights" >&2; exit 4; }
[ -x "$netwright" ] || { echo "star.sh: no $netwright; run cargo build --release first" >&2; exit 4; }
# One bridge takes 1023 ports.
[[ $n =~ ^[0-9]+$ && $n -ge 1 && $n -le 1000 ]] || { echo "star.sh: N is 1 to 1000" >&2; exit 2; }
[[ $repetitions =~ ^[0-9]+$ && $repetitions -ge 1 ]] || { echo "star.sh: REPETITIONS is 1 or more" >&2; exit 2; }

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

private() { unshare -m -n -p -f --kill-child --mount-proc --propagation private "$0" inside "$@"; }

# The kernel deletes namespaces later, in order: when a marker that died after them is gone, so are they.
drain() {
    # shellcheck disable=SC2016 # expanded by the inner bash
    unshare -n bash -c '
        unshare -n sleep 60 & marker=$!
        until [ "$(readlink /proc/$marker/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
        ip link add name mark type veth peer name mark2 netns $marker
        kill $marker
        while ip link show dev mark >/dev/null 2>&1; do sleep 0.01; done'
}

for ((r = 1; r <= repetitions; r++)); do
    for builder in bash netwright; do
        private "$builder" "$n" >"$results/now"
        read -r took forked <"$results/now"
        # microseconds to milliseconds: bash has no fractions, but printf reads 123e-1
        printf 'star-%d  %d/%d  %-9s  %9.1f ms  %6d processes\n' "$n" "$r" "$repetitions" "$builder" "$((took / 100))e-1" "$forked"
        echo "$took" >>"$results/$builder.us"
        echo "$forked" >>"$results/$builder.forks"
        drain
    done
done

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
least() { sort -n "$1" | head -n 1; }

awk -v n="$n" -v b="$(median "$results/bash.us")" -v w="$(median "$results/netwright.us")" \
    -v bf="$(least "$results/bash.forks")" -v wf="$(least "$results/netwright.forks")" 'BEGIN {
    printf "\nstar-%d, medians\n", n
    printf "  bash       %9.1f ms  %6d processes\n", b / 1000, bf
    printf "  netwright  %9.1f ms  %6d processes  (%.2f per namespace)\n", w / 1000, wf, wf / (n + 1)
    printf "  netwright is %.1f times faster\n", b / w
}'
