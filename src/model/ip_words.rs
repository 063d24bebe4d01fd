//! What the words of an `ip` command mean, read as iproute2 reads them (`ip/ip.c` and the `do_…` functions behind it): options, objects and
//! verbs may be cut short, and the first of a list that begins so is meant. What is not known here is a change.

use crate::error::{Error, Kind, Result};

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It only looks.
    Question,
    /// It changes something, or nobody here knows what it does.
    Change,
}

/// What a word stands for.
#[derive(Clone, Copy)]
enum Verb {
    /// It only looks.
    Asks,
    /// It changes something.
    Acts,
    /// It goes on until it is ended.
    Follows,
    /// It has verbs of its own.
    Has(&'static [(&'static str, Verb)]),
}

use Verb::{Acts, Asks, Follows, Has};

type Verbs = &'static [(&'static str, Verb)];

const SHOW: Verbs = &[("show", Asks), ("lst", Asks), ("list", Asks), ("help", Asks)];
const RULE: Verbs = &[
    ("list", Asks),
    ("lst", Asks),
    ("show", Asks),
    ("save", Asks),
    ("restore", Acts),
    ("add", Acts),
    ("delete", Acts),
    ("flush", Acts),
    ("help", Asks),
];
const NEIGH: Verbs = &[
    ("add", Acts),
    ("change", Acts),
    ("chg", Acts),
    ("replace", Acts),
    ("delete", Acts),
    ("get", Asks),
    ("show", Asks),
    ("lst", Asks),
    ("list", Asks),
    ("flush", Acts),
    ("help", Asks),
];
const NTABLE: Verbs = &[("change", Acts), ("chg", Acts), ("show", Asks), ("lst", Asks), ("list", Asks), ("help", Asks)];
const TUNNEL: Verbs = &[
    ("add", Acts),
    ("change", Acts),
    ("delete", Acts),
    ("show", Asks),
    ("lst", Asks),
    ("list", Asks),
    ("prl", Acts),
    ("6rd", Acts),
    ("help", Asks),
];
const TUNTAP: Verbs = &[("add", Acts), ("delete", Acts), ("show", Asks), ("lst", Asks), ("list", Asks), ("help", Asks)];
const TCP_METRICS: Verbs = &[
    ("list", Asks),
    ("lst", Asks),
    ("show", Asks),
    ("delete", Acts),
    ("remove", Acts),
    ("flush", Acts),
    ("help", Asks),
];
const XFRM_STATE: Verbs = &[
    ("add", Acts),
    ("update", Acts),
    ("allocspi", Acts),
    ("delete", Acts),
    ("deleteall", Acts),
    ("delall", Acts),
    ("list", Asks),
    ("show", Asks),
    ("lst", Asks),
    ("get", Asks),
    ("flush", Acts),
    ("count", Asks),
    ("help", Asks),
];
const XFRM_POLICY: Verbs = &[
    ("add", Acts),
    ("update", Acts),
    ("delete", Acts),
    ("deleteall", Acts),
    ("delall", Acts),
    ("list", Asks),
    ("show", Asks),
    ("lst", Asks),
    ("get", Asks),
    ("flush", Acts),
    ("count", Asks),
    ("set", Acts),
    ("setdefault", Acts),
    ("getdefault", Asks),
    ("help", Asks),
];

