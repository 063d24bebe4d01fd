//! The rule that would have let a packet pass, but for one thing: the link that it came by, or the hardware address that it came with. And the
//! list that a rule asks which counts.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::evaluation::Effect;
use super::finding::{Culprit, Label, Leg};
use super::iptables::Tables;
use super::packet::{Hook, Packet, RuleRef, Spot};
use super::walk::Walk;

/// How many rules of a table are tried without their link.
const TRIED: usize = 64;

/// What of a rule is left out.
const ONE_THING: [&str; 3] = ["-i", "-o", "--mac-source"];

impl Walk<'_> {
    /// Tells which rule would have let a packet pass that another rule or the policy drops, were it for one thing.
    pub(super) fn almost_let_pass(
        &self,
        ns: usize,
        culprit: Culprit,
        message: &mut String,
        (hook, packet): (Hook, &Packet),
        (iif, oif): (&str, &str),
        rule: &RuleRef,
    ) -> Culprit {
        let net = self.net;
        if self.leg == Leg::Reply || self.depth > 0 {
            return culprit;
        }
        let sort = |ip: IpAddr| super::filters::sort(net.ns(ns), ip);
        let way = |packet: &Packet| Walk::new(net).leads(ns, packet);
        let spot = Spot { hook, iif, oif, physin: None, physout: None, sort: &sort, way: &way, arp: false, macs: None };
        let passes = |effect: &Effect| effect.drop.is_none() && effect.suspects.is_empty();
        let found = if rule.tool == "nft" {
            let nft = net.nft(ns);
            let frames = ["bridge ", "arp ", "netdev "].iter().any(|family| rule.table.starts_with(family));
            let base = nft.base_of(hook, rule).filter(|_| !frames);
            base.and_then(|base| {
                let mut all = nft.one_things(base).take(TRIED);
                let one = all.find(|one| passes(&nft.run_less(base, packet, &spot, one)))?;
                Some((format!("{} {}", one.chain, one.text), one.option, one.value))
            })
        } else {
            let tables = net.tables(ns, packet.v6());
            let tables = tables.iter().find(|tables| tables.tool() == rule.tool);
            tables.and_then(|tables| {
                let passes = |tables: &Tables| passes(&tables.run(&rule.table, packet, &spot, None));
                let (chain, text, option, value) = almost(tables, &rule.table, &passes)?;
                Some((format!("-A {chain} {text}"), option, value))
            })
        };
        let Some((shown, option, value)) = found else { return culprit };
        let at = net.ns(ns).at.clone();
        if option == "--mac-source" {
            let holder = net.all.iter().find_map(|other| {
                let link = other
                    .links
                    .iter()
                    .find(|link| link.address.as_deref().is_some_and(|address| address.eq_ignore_ascii_case(&value)))?;
                Some(format!("{}/{}", other.at, link.ifname))
            });
            let sender = self.hops.iter().rev().find(|hop| hop.out && hop.at != at);
            let from = sender.map_or_else(|| "somebody else".to_owned(), |hop| format!("{}/{}", hop.at, hop.dev));
            let _ = write!(
                message,
                "; `{shown}` would let it pass if it came with the hardware address {value}{}, but it comes from {from}, with that one's: a router \
                 sends with its own",
                holder.map(|holder| format!(" ({holder})")).unwrap_or_default()
            );
        } else {
            let (word, now) = if option == "-i" { ("came in by", iif) } else { ("went out by", oif) };
            let _ = write!(message, "; `{shown}` would let it pass if it {word} {value}, but that is {now} here");
        }
        culprit.because(Label::State, format!("{} {} in {at}: {shown}", rule.tool, rule.table))
    }

    /// Tells what a list holds that a rule asks which counts (`-m recent`).
    pub(super) fn counted(
        &self,
        ns: usize,
        culprit: Culprit,
        message: &mut String,
        packet: &Packet,
        rule: &RuleRef,
    ) -> Culprit {
        if rule.tool == "nft" || !rule.text.contains("-m recent") || rule.text.contains("--set") {
            return culprit;
        }
        let mut words = rule.text.split_whitespace();
        let name = words.find(|word| *word == "--name").and_then(|_| words.next()).unwrap_or("DEFAULT");
        let ip = if rule.text.contains("--rdest") { packet.dst } else { packet.src };
        let tables = self.net.tables(ns, packet.v6());
        let Some(seen) = tables.iter().find_map(|tables| tables.recently(name, ip)) else { return culprit };
        let at = self.net.ns(ns).at.clone();
        let _ = write!(
            message,
            "; the list {name} that it asks holds {ip}, seen {seen} times: whoever tries again and again is counted, with good reason or not"
        );
        culprit.because(Label::State, format!("/proc/net/xt_recent/{name} in {at}: {ip}, seen {seen} times"))
    }
}

