#!/bin/bash
# run.sh [KERNEL...]: netwright on the kernels that people have, in the table kernel × suite.
#   KERNEL: 5.10 6.1 6.12 6.18 newest (Debian's, under qemu: vm.sh) or uml-5.10 uml-6.1 uml-6.12 uml-7.2 (User Mode Linux, a process: uml.sh).
#   Without any: the first five where /dev/kvm is, otherwise uml-5.10 uml-6.1 uml-6.12. getkernel.sh fetches what is missing.
#   NETWRIGHT=target/debug/netwright   OUT=folder for what failed   SUITES="scripts rhai faults examples kinds vlans host"   WHO="root plain"   NETWRIGHT_SLOW=5
#   TIMEOUT=seconds for a kernel. One kernel at a time, on one processor, and it gives way to everything else.
# Exit code: 0 when nothing failed; what was skipped is counted by reason.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd); top=$(cd "$here/../.." && pwd)
: "${NETWRIGHT:=$top/target/debug/netwright}" "${OUT:=$(mktemp -d -t kernels.XXXXXX)}"; export KERNELS=${KERNELS:-${XDG_CACHE_HOME:-$HOME/.cache}/netwright/kernels}
[ -x "$NETWRIGHT" ] || { echo "run.sh: no $NETWRIGHT: cargo build" >&2; exit 2; }
kvm=; [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo && kvm=1
if [ $# = 0 ]; then if [ -n "$kvm" ]; then set -- 5.10 6.1 6.12 6.18 newest; else set -- uml-5.10 uml-6.1 uml-6.12; fi; fi
mkdir -p "$OUT"; chmod 755 "$OUT"; cp "$NETWRIGHT" "$OUT/netwright"; nw=$OUT/netwright
mkdir -p "$OUT/examples" "$OUT/faults"
"$nw" doc --format json | python3 -c '
import json, re, sys, os
for entry in json.load(sys.stdin)["entries"]:
    for n, text in enumerate(entry.get("examples") or []):
        name = re.sub(r"[^a-z0-9_.-]+", "-", entry["title"].lower()) + (f"-{n + 1}" if n else "")
        path = os.path.join(sys.argv[1], name + ".rhai")
        while os.path.exists(path): path = path[:-5] + "_.rhai"
        open(path, "w").write(text)
' "$OUT/examples" || exit 2
awk -v lab="$top/tests/faults/lab.rhai" -v to="$OUT/faults" '/^\/\// { next }
  match($0, /^test\("[^"]*"/) { if (f) close(f); f = substr($0, 7, RLENGTH - 7); gsub(/ /, "-", f); f = to "/" f "_test.rhai"; while ((getline line < lab) > 0) print line > f; close(lab) }
  f { print > f }' "$top/tests/faults/tests.rhai"
chmod -R a+rX "$OUT"; code=0
for want; do
  kernel=$("$here/getkernel.sh" "$want") || { code=1; continue; }
  case $kernel in uml-*) vm=uml.sh slow=5 ;; *) vm=vm.sh; slow=20; [ -n "$kvm" ] && slow=3 ;; esac
  share=$OUT/$kernel; rm -rf "$share"; mkdir -p "$share"; cp -r "$OUT/examples" "$OUT/faults" "$share/"; cp "$nw" "$share/"; touch "$share/results"; began=$SECONDS
  KERNEL=$kernel SMP=1 MEM=${MEM:-1536} SHARE=$share TIMEOUT=${TIMEOUT:-7200} NETWRIGHT_SLOW=${NETWRIGHT_SLOW:-$slow} SUITES=${SUITES:-scripts rhai faults examples kinds vlans host} \
    WHO=${WHO:-root plain} ENVS="NETWRIGHT_SLOW SUITES WHO" nice -n 15 "$here/$vm" "$here/suite.sh" "$share/netwright" "$share" >"$share/log" 2>&1 || { tail -3 "$share/log" >&2; echo "- - FAIL the-kernel did not come to its end" >>"$share/results"; }
  rm -rf "$share/examples" "$share/faults" "$share/netwright"
  grep -q ' FAIL ' "$share/results" && code=1
  awk -v kernel="$kernel" -v took=$((SECONDS - began)) '{ k = $1 " " $2; if (!(k in seen)) { seen[k] = ++count; key[count] = k } n[k, $3]++
      if ($3 == "skip") { why = $0; sub(/^[^ ]+ [^ ]+ skip [^ ]+ ?/, "", why); gsub(/`[^`]*` in `[^`]*`: /, "", why); reasons[k " | " why]++ } }
    END { for (i = 1; i <= count; i++) { k = key[i]; split(k, p, " "); printf "| %s | %s | %s | %d | %d | %d |\n", kernel, p[1], p[2], n[k, "ok"], n[k, "FAIL"], n[k, "skip"] }
      printf "%s took %d s\n", kernel, took > "/dev/stderr"; for (r in reasons) printf "  skipped %d: %s\n", reasons[r], r > "/dev/stderr" }' "$share/results"
  grep ' FAIL ' "$share/results" >&2
done
echo "what failed, whole: $OUT/*/failures" >&2
exit $code
