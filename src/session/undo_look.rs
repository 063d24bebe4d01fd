//! Looking whether an inverse did what it says: a tool may say yes and do nothing.

use super::route::{NeighSpec, RouteSpec};
use super::undo::Undoing;
use crate::error::{Error, Kind, Result};
use crate::exec::netns::{id_at, path_of};
use crate::model::link::Link;
use crate::model::state::{Part, Qdisc, State};
use crate::model::{iptables, json, link_kinds, neigh, net_addr, route, rule, sysctl};
use crate::op::firewall::MARK;
use crate::op::route::Family;
use crate::op::{self, Command, Tool, Where};

/// What a look at the machine says about a command of an inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as the command says.
    Holds,
    /// It is otherwise, or nobody answers.
    Not(String),
    /// Nothing can be said: the command is not one of those that netwright writes.
    Untold,
}

impl Verdict {
    /// `Holds`, or what is otherwise.
    fn of(holds: bool, otherwise: impl FnOnce() -> String) -> Self {
        if holds { Self::Holds } else { Self::Not(otherwise()) }
    }
}

impl Undoing<'_> {
    /// Looks whether the machine is as a command of an inverse says.
    pub(super) fn look(&self, command: &Command) -> Verdict {
        self.looked(command).unwrap_or_else(|error| Verdict::Not(error.to_string()))
    }

    /// The same; an error when nobody answers.
    pub(super) fn looked(&self, command: &Command) -> Result<Verdict> {
        match command.tool {
            Tool::Ip => self.look_ip(command),
            Tool::Iptables | Tool::Ip6tables => {
                self.look_firewall(command).map_err(|why| Error::new(Kind::ToolOutput, why))
            }
            Tool::Sysctl => self.look_sysctl(command),
            Tool::Tc => self.look_qdisc(command),
            Tool::Wg => Ok(super::wireguard::holds(self.exec(), command)?
                .map_or(Verdict::Untold, |holds| Verdict::of(holds, || "`wg show` says otherwise".into()))),
            _ => Ok(Verdict::Untold),
        }
    }

    fn look_ip(&self, command: &Command) -> Result<Verdict> {
        let netns = &command.netns;
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let (family, words) = match &words[..] {
            ["-6", rest @ ..] => (Family::V6, rest),
            ["-4", rest @ ..] => (Family::V4, rest),
            all => (Family::V4, all),
        };
        match words {
            ["netns", "delete", name] => {
                let gone = path_of(&Where::Named((*name).to_owned())).as_deref().and_then(id_at).is_none();
                Ok(if gone { Verdict::Holds } else { Verdict::Untold })
            }
            // What is deleted may take its time, and is waited for elsewhere.
            ["link", "delete", "dev", name] => {
                Ok(if self.find_link(netns, name)?.is_none() { Verdict::Holds } else { Verdict::Untold })
            }
            ["link", "set", "dev", name, settings @ ..] => self.look_link(netns, name, settings),
            ["address", verb, address, "dev", name, ..] => self.look_address(netns, name, address, *verb != "delete"),
            ["route", verb, spec @ ..] => self.look_route(netns, family, spec, *verb != "delete"),
            ["rule", "delete", spec @ ..] => {
                let rules = rule::parse(&self.question(&op::route::rules(netns, family))?, "ip rule show")?;
                let pairs: Vec<(String, String)> = pairs(spec);
                let there = rules.iter().any(|rule| rule.is(&pairs));
                Ok(Verdict::of(!there, || "the rule is still there".into()))
            }
            ["neigh", "delete", addr, "dev", dev] => self.look_neigh(netns, addr, None, dev),
            ["neigh", "replace", addr, "lladdr", mac, "dev", dev, ..] => self.look_neigh(netns, addr, Some(mac), dev),
            _ => Ok(Verdict::Untold),
        }
    }

    /// What a command that only looks prints.
    fn question(&self, command: &Command) -> Result<String> {
        let output = self.exec().run(command)?;
        if output.ok { Ok(output.ran.stdout) } else { Err(super::failure(command, output.ran)) }
    }

    fn look_link(&self, netns: &Where, name: &str, settings: &[&str]) -> Result<Verdict> {
        let name = match settings {
            ["name", new] => new,
            _ => name,
        };
        let Some(link) = self.find_link(netns, name)? else {
            return Ok(Verdict::of(!matches!(settings, ["name", _]), || format!("there is no link `{name}`")));
        };
        let wrong = differing(&link, settings);
        Ok(Verdict::of(wrong.is_none(), || format!("`{name}` is not {}", wrong.unwrap_or_default())))
    }

    fn look_address(&self, netns: &Where, name: &str, address: &str, wanted: bool) -> Result<Verdict> {
        let Ok(address) = address.parse::<ipnet::IpNet>() else { return Ok(Verdict::Untold) };
        let output = self.exec().run(&op::link::show(netns, name))?;
        if !output.ok {
            // The link is gone, and its addresses with it.
            return Ok(Verdict::of(self.find_link(netns, name)?.is_none(), || output.ran.stderr));
        }
        let links = net_addr::parse(&output.ran.stdout, "ip address show")?;
        let there = links.iter().flat_map(net_addr::Addr::ipnets).any(|have| have == address);
        Ok(Verdict::of(there == wanted, || {
            format!("`{name}` {} {address}", if wanted { "lacks" } else { "still has" })
        }))
    }

    fn look_route(&self, netns: &Where, family: Family, spec: &[&str], wanted: bool) -> Result<Verdict> {
        if let Some(("unicast", _)) = spec.split_first().map(|(first, rest)| (*first, rest)) {
            return self.look_route_words(netns, family, spec, wanted);
        }
        let Some(spec) = RouteSpec::from_words(spec) else { return Ok(Verdict::Untold) };
        let output = self.exec().run(&op::route::show(netns, family, &spec.dst, spec.table.as_deref()))?;
        let routes = if output.ok { route::parse(&output.ran.stdout, "ip route show")? } else { Vec::new() };
        let there = routes.iter().any(|route| spec.is(family, route));
        let end = if wanted { "is not there" } else { "is still there" };
        Ok(Verdict::of(there == wanted, || format!("the route to `{}` {end}", spec.dst)))
    }

    /// Whether no route has the place of the one that a command makes: its destination, table and metric. `None` when nobody can say.
    pub(super) fn route_place_is_empty(&self, command: &Command) -> Option<bool> {
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        let (family, words) = match &words[..] {
            ["-6", rest @ ..] => (Family::V6, rest),
            ["-4", rest @ ..] => (Family::V4, rest),
            all => (Family::V4, all),
        };
        let ["route", _verb, spec @ ..] = words else { return None };
        let spec = RouteSpec::from_words(spec)?;
        let output =
            self.exec().run(&op::route::show(&command.netns, family, &spec.dst, spec.table.as_deref())).ok()?;
        if !output.ok {
            return super::route::no_table(&output).then_some(true);
        }
        let routes = route::parse(&output.ran.stdout, "ip route show").ok()?;
        Some(!routes.iter().any(|route| spec.same_place(family, route)))
    }

    /// The same of a route in the words of `ip` itself.
    fn look_route_words(&self, netns: &Where, family: Family, spec: &[&str], wanted: bool) -> Result<Verdict> {
        let part = if family == Family::V6 { Part::Route6 } else { Part::Route4 };
        let (mut now, mut want) = (State::default(), State::default());
        now.take_routes(part, &self.question(&super::things::routes(netns, family))?);
        want.take_routes(part, &spec.join(" "));
        let there = want.0.first().is_some_and(|want| now.0.iter().any(|route| route.value == want.value));
        let end = if wanted { "is not there" } else { "is still there" };
        Ok(Verdict::of(there == wanted, || format!("the route `{}` {end}", spec.join(" "))))
    }

    fn look_neigh(&self, netns: &Where, addr: &str, mac: Option<&str>, dev: &str) -> Result<Verdict> {
        let (addr, dev) = (addr.to_owned(), dev.to_owned());
        let spec = NeighSpec { addr, mac: String::new(), dev };
        let all = neigh::parse(&self.question(&op::route::neighbours(netns))?, "ip neigh show")?;
        let now = spec.pinned(&all);
        Ok(Verdict::of(now == mac, || format!("`{}` is pinned to {}", spec.addr, now.unwrap_or("nothing"))))
    }

    fn look_sysctl(&self, command: &Command) -> Result<Verdict> {
        let Some((name, value)) = op::sysctl::setting(command) else { return Ok(Verdict::Untold) };
        let now = match super::sysctl::read(self.exec(), &command.netns, &sysctl::Name::parse(name)?)? {
            Ok(now) => now,
            // The setting of a link that is gone.
            Err(error) => {
                return Ok(Verdict::of(error.kind() == std::io::ErrorKind::NotFound, || error.to_string()));
            }
        };
        Ok(Verdict::of(sysctl::values_equal(&now, value), || format!("it is `{now}`")))
    }

    /// The kernel's own root discipline has the handle 0; another one stays until it is deleted.
    fn look_qdisc(&self, command: &Command) -> Result<Verdict> {
        let words: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        if let ["qdisc", "replace", "dev", name, "root", "handle", _, former @ ..] = &words[..] {
            let text = self.question(&op::link::qdisc_words(&command.netns, name))?;
            let there = text.lines().filter_map(Qdisc::parse).any(|one| one.is_root() && one.words == former);
            return Ok(Verdict::of(there, || format!("`{name}` has not its former queueing discipline")));
        }
        let ["qdisc", "delete", "dev", name, "root"] = words[..] else { return Ok(Verdict::Untold) };
        let text = self.question(&op::link::qdiscs(&command.netns, name))?;
        let all = json::records(&text, "tc qdisc show")?;
        let of_user = |qdisc: &serde_json::Map<String, serde_json::Value>| {
            qdisc.contains_key("root") && qdisc.get("handle").is_some_and(|handle| handle != "0:")
        };
        let there = all.iter().filter_map(serde_json::Value::as_object).any(of_user);
        Ok(Verdict::of(!there, || format!("`{name}` still has it")))
    }

    fn look_firewall(&self, command: &Command) -> std::result::Result<Verdict, String> {
        let Some((table, letter, rest)) = op::firewall::parts(command) else { return Ok(Verdict::Untold) };
        let Some(chain) = rest.first() else { return Ok(Verdict::Untold) };
        let chain_now = |chain: &str| self.chain_now(command, table, chain);
        match letter {
            "-D" => chain_now(chain).map(|rules| self.look_deleted(command, &rules.unwrap_or_default())),
            "-X" => chain_now(chain).map(|rules| Verdict::of(rules.is_none(), || "the chain is still there".into())),
            "-N" => chain_now(chain).map(|rules| Verdict::of(rules.is_some(), || "the chain is not there".into())),
            "-E" => rest.get(1).map_or(Ok(Verdict::Untold), |new| {
                let same = |rules: Option<_>| Verdict::of(rules.is_some(), || format!("there is no chain `{new}`"));
                chain_now(new).map(same)
            }),
            "-P" => self.look_policy(command, table, chain, rest.get(1).map_or("", String::as_str)),
            _ => Ok(Verdict::Untold),
        }
    }

    /// That a rule is gone is said by `-C`; that the tool is not one which says yes or no to everything, by the list.
    fn look_deleted(&self, command: &Command, rules: &[iptables::Rule]) -> Verdict {
        let marked = command.argv.iter().any(|word| word == MARK);
        if rules.is_empty() || (marked && !rules.iter().any(|rule| rule.comments().any(|comment| comment == MARK))) {
            return Verdict::Holds;
        }
        let gone = op::firewall::check_deleted(command).map(|check| self.exec().run(&check));
        match gone {
            Some(Ok(output)) => Verdict::of(!output.ok, || "the rule is still there".into()),
            Some(Err(error)) => Verdict::Not(error.to_string()),
            None => Verdict::Untold,
        }
    }

    fn look_policy(
        &self,
        command: &Command,
        table: &str,
        chain: &str,
        policy: &str,
    ) -> std::result::Result<Verdict, String> {
        let text =
            self.question(&op::firewall::list_like(command, table, Some(chain))).map_err(|error| error.to_string())?;
        let listed = iptables::parse_list(table, &text).map_err(|error| error.to_string())?;
        let now = listed.chain(chain).and_then(|chain| chain.policy.as_deref());
        Ok(Verdict::of(now == Some(policy), || format!("the policy is {}", now.unwrap_or("not known"))))
    }
}

