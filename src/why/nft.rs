//! What the native rules of nftables do to a packet, from `nft -j list ruleset`.
//!
//! Tables that iptables keeps in nftables are read by `iptables-save` instead: nft hides the arguments of their matches.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::packet::{Effect, Hook, Nat, Packet, Port, RuleRef, Spot, Tri, icmp_type, icmp6_type, protocol};
use super::state::text;
use super::u32_match;

/// A base chain or a chain that is called.
#[derive(Clone, Debug, Default)]
struct Chain {
    family: String,
    table: String,
    name: String,
    hook: Option<Hook>,
    kind: String,
    prio: i32,
    policy: String,
    devices: Vec<String>,
    rules: Vec<Value>,
}

/// The whole ruleset.
#[derive(Clone, Debug, Default)]
pub(super) struct Nft {
    chains: Vec<Chain>,
    sets: HashMap<(String, String, String), Value>,
    /// The families that have tables which iptables may have made.
    pub families: Vec<String>,
}

/// A side of a comparison.
#[derive(Clone, Debug)]
enum Val {
    Text(String),
    Ip(IpAddr),
    Num(u64),
    Port(Port),
    Bits(u64),
    Concat(Vec<Val>),
    Unknown,
}

enum Flow {
    Accept,
    Drop,
    Return,
}

const DEPTH: usize = 32;

impl Nft {
    /// Reads `nft -j list ruleset`; what cannot be read is empty.
    #[must_use]
    pub(super) fn parse(stdout: &str) -> Self {
        let mut nft = Self::default();
        let document: Value = serde_json::from_str(stdout).unwrap_or_default();
        for item in document.get("nftables").and_then(Value::as_array).into_iter().flatten() {
            if let Some(table) = item.get("table") {
                let classic = ["filter", "nat", "mangle", "raw", "security"].contains(&text(table, "name"));
                if classic {
                    nft.families.push(text(table, "family").to_owned());
                }
            } else if let Some(chain) = item.get("chain") {
                let hook = match text(chain, "hook") {
                    "prerouting" => Some(Hook::Prerouting),
                    "input" => Some(Hook::Input),
                    "forward" => Some(Hook::Forward),
                    "output" => Some(Hook::Output),
                    "postrouting" => Some(Hook::Postrouting),
                    "ingress" => Some(Hook::Ingress),
                    "egress" => Some(Hook::Egress),
                    _ => None,
                };
                let devices = match chain.get("dev") {
                    Some(Value::String(one)) => vec![one.clone()],
                    Some(Value::Array(all)) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
                    _ => Vec::new(),
                };
                nft.chains.push(Chain {
                    family: text(chain, "family").into(),
                    table: text(chain, "table").into(),
                    name: text(chain, "name").into(),
                    hook,
                    kind: text(chain, "type").into(),
                    prio: chain
                        .get("prio")
                        .and_then(Value::as_i64)
                        .and_then(|prio| i32::try_from(prio).ok())
                        .unwrap_or(0),
                    policy: text(chain, "policy").into(),
                    devices,
                    rules: Vec::new(),
                });
            } else if let Some(rule) = item.get("rule") {
                let of = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
                if let Some(chain) =
                    nft.chains.iter_mut().find(|chain| (&*chain.family, &*chain.table, &*chain.name) == of)
                {
                    chain.rules.push(rule.clone());
                }
            } else if let Some(set) = item.get("set").or_else(|| item.get("map")) {
                let key = (text(set, "family").to_owned(), text(set, "table").to_owned(), text(set, "name").to_owned());
                nft.sets.insert(key, set.get("elem").cloned().unwrap_or(Value::Array(Vec::new())));
            }
        }
        nft
    }

    /// Whether there are chains of devices, whose devices this nft may not say in JSON (1.0.6 does not).
    #[must_use]
    pub(super) fn has_netdev(&self) -> bool {
        self.chains
            .iter()
            .any(|chain| matches!(chain.hook, Some(Hook::Ingress | Hook::Egress)) && chain.devices.is_empty())
    }

