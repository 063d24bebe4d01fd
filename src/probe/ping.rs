//! ICMP echo on raw sockets: one address several times, or hundreds of addresses at once.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use socket2::{Protocol, SockAddr, Socket, Type};

use super::packet::{self, ECHO_REPLY, ECHO_REPLY_V6, ECHO_REQUEST, ECHO_REQUEST_V6, Origin};
use super::verdict::{NotReached, Reached, Reason, Verdict};
use super::witness::Token;
use super::{sys, target::Target};
use crate::patience::scaled;
use crate::{Error, Kind, Result};

/// How to ping.
#[derive(Clone, Debug)]
pub struct PingOptions {
    /// How many packets; 1 unless told. Not used by [`ping_many`].
    pub count: u16,
    /// How long each packet is waited for.
    pub timeout: Duration,
    /// Bytes after the ICMP header, from 16 (the token) to 65507.
    pub size: usize,
    /// The time between two packets. Not used by [`ping_many`].
    pub interval: Duration,
    /// The address to send from.
    pub source: Option<IpAddr>,
    /// The firewall mark of the packets.
    pub mark: Option<u32>,
    /// The type of service of the packets, a traffic class with IPv6.
    pub tos: Option<u8>,
    /// The link that they may leave by.
    pub device: Option<String>,
    /// The hop limit of the packets.
    pub ttl: Option<u8>,
    /// Never fragment: a packet that is too big is an answer.
    pub dont_fragment: bool,
    /// The link of a link-local IPv6 address: `eth0` in `fe80::1%eth0`.
    pub zone: Option<String>,
    /// The token that the packets carry; random unless told. In [`ping_many`] the `n`th target (from 0) gets [`Token::nth`]`(n)`.
    pub token: Option<Token>,
}

/// How long an answer is waited for: longer than the kernel waits before it asks for a neighbour again (`retrans_time_ms`, 1 s), for the first question
/// is lost where a port of a bridge has just come up and does not forward yet.
const TIMEOUT: Duration = Duration::from_millis(1200);
/// How often one of many is asked, by a ping or at a port: with 500 ms for each, that covers the same second.
pub(crate) const ASKED: u32 = 3;

impl Default for PingOptions {
    fn default() -> Self {
        Self {
            count: 1,
            timeout: scaled(TIMEOUT),
            size: 56,
            interval: Duration::from_millis(100),
            source: None,
            mark: None,
            tos: None,
            device: None,
            ttl: None,
            dont_fragment: false,
            zone: None,
            token: None,
        }
    }
}

impl PingOptions {
    /// The defaults, with the zone of a target.
    #[must_use]
    pub fn for_target(target: &Target) -> Self {
        Self { zone: target.zone.clone(), ..Self::default() }
    }
}

/// What came of a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingReport {
    /// Packets sent, or tried to be sent.
    pub sent: u32,
    /// Packets answered.
    pub received: u32,
    /// The round-trip times of those that were answered, in the order of sending.
    pub rtts: Vec<Duration>,
    /// Who answered.
    pub from: Option<IpAddr>,
    /// Reached if any packet was answered; else the first reason that was given; else inconclusive.
    pub verdict: Verdict,
    /// The token that the packets carried.
    pub token: Token,
}

impl PingReport {
    /// The mean round-trip time; `None` when nothing was answered.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.rtts.iter().sum::<Duration>().checked_div(u32::try_from(self.rtts.len()).unwrap_or(u32::MAX))
    }

    /// The mean difference between one round-trip time and the next; `None` with fewer than two.
    #[must_use]
    pub fn jitter(&self) -> Option<Duration> {
        let steps: Vec<Duration> = self.rtts.windows(2).map(|pair| pair[0].abs_diff(pair[1])).collect();
        steps.iter().sum::<Duration>().checked_div(u32::try_from(steps.len()).unwrap_or(u32::MAX))
    }
}

