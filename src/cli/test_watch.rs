//! `netwright test --watch`: when a file changes, the tests that it may concern run again.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::signal_code;
use crate::error::Result;
use crate::exec::interrupt::Interrupt;
use crate::report::human;
use crate::testing::discover;

/// How often it is looked; in folders with very many files less often.
const LOOKED: Duration = Duration::from_millis(300);
/// A look may take this part of the time.
const SHARE: u32 = 10;
/// An editor or a checkout writes more than once: it is waited until nothing changes for so long.
const QUIET: Duration = Duration::from_millis(100);
/// How fast a signal is seen.
const TICK: Duration = Duration::from_millis(50);
/// Scripts, and what they read: a table of what is expected.
const ENDINGS: [&str; 2] = ["rhai", "json"];
/// How deep folders are looked into.
const DEPTH: usize = 20;

/// What tells one version of a file from another. An editor may put a new file in the place of the old one.
type Version = (Option<SystemTime>, u64, u64);
type Seen = BTreeMap<PathBuf, Version>;

/// Runs all files, and then again what a change concerns, until a signal; the exit code. What is written into the folders and files `own` is no change.
pub(super) fn watch(
    paths: &[PathBuf],
    own: &[PathBuf],
    interrupt: &Interrupt,
    mut run: impl FnMut(Vec<PathBuf>) -> Result<u8>,
) -> Result<u8> {
    let ended = || interrupt.signal().map(signal_code);
    let mut files = discover::files(paths)?;
    let mut seen = look(paths, own);
    loop {
        run(files)?;
        if let Some(code) = ended() {
            return Ok(code);
        }
        human::line("waiting for a change; Ctrl-C ends it");
        files = loop {
            let begun = Instant::now();
            let mut now = look(paths, own);
            if now == seen {
                let pause = LOOKED.max(begun.elapsed() * SHARE);
                if let Some(code) = wait(pause, &ended) {
                    return Ok(code);
                }
                continue;
            }
            loop {
                if let Some(code) = wait(QUIET, &ended) {
                    return Ok(code);
                }
                let later = look(paths, own);
                if std::mem::replace(&mut now, later) == now {
                    break;
                }
            }
            let changed = differences(&seen, &now);
            seen = now;
            // A folder that is gone for a moment has no tests.
            let concerned = concerned(discover::files(paths).unwrap_or_default(), &changed);
            if !concerned.is_empty() {
                let names: Vec<String> = changed.iter().take(3).map(|path| path.display().to_string()).collect();
                let more = if changed.len() > names.len() { ", …" } else { "" };
                human::line(&format!("\nchanged: {}{more}", names.join(", ")));
                break concerned;
            }
        };
    }
}

/// Waits, unless a signal comes.
fn wait(pause: Duration, ended: &impl Fn() -> Option<u8>) -> Option<u8> {
    let until = Instant::now() + pause;
    while Instant::now() < until {
        if let Some(code) = ended() {
            return Some(code);
        }
        std::thread::sleep(TICK.min(pause));
    }
    ended()
}

/// Everything that tests below these paths may read: a module is always below the folder of the script that imports it.
fn look(paths: &[PathBuf], own: &[PathBuf]) -> Seen {
    let here = [PathBuf::from(".")];
    let mut seen = Seen::new();
    for path in if paths.is_empty() { &here[..] } else { paths } {
        let folder = if path.is_dir() { path.clone() } else { folder_of(path) };
        walk(&folder, own, DEPTH, &mut seen);
    }
    seen
}

fn walk(folder: &Path, own: &[PathBuf], depth: usize, seen: &mut Seen) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let (name, path) = (entry.file_name(), entry.path());
        let path = path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path);
        if std::path::absolute(&path).is_ok_and(|path| own.contains(&path)) {
            continue;
        }
        if kind.is_dir() {
            let hidden = name.as_encoded_bytes().starts_with(b".") || name == "target";
            if depth > 0 && !hidden {
                walk(&path, own, depth - 1, seen);
            }
        } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
            && let Ok(meta) = std::fs::metadata(&path)
        {
            seen.insert(path, (meta.modified().ok(), meta.len(), meta.ino()));
        }
    }
}

/// What is new, gone, or another.
fn differences(before: &Seen, now: &Seen) -> Vec<PathBuf> {
    let other = |(path, version): &(&PathBuf, &Version)| before.get(*path) != Some(version);
    let gone = before.keys().filter(|path| !now.contains_key(*path));
    now.iter().filter(other).map(|(path, _)| path).chain(gone).cloned().collect()
}

/// The test files that changes concern: themselves, and what changed at or below their folder that is no test file.
fn concerned(mut files: Vec<PathBuf>, changed: &[PathBuf]) -> Vec<PathBuf> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let changed: Vec<PathBuf> = changed.iter().map(|path| real(path)).collect();
    let is_test = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(discover::SUFFIX));
    files.retain(|file| {
        let file = real(file);
        let folder = folder_of(&file);
        changed.iter().any(|path| *path == file || !is_test(path) && path.starts_with(&folder))
    });
    files
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_concerns_the_test_itself_and_what_may_import_it() {
        let top = tempfile::tempdir().unwrap();
        for file in [
            "a_test.rhai",
            "lib/b.rhai",
            "x/c_test.rhai",
            "x/lib/d.rhai",
            "x/e.json",
            "x/f.txt",
            ".g/h.rhai",
            "out/i.json",
        ] {
            let path = top.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1").unwrap();
        }
        let paths = [top.path().to_path_buf()];
        let own = [top.path().join("out")];
        let names = |files: &[PathBuf]| -> Vec<String> {
            files.iter().map(|file| file.strip_prefix(top.path()).unwrap().display().to_string()).collect()
        };
        let before = look(&paths, &own);
        let seen: Vec<PathBuf> = before.keys().cloned().collect();
        assert_eq!(names(&seen), ["a_test.rhai", "lib/b.rhai", "x/c_test.rhai", "x/e.json", "x/lib/d.rhai"]);
        let all = discover::files(&paths).unwrap();
        for (file, again) in [
            ("a_test.rhai", &["a_test.rhai"][..]),
            ("lib/b.rhai", &["a_test.rhai"]),
            ("x/c_test.rhai", &["x/c_test.rhai"]),
            ("x/lib/d.rhai", &["a_test.rhai", "x/c_test.rhai"]),
            ("x/f.txt", &[]),
        ] {
            let path = top.path().join(file);
            std::fs::write(&path, "longer than it was").unwrap();
            let changed = differences(&before, &look(&paths, &own));
            assert_eq!(names(&concerned(all.clone(), &changed)), again, "{file}");
            std::fs::write(&path, "1").unwrap();
            // So that the next looks at one change only.
            let time = before.get(&path).and_then(|(time, ..)| *time);
            if let Some(time) = time {
                std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
        }
        std::fs::remove_file(top.path().join("x/e.json")).unwrap();
        assert_eq!(names(&differences(&before, &look(&paths, &own))), ["x/e.json"]);
    }
}
