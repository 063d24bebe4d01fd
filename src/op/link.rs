//! `ip link`: links and their settings.
//!
//! Every word that names something is preceded by its keyword (`name X`, `dev X`): iproute2 matches bare words by prefix, and
//! `ip link add a type veth` reads `a` as `address` (KNOWLEDGE.md).

use serde::{Deserialize, Serialize};

use super::fact::Answer;
use super::{Command, Fact, Op, Tool, Undo, Where};
use crate::error::Result;
use crate::model::net_addr::AddrInfo;
use crate::model::{self, json, link_kinds};

/// A link. For a veth it tells of both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub there: bool,
    /// The other end, for a veth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<(Where, String)>,
    /// How it is made; `None` for one that goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<New>,
}

/// How a link is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct New {
    /// Its kind: `veth`, `bridge` …
    pub kind: String,
    /// The index that was chosen for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The bridge whose port it is from the start, being up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_of: Option<String>,
    /// The words behind its name: `type veth peer name b netns blue`.
    pub words: Vec<String>,
}

impl Link {
    pub(super) fn words(&self) -> Vec<String> {
        let Some(new) = &self.new else { return ["link", "delete", "dev", &self.name].map(String::from).into() };
        if new.kind == link_kinds::TUN {
            let mode = (!new.words.iter().any(|word| word == "mode")).then_some(["mode", "tun"]);
            let words = ["tuntap", "add", "dev", &self.name].into_iter().chain(mode.into_iter().flatten());
            return words.map(String::from).chain(new.words.iter().cloned()).collect();
        }
        let mut words: Vec<String> = ["link", "add", "name", &self.name].map(String::from).into();
        words.extend(new.index.iter().flat_map(|index| ["index".to_owned(), index.to_string()]));
        words.extend(new.port_of.iter().flat_map(|bridge| ["up", "master", bridge].map(str::to_owned)));
        words.extend(new.words.iter().cloned());
        words
    }
}

impl Link {
    fn port_of(&self) -> Option<&str> {
        self.new.as_ref()?.port_of.as_deref()
    }

    /// Whether its index can be chosen: `ip tuntap` has no word for it.
    #[must_use]
    pub fn takes_index(&self) -> bool {
        self.new.as_ref().is_some_and(|new| new.kind != link_kinds::TUN)
    }

    pub(super) fn holds(&self, seen: Option<&Seen>) -> bool {
        let is_port =
            |seen: &Seen| self.port_of().is_none_or(|bridge| seen.is_up() && seen.master.as_deref() == Some(bridge));
        if self.there { seen.is_some_and(is_port) } else { seen.is_none() }
    }

    pub(super) fn missing(&self) -> String {
        match self.port_of() {
            Some(bridge) => format!("`{}` is no port of `{bridge}` that is up", self.name),
            None => format!("no link `{}`", self.name),
        }
    }
}

/// Settings of a link that are made at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its name, before it gets another one.
    pub link: String,
    /// What it is set to, in order.
    pub to: Vec<Setting>,
}

/// One setting of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// It is up.
    Up,
    /// It is down.
    Down,
    /// It is a port of this bridge, bond or VRF.
    Master(String),
    /// It is nobody's port.
    NoMaster,
    /// Its MTU, in bytes.
    Mtu(u32),
    /// Its MAC address.
    Address(String),
    /// Its new name.
    Name(String),
    /// Its alias, where netwright's mark is.
    Alias(String),
    /// Options in the words of [`link_kinds::change_argv`]: `type bridge stp_state 1`, or `txqueuelen 100`.
    Options(Vec<String>),
}

impl Setting {
    fn words(&self) -> Vec<String> {
        let two = |option: &str, value: &str| vec![option.to_owned(), value.to_owned()];
        match self {
            Self::Up => vec!["up".to_owned()],
            Self::Down => vec!["down".to_owned()],
            Self::Master(master) => two("master", master),
            Self::NoMaster => vec!["nomaster".to_owned()],
            Self::Mtu(mtu) => two("mtu", &mtu.to_string()),
            Self::Address(mac) => two("address", mac),
            Self::Name(name) => two("name", name),
            Self::Alias(alias) => two("alias", alias),
            Self::Options(words) => words.clone(),
        }
    }

    /// What is set, with the value for options alone: `up`, `master`, `type bridge stp_state 1`.
    fn said(&self) -> String {
        match self {
            Self::Up | Self::Down => "up".to_owned(),
            Self::Master(_) | Self::NoMaster => "master".to_owned(),
            Self::Mtu(_) => "mtu".to_owned(),
            Self::Address(_) => "address".to_owned(),
            Self::Name(_) => "name".to_owned(),
            Self::Alias(_) => "alias".to_owned(),
            Self::Options(words) => words.join(" "),
        }
    }

