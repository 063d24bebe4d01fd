//! The flight recorder against the kernel. Every test makes its own namespaces on threads of its own and never touches the machine's network.
//!
//! ```text
//!      a                            r                            b
//!   [ eth0 10.1.0.2/24 ]--[ va 10.1.0.1/24  vb 10.2.0.1/24 ]--[ eth0 10.2.0.2/24 ]
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netwright::Kind;
use netwright::exec::netns::NetnsFile;
use netwright::op::Where;
use netwright::probe::{ConnectOptions, PingOptions, Target, Verdict, connect, ping};
use netwright::why::recorder::{
    Class, End, Hook, KnownLink, Leg, Match, Place, Plan, Recorder, Recording, Seen, What, available, record,
};

type Job = Box<dyn FnOnce() + Send>;

/// A namespace: a thread that lives in it.
struct Ns {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    path: String,
    file: NetnsFile,
}

impl Ns {
    fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, up) = mpsc::channel();
        let thread = thread::spawn(move || {
            #[allow(deprecated)]
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
            let tid = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
            ready.send((path, NetnsFile::current().unwrap())).unwrap();
            for job in inbox {
                job();
            }
        });
        let (path, file) = up.recv().unwrap();
        let ns = Self { jobs: Some(jobs), thread: Some(thread), path, file };
        ns.sh("ip link set lo up
               sysctl -qw net.ipv6.conf.default.accept_dad=0");
        ns
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        self.jobs.as_ref().unwrap().send(Box::new(move || drop(send.send(job())))).unwrap();
        receive.recv().expect("the job inside the namespace panicked")
    }

    fn sh(&self, lines: &str) -> String {
        let lines = lines.to_owned();
        self.run(move || {
            let mut out = String::new();
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let words: Vec<_> = line.split_whitespace().collect();
                let done = Command::new(words[0]).args(&words[1..]).output().unwrap();
                assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
                out.push_str(&String::from_utf8_lossy(&done.stdout));
            }
            out
        })
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Namespaces by name, and which link leads where.
#[derive(Default)]
struct Lab {
    all: HashMap<&'static str, Ns>,
    pairs: Vec<[(&'static str, &'static str); 2]>,
}

impl Lab {
    fn veth(&mut self, a: (&'static str, &'static str), b: (&'static str, &'static str)) {
        for (name, _) in [a, b] {
            self.all.entry(name).or_insert_with(Ns::new);
        }
        // Peers with one index come up a second late: an index of its own.
        let index = 10 + self.pairs.len() * 2;
        let path = &self.all[b.0].path;
        self.all[a.0].sh(&format!("ip link add name {} index {index} type veth peer name {} netns {path}", a.1, b.1));
        for (name, dev) in [a, b] {
            self.all[name].sh(&format!("ip link set {dev} up"));
        }
        self.pairs.push([a, b]);
    }

    fn sh(&self, name: &str, lines: &str) -> String {
        self.all[name].sh(lines)
    }

    /// As a caller would know them; `peers`: with the other ends of the veths.
    fn places(&self, peers: bool) -> Vec<Place> {
        let mut links: HashMap<&str, Vec<KnownLink>> = HashMap::new();
        for (name, ns) in &self.all {
            let json: serde_json::Value = serde_json::from_str(&ns.sh("ip -j link")).unwrap();
            let known = json.as_array().unwrap().iter().map(|link| KnownLink {
                index: u32::try_from(link["ifindex"].as_u64().unwrap()).unwrap(),
                name: link["ifname"].as_str().unwrap().to_owned(),
                peer: None,
            });
            links.insert(name, known.collect());
        }
        if peers {
            for [a, b] in &self.pairs {
                for (from, to) in [(a, b), (b, a)] {
                    let index = links[to.0].iter().find(|link| link.name == to.1).unwrap().index;
                    let link = links.get_mut(from.0).unwrap().iter_mut().find(|link| link.name == from.1).unwrap();
                    link.peer = Some((self.all[to.0].file.id(), index));
                }
            }
        }
        self.all
            .iter()
            .map(|(name, ns)| Place {
                at: Where::Named((*name).to_owned()),
                netns: ns.file.clone(),
                links: links.remove(name).unwrap(),
            })
            .collect()
    }

