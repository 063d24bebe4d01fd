//! The machine that is acted on: a private network, `/run`, mounts and processes, with things on it that belong to others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::shim;

/// What others have built here. None of it may ever change.
const BUILD: &str = "
    mkdir -p /run/netns /run/lock
    sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    sysctl -qw net.ipv6.conf.default.addr_gen_mode=1 net.ipv4.conf.all.rp_filter=0
    ip link set lo up
    ip netns add inet
    ip netns exec inet sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.addr_gen_mode=1
    ip link add name eth0 type veth peer name eth0 netns inet
    ip address add 198.51.100.2/24 dev eth0
    ip address add 2001:db8:1::2/64 dev eth0
    ip link set eth0 up
    ip -n inet link set eth0 up
    ip -n inet address add 198.51.100.1/24 dev eth0
    ip route add default via 198.51.100.1
    ip -6 route add default via 2001:db8:1::1
    ip route add 10.99.0.0/16 via 198.51.100.9
    ip rule add from 203.0.113.77 table 77
    iptables -A FORWARD -s 203.0.113.98/32 -j DROP
    iptables -A FORWARD -s 203.0.113.99/32 -j DROP
    iptables -A FORWARD -s 203.0.113.97/32 -m comment --comment somebody -j DROP
    iptables -t nat -A POSTROUTING -s 203.0.113.96/32 -o eth0 -j MASQUERADE
    ip6tables -A FORWARD -s 2001:db8:9::/64 -j DROP
    ip6tables -A FORWARD -s 2001:db8:a::/64 -j DROP
";

/// More that others have built, of every kind that a machine may have; what its tools or its kernel cannot do is left out.
const BUILD_MORE: [&str; 16] = [
    "ip address add 198.51.100.3/24 dev eth0",
    "ip address add 2001:db8:1::3/64 dev eth0 noprefixroute",
    "ip -6 rule add from 2001:db8:77::/64 table 77",
    "ip rule add fwmark 0x7 table 177 priority 1001",
    "ip rule add iif eth0 to 203.0.113.64/26 prohibit",
    "ip route add blackhole 10.98.0.0/16 metric 9; ip route add 10.97.0.0/16 nexthop via 198.51.100.8 weight 1 nexthop via 198.51.100.9 weight 3",
    "ip -6 route add 2001:db8:ee::/64 dev eth0 proto ra metric 2048 expires 30000",
    "ip route add 10.95.0.0/16 via 198.51.100.9 proto dhcp metric 100 src 198.51.100.3",
    "ip neigh add 198.51.100.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
    "ip link add name other2 type veth peer name other3; ip link set other2 up; tc qdisc add dev other2 root tbf rate 1mbit burst 10k latency 50ms",
    "ip link add name brx type bridge; ip link set other3 master brx; ip link set dev other3 type bridge_slave cost 50 hairpin on isolated on",
    "bridge fdb add 02:00:00:00:00:99 dev other3 master static",
    "iptables-legacy -A FORWARD -s 203.0.113.95/32 -j DROP; iptables-legacy -t nat -A POSTROUTING -s 203.0.113.94/32 -o eth0 -j MASQUERADE",
    "ip6tables-legacy -A INPUT -s 2001:db8:95::/64 -j DROP",
    "ipset create foreign hash:ip; ipset add foreign 203.0.113.9; iptables -A INPUT -m set --match-set foreign src -j DROP",
    "nft add table inet theirs; nft add chain inet theirs fw '{ type filter hook forward priority 10 ; }'; nft add rule inet theirs fw ip saddr 203.0.113.93 drop",
];

/// What shows it, beside what [`Snapshot`] looks at anyway; and which of its lines.
const MORE: [(&[&str], &str); 7] = [
    (&["nft", "list", "table", "inet", "theirs"], ""),
    (&["ipset", "save"], ""),
    (&["iptables-legacy-save"], "-A"),
    (&["ip6tables-legacy-save"], "-A"),
    (&["tc", "qdisc", "show", "dev", "other2"], ""),
    (&["bridge", "-d", "link", "show", "dev", "other3"], ""),
    (&["bridge", "fdb", "show", "dev", "other3"], "static"),
];

