//! A kernel that is a list of facts: what verbs, proofs and undo do is tried without processes and without a kernel.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{Mode, Session};
use crate::error::{Ran, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::exec::{Exec, Kernel, Output};
use crate::model::bridge::{FdbEntry, MdbEntry, Tags};
use crate::op::firewall::{ChainAct, RuleAct};
use crate::op::link::Setting;
use crate::op::route::{PolicyRule, RouteSpec, Way};
use crate::op::{Command, Fact};

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    kind: String,
    up: bool,
    mtu: u32,
    mac: String,
    master: Option<String>,
    /// The other end of a veth.
    peer: Option<String>,
    addrs: Vec<IpNet>,
}

/// What is so. Comparable, so that an undo is known to put all back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    links: BTreeMap<String, Link>,
    routes: Vec<RouteSpec>,
    rules: Vec<Vec<(String, String)>>,
    neighbours: BTreeMap<String, (String, String)>,
    chains: BTreeMap<String, Vec<String>>,
    policies: BTreeMap<String, String>,
    /// By port and VLAN.
    vlans: BTreeMap<(String, u16), Tags>,
    fdb: Vec<FdbEntry>,
    mdb: Vec<MdbEntry>,
}

/// What a command does that is not to do what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It says yes and does nothing.
    Lie,
    /// It says no and does nothing.
    Fail,
    /// It says no, after it has acted.
    FailAfter,
}

/// A kernel for tests.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) network: RefCell<Network>,
    /// How many commands have changed something, or were to.
    pub(super) acts: Cell<usize>,
    /// Which of them goes wrong, and how.
    pub(super) fault: Cell<Option<(usize, Fault)>>,
    /// All questions and acts, as a person would type them.
    pub(super) log: RefCell<Vec<String>>,
}

/// The same, shared with the session that runs on it.
pub(super) struct Shared(pub(super) Rc<Fake>);

/// A session that acts on a fake.
pub(super) fn session(fake: &Rc<Fake>) -> Session {
    let exec = Exec::new(Tools::default(), Interrupt::default()).unwrap();
    Session::new(exec.with_kernel(Box::new(Shared(Rc::clone(fake)))), Mode::Sandbox, Box::new(|_| {}))
}

impl Kernel for Shared {
    fn run(&self, command: &Command) -> Result<Output> {
        self.0.log.borrow_mut().push(command.line());
        let Some(fact) = command.fact() else { return Ok(output(command, self.0.answer(command))) };
        let number = self.0.acts.get();
        self.0.acts.set(number + 1);
        let fault = self.0.fault.get().filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let said = match fault {
            Some(Fault::Lie) => Ok(String::new()),
            Some(Fault::Fail) => Err("it broke".to_owned()),
            Some(Fault::FailAfter) => {
                let _ = self.0.act(fact);
                Err("it broke".to_owned())
            }
            None => self.0.act(fact).map(|()| String::new()).map_err(str::to_owned),
        };
        Ok(output(command, said))
    }
}

fn output(command: &Command, said: Result<String, String>) -> Output {
    let ok = said.is_ok();
    let (stdout, stderr) = said.map_or_else(|why| (String::new(), why), |text| (text, String::new()));
    let ran = Ran { command: command.line(), status: Some(i32::from(!ok)), stdout, stderr, ..Ran::default() };
    Output { ran, ok, unsure: false }
}

const EXISTS: &str = "RTNETLINK answers: File exists";
const GONE: &str = "RTNETLINK answers: No such process";

impl Fake {
    /// A network with a bridge, two links and a firewall.
    pub(super) fn new() -> Rc<Self> {
        let link =
            |kind: &str| Link { kind: kind.into(), mtu: 1500, mac: "02:00:00:00:00:01".into(), ..Link::default() };
        let links = [("br0", "bridge"), ("br1", "bridge"), ("x", "dummy")];
        let chain = |policy: &str| (format!("filter {policy}"), Vec::new());
        let network = Network {
            links: links.iter().map(|(name, kind)| ((*name).to_owned(), link(kind))).collect(),
            chains: ["INPUT", "FORWARD"].map(chain).into(),
            policies: ["INPUT", "FORWARD"].map(|name| (format!("filter {name}"), "ACCEPT".to_owned())).into(),
            ..Network::default()
        };
        Rc::new(Self { network: RefCell::new(network), ..Self::default() })
    }