/// The objects in the order in which `ip` looks through them, with their verbs in theirs.
const OBJECTS: Verbs = &[
    (
        "address",
        Has(&[
            ("add", Acts),
            ("change", Acts),
            ("chg", Acts),
            ("replace", Acts),
            ("delete", Acts),
            ("list", Asks),
            ("show", Asks),
            ("lst", Asks),
            ("flush", Acts),
            ("save", Asks),
            ("showdump", Asks),
            ("restore", Acts),
            ("help", Asks),
        ]),
    ),
    (
        "addrlabel",
        Has(&[
            ("list", Asks),
            ("lst", Asks),
            ("show", Asks),
            ("add", Acts),
            ("delete", Acts),
            ("flush", Acts),
            ("help", Asks),
        ]),
    ),
    (
        "maddress",
        Has(&[("add", Acts), ("delete", Acts), ("list", Asks), ("show", Asks), ("lst", Asks), ("help", Asks)]),
    ),
    (
        "route",
        Has(&[
            ("add", Acts),
            ("change", Acts),
            ("chg", Acts),
            ("replace", Acts),
            ("prepend", Acts),
            ("append", Acts),
            ("test", Acts),
            ("delete", Acts),
            ("list", Asks),
            ("show", Asks),
            ("lst", Asks),
            ("get", Asks),
            ("flush", Acts),
            ("save", Asks),
            ("restore", Acts),
            ("showdump", Asks),
            ("help", Asks),
        ]),
    ),
    ("rule", Has(RULE)),
    ("neighbor", Has(NEIGH)),
    ("neighbour", Has(NEIGH)),
    ("ntable", Has(NTABLE)),
    ("ntbl", Has(NTABLE)),
    (
        "link",
        Has(&[
            ("add", Acts),
            ("set", Acts),
            ("change", Acts),
            ("replace", Acts),
            ("delete", Acts),
            ("show", Asks),
            ("lst", Asks),
            ("list", Asks),
            ("xstats", Asks),
            ("afstats", Asks),
            ("property", Acts),
            ("help", Asks),
        ]),
    ),
    ("l2tp", Has(&[("help", Asks), ("add", Acts), ("delete", Acts), ("show", Asks), ("lst", Asks), ("list", Asks)])),
    ("fou", Has(&[("help", Asks), ("add", Acts), ("delete", Acts), ("show", Asks)])),
    ("ila", Has(&[("help", Asks), ("add", Acts), ("delete", Acts), ("show", Asks), ("lst", Asks), ("list", Asks)])),
    (
        "macsec",
        Has(&[("help", Asks), ("show", Asks), ("add", Acts), ("set", Acts), ("delete", Acts), ("offload", Acts)]),
    ),
    ("tunnel", Has(TUNNEL)),
    ("tunl", Has(TUNNEL)),
    ("tuntap", Has(TUNTAP)),
    ("tap", Has(TUNTAP)),
    (
        "token",
        Has(&[
            ("list", Asks),
            ("lst", Asks),
            ("show", Asks),
            ("set", Acts),
            ("add", Acts),
            ("delete", Acts),
            ("get", Asks),
            ("help", Asks),
        ]),
    ),
    ("tcpmetrics", Has(TCP_METRICS)),
    ("tcp_metrics", Has(TCP_METRICS)),
    ("monitor", Follows),
    (
        "xfrm",
        Has(&[
            ("state", Has(XFRM_STATE)),
            ("sa", Has(XFRM_STATE)),
            ("policy", Has(XFRM_POLICY)),
            ("monitor", Follows),
            ("help", Asks),
        ]),
    ),
    ("mroute", Has(SHOW)),
    ("mrule", Has(RULE)),
    (
        "netns",
        Has(&[
            ("list", Asks),
            ("show", Asks),
            ("lst", Asks),
            ("list-id", Asks),
            ("help", Asks),
            ("add", Acts),
            ("set", Acts),
            ("delete", Acts),
            ("identify", Asks),
            ("pids", Asks),
            ("exec", Acts),
            ("monitor", Follows),
            ("attach", Acts),
        ]),
    ),
    ("netconf", Has(SHOW)),
    (
        "vrf",
        Has(&[
            ("identify", Asks),
            ("pids", Asks),
            ("exec", Acts),
            ("show", Asks),
            ("lst", Asks),
            ("list", Asks),
            ("help", Asks),
        ]),
    ),
    (
        "sr",
        Has(&[
            ("help", Asks),
            ("hmac", Has(&[("show", Asks), ("set", Acts)])),
            ("tunsrc", Has(&[("show", Asks), ("set", Acts)])),
        ]),
    ),
    (
        "nexthop",
        Has(&[
            ("add", Acts),
            ("replace", Acts),
            ("delete", Acts),
            ("list", Asks),
            ("show", Asks),
            ("lst", Asks),
            ("get", Asks),
            ("flush", Acts),
            ("bucket", Has(&[("list", Asks), ("show", Asks), ("lst", Asks), ("get", Asks), ("help", Asks)])),
            ("help", Asks),
        ]),
    ),
    (
        "mptcp",
        Has(&[
            ("help", Asks),
            ("endpoint", Has(&[("add", Acts), ("change", Acts), ("delete", Acts), ("show", Asks), ("flush", Acts)])),
            ("limits", Has(&[("set", Acts), ("show", Asks)])),
            ("monitor", Follows),
        ]),
    ),
    (
        "ioam",
        Has(&[
            ("help", Asks),
            ("namespace", Has(&[("show", Asks), ("add", Acts), ("del", Acts), ("set", Acts)])),
            ("schema", Has(&[("show", Asks), ("add", Acts), ("del", Acts)])),
            ("monitor", Follows),
        ]),
    ),
    ("help", Asks),
    ("stats", Has(&[("help", Asks), ("show", Asks), ("set", Acts)])),
];

