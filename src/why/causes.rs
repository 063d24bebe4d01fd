//! Why a packet is what it is when a rule drops it: the set that decides, the rule that marked it, the translation that made its source.
//!
//! Each is found by asking the rules again without it: what the packet then passes is the first cause, and mending it there opens less
//! than taking away the rule that drops.

use std::fmt::Write as _;

use super::finding::{Culprit, Fix, Label};
use super::packet::{Asked, Packet, RuleRef};
use super::trail::{Cause, Effect};
use super::walk::{Conn, Walk};

/// Asks a base chain again: about another packet, or as if a set had said the contrary.
pub(super) type Again<'r> = dyn Fn(&Packet, Option<&Asked>) -> Effect + 'r;

impl Walk<'_> {
    /// Finds out what a packet that is dropped would pass without.
    pub(super) fn first_cause(&self, packet: &Packet, effect: &mut Effect, again: &Again<'_>) {
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
        if let Some(conn) = self.translated_source(packet) {
            let before = conn.before.src.0;
            if passes(&Packet { src: before, ..packet.clone() }, None) {
                effect.cause.push(Cause::Source(before));
            }
        }
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
        if by_map && causes.is_empty() && !rule.policy {
            // The rule serves every element: what is missing is what this one should lead to.
            culprit.fix.clear();
            culprit = culprit.advise(
                "give what the element stands for somewhere to go (an endpoint), and take the element out of the map",
            );
        }
        for (index, cause) in causes.into_iter().enumerate() {
            let first = index == 0;
            match cause {
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
                    let line = match (asked.tool.strip_prefix("nft "), asked.held) {
                        (None, false) => format!("ipset add {set} {element}"),
                        (None, true) => format!("ipset del {set} {element}"),
                        (Some(table), false) => format!("nft add element {table} {set} {{ {element} }}"),
                        (Some(table), true) => format!("nft delete element {table} {set} {{ {element} }}"),
                    };
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
                Cause::Source(before) => culprit = self.by_translation(culprit, packet, before, first),
            }
        }
        culprit
    }

    /// A source that a rule would let pass was translated on the way.
    fn by_translation(&self, mut culprit: Culprit, packet: &Packet, before: std::net::IpAddr, first: bool) -> Culprit {
        let Some(conn) = self.translated_source(packet) else { return culprit };
        let Some(by) = &conn.by else { return culprit };
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