    /// The options and their values.
    pub(super) fn pairs(words: &[String]) -> impl Iterator<Item = (&str, &str)> {
        let options = if words.first().is_some_and(|word| word == "type") { words.get(2..) } else { words.get(..) };
        options
            .unwrap_or_default()
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str())))
    }

    /// Whether a link is set so. `None` where the answer does not show it.
    fn holds(&self, seen: &Seen, full: Option<&model::Link>) -> Option<bool> {
        Some(match self {
            Self::Up => seen.is_up(),
            Self::Down => !seen.is_up(),
            Self::Master(master) => seen.master.as_ref() == Some(master),
            Self::NoMaster => seen.master.is_none(),
            Self::Mtu(mtu) => seen.mtu == Some(*mtu),
            Self::Address(mac) => seen.address.as_ref() == Some(mac),
            Self::Name(name) => seen.ifname == *name,
            Self::Alias(alias) => seen.ifalias.as_ref() == Some(alias),
            Self::Options(words) => {
                let full = full?;
                let kind = match words.as_slice() {
                    [first, kind, ..] if first == "type" => kind,
                    _ => full.kind()?,
                };
                let differs = |option: &str, value: &str| link_kinds::link_differs(kind, full, option, value);
                !Self::pairs(words).any(|(option, value)| differs(option, value) == Some(true))
            }
        })
    }
}

impl Settings {
    pub(super) fn words(&self) -> Vec<String> {
        let head = ["link", "set", "dev", &self.link].map(String::from);
        head.into_iter().chain(self.to.iter().flat_map(Setting::words)).collect()
    }

    /// What is set first.
    pub(super) fn said(&self) -> String {
        self.to.first().map(Setting::said).unwrap_or_default()
    }

    /// What is set, without its value, by a name that is the same whoever sets it: `mtu`, `type bridge stp_state`. `None` for names and aliases.
    #[must_use]
    pub fn option(&self) -> Option<String> {
        match self.to.first()? {
            Setting::Name(_) | Setting::Alias(_) => None,
            // The words of an option end with its value.
            Setting::Options(words) => Some(words.get(..words.len().saturating_sub(1).max(1))?.join(" ")),
            setting => Some(setting.said()),
        }
    }

    /// Whether something is among them.
    #[must_use]
    pub fn sets(&self, is_it: impl Fn(&Setting) -> bool) -> bool {
        self.to.iter().any(is_it)
    }

    /// The name that it gets.
    #[must_use]
    pub fn new_name(&self) -> Option<&str> {
        self.to.iter().find_map(|setting| if let Setting::Name(name) = setting { Some(name.as_str()) } else { None })
    }

    /// The name that it has when they are made.
    #[must_use]
    pub fn name_after(&self) -> &str {
        self.new_name().unwrap_or(&self.link)
    }

    pub(super) fn hold(&self, found: Option<&Found>) -> bool {
        let Some(found) = found else { return false };
        self.to.iter().all(|setting| setting.holds(&found.seen, Some(&found.link)) != Some(false))
    }

    pub(super) fn hold_in(&self, all: &[Seen]) -> Option<bool> {
        let Some(link) = all.iter().find(|link| link.ifname == self.name_after()) else { return Some(false) };
        let each: Option<Vec<bool>> = self.to.iter().map(|setting| setting.holds(link, None)).collect();
        Some(each?.into_iter().all(|holds| holds))
    }

    pub(super) fn otherwise(&self, answer: Option<&Answer>) -> String {
        let name = self.name_after();
        let found = match answer {
            Some(Answer::Link(None)) => return format!("there is no link `{name}`"),
            Some(Answer::Link(Some(found))) => Some(found.as_ref()),
            _ => None,
        };
        let is_wrong =
            |setting: &&Setting| found.is_none_or(|found| setting.holds(&found.seen, Some(&found.link)) == Some(false));
        match self.to.iter().find(is_wrong) {
            Some(Setting::Up) => format!("`{name}` is down"),
            Some(Setting::Down) => format!("`{name}` is up"),
            Some(Setting::Master(_)) => format!("`{name}` has another master"),
            Some(Setting::NoMaster) => format!("`{name}` has a master"),
            Some(Setting::Mtu(_)) => format!("`{name}` has another MTU"),
            Some(Setting::Address(_)) => format!("`{name}` has another MAC address"),
            Some(Setting::Name(new)) => format!("no link `{new}`"),
            Some(Setting::Alias(_)) => format!("`{name}` has no mark"),
            Some(Setting::Options(words)) => format!("`{name}` is not {}", words.join(" ")),
            None => format!("`{name}` is otherwise"),
        }
    }
}

