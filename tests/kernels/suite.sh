#!/bin/bash
# suite.sh NETWRIGHT FOLDER: what run.sh runs inside of a kernel, as root: every suite as root and as a plain user (65534). One line each into
# FOLDER/results: SUITE WHO ok|FAIL|skip WHAT WHY. FOLDER/examples/*.rhai are the examples of the reference. SUITES="scripts kinds" runs only those, WHO=plain only the plain user.
set -uo pipefail
nw=$1 folder=$2 here=$(cd "$(dirname "$0")" && pwd) top=$(cd "$(dirname "$0")/../.." && pwd); results=$folder/results
: "${SUITES:=scripts rhai faults examples kinds vlans host}" "${WHO:=root plain}"; export TMPDIR=/tmp NO_COLOR=1
as() { if [ "$1" = root ]; then shift; "$@"; else shift; setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp "$@"; fi; }
# judge SUITE WHO WHAT: by the exit code, 4 is something that this kernel or machine lacks, and says what
judge() {
  local suite=$1 who=$2 what=$3; shift 3
  as "$who" timeout "${LIMIT:-600}" "$@" >/tmp/said 2>&1; local code=$? said
  said=$(grep -m1 -E 'error|skipped|failed' /tmp/said | cut -c1-160)
  case $code in
    0) if grep -q '^skipped' /tmp/said; then echo "$suite $who skip $what ${said#skipped: }"; else echo "$suite $who ok $what"; fi ;;
    4) echo "$suite $who skip $what $said" ;;
    *) echo "$suite $who FAIL $what exit $code: $said"; sed "s|^|$suite $who $what: |" /tmp/said | tail -30 >>"$folder/failures" ;;
  esac >>"$results"
}
# tests SUITE WHO FOLDER...: the tests of files, by the TAP report
tests() {
  local suite=$1 who=$2; shift 2; rm -f /tmp/tap; local D; D=$(mktemp -d); chmod 777 "$D"
  (cd "$D" && as "$who" timeout "${LIMIT:-900}" "$nw" test --jobs 1 --report "tap=$D/tap" "$@") >/tmp/said 2>&1; local code=$?
  [ -s "$D/tap" ] || { echo "$suite $who FAIL all exit $code: $(grep -m1 error /tmp/said)" >>"$results"; return; }
  awk -v s="$suite $who" '/^ *(not )?ok / { what = $0; sub(/^ *(not )?ok [0-9]* ?-? ?/, "", what); skip = what ~ /# SKIP/
    print s, (skip ? "skip" : $1 == "not" ? "FAIL" : "ok"), what }' "$D/tap" >>"$results"
  [ $code = 0 ] || grep -vE "^(ok|skip) " /tmp/said | sed "s|^|$suite $who: |" >>"$folder/failures"
}
cd "$top" || exit 1
for who in $WHO; do for suite in $SUITES; do
  case $suite in
    scripts) for s in scripts/*.rhai; do case $s in *_test.rhai) judge scripts $who "$s" "$nw" test "$s" ;; *) judge scripts $who "$s" "$nw" run "$s" ;; esac; done ;;
    rhai) tests rhai $who "$top/tests/rhai" ;;
    faults) tests faults $who "$folder/faults" ;;
    examples) for e in "$folder"/examples/*.rhai; do judge examples $who "$(basename "$e" .rhai)" "$nw" run "$e"; done ;;
    kinds) [ $who = root ] && "$here/kinds.sh" "$nw" 2>>"$folder/failures" | sed -E 's/^(ok|FAIL|skip) /kinds root \1 /' >>"$results" ;;
    vlans) [ $who = root ] && "$here/vlans.sh" "$nw" 2>>"$folder/failures" | sed -E 's/^(ok|FAIL|skip) /vlans root \1 /' >>"$results" ;;
    # The runbook on a namespace that plays the machine: made, made again without a change, undone, and nothing is left.
    host) [ $who = root ] && judge host root 05-runbook unshare -nm bash -c 'mount -t tmpfs t /run; mkdir /run/netns; ip link set lo up; set -e; r=scripts/05-runbook.rhai
        "$1" run --host $r; "$1" run --host $r | grep -q "^changed 0,"; "$1" down $r; test -z "$(ip netns list)$(ip -o link | grep -vE " (lo|[a-z0-9_]*(tunl|tnl|sit|gre|gretap|erspan|vti)0)[@:]")"' _ "$nw" ;;
  esac
done; done
# Whatever the last of them said: what failed stands in results.
exit 0
