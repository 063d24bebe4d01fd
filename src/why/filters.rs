//! The hooks: every base chain of every backend in the order of their priorities, connection tracking and translation between them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::codes::Code;
use super::evaluation::{Cause, Effect};
use super::finding::{Culprit, Label, Leg};
use super::packet::{Asked, Ct, Hook, Nat, Packet, Port, RuleRef, Sort, Spot, To, Track, Tri, Way};
use super::state::Ns;
use super::walk::{Conn, Stage, Tuple, Walk};

/// Where connection tracking sits among the priorities (`NF_IP_PRI_CONNTRACK`).
const CONNTRACK: i32 = -200;
/// Where destinations are translated (`NF_IP_PRI_NAT_DST`), and those of answers back.
const NAT_DST: i32 = -100;
/// Where sources are translated (`NF_IP_PRI_NAT_SRC`), and those of answers back.
const NAT_SRC: i32 = 100;

enum Base<'a> {
    Iptables(&'a super::iptables::Tables, &'static str),
    Nft(usize),
}

/// The bridge and its ports, when a bridge shows frames to the hooks of IP.
#[derive(Clone, Copy)]
pub(super) struct Bridged<'b> {
    pub(super) physin: &'b str,
    pub(super) physout: &'b str,
}

impl Walk<'_> {
    /// Sends a packet through a hook. Returns whether it passes; what stops it is noted.
    pub(super) fn hook(
        &mut self,
        ns: usize,
        hook: Hook,
        packet: &mut Packet,
        iif: &str,
        oif: &str,
        bridged: Option<Bridged<'_>>,
    ) -> bool {
        let net = self.net;
        let network = net.ns(ns);
        let v6 = packet.v6();
        let nft = net.nft(ns);
        let tables = net.tables(ns, v6);
        let families = [if v6 { "ip6" } else { "ip" }, "inet"];
        let mut bases: Vec<(i32, Base<'_>)> = Vec::new();
        for tables in &tables {
            bases.extend(tables.bases(hook).into_iter().map(|(prio, table)| (prio, Base::Iptables(tables, table))));
        }
        for (prio, index) in nft.bases(&families, hook, iif, &tables) {
            bases.push((prio, Base::Nft(index)));
        }
        // Whatever priority a chain for translation asks for, the kernel runs it where it translates.
        let nat_at = if matches!(hook, Hook::Prerouting | Hook::Output) { NAT_DST } else { NAT_SRC };
        let is_nat = |base: &Base<'_>| match base {
            Base::Iptables(_, table) => *table == "nat",
            Base::Nft(index) => nft.kind(*index) == "nat",
        };
        // Of two with one priority the newer one comes first (`nf_hook_entries_grow`). How old the tables of iptables-legacy are,
        // nobody says; a table that was made first may have got a chain last.
        let newer = |base: &Base<'_>| {
            std::cmp::Reverse(match base {
                Base::Iptables(tables, _) if tables.legacy => (usize::MAX, 0),
                Base::Iptables(_, table) => (nft.age(families[0], table), 0),
                Base::Nft(index) => nft.made(*index),
            })
        };
        bases.sort_by_key(|(prio, base)| (if is_nat(base) { nat_at } else { *prio }, *prio, newer(base)));
        // What comes by lo was tracked when it was sent.
        let mut tracked = !matches!(hook, Hook::Prerouting | Hook::Output) || iif == "lo";
        let related = packet.ct == Ct::Related;
        if !tracked {
            (packet.ct, packet.track) = (Ct::Invalid, Track::default());
            (packet.past.untracked, packet.past.zoned) = (None, None);
        }
        let (mut passes, mut translated, mut restored, mut legacy) = (true, false, false, false);
        let sort = |ip: IpAddr| sort(network, ip);
        let way = |packet: &Packet| Walk::new(net).leads(ns, packet);
        let spot = Spot {
            hook,
            iif,
            oif,
            physin: bridged.map(|bridged| bridged.physin),
            physout: bridged.filter(|_| hook != Hook::Prerouting).map(|bridged| bridged.physout),
            sort: &sort,
            way: &way,
            arp: false,
            macs: None,
        };
        let run = |base: &Base<'_>, packet: &Packet, assume: Option<&Asked>| match base {
            Base::Iptables(tables, table) => tables.run(table, packet, &spot, assume),
            Base::Nft(index) => nft.run(*index, packet, &spot, assume),
        };
        for (prio, base) in &bases {
            let prio = if is_nat(base) { nat_at } else { *prio };
            if !tracked && prio >= CONNTRACK {
                self.track(ns, packet, related);
                tracked = true;
            }
            if !restored && prio >= nat_at {
                self.restore(ns, hook, packet);
                restored = true;
            }
            // The rules of NAT see the first packet of a connection only, and the first translation counts.
            let nat = is_nat(base);
            let is_legacy = matches!(base, Base::Iptables(tables, _) if tables.legacy);
            legacy |= nat && is_legacy;
            if nat && (translated && !legacy || !matches!(packet.ct, Ct::New | Ct::Unknown)) {
                continue;
            }
            // What comes by lo was translated, or decided not to be, as it was sent: `nf_nat_initialized` in `nf_nat_inet_fn`.
            if nat && iif == "lo" {
                continue;
            }
            let again = |packet: &Packet, assume: Option<&Asked>| run(base, packet, assume);
            self.stage = if tracked { Stage::Tracked } else { Stage::Early };
            let mut effect = again(packet, None);
            self.first_cause(ns, packet, &mut effect, &again);
            self.mark_cause(ns, packet, nat, &effect, &again);
            let others = bases.iter().filter(|(_, other)| !std::ptr::eq(other, base) && !is_nat(other));
            self.accepted_elsewhere(&mut effect, others.map(|(_, other)| run(other, packet, None)));
            let translates = nat && effect.after.as_ref().is_some_and(|after| after.nat.is_some());
            if translates && std::mem::replace(&mut translated, true) {
                // Which of the two comes first nobody says.
                self.guess = true;
                continue;
            }
            let before = (packet.dst, packet.mark, packet.tos);
            passes &= self.take(ns, hook, packet, (iif, oif), bridged.is_some(), effect);
            // Only these have the way looked up again (`nf_route_table_hook4`, `ipt_mangle_out`, `nf_nat_ipv4_local_fn`).
            let again = match base {
                Base::Iptables(_, table) => matches!(*table, "mangle" | "nat"),
                Base::Nft(index) => matches!(nft.kind(*index), "route" | "nat"),
            };
            let changed = if nat { before.0 != packet.dst } else { before != (packet.dst, packet.mark, packet.tos) };
            if hook == Hook::Output && again && changed {
                self.rerouted = Some(packet.clone());
            }
        }
        self.stage = Stage::Tracked;
        if !tracked {
            self.track(ns, packet, related);
        }
        if !restored {
            self.restore(ns, hook, packet);
        }
        passes
    }

    /// Notes with a drop the rule of another base chain that accepts the packet: an accept ends the chain that it is in, and no other.
    fn accepted_elsewhere(&self, effect: &mut Effect, mut others: impl Iterator<Item = Effect>) {
        if effect.drop.is_none() || self.leg == Leg::Reply || self.depth > 0 {
            return;
        }
        let accepts = |other: Effect| {
            let after = other.after.filter(|_| other.suspects.is_empty())?;
            after.accepted.filter(|rule| !takes_all(&rule.text))
        };
        effect.cause.extend(others.find_map(accepts).map(Cause::Elsewhere));
    }

    /// Takes what a chain did.
    fn take(
        &mut self,
        ns: usize,
        hook: Hook,
        packet: &mut Packet,
        devs: (&str, &str),
        bridged: bool,
        effect: Effect,
    ) -> bool {
        let passes = effect.drop.is_none();
        for rule in effect.suspects {
            let culprit = self.by_rule(ns, hook, packet, devs, bridged, &rule);
            self.suspect(ns, culprit, Some(rule));
        }
        if let Some(rule) = effect.drop {
            let culprit = self.by_rule(ns, hook, packet, devs, bridged, &rule);
            let mut culprit = self.caused(ns, culprit, packet, &rule, effect.cause);
            if hook == Hook::Forward && !bridged {
                culprit = self.spared_by_source(ns, culprit, packet);
            }
            self.fault(culprit);
        }
        let Some(after) = effect.after else { return passes };
        if after.packet.ttl != packet.ttl {
            self.lived = Some((ns, hook));
        }
        if after.packet.track.mark != packet.track.mark {
            self.keep_mark(ns, &after.packet);
        }
        let before = packet.past.untracked.is_some();
        *packet = after.packet;
        if let Some(rule) = packet.past.untracked.clone().filter(|_| !before) {
            self.untracked.push((ns, self.leg, rule, packet.clone()));
        }
        let unsure = after.guess || packet.ct == Ct::Unknown && after.nat.is_some();
        if let Some((nat, rule)) = after.nat {
            self.translate(ns, packet, devs, hook, &nat, rule);
        }
        if unsure {
            self.guess = true;
        }
        passes
    }

    /// The connection of a packet in a namespace: as its request, or as its answer.
    fn connection(&mut self, ns: usize, packet: &Packet) -> Option<&mut Conn> {
        let tuple = Tuple::of(packet);
        let answer = self.leg == Leg::Reply && self.depth == 0;
        self.conns.iter_mut().rev().find(|conn| {
            let (before, after) = (&conn.before, &conn.after);
            conn.ns == ns
                && if answer {
                    // Translated back at one end, at the other, or at both.
                    [before.src, after.src].contains(&tuple.dst) && [before.dst, after.dst].contains(&tuple.src)
                } else {
                    *after == tuple
                }
        })
    }

    fn keep_mark(&mut self, ns: usize, packet: &Packet) {
        if let Some(conn) = self.connection(ns, packet) {
            conn.mark = packet.track.mark;
        }
    }

    fn track(&mut self, ns: usize, packet: &mut Packet, related: bool) {
        let unsure = packet.ct == Ct::Unknown;
        // What belongs to the link is never tracked (`noct_valid_new` in `nf_conntrack_proto_icmpv6.c`).
        if packet.proto == 58 && packet.icmp.is_some_and(|kind| matches!(kind, 130..=136 | 143)) {
            packet.ct = Ct::Untracked;
            return;
        }
        if packet.ct == Ct::Untracked || related {
            packet.ct = if related { Ct::Related } else { Ct::Untracked };
            return;
        }
        let tuple = Tuple::of(packet);
        let (zone, zoned) = (packet.track.zone, packet.past.zoned.clone());
        // What is in another zone is another connection (`nf_ct_zone_equal`).
        let here = |conn: &Conn| conn.ns == ns && (zone.is_none() || conn.zone.is_none() || conn.zone == zone);
        let unsure = unsure || zone.is_none();
        if self.leg == Leg::Request || self.depth > 0 {
            packet.ct = Ct::New;
            self.conntrack_full(ns);
            let known = self.conns.iter().find(|conn| here(conn) && conn.after == tuple);
            match known {
                Some(conn) => packet.track = of(conn),
                None => {
                    packet.track = Track { orig: Some([tuple.src, tuple.dst]), zone, ..Track::default() };
                    let (before, after) = (tuple.clone(), tuple);
                    let conn = Conn {
                        ns,
                        before,
                        after,
                        by: None,
                        source_by: None,
                        answered: false,
                        mark: Some(0),
                        zone,
                        zoned,
                    };
                    self.conns.push(conn);
                }
            }
        } else if let Some(conn) = self.conns.iter_mut().find(|conn| here(conn) && conn.after.reversed() == tuple) {
            conn.answered = true;
            (packet.ct, packet.track) = (Ct::Established, of(conn));
        } else if let Some(conn) = self.conns.iter().find(|conn| here(conn) && conn.before.reversed() == tuple) {
            (packet.ct, packet.track) = (Ct::Established, of(conn));
        } else if packet.proto == 17 {
            // An answer without a question: TCP and ICMP call it invalid, UDP a new connection.
            packet.ct = Ct::New;
            packet.track = Track { orig: Some([tuple.src, tuple.dst]), zone, ..Track::default() };
        } else {
            packet.ct = Ct::Invalid;
        }
        if unsure {
            packet.ct = Ct::Unknown;
        }
    }

    /// Translates an answer back: its destination as it comes in, its source as it goes on.
    fn restore(&mut self, ns: usize, hook: Hook, packet: &mut Packet) {
        if self.leg == Leg::Request || !matches!(packet.ct, Ct::Established | Ct::Unknown) {
            return;
        }
        let (source, target) = ((packet.src, packet.sport), (packet.dst, packet.dport));
        match hook {
            Hook::Prerouting | Hook::Output => {
                let found = self.conns.iter().find(|conn| {
                    conn.ns == ns && conn.answered && conn.after.src == target && conn.after.dst == source
                });
                if let Some(conn) = found {
                    (packet.dst, packet.dport) = conn.before.src;
                }
            }
            Hook::Postrouting | Hook::Input => {
                let found = self.conns.iter().find(|conn| {
                    conn.ns == ns && conn.answered && conn.after.dst == source && conn.before.src == target
                });
                if let Some(conn) = found {
                    (packet.src, packet.sport) = conn.before.dst;
                }
            }
            _ => {}
        }
    }

    fn translate(
        &mut self,
        ns: usize,
        packet: &mut Packet,
        (iif, oif): (&str, &str),
        hook: Hook,
        nat: &Nat,
        rule: RuleRef,
    ) {
        let old = Tuple::of(packet);
        let ports = packet.icmp.is_none();
        match nat {
            Nat::Masquerade(port) => {
                packet.src = self.masquerade(ns, oif, packet).unwrap_or(packet.src);
                self.free_port(ns, packet, *port, &rule);
                Self::new_port(&mut packet.sport, *port, ports);
            }
            Nat::Source(ip, port) => {
                self.new_address(&mut packet.src, *ip);
                if !matches!(ip, To::Among(..) | To::Unknown) {
                    self.free_port(ns, packet, *port, &rule);
                }
                Self::new_port(&mut packet.sport, *port, ports);
            }
            Nat::Destination(ip, port) => {
                self.new_address(&mut packet.dst, *ip);
                Self::new_port(&mut packet.dport, *port, ports);
            }
            Nat::Redirect(port) => {
                packet.dst = self.own_address(ns, iif, packet.v6()).unwrap_or(packet.dst);
                Self::new_port(&mut packet.dport, *port, ports);
            }
            Nat::Map(net) if matches!(hook, Hook::Postrouting | Hook::Input) => packet.src = onto(*net, packet.src),
            Nat::Map(net) => packet.dst = onto(*net, packet.dst),
        }
        let new = Tuple::of(packet);
        packet.track.snat |= new.src != old.src;
        packet.track.dnat |= new.dst != old.dst;
        if let Some(conn) = self.conns.iter_mut().rev().find(|conn| conn.ns == ns && conn.after == old) {
            if new.src != old.src {
                conn.source_by = Some(rule.clone());
            }
            conn.after = new;
            if conn.by.is_none() || matches!(nat, Nat::Destination(..) | Nat::Redirect(_)) {
                conn.by = Some(rule);
            }
        }
    }

    /// Whether a translation of the source finds a port; noted when not.
    fn free_port(&mut self, ns: usize, packet: &Packet, to: To<u16>, rule: &RuleRef) {
        match to {
            To::One(port) => self.nat_ports(ns, packet, (port, port), rule),
            To::Among(low, high) => self.nat_ports(ns, packet, (low, high), rule),
            // The kernel keeps the port, and looks for another among these when it is taken.
            To::Same | To::Unknown => self.nat_ports(ns, packet, (1024, u16::MAX), rule),
        }
    }

    fn new_address(&mut self, old: &mut IpAddr, to: To<IpAddr>) {
        match to {
            To::Same => {}
            To::One(ip) => *old = ip,
            // Which of them the kernel takes is a hash of both addresses.
            To::Among(low, _) => (*old, self.guess) = (low, true),
            To::Unknown => self.guess = true,
        }
    }

    fn new_port(old: &mut Port, to: To<u16>, ports: bool) {
        match to {
            _ if !ports => {}
            To::Same => {}
            To::One(port) => *old = Port::Exact(port),
            // One that lies in the range is kept.
            To::Among(low, high) if old.within(low, high) == Tri::Yes => {}
            To::Among(low, high) => *old = Port::Among(low, high),
            To::Unknown => *old = Port::Among(1, u16::MAX),
        }
    }

    /// The address that MASQUERADE takes: of the link, the first on the subnet of the next hop, else the first.
    fn masquerade(&self, ns: usize, oif: &str, packet: &Packet) -> Option<IpAddr> {
        let near = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let usable: Vec<_> =
            self.net.ns(ns).addrs_of(oif).filter(|addr| addr.ip.is_ipv6() == packet.v6() && !near(addr.ip)).collect();
        let next = match usable.as_slice() {
            [] | [_] => packet.dst,
            _ => self.route(ns, packet, None).ok().and_then(|got| got.gateway).unwrap_or(packet.dst),
        };
        usable.iter().find(|addr| addr.covers(next)).or(usable.first()).map(|addr| addr.ip)
    }

    /// The address that REDIRECT takes: the first of the link that the packet came in by, or of lo for one's own.
    fn own_address(&self, ns: usize, iif: &str, v6: bool) -> Option<IpAddr> {
        if iif.is_empty() {
            return Some(if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() });
        }
        let near = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let found = self.net.ns(ns).addrs_of(iif).find(|addr| addr.ip.is_ipv6() == v6 && !near(addr.ip));
        found.map(|addr| addr.ip)
    }

    fn conntrack_full(&mut self, ns: usize) {
        let (count, max) =
            (self.net.setting(ns, "netfilter/nf_conntrack_count"), self.net.setting(ns, "netfilter/nf_conntrack_max"));
        if max == 0 || count < max {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        // Every namespace shows the limit; only the first one of the machine may change it.
        let mend = match &at {
            crate::op::Where::Host => format!("sysctl -w net.netfilter.nf_conntrack_max={}", max.saturating_mul(2)),
            _ => "conntrack -F".to_owned(),
        };
        self.fault(
            Culprit::new(Code::ConntrackFull, &at, "sysctl", "net.netfilter.nf_conntrack_max")
                .value(max.to_string())
                .says(format!(
                    "the conntrack table of {at} is full: {count} of {max} connections; new ones are dropped"
                ))
                .because(Label::State, format!("nf_conntrack_count = {count}, nf_conntrack_max = {max}"))
                .fix(&mend),
        );
    }

    /// The culprit that a rule or policy is.
    fn by_rule(
        &self,
        ns: usize,
        hook: Hook,
        packet: &Packet,
        (iif, oif): (&str, &str),
        bridged: bool,
        rule: &RuleRef,
    ) -> Culprit {
        let at = &self.net.ns(ns).at;
        let layer2 = ["bridge ", "arp ", "netdev "].iter().any(|family| rule.table.starts_with(family));
        let code = match rule {
            _ if layer2 => Code::L2FilterDrop,
            RuleRef { policy: true, .. } => Code::NfPolicyDrop,
            RuleRef { reject: true, .. } => Code::NfReject,
            _ => Code::NfDrop,
        };
        let name = format!("{} {} {}", rule.tool, rule.table, rule.chain);
        let what = if rule.policy { "the policy of" } else { "a rule in" };
        let verb = if rule.reject { "refuses" } else { "drops" };
        let leg = if self.leg == Leg::Reply { "the reply" } else { "the packet" };
        let way = match (iif, oif) {
            ("", "") => String::new(),
            ("", out) => format!(" on its way out by {out}"),
            (inn, "") => format!(" that came in by {inn}"),
            (inn, out) => format!(" from {inn} to {out}"),
        };
        let called = if rule.chain.eq_ignore_ascii_case(hook.chain()) {
            String::new()
        } else {
            format!(" (hook {})", hook.chain())
        };
        let mut message =
            format!("{what} {name}{called} in {at} {verb} {leg} {} → {}{way}: `{}`", packet.src, packet.dst, rule.text);
        let mut culprit =
            Culprit::new(code, at, if rule.policy { "policy" } else { "rule" }, name).value(rule.text.clone());
        let count = rule.packets.map(|packets| format!("   (counter: {packets} packets)")).unwrap_or_default();
        culprit = culprit.because(Label::State, format!("{} in {at}, {}: {}{count}", rule.tool, rule.table, rule.text));
        // A rule that takes all that comes to its chain: what sent this packet there decides.
        if let Some(step) = rule.path.last().filter(|step| step.element.is_none()) {
            if !rule.policy && takes_all(&rule.text) {
                let _ = write!(message, "; `{}` sends it there", step.text);
            }
            let way = rule.path.iter().map(|step| format!("`{}`", step.text)).collect::<Vec<_>>().join(" → ");
            culprit = culprit.because(Label::State, format!("reached by {way}"));
        }
        if bridged {
            let sysctl =
                if packet.v6() { "net.bridge.bridge-nf-call-ip6tables" } else { "net.bridge.bridge-nf-call-iptables" };
            let _ = write!(message, "; the frame is only bridged, but {sysctl} = 1 shows it to the firewall");
            culprit = culprit.because(Label::State, format!("{sysctl} = 1 in {at}"));
            if rule.policy {
                return culprit.says(message).fix(&format!("sysctl -w {sysctl}=0"));
            }
        }
        // A filter that asks the routing tables: what they say.
        if hook == Hook::Prerouting && (rule.text.contains("rpfilter") || rule.text.contains("fib saddr")) {
            let marked = rule.text.contains("validmark") || rule.text.contains("mark .");
            let back = packet.way_back(sort(self.net.ns(ns), packet.dst), marked);
            let said = match self.leads(ns, &back) {
                super::packet::Way::By(devs) => {
                    format!("would answer {} by {}, not by {iif}", packet.src, devs.join(" or "))
                }
                super::packet::Way::Local => format!("has {} itself", packet.src),
                super::packet::Way::Nowhere => format!("has no way back to {}", packet.src),
                super::packet::Way::Unknown => String::new(),
            };
            if !said.is_empty() {
                let _ = write!(message, "; it is a reverse path filter, and {at} {said}");
            }
            culprit = self.by_the_mark(ns, culprit, &mut message, (packet, iif), rule, marked);
        }
        if packet.ct == Ct::Untracked && rule.policy {
            message += "; the packet is untracked (a raw rule with --notrack), so no rule on its conntrack state (ctstate) accepts it";
            if let Some(by) = &packet.past.untracked {
                let culprit = culprit.because(Label::State, format!("{} {}: {}", by.tool, by.table, by.text));
                return self.mend_rule(culprit.says(message), packet, ("", ""), by);
            }
        }
        if packet.ct == Ct::New && self.leg == Leg::Reply || packet.ct == Ct::Invalid && self.stage == Stage::Tracked {
            let _ = write!(message, "; its conntrack state is {}", packet.ct.word());
        }
        if self.leg == Leg::Reply && packet.ct == Ct::Established && rule.policy {
            message += "; no rule accepts ESTABLISHED,RELATED, so the way back is closed";
        }
        if let Some((asker, _)) =
            self.origin.as_ref().filter(|_| packet.proto == 6 && self.leg == Leg::Request && takes_ecn(&rule.text))
        {
            // 1, 3 and 4 ask for it (`tcp_ecn` in ip-sysctl.rst), 0, 2 and 5 do not.
            let value = self.net.setting(*asker, "ipv4/tcp_ecn");
            let place = self.net.ns(*asker).at.clone();
            if matches!(value, 1 | 3 | 4) {
                let _ = write!(
                    message,
                    "; it looks at the flags by which TCP offers ECN, and {place} offers that with each connection (net.ipv4.tcp_ecn = {value})"
                );
                culprit = culprit
                    .because(Label::State, format!("net.ipv4.tcp_ecn = {value} in {place}"))
                    .fix_at(&place, "sysctl -w net.ipv4.tcp_ecn=2");
            }
        }
        culprit = self.almost_let_pass(ns, culprit, &mut message, (hook, packet), (iif, oif), rule);
        culprit = self.counted(ns, culprit, &mut message, packet, rule);
        culprit = culprit.says(message);
        self.mend_rule(culprit, packet, (iif, oif), rule)
    }

    /// A reverse path filter in the rules and a mark: with the packet's own, or the one that its connection gives back later, the way back is
    /// the link that it came by, and the rule does not look at it; or it looks at one that leads elsewhere.
    fn by_the_mark(
        &self,
        ns: usize,
        mut culprit: Culprit,
        message: &mut String,
        (packet, iif): (&Packet, &str),
        rule: &RuleRef,
        marked: bool,
    ) -> Culprit {
        let tuple = Tuple::of(packet).reversed();
        let kept = self.conns.iter().find(|conn| conn.ns == ns && [&conn.before, &conn.after].contains(&&tuple));
        let set = |mark: &u32| *mark != 0;
        let (own, kept) = (packet.mark.filter(set), kept.and_then(|conn| conn.mark).filter(set));
        let by = |mark: u32| {
            let other = Packet { mark: Some(mark), ..packet.clone() };
            let back = other.way_back(sort(self.net.ns(ns), packet.dst), true);
            matches!(self.leads(ns, &back), super::packet::Way::By(devs) if devs.iter().any(|dev| dev == iif))
        };
        let how = if rule.tool == "nft" { "`fib saddr . mark . iif`" } else { "--validmark" };
        match (own, kept) {
            (Some(mark), _) if !marked && by(mark) => {
                let _ = write!(
                    message,
                    "; it has the mark 0x{mark:x}, and with the mark the way back is {iif}: the rule looks at marks with {how} only"
                );
                if let Some(set) = &packet.past.marked {
                    culprit = culprit
                        .because(Label::State, format!("its mark is from {} {}: {}", set.tool, set.table, set.text));
                }
                let mut words = rule.deletion();
                let filter = words.iter().position(|word| word == "rpfilter");
                let verb = words.iter().position(|word| word == "-D");
                if let (Some(filter), Some(verb), true) = (filter, verb, rule.tool != "nft" && rule.handle > 0) {
                    words.insert(filter + 1, "--validmark".to_owned());
                    "-R".clone_into(&mut words[verb]);
                    words.insert(verb + 2, rule.handle.to_string());
                    culprit = culprit.fix_words(words);
                }
            }
            (Some(mark), _) if marked && by(0) => {
                let _ =
                    write!(message, "; it looks with the mark 0x{mark:x}, and without the mark the way back is {iif}");
            }
            (None, Some(mark)) if self.stage == Stage::Early && by(mark) => {
                let too = if marked { String::new() } else { format!(", and does not look at marks (that is {how})") };
                let _ = write!(
                    message,
                    "; its connection has the mark 0x{mark:x}, with which the way back is {iif}: the rule stands before a rule can give the \
                     mark back to the packet (raw comes before mangle){too}"
                );
            }
            _ => {}
        }
        culprit
    }

    pub(super) fn mend_rule(
        &self,
        mut culprit: Culprit,
        packet: &Packet,
        (iif, oif): (&str, &str),
        rule: &RuleRef,
    ) -> Culprit {
        if !rule.policy {
            if !culprit.fix.is_empty() {
                return culprit;
            }
            let narrow = self.before_rule(packet, (iif, oif), rule);
            if narrow.is_empty() {
                let opens = format!("all that `{}` in {} keeps out", rule.text, rule.chain);
                culprit.fix.push(super::finding::Fix::of(&culprit.at, rule.deletion()).opening(opens));
            } else {
                let at = culprit.at.clone();
                culprit.fix.extend(narrow.into_iter().map(|words| super::finding::Fix::of(&at, words)));
            }
            return culprit;
        }
        let related = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
        if rule.tool == "nft" {
            let family = if packet.v6() { "ip6" } else { "ip" };
            let head = format!("nft insert rule {} {}", rule.table, rule.chain);
            if self.leg == Leg::Reply {
                return culprit.fix(&format!("{head} ct state established,related accept"));
            }
            return culprit
                .fix(&format!("{head} ct state established,related accept"))
                .fix(&format!("{head} {family} saddr {} {family} daddr {} accept", packet.src, packet.dst));
        }
        let head = format!("{} -t {} -I {} 1", rule.tool, rule.table, rule.chain);
        if self.leg == Leg::Reply && packet.ct == Ct::Established {
            return culprit.fix(&format!("{head} {related}"));
        }
        let port = match packet.dport {
            Port::Exact(port) if packet.proto != 1 && packet.proto != 58 => format!(" --dport {port}"),
            _ => String::new(),
        };
        let way = match (iif, oif) {
            ("", out) if !out.is_empty() => format!(" -o {out}"),
            (inn, "") if !inn.is_empty() => format!(" -i {inn}"),
            (inn, out) if !inn.is_empty() => format!(" -i {inn} -o {out}"),
            _ => String::new(),
        };
        let mut culprit = culprit.fix(&format!(
            "{head}{way} -s {} -d {} -p {}{port} -j ACCEPT",
            packet.src,
            packet.dst,
            packet.proto_name()
        ));
        if rule.base == "FORWARD" {
            culprit = culprit.fix(&format!("{head} {related}"));
        }
        culprit
    }

    /// The narrowest accept right before a rule that drops, for this flow and its answers; none where only its deletion helps.
    fn before_rule(&self, packet: &Packet, (iif, oif): (&str, &str), rule: &RuleRef) -> Vec<Vec<String>> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        // Frames have no addresses to go by, and an untracked or invalid packet is what another rule made of it.
        let frames = ["bridge ", "arp ", "netdev "].iter().any(|family| rule.table.starts_with(family));
        // Neighbour discovery goes to groups and back: no pair of addresses lets it pass.
        let discovery = packet.v6() && packet.icmp.is_some_and(|kind| (133..=137).contains(&kind));
        // Of a tunnel's packets the port that they go to is known only, and that on both ways.
        let inner = self.depth > 0;
        if frames
            || discovery
            || rule.handle == 0
            || inner && !(packet.proto == 17 && matches!(packet.dport, Port::Exact(_)))
        {
            return Vec::new();
        }
        let (src, dst, proto) = (packet.src.to_string(), packet.dst.to_string(), packet.proto_name().to_owned());
        let port = |port: Port| match port {
            Port::Exact(port) if packet.icmp.is_none() => Some(port.to_string()),
            _ => None,
        };
        let (sport, dport) =
            if self.leg == Leg::Reply && !inner { (port(packet.sport), None) } else { (None, port(packet.dport)) };
        let both = !inner && self.leg == Leg::Request && rule.base.eq_ignore_ascii_case("FORWARD");
        let flows = [(&src, &dst, &sport, &dport), (&dst, &src, &dport, &sport)];
        let flows = flows.into_iter().take(if both { 2 } else { 1 });
        if rule.tool == "nft" {
            let family = if packet.v6() { "ip6" } else { "ip" };
            let table: Vec<&str> = rule.table.split(' ').collect();
            let proto = if packet.icmp.is_some() && packet.v6() { "icmpv6".to_owned() } else { proto };
            return flows
                .map(|(src, dst, sport, dport)| {
                    let position = rule.handle.to_string();
                    let mut words = owned(&["nft", "insert", "rule"]);
                    words.extend(owned(&table));
                    words.extend(owned(&[
                        &rule.chain,
                        "position",
                        &position,
                        family,
                        "saddr",
                        src,
                        family,
                        "daddr",
                        dst,
                    ]));
                    match (sport, dport) {
                        (Some(port), _) => words.extend(owned(&[&proto, "sport", port])),
                        (_, Some(port)) => words.extend(owned(&[&proto, "dport", port])),
                        _ => words.extend(owned(&["meta", "l4proto", &proto])),
                    }
                    words.extend(owned(&["accept"]));
                    words
                })
                .collect();
        }
        let devs: Vec<[&str; 2]> = if rule.base == "FORWARD" {
            Vec::new()
        } else {
            [["-i", iif], ["-o", oif]].into_iter().filter(|[_, dev]| !dev.is_empty()).collect()
        };
        flows
            .map(|(src, dst, sport, dport)| {
                let number = rule.handle.to_string();
                let mut words = owned(&[&rule.tool, "-t", &rule.table, "-I", &rule.chain, &number]);
                words.extend(devs.iter().filter(|[option, _]| fits(option, &rule.base)).flat_map(|pair| owned(pair)));
                words.extend(owned(&["-s", src, "-d", dst, "-p", &proto]));
                words.extend(sport.iter().flat_map(|port| owned(&["--sport", port])));
                words.extend(dport.iter().flat_map(|port| owned(&["--dport", port])));
                words.extend(owned(&["-j", "ACCEPT"]));
                words
            })
            .collect()
    }

    /// The filters on frames: nft's bridge, netdev and arp families. Returns whether the frame passes.
    #[expect(clippy::too_many_arguments, reason = "one frame or packet at one place")]
    pub(super) fn frame_hook(
        &mut self,
        ns: usize,
        family: &str,
        hook: Hook,
        packet: &Packet,
        devs: (&str, &str),
        arp: bool,
        macs: Option<(&str, &str)>,
    ) -> bool {
        let nft = self.net.nft(ns);
        let mut bases = nft.bases(&[family], hook, if hook == Hook::Egress { devs.1 } else { devs.0 }, &[]);
        bases.sort_unstable();
        let sort = |_: IpAddr| Sort::Unicast;
        let way = |_: &Packet| Way::Unknown;
        let (iif, oif) = devs;
        let spot = Spot { hook, iif, oif, physin: None, physout: None, sort: &sort, way: &way, arp, macs };
        let mut passes = true;
        for (_, index) in bases {
            let mut effect = nft.run(index, packet, &spot, None);
            self.first_cause(ns, packet, &mut effect, &|packet, assume| nft.run(index, packet, &spot, assume));
            for rule in effect.suspects {
                let culprit = self.by_rule(ns, hook, packet, devs, false, &rule);
                self.suspect(ns, culprit, Some(rule));
            }
            if let Some(rule) = effect.drop {
                let mut culprit = self.by_rule(ns, hook, packet, devs, false, &rule);
                let sort = if arp { "ARP frame" } else { "frame" };
                culprit.message = format!(
                    "a filter on frames in {} ({} {} {}; what ebtables and nft bridge rules are) drops the {sort} from {} to {}: `{}`",
                    culprit.at, rule.tool, rule.table, rule.chain, devs.0, devs.1, rule.text
                );
                if rule.policy {
                    culprit.fix = vec![super::finding::Fix::of(&culprit.at, rule.deletion())];
                }
                let culprit = self.caused(ns, culprit, packet, &rule, effect.cause);
                self.fault(pass_sender(culprit, &rule, devs.0, macs));
                passes = false;
            }
        }
        passes
    }

    /// What the `IPsec` policies of a namespace say about a packet: that it may not pass, or that it has to come out of a tunnel, or go into one.
    pub(super) fn xfrm(&mut self, ns: usize, packet: &Packet, dir: &str) {
        let policies = xfrm_policies(self.net.xfrm(ns));
        let find = |packet: &Packet, dir: &str| {
            let fits = |policy: &&XfrmPolicy| policy.dir == dir && policy.covers(packet);
            // The lower number counts, of two alike the older one (`xfrm_policy_lookup_bytype`); the newest is listed first.
            policies.iter().rev().filter(fits).min_by_key(|policy| policy.priority).cloned()
        };
        let Some(policy) = find(packet, dir) else { return };
        let at = self.net.ns(ns).at.clone();
        let name = format!("src {} dst {} dir {dir}", policy.src, policy.dst);
        let culprit = Culprit::new(Code::XfrmBlock, &at, "policy", name.clone());
        if policy.blocks {
            let culprit = culprit
                .value("action block")
                .says(format!("an IPsec policy (xfrm) of {at} blocks {} → {}", packet.src, packet.dst))
                .because(Label::State, format!("ip xfrm policy in {at}: {name} action block"))
                .fix(&format!("ip xfrm policy delete {name}"));
            return self.fault(culprit);
        }
        // By lo nothing is encrypted (`disable_xfrm`, `disable_policy`), and an outer packet is the tunnel itself.
        let own = |ip| self.net.ns(ns).owns(ip).is_some();
        if !policy.tunnels || self.depth > 0 || own(packet.src) && own(packet.dst) {
            return;
        }
        let out = dir == "out";
        // With keys the packet goes into the tunnel, whose way is not walked.
        let keys = || self.net.ask(ns, "ip", &["xfrm", "state", "count"]).stdout;
        if out && keys().split_whitespace().last().is_none_or(|count| count != "0") {
            return;
        }
        let says = if out {
            format!(
                "the IPsec policy `{name}` of {at} takes {} → {} for a tunnel ({}), and there is none: no keys have been agreed (no SA)",
                packet.src, packet.dst, policy.tunnel
            )
        } else {
            format!(
                "the IPsec policy `{name}` of {at} takes {} → {} from a tunnel only ({}), and it comes in clear",
                packet.src, packet.dst, policy.tunnel
            )
        };
        let mut culprit = culprit.value(policy.tunnel.clone()).says(says).because(
            Label::State,
            format!("ip xfrm policy in {at}: {name} priority {} tmpl {}", policy.priority, policy.tunnel),
        );
        // A policy of its own lets this flow pass in clear, and its answers.
        let pass = |packet: &Packet, policy: &XfrmPolicy| {
            let (bits, before) = (if packet.v6() { 128 } else { 32 }, policy.priority.saturating_sub(1));
            let (src, dst) = (packet.src, packet.dst);
            format!("ip xfrm policy add src {src}/{bits} dst {dst}/{bits} dir {} priority {before}", policy.dir)
        };
        culprit = culprit.fix(&pass(packet, &policy));
        let answer = Packet { src: packet.dst, dst: packet.src, ..packet.clone() };
        let back = match dir {
            "in" => "out",
            "out" => "in",
            other => other,
        };
        if let Some(other) = find(&answer, back).filter(|other| other.tunnels && !other.blocks) {
            culprit = culprit.fix(&pass(&answer, &other));
        }
        self.fault(culprit.advise(
            "or bring the tunnel up; what never goes through it, such as the gateway's own LAN, wants a policy of its own (bypass-lan)",
        ));
    }
}

