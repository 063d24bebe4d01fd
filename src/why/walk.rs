//! The walk: a packet from hop to hop, there and back, by what the kernel says it would do and by what the state says where it cannot be asked.
//!
//! Here are the legs; `filters` judges the hooks, `segment` what lies between two devices, `routes` why the kernel would not route, and
//! `service` what happens at the end. A fault is noted and the walk goes on as if it were mended, where it can.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::codes::Code;
use super::finding::{Culprit, Hop, Label, Leg};
use super::packet::{Ct, Hook, Packet, Past, Port, RuleRef};
use super::state::{Net, Part, text};
use crate::model::iptables::Rule;
use crate::model::link::Link;

/// How many hops a packet may take before it is a loop in any case.
const HOPS: usize = 64;

/// The addresses and ports of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) src: (IpAddr, Port),
    pub(super) dst: (IpAddr, Port),
}

impl Tuple {
    pub(super) fn of(packet: &Packet) -> Self {
        Self { src: (packet.src, packet.sport), dst: (packet.dst, packet.dport) }
    }

    pub(super) fn reversed(&self) -> Self {
        Self { src: self.dst, dst: self.src }
    }
}

/// A connection as one namespace tracks it: as it came, and as it went on.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) ns: usize,
    pub(super) before: Tuple,
    pub(super) after: Tuple,
    pub(super) by: Option<RuleRef>,
    /// The rule that translated its source.
    pub(super) source_by: Option<RuleRef>,
    pub(super) answered: bool,
    /// Its mark; `None` when nobody can say.
    pub(super) mark: Option<u32>,
    /// Its zone; `None` when nobody can say.
    pub(super) zone: Option<u16>,
    /// The rule that put it there.
    pub(super) zoned: Option<Arc<RuleRef>>,
}

/// An answer that is looked for in another zone of connection tracking than its request is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zoned {
    /// The zone of the request.
    pub(super) asked: u16,
    /// The zone of the answer.
    pub(super) answered: u16,
    /// The rule that put one of them there.
    pub(super) by: Option<RuleRef>,
}

/// Something that may be to blame and cannot be judged, with the rule whose counter would tell.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) culprit: Culprit,
    pub(super) ns: usize,
    pub(super) rule: Option<RuleRef>,
}

/// What the kernel's route oracle said.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    pub(super) local: bool,
    pub(super) dev: String,
    pub(super) gateway: Option<IpAddr>,
    pub(super) prefsrc: Option<IpAddr>,
    pub(super) mtu: Option<u32>,
    /// The time to live that the route gives what is sent by it.
    pub(super) hoplimit: Option<u32>,
    /// How the route wraps what goes by it: `seg6`, `mpls`.
    pub(super) encap: Option<String>,
    /// The next hop is one that a router told of, not the one of the tables.
    pub(super) redirected: bool,
    pub(super) line: String,
}

/// Whether rules come before connection tracking or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before it, as the table `raw`.
    Early,
    /// After it.
    Tracked,
}

