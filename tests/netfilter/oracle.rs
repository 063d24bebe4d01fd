//! The evaluator of `why` against the kernel: random rule sets, real packets, and what both say of them.
//!
//! Part of the library's tests, for it looks at what the evaluator says before anything is made of it. `NETWRIGHT_SEED` and
//! `NETWRIGHT_CASES` choose the cases; `NETWRIGHT_FULL=1` runs thousands.

#[path = "lab.rs"]
mod lab;
#[path = "rules.rs"]
mod rules;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lab::{At, Lab, PORTS, Seen, Shot, Sort, run};
use rules::{Dice, Rules};

use super::codes::Code;
use super::finding::Leg;
use super::packet::{Ct, Packet, Past, Port, Track};
use super::state::Net;
use super::walk::Walk;
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::op::Where;
use crate::session::{Mode, Session};

/// How one way of a packet ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    Reject,
    /// Dropped or refused, by one of several rules whose order nobody knows.
    Dies,
    Unknown,
}

/// What the evaluator says.
#[derive(Debug)]
struct Said {
    request: Fate,
    reply: Fate,
    arrived: Option<(IpAddr, Port, IpAddr, Port)>,
    guess: bool,
    why: String,
}

/// What the numbers of a run are.
#[derive(Debug, Default)]
struct Count {
    agree: usize,
    undecided: usize,
    passed: usize,
    dropped: usize,
    rejected: usize,
    translated: usize,
    refused: usize,
    wrong: Vec<String>,
}

fn session() -> Session {
    let exec = Exec::new(Tools::new(&[]).unwrap(), Interrupt::default()).unwrap();
    Session::new(exec, Mode::Host, Box::new(|_| {}))
}

fn places(lab: &Lab) -> Vec<(Where, crate::exec::netns::NetnsFile)> {
    let named = [(At::Client, "client"), (At::Router, "router"), (At::Server, "server")];
    named.map(|(at, name)| (Where::Path(PathBuf::from(name)), lab.netns(at).clone())).into()
}

fn shots(dice: &mut Dice, v4: bool, v6: bool, next: &mut u32) -> Vec<Shot> {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut all = Vec::new();
    for _ in 0..7 {
        *next += 1;
        let six = v6 && (!v4 || dice.percent(35));
        let (from, src, dst) = match (six, dice.below(10)) {
            (false, 0..=3) => (At::Client, ip("10.1.0.2"), ip(dice.pick(&["10.2.0.2", "10.2.0.2", "10.2.0.3"]))),
            (false, 4 | 5) => (At::Client, ip("10.1.0.2"), ip(dice.pick(&["10.1.0.1", "10.1.0.9", "10.2.0.1"]))),
            (false, 6) => (At::Router, ip("10.2.0.1"), ip(dice.pick(&["10.2.0.2", "10.2.0.3"]))),
            (false, 7) => (At::Server, ip("10.2.0.2"), ip("10.1.0.2")),
            (false, _) => (At::Client, ip("10.3.0.2"), ip("10.3.0.3")),
            (true, 0..=4) => (At::Client, ip("fd01::2"), ip(dice.pick(&["fd02::2", "fd02::3"]))),
            (true, 5 | 6) => (At::Client, ip("fd01::2"), ip("fd01::1")),
            (true, 7) => (At::Server, ip("fd02::2"), ip("fd01::2")),
            (true, _) => (At::Router, ip("fd02::1"), ip("fd02::2")),
        };
        let proto = match dice.below(5) {
            0 => {
                if six {
                    58
                } else {
                    1
                }
            }
            1 | 2 => 17,
            _ => 6,
        };
        let ports = matches!(proto, 6 | 17);
        let sport = u16::try_from(20000 + *next % 40000).unwrap();
        let dport = if ports { PORTS[usize::try_from(dice.below(6)).unwrap()] } else { 0 };
        all.push(Shot { from, src, dst, proto, sport, dport, token: *next });
    }
    all
}

