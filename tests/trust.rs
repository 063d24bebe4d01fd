//! Nobody gains by it: what a plain user, a repository or the network puts in the way of a netwright that root runs. Each on a machine of its own.

mod common;

use std::process::{Command, Stdio};

use common::{NETWRIGHT, Ran, is_root, root};

/// `as_user` is somebody else on the machine.
const MACHINE: &str = r#"
set -u
mount --make-rprivate /; mount -t tmpfs t /run; mkdir -p /run/netns /run/work; mount -t sysfs s /sys 2>/dev/null; ip link set lo up; cd /run/work
as_user() { setpriv --reuid 12345 --regid 12345 --clear-groups "$@"; }
precious() { mkdir -p /run/rootonly; chmod 700 /run/rootonly; echo precious > /run/rootonly/file; chmod 600 /run/rootonly/file; chown 0:0 /run/rootonly/file; }
untouched() { [ "$(cat /run/rootonly/file)" = precious ] && [ "$(stat -c '%u %a' /run/rootonly/file)" = "0 600" ] || echo "TOUCHED: $1"; }
"#;

/// Runs a shell script as root on a machine of its own; `None` for a plain user, who is not root anywhere that matters.
fn on_a_machine(script: &str) -> Option<Ran> {
    if !is_root() {
        eprintln!("skipped: what root can be made to do only root can try");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", &format!("{MACHINE}{script}")]);
    command.env("NETWRIGHT", NETWRIGHT).env_remove("SUDO_UID").env_remove("GITHUB_ACTIONS");
    Some(command.current_dir(root()).stdin(Stdio::null()).output().expect("unshare").into())
}

#[test]
fn root_writes_nowhere_that_a_link_of_somebody_else_points_to() {
    let Some(ran) = on_a_machine(
        r#"
        precious; chown 12345 /run/work; echo 'test("x", || assert(true));' > a_test.rhai; echo 'host().bridge("b0");' > s.rhai
        for name in junit tap json md events audit summary folder; do as_user ln -s /run/rootonly/file $name; done
        export SUDO_UID=12345 SUDO_GID=12345 SUDO_USER=admin GITHUB_STEP_SUMMARY=summary
        for kind in junit tap json md; do "$NETWRIGHT" test --report $kind=$kind 2>/dev/null; echo "$kind $?"; untouched $kind; done
        "$NETWRIGHT" test --events events 2>/dev/null; echo "events $?"; untouched events
        "$NETWRIGHT" run --host --audit audit s.rhai 2>/dev/null; echo "audit $?"; untouched audit; ip link show b0 2>&1 | grep -c mtu
        "$NETWRIGHT" test --report github > /dev/null 2>&1; echo "summary $?"; untouched summary
        echo ':save junit' | "$NETWRIGHT" repl --host >/dev/null 2>&1; untouched save
        as_user ln -s /run/rootonly elsewhere; "$NETWRIGHT" test --report junit=elsewhere/new 2>/dev/null; echo "folder $?"; ls /run/rootonly
        HOME=/run/work "$NETWRIGHT" test --report junit=mine.xml > /dev/null 2>&1; stat -c %u mine.xml
        "#,
    ) else {
        return;
    };
    let expected = "junit 4\ntap 4\njson 4\nmd 4\nevents 4\naudit 3\n0\nsummary 4\nfolder 4\nfile\n12345\n";
    assert_eq!(ran.stdout, expected, "{}", ran.stderr);
}

#[test]
fn nobody_else_can_hold_a_run_or_its_names() {
    let Some(ran) = on_a_machine(
        r#"
        echo 'netns("web"); sleep("30s");' > live.rhai; echo 'netns("web");' > s.rhai
        "$NETWRIGHT" run --host live.rhai 2>/dev/null & run=$!
        until [ -e /run/netwright/claims/netns.web ] && [ -e /run/netns/web ]; do sleep 0.02; done
        find /run/netwright \( -type d ! -perm 700 -o -type f ! -perm 600 \) -printf 'open: %p %m\n'
        for file in /run/netwright/runs/*/lock /run/netwright/claims/netns.web; do as_user flock -n $file true 2>/dev/null && echo "held: $file"; done
        as_user "$NETWRIGHT" ps > /dev/null 2>&1; echo "ps $?"
        kill -9 $run; wait $run 2>/dev/null
        "$NETWRIGHT" gc 2>/dev/null; echo "gc $?"; "$NETWRIGHT" run --host s.rhai 2>/dev/null; echo "again $?"
        # An earlier netwright had left them open, and somebody holds the lock since then.
        id=$(ls /run/netwright/runs); chmod 755 /run/netwright /run/netwright/runs /run/netwright/runs/$id; chmod 644 /run/netwright/runs/$id/lock
        as_user flock /run/netwright/runs/$id/lock sleep 60 & until ! flock -n /run/netwright/runs/$id/lock true; do sleep 0.02; done
        "$NETWRIGHT" ps; "$NETWRIGHT" down s.rhai 2>/dev/null; echo "down $?"; ls /run/netns
        # A home of somebody else's is not believed.
        mkdir -p /run/netwright/runs/261129-000000-1; chown 12345 /run/netwright
        for command in ps gc "down x" "run --host s.rhai"; do "$NETWRIGHT" $command 2>&1 | grep -c 'made by the user 12345'; done; ls /run/netns
        "#,
    ) else {
        return;
    };
    let stdout: String =
        ran.stdout.lines().filter(|line| !line.starts_with("    ")).fold(String::new(), |all, line| {
            let line = if line.contains("  kept  ") { "kept" } else { line };
            all + line + "\n"
        });
    assert_eq!(stdout, "ps 4\ngc 0\nagain 0\nkept\ndown 0\n1\n1\n1\n1\n", "{}", ran.stderr);
}

#[test]
fn a_key_is_in_no_output_and_in_no_file() {
    let Some(ran) = on_a_machine(
        r#"
        cat > s.rhai <<'X'
let key = "0xfeed" + "face" + "feedfacefeedfacefeedfacefeedface";
try { host().ip(["xfrm", "state", "add", "src", "10.0.0.1", "dst", "10.0.0.2", "proto", "esp", "spi", "0x1", "auth", "hmac(sha1)", key],
    #{ undo: "xfrm state del src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x1" }); } catch (e) { print(e.message); print(e.command); }
try { host().ip(["xfrm", "state", "add", "src", "10.0.0.1", "dst", "10.0.0.2", "proto", "esp", "spi", "0x1", "auth", "nonsense(x)", key, "sel", "nonsense"]); } catch (e) { print(e); }
try { host().exec(["sh", "-c", "echo bad key >&2; exit 1", "wg", "private-key", key]); } catch (e) { print(e); }
host().bridge("b0");
X
        "$NETWRIGHT" run --host --trace --json --audit audit.log s.rhai > out 2>&1; echo "run $?"; "$NETWRIGHT" ps --json >> out
        "$NETWRIGHT" plan s.rhai >> out 2>&1; "$NETWRIGHT" run --trace s.rhai >> out 2>&1
        grep -c 'hidden' out; grep -rl feedface out audit.log /run/netwright
        stat -c %a audit.log
        "#,
    ) else {
        return;
    };
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines[0], lines[2..].join(" ").as_str()), ("run 0", "640"), "{}{}", ran.stdout, ran.stderr);
    assert!(lines[1].parse::<u32>().expect("a number") > 3, "{}", ran.stdout);
}

#[test]
fn programs_that_drop_their_environment_end_with_the_run() {
    let Some(ran) = on_a_machine(
        r#"
        cat > s.rhai <<'X'
let a = netns("a"); a.start(["env", "-i", "sleep", "777"]); a.start(["setsid", "-w", "env", "-i", "sleep", "778"]);
a.start(["sh", "-c", "setsid env -i sleep 779 & wait"]); a.exec(["sh", "-c", "env -i setsid sleep 776 > /dev/null 2>&1 &"]);
print("up"); sleep("30s");
X
        count() { ps -eo args | grep -c '^[s]leep 77'; }
        "$NETWRIGHT" run --host s.rhai > said 2>/dev/null & run=$!; until grep -q up said; do sleep 0.02; done
        until [ $(count) = 4 ]; do sleep 0.02; done
        kill -9 $run; wait $run 2>/dev/null; "$NETWRIGHT" gc 2>/dev/null; echo "gc $? $(count)"
        sed -i 's/sleep("30s")/throw 1/' s.rhai; "$NETWRIGHT" run --host s.rhai > /dev/null 2>&1; echo "failed $? $(count)"
        # A run that is kept keeps what `exec` has left, until `down`.
        sed -i 's/throw 1;//' s.rhai; "$NETWRIGHT" run --host s.rhai > /dev/null 2>&1; echo "kept $? $(count)"
        "$NETWRIGHT" down s.rhai 2> /dev/null; echo "down $? $(count)"
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "gc 0 0\nfailed 3 0\nkept 0 1\ndown 0 0\n", "{}", ran.stderr);
}

#[test]
fn nothing_of_the_callers_environment_changes_what_root_runs() {
    let Some(ran) = on_a_machine(
        r#"
        mkdir evil; for tool in ip iptables sysctl setsid; do printf '#!/bin/sh\necho "$0" >> /run/evil.log\nexec /usr/sbin/%s "$@"\n' $tool > evil/$tool; chmod +x evil/$tool; done
        chown -R 12345 evil; cp evil/ip ip; chown 12345 ip
        echo 'host().bridge("b0"); host().sysctl("net.ipv4.ip_forward", 1); host().iptables("-A INPUT -s 10.9.9.9 -j DROP");' > s.rhai
        for path in "/run/work/evil:$PATH" "evil:$PATH" ":$PATH" ".:$PATH"; do
            PATH=$path "$NETWRIGHT" run --host --try 1m s.rhai > /dev/null 2>&1; "$NETWRIGHT" confirm > /dev/null 2>&1; "$NETWRIGHT" down s.rhai 2>/dev/null; echo "$?"
        done
        cat /run/evil.log 2>/dev/null
        id=$(echo 'host().bridge("b0");' > t.rhai; "$NETWRIGHT" run --host t.rhai 2>/dev/null; ls /run/netwright/runs)
        for word in $id ../../../work .. / ""; do "$NETWRIGHT" __watch "$word" > /dev/null 2>&1; echo "watch $?"; done
        "$NETWRIGHT" ps | grep -c kept; ls -d /run/work /run/netwright/runs/$id/journal | wc -l
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "0\n0\n0\n0\nwatch 3\nwatch 3\nwatch 3\nwatch 3\nwatch 3\n1\n2\n", "{}", ran.stderr);
}

/// Not only the nine tools: all that netwright asks on its own account.
#[test]
fn root_asks_no_program_of_the_callers_and_waits_at_no_pipe() {
    let Some(ran) = on_a_machine(
        r#"
        mkdir evil; ip netns add x; ip netns exec x iptables -A INPUT -s 10.9.9.9 -j DROP; iptables -A INPUT -s 10.9.9.9 -j DROP
        for tool in iptables-nft-save ip6tables-nft-save iptables-legacy-save ip6tables-legacy-save ipset ss wg conntrack tcpdump; do
            printf '#!/bin/sh\necho "$0 $(id -u)" >> /run/evil.log\n' > evil/$tool; chmod +x evil/$tool; done
        chown -R 12345 evil
        asked() { for words in "show" "why host 127.0.0.1" "why x tcp/127.0.0.1:80" "doctor" "doctor --network" "snapshot"; do timeout 60 "$NETWRIGHT" $words > /dev/null 2>&1; echo "$words $?"; done; }
        PATH=/run/work/evil:$PATH asked > /dev/null; cat /run/evil.log 2> /dev/null
        mkfifo /run/netns/pipe; asked | grep 124; timeout 60 "$NETWRIGHT" gc --scan > /dev/null 2>&1; echo "gc $?"
        "#,
    ) else {
        return;
    };
    assert!(matches!(ran.stdout.as_str(), "gc 0\n" | "gc 5\n"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn captures_are_roots_alone() {
    let Some(ran) = on_a_machine(
        r#"
        command -v tcpdump > /dev/null || { echo skipped; exit; }
        mkdir tmp; chmod 1777 tmp; export TMPDIR=/run/work/tmp
        echo 'let c = host().capture("lo"); host().exec("ping -c1 127.0.0.1"); eventually("5s", || c.packets > 0);
            print(host().exec(["stat", "-c", "%a %u", c.file]).stdout.trim()); print(host().exec(["tcpdump", "-nr", c.file]).stdout.contains("ICMP echo")); print(c.file);' > s.rhai
        "$NETWRIGHT" run --host s.rhai > said; grep -E -v -- '/run/work/tmp/.*-[0-9a-f]{16}\.pcap$' said; ls -d tmp
        "#,
    ) else {
        return;
    };
    if ran.stdout == "skipped\n" {
        eprintln!("skipped: tcpdump is not installed");
        return;
    }
    assert_eq!(ran.stdout, "600 0\ntrue\ntmp\n", "{}", ran.stderr);
}

/// As anybody: a full disk behind standard output, and a runner of GitHub Actions that reads along.
#[test]
fn what_is_lost_on_standard_output_is_no_success() {
    let script = common::ScriptFile::new("host().bridge(\"b0\"); print(1);");
    let netwright = |args: &[&str], full: bool| {
        let mut command = Command::new(NETWRIGHT);
        command.args(args).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::piped());
        if full {
            let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
            command.stdout(full);
        }
        Ran::from(command.output().expect("netwright"))
    };
    for args in [&["plan", script.path()][..], &["run", script.path()], &["doc"], &["check", "--json", script.path()]] {
        let ran = netwright(args, true);
        assert_eq!(ran.code, 4, "{args:?} {}", ran.stderr);
        assert!(ran.stderr.contains("standard output does not have all"), "{args:?} {}", ran.stderr);
        assert_eq!(netwright(args, false).code, 0, "{args:?}");
    }
}

#[test]
fn a_runner_of_github_obeys_nothing_that_a_script_or_the_network_says() {
    let text = r#"print("::set-env name=x::y"); print("a\r ::error::b"); print("x ##[add-mask]1"); throw "a\n::stop-commands::x";"#;
    let script = common::ScriptFile::new(text);
    let run = |acts: bool| {
        let mut command = Command::new(NETWRIGHT);
        command.args(["run", script.path()]).env_remove("GITHUB_ACTIONS").stdin(Stdio::null());
        if acts {
            command.env("GITHUB_ACTIONS", "true");
        }
        Ran::from(command.output().expect("netwright"))
    };
    let said = run(true);
    let lines = || said.stdout.split(['\n', '\r']).chain(said.stderr.split(['\n', '\r']));
    assert!(lines().all(|line| !line.trim_start().starts_with("::") && !line.contains("##[")), "{said:?}");
    assert!(said.stdout.contains(": :set-env name=x::y") && said.stderr.contains("stop-commands"), "{said:?}");
    assert!(run(false).stdout.contains("\n::") || run(false).stdout.starts_with("::"), "only for a runner");
}

/// Few open files: the run works with fewer warm processes, or fails in one line; what it did is undone either way.
#[test]
fn with_few_open_files_a_run_works_or_is_undone() {
    let Some(ran) = on_a_machine(
        r#"
        cat > star.rhai <<'X'
let br = host().bridge("sb").addr("10.0.255.254/16").up(); host().iptables("-A INPUT -s 10.9.9.9 -j DROP");
for i in 1..=30 { let ns = netns(`s${i}`); ns.plug("eth0", br).addr(`10.0.0.${i}/16`); }
X
        for files in 24 32 64 256; do
            (ulimit -n $files; "$NETWRIGHT" run --host star.rhai > said 2>&1; code=$?
            if [ $code = 0 ]; then "$NETWRIGHT" down star.rhai > said 2>&1 || { echo "down of $files: $?"; cat said; }; fi
            case $code in 0|3|4) ;; *) echo "$files: $code"; cat said ;; esac)
            ls /run/netns | wc -l; ip link show sb 2>/dev/null; iptables -S INPUT | grep 10.9.9.9; ls /run/netwright 2>/dev/null
        done
        (ulimit -n 256; "$NETWRIGHT" run --host star.rhai > said 2>&1; echo "256: $?")
        # As many warm processes as may be open, and more namespaces: no answer is lost.
        for files in 48 64 80 96; do
            (ulimit -n $files; "$NETWRIGHT" run star.rhai > said 2>&1) || grep -qi 'too many open files' said || { echo "sandbox, $files"; cat said; }
        done
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "0\n0\n0\n0\n256: 0\n", "{}", ran.stderr);
}

/// Tools that lie: no panic, no hang, no success that is none. Short: some seconds; `NETWRIGHT_FULL=1`: 500 commands.
#[test]
fn no_tool_that_lies_makes_it_panic_hang_or_lie() {
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let cases = std::env::var("NETWRIGHT_CASES").unwrap_or_else(|_| if full { "500" } else { "14" }.to_owned());
    let stub = root().join("tests/spoil/stub.sh");
    let script = format!("CASES={cases}; STUB={}\n{}", stub.display(), include_str!("spoil/run.sh"));
    let Some(ran) = on_a_machine(&script) else { return };
    assert!(ran.stdout.contains(&format!("{cases} with tools that lie")), "{}\n{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("BAD"), "{}\n{}", ran.stdout, ran.stderr);
    for line in ran.stdout.lines() {
        match line.strip_prefix("JSON ") {
            Some(text) => drop(serde_json::from_str::<serde_json::Value>(text).expect(text)),
            None => println!("{line}"),
        }
    }
}

/// In a mount namespace of one's own every path can be made, and a file opened there can be sent to a process of somebody else's.
#[test]
fn a_file_of_the_same_path_makes_nobody_a_program_of_the_run() {
    let Some(ran) = on_a_machine(
        r#"
        echo 'let a = netns("a"); a.start("sleep 91"); sleep("60s");' > s.rhai
        "$NETWRIGHT" run --host s.rhai 2>/dev/null & run=$!
        until pgrep -f 'sleep 91$' > /dev/null; do sleep 0.05; done
        export mark=$(echo /run/netwright/runs/*/programs)
        unshare -m bash -c 'mount -t tmpfs t /run/netwright; mkdir -p ${mark%/*}; exec sleep 92 7> $mark' & other=$!
        until pgrep -f 'sleep 92$' > /dev/null; do sleep 0.05; done
        kill -9 $run; wait $run 2>/dev/null; "$NETWRIGHT" gc >/dev/null 2>&1; echo "gc $?"
        pgrep -f 'sleep 91$'; kill -0 $other && echo innocent; kill $other
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "gc 0\ninnocent\n", "{}", ran.stderr);
}

