//! What the native rules of nftables do to a packet, from `nft -j list ruleset`.
//!
//! Tables that iptables keeps in nftables are read by `iptables-save` instead: nft hides the arguments of their matches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::evaluation::{DEPTH, Effect, Ends, Run, State, Trail, any, number, tracked};
use super::iptables::Tables;
use super::packet::{Asked, Ct, Hook, Nat, Packet, Port, RuleRef, Spot, To, Tri, Way, icmp_kind, icmp6_kind, protocol};
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
    /// Family and name of the tables, in the order that they were made.
    tables: Vec<(String, String)>,
}

/// What the packet has where a rule looks.
#[derive(Clone, Debug)]
enum Val {
    /// Nothing is there: the rule does not match, whatever it compares with.
    Absent,
    /// A word; numbers of protocols and ICMP types carry what they are: `proto:6`, `icmp:8`.
    Text(String),
    Ip(IpAddr),
    Num(u64),
    Port(Port),
    /// Flags.
    Bits(u64),
    Concat(Vec<Val>),
    /// Something is there, and nobody can say what.
    Unknown,
}

/// The link that no route leads by, as `fib … oif` has it.
const NOWHERE: &str = "0";

impl Nft {
    /// Reads `nft -j list ruleset`; what cannot be read is empty.
    #[must_use]
    pub(super) fn parse(stdout: &str) -> Self {
        let mut nft = Self::default();
        let document: Value = serde_json::from_str(stdout).unwrap_or_default();
        for item in document.get("nftables").and_then(Value::as_array).into_iter().flatten() {
            if let Some(table) = item.get("table") {
                nft.tables.push((text(table, "family").to_owned(), text(table, "name").to_owned()));
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

    /// The base chains of a hook that a packet of a family meets, as priority and index, without those that these tables of iptables have.
    #[must_use]
    pub(super) fn bases(&self, families: &[&str], hook: Hook, dev: &str, tables: &[&Tables]) -> Vec<(i32, usize)> {
        let known = |chain: &Chain| {
            let of = |tables: &&Tables| tables.owns(&chain.family, &chain.table, &chain.name, (hook, chain.prio));
            tables.iter().any(of)
        };
        self.chains
            .iter()
            .enumerate()
            .filter(|(_, chain)| chain.hook == Some(hook) && families.contains(&&*chain.family) && !known(chain))
            .filter(|(_, chain)| {
                !matches!(hook, Hook::Ingress | Hook::Egress) || chain.devices.iter().any(|one| one == dev)
            })
            .map(|(index, chain)| (chain.prio, index))
            .collect()
    }

    /// When a table was made, compared with others.
    #[must_use]
    pub(super) fn age(&self, family: &str, table: &str) -> usize {
        self.tables.iter().position(|(of, name)| of == family && name == table).unwrap_or(usize::MAX)
    }

    /// When the table of a base chain was made, and the chain in it.
    #[must_use]
    pub(super) fn made(&self, index: usize) -> (usize, usize) {
        (self.age(&self.chains[index].family, &self.chains[index].table), index)
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

    /// What a base chain does to a packet; perhaps as if a set had said the contrary.
    #[must_use]
    pub(super) fn run(&self, index: usize, packet: &Packet, spot: &Spot<'_>, assume: Option<&Asked>) -> Effect {
        self.run_by(index, packet, Run::new(spot, &self.chains[index].name, assume))
    }

    /// The same as if a rule did not ask for one thing.
    #[must_use]
    pub(super) fn run_less(&self, index: usize, packet: &Packet, spot: &Spot<'_>, less: &OneThing) -> Effect {
        self.run_by(index, packet, Run::new(spot, &self.chains[index].name, None).less(less.handle, less.place))
    }

    fn run_by(&self, index: usize, packet: &Packet, run: Run<'_>) -> Effect {
        let base = &self.chains[index];
        let policy = (base.policy == "drop").then(|| RuleRef {
            tool: "nft".into(),
            table: format!("{} {}", base.family, base.table),
            chain: base.name.clone(),
            text: "policy drop".into(),
            policy: true,
            packets: None,
            reject: false,
            delete: ["chain", &base.family, &base.table, &base.name, "{", "policy", "accept", ";", "}"]
                .map(str::to_owned)
                .into(),
            base: base.name.clone(),
            handle: 0,
            path: Vec::new(),
            element: None,
        });
        let mut effect = self.chain(base, State::new(packet), &run, 0).effect(policy);
        effect.asked = run.all_asked();
        effect
    }

    fn chain(&self, chain: &Chain, state: State, run: &Run<'_>, depth: usize) -> Ends {
        let mut trail = Trail::new(state);
        for rule in chain.rules.iter().filter(|_| depth < DEPTH) {
            if trail.here.is_none() {
                break;
            }
            let expressions = rule.get("expr").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let mut when = if run.step() { Tri::Yes } else { Tri::Maybe };
            let handle = handle_of(rule);
            for (_, expression) in expressions.iter().enumerate().filter(|(at, _)| !run.leaves_out(handle, *at)) {
                let Some((name, body)) = expression.as_object().and_then(|map| map.iter().next()) else { continue };
                let Some(state) = trail.here.as_ref().filter(|_| when != Tri::No) else { break };
                when = match name.as_str() {
                    "match" => when.and(self.judge(chain, rule, body, &state.packet, run)),
                    "counter" | "log" | "comment" | "last" | "ct helper" | "ct timeout" | "ct expectation" | "flow"
                    | "set" | "map" | "dup" | "secmark" => when,
                    "vmap" => {
                        let verdicts = self.verdicts(chain, rule, body, &state.packet, run);
                        self.by_map(chain, rule, verdicts, when, &mut trail, run, depth)
                    }
                    _ => self.act(chain, rule, (name, body), when, &mut trail, run, depth),
                };
            }
        }
        trail.end()
    }

    /// What a statement does to a packet that comes to it surely or maybe. Returns whether the rule goes on.
    #[expect(clippy::too_many_arguments, reason = "one statement at its place")]
    fn act(
        &self,
        chain: &Chain,
        rule: &Value,
        (name, body): (&str, &Value),
        when: Tri,
        trail: &mut Trail,
        run: &Run<'_>,
        depth: usize,
    ) -> Tri {
        let this = || rule_ref(chain, run, rule, name == "reject");
        match name {
            "accept" => trail.accept_by(when, this()),
            "reject" if !trail.here.as_ref().is_some_and(|state| refuses(body, &state.packet)) => return Tri::No,
            "drop" | "reject" => trail.drop(when, this()),
            "return" => trail.ret(when),
            "continue" => {}
            "jump" | "goto" => {
                if let Some(next) = self.find(chain, text(body, "target")) {
                    let this = this();
                    trail.call(when, name == "goto", |state| {
                        run.within(this.text, this.delete, || self.chain(next, state, run, depth + 1))
                    });
                }
            }
            // Whoever takes it from the queue accepts it or drops it.
            "queue" => {
                trail.anything(this());
                trail.accept(when);
            }
            "notrack" => trail.change(when, |state| state.untrack(this())),
            "mangle" => trail.change(when, |state| {
                let before = state.packet.mark;
                self.mangle(chain, body, state, run);
                if state.packet.mark != before {
                    state.packet.remember_mark(before, this());
                }
                if let Some(zone) = self.zone(chain, body, &state.packet, run) {
                    let number = if let Val::Num(number) = zone { u16::try_from(number).ok() } else { None };
                    state.zone(number, this());
                }
            }),
            "masquerade" | "snat" | "dnat" | "redirect" => {
                let Some(state) = &trail.here else { return when };
                match self.translation(chain, name, body, &state.packet, run) {
                    Some(nat) => trail.translate(when, nat, this()),
                    // The address to translate to is looked up with something that the packet or the map does not have.
                    None => return Tri::No,
                }
            }
            // A rate that is not used up lets pass, one that is `over` does not: nobody knows which it is now.
            "limit" | "quota" | "ct count" => return when.and(Tri::Maybe),
            // Without a socket that takes it the rule does not go on (`nft_tproxy_eval_v4`).
            "tproxy" => {
                trail.change(when, |state| state.packet.past.proxied = Some(Arc::new(this())));
                return when.and(Tri::Maybe);
            }
            _ => {
                trail.anything(this());
                return when.and(Tri::Maybe);
            }
        }
        when
    }

    /// The verdicts of a map, each with whether it is this one.
    fn verdicts<'a>(
        &'a self,
        chain: &Chain,
        rule: &Value,
        body: &'a Value,
        packet: &Packet,
        run: &Run<'_>,
    ) -> Found<'a> {
        let (Some(key), Some(data)) = (body.get("key"), body.get("data")) else { return Found::unknown() };
        let Some(pairs) = self.elements(chain, data) else { return Found::unknown() };
        let have = left_value(key, packet, run.spot);
        let mut found = look_up(&have, pairs);
        let (Some(set), [(Tri::Yes, verdict)]) = (named(data), found.all.as_slice()) else { return found };
        // What an element that is not there would lead to, nobody says: only the contrary can be asked.
        if run.ask(asked(chain, rule, (set, pairs), &have, true)) {
            found.element = Some(format!("{} : {} in the map {set}", shown(&have), words_of(verdict)));
            return found;
        }
        Found { all: Vec::new(), missing: Tri::Yes, element: None }
    }

    /// What the verdicts of a map do. Returns whether the rule goes on.
    #[expect(clippy::too_many_arguments, reason = "one statement at its place")]
    fn by_map(
        &self,
        chain: &Chain,
        rule: &Value,
        found: Found<'_>,
        when: Tri,
        trail: &mut Trail,
        run: &Run<'_>,
        depth: usize,
    ) -> Tri {
        // What may come after a verdict that only may be this one must not be lost with it.
        if found.all.is_empty() && found.missing == Tri::Maybe {
            trail.anything(rule_ref(chain, run, rule, false));
            return when.and(Tri::Maybe);
        }
        for (sure, verdict) in found.all {
            let Some((name, body)) = verdict.as_object().and_then(|map| map.iter().next()) else { continue };
            run.comes_from(found.element.clone());
            self.act(chain, rule, (name, body), when.and(sure), trail, run, depth);
        }
        run.comes_from(None);
        when.and(found.missing)
    }

    /// A statement that sets something of the packet.
    fn mangle(&self, chain: &Chain, body: &Value, state: &mut State, run: &Run<'_>) {
        let Some((kind, key)) = body.get("key").and_then(Value::as_object).and_then(|map| map.iter().next()) else {
            return;
        };
        let value = body.get("value").map_or(Val::Unknown, |value| self.value(chain, value, &state.packet, run));
        let number = match value {
            Val::Num(number) => u32::try_from(number).ok(),
            _ => None,
        };
        match (kind.as_str(), text(key, "key"), text(key, "field")) {
            ("meta", "mark", _) => state.packet.mark = number,
            ("ct", "mark", _) if tracked(&state.packet) != Tri::No => state.packet.track.mark = number,
            ("payload", _, "ttl" | "hoplimit") => state.packet.ttl = number.and_then(|ttl| u8::try_from(ttl).ok()),
            ("payload", _, "dscp" | "ecn") => state.packet.tos = None,
            // Addresses and ports can be overwritten without connection tracking: where it goes then is a guess.
            ("payload", _, "saddr" | "daddr" | "sport" | "dport") | ("payload", "", "") => state.guess = true,
            _ => {}
        }
    }

    /// What a statement sets the zone of connection tracking to, where it does; of one direction only, nobody can say.
    fn zone(&self, chain: &Chain, body: &Value, packet: &Packet, run: &Run<'_>) -> Option<Val> {
        let ct = body.get("key")?.get("ct").filter(|ct| text(ct, "key") == "zone")?;
        let whole = ct.get("dir").is_none();
        let value = body.get("value").filter(|_| whole).map(|value| self.value(chain, value, packet, run));
        Some(value.unwrap_or(Val::Unknown))
    }

    /// A value that is written down, computed from the packet, or looked up in a map.
    fn value(&self, chain: &Chain, value: &Value, packet: &Packet, run: &Run<'_>) -> Val {
        if let Some(number) = value.as_u64() {
            return Val::Num(number);
        }
        if let Some(text) = value.as_str() {
            return match (text.parse(), number(text)) {
                (Ok(ip), _) => Val::Ip(ip),
                (_, Some(number)) => Val::Num(number.into()),
                _ => Val::Unknown,
            };
        }
        let Some(map) = value.get("map") else {
            let inner =
                |index: usize, sign: &str| value.get(sign)?.get(index).map(|one| self.value(chain, one, packet, run));
            return match (inner(0, "|"), inner(1, "|"), inner(0, "^"), inner(1, "^")) {
                (Some(Val::Num(one)), Some(Val::Num(other)), ..) => Val::Num(one | other),
                (.., Some(Val::Num(one)), Some(Val::Num(other))) => Val::Num(one ^ other),
                (None, None, None, None) => left_value(value, packet, run.spot),
                _ => Val::Unknown,
            };
        };
        let found = self.verdicts(chain, &Value::Null, map, packet, run);
        match (found.all.as_slice(), found.missing) {
            ([(Tri::Yes, one)], _) => self.value(chain, one, packet, run),
            ([], Tri::Yes) => Val::Absent,
            _ => Val::Unknown,
        }
    }

    /// A translation; `None` when it does not come to that.
    fn translation(&self, chain: &Chain, name: &str, body: &Value, packet: &Packet, run: &Run<'_>) -> Option<Nat> {
        let flags = body.get("flags").map(ToString::to_string).unwrap_or_default();
        let ends = |value: &Value| {
            let ends = value.get("range").and_then(Value::as_array)?;
            Some((ends.first()?.clone(), ends.get(1)?.clone()))
        };
        let port = match body.get("port") {
            _ if flags.contains("random") => To::Unknown,
            None => To::Same,
            Some(value) => {
                let one = |value: &Value| match self.value(chain, value, packet, run) {
                    Val::Num(port) => u16::try_from(port).ok(),
                    Val::Port(Port::Exact(port)) => Some(port),
                    _ => None,
                };
                match ends(value).map(|(low, high)| (one(&low), one(&high))) {
                    Some((Some(low), Some(high))) => To::Among(low, high),
                    Some(_) => To::Unknown,
                    None => one(value).map_or(To::Unknown, To::One),
                }
            }
        };
        if flags.contains("netmap") {
            return self.onto_prefix(chain, name, body, packet, run);
        }
        let ip = match body.get("addr") {
            None => To::Same,
            // A range that happens to be one.
            Some(value) if prefix(value).is_some() => match prefix(value).map(|net| (net.network(), net.broadcast())) {
                Some((low, high)) if low == high => To::One(low),
                Some((low, high)) => To::Among(low, high),
                None => To::Unknown,
            },
            Some(value) => {
                let one = |value: &Value| self.value(chain, value, packet, run);
                match ends(value).map(|(low, high)| (one(&low), one(&high))) {
                    Some((Val::Ip(low), Val::Ip(high))) => To::Among(low, high),
                    Some(_) => To::Unknown,
                    None => match one(value) {
                        Val::Ip(ip) => To::One(ip),
                        Val::Absent => return None,
                        _ => To::Unknown,
                    },
                }
            }
        };
        let other_family = matches!(text(body, "family"), "ip" | "ip6")
            && (text(body, "family") == "ip6") != packet.v6()
            || matches!(ip, To::One(ip) if ip.is_ipv6() != packet.v6());
        if other_family {
            return None;
        }
        // Addresses with ports out of one map are not read.
        let (ip, port) = if text(body, "type_flags").is_empty() { (ip, port) } else { (To::Unknown, To::Unknown) };
        Some(match name {
            "masquerade" => Nat::Masquerade(port),
            "snat" => Nat::Source(ip, port),
            "dnat" => Nat::Destination(ip, port),
            _ => Nat::Redirect(port),
        })
    }

    /// `snat prefix to` and `dnat prefix to`: the network part of the address becomes this one, written down or out of a map.
    fn onto_prefix(&self, chain: &Chain, name: &str, body: &Value, packet: &Packet, run: &Run<'_>) -> Option<Nat> {
        let unknown = match name {
            "snat" => Nat::Source(To::Unknown, To::Unknown),
            _ => Nat::Destination(To::Unknown, To::Unknown),
        };
        let addr = body.get("addr")?;
        let prefix = |value: &Value| {
            let one = || value.as_str().and_then(|text| text.parse::<IpAddr>().ok()).map(IpNet::from);
            prefix(value).or_else(one)
        };
        let net = match addr.get("map") {
            None => prefix(addr),
            Some(map) => {
                let found = self.verdicts(chain, &Value::Null, map, packet, run);
                match (found.all.as_slice(), found.missing) {
                    ([(Tri::Yes, one)], _) => prefix(one),
                    ([], Tri::Yes) => return None,
                    _ => None,
                }
            }
        };
        match net {
            Some(net) if net.addr().is_ipv6() != packet.v6() => None,
            Some(net) => Some(Nat::Map(net)),
            None => Some(unknown),
        }
    }

    fn find(&self, near: &Chain, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.family == near.family && chain.table == near.table && chain.name == name)
    }

    fn elements<'a>(&'a self, chain: &Chain, set: &'a Value) -> Option<&'a [Value]> {
        let elements = match set {
            Value::String(name) => {
                let name = name.strip_prefix('@')?;
                self.sets.get(&(chain.family.clone(), chain.table.clone(), name.to_owned()))?
            }
            Value::Object(map) => map.get("set")?,
            _ => return None,
        };
        Some(elements.as_array().map_or(std::slice::from_ref(elements), Vec::as_slice))
    }

    fn judge(&self, chain: &Chain, rule: &Value, body: &Value, packet: &Packet, run: &Run<'_>) -> Tri {
        let (Some(left), Some(right)) = (body.get("left"), body.get("right")) else { return Tri::Maybe };
        let have = left_value(left, packet, run.spot);
        if matches!(have, Val::Absent) {
            return Tri::No;
        }
        if let Some(index) = by_index(left, right).filter(|_| op_is(body)) {
            // A link that is gone has left its number behind; whether a link of today was meant, only the contrary can tell.
            let dev = if text(&left["meta"], "key") == "iif" { run.spot.iif } else { run.spot.oif };
            let asked = Asked {
                tool: LINK.into(),
                set: index.to_owned(),
                element: dev.to_owned(),
                held: false,
                exact: false,
                rule: rule_text(rule),
            };
            return run.ask(asked).into();
        }
        let is_set = right.get("set").is_some() || right.as_str().is_some_and(|name| name.starts_with('@'));
        let op = text(body, "op");
        if is_set {
            let elements = self.elements(chain, right);
            let mut found = elements.map_or(Tri::Maybe, |all| is_in(&have, all));
            if let Some(set) = named(right).zip(elements).filter(|_| found != Tri::Maybe) {
                found = run.ask(asked(chain, rule, set, &have, found == Tri::Yes)).into();
            }
            return found.flip(op == "!=");
        }
        match (&have, op) {
            // Without a sign, flags match when any of them is set.
            (Val::Bits(have), "in") => bits(right).map_or(Tri::Maybe, |want| (have & want != 0).into()),
            (_, "<" | ">" | "<=" | ">=") => right.as_u64().map_or(Tri::Maybe, |want| compare(&have, op, want)),
            (_, "==" | "in") => equal(&have, right),
            (_, "!=") => equal(&have, right).flip(true),
            _ => Tri::Maybe,
        }
    }
}

/// What stands for the tool where a rule asks for a link by its number.
pub(super) const LINK: &str = "link";

/// The number that `iif` or `oif` is compared with: nft writes the name while the link is there.
fn by_index<'v>(left: &Value, right: &'v Value) -> Option<&'v str> {
    let meta = left.get("meta").filter(|meta| matches!(text(meta, "key"), "iif" | "oif"))?;
    let index = right.as_str().filter(|index| !index.is_empty() && index.bytes().all(|one| one.is_ascii_digit()));
    index.filter(|_| meta.is_object())
}

