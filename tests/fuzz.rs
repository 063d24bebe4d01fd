//! Fuzz targets: every parser of `model`, and every validator of names and addresses. cargo-fuzz wants a nightly compiler; proptest does not.
//!
//! No input panics. And none is a false success: what a parser takes from damaged output of a real tool it took whole, and what a validator
//! accepts, the kernel accepts under that very spelling.
//!
//! `cargo test --test fuzz` runs short forms, `NETWRIGHT_FULL=1` a hundred times as many cases. What is private has its targets beside it:
//! the journal (`src/session/journal.rs`), what `why` reads (`src/why/fuzz.rs`), the flight recorder (`src/why/recorder/parse.rs`).

use std::io::Write;
use std::process::{Command, Stdio};

use netwright::model::iptables_args::Invocation;
use netwright::model::{
    addr, bridge, iptables, json, link, link_kinds, messages, names, neigh, net_addr, netns, nft_drops, route, rule,
    suggest, sysctl, version,
};
use netwright::{Kind, Result};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

macro_rules! fixture {
    ($file:literal) => {
        include_str!(concat!("fixtures/", $file))
    };
}

/// What real tools printed.
const FIXTURES: &[&str] = &[
    fixture!("iproute2-6.1.0/addr.json"),
    fixture!("iproute2-6.1.0/link.json"),
    fixture!("iproute2-6.1.0/neigh.json"),
    fixture!("iproute2-6.1.0/netns-list.json"),
    fixture!("iproute2-6.1.0/route.json"),
    fixture!("iproute2-6.1.0/route6.json"),
    fixture!("iproute2-6.1.0/rule.json"),
    fixture!("iproute2-6.1.0/rule6.json"),
    fixture!("iptables-1.8.9/S-filter-nft.txt"),
    fixture!("iptables-1.8.9/S-input-counters-nft.txt"),
    fixture!("iptables-1.8.9/S-nat-nft.txt"),
    fixture!("iptables-1.8.9/save-legacy.txt"),
    fixture!("iptables-1.8.9/save-nft.txt"),
    fixture!("iptables-1.8.9/save6-nft.txt"),
    fixture!("nft-1.0.6/ruleset.json"),
];

/// Runs `check` on many texts.
fn fuzz<T: std::fmt::Debug>(
    what: &str,
    short: u32,
    texts: impl Strategy<Value = T>,
    check: impl Fn(T) -> std::result::Result<(), TestCaseError>,
) {
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let cases = if full { short * 100 } else { short };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    if let Err(error) = runner.run(&texts, check) {
        panic!("{what}: {error}");
    }
    println!("fuzz           {cases} of {cases}  {what}");
}

