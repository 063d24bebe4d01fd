//! Every verb on what others have built: what the kernel takes with it comes back. And settings that several runs need, or that others change.

use std::process::Command;

use crate::Case;
use crate::machine::{Machine, Snapshot, finish, outcome, sh};

/// What others have built, of every kind that the kernel takes with something else.
const BUILD: &str = "
    ip address add 2001:db8:77::1/64 dev other0 noprefixroute
    ip address add 10.74.0.3/24 dev other0 label other0:x
    ip route replace 10.75.0.0/16 via 10.74.0.9 advmss 1400 initcwnd 30
    ip route add 10.77.0.0/16 nexthop via 10.74.0.8 weight 1 nexthop via 10.74.0.9 weight 3
    ip route add 10.78.0.0/16 via 10.74.0.9 metric 50 mtu lock 1300
    ip neigh add 10.74.0.9 lladdr 02:00:00:00:00:09 dev other0 nud permanent
    ip link add name spare0 type veth peer name spare1
    ip address add 10.79.0.1/24 dev spare0
    ip address add 2001:db8:79::1/64 dev spare0
    ip link add name brz address 02:00:00:00:00:b0 type bridge
    ip link set brz up
    ip address add 10.80.0.1/24 dev brz
    ip link add name port0 type veth peer name port1
    ip link set port0 master brz up
    ip link set port1 up
    ip link set dev port0 type bridge_slave cost 50 hairpin on isolated on
    bridge fdb add 02:00:00:00:00:99 dev port0 master static
    tc qdisc add dev other1 root tbf rate 1mbit burst 10k latency 50ms
    sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.other0.forwarding=1 net.ipv6.conf.other0.forwarding=1
    sleep 0.1
";

/// Takes it away again.
const CLEAR: &str = "
    tc qdisc del dev other1 root || true
    for l in port0 spare0 brz newbr; do ip link del $l 2>/dev/null || true; done
    ip link del other0 2>/dev/null || true
    ip route flush 10.75.0.0/16; ip route flush 10.77.0.0/16; ip route flush 10.78.0.0/16; ip route flush table 176 2>/dev/null || true
    sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=1 net.ipv6.conf.all.forwarding=0
    sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.all.accept_dad=0
";

