//! Expectations about reachability: what was probed, who answered, and whether silence proves anything.
//!
//! The packets are [`crate::probe`]'s; here is what they mean. An answer counts only from the one who was asked for; silence counts as
//! "cannot reach" only when somebody else gets an answer from the same place.

pub(crate) mod answered;
pub(crate) mod matrix;
pub(crate) mod way;

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::error::{Error, Kind, Result};
use crate::model::{names, net_addr, suggest};
use crate::op::Where;
use crate::patience::scaled;
use crate::probe::{
    ConnectOptions, Established, Named, PingOptions, Proto, Target, Verdict, Witness, connect, ping, wait_dad,
};
use crate::session::Session;
use crate::session::mutant::Look;

/// How long `reaches` waits for an answer, all attempts together.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long `cannot_reach` listens to silence: twice the resolution of a neighbour's answer over a veth, and one TCP retransmission (1 s).
pub(crate) const SILENCE: Duration = Duration::from_millis(1200);
/// How long an IPv6 address may stay tentative: duplicate address detection takes up to 2 s (RFC 4862, one probe and a random delay of 1 s).
const DAD: Duration = Duration::from_secs(4);
/// How long a witness waits for a packet whose answer is here already.
const WITNESS: Duration = Duration::from_millis(300);
/// How many namespaces are asked to try when silence needs proof.
const CONTROLS_MAX: usize = 16;

/// What is to be reached.
#[derive(Clone, Debug)]
pub enum Aim {
    /// An address, perhaps with a port. Whoever owns it may answer.
    Target(Target),
    /// A namespace: each of its addresses, of every family that both sides have; only it may answer.
    Netns(Where),
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(target) => target.fmt(f),
            Self::Netns(netns) => netns.fmt(f),
        }
    }
}

/// A target as a script writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An address, perhaps with a port.
    Target(Target),
    /// The name of a namespace, perhaps with a port.
    Named(Named),
}

impl FromStr for Said {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if !Named::is_meant(text) {
            return text.parse().map(Self::Target);
        }
        let named: Named = text.parse()?;
        if named.name != "host" {
            names::netns_name(&named.name)?;
        }
        Ok(Self::Named(named))
    }
}

/// How a packet that is tried is sent, where that is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The address to come from.
    pub source: Option<IpAddr>,
    /// The port to come from.
    pub sport: Option<u16>,
    /// The port to go to, by TCP unless the target says UDP.
    pub port: Option<u16>,
    /// Whether that port is UDP's, whatever the target says.
    pub udp: bool,
    /// The firewall mark.
    pub mark: Option<u32>,
    /// The link to leave by.
    pub dev: Option<String>,
    /// Bytes of the payload of a ping, which then may not be fragmented.
    pub size: Option<u32>,
}

/// What is tried.
struct Attempt<'a> {
    from: &'a Where,
    target: &'a Target,
    /// The namespace whose address it is, which is to answer.
    owner: Option<&'a Where>,
    manner: &'a Manner,
}

impl Manner {
    /// The target with the port that was told.
    pub(crate) fn aimed(&self, target: &Target) -> Target {
        match (self.port, target.proto) {
            (Some(port), Proto::Udp) => Target { port, ..target.clone() },
            (Some(port), _) => {
                let proto = if self.udp { Proto::Udp } else { Proto::Tcp };
                Target { proto, port, ..target.clone() }
            }
            (None, _) => target.clone(),
        }
    }

    /// For a connection or a datagram.
    #[must_use]
    pub fn connecting(&self, timeout: Duration) -> ConnectOptions {
        ConnectOptions {
            timeout,
            source: self.source,
            mark: self.mark,
            sport: self.sport,
            device: self.dev.clone(),
            ..ConnectOptions::default()
        }
    }

