//! The probes against the kernel. Every test makes its own namespaces on threads of its own and never touches the machine's network.
//!
//! ```text
//!      a                                    b
//!   [ eth0 10.77.2.1/24 2001:db8::1/64 ]--[ eth0 10.77.2.2/24 2001:db8::2/64 ]
//! ```

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netwright::Kind;
use netwright::probe::{
    ConnectOptions, Endpoint, Established, Listener, PingOptions, PingReport, Proto, Reason, Target, Token, Verdict,
    Witness, connect, has_connection, ping, ping_many, wait_dad,
};

type Job = Box<dyn FnOnce() + Send>;

/// A namespace: a thread that lives in it.
struct Ns {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    path: String,
}

impl Ns {
    /// `None`, with the reason printed, where namespaces cannot be made.
    fn new() -> Option<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, up) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes.
            #[allow(deprecated)]
            let done = rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET);
            let tid = rustix::thread::gettid().as_raw_nonzero();
            let failed = done.is_err();
            ready.send(done.map(|()| format!("/proc/{}/task/{tid}/ns/net", std::process::id()))).unwrap();
            if !failed {
                for job in inbox {
                    job();
                }
            }
        });
        match up.recv().unwrap() {
            Ok(path) => {
                let ns = Self { jobs: Some(jobs), thread: Some(thread), path };
                // A link-local address under duplicate detection would cost each test a second.
                ns.sh("ip link set lo up
                       sysctl -qw net.ipv6.conf.default.accept_dad=0");
                Some(ns)
            }
            Err(error) => {
                eprintln!("skipped: cannot make a network namespace ({error}); run as root");
                None
            }
        }
    }

    /// Runs `job` inside.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (send, receive) = mpsc::channel();
        self.jobs.as_ref().unwrap().send(Box::new(move || drop(send.send(job())))).unwrap();
        receive.recv().expect("the job inside the namespace panicked")
    }

    /// Runs commands inside, one per line.
    fn sh(&self, lines: &str) {
        let lines = lines.to_owned();
        self.run(move || {
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let words: Vec<_> = line.split_whitespace().collect();
                let done = Command::new(words[0]).args(&words[1..]).output().unwrap();
                assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
            }
        });
    }

    fn ping(&self, addr: &str) -> PingReport {
        self.ping_with(addr, quick())
    }

    fn ping_with(&self, addr: &str, options: PingOptions) -> PingReport {
        let addr: IpAddr = addr.parse().unwrap();
        self.run(move || ping(addr, &options, &|| false).unwrap())
    }

    fn connect(&self, target: &str) -> Established {
        let target: Target = target.parse().unwrap();
        let options = ConnectOptions { timeout: Duration::from_millis(300), ..ConnectOptions::default() };
        self.run(move || connect(&target, &options, &|| false).unwrap())
    }

    fn listen(&self, endpoint: &str) -> Listener {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        self.run(move || Listener::bind(&[endpoint], None).unwrap())
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// For what is answered: on a busy machine it may take a while.
fn quick() -> PingOptions {
    PingOptions { timeout: Duration::from_secs(2), ..PingOptions::default() }
}

/// For what is not answered.
fn impatient() -> PingOptions {
    PingOptions { timeout: Duration::from_millis(300), ..PingOptions::default() }
}

/// The two namespaces of the picture.
fn pair() -> Option<(Ns, Ns)> {
    let (a, b) = (Ns::new()?, Ns::new()?);
    // Peers with one index come up a second late (see `wait_dad`): an index of its own for one of them.
    a.sh(&format!("ip link add name eth0 index 10 type veth peer name eth0 netns {}", b.path));
    for (ns, n) in [(&a, 1), (&b, 2)] {
        ns.sh(&format!(
            "ip addr add 10.77.2.{n}/24 dev eth0
             ip addr add 2001:db8::{n}/64 dev eth0 nodad
             ip link set dev eth0 up"
        ));
    }
    for ns in [&a, &b] {
        assert!(ns.run(|| wait_dad(Duration::from_secs(5), &|| false).unwrap()).settled());
    }
    Some((a, b))
}

macro_rules! pair_or_skip {
    () => {
        match pair() {
            Some(pair) => pair,
            None => return,
        }
    };
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `reason` or `reason by who`.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::NotReached(not) => match not.by {
            Some(by) => format!("{} by {by}", not.reason),
            None => not.reason.to_string(),
        },
        other => other.word().to_owned(),
    }
}

