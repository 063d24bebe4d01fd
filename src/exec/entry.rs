//! What a process enters before it starts: a network namespace, the files of the user's programs.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::netns::{NetnsFile, enter_error};
use crate::error::{Error, Kind, Result};

/// What makes the mount namespace of the user's programs.
pub(crate) type Make = Box<dyn Fn() -> Result<File>>;

/// The files that the user's programs see, when they are not those of netwright itself: a mount namespace, made when the first of them is started.
#[derive(Default)]
pub(super) struct UserFiles {
    make: Option<Make>,
    made: OnceCell<File>,
}

impl UserFiles {
    pub(super) fn new(make: Make) -> Self {
        Self { make: Some(make), made: OnceCell::new() }
    }

    /// The mount namespace; `None` when the programs see what netwright sees.
    pub(super) fn get(&self) -> Result<Option<&File>> {
        match (&self.make, self.made.get()) {
            (None, _) => Ok(None),
            (Some(_), Some(file)) => Ok(Some(file)),
            (Some(make), None) => {
                let file = make()?;
                Ok(Some(self.made.get_or_init(|| file)))
            }
        }
    }
}

/// Where a process starts. The default is where the calling thread is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry<'a> {
    netns: Option<&'a NetnsFile>,
    files: Option<&'a File>,
}

impl<'a> Entry<'a> {
    /// In this network namespace, when there is one.
    #[must_use]
    pub(crate) fn of(netns: Option<&'a NetnsFile>) -> Self {
        Self { netns, files: None }
    }

    /// And in this mount namespace, when there is one.
    #[must_use]
    pub(crate) fn with_files(self, files: Option<&'a File>) -> Self {
        Self { files, ..self }
    }

    /// Runs `work` there: on a thread of its own, unless the calling one is there.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` or what else kept the thread from entering; `Internal` if `work` panicked.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        if self.files.is_none() && self.netns.is_none_or(NetnsFile::is_entered) {
            return Ok(work());
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .spawn_scoped(scope, || self.enter().map(|()| work()))
                .map_err(|error| Error::new(Kind::Unsupported, format!("cannot start a thread: {error}")))?;
            match thread.join() {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(enter_error(&error)),
                Err(_) => Err(Error::new(Kind::Internal, "a worker thread panicked")),
            }
        })
    }

    /// Moves the calling thread there.
    pub(super) fn enter(&self) -> io::Result<()> {
        if let Some(netns) = self.netns {
            netns.enter()?;
        }
        let Some(files) = self.files else { return Ok(()) };
        let here = std::env::current_dir();
        // SAFETY: `FS` only parts this thread's current directory and root from those of the others, which setns(2) demands.
        unsafe { unshare_unsafe(UnshareFlags::FS) }?;
        move_into_link_name_space(files.as_fd(), Some(LinkNameSpaceType::Mount))?;
        // It begins at the root there. A folder that is gone meanwhile leaves it where it is.
        let _ = here.and_then(std::env::set_current_dir);
        Ok(())
    }
}
