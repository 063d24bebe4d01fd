#!/usr/bin/env bash
# ask.sh CORPUS NETWRIGHT NAME…: for each fault or decoy builds the lab, injects it, asks `why` as text and as JSON, applies what it prints,
# and tries the flow again. One line per name:
#
#   RESULT name code code-of-json verdict confidence graded mended
#
# `code` is `reachable` or `inconclusive` where nothing is blamed; `graded` is yes when the text names what `match` asks for; `mended` is
# yes or no after `--fix --yes` ran the printed commands, and `advice` where none is printed. Run it in network and mount namespaces of its own.
set -u
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && ip link set lo up
corpus=$1; netwright=$2; shift 2
field() { python3 -c '
import json, sys
doc = json.load(sys.stdin)
culprit = doc["culprit"] or {}
print(culprit.get("code") or doc["verdict"], doc["verdict"], doc["confidence"], len(culprit.get("fix", [])))'; }
settle() { # until the services listen, and for IPv6 until no link-local address is tentative: a lab that starts is slow without any fault
  local n
  for _ in $(seq 100); do
    { for n in dx-a dx-b dx-c dx-wan; do ip netns exec "$n" ss -Hltn 'sport = 80' | grep -q . || echo "$n"; done
      [ "$1" = v4 ] || for n in $(ip netns list | cut -d' ' -f1); do ip -n "$n" -6 addr show tentative; done
    } | grep -q . || return 0
    sleep 0.1
  done
}
fixed=$(mktemp)
trap 'rm -f "$fixed"' EXIT
for name in "$@"; do
  "$corpus" setup >/dev/null 2>&1
  case $("$corpus" flow "$name") in *:*) settle v6;; *) settle v4;; esac
  "$corpus" inject "$name" >/dev/null 2>&1
  read -r from proto to more <<<"$("$corpus" flow "$name")"
  size=; port=
  for word in $more; do case $word in size=*) size="--size ${word#*=}";; *=*) ;; *) port=$word;; esac; done
  [ "$proto" = icmp ] || case $to in *:*) to="$proto/[$to]:$port";; *) to="$proto/$to:$port";; esac
  text=$("$netwright" why "$from" "$to" $size 2>&1)
  code=$(head -n 1 <<<"$text" | sed -n 's/^[a-z]*\[\([A-Z0-9_]*\)\].*/\1/p')
  case $text in ok:*) code=reachable;; inconclusive:*) code=inconclusive;; esac
  { read -r json verdict confidence commands; } <<<"$("$netwright" why "$from" "$to" $size --json 2>/dev/null | field)"
  graded=yes; mended=advice
  case $name in decoy:*) ;; *) "$corpus" grade "$name" <<<"$text" >/dev/null || graded=no;; esac
  if [ "${commands:-0}" != 0 ]; then
    mended=no
    # What `--fix` leaves to a person (it takes a guard's entry away, say) is run as it is printed, by a shell as a person would.
    "$netwright" why "$from" "$to" $size --fix --yes >"$fixed" 2>&1
    ! grep -q '^not run: ' "$fixed" || sed -n 's/^not run: \(.*\)   (.*)$/\1/p' "$fixed" | sh -e >/dev/null 2>&1
    "$corpus" check "$name" >/dev/null 2>&1 && mended=yes
  fi
  echo "RESULT $name ${code:-none} ${json:-none} ${verdict:-none} ${confidence:-none} $graded $mended"
  [ -z "${ASK_TEXT:-}" ] || { echo "$text" >"$ASK_TEXT/$name.txt"; }
  "$corpus" teardown >/dev/null 2>&1
done
