#!/bin/sh
# Stands for a tool of netwright's: runs the real one and spoils what it says, as /run/spoil.conf tells: MODE, and how often of 100.
#   edit: cut off, words replaced, parts missing or twice   garbage: something else   code: another exit code   nothing: says yes, does nothing
name=${0##*/}
read -r mode often < /run/spoil.conf
real=/run/real/$name
random() { od -An -N4 -tu4 /dev/urandom | tr -d ' '; }
[ $(($(random) % 100)) -lt "$often" ] || exec "$real" "$@"
edit() {
    awk -v seed="$(random)" '
    BEGIN { srand(seed); n = split("null|true|-1|99999999999999999999|1e999|\"\"|{}|[]|[[[[|0x|255.255.255.255|fe80::1%eth0|default|10.0.0.0/33|\\|\"|Command failed -:1|-A FORWARD -j|*filter|COMMIT|[0:0]|table ip x {|dev|\033[31m|all|4294967296|:INPUT ACCEPT [0:0]|\377\376|", token, "|") }
    { line[NR] = $0; length_of[NR] = length($0); total += length($0) }
    END {
        for (edits = 1 + int(rand() * 3); edits > 0 && total > 0; edits--) {
            at = int(rand() * total); for (l = 1; l < NR && at >= length_of[l]; l++) at -= length_of[l]
            before = substr(line[l], 1, at); after = substr(line[l], at + 1); kind = int(rand() * 5)
            if (kind == 0) { NR = l; line[l] = before }
            else if (kind == 1) line[l] = before token[1 + int(rand() * n)] after
            else if (kind == 2) line[l] = before substr(after, 1 + int(rand() * 40))
            else if (kind == 3) line[l] = before substr(after, 1, int(rand() * 200)) after
            else { if (match(after, /[, }]/)) line[l] = before token[1 + int(rand() * n)] substr(after, RSTART) }
        }
        for (l = 1; l <= NR; l++) print line[l]
    }'
}
case "$mode $*" in
    nothing*-batch* | garbage*-batch* | code*-batch*) exec "$real" "$@" ;;
    nothing*) exit 0 ;;
    garbage*)
        case $(($(random) % 3)) in
            0) head -c $(($(random) % 3000)) /dev/urandom ;;
            1) echo '<!DOCTYPE html><html><body>404</body></html>' ;;
            *) "$real" --help 2>&1 ;;
        esac
        exit $(($(random) % 4 == 0 ? $(random) % 256 : 0)) ;;
    # A session of many commands: a word of some answers is another one.
    edit*-batch*)
        token=$(($(random) % 2)) of=$(($(random) % 9 + 1))
        "$real" "$@" | sed -u "/[0-9]/ { n; n; s/[0-9]*$of[0-9]*/$token/; }"
        exit ;;
esac
said=$(mktemp /run/spoil.XXXXXX)
"$real" "$@" > "$said"; code=$?
if [ "$mode" = edit ]; then edit < "$said"; else cat "$said"; code=$(($(random) % 256)); fi
rm -f "$said"
exit $code
