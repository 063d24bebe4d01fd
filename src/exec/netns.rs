//! Network namespaces as open files: opened once, compared by inode while they live and by what never comes again afterwards, entered by threads.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::entry::Entry;
use crate::error::{Error, Kind, Result};
use crate::op::Where;

/// Where `ip netns` keeps the namespaces with names.
pub const NETNS_DIR: &str = "/run/netns";

/// What tells two namespaces apart: device and inode of their nsfs file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct NetnsId {
    /// Device of nsfs.
    pub dev: u64,
    /// Inode of the namespace.
    pub inode: u64,
}

/// What tells a namespace from every other that there was since the machine started: the inode number of a dead one is given to the next, so a
/// number alone is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetnsStamp {
    /// Device and inode.
    #[serde(flatten)]
    pub id: NetnsId,
    /// `SO_NETNS_COOKIE`, which never comes again (Linux 5.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// When the file was made, in nanoseconds since 1970; only of one that a mount keeps: nsfs forgets others when nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_ns: Option<u64>,
}

impl NetnsStamp {
    /// What is at the path of a named namespace now.
    #[must_use]
    pub fn at_mount(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of_mount)
    }

    fn of_mount(metadata: &std::fs::Metadata) -> Self {
        let (seconds, rest) = (metadata.ctime().unsigned_abs(), metadata.ctime_nsec().unsigned_abs());
        let made_ns = seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self { made_ns: Some(made_ns), ..Self::from(id_of(metadata)) }
    }

    /// Whether both are of one namespace; `None` when the numbers agree and nothing else tells.
    #[must_use]
    pub fn same(&self, other: &Self) -> Option<bool> {
        if self.id != other.id {
            return Some(false);
        }
        match ((self.cookie, other.cookie), (self.made_ns, other.made_ns)) {
            ((Some(one), Some(two)), _) | (_, (Some(one), Some(two))) => Some(one == two),
            _ => None,
        }
    }
}

impl From<NetnsId> for NetnsStamp {
    /// By the number alone.
    fn from(id: NetnsId) -> Self {
        Self { id, cookie: None, made_ns: None }
    }
}

/// The cookie of the calling thread's namespace; `None` before Linux 5.14.
#[must_use]
pub fn cookie_here() -> Option<u64> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None).ok()?;
    let (mut cookie, mut length) = (0_u64, libc::socklen_t::try_from(size_of::<u64>()).ok()?);
    // SAFETY: the kernel writes at most `length` bytes into `cookie`, and how many into `length`; both outlive the call.
    let done = unsafe {
        libc::getsockopt(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (done == 0 && cookie != 0).then_some(cookie)
}

/// An open network namespace. It lives at least as long as this does.
#[derive(Clone, Debug)]
pub struct NetnsFile {
    file: Arc<File>,
    id: NetnsId,
    /// Asked once.
    cookie: Arc<OnceLock<Option<u64>>>,
}

impl NetnsFile {
    /// Opens a namespace by its file.
    ///
    /// # Errors
    ///
    /// What the kernel says; `InvalidInput` when the file is not a network namespace.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Looked at before it is opened: a pipe would hold whoever opens it, a device may act. A broken entry under /run/netns is an ordinary file;
        // setns would fail later and less clearly.
        let looked = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let not_one = || io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace");
        if rustix::fs::fstatfs(&looked)?.f_type != NSFS_MAGIC {
            return Err(not_one());
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let by_number = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&looked));
        let file = match rustix::fs::open(by_number, flags, Mode::empty()) {
            // Without /proc.
            Err(rustix::io::Errno::NOENT) => rustix::fs::open(path, flags, Mode::empty()),
            other => other,
        };
        let file = File::from(file?);
        if rustix::fs::fstatfs(&file)?.f_type != NSFS_MAGIC {
            return Err(not_one());
        }
        let id = id_of(&file.metadata()?);
        Ok(Self { file: Arc::new(file), id, cookie: Arc::default() })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// What the kernel says, for instance when `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Its identity among those that live.
    #[must_use]
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Its identity among all that ever were. A thread inside asks, once.
    #[must_use]
    pub fn stamp(&self) -> NetnsStamp {
        let cookie = *self.cookie.get_or_init(|| self.within(cookie_here).ok().flatten());
        NetnsStamp { cookie, ..NetnsStamp::from(self.id) }
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EPERM` without `CAP_SYS_ADMIN` over it.
    pub fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.as_fd(), Some(LinkNameSpaceType::Network))?;
        ENTERED.set(Some(self.id));
        Ok(())
    }

    /// Whether the calling thread has entered this namespace and is still there.
    pub(super) fn is_entered(&self) -> bool {
        ENTERED.get() == Some(self.id)
    }

    /// Runs `work` on a thread that has entered the namespace, and waits for it: here, when this is one, else on one of its own.
    ///
    /// A thread instead of entering and returning: there is no way back to forget.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` or what else kept the thread from entering; `Internal` if `work` panicked.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        Entry::of(Some(self)).within(work)
    }
}

