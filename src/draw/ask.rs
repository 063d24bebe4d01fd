//! What the kernel says about each namespace, several namespaces at a time: one `ip` for most of it, one `nft`, and `iptables-save` only
//! where there are rules of iptables.

use std::collections::HashSet;
use std::path::PathBuf;

use serde_json::Value;

use super::detail;
use crate::error::{Kind, Ran, Result};
use crate::exec::asker::{complaint, inside, side_by_side};
use crate::exec::netns::NetnsFile;
use crate::exec::tools;
use crate::model::iptables::{self, Ruleset};
use crate::model::json;
use crate::model::link::Link;
use crate::model::net_addr::Addr;
use crate::model::nft_drops::COMPAT;
use crate::model::route::Route;
use crate::model::rule::Rule;
use crate::op::{Command, Tool, Where};
use crate::session::reading::{self, Reading};
use crate::session::{self, Session};

/// A namespace as its tools show it.
pub(super) struct Raw {
    pub(super) at: Where,
    pub(super) file: NetnsFile,
    /// What could not be read of it, and why.
    pub(super) unread: Option<String>,
    pub(super) links: Vec<Link>,
    pub(super) addrs: Vec<Addr>,
    /// Of all tables and families.
    pub(super) routes: Vec<Route>,
    /// Policy rules: of IPv4, of IPv6.
    pub(super) rules: [Vec<Rule>; 2],
    /// Whether it forwards IPv4.
    pub(super) forwards: bool,
    /// What each `iptables-save` printed, and whether it is that of IPv6.
    pub(super) saved: Vec<(bool, Ruleset)>,
    /// `nft -j list ruleset`.
    pub(super) nft: Value,
    /// `bridge -j vlan show`, where a bridge filters VLANs.
    pub(super) vlans: Vec<Value>,
    /// `tc qdisc show`, where a link has another discipline than it is made with.
    pub(super) qdiscs: String,
}

/// What `/proc` says of a namespace.
#[derive(Default)]
struct Settings {
    forwards: bool,
    /// The tables of iptables-legacy: of IPv4, of IPv6.
    legacy: [bool; 2],
    /// Whether it may have rules of nftables, or of the iptables that is built on it.
    may_have_nft: bool,
}

/// The programs; may be used by several threads.
pub(super) struct Programs {
    ip: PathBuf,
    nft: Option<PathBuf>,
    bridge: Option<PathBuf>,
    tc: Option<PathBuf>,
    /// `iptables-save` as it was chosen, of nftables, of the kernel's older tables; then the same of IPv6.
    save: [[Option<PathBuf>; 3]; 2],
    reading: Reading,
}

impl Programs {
    pub(super) fn of(session: &Session) -> Result<Self> {
        let chosen = |tool| session.exec().tools().path(tool).ok();
        Ok(Self {
            ip: session.exec().tools().path(Tool::Ip)?,
            nft: chosen(Tool::Nft),
            bridge: chosen(Tool::Bridge),
            tc: chosen(Tool::Tc),
            save: [
                [
                    chosen(Tool::IptablesSave),
                    tools::find_own("iptables-nft-save"),
                    tools::find_own("iptables-legacy-save"),
                ],
                [
                    chosen(Tool::Ip6tablesSave),
                    tools::find_own("ip6tables-nft-save"),
                    tools::find_own("ip6tables-legacy-save"),
                ],
            ],
            reading: Reading::new(session.exec().interrupt()),
        })
    }

    /// Asks every namespace; the answers in their order. One that cannot be read does not hide the others.
    pub(super) fn read_all(&self, places: &[(Where, NetnsFile)]) -> Result<Vec<Raw>> {
        let mut seen = Vec::new();
        let mut failed = None;
        for ((at, file), answer) in places.iter().zip(side_by_side(places, |(at, file)| self.read(at, file))) {
            match answer {
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => {
                    let why = format!("could not be read: {error}");
                    seen.push(Raw { unread: Some(why), ..Raw::of(at, file) });
                    failed = failed.or(Some(error));
                }
                Ok(raw) => seen.push(raw),
            }
        }
        match failed {
            Some(error) if seen.iter().all(|raw| raw.links.is_empty()) => Err(error),
            _ => Ok(seen),
        }
    }

    fn read(&self, at: &Where, file: &NetnsFile) -> Result<Raw> {
        self.reading.asker().interrupt().check()?;
        let mut settings = inside(at, file, settings).unwrap_or_default();
        settings.may_have_nft = reading::may_have_nft(at, file);
        let mut raw = Raw { forwards: settings.forwards, ..Raw::of(at, file) };
        let what = "`ip -batch`";
        // A kernel without policy routing, or without a table, answers one of these with an error.
        let batch = "address show\nroute show table all\nrule show\n";
        let ask = |batch| -> Result<(Ran, Vec<Value>)> {
            let said =
                self.reading.asker().ask(at, file, &self.ip, &["-j", "-d", "-force", "-batch", "-"], Some(batch))?;
            let records = json::records(&said.stdout, what)?;
            Ok((said, records))
        };
        let (said, records) = ask(batch).or_else(|error| {
            if error.kind() != Kind::ToolOutput {
                return Err(error);
            }
            // More than fits, such as a full table of the internet: the rest without the routes.
            raw.unread = Some(format!("its routes could not be read: {error}"));
            ask("address show\nrule show\n")
        })?;
        for record in records {
            if record.get("addr_info").is_some() {
                raw.addrs.push(json::view(record.clone(), what)?);
                raw.links.push(json::view(record, what)?);
            } else if record.get("priority").is_some() {
                raw.rules[0].push(json::view(record, what)?);
            } else if record.get("dst").is_some() {
                raw.routes.push(json::view(record, what)?);
            }
        }
        if raw.links.is_empty() {
            // Every namespace has a loopback link.
            let command = Command::new(Tool::Ip, at, ["-j", "-d", "address", "show"]);
            return Err(session::failure(&command, Ran { command: command.line(), ..said }));
        }
        if raw.uses_ipv6() {
            let said = self.reading.policy_rules_v6(at, file, &self.ip, &["-6", "-j", "rule", "show"])?;
            for record in json::records(&said.stdout, "`ip -6 rule`").unwrap_or_default() {
                raw.rules[1].push(json::view(record, "`ip -6 rule`")?);
            }
        }
        self.read_rules(&mut raw, &settings)?;
        self.read_shapes(&mut raw)?;
        Ok(raw)
    }

