//! TCP and UDP probes.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use socket2::{Protocol, SockAddr, Socket, Type};

use super::packet::Origin;
use super::ping::{PingOptions, ping};
use super::sys;
use super::target::{Proto, Target};
use super::verdict::{NotReached, Reached, Reason, Verdict};
use super::witness::Token;
use crate::patience::scaled;
use crate::{Error, Kind, Result};

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// The address to come from.
    pub source: Option<IpAddr>,
    /// The firewall mark of the packets.
    pub mark: Option<u32>,
    /// The port to come from; the kernel's choice unless told.
    pub sport: Option<u16>,
    /// The type of service of the packets, a traffic class with IPv6.
    pub tos: Option<u8>,
    /// The link that they may leave by.
    pub device: Option<String>,
    /// What a UDP datagram carries; random unless told. A [`Witness`](super::Witness) sees it arrive even where nobody answers.
    pub token: Option<Token>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: scaled(Duration::from_secs(2)),
            source: None,
            mark: None,
            sport: None,
            tos: None,
            device: None,
            token: None,
        }
    }
}

/// What came of a TCP or UDP probe. A connection stays open until this is dropped, so that its other half can be looked for.
#[derive(Debug)]
pub struct Established {
    verdict: Verdict,
    token: Token,
    ends: Option<(SocketAddr, SocketAddr)>,
    open: Option<Socket>,
}

impl Established {
    /// What came of it.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The token that a UDP or ICMP probe carried.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// Our end and the far end of a connection that was reached (TCP, UDP). Swapped they are what
    /// [`has_connection`](super::has_connection) looks for in the other namespace.
    #[must_use]
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.ends
    }

    /// Closes the connection and hands out the verdict.
    #[must_use]
    pub fn into_verdict(self) -> Verdict {
        self.verdict.clone()
    }
}

