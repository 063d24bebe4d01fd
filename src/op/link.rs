//! `ip link` and `ip address`: links, their settings, their addresses; `tc` for their shape.
//!
//! Every word that names something is preceded by its keyword (`name X`, `dev X`): iproute2 matches bare words by prefix, and
//! `ip link add a type veth` reads `a` as `address` (KNOWLEDGE.md).

use super::{Command, Object, Op, Tool, Undo, Where};

fn ip<'a>(netns: &Where, argv: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Tool::Ip, netns, argv)
}

/// One link with all its details and its addresses: `ip -j -d address show dev NAME`.
///
/// Not `ip link show`: in a batch it would hide addresses and routes from every command after it (see [`crate::exec`]).
#[must_use]
pub fn show(netns: &Where, name: &str) -> Command {
    ip(netns, ["-j", "-d", "address", "show", "dev", name])
}

/// All links with their addresses: `ip -j -d address show`.
#[must_use]
pub fn show_all(netns: &Where) -> Command {
    ip(netns, ["-j", "-d", "address", "show"])
}

/// One link with its counters: `ip -j -s link show dev NAME`.
#[must_use]
pub fn stats(netns: &Where, name: &str) -> Command {
    ip(netns, ["-j", "-s", "link", "show", "dev", name])
}

/// Makes a veth pair with both ends in place, so that no link ever moves (moving one costs 20 ms): `ip -n X link add name A type veth peer name B netns Y`.
///
/// The command runs where the first end belongs: kernels before 6.15 look its name up where the command runs, not where `netns` says that it belongs,
/// so that an `eth0` for a namespace was refused where the host has one. The name of the peer is looked up in its own namespace on all of them.
/// When one end belongs to the host, which has no name for `netns`, that end is the first.
#[must_use]
pub fn add_veth(a: (&Where, &str), b: (&Where, &str)) -> Op {
    let (first, second) = if b.0 == &Where::Host { (b, a) } else { (a, b) };
    let mut argv: Vec<String> =
        ["link", "add", "name", first.1, "type", "veth", "peer", "name", second.1].map(String::from).into();
    if let Some(word) = second.0.word().filter(|_| second.0 != first.0) {
        argv.extend(["netns".into(), word]);
    }
    let object =
        Object::Link { netns: first.0.clone(), name: first.1.into(), peer: Some((second.0.clone(), second.1.into())) };
    Op::new(Command::new(Tool::Ip, first.0, argv), object, Undo::by(delete_command(first.0, first.1)))
}

/// Makes a veth pair whose end `outer` is a port of `bridge` in the same namespace, and up:
/// `ip link add name OUTER up master BRIDGE type veth peer name INNER netns X`. It runs where the bridge is, whose name only means something there.
/// An end in the host has no name for `netns` there: such a pair is made by [`add_veth`] and [`master_up`].
#[must_use]
pub fn add_port(inner: (&Where, &str), outer: (&Where, &str), bridge: &str) -> Option<Op> {
    let mut argv: Vec<&str> = vec!["link", "add", "name", outer.1, "up", "master", bridge];
    argv.extend(["type", "veth", "peer", "name", inner.1]);
    let netns = inner.0.word();
    match &netns {
        Some(word) => argv.extend(["netns", word.as_str()]),
        None if inner.0 == outer.0 => {}
        None => return None,
    }
    let object =
        Object::Link { netns: outer.0.clone(), name: outer.1.into(), peer: Some((inner.0.clone(), inner.1.into())) };
    Some(Op::new(ip(outer.0, argv), object, Undo::by(delete_command(outer.0, outer.1))))
}

/// Makes a link: `ip link add name NAME WORDS…`, where the words are those of [`crate::model::link_kinds::argv`].
#[must_use]
pub fn add(netns: &Where, name: &str, words: &[String]) -> Op {
    let argv = ["link", "add", "name", name].map(String::from).into_iter().chain(words.iter().cloned());
    Op::new(
        Command::new(Tool::Ip, netns, argv),
        Object::Link { netns: netns.clone(), name: name.into(), peer: None },
        Undo::by(delete_command(netns, name)),
    )
}

