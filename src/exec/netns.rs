//! Network namespaces as open files: opened once, compared by inode, entered by threads.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

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

/// An open network namespace. It lives at least as long as this does.
#[derive(Clone, Debug)]
pub struct NetnsFile {
    file: Arc<File>,
    id: NetnsId,
}

impl NetnsFile {
    /// Opens a namespace by its file.
    ///
    /// # Errors
    ///
    /// What the kernel says; `InvalidInput` when the file is not a network namespace.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // A broken entry under /run/netns is an ordinary file; setns would fail later and less clearly.
        let magic = rustix::fs::fstatfs(&file)?.f_type;
        if magic != NSFS_MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a network namespace"));
        }
        let id = id_of(&file.metadata()?);
        Ok(Self { file: Arc::new(file), id })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// What the kernel says, for instance when `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Errors
    ///
    /// What the kernel says: `EPERM` without `CAP_SYS_ADMIN` over it.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Runs `work` on a thread of its own that has entered the namespace, and waits for it.
    ///
    /// A thread instead of entering and returning: there is no way back to forget.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` or what else kept the thread from entering; `Internal` if `work` panicked.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .spawn_scoped(scope, || self.enter().map(|()| work()))
                .map_err(|error| Error::new(Kind::Busy, format!("cannot start a thread: {error}")))?;
            match thread.join() {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(enter_error(&error)),
                Err(_) => Err(Error::new(Kind::Internal, "a worker thread panicked")),
            }
        })
    }
}

impl AsFd for NetnsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
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
    Error::new(kind, format!("cannot enter the namespace: {error}"))
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