fn predict(net: &Net, shot: &Shot) -> Said {
    let ports = matches!(shot.proto, 6 | 17);
    let v6 = shot.dst.is_ipv6();
    let size = match shot.proto {
        6 => 40,
        17 => 24,
        _ => 64,
    } + if v6 { 40 } else { 20 };
    let mut walk = Walk::new(net);
    walk.round_trip(
        shot.from as usize,
        Packet {
            src: shot.src,
            dst: shot.dst,
            proto: shot.proto,
            sport: if ports { Port::Exact(shot.sport) } else { Port::None },
            dport: if ports { Port::Exact(shot.dport) } else { Port::None },
            icmp: (!ports).then_some(if v6 { 128 } else { 8 }),
            reply: false,
            size,
            df: true,
            ttl: Some(64),
            tos: Some(0),
            mark: Some(0),
            ct: Ct::New,
            track: Track::default(),
            past: Past::default(),
        },
    );
    // What comes after the first is as if that were mended: the packet may go where nobody waits for it.
    // A raw rule that keeps the answer from being tracked leaves it untranslated, and lets it pass.
    let untracked = |fault: &crate::why::Culprit| {
        fault.code == Code::NatWrong && fault.leg == Leg::Reply && fault.message.contains("from being tracked")
    };
    let known = |fault: &crate::why::Culprit| fault.code.is_of_filter() || untracked(fault);
    assert!(walk.faults.first().is_none_or(known), "{:?}", walk.faults);
    let fate = |leg: Leg| {
        let faults =
            || walk.faults.iter().filter(|fault| fault.leg == leg && fault.code.is_of_filter()).map(|fault| fault.code);
        let suspects =
            walk.suspects.iter().filter(|suspect| suspect.culprit.leg == leg).map(|suspect| suspect.culprit.code);
        let kind = |code: Code| match code {
            Code::NfDrop | Code::NfPolicyDrop => Fate::Drop,
            Code::NfReject => Fate::Reject,
            _ => Fate::Unknown,
        };
        let suspected: Vec<Fate> = suspects.map(kind).collect();
        match faults().next().map(kind) {
            Some(sure) if suspected.iter().copied().chain(faults().map(kind)).all(|one| one == sure) => sure,
            Some(_) => Fate::Dies,
            None if suspected.is_empty() => Fate::Pass,
            _ => Fate::Unknown,
        }
    };
    let arrived = walk.end.as_ref().map(|(_, packet)| (packet.src, packet.sport, packet.dst, packet.dport));
    let why = walk.faults.iter().map(|fault| format!("{} {}", fault.leg.word(), fault.message));
    let maybe =
        walk.suspects.iter().map(|suspect| format!("maybe {} {}", suspect.culprit.leg.word(), suspect.culprit.value));
    Said {
        request: fate(Leg::Request),
        reply: fate(Leg::Reply),
        arrived,
        guess: walk.guess,
        why: why.chain(maybe).collect::<Vec<_>>().join("; "),
    }
}

/// What is wrong with what was said, if anything; whether it was decided.
fn judge(said: &Said, shot: &Shot, seen: &[Seen], quiet: bool) -> (Option<String>, bool) {
    let mine: Vec<&Seen> = seen.iter().filter(|one| one.token == shot.token).collect();
    let requests: Vec<&&Seen> = mine.iter().filter(|one| one.sort == Sort::Request && one.at != shot.from).collect();
    let own = mine.iter().any(|one| one.sort == Sort::Request && one.at == shot.from);
    let there = !requests.is_empty() || own;
    let back = mine.iter().any(|one| one.sort == Sort::Reply && one.at == shot.from);
    let refused = mine.iter().any(|one| one.sort == Sort::Notice && one.at == shot.from);
    let arrived = || {
        let (src, sport, dst, dport) = said.arrived?;
        let seen = requests.first()?.tuple?;
        let port = |want: Port, have: u16| match want {
            Port::Exact(want) => want == have,
            Port::Among(low, high) => low <= have && have <= high,
            _ => true,
        };
        let fits = src == seen.0 && port(sport, seen.1) && dst == seen.2 && port(dport, seen.3);
        (!fits).then(|| format!("it arrived as {seen:?}, not as {:?}", said.arrived))
    };
    let wrong = match said.request {
        Fate::Unknown => return (None, false),
        Fate::Pass if !there && said.guess => return (None, false),
        Fate::Pass if !there => Some("it does not arrive".to_owned()),
        Fate::Pass if !said.guess => arrived(),
        Fate::Pass => None,
        _ if there => Some("it arrives".to_owned()),
        Fate::Drop if refused => Some("it is refused, not dropped".to_owned()),
        Fate::Reject if !refused && quiet && shot.from != At::Router => Some("it is not refused".to_owned()),
        _ => None,
    };
    if wrong.is_some() || said.request != Fate::Pass {
        return (wrong, true);
    }
    match said.reply {
        _ if said.guess => (None, false),
        Fate::Unknown => (None, false),
        Fate::Pass if !back => (Some("the reply does not arrive".into()), true),
        Fate::Drop | Fate::Reject | Fate::Dies if back => (Some("the reply arrives".into()), true),
        _ => (None, true),
    }
}

