//! What an op is in plain shell: the question whether it is so already, the command, and what takes it back.

use crate::op::nft::Inverse;
use crate::op::{Command, Object, Op, Tool, Undo, Where, as_typed, quote};

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
            act: command.line_with_keys(),
            text: command.line(),
            former: None,
            undo: Vec::new(),
            only_if_so: true,
            inside,
            taken: None,
            tools: vec![command.tool.program()],
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
        match &op.changes {
            Object::Netns { name } => step.netns(name, op.says("add")),
            Object::Link { netns, name, .. } => step.link(op, netns, name),
            Object::LinkSetting { name, .. } if command.tool == Tool::Wg => step.wireguard(command, name),
            Object::LinkSetting { name, .. } => step.setting(op, name, &typed),
            Object::Addr { link, addr } => {
                let shown = format!(
                    "{} | grep -qF -- {}",
                    typed(&["ip", "-o", "address", "show", "dev", link]),
                    word(&format!(" {addr} "))
                );
                step.ask = Some(if op.says("add") { shown } else { format!("not_so {}", word(&shown)) });
            }
            Object::Route { dst } => step.ask = route(op, dst),
            Object::Rule => step.ask = rule(op),
            Object::Neigh { addr } => {
                let mac = after(&command.argv, "lladdr").unwrap_or_default();
                let shown = typed(&["ip", "neigh", "show", addr]);
                step.ask = Some(format!("{shown} | grep PERMANENT | grep -qiF -- {}", word(mac)));
            }
            Object::Sysctl { name } => step.sysctl(op, name, &typed),
            Object::NfRule { .. } => step.nf_rule(op),
            Object::NfChain { .. } if op.says("-N") => {
                step.ask = edited(command, "-N", "-S", 1).map(|line| format!("{line} >/dev/null 2>&1"));
                step.tools.push("grep");
            }
            Object::NfPolicy { .. } => step.policy(op),
            Object::Qdisc { link } => step.qdisc(command, link),
            Object::NfChain { .. } | Object::NfTable { .. } | Object::Raw => step.only_if_so = false,
            Object::Nft { .. } => step.only_if_so = step.ask.is_some(),
        }
        step
    }

    fn netns(&mut self, name: &str, add: bool) {
        let there = format!("[ -e {} ]", word(&format!("/run/netns/{name}")));
        self.ask = Some(if add { there } else { format!("! {there}") });
    }

    fn link(&mut self, op: &Op, netns: &Where, name: &str) {
        let there = format!("{} >/dev/null 2>&1", words_in(&op.command.netns, &["ip", "link", "show", "dev", name]));
        if !op.says("add") {
            let there = format!("{} >/dev/null 2>&1", words_in(netns, &["ip", "link", "show", "dev", name]));
            self.ask = Some(format!("not_so {}", word(&there)));
            return;
        }
        let kind = after(&op.command.argv, "type").unwrap_or_default();
        let details = words_in(&op.command.netns, &["ip", "-d", "link", "show", "dev", name]);
        self.taken = Some((
            format!("{there} && not_so {}", word(&format!("{details} | grep -qwF -- {}", word(kind)))),
            format!("`{name}` in `{}` is there and is no {kind}", op.command.netns),
        ));
        self.ask = Some(there.clone());
        // A port that is made in its bridge may be there and have lost it.
        let head: Vec<&str> = op.command.argv.iter().take_while(|word| *word != "type").map(String::as_str).collect();
        let mut state: Vec<&str> = Vec::new();
        if let Some(at) = head.iter().position(|word| *word == "master") {
            state.extend(head.iter().skip(at).take(2));
        }
        state.extend(head.contains(&"up").then_some("up"));
        if !state.is_empty() {
            let all: Vec<&str> =
                ["ip", "-o", "link", "show", "dev", name].into_iter().chain(state.iter().copied()).collect();
            let set: Vec<&str> = ["ip", "link", "set", "dev", name].into_iter().chain(state).collect();
            let netns = &op.command.netns;
            self.ask = Some(format!("{} | grep -q .", words_in(netns, &all)));
            self.act = format!("if {there}; then {}; else {}; fi", words_in(netns, &set), op.command.line());
            self.former = Some(format!("{there} && echo there"));
            self.undo = self.undo.iter().map(|line| format!("[ \"$former\" = there ] || {line}")).collect();
        }
    }

    fn setting(&mut self, op: &Op, name: &str, typed: &dyn Fn(&[&str]) -> String) {
        let words: Vec<&str> = op.command.argv.iter().skip(4).map(String::as_str).collect();
        let shown = |more: &[&str]| {
            let all: Vec<&str> =
                ["ip", "-o", "link", "show", "dev", name].into_iter().chain(more.iter().copied()).collect();
            typed(&all)
        };
        let set = |words: &str| format!("{} {words}", typed(&["ip", "link", "set", "dev", name]));
        let is_up = format!("{} | grep -q .", shown(&["up"]));
        let prints =
            |pattern: &str| Some(format!("{} | sed -n {}", shown(&[]), word(&format!("s/.* {pattern} .*/\\1/p"))));
        match words.as_slice() {
            // With an alias, which says only whose it is.
            ["up"] | ["up", "alias", _] => self.ask = Some(is_up),
            ["down"] => self.ask = Some(format!("not_so {}", word(&is_up))),
            ["master", master, rest @ ..] => {
                let up: &[&str] = if rest.contains(&"up") { &["up"] } else { &[] };
                let more: Vec<&str> = ["master", master].into_iter().chain(up.iter().copied()).collect();
                self.ask = Some(format!("{} 2>/dev/null | grep -q .", shown(&more)));
                self.former = prints("master \\([^ ]*\\)");
                self.undo = vec![format!(
                    "if [ -n \"$former\" ]; then {}; else {}; fi",
                    set("master \"$former\""),
                    set("nomaster")
                )];
            }
            ["mtu", mtu] => {
                self.ask = Some(format!("{} | grep -qF -- {}", shown(&[]), word(&format!(" mtu {mtu} "))));
                self.former = prints("mtu \\([0-9]*\\)");
                self.undo = vec![set("mtu \"$former\"")];
            }
            ["address", mac] => {
                self.ask = Some(format!("{} | grep -qiF -- {}", shown(&[]), word(&format!(" {mac} "))));
                self.former = prints("link\\/[a-z0-9]* \\([^ ]*\\)");
                self.undo = vec![set("address \"$former\"")];
            }
            ["name", new] => {
                self.ask = Some(format!("{} >/dev/null 2>&1", typed(&["ip", "link", "show", "dev", new])));
            }
            ["type", _, pairs @ ..] => {
                let details = typed(&["ip", "-d", "-o", "link", "show", "dev", name]);
                let asks: Vec<String> = pairs
                    .chunks(2)
                    .map(|pair| format!("{details} | grep -qF -- {}", word(&format!(" {} ", pair.join(" ")))))
                    .collect();
                self.ask = (!asks.is_empty() && pairs.len() % 2 == 0).then(|| asks.join(" && "));
            }
            _ => self.only_if_so = false,
        }
    }

    fn sysctl(&mut self, op: &Op, name: &str, typed: &dyn Fn(&[&str]) -> String) {
        let Some((_, value)) = crate::op::sysctl::setting(&op.command) else { return };
        let read = typed(&["sysctl", "-n", name]);
        self.ask = Some(format!("[ \"$({read} 2>/dev/null | tr '\\t' ' ')\" = {} ]", word(value)));
        self.former = Some(format!("{read} | tr '\\t' ' '"));
        self.undo = vec![format!("{}\"$former\" >/dev/null", typed(&["sysctl", "-w", &format!("{name}=")]))];
        self.act = format!("{} >/dev/null", op.command.line());
        self.tools.push("tr");
    }

    fn nf_rule(&mut self, op: &Op) {
        let numbered = |letter: &str| {
            let rest = op.command.argv.iter().skip_while(|word| *word != letter).nth(2);
            rest.is_some_and(|word| word.parse::<u32>().is_ok())
        };
        let check = |letter, skip| edited(&op.command, letter, "-C", skip).map(|line| format!("{line} 2>/dev/null"));
        if op.says("-A") {
            self.ask = check("-A", 0);
        } else if op.says("-I") {
            self.ask = check("-I", usize::from(numbered("-I")));
        } else if op.says("-D") && !numbered("-D") {
            self.ask = check("-D", 0).map(|line| format!("not_so {}", word(&line)));
            // The rule goes back to the end of its chain: where it stood is not known to plain shell.
            self.undo = edited(&op.command, "-D", "-A", 0).into_iter().collect();
            self.without_undo = None;
        } else {
            self.only_if_so = false;
        }
    }

    /// What a discipline is when it is so, a throw-away namespace says; where it cannot, only its kind is asked for.
    fn qdisc(&mut self, command: &Command, link: &str) {
        let shown = words_in(&command.netns, &["tc", "qdisc", "show", "dev", link]);
        let Some(at) = command.argv.iter().position(|word| word == "root") else {
            // What is below a root: only the file of what was done knows.
            self.only_if_so = false;
            return;
        };
        // Those of the kernel have the handle `0:`.
        let own = format!("{shown} | grep -q -- {}", word("^qdisc [^ ]* [1-9a-f][0-9a-f]*: root "));
        let as_words = r"s/ refcnt [0-9]*//; s/^qdisc \([^ ]*\) \([1-9a-f][0-9a-f]*:\) root *\(.*\)/handle \2 \1 \3/p";
        self.former = Some(format!("{shown} | sed -n {}", word(as_words)));
        let back = words_in(&command.netns, &["tc", "qdisc", "replace", "dev", link, "root"]);
        let delete = words_in(&command.netns, &["tc", "qdisc", "delete", "dev", link, "root"]);
        self.undo = vec![format!("if [ -n \"$former\" ]; then {back} $former; else {delete}; fi")];
        self.without_undo = None;
        if command.argv.iter().any(|word| word == "del" || word == "delete") {
            self.ask = Some(format!("not_so {}", word(&own)));
            return;
        }
        // Another discipline, or one that cannot be changed as it is, gives way first.
        self.act = format!("{0} 2>/dev/null || {{ {delete} 2>/dev/null; {0}; }}", command.line());
        let kind = command.argv.get(at + 1).map_or("", String::as_str);
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
    fn wireguard(&mut self, command: &Command, link: &str) {
        // PRIVATE PUBLIC PORT MARK, then for each peer: PUBLIC PSK ENDPOINT ALLOWED HANDSHAKE RX TX KEEPALIVE (wg(8)).
        let dump = format!("{} | tr '\\t' ' '", words_in(&command.netns, &["wg", "show", link, "dump"]));
        let own = |field: usize| {
            let before = r"[^ ]* ".repeat(field);
            format!("{dump} | sed -n {}", word(&format!("1s/^{before}\\([^ ]*\\).*/\\1/p")))
        };
        let words: Vec<&str> = command.argv.iter().skip(2).map(String::as_str).collect();
        self.tools.extend(["tr"]);
        match *words.as_slice() {
            ["private-key", _] => {
                let key = command.stdin.as_deref().unwrap_or_default().trim_end();
                let has_one = format!("{} | grep -qvxF -- '(none)'", own(0));
                self.ask = Some(if key.is_empty() {
                    format!("{} | grep -qxF -- '(none)'", own(0))
                } else {
                    format!("[ \"$({})\" = {} ]", own(0), word(key))
                });
                self.open_ask = (!key.is_empty()).then_some(has_one);
            }
            ["listen-port", port] => self.ask = Some(format!("[ \"$({})\" = {} ]", own(2), word(port))),
            ["fwmark", mark] => self.ask = Some(format!("[ \"$({})\" = {} ]", own(3), word(mark))),
            ["peer", key, "remove"] => {
                let there = format!("{dump} | grep -qF -- {}", word(&format!("{key} ")));
                self.ask = Some(format!("not_so {}", word(&there)));
            }
            ["peer", key, ref options @ ..] => {
                let mut line = format!("{dump} | grep -F -- {}", word(&format!("{key} ")));
                for pair in options.chunks(2) {
                    let (name, value) = (pair.first().copied(), pair.get(1).copied().unwrap_or_default());
                    let asks: Vec<String> = match name {
                        // Which one it is, is not asked: it would stand in the question.
                        Some("preshared-key") => vec![format!("grep -vF -- {}", word(&format!("{key} (none) ")))],
                        Some("endpoint") => vec![format!("grep -F -- {}", word(&format!(" {value} ")))],
                        Some("persistent-keepalive") => vec![format!("grep -- {}", word(&format!(" {value}$")))],
                        Some("allowed-ips") => value
                            .split(',')
                            .filter(|net| !net.is_empty())
                            .map(|net| format!("grep -- {}", word(&format!("[ ,]{}[ ,]", net.replace('.', "\\.")))))
                            .collect(),
                        _ => Vec::new(),
                    };
                    line = asks.into_iter().fold(line, |line, ask| format!("{line} | {ask}"));
                }
                self.ask = Some(format!("{line} | grep -q ."));
            }
            _ => self.only_if_so = false,
        }
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

    fn policy(&mut self, op: &Op) {
        let argv = &op.command.argv;
        let Some(at) = argv.iter().position(|word| word == "-P") else { return };
        let (Some(chain), Some(policy)) = (argv.get(at + 1), argv.get(at + 2)) else { return };
        let Some(list) = edited(&op.command, "-P", "-S", 0) else { return };
        // `-S CHAIN POLICY` is no question.
        let list = list.strip_suffix(&format!(" {policy}")).unwrap_or(&list).to_owned();
        self.ask = Some(format!("{list} | grep -qxF -- {}", word(&format!("-P {chain} {policy}"))));
        self.former = Some(format!("{list} | sed -n {}", word(&format!("s/^-P {chain} //p"))));
        let mut back = op.command.clone();
        back.argv.truncate(at + 2);
        self.undo = vec![format!("{} \"$former\"", back.line())];
    }
}

/// A word as a shell reads it.
pub(super) fn word(text: &str) -> String {
    quote(&["x".to_owned(), text.to_owned()]).split_off(2)
}

/// A program and its words in a namespace, as a person would type it.
fn words_in(netns: &Where, words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    quote(&as_typed(netns, &words))
}

fn after<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    argv.iter().skip_while(|word| *word != name).nth(1).map(String::as_str)
}

