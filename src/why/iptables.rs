//! What the rules of iptables do to a packet: three-valued, because not every match can be judged from outside.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::evaluation::{DEPTH, Effect, Ends, Run, State, Trail, any, number, tracked};
use super::ipset::Ipsets;
use super::packet::{
    Asked, Hook, Nat, Packet, Port, RuleRef, Sort, Spot, To, Tri, Way, icmp_kind, icmp6_kind, protocol,
};
use super::recent::Recents;
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
    /// The sets that its rules ask.
    sets: Arc<Ipsets>,
    /// The lists that its rules ask.
    recents: Arc<Recents>,
}

impl Tables {
    /// What `iptables-save -c` printed; `None` when there is no table in it.
    ///
    /// # Errors
    ///
    /// When it is not what that program prints.
    pub(super) fn parse(stdout: &str, v6: bool, legacy: bool) -> crate::Result<Option<Self>> {
        let rules = iptables::parse_save(stdout)?;
        Ok((!rules.tables.is_empty()).then_some(Self {
            v6,
            legacy,
            rules,
            sets: Arc::default(),
            recents: Arc::default(),
        }))
    }

    /// Whether any rule asks a set of `ipset`.
    #[must_use]
    pub(super) fn asks_sets(&self) -> bool {
        self.all().any(|rule| rule.words.iter().any(|word| word == "--match-set"))
    }