    /// Finds the devices of such chains in the text form.
    pub(super) fn add_devices(&mut self, listing: &str) {
        let (mut family, mut table, mut name) = (String::new(), String::new(), String::new());
        for line in listing.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["table", of, called, ..] => (family, table) = ((*of).into(), (*called).into()),
                ["chain", called, ..] => name = (*called).into(),
                ["type", ..] if line.contains("device") => {
                    let start = line.find("device").unwrap_or(0);
                    let end = line[start..].find("priority").map_or(line.len(), |at| at + start);
                    let devices = line[start..end].split('"').skip(1).step_by(2).map(str::to_owned).collect();
                    let chain = self
                        .chains
                        .iter_mut()
                        .find(|chain| chain.family == family && chain.table == table && chain.name == name);
                    if let Some(chain) = chain {
                        chain.devices = devices;
                    }
                }
                _ => {}
            }
        }
    }

    /// The base chains of a hook that a packet of a family meets, as priority and index. `skip` are tables that are read otherwise.
    #[must_use]
    pub(super) fn bases(
        &self,
        families: &[&str],
        hook: Hook,
        dev: &str,
        skip: &dyn Fn(&str, &str) -> bool,
    ) -> Vec<(i32, usize)> {
        self.chains
            .iter()
            .enumerate()
            .filter(|(_, chain)| {
                chain.hook == Some(hook) && families.contains(&&*chain.family) && !skip(&chain.family, &chain.table)
            })
            .filter(|(_, chain)| {
                !matches!(hook, Hook::Ingress | Hook::Egress) || chain.devices.iter().any(|one| one == dev)
            })
            .map(|(index, chain)| (chain.prio, index))
            .collect()
    }

    /// The kind of a base chain: `filter`, `nat`, `route`.
    #[must_use]
    pub(super) fn kind(&self, index: usize) -> &str {
        &self.chains[index].kind
    }

    /// The counter of a rule.
    #[must_use]
    pub(super) fn counter(&self, rule: &RuleRef) -> Option<u64> {
        let chains = self.chains.iter().filter(|chain| rule.table == format!("{} {}", chain.family, chain.table));
        let found = chains
            .flat_map(|chain| &chain.rules)
            .find(|one| one.get("handle").and_then(Value::as_u64) == Some(rule.handle))?;
        counter(found)
    }

    /// What a base chain does to a packet.
    #[must_use]
    pub(super) fn run(&self, index: usize, packet: &Packet, spot: &Spot<'_>) -> Effect {
        let mut effect = Effect::default();
        let base = &self.chains[index];
        let flow = self.chain(base, &base.name, packet, spot, false, &mut effect, 0);
        if matches!(flow, Flow::Return) && base.policy == "drop" {
            let delete = ["chain", &base.family, &base.table, &base.name, "{", "policy", "accept", ";", "}"];
            effect.drop = Some(RuleRef {
                tool: "nft".into(),
                table: format!("{} {}", base.family, base.table),
                chain: base.name.clone(),
                text: "policy drop".into(),
                policy: true,
                packets: None,
                reject: false,
                delete: delete.map(str::to_owned).into(),
                base: base.name.clone(),
                handle: 0,
            });
        }
        effect
    }

    #[expect(clippy::too_many_arguments, reason = "one recursion")]
    fn chain(
        &self,
        chain: &Chain,
        base: &str,
        packet: &Packet,
        spot: &Spot<'_>,
        maybe: bool,
        effect: &mut Effect,
        depth: usize,
    ) -> Flow {
        if depth > DEPTH {
            return Flow::Return;
        }
        for rule in &chain.rules {
            let mut packet = packet.clone();
            if let Some(mark) = effect.mark {
                packet.mark = mark;
            }
            let mut state = if maybe { Tri::Maybe } else { Tri::Yes };
            let expressions = rule.get("expr").and_then(Value::as_array).cloned().unwrap_or_default();
            for expression in &expressions {
                let Some((name, body)) = expression.as_object().and_then(|map| map.iter().next()) else { continue };
                let sure = state == Tri::Yes;
                let this = || rule_ref(chain, base, rule, &expressions, name == "reject");
                match name.as_str() {
                    "match" => state = state.and(self.judge(chain, body, &packet, spot)),
                    "counter" | "log" | "comment" => {}
                    "accept" => {
                        if sure {
                            return Flow::Accept;
                        }
                        effect.maybe_accepted = true;
                    }
                    "drop" | "reject" => {
                        if sure {
                            effect.drop = Some(this());
                            return Flow::Drop;
                        }
                        effect.suspects.push(this());
                    }
                    "queue" => effect.suspects.push(this()),
                    "return" => {
                        if sure {
                            return Flow::Return;
                        }
                        effect.maybe_accepted = true;
                    }
                    "jump" | "goto" => {
                        if let Some(next) = self.find(chain, text(body, "target")) {
                            let flow = self.chain(next, base, &packet, spot, !sure, effect, depth + 1);
                            if sure && (!matches!(flow, Flow::Return) || name == "goto") {
                                return flow;
                            }
                        }
                    }
                    "vmap" => match self.vmap(chain, body, &packet, spot) {
                        Some(Some(verdict)) => {
                            let verb =
                                verdict.as_object().and_then(|map| map.keys().next()).cloned().unwrap_or_default();
                            match verb.as_str() {
                                "accept" if sure => return Flow::Accept,
                                "accept" => effect.maybe_accepted = true,
                                "drop" if sure => {
                                    effect.drop = Some(this());
                                    return Flow::Drop;
                                }
                                "drop" => effect.suspects.push(this()),
                                "jump" | "goto" => {
                                    let target = verdict.get(&verb).map(|to| text(to, "target")).unwrap_or_default();
                                    if let Some(next) = self.find(chain, target) {
                                        let flow = self.chain(next, base, &packet, spot, !sure, effect, depth + 1);
                                        if sure && (!matches!(flow, Flow::Return) || verb == "goto") {
                                            return flow;
                                        }
                                    }
                                }
                                "return" if sure => return Flow::Return,
                                _ => {}
                            }
                        }
                        Some(None) => state = Tri::No,
                        None => effect.suspects.push(this()),
                    },
                    "mangle" => {
                        let key = body.get("key").and_then(|key| key.get("meta")).map(|meta| text(meta, "key"));
                        if key == Some("mark") {
                            let value =
                                body.get("value").and_then(Value::as_u64).and_then(|mark| u32::try_from(mark).ok());
                            effect.mark = Some(if sure { value } else { None });
                        }
                    }
                    "notrack" if sure => effect.notrack = true,
                    "masquerade" | "snat" | "dnat" | "redirect" => {
                        if sure {
                            effect.nat = Some((translation(name, body), this()));
                            return Flow::Accept;
                        }
                        effect.maybe_accepted = true;
                    }
                    // A rate that is not used up lets pass, one that is `over` does not: nobody knows which it is now.
                    _ => state = state.and(Tri::Maybe),
                }
                if state == Tri::No {
                    break;
                }
            }
        }
        Flow::Return
    }

    fn find(&self, near: &Chain, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.family == near.family && chain.table == near.table && chain.name == name)
    }

    fn elements(&self, chain: &Chain, set: &Value) -> Option<Vec<Value>> {
        let elements = match set {
            Value::String(name) => {
                let name = name.strip_prefix('@')?;
                self.sets.get(&(chain.family.clone(), chain.table.clone(), name.to_owned()))?
            }
            Value::Object(map) => map.get("set")?,
            _ => return None,
        };
        Some(match elements {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        })
    }

    fn judge(&self, chain: &Chain, body: &Value, packet: &Packet, spot: &Spot<'_>) -> Tri {
        let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else { return Tri::Maybe };
        let have = left_value(left, packet, spot);
        let is_set = right.get("set").is_some() || right.as_str().is_some_and(|name| name.starts_with('@'));
        let op = text(body, "op");
        let same = if is_set {
            match self.elements(chain, right) {
                Some(all) => all.iter().map(|one| equal(&have, bare(one))).fold(Tri::No, |all, one| match (all, one) {
                    (Tri::Yes, _) | (_, Tri::Yes) => Tri::Yes,
                    (Tri::No, Tri::No) => Tri::No,
                    _ => Tri::Maybe,
                }),
                None => Tri::Maybe,
            }
        } else if let (Val::Bits(have), "in" | "==" | "!=") = (&have, op) {
            let want = bits(right);
            want.map_or(Tri::Maybe, |want| if op == "in" { (have & want != 0).into() } else { (*have == want).into() })
        } else if let ("<" | ">" | "<=" | ">=", Some(want)) = (op, right.as_u64()) {
            let number = match have {
                Val::Num(number) => Some(number),
                Val::Port(Port::Exact(port)) => Some(u64::from(port)),
                _ => None,
            };
            return number.map_or(Tri::Maybe, |number| {
                Tri::from(match op {
                    "<" => number < want,
                    ">" => number > want,
                    "<=" => number <= want,
                    _ => number >= want,
                })
            });
        } else {
            equal(&have, right)
        };
        same.flip(op == "!=")
    }

    /// The verdict that a verdict map gives: `Some(None)` for none, `None` when nobody can say.
    #[expect(clippy::option_option, reason = "no verdict is another answer than nobody can say")]
    fn vmap(&self, chain: &Chain, body: &Value, packet: &Packet, spot: &Spot<'_>) -> Option<Option<Value>> {
        let left = body.get("key")?;
        let have = left_value(left, packet, spot);
        let mut unsure = false;
        for pair in self.elements(chain, body.get("data")?)? {
            let (key, verdict) = (pair.get(0)?, pair.get(1)?);
            match equal(&have, bare(key)) {
                Tri::Yes => return Some(Some(verdict.clone())),
                Tri::Maybe => unsure = true,
                Tri::No => {}
            }
        }
        (!unsure).then_some(None)
    }
}

