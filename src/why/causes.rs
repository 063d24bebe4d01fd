//! Why a packet is what it is when a rule drops it: the set that decides, the rule that marked it, the translation that made its source.
//!
//! Each is found by asking the rules again without it: what the packet then passes is the first cause, and mending it there opens less
//! than taking away the rule that drops.

use std::fmt::Write as _;

use super::evaluation::{Cause, Effect};
use super::finding::{Culprit, Fix, Label};
use super::packet::{Asked, Ct, Hook, Packet, Port, RuleRef, Sort, Spot};
use super::walk::{Conn, Tuple, Walk, Zoned};

/// Asks a base chain again: about another packet, or as if a set had said the contrary.
pub(super) type Again<'r> = dyn Fn(&Packet, Option<&Asked>) -> Effect + 'r;

/// A mark that would have had a packet translated, and was overwritten before.
#[derive(Clone, Debug)]
pub(super) struct LostMark {
    pub(super) ns: usize,
    /// The mark that it had.
    pub(super) mark: u32,
    /// The rule that overwrote it.
    pub(super) by: RuleRef,
    /// The rule that would have translated it.
    pub(super) nat: RuleRef,
}

impl LostMark {
    /// Tells it with what the missing translation does, and mends it: the rule sets only what it means to set.
    fn tell(&self, mut culprit: Culprit) -> Culprit {
        let (at, by, nat) = (culprit.at.clone(), &self.by, &self.nat);
        let _ = write!(
            culprit.message,
            "; `{}` would translate it, but the mark 0x{:x} that it looks for was overwritten by `{}` in {} {}, which sets all of the mark",
            nat.text, self.mark, by.text, by.table, by.chain
        );
        culprit = culprit.because(Label::State, format!("{} {} in {at}: {}", by.tool, by.table, by.text));
        culprit = culprit.because(Label::State, format!("{} {} in {at}: {}", nat.tool, nat.table, nat.text));
        if let Some(words) = masked(by) {
            culprit.fix = vec![Fix::of(&at, words)];
        } else {
            culprit = culprit.advise("let that rule set its own bits only (a mask)");
        }
        culprit
    }
}

/// The command that has a MARK rule of iptables set its own bits only.
fn masked(by: &RuleRef) -> Option<Vec<String>> {
    let mut words = by.deletion();
    let verb = words.iter().position(|word| word == "-D")?;
    let value = words.iter().position(|word| word == "--set-xmark" || word == "--set-mark")? + 1;
    let set = words.get(value)?.split('/').next()?.to_owned();
    if by.tool == "nft" || by.handle == 0 || super::evaluation::number(&set)? == 0 {
        return None;
    }
    words[value] = format!("{set}/{set}");
    "-R".clone_into(&mut words[verb]);
    words.insert(verb + 2, by.handle.to_string());
    Some(words)
}

