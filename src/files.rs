//! The files that netwright makes and writes: nobody else opens for writing, makes folders, renames or gives away (held by `tests/tidy.rs`).
//!
//! netwright often runs as root in folders that others may write to, and is told names of files there. So a folder is walked to component by
//! component and then held by its descriptor; a link on the way is followed only when root made it (whoever is not root follows as the kernel lets
//! him); the last component is never a link. A file is made new (`O_EXCL`) and renamed into its place, so that what stood there under that name, be
//! it another name of a file of root's, is replaced and not written to. What was made so is given to the user behind sudo when the folder is his.
//!
//! Folders under `/run/netwright` are root's alone, and nothing in one that somebody else made is believed.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How many links a path may lead through (the kernel's own limit, `path_resolution(7)`).
const LINKS_MAX: usize = 40;

/// The mode of what others may read, unless the umask says otherwise.
pub(crate) const SHARED: u32 = 0o666;
/// The mode of what may hold secrets: captures, journals, histories.
pub(crate) const PRIVATE: u32 = 0o600;
/// The mode of an audit log: its group may be made that of the auditors.
pub(crate) const AUDIT: u32 = 0o640;

/// Where netwright keeps what it knows of this machine; gone when it knows nothing.
pub(crate) const HOME: &str = "/run/netwright";
/// Where runs keep their journals.
pub(crate) const RUNS: &str = "/run/netwright/runs";

/// A folder, held by its descriptor.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
}

/// The user behind sudo: whom files are given to.
fn sudo_user() -> Option<(u32, Option<u32>)> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let uid = number("SUDO_UID").filter(|_| rustix::process::geteuid().is_root())?;
    Some((uid, number("SUDO_GID")))
}

/// Whether an owner is this user, or the one behind sudo.
fn is_mine(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw() || sudo_user().is_some_and(|(uid, _)| uid == owner)
}

/// Whether a link of this owner may lead root somewhere else. In a user namespace, what is not mapped belongs to the overflow user: the kernel's
/// own checks are then those of the plain user who made the namespace. Where that number is mapped, too, it is somebody's: `nobody`'s.
fn is_trusted(owner: u32) -> bool {
    let me = rustix::process::geteuid();
    let map = || std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !me.is_root() || owner == 0 || (owner == OVERFLOW && !maps(&map(), OVERFLOW))
}

/// The user that stands for those who are not mapped (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;

/// Whether a map of users (`uid_map`: inside, outside, count) has this one. What cannot be read has everybody.
fn maps(map: &str, uid: u32) -> bool {
    let numbers: Vec<u64> = map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.is_empty() || numbers.chunks_exact(3).any(|range| (range[0]..range[0] + range[2]).contains(&u64::from(uid)))
}