/// The same command with another letter, and without so many words behind its chain.
fn edited(command: &Command, from: &str, to: &str, skip: usize) -> Option<String> {
    let at = command.argv.iter().position(|word| word == from)?;
    let mut edited = command.clone();
    to.clone_into(edited.argv.get_mut(at)?);
    let first = (at + 2).min(edited.argv.len());
    let last = (first + skip).min(edited.argv.len());
    edited.argv.drain(first..last);
    Some(edited.line())
}

/// Whether a route is there with its gateway, link and metric.
fn route(op: &Op, dst: &str) -> Option<String> {
    let argv = &op.command.argv;
    if !(op.says("add") || op.says("replace")) {
        return None;
    }
    let family = argv.iter().find(|word| *word == "-4" || *word == "-6")?;
    let mut words = vec!["ip", family, "route", "show", "to", "exact", dst];
    if let Some(table) = after(argv, "table") {
        words.extend(["table", table]);
    }
    let mut line = words_in(&op.command.netns, &words);
    for name in ["via", "dev", "metric", "src"] {
        if let Some(value) = after(argv, name).filter(|value| *value != "inet6") {
            line = format!("{line} | grep -wF -- {}", word(&format!("{name} {value}")));
        }
    }
    Some(format!("{line} 2>/dev/null | grep -q ."))
}

/// Whether there is a policy rule of that number with that table.
fn rule(op: &Op) -> Option<String> {
    let argv = &op.command.argv;
    if !op.says("add") {
        return None;
    }
    let family = argv.iter().find(|word| *word == "-4" || *word == "-6").map_or("-4", String::as_str);
    let number = ["priority", "pref"].into_iter().find_map(|name| after(argv, name))?;
    let list = words_in(&op.command.netns, &["ip", family, "rule", "show"]);
    let mut line = format!("{list} | grep -- {}", word(&format!("^{number}:")));
    if let Some(table) = after(argv, "table").or_else(|| after(argv, "lookup")) {
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
        let step = Step::of(&Op::new(command, Object::Raw, Undo::by(back)), 1, None);
        assert!(step.act.ends_with(" 0xfeed") && !step.text.contains("0xfeed"), "{step:?}");
        assert_eq!(step.undo, ["ip xfrm state del src 10.0.0.1"]);
    }
}