/// Whether it is compared for being the same.
fn op_is(body: &Value) -> bool {
    matches!(text(body, "op"), "==" | "in")
}

/// Whether a match looks at the addresses or ports of the packet.
fn narrows(body: &Value) -> bool {
    let left = &body["left"]["payload"];
    matches!(text(left, "field"), "saddr" | "daddr" | "sport" | "dport")
}

/// The one thing that a match looks at, as iptables says it.
fn asked_for(left: &Value) -> Option<&'static str> {
    let payload = &left["payload"];
    match text(&left["meta"], "key") {
        "iifname" | "iif" => Some("-i"),
        "oifname" | "oif" => Some("-o"),
        _ if (text(payload, "protocol"), text(payload, "field")) == ("ether", "saddr") => Some("--mac-source"),
        _ => None,
    }
}

/// A network as JSON has it.
fn prefix(value: &Value) -> Option<IpNet> {
    let prefix = value.get("prefix")?;
    format!("{}/{}", text(prefix, "addr"), prefix.get("len")?).parse().ok()
}

/// What a map has for a key.
struct Found<'a> {
    /// The values that it surely or maybe is.
    all: Vec<(Tri, &'a Value)>,
    /// Whether it is none of them.
    missing: Tri,
    /// The element of a named map.
    element: Option<String>,
}

