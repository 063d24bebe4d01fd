//! `netwright doctor`, `needs` and `skip`, on machines that are played by private namespaces: as root and as a plain user, with tools
//! missing, with every trap set.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn netwright() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_netwright"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A machine to play with: own network, own mounts, empty `/run`; a plain user gets it with a user namespace.
/// `set_up` is a shell script; `$NETWRIGHT` in it is the program.
fn machine(set_up: &str) -> Output {
    let flags = if is_root() { "-nm" } else { "-Urnm" };
    let script = format!("set -e; mount -t tmpfs tmpfs /run; mkdir -p /run/netns /run/lock; {set_up}");
    let output = Command::new("unshare")
        .args([flags, "sh", "-c", &script])
        .env("NETWRIGHT", netwright())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("unshare of util-linux");
    assert!(!text(&output.stderr).contains("unshare failed"), "{}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {stdout}{}", text(&output.stderr)))
}

#[track_caller]
fn doctor(set_up: &str, options: &str) -> (Value, Option<i32>) {
    let output = machine(&format!("{set_up}\nset +e; $NETWRIGHT doctor --json {options}"));
    (json(&output), output.status.code())
}

/// The entry of a list whose `key` is `name`.
#[track_caller]
fn entry<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let all = list.as_array().expect("a list");
    all.iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[track_caller]
fn trap<'a>(report: &'a Value, code: &str) -> &'a Value {
    entry(&report["traps"], "code", code)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("a map").keys().map(String::as_str).collect()
}

#[test]
fn the_document_has_its_shape() {
    let (report, code) = doctor("", "");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["exit"].as_i64(), code.map(i64::from));
    let top = ["schema", "ready", "exit", "missing", "tools", "privileges", "kernel", "features", "traps"];
    assert_eq!(keys(&report), top);
    for tool in report["tools"].as_array().expect("tools") {
        assert_eq!(keys(tool), ["name", "ok", "needed", "path", "version", "backend", "package", "problem", "advice"]);
    }
    for feature in report["features"].as_array().expect("features") {
        assert_eq!(keys(feature), ["name", "group", "needed", "answer", "reason", "said", "module"]);
        assert!(["yes", "no", "unknown", "module"].contains(&feature["answer"].as_str().expect("a word")), "{feature}");
    }
    for trap in report["traps"].as_array().expect("traps") {
        assert_eq!(keys(trap), ["code", "title", "state", "what", "advice"]);
    }
    let privileges = &report["privileges"];
    assert_eq!(keys(privileges), ["uid", "host", "capabilities", "sudo", "container", "settings", "sandboxes"]);
    assert_eq!(keys(&privileges["sandboxes"][0]), ["mode", "used", "works", "reason", "advice"]);
    let ip = entry(&report["tools"], "name", "ip");
    assert!(Path::new(ip["path"].as_str().expect("a path")).is_absolute(), "{ip}");
    assert!(ip["version"].as_str().is_some_and(|version| version.contains('.')), "{ip}");
    for feature in ["bridge", "veth"] {
        assert_eq!(entry(&report["features"], "name", feature)["answer"], "yes", "{report}");
    }
}

#[test]
fn a_machine_without_traps_is_clear_and_stays_as_it_is() {
    let look = "{ iptables-save; ip6tables-save; nft list ruleset; ip -d link; ip -d address; find /run; sysctl -a 2>/dev/null | \
                grep -v 'nf_conntrack_count\\|random\\|inode\\|dentry\\|file-nr\\|pty.nr\\|last_pid\\|kmem\\|fs.quota\\|cad_pid'; } | \
                grep -v '^#' ";
    let calm = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; \
                for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 > $f; done; \
                for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done;";
    let output = machine(&format!(
        "{calm} ip netns add fine; {look} > /tmp/before.$$; $NETWRIGHT doctor --json > /tmp/said.$$; {look} > /tmp/after.$$; \
         diff /tmp/before.$$ /tmp/after.$$ >&2 && cat /tmp/said.$$; rm -f /tmp/before.$$ /tmp/after.$$ /tmp/said.$$"
    ));
    assert!(output.stderr.is_empty(), "doctor changed the machine: {}", text(&output.stderr));
    let report = json(&output);
    for trap in report["traps"].as_array().expect("traps") {
        // The kernel shows the legacy tables (`/proc/net/ip_tables_names`) to root of the machine only.
        let hidden = trap["code"] == "both-backends" && !is_root();
        assert_eq!(trap["state"], if hidden { "unknown" } else { "clear" }, "{trap}");
    }
    assert_eq!(report["ready"], true, "{}", report["missing"]);
}