    /// What the ports of bridges let through, and what links do with packets, where it is not the usual.
    fn read_shapes(&self, raw: &mut Raw) -> Result<()> {
        if let Some(bridge) = self.bridge.as_ref().filter(|_| raw.links.iter().any(detail::filters_vlans)) {
            let said = self.reading.asker().ask(&raw.at, &raw.file, bridge, &["-j", "vlan", "show"], None)?;
            raw.not_read("its VLANs", &said);
            raw.vlans = json::records(&said.stdout, "`bridge vlan`").unwrap_or_default();
        }
        if let Some(tc) = self.tc.as_ref().filter(|_| raw.links.iter().any(detail::is_shaped)) {
            let said = self.reading.asker().ask(&raw.at, &raw.file, tc, &["qdisc", "show"], None)?;
            raw.not_read("its queueing disciplines", &said);
            raw.qdiscs = said.stdout;
        }
        Ok(())
    }

    /// A machine without nft or iptables has no rules of theirs.
    fn read_rules(&self, raw: &mut Raw, settings: &Settings) -> Result<()> {
        if !settings.may_have_nft {
            raw.nft = serde_json::json!({ "nftables": [] });
        } else if let Some(nft) = &self.nft {
            let said = self.reading.asker().ask(&raw.at, &raw.file, nft, &["-j", "list", "ruleset"], None)?;
            raw.not_read("its rules", &said);
            raw.nft = serde_json::from_str(&said.stdout).unwrap_or_default();
        }
        let mut answers = Vec::new();
        let listed = raw.nft.get("nftables").and_then(Value::as_array);
        for (index, family) in ["ip", "ip6"].into_iter().enumerate() {
            let may_be = |object: &Value| {
                let table = &object["table"];
                table["family"] == family && table["name"].as_str().is_some_and(|name| COMPAT.contains(&name))
            };
            // Without nft nobody says whether there are any: the tool is asked, which makes none.
            let in_nft = listed.is_none_or(|all| all.iter().any(may_be));
            let [chosen, nft, legacy] = &self.save[index];
            let mut asked = HashSet::new();
            for (has, tool) in [(in_nft, nft.as_ref()), (settings.legacy[index], legacy.as_ref())] {
                let Some(path) = tool.or(chosen.as_ref()).filter(|_| has) else { continue };
                if asked.insert(path.clone()) {
                    let said = self.reading.asker().ask(&raw.at, &raw.file, path, &[], None)?;
                    raw.saved.extend(iptables::parse_save(&said.stdout).ok().map(|ruleset| (index == 1, ruleset)));
                    answers.push(said);
                }
            }
        }
        for said in &answers {
            raw.not_read("its rules", said);
        }
        Ok(())
    }
}

impl Raw {
    /// Nothing is known of it yet.
    fn of(at: &Where, file: &NetnsFile) -> Self {
        Self {
            at: at.clone(),
            file: file.clone(),
            unread: None,
            links: Vec::new(),
            addrs: Vec::new(),
            routes: Vec::new(),
            rules: [Vec::new(), Vec::new()],
            forwards: false,
            saved: Vec::new(),
            nft: Value::Null,
            vlans: Vec::new(),
            qdiscs: String::new(),
        }
    }

    /// Notes a program that failed, unless the kernel has nothing of the kind.
    fn not_read(&mut self, what: &str, said: &Ran) {
        if self.unread.is_none() {
            self.unread = complaint(said).map(|why| format!("{what} could not be read: {why}"));
        }
    }

    /// Whether rules of IPv6 could matter: only then they are asked for, by a process of their own.
    fn uses_ipv6(&self) -> bool {
        let own = |route: &Route| !matches!(route.table.as_deref(), Some("local")) && route.is_ipv6();
        let global = |ip: std::net::IpAddr| matches!(ip, std::net::IpAddr::V6(ip) if !ip.is_loopback() && !ip.is_unicast_link_local());
        self.addrs.iter().flat_map(Addr::ipnets).any(|net| global(net.addr()))
            || self.routes.iter().any(|route| own(route) && route.protocol.as_deref() != Some("kernel"))
    }
}

fn settings() -> Settings {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Settings {
        forwards: read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
        may_have_nft: true,
        legacy: ["ip", "ip6"].map(|family| !read(&format!("/proc/thread-self/net/{family}_tables_names")).is_empty()),
    }
}
