//! The sandbox on the real kernel, as root and as a plain user.
//!
//! This program is its own subject: `sandbox --inside …` enters a sandbox and runs what follows there, so that the tests need no
//! command line of netwright's. Hence no libtest: the first thing in `main` must be single threaded.

#[path = "common/signals.rs"]
mod signals;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use netwright::sandbox::{self, Entered, Mode};

fn main() -> ExitCode {
    if let Some(code) = sandbox::run_probe_child() {
        return ExitCode::from(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--ping") {
        return ExitCode::from(u8::from(!ping(&args[1], args.get(2).map(String::as_str))));
    }
    if args.first().is_some_and(|arg| arg == "--inside") {
        return ExitCode::from(inside(&args[1..]));
    }
    if signals::has_int(std::process::id(), "SigIgn") {
        // What a shell runs in the background does, and all that is started here would inherit it.
        let error = Command::new("env").arg("--default-signal=INT").args(std::env::args_os()).exec();
        panic!("`env` cannot run: {error}");
    }
    runner::main(&args)
}

/// `--inside [--keep PATH] [--uplink] COMMAND`: `sh -c COMMAND` in a sandbox. `--inside count-int` counts Ctrl-C.
fn inside(args: &[String]) -> u8 {
    let mut args = args.iter();
    let (mut keep, mut uplink, mut command) = (Vec::new(), false, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--keep" => keep.extend(args.next().map(PathBuf::from)),
            "--uplink" => uplink = true,
            other => command = Some(other.to_owned()),
        }
    }
    let command = command.expect("a command");
    match sandbox::enter_or_supervise(&keep) {
        Ok(Entered::Ended(ended)) => {
            if let Some(message) = ended.message() {
                eprintln!("{message}");
            }
            return ended.code;
        }
        Ok(Entered::Inside(sandbox)) if command == "count-int" => return count_int(&sandbox),
        Ok(Entered::Inside(_)) => {}
        Err(error) => {
            eprintln!("error: {error}\n{:?}", error.parts());
            return error.kind().exit_code();
        }
    }
    if uplink {
        sandbox::build_uplink(run).expect("the uplink");
    }
    let me = std::env::current_exe().expect("my path");
    let status = Command::new("sh").arg("-c").arg(&command).env("ME", me).status().expect("sh");
    u8::try_from(status.code().unwrap_or(255)).unwrap_or(255)
}

#[expect(clippy::unnecessary_wraps, reason = "it is the runner that the library asks for")]
fn run(argv: &[&str], stdin: &str, netns: Option<&Path>) -> netwright::Result<()> {
    let enter = netns.map(|path| vec!["nsenter".to_owned(), format!("--net={}", path.display())]).unwrap_or_default();
    let argv: Vec<String> = enter.into_iter().chain(argv.iter().map(|&word| word.to_owned())).collect();
    let mut child = Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("written");
    assert!(child.wait().expect("waited").success(), "{argv:?}");
    Ok(())
}

/// One echo request of either family, one second for the answer: `ping` is not installed everywhere.
fn ping(to: &str, from: Option<&str>) -> bool {
    use socket2::{Domain, Protocol, SockAddr, Socket, Type};
    let address = |text: &str| SockAddr::from(std::net::SocketAddr::new(text.parse().expect("an address"), 0));
    let v6 = to.contains(':');
    let (domain, protocol) = if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a raw socket");
    if let Some(from) = from {
        socket.bind(&address(from)).expect("bound");
    }
    // Type 8 or 128, identifier 0x4e57; the checksum of these 8 bytes is the complement of their sum (the kernel fills in IPv6's).
    let request: [u8; 8] = if v6 { [128, 0, 0, 0, 0x4e, 0x57, 0, 1] } else { [8, 0, 0xa9, 0xa7, 0x4e, 0x57, 0, 1] };
    if socket.connect(&address(to)).and_then(|()| socket.send(&request)).is_err() {
        return false;
    }
    let until = Instant::now() + Duration::from_secs(1);
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).expect("a timeout");
        let mut buffer = [0; 256];
        let Ok(n) = (&socket).read(&mut buffer) else { continue };
        let reply = if v6 { &buffer[..n] } else { buffer.get(20..n).unwrap_or_default() };
        if reply.first() == Some(&if v6 { 129 } else { 0 }) && reply.get(4..6) == Some(&[0x4e, 0x57]) {
            return true;
        }
    }
    false
}

