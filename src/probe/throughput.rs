//! How much goes through in a second, over a TCP connection of our own.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::sys;
use crate::patience::scaled;
use crate::{Error, Kind, Result};

/// How often a wait looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);
/// How long the connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// A socket that waits in the calling thread's namespace for the sender; the kernel chooses the port when it is 0.
///
/// # Errors
/// What keeps it from binding.
pub(crate) fn receiver(addr: IpAddr, port: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind(SocketAddr::new(addr, port));
    let bound = bound.and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    bound.map_err(|error| sys::failed("cannot listen for the measurement", &error))
}

/// A connection from the calling thread's namespace.
///
/// # Errors
/// `CheckFailed` when there is no way.
pub(crate) fn sender(to: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect_timeout(&to, scaled(CONNECT)).map_err(|error| {
        Error::new(Kind::CheckFailed, format!("there is no connection to {to} to measure: {error}"))
            .hint("does a firewall drop the port? `port` chooses another")
    })
}

/// Sends for `time` as fast as it goes. Bytes that arrived, and how long they took.
///
/// # Errors
/// The sockets fail.
pub(crate) fn measure(
    listener: &TcpListener,
    mut stream: TcpStream,
    time: Duration,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<(u64, Duration)> {
    let fail = |error: std::io::Error| sys::failed("the measurement broke off", &error);
    let done = AtomicBool::new(false);
    stream.set_write_timeout(Some(TICK)).map_err(fail)?;
    std::thread::scope(|scope| {
        let receive = scope.spawn(|| receive(listener, &done, cancel));
        let begun = Instant::now();
        let block = vec![0x5a; 128 << 10];
        let sent = loop {
            if begun.elapsed() >= time || cancel() {
                break Ok(());
            }
            match stream.write(&block) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => break Err(fail(error)),
            }
        };
        // What is under way when the time is over does not count, or a slow link would look fast.
        done.store(true, Ordering::Relaxed);
        drop(stream);
        let received = receive.join().unwrap_or_else(|_| Err(Error::new(Kind::Internal, "a worker thread panicked")));
        sent.and(received)
    })
}

fn receive(listener: &TcpListener, done: &AtomicBool, cancel: &(dyn Fn() -> bool + Sync)) -> Result<(u64, Duration)> {
    let fail = |error: std::io::Error| sys::failed("the measurement broke off", &error);
    let over = || done.load(Ordering::Relaxed) || cancel();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !over() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(fail(error)),
        }
    };
    stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(TICK))).map_err(fail)?;
    let begun = Instant::now();
    let (mut bytes, mut buffer) = (0_u64, vec![0; 128 << 10]);
    while !over() {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok((bytes, begun.elapsed()))
}