/// A link is in another namespace, with nothing but its own settings: it is down there, nobody's port, and has no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its name.
    pub link: String,
    /// Where it comes from.
    pub from: Where,
    /// Where it goes.
    pub to: Where,
}

/// The namespace of the machine, in a word of `ip link set … netns`: that of process 1, which [`crate::session`] looks at before it says so.
pub(crate) const MACHINE: &str = "/proc/1/ns/net";

impl Moved {
    pub(super) fn words(&self) -> Vec<String> {
        let to = self.to.word().unwrap_or_else(|| MACHINE.to_owned());
        ["link", "set", "dev", &self.link, "netns", &to].map(String::from).into()
    }

    /// The way back.
    #[must_use]
    pub(crate) fn back(&self) -> Self {
        Self { link: self.link.clone(), from: self.to.clone(), to: self.from.clone() }
    }
}

/// What of a link may matter among many: a namespace may have a thousand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Its name.
    pub ifname: String,
    flags: Vec<String>,
    mtu: Option<u32>,
    address: Option<String>,
    master: Option<String>,
    ifalias: Option<String>,
    addr_info: Vec<AddrInfo>,
}

impl Seen {
    /// Whether it was set up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    /// Whether it has an address.
    #[must_use]
    pub fn has(&self, addr: ipnet::IpNet) -> bool {
        self.addr_info.iter().filter_map(AddrInfo::ipnet).any(|have| have == addr)
    }
}

/// One link in full.
#[derive(Debug)]
pub struct Found {
    /// What of it may matter among many.
    pub seen: Seen,
    /// All of it.
    pub link: model::Link,
}

impl Found {
    /// The first link that `ip -j -d address show` printed.
    pub(super) fn read(text: &str) -> Result<Option<Box<Self>>> {
        let what = "ip address show";
        let seen = json::brief::<Seen>(text, what)?.into_iter().next();
        let link = model::link::parse(text, what)?.into_iter().next();
        Ok(seen.zip(link).map(|(seen, link)| Box::new(Self { seen, link })))
    }
}

fn ip<'a>(netns: &Where, argv: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(Tool::Ip, netns, argv)
}

/// One link with all its details and its addresses: `ip -j -d address show dev NAME`.
///
/// Not `ip link show`: in a batch it would hide addresses and routes from every command after it (see [`crate::exec`]).
#[must_use]
pub(crate) fn show(netns: &Where, name: &str) -> Command {
    ip(netns, ["-j", "-d", "address", "show", "dev", name])
}

/// All links with their addresses: `ip -j -d address show`.
#[must_use]
pub(crate) fn show_all(netns: &Where) -> Command {
    ip(netns, ["-j", "-d", "address", "show"])
}

/// One link with its counters: `ip -j -s link show dev NAME`.
#[must_use]
pub(crate) fn stats(netns: &Where, name: &str) -> Command {
    ip(netns, ["-j", "-s", "link", "show", "dev", name])
}

/// Makes a veth pair with both ends in place, so that no link ever moves (moving one costs 20 ms): `ip -n X link add name A type veth peer name B netns Y`.
///
/// The command runs where the first end belongs: kernels before 6.15 look its name up where the command runs, not where `netns` says that it belongs,
/// so that an `eth0` for a namespace was refused where the host has one. The name of the peer is looked up in its own namespace on all of them.
/// When one end belongs to the host, which has no name for `netns`, that end is the first.
#[must_use]
pub(crate) fn add_veth(a: (&Where, &str), b: (&Where, &str)) -> Op {
    let (first, second) = if b.0 == &Where::Host { (b, a) } else { (a, b) };
    let netns = second.0.word().filter(|_| second.0 != first.0);
    made(first.0, first.1, Some(second), veth(second.1, netns, None))
}

/// Makes a veth pair whose end `outer` is a port of `bridge` in the same namespace, and up:
/// `ip link add name OUTER up master BRIDGE type veth peer name INNER netns X`. It runs where the bridge is, whose name only means something there.
/// An end in the host has no name for `netns` there: such a pair is made by [`add_veth`] and [`master_up`].
#[must_use]
pub(crate) fn add_port(inner: (&Where, &str), outer: (&Where, &str), bridge: &str) -> Option<Op> {
    let netns = inner.0.word();
    if netns.is_none() && inner.0 != outer.0 {
        return None;
    }
    Some(made(outer.0, outer.1, Some(inner), veth(inner.1, netns, Some(bridge))))
}