fn count_int(sandbox: &sandbox::Sandbox) -> u8 {
    use signal_hook::iterator::{SignalsInfo, exfiltrator::origin::WithOrigin};
    let mut signals = SignalsInfo::<WithOrigin>::new([signal_hook::consts::SIGINT]).expect("signals");
    println!("ready");
    let mut count = signals.wait().filter(|origin| sandbox.counts(origin)).count();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
        count += signals.pending().filter(|origin| sandbox.counts(origin)).count();
    }
    println!("count={count}");
    0
}

/// Whom a test runs as.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Me,
    Nobody,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Root tests both; a plain user only himself.
fn everyone() -> Vec<Who> {
    if is_root() { vec![Who::Me, Who::Nobody] } else { vec![Who::Me] }
}

fn command(who: Who, args: &[&str]) -> Command {
    let me = std::env::current_exe().expect("my path");
    let mut command = match who {
        Who::Me => Command::new(me),
        Who::Nobody => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(me);
            command
        }
    };
    command.arg("--inside").args(args);
    command
}

fn go(who: Who, args: &[&str]) -> Output {
    command(who, args).stdin(Stdio::null()).output().expect("it starts")
}

#[track_caller]
fn succeeds(who: Who, args: &[&str]) -> String {
    let output = go(who, args);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{who:?} {args:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// What a sandbox must never change.
fn machine() -> String {
    let read = |argv: &[&str]| {
        let output = Command::new(argv[0]).args(&argv[1..]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [
        read(&["ip", "netns", "list"]),
        read(&["ip", "-o", "link"]),
        read(&["ip", "-o", "address"]).replace(|c: char| c.is_ascii_digit(), "").split("valid_lft").collect(),
        read(&["ip", "route", "show", "table", "all"]),
        std::fs::read_to_string("/proc/self/mountinfo").expect("mounts"),
        read(&["uname", "-n"]),
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("sysctl"),
    ]
    .join("--\n")
}

/// Processes whose environment or arguments hold `mark`.
fn processes(mark: &str) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(mark) && pid != i32::try_from(std::process::id()).expect("pid")
        {
            found.insert(pid);
        }
    }
    found
}

#[track_caller]
fn gone(mark: &str) {
    let until = Instant::now() + Duration::from_secs(3);
    loop {
        let left = processes(mark);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of seconds that nobody else sleeps: found in the arguments of every process, down to the last `sleep`.
fn mark(seconds: u32) -> String {
    format!("{seconds}.00{}", std::process::id())
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill");
    assert!(done.success());
}

// The tests.

fn builds_networks() {
    for who in everyone() {
        let text = succeeds(
            who,
            &["set -e; ip netns add red; ip netns add blue; ip netns list; \
               ip link add name a netns red type veth peer name b netns blue; \
               ip -n red address add 10.0.0.1/24 dev a; ip -n blue address add 10.0.0.2/24 dev b; \
               ip -n red link set dev a up; ip -n blue link set dev b up; \
               ip netns exec red $ME --ping 10.0.0.2; \
               iptables -w 5 -t nat -A POSTROUTING -s 10.0.0.0/24 -j MASQUERADE; iptables -t nat -S | grep MASQ; \
               sysctl -w net.ipv4.ip_forward=1; ip netns exec red sysctl -w net.ipv4.ip_forward=1; \
               nsenter --net=/run/netns/blue sh -c 'echo 1 > /proc/sys/net/ipv6/conf/b/disable_ipv6'; \
               ip netns exec blue sysctl -n net.ipv6.conf.b.disable_ipv6; \
               ip link show lo | grep -o LOWER_UP; ls /sys/class/net; ls /run; echo pid $$; cat /proc/1/comm /proc/2/comm; \
               ip netns pids red; : > /run/xtables.lock"],
        );
        for part in ["red", "MASQUERADE", "ip_forward = 1", "LOWER_UP", "netwright-init"] {
            assert!(text.contains(part), "{who:?}: no {part} in\n{text}");
        }
        assert!(!text.contains("eth0"), "{who:?}: the machine's link is visible\n{text}");
    }
}

fn reaches_the_internet_only_through_nat() {
    for who in everyone() {
        succeeds(
            who,
            &[
                "--uplink",
                "set -e; p=\"$ME --ping\"; $p 203.0.113.1; $p 2001:db8::1; test -z \"$(ip netns list)\"; \
               ip addr add fd77::1/64 dev eth0 nodad; ip addr add 10.7.7.7/24 dev eth0; \
               if $p 2001:db8::1 fd77::1 || $p 203.0.113.1 10.7.7.7; then echo own private source got through; exit 9; fi; \
               ip netns add red; ip link add name v type veth peer name v netns red; \
               ip addr add 10.9.0.1/24 dev v; ip -n red addr add 10.9.0.2/24 dev v; \
               ip addr add fd09::1/64 dev v nodad; ip -n red addr add fd09::2/64 dev v nodad; \
               ip link set v up; ip -n red link set v up; \
               ip -n red route add default via 10.9.0.1; ip -n red route add default via fd09::1; \
               sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; \
               in='ip netns exec red'; \
               if $in $p 203.0.113.1; then echo private source got through; exit 9; fi; \
               if $in $p 2001:db8::1; then echo ULA got through; exit 9; fi; \
               iptables -w 5 -t nat -A POSTROUTING -o eth0 -j MASQUERADE; \
               ip6tables -w 5 -t nat -A POSTROUTING -o eth0 -j MASQUERADE; \
               $in $p 203.0.113.1; $in $p 2001:db8::1; \
               test \"$(nsenter --net=/run/netwright/internet cat /proc/sys/net/ipv4/conf/all/rp_filter /proc/sys/net/ipv4/conf/all/rp_filter | tr -d '\\n')\" = 11; test $(cat /proc/sys/net/ipv4/conf/all/rp_filter) = 0; nsenter --net=/run/netwright/internet ip -o -6 address show dev eth0 | grep fe80 && exit 9; true",
            ],
        );
    }
}

fn passes_exit_codes_on() {
    for who in everyone() {
        for code in [0, 1, 42, 255] {
            assert_eq!(go(who, &[&format!("exit {code}")]).status.code(), Some(code), "{who:?}");
        }
    }
}

fn says_which_signal_ended_the_run() {
    // $PPID is P2.
    let output = go(Who::Me, &["kill -9 $PPID; sleep 5"]);
    assert_eq!(output.status.code(), Some(137));
    assert!(String::from_utf8_lossy(&output.stderr).contains("SIGKILL"), "{output:?}");

    // P1 itself, from outside.
    let mark = mark(44);
    let child =
        command(Who::Me, &[&format!("echo up; sleep {mark}; :")]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("it starts");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0; 3]).expect("it is up");
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    if let Ok(children) = std::fs::read_to_string(children) {
        signal(children.trim().parse().expect("one child"), "KILL");
        let output = child.wait_with_output().expect("waited");
        assert_eq!(output.status.code(), Some(137));
        assert!(String::from_utf8_lossy(&output.stderr).contains("SIGKILL"), "{output:?}");
        gone(&mark);
    } else {
        signal(child.id(), "KILL"); // a kernel without CONFIG_PROC_CHILDREN
        child.wait().expect("waited");
    }
}

fn reaps_orphans() {
    for who in everyone() {
        let zombies = "for i in 1 2 3; do (sh -c 'exit 7' & exec true) & done; wait; sleep 0.1; \
                       cat /proc/[0-9]*/stat | grep -c ') Z ' ; true";
        assert_eq!(succeeds(who, &[zombies]), "0\n", "{who:?}");
    }
}

fn leaves_nothing_after_an_end_of_any_kind() {
    let before = machine();
    for who in everyone() {
        for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            let mark = mark(77);
            let mut child = command(who, &["--uplink", &format!("(setsid sleep {mark} &); echo up; sleep {mark}; :")])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            let mut up = [0; 3];
            child.stdout.as_mut().expect("piped").read_exact(&mut up).expect("it is up");
            signal(child.id(), name);
            assert_eq!(child.wait().expect("waited").code(), Some(code), "{who:?} {name}");
            assert!(processes(&mark).is_empty(), "{who:?} {name}: gone by the time the supervisor ends");
            // End of file: nobody else holds the pipe, the daemonised sleep neither.
            assert_eq!(child.stdout.take().expect("piped").read_to_end(&mut Vec::new()).expect("read"), 0);
        }
        assert_eq!(go(who, &["(setsid sleep 77 &) ; exit 3"]).status.code(), Some(3));
    }
    assert_eq!(machine(), before);
}

fn survives_kill_9_at_any_moment() {
    let before = machine();
    for who in everyone() {
        for round in 0..20_u64 {
            let mark = mark(66);
            let script = format!(
                "ip netns add x; ip link add name kv type veth peer name kw; (setsid sleep {mark} &); sleep {mark}; :"
            );
            let mut child = command(who, &["--uplink", &script])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            // 0 to 40 ms in steps that do not repeat: before, between and after all stages.
            std::thread::sleep(Duration::from_micros(round * round * 101));
            child.kill().expect("killed");
            child.wait().expect("waited");
            gone(&mark);
        }
    }
    assert_eq!(machine(), before);
}

fn keeps_what_it_needs_of_run() {
    if !is_root() {
        return runner::skip("only root can write to /run");
    }
    let dir = tempfile::Builder::new().prefix("netwright-test").tempdir_in("/run").expect("a directory in /run");
    let script = dir.path().join("s.rhai");
    std::fs::write(&script, "hello").expect("written");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("open to all");
    let path = script.to_str().expect("utf-8");
    for who in everyone() {
        assert_eq!(succeeds(who, &["--keep", path, &format!("cat {path}; ls /run/lock")]), "hello");
        let mut command = command(who, &["cat s.rhai; cd .; /bin/pwd; ls -d /run/systemd || true"]);
        let output = command.current_dir(dir.path()).stderr(Stdio::null()).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, format!("hello{}\n", dir.path().display()), "{who:?}");
    }
}

fn cannot_change_the_machines_sysctls() {
    for who in everyone() {
        let before = std::fs::read_to_string("/proc/sys/kernel/panic").expect("sysctl");
        for file in ["/proc/sys/kernel/panic", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger"] {
            let output = go(who, &[&format!("echo 7 > {file}")]);
            assert!(!output.status.success(), "{who:?} {file}");
        }
        succeeds(
            who,
            &["ip netns add x; test \"$(ip netns exec x sysctl -n net.ipv4.ip_forward)\" = 0 && hostname elsewhere"],
        );
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/panic").expect("sysctl"), before);
    }
}

fn is_not_fooled_by_the_variable() {
    for who in everyone() {
        for value in ["1", "inside:root", "inside:rootless", "init:root:0", "init:root:3", "init:rootless:99"] {
            let output = command(who, &["echo inside"]).env(sandbox::ENV, value).output().expect("it starts");
            assert_eq!(output.status.code(), Some(3), "{who:?} {value}: {output:?}");
            assert!(output.stdout.is_empty());
            assert!(String::from_utf8_lossy(&output.stderr).contains("unset"), "{output:?}");
        }
        // No variable and no descriptor of the sandbox's own reaches the children; those of the caller do.
        let outside =
            Command::new("sh").args(["-c", "ls /proc/self/fd"]).stdin(Stdio::null()).output().expect("it starts");
        let outside = String::from_utf8_lossy(&outside.stdout).into_owned();
        assert_eq!(succeeds(who, &["printf %s $NETWRIGHT_SANDBOX; ls /proc/self/fd"]), outside, "{who:?}");
    }
}

fn nests() {
    let me = std::env::current_exe().expect("my path");
    for who in everyone() {
        let me = format!("{} --inside --uplink", me.display());
        let inner = format!("{me} '{me} \"$ME --ping 203.0.113.1 && echo nested\"'");
        assert_eq!(succeeds(who, &["--uplink", &inner]), "nested\n", "{who:?}");
    }
}

fn ctrl_c_arrives_once() {
    for who in everyone() {
        for (how, expected) in [("tty", "count=1"), ("kill", "count=1"), ("group", "count=1")] {
            let (text, _) = on_a_terminal(who, how);
            assert!(text.contains(expected), "{who:?} {how}: {text}");
        }
    }
}

/// Runs `count-int` on a pseudo terminal and interrupts it, from the keyboard or by `kill` to the supervisor only.
fn on_a_terminal(who: Who, how: &str) -> (String, i32) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let keyboard = openpt(flags | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a pty");
    let screen = ioctl_tiocgptpeer(&keyboard, flags).expect("its other end");
    let copy = || Stdio::from(screen.try_clone().expect("a copy"));

    let subject = command(who, &["count-int"]);
    // setsid --ctty: a new session with the pty as its terminal, the subject its foreground group.
    let mut child = Command::new("setsid")
        .arg("--ctty")
        .arg(subject.get_program())
        .args(subject.get_args())
        .stdin(copy())
        .stdout(copy())
        .stderr(copy())
        .spawn()
        .expect("it starts");
    drop(screen);
    let mut terminal = std::fs::File::from(keyboard);
    let mut text = String::new();
    let mut buffer = [0; 256];
    let mut sent = false;
    while let Ok(n @ 1..) = terminal.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if text.contains("ready") && !sent {
            sent = true;
            match how {
                "tty" => terminal.write_all(b"\x03").expect("typed"),
                "group" => {
                    let group = format!("-{}", child.id());
                    assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("kill").success());
                }
                _ => signal(child.id(), "INT"),
            }
        }
    }
    let status = child.wait().expect("waited");
    (text, status.code().unwrap_or(-1))
}

