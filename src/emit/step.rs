//! What an op is in plain shell: the question whether it is so already, the command, and what takes it back.

use crate::model::bridge::{FdbEntry, MdbEntry, Tags};
use crate::model::ethtool::listed_name;
use crate::op::bridge::{Fdb, Mdb, Vlan};
use crate::op::file::File;
use crate::op::firewall::{self, Chain, ChainAct, Policy, Rule, RuleAct};
use crate::op::link::{Link, Setting, Settings};
use crate::op::netns::Netns;
use crate::op::nft::Inverse;
use crate::op::qdisc::{Is, Qdisc};
use crate::op::route::{Family, Nexthop, PolicyRule, Route};
use crate::op::sysctl::Sysctl;
use crate::op::wg::{self, Wireguard};
use crate::op::{Command, Fact, Op, Tool, Undo, Where, as_typed, quote};

/// One command with its question and its inverse.
#[derive(Debug)]
pub(super) struct Step {
    /// Succeeds when it is so already. `None`: only the file of what was done knows.
    pub(super) ask: Option<String>,
    /// The same without keys, where it has one: for scripts that hold none.
    pub(super) open_ask: Option<String>,
    /// The command.
    pub(super) act: String,
    /// The same for people.
    pub(super) text: String,
    /// What prints the value that is there before, where the inverse puts that back.
    pub(super) former: Option<String>,
    /// Succeeds while what it made is there to be taken back, where that is less than being so.
    pub(super) there: Option<String>,
    /// What takes it back; `$former` is what was there before.
    pub(super) undo: Vec<String>,
    /// Whether the inverse is for what is still so only.
    pub(super) only_if_so: bool,
    /// The number of the step that made the namespace which this is inside of: gone with it.
    pub(super) inside: Option<usize>,
    /// What must not be there under its name, as a test that succeeds, and how it is called.
    pub(super) taken: Option<(String, String)>,
    /// The tools that it starts.
    pub(super) tools: Vec<&'static str>,
    /// Why it cannot be taken back.
    pub(super) without_undo: Option<String>,
    /// Succeeds when a later step, which gives the same thing another value, was done and is so: nothing goes back behind it.
    pub(super) overtaken: Option<String>,
}

