//! Bad input on the real program: every case ends in time, with the exit code and a message that names the thing, and leaves nothing.
//!
//! In the sandbox nothing can be left; the tests with `--host` run in a private network, mount table and `/run`, and compare.

#[path = "common/signals.rs"]
mod signals;

use signals::has_int;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nothing may take longer than its deadline and this.
const SLACK: Duration = Duration::from_millis(2500);

struct Ended {
    code: i32,
    said: String,
    took: Duration,
}

impl Ended {
    /// The exit code, every part of the message, and nothing that looks like a bug.
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.said);
        for part in parts {
            assert!(self.said.contains(part), "{part:?} is not in\n{}", self.said);
        }
        for bug in ["panicked", "RUST_BACKTRACE", "(os error", "internal error"] {
            assert!(!self.said.contains(bug), "{}", self.said);
        }
        assert!(!self.said.contains('\0') && !self.said.contains('\u{1b}'), "{:?}", self.said);
    }

    #[track_caller]
    fn within(&self, limit: Duration) {
        assert!(self.took < limit + SLACK, "{:?}\n{}", self.took, self.said);
    }
}

fn netwright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Waits, at most a minute: a test that hangs says nothing.
fn wait(mut child: Child, begun: Instant) -> Ended {
    let pipe = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut { pipe }, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed();
    Ended { code: status.code().unwrap_or(-1), said: reader.join().unwrap(), took }
}

/// Runs `netwright run OPTIONS c.rhai` with this script.
fn run_with(options: &[&str], script: impl AsRef<[u8]>) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.rhai"), script).unwrap();
    let begun = Instant::now();
    let child = netwright().arg("run").args(options).arg("c.rhai").current_dir(folder.path()).spawn().unwrap();
    wait(child, begun)
}

fn run(script: impl AsRef<[u8]>) -> Ended {
    run_with(&[], script)
}

/// Whether sandboxes work here; prints the reason once when not.
fn ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        let ended = run("");
        if ended.code == 4 {
            println!("skipped: {}", ended.said);
        }
        ended.code != 4
    })
}

