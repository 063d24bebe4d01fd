//! Which files are test files.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// What the names of test files end in.
pub(crate) const SUFFIX: &str = "_test.rhai";

/// The files that `paths` mean: each named file, and every `*_test.rhai` below each folder; sorted, each once. Without paths the
/// current folder.
///
/// # Errors
///
/// `NotFound` for a path that is not there, `PermissionDenied` and the like for a folder that cannot be read.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let mut found = Vec::new();
    for path in if paths.is_empty() { &here[..] } else { paths } {
        let kind = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if kind.is_dir() {
            let mut below = Vec::new();
            walk(path, &mut below)?;
            below.sort();
            found.append(&mut below);
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(found)
}

/// The files of which only the test at a line is meant: `FILE:LINE` is split where there is no file of the whole name.
#[must_use]
pub(crate) fn split_line(path: &Path) -> Option<(PathBuf, usize)> {
    let (file, line) = path.to_str()?.rsplit_once(':')?;
    let line = line.parse().ok().filter(|line| *line > 0)?;
    (!path.exists() && Path::new(file).is_file()).then(|| (file.into(), line))
}

/// The part `part` of `parts` of the files, from 1: every file is in one part, and in the same whatever the machine.
pub(crate) fn partition(files: &mut Vec<PathBuf>, (part, parts): (usize, usize)) {
    let mut at = 0;
    files.retain(|_| {
        at += 1;
        (at - 1) % parts == part - 1
    });
}

/// Hidden folders, `target` and links to folders are left out: build output and loops.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        let path = path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path);
        if kind.is_dir() {
            if !name.starts_with('.') && name != "target" {
                walk(&path, found)?;
            }
        } else if name.ends_with(SUFFIX) {
            found.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(Kind::NotFound, format!("there is no `{}`", path.display())),
        std::io::ErrorKind::PermissionDenied => {
            Error::new(Kind::PermissionDenied, format!("`{}` may not be read", path.display()))
        }
        _ => Error::new(Kind::CommandFailed, format!("cannot read `{}`: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all_files_each_once() {
        let all: Vec<PathBuf> = (0..7).map(|n| format!("{n}").into()).collect();
        let mut seen = Vec::new();
        for part in 1..=3 {
            let mut some = all.clone();
            partition(&mut some, (part, 3));
            assert!(some.len() >= 2, "{some:?}");
            seen.extend(some);
        }
        seen.sort();
        assert_eq!(seen, all);
    }

    #[test]
    fn named_files_and_test_files_of_folders_are_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a_test.rhai", "plain.rhai", "sub/b_test.rhai", ".hidden/c_test.rhai", "target/d_test.rhai"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
        }
        let found = files(&[at("plain.rhai"), folder.path().to_path_buf(), at("a_test.rhai")]).unwrap();
        assert_eq!(found, [at("plain.rhai"), at("a_test.rhai"), at("sub/b_test.rhai")]);
        assert_eq!(files(&[at("none")]).unwrap_err().kind(), Kind::NotFound);
    }
}