    /// All rules.
    fn all(&self) -> impl Iterator<Item = &Rule> {
        self.rules.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules)
    }

    /// Reads the lists of `-m recent` that its rules ask: `read` gives the file of one.
    pub(super) fn know_recents(&mut self, read: &dyn Fn(&str) -> String) {
        self.recents = Arc::new(Recents::of(self.all(), read));
    }

    /// Tells it the sets of its namespace.
    pub(super) fn know_sets(&mut self, sets: &Arc<Ipsets>) {
        self.sets = Arc::clone(sets);
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

    /// Whether it has that base chain of nftables. A table may have others beside those of iptables: of them `iptables-save` says only that they
    /// are incompatible, and instead of chains that are not there it prints empty ones.
    #[must_use]
    pub(super) fn owns(&self, family: &str, table: &str, chain: &str, (hook, prio): (Hook, i32)) -> bool {
        let ours = !self.legacy && family == if self.v6 { "ip6" } else { "ip" } && chain == hook.chain();
        ours && self.bases(hook).contains(&(prio, table))
    }

    /// Every rule of a table, with its chain.
    pub(super) fn all_of(&self, table: &str) -> impl Iterator<Item = (&str, &Rule)> {
        let chains = self.rules.table(table).map_or(&[][..], |table| &table.chains);
        chains.iter().flat_map(|chain| chain.rules.iter().map(|rule| (chain.name.as_str(), rule)))
    }

    /// The same without the rule that such words delete: `-t TABLE -D CHAIN …`.
    pub(super) fn without(&self, delete: &[String]) -> Option<Self> {
        let [_, table, _, chain, words @ ..] = delete else { return None };
        let mut other = self.clone();
        let table = other.rules.tables.iter_mut().find(|one| one.name == *table)?;
        let chain = table.chains.iter_mut().find(|one| one.name == *chain)?;
        let index = chain.rules.iter().position(|rule| rule.words == words)?;
        chain.rules.remove(index);
        Some(other)
    }

    /// The same with a rule that says one option less: with its value, which is the next word.
    pub(super) fn less(&self, table: &str, chain: &str, number: usize, option: &str) -> Option<Self> {
        let mut other = self.clone();
        let table = other.rules.tables.iter_mut().find(|one| one.name == table)?;
        let chain = table.chains.iter_mut().find(|one| one.name == chain)?;
        let rule = chain.rules.iter_mut().find(|rule| usize::try_from(rule.number) == Ok(number))?;
        let at = rule.words.iter().position(|word| word == option)?;
        rule.words.drain(at..(at + 2).min(rule.words.len()));
        Some(other)
    }

    /// How often an address was seen, as a list of `-m recent` has it.
    pub(super) fn recently(&self, list: &str, ip: IpAddr) -> Option<usize> {
        self.recents.times(list, ip)
    }

    /// Every rule of a chain.
    pub(super) fn rules(&self, table: &str, chain: &str) -> &[Rule] {
        self.rules.chain(table, chain).map_or(&[], |chain| &chain.rules)
    }

    /// Whether anything is in it but empty chains that let everything pass.
    #[must_use]
    pub(super) fn holds_rules(&self) -> bool {
        let mut chains = self.rules.tables.iter().flat_map(|table| &table.chains);
        chains.any(|chain| !chain.rules.is_empty() || chain.policy.as_deref() == Some("DROP"))
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

    /// What a base chain does to a packet; perhaps as if a set had said the contrary.
    #[must_use]
    pub(super) fn run(&self, table: &str, packet: &Packet, spot: &Spot<'_>, assume: Option<&Asked>) -> Effect {
        let base = spot.hook.chain();
        let chain = self.rules.chain(table, base);
        let policy = chain.filter(|chain| chain.policy.as_deref() == Some("DROP")).map(|chain| RuleRef {
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
            path: Vec::new(),
            element: None,
        });
        let run = Run::new(spot, base, assume);
        let mut effect = self.chain(table, base, State::new(packet), &run, 0).effect(policy);
        effect.asked = run.all_asked();
        effect
    }

    fn rule_ref(&self, table: &str, chain: &str, run: &Run<'_>, rule: &Rule) -> RuleRef {
        let (path, element) = run.way();
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
            base: run.base.into(),
            handle: u64::from(rule.number),
            path,
            element,
        }
    }

    fn chain(&self, table: &str, name: &str, state: State, run: &Run<'_>, depth: usize) -> Ends {
        let mut trail = Trail::new(state);
        let rules = self.rules(table, name);
        for rule in rules.iter().filter(|_| depth < DEPTH) {
            let Some(state) = &trail.here else { break };
            let matched = if run.step() { matches(rule, &state.packet, run, self) } else { Tri::Maybe };
            if matched != Tri::No {
                self.target(table, name, rule, matched, &mut trail, run, depth);
            }
        }
        trail.end()
    }

    /// What the target of a rule that matches, or may, does.
    #[expect(clippy::too_many_arguments, reason = "one rule at its place")]
    fn target(
        &self,
        table: &str,
        chain: &str,
        rule: &Rule,
        matched: Tri,
        trail: &mut Trail,
        run: &Run<'_>,
        depth: usize,
    ) {
        let this = || self.rule_ref(table, chain, run, rule);
        let target = rule.target().unwrap_or_default();
        match target {
            "ACCEPT" => trail.accept_by(matched, this()),
            "DROP" | "REJECT" => trail.drop(matched, this()),
            "RETURN" => trail.ret(matched),
            // Whoever takes it from the queue accepts it or drops it; so do these two by what sockets there are.
            "QUEUE" | "NFQUEUE" | "TPROXY" | "SYNPROXY" => {
                if target == "TPROXY" {
                    let mark = rule.option(&["--tproxy-mark"]).and_then(|mark| masked(mark.value));
                    trail.change(matched, |state| {
                        if let Some((value, mask)) = mark.filter(|(value, mask)| (value, mask) != (&0, &0)) {
                            state.packet.mark = state.packet.mark.map(|old| (old & !mask) ^ value);
                        }
                        state.packet.past.proxied = Some(Arc::new(this()));
                    });
                }
                trail.anything(this());
                trail.accept(matched);
            }
            "MARK" | "HMARK" | "CONNMARK" => trail.change(matched, |state| {
                let before = state.packet.mark;
                match target {
                    "MARK" => state.packet.mark = new_mark(rule, before),
                    "HMARK" => state.packet.mark = None,
                    _ => connmark(rule, &mut state.packet),
                }
                if state.packet.mark != before {
                    state.packet.remember_mark(before, this());
                }
            }),
            "DSCP" | "TOS" | "ECN" => trail.change(matched, |state| state.packet.tos = new_tos(rule, state.packet.tos)),
            "TTL" | "HL" => trail.change(matched, |state| state.packet.ttl = new_ttl(rule, state.packet.ttl)),
            "NOTRACK" => trail.change(matched, |state| state.untrack(this())),
            "CT" if rule.words.iter().any(|word| word == "--notrack") => {
                trail.change(matched, |state| state.untrack(this()));
            }
            "CT" if rule.words.iter().any(|word| word.starts_with("--zone")) => {
                // A zone for one direction only counts for the tuples of that direction (`--zone-orig`): nobody says then.
                let zone = rule.option(&["--zone"]).and_then(|zone| zone.value.parse().ok());
                trail.change(matched, |state| state.zone(zone, this()));
            }
            "MASQUERADE" | "SNAT" | "DNAT" | "REDIRECT" | "NETMAP" => {
                trail.translate(matched, translation(target, rule), this());
            }
            // A rule that only counts, and targets after which the next rule follows.
            "" | "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNSECMARK" | "CT" | "IDLETIMER" | "LED" | "LOG" | "NFLOG"
            | "RATEEST" | "SECMARK" | "SET" | "TCPMSS" | "TCPOPTSTRIP" | "TEE" | "TRACE" | "ULOG" => {}
            called if self.rules.chain(table, called).is_some() => {
                let this = this();
                trail.call(matched, rule.is_goto(), |state| {
                    run.within(this.text, this.delete, || self.chain(table, called, state, run, depth + 1))
                });
            }
            _ => trail.anything(this()),
        }
    }
}