    /// For a ping.
    #[must_use]
    pub fn pinging(&self, target: &Target, timeout: Duration) -> PingOptions {
        let plain = PingOptions::for_target(target);
        PingOptions {
            timeout,
            source: self.source,
            mark: self.mark,
            device: self.dev.clone(),
            size: self.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(plain.size),
            dont_fragment: self.size.is_some(),
            ..plain
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The right one answered.
    Reached,
    /// There is proof that it does not work.
    NotReached,
    /// Nobody can say.
    Inconclusive,
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The three-valued answer.
    pub outcome: Outcome,
    /// The word for it: `reached`, `refused`, `timeout`, `wrong-answerer`, …
    pub word: &'static str,
    /// What was seen, as a sentence.
    pub detail: String,
    /// What was probed.
    pub target: Target,
    /// From the first packet to the verdict.
    pub after: Duration,
    /// The round trip of the packet that was answered.
    pub rtt: Option<Duration>,
}

impl Finding {
    /// Whether this sandbox is a copy that cannot tell: the target is none of the machine's, or not all of the machine could be read.
    #[must_use]
    pub fn is_not_known(&self) -> bool {
        self.word == NOT_KNOWN
    }
}

/// The word for what a copy of a machine cannot tell.
const NOT_KNOWN: &str = "not-known";

impl Session {
    /// One probe from a namespace.
    ///
    /// # Errors
    ///
    /// When the probe cannot be made. What the network says is a verdict.
    pub fn probe(&self, from: &Where, target: &Target, manner: &Manner, timeout: Duration) -> Result<Established> {
        self.about_to_look(Look::Expectation)?;
        let interrupt = self.exec().interrupt().clone();
        let options = manner.connecting(timeout);
        let established = self.within(from, || connect(target, &options, &|| interrupt.is_set()))??;
        self.exec().interrupt().check()?;
        Ok(established)
    }

    /// Whether `from` reaches the aim: tries until an answer, a reason, or the end of `timeout`. Of several targets it is the first that is not
    /// reached, or the last.
    ///
    /// # Errors
    ///
    /// When the probe cannot be made, or a namespace has no address to reach.
    pub fn reach(&self, from: &Where, aim: &Aim, manner: &Manner, timeout: Duration) -> Result<Finding> {
        let mut each = self.reach_each(from, aim, manner, timeout)?;
        each.pop().ok_or_else(|| no_address(aim))
    }

    /// The same with a finding for each target up to the first that is not reached: at least one.
    ///
    /// # Errors
    ///
    /// As [`Session::reach`].
    pub fn reach_each(&self, from: &Where, aim: &Aim, manner: &Manner, timeout: Duration) -> Result<Vec<Finding>> {
        self.about_to_look(Look::Expectation)?;
        self.each_target(from, aim, manner, |it| {
            let target = it.target;
            if let Some(finding) = self.untold(target, Outcome::Reached)? {
                return Ok(finding);
            }
            self.wait_for_dad(from, target.addr)?;
            let begun = Instant::now();
            let (mut waited, mut asked) = (false, false);
            loop {
                let left = timeout.saturating_sub(begun.elapsed());
                // A second is when TCP retransmits and ARP asks again; a fresh attempt then meets a settled network.
                let second = scaled(Duration::from_secs(1));
                let time =
                    if left.is_zero() && waited { second } else { left.clamp(Duration::from_millis(50), second) };
                let finding = if asked { self.attempt(it, time)?.0 } else { self.first_attempt(it, time)? };
                asked = true;
                let settled = finding.outcome != Outcome::Inconclusive && finding.word != "no-source-address";
                let late = begun.elapsed() >= timeout;
                // A tunnel over IPv6 says `unreachable` while the address of its own end is tentative; on a busy machine the kernel may end duplicate
                // address detection on the way late. Once more when it has.
                let may_pass = if target.addr.is_ipv4() {
                    settled && finding.outcome == Outcome::NotReached && !late
                } else {
                    !settled && late
                };
                if may_pass && !waited && self.is_any_tentative() {
                    waited = true;
                    self.wait_for_all_dad(from)?;
                    continue;
                }
                if settled || late {
                    return Ok(Finding { after: begun.elapsed(), ..finding });
                }
            }
        })
    }

    /// Whether `from` provably cannot reach the aim. Silence is proof only when somebody else is answered from there.
    ///
    /// # Errors
    ///
    /// As [`Session::reach`].
    pub fn cannot_reach(&self, from: &Where, aim: &Aim, manner: &Manner, silence: Duration) -> Result<Finding> {
        self.about_to_look(Look::Expectation)?;
        let mut each = self.each_target(from, aim, manner, |it| {
            let target = it.target;
            if let Some(finding) = self.untold(target, Outcome::NotReached)? {
                return Ok(finding);
            }
            self.wait_for_dad(from, target.addr)?;
            let begun = Instant::now();
            let finding = self.first_attempt(it, silence)?;
            if finding.outcome != Outcome::Inconclusive {
                return Ok(Finding { after: begun.elapsed(), ..finding });
            }
            let control = self.control(from, target, silence)?;
            let (outcome, detail) = match control {
                Some(other) => (Outcome::NotReached, format!("{}, while `{other}` is answered", finding.detail)),
                None => (
                    Outcome::Inconclusive,
                    format!("{}, and no other namespace is answered from there either", finding.detail),
                ),
            };
            Ok(Finding { outcome, detail, after: begun.elapsed(), ..finding })
        })?;
        each.pop().ok_or_else(|| no_address(aim))
    }

    /// The finding about what a copy of a machine cannot tell: nobody knows, and where such probes are passed over, what was `expected`.
    fn untold(&self, target: &Target, expected: Outcome) -> Result<Option<Finding>> {
        let Some(detail) = self.not_known(target.addr)? else { return Ok(None) };
        let outcome = if self.passes_over(&detail) { expected } else { Outcome::Inconclusive };
        Ok(Some(Finding { outcome, word: NOT_KNOWN, detail, target: target.clone(), after: Duration::ZERO, rtt: None }))
    }

    /// Goes through the targets of an aim until one is not reached, or the last: what was found of each.
    fn each_target(
        &self,
        from: &Where,
        aim: &Aim,
        manner: &Manner,
        mut each: impl FnMut(&Attempt<'_>) -> Result<Finding>,
    ) -> Result<Vec<Finding>> {
        let netns = match aim {
            Aim::Target(target) => {
                return Ok(vec![each(&Attempt { from, target: &manner.aimed(target), owner: None, manner })?]);
            }
            Aim::Netns(netns) => netns,
        };
        let mut found = Vec::new();
        for addr in self.shared_addrs(from, netns)? {
            let target = &manner.aimed(&Target::icmp(addr));
            let finding = each(&Attempt { from, target, owner: Some(netns), manner })?;
            let goes_on = finding.outcome == Outcome::Reached;
            found.push(finding);
            if !goes_on {
                break;
            }
        }
        if found.is_empty() { Err(no_address(aim)) } else { Ok(found) }
    }

    /// The attempt that begins an expectation: what is told of an earlier search for a neighbour says nothing of now ([`Verdict::is_older`]), so it is
    /// made once more.
    fn first_attempt(&self, it: &Attempt<'_>, time: Duration) -> Result<Finding> {
        let (finding, older) = self.attempt(it, time)?;
        Ok(if older { self.attempt(it, time)?.0 } else { finding })
    }

    /// One probe, and whether what came of it is older than it.
    fn attempt(&self, it: &Attempt<'_>, timeout: Duration) -> Result<(Finding, bool)> {
        let Attempt { from, target, owner, manner } = *it;
        let begun = Instant::now();
        let (verdict, wrong) = match owner {
            Some(owner) if target.proto == Proto::Icmp => self.witnessed_ping(it, owner, timeout)?,
            _ if target.proto == Proto::Icmp && manner.size.is_some() => {
                let interrupt = self.exec().interrupt().clone();
                let options = manner.pinging(target, timeout);
                let report = self.within(from, || ping(target.addr, &options, &|| interrupt.is_set()))??;
                (report.verdict, None)
            }
            _ => (self.probe(from, target, manner, timeout)?.into_verdict(), None),
        };
        let (outcome, word, detail) = match (wrong, &verdict) {
            (Some(who), _) => (Outcome::NotReached, "wrong-answerer", who),
            (None, Verdict::Reached(_)) => (Outcome::Reached, "reached", verdict.detail()),
            (None, Verdict::NotReached(_)) => (Outcome::NotReached, verdict.word(), verdict.detail()),
            (None, Verdict::Inconclusive(_)) => (Outcome::Inconclusive, verdict.word(), verdict.detail()),
        };
        let (target, rtt) = (target.clone(), verdict.rtt());
        let finding = Finding { outcome, word, detail, target, after: begun.elapsed(), rtt };
        Ok((finding, verdict.is_older()))
    }

    /// Pings, and asks the namespace that should answer whether it was asked. Otherwise says who answered instead.
    fn witnessed_ping(&self, it: &Attempt<'_>, owner: &Where, timeout: Duration) -> Result<(Verdict, Option<String>)> {
        let Attempt { from, target, manner, .. } = *it;
        let interrupt = self.exec().interrupt().clone();
        let options = manner.pinging(target, timeout);
        let ping_once = || self.within(from, || ping(target.addr, &options, &|| interrupt.is_set()))?;
        let mut witness = self.within(owner, Witness::open)??;
        let report = ping_once()?;
        if !report.verdict.is_reached() || witness.saw(report.token, scaled(WITNESS))? {
            return Ok((report.verdict, None));
        }
        let mut others = Vec::new();
        for netns in self.everywhere().into_iter().filter(|netns| netns != owner) {
            if let Ok(Ok(witness)) = self.within(&netns, Witness::open) {
                others.push((netns, witness));
            }
        }
        let report = ping_once()?;
        for (netns, witness) in &mut others {
            if witness.saw(report.token, Duration::ZERO)? {
                return Ok((report.verdict, Some(format!("`{netns}` answers for {}, not `{owner}`", target.addr))));
            }
        }
        Ok((report.verdict, Some(format!("somebody answers for {}, but not `{owner}`", target.addr))))
    }

    /// Another namespace that is answered from there.
    fn control(&self, from: &Where, target: &Target, timeout: Duration) -> Result<Option<Where>> {
        let candidates: Vec<Where> =
            self.everywhere().into_iter().filter(|netns| netns != from).take(CONTROLS_MAX).collect();
        let mut files = Vec::new();
        for netns in candidates {
            self.settle(&netns)?;
            if let Ok(file) = self.exec().netns(&netns) {
                files.push((netns, file));
            }
        }
        let interrupt = self.exec().interrupt();
        let options = ConnectOptions { timeout, ..ConnectOptions::default() };
        // The first answer is proof enough: it calls the others off.
        let proof = OnceLock::new();
        std::thread::scope(|scope| {
            for (netns, file) in &files {
                let (options, proof) = (&options, &proof);
                scope.spawn(move || {
                    let enough = || proof.get().is_some() || interrupt.is_set();
                    let answer = file.within(|| connect(target, options, &enough));
                    if matches!(answer, Ok(Ok(established)) if established.verdict().is_reached()) {
                        let _ = proof.set(netns.clone());
                    }
                });
            }
        });
        interrupt.check()?;
        Ok(proof.into_inner())
    }

    /// The addresses of a namespace that another one may be expected to reach.
    fn usable_nets(&self, netns: &Where) -> Result<Vec<IpNet>> {
        let addrs = self.addrs(netns)?;
        let usable = |net: &IpNet| {
            let link_local = matches!(net.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local());
            !net.addr().is_loopback() && !link_local
        };
        Ok(addrs.iter().flat_map(net_addr::Addr::ipnets).filter(usable).collect())
    }

    /// The first address of `to` that `from` may be expected to reach.
    ///
    /// # Errors
    ///
    /// `NotFound` when it has none.
    pub fn first_shared_addr(&self, from: &Where, to: &Where) -> Result<IpAddr> {
        self.shared_addrs(from, to)?.first().copied().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("`{to}` has no address that could be reached")).netns(to.name())
        })
    }

