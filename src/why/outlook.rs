//! What a namespace cannot do, without a destination in mind: its gateways, its resolvers, the way out.

use std::net::IpAddr;
use std::path::Path;

use super::causes::{WORLD4, WORLD6};
use super::codes::Code;
use super::finding::{Finding, Verdict};
use super::state::Net;
use super::{Question, why};
use crate::error::{Error, Kind, Result};
use crate::op::Where;
use crate::probe::Target;
use crate::session::Session;
use crate::verify::Aim;

/// How many name servers a resolver asks (`MAXNS` of the C library).
const NAMESERVERS: usize = 3;

/// One thing that every namespace with a way out does.
#[derive(Debug)]
pub(crate) struct Prospect {
    /// What was asked: `gateway 10.0.0.1`.
    pub what: String,
    /// The answer.
    pub finding: Finding,
    /// Whether nothing stands in the way.
    pub fine: bool,
}

/// Asks for the gateways, the resolvers and the way out of a namespace.
///
/// # Errors
///
/// As [`why`].
pub(crate) fn outlook(session: &Session, from: &Where) -> Result<Vec<Prospect>> {
    let net = Net::read(session, &[from], true)?;
    let index = net.index(from).ok_or_else(|| Error::new(Kind::NotFound, format!("no namespace `{from}`")))?;
    let network = net.ns(index);
    let mut all = Vec::new();
    let mut known: Vec<IpAddr> = Vec::new();
    for route in network.routes.iter().filter(|route| route.is_default() && route.kind() == "unicast") {
        let Some(gateway) = route.next_hop().filter(|gateway| !known.contains(gateway)) else { continue };
        known.push(gateway);
        let near = matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let zone = route.dev.clone().filter(|_| near);
        all.push(ask(session, from, format!("gateway {gateway}"), Target { zone, ..Target::icmp(gateway) }, true)?);
    }
    for server in nameservers(from).into_iter().filter(|ip| network.owns(*ip).is_none()).take(NAMESERVERS) {
        all.push(resolver(session, from, server)?);
    }
    // A namespace of one family needs no way out in the other.
    let near = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let has = |v6: bool| network.addrs.iter().any(|addr| addr.dev != "lo" && addr.ip.is_ipv6() == v6 && !near(addr.ip));
    let worlds = [(has(false) || !has(true), IpAddr::from(WORLD4)), (has(true), IpAddr::from(WORLD6))];
    for (_, world) in worlds.into_iter().filter(|(wanted, _)| *wanted) {
        let family = if world.is_ipv6() { "IPv6" } else { "IPv4" };
        all.push(ask(
            session,
            from,
            format!("the way out ({family}, judged for {world})"),
            Target::icmp(world),
            false,
        )?);
    }
    Ok(all)
}

fn ask(session: &Session, from: &Where, what: String, target: Target, probe: bool) -> Result<Prospect> {
    let mut question = Question::new(from.clone(), Aim::Target(target));
    question.probe = probe;
    let finding = why(session, &question)?;
    let fine = is_fine(&finding, probe);
    Ok(Prospect { what, finding, fine })
}

/// Whether nothing stands in the way. What only leaves this machine is not judged any further, and is fine as far as all of the way could be read.
fn is_fine(finding: &Finding, probe: bool) -> bool {
    let unread = finding.others.iter().any(|other| other.code == Code::NetnsUnreadable);
    finding.verdict == Verdict::Reachable || !probe && finding.culprit.is_none() && !unread
}

/// A name server: by UDP as far as the state tells, and by a TCP connection, which it answers or at least refuses.
fn resolver(session: &Session, from: &Where, server: IpAddr) -> Result<Prospect> {
    let what = format!("resolver {server}");
    let judged = ask(session, from, what.clone(), Target::udp(server, 53), false)?;
    if !judged.fine {
        return Ok(judged);
    }
    let tried = ask(session, from, what.clone(), Target::tcp(server, 53), true)?;
    let refused = tried.finding.probe.as_ref().is_some_and(|probe| probe.word == "refused");
    Ok(if refused { Prospect { what, finding: judged.finding, fine: true } } else { tried })
}

/// The name servers that programs in a namespace ask: those of its own file (`ip-netns(8)`), or of the machine's.
fn nameservers(from: &Where) -> Vec<IpAddr> {
    let own = match from {
        Where::Named(name) => std::fs::read_to_string(Path::new("/etc/netns").join(name).join("resolv.conf")).ok(),
        _ => None,
    };
    let text = own.or_else(|| std::fs::read_to_string("/etc/resolv.conf").ok()).unwrap_or_default();
    servers_in(&text)
}

fn servers_in(text: &str) -> Vec<IpAddr> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.split('%').next()?.parse().ok())?
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_fine() {
        use crate::why::finding::Culprit;
        let at = || Where::Named("r".into());
        let mut finding = Finding::new(&at(), "203.0.113.254");
        assert!(is_fine(&finding, false), "it leaves this machine");
        assert!(!is_fine(&finding, true), "nobody answers");
        finding.others.push(Culprit::new(Code::NetnsUnreadable, &at(), "namespace", "r"));
        assert!(!is_fine(&finding, false), "who knows what it meets there");
        finding.verdict = Verdict::Reachable;
        assert!(is_fine(&finding, true), "it was answered");
        (finding.verdict, finding.others) = (Verdict::Blocked, Vec::new());
        finding.culprit = Some(Culprit::new(Code::NfDrop, &at(), "rule", "r"));
        assert!(!is_fine(&finding, false));
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_does() {
        let text =
            "# a comment\nnameserver 10.0.0.1\nsearch example.org\nnameserver fe80::1%eth0\nnameserver nonsense\n";
        let want: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(servers_in(text), want);
    }
}