/// `VALUE/MASK`, the mask being all ones when it is not said.
fn masked(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some((number(value)?, number(mask)?))
}

/// What `--set-xmark VALUE/MASK` makes of a mark: `iptables-save` writes the other forms so too.
fn new_mark(rule: &Rule, old: Option<u32>) -> Option<u32> {
    let (value, mask) = masked(rule.option(&["--set-xmark", "--set-mark"])?.value)?;
    if mask == u32::MAX { Some(value) } else { Some((old? & !mask) ^ value) }
}

/// `CONNMARK`: the mark of the connection is set, kept, or brought back.
fn connmark(rule: &Rule, packet: &mut Packet) {
    let has = |word: &str| rule.words.iter().any(|one| one == word);
    let mask = |name: &str| rule.option(&[name]).map_or(Some(u32::MAX), |operand| number(operand.value));
    let (from_packet, of_connection) = (mask("--nfmask"), mask("--ctmask"));
    let mixed = |old: Option<u32>, old_mask: Option<u32>, new: Option<u32>, new_mask: Option<u32>| {
        let taken = new? & new_mask?;
        if old_mask == Some(u32::MAX) { Some(taken) } else { Some((old? & !old_mask?) ^ taken) }
    };
    match tracked(packet) {
        Tri::No => {}
        Tri::Maybe => (packet.mark, packet.track.mark) = (None, None),
        Tri::Yes if has("--save-mark") => {
            packet.track.mark = mixed(packet.track.mark, of_connection, packet.mark, from_packet);
        }
        Tri::Yes if has("--restore-mark") => {
            packet.mark = mixed(packet.mark, from_packet, packet.track.mark, of_connection);
        }
        Tri::Yes => packet.track.mark = new_mark(rule, packet.track.mark),
    }
}

fn new_tos(rule: &Rule, old: Option<u8>) -> Option<u8> {
    if let Some(class) = rule.option(&["--set-dscp"]) {
        let class = u8::try_from(number(class.value)?).ok()?;
        return Some(class << 2 | old? & 3);
    }
    let (value, mask) = masked(rule.option(&["--set-tos"])?.value)?;
    let (value, mask) = (u8::try_from(value).ok()?, u8::try_from(mask & 0xff).ok()?);
    if mask == u8::MAX { Some(value) } else { Some((old? & !mask) ^ value) }
}