    /// The addresses of `to` that `from` may be expected to reach: one per family that both have, the one in a network of `from`'s first.
    pub(crate) fn shared_addrs(&self, from: &Where, to: &Where) -> Result<Vec<IpAddr>> {
        Ok(shared(&self.usable_nets(from)?, &self.usable_nets(to)?))
    }

    /// IPv6 addresses cannot be used before duplicate address detection is done: waits for the prober's and for the owner's.
    ///
    /// # Errors
    ///
    /// When the prober's namespace cannot be entered.
    pub fn wait_for_dad(&self, from: &Where, addr: IpAddr) -> Result<()> {
        if addr.is_ipv4() { Ok(()) } else { self.wait_for_all_dad(from) }
    }

    /// Whether an address anywhere is still tentative.
    fn is_any_tentative(&self) -> bool {
        let is_tentative = |netns: &Where| {
            let dad = self.within(netns, || wait_dad(Duration::ZERO, &|| true));
            matches!(dad, Ok(Ok(dad)) if !dad.tentative.is_empty())
        };
        self.everywhere().iter().any(is_tentative)
    }

    fn wait_for_all_dad(&self, from: &Where) -> Result<()> {
        for netns in self.everywhere() {
            let interrupt = self.exec().interrupt().clone();
            let dad = self.within(&netns, || wait_dad(scaled(DAD), &|| interrupt.is_set()));
            match dad {
                Ok(dad) => drop(dad),
                // A namespace that is of no concern may be gone or closed to us.
                Err(error) if netns == *from => return Err(error),
                Err(_) => {}
            }
        }
        self.exec().interrupt().check()
    }
}

