//! A script as plain shell: the machine becomes what `run --host` makes of it, a second time changes nothing, and `down.sh` takes all of it back, also
//! when `up.sh` was killed at any step. Under every shell that is here.

mod common;

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use common::{NETWRIGHT, Ran, is_root, on_a_machine_of_its_own, on_threads, root};

/// A machine with an uplink.
const MACHINE: &str = r#"
set -u
mount -t tmpfs none /run; mkdir /run/netns; ip link set lo up
ip netns add isp
ip link add eth0 address 52:54:00:aa:bb:01 type veth peer name far address 52:54:00:00:00:01 netns isp
ip -n isp link set lo up; ip -n isp link set far up; ip -n isp address add 198.51.100.1/24 dev far
ip -n isp address add 203.0.113.1/32 dev lo; ip -n isp -6 address add 2001:db8:1::1/64 dev far nodad; ip -n isp -6 address add 2001:db8::1/128 dev lo nodad
ip link set eth0 up; ip address add 198.51.100.2/24 dev eth0; ip -6 address add 2001:db8:1::2/64 dev eth0 nodad
ip route add default via 198.51.100.1 dev eth0; ip -6 route add default via 2001:db8:1::1 dev eth0
cd "$(mktemp -d)"
take() { "$NETWRIGHT" snapshot -o "$1.json" 2>/dev/null; }
# What two machines that were built alike have otherwise: the MAC addresses that the kernel made up.
same() { "$NETWRIGHT" diff "$1.json" "$2.json" | grep -v -E 'address:|alias netwright:|^[a-z0-9-]+$' ; }
"#;

fn on_the_machine(script: &str, args: &[&str]) -> Ran {
    on_a_machine_of_its_own(&format!("{MACHINE}{script}"), args)
}

fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|it| it.success())
}

/// The shells of this machine.
fn shells() -> Vec<&'static str> {
    [("dash", "dash"), ("bash", "bash"), ("busybox", "busybox sh")]
        .into_iter()
        .filter(|(program, _)| has(program))
        .map(|(_, line)| line)
        .collect()
}

/// All scripts: of what has no plain command (a listener, a closure) the others' commands are left.
const SCRIPTS: [&str; 14] = [
    "01-two-namespaces",
    "02-container-network",
    "03-why",
    "04-policy_test",
    "05-runbook",
    "06-errors",
    "docker-host",
    "dual-stack",
    "firewall",
    "port-forward",
    "router",
    "star",
    "three-routers",
    "vxlan",
];

#[test]
fn plain_shell_makes_the_machine_what_a_run_makes_it_and_takes_it_back() {
    if !is_root() {
        return;
    }
    let shells = shells();
    assert!(!shells.is_empty(), "no shell");
    // Each script under one shell in the short form, all under all in the long one; each on a machine of its own, which mostly waits.
    let full = std::env::var_os("NETWRIGHT_FULL").is_some();
    let mine = |number: usize| if full { shells.clone() } else { vec![shells[number % shells.len()]] };
    let all: Vec<(&str, &str)> = SCRIPTS
        .iter()
        .enumerate()
        .flat_map(|(number, name)| mine(number).into_iter().map(move |shell| (*name, shell)))
        .collect();
    on_threads(&all, |(name, shell)| {
        let ran = on_the_machine(
            r#"
                script=$TOP/scripts/$1.rhai; shell=$2
                "$NETWRIGHT" emit -o out "$script" 2>emitted || { cat emitted; exit 1; }
                take before
                $shell out/up.sh -n >dry 2>dry.err || echo "dry failed"; take dry; "$NETWRIGHT" diff before.json dry.json
                [ -s dry.err ] && grep -v "would change" dry.err
                $shell out/up.sh 2>up.err || { echo "up failed"; cat up.err; }; take up
                $shell out/up.sh 2>again; grep -q "^changed 0, already so" again || { echo "again:"; cat again; }
                take again; "$NETWRIGHT" diff up.json again.json
                $shell out/verify.sh >tap || { echo "verify failed"; grep "^not ok" tap; }; tail -1 tap | grep -q '^ok' || echo "no TAP"
                $shell out/down.sh 2>down.err || { echo "down failed"; cat down.err; }; take down; "$NETWRIGHT" diff before.json down.json
                "$NETWRIGHT" run --host "$script" >/dev/null 2>run.err || { echo "run failed"; cat run.err; }; take run; same up run
                echo "commands $(grep -c . dry)"
                "#,
            &[name, shell],
        );
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(
            matches!(lines.as_slice(), [last] if last.starts_with("commands ") && *last != "commands 0"),
            "{name} under {shell}: {ran:#?}"
        );
    });
}