/// Pings one address from the calling thread's namespace.
///
/// Packets leave every [`interval`](PingOptions::interval) whether or not the one before was answered, so a dead address costs one timeout and not `count` of them.
///
/// # Errors
/// `PermissionDenied` without `CAP_NET_RAW`; `InvalidArgument` for options that can never work. What the network says is a [`Verdict`], not an error.
pub fn ping(addr: IpAddr, options: &PingOptions, cancel: &dyn Fn() -> bool) -> Result<PingReport> {
    validate(&[addr], options)?;
    let to = sys::socket_addr(addr, 0, options.zone.as_deref())?;
    let token = options.token.map_or_else(Token::random, Ok)?;
    let mut shots = vec![Shot::new(to, token); options.count.into()];
    let pace = Pace { interval: options.interval, tries: 1, window: 4096 };
    Flight::new(&mut shots, options, pace, token.id())?.fly(cancel)?;

    let sent = shots.iter().filter(|shot| shot.tries > 0).count();
    let verdicts: Vec<Verdict> = shots.into_iter().filter_map(|shot| shot.verdict).collect();
    let rtts: Vec<Duration> = verdicts.iter().filter_map(Verdict::rtt).collect();
    let best = verdicts
        .iter()
        .find(|verdict| verdict.is_reached())
        .or_else(|| verdicts.iter().find(|verdict| verdict.is_not_reached()))
        .or_else(|| verdicts.first());
    Ok(PingReport {
        sent: u32::try_from(sent).unwrap_or(u32::MAX),
        received: u32::try_from(rtts.len()).unwrap_or(u32::MAX),
        from: best.and_then(|verdict| if let Verdict::Reached(reached) = verdict { Some(reached.from) } else { None }),
        verdict: best.cloned().unwrap_or_else(|| Verdict::timeout(options.timeout)),
        rtts,
        token,
    })
}

/// Pings many addresses of both families at once from the calling thread's namespace: one verdict each, in order.
///
/// At most 256 are in flight, and what stays unanswered is asked twice more: cold neighbour tables drop packets.
///
/// # Errors
/// As [`ping`].
pub fn ping_many(addrs: &[IpAddr], options: &PingOptions, cancel: &dyn Fn() -> bool) -> Result<Vec<Verdict>> {
    validate(addrs, options)?;
    let token = options.token.map_or_else(Token::random, Ok)?;
    let mut shots = Vec::with_capacity(addrs.len());
    for (n, addr) in (0..).zip(addrs) {
        shots.push(Shot::new(sys::socket_addr(*addr, 0, options.zone.as_deref())?, token.nth(n)));
    }
    let pace = Pace { interval: Duration::ZERO, tries: ASKED, window: 256 };
    Flight::new(&mut shots, options, pace, token.id())?.fly(cancel)?;
    Ok(shots.into_iter().map(|shot| shot.verdict.unwrap_or_else(|| Verdict::timeout(options.timeout))).collect())
}

fn validate(addrs: &[IpAddr], options: &PingOptions) -> Result<()> {
    let bad = |message: String, hint: &str| Err(Error::new(Kind::InvalidArgument, message).hint(hint));
    if options.count == 0 {
        return bad("a ping of no packets proves nothing".into(), "`count` is at least 1");
    }
    if !(Token::SIZE..=65_507).contains(&options.size) {
        return bad(format!("a ping cannot carry {} bytes", options.size), "`size` goes from 16 to 65507");
    }
    if options.ttl == Some(0) {
        return bad("a hop limit of 0 cannot be sent".into(), "`ttl` goes from 1 to 255");
    }
    if let Some(addr) = addrs.iter().find(|addr| addr.is_unspecified()) {
        return bad(format!("`{addr}` means any address"), "name the address to reach");
    }
    if let Some(source) = options.source
        && let Some(addr) = addrs.iter().find(|addr| addr.is_ipv4() != source.is_ipv4())
    {
        return bad(format!("`{addr}` cannot be reached from `{source}`"), "source and target must be of one family");
    }
    Ok(())
}

/// One probe.
#[derive(Clone)]
struct Shot {
    to: SocketAddr,
    token: Token,
    tries: u32,
    first: Option<Instant>,
    /// Whether a packet of it is in the air and still waited for.
    live: bool,
    verdict: Option<Verdict>,
}

impl Shot {
    fn new(to: SocketAddr, token: Token) -> Self {
        Self { to, token, tries: 0, first: None, live: false, verdict: None }
    }
}

/// When to send.
struct Pace {
    interval: Duration,
    tries: u32,
    window: usize,
}

/// One packet in the air.
struct Aloft {
    seq: u16,
    shot: usize,
    deadline: Instant,
}

