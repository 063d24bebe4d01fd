//! A GET of HTTP/1.0, so that a check of a web server needs no `curl`.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::{Error, Kind, Result};

/// How much of an answer is read, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// How often a wait looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// The server.
    pub at: SocketAddr,
    /// `10.0.0.1:8080`, as the request names it.
    pub host: String,
    /// `/path?query`.
    pub path: String,
}

impl std::str::FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |message: String| {
            Error::new(Kind::InvalidArgument, message).hint("http://10.0.0.1:8080/path, http://[2001:db8::1]/")
        };
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(bad(format!("`{text}` does not begin with `http://`")));
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad(format!("the path of `{text}` holds a blank or a control character")));
        }
        let ip = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let at = host.parse::<SocketAddr>().ok().or_else(|| Some(SocketAddr::new(ip(host)?, 80)));
        let at = at.ok_or_else(|| bad(format!("`{host}` is not an address: names are not looked up")))?;
        Ok(Self { at, host: host.to_owned(), path: path.to_owned() })
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 200, 404, …
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came, lossily decoded.
    pub body: String,
}

/// Gets a page from the calling thread's namespace.
///
/// # Errors
/// `CommandFailed` with the reason when nobody answers, `TimedOut`, `ToolOutput` when the answer is not HTTP.
pub(crate) fn get(url: &Url, timeout: Duration, cancel: &dyn Fn() -> bool) -> Result<Answer> {
    let begun = Instant::now();
    let refused = |error: &std::io::Error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => silent(url, timeout),
        _ => Error::new(Kind::CommandFailed, format!("`{}` does not answer: {error}", url.host)),
    };
    let mut stream = TcpStream::connect_timeout(&url.at, timeout.max(TICK)).map_err(|error| refused(&error))?;
    let set_up = stream.set_read_timeout(Some(TICK)).and_then(|()| stream.set_write_timeout(Some(timeout.max(TICK))));
    set_up.map_err(|error| refused(&error))?;
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: netwright\r\nConnection: close\r\n\r\n",
        url.path, url.host
    );
    stream.write_all(request.as_bytes()).map_err(|error| refused(&error))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(whole) = length(&bytes)
            && bytes.len() >= whole
        {
            bytes.truncate(whole);
            break;
        }
        if begun.elapsed() >= timeout || cancel() {
            return Err(if bytes.is_empty() { silent(url, timeout) } else { unfinished(url, timeout, &bytes) });
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if bytes.len() + count > MAX_BYTES => {
                let mib = MAX_BYTES >> 20;
                return Err(Error::new(
                    Kind::ToolOutput,
                    format!("the answer of `{}` is longer than {mib} MiB", url.host),
                ));
            }
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            // What came before the reset may be whole.
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(refused(&error)),
        }
    }
    parse(&bytes).ok_or_else(|| {
        Error::new(Kind::ToolOutput, format!("`{}` does not speak HTTP", url.host)).note("said", beginning(&bytes))
    })
}

/// The beginning of an answer, in quotes.
fn beginning(bytes: &[u8]) -> String {
    let start: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
    format!("{start:?}")
}

/// It has answered, but not to the end.
fn unfinished(url: &Url, timeout: Duration, bytes: &[u8]) -> Error {
    let time = humantime::format_duration(timeout);
    let rest = if head(bytes).is_some() { "the rest of the page" } else { "the empty line that ends the headers" };
    let error = Error::new(Kind::TimedOut, format!("`{}` answers, but {rest} does not come within {time}", url.host))
        .note("said", beginning(bytes));
    // What a script wrote between back-ticks.
    if bytes.windows(4).any(|window| window == b"\\r\\n") {
        error.hint("that is a backslash and a letter: `\\r\\n` stands in double quotes")
    } else if head(bytes).is_some() && length(bytes).is_none() {
        error.hint("without `Content-Length` a page ends where the server closes the connection, which a listener with a banner does not")
    } else {
        error
    }
}

fn silent(url: &Url, timeout: Duration) -> Error {
    let time = humantime::format_duration(timeout);
    Error::new(Kind::TimedOut, format!("`{}` does not answer within {time}", url.host))
}

/// Where the head ends.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// How long the whole answer is, if its head says so.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = head(bytes)?;
    let headers = parse(&bytes[..head])?.headers;
    let (_, length) = headers.into_iter().find(|(name, _)| name == "content-length")?;
    head.checked_add(length.parse().ok()?)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = head(bytes)?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.lines();
    let mut first = lines.next()?.split_whitespace();
    if !first.next()?.starts_with("HTTP/") {
        return None;
    }
    let status = first.next()?.parse().ok()?;
    let header =
        |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()));
    let headers = lines.filter_map(header).collect();
    Some(Answer { status, headers, body: String::from_utf8_lossy(&bytes[end..]).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_addresses() {
        let url: Url = "http://10.0.0.1:8080/a?b".parse().unwrap();
        assert_eq!((url.at.to_string().as_str(), url.path.as_str()), ("10.0.0.1:8080", "/a?b"));
        let url: Url = "http://[2001:db8::1]".parse().unwrap();
        assert_eq!((url.at.to_string().as_str(), url.path.as_str()), ("[2001:db8::1]:80", "/"));
        for bad in ["https://10.0.0.1/", "http://name/", "http:///", "10.0.0.1", "http://10.0.0.1/a b"] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_are_read_with_and_without_a_length() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nX-A:  b \r\n\r\ngone").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (404, "gone"));
        assert_eq!(answer.headers, [("x-a".to_owned(), "b".to_owned())]);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokGET"), Some(40));
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_none());
    }
}