impl Step {
    pub(super) fn of(op: &Op, number: usize, inside: Option<usize>) -> Self {
        let command = &op.command;
        let typed = |words: &[&str]| words_in(&command.netns, words);
        let mut step = Self {
            ask: None,
            open_ask: None,
            there: None,
            act: command.line_with_keys(),
            text: command.line(),
            former: None,
            undo: Vec::new(),
            only_if_so: true,
            inside,
            taken: None,
            tools: (command.tool != Tool::Own).then(|| command.tool.program()).into_iter().collect(),
            without_undo: None,
            overtaken: None,
        };
        if !matches!(command.netns, Where::Host) && !command.tool.takes_netns() {
            step.tools.push("ip");
        }
        match &op.undo {
            Undo::Commands(commands) => step.undo = commands.iter().map(Command::line_with_keys).collect(),
            Undo::Rules { commands, .. } => {
                step.undo = commands.iter().map(Command::line_with_keys).collect();
                step.without_undo = Some("the rules that went are not written down".into());
            }
            Undo::Nft(inverse) => step.nft(command, inverse, number),
            Undo::None(why) => step.without_undo = Some(why.clone()),
        }
        match op.fact() {
            Some(Fact::Netns(one)) => step.netns(one),
            Some(Fact::Link(link)) => step.link(op, link),
            Some(Fact::Settings(set)) => step.setting(set, &typed),
            Some(Fact::Moved(one)) => {
                let there = words_in(&one.to, &["ip", "link", "show", "dev", &one.link]);
                step.ask = Some(format!("{there} >/dev/null 2>&1"));
            }
            Some(Fact::Addr(one)) => {
                let shown = format!(
                    "{} | grep -qF -- {}",
                    typed(&["ip", "-o", "address", "show", "dev", &one.link]),
                    word(&format!(" {} ", one.addr))
                );
                step.ask = Some(if one.there { shown } else { format!("not_so {}", word(&shown)) });
            }
            Some(Fact::Route(one)) => step.ask = route(&command.netns, one),
            Some(Fact::Rule(one)) => step.ask = rule(&command.netns, one),
            Some(Fact::Neigh(one)) => {
                let mac = one.mac.as_deref().unwrap_or_default();
                let shown = typed(&["ip", "neigh", "show", &one.addr]);
                step.ask = Some(format!("{shown} | grep PERMANENT | grep -qiF -- {}", word(mac)));
            }
            Some(Fact::Sysctl(set)) => step.sysctl(op, set, &typed),
            Some(Fact::NfRule(rule)) => step.nf_rule(op, rule),
            Some(Fact::NfChain(Chain { at, act: ChainAct::New })) => {
                let list = firewall::list(&command.netns, at.family, &at.table, Some(&at.chain));
                step.ask = Some(format!("{} >/dev/null 2>&1", list.line()));
                step.tools.push("grep");
            }
            Some(Fact::NfPolicy(policy)) => step.policy(op, policy),
            Some(Fact::Qdisc(one)) => step.qdisc(command, one),
            Some(Fact::Wireguard(set)) => step.wireguard(command, set),
            Some(Fact::Offload(one)) => {
                let shown = typed(&["ethtool", "-k", &one.link]);
                let asks = |(name, on): &(String, bool)| {
                    let name = listed_name(name).unwrap_or(name);
                    let line = format!("^[[:space:]]*{name}: {}", if *on { "on" } else { "off" });
                    format!("{shown} | grep -q -- {}", word(&line))
                };
                step.ask = Some(one.set.iter().map(asks).collect::<Vec<_>>().join(" && "));
                step.tools.push("grep");
            }
            Some(Fact::Nexthop(Nexthop { id, is: Some(words) })) => {
                let shown = typed(&["ip", "-o", "nexthop", "show", "id", &id.to_string()]);
                let all = words.join(" ");
                step.ask = Some(format!("{shown} 2>/dev/null | grep -qF -- {}", word(&format!("id {id} {all}"))));
                step.former = Some(format!("{shown} 2>/dev/null | sed {}", word("s/^id [0-9]* //")));
                let (replace, delete) = (["ip", "nexthop", "replace", "id"], ["ip", "nexthop", "delete", "id"]);
                let with = |words: &[&str]| typed(&[words, &[&id.to_string()]].concat());
                step.undo =
                    vec![format!("if [ -n \"$former\" ]; then {} $former; else {}; fi", with(&replace), with(&delete))];
            }
            Some(Fact::Vlan(vlan)) => step.vlan(command, vlan),
            Some(Fact::Fdb(one)) => step.fdb(command, one),
            Some(Fact::Mdb(one)) => step.mdb(command, one),
            Some(Fact::Nft(_)) => step.only_if_so = step.ask.is_some(),
            Some(Fact::File(file)) => step.file(file),
            _ => step.only_if_so = false,
        }
        step
    }

    fn netns(&mut self, one: &Netns) {
        let there = format!("[ -e {} ]", word(&format!("/run/netns/{}", one.name)));
        self.ask = Some(if one.there { there } else { format!("! {there}") });
    }

    fn link(&mut self, op: &Op, link: &Link) {
        let name = link.name.as_str();
        let there = format!("{} >/dev/null 2>&1", words_in(&op.command.netns, &["ip", "link", "show", "dev", name]));
        let Some(new) = &link.new else {
            self.ask = Some(format!("not_so {}", word(&there)));
            return;
        };
        let kind = new.kind.as_str();
        let details = words_in(&op.command.netns, &["ip", "-d", "link", "show", "dev", name]);
        self.taken = Some((
            format!("{there} && not_so {}", word(&format!("{details} | grep -qwF -- {}", word(kind)))),
            format!("`{name}` in `{}` is there and is no {kind}", op.command.netns),
        ));
        self.ask = Some(there.clone());
        // A port that is made in its bridge may be there and have lost it: it is put back, and taken back all the same.
        if let Some(bridge) = new.port_of.as_deref() {
            let state = ["master", bridge, "up"];
            let all: Vec<&str> = ["ip", "-o", "link", "show", "dev", name].into_iter().chain(state).collect();
            let set: Vec<&str> = ["ip", "link", "set", "dev", name].into_iter().chain(state).collect();
            let netns = &op.command.netns;
            self.ask = Some(format!("{} | grep -q .", words_in(netns, &all)));
            self.there = Some(there.clone());
            self.act = format!("if {there}; then {}; else {}; fi", words_in(netns, &set), op.command.line_with_keys());
            self.former = Some(format!("{there} && echo there"));
            self.undo = self.undo.iter().map(|line| format!("[ \"$former\" = there ] || {line}")).collect();
        }
    }