#[test]
fn every_trap_is_found_with_a_way_out() {
    let (report, code) = doctor(
        "iptables-nft -N DOCKER-USER; iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP; \
         iptables-legacy -A INPUT -s 203.0.113.9 -j DROP; \
         nft add table inet fw; nft 'add chain inet fw gate { type filter hook forward priority 0; policy drop; }'; \
         echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter; ip link add name v0 type veth peer name v1; \
         for f in /proc/sys/net/bridge/bridge-nf-call-iptables; do [ ! -e $f ] || echo 1 > $f; done; \
         sysctl -qw net.ipv4.ip_forward=0; touch '/run/netns/bro ken'; chmod 0 '/run/netns/bro ken'",
        "",
    );
    assert_eq!(code, Some(0), "traps are no lack: {}", report["missing"]);
    let check = |code: &str, what: &str, advice: &str| {
        let trap = trap(&report, code);
        assert_eq!(trap["state"], "set", "{trap}");
        assert!(trap["what"].as_str().is_some_and(|text| text.contains(what)), "{trap}");
        assert!(trap["advice"].to_string().contains(advice), "{trap}");
    };
    check("forward-drop", "as Docker sets it", "iptables -I DOCKER-USER");
    check("forward-drop-v6", "FORWARD is DROP", "ip6tables -I FORWARD");
    if is_root() {
        check("both-backends", "legacy (1) and nf_tables", "update-alternatives");
    } else {
        assert_eq!(trap(&report, "both-backends")["state"], "unknown");
    }
    check("nft-drops", "inet fw gate (policy drop)", "nft list table inet fw");
    check("rp-filter", "v0, v1", "rp_filter=2");
    check("broken-netns", "bro ken", "ip netns delete 'bro ken'");
    assert_eq!(trap(&report, "ip-forward")["state"], "note");
    if Path::new("/proc/sys/net/bridge").exists() {
        check("bridge-nf-call", "two ports of one bridge", "bridge-nf-call-iptables=0");
    } else {
        println!("skipped in part: br_netfilter is not loaded here");
    }
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let hide = "mount --bind /dev/null \"$(readlink -f \"$(command -v iptables)\")\"";
    let (report, code) = doctor(hide, "");
    assert_eq!(code, Some(4));
    let tool = entry(&report["tools"], "name", "iptables");
    assert_eq!((&tool["ok"], &tool["path"], &tool["problem"]), (&false.into(), &Value::Null, &"missing".into()));
    assert_eq!(report["missing"][0]["what"], "`iptables` is missing");
    assert_eq!(report["missing"][0]["advice"][0], "apt-get install iptables");
    assert_eq!(entry(&report["tools"], "name", "ip")["ok"], true);
    // Without the tool nobody can say, and nobody says that it is fine.
    let nat = entry(&report["features"], "name", "nat");
    assert_eq!((&nat["answer"], &nat["reason"]), (&"unknown".into(), &"`iptables` is missing".into()));
    assert_eq!(trap(&report, "forward-drop")["state"], "unknown");
    assert_eq!(entry(&report["features"], "name", "bridge")["answer"], "yes");

    let output = machine(&format!("{hide}; set +e; $NETWRIGHT doctor; echo rc $?"));
    let stdout = text(&output.stdout);
    let last: Vec<_> = stdout.lines().rev().take(2).collect();
    assert_eq!(last[0], "rc 4");
    assert!(last[1].starts_with("not ready: `iptables` is missing"), "{stdout}");
    assert!(stdout.contains("✗ iptables") && stdout.contains("→ apt-get install iptables"), "{stdout}");
}

#[test]
fn an_empty_path_still_finds_the_tools() {
    let (report, code) = doctor("export PATH=", "");
    assert_eq!(code, Some(0), "{}", report["missing"]);
}