/// iproute2's words as pairs of option and value.
fn pairs(words: &[&str]) -> Vec<(String, String)> {
    words.chunks_exact(2).filter_map(|pair| Some((pair.first()?.to_string(), pair.get(1)?.to_string()))).collect()
}

/// The first of the settings of `ip link set dev NAME …` that a link does not have.
fn differing(link: &Link, settings: &[&str]) -> Option<String> {
    let holds = |holds: bool, words: &str| if holds { None } else { Some(words.to_owned()) };
    let (wrong, rest) = match settings {
        ["type", _kind, options @ ..] => {
            let wrong = pairs(options)
                .into_iter()
                .find(|(option, value)| link_kinds::link_differs(link, option, value) == Some(true));
            return wrong.map(|(option, value)| format!("{option} {value}"));
        }
        ["up", rest @ ..] => (holds(link.is_up(), "up"), rest),
        ["down", rest @ ..] => (holds(!link.is_up(), "down"), rest),
        ["nomaster", rest @ ..] => (holds(link.master.is_none(), "without a master"), rest),
        [option, value, rest @ ..] => {
            let same = match *option {
                "master" => link.master.as_deref() == Some(value),
                "mtu" => value.parse().ok() == link.mtu,
                "address" => link.address.as_deref() == Some(value),
                "name" => link.ifname == *value,
                _ => link_kinds::link_differs(link, option, value) != Some(true),
            };
            (holds(same, &format!("{option} {value}")), rest)
        }
        [] | [_] => return None,
    };
    wrong.or_else(|| differing(link, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link;

    #[test]
    fn a_link_is_compared_with_the_words_that_set_it() {
        let text = r#"[{"ifname":"x","ifindex":3,"flags":["UP"],"mtu":1400,"master":"br0","address":"02:00:00:00:00:01",
            "linkinfo":{"info_kind":"bridge","info_data":{"stp_state":1}}}]"#;
        let link = link::parse(text, "x").unwrap().remove(0);
        for holds in ["up", "master br0 up", "mtu 1400", "address 02:00:00:00:00:01", "type bridge stp_state 1"] {
            assert_eq!(differing(&link, &holds.split(' ').collect::<Vec<_>>()), None, "{holds}");
        }
        for wrong in
            ["down", "nomaster", "master br1", "up mtu 1500", "address 02:00:00:00:00:02", "type bridge stp_state 0"]
        {
            assert!(differing(&link, &wrong.split(' ').collect::<Vec<_>>()).is_some(), "{wrong}");
        }
    }
}