/// The MAC address of a bridge that `owner` makes: its own as long as it lives. Without one said, a bridge takes the lowest of its ports' addresses
/// (`br_stp_recalculate_bridge_id`), so that every port that comes or goes may change it, and who knows the old one loses the gateway for seconds.
#[must_use]
pub fn bridge_mac(owner: &str, netns: &Where, name: &str) -> String {
    // FNV-1a: the same in every rehearsal. `02`: given by an administrator, to one station.
    let hash = format!("{owner}\0{netns}\0{name}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let bytes = (hash ^ (hash >> 29)).to_be_bytes();
    bytes.iter().take(5).fold("02".to_owned(), |mac, byte| format!("{mac}:{byte:02x}"))
}

/// Changes options of a link: `ip link set dev NAME WORDS…`, where the words are those of [`crate::model::link_kinds::change_argv`];
/// undone by `former`, the words with the former values.
#[must_use]
pub fn set_options(netns: &Where, name: &str, words: &[String], former: Option<&[String]>) -> Op {
    let command = |words: &[String]| {
        let argv = ["link", "set", "dev", name].map(String::from);
        Command::new(Tool::Ip, netns, argv.into_iter().chain(words.iter().cloned()))
    };
    let undo = former
        .map_or_else(|| Undo::None("`ip` does not show the former value".into()), |former| Undo::by(command(former)));
    Op::new(command(words), Object::LinkSetting { name: name.into(), setting: words.join(" ") }, undo)
}

/// Deletes a link: `ip link delete dev NAME`. A link that is gone cannot be made again as it was.
#[must_use]
pub fn delete(netns: &Where, name: &str) -> Op {
    Op::new(
        delete_command(netns, name),
        Object::Link { netns: netns.clone(), name: name.into(), peer: None },
        Undo::None("a deleted link cannot be made again as it was".into()),
    )
}

/// The command of [`delete`].
#[must_use]
pub fn delete_command(netns: &Where, name: &str) -> Command {
    ip(netns, ["link", "delete", "dev", name])
}

fn set(netns: &Where, name: &str, setting: &str, words: &[&str], former: Option<&[&str]>) -> Op {
    let command = |words: &[&str]| ip(netns, ["link", "set", "dev", name].into_iter().chain(words.iter().copied()));
    let undo =
        former.map_or_else(|| Undo::None("the former value is not known".into()), |words| Undo::by(command(words)));
    Op::new(command(words), Object::LinkSetting { name: name.into(), setting: setting.into() }, undo)
}

/// Marks a link as made by netwright, by its alias; the mark goes with the link.
#[must_use]
pub fn mark(netns: &Where, name: &str, mark: &str) -> Op {
    let mut op = set(netns, name, "alias", &["alias", mark], None);
    op.undo = Undo::Commands(Vec::new());
    op
}

/// Sets `lo` of a new namespace up, and marks the namespace by the alias of its `lo`; both go with the namespace.
#[must_use]
pub fn lo_up(netns: &Where, mark: Option<&str>) -> Op {
    let words: Vec<&str> = ["up"].into_iter().chain(mark.into_iter().flat_map(|mark| ["alias", mark])).collect();
    let mut op = set(netns, "lo", "up", &words, None);
    op.undo = Undo::Commands(Vec::new());
    op
}

/// Chooses the index of a link that an op is about to make: its identity is then known before it exists.
pub fn choose_index(op: &mut Op, index: u32) {
    if let Some(at) = op.command.argv.iter().position(|word| word == "name") {
        let at = (at + 2).min(op.command.argv.len());
        if op.command.argv.get(at).is_some_and(|word| word == "index") {
            // Chosen before, and taken.
            op.command.argv.drain(at..(at + 2).min(op.command.argv.len()));
        }
        op.command.argv.splice(at..at, ["index".to_owned(), index.to_string()]);
    }
}

/// Sets a link up; undone by setting it down.
#[must_use]
pub fn up(netns: &Where, name: &str) -> Op {
    set(netns, name, "up", &["up"], Some(&["down"]))
}

/// Sets a link down; undone by setting it up.
#[must_use]
pub fn down(netns: &Where, name: &str) -> Op {
    set(netns, name, "up", &["down"], Some(&["up"]))
}

/// Makes a link the port of `master` and sets it up, in one message.
#[must_use]
pub fn master_up(netns: &Where, name: &str, master: &str) -> Op {
    set(netns, name, "master", &["master", master, "up"], Some(&["nomaster", "down"]))
}

/// Makes a link the port of `master`.
#[must_use]
pub fn master(netns: &Where, name: &str, master: &str, former: Option<&str>) -> Op {
    let former: &[&str] = &former.map_or_else(|| vec!["nomaster"], |former| vec!["master", former]);
    set(netns, name, "master", &["master", master], Some(former))
}

/// Frees a port from its master.
#[must_use]
pub fn nomaster(netns: &Where, name: &str, former: &str) -> Op {
    set(netns, name, "master", &["nomaster"], Some(&["master", former]))
}

/// Sets the MTU in bytes.
#[must_use]
pub fn mtu(netns: &Where, name: &str, mtu: u32, former: u32) -> Op {
    set(netns, name, "mtu", &["mtu", &mtu.to_string()], Some(&["mtu", &former.to_string()]))
}

/// Sets the MAC address.
#[must_use]
pub fn mac(netns: &Where, name: &str, mac: &str, former: Option<&str>) -> Op {
    let former = former.map(|former| ["address", former]);
    set(netns, name, "address", &["address", mac], former.as_ref().map(<[&str; 2]>::as_slice))
}

/// Renames a link. The inverse speaks of it by its new name.
#[must_use]
pub fn rename(netns: &Where, name: &str, new: &str) -> Op {
    let mut op = set(netns, name, "name", &["name", new], None);
    op.undo = Undo::by(ip(netns, ["link", "set", "dev", new, "name", name]));
    op
}

/// Adds an address: `ip address add ADDR dev NAME`.
#[must_use]
pub fn addr_add(netns: &Where, name: &str, addr: &str) -> Op {
    Op::new(
        ip(netns, ["address", "add", addr, "dev", name]),
        Object::Addr { link: name.into(), addr: addr.into() },
        Undo::by(ip(netns, ["address", "delete", addr, "dev", name])),
    )
}

/// Removes an address: `ip address delete ADDR dev NAME`; undone by adding it with `words`, what else it had.
#[must_use]
pub fn addr_delete(netns: &Where, name: &str, addr: &str, words: &[String]) -> Op {
    let add = ["address", "add", addr, "dev", name].into_iter().chain(words.iter().map(String::as_str));
    Op::new(
        ip(netns, ["address", "delete", addr, "dev", name]),
        Object::Addr { link: name.into(), addr: addr.into() },
        Undo::by(ip(netns, add)),
    )
}

/// The queueing disciplines of a link: `tc -j qdisc show dev NAME`.
#[must_use]
pub fn qdiscs(netns: &Where, name: &str) -> Command {
    Command::new(Tool::Tc, netns, ["-j", "qdisc", "show", "dev", name])
}

/// Replaces the root queueing discipline: `tc qdisc replace dev NAME root SPEC…`; undone by deleting it, and by `former`, what was there as `tc`
/// prints it. It is deleted first: `replace` keeps the packets that wait, and one that is larger than the bucket then is never let out again, nor
/// anything behind it (`tbf_change` of the kernel).
#[must_use]
pub fn qdisc_replace(netns: &Where, name: &str, spec: &[String], former: Option<&[String]>) -> Op {
    let delete = qdisc_delete_command(netns, name);
    let undo = std::iter::once(delete).chain(former.map(|former| qdisc_command(netns, name, former)));
    Op::new(qdisc_command(netns, name, spec), Object::Qdisc { link: name.into() }, Undo::Commands(undo.collect()))
}

/// `tc qdisc replace dev NAME root SPEC…`
#[must_use]
pub fn qdisc_command(netns: &Where, name: &str, spec: &[String]) -> Command {
    let argv = ["qdisc", "replace", "dev", name, "root"].map(String::from).into_iter().chain(spec.iter().cloned());
    Command::new(Tool::Tc, netns, argv)
}

/// Takes the root queueing discipline away; undone by `former`, its words as `tc` prints them.
#[must_use]
pub fn qdisc_delete(netns: &Where, name: &str, former: &[String]) -> Op {
    Op::new(
        qdisc_delete_command(netns, name),
        Object::Qdisc { link: name.into() },
        Undo::by(qdisc_command(netns, name, former)),
    )
}

/// The queueing disciplines of a link in the words that `tc` reads: `tc qdisc show dev NAME`.
#[must_use]
pub fn qdisc_words(netns: &Where, name: &str) -> Command {
    Command::new(Tool::Tc, netns, ["qdisc", "show", "dev", name])
}

fn qdisc_delete_command(netns: &Where, name: &str) -> Command {
    Command::new(Tool::Tc, netns, ["qdisc", "delete", "dev", name, "root"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red() -> Where {
        Where::Named("red".into())
    }

    fn check(op: &Op, command: &str, undo: &str) {
        assert_eq!(op.command.line(), command);
        match &op.undo {
            Undo::Commands(commands) => {
                assert_eq!(commands.iter().map(Command::line).collect::<Vec<_>>().join("; "), undo);
            }
            Undo::None(why) => assert_eq!(why, undo),
            Undo::Rules { .. } | Undo::Nft(_) => panic!("a link has no rules"),
        }
    }

    #[test]
    fn veth_ends_are_made_in_place() {
        let blue = Where::Named("blue".into());
        check(
            &add_veth((&red(), "a"), (&blue, "b")),
            "ip -n red link add name a type veth peer name b netns blue",
            "ip -n red link delete dev a",
        );
        check(
            &add_veth((&red(), "a"), (&red(), "b")),
            "ip -n red link add name a type veth peer name b",
            "ip -n red link delete dev a",
        );
        check(
            &add_veth((&red(), "a"), (&Where::Host, "b")),
            "ip link add name b type veth peer name a netns red",
            "ip link delete dev b",
        );
        check(
            &add_veth((&Where::Host, "a"), (&Where::Host, "b")),
            "ip link add name b type veth peer name a",
            "ip link delete dev b",
        );
        let path = Where::Path("/proc/7/ns/net".into());
        assert_eq!(
            add_veth((&Where::Host, "a"), (&path, "b")).command.line(),
            "ip link add name a type veth peer name b netns /proc/7/ns/net"
        );
    }

    #[test]
    fn marks() {
        check(&mark(&red(), "x", "netwright:1"), "ip -n red link set dev x alias netwright:1", "");
        check(&lo_up(&red(), None), "ip -n red link set dev lo up", "");
        check(&lo_up(&red(), Some("m")), "ip -n red link set dev lo up alias m", "");
        let mut op = add_veth((&red(), "a"), (&Where::Host, "b"));
        choose_index(&mut op, 1_000_007);
        assert_eq!(op.command.line(), "ip link add name b index 1000007 type veth peer name a netns red");
        choose_index(&mut op, 1_000_009);
        assert_eq!(op.command.line(), "ip link add name b index 1000009 type veth peer name a netns red");
    }

    #[test]
    fn settings_know_their_inverse() {
        check(&up(&red(), "x"), "ip -n red link set dev x up", "ip -n red link set dev x down");
        check(&down(&red(), "x"), "ip -n red link set dev x down", "ip -n red link set dev x up");
        check(
            &master_up(&red(), "x", "br0"),
            "ip -n red link set dev x master br0 up",
            "ip -n red link set dev x nomaster down",
        );
        check(
            &master(&red(), "x", "br0", None),
            "ip -n red link set dev x master br0",
            "ip -n red link set dev x nomaster",
        );
        check(
            &master(&red(), "x", "br0", Some("br1")),
            "ip -n red link set dev x master br0",
            "ip -n red link set dev x master br1",
        );
        check(
            &nomaster(&red(), "x", "br1"),
            "ip -n red link set dev x nomaster",
            "ip -n red link set dev x master br1",
        );
        check(&mtu(&red(), "x", 1400, 1500), "ip -n red link set dev x mtu 1400", "ip -n red link set dev x mtu 1500");
        check(
            &mac(&red(), "x", "02:00:00:00:00:01", Some("02:00:00:00:00:02")),
            "ip -n red link set dev x address 02:00:00:00:00:01",
            "ip -n red link set dev x address 02:00:00:00:00:02",
        );
        check(&rename(&red(), "x", "y"), "ip -n red link set dev x name y", "ip -n red link set dev y name x");
        assert!(rename(&red(), "x", "y").moves_names() && !up(&red(), "x").moves_names());
    }

    #[test]
    fn links_and_addresses() {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        check(
            &add(&red(), "vx0", &words("link eth0 type vxlan id 42")),
            "ip -n red link add name vx0 link eth0 type vxlan id 42",
            "ip -n red link delete dev vx0",
        );
        check(
            &set_options(&red(), "br0", &words("type bridge stp_state 1"), Some(&words("type bridge stp_state 0"))),
            "ip -n red link set dev br0 type bridge stp_state 1",
            "ip -n red link set dev br0 type bridge stp_state 0",
        );
        check(&delete(&red(), "x"), "ip -n red link delete dev x", "a deleted link cannot be made again as it was");
        check(
            &addr_add(&red(), "x", "10.0.0.1/24"),
            "ip -n red address add 10.0.0.1/24 dev x",
            "ip -n red address delete 10.0.0.1/24 dev x",
        );
        check(
            &addr_delete(&red(), "x", "10.0.0.1/24", &words("scope global label x:1")),
            "ip -n red address delete 10.0.0.1/24 dev x",
            "ip -n red address add 10.0.0.1/24 dev x scope global label x:1",
        );
        check(
            &qdisc_replace(&red(), "x", &words("netem delay 20ms"), None),
            "tc -n red qdisc replace dev x root netem delay 20ms",
            "tc -n red qdisc delete dev x root",
        );
        check(
            &qdisc_replace(&red(), "x", &words("netem delay 20ms"), Some(&words("handle 8001: tbf rate 1Mbit"))),
            "tc -n red qdisc replace dev x root netem delay 20ms",
            "tc -n red qdisc delete dev x root; tc -n red qdisc replace dev x root handle 8001: tbf rate 1Mbit",
        );
        check(
            &qdisc_delete(&red(), "x", &words("handle 8001: tbf rate 1Mbit")),
            "tc -n red qdisc delete dev x root",
            "tc -n red qdisc replace dev x root handle 8001: tbf rate 1Mbit",
        );
        assert_eq!(show(&red(), "x").line(), "ip -n red -j -d address show dev x");
    }
}
