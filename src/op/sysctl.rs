//! `sysctl`: kernel settings of a namespace. Names are dotted; the slash form goes to the program where a link's name holds a dot.

use serde::{Deserialize, Serialize};

use super::{Command, Fact, Op, Tool, Undo, Where};

/// A kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its name as `sysctl` takes it: dotted, or in slashes where a link's name holds a dot.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Sysctl {
    pub(super) fn words(&self) -> Vec<String> {
        vec!["-w".to_owned(), format!("{}={}", self.name, self.value)]
    }

    /// The path below `/proc/sys`, which is one for both ways to write a name.
    #[must_use]
    pub fn path(&self) -> String {
        if self.name.contains('/') { self.name.clone() } else { self.name.replace('.', "/") }
    }
}

/// Reads one setting: `sysctl -n NAME`.
#[must_use]
pub(crate) fn get(netns: &Where, name: &str) -> Command {
    Command::new(Tool::Sysctl, netns, ["-n", name])
}

/// Sets one setting: `sysctl -w NAME=VALUE`; undone by its former value.
#[must_use]
pub(crate) fn set(netns: &Where, name: &str, value: &str, former: &str) -> Op {
    let with = |value: &str| Fact::Sysctl(Sysctl { name: name.to_owned(), value: value.to_owned() }).command(netns);
    Op::new(with(value), Undo::by(with(former)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        assert_eq!(get(&red, "net.ipv4.ip_forward").line(), "ip netns exec red sysctl -n net.ipv4.ip_forward");
        let op = set(&Where::Host, "net.ipv4.ping_group_range", "0 0", "1 0");
        assert_eq!(op.command.line(), "sysctl -w 'net.ipv4.ping_group_range=0 0'");
        assert_eq!(crate::op::told::lines(&op).1, "sysctl -w 'net.ipv4.ping_group_range=1 0'");
    }
}