/// In the long form of every script at every step, in the short one of one at some.
#[test]
fn whatever_up_had_done_when_it_was_killed_is_taken_back() {
    if !is_root() {
        return;
    }
    let full = std::env::var_os("NETWRIGHT_FULL").is_some();
    let scripts = if full { &SCRIPTS[..] } else { &["dual-stack"] };
    let mut all = 0;
    for name in scripts {
        let ran = on_the_machine(
            r#"
            "$NETWRIGHT" emit -o out "$TOP/scripts/$2.rhai" >/dev/null 2>&1; take before
            # What is so by an earlier step already is no step to be killed at.
            steps=$(sh out/up.sh 2>&1 | sed -n 's/^changed \([0-9]*\),.*/\1/p'); sh out/down.sh 2>/dev/null; every=$1
            for step in $(seq 1 "$every" "$steps"); do
                for when in before after; do
                    if [ $when = before ]; then at='[ "$changed" = STEP ] \&\& kill -9 $$; "act_$1" || fail "$2"'
                    else at='"act_$1" || fail "$2"; [ "$changed" != STEP ] || kill -9 $$'; fi
                    sed "s/^    \"act_\$1\" || fail \"\$2\"\$/    ${at//STEP/$step}/" out/up.sh >out/killed.sh
                    sh out/killed.sh 2>/dev/null; code=$?
                    [ $code = 137 ] || echo "step $step $when: exit $code"
                    sh out/down.sh 2>said || { echo "step $step $when: down failed"; cat said; }
                    take down; "$NETWRIGHT" diff before.json down.json | sed "s/^/step $step $when: /"
                done
            done
            # A step that fails is taken back at once.
            sed 's/^act_2() .*/act_2() { false; }/' out/up.sh >out/fails.sh; sh out/fails.sh 2>said; echo "fails: exit $?"
            grep -c "failed:" said; take failed; "$NETWRIGHT" diff before.json failed.json
            echo "steps $steps"
            "#,
            &[if full { "1" } else { "5" }, name],
        );
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let [fails, count, steps] = lines.as_slice() else { panic!("{name}: {ran:#?}") };
        assert_eq!((*fails, *count), ("fails: exit 3", "1"), "{name}: {ran:#?}");
        let steps = steps.strip_prefix("steps ").and_then(|steps| steps.parse::<usize>().ok()).unwrap_or_default();
        assert!(steps > 0, "{name}: {ran:#?}");
        all += steps;
    }
    assert!(all > 20, "{all}");
    println!("{all} steps of {} scripts, killed before and after", scripts.len());
}

/// Former values are those of the machine, not of the rehearsal.
/// What `up.sh` made goes, whatever somebody did to it: `up.sh` would stumble over what is left.
#[test]
fn a_port_that_has_lost_its_bridge_is_taken_back() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        "$NETWRIGHT" emit -o out "$TOP/scripts/dual-stack.rhai" >/dev/null 2>&1; take before
        for round in 1 2 3; do
            sh out/up.sh 2>said || cat said; ip link set blue-eth0 nomaster; ip netns exec blue ping -c 1 -W 1 10.6.0.2 >/dev/null
            sh out/down.sh 2>said || cat said; ip link show dev blue-eth0 2>/dev/null && echo "blue-eth0 is left"
        done
        take down; "$NETWRIGHT" diff before.json down.json; echo done
        "#,
        &[],
    );
    assert_eq!(ran.stdout, "done\n", "{ran:#?}");
}

#[test]
fn what_was_there_before_gets_its_own_values_back() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        ip link add brx type bridge; ip link add lan9 address 02:00:00:00:00:09 type veth peer name far9 netns isp; ip link set lan9 master brx; ip link set brx up
        ip link set lan9 mtu 1450; sysctl -qw net.ipv4.conf.lan9.rp_filter=2; iptables -A FORWARD -s 10.9.9.9 -j DROP
        cat >before.rhai <<'R'
let h = host();
let lan = h.link("lan9");
lan.mtu(1300).mac("02:00:00:00:00:77").master(h.bridge("br9").up()).up();
h.sysctl("net.ipv4.conf.lan9.rp_filter", 1);
h.iptables("-P FORWARD DROP");
h.iptables("-D FORWARD -s 10.9.9.9 -j DROP");
R
        take before; "$NETWRIGHT" emit --on this -o out before.rhai 2>emitted || cat emitted
        # The values that come back are those of the moment, not those of the rehearsal.
        ip link set lan9 mtu 1440; take before
        sh out/up.sh 2>said || cat said; take up; "$NETWRIGHT" diff before.json up.json | grep -c -E 'lan9 (mtu|address|master|state)|rp_filter|FORWARD'
        sh out/up.sh 2>&1 | grep -c "changed 0"; sh out/verify.sh | grep -c "^not ok"; sh out/down.sh 2>said || cat said
        take down; "$NETWRIGHT" diff before.json down.json; echo ended
        "#,
        &[],
    );
    assert_eq!(ran.stdout, "7\n1\n0\nended\n", "{ran:#?}");
}