impl Walk<'_> {
    /// Notes when a chain that translates would have done so with the mark that a rule overwrote.
    fn lost_mark(&mut self, ns: usize, packet: &Packet, effect: &Effect, again: &Again<'_>) {
        let Some((old, by)) = packet.past.overwritten.as_ref().filter(|_| packet.mark.is_some()) else { return };
        if effect.after.as_ref().is_none_or(|after| after.nat.is_some()) {
            return;
        }
        let whole = Packet { mark: packet.mark.map(|mark| mark | old), ..packet.clone() };
        let translated = again(&whole, None).after.filter(|after| !after.guess).and_then(|after| after.nat);
        if let Some((_, nat)) = translated {
            self.lost_marks.push(LostMark { ns, mark: *old, by: RuleRef::clone(by), nat });
        }
    }

    /// Tells with a translation that is missing that the mark which asks for it was overwritten.
    pub(super) fn by_a_lost_mark(&self, culprit: Culprit) -> Culprit {
        if !matches!(culprit.code, super::codes::Code::HairpinNoSnat | super::codes::Code::NatMissing) {
            return culprit;
        }
        let lost = self.lost_marks.iter().find(|lost| self.net.ns(lost.ns).at == culprit.at).cloned();
        match lost {
            Some(lost) => lost.tell(culprit),
            None => culprit,
        }
    }

    /// Finds out what a packet that is dropped would pass without.
    pub(super) fn first_cause(&self, ns: usize, packet: &Packet, effect: &mut Effect, again: &Again<'_>) {
        if effect.drop.is_none() {
            return;
        }
        let passes = |packet: &Packet, assume: Option<&Asked>| {
            let other = again(packet, assume);
            other.drop.is_none() && other.suspects.is_empty()
        };
        let asked = effect.asked.iter().filter(|asked| !asked.element.is_empty());
        effect.cause.extend(asked.filter(|asked| passes(packet, Some(asked))).cloned().map(Cause::Set));
        if let Some(rule) = &packet.past.marked {
            let bare = Packet { mark: Some(0), ..packet.clone() };
            if passes(&bare, None) {
                effect.cause.push(Cause::Mark(RuleRef::clone(rule)));
            }
        }
        if let Some(rule) = packet.past.untracked.as_ref().filter(|_| packet.ct == Ct::Untracked) {
            let ct = if self.leg == super::finding::Leg::Reply { Ct::Established } else { Ct::New };
            if passes(&Packet { ct, ..packet.clone() }, None) {
                effect.cause.push(Cause::Untracked(RuleRef::clone(rule)));
            }
        }
        if let Some(zoned) =
            self.in_another_zone(ns, packet).filter(|_| passes(&Packet { ct: Ct::Established, ..packet.clone() }, None))
        {
            effect.cause.push(Cause::Zone(zoned));
        }
        if let Some((_, sent)) =
            self.sent.filter(|(_, sent)| self.depth == 0 && packet.ttl.is_some_and(|now| now < *sent))
            && passes(&Packet { ttl: Some(sent), ..packet.clone() }, None)
        {
            effect.cause.push(Cause::Hops(sent));
        }
        if let Some(conn) = self.translated_source(packet) {
            let before = conn.before.src.0;
            if passes(&Packet { src: before, ..packet.clone() }, None) {
                effect.cause.push(Cause::Source(before));
            }
        }
    }

    /// Notes the named sets that decide which mark the rules give a packet or its connection, and a mark that is missed where they translate.
    pub(super) fn mark_cause(&mut self, ns: usize, packet: &Packet, nat: bool, effect: &Effect, again: &Again<'_>) {
        if nat && self.leg == super::finding::Leg::Request {
            self.lost_mark(ns, packet, effect, again);
        }
        let marks = |effect: &Effect| effect.after.as_ref().map(|after| (after.packet.mark, after.packet.track.mark));
        let now = marks(effect);
        if now.is_none() || now == Some((packet.mark, packet.track.mark)) {
            return;
        }
        for asked in effect.asked.iter().filter(|asked| !asked.element.is_empty()) {
            let known = self.mark_sets.iter().any(|(at, one)| *at == ns && one == asked);
            if !known && marks(&again(packet, Some(asked))) != now {
                self.mark_sets.push((ns, asked.clone()));
            }
        }
    }

    /// Tells where the mark comes from by which a policy rule takes a packet, and mends it there when a set decides it.
    pub(super) fn marked_by(&self, ns: usize, mut culprit: Culprit, packet: &Packet) -> Culprit {
        if let Some(by) = &packet.past.marked {
            culprit = culprit.because(Label::State, format!("its mark is from {} {}: {}", by.tool, by.table, by.text));
        }
        let at = self.net.ns(ns).at.clone();
        // A set that lacks something is mended by adding: what it holds may be there for others.
        let sets = || self.mark_sets.iter().filter(|(of, asked)| *of == ns && !asked.held).map(|(_, asked)| asked);
        // It is the answer's own target that would be looked for in the set.
        let target = packet.dst.to_string();
        let Some(asked) = sets().find(|asked| asked.element == target).or_else(|| sets().next()) else {
            return culprit;
        };
        let _ = write!(culprit.message, "; it has that mark because the set {} lacks {}", asked.set, asked.element);
        let tool = asked.tool.split_whitespace().next().unwrap_or_default().to_owned();
        culprit = culprit.because(
            Label::State,
            format!("{tool} in {at}: {} lacks {}, asked by `{}`", asked.set, asked.element, asked.rule),
        );
        culprit.fix = vec![Fix::new(&at, &contrary(asked))];
        culprit
    }

    /// The rule by which a router translates what a client sends to the world, though not what it sends to this end; `packet` is the answer.
    pub(super) fn spares(&self, router: usize, out: &str, packet: &Packet) -> Option<RuleRef> {
        let world: std::net::IpAddr = if packet.v6() { WORLD6.into() } else { WORLD4.into() };
        let request = Packet { reply: false, ct: Ct::New, dst: world, ..packet.answer() };
        let sort =
            |ip: std::net::IpAddr| if self.net.ns(router).owns(ip).is_some() { Sort::Local } else { Sort::Unicast };
        let way = |packet: &Packet| self.leads(router, packet);
        let spot = Spot {
            hook: Hook::Postrouting,
            iif: "",
            oif: out,
            physin: None,
            physout: None,
            sort: &sort,
            way: &way,
            arp: false,
            macs: None,
        };
        let translated = |effect: Effect| effect.after.filter(|after| !after.guess)?.nat.map(|(_, rule)| rule);
        let tables = self.net.tables(router, packet.v6());
        let by_tables = tables.iter().find_map(|tables| {
            let chain = tables.rules("nat", "POSTROUTING");
            (!chain.is_empty()).then(|| translated(tables.run("nat", &request, &spot, None))).flatten()
        });
        by_tables.or_else(|| {
            let nft = self.net.nft(router);
            let families = [if packet.v6() { "ip6" } else { "ip" }, "inet"];
            let bases = nft.bases(&families, Hook::Postrouting, out, &tables);
            let mut nat = bases.into_iter().filter(|(_, index)| nft.kind(*index) == "nat");
            nat.find_map(|(_, index)| translated(nft.run(index, &request, &spot, None)))
        })
    }

    /// An answer that a namespace tracks in another zone than its request: to connection tracking they do not belong together.
    fn in_another_zone(&self, ns: usize, packet: &Packet) -> Option<Zoned> {
        let answered = packet.track.zone.filter(|_| packet.reply && matches!(packet.ct, Ct::New | Ct::Invalid))?;
        let tuple = Tuple::of(packet);
        let asked = |conn: &&Conn| conn.ns == ns && [conn.after.reversed(), conn.before.reversed()].contains(&tuple);
        let conn = self.conns.iter().find(|conn| asked(conn) && conn.zone.is_some_and(|zone| zone != answered))?;
        let by = conn.zoned.as_ref().or(packet.past.zoned.as_ref());
        Some(Zoned { asked: conn.zone?, answered, by: by.map(|by| RuleRef::clone(by)) })
    }

    /// The connection whose translation made the source of a packet.
    fn translated_source(&self, packet: &Packet) -> Option<&Conn> {
        let made =
            |conn: &&Conn| conn.after.src.0 == packet.src && conn.before.src.0 != packet.src && conn.by.is_some();
        self.conns.iter().rev().find(made).filter(|_| !packet.reply)
    }

    /// Tells the first cause with the rule that drops, and mends it there.
    pub(super) fn caused(
        &self,
        ns: usize,
        mut culprit: Culprit,
        packet: &Packet,
        rule: &RuleRef,
        causes: Vec<Cause>,
    ) -> Culprit {
        let at = self.net.ns(ns).at.clone();
        let steps = rule.path.iter().map(|step| (&step.element, &step.text));
        let mut by_map = false;
        for (element, text) in steps.chain([(&rule.element, &rule.text)]) {
            let Some(element) = element else { continue };
            culprit = culprit.because(Label::State, format!("`{text}` leads there: the element {element}"));
            by_map = true;
        }
        let helps = |cause: &Cause| !matches!(cause, Cause::Elsewhere(_));
        if by_map && !causes.iter().any(helps) && !rule.policy {
            // The rule serves every element: what is missing is what this one should lead to.
            culprit.fix.clear();
            culprit = culprit.advise(
                "give what the element stands for somewhere to go (an endpoint), and take the element out of the map",
            );
        }
        for (index, cause) in causes.into_iter().enumerate() {
            let first = index == 0;
            match cause {
                Cause::Set(asked) if asked.tool == super::nft::LINK => {
                    let (index, dev) = (&asked.set, &asked.element);
                    let _ = write!(
                        culprit.message,
                        "; `{}` would let it pass if {dev} were link {index}: `iif` and `oif` hold the number that a link had when the rule was \
                         made, no link has the number {index} any more, and a link that is made anew gets another one (iifname holds the name)",
                        asked.rule
                    );
                    culprit = culprit.because(
                        Label::State,
                        format!("nft in {at}: `{}`; ip link in {at}: no link {index}", asked.rule),
                    );
                }
                Cause::Set(asked) => {
                    let what = if asked.tool == "ipset" { "the set" } else { "the set or map" };
                    let has = if asked.held { "holds" } else { "lacks" };
                    let (set, element) = (&asked.set, &asked.element);
                    let _ = write!(culprit.message, "; {what} {set} {has} {element}, and that decides");
                    let short = asked.tool.split_whitespace().next().unwrap_or_default().to_owned();
                    culprit = culprit.because(
                        Label::State,
                        format!("{short} in {at}: {set} {has} {element}, asked by `{}`", asked.rule),
                    );
                    let line = contrary(&asked);
                    if first && (!asked.held || asked.exact) {
                        culprit.fix = vec![Fix::new(&at, &line)];
                    }
                }
                Cause::Mark(by) => {
                    let mark = packet.mark.unwrap_or(0);
                    let _ = write!(
                        culprit.message,
                        "; it drops what has the mark 0x{mark:x}, which `{}` in {} {} set",
                        by.text, by.table, by.chain
                    );
                    let way = by.path.iter().map(|step| format!("`{}`", step.text)).collect::<Vec<_>>().join(" → ");
                    let led = if way.is_empty() { String::new() } else { format!(", reached by {way}") };
                    culprit =
                        culprit.because(Label::State, format!("{} {} in {at}: {}{led}", by.tool, by.table, by.text));
                    // A rule that marks everything that comes to its chain serves many: the rule that sent this one there is the narrow one.
                    let everything =
                        !by.text.split_whitespace().any(|word| matches!(word, "-s" | "-d" | "-p" | "-i" | "-o" | "-m"))
                            && by.tool != "nft";
                    let narrow = by.path.last().filter(|_| everything).map_or(&by.delete, |step| &step.delete);
                    if first && !narrow.is_empty() {
                        let words = std::iter::once(by.tool.clone()).chain(narrow.iter().cloned());
                        culprit.fix = vec![Fix::of(&at, words)];
                    }
                }
                Cause::Elsewhere(by) => {
                    let chain = format!("{} {} {}", by.tool, by.table, by.chain);
                    let _ = write!(
                        culprit.message,
                        "; `{}` in {chain} accepts it, which does not help: an accept ends the chains of that hook and table only, every table is \
                         asked, and one drop is enough",
                        by.text
                    );
                    culprit = culprit.because(Label::State, format!("{chain} in {at}: {}", by.text));
                }
                Cause::Untracked(by) => {
                    let _ = write!(
                        culprit.message,
                        "; it is untracked (`{}` in {} {}, NOTRACK), so no rule on its connection lets it pass",
                        by.text, by.table, by.chain
                    );
                    culprit = culprit.because(Label::State, format!("{} {} in {at}: {}", by.tool, by.table, by.text));
                }
                Cause::Source(before) => culprit = self.by_translation(culprit, packet, before, first),
                Cause::Hops(sent) => {
                    let now = packet.ttl.unwrap_or_default();
                    let _ = write!(
                        culprit.message,
                        "; it looks at the time to live, which is {now} here and was {sent} when the packet was sent: every router that forwarded \
                         it took one, and with {sent} it would pass"
                    );
                    culprit = culprit
                        .because(Label::Inferred, format!("forwarded {} times before: TTL {sent} → {now}", sent - now));
                }
                Cause::Zone(zoned) => culprit = by_zone(&at, culprit, packet, &zoned),
            }
        }
        culprit
    }

    /// A source that a rule would let pass was translated on the way.
    fn by_translation(&self, mut culprit: Culprit, packet: &Packet, before: std::net::IpAddr, first: bool) -> Culprit {
        let Some(conn) = self.translated_source(packet) else { return culprit };
        let Some(by) = conn.source_by.as_ref().or(conn.by.as_ref()) else { return culprit };
        let (there, src) = (self.net.ns(conn.ns).at.clone(), packet.src);
        let word = if by.text.to_lowercase().contains("masquerade") { "masquerades it" } else { "translates it" };
        let _ = write!(
            culprit.message,
            "; {src} is what {there} made of {before} (it {word}: `{}`), and {before} would be let through",
            by.text
        );
        culprit = culprit.because(Label::State, format!("{} {} in {there}: {}", by.tool, by.table, by.text));
        let back = Packet { src: super::walk::unspecified(packet.v6()), dst: before, ..packet.clone() };
        let knows = self.net.index(&culprit.at).is_some_and(|ns| self.route(ns, &back, None).is_ok());
        let Some(number) = Some(by.handle).filter(|_| first && knows && by.tool != "nft") else { return culprit };
        let port = match packet.dport {
            super::packet::Port::Exact(port) => format!(" --dport {port}"),
            _ => String::new(),
        };
        let line = format!(
            "{} -t {} -I {} {number} -s {before} -d {} -p {}{port} -j ACCEPT",
            by.tool,
            by.table,
            by.chain,
            packet.dst,
            packet.proto_name()
        );
        culprit.fix = vec![Fix::new(&there, &line)];
        culprit
    }
}