/// The verbs, the worst first: those are the short form.
const VERBS: &[&str] = &[
    "host().sysctl(\"net.ipv4.ip_forward\", 1);",
    "host().link(\"other0\").mtu(1000);",
    "host().link(\"other0\").down();",
    "host().link(\"port0\").nomaster();",
    "host().link(\"other0\").addr_delete(\"10.74.0.1/24\");",
    "host().route(\"10.77.0.0/16\", \"10.74.0.7\");",
    "host().sysctl(\"net.ipv6.conf.all.forwarding\", 1);",
    "host().sysctl(\"net.ipv6.conf.all.disable_ipv6\", 1);",
    "host().sysctl(\"net.ipv6.conf.other0.disable_ipv6\", 1);",
    "host().sysctl(\"net.ipv4.conf.all.forwarding\", 1);",
    "host().sysctl(\"net.ipv4.conf.all.rp_filter\", 1);",
    "host().sysctl(\"net.ipv4.ip_local_reserved_ports\", \"8080,9148\");",
    "host().sysctl(\"net.ipv4.tcp_rmem\", \"4096 87380 4194304\");",
    "host().sysctl(\"net.ipv4.ping_group_range\", \"0 100\");",
    "host().sysctl(\"net.ipv4.conf.default.forwarding\", 1);",
    "host().sysctl(\"net.ipv6.conf.default.disable_ipv6\", 1);",
    "host().sysctl(\"net.ipv4.conf.all.ignore_routes_with_linkdown\", 1);",
    "host().sysctl(\"net.ipv6.conf.all.ignore_routes_with_linkdown\", 1);",
    "host().sysctl(\"net.ipv6.conf.all.disable_policy\", 1);",
    "host().sysctl(\"net.ipv6.conf.all.proxy_ndp\", 1);",
    "host().sysctl(\"net.ipv6.conf.all.accept_ra\", 0);",
    "host().sysctl(\"net.ipv4.conf.all.proxy_arp\", 1);",
    "host().link(\"other0\").mtu(1400);",
    "host().link(\"other0\").mac(\"02:00:00:00:00:77\");",
    "host().link(\"spare0\").up();",
    "host().link(\"port0\").master(host().bridge(\"newbr\"));",
    "host().link(\"port0\").down();",
    "host().link(\"port0\").rename(\"portx\"); host().link(\"portx\").down();",
    "host().link(\"port1\").mac(\"02:00:00:00:00:55\");",
    "host().link(\"other1\").shape(#{ rate: \"10mbit\", direction: \"egress\" });",
    "host().link(\"other1\").shape(#{ rate: \"100kbit\", direction: \"egress\" });",
    "host().link(\"other1\").shape(#{ direction: \"egress\" });",
    "host().tc(\"qdisc replace dev other1 root tbf rate 7mbit burst 10kb latency 50ms\"); host().tc(\"qdisc del dev other1 root\");",
    "host().tc(\"qdisc replace dev other1 root pfifo limit 7\"); host().tc(\"qdisc add dev other0 root pfifo limit 7\");",
    "host().link(\"other0\").rename(\"renamed0\");",
    "host().link(\"other0\").move(netns(\"elsewhere\")).rename(\"eth0\").mtu(1400).addr(\"10.74.0.77/24\").up();",
    "host().link(\"other0\").mtu(1000); host().link(\"other0\").rename(\"renamed0\");",
    "host().link(\"spare0\").move(netns(\"inet\")).up();",
    "host().link(\"port0\").mtu(1300).move(netns(\"elsewhere\")).move(netns(\"inet\")).addr(\"10.74.9.1/24\").move(host());",
    "veth(host(), \"own0\", netns(\"elsewhere\"), \"own1\"); host().link(\"own0\").up().move(netns(\"inet\")); netns(\"elsewhere\").link(\"own1\").move(host());",
    "host().link(\"other0\").addr(\"10.74.0.5/24\");",
    "host().link(\"other0\").addr_delete(\"10.74.0.3/24\").addr_delete(\"2001:db8:77::1/64\");",
    "host().link(\"eth0\").addr_delete(\"198.51.100.2/24\");",
    "host().route(\"10.75.0.0/16\", \"10.74.0.7\");",
    "host().route(\"10.78.0.0/16\", #{ via: \"10.74.0.7\", metric: 50 });",
    "host().route(\"default\", \"198.51.100.9\");",
    "host().route(\"2001:db8:8::/64\", \"2001:db8:7::a\");",
    "host().route(\"default\", \"2001:db8:1::9\");",
    "host().neigh(\"10.74.0.9\", \"02:00:00:00:00:0a\", \"other0\");",
    "host().rule(#{ from: \"10.0.0.0/24\", table: 100 });",
    "host().rule(#{ \"not\": true, from: \"10.0.0.0/24\", type: \"prohibit\" }); host().rule(#{ family: \"inet6\", dport: 80, ipproto: \"tcp\", table: 100 });",
    "host().route(\"10.77.0.0/16\", #{ via: [\"10.74.0.7\", #{ via: \"10.74.0.8\", weight: 5 }] });",
    "host().nexthop(71, #{ via: \"10.74.0.7\", dev: \"other0\" }); host().nexthop(72, #{ group: [71] }); host().route(\"10.89.0.0/16\", #{ nhid: 72 });",
    "host().link(\"port0\").bridge_link(#{ isolated: false, hairpin: false, learning: false, guard: true });",
    "host().link(\"port0\").fdb(\"02:00:00:00:00:98\").fdb_delete(\"02:00:00:00:00:99\");",
    "host().link(\"brz\").mdb(\"239.1.1.1\", host().link(\"port0\")).mdb(\"ff05::1\", host().link(\"port0\"));",
    "host().tun(\"tap0\", #{ mode: \"tap\" }).addr(\"10.74.1.1/24\").up();",
    "host().bridge(\"brz\", #{ stp_state: 1, forward_delay: 300 });",
    "host().bridge(\"brz\", #{ ageing_time: 1000, mcast_snooping: 0, group_fwd_mask: 8 });",
    "host().bridge(\"brz\").mtu(1400);",
    "host().bridge(\"brz\").mac(\"02:00:00:00:00:78\");",
    "host().link(\"brz\").down();",
    "host().link(\"brz\").shape(#{ rate: \"10mbit\", direction: \"egress\" });",
    "host().link(\"eth0\").down();",
    "host().link(\"eth0\").mtu(1450);",
    "host().link(\"eth0\").mtu(1200);",
    "host().iptables(\"-F\"); host().iptables(\"-t nat -F\");",
    "host().iptables(\"-P FORWARD DROP\"); host().ip6tables(\"-P FORWARD DROP\");",
    "host().iptables(\"-D FORWARD 1\"); host().iptables(\"-R FORWARD 1 -s 203.0.113.90 -j ACCEPT\");",
    "host().nft(\"add table inet lab\"); host().nft(\"add chain inet lab input { type filter hook input priority 0; policy accept; }\"); host().nft(\"add rule inet lab input tcp dport { 22, 23 } counter drop\");",
    "host().nft(\"add rule inet theirs fw tcp dport 99 counter drop\"); host().nft(\"insert rule inet theirs fw tcp dport 98 drop\");",
    "host().nft(\"add set inet theirs s { type ipv4_addr; }\"); host().nft(\"add element inet theirs s { 10.0.0.1, 10.0.0.2 }\"); host().nft(\"delete element inet theirs s { 10.0.0.1 }\");",
    "host().nft(\"flush chain inet theirs fw\"); host().nft(\"delete chain inet theirs fw\");",
    "host().nft(\"add chain inet theirs fw { policy drop; }\");",
    "host().nft(\"add rule inet theirs fw tcp dport 99 drop\"); host().nft(\"delete table inet theirs\");",
    "host().nft_table(\"inet theirs\", \"chain other { type filter hook output priority 0; }\");",
    "host().nft_table(\"ip lab\", \"chain pre { type nat hook prerouting priority -100; tcp dport 8080 dnat to 10.0.0.1:80\\n}\");",
    "host().masquerade(host().uplink()); host().port_forward(\"tcp/8080\", \"10.0.0.1:80\");",
    "host().link(\"other1\").master(host().bridge(\"newbr\"));",
    "host().link(\"other0\").master(host().bridge(\"newbr\").up());",
    "host().macvlan(\"mv0\", #{ link: \"other0\", mode: \"bridge\" }).addr(\"10.74.0.6/24\").up();",
    "netns(\"inet\").link(\"eth0\").addr(\"198.51.100.77/24\").mtu(1400);",
    "netns(\"inet\").route(\"10.0.0.0/8\", \"198.51.100.2\"); netns(\"inet\").sysctl(\"net.ipv4.ip_forward\", 1);",
    "host().ip(\"addr del 10.74.0.1/24 dev other0\", #{ undo: \"addr add 10.74.0.1/24 dev other0\" });",
    "import \"std/faults\" as faults; faults::unplugged(host(), \"port0\");",
    "import \"std/faults\" as faults; faults::small_mtu(host(), \"other0\", 1000);",
    "import \"std/faults\" as faults; faults::link_down(host(), \"other0\");",
    "import \"std/faults\" as faults; faults::wrong_bridge(host(), \"port0\", \"newbr\");",
    "import \"std/faults\" as faults; faults::no_forwarding(host());",
    "import \"std/faults\" as faults; faults::no_masquerade(host());",
    "import \"std/faults\" as faults; faults::no_address(host(), \"other0\", \"10.74.0.1/24\");",
    "import \"std/faults\" as faults; faults::wrong_mask(host(), \"other0\", 32);",
    "import \"std/container\" as c; c::network(\"nwd0\", [\"172.20.0.1/16\", \"fd00:20::1/64\"]).pod(\"web\", [\"172.20.0.2/16\", \"fd00:20::2/64\"]);",
    "host().run(\"ip link add own0 type bridge\", #{ undo: \"ip link del own0\" }); host().run(\"ip address add 10.74.0.99/24 dev other0\", #{ undo: \"ip address del 10.74.0.99/24 dev other0\" });",
    // Bridging the uplink, the classic.
    "let br = host().bridge(\"newbr\").up(); host().link(\"eth0\").master(br).addr_delete(\"198.51.100.2/24\"); br.addr(\"198.51.100.2/24\"); host().route(\"default\", \"198.51.100.1\");",
];
/// How many of them the short form takes.
const SHORT: usize = 6;

