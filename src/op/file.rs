//! Files of a namespace: what `ip netns exec NAME` lays over `/etc` for the programs of that namespace.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, STDIN, Undo, Where, program};

/// Where `ip netns exec NAME` looks for the files of the namespace `NAME`.
pub(crate) const FOLDER: &str = "/etc/netns";

/// A file with this text, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its absolute path.
    pub path: String,
    /// What it holds; `None`: it is not there.
    pub text: Option<String>,
    /// Whether it is made, with the folders above it. Otherwise it is written in place: programs that run see that, too.
    #[serde(default)]
    pub new: bool,
}

impl File {
    pub(super) fn words(&self) -> Vec<String> {
        let words: &[&str] = match self.text {
            Some(_) if self.new => &["install", "-D", "-m", "644", STDIN],
            Some(_) => &["cp", STDIN],
            None => &["rm", "-f"],
        };
        words.iter().copied().chain([self.path.as_str()]).map(str::to_owned).collect()
    }

    /// The text that a program writes into it.
    pub(super) fn stdin(&self) -> Option<String> {
        self.text.clone()
    }

    pub(super) fn otherwise(&self) -> String {
        match self.text {
            Some(_) => format!("`{}` does not hold that text", self.path),
            None => format!("`{}` is still there", self.path),
        }
    }
}

/// The path of a namespace's own `/etc/FILE`.
#[must_use]
pub(crate) fn of_netns(netns: &str, file: &str) -> String {
    format!("{FOLDER}/{netns}/{file}")
}

/// Gives a file this text; undone by what it held before, or by its end and that of the `folders` above it that were not there, the deepest first.
#[must_use]
pub(crate) fn write(path: &str, text: &str, former: Option<&str>, folders: &[String]) -> Op {
    let with = |text: Option<&str>, new: bool| {
        Fact::File(File { path: path.to_owned(), text: text.map(str::to_owned), new }).command(&Where::Host)
    };
    let leave = |folder: &String| {
        let words = ["rmdir", "--ignore-fail-on-non-empty", folder.as_str()].map(str::to_owned);
        program::command(&Where::Host, &words)
    };
    let undo: Vec<Command> = std::iter::once(with(former, false)).chain(folders.iter().map(leave)).collect();
    Op::new(with(Some(text), former.is_none()), Undo::Commands(undo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::check;

    #[test]
    fn argv() {
        let path = of_netns("red", "hosts");
        let install = "install -D -m 644 /proc/self/fd/0 /etc/netns/red/hosts";
        check(
            &write(&path, "a\n", None, &["/etc/netns/red".into()]),
            &format!("printf %s 'a\n' | {install}"),
            "rm -f /etc/netns/red/hosts; rmdir --ignore-fail-on-non-empty /etc/netns/red",
        );
        let again = write(&path, "b", Some("a"), &[]);
        let copy = "cp /proc/self/fd/0 /etc/netns/red/hosts";
        check(&again, &format!("printf %s b | {copy}"), &format!("printf %s a | {copy}"));
    }
}