fn veth(peer: &str, netns: Option<String>, port_of: Option<&str>) -> New {
    let words = ["type", "veth", "peer", "name", peer].map(String::from).into_iter();
    let netns = netns.into_iter().flat_map(|netns| ["netns".to_owned(), netns]);
    New {
        kind: "veth".to_owned(),
        index: None,
        port_of: port_of.map(str::to_owned),
        words: words.chain(netns).collect(),
    }
}

fn made(netns: &Where, name: &str, peer: Option<(&Where, &str)>, new: New) -> Op {
    let peer = peer.map(|(netns, name)| (netns.clone(), name.to_owned()));
    let link = Link { name: name.to_owned(), there: true, peer, new: Some(new) };
    Op::new(Fact::Link(link).command(netns), Undo::by(delete_command(netns, name)))
}

/// Makes a link: `ip link add name NAME WORDS…`, where the words are those of [`link_kinds::argv`].
#[must_use]
pub(crate) fn add(netns: &Where, name: &str, kind: &str, words: &[String]) -> Op {
    made(netns, name, None, New { kind: kind.to_owned(), index: None, port_of: None, words: words.to_vec() })
}

/// The MAC address of a bridge that `owner` makes: its own as long as it lives. Without one said, a bridge takes the lowest of its ports' addresses
/// (`br_stp_recalculate_bridge_id`), so that every port that comes or goes may change it, and who knows the old one loses the gateway for seconds.
#[must_use]
pub(crate) fn bridge_mac(owner: &str, netns: &Where, name: &str) -> String {
    // FNV-1a: the same in every rehearsal. `02`: given by an administrator, to one station.
    let hash = format!("{owner}\0{netns}\0{name}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let bytes = (hash ^ (hash >> 29)).to_be_bytes();
    bytes.iter().take(5).fold("02".to_owned(), |mac, byte| format!("{mac}:{byte:02x}"))
}

/// Changes options of a link: `ip link set dev NAME WORDS…`, where the words are those of [`link_kinds::change_argv`];
/// undone by `former`, the words with the former values.
#[must_use]
pub(crate) fn set_options(netns: &Where, name: &str, words: &[String], former: Option<&[String]>) -> Op {
    let with = |words: &[String]| set_command(netns, name, vec![Setting::Options(words.to_vec())]);
    let undo = former
        .map_or_else(|| Undo::None("`ip` does not show the former value".into()), |former| Undo::by(with(former)));
    Op::new(with(words), undo)
}

/// Deletes a link: `ip link delete dev NAME`. A link that is gone cannot be made again as it was.
#[must_use]
pub(crate) fn delete(netns: &Where, name: &str) -> Op {
    Op::new(delete_command(netns, name), Undo::None("a deleted link cannot be made again as it was".into()))
}

/// The command of [`delete`].
#[must_use]
pub(crate) fn delete_command(netns: &Where, name: &str) -> Command {
    Fact::Link(Link { name: name.to_owned(), there: false, peer: None, new: None }).command(netns)
}

fn set_command(netns: &Where, name: &str, to: Vec<Setting>) -> Command {
    Fact::Settings(Settings { link: name.to_owned(), to }).command(netns)
}

fn set(netns: &Where, name: &str, to: Vec<Setting>, former: Vec<Setting>) -> Op {
    Op::new(set_command(netns, name, to), Undo::by(set_command(netns, name, former)))
}

/// Marks a link as made by netwright, by its alias; the mark goes with the link.
#[must_use]
pub(crate) fn mark(netns: &Where, name: &str, mark: &str) -> Op {
    Op::new(set_command(netns, name, vec![Setting::Alias(mark.to_owned())]), Undo::Commands(Vec::new()))
}

/// Sets `lo` of a new namespace up, and marks the namespace by the alias of its `lo`; both go with the namespace.
#[must_use]
pub(crate) fn lo_up(netns: &Where, mark: Option<&str>) -> Op {
    let mark = mark.map(|mark| Setting::Alias(mark.to_owned()));
    let to = std::iter::once(Setting::Up).chain(mark).collect();
    Op::new(set_command(netns, "lo", to), Undo::Commands(Vec::new()))
}

/// Chooses the index of a link that an op is about to make: its identity is then known before it exists.
pub(crate) fn choose_index(op: &mut Op, index: u32) {
    let Some(Fact::Link(link)) = op.command.fact.as_deref() else { return };
    let Some(new) = &link.new else { return };
    let link = Link { new: Some(New { index: Some(index), ..new.clone() }), ..link.clone() };
    op.command = Fact::Link(link).command(&op.command.netns);
}

/// Sets a link up; undone by setting it down.
#[must_use]
pub(crate) fn up(netns: &Where, name: &str) -> Op {
    set(netns, name, vec![Setting::Up], vec![Setting::Down])
}

/// Sets a link down; undone by setting it up.
#[must_use]
pub(crate) fn down(netns: &Where, name: &str) -> Op {
    set(netns, name, vec![Setting::Down], vec![Setting::Up])
}

/// Makes a link the port of `master` and sets it up, in one message.
#[must_use]
pub(crate) fn master_up(netns: &Where, name: &str, master: &str) -> Op {
    let to = vec![Setting::Master(master.to_owned()), Setting::Up];
    set(netns, name, to, vec![Setting::NoMaster, Setting::Down])
}

/// Makes a link the port of `master`, or nobody's.
#[must_use]
pub(crate) fn master(netns: &Where, name: &str, master: Option<&str>, former: Option<&str>) -> Op {
    let setting = |master: Option<&str>| master.map_or(Setting::NoMaster, |master| Setting::Master(master.to_owned()));
    set(netns, name, vec![setting(master)], vec![setting(former)])
}

/// Sets the MTU in bytes.
#[must_use]
pub(crate) fn mtu(netns: &Where, name: &str, mtu: u32, former: u32) -> Op {
    set(netns, name, vec![Setting::Mtu(mtu)], vec![Setting::Mtu(former)])
}

/// Sets the MAC address.
#[must_use]
pub(crate) fn mac(netns: &Where, name: &str, mac: &str, former: Option<&str>) -> Op {
    let with = |mac: &str| set_command(netns, name, vec![Setting::Address(mac.to_owned())]);
    let undo =
        former.map_or_else(|| Undo::None("the former value is not known".into()), |former| Undo::by(with(former)));
    Op::new(with(mac), undo)
}

/// Renames a link. The inverse speaks of it by its new name.
#[must_use]
pub(crate) fn rename(netns: &Where, name: &str, new: &str) -> Op {
    let undo = set_command(netns, new, vec![Setting::Name(name.to_owned())]);
    Op::new(set_command(netns, name, vec![Setting::Name(new.to_owned())]), Undo::by(undo))
}

/// Moves a link to another namespace: `ip -n A link set dev NAME netns B`. The inverse stands where it is then.
#[must_use]
pub(crate) fn moved(from: &Where, name: &str, to: &Where) -> Op {
    let there = Moved { link: name.to_owned(), from: from.clone(), to: to.clone() };
    let back = Fact::Moved(there.back()).command(to);
    Op::new(Fact::Moved(there).command(from), Undo::by(back))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::told::{check, words};

    fn red() -> Where {
        Where::Named("red".into())
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
            &master(&red(), "x", Some("br0"), None),
            "ip -n red link set dev x master br0",
            "ip -n red link set dev x nomaster",
        );
        check(
            &master(&red(), "x", Some("br0"), Some("br1")),
            "ip -n red link set dev x master br0",
            "ip -n red link set dev x master br1",
        );
        check(
            &master(&red(), "x", None, Some("br1")),
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
    fn a_link_that_moves_comes_back_from_where_it_is() {
        let op = moved(&red(), "x", &Where::Named("blue".into()));
        check(&op, "ip -n red link set dev x netns blue", "ip -n blue link set dev x netns red");
        assert_eq!(op.link_after(), Some((&Where::Named("blue".into()), "x")));
        assert!(op.moves_names());
        check(
            &moved(&Where::Host, "x", &red()),
            "ip link set dev x netns red",
            "ip -n red link set dev x netns /proc/1/ns/net",
        );
    }

    #[test]
    fn links_of_a_kind() {
        check(
            &add(&red(), "tap0", "tun", &words("mode tap user 1000")),
            "ip -n red tuntap add dev tap0 mode tap user 1000",
            "ip -n red link delete dev tap0",
        );
        assert_eq!(add(&red(), "t0", "tun", &[]).command.line(), "ip -n red tuntap add dev t0 mode tun");
        check(
            &add(&red(), "vx0", "vxlan", &words("link eth0 type vxlan id 42")),
            "ip -n red link add name vx0 link eth0 type vxlan id 42",
            "ip -n red link delete dev vx0",
        );
        check(
            &set_options(&red(), "br0", &words("type bridge stp_state 1"), Some(&words("type bridge stp_state 0"))),
            "ip -n red link set dev br0 type bridge stp_state 1",
            "ip -n red link set dev br0 type bridge stp_state 0",
        );
        check(&delete(&red(), "x"), "ip -n red link delete dev x", "a deleted link cannot be made again as it was");
        assert_eq!(show(&red(), "x").line(), "ip -n red -j -d address show dev x");
    }
}
