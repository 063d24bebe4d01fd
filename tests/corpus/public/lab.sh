# lab.sh: what every case of this folder is made of. A case says FROM, TO, build and fix (and check, where a plain try does not show it):
#
#   NN-name.sh build | check | fix | flow | clean
#
# `fix` is the mending that the maintainers or the answer named, `flow` what `netwright why` is asked.
set -eu
n()      { local s=pc-$1; shift; ip netns exec "$s" "$@"; }                       # run in namespace pc-NAME
new()    { local s; for s; do ip netns add "pc-$s"; ip -n "pc-$s" link set lo up; done; }
wire()   { ip link add name "$2" netns "pc-$1" type veth peer name "$4" netns "pc-$3"; ip -n "pc-$1" link set dev "$2" up; ip -n "pc-$3" link set dev "$4" up; }
bridge_() { ip -n "pc-$1" link add "$2" type bridge; ip -n "pc-$1" link set dev "$2" up; }
port()   { ip -n "pc-$1" link set dev "$2" master "$3"; }                             # NS DEV BRIDGE
addr()   { local s=$1 d=$2 a; shift 2; for a; do case $a in *:*) ip -n "pc-$s" addr add "$a" dev "$d" nodad;; *) ip -n "pc-$s" addr add "$a" dev "$d";; esac; done; }
route()  { local s=$1; shift; ip -n "pc-$s" route add "$@"; }
sy()     { local s=$1; shift; n "$s" sysctl -qw "$@"; }
listen() { # NS tcp|udp PORT [ADDR]: a server that answers
  local a=${4:+,bind=$4}
  case $2 in
    tcp) setsid ip netns exec "pc-$1" socat "TCP-LISTEN:$3,fork,reuseaddr$a" EXEC:cat >/dev/null 2>&1 & ;;
    udp) setsid ip netns exec "pc-$1" socat "UDP-RECVFROM:$3,fork,reuseaddr$a" EXEC:cat >/dev/null 2>&1 & ;;
  esac; sleep 0.3; }
hostport() { local t=${1#*/}; H=${t%:*}; P=${t##*:}; H=${H#[}; H=${H%]}; }
check()  { # 0 = the flow works (real packets)
  case $TO in
    tcp/*) hostport "$TO"; timeout 4 ip netns exec "$FROM" bash -c "exec 3<>/dev/tcp/$H/$P" 2>/dev/null ;;
    udp/*) hostport "$TO"; case $H in *:*) H="[$H]";; esac; [ "$(echo hi | timeout 4 ip netns exec "$FROM" socat -t2 - "UDP:$H:$P" 2>/dev/null)" = hi ] ;;
    *)     ip netns exec "$FROM" ping -n -c 2 -i 0.3 -W 2 ${SIZE:+-M do -s $SIZE} "$TO" >/dev/null 2>&1 ;;
  esac; }
clean()  { local s p; for s in $(ip netns list | awk '/^pc-/{print $1}'); do for p in $(ip netns pids "$s"); do kill "$p" 2>/dev/null || :; done; ip netns del "$s"; done; }

play() {
  case ${1:-build} in
    build) clean; build >/dev/null; echo "ask: netwright why $FROM $TO ${OPTS:-}${SIZE:+--size $SIZE}" ;;
    check) check && echo works || { echo fails; exit 1; } ;;
    fix)   fix ;;
    flow)  echo "$FROM $TO ${OPTS:-}${SIZE:+--size $SIZE}" ;;
    clean) clean ;;
    *)     echo "usage: $0 [build|check|fix|flow|clean]"; exit 2 ;;
  esac
}