/// Whether a process here can be this user: a user namespace has only those that it maps.
#[must_use]
pub(crate) fn has_user(uid: u32) -> bool {
    maps(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default(), uid)
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

fn refused(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory`, `PermissionDenied` for a link on the way that root should not follow.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::walk(path, None, false)
    }

    /// Opens a folder, and makes it and those above it when they are not there: each belongs to the user behind sudo when the one above it does.
    ///
    /// # Errors
    ///
    /// As [`Folder::open`].
    pub(crate) fn make(path: &Path, mode: u32) -> io::Result<Self> {
        Self::walk(path, Some(Mode::from_raw_mode(mode)), false)
    }

    /// The same for what netwright keeps for one user: it must belong to this user, or to the one behind sudo.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` when it is somebody else's.
    pub(crate) fn own(path: &Path, mode: u32) -> io::Result<Self> {
        let folder = Self::walk(path, Some(Mode::from_raw_mode(mode)), true)?;
        let owner = rustix::fs::fstat(&folder.fd)?.st_uid;
        if is_mine(owner) {
            Ok(folder)
        } else {
            Err(refused(format!("`{}` belongs to the user {owner}", path.display())))
        }
    }

    fn walk(path: &Path, make: Option<Mode>, only_mine: bool) -> io::Result<Self> {
        const HOLD: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
        let root = || rustix::fs::open("/", HOLD | OFlags::DIRECTORY, Mode::empty());
        let mut at = rustix::fs::open(".", HOLD | OFlags::DIRECTORY, Mode::empty())?;
        let steps = |path: &Path| -> Vec<OsString> {
            let text = |one: Component<'_>| match one {
                Component::CurDir => None,
                other => Some(other.as_os_str().to_owned()),
            };
            path.components().filter_map(text).collect()
        };
        let mut rest: VecDeque<OsString> = steps(path).into();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == "/" {
                at = root()?;
                continue;
            }
            if name == ".." {
                at = rustix::fs::openat(&at, "..", HOLD | OFlags::DIRECTORY, Mode::empty())?;
                continue;
            }
            let open = || rustix::fs::openat(&at, &name, HOLD | OFlags::NOFOLLOW, Mode::empty());
            let next = match (open(), make) {
                (Err(Errno::NOENT), Some(mode)) => {
                    let owner = rustix::fs::fstat(&at)?.st_uid;
                    if only_mine && !is_mine(owner) {
                        return Err(refused(format!(
                            "the folder above `{}` belongs to the user {owner}",
                            path.display()
                        )));
                    }
                    match rustix::fs::mkdirat(&at, &name, mode) {
                        Ok(()) => {
                            let made = open()?;
                            // Who may write to the folder above may have put something else there by now.
                            let stat = rustix::fs::fstat(&made)?;
                            if is(&stat, FileType::Directory) && stat.st_uid == rustix::process::geteuid().as_raw() {
                                give(&made, &at);
                            }
                            made
                        }
                        // Somebody was faster.
                        Err(Errno::EXIST) => open()?,
                        Err(error) => return Err(error.into()),
                    }
                }
                (other, _) => other?,
            };
            let stat = rustix::fs::fstat(&next)?;
            if is(&stat, FileType::Directory) {
                at = next;
            } else if is(&stat, FileType::Symlink) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                if !is_trusted(stat.st_uid) {
                    return Err(refused(format!(
                        "`{}` is a symbolic link of the user {}, which root does not follow",
                        name.to_string_lossy(),
                        stat.st_uid
                    )));
                }
                let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
                let target: OsString = std::os::unix::ffi::OsStringExt::from_vec(target.into_bytes());
                for step in steps(Path::new(&target)).into_iter().rev() {
                    rest.push_front(step);
                }
            } else {
                return Err(Errno::NOTDIR.into());
            }
        }
        Ok(Self { fd: at })
    }

    /// Opens the folder that a file is in; and the file's name.
    fn of(path: &Path) -> io::Result<(Self, OsString)> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        Ok((Self::open(path.parent().unwrap_or(Path::new("")))?, name))
    }

    /// Makes a file that is not there yet.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, also for a link.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))?;
        give(&fd, &self.fd);
        Ok(fd.into())
    }

    /// Makes a file whose name nobody can know before: what comes behind a random part. And that name.
    ///
    /// # Errors
    ///
    /// As [`Folder::create`].
    pub(crate) fn create_random(&self, before: &str, after: &str, mode: u32) -> io::Result<(File, String)> {
        for _ in 0..16 {
            let name = format!("{before}{:016x}{after}", random());
            match self.create(OsStr::new(&name), mode) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|file| (file, name)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Writes a whole file: the former one under its name stays until the new one is complete.
    ///
    /// # Errors
    ///
    /// What the kernel says; a link in its place is refused.
    pub(crate) fn replace(&self, name: &OsStr, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let mut made = self.replacement(name, mode)?;
        made.file.write_all(bytes)?;
        made.put().map(drop)
    }

    /// Makes a file that is not there yet, whole at once: nobody finds it half written.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, also for a link.
    pub(crate) fn place(&self, name: &OsStr, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let (file, temporary) = self.create_random(".netwright-", "", mode)?;
        let mut made = Replacement { folder: self, name: name.to_owned(), temporary: Some(temporary), file };
        made.file.write_all(bytes)?;
        made.put_beside()
    }

    fn replacement(&self, name: &OsStr, mode: u32) -> io::Result<Replacement<'_>> {
        let former = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is(&stat, FileType::Symlink) => return Err(a_link(name)),
            Ok(stat) if is(&stat, FileType::Directory) => return Err(Errno::ISDIR.into()),
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let (file, temporary) = self.create_random(".netwright-", "", mode)?;
        let own = file.metadata()?;
        if let Some(former) = former.filter(|former| is(former, FileType::RegularFile) && former.st_uid == own.uid()) {
            // Whom its owner lets read it is his to say.
            let _ = file.set_permissions(std::fs::Permissions::from_mode(former.st_mode & 0o777));
        }
        Ok(Replacement { folder: self, name: name.to_owned(), temporary: Some(temporary), file })
    }

    /// Reads a file that is no link, no pipe and no device.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn read(&self, name: &OsStr) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map(|_| text)
    }

    /// Opens what is there under a name, for writing to it as it is: an ordinary file that has no other name, a pipe or a device. Never a link, and
    /// never a pipe that somebody else has put there for root: its opening waits for him, and he reads what is written.
    fn in_place(&self, name: &OsStr, more: OFlags) -> io::Result<File> {
        let not_ours = |kind: FileType, owner: u32| kind == FileType::Fifo && owner != 0 && !is_mine(owner);
        let before = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if rustix::process::geteuid().is_root() && not_ours(FileType::from_raw_mode(before.st_mode), before.st_uid) {
            return Err(refused(format!("it is a pipe of the user {}", before.st_uid)));
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let file =
            File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(|error| match error {
                Errno::LOOP => a_link(name),
                other => other.into(),
            })?);
        let meta = file.metadata()?;
        if meta.is_file() && meta.nlink() != 1 {
            return Err(refused("it has several names, and may be a file of somebody else's".into()));
        }
        Ok(file)
    }
}

