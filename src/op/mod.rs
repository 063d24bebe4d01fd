//! Ops and queries as values: what netwright asks of iproute2, iptables and sysctl, before anything runs.
//!
//! Everything here is pure: no I/O, no processes. A [`Fact`] is what can be so, one file per object; a [`Command`] is a program and its words in a
//! namespace, with the fact that it makes so; an [`Op`] is a command that changes the kernel, with its inverse. Each is tested by its exact argv.

pub(crate) mod addr;
pub(crate) mod breakage;
pub(crate) mod bridge;
pub(crate) mod ethtool;
pub(crate) mod fact;
pub(crate) mod file;
pub(crate) mod firewall;
pub(crate) mod link;
pub(crate) mod netns;
pub(crate) mod nft;
pub(crate) mod program;
pub(crate) mod qdisc;
pub(crate) mod route;
pub(crate) mod secret;
pub(crate) mod sysctl;
pub(crate) mod wg;

use std::fmt;
use std::path::PathBuf;

/// Standard input as a file for a program that wants one. `/dev/stdin` is a link to it that the `/dev` of a small system does not have.
const STDIN: &str = "/proc/self/fd/0";

use crate::error::Place;

pub use fact::{Answer, Ask, Fact};

/// The programs that netwright runs. Everything else is started by the user's own `exec` and `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Tool {
    /// `ip` of iproute2.
    Ip,
    /// `bridge` of iproute2.
    Bridge,
    /// `tc` of iproute2.
    Tc,
    /// `iptables`.
    Iptables,
    /// `ip6tables`.
    Ip6tables,
    /// `iptables-save`.
    IptablesSave,
    /// `ip6tables-save`.
    Ip6tablesSave,
    /// `iptables-restore`, of the same backend as `iptables`; not chosen by itself.
    IptablesRestore,
    /// `ip6tables-restore` likewise.
    Ip6tablesRestore,
    /// `sysctl` of procps.
    Sysctl,
    /// `nft` of nftables; optional.
    Nft,
    /// `wg` of wireguard-tools; optional.
    Wg,
    /// `ethtool`; optional.
    Ethtool,
    /// A program of the script's own: the first of its words. It is started as the script's programs are.
    Own,
}

impl Tool {
    /// Every tool that is found or chosen by its name, in the order that `doctor` lists them.
    pub const ALL: [Self; 11] = [
        Self::Ip,
        Self::Bridge,
        Self::Tc,
        Self::Sysctl,
        Self::Iptables,
        Self::Ip6tables,
        Self::IptablesSave,
        Self::Ip6tablesSave,
        Self::Nft,
        Self::Wg,
        Self::Ethtool,
    ];

    /// What takes many rules at once for this one.
    #[must_use]
    pub fn restorer(self) -> Option<Self> {
        match self {
            Self::Iptables => Some(Self::IptablesRestore),
            Self::Ip6tables => Some(Self::Ip6tablesRestore),
            _ => None,
        }
    }

    /// The name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Bridge => "bridge",
            Self::Tc => "tc",
            Self::Iptables => "iptables",
            Self::Ip6tables => "ip6tables",
            Self::IptablesSave => "iptables-save",
            Self::Ip6tablesSave => "ip6tables-save",
            Self::IptablesRestore => "iptables-restore",
            Self::Ip6tablesRestore => "ip6tables-restore",
            Self::Sysctl => "sysctl",
            Self::Nft => "nft",
            Self::Wg => "wg",
            Self::Ethtool => "ethtool",
            Self::Own => "a program of the script's own",
        }
    }

    /// The Debian package that holds the program.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Self::Ip | Self::Bridge | Self::Tc => "iproute2",
            Self::Sysctl => "procps",
            Self::Nft => "nftables",
            Self::Wg => "wireguard-tools",
            Self::Ethtool => "ethtool",
            Self::Own => "",
            _ => "iptables",
        }
    }

    /// Whether the program itself takes `-n NETNS` (iproute2 does).
    #[must_use]
    pub fn takes_netns(self) -> bool {
        matches!(self, Self::Ip | Self::Bridge | Self::Tc)
    }
}

/// Which network namespace a command acts in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Where {
    /// The namespace that plays the host: the sandbox's root, or this machine with `--host`.
    Host,
    /// A namespace with a name, as `ip netns` keeps them under `/run/netns`.
    Named(String),
    /// A namespace given by a path, such as `/proc/4711/ns/net`.
    Path(PathBuf),
}

