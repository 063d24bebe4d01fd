//! Which program stands behind a [`Tool`]: found once, called by its absolute path.
//!
//! A program given by name makes std fork instead of `posix_spawn` (KNOWLEDGE.md, Speed), and the system's
//! folders come first, so that a user's `~/bin/ip` is not run as root.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};
use crate::model::packages;
use crate::op::Tool;

/// Where the tools live, whatever `PATH` says: sudo's own `secure_path`. A plain user's `PATH` on Debian lacks the `sbin` folders.
const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is not found by its own name.
const RESTORERS: [Tool; 2] = [Tool::IptablesRestore, Tool::Ip6tablesRestore];

/// The programs of this machine.
#[derive(Debug, Default)]
pub struct Tools {
    chosen: HashMap<&'static str, PathBuf>,
    found: RefCell<HashMap<Tool, PathBuf>>,
}

impl Tools {
    /// The system's programs ([`search_path`]), except those that the user chose (`--tool ip=/path`).
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a name that is no tool of netwright's or a path that is not absolute.
    pub fn new(chosen: &[(String, PathBuf)]) -> Result<Self> {
        let mut tools = Self::default();
        for (name, path) in chosen {
            let Some(tool) = Tool::ALL.into_iter().find(|tool| tool.program() == name) else {
                let names: Vec<_> = Tool::ALL.into_iter().map(Tool::program).collect();
                return Err(Error::new(Kind::InvalidArgument, format!("`{name}` is not a tool that netwright runs"))
                    .hint(format!("it is one of {}", names.join(", "))));
            };
            if !path.is_absolute() {
                return Err(Error::new(
                    Kind::InvalidArgument,
                    format!("the path of `{name}` must be absolute, not `{}`", path.display()),
                ));
            }
            tools.chosen.insert(tool.program(), path.clone());
        }
        Ok(tools)
    }

    /// The absolute path of a tool.
    ///
    /// # Errors
    ///
    /// `ToolMissing`, with the package that holds it.
    pub fn path(&self, tool: Tool) -> Result<PathBuf> {
        if let Some(path) = self.found.borrow().get(&tool) {
            return Ok(path.clone());
        }
        let path = match self.chosen.get(tool.program()) {
            None if RESTORERS.contains(&tool) => self.of_same_backend(tool)?,
            Some(path) if path.exists() => path.clone(),
            Some(path) => {
                return Err(Error::new(
                    Kind::ToolMissing,
                    format!("`{}` is not at `{}`", tool.program(), path.display()),
                )
                .hint(format!(
                    "`--tool {}=PATH` said so; without it, the one of the system is taken",
                    tool.program()
                )));
            }
            None => which::which_in(tool.program(), Some(search_path()), "/").map_err(|_| {
                Error::new(Kind::ToolMissing, format!("`{}` is not installed", tool.program()))
                    .hint(format!("install it: {}", install(tool.package())))
                    .hint("`netwright doctor` lists everything that is missing")
            })?,
        };
        if tool.takes_netns() && is_busybox(&path) {
            return Err(not_iproute2(&path));
        }
        self.found.borrow_mut().insert(tool, path.clone());
        Ok(path)
    }

    /// Whether many rules can be given at once to what `tool` speaks to.
    #[must_use]
    pub fn restores(&self, tool: Tool) -> bool {
        tool.restorer().is_some_and(|restorer| self.path(restorer).is_ok())
    }

    /// The restorer beside the `iptables` that was chosen or found: each backend has its own, named by it, in the same folder. Which backend another
    /// program of the name `iptables` has, nobody knows.
    fn of_same_backend(&self, restorer: Tool) -> Result<PathBuf> {
        let missing =
            || Error::new(Kind::ToolMissing, format!("there is no `{}` of the same backend", restorer.program()));
        let of = [Tool::Iptables, Tool::Ip6tables].into_iter().find(|tool| tool.restorer() == Some(restorer));
        let of = of.ok_or_else(missing)?;
        let real = self.path(of)?.canonicalize().map_err(|_| missing())?;
        let backend = match real.file_name().and_then(std::ffi::OsStr::to_str) {
            Some("xtables-nft-multi") => "nft",
            Some("xtables-legacy-multi") => "legacy",
            _ => return Err(missing()),
        };
        let path = real.with_file_name(format!("{}-{backend}-restore", of.program()));
        if path.exists() { Ok(path) } else { Err(missing()) }
    }
}

