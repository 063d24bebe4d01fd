//! A TCP and UDP echo service, and one of pages over HTTP, so that a check needs no other program. One thread, one poll loop, bounded.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use socket2::{Protocol, SockAddr, Socket, Type};

use super::site::{Site, Talk};
use super::target::{Endpoint, Proto};
use super::{packet, sys};
use crate::patience::scaled;
use crate::{Error, Kind, Result};

/// How long a program may take to become itself, with copies of our sockets until then.
const STARTING: Duration = Duration::from_millis(100);
/// How many TCP connections are open at once; more wait in the backlog.
const MAX_CONNECTIONS: usize = 1024;
/// How much of what a peer sent waits to be echoed; then it is not read from until it reads.
const MAX_PENDING: usize = 64 * 1024;
/// How many requests are remembered.
const REQUESTS_MAX: usize = 10_000;
/// The poll loop's name for its wake-up call, beyond all listeners and connections.
const WAKE: u64 = u64::MAX;

/// What a listener has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// TCP connections accepted since the start.
    pub accepted: u64,
    /// UDP datagrams received since the start.
    pub datagrams: u64,
    /// TCP connections that are open now.
    pub open: usize,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    accepted: AtomicU64,
    datagrams: AtomicU64,
    open: AtomicUsize,
    /// What was asked for over HTTP: `GET /path`.
    requests: Mutex<Vec<String>>,
    /// How often somebody asked for all to be counted, and up to which of these it was.
    asked: AtomicU64,
    answered: AtomicU64,
}

/// What outlives a listener: whether anybody came.
#[derive(Clone, Debug)]
pub struct Visitors(Arc<Shared>);

impl Visitors {
    /// Whether a connection was accepted or a datagram received.
    #[must_use]
    pub fn any(&self) -> bool {
        self.0.accepted.load(Ordering::Relaxed) + self.0.datagrams.load(Ordering::Relaxed) > 0
    }
}

/// A service that echoes. It lives in the namespace it was bound in until it is stopped or dropped.
#[derive(Debug)]
pub struct Listener {
    endpoints: Vec<Endpoint>,
    shared: Arc<Shared>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds all endpoints in the calling thread's namespace, or none, and starts to serve: TCP gets the banner, then its own bytes back; UDP gets its datagrams back.
    ///
    /// Without an address an endpoint takes both families.
    ///
    /// # Errors
    /// `Busy` when an endpoint is taken, `NotFound` when its address is not there, `PermissionDenied` for low ports without the capability, `InvalidArgument` without endpoints.
    pub fn bind(endpoints: &[Endpoint], banner: Option<Vec<u8>>) -> Result<Self> {
        Self::begin(endpoints, banner.unwrap_or_default(), None)
    }

    /// The same with pages over HTTP instead of an echo.
    ///
    /// # Errors
    /// As [`Listener::bind`]; `InvalidArgument` for UDP.
    pub fn serve(endpoint: &Endpoint, site: Site) -> Result<Self> {
        if endpoint.proto != Proto::Tcp {
            return Err(Error::new(Kind::InvalidArgument, format!("pages are served over TCP, not on `{endpoint}`"))
                .hint("ns.serve(\"tcp/80\", \"hello\")"));
        }
        Self::begin(std::slice::from_ref(endpoint), Vec::new(), Some(site))
    }