fn stops_and_continues() {
    for who in everyone() {
        let mark = mark(55);
        let mut child = command(who, &[&format!("echo up; sleep 0.2; exit 5; : {mark}")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0; 3]).expect("it is up");
        signal(child.id(), "TSTP");
        std::thread::sleep(Duration::from_millis(100));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it lives");
        assert!(stat.contains(") T "), "{who:?}: stopped: {stat}");
        signal(child.id(), "CONT");
        assert_eq!(child.wait().expect("waited").code(), Some(5), "{who:?}");
    }
}

fn probes() {
    assert!(sandbox::probe(Mode::Rootless).is_ok(), "{:?}", sandbox::probe(Mode::Rootless));
    if is_root() {
        assert!(sandbox::probe(Mode::Root).is_ok());
    }
    let error = Command::new("unshare")
        .args([
            "-Ur",
            "sh",
            "-c",
            "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -sys_admin \"$@\"",
            "sh",
        ])
        .arg(std::env::current_exe().expect("my path"))
        .args(["--inside", "true"])
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&error.stderr);
    assert_eq!(error.status.code(), Some(4), "{text}");
    assert!(text.contains("user.max_user_namespaces"), "{text}");
}

fn starts_fast() {
    for who in everyone() {
        for args in [&["true"][..], &["--uplink", "true"]] {
            let mut times: Vec<Duration> = (0..20)
                .map(|_| {
                    let start = Instant::now();
                    succeeds(who, args);
                    start.elapsed()
                })
                .collect();
            times.sort();
            println!("    {who:?} {args:?}: median {:?}, best {:?}", times[10], times[0]);
        }
    }
}

