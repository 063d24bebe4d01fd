//! Names that a run works on: two runs never work on the same ones at the same time.
//!
//! One file per name under `/run/netwright/claims`, locked (flock) for the life of the run. The kernel lets go of the lock with the process, so
//! there is nothing to clean up after `kill -9`; the empty files are removed by `gc`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Kind, Result};
use crate::files::{self, State};
use crate::patience::scaled;

/// Where names are claimed.
pub(crate) const CLAIMS: &str = "/run/netwright/claims";

/// How long a process that was killed may take to let go of its last claim.
const DYING: Duration = Duration::from_secs(2);

/// The names that a run holds.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<String, File>);

impl Claims {
    /// Claims a name (`netns blue`, `link br0`) for the run `id`; `place` is where alone the name means that, empty when everywhere.
    pub(super) fn claim(&mut self, place: &str, what: &str, name: &str, id: &str) -> Result<()> {
        let key = if place.is_empty() { format!("{what}.{name}") } else { format!("{what}.{place}.{name}") };
        if self.0.contains_key(&key) {
            return Ok(());
        }
        let cannot = |error: std::io::Error| {
            Error::new(Kind::CommandFailed, format!("cannot claim {what} `{name}` in `{CLAIMS}`: {error}"))
        };
        let path = Path::new(CLAIMS).join(&key);
        loop {
            let opened = files::state(&path, State::OpenOrMake);
            let mut file = match opened {
                // It is the first, or another run that ended just now took the empty folder away.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    files::private(Path::new(super::journal::HOME), Path::new(CLAIMS)).map_err(cannot)?;
                    continue;
                }
                other => other.map_err(cannot)?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) if super::journal::is_held_by_strangers(&file, &path) => {
                    std::fs::remove_file(&path).map_err(cannot)?;
                    continue;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut owner = String::new();
                    let _ = file.read_to_string(&mut owner);
                    let owner =
                        if owner.is_empty() { "another run".to_owned() } else { format!("the run {}", owner.trim()) };
                    return Err(Error::new(Kind::Busy, format!("{what} `{name}` is held by {owner}"))
                        .hint("wait until it has ended: `netwright ps` lists the runs of this machine"));
                }
                Err(error) => return Err(cannot(error.into())),
            }
            let Some(length) = length_of_same(&file, &path) else {
                // `gc` removed it between the opening and the locking.
                continue;
            };
            if length > 0 {
                let _ = file.set_len(0).and_then(|()| file.rewind());
            }
            let _ = file.write_all(id.as_bytes());
            self.0.insert(key, file);
            return Ok(());
        }
    }
}

impl Claims {
    /// Removes the files, then the locks.
    pub(super) fn release(self) {
        for (key, file) in self.0 {
            let _ = std::fs::remove_file(Path::new(CLAIMS).join(key));
            drop(file);
        }
        remove_empty();
    }
}

/// The length of an open file, if it is the one that has this path.
fn length_of_same(file: &File, path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let (there, own) = (std::fs::metadata(path).ok()?, file.metadata().ok()?);
    (own.ino() == there.ino()).then_some(own.len())
}

/// Removes the files of claims that nobody holds.
pub(crate) fn sweep() {
    let Ok(entries) = std::fs::read_dir(CLAIMS) else {
        // A run that was killed before its first line may have made nothing but the folder.
        remove_empty();
        return;
    };
    let mut held: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let until = Instant::now() + scaled(DYING);
    loop {
        // A process that was killed lets go of its locks one after the other: that of the run, which somebody undid since, and then those of names.
        held.retain(|path| !removed(path) && is_of_no_run(path));
        if held.is_empty() || Instant::now() >= until {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    remove_empty();
}

/// Removes the file of a claim if nobody holds it.
fn removed(path: &Path) -> bool {
    let Ok(file) = files::state(path, State::Open) else { return true };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && std::fs::remove_file(path).is_ok()
}

/// Whether a claim names a run that has no journal any more.
fn is_of_no_run(path: &Path) -> bool {
    let mut owner = String::new();
    let read = files::state(path, State::Open).and_then(|mut file| file.read_to_string(&mut owner));
    read.is_ok() && !owner.is_empty() && !Path::new(super::journal::RUNS).join(owner.trim()).exists()
}

/// Only empty folders go.
fn remove_empty() {
    super::shared::sweep();
    for folder in [CLAIMS, super::journal::RUNS, super::journal::HOME] {
        let _ = std::fs::remove_dir(folder);
    }
}