/// Many probes in the air.
struct Flight<'a> {
    lines: Vec<Line>,
    shots: &'a mut [Shot],
    options: &'a PingOptions,
    pace: Pace,
    id: u16,
    next_seq: u16,
    /// What still has to be sent, by index.
    queue: VecDeque<usize>,
    /// What was sent, oldest first; one timeout for all, so the front is due first.
    aloft: VecDeque<Aloft>,
    /// Which shot a sequence number belongs to and when it left. A late answer to a first try counts too.
    by_seq: HashMap<u16, (usize, Instant)>,
    unanswered: usize,
}

/// How often the caller is asked whether to stop.
const SLICE: Duration = Duration::from_millis(20);

impl<'a> Flight<'a> {
    fn new(shots: &'a mut [Shot], options: &'a PingOptions, pace: Pace, id: u16) -> Result<Self> {
        let mut lines = Vec::new();
        for v6 in [false, true] {
            if shots.iter().any(|shot| shot.to.is_ipv6() == v6) {
                match Line::open(v6, options)? {
                    Ok(line) => lines.push(line),
                    Err(not) => {
                        for shot in shots.iter_mut().filter(|shot| shot.to.is_ipv6() == v6) {
                            shot.verdict = Some(Verdict::NotReached(not.clone()));
                        }
                    }
                }
            }
        }
        let queue = (0..shots.len()).filter(|n| shots[*n].verdict.is_none()).collect();
        let (aloft, by_seq) = (VecDeque::new(), HashMap::new());
        Ok(Self { lines, shots, options, pace, id, next_seq: 1, queue, aloft, by_seq, unanswered: 0 })
    }

    /// Sends and receives until every shot has its verdict.
    fn fly(mut self, cancel: &dyn Fn() -> bool) -> Result<()> {
        let mut next_send = Instant::now();
        let mut data = vec![0; self.options.size + 128];
        loop {
            self.listen(&mut data);
            let now = Instant::now();
            self.expire(now);
            let mut blocked = false;
            // Some at a time, so that answers are taken in between.
            for _ in 0..64 {
                if self.unanswered >= self.pace.window || Instant::now() < next_send {
                    break;
                }
                let Some(n) = self.queue.pop_front() else { break };
                if self.shots[n].verdict.is_some() {
                    continue;
                }
                if !self.send(n) {
                    self.queue.push_front(n);
                    blocked = true;
                    break;
                }
                next_send = Instant::now() + self.pace.interval;
            }
            if self.queue.is_empty() && self.unanswered == 0 {
                return Ok(());
            }
            if cancel() {
                for shot in self.shots.iter_mut().filter(|shot| shot.verdict.is_none()) {
                    shot.verdict = Some(Verdict::cancelled(shot.first.map_or(Duration::ZERO, |at| at.elapsed())));
                }
                return Ok(());
            }
            let now = Instant::now();
            let mut pause = SLICE;
            if let Some(front) = self.aloft.front() {
                pause = pause.min(front.deadline.saturating_duration_since(now));
            }
            if blocked {
                pause = pause.min(Duration::from_millis(1));
            } else if !self.queue.is_empty() && self.unanswered < self.pace.window {
                pause = pause.min(next_send.saturating_duration_since(now));
            }
            let fds: Vec<_> = self.lines.iter().map(|line| (line.socket.as_fd(), PollFlags::IN)).collect();
            sys::wait(&fds, pause)?;
        }
    }

    /// Sends one packet. `false` if the kernel has no room just now.
    fn send(&mut self, n: usize) -> bool {
        let shot = &mut self.shots[n];
        let Some(line) = self.lines.iter().find(|line| line.v6 == shot.to.is_ipv6()) else { return true };
        let seq = self.next_seq;
        let bytes = packet::echo_request(line.v6, self.id, seq, shot.token.bytes(), self.options.size);
        let now = Instant::now();
        let sent = line.send(&bytes, shot.to);
        if matches!(sent, Err(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR)) {
            return false;
        }
        shot.tries += 1;
        shot.first.get_or_insert(now);
        self.next_seq = self.next_seq.wrapping_add(1);
        match sent {
            Ok(()) => {
                self.by_seq.insert(seq, (n, now));
                self.aloft.push_back(Aloft { seq, shot: n, deadline: now + self.options.timeout });
                shot.live = true;
                self.unanswered += 1;
            }
            Err(errno) => {
                let mtu = if errno == libc::EMSGSIZE { line.local_mtu() } else { None };
                shot.verdict = Some(Verdict::NotReached(NotReached::local(errno, mtu, now.elapsed())));
            }
        }
        true
    }

