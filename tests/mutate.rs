//! `netwright test --mutate` from outside: what is noticed and what survives is known for each file, every report is read back, and bad input.

mod common;

use std::time::{Duration, Instant};

use common::lab::{Lab, Ran};
use serde_json::Value;

fn mutate(lab: &Lab, args: &[&str]) -> Ran {
    lab.run(&[&["test", "--mutate"], args].concat())
}

/// The exit code and the JSON report.
fn report(lab: &Lab, args: &[&str]) -> (i32, Value) {
    let (ran, report) = lab.json(&[&["test", "--mutate"], args].concat());
    (ran.code, report)
}

/// What of one file came to `fate`.
fn with_fate(report: &Value, fate: &str) -> Vec<String> {
    let tried = report["files"][0]["tried"].as_array().unwrap();
    tried.iter().filter(|one| one["fate"] == fate).map(|one| one["what"].as_str().unwrap().to_owned()).collect()
}

/// A host between two networks. Nothing asks whether the second rule is there, nor for the MTU; all the rest is needed.
const ROUTER: &str = r#"
let a = netns("a"); let r = netns("r"); let b = netns("b");
let left = veth(a, "eth0", r, "left"); let right = veth(b, "eth0", r, "right");
left[0].addr("10.1.0.1/24").up(); left[1].addr("10.1.0.254/24").up();
right[0].addr("10.2.0.1/24").up(); right[1].addr("10.2.0.254/24").up();
a.route("default", "10.1.0.254"); b.route("default", "10.2.0.254");
r.sysctl("net.ipv4.ip_forward", 1);
r.iptables("-A FORWARD -p tcp --dport 23 -j DROP");
r.iptables("-A FORWARD -p tcp --dport 24 -j DROP");
right[1].mtu(1400);
test("a reaches b", || { expect(a).reaches("10.2.0.1"); });
test("nobody gets in by telnet", || {
    b.listen("tcp/23");
    expect(a).cannot_reach("tcp/10.2.0.1:23");
});
"#;

