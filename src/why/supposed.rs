//! What would become of a packet if something were otherwise: without a rule, from another source, with a mark that is seen in time.
//!
//! What it then reaches tells what is wrong with what is.

use std::net::IpAddr;

use super::codes::Code;
use super::evaluation::Effect;
use super::finding::{Culprit, Fix, Label, Leg};
use super::iptables::Tables;
use super::packet::{Asked, Ct, Hook, Nat, Packet, Port, RuleRef, Spot, To};
use super::routes::{route_text, rule_text};
use super::walk::{Conn, Got, Walk};

impl Walk<'_> {
    /// Where the rules of one backend send what comes into a namespace, or what it sends itself: the new target, its port, and the rule.
    fn target_by(&self, ns: usize, tables: &Tables, packet: &Packet, iif: &str) -> Option<(IpAddr, Port, RuleRef)> {
        let hook = if iif.is_empty() { Hook::Output } else { Hook::Prerouting };
        let sort = |ip: IpAddr| super::filters::sort(self.net.ns(ns), ip);
        let way = |packet: &Packet| self.leads(ns, packet);
        let spot =
            Spot { hook, iif, oif: "", physin: None, physout: None, sort: &sort, way: &way, arp: false, macs: None };
        let packet = Packet { ct: Ct::New, reply: false, ..packet.clone() };
        let after = tables.run("nat", &packet, &spot, None).after.filter(|after| !after.guess)?;
        let (nat, rule) = after.nat?;
        let Nat::Destination(ip, port) = nat else { return None };
        let ip = match ip {
            To::One(ip) => ip,
            To::Same => packet.dst,
            _ => return None,
        };
        let port = match port {
            To::One(port) => Port::Exact(port),
            _ => packet.dport,
        };
        Some((ip, port, rule))
    }

    /// What the rules would do to a packet that came in by a link: the tool, the rule, and its target as a rule writes it.
    pub(super) fn target_from(&self, ns: usize, packet: &Packet, iif: &str) -> Option<(&'static str, RuleRef, String)> {
        self.net.tables(ns, packet.v6()).into_iter().find_map(|tables| {
            let (ip, port, rule) = self.target_by(ns, tables, packet, iif)?;
            let ip = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            let target = match port {
                Port::Exact(port) => format!("{ip}:{port}"),
                _ => ip,
            };
            Some((tables.tool(), rule, target))
        })
    }

    /// A named set keeps the rules from handing on what came in by a link (or, by lo, what a namespace sent itself): the set, and the rule that
    /// would translate it if the set had said the contrary.
    pub(super) fn kept_by_a_set(&self, ns: usize, packet: &Packet, dev: &str) -> Option<(Asked, RuleRef)> {
        let (hook, iif) = if dev == "lo" { (Hook::Output, "") } else { (Hook::Prerouting, dev) };
        let sort = |ip: IpAddr| super::filters::sort(self.net.ns(ns), ip);
        let way = |packet: &Packet| self.leads(ns, packet);
        let spot =
            Spot { hook, iif, oif: "", physin: None, physout: None, sort: &sort, way: &way, arp: false, macs: None };
        let packet = Packet { ct: Ct::New, reply: false, ..packet.clone() };
        let by = |run: &dyn Fn(Option<&Asked>) -> Effect| {
            let mut asked = run(None).asked.into_iter().filter(|asked| !asked.held && !asked.element.is_empty());
            asked.find_map(|asked| {
                let (nat, rule) = run(Some(&asked)).after.filter(|after| !after.guess)?.nat?;
                matches!(nat, Nat::Destination(..) | Nat::Redirect(_)).then_some((asked, rule))
            })
        };
        let tables = self.net.tables(ns, packet.v6());
        let found = tables.iter().find_map(|tables| by(&|assume| tables.run("nat", &packet, &spot, assume)));
        found.or_else(|| {
            let nft = self.net.nft(ns);
            let families = [if packet.v6() { "ip6" } else { "ip" }, "inet"];
            let bases = nft.bases(&families, hook, iif, &tables);
            let mut nat = bases.into_iter().filter(|(_, index)| nft.kind(*index) == "nat");
            nat.find_map(|(_, index)| by(&|assume| nft.run(index, &packet, &spot, assume)))
        })
    }

    /// By which link the request came into a namespace; none when it began there.
    fn came_by(&self, ns: usize) -> Option<String> {
        let at = &self.net.ns(ns).at;
        self.hops.iter().find(|hop| hop.leg == Leg::Request && !hop.out && hop.at == *at).map(|hop| hop.dev.clone())
    }

    fn owned(&self, ip: IpAddr) -> bool {
        self.net.all.iter().any(|ns| ns.owns(ip).is_some())
    }

    /// A translation to nobody stands before one that leads to somebody: the first is a left-over. Returns what leads there, who that is,
    /// and the words that take the left-over away.
    pub(super) fn left_over(&self, conn: &Conn, rule: &RuleRef) -> Option<(RuleRef, IpAddr, Vec<String>)> {
        if rule.tool == "nft" {
            return None;
        }
        let (_, asked) = self.origin.clone()?;
        let packet = Packet {
            src: conn.before.src.0,
            sport: conn.before.src.1,
            dst: conn.before.dst.0,
            dport: conn.before.dst.1,
            ..asked
        };
        let iif = self.came_by(conn.ns).unwrap_or_default();
        // The rule that led to the chain of the left-over goes with it.
        let delete = rule.path.last().map_or(&rule.delete, |step| &step.delete);
        let tables = self.net.tables(conn.ns, packet.v6());
        let without = tables.iter().find(|tables| tables.tool() == rule.tool)?.without(delete)?;
        let (ip, _, other) = self.target_by(conn.ns, &without, &packet, &iif)?;
        let words = std::iter::once(rule.tool.clone()).chain(delete.iter().cloned()).collect();
        self.owned(ip).then_some((other, ip, words))
    }

    /// A packet is dropped, still for a target that nobody has: a rule would have translated it if it came from elsewhere.
    pub(super) fn spared_by_source(&self, ns: usize, mut culprit: Culprit, packet: &Packet) -> Culprit {
        use std::fmt::Write as _;
        if self.leg == Leg::Reply || packet.track.dnat || self.owned(packet.dst) {
            return culprit;
        }
        let iif = self.came_by(ns).unwrap_or_default();
        for tables in self.net.tables(ns, packet.v6()) {
            for (chain, rule) in tables.all_of("nat") {
                let Some(net) =
                    rule.source().filter(|source| !source.not).and_then(|one| super::iptables::net(one.value))
                else {
                    continue;
                };
                if net.contains(&packet.src) {
                    continue;
                }
                let other = Packet { src: net.hosts().next().unwrap_or(net.addr()), ..packet.clone() };
                let Some((ip, _, by)) = self.target_by(ns, tables, &other, &iif).filter(|(ip, ..)| self.owned(*ip))
                else {
                    continue;
                };
                let text = format!("-A {chain} {}", rule.text());
                let on_the_way = text == by.text || by.path.iter().any(|step| step.text == text);
                if !on_the_way {
                    continue;
                }
                let _ = write!(
                    culprit.message,
                    "; it is for {} still, which nobody has: `{text}` hands that on to {ip}, for sources in {net} only",
                    packet.dst
                );
                let at = culprit.at.clone();
                culprit = culprit.because(Label::State, format!("{} nat in {at}: {text}", tables.tool()));
                let words = rule.words.iter().scan(false, |source, word| {
                    let now = std::mem::replace(source, word == "-s");
                    Some(if now { packet.src.to_string() } else { word.clone() })
                });
                let head = [tables.tool(), "-t", "nat", "-I", chain, &rule.number.to_string()].map(str::to_owned);
                culprit.fix = vec![Fix::of(&at, head.into_iter().chain(words))];
                return culprit;
            }
        }
        culprit
    }

    /// A namespace marks what it sends itself, in a chain after which the way is not looked up again: the mark comes too late to lead it.
    pub(super) fn mark_too_late(&self, ns: usize, packet: &Packet, got: &Got) -> Option<Culprit> {
        let by = packet.past.marked.as_ref()?;
        let mark = packet.mark?;
        let (rule, route) = self.explain_route(ns, packet, None)?;
        if route.kind() != "unicast" || super::routes::leaves_by(&route, &got.dev) {
            return None;
        }
        let (at, dst) = (self.net.ns(ns).at.clone(), packet.dst);
        let out = route.dev.as_deref().unwrap_or("another link");
        let kind = if by.tool == "nft" { "type filter" } else { by.table.as_str() };
        let right = if by.tool == "nft" { "type route" } else { "mangle OUTPUT" };
        let mut culprit = Culprit::new(Code::RuleMisdirect, &at, "rule", format!("{} {} {}", by.tool, by.table, by.chain))
            .value(by.text.clone())
            .says(format!(
                "{at} marks what it sends to {dst} with 0x{mark:x}, for `{}` to lead it out by {out}; the rule stands in a chain of {kind}, \
                 after which the way is not looked up again: it leaves by {}; only in {right} does a mark change the way of what a namespace \
                 sends itself",
                rule_text(&rule), got.dev
            ))
            .because(Label::State, format!("{} in {at}, {} {}: {}", by.tool, by.table, by.chain, by.text))
            .because(Label::State, format!("with the mark: `{}`, `{}`", rule_text(&rule), route_text(&route)))
            .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev));
        if by.tool == "nft" {
            let family = if packet.v6() { "ip6" } else { "ip" };
            let chain = format!("{} {}_route", by.table, by.chain);
            culprit = culprit
                .fix(&format!("nft add chain {chain} {{ type route hook output priority mangle ; }}"))
                .fix(&format!("nft add rule {chain} {family} daddr {dst} meta mark set 0x{mark:x}"));
        } else {
            culprit = culprit.fix(&format!("{} -t mangle -A OUTPUT -d {dst} -j MARK --set-mark 0x{mark:x}", by.tool));
        }
        Some(culprit)
    }

    /// A rule hands a packet for somebody else to a transparent proxy, and routing does so too: it ends there, where somebody listens. What the
    /// proxy then does is its own. Returns whether that is so; noted when nobody listens.
    pub(super) fn taken_by_a_proxy(&mut self, ns: usize, packet: &Packet) -> bool {
        let foreign = self.leg == Leg::Request && self.net.ns(ns).owns(packet.dst).is_none();
        let Some(by) = packet.past.proxied.clone().filter(|_| foreign) else { return false };
        let at = self.net.ns(ns).at.clone();
        let port = proxy_port(&by.text);
        let nobody = port.filter(|port| {
            super::service::listening(self.net, ns, packet.proto, *port).is_some_and(|sockets| sockets.is_empty())
        });
        if let Some(port) = nobody {
            let proto = packet.proto_name();
            self.fault(
                Culprit::new(Code::ServiceNotListening, &at, "port", format!("{proto} {port}"))
                    .value("no socket")
                    .says(format!(
                        "{at} hands {} → {} to a transparent proxy (`{}`, TPROXY), and nothing listens on {proto} port {port} there",
                        packet.src, packet.dst, by.text
                    ))
                    .because(Label::State, format!("{} {} {} in {at}: {}", by.tool, by.table, by.chain, by.text))
                    .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                    .advise("start the proxy, or take the rule away while it does not run"),
            );
        }
        self.proxied = Some(format!("{at} hands it to a transparent proxy (`{}`)", by.text));
        true
    }

    /// A rule hands a packet to a transparent proxy, and routing does not: it is forwarded, which the kernel does not do with a packet that
    /// has a socket (`ip_forward`). Returns whether that is so; noted.
    pub(super) fn not_delivered(&mut self, ns: usize, packet: &Packet, dev: &str) -> bool {
        let Some(by) = packet.past.proxied.clone() else { return false };
        let at = self.net.ns(ns).at.clone();
        let v6 = packet.v6();
        let family = if v6 { "-6 " } else { "" };
        let word = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // A mark whose rule leads everything here.
        let led = self.net.ns(ns).rules[usize::from(v6)].iter().find_map(|rule| {
            let mark = word(rule.get("fwmark")?);
            let table = word(rule.get("table")?);
            let local = |route: &&crate::model::route::Route| {
                route.table.as_deref() == Some(table.as_str()) && route.kind() == "local"
            };
            self.net.ns(ns).routes.iter().find(local).map(|_| (mark, table.clone()))
        });
        let mark = led.as_ref().map_or_else(
            || packet.mark.filter(|mark| *mark != 0).map_or("0x1".to_owned(), |mark| format!("0x{mark:x}")),
            |(mark, _)| mark.clone(),
        );
        let why = match (&led, packet.mark) {
            (Some((mark, table)), _) => format!(
                "the policy rule `fwmark {mark} lookup {table}` would lead it to lo, and it does not have that mark"
            ),
            (None, _) => "no policy rule leads what has a mark to a local route".to_owned(),
        };
        let mut culprit = Culprit::new(Code::RuleMisdirect, &at, "rule", format!("{} {} {}", by.tool, by.table, by.chain))
            .value(by.text.clone())
            .says(format!(
                "{at} hands {} → {} to a transparent proxy (`{}`, TPROXY), but routes it on: {why}; the kernel drops what has a socket when it \
                 would forward it",
                packet.src, packet.dst, by.text
            ))
            .because(Label::State, format!("{} {} {} in {at}: {}", by.tool, by.table, by.chain, by.text));
        let (proto, port) = (packet.proto_name(), packet.dport);
        let known = packet.mark.is_some_and(|have| super::evaluation::number(&mark) == Some(have));
        if !known && by.tool == "nft" {
            let ip = if v6 { "ip6" } else { "ip" };
            let to = if let Port::Exact(port) = port {
                format!("{proto} dport {port}")
            } else {
                format!("meta l4proto {proto}")
            };
            culprit = culprit.fix(&format!(
                "nft insert rule {} {} iifname {dev} {ip} daddr {} {to} meta mark set {mark}",
                by.table, by.chain, packet.dst
            ));
        } else if !known {
            let to = if let Port::Exact(port) = port { format!(" --dport {port}") } else { String::new() };
            culprit = culprit.fix(&format!(
                "{} -t mangle -I PREROUTING 1 -i {dev} -d {} -p {proto}{to} -j MARK --set-mark {mark}",
                by.tool, packet.dst
            ));
        }
        if led.is_none() {
            let table = (100..253).find(|table: &u32| {
                !self.net.ns(ns).routes.iter().any(|route| route.table.as_deref() == Some(&table.to_string()))
            });
            let table = table.unwrap_or(100);
            culprit = culprit
                .fix(&format!("ip {family}rule add fwmark {mark} lookup {table}"))
                .fix(&format!("ip {family}route add local default dev lo table {table}"));
        }
        self.fault(culprit);
        true
    }
}