impl Where {
    /// The name that people see: `host`, the name, or the path.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// What iproute2 takes after `netns`: a name or a path. `None` for the host, which needs no word.
    #[must_use]
    pub fn word(&self) -> Option<String> {
        match self {
            Self::Host => None,
            Self::Named(name) => Some(name.clone()),
            Self::Path(path) => Some(path.display().to_string()),
        }
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Named(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A program and its words in a namespace. Argv only: it never passes through a shell.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Command {
    /// The program.
    pub tool: Tool,
    /// Its words, without the program and without `-n`.
    pub argv: Vec<String>,
    /// The namespace that it acts in.
    pub netns: Where,
    /// What it reads from standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// What it makes so. `None`: it asks, or only its user knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Box<Fact>>,
}

impl Command {
    /// A command from words.
    pub fn new<S: Into<String>>(tool: Tool, netns: &Where, argv: impl IntoIterator<Item = S>) -> Self {
        Self { tool, argv: argv.into_iter().map(Into::into).collect(), netns: netns.clone(), stdin: None, fact: None }
    }

    /// What it makes so. `None`: it asks, or only its user knows.
    #[must_use]
    pub fn fact(&self) -> Option<&Fact> {
        self.fact.as_deref()
    }

    /// The whole command as a person would run it on the machine, each word apart; its keys are hidden.
    ///
    /// iproute2's programs take `-n NAME`; the others run under `ip netns exec`; a namespace without a name is entered by `nsenter`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        self.typed(self.without_keys_in_argv())
    }

    fn typed(&self, argv: Vec<String>) -> Vec<String> {
        let program = (self.tool != Tool::Own).then(|| self.tool.program().to_owned());
        as_typed(&self.netns, &program.into_iter().chain(argv).collect::<Vec<_>>())
    }

    /// Its words without the keys among them.
    fn without_keys_in_argv(&self) -> Vec<String> {
        secret::hide(&self.argv, if self.tool == Tool::Own { secret::Of::User } else { secret::Of::Tool })
    }

    /// The command as one line that can be pasted into a shell; its keys are hidden.
    #[must_use]
    pub fn line(&self) -> String {
        line_of(&self.words(), self.shown_stdin().as_deref())
    }

    /// The same with its keys, for a file that runs it.
    #[must_use]
    pub fn line_with_keys(&self) -> String {
        line_of(&self.typed(self.argv.clone()), self.stdin.as_deref())
    }

    /// What it reads from standard input, as it may be shown: all that `wg` is told there is a key.
    fn shown_stdin(&self) -> Option<String> {
        self.stdin.as_ref().map(|text| match self.tool {
            Tool::Wg if !text.is_empty() => secret::HIDDEN.to_owned(),
            _ => secret::redact(text).into_owned(),
        })
    }

    /// The same command for the journal, without its keys; `None` when it has none.
    #[must_use]
    pub fn without_keys(&self) -> Option<Self> {
        let argv = self.without_keys_in_argv();
        let stdin = self.shown_stdin();
        let fact =
            self.fact.as_ref().map(|fact| secret::redact_value(fact.as_ref()).map_or_else(|| fact.clone(), Box::new));
        let shown = Self { argv, stdin, fact, ..self.clone() };
        (shown != *self).then_some(shown)
    }
}

/// Words, and what they read from standard input, as one line.
fn line_of(words: &[String], stdin: Option<&str>) -> String {
    let line = quote(words);
    match stdin {
        Some(text) => format!("printf %s {} | {line}", quote(&[text.to_owned()])),
        None => line,
    }
}

/// A program and its words as a person would run it on the machine, in a namespace: iproute2's own programs take `-n NAME`.
#[must_use]
pub fn as_typed(netns: &Where, words: &[String]) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (program, rest) = words.split_at(words.len().min(1));
    let takes_netns = Tool::ALL.iter().any(|tool| tool.takes_netns() && program == [tool.program()]);
    let (before, after) = match netns {
        Where::Host => (Vec::new(), Vec::new()),
        Where::Named(name) if takes_netns => (Vec::new(), owned(&["-n", name])),
        Where::Named(name) => (owned(&["ip", "netns", "exec", name]), Vec::new()),
        Where::Path(path) => (vec!["nsenter".to_owned(), format!("--net={}", path.display())], Vec::new()),
    };
    before.into_iter().chain(program.iter().cloned()).chain(after).chain(rest.iter().cloned()).collect()
}

/// Quotes words so that a POSIX shell reads them back as they are.
#[must_use]
pub fn quote(words: &[String]) -> String {
    // shlex quotes every word with a `=`, which only matters in front of a command.
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c));
    let quoted = |(at, word): (usize, &String)| {
        if plain(word) && (at > 0 || !word.contains('=')) {
            return word.clone();
        }
        // A NUL cannot be a word of any command; exec refuses it before this matters.
        shlex::try_quote(word).map_or_else(|_| word.replace('\0', "\u{fffd}"), std::borrow::Cow::into_owned)
    };
    words.iter().enumerate().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What an op changes, by its names.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase", tag = "object")]
