//! `netwright test` from outside: the project's own test files, every report read back by a stranger's parser, and bad input.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::lab::{Lab, Ran, netwright};
use quick_xml::events::Event;
use serde_json::Value;

fn outcomes(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    expected.iter().map(|(name, outcome)| ((*name).to_owned(), (*outcome).to_owned())).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_projects_own_test_files_pass() {
    let lab = Lab::new(&[]);
    let files = ["tests/rhai", "scripts/04-policy_test.rhai"].map(|name| root().join(name).display().to_string());
    let (code, err, outcomes) = lab.test(&[&files[0], &files[1]]);
    assert_eq!(code, 0, "{err}");
    assert!(outcomes.len() >= 20, "{outcomes:?}");
    assert!(outcomes.iter().any(|(name, outcome)| name.contains("this one needs") && outcome == "skipped"));
}

#[test]
fn with_a_rule_removed_the_policy_fails_in_words_that_a_stranger_understands() {
    let text = std::fs::read_to_string(root().join("scripts/04-policy_test.rhai")).unwrap();
    let rule = "db.iptables(\"-A INPUT -p tcp --dport 5432 -j DROP\");\n";
    assert!(text.contains(rule));
    let lab = Lab::new(&[("policy_test.rhai", &text.replace(rule, ""))]);
    let (code, err, outcomes) = lab.test(&[]);
    assert_eq!(code, 1);
    assert_eq!(outcomes["policy_test.rhai: the host does not"], "failed");
    assert_eq!(outcomes.values().filter(|outcome| *outcome == "failed").count(), 1, "{outcomes:?}");
    for words in [
        "FAIL policy_test.rhai: the host does not",
        "error: `host` reaches tcp/10.0.0.2:5432",
        "expect(host()).cannot_reach(\"tcp/10.0.0.2:5432\");",
        "= expected: no answer",
        "= found: 10.0.0.2",
    ] {
        assert!(err.contains(words), "{words}\n{err}");
    }
}

/// Every way in which a test can end badly, and the next one runs all the same.
const BAD: &str = r#"
let blue = netns("blue");
test("number", || { throw 42; });
test("map", || { throw #{ a: 1 }; });
test("error of netwright", || { blue.link("nope").up(); });
test("skipped", || { skip("not here"); });
test("endless", || { loop { } });
test("asleep", || { sleep("1h"); });
test("same", || { assert_eq(1, 2); });
test("same", || { print("x"); });
test("é ☃ \x07\x00]]>&<b># | \u202e", || { print("\x1b[2J ]]> & <b> \x01 \u0085"); check("in\nside", || 1 == 2); });
test("false", || false);
test("exits", || { exit(0); });
test("left", || { blue.exec(["sh", "-c", "setsid /usr/bin/sleep 1000 >/dev/null 2>&1 &"]).ok; netns("green"); });
test("no route", || { expect(blue).cannot_reach("10.99.99.99"); });
test("deferred", || { defer(|| throw "late"); });
test("nested", || { test("inner", || true); });
test("last", || { assert(true); });
"#;

fn bad_lab() -> Lab {
    Lab::new(&[("bad_test.rhai", BAD)])
}

#[test]
fn one_bad_test_does_not_stop_the_next() {
    let (code, err, found) = bad_lab().test(&["--timeout", "1s"]);
    let expected = [
        ("number", "failed"),
        ("map", "failed"),
        ("error of netwright", "failed"),
        ("skipped", "skipped"),
        ("endless", "failed"),
        ("asleep", "failed"),
        ("same", "failed"),
        ("same #2", "passed"),
        ("é ☃ \u{7}\0]]>&<b># | \u{202e}", "failed"),
        ("false", "failed"),
        ("exits", "failed"),
        ("left", "passed"),
        ("no route", "passed"), // the kernel's own word is proof
        ("deferred", "failed"),
        ("nested", "failed"),
        ("last", "passed"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, outcome)| (format!("bad_test.rhai: {name}"), *outcome)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
    assert_eq!(found, outcomes(&expected), "{err}");
    assert_eq!(code, 1);
    for words in [
        "the test took longer than 1s",
        "left behind: `/usr/bin/sleep 1000` still runs",
        "left behind: namespace `green` is still there",
        "the test called `exit(0)`",
        "the test returned false",
    ] {
        assert!(err.contains(words), "{words}\n{err}");
    }
    assert!(!err.contains('\u{1b}'), "escapes reached the log: {err}");
}

#[test]
fn an_inconclusive_check_fails_with_that_word() {
    let lab = Lab::new(&[(
        "a_test.rhai",
        r#"let br = host().bridge("br0").addr("10.0.0.254/24").up(); let a = netns("a"); let b = netns("b");
        a.plug("eth0", br).addr("10.0.0.1/24"); b.plug("eth0", br).addr("10.0.0.2/24");
        test("nobody is answered", || expect(a).cannot_reach("tcp/10.0.0.9:80", #{ timeout: "100ms" }));"#,
    )]);
    let (code, err, found) = lab.test(&[]);
    assert_eq!((code, found), (1, outcomes(&[("a_test.rhai: nobody is answered", "inconclusive")])), "{err}");
    assert!(err.contains("inconclusive: nobody can say whether `a` reaches tcp/10.0.0.9:80"), "{err}");
}

#[test]
fn what_more_is_expected_of_an_answer_is_a_line_of_every_report() {
    let lab = Lab::new(&[(
        "a_test.rhai",
        r#"let a = netns("a"); let b = netns("b");
        veth(a, "eth0", b, "eth0")[0].addr("10.0.0.1/24").up().peer.addr("10.0.0.2/24").up();
        test("all of it", || expect(a).reaches("b").within("5s").with_mtu(1500).via([]).through_nat("10.0.0.1"));
        test("too late", || expect(a).reaches(b).within("1us"));
        test("too large", || { expect(a).reaches(b).with_mtu(1501); });
        test("another way", || { expect(a).reaches(b).via(["a"]); });
        test("another source", || { expect(a).reaches(b).through_nat("10.0.0.7"); });"#,
    )]);
    let (code, _, found) = lab.test(&["--report", "junit=j.xml", "--report", "tap=t.tap", "--report", "md=m.md"]);
    let expected = [
        ("all of it", "passed", "`a` reaches"),
        ("too late", "failed", "but not within 1us"),
        ("too large", "failed", "but not with packets of 1501 bytes"),
        ("another way", "failed", "but not by `a`"),
        ("another source", "failed", "but not from 10.0.0.7"),
    ];
    let names = expected.map(|(name, outcome, _)| (format!("a_test.rhai: {name}"), outcome.to_owned()));
    assert_eq!((code, found), (1, BTreeMap::from(names)));
    for report in ["j.xml", "t.tap", "m.md"] {
        let text = std::fs::read_to_string(lab.path(report)).unwrap();
        for (name, outcome, words) in expected {
            assert!(text.contains(name), "{name} in {text}");
            assert!(outcome == "passed" || text.contains(words), "{words} in {text}");
        }
    }
}

#[test]
fn junit_is_valid_xml_whatever_a_test_prints() {
    let lab = bad_lab();
    let ran = lab.run(&["test", "--timeout", "1s", "--report", "junit=j.xml", "--filter", "é|same|skipped|last"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let text = std::fs::read_to_string(lab.path("j.xml")).unwrap();
    assert!(text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..)), "XML 1.0 has no control characters");
    let mut reader = quick_xml::Reader::from_str(&text);
    reader.config_mut().check_end_names = true;
    let mut count = BTreeMap::<String, u32>::new();
    let mut suites = String::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) | Event::Empty(tag) => {
                for attribute in tag.attributes() {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap();
                    if tag.name().as_ref() == b"testsuites" {
                        suites = format!("{suites} {}={value}", String::from_utf8_lossy(attribute.key.as_ref()));
                    }
                }
                *count.entry(String::from_utf8_lossy(tag.name().as_ref()).into_owned()).or_default() += 1;
            }
            _ => {}
        }
    }
    assert_eq!((count["testcase"], count["failure"], count["skipped"], count["testsuite"]), (5, 2, 1, 1), "{text}");
    assert!(suites.contains("tests=5") && suites.contains("failures=2"), "{suites}");
}

#[test]
fn prove_accepts_the_tap() {
    let lab = bad_lab();
    let ran = lab.run(&["test", "--timeout", "1s", "--report", "tap=t.tap"]);
    assert_eq!(ran.code, 1);
    let text = std::fs::read_to_string(lab.path("t.tap")).unwrap();
    assert!(text.starts_with("TAP version 13\n1..16\n"), "{text}");
    let Ok(prove) = Command::new("prove").args(["-e", "cat", "t.tap"]).current_dir(lab.folder()).output() else {
        eprintln!("skipped: `prove` is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&prove.stdout);
    assert!(said.contains("Tests: 16 Failed: 11"), "{said}");
    assert!(!said.contains("Parse errors"), "{said}");
}

#[test]
fn github_gets_at_most_ten_annotations_and_a_summary() {
    let lab = bad_lab();
    let mut command = netwright();
    command.current_dir(lab.folder()).env("GITHUB_STEP_SUMMARY", lab.path("summary.md"));
    std::fs::write(lab.path("summary.md"), "what was there\n").unwrap();
    let ran = Ran::new(&command.args(["test", "--timeout", "1s", "--report", "github"]).output().unwrap());
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 10, "{}", ran.out);
    assert!(lines.iter().all(|line| line.starts_with("::error ")), "{}", ran.out);
    assert!(
        lines[0].starts_with("::error file=bad_test.rhai,line=3,col=21,title=number::uncaught throw: 42%0A"),
        "{}",
        lines[0]
    );
    assert!(lines[9].contains("2 more tests failed"), "{}", lines[9]);
    let summary = std::fs::read_to_string(lab.path("summary.md")).unwrap();
    assert!(summary.starts_with("what was there\n## netwright: failed\n"), "{summary}");
    assert!(summary.contains("4 passed, 11 failed, 1 skipped"), "{summary}");
    assert!(summary.contains("<summary>the network</summary>"), "{summary}");
}

#[test]
fn a_file_that_does_not_parse_is_exit_3_and_the_others_run() {
    let lab = Lab::new(&[("a_test.rhai", "test(\"a\", || {"), ("b_test.rhai", "test(\"b\", || {});")]);
    let (code, err, found) = lab.test(&[]);
    assert_eq!((code, found), (3, outcomes(&[("b_test.rhai: b", "passed")])), "{err}");
    assert!(err.contains("FAIL a_test.rhai: cannot run") && err.contains("a_test.rhai:1"), "{err}");
    let ran = lab.run(&["test", "--report", "junit=j.xml", "--report", "tap=t.tap"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let junit = std::fs::read_to_string(lab.path("j.xml")).unwrap();
    assert!(junit.contains("errors=\"1\"") && junit.contains("classname=\"a_test.rhai\""), "{junit}");
    let tap = std::fs::read_to_string(lab.path("t.tap")).unwrap();
    assert!(tap.contains("not ok 1 - a_test.rhai\n") && tap.contains("ok 2 - b_test.rhai: b\n"), "{tap}");
}

#[test]
fn a_set_up_that_fails_fails_the_tests_of_its_file_with_that_reason() {
    let lab =
        Lab::new(&[("a_test.rhai", "test(\"a\", || {});\nassert_eq(1, 2);\ntest(\"b\", || {});\ntest(\"c\", || {});")]);
    let (code, err, found) = lab.test(&[]);
    assert_eq!(code, 1);
    let expected = [("a", "passed"), ("b", "failed"), ("c", "failed"), ("(top level)", "failed")];
    let expected: Vec<_> =
        expected.iter().map(|(name, outcome)| (format!("a_test.rhai: {name}"), (*outcome).to_owned())).collect();
    assert_eq!(found, expected.into_iter().collect(), "{err}");
    assert!(err.contains("= set-up: it failed before this test"), "{err}");
}

#[test]
fn a_file_may_be_skipped_as_a_whole() {
    let lab = Lab::new(&[("a_test.rhai", "needs(\"tool:no-such-program\");\ntest(\"a\", || {});")]);
    let (code, err, found) = lab.test(&[]);
    assert_eq!((code, found), (0, outcomes(&[("a_test.rhai: a", "skipped")])), "{err}");
    assert!(err.contains("no-such-program"), "{err}");
}

#[test]
fn a_test_that_kills_its_own_sandbox_fails_and_so_do_those_behind_it() {
    let lab = Lab::new(&[
        ("a_test.rhai", "test(\"a\", || {});\ntest(\"b\", || { host().exec(\"kill -9 2\"); });\ntest(\"c\", || {});"),
        ("b_test.rhai", "test(\"d\", || {});"),
    ]);
    let (code, err, found) = lab.test(&[]);
    let expected = [
        ("a_test.rhai: a", "passed"),
        ("a_test.rhai: b", "failed"),
        ("a_test.rhai: c", "failed"),
        ("b_test.rhai: d", "passed"),
    ];
    assert_eq!((code, found), (1, outcomes(&expected)), "{err}");
    assert!(err.contains("the sandbox was lost while the test ran: ended by SIGKILL"), "{err}");
}

#[test]
fn no_test_is_not_success() {
    let lab = Lab::new(&[("a_test.rhai", "test(\"a\", || {});"), ("plain.rhai", "print(1);")]);
    assert_eq!(lab.run(&["test", "--filter", "nothing"]).code, 4);
    assert_eq!(lab.run(&["test", "plain.rhai"]).code, 4);
    assert_eq!(lab.run(&["test", "--failed"]).code, 4);
    assert_eq!(lab.run(&["test", "--list"]).out, "a_test.rhai: a\n");
    let empty = Lab::new(&[]);
    assert_eq!(empty.run(&["test"]).code, 4);
}

#[test]
fn wrong_usage_is_known_before_a_test_runs() {
    let lab = Lab::new(&[("a_test.rhai", "print(\"ran\"); test(\"a\", || {});")]);
    std::fs::create_dir(lab.path("folder")).unwrap();
    for (args, words) in [
        (&["--report", "junit=folder"][..], "the report `folder` is a folder"),
        (&["--report", "junit=no/where.xml"], "there is no folder for the report"),
        (&["--report", "junit"], "write junit=FILE"),
        (&["--report", "pdf=x"], "it is one of"),
        (&["--filter", "("], "`(` is not a regular expression"),
        (&["nowhere"], "there is no `nowhere`"),
        (&["--jobs", "0"], "0"),
        (&["--events", "folder"], "is a folder"),
    ] {
        let ran = lab.run(&[&["test"], args].concat());
        assert_eq!(ran.code, 2, "{args:?} {ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("at once"), "{args:?} {}", ran.err);
    }
}

#[test]
fn what_failed_last_time_runs_again_and_a_flaky_test_is_called_so() {
    let lab = Lab::new(&[("a_test.rhai", "")]);
    let mark = lab.path("marks/mark").display().to_string();
    std::fs::create_dir(lab.path("marks")).unwrap();
    let marks = lab.path("marks").display().to_string();
    let keep = ["--keep", marks.as_str()];
    let text = format!(
        "test(\"good\", || {{}});\ntest(\"flaky\", || {{ if !host().exec([\"test\", \"-e\", \"{mark}\"]).ok {{ host().exec([\"touch\", \"{mark}\"]); throw \"not yet\"; }} }});"
    );
    std::fs::write(lab.path("a_test.rhai"), text).unwrap();
    assert_eq!(lab.test(&keep).0, 1);
    let (code, err, found) = lab.test(&[&keep[..], &["--failed"]].concat());
    assert_eq!((code, found), (0, outcomes(&[("a_test.rhai: flaky", "passed")])), "{err}");
    std::fs::remove_file(&mark).unwrap();
    let (code, err, found) = lab.test(&[&keep[..], &["--retries", "2"]].concat());
    assert_eq!((code, found.len()), (0, 2), "{err}");
    assert!(err.contains("AGAIN ") && !err.contains("AGAINf"), "{err}");
    assert!(err.contains("1 flaky"), "{err}");
}

#[test]
fn a_seed_repeats_the_order() {
    let lab = Lab::new(&[("a_test.rhai", "for n in 0..8 { test(`t${n}`, || print(n)); }")]);
    let order = |seed: &str| -> Vec<String> {
        let ran = lab.run(&["test", "--shuffle", seed, "--events", "e.jsonl"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains(&format!("--shuffle {seed} repeats")), "{}", ran.err);
        let events = std::fs::read_to_string(lab.path("e.jsonl")).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events
            .filter(|event| event["event"] == "test-ended")
            .map(|event| event["test"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = order("1");
    assert_eq!(first.len(), 8);
    assert_eq!(first, order("1"));
    assert_ne!(first, order("2"));
}

#[test]
fn ten_thousand_tests_fit_into_a_file() {
    let lab = Lab::new(&[("a_test.rhai", "for n in 0..10000 { test(`number ${n}`, || assert(n >= 0)); }")]);
    let (code, _, found) = lab.test(&["--report", "junit=j.xml", "--report", "md=m.md"]);
    assert_eq!((code, found.len()), (0, 10_000));
}

#[test]
fn tests_in_a_plain_run_are_counted_and_fail_it_at_its_end() {
    let lab = Lab::new(&[("a.rhai", "test(\"a\", || { throw 1 }); test(\"b\", || {}); print(\"end\");")]);
    let ran = lab.run(&["run", "a.rhai"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "end\n"), "{ran:?}");
    assert!(ran.err.contains("FAIL a\n") && ran.err.contains("ok   b\n"), "{}", ran.err);
    assert!(ran.err.contains("tests: 1 passed, 1 failed, 0 skipped"), "{}", ran.err);
}

#[test]
fn reports_under_sudo_belong_to_the_caller() {
    use std::os::unix::fs::MetadataExt;
    let lab = Lab::new(&[("a_test.rhai", "test(\"a\", || {});")]);
    if std::fs::metadata(lab.folder()).unwrap().uid() != 0 {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let run = || {
        let mut command = netwright();
        command.current_dir(lab.folder()).env("SUDO_UID", "1234").env("SUDO_GID", "2345");
        let ran = Ran::new(&command.args(["test", "--report", "junit=j.xml"]).output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        let meta = std::fs::metadata(lab.path("j.xml")).unwrap();
        (meta.uid(), meta.gid())
    };
    assert_eq!(run().0, 0, "what is made in a folder of somebody else stays root's");
    std::os::unix::fs::chown(lab.folder(), Some(1234), None).unwrap();
    assert_eq!(run(), (1234, 2345));
}

#[test]
fn an_interrupted_run_reports_what_it_knows_and_leaves_nothing() {
    let lab = Lab::new(&[(
        "a_test.rhai",
        "test(\"a\", || {}); test(\"b\", || { print(\"here\"); sleep(\"1h\"); }); test(\"c\", || {});",
    )]);
    let mut command = netwright();
    command.current_dir(lab.folder()).args(["test", "--report", "json=r.json", "--events", "e.jsonl"]);
    let mut child = command.spawn().unwrap();
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(lab.path("e.jsonl")).unwrap_or_default().contains("here") {
        assert!(begun.elapsed().as_secs() < 30);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(lab.path("r.json")).unwrap()).unwrap();
    let tests = report["files"]["a_test.rhai"]["tests"].as_array().unwrap();
    let names: Vec<_> =
        tests.iter().map(|test| (test["test"].as_str().unwrap(), test["outcome"].as_str().unwrap())).collect();
    assert_eq!(names[..2], [("a", "passed"), ("b", "failed")], "{names:?}");
}

#[test]
fn what_takes_longer_than_the_first_time_is_marked_in_every_report() {
    let file = |wait: &str| format!("test(\"steady\", || {{}});\ntest(\"grows\", || sleep(\"{wait}\"));\n");
    let lab = Lab::new(&[("a_test.rhai", &file("1ms"))]);
    let first = lab.run(&["test", "--baseline", "times.json"]);
    assert!(first.code == 0 && !first.err.contains("SLOWER"), "{first:?}");
    let times = std::fs::read_to_string(lab.path("times.json")).unwrap();
    let known: Value = serde_json::from_str(&times).unwrap();
    assert!(
        known["tests"]["a_test.rhai: grows"].is_number() && known["tests"]["a_test.rhai: steady"].is_number(),
        "{times}"
    );
    // Longer than any limit that a slow machine has.
    let wait = netwright::patience::scaled(std::time::Duration::from_secs(1)) * 2;
    std::fs::write(lab.path("a_test.rhai"), file(&format!("{}ms", wait.as_millis()))).unwrap();
    let words = [
        "test",
        "--baseline",
        "times.json",
        "--report",
        "md=r.md",
        "--report",
        "html=r.html",
        "--report",
        "json=r.json",
    ];
    let second = lab.run(&words);
    assert_eq!(second.code, 0, "a mark is no failure: {second:?}");
    let said = format!("{}{}", second.out, second.err);
    assert_eq!(said.matches("SLOWER than usual (").count(), 1, "{said}");
    assert!(said.lines().any(|line| line.contains("grows") && line.contains("SLOWER")), "{said}");
    let read = |name: &str| std::fs::read_to_string(lab.path(name)).unwrap();
    assert_eq!(read("r.md").matches(", usually ").count(), 1);
    assert_eq!(read("r.html").matches("slower than usual (").count(), 1);
    let json: Value = serde_json::from_str(&read("r.json")).unwrap();
    let tests = json["files"]["a_test.rhai"]["tests"].as_array().unwrap();
    assert!(tests[0].get("usual_ms").is_none() && tests[1]["usual_ms"].is_number(), "{json}");
    assert_eq!(read("times.json"), times, "the first run stays what is compared with");
    std::fs::write(lab.path("times.json"), "{}").unwrap();
    let wrong = lab.run(&["test", "--baseline", "times.json"]);
    assert!(wrong.code == 2 && wrong.err.contains("has no times of tests"), "{wrong:?}");
}

#[test]
fn a_change_runs_what_it_concerns_again() {
    let lab = Lab::new(&[
        ("a_test.rhai", "import \"lib\" as lib;\ntest(\"a\", || assert(lib::fine()));"),
        ("b_test.rhai", "test(\"b\", || assert(true));"),
    ]);
    let module = |result: bool| std::fs::write(lab.path("lib.rhai"), format!("fn fine() {{ {result} }}\n")).unwrap();
    module(true);
    let said = lab.path("said");
    let file = std::fs::File::create(&said).unwrap();
    let mut command = netwright();
    command.current_dir(lab.folder()).env("XDG_CACHE_HOME", lab.path("cache")).args([
        "test",
        "--watch",
        "--baseline",
        "times.json",
    ]);
    let mut child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let begun = std::time::Instant::now();
    // What it says of each round, when it waits for the next.
    let mut round = |number: usize| -> String {
        loop {
            let text = std::fs::read_to_string(&said).unwrap();
            let rounds: Vec<&str> = text.split("waiting for a change").collect();
            if rounds.len() > number {
                return rounds[number - 1].to_owned();
            }
            assert!(begun.elapsed().as_secs() < 120 && child.try_wait().unwrap().is_none(), "round {number}: {text}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    assert!(round(1).contains("2 passed, 0 failed"));
    let times = std::fs::read_to_string(lab.path("times.json")).unwrap();
    assert!(times.contains("a_test.rhai: a") && times.contains("b_test.rhai: b"), "{times}");
    std::fs::write(lab.path("b_test.rhai"), "test(\"b\", || assert(1 == 2));").unwrap();
    let second = round(2);
    assert!(second.contains("changed: b_test.rhai\n") && second.contains("0 passed, 1 failed"), "{second}");
    module(false);
    let third = round(3);
    assert!(third.contains("changed: lib.rhai\n") && third.contains("0 passed, 2 failed"), "{third}");
    module(true);
    std::fs::write(lab.path("c_test.rhai"), "test(\"c\", || assert(true));").unwrap();
    let fourth = round(4);
    assert!(fourth.contains("2 passed, 1 failed"), "{fourth}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_to_string(lab.path("times.json")).unwrap(), times, "the first round alone writes it");
    // Nothing that a round writes is a change.
    assert_eq!(std::fs::read_to_string(&said).unwrap().matches("waiting for a change").count(), 4);
}

/// A failed expectation carries what `why` found into every report, and into `catch`.
#[test]
fn the_culprit_is_in_every_report() {
    let text = r#"
let r = netns("r"); let a = netns("a"); let c = netns("c");
for end in [[a, "10.0.0.1/24", "va", "10.0.0.254/24", "10.0.0.254"], [c, "10.1.0.1/24", "vc", "10.1.0.254/24", "10.1.0.254"]] {
    let cable = veth(end[0], "eth0", r, end[2]);
    cable[0].addr(end[1]).up();
    cable[1].addr(end[3]).up();
    end[0].route("default", end[4]);
}
r.sysctl("net.ipv4.ip_forward", 1);
r.iptables("-P FORWARD DROP");
test("caught", || {
    let caught = ();
    try { expect(a).reaches("10.1.0.1"); } catch (e) { caught = e; }
    assert_eq(caught.error, "CheckFailed");
    assert_eq(caught.why.culprit.code, "NF_POLICY_DROP");
    assert_eq(caught.why.culprit.netns, "r");
    assert_eq(caught.why.culprit.mending, "commands");
});
test("not caught", || expect(a).reaches("10.1.0.1"));
"#;
    let lab = Lab::new(&[("why_test.rhai", text)]);
    let ran = lab.run(&["test", "--report", "junit=why.xml", "--report", "github=why.github", "--report", "md=why.md"]);
    let err = ran.err;
    assert_eq!(ran.code, 1, "{err}");
    assert!(err.contains("ok   why_test.rhai: caught") && err.contains("FAIL why_test.rhai: not caught"), "{err}");
    let said = ["why.xml", "why.github", "why.md"].map(|name| (name, std::fs::read_to_string(lab.path(name)).unwrap()));
    for (name, text) in said.iter().chain([&("the terminal", err)]) {
        assert!(text.contains("[NF_POLICY_DROP]"), "{name}: {text}");
        assert!(text.contains("iptables filter FORWARD"), "{name}: {text}");
    }
}

#[test]
fn markdown_draws_the_network_once_and_then_what_changed() {
    let setup = "let a = netns(\"a\"); let b = netns(\"b\"); veth(a, \"x\", b, \"x\");\n\
        a.link(\"x\").addr(\"10.0.0.1/24\").up(); b.link(\"x\").addr(\"10.0.0.2/24\").up();\n\
        b.iptables(\"-A INPUT -p tcp --dport 80 -j DROP\"); b.listen(\"tcp/80\");\n";
    let tests = "test(\"first\", || expect(a).reaches(\"tcp/10.0.0.2:80\", #{ timeout: \"300ms\" }));\n\
        test(\"second\", || assert_eq(1, 2));\ntest(\"third\", || assert_eq(1, 3));\n\
        test(\"fourth\", || { b.addr(\"x\", \"10.0.0.3/24\"); assert_eq(1, 4) });\n";
    let tests = tests.replace("b.addr(\"x\", \"10.0.0.3/24\")", "b.link(\"x\").addr(\"10.0.0.3/24\")");
    let lab = Lab::new(&[("a_test.rhai", &format!("{setup}{tests}")), ("b_test.rhai", "let x = ;")]);
    let (code, err, _) = lab.test(&["--report", "md=m.md"]);
    let text = std::fs::read_to_string(lab.path("m.md")).unwrap();
    assert!(code != 0 && text.contains("0 passed, 4 failed, 0 skipped, 1 file could not run in "), "{err}{text}");
    let of = |name: &str| {
        let from = text.find(&format!("a\\_test.rhai: {name}\n")).unwrap_or_else(|| panic!("{name}: {text}"));
        text[from..].split("\n### ").next().unwrap().split("\n| ").next().unwrap().to_owned()
    };
    assert!(of("first").contains("<summary>the network</summary>") && of("first").contains("\n✗ b\n"), "{text}");
    // It is forgotten what the first one blamed: that is the only difference.
    let second = of("second");
    assert!(second.contains("what is different") && second.contains("\nb\n") && !second.contains("\na\n"), "{second}");
    assert!(!second.contains('✗'), "{second}");
    assert!(of("third").contains("The network is as it is drawn above.") && !of("third").contains("├"), "{text}");
    let fourth = of("fourth");
    assert!(fourth.contains("10.0.0.3/24") && !fourth.contains("\na\n"), "{fourth}");
}

const THREE: &str =
    "test(\"one\", || {\n    assert(true);\n});\ntest(\"two\", || assert(false));\ntest(\"three\", || assert(true));\n";

#[test]
fn a_line_chooses_the_test_that_it_belongs_to() {
    let lab = Lab::new(&[("a_test.rhai", THREE), ("b_test.rhai", "test(\"all\", || assert(true));")]);
    let (code, err, found) = lab.test(&["a_test.rhai:2", "a_test.rhai:5", "b_test.rhai"]);
    assert_eq!(code, 0, "{err}");
    let expected = [("a_test.rhai: one", "passed"), ("a_test.rhai: three", "passed"), ("b_test.rhai: all", "passed")];
    assert_eq!(found, outcomes(&expected));
    let ran = lab.run(&["test", "a_test.rhai:0"]);
    assert!(ran.code == 2 && ran.err.contains("there is no `a_test.rhai:0`"), "{}", ran.err);
    std::fs::write(lab.path("c_test.rhai"), "\n\ntest(\"x\", || {});").unwrap();
    let ran = lab.run(&["test", "c_test.rhai:1"]);
    assert!(ran.code == 2 && ran.err.contains("no test begins at line 1"), "{} {}", ran.code, ran.err);
}

#[test]
fn a_part_of_the_files_runs_and_the_parts_are_all() {
    let one = "test(\"t\", || assert(true));";
    let lab = Lab::new(&[("a_test.rhai", one), ("b_test.rhai", one), ("c_test.rhai", one)]);
    let (_, _, first) = lab.test(&["--partition", "1/2"]);
    let (_, _, second) = lab.test(&["--partition", "2/2"]);
    assert_eq!((first.len(), second.len()), (2, 1), "{first:?} {second:?}");
    assert_eq!(lab.run(&["test", "--partition", "4/4"]).code, 0, "the other parts have all files");
    for wrong in ["0/2", "3/2", "2", "a/b"] {
        let ran = lab.run(&["test", "--partition", wrong]);
        assert!(ran.code == 2 && ran.err.contains("the second of five"), "{wrong}: {}", ran.err);
    }
}

#[test]
fn nothing_begins_behind_a_failure_when_that_is_asked_for() {
    let lab = Lab::new(&[("a_test.rhai", THREE)]);
    let (code, err, found) = lab.test(&["--fail-fast"]);
    assert_eq!(code, 1, "{err}");
    assert_eq!(found, outcomes(&[("a_test.rhai: one", "passed"), ("a_test.rhai: two", "failed")]));
}

#[test]
fn the_page_has_everything_and_nothing_breaks_out_of_it() {
    let odd = "test(\"</script><b>\u{202e}bold\", || { print(\"<i>\"); expect(netns(\"a\")).reaches(\"10.0.0.1\"); });\ntest(\"good\", || assert(true));";
    let lab = Lab::new(&[("a_test.rhai", odd)]);
    let ran = lab.run(&["test", "--report", "html=page.html"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let page = std::fs::read_to_string(lab.path("page.html")).unwrap();
    for part in
        ["<title>netwright: failed</title>", "data:image/svg+xml,", "✓ passed", "✗ failed", "Content-Security-Policy"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The name of the language is no address that anybody asks.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for bad in ["</script", "<i>", "\u{202e}", "http://", "https://"] {
        assert!(!page.contains(bad), "{bad:?} is in the page");
    }
}