fn new_ttl(rule: &Rule, old: Option<u8>) -> Option<u8> {
    let number = |names: &[&str]| rule.option(names).and_then(|operand| operand.value.parse::<u8>().ok());
    let less = number(&["--ttl-dec", "--hl-dec"]).map(|less| old.map(|ttl| ttl.saturating_sub(less)));
    let more = number(&["--ttl-inc", "--hl-inc"]).map(|more| old.map(|ttl| ttl.saturating_add(more)));
    number(&["--ttl-set", "--hl-set"]).or_else(|| less.or(more).flatten())
}

fn translation(target: &str, rule: &Rule) -> Nat {
    let said = |names: &[&str]| rule.option(names).map(|operand| operand.value);
    let random = rule.words.iter().any(|word| matches!(word.as_str(), "--random" | "--random-fully"));
    let port = |text: Option<&str>| match text {
        _ if random => To::Unknown,
        Some(text) => between(text, '-'),
        None => To::Same,
    };
    let address = |names: &[&str]| -> (To<IpAddr>, To<u16>) {
        let Some(text) = said(names) else { return (To::Unknown, To::Unknown) };
        let bare = |text: &str| text.replace(['[', ']'], "");
        // An IPv6 address with a port stands in brackets.
        match text.rsplit_once(':').filter(|(ip, _)| !ip.contains(':') || ip.ends_with(']')) {
            Some(("", last)) => (To::Same, port(Some(last))),
            Some((ip, last)) => (between(&bare(ip), '-'), port(Some(last))),
            None => (between(&bare(text), '-'), port(None)),
        }
    };
    match target {
        "SNAT" => {
            let (ip, port) = address(&["--to-source"]);
            Nat::Source(ip, port)
        }
        "DNAT" => {
            let (ip, port) = address(&["--to-destination"]);
            Nat::Destination(ip, port)
        }
        "REDIRECT" => Nat::Redirect(port(said(&["--to-ports"]))),
        "NETMAP" => match said(&["--to"]).and_then(net) {
            Some(net) => Nat::Map(net),
            None => Nat::Destination(To::Unknown, To::Unknown),
        },
        _ => Nat::Masquerade(port(said(&["--to-ports"]))),
    }
}

/// One value, or two with something between.
fn between<T: std::str::FromStr + PartialEq>(text: &str, sign: char) -> To<T> {
    let (low, high) = text.split_once(sign).unwrap_or((text, text));
    match (low.parse::<T>(), high.parse::<T>()) {
        (Ok(low), Ok(high)) if low == high => To::One(low),
        (Ok(low), Ok(high)) => To::Among(low, high),
        _ => To::Unknown,
    }
}

/// A network, or an address as one.
pub(super) fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn in_net(ip: IpAddr, value: &str) -> Tri {
    net(value).map_or(Tri::Maybe, |net| net.contains(&ip).into())
}

fn is_link(name: &str, value: &str) -> Tri {
    match value.strip_suffix('+') {
        Some(start) => name.starts_with(start).into(),
        None => (name == value).into(),
    }
}

fn ports(port: Port, value: &str) -> Tri {
    let number = |text: &str, default| if text.is_empty() { Some(default) } else { text.parse().ok() };
    any(value.split(',').map(|part| {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        match (number(low, 0), number(high, u16::MAX)) {
            (Some(low), Some(high)) => port.within(low, high),
            _ => Tri::Maybe,
        }
    }))
}

