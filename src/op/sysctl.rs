//! `sysctl`: kernel settings of a namespace. Names are dotted; the slash form goes to the program where a link's name holds a dot.

use super::{Command, Object, Op, Tool, Undo, Where};

/// Reads one setting: `sysctl -n NAME`.
#[must_use]
pub fn get(netns: &Where, name: &str) -> Command {
    Command::new(Tool::Sysctl, netns, ["-n", name])
}

/// Sets one setting: `sysctl -w NAME=VALUE`; undone by its former value.
#[must_use]
pub fn set(netns: &Where, name: &str, value: &str, former: &str) -> Op {
    let command = |value: &str| Command::new(Tool::Sysctl, netns, ["-w".to_owned(), format!("{name}={value}")]);
    Op::new(command(value), Object::Sysctl { name: name.into() }, Undo::by(command(former)))
}

/// The setting that a command sets, and its value: for the inverse of [`set`].
#[must_use]
pub fn setting(set: &Command) -> Option<(&str, &str)> {
    match (set.tool, &set.argv[..]) {
        (Tool::Sysctl, [flag, pair]) if flag == "-w" => pair.split_once('='),
        _ => None,
    }
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
        assert_eq!(setting(&op.command), Some(("net.ipv4.ping_group_range", "0 0")));
        assert_eq!(setting(&get(&Where::Host, "net.ipv4.ping_group_range")), None);
        assert_eq!(
            op.undo,
            Undo::by(Command::new(Tool::Sysctl, &Where::Host, ["-w", "net.ipv4.ping_group_range=1 0"]))
        );
    }
}