/// Loads a rule set, without the lines that the tool refuses.
fn load(lab: &Lab, rules: &mut Rules) -> Result<(), String> {
    let router = lab.netns(At::Router);
    let mut last = String::new();
    for _ in 0..12 {
        let Err(error) = run(router, &rules.program, &rules.text) else { return Ok(()) };
        let number = |text: &str| {
            text.trim_start()
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|digits| digits.parse::<usize>().ok())
        };
        let line = if rules.program[0] == "nft" {
            error.split("stdin:").nth(1).and_then(number)
        } else {
            error.split("line:").nth(1).or(error.split("line ").nth(1)).and_then(number)
        };
        last = error;
        let Some(line) = line else { break };
        rules.text = rules
            .text
            .lines()
            .enumerate()
            .map(|(at, text)| if at + 1 == line && !text.starts_with("COMMIT") { "" } else { text })
            .fold(String::new(), |all, text| all + text + "\n");
    }
    Err(last)
}

fn flush(lab: &Lab, nft: bool, legacy: bool) {
    let router = lab.netns(At::Router);
    let all = [
        ("raw", "PREROUTING OUTPUT"),
        ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
        ("nat", "PREROUTING INPUT OUTPUT POSTROUTING"),
        ("filter", "INPUT FORWARD OUTPUT"),
    ];
    let mut empty = String::new();
    for (table, chains) in all {
        let _ = writeln!(empty, "*{table}");
        for chain in chains.split(' ') {
            let _ = writeln!(empty, ":{chain} ACCEPT [0:0]");
        }
        empty += "COMMIT\n";
    }
    if nft {
        run(router, &["nft", "flush", "ruleset"], "").unwrap();
    } else {
        for program in ["iptables-nft-restore", "ip6tables-nft-restore"] {
            run(router, &[program], &empty).unwrap();
        }
    }
    if legacy {
        // What another case left there; where the kernel has no legacy tables there is nothing.
        for program in ["iptables-legacy-restore", "ip6tables-legacy-restore"] {
            let _ = run(router, &[program], &empty);
        }
    }
}