    /// Gives up on packets that are due.
    fn expire(&mut self, now: Instant) {
        while let Some(front) = self.aloft.front() {
            let done = self.shots[front.shot].verdict.is_some() || !self.by_seq.contains_key(&front.seq);
            if !done && front.deadline > now {
                return;
            }
            let n = front.shot;
            self.aloft.pop_front();
            if done {
                continue;
            }
            self.unanswered = self.unanswered.saturating_sub(1);
            let shot = &mut self.shots[n];
            shot.live = false;
            if shot.tries < self.pace.tries {
                self.queue.push_back(n);
            } else {
                shot.verdict = Some(Verdict::timeout(shot.first.map_or(Duration::ZERO, |at| now - at)));
            }
        }
    }

    /// Takes in answers and errors.
    fn listen(&mut self, data: &mut [u8]) {
        // Bounded, so that a flood cannot keep us from the deadlines.
        for line in 0..self.lines.len() {
            for _ in 0..4096 {
                let Some(reply) = self.lines[line].receive(self.id, data) else { break };
                let Some((n, at)) = self.by_seq.get(&reply.seq).copied() else { continue };
                let shot = &self.shots[n];
                let ours = reply.token == *shot.token.bytes()
                    // Whoever answers for another address did not get there; only a multicast has many to answer.
                    && (reply.from == shot.to.ip() || shot.to.ip().is_multicast());
                if ours {
                    let reached = Reached { rtt: at.elapsed(), from: reply.from, local: reply.local };
                    self.settle(n, Verdict::Reached(reached));
                }
            }
            for _ in 0..4096 {
                let Some(queued) = sys::next_error(&self.lines[line].socket) else { break };
                self.trouble(&queued);
            }
        }
    }

    /// An ICMP error: it holds the packet it is about, at least its ICMP header.
    fn trouble(&mut self, queued: &sys::Queued) {
        if queued.error.origin == Origin::Local {
            return;
        }
        let Some(echo) = packet::echo(&queued.data) else { return };
        let asked = if queued.error.origin == Origin::Icmp6 { ECHO_REQUEST_V6 } else { ECHO_REQUEST };
        if echo.kind != asked || echo.id != self.id {
            return;
        }
        let Some((n, at)) = self.by_seq.get(&echo.seq).copied() else { return };
        let shot = &self.shots[n];
        let token = shot.token.bytes();
        let common = token.len().min(echo.payload.len());
        if queued.to.is_some_and(|to| to != shot.to.ip()) || echo.payload[..common] != token[..common] {
            return;
        }
        let not = NotReached::queued(&queued.error, at.elapsed());
        // The path's MTU is known now, and the kernel fragments the second try.
        if not.reason == Reason::TooBig && !self.options.dont_fragment && shot.tries < self.pace.tries.max(2) {
            if self.by_seq.remove(&echo.seq).is_some() && self.shots[n].verdict.is_none() {
                self.unanswered = self.unanswered.saturating_sub(1);
                self.shots[n].live = false;
                self.queue.push_front(n);
            }
            return;
        }
        self.settle(n, Verdict::NotReached(not));
    }

    /// The first verdict stands; but an answer outweighs an error.
    fn settle(&mut self, n: usize, verdict: Verdict) {
        let shot = &mut self.shots[n];
        match &shot.verdict {
            None => {
                self.unanswered -= usize::from(std::mem::take(&mut shot.live).min(self.unanswered > 0));
                shot.verdict = Some(verdict);
            }
            Some(Verdict::NotReached(_)) if verdict.is_reached() => shot.verdict = Some(verdict),
            Some(_) => {}
        }
    }
}

/// A raw socket of one family.
struct Line {
    socket: Socket,
    v6: bool,
}

/// An echo reply to one of our requests.
struct Reply {
    from: IpAddr,
    local: IpAddr,
    seq: u16,
    token: [u8; Token::SIZE],
}

