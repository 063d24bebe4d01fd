//! The files of the user's programs in a sandbox: the machine's, and what they write goes into memory and is gone with the run.
//!
//! A mount namespace beside the sandbox's own, in which an overlay lies over every folder: the machine's below, a tmpfs above. netwright itself does
//! not live in it, so its tools and reports see and write what they always did; `/run/netns` is one and the same in both.
//! Where the kernel has no overlay for this user (before 5.11 without root, or on an overlay that lies on another one), `/tmp`, `/var/tmp` and
//! `/etc/netns` are empty folders in memory and everything else can only be read.

use std::ffi::CString;
use std::fs::{File, Metadata, Permissions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode as FileMode, OFlags, StatVfsMountFlags, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind_recursive, mount_remount, move_mount,
    open_tree, unmount as unmount_at,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::enter::Mode;
use crate::{Error, Kind, Result};

/// Where what the programs write lies while the overlays are made.
const UPPER: &str = "/run/netwright/files";
/// Folders of the kernel's, of which the sandbox has its own or that no file of the machine's is in.
const KERNEL: [&str; 4] = ["proc", "sys", "dev", "run"];
/// What of `/run` is the sandbox's own (`mounts::run`).
const OWN: [&str; 3] = ["/run/netns", "/run/netwright", "/run/lock"];
/// File systems without files of the machine's.
const PSEUDO: [&str; 19] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tracefs",
];
/// Folders for what is passing, and what `ip netns exec` lays over `/etc`: where there is no overlay they are empty, and can be written.
const PASSING: [&str; 3] = ["/tmp", "/var/tmp", "/etc/netns"];

/// A mount namespace in which nothing that a program writes reaches the machine, but for what is in `keep`; its descriptor keeps it.
///
/// To be called inside the sandbox. A thread makes it, and leaves this process as it is.
///
/// # Errors
///
/// `NotFound` when one of `keep` is not there, `Unsupported` when the kernel refuses the mounts.
pub fn files(mode: Mode, keep: &[PathBuf]) -> Result<File> {
    let kept = keep.iter().map(|path| keepable(path)).collect::<Result<Vec<PathBuf>>>()?;
    let work = || -> std::result::Result<File, (String, Errno)> {
        let at = |what: &'static str| move |errno| (what.to_owned(), errno);
        // SAFETY: only `FILES` is dangerous. A thread that leaves the mount namespace no longer shares its current directory with the others.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(at("a mount namespace"))?;
        lay(mode, &kept)?;
        open("/proc/thread-self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty())
            .map(File::from)
            .map_err(at("/proc/thread-self/ns/mnt"))
    };
    let made = std::thread::scope(|scope| scope.spawn(work).join());
    match made {
        Ok(Ok(file)) => Ok(file),
        Ok(Err((what, errno))) => Err(Error::new(
            Kind::Unsupported,
            format!("the programs of this sandbox cannot be given files of their own: {what}: {errno}"),
        )
        .hint("`netwright doctor` says what this machine allows; `--host` runs programs as they are, on this machine")),
        Err(_) => Err(Error::new(Kind::Internal, "a worker thread panicked")),
    }
}

/// Where a path that is to be kept really is.
///
/// # Errors
///
/// `NotFound` when it is not there.
pub fn keepable(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        Error::new(Kind::NotFound, format!("`--keep {}`: {}", path.display(), text.to_lowercase()))
            .hint(format!("make it first: `mkdir -p {0}` for a folder, `touch {0}` for a file", path.display()))
    })
}

fn look_at(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, FileMode::empty())
}

/// Something to be covered: what it is now, and where.
struct Place {
    file: OwnedFd,
    path: PathBuf,
    meta: Metadata,
    pseudo: bool,
}

impl Place {
    fn at(path: PathBuf, pseudo: bool) -> Option<Self> {
        let file = look_at(&path).ok()?;
        let meta = std::fs::metadata(by_number(&file)).ok()?;
        Some(Self { file, path, meta, pseudo })
    }
}