/// Each verb in a run that fails, and in one that is kept and taken down.
pub(crate) fn verbs(_: &Machine, full: bool) -> Vec<Case> {
    let take = if full { VERBS.len() } else { SHORT };
    let cases = VERBS.iter().take(take).enumerate();
    let both = cases.flat_map(|(at, verb)| [true, false].map(|fails| (at, *verb, fails)));
    // The short form takes turns.
    let runs = both.filter(|(at, _, fails)| full || *fails == (at % 2 == 0)).map(|(_, verb, fails)| {
        let name = format!("{} {verb}", if fails { "a run that fails:" } else { "kept and down:" });
        Case::new(name, move |machine| built(|| verb_undone(machine, verb, fails)))
    });
    let typed = VERBS.iter().take(take).map(|verb| {
        Case::new(format!("typed and undone, three times: {verb}"), move |machine| built(|| typed(machine, verb)))
    });
    runs.chain(typed).collect()
}

/// In a conversation, again and again: what was undone before says nothing about what was done since.
fn typed(machine: &Machine, verb: &str) -> Result<(), String> {
    let before = all();
    let (code, said) = machine.typed(&format!("{verb}\n:undo\n").repeat(3));
    let undone = said.matches("nothing left behind").count() + said.matches("there is nothing to undo").count();
    match differs(&before) {
        None if code == 0 && undone == 3 => Ok(()),
        difference => Err(format!("exit {code}, undone {undone} times\n{said}{}", difference.unwrap_or_default())),
    }
}