/// Real output with bytes cut out, doubled, moved, or others put in: the text as netwright would decode it.
fn damaged() -> impl Strategy<Value = String> {
    let put = prop_oneof![
        vec(any::<u8>(), 0..6),
        select(vec![
            "\"",
            "\\",
            "[",
            "{}",
            "-A ",
            "COMMIT\n",
            "\n",
            "*nat\n",
            ":X - [0:0]\n",
            "null",
            "-1",
            "1e400",
            "\u{0}"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let edit = (any::<Index>(), 0_usize..60, put, any::<bool>());
    (select(FIXTURES), vec(edit, 1..5)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, length, put, twice) in edits {
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            let cut: Vec<u8> = bytes.splice(from..to, put).collect();
            if twice {
                bytes.splice(from..from, cut.iter().copied().chain(cut.iter().copied()));
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Any bytes as netwright would decode them.
fn bytes() -> impl Strategy<Value = String> {
    vec(any::<u8>(), 0..600).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => damaged(), 1 => bytes(), 1 => "(?s).{0,300}"]
}

/// A refusal is named as what it is: the tool's output, not a bug of netwright's and not the user's fault.
fn refused<T>(result: Result<T>) -> std::result::Result<Option<T>, TestCaseError> {
    match result {
        Ok(read) => Ok(Some(read)),
        Err(error) => {
            prop_assert_eq!(error.kind(), Kind::ToolOutput);
            Ok(None)
        }
    }
}

/// How many records a text has: what the typed readers must find too, none dropped and none invented.
fn same_count<T>(text: &str, read: Result<Vec<T>>) -> std::result::Result<Vec<T>, TestCaseError> {
    let Some(read) = refused(read)? else { return Ok(Vec::new()) };
    prop_assert_eq!(Some(read.len()), json::records(text, "x").ok().map(|all| all.len()), "{}", text);
    Ok(read)
}

#[test]
fn what_iproute2_prints() {
    fuzz("links, addresses, routes, rules, neighbours, namespaces", 1000, texts(), |text| {
        for link in same_count(&text, link::parse(&text, "x"))? {
            let _ = (link.peer(), link.parent(), link.is_up(), link.is_loopback(), link.has_carrier());
            for option in ["stp_state", "id", "remote", "mtu", "learning", "srcport", "mode", "vlan_filtering"] {
                for kind in [link.kind().unwrap_or_default(), link_kinds::PORT.name] {
                    let _ =
                        (link_kinds::link_differs(kind, &link, option, "1"), link_kinds::shown(kind, &link, option));
                }
            }
        }
        let _ = (bridge::vlans(&text, "pa"), bridge::fdb(&text), bridge::mdb(&text));
        for addr in same_count(&text, net_addr::parse(&text, "x"))? {
            // An address that is given out is one that the text has.
            prop_assert!(addr.ipnets().count() <= addr.addr_info.len());
        }
        for route in same_count(&text, route::parse(&text, "x"))? {
            let _ = (route.next_hop(), route.is_default(), route.is_multipath(), route.kind());
            if let (Some(net), Some(dst)) = (route.destination(), &route.dst) {
                let said = dst == "default" || dst.split('/').next().is_some_and(|ip| ip.parse() == Ok(net.addr()));
                prop_assert!(said, "{dst} was read as {net}");
            }
        }
        for rule in same_count(&text, rule::parse(&text, "x"))? {
            let _ = (rule.source(), rule.destination());
        }
        for neigh in same_count(&text, neigh::parse(&text, "x"))? {
            let _ = (neigh.ip(), neigh.is_resolved(), neigh.is_failed());
        }
        same_count(&text, netns::parse(&text))?;
        Ok(())
    });
}

/// A rule set as `iptables-save -c` prints it.
fn printed(rules: &iptables::Ruleset) -> String {
    let mut lines = Vec::new();
    for table in &rules.tables {
        lines.push(format!("*{}", table.name));
        for chain in &table.chains {
            let policy = chain.policy.as_deref().unwrap_or("-");
            lines.push(format!(":{} {policy} [{}:{}]", chain.name, chain.packets, chain.bytes));
        }
        for chain in &table.chains {
            let rules = chain.rules.iter();
            lines.extend(
                rules.map(|rule| format!("[{}:{}] -A {} {}", rule.packets, rule.bytes, chain.name, rule.text())),
            );
        }
        lines.push("COMMIT".into());
    }
    lines.join("\n") + "\n"
}

#[test]
fn what_iptables_prints() {
    fuzz("iptables-save and iptables -S", 1000, texts(), |text| {
        if let Some(rules) = refused(iptables::parse_save(&text))? {
            let tables = text.lines().filter(|line| line.trim() == "COMMIT").count();
            prop_assert!(rules.tables.len() <= tables, "a table without its end");
            let chains = |rules: &iptables::Ruleset| -> Vec<(String, usize)> {
                let all = rules.tables.iter().flat_map(|table| &table.chains);
                all.map(|chain| (chain.name.clone(), chain.rules.len())).collect()
            };
            for rule in rules.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules) {
                let _ = (rule.target(), rule.protocol(), rule.source(), rule.comments().count(), rule.is_goto());
            }
            // Chains whose names need quotes are not iptables' own; they cannot be printed plainly.
            let plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte));
            let names = rules
                .tables
                .iter()
                .flat_map(|table| &table.chains)
                .flat_map(|chain| [Some(&chain.name), chain.policy.as_ref()]);
            if names.flatten().chain(rules.tables.iter().map(|table| &table.name)).all(plain) {
                let again = iptables::parse_save(&printed(&rules));
                prop_assert_eq!(again.as_ref().map(chains).ok(), Some(chains(&rules)), "{}", text);
            }
        }
        if let Some(table) = refused(iptables::parse_list("filter", &text))? {
            let lines = text.lines().filter(|line| line.trim_start().starts_with("-A")).count();
            let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
            prop_assert!(rules <= lines, "{rules} rules in {lines} lines");
        }
        Ok(())
    });
}

#[test]
fn what_other_tools_print() {
    fuzz("nft, versions, complaints, settings", 1000, texts(), |text| {
        if let Some(dropping) = refused(nft_drops::parse(&text))? {
            prop_assert!(dropping.iter().all(|chain| chain.policy || chain.rules > 0));
        }
        if let Some(found) = version::find(&text) {
            prop_assert!(text.contains(found) && !version::numbers(found).is_empty());
        }
        if let Some(date) = version::snapshot(&text) {
            prop_assert!(text.contains(&format!("{date:06}")), "{}", date);
        }
        if let Some(said) = messages::recognise(&text) {
            prop_assert!(text.contains(said.text));
        }
        let value = sysctl::parse_value(&text);
        prop_assert!(sysctl::values_equal(&value, &value) && !value.contains('\t'));
        let near = suggest::nearest(&text, ["eth0", "br0"]);
        prop_assert!(near.is_none_or(|near| ["eth0", "br0"].contains(&near)));
        Ok(())
    });
}

/// Words that a user may give to iptables.
fn words() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        4 => select(vec![
            "-A", "-I", "-D", "-R", "-C", "-P", "-N", "-X", "-E", "-F", "-Z", "-L", "-S", "INPUT", "FORWARD", "1", "0", "-t", "nat",
            "-s", "10.0.0.1", "!", "-j", "DROP", "-m", "comment", "--comment", "-p", "tcp", "--dport", "80", "-nvL", "-tnat", "-AINPUT",
            "-w", "5", "-c", "--table=nat", "--append", "-g", "--jump=X", "-i", "eth0", "", "-", "--",
        ]).prop_map(str::to_owned),
        1 => "(?s).{0,12}",
    ];
    vec(word, 0..10)
}

