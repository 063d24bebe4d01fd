//! How findings of `why` look: as text, with colours, on 80 columns, and as JSON, against files in `tests/golden/finding`.
//! `UPDATE_GOLDEN=1` writes them.

mod common;

use std::time::Duration;

use netwright::op::Where;
use netwright::report::finding::{Style, render, survey};
use netwright::why::codes::Code;
use netwright::why::finding::{
    Confidence, Culprit, Evidence, Finding, Hop, Label, LastSeen, Leg, Traced, Tried, Verdict,
};
use netwright::why::survey::Survey;

fn named(name: &str) -> Where {
    Where::Named(name.into())
}

fn hop(at: &str, dev: &str, out: bool) -> Hop {
    Hop { leg: Leg::Request, at: named(at), dev: dev.into(), out }
}

fn tried(reached: bool, detail: &str) -> Tried {
    let word = if reached { "reached" } else { "inconclusive" };
    Tried { reached, word: word.into(), detail: detail.into(), took: Duration::from_micros(1250), ..Tried::default() }
}

/// What every finding has; the times are whole, so that the JSON is the same everywhere.
fn finding(verdict: Verdict, confidence: Confidence, hops: Vec<Hop>) -> Finding {
    Finding {
        from: named("blue"),
        to: "10.2.0.1".into(),
        verdict,
        confidence,
        culprit: None,
        others: Vec::new(),
        hops,
        probe: Some(tried(false, "no answer within 1000 ms")),
        notes: Vec::new(),
        trace: Vec::new(),
        took: Duration::from_millis(40),
    }
}

fn short_way() -> Vec<Hop> {
    vec![hop("blue", "eth0", true), hop("r", "vb", false), hop("r", "vg", true), hop("green", "eth0", false)]
}

fn reachable() -> Finding {
    let probe = Some(tried(true, "10.2.0.1 answered in 0.081 ms"));
    Finding { probe, ..finding(Verdict::Reachable, Confidence::Observed, short_way()) }
}

fn rule() -> Finding {
    let text = "-A FORWARD -s 10.1.0.0/24 -m comment --comment \"nobody\u{1b}[31m knows\" -j DROP";
    let mut culprit = Culprit::new(Code::NfDrop, &named("r"), "rule", "iptables filter FORWARD")
        .value(text)
        .says(format!(
            "a rule in iptables filter FORWARD in r drops the packet 10.1.0.1 → 10.2.0.1 from vb to vg: `{text}`"
        ))
        .because(Label::State, format!("iptables in r, filter: {text}   (counter: 3 packets)"))
        .fix("iptables -t filter -D FORWARD -s 10.1.0.0/24 -j DROP");
    culprit.hop = 2;
    let other = Culprit::new(Code::ServiceNotListening, &named("green"), "port", "tcp 80")
        .says("nothing listens on tcp port 80 in green")
        .advise("start the service in green");
    let mut found = finding(Verdict::Blocked, Confidence::Confirmed, short_way());
    found.culprit = Some(culprit);
    found.others = vec![other];
    found.trace = vec![Traced {
        at: named("r"),
        table: "ip filter".into(),
        chain: "FORWARD".into(),
        rule: Some(text.into()),
        verdict: "drop".into(),
    }];
    let last = LastSeen {
        at: Some(named("r")),
        dev: "vb".into(),
        reason: "NETFILTER_DROP".into(),
        function: "nft_do_chain".into(),
    };
    found.probe = Some(Tried { last: Some(last), ..tried(false, "no answer within 1000 ms") });
    found
}

fn missing_route() -> Finding {
    let mut found = finding(Verdict::Blocked, Confidence::Predicted, Vec::new());
    found.probe = None;
    found.culprit = Some(
        Culprit::new(Code::RouteMissing, &named("blue"), "route", "10.2.0.1")
            .value("Network is unreachable")
            .says("blue has no route to 10.2.0.1")
            .because(Label::Kernel, "ip -n blue route get 10.2.0.1 → Network is unreachable")
            .advise("ip route add … via a router of this segment"),
    );
    found
}

