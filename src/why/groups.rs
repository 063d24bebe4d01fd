//! Multicast: where a packet for a group leaves, who has joined that on the segment, and whether he takes it.

use std::net::IpAddr;

use serde_json::Value;

use super::codes::Code;
use super::finding::{Culprit, Label};
use super::packet::{Hook, Packet, Port};
use super::segment::Station;
use super::service::listening;
use super::state::{Part, text};
use super::walk::{Got, Walk};

impl<'a> Walk<'a> {
    /// A packet for a group leaves by a link. It goes to who has joined on that segment, there is no answer, and no router takes it on by itself.
    pub(super) fn deliver_to_group(&mut self, ns: usize, got: &Got, packet: &Packet) {
        let net = self.net;
        let group = packet.dst;
        let stations = self.flood(ns, &got.dev);
        let members: Vec<Station> = stations.into_iter().filter(|one| self.joined(one.ns, &one.dev, group)).collect();
        if members.is_empty() {
            return self.nobody_joined(ns, got, packet);
        }
        for station in &members {
            let before = (self.faults.len(), self.suspects.len());
            self.way(ns, station, packet, &mac_of(group));
            let (there, dev) = (station.ns, station.dev.as_str());
            let mut arrived = Packet { mark: Some(0), past: super::packet::Past::default(), ..packet.clone() };
            self.hop(there, dev, false);
            self.hook(there, Hook::Prerouting, &mut arrived, dev, "", None);
            let line = format!("ip maddress show dev {dev} in {}: {group}", net.ns(there).at);
            self.rp_filter(there, &arrived, dev, "joined", &line);
            self.hook(there, Hook::Input, &mut arrived, dev, "", None);
            if let (17, Port::Exact(port)) = (arrived.proto, arrived.dport) {
                self.nobody_reads(there, dev, group, port);
            }
            if before == (self.faults.len(), self.suspects.len()) && !self.guess {
                self.members.push((there, dev.to_owned()));
            }
        }
    }

    /// Whether a namespace has joined a group on a link.
    fn joined(&self, ns: usize, dev: &str, group: IpAddr) -> bool {
        let records = self.net.listed(ns, Part::Sockets, "ip", &["-j", "maddress", "show"]);
        has_joined(&records, dev, group)
    }

    fn nobody_reads(&mut self, ns: usize, dev: &str, group: IpAddr, port: u16) {
        let takes = |addr: Option<IpAddr>| addr.is_none_or(|addr| addr.is_unspecified() || addr == group);
        let here = |bound: &Option<String>| bound.as_ref().is_none_or(|bound| bound == dev);
        let Some(sockets) = listening(self.net, ns, 17, port) else { return };
        if sockets.iter().any(|socket| takes(socket.addr) && here(&socket.dev)) {
            return;
        }
        let at = self.net.ns(ns).at.clone();
        let other = sockets.first().map(|socket| format!(", only {}", socket.shown)).unwrap_or_default();
        self.fault(
            Culprit::new(Code::ServiceNotListening, &at, "port", format!("udp {port}"))
                .value("no socket")
                .says(format!("{at} has joined {group} on {dev}, and no socket there takes what comes to udp port {port} of it{other}"))
                .because(Label::State, format!("ss -lnu in {at}: nothing for {group} on port {port}"))
                .advise("let the program listen on the group's address or on all, on that port"),
        );
    }

    /// The route that a group needs: by the link where somebody has joined it, or by the only one there is. It has no router.
    pub(super) fn route_for_group(&self, ns: usize, packet: &Packet, culprit: Culprit) -> Culprit {
        let links = self.links_out(ns);
        let by = self.member_behind(ns, &links, packet).map(|(dev, _)| dev);
        let by = by.or_else(|| links.first().copied().filter(|_| links.len() == 1));
        let line = |dev: &str| group_route(packet, &packet.dst.to_string(), dev);
        match by {
            Some(dev) => culprit.fix(&line(dev)),
            None if links.is_empty() => {
                culprit.advise("set a link up first: the group is reached by one of its own, not by a router")
            }
            None => culprit.advise(format!("{} (its members are behind one of: {})", line("LINK"), links.join(", "))),
        }
    }