/// A link of others with all that hangs on it; a script of ours takes it down for a while.
pub(crate) const BUILD_OTHER: &str = "
    ip link add name other0 type veth peer name other1
    ip link set other0 up
    ip link set other1 up
    until ip link show dev other0 | grep -q 'state UP'; do sleep 0.01; done
    ip address add 10.74.0.1/24 dev other0
    ip address add 2001:db8:7::1/64 dev other0
    ip route add 10.75.0.0/16 via 10.74.0.9
    ip route add 10.76.0.0/16 via 10.74.0.9 table 176
    ip -6 route add 2001:db8:8::/64 via 2001:db8:7::9
    until ip -6 route show table local dev other0 | grep -q 2001:db8:7::1; do sleep 0.01; done
";

/// One machine, with the shim installed.
pub(crate) struct Machine {
    pub(crate) shim: PathBuf,
    netwright: PathBuf,
    scripts: PathBuf,
}

impl Machine {
    /// Builds it. The calling process has been started in namespaces of its own.
    pub(crate) fn build() -> Self {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).expect("private mounts");
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).expect("a /run of its own");
        let _ = mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None);
        sh(BUILD);
        sh(BUILD_OTHER);
        for more in BUILD_MORE {
            let done = Command::new("sh").args(["-ec", more]).stderr(Stdio::null()).status();
            if !done.is_ok_and(|status| status.success()) && rustix::process::geteuid().is_root() {
                println!("not on this machine: {more}");
            }
        }
        sh("iptables-save > /run/rules4; ip6tables-save > /run/rules6
            sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.all.rp_filter > /run/sysctls");
        let shim = PathBuf::from("/run/shim");
        shim::install(&shim);
        // A long full run may go on with a copy while the program is built anew.
        let netwright =
            std::env::var_os("NETWRIGHT_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_netwright").into()).into();
        Self { shim, netwright, scripts: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/loops") }
    }

    /// `netwright` with these words.
    pub(crate) fn netwright(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.netwright);
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        command.stdin(Stdio::null());
        command
    }

    /// `netwright run --host` of a script by its name, with the shim in the place of the tools if `shimmed`.
    pub(crate) fn run(&self, script: &str, shimmed: bool, more: &[&str]) -> Command {
        let mut command = self.netwright(&["run", "--host"]);
        if shimmed {
            shim::install(&self.shim);
            for tool in shim::TOOLS {
                command.arg("--tool").arg(format!("{tool}={}", self.shim.join(tool).display()));
            }
        }
        command.args(more).arg(self.script(script));
        command
    }

    /// The path of a script: in `tests/loops`, a runbook of `scripts`, or absolute.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        let of_contract = || Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(format!("{name}.rhai"));
        let own = self.scripts.join(format!("{name}.rhai"));
        if name.starts_with('/') {
            name.into()
        } else if own.exists() {
            own
        } else {
            of_contract()
        }
    }

    /// Runs `netwright` with these words to its end; its exit code and what it said.
    pub(crate) fn call(&self, words: &[&str]) -> (i32, String) {
        outcome(&finish(&mut self.netwright(words)))
    }

    /// A conversation on the machine.
    pub(crate) fn typed(&self, lines: &str) -> (i32, String) {
        std::fs::write("/run/lines", lines).expect("lines");
        let lines = std::fs::File::open("/run/lines").expect("lines");
        outcome(&finish(self.netwright(&["repl", "--host"]).stdin(lines).env("HOME", "/run")))
    }

    /// The runs that have a journal.
    pub(crate) fn kept() -> Vec<String> {
        ls("/run/netwright/runs")
    }

    /// Undoes every kept run.
    pub(crate) fn down_all(&self) -> (i32, String) {
        let mut all = (0, String::new());
        for id in Self::kept() {
            let (code, said) = self.call(&["down", &id]);
            all = (all.0.max(code), all.1 + &said);
        }
        all
    }

    /// Compares with an earlier snapshot, giving what is asynchronous (a namespace that is being cleaned up) some time.
    pub(crate) fn differs(before: &Snapshot) -> Option<String> {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let now = Snapshot::take();
            let difference = before.difference(&now)?;
            if Instant::now() >= deadline {
                return Some(difference);
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// After a case that failed: ends what is left, so that the next case begins clean.
    pub(crate) fn reset(&self) {
        let _ = self.call(&["gc"]);
        let _ = self.down_all();
        for pid in processes().into_iter().map(|(pid, _)| pid) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = std::fs::remove_dir_all("/run/netwright");
        sh("for n in $(ls /run/netns | grep -e ^lp- -e ^pod-); do ip netns delete $n || rm -f /run/netns/$n; done
            for l in $(ls /sys/class/net | grep -e ^lp- -e ^nwbr -e ^pod-); do ip link delete $l 2>/dev/null || true; done
            ip link delete other0 2>/dev/null || true
            ip rule | grep 10.70 | while read pref rule; do ip rule delete pref ${pref%:}; done
            for t in main 170; do ip route show table $t | grep -e ^10.7 | while read route; do ip route delete table $t $route; done; done
            ip route replace 10.99.0.0/16 via 198.51.100.9
            sysctl -qp /run/sysctls
            nft list tables | grep -e ' lp' -e ' lab$' | while read t; do nft delete $t; done
            iptables-restore < /run/rules4; ip6tables-restore < /run/rules6");
        sh(BUILD_OTHER);
    }
}

/// Runs a shell script for the machine's own set-up.
pub(crate) fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().expect("sh");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs to the end, or kills after a time that nothing here may take.
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netwright");
    let pid = rustix::process::Pid::from_child(&child);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if wait.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("waited");
    drop(done);
    let _ = watch.join();
    output
}

/// The exit code (128 + n for signal n) and what was said.
pub(crate) fn outcome(output: &Output) -> (i32, String) {
    use std::os::unix::process::ExitStatusExt;
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    (code, format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// The state of the machine as lines; everything but counters and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    pub(crate) fn take() -> Self {
        let mut lines = BTreeSet::new();
        // Timers run, and what IPv6 does with addresses that it made itself takes its time.
        let passing = regex::Regex::new(
            // A link that comes up for the first time has `noqueue` from then on.
            "\"(tentative|optimistic)\":true,|\"qdisc\":\"no(op|queue)\",|\"operstate\":\"[A-Z]*\",|\"[a-z_]*timer\": *[0-9.]+,?| expires [0-9]+sec",
        )
        .expect("a pattern");
        let mut add = |what: &str, text: &str| {
            let text = passing.replace_all(text, "");
            lines.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty() && !line.starts_with("local fe80::"))
                    .map(|line| format!("{what}: {line}")),
            );
        };
        let namespaces: Vec<String> = ls("/run/netns");
        add("netns", &namespaces.join("\n"));
        for netns in std::iter::once(None).chain(namespaces.iter().map(Some)) {
            let name = netns.map_or("host", String::as_str);
            add(name, &ip(netns, &["-j", "-d", "-batch", "-"], "address show\nneigh show nud permanent\n"));
            add(name, &ip(netns, &["-4", "-batch", "-"], "route show table all\nrule\n"));
            add(name, &ip(netns, &["-6", "-batch", "-"], "route show table all\nrule\n"));
        }
        for tool in ["iptables-save", "ip6tables-save"] {
            add(tool, &firewall(&output(Command::new(tool))));
        }
        add("nft", &nft_tables());
        for (words, begins) in MORE {
            let printed = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).output();
            let text = printed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(begins)).collect();
            add(words[0], &lines.join("\n"));
        }
        for folder in ["/proc/sys/net/ipv4", "/proc/sys/net/ipv6"] {
            sysctls(Path::new(folder), &mut add);
        }
        for (pid, line) in processes() {
            add("process", &format!("{pid} {line}"));
        }
        files(Path::new("/run/netwright"), &mut add);
        Self(lines)
    }

    /// What was there before and is not now (`-`), and the other way round (`+`).
    pub(crate) fn difference(&self, now: &Self) -> Option<String> {
        let gone = self.0.difference(&now.0).map(|line| format!("- {line}\n"));
        let come = now.0.difference(&self.0).map(|line| format!("+ {line}\n"));
        let lines: Vec<String> = gone.chain(come).take(12).collect();
        (!lines.is_empty()).then(|| lines.concat())
    }
}