/// Runs a case on what others have built.
fn built(case: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    sh(BUILD);
    let result = case();
    sh(CLEAR);
    sh(crate::machine::BUILD_OTHER);
    result
}

fn verb_undone(machine: &Machine, verb: &str, fails: bool) -> Result<(), String> {
    let before = all();
    let (code, said) = run(machine, "verb", &format!("{verb}\n{}", if fails { "throw \"end\";" } else { "" }));
    let (code, said) = match (code, fails) {
        (3, true) => (0, said),
        (0, false) => {
            let (code, more) = machine.down_all();
            (code, said + &more)
        }
        _ => (code.max(1), said),
    };
    match differs(&before) {
        None if code == 0 => Ok(()),
        difference => Err(format!("exit {code}\n{said}{}", difference.unwrap_or_default())),
    }
}

/// A snapshot with what the other loops do not touch: bridges' tables and queueing disciplines.
fn all() -> (Snapshot, String) {
    let text = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().expect("a tool");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let fdb = text("bridge", &["fdb", "show"]);
    let fdb = fdb.lines().filter(|line| line.ends_with(" static")).map(str::to_owned);
    let qdiscs = text("tc", &["qdisc", "show"]);
    let qdiscs = qdiscs.lines().filter(|line| !line.contains(" 0: ")).map(|line| {
        line.split(' ')
            .filter(|word| !word.ends_with(':') && word.parse::<u32>().is_err())
            .collect::<Vec<_>>()
            .join(" ")
    });
    let mut more: Vec<String> = fdb.chain(qdiscs).collect();
    more.sort();
    (Snapshot::take(), more.join("\n"))
}

fn differs(before: &(Snapshot, String)) -> Option<String> {
    let now = all().1;
    let more = (now != before.1).then(|| format!("{}\nwas\n{}", now, before.1));
    Machine::differs(&before.0).or(more)
}

/// Runs a script; its exit code and what it said.
fn run(machine: &Machine, name: &str, script: &str) -> (i32, String) {
    let path = format!("/run/{name}.rhai");
    std::fs::write(&path, script).expect("a script");
    outcome(&finish(&mut machine.run(&path, false, &[])))
}

/// What a run needs, what another needs of the same, and the look that says whether a run's still is so.
struct Shared {
    name: &'static str,
    /// The runs' scripts, and a command that succeeds while that one's is so.
    runs: [(&'static str, &'static str); 2],
}