    fn begin(endpoints: &[Endpoint], banner: Vec<u8>, site: Option<Site>) -> Result<Self> {
        if endpoints.is_empty() {
            return Err(
                Error::new(Kind::InvalidArgument, "a listener needs an endpoint").hint("for example `tcp/8080`")
            );
        }
        let mut doors = Vec::new();
        let mut bound = Vec::new();
        for endpoint in endpoints {
            let socket = bind(endpoint)?;
            let port =
                socket.local_addr().ok().and_then(|addr| addr.as_socket()).map_or(endpoint.port, |addr| addr.port());
            bound.push(Endpoint { port, ..endpoint.clone() });
            doors.push(Door { socket, tcp: endpoint.proto == Proto::Tcp });
        }
        let trouble = |error: rustix::io::Errno| sys::failed("cannot start a listener", &error.into());
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(trouble)?);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(trouble)?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN).map_err(trouble)?;
        for (n, door) in (0..).zip(&doors) {
            epoll::add(&epoll, &door.socket, epoll::EventData::new_u64(n), epoll::EventFlags::IN).map_err(trouble)?;
        }
        let shared = Arc::new(Shared::default());
        let service = Service {
            epoll,
            next_key: doors.len() as u64,
            doors,
            banner,
            site,
            guests: HashMap::new(),
            limit: limit(),
            accepting: true,
            shared: Arc::clone(&shared),
            wake: Arc::clone(&wake),
        };
        let thread = thread::Builder::new()
            .name("netwright-listen".into())
            .spawn(move || service.run())
            .map_err(|error| sys::failed("cannot start a listener", &error))?;
        Ok(Self { endpoints: bound, shared, wake, thread: Some(thread) })
    }

    /// What it listens on; where the kernel chose a port, that one.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Waits until everybody who came before now is counted; at most a second.
    pub fn settle(&self) {
        let asked = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        let deadline = std::time::Instant::now() + Duration::from_secs(1);
        while self.shared.answered.load(Ordering::Acquire) < asked
            && self.is_running()
            && std::time::Instant::now() < deadline
        {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// A handle that tells whether anybody came, also when it is closed.
    #[must_use]
    pub fn visitors(&self) -> Visitors {
        Visitors(Arc::clone(&self.shared))
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            accepted: self.shared.accepted.load(Ordering::Relaxed),
            datagrams: self.shared.datagrams.load(Ordering::Relaxed),
            open: self.shared.open.load(Ordering::Relaxed),
        }
    }

    /// What was asked for over HTTP, in order: `GET /path`; the first 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().map(|all| all.clone()).unwrap_or_default()
    }

    /// Whether it still serves.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Closes everything and waits until it is closed. The ports are free when it returns. Stopping twice is fine.
    pub fn stop(&mut self) -> Counts {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.counts()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Half of the files that the process may open, so that a crowd of peers cannot take them all.
fn limit() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(1, MAX_CONNECTIONS)
}

/// A socket bound to an endpoint.
/// A socket that is bound and listens. A program that is being started has copies of our sockets until it becomes that program (`O_CLOEXEC`), one of a
/// listener that was just ended among them: a port is taken when it still is a moment later.
fn bind(endpoint: &Endpoint) -> Result<Socket> {
    let begun = Instant::now();
    loop {
        match bind_once(endpoint) {
            Err(error) if error.kind() == Kind::Busy && begun.elapsed() < scaled(STARTING) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

fn bind_once(endpoint: &Endpoint) -> Result<Socket> {
    if endpoint.proto == Proto::Icmp {
        return Err(Error::new(Kind::InvalidArgument, "a listener listens on TCP or UDP")
            .hint("the kernel itself answers pings"));
    }
    let Some(addr) = endpoint.addr else {
        let both = bind_at(endpoint, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), endpoint.port));
        return match both {
            // No IPv6 here.
            Err((Kind::Unsupported | Kind::NotFound, _)) => {
                bind_at(endpoint, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), endpoint.port))
                    .map_err(|(_, error)| error)
            }
            other => other.map_err(|(_, error)| error),
        };
    };
    bind_at(endpoint, sys::socket_addr(addr, endpoint.port, endpoint.zone.as_deref())?).map_err(|(_, error)| error)
}