/// The value of a set element, without its comment, counter or time-out.
fn bare(element: &Value) -> &Value {
    element.get("elem").and_then(|elem| elem.get("val")).unwrap_or(element)
}

fn counter(rule: &Value) -> Option<u64> {
    let expressions = rule.get("expr")?.as_array()?;
    expressions.iter().find_map(|one| one.get("counter")?.get("packets")?.as_u64())
}

fn rule_ref(chain: &Chain, base: &str, rule: &Value, expressions: &[Value], reject: bool) -> RuleRef {
    let handle = rule.get("handle").and_then(Value::as_u64).unwrap_or(0);
    let words =
        ["delete", "rule", &chain.family, &chain.table, &chain.name, "handle", &handle.to_string()].map(str::to_owned);
    RuleRef {
        tool: "nft".into(),
        table: format!("{} {}", chain.family, chain.table),
        chain: chain.name.clone(),
        text: expressions.iter().map(words_of).filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" "),
        policy: false,
        packets: counter(rule),
        reject,
        delete: words.into(),
        base: base.to_owned(),
        handle,
    }
}

/// An expression in nft's own words, near enough for a person.
fn words_of(value: &Value) -> String {
    let all = |values: &[Value], between: &str| values.iter().map(words_of).collect::<Vec<_>>().join(between);
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => all(values, ","),
        Value::Object(map) => words_of_map(map, &all),
        other => other.to_string(),
    }
}