/// Anybody can have a `/run` of his own, and put there what holds whoever opens it.
#[test]
fn a_run_folder_of_somebody_else_neither_holds_gc_nor_hides_what_is_left() {
    let Some(ran) = on_a_machine(
        r#"
        ip link add orphan type bridge; ip link set orphan alias netwright:261129-000000-1
        iptables -A FORWARD -s 10.9.9.9 -m comment --comment netwright -j DROP
        cat > theirs <<'X'
mount -t tmpfs t /run; mkdir -p /run/netwright/runs/261129-000000-1; chmod -R 700 /run/netwright; cd /run/netwright/runs/261129-000000-1
case $1 in pipe) mkfifo journal ;; zeros) ln -s /dev/zero journal ;; text) echo '{}' > journal ;; esac; touch lock; exec sleep 93
X
        for kind in pipe zeros text; do
            as_user unshare -Urm bash theirs $kind & other=$!
            for _ in $(seq 200); do [ "$(ls /proc/$other/root/run/netwright/runs/*/lock 2>/dev/null)" ] && break; sleep 0.02; done
            (ulimit -v 4000000; timeout -k 1 60 "$NETWRIGHT" gc --scan --dry-run > said 2>&1); echo "$kind $? $(grep -c -e orphan -e 10.9.9.9 said)"; kill $other; wait $other 2>/dev/null
        done
        # Root's own, in a container, is believed: what it made is its own.
        unshare -m bash theirs text & other=$!
        for _ in $(seq 200); do [ "$(ls /proc/$other/root/run/netwright/runs/*/lock 2>/dev/null)" ] && break; sleep 0.02; done
        timeout 60 "$NETWRIGHT" gc --scan --dry-run > said 2>&1; echo "root's $? $(grep -c -e orphan -e 10.9.9.9 said)"; kill $other
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "pipe 0 2\nzeros 0 2\ntext 0 2\nroot's 0 0\n", "{}", ran.stderr);
}

