//! `netwright why` against real faults, each in private namespaces: the shared corpus, and faults that are not in it. The short form has
//! some of each sort; `NETWRIGHT_FULL=1` runs all of it, and mends each with the commands that are printed.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Faults of the short form, and the codes they must be named with.
const SHORT: [(&str, &str); 14] = [
    ("port_isolated", "PORT_ISOLATED"),
    ("host_port_down", "LINK_ADMIN_DOWN"),
    ("ebtables_drop", "L2_FILTER_DROP"),
    ("dst_prefix_host32", "PREFIX_MISMATCH"),
    ("wrong_gateway_dead", "ROUTE_GATEWAY_DEAD"),
    ("dst_no_return_route", "RETURN_ROUTE_MISSING"),
    ("rp_filter_strict", "RP_FILTER"),
    ("ip_forward_off", "FORWARDING_DISABLED"),
    ("forward_rule_drop", "NF_DROP"),
    ("nft_only_forward_drop", "NF_DROP"),
    ("legacy_forward_drop", "NF_POLICY_DROP"),
    ("masq_missing", "NAT_MISSING"),
    ("dnat_hairpin_no_snat", "HAIRPIN_NO_SNAT"),
    ("v6_nd_blocked", "V6_ND_BLOCKED"),
];
const DECOYS: [&str; 3] = ["decoy:healthy_nat", "decoy:forward_drop_but_bridged", "decoy:drop_rule_other_source"];
/// Of the faults that are not in the shared corpus: some that `why` did not name at first sight; the long form has all.
const OWN: [(&str, &str); 7] = [
    ("local_route_hijack", "ROUTE_WRONG_NEXTHOP"),
    ("macvlan_private", "PORT_ISOLATED"),
    ("notrack_kills_masq", "NAT_WRONG"),
    ("snat_to_stranger", "NAT_WRONG"),
    ("v6_dad_failed", "V6_DAD_FAILED"),
    ("vxlan_ttl", "TTL_EXPIRED"),
    ("source_taken", "ADDR_DUPLICATE"),
];
/// Problems of public trackers that the short form plays: quick ones, for what is refused need not be waited for.
const PUBLIC: [&str; 2] = ["22", "28"];
/// Those that no command can mend: a service without endpoints wants an endpoint, a macvlan another way to its host, others another process,
/// socket or key, or more ports of the provider.
const PUBLIC_WITHOUT_COMMAND: [&str; 10] = ["19", "78", "112", "115", "122", "130", "139", "142", "147", "153"];
/// Those that cannot be seen without a probe: a key of a socket, the address that a program answers from.
const PUBLIC_UNSEEN: [&str; 2] = ["115", "122"];
const OWN_DECOYS: [&str; 2] = ["decoy:proxy_arp", "decoy:locked_but_known"];

fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus", name].iter().collect()
}

const NETWRIGHT: &str = env!("CARGO_BIN_EXE_netwright");

/// Whether this machine can play one, with these tools; says why not.
fn possible(tools: &[&str]) -> bool {
    let runs = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !runs("unshare", &["-n", "-m", "true"]) {
        eprintln!("skipped: it needs root (unshare -n -m)");
        return false;
    }
    let missing = tools.iter().find(|tool| !runs(tool, &["--version"]) && !runs(tool, &["-V"]));
    if let Some(tool) = missing {
        eprintln!("skipped: it needs {tool}");
    }
    missing.is_none()
}

/// What `ask.sh` said about a fault: code, code of the JSON, verdict, confidence, whether the text names it, whether it was mended.
struct Asked {
    name: String,
    words: Vec<String>,
}

impl Asked {
    fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }

    /// Text and JSON agree, and the flight recorder does not contradict them.
    fn consistent(&self) -> bool {
        self.word(0) == self.word(1) && self.word(3) != "contradicted"
    }
}

/// One lab at a time: what is asked waits for answers, and must not wait for other labs.
static LAB: Mutex<()> = Mutex::new(());