/// What an option does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    /// It says how to print or where to look.
    Plain,
    /// The same, with a value.
    Valued,
    /// It prints something and ends.
    Ends,
    Batch,
    Netns,
    All,
}

/// The options in the order in which `ip` looks through them.
const OPTIONS: &[(&str, Flag)] = &[
    ("loops", Flag::Valued),
    ("family", Flag::Valued),
    ("4", Flag::Plain),
    ("6", Flag::Plain),
    ("0", Flag::Plain),
    ("M", Flag::Plain),
    ("B", Flag::Plain),
    ("human-readable", Flag::Plain),
    ("iec", Flag::Plain),
    ("stats", Flag::Plain),
    ("statistics", Flag::Plain),
    ("details", Flag::Plain),
    ("resolve", Flag::Plain),
    ("oneline", Flag::Plain),
    ("timestamp", Flag::Plain),
    ("tshort", Flag::Plain),
    ("Version", Flag::Ends),
    ("force", Flag::Plain),
    ("batch", Flag::Batch),
    ("brief", Flag::Plain),
    ("json", Flag::Plain),
    ("pretty", Flag::Plain),
    ("rcvbuf", Flag::Valued),
    ("color", Flag::Plain),
    ("help", Flag::Ends),
    ("netns", Flag::Netns),
    ("Numeric", Flag::Plain),
    ("all", Flag::All),
    ("echo", Flag::Plain),
];

/// The first of a list that begins with a word, as iproute2's `matches` has it.
fn first<T: Copy>(all: &[(&str, T)], word: &str) -> Option<T> {
    all.iter().find(|(name, _)| !word.is_empty() && name.starts_with(word)).map(|(_, what)| *what)
}

