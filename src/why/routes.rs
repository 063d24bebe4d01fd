//! Why the kernel would not route: its answer says that, the tables, rules and settings say why.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::codes::Code;
use super::finding::{Culprit, Fix, Label, Leg};
use super::packet::{Packet, Port, Way};
use super::state::text;
use super::walk::Walk;
use crate::model::link::Link;
use crate::model::route::Route;
use crate::op::Where;

/// How many addresses of a subnet are looked at for a free one.
const SEARCHED: usize = 4096;

/// A route as `ip route` takes it back.
pub(super) fn route_text(route: &Route) -> String {
    let mut words = Vec::new();
    // A nexthop object says what kind of route it is, and a command must not say it again.
    if route.kind() == "local" || (!matches!(route.kind(), "unicast") && route.nhid.is_none()) {
        words.push(route.kind().to_owned());
    }
    words.push(route.dst.clone().unwrap_or_else(|| "default".into()));
    if let Some(id) = route.nhid {
        words.extend(["nhid".into(), id.to_string()]);
    }
    if let Some(via) = route.next_hop().filter(|_| route.nhid.is_none()) {
        words.extend(["via".into(), via.to_string()]);
    }
    if let Some(dev) =
        route.dev.as_ref().filter(|dev| route.nhid.is_none() && (route.kind() == "unicast" || *dev != "lo"))
    {
        words.extend(["dev".into(), dev.clone()]);
    }
    if let Some(table) = route.table.as_ref().filter(|table| *table != "main") {
        words.extend(["table".into(), table.clone()]);
    }
    if let Some(metric) = route.metric.filter(|metric| *metric > 0 && !(route.is_ipv6() && *metric == 1024)) {
        words.extend(["metric".into(), metric.to_string()]);
    }
    words.join(" ")
}

/// A rule as `ip rule` takes it back.
pub(super) fn rule_text(rule: &Value) -> String {
    let mut words = vec![format!("pref {}", rule.get("priority").and_then(Value::as_u64).unwrap_or(0))];
    if rule.get("not").is_some() {
        words.push("not".into());
    }
    for (key, len, word) in [("src", "srclen", "from"), ("dst", "dstlen", "to")] {
        let value = text(rule, key);
        if !value.is_empty() && value != "all" {
            let len = rule.get(len).and_then(Value::as_u64).map(|len| format!("/{len}")).unwrap_or_default();
            words.push(format!("{word} {value}{len}"));
        }
    }
    if let (Some(first), Some(last)) = (rule.get("uid_start"), rule.get("uid_end")) {
        words.push(format!("uidrange {first}-{last}"));
    }
    for (key, word) in [
        ("fwmark", "fwmark"),
        ("iif", "iif"),
        ("oif", "oif"),
        ("ipproto", "ipproto"),
        ("dport", "dport"),
        ("sport", "sport"),
        ("table", "lookup"),
        ("suppress_prefixlen", "suppress_prefixlength"),
        ("action", ""),
    ] {
        let value = rule
            .get(key)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default();
        if !value.is_empty() {
            words.push(format!("{word} {value}").trim().to_owned());
        }
    }
    words.join(" ")
}

/// The preference of a rule.
pub(super) fn preference(rule: &Value) -> u64 {
    rule.get("priority").and_then(Value::as_u64).unwrap_or(0)
}

/// Whether a rule is one of those that every namespace has: look into the table for everybody.
pub(super) fn ordinary(rule: &Value) -> bool {
    matches!(text(rule, "table"), "local" | "main" | "default")
        && rule.get("fwmark").is_none()
        && rule.get("uid_start").is_none()
        && matches!(text(rule, "src"), "all" | "")
}

/// Whether a rule is for the user that the packet is asked for: root, as whom it is sent, and as whom the kernel routes what has no socket.
fn for_root(rule: &Value) -> bool {
    rule.get("uid_start").and_then(Value::as_u64).is_none_or(|first| first == 0)
}

fn rule_matches(rule: &Value, packet: &Packet, iif: Option<&str>) -> bool {
    let net = |key: &str, len: &str, ip: IpAddr| -> bool {
        let value = text(rule, key);
        if value.is_empty() || value == "all" {
            return true;
        }
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let len = rule.get(len).and_then(Value::as_u64).unwrap_or(bits);
        format!("{value}/{len}").parse::<IpNet>().is_ok_and(|net| net.contains(&ip))
    };
    let number = |value: &Value| -> Option<u32> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
    };
    let mark = rule.get("fwmark").and_then(number).is_none_or(|want| {
        let mask = rule.get("fwmask").and_then(number).unwrap_or(u32::MAX);
        packet.mark.is_none_or(|have| have & mask == want)
    });
    let dev = |key: &str, have: Option<&str>| {
        let want = text(rule, key);
        want.is_empty() || have == Some(want) || (want == "lo" && have.is_none())
    };
    let port = |key: &str, have: Port| {
        let number = |key: &str| rule.get(key).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let one = number(key).map(|port| (port, port));
        let range = one.or_else(|| Some((number(&format!("{key}_start"))?, number(&format!("{key}_end"))?)));
        // As the kernel was asked: without a port that nobody knows.
        range.is_none_or(|(low, high)| matches!(have, Port::Exact(port) if (low..=high).contains(&port)))
    };
    let proto = text(rule, "ipproto");
    let proto = proto.is_empty() || super::packet::protocol(proto) == Some(packet.proto);
    let all = net("src", "srclen", packet.src)
        && net("dst", "dstlen", packet.dst)
        && mark
        && dev("iif", iif)
        && text(rule, "oif").is_empty()
        && port("sport", packet.sport)
        && port("dport", packet.dport)
        && for_root(rule)
        && proto;
    all != rule.get("not").is_some()
}

