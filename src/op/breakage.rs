//! What could break of what an op made: for each op the ways to take back one thing of it, and what a test would have to ask to notice.

use super::link::{Link, Setting, Settings};
use super::{Command, Fact, Op, Tool, Undo, Where, bridge, ethtool, firewall, program, qdisc};

/// One way to break what one op made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breakage {
    /// What breaks it, in order.
    pub commands: Vec<Command>,
    /// What is broken then: "the address 10.0.0.1/24 of `eth0` in `blue` is gone".
    pub what: String,
    /// What a test would have to ask.
    pub would: String,
}

/// What may have been recorded and broken in another run: an op by its words, and which of its breakages.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mutant {
    /// The command of the op as a person would type it, without its keys.
    pub line: String,
    /// Which of the ops with these words, from 0.
    pub nth: usize,
    /// Which of its breakages, from 0.
    pub way: usize,
    /// Whether the file has tests, which begin when its network is built: what its set-up made is broken then, and not amid the set-up.
    pub has_tests: bool,
}

/// The ways to break what an op made; none for what goes with something else (a namespace, its `lo`, an empty chain), and for what nothing can
/// take back.
#[must_use]
pub(crate) fn of(op: &Op) -> Vec<Breakage> {
    let netns = &op.command.netns;
    match op.fact() {
        // What a program of the script's own changes, nobody can ask for.
        None if op.command.tool == Tool::Own => Vec::new(),
        None => of_raw(op),
        Some(Fact::Netns(_) | Fact::NfChain(_)) => Vec::new(),
        Some(Fact::Link(link)) => of_new_link(netns, link),
        Some(Fact::Settings(set)) if set.sets(|one| matches!(one, Setting::Name(_) | Setting::Alias(_))) => Vec::new(),
        Some(Fact::Settings(Settings { link, to })) if matches!(to[..], [Setting::Master(_), Setting::Up]) => {
            vec![free_port(netns, link), set_down(netns, link)]
        }
        Some(_) => undone(op).map(|commands| by(commands, op)).into_iter().collect(),
    }
}

/// A link that was made up and in a bridge by the same command; of another one, what sets it up is an op of its own, and so is only the link
/// without such words gone, when it is of a kind that need not be set up by hand.
fn of_new_link(netns: &Where, link: &Link) -> Vec<Breakage> {
    if link.new.as_ref().is_some_and(|new| new.port_of.is_some()) {
        vec![free_port(netns, &link.name), set_down(netns, &link.name)]
    } else {
        Vec::new()
    }
}

fn free_port(netns: &Where, name: &str) -> Breakage {
    Breakage {
        commands: vec![Command::new(Tool::Ip, netns, ["link", "set", "dev", name, "nomaster"])],
        what: format!("the port `{name}` in `{netns}` is out of its bridge"),
        would: format!("something that only `{name}` leads to must be reached through its bridge"),
    }
}

fn set_down(netns: &Where, name: &str) -> Breakage {
    Breakage {
        commands: vec![Command::new(Tool::Ip, netns, ["link", "set", "dev", name, "down"])],
        what: format!("the link `{name}` in `{netns}` is down"),
        would: format!("something that only `{name}` in `{netns}` leads to must be reached"),
    }
}

/// The commands that take an op back.
fn undone(op: &Op) -> Option<Vec<Command>> {
    match &op.undo {
        Undo::Commands(commands) => Some(commands.clone()),
        Undo::Rules { commands, chains } => {
            // From the first on, each at the place that it had: those before it are back by then.
            let Command { netns, tool, .. } = &op.command;
            let family = firewall::family(*tool);
            let put_back = chains.iter().flat_map(|former| {
                former.gone.iter().map(move |gone| firewall::insert_command(netns, family, former, gone + 1, *gone))
            });
            Some(commands.iter().cloned().chain(put_back).collect())
        }
        // A rule whose handle is not known yet goes by none.
        Undo::Nft(inverse) => Some(inverse.commands(&op.command.netns)),
        Undo::None(_) => None,
    }
    .filter(|commands: &Vec<Command>| !commands.is_empty())
}