    /// The links by which a namespace can send.
    fn links_out(&self, ns: usize) -> Vec<&'a str> {
        let links = self.net.ns(ns).links.iter();
        let out = links.filter(|link| link.is_up() && !link.is_loopback() && link.master.is_none());
        out.map(|link| link.ifname.as_str()).collect()
    }

    /// The first of these links on whose segment somebody else has joined the group, and who.
    fn member_behind(&self, ns: usize, links: &[&'a str], packet: &Packet) -> Option<(&'a str, Station)> {
        links.iter().find_map(|dev| {
            let all = self.flood(ns, dev);
            let member = all.into_iter().find(|one| one.ns != ns && self.joined(one.ns, &one.dev, packet.dst))?;
            Some((*dev, member))
        })
    }

    /// Nobody on the segment has joined: somebody on the segment of another link has, or beyond, or nobody.
    fn nobody_joined(&mut self, ns: usize, got: &Got, packet: &Packet) {
        let net = self.net;
        if let Some(out) = self.way_out(ns, &got.dev) {
            self.left = Some(format!("{}/{}", net.ns(out.ns).at, out.dev));
            return;
        }
        let (network, group) = (net.ns(ns), packet.dst);
        let at = network.at.clone();
        let links: Vec<&str> = self.links_out(ns).into_iter().filter(|dev| *dev != got.dev).collect();
        let near = self.member_behind(ns, &links, packet);
        if let Some((dev, member)) = near {
            let there = self.name(member.ns);
            let text = self.explain_route(ns, packet, None).map(|(_, route)| super::routes::route_text(&route));
            let text = text.unwrap_or_default();
            let all = if packet.v6() { "ff00::/8" } else { "224.0.0.0/4" };
            return self.fault(
                Culprit::new(Code::RouteWrongNexthop, &at, "route", text.clone())
                    .value(got.dev.clone())
                    .says(format!(
                        "{at} sends what is for the group {group} by {} (`{text}`), where nobody has joined it; {there}/{} has, on the segment of \
                         {dev}: a route for groups by {dev} is missing",
                        got.dev, member.dev
                    ))
                    .because(Label::Kernel, format!("{} → dev {}", got.line, got.dev))
                    .because(Label::State, format!("ip maddress show dev {} in {there}: {group}", member.dev))
                    .fix(&group_route(packet, &group.to_string(), dev))
                    .advise(format!("for all groups: {}; or let the program choose the link (IP_MULTICAST_IF)", group_route(packet, all, dev))),
            );
        }
        let far = (0..net.all.len()).filter(|other| *other != ns).find_map(|other| {
            let dev = net.ns(other).links.iter().map(|link| &link.ifname).find(|dev| self.joined(other, dev, group))?;
            Some((self.name(other), dev.clone()))
        });
        let culprit = match far {
            Some((there, dev)) => Culprit::new(Code::RouteMissing, &at, "route", group.to_string())
                .value("no multicast routing")
                .says(format!(
                    "{at} sends what is for the group {group} by {}, and nobody on that segment has joined it; {there}/{dev} has, on another \
                     segment: no router takes multicast on by itself, only a multicast routing daemon does",
                    got.dev
                ))
                .because(Label::State, format!("ip maddress show dev {dev} in {there}: {group}"))
                .advise("a multicast router between the segments (smcroute, pimd, igmpproxy), and a TTL above 1"),
            None => Culprit::new(Code::ServiceNotListening, &at, "group", group.to_string())
                .value("no member")
                .says(format!("nobody has joined the group {group}: what {at} sends to it by {} is for nobody", got.dev))
                .because(Label::State, format!("ip maddress: no {group} in any namespace"))
                .advise("let the receiver join the group (IP_ADD_MEMBERSHIP) on the link that it comes in by"),
        };
        self.fault(culprit);
    }
}

/// The command that makes the route to a group, or to all of them, by a link.
fn group_route(packet: &Packet, to: &str, dev: &str) -> String {
    let (family, table) = if packet.v6() { ("-6 ", " table local") } else { ("", "") };
    format!("ip {family}route add {to} dev {dev}{table}")
}

/// Whether `ip -j maddress show` has a group on a link.
fn has_joined(records: &[Value], dev: &str, group: IpAddr) -> bool {
    let on = |record: &&Value| text(record, "ifname") == dev;
    let groups = |record: &Value| record.get("maddr").and_then(Value::as_array).cloned().unwrap_or_default();
    records.iter().filter(on).flat_map(groups).any(|entry| text(&entry, "address").parse() == Ok(group))
}

/// The hardware address of a group (RFC 1112, RFC 2464).
fn mac_of(group: IpAddr) -> String {
    match group {
        IpAddr::V4(ip) => {
            let [_, b, c, d] = ip.octets();
            format!("01:00:5e:{:02x}:{c:02x}:{d:02x}", b & 0x7f)
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            format!("33:33:{:02x}:{:02x}:{:02x}:{:02x}", octets[12], octets[13], octets[14], octets[15])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_joined_on_a_link() {
        let records: Vec<Value> = serde_json::from_str(
            r#"[{"ifindex":1,"ifname":"lo","maddr":[{"family":"inet","address":"224.0.0.1"}]},
                {"ifindex":2,"ifname":"eth0","maddr":[{"link":"01:00:5e:01:02:03"},{"family":"inet","address":"239.1.2.3","users":2},{"family":"inet6","address":"ff02::1"}]}]"#,
        )
        .unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (dev, group, joined) in [
            ("eth0", "239.1.2.3", true),
            ("eth0", "ff02::1", true),
            ("lo", "239.1.2.3", false),
            ("eth0", "239.1.2.4", false),
            ("eth1", "239.1.2.3", false),
        ] {
            assert_eq!(has_joined(&records, dev, ip(group)), joined, "{group} on {dev}");
        }
    }

    #[test]
    fn a_group_has_a_hardware_address() {
        assert_eq!(mac_of("239.129.2.3".parse().unwrap()), "01:00:5e:01:02:03");
        assert_eq!(mac_of("ff02::1:ff00:5".parse().unwrap()), "33:33:ff:00:00:05");
    }
}
