//! Which program stands behind a [`Tool`]: found once, called by its absolute path.
//!
//! A program given by name makes std fork instead of `posix_spawn` (KNOWLEDGE.md, Speed), and a clean search path keeps a
//! user's `~/bin/ip` from being run as root.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::op::Tool;

/// Where the tools live when `PATH` does not say so: a plain user's `PATH` on Debian lacks the `sbin` folders.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// The programs of this machine.
#[derive(Debug, Default)]
pub struct Tools {
    chosen: HashMap<&'static str, PathBuf>,
    found: RefCell<HashMap<Tool, PathBuf>>,
}

impl Tools {
    /// Programs as `PATH` has them, except those that the user chose (`--tool ip=/path`).
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
            Some(path) if path.exists() => path.clone(),
            Some(path) => {
                return Err(Error::new(
                    Kind::ToolMissing,
                    format!("`{}` is not at `{}`", tool.program(), path.display()),
                )
                .hint(format!("`--tool {}=PATH` said so; without it, `PATH` decides", tool.program())));
            }
            None => which::which_in(tool.program(), Some(search_path()), "/").map_err(|_| {
                Error::new(Kind::ToolMissing, format!("`{}` is not installed", tool.program()))
                    .hint(format!("install it: apt-get install {}", tool.package()))
                    .hint("`netwright doctor` lists everything that is missing")
            })?,
        };
        self.found.borrow_mut().insert(tool, path.clone());
        Ok(path)
    }
}

/// `PATH` and the `sbin` folders behind it, each folder once.
#[must_use]
pub fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    if path.is_empty() {
        return format!("{SBIN}:/usr/bin:/bin");
    }
    let mut folders: Vec<&str> = Vec::new();
    for folder in path.split(':').chain(SBIN.split(':')) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}

/// Whether this user namespace forbids to change groups, as one made without privilege does (`user_namespaces(7)`, "setgroups"). tcpdump changes
/// them even with `-Z root`, and ends.
#[must_use]
pub fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Finds any program: by its path, or by name on [`search_path`].
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    if Path::new(program).is_absolute() {
        return Path::new(program).exists().then(|| program.into());
    }
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    which::which_in(program, Some(search_path()), here).ok()
}
