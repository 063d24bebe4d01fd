//! Ports that are all taken: one's own, and those of a translation.

use std::collections::HashSet;
use std::net::IpAddr;

use super::codes::Code;
use super::finding::{Culprit, Label, Leg};
use super::packet::{Packet, Port, RuleRef};
use super::walk::Walk;

/// How many connections the probe itself may have left in the table by now.
const TRIES: usize = 3;

/// Two ends of a connection: source and destination.
type Ends = ((IpAddr, u16), (IpAddr, u16));

impl Walk<'_> {
    /// A connection that may choose its port finds none free.
    pub(super) fn local_ports(&mut self, ns: usize, packet: &Packet) {
        if self.leg == Leg::Reply || packet.sport != Port::Ephemeral {
            return;
        }
        let range = self.net.sysctl(ns, "ipv4/ip_local_port_range").unwrap_or_default();
        let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u16>().ok());
        let (Some(low), Some(high)) = (ends.next(), ends.next()) else { return };
        let reserved = self.net.sysctl(ns, "ipv4/ip_local_reserved_ports").unwrap_or_default();
        let is_reserved = |port: u16| {
            reserved.split(',').any(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if first <= port && port <= last)
            })
        };
        let open: Vec<u16> = (low..=high).filter(|port| !is_reserved(*port)).collect();
        let tcp = packet.proto == 6;
        if self.sockets(ns, tcp) < open.len() {
            return;
        }
        let answer = self.net.ask(ns, "ss", &["-H", "-a", "-n", if tcp { "-t" } else { "-u" }]);
        let taken: Vec<u16> = answer.stdout.lines().filter_map(|line| occupied(line, packet)).collect();
        if !answer.ok || open.iter().any(|port| !taken.contains(port)) {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let target = match packet.dport {
            Port::Exact(port) if tcp => format!(" to {} port {port}", packet.dst),
            _ => String::new(),
        };
        let proto = packet.proto_name();
        self.fault(
            Culprit::new(Code::LocalPortsExhausted, &at, "sysctl", "net.ipv4.ip_local_port_range")
                .value(format!("{low} {high}"))
                .says(format!(
                    "{at} has no local {proto} port left for another connection{target}: all {} are taken",
                    open.len()
                ))
                .because(Label::State, format!("net.ipv4.ip_local_port_range = {low} {high} in {at}"))
                .because(Label::State, format!("{}: every one of them is in use", answer.line))
                .fix("sysctl -w net.ipv4.ip_local_port_range=1024 65535"),
        );
    }

    /// How many sockets there are, at least.
    fn sockets(&self, ns: usize, tcp: bool) -> usize {
        let number = |text: &str, line: &str, key: &str| -> usize {
            let line = text.lines().find_map(|one| one.strip_prefix(line)).unwrap_or_default();
            let mut words = line.split_whitespace();
            words.find(|word| *word == key).and_then(|_| words.next()?.parse().ok()).unwrap_or(0)
        };
        let (four, six) = (self.net.proc_net(ns, "sockstat"), self.net.proc_net(ns, "sockstat6"));
        if tcp {
            number(&four, "TCP:", "inuse") + number(&four, "TCP:", "tw") + number(&six, "TCP6:", "inuse")
        } else {
            number(&four, "UDP:", "inuse") + number(&six, "UDP6:", "inuse")
        }
    }

    /// A translation of the source finds no port free: every one of its range leads to the same target already.
    pub(super) fn nat_ports(&mut self, ns: usize, packet: &Packet, (low, high): (u16, u16), rule: &RuleRef) {
        let range = usize::from(high.saturating_sub(low)) + 1;
        let Port::Exact(dport) = packet.dport else { return };
        let count = usize::try_from(self.net.setting(ns, "netfilter/nf_conntrack_count")).unwrap_or(0);
        if self.leg == Leg::Reply || count < range {
            return;
        }
        let table = self.net.proc_net(ns, "nf_conntrack");
        let word = format!(" {} ", packet.proto_name());
        let asker = packet.track.orig.map(|orig| orig[0].0);
        let (mut taken, mut own) = (HashSet::new(), 0);
        for line in table.lines().filter(|line| line.contains(&word)) {
            let Some((src, dst)) = answers(line) else { continue };
            if src == (packet.dst, dport) && dst.0 == packet.src && (low..=high).contains(&dst.1) {
                taken.insert(dst.1);
                own += usize::from(asker.is_some_and(|asker| line.contains(&format!(" src={asker} "))));
            }
        }
        if taken.len() - own.min(TRIES).min(taken.len()) < range {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let name = format!("{} {} {}", rule.tool, rule.table, rule.chain);
        self.fault(
            Culprit::new(Code::NatPortsExhausted, &at, "rule", name)
                .value(rule.text.clone())
                .says(format!(
                    "{at} translates to {} with the ports {low} to {high}, and all of them lead to {} port {dport} already: `{}`",
                    packet.src, packet.dst, rule.text
                ))
                .because(Label::State, format!("{} in {at}, {}: {}", rule.tool, rule.table, rule.text))
                .because(Label::State, format!("/proc/net/nf_conntrack in {at}: {range} connections to {} port {dport}", packet.dst))
                .advise("give the rule more ports or more addresses (--to-ports, --to-source), or wait until connections end"),
        );
    }
}