impl AsFd for NetnsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

thread_local! {
    /// The namespace that this thread has entered last. It is in it, so that no other can have its number. (Threads that unshare instead end there.)
    static ENTERED: Cell<Option<NetnsId>> = const { Cell::new(None) };
}

/// `NSFS_MAGIC` of linux/magic.h.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// Whether a network namespace is mounted at `path`. A broken entry under `/run/netns` is an ordinary file.
///
/// # Errors
///
/// What the kernel says.
pub fn is_netns(path: &Path) -> io::Result<bool> {
    // Not by opening it: the files that `ip netns` makes may be opened by nobody until something is mounted there.
    Ok(rustix::fs::statfs(path)?.f_type == NSFS_MAGIC)
}

/// The error of a thread that could not enter a namespace.
#[must_use]
pub fn enter_error(error: &io::Error) -> Error {
    let kind =
        if error.kind() == io::ErrorKind::PermissionDenied { Kind::PermissionDenied } else { Kind::CommandFailed };
    let failed = Error::new(kind, format!("cannot enter the namespace: {error}"));
    if kind == Kind::PermissionDenied { failed.hint("root may: run it with `sudo`") } else { failed }
}

fn id_of(metadata: &std::fs::Metadata) -> NetnsId {
    NetnsId { dev: metadata.dev(), inode: metadata.ino() }
}

/// The identity of whatever is at `path` now; `None` when nothing is.
#[must_use]
pub fn id_at(path: &Path) -> Option<NetnsId> {
    std::fs::metadata(path).ok().as_ref().map(id_of)
}

/// The file of a namespace; `None` for the host, which is where the run itself is.
#[must_use]
pub fn path_of(netns: &Where) -> Option<PathBuf> {
    match netns {
        Where::Host => None,
        Where::Named(name) => Some(Path::new(NETNS_DIR).join(name)),
        Where::Path(path) => Some(path.clone()),
    }
}

/// The names under `/run/netns`, sorted; none when the folder never existed.
///
/// # Errors
///
/// `CommandFailed` when the folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    match std::fs::read_dir(NETNS_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::new(Kind::CommandFailed, format!("cannot read `{NETNS_DIR}`: {error}"))),
        Ok(entries) => {
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort();
            Ok(names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_comes_again_is_another_namespace() {
        let id = NetnsId { dev: 4, inode: 5 };
        let stamp = |cookie, made_ns| NetnsStamp { id, cookie, made_ns };
        let none = NetnsStamp::from(id);
        assert_eq!(stamp(Some(9), None).same(&stamp(Some(9), Some(1))), Some(true));
        assert_eq!(stamp(Some(9), None).same(&stamp(Some(11), None)), Some(false));
        assert_eq!(stamp(None, Some(1)).same(&stamp(None, Some(1))), Some(true));
        assert_eq!(stamp(None, Some(1)).same(&stamp(None, Some(2))), Some(false));
        assert_eq!(
            stamp(Some(9), Some(1)).same(&stamp(Some(9), Some(2))),
            Some(true),
            "mounted again: the cookie knows"
        );
        assert_eq!(stamp(Some(9), None).same(&stamp(None, Some(2))), None, "nothing that both know");
        assert_eq!(none.same(&none), None, "what an older journal knows");
        let other = NetnsStamp { id: NetnsId { dev: 4, inode: 6 }, ..stamp(Some(9), None) };
        assert_eq!(stamp(Some(9), None).same(&other), Some(false));
    }

    #[test]
    fn an_older_journal_names_a_namespace_by_its_number() {
        let old: NetnsStamp = serde_json::from_str(r#"{"dev":4,"inode":5}"#).unwrap();
        assert_eq!(old, NetnsStamp::from(NetnsId { dev: 4, inode: 5 }));
        let new = NetnsStamp { cookie: Some(u64::MAX), made_ns: Some(7), ..old };
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<NetnsStamp>(&text).unwrap(), new, "{text}");
    }
}
