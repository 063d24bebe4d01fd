#!/usr/bin/env bash
# repeat.sh NETWRIGHT [TIMES [PATTERN]]: asks of every public case that many times (20) on one machine, and says whether the answers are alike: verdict,
# code, namespace, leg and how it is known. Best on a busy machine. Needs root, socat. Exit 0 when all are alike.
set -u
NW=$(realpath "$1"); TIMES=${2:-20} PAT=${3:-.} D=$(realpath "$(dirname "$0")/public")
[ "${INSIDE:-}" ] || { export INSIDE=1; exec unshare -m -n -p -f --kill-child bash -c 'mount --make-rprivate /; mount -t tmpfs t /run; mkdir -p /run/netns /run/lock; mount --bind /run/netns /run/netns; mount --make-shared /run/netns; mount -t sysfs s /sys; mount -t proc p /proc; ip link set lo up; exec "$0" "$@"' "$0" "$@"; }
alike=0 all=0
for f in "$D"/[0-9]*-*.sh; do
  id=$(basename "$f"); id=${id%%-*}; [[ $id =~ $PAT ]] || continue
  "$f" build >/dev/null 2>&1; sleep 0.5
  if "$f" check >/dev/null 2>&1; then echo "$id: the flow works: the case does not hold here"; "$f" clean >/dev/null 2>&1; continue; fi
  read -ra A <<<"$("$f" flow)"; all=$((all+1))
  answers=$(for ((n = 0; n < TIMES; n++)); do timeout 60 "$NW" why --json "${A[@]}" 2>/dev/null | python3 -c 'import json,sys
d=json.load(sys.stdin); k=d.get("culprit") or {}; print(d.get("verdict"), k.get("code","-"), k.get("netns","-"), k.get("leg","-"), d.get("confidence"))' 2>/dev/null || echo "no answer"; done | sort | uniq -c | sort -rn)
  if [ "$(wc -l <<<"$answers")" = 1 ]; then alike=$((alike+1)); echo "$id: $answers"; else printf '%s DIFFERS:\n%s\n' "$id" "$answers"; fi
  "$f" clean >/dev/null 2>&1
done
echo "$alike of $all cases got $TIMES answers that are alike"
[ $alike = $all ]
