#!/bin/bash
# kinds.sh NETWRIGHT: every kind of link and its options of kinds.txt: made, made again, changed, changed again. A verb that says twice that it
# changed something never converges; one that says so and leaves the value as it was lies. One line each: `ok`, `FAIL` or `skip`, and why.
set -uo pipefail
nw=$1 here=$(cd "$(dirname "$0")" && pwd) T=$(mktemp -d); trap 'rm -rf "$T"' EXIT; chmod 755 "$T"
declare -A base=([bridge]='' [dummy]='' [ifb]='' [wireguard]='' [vlan]='link: "eth0", id: 10' [vxlan]='id: 42, dstport: 4789' [macvlan]='link: "eth0"'
  [ipvlan]='link: "eth0"' [vrf]='table: 10' [bond]='' [gre]='remote: "192.0.2.1"' [ip6gre]='remote: "2001:db8::1"' [ipip]='remote: "192.0.2.1"'
  [sit]='remote: "192.0.2.1"' [geneve]='id: 42, remote: "192.0.2.1"'
  [macvtap]='link: "eth0"' [gretap]='remote: "192.0.2.1"' [ip6gretap]='remote: "2001:db8::1"' [erspan]='remote: "192.0.2.1", key: 7, seq: true'
  [ip6tnl]='remote: "2001:db8::1"' [vti]='remote: "192.0.2.1", key: 7' [vti6]='remote: "2001:db8::1", key: 7' [xfrm]='if_id: 42'
  [macsec]='link: "eth0"' [hsr]='slave1: "eth0", slave2: "eth1"' [team]='' [vcan]='' [tun]='')
for kind in bridge dummy ifb wireguard vlan vxlan macvlan ipvlan vrf bond gre ip6gre ipip sit geneve macvtap gretap ip6gretap erspan ip6tnl vti vti6 xfrm macsec hsr team vcan tun; do
  # 4 lines for each option, from line 3 on, so that the trace tells by its lines which of them changed something.
  awk -F' *; *' -v kind="$kind" -v base="${base[$kind]}" '
    BEGIN { nomac = " ipvlan wireguard gre ip6gre ipip sit ifb ip6tnl vti vti6 xfrm hsr vcan tun "; print "let n = netns(\"n\");"; print "veth(n, \"eth0\", n, \"eth0x\"); veth(n, \"eth1\", n, \"eth1x\");" }
    /^#/ || NF < 5 { next }
    $1 == kind || $1 == "*" && kind != "tun" && !(kind == "vcan" && $3 == "mtu") || $1 == "mac" && !index(nomac, " " kind " ") {
      b = $2; if ($1 == "*" || $1 == "mac" || $1 == "ifb") b = base
      for (step = 1; step <= 4; step++) {
        v = step < 3 ? $4 : $5
        printf "try { n.%s(\"l\", #{ %s%s: %s }); } catch (e) { print(`E\t%s\t${e.error}\t${e.message}`); }", kind, (b == "" ? "" : b ", "), $3, v, step
        if (step == 4) printf " try { n.link(\"l\").delete(); } catch { }"
        print ""
      }
      gsub(/"/, "", $3)
      print $3 "\t" $4 "\t" $5 "\t" $6 > "'"$T"'/" kind ".options"
      print "print(\"==\");"
    }' "$here/kinds.txt" >"$T/$kind.rhai"
  [ -s "$T/$kind.options" ] || continue
  "$nw" run --trace "$T/$kind.rhai" >"$T/out" 2>"$T/err"; code=$?
  awk -F'\t' -v kind="$kind" -v code="$code" '
    FILENAME ~ /options$/ { name[++count] = $1; values[count] = $2 " " $3; fixed[count] = $4 == "fixed"; next }
    FILENAME ~ /err$/ { if ($0 ~ /^[+]/ && match($0, /line [0-9]+$/)) { at = substr($0, RSTART + 5); if ($0 !~ /link delete/) changed[at + 0] = 1 } else said = $0; next }
    $1 == "==" { done++; next }
    $1 == "E" { error[done + 1, $2] = $3; text[done + 1, $2] = $4 }
    END {
      for (i = 1; i <= count; i++) {
        pattern = why = ""
        for (step = 1; step <= 4; step++) {
          if ((i, step) in error) { pattern = pattern "E"; if (why == "") why = error[i, step] ": " text[i, step] } else pattern = pattern (((i - 1) * 5 + step + 2) in changed ? 1 : 0)
        }
        what = kind " " name[i] " " values[i]
        if (i > done) print "FAIL " what ": not run (exit " code "): " said
        else if (error[i, 1] == "Unsupported") print "skip " what ": " why
        else if (fixed[i] ? (pattern ~ /^10E[E0]$/ && error[i, 3] == "AlreadyExists") : pattern == "1010") print "ok " what
        else print "FAIL " what ": " pattern " " why
      }
    }' "$T/$kind.options" "$T/err" "$T/out"
done