impl Found<'_> {
    fn unknown() -> Self {
        Self { all: Vec::new(), missing: Tri::Maybe, element: None }
    }
}

/// The name of a set or map that has one.
fn named(set: &Value) -> Option<&str> {
    set.as_str()?.strip_prefix('@')
}

/// A named set of this chain's table, asked for what the packet has.
fn asked(chain: &Chain, rule: &Value, (set, elements): (&str, &[Value]), have: &Val, held: bool) -> Asked {
    let tool = format!("nft {} {}", chain.family, chain.table);
    let element = shown(have);
    let exact = elements.iter().any(|one| words_of(bare(one.get(0).unwrap_or(one))) == element);
    Asked { tool, set: set.to_owned(), element, held, exact, rule: rule_text(rule) }
}

/// What the packet has, as an element of a set is written.
fn shown(have: &Val) -> String {
    match have {
        Val::Port(Port::Exact(port)) => port.to_string(),
        Val::Absent | Val::Unknown | Val::Port(_) => String::new(),
        Val::Text(text) => match text.split_once(':').map(|(kind, number)| (kind, number.parse())) {
            Some(("proto", Ok(6_u8))) => "tcp".into(),
            Some(("proto", Ok(17))) => "udp".into(),
            Some(("proto", Ok(1))) => "icmp".into(),
            Some(("proto", Ok(58))) => "ipv6-icmp".into(),
            Some((_, Ok(number))) => number.to_string(),
            _ => text.clone(),
        },
        Val::Ip(ip) => ip.to_string(),
        Val::Num(number) | Val::Bits(number) => number.to_string(),
        Val::Concat(parts) => parts.iter().map(shown).collect::<Vec<_>>().join(" . "),
    }
}