fn by(commands: Vec<Command>, op: &Op) -> Breakage {
    let (what, would) = told(op, &commands);
    Breakage { commands, what, would }
}

/// What is broken, and what would notice.
fn told(op: &Op, commands: &[Command]) -> (String, String) {
    let netns = &op.command.netns;
    match op.fact() {
        Some(Fact::Addr(addr)) if addr.there => {
            let (link, ip) = (&addr.link, addr.addr.addr());
            (
                format!("the address {} of `{link}` in `{netns}` is gone", addr.addr),
                format!(
                    "somebody must reach {ip}: expect(other).reaches(\"{ip}\"), or `{netns}` must reach what is in its network"
                ),
            )
        }
        Some(Fact::Route(route)) if route.there && !route.replaces => (
            format!("the route to {} in `{netns}` is gone", route.dst),
            format!("`{netns}` must reach an address that only the route to {} leads to", route.dst),
        ),
        Some(Fact::Route(route)) => (
            format!("the route to {} in `{netns}` is as it was before", route.dst),
            format!("a packet of `{netns}` must show which way to {} it takes", route.dst),
        ),
        Some(Fact::Rule(rule)) if rule.there => (
            format!("the policy rule of `{netns}` is gone"),
            format!(
                "a packet of `{netns}` that the rule is meant for must arrive, and one that it is not meant for must not"
            ),
        ),
        Some(Fact::File(file)) => (
            format!("`{}` is as it was before", file.path),
            format!("a program must read what `{}` says: ns.resolve(…), ns.run(\"cat …\")", file.path),
        ),
        Some(Fact::Neigh(neigh)) => (
            format!("the neighbour {} in `{netns}` is as it was before", neigh.addr),
            format!("`{netns}` must reach {} where nobody answers ARP for it", neigh.addr),
        ),
        Some(Fact::Sysctl(sysctl)) => {
            let name = &sysctl.name;
            (
                format!("{} in `{netns}`", set_to(commands).unwrap_or_else(|| format!("{name} is as it was before"))),
                sysctl_would(netns, name),
            )
        }
        Some(Fact::NfPolicy(policy)) => (
            format!("the policy of {} in `{netns}` is as it was before", policy.at),
            format!(
                "a packet that no rule of {} in `{netns}` names must meet its policy: expect(…).cannot_reach(…), or reaches",
                policy.at
            ),
        ),
        Some(Fact::NfRule(rule)) if rule.is_there() => {
            (format!("a rule of {} in `{netns}` is gone: `{}`", rule.at, rule_of(&op.command)), rule_would(netns, rule))
        }
        Some(Fact::NfRule(rule)) => (
            format!("a rule of {} in `{netns}` that was deleted is back", rule.at),
            format!("a packet that this rule of {} stops or lets through must show that it is gone", rule.at),
        ),
        Some(Fact::NfTable(table)) => (
            format!("the rules of {} in `{netns}` that were taken away are back", table.table),
            "a packet that these rules stop or let through must show that they are gone".into(),
        ),
        Some(Fact::Qdisc(qdisc)) => {
            let link = &qdisc.link;
            (
                format!("the shaping of `{link}` in `{netns}` is as it was before"),
                format!("the delay, loss or rate of `{link}` must be measured: ns.ping(…).rtt_ms, throughput(a, b)"),
            )
        }
        Some(Fact::Offload(one)) => (
            format!("what `{}` in `{netns}` leaves to its device is as it was before: `{}`", one.link, line(commands)),
            format!("what `{}` leaves to its device must be asked for: ns.link(…).offloads", one.link),
        ),
        Some(Fact::Settings(Settings { link, to })) => set_told(netns, link, to.first(), commands),
        Some(Fact::Vlan(vlan)) => {
            let (dev, vid) = (&vlan.dev, vlan.vid);
            (
                format!("VLAN {vid} of `{dev}` in `{netns}` is as it was before"),
                format!("somebody behind `{dev}` must reach what is in VLAN {vid}, or must not"),
            )
        }
        _ => (
            format!("`{}` is taken back by `{}`", op.command.line(), line(commands)),
            format!("something that `{}` changes must be asked for", op.command.line()),
        ),
    }
}