/// The command that installs a package, by its Debian name, on this system.
#[must_use]
pub(crate) fn install(package: &str) -> String {
    let text = ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    packages::install(&text.unwrap_or_default(), package)
}

/// Whether a program is `BusyBox` or `toybox` under another name: a link to it, or the same file.
fn is_busybox(path: &Path) -> bool {
    let multi = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("busybox") || name.starts_with("toybox")
    };
    let Ok(real) = path.canonicalize() else { return false };
    if real.file_name().is_some_and(multi) {
        return true;
    }
    let Ok(meta) = real.metadata() else { return false };
    // A hard link is told by its inode.
    meta.nlink() > 1
        && ["/bin", "/sbin", "/usr/bin", "/usr/sbin"].iter().any(|folder| {
            let busybox = Path::new(folder).join("busybox").metadata();
            busybox.is_ok_and(|other| (other.dev(), other.ino()) == (meta.dev(), meta.ino()))
        })
}

fn not_iproute2(path: &Path) -> Error {
    Error::new(Kind::ToolMissing, format!("`{}` is BusyBox's, and netwright needs iproute2", path.display()))
        .hint(format!("install it: {}", install("iproute2")))
}

/// Where netwright's own tools are looked for: the system's folders, then those of `PATH` that nobody else can put a program into.
/// Looked at once for root and once for others: a process that enters a sandbox becomes root there.
#[must_use]
pub(crate) fn search_path() -> &'static str {
    static KNOWN: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
    KNOWN[usize::from(rustix::process::geteuid().is_root())].get_or_init(|| {
        let path = std::env::var("PATH").unwrap_or_default();
        let more = path.split(':').filter(|folder| is_safe(Path::new(folder)));
        joined(SYSTEM.split(':').chain(more))
    })
}

/// Where the user's programs are looked for: as he says in `PATH`, then the system's folders. What depends on the folder that one is in is left out.
#[must_use]
pub(crate) fn user_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = path.split(':').filter(|folder| folder.starts_with('/'));
    joined(own.chain(SYSTEM.split(':')))
}

/// Each folder once.
fn joined<'a>(folders: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = Vec::new();
    for folder in folders {
        if !all.contains(&folder) {
            all.push(folder);
        }
    }
    all.join(":")
}

/// Whether root may take programs from a folder: it and all above it are root's and nobody else's to write. Who is not root may take his own.
fn is_safe(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    if !folder.is_absolute() {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let Ok(real) = folder.canonicalize() else { return false };
    let roots = |folder: &Path| std::fs::metadata(folder).is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o022 == 0);
    real.ancestors().all(roots)
}

/// Whether this user namespace forbids to change groups, as one made without privilege does (`user_namespaces(7)`, "setgroups"). tcpdump changes
/// them even with `-Z root`, and ends.
#[must_use]
pub(crate) fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Finds a program that netwright starts for itself and that is none of its tools.
#[must_use]
pub(crate) fn find_own(program: &str) -> Option<PathBuf> {
    which::which_in(program, Some(search_path()), "/").ok()
}

/// Finds any program of the user's: by its path, or by name on [`user_path`].
#[must_use]
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if Path::new(program).is_absolute() {
        return Path::new(program).exists().then(|| program.into());
    }
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    which::which_in(program, Some(user_path()), here).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_takes_no_tool_from_a_folder_of_somebody_else() {
        let lab = tempfile::tempdir().unwrap();
        assert!(search_path().starts_with("/usr/local/sbin:"), "the system first");
        assert!(!is_safe(Path::new("")) && !is_safe(Path::new(".")) && !is_safe(Path::new("bin")));
        assert!(is_safe(Path::new("/usr/bin")));
        // Below a folder that everybody may write to.
        assert_eq!(is_safe(lab.path()), !rustix::process::geteuid().is_root());
    }
}