/// The port of a transparent proxy, as a rule of nft or iptables has it; none where it is that of the packet.
fn proxy_port(text: &str) -> Option<u16> {
    let mut words = text.split_whitespace().skip_while(|word| !matches!(*word, "tproxy" | "--on-port"));
    let port = match words.next()? {
        "tproxy" => words.find(|word| *word == "to").and_then(|_| words.next())?.rsplit_once(':')?.1,
        _ => words.next()?,
    };
    port.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::proxy_port;

    #[test]
    fn a_rule_says_at_which_port_its_proxy_listens() {
        for (text, port) in [
            ("iifname br-lan meta mark set 128 tproxy to 127.0.0.1:7894", Some(7894)),
            ("meta l4proto tcp tproxy to :12345", Some(12345)),
            ("meta l4proto tcp tproxy to [::1]:12345", Some(12345)),
            ("tproxy to 127.0.0.1", None),
            ("-A v2ray -p tcp -j TPROXY --on-port 12345 --on-ip 127.0.0.1 --tproxy-mark 0x1/0x1", Some(12345)),
            ("-A v2ray -p tcp -j TPROXY --on-port 0 --tproxy-mark 0x1", None),
            ("meta l4proto tcp accept", None),
        ] {
            assert_eq!(proxy_port(text), port, "{text}");
        }
    }
}