#[test]
fn words_for_iptables() {
    fuzz("the words of iptables", 4000, words(), |words| {
        let call = match Invocation::parse(&words) {
            Ok(call) => call,
            Err(error) => {
                prop_assert_eq!(error.kind(), Kind::InvalidArgument);
                return Ok(());
            }
        };
        // What was understood is said again, and understood in the same way.
        let again = Invocation::parse(&call.argv());
        prop_assert_eq!(again.as_ref().ok(), Some(&call), "{:?}", words);
        prop_assert!(
            call.spec.iter().all(|word| words.iter().any(|given| given.contains(word.trim_start_matches('-'))))
        );
        Ok(())
    });
}

#[test]
fn what_users_write() {
    let text = prop_oneof![
        "(?s).{0,70}",
        "[a-zA-Z0-9_.%/:-]{0,40}",
        "[0-9a-f:./]{0,45}",
        r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,3})?",
        "[0-9a-f]{1,4}(:[0-9a-f]{0,4}){2,7}(/[0-9]{1,3})?",
    ];
    fuzz("names, addresses, settings", 4000, text, |text| {
        let kind = |result: Result<()>| result.err().map_or(Kind::InvalidArgument, |error| error.kind());
        for kind in [
            kind(names::link_name(&text)),
            kind(names::netns_name(&text)),
            kind(names::chain_name(&text)),
            kind(names::alias(&text)),
        ] {
            prop_assert_eq!(kind, Kind::InvalidArgument);
        }
        if let Ok(ip) = addr::ip(&text) {
            prop_assert_eq!(addr::ip(&ip.to_string()).ok(), Some(ip));
        }
        for read in [addr::interface_addr, addr::network] {
            if let Ok(net) = read(&text) {
                prop_assert_eq!(read(&net.to_string()).ok(), Some(net));
            }
        }
        if let Ok(mac) = addr::mac(&text) {
            prop_assert_eq!(addr::mac(&mac).ok(), Some(mac));
        }
        let _ = (addr::destination(&text), text.parse::<netwright::model::Cidr>());
        if let Ok(name) = sysctl::Name::parse(&text) {
            prop_assert!(!name.slashed().split('/').any(|part| part.is_empty() || part == ".."));
            prop_assert_eq!(sysctl::Name::parse(name.slashed()).ok(), sysctl::Name::parse(&name.dotted()).ok());
        }
        Ok(())
    });
}