fn ask(faults: &str, names: &[&str]) -> Option<Vec<Asked>> {
    if !possible(&["python3"]) {
        return None;
    }
    let _lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let run = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["-n", "-m"])
        .args([corpus("ask.sh"), corpus(faults), NETWRIGHT.into()])
        .args(names)
        .env("DX_RUN", run.path().join("dx"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    eprint!("{said}");
    let asked: Vec<Asked> = said
        .lines()
        .filter_map(|line| line.strip_prefix("RESULT "))
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Asked { name: words.next().unwrap_or_default(), words: words.collect() }
        })
        .collect();
    assert_eq!(asked.len(), names.len(), "{said}");
    Some(asked)
}

fn in_short(faults: &str, wanted: &[(&str, &str)], decoys: &[&str]) {
    let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).chain(decoys.iter().copied()).collect();
    let Some(asked) = ask(faults, &names) else { return };
    for one in asked {
        let code = wanted.iter().find(|(name, _)| *name == one.name).map_or("reachable", |(_, code)| code);
        assert!(one.word(0) == code && one.word(4) == "yes", "{} should be {code}: {:?}", one.name, one.words);
        assert!(one.consistent() && one.word(5) != "no", "{}: {:?}", one.name, one.words);
    }
}

fn in_full(faults: &str) {
    if std::env::var_os("NETWRIGHT_FULL").is_none_or(|full| full != "1") {
        eprintln!("skipped: NETWRIGHT_FULL=1 asks about all of {faults}");
        return;
    }
    let list = Command::new(corpus(faults)).arg("list").output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    // The fault of a full connection table is loaded by the tool `conntrack`.
    let conntrack = Command::new("conntrack").arg("--version").output().is_ok();
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| conntrack || *name != "conntrack_full")
        .collect();
    let Some(asked) = ask(faults, &names) else { return };
    let wrong: Vec<String> = asked
        .iter()
        .filter(|one| {
            if one.name.starts_with("decoy:") {
                return one.word(0) != "reachable" || !one.consistent();
            }
            let want = Command::new(corpus(faults)).args(["expect", &one.name]).output().unwrap();
            let want = String::from_utf8_lossy(&want.stdout).split_whitespace().next().unwrap_or_default().to_owned();
            // What the state cannot tell apart, and what only people know, is listed with the fault.
            let right = want.split('|').any(|code| code == one.word(0)) && one.word(4) == "yes";
            let mended = one.word(5) != "no" || one.name == "link_moved";
            // Zones are not walked; a redirect by tc is only seen in its counters, and not always in time.
            let honest =
                one.word(0) == "inconclusive" && ["conntrack_zone", "tc_redirect"].contains(&one.name.as_str());
            !(honest || right && mended && one.consistent())
        })
        .map(|one| format!("{} {:?}", one.name, one.words))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Plays cases of `public/` whose numbers match: each is named rightly, mended by what is printed, and not called reachable without a probe.
fn public(pattern: &str) {
    if !possible(&["python3", "socat", "ipset"]) {
        return;
    }
    let _lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(corpus("public/grade.sh"))
        .args([NETWRIGHT.as_ref(), corpus("public").as_os_str(), pattern.as_ref()])
        .env_remove("INSIDE")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    eprint!("{said}");
    let mut played = 0;
    let mut wrong = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [id, score, _, _, mended, lie] = words.as_slice() else { continue };
        played += 1;
        let mended = *mended == "mended=yes" || PUBLIC_WITHOUT_COMMAND.contains(id);
        let honest = *lie == "no-probe=-" || PUBLIC_UNSEEN.contains(id);
        if !(*score == "right" && mended && honest) {
            wrong.push(line.to_owned());
        }
    }
    assert!(played > 0, "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn problems_of_strangers_are_named_and_mended() {
    public(&format!("^({})$", PUBLIC.join("|")));
}