/// A path to an open file: it leads there whatever is mounted over it, and needs no escapes among the options of an overlay.
fn by_number(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn lay(mode: Mode, kept: &[PathBuf]) -> std::result::Result<(), (String, Errno)> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |errno| (path, errno)
    };
    let places = places().map_err(at(Path::new("/proc/thread-self/mountinfo")))?;
    let kept: Vec<(Spared, &PathBuf)> = kept
        .iter()
        .map(|path| Spared::of(path).map(|spared| (spared, path)).map_err(at(path)))
        .collect::<std::result::Result<_, _>>()?;
    let upper = Path::new(UPPER);
    std::fs::create_dir_all(upper).map_err(|error| at(upper)(errno(&error)))?;
    mount("netwright", upper, "tmpfs", MountFlags::NODEV, c"mode=0755").map_err(at(upper))?;
    for (number, place) in places.iter().enumerate() {
        standing(place).map_err(|error| at(&place.path)(errno(&error)))?;
        cover(mode, place, &upper.join(number.to_string())).map_err(at(&place.path))?;
    }
    for (spared, path) in kept {
        spared.lay(path).map_err(at(path))?;
    }
    if Path::new("/dev/shm").is_dir() {
        mount("netwright", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777")
            .map_err(at(Path::new("/dev/shm")))?;
    }
    // The overlays hold what they need of it.
    unmount_at(upper, UnmountFlags::DETACH).map_err(at(upper))?;
    let _ = std::fs::remove_dir(upper);
    // The root itself: new entries, and files in it.
    let root = look_at(Path::new("/")).and_then(|root| read_only(Path::new("/"), &root));
    // Whoever may not write there need not be kept from it.
    root.or_else(|errno| if may_write("/") { Err(errno) } else { Ok(()) }).map_err(at(Path::new("/")))
}

/// What is kept, as it is before anything covers it.
enum Spared {
    /// A copy of what is mounted there and below.
    Tree(OwnedFd),
    /// The place itself, where the kernel makes no such copies (before 5.2): of a mount point, what lies over it by then would come along.
    Place(OwnedFd),
}

impl Spared {
    fn of(path: &Path) -> std::result::Result<Self, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        match open_tree(CWD, path, flags) {
            Ok(tree) => Ok(Self::Tree(tree)),
            Err(_) => look_at(path).map(Self::Place),
        }
    }

    fn lay(self, path: &Path) -> std::result::Result<(), Errno> {
        match self {
            Self::Tree(tree) => move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH),
            Self::Place(file) => mount_bind_recursive(by_number(&file), path),
        }
    }
}

/// What is mounted below an empty folder keeps its place.
fn standing(place: &Place) -> std::io::Result<()> {
    if place.path.symlink_metadata().is_ok() {
        return Ok(());
    }
    if place.meta.is_dir() {
        return std::fs::create_dir_all(&place.path);
    }
    if let Some(folder) = place.path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(&place.path).map(drop)
}

fn may_write(path: &str) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// What is covered, outer places first: the folders of the root, and what is mounted below them.
fn places() -> std::result::Result<Vec<Place>, Errno> {
    let entries = std::fs::read_dir("/").map_err(|error| errno(&error))?;
    let mut found: Vec<Place> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| KERNEL.iter().all(|name| entry.file_name() != *name))
        .filter_map(|entry| Place::at(entry.path(), false))
        .collect();
    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").map_err(|error| errno(&error))?;
    let mut below: Vec<(PathBuf, bool)> = text.lines().filter_map(mounted).collect();
    below.retain(|(path, _)| path.components().count() > 2 && !is_the_kernels(path));
    below.sort();
    below.dedup_by(|(path, _), (before, _)| path == before);
    found.extend(below.into_iter().filter_map(|(path, pseudo)| Place::at(path, pseudo)));
    Ok(found)
}

fn is_the_kernels(path: &Path) -> bool {
    ["/proc", "/sys", "/dev"].iter().chain(&OWN).any(|of| path.starts_with(of))
}

/// A line of `mountinfo` (`proc_pid_mountinfo(5)`): where it is mounted, and whether no file of the machine's is in it.
fn mounted(line: &str) -> Option<(PathBuf, bool)> {
    let (front, back) = line.split_once(" - ")?;
    let path = unescape(front.split(' ').nth(4)?);
    let kind = back.split(' ').next()?;
    Some((path, PSEUDO.contains(&kind)))
}

/// Space, tab, newline and backslash are `\040` and the like there.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

