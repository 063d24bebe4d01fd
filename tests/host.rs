//! `--host`, inside namespaces that play the machine: what a run keeps, what it undoes, and that this machine never notices.

mod common;

use std::process::{Command, Stdio};

use common::{NETWRIGHT, Ran, ScriptFile, is_root, root};

/// `snapshot` prints all that a run could change, in a form that is the same when nothing has changed. Tables and chains that are empty
/// and accept are left out: iptables makes them by looking and never deletes them. So are link-local addresses, which the kernel adds a
/// second after a link is up.
const PRELUDE: &str = r#"
set -u
rules() { awk '/^\*/ { table = $1 } /^-A/ || (/^:/ && $2 != "ACCEPT") { sub(/ \[[0-9:]*\]/, ""); print table, $0 }'; }
snapshot() { everything | grep -v -E 'fe80:|ff00::' | sort -u; }
everything() {
    ip netns list 2>/dev/null | sort
    ip -j -d link show | tr ',' '\n' | grep -E '"(ifname|ifindex|mtu|master|address|operstate|info_kind|flags|link)"' || true
    ip -o address show | sed -E 's/valid_lft .*//'
    ip route show table all | sed -E 's/expires [0-9]+sec//'
    ip -6 route show table all | sed -E 's/expires [0-9]+sec//'
    ip rule show; ip -6 rule show
    iptables-save 2>/dev/null | rules
    ip6tables-save 2>/dev/null | rules
    sysctl -a 2>/dev/null -r '^net\.ipv[46]\.(conf|ip_forward)' | grep -v -E 'stable_secret|mc_forwarding'
}
"#;

/// Makes a namespace the machine. It has a link to the internet, whose other end answers at 203.0.113.1.
const MACHINE: &str = r"
set -e
mount -t tmpfs none /run; mkdir /run/netns
ip link set lo up
set +e
";

const INTERNET: &str = r"
set -e
ip netns add internet
ip link add eth0 type veth peer name eth0 netns internet
ip address add 198.51.100.2/24 dev eth0; ip link set eth0 up
ip -n internet link set lo up
ip -n internet address add 198.51.100.1/24 dev eth0; ip -n internet link set eth0 up
ip -n internet address add 203.0.113.1/32 dev lo
ip route add default via 198.51.100.1
set +e
";

fn bash(script: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("bash");
    command.args(["-c", script, "test"]).args(args).env("NETWRIGHT", NETWRIGHT).current_dir(root());
    command.stdin(Stdio::null()).output().expect("bash").into()
}

/// Runs a shell script on a machine of its own, and looks whether this machine has noticed.
#[track_caller]
fn on_a_machine(script: &str, args: &[&str]) -> Ran {
    machine(&[if is_root() { "-nm" } else { "-Urnm" }], script, args)
}

/// The same with processes of its own, of which the first is in its network.
#[track_caller]
fn on_a_whole_machine(script: &str) -> Ran {
    machine(&[if is_root() { "-nmpf" } else { "-Urnmpf" }, "--mount-proc", "--kill-child"], script, &[])
}

#[track_caller]
fn machine(flags: &[&str], script: &str, args: &[&str]) -> Ran {
    let this_machine = || bash(&format!("{PRELUDE}snapshot"), &[]).stdout;
    let before = this_machine();
    let mut command = Command::new("unshare");
    command.args(flags).args(["bash", "-c", &format!("{PRELUDE}{MACHINE}{script}"), "test"]).args(args);
    command.env("NETWRIGHT", NETWRIGHT).current_dir(root()).stdin(Stdio::null());
    let ran = Ran::from(command.output().expect("unshare"));
    same(&before, &this_machine(), "this machine");
    ran
}

#[track_caller]
fn same(before: &str, after: &str, what: &str) {
    assert!(before.lines().count() > 5, "no snapshot of {what}: {before}");
    let gone: Vec<&str> = before.lines().filter(|line| !after.lines().any(|other| other == *line)).collect();
    let new: Vec<&str> = after.lines().filter(|line| !before.lines().any(|other| other == *line)).collect();
    assert!(before == after, "{what} has changed\n  gone: {gone:#?}\n  new: {new:#?}");
}

#[test]
fn gc_takes_away_the_empty_folders_of_a_run_that_was_killed_at_its_start() {
    for made in ["/run/netwright", "/run/netwright/runs", "/run/netwright/runs/1", "/run/netwright/claims"] {
        let script = format!("mkdir -p -m 700 {made}; \"$NETWRIGHT\" gc; ls -d /run/netwright 2>/dev/null");
        let ran = on_a_machine(&script, &[]);
        assert!(!ran.stdout.contains("/run/netwright"), "{made}: {ran:#?}");
    }
}

/// A bridge that took the lowest address of its ports lost the pods that knew the old one for 8 s, in 4 to 6 of 10 such rounds.
#[test]
fn a_runbook_that_grows_keeps_its_pods_reachable() {
    let rounds = if std::env::var_os("NETWRIGHT_FULL").is_some() { 50 } else { 3 };
    let ran = on_a_machine(
        r#"
        for round in $(seq "$1"); do
            for pods in 2 5 5; do
                "$NETWRIGHT" run --host scripts/05-runbook.rhai --pods $pods >/run/said 2>&1 || { echo "round $round, $pods pods"; cat /run/said; }
            done
            "$NETWRIGHT" down scripts/05-runbook.rhai >/dev/null 2>&1
            ip netns list | grep . && echo "round $round left something"
        done; echo "ended"
        "#,
        &[&rounds.to_string()],
    );
    assert_eq!(ran.stdout, "ended\n", "{ran:#?}");
}