const SHARED: &[Shared] = &[
    Shared {
        name: "the same forwarding",
        runs: [(
            "host().sysctl(\"net.ipv4.ip_forward\", 1);",
            "test $(cat /proc/sys/net/ipv4/conf/eth0/forwarding) = 1",
        ); 2],
    },
    Shared {
        name: "another MTU and filter",
        runs: [
            (
                "host().link(\"other0\").mtu(1400); host().sysctl(\"net.ipv4.conf.all.rp_filter\", 1);",
                "ip link show other0 | grep -q 'mtu 1400'",
            ),
            (
                "host().link(\"other0\").mtu(1300); host().sysctl(\"net.ipv4.conf.all.rp_filter\", 2);",
                "ip link show other0 | grep -q 'mtu 1300'",
            ),
        ],
    },
    Shared { name: "one bridge", runs: [("host().bridge(\"newbr\").up();", "ip link show newbr | grep -q UP"); 2] },
    Shared { name: "one namespace", runs: [("netns(\"ours\");", "ip netns | grep -q ours"); 2] },
    Shared {
        name: "one rule",
        runs: [("host().masquerade(host().link(\"eth0\"), \"10.9.0.0/24\");", "iptables -t nat -S | grep -q 10.9.0.0");
            2],
    },
    Shared { name: "one chain", runs: [("host().iptables(\"-N OURS\");", "iptables -S OURS"); 2] },
    Shared {
        name: "one route, two ways",
        runs: [
            ("host().route(\"10.88.0.0/16\", \"198.51.100.7\");", "ip route | grep -q '10.88.0.0/16 via 198.51.100.7'"),
            ("host().route(\"10.88.0.0/16\", \"198.51.100.8\");", "ip route | grep -q '10.88.0.0/16 via 198.51.100.8'"),
        ],
    },
    Shared {
        name: "one port, two bridges",
        runs: [
            ("host().link(\"other1\").master(host().link(\"brz\"));", "ip link show other1 | grep -q 'master brz'"),
            ("host().link(\"other1\").mac(\"02:00:00:00:00:66\");", "ip link show other1 | grep -q 02:00:00:00:00:66"),
        ],
    },
];

/// A setting of a run, what others make of it later, what says that theirs is there, and what takes it away.
struct Later {
    script: &'static str,
    change: &'static str,
    theirs: &'static str,
    back: &'static str,
}

const fn later(script: &'static str, change: &'static str, theirs: &'static str, back: &'static str) -> Later {
    Later { script, change, theirs, back }
}

const LATER: &[Later] = &[
    later(
        "host().link(\"other0\").addr(\"10.81.0.5/24\");",
        "ip address add 10.81.0.6/24 dev other0; ip route add 10.82.0.0/16 via 10.81.0.9",
        "ip addr show other0 | grep -q 10.81.0.6 && ip route | grep -q '10.82.0.0/16 via 10.81.0.9' && ! ip addr | grep -q 10.81.0.5",
        "ip address del 10.81.0.6/24 dev other0",
    ),
    later(
        "host().sysctl(\"net.ipv4.conf.all.rp_filter\", 1);",
        "sysctl -qw net.ipv4.conf.all.rp_filter=2",
        "test $(cat /proc/sys/net/ipv4/conf/all/rp_filter) = 2",
        "sysctl -qw net.ipv4.conf.all.rp_filter=0",
    ),
    later(
        "host().link(\"other1\").mtu(1400);",
        "ip link set other1 mtu 1300",
        "ip link show other1 | grep -q 'mtu 1300'",
        "true",
    ),
    later(
        "host().link(\"other1\").master(host().link(\"brz\"));",
        "ip link set other1 nomaster; ip link add newbr address 02:00:00:00:00:b1 type bridge; ip link set other1 master newbr",
        "ip link show other1 | grep -q 'master newbr'",
        "ip link del newbr",
    ),
    later(
        "host().link(\"other1\").mac(\"02:00:00:00:00:01\");",
        "ip link set other1 address 02:00:00:00:00:99",
        "ip link show other1 | grep -q 02:00:00:00:00:99",
        "true",
    ),
    later(
        "host().route(\"10.99.0.0/16\", \"198.51.100.7\");",
        "ip route replace 10.99.0.0/16 via 198.51.100.8",
        "ip route | grep -q '10.99.0.0/16 via 198.51.100.8'",
        "ip route replace 10.99.0.0/16 via 198.51.100.9",
    ),
    later(
        "host().neigh(\"10.74.0.20\", \"02:00:00:00:00:20\", \"other0\");",
        "ip neigh replace 10.74.0.20 lladdr 02:00:00:00:00:77 dev other0 nud permanent",
        "ip neigh show nud permanent | grep -q 02:00:00:00:00:77",
        "true",
    ),
    later(
        "host().bridge(\"brz\", #{ ageing_time: 1000 });",
        "ip link set brz type bridge ageing_time 2000",
        "ip -d link show brz | grep -q 'ageing_time 2000'",
        "true",
    ),
    later(
        "host().iptables(\"-P FORWARD DROP\");",
        "iptables -P FORWARD ACCEPT; iptables -A FORWARD -s 203.0.113.50 -j DROP",
        "iptables -S FORWARD | grep -q 'P FORWARD ACCEPT' && iptables -S FORWARD | grep -q 203.0.113.50",
        "iptables -D FORWARD -s 203.0.113.50 -j DROP",
    ),
];
/// How many of each the short form takes.
const SHORT_SETTINGS: usize = 2;