fn a_link(name: &OsStr) -> io::Error {
    refused(format!("`{}` is a symbolic link, and nothing is written through one", name.to_string_lossy()))
}

/// A file on its way into the place of another.
struct Replacement<'a> {
    folder: &'a Folder,
    name: OsString,
    temporary: Option<String>,
    file: File,
}

impl Replacement<'_> {
    fn put(mut self) -> io::Result<File> {
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.folder.fd, temporary, &self.folder.fd, &self.name)?;
        }
        self.temporary = None;
        self.file.try_clone()
    }

    /// Unless something has the name.
    fn put_beside(self) -> io::Result<()> {
        let Some(temporary) = &self.temporary else { return Ok(()) };
        Ok(rustix::fs::linkat(&self.folder.fd, temporary, &self.folder.fd, &self.name, AtFlags::empty())?)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rustix::fs::unlinkat(&self.folder.fd, temporary, AtFlags::empty());
        }
    }
}

/// Gives what was just made to the user behind sudo, when the folder is his.
fn give(made: &OwnedFd, folder: &OwnedFd) {
    let Some((uid, gid)) = sudo_user() else { return };
    if rustix::fs::fstat(folder).is_ok_and(|stat| stat.st_uid == uid) {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), gid.map(rustix::fs::Gid::from_raw));
        // By the descriptor itself, which may be one that only names the file (`O_PATH`).
        let _ = rustix::fs::chownat(made, "", Some(uid), gid, AtFlags::EMPTY_PATH);
    }
}

/// A number that nobody can know before.
fn random() -> u64 {
    let mut bytes = [0; 8];
    if rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).is_ok_and(|count| count == 8) {
        return u64::from_ne_bytes(bytes);
    }
    // A kernel that cannot say (early boot): the seeds of std's hash maps are random, too, and `O_EXCL` holds in any case.
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), std::time::Instant::now())
}

/// Where a report or a stream of events goes.
#[derive(Debug)]
pub(crate) struct Output {
    place: Place,
    path: PathBuf,
}

#[derive(Debug)]
enum Place {
    /// Made anew in this folder under this name.
    New(Folder, OsString),
    /// Written to as it is.
    Open(File),
}