impl Walk<'_> {
    /// A connection that began before a rule translated it, and so is not translated: every packet of it keeps it alive.
    pub(super) fn stale_connection(&self) -> Option<Culprit> {
        let (_, asked) = self.origin.as_ref()?;
        if !matches!(asked.proto, 6 | 17) {
            return None;
        }
        let word = format!(" {} ", asked.proto_name());
        for conn in self.conns.iter().filter(|conn| conn.before.dst != conn.after.dst && conn.by.is_some()) {
            let Port::Exact(dport) = conn.before.dst.1 else { continue };
            let mut table = self.net.proc_net(conn.ns, "nf_conntrack");
            if table.is_empty() {
                let listed = self.net.ask(conn.ns, "conntrack", &["-L"]).stdout;
                // The lines of both are alike, but for the family at the start.
                table = listed.lines().flat_map(|line| [" ", line, "\n"]).collect();
            }
            let stuck = table.lines().filter(|line| line.contains(&word)).find_map(|line| {
                let ((src, sport), dst) = original(line)?;
                let (answer, _) = answers(line)?;
                let same = src == conn.before.src.0 && dst == (conn.before.dst.0, dport);
                // Untranslated, or to somebody who is no more.
                let gone = answer.0 != conn.after.dst.0 && !self.net.all.iter().any(|ns| ns.owns(answer.0).is_some());
                (same && (answer == dst || gone)).then_some((src, sport, dst, answer))
            });
            let Some((src, sport, dst, answer)) = stuck else { continue };
            let at = self.net.ns(conn.ns).at.clone();
            let proto = asked.proto_name();
            let rule = conn.by.as_ref().map(|rule| rule.text.clone()).unwrap_or_default();
            return Some(
                Culprit::new(Code::ConntrackStale, &at, "connection", format!("{proto} {src}:{sport} → {}:{}", dst.0, dst.1))
                    .value(format!("answered by {}:{}", answer.0, answer.1))
                    .says(format!(
                        "conntrack of {at} still has a {proto} connection {src}:{sport} → {}:{} that goes to {}:{}; it began before `{rule}` could \
                         translate it, and each of its packets keeps it so. A new connection goes to {}",
                        dst.0, dst.1, answer.0, answer.1, conn.after.dst.0
                    ))
                    .because(Label::State, format!("conntrack -L in {at}: {proto} src={src} dst={} sport={sport} dport={} … src={}", dst.0, dst.1, answer.0))
                    .because(Label::State, rule)
                    .fix(&format!("conntrack -D -p {proto} --orig-src {src} --orig-dst {} --sport {sport} --dport {}", dst.0, dst.1)),
            );
        }
        None
    }
}

/// The local port of a socket in the listing of `ss` that another connection cannot have: of UDP any, of TCP one that leads to the same
/// target, or that listens.
fn occupied(line: &str, packet: &Packet) -> Option<u16> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [state, _, _, local, peer, ..] = words.as_slice() else { return None };
    let port = local.rsplit_once(':')?.1.parse().ok()?;
    if packet.proto == 17 || *state == "LISTEN" {
        return Some(port);
    }
    let (ip, to) = peer.rsplit_once(':')?;
    let ip: IpAddr = ip.split('%').next()?.trim_matches(['[', ']']).parse().ok()?;
    (ip.to_canonical() == packet.dst && Port::Exact(to.parse().ok()?) == packet.dport).then_some(port)
}

/// Source and destination of a connection as it began, from the same line.
fn original(line: &str) -> Option<Ends> {
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let ip = |key: &str| value(key)?.parse().ok();
    let port = |key: &str| value(key)?.parse().ok();
    Some(((ip("src=")?, port("sport=")?), (ip("dst=")?, port("dport=")?)))
}

/// Source and destination of the answers to a connection, from a line of `/proc/net/nf_conntrack`.
fn answers(line: &str) -> Option<Ends> {
    let value = |key: &str| line.split_whitespace().filter_map(|word| word.strip_prefix(key)).nth(1);
    let ip = |key: &str| value(key)?.parse().ok();
    let port = |key: &str| value(key)?.parse().ok();
    Some(((ip("src=")?, port("sport=")?), (ip("dst=")?, port("dport=")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_tuple_of_a_connection_is_that_of_its_answers() {
        let line = "ipv4     2 udp      17 29 src=10.1.0.2 dst=10.2.0.2 sport=40000 dport=53 [UNREPLIED] src=10.2.0.2 dst=10.2.0.1 sport=53 dport=5000 mark=0 use=2";
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(answers(line), Some(((ip("10.2.0.2"), 53), (ip("10.2.0.1"), 5000))));
        assert_eq!(
            answers("ipv4 2 icmp 1 29 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=1 src=10.2.0.2 dst=10.1.0.2 type=0"),
            None
        );
    }
}