    fn setting(&mut self, settings: &Settings, typed: &dyn Fn(&[&str]) -> String) {
        let name = settings.link.as_str();
        let shown = |more: &[&str]| {
            let all: Vec<&str> =
                ["ip", "-o", "link", "show", "dev", name].into_iter().chain(more.iter().copied()).collect();
            typed(&all)
        };
        let set = |words: &str| format!("{} {words}", typed(&["ip", "link", "set", "dev", name]));
        let is_up = format!("{} | grep -q .", shown(&["up"]));
        let prints =
            |pattern: &str| Some(format!("{} | sed -n {}", shown(&[]), word(&format!("s/.* {pattern} .*/\\1/p"))));
        match settings.to.as_slice() {
            // With an alias, which says only whose it is.
            [Setting::Up] | [Setting::Up, Setting::Alias(_)] => self.ask = Some(is_up),
            [Setting::Down] => self.ask = Some(format!("not_so {}", word(&is_up))),
            [Setting::Master(master), rest @ ..] => {
                let up = rest.contains(&Setting::Up).then_some("up");
                let more: Vec<&str> = ["master", master].into_iter().chain(up).collect();
                self.ask = Some(format!("{} 2>/dev/null | grep -q .", shown(&more)));
                self.former = prints("master \\([^ ]*\\)");
                self.undo = vec![format!(
                    "if [ -n \"$former\" ]; then {}; else {}; fi",
                    set("master \"$former\""),
                    set("nomaster")
                )];
            }
            [Setting::Mtu(mtu)] => {
                self.ask = Some(format!("{} | grep -qF -- {}", shown(&[]), word(&format!(" mtu {mtu} "))));
                self.former = prints("mtu \\([0-9]*\\)");
                self.undo = vec![set("mtu \"$former\"")];
            }
            [Setting::Address(mac)] => {
                self.ask = Some(format!("{} | grep -qiF -- {}", shown(&[]), word(&format!(" {mac} "))));
                self.former = prints("link\\/[a-z0-9]* \\([^ ]*\\)");
                self.undo = vec![set("address \"$former\"")];
            }
            [Setting::Name(new)] => {
                self.ask = Some(format!("{} >/dev/null 2>&1", typed(&["ip", "link", "show", "dev", new])));
            }
            [Setting::Options(words)] if words.first().is_some_and(|word| word == "type") => {
                let details = typed(&["ip", "-d", "-o", "link", "show", "dev", name]);
                let pairs = words.get(2..).unwrap_or_default();
                let asks: Vec<String> = pairs
                    .chunks(2)
                    .map(|pair| format!("{details} | grep -qF -- {}", word(&format!(" {} ", pair.join(" ")))))
                    .collect();
                self.ask = (!asks.is_empty() && pairs.len() % 2 == 0).then(|| asks.join(" && "));
            }
            _ => self.only_if_so = false,
        }
    }

    fn sysctl(&mut self, op: &Op, set: &Sysctl, typed: &dyn Fn(&[&str]) -> String) {
        let Sysctl { name, value } = set;
        let read = typed(&["sysctl", "-n", name]);
        self.ask = Some(format!("[ \"$({read} 2>/dev/null | tr '\\t' ' ')\" = {} ]", word(value)));
        self.former = Some(format!("{read} | tr '\\t' ' '"));
        self.undo = vec![format!("{}\"$former\" >/dev/null", typed(&["sysctl", "-w", &format!("{name}=")]))];
        self.act = format!("{} >/dev/null", op.command.line_with_keys());
        self.tools.push("tr");
    }

    fn file(&mut self, file: &File) {
        let path = word(&file.path);
        let there = format!("[ -e {path} ]");
        let Some(text) = &file.text else {
            self.ask = Some(format!("! {there}"));
            return;
        };
        let same = format!("printf %s {} | cmp -s - {path}", word(text));
        if file.new {
            let other = format!("{there} && not_so {}", word(&same));
            self.taken = Some((other, format!("`{}` is there and holds something else", file.path)));
        }
        self.ask = Some(same);
        self.tools.push("cmp");
    }

