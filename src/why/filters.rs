//! The hooks: every base chain of every backend in the order of their priorities, connection tracking and translation between them.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::finding::{Culprit, Label, Leg};
use super::packet::{Ct, Effect, Hook, Nat, Packet, Port, RuleRef, Spot};
use super::walk::{Conn, Tuple, Walk};

/// Where connection tracking sits among the priorities, and translation of destinations.
const CONNTRACK: i32 = -200;

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
        let owned = |family: &str, table: &str| {
            family == if v6 { "ip6" } else { "ip" } && tables.iter().any(|tables| !tables.legacy && tables.has(table))
        };
        let families = [if v6 { "ip6" } else { "ip" }, "inet"];
        let mut bases: Vec<(i32, Base<'_>)> = Vec::new();
        for tables in &tables {
            bases.extend(tables.bases(hook).into_iter().map(|(prio, table)| (prio, Base::Iptables(tables, table))));
        }
        for (prio, index) in nft.bases(&families, hook, iif, &owned) {
            bases.push((prio, Base::Nft(index)));
        }
        bases.sort_by_key(|(prio, _)| *prio);
        let entering = matches!(hook, Hook::Prerouting | Hook::Output);
        let mut tracked = !entering;
        let mut notrack = false;
        let mut passes = true;
        for (prio, base) in bases {
            if !tracked && prio >= CONNTRACK {
                self.track(ns, packet, notrack);
                tracked = true;
            }
            let is_nat = match &base {
                Base::Iptables(_, table) => *table == "nat",
                Base::Nft(index) => nft.kind(*index) == "nat",
            };
            // The rules of NAT see the first packet of a connection only, and the first translation counts.
            if is_nat && (packet.ct != Ct::New || self.leg == Leg::Reply && packet.ct == Ct::Established) {
                continue;
            }
            let local = |ip: IpAddr| network.owns(ip).is_some();
            let spot = Spot {
                hook,
                iif,
                oif,
                physin: bridged.map(|bridged| bridged.physin),
                physout: bridged.map(|bridged| bridged.physout),
                local: &local,
                arp: false,
                macs: None,
            };
            let effect = match &base {
                Base::Iptables(tables, table) => tables.run(table, packet, &spot),
                Base::Nft(index) => nft.run(*index, packet, &spot),
            };
            passes &= self.take(ns, hook, packet, (iif, oif), bridged.is_some(), effect, &mut notrack);
        }
        if !tracked {
            self.track(ns, packet, notrack);
        }
        if matches!(hook, Hook::Postrouting | Hook::Input) {
            self.restore_source(ns, packet);
        }
        passes
    }

    /// Takes what a chain did.
    #[expect(clippy::too_many_arguments, reason = "one frame or packet at one place")]
    fn take(
        &mut self,
        ns: usize,
        hook: Hook,
        packet: &mut Packet,
        devs: (&str, &str),
        bridged: bool,
        effect: Effect,
        notrack: &mut bool,
    ) -> bool {
        let mut passes = true;
        for rule in effect.suspects {
            let culprit = self.by_rule(ns, hook, packet, devs, bridged, &rule);
            self.suspect(ns, culprit, Some(rule));
        }
        if let Some(rule) = effect.drop {
            let culprit = self.by_rule(ns, hook, packet, devs, bridged, &rule);
            if effect.maybe_accepted {
                self.suspect(ns, culprit, Some(rule));
            } else {
                self.fault(culprit);
                passes = false;
            }
        }
        if let Some(mark) = effect.mark {
            packet.mark = mark;
        }
        if let Some(ttl) = effect.ttl {
            packet.ttl = ttl;
            self.lived = Some((ns, hook));
        }
        if effect.notrack {
            *notrack = true;
            self.notrack = self.notrack.take().or(Some((
                ns,
                RuleRef {
                    tool: "iptables".into(),
                    table: "raw".into(),
                    chain: hook.chain().into(),
                    text: "CT --notrack".into(),
                    policy: false,
                    packets: None,
                    reject: false,
                    delete: Vec::new(),
                    base: hook.chain().into(),
                    handle: 0,
                },
            )));
        }
        if let Some((nat, rule)) = effect.nat {
            self.translate(ns, packet, devs.1, &nat, rule);
        }
        passes
    }

    fn track(&mut self, ns: usize, packet: &mut Packet, notrack: bool) {
        if notrack {
            packet.ct = Ct::Untracked;
            return;
        }
        let tuple = Tuple::of(packet);
        if self.leg == Leg::Request || self.depth > 0 {
            packet.ct = Ct::New;
            self.conntrack_full(ns);
            let known = self.conns.iter().any(|conn| conn.ns == ns && conn.after == tuple);
            if !known {
                self.conns.push(Conn { ns, before: tuple.clone(), after: tuple, by: None, answered: false });
            }
            return;
        }
        let found = self.conns.iter_mut().find(|conn| conn.ns == ns && conn.after.reversed() == tuple);
        if let Some(conn) = found {
            packet.ct = Ct::Established;
            conn.answered = true;
            (packet.dst, packet.dport) = conn.before.src;
        } else if self.conns.iter().any(|conn| conn.ns == ns && conn.before.reversed() == tuple) {
            packet.ct = Ct::Established;
        } else {
            // An answer without a question: TCP and ICMP call it invalid, UDP a new connection.
            packet.ct = if packet.proto == 17 { Ct::New } else { Ct::Invalid };
        }
    }

    fn restore_source(&mut self, ns: usize, packet: &mut Packet) {
        if self.leg == Leg::Request || packet.ct != Ct::Established {
            return;
        }
        let source = (packet.src, packet.sport);
        let found = self.conns.iter().find(|conn| {
            conn.ns == ns && conn.answered && conn.after.dst == source && conn.before.src == (packet.dst, packet.dport)
        });
        if let Some(conn) = found {
            (packet.src, packet.sport) = conn.before.dst;
        }
    }

    fn translate(&mut self, ns: usize, packet: &mut Packet, oif: &str, nat: &Nat, rule: RuleRef) {
        let old = Tuple::of(packet);
        match nat {
            Nat::Masquerade => {
                let addrs = self.net.ns(ns).addrs_of(oif);
                let usable = |ip: IpAddr| {
                    ip.is_ipv6() == packet.v6() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
                };
                if let Some(addr) = addrs.map(|addr| addr.ip).find(|ip| usable(*ip)) {
                    packet.src = addr;
                }
            }
            Nat::Source(ip, port) => {
                packet.src = ip.unwrap_or(packet.src);
                packet.sport = port
                    .map_or(packet.sport, |port| if packet.icmp.is_some() { packet.sport } else { Port::Exact(port) });
            }
            Nat::Destination(ip, port) => {
                packet.dst = ip.unwrap_or(packet.dst);
                packet.dport = port.map_or(packet.dport, Port::Exact);
            }
            Nat::Redirect(port) => {
                let own = self.net.ns(ns).addrs.iter().find(|addr| addr.ip == packet.dst).map(|addr| addr.ip);
                let any = self
                    .net
                    .ns(ns)
                    .addrs
                    .iter()
                    .find(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == packet.v6())
                    .map(|addr| addr.ip);
                packet.dst = own.or(any).unwrap_or(packet.dst);
                packet.dport = port.map_or(packet.dport, Port::Exact);
            }
        }
        let new = Tuple::of(packet);
        if let Some(conn) = self.conns.iter_mut().rev().find(|conn| conn.ns == ns && conn.after == old) {
            conn.after = new;
            if conn.by.is_none() || matches!(nat, Nat::Destination(..) | Nat::Redirect(_)) {
                conn.by = Some(rule);
            }
        }
    }

    fn conntrack_full(&mut self, ns: usize) {
        let (count, max) =
            (self.net.setting(ns, "netfilter/nf_conntrack_count"), self.net.setting(ns, "netfilter/nf_conntrack_max"));
        if max == 0 || count < max {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        self.fault(
            Culprit::new("CONNTRACK_FULL", &at, "sysctl", "net.netfilter.nf_conntrack_max")
                .value(max.to_string())
                .says(format!(
                    "the conntrack table of {at} is full: {count} of {max} connections; new ones are dropped"
                ))
                .because(Label::State, format!("nf_conntrack_count = {count}, nf_conntrack_max = {max}"))
                .fix(&format!("sysctl -w net.netfilter.nf_conntrack_max={}", max.saturating_mul(2))),
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
            _ if layer2 => "L2_FILTER_DROP",
            RuleRef { policy: true, .. } => "NF_POLICY_DROP",
            RuleRef { reject: true, .. } => "NF_REJECT",
            _ => "NF_DROP",
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
        if bridged {
            let sysctl =
                if packet.v6() { "net.bridge.bridge-nf-call-ip6tables" } else { "net.bridge.bridge-nf-call-iptables" };
            let _ = write!(message, "; the frame is only bridged, but {sysctl} = 1 shows it to the firewall");
            culprit = culprit.because(Label::State, format!("{sysctl} = 1 in {at}"));
            if rule.policy {
                return culprit.says(message).fix(&format!("sysctl -w {sysctl}=0"));
            }
        }
        if packet.ct == Ct::Untracked && rule.policy {
            message += "; the packet is untracked (a raw rule with --notrack), so no rule on its conntrack state (ctstate) accepts it";
            if let Some(notrack) = self.notrack_rule(ns, packet, hook, iif) {
                return culprit.because(Label::State, notrack.0).says(message).fix(&notrack.1);
            }
        }
        if packet.ct == Ct::New && self.leg == Leg::Reply || packet.ct == Ct::Invalid {
            let _ = write!(message, "; its conntrack state is {}", packet.ct.word());
        }
        if self.leg == Leg::Reply && packet.ct == Ct::Established && rule.policy {
            message += "; no rule accepts ESTABLISHED,RELATED, so the way back is closed";
        }
        culprit = culprit.says(message);
        self.mend_rule(culprit, packet, (iif, oif), rule)
    }

    fn notrack_rule(&self, ns: usize, packet: &Packet, hook: Hook, _iif: &str) -> Option<(String, String)> {
        let start = if hook == Hook::Output { "OUTPUT" } else { "PREROUTING" };
        for tables in self.net.tables(ns, packet.v6()) {
            for rule in tables.rules("raw", start) {
                if rule.words.iter().any(|word| word == "--notrack" || word == "NOTRACK") {
                    let line = format!("{} -t raw -D {start} {}", tables.tool(), rule.text());
                    return Some((format!("{} raw: -A {start} {}", tables.tool(), rule.text()), line));
                }
            }
        }
        None
    }

    fn mend_rule(&self, culprit: Culprit, packet: &Packet, (iif, oif): (&str, &str), rule: &RuleRef) -> Culprit {
        let delete = std::iter::once(rule.tool.clone()).chain(rule.delete.iter().cloned());
        let at = culprit.at.clone();
        let mut culprit = culprit;
        if !rule.policy {
            culprit.fix.push(super::finding::Fix { netns: at, words: delete.collect() });
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
        let mut bases = nft.bases(&[family], hook, if hook == Hook::Egress { devs.1 } else { devs.0 }, &|_, _| false);
        bases.sort_unstable();
        let local = |_: IpAddr| false;
        let spot = Spot { hook, iif: devs.0, oif: devs.1, physin: None, physout: None, local: &local, arp, macs };
        let mut passes = true;
        for (_, index) in bases {
            let effect = nft.run(index, packet, &spot);
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
                    culprit.fix = vec![super::finding::Fix {
                        netns: culprit.at.clone(),
                        words: std::iter::once("nft".to_owned()).chain(rule.delete.iter().cloned()).collect(),
                    }];
                }
                if effect.maybe_accepted {
                    self.suspect(ns, culprit, Some(rule));
                } else {
                    self.fault(culprit);
                    passes = false;
                }
            }
        }
        passes
    }

    /// What an `IPsec` policy says about a packet.
    pub(super) fn xfrm(&mut self, ns: usize, packet: &Packet, dir: &str) {
        let listing = self.net.xfrm(ns);
        if listing.is_empty() {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let mut selector: Option<(String, String)> = None;
        let mut direction = String::new();
        let mut found = Vec::new();
        for line in listing.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["src", src, "dst", dst, ..] if !line.starts_with(char::is_whitespace) => {
                    selector = Some(((*src).into(), (*dst).into()));
                }
                ["dir", way, rest @ ..] => {
                    direction = (*way).into();
                    if direction == dir && rest.windows(2).any(|pair| pair == ["action", "block"]) {
                        found.extend(selector.clone());
                    }
                }
                _ => {}
            }
        }
        let _ = direction;
        for (src, dst) in found {
            let covers = |net: &str, ip: IpAddr| net.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&ip));
            if covers(&src, packet.src) && covers(&dst, packet.dst) {
                self.fault(
                    Culprit::new("XFRM_BLOCK", &at, "policy", format!("src {src} dst {dst} dir {dir}"))
                        .value("action block")
                        .says(format!("an IPsec policy (xfrm) of {at} blocks {} → {}", packet.src, packet.dst))
                        .because(
                            Label::State,
                            format!("ip xfrm policy in {at}: src {src} dst {dst} dir {dir} action block"),
                        )
                        .fix(&format!("ip xfrm policy delete src {src} dst {dst} dir {dir}")),
                );
            }
        }
    }
}