fn cover(mode: Mode, place: &Place, above: &Path) -> std::result::Result<(), Errno> {
    if place.pseudo {
        return mount_bind_recursive(by_number(&place.file), &place.path);
    }
    if place.meta.is_dir() && overlay(mode, place, above).is_ok() {
        return Ok(());
    }
    if PASSING.iter().any(|path| place.path == Path::new(path)) {
        return empty(&place.path);
    }
    // A user namespace may not part a mount from what is mounted below it.
    mount_bind_recursive(by_number(&place.file), &place.path)?;
    read_only(&place.path, &place.file)?;
    for inner in PASSING.iter().map(Path::new).filter(|inner| inner.starts_with(&place.path) && inner.is_dir()) {
        empty(inner)?;
    }
    Ok(())
}

/// An empty folder in memory that everybody may write to.
fn empty(path: &Path) -> std::result::Result<(), Errno> {
    mount("netwright", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=1777")
}

/// What is written stays in `above`.
fn overlay(mode: Mode, place: &Place, above: &Path) -> std::result::Result<(), Errno> {
    let (upper, work) = (above.join("upper"), above.join("work"));
    for folder in [&upper, &work] {
        std::fs::create_dir_all(folder).map_err(|error| errno(&error))?;
    }
    as_below(&upper, &place.meta);
    passing(&place.path, &upper).map_err(|error| errno(&error))?;
    let more = if mode == Mode::Rootless { ",userxattr" } else { "" };
    let options = format!(
        "lowerdir={},upperdir={},workdir={}{more}",
        by_number(&place.file).display(),
        upper.display(),
        work.display()
    );
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount("netwright", &place.path, "overlay", as_mounted(&place.file), options.as_c_str())
}

/// Makes copies of the folders for what is passing. Without root a folder of somebody else's cannot be written to, open to all or not: a copy above
/// it is ours from the start. `/etc/netns` is there even if the machine has none, and its folders are ours too.
fn passing(place: &Path, upper: &Path) -> std::io::Result<()> {
    for folder in PASSING.map(Path::new) {
        let inside = folder.strip_prefix(place).ok().filter(|rest| !rest.as_os_str().is_empty());
        let Some(copy) = inside.map(|rest| upper.join(rest)) else { continue };
        let is_netns = folder.ends_with("netns");
        if !is_netns && !folder.is_dir() {
            continue;
        }
        std::fs::create_dir_all(&copy)?;
        if let Ok(meta) = std::fs::metadata(folder) {
            as_below(&copy, &meta);
        }
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_netns && entry.path().is_dir()) {
            std::fs::create_dir_all(copy.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The folder above shows its own mode and owner, so it takes those of the one below, as far as this user may give them.
fn as_below(upper: &Path, meta: &Metadata) {
    let _ = std::os::unix::fs::chown(upper, Some(meta.uid()), Some(meta.gid()));
    let _ = std::fs::set_permissions(upper, Permissions::from_mode(meta.mode() & 0o7777));
}

/// The flags that a mount has and that must not be lost.
fn as_mounted(file: &impl AsFd) -> MountFlags {
    let Ok(found) = fstatvfs(file) else { return MountFlags::NODEV };
    [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ]
    .into_iter()
    .filter(|(has, _)| found.f_flag.contains(*has))
    .fold(MountFlags::empty(), |all, (_, flag)| all | flag)
}

/// Makes what is mounted at `path` read-only here. In a user namespace the kernel refuses to lose one of its other flags.
fn read_only(path: &Path, before: &impl AsFd) -> std::result::Result<(), Errno> {
    mount_remount(path, MountFlags::BIND | MountFlags::RDONLY | as_mounted(before), c"")
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_something_is_mounted() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mounted(line), Some((PathBuf::from("/mnt 2"), false)));
        let line = "25 30 0:23 / /sys/kernel/tracing rw,nosuid - tracefs tracefs rw";
        assert_eq!(mounted(line), Some((PathBuf::from("/sys/kernel/tracing"), true)));
        assert_eq!(mounted("nonsense"), None);
        assert_eq!(unescape(r"a\134b\04"), PathBuf::from(r"a\b\04"), "what is cut short is as it stands");
    }

    #[test]
    fn what_is_the_kernels_or_the_sandboxs_is_not_covered() {
        for path in ["/proc/sys", "/sys/fs/cgroup", "/dev/pts", "/run/netns", "/run/netns/a", "/run/lock"] {
            assert!(is_the_kernels(Path::new(path)), "{path}");
        }
        for path in ["/home", "/run/work", "/device", "/etc/hosts"] {
            assert!(!is_the_kernels(Path::new(path)), "{path}");
        }
    }
}