    fn nf_rule(&mut self, op: &Op, rule: &Rule) {
        let netns = &op.command.netns;
        let check = format!("{} 2>/dev/null", rule.check(netns).line());
        match rule.act {
            RuleAct::Append | RuleAct::Insert(_) => self.ask = Some(check),
            RuleAct::Delete => {
                self.ask = Some(format!("not_so {}", word(&check)));
                // The rule goes back to the end of its chain: where it stood is not known to plain shell.
                let back = Fact::NfRule(Rule { act: RuleAct::Append, ..rule.clone() });
                self.undo = vec![back.command(netns).line()];
                self.without_undo = None;
            }
            RuleAct::Replace(_) | RuleAct::DeleteNumber(_) => self.only_if_so = false,
        }
    }

    /// What a discipline is when it is so, a throw-away namespace says; where it cannot, only its kind is asked for.
    fn qdisc(&mut self, command: &Command, one: &Qdisc) {
        let link = one.link.as_str();
        let shown = words_in(&command.netns, &["tc", "qdisc", "show", "dev", link]);
        if matches!(one.is, Is::Below(_)) {
            // What is below a root: only the file of what was done knows.
            self.only_if_so = false;
            return;
        }
        // Those of the kernel have the handle `0:`.
        let own = format!("{shown} | grep -q -- {}", word("^qdisc [^ ]* [1-9a-f][0-9a-f]*: root "));
        let as_words = r"s/ refcnt [0-9]*//; s/^qdisc \([^ ]*\) \([1-9a-f][0-9a-f]*:\) root *\(.*\)/handle \2 \1 \3/p";
        self.former = Some(format!("{shown} | sed -n {}", word(as_words)));
        let back = words_in(&command.netns, &["tc", "qdisc", "replace", "dev", link, "root"]);
        let delete = words_in(&command.netns, &["tc", "qdisc", "delete", "dev", link, "root"]);
        self.undo = vec![format!("if [ -n \"$former\" ]; then {back} $former; else {delete}; fi")];
        self.without_undo = None;
        if one.is == Is::Kernel {
            self.ask = Some(format!("not_so {}", word(&own)));
            return;
        }
        // Another discipline, or one that cannot be changed as it is, gives way first.
        self.act = format!("{0} 2>/dev/null || {{ {delete} 2>/dev/null; {0}; }}", command.line());
        let kind = one.kind().unwrap_or_default();
        // Handles and counts of references are each machine's own.
        let plain = r"/ root /!d; s/^qdisc \([^ ]*\) [0-9a-f]*: /qdisc \1 /; s/ refcnt [0-9]*//";
        let plain = format!("sed {}", word(plain));
        let make = |kind: &str| words_in(&Where::Host, &["ip", "link", "add", "name", link, "type", kind]);
        let there = Command { netns: Where::Host, ..command.clone() };
        let apart = format!(
            "{{ {} || {}; }} && {} && {}",
            make("dummy"),
            make("bridge"),
            there.line(),
            words_in(&Where::Host, &["tc", "qdisc", "show", "dev", link])
        );
        self.ask = Some(format!(
            "wanted=$(unshare -n sh -c {} 2>/dev/null | {plain}); if [ -n \"$wanted\" ]; then [ \"$wanted\" = \"$({shown} | {plain})\" ]; \
             else {shown} | grep -q -- {}; fi",
            word(&apart),
            word(&format!("^qdisc {kind} .*root"))
        ));
        self.tools.extend(["ip", "unshare"]);
    }