fn pending() -> Finding {
    let mut found = finding(Verdict::Pending, Confidence::Confirmed, vec![hop("blue", "eth0", true)]);
    found.to = "fd00::2".into();
    let mut culprit = Culprit::new(Code::V6DadPending, &named("green"), "address", "fd00::2/64")
        .value("tentative")
        .says("fd00::2 of green/eth0 is still tentative: duplicate address detection (DAD) has not ended")
        .because(Label::State, "ip -6 addr show dev eth0 in green: fd00::2 tentative")
        .fix("ip -6 addr del fd00::2/64 dev eth0")
        .fix("ip -6 addr add fd00::2/64 dev eth0 nodad");
    culprit.leg = Leg::Request;
    culprit.hop = 1;
    found.culprit = Some(culprit);
    found
}

fn inconclusive() -> Finding {
    let mut found = finding(Verdict::Inconclusive, Confidence::Predicted, short_way());
    found.others = vec![
        Culprit::new(Code::TcDrop, &named("r"), "filter", "vb ingress")
            .says("a tc filter (bpf) on ingress of r/vb may drop the packet"),
    ];
    found.notes =
        vec![Evidence { label: Label::Inferred, text: "the flight recorder cannot be used here: no tracefs".into() }];
    found
}

fn three_routers() -> Finding {
    let mut hops = vec![hop("blue", "eth0", true)];
    for router in ["router-west", "router-middle", "router-east"] {
        hops.push(hop(router, "left", false));
        hops.push(hop(router, "right", true));
    }
    hops.push(hop("green", "eth0", false));
    let mut culprit = Culprit::new(Code::RpFilter, &named("router-middle"), "sysctl", "net.ipv4.conf.left.rp_filter")
        .value("1")
        .says("10.1.0.1 arrives on left, but router-middle would answer it via right; the strict reverse path filter of left drops it")
        .because(Label::Kernel, "ip -n router-middle route get 10.2.0.1 from 10.1.0.1 iif left → Invalid argument")
        .because(Label::State, "net.ipv4.conf.all.rp_filter = 0, net.ipv4.conf.left.rp_filter = 1 in router-middle: the greater counts")
        .fix("sysctl -w net.ipv4.conf.left.rp_filter=2");
    culprit.hop = 4;
    let mut found = finding(Verdict::Blocked, Confidence::Confirmed, hops);
    found.culprit = Some(culprit);
    found
}

#[test]
fn findings_look_as_they_did() {
    let narrow = Style { color: false, width: 80 };
    let coloured = Style { color: true, ..Style::PLAIN };
    let cases = [
        ("reachable", reachable()),
        ("rule", rule()),
        ("missing-route", missing_route()),
        ("pending", pending()),
        ("inconclusive", inconclusive()),
        ("three-routers", three_routers()),
    ];
    for (name, found) in cases {
        let file = |end: &str| format!("finding/{name}.{end}");
        common::golden(&file("txt"), &render(&found, Style::PLAIN));
        common::golden(&file("80.txt"), &render(&found, narrow));
        common::golden(&file("ansi"), &render(&found, coloured));
        common::golden(&file("json"), &format!("{:#}\n", found.json()));
        for line in render(&found, narrow).lines() {
            // Commands are never broken, so that they can be copied; sentences and the way are.
            let broken = ["  path", "   |", "   also", "   maybe", "   = kernel", "   = state", "   = inferred"];
            let sentence = broken.iter().any(|begin| line.starts_with(begin));
            assert!(!sentence || line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

#[test]
fn a_colour_changes_no_letter() {
    for found in [reachable(), rule(), pending(), three_routers()] {
        let shown = render(&found, Style { color: true, ..Style::PLAIN });
        let plain = render(&found, Style::PLAIN);
        assert_ne!(shown, plain);
        let mut stripped = String::new();
        let mut rest = shown.as_str();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            stripped += before;
            rest = after.split_once('m').unwrap().1;
        }
        assert_eq!(stripped + rest, plain);
    }
}

#[test]
fn a_survey_looks_as_it_did() {
    let found = Survey { namespaces: 3, findings: vec![rule().culprit.unwrap(), missing_route().culprit.unwrap()] };
    common::golden("finding/survey.txt", &survey(&found, Style::PLAIN));
    common::golden("finding/survey.json", &format!("{:#}\n", found.json()));
    let clean = Survey { namespaces: 1, findings: Vec::new() };
    assert_eq!(survey(&clean, Style::PLAIN), "0 findings in 1 namespace\n");
}