fn look_up<'a>(have: &Val, pairs: &'a [Value]) -> Found<'a> {
    let mut found = Found { all: Vec::new(), missing: Tri::Yes, element: None };
    if matches!(have, Val::Absent) {
        return found;
    }
    let mut rest = None;
    for pair in pairs {
        let (Some(key), Some(value)) = (pair.get(0), pair.get(1)) else { continue };
        if bare(key) == "*" {
            rest = Some(value);
            continue;
        }
        match equal(have, bare(key)) {
            Tri::Yes => return Found { all: vec![(Tri::Yes, value)], missing: Tri::No, element: None },
            Tri::Maybe => {
                found.all.push((Tri::Maybe, value));
                found.missing = Tri::Maybe;
            }
            Tri::No => {}
        }
    }
    if let Some(value) = rest {
        found.all.push((found.missing, value));
        found.missing = Tri::No;
    }
    found
}

fn is_in(have: &Val, set: &[Value]) -> Tri {
    if set.iter().any(|one| bare(one) == "*") {
        return Tri::Yes;
    }
    any(set.iter().map(|one| equal(have, bare(one))))
}

fn compare(have: &Val, op: &str, want: u64) -> Tri {
    let (low, high) = match op {
        "<" if want == 0 => return Tri::No,
        "<" => (0, want - 1),
        "<=" => (0, want),
        ">" if want == u64::MAX => return Tri::No,
        ">" => (want + 1, u64::MAX),
        _ => (want, u64::MAX),
    };
    match have {
        Val::Num(have) => (low <= *have && *have <= high).into(),
        Val::Port(port) => match u16::try_from(low) {
            Ok(low) => port.within(low, u16::try_from(high).unwrap_or(u16::MAX)),
            Err(_) => Tri::No,
        },
        _ => Tri::Maybe,
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

fn handle_of(rule: &Value) -> u64 {
    rule.get("handle").and_then(Value::as_u64).unwrap_or(0)
}

fn rule_text(rule: &Value) -> String {
    let expressions = rule.get("expr").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    expressions.iter().map(words_of).filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
}

fn rule_ref(chain: &Chain, run: &Run<'_>, rule: &Value, reject: bool) -> RuleRef {
    let handle = handle_of(rule);
    let words =
        ["delete", "rule", &chain.family, &chain.table, &chain.name, "handle", &handle.to_string()].map(str::to_owned);
    let (path, element) = run.way();
    RuleRef {
        tool: "nft".into(),
        table: format!("{} {}", chain.family, chain.table),
        chain: chain.name.clone(),
        text: rule_text(rule),
        policy: false,
        packets: counter(rule),
        reject,
        delete: words.into(),
        base: run.base.to_owned(),
        handle,
        path,
        element,
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
            // `exists` and `missing` are what JSON has as true and false.
            if let Some(there) = body["right"].as_bool().filter(|_| body["left"].get("fib").is_some()) {
                return format!("{} {}", words_of(&body["left"]), if there { "exists" } else { "missing" });
            }
            let op = match text(body, "op") {
                "==" | "in" => String::new(),
                op => format!("{op} "),
            };
            format!("{} {op}{}", words_of(&body["left"]), words_of(&body["right"]))
        }
        "fib" => {
            let flags = body.get("flags").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            format!("fib {} {}", all(flags, " . "), text(body, "result"))
        }
        "mangle" => format!("{} set {}", words_of(&body["key"]), words_of(&body["value"])),
        "tproxy" => {
            let part = |key: &str| body.get(key).map(words_of).unwrap_or_default();
            match (part("addr"), part("port")) {
                (addr, port) if port.is_empty() => format!("tproxy to {addr}"),
                (addr, port) => format!("tproxy to {addr}:{port}"),
            }
        }
        "snat" | "dnat" | "redirect" | "masquerade" if body.is_object() => {
            let to = match (body.get("addr").map(words_of), body.get("port").map(words_of)) {
                (Some(addr), Some(port)) => format!(" to {addr}:{port}"),
                (Some(addr), None) => format!(" to {addr}"),
                (None, Some(port)) => format!(" to :{port}"),
                (None, None) => String::new(),
            };
            let onto = if body.get("flags").is_some_and(|flags| flags.to_string().contains("netmap")) {
                " prefix"
            } else {
                ""
            };
            format!("{key}{onto}{to}")
        }
        "map" => format!("{} map {}", words_of(&body["key"]), words_of(&body["data"])),
        "log" if body.get("prefix").is_some() => format!("log prefix \"{}\"", text(body, "prefix")),
        "log" => "log".to_owned(),
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

/// The bits of `ct state`, `ct status` and `tcp flags` (uapi `nf_conntrack_common.h`, `nf_tables.h`).
const FLAGS: [(&str, u64); 18] = [
    ("invalid", 1),
    ("established", 2),
    ("related", 4),
    ("new", 8),
    ("untracked", 64),
    ("expected", 1),
    ("seen-reply", 2),
    ("assured", 4),
    ("confirmed", 8),
    ("snat", 16),
    ("dnat", 32),
    ("dying", 512),
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 16),
    ("urg", 32),
];

fn bits(value: &Value) -> Option<u64> {
    match value {
        Value::String(word) => {
            FLAGS.iter().find(|(name, _)| name == word).map(|(_, bit)| *bit).or_else(|| number(word).map(u64::from))
        }
        Value::Array(words) => words.iter().try_fold(0, |all, word| Some(all | bits(word)?)),
        Value::Object(map) => map.get("|")?.as_array()?.iter().try_fold(0, |all, word| Some(all | bits(word)?)),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

fn left_value(left: &Value, packet: &Packet, spot: &Spot<'_>) -> Val {
    let Some((kind, body)) = left.as_object().and_then(|map| map.iter().next()) else { return Val::Unknown };
    match kind.as_str() {
        "meta" => meta(text(body, "key"), packet, spot),
        "ct" => connection(body, packet),
        "payload" => payload(body, packet, spot),
        "fib" => fib(body, packet, spot),
        "concat" => {
            let parts = body.as_array().map_or(&[][..], Vec::as_slice);
            let parts: Vec<Val> = parts.iter().map(|part| left_value(part, packet, spot)).collect();
            if parts.iter().any(|part| matches!(part, Val::Absent)) { Val::Absent } else { Val::Concat(parts) }
        }
        "&" => {
            let (inner, mask) = (body.get(0), body.get(1).and_then(bits));
            match (inner.map(|inner| left_value(inner, packet, spot)), mask) {
                (Some(Val::Bits(value)), Some(mask)) => Val::Bits(value & mask),
                (Some(Val::Num(value)), Some(mask)) => Val::Num(value & mask),
                (Some(Val::Absent), _) => Val::Absent,
                _ => Val::Unknown,
            }
        }
        _ => Val::Unknown,
    }
}

/// What the routing tables say of an address: its sort, or whether a route leads to it (by the link that the packet came in by).
fn fib(body: &Value, packet: &Packet, spot: &Spot<'_>) -> Val {
    let flags = body.get("flags").map(ToString::to_string).unwrap_or_default();
    let ip = if flags.contains("saddr") { packet.src } else { packet.dst };
    match text(body, "result") {
        _ if spot.arp => Val::Unknown,
        // With a device, only the addresses of that device count.
        "type" if !flags.contains("if") => Val::Text((spot.sort)(ip).word().into()),
        // What comes by lo is its own way back (`nft_fib_is_loopback`).
        "oif" | "oifname" if spot.hook == Hook::Prerouting && spot.iif == "lo" => Val::Text("lo".into()),
        "oif" | "oifname" => {
            let marked = flags.contains("mark");
            let asked = if flags.contains("saddr") {
                packet.way_back((spot.sort)(packet.dst), marked)
            } else {
                packet.looked_up(marked)
            };
            let only = match (flags.contains("\"iif\""), flags.contains("\"oif\"")) {
                (true, _) => Some(spot.iif),
                (_, true) => Some(spot.oif),
                _ => None,
            };
            match ((spot.way)(&asked), only) {
                (Way::Unknown, _) => Val::Unknown,
                (Way::By(devs), Some(dev)) if devs.iter().any(|one| one == dev) => Val::Text(dev.into()),
                // One of several ways is taken by a hash.
                (Way::By(devs), None) => match devs.as_slice() {
                    [dev] => Val::Text(dev.clone()),
                    _ => Val::Unknown,
                },
                _ => Val::Text(NOWHERE.into()),
            }
        }
        _ => Val::Unknown,
    }
}

fn meta(key: &str, packet: &Packet, spot: &Spot<'_>) -> Val {
    match key {
        "iifname" | "iif" => Val::Text(spot.iif.to_owned()),
        "oifname" | "oif" => Val::Text(spot.oif.to_owned()),
        "mark" => packet.mark.map_or(Val::Unknown, |mark| Val::Num(mark.into())),
        "l4proto" if spot.arp => Val::Absent,
        "l4proto" => Val::Text(format!("proto:{}", packet.proto)),
        "nfproto" => Val::Text(if packet.v6() { "ipv6" } else { "ipv4" }.into()),
        "protocol" => Val::Text(ether_type(packet, spot).into()),
        "length" => Val::Num(packet.size.into()),
        "pkttype" => Val::Text("host".into()),
        _ => Val::Unknown,
    }
}

fn ether_type(packet: &Packet, spot: &Spot<'_>) -> &'static str {
    match (spot.arp, packet.v6()) {
        (true, _) => "arp",
        (_, true) => "ip6",
        _ => "ip",
    }
}

/// What is known of the packet's connection; without one only its state.
fn connection(body: &Value, packet: &Packet) -> Val {
    let key = text(body, "key");
    match (key, tracked(packet)) {
        (_, Tri::Maybe) => return Val::Unknown,
        ("state", _) => {
            return Val::Bits(match packet.ct {
                Ct::Established => 2,
                Ct::Related => 4,
                Ct::New => 8,
                Ct::Untracked => 64,
                _ => 1,
            });
        }
        (_, Tri::No) => return Val::Absent,
        _ => {}
    }
    let orig = |side: usize| packet.track.orig.filter(|_| text(body, "dir") == "original").map(|tuple| tuple[side]);
    let ip = |side| orig(side).map_or(Val::Unknown, |(ip, _)| Val::Ip(ip));
    let port = |side| orig(side).map_or(Val::Unknown, |(_, port)| Val::Port(port));
    match key {
        "mark" => packet.track.mark.map_or(Val::Unknown, |mark| Val::Num(mark.into())),
        "direction" => Val::Text(if packet.reply { "reply" } else { "original" }.into()),
        // Of a connection that was just begun nothing else is set; of one that is answered, whether it is `assured` is not known.
        "status" if !packet.reply => Val::Bits(u64::from(packet.track.snat) << 4 | u64::from(packet.track.dnat) << 5),
        "saddr" | "ip saddr" | "ip6 saddr" => ip(0),
        "daddr" | "ip daddr" | "ip6 daddr" => ip(1),
        "proto-src" => port(0),
        "proto-dst" => port(1),
        "l3proto" => Val::Text(if packet.v6() { "ipv6" } else { "ipv4" }.into()),
        "protocol" => Val::Text(format!("proto:{}", packet.proto)),
        _ => Val::Unknown,
    }
}

fn payload(body: &Value, packet: &Packet, spot: &Spot<'_>) -> Val {
    if let (Some(offset), Some(length)) =
        (body.get("offset").and_then(Value::as_u64), body.get("len").and_then(Value::as_u64))
    {
        return raw(text(body, "base"), offset, length, packet).map_or(Val::Unknown, Val::Num);
    }
    let num = |number: Option<u8>| number.map_or(Val::Unknown, |number| Val::Num(number.into()));
    match (text(body, "protocol"), text(body, "field")) {
        ("ip", _) if packet.v6() || spot.arp => Val::Absent,
        ("ip6", _) if !packet.v6() || spot.arp => Val::Absent,
        ("arp", _) if !spot.arp => Val::Absent,
        ("tcp", _) if packet.proto != 6 || spot.arp => Val::Absent,
        ("udp", _) if packet.proto != 17 || spot.arp => Val::Absent,
        ("icmp", _) if packet.proto != 1 || spot.arp => Val::Absent,
        ("icmpv6", _) if packet.proto != 58 || spot.arp => Val::Absent,
        ("sctp" | "dccp" | "udplite" | "ah" | "esp" | "comp", _) => Val::Absent,
        ("ip" | "ip6", "saddr") | ("arp", "saddr ip") => Val::Ip(packet.src),
        ("ip" | "ip6", "daddr") | ("arp", "daddr ip") => Val::Ip(packet.dst),
        ("ip", "protocol") | ("ip6", "nexthdr") => Val::Text(format!("proto:{}", packet.proto)),
        ("ip", "ttl") | ("ip6", "hoplimit") => num(packet.ttl),
        ("ip", "version") => Val::Num(4),
        ("ip6", "version") => Val::Num(6),
        ("ip", "hdrlength") => Val::Num(5),
        ("ip" | "ip6", "dscp") => num(packet.tos.map(|tos| tos >> 2)),
        ("ip", "length") => Val::Num(packet.size.into()),
        ("ip6", "length") => Val::Num(u64::from(packet.size.saturating_sub(40))),
        ("udp", "length") => Val::Num(u64::from(packet.size.saturating_sub(if packet.v6() { 40 } else { 20 }))),
        ("th", _) if !matches!(packet.proto, 6 | 17) => Val::Unknown,
        ("tcp" | "udp" | "th", "dport") => Val::Port(packet.dport),
        ("tcp" | "udp" | "th", "sport") => Val::Port(packet.sport),
        ("tcp", "flags") => Val::Bits(packet.tcp_flags().into()),
        ("icmp", "type") => Val::Text(format!("icmp:{}", packet.icmp.unwrap_or(255))),
        ("icmpv6", "type") => Val::Text(format!("icmp6:{}", packet.icmp.unwrap_or(255))),
        ("icmp" | "icmpv6", "code") => Val::Num(packet.icmp_code().into()),
        ("ether", "saddr") => spot.macs.map_or(Val::Unknown, |(from, _)| Val::Text(from.to_lowercase())),
        ("ether", "daddr") => spot.macs.map_or(Val::Unknown, |(_, to)| Val::Text(to.to_lowercase())),
        ("ether", "type") => Val::Text(ether_type(packet, spot).into()),
        ("arp", "saddr ether") => spot.macs.map_or(Val::Unknown, |(from, _)| Val::Text(from.to_lowercase())),
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

/// Whether what the packet has is what a rule, or one element of a set, says.
fn equal(have: &Val, want: &Value) -> Tri {
    if let Some(set) = want.get("set").and_then(Value::as_array) {
        return is_in(have, set);
    }
    let ends = want.get("range").and_then(Value::as_array).and_then(|ends| Some((ends.first()?, ends.get(1)?)));
    match (have, want) {
        (Val::Absent, _) => Tri::No,
        (Val::Concat(parts), _) => match want.get("concat").and_then(Value::as_array) {
            Some(wants) if wants.len() == parts.len() => {
                parts.iter().zip(wants).map(|(part, want)| equal(part, bare(want))).fold(Tri::Yes, Tri::and)
            }
            _ => Tri::Maybe,
        },
        (Val::Text(have), Value::String(want)) => text_equal(have, want),
        // `exists` and `missing` of what the routing tables say.
        (Val::Text(have), Value::Bool(want)) => ((have != NOWHERE) == *want).into(),
        (Val::Text(have), Value::Number(want)) => text_equal(have, &want.to_string()),
        (Val::Ip(have), _) => ip_equal(*have, want, ends),
        (Val::Bits(have), want) => bits(want).map_or(Tri::Maybe, |want| (*have == want).into()),
        (Val::Num(have), _) => match ends.map(|(low, high)| (numeric(low), numeric(high))) {
            Some((Some(low), Some(high))) => (low <= *have && *have <= high).into(),
            Some(_) => Tri::Maybe,
            None => numeric(want).map_or(Tri::Maybe, |want| (*have == want).into()),
        },
        (Val::Port(have), _) => {
            let port = |value: &Value| numeric(value).and_then(|port| u16::try_from(port).ok());
            match ends.map_or((port(want), port(want)), |(low, high)| (port(low), port(high))) {
                (Some(low), Some(high)) => have.within(low, high),
                _ => Tri::Maybe,
            }
        }
        _ => Tri::Maybe,
    }
}

fn ip_equal(have: IpAddr, want: &Value, ends: Option<(&Value, &Value)>) -> Tri {
    let ip = |value: &Value| value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
    if let Some((low, high)) = ends {
        return match (ip(low), ip(high)) {
            (Some(low), Some(high)) => (low <= have && have <= high).into(),
            _ => Tri::Maybe,
        };
    }
    let net = match want.get("prefix") {
        Some(prefix) => format!("{}/{}", text(prefix, "addr"), prefix["len"]),
        None => want.as_str().unwrap_or_default().to_owned(),
    };
    match (net.parse::<IpAddr>(), net.parse::<IpNet>()) {
        (Ok(want), _) => (have == want).into(),
        (_, Ok(net)) => net.contains(&have).into(),
        _ => Tri::Maybe,
    }
}

/// Whether a `reject` is for such a packet: nft adds what it needs to match, and does not always list that.
fn refuses(body: &Value, packet: &Packet) -> bool {
    match text(body, "type") {
        "tcp reset" => packet.proto == 6,
        "icmp" => !packet.v6(),
        "icmpv6" => packet.v6(),
        _ => true,
    }
}

/// A number, written as one, in hexadecimal, or as a class of DSCP (RFC 2474, RFC 2597, RFC 3246, RFC 8622).
fn numeric(value: &Value) -> Option<u64> {
    let Some(word) = value.as_str() else { return value.as_bool().map(u64::from).or_else(|| value.as_u64()) };
    let class = match word.as_bytes() {
        b"ef" => 46,
        b"va" => 44,
        b"le" | b"lephb" => 1,
        b"df" | b"be" => 0,
        [b'c', b's', class @ b'0'..=b'7'] => u64::from(class - b'0') << 3,
        [b'a', b'f', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
            u64::from(class - b'0') << 3 | u64::from(drop - b'0') << 1
        }
        _ => return number(word).map(u64::from),
    };
    Some(class)
}

fn text_equal(have: &str, want: &str) -> Tri {
    let same = |kind: Option<(u8, Option<u8>)>, number: &str| {
        kind.map_or(Tri::Maybe, |(want, _)| (number == want.to_string()).into())
    };
    match have.split_once(':') {
        Some(("proto", number)) => protocol(want).map_or(Tri::Maybe, |want| (number == want.to_string()).into()),
        Some(("icmp", number)) => same(icmp_kind(want), number),
        Some(("icmp6", number)) => same(icmp6_kind(want), number),
        _ => match want.strip_suffix('*') {
            Some(start) => have.starts_with(start).into(),
            // nft has two words for the same.
            None if want == "unicast" && have == "host" => Tri::Yes,
            None => have.eq_ignore_ascii_case(want).into(),
        },
    }
}

/// One thing that an accepting rule asks for, beside which it looks at addresses or ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OneThing {
    handle: u64,
    place: usize,
    /// What it asks for, as iptables says it: the link in or out, or the hardware address that the frame came from.
    pub(super) option: &'static str,
    /// What it has to be.
    pub(super) value: String,
    /// The chain of the rule.
    pub(super) chain: String,
    /// The rule.
    pub(super) text: String,
}

impl Nft {
    /// The base chain by which a packet came to a rule.
    #[must_use]
    pub(super) fn base_of(&self, hook: Hook, rule: &RuleRef) -> Option<usize> {
        self.chains.iter().position(|chain| {
            chain.hook == Some(hook)
                && chain.name == rule.base
                && rule.table == format!("{} {}", chain.family, chain.table)
        })
    }

    /// What the accepting rules of a base chain's table ask for that a packet may just not have: a link, a hardware address.
    pub(super) fn one_things(&self, index: usize) -> impl Iterator<Item = OneThing> + '_ {
        let base = &self.chains[index];
        let same = move |chain: &&Chain| (&chain.family, &chain.table) == (&base.family, &base.table);
        self.chains.iter().filter(same).flat_map(|chain| {
            chain.rules.iter().flat_map(move |rule| {
                let expressions = rule.get("expr").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let accepts = expressions.iter().any(|one| one.get("accept").is_some());
                // A rule for all that comes by a link says nothing of this packet.
                let more = expressions.iter().filter_map(|one| one.get("match")).any(narrows);
                expressions.iter().enumerate().filter(move |_| accepts && more).filter_map(move |(place, one)| {
                    let asked = one.get("match").filter(|body| op_is(body))?;
                    let option = asked_for(asked.get("left")?)?;
                    let value = words_of(asked.get("right")?);
                    let (handle, chain) = (handle_of(rule), chain.name.clone());
                    Some(OneThing { handle, place, option, value, chain, text: rule_text(rule) })
                })
            })
        })
    }

    /// Whether any rule translates sources.
    #[must_use]
    pub(super) fn translates(&self) -> bool {
        let mut expressions =
            self.chains.iter().flat_map(|chain| &chain.rules).filter_map(|rule| rule.get("expr")?.as_array()).flatten();
        expressions.any(|one| one.get("masquerade").is_some() || one.get("snat").is_some())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A key that is surely none of the others has surely the value of `*`.
    #[test]
    fn a_map_has_its_default_for_every_other_key() {
        let pairs = [json!([3, "three"]), json!(["*", "rest"])];
        let of = |key: Val| {
            look_up(&key, &pairs).all.into_iter().map(|(sure, value)| (sure, value.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of(Val::Num(3)), [(Tri::Yes, json!("three"))]);
        assert_eq!(of(Val::Num(4)), [(Tri::Yes, json!("rest"))]);
        assert!(matches!(look_up(&Val::Num(4), &pairs).missing, Tri::No));
        assert!(matches!(look_up(&Val::Num(4), &pairs[..1]).missing, Tri::Yes));
    }
}