/// The name under which `why --fix` lists its runs is no file's.
#[test]
fn no_pipe_in_a_folder_holds_a_run() {
    let Some(ran) = on_a_machine(
        r#"
        chown 12345 .; as_user mkfifo script.rhai "netwright why --fix"
        ip netns add a; ip link add a0 type veth peer name eth0 netns a; ip addr add 10.0.0.254/24 dev a0; ip link set a0 up
        ip -n a addr add 10.0.0.1/24 dev eth0; ip -n a link set eth0 up; ip -n a route add default via 10.0.0.254
        ip netns add b; ip link add b0 type veth peer name eth0 netns b; ip addr add 10.1.0.254/24 dev b0; ip link set b0 up
        ip -n b addr add 10.1.0.1/24 dev eth0; ip -n b link set eth0 up; ip -n b route add default via 10.1.0.254
        sysctl -qw net.ipv4.ip_forward=0
        timeout -k 1 60 "$NETWRIGHT" why a 10.1.0.1 --fix --yes > said 2>&1; echo "why $?"
        timeout -k 1 60 "$NETWRIGHT" run --host script.rhai > said 2>&1; echo "run $?"; grep -c 'nobody writes' said
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "why 0\nrun 6\n1\n", "{}", ran.stderr);
}

/// What `why --fix` has done is taken back and nothing else.
#[test]
fn what_fix_did_is_told_from_what_others_did() {
    let Some(ran) = on_a_machine(
        r#"
        ip netns add a; ip link add a0 type veth peer name eth0 netns a; ip addr add 10.0.0.254/24 dev a0; ip link set a0 up
        ip -n a addr add 10.0.0.1/24 dev eth0; ip -n a link set eth0 up; ip -n a route add default via 10.0.0.254
        ip netns add b; ip link add b0 type veth peer name eth0 netns b; ip addr add 10.1.0.254/24 dev b0; ip link set b0 up
        ip -n b addr add 10.1.0.1/24 dev eth0; ip -n b link set eth0 up; ip -n b route add default via 10.1.0.254
        # Killed between the intent and the act, while the same rule of somebody else's stands further down, too late.
        sysctl -qw net.ipv4.ip_forward=1; iptables -A FORWARD -s 10.0.0.0/24 -j DROP; iptables -A FORWARD -s 10.0.0.1/32 -d 10.1.0.1/32 -p icmp -j ACCEPT
        iptables -S FORWARD > before
        for line in 2 3 4; do
            NETWRIGHT_TEST_KILL=after:$line "$NETWRIGHT" why a 10.1.0.1 --fix --yes > said 2>&1; echo "killed $?"; "$NETWRIGHT" gc > said 2>&1 || cat said
            iptables -S FORWARD | diff before - && echo same
        done
        "$NETWRIGHT" why a 10.1.0.1 --fix --yes > said 2>&1; echo "mended $?"; "$NETWRIGHT" down "$(ls /run/netwright/runs)" > said 2>&1; iptables -S FORWARD | diff before - && echo same
        # A setting that somebody has changed since is his.
        iptables -F FORWARD; sysctl -qw net.ipv4.ip_forward=0; "$NETWRIGHT" why a 10.1.0.1 --fix --yes > said 2>&1; echo "mended $? $(sysctl -n net.ipv4.ip_forward)"
        sysctl -qw net.ipv4.ip_forward=2; "$NETWRIGHT" down "$(ls /run/netwright/runs)" > said 2>&1; grep -c 'changed since' said; sysctl -n net.ipv4.ip_forward
        "#,
    ) else {
        return;
    };
    // A release cannot be killed at a line.
    let killed = if cfg!(debug_assertions) { "killed 137\nsame\n" } else { "killed 0\nsame\n" };
    let killed = killed.repeat(3);
    assert_eq!(ran.stdout, format!("{killed}mended 0\nsame\nmended 0 1\n1\n2\n"), "{}", ran.stderr);
}