fn states(packet: &Packet, value: &str) -> Tri {
    any(value.split(',').map(|word| match word {
        _ if tracked(packet) == Tri::Maybe => Tri::Maybe,
        "SNAT" => (tracked(packet) == Tri::Yes && packet.track.snat).into(),
        "DNAT" => (tracked(packet) == Tri::Yes && packet.track.dnat).into(),
        word => word.eq_ignore_ascii_case(packet.ct.word()).into(),
    }))
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

/// The modules that match or not without being given an option.
const OPAQUE: [&str; 5] = ["cgroup", "eui64", "ipv6header", "osf", "socket"];

/// The modules that look for a header which no packet here has: without it they do not match, also when negated (`ip6t_rt.c`, `ip6t_frag.c`,
/// `ip6t_hbh.c`, `ip6t_mh.c`, `ip6t_ah.c`, `xt_esp.c`).
const HEADERS: [&str; 7] = ["ah", "dst", "esp", "frag", "hbh", "mh", "rt"];

/// Whether a rule matches, and whether that can be said.
#[must_use]
fn matches(rule: &Rule, packet: &Packet, run: &Run<'_>, tables: &Tables) -> Tri {
    let spot = run.spot;
    let words: Vec<&str> = rule.words.iter().map(String::as_str).collect();
    let (mut all, mut module, mut not, mut index) = (Tri::Yes, "", false, 0);
    while let Some(&word) = words.get(index).filter(|_| all != Tri::No) {
        let value = words.get(index + 1).copied().unwrap_or_default();
        match word {
            "-j" | "-g" | "--jump" | "--goto" => break,
            "!" => (not, index) = (true, index + 1),
            "-m" => {
                module = value;
                all = all.and(match value {
                    _ if HEADERS.contains(&value) => Tri::No,
                    _ if OPAQUE.contains(&value) => Tri::Maybe,
                    "rpfilter" => reverse_path(rule, packet, spot),
                    _ => Tri::Yes,
                });
                index += 2;
            }
            "--set" | "--rcheck" | "--update" | "--remove" if module == "recent" => {
                all = all.and(tables.recents.matches(rule, packet).flip(not));
                (not, index) = (false, index + 1);
            }
            "--loose" | "--validmark" | "--accept-local" | "--invert" if module == "rpfilter" => index += 1,
            "--rsource" | "--rdest" | "--rttl" | "--reap" if module == "recent" => index += 1,
            "--name" | "--seconds" | "--hitcount" | "--mask" if module == "recent" => index += 2,
            // Counters of a set are no condition, negated or not.
            "--update-counters" | "--update-subcounters" => (not, index) = (false, index + 1),
            "--match-set" => {
                let sides = words.get(index + 2).copied().unwrap_or_default();
                all = all.and(in_set(rule, (value, sides), packet, run, &tables.sets).flip(not));
                (not, index) = (false, index + 3);
            }
            _ => {
                let (one, used) = option(word, &words[index + 1..], module, packet, spot);
                all = all.and(match module {
                    "conntrack" if word.starts_with("--ct") => conntrack(rule, word, one.flip(not), packet),
                    // Without a connection there is no mark to compare, also when negated (`xt_connmark.c`).
                    "connmark" => tracked(packet).and(one.flip(not)),
                    _ => one.flip(not),
                });
                (not, index) = (false, index + used);
            }
        }
    }
    all
}

/// `-m rpfilter`: whether the way back to the source is the link that it came by (`ipt_rpfilter.c`, `ip6t_rpfilter.c`).
fn reverse_path(rule: &Rule, packet: &Packet, spot: &Spot<'_>) -> Tri {
    let has = |word: &str| rule.words.iter().any(|one| one == word);
    let back = packet.way_back((spot.sort)(packet.dst), has("--validmark"));
    let fits = match (spot.way)(&back) {
        _ if spot.iif == "lo" => Tri::Yes,
        Way::By(devs) => (has("--loose") || devs.iter().any(|dev| dev == spot.iif)).into(),
        Way::Local if has("--accept-local") => {
            if has("--loose") {
                Tri::Yes
            } else {
                Tri::Maybe
            }
        }
        Way::Local | Way::Nowhere => Tri::No,
        Way::Unknown => Tri::Maybe,
    };
    fits.flip(has("--invert"))
}

/// Whether a packet is in a set of `ipset`.
fn in_set(rule: &Rule, (set, sides): (&str, &str), packet: &Packet, run: &Run<'_>, sets: &Ipsets) -> Tri {
    let (found, element) = sets.holds(set, sides, packet, run.spot);
    if found == Tri::Maybe {
        return found;
    }
    let held = found == Tri::Yes;
    let exact = sets.has(set, &element);
    run.ask(Asked { tool: "ipset".into(), set: set.into(), element, held, exact, rule: rule.text().to_owned() }).into()
}

/// A packet without a connection has the state `INVALID` or `UNTRACKED`; what else is asked of its connection is not looked at when its
/// state is asked for, and else does not match, also when negated (`xt_conntrack.c`).
fn conntrack(rule: &Rule, word: &str, judged: Tri, packet: &Packet) -> Tri {
    match tracked(packet) {
        Tri::No if word != "--ctstate" => rule.option(&["--ctstate"]).is_some().into(),
        _ => judged,
    }
}

/// Whether one option matches, not negated, and how many words it takes.
fn option(word: &str, rest: &[&str], module: &str, packet: &Packet, spot: &Spot<'_>) -> (Tri, usize) {
    let value = rest.first().copied().unwrap_or_default();
    let flag = |matched: Tri| (matched, 1);
    let orig = |side: usize| packet.track.orig.map(|tuple| tuple[side]);
    let orig_ip = |side| orig(side).map_or(Tri::Maybe, |(ip, _)| in_net(ip, value));
    let orig_port = |side| orig(side).map_or(Tri::Maybe, |(_, port)| ports(port, value));
    let ttl = |fits: fn(&u8, &u8) -> bool| match (packet.ttl, value.parse()) {
        (Some(ttl), Ok(want)) => fits(&ttl, &want).into(),
        _ => Tri::Maybe,
    };
    let matched = match word {
        "-s" => in_net(packet.src, value),
        "-d" => in_net(packet.dst, value),
        "-i" => is_link(spot.iif, value),
        "-o" => is_link(spot.oif, value),
        // Nothing that is walked here is a fragment.
        "-f" => return flag(Tri::No),
        "-p" if matches!(value, "all" | "0") => Tri::Yes,
        "-p" | "--ctproto" => protocol(value).map_or(Tri::Maybe, |number| (number == packet.proto).into()),
        "--comment" => Tri::Yes,
        // What a set says with `nomatch` is judged with it.
        "--return-nomatch" => return flag(Tri::Maybe),
        "--dport" | "--dports" => ports(packet.dport, value),
        "--sport" | "--sports" => ports(packet.sport, value),
        "--ports" => ports(packet.dport, value).or(ports(packet.sport, value)),
        "--ctstate" | "--state" => states(packet, value),
        "--ctdir" => ((value == "REPLY") == packet.reply).into(),
        "--ctorigsrc" => orig_ip(0),
        "--ctorigdst" => orig_ip(1),
        "--ctorigsrcport" => orig_port(0),
        "--ctorigdstport" => orig_port(1),
        "--icmp-type" if value == "any" => Tri::Yes,
        "--icmp-type" => icmp(packet, icmp_kind(value)),
        "--icmpv6-type" => icmp(packet, icmp6_kind(value)),
        "--tcp-flags" => return (flags(packet, value, rest.get(1).copied().unwrap_or_default()), 3),
        "--syn" => return flag(flags(packet, "FIN,SYN,RST,ACK", "SYN")),
        "--mark" if module == "mark" => mark(packet.mark, value),
        "--mark" if module == "connmark" => mark(packet.track.mark, value),
        "--src-range" => range(packet.src, value),
        "--dst-range" => range(packet.dst, value),
        "--physdev-in" => spot.physin.map_or(Tri::No, |port| is_link(port, value)),
        "--physdev-out" => spot.physout.map_or(Tri::No, |port| is_link(port, value)),
        "--physdev-is-bridged" => return flag((spot.physin.is_some() && spot.physout.is_some()).into()),
        "--physdev-is-in" => return flag(spot.physin.is_some().into()),
        "--physdev-is-out" => return flag(spot.physout.is_some().into()),
        "--dst-type" => addr_type(packet.dst, value, spot),
        "--src-type" => addr_type(packet.src, value, spot),
        "--length" => length(packet.size, value),
        "--ttl-eq" | "--hl-eq" => ttl(u8::eq),
        "--ttl-lt" | "--hl-lt" => ttl(u8::lt),
        "--ttl-gt" | "--hl-gt" => ttl(u8::gt),
        "--dscp" => mark(packet.tos.map(|tos| u32::from(tos >> 2)), value),
        "--tos" => mark(packet.tos.map(u32::from), value),
        "--mac-source" => spot.macs.map_or(Tri::Maybe, |(from, _)| from.eq_ignore_ascii_case(value).into()),
        "--u32" => u32_match::matches(value, packet),
        "--pkt-type" => (value == "unicast").into(),
        // An option that is not known, with or without a value.
        _ if word.starts_with('-') => {
            return (Tri::Maybe, if value.starts_with('-') || value.is_empty() || value == "!" { 1 } else { 2 });
        }
        _ => return flag(Tri::Yes),
    };
    (matched, 2)
}

/// Whether a packet is a message of this type and, if it matters, code.
fn icmp(packet: &Packet, kind: Option<(u8, Option<u8>)>) -> Tri {
    let same = |code: Option<u8>| code.is_none_or(|code| code == packet.icmp_code());
    kind.map_or(Tri::Maybe, |(kind, code)| (packet.icmp == Some(kind) && same(code)).into())
}

fn length(size: u32, value: &str) -> Tri {
    let (low, high) = value.split_once(':').unwrap_or((value, value));
    let number = |text: &str, default| if text.is_empty() { Some(default) } else { text.parse().ok() };
    match (number(low, 0), number(high, u32::MAX)) {
        (Some(low), Some(high)) => (low <= size && size <= high).into(),
        _ => Tri::Maybe,
    }
}

fn mark(have: Option<u32>, value: &str) -> Tri {
    match (have, masked(value)) {
        (Some(have), Some((want, mask))) => (have & mask == want).into(),
        _ => Tri::Maybe,
    }
}

fn range(ip: IpAddr, value: &str) -> Tri {
    match between::<IpAddr>(value, '-') {
        To::One(one) => (one == ip).into(),
        To::Among(low, high) => (low <= ip && ip <= high).into(),
        _ => Tri::Maybe,
    }
}

/// `-m addrtype`: one of the sorts for IPv4; for IPv6 every one that is named must fit (`xt_addrtype.c`).
fn addr_type(ip: IpAddr, value: &str, spot: &Spot<'_>) -> Tri {
    let sort = (spot.sort)(ip);
    let one = |word: &str| -> Tri {
        match word {
            "UNICAST" if ip.is_ipv6() => (sort != Sort::Multicast && !ip.is_unspecified()).into(),
            "LOCAL" | "UNICAST" | "BROADCAST" | "MULTICAST" => word.eq_ignore_ascii_case(sort.word()).into(),
            "UNSPEC" => (ip.is_unspecified() && ip.is_ipv6()).into(),
            _ => Tri::Maybe,
        }
    };
    let words = value.split(',').map(one);
    if ip.is_ipv6() { words.fold(Tri::Yes, Tri::and) } else { any(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As iptables-nft 1.8.9 prints a table that nft made: its chains are not in it, and others stand there that do not exist.
    #[test]
    fn a_base_chain_that_iptables_does_not_print_is_none_of_its_own() {
        let saved = "# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.\n*filter\n:INPUT ACCEPT [0:0]\n\
            :FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
        let tables = Tables::parse(saved, false, false).unwrap().unwrap();
        for (family, table, chain, hook, prio, owned) in [
            ("ip", "filter", "FORWARD", Hook::Forward, 0, true),
            ("ip", "filter", "forward", Hook::Forward, 0, false),
            ("ip", "filter", "FORWARD", Hook::Forward, 10, false),
            ("ip", "filter", "INPUT", Hook::Forward, 0, false),
            ("ip6", "filter", "FORWARD", Hook::Forward, 0, false),
            ("inet", "filter", "FORWARD", Hook::Forward, 0, false),
            ("ip", "nat", "POSTROUTING", Hook::Postrouting, 100, false),
        ] {
            assert_eq!(tables.owns(family, table, chain, (hook, prio)), owned, "{family} {table} {chain} {prio}");
        }
        let legacy = Tables::parse(saved, false, true).unwrap().unwrap();
        assert!(!legacy.owns("ip", "filter", "FORWARD", (Hook::Forward, 0)), "that is another backend");
    }
}
