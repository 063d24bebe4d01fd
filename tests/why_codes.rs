//! Every code of `netwright why` is injected for real by a test: here those that the shared corpus has not.
//!
//! ```text
//!   a [eth0 10.7.1.2]──[ra 10.7.1.1] r [rb 10.7.2.1]──[eth0 10.7.2.2] b
//!   x [eth0 10.7.3.2]──[p1 ┐ br0 10.7.3.1 ┌ p2]──────[eth0 10.7.3.3] y
//! ```

use std::collections::BTreeSet;
use std::process::Command;

/// A code, who asks for what, and how the fault is made.
type Fault = (&'static str, &'static str, &'static str);

const FAULTS: [Fault; 26] = [
    ("ARP_IGNORED", "x 10.7.3.3", "ip netns exec y sysctl -qw net.ipv4.conf.all.arp_ignore=8"),
    ("FDB_STATIC_WRONG", "x 10.7.3.3", "bridge -n r fdb replace 02:00:00:00:00:03 dev p1 master static sticky"),
    ("ICMP_ECHO_IGNORED", "a 10.7.2.2", "ip netns exec b sysctl -qw net.ipv4.icmp_echo_ignore_all=1"),
    ("LINK_NO_CARRIER", "a 10.7.9.2", "ip -n a tuntap add dev tap0 mode tap; ip -n a addr add 10.7.9.1/24 dev tap0; ip -n a link set tap0 up"),
    ("LINK_WRONG_NETNS", "z 10.7.1.1", "ip netns add z; ip -n z link set lo up; ip link add z0 type veth peer name z1"),
    ("LOCAL_PORTS_EXHAUSTED", "a udp/10.7.2.2:53", "ip netns exec a sysctl -qw net.ipv4.ip_local_port_range='40000 40001'
      ip netns exec a bash -c 'exec 5<>/dev/udp/10.7.2.2/53 6<>/dev/udp/10.7.2.2/53; exec sleep 60' & sleep 0.3"),
    ("MARTIAN_LOCALNET", "a tcp/10.7.1.1:80", "ip netns exec r iptables -t nat -A PREROUTING -i ra -p tcp --dport 80 -j DNAT --to-destination 127.0.0.1:80"),
    ("MTU_BLACKHOLE", "a 10.7.2.2 --size 1400", "ip -n r link set rb mtu 1280; ip -n b link set eth0 mtu 1280
      ip netns exec r iptables -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP"),
    ("NAT_PORTS_EXHAUSTED", "a udp/10.7.2.2:53", "ip netns exec r iptables -t nat -A POSTROUTING -o rb -p udp -j MASQUERADE --to-ports 5000
      ip netns exec x bash -c 'echo >/dev/udp/10.7.2.2/53'"),
    ("NEIGH_STALE_WRONG", "x 10.7.3.3", "ip -n x neigh replace 10.7.3.3 lladdr 02:de:ad:be:ef:00 dev eth0 nud reachable"),
    ("NF_REJECT", "a 10.7.2.2", "ip netns exec r iptables -A FORWARD -j REJECT"),
    ("PORT_FLOOD_OFF", "x 10.7.3.3", "bridge -n r link set dev p2 flood off mcast_flood off; bridge -n r link set dev p2 bcast_flood off"),
    ("PORT_LOCKED", "x 10.7.3.3", "bridge -n r link set dev p1 locked on; bridge -n r fdb del 02:00:00:00:00:02 dev p1 master"),
    ("PORT_WRONG_BRIDGE", "x 10.7.3.3", "ip -n r link add br1 type bridge; ip -n r link set br1 up; ip -n r link set p2 master br1"),
    ("QDISC_DROP", "a 10.7.2.2", "tc -n a qdisc replace dev eth0 root tbf rate 8bit burst 1 limit 1"),
    ("ROUTE_PROHIBIT", "a 10.7.2.2", "ip -n r route add prohibit 10.7.2.2/32"),
    ("ROUTE_UNREACHABLE", "a 10.7.2.2", "ip -n r route add unreachable 10.7.2.2/32"),
    ("ROUTE_WRONG_NEXTHOP", "a 10.7.2.2", "ip -n r route add 10.7.2.2/32 via 10.7.3.2"),
    // perl is on every Debian, and can listen without ever accepting.
    ("SERVICE_BACKLOG_FULL", "a tcp/10.7.2.2:80", "ip netns exec b perl -MIO::Socket::INET -e '
      $s = IO::Socket::INET->new(LocalAddr => \"10.7.2.2\", LocalPort => 80, Proto => \"tcp\", Listen => 1);
      @c = map { IO::Socket::INET->new(PeerAddr => \"10.7.2.2:80\", Proto => \"tcp\", Blocking => 0) } 1..4; sleep 60' & sleep 0.5"),
    ("V6_DAD_FAILED", "r fd07:3::2", "ip -n r addr add fd07:3::1/64 dev br0 nodad; ip -n y addr add fd07:3::2/64 dev eth0 nodad
      ip netns exec x sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.dad_transmits=1; ip -n x addr add fd07:3::2/64 dev eth0; for try in $(seq 50); do ip -n x addr show dadfailed | grep -q fd07 && break; sleep 0.1; done; ip -n y link set eth0 down"),
    ("PORT_HAIRPIN_OFF", "x tcp/10.9.9.9:80", "ip netns exec r sysctl -qw net.bridge.bridge-nf-call-iptables=1
      ip netns exec r iptables -t nat -A PREROUTING -d 10.9.9.9 -p tcp --dport 80 -j DNAT --to-destination 10.7.3.2:80
      ip netns exec r iptables -t nat -A POSTROUTING -s 10.7.3.2 -d 10.7.3.2 -j MASQUERADE
      ip netns exec x perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 80, Proto => \"tcp\", Listen => 5); sleep 60' & sleep 0.5"),
    ("MCAST_SNOOPED", "x fd07:3::3", "ip netns exec r sysctl -qw net.bridge.bridge-nf-call-ip6tables=0
      for kind in 143 131; do ip netns exec y ip6tables -A OUTPUT -p icmpv6 --icmpv6-type $kind -j DROP; done
      ip -n r link set br0 type bridge mcast_snooping 1 mcast_query_response_interval 50 mcast_startup_query_interval 50
      ip -n x addr add fd07:3::2/64 dev eth0 nodad; ip -n y addr add fd07:3::3/64 dev eth0 nodad; sleep 2
      ip -n r link set br0 type bridge mcast_querier 1; sleep 2; ip -n x -6 neigh flush all"),
    ("CONNTRACK_STALE", "a udp/10.9.9.9:53", "ip -n r route add 10.9.9.9/32 via 10.7.2.2
      ip netns exec r iptables -t nat -A POSTROUTING -o lo -j MASQUERADE; ip netns exec b iptables -A OUTPUT -p icmp -j DROP
      ip netns exec b perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 53, Proto => \"udp\"); sleep 60' &
      ip netns exec a bash -c 'exec 5<>/dev/udp/10.9.9.9/53; echo >&5; exec sleep 60' &
      for try in $(seq 50); do ip netns exec r conntrack -L 2>/dev/null | grep -q 10.9.9.9 && break; sleep 0.1; done; sleep 0.3
      ip netns exec r iptables -t nat -A PREROUTING -d 10.9.9.9 -p udp --dport 53 -j DNAT --to-destination 10.7.2.2:53"),
    ("TCP_SIGNATURE", "a tcp/10.7.2.2:80", "ip netns exec b perl -MIO::Socket::INET -e '
      $s = IO::Socket::INET->new(LocalPort => 80, Proto => \"tcp\", Listen => 5) or die;
      setsockopt($s, 6, 14, pack(\"Sna4x120CCSla80\", 2, 0, inet_aton(\"10.7.1.2\"), 0, 0, 3, 0, \"key\")) or die; sleep 60' & sleep 0.5"),
    ("SERVICE_WRONG_SOURCE", "a udp/10.7.2.9:53", "ip -n b addr add 10.7.2.9/24 dev eth0; ip netns exec b perl -MIO::Socket::INET -e '
      $s = IO::Socket::INET->new(LocalPort => 53, Proto => \"udp\"); while ($from = $s->recv($data, 2048)) { send($s, $data, 0, $from) }' & sleep 0.5"),
    ("XFRM_BLOCK", "a 10.7.2.2", "ip -n a xfrm policy add src 10.7.1.2 dst 10.7.2.2 dir out action block"),
];

/// Codes that no test injects, and why.
const NOT_INJECTED: [(&str, &str); 4] = [
    ("VLAN_MISMATCH", "the kernel of the test machine has no VLAN links"),
    ("PORT_VLAN", "the kernel of the test machine has no CONFIG_BRIDGE_VLAN_FILTERING"),
    ("NS_MISSING", "a namespace that is not there is a mistake in the question: exit code 2, not a finding"),
    ("XDP_DROP", "an XDP program is loaded from an object file, and CI has no compiler for BPF"),
];

/// Codes that are never the culprit, only why nothing is known; with the test that injects each.
const NOT_THE_CULPRIT: [(&str, &str); 2] =
    [("NETNS_UNREADABLE", "what_could_not_be_read_is_not_known"), ("BRIDGE_MAC_FLOATS", "tests/corpus/survey.sh")];

/// The machine: `$1` is netwright, `$2` the fault, `$3` the question.
const LAB: &str = r#"
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && ip link set lo up
set -e
for ns in a b r x y; do ip netns add $ns; ip -n $ns link set lo up; ip netns exec $ns sysctl -qw net.ipv6.conf.default.accept_dad=0; done
ip netns exec r sysctl -qw net.ipv4.ip_forward=1
ip -n r link add br0 type bridge mcast_snooping 0
wire() { ip -n r link add $1 type veth peer name eth0 address 02:00:00:00:00:0$4 netns $2; ip -n $2 addr add $3/24 dev eth0; ip -n $2 link set eth0 up; ip -n r link set $1 up; }
wire ra a 10.7.1.2 8; wire rb b 10.7.2.2 9; wire p1 x 10.7.3.2 2; wire p2 y 10.7.3.3 3
ip -n r link set p1 master br0; ip -n r link set p2 master br0; ip -n r link set br0 up
ip -n r addr add 10.7.1.1/24 dev ra; ip -n r addr add 10.7.2.1/24 dev rb; ip -n r addr add 10.7.3.1/24 dev br0
ip -n a route add default via 10.7.1.1; ip -n b route add default via 10.7.2.1
ip -n x route add default via 10.7.3.1; ip -n y route add default via 10.7.3.1
set +e
eval "$2"
"$1" why $3 --json
for job in $(jobs -p); do kill $job; done
"#;

fn possible() -> bool {
    let possible =
        Command::new("unshare").args(["-n", "-m", "true"]).output().is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("skipped: it needs root (unshare -n -m)");
    }
    possible
}

/// What `why` answers in a machine with that fault.
fn ask(question: &str, inject: &str) -> serde_json::Value {
    let output = Command::new("unshare")
        .args(["-n", "-m", "bash", "-c", LAB, "lab", env!("CARGO_BIN_EXE_netwright"), inject, question])
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{inject}\n{text}\n{errors}"))
}

fn code(answer: &serde_json::Value) -> &str {
    answer["culprit"]["code"].as_str().unwrap_or("nothing")
}

#[test]
fn each_fault_is_named_with_its_code() {
    if !possible() {
        return;
    }
    let half = |first: usize| -> Vec<String> {
        let faults = FAULTS.iter().skip(first).step_by(2);
        let answers = faults.map(|(want, question, inject)| (*want, ask(question, inject)));
        answers
            .filter(|(want, answer)| code(answer) != *want)
            .map(|(want, answer)| format!("{want}: {answer:#}"))
            .collect()
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        [half(0), other.join().unwrap()].concat()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_blamed_without_a_fault() {
    if !possible() {
        return;
    }
    for question in ["a 10.7.2.2", "x 10.7.3.3", "x 10.7.2.2"] {
        let answer = ask(question, "");
        assert_eq!((answer["verdict"].as_str(), code(&answer)), (Some("reachable"), "nothing"), "{answer:#}");
    }
}

/// Small ranges that still have room are no fault: one port of two is free.
#[test]
fn a_port_that_is_free_is_no_fault() {
    if !possible() {
        return;
    }
    let (_, _, local) = FAULTS[5];
    let answer = ask("a udp/10.7.2.2:53", &local.replace("40000 40001", "40000 40002"));
    assert_eq!(code(&answer), "SERVICE_NOT_LISTENING", "{answer:#}");
    let (_, _, nat) = FAULTS[8];
    let answer = ask("a udp/10.7.2.2:53", &nat.replace("5000", "5000-5001"));
    assert_eq!(code(&answer), "SERVICE_NOT_LISTENING", "{answer:#}");
    let (_, _, mtu) = FAULTS[7];
    let answer = ask("a 10.7.2.2 --size 1400", &mtu.replace("fragmentation-needed", "host-unreachable"));
    assert_eq!(code(&answer), "MTU_EXCEEDED", "{answer:#}");
}

#[test]
fn a_list_of_nft_that_is_empty_is_not_a_list() {
    if !possible() {
        return;
    }
    for said in ["", "echo '{}'", "echo '{\"nftables\": []}'"] {
        let fake = format!(
            "printf '%s\\n' '#!/bin/sh' '{}' 'exit 0' >/run/nft; chmod +x /run/nft; ",
            said.replace('\'', "'\\''")
        );
        let table = "ip netns exec r nft add table inet other; ip netns exec r nft 'add chain inet other c { type filter hook forward priority 0; policy drop; }'; ";
        let answer = ask("a 10.7.2.2 --no-probe --tool nft=/run/nft", &format!("{table}{fake}"));
        assert_eq!(answer["verdict"], "inconclusive", "{said}: {answer:#}");
    }
}

#[test]
fn policy_rules_of_ipv6_that_cannot_be_read_are_not_none() {
    if !possible() {
        return;
    }
    let network = "ip -n x addr add fd07:3::2/64 dev eth0 nodad; ip -n y addr add fd07:3::3/64 dev eth0 nodad; \
        ip netns exec r sysctl -qw net.bridge.bridge-nf-call-ip6tables=0; ";
    for said in ["echo no >&2; exit 1", "echo nonsense; exit 0"] {
        let fake = format!(
            "real=$(command -v ip); printf '%s\\n' '#!/bin/bash' 'case \"$*\" in *-6*rule*) {said};; esac' \"exec $real \"'\"$@\"' >/run/ip; \
             chmod +x /run/ip; "
        );
        let answer = ask("x fd07:3::3 --no-probe", network);
        assert_eq!(answer["verdict"], "reachable", "{answer:#}");
        let answer = ask("x fd07:3::3 --no-probe --tool ip=/run/ip", &format!("{network}{fake}"));
        assert_eq!(answer["verdict"], "inconclusive", "{said}: {answer:#}");
        assert_eq!(answer["others"][0]["code"], "NETNS_UNREADABLE", "{said}: {answer:#}");
    }
}

/// A program of the machine's that fails in the namespace `r` in the middle.
fn failing_in_r(program: &str) -> String {
    format!(
        r#"real=$(command -v {program}); printf '%s\n' '#!/bin/bash' \
          'if [ $(stat -Lc %i /proc/self/ns/net) = '$(stat -Lc %i /run/netns/r)' ]; then echo "{program}: out of order" >&2; exit 1; fi' \
          "exec $real "'"$@"' >/run/{program}; chmod +x /run/{program}; "#
    )
}

#[test]
fn what_could_not_be_read_is_not_known() {
    if !possible() {
        return;
    }
    let first = |answer: &serde_json::Value| answer["others"][0]["code"].as_str().unwrap_or("nothing").to_owned();
    let drop = "ip netns exec r iptables -A FORWARD -j DROP";
    for program in ["ip", "nft"] {
        let inject = failing_in_r(program);
        let tool = format!("--tool {program}=/run/{program}");
        // Where the kernel says that there is no table, nft is not asked.
        let table = if program == "nft" { "ip netns exec r nft add table inet other; " } else { "" };
        let inject = format!("{table}{inject}");
        // Nothing was tried: neither is it reachable, nor is anything missing.
        for (question, inject) in [
            (format!("a 10.7.2.2 --no-probe {tool}"), inject.clone()),
            (format!("a 10.7.2.2 --no-probe {tool}"), format!("{inject}{drop}")),
        ] {
            let answer = ask(&question, &inject);
            if program == "nft" && inject.contains(drop) && code(&answer) == "NF_DROP" {
                // What was read is known all the same.
                continue;
            }
            let known = (answer["verdict"].as_str(), code(&answer), first(&answer));
            assert_eq!(known, (Some("inconclusive"), "nothing", "NETNS_UNREADABLE".to_owned()), "{answer:#}");
            assert_eq!(answer["others"][0]["netns"], "r", "{answer:#}");
        }
        // What was answered is reachable, whatever could be read.
        let answer = ask(&format!("a 10.7.2.2 {tool}"), &inject);
        assert_eq!(answer["verdict"], "reachable", "{answer:#}");
    }
}

#[test]
fn every_code_is_injected_by_a_test_or_has_a_reason() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/faults.sh");
    let listed = Command::new("bash").args([corpus, "list"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let corpus = listed.lines().filter(|line| !line.starts_with("decoy:")).flat_map(|line| line.split([' ', ',']));
    let here = FAULTS.iter().map(|(code, ..)| *code).chain(NOT_INJECTED.iter().map(|(code, _)| *code));
    let here = here.chain(NOT_THE_CULPRIT.iter().map(|(code, _)| *code));
    let injected: BTreeSet<&str> = corpus.chain(here).collect();
    let missing: Vec<&str> =
        netwright::why::codes::ALL.iter().map(|code| code.name()).filter(|code| !injected.contains(code)).collect();
    assert!(missing.is_empty(), "no test injects {missing:?}");
    for (code, ..) in FAULTS {
        assert!(netwright::why::codes::find(code).is_some(), "there is no code {code}");
    }
}
