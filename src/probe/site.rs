//! Pages over HTTP/1.1 (RFC 9110, 9112), for checks: a path is answered with a status, headers and a body, perhaps late.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long the head of a request may be, in bytes: as long as Apache's limit of all its lines.
const HEAD_MAX: usize = 64 * 1024;
/// How many headers a request may have: Apache's limit.
const HEADERS_MAX: usize = 100;
/// How many answers of one connection may be due; then it is not read from.
const DUE_MAX: usize = 64;

/// What a path is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The headers, beside `Content-Length`, and `Content-Type`, which is plain text unless it is among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How long it takes.
    pub delay: Duration,
}

impl Page {
    /// A page of plain text.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned(), delay: Duration::ZERO }
    }

    fn bytes(&self, has_body: bool, closes: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !has("content-type") {
            head.push_str("Content-Type: text/plain; charset=utf-8\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        // RFC 9110, 8.6: none with 1xx and 204.
        let bare = self.status < 200 || self.status == 204;
        if !bare {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        if closes {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        if has_body && !bare && self.status != 304 {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }
}

/// The pages of a server.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// By path, without what follows a `?`.
    pub pages: HashMap<String, Page>,
    /// What all other paths are answered with; 404 without one.
    pub other: Option<Page>,
}

/// A request that was answered.
pub(super) struct Asked(pub(super) String);

/// One connection: what has come and is no whole request yet, and what is to be sent when.
#[derive(Debug, Default)]
pub(super) struct Talk {
    heard: Vec<u8>,
    /// Bytes of a body that are still to come, and are thrown away.
    body: usize,
    due: VecDeque<(Instant, Vec<u8>)>,
    /// No request is taken any more: the connection closes when all is sent.
    last: bool,
}

impl Talk {
    /// Takes what the peer sent; the requests that it completes are answered when their time has come.
    pub(super) fn hear(&mut self, bytes: &[u8], site: &Site, now: Instant) -> Vec<Asked> {
        let mut asked = Vec::new();
        if self.last {
            return asked;
        }
        self.heard.extend(bytes);
        loop {
            let skipped = self.body.min(self.heard.len());
            self.heard.drain(..skipped);
            self.body -= skipped;
            if self.body > 0 || self.last || self.heard.is_empty() {
                return asked;
            }
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&self.heard) {
                Ok(httparse::Status::Complete(length)) => {
                    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
                    let header = |name: &str| {
                        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                        found.map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase())
                    };
                    let connection = header("connection").unwrap_or_default();
                    let keeps = if request.version == Some(0) {
                        connection.contains("keep-alive")
                    } else {
                        !connection.contains("close")
                    };
                    // The end of a body in pieces is not looked for.
                    let pieces = header("transfer-encoding").is_some();
                    let body = header("content-length").map_or(Some(0), |length| length.trim().parse().ok());
                    let path = target.split('?').next().unwrap_or_default();
                    let page = site.pages.get(path).or(site.other.as_ref()).cloned();
                    let page = page.unwrap_or_else(|| Page::text(404, &format!("{path} is not here\n")));
                    self.last = !keeps || pieces || body.is_none();
                    asked.push(Asked(format!("{method} {target}")));
                    let bytes = page.bytes(method != "HEAD", self.last);
                    let after = self.due.back().map_or(now, |(at, _)| now.max(*at));
                    self.due.push_back((after + page.delay, bytes));
                    self.body = body.unwrap_or(0);
                    self.heard.drain(..length);
                }
                Ok(httparse::Status::Partial) if self.heard.len() <= HEAD_MAX => return asked,
                Ok(httparse::Status::Partial) => self.refuse(431, now),
                Err(_) => self.refuse(400, now),
            }
        }
    }

    fn refuse(&mut self, status: u16, now: Instant) {
        self.last = true;
        self.heard.clear();
        self.due.push_back((now, Page::text(status, &format!("{}\n", reason(status))).bytes(true, true)));
    }

    /// What is to be sent by now.
    pub(super) fn say(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            out.extend(self.due.pop_front().into_iter().flat_map(|(_, bytes)| bytes));
        }
        out
    }

    /// When something is to be sent next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    /// Whether nothing more will be sent.
    pub(super) fn is_over(&self) -> bool {
        self.last && self.due.is_empty()
    }

    /// Whether more requests may come.
    pub(super) fn takes(&self) -> bool {
        !self.last && self.due.len() < DUE_MAX
    }
}

/// The phrase of a status (RFC 9110, 15); an empty one is allowed.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        418 => "I'm a teapot",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let slow = Page { delay: Duration::from_secs(1), ..Page::text(503, "late") };
        Site {
            pages: HashMap::from([("/".to_owned(), Page::text(200, "hello")), ("/slow".to_owned(), slow)]),
            other: None,
        }
    }

    fn answers(talk: &mut Talk, text: &str, now: Instant) -> (Vec<String>, String) {
        let asked = talk.hear(text.as_bytes(), &site(), now).into_iter().map(|asked| asked.0).collect();
        (asked, String::from_utf8(talk.say(now)).unwrap())
    }

    #[test]
    fn requests_are_answered_whole_in_pieces_and_several_at_once() {
        let now = Instant::now();
        let mut talk = Talk::default();
        let (asked, said) = answers(&mut talk, "GET /?a=1 HTTP/1.1\r\nHo", now);
        assert!(asked.is_empty() && said.is_empty() && talk.takes());
        let (asked, said) = answers(&mut talk, "st: a\r\n\r\nPOST /no HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", now);
        assert_eq!(asked, ["GET /?a=1", "POST /no"]);
        assert!(
            said.starts_with("HTTP/1.1 200 OK\r\n")
                && said.contains("Content-Length: 5\r\n\r\nhelloHTTP/1.1 404 Not Found"),
            "{said}"
        );
        let (asked, said) =
            answers(&mut talk, "cdeHEAD / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", now);
        assert_eq!(asked, ["HEAD /"], "nothing after the last");
        assert!(said.ends_with("Content-Length: 5\r\nConnection: close\r\n\r\n") && talk.is_over(), "{said}");
    }

    #[test]
    fn what_is_late_holds_what_comes_after_it() {
        let now = Instant::now();
        let mut talk = Talk::default();
        let (asked, said) = answers(&mut talk, "GET /slow HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n", now);
        assert_eq!((asked.len(), said.as_str()), (2, ""));
        assert_eq!(talk.next(), Some(now + Duration::from_secs(1)));
        let said = String::from_utf8(talk.say(now + Duration::from_secs(1))).unwrap();
        assert!(said.find("503") < said.find("200 OK") && talk.is_over(), "{said}");
    }

    #[test]
    fn what_is_no_request_is_refused_and_what_never_ends_too() {
        for (text, status) in [
            ("\0\x01garbage\r\n\r\n".to_owned(), "400"),
            (format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(HEAD_MAX)), "431"),
        ] {
            let mut talk = Talk::default();
            let (asked, said) = answers(&mut talk, &text, Instant::now());
            assert!(asked.is_empty() && said.starts_with(&format!("HTTP/1.1 {status} ")) && talk.is_over(), "{said}");
        }
        let mut talk = Talk::default();
        let (_, said) = answers(
            &mut talk,
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Instant::now(),
        );
        assert!(said.contains("200 OK") && said.contains("Connection: close") && talk.is_over(), "{said}");
    }
}
