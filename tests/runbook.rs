//! A runbook for a machine that carries traffic, from end to end: a machine with a bridge as Docker builds it, a VXLAN, policy routing, both kinds of
//! iptables and a table of nft is copied; a runbook that changes its NAT is planned, run, checked, broken by hand and mended; its plain shell does the
//! same where there is no netwright.

mod common;

use std::fmt::Write as _;

use common::{Ran, is_root, on_a_machine_of_its_own};

const MACHINE: &str = r#"
set -u
mount -t tmpfs none /run; mkdir /run/netns; ip link set lo up
ip netns add isp
ip link add ens5 address 52:54:00:aa:bb:01 type veth peer name rtr address 52:54:00:00:00:01 netns isp
ip -n isp link set lo up; ip -n isp link set rtr up; ip -n isp address add 198.51.100.1/24 dev rtr; ip -n isp address add 203.0.113.9/32 dev lo
ip link set ens5 up; ip address add 198.51.100.7/24 dev ens5
ip route add default via 198.51.100.1 dev ens5 proto dhcp metric 100
ip neigh add 198.51.100.1 lladdr 52:54:00:00:00:01 dev ens5 nud permanent
# Docker: its bridge, two containers, its chains, a published port.
ip link add docker0 address 02:42:00:00:00:01 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up
for i in 1 2; do
    ip netns add c$i; ip link add veth$i address 02:42:00:00:01:0$i master docker0 type veth peer name eth0 address 02:42:ac:11:00:0$i netns c$i; ip link set veth$i up
    ip -n c$i link set lo up; ip -n c$i address add 172.17.0.1$i/16 dev eth0; ip -n c$i link set eth0 up
    ip -n c$i route add default via 172.17.0.1
