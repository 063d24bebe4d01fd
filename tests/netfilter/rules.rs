//! Random small rule sets, of the sort that people, Docker, kube-proxy, ufw and firewalld write.

use std::fmt::Write as _;

/// splitmix64: small, and the same everywhere.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// In so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

const NOT: [&str; 4] = ["", "", "", "! "];
const ADDRS: [&str; 12] = [
    "10.1.0.2",
    "10.1.0.0/24",
    "10.2.0.2",
    "10.2.0.3",
    "10.2.0.0/24",
    "10.0.0.0/8",
    "10.3.0.0/24",
    "10.1.0.1",
    "10.2.0.1",
    "10.1.0.2/31",
    "172.16.0.0/12",
    "10.3.0.3",
];
const ADDRS6: [&str; 7] = ["fd01::2", "fd01::/64", "fd02::2", "fd02::/64", "fd00::/8", "fd01::1", "fd02::3"];
const DEVS: [&str; 8] = ["c0", "s0", "br0", "c+", "lo", "s+", "eth9", "b1"];

/// A rule set for the router, and how it is loaded.
pub(super) struct Rules {
    /// The program, and its words.
    pub(super) program: Vec<&'static str>,
    pub(super) text: String,
    /// Of IPv6 packets too, or only.
    pub(super) v6: bool,
    /// Whether nothing can stop what the router itself sends.
    pub(super) quiet: bool,
}

/// An address by family.
fn addr(dice: &mut Dice, v6: bool) -> &'static str {
    if v6 { dice.pick(&ADDRS6) } else { dice.pick(&ADDRS) }
}

/// The protocol of a rule with what is asked of it.
fn protocol_match(dice: &mut Dice, v6: bool) -> (String, &'static str) {
    let not = dice.pick(&NOT);
    match dice.below(9) {
        0 => {
            let proto = dice.pick(&["tcp", "udp"]);
            (format!("{not}-p {proto}"), if not.is_empty() { proto } else { "" })
        }
        1..=4 => {
            let proto = dice.pick(&["tcp", "udp"]);
            let ports = match dice.below(9) {
                0 => format!("{not}--dport 80"),
                1 => format!("{not}--dport {}", dice.pick(&["53", "443", "22", "8080"])),
                2 => format!("{not}--dport {}", dice.pick(&["1:100", "1024:", ":443", "443:9000"])),
                3 => format!("{not}--sport {}", dice.pick(&["1024:65535", ":1023", "20000:39999", "40000:"])),
                4 => format!("-m multiport {not}--dports {}", dice.pick(&["22,80,443", "53,1000:9000", "9000"])),
                5 => format!("-m multiport {not}--ports {}", dice.pick(&["22,80,20000:29999", "8080,30000:"])),
                6 => format!("-m multiport {not}--sports {}", dice.pick(&["53,80", "20000:65000"])),
                7 if proto == "tcp" => format!(
                    "{not}--tcp-flags {}",
                    dice.pick(&["SYN,ACK SYN", "FIN,SYN,RST,ACK SYN", "ALL NONE", "ACK ACK"])
                ),
                8 if proto == "tcp" => format!("{not}--syn"),
                _ => format!("--dport {}", dice.pick(&["80", "9000"])),
            };
            (
                format!("-p {proto} -m {proto} {ports}").replace(&format!("-m {proto} -m multiport"), "-m multiport"),
                proto,
            )
        }
        5 | 6 if v6 => (
            format!("-p ipv6-icmp -m icmp6 {not}--icmpv6-type {}", dice.pick(&["128", "echo-reply", "1/4", "135"])),
            "icmp",
        ),
        5 | 6 => (
            format!(
                "-p icmp -m icmp {not}--icmp-type {}",
                dice.pick(&["8", "echo-reply", "3/4", "any", "8/0", "echo-request"])
            ),
            "icmp",
        ),
        _ => (String::new(), ""),
    }
}