    fn plan(&self, length: Option<u32>) -> Plan {
        Plan { places: self.places(true), wanted: Match { protocol: Some(0x800), length }, linger: Duration::ZERO }
    }
}

/// The three namespaces of the picture.
fn routed() -> Lab {
    let mut lab = Lab::default();
    lab.veth(("a", "eth0"), ("r", "va"));
    lab.veth(("r", "vb"), ("b", "eth0"));
    lab.sh("a", "ip addr add 10.1.0.2/24 dev eth0\nip route add default via 10.1.0.1");
    lab.sh("b", "ip addr add 10.2.0.2/24 dev eth0\nip route add default via 10.2.0.1");
    lab.sh("r", "ip addr add 10.1.0.1/24 dev va\nip addr add 10.2.0.1/24 dev vb\nsysctl -qw net.ipv4.ip_forward=1");
    lab
}

/// Two namespaces on a bridge in a third, and a bystander.
///
/// ```text
///    a [ eth0 10.3.0.1/24 ]--[ pa ]
///    b [ eth0 10.3.0.2/24 ]--[ pb ]   br0 in s
///    c [ eth0 10.3.0.3/24 ]--[ pc ]
/// ```
fn bridged() -> Lab {
    let mut lab = Lab::default();
    for (name, port, n) in [("a", "pa", 1), ("b", "pb", 2), ("c", "pc", 3)] {
        lab.veth((name, "eth0"), ("s", port));
        lab.sh(name, &format!("ip addr add 10.3.0.{n}/24 dev eth0"));
    }
    lab.sh("s", "ip link add name br0 type bridge forward_delay 0\nip link set br0 up");
    for port in ["pa", "pb", "pc"] {
        lab.sh("s", &format!("ip link set {port} master br0"));
    }
    lab
}

fn skip() -> bool {
    match available() {
        Ok(()) => false,
        Err(error) => {
            eprintln!("skipped: {error}");
            true
        }
    }
}

/// Each ping has a length of its own: other tests run at the same time, in this process and in others.
fn quick() -> PingOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id() * 31 + NEXT.fetch_add(1, Ordering::Relaxed) * 3;
    PingOptions {
        timeout: Duration::from_millis(150),
        size: 77 + usize::try_from(n % 700).unwrap(),
        ..PingOptions::default()
    }
}

/// The length at layer 3.
fn length(options: &PingOptions) -> Option<u32> {
    u32::try_from(options.size + 28).ok()
}

/// One event per line.
fn show(recording: &Recording) -> String {
    let line = |seen: &Seen| format!("{} {seen:?}\n", spot(recording, seen));
    let mut out: String = recording.events.iter().map(line).collect();
    while let Some((from, to)) = out.find("netns: Some").and_then(|at| Some((at, at + out[at..].find("dev: ")?))) {
        out.replace_range(from..to, "");
    }
    out
}

fn pinged(recorder: &Recorder, lab: &Lab, from: &str, to: &str, options: &PingOptions) -> (Verdict, Recording) {
    let to: IpAddr = to.parse().unwrap();
    let (report, recording) = recorder
        .record(&lab.all[from].file, &lab.plan(length(options)), || ping(to, options, &|| false).unwrap())
        .unwrap();
    (report.verdict, recording)
}

fn connected(recorder: &Recorder, lab: &Lab, from: &str, target: &str) -> (Verdict, Recording) {
    let target: Target = target.parse().unwrap();
    let options = ConnectOptions { timeout: Duration::from_millis(150), ..ConnectOptions::default() };
    recorder
        .record(&lab.all[from].file, &lab.plan(None), || connect(&target, &options, &|| false).unwrap().into_verdict())
        .unwrap()
}

