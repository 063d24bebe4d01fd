#!/usr/bin/env bash
# The benchmark: netwright beside the bash of tutorials (a process for every command), the best that
# `ip -batch` can do, and raw netlink, which is what the kernel itself needs. As root, on a quiet machine:
#
#     cargo build --release && benches/run.sh [-r REPETITIONS] [-n "N N …"] [-q "N N …"] [>table.md]
#
# -n: the sizes that are built (star-N and chain-N), "1 10 100 500" unless it is said.
# -q: the sizes of star-N that questions are put to, "5 100 1000".
#
# Every build happens on a machine of its own (network, mounts, pids, /run), those that are compared one
# after the other in every repetition. Printed are medians, as Markdown. `processes` is the machine-wide
# count of new processes and threads, so the least is shown; `CPU` and `memory` are those of the builder and its children, the
# memory that of the largest process. `benches/RESULTS.md` has a table. Needs a C compiler for the limit.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
netwright=${NETWRIGHT:-$here/../target/release/netwright}
limit=${LIMIT-}

node() { echo "10.0.$(($1 / 250)).$(($1 % 250 + 2))"; }
cable() { echo "10.$(($1 / 250)).$(($1 % 250))"; }

# One process for every command, as tutorials show it.
tutorial_build_star() {
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
        ip netns exec "n$i" ip addr add "$(node "$i")/16" dev eth0
        ip netns exec "n$i" ip link set eth0 up
        ip netns exec "n$i" ip link set lo up
        ip netns exec "n$i" ip route add default via 10.0.255.254
    done
}
tutorial_down_star() {
    for ((i = 1; i <= $1; i++)); do ip netns del "n$i"; done
    ip netns del wan
    ip link del br0
    iptables -t nat -D POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE
}
tutorial_build_chain() {
    ip netns add c0
    ip netns exec c0 ip link set lo up
    ip netns exec c0 ip addr add 198.51.100.1/32 dev lo
    ip netns exec c0 sysctl -q -w net.ipv4.ip_forward=1
    for ((i = 1; i <= $1; i++)); do
        ip netns add "c$i"
        ip link add right netns "c$((i - 1))" type veth peer name left netns "c$i"
        ip netns exec "c$((i - 1))" ip addr add "$(cable "$i").1/30" dev right
        ip netns exec "c$((i - 1))" ip link set right up
        ip netns exec "c$i" ip addr add "$(cable "$i").2/30" dev left
        ip netns exec "c$i" ip link set left up
        ip netns exec "c$i" ip link set lo up
        ip netns exec "c$((i - 1))" ip route add 10.0.0.0/8 via "$(cable "$i").2"
        ip netns exec "c$i" ip route add default via "$(cable "$i").1"
        ip netns exec "c$i" sysctl -q -w net.ipv4.ip_forward=1
    done
}
tutorial_down_chain() { for ((i = 0; i <= $1; i++)); do ip netns del "c$i"; done; }