pub enum Object {
    /// A named namespace.
    Netns {
        /// Its name.
        name: String,
    },
    /// A link that the op makes or deletes; for a veth also its other end.
    Link {
        /// The namespace it is in, which need not be the one that the command acts in.
        netns: Where,
        /// Its name.
        name: String,
        /// The other end, for a veth.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<(Where, String)>,
    },
    /// A setting of a link.
    LinkSetting {
        /// The link's name.
        name: String,
        /// Which setting.
        setting: String,
    },
    /// An address on a link.
    Addr {
        /// The link's name.
        link: String,
        /// Address and prefix length.
        addr: String,
    },
    /// A route.
    Route {
        /// The destination.
        dst: String,
    },
    /// A policy rule.
    Rule,
    /// A neighbour entry.
    Neigh {
        /// The address.
        addr: String,
    },
    /// A next hop object.
    Nexthop {
        /// Its number.
        id: u32,
    },
    /// A kernel setting.
    Sysctl {
        /// Its dotted name.
        name: String,
    },
    /// An iptables rule.
    NfRule {
        /// Table and chain.
        chain: String,
    },
    /// An iptables chain.
    NfChain {
        /// Table and chain.
        chain: String,
    },
    /// The policy of a built-in chain.
    NfPolicy {
        /// Table and chain.
        chain: String,
    },
    /// A whole iptables table.
    NfTable {
        /// The table.
        table: String,
    },
    /// A queueing discipline.
    Qdisc {
        /// The link.
        link: String,
    },
    /// Something of nft's own.
    Nft {
        /// What, and in which table.
        what: String,
    },
    /// A VLAN of a port.
    Vlan {
        /// The port, or the bridge itself.
        link: String,
        /// The VLAN.
        vid: u16,
    },
    /// An entry of a forwarding table.
    Fdb {
        /// The link that it leads to.
        link: String,
        /// The MAC address.
        mac: String,
        /// The VLAN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
    },
    /// An entry of a multicast table.
    Mdb {
        /// The port.
        link: String,
        /// The group.
        group: String,
        /// The VLAN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vid: Option<u16>,
    },
    /// A file of a namespace.
    File {
        /// Its path.
        path: String,
    },
    /// Something that only the user's own words say.
    Raw,
}

/// How an op is undone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Undo {
    /// By these commands, in order.
    Commands(Vec<Command>),
    /// By these commands, then by putting rules back into their chains, each where it stood among the others.
    Rules {
        /// What goes first: a rule that came instead of one that went.
        commands: Vec<Command>,
        /// The chains as they were.
        chains: Vec<firewall::FormerChain>,
    },
    /// By what nft lists then.
    Nft(Box<nft::Inverse>),
    /// Not at all, and why.
    None(String),
}

impl Undo {
    /// Undone by one command.
    #[must_use]
    pub fn by(command: Command) -> Self {
        Self::Commands(vec![command])
    }
}

/// One effect on the kernel: the only way in which netwright changes anything.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Op {
    /// What runs.
    pub command: Command,
    /// How it is undone.
    pub undo: Undo,
    /// Where in the script it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

impl Op {
    /// An op without a script position; the session adds it.
    #[must_use]
    pub fn new(command: Command, undo: Undo) -> Self {
        Self { command, undo, place: None }
    }

    /// What it makes so. `None`: it is the user's own command.
    #[must_use]
    pub fn fact(&self) -> Option<&Fact> {
        self.command.fact()
    }