/// Tells the zones of connection tracking that keep an answer from its request, and puts the answer into the request's.
fn by_zone(at: &crate::op::Where, mut culprit: Culprit, packet: &Packet, zoned: &Zoned) -> Culprit {
    let Zoned { asked, answered, by } = zoned;
    let set = by.as_ref().map(|by| format!(" (`{}`)", by.text)).unwrap_or_default();
    let _ = write!(
        culprit.message,
        "; the request was tracked in the conntrack zone {asked}{set}, the answer is looked for in zone {answered}, where it belongs to nothing"
    );
    let Some(by) = by else { return culprit };
    culprit = culprit.because(Label::State, format!("{} {} {} in {at}: {}", by.tool, by.table, by.chain, by.text));
    let proto = packet.proto_name();
    let port = |word: &str| match packet.sport {
        Port::Exact(port) => format!(" {word} {port}"),
        _ => String::new(),
    };
    // Where the request's own rule stands is before connection tracking; an answer that was sent from here passes OUTPUT, not that.
    culprit.fix = vec![if by.tool == "nft" {
        let family = if packet.v6() { "ip6" } else { "ip" };
        let kind =
            if packet.icmp.is_some() { format!("meta l4proto {proto}") } else { format!("{proto}{}", port("sport")) };
        let line = format!(
            "nft insert rule {} {} {family} saddr {} {kind} ct zone set {asked}",
            by.table, by.chain, packet.src
        );
        Fix::new(at, &line)
    } else {
        let line = format!(
            "{} -t raw -I {} 1 -s {} -p {proto}{} -j CT --zone {asked}",
            by.tool,
            by.base,
            packet.src,
            port("--sport")
        );
        Fix::new(at, &line)
    }];
    culprit
}