/// A program in a folder of its own; `uplink` lets the sandbox be built first.
fn shim(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shim");
    let ip = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"].into_iter().find(|path| Path::new(path).exists());
    let uplink = format!("[ \"$1\" = -batch ] && exec {} \"$@\"", ip.unwrap_or("ip"));
    fs::write(&path, format!("#!/bin/sh\n{}\n", text.replace("UPLINK", &uplink))).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn names() {
    if !ready() {
        return;
    }
    for (name, why) in [
        ("sixteen-bytes-xx", "it has 16 bytes"),
        ("a%d", "pattern"),
        ("-x", "starts with `-`"),
        ("dev", "iproute2 reads it as a word of its own"),
        ("../x", "the character '/'"),
        ("a b", "the character ' '"),
        ("a\\nb", "the character '\\n'"),
        ("", "it is empty"),
        ("é", "the character 'é'"),
        ("a\\x00b", "the character '\\0'"),
        (".", "starts with `.`"),
        ("..", "starts with `.`"),
    ] {
        let ended = run(format!("let a = netns(\"a\");\na.bridge(\"{name}\");\n"));
        ended.expect(3, &["cannot be the name of a link", why, " --> c.rhai:2:3", "help: for example"]);
        if !["dev", "sixteen-bytes-xx"].contains(&name) {
            let why = if name == "a%d" { "the character '%'" } else { why };
            let ended = run(format!("netns(\"{name}\");\n"));
            ended.expect(3, &["cannot be the name of a namespace", why, " --> c.rhai:1:1", "help: for example"]);
        }
    }
}

#[test]
fn addresses_and_links() {
    if !ready() {
        return;
    }
    for (address, why) in [
        ("1.2.3/24", "an IPv4 address has four numbers"),
        ("10.0.0.1/33", "a number from 0 to 32"),
        ("300.0.0.1/24", "each number goes from 0 to 255"),
        ("10.0.0.1", "the prefix length is missing"),
        ("", "it is empty"),
        ("2001:db8::1/129", "a number from 0 to 128"),
    ] {
        let ended = run(format!("let br = netns(\"a\").bridge(\"br0\");\nbr.addr(\"{address}\");\n"));
        ended.expect(3, &[&format!("`{address}` is not an address"), why, " --> c.rhai:2:4", "help: write"]);
    }
    run("cidr(\"2001:db8::/126\").host(9);").expect(3, &["`2001:db8::/126` has no host 9", "from 0 to 3"]);
    run("let a = netns(\"a\");\nveth(a, \"br0\", netns(\"b\"), \"x\");\na.bridge(\"br0\");")
        .expect(3, &["`br0` in `a` is the end of another veth, not a bridge", " --> c.rhai:3:3", "another name"]);
    run("netns(\"a\").link(\"eth0\");").expect(3, &["no link `eth0` in `a`", "links in `a`: lo"]);
    run("netns_path(\"/run/netns/x\");").expect(3, &["no namespace `/run/netns/x`"]);
}

#[test]
fn scripts_that_are_none() {
    if !ready() {
        return;
    }
    run(b"let a = 1;\nlet \xff = 2;\n").expect(3, &["is not UTF-8", "0xff in line 2", "c.rhai:2:5"]);
    run("let a = 1;\n".repeat(1_000_000)).expect(3, &["too large for a script: 11.0 MB", "at most 4 MiB"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("router.rhai"), "").unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let at = |name: &str, options: &[&str]| {
        let begun = Instant::now();
        wait(netwright().arg("run").args(options).arg(name).current_dir(folder.path()).spawn().unwrap(), begun)
    };
    at("rooter.rhai", &[]).expect(3, &["cannot read `rooter.rhai`", "did you mean `router.rhai`?"]);
    at("/tmp", &[]).expect(3, &["`/tmp` is a folder, not a script"]);
    at("", &[]).expect(3, &["the name of the script is empty"]);
    at("/dev/zero", &[]).expect(3, &["`/dev/zero` is too large for a script"]);
    let pipe = at("pipe", &["--timeout", "300ms"]);
    pipe.expect(6, &["the run took longer than 300ms"]);
    pipe.within(Duration::from_millis(300));
    // A pipe with a writer is a script like any other.
    let path = folder.path().join("pipe");
    let writer = std::thread::spawn(move || fs::write(path, "nonsense();").unwrap());
    at("pipe", &[]).expect(3, &["no function `nonsense`"]);
    writer.join().unwrap();
}

#[test]
fn modules_stay_below_the_script() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out.rhai"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "fn f() { 1 }").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("link.rhai")).unwrap();
    for path in ["link", "../out"] {
        fs::write(inside.join("c.rhai"), format!("import \"{path}\" as x;")).unwrap();
        let begun = Instant::now();
        let ended = wait(netwright().args(["run", "c.rhai"]).current_dir(&inside).spawn().unwrap(), begun);
        ended.expect(3, &[&format!("the module `{path}` lies outside"), " --> c.rhai:1:8", "below the folder"]);
    }
}

#[test]
fn limits() {
    if !ready() {
        return;
    }
    for (script, what) in [
        ("fn f(n) { f(n + 1) }\nf(0);".to_owned(), "more than 64 function calls inside each other"),
        ("let f = |f| f.call(f);\nf.call(f);".to_owned(), "more than 64 function calls"),
        (format!("let x = {}1{};", "(".repeat(5000), ")".repeat(5000)), "nested too deeply"),
        (format!("let x = {}{};", "[".repeat(5000), "]".repeat(5000)), "nested too deeply"),
        ("{".repeat(5000) + &"}".repeat(5000), "nested too deeply"),
        (format!("let x = 1{};", "+1".repeat(100_000)), "nested too deeply"),
        (format!("if true {{}} {}", "else if true {} ".repeat(10_000)), "nested too deeply"),
        ("let a = [1]; loop { a += a; }".to_owned(), "too large: size of array"),
        ("let s = \"x\"; loop { s += s; }".to_owned(), "too large: length of string"),
        ("let s = \"x\"; s.pad(200000000, \"y\");".to_owned(), "too large: length of string"),
    ] {
        run(script).expect(3, &[what, " --> c.rhai:", "help: "]);
    }
}

#[test]
fn arguments() {
    if !ready() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.rhai"), "let n = arg(\"count\", 3);\n").unwrap();
    let with = |words: &[&str]| {
        let begun = Instant::now();
        wait(netwright().args(["run", "c.rhai"]).args(words).current_dir(folder.path()).spawn().unwrap(), begun)
    };
    with(&["--count", "x"]).expect(3, &["`--count` is an integer, not `x`", " --> c.rhai:1:9"]);
    // Before anything is done, sandbox or not.
    with(&["--cuont", "4"]).expect(2, &["the script has no argument `--cuont`: did you mean `--count`?"]);
    with(&["stray"]).expect(2, &["the script takes no argument `stray`"]);
    run_with(&["--chek"], "")
        .expect(2, &["there is no option `--chek`", "options of netwright stand before the script"]);
    run_with(&["--traec"], "").expect(2, &["did you mean `--trace`?"]);
    run_with(&["--command-timeout", "0s"], "").expect(2, &["write a time above zero"]);
    run_with(&["--tool", "ip=relative"], "").expect(2, &["must be absolute"]);
    run_with(&["--tool", "frob=/bin/true"], "").expect(2, &["is not a tool that netwright runs", "it is one of"]);
}

#[test]
fn ctrl_c_ends_everything() {
    if !ready() {
        return;
    }
    let scripts = [
        "loop {}",
        "sleep(\"1000s\");",
        "sleep(1000);",
        "eventually(\"1000s\", || false);",
        "netns(\"a\").exec(\"sleep 1000\", #{ timeout: \"1h\" });",
        "netns(\"a\").exec([\"sh\", \"-c\", \"trap '' TERM INT; sleep 1000\"], #{ timeout: \"1h\" });",
        "host().ping(\"198.51.100.77\", #{ timeout: \"1000s\" });",
        "host().connect(\"tcp/198.51.100.77:80\", #{ timeout: \"1000s\" });",
        "expect(host()).reaches(\"198.51.100.77\", #{ timeout: \"1000s\" });",
        "loop { try { sleep(\"100s\"); } catch (e) { print(\"caught\"); } }",
        "defer(|| sleep(\"100s\")); sleep(\"100s\");",
        "read_file(\"pipe\");",
    ];
    let (_folder, hangs) = shim("UPLINK\nexec sleep 1000");
    let tool = format!("ip={hangs}");
    let all = scripts.iter().map(|script| (*script, Vec::new()));
    // A tool that hangs gets its second to finish, no more.
    for (script, options) in all.chain([("netns(\"a\");", vec!["--tool", tool.as_str()])]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.rhai"), script).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
        let begun = Instant::now();
        // What a shell runs in the background ignores SIGINT from the start, and netwright leaves it so.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_netwright"), "run"]).args(&options).arg("c.rhai");
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.current_dir(folder.path()).spawn().unwrap();
        // Before it has started its sandbox and listens to signals, a signal just ends it.
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let is_ready =
            || fs::read_to_string(&children).is_ok_and(|all| !all.trim().is_empty()) && has_int(child.id(), "SigCgt");
        while !is_ready() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            assert!(begun.elapsed().as_secs() < 50, "{script} listens to no signal: {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(700));
        let signalled = Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended = wait(child, begun);
        ended.expect(130, &["interrupted"]);
        // All of them would last a hundred seconds or more.
        assert!(signalled.elapsed() < Duration::from_secs(20), "{script}: {:?}", signalled.elapsed());
    }
}

/// A tool that hangs in every namespace ends the run once, not once for each.
#[test]
fn one_deadline_for_all() {
    if !ready() {
        return;
    }
    // In a batch it swallows the address and whatever comes after it.
    let (_folder, hangs) = shim(
        "UPLINK\nIP=$(PATH=/usr/sbin:/sbin:/usr/bin:/bin command -v ip)\ncase \"$*\" in\n\
         *\"-batch -\") sed -u '/^address add 10.9/{:a;N;ba}' | exec $IP \"$@\";;\n\
         *\"address add 10.9\"*) exec sleep 1000;;\n*) exec $IP \"$@\";;\nesac",
    );
    let script = "let br = host().bridge(\"br0\").up();\n\
                  for i in 1..=40 { netns(`n${i}`).plug(\"eth0\", br).addr(`10.9.0.${i}/24`); }";
    let begun = Instant::now();
    let tool = format!("ip={hangs}");
    let ended = run_with(&["--tool", &tool, "--command-timeout", "1s"], script);
    ended.expect(6, &["did not end within 1s", "one of: ip -n n1 address add 10.9.0.1/24 dev eth0", "c.rhai:2:"]);
    // Forty deadlines would be forty seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn tools_that_misbehave() {
    if !ready() {
        return;
    }
    // What hangs is given up after a second; what floods has as long as a busy machine needs for 16 MiB.
    let limit = |code| Duration::from_secs(if code == 6 { 1 } else { 10 });
    let scripts = [
        ("ip", "let a = netns(\"a\");\na.bridge(\"br0\").up();"),
        ("iptables", "let a = netns(\"a\");\na.iptables(\"-P INPUT DROP\");"),
        ("sysctl", "let a = netns(\"a\");\na.sysctl(\"net.ipv4.ip_forward\", 1);"),
    ];
    for (text, code, what) in [
        ("echo 'garbage % $ {'", 3, ""),
        ("printf '\\377\\376[{'", 3, ""),
        ("printf '[{\"ifname\":\"lo\",\"mtu\":'", 3, ""),
        ("echo '<!DOCTYPE html><html>502</html>'", 3, ""),
        ("exec sleep 1000", 6, "did not end within 1s"),
        ("trap '' TERM INT\nwhile :; do sleep 1; done", 6, "did not end within 1s"),
        ("exec yes", 3, "printed more than 16 MiB"),
        ("yes >&2", 3, "printed more than 16 MiB"),
        ("kill -SEGV $$", 3, "SIGSEGV"),
        ("sleep 1000 &\nexit 0", 3, ""),
        ("exit 9", 3, "failed with status 9"),
    ] {
        for (tool, script) in scripts {
            let (_folder, path) = shim(&format!("UPLINK\n{text}"));
            let timeout = format!("{}s", limit(code).as_secs());
            let ended = run_with(&["--command-timeout", &timeout, "--tool", &format!("{tool}={path}")], script);
            ended.expect(code, &[what, "--> c.rhai:"]);
            ended.within(limit(code));
        }
    }
    // The same for the uplink, which is built before the script begins.
    for (text, code, what) in [
        ("echo garbage", 3, "`ip` reports success, but there is no `eth0`"),
        ("exec sleep 1000", 6, "did not end within 1s"),
        ("exit 9", 3, "cannot be built"),
    ] {
        let (_folder, path) = shim(text);
        let ended = run_with(&["--command-timeout", "1s", "--tool", &format!("ip={path}")], "");
        ended.expect(code, &["the uplink of the sandbox cannot be built", what]);
        assert!(!ended.said.contains("link add name"), "{}", ended.said);
        ended.within(limit(code));
    }
    run_with(&["--tool", "ip=/nonexistent"], "").expect(4, &["`ip` is not at `/nonexistent`", "--tool"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ip");
    fs::write(&path, "no program").unwrap();
    let option = format!("ip={}", path.display());
    run_with(&["--tool", &option], "").expect(4, &["may not be executed"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    run_with(&["--tool", &option], "").expect(3, &["is not a program of this machine", "#!/bin/sh"]);
}

#[test]
fn programs_of_the_user() {
    if !ready() {
        return;
    }
    // A daemon that keeps the output open does not keep the run.
    let daemon =
        run("let said = netns(\"a\").exec([\"sh\", \"-c\", \"sleep 1000 & echo started\"]);\nassert(said.ok);");
    daemon.expect(0, &[]);
    daemon.within(Duration::ZERO);
    let late = run("netns(\"a\").exec(\"sleep 1000\", #{ timeout: \"200ms\" });");
    late.expect(6, &["`ip netns exec a sleep 1000` did not end within 200ms", "ns.start"]);
    late.within(Duration::from_millis(200));
    let flood = run("netns(\"a\").exec(\"yes\");");
    flood.expect(3, &["`ip netns exec a yes` printed more than 16 MiB"]);
    flood.within(Duration::from_secs(1));
    // Children and grandchildren of background processes are gone after the run.
    let mark = format!("31{}", std::process::id());
    run(format!("netns(\"a\").start([\"sh\", \"-c\", \"sleep {mark} & sleep {mark}\"]);\nsleep(\"100ms\");"))
        .expect(0, &[]);
    let alive = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let words = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        (words == format!("sleep\0{mark}\0").as_bytes()).then_some(())
    });
    assert_eq!(alive.count(), 0);
}

#[test]
fn warm_processes_are_never_believed_blindly() {
    if !ready() {
        return;
    }
    // Each background program changes the network behind netwright's back, after the warm `ip` has learned the names.
    let behind = |before: &str, program: &str, after: &str| {
        let wait = "eventually(\"5s\", || !behind.running);";
        let start = format!("let behind = host().start([\"sh\", \"-c\", \"sleep 0.3; {program}\"]);");
        run(format!("let a = netns(\"a\");\n{start}\n{before}\n{wait}\n{after}\n")).expect(0, &[]);
    };
    behind(
        "veth(a, \"v0\", a, \"v1\"); let v0 = a.link(\"v0\").mtu(1400);",
        "ip -n a link delete dev v0; ip -n a link add name v0 type veth peer name v1",
        "v0.mtu(1300).addr(\"10.0.0.1/24\").up(); assert(a.exec(\"ip address show dev v0\").stdout.contains(\"10.0.0.1/24\"));
         assert_eq(v0.mtu, 1300);",
    );
    behind(
        "a.bridge(\"br0\").mtu(1400);",
        "ip netns delete a; ip netns add a",
        "a.bridge(\"br1\").up(); let said = a.exec(\"ip -brief link\").stdout;
         assert(said.contains(\"br1\"), said); assert(!said.contains(\"br0\"), said);",
    );
    behind(
        "a.bridge(\"br0\").mtu(1400);",
        "kill -9 $(pgrep -x ip)",
        "a.bridge(\"br1\").up(); assert_eq(a.link(\"br0\").mtu, 1400);",
    );
    behind(
        "a.bridge(\"br0\").mtu(1400);",
        "ip -n a link delete dev br0",
        "try { a.link(\"br0\").up(); throw \"no error\" } catch (e) { assert_eq(e.error, \"NotFound\"); }",
    );
}

#[test]
fn more_namespaces_than_warm_processes() {
    if !ready() {
        return;
    }
    run("for i in 0..280 { netns(`n${i}`).link(\"lo\").mtu(1400); }
         for i in 0..280 { assert_eq(netns(`n${i}`).link(\"lo\").mtu, 1400); }")
    .expect(0, &[]);
}

/// Runs `script` with `--host` in a private machine, twice the state printed around it; `None` without the privilege.
fn on_a_private_host(script: &str, options: &str) -> Option<(Ended, String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::write(at("c.rhai"), script).unwrap();
    // Rules and policies by `-S`: `iptables-save` also lists tables that hold nothing, and iptables makes those by looking (nf_tables).
    let state = "ip -d link; ip address; ip route; ip -6 route; ip rule; ip netns list; \
                 for t in filter nat mangle; do iptables -t $t -S; ip6tables -t $t -S; done; \
                 sysctl -a 2>/dev/null | grep ip_forward";
    fs::write(
        at("host.sh"),
        format!(
            "mount --make-rprivate / && mount -t tmpfs none /run && ip link set lo up || exit 99\n\
             ({state}) | sed 's/ [0-9]*sec//g' > before\n{} run --host {options} c.rhai\ncode=$?\n({state}) | sed 's/ [0-9]*sec//g' > after\nexit $code\n",
            env!("CARGO_BIN_EXE_netwright")
        ),
    )
    .unwrap();
    let begun = Instant::now();
    let child = Command::new("unshare")
        .args(["-n", "-m", "sh", "host.sh"])
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let ended = wait(child, begun);
    let read = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
    (!read("before").is_empty()).then(|| (ended, read("before"), read("after")))
}

#[test]
fn nothing_is_left_on_the_host() {
    let (_folder, floods) = shim("exec yes");
    let build = "let a = netns(\"a\");\nlet br = host().bridge(\"br0\").addr(\"10.9.0.1/24\").up();\n\
                 a.plug(\"eth0\", br);\nhost().sysctl(\"net.ipv4.ip_forward\", 1);\n\
                 host().iptables(\"-t nat -A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE\");\n";
    for (bad, options, code, what) in [
        ("a.bridge(\"a%d\");", String::new(), 3, "cannot be the name of a link"),
        ("br.addr(\"1.2.3/24\");", String::new(), 3, "is not an address"),
        ("fn f() { f() } f();", String::new(), 3, "function calls inside each other"),
        ("loop {}", "--timeout 1s".to_owned(), 6, "the run took longer than 1s"),
        ("a.exec(\"sleep 100\", #{ timeout: \"100ms\" });", String::new(), 6, "did not end within 100ms"),
        ("a.start(\"sleep 100\"); throw \"boom\";", String::new(), 3, "uncaught throw: boom"),
        ("a.sysctl(\"net.ipv4.ip_forward\", 1);", format!("--tool sysctl={floods}"), 3, "printed more than 16 MiB"),
    ] {
        let script = format!("{build}{bad}\n");
        let Some((ended, before, after)) = on_a_private_host(&script, &options) else {
            println!("skipped: no private network and mounts without root");
            return;
        };
        ended.expect(code, &[what, "nothing left behind"]);
        assert_eq!(before, after, "{}", ended.said);
    }
}

/// The variable that makes deadlines longer is checked before anything happens, in every command.
#[test]
fn an_impossible_slowness_is_refused() {
    for value in ["abc", "0", "101", "-3", "1.5"] {
        for command in [vec!["run", "x.rhai"], vec!["ps"], vec!["doc", "link"], vec!["check", "x.rhai"]] {
            let begun = Instant::now();
            let ended = wait(netwright().args(&command).env("NETWRIGHT_SLOW", value).spawn().unwrap(), begun);
            ended.expect(2, &["`NETWRIGHT_SLOW`", value, "whole number from 1 to 100", "help:"]);
        }
    }
    let ended = wait(netwright().arg("ps").env("NETWRIGHT_SLOW", "100").spawn().unwrap(), Instant::now());
    assert_ne!(ended.code, 2, "{}", ended.said);
}

/// A system whose `ip` is `BusyBox`'s gets one line that says what to install, in every command that looks at a network.
#[test]
fn the_ip_of_busybox_is_told_from_iproute2() {
    let folder = tempfile::tempdir().unwrap();
    let busybox = folder.path().join("busybox");
    fs::write(&busybox, "#!/bin/sh\necho usage >&2; exit 1\n").unwrap();
    fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("busybox", folder.path().join("ip")).unwrap();
    fs::write(folder.path().join("a_test.rhai"), "test(\"one\", || assert(true));").unwrap();
    let tool = format!("ip={}", folder.path().join("ip").display());
    let (script, script_folder) = (folder.path().join("a_test.rhai"), folder.path());
    let (script, script_folder) = (script.to_str().unwrap(), script_folder.to_str().unwrap());
    let mut commands = vec![vec!["run", script], vec!["test", script_folder], vec!["plan", script], vec!["repl"]];
    commands.push(vec!["why", "host", "127.0.0.1"]);
    if rustix::process::geteuid().is_root() {
        commands.extend([vec!["run", "--host", script], vec!["repl", "--host"]]);
    }
    for command in commands {
        let ended = wait(
            netwright().arg(command[0]).args(["--tool", &tool]).args(&command[1..]).spawn().unwrap(),
            Instant::now(),
        );
        ended.expect(4, &["BusyBox's, and netwright needs iproute2", "install"]);
        assert!(ended.said.lines().count() <= 2, "{command:?}: {}", ended.said);
    }
    // doctor says it in its list, on standard output.
    let ended = wait(netwright().args(["doctor", "--tool", &tool]).spawn().unwrap(), Instant::now());
    assert_eq!(ended.code, 4, "{}", ended.said);
}
