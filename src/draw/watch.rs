//! Waiting until the live network has changed.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::error::{Error, Kind, Result};
use crate::exec::netns::NETNS_DIR;
use crate::op::Where;
use crate::probe;
use crate::session::Session;

/// Not everything is announced (rules of iptables-legacy are not): as often it is looked anyway.
/// How often is not scaled.
const SLOW: Duration = Duration::from_secs(5);
/// How often it is looked when nothing is announced.
const POLLED: Duration = Duration::from_millis(500);
/// One command is many announcements: it is waited until none came for so long, but no longer than that in all.
const QUIET: Duration = Duration::from_millis(80);
const PATIENCE: Duration = Duration::from_millis(400);

/// Why the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The kernel announced changes.
    Changed,
    /// Nothing was announced for so long that something may have changed unheard.
    Waited,
    /// A signal came.
    Signal,
    /// Nobody reads the output any more.
    Unread,
}

/// Hears of changes in the namespaces of this machine.
#[derive(Debug, Default)]
pub struct Watch {
    /// Tells of namespaces that come and go.
    names: Option<OwnedFd>,
    sockets: HashMap<Where, Vec<OwnedFd>>,
    /// Why changes are not heard of.
    deaf: Option<String>,
}

impl Watch {
    /// Listens in all namespaces that there are now. What happens from here on is heard of.
    pub fn follow(&mut self, session: &Session) {
        if self.names.is_none() {
            self.names = names().ok();
        }
        let all = session.everywhere();
        self.sockets.retain(|netns, _| all.contains(netns));
        for netns in all {
            if self.sockets.contains_key(&netns) || !session.netns_exists(&netns) {
                continue;
            }
            match listen(session, &netns) {
                Ok(sockets) => drop(self.sockets.insert(netns, sockets)),
                Err(error) => self.deaf = Some(error.to_string()),
            }
        }
    }

    /// Why changes are not heard of everywhere: then it is looked twice a second.
    #[must_use]
    pub fn deaf(&self) -> Option<&str> {
        self.deaf.as_deref()
    }

    /// Waits for a change, for so long that one may have happened unheard, or until nobody reads `output` any more.
    ///
    /// # Errors
    ///
    /// When the kernel cannot wait.
    pub fn wait(&mut self, output: BorrowedFd<'_>) -> Result<Woken> {
        let mut timeout = if self.deaf.is_some() { POLLED } else { SLOW };
        let mut first: Option<Instant> = None;
        loop {
            match self.hear(output, timeout) {
                Ok(Heard::Nothing) => return Ok(if first.is_some() { Woken::Changed } else { Woken::Waited }),
                Ok(Heard::Change) if first.get_or_insert_with(Instant::now).elapsed() > PATIENCE => {
                    return Ok(Woken::Changed);
                }
                Ok(Heard::Change) => timeout = QUIET,
                Ok(Heard::Hangup) => return Ok(Woken::Unread),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Woken::Signal),
                Err(error) => {
                    return Err(Error::new(
                        Kind::Internal,
                        format!("cannot wait for the kernel's announcements: {error}"),
                    ));
                }
            }
        }
    }

    /// Waits for one announcement, and takes all that are there.
    fn hear(&mut self, output: BorrowedFd<'_>, timeout: Duration) -> io::Result<Heard> {
        let sockets = self.sockets.values().flatten().map(AsFd::as_fd);
        let all: Vec<BorrowedFd<'_>> = self.names.iter().map(AsFd::as_fd).chain(sockets).collect();
        // Of the output only the end is awaited.
        let mut polled = vec![PollFd::from_borrowed_fd(output, PollFlags::empty())];
        polled.extend(all.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        if poll(&mut polled, Some(&timeout))? == 0 {
            return Ok(Heard::Nothing);
        }
        if polled.first().is_some_and(|output| !output.revents().is_empty()) {
            return Ok(Heard::Hangup);
        }
        for socket in self.sockets.values().flatten() {
            probe::drain(socket);
        }
        // A namespace whose name is gone must not live on because it is watched.
        for name in self.names.as_ref().map(removed).unwrap_or_default() {
            self.sockets.remove(&Where::Named(name));
        }
        Ok(Heard::Change)
    }
}

enum Heard {
    Nothing,
    Change,
    Hangup,
}

fn names() -> io::Result<OwnedFd> {
    let names = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVE;
    inotify::add_watch(&names, NETNS_DIR, events)?;
    Ok(names)
}

/// The names that are gone, of all that happened to names so far.
fn removed(names: &OwnedFd) -> Vec<String> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(names, &mut buffer);
    let mut removed = Vec::new();
    while let Ok(event) = reader.next() {
        if event.events().intersects(inotify::ReadFlags::DELETE | inotify::ReadFlags::MOVED_FROM) {
            removed.extend(event.file_name().and_then(|name| name.to_str().ok()).map(str::to_owned));
        }
    }
    removed
}

fn listen(session: &Session, netns: &Where) -> Result<Vec<OwnedFd>> {
    let cannot = |error: io::Error| Error::new(Kind::CommandFailed, format!("cannot listen in {netns}: {error}"));
    session.exec().within(netns, probe::announcements)?.map_err(cannot)
}