/// `netns/dev`, `?` for what is not known.
fn spot(recording: &Recording, seen: &Seen) -> String {
    let netns = seen.netns.and_then(|id| recording.name_of(id)).map_or_else(|| "?".into(), Where::name);
    format!("{netns}/{}", seen.dev.as_deref().unwrap_or("-"))
}

fn path(recording: &Recording) -> String {
    let hop = |seen| spot(recording, seen);
    recording.path().map(hop).collect::<Vec<_>>().join(" ")
}

/// Where, what, and in which hook.
fn died(recording: &Recording) -> (String, Class, Option<Hook>) {
    let Some((seen, dropped)) = recording.dropped() else { panic!("no drop: {}", show(recording)) };
    (spot(recording, seen), dropped.class, dropped.hook)
}

#[test]
fn a_working_ping_is_followed_there_and_back() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    for peers in [true, false] {
        let options = quick();
        let plan = Plan { places: lab.places(peers), ..lab.plan(length(&options)) };
        let to = "10.2.0.2".parse().unwrap();
        let (report, recording) =
            recorder.record(&lab.all["a"].file, &plan, || ping(to, &options, &|| false).unwrap()).unwrap();
        assert!(report.verdict.is_reached(), "{report:?}");
        assert_eq!(path(&recording), "a/eth0 r/va r/vb b/eth0 b/eth0 r/vb r/va a/eth0", "{}", show(&recording));
        let legs: Vec<Leg> = recording.path().map(|seen| seen.leg).collect();
        assert_eq!(legs, [[Leg::Request; 4], [Leg::Reply; 4]].concat());
        assert_eq!(recording.end(), End::Open, "{}", show(&recording));
        assert_eq!(recording.summary(), "last received in a at eth0");
        assert_eq!(recording.lost, 0);
        let (_, changed) =
            recording.counters.iter().find(|(id, _)| recording.name_of(*id).unwrap().name() == "r").unwrap();
        assert!(changed.iter().any(|(name, by)| name == "Ip.ForwDatagrams" && *by == 2), "{changed:?}");
    }
}