/// Addresses that stand for the world: those of documentation (RFC 5737, RFC 3849), which no rule names.
pub(super) const WORLD4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(203, 0, 113, 254);
pub(super) const WORLD6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0xfe);

/// The command after which a set says the contrary.
pub(super) fn contrary(asked: &Asked) -> String {
    let (set, element) = (&asked.set, &asked.element);
    match (asked.tool.strip_prefix("nft "), asked.held) {
        (None, false) => format!("ipset add {set} {element}"),
        (None, true) => format!("ipset del {set} {element}"),
        (Some(table), false) => format!("nft add element {table} {set} {{ {element} }}"),
        (Some(table), true) => format!("nft delete element {table} {set} {{ {element} }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tool: &str, words: &[&str], handle: u64) -> RuleRef {
        RuleRef {
            tool: tool.into(),
            table: "filter".into(),
            chain: "FORWARD".into(),
            text: words.join(" "),
            policy: false,
            packets: None,
            reject: false,
            delete: words.iter().map(|word| (*word).to_owned()).collect(),
            base: "FORWARD".into(),
            handle,
            path: Vec::new(),
            element: None,
        }
    }

    #[test]
    fn a_mark_is_set_with_a_mask_of_its_own_bits() {
        let words = ["-t", "filter", "-D", "FORWARD", "-j", "MARK", "--set-xmark", "0x1000000/0xffffffff"];
        let masked_one = masked(&rule("iptables", &words, 3)).map(|words| words.join(" "));
        assert_eq!(
            masked_one.as_deref(),
            Some("iptables -t filter -R FORWARD 3 -j MARK --set-xmark 0x1000000/0x1000000")
        );
        // What clears the mark has no bits of its own, and a rule of nft is no rule of iptables.
        let clear = ["-t", "filter", "-D", "FORWARD", "-j", "MARK", "--set-xmark", "0x0/0xffffffff"];
        assert_eq!(masked(&rule("iptables", &clear, 3)), None);
        assert_eq!(masked(&rule("nft", &words, 3)), None);
    }

    #[test]
    fn a_mark_is_overwritten_when_bits_of_it_are_gone() {
        let overwritten = |before: Option<u32>, after: Option<u32>| {
            let mut packet = Packet { mark: after, ..Packet::solicitation() };
            packet.remember_mark(before, rule("iptables", &["-D"], 1));
            assert!(packet.past.marked.is_some());
            packet.past.overwritten.map(|(mark, _)| mark)
        };
        assert_eq!(overwritten(Some(0x4000), Some(0x0100_0000)), Some(0x4000));
        assert_eq!(overwritten(Some(0x4000), Some(0)), Some(0x4000));
        assert_eq!(overwritten(Some(0x4000), Some(0x0100_4000)), None);
        assert_eq!(overwritten(Some(0), Some(1)), None);
        assert_eq!(overwritten(None, Some(1)), None, "nobody can say what it was");
    }
}