impl Session {
    /// The namespace of a name in a target. It must be there.
    ///
    /// # Errors
    ///
    /// `NotFound`, with the nearest that is there.
    pub fn named(&self, name: &str) -> Result<Where> {
        if name == "host" {
            return Ok(Where::Host);
        }
        self.settle_all()?;
        let netns = Where::Named(name.to_owned());
        let Err(error) = self.exec().netns(&netns) else { return Ok(netns) };
        if error.kind() != Kind::NotFound {
            return Err(error);
        }
        let there: Vec<String> = self.everywhere().iter().map(Where::name).collect();
        Err(suggest::with_nearest(error, name, there.iter().map(String::as_str))
            .hint("a target is an address, or the name of a namespace: \"10.0.0.2\", \"tcp/web:80\""))
    }

    /// What is aimed at, and at which service of a namespace.
    ///
    /// # Errors
    ///
    /// As [`Session::named`].
    pub fn aim_at(&self, said: &Said) -> Result<(Aim, Option<(Proto, u16)>)> {
        match said {
            Said::Target(target) => Ok((Aim::Target(target.clone()), None)),
            Said::Named(named) => Ok((Aim::Netns(self.named(&named.name)?), named.service)),
        }
    }

    /// The one target that is meant: of a namespace its first address that `from` may be expected to reach.
    ///
    /// # Errors
    ///
    /// As [`Session::named`]; `NotFound` when it has no address.
    pub fn one_target(&self, from: &Where, said: &Said) -> Result<Target> {
        match self.aim_at(said)? {
            (Aim::Target(target), _) => Ok(target),
            (Aim::Netns(netns), service) => {
                let addr = self.first_shared_addr(from, &netns)?;
                Ok(service
                    .map_or_else(|| Target::icmp(addr), |(proto, port)| Target { proto, port, ..Target::icmp(addr) }))
            }
        }
    }
}

/// The error of an aim that has nothing to be reached at.
fn no_address(aim: &Aim) -> Error {
    let error = Error::new(Kind::NotFound, format!("`{aim}` has no address that could be reached"))
        .hint("give one of its links an address: ns.link(\"eth0\").addr(\"10.0.0.1/24\")");
    if let Aim::Netns(netns) = aim { error.netns(netns.name()) } else { error }
}

/// The addresses among `theirs` that `mine` may be expected to reach: one per family that both have, the one in a network of ours first.
fn shared(mine: &[IpNet], theirs: &[IpNet]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        let of_family = |net: &&IpNet| net.addr().is_ipv4() == v4;
        let near = |net: &IpNet| mine.iter().any(|own| own.contains(&net.addr()));
        let candidate = theirs.iter().filter(of_family).find(|net| near(net)).or_else(|| theirs.iter().find(of_family));
        let has_family = mine.iter().any(|net| of_family(&net));
        if let Some(net) = candidate.filter(|_| has_family) {
            found.push(net.addr());
        }
    }
    // Without a common family, the first address fails with the kernel's own reason.
    if found.is_empty() {
        found.extend(theirs.first().map(IpNet::addr));
    }
    found
}
