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
    let this_machine = || bash(&format!("{PRELUDE}snapshot"), &[]).stdout;
    let before = this_machine();
    let flags = if is_root() { "-nm" } else { "-Urnm" };
    let mut command = Command::new("unshare");
    command.args([flags, "bash", "-c", &format!("{PRELUDE}{MACHINE}{script}"), "test"]).args(args);
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

/// The parts of an output between lines `== NAME`.
#[track_caller]
fn part<'a>(output: &'a str, name: &str) -> &'a str {
    let mark = format!("== {name}\n");
    let from = output.find(&mark).unwrap_or_else(|| panic!("no {mark} in {output}")) + mark.len();
    let rest = &output[from..];
    rest.find("== ").map_or(rest, |to| &rest[..to])
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
    same(part(&ran.stdout, "once"), part(&ran.stdout, "twice"), "the machine");
    assert!(part(&ran.stdout, "once").contains("pod-1"), "{}", ran.stdout);
    assert!(ran.stderr.contains("netwright acts on this machine"), "{}", ran.stderr);
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
    same(part(&ran.stdout, "before"), part(&ran.stdout, "after"), "the machine");
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
    let after = part(&ran.stdout, "after");
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
        same(part(&ran.stdout, "before"), part(&ran.stdout, "after"), "the machine");
    }
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
    same(part(&ran.stdout, "before"), part(&ran.stdout, "after"), "the machine");
}
