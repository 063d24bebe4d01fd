//! A private view of tracefs and the trace instances in it.
//!
//! The file system is mounted detached (`fsmount`): it has no place in any mount namespace, so no other program sees it and nothing
//! has to be unmounted. The instances in it are the machine's, one list for all mounts: each is held by a lock on its directory, and an
//! instance of ours that nobody holds belongs to a run that was killed. Process ids would not tell, as runs in sandboxes have their own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::{Error, Kind, Result};

/// What every instance of ours is called; what follows is a process id and a number.
pub(super) const PREFIX: &str = "netwright-";

/// More of a trace than this is not read: a probe makes a few hundred lines.
const TRACE_LIMIT: u64 = 16 << 20;

/// A detached mount of tracefs.
pub(super) struct Tracefs {
    root: OwnedFd,
}

impl Tracefs {
    /// Mounts it.
    pub(super) fn mount() -> Result<Self> {
        let mounted = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
            fsconfig_create(context.as_fd())?;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        });
        let root = mounted.map_err(|errno| match errno {
            Errno::PERM | Errno::ACCESS => {
                Error::new(Kind::PermissionDenied, "the flight recorder cannot mount tracefs")
                    .hint("tracing belongs to the machine's root: run with sudo and not in a user namespace")
            }
            Errno::NODEV => {
                Error::new(Kind::Unsupported, "this kernel has no tracefs (`CONFIG_FTRACE`, `CONFIG_EVENT_TRACING`)")
            }
            Errno::NOSYS => Error::new(
                Kind::Unsupported,
                "this kernel cannot mount file systems privately (`fsopen` came with Linux 5.2)",
            ),
            errno => Error::new(Kind::CommandFailed, format!("cannot mount tracefs: {errno}")),
        })?;
        Ok(Self { root })
    }

    /// Whether an event exists, named as `skb/kfree_skb`.
    pub(super) fn has_event(&self, event: &str) -> bool {
        openat(&self.root, format!("events/{event}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
    }

    /// Reads a file of the machine's own view.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        read(&self.root, path)
    }

    /// Makes an instance and holds it.
    pub(super) fn instance(&self) -> Result<Instance> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let all = self.instances().map_err(|error| refused("list the trace instances", &error))?;
        // A name is taken only by runs in other process id namespaces; an instance that another run takes for a dead one, in the moment
        // before it is locked, is made again.
        for _ in 0..1000 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            match mkdirat(&all, &name, Mode::RWXU) {
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(refused("make a trace instance", &errno.into())),
                Ok(()) => {}
            }
            let held = directory(&all, &name).and_then(|dir| {
                flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
                // Still there, so nobody has removed it before the lock.
                directory(&all, &name)?;
                Ok(dir)
            });
            match held {
                Ok(dir) => return Ok(Instance { all, name, dir: Some(dir) }),
                Err(Errno::NOENT | Errno::AGAIN) => {}
                Err(errno) => {
                    let _ = unlinkat(&all, &name, AtFlags::REMOVEDIR);
                    return Err(refused("open a trace instance", &errno.into()));
                }
            }
        }
        Err(Error::new(Kind::Busy, "cannot make a trace instance: a thousand names are taken"))
    }

    fn instances(&self) -> io::Result<OwnedFd> {
        Ok(directory(&self.root, "instances")?)
    }

    /// The instances of ours, held or not.
    pub(super) fn ours(&self) -> io::Result<Vec<String>> {
        let all = self.instances()?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&all)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if name.starts_with(PREFIX) {
                names.push(name.into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes what killed runs have left. Gives the names of what was removed.
    pub(super) fn sweep(&self) -> Vec<String> {
        let (Ok(all), Ok(names)) = (self.instances(), self.ours()) else { return Vec::new() };
        let removed = |name: &String| {
            let Ok(dir) = directory(&all, name) else { return false };
            // Held until it is gone: else its maker could take it for its own in between.
            flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok()
                && unlinkat(&all, name.as_str(), AtFlags::REMOVEDIR).is_ok()
        };
        names.into_iter().filter(removed).collect()
    }
}

/// A trace instance of our own: its own buffer, its own set of events. Removed when dropped.
pub(super) struct Instance {
    all: OwnedFd,
    name: String,
    /// Holds the lock; `None` only while being dropped.
    dir: Option<OwnedFd>,
}

impl Instance {
    fn dir(&self) -> io::Result<&OwnedFd> {
        self.dir.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Writes to one of its files.
    pub(super) fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let file = openat(self.dir()?, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        // One write: the kernel reads each as a whole word.
        File::from(file).write_all(text.as_bytes())
    }

    /// Writes, or says what failed.
    pub(super) fn set(&self, path: &str, text: &str) -> Result<()> {
        self.write(path, text).map_err(|error| refused(&format!("write `{text}` to `{path}`"), &error))
    }

    /// Empties its buffer.
    pub(super) fn clear(&self) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC;
        let cleared = self.dir().and_then(|dir| Ok(openat(dir, "trace", flags, Mode::empty())?));
        cleared.map(drop).map_err(|error| refused("empty the trace", &error))
    }

    /// Its buffer as text.
    pub(super) fn trace(&self) -> Result<String> {
        self.dir().and_then(|dir| read(dir, "trace")).map_err(|error| refused("read the trace", &error))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.write("tracing_on", "0");
        // Removed first, unlocked after: in between nobody takes it for a dead one.
        let _ = unlinkat(&self.all, self.name.as_str(), AtFlags::REMOVEDIR);
        self.dir = None;
    }
}

fn directory(at: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

fn read(at: &OwnedFd, path: &str) -> io::Result<String> {
    let file = openat(at, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(file).take(TRACE_LIMIT).read_to_end(&mut bytes)?;
    // The names of threads and devices are any bytes.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn refused(what: &str, error: &io::Error) -> Error {
    let message = format!("the flight recorder cannot {what}: {error}");
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::new(Kind::PermissionDenied, message)
            .hint("a locked down kernel closes tracefs even to root: see `/sys/kernel/security/lockdown`"),
        Some(libc::ENOENT | libc::EINVAL) => Error::new(Kind::Unsupported, message),
        Some(libc::ENOMEM | libc::EBUSY) => Error::new(Kind::Busy, message),
        _ => Error::new(Kind::CommandFailed, message),
    }
}