#[test]
fn tools_that_are_too_old_or_something_else_are_not_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let fake = |name: &str, body: &str| {
        let path = folder.path().join(name);
        let mut file = std::fs::File::create(&path).expect("created");
        file.write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).expect("written");
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).expect("executable");
        path.display().to_string()
    };
    let problem = |path: &str| {
        let (report, code) = doctor("", &format!("--tool ip={path}"));
        assert_eq!(code, Some(4), "{path}");
        let bridge = entry(&report["features"], "name", "bridge");
        assert_eq!(bridge["answer"], "unknown", "{bridge}");
        entry(&report["tools"], "name", "ip")["problem"].as_str().unwrap_or_default().to_owned()
    };
    let old = problem(&fake("old", "echo ip utility, iproute2-ss180129"));
    assert!(old.starts_with("too old"), "{old}");
    let other = problem(&fake("other", "head -c 100000 /dev/urandom | tr -d '0-9.'; exit 3"));
    assert!(other.starts_with("not iproute2's"), "{other}");
    assert_eq!(problem("/nope/ip"), "not at `/nope/ip`");

    let output = machine("set +e; $NETWRIGHT doctor --tool ipp=/x; exit $?");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn a_plain_user_is_told_what_cannot_be_seen() {
    if !is_root() {
        println!("skipped: the tests run as a plain user already, and every other one is that case");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("readable by all");
    let copy = folder.path().join("netwright");
    std::fs::copy(netwright(), &copy).expect("copied");
    let user = |options: &str, locale: &str| {
        machine(&format!(
            "export LC_ALL={locale}; cd /; set +e; setpriv --reuid 65534 --regid 65534 --clear-groups {} doctor {options}",
            copy.display()
        ))
    };
    let output = user("--json", "C");
    let report = json(&output);
    let sandbox = &report["privileges"]["sandboxes"][0];
    assert_eq!((&sandbox["mode"], &sandbox["used"]), (&"rootless".into(), &true.into()));
    let works = sandbox["works"] == true;
    assert_eq!(output.status.code(), Some(if works { 0 } else { 4 }), "{report}");
    assert_eq!(report["privileges"]["uid"], 65534);
    assert_eq!(report["privileges"]["host"], false);
    for code in ["forward-drop", "forward-drop-v6", "both-backends", "nft-drops"] {
        assert_eq!(trap(&report, code)["state"], "unknown", "{report}");
    }
    let bridge = entry(&report["features"], "name", "bridge");
    assert_eq!(bridge["answer"], if works { "yes" } else { "unknown" }, "{bridge}");

    let ascii = text(&user("", "C").stdout);
    assert!(ascii.is_ascii() && ascii.contains("  + ip "), "{ascii}");
    let utf8 = text(&user("", "C.UTF-8").stdout);
    assert!(utf8.contains("  ✓ ip ") && utf8.contains("  ? forward-drop"), "{utf8}");
}

/// Runs a script, by default in a sandbox.
fn run(options: &str, script: &str) -> Output {
    machine(&format!(
        "cat > /tmp/s$$.rhai <<'END'\n{script}\nEND\nset +e; $NETWRIGHT run {options} /tmp/s$$.rhai; rc=$?; rm -f /tmp/s$$.rhai; exit $rc"
    ))
}

#[test]
fn what_a_script_needs_and_is_not_here_skips_it() {
    let output = run(
        "",
        "netns(\"a\");\ntry { needs([\"veth\", \"tool:nosuch\"]) } catch { print(\"caught\") }\nprint(\"on\");",
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "skipped: `nosuch` is not installed (needs \"tool:nosuch\")\n");
    assert_eq!(text(&output.stdout), "", "a skip cannot be caught, and nothing comes after it");

    let output = run("--json", "fn f() { skip(\"because\") }\neventually(\"5s\", || { f() });");
    assert_eq!((output.status.code(), &json(&output)["skipped"]), (Some(0), &"because".into()));
    let output = run("--json", "needs(\"bridge\"); needs([\"veth\", \"ip\", \"ipv6\"]); needs([]);");
    assert_eq!((output.status.code(), &json(&output)["skipped"]), (Some(0), &Value::Null));
}

#[test]
fn doctor_and_needs_say_the_same() {
    let (report, _) = doctor("", "");
    let script: Vec<String> = report["features"]
        .as_array()
        .expect("features")
        .iter()
        .filter(|feature| feature["answer"] == "no")
        .map(|feature| feature["name"].to_string())
        .collect();
    if script.is_empty() {
        println!("skipped: this kernel has every feature");
        return;
    }
    let skipped = json(&run("--json", &format!("needs([{}]);", script.join(", "))))["skipped"].to_string();
    for feature in report["features"].as_array().expect("features").iter().filter(|feature| feature["answer"] == "no") {
        assert!(skipped.contains(feature["reason"].as_str().expect("a reason")), "{feature}: {skipped}");
    }
}

#[test]
fn a_skip_hides_no_failure_and_no_mistake() {
    let output = run("", "check(\"it holds\", || false);\nskip(\"too late\");");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    for (script, says) in [
        ("needs(\"vlann\");", "did you mean `vlan`?"),
        ("needs([1]);", "a feature is a string, not an integer"),
        ("skip(\" \");", "a skip needs a reason"),
    ] {
        let output = run("", script);
        assert_eq!(output.status.code(), Some(3), "{script}");
        assert!(text(&output.stderr).contains(says), "{script}: {}", text(&output.stderr));
    }
}

#[test]
fn a_skip_leaves_nothing_on_the_host() {
    if !is_root() {
        println!("skipped: `--host` needs root");
        return;
    }
    let output = machine(
        "echo 'host().bridge(\"br7\"); netns(\"a\"); needs(\"tool:nosuch\");' > /tmp/h$$.rhai; set +e; \
         $NETWRIGHT run --host /tmp/h$$.rhai; echo rc $?; rm -f /tmp/h$$.rhai; ip -br link; ip netns list",
    );
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stdout.starts_with("rc 0\n") && !stdout.contains("br7") && !stdout.contains("a\n"), "{stdout}{stderr}");
    assert!(stderr.contains("skipped: `nosuch`") && stderr.contains("undone: "), "{stderr}");
}
