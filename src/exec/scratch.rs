//! A network namespace that nobody else sees: made, used and thrown away, without a name and without a mount.

use std::path::Path;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::netns::NetnsFile;
use crate::error::{Error, Kind, Result};
use crate::op::Where;

/// A throw-away namespace. It is gone when this is dropped and no process is left in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: NetnsFile,
}

impl Scratch {
    /// A fresh namespace: nothing in it but `lo`, which is down.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` to those who may not make one, and what else the kernel says.
    pub(crate) fn new() -> Result<Self> {
        // A thread of its own leaves the namespace of this one; the open file is all that is left of the thread.
        let made = std::thread::spawn(|| {
            // SAFETY: only `FILES` is dangerous.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            NetnsFile::current()
        });
        match made.join() {
            Ok(Ok(file)) => Ok(Self { file }),
            Ok(Err(error)) => {
                let refused = error.kind() == std::io::ErrorKind::PermissionDenied;
                let kind = if refused { Kind::PermissionDenied } else { Kind::Unsupported };
                Err(Error::new(kind, format!("cannot make a throw-away network namespace: {error}")))
            }
            Err(_) => Err(Error::new(Kind::Internal, "the thread that makes a namespace panicked")),
        }
    }

    /// Where commands find it while this lives.
    #[must_use]
    pub(crate) fn netns(&self) -> Where {
        use std::os::fd::{AsFd, AsRawFd};
        Where::Path(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_fd().as_raw_fd()).into())
    }

    /// Whether a file exists as the namespace shows it: `/proc/sys/net` is another one in each.
    ///
    /// # Errors
    ///
    /// When a thread cannot enter the namespace.
    pub(crate) fn has_file(&self, path: &Path) -> Result<bool> {
        self.file.within(|| path.exists())
    }
}
