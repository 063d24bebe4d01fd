//! It matters who answered: the view from the other end.
//!
//! A [`Witness`] is opened on a thread inside the namespace that *should* receive a probe, before the probe is sent; afterwards it tells whether the
//! probe's token came in there. For TCP, [`has_connection`] looks for the other half of a connection.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use socket2::{Protocol, Socket, Type};

use super::packet::{self, Connection, ECHO_REQUEST, ECHO_REQUEST_V6};
use super::sys;
use super::target::{Endpoint, Proto};
use crate::{Error, Kind, Result};

/// 16 random bytes that a probe carries, so that only its own answer counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; Token::SIZE]);

impl Token {
    /// Bytes in a token.
    pub const SIZE: usize = 16;

    /// A new random token.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; Self::SIZE];
        sys::random(&mut bytes).map_err(|error| sys::failed("cannot get random bytes", &error))?;
        Ok(Self(bytes))
    }

    /// The token for the `n`th of several probes; the 0th is the token itself.
    #[must_use]
    pub fn nth(self, n: u32) -> Self {
        let mut bytes = self.0;
        for (byte, n) in bytes[Self::SIZE - 4..].iter_mut().zip(n.to_be_bytes()) {
            *byte ^= n;
        }
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// The token at the start of a payload.
    pub(super) fn leading(payload: &[u8]) -> Option<Self> {
        Some(Self(payload.get(..Self::SIZE)?.try_into().ok()?))
    }

    /// An identifier made of it.
    pub(super) fn id(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Sees the probes that arrive in the namespace it was opened in: echo requests, and UDP datagrams to whatever port, served or not.
///
/// It sees what the firewall let in (raw sockets are served after the INPUT chain) and what is for this namespace; forwarded packets are not.
#[derive(Debug)]
pub struct Witness {
    sockets: Vec<(Socket, Sort)>,
    seen: HashSet<Token>,
    order: VecDeque<Token>,
}

/// What a raw socket delivers.
#[derive(Clone, Copy, Debug)]
struct Sort {
    v6: bool,
    udp: bool,
}

/// How many tokens are remembered.
const REMEMBER: usize = 65_536;

impl Witness {
    /// Opens one in the calling thread's namespace. It may be asked on any thread.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open() -> Result<Self> {
        let mut sockets = Vec::new();
        for (v6, udp) in [(false, false), (false, true), (true, false), (true, true)] {
            let protocol = match (v6, udp) {
                (_, true) => Protocol::UDP,
                (true, false) => Protocol::ICMPV6,
                (false, false) => Protocol::ICMPV4,
            };
            let socket = match sys::open(v6, Type::RAW, protocol) {
                // A kernel without IPv6 receives none.
                Err(error) if v6 && error.kind() == Kind::Unsupported => continue,
                other => other?,
            };
            if !udp {
                let kind = if v6 { ECHO_REQUEST_V6 } else { ECHO_REQUEST };
                sys::only_icmp_types(&socket, v6, &[kind]).map_err(|e| sys::failed("cannot filter ICMP", &e))?;
            }
            sys::roomy(&socket);
            sockets.push((socket, Sort { v6, udp }));
        }
        Ok(Self { sockets, seen: HashSet::new(), order: VecDeque::new() })
    }

    /// Whether a probe with this token has arrived, waiting for at most `timeout`.
    ///
    /// # Errors
    /// The sockets cannot be waited for.
    pub fn saw(&mut self, token: Token, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            self.listen();
            if self.seen.contains(&token) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let fds: Vec<_> = self.sockets.iter().map(|(socket, _)| (socket.as_fd(), PollFlags::IN)).collect();
            sys::wait(&fds, left)?;
        }
    }

    /// Takes in what has arrived.
    fn listen(&mut self) {
        let mut data = [0; 2048];
        for (socket, sort) in &self.sockets {
            // Bounded: a flood must not keep us from the deadline.
            for _ in 0..16_384 {
                let Ok(got) = sys::receive(socket, 0, &mut [], &mut [], &mut data) else { break };
                let Some(token) = data.get(..got.data).and_then(|bytes| sort.token(bytes)) else { continue };
                if self.seen.insert(token) {
                    self.order.push_back(token);
                    if self.order.len() > REMEMBER
                        && let Some(oldest) = self.order.pop_front()
                    {
                        self.seen.remove(&oldest);
                    }
                }
            }
        }
    }
}