impl Output {
    /// Looks whether the file can be written, without touching what is in it.
    ///
    /// # Errors
    ///
    /// What the kernel says; `PermissionDenied` for a link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.to_path_buf();
        if names_own_descriptor(&path) {
            let file = File::options().write(true).open(&path)?;
            return Ok(Self { place: Place::Open(file), path });
        }
        let (folder, name) = Folder::of(&path)?;
        let ordinary = match rustix::fs::statat(&folder.fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is(&stat, FileType::Symlink) => return Err(a_link(&name)),
            Ok(stat) if is(&stat, FileType::Directory) => return Err(Errno::ISDIR.into()),
            Ok(stat) => is(&stat, FileType::RegularFile),
            Err(Errno::NOENT) => true,
            Err(error) => return Err(error.into()),
        };
        if !ordinary {
            // A pipe or a device, such as `/dev/null`, must stay what it is.
            let file = folder.in_place(&name, OFlags::empty())?;
            return Ok(Self { place: Place::Open(file), path });
        }
        let tried = folder.replacement(&name, SHARED).map(drop);
        let place = match tried {
            Ok(()) => Place::New(folder, name),
            // The folder may not be written, but a file that somebody has put there for this may.
            Err(error) => Place::Open(folder.in_place(&name, OFlags::empty()).map_err(|_| error)?),
        };
        Ok(Self { place, path })
    }

    /// Its path, as it was given.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Empties it, for [`Output::write`].
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let file = match &self.place {
            Place::New(folder, name) => folder.replacement(name, SHARED)?.put(),
            Place::Open(file) => emptied(file),
        }?;
        self.place = Place::Open(file);
        Ok(())
    }

    /// Writes on, after [`Output::begin`].
    ///
    /// # Errors
    ///
    /// When the disk is full or gone.
    pub(crate) fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.place {
            Place::Open(file) => file.write_all(text.as_bytes()),
            Place::New(..) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes all that it is to hold.
    ///
    /// # Errors
    ///
    /// When the disk is full or gone.
    pub(crate) fn write_whole(&mut self, text: &str) -> io::Result<()> {
        match &self.place {
            Place::New(folder, name) => match folder.replace(name, SHARED, text.as_bytes()) {
                // One file of a container is mounted by itself: it cannot be replaced.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    emptied(&folder.in_place(name, OFlags::empty())?)?.write_all(text.as_bytes())
                }
                other => other,
            },
            Place::Open(file) => emptied(file)?.write_all(text.as_bytes()),
        }
    }
}

/// The same file, from its beginning, with nothing in it; a pipe or a device is what it is.
fn emptied(file: &File) -> io::Result<File> {
    let mut file = file.try_clone()?;
    if file.metadata()?.is_file() {
        file.set_len(0)?;
        io::Seek::rewind(&mut file)?;
    }
    Ok(file)
}

/// Whether a path is one of this process's own open files, as a shell gives them (`--events >(jq .)`).
fn names_own_descriptor(path: &Path) -> bool {
    let number = ["/dev/fd", "/proc/self/fd"].iter().find_map(|folder| path.strip_prefix(folder).ok());
    let digits = |rest: &Path| rest.to_str().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.is_some_and(digits) || path == Path::new("/dev/stdout") || path == Path::new("/dev/stderr")
}

/// Makes a file that is not there yet.
///
/// # Errors
///
/// `AlreadyExists`, also for a link.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    let (folder, name) = Folder::of(path)?;
    folder.create(&name, mode)
}

/// Writes a whole file, as [`Folder::replace`].
///
/// # Errors
///
/// What the kernel says; a link in its place is refused.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = Folder::of(path)?;
    folder.replace(&name, mode, bytes)
}

/// Opens a log for appending: a new file, or an ordinary one of this user or the one behind sudo.
///
/// # Errors
///
/// `PermissionDenied` for a link, or when it is somebody else's.
pub(crate) fn append(path: &Path, mode: u32) -> io::Result<File> {
    if names_own_descriptor(path) {
        return File::options().append(true).open(path);
    }
    let (folder, name) = Folder::of(path)?;
    let file = match folder.in_place(&name, OFlags::APPEND) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = folder.create(&name, mode)?;
            rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
            return Ok(file);
        }
        other => other?,
    };
    let meta = file.metadata()?;
    if meta.is_file() && meta.uid() != 0 && !is_mine(meta.uid()) {
        return Err(refused(format!("it belongs to the user {}", meta.uid())));
    }
    Ok(file)
}

