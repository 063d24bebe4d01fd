//! What the rules of iptables do to a packet: three-valued, because not every match can be judged from outside.

use std::net::IpAddr;

use ipnet::IpNet;

use super::packet::{Ct, Effect, Hook, Nat, Packet, Port, RuleRef, Spot, Tri, icmp_type, icmp6_type, protocol};
use super::u32_match;
use crate::model::iptables::{self, Rule, Ruleset};

/// The tables of one backend and family.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Of IPv6.
    pub v6: bool,
    /// Of the old backend.
    pub legacy: bool,
    rules: Ruleset,
}

/// How deep chains may call each other.
const DEPTH: usize = 32;

enum Flow {
    /// The chain has decided.
    Done,
    /// It has not.
    Return,
}

impl Tables {
    /// What `iptables-save -c` printed; `None` when there is no table in it or it cannot be read.
    #[must_use]
    pub(super) fn parse(stdout: &str, v6: bool, legacy: bool) -> Option<Self> {
        let rules = iptables::parse_save(stdout).ok()?;
        (!rules.tables.is_empty()).then_some(Self { v6, legacy, rules })
    }

    /// The program that a person would use.
    #[must_use]
    pub(super) fn tool(&self) -> &'static str {
        match (self.v6, self.legacy) {
            (false, false) => "iptables",
            (false, true) => "iptables-legacy",
            (true, false) => "ip6tables",
            (true, true) => "ip6tables-legacy",
        }
    }

    /// Whether it has a table of that name.
    #[must_use]
    pub(super) fn has(&self, table: &str) -> bool {
        self.rules.table(table).is_some()
    }

    /// Every rule of a chain.
    pub(super) fn rules(&self, table: &str, chain: &str) -> &[Rule] {
        self.rules.chain(table, chain).map_or(&[], |chain| &chain.rules)
    }

    /// Whether any rule of the table mentions these words.
    #[must_use]
    pub(super) fn mentions(&self, table: &str, words: &[&str]) -> bool {
        let table = self.rules.table(table);
        table.is_some_and(|table| {
            let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
            rules.any(|rule| words.iter().all(|word| rule.words.iter().any(|have| have == word)))
        })
    }

    /// The counter of a rule that was met before.
    #[must_use]
    pub(super) fn counter(&self, rule: &RuleRef) -> Option<u64> {
        if rule.tool != self.tool() {
            return None;
        }
        let chain = self.rules.chain(&rule.table, &rule.chain)?;
        if rule.policy {
            return Some(chain.packets);
        }
        chain.rules.iter().find(|one| u64::from(one.number) == rule.handle).map(|one| one.packets)
    }

    /// The base chains of a hook with their priorities.
    #[must_use]
    pub(super) fn bases(&self, hook: Hook) -> Vec<(i32, &'static str)> {
        let tables: &[(i32, &'static str)] = match hook {
            Hook::Prerouting => &[(-300, "raw"), (-150, "mangle"), (-100, "nat")],
            Hook::Input => &[(-150, "mangle"), (0, "filter"), (50, "security"), (100, "nat")],
            Hook::Forward => &[(-150, "mangle"), (0, "filter"), (50, "security")],
            Hook::Output => &[(-300, "raw"), (-150, "mangle"), (-100, "nat"), (0, "filter"), (50, "security")],
            Hook::Postrouting => &[(-150, "mangle"), (100, "nat")],
            Hook::Ingress | Hook::Egress => &[],
        };
        tables.iter().copied().filter(|(_, table)| self.rules.chain(table, hook.chain()).is_some()).collect()
    }

    /// What a base chain does to a packet.
    #[must_use]
    pub(super) fn run(&self, table: &str, packet: &Packet, spot: &Spot<'_>) -> Effect {
        let mut effect = Effect::default();
        let base = spot.hook.chain();
        let flow = self.chain(table, base, packet, spot, false, &mut effect, 0);
        if let (Flow::Return, Some(chain)) = (flow, self.rules.chain(table, base))
            && chain.policy.as_deref() == Some("DROP")
        {
            effect.drop = Some(RuleRef {
                tool: self.tool().into(),
                table: table.into(),
                chain: base.into(),
                text: "policy DROP".into(),
                policy: true,
                packets: Some(chain.packets),
                reject: false,
                delete: ["-t", table, "-P", base, "ACCEPT"].map(str::to_owned).into(),
                base: base.into(),
                handle: 0,
            });
        }
        effect
    }

    fn rule_ref(&self, table: &str, chain: &str, base: &str, rule: &Rule) -> RuleRef {
        let delete = ["-t", table, "-D", chain].into_iter().map(str::to_owned).chain(rule.words.iter().cloned());
        RuleRef {
            tool: self.tool().into(),
            table: table.into(),
            chain: chain.into(),
            text: format!("-A {chain} {}", rule.text()),
            policy: false,
            packets: Some(rule.packets),
            reject: matches!(rule.target(), Some("REJECT")),
            delete: delete.collect(),
            base: base.into(),
            handle: u64::from(rule.number),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one recursion")]
    fn chain(
        &self,
        table: &str,
        name: &str,
        packet: &Packet,
        spot: &Spot<'_>,
        maybe: bool,
        effect: &mut Effect,
        depth: usize,
    ) -> Flow {
        let Some(chain) = self.rules.chain(table, name).filter(|_| depth < DEPTH) else { return Flow::Return };
        for rule in &chain.rules {
            // A mark set earlier counts for the rules after it.
            let mut packet = packet.clone();
            if let Some(mark) = effect.mark {
                packet.mark = mark;
            }
            let matched = matches(rule, &packet, spot);
            if matched == Tri::No {
                continue;
            }
            let sure = matched == Tri::Yes && !maybe;
            let target = rule.target().unwrap_or_default();
            let this = || self.rule_ref(table, name, spot.hook.chain(), rule);
            match target {
                "ACCEPT" => {
                    if sure {
                        if table == "nat" && effect.nat.is_none() {
                            effect.nat = None;
                        }
                        return Flow::Done;
                    }
                    effect.maybe_accepted = true;
                }
                "DROP" | "REJECT" => {
                    if sure {
                        effect.drop = Some(this());
                        return Flow::Done;
                    }
                    effect.suspects.push(this());
                }
                "RETURN" => {
                    if sure {
                        return Flow::Return;
                    }
                    effect.maybe_accepted = true;
                }
                "QUEUE" | "NFQUEUE" => effect.suspects.push(this()),
                "MARK" => effect.mark = Some(if sure { new_mark(rule, packet.mark) } else { None }),
                "TTL" | "HL" if sure => {
                    let number =
                        |names: &[&str]| rule.option(names).and_then(|operand| operand.value.parse::<u8>().ok());
                    let set = number(&["--ttl-set", "--hl-set"]);
                    let less = number(&["--ttl-dec", "--hl-dec"]).map(|less| packet.ttl.saturating_sub(less));
                    effect.ttl = set.or(less).or(effect.ttl);
                }
                "CT" | "NOTRACK"
                    if (target == "NOTRACK" || rule.words.iter().any(|word| word == "--notrack")) && sure =>
                {
                    effect.notrack = true;
                }
                "MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP" => {
                    if sure {
                        let nat = translation(target, rule);
                        effect.nat = nat.map(|nat| (nat, this()));
                        return Flow::Done;
                    }
                    effect.maybe_accepted = true;
                }
                "" => {}
                chain if self.rules.chain(table, chain).is_some() => {
                    let flow = self.chain(table, chain, &packet, spot, !sure, effect, depth + 1);
                    if sure && (matches!(flow, Flow::Done) || rule.is_goto()) {
                        return flow;
                    }
                }
                _ => {}
            }
        }
        Flow::Return
    }
}

fn new_mark(rule: &Rule, old: Option<u32>) -> Option<u32> {
    let number = |text: &str| -> Option<u32> {
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let operand = rule.option(&["--set-xmark", "--set-mark", "--or-mark", "--and-mark", "--xor-mark"])?;
    let (value, mask) = operand.value.split_once('/').unwrap_or((operand.value, "0xffffffff"));
    let (value, mask) = (number(value)?, number(mask)?);
    Some(if mask == u32::MAX { value } else { (old? & !mask) ^ value })
}

fn translation(target: &str, rule: &Rule) -> Option<Nat> {
    let split = |text: &str| -> (Option<IpAddr>, Option<u16>) {
        let first = |text: &str| text.split('-').next().unwrap_or_default().to_owned();
        if let Ok(ip) = first(text).parse() {
            return (Some(ip), None);
        }
        match text.rsplit_once(':') {
            Some((ip, port)) => (first(ip).trim_matches(['[', ']']).parse().ok(), first(port).parse().ok()),
            None => (None, None),
        }
    };
    Some(match target {
        "MASQUERADE" => Nat::Masquerade,
        "SNAT" => {
            let (ip, port) = split(rule.option(&["--to-source"])?.value);
            Nat::Source(ip, port)
        }
        "DNAT" => {
            let (ip, port) = split(rule.option(&["--to-destination"])?.value);
            Nat::Destination(ip, port)
        }
        "REDIRECT" => Nat::Redirect(rule.option(&["--to-ports"]).and_then(|port| port.value.parse().ok())),
        _ => return None,
    })
}

fn in_net(ip: IpAddr, value: &str) -> Tri {
    match value.parse::<IpNet>().ok().or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from)) {
        Some(net) => net.contains(&ip).into(),
        None => Tri::Maybe,
    }
}

fn is_link(name: &str, value: &str) -> Tri {
    match value.strip_suffix('+') {
        Some(start) => name.starts_with(start).into(),
        None => (name == value).into(),
    }
}

fn ports(port: Port, value: &str) -> Tri {
    let number = |text: &str, default| if text.is_empty() { Some(default) } else { text.parse().ok() };
    let mut any = Tri::No;
    for part in value.split(',') {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        match (number(low, 0), number(high, u16::MAX)) {
            (Some(low), Some(high)) => match port.within(low, high) {
                Tri::Yes => return Tri::Yes,
                Tri::Maybe => any = Tri::Maybe,
                Tri::No => {}
            },
            _ => any = Tri::Maybe,
        }
    }
    any
}

fn states(ct: Ct, value: &str) -> Tri {
    value.split(',').any(|word| word.eq_ignore_ascii_case(ct.word())).into()
}

fn flags(packet: &Packet, mask: &str, want: &str) -> Tri {
    let bits = |text: &str| {
        text.split(',').fold(0u8, |all, word| {
            all | match word {
                "FIN" => 1,
                "SYN" => 2,
                "RST" => 4,
                "PSH" => 8,
                "ACK" => 16,
                "URG" => 32,
                "ALL" => 63,
                _ => 0,
            }
        })
    };
    (packet.proto == 6 && packet.tcp_flags() & bits(mask) == bits(want)).into()
}

/// Whether a rule matches, and whether that can be said.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
pub(super) fn matches(rule: &Rule, packet: &Packet, spot: &Spot<'_>) -> Tri {
    let mut all = Tri::Yes;
    let mut module = "";
    let mut not = false;
    let words: Vec<&str> = rule.words.iter().map(String::as_str).collect();
    let mut index = 0;
    while let Some(&word) = words.get(index) {
        let value = words.get(index + 1).copied().unwrap_or_default();
        let mut used = 2;
        let one = match word {
            "!" => {
                not = true;
                index += 1;
                continue;
            }
            "-j" | "-g" | "--jump" | "--goto" => break,
            "-m" => {
                module = value;
                // A match without options that are known below cannot be judged.
                let opaque = [
                    "string",
                    "bpf",
                    "recent",
                    "time",
                    "limit",
                    "hashlimit",
                    "statistic",
                    "connlimit",
                    "owner",
                    "quota",
                    "geoip",
                    "rpfilter",
                    "socket",
                    "policy",
                    "set",
                    "cgroup",
                    "realm",
                    "dscp",
                    "tos",
                    "ecn",
                    "connbytes",
                    "connlabel",
                    "cluster",
                    "nfacct",
                    "osf",
                    "helper",
                    "cpu",
                    "devgroup",
                    "ipvs",
                    "ah",
                    "esp",
                    "sctp",
                    "dccp",
                    "frag",
                    "rt",
                    "hbh",
                    "dst",
                    "mh",
                    "ipv6header",
                    "eui64",
                    "srh",
                    "tcpmss",
                ];
                if opaque.contains(&value) { Tri::Maybe } else { Tri::Yes }
            }
            "-s" => in_net(packet.src, value),
            "-d" => in_net(packet.dst, value),
            "-i" => is_link(spot.iif, value),
            "-o" => is_link(spot.oif, value),
            "-f" => {
                used = 1;
                Tri::No
            }
            "-p" => match protocol(value) {
                Some(0) => Tri::Yes,
                Some(number) => (number == packet.proto).into(),
                None if value == "all" => Tri::Yes,
                None => Tri::Maybe,
            },
            "--comment" => Tri::Yes,
            "--dport" | "--dports" => ports(packet.dport, value),
            "--sport" | "--sports" => ports(packet.sport, value),
            "--ports" => match (ports(packet.dport, value), ports(packet.sport, value)) {
                (Tri::Yes, _) | (_, Tri::Yes) => Tri::Yes,
                (Tri::No, Tri::No) => Tri::No,
                _ => Tri::Maybe,
            },
            "--ctstate" | "--state" => states(packet.ct, value),
            "--ctdir" => ((value == "REPLY") == packet.reply).into(),
            "--ctstatus" | "--ctproto" | "--ctorigsrc" | "--ctorigdst" | "--ctorigdstport" | "--ctexpire" => Tri::Maybe,
            "--icmp-type" => match (value, icmp_type(value)) {
                ("any", _) => Tri::Yes,
                (_, Some(kind)) => (packet.icmp == Some(kind)).into(),
                _ => Tri::Maybe,
            },
            "--icmpv6-type" => match icmp6_type(value) {
                Some(kind) => (packet.icmp == Some(kind)).into(),
                None => Tri::Maybe,
            },
            "--tcp-flags" => {
                used = 3;
                flags(packet, value, words.get(index + 2).copied().unwrap_or_default())
            }
            "--syn" => {
                used = 1;
                flags(packet, "FIN,SYN,RST,ACK", "SYN")
            }
            "--mark" if module == "mark" => mark(packet.mark, value),
            "--src-range" => range(packet.src, value),
            "--dst-range" => range(packet.dst, value),
            "--physdev-in" => spot.physin.map_or(Tri::No, |port| is_link(port, value)),
            "--physdev-out" => spot.physout.map_or(Tri::No, |port| is_link(port, value)),
            "--physdev-is-bridged" => {
                used = 1;
                (spot.physin.is_some() && spot.physout.is_some()).into()
            }
            "--physdev-is-in" => {
                used = 1;
                spot.physin.is_some().into()
            }
            "--physdev-is-out" => {
                used = 1;
                spot.physout.is_some().into()
            }
            "--dst-type" => addr_type(packet.dst, value, spot),
            "--src-type" => addr_type(packet.src, value, spot),
            "--length" => match value.split_once(':').map_or((value.parse().ok(), value.parse().ok()), |(low, high)| {
                (
                    if low.is_empty() { Some(0) } else { low.parse().ok() },
                    if high.is_empty() { Some(u32::MAX) } else { high.parse().ok() },
                )
            }) {
                (Some(low), Some(high)) => (low <= packet.size && packet.size <= high).into(),
                _ => Tri::Maybe,
            },
            "--ttl-eq" | "--hl-eq" => value.parse().map_or(Tri::Maybe, |ttl: u8| (packet.ttl == ttl).into()),
            "--ttl-lt" | "--hl-lt" => value.parse().map_or(Tri::Maybe, |ttl: u8| (packet.ttl < ttl).into()),
            "--ttl-gt" | "--hl-gt" => value.parse().map_or(Tri::Maybe, |ttl: u8| (packet.ttl > ttl).into()),
            "--mac-source" => spot.macs.map_or(Tri::Maybe, |(from, _)| from.eq_ignore_ascii_case(value).into()),
            "--u32" => u32_match::matches(value, packet),
            "--pkt-type" => (value == "unicast").into(),
            _ if word.starts_with('-') => {
                // An option that is not known, with or without a value.
                used = if value.starts_with('-') || value.is_empty() || value == "!" { 1 } else { 2 };
                Tri::Maybe
            }
            _ => {
                used = 1;
                Tri::Yes
            }
        };
        // `-m module` is never negated, and neither is a comment.
        all = all.and(one.flip(not && word != "-m"));
        not = false;
        index += used;
    }
    all
}

fn mark(have: Option<u32>, value: &str) -> Tri {
    let number = |text: &str| -> Option<u32> {
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let (want, mask) = value.split_once('/').unwrap_or((value, "0xffffffff"));
    match (have, number(want), number(mask)) {
        (Some(have), Some(want), Some(mask)) => (have & mask == want).into(),
        _ => Tri::Maybe,
    }
}

fn range(ip: IpAddr, value: &str) -> Tri {
    let (low, high) = value.split_once('-').unwrap_or((value, value));
    match (low.parse::<IpAddr>(), high.parse::<IpAddr>()) {
        (Ok(low), Ok(high)) => (low <= ip && ip <= high).into(),
        _ => Tri::Maybe,
    }
}

fn addr_type(ip: IpAddr, value: &str, spot: &Spot<'_>) -> Tri {
    let local = (spot.local)(ip) || ip.is_loopback();
    let one = |word: &str| match word {
        "LOCAL" => Tri::from(local),
        "UNICAST" => Tri::from(!local),
        "BROADCAST" | "MULTICAST" | "ANYCAST" | "UNSPEC" => Tri::No,
        _ => Tri::Maybe,
    };
    value.split(',').map(one).fold(Tri::No, |all, one| match (all, one) {
        (Tri::Yes, _) | (_, Tri::Yes) => Tri::Yes,
        (Tri::No, Tri::No) => Tri::No,
        _ => Tri::Maybe,
    })
}
