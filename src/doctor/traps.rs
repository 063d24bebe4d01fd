//! Known traps: settings of the machine's own network that make packets die silently. Read only.

use std::path::Path;

use super::modules::Modules;
use super::tools::Backend;
use crate::error::{Error, Kind, Result};
use crate::exec::netns::{self, NETNS_DIR};
use crate::exec::process::deadline;
use crate::exec::{Exec, tools};
use crate::model::iptables::{Ruleset, parse_save};
use crate::model::nft_drops;
use crate::op::route::Family;
use crate::op::{Command, Tool, Where, firewall};
use crate::session::failure;

/// A trap, and whether the machine has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trap {
    /// A name for programs: `forward-drop`.
    pub code: &'static str,
    /// What was looked at, in a few words.
    pub title: &'static str,
    /// Whether it is there.
    pub state: State,
}

/// Whether the machine has a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not.
    Clear,
    /// It is as it is on most machines, and good to know: what is so, and what to do.
    Note(String, Vec<String>),
    /// It has: what is so, and what to do.
    Set(String, Vec<String>),
    /// It cannot be read, and why.
    Unknown(String),
}

/// Looks at all of them.
#[must_use]
pub(crate) fn look(exec: &Exec, backend: Option<Backend>, modules: &Modules) -> Vec<Trap> {
    // Where nftables is not even loaded, it holds no rules, and to ask it would load it.
    let nft = !modules.would_load("nf_tables");
    let read = |family| if !nft && backend == Some(Backend::Nft) { Ok(Ruleset::default()) } else { read(exec, family) };
    let (v4, v6) = (read(Family::V4), read(Family::V6));
    let trap = |code, title, state: Result<State>| Trap { code, title, state: state.unwrap_or_else(unknown) };
    vec![
        trap(
            "forward-drop",
            "FORWARD policy (IPv4)",
            v4.as_ref().map(|rules| forward("iptables", rules)).map_err(Clone::clone),
        ),
        trap(
            "forward-drop-v6",
            "FORWARD policy (IPv6)",
            v6.as_ref().map(|rules| forward("ip6tables", rules)).map_err(Clone::clone),
        ),
        trap("bridge-nf-call", "bridges and iptables", Ok(bridge_nf_call())),
        trap("both-backends", "both backends of iptables", both_backends(exec, nft)),
        trap("nft-drops", "nftables beside iptables", if nft { nft_drops(exec) } else { Ok(State::Clear) }),
        trap("rp-filter", "reverse path filter", rp_filter()),
        trap("ip-forward", "forwarding", Ok(ip_forward())),
        trap("broken-netns", "entries of /run/netns", broken_netns()),
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `unwrap_or_else`")]
fn unknown(error: Error) -> State {
    State::Unknown(match error.kind() {
        Kind::PermissionDenied => "only root may read it".into(),
        _ => error.to_string(),
    })
}

/// All rules of a family. `iptables-save` shows only the tables that exist; `iptables -S` would make the legacy ones.
fn read(exec: &Exec, family: Family) -> Result<Ruleset> {
    let command = firewall::save(&Where::Host, family, None);
    parse_save(&ask(exec, &command)?)
}

fn ask(exec: &Exec, command: &Command) -> Result<String> {
    let output = exec.run_fresh(command)?;
    if output.ok {
        return Ok(output.ran.stdout);
    }
    Err(by_root(&output.ran.stderr).unwrap_or_else(|| failure(command, output.ran)))
}

/// What the tools say to those who may not look.
fn by_root(stderr: &str) -> Option<Error> {
    let refused = ["you must be root", "Permission denied", "Operation not permitted"];
    let refused = refused.iter().any(|words| stderr.contains(words));
    refused.then(|| Error::new(Kind::PermissionDenied, "only root may read it"))
}

/// The policy of FORWARD.
fn forward(program: &str, rules: &Ruleset) -> State {
    let Some(chain) = rules.chain("filter", "FORWARD").filter(|chain| chain.policy.as_deref() == Some("DROP")) else {
        return State::Clear;
    };
    let by = author(rules).map(|who| format!(", as {who} sets it")).unwrap_or_default();
    let counted =
        if chain.packets > 0 { format!("; it dropped {} packets so far", chain.packets) } else { String::new() };
    let place = if rules.chain("filter", "DOCKER-USER").is_some() { "DOCKER-USER" } else { "FORWARD" };
    State::Set(
        format!("the policy of FORWARD is DROP{by}: what this machine forwards dies silently{counted}"),
        vec![
            format!("let your own networks through: {program} -I {place} -i BRIDGE -j ACCEPT, and the same with -o"),
            "the sandbox is not concerned".into(),
        ],
    )
}

/// Who writes such rules, by the chains that they make.
fn author(rules: &Ruleset) -> Option<&'static str> {
    let makers = [
        ("DOCKER", "Docker"),
        ("KUBE-", "Kubernetes"),
        ("CNI-", "a CNI plugin"),
        ("ufw", "ufw"),
        ("LIBVIRT", "libvirt"),
        ("NETAVARK", "Podman"),
    ];
    let names: Vec<&str> =
        rules.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.name.as_str()).collect();
    makers.into_iter().find(|(start, _)| names.iter().any(|name| name.starts_with(start))).map(|(_, who)| who)
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn bridge_nf_call() -> State {
    let on: Vec<&str> = ["iptables", "ip6tables"]
        .into_iter()
        .filter(|tool| number(format!("/proc/sys/net/bridge/bridge-nf-call-{tool}")) == Some(1))
        .collect();
    if on.is_empty() {
        return State::Clear;
    }
    let keys = on.iter().map(|tool| format!("net.bridge.bridge-nf-call-{tool}=0"));
    State::Set(
        format!("br_netfilter is loaded: packets between two ports of one bridge must pass {} too", on.join(" and ")),
        vec![
            format!("unless Docker or Kubernetes needs it: sysctl -w {}", keys.collect::<Vec<_>>().join(" ")),
            "or let bridged packets through: iptables -I FORWARD -m physdev --physdev-is-bridged -j ACCEPT".into(),
        ],
    )
}

/// Rules in the kernel's old tables while others use nftables: each sees only its own, packets meet both.
fn both_backends(exec: &Exec, nft: bool) -> Result<State> {
    let mut holders = Vec::new();
    for (program, name) in [("iptables-legacy-save", "legacy"), ("iptables-nft-save", "nf_tables")] {
        if name == "nf_tables" && !nft {
            continue;
        }
        let rules = match tools::find_own(program) {
            Some(path) => {
                let words = [path.display().to_string()];
                let output = exec.run_user(&Where::Host, &words, None, deadline())?;
                match output {
                    output if output.ok => parse_save(&output.ran.stdout)?,
                    // Without its tables, the legacy one fails with nothing to say, or with why nobody may look.
                    output => match by_root(&output.ran.stderr) {
                        Some(error) => return Err(error),
                        None => Ruleset::default(),
                    },
                }
            }
            None => return Ok(State::Unknown(format!("`{program}` is not installed"))),
        };
        if name == "legacy" && !may_read_legacy() {
            return Err(Error::new(Kind::PermissionDenied, "only root may read it"));
        }
        let count = count(&rules);
        if count > 0 {
            holders.push(format!("{name} ({count})"));
        }
    }
    if holders.len() < 2 {
        return Ok(State::Clear);
    }
    Ok(State::Set(
        format!("both backends of iptables hold rules: {}; a packet must pass both", holders.join(" and ")),
        vec![
            "`iptables -S` shows one of them: look with iptables-legacy-save and iptables-nft-save".into(),
            "keep to one: update-alternatives --config iptables, move the rules, then reboot".into(),
        ],
    ))
}

/// `iptables-legacy-save` prints nothing, and succeeds, when it may not read which tables there are.
fn may_read_legacy() -> bool {
    match std::fs::File::open("/proc/net/ip_tables_names") {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Rules, and policies that drop.
fn count(rules: &Ruleset) -> usize {
    let chains = rules.tables.iter().flat_map(|table| &table.chains);
    chains.map(|chain| chain.rules.len() + usize::from(chain.policy.as_deref() == Some("DROP"))).sum()
}

fn nft_drops(exec: &Exec) -> Result<State> {
    let command = Command::new(Tool::Nft, &Where::Host, ["-j", "list", "ruleset"]);
    let found = nft_drops::parse(&ask(exec, &command)?)?;
    if found.is_empty() {
        return Ok(State::Clear);
    }
    let mut tables: Vec<String> = found.iter().map(|drop| format!("{} {}", drop.family, drop.table)).collect();
    tables.dedup();
    let chains: Vec<String> = found
        .iter()
        .map(|drop| {
            let how = if drop.policy { "policy drop".into() } else { format!("{} rules", drop.rules) };
            format!("{} {} {} ({how})", drop.family, drop.table, drop.chain)
        })
        .collect();
    Ok(State::Set(
        format!("nftables drops packets where `iptables -S` shows nothing: {}", chains.join(", ")),
        tables.iter().map(|table| format!("look: nft list table {table}")).collect(),
    ))
}

fn rp_filter() -> Result<State> {
    let cannot = |error: std::io::Error| Error::new(Kind::CommandFailed, format!("cannot read the settings: {error}"));
    let folder = Path::new("/proc/sys/net/ipv4/conf");
    let all = number(folder.join("all/rp_filter")).unwrap_or(0);
    let mut strict = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name().to_string_lossy().into_owned();
        let own = number(folder.join(&name).join("rp_filter")).unwrap_or(0);
        // The larger of the two counts, and 2 is the loose one (ip-sysctl.rst).
        if own.max(all) == 1 && !["all", "lo"].contains(&name.as_str()) {
            strict.push(name);
        }
    }
    strict.sort();
    if strict.is_empty() {
        return Ok(State::Clear);
    }
    let shown = if strict.len() > 6 {
        format!("{}, … ({} in all)", strict[..6].join(", "), strict.len())
    } else {
        strict.join(", ")
    };
    Ok(State::Set(
        format!(
            "the reverse path filter is strict for {shown}: answers that come by another way than they would go are dropped"
        ),
        vec!["where paths are asymmetric: sysctl -w net.ipv4.conf.all.rp_filter=2".into()],
    ))
}

fn ip_forward() -> State {
    let families = [("IPv4", "ipv4/ip_forward"), ("IPv6", "ipv6/conf/all/forwarding")];
    let off: Vec<&str> = families
        .into_iter()
        .filter(|(_, file)| number(Path::new("/proc/sys/net").join(file)) == Some(0))
        .map(|(family, _)| family)
        .collect();
    if off.is_empty() {
        return State::Clear;
    }
    State::Note(
        format!("this machine does not forward {}", off.join(" and ")),
        vec!["a script that routes through it sets it: host().sysctl(\"net.ipv4.ip_forward\", 1)".into()],
    )
}

fn broken_netns() -> Result<State> {
    let mut broken = Vec::new();
    for name in netns::names()? {
        let path = Path::new(NETNS_DIR).join(&name);
        match netns::is_netns(&path) {
            Ok(true) => {}
            Ok(false) => broken.push(name),
            // Gone since the folder was read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::new(Kind::CommandFailed, format!("cannot look at `{}`: {error}", path.display())));
            }
        }
    }
    if broken.is_empty() {
        return Ok(State::Clear);
    }
    let advice = broken.iter().map(|name| format!("ip netns delete {}", crate::op::quote(std::slice::from_ref(name))));
    Ok(State::Set(
        format!("no namespaces, but files: {}; every `ip netns list` complains about them", broken.join(", ")),
        advice.collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_set_the_policy() {
        let rules =
            parse_save("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [7:420]\n:DOCKER-USER - [0:0]\nCOMMIT\n").unwrap();
        let State::Set(what, advice) = forward("iptables", &rules) else { panic!("it is set") };
        assert!(what.contains("Docker") && what.contains("7 packets"), "{what}");
        assert!(advice[0].contains("-I DOCKER-USER"), "{advice:?}");
        let rules = parse_save("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n").unwrap();
        assert_eq!(forward("iptables", &rules), State::Clear);
        assert_eq!(forward("iptables", &Ruleset::default()), State::Clear);
    }
}
