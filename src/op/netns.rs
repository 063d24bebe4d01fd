//! `ip netns`: namespaces with names.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, Tool, Undo, Where};

/// A namespace with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub there: bool,
}

impl Netns {
    pub(super) fn words(&self) -> Vec<String> {
        ["netns", if self.there { "add" } else { "delete" }, &self.name].map(String::from).into()
    }
}

fn command(name: &str, there: bool) -> Command {
    Fact::Netns(Netns { name: name.to_owned(), there }).command(&Where::Host)
}

/// Makes a namespace: `ip netns add NAME`.
#[must_use]
pub(crate) fn add(name: &str) -> Op {
    Op::new(command(name, true), Undo::by(delete_command(name)))
}

/// Deletes a namespace: `ip netns delete NAME`. What was inside is gone, so there is no inverse.
#[must_use]
pub(crate) fn delete(name: &str) -> Op {
    Op::new(delete_command(name), Undo::None("what was in the namespace is gone with it".into()))
}

/// The command of [`delete`].
#[must_use]
pub(crate) fn delete_command(name: &str) -> Command {
    command(name, false)
}

/// Lists the named namespaces, with the ids that `netns` has for them: `ip -j netns list`.
#[must_use]
pub(crate) fn list(netns: &Where) -> Command {
    Command::new(Tool::Ip, netns, ["-j", "netns", "list"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        assert_eq!(add("blue").command.line(), "ip netns add blue");
        assert_eq!(add("blue").undo, Undo::by(delete_command("blue")));
        assert_eq!(delete("blue").command.line(), "ip netns delete blue");
        assert!(delete("blue").moves_names() && !add("blue").moves_names());
        assert_eq!(list(&Where::Host).line(), "ip -j netns list");
    }
}
