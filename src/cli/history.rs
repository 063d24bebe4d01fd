//! The lines of earlier sessions: in one file of the user's, in the form that rustyline has (`#V2`, a line each, `\` and line ends escaped).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::files::{self, Folder};

/// The first line of the file.
const VERSION: &str = "#V2";
/// How many lines the file keeps.
pub(super) const MAX: usize = 10_000;

/// A history and the lines that this session adds.
pub(super) struct History {
    file: Option<PathBuf>,
    new: Vec<String>,
}

impl History {
    /// The history of this user.
    pub(super) fn of_user() -> Self {
        Self { file: file(), new: Vec::new() }
    }

    /// What was typed before.
    pub(super) fn lines(&self) -> Vec<String> {
        let text = self.file.as_deref().and_then(|file| {
            let folder = Folder::open(file.parent()?).ok()?;
            folder.read(file.file_name()?).ok()
        });
        parse(&text.unwrap_or_default())
    }

    /// Remembers a line.
    pub(super) fn add(&mut self, line: &str) {
        self.new.push(line.to_owned());
    }

    /// Writes it, behind what other sessions have written meanwhile. It is a comfort: a home without room for it is no reason to complain.
    pub(super) fn save(self) {
        let Some((file, name)) = self.file.as_deref().and_then(|file| Some((file, file.file_name()?))) else { return };
        if self.new.is_empty() {
            return;
        }
        let mut lines = self.lines();
        lines.extend(self.new);
        let _ = write(file, name, &lines[lines.len().saturating_sub(MAX)..]);
    }
}

fn write(file: &Path, name: &OsStr, lines: &[String]) -> std::io::Result<()> {
    let folder = Folder::own(file.parent().unwrap_or(Path::new("")), 0o700)?;
    folder.replace(name, files::PRIVATE, render(lines).as_bytes())
}

fn render(lines: &[String]) -> String {
    let line = |text: &String| text.replace('\\', "\\\\").replace('\n', "\\n") + "\n";
    format!("{VERSION}\n{}", lines.iter().map(line).collect::<String>())
}

fn parse(text: &str) -> Vec<String> {
    let line = |text: &str| {
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match (c, c == '\\') {
                (_, true) => match chars.next() {
                    Some('n') => out.push('\n'),
                    Some(other) => out.push(other),
                    None => {}
                },
                (c, false) => out.push(c),
            }
        }
        out
    };
    text.lines().skip_while(|line| *line == VERSION).map(line).collect()
}

/// `$XDG_STATE_HOME/netwright/history`, or below `~/.local/state`.
fn file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("netwright/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_typed() {
        let lines = ["1+1", "fn f() {\n  \"\\n\"\n}", "\\", ""].map(String::from);
        assert_eq!(parse(&render(&lines)), lines);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_history_that_is_a_link_is_neither_read_nor_written() {
        let lab = tempfile::tempdir().unwrap();
        let precious = lab.path().join("precious");
        std::fs::write(&precious, "secret\n").unwrap();
        let file = lab.path().join("state/history");
        std::fs::create_dir(lab.path().join("state")).unwrap();
        std::os::unix::fs::symlink(&precious, &file).unwrap();
        let mut history = History { file: Some(file.clone()), new: Vec::new() };
        assert!(history.lines().is_empty());
        history.add("x");
        history.save();
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "secret\n");
        std::fs::remove_file(&file).unwrap();
        for n in 0..3 {
            let mut history = History { file: Some(file.clone()), new: Vec::new() };
            assert_eq!(history.lines().len(), n);
            history.add("x");
            history.save();
        }
    }
}
