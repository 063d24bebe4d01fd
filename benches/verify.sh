#!/usr/bin/env bash
# The numbers of `netwright test` and `reachability`, measured by hand: benches/verify.sh [PATH-OF-NETWRIGHT]
# Expected on two cores: 870 pairs within 0.3 s, a trivial file within 150 ms, 100 files without a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
netwright=$(realpath "${1:-target/release/netwright}")
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT

"$netwright" run benches/matrix.rhai

now() { date +%s%N; }
echo 'test("one", || assert(1 + 1 == 2));' >"$lab/one_test.rhai"
best=999999
for _ in 1 2 3 4 5 6 7 8 9 10; do
    begun=$(now)
    "$netwright" test "$lab/one_test.rhai" 2>/dev/null
    took=$((($(now) - begun) / 1000000))
    [ "$took" -lt "$best" ] && best=$took
done
echo "a file with one trivial test, best of 10: $best ms"
rm "$lab/one_test.rhai"

for n in $(seq 1 100); do
    cat >"$lab/f${n}_test.rhai" <<EOF
let a = netns("a");
let b = netns("b");
let ends = veth(a, "eth0", b, "eth0");
ends[0].addr("10.0.0.1/24").up();
ends[1].addr("10.0.0.2/24").up();
test("file $n has a network of its own", || {
    expect(a).reaches(b);
    assert_eq(netns_list().len(), 2);
});
EOF
done
begun=$(now)
"$netwright" test "$lab" 2>&1 | tail -1
echo "100 files as many at once as there are cores: $((($(now) - begun) / 1000000)) ms"
begun=$(now)
"$netwright" test --jobs 100 "$lab" 2>&1 | tail -1
echo "100 files all at once: $((($(now) - begun) / 1000000)) ms"