fn bind_at(endpoint: &Endpoint, at: SocketAddr) -> Result<Socket, (Kind, Error)> {
    let tcp = endpoint.proto == Proto::Tcp;
    let (kind, protocol) = if tcp { (Type::STREAM, Protocol::TCP) } else { (Type::DGRAM, Protocol::UDP) };
    let socket = sys::open(at.is_ipv6(), kind, protocol).map_err(|error| (error.kind(), error))?;
    let set_up = || -> std::io::Result<()> {
        if at.is_ipv6() {
            socket.set_only_v6(endpoint.addr.is_some())?;
        }
        if tcp {
            // Connections of an earlier listener may still be in TIME_WAIT.
            socket.set_reuse_address(true)?;
        } else if at.is_ipv6() {
            sys::set_int(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            sys::set_int(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        }
        socket.bind(&SockAddr::from(at))?;
        if tcp {
            socket.listen(1024)?;
        }
        Ok(())
    };
    match set_up() {
        Ok(()) => Ok(socket),
        Err(error) => {
            let plain = sys::failed(&format!("cannot listen on `{endpoint}`"), &error);
            let kind = plain.kind();
            let error = match (error.raw_os_error(), endpoint.addr) {
                (Some(libc::EADDRINUSE), _) => Error::new(
                    Kind::Busy,
                    format!("cannot listen on `{endpoint}`: the port is taken in this namespace"),
                )
                .hint(format!("`ss -{}lnp` there shows by whom", if tcp { 't' } else { 'u' })),
                (Some(libc::EADDRNOTAVAIL), Some(addr)) => {
                    let error = Error::new(
                        Kind::NotFound,
                        format!("cannot listen on `{endpoint}`: this namespace has no address {addr}"),
                    );
                    if addr.is_ipv6() {
                        error.hint("an IPv6 address cannot be used while it is tentative, for one to two seconds after it is set")
                    } else {
                        error.hint("give a link of this namespace the address first")
                    }
                }
                (Some(libc::EACCES), _) if at.port() < 1024 => {
                    plain.hint("ports below 1024 need CAP_NET_BIND_SERVICE in the namespace")
                }
                _ => plain,
            };
            Err((kind, error))
        }
    }
}

/// A bound socket.
struct Door {
    socket: Socket,
    tcp: bool,
}

/// An accepted connection.
struct Guest {
    socket: Socket,
    pending: Vec<u8>,
    /// The peer has finished.
    finished: bool,
    interest: epoll::EventFlags,
    /// What is said over HTTP; otherwise it is an echo.
    talk: Option<Talk>,
}

/// The poll loop.
struct Service {
    epoll: OwnedFd,
    doors: Vec<Door>,
    guests: HashMap<u64, Guest>,
    next_key: u64,
    banner: Vec<u8>,
    site: Option<Site>,
    limit: usize,
    accepting: bool,
    shared: Arc<Shared>,
    wake: Arc<OwnedFd>,
}

impl Service {
    fn run(mut self) {
        // Whether closed doors are tried again after a while: out of files is nobody's event.
        let a_while = Timespec { tv_sec: 0, tv_nsec: Duration::from_millis(50).subsec_nanos().into() };
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 65_536];
        while !self.shared.stop.load(Ordering::Relaxed) {
            events.clear();
            let late = self.late();
            let timeout = if self.accepting { late } else { Some(late.map_or(a_while, |late| late.min(a_while))) };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let mut asked = None;
            for event in &events {
                let (key, flags) = (event.data.u64(), event.flags);
                let door = usize::try_from(key).ok().filter(|n| *n < self.doors.len());
                match door {
                    Some(n) if self.doors[n].tcp => self.accept(n),
                    Some(n) => self.echo(n, &mut buffer),
                    None if key == WAKE => {
                        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
                        asked = Some(self.shared.asked.load(Ordering::Acquire));
                    }
                    None => self.serve(key, flags, &mut buffer),
                }
            }
            self.say_what_is_due();
            if !self.accepting && self.guests.len() < self.limit {
                self.set_accepting(true);
            }
            if let Some(asked) = asked {
                // Who came before the question counts, whatever this round was woken for first.
                for n in 0..self.doors.len() {
                    if self.doors[n].tcp { self.accept(n) } else { self.echo(n, &mut buffer) }
                }
                self.shared.answered.store(asked, Ordering::Release);
            }
        }
        // A goodbye to those who are still here: FIN now, the rest when the sockets are dropped.
        for guest in self.guests.values() {
            let _ = guest.socket.shutdown(std::net::Shutdown::Both);
        }
        self.shared.open.store(0, Ordering::Relaxed);
    }

    /// How long it is until something is due.
    fn late(&self) -> Option<Timespec> {
        self.site.as_ref()?;
        let first = self.guests.values().filter_map(|guest| guest.talk.as_ref()?.next()).min()?;
        // Not a moment too early: the kernel rounds down to milliseconds.
        let left = first.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        Timespec::try_from(left).ok()
    }

    /// Sends what is due by now.
    fn say_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due = |guest: &Guest| guest.talk.as_ref().and_then(Talk::next).is_some_and(|at| at <= now);
        let due: Vec<u64> = self.guests.iter().filter(|(_, guest)| is_due(guest)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(guest) = self.guests.get_mut(&key) {
                guest.speak(now);
            }
            self.serve(key, epoll::EventFlags::empty(), &mut []);
        }
    }

    fn set_accepting(&mut self, accepting: bool) {
        let flags = if accepting { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        for (n, door) in (0..).zip(&self.doors).filter(|(_, door)| door.tcp) {
            let _ = epoll::modify(&self.epoll, &door.socket, epoll::EventData::new_u64(n), flags);
        }
        self.accepting = accepting;
    }

    /// Lets in who is waiting, some at a time, so that those inside are served too.
    fn accept(&mut self, n: usize) {
        for _ in 0..64 {
            if self.guests.len() >= self.limit {
                self.set_accepting(false);
                return;
            }
            let socket = match self.doors[n].socket.accept() {
                Ok((socket, _)) => socket,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return,
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.set_accepting(false);
                        return;
                    }
                    // accept(2): network errors of the new connection are passed on here; the next one may be fine.
                    _ => continue,
                },
            };
            self.shared.accepted.fetch_add(1, Ordering::Relaxed);
            let _ = socket.set_tcp_nodelay(true);
            let key = self.next_key;
            self.next_key += 1;
            let mut guest = Guest {
                socket,
                pending: self.banner.clone(),
                finished: false,
                interest: epoll::EventFlags::IN,
                talk: self.site.as_ref().map(|_| Talk::default()),
            };
            if guest.socket.set_nonblocking(true).is_err() || guest.flush().is_err() {
                continue;
            }
            guest.interest = guest.wanted();
            if epoll::add(&self.epoll, &guest.socket, epoll::EventData::new_u64(key), guest.interest).is_ok() {
                self.guests.insert(key, guest);
                self.shared.open.store(self.guests.len(), Ordering::Relaxed);
            }
        }
    }

    /// Sends datagrams back, from the address that they were sent to.
    fn echo(&self, n: usize, buffer: &mut [u8]) {
        let socket = &self.doors[n].socket;
        let (mut name, mut control) = ([0; 128], [0; 128]);
        for _ in 0..64 {
            let got = match sys::receive(socket, 0, &mut name, &mut control, buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => continue,
            };
            self.shared.datagrams.fetch_add(1, Ordering::Relaxed);
            let from = name.get(..got.name).and_then(packet::sockaddr);
            // Port 0 cannot be answered; a datagram from our own port could go round for ever.
            let own = socket.local_addr().ok().and_then(|addr| addr.as_socket()).map(|addr| addr.port());
            if from.is_none_or(|from| from.port() == 0 || own == Some(from.port()) && sys::is_own(unmapped(from.ip())))
            {
                continue;
            }
            let answer = packet::answer_from(packet::local_address(&control[..got.control]));
            let _ = sys::send(socket, &name[..got.name], &answer, &buffer[..got.data]);
        }
    }

    fn serve(&mut self, key: u64, flags: epoll::EventFlags, buffer: &mut [u8]) {
        let Some(guest) = self.guests.get_mut(&key) else { return };
        let mut alive = guest.flush().is_ok();
        if alive
            && !guest.finished
            && flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR)
        {
            alive = guest.take(buffer, self.site.as_ref(), &self.shared).is_ok() && guest.flush().is_ok();
        }
        if alive && !guest.is_done() {
            let wanted = guest.wanted();
            if wanted == guest.interest {
                return;
            }
            guest.interest = wanted;
            if epoll::modify(&self.epoll, &guest.socket, epoll::EventData::new_u64(key), wanted).is_ok() {
                return;
            }
        }
        self.guests.remove(&key);
        self.shared.open.store(self.guests.len(), Ordering::Relaxed);
    }
}