/// name, what is done where, the expected place, class and hook
type Fault = (&'static str, &'static [(&'static str, &'static str)], &'static str, Class, Option<Hook>);

const FAULTS: &[Fault] = &[
    ("a rule in FORWARD", &[("r", "iptables -A FORWARD -p icmp -j DROP")], "r/va", Class::Ruleset, Some(Hook::Forward)),
    ("a rule in INPUT", &[("b", "iptables -A INPUT -p icmp -j DROP")], "b/eth0", Class::Ruleset, Some(Hook::Input)),
    ("a policy of OUTPUT", &[("a", "iptables -P OUTPUT DROP")], "a/-", Class::Ruleset, Some(Hook::Output)),
    (
        "a rule in PREROUTING",
        &[("b", "iptables -t raw -A PREROUTING -p icmp -j DROP")],
        "b/eth0",
        Class::Ruleset,
        Some(Hook::Prerouting),
    ),
    (
        "a rule against the reply",
        &[("b", "iptables -A OUTPUT -p icmp --icmp-type echo-reply -j DROP")],
        "b/eth0",
        Class::Ruleset,
        Some(Hook::Output),
    ),
    (
        "strict reverse path filter",
        &[
            ("r", "ip addr add 10.9.0.1/24 dev va"),
            ("a", "ip addr add 10.9.0.2/24 dev eth0"),
            ("r", "sysctl -qw net.ipv4.conf.va.rp_filter=1 net.ipv4.conf.all.rp_filter=1"),
            ("r", "ip route add 10.1.0.2/32 dev vb"),
        ],
        "r/va",
        Class::ReversePath,
        None,
    ),
    ("not a router", &[("r", "sysctl -qw net.ipv4.ip_forward=0")], "r/va", Class::NotForwarding, None),
    ("a blackhole", &[("r", "ip route add blackhole 10.2.0.2/32")], "r/va", Class::RouteError, None),
    ("a prohibit route", &[("r", "ip route add prohibit 10.2.0.2/32")], "r/va", Class::RouteError, None),
    ("an MTU too small", &[("r", "ip link set vb mtu 1000")], "r/va", Class::TooBig, None),
];

#[test]
fn each_fault_is_named_where_it_is() {
    if skip() {
        return;
    }
    let recorder = Recorder::open().unwrap();
    let mut wrong = Vec::new();
    for (name, inject, place, class, hook) in FAULTS {
        let lab = routed();
        // The neighbours are known before: the filter of the reverse path eats ARP as well, and says nothing of it.
        let warm = lab.all["a"].run(|| ping("10.2.0.2".parse().unwrap(), &quick(), &|| false).unwrap());
        assert!(warm.verdict.is_reached(), "{name}: {warm:?}");
        for (ns, lines) in *inject {
            lab.sh(ns, lines);
        }
        let options = PingOptions { dont_fragment: true, ..quick() };
        let size = if *class == Class::TooBig { 1300 } else { options.size };
        let options = PingOptions { size, ..options };
        let (verdict, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &options);
        assert!(!verdict.is_reached(), "{name}: {verdict:?}");
        eprintln!("{name}: {}", recording.summary());
        let found = recording.dropped().map(|(seen, dropped)| (spot(&recording, seen), dropped.class, dropped.hook));
        if found != Some(((*place).to_owned(), *class, *hook)) {
            wrong.push(format!("{name}: {found:?}\n{}", show(&recording)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_hop_limit() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    let (verdict, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &PingOptions { ttl: Some(1), ..quick() });
    assert!(verdict.is_not_reached(), "{verdict:?}");
    assert_eq!(died(&recording), ("r/va".into(), Class::HopLimit, None), "{}", show(&recording));
    assert!(
        recording.events.iter().any(|seen| seen.what == What::IcmpSend { kind: 11, code: 0 }),
        "{}",
        show(&recording)
    );
}

#[test]
fn a_missing_return_route_is_a_lookup_without_a_route() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    lab.sh("b", "ip route del default");
    let (verdict, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &quick());
    assert!(verdict.is_inconclusive(), "{verdict:?}");
    let End::Unrouted(seen) = recording.end() else { panic!("{}", show(&recording)) };
    assert_eq!(spot(&recording, seen), "b/eth0");
    let What::Fib { destination, error, .. } = seen.what else { panic!("{seen:?}") };
    assert_eq!((destination.to_string(), error), ("10.1.0.2".into(), -11));
    assert_eq!(seen.leg, Leg::Reply);
    assert_eq!(recording.summary(), "no route in b at eth0 to 10.1.0.2 (table 254, error -11)");
}

#[test]
fn a_link_down_shows_at_its_neighbour() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    lab.sh("b", "ip link set eth0 down");
    let (verdict, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &quick());
    assert!(!verdict.is_reached(), "{verdict:?}");
    let (place, class, _) = died(&recording);
    assert_eq!((place.as_str(), class), ("r/vb", Class::Queue), "{}", show(&recording));
}

#[test]
fn an_unanswered_neighbour_fails_in_a_timer() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    for (from, to, place) in [("a", "10.1.0.77", "a/eth0"), ("a", "10.2.0.77", "r/vb")] {
        let options = quick();
        let plan = Plan { linger: Duration::from_secs(60), ..lab.plan(length(&options)) };
        let addr = to.parse().unwrap();
        let start = Instant::now();
        let (report, recording) =
            recorder.record(&lab.all[from].file, &plan, || ping(addr, &options, &|| false).unwrap()).unwrap();
        assert!(!report.verdict.is_reached());
        assert!(start.elapsed() < Duration::from_secs(30), "it stopped waiting when the neighbour had failed");
        let Some((seen, dropped)) = recording.dropped() else { panic!("{}", show(&recording)) };
        assert_eq!(
            (dropped.class, seen.own, spot(&recording, seen).as_str()),
            (Class::NeighbourFailed, false, place),
            "{}",
            show(&recording)
        );
        let failed = recording.events.iter().find(|seen| seen.what == What::Neighbour { addr, state: "failed".into() });
        assert_eq!(failed.map(|seen| spot(&recording, seen)).as_deref(), Some(place), "{}", show(&recording));
    }
}

#[test]
fn closed_ports() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    for target in ["tcp/10.2.0.2:81", "udp/10.2.0.2:81"] {
        let (verdict, recording) = connected(&recorder, &lab, "a", target);
        assert_eq!(verdict.word(), "refused");
        assert_eq!(died(&recording), ("b/eth0".into(), Class::NoSocket, None), "{target}: {}", show(&recording));
    }
}

#[test]
fn a_bridge_that_filters_or_refuses() {
    if skip() {
        return;
    }
    let recorder = Recorder::open().unwrap();
    let lab = bridged();
    let (verdict, recording) = pinged(&recorder, &lab, "a", "10.3.0.2", &quick());
    assert!(verdict.is_reached(), "{verdict:?}");
    assert_eq!(path(&recording), "a/eth0 s/pa s/pb b/eth0 b/eth0 s/pb s/pa a/eth0", "{}", show(&recording));
    assert_eq!(recording.end(), End::Open, "{}", show(&recording));

    if std::path::Path::new("/proc/sys/net/bridge").exists() {
        lab.sh("s", "sysctl -qw net.bridge.bridge-nf-call-iptables=1\niptables -A FORWARD -p icmp -j DROP");
        let (verdict, recording) = pinged(&recorder, &lab, "a", "10.3.0.2", &quick());
        assert!(!verdict.is_reached(), "{verdict:?}");
        let (seen, dropped) = recording.dropped().expect("a drop");
        assert_eq!(spot(&recording, seen), "s/pa", "{}", show(&recording));
        assert_eq!((dropped.class, dropped.hook, dropped.bridged), (Class::Ruleset, Some(Hook::Forward), true));
        lab.sh("s", "iptables -F FORWARD");
    } else {
        eprintln!("skipped in part: no br_netfilter");
    }
    // Neighbours are known: an isolated port drops ARP requests without an event.
    lab.sh("s", "bridge link set dev pa isolated on\nbridge link set dev pb isolated on");
    let (verdict, recording) = pinged(&recorder, &lab, "a", "10.3.0.2", &quick());
    assert!(!verdict.is_reached(), "{verdict:?}");
    let (place, class, _) = died(&recording);
    assert_eq!(place, "s/pa", "{}", show(&recording));
    assert!(matches!(class, Class::BridgeRefused | Class::NoTarget), "{}", show(&recording));
    lab.sh("s", "bridge link set dev pa isolated off\nbridge link set dev pb isolated off");

    lab.sh("s", "bridge link set dev pb state 0");
    let (_, recording) = pinged(&recorder, &lab, "b", "10.3.0.1", &quick());
    assert_eq!((died(&recording).0.as_str(), died(&recording).1), ("s/pb", Class::PortState), "{}", show(&recording));
}

#[test]
fn ipv6_is_followed_too() {
    if skip() {
        return;
    }
    let (lab, recorder) = (routed(), Recorder::open().unwrap());
    lab.sh("a", "ip addr add 2001:db8:1::2/64 dev eth0 nodad\nip route add default via 2001:db8:1::1");
    lab.sh("b", "ip addr add 2001:db8:2::2/64 dev eth0 nodad\nip route add default via 2001:db8:2::1");
    lab.sh(
        "r",
        "ip addr add 2001:db8:1::1/64 dev va nodad
         ip addr add 2001:db8:2::1/64 dev vb nodad
         sysctl -qw net.ipv6.conf.all.forwarding=1",
    );
    let options = quick();
    let long = u32::try_from(options.size + 48).unwrap();
    let mut plan = lab.plan(Some(long));
    plan.wanted.protocol = Some(0x86dd);
    let to = "2001:db8:2::2".parse().unwrap();
    let go = || recorder.record(&lab.all["a"].file, &plan, || ping(to, &options, &|| false).unwrap()).unwrap();
    let (report, recording) = go();
    assert!(report.verdict.is_reached(), "{report:?}");
    let probe: Vec<_> = recording
        .path()
        .filter(|seen| matches!(seen.what, What::Xmit { len } | What::Receive { len } if len == long))
        .map(|seen| spot(&recording, seen))
        .collect();
    assert_eq!(probe.join(" "), "a/eth0 r/va r/vb b/eth0 b/eth0 r/vb r/va a/eth0", "{}", show(&recording));
    assert_eq!(recording.dropped(), None, "{}", show(&recording));
    lab.sh("b", "ip6tables -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP");
    assert_eq!(died(&go().1), ("b/eth0".into(), Class::Ruleset, Some(Hook::Input)));
}

/// Ends the noise also when an assertion fails.
struct Hush<'a>(&'a AtomicBool);
impl Drop for Hush<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Other people's packets: from a namespace pair of their own, dropped at the end like ours.
#[test]
fn a_busy_machine_does_not_hide_the_probe() {
    if skip() {
        return;
    }
    let (lab, other) = (routed(), routed());
    for lab in [&lab, &other] {
        lab.sh("b", "iptables -A INPUT -j DROP");
    }
    let quiet = AtomicBool::new(false);
    let recorder = Recorder::open().unwrap();
    thread::scope(|scope| {
        let hush = Hush(&quiet);
        let noise = scope.spawn(|| {
            other.all["a"].file.within(|| {
                let socket = UdpSocket::bind("10.1.0.2:0").unwrap();
                let start = Instant::now();
                let mut sent = 0u32;
                while !quiet.load(Ordering::Relaxed) {
                    // UDP of the same length, too: the noise must not be told by its size alone.
                    let _ = socket.send_to(&[0; 200], "10.2.0.2:9");
                    sent += 1;
                    while !quiet.load(Ordering::Relaxed) && start.elapsed() < Duration::from_micros(100) * sent {
                        thread::sleep(Duration::from_micros(50));
                    }
                }
                f64::from(sent) / start.elapsed().as_secs_f64()
            })
        });
        for _ in 0..20 {
            let (verdict, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &quick());
            assert!(verdict.is_inconclusive());
            assert_eq!(died(&recording), ("b/eth0".into(), Class::Ruleset, Some(Hook::Input)));
            assert_eq!(path(&recording), "a/eth0 r/va r/vb b/eth0", "{}", show(&recording));
            assert_eq!(recording.drops().count(), 1, "{}", show(&recording));
        }
        drop(hush);
        eprintln!("{:.0} other packets a second", noise.join().unwrap().unwrap());
    });
}

