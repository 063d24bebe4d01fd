//! A machine as a document: what is in it, what a copy of it is, what a machine lacks of a runbook, and that none of this changes anything.

mod common;

use std::process::{Command, Stdio};

use common::{NETWRIGHT, Ran, is_root, on_a_machine_of_its_own};

/// A machine that others have built: a bridge as Docker makes it with two containers, an uplink, policy routing, both kinds of iptables, a table of nft,
/// a shaped port, a neighbour that stays, and `ens9`, of which nobody sees the other end.
const MACHINE: &str = r#"
set -u
mount -t tmpfs none /run; mkdir /run/netns; ip link set lo up
ip netns add isp
ip link add ens5 address 52:54:00:aa:bb:01 type veth peer name rtr address 52:54:00:00:00:01 netns isp
ip -n isp link set lo up; ip -n isp link set rtr up; ip -n isp address add 198.51.100.1/24 dev rtr
ip link set ens5 alias "the uplink of rack 7" up; ip address add 198.51.100.7/24 dev ens5
ip route add default via 198.51.100.1 dev ens5 proto dhcp metric 100
ip neigh add 198.51.100.1 lladdr 52:54:00:00:00:01 dev ens5 nud permanent
ip link add docker0 address 02:42:00:00:00:01 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up
for i in 1 2; do
    ip netns add c$i; ip link add veth$i master docker0 type veth peer name eth0 netns c$i; ip link set veth$i up
    ip -n c$i link set lo up; ip -n c$i address add 172.17.0.1$i/16 dev eth0; ip -n c$i link set eth0 up
    ip -n c$i route add default via 172.17.0.1
