//! `ip route`, `ip rule`, `ip neigh`.

use super::{Command, Object, Op, Tool, Undo, Where};

/// The address family flag of `ip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// `-4`
    V4,
    /// `-6`
    V6,
}

impl Family {
    /// `-4` or `-6`.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(addr: std::net::IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

fn command(netns: &Where, family: Family, words: &[&str], spec: &[String]) -> Command {
    let argv =
        std::iter::once(family.flag()).chain(words.iter().copied()).map(String::from).chain(spec.iter().cloned());
    Command::new(Tool::Ip, netns, argv)
}

/// All routes of a family in all tables: `ip -j -4 route show table all`.
#[must_use]
pub fn show_all(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-j", family.flag(), "route", "show", "table", "all"])
}

/// The routes of the main table: `ip -j -4 route show`.
#[must_use]
pub fn show_main(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-j", family.flag(), "route", "show"])
}

/// The routes to exactly `dst` in `table`: `ip -j -4 route show DST [table T]`.
#[must_use]
pub fn show(netns: &Where, family: Family, dst: &str, table: Option<&str>) -> Command {
    let mut argv = vec!["-j", family.flag(), "route", "show", dst];
    if let Some(table) = table {
        argv.extend(["table", table]);
    }
    Command::new(Tool::Ip, netns, argv)
}

/// What the kernel would do: `ip -j route get ADDR …`.
#[must_use]
pub fn get(netns: &Where, addr: &str, more: &[String]) -> Command {
    let argv = ["-j", "route", "get", addr].map(String::from).into_iter().chain(more.iter().cloned());
    Command::new(Tool::Ip, netns, argv)
}

/// Adds a route; `spec` begins with the destination (or a type such as `blackhole`).
#[must_use]
pub fn add(netns: &Where, family: Family, dst: &str, spec: &[String]) -> Op {
    Op::new(
        command(netns, family, &["route", "add"], spec),
        Object::Route { dst: dst.into() },
        Undo::by(command(netns, family, &["route", "delete"], spec)),
    )
}

/// Puts a route in the place of the one with the same destination, table and metric; undone by putting `former` back.
#[must_use]
pub fn replace(netns: &Where, family: Family, dst: &str, spec: &[String], former: &[String]) -> Op {
    Op::new(
        command(netns, family, &["route", "replace"], spec),
        Object::Route { dst: dst.into() },
        Undo::by(command(netns, family, &["route", "replace"], former)),
    )
}

/// The policy rules of a family: `ip -j -4 rule show`.
#[must_use]
pub fn rules(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-j", family.flag(), "rule", "show"])
}

/// Adds a policy rule.
#[must_use]
pub fn rule_add(netns: &Where, family: Family, spec: &[String]) -> Op {
    Op::new(
        command(netns, family, &["rule", "add"], spec),
        Object::Rule,
        Undo::by(command(netns, family, &["rule", "delete"], spec)),
    )
}

/// All neighbours: `ip -j neigh show`.
#[must_use]
pub fn neighbours(netns: &Where) -> Command {
    Command::new(Tool::Ip, netns, ["-j", "neigh", "show"])
}

/// Pins a neighbour: `ip neigh replace ADDR lladdr MAC dev LINK nud permanent`; undone by `former`, or by deleting it.
#[must_use]
pub fn neigh_replace(netns: &Where, addr: &str, mac: &str, link: &str, former: Option<&str>) -> Op {
    let replace = |mac: &str| {
        Command::new(Tool::Ip, netns, ["neigh", "replace", addr, "lladdr", mac, "dev", link, "nud", "permanent"])
    };
    let undo = match former {
        Some(mac) => replace(mac),
        None => Command::new(Tool::Ip, netns, ["neigh", "delete", addr, "dev", link]),
    };
    Op::new(replace(mac), Object::Neigh { addr: addr.into() }, Undo::by(undo))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        let red = Where::Named("red".into());
        let spec = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let op = add(&red, Family::V4, "default", &spec("default via 10.0.0.254"));
        assert_eq!(op.command.line(), "ip -n red -4 route add default via 10.0.0.254");
        let Undo::Commands(undo) = op.undo else { panic!() };
        assert_eq!(undo[0].line(), "ip -n red -4 route delete default via 10.0.0.254");
        let op = replace(&red, Family::V6, "default", &spec("default via fd00::1"), &spec("default via fd00::2"));
        assert_eq!(op.command.line(), "ip -n red -6 route replace default via fd00::1");
        let Undo::Commands(undo) = op.undo else { panic!() };
        assert_eq!(undo[0].line(), "ip -n red -6 route replace default via fd00::2");
        let op = rule_add(&red, Family::V4, &spec("from 10.0.0.0/24 table 100"));
        assert_eq!(op.command.line(), "ip -n red -4 rule add from 10.0.0.0/24 table 100");
        let op = neigh_replace(&red, "10.0.0.9", "02:00:00:00:00:09", "eth0", None);
        assert_eq!(
            op.command.line(),
            "ip -n red neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent"
        );
        assert_eq!(
            show(&red, Family::V4, "default", Some("100")).line(),
            "ip -n red -j -4 route show default table 100"
        );
        assert_eq!(get(&red, "203.0.113.1", &[]).line(), "ip -n red -j route get 203.0.113.1");
    }
}