/// The instances of this process, seen through the same private mount as the recorder's; only those that somebody holds, if so asked.
fn left_behind(prefix: &str, held: bool) -> Vec<String> {
    let list = if held { "for i in *; do flock -n $i true || echo $i; done" } else { "ls" };
    let mount = "cd /sys/kernel/tracing; mountpoint -q . || mount -t tracefs none .";
    let script = format!("{mount}; cd $PWD/instances && {list}");
    let done = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

#[test]
fn nothing_is_left_in_tracefs() {
    if skip() {
        return;
    }
    // Other tests of this process have their own: so in a process of its own.
    if std::env::var_os("NETWRIGHT_RECORDER_CHILD").is_some() {
        let ns = Ns::new();
        let recorder = Recorder::open().unwrap();
        println!("open {}", std::process::id());
        let (value, _) = recorder.record(&ns.file, &Plan::default(), || 42).unwrap();
        assert_eq!(value, 42);
        let error = recorder.record(&ns.file, &Plan::default(), || panic!("on purpose")).unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        if std::env::var_os("NETWRIGHT_RECORDER_HANG").is_some() {
            thread::sleep(Duration::from_secs(60));
        }
        return;
    }
    let child = |hang: bool| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "nothing_is_left_in_tracefs", "--nocapture"]).env("NETWRIGHT_RECORDER_CHILD", "1");
        if hang {
            command.env("NETWRIGHT_RECORDER_HANG", "1");
        }
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let mut tidy = child(false);
    let prefix = format!("netwright-{}-", tidy.id());
    assert!(tidy.wait().unwrap().success());
    assert_eq!(left_behind(&prefix, false), [""; 0]);

    let mut killed = child(true);
    let prefix = format!("netwright-{}-", killed.id());
    let start = Instant::now();
    while left_behind(&prefix, true).len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "the child made no instances");
        thread::sleep(Duration::from_millis(20));
    }
    // A living one is not swept away.
    drop(Recorder::open().unwrap());
    assert_eq!(left_behind(&prefix, false).len(), 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    drop(Recorder::open().unwrap());
    assert_eq!(left_behind(&prefix, false), [""; 0], "a killed run's are removed by the next");
}