impl Sort {
    /// The token in a packet, if it can hold one.
    fn token(self, bytes: &[u8]) -> Option<Token> {
        // Raw IPv4 sockets deliver the IP header too, raw IPv6 sockets do not.
        let bytes = if self.v6 { bytes } else { packet::ipv4(bytes)?.2 };
        // The UDP header and the echo header are both 8 bytes.
        if self.udp {
            return Token::leading(bytes.get(8..)?);
        }
        let echo = packet::echo(bytes)?;
        let kind = if self.v6 { ECHO_REQUEST_V6 } else { ECHO_REQUEST };
        if echo.kind == kind { Token::leading(echo.payload) } else { None }
    }
}

/// All TCP sockets of the calling thread's namespace, listening ones too.
///
/// # Errors
/// `/proc` cannot be read.
pub fn connections() -> Result<Vec<Connection>> {
    let mut out: Vec<_> = packet::tcp_table(&proc_net("tcp")?).collect();
    out.extend(packet::tcp_table(&proc_net("tcp6")?));
    Ok(out)
}

/// Whether a socket of the calling thread's namespace listens at an endpoint: of TCP one that takes connections, of UDP one without another end.
///
/// # Errors
/// `/proc` cannot be read.
pub fn listens(endpoint: &Endpoint) -> Result<bool> {
    let udp = endpoint.proto == Proto::Udp;
    let files = if udp { ["udp", "udp6"] } else { ["tcp", "tcp6"] };
    let waits = |socket: &Connection| if udp { socket.remote.port() == 0 } else { socket.is_listening() };
    let at = |socket: &Connection| {
        let ip = socket.local.ip();
        socket.local.port() == endpoint.port
            && endpoint.addr.is_none_or(|addr| ip == addr.to_canonical() || ip.is_unspecified())
    };
    for file in files {
        if packet::tcp_table(&proc_net(file)?).any(|socket| waits(&socket) && at(&socket)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the calling thread's namespace has a TCP connection with these two ends, as seen from here: `local` is the end in this namespace.
/// For the other half of an [`Established`](super::Established) connection, swap its ends. Half open connections count, listening sockets do not.
///
/// Address translation on the way changes what the far end sees; then look through [`connections`].
///
/// # Errors
/// `/proc` cannot be read.
pub fn has_connection(local: SocketAddr, remote: SocketAddr) -> Result<bool> {
    let same = |a: SocketAddr, b: SocketAddr| a.ip().to_canonical() == b.ip().to_canonical() && a.port() == b.port();
    Ok(connections()?.iter().any(|c| !c.is_listening() && same(c.local, local) && same(c.remote, remote)))
}

/// A file of `/proc/net` as the calling *thread* sees it; `/proc/net` itself is the process's first thread's. No file, no IPv6: empty.
pub(super) fn proc_net(file: &str) -> Result<String> {
    let path = format!("/proc/thread-self/net/{file}");
    match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if file.ends_with('6') && error.kind() == std::io::ErrorKind::NotFound => {
            if fs::exists("/proc/thread-self/net/dev").unwrap_or(false) {
                Ok(String::new())
            } else {
                Err(no_proc(&path))
            }
        }
        Err(_) => Err(no_proc(&path)),
    }
}

fn no_proc(path: &str) -> Error {
    Error::new(Kind::NotFound, format!("cannot read `{path}`"))
        .hint("`/proc` must be mounted, and be that of the process's own pid namespace")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_differ_and_number() {
        let token = Token::random().unwrap();
        assert_ne!(token, Token::random().unwrap());
        assert_eq!(token.nth(0), token);
        assert_ne!(token.nth(1), token.nth(256));
        assert_eq!(format!("{token:?}").len(), 32);
    }

    #[test]
    fn a_token_is_read_from_each_sort_of_packet() {
        let token = Token::random().unwrap();
        let echo = packet::echo_request(false, 1, 2, token.bytes(), 56);
        let mut ip = vec![0x45; 20];
        ip.extend(&echo);
        assert_eq!(Sort { v6: false, udp: false }.token(&ip), Some(token));
        assert_eq!(Sort { v6: false, udp: true }.token(&ip), Some(token), "the headers are as long");
        assert_eq!(Sort { v6: true, udp: false }.token(&echo), None, "not an ICMPv6 request");
        let echo = packet::echo_request(true, 1, 2, token.bytes(), 16);
        assert_eq!(Sort { v6: true, udp: false }.token(&echo), Some(token));
        assert_eq!(Sort { v6: true, udp: false }.token(&echo[..23]), None, "one byte short");
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), v6: bool, udp: bool) {
            let _ = Sort { v6, udp }.token(&bytes);
        }
    }
}