/// The first accepting rule of a table after which a packet passes when one thing of it is left out: its chain, its text, and that thing.
fn almost(
    tables: &Tables,
    table: &str,
    passes: &dyn Fn(&Tables) -> bool,
) -> Option<(String, String, &'static str, String)> {
    let accepts: Vec<(String, usize, &'static str, String, String)> = tables
        .all_of(table)
        .filter(|(_, rule)| rule.target() == Some("ACCEPT"))
        .take(TRIED)
        .flat_map(|(chain, rule)| {
            ONE_THING.into_iter().filter_map(move |option| {
                let place = rule.words.iter().position(|word| word == option)?;
                // What is negated names what it is not for.
                let plain = place == 0 || rule.words.get(place - 1).is_none_or(|word| word != "!");
                // A rule for all that comes by a link says nothing of this packet.
                let more = rule
                    .words
                    .iter()
                    .any(|word| matches!(word.as_str(), "--dport" | "--dports" | "-s" | "-d" | "--mac-source"));
                let value = rule.words.get(place + 1).filter(|_| plain && more)?.clone();
                let number = usize::try_from(rule.number).ok()?;
                Some((chain.to_owned(), number, option, value, rule.text().to_owned()))
            })
        })
        .collect();
    accepts.into_iter().find_map(|(chain, number, option, value, text)| {
        let other = tables.less(table, &chain, number, option)?;
        passes(&other).then_some((chain, text, option, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(rules: &str) -> Tables {
        let saved = format!("*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n{rules}\nCOMMIT\n");
        Tables::parse(&saved, false, false).unwrap().unwrap()
    }

    #[test]
    fn a_rule_is_almost_it_when_one_thing_less_lets_the_packet_pass() {
        let one = |rules: &str, left: &str| {
            // Passes when no accepting rule of the chain says that any more.
            let passes =
                |tables: &Tables| !tables.all_of("filter").any(|(_, rule)| rule.words.iter().any(|word| word == left));
            almost(&tables(rules), "filter", &passes).map(|(chain, _, option, value)| (chain, option, value))
        };
        let found = |chain: &str, option: &'static str, value: &str| Some((chain.to_owned(), option, value.to_owned()));
        assert_eq!(
            one("-A INPUT -i docker0 -p udp -m udp --dport 53 -j ACCEPT", "docker0"),
            found("INPUT", "-i", "docker0")
        );
        let mac = "-A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT";
        assert_eq!(one(mac, "02:00:00:00:00:01"), found("FORWARD", "--mac-source", "02:00:00:00:00:01"));
        // What drops, what is negated, and what lets in all of a link is none.
        for rules in [
            "-A INPUT -i docker0 -p udp -m udp --dport 53 -j DROP",
            "-A INPUT ! -i docker0 -p udp -m udp --dport 53 -j ACCEPT",
            "-A INPUT -i docker0 -j ACCEPT",
        ] {
            assert_eq!(one(rules, "docker0"), None, "{rules}");
        }
        assert_eq!(one("-A INPUT -i docker0 -p udp -m udp --dport 53 -j ACCEPT", "53"), None, "and it does not help");
    }
}