    /// Keys are compared where the command holds them, and only there; elsewhere it is asked whether there is one.
    fn wireguard(&mut self, command: &Command, set: &Wireguard) {
        let link = set.link.as_str();
        // PRIVATE PUBLIC PORT MARK, then for each peer: PUBLIC PSK ENDPOINT ALLOWED HANDSHAKE RX TX KEEPALIVE (wg(8)).
        let dump = format!("{} | tr '\\t' ' '", words_in(&command.netns, &["wg", "show", link, "dump"]));
        let own = |field: usize| {
            let before = r"[^ ]* ".repeat(field);
            format!("{dump} | sed -n {}", word(&format!("1s/^{before}\\([^ ]*\\).*/\\1/p")))
        };
        self.tools.extend(["tr"]);
        match &set.set {
            wg::Set::PrivateKey(false) => self.ask = Some(format!("{} | grep -qxF -- '(none)'", own(0))),
            wg::Set::PrivateKey(true) => {
                let key = command.stdin.as_deref().unwrap_or_default().trim_end();
                self.ask = Some(format!("[ \"$({})\" = {} ]", own(0), word(key)));
                self.open_ask = Some(format!("{} | grep -qvxF -- '(none)'", own(0)));
            }
            wg::Set::Option(name, value) => {
                let field = if name == "fwmark" { 3 } else { 2 };
                self.ask = Some(format!("[ \"$({})\" = {} ]", own(field), word(value)));
            }
            wg::Set::NoPeer(key) => {
                let there = format!("{dump} | grep -qF -- {}", word(&format!("{key} ")));
                self.ask = Some(format!("not_so {}", word(&there)));
            }
            wg::Set::Peer(peer, psk) => {
                let mut asks = vec![format!("grep -F -- {}", word(&format!("{} ", peer.key)))];
                // Which key it is, is not asked: it would stand in the question.
                asks.extend(psk.then(|| format!("grep -vF -- {}", word(&format!("{} (none) ", peer.key)))));
                asks.extend(peer.endpoint.iter().map(|at| format!("grep -F -- {}", word(&format!(" {at} ")))));
                let every = peer.keepalive.map(|every| if every == 0 { "off".to_owned() } else { every.to_string() });
                asks.extend(every.map(|every| format!("grep -- {}", word(&format!(" {every}$")))));
                let net = |net: &String| format!("grep -- {}", word(&format!("[ ,]{}[ ,]", net.replace('.', "\\."))));
                asks.extend(peer.allowed.iter().map(net));
                self.ask = Some(format!("{dump} | {} | grep -q .", asks.join(" | ")));
            }
        }
    }

    /// `port  vlan-id` above lines such as `pa  10 PVID Egress Untagged` and `    20`.
    fn vlan(&mut self, command: &Command, vlan: &Vlan) {
        let Vlan { dev, vid, is, .. } = vlan;
        let shown = words_in(&command.netns, &["bridge", "vlan", "show", "dev", dev]);
        let there =
            |flags: &str| format!("{shown} | grep -q -- {}", word(&format!("[[:space:]]{vid}{flags}[[:space:]]*$")));
        let flags = |tags: Tags| {
            let flag = |is: bool, text: &'static str| if is { text } else { "" };
            format!("{}{}", flag(tags.pvid, " PVID"), flag(tags.untagged, " Egress Untagged"))
        };
        self.ask = Some(match is {
            Some(tags) => there(&flags(*tags)),
            None => format!("not_so {}", word(&there("\\( [PE].*\\)*"))),
        });
        // How the machine had it: as words that `bridge` takes, behind a word that says that it had it at all.
        let pattern = format!("s/^.*[[:space:]]{vid}\\( PVID\\)*\\( Egress Untagged\\)*[[:space:]]*$/had\\1\\2/p");
        let as_words = "s/ PVID/ pvid/; s/ Egress Untagged/ untagged/";
        self.former = Some(format!("{shown} | sed -n {} | sed {}", word(&pattern), word(as_words)));
        let with = |is| Fact::Vlan(Vlan { is, ..vlan.clone() }).command(&command.netns).line();
        let own = if vlan.own { " self" } else { "" };
        let (add, delete) =
            (words_in(&command.netns, &["bridge", "vlan", "add", "dev", dev, "vid", &vid.to_string()]), with(None));
        let back = format!("case \"$former\" in had*) {add} ${{former#had}}{own};; *) {delete};; esac");
        // What lost its place to it goes back behind it.
        let rest: Vec<String> = self.undo.drain(..).skip(1).collect();
        self.undo = std::iter::once(back).chain(rest).collect();
    }

