//! Many things of a kind, which are made, looked at and undone together: as if each had been alone.

mod common;

use common::{ScriptFile, is_root, on_a_machine_of_its_own};

const PRIVATE: &str = "mount -t tmpfs run /run; mkdir /run/netns /run/lock; ip link set lo up;";

#[test]
fn rules_go_together_in_their_order_and_each_once() {
    if !is_root() {
        return;
    }
    let script = ScriptFile::new(
        r#"let r = netns("r");
for i in 1..=50 { r.iptables(`-A FORWARD -s 10.0.0.${i} -j ACCEPT`); }
r.iptables("-I FORWARD 1 -p tcp -j ACCEPT");
for i in 40..=60 { r.iptables(`-A FORWARD -s 10.0.0.${i}/32 -j ACCEPT`); }
r.iptables(["-A", "FORWARD", "-m", "comment", "--comment", "two words", "-j", "DROP"]);
r.iptables("-N own");
r.iptables("-A own -s 10.0.0.9 -j RETURN");
r.iptables("-t nat -A POSTROUTING -o lo -j MASQUERADE");
r.ip6tables("-A INPUT -s 2001:db8::1 -j DROP");
"#,
    );
    let ran = on_a_machine_of_its_own(
        &format!(
            r#"{PRIVATE} "$NETWRIGHT" run --host "$1" >/dev/null || exit 9
            ip netns exec r iptables -S FORWARD; ip netns exec r iptables -S own
            ip netns exec r iptables -t nat -S POSTROUTING; ip netns exec r ip6tables -S INPUT
            "$NETWRIGHT" run --host "$1" 2>&1 | tail -n 1; "$NETWRIGHT" down "$1" 2>&1; ip netns"#
        ),
        &[script.path()],
    );
    let mark = "-m comment --comment netwright";
    let mut wanted = vec!["-P FORWARD ACCEPT".to_owned(), format!("-A FORWARD -p tcp {mark} -j ACCEPT")];
    wanted.extend((1..=60).map(|n| format!("-A FORWARD -s 10.0.0.{n}/32 {mark} -j ACCEPT")));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines.get(..wanted.len()),
        Some(&wanted.iter().map(String::as_str).collect::<Vec<_>>()[..]),
        "{}",
        ran.stderr
    );
    let rest = &lines[wanted.len()..];
    assert!(rest[0].contains("two words"), "{rest:?}");
    let more = [
        format!("-A own -s 10.0.0.9/32 {mark} -j RETURN"),
        format!("-A POSTROUTING -o lo {mark} -j MASQUERADE"),
        format!("-A INPUT -s 2001:db8::1/128 {mark} -j DROP"),
    ];
    assert!(more.iter().all(|line| rest.contains(&line.as_str())), "{rest:?}");
    assert!(
        ran.stdout.contains("0 changed") && ran.stdout.contains("nothing left behind"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn the_rule_that_is_wrong_is_named_among_many() {
    if !is_root() {
        return;
    }
    let script = ScriptFile::new(
        "let r = netns(\"r\");\nfor i in 1..=30 {\n    r.iptables(`-A FORWARD -s 10.0.0.${i} -j ACCEPT`);\n}\n\
         r.iptables(\"-A FORWARD -s 10.1.0.1 -j NO-SUCH\");\nr.iptables(\"-A FORWARD -s 10.1.0.2 -j DROP\");\n",
    );
    let ran = on_a_machine_of_its_own(
        &format!(
            r#"{PRIVATE} "$NETWRIGHT" run --host "$1" >/dev/null; echo "exit $?"; ip netns; ls /run/netwright/runs 2>/dev/null"#
        ),
        &[script.path()],
    );
    assert!(ran.stderr.contains("NO-SUCH") && ran.stderr.contains(":5:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing left behind"), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("exit ") && !ran.stdout.starts_with("exit 0"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
}

#[test]
fn what_goes_together_leaves_what_is_of_others() {
    if !is_root() {
        return;
    }
    let script = ScriptFile::new(
        r#"let b = host().link("b0");
for i in 1..=60 {
    host().iptables(`-A FORWARD -s 10.0.0.${i} -j ACCEPT`);
    b.addr(`10.0.${i}.1/24`);
}
"#,
    );
    let ran = on_a_machine_of_its_own(
        &format!(
            r#"{PRIVATE} ip link add b0 type bridge; ip link set b0 up; ip address add 10.0.7.1/24 dev b0; ip address add 10.9.0.1/24 dev b0
            iptables -A FORWARD -s 10.0.0.7 -j ACCEPT; iptables -A FORWARD -s 10.9.0.0/24 -j DROP
            look() {{ iptables -S FORWARD; ip -o -4 address show dev b0; }}
            look >/run/before; "$NETWRIGHT" run --host "$1" >/dev/null || exit 9
            iptables -S FORWARD | wc -l; ip -o -4 address show dev b0 | wc -l
            "$NETWRIGHT" run --host "$1" 2>&1 | tail -n 1
            iptables -D FORWARD -s 10.0.0.20 -j ACCEPT -m comment --comment netwright; iptables -I FORWARD 9 -s 10.8.0.0/24 -j DROP
            ip address delete 10.0.30.1/24 dev b0
            "$NETWRIGHT" down "$1" 2>&1; iptables -D FORWARD -s 10.8.0.0/24 -j DROP; look | diff /run/before - && echo same"#
        ),
        &[script.path()],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.starts_with("62\n61\n"),
        "the policy, two of others, 59 rules; 59 addresses and two of others: {text}"
    );
    assert!(ran.stdout.contains("0 changed, 120 already so"), "{text}");
    assert!(ran.stdout.contains("nothing left behind") && ran.stdout.ends_with("same\n"), "{text}");
}

/// One rule that somebody has taken away: what could not go together goes alone, and is not tried together again for each.
#[test]
fn what_cannot_go_together_is_tried_so_once() {
    if !is_root() {
        return;
    }
    let script = ScriptFile::new(
        "for i in 1..=40 { host().iptables(`-A FORWARD -s 10.0.0.${i} -j ACCEPT`); }\n\
         host().exec(\"iptables -D FORWARD -s 10.0.0.20 -j ACCEPT -m comment --comment netwright\");\nthrow 1;\n",
    );
    let ran = on_a_machine_of_its_own(
        &format!(
            r#"{PRIVATE} mkdir /run/tools; multi=$(basename $(realpath $(command -v iptables)))
            printf '#!/bin/sh\nname=$(basename $0)\ncase $name in *restore) echo x >> /run/tools/count;; esac\nexec /usr/sbin/$name "$@"\n' > /run/tools/$multi
            chmod 755 /run/tools/$multi; for name in iptables iptables-nft-restore iptables-legacy-restore; do ln -s $multi /run/tools/$name; done
            "$NETWRIGHT" run --host --tool iptables=/run/tools/iptables "$1" 2>&1; wc -l < /run/tools/count; iptables -S FORWARD"#
        ),
        &[script.path()],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.ends_with("\n1\n-P FORWARD ACCEPT\n"), "tried together once, and nothing is left: {text}");
    assert!(ran.stdout.contains("undone: 40 of 40 steps"), "{text}");
}

/// The names of namespaces are all that `ip` is told of them: one process deletes all.
#[test]
fn namespaces_go_by_one_process() {
    if !is_root() {
        return;
    }
    let script = ScriptFile::new(
        "let last = netns(\"c0\");\nfor i in 1..=12 { let next = netns(`c${i}`); veth(last, \"right\", next, \"left\"); last = next; }\n",
    );
    let ran = on_a_machine_of_its_own(
        &format!(
            r#"{PRIVATE} mkdir /run/tools; ip=$(realpath $(command -v ip)); cp $ip /run/tools/real
            printf '#!/bin/sh\necho x >> /run/tools/count\nexec /run/tools/real "$@"\n' > /run/tools/ip; chmod 755 /run/tools/ip; mount --bind /run/tools/ip $ip
            "$NETWRIGHT" run --host "$1" 2>&1 | grep changed; : > /run/tools/count
            "$NETWRIGHT" down "$1" 2>&1; wc -l < /run/tools/count; ls /run/netns | wc -l"#
        ),
        &[script.path()],
    );
    let text = format!("{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("nothing left behind"), "{text}");
    let counts: Vec<u32> = ran.stdout.lines().rev().take(2).map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(counts[0], 0, "{text}");
    assert!((1..=4).contains(&counts[1]), "started `ip` {} times for 13 namespaces: {text}", counts[1]);
}