fn line(commands: &[Command]) -> String {
    commands.iter().map(Command::line).collect::<Vec<_>>().join("; ")
}

/// The same of a setting of a link.
fn set_told(netns: &Where, name: &str, setting: Option<&Setting>, commands: &[Command]) -> (String, String) {
    match setting {
        Some(Setting::Down) => (
            format!("the link `{name}` in `{netns}` is up again"),
            format!("something must not be reached while `{name}` in `{netns}` is down"),
        ),
        Some(Setting::Up) => {
            let Breakage { what, would, .. } = set_down(netns, name);
            (what, would)
        }
        Some(Setting::Master(_)) => {
            let Breakage { what, would, .. } = free_port(netns, name);
            (what, would)
        }
        Some(Setting::NoMaster) => {
            (format!("the port `{name}` in `{netns}` is back in its bridge"), free_port(netns, name).would)
        }
        Some(Setting::Mtu(_)) => (
            format!("the MTU of `{name}` in `{netns}` is as it was before: `{}`", line(commands)),
            format!(
                "a packet larger than the smaller of the two MTUs must pass `{name}`, or be refused: ns.ping(…, #{{ size: … }})"
            ),
        ),
        Some(Setting::Options(words)) => {
            let words = words.join(" ");
            (
                format!("`{words}` of `{name}` in `{netns}` is as it was before: `{}`", line(commands)),
                format!("something that `{words}` of `{name}` changes must be asked for"),
            )
        }
        _ => (
            format!("`{name}` in `{netns}` is as it was before: `{}`", line(commands)),
            format!("something that depends on `{name}` must be asked for"),
        ),
    }
}

fn set_to(commands: &[Command]) -> Option<String> {
    match commands.first()?.fact()? {
        Fact::Sysctl(set) => Some(format!("{} is {}", set.name, set.value)),
        _ => None,
    }
}

fn sysctl_would(netns: &Where, name: &str) -> String {
    if name.contains("forward") {
        format!("somebody must reach what is beyond `{netns}`, through it")
    } else {
        format!("something that {name} of `{netns}` changes must be asked for")
    }
}

/// The rule as iptables has it, without the mark of this program.
#[must_use]
pub(crate) fn rule_of(command: &Command) -> String {
    let words = command.fact().and_then(Fact::rule).map(|rule| {
        let mut words = rule.said();
        let marked =
            |at: &usize| words[*at..].starts_with(&["-m", "comment", "--comment", firewall::MARK].map(String::from));
        if let Some(at) = (0..words.len()).find(marked) {
            words.drain(at..at + 4);
        }
        words
    });
    super::quote(&words.unwrap_or_else(|| command.argv.clone()))
}

fn rule_would(netns: &Where, rule: &firewall::Rule) -> String {
    match rule.target() {
        Some("DROP" | "REJECT") => {
            format!("what this rule of `{netns}` stops must not be reached: expect(…).cannot_reach(…)")
        }
        Some("ACCEPT" | "RETURN") => {
            format!("what only this rule of `{netns}` lets through must be reached: expect(…).reaches(…)")
        }
        Some("MASQUERADE" | "SNAT") => {
            format!("something outside that does not know the senders must be reached through `{netns}`")
        }
        Some("DNAT" | "REDIRECT") => {
            format!("the published address and port must be reached through `{netns}`, from outside and from itself")
        }
        _ => format!("a packet that this rule of {} in `{netns}` is meant for must show what it does", rule.at),
    }
}

/// The user's own `ip` words: what takes them back as the user says, or as their grammar does.
fn of_raw(op: &Op) -> Vec<Breakage> {
    if let Some(commands) = undone(op) {
        return vec![by(commands, op)];
    }
    let mut argv = op.command.argv.clone();
    let verb = argv.iter().position(|word| matches!(word.as_str(), "add" | "a" | "append" | "up"));
    let Some(at) = verb.filter(|at| *at > 0) else { return Vec::new() };
    let makes_link = argv[..at].iter().any(|word| "link".starts_with(word.as_str()) && !word.is_empty());
    match (argv[at].as_str(), makes_link) {
        // A link by itself does nothing before it is up.
        ("up", true) if argv.iter().any(|word| word == "set") => "down".clone_into(&mut argv[at]),
        ("up", _) | (_, true) => return Vec::new(),
        _ => "del".clone_into(&mut argv[at]),
    }
    vec![by(vec![Command { argv, ..op.command.clone() }], op)]
}

