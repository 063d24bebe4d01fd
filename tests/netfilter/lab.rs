//! Three namespaces and real packets between them, to see what the kernel's filters really do.
//!
//! ```text
//!   client                        router                          server
//!   [eth0 10.1.0.2 fd01::2]──[c0 10.1.0.1, .9 fd01::1]
//!                             [s0 10.2.0.1, .9 fd02::1]──[eth0 10.2.0.2, .3 fd02::2, ::3]
//!   [eth1 10.3.0.2]──[b1 ┐ br0 10.3.0.1 ┌ b2]────────────[eth1 10.3.0.3]
//! ```

use std::io::Write as _;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::exec::netns::NetnsFile;

/// The ports that somebody listens on in each namespace.
pub(super) const PORTS: [u16; 6] = [22, 53, 80, 443, 8080, 9000];

/// A place of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Client,
    Router,
    Server,
}

/// What a packet is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Request,
    Reply,
    /// An ICMP error or a TCP reset.
    Notice,
}

/// A packet that was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: At,
    pub(super) sort: Sort,
    pub(super) token: u32,
    /// Source and destination; `None` where the kernel hides the header.
    pub(super) tuple: Option<(IpAddr, u16, IpAddr, u16)>,
}

/// A packet to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shot {
    pub(super) from: At,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// 1, 6, 17, 58.
    pub(super) proto: u8,
    pub(super) sport: u16,
    pub(super) dport: u16,
    pub(super) token: u32,
}

struct Place {
    at: At,
    file: NetnsFile,
    send: [Socket; 2],
    /// Sockets that see packets, and whether they see the IP header.
    see: Vec<(Socket, Header)>,
    _listeners: Vec<TcpListener>,
    echoes: Vec<UdpSocket>,
}

#[derive(Clone, Copy, PartialEq)]
enum Header {
    Ip,
    /// None: of this protocol.
    Bare(u8),
}

/// The three namespaces.
pub(super) struct Lab {
    places: [Place; 3],
}

/// Makes a namespace that lives as long as the file.
fn netns() -> Option<NetnsFile> {
    std::thread::spawn(|| {
        // SAFETY: only the network namespace of this thread, which ends here, changes.
        #[allow(deprecated)]
        rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).ok()?;
        NetnsFile::current().ok()
    })
    .join()
    .ok()?
}

