//! What failed last time, for `--failed`: one small file per folder under the user's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::files::{self, Folder};

/// The tests that failed, by the absolute path of their file.
pub(crate) type Failed = BTreeMap<PathBuf, BTreeSet<String>>;

/// `$XDG_CACHE_HOME/netwright` or `~/.cache/netwright`; the temporary folder when there is no home.
#[must_use]
pub(crate) fn folder() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("netwright")
}

fn file() -> String {
    let mut hasher = DefaultHasher::new();
    std::env::current_dir().unwrap_or_default().hash(&mut hasher);
    format!("failed-{:016x}.json", hasher.finish())
}

/// What failed last time in this folder; nothing when nobody remembers.
#[must_use]
pub(crate) fn recall() -> Failed {
    let text = Folder::open(&folder()).and_then(|folder| folder.read(file().as_ref())).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Remembers what failed this time: of the tests that did not run, the memory stays.
///
/// # Errors
///
/// When the cache cannot be written; the run is none the worse.
pub(crate) fn remember(ran: &Failed, failed: &Failed) -> Result<()> {
    let mut all = recall();
    for (path, tests) in ran {
        if let Some(known) = all.get_mut(path) {
            known.retain(|test| !tests.contains(test));
        }
    }
    for (path, tests) in failed {
        all.entry(path.clone()).or_default().extend(tests.iter().cloned());
    }
    all.retain(|_, tests| !tests.is_empty());
    let write = || -> std::io::Result<()> {
        let folder = Folder::own(&folder(), 0o700)?;
        folder.replace(file().as_ref(), files::PRIVATE, &serde_json::to_vec(&all)?)
    };
    write().map_err(|error| {
        Error::new(Kind::CommandFailed, format!("cannot remember the failed tests: {error}"))
            .hint("set XDG_CACHE_HOME to a folder that you may write")
    })
}
