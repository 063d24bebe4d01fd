//! The end of a leg: the last hook, and whether anybody is there.

use std::net::IpAddr;

use super::codes::Code;
use super::finding::{Culprit, Label, Leg};
use super::packet::{Hook, Packet, Port};
use super::state::{Net, Part};
use super::walk::{Tuple, Walk};

/// A socket that waits.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) addr: Option<IpAddr>,
    /// The only link that it takes packets from (`SO_BINDTODEVICE`).
    pub(super) dev: Option<String>,
    pub(super) queued: u64,
    pub(super) room: u64,
    pub(super) users: String,
    pub(super) shown: String,
}

/// The sockets that wait on a port.
pub(super) fn listening(net: &Net, ns: usize, proto: u8, port: u16) -> Option<Vec<Listening>> {
    let all = every(net, ns, proto)?;
    Some(all.into_iter().filter(|(_, at)| *at == port).map(|(socket, _)| socket).collect())
}

/// The sockets that wait, with their ports; none where nobody can say.
fn waiting(net: &Net, ns: usize, proto: u8) -> Vec<(Listening, u16)> {
    every(net, ns, proto).unwrap_or_default()
}

fn every(net: &Net, ns: usize, proto: u8) -> Option<Vec<(Listening, u16)>> {
    let answer = net.ask_for(ns, Part::Sockets, "ss", &["-H", "-l", "-n", "-t", "-u", "-p"]);
    if !answer.ok {
        return None;
    }
    let sort = if proto == 6 { "tcp" } else { "udp" };
    let mut found = Vec::new();
    for line in answer.stdout.lines().filter(|line| !line.trim().is_empty()) {
        match socket_of(line) {
            Some((kind, socket, port)) if kind == sort => found.push((socket, port)),
            Some(_) => {}
            // A socket that is not understood may be the one that is looked for.
            None => net.not_read(ns, Part::Sockets, &answer.line, &format!("`{}` is no socket", line.trim())),
        }
    }
    Some(found)
}

/// A line of `ss -H -l -n -t -u -p`: `tcp`, the socket, its port. `None` for what is none.
///
/// ```text
/// tcp LISTEN 0 128 127.0.0.1%lo:80 0.0.0.0:* users:(("nginx",pid=7,fd=3))
/// udp UNCONN 0 0 *:53 *:*
/// ```
fn socket_of(line: &str) -> Option<(&str, Listening, u16)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, _, queued, room, local, ..] = words.as_slice() else { return None };
    let (addr, port) = local.rsplit_once(':').filter(|_| matches!(*kind, "tcp" | "udp"))?;
    let (bare, dev) = addr.split_once('%').map_or((addr, None), |(bare, dev)| (bare, Some(dev)));
    let bare = bare.trim_matches(['[', ']']);
    let socket = Listening {
        addr: if bare == "*" { None } else { Some(bare.parse().ok()?) },
        dev: dev.map(|dev| dev.trim_end_matches(']').to_owned()),
        queued: queued.parse().ok()?,
        room: room.parse().ok()?,
        users: words.get(6).map(|users| (*users).to_owned()).unwrap_or_default(),
        shown: (*local).to_owned(),
    };
    Some((kind, socket, port.parse().ok()?))
}

pub(super) fn serves(socket: &Listening, ip: IpAddr, dev: &str) -> bool {
    let here = socket.dev.as_ref().is_none_or(|bound| bound == dev);
    here && socket.addr.is_none_or(|addr| {
        addr == ip
            || (addr.is_unspecified() && addr.is_ipv6() == ip.is_ipv6())
            || matches!((addr, ip), (IpAddr::V6(six), IpAddr::V4(four)) if six.to_ipv4_mapped() == Some(four))
    })
}