/// A policy of `ip xfrm policy`, as far as it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct XfrmPolicy {
    src: String,
    dst: String,
    /// What else the packet must have: a protocol, ports, a link.
    narrow: bool,
    dir: String,
    priority: u32,
    blocks: bool,
    /// It wants a transformation, and not only where there is one (`level use`).
    tunnels: bool,
    tunnel: String,
}

impl XfrmPolicy {
    fn covers(&self, packet: &Packet) -> bool {
        let covers = |net: &str, ip: IpAddr| net.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&ip));
        !self.narrow && covers(&self.src, packet.src) && covers(&self.dst, packet.dst)
    }
}

/// The policies of `ip xfrm policy`, but for those of sockets.
fn xfrm_policies(listing: &str) -> Vec<XfrmPolicy> {
    let mut all: Vec<XfrmPolicy> = Vec::new();
    let mut selector = None;
    for line in listing.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().skip_while(|one| **one != word).nth(1).copied();
        match words.as_slice() {
            ["src", src, "dst", dst, rest @ ..] if !line.starts_with(char::is_whitespace) => {
                selector = Some(((*src).to_owned(), (*dst).to_owned(), !rest.is_empty()));
            }
            ["dir", dir, ..] => {
                let Some((src, dst, narrow)) = selector.take() else { continue };
                all.push(XfrmPolicy {
                    src,
                    dst,
                    narrow,
                    dir: (*dir).to_owned(),
                    priority: after("priority").and_then(|number| number.parse().ok()).unwrap_or(0),
                    blocks: after("action") == Some("block"),
                    tunnels: false,
                    tunnel: String::new(),
                });
            }
            ["socket", ..] => selector = None,
            ["tmpl", ..] => {
                if let Some(policy) = all.last_mut() {
                    policy.tunnels = true;
                    let ends = [after("src"), after("dst")].into_iter().flatten().collect::<Vec<_>>().join(" → ");
                    policy.tunnel = ends;
                }
            }
            ["level", "use", ..] | ["proto", .., "level", "use"] => {
                if let Some(policy) = all.last_mut() {
                    policy.tunnels = false;
                }
            }
            _ => {}
        }
    }
    all
}