impl Drop for Established {
    /// Says goodbye properly: FIN, then read what the peer still had to say until it closes too. Closing with unread data, or before late data arrives,
    /// would send a reset. A peer that goes on talking is waited for two round trips and 20 ms, never more than 200 ms.
    fn drop(&mut self) {
        let Some(mut socket) = self.open.take() else { return };
        if socket.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let patience = self.verdict.rtt().unwrap_or_default() * 2 + Duration::from_millis(20);
        let deadline = Instant::now() + patience.min(scaled(Duration::from_millis(200)));
        let mut waste = [0; 16_384];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match socket.read(&mut waste) {
                Ok(0) => return,
                _ if left.is_zero() => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if sys::wait(&[(socket.as_fd(), PollFlags::IN)], left).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// How often the caller is asked whether to stop.
const SLICE: Duration = Duration::from_millis(20);

/// Probes a target from the calling thread's namespace.
///
/// TCP: a connection. UDP: a datagram with a token, and any datagram that comes back from there proves arrival; netwright's own listener echoes.
/// An open UDP service that does not answer cannot be told from a firewall that drops: that is inconclusive. An ICMP target is pinged once.
///
/// # Errors
/// `InvalidArgument` for a target that can never work, `NotFound` for an unknown zone, and what the system says when it has no socket.
/// What the network says is a [`Verdict`], not an error.
pub fn connect(target: &Target, options: &ConnectOptions, cancel: &dyn Fn() -> bool) -> Result<Established> {
    let token = options.token.map_or_else(Token::random, Ok)?;
    if target.proto == Proto::Icmp {
        let ping_options = PingOptions {
            timeout: options.timeout,
            source: options.source,
            mark: options.mark,
            tos: options.tos,
            device: options.device.clone(),
            token: Some(token),
            ..PingOptions::for_target(target)
        };
        let verdict = ping(target.addr, &ping_options, cancel)?.verdict;
        return Ok(Established { verdict, token, ends: None, open: None });
    }
    let bad = |message: String, hint: &str| Err(Error::new(Kind::InvalidArgument, message).hint(hint));
    if target.port == 0 {
        return bad(format!("`{target}` has port 0"), "ports go from 1 to 65535");
    }
    if target.addr.is_unspecified() {
        return bad(format!("`{}` means any address", target.addr), "name the address to reach");
    }
    if let Some(source) = options.source
        && source.is_ipv4() != target.addr.is_ipv4()
    {
        return bad(format!("`{target}` cannot be reached from `{source}`"), "both must be of one family");
    }
    let to = sys::socket_addr(target.addr, target.port, target.zone.as_deref())?;
    let tcp = target.proto == Proto::Tcp;
    let (kind, protocol) = if tcp { (Type::STREAM, Protocol::TCP) } else { (Type::DGRAM, Protocol::UDP) };
    let socket = match sys::open(to.is_ipv6(), kind, protocol) {
        Err(error) if error.kind() == Kind::Unsupported => {
            let not = NotReached::local(libc::EAFNOSUPPORT, None, Duration::ZERO);
            return Ok(Established { verdict: Verdict::NotReached(not), token, ends: None, open: None });
        }
        other => other?,
    };
    sys::tell_errors(&socket, to.is_ipv6()).map_err(|error| sys::failed("cannot ask for errors", &error))?;
    if !tcp && to.is_ipv4() {
        // As for ping: EACCES shall mean a `prohibit` route.
        let _ = socket.set_broadcast(true);
    }
    if let Some(mark) = options.mark {
        socket.set_mark(mark).map_err(|error| sys::failed("cannot set the mark", &error))?;
    }
    sys::shape(&socket, to.is_ipv6(), options.tos, options.device.as_deref())?;
    let mut call = Call { socket, to, began: Instant::now(), timeout: options.timeout };
    let verdict = call.run(tcp, (options.source, options.sport), target.zone.as_deref(), token, cancel)?;
    let ends = if verdict.is_reached() { call.local().map(|local| (local, to)) } else { None };
    let open = (tcp && verdict.is_reached()).then_some(call.socket);
    Ok(Established { verdict, token, ends, open })
}

/// Sends one UDP datagram from a socket that takes answers of everybody, and tells from which address of that port one came; none when nobody
/// answers in time.
///
/// # Errors
/// As [`connect`].
pub fn answered_by(target: &Target, options: &ConnectOptions, cancel: &dyn Fn() -> bool) -> Result<Option<IpAddr>> {
    let to = sys::socket_addr(target.addr, target.port, target.zone.as_deref())?;
    let socket = sys::open(to.is_ipv6(), Type::DGRAM, Protocol::UDP)?;
    if let Some(mark) = options.mark {
        socket.set_mark(mark).map_err(|error| sys::failed("cannot set the mark", &error))?;
    }
    sys::shape(&socket, to.is_ipv6(), options.tos, options.device.as_deref())?;
    let source = options.source.unwrap_or_else(|| sys::any(to.is_ipv6()));
    let from = sys::socket_addr(source, options.sport.unwrap_or(0), target.zone.as_deref())?;
    let token = options.token.map_or_else(Token::random, Ok)?;
    let sent = socket.bind(&SockAddr::from(from)).and_then(|()| socket.send_to(token.bytes(), &SockAddr::from(to)));
    if sent.is_err() {
        return Ok(None);
    }
    let deadline = Instant::now() + options.timeout;
    let mut data = [std::mem::MaybeUninit::uninit(); 2048];
    while !cancel() {
        match socket.recv_from(&mut data) {
            Ok((_, who)) => {
                if let Some(who) = who.as_socket().filter(|who| who.port() == target.port) {
                    return Ok(Some(who.ip()));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Ok(None);
                }
                sys::wait(&[(socket.as_fd(), PollFlags::IN)], left.min(SLICE))?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// One probe under way.
struct Call {
    socket: Socket,
    to: SocketAddr,
    began: Instant,
    timeout: Duration,
}

impl Call {
    fn run(
        &mut self,
        tcp: bool,
        (source, sport): (Option<IpAddr>, Option<u16>),
        zone: Option<&str>,
        token: Token,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Verdict> {
        let any = || if self.to.is_ipv6() { IpAddr::from([0u16; 8]) } else { IpAddr::from([0u8; 4]) };
        if source.is_some() || sport.is_some() {
            let source = source.unwrap_or_else(any);
            let from = sys::socket_addr(source, sport.unwrap_or(0), zone)?;
            match self.socket.bind(&SockAddr::from(from)) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => return Ok(self.refused(&error)),
                Err(error) => return Err(sys::failed(&format!("cannot come from `{source}`"), &error)),
            }
        }
        self.began = Instant::now();
        match self.socket.connect(&SockAddr::from(self.to)) {
            Ok(()) if tcp => return Ok(self.reached()),
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Ok(self.refused(&error)),
        }
        if tcp { self.handshake(cancel) } else { self.datagram(token, cancel) }
    }

    fn handshake(&self, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        loop {
            if let Some(verdict) = self.pause(PollFlags::OUT, self.timeout, cancel)? {
                return Ok(verdict);
            }
            match self.socket.take_error() {
                Ok(Some(error)) | Err(error) => return Ok(self.refused(&error)),
                // The handshake is over exactly when there is a peer.
                Ok(None) if self.socket.peer_addr().is_ok() => return Ok(self.reached()),
                Ok(None) => {}
            }
        }
    }

    fn datagram(&self, token: Token, cancel: &dyn Fn() -> bool) -> Result<Verdict> {
        let mut again = false;
        let mut data = [0; 2048];
        if let Some(verdict) = self.speak(token) {
            return Ok(verdict);
        }
        loop {
            if let Some(not) = self.queued() {
                return Ok(Verdict::NotReached(not));
            }
            match sys::receive(&self.socket, 0, &mut [], &mut [], &mut data) {
                Ok(_) => return Ok(self.reached()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Ok(self.refused(&error)),
            }
            // One datagram may get lost on a cold neighbour table: ask once more at half time.
            let until = if again { self.timeout } else { self.timeout / 2 };
            if let Some(verdict) = self.pause(PollFlags::IN, until, cancel)? {
                if again || verdict.reason() == Some(Reason::Cancelled) {
                    return Ok(verdict);
                }
                again = true;
                if let Some(verdict) = self.speak(token) {
                    return Ok(verdict);
                }
            }
        }
    }

    /// Sends the token. A verdict if the kernel does not let it out, or has meanwhile heard why it must fail.
    fn speak(&self, token: Token) -> Option<Verdict> {
        match self.socket.send(token.bytes()) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR)) => {
                Some(self.refused(&error))
            }
            _ => None,
        }
    }

    /// Waits for an event. A verdict if the time is up or the caller had enough.
    fn pause(&self, flags: PollFlags, until: Duration, cancel: &dyn Fn() -> bool) -> Result<Option<Verdict>> {
        let passed = self.began.elapsed();
        if cancel() {
            return Ok(Some(Verdict::cancelled(passed)));
        }
        let left = until.saturating_sub(passed);
        if left.is_zero() {
            return Ok(Some(Verdict::timeout(passed)));
        }
        sys::wait(&[(self.socket.as_fd(), flags)], left.min(SLICE))?;
        Ok(None)
    }

    fn reached(&self) -> Verdict {
        let local = self.local().map_or(sys::any(self.to.is_ipv6()), |local| local.ip());
        Verdict::Reached(Reached { rtt: self.began.elapsed(), from: self.to.ip(), local })
    }

    fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The ICMP error that is waiting.
    fn queued(&self) -> Option<NotReached> {
        (0..64)
            .map_while(|_| sys::next_error(&self.socket))
            .find(|queued| queued.error.origin != Origin::Other)
            .map(|queued| NotReached::queued(&queued.error, self.began.elapsed()))
    }

    /// What an error of a system call means: the error queue knows more than the errno.
    fn refused(&self, error: &std::io::Error) -> Verdict {
        let after = self.began.elapsed();
        if let Some(not) = self.queued() {
            return Verdict::NotReached(not);
        }
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let mut not = NotReached::local(errno, None, after);
        match not.reason {
            // The kernel's own patience ended before ours.
            Reason::Timeout => return Verdict::timeout(after),
            // Without an ICMP error it can only have been a segment with RST, from there or in its name.
            Reason::Refused | Reason::Reset => not.by = Some(self.to.ip()),
            _ => {}
        }
        Verdict::NotReached(not)
    }
}