done
ip link set dev veth2 type bridge_slave hairpin on
ip netns add lan; ip link add lan0 type veth peer name far0 netns lan
ip -n lan link set far0 up; ip address add 10.20.0.1/24 dev lan0; ip link set lan0 up
ip route add 10.99.0.0/16 via 10.20.0.254 table 120; ip rule add from 10.20.0.0/24 lookup 120 priority 1000
ip route add default via 172.17.0.11 table 121; ip rule add fwmark 0x1/0xff lookup 121 priority 1001
ip route add 10.50.0.0/16 nexthop via 172.17.0.11 dev docker0 weight 1 nexthop via 172.17.0.12 dev docker0 weight 3
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.ens5.rp_filter=2 net.ipv4.conf.all.arp_ignore=1
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -m comment --comment "it is late" -j MASQUERADE
iptables -P FORWARD DROP; iptables -A FORWARD -i docker0 -j ACCEPT
iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
ip6tables -A FORWARD -i docker0 -j DROP
command -v iptables-legacy >/dev/null && iptables-legacy -t mangle -A PREROUTING -i ens5 -p tcp --dport 80 -j MARK --set-mark 1
command -v nft >/dev/null && nft -f - <<'NFT'
table inet lab {
    set known { type ipv4_addr; elements = { 10.1.1.1, 10.1.1.2 }; }
    chain input {
        type filter hook input priority 10; policy accept;
        ip saddr @known counter drop
        tcp dport { 22, 80 } accept
    }
}
NFT
tc qdisc replace dev veth1 root tbf rate 1mbit burst 32k latency 50ms
ip link add ens9 address 52:54:00:aa:bb:09 type veth peer name x9
unshare -n sleep 60 & hidden=$!
until [ "$(readlink /proc/$hidden/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set x9 netns $hidden; nsenter --net=/proc/$hidden/ns/net ip link set x9 up
exec 9</proc/$hidden/ns/net; kill $hidden; wait $hidden 2>/dev/null
ip link set ens9 mtu 1400 up; ip address add 192.168.9.7/24 dev ens9; ip route add 10.88.0.0/16 via 192.168.9.1 dev ens9
cd "$(mktemp -d)"; chmod 755 .
"#;

/// Runs a shell script on such a machine: with processes of its own, so that those of this one are not seen.
fn on_the_machine(script: &str) -> Ran {
    on_a_machine_of_its_own(&format!("{MACHINE}{script}"), &[])
}

const RUNBOOK: &str = r#"
cat >runbook.rhai <<'R'
let h = host();
h.sysctl("net.ipv4.ip_forward", 1);
let br = h.bridge("br-app").addr("10.9.0.1/24").up();
for name in ["app", "db"] {
    let pod = netns(name);
    veth(h, `v-${name}`, pod, "eth0");
    h.link(`v-${name}`).master(br).up();
    pod.link("eth0").addr(if name == "app" { "10.9.0.2/24" } else { "10.9.0.3/24" }).mtu(1400).up();
    pod.route("default", "10.9.0.1");
}
h.iptables("-A FORWARD -i br-app -j ACCEPT");
h.iptables("-t nat -A POSTROUTING -s 10.9.0.0/24 ! -o br-app -j MASQUERADE");
h.rule(#{ from: "10.9.0.0/24", table: 120, priority: 900 });
expect(netns("app")).reaches(netns("db"));
expect(netns("app")).reaches("172.17.0.11");
R
"#;

#[test]
fn a_copy_is_the_machine_and_what_is_not_is_named() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        "$NETWRIGHT" snapshot -o a.json 2>/dev/null; "$NETWRIGHT" snapshot -o b.json 2>/dev/null
        echo "== same"; "$NETWRIGHT" diff a.json b.json; echo "exit $?"
        echo 'print(host().links.map(|l| l.ifname)); print(netns("c2").routes.len()); print(host().link("ens5").info.ifalias);
              expect(netns("c1")).reaches("172.17.0.12"); expect(host()).reaches("198.51.100.1");' >look.rhai
        echo "== on"; "$NETWRIGHT" run --on a.json look.rhai 2>&1; echo "exit $?"
        chmod 644 a.json; cp "$NETWRIGHT" nw
        echo "== plain"; setpriv --reuid 65534 --regid 65534 --clear-groups ./nw run --on a.json look.rhai 2>&1; echo "exit $?"
        echo "== unchanged"; "$NETWRIGHT" diff a.json this; echo "exit $?"
        ip link set veth1 mtu 1300; iptables -D FORWARD -i docker0 -j ACCEPT; sysctl -qw net.ipv4.conf.ens5.rp_filter=0; nft delete element inet lab known '{ 10.1.1.2 }' 2>/dev/null
        echo "== changed"; "$NETWRIGHT" diff a.json this; echo "exit $?"
        echo "== show"; "$NETWRIGHT" show --on a.json 2>/dev/null
        echo "== why"; "$NETWRIGHT" why --on a.json c2 172.17.0.1; echo "exit $?"
        echo "== rehearsed"; "$NETWRIGHT" why --on a.json --rehearse c2 172.17.0.1; echo "exit $?"
        sed 's/"veth2 state","value":"up"/"veth2 state","value":"down"/' a.json >down.json
        echo "== dead"; "$NETWRIGHT" why --on down.json c2 172.17.0.1; echo "exit $?"
        echo "== redacted"; "$NETWRIGHT" snapshot --redact
        "#,
    );
    assert_eq!(ran.part("same"), "exit 0");
    for name in ["on", "plain"] {
        let said = ran.part(name);
        assert!(said.contains("exit 0") && said.contains("the uplink of rack 7"), "{name}: {said}");
        assert!(said.contains(r#""lo", "ens5", "docker0", "veth1", "veth2", "lan0", "ens9""#), "{name}: {said}");
        let named: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).collect();
        let expected = "  host: the other end of the veth ens9 is in a namespace that could not be seen: a stand-in takes its place";
        assert_eq!(named, [expected], "{name}: {said}");
    }
    assert_eq!(ran.part("unchanged"), "exit 0");
    let changed = ran.part("changed");
    for line in [
        "  ~ link veth1 mtu: 1500 → 1300",
        "  - rule of iptables-nft -t filter -A FORWARD -i docker0 -j ACCEPT",
        "  ~ sysctl net.ipv4.conf.ens5.rp_filter: 2 → 0",
        "exit 1",
    ] {
        assert!(changed.lines().any(|have| have == line), "{line}: {changed}");
    }
    let show = ran.part("show");
    assert!(show.contains("docker0") && show.contains("172.17.0.12/16") && show.contains("c2"), "{show}");
    let (why, rehearsed) = (ran.part("why"), ran.part("rehearsed"));
    assert!(why.contains("predicted") && why.ends_with("exit 0"), "{why}");
    assert!(!rehearsed.contains("predicted") && rehearsed.ends_with("exit 0"), "{rehearsed}");
    let dead = ran.part("dead");
    assert!(dead.contains("LINK_ADMIN_DOWN") && dead.contains("veth2") && dead.ends_with("exit 1"), "{dead}");
    let redacted = ran.part("redacted");
    assert!(redacted.contains(r#""redacted": true"#) && !redacted.contains("52:54:00:aa:bb:01"), "{redacted}");
    assert!(redacted.contains("172.17.0.1/16"), "private addresses stay: {redacted}");
}

#[test]
fn a_machine_is_asked_what_it_lacks_of_a_runbook_and_nothing_is_changed_by_asking() {
    if !is_root() {
        return;
    }
    let script = format!(
        r#"{RUNBOOK}
        "$NETWRIGHT" snapshot -o before.json 2>/dev/null
        echo "== plan"; "$NETWRIGHT" plan --host runbook.rhai 2>/dev/null; echo "exit $?"
        echo "== check"; "$NETWRIGHT" run --host --check runbook.rhai 2>&1; echo "exit $?"
        echo "== asked"; "$NETWRIGHT" diff before.json this; echo "exit $?"
        "$NETWRIGHT" run --host runbook.rhai >/dev/null 2>&1 || echo "run failed"
        echo "== nothing"; "$NETWRIGHT" plan --host runbook.rhai 2>/dev/null; echo "exit $?"
        broken() {{
            echo "== broken $1"; shift; eval "$*" || echo "cannot break"; "$NETWRIGHT" run --host --check runbook.rhai 2>&1; echo "exit $?"
            "$NETWRIGHT" run --host runbook.rhai >/dev/null 2>&1 || echo "run failed"
            "$NETWRIGHT" run --host --check runbook.rhai; echo "mended $?"
        }}
        broken forwarding sysctl -qw net.ipv4.ip_forward=0
        broken bridge ip link set br-app down
        broken port ip link set v-db nomaster
        broken pod-link ip -n app link set eth0 down
        broken route ip -n db route del default
        broken mtu ip -n app link set eth0 mtu 1500
        broken accept iptables -D FORWARD -i br-app -m comment --comment netwright -j ACCEPT
        broken masquerade iptables -t nat -F POSTROUTING
        broken rule ip rule del priority 900
        broken address ip -n db address del 10.9.0.3/24 dev eth0
        # The kernel takes the cable away a moment later.
        broken pod 'ip netns del app; while ip link show v-app >/dev/null 2>&1; do sleep 0.01; done'
        "$NETWRIGHT" down runbook.rhai >/dev/null 2>&1
        "#
    );
    let ran = on_the_machine(&script);
    let plan = ran.part("plan");
    for line in [
        "ip link add name br-app address",
        "ip netns add app",
        "# what becomes of the machine",
        "  + namespace db",
        "exit 1",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(!plan.contains("ip_forward"), "that is so already: {plan}");
    let check = ran.part("check");
    assert!(check.starts_with("drift: ") && check.ends_with("exit 1"), "{check}");
    assert!(check.contains("runbook.rhai:3  ip link set dev br-app up"), "{check}");
    assert_eq!(ran.part("asked"), "exit 0");
    assert_eq!(ran.part("nothing"), "exit 0");
    for (name, difference, command) in [
        ("forwarding", "sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward=1"),
        ("bridge", "link br-app state: found down, expected up", "ip link set dev br-app up"),
        ("port", "link v-db master: found -, expected br-app", "ip link set dev v-db master br-app"),
        ("pod-link", "app: link eth0 state: found down, expected up", "ip -n app link set dev eth0 up"),
        ("route", "db: route unicast default via 10.9.0.1", "route add default via 10.9.0.1"),
        ("mtu", "app: link eth0 mtu: found 1500, expected 1400", "ip -n app link set dev eth0 mtu 1400"),
        ("accept", "-A FORWARD -i br-app", "iptables -w 5 -t filter -A FORWARD -i br-app"),
        ("masquerade", "-A POSTROUTING -s 10.9.0.0/24", "-j MASQUERADE"),
        ("rule", "policy rule 900: from 10.9.0.0/24 lookup 120: not there, expected", "rule add"),
        ("address", "db: address eth0 10.9.0.3/24: not there", "ip -n db address add 10.9.0.3/24 dev eth0"),
        ("pod", "app: namespace app: not there, expected", "ip netns add app"),
    ] {
        let said = ran.part(&format!("broken {name}"));
        assert!(said.starts_with("drift: ") && said.contains("\nexit 1"), "{name}: {said}");
        assert!(said.contains(difference) && said.contains(command), "{name}: {said}");
        assert!(said.contains("ok: the machine is as the script says") && said.ends_with("mended 0"), "{name}: {said}");
    }
}

#[test]
fn what_lies_beyond_a_stand_in_is_not_known() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        echo 'expect(host()).reaches("192.168.9.1");' >reaches.rhai; echo 'expect(host()).cannot_reach("10.88.1.1");' >not.rhai
        for script in reaches not; do echo "== $script"; "$NETWRIGHT" run --on this $script.rhai 2>&1; echo "exit $?"; done
        echo "== plan"; "$NETWRIGHT" plan --host not.rhai 2>&1; echo "exit $?"
        echo 'host().exec("true"); expect(host()).reaches("198.51.100.1");' >program.rhai
        echo "== program"; "$NETWRIGHT" run --host --check program.rhai 2>&1; echo "exit $?"
        echo 'expect(netns("c1")).reaches("tcp/172.17.0.12:80");' >closed.rhai
        echo "== closed"; "$NETWRIGHT" run --host --check closed.rhai 2>&1; echo "exit $?"
        "#,
    );
    for name in ["reaches", "not"] {
        let said = ran.part(name);
        assert!(
            said.contains("inconclusive: nobody can say whether `host` reaches") && said.ends_with("exit 1"),
            "{said}"
        );
    }
    let plan = ran.part("plan");
    assert!(plan.contains("line 1: not judged: 10.88.1.1 is none of") && plan.ends_with("exit 0"), "{plan}");
    let program = ran.part("program");
    assert!(
        program.contains("only the copy was asked: `true` is not started on the machine")
            && program.ends_with("exit 0"),
        "{program}"
    );
    let closed = ran.part("closed");
    assert!(closed.contains("drift: `c1` cannot reach tcp/172.17.0.12:80") && closed.ends_with("exit 1"), "{closed}");
}

/// "reachable", "ok" and an exit code of 0 are only for what was read, ran, and was not caught on the way.
#[test]
fn what_could_not_be_read_or_did_not_run_is_no_promise() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        cp "$NETWRIGHT" nw; iptables -A OUTPUT -d 198.51.100.1 -j DROP
        setpriv --reuid 65534 --regid 65534 --clear-groups ./nw snapshot >plain.json 2>/dev/null; chmod 644 plain.json
        echo "== why"; "$NETWRIGHT" why --on plain.json host 198.51.100.1 2>&1; echo "exit $?"
        echo "== rehearsed"; "$NETWRIGHT" why --on plain.json --rehearse host 172.17.0.1 2>&1; echo "exit $?"
        echo 'expect(host()).reaches("172.17.0.1");' >reaches.rhai
        iptables -F OUTPUT; "$NETWRIGHT" snapshot >whole.json 2>/dev/null
        echo "== stand-in"; "$NETWRIGHT" why --on whole.json --rehearse host 192.168.9.1 2>&1; echo "exit $?"
        echo "== on"; "$NETWRIGHT" run --on plain.json reaches.rhai 2>&1; echo "exit $?"
        echo "== diff"; "$NETWRIGHT" diff plain.json plain.json 2>&1; echo "exit $?"
        echo 'needs("no-such-thing-at-all");' >needs.rhai; echo 'skip("not here");' >skip.rhai
        echo 'try { host().exec("true"); } catch (e) { } expect(host()).reaches("172.17.0.1");' >caught.rhai
        for script in needs skip caught; do
            echo "== plan $script"; "$NETWRIGHT" plan --host $script.rhai 2>&1; echo "exit $?"
            echo "== check $script"; "$NETWRIGHT" run --host --check $script.rhai 2>&1; echo "exit $?"
            echo "== json $script"; "$NETWRIGHT" run --host --check --json $script.rhai 2>/dev/null | tr -d ' \n'; echo " exit $?"
        done
        "#,
    );
    // The packets were answered, but not on the machine.
    for name in ["why", "rehearsed", "on", "stand-in"] {
        let said = ran.part(name);
        assert!(said.contains("inconclusive") && said.ends_with("exit 1"), "{name}: {said}");
        assert!(!said.contains("ok:"), "{name}: {said}");
    }
    let diff = ran.part("diff");
    assert!(diff.contains("no difference was found in what could be read") && diff.ends_with("exit 4"), "{diff}");
    for script in ["needs", "skip"] {
        for command in ["plan", "check"] {
            let said = ran.part(&format!("{command} {script}"));
            assert!(!said.contains("as the script says\n") && !said.contains("nothing to do"), "{script}: {said}");
            assert!(said.contains("skipped") || said.contains("no-such-thing"), "{script}: {said}");
            assert!(!said.ends_with("exit 0"), "{script}: {said}");
        }
        assert!(!ran.part(&format!("json {script}")).contains("\"drift\":false"), "{script}: {ran:#?}");
    }
    let caught = ran.part("check caught");
    assert!(
        caught.starts_with("ok: ") && caught.contains("only the copy was asked: `true` is not started"),
        "{caught}"
    );
    let first = caught.lines().next().unwrap_or_default();
    assert!(first.contains("from line 1 on the copy only"), "the line of monitoring says it: {caught}");
}