/// Settings of the kernel that are keys.
#[test]
fn a_setting_that_is_a_key_is_in_no_output() {
    let Some(ran) = on_a_machine(
        r#"
        sysctl -qw net.ipv4.tcp_fastopen_key=01234567-89abcdef-01234567-89abcdef
        echo 'let key = "11111111-" + "22222222-33333333-44444444"; host().sysctl("net.ipv4.tcp_fastopen_key", key); host().bridge("b0");' > s.rhai
        "$NETWRIGHT" snapshot > out; "$NETWRIGHT" snapshot --redact >> out
        "$NETWRIGHT" run --host --trace --json --audit audit.log s.rhai >> out 2>&1; echo "run $?"; "$NETWRIGHT" run --host --trace s.rhai >> out 2>&1
        "$NETWRIGHT" plan s.rhai >> out 2>&1; "$NETWRIGHT" ps --json >> out
        sysctl -qw net.ipv4.tcp_fastopen_key=55555555-66666666-77777777-88888888
        for run in $(ls /run/netwright/runs); do "$NETWRIGHT" down $run >> out 2>&1; done; grep -c 'changed since' out
        "$NETWRIGHT" run --host s.rhai >> out 2>&1; "$NETWRIGHT" down s.rhai >> out 2>&1; sysctl -n net.ipv4.tcp_fastopen_key
        grep -e 89abcdef -e 11111111-2 -e 6666 out audit.log
        "#,
    ) else {
        return;
    };
    assert_eq!(ran.stdout, "run 0\n1\n55555555-66666666-77777777-88888888\n", "{}", ran.stderr);
}