/// Settings that several runs need, in any order; and those that others have changed since.
pub(crate) fn settings(_: &Machine, full: bool) -> Vec<Case> {
    let take = if full { usize::MAX } else { SHORT_SETTINGS };
    let mut cases = Vec::new();
    for (at, one) in SHARED.iter().take(take).enumerate() {
        // Who is taken down first; the short form takes turns.
        for first in [0, 1].into_iter().filter(|first| full || at % 2 == *first) {
            let name =
                format!("two runs need {}: the {} goes first", one.name, if first == 0 { "older" } else { "newer" });
            cases.push(Case::new(name, move |machine| built(|| shared(machine, one, first))));
        }
    }
    cases.extend(LATER.iter().take(take).map(|one| {
        Case::new(format!("{} then {}", one.script, one.change), move |machine| {
            built(|| {
                let result = changed_later(machine, one);
                sh(one.back);
                result
            })
        })
    }));
    cases
}

/// The name of the run that is new.
fn new_run(known: &[String]) -> Option<String> {
    runs().into_iter().find(|run| !known.contains(run))
}

fn runs() -> Vec<String> {
    let folders = std::fs::read_dir("/run/netwright/runs").into_iter().flatten();
    folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn shared(machine: &Machine, one: &Shared, first: usize) -> Result<(), String> {
    let before = all();
    let mut ids = Vec::new();
    for (at, (script, _)) in one.runs.into_iter().enumerate() {
        // What changes nothing is not kept, and needs nothing.
        let (code, said) = run(machine, "shared", &format!("netns(\"own-{at}\");\n{script}"));
        match new_run(&ids) {
            Some(id) if code == 0 => ids.push(id),
            _ => return Err(format!("exit {code}\n{said}")),
        }
    }
    let (code, said) = machine.call(&["down", &ids[first]]);
    let holds = says(one.runs[1 - first].1);
    let (last, more) = machine.call(&["down", &ids[1 - first]]);
    if (code, last, holds) != (0, 0, true) {
        return Err(format!(
            "exit {code} and {last}, the other's {}\n{said}{more}",
            if holds { "holds" } else { "is gone" }
        ));
    }
    differs(&before).map_or(Ok(()), Err)
}

fn changed_later(machine: &Machine, one: &Later) -> Result<(), String> {
    let (code, said) = run(machine, "later", one.script);
    if code != 0 {
        return Err(format!("exit {code}\n{said}"));
    }
    sh(one.change);
    let (code, said) = machine.down_all();
    if code == 0 && says(one.theirs) { Ok(()) } else { Err(format!("exit {code}, and not `{}`\n{said}", one.theirs)) }
}

/// Whether a look succeeds.
fn says(look: &str) -> bool {
    Command::new("sh").args(["-c", look]).output().expect("sh").status.success()
}