/// The tables of nft's own, without those that iptables keeps there.
fn nft_tables() -> String {
    let nft = |words: &[&str]| {
        let printed = Command::new("nft").args(words).stderr(Stdio::null()).output();
        printed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    let of_iptables = |name: &str| ["filter", "nat", "mangle", "raw", "security"].contains(&name);
    let tables = nft(&["list", "tables"]);
    let own = tables.lines().filter(|line| !line.rsplit(' ').next().is_some_and(of_iptables));
    // Order matters in a chain.
    own.map(|table| nft(&["-s", "list", table]).replace('\n', " ").replace('\t', "") + "\n").collect()
}

fn ls(folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn output(mut command: Command) -> String {
    String::from_utf8_lossy(&command.output().expect("a tool").stdout).into_owned()
}

fn ip(netns: Option<&String>, args: &[&str], stdin: &str) -> String {
    use std::io::Write;
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    let mut child =
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ip");
    // A namespace that vanishes between the listing and this is no namespace any more.
    let _ = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    let text = String::from_utf8_lossy(&child.wait_with_output().expect("waited").stdout).into_owned();
    text.replace("},{\"ifindex", "}\n{\"ifindex")
}

/// The rules and policies, without what iptables leaves behind when it has looked at a table.
fn firewall(saved: &str) -> String {
    let mut table = "";
    let mut lines = String::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let words: Vec<&str> = chain.split(' ').collect();
            if words.get(1) != Some(&"ACCEPT") {
                lines.extend([table, " ", &words[..2].join(" "), "\n"]);
            }
        } else if line.starts_with('-') {
            lines.extend([table, " ", line, "\n"]);
        }
    }
    // Order matters in a chain.
    lines.lines().enumerate().fold(String::new(), |all, (n, line)| all + &format!("{n} {line}\n"))
}

fn sysctls(folder: &Path, add: &mut impl FnMut(&str, &str)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            sysctls(&path, add);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            add("sysctl", &format!("{} {}", path.display(), text.trim().replace('\n', " ")));
        }
    }
}

fn files(folder: &Path, add: &mut impl FnMut(&str, &str)) {
    if folder.exists() {
        add("file", &folder.display().to_string());
    }
    for name in ls(&folder.to_string_lossy()) {
        let path = folder.join(name);
        if path.is_dir() {
            files(&path, add);
        } else {
            add("file", &path.display().to_string());
        }
    }
}

/// Every process of this machine but this one, without what has ended and waits to be reaped.
pub(crate) fn processes() -> Vec<(i32, String)> {
    reap();
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let mut found = Vec::new();
    for pid in ls("/proc").iter().filter_map(|name| name.parse::<i32>().ok()).filter(|pid| *pid != me) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Kernel threads are not in this namespace; what has no words has ended.
        if !line.is_empty() {
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// This process is the first of its PID namespace: orphans are its own to reap. Only called while it has no children that it waits for.
fn reap() {
    use rustix::process::{WaitOptions, wait};
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
}