impl Line {
    /// The outer error is ours, the inner one the network's: no such source address.
    fn open(v6: bool, options: &PingOptions) -> Result<Result<Self, NotReached>> {
        let protocol = if v6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let socket = match sys::open(v6, Type::RAW, protocol) {
            Err(error) if error.kind() == Kind::Unsupported => {
                return Ok(Err(NotReached::local(libc::EAFNOSUPPORT, None, Duration::ZERO)));
            }
            other => other?,
        };
        let set_up = || -> std::io::Result<()> {
            sys::only_icmp_types(&socket, v6, &[if v6 { ECHO_REPLY_V6 } else { ECHO_REPLY }])?;
            sys::tell_errors(&socket, v6)?;
            if v6 {
                sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                let discover = if options.dont_fragment { libc::IPV6_PMTUDISC_DO } else { libc::IPV6_PMTUDISC_WANT };
                sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, discover)?;
                if options.dont_fragment {
                    sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
                }
            } else {
                // Without it a broadcast address would be EACCES, which is the word for a `prohibit` route.
                socket.set_broadcast(true)?;
                let discover = if options.dont_fragment { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
                sys::set_int(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover)?;
            }
            if let Some(ttl) = options.ttl {
                if v6 { socket.set_unicast_hops_v6(ttl.into()) } else { socket.set_ttl_v4(ttl.into()) }?;
            }
            Ok(())
        };
        set_up().map_err(|error| sys::failed("cannot set up a raw socket", &error))?;
        if let Some(mark) = options.mark {
            socket.set_mark(mark).map_err(|error| sys::failed("cannot set the mark", &error))?;
        }
        sys::shape(&socket, v6, options.tos, options.device.as_deref())?;
        sys::roomy(&socket);
        if let Some(source) = options.source {
            let source = sys::socket_addr(source, 0, options.zone.as_deref())?;
            if let Err(error) = socket.bind(&SockAddr::from(source)) {
                return match error.raw_os_error() {
                    Some(errno @ libc::EADDRNOTAVAIL) => Ok(Err(NotReached::local(errno, None, Duration::ZERO))),
                    _ => Err(sys::failed(&format!("cannot send from `{}`", source.ip()), &error)),
                };
            }
        }
        Ok(Ok(Self { socket, v6 }))
    }

    /// Sends, or says with which errno the kernel refused *this* packet.
    fn send(&self, bytes: &[u8], to: SocketAddr) -> Result<(), i32> {
        let to = SockAddr::from(to);
        let mut last = 0;
        // A pending error of an earlier packet would be reported for this one (sock_error() in sock_alloc_send_skb): clear it, and believe only an error that comes back.
        for _ in 0..2 {
            let _ = self.socket.take_error();
            match self.socket.send_to(bytes, &to) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.raw_os_error().unwrap_or(libc::EIO),
            }
        }
        Err(last)
    }

    /// The MTU that a local EMSGSIZE was about.
    fn local_mtu(&self) -> Option<u32> {
        // Answers to other packets that are passed over here are only errors, and only of this very moment.
        let found = sys::next_error(&self.socket)?;
        (found.error.origin == Origin::Local).then_some(found.error.info)
    }

    /// The next echo reply that is about our id.
    fn receive(&self, id: u16, data: &mut [u8]) -> Option<Reply> {
        let (mut name, mut control) = ([0; 128], [0; 128]);
        let mut troubles = 0;
        loop {
            let got = match sys::receive(&self.socket, 0, &mut name, &mut control, data) {
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                // A pending error; its story is in the error queue.
                Err(_) if troubles < 16 => {
                    troubles += 1;
                    continue;
                }
                Err(_) => return None,
            };
            let reply = (|| {
                let bytes = data.get(..got.data)?;
                let (from, local, bytes) = if self.v6 {
                    let from = packet::sockaddr(name.get(..got.name)?)?.ip();
                    let local = packet::local_address(control.get(..got.control)?).map_or(sys::any(true), |(ip, _)| ip);
                    (from, local, bytes)
                } else {
                    let (from, local, rest) = packet::ipv4(bytes)?;
                    (from.into(), local.into(), rest)
                };
                let echo = packet::echo(bytes)?;
                let kind = if self.v6 { ECHO_REPLY_V6 } else { ECHO_REPLY };
                let token = echo.payload.get(..Token::SIZE)?.try_into().ok()?;
                (echo.kind == kind && echo.id == id).then_some(Reply { from, local, seq: echo.seq, token })
            })();
            if reply.is_some() {
                return reply;
            }
        }
    }
}