#[test]
fn a_document_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("x.rhai");
    std::fs::write(&script, "print(1);").expect("written");
    let host = |more: &str| format!(r#"{{"snapshot":1,"namespaces":[{{"name":"host"{more}}}]}}"#);
    let link = |name: &str, more: &str| format!(r#"{{"name":"{name}"{more}}}"#);
    let ring =
        format!(",\"links\":[{},{}]", link("a", r#","kind":"vlan","on":"b""#), link("b", r#","kind":"vlan","on":"a""#));
    let masters = r#","links":[{"name":"a"},{"name":"b"}],"things":[{"part":"link","key":"a master","value":"b"},{"part":"link","key":"b master","value":"a"}]"#;
    let cases = [
        ("cut", host("")[..30].to_owned(), "it ends too early"),
        ("garbage", "hello".into(), "is no snapshot"),
        ("empty", String::new(), "it ends too early"),
        ("other", "{}".into(), "it has no `snapshot` with a version"),
        ("newer", r#"{"snapshot":99}"#.into(), "it is of version 99, and this netwright reads 1"),
        ("nobody", r#"{"snapshot":1,"namespaces":[]}"#.into(), "its first namespace is not `host`"),
        ("ring", host(&ring), "stands on itself, through others"),
        ("masters", host(masters), "is its own master, through others"),
        ("slash", host(&format!(",\"links\":[{}]", link("../x", ""))), "cannot be the name of a link"),
        ("twice", host(&format!(",\"links\":[{},{}]", link("a", ""), link("a", ""))), "has two links `a`"),
        (
            "netns",
            r#"{"snapshot":1,"namespaces":[{"name":"host"},{"name":"../../etc"}]}"#.into(),
            "cannot be the name of a namespace",
        ),
        (
            "alike",
            r#"{"snapshot":1,"namespaces":[{"name":"host"},{"name":"a"},{"name":"a"}]}"#.into(),
            "it has two namespaces `a`",
        ),
    ];
    for (name, text, said) in cases {
        let path = folder.path().join(format!("{name}.json"));
        std::fs::write(&path, text).expect("written");
        let path = path.display().to_string();
        for args in [vec!["run", "--on", &path, script.to_str().expect("UTF-8")], vec!["diff", &path, &path]] {
            let ran = Ran::from(Command::new(NETWRIGHT).args(&args).stdin(Stdio::null()).output().expect("netwright"));
            assert_eq!(ran.code, 3, "{name} {args:?}: {ran:#?}");
            assert!(ran.stderr.contains(said), "{name}: {}", ran.stderr);
        }
    }
    let large = folder.path().join("large.json");
    std::fs::File::create(&large).and_then(|file| file.set_len(200 << 20)).expect("a large file");
    for (path, code, said) in [
        (large.to_str(), 3, "it has more than the 64 MB that are read"),
        (Some("/nonexistent"), 3, "cannot read the snapshot"),
    ] {
        let path = path.expect("UTF-8");
        let ran = Ran::from(Command::new(NETWRIGHT).args(["diff", path, path]).output().expect("netwright"));
        assert_eq!((ran.code, ran.stderr.contains(said)), (code, true), "{ran:#?}");
    }
}