fn reverse_path(dice: &mut Dice) -> String {
    let flags =
        ["", " --invert", " --loose", " --loose --invert", " --validmark", " --validmark --invert", " --accept-local"];
    format!("-m rpfilter{}", dice.pick(&flags))
}

/// One more thing that is asked of a packet.
#[expect(clippy::too_many_lines, reason = "a row for each thing")]
fn other_match(dice: &mut Dice, v6: bool, table: &str, chain: &str) -> String {
    let not = dice.pick(&NOT);
    let inward = matches!(chain, "PREROUTING" | "INPUT");
    let outward = matches!(chain, "OUTPUT" | "POSTROUTING");
    match dice.below(37) {
        0..=3 => format!("{not}-s {}", addr(dice, v6)),
        4..=7 => format!("{not}-d {}", addr(dice, v6)),
        8..=10 if !outward => format!("{not}-i {}", dice.pick(&DEVS)),
        11..=13 if !inward => format!("{not}-o {}", dice.pick(&DEVS)),
        14..=16 => format!(
            "-m conntrack {not}--ctstate {}",
            dice.pick(&[
                "RELATED,ESTABLISHED",
                "NEW",
                "INVALID",
                "DNAT",
                "ESTABLISHED",
                "NEW,UNTRACKED",
                "SNAT",
                "RELATED,ESTABLISHED,DNAT",
                "UNTRACKED",
            ])
        ),
        17 => {
            format!("-m conntrack {not}--ctdir {}", dice.pick(&["ORIGINAL", "REPLY"])).replace("! --ctdir", "--ctdir")
        }
        18 if !v6 => format!(
            "-m conntrack {}",
            dice.pick(&[
                "--ctorigdst 10.2.0.2",
                "! --ctorigdst 10.2.0.0/24",
                "--ctproto 6",
                "! --ctproto 17",
                "--ctorigdstport 80",
                "--ctorigsrc 10.1.0.0/24",
                "--ctstate NEW --ctorigdstport 80",
                "--ctstatus SEEN_REPLY",
            ])
        ),
        19 | 20 => format!("-m mark {not}--mark {}", dice.pick(&["0x1", "0x2/0xff", "0", "0x4000/0x4000", "0x0/0xf0"])),
        21 => format!("-m connmark {not}--mark {}", dice.pick(&["0x1", "0x0", "0x2/0xff"])),
        22 => "-m comment --comment \"a rule, -j DROP\"".into(),
        23 if dice.percent(40) => dice
            .pick(&[
                "-m limit --limit 5/sec",
                "-m statistic --mode random --probability 0.5",
                "-m statistic --mode nth --every 2 --packet 0",
                "-m recent --name seen --rcheck --rsource",
                "-m recent --name seen --set --rsource",
                "-m recent --name often --update --seconds 30 --hitcount 19 --rsource",
                "-m recent --name seen ! --rcheck --rdest",
                "-m tcpmss --mss 1000:1500",
                "-m hashlimit --hashlimit-upto 10/sec --hashlimit-name h",
            ])
            .into(),
        24 => format!(
            "-m addrtype {not}--{}-type {}",
            dice.pick(&["dst", "src"]),
            dice.pick(&["LOCAL", "UNICAST", "MULTICAST", if v6 { "LOCAL" } else { "BROADCAST" }])
        ),
        25 if !v6 => format!(
            "-m iprange {not}--{}",
            dice.pick(&["src-range 10.1.0.1-10.1.0.5", "dst-range 10.2.0.2-10.2.0.2", "dst-range 10.2.0.3-10.3.0.3"])
        ),
        26 if v6 => format!("-m hl {}", dice.pick(&["--hl-eq 64", "--hl-lt 64", "--hl-gt 62", "! --hl-eq 63"])),
        26 => format!(
            "-m ttl {}",
            dice.pick(&["--ttl-eq 64", "--ttl-lt 64", "--ttl-gt 62", "! --ttl-eq 63", "--ttl-lt 10"])
        ),
        27 => format!("-m length {not}--length {}", dice.pick(&["84", "0:50", "60", "44:64", "100:"])),
        28 => format!("-m dscp {not}--dscp {}", dice.pick(&["0x00", "0x2e", "0x08"])),
        29 => format!("-m tos {not}--tos {}", dice.pick(&["0x00/0xff", "0x10/0x3f"])),
        30 => format!("-m pkttype {not}--pkt-type {}", dice.pick(&["unicast", "multicast", "broadcast"])),
        31 if v6 => dice
            .pick(&["-m rt --rt-type 0", "-m rt ! --rt-type 2", "-m frag --fragid 1:9", "-m hbh --hbh-len 8"])
            .into(),
        31 if !v6 => format!(
            "-m u32 {not}--u32 \"{}\"",
            dice.pick(&[
                "6&0xFF=0x11",
                "16=0x0A020002",
                "0&0xFFFF=40:60",
                "8>>24=63:64",
                "0>>22&0x3C@0>>24=8",
                "12&0xFFFF0000=0x0A010000",
                "6&0xFF=6&&20&0xFFFF=80",
            ])
        ),
        32 if chain == "FORWARD" && table == "filter" => format!(
            "-m physdev {not}{}",
            dice.pick(&[
                "--physdev-is-bridged",
                "--physdev-in b1",
                "--physdev-out b2",
                "--physdev-in b+",
                "--physdev-is-in"
            ])
        ),
        34..=36 if chain == "PREROUTING" && matches!(table, "raw" | "mangle") => reverse_path(dice),
        33 => format!("-m state {not}--state {}", dice.pick(&["NEW", "RELATED,ESTABLISHED", "INVALID"])),
        _ => String::new(),
    }
}