/// The walk of one question.
pub(super) struct Walk<'a> {
    pub(super) net: &'a Net,
    pub(super) leg: Leg,
    pub(super) faults: Vec<Culprit>,
    pub(super) suspects: Vec<Suspect>,
    pub(super) hops: Vec<Hop>,
    pub(super) conns: Vec<Conn>,
    pub(super) pending: bool,
    /// Whether both legs were walked to their ends.
    pub(super) complete: bool,
    /// Where the packet left what is known.
    pub(super) left: Option<String>,
    /// Who takes the packet and sends something of its own instead, by which rule.
    pub(super) proxied: Option<String>,
    /// Who has joined the group that the request is for, and takes it.
    pub(super) members: Vec<(usize, String)>,
    /// Where the request arrived, and as what.
    pub(super) end: Option<(usize, Packet)>,
    /// The namespace and address that asked.
    pub(super) origin: Option<(usize, Packet)>,
    /// Where, on which leg, and by which rule a packet was told not to be tracked, and which one.
    pub(super) untracked: Vec<(usize, Leg, Arc<RuleRef>, Packet)>,
    /// The named sets that decided which mark a packet got, and where.
    pub(super) mark_sets: Vec<(usize, super::packet::Asked)>,
    /// A rule that cannot be judged may have sent the packet elsewhere: what is found behind it is a suspect.
    pub(super) guess: bool,
    /// Where a rule set the time to live.
    pub(super) lived: Option<(usize, Hook)>,
    /// Who sent this leg's packet, and the time to live that it had then.
    pub(super) sent: Option<(usize, u8)>,
    /// Where a mark that would have had a packet translated was overwritten.
    pub(super) lost_marks: Vec<super::causes::LostMark>,
    pub(super) visits: Vec<(usize, String, IpAddr, Leg)>,
    /// What a namespace's own packet was when a chain of its last had its way looked up again.
    pub(super) rerouted: Option<Packet>,
    /// The link that the packet is bound to.
    pub(super) bound: Option<String>,
    /// How deep in tunnels.
    pub(super) depth: u8,
    /// The time to live that the tunnel gives its outer packets, and which tunnel that is.
    pub(super) tunnel_ttl: Option<(usize, String, u8)>,
    /// Where the rules stand that are looked at.
    pub(super) stage: Stage,
    /// A size of the way that the sender remembers, and does not go beyond.
    pub(super) learned: Option<super::elsewhere::Learned>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(net: &'a Net) -> Self {
        Self {
            net,
            leg: Leg::Request,
            faults: Vec::new(),
            suspects: Vec::new(),
            hops: Vec::new(),
            conns: Vec::new(),
            pending: false,
            complete: false,
            left: None,
            proxied: None,
            members: Vec::new(),
            end: None,
            origin: None,
            untracked: Vec::new(),
            mark_sets: Vec::new(),
            guess: false,
            lived: None,
            sent: None,
            lost_marks: Vec::new(),
            visits: Vec::new(),
            rerouted: None,
            bound: None,
            depth: 0,
            tunnel_ttl: None,
            stage: Stage::Tracked,
            learned: None,
        }
    }

    /// The link that the packet must leave by, while it is still where it begins.
    fn bound_to(&self, ns: usize) -> Option<&str> {
        let first = self.hops.is_empty() && self.leg == Leg::Request && self.depth == 0;
        let begins = self.origin.as_ref().is_none_or(|(origin, _)| *origin == ns);
        self.bound.as_deref().filter(|_| first && begins)
    }

    /// Both legs.
    pub(super) fn round_trip(&mut self, from: usize, packet: Packet) {
        let Some((at, arrived)) = self.originate(from, packet) else { return };
        self.end = Some((at, arrived.clone()));
        self.leg = Leg::Reply;
        let answer = arrived.answer();
        let Some((back, answer)) = self.originate(at, answer) else { return };
        let Some((_, asked)) = self.origin.clone() else { return };
        self.complete = true;
        self.learned_no_more();
        if back != from && self.net.ns(back).owns(asked.src).is_none() {
            // It went to a translated source, past the router that would have turned it back.
            self.untranslated(back, &answer, &asked);
        } else if back != from {
            let who = self.name(back);
            let culprit = Culprit::new(Code::AddrDuplicate, &self.net.ns(back).at, "address", asked.src.to_string())
                .says(format!("the answer to {} ends in {who}, which has that address too", asked.src))
                .because(Label::State, format!("{who} and {} both own {}", self.name(from), asked.src));
            self.fault(culprit);
        } else if (answer.src, answer.sport) != (asked.dst, asked.dport) && asked.icmp.is_none() {
            self.untranslated(from, &answer, &asked);
        }
    }

    /// The answer came back to `client`, or to the router that translated for it, but from another address than was asked.
    fn untranslated(&mut self, client: usize, answer: &Packet, asked: &Packet) {
        let Some(conn) = self.conns.iter().find(|conn| conn.before.dst != conn.after.dst && !conn.answered).cloned()
        else {
            return;
        };
        if self.answer_untracked(conn.ns, answer, asked) {
            return;
        }
        let router = self.net.ns(conn.ns);
        let rule = conn.by.as_ref().map(|rule| rule.text.clone()).unwrap_or_default();
        // Where others translate once more behind it, the end is somebody else's business.
        let server = conn.after.dst.0;
        let source = conn.before.src.0;
        let culprit = Culprit::new(Code::HairpinNoSnat, &router.at, "rule", rule.clone())
            .value(format!("{} → {}", asked.dst, server))
            .says(format!(
                "{} turns {} into {server} but leaves the source {source} as it is; {server} is on the same segment and answers directly, \
                 past the translation, so {} gets an answer from a stranger (hairpin without SNAT)",
                router.at,
                asked.dst,
                if source == asked.src { "the client".to_owned() } else { self.name(client) }
            ))
            .because(Label::State, rule)
            .because(Label::Inferred, format!("the reply comes from {}, not from {}", answer.src, asked.dst));
        let port = match answer.sport {
            Port::Exact(port) => format!(" -p {} --dport {port}", asked.proto_name()),
            _ => String::new(),
        };
        let tool = if asked.v6() { "ip6tables" } else { "iptables" };
        let net = self.subnet_of(source);
        // A bridge of the router itself, past whose hooks of IP the answer is bridged.
        let bridge = router.links.iter().find(|link| {
            let crossed = |hop: &Hop| {
                hop.leg == Leg::Reply
                    && hop.at == router.at
                    && router.link(&hop.dev).is_some_and(|port| port.master.as_deref() == Some(&link.ifname))
            };
            link.kind() == Some("bridge") && self.hops.iter().any(crossed)
        });
        let name = format!("net.bridge.bridge-nf-call-{tool}");
        let known = self.net.sysctl(conn.ns, &format!("bridge/bridge-nf-call-{tool}"));
        let culprit = match bridge.filter(|_| known.as_deref() == Some("0")) {
            Some(bridge) => culprit
                .because(
                    Label::State,
                    format!("{name} = 0 in {}: {} bridges the answer past the translation", router.at, bridge.ifname),
                )
                .advise(format!("or let the bridge show what it bridges to the translation: sysctl -w {name}=1")),
            None => culprit,
        };
        self.fault(culprit.fix(&format!("{tool} -t nat -A POSTROUTING -s {net} -d {server}{port} -j MASQUERADE")));
    }

    /// The router that translated the request does not track the answer, so it is not turned back; noted.
    fn answer_untracked(&mut self, router: usize, answer: &Packet, asked: &Packet) -> bool {
        let Some((rule, packet)) = self.untracking(router, Leg::Reply) else { return false };
        let at = self.net.ns(router).at.clone();
        let culprit = Culprit::new(Code::NatWrong, &at, "rule", format!("{} {} {}", rule.tool, rule.table, rule.chain))
            .value(rule.text.clone())
            .says(format!(
                "a raw rule of {at} (`{}`) keeps the answer of {} from being tracked, and what is untracked is not turned back \
                 into {}: the client gets an answer from a stranger",
                rule.text, answer.src, asked.dst
            ))
            .because(Label::State, format!("{} {} in {at}: {}", rule.tool, rule.table, rule.text))
            .because(Label::Inferred, format!("the reply comes from {}, not from {}", answer.src, asked.dst));
        let culprit = self.mend_rule(culprit, &packet, ("", ""), &rule);
        self.fault(culprit);
        true
    }

    /// The rule that told a namespace not to track this leg's packet, and that packet as it was there.
    pub(super) fn untracking(&self, ns: usize, leg: Leg) -> Option<(Arc<RuleRef>, Packet)> {
        let found = self.untracked.iter().find(|(at, way, ..)| *at == ns && *way == leg);
        found.map(|(.., rule, packet)| (Arc::clone(rule), packet.clone()))
    }

    /// The subnet of an address, by whoever has it.
    pub(super) fn subnet_of(&self, ip: IpAddr) -> String {
        let found = self.net.all.iter().find_map(|ns| ns.owns(ip));
        found
            .and_then(|addr| ipnet::IpNet::new(addr.ip, addr.len).ok())
            .map_or_else(|| ip.to_string(), |net| net.trunc().to_string())
    }

    pub(super) fn name(&self, ns: usize) -> String {
        self.net.ns(ns).at.name()
    }

    pub(super) fn fault(&mut self, culprit: Culprit) {
        let culprit = self.not_pretended(culprit);
        let mut culprit = self.by_a_lost_mark(culprit);
        culprit.leg = self.leg;
        culprit.hop = self.hops.len();
        if self.guess {
            let ns = self.net.index(&culprit.at).unwrap_or(0);
            self.suspect(ns, culprit, None);
            return;
        }
        let same = |known: &Culprit| {
            let alike = known.code == culprit.code && known.at == culprit.at && known.name == culprit.name;
            // Two rules of one chain may each drop one of the ways.
            alike && (known.leg == culprit.leg || known.value == culprit.value || known.kind != "rule")
        };
        if !self.faults.iter().any(same) {
            self.faults.push(culprit);
        }
    }

    pub(super) fn suspect(&mut self, ns: usize, mut culprit: Culprit, rule: Option<RuleRef>) {
        culprit.leg = self.leg;
        culprit.hop = self.hops.len();
        let same = |known: &Suspect| {
            known.culprit.code == culprit.code
                && known.culprit.at == culprit.at
                && known.culprit.name == culprit.name
                && known.culprit.value == culprit.value
        };
        if !self.suspects.iter().any(same) {
            self.suspects.push(Suspect { culprit, ns, rule });
        }
    }

    pub(super) fn hop(&mut self, ns: usize, dev: &str, out: bool) {
        self.hops.push(Hop { leg: self.leg, at: self.net.ns(ns).at.clone(), dev: dev.to_owned(), out });
    }

    /// Asks the kernel where it would send a packet.
    pub(super) fn route(&self, ns: usize, packet: &Packet, iif: Option<&str>) -> Result<Got, (String, String)> {
        let dst = packet.dst.to_string();
        let src = packet.src.to_string();
        let mut words = vec![if packet.v6() { "-6" } else { "-4" }, "-j", "route", "get", &dst];
        if !packet.src.is_unspecified() {
            words.extend(["from", &src]);
        }
        if let Some(iif) = iif {
            words.extend(["iif", iif]);
        }
        if let Some(dev) = self.bound_to(ns).filter(|_| iif.is_none()) {
            words.extend(["oif", dev]);
        }
        // What policy rules look at of it (`IPTOS_RT_MASK`).
        let tos = format!("0x{:02x}", packet.tos.unwrap_or(0) & 0x1c);
        if tos != "0x00" {
            words.extend(["tos", &tos]);
        }
        let mark = packet.mark.unwrap_or(0).to_string();
        if mark != "0" {
            words.extend(["mark", &mark]);
        }
        let (dport, sport);
        if packet.proto == 6 || packet.proto == 17 {
            words.extend(["ipproto", packet.proto_name()]);
            if let Port::Exact(port) = packet.sport {
                sport = port.to_string();
                words.extend(["sport", &sport]);
            }
            if let Port::Exact(port) = packet.dport {
                dport = port.to_string();
                words.extend(["dport", &dport]);
            }
        }
        let answer = self.net.ask(ns, "ip", &words);
        let line = answer.line.replacen(" -4 -j", "", 1).replacen(" -j", "", 1);
        if !answer.ok {
            let said = answer.stderr.lines().next().unwrap_or("no answer");
            return Err((said.rsplit(": ").next().unwrap_or(said).to_owned(), line));
        }
        let records = self.net.records(ns, Part::Routing, &answer);
        let Some(record) = records.first() else { return Err(("no answer".into(), line)) };
        let ip = |key: &str| text(record, key).parse().ok();
        let via = record.get("via").and_then(|via| text(via, "host").parse().ok());
        let metric = |key: &str| record.get("metrics")?.as_array()?.iter().find_map(|one| one.get(key)?.as_u64());
        match text(record, "type") {
            "unreachable" => return Err(("No route to host".into(), line)),
            "prohibit" => return Err(("Permission denied".into(), line)),
            "blackhole" => return Err(("Invalid argument".into(), line)),
            // Under `bc_forwarding` it goes on to the segment (`ip_route_input_rcu`).
            "broadcast" if iif.is_some_and(|iif| self.forwards_broadcasts(ns, iif)) => {}
            // It leaves by that link, for who has joined there.
            "multicast" if iif.is_none() => {}
            "broadcast" | "multicast" => {
                return Err((format!("it is a {} address", text(record, "type")), line));
            }
            _ => {}
        }
        Ok(Got {
            local: text(record, "type") == "local" || text(record, "dev") == "lo",
            dev: text(record, "dev").to_owned(),
            gateway: ip("gateway").or(via),
            prefsrc: ip("prefsrc").or_else(|| if iif.is_none() { ip("src") } else { None }),
            mtu: metric("mtu").and_then(|mtu| u32::try_from(mtu).ok()),
            hoplimit: metric("hoplimit").and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0),
            // What `ip` and `ip6` say is for a tunnel that asks for it, and for no other link.
            encap: Some(text(record, "encap")).filter(|encap| !matches!(*encap, "" | "ip" | "ip6")).map(str::to_owned),
            redirected: record
                .get("cache")
                .and_then(Value::as_array)
                .is_some_and(|flags| flags.iter().any(|flag| flag == "redirected")),
            line,
        })
    }

    /// A packet of a namespace's own; where it ends, if it gets anywhere.
    pub(super) fn originate(&mut self, ns: usize, mut packet: Packet) -> Option<(usize, Packet)> {
        packet.ttl = Some(self.lives(ns, packet.v6(), None));
        let mut got = match self.route(ns, &packet, None) {
            Ok(got) => got,
            Err((said, line)) => {
                self.no_route(ns, &packet, None, &said, &line);
                return None;
            }
        };
        packet.ttl = Some(self.lives(ns, packet.v6(), Some(&got)));
        if self.depth == 0 {
            self.sent = packet.ttl.map(|ttl| (ns, ttl));
        }
        if packet.src.is_unspecified() {
            match got.prefsrc {
                Some(ip) => packet.src = ip,
                None => self.no_source(ns, &packet, &got)?,
            }
            got = self.looked_up_again(ns, &packet, got)?;
        }
        if !got.local && self.led_past_local(ns, &packet, None, &format!("{} → dev {}", got.line, got.dev)) {
            return None;
        }
        let near = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if near(packet.src) && !near(packet.dst) && self.leg == Leg::Request {
            let waiting = self
                .net
                .ns(ns)
                .addrs
                .iter()
                .find(|addr| addr.ip.is_ipv6() && !near(addr.ip) && (addr.tentative || addr.dadfailed))
                .map(|addr| addr.ip);
            match waiting {
                Some(ip) => {
                    self.tentative(ns, ip);
                }
                None => self.no_source(ns, &packet, &got)?,
            }
            return None;
        }
        if self.leg == Leg::Request && self.origin.is_none() {
            self.origin = Some((ns, packet.clone()));
        }
        if packet.v6() && !got.local && self.tentative(ns, packet.src) {
            return None;
        }
        self.local_ports(ns, &packet);
        let before = packet.clone();
        self.xfrm(ns, &packet, "out");
        if !self.hook(ns, Hook::Output, &mut packet, "", &got.dev.clone(), None) {
            // Dropped: it is noted, and the walk goes on.
        }
        let mut asked = before;
        if let Some(changed) = self.rerouted.take() {
            got = match self.route(ns, &changed, None) {
                Ok(got) => got,
                Err((said, line)) => {
                    self.no_route(ns, &changed, None, &said, &line);
                    return None;
                }
            };
            asked = changed;
        }
        if got.local {
            return self.by_loopback(ns, packet);
        }
        let (faults, hop) = (self.faults.len(), self.hops.len());
        let marked = packet.clone();
        let end = self.send(ns, &got, packet, None);
        if self.faults.len() > faults
            && asked.mark != marked.mark
            && let Some(mut culprit) = self.mark_too_late(ns, &marked, &got)
        {
            (culprit.leg, culprit.hop) = (self.leg, hop);
            self.faults.insert(faults, culprit.leads_astray());
        }
        end
    }

    /// A socket of IPv4 that is connected has its way looked up once more, with the source that the first time gave it (`ip_route_connect`):
    /// policy rules for that source see it then only.
    fn looked_up_again(&mut self, ns: usize, packet: &Packet, got: Got) -> Option<Got> {
        let by_source = |rule: &Value| !matches!(text(rule, "src"), "" | "all");
        if packet.v6() || !matches!(packet.proto, 6 | 17) || !self.net.ns(ns).rules[0].iter().any(by_source) {
            return Some(got);
        }
        match self.route(ns, packet, None) {
            Ok(got) => Some(got),
            Err((said, line)) => {
                self.no_route(ns, packet, None, &said, &line);
                None
            }
        }
    }

    /// The time to live that a namespace gives its own packets: of the tunnel, the route, the link (IPv6), or all (`ip6_dst_hoplimit`).
    fn lives(&self, ns: usize, v6: bool, got: Option<&Got>) -> u8 {
        if let Some((_, _, ttl)) = self.tunnel_ttl.as_ref().filter(|_| self.depth > 0) {
            return *ttl;
        }
        let set = match got {
            Some(Got { hoplimit: Some(limit), .. }) => i64::from(*limit),
            Some(got) if v6 => self.net.setting(ns, &format!("ipv6/conf/{}/hop_limit", got.dev)),
            None if v6 => self.net.setting(ns, "ipv6/conf/all/hop_limit"),
            _ => self.net.setting(ns, "ipv4/ip_default_ttl"),
        };
        u8::try_from(set).ok().filter(|ttl| *ttl > 0).unwrap_or(64)
    }

    fn by_loopback(&mut self, ns: usize, mut packet: Packet) -> Option<(usize, Packet)> {
        self.hop(ns, "lo", true);
        let at = self.net.ns(ns).at.clone();
        if self.net.ns(ns).link("lo").is_none_or(|lo| !lo.is_up()) {
            self.fault(
                Culprit::new(Code::LoDown, &at, "link", "lo")
                    .value("down")
                    .says(format!("lo of {at} is down: a namespace talks to its own addresses by lo"))
                    .because(Label::State, format!("ip link show lo in {at}: not UP"))
                    .fix("ip link set dev lo up"),
            );
        }
        self.hook(ns, Hook::Postrouting, &mut packet, "", "lo", None);
        self.hook(ns, Hook::Prerouting, &mut packet, "lo", "", None);
        self.deliver(ns, packet, "lo")
    }

    fn no_source(&mut self, ns: usize, packet: &Packet, got: &Got) -> Option<()> {
        let at = self.net.ns(ns).at.clone();
        let family = if packet.v6() { "IPv6" } else { "IPv4" };
        self.fault(
            Culprit::new(Code::AddrMissing, &at, "link", got.dev.clone())
                .says(format!("{at} has no {family} address to send from"))
                .because(Label::Kernel, got.line.clone())
                .advise(format!("give {} an address", got.dev)),
        );
        None
    }

    /// Sends a packet by a device: the last hook, the size, what lies between, and on at the other end.
    pub(super) fn send(
        &mut self,
        ns: usize,
        got: &Got,
        mut packet: Packet,
        from: Option<&str>,
    ) -> Option<(usize, Packet)> {
        let dev = got.dev.clone();
        if self.hops.len() > HOPS * 4 {
            return None;
        }
        let routed = packet.clone();
        self.hook(ns, Hook::Postrouting, &mut packet, from.unwrap_or(""), &dev, None);
        self.hop(ns, &dev, true);
        let network = self.net.ns(ns);
        let link = network.link(&dev)?;
        if !link.is_up() {
            self.link_down(ns, &dev);
        }
        self.size(ns, link, got, &packet, from.is_some());
        self.qdisc(ns, &dev, &packet, false);
        if let Some(encap) = &got.encap {
            self.left = Some(format!("{}/{dev} (encap {encap})", network.at));
            return None;
        }
        let nexthop = got.gateway.unwrap_or(packet.dst);
        if packet.dst.is_multicast() && self.depth == 0 {
            self.deliver_to_group(ns, got, &packet);
            return None;
        }
        self.address_on_a_port(ns, &dev, nexthop, packet.v6());
        if super::tunnel::encapsulates(link) {
            return self.tunnel(ns, link, nexthop, packet);
        }
        let before = self.faults.len();
        let hop = self.hops.len();
        let Some((to, dev_in)) = self.segment(ns, &dev, nexthop, got.gateway.is_some(), &packet) else {
            self.one_way_of_several(ns, got, &routed, from, before);
            self.diverged(ns, got, &routed, from, before, hop);
            self.by_a_redirect(ns, got, &routed, before, hop);
            return None;
        };
        if to != ns {
            // The mark stays behind: `skb_scrub_packet`.
            (packet.mark, packet.past) = (Some(0), Past::default());
        }
        let end = self.arrive(to, &dev_in, packet);
        if end.is_none() {
            self.diverged(ns, got, &routed, from, before, hop);
        } else {
            self.spoiled(ns, got, &routed, from, before, hop);
        }
        self.by_a_redirect(ns, got, &routed, before, hop);
        if self.faults.len() > before
            && let Some(mut culprit) = self.mark_without_rule(ns, &routed)
        {
            (culprit.leg, culprit.hop) = (self.leg, hop);
            self.faults.insert(before, culprit.leads_astray());
        }
        end
    }

    /// The packet died somewhere behind this: perhaps because a route led it astray. A connected subnet covers the target, or the
    /// request came from the target by another link.
    fn diverged(&mut self, ns: usize, got: &Got, packet: &Packet, from: Option<&str>, before: usize, hop: usize) {
        let network = self.net.ns(ns);
        if got.gateway == Some(packet.dst) || self.faults.get(before).is_some_and(|fault| fault.astray) {
            return;
        }
        let covering = network.addrs.iter().find(|addr| {
            addr.dev != "lo"
                && addr.dev != got.dev
                && addr.len > 0
                && addr.covers(packet.dst)
                && addr.ip != packet.dst
                && network.link(&addr.dev).is_some_and(Link::is_up)
        });
        let covering = covering.cloned().filter(|addr| {
            self.flood(ns, &addr.dev).iter().any(|station| self.net.ns(station.ns).owns(packet.dst).is_some())
        });
        let explained = self.explain_route(ns, packet, from);
        let (rule, route) = explained.map_or((Value::Null, None), |(rule, route)| (rule, Some(route)));
        let text = route.as_ref().map(super::routes::route_text).unwrap_or_default();
        let at = network.at.clone();
        let family = if packet.v6() { "-6 " } else { "" };
        let by_rule = route.is_some() && !super::routes::ordinary(&rule);
        let mut culprit = if let Some(addr) = covering {
            let way = if by_rule {
                format!("the policy rule `{}` and the route", super::routes::rule_text(&rule))
            } else {
                "the route".into()
            };
            let mut culprit = Culprit::new(
                if by_rule { Code::RuleMisdirect } else { Code::RouteWrongNexthop },
                &at,
                "route",
                text.clone(),
            )
            .value(got.dev.clone())
            .says(format!(
                "{} is on the segment of {}, but {way} `{text}` sends it by {}, where it dies",
                packet.dst, addr.dev, got.dev
            ))
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
            .because(Label::State, format!("{}/{} on {}", addr.ip, addr.len, addr.dev));
            if by_rule {
                culprit.kind = "rule";
                culprit.name = super::routes::rule_text(&rule);
                culprit = culprit.fix(&format!("ip {family}rule del pref {}", super::routes::preference(&rule)));
            } else if !text.is_empty() {
                culprit = culprit.fix(&format!("ip {family}route del {text}"));
            }
            culprit
        } else if let Some(culprit) = from.and_then(|_| self.another_way_back(ns, got, packet, from, &text)) {
            culprit
        } else {
            return;
        };
        culprit.leg = self.leg;
        culprit.hop = hop;
        if self.guess {
            return self.suspect(ns, culprit, None);
        }
        // Met again on the way through a loop, it is known from there.
        self.faults.retain(|known| (known.code, &known.at, &known.name) != (culprit.code, &culprit.at, &culprit.name));
        self.faults.insert(before.min(self.faults.len()), culprit.leads_astray());
    }

    /// The answer passes where the request never was, and is dropped there: the way back is to blame, not who drops what is none of his.
    fn spoiled(&mut self, ns: usize, got: &Got, packet: &Packet, from: Option<&str>, before: usize, hop: usize) {
        if self.leg == Leg::Request || self.depth > 0 || self.guess {
            return;
        }
        let Some(fault) = self.faults.get(before).filter(|fault| {
            fault.leg == Leg::Reply && (fault.code.is_of_filter() || fault.code == Code::RpFilter) && !fault.astray
        }) else {
            return;
        };
        let Some(place) = fault.hop.checked_sub(1).and_then(|index| self.hops.get(index)) else { return };
        let passed = |hop: &Hop| hop.leg == Leg::Request && hop.at == place.at && hop.dev == place.dev;
        // Who asks by one link and takes the answer by none but that is to blame itself.
        let own = self.origin.as_ref().is_some_and(|(asker, _)| self.net.ns(*asker).at == fault.at);
        if fault.at == self.net.ns(ns).at || fault.code == Code::RpFilter && own || self.hops.iter().any(passed) {
            return;
        }
        let (dropped, by) = (fault.at.clone(), fault.message.clone());
        let text = self.explain_route(ns, packet, from).map(|(_, route)| super::routes::route_text(&route));
        let Some(mut culprit) = self.another_way_back(ns, got, packet, from, &text.unwrap_or_default()) else { return };
        culprit = culprit.because(Label::Inferred, format!("on that way {dropped} drops it: {by}"));
        (culprit.leg, culprit.hop) = (self.leg, hop);
        self.faults.insert(before, culprit.leads_astray());
    }

    /// A rule marks the packet, a table is there that no policy rule leads to, and no policy rule looks for the mark: that one was lost.
    fn mark_without_rule(&self, ns: usize, packet: &Packet) -> Option<Culprit> {
        let by = packet.past.marked.as_ref()?;
        let mark = packet.mark.filter(|mark| *mark != 0)?;
        let network = self.net.ns(ns);
        let v6 = packet.v6();
        let rules = &network.rules[usize::from(v6)];
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if rules.iter().any(|rule| rule.get("fwmark").is_some()) {
            return None;
        }
        let led: Vec<String> = rules.iter().filter_map(|rule| rule.get("table").map(word)).collect();
        let mut orphans: Vec<&str> = network
            .routes
            .iter()
            .filter(|route| route.is_ipv6() == v6)
            .filter_map(|route| route.table.as_deref())
            .filter(|table| !matches!(*table, "main" | "local" | "default") && !led.iter().any(|known| known == table))
            .collect();
        orphans.dedup();
        let [table] = orphans.as_slice() else { return None };
        let at = network.at.clone();
        let set = by.text.split_whitespace().skip_while(|word| !word.starts_with("--set-")).nth(1);
        let mask = set.and_then(|set| set.split_once('/')).map_or_else(String::new, |(_, mask)| format!("/{mask}"));
        let family = if v6 { "-6 " } else { "" };
        Some(
            Culprit::new(Code::RuleMisdirect, &at, "rule", format!("fwmark 0x{mark:x}"))
                .value("missing")
                .says(format!(
                    "`{}` of {at} gives {} → {} the mark 0x{mark:x}, and no policy rule looks for it: the table {table}, to which no rule \
                     leads, is never asked",
                    by.text, packet.src, packet.dst
                ))
                .because(Label::State, format!("{} {} in {at}: {}", by.tool, by.table, by.text))
                .because(Label::State, format!("ip rule in {at}: none for a mark; ip route in {at}: routes in the table {table}"))
                .fix(&format!("ip {family}rule add fwmark 0x{mark:x}{mask} lookup {table}")),
        )
    }

    /// A machine with two ways out answers by the wrong one: no rule leads what comes from the second address back out by its link.
    fn no_source_rule(
        &self,
        ns: usize,
        came: &str,
        got: &Got,
        packet: &Packet,
        near: Option<IpAddr>,
    ) -> Option<Culprit> {
        let network = self.net.ns(ns);
        let at = network.at.clone();
        let family = if packet.v6() { "-6 " } else { "" };
        network.addrs_of(came).find(|addr| addr.ip == packet.src)?;
        // A table that was made for it, and that nothing leads to any more.
        let table = network.routes.iter().find(|route| {
            route.table.as_deref().is_some_and(|table| !matches!(table, "main" | "local" | "default"))
                && route.is_default()
                && route.is_ipv6() == packet.v6()
                && super::routes::leaves_by(route, came)
        });
        let mut culprit = Culprit::new(Code::RuleMisdirect, &at, "rule", format!("from {}", packet.src))
            .value("missing")
            .says(format!(
                "{at} answers {} by {}, but the request came in by {came}: no policy rule leads what comes from {} back out by {came}",
                packet.dst, got.dev, packet.src
            ))
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
            .because(Label::State, format!("the request came into {at} by {came}"));
        let name = match table.and_then(|route| route.table.clone()) {
            Some(table) => {
                culprit = culprit.because(Label::State, format!("the table {table} of {at} leads out by {came}"));
                table
            }
            None => {
                culprit = culprit.fix(&format!("ip {family}route add default via {} dev {came} table 100", near?));
                "100".to_owned()
            }
        };
        Some(culprit.fix(&format!("ip {family}rule add from {} lookup {name}", packet.src)))
    }

    /// Policy rules lead the answer out by another link than the request came in by; noted what mends it: the connection remembers its link.
    fn by_source_rule(&self, ns: usize, came: &str, got: &Got, packet: &Packet, from: &str) -> Option<Culprit> {
        let network = self.net.ns(ns);
        let at = network.at.clone();
        let v6 = packet.v6();
        let rules = &network.rules[usize::from(v6)];
        let asked = self.conns.iter().find(|conn| conn.ns == ns && conn.after.dst.0 == packet.src)?.before.dst.0;
        // The table that would lead back by the link that the request came in by.
        let leads = |table: &str| {
            let mut all = network.routes.iter().filter(|route| {
                route.table.as_deref().unwrap_or("main") == table
                    && route.is_ipv6() == v6
                    && (route.is_default() || route.destination().is_some_and(|net| net.contains(&packet.dst)))
            });
            all.any(|route| super::routes::leaves_by(route, came))
        };
        let blind = rules.iter().find(|rule| {
            let src = text(rule, "src");
            !src.is_empty()
                && src != "all"
                && src.parse() == Ok(asked)
                && asked != packet.src
                && leads(text(rule, "table"))
        });
        let (deciding, _) = self.explain_route(ns, packet, Some(from))?;
        let (rule, table, message) = if let Some(rule) = blind {
            let shown = super::routes::rule_text(rule);
            let message = format!(
                "the answer to {} leaves {at} by {}, but the request came in by {came}: the policy rule `{shown}` does not see it, for it \
                 still comes from {} when it is routed, and becomes {asked} only afterwards",
                packet.dst, got.dev, packet.src
            );
            (rule.clone(), text(rule, "table").to_owned(), message)
        } else if !super::routes::ordinary(&deciding) && leads("main") {
            let shown = super::routes::rule_text(&deciding);
            let message = format!(
                "the policy rule `{shown}` of {at} leads the answer to {} out by {}, but the request came in by {came}",
                packet.dst, got.dev
            );
            (deciding.clone(), "main".to_owned(), message)
        } else {
            return None;
        };
        let family = if v6 { "-6 " } else { "" };
        let tool = if v6 { "ip6tables" } else { "iptables" };
        let mark = "0x40000000";
        let before = rules.iter().map(super::routes::preference).filter(|pref| *pref > 0).min().unwrap_or(32766);
        let pref = before.saturating_sub(1).max(1);
        Some(
            Culprit::new(Code::RuleMisdirect, &at, "rule", super::routes::rule_text(&rule))
                .value(got.dev.clone())
                .says(message)
                .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
                .because(Label::State, format!("the request came into {at} by {came}"))
                .because(Label::Inferred, "a mark of the connection remembers the link that it came in by")
                .fix(&format!("{tool} -t mangle -A PREROUTING -i {came} -j CONNMARK --set-xmark {mark}/{mark}"))
                .fix(&format!(
                    "{tool} -t mangle -A PREROUTING -i {from} -j CONNMARK --restore-mark --nfmask {mark} --ctmask {mark}"
                ))
                .fix(&format!("ip {family}rule add fwmark {mark}/{mark} pref {pref} lookup {table}")),
        )
    }

    /// The answer leaves a router by another link than the request came in by, and dies there.
    fn another_way_back(
        &self,
        ns: usize,
        got: &Got,
        packet: &Packet,
        from: Option<&str>,
        text: &str,
    ) -> Option<Culprit> {
        if self.leg == Leg::Request || self.depth > 0 {
            return None;
        }
        let at = self.net.ns(ns).at.clone();
        let request: Vec<&Hop> = self.hops.iter().filter(|hop| hop.leg == Leg::Request).collect();
        // Where the request came into this namespace, and who had sent it there.
        let index = request.iter().rposition(|hop| hop.at == at && !hop.out)?;
        let came = request.get(index)?.dev.clone();
        let came = self
            .net
            .ns(ns)
            .link(&came)
            .and_then(|link| self.net.ns(ns).bridge_of(link))
            .map_or(came, |bridge| bridge.ifname.clone());
        let sender = request.get(..index)?.iter().rev().find(|hop| hop.out && hop.at != at)?;
        let (client, asked) = self.origin.as_ref()?;
        let known = self.conns.iter().any(|conn| conn.ns == ns && conn.before.src.0 == packet.dst);
        if came == got.dev || !(asked.src == packet.dst || known) {
            return None;
        }
        if let Some(culprit) = from.and_then(|from| self.by_source_rule(ns, &came, got, packet, from)) {
            return Some(culprit);
        }
        let before = self.net.index(&sender.at)?;
        let near = self.net.ns(ns).addrs_of(&came).find_map(|addr| {
            self.net.ns(before).addrs.iter().map(|theirs| theirs.ip).find(|ip| addr.covers(*ip) && *ip != addr.ip)
        });
        if from.is_none() {
            return self.no_source_rule(ns, &came, got, packet, near);
        }
        let family = if packet.v6() { "-6 " } else { "" };
        let bits = if packet.v6() { 128 } else { 32 };
        let culprit = Culprit::new(Code::ReturnRouteMissing, &at, "route", packet.dst.to_string())
            .value(text)
            .says(format!(
                "{at} has no route of its own back to {} (the source that {} uses), so the reply goes by `{text}` to {}, where it dies; the request came in by {came}",
                packet.dst, self.name(*client), got.dev
            ))
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
            .because(Label::State, format!("the request from {} came into {at} by {came}", packet.dst));
        Some(match near {
            Some(near) => culprit.fix(&format!("ip {family}route add {}/{bits} via {near} dev {came}", packet.dst)),
            None => culprit.advise(format!("ip {family}route add {}/{bits} via … dev {came}", packet.dst)),
        })
    }

    /// Of an answer: by which router the request came into a namespace, and by which link.
    pub(super) fn asked_by(&self, ns: usize) -> Option<(IpAddr, String)> {
        let at = &self.net.ns(ns).at;
        let request: Vec<&Hop> = self.hops.iter().filter(|hop| hop.leg == Leg::Request).collect();
        let index = request.iter().rposition(|hop| hop.at == *at && !hop.out).filter(|_| self.leg == Leg::Reply)?;
        let came = request.get(index)?.dev.clone();
        let sender = request.get(..index)?.iter().rev().find(|hop| hop.out && hop.at != *at)?;
        let before = self.net.index(&sender.at)?;
        let near = self.net.ns(ns).addrs_of(&came).find_map(|addr| {
            self.net.ns(before).addrs.iter().map(|theirs| theirs.ip).find(|ip| addr.covers(*ip) && *ip != addr.ip)
        })?;
        Some((near, came))
    }

    /// Whether a packet fits a device.
    fn size(&mut self, ns: usize, link: &Link, got: &Got, packet: &Packet, forwarded: bool) {
        let mtu = link.mtu.unwrap_or(u32::MAX).min(got.mtu.unwrap_or(u32::MAX));
        if packet.size <= mtu || !packet.df {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let want = packet.size.max(1280);
        let by_route = got.mtu.is_some_and(|of_route| of_route < link.mtu.unwrap_or(u32::MAX));
        // A size that was learned from an ICMP error is a consequence: its cause is further on.
        let told = self
            .explain_route(ns, packet, None)
            .is_some_and(|(_, route)| route.metrics.iter().any(|one| one.contains_key("mtu")));
        if by_route && !told && !forwarded {
            return self.learned(ns, mtu, got);
        }
        let mut culprit = Culprit::new(Code::MtuExceeded, &at, "link", link.ifname.clone())
            .value(format!("mtu {mtu}"))
            .says(format!(
                "{}/{} takes {mtu} bytes, the packet has {} and may not be fragmented{}",
                at,
                link.ifname,
                packet.size,
                if forwarded { "" } else { " (the sender is told: Message too long)" }
            ))
            .because(Label::State, format!("ip link show dev {} in {at}: mtu {}", link.ifname, link.mtu.unwrap_or(0)));
        if by_route {
            culprit = culprit.because(Label::Kernel, format!("{} → mtu {mtu}", got.line));
            if let Some((_, route)) = self.explain_route(ns, packet, None).filter(|_| told) {
                let text = super::routes::route_text(&route);
                culprit.kind = "route";
                culprit.name.clone_from(&text);
                culprit.message = format!(
                    "the route `{text}` of {at} says mtu {mtu}; the packet has {} bytes and may not be fragmented",
                    packet.size
                );
                let family = if packet.v6() { "-6 " } else { "" };
                culprit = culprit.fix(&format!("ip {family}route replace {text}"));
            }
        } else if super::tunnel::encapsulates(link) {
            // Its MTU is what the outer packet leaves of the way below: raising it only moves the fault.
            let more = super::tunnel::overhead(link);
            culprit = culprit.because(Label::Inferred, format!("a {} link adds {more} bytes to each packet", link.kind().unwrap_or("tunnel"))).advise(
                "send less: a smaller mtu on the links before the tunnel, or -j TCPMSS --clamp-mss-to-pmtu for TCP; or a bigger mtu on every link below the tunnel, then on the tunnel",
            );
        } else {
            culprit = culprit.fix(&format!("ip link set dev {} mtu {}", link.ifname, want.max(1500)));
            if let Some((peer, other)) = self.net.peer(ns, link).filter(|(_, other)| other.mtu.unwrap_or(0) < want) {
                let line = format!("ip link set dev {} mtu {}", other.ifname, want.max(1500));
                culprit = culprit.fix_at(&self.net.ns(peer).at, &line);
            }
        }
        if let Some(cause) = if forwarded { self.silenced(ns, packet, mtu) } else { None } {
            culprit.code = Code::MtuBlackhole;
            culprit.message = format!(
                "{}; the sender is not told, for the ICMP error does not come back: {}",
                culprit.message, cause.message
            );
            culprit.evidence.extend(cause.evidence);
            culprit.fix = cause.fix;
        }
        // The sender remembers the small size for ten minutes.
        if let Some((origin, _)) = &self.origin {
            let place = self.net.ns(*origin).at.clone();
            culprit = culprit.fix_at(&place, &format!("ip {}route flush cache", if packet.v6() { "-6 " } else { "" }));
        }
        self.fault(culprit);
    }

    /// What keeps the message "fragmentation needed" or "packet too big" of a router from the sender.
    fn silenced(&self, ns: usize, packet: &Packet, mtu: u32) -> Option<Culprit> {
        // It goes to who sent the packet, not to what that was translated to.
        let known = self.conns.iter().find(|conn| conn.ns == ns && conn.after == Tuple::of(packet));
        let sender = known.map_or(packet.src, |conn| conn.before.src.0);
        let mut walk = Walk::new(self.net);
        let message = Packet {
            src: unspecified(packet.v6()),
            dst: sender,
            proto: if packet.v6() { 58 } else { 1 },
            sport: Port::None,
            dport: Port::None,
            icmp: Some(if packet.v6() { 2 } else { 3 }),
            reply: false,
            size: mtu.min(576),
            df: false,
            mark: Some(0),
            ct: Ct::Related,
            track: super::packet::Track::default(),
            ..packet.clone()
        };
        walk.originate(ns, message);
        // Whether pings are answered does not matter to it.
        walk.faults.into_iter().find(|fault| fault.code != Code::IcmpEchoIgnored)
    }

    /// A packet comes in by a device that has addresses (or might).
    pub(super) fn arrive(&mut self, ns: usize, dev: &str, mut packet: Packet) -> Option<(usize, Packet)> {
        self.hop(ns, dev, false);
        let at = self.net.ns(ns).at.clone();
        let visit = (ns, dev.to_owned(), packet.dst, self.leg);
        if self.visits.contains(&visit) {
            self.looped(ns, dev, &packet);
            return None;
        }
        self.visits.push(visit);
        if packet.v6() && self.net.setting(ns, &format!("ipv6/conf/{dev}/disable_ipv6")) == 1 {
            self.v6_disabled(ns, dev);
        }
        let asked = packet.dst;
        self.hook(ns, Hook::Prerouting, &mut packet, dev, "", None);
        let got = match self.route(ns, &packet, Some(dev)) {
            Ok(got) => got,
            Err((said, line)) if self.led_past_local(ns, &packet, Some(dev), &format!("{line} → {said}")) => {
                return None;
            }
            Err((said, line)) => {
                let mended = self.no_route(ns, &packet, Some(dev), &said, &line);
                // As if it were mended: the route that would be taken without the source and the interface.
                let free = Packet { src: unspecified(packet.v6()), ..packet.clone() };
                self.route(ns, &free, None).ok().filter(|_| mended)?
            }
        };
        if got.local {
            if self.taken_by_a_proxy(ns, &packet) {
                return None;
            }
            self.swallowed(ns, &packet, &got);
            return self.deliver(ns, packet, dev);
        }
        if self.led_past_local(ns, &packet, Some(dev), &format!("{} → dev {}", got.line, got.dev)) {
            return None;
        }
        if self.leg == Leg::Request && self.not_delivered(ns, &packet, dev) {
            return None;
        }
        if packet.v6()
            && self.net.setting(ns, &format!("ipv6/conf/{dev}/forwarding")) == 0
            && self.net.setting(ns, "ipv6/conf/all/forwarding") == 0
        {
            self.fault(
                Culprit::new(Code::V6ForwardingDisabled, &at, "sysctl", "net.ipv6.conf.all.forwarding")
                    .value("0")
                    .says(format!("{at} gets a packet for {} on {dev} and does not forward IPv6", packet.dst))
                    .because(Label::State, format!("net.ipv6.conf.all.forwarding = 0 in {at}"))
                    .fix("sysctl -w net.ipv6.conf.all.forwarding=1"),
            );
        }
        if let Some(ttl @ ..=1) = packet.ttl {
            self.outlived(ns, &packet, ttl);
            packet.ttl = Some(64);
        }
        packet.ttl = packet.ttl.map(|ttl| ttl - 1);
        self.xfrm(ns, &packet, "fwd");
        self.hook(ns, Hook::Forward, &mut packet, dev, &got.dev.clone(), None);
        if self.back_to_sender(ns, dev, &got.dev, asked, &packet) {
            return None;
        }
        self.hairpin(ns, dev, &got, &asked, &packet);
        self.send(ns, &got, packet, Some(dev))
    }

    /// The time to live of a packet that would be forwarded is over; noted, at who gave it that.
    fn outlived(&mut self, ns: usize, packet: &Packet, ttl: u8) {
        let at = self.net.ns(ns).at.clone();
        let origin = if self.leg == Leg::Request { self.origin.clone() } else { self.end.clone() };
        let from = origin.map_or(ns, |(ns, _)| ns);
        let sender = self.net.ns(from).at.clone();
        let out = self.hops.iter().find(|hop| hop.leg == self.leg && hop.out && hop.at == sender);
        let out = out.map_or("all", |hop| hop.dev.as_str());
        let sysctl =
            if packet.v6() { format!("net.ipv6.conf.{out}.hop_limit") } else { "net.ipv4.ip_default_ttl".to_owned() };
        let value = self.sent.filter(|(ns, _)| *ns == from).map_or(64, |(_, ttl)| ttl);
        let by_route = self.explain_route(from, &Packet { ttl: None, ..packet.clone() }, None).filter(|(_, route)| {
            route.metrics.iter().any(|one| one.get("hoplimit").and_then(Value::as_u64) == Some(u64::from(value)))
        });
        if let Some((tunnel, name, ttl)) = self.tunnel_ttl.clone().filter(|_| self.depth > 0) {
            let place = self.net.ns(tunnel).at.clone();
            self.fault(
                Culprit::new(Code::TtlExpired, &place, "link", name.clone())
                    .value(format!("ttl {ttl}"))
                    .says(format!("the time to live (TTL) of the tunnel's outer packets is over in {at}: {place}/{name} sends them with {ttl}"))
                    .because(Label::State, format!("ip -d link show dev {name} in {place}: ttl {ttl}"))
                    .fix(&format!("ip link set dev {name} type vxlan ttl 64")),
            );
        } else if let Some((ns, hook)) = self.lived {
            let place = self.net.ns(ns).at.clone();
            let chain = format!("mangle {}", hook.chain());
            let mut culprit = Culprit::new(Code::TtlExpired, &place, "rule", chain.clone())
                .value(ttl.to_string())
                .says(format!("the time to live (TTL) of the packet is over in {at}: a rule in {chain} of {place} sets it to {ttl}"));
            for tables in self.net.tables(ns, packet.v6()) {
                for rule in tables
                    .rules("mangle", hook.chain())
                    .iter()
                    .filter(|rule| matches!(rule.target(), Some("TTL" | "HL")))
                {
                    culprit = culprit
                        .because(
                            Label::State,
                            format!("{} mangle in {place}: -A {} {}", tables.tool(), hook.chain(), rule.text()),
                        )
                        .fix_words(deletion(tables.tool(), "mangle", hook.chain(), rule));
                }
            }
            self.fault(culprit);
        } else {
            let said = format!("the time to live (TTL) of the packet is over in {at}: {sender} sends it with {value}");
            let culprit = match by_route {
                Some((_, route)) => {
                    let text = super::routes::route_text(&route);
                    let family = if packet.v6() { "-6 " } else { "" };
                    Culprit::new(Code::TtlExpired, &sender, "route", text.clone())
                        .says(format!("{said}, as its route `{text}` says (hoplimit {value})"))
                        .because(Label::State, format!("ip route in {sender}: {text} hoplimit {value}"))
                        .fix(&format!("ip {family}route replace {text}"))
                }
                None => {
                    let culprit = Culprit::new(Code::TtlExpired, &sender, "sysctl", sysctl.clone())
                        .says(format!("{said} ({sysctl})"))
                        .because(Label::State, format!("{sysctl} = {value} in {sender}"))
                        .fix(&format!("sysctl -w {sysctl}=64"));
                    if packet.v6() {
                        culprit.advise("the hop limit of a link comes from router advertisements too (AdvCurHopLimit): then correct it there, or accept_ra_min_hop_limit")
                    } else {
                        culprit
                    }
                }
            };
            self.fault(culprit.value(value.to_string()));
        }
    }

    /// With `br_netfilter`, what is translated to a station behind the same bridge is bridged there, not routed (`br_nf_pre_routing_finish`);
    /// and back by the port that it came in by it goes in hairpin mode only.
    fn hairpin(&mut self, ns: usize, dev: &str, got: &Got, asked: &IpAddr, packet: &Packet) {
        let network = self.net.ns(ns);
        let Some(bridge) = network.link(dev).filter(|link| link.kind() == Some("bridge") && got.dev == dev) else {
            return;
        };
        if packet.dst == *asked || !self.shows_frames(ns, bridge, packet.v6()) {
            return;
        }
        let came = self.hops.iter().rev().find(|hop| hop.at == network.at && !hop.out && hop.dev != dev);
        let Some(port) = came.and_then(|hop| network.link(&hop.dev)).filter(|link| link.master.as_deref() == Some(dev))
        else {
            return;
        };
        let target = got.gateway.unwrap_or(packet.dst);
        let leads = |station: &super::segment::Station| matches!(station.way.first(), Some(super::segment::Piece::Bridge { to: Some(to), .. }) if *to == port.ifname);
        let same = self.flood(ns, dev).iter().any(|one| self.net.ns(one.ns).owns(target).is_some() && leads(one));
        let on = port.linkinfo.info_slave_data.as_ref().and_then(|data| data.get("hairpin")).and_then(Value::as_bool);
        if !same || on != Some(false) {
            return;
        }
        let (at, port) = (network.at.clone(), port.ifname.clone());
        let name = if packet.v6() { "ip6tables" } else { "iptables" };
        self.fault(
            Culprit::new(Code::PortHairpinOff, &at, "port", port.clone())
                .value("hairpin off")
                .says(format!(
                    "{asked} is translated to {}, which is behind the same port {port} of {at}/{dev} that it came in by; the bridge sends \
                     nothing back by the port that it came from, unless that is in hairpin mode",
                    packet.dst
                ))
                .because(Label::State, format!("bridge -d link show dev {port} in {at}: hairpin off"))
                .because(Label::State, format!("net.bridge.bridge-nf-call-{name} = 1 in {at}: what is translated within the bridge is bridged, not routed"))
                .fix(&format!("bridge link set dev {port} hairpin on")),
        );
    }

    /// A local route takes a packet that is for somebody else.
    fn swallowed(&mut self, ns: usize, packet: &Packet, got: &Got) {
        let asked = self.origin.as_ref().is_some_and(|(_, asked)| asked.dst == packet.dst);
        if self.net.ns(ns).owns(packet.dst).is_some() || self.leg == Leg::Reply || !asked {
            return;
        }
        let Some(owner) = (0..self.net.all.len()).find(|other| self.net.ns(*other).owns(packet.dst).is_some()) else {
            return;
        };
        let route = self.net.ns(ns).routes.iter().filter(|route| route.kind() == "local");
        let fits =
            |route: &&crate::model::route::Route| route.destination().is_some_and(|net| net.contains(&packet.dst));
        let Some(route) = route.filter(fits).max_by_key(|route| route.destination().map(|net| net.prefix_len())) else {
            return;
        };
        let mut text = super::routes::route_text(route);
        if let Some(dev) = &route.dev {
            text = format!("{text} dev {dev}");
        }
        let at = self.net.ns(ns).at.clone();
        self.fault(
            Culprit::new(Code::RouteWrongNexthop, &at, "route", text.clone())
                .value("local")
                .says(format!(
                    "the local route `{text}` of {at} takes what is for {}, which is an address of {}",
                    packet.dst,
                    self.name(owner)
                ))
                .because(Label::Kernel, format!("{} → local", got.line))
                .because(Label::State, format!("{at} has no address {}", packet.dst))
                .fix(&format!("ip {}route del {text}", if packet.v6() { "-6 " } else { "" }))
                .leads_astray(),
        );
    }

    fn looped(&mut self, ns: usize, dev: &str, packet: &Packet) {
        let mut ring: Vec<String> = Vec::new();
        for (at, _, dst, leg) in self.visits.iter().rev() {
            if *dst == packet.dst && *leg == self.leg && !ring.contains(&self.name(*at)) {
                ring.push(self.name(*at));
            }
        }
        // The router nearest to the target is mistaken least: blame the first one that sends it away from its owner.
        let mut best: Option<(usize, ipnet::IpNet, String)> = None;
        for (at, iif, dst, _) in
            self.visits.clone().iter().rev().filter(|(_, _, dst, leg)| *dst == packet.dst && *leg == self.leg)
        {
            let probe = Packet { dst: *dst, ..packet.clone() };
            if let Some((_, route)) = self.explain_route(*at, &probe, Some(iif)) {
                let net = route.destination().unwrap_or_else(|| ipnet::IpNet::from(packet.dst));
                if best.as_ref().is_none_or(|(_, known, _)| net.prefix_len() > known.prefix_len()) {
                    best = Some((*at, net, super::routes::route_text(&route)));
                }
            }
        }
        let (at, text) = best.map_or((ns, String::new()), |(at, _, text)| (at, text));
        let place = self.net.ns(at).at.clone();
        let mut culprit = Culprit::new(Code::RouteLoop, &place, "route", text.clone())
            .value(ring.join(" ↔ "))
            .says(format!(
                "a routing loop: {} send packets for {} to each other until their time to live is over",
                ring.join(" and "),
                packet.dst
            ))
            .because(Label::Kernel, format!("it comes back to {} by {dev}", self.name(ns)));
        if !text.is_empty() {
            culprit = culprit
                .because(Label::State, format!("{place}: {text}"))
                .fix(&format!("ip {}route del {text}", if packet.v6() { "-6 " } else { "" }));
        }
        self.fault(culprit);
    }
}

/// The words that delete a rule of iptables.
pub(super) fn deletion(tool: &str, table: &str, chain: &str, rule: &Rule) -> Vec<String> {
    let head = [tool, "-t", table, "-D", chain].map(str::to_owned);
    head.into_iter().chain(rule.words.iter().cloned()).collect()
}

/// The address that means none.
pub(super) fn unspecified(v6: bool) -> IpAddr {
    if v6 { std::net::Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() }
}