    /// Lines such as `02:00:00:00:00:05 vlan 10 master br0 static`.
    fn fdb(&mut self, command: &Command, one: &Fdb) {
        let FdbEntry { mac, dev, dst, state, vlan, vni, own, .. } = &one.entry;
        let table = if *own { "self" } else { "master" };
        let mut greps = vec![having(&format!("{mac} ")), having(&format!(" {table} ")), having(&format!(" {state}"))];
        greps.extend(dst.iter().map(|dst| having(&format!(" dst {dst} "))));
        greps.extend(vni.iter().map(|vni| having(&format!(" vni {vni} "))));
        greps.push(vlan.map_or("grep -vF -- ' vlan '".to_owned(), |vlan| having(&format!(" vlan {vlan} "))));
        self.line_of(&words_in(&command.netns, &["bridge", "fdb", "show", "dev", dev]), &greps, one.there);
    }

    fn mdb(&mut self, command: &Command, one: &Mdb) {
        let MdbEntry { bridge, port, group, source, vid, state } = &one.entry;
        let mut greps = vec![having(&format!(" port {port} grp {group} ")), having(&format!(" {state}"))];
        greps.extend(source.iter().map(|source| having(&format!(" src {source} "))));
        greps.extend(vid.iter().map(|vid| having(&format!(" vid {vid}"))));
        self.line_of(&words_in(&command.netns, &["bridge", "mdb", "show", "dev", bridge]), &greps, one.there);
    }

    /// It is so when a list has a line that passes all `greps`, or with `there` false none.
    fn line_of(&mut self, list: &str, greps: &[String], there: bool) {
        let shown = format!("{list} | {} | grep -q .", greps.join(" | "));
        self.ask = Some(if there { shown } else { format!("not_so {}", word(&shown)) });
    }

    /// nft's handles are others on another machine: a rule is found by its words.
    fn nft(&mut self, command: &Command, inverse: &Inverse, number: usize) {
        // With `-e` it says what it did.
        self.act = format!("{} >/dev/null", command.line());
        self.undo = inverse.commands(&command.netns).iter().map(Command::line).collect();
        let listed = |what: &str| words_in(&command.netns, &["nft", "-s", "-a", what]);
        match inverse {
            Inverse::Rule { table, chain, rule, .. } => {
                let chain = format!("{table} {chain}");
                let list = listed(&format!("list chain {chain}"));
                self.ask = Some(format!("{list} | grep -qF -- {}", word(&format!("\t{rule} # handle "))));
                let special = |c: char| "\\.*[]^$/".contains(c);
                let pattern: String =
                    rule.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
                let handle = format!("{list} | sed -n {}", word(&format!("s/^[[:space:]]*{pattern} # handle //p")));
                let delete = words_in(&command.netns, &["nft"]);
                self.undo = vec![format!("{delete} \"delete rule {chain} handle $({handle} | sed -n '$p')\"")];
            }
            Inverse::Named { table, kind, name, .. } => {
                let list =
                    if kind == "table" { format!("list table {table}") } else { format!("list {kind} {table} {name}") };
                self.ask = Some(format!("{} >/dev/null 2>&1", listed(&list)));
            }
            Inverse::Elements { table, set, keys } => {
                let all = format!("get element {table} {set} {{ {} }}", keys.join(", "));
                self.ask = Some(format!("{} >/dev/null 2>&1", listed(&all)));
            }
            Inverse::Table { table, .. } if command.stdin.is_some() => {
                // What the text comes to, a throw-away namespace says. A text that speaks of links does not load there: then the table counts.
                let text = command.stdin.as_deref().unwrap_or_default();
                let list = format!("list table {table}");
                let load = format!("nft -f - && nft -s {}", quote(std::slice::from_ref(&list)));
                let there = words_in(&command.netns, &["nft", "-s", &list]);
                self.ask = Some(format!(
                    "if wanted=$(printf %s {} | unshare -n sh -c {} 2>/dev/null); then [ \"$wanted\" = \"$({there})\" ]; \
                     else done_before {number} && {there} >/dev/null; fi",
                    word(text),
                    word(&load)
                ));
                let whole = words_in(&command.netns, &["nft", &list]);
                self.former = Some(format!("{whole} | base64 | tr -d '\\n'"));
                let back = words_in(&command.netns, &["nft", "-f", "-"]);
                let gone = format!("add table {table}\ndelete table {table}\n");
                self.undo =
                    vec![format!("{{ printf %s {}; printf %s \"$former\" | base64 -d; }} | {back}", word(&gone))];
                self.tools.extend(["unshare", "base64", "tr"]);
            }
            Inverse::Table { .. } => {}
        }
    }