/// Whether a rule looks at nothing of a packet but its protocol.
fn takes_all(text: &str) -> bool {
    let looks = [
        "-s", "-d", "-i", "-o", "-m", "--dport", "--sport", "saddr", "daddr", "sport", "dport", "iifname", "oifname",
        "iif", "oif", "ct", "mark", "fib", "vmap", "limit", "pkttype",
    ];
    !text.split_whitespace().any(|word| looks.contains(&word))
}

/// Whether a rule looks at the flags of TCP by which ECN is offered.
fn takes_ecn(text: &str) -> bool {
    let mut words = text.split([' ', ',', '|', '(', ')']);
    let flags = text.contains("tcp flags");
    words.any(|word| word.starts_with("--ecn-tcp-") || flags && matches!(word, "ecn" | "cwr"))
}

/// Whether a base chain takes `-i` or `-o` (`iptables-extensions(8)`: no input link on the way out, no output link on the way in).
fn fits(option: &str, base: &str) -> bool {
    match base {
        "PREROUTING" | "INPUT" => option == "-i",
        "OUTPUT" | "POSTROUTING" => option == "-o",
        _ => true,
    }
}

/// Of a filter on frames: lets one sender pass before its rules, which may be several, rather than taking one of them away. The tables of
/// ebtables are its own.
fn pass_sender(mut culprit: Culprit, rule: &RuleRef, dev: &str, macs: Option<(&str, &str)>) -> Culprit {
    let ours = ["filter", "nat", "broute"].iter().any(|name| rule.table == format!("bridge {name}"));
    if let Some((mac, _)) = macs.filter(|(mac, _)| !ours && !rule.policy && !mac.is_empty() && !dev.is_empty())
        && rule.text.contains("saddr")
    {
        let line = format!("nft insert rule {} {} iifname {dev} ether saddr {mac} accept", rule.table, rule.chain);
        culprit.fix = vec![super::finding::Fix::new(&culprit.at, &line)];
    }
    culprit
}