#[test]
fn in_a_sandbox_with_its_own_process_ids() {
    if skip() {
        return;
    }
    if std::env::var_os("NETWRIGHT_RECORDER_PIDNS").is_some() {
        let (lab, recorder) = (routed(), Recorder::open().unwrap());
        lab.sh("b", "iptables -A INPUT -p icmp -j DROP");
        let (_, recording) = pinged(&recorder, &lab, "a", "10.2.0.2", &quick());
        assert_eq!(died(&recording), ("b/eth0".into(), Class::Ruleset, Some(Hook::Input)), "{}", show(&recording));
        return;
    }
    let test = std::env::current_exe().unwrap();
    let done = Command::new("unshare")
        .args(["-m", "-p", "-f", "--mount-proc", "--kill-child"])
        .arg(test)
        .args(["--exact", "in_a_sandbox_with_its_own_process_ids", "--nocapture"])
        .env("NETWRIGHT_RECORDER_PIDNS", "1")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn without_privilege_it_says_why() {
    if skip() {
        return;
    }
    let test = std::env::current_exe().unwrap();
    let done = Command::new("unshare")
        .args(["-U", "-r", "-m"])
        .arg(test)
        .args(["--exact", "without_privilege_it_says_why", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    // Inside, `skip` prints the reason.
    assert!(done.status.success() && said.contains("skipped: the flight recorder cannot mount tracefs"), "{said}");
}

#[test]
fn what_it_costs() {
    if skip() {
        return;
    }
    let lab = routed();
    let options = quick();
    let plan = lab.plan(length(&options));
    let to = "10.2.0.2".parse().unwrap();
    let probe = || ping(to, &options, &|| false).unwrap();
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    let alone = time(&mut || drop(lab.all["a"].file.within(probe).unwrap()));
    let mut recorder = None;
    let open = time(&mut || recorder = Some(Recorder::open().unwrap()));
    let recorder = recorder.unwrap();
    let first = time(&mut || drop(recorder.record(&lab.all["a"].file, &plan, probe).unwrap()));
    let again = time(&mut || drop(recorder.record(&lab.all["a"].file, &plan, probe).unwrap()));
    let close = time(&mut || drop(record(&lab.all["a"].file, &plan, probe)));
    eprintln!(
        "probe alone {alone:.1} ms; open {open:.1} ms, first {first:.1} ms, next {again:.1} ms; all in one {close:.1} ms"
    );
    assert!(again < 1000.0 && open + first < 3000.0, "the recorder is slow");
}
