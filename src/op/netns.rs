//! `ip netns`: namespaces with names.

use super::{Command, Object, Op, Tool, Undo, Where};

/// Makes a namespace: `ip netns add NAME`.
#[must_use]
pub fn add(name: &str) -> Op {
    Op::new(
        Command::new(Tool::Ip, &Where::Host, ["netns", "add", name]),
        Object::Netns { name: name.into() },
        Undo::by(delete_command(name)),
    )
}

/// Deletes a namespace: `ip netns delete NAME`. What was inside is gone, so there is no inverse.
#[must_use]
pub fn delete(name: &str) -> Op {
    Op::new(
        delete_command(name),
        Object::Netns { name: name.into() },
        Undo::None("what was in the namespace is gone with it".into()),
    )
}

/// The command of [`delete`].
#[must_use]
pub fn delete_command(name: &str) -> Command {
    Command::new(Tool::Ip, &Where::Host, ["netns", "delete", name])
}

/// Lists the named namespaces, with the ids that `netns` has for them: `ip -j netns list`.
#[must_use]
pub fn list(netns: &Where) -> Command {
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
