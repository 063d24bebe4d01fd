//! What the kernel takes with an act: it is looked at before and after, and what is gone or otherwise is written down, so that the undo can put it
//! back ([`super::undo_taken`]).
//!
//! Only acts on what was there before can take anything of others: what this run made is gone with it. And only some acts do: a link that goes
//! down, moves or shrinks, an address that goes, a setting of `net.ipv6`, the user's own words.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Event, Session};
use crate::error::{Kind, Result};
use crate::exec::Exec;
use crate::model::state::{Lost, Part, State, Thing};
use crate::op::link::{Moved, Setting, Settings};
use crate::op::route::Family;
use crate::op::wg::Wireguard;
use crate::op::{self, Command, Fact, Op, Tool, Where};

/// How far an act can reach in its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reach {
    /// Links, addresses, routes, neighbours, ports, queueing disciplines.
    #[serde(default)]
    net: bool,
    /// Settings of these names, of all links.
    #[serde(default)]
    names: BTreeSet<String>,
    /// All settings of these links.
    #[serde(default)]
    links: BTreeSet<String>,
}

impl Reach {
    /// How far an op reaches that acts on what was there before. `None`: no farther than it says.
    fn of(op: &Op) -> Option<Self> {
        let net = |links: &[&str]| Self {
            net: true,
            names: BTreeSet::new(),
            links: links.iter().map(|link| (*link).to_owned()).collect(),
        };
        let Some(fact) = op.fact() else { return Some(net(&[])) };
        match fact {
            // A new name takes nothing with it, nor does a remark.
            Fact::Settings(set) if set.sets(|one| matches!(one, Setting::Name(_) | Setting::Alias(_))) => None,
            Fact::Settings(Settings { link, .. })
            | Fact::Moved(Moved { link, .. })
            | Fact::Wireguard(Wireguard { link, .. }) => Some(net(&[link])),
            // With a VLAN go the entries of the forwarding table that count in it.
            Fact::Addr(_) | Fact::Qdisc(_) | Fact::Vlan(_) => Some(net(&[])),
            Fact::Sysctl(set) => {
                let path = set.path();
                let last = path.rsplit('/').next()?.to_owned();
                let forwards = matches!(last.as_str(), "ip_forward" | "forwarding");
                if !forwards && !path.starts_with("net/ipv6/") {
                    return None;
                }
                // `inet_forward_change` and `addrconf_fixup_forwarding` of the kernel.
                let names = [last.as_str(), "forwarding", "accept_redirects"].map(str::to_owned).into();
                Some(Self { net: path.starts_with("net/ipv6/"), names, links: BTreeSet::new() })
            }
            _ => None,
        }
    }

    /// As far as both.
    pub(super) fn and(&mut self, other: &Self) {
        self.net |= other.net;
        self.names.extend(other.names.iter().cloned());
        self.links.extend(other.links.iter().cloned());
    }
}

/// Whether the act itself takes something, and not only its undoing.
pub(super) fn takes(op: &Op) -> bool {
    match op.fact() {
        Some(Fact::Addr(addr)) => !addr.there,
        Some(Fact::Settings(set)) => !matches!(set.to.first(), Some(Setting::Up)),
        Some(Fact::Vlan(vlan)) => vlan.is.is_none(),
        _ => true,
    }
}

/// Reads what is within reach.
pub(super) fn read(exec: &Exec, netns: &Where, reach: &Reach) -> Result<State> {
    let mut state = State::default();
    if reach.net {
        let more = state.take_links(&answer(exec, &op::link::show_all(netns))?)?;
        if more.ports {
            state.take_fdb(&answer(exec, &op::bridge::show_fdb(netns))?, &more.macs)?;
        }
        if more.vlans {
            state.take_vlans(&answer(exec, &op::bridge::show_all_vlans(netns))?)?;
        }
        if more.qdiscs {
            state.take_qdiscs(&answer(exec, &super::things::qdiscs(netns))?);
        }
        for proxy in [false, true] {
            state.take_neighbours(&answer(exec, &super::things::neighbours(netns, proxy))?, proxy)?;
        }
        let mut nexthops = false;
        for (part, family) in [(Part::Route4, Family::V4), (Part::Route6, Family::V6)] {
            let command = super::things::routes(netns, family);
            let output = exec.run(&command)?;
            // A kernel without IPv6 has no routes of it.
            let has_none = family == Family::V6 && output.ran.stderr.contains("not supported");
            if !(output.ok || has_none) {
                return Err(super::failure(&command, output.ran));
            }
            let text = output.ran.stdout;
            nexthops |= text.contains(" nhid ");
            state.take_routes(part, &text);
        }
        if nexthops {
            state.take_nexthops(&answer(exec, &op::route::nexthops(netns))?);
        }
    }
    if !(reach.names.is_empty() && reach.links.is_empty()) {
        let settings = exec.within(netns, || settings(reach))?;
        state.0.extend(settings.into_iter().map(|(path, value)| Thing::new(Part::Sysctl, path, value)));
    }
    Ok(state)
}

/// What a question prints.
fn answer(exec: &Exec, command: &Command) -> Result<String> {
    let output = exec.run(command)?;
    if output.ok { Ok(output.ran.stdout) } else { Err(super::failure(command, output.ran)) }
}