    fn policy(&mut self, op: &Op, policy: &Policy) {
        let Policy { at, target } = policy;
        let list = firewall::list(&op.command.netns, at.family, &at.table, Some(&at.chain)).line();
        self.ask = Some(format!("{list} | grep -qxF -- {}", word(&format!("-P {} {target}", at.chain))));
        self.former = Some(format!("{list} | sed -n {}", word(&format!("s/^-P {} //p", at.chain))));
        let back = firewall::command(&op.command.netns, at.family, &at.table, &["-P", &at.chain], &[]);
        self.undo = vec![format!("{} \"$former\"", back.line())];
    }
}

/// A word as a shell reads it.
pub(super) fn word(text: &str) -> String {
    quote(&["x".to_owned(), text.to_owned()]).split_off(2)
}

/// A program and its words in a namespace, as a person would type it.
/// Keeps the lines that have a text, in whichever case: a MAC address may be told in either.
fn having(text: &str) -> String {
    format!("grep -iF -- {}", word(text))
}

fn words_in(netns: &Where, words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    quote(&as_typed(netns, &words))
}

/// Whether a route is there with its gateway, link and metric.
fn route(netns: &Where, route: &Route) -> Option<String> {
    let spec = route.spec().filter(|_| route.there)?;
    let joined: &[&str] = if spec.hops.is_empty() { &["ip"] } else { &["ip", "-o"] };
    let mut words = joined.to_vec();
    words.extend([route.family.flag(), "route", "show", "to", "exact", &route.dst]);
    if let Some(table) = &spec.table {
        words.extend(["table", table]);
    }
    let mut line = words_in(netns, &words);
    // A gateway of the other family is printed as `via inet6 ADDR`.
    let metric = spec.metric.map(|metric| metric.to_string());
    let via = spec.via.as_ref().filter(|via| route.family == Family::V6 || !via.contains(':'));
    let shown = [("via", via), ("dev", spec.dev.as_ref()), ("metric", metric.as_ref()), ("src", spec.src.as_ref())];
    for (name, value) in shown.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        line = format!("{line} | grep -wF -- {}", word(&format!("{name} {value}")));
    }
    for hop in &spec.hops {
        let via = hop.via.as_ref().map(|via| format!(" via {via} "));
        let dev = hop.dev.as_ref().map(|dev| format!(" dev {dev} "));
        // Each way has a line of its own, or one that is joined to the others.
        line.extend([via, dev].into_iter().flatten().map(|text| format!(" | grep -F -- {}", word(&text))));
    }
    if let Some(nhid) = spec.nhid {
        line = format!("{line} | grep -F -- {}", word(&format!(" nhid {nhid} ")));
    }
    Some(format!("{line} 2>/dev/null | grep -q ."))
}

/// Whether there is a policy rule of that number with that table.
fn rule(netns: &Where, rule: &PolicyRule) -> Option<String> {
    let number = rule.value(&["priority", "pref"]).filter(|_| rule.there)?;
    let list = words_in(netns, &["ip", rule.family.flag(), "rule", "show"]);
    let mut line = format!("{list} | grep -- {}", word(&format!("^{number}:")));
    if let Some(table) = rule.value(&["table", "lookup"]) {
        line = format!("{line} | grep -wF -- {}", word(&format!("lookup {table}")));
    }
    Some(format!("{line} | grep -q ."))
}

/// Which package a tool is of is for a person to know; the names that a script starts.
pub(super) fn tools<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = steps.flat_map(|step| step.tools.iter().copied()).collect();
    all.extend(["grep", "sed"]);
    all.sort_unstable();
    all.dedup();
    all.retain(|tool| !tool.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Tool;

    #[test]
    fn what_runs_has_its_key_and_what_is_shown_has_not() {
        let words = ["xfrm", "state", "add", "src", "10.0.0.1", "auth", "hmac(sha1)", "0xfeed"];
        let command = Command::new(Tool::Ip, &Where::Host, words);
        let back = Command::new(Tool::Ip, &Where::Host, ["xfrm", "state", "del", "src", "10.0.0.1"]);
        let step = Step::of(&Op::new(command, Undo::by(back)), 1, None);
        assert!(step.act.ends_with(" 0xfeed") && !step.text.contains("0xfeed"), "{step:?}");
        assert_eq!(step.undo, ["ip xfrm state del src 10.0.0.1"]);
    }
}