/// Verify asked for a link by its first name, and a second `up.sh` failed to make it again.
#[test]
fn a_link_that_was_renamed_or_moved_is_asked_for_where_it_is() {
    let ran = on_the_machine(
        r#"
        cat >x.rhai <<'X'
let box = netns("box");
let ends = veth(host(), "out0", host(), "spare");
ends[0].mtu(1400).rename("out1").addr("10.9.0.1/24").up();
ends[1].move(box).rename("nic").rename("eth0").addr("10.9.0.2/24").up();
expect(host()).reaches("10.9.0.2");
X
        "$NETWRIGHT" emit -o out x.rhai >/dev/null 2>&1; ls /sys/class/net >before
        sh out/up.sh >/dev/null; echo "up $?"; sh out/verify.sh >said; echo "verify $?"; grep 'not ok' said
        sh out/up.sh 2>&1 | tail -1; ip -n box link set dev eth0 down; sh out/verify.sh >/dev/null; echo "broken $?"
        sh out/down.sh >/dev/null; echo "down $?"; ls /sys/class/net | diff before - && ip netns list | grep -c box
        "#,
        &[],
    );
    assert_eq!(ran.stdout, "up 0\nverify 0\nchanged 0, already so 12\nbroken 1\ndown 0\n0\n", "{ran:#?}");
}

#[test]
fn verify_finds_what_is_broken() {
    if !is_root() {
        return;
    }
    let breakages = [
        ("dual-stack", "ip link set nw6 down"),
        ("dual-stack", "ip link del blue-eth0"),
        ("dual-stack", "ip link set blue-eth0 nomaster"),
        ("dual-stack", "ip link set green-eth0 down"),
        ("dual-stack", "ip address del 10.6.0.254/24 dev nw6"),
        ("dual-stack", "ip -6 address del fd00:6::fe/64 dev nw6"),
        ("dual-stack", "ip -n blue address del 10.6.0.1/24 dev eth0"),
        ("dual-stack", "ip -n blue -6 address del fd00:6::1/64 dev eth0"),
        ("dual-stack", "ip -n blue link set eth0 down"),
        ("dual-stack", "ip -n green route del default"),
        ("dual-stack", "ip -n green -6 route del default"),
        ("dual-stack", "sysctl -qw net.ipv4.ip_forward=0"),
        ("dual-stack", "sysctl -qw net.ipv6.conf.all.forwarding=0"),
        ("dual-stack", "iptables -t nat -F POSTROUTING"),
        ("dual-stack", "ip6tables -t nat -F POSTROUTING"),
        ("dual-stack", "ip netns del green"),
        ("firewall", "ip netns exec firewall iptables -P FORWARD ACCEPT"),
        ("firewall", "ip netns exec firewall iptables -D FORWARD 1"),
        ("firewall", "ip -n firewall link set in down"),
        ("firewall", "ip -n inside route replace default via 10.9.1.9"),
        ("firewall", "ip netns exec firewall sysctl -qw net.ipv4.ip_forward=0"),
    ];
    // Every third in the short form.
    let every = if std::env::var_os("NETWRIGHT_FULL").is_some() { 1 } else { 3 };
    let breakages: Vec<_> = breakages.into_iter().step_by(every).collect();
    let parts: Vec<&[(&str, &str)]> = breakages.chunks(breakages.len().div_ceil(4)).collect();
    on_threads(&parts, |breakages| each_is_found(breakages));
}

fn each_is_found(breakages: &[(&str, &str)]) {
    let mut script = String::from(
        "for name in dual-stack firewall; do \"$NETWRIGHT\" emit -o $name \"$TOP/scripts/$name.rhai\" 2>/dev/null; done\n",
    );
    for (name, breakage) in breakages {
        let _ = writeln!(
            script,
            "sh {name}/up.sh 2>/dev/null || echo up failed\n\
             {breakage} || echo \"cannot: {breakage}\"\n\
             sh {name}/verify.sh >tap 2>&1; echo \"$? $(grep -c '^not ok' tap) {breakage}\"\n\
             sh {name}/down.sh >/dev/null 2>&1; rm -rf /run/netwright-shell; ip link del nw6 2>/dev/null\n\
             for netns in blue green inside outside firewall; do ip netns del $netns 2>/dev/null; done\n\
             iptables -t nat -F; ip6tables -t nat -F; sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"
        );
    }
    let ran = on_the_machine(&script, &[]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), breakages.len(), "{ran:#?}");
    for line in lines {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("1"), "{line}");
        assert!(words.next().and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0), "{line}");
    }
}