fn words_of_map(map: &Map<String, Value>, all: &dyn Fn(&[Value], &str) -> String) -> String {
    let Some((key, body)) = map.iter().next() else { return String::new() };
    let array = body.as_array().map_or(&[][..], Vec::as_slice);
    match key.as_str() {
        "match" => {
            let op = match text(body, "op") {
                "==" | "in" => String::new(),
                op => format!("{op} "),
            };
            format!("{} {op}{}", words_of(&body["left"]), words_of(&body["right"]))
        }
        "counter" => format!("counter packets {}", body.get("packets").and_then(Value::as_u64).unwrap_or(0)),
        "payload" if body.get("field").is_some() => format!("{} {}", text(body, "protocol"), text(body, "field")),
        "payload" => format!("@{},{},{}", text(body, "base"), body["offset"], body["len"]),
        "meta" | "ct" => {
            let bare = ["iifname", "oifname", "iif", "oif"].contains(&text(body, "key"));
            if bare { text(body, "key").to_owned() } else { format!("{key} {}", text(body, "key")) }
        }
        "prefix" => format!("{}/{}", text(body, "addr"), body["len"]),
        "range" => all(array, "-"),
        "set" => format!("{{ {} }}", all(array, ", ")),
        "concat" => all(array, " . "),
        "&" | "|" => all(array, &format!(" {key} ")),
        "jump" | "goto" => format!("{key} {}", text(body, "target")),
        "vmap" => format!("{} vmap {}", words_of(&body["key"]), words_of(&body["data"])),
        "xt" => format!("xt {}", text(body, "name")),
        _ if body.is_null() => key.clone(),
        _ => format!("{key} {}", words_of(body)),
    }
}