#[test]
fn both_families_are_reached() {
    let (a, b) = pair_or_skip!();
    for (addr, local) in [("10.77.2.2", "10.77.2.1"), ("2001:db8::2", "2001:db8::1"), ("127.0.0.1", "127.0.0.1")] {
        let report =
            a.ping_with(addr, PingOptions { count: 3, interval: Duration::from_millis(1), size: 1400, ..quick() });
        assert_eq!((report.sent, report.received, report.rtts.len()), (3, 3, 3), "{report:?}");
        assert_eq!(report.from, Some(ip(addr)));
        let Verdict::Reached(reached) = report.verdict else { panic!("{report:?}") };
        assert_eq!(reached.local, ip(local));
        assert!(reached.rtt < Duration::from_millis(100));
    }
    let big = a.ping_with("2001:db8::2", PingOptions { size: 9000, ..quick() });
    assert!(big.verdict.is_reached(), "fragments: {big:?}");
    drop(b);
}

#[test]
fn a_link_local_address_needs_its_link() {
    let (a, b) = pair_or_skip!();
    b.sh("ip addr add fe80::77/64 dev eth0 nodad");
    a.sh("ip addr add fe80::76/64 dev eth0 nodad");
    let report = a.ping_with("fe80::77", PingOptions { zone: Some("eth0".into()), ..quick() });
    assert!(report.verdict.is_reached(), "{report:?}");
    let listener = b.listen("tcp/[fe80::77%eth0]:80");
    assert!(a.connect("tcp/[fe80::77%eth0]:80").verdict().is_reached());
    let both = b.listen("udp/90");
    assert!(a.connect("udp/[fe80::77%eth0]:90").verdict().is_reached());
    let error = a.run(|| ping(ip("fe80::77"), &quick(), &|| false).unwrap_err());
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let zone = PingOptions { zone: Some("nix".into()), ..quick() };
    let error = a.run(move || ping(ip("fe80::77"), &zone, &|| false).unwrap_err());
    assert_eq!(error.to_string(), "no link `nix` in this namespace, named by `fe80::77%nix`");
    drop((listener, both));
}

#[test]
fn a_refusal_says_by_whom() {
    let (a, b) = pair_or_skip!();
    for (target, expected) in [
        ("tcp/10.77.2.2:81", "refused by 10.77.2.2"),
        ("tcp/[2001:db8::2]:81", "refused by 2001:db8::2"),
        ("udp/10.77.2.2:81", "refused by 10.77.2.2"),
        ("udp/[2001:db8::2]:81", "refused by 2001:db8::2"),
        ("tcp/127.0.0.1:81", "refused by 127.0.0.1"),
    ] {
        let verdict = a.connect(target).into_verdict();
        assert_eq!(told(&verdict), expected, "{target}");
        assert_eq!(verdict.word(), "refused");
    }
    assert_eq!(a.connect("tcp/10.77.2.2:81").verdict().detail(), "10.77.2.2 answered with a TCP reset");
    assert_eq!(a.connect("udp/10.77.2.2:81").verdict().detail(), "10.77.2.2 answered: destination port unreachable");
    drop(b);
}