/// A kernel without VLANs of bridges takes their options and forgets them: each run sent them again, and `--check` said "0 things, 2 commands".
#[test]
fn an_option_that_the_kernel_forgets_is_refused_and_off_is_off() {
    let ran = on_a_machine(
        r#"
        ip link add b0 type bridge vlan_default_pvid 7; ip -j -d link show b0 | grep -q vlan_default_pvid && echo "== has it"
        echo 'host().bridge("br0", #{ vlan_default_pvid: 5, vlan_stats_enabled: true }).up();' >/run/on.rhai
        echo 'host().bridge("br1", #{ vlan_default_pvid: 0, vlan_stats_enabled: false }).up();' >/run/off.rhai
        for script in on off; do
            for option in "" "" --check; do "$NETWRIGHT" run --host $option /run/$script.rhai >/run/said 2>&1; echo "$script$option $?"; cat /run/said >&2; done
        done
        "#,
        &[],
    );
    let codes: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("==")).collect();
    if ran.stdout.contains("== has it") {
        assert_eq!(codes, ["on 0", "on 0", "on--check 0", "off 0", "off 0", "off--check 0"], "{}", ran.stderr);
    } else {
        assert_eq!(codes, ["on 4", "on 4", "on--check 4", "off 0", "off 0", "off--check 0"], "{}", ran.stderr);
        assert!(
            ran.stderr.contains("has no `vlan_default_pvid` for links of kind bridge: it takes it and forgets it"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_runbook_runs_twice_and_changes_nothing_the_second_time() {
    let ran = on_a_machine(
        r#"
        "$NETWRIGHT" run --host scripts/05-runbook.rhai || exit 1
        snapshot > /run/once
        "$NETWRIGHT" run --host scripts/05-runbook.rhai || exit 1
        snapshot > /run/twice
        echo "== once"; cat /run/once; echo "== twice"; cat /run/twice
        "#,
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("changed ")).collect();
    let [first, second] = said[..] else { panic!("{}", ran.stdout) };
    assert!(!first.starts_with("changed 0,"), "{first}");
    assert!(second.starts_with("changed 0,"), "{second}");
    same(ran.part("once"), ran.part("twice"), "the machine");
    assert!(ran.part("once").contains("pod-1"), "{}", ran.stdout);
    assert!(ran.stderr.contains("netwright acts on this machine"), "{}", ran.stderr);
}

/// A command of the user's that ended by itself with an error has not acted: what is there is somebody else's, and its inverse would delete it.
#[test]
fn what_a_failed_raw_command_would_undo_is_left_alone() {
    if std::fs::File::open("/dev/net/tun").is_err() {
        println!("skipped: there is no /dev/net/tun");
        return;
    }
    let script = ScriptFile::new(
        "let a = netns(\"a\");\na.ip(\"tuntap add dev tun0 mode tun\", #{ undo: \"tuntap del dev tun0 mode tun\" });\n",
    );
    let ran = on_a_machine(
        r#"
        ip netns add a; ip -n a tuntap add dev tun0 mode tun || { echo "no tun"; exit 0; }
        "$NETWRIGHT" run --host "$1"; echo "exit $?"
        ip -n a -br link show dev tun0; "$NETWRIGHT" gc; ip -n a -br link show dev tun0
        "#,
        &[script.path()],
    );
    if ran.stdout.contains("no tun") {
        println!("skipped: the kernel makes no tun");
        return;
    }
    assert!(ran.stdout.contains("exit 3"), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout.matches("tun0").count(), 2, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("busy") && ran.stderr.contains("nothing left behind"), "{}", ran.stderr);
}

#[test]
fn contract_scripts_run_twice_and_change_nothing_the_second_time() {
    for script in ["scripts/01-two-namespaces.rhai", "scripts/05-runbook.rhai", "scripts/06-errors.rhai"] {
        let ran = on_a_machine(
            r#"for n in 1 2; do "$NETWRIGHT" run --host --json "$1" 2>/run/said || { cat /run/said >&2; exit 1; }; done"#,
            &[script],
        );
        assert_eq!(ran.code, 0, "{script}: {}", ran.stderr);
        let runs: Vec<serde_json::Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(runs.len(), 2, "{}", ran.stdout);
        assert_ne!(runs[0]["run"]["changed"], 0, "{script}");
        assert_eq!(runs[1]["run"]["changed"], 0, "{script}: {}", runs[1]);
        let repeated: Vec<_> =
            runs[1]["commands"].as_array().expect("commands").iter().filter(|it| it["ok"] == true).collect();
        assert!(repeated.is_empty(), "{script}: {repeated:?}");
    }
}

#[test]
fn the_container_network_leaves_by_the_machines_own_uplink() {
    let script = format!(r#"{INTERNET} "$NETWRIGHT" run --host scripts/02-container-network.rhai"#);
    let ran = on_a_machine(&script, &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}

/// Changes one thing of every sort, on the machine itself and in namespaces.
const EVERYTHING: &str = r#"
let host = host();
let br = host.bridge("nwbr0").addr("10.42.0.1/24").up();
host.link("lo").addr("10.99.0.1/32").mtu(9000);
host.sysctl("net.ipv4.ip_forward", 1);
host.sysctl("net.ipv6.conf.all.forwarding", 1);
host.sysctl("net.ipv4.conf.lo.rp_filter", 2);
host.iptables("-A INPUT -p tcp --dport 9 -j DROP");
host.iptables("-I FORWARD -i nwbr0 -j ACCEPT");
host.iptables("-P FORWARD DROP");
host.ip6tables("-P FORWARD DROP");
host.ip6tables("-t nat -A POSTROUTING -s fd00::/64 -j MASQUERADE");
host.iptables("-N NETWRIGHT-TEST");
host.route("10.7.0.0/16", "10.42.0.9");
host.route("10.8.0.0/16", #{ type: "blackhole", metric: 50 });
host.rule(#{ from: "10.0.0.0/24", table: 100 });
host.port_forward("tcp/8080", "10.42.0.2:80");
for i in 1..=3 {
    let pod = netns(`pod-${i}`);
    pod.plug("eth0", br).addr(`10.42.0.${i + 1}/24`);
    pod.route("default", "10.42.0.1");
}
host.masquerade(br, "10.42.0.0/24");
netns("before").link("lo").addr("10.98.0.1/32");
"#;

/// What was there before and must be there afterwards.
const BEFORE: &str = r"
set -e
ip netns add before; ip -n before link set lo up
ip link add old0 type bridge; ip address add 10.50.0.1/24 dev old0; ip link set old0 up
ip route add 10.51.0.0/16 via 10.50.0.9
iptables -A INPUT -s 10.50.0.0/24 -j ACCEPT
iptables -N OLD; iptables -A OLD -j RETURN
set +e
# The kernel settles: the state of a bridge without ports, and the addresses of the link that come with it.
for n in $(seq 50); do ip -o -6 address show dev old0 | grep -q tentative || break; sleep 0.1; done
";

/// What a network card loses when it moves: addresses, in their order, routes, neighbours, settings, its being up.
const CARD: &str = r"
set -e
ip netns add theirs; ip -n theirs link add eth1 type veth peer name eth2
ip link add eth1 type veth peer name far; ip link set far up
ip link set eth1 mtu 1400 up; ip link set eth1 alias card
ip address add 10.66.0.1/24 dev eth1; ip address add 10.66.0.2/24 dev eth1; ip address add 10.65.0.1/24 dev eth1
ip address add 2001:db8:66::1/64 dev eth1 nodad; ip address add 10.66.0.60/24 dev far
ip route add 10.67.0.0/16 via 10.66.0.9 metric 5; ip route add 2001:db8:67::/64 via 2001:db8:66::9
ip neigh add 10.66.0.9 lladdr 02:00:00:00:00:09 dev eth1 nud permanent
sysctl -qw net.ipv4.conf.eth1.rp_filter=2 net.ipv4.conf.eth1.forwarding=1 net.ipv6.conf.eth1.accept_ra=0
set +e
";

#[test]
fn a_link_that_moved_comes_home_with_what_it_had() {
    let ran = on_a_whole_machine(&format!(
        "{CARD}{}",
        r#"
        cat >/run/moves.rhai <<'X'
let box = netns("box");
let card = host().link("eth1").move(box).rename("eth0").mtu(1300).mac("02:00:00:00:00:07").addr("10.66.0.50/24").up();
assert_eq(card.netns.name, "box");
expect(box).reaches("10.66.0.60");
host().move("far", box).move(host());
if arg("fail", false) { throw "end"; }
X
        cat >/run/twice.rhai <<'X'
host().move("eth1", netns("box")).addr("10.66.0.50/24").up();
X
        snapshot >/run/before
        here() { snapshot >/run/after; diff /run/before /run/after >&2 && echo "$1: as it was"; }
        "$NETWRIGHT" run --host /run/moves.rhai >&2; echo "run $?"; ip link show eth1 >/dev/null 2>&1 && echo "it is still here"
        "$NETWRIGHT" down /run/moves.rhai >&2; echo "down $?"; here down
        "$NETWRIGHT" run --host /run/moves.rhai --fail true >&2; echo "fail $?"; here fail
        for again in 1 2; do "$NETWRIGHT" run --host /run/twice.rhai >&2; echo "twice $?"; done
        "$NETWRIGHT" down /run/twice.rhai >&2; echo "down $?"; here twice
        echo 'let box = netns("box"); host().move("eth1", box); box.delete();' >/run/act.rhai
        "$NETWRIGHT" run --host /run/act.rhai 2>&1 | grep -c '`box` holds `eth1`'; here refused
        # Somebody else takes the namespace away, and the link with it.
        "$NETWRIGHT" run --host /run/twice.rhai >&2; ip netns delete box; "$NETWRIGHT" down /run/twice.rhai >&2; echo "gone $?"
        # What a script deleted of somebody's is not said to be undone, wherever it had gone.
        ip link add eth1 type veth peer name far; echo 'let box = netns("box"); host().move("eth1", box).delete(); box.delete();' >/run/act.rhai
        "$NETWRIGHT" run --host /run/act.rhai >&2; echo "run $?"; "$NETWRIGHT" down /run/act.rhai >&2; echo "deleted $?"
        "#
    ));
    let expected = "run 0\ndown 0\ndown: as it was\nfail 3\nfail: as it was\ntwice 0\ntwice 0\ndown 0\ntwice: as it was\n1\nrefused: as it was\ngone 0\nrun 0\ndeleted 5\n";
    assert_eq!(ran.stdout, expected, "{ran:#?}");
}

/// Routes that wrap (`ip-route(8)`, ENCAP): iproute2 prints two keys of one name, and segments that it does not read.
#[test]
fn routes_that_wrap_are_read_left_alone_and_put_back() {
    let ran = on_a_machine(
        r#"
        ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip address add 10.0.0.1/24 dev v0; ip address add fd00::1/64 dev v0 nodad
        if ip route add 10.9.0.0/16 encap ip id 5 dst 10.0.0.9 via 10.0.0.2 && ip -6 route add fd09::/64 encap seg6 mode encap segs fd00::7,fd00::8 dev v0; then
            echo 'print(host().routes.filter(|r| "encap" in r)[0].dst); host().route("10.9.0.0/16", "10.0.0.2"); host().link("v0").down();' >/run/x.rhai
            ip route add 10.52.0.0/16 via 10.0.0.9 dev v0 rto_min 5ms; ip neigh add 10.0.0.88 lladdr 02:00:00:00:00:88 dev v0 nud permanent extern_learn
            now() { { ip route; ip -6 route; ip neigh show nud permanent; } | grep -E 'encap|rto_min|10.0.0.88'; }; now >/run/before
            "$NETWRIGHT" run --host /run/x.rhai 2>/dev/null; echo "run $?"; "$NETWRIGHT" down /run/x.rhai >&2; echo "down $?"
            now | diff /run/before - && wc -l </run/before
            "$NETWRIGHT" show | grep -o '10.9.0.0/16.*'; "$NETWRIGHT" why host fd09::5 2>&1 | grep -o '^inconclusive\|encap seg6'
        else echo skipped; fi
        "#,
        &[],
    );
    let expected = "10.9.0.0/16\nrun 0\ndown 0\n4\n10.9.0.0/16 encap ip via 10.0.0.2\ninconclusive\nencap seg6\n";
    assert!(ran.stdout == expected || ran.stdout == "skipped\n", "{ran:#?}");
}

/// The sandbox has a `/run` of its own: what was said to be written there was gone with it.
#[test]
fn what_is_written_below_run_is_there_afterwards() {
    let ran = on_a_machine(
        r#"
        echo 'netns("x").link("lo").up();' >/run/x.rhai; mkdir /run/there
        away=$(mktemp -d); ln -s /run "$away/link"
        for folder in /run/out/new /run/there "$away/link/by-a-link"; do
            "$NETWRIGHT" emit -o $folder /run/x.rhai; echo "emit $?"; ls $folder
        done
        printf 'netns("x");\n:save /run/saved.rhai\n' | "$NETWRIGHT" repl; ls /run/saved.rhai 2>/dev/null
        echo 'test("x", || { host().capture("lo", "icmp"); assert(false); });' >/run/c_test.rhai
        rm -r "$away"
        # Without root `tcpdump` cannot run there.
        if command -v tcpdump >/dev/null && [ "$1" = root ]; then "$NETWRIGHT" test --artefacts /run/art /run/c_test.rhai >/dev/null 2>&1; ls /run/art | grep -c pcap; else echo skipped; fi
        "#,
        &[if is_root() { "root" } else { "plain" }],
    );
    let written = ran.stdout.strip_prefix(&"emit 0\ndown.sh\nup.sh\nverify.sh\n".repeat(3)).expect(&ran.stdout);
    assert!(
        matches!(written, "skipped\n" | "1\n") && ran.stderr.contains("would be gone with the sandbox"),
        "{ran:#?}"
    );
}

#[test]
fn what_cannot_move_is_said_with_the_way_out() {
    let ran = on_a_whole_machine(&format!(
        "{CARD}{}",
        r#"
        try() { echo "$1" >/run/x.rhai; "$NETWRIGHT" run --host /run/x.rhai 2>&1 | grep -E '^(error|  help)' | head -3; }
        snapshot >/run/before
        try 'host().link("eth1").move(netns("theirs"));'
        try 'host().bridge("b0").move(netns("box"));'
        try 'host().link("lo").move(netns("box"));'
        try 'host().move("nosuch", netns("box"));'
        snapshot >/run/after; diff /run/before /run/after && echo same
        "#
    ));
    for said in [
        "`eth1` in `theirs` is there already",
        "stays in the namespace",
        "`lo` cannot move",
        "no link `nosuch` in `host`",
        "same",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {ran:#?}");
    }
    // Process 1 is in another namespace: what the machine's is called there means something else.
    let ran = on_a_machine(
        r#"
        ip link add eth1 type veth peer name far; echo 'host().link("eth1").move(netns("box"));' >/run/x.rhai
        "$NETWRIGHT" run --host /run/x.rhai 2>&1; echo "exit $?"; ip -o link show eth1 | grep -c eth1
        "#,
        &[],
    );
    assert!(ran.stdout.contains("process 1 is not in it") && ran.stdout.contains("exit 4\n1\n"), "{ran:#?}");
}

#[test]
fn a_failing_run_is_undone_to_the_last_setting() {
    let script = ScriptFile::new(&format!("{EVERYTHING}\nthrow \"on purpose\";\n"));
    let commands = format!(
        r#"{BEFORE}
        snapshot > /run/before
        "$NETWRIGHT" run --host "$1"; code=$?
        snapshot > /run/after
        echo "== before"; cat /run/before; echo "== after"; cat /run/after; echo "== end"
        exit $code"#
    );
    let ran = on_a_machine(&commands, &[script.path()]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("on purpose") && ran.stderr.contains("nothing left behind"), "{}", ran.stderr);
    same(ran.part("before"), ran.part("after"), "the machine");
}

#[test]
fn the_same_script_is_kept_when_it_does_not_fail() {
    let script = ScriptFile::new(EVERYTHING);
    let commands = format!(
        r#"{BEFORE}
        "$NETWRIGHT" run --host "$1" || exit
        echo "== after"; snapshot; echo "== end""#
    );
    let ran = on_a_machine(&commands, &[script.path()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let after = ran.part("after");
    for kept in [
        "pod-3",
        "nwbr0",
        "10.42.0.1/24",
        "10.99.0.1/32",
        "*filter :FORWARD DROP",
        "blackhole 10.8.0.0/16",
        "lookup 100",
    ] {
        assert!(after.contains(kept), "{kept} is not in\n{after}");
    }
}

#[test]
fn a_signal_in_the_middle_undoes_the_run() {
    // Once while it waits, and at moments while it builds.
    let waiting = ScriptFile::new(&format!("{EVERYTHING}\nnetns(\"ready\").exec(\"true\");\nsleep(\"60s\");\n"));
    let building = ScriptFile::new(&format!(
        "{EVERYTHING}\nnetns(\"ready\").exec(\"true\");\nfor i in 10..200 {{ netns(`pod-${{i}}`).plug(\"eth0\", br); }}\n"
    ));
    let commands = format!(
        r#"{BEFORE}
        snapshot > /run/before
        "$NETWRIGHT" run --host "$1" & run=$!
        for n in $(seq 300); do [ -e /run/netns/ready ] && break; sleep 0.05; done
        sleep "$3"
        kill -s "$2" $run; wait $run; code=$?
        snapshot > /run/after
        echo "== before"; cat /run/before; echo "== after"; cat /run/after; echo "== end"
        exit $code"#
    );
    for (script, signal, pause, code) in [
        (&waiting, "INT", "0.2", 130),
        (&waiting, "TERM", "0", 143),
        (&waiting, "HUP", "0", 129),
        (&building, "INT", "0.01", 130),
        (&building, "TERM", "0.05", 143),
    ] {
        let ran = on_a_machine(&commands, &[script.path(), signal, pause]);
        assert_eq!(ran.code, code, "{signal}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing left behind"), "{signal}: {}", ran.stderr);
        same(ran.part("before"), ran.part("after"), "the machine");
    }
}

/// A run made `web`; somebody else deleted it and made a `web` of his own. `sed` gives the run's journal the number of that one, as the kernel gives
/// it to the next namespace in half of all cases.
#[test]
fn a_namespace_with_the_number_of_a_dead_one_is_somebody_elses() {
    let kept = ScriptFile::new("netns(\"web\").link(\"lo\");\n");
    let ran = on_a_machine(
        r#"
        for end in kept killed; do
            case $end in
                kept) "$NETWRIGHT" run --host "$1" || exit 1 ;;
                killed) NETWRIGHT_TEST_KILL=before:6 "$NETWRIGHT" run --host "$1" ;;
            esac
            id=$(ls /run/netwright/runs)
            old=$(stat -L -c %i /run/netns/web); ip netns delete web; sleep 0.1; ip netns add web; new=$(stat -L -c %i /run/netns/web)
            ip -n web link add mine type bridge || exit 1
            grep -q "$old" /run/netwright/runs/$id/journal || exit 1
            sed -i "s/$old/$new/g" /run/netwright/runs/$id/journal
            case $end in kept) "$NETWRIGHT" down $id ;; killed) "$NETWRIGHT" gc ;; esac; echo "$end: code $?"
            ip -n web -o link show dev mine || echo "somebody's web is gone"
            "$NETWRIGHT" ps 2>&1
            ip netns delete web
        done
        "#,
        &[kept.path()],
    );
    for said in ["kept: code 0", "killed: code 0"] {
        assert!(ran.stdout.contains(said), "{}\n{}", ran.stdout, ran.stderr);
    }
    assert!(!ran.stdout.contains("gone") && ran.stdout.matches("mine").count() == 2, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("namespace `web` was made by somebody else").count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("no runs on this machine").count(), 2, "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn an_index_that_is_taken_is_passed_over() {
    let script = ScriptFile::new(
        r#"
        let host = host();
        host.bridge("a0");
        let first = host.ip("link show dev a0")[0].ifindex;
        for k in 1..=4 {
            host.ip(["link", "add", "name", `t${k}`, "index", `${first + k}`, "type", "bridge"], #{ undo: ["link", "delete", `t${k}`] });
        }
        host.bridge("b0");
        veth(host, "v0", netns("x"), "v1");
        netns("x").plug("eth0", host.link("b0"));
        if arg("fail", false) { throw "end"; }
        "#,
    );
    let ran = on_a_machine(
        r#"
        snapshot >/run/before
        "$NETWRIGHT" run --host "$1"; echo "code $?"; ip -o link
        "$NETWRIGHT" down "$1"; echo "code $?"
        "$NETWRIGHT" run --host "$1" --fail true; echo "code $?"
        snapshot >/run/after; diff /run/before /run/after && echo same
        "#,
        &[script.path()],
    );
    let codes: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("code")).collect();
    assert_eq!(codes, ["code 0", "code 0", "code 3"], "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(" b0: ") && ran.stdout.contains(" v0@"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("same\n"), "{}\n{}", ran.stdout, ran.stderr);
}

/// The command number once made the index, and came round after 4096 commands.
#[test]
fn links_can_be_made_after_thousands_of_commands() {
    if std::env::var_os("NETWRIGHT_FULL").is_none() {
        eprintln!("skipped: takes 20 s; NETWRIGHT_FULL=1 runs it");
        return;
    }
    let script = ScriptFile::new(
        r#"host().bridge("a0"); for i in 0..4200 { host().sysctl("net.ipv4.ip_forward", (i + 1) % 2); host().bridge(`b${i / 600}`); }"#,
    );
    let ran = on_a_machine(r#""$NETWRIGHT" run --host "$1"; "$NETWRIGHT" down "$1"; echo "code $?""#, &[script.path()]);
    assert!(ran.stdout.contains("code 0") && ran.stderr.contains("nothing left behind"), "{}", ran.stderr);
}

#[test]
fn what_a_run_made_and_deleted_itself_leaves_nothing_to_undo() {
    let ran = on_a_machine(
        r#"
        snapshot >/run/before
        for script in 'netns("x").delete();' 'host().bridge("b0").delete();' 'let n = netns("x"); n.bridge("br0").delete();' \
            'let b = host().bridge("b0").up(); netns("x").plug("eth0", b); netns("x").delete();' \
            'veth(host(), "v0", host(), "v1"); host().link("v1").delete();' 'veth(host(), "v0", host(), "v1"); host().link("v0").delete();' \
            'host().bridge("b0").rename("b1"); host().link("b1").delete(); host().bridge("b0");' \
            'netns("x").delete(); netns("x").bridge("b0"); netns("x").delete(); netns("x");'
        do
            echo "$script" >/run/s.rhai; echo "$script throw 1;" >/run/f.rhai
            "$NETWRIGHT" run --host /run/s.rhai 2>/run/said; ran=$?
            "$NETWRIGHT" down /run/s.rhai 2>>/run/said; down=$?
            "$NETWRIGHT" run --host /run/f.rhai 2>>/run/said; failed=$?
            "$NETWRIGHT" gc 2>>/run/said; gc=$?
            echo "$ran $down $failed $gc"; [ "$ran $down $failed $gc" = "0 0 3 0" ] || { echo "$script"; cat /run/said; }
            [ -e /run/netwright ] && { echo "$script"; find /run/netwright; }
        done
        snapshot >/run/after; diff /run/before /run/after && echo same
        "#,
        &[],
    );
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines, [vec!["0 0 3 0"; 8], vec!["same"]].concat(), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn what_nothing_can_undo_is_named_and_can_be_forgotten() {
    let ran = on_a_machine(
        r#"
        ip link add theirs type bridge; echo 'host().link("theirs").delete(); host().bridge("b0");' >/run/s.rhai
        "$NETWRIGHT" run --host /run/s.rhai; "$NETWRIGHT" down /run/s.rhai; echo "down $?"; "$NETWRIGHT" gc; echo "gc $?"
        "$NETWRIGHT" down --forget /run/s.rhai; echo "forget $?"
        "$NETWRIGHT" ps 2>&1; "$NETWRIGHT" gc; echo "gc $?"; ls /run/netwright 2>&1; ip -o link
        echo 'host().bridge("b1");' >/run/d.rhai; "$NETWRIGHT" run --host /run/d.rhai; id=$(ls /run/netwright/runs)
        echo garbage >>/run/netwright/runs/$id/journal; echo more >>/run/netwright/runs/$id/journal
        "$NETWRIGHT" down $id; echo "damaged $?"; "$NETWRIGHT" down --forget $id; echo "forget $?"; "$NETWRIGHT" ps 2>&1
        "#,
        &[],
    );
    let said = |text: &str| {
        assert!(ran.stdout.contains(text) || ran.stderr.contains(text), "{text}\n{}\n{}", ran.stdout, ran.stderr);
    };
    for text in [
        "down 5\n",
        "gc 5\n",
        "forget 0\nno runs on this machine\n",
        "gc 0\n",
        "damaged 3\n",
        "nobody knows what stays",
    ] {
        said(text);
    }
    said("left: ip link delete dev theirs (a deleted link cannot be made again as it was)");
    assert!(!ran.stdout.contains("b0"), "what can be undone is undone: {}", ran.stdout);
}

#[test]
fn ps_says_when_a_run_began_who_ran_it_and_how_long_it_took() {
    let kept = ScriptFile::new("host().bridge(\"b0\"); sleep(\"300ms\");\n");
    let (trial, goes_on) = (ScriptFile::new("host().bridge(\"b1\");\n"), ScriptFile::new("sleep(\"60s\");\n"));
    let ran = on_a_machine(
        r#"
        unset SUDO_USER DOAS_USER USER
        login=$(cat /proc/self/loginuid 2>/dev/null); case $login in ''|4294967295) login=$(id -u) ;; esac
        name=$(awk -F: -v uid="$login" '$3 == uid { print $1; exit }' /etc/passwd); echo "caller ${name:-uid $login}"
        "$NETWRIGHT" run --host "$1" 2>/dev/null; id=$(ls /run/netwright/runs)
        SUDO_USER=anna "$NETWRIGHT" run --host --try 60s "$2" 2>/dev/null
        # what an earlier version wrote: no time of the end, and a number for the user
        sed -i '/^{"end"/s/,"at_ms":[0-9]*//; 1s/"user":"[^"]*"/"user":"0"/' /run/netwright/runs/$id/journal
        "$NETWRIGHT" ps; sed -i 's/"began_ms":[0-9]*,//' /run/netwright/runs/$id/journal; "$NETWRIGHT" ps | grep -A1 "by root"
        "$NETWRIGHT" down $id 2>/dev/null; "$NETWRIGHT" run --host "$1" 2>/dev/null; DOAS_USER=otto "$NETWRIGHT" run --host "$3" & pid=$!
        for n in $(seq 100); do "$NETWRIGHT" ps | grep -q "$3" && break; sleep 0.1; done
        echo "now"; "$NETWRIGHT" ps; "$NETWRIGHT" ps --json; kill -INT $pid; wait $pid 2>/dev/null; "$NETWRIGHT" down "$2" 2>/dev/null
        "#,
        &[kept.path(), trial.path(), goes_on.path()],
    );
    let (then, now) = ran.stdout.split_once("now\n").unwrap_or_else(|| panic!("{ran:#?}"));
    let caller = then.lines().find_map(|line| line.strip_prefix("caller ")).unwrap();
    let lines = |text: &str, patterns: &[&str]| {
        for pattern in patterns {
            assert!(regex::Regex::new(&format!("(?m){pattern}")).unwrap().is_match(text), "{pattern}\n{ran:#?}");
        }
    };
    let at = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ";
    lines(
        then,
        &[
            r"^\d+-\d+-\d+  kept  .*  by root$",
            &format!(r"^    began [0-9.]+ m?s ago \({at}\)$"),
            &format!(r"^    began {at}$"),
            r"^\d+-\d+-\d+  trial .*  by anna$",
            &format!(
                r"^    began [0-9.]+ m?s ago \({at}\), took [0-9.]+ m?s, undone in [0-9.]+ (s|min) unless confirmed$"
            ),
        ],
    );
    lines(
        now,
        &[
            &format!(r"^\d+-\d+-\d+  kept  .*  by {}$", regex::escape(caller)),
            &format!(r"^    began [0-9.]+ m?s ago \({at}\), took [0-9.]+ m?s$"),
            r"^\d+-\d+-\d+  live  .*  by otto$",
            &format!(r"^    began [0-9.]+ m?s ago \({at}\), still going on$"),
        ],
    );
    let json: serde_json::Value =
        serde_json::from_str(now.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let runs = json["runs"].as_array().unwrap();
    let of = |state: &str| runs.iter().find(|run| run["state"] == state).unwrap_or_else(|| panic!("{json}"));
    let (kept, trial, live) = (of("kept"), of("trial"), of("live"));
    let took = kept["took_ms"].as_u64().unwrap();
    assert!((300..60_000).contains(&took) && kept["age_ms"].as_u64().unwrap() >= took, "{kept}");
    assert_eq!(kept["user"], caller);
    assert!(kept["confirm_ms"].is_null() && live["confirm_ms"].is_null() && live["took_ms"].is_null(), "{json}");
    assert!((1..=60_000).contains(&trial["confirm_ms"].as_u64().unwrap()), "{trial}");
    assert_eq!((&trial["user"], &live["user"]), (&"anna".into(), &"otto".into()));
}

#[test]
fn a_log_has_a_line_for_each_change_and_says_how_the_run_ended() {
    let script = ScriptFile::new(
        "host().bridge(\"b0\").addr(\"10.7.0.1/24\");\nif arg(\"fail\", false) {\n    host().bridge(\"b9\");\n    throw \"end\";\n}\n",
    );
    let ran = on_a_machine(
        r#"
        export SUDO_USER=anna
        for words in "" "" "--fail true"; do "$NETWRIGHT" run --host --log /run/log "$1" $words 2>/dev/null; echo "run $?"; done
        cat /run/log; ls /run/netwright/runs | wc -l
        "$NETWRIGHT" down --log /run/downs "$1" 2>/dev/null; echo "down $?"
        echo 'netns("x"); sleep("60s");' >/run/x.rhai; "$NETWRIGHT" run --host /run/x.rhai 2>/dev/null & pid=$!
        until [ -e /run/netns/x ]; do sleep 0.05; done; kill -9 $pid; wait $pid 2>/dev/null
        "$NETWRIGHT" gc --log /run/downs 2>/dev/null; echo "gc $?"; sed -E 's/.*: (undone)/\1/' /run/downs
        "$NETWRIGHT" gc --log journald 2>/dev/null; echo "gc $?"
        for to in journald /proc/none; do "$NETWRIGHT" run --host --log $to "$1" --fail true; echo "$to $?"; done
        ip -o link show dev b9 2>/dev/null | wc -l; stat -c %a /run/log
        "#,
        &[script.path()],
    );
    let logged: Vec<&str> = ran.stdout.lines().filter(|line| line.contains(" netwright[")).collect();
    let said: Vec<&str> =
        logged.iter().filter_map(|line| line.split_once("]: ")?.1.split_once(": ").map(|all| all.1)).collect();
    let begins = format!("{} begins, by anna", script.path());
    let with =
        |place: &str, words: &str| said.iter().filter(|line| line.contains(place) && line.contains(words)).count();
    assert_eq!(said.iter().filter(|line| **line == begins).count(), 3, "{ran:#?}");
    assert_eq!(
        (with(":1: ", "ip link add name b0"), with(":1: ", "10.7.0.1/24"), with(":3: ", "name b9")),
        (1, 1, 1),
        "{ran:#?}"
    );
    assert_eq!(
        (with("ended: ", " changed, 0 already so"), with("ended: 0 changed, ", " already so")),
        (1, 1),
        "{ran:#?}"
    );
    assert!(
        said.last().is_some_and(|line| line.starts_with("failed, undone ") && line.ends_with("nothing left behind")),
        "{ran:#?}"
    );
    let when = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z netwright\[\d+\]: \d+-\d+-\d+: ").unwrap();
    assert!(logged.iter().all(|line| when.is_match(line)), "{ran:#?}");
    // Nobody listens: nothing is done, and no run is left behind.
    for text in [
        "run 0\nrun 0\nrun 3\n",
        "down 0\ngc 0\nundone 3 of 3 steps, nothing left behind\nundone 2 of 2 steps, nothing left behind\ngc 4\n",
        "journald 4\n",
        "/proc/none 3\n",
        "\n0\n640\n",
    ] {
        assert!(ran.stdout.contains(text), "{text}\n{ran:#?}");
    }
    assert!(ran.stderr.contains("journald does not listen at `/run/systemd/journal/socket`"), "{ran:#?}");
}

/// The second shape takes the first away, which the run itself had made: nobody is owed it.
#[test]
fn a_link_that_was_shaped_twice_has_its_own_discipline_again() {
    let script = r#"
        ip link add name v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
        tc qdisc show dev v0 >/run/before
        [ "$1" = theirs ] && tc qdisc replace dev v0 root handle 7: tbf rate 3mbit burst 10kb latency 50ms && tc qdisc show dev v0 >/run/before
        "$NETWRIGHT" run --host /run/a.rhai 2>&1 || exit 1
        tc qdisc show dev v0 | grep -q 'rate 20Mbit' || { echo not shaped; exit 1; }
        "$NETWRIGHT" down "$(ls /run/netwright/runs | tail -1)" 2>&1
        diff /run/before <(tc qdisc show dev v0) && echo as before"#;
    let given = "cat >/run/a.rhai <<'E'\nlet v0 = host().link(\"v0\");\nv0.shape(#{ rate: \"10mbit\", direction: \"egress\" });\nv0.shape(#{ rate: \"20mbit\", direction: \"egress\" });\nE\n";
    for before in ["kernel", "theirs"] {
        let ran = on_a_machine(&format!("{given}{script}"), &[before]);
        assert!(ran.stdout.contains("as before"), "{before}: {ran:?}");
    }
}

/// Stands in for `ethtool`: what a link leaves to its device is a file of words; `lro` is fixed, and with a file `lies` it says yes and does nothing.
const ETHTOOL: &str = r#"
mkdir -p /run/features; cat >/run/ethtool <<'END'
#!/bin/sh
f=/run/features/$2; [ -e "$f" ] || printf 'rx on\ntx on\ntso on\ngro off\n' >"$f"
if [ "$1" = -k ]; then
    echo "Features for $2:"
    while read -r name is; do
        case $name in rx) name=rx-checksumming ;; tx) name=tx-checksumming ;; tso) name=tcp-segmentation-offload ;; gro) name=generic-receive-offload ;; esac
        echo "$name: $is"
    done <"$f"
    echo 'large-receive-offload: off [fixed]'
    exit 0
fi
echo "$*" >>/run/asked
[ -e /run/lies ] && exit 0
link=$2; shift 2
while [ $# -gt 1 ]; do sed -i "s/^$1 .*/$1 $2/" "/run/features/$link"; shift 2; done
END
chmod +x /run/ethtool
run() { "$NETWRIGHT" run --host --tool ethtool=/run/ethtool "$@" 2>&1; }
ip link add name v0 type veth peer name v1; ip link set v0 up; ip link set lo up
"#;

#[test]
fn what_a_link_leaves_to_its_device_is_set_once_read_back_and_undone() {
    let script = r#"
        printf 'host().link("v0").offload(#{ tx: false, gro: true, tso: false });' >/run/a.rhai
        run /run/a.rhai; echo "first $?"; cat /run/features/v0; cat /run/asked
        run /run/a.rhai; echo "again $?"; wc -l </run/asked
        printf 'host().link("v0").offload(#{ tx: true, tso: true }); throw "no";' >/run/b.rhai
        run /run/b.rhai; echo "failed $?"; cat /run/features/v0"#;
    let ran = on_a_machine(&format!("{ETHTOOL}{script}"), &[]);
    let (first, rest) = ran.stdout.split_once("first 0\n").expect(&ran.stdout);
    assert!(first.contains("ethtool -K v0 tso off"), "{first}");
    // What others need goes off last.
    let (state, rest) = rest.split_once("-K v0 tso off\n-K v0 tx off\n-K v0 gro on\n").expect(rest);
    assert_eq!(state, "rx on\ntx off\ntso off\ngro on\n");
    let (again, rest) = rest.split_once("again 0\n").expect(rest);
    assert!(again.contains("0 changed") && rest.starts_with("3\n"), "{again}{rest}");
    let (failed, state) = rest.split_once("failed 3\n").expect(rest);
    assert!(failed.contains("undone: 2 of 2 steps, nothing left behind"), "{failed}");
    assert_eq!(state, "rx on\ntx off\ntso off\ngro on\n");
}

#[test]
fn what_ethtool_cannot_or_does_not_do_is_said() {
    let script = r#"
        printf 'host().link("v0").offload(#{ lro: true });' >/run/a.rhai; run /run/a.rhai; echo "fixed $?"
        printf 'host().link("v0").offload(#{ ntuple: true });' >/run/a.rhai; run /run/a.rhai; echo "none $?"
        printf 'host().link("v0").offload(#{ lro: false, gro: false });' >/run/a.rhai; run /run/a.rhai; echo "already $?"
        touch /run/lies
        printf 'host().link("v0").offload(#{ tso: false });' >/run/a.rhai; run /run/a.rhai; echo "lies $?"
        "$NETWRIGHT" run --host --tool ethtool=/nowhere /run/a.rhai 2>&1; echo "missing $?""#;
    let ran = on_a_machine(&format!("{ETHTOOL}{script}"), &[]);
    let mut rest = ran.stdout.as_str();
    for (end, words) in [
        ("fixed 4", "`lro` of `v0` in `host` is fixed off"),
        ("none 3", "`v0` in `host` has no feature `ntuple`"),
        ("already 0", "0 changed"),
        ("lies 3", "`tso` of `v0` is still on"),
        ("missing 4", "`ethtool` is not at `/nowhere`"),
    ] {
        let (said, more) = rest.split_once(&format!("{end}\n")).unwrap_or_else(|| panic!("{end}: {}", ran.stdout));
        assert!(said.contains(words), "{words}: {said}");
        rest = more;
    }
}

#[test]
fn an_inverse_that_has_done_its_work_already_is_done() {
    let script = ScriptFile::new(
        r#"
        host().ip("rule del priority 1001", #{ undo: "rule add from 203.0.113.1 table 77 priority 1001" });
        if arg("fail", false) {
            try { host().ip("rule del priority 7777", #{ undo: "rule add from 203.0.113.2 table 77 priority 7777" }); } catch {}
            throw "end";
        }
        "#,
    );
    let ran = on_a_machine(
        r#"
        ip rule add from 203.0.113.1 table 77 priority 1001; snapshot >/run/before
        # before it acted, after it acted, and after the inverse ran but before that was written down
        for at in after:3 before:4; do
            NETWRIGHT_TEST_KILL=$at "$NETWRIGHT" run --host "$1" 2>/dev/null; "$NETWRIGHT" gc; echo "gc $?"; "$NETWRIGHT" gc; echo "gc $?"
        done
        "$NETWRIGHT" run --host "$1"; NETWRIGHT_TEST_KILL=before:1 "$NETWRIGHT" down "$1"; "$NETWRIGHT" down "$1"; echo "down $?"
        "$NETWRIGHT" run --host "$1" --fail true; echo "failed $?"
        snapshot >/run/after; diff /run/before /run/after && echo same; "$NETWRIGHT" ps 2>&1
        "#,
        &[script.path()],
    );
    let said: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("changed ")).collect();
    let wanted = ["gc 0", "gc 0", "gc 0", "gc 0", "down 0", "failed 3", "same", "no runs on this machine"];
    assert_eq!(said, wanted, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("File exists; taken for undone"), "{}", ran.stderr);
}

#[test]
fn a_run_that_waits_to_be_confirmed_can_be_taken_down() {
    let script = ScriptFile::new("host().bridge(\"b0\");\n");
    let ran = on_a_machine(
        r#"
        "$NETWRIGHT" run --host --try 60s "$1"; ip -o link show dev b0 | wc -l
        "$NETWRIGHT" down "$1"; echo "down $?"; ip -o link show dev b0 2>/dev/null | wc -l; "$NETWRIGHT" ps 2>&1
        for n in $(seq 50); do [ -e /run/netwright ] || break; sleep 0.1; done; ls -R /run/netwright 2>/dev/null
        "#,
        &[script.path()],
    );
    let said: Vec<&str> = ran.stdout.lines().filter(|line| !line.starts_with("changed ")).collect();
    assert_eq!(said, ["1", "down 0", "0", "no runs on this machine"], "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn runs_in_two_network_namespaces_that_share_run_do_not_meet() {
    let ran = on_a_machine(
        r#"
        ip netns add A; ip netns add B; echo 'host().bridge("br0").up(); print("up"); sleep("2s");' >/run/s.rhai
        ip netns exec A "$NETWRIGHT" run --host /run/s.rhai >/run/out & run=$!
        for n in $(seq 200); do grep -q up /run/out && break; sleep 0.05; done
        ip netns exec B "$NETWRIGHT" run --host /run/s.rhai; echo "B $?"; wait $run; echo "A $?"
        id=$(ls /run/netwright/runs | head -1)
        "$NETWRIGHT" down $id; echo "from outside $?"
        for netns in A B; do ip netns exec $netns "$NETWRIGHT" down /run/s.rhai >/run/out 2>&1 || true; done
        for id in $(ls /run/netwright/runs 2>/dev/null); do
            for netns in A B; do ip netns exec $netns "$NETWRIGHT" down $id; done
        done
        ip -n A -o link show dev br0; ip -n B -o link show dev br0
        echo 'host().bridge("br1").up(); netns("C"); sleep("60s");' >/run/k.rhai
        NETWRIGHT_TEST_KILL=before:9 ip netns exec B "$NETWRIGHT" run --host /run/k.rhai
        "$NETWRIGHT" gc; echo "gc beside it $?"
        ip netns delete B; ip link add br1 type bridge
        for n in $(seq 50); do "$NETWRIGHT" gc && [ ! -e /run/netwright ] && break; sleep 0.1; done
        "$NETWRIGHT" ps 2>&1; ip netns; ip -o link show dev br1 | wc -l
        "#,
        &[],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    for said in ["B 0\n", "A 0\n", "from outside 3\n", "gc beside it 0\n", "no runs on this machine\nA\n1\n"] {
        assert!(ran.stdout.contains(said), "{said}: {text}");
    }
    assert!(ran.stderr.contains("ip netns exec A netwright down"), "{text}");
    assert!(ran.stderr.contains("`ip netns exec B netwright gc` undoes it"), "{text}");
    assert!(!ran.stdout.contains("br0:"), "{text}");
}

#[test]
fn a_scan_that_could_not_look_does_not_say_that_there_is_nothing() {
    if !is_root() {
        println!("skipped: only root can put another program in the place of `iptables`");
        return;
    }
    for fake in ["exit 1", "exit 0", "echo nonsense", "echo oh no >&2; exit 4"] {
        let script = r#"
            mount -t tmpfs t /run; mkdir -p /run/netns; printf '#!/bin/sh\n%s\n' "$1" > /run/fake; chmod +x /run/fake
            # A namespace without a table is not asked for rules.
            iptables -A INPUT -s 10.9.9.9 -j ACCEPT
            "$NETWRIGHT" gc --scan; echo "before $?"
            mount --bind /run/fake "$(readlink -f "$(command -v iptables)")"
            "$NETWRIGHT" gc --scan 2>&1; echo "after $?"
        "#;
        let ran = common::on_a_machine_of_its_own(script, &[fake]);
        let (before, after) = ran.stdout.split_once("before 0\n").expect(&ran.stdout);
        assert!(ran.stderr.contains("nothing to clean up"), "{before} {ran:#?}");
        assert!(after.contains("not looked at: ") && after.ends_with("after 5\n"), "{fake}: {ran:#?}");
        assert!(!after.contains("nothing to clean up"), "{fake}: {ran:#?}");
    }
}

#[test]
fn a_scan_leaves_the_runs_of_others_with_a_run_folder_of_their_own_alone() {
    let script = ScriptFile::new(
        r#"let b = host().bridge("cbr").addr("10.9.0.1/24").up(); host().masquerade(b, "10.9.0.0/24"); print("up"); sleep("60s");"#,
    );
    let ran = on_a_machine(
        r#"
        unshare -m bash -c 'mount -t tmpfs t /run; mkdir -p /run/netns; exec "$NETWRIGHT" run --host "$0"' "$1" >/run/out & run=$!
        for n in $(seq 200); do grep -q up /run/out && break; sleep 0.05; done
        "$NETWRIGHT" gc --scan; echo "scan $?"; ip -o link show dev cbr | wc -l; iptables -t nat -S POSTROUTING | grep -c 10.9.0.0
        kill -9 $run; wait $run 2>/dev/null; for n in $(seq 50); do "$NETWRIGHT" gc --scan; ip link show dev cbr >/dev/null 2>&1 || break; sleep 0.1; done
        ip -o link show dev cbr 2>/dev/null | wc -l
        "#,
        &[script.path()],
    );
    assert!(ran.stdout.starts_with("scan 0\n1\n1\n") && ran.stdout.ends_with("0\n"), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn what_ip_is_asked_is_told_from_what_it_changes_however_it_is_written() {
    let ran = on_a_machine(
        r#"
        printf 'link add zz type bridge\n' >/run/batch; ip netns add red
        for words in 'xfrm state list' 'mptcp endpoint show' 'r g 127.0.0.1' 'a s'; do
            echo "try { host().ip(\"$words\"); } catch {} throw 1;" >/run/s.rhai; "$NETWRIGHT" run --host /run/s.rhai 2>/dev/null; echo "$words: $?"
        done
        for words in '-ba /run/batch' '--batch /run/batch' '-n red li add zz type bridge' '-force -bat /run/batch' '-a netns del'; do
            echo "host().ip(\"$words\");" >/run/s.rhai; "$NETWRIGHT" run --host /run/s.rhai 2>/run/said; echo "$words: $?"
            grep -q 'cannot be run here' /run/said || cat /run/said
        done
        echo 'host().ip("li add zz type bridge", #{ undo: "l d zz" }); throw 1;' >/run/s.rhai; "$NETWRIGHT" run --host /run/s.rhai 2>/dev/null; echo "li add: $?"
        ip -o link; ip -n red -o link; ip netns; ls /run/netwright 2>/dev/null
        "#,
        &[],
    );
    assert!(!ran.stdout.contains("zz:") && ran.stdout.contains("\nred"), "{}\n{}", ran.stdout, ran.stderr);
    let codes: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split_once(": ")?.1.get(..1)).take(10).collect();
    assert_eq!(codes, ["3"; 10], "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn an_iptables_that_says_yes_to_every_question_is_not_believed() {
    let script = ScriptFile::new("host().iptables(\"-A FORWARD -s 10.50.0.0/24 -j ACCEPT\");\n");
    let ran = on_a_machine(
        r#"
        real=$(command -v iptables); printf '#!/bin/sh\ncase " $* " in *" -C "*) exit 0;; esac\nexec %s "$@"\n' $real >/run/iptables; chmod +x /run/iptables
        iptables -A FORWARD -s 1.2.3.4 -j DROP; iptables -A FORWARD -s 10.50.0.9 -j ACCEPT
        "$NETWRIGHT" run --host --tool iptables=/run/iptables "$1"; echo "code $?"; iptables -S FORWARD
        "#,
        &[script.path()],
    );
    assert!(
        ran.stdout.contains("code 0\n") && ran.stdout.contains("-s 10.50.0.0/24"),
        "{}\n{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn what_the_users_own_programs_changed_is_not_said_to_be_undone() {
    let ran = on_a_machine(
        r#"
        echo 'netns("x").exec("true"); host().bridge("b0"); throw 1;' >/run/s.rhai; "$NETWRIGHT" run --host /run/s.rhai
        echo "host().bridge(\"b0\");
        host().exec(\"/bin/true secret\"); host().start(\"sleep 100\");
        if arg(\"fail\", false) { throw 1; }" >/run/t.rhai; "$NETWRIGHT" run --host /run/t.rhai --fail true
        "$NETWRIGHT" run --host /run/t.rhai; grep -r secret /run/netwright; "$NETWRIGHT" down /run/t.rhai; echo "down $?"
        "#,
        &[],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(
        ran.stderr.matches("nothing left behind").count(),
        1,
        "what ran in the run's own namespace went with it: {text}"
    );
    let unknown =
        "nothing left of them; 2 commands of the script's own were not undone: `true` (line 2), `sleep` (line 2)";
    assert_eq!(ran.stderr.matches(unknown).count(), 2, "{text}");
    let kept = "2 commands of the script's own will not be undone: `true` (line 2), `sleep` (line 2)";
    assert_eq!(ran.stderr.matches(kept).count(), 1, "{text}");
    assert!(ran.stdout.contains("down 0") && !ran.stdout.contains("secret"), "{text}");
}

#[test]
fn a_command_of_the_scripts_own_is_undone_by_what_the_script_says() {
    let ran = on_a_machine(
        r#"
        cat >/run/s.rhai <<'END'
host().exec("mkdir /run/made", #{ undo: "rmdir /run/made" });
host().exec("mkdir /run/netns", #{ undo: "touch /run/undone-what-it-did-not-do" });
host().run(["tee", "/run/made/x"], #{ stdin: "hello", env: #{ A: "b" }, undo: ["rm", "/run/made/x"] });
host().exec("true", #{ changes: false });
host().exec("touch /run/stays", #{ changes: true });
if arg("fail", false) { throw 1; }
END
        look() { ls /run/made; ls /run | grep -e undone -e stays; }
        echo "== failed"; "$NETWRIGHT" run --host /run/s.rhai --fail true; echo "code $?"; look
        echo "== kept"; "$NETWRIGHT" run --host /run/s.rhai; echo "code $?"; look; cat /run/made/x; echo
        echo "== down"; "$NETWRIGHT" down /run/s.rhai; echo "code $?"; look
        echo "== plan"; "$NETWRIGHT" plan /run/s.rhai
        echo "== end"
        "#,
        &[],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.part("failed").trim(), "code 3\nstays", "{text}");
    assert_eq!(ran.part("kept").trim(), "code 0\nx\nstays\nhello", "{text}");
    assert_eq!(ran.part("down").trim(), "code 0\nstays", "{text}");
    let named = "1 command of the script's own was not undone: `touch` (line 5)";
    assert_eq!(ran.stderr.matches(named).count(), 2, "{text}");
    let plan = ran.part("plan");
    for line in [
        "mkdir /run/made   # the script's own program; undone by: rmdir /run/made",
        "printf %s hello | env A=b tee /run/made/x   # the script's own program; undone by: env A=b rm /run/made/x",
        "true   # the script's own program; it changes nothing",
        "touch /run/stays   # the script's own program; nothing undoes it",
    ] {
        assert!(plan.lines().any(|one| one == line), "{line}\n{plan}");
    }
}

#[test]
fn files_of_a_namespace_go_with_the_run_and_what_others_changed_since_stays() {
    let ran = on_a_machine(
        r#"
        mkdir /run/upper /run/work
        mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc 2>/dev/null || { echo "== skipped"; echo "== end"; exit; }
        cat >/run/s.rhai <<'END'
let a = netns("a");
a.hosts(#{ "app.test": ["10.0.0.2", "2001:db8::2"] });
a.file("/etc/quite-new.conf", "x\n");
a.resolv_conf(["10.0.0.53", "2001:db8::53"], #{ search: ["lab.test"], options: "timeout:1" });
print(a.resolve("app.test").len());
print(a.run("cat /etc/quite-new.conf /etc/resolv.conf", #{ changes: false }));
if arg("fail", false) { throw 1; }
END
        look() { find /etc/netns /etc/quite-new.conf 2>/dev/null | sort; }
        echo "== failed"; "$NETWRIGHT" run --host /run/s.rhai --fail true; echo "code $?"; look
        echo "== kept"; "$NETWRIGHT" run --host /run/s.rhai; look
        echo "== again"; "$NETWRIGHT" run --host /run/s.rhai 2>&1 | grep changed
        echo "== down"; "$NETWRIGHT" down /run/s.rhai; echo "code $?"; look
        echo "== theirs"; "$NETWRIGHT" run --host /run/s.rhai >/dev/null; echo "mine" >/etc/netns/a/hosts; "$NETWRIGHT" down /run/s.rhai; echo "code $?"; look; cat /etc/netns/a/hosts
        rm -r /etc/netns; mkdir -p /etc/netns/a; echo machine >/run/real; ln -s /run/real /etc/netns/a/hosts
        echo "== link"; "$NETWRIGHT" run --host /run/s.rhai 2>&1 | grep -o 'hosts` is a symbolic link'; cat /run/real; ls -l /etc/netns/a | grep -c real
        echo "== end"
        "#,
        &[],
    );
    if ran.stdout.contains("== skipped") {
        println!("skipped: no overlay can be laid over /etc here");
        return;
    }
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    let said = "2\nx\nnameserver 10.0.0.53\nnameserver 2001:db8::53\nsearch lab.test\noptions timeout:1\n";
    assert_eq!(ran.part("failed").trim(), format!("{said}code 3"), "{text}");
    let files =
        ["quite-new.conf", "netns", "netns/a", "netns/a/hosts", "netns/a/quite-new.conf", "netns/a/resolv.conf"];
    for file in files {
        assert!(ran.part("kept").lines().any(|line| line == format!("/etc/{file}")), "{file}\n{text}");
    }
    assert!(ran.part("again").contains("0 changed"), "{text}");
    assert_eq!(ran.part("down").trim(), "code 0", "{text}");
    assert_eq!(ran.part("theirs").trim(), "code 0\n/etc/netns\n/etc/netns/a\n/etc/netns/a/hosts\nmine", "{text}");
    assert!(ran.stderr.contains("/etc/netns/a/hosts` set was changed since"), "{text}");
    assert_eq!(ran.part("link").trim(), "hosts` is a symbolic link\nmachine\n1", "{text}");
}

#[test]
fn the_sandbox_leaves_the_machine_alone() {
    let script = ScriptFile::new(EVERYTHING);
    let commands = format!(
        r#"{BEFORE}
        echo "== before"; snapshot
        "$NETWRIGHT" run "$1" || exit
        echo "== after"; snapshot; echo "== end""#
    );
    let ran = on_a_machine(&commands, &[script.path()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    same(ran.part("before"), ran.part("after"), "the machine");
}