impl Walk<'_> {
    /// The rule and the route that decide, by the state: the oracle says what, this says which.
    pub(super) fn explain_route(&self, ns: usize, packet: &Packet, iif: Option<&str>) -> Option<(Value, Route)> {
        let network = self.net.ns(ns);
        for rule in &network.rules[usize::from(packet.v6())] {
            if !rule_matches(rule, packet, iif) {
                continue;
            }
            if let Some(action) = rule.get("action").and_then(Value::as_str).filter(|action| *action != "to_tbl") {
                let mut route = Route::default();
                route.kind = Some(action.to_owned());
                return Some((rule.clone(), route));
            }
            let table = rule
                .get("table")
                .map(|table| table.as_str().map_or_else(|| table.to_string(), str::to_owned))
                .unwrap_or_default();
            let mut best: Option<(u8, u32, &Route)> = None;
            for route in &network.routes {
                if route.table.as_deref().unwrap_or("main") != table
                    || matches!(route.kind(), "broadcast" | "multicast" | "anycast")
                {
                    continue;
                }
                let is_default = route.dst.as_deref() == Some("default") && route.is_ipv6() == packet.v6();
                let net = if is_default {
                    Some(0)
                } else {
                    route.destination().filter(|net| net.contains(&packet.dst)).map(|net| net.prefix_len())
                };
                let metric = route.metric.unwrap_or(0);
                if let Some(len) =
                    net.filter(|len| best.is_none_or(|(known, of, _)| *len > known || (*len == known && metric < of)))
                {
                    best = Some((len, metric, route));
                }
            }
            let suppressed = rule.get("suppress_prefixlen").and_then(Value::as_u64);
            match best {
                Some((_, _, route)) if route.kind() == "throw" => {}
                Some((len, ..)) if suppressed.is_some_and(|most| u64::from(len) <= most) => {}
                Some((_, _, route)) => return Some((rule.clone(), route.clone())),
                None => {}
            }
        }
        None
    }

    /// Where the tables lead a packet of the namespace's own, as `fib_lookup` would.
    pub(super) fn leads(&self, ns: usize, packet: &Packet) -> Way {
        let rules = &self.net.ns(ns).rules[usize::from(packet.v6())];
        if packet.mark.is_none() && rules.iter().any(|rule| rule.get("fwmark").is_some()) {
            return Way::Unknown;
        }
        let Some((_, route)) = self.explain_route(ns, packet, None) else { return Way::Nowhere };
        match route.kind() {
            "local" => Way::Local,
            "unicast" => {
                let all = route.dev.iter().chain(route.nexthops.iter().filter_map(|hop| hop.dev.as_ref()));
                Way::By(all.cloned().collect())
            }
            _ => Way::Nowhere,
        }
    }

    /// A policy rule takes what is for an address of the namespace itself, for it stands before the one that looks into the table `local`. Where
    /// somebody else has that address too, as the servers of a balancer do, it is led there on purpose. Noted.
    pub(super) fn led_past_local(&mut self, ns: usize, packet: &Packet, iif: Option<&str>, said: &str) -> bool {
        let network = self.net.ns(ns);
        let Some(own) = network.owns(packet.dst).filter(|addr| addr.dev != "lo" || !addr.ip.is_loopback()).cloned()
        else {
            return false;
        };
        let twin = (0..self.net.all.len()).any(|other| other != ns && self.net.ns(other).owns(packet.dst).is_some());
        let Some((rule, route)) = self.explain_route(ns, packet, iif) else { return false };
        if twin || route.kind() == "local" || text(&rule, "table") == "local" {
            return false;
        }
        let at = network.at.clone();
        let (shown, way) = (rule_text(&rule), route_text(&route));
        let local = network.rules[usize::from(packet.v6())]
            .iter()
            .find(|rule| text(rule, "table") == "local" && ordinary(rule));
        let but = match local {
            Some(local) => format!("stands before the one that looks into the table local (`{}`)", rule_text(local)),
            None => "is asked, and no rule for everybody looks into the table local (`lookup local`)".to_owned(),
        };
        let family = if packet.v6() { "-6 " } else { "" };
        let from = if iif.is_some() {
            format!("what comes from {}", packet.src)
        } else {
            format!("what it sends to itself from {}", packet.src)
        };
        self.fault(
            Culprit::new(Code::RuleMisdirect, &at, "rule", shown.clone())
                .value(way.clone())
                .says(format!(
                    "{} is an address of {at} itself ({}), and the policy rule `{shown}` {but}: it leads {from} to `{way}` instead",
                    packet.dst, own.dev
                ))
                .because(Label::Kernel, said)
                .because(Label::State, format!("ip rule in {at}: {shown}, {}", local.map_or("none for the table local".to_owned(), rule_text)))
                .fix(&format!("ip {family}rule add pref 0 lookup local"))
                .advise("or give the other rule a preference behind that of the table local, where somebody moved that on purpose")
                .leads_astray(),
        );
        true
    }

    /// The kernel would not route a packet. Returns whether the walk may go on as if that were mended.
    pub(super) fn no_route(&mut self, ns: usize, packet: &Packet, iif: Option<&str>, said: &str, line: &str) -> bool {
        let net = self.net;
        let at = net.ns(ns).at.clone();
        if net.pretended(ns) {
            self.beyond(ns, packet, "a provider has no route to private networks, and none back to them");
            return false;
        }
        if (iif.is_some() || said.starts_with("it is a broadcast"))
            && self.broadcast_as_an_address(ns, packet, said, line)
        {
            return false;
        }
        if let Some(iif) = iif {
            if packet.src.is_loopback() && self.never_masqueraded(ns, packet, iif, said, line) {
                return false;
            }
            if packet.src.is_loopback() || packet.dst.is_loopback() {
                self.fault(
                    Culprit::new(Code::MartianLocalnet, &at, "address", packet.dst.to_string())
                        .says(format!(
                            "{} → {} comes into {at} by {iif}: 127.0.0.0/8 may not be on a wire",
                            packet.src, packet.dst
                        ))
                        .because(Label::Kernel, format!("{line} → {said}"))
                        .fix(&format!("sysctl -w net.ipv4.conf.{iif}.route_localnet=1")),
                );
                return false;
            }
            if said.starts_with("it is a broadcast") && self.broadcast_not_forwarded(ns, packet, iif, line, said) {
                return false;
            }
            if net.ns(ns).owns(packet.src).is_some() {
                if self.own_address_comes_back(ns, packet, iif, line, said) {
                    return false;
                }
                let sender = if self.leg == Leg::Request { self.origin.clone() } else { self.end.clone() };
                if sender.is_some_and(|(sender, _)| sender != ns) {
                    self.fault(
                        Culprit::new(Code::AddrDuplicate, &at, "address", packet.src.to_string())
                            .value(packet.src.to_string())
                            .says(format!(
                                "{at} gets a packet on {iif} from {}, which is its own address: the sender has it too",
                                packet.src
                            ))
                            .because(Label::Kernel, format!("{line} → {said}")),
                    );
                    return false;
                }
            }
        }
        let found = self.explain_route(ns, packet, iif);
        if iif.is_none() && packet.src.is_loopback() && !packet.dst.is_loopback() {
            self.loopback_out(ns, packet, found.as_ref().and_then(|(_, route)| route.dev.as_deref()), said, line);
            return false;
        }
        if let Some((rule, route)) = &found
            && self.refused(ns, packet, rule, route, said, line)
        {
            return iif.is_some();
        }
        if let Some(iif) = iif {
            let all = net.setting(ns, "ipv4/ip_forward");
            let local = net.ns(ns).owns(packet.dst).is_some();
            if !packet.v6() && !local && net.setting(ns, &format!("ipv4/conf/{iif}/forwarding")) == 0 {
                if all == 0 && self.served_without_address(ns, packet, iif, said, line) {
                    return false;
                }
                self.not_forwarding(ns, packet, iif, all, said, line);
                return true;
            }
            if !packet.v6() && self.martian_by_its_mark(ns, packet, iif, said, line) {
                return false;
            }
            if self.rp_filter(ns, packet, iif, said, line) {
                return true;
            }
        }
        if said == "Network is unreachable" || said.contains("No such process") || found.is_none() {
            self.no_such_route(ns, packet, iif, said, line);
            return false;
        }
        self.fault(
            Culprit::new(Code::RouteUnreachable, &at, "route", packet.dst.to_string())
                .value(said)
                .says(format!("{at} cannot route {} → {}: {said}", packet.src, packet.dst))
                .because(Label::Kernel, format!("{line} → {said}")),
        );
        false
    }

    /// A rule or route that refuses.
    fn refused(&mut self, ns: usize, packet: &Packet, rule: &Value, route: &Route, said: &str, line: &str) -> bool {
        let at = self.net.ns(ns).at.clone();
        let ordinary = ordinary(rule);
        let kind = route.kind().to_owned();
        if !matches!(kind.as_str(), "blackhole" | "unreachable" | "prohibit") {
            return false;
        }
        let family = if packet.v6() { "-6 " } else { "" };
        let pref = preference(rule);
        if rule.get("action").is_some() || !ordinary {
            let rule_text = rule_text(rule);
            let detail =
                if rule.get("action").is_some() { String::new() } else { format!("; there: `{}`", route_text(route)) };
            let mark = packet
                .mark
                .filter(|mark| *mark != 0)
                .map(|mark| format!(" (its mark is 0x{mark:x})"))
                .unwrap_or_default();
            let culprit = Culprit::new(Code::RuleMisdirect, &at, "rule", rule_text.clone())
                .value(kind.clone())
                .says(format!(
                    "the policy rule `{rule_text}` of {at} takes {} → {}{mark} to `{kind}`{detail}",
                    packet.src, packet.dst
                ))
                .because(Label::Kernel, format!("{line} → {said}"))
                .because(Label::State, format!("ip rule in {at}: {rule_text}"))
                .fix(&format!("ip {family}rule del pref {pref}"));
            let culprit = if mark.is_empty() || rule.get("fwmark").is_none() {
                culprit
            } else {
                self.marked_by(ns, culprit, packet)
            };
            self.fault(culprit);
            return true;
        }
        let code = match kind.as_str() {
            "blackhole" => Code::RouteBlackhole,
            "prohibit" => Code::RouteProhibit,
            _ => Code::RouteUnreachable,
        };
        let route_text = route_text(route);
        let what = if self.leg == Leg::Reply { "the reply " } else { "" };
        let culprit = Culprit::new(code, &at, "route", route_text.clone())
            .value(kind.clone())
            .says(format!("the {kind} route `{route_text}` of {at} stops {what}{} → {}", packet.src, packet.dst))
            .because(Label::Kernel, format!("{line} → {said}"))
            .because(Label::State, format!("ip route in {at}: {route_text}"));
        // A longer route past it opens less than its deletion, where a router of a segment leads there.
        let longer =
            self.past(ns, packet).filter(|_| route.destination().is_none_or(|net| net.prefix_len() < host_len(packet)));
        let culprit = match longer {
            Some(line) => culprit.fix(&line),
            None => culprit.fix(&format!("ip {family}route del {route_text}")),
        };
        self.fault(culprit);
        true
    }

    /// The route to just this target by a router of a segment that knows the way on.
    fn past(&self, ns: usize, packet: &Packet) -> Option<String> {
        let net = self.net;
        if net.all.iter().all(|other| other.owns(packet.dst).is_none()) {
            return None;
        }
        let family = if packet.v6() { "-6 " } else { "" };
        net.ns(ns).addrs.iter().filter(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == packet.v6()).find_map(|addr| {
            let stations = self.flood(ns, &addr.dev);
            stations.iter().filter(|station| station.ns != ns).find_map(|station| {
                let gateway = net.ns(station.ns).addrs_of(&station.dev).find(|theirs| addr.covers(theirs.ip))?.ip;
                let onward = Packet { src: super::walk::unspecified(packet.v6()), mark: Some(0), ..packet.clone() };
                let got = self.route(station.ns, &onward, None).ok()?;
                let on = got.local || got.dev != station.dev;
                on.then(|| {
                    format!("ip {family}route add {}/{} via {gateway} dev {}", packet.dst, host_len(packet), addr.dev)
                })
            })
        })
    }

    fn not_forwarding(&mut self, ns: usize, packet: &Packet, iif: &str, all: i64, said: &str, line: &str) {
        let at = self.net.ns(ns).at.clone();
        // A packet for somebody else may be here by mistake: the last hop took this for its router.
        let sysctl =
            if all == 0 { "net.ipv4.ip_forward".to_owned() } else { format!("net.ipv4.conf.{iif}.forwarding") };
        self.fault(
            Culprit::new(Code::ForwardingDisabled, &at, "sysctl", sysctl.clone())
                .value("0")
                .says(format!("{at} gets a packet for {} on {iif} and does not forward: {sysctl} = 0", packet.dst))
                .because(Label::Kernel, format!("{line} → {said}"))
                .because(Label::State, format!("{sysctl} = 0 in {at}"))
                .fix(&format!("sysctl -w {sysctl}=1")),
        );
    }

    /// Whether the reverse path filter is why; noted.
    pub(super) fn rp_filter(&mut self, ns: usize, packet: &Packet, iif: &str, said: &str, line: &str) -> bool {
        if packet.v6() {
            return false;
        }
        let net = self.net;
        let (all, own) =
            (net.setting(ns, "ipv4/conf/all/rp_filter"), net.setting(ns, &format!("ipv4/conf/{iif}/rp_filter")));
        let mode = all.max(own);
        if mode == 0 {
            return false;
        }
        // As `fib_validate_source` looks it up: from the destination that the packet has by then, so perhaps a translated one, with the
        // mark only under `src_valid_mark`. `ip route get` takes no foreign address to come from, so the state is asked.
        let marked = |dev: &str| net.setting(ns, &format!("ipv4/conf/{dev}/src_valid_mark")) == 1;
        let mark = if marked("all") || marked(iif) { packet.mark } else { Some(0) };
        let back = Packet {
            src: packet.dst,
            dst: packet.src,
            sport: packet.dport,
            dport: packet.sport,
            mark,
            ..packet.clone()
        };
        // What is forwarded is looked up as if it came in by the link that it goes out by (`__mkroute_input`).
        let forth = self.explain_route(ns, packet, Some(iif)).filter(|(_, route)| route.kind() == "unicast");
        let out = forth.and_then(|(_, route)| route.dev);
        let reverse = self.explain_route(ns, &back, out.as_deref());
        let unicast = reverse.as_ref().filter(|(_, route)| route.kind() == "unicast");
        // A link without an address has no way back at all: there the loose filter is as strict (`last_resort` in `__fib_validate_source`).
        let addressed = net.ns(ns).addrs_of(iif).any(|addr| addr.ip.is_ipv4());
        let other = match unicast {
            Some((_, route)) if leaves_by(route, iif) => return false,
            Some(_) if mode == 2 && addressed => return false,
            Some((rule, route)) => {
                let by = if ordinary(rule) {
                    String::new()
                } else {
                    format!(" by the policy rule `{}`, for it looks from {}", rule_text(rule), packet.dst)
                };
                format!("would answer it via {}{by}", route.dev.as_deref().unwrap_or("another link"))
            }
            None => match &reverse {
                Some((_, route)) if route.kind() == "local" => return false,
                Some((_, route)) => format!("has no route back to it (`{}`)", route_text(route)),
                // A source that no route leads back to: a router on the way should have translated it, and the filter only shows that.
                None if self.nat_missing(ns, &packet.answer(), &format!("{line} → {said}")) => return true,
                None => "has no route back to it (Network is unreachable)".to_owned(),
            },
        };
        let at = net.ns(ns).at.clone();
        let from_all = all >= own && all > 0;
        let sysctl =
            if from_all { "net.ipv4.conf.all.rp_filter".to_owned() } else { format!("net.ipv4.conf.{iif}.rp_filter") };
        let mut culprit = Culprit::new(Code::RpFilter, &at, "sysctl", sysctl.clone())
            .value(mode.to_string())
            .says(format!("{} arrives on {iif}, but {at} {other}; the {} reverse path filter of {iif} drops it", packet.src, if mode == 1 { "strict" } else { "loose" }))
            .because(Label::Kernel, format!("{line} → {said}"))
            .because(Label::State, format!("net.ipv4.conf.all.rp_filter = {all}, net.ipv4.conf.{iif}.rp_filter = {own} in {at}: the greater counts"));
        let with_mark = Packet { mark: packet.mark, ..back.clone() };
        let right = mark != packet.mark
            && self.explain_route(ns, &with_mark, out.as_deref()).is_some_and(|(_, route)| leaves_by(&route, iif));
        if let Some(value) = packet.mark.filter(|_| right) {
            let _ = write!(
                culprit.message,
                "; the packet has the mark 0x{value:x}, and with it the way back is {iif}, but the filter looks at marks only under \
                 src_valid_mark"
            );
            culprit = culprit.because(
                Label::State,
                format!("net.ipv4.conf.all.src_valid_mark = 0, net.ipv4.conf.{iif}.src_valid_mark = 0 in {at}: one of them would do"),
            );
            if let Some(by) = &packet.past.marked {
                culprit =
                    culprit.because(Label::State, format!("its mark is from {} {}: {}", by.tool, by.table, by.text));
            }
            culprit = culprit.fix(&format!("sysctl -w net.ipv4.conf.{iif}.src_valid_mark=1"));
        } else if mode == 1 && unicast.is_some() && addressed {
            // The greater of the two counts, and 2 is greater than 1.
            culprit = culprit.fix(&format!("sysctl -w net.ipv4.conf.{iif}.rp_filter=2"));
        } else {
            culprit = culprit
                .fix("sysctl -w net.ipv4.conf.all.rp_filter=0")
                .fix(&format!("sysctl -w net.ipv4.conf.{iif}.rp_filter=0"));
        }
        self.fault(culprit);
        true
    }

    /// The reverse lookup has the mark of the packet (`src_valid_mark`), and with that ends at a local route, as the one of a transparent proxy:
    /// the source is taken for an address of the namespace itself, whatever `rp_filter` is (`__fib_validate_source`). Noted.
    fn martian_by_its_mark(&mut self, ns: usize, packet: &Packet, iif: &str, said: &str, line: &str) -> bool {
        let net = self.net;
        let set = |key: &str, dev: &str| net.setting(ns, &format!("ipv4/conf/{dev}/{key}")) == 1;
        let Some(mark) = packet.mark.filter(|mark| *mark != 0) else { return false };
        let marked: Vec<&str> = ["all", iif].into_iter().filter(|dev| set("src_valid_mark", dev)).collect();
        if marked.is_empty()
            || set("accept_local", iif)
            || set("accept_local", "all")
            || net.ns(ns).owns(packet.src).is_some()
        {
            return false;
        }
        let back =
            Packet { src: packet.dst, dst: packet.src, sport: packet.dport, dport: packet.sport, ..packet.clone() };
        let plain = self.explain_route(ns, &Packet { mark: Some(0), ..back.clone() }, None);
        let Some((rule, route)) = self.explain_route(ns, &back, None).filter(|(_, route)| route.kind() == "local")
        else {
            return false;
        };
        if plain.is_none_or(|(_, route)| route.kind() != "unicast") {
            return false;
        }
        let (at, src) = (net.ns(ns).at.clone(), packet.src);
        let names: Vec<String> = marked.iter().map(|dev| format!("net.ipv4.conf.{dev}.src_valid_mark")).collect();
        let mut culprit = Culprit::new(Code::RpFilter, &at, "sysctl", names[0].clone())
            .value("1")
            .says(format!(
                "{src} arrives on {iif} with the mark 0x{mark:x}, and src_valid_mark = 1 has the way back to it looked up with that mark: `{}` leads \
                 to `{}`, so {at} takes {src} for an address of its own and drops it as a martian, whatever rp_filter is",
                rule_text(&rule),
                route_text(&route)
            ))
            .because(Label::Kernel, format!("{line} → {said}"))
            .because(Label::State, format!("{} in {at}: the greater of all and {iif} counts", names.iter().map(|name| format!("{name} = 1")).collect::<Vec<_>>().join(", ")));
        if let Some(by) = &packet.past.marked {
            culprit = culprit.because(Label::State, format!("its mark is from {} {}: {}", by.tool, by.table, by.text));
        }
        for name in names {
            culprit = culprit.fix(&format!("sysctl -w {name}=0"));
        }
        self.fault(culprit.advise(
            "whoever set it (VPN clients do, at each start) will set it again: a transparent proxy (TPROXY) wants it 0",
        ));
        true
    }

    /// There is no route: because a link is missing or down, an address is, or just the route.
    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    fn no_such_route(&mut self, ns: usize, packet: &Packet, iif: Option<&str>, said: &str, line: &str) {
        let net = self.net;
        let network = net.ns(ns);
        let at = network.at.clone();
        let kernel = format!("{line} → {said}");
        let links: Vec<&Link> = network
            .links
            .iter()
            .filter(|link| !link.is_loopback() && !crate::model::link::is_fall_back(&link.ifname, link.kind()))
            .collect();
        // A tunnel needs a link below it.
        let tunnels =
            ["vxlan", "gre", "gretap", "ipip", "sit", "geneve", "wireguard", "ip6gre", "ip6tnl", "vti", "dummy"];
        if links.iter().all(|link| link.kind().is_some_and(|kind| tunnels.contains(&kind))) {
            // Both ends of a pair in one other namespace: it was never moved here.
            let pair = net.all.iter().enumerate().find_map(|(index, other)| {
                let link = other.links.iter().find(|link| {
                    link.link.is_some()
                        && net.peer(index, link).is_some_and(|(at, _)| at == index)
                        && other.addrs_of(&link.ifname).next().is_none()
                        && link.master.is_none()
                })?;
                Some((other.at.clone(), link.ifname.clone()))
            });
            let (code, advice) = match &pair {
                Some((place, name)) => (
                    Code::LinkWrongNetns,
                    format!(
                        "{place}/{name} is an end of a veth pair that was never moved: ip -n {place} link set dev {name} netns {at}"
                    ),
                ),
                None => (Code::LinkMissing, format!("add a veth pair that leads into {at}")),
            };
            let culprit = Culprit::new(code, &at, "link", "")
                .says(format!("{at} has no interface (no link) but lo: it is connected to nothing"))
                .because(Label::State, format!("ip link in {at}: only lo"))
                .because(Label::Kernel, kernel);
            let commands = if pair.is_none() { self.new_leg(ns, packet) } else { Vec::new() };
            let culprit = if commands.is_empty() {
                culprit.advise(advice)
            } else {
                let free = culprit.because(Label::Inferred, "the name of the link and its address are free to choose");
                Culprit { fix: commands, ..free }
            };
            self.fault(culprit);
            return;
        }
        let family =
            |ip: IpAddr| ip.is_ipv6() == packet.v6() && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let covers_hop = |link: &Link| {
            network
                .addrs_of(&link.ifname)
                .any(|addr| family(addr.ip) && (addr.covers(packet.dst) || addr.ip == packet.src))
        };
        let down = links.iter().find(|link| !link.is_up() && covers_hop(link)).or_else(|| {
            let up =
                links.iter().any(|link| link.is_up() && network.addrs_of(&link.ifname).any(|addr| family(addr.ip)));
            links.iter().find(|link| {
                !link.is_up() && !up && (network.addrs_of(&link.ifname).any(|addr| family(addr.ip)) || links.len() == 1)
            })
        });
        if let Some(link) = down {
            let dev = link.ifname.clone();
            self.link_down(ns, &dev);
            // A route that went with the link does not come back by itself.
            self.mend_route(ns, packet);
            return;
        }
        if packet.v6() {
            let off =
                links.iter().find(|link| net.setting(ns, &format!("ipv6/conf/{}/disable_ipv6", link.ifname)) == 1);
            if let Some(link) = off.filter(|_| !network.addrs.iter().any(|addr| addr.dev != "lo" && family(addr.ip))) {
                let dev = link.ifname.clone();
                self.v6_disabled(ns, &dev);
                return;
            }
        }
        if !network.addrs.iter().any(|addr| addr.dev != "lo" && family(addr.ip)) {
            self.fault(
                Culprit::new(Code::AddrMissing, &at, "link", links[0].ifname.clone())
                    .value(if packet.v6() { "IPv6" } else { "IPv4" })
                    .says(format!("no link of {at} has an {} address", if packet.v6() { "IPv6" } else { "IPv4" }))
                    .because(Label::Kernel, kernel)
                    .advise(format!("give {} an address", links[0].ifname)),
            );
            return;
        }
        // The other end believes to be on one segment with us, and we do not.
        let narrow = network.addrs.iter().find(|addr| {
            addr.dev != "lo" && family(addr.ip) && !addr.covers(packet.dst) && {
                let near = self.flood(ns, &addr.dev);
                near.iter().any(|station| {
                    net.ns(station.ns)
                        .addrs_of(&station.dev)
                        .any(|theirs| theirs.ip == packet.dst && theirs.covers(addr.ip) && theirs.len < addr.len)
                })
            }
        });
        if let Some(narrow) = narrow.cloned() {
            let theirs = net.all.iter().find_map(|other| other.owns(packet.dst)).map_or(24, |addr| addr.len);
            self.fault(
                Culprit::new(Code::PrefixMismatch, &at, "address", format!("{}/{}", narrow.ip, narrow.len))
                    .value(narrow.dev.clone())
                    .says(format!("{at}/{} has {}/{}, so it has no route back to {}, which has the prefix /{theirs} and is on the same segment", narrow.dev, narrow.ip, narrow.len, packet.dst))
                    .because(Label::Kernel, kernel)
                    .because(Label::State, format!("ip addr in {at}: {}/{} dev {}", narrow.ip, narrow.len, narrow.dev))
                    .fix(&format!("ip addr add {}/{theirs} dev {}", narrow.ip, narrow.dev))
                    .fix(&format!("ip addr del {}/{} dev {}", narrow.ip, narrow.len, narrow.dev)),
            );
            return;
        }
        if self.without_its_prefix(ns, packet, &kernel) {
            return;
        }
        if self.leg == Leg::Reply && self.nat_missing(ns, packet, &kernel)
            || self.wrong_turn(ns, packet, &kernel)
            || self.not_taken(ns, packet, &kernel)
        {
            return;
        }
        // A rule that leads away from a table which knows the way.
        let strange = network.rules[usize::from(packet.v6())]
            .iter()
            .any(|rule| !matches!(rule.get("priority").and_then(Value::as_u64), Some(0 | 32766 | 32767)));
        // The table main knows the way, and no rule looks there for it.
        let main = network.rules[usize::from(packet.v6())]
            .iter()
            .any(|rule| text(rule, "table") == "main" && ordinary(rule) && rule.get("suppress_prefixlen").is_none());
        let known = network.routes.iter().any(|route| {
            route.table.as_deref().unwrap_or("main") == "main"
                && route.is_ipv6() == packet.v6()
                && route.destination().is_some_and(|net| net.contains(&packet.dst))
        });
        if !main && known {
            let half = network.rules[usize::from(packet.v6())].iter().find(|rule| text(rule, "table") == "main");
            let but = half.map(|rule| format!(" but under conditions: `{}`", rule_text(rule))).unwrap_or_default();
            self.fault(
                Culprit::new(Code::RuleMisdirect, &at, "rule", "lookup main")
                    .value("missing")
                    .says(format!(
                        "the table main of {at} knows the way to {}, and no policy rule looks into it{but}",
                        packet.dst
                    ))
                    .because(Label::Kernel, kernel)
                    .fix(&format!("ip {}rule add pref 32766 lookup main", if packet.v6() { "-6 " } else { "" })),
            );
            return;
        }
        if let Some(dev) = self.tunnel_down(ns, packet) {
            self.link_down(ns, &dev);
            return;
        }
        let code = if self.leg == Leg::Reply { Code::ReturnRouteMissing } else { Code::RouteMissing };
        let way = if self.leg == Leg::Reply { "back to" } else { "to" };
        let mut culprit = Culprit::new(code, &at, "route", packet.dst.to_string())
            .value(said)
            .says(format!(
                "{at} has no route {way} {}{}",
                packet.dst,
                if self.leg == Leg::Reply { " (the reply, the return path)" } else { "" }
            ))
            .because(Label::Kernel, kernel);
        if strange {
            culprit = culprit.because(Label::State, format!("ip rule in {at} has rules of its own"));
        }
        let _ = iif;
        culprit = self.unadvertised(ns, packet.v6(), culprit);
        if let Some(line) = self.route_line(ns, packet) {
            if line.ends_with(" onlink") {
                culprit = culprit.because(
                    Label::Inferred,
                    "the gateway lies outside the subnets of this end: the kernel refuses a route to it without `onlink`",
                );
            }
            culprit = culprit.fix(&line);
        } else if packet.dst.is_multicast() {
            culprit = self.route_for_group(ns, packet, culprit);
        } else {
            culprit = culprit.advise("ip route add … via a router of this segment");
        }
        self.fault(culprit);
    }

    /// A router takes no default route from router advertisements, unless `accept_ra` is 2.
    pub(super) fn unadvertised(&self, ns: usize, v6: bool, culprit: Culprit) -> Culprit {
        let (net, network) = (self.net, self.net.ns(ns));
        let has_default = network.routes.iter().any(|route| route.is_default() && route.is_ipv6());
        if !v6 || has_default {
            return culprit;
        }
        let router = |dev: &str| net.setting(ns, &format!("ipv6/conf/{dev}/forwarding")) > 0;
        let asks = |dev: &str| net.setting(ns, &format!("ipv6/conf/{dev}/accept_ra")) == 1;
        // An address that came by an advertisement (`mngtmpaddr` or not, `kernel_ra`) tells that there is somebody who advertises.
        let dynamic = |dev: &str| {
            network.link(dev).and_then(|link| link.raw().get("addr_info").and_then(Value::as_array)).is_some_and(
                |infos| infos.iter().any(|info| text(info, "protocol") == "kernel_ra" || info.get("dynamic").is_some()),
            )
        };
        let Some(link) = network.links.iter().find(|link| {
            link.is_up() && !link.is_loopback() && router(&link.ifname) && asks(&link.ifname) && dynamic(&link.ifname)
        }) else {
            return culprit;
        };
        let (dev, at) = (&link.ifname, &network.at);
        let mut culprit = culprit
            .because(Label::State, format!("net.ipv6.conf.{dev}.forwarding = 1 and net.ipv6.conf.{dev}.accept_ra = 1 in {at}: a router takes no default route from router advertisements, unless accept_ra is 2"))
            .fix(&format!("sysctl -w net.ipv6.conf.{dev}.accept_ra=2"));
        let _ = write!(
            culprit.message,
            "; {dev} has an address from router advertisements, and takes no route from them while it forwards (accept_ra = 1)"
        );
        culprit
    }

    /// What comes from 127.0.0.0/8 was translated to go elsewhere, and its source was not: that is missing where it was sent.
    fn never_masqueraded(&mut self, ns: usize, packet: &Packet, iif: &str, said: &str, line: &str) -> bool {
        let Some((origin, _)) = self.origin.clone().filter(|(origin, _)| *origin != ns && self.leg == Leg::Request)
        else {
            return false;
        };
        let at = self.net.ns(origin).at.clone();
        let Some(out) =
            self.hops.iter().find(|hop| hop.out && hop.at == at && hop.dev != "lo").map(|hop| hop.dev.clone())
        else {
            return false;
        };
        let there = self.net.ns(ns).at.clone();
        let tool = if packet.v6() { "ip6tables" } else { "iptables" };
        let net = if packet.v6() { "::1/128" } else { "127.0.0.0/8" };
        let by = self.conns.iter().find(|conn| conn.ns == origin && conn.before.dst != conn.after.dst);
        let rule = by.and_then(|conn| conn.by.clone()).map(|rule| rule.text).unwrap_or_default();
        self.fault(
            Culprit::new(Code::NatMissing, &at, "chain", "nat POSTROUTING")
                .value(format!("no MASQUERADE or SNAT for {} on {out}", packet.src))
                .says(format!(
                    "{at} sends {} → {} out by {out} with its loopback address as the source: the target was translated (`{rule}`), the source \
                     was not, and {there} drops what comes from 127.0.0.0/8 on {iif}",
                    packet.src, packet.dst
                ))
                .because(Label::Kernel, format!("{line} → {said}"))
                .because(Label::State, format!("{at}: no rule in nat POSTROUTING matches -s {} -o {out}", packet.src))
                .fix(&format!("{tool} -t nat -A POSTROUTING -s {net} -o {out} -j MASQUERADE")),
        );
        true
    }

    /// What was sent to oneself and translated to somebody else keeps 127.0.0.1 as its source, which may leave by a link with `route_localnet` only.
    fn loopback_out(&mut self, ns: usize, packet: &Packet, dev: Option<&str>, said: &str, line: &str) {
        let at = self.net.ns(ns).at.clone();
        let dev = dev.unwrap_or("all");
        let tool = if packet.v6() { "ip6tables" } else { "iptables" };
        let masqueraded = format!("{tool} -t nat -A POSTROUTING -s 127.0.0.0/8 -o {dev} -j MASQUERADE");
        self.fault(
            Culprit::new(Code::MartianLocalnet, &at, "sysctl", format!("net.ipv4.conf.{dev}.route_localnet"))
                .value("0")
                .says(format!(
                    "{at} translated what it sent to itself and keeps {} as its source: that may not leave by {dev} (route_localnet = 0)",
                    packet.src
                ))
                .because(Label::Kernel, format!("{line} → {said}"))
                .fix(&format!("sysctl -w net.ipv4.conf.{dev}.route_localnet=1"))
                .fix(&masqueraded),
        );
    }

    /// The commands that connect a namespace to the bridge that leads to the target: a veth pair, a free address, and a route.
    fn new_leg(&self, ns: usize, packet: &Packet) -> Vec<Fix> {
        let net = self.net;
        let me = net.ns(ns).at.clone();
        let Where::Named(name) = &me else { return Vec::new() };
        let bridge =
            |index: usize, dev: &str| net.ns(index).link(dev).is_some_and(|link| link.kind() == Some("bridge"));
        // The bridge whose segment has the target, else one with an address, which then routes.
        let holder =
            net.all.iter().enumerate().find_map(|(index, other)| Some((index, other.owns(packet.dst)?.dev.clone())));
        let near = holder.and_then(|(index, dev)| {
            let own = bridge(index, &dev).then(|| (index, dev.clone()));
            own.or_else(|| {
                self.flood(index, &dev).iter().map(|one| (one.ns, one.dev.clone())).find(|(at, dev)| bridge(*at, dev))
            })
        });
        let any = || {
            (0..net.all.len()).find_map(|index| {
                let link = net.ns(index).links.iter().find(|link| {
                    link.kind() == Some("bridge")
                        && net
                            .ns(index)
                            .addrs_of(&link.ifname)
                            .any(|addr| addr.ip.is_ipv6() == packet.v6() && !addr.ip.is_loopback())
                })?;
                Some((index, link.ifname.clone()))
            })
        };
        let Some((host, bridge)) = near.or_else(any) else { return Vec::new() };
        let gateway = net.ns(host).addrs_of(&bridge).find(|addr| addr.ip.is_ipv6() == packet.v6()).cloned();
        let subnet = gateway
            .clone()
            .or_else(|| net.all.iter().flat_map(|other| &other.addrs).find(|addr| addr.ip == packet.dst).cloned());
        let free = subnet.and_then(|addr| {
            let taken = |ip: IpAddr| net.all.iter().any(|other| other.owns(ip).is_some());
            let subnet = IpNet::new(addr.ip, addr.len).ok()?;
            let ip = subnet.hosts().take(SEARCHED).find(|ip| *ip != subnet.network() && !taken(*ip))?;
            Some((ip, addr.len))
        });
        let Some((ip, len)) = free else { return Vec::new() };
        let place = net.ns(host).at.clone();
        // IFNAMSIZ leaves 15 characters.
        let end: String = format!("v-{name}").chars().filter(|c| !c.is_whitespace() && *c != ':').take(15).collect();
        let nodad = if packet.v6() { " nodad" } else { "" };
        // The name of a namespace may hold blanks.
        let end_words = ["ip", "link", "add", &end, "type", "veth", "peer", "name", "eth0", "netns", name];
        let mut lines = vec![
            Fix::of(&place, end_words),
            Fix::of(&place, ["ip", "link", "set", "dev", &end, "master", &bridge, "up"]),
            Fix::new(&me, &format!("ip addr add {ip}/{len} dev eth0{nodad}")),
            Fix::new(&me, "ip link set dev eth0 up"),
        ];
        lines.extend(gateway.map(|gateway| {
            let family = if packet.v6() { "-6 " } else { "" };
            Fix::new(&me, &format!("ip {family}route add default via {} dev eth0", gateway.ip))
        }));
        lines
    }

    /// The command that adds a route: by the router of the segment.
    pub(super) fn route_line(&self, ns: usize, packet: &Packet) -> Option<String> {
        let net = self.net;
        let family = if packet.v6() { "-6 " } else { "" };
        let forwarding = if packet.v6() { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
        for addr in net.ns(ns).addrs.iter().filter(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == packet.v6()) {
            for station in self.flood(ns, &addr.dev) {
                if station.ns == ns || net.setting(station.ns, forwarding) != 1 {
                    continue;
                }
                let gateway = net
                    .ns(station.ns)
                    .addrs_of(&station.dev)
                    .find(|theirs| addr.covers(theirs.ip) && theirs.ip != addr.ip)
                    .map(|addr| addr.ip);
                if let Some(gateway) = gateway {
                    return Some(format!(
                        "ip {family}route add {} via {gateway} dev {}",
                        self.aimed(ns, packet),
                        addr.dev
                    ));
                }
            }
        }
        self.off_subnet(ns, packet)
    }

    /// What a missing route is for: everything at an end, the target's subnet where there is a default route already or packets of others
    /// pass.
    fn aimed(&self, ns: usize, packet: &Packet) -> String {
        let mut routes = self.net.ns(ns).routes.iter();
        let has_default =
            routes.any(|route| route.is_default() && route.is_ipv6() == packet.v6() && route.kind() == "unicast");
        let forwarding = if packet.v6() { "ipv6/conf/all/forwarding" } else { "ipv4/ip_forward" };
        let known = self.net.all.iter().any(|other| other.owns(packet.dst).is_some());
        let router = self.leg == Leg::Reply && known && self.net.setting(ns, forwarding) == 1;
        if has_default || router { self.subnet_of(packet.dst) } else { "default".into() }
    }

    /// The gateway is on the segment and outside every subnet of ours, as with an address of its own (/32): the kernel takes the route only
    /// with `onlink`.
    fn off_subnet(&self, ns: usize, packet: &Packet) -> Option<String> {
        let net = self.net;
        let family = if packet.v6() { "-6 " } else { "" };
        let mine = net.ns(ns).addrs.iter().filter(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == packet.v6());
        mine.filter(|addr| addr.len == host_len(packet)).find_map(|addr| {
            let back = Packet { src: super::walk::unspecified(packet.v6()), dst: addr.ip, ..packet.clone() };
            let stations = self.flood(ns, &addr.dev);
            let knows = |one: &&super::segment::Station| {
                one.ns != ns && self.route(one.ns, &back, None).is_ok_and(|got| got.dev == one.dev)
            };
            let station = stations.iter().find(knows)?;
            let mut theirs = net.ns(station.ns).addrs_of(&station.dev);
            let gateway = theirs.find(|one| one.ip.is_ipv6() == packet.v6() && one.ip != addr.ip)?.ip;
            Some(format!("ip {family}route add {} via {gateway} dev {} onlink", self.aimed(ns, packet), addr.dev))
        })
    }

    fn mend_route(&mut self, ns: usize, packet: &Packet) {
        let near = self.net.ns(ns).addrs.iter().any(|addr| addr.dev != "lo" && addr.covers(packet.dst));
        let line = self.route_line(ns, packet);
        if let (Some(line), Some(fault), false) = (line, self.faults.last_mut(), near) {
            let fix = Fix::new(&fault.at, &line);
            fault.fix.push(fix);
        }
    }

    /// The answering end has no route back: perhaps because a router on the way should have translated the source, and has rules that almost do.
    pub(super) fn nat_missing(&mut self, ns: usize, packet: &Packet, kernel: &str) -> bool {
        let net = self.net;
        let there = self.called(ns);
        let client = packet.dst;
        if !net.pretended(ns) && self.pool_unrouted(ns, client, kernel) {
            return true;
        }
        if self.nobodys_source(client, &format!("{there} has no route back to {client}"), kernel) {
            return true;
        }
        // The last namespace that forwarded the request.
        let Some((router, out)) = self.last_router(ns) else { return false };
        let pretended = net.pretended(ns);
        if self.untracked(router, &out, packet, kernel) {
            return true;
        }
        let at = net.ns(router).at.clone();
        let subnet = self.subnet_of(client);
        let tool = if packet.v6() { "ip6tables" } else { "iptables" };
        let fresh = format!("{tool} -t nat -I POSTROUTING 1 -s {subnet} -o {out} -j MASQUERADE");
        let translates = |words: &[String]| words.iter().any(|word| word == "MASQUERADE" || word == "SNAT");
        let mut any = false;
        // The link to the world is where translation belongs; a rule bound to it is right as it is.
        let uplink = |dev: &str| {
            net.ns(router)
                .routes
                .iter()
                .any(|route| route.is_default() && route.is_ipv6() == packet.v6() && route.dev.as_deref() == Some(dev))
        };
        for tables in net.tables(router, packet.v6()) {
            let rules = tables.rules("nat", "POSTROUTING");
            any |= rules.iter().any(|rule| translates(&rule.words));
            let covers = |value: Option<&str>| {
                value.is_none_or(|value| value.parse::<IpNet>().is_ok_and(|net| net.contains(&client)))
            };
            for rule in rules.iter().filter(|rule| translates(&rule.words)) {
                let source = rule.source().filter(|source| !source.not).map(|source| source.value);
                let dev = rule.out_interface().map(|dev| (dev.value.to_owned(), dev.not));
                let dest = rule.destination().is_some();
                let shadow = rules.iter().take_while(|other| other.number < rule.number).find(|other| {
                    matches!(other.target(), Some("ACCEPT" | "RETURN"))
                        && covers(other.source().map(|source| source.value))
                        && other.out_interface().is_none_or(|dev| dev.value == out)
                });
                let right_dev = dev.as_ref().is_none_or(|(dev, not)| (*dev == out) != *not);
                if source.is_some()
                    && covers(source)
                    && right_dev
                    && !dest
                    && let Some(shadow) = shadow
                {
                    let line = format!("{} -t nat -D POSTROUTING {}", tables.tool(), shadow.number);
                    self.fault(
                        Culprit::new(Code::NatWrong, &at, "rule", format!("{} nat POSTROUTING", tables.tool()))
                            .value(shadow.text().to_owned())
                            .says(format!("an earlier rule in nat POSTROUTING of {at} accepts the packet (`-A POSTROUTING {}`) and so shadows `-A POSTROUTING {}`: {client} leaves {out} untranslated", shadow.text(), rule.text()))
                            .because(Label::State, format!("{} nat in {at}: -A POSTROUTING {} stands before -A POSTROUTING {}", tables.tool(), shadow.text(), rule.text()))
                            .because(Label::Kernel, kernel)
                            .fix(&line),
                    );
                    return true;
                }
                let bound_elsewhere = dev.as_ref().is_some_and(|(dev, _)| uplink(dev));
                // What stays inside needs no translation: a rule for the link to the world is not wrong for not matching it.
                let leaves = uplink(&out) || !private(packet.src);
                let almost = leaves
                    && (source.is_some() && covers(source) && !right_dev && !dest && !bound_elsewhere
                        || (source.is_some() && !covers(source) && right_dev && !dest && !self.covers_another(source)));
                if almost {
                    let wrong = dev.map(|(dev, _)| dev).unwrap_or_default();
                    self.fault(
                        Culprit::new(Code::NatWrong, &at, "rule", format!("{} nat POSTROUTING", tables.tool()))
                            .value(rule.text().to_owned())
                            .says(format!("the MASQUERADE rule `-A POSTROUTING {}` of {at} does not match: {client} leaves by {out}{}; {there} has no route back to it", rule.text(), if wrong.is_empty() || wrong == out { String::new() } else { format!(", the rule is bound to {wrong}") }))
                            .because(Label::State, format!("{} nat in {at}: -A POSTROUTING {}   (counter: {} packets)", tables.tool(), rule.text(), rule.packets))
                            .because(Label::Kernel, kernel)
                            .fix(&fresh),
                    );
                    return true;
                }
            }
        }
        if self.spared(router, &out, packet, &there, kernel) {
            return true;
        }
        any |= net.nft(router).translates();
        // A router that translates for others, or an end that is not ours to route (its address is public, the client's is private).
        let public = !private(packet.src) && private(client);
        if !(public || pretended || any && uplink(&out)) {
            return false;
        }
        let mut culprit = Culprit::new(Code::NatMissing, &at, "chain", "nat POSTROUTING")
                .value(format!("no MASQUERADE or SNAT for {client} on {out}"))
                .says(format!("{client} leaves {at} by {out} untranslated (no MASQUERADE or SNAT rule matches), and {there} has no route back to it"))
                .because(if pretended { Label::State } else { Label::Kernel }, kernel)
                .because(Label::State, format!("{at}: no rule in nat POSTROUTING matches -s {client} -o {out}"))
                .fix(&fresh);
        if !pretended {
            culprit = culprit.because(Label::Inferred, format!("a route back in {there} would do as well"));
        }
        culprit.script = Some(in_script(&at, &out, uplink(&out)));
        self.fault(culprit);
        true
    }

    /// A router translates what the client sends to the world, and not what it sends to this end; noted.
    fn spared(&mut self, router: usize, out: &str, packet: &Packet, there: &str, kernel: &str) -> bool {
        let Some(rule) = self.spares(router, out, packet) else { return false };
        let (at, client) = (self.net.ns(router).at.clone(), packet.dst);
        let tool = if packet.v6() { "ip6tables" } else { "iptables" };
        self.fault(
            Culprit::new(Code::NatMissing, &at, "rule", format!("{} {} {}", rule.tool, rule.table, rule.chain))
                .value(rule.text.clone())
                .says(format!(
                    "{at} translates what {client} sends to the world (`{}`) and spares {}; and {there} has no route back to {client}",
                    rule.text, packet.src
                ))
                .because(Label::State, format!("{} {} in {at}: {}", rule.tool, rule.table, rule.text))
                .because(Label::Kernel, kernel)
                .because(Label::Inferred, format!("a route back in {there} would do as well"))
                .fix(&format!("{tool} -t nat -I POSTROUTING 1 -s {client} -d {} -o {out} -j MASQUERADE", packet.src)),
        );
        true
    }

    /// A router does not track the connection, so it never translates it; noted.
    fn untracked(&mut self, router: usize, out: &str, packet: &Packet, kernel: &str) -> bool {
        let net = self.net;
        let at = net.ns(router).at.clone();
        let translates = |words: &[String]| words.iter().any(|word| word == "MASQUERADE" || word == "SNAT");
        let all = net.tables(router, packet.v6());
        let there = net.nft(router).translates()
            || all.iter().any(|tables| tables.rules("nat", "POSTROUTING").iter().any(|rule| translates(&rule.words)));
        let Some((rule, passed)) = self.untracking(router, Leg::Request).filter(|_| there) else { return false };
        let culprit = Culprit::new(Code::NatWrong, &at, "rule", format!("{} {} {}", rule.tool, rule.table, rule.chain))
            .value(rule.text.clone())
            .says(format!(
                "a raw rule of {at} (`{}`) keeps {} from being tracked, and what is untracked is never translated (NAT): it leaves {out} as it is",
                rule.text, packet.dst
            ))
            .because(Label::State, format!("{} {} in {at}: {}", rule.tool, rule.table, rule.text))
            .because(Label::Kernel, kernel);
        // The exemption is for the request, whose answer is at hand here.
        let leg = std::mem::replace(&mut self.leg, Leg::Request);
        let culprit = self.mend_rule(culprit, &passed, ("", ""), &rule);
        self.leg = leg;
        self.fault(culprit);
        true
    }

    /// A network that is mapped onto another one (NETMAP) by design, to which the answering end has no route: the route is what is missing; noted.
    fn pool_unrouted(&mut self, ns: usize, client: IpAddr, kernel: &str) -> bool {
        let mapped = self.conns.iter().find(|conn| conn.after.src.0 == client && conn.before.src.0 != client);
        let Some((router, rule)) = mapped.and_then(|conn| Some((conn.ns, conn.by.clone()?.text))) else { return false };
        let mut words = rule.split_whitespace().skip_while(|word| *word != "NETMAP");
        let pool = words.find(|word| *word == "--to").and_then(|_| words.next()).map(str::to_owned);
        let Some(pool) = pool.filter(|pool| pool.parse::<IpNet>().is_ok_and(|net| net.contains(&client))) else {
            return false;
        };
        let (at, place) = (self.net.ns(ns).at.clone(), self.net.ns(router).at.clone());
        let near = |ip: IpAddr| self.net.ns(ns).addrs.iter().any(|addr| addr.dev != "lo" && addr.covers(ip));
        let out = self.hops.iter().rev().find(|hop| hop.leg == Leg::Request && hop.out && hop.at == place);
        let via =
            out.and_then(|hop| self.net.ns(router).addrs_of(&hop.dev).find(|addr| near(addr.ip))).map(|addr| addr.ip);
        let culprit = Culprit::new(Code::ReturnRouteMissing, &at, "route", pool.clone())
            .value(client.to_string())
            .says(format!("{at} has no route back to {client}, which is how {place} maps {pool} (`{rule}`)"))
            .because(Label::Kernel, kernel)
            .because(Label::State, rule);
        let family = if client.is_ipv6() { "-6 " } else { "" };
        self.fault(match via {
            Some(via) => culprit.fix(&format!("ip {family}route add {pool} via {via}")),
            None => culprit.advise(format!("a route to {pool} by way of {place}")),
        });
        true
    }

    /// A translation to an address that nobody has; noted.
    pub(super) fn nobodys_source(&mut self, client: IpAddr, there: &str, kernel: &str) -> bool {
        let strange = self.conns.iter().find(|conn| {
            conn.after.src.0 == client && conn.before.src.0 != client && self.net.ns(conn.ns).owns(client).is_none()
        });
        let Some(conn) = strange.cloned() else { return false };
        let place = self.net.ns(conn.ns).at.clone();
        let rule = conn.by.clone();
        let text = rule.as_ref().map(|rule| rule.text.clone()).unwrap_or_default();
        let mut culprit = Culprit::new(Code::NatWrong, &place, "rule", text.clone())
            .value(client.to_string())
            .says(format!(
                "{place} turns the source {} into {client} (`{text}`), which it does not own; {there}",
                conn.before.src.0
            ))
            .because(Label::State, text)
            .because(Label::Kernel, kernel);
        let out = self.hops.iter().rev().find(|hop| hop.leg == Leg::Request && hop.out && hop.at == place);
        if let Some((rule, out)) = rule.filter(|rule| rule.tool != "nft").zip(out.map(|hop| hop.dev.clone())) {
            let source = self.subnet_of(conn.before.src.0);
            culprit = culprit
                .fix_words(rule.deletion())
                .fix(&format!("{} -t nat -A POSTROUTING -s {source} -o {out} -j MASQUERADE", rule.tool));
        }
        self.fault(culprit);
        true
    }

    /// Whether a rule's source is the network of somebody else, so that it is right as it is.
    fn covers_another(&self, source: Option<&str>) -> bool {
        let Some(net) = source.and_then(|source| source.parse::<IpNet>().ok()) else { return true };
        self.net.all.iter().any(|ns| ns.addrs.iter().any(|addr| addr.dev != "lo" && net.contains(&addr.ip)))
    }

    /// The last namespace before `end` that the request went through, and by which link it left.
    fn last_router(&self, end: usize) -> Option<(usize, String)> {
        let end = &self.net.ns(end).at;
        let request: Vec<_> = self.hops.iter().filter(|hop| hop.leg == Leg::Request).collect();
        let origin = request.first().map(|hop| hop.at.clone())?;
        // A port of a bridge only hands frames on.
        let routed = |hop: &&&super::finding::Hop| {
            let ns = self.net.index(&hop.at).map(|ns| self.net.ns(ns));
            ns.and_then(|ns| ns.link(&hop.dev)).is_none_or(|link| link.master.is_none())
        };
        let hop = request.iter().rev().filter(routed).find(|hop| hop.out && hop.at != *end && hop.at != origin)?;
        Some((self.net.index(&hop.at)?, hop.dev.clone()))
    }
}