/// The settings within reach, as the kernel shows them to the calling thread. What cannot be read is not kept: such settings cannot be set either.
fn settings(reach: &Reach) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut take = |path: String| {
        if let Ok(text) = std::fs::read_to_string(Path::new("/proc/sys").join(&path)) {
            found.insert(path, text.trim().replace('\t', " "));
        }
    };
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(Path::new("/proc/sys").join(folder)).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    };
    if reach.names.contains("ip_forward") {
        take("net/ipv4/ip_forward".into());
    }
    for folder in ["net/ipv4/conf", "net/ipv6/conf"] {
        for link in names(folder) {
            if reach.links.contains(&link) {
                for name in names(&format!("{folder}/{link}")) {
                    take(format!("{folder}/{link}/{name}"));
                }
            } else {
                // The switch of all links has no like of one.
                for name in reach.names.iter().filter(|name| *name != "ip_forward") {
                    take(format!("{folder}/{link}/{name}"));
                }
            }
        }
    }
    found
}

impl Session {
    /// How far an op reaches beyond what it says: only where it can be undone, and only where it acts on what was there before this run.
    pub(super) fn farther(&self, op: &Op) -> Option<Reach> {
        if self.journal.borrow().is_none() && !self.looks.get() {
            return None;
        }
        let netns = &op.command.netns;
        // What undoes a program of the script's own is its user's alone.
        if self.is_made(netns) || op.command.tool == Tool::Own {
            return None;
        }
        let made = self.made_links.borrow();
        let own = |name: &str| made.has(netns, name);
        if op.sets_link().is_some_and(own) { None } else { Reach::of(op) }
    }

    /// What is within reach before an op acts that takes something; written down once for each namespace, for a run that dies in the act.
    pub(super) fn before(&self, op: &Op) -> Result<Option<(Reach, State)>> {
        let Some(reach) = self.farther(op).filter(|_| takes(op)) else { return Ok(None) };
        let netns = &op.command.netns;
        let state = match read(&self.exec, netns, &reach) {
            Err(error) if error.kind() == Kind::ToolOutput => {
                let line = op.command.line();
                self.emit(&Event::Warning(&format!("what the kernel takes with `{line}` will not be known: {error}")));
                return Ok(None);
            }
            other => other?,
        };
        let known = |(at, far, _): &(Where, Reach, State)| at == netns && *far == reach;
        if !self.looked_at.borrow().iter().any(known) {
            if let Some(journal) = self.journal.borrow_mut().as_mut() {
                journal.before(netns, &state)?;
            }
            self.looked_at.borrow_mut().push((netns.clone(), reach.clone(), state.clone()));
        }
        Ok(Some((reach, state)))
    }

    /// Whether what the kernel takes is looked at in a sandbox, too: where a person takes steps back.
    pub fn set_looks(&self, looks: bool) {
        self.looks.set(looks);
    }

    /// What was there before the first acts that took something, by namespace.
    pub(super) fn seen_before(&self) -> Vec<(Where, State)> {
        self.looked_at.borrow().iter().map(|(netns, _, state)| (netns.clone(), state.clone())).collect()
    }

    /// Writes down what an op took, by a second look. When there can be none, the undo takes the first one.
    pub(super) fn after(&self, number: usize, reach: &Reach, before: &State) -> Result<()> {
        let netns = self.log.borrow().get(number).map(|record| record.op.command.netns.clone());
        let Some(netns) = netns else { return Ok(()) };
        let Ok(now) = read(&self.exec, &netns, reach) else { return Ok(()) };
        let by_user = self.log.borrow().get(number).is_some_and(|record| record.op.is_raw());
        let took: Vec<Lost> = before.lost(&now).into_iter().map(|lost| Lost { by_user, ..lost }).collect();
        if let Some(journal) = self.journal.borrow_mut().as_mut() {
            journal.took(number, &took)?;
        }
        if let Some(record) = self.log.borrow_mut().get_mut(number) {
            record.taken = Some(took);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(op: &Op) -> Option<(bool, usize, usize)> {
        Reach::of(op).map(|reach| (reach.net, reach.names.len(), reach.links.len()))
    }

    #[test]
    fn only_acts_that_take_something_with_them_reach_farther() {
        let host = Where::Host;
        assert_eq!(reach(&op::link::down(&host, "eth0")), Some((true, 0, 1)));
        assert_eq!(reach(&op::link::mtu(&host, "eth0", 1200, 1500)), Some((true, 0, 1)));
        assert_eq!(reach(&op::link::rename(&host, "eth0", "eth1")), None);
        assert_eq!(reach(&op::link::mark(&host, "eth0", "x")), None);
        assert_eq!(reach(&op::sysctl::set(&host, "net.ipv4.ip_forward", "1", "0")), Some((false, 3, 0)));
        assert_eq!(reach(&op::sysctl::set(&host, "net.ipv6.conf.all.forwarding", "1", "0")), Some((true, 2, 0)));
        assert_eq!(reach(&op::sysctl::set(&host, "net.ipv6.conf.eth0.disable_ipv6", "1", "0")), Some((true, 3, 0)));
        assert_eq!(reach(&op::sysctl::set(&host, "net.ipv4.conf.all.rp_filter", "1", "0")), None);
        assert_eq!(reach(&op::netns::add("x")), None);
    }
}