/// The least that a test runner needs: names, a filter, skips.
mod runner {
    use std::cell::Cell;
    use std::process::ExitCode;

    thread_local!(static SKIPPED: Cell<Option<&'static str>> = const { Cell::new(None) });

    pub(super) fn skip(reason: &'static str) {
        SKIPPED.set(Some(reason));
    }

    const TESTS: &[(&str, fn())] = &[
        ("builds_networks", super::builds_networks),
        ("reaches_the_internet_only_through_nat", super::reaches_the_internet_only_through_nat),
        ("passes_exit_codes_on", super::passes_exit_codes_on),
        ("says_which_signal_ended_the_run", super::says_which_signal_ended_the_run),
        ("reaps_orphans", super::reaps_orphans),
        ("leaves_nothing_after_an_end_of_any_kind", super::leaves_nothing_after_an_end_of_any_kind),
        ("survives_kill_9_at_any_moment", super::survives_kill_9_at_any_moment),
        ("keeps_what_it_needs_of_run", super::keeps_what_it_needs_of_run),
        ("cannot_change_the_machines_sysctls", super::cannot_change_the_machines_sysctls),
        ("is_not_fooled_by_the_variable", super::is_not_fooled_by_the_variable),
        ("nests", super::nests),
        ("ctrl_c_arrives_once", super::ctrl_c_arrives_once),
        ("stops_and_continues", super::stops_and_continues),
        ("probes", super::probes),
        ("starts_fast", super::starts_fast),
    ];

    pub(super) fn main(args: &[String]) -> ExitCode {
        let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
        if args.iter().any(|arg| arg == "--list") {
            TESTS.iter().filter(|(name, _)| wanted(name)).for_each(|(name, _)| println!("{name}: test"));
            return ExitCode::SUCCESS;
        }
        let mode = if super::is_root() { super::Mode::Root } else { super::Mode::Rootless };
        if let Err(error) = super::sandbox::probe(mode) {
            println!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
        let mut failed = 0;
        for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
            let outcome = std::panic::catch_unwind(test);
            let skipped = SKIPPED.take();
            failed += u32::from(outcome.is_err());
            match (outcome, skipped) {
                (Err(_), _) => println!("test {name} ... FAILED"),
                (Ok(()), Some(reason)) => println!("test {name} ... skipped: {reason}"),
                (Ok(()), None) => println!("test {name} ... ok"),
            }
        }
        println!("test result: {failed} failed");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