/// What a command of `ip` does.
///
/// # Errors
///
/// `InvalidArgument` for what would leave netwright's control: a batch, another namespace, all of them, what never ends.
pub(crate) fn meaning(words: &[String]) -> Result<Meaning> {
    let mut rest = words.iter().map(String::as_str).peekable();
    while let Some(option) = rest.next_if(|word| word.starts_with('-')) {
        if option == "--" {
            break;
        }
        let name = option.strip_prefix("--").or_else(|| option.strip_prefix('-')).unwrap_or(option);
        match first(OPTIONS, name.split('=').next().unwrap_or(name)) {
            Some(Flag::Plain) => {}
            Some(Flag::Valued) => drop(rest.next()),
            Some(Flag::Ends) => return Ok(Meaning::Question),
            Some(Flag::Batch) => return Err(refused(option, "a batch hides what it does")),
            Some(Flag::Netns) => {
                let name = rest.next().unwrap_or("NAME");
                return Err(
                    refused(option, "it acts in another namespace").hint(format!("say so: `netns(\"{name}\").ip(…)`"))
                );
            }
            Some(Flag::All) => {
                return Err(refused(option, "it acts in all namespaces at once")
                    .hint("say in which, one by one: `netns(\"NAME\").ip(…)`"));
            }
            // `ip` will say that it does not know it; should another version know it, nobody here does.
            None => return Ok(Meaning::Change),
        }
    }
    let mut verb = Has(OBJECTS);
    loop {
        match verb {
            Asks => return Ok(Meaning::Question),
            Acts => return Ok(Meaning::Change),
            Follows => return Err(refused("monitor", "it never ends")),
            Has(verbs) => match rest.next() {
                // An object alone is listed, or its usage is printed.
                None => return Ok(Meaning::Question),
                Some(word) => match first(verbs, word) {
                    Some(next) => verb = next,
                    None => return Ok(Meaning::Change),
                },
            },
        }
    }
}

fn refused(word: &str, why: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("`ip {word}` cannot be run here: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Meaning> {
        meaning(&text.split(' ').filter(|word| !word.is_empty()).map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn questions_and_changes_are_told_apart_as_ip_reads_them() {
        for text in [
            "",
            "link",
            "-s link",
            "-4 -br a",
            "addr sh",
            "a s",
            "a l",
            "r g 1.1.1.1",
            "-6 route get ::1",
            "route show table all",
            "ro sh",
            "-f inet6 r",
            "--json route",
            "-c=never l",
            "l l",
            "neigh list",
            "n",
            "netns pids x",
            "net",
            "netns list-id",
            "rule s",
            "xfrm state list",
            "x s",
            "xfrm policy list",
            "x p get dir in src 1.1.1.1",
            "xfrm state count",
            "mptcp endpoint show",
            "mptcp limits",
            "ioam namespace show",
            "nexthop",
            "nexthop bucket show",
            "sr tunsrc show",
            "tcp_metrics show",
            "-V",
            "-h",
            "-help",
            "macsec show",
            "vrf identify 7",
            "l2tp show tunnel",
            "-rc 1000 link",
            "-o -l 3 addr",
        ] {
            assert_eq!(of(text).ok(), Some(Meaning::Question), "{text}");
        }
        for text in [
            "link add name x type dummy",
            "l a x type dummy",
            "li add yy type bridge",
            "l s x up",
            "l se x up",
            "route add default via 10.0.0.1",
            "r r default via 10.0.0.1",
            "r res",
            "r f cache",
            "route flush cache",
            "netns exec a b",
            "netns set a 5",
            "neigh change 1.1.1.1",
            "rule r",
            "xfrm state deleteall",
            "x s f",
            "x p setdefault",
            "mptcp endpoint flush",
            "token set ::1 dev x",
            "tuntap add dev x mode tun",
            "-nosuch link",
            "link frobnicate",
            "frobnicate",
            "-- link set x up",
            "ntable change name arp_cache",
        ] {
            assert_eq!(of(text).ok(), Some(Meaning::Change), "{text}");
        }
    }

    #[test]
    fn what_leaves_our_control_is_refused_however_short_it_is_written() {
        for text in [
            "-b file",
            "-ba /run/batch",
            "-batch -",
            "--batch /run/batch",
            "-force -bat /run/batch",
            "-s -b x",
            "-l 3 -b x",
            "-n red li add yy type bridge",
            "-net red link",
            "--netns red link",
            "-a netns delete",
            "-all netns exec true",
            "monitor",
            "mo",
            "mon all",
            "netns m",
            "xfrm mon",
        ] {
            let error = of(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{text}");
            assert!(error.to_string().contains("cannot be run here"), "{text}: {error}");
        }
    }
}
