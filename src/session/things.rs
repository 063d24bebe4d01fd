//! What asks for the things of a namespace, and what puts one back ([`crate::model::state`]).

use crate::model::state::{Part, Thing};
use crate::op::route::Family;
use crate::op::{Command, Tool, Where};

/// The routes of a family in all tables, in the words that `ip` takes back: `ip -o -d -4 route show table all`.
#[must_use]
pub(crate) fn routes(netns: &Where, family: Family) -> Command {
    Command::new(Tool::Ip, netns, ["-o", "-d", family.flag(), "route", "show", "table", "all"])
}

/// The same of one destination.
#[must_use]
pub(crate) fn routes_to(netns: &Where, family: Family, dst: &str, table: Option<&str>) -> Command {
    let words = ["-o", "-d", family.flag(), "route", "show", dst];
    Command::new(Tool::Ip, netns, words.into_iter().chain(table.into_iter().flat_map(|table| ["table", table])))
}

/// The neighbours that stay, or those that are answered for.
#[must_use]
pub(crate) fn neighbours(netns: &Where, proxy: bool) -> Command {
    let filter: &[&str] = if proxy { &["proxy"] } else { &["nud", "permanent"] };
    Command::new(Tool::Ip, netns, ["-j", "neigh", "show"].iter().chain(filter).copied())
}

/// All queueing disciplines: `tc qdisc show`.
#[must_use]
pub(crate) fn qdiscs(netns: &Where) -> Command {
    Command::new(Tool::Tc, netns, ["qdisc", "show"])
}

/// What takes an address off a link for a moment, so that it can be added behind another.
#[must_use]
pub(crate) fn addr_away(netns: &Where, thing: &Thing) -> Option<Command> {
    let (dev, address) = thing.key.split_once(' ')?;
    Some(Command::new(Tool::Ip, netns, ["address", "delete", address, "dev", dev]))
}

/// What puts a thing back; `over` what has its place. `None`: nothing that netwright knows does.
#[must_use]
pub(crate) fn put_back(netns: &Where, thing: &Thing, over: bool) -> Option<Command> {
    let mut key = thing.key.split(' ');
    let first = key.next()?;
    let second = key.next();
    let value = || thing.value.split_whitespace().chain(thing.more.split_whitespace());
    let verb = if over { "replace" } else { "add" };
    let ip = |head: &[&str]| {
        let head = head.iter().map(|word| (*word).to_owned());
        Command::new(Tool::Ip, netns, head.chain(value().map(str::to_owned)))
    };
    Some(match thing.part {
        Part::Link => {
            let set = |words: &[&str]| {
                let words: Vec<&str> = ["link", "set", "dev", first].iter().chain(words).copied().collect();
                Command::new(Tool::Ip, netns, words)
            };
            match (second?, thing.value.as_str()) {
                ("state", value) => set(&[value]),
                ("master", "-") => set(&["nomaster"]),
                (what, value) => set(&[what, value]),
            }
        }
        Part::Port => ip(&["link", "set", "dev", first, "type", "bridge_slave", second?]),
        Part::Vlan => {
            let head = ["vlan", "add", "dev", first, "vid", second?];
            Command::new(Tool::Bridge, netns, head.into_iter().chain(value()))
        }
        Part::Fdb => {
            Command::new(Tool::Bridge, netns, ["fdb", "replace", second?, "dev", first].into_iter().chain(value()))
        }
        Part::Qdisc if second.is_none() => {
            let more = thing.more.split_whitespace().chain(thing.value.split_whitespace());
            Command::new(Tool::Tc, netns, ["qdisc", "replace", "dev", first, "root"].into_iter().chain(more))
        }
        Part::Qdisc | Part::Order => return None,
        Part::Sysctl => Command::new(Tool::Sysctl, netns, ["-w".to_owned(), format!("{first}={}", thing.value)]),
        Part::Addr => ip(&["address", verb, second?, "dev", first]),
        Part::Neigh => {
            let tail = ["dev", first, "nud", "permanent"];
            Command::new(Tool::Ip, netns, ["neigh", "replace", second?].into_iter().chain(value()).chain(tail))
        }
        Part::Proxy => Command::new(Tool::Ip, netns, ["neigh", "add", "proxy", second?, "dev", first]),
        Part::Nexthop => ip(&["nexthop", verb, "id", first]),
        Part::Route4 => ip(&[Family::V4.flag(), "route", verb]),
        Part::Route6 => ip(&[Family::V6.flag(), "route", verb]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_goes_back_by_its_own_words() {
        let line = |part, key: &str, value: &str, more: &str, over| {
            let thing = Thing { more: more.to_owned(), ..Thing::new(part, key, value) };
            put_back(&Where::Host, &thing, over).map(|command| command.line())
        };
        let cases = [
            (Part::Link, "eth0 mtu", "1500", "", "ip link set dev eth0 mtu 1500"),
            (Part::Link, "eth0 state", "down", "", "ip link set dev eth0 down"),
            (Part::Link, "eth0 master", "-", "", "ip link set dev eth0 nomaster"),
            (Part::Port, "p0 isolated", "on", "", "ip link set dev p0 type bridge_slave isolated on"),
            (Part::Vlan, "p0 10", "pvid untagged", "", "bridge vlan add dev p0 vid 10 pvid untagged"),
            (
                Part::Fdb,
                "p0 02:00:00:00:00:99",
                "master static",
                "",
                "bridge fdb replace 02:00:00:00:00:99 dev p0 master static",
            ),
            (
                Part::Qdisc,
                "p0",
                "tbf rate 1Mbit",
                "handle 8001:",
                "tc qdisc replace dev p0 root handle 8001: tbf rate 1Mbit",
            ),
            (Part::Sysctl, "net/ipv4/conf/a.5/forwarding", "1", "", "sysctl -w net/ipv4/conf/a.5/forwarding=1"),
            (
                Part::Addr,
                "eth0 10.0.0.1/24",
                "scope global",
                "valid_lft 9 preferred_lft 0",
                "ip address add 10.0.0.1/24 dev eth0 scope global valid_lft 9 preferred_lft 0",
            ),
            (
                Part::Neigh,
                "eth0 10.0.0.9",
                "lladdr 02:00:00:00:00:09",
                "",
                "ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent",
            ),
            (Part::Proxy, "eth0 10.0.0.9", "", "", "ip neigh add proxy 10.0.0.9 dev eth0"),
            (Part::Nexthop, "1", "via 10.0.0.9 dev eth0", "", "ip nexthop add id 1 via 10.0.0.9 dev eth0"),
            (
                Part::Route6,
                "x",
                "default via fe80::1 dev eth0",
                "expires 9",
                "ip -6 route add default via fe80::1 dev eth0 expires 9",
            ),
        ];
        for (part, key, value, more, expected) in cases {
            assert_eq!(line(part, key, value, more, false).as_deref(), Some(expected));
        }
        assert_eq!(
            line(Part::Route4, "x", "default dev a", "", true).as_deref(),
            Some("ip -4 route replace default dev a")
        );
        assert_eq!(line(Part::Qdisc, "a parent 1:1", "pfifo", "", false), None);
    }
}
