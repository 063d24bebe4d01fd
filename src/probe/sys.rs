//! The few system calls that neither socket2 nor rustix wraps: the only unsafe code of the probes.
//!
//! Every function here is safe to call with any argument: lengths are taken from the slices that are handed in.

use std::io;
use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

use super::packet::{self, ExtendedError};
use crate::{Error, Kind, Result};

/// `SOL_RAW`, `ICMP_FILTER` of `linux/icmp.h`; libc does not have them.
const SOL_RAW: i32 = 255;
const ICMP_FILTER: i32 = 1;
/// `ICMPV6_FILTER` of `linux/icmpv6.h`.
const ICMPV6_FILTER: i32 = 1;

/// How much one `recvmsg` brought.
pub(super) struct Got {
    /// Bytes of data.
    pub(super) data: usize,
    /// Bytes of control messages.
    pub(super) control: usize,
    /// Bytes of the sender's address.
    pub(super) name: usize,
}

/// `setsockopt` with any plain value.
pub(super) fn set_option(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the length describe `value`, which outlives the call; the kernel only reads it.
    let done = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `setsockopt` with an integer.
pub(super) fn set_int(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option(fd, level, name, &value.to_ne_bytes())
}

/// `recvmsg` into three buffers.
pub(super) fn receive(
    fd: impl AsFd,
    flags: i32,
    name: &mut [u8],
    control: &mut [u8],
    data: &mut [u8],
) -> io::Result<Got> {
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: all zeros is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    // SAFETY: every pointer in `header` is paired with the length of the live, exclusively borrowed slice it came from.
    let got =
        unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut header, flags | libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    #[allow(clippy::unnecessary_cast)] // the type differs between C libraries
    Ok(Got {
        data: got.min(data.len()),
        control: (header.msg_controllen as usize).min(control.len()),
        name: (header.msg_namelen as usize).min(name.len()),
    })
}

/// `sendmsg` to the address that a `recvmsg` brought, with control messages.
pub(super) fn send(fd: impl AsFd, name: &[u8], control: &[u8], data: &[u8]) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: all zeros is a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_ptr().cast_mut().cast();
    header.msg_namelen = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len() as _;
    }
    // SAFETY: every pointer is paired with the length of a live slice, and `sendmsg` only reads from them.
    let sent =
        unsafe { libc::sendmsg(fd.as_fd().as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Fills `buffer` with random bytes.
pub(super) fn random(buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the pointer and the length describe `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => done += got,
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}

/// What `SIOCGIFFLAGS` says of a link.
#[derive(Clone, Copy, Default)]
pub(super) struct LinkState {
    /// It is set up (`IFF_UP`).
    pub(super) up: bool,
    /// It is operational, as far as the kernel has noticed (`IFF_RUNNING`).
    pub(super) running: bool,
}

/// The state of a link of the calling thread's namespace.
pub(super) fn link_state(link: &str) -> io::Result<LinkState> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the kernel wants a terminated name.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(link.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: SIOCGIFFLAGS reads and writes one `ifreq`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful SIOCGIFFLAGS has filled in the flags.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok(LinkState { up: flags & libc::IFF_UP != 0, running: flags & libc::IFF_RUNNING != 0 })
}

/// Lets only the ICMP types in `types` through to a raw socket.
pub(super) fn only_icmp_types(socket: &Socket, v6: bool, types: &[u8]) -> io::Result<()> {
    if v6 {
        // One bit per type, set bits are blocked (struct icmp6_filter).
        let mut blocked = [u32::MAX; 8];
        for kind in types {
            blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
        }
        let bytes: Vec<u8> = blocked.iter().flat_map(|word| word.to_ne_bytes()).collect();
        set_option(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &bytes)
    } else {
        let blocked = types.iter().filter(|kind| **kind < 32).fold(u32::MAX, |all, kind| all & !(1 << kind));
        set_option(socket, SOL_RAW, ICMP_FILTER, &blocked.to_ne_bytes())
    }
}

/// A roomy receive buffer: one burst of replies must not overflow it. More than `rmem_max` needs `CAP_NET_ADMIN`; without, less is fine.
pub(super) fn roomy(socket: &Socket) {
    const ROOM: i32 = 8 << 20;
    if set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM).is_err() {
        let _ = set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, ROOM);
    }
}

/// Asks for the full story of every error: `IP_RECVERR` / `IPV6_RECVERR`.
pub(super) fn tell_errors(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 {
        set_int(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)
    } else {
        set_int(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)
    }
}

/// One entry of the error queue.
pub(super) struct Queued {
    /// What the kernel recorded.
    pub(super) error: ExtendedError,
    /// Where the packet had been sent to.
    pub(super) to: Option<IpAddr>,
    /// As much of the packet as came back, from the transport header on (raw, TCP) or the payload (UDP).
    pub(super) data: Vec<u8>,
}

/// Takes the next entry off the error queue.
pub(super) fn next_error(socket: &Socket) -> Option<Queued> {
    let (mut name, mut control, mut data) = ([0; 128], [0; 512], [0; 256]);
    loop {
        let got = receive(socket, libc::MSG_ERRQUEUE, &mut name, &mut control, &mut data).ok()?;
        // An entry that cannot be read is dropped; the queue is finite.
        if let Some(error) = packet::extended_error(control.get(..got.control)?) {
            let to = packet::sockaddr(name.get(..got.name)?).map(|addr| addr.ip());
            return Some(Queued { error, to, data: data.get(..got.data)?.to_vec() });
        }
    }
}

/// Waits until one of `fds` has something for `flags` or `timeout` has passed.
pub(super) fn wait(fds: &[(BorrowedFd<'_>, PollFlags)], timeout: Duration) -> Result<()> {
    let mut polled: Vec<_> = fds.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let timeout =
        Timespec { tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: timeout.subsec_nanos().into() };
    match poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(failed("cannot wait for packets", &error.into())),
    }
}

/// Whether `addr` is one of this namespace's own addresses.
pub(super) fn is_own(addr: IpAddr) -> bool {
    !addr.is_unspecified() && UdpSocket::bind((addr, 0)).is_ok()
}

/// `addr` with its zone as a number. Only link-local IPv6 addresses need one.
pub(super) fn socket_addr(addr: IpAddr, port: u16, zone: Option<&str>) -> Result<SocketAddr> {
    let (IpAddr::V6(v6), Some(zone)) = (addr, zone) else {
        if let IpAddr::V6(v6) = addr
            && v6.is_unicast_link_local()
        {
            return Err(Error::new(
                Kind::InvalidArgument,
                format!("`{addr}` is link-local: it needs a link to go out of"),
            )
            .hint(format!("name the link, for example `{addr}%eth0`")));
        }
        return Ok(SocketAddr::new(addr, port));
    };
    let probe = any_socket()?;
    let index = match zone.parse::<u32>() {
        Ok(index) => index,
        Err(_) => rustix::net::netdevice::name_to_index(&probe, zone).map_err(|_| {
            Error::new(Kind::NotFound, format!("no link `{zone}` in this namespace, named by `{addr}%{zone}`"))
        })?,
    };
    Ok(SocketAddrV6::new(v6, port, 0, index).into())
}

/// A socket of either family, for questions to the kernel.
fn any_socket() -> Result<Socket> {
    use socket2::{Domain, Type};
    Socket::new(Domain::IPV4, Type::DGRAM, None)
        .or_else(|_| Socket::new(Domain::IPV6, Type::DGRAM, None))
        .map_err(|error| failed("cannot open a socket", &error))
}

/// A socket of netwright's own: close-on-exec, non-blocking.
pub(super) fn open(v6: bool, kind: socket2::Type, protocol: socket2::Protocol) -> Result<Socket> {
    let domain = if v6 { socket2::Domain::IPV6 } else { socket2::Domain::IPV4 };
    let raw = kind == socket2::Type::RAW;
    let what = match (raw, v6) {
        (true, true) => "cannot open a raw IPv6 socket",
        (true, false) => "cannot open a raw IPv4 socket",
        (false, true) => "cannot open an IPv6 socket",
        (false, false) => "cannot open an IPv4 socket",
    };
    let socket = Socket::new(domain, kind, Some(protocol)).map_err(|error| {
        let out = failed(what, &error);
        match (raw, out.kind()) {
            (true, Kind::PermissionDenied) => {
                out.hint("raw sockets need CAP_NET_RAW in the namespace: run in the sandbox (the default), or as root")
            }
            (_, Kind::Unsupported) => out.hint("the kernel runs without this address family (`ipv6.disable=1`?)"),
            _ => out,
        }
    })?;
    socket.set_nonblocking(true).map_err(|error| failed(what, &error))?;
    Ok(socket)
}

/// An operating system error as netwright's own.
pub(super) fn failed(what: &str, error: &io::Error) -> Error {
    let kind = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Kind::PermissionDenied,
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => Kind::Unsupported,
        Some(libc::EADDRINUSE | libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Kind::Busy,
        Some(libc::EADDRNOTAVAIL | libc::ENOENT | libc::ENODEV) => Kind::NotFound,
        _ => Kind::CommandFailed,
    };
    Error::new(kind, format!("{what}: {error}"))
}

/// The bytes of an unspecified address, to tell "any" from "this one".
pub(super) fn any(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

const _: () = assert!(size_of_val(&[0u8; 20]) == size_of::<libc::in6_pktinfo>());

/// Sets the type of service, or traffic class, and the link of a socket.
pub(super) fn shape(socket: &Socket, v6: bool, tos: Option<u8>, device: Option<&str>) -> Result<()> {
    if let Some(tos) = tos {
        let set = if v6 { socket.set_tclass_v6(tos.into()) } else { socket.set_tos_v4(tos.into()) };
        set.map_err(|error| failed("cannot set the type of service", &error))?;
    }
    let Some(device) = device else { return Ok(()) };
    socket.bind_device(Some(device.as_bytes())).map_err(|error| {
        if error.raw_os_error() == Some(libc::ENODEV) {
            return Error::new(Kind::NotFound, format!("there is no link `{device}`")).hint("`ip link` lists them");
        }
        failed(&format!("cannot send by `{device}`"), &error)
    })
}