done
ip link set dev veth1 type bridge_slave hairpin on
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.ens5.rp_filter=2
iptables-restore <<'R'
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.11/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 172.17.0.11/32 -d 172.17.0.11/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.11:80
COMMIT
R
# A VXLAN to the next rack, with an entry for its far end.
ip link add vx7 address 02:76:00:00:00:07 type vxlan id 7 dstport 4789 local 198.51.100.7 dev ens5
bridge fdb append 00:00:00:00:00:00 dev vx7 dst 198.51.100.1
ip address add 10.7.0.1/24 dev vx7; ip link set vx7 up
# Two tables of policy routing.
ip netns add lan; ip link add lan0 address 02:11:00:00:00:01 type veth peer name far0 address 02:11:00:00:00:02 netns lan
ip -n lan link set far0 up; ip -n lan address add 10.20.0.254/24 dev far0; ip address add 10.20.0.1/24 dev lan0; ip link set lan0 up
ip route add 10.99.0.0/16 via 10.20.0.254 table 120; ip rule add from 10.20.0.0/24 lookup 120 priority 1000
ip route add default via 172.17.0.11 table 121; ip rule add fwmark 0x1/0xff lookup 121 priority 1001
# The other backend, and nft of its own.
iptables-legacy -t mangle -A PREROUTING -i ens5 -p tcp --dport 8443 -j MARK --set-mark 1
nft -f - <<'NFT'
table inet lab {
    set known { type ipv4_addr; elements = { 10.1.1.1, 10.1.1.2 }; }
    chain input {
        type filter hook input priority 10; policy accept;
        ip saddr @known counter drop
        tcp dport { 22, 80, 8080 } accept
    }
}
NFT
tc qdisc replace dev veth1 root tbf rate 1mbit burst 32k latency 50ms
# A card of which nobody sees the other end.
ip link add ens9 address 52:54:00:aa:bb:09 type veth peer name x9
unshare -n sleep 60 & hidden=$!
until [ "$(readlink /proc/$hidden/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set x9 netns $hidden; nsenter --net=/proc/$hidden/ns/net ip link set x9 up
exec 9</proc/$hidden/ns/net; kill $hidden; wait $hidden 2>/dev/null
ip link set ens9 mtu 1400 up; ip address add 192.168.9.7/24 dev ens9; ip route add 10.88.0.0/16 via 192.168.9.1 dev ens9
cd "$(mktemp -d)"; chmod 755 .
"#;

const RUNBOOK: &str = r#"
cat >runbook.rhai <<'R'
// The shop moves: its port leads to the second container, which may be reached from the office only, and leaves by an address of its own.
let h = host();
let uplink = arg("uplink", "ens5");
h.link(uplink).addr("198.51.100.8/32");
h.sysctl("net.ipv4.conf.docker0.route_localnet", 1);
h.iptables("-t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.11:80");
h.iptables("-t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.12:80");
h.iptables("-t nat -I POSTROUTING 1 -s 172.17.0.12/32 ! -o docker0 -j SNAT --to-source 198.51.100.8");
h.iptables("-I DOCKER-USER 1 -s 10.99.0.0/16 -d 172.17.0.12/32 -j ACCEPT");
h.iptables("-A DOCKER -d 172.17.0.12/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT");
h.iptables("-P FORWARD DROP");
h.rule(#{ from: "172.17.0.12/32", table: 120, priority: 990 });
h.route("10.98.0.0/16", #{ via: "10.20.0.254", table: 120 });
h.nft("add rule inet lab input ip saddr 10.98.0.0/16 tcp dport 8080 accept");
netns("c2").route("10.98.0.0/16", "172.17.0.1");
h.link("veth2").master(h.link("docker0")).mtu(1450).up();
expect(netns("c1")).reaches("172.17.0.12");
expect(h).reaches("198.51.100.1");
R
"#;

/// What is broken by hand: a name, how, what `--check` says of it, and the command that it says mends it.
const BREAKAGES: [(&str, &str, &str, &str); 15] = [
    (
        "dnat",
        "iptables -t nat -D DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 $MARKED -j DNAT --to-destination 172.17.0.12:80",
        "--to-destination 172.17.0.12:80: not there, expected",
        "runbook.rhai:7  iptables -w 5 -t nat -A DOCKER",
    ),
    (
        "old-dnat",
        "iptables -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.11:80",
        "--to-destination 172.17.0.11:80: there, and not expected",
        "runbook.rhai:6  iptables -w 5 -t nat -D DOCKER",
    ),
    (
        "snat",
        "iptables -t nat -D POSTROUTING 1",
        "-j SNAT --to-source 198.51.100.8: not there, expected",
        "runbook.rhai:8  iptables -w 5 -t nat -I POSTROUTING 1",
    ),
    (
        "accept",
        "iptables -D DOCKER -d 172.17.0.12/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 $MARKED -j ACCEPT",
        "-t filter -A DOCKER -d 172.17.0.12/32",
        "runbook.rhai:10  iptables -w 5 -t filter -A DOCKER",
    ),
    (
        "user",
        "iptables -D DOCKER-USER 1",
        "-A DOCKER-USER -s 10.99.0.0/16",
        "runbook.rhai:9  iptables -w 5 -t filter -I DOCKER-USER 1",
    ),
    (
        "policy",
        "iptables -P FORWARD ACCEPT",
        "chain of iptables-nft filter FORWARD: not there, expected DROP",
        "runbook.rhai:11  iptables -w 5 -t filter -P FORWARD DROP",
    ),
    (
        "address",
        "ip address del 198.51.100.8/32 dev ens5",
        "address ens5 198.51.100.8/32: not there, expected",
        "runbook.rhai:4  ip address add 198.51.100.8/32 dev ens5",
    ),
    (
        "setting",
        "sysctl -qw net.ipv4.conf.docker0.route_localnet=0",
        "sysctl net.ipv4.conf.docker0.route_localnet: found 0, expected 1",
        "runbook.rhai:5  sysctl -w net.ipv4.conf.docker0.route_localnet=1",
    ),
    (
        "rule",
        "ip rule del priority 990",
        "policy rule 990: from 172.17.0.12 lookup 120: not there, expected",
        "runbook.rhai:12  ip -4 rule add",
    ),
    (
        "route",
        "ip route del 10.98.0.0/16 table 120",
        "route unicast 10.98.0.0/16 via 10.20.0.254 dev lan0 table 120",
        "runbook.rhai:13  ip -4 route add 10.98.0.0/16",
    ),
    (
        "route-of-pod",
        "ip -n c2 route del 10.98.0.0/16",
        "c2: route unicast 10.98.0.0/16 via 172.17.0.1 dev eth0",
        "runbook.rhai:15  ip -n c2 -4 route add 10.98.0.0/16",
    ),
    (
        "mtu",
        "ip link set veth2 mtu 1500",
        "link veth2 mtu: found 1500, expected 1450",
        "runbook.rhai:16  ip link set dev veth2 mtu 1450",
    ),
    (
        "state",
        "ip link set veth2 down",
        "link veth2 state: found down, expected up",
        "runbook.rhai:16  ip link set dev veth2 up",
    ),
    (
        "nft",
        "nft delete rule inet lab input handle $(nft -a list chain inet lab input | sed -n 's/.*10.98.*handle //p')",
        "nft table inet lab chain input ip saddr 10.98.0.0/16 tcp dport 8080 accept: not there, expected",
        "runbook.rhai:14  nft",
    ),
    (
        "port",
        "ip link set veth2 nomaster",
        "link veth2 master: found -, expected docker0",
        "runbook.rhai:16  ip link set dev veth2 master docker0",
    ),
];

/// Runs a shell script on such a machine.
fn on_the_machine(script: &str) -> Ran {
    on_a_machine_of_its_own(&format!("{MACHINE}\nMARKED='-m comment --comment netwright'\n{RUNBOOK}{script}"), &[])
}

#[test]
fn a_copy_differs_from_its_machine_only_in_what_is_said() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        "$NETWRIGHT" snapshot -o before.json 2>/dev/null
        # The copy is read by a netwright that runs in it.
        : >copy.json; echo "host().run([\"$NETWRIGHT\", \"snapshot\", \"-o\", \"copy.json\"]);" >look.rhai
        echo "== on"; "$NETWRIGHT" run --on before.json --keep . look.rhai 2>&1; echo "exit $?"
        echo "== differs"; "$NETWRIGHT" diff before.json copy.json
        echo "== unchanged"; "$NETWRIGHT" diff before.json this; echo "exit $?"
        grep -c '"part":"qdisc"\|DOCKER-ISOLATION\|"vxlan"\|table inet lab' before.json copy.json
        "#,
    );
    let on = ran.part("on");
    let named: Vec<&str> = on.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(matches!(named.as_slice(), [one] if one.contains("the other end of the veth ens9")), "{on}");
    assert!(on.ends_with("exit 0"), "{on}");
    let differs = ran.part("differs");
    let mut lines = differs.lines();
    assert_eq!(lines.next(), Some("host"), "{differs}");
    // The far side of the stand-in is there when one looks from inside.
    let world = |line: &str| line == "/run/netwright/world-0";
    assert!(lines.take_while(|line| !world(line)).all(|line| line.contains(" ens9 ")), "{differs}");
    assert_eq!(differs.lines().filter(|line| !line.starts_with(' ')).count(), 2, "{differs}");
    let unchanged = ran.part("unchanged");
    let mut lines = unchanged.lines();
    assert_eq!(lines.next(), Some("exit 0"), "{unchanged}");
    let counts: Vec<&str> = lines.filter_map(|line| line.rsplit(':').next()).collect();
    assert!(counts.len() == 2 && counts[0] == counts[1] && counts[0] != "0", "{unchanged}");
}

#[test]
fn a_runbook_is_planned_run_checked_broken_and_mended() {
    if !is_root() {
        return;
    }
    let mut script = String::from(
        r#"
        echo "== plan"; "$NETWRIGHT" plan --host runbook.rhai 2>&1; echo "exit $?"
        echo "== run"; "$NETWRIGHT" run --host runbook.rhai 2>&1; echo "exit $?"
        echo "== nothing"; "$NETWRIGHT" plan --host runbook.rhai 2>&1; echo "exit $?"
        echo "== check"; "$NETWRIGHT" run --host --check runbook.rhai 2>&1; echo "exit $?"
        "$NETWRIGHT" snapshot -o after.json 2>/dev/null
        broken() {
            echo "== $1"; eval "$2" || echo "cannot break"; "$NETWRIGHT" run --host --check runbook.rhai 2>&1; echo "exit $?"
            "$NETWRIGHT" run --host runbook.rhai >said 2>&1 || cat said
            "$NETWRIGHT" run --host --check runbook.rhai 2>&1; echo "mended $?"; "$NETWRIGHT" diff after.json this
        }
        "#,
    );
    for (name, breakage, ..) in BREAKAGES {
        let _ = writeln!(script, "broken {name} '{}'", breakage.replace('\'', r"'\''"));
    }
    let ran = on_the_machine(&script);
    let plan = ran.part("plan");
    for line in [
        "iptables -w 5 -t nat -D DOCKER '!' -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.11:80",
        "ip link set dev veth2 mtu 1450",
        "  ~ sysctl net.ipv4.conf.docker0.route_localnet: 0 → 1",
        "  + nft table inet lab chain input ip saddr 10.98.0.0/16 tcp dport 8080 accept",
        "exit 1",
    ] {
        assert!(plan.lines().any(|have| have == line), "{line}: {plan}");
    }
    for so in ["iptables -w 5 -t filter -P", "ip link set dev veth2 master", "ip link set dev veth2 up"] {
        assert!(!plan.lines().any(|line| line.starts_with(so)), "this is so already: {so}: {plan}");
    }
    let run = ran.part("run");
    assert!(run.contains("12 changed, ") && run.contains("  line 16: ip link set dev veth2 mtu 1450"), "{run}");
    assert!(run.ends_with("exit 0"), "{run}");
    assert!(ran.part("nothing").ends_with("exit 0"), "{ran:#?}");
    let check = ran.part("check");
    assert!(check.starts_with("ok: the machine is as the script says") && check.ends_with("exit 0"), "{check}");
    for (name, _, difference, command) in BREAKAGES {
        let said = ran.part(name);
        assert!(said.starts_with("drift: ") && said.contains("\nexit 1\n"), "{name}: {said}");
        assert!(said.contains(difference) && said.contains(command), "{name}: {said}");
        assert!(said.ends_with("ok: the machine is as the script says\nmended 0"), "{name}: {said}");
    }
}

#[test]
fn its_plain_shell_does_the_same_where_there_is_no_netwright() {
    if !is_root() {
        return;
    }
    // The rehearsal is on a copy, and the machine is another one that was built alike.
    let mut script = String::from(
        r#"
        "$NETWRIGHT" snapshot -o before.json 2>/dev/null
        "$NETWRIGHT" emit --on before.json -o out runbook.rhai 2>emitted || cat emitted
        command -v netwright && echo "there is a netwright here"; grep -il netwright out/up.sh >/dev/null || echo "not even its name"
        grep -n "bin/netwright\|^ *netwright " out/*.sh
        sh out/up.sh 2>said || cat said; sh out/up.sh 2>&1 | grep -v "changed 0,"; "$NETWRIGHT" snapshot -o up.json 2>/dev/null
        sh out/verify.sh >tap || grep "^not ok" tap
        broken() {
            echo "== $1"; eval "$2" || echo "cannot break"; sh out/verify.sh >tap; echo "exit $?"; grep "^not ok" tap
            sh out/up.sh 2>said || cat said; sh out/verify.sh >tap; echo "mended $?"; "$NETWRIGHT" diff up.json this
        }
        "#,
    );
    for (name, breakage, ..) in BREAKAGES {
        let _ = writeln!(script, "broken {name} '{}'", breakage.replace('\'', r"'\''"));
    }
    script.push_str(
        r#"
        echo "== down"; sh out/down.sh 2>said || cat said; "$NETWRIGHT" diff before.json this; echo "exit $?"
        "$NETWRIGHT" run --host runbook.rhai >/dev/null 2>said || cat said
        echo "== same"; "$NETWRIGHT" diff up.json this; echo "exit $?"
        "#,
    );
    let ran = on_the_machine(&script);
    assert!(ran.stdout.starts_with("== dnat\n"), "{ran:#?}");
    for (name, ..) in BREAKAGES {
        let said = ran.part(name);
        assert!(said.starts_with("exit 1\nnot ok ") && said.ends_with("\nmended 0"), "{name}: {said}");
    }
    // What the machine had before and somebody broke, up.sh has made: it goes back to what up.sh found.
    let made = ["link veth2 master", "port veth2 ", "link veth2 state", "filter FORWARD"];
    let down = ran.part("down");
    let rest: Vec<&str> = down.lines().filter(|line| !made.iter().any(|one| line.contains(one))).collect();
    assert_eq!(rest, ["host", "exit 1"], "{down}");
    assert_eq!(ran.part("same"), "exit 0", "{ran:#?}");
}

/// nft and tc in their own words: drift is named, and plain shell finds and mends the same.
#[test]
fn tables_of_nft_and_queueing_disciplines_are_checked_and_handed_on() {
    if !is_root() {
        return;
    }
    let breakages = [
        "ip netns exec r nft delete element inet lab known '{ 10.1.1.1 }'",
        "ip netns exec r nft add rule inet lab input accept",
        "ip netns exec r nft delete table inet lab",
        "nft flush chain inet mine input",
        "nft delete element inet mine bad '{ 10.9.9.9 }'",
        "nft delete table inet mine",
        "tc qdisc del dev to-r root",
        "tc qdisc replace dev to-r root tbf rate 20mbit burst 32k latency 50ms",
    ];
    let mut script = String::from(
        r#"
        cat >verbs.rhai <<'R'
let h = host();
let r = netns("r");
veth(h, "to-r", r, "eth0");
h.link("to-r").addr("10.3.0.1/24").up();
r.link("eth0").addr("10.3.0.2/24").up();
r.nft_table("inet lab", `
    set known { type ipv4_addr; elements = { 10.1.1.1, 10.1.1.2 }; }
    chain input { type filter hook input priority 0; policy accept; ip saddr @known drop; }
`);
h.nft("add table inet mine");
h.nft("add chain inet mine input { type filter hook input priority 5; policy accept; }");
h.nft("add set inet mine bad { type ipv4_addr; }");
h.nft("add element inet mine bad { 10.9.9.9 }");
h.nft("add rule inet mine input ip saddr @bad counter drop");
h.tc("qdisc add dev to-r root tbf rate 10mbit burst 32k latency 50ms");
R
        "$NETWRIGHT" snapshot -o before.json 2>/dev/null
        "$NETWRIGHT" emit --strict -o out verbs.rhai 2>emitted || cat emitted
        sh out/up.sh 2>said || cat said; sh out/up.sh 2>&1; "$NETWRIGHT" run --host --check verbs.rhai; echo "checked $?"
        "$NETWRIGHT" snapshot -o up.json 2>/dev/null
        broken() {
            echo "== $1"; eval "$1" || echo "cannot break"; "$NETWRIGHT" run --host --check verbs.rhai >said 2>&1; echo "check $?"
            grep -c '^  verbs.rhai:' said; sh out/verify.sh | grep -q "^not ok" || echo "verify finds nothing"
            sh out/up.sh 2>said || cat said; sh out/verify.sh | grep "^not ok"; "$NETWRIGHT" diff up.json this
        }
        "#,
    );
    for breakage in breakages {
        let _ = writeln!(script, "broken '{}'", breakage.replace('\'', r"'\''"));
    }
    script.push_str(
        "echo '== down'; sh out/down.sh 2>said || cat said; \"$NETWRIGHT\" diff before.json this; echo \"exit $?\"\n",
    );
    let ran = on_the_machine(&script);
    let begun = "changed 0, already so 14\nok: the machine is as the script says\nchecked 0\n== ";
    assert!(ran.stdout.starts_with(begun), "{ran:#?}");
    for breakage in breakages {
        let said = ran.part(breakage);
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some("check 1"), "{breakage}: {said}");
        assert!(lines.next().is_some_and(|count| count != "0") && lines.next().is_none(), "{breakage}: {said}");
    }
    assert_eq!(ran.part("down"), "exit 0", "{ran:#?}");
}