/// Cases of `public/` that are asked without a packet, which takes no waiting: what they must say stands in `expected.tsv`. The first one is
/// asked by another, too, and what was mended in the second one is no longer blamed.
#[test]
fn what_rules_routes_and_bridges_do_unseen_is_predicted() {
    if !possible(&["python3", "socat", "nft"]) {
        return;
    }
    let script = r#"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys; ip link set lo up; cd "$2"
        ask() { "$nw" why "$@" --no-probe --json | python3 -c 'import json,sys; d=json.load(sys.stdin); c=d["culprit"] or {}
print(sys.argv[1], c.get("code", d["verdict"]), c.get("netns", "-"), c.get("message", "-"), sep="\t")' "$id"; }
        nw=$1; for id in 162 163 164 165 166 168 169 171; do f=$(echo $id-*.sh); ./$f build >/dev/null; sleep 0.2; ask $(./$f flow)
            [ $id = 162 ] && ask pc-gw tcp/10.241.32.10:6443; [ $id = 163 ] && { ./$f fix; id=mended ask $(./$f flow); }; ./$f clean; done"#;
    let _lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", script, "sh", NETWRIGHT])
        .arg(corpus("public"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = std::fs::read_to_string(corpus("public/expected.tsv")).unwrap();
    let fits = |pattern: &str, text: &str| regex::Regex::new(&format!("(?i){pattern}")).unwrap().is_match(text);
    let mut lines = 0;
    for line in said.lines() {
        let [id, code, at, message] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{said}") };
        lines += 1;
        if id == "mended" {
            assert_eq!(code, "inconclusive", "{line}");
            continue;
        }
        let wanted = expected.lines().find(|known| known.starts_with(&format!("{id}\t"))).unwrap();
        let [_, codes, place, words] = wanted.split('\t').collect::<Vec<_>>()[..] else { panic!("{wanted}") };
        assert!(fits(&format!("^({codes})$"), code) && fits(place, at) && fits(words, message), "{line}\n{wanted}");
    }
    assert_eq!(lines, 10, "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// A rule of nft would let a packet pass but for the link that it names; that of another port would not.
#[test]
fn the_rule_of_nft_that_almost_lets_pass_is_told() {
    if !possible(&["nft"]) {
        return;
    }
    let script = r#"ip netns exec r nft flush ruleset; ip netns exec r nft -f - <<EOF
table inet guard { chain fw { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname "wan0" jump in; iifname "lan0" ip daddr 10.1.0.1 tcp dport 80 accept; }
  chain in { ip daddr 10.1.0.1 tcp dport 22 accept; }
}
EOF
        says() { "$nw" why a tcp/10.1.0.1:$1 --no-probe --json | grep -o 'would let it pass if it came in by [a-z0-9]*, but that is [a-z]* here'; echo "$1: $?"; }
        nw=$1; says 80; says 22; says 81"#;
    prints(script, "would let it pass if it came in by lan0, but that is va here\n80: 0\n22: 1\n81: 1\n");
}

/// What is sent to a group need not be answered: where somebody has joined and listens, silence is no fault; where a rule drops it, it is.
#[test]
fn a_group_that_is_silent_is_reached_when_somebody_listens() {
    if !possible(&["python3", "nft"]) {
        return;
    }
    let script = r#"ip -n r route add 239.1.2.3 dev va
        ip netns exec a python3 -c 'import socket,struct,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("",5000)); s.setsockopt(0,35,struct.pack("4s4s",socket.inet_aton("239.1.2.3"),socket.inet_aton("10.0.0.1"))); print("joined",flush=True); time.sleep(60)' > /run/joined &
        until grep -q joined /run/joined; do sleep 0.1; done; ip netns exec r nft flush ruleset
        code() { "$nw" why r udp/239.1.2.3:$1 --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print((d["culprit"] or {}).get("code", d["verdict"]))'; }
        nw=$1; echo "open: $(code 5000)"; echo "port: $(code 5001)"; ip netns exec a nft add table ip t; ip netns exec a nft add chain ip t in '{ type filter hook input priority 0; }'
        ip netns exec a nft add rule ip t in ip daddr 239.1.2.3 drop; echo "closed: $(code 5000)"; kill %1"#;
    prints(script, "open: reachable\nport: SERVICE_NOT_LISTENING\nclosed: NF_DROP\n");
}

#[test]
fn all_problems_of_strangers_are_named_and_mended() {
    if std::env::var_os("NETWRIGHT_FULL").is_none_or(|full| full != "1") {
        eprintln!("skipped: NETWRIGHT_FULL=1 plays all of tests/corpus/public");
        return;
    }
    public(".");
}

#[test]
fn faults_are_named_and_decoys_are_not_blamed() {
    in_short("faults.sh", &SHORT, &DECOYS);
}

#[test]
fn faults_of_other_kinds_are_named_too() {
    in_short("own.sh", &OWN, &OWN_DECOYS);
}

#[test]
fn the_whole_corpus_is_named() {
    in_full("faults.sh");
}

#[test]
fn all_faults_of_other_kinds_are_named() {
    in_full("own.sh");
}

/// A machine whose router has two rules that nobody can judge, without counters: `a` 10.0.0.1, `r` 10.0.0.254 and 10.1.0.254, `b` 10.1.0.1.
const RANDOM: &str = r"
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && ip link set lo up
for n in a r b; do ip netns add $n; ip -n $n link set lo up; done
ip link add va netns r type veth peer name eth0 netns a
ip link add vb netns r type veth peer name eth0 netns b
for n in r; do for d in va vb; do ip -n $n link set $d up; done; done
for n in a b; do ip -n $n link set eth0 up; done
ip -n r addr add 10.0.0.254/24 dev va; ip -n r addr add 10.1.0.254/24 dev vb
ip -n a addr add 10.0.0.1/24 dev eth0; ip -n b addr add 10.1.0.1/24 dev eth0
ip -n a route add default via 10.0.0.254; ip -n b route add default via 10.1.0.254
ip netns exec r sysctl -qw net.ipv4.ip_forward=1
ip netns exec r nft -f - <<EOF
table inet guard {
  chain fw {
    type filter hook forward priority 0; policy accept;
    meta cpu 4000 drop
    meta cpu != 4000 drop
  }
}
EOF
";

#[track_caller]
fn prints(script: &str, wanted: &str) {
    let output = machine(script).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, wanted, "{errors}");
}

fn machine(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-n", "-m", "bash", "-c", &format!("{RANDOM}\n{script}"), "machine", NETWRIGHT]);
    command
}

#[test]
fn a_trace_decides_between_rules_that_nobody_can_judge() {
    if !possible(&["nft"]) {
        return;
    }
    let script = r#""$1" why a 10.1.0.1 --json; "$1" why a 10.1.0.1 --trace-rules --json; "$1" why a 10.1.0.1 --trace-rules
        ip netns exec r nft list tables; ip netns exec a nft list tables; ip netns exec b nft list tables"#;
    let output = machine(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut documents = serde_json::Deserializer::from_str(&said).into_iter::<serde_json::Value>();
    let (plain, traced) = (documents.next().unwrap().unwrap(), documents.next().unwrap().unwrap());
    let rest = &said[documents.byte_offset()..];
    // Without a trace nobody can say which of the two it is.
    assert_ne!(
        plain["culprit"]["object"]["value"].as_str().map(|value| value.contains("!= 4000")),
        Some(true),
        "{plain:#}"
    );
    let culprit = &traced["culprit"];
    assert_eq!(culprit["code"], "NF_DROP", "{traced:#}");
    assert!(culprit["object"]["value"].as_str().unwrap().contains("!= 4000 drop"), "{culprit:#}");
    assert!(
        culprit["fix"][0]["run"].as_str().unwrap().contains("nft insert rule inet guard fw position"),
        "{culprit:#}"
    );
    let step = traced["trace"].as_array().unwrap().iter().find(|step| step["verdict"] == "drop").unwrap();
    assert_eq!((&step["netns"], &step["table"], &step["chain"]), (&"r".into(), &"inet guard".into(), &"fw".into()));
    assert!(rest.contains("traced in r: inet guard fw drop by `"), "{rest}");
    assert!(rest.contains("table inet guard") && !rest.contains("netwright"), "{rest}");
}

#[test]
fn a_trace_leaves_nothing_behind_when_it_is_killed() {
    if !possible(&["nft"]) {
        return;
    }
    // The table is waited for, then the whole of netwright is killed; the kernel takes the table away.
    let script = r#""$1" why a 10.1.0.1 --trace-rules >/dev/null 2>&1 &
        has() { ip netns exec r nft list tables | grep -q netwright; }
        for _ in $(seq 3000); do has && break; sleep 0.01; done
        has && echo seen; kill -9 $!
        for _ in $(seq 3000); do has || { echo gone; break; }; sleep 0.01; done"#;
    let output = machine(script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "seen\ngone\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_fix_runs_is_taken_back_by_down_also_when_it_was_killed() {
    if !possible(&["nft"]) {
        return;
    }
    // Root's helpers come from root's folders only; this one does what it is told, and then is slow.
    let script = r#"export HOME=/root; mount -t tmpfs t /mnt; ip netns exec r nft flush ruleset
        off() { ip netns exec r sysctl -qw net.ipv4.ip_forward=0; }
        forwards() { ip netns exec r sysctl -n net.ipv4.ip_forward; }
        runs() { ls /run/netwright/runs; }
        off; "$1" why a 10.1.0.1 --fix --yes >/dev/null 2>/mnt/said || cat /mnt/said; echo "mended: $(forwards), runs: $(runs | wc -l)"
        "$1" down "$(runs)" >/dev/null 2>&1; echo "taken back: $(forwards)"
        printf '#!/bin/sh\n%s "$@" || exit\ncase "$*" in *ip_forward=1*) echo $$ >/mnt/pid; exec sleep 300;; esac\n' "$(command -v sysctl)" >/mnt/sysctl
        chmod 755 /mnt/sysctl; off; "$1" why a 10.1.0.1 --fix --yes --tool sysctl=/mnt/sysctl >/mnt/said 2>&1 & slow=$!
        for _ in $(seq 3000); do [ -s /mnt/pid ] && break; sleep 0.01; done; echo "half done: $(forwards)"
        kill -9 $slow $(cat /mnt/pid); wait $slow 2>/dev/null
        "$1" gc >/mnt/gc 2>&1; echo "swept: $(forwards)""#;
    let output = machine(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let want = "mended: 1, runs: 1\ntaken back: 0\nhalf done: 1\nswept: 0\n";
    assert_eq!(said, want, "{}", String::from_utf8_lossy(&output.stderr));
}

/// A rule of nft goes in front of the one that drops, though the same stands behind it, and goes by its handle.
#[test]
fn what_fix_does_to_nft_is_taken_back_by_down() {
    if !possible(&["nft"]) {
        return;
    }
    let script = r#"export HOME=/root; nft() { ip netns exec r nft "$@"; }
        nft flush ruleset; nft -f - <<EOF
table inet guard { chain fw { type filter hook forward priority 0; policy accept; ip saddr 10.0.0.0/24 drop; }
}
EOF
        # The very rule that is advised, too late.
        nft add rule inet guard fw "$("$1" why a 10.1.0.1 --json | sed -n 's/.*"ip netns exec r nft insert rule inet guard fw \(position [0-9]* \)\{0,1\}\([^"]*\)".*/\2/p' | head -1)" || "$1" why a 10.1.0.1
        mount -t tmpfs t /mnt; nft list ruleset >/mnt/before
        "$1" why a 10.1.0.1 --fix --yes >/mnt/said 2>&1 || cat /mnt/said; nft list ruleset | diff /mnt/before - | grep -c '^>.*accept'
        "$1" down "$(ls /run/netwright/runs)" >/mnt/said 2>&1 || cat /mnt/said; nft list ruleset | diff /mnt/before - && echo "as before""#;
    let output = machine(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "1\nas before\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_packet_may_have_a_mark_a_port_a_link_and_other_protocols() {
    if !possible(&["nft"]) {
        return;
    }
    let script = r#"ip netns exec r nft flush ruleset; ip netns exec r nft -f - <<EOF
table inet guard { chain fw { type filter hook forward priority 0; policy accept;
  ip protocol gre drop
  icmp type timestamp-request drop
  tcp sport 4000 drop
  ip dscp 0x04 drop
}
}
EOF
        ip -n a rule add fwmark 0x10 pref 100 blackhole
        code() { "$1" why a "${@:2}" --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print((d["culprit"] or {}).get("code", d["verdict"]))'; }
        for words in "10.1.0.1" "10.1.0.1 --mark 0x10" "10.1.0.1 --proto gre" "10.1.0.1 --icmp 13" "b --port 80 --sport 4000" "10.1.0.1 --tos 0x10"           "10.1.0.1 --dev lo"; do echo "$words: $(code "$1" $words)"; done
        "$1" why a >/dev/null; echo "outlook: $?"; "$1" why a --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[0]["what"])'"#;
    let output = machine(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let want = "10.1.0.1: reachable\n10.1.0.1 --mark 0x10: RULE_MISDIRECT\n10.1.0.1 --proto gre: NF_DROP\n10.1.0.1 --icmp 13: NF_DROP\n\
                b --port 80 --sport 4000: NF_DROP\n10.1.0.1 --tos 0x10: NF_DROP\n";
    assert!(said.starts_with(want), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("outlook: 1\ngateway 10.0.0.254\n"), "{said}");
}

#[test]
fn without_nft_a_trace_is_refused_before_anything_is_sent() {
    let output = Command::new(NETWRIGHT)
        .args(["why", "host", "127.0.0.1", "--trace-rules", "--tool", "nft=/nowhere/nft"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("/nowhere/nft") && said.contains("`--trace-rules` needs nft"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn silent_killers_are_found_and_a_clean_machine_raises_no_alarm() {
    if !possible(&["python3"]) {
        return;
    }
    let output =
        Command::new("unshare").args(["-n", "-m"]).args([corpus("survey.sh"), NETWRIGHT.into()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = [
        ("forward-drop-bridged", "NF_POLICY_DROP"),
        ("rp-filter", "RP_FILTER"),
        ("both-backends", "NF_POLICY_DROP"),
        ("overlap", "PREFIX_MISMATCH"),
        ("duplicate", "ADDR_DUPLICATE"),
        ("mtu-step", "MTU_L2_MISMATCH"),
        ("tentative", "V6_DAD_PENDING"),
        ("mac-floats-here", "BRIDGE_MAC_FLOATS"),
    ];
    let mut seen = 0;
    for line in said.lines().filter_map(|line| line.strip_prefix("RESULT ")) {
        let (name, codes) = line.split_once(' ').unwrap();
        let want = wanted.iter().find(|(known, _)| *known == name).map_or("", |(_, code)| code);
        assert!(!want.is_empty() || name.starts_with("clean"), "{name} is in no table");
        assert_eq!(codes, want, "{name}");
        seen += usize::from(!want.is_empty());
    }
    // A kernel without br_netfilter or without iptables-legacy has these two not.
    assert!(
        seen + 2 >= wanted.len() && said.contains("clean-again"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Who listens to a group past the end of this machine nobody can see: nobody is said to be missing, also where a bridge leads out.
#[test]
fn nobody_is_missing_in_a_group_whose_segment_leaves_the_machine() {
    if !possible(&["python3"]) {
        return;
    }
    let script = r#"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys
        ip link set lo up; ip tuntap add tap0 mode tap || { echo "no tap"; exit; }
        code() { "$1" why host 239.1.2.3 --no-probe --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print((d["culprit"] or {}).get("code", d["verdict"]))'; }
        ip link add br0 address 02:77:00:00:00:01 type bridge; ip addr add 10.77.0.1/24 dev br0; ip link set br0 up
        ip netns add a; ip link add va up master br0 type veth peer name eth0 netns a; ip -n a link set eth0 up; ip -n a addr add 10.77.0.2/24 dev eth0
        ip route add 224.0.0.0/4 dev br0; echo "inside: $(code "$1")"
        ip link set tap0 master br0 up; echo "bridge: $(code "$1")"
        ip link set tap0 nomaster; ip addr add 10.78.0.1/24 dev tap0; ip route replace 224.0.0.0/4 dev tap0; echo "out: $(code "$1")""#;
    let output = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", script, "sh", NETWRIGHT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("no tap") {
        println!("skipped: no tap on this kernel");
        return;
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("inside: SERVICE_NOT_LISTENING\n"), "{said}{errors}");
    assert!(said.lines().count() == 3 && said.matches("SERVICE_NOT_LISTENING").count() == 1, "{said}{errors}");
}

/// The same of one address: whoever is past the end of this machine may have it, and be the router. Without that end nobody has it, and
/// where that end is dead, that is to blame.
#[test]
fn nobody_is_missing_on_a_segment_that_leaves_the_machine() {
    if !possible(&["python3"]) {
        return;
    }
    let script = r#"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys
        ip link set lo up; ip tuntap add tap0 mode tap || { echo "no tap"; exit; }
        nw=$1; code() { "$nw" why "$@" --no-probe --json | python3 -c 'import json,sys; d=json.load(sys.stdin); c=d["culprit"] or {}; print(c.get("code", d["verdict"]), c.get("object", {}).get("name", ""))'; }
        hold() { python3 -c 'import fcntl,struct,time
f=open("/dev/net/tun","r+b",buffering=0); fcntl.ioctl(f,0x400454ca,struct.pack("16sH22x",b"tap0",0x1002)); print("open",flush=True); time.sleep(60)' >/run/held & until grep -q open /run/held; do sleep 0.1; done; }
        ip link add br0 address 02:77:00:00:00:01 type bridge; ip addr add 10.77.0.1/24 dev br0; ip link set br0 up; ip route add 10.99.0.0/16 via 10.77.0.9
        for n in a b; do ip netns add $n; ip link add v$n up master br0 type veth peer name eth0 netns $n; ip -n $n link set eth0 up; done
        ip -n a addr add 10.77.0.2/24 dev eth0; ip -n b addr add 10.77.0.3/24 dev eth0; ip -n a route add default via 10.77.0.9
        all() { echo "$1: $(code host 10.77.0.9), $(code host 10.99.0.1), $(code a 10.77.0.9), $(code a 10.99.0.1)"; }
        all inside; hold; ip link set tap0 master br0 up; all out; ip addr del 10.77.0.1/24 dev br0; echo "bare: $(code a 10.99.0.1)"; ip addr add 10.77.0.1/24 dev br0
        ip route add 10.99.0.0/16 via 10.77.0.9; ip link set tap0 down; all down; ip link set tap0 up; kill %1; wait; all dead
        ip netns add x; ip link add vx up type veth peer name eth0 netns x; ip addr add 10.78.0.1/24 dev vx; exec 9</run/netns/x; ip netns del x; echo "unseen: $(code host 10.78.0.2)"
        for n in 1 2; do ip link add x$n up type vxlan id $n dstport 479$n local 10.77.0.1 remote 10.77.0.$((n * 3)); ip link add b$n up type bridge; ip link set x$n master b$n; ip addr add 10.8$n.0.1/24 dev b$n
            echo "tunnel: $(code host 10.8$n.0.9)"; done"#;
    let output = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", script, "sh", NETWRIGHT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("no tap") {
        println!("skipped: no tap on this kernel");
        return;
    }
    let gone = "ADDR_MISSING 10.77.0.9";
    let (of_host, of_a) = ("10.99.0.0/16 via 10.77.0.9 dev br0", "default via 10.77.0.9 dev eth0");
    let four = |one: &str| [one; 4].join(", ");
    let wanted = [
        format!("inside: {gone}, ROUTE_GATEWAY_DEAD {of_host}, {gone}, ROUTE_GATEWAY_DEAD {of_a}"),
        format!("out: {}", four("inconclusive ")),
        "bare: inconclusive ".to_owned(),
        format!("down: {}", four("LINK_ADMIN_DOWN tap0")),
        format!("dead: {}", four("LINK_NO_CARRIER tap0")),
        "unseen: LINK_NO_CARRIER vx".to_owned(),
        // The one leads to `b`, the other past the dead end.
        "tunnel: ADDR_MISSING 10.81.0.9".to_owned(),
        "tunnel: LINK_NO_CARRIER tap0".to_owned(),
    ];
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        said.lines().map(str::trim).collect::<Vec<_>>(),
        wanted.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        "{errors}"
    );
}

/// A group is reached by a link, not by a router: by the one where somebody has joined, or by the only one.
#[test]
fn the_route_that_a_group_needs_is_by_a_link() {
    if !possible(&["python3"]) {
        return;
    }
    let script = r#"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys
        ip link set lo up; ip netns add a; ip netns add b; ip netns add c
        says() { "$1" why a 239.1.2.3 --no-probe 2>&1 | grep -o 'route add [^(]*dev [A-Za-z0-9]*\|via a router' | head -1; }
        ip link add eth0 netns a type veth peer name eth0 netns b; ip -n a link set eth0 up; ip -n b link set eth0 up; ip -n a addr add 10.77.0.1/24 dev eth0
        ip -n b addr add 10.77.0.2/24 dev eth0; echo "only: $(says "$1")"
        ip link add eth1 netns a type veth peer name eth0 netns c; ip -n a link set eth1 up; ip -n c link set eth0 up; ip -n a addr add 10.78.0.1/24 dev eth1
        ip -n c addr add 10.78.0.2/24 dev eth0; echo "two: $(says "$1")"
        ip netns exec c python3 -c 'import socket,struct,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.setsockopt(0,35,struct.pack("4s4s",socket.inet_aton("239.1.2.3"),socket.inet_aton("10.78.0.2"))); print("joined",flush=True); time.sleep(60)' > /run/joined &
        until grep -q joined /run/joined; do sleep 0.1; done; echo "joined: $(says "$1")"; kill %1"#;
    let output = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", script, "sh", NETWRIGHT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted =
        "only: route add 239.1.2.3 dev eth0\ntwo: route add 239.1.2.3 dev LINK\njoined: route add 239.1.2.3 dev eth1\n";
    assert_eq!(said, wanted, "{}", String::from_utf8_lossy(&output.stderr));
}

/// Thirty stations on a bridge, one with a smaller MTU, two with one address: each is told once, not once for every other station.
#[test]
fn the_odd_ones_of_a_large_segment_are_told_once() {
    if !possible(&["python3"]) {
        return;
    }
    let script = r#"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t sysfs sysfs /sys
        ip link set lo up; ip link add br0 address 02:77:00:00:00:01 type bridge; ip addr add 10.77.0.254/24 dev br0; ip link set br0 up
        for n in $(seq 30); do ip netns add n$n; ip link add v$n up master br0 type veth peer name eth0 netns n$n
            ip -n n$n link set eth0 up; ip -n n$n addr add 10.77.0.$n/24 dev eth0; done
        sleep 2; ip -n n7 link set eth0 mtu 1400; ip -n n9 addr add 10.77.0.3/24 dev eth0
        "$1" doctor --network --json | python3 -c '
import json, sys
for one in sorted(json.load(sys.stdin)["findings"], key=lambda one: one["code"]): print(one["code"], one["message"])'"#;
    let output = Command::new("unshare")
        .args(["-nmpf", "--mount-proc", "--kill-child", "bash", "-c", script, "sh", NETWRIGHT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let [duplicate, mtu] = lines[..] else { panic!("{said}{}", String::from_utf8_lossy(&output.stderr)) };
    assert!(duplicate.starts_with("ADDR_DUPLICATE 10.77.0.3 is on n3/eth0 and on n9/eth0"), "{said}");
    assert!(mtu.starts_with("MTU_L2_MISMATCH n7/eth0 takes 1400 bytes and "), "{said}");
    assert!(mtu.contains(", on the same segment, 1500 (and so do 29 others): "), "{said}");
}

#[test]
fn every_code_is_explained() {
    for code in netwright::why::codes::ALL {
        let output = Command::new(NETWRIGHT).args(["why", "--explain", code.name()]).output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains(code.means()));
    }
    let output = Command::new(NETWRIGHT).args(["why", "--explain", "RP_FILTRE"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("RP_FILTER"));
}