/// What a script says to translate all that leaves by a link.
fn in_script(at: &Where, out: &str, uplink: bool) -> String {
    match at {
        Where::Host if uplink => "host().masquerade(host().uplink())".to_owned(),
        Where::Host => format!("host().masquerade(host().link({out:?}))"),
        other => {
            let netns = format!("netns({:?})", other.name());
            format!("{netns}.masquerade({netns}.link({out:?}))")
        }
    }
}

/// Whether a route leaves by a link, one of several ways counting (`fib_info_nh_uses_dev`).
pub(super) fn leaves_by(route: &Route, dev: &str) -> bool {
    route.dev.as_deref() == Some(dev) || route.nexthops.iter().any(|hop| hop.dev.as_deref() == Some(dev))
}

/// Whether an address is of those that no provider routes.
pub(super) fn private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// The prefix length of one address.
fn host_len(packet: &Packet) -> u8 {
    if packet.v6() { 128 } else { 32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_users_is_not_an_ordinary_one_and_says_for_whom_it_is() {
        let rule = |first: u32, last: u32| serde_json::json!({"priority": 32765, "src": "all", "uid_start": first, "uid_end": last, "table": "main"});
        assert_eq!(rule_text(&rule(0, 0)), "pref 32765 uidrange 0-0 lookup main");
        assert!(!ordinary(&rule(0, 0)) && for_root(&rule(0, 0)));
        assert!(!for_root(&rule(1000, 1001)), "what root sends is none of theirs");
        let plain = serde_json::json!({"priority": 32766, "src": "all", "table": "main"});
        assert!(ordinary(&plain) && for_root(&plain));
    }
}