fn unmapped(addr: IpAddr) -> IpAddr {
    addr.to_canonical()
}

impl Guest {
    /// What to be woken for.
    fn wanted(&self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        if !self.finished && self.pending.len() < MAX_PENDING && self.talk.as_ref().is_none_or(Talk::takes) {
            flags |= epoll::EventFlags::IN;
        }
        if !self.pending.is_empty() {
            flags |= epoll::EventFlags::OUT;
        }
        flags
    }

    /// Whether nothing more will be said to the peer.
    fn is_done(&self) -> bool {
        let all_said =
            self.talk.as_ref().map_or(self.finished, |talk| talk.is_over() || self.finished && talk.next().is_none());
        all_said && self.pending.is_empty()
    }

    /// Makes what is due by now pending.
    fn speak(&mut self, now: Instant) {
        if let Some(talk) = &mut self.talk {
            self.pending.extend(talk.say(now));
        }
    }

    /// Reads what the peer sent.
    fn take(&mut self, buffer: &mut [u8], site: Option<&Site>, shared: &Shared) -> std::io::Result<()> {
        if self.pending.len() >= MAX_PENDING {
            return Ok(());
        }
        match self.socket.read(buffer) {
            Ok(0) => self.finished = true,
            Ok(got) => match (&mut self.talk, site) {
                (Some(talk), Some(site)) => {
                    let now = Instant::now();
                    let asked = talk.hear(&buffer[..got], site, now);
                    if let Ok(mut all) = shared.requests.lock() {
                        let room = REQUESTS_MAX.saturating_sub(all.len());
                        all.extend(asked.into_iter().take(room).map(|asked| asked.0));
                    }
                    self.speak(now);
                }
                _ => self.pending.extend(&buffer[..got]),
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes what is pending.
    fn flush(&mut self) -> std::io::Result<()> {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    self.pending.drain(..sent);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_when_it_still_is_a_moment_later() {
        let some: Endpoint = "tcp/127.0.0.1:80".parse().unwrap();
        // The kernel chooses the port.
        let first = bind(&Endpoint { port: 0, ..some.clone() }).unwrap();
        let port = first.local_addr().unwrap().as_socket().unwrap().port();
        let same = Endpoint { port, ..some };
        assert_eq!(bind(&same).unwrap_err().kind(), Kind::Busy);
        let copy = first.try_clone().unwrap();
        drop(first);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                drop(copy);
            });
            bind(&same).unwrap();
        });
    }
}
