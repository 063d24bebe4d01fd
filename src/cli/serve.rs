//! `netwright show --serve`: the live network as a page, for browsers on this machine. Read only; one thread for each connection, and few of them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::patience::scaled;
use crate::session::journal::now_ms;

/// How many connections are open at once; a browser takes two for each page.
const CONNECTIONS_MAX: usize = 64;
/// How long a request may be, and how long it may take.
const REQUEST_MAX: usize = 8192;
/// How many headers it may have; browsers send some twenty.
const HEADERS_MAX: usize = 100;
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How often something is sent to a page that waits for a change: whoever has gone away is noticed then.
/// How often is not scaled.
const ALIVE: Duration = Duration::from_secs(15);

/// The page as it is now. Its number grows with every change, also over a restart of the server.
#[derive(Debug)]
struct Page {
    number: u64,
    text: Arc<str>,
}

#[derive(Debug)]
struct Shared {
    page: Mutex<Page>,
    changed: Condvar,
    connections: AtomicUsize,
}

impl Shared {
    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server of one page.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    at: SocketAddr,
}

impl Server {
    /// Listens, and answers from then on.
    ///
    /// # Errors
    ///
    /// When nobody can listen there.
    pub(super) fn open(at: SocketAddr) -> Result<Self> {
        let cannot = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => Kind::PermissionDenied,
                _ => Kind::CommandFailed,
            };
            Error::new(kind, format!("cannot listen at {at}: {error}")).hint("`--serve 127.0.0.1:0` takes any port")
        };
        let listener = TcpListener::bind(at).map_err(cannot)?;
        let at = listener.local_addr().map_err(cannot)?;
        let page = Mutex::new(Page { number: now_ms(), text: Arc::from("") });
        let shared = Arc::new(Shared { page, changed: Condvar::new(), connections: AtomicUsize::new(0) });
        let (accepting, others) = (listener.try_clone().map_err(cannot)?, Arc::clone(&shared));
        let accept = move || {
            for stream in accepting.incoming() {
                match stream {
                    Ok(stream) => take(stream, &others),
                    // Out of descriptors, or the peer has gone: not at full speed.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        std::thread::Builder::new().name("http".into()).spawn(accept).map_err(cannot)?;
        Ok(Self { shared, listener, at })
    }

    /// Where it listens.
    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Shows another page from now on, made for its number.
    pub(super) fn publish(&self, make: impl FnOnce(u64) -> String) {
        let mut page = self.shared.page();
        page.number += 1;
        page.text = Arc::from(make(page.number));
        drop(page);
        self.shared.changed.notify_all();
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Answers a connection on a thread of its own.
fn take(stream: TcpStream, shared: &Arc<Shared>) {
    if shared.connections.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
        shared.connections.fetch_sub(1, Ordering::SeqCst);
        return;
    }
    let others = Arc::clone(shared);
    let answer = move || {
        // A peer that goes away in the middle of it is nobody's error.
        let _ = answer(stream, &others);
        others.connections.fetch_sub(1, Ordering::SeqCst);
    };
    if std::thread::Builder::new().name("http".into()).spawn(answer).is_err() {
        shared.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Page { with_body: bool },
    Changes,
}

/// Why it is not answered: the status, and a word about it.
type Refused = (&'static str, &'static str);

fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_write_timeout(Some(scaled(REQUEST_TIME)))?;
    let head = head(&mut stream)?;
    match asked(&head) {
        Ok(Asked::Page { with_body }) => {
            let text = Arc::clone(&shared.page().text);
            respond(&mut stream, "200 OK", "text/html", &text, with_body)
        }
        Ok(Asked::Changes) => changes(&mut stream, shared),
        Err((status, why)) => respond(&mut stream, status, "text/plain", &format!("{why}\n"), true),
    }
}

/// Reads the head of a request.
fn head(stream: &mut TcpStream) -> io::Result<String> {
    let until = Instant::now() + scaled(REQUEST_TIME);
    let mut bytes = Vec::new();
    let mut some = [0; 1024];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > REQUEST_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&some[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a request asks for. A page of somebody else's, whose name was made to lead here (DNS rebinding), asks under its own name and gets nothing.
fn asked(head: &str) -> Result<Asked, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    if !request.parse(head.as_bytes()).is_ok_and(|parsed| parsed.is_complete()) {
        return Err(("400 Bad Request", "this is HTTP/1.1"));
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    if !host.and_then(|host| std::str::from_utf8(host.value).ok()).is_some_and(|host| is_own(host.trim())) {
        return Err(("403 Forbidden", "ask for it by the address, or as localhost"));
    }
    match (method, target.split('?').next().unwrap_or_default()) {
        ("GET", "/events") => Ok(Asked::Changes),
        ("GET" | "HEAD", "/") => Ok(Asked::Page { with_body: method == "GET" }),
        ("GET" | "HEAD", _) => Err(("404 Not Found", "there is / and nothing else")),
        _ => Err(("405 Method Not Allowed", "it is read only")),
    }
}

/// Whether a host of a request is this machine for sure: an address, or `localhost`.
fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

fn respond(stream: &mut TcpStream, status: &str, kind: &str, body: &str, with_body: bool) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(if with_body { body.as_bytes() } else { b"" })
}

/// Says the number of the page, now and whenever it is another (server-sent events).
fn changes(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
          Cross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n",
    )?;
    let mut told = None;
    loop {
        let number = {
            let page = shared.page();
            let waited = shared.changed.wait_timeout_while(page, ALIVE, |page| told == Some(page.number));
            waited.unwrap_or_else(PoisonError::into_inner).0.number
        };
        if told == Some(number) {
            stream.write_all(b": still here\n\n")?;
        } else {
            stream.write_all(format!("data: {number}\n\n").as_bytes())?;
            told = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_machine_is_answered() {
        let ask = |line: &str, host: &str| asked(&format!("{line}\r\nAccept: */*\r\nhOsT: {host}\r\n\r\n"));
        assert_eq!(ask("GET / HTTP/1.1", "127.0.0.1:8080"), Ok(Asked::Page { with_body: true }));
        assert_eq!(ask("HEAD /?x HTTP/1.0", "[::1]:8080"), Ok(Asked::Page { with_body: false }));
        assert_eq!(ask("GET /events HTTP/1.1", "LocalHost"), Ok(Asked::Changes));
        for host in
            ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", ":1"]
        {
            assert_eq!(ask("GET / HTTP/1.1", host).unwrap_err().0, "403 Forbidden", "{host}");
        }
        assert_eq!(
            ask("GET /etc/passwd HTTP/1.1", "::1").unwrap_err().0,
            "403 Forbidden",
            "an IPv6 address has brackets"
        );
        assert_eq!(ask("GET /../etc/passwd HTTP/1.1", "[::1]").unwrap_err().0, "404 Not Found");
        assert_eq!(ask("POST / HTTP/1.1", "localhost").unwrap_err().0, "405 Method Not Allowed");
        assert_eq!(ask("GET /", "localhost").unwrap_err().0, "400 Bad Request");
        assert_eq!(asked("GET / HTTP/1.1\r\n\r\n").unwrap_err().0, "403 Forbidden");
        assert_eq!(asked("\r\n\r\n").unwrap_err().0, "400 Bad Request");
    }
}