#[test]
fn what_no_test_asks_for_survives_and_the_rest_is_noticed() {
    let lab = Lab::new(&[("router_test.rhai", ROUTER)]);
    let (code, report) = report(&lab, &["--report", "junit=j.xml", "--report", "md=m.md"]);
    assert_eq!(code, 0, "{report:#}");
    let survived = with_fate(&report, "survived");
    assert_eq!(survived.len(), 2, "{report:#}");
    assert!(survived[0].contains("--dport 24"), "{survived:?}");
    assert!(survived[1].contains("MTU of `right` in `r`"), "{survived:?}");
    // 4 addresses, 4 ends, 2 routes, forwarding, a rule.
    assert_eq!(with_fate(&report, "noticed").len(), 12, "{report:#}");
    assert_eq!(report["counts"]["untried"], 0);
    let tried = report["files"][0]["tried"].as_array().unwrap();
    let rule = tried.iter().find(|one| one["what"].as_str().unwrap().contains("--dport 23")).unwrap();
    assert_eq!(rule["noticed_by"], "nobody gets in by telnet");
    assert_eq!(rule["line"], 8);
    let mtu = tried.iter().find(|one| one["what"].as_str().unwrap().contains("MTU")).unwrap();
    assert!(mtu["would"].as_str().unwrap().contains("size"), "{mtu}");

    let junit = std::fs::read_to_string(lab.path("j.xml")).unwrap();
    assert!(junit.contains(r#"tests="14""#) && junit.contains(r#"failures="2""#), "{junit}");
    let md = std::fs::read_to_string(lab.path("m.md")).unwrap();
    assert!(md.contains("12 of 14 breakages noticed: 85.7 %") && md.contains("(router\\_test.rhai:9)"), "{md}");
}

#[test]
fn a_score_that_was_asked_for_decides_the_exit_code_and_a_limit_what_is_tried() {
    let lab = Lab::new(&[("router_test.rhai", ROUTER)]);
    let ran = mutate(&lab, &["--mutate-limit", "2", "--seed", "7", "--mutate-fail-under", "0"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("12 not tried") && ran.out.contains("--seed 7"), "{}", ran.out);
    let (_, first) = report(&lab, &["--mutate-limit", "1", "--seed", "3"]);
    let (_, second) = report(&lab, &["--mutate-limit", "1", "--seed", "3"]);
    let chosen = |report: &Value| [with_fate(report, "noticed"), with_fate(report, "survived")].concat();
    assert_eq!(chosen(&first), chosen(&second), "a seed chooses the same");
    let only_survivor =
        "let a = netns(\"a\"); a.bridge(\"d\").addr(\"10.9.0.1/24\");\ntest(\"nothing\", || { assert(a.exists); });";
    let lab = Lab::new(&[("lazy_test.rhai", only_survivor)]);
    let ran = mutate(&lab, &["--mutate-fail-under", "90"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("0.0 %") && ran.out.contains("90.0 % was asked for"), "{}", ran.out);
}

#[test]
fn what_cannot_be_mutated_is_said_and_not_counted() {
    let lab = Lab::new(&[
        ("bad_test.rhai", "test(\"never\", || { assert(false); });"),
        ("broken_test.rhai", "let x = ;"),
        ("host_test.rhai", "if host().name == \"host\" { skip(\"it needs --host\"); }\ntest(\"x\", || {});"),
        ("nothing_test.rhai", "test(\"sums\", || { assert_eq(1 + 1, 2); });"),
    ]);
    let (code, report) = report(&lab, &[]);
    assert_eq!(code, 1);
    assert_eq!(report["score"], Value::Null);
    let why = |name: &str| {
        let files = report["files"].as_array().unwrap();
        let file = files.iter().find(|file| file["file"].as_str().unwrap().ends_with(name)).unwrap();
        (file["left_out"].as_str().unwrap_or_default().to_owned(), file["bad"] == true)
    };
    assert!(matches!(why("bad_test.rhai"), (why, true) if why.contains("with nothing broken \"never\" fails")));
    assert!(matches!(why("broken_test.rhai"), (why, true) if why.contains("cannot run")));
    assert!(
        matches!(why("host_test.rhai"), (why, false) if why.contains("it needs --host")),
        "{:?}",
        why("host_test.rhai")
    );
    assert!(matches!(why("nothing_test.rhai"), (why, false) if why.contains("nothing that could be broken")));
    let lab = Lab::new(&[("nothing_test.rhai", "test(\"sums\", || { assert_eq(1 + 1, 2); });")]);
    assert_eq!(mutate(&lab, &[]).code, 4, "nothing was tried");
}

#[test]
fn a_flaky_file_is_found_before_anything_is_broken() {
    let lab = Lab::new(&[]);
    std::fs::create_dir(lab.path("kept")).unwrap();
    let once = lab.path("kept/once");
    let text = format!(
        "let a = netns(\"a\"); a.bridge(\"d\").addr(\"10.9.0.1/24\").up();\n\
         test(\"only once\", || {{ assert(a.exec([\"mkdir\", \"{}\"]).ok); }});",
        once.display()
    );
    std::fs::write(lab.path("flaky_test.rhai"), text).unwrap();
    let (code, report) = report(&lab, &["--keep", lab.path("kept").to_str().unwrap()]);
    assert_eq!(code, 1);
    let why = report["files"][0]["left_out"].as_str().unwrap();
    assert_eq!(why, "it is flaky: with nothing broken \"only once\" passed, then failed");
}

#[test]
fn what_cannot_be_broken_says_nothing_about_the_tests() {
    let lab = Lab::new(&[(
        "odd_test.rhai",
        r#"
let a = netns("a"); let b = netns("b");
let v = veth(a, "eth0", b, "eth0"); v[0].addr("10.1.0.1/24").up(); v[1].addr("10.1.0.2/24").up();
a.ip("route add 10.7.0.0/16 via 10.1.0.2", #{ undo: "route del 10.8.0.0/16 via 10.1.0.2" });
a.sysctl("net.ipv4.ip_forward", 1); a.sysctl("net.ipv4.ip_forward", 0);
test("a reaches b", || { expect(a).reaches("10.1.0.2"); });
a.route("10.6.0.0/16", "10.1.0.2");
"#,
    )]);
    let (code, report) = report(&lab, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(with_fate(&report, "survived"), ["net.ipv4.ip_forward is 1 in `a`"], "{report:#}");
    let tried = report["files"][0]["tried"].as_array().unwrap();
    let reason = |part: &str| {
        let one = tried
            .iter()
            .find(|one| one["commands"].to_string().contains(part))
            .unwrap_or_else(|| panic!("{part}: {report:#}"));
        assert_eq!(one["fate"], "void", "{one}");
        one["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("10.8.0.0/16").contains("No such process"), "an undo that fails: {}", reason("10.8.0.0/16"));
    assert!(reason("ip_forward=0").contains("otherwise by then"), "set again since");
    assert!(reason("10.6.0.0/16").contains("nothing looks at the network after it was made"), "after the last test");
}

#[test]
fn three_hundred_breakages_end_with_the_time_and_say_how_many_were_not_tried() {
    let text = "let a = netns(\"a\"); let d = a.bridge(\"d\").up();\n\
         for n in 0..300 { d.addr(`10.${n / 200}.${n % 200}.1/32`); }\n\
         test(\"one of them answers\", || { expect(a).reaches(\"10.0.0.1\"); });";
    let lab = Lab::new(&[("many_test.rhai", text)]);
    let begun = Instant::now();
    let (code, report) = report(&lab, &["--mutate-time", "12s"]);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!(report["out_of_time"], true, "{}", report["counts"]);
    let count = |fate: &str| report["counts"][fate].as_u64().unwrap();
    assert_eq!(count("noticed") + count("survived") + count("untried") + count("void"), 301, "{}", report["counts"]);
    assert!(count("untried") > 0, "{}", report["counts"]);
    assert!(code == 0 || count("noticed") + count("survived") == 0, "{code}: {}", report["counts"]);
}

#[test]
fn names_break_out_of_no_report() {
    let text = "let a = netns(\"a\"); a.bridge(\"d\").addr(\"10.9.0.1/24\").up();\n\
         a.iptables(\"-A INPUT -m comment --comment '</script>|`x`' -j ACCEPT\");\n\
         test(\"a|b`c`</script>\u{202e}::error::x\", || { expect(a).reaches(\"10.9.0.1\"); });";
    let lab = Lab::new(&[("odd,name=1_test.rhai", text)]);
    let ran = mutate(&lab, &["--report", "junit=j.xml", "--report", "md=m.md", "--report", "github"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let warning = ran.out.lines().find(|line| line.starts_with("::warning") && line.contains("script")).unwrap();
    assert!(warning.starts_with("::warning file=odd%2Cname=1_test.rhai,line=2,title="), "{warning}");
    let md = std::fs::read_to_string(lab.path("m.md")).unwrap();
    assert!(!md.lines().filter(|line| !line.contains("iptables -w")).any(|line| line.contains("</script>")), "{md}");
    let xml = std::fs::read_to_string(lab.path("j.xml")).unwrap();
    let mut reader = quick_xml::Reader::from_str(&xml);
    loop {
        if matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {
            break;
        }
    }
}

#[test]
fn wrong_words_are_refused_before_anything_runs() {
    let lab = Lab::new(&[("x_test.rhai", "test(\"x\", || {});")]);
    for (args, says) in [
        (&["--report", "tap=-"][..], "no TAP report"),
        (&["--mutate-fail-under", "101"], "from 0 to 100"),
        (&["--mutate-limit", "0"], "--mutate-limit"),
        (&["--report", "junit=none/x.xml"], "there is no folder"),
        (&["--retries", "2"], "--retries"),
    ] {
        let ran = mutate(&lab, args);
        assert!(matches!(ran.code, 2..=4) && ran.err.contains(says), "{args:?}: {} {}", ran.code, ran.err);
        assert!(!ran.err.contains("passed twice"), "{args:?} ran something");
    }
    assert_eq!(lab.run(&["test", "--mutate-limit", "3"]).code, 2);
}