# One `ip -batch` for the host and one for each namespace: the least that stock tools can do.
batch_build_star() {
    {
        echo "link add br0 up type bridge"
        echo "addr add 10.0.255.254/16 dev br0"
        echo "netns add wan"
        echo "link add up0 up type veth peer name wan0 netns wan"
        for ((i = 1; i <= $1; i++)); do
            echo "netns add n$i"
            echo "link add v$i up master br0 type veth peer name eth0 netns n$i"
        done
        echo "addr add 198.51.100.1/30 dev up0"
        echo "route add default via 198.51.100.2"
    } | ip -batch -
    echo 1 >/proc/sys/net/ipv4/ip_forward
    printf '*nat\n-A POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE\nCOMMIT\n' | iptables-restore -n
    printf 'link set lo up\nlink set wan0 up\naddr add 198.51.100.2/30 dev wan0\n' | ip -n wan -batch -
    for ((i = 1; i <= $1; i++)); do
        printf 'link set lo up\nlink set eth0 up\naddr add 10.0.%d.%d/16 dev eth0\nroute add default via 10.0.255.254\n' \
            $((i / 250)) $((i % 250 + 2)) | ip -n "n$i" -batch -
    done
}
batch_down_star() {
    {
        for ((i = 1; i <= $1; i++)); do echo "netns del n$i"; done
        echo "netns del wan"
        echo "link del br0"
    } | ip -batch -
    printf '*nat\n-D POSTROUTING -s 10.0.0.0/8 -o up0 -j MASQUERADE\nCOMMIT\n' | iptables-restore -n
}
batch_build_chain() {
    {
        for ((i = 0; i <= $1; i++)); do echo "netns add c$i"; done
        for ((i = 1; i <= $1; i++)); do
            echo "link add right netns c$((i - 1)) type veth peer name left netns c$i"
        done
    } | ip -batch -
    for ((i = 0; i <= $1; i++)); do
        {
            echo "link set lo up"
            if [ "$i" = 0 ]; then
                echo "addr add 198.51.100.1/32 dev lo"
            else
                printf 'link set left up\naddr add 10.%d.%d.2/30 dev left\nroute add default via 10.%d.%d.1\n' \
                    $((i / 250)) $((i % 250)) $((i / 250)) $((i % 250))
            fi
            if [ "$i" -lt "$1" ]; then
                printf 'link set right up\naddr add 10.%d.%d.1/30 dev right\nroute add 10.0.0.0/8 via 10.%d.%d.2\n' \
                    $(((i + 1) / 250)) $(((i + 1) % 250)) $(((i + 1) / 250)) $(((i + 1) % 250))
            fi
        } | ip -n "c$i" -batch -
        ip netns exec "c$i" sysctl -q -w net.ipv4.ip_forward=1
    done
}
batch_down_chain() { for ((i = 0; i <= $1; i++)); do echo "netns del c$i"; done | ip -batch -; }

netwright_build_star() { exec "$netwright" run --host "$here/star.rhai" -- --n "$1"; }
netwright_down_star() { exec "$netwright" down "$here/star.rhai"; }
netwright_build_chain() { exec "$netwright" run --host "$here/chain.rhai" -- --n "$1"; }
netwright_down_chain() { exec "$netwright" down "$here/chain.rhai"; }
limit_build_star() { exec "$limit" build star "$1"; }
limit_down_star() { exec "$limit" down star "$1"; }
limit_build_chain() { exec "$limit" build chain "$1"; }
limit_down_chain() { exec "$limit" down chain "$1"; }

# What was built works: a packet from far away comes back, and nothing is left afterwards.
works() {
    local from=$2
    # Time to live is 64.
    [ "$1" = star ] && from=n$2 || from=c$(($2 < 60 ? $2 : 60))
    local to=198.51.100.2
    [ "$1" = star ] || to=198.51.100.1
    ip netns exec "$from" ping -q -c1 -w5 "$to" >/dev/null || { echo "run.sh: $from does not reach $to" >&2; return 1; }
}
is_gone() {
    [ -z "$(ls /run/netns)" ] || { echo "run.sh: namespaces are left" >&2; return 1; }
}

machine() {
    mount -t tmpfs tmpfs /run
    mkdir -p /run/netns /run/lock
    mount -t sysfs sysfs /sys
    ip link set lo up
}

case ${1-} in
    only)   # only BUILDER build|down SHAPE N
        "$2_$3_$4" "$5" >/dev/null
        exit ;;
    inside) # inside BUILDER SHAPE N, on a machine of its own; prints "build … " and "down …"
        machine
        exec 3>&1
        printf 'build '
        "$limit" time "$0" only "$2" build "$3" "$4"
        works "$3" "$4" >&2
        # What the ports have to say to each other is no part of it.
        sleep 1
        printf 'down '
        "$limit" time "$0" only "$2" down "$3" "$4"
        is_gone >&2
        exit ;;
    ask)    # ask N REPETITIONS, on a machine of its own
        machine
        exec 3>&1
        "$limit" build star "$2"
        sleep 2
        for ((r = 1; r <= $3; r++)); do
            for question in "show" "doctor --network" "why n1 n$2" "snapshot -o /run/snapshot.$r"; do
                printf '%s|' "${question%% -o*}"
                # shellcheck disable=SC2086 # words; doctor's status says whether it found something
                "$limit" time "$netwright" $question >/dev/null 2>&1 || [ "${question%% *}" = doctor ]
            done
        done
        exit ;;
esac

