//! The socket between supervisor (P0) and init (P1): signals go down it as bytes, one byte comes back when the runtime has been
//! started, and its end of file says that the supervisor is dead.
//!
//! Signals go through it rather than by `kill` because pid 1 would need a handler for each and could not tell them from those that a
//! terminal sent to the whole process group.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_setfd};

/// One end.
pub(super) struct Lifeline(UnixStream);

/// What came through.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    Bytes(Vec<u8>),
    /// The other end is gone.
    Eof,
}

impl Lifeline {
    /// The supervisor's end (closed on exec) and init's end (inherited).
    pub(super) fn pair() -> std::io::Result<(Self, Self)> {
        let (mine, theirs) = UnixStream::pair()?;
        mine.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        fcntl_setfd(&theirs, FdFlags::empty())?;
        Ok((Self(mine), Self(theirs)))
    }

    pub(super) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// From now on SIGIO tells this process that something has come: the supervisor waits for signals alone, and may have no second thread.
    pub(super) fn ring(&self) -> std::io::Result<()> {
        let fd = self.0.as_raw_fd();
        // SAFETY: flags of a descriptor that this owns are set; the signal goes to this process.
        let set = unsafe {
            libc::fcntl(fd, libc::F_SETOWN, libc::getpid()) == 0
                && libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC) == 0
        };
        if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// Takes init's end over by its number; `None` when that is no socket.
    pub(super) fn inherited(number: RawFd) -> Option<Self> {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
        if number <= 2 || !link.as_os_str().as_encoded_bytes().starts_with(b"socket:") {
            return None;
        }
        // SAFETY: the descriptor is open (its /proc entry was just read), this is the first code of a single-threaded process, which
        // opened no socket of its own, so that nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        fcntl_setfd(&fd, FdFlags::CLOEXEC).ok()?;
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(true).ok()?;
        Some(Self(stream))
    }

    /// Sends a byte; a full or broken line loses it, which only a dead peer can cause.
    pub(super) fn say(&self, byte: u8) {
        let _ = (&self.0).write(&[byte]);
    }

    pub(super) fn listen(&self) -> Heard {
        let mut buffer = [0; 64];
        loop {
            match (&self.0).read(&mut buffer) {
                Ok(0) => return Heard::Eof,
                Ok(n) => return Heard::Bytes(buffer[..n].to_vec()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::Eof,
            }
        }
    }

    /// Waits until `other`, or the line as long as there is one, has something to say.
    pub(super) fn wait(line: Option<&Self>, other: &UnixStream) {
        let lines = line.map(|line| &line.0).into_iter().chain([other]);
        let mut fds: Vec<PollFd<'_>> = lines.map(|line| PollFd::new(line, PollFlags::IN)).collect();
        // A signal (EINTR) is as good as an answer: the caller looks at everything again.
        let _ = poll(&mut fds, None);
    }
}
