//! `netwright test --coverage` from outside: of each file it is known what no packet touches.

mod common;

use common::lab::Lab;
use serde_json::Value;

fn run(text: &str, args: &[&str]) -> (i32, Value, String, Lab) {
    let lab = Lab::new(&[("x_test.rhai", text)]);
    let (ran, report) = lab.json(&[&["test", "--coverage"], args].concat());
    (ran.code, report, ran.err, lab)
}

fn items(report: &Value, touched: bool) -> Vec<String> {
    let all = report["files"]["x_test.rhai"]["coverage"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    all.iter().filter(|one| one["touched"] == touched).map(|one| one["what"].as_str().unwrap().to_owned()).collect()
}

const ROUTER: &str = r#"
let a = netns("a"); let r = netns("r"); let b = netns("b");
let left = veth(a, "eth0", r, "left"); let right = veth(b, "eth0", r, "right");
left[0].addr("10.1.0.1/24").up(); left[1].addr("10.1.0.254/24").up();
right[0].addr("10.2.0.1/24").up(); right[1].addr("10.2.0.254/24").up();
a.route("default", "10.1.0.254"); b.route("default", "10.2.0.254");
r.route("10.99.0.0/16", "10.2.0.1");
r.sysctl("net.ipv4.ip_forward", 1);
r.iptables("-P FORWARD DROP");
r.iptables("-A FORWARD -p tcp --dport 80 -j ACCEPT");
r.iptables("-A FORWARD -p tcp --dport 81 -j ACCEPT");
r.iptables("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
r.iptables("-t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 3128");
b.listen("tcp/80"); b.listen("tcp/81"); r.listen("tcp/3128");
test("a web server is reached", || { expect(a).reaches("tcp/10.2.0.1:80"); });
test("a rule that is gone by then was touched", || {
    r.iptables("-I FORWARD 1 -p icmp -j ACCEPT");
    expect(a).reaches("10.2.0.1");
    r.iptables("-D FORWARD -p icmp -j ACCEPT");
});
test("redirected", || { expect(a).reaches("tcp/10.2.0.1:8080"); });
test("a namespace of a test goes all the same", || {
    let c = netns("c");
    let v = veth(c, "eth0", r, "third"); v[0].addr("10.3.0.1/24").up(); v[1].addr("10.3.0.254/24").up();
    c.route("default", "10.3.0.254");
    expect(c).reaches("10.1.0.254");
    c.delete();
    assert(!netns_list().contains("c"));
    eventually("5s", || !r.links.some(|link| link.ifname == "third"));
});
"#;

#[test]
fn what_no_packet_touches_is_named_with_its_line() {
    let (code, report, err, folder) = run(ROUTER, &["--report", "md=m.md", "--report", "github"]);
    assert_eq!(code, 0, "{err}");
    let untouched = items(&report, false);
    assert_eq!(
        untouched,
        [
            "the route to 10.99.0.0/16 in `r`",
            "the policy of filter FORWARD in `r`",
            "`-A FORWARD -p tcp --dport 81 -j ACCEPT` in `r`",
            "who listens on tcp/81 in `b`"
        ],
        "{report:#}"
    );
    let touched = items(&report, true);
    for what in [
        "the route to default in `a`",
        "the route to default in `b`",
        "the route to default in `c`",
        "`-A FORWARD -p tcp --dport 80 -j ACCEPT` in `r`",
        "`-I FORWARD 1 -p icmp -j ACCEPT` in `r`",
        "who listens on tcp/80 in `b`",
        "who listens on tcp/3128 in `r`",
    ] {
        assert!(touched.iter().any(|one| one == what), "{what}: {touched:#?}");
    }
    assert!(err.contains("not touched  x_test.rhai:11: `-A FORWARD -p tcp --dport 81"), "{err}");
    let md = std::fs::read_to_string(folder.path("m.md")).unwrap();
    assert!(md.contains("### What packets touched") && md.contains("| not touched | x\\_test.rhai:7 |"), "{md}");
}

#[test]
fn too_little_fails_where_enough_was_asked_for() {
    assert_eq!(run(ROUTER, &["--coverage-fail-under", "60"]).0, 0);
    let (code, report, err, _folder) = run(ROUTER, &["--coverage-fail-under", "80"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("80 % was asked for"), "{err}");
    let share = report["coverage"].as_f64().unwrap();
    assert!((60.0..80.0).contains(&share), "{share}");
    let nothing = "test(\"sums\", || { assert_eq(1 + 1, 2); });";
    let (code, report, err, _folder) = run(nothing, &["--coverage-fail-under", "80"]);
    assert_eq!((code, &report["coverage"]), (0, &Value::Null), "{err}");
    assert!(err.contains("no rule, route or service was made"), "{err}");
}

#[test]
fn a_counter_that_cannot_be_read_accuses_nobody() {
    use std::os::unix::fs::PermissionsExt;
    let tools = tempfile::tempdir().unwrap();
    std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, said) in [("failing", "echo no >&2; exit 1"), ("silent", "exit 0"), ("wild", "echo nonsense")] {
        let path = tools.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{said}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tool = format!("iptables-save={}", path.display());
        let (code, report, err, _folder) = run(ROUTER, &["--tool", &tool]);
        assert_eq!(code, 0, "{err}");
        let all = report["files"]["x_test.rhai"]["coverage"].as_array().unwrap();
        let rules: Vec<_> = all.iter().filter(|one| one["kind"] == "rule" || one["kind"] == "policy").collect();
        assert!(rules.len() > 4, "{report:#}");
        for rule in rules {
            assert!(rule["touched"].is_null() && rule["reason"].is_string(), "{name}: {rule:#}");
        }
    }
}