impl Walk<'_> {
    /// A packet is for this namespace.
    #[expect(clippy::unnecessary_wraps, reason = "the end of a leg, as the other steps have it")]
    pub(super) fn deliver(&mut self, ns: usize, mut packet: Packet, dev: &str) -> Option<(usize, Packet)> {
        self.xfrm(ns, &packet, "in");
        self.hook(ns, Hook::Input, &mut packet, dev, "", None);
        if self.depth > 0 || self.leg == Leg::Reply {
            return Some((ns, packet));
        }
        let at = self.net.ns(ns).at.clone();
        match (packet.proto, packet.dport) {
            (6 | 17, Port::Exact(port)) => self.service(ns, &packet, port, dev),
            (1, _) if self.net.setting(ns, "ipv4/icmp_echo_ignore_all") == 1 => self.fault(
                Culprit::new(Code::IcmpEchoIgnored, &at, "sysctl", "net.ipv4.icmp_echo_ignore_all")
                    .value("1")
                    .says(format!("{at} does not answer pings: net.ipv4.icmp_echo_ignore_all = 1"))
                    .because(Label::State, format!("net.ipv4.icmp_echo_ignore_all = 1 in {at}"))
                    .fix("sysctl -w net.ipv4.icmp_echo_ignore_all=0"),
            ),
            (58, _) if self.net.setting(ns, "ipv6/icmp/echo_ignore_all") == 1 => self.fault(
                Culprit::new(Code::IcmpEchoIgnored, &at, "sysctl", "net.ipv6.icmp.echo_ignore_all")
                    .value("1")
                    .says(format!("{at} does not answer pings: net.ipv6.icmp.echo_ignore_all = 1"))
                    .because(Label::State, format!("net.ipv6.icmp.echo_ignore_all = 1 in {at}"))
                    .fix("sysctl -w net.ipv6.icmp.echo_ignore_all=0"),
            ),
            _ => {}
        }
        Some((ns, packet))
    }

    #[expect(clippy::too_many_lines, reason = "one question after the other, each a few lines")]
    fn service(&mut self, ns: usize, packet: &Packet, port: u16, dev: &str) {
        let Some(sockets) = listening(self.net, ns, packet.proto, port) else { return };
        let at = self.net.ns(ns).at.clone();
        let proto = packet.proto_name();
        if let Some(socket) = sockets.iter().find(|socket| serves(socket, packet.dst, dev)) {
            if packet.proto == 6 && socket.queued > socket.room {
                self.fault(
                    Culprit::new(Code::ServiceBacklogFull, &at, "socket", format!("{proto} {}", socket.shown))
                        .value(format!("{} of {}", socket.queued, socket.room))
                        .says(format!("the accept queue of {proto} port {port} in {at} is full: the service does not take its connections"))
                        .because(Label::State, format!("ss -ltn in {at}: Recv-Q {} Send-Q {} {} {}", socket.queued, socket.room, socket.shown, socket.users))
                        .advise("look at the process that should accept"),
                );
            }
            return;
        }
        let asked = self.origin.as_ref().map_or(packet.dst, |(_, asked)| asked.dst);
        let conn = self
            .conns
            .iter()
            .find(|conn| conn.before.dst != conn.after.dst && conn.after.dst == (packet.dst, packet.dport))
            .cloned();
        if let Some(other) = sockets.first() {
            let shown = other.shown.clone();
            let (listens, advice) = match &other.dev {
                Some(bound) => (
                    format!("is bound to the link {bound} ({shown}); the packet comes in by {dev}"),
                    format!("let the service listen on every link, or on {dev} (SO_BINDTODEVICE)"),
                ),
                // `ss` shows a socket for both families as `*`.
                None if !packet.v6() && other.addr.is_some_and(|addr| addr.is_ipv6() && addr.is_unspecified()) => (
                    format!(
                        "listens on {shown} for IPv6 only (IPV6_V6ONLY, which net.ipv6.bindv6only gives every socket of its own: it is {} in \
                         {at}), not for {}",
                        self.net.setting(ns, "ipv6/bindv6only"),
                        packet.dst
                    ),
                    "let the service listen for IPv4 too: net.ipv6.bindv6only = 0 before it starts, or a socket on 0.0.0.0".to_owned(),
                ),
                None => (
                    format!("listens on {shown} only, not on {}", packet.dst),
                    format!("let the service listen on {} or on all addresses", packet.dst),
                ),
            };
            self.fault(
                Culprit::new(Code::ServiceWrongBind, &at, "socket", format!("{proto} {shown}"))
                    .value(shown.clone())
                    .says(format!("in {at}, {proto} port {port} {listens}"))
                    .because(Label::State, format!("ss -ln in {at}: {proto} {shown} {}", other.users))
                    .advise(advice),
            );
            return;
        }
        if self.own_twin(ns, packet, port) {
            return;
        }
        if let Some(conn) = conn {
            let router = self.net.ns(conn.ns).at.clone();
            let rule = conn.by.clone();
            let text = rule.as_ref().map(|rule| rule.text.clone()).unwrap_or_default();
            let before = match conn.before.dst.1 {
                Port::Exact(port) => port.to_string(),
                _ => String::new(),
            };
            let mut culprit = Culprit::new(Code::DnatWrongTarget, &router, "rule", text.clone())
                .value(format!("{}:{port}", packet.dst))
                .says(format!(
                    "{router} hands {asked}:{before} on (DNAT) to {}:{port}, where nothing listens ({at})",
                    packet.dst
                ))
                .because(Label::State, text)
                .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"));
            culprit = self.mend_dnat(culprit, ns, packet, rule);
            self.fault(culprit);
            return;
        }
        // A rule would hand it on, if a set held what it does not hold.
        if let Some((asked, rule)) = self.kept_by_a_set(ns, packet, dev) {
            let what = if asked.tool == "ipset" { "the set" } else { "the set or map" };
            let tool = asked.tool.split_whitespace().next().unwrap_or_default();
            let culprit = Culprit::new(Code::DnatMissing, &at, "set", asked.set.clone())
                .value(format!("lacks {}", asked.element))
                .says(format!(
                    "nothing listens on {proto} port {port} in {at}, and `{}` would hand it on if {what} {} held {}: it lacks that",
                    rule.text, asked.set, asked.element
                ))
                .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                .because(
                    Label::State,
                    format!("{tool} in {at}: {} lacks {}, asked by `{}`", asked.set, asked.element, asked.rule),
                )
                .because(Label::State, format!("{} {} {} in {at}: {}", rule.tool, rule.table, rule.chain, rule.text))
                .fix(&super::causes::contrary(&asked));
            self.fault(culprit);
            return;
        }
        // A router that hands on other ports, or should: nobody expects a service on itself.
        let forwards = self.net.setting(ns, "ipv4/ip_forward") == 1;
        let word = port.to_string();
        let hands_on = self
            .net
            .tables(ns, packet.v6())
            .iter()
            .any(|tables| tables.mentions("nat", &["--dport", &word]) || tables.mentions("nat", &["DNAT"]));
        let twin = self.net.tables(ns, packet.v6()).iter().find_map(|tables| {
            let rule = tables
                .rules("nat", "OUTPUT")
                .iter()
                .find(|rule| rule.target() == Some("DNAT") && rule.words.contains(&word))?;
            Some(format!("{} -t nat -A PREROUTING {}", tables.tool(), rule.text()))
        });
        let near = Tuple::of(packet);
        // What a namespace sends itself passes OUTPUT, never PREROUTING.
        if dev == "lo" && hands_on && self.origin.as_ref().is_some_and(|(origin, _)| *origin == ns) {
            let (tool, twin) = self.handed_on_from_outside(ns, packet);
            let culprit = Culprit::new(Code::DnatMissing, &at, "port", format!("{proto} {port}"))
                .value(format!("{}:{port}", near.dst.0))
                .says(format!(
                    "nothing listens on {proto} port {port} in {at}, and no DNAT rule in nat OUTPUT hands on what {at} sends itself{}",
                    twin.as_ref().map(|(text, _)| format!(": `{text}` in PREROUTING is for what comes from outside")).unwrap_or_default()
                ))
                .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                .because(Label::State, format!("nat OUTPUT in {at}: no rule matches {}:{port}", packet.dst));
            let head =
                format!("{tool} -t nat -A OUTPUT -d {} -p {proto} --dport {port} -j DNAT --to-destination", packet.dst);
            self.fault(match twin {
                Some((_, target)) => culprit.fix(&format!("{head} {target}")),
                None => culprit.advise(format!("{head} …")),
            });
            return;
        }
        if forwards && hands_on {
            let mut culprit = Culprit::new(Code::DnatMissing, &at, "port", format!("{proto} {port}"))
                .value(format!("{}:{port}", near.dst.0))
                .says(format!(
                    "nothing listens on {proto} port {port} in {at}, and no DNAT rule in nat PREROUTING hands it on"
                ))
                .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                .because(Label::State, format!("nat PREROUTING in {at}: no rule matches {}:{port}", packet.dst));
            culprit = match twin {
                Some(line) => culprit.fix(&line),
                None => culprit.advise(format!(
                    "iptables -t nat -A PREROUTING -d {} -p {proto} --dport {port} -j DNAT --to-destination …",
                    packet.dst
                )),
            };
            self.fault(culprit);
            return;
        }
        if forwards && let Some((place, ip, theirs)) = self.served_behind(ns, packet, port) {
            let tool = if packet.v6() { "ip6tables" } else { "iptables" };
            let target = if packet.v6() { format!("[{ip}]:{theirs}") } else { format!("{ip}:{theirs}") };
            self.fault(
                Culprit::new(Code::DnatMissing, &at, "port", format!("{proto} {port}"))
                    .value(format!("{}:{port}", packet.dst))
                    .says(format!(
                        "nothing listens on {proto} port {port} in {at}, and no DNAT rule hands it on; {place}, which has {at} as its router, \
                         listens on {target}"
                    ))
                    .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"))
                    .because(Label::State, format!("ss -ln in {place}: {proto} port {theirs}"))
                    .because(Label::Inferred, format!("that {proto} port {port} is meant for it is a guess: nothing else there listens"))
                    .fix(&format!(
                        "{tool} -t nat -A PREROUTING -d {} -p {proto} --dport {port} -j DNAT --to-destination {target}",
                        packet.dst
                    )),
            );
            return;
        }
        let mut culprit = Culprit::new(Code::ServiceNotListening, &at, "port", format!("{proto} {port}"))
            .value("no socket")
            .says(format!("nothing listens on {proto} port {port} in {at}"))
            .because(Label::State, format!("ss -ln in {at}: nothing on {proto} port {port}"));
        // Whoever listens at just that address was meant: an engine's resolver has an address of 127.0.0.0/8 to itself.
        let near: Vec<u16> = waiting(self.net, ns, packet.proto)
            .into_iter()
            .filter(|(socket, _)| socket.addr == Some(packet.dst))
            .map(|(_, port)| port)
            .collect();
        let alone = matches!(packet.dst, IpAddr::V4(ip) if ip.is_loopback() && ip != std::net::Ipv4Addr::LOCALHOST);
        if let ([other], true) = (near.as_slice(), alone) {
            culprit.code = Code::DnatMissing;
            culprit.message = format!(
                "{}; somebody listens at {} on port {other}, and no DNAT rule in nat OUTPUT leads port {port} there",
                culprit.message, packet.dst
            );
            let line = format!(
                "iptables -t nat -A OUTPUT -d {0} -p {proto} --dport {port} -j DNAT --to-destination {0}:{other}",
                packet.dst
            );
            self.fault(
                culprit.because(Label::State, format!("ss -ln in {at}: {proto} {}:{other}", packet.dst)).fix(&line),
            );
            return;
        }
        if !near.is_empty() && near.len() <= 4 {
            let ports = near.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            culprit =
                culprit.because(Label::State, format!("at {} somebody listens on {proto} port {ports}", packet.dst));
        }
        if let Some((place, users)) = self.on_another_loopback(ns, packet, port) {
            let dst = packet.dst;
            culprit.message = format!(
                "{}; {place} listens at {dst}, which only {place} reaches: a loopback address is every namespace's own, and in {at} it is {at}",
                culprit.message
            );
            culprit = culprit
                .because(Label::State, format!("ss -ln in {place}: {proto} {dst} port {port} {users}"))
                .advise(format!(
                    "ask by an address that {at} has a way to, and let {place} listen there; or start the service in {at}"
                ));
            return self.fault(culprit);
        }
        self.fault(culprit.advise(format!("start the service in {at}")));
    }

    /// The rule that hands a port on for what comes from outside, where there is one, and its target; with the tool to write rules with.
    fn handed_on_from_outside(&self, ns: usize, packet: &Packet) -> (&'static str, Option<(String, String)>) {
        let tool = if packet.v6() { "ip6tables" } else { "iptables" };
        let links = self.net.ns(ns).links.iter().filter(|link| !link.is_loopback() && link.master.is_none());
        for dev in links.map(|link| link.ifname.clone()) {
            if let Some((tool, rule, target)) = self.target_from(ns, packet, &dev) {
                return (tool, Some((rule.text, target)));
            }
        }
        (tool, None)
    }

    /// The one service behind a router that a port of the router could be meant for: of a neighbour that has it as its gateway, on the same
    /// port, else the only one there is.
    fn served_behind(&self, ns: usize, packet: &Packet, port: u16) -> Option<(String, IpAddr, u16)> {
        let asker = self.origin.as_ref().map(|(asker, _)| *asker);
        let network = self.net.ns(ns);
        let mut found = Vec::new();
        for (index, there) in self.net.all.iter().enumerate().filter(|(index, _)| *index != ns && Some(*index) != asker)
        {
            let gateway = |hop: IpAddr| network.owns(hop).is_some();
            let behind = there.routes.iter().any(|route| route.is_default() && route.next_hop().is_some_and(gateway));
            let own = there.addrs.iter().find(|addr| {
                addr.ip.is_ipv6() == packet.v6()
                    && addr.dev != "lo"
                    && network.addrs.iter().any(|mine| mine.covers(addr.ip) && mine.dev != "lo")
            });
            let Some(own) = own.filter(|_| behind) else { continue };
            for socket in waiting(self.net, index, packet.proto) {
                if serves(&socket.0, own.ip, &own.dev)
                    && !found.iter().any(|(_, at, one)| *at == own.ip && *one == socket.1)
                {
                    found.push((there.at.name(), own.ip, socket.1));
                }
            }
        }
        let same: Vec<_> = found.iter().filter(|(.., theirs)| *theirs == port).collect();
        match (same.as_slice(), found.as_slice()) {
            ([one], _) => Some((*one).clone()),
            ([], [one]) => Some(one.clone()),
            _ => None,
        }
    }

    fn mend_dnat(&self, culprit: Culprit, ns: usize, packet: &Packet, rule: Option<super::packet::RuleRef>) -> Culprit {
        // The one port that something does listen on is what was meant; between several only a person can choose.
        let answer = self.net.ask(ns, "ss", &["-H", "-l", "-n", if packet.proto == 6 { "-t" } else { "-u" }]);
        let mut ports: Vec<u16> = answer
            .stdout
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse().ok())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        // Without a REDIRECT the packet goes where it was meant to go.
        if let Some(rule) = rule.as_ref().filter(|rule| rule.delete.iter().any(|word| word == "REDIRECT")) {
            return culprit.fix_words(rule.deletion());
        }
        let Some(rule) = rule.filter(|rule| rule.tool != "nft" && ports.len() == 1) else {
            return culprit.advise("correct the target of the rule");
        };
        let port = ports[0];
        // The same rule with the right port, in the place of the wrong one.
        let mut fixed = rule.deletion();
        if let Some(verb) = fixed.iter_mut().find(|word| *word == "-D") {
            "-A".clone_into(verb);
        }
        if let Some(at) = fixed.iter().position(|word| word == "--to-destination")
            && let Some(target) = fixed.get_mut(at + 1)
        {
            *target = format!("{}:{port}", packet.dst);
        }
        culprit.fix_words(fixed).fix_words(rule.deletion())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ss_is_a_socket_or_is_not_understood() {
        let told =
            |line| socket_of(line).map(|(kind, socket, port)| (kind, socket.addr, socket.dev, socket.room, port));
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let (v4, v6) = ("127.0.0.53", "fe80::1");
        assert_eq!(
            told("tcp LISTEN 0 128 127.0.0.53%lo:53 0.0.0.0:* users:((\"a b\",pid=7,fd=3))"),
            Some(("tcp", ip(v4), Some("lo".into()), 128, 53))
        );
        assert_eq!(told("udp UNCONN 0 0 *:53 *:*"), Some(("udp", None, None, 0, 53)));
        let linked = Some(("udp", ip(v6), Some("eth0".into()), 0, 546));
        assert_eq!(told("udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*"), linked);
        assert_eq!(told("udp UNCONN 0 0 [fe80::1%eth0]:546 [::]:*"), linked);
        // An address that cannot be read is not any address.
        for line in [
            "tcp LISTEN 0 128 127.0.0:53 *:*",
            "tcp LISTEN 0 128",
            "tcp LISTEN 0 128 *:http *:*",
            "oops",
            "u_str LISTEN 0 1 /x:1 *",
        ] {
            assert!(told(line).is_none(), "{line}");
        }
    }
}