const STATES: [(&str, u64); 5] = [("invalid", 1), ("established", 2), ("related", 4), ("new", 8), ("untracked", 64)];

fn bits(value: &Value) -> Option<u64> {
    let one = |word: &str| {
        let flag = match word {
            "fin" => Some(1),
            "syn" => Some(2),
            "rst" => Some(4),
            "psh" => Some(8),
            "ack" => Some(16),
            "urg" => Some(32),
            _ => None,
        };
        flag.or_else(|| STATES.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit))
    };
    match value {
        Value::String(word) => one(word),
        Value::Array(words) => words.iter().try_fold(0, |all, word| Some(all | bits(word)?)),
        Value::Object(map) => map.get("|")?.as_array()?.iter().try_fold(0, |all, word| Some(all | bits(word)?)),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn left_value(left: &Value, packet: &Packet, spot: &Spot<'_>) -> Val {
    let Some((kind, body)) = left.as_object().and_then(|map| map.iter().next()) else { return Val::Unknown };
    match kind.as_str() {
        "meta" => match text(body, "key") {
            "iifname" | "iif" => Val::Text(spot.physin.unwrap_or(spot.iif).to_owned()),
            "oifname" | "oif" => Val::Text(spot.physout.unwrap_or(spot.oif).to_owned()),
            "ibrname" | "ibrport" => Val::Text(spot.iif.to_owned()),
            "obrname" => Val::Text(spot.oif.to_owned()),
            "mark" => packet.mark.map_or(Val::Unknown, |mark| Val::Num(mark.into())),
            "l4proto" => Val::Text(format!("proto:{}", packet.proto)),
            "nfproto" => Val::Text(if packet.v6() { "ipv6" } else { "ipv4" }.into()),
            "protocol" => Val::Text(
                if spot.arp {
                    "arp"
                } else if packet.v6() {
                    "ip6"
                } else {
                    "ip"
                }
                .into(),
            ),
            "length" => Val::Num(packet.size.into()),
            "pkttype" => Val::Text("unicast".into()),
            _ => Val::Unknown,
        },
        "ct" => match text(body, "key") {
            "state" => Val::Bits(STATES.iter().find(|(name, _)| *name == packet.ct.word()).map_or(0, |(_, bit)| *bit)),
            "direction" => Val::Text(if packet.reply { "reply" } else { "original" }.into()),
            _ => Val::Unknown,
        },
        "payload" => payload(body, packet, spot),
        "concat" => {
            let parts = body.as_array().map_or(&[][..], Vec::as_slice);
            Val::Concat(parts.iter().map(|part| left_value(part, packet, spot)).collect())
        }
        "&" => {
            let (inner, mask) = (body.get(0), body.get(1).and_then(bits));
            match (inner.map(|inner| left_value(inner, packet, spot)), mask) {
                (Some(Val::Bits(value)), Some(mask)) => Val::Bits(value & mask),
                (Some(Val::Num(value)), Some(mask)) => Val::Num(value & mask),
                _ => Val::Unknown,
            }
        }
        _ => Val::Unknown,
    }
}

fn payload(body: &Value, packet: &Packet, spot: &Spot<'_>) -> Val {
    if let (Some(offset), Some(length)) =
        (body.get("offset").and_then(Value::as_u64), body.get("len").and_then(Value::as_u64))
    {
        return raw(text(body, "base"), offset, length, packet).map_or(Val::Unknown, Val::Num);
    }
    let absent = Val::Text("absent".into());
    match (text(body, "protocol"), text(body, "field")) {
        ("ip", _) if packet.v6() || (spot.arp) => absent,
        ("ip6", _) if !packet.v6() || spot.arp => absent,
        ("arp", _) if !spot.arp => absent,
        ("ip" | "ip6", "saddr") | ("arp", "saddr ip") => Val::Ip(packet.src),
        ("ip" | "ip6", "daddr") | ("arp", "daddr ip") => Val::Ip(packet.dst),
        ("ip", "protocol") | ("ip6", "nexthdr") => Val::Text(format!("proto:{}", packet.proto)),
        ("ip", "ttl") | ("ip6", "hoplimit") => Val::Num(packet.ttl.into()),
        ("ip" | "ip6", "length") => Val::Num(packet.size.into()),
        ("tcp", _) if packet.proto != 6 => absent,
        ("udp", _) if packet.proto != 17 => absent,
        ("tcp" | "udp" | "th", "dport") => Val::Port(packet.dport),
        ("tcp" | "udp" | "th", "sport") => Val::Port(packet.sport),
        ("tcp", "flags") => Val::Bits(packet.tcp_flags().into()),
        ("icmp", "type") if packet.proto == 1 => Val::Text(format!("icmp:{}", packet.icmp.unwrap_or(255))),
        ("icmpv6", "type") if packet.proto == 58 => Val::Text(format!("icmp6:{}", packet.icmp.unwrap_or(255))),
        ("icmp" | "icmpv6", "type") => absent,
        ("ether", "saddr") => spot.macs.map_or(Val::Unknown, |(from, _)| Val::Text(from.to_lowercase())),
        ("ether", "daddr") => spot.macs.map_or(Val::Unknown, |(_, to)| Val::Text(to.to_lowercase())),
        ("ether", "type") => Val::Text(
            if spot.arp {
                "arp"
            } else if packet.v6() {
                "ip6"
            } else {
                "ip"
            }
            .into(),
        ),
        ("arp", "operation") => Val::Text(if packet.reply { "reply" } else { "request" }.into()),
        _ => Val::Unknown,
    }
}

/// Bits of the packet by their place.
fn raw(base: &str, offset: u64, length: u64, packet: &Packet) -> Option<u64> {
    let bytes = u32_match::header(packet);
    let start = match base {
        "nh" => 0,
        "th" if packet.v6() => 40 * 8,
        "th" => 20 * 8,
        _ => return None,
    } + usize::try_from(offset).ok()?;
    let length = usize::try_from(length).ok().filter(|length| *length <= 64)?;
    (start..start + length).try_fold(0u64, |value, bit| {
        let byte = bytes.get(bit / 8).copied().flatten()?;
        Some(value << 1 | u64::from(byte >> (7 - bit % 8) & 1))
    })
}

fn equal(have: &Val, want: &Value) -> Tri {
    match (have, want) {
        (Val::Text(have), _) if have == "absent" => Tri::No,
        (Val::Concat(parts), Value::Object(map)) if map.contains_key("concat") => {
            let wants = map["concat"].as_array().map_or(&[][..], Vec::as_slice);
            parts.iter().zip(wants).map(|(part, want)| equal(part, bare(want))).fold(Tri::Yes, Tri::and)
        }
        (Val::Text(have), Value::Object(map)) if map.contains_key("set") => {
            let all = map["set"].as_array().map_or(&[][..], Vec::as_slice);
            all.iter().any(|one| equal(&Val::Text(have.clone()), one) == Tri::Yes).into()
        }
        (Val::Text(have), Value::String(want)) => text_equal(have, want),
        (Val::Text(have), Value::Number(want)) => text_equal(have, &want.to_string()),
        (Val::Ip(have), Value::String(want)) => match want.parse::<IpAddr>() {
            Ok(want) => (*have == want).into(),
            Err(_) => want.parse::<IpNet>().map_or(Tri::Maybe, |net| net.contains(have).into()),
        },
        (Val::Ip(have), Value::Object(map)) => {
            if let Some(prefix) = map.get("prefix") {
                let net = format!("{}/{}", text(prefix, "addr"), prefix["len"]);
                return net.parse::<IpNet>().map_or(Tri::Maybe, |net| net.contains(have).into());
            }
            let ends = map.get("range").and_then(Value::as_array);
            let end = |index: usize| ends?.get(index)?.as_str()?.parse::<IpAddr>().ok();
            match (end(0), end(1)) {
                (Some(low), Some(high)) => (low <= *have && *have <= high).into(),
                _ => Tri::Maybe,
            }
        }
        (Val::Num(have), Value::Number(want)) => want.as_u64().map_or(Tri::Maybe, |want| (*have == want).into()),
        (Val::Num(have), Value::String(want)) => {
            let want =
                want.strip_prefix("0x").map_or_else(|| want.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok());
            want.map_or(Tri::Maybe, |want| (*have == want).into())
        }
        (Val::Port(have), want) => {
            let number = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
            if let Some(port) = number(want) {
                return have.within(port, port);
            }
            let ends = want.get("range").and_then(Value::as_array);
            match ends.map(|ends| (ends.first().and_then(number), ends.get(1).and_then(number))) {
                Some((Some(low), Some(high))) => have.within(low, high),
                _ => Tri::Maybe,
            }
        }
        (Val::Num(have), Value::Object(map)) => {
            let ends = map.get("range").and_then(Value::as_array);
            let end = |index: usize| ends?.get(index)?.as_u64();
            match (end(0), end(1)) {
                (Some(low), Some(high)) => (low <= *have && *have <= high).into(),
                _ => Tri::Maybe,
            }
        }
        (Val::Bits(have), want) => bits(want).map_or(Tri::Maybe, |want| (have & want != 0).into()),
        _ => Tri::Maybe,
    }
}

fn text_equal(have: &str, want: &str) -> Tri {
    if let Some(number) = have.strip_prefix("proto:") {
        return protocol(want).map_or(Tri::Maybe, |want| (number == want.to_string()).into());
    }
    if let Some(number) = have.strip_prefix("icmp:") {
        return icmp_type(want).map_or(Tri::Maybe, |want| (number == want.to_string()).into());
    }
    if let Some(number) = have.strip_prefix("icmp6:") {
        return icmp6_type(want).map_or(Tri::Maybe, |want| (number == want.to_string()).into());
    }
    match want.strip_suffix('*') {
        Some(start) => have.starts_with(start).into(),
        None => have.eq_ignore_ascii_case(want).into(),
    }
}

fn translation(name: &str, body: &Value) -> Nat {
    let addr = body.get("addr").and_then(Value::as_str).and_then(|ip| ip.parse().ok());
    let port = body.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    match name {
        "masquerade" => Nat::Masquerade,
        "snat" => Nat::Source(addr, port),
        "dnat" => Nat::Destination(addr, port),
        _ => Nat::Redirect(port),
    }
}

impl Nft {
    /// Whether any rule translates sources.
    #[must_use]
    pub(super) fn translates(&self) -> bool {
        let mut expressions =
            self.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.get("expr")?.as_array()).flatten();
        expressions.any(|one| one.get("masquerade").is_some() || one.get("snat").is_some())
    }
}
