//! Who answers for an address that is not his: proxy ARP (`arp_process`, `arp_fwd_proxy`) and the neighbour proxies of IPv6.

use std::net::IpAddr;

use super::super::codes::Code;
use super::super::finding::{Culprit, Label};
use super::super::packet::Packet;
use super::super::state::{Part, text};
use super::super::walk::Walk;
use super::flood::Station;

impl Walk<'_> {
    /// A router of the segment that answers for the address of the next hop, which nobody here has.
    pub(super) fn proxied(&self, ns: usize, ip: IpAddr, packet: &Packet, stations: &[Station]) -> Option<Station> {
        let answers = |station: &&Station| {
            station.ns != ns && self.hands_on(ns, station, ip, packet) && self.is_proxy(station, ip)
        };
        stations.iter().find(answers).cloned()
    }

    /// Whether it answers for an address that it routes on: for all, or for this one.
    fn is_proxy(&self, station: &Station, ip: IpAddr) -> bool {
        let on = |key: &str| {
            ["all", &station.dev]
                .iter()
                .any(|dev| self.net.setting(station.ns, &format!("{}/conf/{dev}/{key}", family(ip))) == 1)
        };
        let entry = || {
            let family = if ip.is_ipv6() { "-6" } else { "-4" };
            let words = [family, "-j", "neigh", "show", "proxy"];
            let records = self.net.listed(station.ns, Part::Routing, "ip", &words);
            records.iter().any(|one| text(one, "dev") == station.dev && text(one, "dst").parse() == Ok(ip))
        };
        if ip.is_ipv6() { on("proxy_ndp") && entry() } else { on("proxy_arp") || entry() }
    }

    /// Whether a station routes what is for an address on by another link than that of the segment.
    fn hands_on(&self, ns: usize, station: &Station, ip: IpAddr, packet: &Packet) -> bool {
        let forwards = self.net.setting(station.ns, &format!("{}/conf/{}/forwarding", family(ip), station.dev)) == 1;
        // The request comes from the asker's own address.
        let asker = self.net.ns(ns).owns(packet.src).map(|addr| addr.ip);
        let asker = asker.or_else(|| {
            self.net
                .ns(ns)
                .addrs
                .iter()
                .find(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == ip.is_ipv6())
                .map(|addr| addr.ip)
        });
        let Some(src) = asker.filter(|_| forwards) else { return false };
        let request = Packet { src, dst: ip, mark: Some(0), ..packet.clone() };
        self.route(station.ns, &request, Some(&station.dev)).is_ok_and(|got| !got.local && got.dev != station.dev)
    }

    /// A router of the segment routes on what is for the address, and does not answer for it, though that is how it is done here: on its
    /// other links, or because the address lies in the subnet of the segment; noted.
    pub(super) fn unproxied(&mut self, ns: usize, ip: IpAddr, packet: &Packet, stations: &[Station]) -> bool {
        let v6 = ip.is_ipv6();
        let key = if v6 { "proxy_ndp" } else { "proxy_arp" };
        let known = |station: &Station| {
            let network = self.net.ns(station.ns);
            let other = network.links.iter().map(|link| link.ifname.clone()).find(|dev| {
                *dev != station.dev && self.net.setting(station.ns, &format!("{}/conf/{dev}/{key}", family(ip))) == 1
            });
            // Both ends of the segment think so: it is no mistake in one prefix.
            let shared = network.addrs_of(&station.dev).any(|addr| addr.covers(ip) && addr.len >= 64)
                && self.net.ns(ns).addrs.iter().any(|addr| addr.covers(ip) && addr.len >= 64);
            if let Some(dev) = other {
                return Some(format!("{key} is on for its link {dev}"));
            }
            (v6 && shared).then(|| format!("{ip} lies in the subnet of the segment, for both ends of it"))
        };
        let candidates = stations.iter().filter(|station| station.ns != ns && self.hands_on(ns, station, ip, packet));
        let Some((station, because)) = candidates.into_iter().find_map(|one| Some((one.clone(), known(one)?))) else {
            return false;
        };
        let at = self.net.ns(station.ns).at.clone();
        let dev = &station.dev;
        let sysctl = format!("net.{}.conf.{dev}.{key}", family(ip));
        let value = self.net.setting(station.ns, &sysctl.trim_start_matches("net.").replace('.', "/"));
        let asks = if v6 { "neighbour solicitations" } else { "ARP" };
        let mut culprit = Culprit::new(Code::ArpIgnored, &at, "sysctl", sysctl.clone())
            .value(value.to_string())
            .says(format!(
                "{} asks for {ip} on the segment of {at}/{dev}; {at} routes on what is for it and answers no {asks} in its place: it is no \
                 proxy for it there",
                self.name(ns)
            ))
            .because(Label::State, format!("{sysctl} = {value} in {at}"))
            .because(Label::State, because);
        if value != 1 {
            culprit = culprit.fix(&format!("sysctl -w {sysctl}=1"));
        }
        if v6 {
            culprit = culprit.fix(&format!("ip -6 neigh add proxy {ip} dev {dev}"));
        }
        self.fault(culprit);
        true
    }
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv6() { "ipv6" } else { "ipv4" }
}