fn target(dice: &mut Dice, v6: bool, table: &str, chain: &str, proto: &str, next: &[String]) -> String {
    if !next.is_empty() && dice.percent(38) {
        let to = &next[usize::try_from(dice.below(next.len() as u64)).unwrap()];
        return format!("{} {to}", if dice.percent(40) { "-g" } else { "-j" });
    }
    let ports = matches!(proto, "tcp" | "udp");
    let plain = match (table, dice.below(12)) {
        ("mangle", 0 | 1) => dice.pick(&[
            "MARK --set-xmark 0x1/0xffffffff",
            "MARK --set-xmark 0x2/0xff",
            "MARK --or-mark 0x4000",
            "MARK --and-mark 0xff00",
            "MARK --xor-mark 0x1",
        ]),
        ("mangle", 2 | 3) => dice.pick(&[
            "CONNMARK --set-xmark 0x1/0xffffffff",
            "CONNMARK --save-mark",
            "CONNMARK --restore-mark",
            "CONNMARK --set-xmark 0x2/0xf",
            "CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
        ]),
        ("mangle", 4) => dice.pick(&["DSCP --set-dscp 0x2e", "TOS --set-tos 0x10/0x3f", "DSCP --set-dscp-class CS1"]),
        ("mangle", 5) if !v6 => dice.pick(&["TTL --ttl-set 60", "TTL --ttl-dec 1", "TTL --ttl-inc 5"]),
        ("mangle", 5) => "HL --hl-set 60",
        ("mangle", 6) if proto == "tcp" => "",
        ("raw", 0..=2) => dice.pick(&["CT --notrack", "NOTRACK", "CT --zone 3"]),
        ("raw", 3) => dice.pick(&["ACCEPT", "RETURN", "DROP"]),
        ("nat", 0..=5) if matches!(chain, "PREROUTING" | "OUTPUT" | "U0" | "U1" | "U2") => match (v6, ports) {
            (true, true) => dice.pick(&[
                "DNAT --to-destination [fd02::3]:80",
                "DNAT --to-destination fd02::2",
                "REDIRECT --to-ports 8080",
            ]),
            (true, false) => "DNAT --to-destination fd02::3",
            (false, true) => dice.pick(&[
                "DNAT --to-destination 10.2.0.2:80",
                "DNAT --to-destination 10.2.0.3",
                "DNAT --to-destination :8080",
                "REDIRECT --to-ports 8080",
                "REDIRECT",
                "DNAT --to-destination 10.2.0.2-10.2.0.3",
                "DNAT --to-destination 10.1.0.1:80",
            ]),
            (false, false) => dice.pick(&[
                "DNAT --to-destination 10.2.0.3",
                "REDIRECT",
                "DNAT --to-destination 10.1.0.9",
                "NETMAP --to 10.2.0.0/24",
            ]),
        },
        ("nat", 0..=5) if matches!(chain, "POSTROUTING") => match (v6, ports) {
            (true, _) => dice.pick(&["MASQUERADE", "SNAT --to-source fd02::1"]),
            (false, true) => dice.pick(&[
                "MASQUERADE",
                "MASQUERADE --to-ports 50000-60000",
                "SNAT --to-source 10.2.0.9",
                "SNAT --to-source 10.2.0.9:30000-50000",
                "MASQUERADE --random",
            ]),
            (false, false) => {
                dice.pick(&["MASQUERADE", "SNAT --to-source 10.2.0.9", "SNAT --to-source 10.2.0.1-10.2.0.9"])
            }
        },
        ("nat", 6..=8) => dice.pick(&["ACCEPT", "RETURN"]),
        ("nat", _) => "",
        ("filter", 0 | 1) if v6 => {
            dice.pick(&["REJECT --reject-with icmp6-port-unreachable", "REJECT --reject-with icmp6-adm-prohibited"])
        }
        ("filter", 0) if proto == "tcp" => "REJECT --reject-with tcp-reset",
        ("filter", 0 | 1) => dice.pick(&[
            "REJECT --reject-with icmp-port-unreachable",
            "REJECT --reject-with icmp-admin-prohibited",
            "REJECT --reject-with icmp-host-prohibited",
        ]),
        ("filter", 10) => dice.pick(&["LOG --log-prefix \"x: \"", "NFLOG --nflog-group 9", ""]),
        (_, 0..=5) => dice.pick(&["ACCEPT", "DROP", "RETURN"]),
        (_, 6 | 7) => "DROP",
        (_, 8 | 9) => "ACCEPT",
        _ => "RETURN",
    };
    if plain.is_empty() { String::new() } else { format!("-j {plain}") }
}