fn one_case(
    lab: &Lab,
    session: &Session,
    seed: u64,
    has_nft: bool,
    was_legacy: &mut bool,
    next: &mut u32,
    count: &mut Count,
) -> bool {
    let mut dice = Dice(seed);
    let mut sets = Vec::new();
    let mut legacy = false;
    match dice.below(10) {
        0..=4 => sets.push(rules::iptables(&mut dice, false, false)),
        5 => sets.push(rules::iptables(&mut dice, true, false)),
        6 => {
            sets.push(rules::iptables(&mut dice, false, true));
            legacy = true;
        }
        // Two backends at once.
        7 if has_nft => {
            legacy = dice.percent(30);
            sets.push(rules::iptables(&mut dice, false, legacy));
            sets.push(rules::nft(&mut dice));
        }
        _ if has_nft => sets.push(rules::nft(&mut dice)),
        _ => sets.push(rules::iptables(&mut dice, false, false)),
    }
    let before = std::mem::replace(was_legacy, legacy);
    flush(lab, has_nft, legacy || before);
    for set in &mut sets {
        if let Err(error) = load(lab, set) {
            println!("seed {seed}: refused: {}", error.lines().next().unwrap_or_default());
            count.refused += 1;
        }
    }
    let v4 = sets.iter().any(|set| !set.v6 || set.program[0] == "nft");
    let v6 = sets.iter().any(|set| set.v6);
    let quiet = sets.iter().all(|set| set.quiet);
    let net = Net::of(session, &places(lab), v6);
    let shots = shots(&mut dice, v4, v6, next);
    let said: Vec<Said> = shots.iter().map(|shot| predict(&net, shot)).collect();
    let wanted = said
        .iter()
        .map(|said| match (said.request, said.reply) {
            (Fate::Pass, Fate::Pass) => 2,
            (Fate::Drop | Fate::Dies | Fate::Unknown, _) => 0,
            _ => 1,
        })
        .sum();
    let seen = lab.fire(&shots, wanted, Duration::from_millis(60));
    for (said, shot) in said.iter().zip(&shots) {
        let (mut wrong, decided) = judge(said, shot, &seen, quiet);
        if wrong.is_some() {
            // Once more, with patience: a busy machine is no reason. It is another connection, and so has another port.
            *next += 1;
            let again = Shot { token: *next, sport: u16::try_from(20000 + *next % 40000).unwrap(), ..*shot };
            let said = predict(&net, &again);
            let seen = lab.fire(&[again], 9, Duration::from_millis(400));
            wrong = judge(&said, &again, &seen, quiet).0;
            if let Some(text) = &wrong {
                let rules: Vec<&str> = sets.iter().map(|set| set.text.as_str()).collect();
                count.wrong.push(format!(
                    "seed {seed}: {again:?}\n  said {said:?}\n  but {text}\n  seen {seen:?}\n{}",
                    rules.join("\n")
                ));
            }
        }
        match (wrong, decided) {
            (Some(_), _) => {}
            (None, true) => count.agree += 1,
            (None, false) => {
                count.undecided += 1;
                if std::env::var_os("NETWRIGHT_SHOW").is_some() {
                    println!("undecided, seed {seed}: {}", said.why);
                }
            }
        }
        if decided {
            match said.request {
                Fate::Pass => count.passed += 1,
                Fate::Drop => count.dropped += 1,
                Fate::Reject => count.rejected += 1,
                Fate::Dies | Fate::Unknown => {}
            }
            let asked = (shot.src, shot.dst);
            count.translated += usize::from(
                said.request == Fate::Pass && said.arrived.is_some_and(|(src, _, dst, _)| (src, dst) != asked),
            );
        }
    }
    count.wrong.is_empty() || count.wrong.len() < 8
}

#[test]
fn the_evaluator_says_what_the_kernel_does() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let cases = number("NETWRIGHT_CASES").unwrap_or(if full { 5000 } else { 200 });
    // The same cases every time, unless asked otherwise.
    let seed = number("NETWRIGHT_SEED").unwrap_or(1);
    let has_nft = crate::exec::tools::find("nft").is_some();
    if !has_nft {
        println!("skipped: native rules of nftables, nft is not installed");
    }
    // Two at a time, each with a lab of its own.
    let half = |first: u64| {
        let (mut count, mut next, mut lab, mut was_legacy) = (Count::default(), 0, None, true);
        for (at, case) in (first..cases).step_by(2).enumerate() {
            if at % 400 == 0 {
                // A fresh lab has an empty table of connections.
                lab = Lab::new();
            }
            let Some(lab) = &lab else { return None };
            if !one_case(lab, &session(), seed.wrapping_add(case), has_nft, &mut was_legacy, &mut next, &mut count) {
                break;
            }
        }
        Some(count)
    };
    let (count, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    let (Some(mut count), Some(other)) = (count, other) else { return };
    count.agree += other.agree;
    count.undecided += other.undecided;
    count.passed += other.passed;
    count.dropped += other.dropped;
    count.rejected += other.rejected;
    count.translated += other.translated;
    count.refused += other.refused;
    count.wrong.extend(other.wrong);
    println!(
        "seed {seed}, {cases} rule sets ({} refused by their tool): agree {}, undecided {}, wrong {} (passed {}, dropped {}, refused {}, translated {})",
        count.refused,
        count.agree,
        count.undecided,
        count.wrong.len(),
        count.passed,
        count.dropped,
        count.rejected,
        count.translated
    );
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n\n"));
    // A run that decides little proves little.
    assert!(
        count.agree > count.undecided * 5
            && count.passed > 0
            && count.dropped > 0
            && count.rejected > 0
            && count.translated > 0
    );
}

