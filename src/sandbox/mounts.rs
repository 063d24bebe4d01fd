//! The sandbox's file system: the machine's, with a private `/run`, `/sys` and `/proc`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType, Mode as FileMode, OFlags, access, fstat, open, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount};

use super::enter::Mode;
use super::explain::{Failure, Step};

/// What of the sandbox's own is under `/run`, and therefore never comes from the machine.
const OWN: [&str; 2] = ["netns", "netwright"];

/// Arranges the mounts in the caller's fresh mount namespace.
pub(super) fn arrange(mode: Mode, keep: &[PathBuf]) -> Result<(), Failure> {
    let fail = |step| move |errno| Failure::new(step, errno, mode);
    let cwd = std::env::current_dir().ok();
    let keep = under_run(&wanted(cwd.as_deref(), keep));

    let private = || mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    match private() {
        // The root is no mount point, as in a plain chroot (sbuild, schroot, a rescue system).
        Err(Errno::INVAL) => mount_root().and_then(|()| private()),
        other => other,
    }
    .map_err(fail(Step::Private))?;
    run(&keep).map_err(fail(Step::Run))?;

    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Forbidden in some containers. Without it only programs that read /sys/class/net see the machine's links; `ip netns exec`
    // mounts its own.
    let _ = mount("sysfs", "/sys", "sysfs", quiet, None);
    // Not optional: `ip netns pids` and everything that kills would read the machine's process ids.
    mount("proc", "/proc", "proc", quiet, None).map_err(fail(Step::Proc))?;
    // Whoever is not the machine's root cannot write there anyway, and needs `/proc` without mounts on it to nest another sandbox.
    if access("/proc/sys/kernel/panic", Access::WRITE_OK).is_ok() {
        guard_proc().map_err(fail(Step::Guard))?;
    }
    if let Some(cwd) = cwd {
        // The old directory is still held, but under /run its path now leads elsewhere.
        let _ = std::env::set_current_dir(cwd);
    }
    Ok(())
}

/// Makes the root a mount point: binds it on itself, and makes what lies over it the root. `/..` of a root is the root with what is mounted on it.
fn mount_root() -> Result<(), Errno> {
    mount_bind_recursive("/", "/")?;
    std::env::set_current_dir("/..").map_err(errno)?;
    rustix::process::chroot(".")
}

/// The paths a run needs: given ones and the directory each is in, the current directory, the program, `PATH`, `TMPDIR`, and where
/// `/etc/resolv.conf` points (`ip netns exec` mounts over it).
fn wanted(cwd: Option<&Path>, keep: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = keep.to_vec();
    paths.extend(keep.iter().filter_map(|path| std::path::absolute(path).ok()?.parent().map(Path::to_path_buf)));
    paths.extend(cwd.map(Path::to_path_buf));
    paths.extend(std::env::current_exe());
    paths.extend(std::env::var_os("TMPDIR").map(PathBuf::from));
    paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    paths.push("/etc/resolv.conf".into());
    paths
}

/// Those that lie under `/run`, relative to it, outer ones only.
fn under_run(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        let Ok(real) = path.canonicalize() else { continue };
        let Ok(relative) = real.strip_prefix("/run") else { continue };
        // `/run` itself would bring back everything, sockets of the machine's services included.
        let own = relative.components().next().is_none_or(|first| OWN.iter().any(|own| first.as_os_str() == *own));
        if !(own && real.is_dir()) {
            found.push(relative.to_path_buf());
        }
    }
    found.sort(); // by component: an outer directory comes before what is in it
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in found {
        if !kept.iter().any(|outer| path.starts_with(outer)) {
            kept.push(path);
        }
    }
    kept
}

/// A tmpfs on `/run` with what `ip`, `iptables` and the run itself need.
fn run(keep: &[PathBuf]) -> Result<(), Errno> {
    let old = open("/run", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty())?;
    let links = outward_links();
    mount("netwright", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    for name in ["netns", "lock", "netwright"] {
        std::fs::create_dir(Path::new("/run").join(name)).map_err(errno)?;
    }
    // As `ip netns add` does at its first time: what is mounted there is seen in every copy of this mount namespace.
    mount_bind_recursive("/run/netns", "/run/netns")?;
    mount_change("/run/netns", MountPropagationFlags::SHARED)?;
    for (name, target) in links {
        let _ = std::os::unix::fs::symlink(target, Path::new("/run").join(name));
    }
    for relative in keep {
        bring_back(&old, relative)?;
    }
    // `/var/run` is a link to `/run` nearly everywhere; iproute2 may have been built for either.
    if std::fs::symlink_metadata("/var/run").is_ok_and(|meta| meta.is_dir()) {
        mount_bind_recursive("/run", "/var/run")?;
    }
    Ok(())
}

/// Whether what is written to a path in a sandbox is gone with it: it lies on the sandbox's own `/run`, not in what was brought back.
#[must_use]
pub fn goes_with_sandbox(path: &Path) -> bool {
    let dev = |path: &Path| std::fs::metadata(path).ok().map(|meta| std::os::unix::fs::MetadataExt::dev(&meta));
    below_run(path).is_some_and(|there| dev(&there) == dev(Path::new("/run")))
}

/// The real folder of what is above a path and there, if that lies in `/run`, whichever way the path leads to it.
#[must_use]
pub fn below_run(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find_map(|above| above.canonicalize().ok().filter(|real| real.is_dir()))?;
    (there.starts_with("/run") || there.starts_with("/var/run")).then_some(there)
}

/// Links in `/run` to places outside it, for example `shm` (Debian) and `current-system` (`NixOS`).
fn outward_links() -> Vec<(std::ffi::OsString, PathBuf)> {
    let Ok(entries) = std::fs::read_dir("/run") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name(), std::fs::read_link(entry.path()).ok()?)))
        .filter(|(_, to)| to.is_absolute() && !to.starts_with("/run") && !to.starts_with("/var/run"))
        .collect()
}

/// Brings one back. It was found out before where it really is, so a link on the way has been put there since, by somebody else: it is not followed.
fn bring_back(old: &OwnedFd, relative: &Path) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = openat(old, ".", flags, FileMode::empty())?;
    for name in relative {
        source = openat(&source, name, flags, FileMode::empty())?;
    }
    let kind = FileType::from_raw_mode(fstat(&source)?.st_mode);
    let target = Path::new("/run").join(relative);
    match kind {
        FileType::Symlink => return Err(Errno::LOOP),
        FileType::Directory => std::fs::create_dir_all(&target).map_err(errno)?,
        _ => {
            std::fs::create_dir_all(target.parent().unwrap_or(Path::new("/run"))).map_err(errno)?;
            std::fs::File::create(&target).map_err(errno)?;
        }
    }
    mount_bind_recursive(format!("/proc/self/fd/{}", source.as_raw_fd()), &target)
}

/// The machine's own knobs read-only: what root may change in `/proc` and no namespace separates. `/proc/sys/net` stays writable:
/// its files belong to the network namespace of the process that opens them.
///
/// It is a guard against accidents: root could mount it away.
fn guard_proc() -> Result<(), Errno> {
    let read_only = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_bind_recursive("/proc/sys", "/proc/sys")?;
    mount_bind_recursive("/proc/sys/net", "/proc/sys/net")?;
    mount_remount("/proc/sys", read_only, c"")?;
    if Path::new("/proc/sysrq-trigger").exists() {
        mount_bind_recursive("/proc/sysrq-trigger", "/proc/sysrq-trigger")?;
        mount_remount("/proc/sysrq-trigger", read_only, c"")?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is a map_err function")]
fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