/// What `iptables-restore` takes.
pub(super) fn iptables(dice: &mut Dice, v6: bool, legacy: bool) -> Rules {
    let mut text = String::new();
    let mut quiet = true;
    for table in ["filter", "nat", "mangle", "raw"] {
        let share = match table {
            "filter" => 100,
            "nat" => 50,
            "mangle" => 40,
            _ => 15,
        };
        let used = dice.percent(share);
        let bases: &[&str] = match table {
            "filter" => &["INPUT", "FORWARD", "OUTPUT"],
            "nat" => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            "mangle" => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            _ => &["PREROUTING", "OUTPUT"],
        };
        let _ = writeln!(text, "*{table}");
        for base in bases {
            let drops = used && table == "filter" && dice.percent(if *base == "OUTPUT" { 15 } else { 45 });
            quiet &= !(drops && *base == "OUTPUT");
            let _ = writeln!(text, ":{base} {} [0:0]", if drops { "DROP" } else { "ACCEPT" });
        }
        let users: Vec<String> = (0..if used { dice.below(4) } else { 0 }).map(|n| format!("U{n}")).collect();
        for user in &users {
            let _ = writeln!(text, ":{user} - [0:0]");
        }
        let chains = bases.iter().map(|base| (*base).to_owned()).chain(users.iter().cloned());
        for chain in chains.filter(|_| used) {
            let below = users.iter().position(|user| *user == chain).map_or(0, |at| at + 1);
            // Chains for the translation of destinations are called from there only.
            let next =
                if table == "nat" && matches!(chain.as_str(), "POSTROUTING" | "INPUT") { &[] } else { &users[below..] };
            for _ in 0..dice.below(if chain == "OUTPUT" { 3 } else { 5 }) {
                let (proto_text, proto) = protocol_match(dice, v6);
                let mut words = vec![proto_text];
                for _ in 0..dice.below(3) {
                    let one = other_match(dice, v6, table, &chain);
                    let kind = one.trim_start_matches("! ").split(' ').take(2).collect::<Vec<_>>().join(" ");
                    let kind = if kind.starts_with("-m") {
                        kind
                    } else {
                        kind.split(' ').next().unwrap_or_default().to_owned()
                    };
                    if !words.iter().any(|word| word.contains(&kind)) {
                        words.push(one);
                    }
                }
                // A destination that the kernel would translate while it only bridges is another thing.
                if table == "nat" && matches!(chain.as_str(), "PREROUTING") {
                    words.retain(|word| !word.contains("-i "));
                    words.push("-i c0".into());
                }
                words.push(target(dice, v6, table, &chain, proto, next));
                words.retain(|word| !word.is_empty());
                let line = format!("-A {chain} {}", words.join(" "));
                quiet &= !(matches!(chain.as_str(), "OUTPUT" | "POSTROUTING") && table != "nat");
                let _ = writeln!(text, "{line}");
            }
        }
        text += "COMMIT\n";
    }
    let program = match (v6, legacy) {
        (false, false) => "iptables-nft-restore",
        (false, true) => "iptables-legacy-restore",
        (true, false) => "ip6tables-nft-restore",
        (true, true) => "ip6tables-legacy-restore",
    };
    Rules { program: vec![program], text, v6, quiet }
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn nft_match(dice: &mut Dice, inet: bool) -> String {
    let ne = dice.pick(&["", "", "", "!= "]);
    let dev =
        dice.pick(&["\"c0\"", "\"s0\"", "\"br0\"", "\"c*\"", "{ \"c0\", \"br0\" }", "\"lo\"", "{ \"s*\", \"eth9\" }"]);
    match dice.below(40) {
        0..=2 => format!(
            "ip saddr {ne}{}",
            dice.pick(&[
                "10.1.0.2",
                "10.1.0.0/24",
                "{ 10.1.0.2, 10.2.0.0/24 }",
                "@hosts",
                "10.1.0.1-10.1.0.5",
                "{ 10.1.0.1-10.1.0.9, 10.2.0.1 }",
                "@nets"
            ])
        ),
        3..=5 => format!(
            "ip daddr {ne}{}",
            dice.pick(&[
                "10.2.0.2",
                "10.2.0.0/24",
                "{ 10.2.0.2, 10.2.0.3 }",
                "@hosts",
                "10.2.0.3-10.3.0.3",
                "@nets",
                "10.0.0.0/8"
            ])
        ),
        6..=8 => format!(
            "tcp dport {ne}{}",
            dice.pick(&["80", "{ 22, 80, 443 }", "1000-9000", "@ports", "{ 53, 1024-65535 }"])
        ),
        9 => format!("tcp dport {}", dice.pick(&["< 443", "> 80", "<= 80", ">= 9000"])),
        10 | 11 => format!("udp dport {ne}{}", dice.pick(&["53", "{ 53, 443 }", "@ports", "1-100"])),
        12 => format!("meta l4proto {{ tcp, udp }} th dport {ne}{}", dice.pick(&["53", "{ 80, 9000 }", "@ports"])),
        13 => format!("tcp sport {ne}{}", dice.pick(&["1024-65535", "20000-39999", "80"])),
        14 | 15 => format!(
            "meta l4proto {ne}{}",
            dice.pick(&["tcp", "udp", "icmp", "{ tcp, udp }", "{ icmp, ipv6-icmp }", "17"])
        ),
        16 => format!("ip protocol {ne}{}", dice.pick(&["tcp", "icmp", "{ tcp, udp }"])),
        17 | 18 => format!("iifname {ne}{dev}"),
        19 | 20 => format!("oifname {ne}{dev}"),
        21 => format!("iif {ne}{}", dice.pick(&["\"c0\"", "\"s0\"", "\"lo\""])),
        22..=24 => format!(
            "ct state {}",
            dice.pick(&[
                "established,related",
                "new",
                "!= established",
                "{ established, related }",
                "invalid",
                "!= { new, established }",
                "untracked",
                "new,untracked"
            ])
        ),
        25 => format!(
            "ct {}",
            dice.pick(&[
                "direction reply",
                "direction original",
                "status dnat",
                "status snat",
                "original ip daddr 10.2.0.2",
                "original proto-dst 80",
                "original ip saddr 10.1.0.0/24"
            ])
        ),
        26 => format!("ct mark {}", dice.pick(&["1", "0", "!= 2", "and 0xf == 0x1"])),
        27 => format!("meta mark {}", dice.pick(&["1", "0", "!= 0x2", "and 0xff == 0x1", "{ 1, 2 }", "1-5"])),
        28 => format!(
            "icmp type {ne}{}",
            dice.pick(&["echo-request", "{ echo-request, echo-reply }", "destination-unreachable", "echo-reply"])
        ),
        29 if inet => format!(
            "icmpv6 type {ne}{}",
            dice.pick(&["echo-request", "{ echo-request, nd-neighbor-solicit }", "echo-reply"])
        ),
        29 => "ip version 4".into(),
        30 if inet => format!("ip6 saddr {ne}{}", dice.pick(&["fd01::2", "fd01::/64", "{ fd01::2, fd02::2 }"])),
        31 if inet => format!("meta nfproto {ne}{}", dice.pick(&["ipv4", "ipv6"])),
        30 => format!("ip ttl {}", dice.pick(&["64", "< 64", "63", "!= 64"])),
        31 => format!("ip dscp {ne}{}", dice.pick(&["cs0", "ef", "{ cs1, af21 }"])),
        32 => format!("ip length {}", dice.pick(&["84", "< 60", "40-64"])),
        33 => format!(
            "meta {}",
            dice.pick(&["pkttype host", "pkttype != host", "length 84", "length > 50", "protocol ip", "protocol ip6"])
        ),
        34 => format!("fib daddr type {ne}{}", dice.pick(&["local", "unicast", "{ local, broadcast }"])),
        35 => format!(
            "tcp flags {}",
            dice.pick(&[
                "syn",
                "& (fin|syn|rst|ack) == syn",
                "{ syn, ack }",
                "!= syn",
                "& (syn|ack) == syn|ack",
                "syn,ack",
                "== syn"
            ])
        ),
        36 => format!(
            "ip saddr . tcp dport {ne}{}",
            dice.pick(&["{ 10.1.0.2 . 80, 10.1.0.2 . 443 }", "{ 10.1.0.0/24 . 1-100 }", "@pairs"])
        ),
        37 => {
            format!("ip saddr . ip daddr . meta l4proto {ne}{{ 10.1.0.2 . 10.2.0.2 . tcp, 10.1.0.2 . 10.2.0.3 . udp }}")
        }
        38 if dice.percent(30) => {
            dice.pick(&["limit rate 5/second", "numgen random mod 2 == 0", "limit rate over 1000/second"]).into()
        }
        39 => format!("udp length {}", dice.pick(&["24", "> 100"])),
        _ => String::new(),
    }
}

fn nft_verdict(dice: &mut Dice, hook: &str, next: &[String]) -> String {
    let to = |dice: &mut Dice| next[usize::try_from(dice.below(next.len() as u64)).unwrap()].clone();
    match dice.below(20) {
        0..=3 => "accept".into(),
        4..=6 => "drop".into(),
        7 if hook == "forward" || hook == "input" || hook == "output" => "reject".into(),
        8 if hook == "forward" || hook == "input" => "reject with tcp reset".into(),
        9 => "return".into(),
        10..=12 if !next.is_empty() => format!("{} {}", dice.pick(&["jump", "goto"]), to(dice)),
        13 if !next.is_empty() => {
            let (one, other) = (to(dice), to(dice));
            dice.pick(&[
                "tcp dport vmap { 80 : drop, 22 : jump ONE, 443 : accept }",
                "ct state vmap { established : accept, related : accept, invalid : drop, new : jump ONE }",
                "meta l4proto vmap { tcp : goto ONE, udp : jump TWO, icmp : accept }",
                "ip daddr vmap { 10.2.0.2 : accept, 10.2.0.0/31 : drop, 10.1.0.0/24 : jump TWO }",
                "ip saddr . tcp dport vmap { 10.1.0.2 . 80 : accept, 10.1.0.2 . 443 : drop }",
                "iifname vmap { \"c0\" : jump ONE, \"s0\" : return }",
                "ip daddr vmap @fates",
                "tcp dport vmap { 80 : accept, * : drop }",
            ])
            .replace("ONE", &one)
            .replace("TWO", &other)
        }
        14 | 15 => dice
            .pick(&[
                "meta mark set 1",
                "meta mark set meta mark or 0x2",
                "ct mark set 1",
                "ct mark set meta mark",
                "meta mark set ct mark",
                "ct zone set 3",
                "meta mark set ip saddr map { 10.1.0.2 : 1, 10.2.0.2 : 2 }",
            ])
            .into(),
        16 => "counter".into(),
        17 => "log prefix \"x\"".into(),
        _ => dice.pick(&["accept", "drop", "counter accept", "counter drop"]).into(),
    }
}

fn nft_nat(dice: &mut Dice, pre: bool, inet: bool) -> String {
    let ip = if inet { "ip " } else { "" };
    if pre {
        match dice.below(10) {
            8 => "iifname \"c0\" dnat ip prefix to ip daddr map { 10.2.0.2/32 : 10.2.0.3/32 }".into(),
            9 => "iifname \"c0\" ip daddr 10.2.0.2 dnat ip prefix to 10.2.0.3/32".into(),
            0 => format!("iifname \"c0\" tcp dport 80 dnat {ip}to 10.2.0.2:8080"),
            1 => format!("iifname \"c0\" dnat {ip}to 10.2.0.3"),
            2 => "iifname \"c0\" tcp dport 443 redirect to :8080".into(),
            3 => "iifname \"c0\" meta l4proto { tcp, udp } redirect".into(),
            4 => format!("iifname \"c0\" dnat {ip}to tcp dport map {{ 80 : 10.2.0.2, 443 : 10.2.0.3 }}"),
            5 => format!("iifname \"c0\" ip daddr 10.2.0.2 udp dport 53 dnat {ip}to 10.2.0.3:9000"),
            6 => format!("iifname \"c0\" dnat {ip}to numgen inc mod 2 map {{ 0 : 10.2.0.2, 1 : 10.2.0.3 }}"),
            _ => "iifname \"c0\" tcp dport 22 return".into(),
        }
    } else {
        match dice.below(7) {
            5 => "oifname \"s0\" snat ip prefix to ip saddr map { 10.1.0.2/32 : 10.2.0.9/32 }".into(),
            6 => "ip saddr 10.1.0.2 oifname \"s0\" snat ip prefix to 10.2.0.9/32".into(),
            0 => "oifname \"s0\" masquerade".into(),
            1 => format!("ip saddr 10.1.0.0/24 oifname \"s0\" snat {ip}to 10.2.0.9"),
            2 => "meta mark 1 masquerade".into(),
            3 => "oifname \"s0\" meta l4proto tcp masquerade to :40000-50000".into(),
            _ => "ip saddr 10.1.0.2 accept".into(),
        }
    }
}

/// What `nft -f -` takes.
pub(super) fn nft(dice: &mut Dice) -> Rules {
    let inet = dice.percent(60);
    let mut text = String::new();
    let mut quiet = true;
    for table in 0..=dice.below(2) {
        let _ = writeln!(text, "table {} t{table} {{", if inet { "inet" } else { "ip" });
        text += "  set hosts { type ipv4_addr; elements = { 10.1.0.2, 10.2.0.2 } }\n";
        text += "  set nets { type ipv4_addr; flags interval; elements = { 10.2.0.0/24, 10.3.0.1-10.3.0.9 } }\n";
        text += "  set ports { type inet_service; flags interval; elements = { 80, 443, 1000-9000 } }\n";
        text += "  set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/24 . 80, 10.1.0.2 . 400-500 } }\n";
        text += "  map fates { type ipv4_addr : verdict; elements = { 10.2.0.2 : drop, 10.2.0.3 : accept } }\n";
        let users: Vec<String> = (0..dice.below(4)).map(|n| format!("u{n}")).collect();
        // A chain must be there before it is called.
        let mut chains: Vec<(String, String, String)> =
            users.iter().rev().map(|user| (user.clone(), String::new(), "forward".into())).collect();
        for hook in ["prerouting", "input", "forward", "output", "postrouting"] {
            let share = if matches!(hook, "forward" | "input") { 75 } else { 20 };
            for _ in 0..2 {
                if dice.percent(share / 2 + 10) {
                    let prio = dice.pick(&["0", "-10", "10", "-150", "5"]);
                    let policy = if dice.percent(if hook == "output" { 10 } else { 25 }) { "drop" } else { "accept" };
                    quiet &= !matches!(hook, "output" | "postrouting");
                    chains.push((
                        format!("c{}", chains.len()),
                        format!("type filter hook {hook} priority {prio}; policy {policy};"),
                        hook.into(),
                    ));
                }
            }
        }
        if dice.percent(50) {
            chains.push((
                format!("c{}", chains.len()),
                "type nat hook prerouting priority -100; policy accept;".into(),
                "dnat".into(),
            ));
            chains.push((
                format!("c{}", chains.len()),
                "type nat hook postrouting priority 100; policy accept;".into(),
                "snat".into(),
            ));
        }
        for (name, head, hook) in chains {
            let _ = writeln!(text, "  chain {name} {{ {head}");
            let below = users.iter().position(|user| *user == name).map_or(0, |at| at + 1);
            for _ in 0..dice.below(5) {
                let line = if hook == "dnat" || hook == "snat" {
                    nft_nat(dice, hook == "dnat", inet)
                } else {
                    let mut words: Vec<String> = (0..dice.below(3)).map(|_| nft_match(dice, inet)).collect();
                    if hook == "prerouting" && dice.percent(20) {
                        words.push(format!(
                            "fib {}",
                            dice.pick(&[
                                "saddr . iif oif missing",
                                "saddr . iif oif exists",
                                "saddr . mark . iif oif missing",
                                "saddr oif exists",
                                "saddr oifname \"c0\"",
                                "saddr oif \"s0\"",
                                "saddr oifname != \"c0\"",
                                "daddr oif missing",
                                "daddr oifname \"s0\"",
                                "daddr . iif oif exists"
                            ])
                        ));
                    }
                    let calls = if head.is_empty() || matches!(hook.as_str(), "forward" | "input" | "output") {
                        &users[below..]
                    } else {
                        &[]
                    };
                    words.push(nft_verdict(dice, if head.is_empty() { "user" } else { &hook }, calls));
                    words.retain(|word| !word.is_empty());
                    words.join(" ")
                };
                let _ = writeln!(text, "    {line}");
            }
            text += "  }\n";
        }
        text += "}\n";
    }
    Rules { program: vec!["nft", "-f", "-"], text, v6: inet, quiet }
}