    /// Whether only its user knows what it does.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.command.fact.is_none()
    }

    /// What it changes, by its names.
    #[must_use]
    pub fn changes(&self) -> Object {
        self.fact().map_or(Object::Raw, |fact| fact.object(&self.command.netns))
    }

    /// The link that it makes: its namespace, its name, its other end.
    #[must_use]
    pub fn makes_link(&self) -> Option<&link::Link> {
        match self.fact() {
            Some(Fact::Link(link)) if link.there => Some(link),
            _ => None,
        }
    }

    /// The link that it sets, gives an address or a queueing discipline; not one that it makes or deletes.
    #[must_use]
    pub fn sets_link(&self) -> Option<&str> {
        match self.fact()? {
            Fact::Settings(settings) => Some(&settings.link),
            Fact::Moved(one) => Some(&one.link),
            Fact::Wireguard(one) => Some(&one.link),
            Fact::Offload(one) => Some(&one.link),
            Fact::Addr(addr) => Some(&addr.link),
            Fact::Qdisc(qdisc) => Some(&qdisc.link),
            Fact::Vlan(vlan) => Some(&vlan.dev),
            Fact::Fdb(fdb) => Some(&fdb.entry.dev),
            Fact::Mdb(mdb) => Some(&mdb.entry.port),
            _ => None,
        }
    }

    /// The link that it sets, by where it is and how it is called when the op is done.
    #[must_use]
    pub fn link_after(&self) -> Option<(&Where, &str)> {
        let fact = self.fact()?;
        let link = if let Fact::Settings(set) = fact { set.name_after() } else { self.sets_link()? };
        Some((fact.shown_in(&self.command.netns), link))
    }

    /// Whether a name may mean another link afterwards: a link was deleted, renamed or moved, or nobody knows.
    ///
    /// Warm `ip -batch` processes cache name → ifindex (KNOWLEDGE.md) and are retired after such an op.
    #[must_use]
    pub fn moves_names(&self) -> bool {
        match self.fact() {
            None | Some(Fact::Moved(_)) => true,
            Some(Fact::Netns(netns)) => !netns.there,
            Some(Fact::Link(link)) => !link.there,
            Some(Fact::Settings(settings)) => settings.new_name().is_some(),
            Some(_) => false,
        }
    }
}

/// For tests of ops: how they read.
#[cfg(test)]
mod told {
    use super::{Command, Op, Undo};

    pub(super) fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    /// The command, and what undoes it, or why nothing does.
    pub(super) fn lines(op: &Op) -> (String, String) {
        let undo = match &op.undo {
            Undo::Commands(commands) => commands.iter().map(Command::line).collect::<Vec<_>>().join("; "),
            Undo::None(why) => why.clone(),
            Undo::Rules { .. } | Undo::Nft(_) => panic!("it is undone by more than commands"),
        };
        (op.command.line(), undo)
    }

    #[track_caller]
    pub(super) fn check(op: &Op, command: &str, undo: &str) {
        assert_eq!(lines(op), (command.to_owned(), undo.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_as_a_person_would_type_it() {
        let words = ["link", "set", "dev", "x"];
        let line = |netns: &Where, tool| Command::new(tool, netns, words).line();
        assert_eq!(line(&Where::Host, Tool::Ip), "ip link set dev x");
        assert_eq!(line(&Where::Named("red".into()), Tool::Ip), "ip -n red link set dev x");
        assert_eq!(line(&Where::Named("red".into()), Tool::Sysctl), "ip netns exec red sysctl link set dev x");
        assert_eq!(
            line(&Where::Path("/proc/7/ns/net".into()), Tool::Ip),
            "nsenter --net=/proc/7/ns/net ip link set dev x"
        );
    }

    #[test]
    fn a_key_stands_only_where_it_is_asked_for() {
        let words = ["xfrm", "state", "add", "src", "10.0.0.1", "auth", "hmac(sha1)", "0xfeed"];
        let command = Command::new(Tool::Ip, &Where::Named("red".into()), words);
        assert!(command.line().contains(secret::HIDDEN) && !command.line().contains("0xfeed"), "{}", command.line());
        assert_eq!(command.line_with_keys(), "ip -n red xfrm state add src 10.0.0.1 auth 'hmac(sha1)' 0xfeed");
    }

    #[test]
    fn a_secret_stands_in_no_fact_that_is_written_down() {
        secret::remember("s3cret \"word\"");
        let option = || link::Setting::Options(vec!["alias".into(), "s3cret \"word\"".into()]);
        let fact = Fact::Settings(link::Settings { link: "x".into(), to: vec![option()] });
        let shown = fact.command(&Where::Host).without_keys().unwrap();
        assert!(!serde_json::to_string(&shown).unwrap().contains("s3cret"), "{shown:?}");
        assert!(matches!(shown.fact(), Some(Fact::Settings(set)) if set.link == "x"), "it is still the same fact");
        assert_eq!(link::up(&Where::Host, "x").command.without_keys(), None);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        let command = Command::new(Tool::Iptables, &Where::Host, ["-m", "comment", "--comment", "it's; a $thing"]);
        assert_eq!(shlex::split(&command.line()).unwrap(), command.words());
    }

    /// Not only that shlex reads it back: nothing that a shell would act on stands bare.
    #[test]
    fn what_a_shell_would_act_on_is_quoted() {
        for special in "&*?[()<>|;$`\"'\\ \t\n".chars() {
            let word = format!("a{special}b");
            let line = quote(&["x".into(), word.clone()]);
            assert_ne!(line, format!("x {word}"), "{special:?} stands bare");
            assert_eq!(shlex::split(&line).unwrap(), ["x", &word]);
        }
        assert_eq!(quote(&["x".into(), String::new()]), "x ''");
    }
}