/// Runs a program in a namespace with words on its stdin; what it complains about when it fails.
pub(super) fn run(netns: &NetnsFile, words: &[&str], stdin: &str) -> Result<String, String> {
    netns
        .within(|| {
            let mut child = Command::new(words[0])
                .args(&words[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| format!("{}: {error}", words[0]))?;
            let _ = child.stdin.take().map(|mut pipe| pipe.write_all(stdin.as_bytes()));
            let done = child.wait_with_output().map_err(|error| error.to_string())?;
            if done.status.success() {
                Ok(String::from_utf8_lossy(&done.stdout).into_owned())
            } else {
                Err(String::from_utf8_lossy(&done.stderr).into_owned())
            }
        })
        .unwrap_or_else(|error| Err(error.to_string()))
}

fn sh(netns: &NetnsFile, lines: &str) {
    run(netns, &["sh", "-e"], lines).unwrap_or_else(|error| panic!("{error}\n{lines}"));
}

impl Lab {
    /// `None`, with the reason printed, where namespaces cannot be made.
    pub(super) fn new() -> Option<Self> {
        let (Some(client), Some(router), Some(server)) = (netns(), netns(), netns()) else {
            println!("skipped: it needs namespaces of its own, and so root");
            return None;
        };
        let path = |file: &NetnsFile| {
            use std::os::fd::{AsFd as _, AsRawFd as _};
            format!("/proc/{}/fd/{}", std::process::id(), file.as_fd().as_raw_fd())
        };
        let (c, s) = (path(&client), path(&server));
        for netns in [&client, &router, &server] {
            sh(netns, "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
                       sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0 net.ipv4.tcp_synack_retries=0 || true
                       ip link set lo up");
        }
        sh(&router, &format!(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip link add c0 index 11 address 02:00:00:00:00:11 type veth peer name eth0 index 10 address 02:00:00:00:00:10 netns {c}
             ip link add s0 index 13 address 02:00:00:00:00:13 type veth peer name eth0 index 14 address 02:00:00:00:00:14 netns {s}
             ip link add br0 index 15 address 02:00:00:00:00:15 type bridge mcast_snooping 0
             ip link add b1 index 16 type veth peer name eth1 index 12 address 02:00:00:00:00:12 netns {c}
             ip link add b2 index 17 type veth peer name eth1 index 18 address 02:00:00:00:00:18 netns {s}
             ip link set b1 master br0; ip link set b2 master br0
             ip addr add 10.1.0.1/24 dev c0; ip addr add 10.1.0.9/24 dev c0; ip addr add fd01::1/64 dev c0 nodad
             ip addr add 10.2.0.1/24 dev s0; ip addr add 10.2.0.9/24 dev s0; ip addr add fd02::1/64 dev s0 nodad
             ip addr add 10.3.0.1/24 dev br0
             for dev in c0 s0 b1 b2 br0; do ip link set $dev up; done
             ip route add 10.96.0.30 via 10.2.0.2 dev s0
             ip neigh replace 10.1.0.2 lladdr 02:00:00:00:00:10 dev c0; ip neigh replace fd01::2 lladdr 02:00:00:00:00:10 dev c0
             for it in 10.2.0.2 10.2.0.3 fd02::2 fd02::3; do ip neigh replace $it lladdr 02:00:00:00:00:14 dev s0; done"
        ));
        sh(&client, "ip addr add 10.1.0.2/24 dev eth0; ip addr add fd01::2/64 dev eth0 nodad; ip addr add 10.3.0.2/24 dev eth1
             ip link set eth0 up; ip link set eth1 up
             ip route add default via 10.1.0.1; ip -6 route add default via fd01::1
             for it in 10.1.0.1 10.1.0.9 fd01::1; do ip neigh replace $it lladdr 02:00:00:00:00:11 dev eth0; done
             ip neigh replace 10.3.0.3 lladdr 02:00:00:00:00:18 dev eth1; ip neigh replace 10.3.0.1 lladdr 02:00:00:00:00:15 dev eth1");
        sh(&server, "ip addr add 10.2.0.2/24 dev eth0; ip addr add 10.2.0.3/24 dev eth0
             ip addr add fd02::2/64 dev eth0 nodad; ip addr add fd02::3/64 dev eth0 nodad; ip addr add 10.3.0.3/24 dev eth1
             ip link set eth0 up; ip link set eth1 up
             ip route add default via 10.2.0.1; ip -6 route add default via fd02::1
             for it in 10.2.0.1 10.2.0.9 fd02::1; do ip neigh replace $it lladdr 02:00:00:00:00:13 dev eth0; done
             ip neigh replace 10.3.0.2 lladdr 02:00:00:00:00:12 dev eth1; ip neigh replace 10.3.0.1 lladdr 02:00:00:00:00:15 dev eth1");
        let places = [(At::Client, client), (At::Router, router), (At::Server, server)];
        Some(Self { places: places.map(|(at, file)| Place::new(at, file)) })
    }

    /// The namespace of a place.
    pub(super) fn netns(&self, at: At) -> &NetnsFile {
        &self.places[at as usize].file
    }

    /// Sends packets and looks what becomes of them: until all that is `wanted` was seen, or as long as `patience`.
    pub(super) fn fire(&self, shots: &[Shot], wanted: usize, patience: Duration) -> Vec<Seen> {
        let mut seen = Vec::new();
        for place in &self.places {
            place.look(&mut Vec::new());
        }
        for shot in shots {
            // A packet that the output hook drops is an error of this call.
            let packet = shot.bytes();
            let sock = &self.places[shot.from as usize].send[usize::from(shot.dst.is_ipv6())];
            let _ = sock.send_to(&packet, &SockAddr::from(SocketAddr::new(shot.dst, 0)));
        }
        let end = Instant::now() + patience;
        let mut calm = 0;
        loop {
            let before = seen.len();
            for place in &self.places {
                place.look(&mut seen);
            }
            calm = if seen.len() == before { calm + 1 } else { 0 };
            if calm > 2 && seen.len() >= wanted || Instant::now() > end {
                return seen;
            }
            if calm > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Place {
    fn new(at: At, file: NetnsFile) -> Self {
        let sockets = file.within(|| {
            let raw = |domain, protocol: i32| {
                let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol))).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.set_recv_buffer_size(1 << 20);
                socket
            };
            // Protocol 255 takes packets with their headers.
            let send = [raw(Domain::IPV4, 255), raw(Domain::IPV6, 255)];
            let see = if at == At::Router {
                // What has passed the input hook.
                let four = [1, 6, 17].map(|protocol| (raw(Domain::IPV4, protocol), Header::Ip));
                let six = [58u8, 6, 17].map(|protocol| (raw(Domain::IPV6, protocol.into()), Header::Bare(protocol)));
                four.into_iter().chain(six).collect()
            } else {
                // What comes in.
                [0x0800u16, 0x86dd]
                    .map(|kind| {
                        let protocol = Protocol::from(i32::from(kind.to_be()));
                        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).unwrap();
                        socket.set_nonblocking(true).unwrap();
                        let _ = socket.set_recv_buffer_size(1 << 20);
                        (socket, Header::Ip)
                    })
                    .into_iter()
                    .collect()
            };
            let everywhere = |port: u16| SocketAddr::from(([0u16; 8], port));
            let listeners = PORTS.map(|port| TcpListener::bind(everywhere(port)).unwrap());
            let echoes = PORTS.map(|port| {
                let socket = UdpSocket::bind(everywhere(port)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            });
            (send, see, listeners.into(), echoes.into())
        });
        let (send, see, listeners, echoes) = sockets.unwrap();
        Self { at, file, send, see, _listeners: listeners, echoes }
    }

    fn look(&self, seen: &mut Vec<Seen>) {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
        for (socket, header) in &self.see {
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                // SAFETY: the kernel has written that many bytes.
                let bytes: Vec<u8> = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
                let found = match header {
                    Header::Ip => read(self.at, &bytes),
                    Header::Bare(protocol) => read_inner(*protocol, &bytes).map(|(sort, token, ..)| Seen {
                        at: self.at,
                        sort,
                        token,
                        tuple: None,
                    }),
                };
                let Some(found) = found else { continue };
                if let (Sort::Request, Some((src, sport, dst, dport))) = (found.sort, found.tuple) {
                    self.echo(
                        &bytes,
                        found.token,
                        Shot { from: self.at, src: dst, dst: src, proto: 17, sport: dport, dport: sport, token: 0 },
                    );
                }
                seen.push(found);
            }
        }
        // Where the header is hidden, the socket of the port answers.
        let mut buffer = [0u8; 2048];
        for socket in &self.echoes {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let hidden =
                    matches!(from.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none()) && self.at == At::Router;
                if hidden && length > 4 && buffer[4] == 0 {
                    buffer[4] = 1;
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        }
    }

    /// Answers a UDP packet.
    fn echo(&self, bytes: &[u8], token: u32, answer: Shot) {
        if (bytes[0] >> 4 == 4 && bytes[9] == 17) || (bytes[0] >> 4 == 6 && bytes[6] == 17) {
            let packet = answer.udp(token, 1);
            let sock = &self.send[usize::from(answer.dst.is_ipv6())];
            let _ = sock.send_to(&packet, &SockAddr::from(SocketAddr::new(answer.dst, 0)));
        }
    }
}

/// What a packet with its IP header is.
fn read(at: At, bytes: &[u8]) -> Option<Seen> {
    let (protocol, src, dst, rest) = match bytes.first()? >> 4 {
        4 => {
            let ip = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
            (*bytes.get(9)?, ip(12)?, ip(16)?, bytes.get(usize::from(bytes[0] & 15) * 4..)?)
        }
        6 => {
            let ip = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?));
            (*bytes.get(6)?, ip(8)?, ip(24)?, bytes.get(40..)?)
        }
        _ => return None,
    };
    let (sort, token, sport, dport) = read_inner(protocol, rest)?;
    Some(Seen { at, sort, token, tuple: Some((src, sport, dst, dport)) })
}

fn read_inner(protocol: u8, bytes: &[u8]) -> Option<(Sort, u32, u16, u16)> {
    let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let reply = |is: bool| if is { Sort::Reply } else { Sort::Request };
    match (protocol, *bytes.first()?) {
        (17, _) => Some((reply(*bytes.get(12)? == 1), word(8)?, short(0)?, short(2)?)),
        (6, _) => {
            let before = |word: u32| word.wrapping_sub(1);
            let (sort, token) = match bytes.get(13)? & 0x17 {
                2 => (Sort::Request, word(4)?),
                0x12 => (Sort::Reply, before(word(8)?)),
                0x14 => (Sort::Notice, before(word(8)?)),
                _ => return None,
            };
            Some((sort, token, short(0)?, short(2)?))
        }
        (1, 8) | (58, 128) => Some((Sort::Request, word(8)?, 0, 0)),
        (1, 0) | (58, 129) => Some((Sort::Reply, word(8)?, 0, 0)),
        (1, 3) | (58, 1) => read(At::Client, bytes.get(8..)?).map(|inner| (Sort::Notice, inner.token, 0, 0)),
        _ => None,
    }
}

impl Shot {
    fn bytes(&self) -> Vec<u8> {
        match self.proto {
            17 => self.udp(self.token, 0),
            6 => {
                let mut tcp = [self.sport.to_be_bytes(), self.dport.to_be_bytes()].concat();
                tcp.extend(self.token.to_be_bytes());
                tcp.extend([0, 0, 0, 0, 10 << 4, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
                // What Linux sends: MSS, SACK, time stamps, window scale.
                tcp.extend([2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
                self.wrap(tcp, 16)
            }
            proto => {
                let kind = if proto == 1 { 8 } else { 128 };
                let mut icmp = vec![kind, 0, 0, 0];
                icmp.extend(self.sport.to_be_bytes());
                icmp.extend([0, 1]);
                icmp.extend(self.token.to_be_bytes());
                icmp.resize(8 + 56, 0);
                self.wrap(icmp, 2)
            }
        }
    }

    fn udp(&self, token: u32, reply: u8) -> Vec<u8> {
        let mut udp = [self.sport.to_be_bytes(), self.dport.to_be_bytes(), 24u16.to_be_bytes(), [0, 0]].concat();
        udp.extend(token.to_be_bytes());
        udp.push(reply);
        udp.resize(24, 0);
        Self { proto: 17, ..*self }.wrap(udp, 6)
    }

    /// The checksum into its place, and the IP header before it.
    fn wrap(&self, mut inner: Vec<u8>, sum_at: usize) -> Vec<u8> {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let (src, dst) = (octets(self.src), octets(self.dst));
        let length = u16::try_from(inner.len()).unwrap();
        let pseudo =
            if self.proto == 1 { vec![] } else { [&src[..], &dst, &[0, self.proto], &length.to_be_bytes()].concat() };
        let all = [pseudo, inner.clone()].concat();
        let mut sum: u32 =
            all.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        inner[sum_at..sum_at + 2].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
        let header = if self.src.is_ipv4() {
            let total = (length + 20).to_be_bytes();
            [&[0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, self.proto, 0, 0][..], &src, &dst].concat()
        } else {
            [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[self.proto, 64], &src, &dst].concat()
        };
        [header, inner].concat()
    }
}