/// The rule sets of programs that many machines run, and what is not judged there for a good reason.
const FIREWALLS: [(&str, &str); 5] = [
    ("docker-24.rules", ""),
    ("docker-28.rules", ""),
    ("kube-proxy.rules", "10.96.0.10"),
    ("ufw.rules", ""),
    // Its port forwarding takes bridged packets too: those are not followed.
    ("firewalld.nft", "10.3.0.3"),
];

#[test]
fn the_rules_of_docker_kubernetes_ufw_and_firewalld_are_judged_as_the_kernel_does() {
    let Some(lab) = Lab::new() else { return };
    let has_nft = crate::exec::tools::find("nft").is_some();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let mut token = 0;
    for (file, undecided) in FIREWALLS {
        let nft = !file.ends_with("rules");
        if nft && !has_nft {
            println!("skipped: {file}, nft is not installed");
            continue;
        }
        flush(&lab, has_nft, false);
        let text =
            std::fs::read_to_string(format!("{}/tests/fixtures/firewalls/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let program: &[&str] = if nft { &["nft", "-f", "-"] } else { &["iptables-nft-restore"] };
        run(lab.netns(At::Router), program, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let client = (At::Client, ip("10.1.0.2"));
        let mut flows = Vec::new();
        for dst in ["10.1.0.1", "10.2.0.2", "10.2.0.3", "10.3.0.3"] {
            let from = if dst == "10.3.0.3" { (At::Client, ip("10.3.0.2")) } else { client };
            for (proto, port) in [(1, 0), (6, 22), (6, 80), (6, 443), (6, 8080), (6, 9000), (17, 53), (17, 80)] {
                flows.push((from, ip(dst), proto, port));
            }
        }
        let hairpin = (At::Server, ip("10.2.0.2"));
        let services = [
            (client, "10.96.0.10", 17, 53),
            (client, "10.96.0.20", 6, 80),
            (client, "10.96.0.30", 6, 443),
            (client, "10.1.0.1", 6, 30080),
            (client, "10.1.0.1", 6, 30443),
            (hairpin, "10.96.0.20", 6, 80),
        ];
        flows.extend(
            services
                .iter()
                .filter(|_| file.starts_with("kube"))
                .map(|(from, dst, proto, port)| (*from, ip(dst), *proto, *port)),
        );
        for (proto, port) in [(1, 0), (6, 443), (17, 53)] {
            flows.push(((At::Server, ip("10.2.0.2")), ip("10.1.0.2"), proto, port));
            flows.push(((At::Server, ip("10.2.0.2")), ip("10.2.0.1"), proto, port));
            flows.push(((At::Router, ip("10.2.0.1")), ip("10.2.0.2"), proto, port));
        }
        if nft {
            for (proto, port) in [(58, 0), (6, 443), (6, 80), (17, 53)] {
                flows.push(((At::Client, ip("fd01::2")), ip("fd02::2"), proto, port));
                flows.push(((At::Client, ip("fd01::2")), ip("fd01::1"), proto, port));
                flows.push(((At::Server, ip("fd02::2")), ip("fd01::2"), proto, port));
            }
        }
        let net = Net::of(&session(), &places(&lab), true);
        let (mut fates, mut open) = (Vec::new(), 0);
        for ((from, src), dst, proto, dport) in flows {
            // A connection of its own for each: the kernel remembers those of the last file.
            token += 1;
            let shot = Shot { from, src, dst, proto, sport: 20000 + u16::try_from(token).unwrap(), dport, token };
            let said = predict(&net, &shot);
            let wanted = match (said.request, said.reply) {
                (Fate::Pass, Fate::Pass) => 2,
                (Fate::Drop, _) => 0,
                _ => 1,
            };
            let mut result = judge(&said, &shot, &lab.fire(&[shot], wanted, Duration::from_millis(200)), true);
            if result.0.is_some() {
                let again = Shot { sport: shot.sport + 1000, token: token + 1000, ..shot };
                result =
                    judge(&predict(&net, &again), &again, &lab.fire(&[again], 9, Duration::from_millis(500)), true);
            }
            assert_eq!(result.0, None, "{file}: {shot:?}\nsaid {said:?}");
            open += usize::from(!result.1);
            assert!(result.1 || dst.to_string() == undecided, "{file}: undecided: {shot:?}\nsaid {said:?}");
            fates.push(said.request);
        }
        let count = |fate: Fate| fates.iter().filter(|one| **one == fate).count();
        println!(
            "{file}: {} packets: passed {}, dropped {}, refused {}, undecided {open}, wrong 0",
            fates.len(),
            count(Fate::Pass),
            count(Fate::Drop),
            count(Fate::Reject)
        );
        assert!(fates.len() > 25 && count(Fate::Pass) > 3 && count(Fate::Drop) + count(Fate::Reject) > 3);
    }
}

/// Rule sets that the programs themselves wrote (`record.sh`), by the files of each, and how many of a hundred packets may be undecided:
/// rules with a rate decide by chance.
const RECORDED: [(&[&str], usize); 5] = [
    (&["ufw-0.36.rules", "ufw-0.36.rules6"], 2),
    (&["firewalld-1.3.nft"], 2),
    (&["netavark-1.4.rules"], 2),
    (&["libvirt-9.0.rules"], 2),
    (&["docker-20.10.rules"], 2),
];

#[test]
fn the_rules_that_programs_wrote_are_judged_as_the_kernel_does() {
    let has_nft = crate::exec::tools::find("nft").is_some();
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let mut dice = Dice(7);
    let mut next = 0;
    let mut wrong = Vec::new();
    for (files, most) in RECORDED {
        let nft = files[0].ends_with("nft");
        if nft && !has_nft {
            println!("skipped: {}, nft is not installed", files[0]);
            continue;
        }
        // A fresh lab has no connections and no lists.
        let Some(lab) = Lab::new() else { return };
        flush(&lab, has_nft, false);
        for file in files {
            let path = format!("{}/tests/fixtures/firewalls/recorded/{file}", env!("CARGO_MANIFEST_DIR"));
            let program: &[&str] = match file.rsplit('.').next() {
                Some("nft") => &["nft", "-f", "-"],
                Some("rules6") => &["ip6tables-nft-restore"],
                _ => &["iptables-nft-restore"],
            };
            let text = std::fs::read_to_string(path).unwrap();
            run(lab.netns(At::Router), program, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        let v6 = nft || files.len() > 1;
        let (mut agree, mut open, mut dropped, mut translated) = (0, 0, 0, 0);
        for _ in 0..if full { 100 } else { 12 } {
            let shots = shots(&mut dice, true, v6, &mut next);
            // What a rule remembers of the packets before is read anew.
            let net = Net::of(&session(), &places(&lab), v6);
            let said: Vec<Said> = shots.iter().map(|shot| predict(&net, shot)).collect();
            let seen = lab.fire(&shots, 9, Duration::from_millis(60));
            for (said, shot) in said.iter().zip(&shots) {
                let (mut fault, decided) = judge(said, shot, &seen, false);
                let mut words = String::new();
                if fault.is_some() {
                    next += 1;
                    let again = Shot { token: next, sport: u16::try_from(20000 + next % 40000).unwrap(), ..*shot };
                    let said = predict(&Net::of(&session(), &places(&lab), v6), &again);
                    let seen = lab.fire(&[again], 9, Duration::from_millis(400));
                    fault = judge(&said, &again, &seen, false).0;
                    words = format!("{again:?}\n  said {said:?}\n  seen {seen:?}");
                }
                match fault {
                    Some(text) => wrong.push(format!("{}: {words}\n  but {text}", files[0])),
                    None if decided => agree += 1,
                    None => open += 1,
                }
                let asked = (shot.src, shot.dst);
                dropped += usize::from(said.request != Fate::Pass);
                translated += usize::from(
                    said.arrived.is_some_and(|(src, _, dst, _)| (src, dst) != asked && said.request == Fate::Pass),
                );
                if !decided && std::env::var_os("NETWRIGHT_SHOW").is_some() {
                    println!("undecided: {shot:?}: {said:?}");
                }
            }
        }
        println!("{}: agree {agree}, undecided {open}, not passed {dropped}, translated {translated}", files[0]);
        assert!(open * 100 <= most * (agree + open) && dropped + translated > 0, "{}", files[0]);
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n\n"));
}