/// What is kept of a connection for its packets.
fn of(conn: &Conn) -> Track {
    Track {
        mark: conn.mark,
        snat: conn.before.src != conn.after.src,
        dnat: conn.before.dst != conn.after.dst,
        orig: Some([conn.before.src, conn.before.dst]),
        zone: conn.zone,
    }
}

/// The network part of another network with an address's own rest.
fn onto(net: ipnet::IpNet, ip: IpAddr) -> IpAddr {
    match (net, ip) {
        (ipnet::IpNet::V4(net), IpAddr::V4(ip)) => {
            let mask = u32::from(net.netmask());
            std::net::Ipv4Addr::from(u32::from(net.addr()) & mask | u32::from(ip) & !mask).into()
        }
        (ipnet::IpNet::V6(net), IpAddr::V6(ip)) => {
            let mask = u128::from(net.netmask());
            std::net::Ipv6Addr::from(u128::from(net.addr()) & mask | u128::from(ip) & !mask).into()
        }
        _ => ip,
    }
}

/// What an address is to a namespace, as its table `local` has it.
pub(super) fn sort(network: &Ns, ip: IpAddr) -> Sort {
    let limited = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0);
    if ip.is_multicast() {
        return Sort::Multicast;
    }
    let found = network
        .routes
        .iter()
        .filter(|route| route.table.as_deref() == Some("local"))
        .filter_map(|route| Some((route.destination().filter(|net| net.contains(&ip))?.prefix_len(), route.kind())))
        .max_by_key(|(len, _)| *len);
    match found {
        Some((_, "local")) => Sort::Local,
        Some((_, "broadcast")) => Sort::Broadcast,
        _ if limited => Sort::Broadcast,
        _ if network.owns(ip).is_some() => Sort::Local,
        _ => Sort::Unicast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_of_ipsec_are_read() {
        let listing = "\
src 192.168.1.0/24 dst 0.0.0.0/0
\tdir out priority 399999 ptype main
\ttmpl src 203.0.113.2 dst 203.0.113.1
\t\tproto esp reqid 1 mode tunnel
src 0.0.0.0/0 dst 192.168.1.0/24 proto tcp dport 22
\tdir in action block priority 7 ptype main
src 0.0.0.0/0 dst 0.0.0.0/0
\tsocket in priority 0 ptype main
src 10.0.0.0/8 dst 0.0.0.0/0
\tdir fwd priority 0 ptype main
\ttmpl src 0.0.0.0 dst 0.0.0.0
\t\tproto esp reqid 1 mode transport
\t\tlevel use
";
        let all = xfrm_policies(listing);
        let short: Vec<_> = all
            .iter()
            .map(|one| (one.dir.as_str(), one.priority, one.blocks, one.tunnels, one.narrow, one.tunnel.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                ("out", 399_999, false, true, false, "203.0.113.2 → 203.0.113.1"),
                ("in", 7, true, false, true, ""),
                ("fwd", 0, false, false, false, "0.0.0.0 → 0.0.0.0"),
            ]
        );
        let packet =
            Packet { src: "192.168.1.9".parse().unwrap(), dst: "10.1.1.1".parse().unwrap(), ..Packet::solicitation() };
        assert_eq!(all.iter().map(|one| one.covers(&packet)).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_rule_looks_at_the_flags_of_ecn() {
        for (text, ecn) in [
            ("-A bad -p tcp -m ecn --ecn-tcp-ece -j DROP", true),
            ("-A bad -p tcp -m ecn ! --ecn-tcp-cwr -j ACCEPT", true),
            ("tcp flags ecn,cwr / ecn,cwr drop", true),
            ("tcp flags & (fin|syn|ecn) == syn | ecn drop", true),
            ("tcp flags syn / fin,syn,rst,ack drop", false),
            ("-A bad -p tcp -m ecn --ecn-ip-ect 3 -j DROP", false),
            ("iifname \"ecn\" drop", false),
        ] {
            assert_eq!(takes_ecn(text), ecn, "{text}");
        }
    }

    #[test]
    fn a_rule_that_looks_at_the_protocol_only_takes_all_that_comes_to_its_chain() {
        for (text, all) in [
            ("-A http-flood -j DROP", true),
            ("meta l4proto tcp reject type tcp reset", true),
            ("drop", true),
            ("-A INPUT -s 10.0.0.1/32 -j DROP", false),
            ("-A cali-fw -m comment --comment x -j DROP", false),
            ("ip saddr 10.0.0.1 drop", false),
            ("ct state invalid drop", false),
            ("meta mark & 0x1 == 0x1 drop", false),
        ] {
            assert_eq!(takes_all(text), all, "{text}");
        }
    }
}