#[test]
fn silence_is_inconclusive() {
    let (a, b) = pair_or_skip!();
    b.sh("iptables -w 5 -A INPUT -j DROP
          ip6tables -w 5 -A INPUT -p tcp -j DROP
          ip6tables -w 5 -A INPUT -p udp -j DROP
          ip6tables -w 5 -A INPUT -p icmpv6 --icmpv6-type echo-request -j DROP");
    for target in ["10.77.2.2", "tcp/10.77.2.2:80", "udp/10.77.2.2:80", "2001:db8::2", "tcp/[2001:db8::2]:80"] {
        let began = Instant::now();
        let verdict = a.connect(target).into_verdict();
        assert_eq!(told(&verdict), "timeout", "{target}");
        assert!(verdict.is_inconclusive());
        assert!((300..400).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
}

#[test]
fn a_firewall_that_rejects_is_named() {
    let (a, b) = pair_or_skip!();
    b.sh("iptables -w 5 -A INPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset
          iptables -w 5 -A INPUT -p tcp --dport 82 -j REJECT
          iptables -w 5 -A INPUT -p tcp --dport 83 -j REJECT --reject-with icmp-host-unreachable
          iptables -w 5 -A INPUT -j REJECT --reject-with icmp-admin-prohibited
          ip6tables -w 5 -A INPUT -p tcp -j REJECT --reject-with icmp6-adm-prohibited
          ip6tables -w 5 -A INPUT -p udp -j REJECT --reject-with icmp6-adm-prohibited
          ip6tables -w 5 -A INPUT -p icmpv6 --icmpv6-type echo-request -j REJECT --reject-with icmp6-adm-prohibited");
    for target in ["10.77.2.2", "tcp/10.77.2.2:80", "udp/10.77.2.2:80"] {
        assert_eq!(told(a.connect(target).verdict()), "prohibited by 10.77.2.2", "{target}");
    }
    for target in ["2001:db8::2", "tcp/[2001:db8::2]:80", "udp/[2001:db8::2]:80"] {
        assert_eq!(told(a.connect(target).verdict()), "prohibited by 2001:db8::2", "{target}");
    }
    assert_eq!(told(a.connect("tcp/10.77.2.2:81").verdict()), "refused by 10.77.2.2");
    assert_eq!(a.connect("tcp/10.77.2.2:82").verdict().detail(), "10.77.2.2 answered: destination port unreachable");
    assert_eq!(told(a.connect("tcp/10.77.2.2:83").verdict()), "host-unreachable by 10.77.2.2");
}

#[test]
fn what_the_senders_own_kernel_refuses() {
    let (a, b) = pair_or_skip!();
    a.sh("ip route add blackhole 203.0.113.1
          ip route add prohibit 203.0.113.2
          ip route add unreachable 203.0.113.3
          ip -6 route add blackhole 2001:db8:f::1
          ip -6 route add prohibit 2001:db8:f::2
          ip -6 route add unreachable 2001:db8:f::3
          iptables -w 5 -A OUTPUT -d 10.77.2.99 -j DROP");
    for (addr, expected) in [
        ("203.0.113.9", "unreachable"),
        ("203.0.113.1", "blackhole"),
        ("203.0.113.2", "prohibited"),
        ("203.0.113.3", "host-unreachable"),
        ("2001:db8:f::9", "unreachable"),
        ("2001:db8:f::1", "blackhole"),
        ("2001:db8:f::2", "prohibited"),
        ("2001:db8:f::3", "host-unreachable"),
    ] {
        let addr: IpAddr = addr.parse().unwrap();
        for target in [Target::icmp(addr), Target::tcp(addr, 80), Target::udp(addr, 80)] {
            let found = a.connect(&target.to_string()).into_verdict();
            assert_eq!(told(&found), expected, "{target}: {found:?}");
        }
    }
    // netfilter drops what leaves: EPERM for those who ask, silence for TCP, which retries.
    assert_eq!(told(a.connect("10.77.2.99").verdict()), "prohibited");
    assert_eq!(told(a.connect("udp/10.77.2.99:80").verdict()), "prohibited");
    assert_eq!(told(a.connect("tcp/10.77.2.99:80").verdict()), "timeout");
    let source = PingOptions { source: Some(ip("10.77.2.77")), ..quick() };
    assert_eq!(a.ping_with("10.77.2.2", source).verdict.word(), "no-source-address");
    drop(b);
}

#[test]
fn a_neighbour_that_does_not_answer_is_reported_by_ourselves() {
    let (a, b) = pair_or_skip!();
    a.sh("sysctl -qw net.ipv4.neigh.eth0.retrans_time_ms=50
          sysctl -qw net.ipv6.neigh.eth0.retrans_time_ms=50");
    for (addr, own) in [("10.77.2.9", "10.77.2.1"), ("2001:db8::9", "2001:db8::1")] {
        let addr: IpAddr = addr.parse().unwrap();
        for target in [Target::icmp(addr), Target::tcp(addr, 80), Target::udp(addr, 80)] {
            let verdict = a.connect(&target.to_string()).into_verdict();
            assert_eq!(told(&verdict), format!("host-unreachable by {own}"), "{target}: {verdict:?}");
            assert!(verdict.detail().starts_with("no neighbour answered: "), "{}", verdict.detail());
        }
    }
    drop(b);
}

#[test]
fn a_link_that_goes_down() {
    let (a, b) = pair_or_skip!();
    assert!(a.ping("10.77.2.2").verdict.is_reached());
    b.sh("ip link set dev eth0 down");
    assert!(!a.ping_with("10.77.2.2", impatient()).verdict.is_reached(), "the peer is down");
    a.sh("ip link set dev eth0 down");
    assert_eq!(a.ping("10.77.2.2").verdict.reason(), Some(Reason::Unreachable));
    assert_eq!(a.connect("tcp/10.77.2.2:80").verdict().reason(), Some(Reason::Unreachable));
}

#[test]
fn routers_on_the_way_say_what_is_wrong() {
    let (Some((a, r)), Some(c)) = (pair(), Ns::new()) else { return };
    r.sh(&format!(
        "ip link add name eth1 index 20 type veth peer name eth0 netns {}
         ip addr add 198.51.100.2/24 dev eth1
         ip addr add 2001:db8:1::2/64 dev eth1 nodad
         ip link set dev eth1 up mtu 1300
         sysctl -qw net.ipv4.ip_forward=1
         sysctl -qw net.ipv6.conf.all.forwarding=1",
        c.path
    ));
    c.sh("ip addr add 198.51.100.3/24 dev eth0
          ip addr add 2001:db8:1::3/64 dev eth0 nodad
          ip link set dev eth0 up mtu 1300
          ip route add default via 198.51.100.2
          ip -6 route add default via 2001:db8:1::2");
    a.sh("ip route add default via 10.77.2.2
          ip -6 route add default via 2001:db8::2");
    for (far, near, nowhere) in
        [("198.51.100.3", "10.77.2.2", "203.0.113.9"), ("2001:db8:1::3", "2001:db8::2", "2001:db8:9::9")]
    {
        assert!(a.ping(far).verdict.is_reached(), "{far}");
        let short = a.ping_with(far, PingOptions { ttl: Some(1), ..quick() }).verdict;
        assert_eq!(told(&short), format!("ttl-exceeded by {near}"));
        let big = a.ping_with(far, PingOptions { size: 1400, dont_fragment: true, ..quick() }).verdict;
        let Verdict::NotReached(big) = big else { panic!("{big:?}") };
        assert_eq!((big.reason, big.mtu), (Reason::TooBig, Some(1300)), "{far}");
        let fits = a.ping_with(far, PingOptions { size: 1400, ..quick() });
        assert!(fits.verdict.is_reached(), "fragmented when allowed: {fits:?}");
        for target in [nowhere.to_owned(), Target::tcp(ip(nowhere), 80).to_string()] {
            assert_eq!(told(a.connect(&target).verdict()), format!("unreachable by {near}"), "{target}");
        }
    }
    let Verdict::NotReached(local) =
        a.ping_with("10.77.2.2", PingOptions { size: 3000, dont_fragment: true, ..quick() }).verdict
    else {
        panic!()
    };
    assert_eq!((local.reason, local.by, local.mtu), (Reason::TooBig, None, Some(1500)));
}

#[test]
fn addresses_under_duplicate_detection_are_waited_for() {
    let (a, b) = pair_or_skip!();
    a.sh("sysctl -qw net.ipv6.conf.eth0.accept_dad=1");
    b.sh("sysctl -qw net.ipv6.conf.eth0.accept_dad=1");
    a.sh("ip addr add 2001:db8:2::1/64 dev eth0");
    b.sh("ip addr add 2001:db8:2::2/64 dev eth0");
    let source = PingOptions { source: Some(ip("2001:db8:2::1")), ..quick() };
    assert_eq!(a.ping_with("2001:db8:2::2", source.clone()).verdict.word(), "no-source-address");
    let cancelled = a.run(|| wait_dad(Duration::from_secs(5), &|| true).unwrap());
    assert_eq!(cancelled.tentative.len(), 1);
    for ns in [&a, &b] {
        let dad = ns.run(|| wait_dad(Duration::from_secs(5), &|| false).unwrap());
        assert!(dad.settled(), "{dad:?}");
    }
    assert!(a.ping_with("2001:db8:2::2", source).verdict.is_reached());
    // A duplicate stays unusable and is named.
    a.sh("ip addr add 2001:db8:2::2/64 dev eth0");
    let dad = a.run(|| wait_dad(Duration::from_secs(5), &|| false).unwrap());
    assert_eq!(dad.duplicate.len(), 1, "{dad:?}");
    assert_eq!((dad.duplicate[0].addr.into(), dad.duplicate[0].link.as_str()), (ip("2001:db8:2::2"), "eth0"));
    // Without a carrier there is nothing to wait for.
    b.sh("ip link set dev eth0 down");
    a.sh("ip addr add 2001:db8:3::1/64 dev eth0");
    let began = Instant::now();
    let dad = a.run(|| wait_dad(Duration::from_secs(5), &|| false).unwrap());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?} {dad:?}", began.elapsed());
}

#[test]
fn a_witness_sees_what_arrives_and_nothing_else() {
    let (a, b) = pair_or_skip!();
    let mut witness = b.run(|| Witness::open().unwrap());
    let mut elsewhere = a.run(|| Witness::open().unwrap());
    b.sh("iptables -w 5 -A INPUT -p udp --dport 81 -j DROP");
    for target in ["10.77.2.2", "2001:db8::2", "udp/10.77.2.2:80", "udp/[2001:db8::2]:80"] {
        let token = a.connect(target).token();
        assert!(witness.saw(token, Duration::from_secs(1)).unwrap(), "{target}");
        assert!(!elsewhere.saw(token, Duration::ZERO).unwrap(), "{target}");
    }
    let began = Instant::now();
    assert!(!witness.saw(Token::random().unwrap(), Duration::from_millis(50)).unwrap());
    assert!((50..150).contains(&began.elapsed().as_millis()));
    let token = a.connect("udp/10.77.2.2:81").token();
    assert!(!witness.saw(token, Duration::from_millis(50)).unwrap(), "dropped by its firewall");
    // The right address in the wrong place.
    a.sh("ip addr add 10.77.2.2/32 dev lo");
    let report = a.ping("10.77.2.2");
    assert!(report.verdict.is_reached());
    assert!(!witness.saw(report.token, Duration::from_millis(50)).unwrap());
    assert!(elsewhere.saw(report.token, Duration::from_millis(50)).unwrap());
}

#[test]
fn the_other_half_of_a_connection_is_found() {
    let (a, b) = pair_or_skip!();
    let mut listener = b.listen("tcp/80");
    let narrow = b.listen("tcp/10.77.2.2:81");
    for target in ["tcp/10.77.2.2:80", "tcp/[2001:db8::2]:80", "tcp/10.77.2.2:81"] {
        let open = a.connect(target);
        assert!(open.verdict().is_reached(), "{target}: {:?}", open.verdict());
        let (local, remote) = open.ends().unwrap();
        assert!(b.run(move || has_connection(remote, local).unwrap()), "{target}");
        assert!(!b.run(move || has_connection(local, remote).unwrap()));
        assert!(a.run(move || has_connection(local, remote).unwrap()));
        let other = SocketAddr::new(local.ip(), local.port() ^ 1);
        assert!(!b.run(move || has_connection(remote, other).unwrap()));
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while listener.counts().open > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((listener.counts().accepted, listener.counts().open), (2, 0), "closed on both sides");
    listener.stop();
    assert_eq!(told(a.connect("tcp/10.77.2.2:80").verdict()), "refused by 10.77.2.2");
    drop(narrow);
}

#[test]
fn a_listener_echoes_udp_from_the_address_that_was_asked() {
    let (a, b) = pair_or_skip!();
    b.sh("ip addr add 10.77.2.3/24 dev eth0
          ip addr add 2001:db8::3/64 dev eth0 nodad");
    let listener = b.listen("udp/53");
    let v4 = b.listen("udp/10.77.2.3:54");
    for target in
        ["udp/10.77.2.2:53", "udp/10.77.2.3:53", "udp/[2001:db8::2]:53", "udp/[2001:db8::3]:53", "udp/10.77.2.3:54"]
    {
        assert!(a.connect(target).verdict().is_reached(), "{target}");
    }
    assert_eq!(listener.counts().datagrams, 4);
    assert!(a.run(|| connect(&Target::udp(ip("127.0.0.1"), 9), &ConnectOptions::default(), &|| false).is_ok()));
    drop(v4);
}

#[test]
fn a_listener_without_ipv6_serves_ipv4() {
    let Some(a) = Ns::new() else { return };
    a.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    let listener = a.listen("tcp/80");
    assert!(a.connect("tcp/127.0.0.1:80").verdict().is_reached());
    assert!(!a.connect("tcp/[::1]:80").verdict().is_reached());
    drop(listener);
}

#[test]
fn a_listener_says_its_banner_and_echoes_megabytes() {
    let Some(a) = Ns::new() else { return };
    let listener = a.run(|| Listener::bind(&[Endpoint::any(Proto::Tcp, 0)], Some(b"hello\n".to_vec())).unwrap());
    let port = listener.endpoints()[0].port;
    let mut stream = a.run(move || TcpStream::connect(("127.0.0.1", port)).unwrap());
    let sent: Vec<u8> = (0..4_000_000u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = [b"hello\n".as_slice(), &sent].concat();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == expected, "{} bytes", got.len());
    // A probe does not choke on a banner, and leaves without a reset.
    let verdict = a.connect(&format!("tcp/127.0.0.1:{port}")).into_verdict();
    assert!(verdict.is_reached());
    let resets = a.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let tcp: Vec<_> = resets.lines().filter(|line| line.starts_with("Tcp:")).collect();
    let at = tcp[0].split(' ').position(|word| word == "OutRsts").unwrap();
    assert_eq!(tcp[1].split(' ').nth(at), Some("0"));
}

#[test]
fn a_listener_that_cannot_bind_says_why() {
    let Some(a) = Ns::new() else { return };
    let first = a.listen("tcp/80");
    for (endpoint, kind, expected) in [
        ("tcp/80", Kind::Busy, "cannot listen on `tcp/80`: the port is taken in this namespace"),
        (
            "udp/10.77.2.9:53",
            Kind::NotFound,
            "cannot listen on `udp/10.77.2.9:53`: this namespace has no address 10.77.2.9",
        ),
        (
            "tcp/[2001:db8::9]:80",
            Kind::NotFound,
            "cannot listen on `tcp/[2001:db8::9]:80`: this namespace has no address",
        ),
    ] {
        let endpoint: Endpoint = endpoint.parse().unwrap();
        let error = a.run(move || Listener::bind(&[endpoint], None).unwrap_err());
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(!error.parts().hints.is_empty());
    }
    assert_eq!(Listener::bind(&[], None).unwrap_err().kind(), Kind::InvalidArgument);
    drop(first);
    drop(a.listen("tcp/80"));
}

#[test]
fn five_hundred_connections_at_once() {
    let (a, b) = pair_or_skip!();
    let listener = b.run(|| Listener::bind(&[Endpoint::any(Proto::Tcp, 80)], Some(b"hi".to_vec())).unwrap());
    let needed = 1200;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if limit.current.is_some_and(|files| files < 2 * needed) {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).is_err()
            || limit.maximum.is_some_and(|files| files < 2 * needed)
        {
            eprintln!("skipped: too few open files allowed ({limit:?})");
            return;
        }
    }
    let began = Instant::now();
    let mut streams: Vec<_> = a.run(|| (0..500).map(|_| TcpStream::connect(("10.77.2.2", 80)).unwrap()).collect());
    for stream in &mut streams {
        stream.write_all(b"ping").unwrap();
    }
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut got = [0; 6];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"hiping");
    }
    eprintln!("500 connections: {:?}", began.elapsed());
    assert_eq!(listener.counts().accepted, 500);
    drop(streams);
    let deadline = Instant::now() + Duration::from_secs(2);
    while listener.counts().open > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(listener.counts().open, 0);
}

#[test]
fn hundreds_of_addresses_at_once() {
    let (a, b) = pair_or_skip!();
    b.run(|| {
        let mut batch = String::new();
        for n in 10..210 {
            writeln!(batch, "addr add 10.77.2.{n}/24 dev eth0").unwrap();
            writeln!(batch, "addr add 2001:db8::1:{n}/64 dev eth0 nodad").unwrap();
        }
        let mut child = Command::new("ip").args(["-batch", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    });
    let mut addrs: Vec<IpAddr> = (10..210).map(|n| ip(&format!("10.77.2.{n}"))).collect();
    addrs.extend((10..210).map(|n| ip(&format!("2001:db8::1:{n}"))));
    for round in ["cold", "warm"] {
        let addrs = addrs.clone();
        let (verdicts, took) = a.run(move || {
            let began = Instant::now();
            (ping_many(&addrs, &quick(), &|| false).unwrap(), began.elapsed())
        });
        assert_eq!(verdicts.len(), 400);
        assert!(verdicts.iter().all(Verdict::is_reached), "{round}");
        eprintln!("400 addresses, {round}: {took:?}");
    }
    let thirty: Vec<_> = addrs[..30].to_vec();
    let best = a.run(move || {
        let once = || {
            let began = Instant::now();
            assert!(ping_many(&thirty, &quick(), &|| false).unwrap().iter().all(Verdict::is_reached));
            began.elapsed()
        };
        (0..20).map(|_| once()).min().unwrap()
    });
    eprintln!("30 addresses, warm: {best:?}");

    // Those that do not answer are asked three times, do not hold up the others, and each verdict stands in its place.
    let mut mixed = addrs[..300].to_vec();
    mixed.insert(0, ip("203.0.113.1"));
    mixed.insert(7, ip("10.77.2.250"));
    let (verdicts, took) = a.run(move || {
        let began = Instant::now();
        (ping_many(&mixed, &impatient(), &|| false).unwrap(), began.elapsed())
    });
    assert_eq!((told(&verdicts[0]), told(&verdicts[7])), ("unreachable".into(), "timeout".into()));
    assert_eq!(verdicts.iter().filter(|verdict| verdict.is_reached()).count(), 300);
    assert!((900..3000).contains(&took.as_millis()), "{took:?}");
    assert!(a.run(|| ping_many(&[], &quick(), &|| false).unwrap()).is_empty());
}

#[test]
fn many_probes_reach_their_own_witnesses_only() {
    let (a, b) = pair_or_skip!();
    let mut witness = b.run(|| Witness::open().unwrap());
    let token = Token::random().unwrap();
    let addrs = [ip("10.77.2.2"), ip("127.0.0.1"), ip("2001:db8::2")];
    let verdicts = a.run(move || ping_many(&addrs, &PingOptions { token: Some(token), ..quick() }, &|| false).unwrap());
    assert!(verdicts.iter().all(Verdict::is_reached));
    let seen: Vec<_> = (0..3).map(|n| witness.saw(token.nth(n), Duration::from_millis(20)).unwrap()).collect();
    assert_eq!(seen, [true, false, true]);
}

#[test]
fn a_probe_stops_when_told_to() {
    let (a, b) = pair_or_skip!();
    b.sh("iptables -w 5 -A INPUT -j DROP");
    for target in ["10.77.2.2", "tcp/10.77.2.2:80", "udp/10.77.2.2:80"] {
        let target: Target = target.parse().unwrap();
        let (verdict, took) = a.run(move || {
            let began = Instant::now();
            let stop = || began.elapsed() > Duration::from_millis(100);
            let options = ConnectOptions { timeout: Duration::from_secs(30), ..ConnectOptions::default() };
            (connect(&target, &options, &stop).unwrap().into_verdict(), began.elapsed())
        });
        assert_eq!(verdict.word(), "cancelled");
        assert!((100..200).contains(&took.as_millis()), "{took:?}");
    }
}

#[test]
fn a_silent_peer_does_not_hold_up_the_goodbye() {
    let Some(a) = Ns::new() else { return };
    // It accepts (the backlog does) and never says a word nor closes.
    let mute = a.run(|| std::net::TcpListener::bind("127.0.0.1:80").unwrap());
    let open = a.connect("tcp/127.0.0.1:80");
    let began = Instant::now();
    drop(open);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    let (mut peer, _) = a.run(move || mute.accept().unwrap());
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer is told");
}