/// Runs a shell script in a network and mounts of its own; `None`, with the reason, where there can be none.
fn in_a_machine(script: &str, stdin: &str) -> Option<(bool, String)> {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["-U", "-r"]);
    }
    let setup = "mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && ip link set lo up";
    command.args(["-n", "-m", "--propagation", "private", "sh", "-c", &format!("{setup} || exit 99; {script}")]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unshare");
    let mut to = child.stdin.take().expect("piped");
    let text = stdin.to_owned();
    let writer = std::thread::spawn(move || to.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("waited");
    let _ = writer.join();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(99) || said.contains("unshare:") {
        println!("skipped: no machine of one's own here: {}", said.trim());
        return None;
    }
    Some((output.status.success(), said))
}

/// One or more lines for each.
fn lines(all: &[String], line: impl Fn(&String) -> String) -> String {
    all.iter().map(line).collect::<Vec<_>>().concat()
}

/// Texts that a validator accepts, each once.
fn accepted(text: impl Strategy<Value = String>, valid: impl Fn(&str) -> bool) -> Vec<String> {
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    let wanted = if full { 2000 } else { 150 };
    let mut runner = TestRunner::new(Config::default());
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..wanted * 20 {
        let text = text.new_tree(&mut runner).expect("a text").current();
        if valid(&text) {
            found.insert(text);
        }
        if found.len() == wanted {
            break;
        }
    }
    assert!(found.len() >= wanted / 3, "only {} of {wanted} were accepted", found.len());
    found.into_iter().collect()
}

#[test]
fn the_kernel_takes_every_link_name_that_is_accepted() {
    let names = accepted(
        prop_oneof![
            "[a-zA-Z0-9_.-]{1,15}",
            "[a-z]{1,6}",
            select(vec!["all", "default", "lo0", "host", "any", "a.b", "00", "1"]).prop_map(str::to_owned)
        ],
        |text| names::link_name(text).is_ok(),
    );
    let batch = lines(&names, |name| {
        format!("link add name {name} type bridge\nlink show dev {name}\nlink delete dev {name}\n")
    });
    let Some((ok, said)) = in_a_machine("ip -o -batch -", &batch) else { return };
    assert!(ok, "{said}");
    for name in &names {
        assert!(said.contains(&format!(": {name}: <")), "`{name}` became another\n{said}");
    }
}

#[test]
fn the_kernel_takes_every_address_that_is_accepted() {
    let net = prop_oneof![
        (any::<std::net::Ipv4Addr>(), 0_u8..=32).prop_map(|(ip, length)| format!("{ip}/{length}")),
        (any::<std::net::Ipv6Addr>(), 0_u8..=128).prop_map(|(ip, length)| format!("{ip}/{length}")),
        select(vec![
            "255.255.255.255/32",
            "0.0.0.1/8",
            "127.0.0.9/8",
            "::1/128",
            "fe80::1/64",
            "::ffff:1.2.3.4/96",
            "2001:db8::/64"
        ])
        .prop_map(str::to_owned),
    ];
    let addrs = accepted(net, |text| addr::interface_addr(text).is_ok());
    let batch = lines(&addrs, |addr| {
        format!("address replace {addr} dev lo\naddress show to {addr} dev lo\naddress delete {addr} dev lo\n")
    });
    let Some((ok, said)) = in_a_machine("ip -o -batch -", &batch) else { return };
    assert!(ok, "{said}");
    for addr in &addrs {
        assert!(said.contains(&format!(" {addr} ")), "{addr} became another\n{said}");
    }
    let macs = accepted("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", |text| addr::mac(text).is_ok());
    let set = |mac: &String| format!("link set dev x address {mac}\nlink show dev x\n");
    let batch = format!("link add name x type bridge\n{}", lines(&macs, set));
    let Some((ok, said)) = in_a_machine("ip -o -batch -", &batch) else { return };
    assert!(ok && macs.iter().all(|mac| said.contains(&mac.to_lowercase())), "{said}");
}

#[test]
fn the_tools_take_every_name_of_a_namespace_or_chain_that_is_accepted() {
    let namespaces = accepted("[a-zA-Z0-9_.-]{1,64}", |text| names::netns_name(text).is_ok());
    let namespaces = &namespaces[..namespaces.len().min(200)];
    let batch = lines(namespaces, |name| format!("netns add {name}\n"));
    let Some((ok, said)) = in_a_machine("ip -batch - && ls /run/netns", &batch) else { return };
    let listed: Vec<&str> = said.lines().collect();
    assert!(ok && namespaces.iter().all(|name| listed.contains(&name.as_str())), "{said}");

    let chains = accepted("[!-~]{1,28}", |text| names::chain_name(text).is_ok());
    // One call of iptables each, so not too many.
    let chains = &chains[..chains.len().min(150)];
    let calls = lines(chains, |chain| format!("iptables -w 5 -N '{chain}' || exit 1\n"));
    let Some((ok, said)) = in_a_machine("sh && iptables -w 5 -S", &calls) else { return };
    assert!(ok, "{said}");
    let table = iptables::parse_list("filter", &said).expect("a list");
    for chain in chains {
        assert!(table.chain(chain).is_some(), "{chain} became another\n{said}");
    }
}