    #[expect(clippy::too_many_lines, reason = "a few lines for each fact")]
    fn act(&self, fact: &Fact) -> Result<(), &'static str> {
        let mut network = self.network.borrow_mut();
        match fact {
            Fact::Link(link) if link.there => {
                if network.links.contains_key(&link.name) {
                    return Err(EXISTS);
                }
                let new = link.new.as_ref().ok_or("no kind")?;
                let made = |kind: &str| Link { kind: kind.into(), mtu: 1500, ..Link::default() };
                let peer = link.peer.as_ref().map(|(_, peer)| peer.clone());
                let (master, up) = (new.port_of.clone(), new.port_of.is_some());
                network.links.insert(link.name.clone(), Link { master, up, peer: peer.clone(), ..made(&new.kind) });
                if let Some(peer) = peer {
                    network.links.insert(peer, Link { peer: Some(link.name.clone()), ..made("veth") });
                }
            }
            Fact::Link(link) => {
                let gone = network.links.remove(&link.name).ok_or("Cannot find device \"x\"")?;
                for name in gone.peer.iter().chain([&link.name]) {
                    network.links.remove(name);
                    network.vlans.retain(|(dev, _), _| dev != name);
                    network.fdb.retain(|one| one.dev != *name);
                    network.mdb.retain(|one| one.port != *name);
                }
            }
            Fact::Settings(settings) => {
                let link = network.links.get_mut(&settings.link).ok_or("Cannot find device \"x\"")?;
                for setting in &settings.to {
                    match setting {
                        Setting::Up => link.up = true,
                        Setting::Down => link.up = false,
                        Setting::Master(master) => link.master = Some(master.clone()),
                        Setting::NoMaster => link.master = None,
                        Setting::Mtu(mtu) => link.mtu = *mtu,
                        Setting::Address(mac) => link.mac.clone_from(mac),
                        Setting::Name(_) | Setting::Alias(_) | Setting::Options(_) => {}
                    }
                }
                if let Some(new) = settings.new_name()
                    && let Some(link) = network.links.remove(&settings.link)
                {
                    network.links.insert(new.to_owned(), link);
                }
            }
            Fact::Addr(addr) => {
                let link = network.links.get_mut(&addr.link).ok_or("Cannot find device \"x\"")?;
                match (addr.there, link.addrs.iter().position(|have| *have == addr.addr)) {
                    (true, Some(_)) => return Err(EXISTS),
                    (true, None) => link.addrs.push(addr.addr),
                    (false, Some(at)) => drop(link.addrs.remove(at)),
                    (false, None) => return Err("RTNETLINK answers: Cannot assign requested address"),
                }
            }
            Fact::Route(route) => {
                let Way::Spec(spec) = &route.way else { return Err("words") };
                let same = |have: &RouteSpec| have.dst == spec.dst && have.metric == spec.metric;
                match (route.there, network.routes.iter().position(same)) {
                    (true, Some(_)) if !route.replaces => return Err(EXISTS),
                    (true, Some(at)) => network.routes[at] = spec.clone(),
                    (true, None) => network.routes.push(spec.clone()),
                    (false, Some(at)) => drop(network.routes.remove(at)),
                    (false, None) => return Err(GONE),
                }
            }
            Fact::Rule(PolicyRule { options, there, .. }) => {
                match (there, network.rules.iter().position(|have| have == options)) {
                    (true, _) => network.rules.push(options.clone()),
                    (false, Some(at)) => drop(network.rules.remove(at)),
                    (false, None) => return Err("RTNETLINK answers: No such file or directory"),
                }
            }
            Fact::Neigh(neigh) => {
                match &neigh.mac {
                    Some(mac) => network.neighbours.insert(neigh.addr.clone(), (neigh.dev.clone(), mac.clone())),
                    None => network.neighbours.remove(&neigh.addr),
                };
            }
            Fact::NfRule(rule) => {
                let chain =
                    network.chains.get_mut(&rule.at.to_string()).ok_or("No chain/target/match by that name.")?;
                let text = rule.spec.join(" ");
                match rule.act {
                    RuleAct::Append => chain.push(text),
                    RuleAct::Insert(number) => chain.insert(number as usize - 1, text),
                    RuleAct::Replace(number) => chain[number as usize - 1] = text,
                    RuleAct::DeleteNumber(number) => drop(chain.remove(number as usize - 1)),
                    RuleAct::Delete => {
                        let at = chain.iter().position(|have| *have == text);
                        chain.remove(at.ok_or("iptables: Bad rule (does a matching rule exist in that chain?).")?);
                    }
                }
            }
            Fact::NfChain(chain) => match &chain.act {
                ChainAct::New => drop(network.chains.insert(chain.at.to_string(), Vec::new())),
                ChainAct::Delete => drop(network.chains.remove(&chain.at.to_string())),
                ChainAct::RenameFrom(_) => return Err("not here"),
            },
            Fact::NfPolicy(policy) => {
                network.policies.insert(policy.at.to_string(), policy.target.clone());
            }
            Fact::Vlan(vlan) => {
                let key = (vlan.dev.clone(), vlan.vid);
                match vlan.is {
                    Some(tags) => {
                        for (_, other) in network.vlans.iter_mut().filter(|((dev, _), _)| tags.pvid && *dev == vlan.dev)
                        {
                            other.pvid = false;
                        }
                        network.vlans.insert(key, tags);
                    }
                    None => drop(network.vlans.remove(&key).ok_or("RTNETLINK answers: No such file or directory")?),
                }
            }
            Fact::Fdb(fdb) => {
                let at = network.fdb.iter().position(|one| fdb.entry.same_place(one));
                match (fdb.there, at) {
                    (true, Some(at)) => network.fdb[at] = fdb.entry.clone(),
                    (true, None) => network.fdb.push(fdb.entry.clone()),
                    (false, Some(at)) => drop(network.fdb.remove(at)),
                    (false, None) => return Err("RTNETLINK answers: No such file or directory"),
                }
            }
            Fact::Mdb(mdb) => match (mdb.there, network.mdb.iter().position(|one| mdb.entry.same_place(one))) {
                (true, Some(_)) => return Err(EXISTS),
                (true, None) => network.mdb.push(mdb.entry.clone()),
                (false, Some(at)) => drop(network.mdb.remove(at)),
                (false, None) => return Err("RTNETLINK answers: No such file or directory"),
            },
            _ => return Err("not here"),
        }
        Ok(())
    }

    /// Answers what netwright asks of `ip` and `iptables`.
    fn answer(&self, command: &Command) -> Result<String, String> {
        let network = self.network.borrow();
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let link = |(name, link): (&String, &Link)| {
            let addr = |addr: &IpNet| {
                let family = if addr.addr().is_ipv4() { "inet" } else { "inet6" };
                json!({ "family": family, "local": addr.addr(), "prefixlen": addr.prefix_len() })
            };
            json!({
                "ifname": name, "ifindex": 7, "mtu": link.mtu, "address": link.mac, "master": link.master, "link": link.peer,
                "flags": if link.up { vec!["UP"] } else { vec![] },
                "linkinfo": { "info_kind": link.kind, "info_slave_kind": link.master.as_ref().map(|_| "bridge"), "info_data": { "vlan_filtering": 1 } },
                "addr_info": link.addrs.iter().map(addr).collect::<Vec<_>>(),
            })
        };
        let list = |all: Vec<Value>| Ok(Value::from(all).to_string());
        match words[..] {
            ["-j", "-d", "address", "show"] => list(network.links.iter().map(link).collect()),
            ["-j", "-d", "address", "show", "dev", name] => match network.links.get_key_value(name) {
                Some(found) => list(vec![link(found)]),
                None => Err(format!("Device \"{name}\" does not exist.")),
            },
            ["-j", _, "route", "show", dst, ..] => {
                let same = network.routes.iter().filter(|route| route.dst == dst);
                list(same.map(|one| json!({ "dst": one.dst, "gateway": one.via, "dev": one.dev, "metric": one.metric, "flags": [] })).collect())
            }
            // The words of a former route are not made up: its JSON is all that is known.
            ["-o", "-d", _, "route", "show", ..] => Ok(String::new()),
            ["-j", _, "rule", "show"] => {
                let rule = |options: &Vec<(String, String)>| {
                    let get =
                        |name: &str| options.iter().find(|(option, _)| option == name).map(|(_, value)| value.clone());
                    let from = get("from").unwrap_or_else(|| "all".into());
                    let (src, len) = from.split_once('/').unwrap_or((&from, ""));
                    let mut rule = json!({ "src": src, "table": get("table").unwrap_or_else(|| "main".into()) });
                    rule["priority"] = get("priority").and_then(|text| text.parse::<u32>().ok()).into();
                    if let Ok(len) = len.parse::<u8>() {
                        rule["srclen"] = len.into();
                    }
                    rule
                };
                let own = [json!({ "priority": 0, "src": "all", "table": "local" })].into_iter();
                list(own.chain(network.rules.iter().map(rule)).collect())
            }
            ["-j", "neigh", "show"] => {
                let one = |(addr, (dev, mac)): (&String, &(String, String))| json!({ "dst": addr, "dev": dev, "lladdr": mac, "state": ["PERMANENT"] });
                list(network.neighbours.iter().map(one).collect())
            }
            ["-j", "vlan", "show", "dev", name] => {
                let flags = |tags: &Tags| {
                    [(tags.pvid, "PVID"), (tags.untagged, "Egress Untagged")]
                        .into_iter()
                        .filter(|(is, _)| *is)
                        .map(|(_, flag)| flag)
                        .collect::<Vec<_>>()
                };
                let own = network.vlans.iter().filter(|((dev, _), _)| dev == name);
                let vlans: Vec<Value> =
                    own.map(|((_, vid), tags)| json!({ "vlan": vid, "flags": flags(tags) })).collect();
                list(vec![json!({ "ifname": name, "vlans": vlans })])
            }
            ["-j", "fdb", "show"] => {
                let one = |one: &FdbEntry| json!({ "mac": one.mac, "ifname": one.dev, "flags": [], "master": one.bridge, "state": one.state });
                list(network.fdb.iter().map(one).collect())
            }
            ["-j", "mdb", "show"] => {
                let one = |one: &MdbEntry| json!({ "dev": one.bridge, "port": one.port, "grp": one.group, "state": one.state, "vid": one.vid });
                list(vec![json!({ "mdb": network.mdb.iter().map(one).collect::<Vec<_>>() })])
            }
            ["-w", _, "-t", table, "-S", chain, ..] => {
                let rules =
                    network.chains.get(&format!("{table} {chain}")).ok_or("No chain/target/match by that name.")?;
                let head = match network.policies.get(&format!("{table} {chain}")) {
                    Some(policy) => format!("-P {chain} {policy}"),
                    None => format!("-N {chain}"),
                };
                Ok(rules.iter().fold(head + "\n", |text, rule| format!("{text}-A {chain} {rule}\n")))
            }
            ["-w", _, "-t", _, "-S"] => Ok("-P INPUT ACCEPT\n".to_owned()),
            ["-w", _, "-t", table, "-C", chain, ..] => {
                let text = words[6..].join(" ");
                let there = network.chains.get(&format!("{table} {chain}")).is_some_and(|rules| rules.contains(&text));
                if there {
                    Ok(String::new())
                } else {
                    Err("iptables: Bad rule (does a matching rule exist in that chain?).".into())
                }
            }
            _ => Err(format!("nobody answers `{}`", command.line())),
        }
    }
}

mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::op::Where;
    use crate::op::route::Family;
    use crate::session::{Did, FdbSpec, NeighSpec, PlugOptions};

    type Verb = (&'static str, fn(&Session) -> Result<Did>);

    const HOST: &Where = &Where::Host;

    fn at_port() -> FdbSpec {
        let entry = FdbEntry { mac: "02:00:00:00:00:05".into(), ..FdbEntry::default() };
        FdbSpec { entry, ..FdbSpec::default() }
    }

    fn wants(port: &str, vid: Option<u16>) -> MdbEntry {
        MdbEntry { port: port.into(), group: "239.1.1.1".into(), vid, ..MdbEntry::default() }
    }

    fn iptables(session: &Session, text: &str) -> Result<Did> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let before = session.changed();
        session.iptables(HOST, Family::V4, &words)?;
        Ok(if session.changed() > before { Did::Something } else { Did::Nothing })
    }

    fn route(session: &Session, via: &str, metric: Option<u32>) -> Result<Did> {
        let spec = RouteSpec { dst: "10.9.0.0/16".into(), via: Some(via.into()), metric, ..RouteSpec::default() };
        session.route_ensure(HOST, &spec)
    }

    /// Verbs on the fake's network. Each changes something.
    const VERBS: &[Verb] = &[
        ("veth", |s| s.veth_ensure((HOST, "a"), (HOST, "b"))),
        ("plug", |s| {
            s.plug((HOST, "c"), (HOST, "br0"), &PlugOptions { outer: Some("p0".into()), ..Default::default() })
        }),
        ("plug into a VLAN", |s| {
            let vlans = Some(vec![(7, Tags { pvid: true, untagged: true })]);
            s.plug((HOST, "d"), (HOST, "br0"), &PlugOptions { outer: Some("p1".into()), vlans, port: Vec::new() })
        }),
        ("VLANs", |s| s.bridge_vlan((HOST, "p0"), 10..=12, Some(Tags::default()), None)),
        ("access VLAN", |s| s.bridge_vlan((HOST, "p0"), 10..=10, Some(Tags { pvid: true, untagged: true }), None)),
        ("another access VLAN", |s| {
            s.bridge_vlan((HOST, "p0"), 11..=11, Some(Tags { pvid: true, untagged: true }), None)
        }),
        ("VLAN of the bridge", |s| s.bridge_vlan((HOST, "br0"), 10..=10, Some(Tags::default()), Some(true))),
        ("no VLAN", |s| s.bridge_vlan((HOST, "p0"), 11..=12, None, None)),
        ("fdb", |s| s.fdb_ensure((HOST, "p0"), &at_port())),
        ("fdb of another port", |s| s.fdb_ensure((HOST, "p1"), &at_port())),
        ("no fdb", |s| s.fdb_delete((HOST, "p1"), &at_port())),
        ("mdb", |s| s.mdb((HOST, "br0"), &wants("p0", Some(10)), true)),
        ("mdb in all VLANs", |s| s.mdb((HOST, "br0"), &wants("p1", None), true)),
        ("no mdb", |s| s.mdb((HOST, "br0"), &wants("p1", None), false)),
        ("up", |s| s.link_up((HOST, "x"), true)),
        ("mtu", |s| s.link_mtu((HOST, "x"), 1400)),
        ("mac", |s| s.link_mac((HOST, "x"), "02:00:00:00:00:02")),
        ("master", |s| s.link_master((HOST, "x"), Some("br0"))),
        ("another master", |s| s.link_master((HOST, "x"), Some("br1"))),
        ("no master", |s| s.link_master((HOST, "x"), None)),
        ("address", |s| s.addr_ensure((HOST, "x"), "10.0.0.1/24".parse().unwrap())),
        ("second address", |s| s.addr_ensure((HOST, "x"), "10.0.0.2/24".parse().unwrap())),
        ("address of IPv6", |s| s.addr_ensure((HOST, "x"), "2001:db8::1/64".parse().unwrap())),
        ("no address", |s| s.addr_delete((HOST, "x"), "10.0.0.2/24".parse().unwrap())),
        ("route", |s| route(s, "10.0.0.9", None)),
        ("route with a metric", |s| route(s, "10.0.0.9", Some(50))),
        ("another way", |s| route(s, "10.0.0.8", Some(50))),
        ("policy rule", |s| {
            s.rule_ensure(HOST, &[("from", "10.0.0.0/24"), ("table", "100")].map(|(a, b)| (a.into(), b.into())))
        }),
        ("another table", |s| {
            s.rule_ensure(HOST, &[("from", "10.0.0.0/24"), ("table", "101")].map(|(a, b)| (a.into(), b.into())))
        }),
        ("neighbour", |s| {
            s.neigh_ensure(
                HOST,
                &NeighSpec { addr: "10.0.0.9".into(), mac: "02:00:00:00:00:09".into(), dev: "x".into() },
            )
        }),
        ("another neighbour", |s| {
            s.neigh_ensure(
                HOST,
                &NeighSpec { addr: "10.0.0.9".into(), mac: "02:00:00:00:00:08".into(), dev: "x".into() },
            )
        }),
        ("chain", |s| iptables(s, "-N web")),
        ("rule", |s| iptables(s, "-A INPUT -s 10.0.0.1 -j DROP")),
        ("second rule", |s| iptables(s, "-A INPUT -s 10.0.0.2 -j DROP")),
        ("first rule", |s| iptables(s, "-I INPUT -s 10.0.0.3 -j ACCEPT")),
        ("rule of the chain", |s| iptables(s, "-A web -j ACCEPT")),
        ("rule gone", |s| iptables(s, "-D INPUT -s 10.0.0.1 -j DROP")),
        ("policy", |s| iptables(s, "-P FORWARD DROP")),
        ("down", |s| s.link_up((HOST, "x"), false)),
        ("rename", |s| s.link_rename((HOST, "x"), "y")),
    ];

    fn run(session: &Session) -> Result<()> {
        for (_, verb) in VERBS {
            verb(session)?;
        }
        session.settle_all()
    }

    #[test]
    fn each_verb_changes_once_and_all_goes_back() {
        let fake = Fake::new();
        let before = fake.network.borrow().clone();
        let session = session(&fake);
        for (name, verb) in VERBS {
            assert_eq!(verb(&session).unwrap(), Did::Something, "{name}");
            session.settle_all().unwrap();
            let (after, acts) = (fake.network.borrow().clone(), fake.acts.get());
            assert_eq!(verb(&session).unwrap(), Did::Nothing, "{name} again");
            session.settle_all().unwrap();
            assert_eq!((fake.network.borrow().clone(), fake.acts.get()), (after, acts), "{name} again");
        }
        let undone = session.undo_all();
        assert!(undone.left.is_empty() && undone.foreign.is_empty(), "{undone:?}");
        assert_eq!(*fake.network.borrow(), before);
    }

    /// Whatever command goes wrong, in whatever way: it is told at that command, nothing is done after it, and all goes back.
    #[test]
    fn a_command_that_goes_wrong_is_told_and_all_goes_back() {
        let acts = {
            let fake = Fake::new();
            run(&session(&fake)).unwrap();
            fake.acts.get()
        };
        assert!(acts >= VERBS.len(), "{acts}");
        for (fault, kind) in [(Fault::Lie, "succeeded, but"), (Fault::Fail, "it broke"), (Fault::FailAfter, "it broke")]
        {
            for at in 0..acts {
                let fake = Fake::new();
                let before = fake.network.borrow().clone();
                fake.fault.set(Some((at, fault)));
                let session = session(&fake);
                let error = run(&session).expect_err("it went wrong and nobody said so");
                let wrong = fake.log.borrow().iter().filter(|line| !is_question(line)).nth(at).cloned().unwrap();
                assert!(error.to_string().contains(kind), "{fault:?} of `{wrong}`: {error}");
                assert_eq!(error.kind(), Kind::CommandFailed, "{fault:?} of `{wrong}`: {error}");
                let undone = session.undo_all();
                assert!(undone.left.is_empty(), "{fault:?} of `{wrong}`: {undone:?}");
                assert_eq!(*fake.network.borrow(), before, "{fault:?} of `{wrong}`");
            }
        }
    }

    fn is_question(line: &str) -> bool {
        [" show", " -S", " -C "].iter().any(|word| line.contains(word))
    }
}