#[test]
fn names_and_values_come_through_as_data() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        cat >odd.rhai <<'R'
let h = host();
h.iptables(["-A", "INPUT", "-m", "comment", "--comment", "it's $(touch pwned) `touch pwned` \"q\" é * ; & | > x", "-j", "ACCEPT"]);
h.iptables(["-A", "INPUT", "-m", "comment", "--comment", "-n leading", "-j", "ACCEPT"]);
let a = netns("a-1.x");
h.exec(["sh", "-c", "echo \"$1\" >said", "x", "a  b 'c' $HOME"]);
a.listen("tcp/80");
check("it is # one", || true);
R
        "$NETWRIGHT" emit -o out odd.rhai 2>emitted; echo "emit $?"; grep -c "netwright itself listens on" emitted
        "$NETWRIGHT" emit -o out odd.rhai 2>there; echo "there $?"; "$NETWRIGHT" emit --strict --force -o out odd.rhai 2>strict; echo "strict $?"
        take before
        for shell in dash bash "busybox sh"; do
            command -v ${shell%% *} >/dev/null || continue
            $shell out/up.sh 2>err || cat err
            [ -e pwned ] && echo "a command came through"
            iptables -S INPUT | grep -c -F '$(touch pwned) `touch pwned`'; iptables -S INPUT | grep -c -F -- '"-n leading"'
            [ "$(cat said)" = "a  b 'c' $HOME" ] || [ "$(cat said)" = "a  b 'c' \$HOME" ] || echo "said: $(cat said)"
            $shell out/verify.sh | grep -c 'ok .* # SKIP'; $shell out/down.sh 2>/dev/null; take down; "$NETWRIGHT" diff before.json down.json
        done
        "#,
        &[],
    );
    let mut lines = ran.stdout.lines();
    for expected in ["emit 0", "1", "there 3", "strict 4"] {
        assert_eq!(lines.next(), Some(expected), "{ran:#?}");
    }
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest, ["1", "1", "1"].repeat(shells().len()), "{ran:#?}");
}

#[test]
fn keys_are_in_the_scripts_that_run_them_and_nowhere_else() {
    if !is_root() {
        return;
    }
    let ran = on_the_machine(
        r#"
        echo 'let key = "0xfeed" + "face"; host().exec(["sh", "-c", "echo $2 >got", "x", "psk", key]);' >keys.rhai
        "$NETWRIGHT" emit -o out keys.rhai >said 2>&1; echo "emit $?"; rm -f got
        grep -c "its key stands in up.sh" said; stat -c %a out/up.sh out/down.sh
        sh out/up.sh -n >>said 2>&1; sh out/up.sh >>said 2>&1; echo "up $?"; cat got; sh out/verify.sh >>said 2>&1; sh out/down.sh >>said 2>&1; echo "down $?"
        "$NETWRIGHT" plan keys.rhai >>said 2>&1; grep -c feedface said
        "#,
        &[],
    );
    assert_eq!(ran.stdout, "emit 0\n1\n700\n700\nup 0\n0xfeedface\ndown 0\n0\n", "{ran:#?}");
}

#[test]
fn shellcheck_has_nothing_to_say() {
    if !has("shellcheck") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for name in SCRIPTS {
        let out = folder.path().join(name);
        let script = format!("scripts/{name}.rhai");
        let emitted = Command::new(NETWRIGHT)
            .args(["emit", "-o"])
            .arg(&out)
            .arg(&script)
            .current_dir(root())
            .output()
            .expect("netwright");
        let emitted = Ran::from(emitted);
        if emitted.code == 4 && !is_root() {
            return;
        }
        assert_eq!(emitted.code, 0, "{name}: {emitted:#?}");
        let checked = Command::new("shellcheck")
            .args(["--shell", "sh", "--severity", "warning"])
            .args(["up.sh", "verify.sh", "down.sh"].map(|file| out.join(file)))
            .output()
            .expect("shellcheck");
        assert!(checked.status.success(), "{name}:\n{}", String::from_utf8_lossy(&checked.stdout));
    }
}
