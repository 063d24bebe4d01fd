# CASES commands with tools that lie (stub.sh), on a network in which 10.0.0.3 is refused. Says what must not be, and how often what was tried.
sysctl -qw net.ipv6.conf.default.accept_dad=0
ip link add br0 type bridge; ip addr add 10.0.0.254/24 dev br0; ip link set br0 up
for i in a b c; do
    ip netns add $i; ip -n $i link set lo up; ip link add v$i type veth peer name eth0 netns $i; ip link set v$i master br0 up; ip -n $i link set eth0 up
done
ip -n a addr add 10.0.0.1/24 dev eth0; ip -n b addr add 10.0.0.2/24 dev eth0; ip -n c addr add 10.0.0.3/24 dev eth0
for i in a b c; do ip -n $i route add default via 10.0.0.254; done
ip netns add w; ip link add vw type veth peer name eth0 netns w; ip addr add 198.51.100.1/24 dev vw; ip link set vw up; ip -n w link set lo up
ip -n w addr add 198.51.100.2/24 dev eth0; ip -n w link set eth0 up; ip -n w route add default via 198.51.100.1; sysctl -qw net.ipv4.ip_forward=1
iptables -A FORWARD -s 10.0.0.3 -j REJECT; iptables -t nat -A POSTROUTING -s 10.0.0.0/24 -o vw -j MASQUERADE; ip route add unreachable 203.0.113.0/24
cat > run.rhai <<'R'
let br = host().bridge("fz0").addr("10.50.0.254/24").up();
let n = netns("fzn"); n.plug("eth0", br).addr("10.50.0.1/24"); n.route("default", "10.50.0.254");
host().sysctl("net.ipv4.conf.all.log_martians", 1); host().iptables("-A FORWARD -s 10.50.0.0/24 -j ACCEPT"); host().route("10.51.0.0/16", "10.50.0.1");
host().link("vb").mtu(1450); host().rule(#{ from: "10.50.0.0/24", table: 150 });
R
# What the script says, asked of the real tools.
truth() {
    ip addr show dev fz0 | grep -q 10.50.0.254/24 || echo address; ip -n fzn addr show dev eth0 | grep -q 10.50.0.1/24 || echo plugged
    ip -n fzn route | grep -q 'via 10.50.0.254' || echo default; sysctl -n net.ipv4.conf.all.log_martians | grep -q 1 || echo sysctl
    iptables -S FORWARD | grep -q 10.50.0.0/24 || echo iptables; ip route | grep -q '10.51.0.0/16 via 10.50.0.1' || echo route
    ip link show dev vb | grep -q 'mtu 1450' || echo mtu; ip rule | grep -q 10.50.0.0/24 || echo rule
} 2> /dev/null
clean() {
    for run in $(ls /run/netwright/runs 2>/dev/null); do "$NETWRIGHT" down $run; "$NETWRIGHT" down --forget $run; done; "$NETWRIGHT" gc
    ip link del fz0; ip netns del fzn; ip link del fzn-eth0; sysctl -qw net.ipv4.conf.all.log_martians=0; ip route del 10.51.0.0/16; ip link set vb mtu 1500
    while ip rule del from 10.50.0.0/24 table 150; do :; done; while iptables -D FORWARD -s 10.50.0.0/24 -j ACCEPT -m comment --comment netwright; do :; done
    rm -rf /run/netwright
} > /dev/null 2>&1
# The stub lies over the real tools, which are in /run/real: not every command takes `--tool`.
mkdir /run/real; tools="ip bridge tc sysctl iptables ip6tables iptables-save ip6tables-save nft"; cp "$STUB" /run/stub; chmod +x /run/stub
for tool in $tools; do at=$(command -v $tool) && cp -L "$at" /run/real/$tool; done
for tool in $tools; do at=$(command -v $tool) && at=$(readlink -f "$at") && { cmp -s "$at" /run/stub || mount --bind /run/stub "$at"; }; done
PATH=/run/real:$PATH; hash -r
commands=("run --host --command-timeout 10s run.rhai" "why c 198.51.100.2" "run --host --command-timeout 10s run.rhai" "show --json" "why --json c 198.51.100.2" "why a 198.51.100.2" "show" "doctor --network --json"
    "why --no-probe --json a 10.0.0.2" "why a 203.0.113.1" "gc --scan --dry-run" "show --format svg" "run --host --command-timeout 10s run.rhai" "why --json a tcp/10.0.0.2:81")
modes=(edit edit edit garbage code nothing); often=(10 30 100)
for ((i = 0; i < CASES; i++)); do
    c=${commands[$((i % ${#commands[@]}))]} mode=${modes[$((RANDOM % 6))]} share=${often[$((RANDOM % 3))]}
    echo "$mode $share" > /run/spoil.conf
    timeout -s KILL 300 "$NETWRIGHT" $c > out 2> err; code=$?
    bad=
    case $code in
        137) bad="hangs" ;;
        70 | 101 | 13?) bad="dies" ;;
        0) case $c in
            run*) left=$(truth | tr '\n' ' '); [ -z "$left" ] || bad="false success: $left" ;;
            why*' c '*) bad="says that a refused packet arrives" ;;
        esac ;;
    esac
    grep -q panicked err && bad="panics"
    case $c in *--json*) [ ! -s out ] || { printf 'JSON '; tr -d '\n' < out; echo; } ;; esac
    [ -z "$bad" ] || { echo "BAD: $bad: $c ($mode $share, exit $code)"; head -c 600 out; head -c 600 err; echo; }
    echo "${c%% *} $code" >> counts
    case $c in run*) clean ;; esac
done
echo "$CASES with tools that lie: $(sort counts | uniq -c | awk '{ printf "%s %s -> %s, ", $1, $2, $3 }')"