repetitions=3 sizes="1 10 100 500" questions="5 100 1000"
while getopts r:n:q: option; do
    case $option in
        r) repetitions=$OPTARG ;;
        n) sizes=$OPTARG ;;
        q) questions=$OPTARG ;;
        *) exit 2 ;;
    esac
done
[ "$(id -u)" -eq 0 ] || { echo "run.sh: run as root: all builders get the same rights" >&2; exit 4; }
[ -x "$netwright" ] || { echo "run.sh: no $netwright; run cargo build --release first" >&2; exit 4; }
[[ $repetitions =~ ^[1-9][0-9]*$ && "$sizes $questions" =~ ^[0-9\ ]+$ ]] || { echo "run.sh: numbers are wanted" >&2; exit 2; }
for n in $sizes $questions; do
    # One bridge takes 1023 ports.
    [[ $n -ge 1 && $n -le 1000 ]] || { echo "run.sh: N is 1 to 1000" >&2; exit 2; }
done

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
limit=$results/limit
"${CC:-cc}" -O2 -o "$limit" "$here/limit.c"
export LIMIT=$limit NETWRIGHT=$netwright

private() { unshare -m -n -p -f --kill-child --mount-proc --propagation private "$0" "$@"; }

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

median() { sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
column() { awk -v c="$2" '{ print $c }' "$1" | median; }
seconds() { awk -v t="$1" 'BEGIN { printf t < 1 ? "%.3f s" : "%.2f s", t }'; }

version=$("$netwright" --version)
commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
model=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
echo "$version, commit $commit, $(date -u +%F); Linux $(uname -r), $(nproc) × ${model:-unknown processor}, $(ip -V | sed 's/ip utility, //')."
echo "Medians of $repetitions, interleaved; load when it began: $(cut -d' ' -f1 /proc/loadavg)."

builders="netwright tutorial batch limit"
for n in $sizes; do
    for shape in star chain; do
        for ((r = 1; r <= repetitions; r++)); do
            for builder in $builders; do
                private inside "$builder" "$shape" "$n" >"$results/now"
                while read -r what line; do echo "$line" >>"$results/$builder.$shape.$n.$what"; done <"$results/now"
                drain
            done
        done
        for what in build down; do
            printf '\n**%s-%d, %s**\n\n| | time | netwright is | CPU | memory | processes and threads |\n|---|---|---|---|---|---|\n' "$shape" "$n" "$what"
            ours=$(column "$results/netwright.$shape.$n.$what" 1)
            for builder in $builders; do
                file=$results/$builder.$shape.$n.$what
                time=$(column "$file" 1)
                case $builder in
                    netwright) name="**netwright**" ratio="" ;;
                    tutorial) name="bash of tutorials" ;;
                    batch) name="\`ip -batch\`" ;;
                    limit) name="raw netlink" ;;
                esac
                if [ "$builder" != netwright ]; then
                    ratio=$(awk -v a="$time" -v b="$ours" 'BEGIN { if (a > b) printf "%.1f × as fast", a / b; else printf "%.2f × its time", b / a }')
                fi
                printf '| %s | %s | %s | %s | %d MB | %d |\n' "$name" "$(seconds "$time")" "$ratio" "$(seconds "$(column "$file" 2)")" \
                    "$(awk -v k="$(column "$file" 3)" 'BEGIN { printf "%d", k / 1024 + 0.5 }')" "$(awk '{ print $4 }' "$file" | sort -n | head -n 1)"
            done
        done
    done
done

if [ -n "$questions" ]; then
    printf '\n**Questions to star-N**\n\n| N |'
    # shellcheck disable=SC2016 # a backtick of Markdown
    for question in show "doctor --network" why snapshot; do printf ' `%s` |' "$question"; done
    printf '\n|---|---|---|---|---|\n'
    for n in $questions; do
        private ask "$n" "$repetitions" >"$results/asked"
        drain
        printf '| %d |' "$n"
        for question in show doctor why snapshot; do
            grep "^$question" "$results/asked" | sed 's/.*|//' >"$results/one"
            printf ' %s, %s CPU, %d MB |' "$(seconds "$(column "$results/one" 1)")" "$(seconds "$(column "$results/one" 2)")" \
                "$(awk -v k="$(column "$results/one" 3)" 'BEGIN { printf "%d", k / 1024 + 0.5 }')"
        done
        echo
    done
fi