/// Whether a process has this very file open. Its path alone says nothing: in a mount namespace of one's own every path can be made, and a file
/// opened there can be sent to a process of somebody else's.
#[must_use]
pub(crate) fn is_open_in(pid: &str, path: &Path) -> bool {
    let files = std::fs::read_dir(Path::new("/proc").join(pid).join("fd")).into_iter().flatten().flatten();
    let named = files.map(|file| file.path()).filter(|file| std::fs::read_link(file).is_ok_and(|to| to == path));
    let same = |one: std::fs::Metadata, other: std::fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    named.into_iter().any(|file| {
        std::fs::metadata(file).is_ok_and(|open| std::fs::metadata(path).is_ok_and(|there| same(open, there)))
    })
}

/// The terminal, whatever standard output and error are.
///
/// # Errors
///
/// Without one.
pub(crate) fn terminal() -> io::Result<File> {
    File::options().read(true).write(true).open("/dev/tty")
}

/// Makes a folder of netwright's own state and those above it up to `home`, for this user alone; what is there must be so.
///
/// # Errors
///
/// `PermissionDenied` when somebody else made one of them: nothing in it is believed.
pub(crate) fn private(home: &Path, folder: &Path) -> io::Result<()> {
    let make = || {
        for one in between(home, folder) {
            match rustix::fs::mkdir(one, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            check_private(one)?;
        }
        Ok(())
    };
    let mut tries = 0;
    loop {
        match make() {
            // Another run that ends takes away what is empty, also between two steps of this.
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound && tries < PRIVATE_TRIES => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// How often the folders of netwright's own state may be taken away while they are made, a millisecond apart: each time another run or `gc` has ended
/// in that moment.
const PRIVATE_TRIES: usize = 1000;

/// `home` and all folders below it down to `folder`, from the top.
fn between<'a>(home: &Path, folder: &'a Path) -> Vec<&'a Path> {
    let mut all: Vec<&Path> = folder.ancestors().take_while(|one| one.starts_with(home)).collect();
    all.reverse();
    all
}

/// Looks whether the folders of netwright's own state are this user's alone. One that an earlier version left open to others is closed to them.
///
/// # Errors
///
/// `NotFound`; `PermissionDenied` when somebody else made one of them.
pub(crate) fn trusted(home: &Path, folder: &Path) -> io::Result<()> {
    between(home, folder).into_iter().try_for_each(check_private)
}

fn check_private(folder: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let shown = folder.display();
    let fd = match rustix::fs::open(folder, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused(format!("`{shown}` is no folder"))),
        Err(error) => return Err(error.into()),
    };
    let stat = rustix::fs::fstat(&fd)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(refused(format!("`{shown}` was made by the user {}, and is not believed", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        rustix::fs::fchmod(&fd, Mode::RWXU)?;
    }
    Ok(())
}

/// Opens or makes a file of netwright's own state, in a folder that is [`private`].
///
/// # Errors
///
/// What the kernel says.
pub(crate) fn state(path: &Path, how: State) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.read(true).mode(PRIVATE).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match how {
        State::Open => options.write(true),
        State::OpenOrMake => options.write(true).create(true).truncate(false),
        State::Append => options.append(true),
        State::AppendOrMake => options.append(true).create(true),
        State::Make => options.append(true).create_new(true),
    };
    options.open(path)
}

/// How a file of netwright's own state is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It must be there.
    Open,
    /// It is made when it is not there.
    OpenOrMake,
    /// It must be there, and is written to at its end.
    Append,
    /// The same, made when it is not there.
    AppendOrMake,
    /// It must not be there, and is written to at its end.
    Make,
}

/// Reads an ordinary file; a pipe, which would hold who opens it, and a device are none.
///
/// # Errors
///
/// What the kernel says; `InvalidInput` for what is no ordinary file.
pub(crate) fn read_ordinary(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Looked at first: to open a device may be an act.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map(|_| bytes)
}

/// A folder of root's in what is perhaps somebody else's tree of files (`/proc/PID/root`): each step is looked at before it is opened, no link is
/// followed, and what is not this user's, or others may write to, is refused.
#[derive(Debug)]
pub(crate) struct Foreign(OwnedFd);

/// How large a file of a foreign folder may be, in bytes: a journal of 100,000 commands has a tenth of it.
const FOREIGN_MAX: u64 = 1 << 30;

impl Foreign {
    /// Opens the root of a tree.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// A folder below it.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` for what is not this user's alone to write to, or a link.
    pub(crate) fn below(&self, path: &Path) -> io::Result<Self> {
        let mut at = self.0.try_clone()?;
        for step in path.components() {
            at = Self::step(&at, step.as_os_str(), FileType::Directory)?;
        }
        Ok(Self(at))
    }

    fn step(at: &OwnedFd, name: &OsStr, kind: FileType) -> io::Result<OwnedFd> {
        let next = rustix::fs::openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&next)?;
        // What is ours in a folder that is sticky nobody else can take away.
        let alone = stat.st_mode & 0o022 == 0 || stat.st_mode & 0o1000 != 0;
        let is_mine = stat.st_uid == rustix::process::geteuid().as_raw() && alone;
        if is_mine && is(&stat, kind) { Ok(next) } else { Err(refused("it is not believed".into())) }
    }

    /// Device and inode.
    #[must_use]
    pub(crate) fn id(&self) -> (u64, u64) {
        rustix::fs::fstat(&self.0).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
    }

    /// The names in it.
    #[must_use]
    pub(crate) fn names(&self) -> Vec<String> {
        // What only names a folder (`O_PATH`) cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&self.0, ".", flags, Mode::empty());
        let entries = open.and_then(rustix::fs::Dir::read_from).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        names.filter(|name| !matches!(name.as_str(), "." | "..")).collect()
    }

    /// What stands in a file in it.
    ///
    /// # Errors
    ///
    /// As [`Foreign::below`], and for what is no ordinary file or larger than any journal.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Self::step(&self.0, OsStr::new(name), FileType::RegularFile)?;
        // Should another be there by now, it holds nobody.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
        let mut bytes = Vec::new();
        file.take(FOREIGN_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// An open folder, for reading many files of it: by their whole paths the kernel would look, in `/proc/sys/net`, among the files of that name of all
/// namespaces, each time.
#[derive(Debug)]
pub(crate) struct ReadFolder(OwnedFd);

impl ReadFolder {
    /// Opens a folder; `None` when there is none that may be read.
    #[must_use]
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).ok().map(Self)
    }

    /// Opens a folder in it.
    #[must_use]
    pub(crate) fn folder(&self, name: &str) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.0, name, flags, Mode::empty()).ok().map(Self)
    }

    /// The names in it, and which of them are folders.
    #[must_use]
    pub(crate) fn names(&self) -> Vec<(String, bool)> {
        let entries = rustix::fs::Dir::read_from(&self.0).into_iter().flatten().flatten();
        let named = |entry: rustix::fs::DirEntry| {
            let name = entry.file_name().to_str().ok().filter(|name| !matches!(*name, "." | ".."))?;
            Some((name.to_owned(), entry.file_type().is_dir()))
        };
        entries.filter_map(named).collect()
    }

    /// What stands in a file of it that is a setting of the kernel; `None` when it cannot be read or is no text. Such a file is told as a whole, as far
    /// as there is room (`proc_sys_call_handler`): a second look for its end is left out.
    #[must_use]
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.0, name, flags, Mode::empty()).ok()?;
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match rustix::io::read(&file, &mut buffer) {
                Ok(count) => {
                    text.extend_from_slice(buffer.get(..count)?);
                    if count < buffer.len() {
                        return String::from_utf8(text).ok();
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn lab() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_is_placed_is_whole_and_takes_no_name_that_is_taken() {
        let lab = lab();
        let folder = Folder::open(lab.path()).unwrap();
        folder.place(OsStr::new("a"), SHARED, b"first").unwrap();
        symlink("nowhere", lab.path().join("b")).unwrap();
        for name in ["a", "b"] {
            let error = folder.place(OsStr::new(name), SHARED, b"second").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(std::fs::read_to_string(lab.path().join("a")).unwrap(), "first");
        assert_eq!(std::fs::read_dir(lab.path()).unwrap().count(), 2, "nothing of the attempts is left");
    }

    /// Every door, on a name that somebody else has put there as a link to a precious file, or as another name of it.
    #[test]
    fn nothing_is_written_through_a_link_or_a_second_name() {
        type Door = fn(&Path) -> io::Result<()>;
        let doors: [(&str, Door); 5] = [
            ("report", |path| Output::open(path)?.write_whole("new")),
            ("events", |path| {
                let mut output = Output::open(path)?;
                output.begin()?;
                output.write("new")
            }),
            ("append", |path| append(path, AUDIT)?.write_all(b"new")),
            ("replace", |path| replace(path, SHARED, b"new")),
            ("create", |path| create(path, SHARED)?.write_all(b"new")),
        ];
        for (door, write) in doors {
            let lab = lab();
            let (precious, name) = (lab.path().join("precious"), lab.path().join("out"));
            std::fs::write(&precious, "precious").unwrap();
            symlink(&precious, &name).unwrap();
            let error = write(&name).unwrap_err();
            assert!(matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AlreadyExists), "{door}");
            std::fs::remove_file(&name).unwrap();
            // A link to nothing makes nothing either.
            symlink(lab.path().join("nothing"), &name).unwrap();
            write(&name).unwrap_err();
            assert!(!lab.path().join("nothing").exists(), "{door}");
            std::fs::remove_file(&name).unwrap();
            std::fs::hard_link(&precious, &name).unwrap();
            let _ = write(&name);
            assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{door}");
            std::fs::remove_file(&name).unwrap();
            write(&name).unwrap();
            assert_eq!(std::fs::read_to_string(&name).unwrap(), "new", "{door}");
            let left: Vec<_> = std::fs::read_dir(lab.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
            assert_eq!(left.len(), 2, "{door}: {left:?}");
        }
    }

    #[test]
    fn a_report_is_whole_or_the_former_one() {
        let lab = lab();
        let path = lab.path().join("r");
        std::fs::write(&path, "former").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut output = Output::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "former");
        output.write_whole("one").unwrap();
        output.write_whole("two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "whom it was closed to");
        assert_eq!(Output::open(lab.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(Output::open(&lab.path().join("no/r")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_device_stays_what_it_is() {
        let null = Path::new("/dev/null");
        let before = std::fs::metadata(null).unwrap();
        let mut output = Output::open(null).unwrap();
        output.write_whole("x").unwrap();
        output.begin().unwrap();
        output.write("x").unwrap();
        let now = std::fs::metadata(null).unwrap();
        assert_eq!((before.ino(), before.uid(), before.mode()), (now.ino(), now.uid(), now.mode()));
    }

    #[test]
    fn captures_are_private_and_cannot_be_guessed() {
        let lab = lab();
        let folder = Folder::make(&lab.path().join("a/b"), 0o700).unwrap();
        let (file, one) = folder.create_random("x-", ".pcap", PRIVATE).unwrap();
        let (_, two) = folder.create_random("x-", ".pcap", PRIVATE).unwrap();
        assert_ne!(one, two);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(lab.path().join("a")).unwrap().mode() & 0o777, 0o700);
        assert!(lab.path().join("a/b").join(one).exists());
    }

    #[test]
    fn root_keeps_nothing_in_the_home_of_somebody_else() {
        let lab = lab();
        let home = lab.path().join("home");
        std::fs::create_dir(&home).unwrap();
        Folder::own(&home.join("mine"), 0o700).unwrap();
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can give folders away");
            return;
        }
        std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
        Folder::own(&home.join("more/state"), 0o700).unwrap_err();
        assert!(!home.join("more").exists());
    }

    #[test]
    fn links_on_the_way_are_followed_only_as_far_as_they_may() {
        let lab = lab();
        std::fs::create_dir(lab.path().join("there")).unwrap();
        symlink("there", lab.path().join("link")).unwrap();
        symlink("loop", lab.path().join("loop")).unwrap();
        assert!(Folder::open(&lab.path().join("loop")).is_err());
        Folder::open(&lab.path().join("link/../link/.")).unwrap();
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can make links of others");
            return;
        }
        std::os::unix::fs::lchown(lab.path().join("link"), Some(12345), None).unwrap();
        let error = create(&lab.path().join("link/file"), SHARED).unwrap_err();
        assert!(error.to_string().contains("symbolic link of the user 12345"), "{error}");
        assert!(!lab.path().join("there/file").exists());
    }

    #[test]
    fn whoever_is_mapped_is_somebody() {
        let all = "         0          0 4294967295\n";
        assert!(
            maps(all, OVERFLOW) && maps("0 100000 65536\n", OVERFLOW) && maps("0 1000 1\n1 100000 65535\n", OVERFLOW)
        );
        assert!(!maps("0 1000 1\n", OVERFLOW) && !maps("0 1000 1\n1 100000 65533\n", OVERFLOW));
        assert!(maps("", OVERFLOW), "what cannot be read");
    }

    #[test]
    fn root_writes_into_no_pipe_of_somebody_else() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can make pipes of others");
            return;
        }
        let lab = lab();
        let pipe = lab.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let reader = File::options().read(true).write(true).open(&pipe).unwrap();
        append(&pipe, AUDIT).unwrap().write_all(b"one's own").unwrap();
        std::os::unix::fs::chown(&pipe, Some(12345), None).unwrap();
        for error in [append(&pipe, AUDIT).unwrap_err(), Output::open(&pipe).unwrap_err()] {
            assert!(error.to_string().contains("a pipe of the user 12345"), "{error}");
        }
        drop(reader);
    }

    #[test]
    fn of_a_foreign_tree_only_what_is_ones_own_is_read() {
        let lab = lab();
        let runs = lab.path().join("run/runs");
        std::fs::create_dir_all(runs.join("1")).unwrap();
        for folder in ["run", "run/runs", "run/runs/1"] {
            std::fs::set_permissions(lab.path().join(folder), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        std::fs::write(runs.join("1/journal"), "text").unwrap();
        let open = || Foreign::open(lab.path())?.below(Path::new("run/runs/1"));
        assert_eq!(open().unwrap().read("journal").unwrap(), b"text");
        assert_eq!(Foreign::open(lab.path()).unwrap().below(Path::new("run/runs")).unwrap().names(), ["1"]);
        symlink("/etc/passwd", runs.join("1/link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, runs.join("1/pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        for name in ["link", "pipe", "none"] {
            open().unwrap().read(name).unwrap_err();
        }
        std::fs::set_permissions(runs.join("1"), std::fs::Permissions::from_mode(0o777)).unwrap();
        open().unwrap_err();
        std::fs::remove_dir_all(runs.join("1")).unwrap();
        symlink("/", runs.join("1")).unwrap();
        open().unwrap_err();
    }

    #[test]
    fn a_file_is_told_from_another_of_its_path() {
        let lab = lab();
        let path = lab.path().join("mark").canonicalize().unwrap_or(lab.path().join("mark"));
        let own = std::process::id().to_string();
        let open = File::create(&path).unwrap();
        assert!(is_open_in(&own, &path));
        drop(open);
        assert!(!is_open_in(&own, &path));
    }

    #[test]
    fn folders_of_state_are_made_while_others_take_empty_ones_away() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let lab = lab();
        let home = lab.path().join("state");
        let folder = home.join("runs");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = std::fs::remove_dir(&folder);
                    let _ = std::fs::remove_dir(&home);
                    // Others have something else to do, too; without a pause nobody would ever get through.
                    std::thread::sleep(std::time::Duration::from_micros(1));
                }
            });
            let all: Vec<_> = (0..5000).map(|_| private(&home, &folder)).collect();
            stop.store(true, Ordering::Relaxed);
            for one in all {
                one.unwrap();
            }
        });
    }

    #[test]
    fn a_folder_of_state_that_somebody_else_made_is_not_believed() {
        let lab = lab();
        let home = lab.path().join("state");
        private(&home, &home.join("runs/1")).unwrap();
        for folder in [&home, &home.join("runs"), &home.join("runs/1")] {
            assert_eq!(std::fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
        }
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
        trusted(&home, &home.join("runs")).unwrap();
        assert_eq!(std::fs::metadata(&home).unwrap().mode() & 0o777, 0o700, "closed again");
        let file = state(&home.join("runs/1/lock"), State::OpenOrMake).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        let link = lab.path().join("link");
        symlink(&home, &link).unwrap();
        assert!(trusted(&link, &link).is_err());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(home.join("runs"), Some(12345), None).unwrap();
            let error = trusted(&home, &home.join("runs/1")).unwrap_err();
            assert!(error.to_string().contains("made by the user 12345"), "{error}");
        }
    }
}
