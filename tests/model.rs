//! `model` reads what this iproute2 and iptables really print (`fixtures/`), and no input whatever makes it panic.

use netwright::Kind;
use netwright::model::iptables::{self, Operand};
use netwright::model::iptables_args::{Command, Invocation, RuleRef};
use netwright::model::{
    Cidr, Link, Peer, addr, json, link, link_kinds, names, neigh, net_addr, netns, route, rule, sysctl,
};
use proptest::prelude::*;

macro_rules! ip_json {
    ($file:literal) => {
        include_str!(concat!("fixtures/iproute2-6.1.0/", $file))
    };
}
macro_rules! ipt {
    ($file:literal) => {
        include_str!(concat!("fixtures/iptables-1.8.9/", $file))
    };
}

fn links() -> Vec<Link> {
    link::parse(ip_json!("link.json"), "links").unwrap()
}

fn named(name: &str) -> Link {
    links().into_iter().find(|link| link.ifname == name).unwrap()
}

fn words(text: &str) -> Vec<String> {
    shlex::split(text).unwrap()
}

fn args(text: &str) -> Invocation {
    Invocation::parse(&words(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hints<T: std::fmt::Debug>(result: netwright::Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    format!("{error}; {}", error.parts().hints.join("; "))
}

#[test]
fn the_reader_takes_what_iproute2_calls_json() {
    for empty in [
        "",
        " \n",
        "[",
        "[ \n",
        "[]",
        "[{}]",
        "[{},{}]",
        ip_json!("route-missing-table.json"),
        ip_json!("link-none.json"),
    ] {
        assert!(json::records(empty, "x").unwrap().is_empty(), "{empty}");
    }
    assert_eq!(json::records(r#"{"a":1}"#, "x").unwrap().len(), 1);
    assert_eq!(json::records("[{\"a\":1}]\n[{\"a\":2},{}]\n", "x").unwrap().len(), 2);
    for garbage in ["[[", "nonsense\u{1b}[31m", "[1]", "7", "null", "[{\"a\":1}", "[{\"a\":1}] x", "[{\"a\":1}][", "]"]
    {
        let error = json::records(garbage, "links of `red`").unwrap_err();
        assert_eq!(error.kind(), Kind::ToolOutput);
        assert!(error.to_string().contains("links of `red`"), "{error}");
        assert!(!error.parts().notes[0].1.contains('\u{1b}'));
    }
    let long = "x".repeat(1000);
    assert!(json::records(&long, "x").unwrap_err().parts().notes[0].1.chars().count() <= 81);
    assert!(json::records(&"[".repeat(100_000), "x").is_err());
}

#[test]
fn a_known_key_of_another_type_is_an_error() {
    let error = link::parse(r#"[{"ifname":"a"},{"ifname":7}]"#, "links").unwrap_err();
    assert_eq!(error.kind(), Kind::ToolOutput);
    assert!(error.to_string().contains("record 2"), "{error}");
}

#[test]
fn links_of_all_kinds() {
    assert_eq!(links().len(), 12);
    let lo = named("lo");
    assert!(lo.is_loopback() && lo.is_up() && lo.kind().is_none() && lo.peer().is_none());
    let v0 = named("v0");
    assert_eq!((v0.kind(), v0.slave_kind(), v0.master.as_deref()), (Some("veth"), Some("bridge"), Some("br0")));
    assert_eq!(v0.peer(), Some(Peer::Here("v1".into())));
    assert_eq!((v0.mtu, v0.altnames.as_slice()), (Some(1400), &["nw-v0-alt".to_owned()][..]));
    assert_eq!(v0.ifalias.as_deref(), Some("netwright: run 1 \"quoted\""));
    assert!(v0.has_carrier() && v0.stats64.is_some());
    let r0 = named("r0");
    assert_eq!(r0.peer(), Some(Peer::Elsewhere { ifindex: 2, netnsid: Some(7) }));
    assert_eq!(r0.peer_index(), Some(2));
    assert!(r0.is_up() && !r0.has_carrier());
    // The kernel has the carrier before it has updated the operational state, from which iproute2 makes `NO-CARRIER`.
    let late = link::parse(r#"[{"ifname":"x","flags":["NO-CARRIER","BROADCAST","UP","LOWER_UP"]}]"#, "links").unwrap();
    assert!(late[0].has_carrier());
    assert_eq!((named("mv0").parent(), named("mv0").kind()), (Some("v1"), Some("macvlan")));
    assert_eq!(named("mt0").kind(), Some("macvtap"));
    assert_eq!(named("ifb0").kind(), Some("ifb"));
    assert_eq!(named("br0").linkinfo.info_data.as_ref().unwrap()["stp_state"], 1);
    assert_eq!(v0.linkinfo.info_slave_data.as_ref().unwrap()["hairpin"], true);
    assert_eq!(v0.raw()["qdisc"], "noqueue");
    assert_eq!(link::parse(ip_json!("link-plain.json"), "x").unwrap().len(), 12);
    assert_eq!(link::parse(ip_json!("link-filtered.json"), "x").unwrap()[0].ifname, "br0");
    assert_eq!(link::parse(ip_json!("link-red.json"), "x").unwrap()[1].peer_index(), Some(5));
}

#[test]
fn addresses_of_both_families() {
    let all = net_addr::parse(ip_json!("addr.json"), "addresses").unwrap();
    let on = |name: &str| all.iter().find(|addr| addr.ifname == name).unwrap();
    let v1: Vec<_> = on("v1").ipnets().map(|net| net.to_string()).collect();
    assert_eq!(v1[..3], ["10.9.0.1/24", "10.8.0.1/32", "10.9.0.9/24"]);
    assert!(v1.contains(&"2001:db8::1/64".to_owned()));
    let info = &on("v1").addr_info;
    assert_eq!(info[0].label.as_deref(), Some("v1:1"));
    assert!(info[0].is_permanent() && info[0].peer().is_none());
    assert_eq!(info[1].peer().unwrap().to_string(), "10.8.0.2");
    assert!(info[2].dynamic && info[2].secondary && !info[2].is_permanent());
    assert_eq!((info[2].valid_life_time, info[2].preferred_life_time), (Some(3600), Some(1800)));
    assert!(on("t0").addr_info.iter().all(|info| info.tentative && info.valid_life_time == Some(net_addr::FOREVER)));
    assert!(net_addr::parse(ip_json!("addr-none.json"), "x").unwrap().is_empty());
    assert_eq!(net_addr::parse(ip_json!("addr-filtered.json"), "x").unwrap().len(), 2);
}

#[test]
fn routes_of_all_shapes() {
    let all = route::parse(ip_json!("route.json"), "routes").unwrap();
    let to =
        |net: &str| all.iter().find(|route| route.destination().is_some_and(|have| have.to_string() == net)).unwrap();
    assert!(all.iter().all(|route| route.destination().is_some()));
    assert_eq!(to("0.0.0.0/0").next_hop().unwrap().to_string(), "10.9.0.254");
    assert_eq!(to("::/0").gateway.as_deref(), Some("2001:db8::fe"));
    assert!(to("::/0").is_default() && to("::/0").is_ipv6());
    assert_eq!(to("10.1.0.0/16").nexthops[0].weight, Some(3));
    assert!(to("10.1.0.0/16").is_multipath() && to("2001:db8:2::/48").is_multipath());
    assert_eq!(to("10.2.0.0/16").kind(), "blackhole");
    assert_eq!((to("10.3.0.0/16").kind(), to("10.3.0.0/16").metric), ("unreachable", Some(9)));
    assert_eq!(to("10.4.0.1/32").kind(), "prohibit");
    assert_eq!(to("10.5.0.0/16").via.as_ref().unwrap().family, "inet6");
    assert_eq!(to("10.5.0.0/16").next_hop().unwrap().to_string(), "2001:db8::9");
    assert!(!to("10.5.0.0/16").is_ipv6());
    assert_eq!(to("10.6.0.0/16").metrics[0]["mtu"], 1300);
    assert_eq!(to("10.6.0.0/16").prefsrc.as_deref(), Some("10.9.0.9"));
    assert_eq!((to("10.7.0.0/16").table.as_deref(), to("10.7.0.0/16").scope.as_deref()), (Some("100"), Some("link")));
    assert_eq!(to("10.10.0.0/16").nhid, Some(1));
    assert_eq!(all.iter().filter(|route| route.is_default()).count(), 3);
    assert_eq!(route::parse(ip_json!("route-get.json"), "x").unwrap()[0].prefsrc.as_deref(), Some("10.9.0.1"));
    assert_eq!(route::parse(ip_json!("route-main.json"), "x").unwrap()[0].kind(), "unicast");
    assert!(route::parse(ip_json!("route6.json"), "x").unwrap().iter().all(netwright::model::Route::is_ipv6));
    assert_eq!(route::parse(ip_json!("route-red.json"), "x").unwrap().len(), 1);
}

#[test]
fn rules_neighbours_and_namespaces() {
    let rules = rule::parse(ip_json!("rule.json"), "rules").unwrap();
    let at = |priority| rules.iter().find(|rule| rule.priority == priority).unwrap();
    assert_eq!((at(0).source(), at(0).table.as_deref()), (None, Some("local")));
    assert_eq!(at(1000).source().unwrap().to_string(), "10.0.0.0/24");
    assert!(at(1001).not && !at(1000).not);
    assert_eq!(at(1001).destination().unwrap().to_string(), "10.2.0.0/16");
    assert_eq!(
        (at(1001).fwmark.as_deref(), at(1001).fwmask.as_deref(), at(1001).iif.as_deref()),
        (Some("0x1"), Some("0xff"), Some("v1"))
    );
    assert_eq!((at(1002).action.as_deref(), at(1002).table.as_deref()), (Some("blackhole"), None));
    assert_eq!((at(1003).ipproto.as_deref(), at(1003).raw()["dport"].as_u64()), (Some("tcp"), Some(80)));
    assert_eq!(rule::parse(ip_json!("rule6.json"), "x").unwrap()[1].source().unwrap().to_string(), "2001:db8::/32");

    let neighbours = neigh::parse(ip_json!("neigh.json"), "x").unwrap();
    let of = |ip: &str| neighbours.iter().find(|neigh| neigh.dst.as_deref() == Some(ip)).unwrap();
    assert!(of("10.9.0.2").is("PERMANENT") && of("10.9.0.2").is_resolved() && !of("10.9.0.2").router);
    assert!(of("2001:db8::2").router && of("2001:db8::2").ip().unwrap().is_ipv6());
    assert!(neigh::parse(ip_json!("neigh-proxy.json"), "x").unwrap()[0].proxy);
    assert!(neigh::parse(ip_json!("neigh-red.json"), "x").unwrap()[0].is_failed());

    let names = netns::parse(ip_json!("netns-list.json")).unwrap();
    assert!(names.iter().any(|entry| entry.name == "red" && entry.id == Some(7)));
    assert!(names.iter().any(|entry| entry.name == "a.b_c-d" && entry.id.is_none()));
    assert!(netns::parse(ip_json!("netns-list-empty.json")).unwrap().is_empty());
}

#[test]
fn iptables_save_of_a_docker_host() {
    for save in [ipt!("save-nft.txt"), ipt!("save-legacy.txt"), ipt!("save-both.txt")] {
        let rules = iptables::parse_save(save).unwrap();
        assert_eq!(rules.tables.len(), 2);
        let forward = rules.chain("filter", "FORWARD").unwrap();
        assert_eq!((forward.policy.as_deref(), forward.rules.len()), (Some("DROP"), 6));
        assert_eq!(rules.chain("filter", "DOCKER").unwrap().policy, None);
        let rule = &forward.rules[4];
        assert_eq!((rule.number, rule.target()), (5, Some("ACCEPT")));
        assert_eq!(rule.in_interface(), Some(Operand { value: "docker0", not: false }));
        assert_eq!(rule.out_interface(), Some(Operand { value: "docker0", not: true }));
        let nat = &rules.chain("nat", "POSTROUTING").unwrap().rules[0];
        assert_eq!((nat.target(), nat.source().unwrap().value), (Some("MASQUERADE"), "172.17.0.0/16"));
        let lo = &rules.chain("filter", "INPUT").unwrap().rules[0];
        assert!(lo.packets >= 3 && lo.bytes > 0);
        let odd = &rules.chain("filter", "ODD").unwrap().rules;
        let comments: Vec<_> = odd.iter().filter_map(|rule| rule.comment()).collect();
        let expected = [
            "a \"b\" c\\d",
            "it's `here` $x",
            "",
            "plain",
            "-j DROP",
            "grüße\ttab",
            "netwright:1a2b",
            "two\nlines",
            "one",
        ];
        assert_eq!(comments, expected);
        assert_eq!(odd[4].target(), Some("ACCEPT"));
        assert!(odd[6].is_goto() && odd[6].target() == Some("DOCKER-USER"));
        assert_eq!(odd[8].comments().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(odd[9].option(&["--log-prefix"]).unwrap().value, "dropped \"x\": ");
        assert!(odd.iter().any(|rule| rule.protocol() == Some(Operand { value: "tcp", not: true })));
        // What is printed is given back exactly.
        for table in &rules.tables {
            for chain in &table.chains {
                for rule in &chain.rules {
                    assert!(save.contains(&format!("] -A {} {}\n", chain.name, rule.text())), "{}", rule.text());
                }
            }
        }
    }
    assert_eq!(iptables::parse_save(ipt!("save6-nft.txt")).unwrap().tables[0].name, "nat");
    assert!(iptables::parse_save(ipt!("save-both.stderr.txt")).unwrap().tables.is_empty());
}

#[test]
fn iptables_list_of_rules() {
    let nft = iptables::parse_list("filter", ipt!("S-filter-nft.txt")).unwrap();
    assert_eq!(nft, iptables::parse_list("filter", ipt!("S-filter-legacy.txt")).unwrap());
    let saved = iptables::parse_save(ipt!("save-nft.txt")).unwrap();
    for chain in &saved.table("filter").unwrap().chains {
        let listed: Vec<_> = nft.chain(&chain.name).unwrap().rules.iter().map(|rule| &rule.words).collect();
        assert_eq!(listed, chain.rules.iter().map(|rule| &rule.words).collect::<Vec<_>>());
    }
    assert_eq!(iptables::parse_list("nat", ipt!("S-nat-nft.txt")).unwrap().chain("DOCKER").unwrap().rules.len(), 2);
    let counted = iptables::parse_list("filter", ipt!("S-input-counters-nft.txt")).unwrap();
    let rule = &counted.chain("INPUT").unwrap().rules[0];
    assert!(rule.packets >= 3);
    assert_eq!(rule.text(), "-i lo -j ACCEPT");
    assert!(iptables::parse_list("filter", ipt!("S-warning.stderr.txt")).unwrap().chains.is_empty());
}

#[test]
fn iptables_garbage_is_named() {
    for garbage in [
        "*filter\n",
        "COMMIT\n",
        "*filter\n[1:] -A X\nCOMMIT\n",
        "*filter\n:X\nCOMMIT",
        "*filter\n-A X --comment \"a\nCOMMIT\n",
        "hello",
    ] {
        let error = iptables::parse_save(garbage).unwrap_err();
        assert_eq!(error.kind(), Kind::ToolOutput, "{garbage}");
    }
    assert!(iptables::parse_list("nat", "-P INPUT\n").unwrap_err().to_string().contains("line 1"));
}

#[test]
fn iptables_words_in_all_forms() {
    for text in [
        "-t nat -A POSTROUTING -o eth0 -j MASQUERADE",
        "-tnat -APOSTROUTING -o eth0 -j MASQUERADE",
        "--table=nat --append POSTROUTING -o eth0 -j MASQUERADE",
        "-w 5 -A POSTROUTING -o eth0 -j MASQUERADE --table nat",
    ] {
        let call = args(text);
        assert_eq!(call.argv().join(" "), "-t nat -A POSTROUTING -o eth0 -j MASQUERADE", "{text}");
        assert_eq!(call.check_argv().unwrap().join(" "), "-t nat -C POSTROUTING -o eth0 -j MASQUERADE");
        assert_eq!(call.delete_argv().unwrap().join(" "), "-t nat -D POSTROUTING -o eth0 -j MASQUERADE");
        assert_eq!(call.insert_argv(2).unwrap().join(" "), "-t nat -I POSTROUTING 2 -o eth0 -j MASQUERADE");
    }
    assert_eq!(args("-I INPUT -s 10.0.0.1 -j DROP").command, Command::Insert { chain: "INPUT".into(), position: 1 });
    assert_eq!(args("-I INPUT 3 -j DROP").command, Command::Insert { chain: "INPUT".into(), position: 3 });
    assert_eq!(args("-D INPUT 3").command, Command::Delete { chain: "INPUT".into(), rule: RuleRef::Number(3) });
    assert_eq!(args("-D INPUT ! -i lo -j DROP").spec.join(" "), "! -i lo -j DROP");
    assert_eq!(args("-P FORWARD DROP").command, Command::Policy { chain: "FORWARD".into(), target: "DROP".into() });
    assert_eq!(args("-nvL INPUT").command, Command::List { chain: Some("INPUT".into()), number: None });
    assert_eq!(args("-nvL INPUT").argv().join(" "), "-n -v -t filter -L INPUT");
    assert_eq!(args("-F").command, Command::Flush { chain: None });
    assert_eq!(args("-S INPUT 2").command, Command::ListRules { chain: Some("INPUT".into()), number: Some(2) });
    assert_eq!(args("-E a b").command, Command::RenameChain { from: "a".into(), to: "b".into() });
    assert_eq!(args("-R INPUT 1 -j DROP").command, Command::Replace { chain: "INPUT".into(), position: 1 });
    assert_eq!(args("-A INPUT -m comment --comment '-D X' -j DROP").spec[3], "-D X");
    assert_eq!(args("-A INPUT -p tcp --tcp-flags SYN,ACK SYN -j DROP").spec.len(), 7);
    assert_eq!(args("-A X -jDROP").target(), Some("DROP"));
    assert_eq!(args("-A X --jump=DROP").target(), Some("DROP"));
    assert_eq!(args("-A X -c 1 2 -j DROP").target(), Some("DROP"));
}

#[test]
fn the_mark_stands_before_the_target() {
    let marked = |text: &str| args(text).with_comment("m").spec.join(" ");
    assert_eq!(marked("-A X -p tcp -j DNAT --to 1.2.3.4"), "-p tcp -m comment --comment m -j DNAT --to 1.2.3.4");
    assert_eq!(marked("-A X -s 10.0.0.1"), "-s 10.0.0.1 -m comment --comment m");
    assert_eq!(marked("-A X -m comment --comment -j -jDROP"), "-m comment --comment -j -m comment --comment m -jDROP");
    assert_eq!(marked("-A X --goto Y"), "-m comment --comment m --goto Y");
    assert_eq!(args("-A X -j DROP").with_comment("m").target(), Some("DROP"));
    assert!(args("-A X -j DROP").with_comment("a b").text().contains("--comment \"a b\" -j DROP"));
}

#[test]
fn wrong_iptables_words_say_what_is_missing() {
    for (text, said) in [
        ("", "no iptables command"),
        ("-s 10.0.0.1 -j DROP", "no iptables command"),
        ("-A INPUT -D INPUT", "second command"),
        ("-A", "needs the name of a chain"),
        ("-A -s 10.0.0.1", "needs the name of a chain"),
        ("iptables -A INPUT", "leave the program's name out"),
        ("-t nut -A INPUT", "no table `nut`"),
        ("-A INPUT -j", "needs a value"),
        ("-A INPUT -j DROP -j ACCEPT", "second target"),
        ("-P INPUT", "needs a policy"),
        ("-R INPUT -j DROP", "needs the number"),
        ("-I INPUT zero -j DROP", "not the number of a rule"),
        ("-I INPUT 0 -j DROP", "not the number of a rule"),
        ("-A INPUT !", "nothing follows"),
        ("-A AN-EXTREMELY-LONG-CHAIN-NAME-X -j DROP", "28"),
        ("-P INPUT DROP -s 10.0.0.1", "takes no rule"),
        ("-A INPUT -s 10.0.0.1 stray", "does not expect"),
    ] {
        let got = hints(Invocation::parse(&words(text)));
        assert!(got.contains(said), "{text}: {got}");
    }
}

#[test]
fn names() {
    for good in ["eth0", "veth-blue", "eth0.100", "a", "br_1", "012345678901234", "lo"] {
        names::link_name(good).unwrap();
    }
    for (bad, said) in [
        ("a-name-that-is-far-too-long", "`a-name-that-is-`"),
        ("a%d", "pattern"),
        ("-x", "`x`"),
        (".x", "starts with `.`"),
        ("..", "starts with `.`"),
        ("dev", "`dev0`"),
        ("type", "`type0`"),
        ("all", "`all0`"),
        ("../x", "'/'"),
        ("a b", "' '"),
        ("a\nb", "'\\n'"),
        ("é", "`eth0`"),
        ("", "empty"),
    ] {
        let got = hints(names::link_name(bad));
        assert!(got.contains(said), "{bad}: {got}");
    }
    names::netns_name(&"n".repeat(64)).unwrap();
    for bad in ["host", "-all", "--", "a/b", "", ".", "..", "a b", "a\nb", &"n".repeat(65)] {
        hints(names::netns_name(bad));
    }
    names::chain_name("DOCKER-ISOLATION-STAGE-1").unwrap();
    for bad in ["", "-x", "!x", "a b", &"c".repeat(29)] {
        hints(names::chain_name(bad));
    }
    names::alias("netwright: run 1").unwrap();
    hints(names::alias("a\nb"));
}

#[test]
fn addresses() {
    for good in ["10.0.0.1/24", "10.0.0.1/32", "2001:db8::1/64", "fe80::1/10", "::1/128", "10.0.0.0/0"] {
        assert_eq!(addr::interface_addr(good).unwrap().to_string(), good);
    }
    for (bad, said) in [
        ("10.0.0.1", "`10.0.0.1/24`"),
        ("2001:db8::1", "`2001:db8::1/64`"),
        ("1.2.3/24", "four numbers"),
        ("10.0.0.1/33", "0 to 32"),
        ("2001:db8::1/129", "0 to 128"),
        ("300.0.0.1/24", "0 to 255"),
        ("010.0.0.1/24", "octal"),
        ("10.0.0.1/024", "0 to 32"),
        ("10.0.0.1/+4", "0 to 32"),
        ("10.0.0.1/", "0 to 32"),
        ("", "empty"),
        (" 10.0.0.1/24", "spaces"),
        ("fe80::1%eth0/64", "zone"),
        ("0.0.0.0/0", "no address"),
        ("224.0.0.1/4", "multicast"),
        ("hello", "neither"),
    ] {
        let got = hints(addr::interface_addr(bad));
        assert!(got.contains(said), "{bad}: {got}");
    }
    assert_eq!(addr::network("10.1.0.0/16").unwrap().to_string(), "10.1.0.0/16");
    assert!(hints(addr::network("10.1.2.3/16")).contains("`10.1.0.0/16`"));
    assert!(hints(addr::network("10.1.2.3")).contains("`10.1.2.3/32`"));
    hints(addr::network("default"));
    assert_eq!(addr::destination("default").unwrap(), addr::Destination::Default);
    assert_eq!(addr::destination("10.1.2.3").unwrap(), addr::Destination::Net("10.1.2.3/32".parse().unwrap()));
    assert!(hints(addr::ip("10.0.0.1/24")).contains("`10.0.0.1`"));
    assert_eq!(addr::mac("02:00:00:00:00:AB").unwrap(), "02:00:00:00:00:ab");
    for bad in
        ["", "02:00:00:00:00", "01:00:00:00:00:01", "00:00:00:00:00:00", "02-00-00-00-00-01", "0g:00:00:00:00:01"]
    {
        hints(addr::mac(bad));
    }
}

#[test]
fn cidr_arithmetic() {
    let net: Cidr = "10.0.0.0/24".parse().unwrap();
    assert_eq!(net.host(1).unwrap().to_string(), "10.0.0.1/24");
    assert_eq!(net.host(255).unwrap().to_string(), "10.0.0.255/24");
    assert!(hints(net.host(256)).contains("from 0 to 255"));
    hints(net.host(-1));
    assert_eq!(net.host(7).unwrap().host(1).unwrap().to_string(), "10.0.0.1/24");
    assert!(
        net.contains("10.0.0.7").unwrap()
            && net.contains("10.0.0.9/25").unwrap()
            && !net.contains("10.0.0.0/23").unwrap()
    );
    assert!(!net.contains("2001:db8::1").unwrap());
    hints(net.contains("nonsense"));
    assert_eq!(net.subnets(26).unwrap()[3].to_string(), "10.0.0.192/26");
    hints(net.subnets(23));
    hints(net.subnets(33));
    let six: Cidr = "2001:db8::/32".parse().unwrap();
    assert_eq!(six.subnets(48).unwrap().len(), 65_536);
    assert!(hints(six.subnets(49)).contains("more than 65536"));
    hints(six.host(i128::MAX));
    let all: Cidr = "::/0".parse().unwrap();
    assert_eq!(all.host(i128::MAX).unwrap().prefix(), 0);
    assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().host(0xffff_ffff).unwrap().ip().to_string(), "255.255.255.255");
    assert!(hints("10.0.0.1".parse::<Cidr>()).contains("`10.0.0.1/24`"));
    assert_eq!("10.0.0.7/24".parse::<Cidr>().unwrap().network().to_string(), "10.0.0.0/24");
}

#[test]
fn sysctls() {
    let name = sysctl::Name::parse("net.ipv4.ip_forward").unwrap();
    assert_eq!((name.slashed(), name.dotted().as_str()), ("net/ipv4/ip_forward", "net.ipv4.ip_forward"));
    for text in ["net/ipv4/conf/eth0.100/forwarding", "net.ipv4.conf.eth0/100.forwarding"] {
        let name = sysctl::Name::parse(text).unwrap();
        assert_eq!(name.slashed(), "net/ipv4/conf/eth0.100/forwarding");
        assert_eq!(name.to_string(), "net.ipv4.conf.eth0/100.forwarding");
    }
    for bad in [
        "",
        "net",
        "-w.x",
        "net..x",
        "net/../x",
        "/net/x",
        "net/ipv4/",
        "net ipv4",
        "net.ipv4.é",
        "net.ipv4=1",
        "a.//.b",
    ] {
        hints(sysctl::Name::parse(bad));
    }
    assert_eq!(sysctl::parse_value("4096\t131072\t6291456\n"), "4096 131072 6291456");
    assert!(
        sysctl::values_equal("1 02", "01\t2\n") && !sysctl::values_equal("1", "1 1") && !sysctl::values_equal("a", "b")
    );
}

#[test]
fn link_options_to_words() {
    let argv = |kind: &str, options: &[(&str, &str)]| link_kinds::argv(kind, options).map(|words| words.join(" "));
    assert_eq!(argv("bridge", &[("stp_state", "true"), ("mtu", "1400")]).unwrap(), "mtu 1400 type bridge stp_state 1");
    assert_eq!(
        argv("vlan", &[("link", "eth0"), ("id", "10"), ("gvrp", "1")]).unwrap(),
        "link eth0 type vlan id 10 gvrp on"
    );
    assert_eq!(
        argv(
            "vxlan",
            &[("id", "42"), ("learning", "false"), ("gbp", "true"), ("gpe", "false"), ("srcport", "100-200")]
        )
        .unwrap(),
        "type vxlan id 42 nolearning gbp srcport 100 200"
    );
    assert_eq!(argv("dummy", &[]).unwrap(), "type dummy");
    assert!(hints(argv("brige", &[])).contains("did you mean `bridge`?"));
    let got = hints(argv("vxlan", &[("dstprt", "1")]));
    assert!(got.contains("did you mean `dstport`?") && got.contains("options: id, remote"), "{got}");
    assert!(hints(argv("vlan", &[("link", "eth0")])).contains("needs the option `id`"));
    assert!(hints(argv("vxlan", &[("id", "16777216")])).contains("0 to 16777215"));
    assert!(hints(argv("macvlan", &[("link", "eth0"), ("mode", "brigde")])).contains("one of private"));
    hints(argv("vxlan", &[("id", "1"), ("id", "2")]));
    hints(argv("vxlan", &[("remote", "1.2.3")]));
    hints(argv("vxlan", &[("dev", "-x")]));
    hints(argv("bridge", &[("link", "eth0")]));
    assert_eq!(
        link_kinds::change_argv("bridge", &[("stp_state", "0"), ("mtu", "1400")]).unwrap().join(" "),
        "mtu 1400 type bridge stp_state 0"
    );
    assert_eq!(link_kinds::change_argv("vxlan", &[("id", "7")]).unwrap_err().kind(), Kind::Unsupported);
    for kind in link_kinds::KINDS {
        for required in kind.required {
            link_kinds::option(kind.name, required).unwrap();
        }
    }
}

#[test]
fn link_options_compared_with_the_kernel() {
    let differs = |link: &str, name: &str, value: &str| {
        let link = named(link);
        link_kinds::link_differs(link.kind()?, &link, name, value)
    };
    for (link, name, value) in [
        ("br0", "stp_state", "true"),
        ("br0", "priority", "4096"),
        ("br0", "ageing_time", "20001"),
        ("br0", "group_fwd_mask", "0"),
        ("vx0", "id", "42"),
        ("vx0", "dstport", "4789"),
        ("vx0", "remote", "10.9.0.2"),
        ("vx0", "dev", "v1"),
        ("vx0", "ttl", "5"),
        ("vx0", "learning", "false"),
        ("vx0", "proxy", "off"),
        ("vx6", "remote", "2001:db8:0::2"),
        ("vx6", "local", "2001:db8::1"),
        ("vxg", "group", "239.1.1.1"),
        ("vxe", "external", "true"),
        ("vx0", "srcport", "0-0"),
        ("mv0", "mode", "bridge"),
        ("mv0", "link", "v1"),
        ("v0", "mtu", "1400"),
        ("v0", "address", "02:00:00:00:00:01"),
        ("vxe", "remote", "any"),
    ] {
        assert_eq!(differs(link, name, value), Some(false), "{link} {name} {value}");
    }
    for (link, name, value) in [
        ("br0", "stp_state", "0"),
        ("br0", "ageing_time", "30000"),
        ("vx0", "id", "43"),
        ("vx0", "remote", "10.9.0.3"),
        ("vx0", "dev", "v0"),
        ("vx0", "l2miss", "true"),
        ("vxe", "remote", "10.0.0.1"),
        ("mv0", "mode", "vepa"),
        ("v0", "mtu", "1500"),
    ] {
        assert_eq!(differs(link, name, value), Some(true), "{link} {name} {value}");
    }
    for (link, name, value) in [
        ("vx0", "ttl", "inherit"),
        ("br0", "vlan_protocol", "802.1ad"),
        ("br0", "nonsense", "1"),
        ("br0", "stp_state", "x"),
        ("lo", "mtu", "1"),
    ] {
        assert_eq!(differs(link, name, value), None, "{link} {name} {value}");
    }
    let vlan = serde_json::json!({"protocol": "802.1Q", "id": 10, "flags": ["REORDER_HDR"]});
    assert_eq!(link_kinds::differs("vlan", &vlan, "reorder_hdr", "on"), Some(false));
    assert_eq!(link_kinds::differs("vlan", &vlan, "gvrp", "on"), Some(true));
    let gre = serde_json::json!({"remote": "any", "ikey": "0.0.0.7", "pmtudisc": true});
    assert_eq!(link_kinds::differs("gre", &gre, "key", "7"), Some(false));
    assert_eq!(link_kinds::differs("gre", &gre, "remote", "any"), Some(false));
}

/// A fixture with some bytes cut out, doubled or replaced.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, ".{0,4}"), 1..4).prop_map(move |cuts| {
        let mut chars: Vec<char> = text.chars().take(20_000).collect();
        for (at, len, insert) in cuts {
            let at = at.index(chars.len() + 1);
            let end = (at + len).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        chars.into_iter().collect()
    })
}

fn read_everything(text: &str) {
    for link in link::parse(text, "x").into_iter().flatten() {
        let _ = (link.peer(), link.parent(), link.is_up());
        for option in ["stp_state", "id", "remote", "mtu", "learning", "srcport"] {
            let _ = link_kinds::link_differs(link.kind().unwrap_or_default(), &link, option, "1");
        }
    }
    for addr in net_addr::parse(text, "x").into_iter().flatten() {
        let _ = (
            addr.ipnets().count(),
            addr.addr_info.iter().filter(|info| info.peer().is_some() || info.is_permanent()).count(),
        );
    }
    for route in route::parse(text, "x").into_iter().flatten() {
        let _ = (route.destination(), route.next_hop(), route.is_default());
    }
    for rule in rule::parse(text, "x").into_iter().flatten() {
        let _ = (rule.source(), rule.destination());
    }
    let _ = (neigh::parse(text, "x"), netns::parse(text));
    let _ = (iptables::parse_list("filter", text), sysctl::parse_value(text), sysctl::values_equal(text, text));
    for table in iptables::parse_save(text).into_iter().flat_map(|rules| rules.tables) {
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            let _ = (rule.target(), rule.protocol(), rule.comments().count(), rule.text());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        read_everything(&text);
    }

    #[test]
    fn damaged_output_is_read_or_refused(
        text in prop_oneof![
            mutated(ip_json!("link.json")), mutated(ip_json!("addr.json")), mutated(ip_json!("route-main.json")), mutated(ip_json!("rule.json")),
            mutated(ip_json!("neigh.json")), mutated(ipt!("save-nft.txt")), mutated(ipt!("S-filter-nft.txt")), mutated(ipt!("S-input-counters-nft.txt")),
        ]
    ) {
        read_everything(&text);
    }

    #[test]
    fn accepted_link_names_keep_the_grammar(name in prop_oneof!["(?s).{0,20}", "[a-zA-Z0-9_.%-]{0,18}", "[a-z]{2,7}"]) {
        if let Err(error) = names::link_name(&name) {
            // The name that the hint gives is itself good.
            let hint = &error.parts().hints[0];
            prop_assert!(names::link_name(hint.split('`').nth(1).unwrap()).is_ok(), "{}", hint);
        } else {
            prop_assert!(!name.is_empty() && name.len() <= 15 && !name.starts_with(['-', '.']));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) && !names::is_keyword(&name));
        }
    }

    #[test]
    fn accepted_names_keep_the_grammar(name in prop_oneof!["(?s).{0,70}", "[a-zA-Z0-9_.-]{0,70}"]) {
        if names::netns_name(&name).is_ok() {
            prop_assert!(!name.is_empty() && name.len() <= 64 && !name.starts_with(['-', '.']) && name != "host" && !name.contains('/'));
        }
        if names::chain_name(&name).is_ok() {
            prop_assert!(!name.is_empty() && name.len() <= 28 && !name.starts_with(['-', '!']) && name.bytes().all(|b| b.is_ascii_graphic()));
        }
        let _ = names::alias(&name);
        if let Ok(name) = sysctl::Name::parse(&name) {
            prop_assert!(name.slashed().split('/').all(|part| !part.is_empty() && part != ".."));
            prop_assert_eq!(sysctl::Name::parse(name.slashed()).map(|again| again.dotted()).ok(), Some(name.dotted()));
        }
    }

    #[test]
    fn accepted_addresses_are_spelled_in_full(text in prop_oneof!["(?s).{0,30}", "[0-9./:a-f]{0,24}", r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,3})?"]) {
        if let Ok(net) = addr::interface_addr(&text) {
            let (ip, prefix) = text.split_once('/').unwrap();
            prop_assert_eq!((Ok(net.addr()), Ok(net.prefix_len())), (ip.parse(), prefix.parse()));
        }
        if let Ok(net) = addr::network(&text) {
            prop_assert_eq!(net.addr(), net.network());
        }
        let _ = (addr::ip(&text), addr::mac(&text), addr::destination(&text));
    }

    #[test]
    fn hosts_stay_in_their_network(ip in any::<std::net::IpAddr>(), prefix in 0u8..=128, index in any::<i128>()) {
        if let Ok(cidr) = format!("{ip}/{prefix}").parse::<Cidr>() {
            if let Ok(host) = cidr.host(index) {
                prop_assert!(cidr.contains(&host.ip().to_string()).unwrap());
            }
            let _ = cidr.subnets(i64::from(prefix) + 3);
        }
    }

    #[test]
    fn any_words_for_iptables_are_understood_or_refused(
        args in prop::collection::vec(prop_oneof![".{0,6}", "-[a-zA-Z!]{1,3}", Just("!".to_owned()), Just("-A".to_owned()), Just("INPUT".to_owned()), Just("--comment".to_owned()), Just("-jDROP".to_owned())], 0..8)
    ) {
        if let Ok(call) = Invocation::parse(&args) {
            let _ = (call.target(), call.text());
            // Its own words mean the same again, with a mark too.
            for call in [call.clone(), call.with_comment("m")] {
                if call.check_argv().is_some() {
                    prop_assert_eq!(Invocation::parse(&call.argv()).unwrap().argv(), call.argv());
                }
            }
        }
    }

    #[test]
    fn any_link_option_is_put_into_words_or_refused(name in "[a-z0-9_]{0,12}", value in "(?s).{0,12}") {
        for kind in link_kinds::KINDS {
            let _ = link_kinds::argv(kind.name, &[(&name, &value)]);
            for option in kind.options {
                let _ = link_kinds::argv(kind.name, &[(option.name, &value)]);
                let _ = link_kinds::differs(kind.name, &serde_json::json!({}), option.name, &value);
            }
        }
    }
}

/// iproute2 reads the byte of a tunnel's outer header as hexadecimal, and shows it so.
#[test]
fn the_tos_of_a_tunnel_is_written_and_compared_as_a_byte() {
    let argv = |value: &str| link_kinds::argv("gre", &[("tos", value)]).map(|words| words.join(" "));
    assert_eq!(argv("16").unwrap(), "type gre tos 0x10");
    assert_eq!(argv("200").unwrap(), "type gre tos 0xc8");
    assert_eq!(argv("0x10").unwrap(), "type gre tos 0x10");
    assert_eq!(argv("inherit").unwrap(), "type gre tos inherit");
    assert_eq!(argv("256").unwrap_err().kind(), Kind::InvalidArgument);
    for (shown, given, differs) in [
        ("{\"tos\":\"0x10\"}", "16", false),
        ("{\"tos\":\"0x10\"}", "10", true),
        ("{\"tos\":\"0x1\"}", "inherit", false),
        ("{\"tos\":\"inherit\"}", "inherit", false),
        ("{\"tos\":\"0x10\"}", "inherit", true),
        ("{}", "0", false),
        ("{}", "5", true),
    ] {
        let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
        assert_eq!(link_kinds::differs("ipip", &shown, "tos", given), Some(differs), "{shown} {given}");
    }
    let flags = serde_json::json!({ "id": 10 });
    assert_eq!(link_kinds::differs("vlan", &flags, "reorder_hdr", "off"), Some(false), "no flag, no list");
}

/// What a kind of link does not have, or would not have as it was said, is refused before anything is made.
#[test]
fn options_that_could_never_be_so_are_refused() {
    for kind in ["ipvlan", "wireguard", "gre", "ip6gre", "ipip", "sit"] {
        let error = link_kinds::argv(kind, &[("link", "eth0"), ("address", "02:00:00:00:00:01")]).unwrap_err();
        let error = if kind == "ipvlan" { error } else { link_kinds::option(kind, "address").unwrap_err() };
        assert!(error.to_string().contains("has no MAC address of its own"), "{kind}: {error}");
    }
    let ifb = [("address", "02:00:00:00:00:01")];
    assert!(link_kinds::argv("ifb", &ifb).is_ok());
    assert_eq!(link_kinds::change_argv("ifb", &ifb).unwrap_err().kind(), Kind::Unsupported);
    let refused = |options: &[(&str, &str)]| link_kinds::refuse_rounded("bond", options, None).err();
    let error = refused(&[("miimon", "100"), ("updelay", "250")]).unwrap();
    assert!(error.to_string().contains("no updelay 250: it would read back 200"), "{error}");
    assert!(refused(&[("miimon", "100"), ("updelay", "300"), ("downdelay", "0")]).is_none());
    assert!(refused(&[("updelay", "250")]).is_none(), "the kernel says what it thinks of that");
    assert_eq!(link_kinds::companion("geneve", "ttl"), Some("id"));
    assert_eq!((link_kinds::companion("geneve", "mtu"), link_kinds::companion("vxlan", "ttl")), (None, None));
}