/// What shows whether a breakage changed anything: questions whose answers are compared.
#[must_use]
pub(crate) fn shown(op: &Op) -> Vec<Command> {
    let netns = &op.command.netns;
    let ip = |words: &[&str]| Command::new(Tool::Ip, netns, words.iter().copied());
    let links = || ip(&["-d", "link", "show"]);
    let addrs = || ip(&["address", "show"]);
    let routes = || [ip(&["-4", "route", "show", "table", "all"]), ip(&["-6", "route", "show", "table", "all"])];
    let rules = || [ip(&["-4", "rule", "show"]), ip(&["-6", "rule", "show"])];
    let pinned = || [ip(&["neigh", "show", "nud", "permanent"]), ip(&["neigh", "show", "proxy"])];
    match op.fact() {
        None => [links(), addrs()].into_iter().chain(routes()).chain(rules()).chain(pinned()).collect(),
        Some(Fact::Netns(_) | Fact::NfChain(_)) => Vec::new(),
        Some(Fact::Link(_) | Fact::Settings(_) | Fact::Moved(_) | Fact::Wireguard(_)) => vec![links()],
        Some(Fact::Addr(_)) => vec![addrs()],
        Some(Fact::Route(_)) => routes().into(),
        Some(Fact::Rule(_)) => rules().into(),
        Some(Fact::Neigh(_)) => pinned().into(),
        Some(Fact::Sysctl(set)) => vec![super::sysctl::get(netns, &set.name)],
        Some(fact @ (Fact::NfRule(_) | Fact::NfPolicy(_) | Fact::NfTable(_))) => {
            // Without counters: those change by themselves.
            let table = fact.table().unwrap_or("filter");
            vec![firewall::list(netns, firewall::family(op.command.tool), table, None)]
        }
        Some(Fact::Nft(_)) => vec![Command::new(Tool::Nft, netns, ["-s", "list", "ruleset"])],
        Some(Fact::Qdisc(qdisc)) => vec![qdisc::show_words(netns, &qdisc.link)],
        Some(Fact::Offload(one)) => vec![ethtool::show(netns, &one.link)],
        Some(Fact::Vlan(_)) => vec![bridge::show_all_vlans(netns)],
        Some(Fact::Fdb(_)) => vec![bridge::show_fdb(netns)],
        Some(Fact::Mdb(_)) => vec![bridge::show_mdb(netns)],
        Some(Fact::Nexthop(_)) => vec![super::route::nexthops(netns)],
        Some(Fact::File(file)) => {
            let words = ["sh", "-c", "cat \"$1\" 2>/dev/null || true", "sh", file.path.as_str()].map(str::to_owned);
            vec![program::command(netns, &words)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::route::Family;
    use crate::op::told::words;
    use crate::op::{addr, link, netns, route, sysctl};

    fn red() -> Where {
        Where::Named("red".into())
    }

    fn lines(op: &Op) -> Vec<String> {
        of(op).iter().map(|one| one.commands.iter().map(Command::line).collect::<Vec<_>>().join("; ")).collect()
    }

    #[test]
    fn each_thing_is_broken_by_its_counterpart() {
        let red = red();
        assert_eq!(lines(&link::up(&red, "eth0")), ["ip -n red link set dev eth0 down"]);
        assert_eq!(lines(&link::down(&red, "eth0")), ["ip -n red link set dev eth0 up"]);
        assert_eq!(
            lines(&link::master_up(&red, "p0", "br0")),
            ["ip -n red link set dev p0 nomaster", "ip -n red link set dev p0 down"]
        );
        let port = link::add_port((&Where::Named("blue".into()), "eth0"), (&red, "p0"), "br0").unwrap();
        assert_eq!(lines(&port), ["ip -n red link set dev p0 nomaster", "ip -n red link set dev p0 down"]);
        assert_eq!(lines(&link::mtu(&red, "eth0", 1400, 1500)), ["ip -n red link set dev eth0 mtu 1500"]);
        assert_eq!(
            lines(&addr::add(&red, "eth0", "10.0.0.1/24".parse().unwrap())),
            ["ip -n red address delete 10.0.0.1/24 dev eth0"]
        );
        assert_eq!(
            lines(&route::add(
                &red,
                Family::V4,
                "default",
                &route::RouteSpec { dst: "default".into(), via: Some("10.0.0.2".into()), ..Default::default() }
            )),
            ["ip -n red -4 route delete default via 10.0.0.2"]
        );
        assert_eq!(
            lines(&sysctl::set(&red, "net.ipv4.ip_forward", "1", "0")),
            ["ip netns exec red sysctl -w net.ipv4.ip_forward=0"]
        );
        assert_eq!(
            lines(&firewall::policy(&red, Family::V4, "filter", "FORWARD", "DROP", "ACCEPT")),
            ["ip netns exec red iptables -w 5 -t filter -P FORWARD ACCEPT"]
        );
        assert_eq!(
            lines(&firewall::append(&red, Family::V4, "filter", "INPUT", &words("-p icmp -j DROP"))),
            ["ip netns exec red iptables -w 5 -t filter -D INPUT -p icmp -j DROP"]
        );
    }

    #[test]
    fn a_rule_that_was_deleted_comes_back_to_its_place() {
        let former = firewall::FormerChain {
            table: "filter".into(),
            chain: "INPUT".into(),
            rules: vec![words("-p tcp -j DROP"), words("-p udp -j DROP")],
            gone: vec![1],
            counters: Vec::new(),
        };
        let op = firewall::delete(&red(), Family::V4, former, &words("-p udp -j DROP"));
        assert_eq!(lines(&op), ["ip netns exec red iptables -w 5 -t filter -I INPUT 2 -p udp -j DROP"]);
    }

    #[test]
    fn what_goes_with_something_else_is_no_breakage_of_its_own() {
        let red = red();
        assert!(of(&netns::add("red")).is_empty());
        assert!(of(&link::lo_up(&red, None)).is_empty());
        assert!(of(&link::add_veth((&red, "eth0"), (&Where::Host, "p0"))).is_empty());
        assert!(of(&link::delete(&red, "eth0")).is_empty());
    }

    #[test]
    fn raw_words_are_taken_back_as_the_user_says_or_as_their_grammar_does() {
        let raw = |text: &str, undo: Undo| lines(&Op::new(Command::new(Tool::Ip, &red(), words(text)), undo));
        let none = || Undo::None("no".into());
        assert_eq!(raw("route add 10.9.0.0/16 via 10.0.0.2", none()), ["ip -n red route del 10.9.0.0/16 via 10.0.0.2"]);
        assert_eq!(raw("link set eth0 up", none()), ["ip -n red link set eth0 down"]);
        assert!(raw("link add x type dummy", none()).is_empty());
        assert!(raw("route flush cache", none()).is_empty());
        let undo = Undo::by(Command::new(Tool::Ip, &red(), ["rule", "del", "pref", "7"]));
        assert_eq!(raw("rule add pref 7 table 7", undo), ["ip -n red rule del pref 7"]);
    }

    #[test]
    fn a_survivor_says_what_would_notice() {
        let one = of(&firewall::append(
            &red(),
            Family::V4,
            "filter",
            "INPUT",
            &words("-p icmp -m comment --comment netwright -j DROP"),
        ))
        .remove(0);
        assert_eq!(one.what, "a rule of filter INPUT in `red` is gone: `-A INPUT -p icmp -j DROP`");
        assert!(one.would.contains("cannot_reach"), "{}", one.would);
        let one = of(&sysctl::set(&red(), "net.ipv4.ip_forward", "1", "0")).remove(0);
        assert_eq!(one.what, "net.ipv4.ip_forward is 0 in `red`");
    }
}
