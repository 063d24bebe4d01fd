//! Commands and tables in nft's own words, read as far as their undo needs it.

use crate::error::{Error, Kind, Result};
use crate::model::suggest;

/// A table: its family and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// The families of tables (man 8 nft, "ADDRESS FAMILIES").
const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// Words of rules and chains that are often written (man 8 nft).
const WORDS: [&str; 70] = [
    "accept",
    "bridge",
    "burst",
    "bytes",
    "chain",
    "comment",
    "constant",
    "continue",
    "counter",
    "daddr",
    "dnat",
    "dport",
    "drop",
    "dscp",
    "elements",
    "established",
    "ether",
    "filter",
    "flags",
    "forward",
    "goto",
    "hook",
    "hoplimit",
    "icmp",
    "icmpv6",
    "iifname",
    "inet_service",
    "ingress",
    "input",
    "interval",
    "invalid",
    "ipv4_addr",
    "ipv6_addr",
    "jump",
    "length",
    "level",
    "limit",
    "mark",
    "masquerade",
    "meta",
    "minute",
    "new",
    "nexthdr",
    "oifname",
    "output",
    "over",
    "packets",
    "policy",
    "postrouting",
    "prefix",
    "prerouting",
    "priority",
    "protocol",
    "queue",
    "quota",
    "rate",
    "redirect",
    "reject",
    "related",
    "return",
    "route",
    "saddr",
    "second",
    "snat",
    "sport",
    "state",
    "timeout",
    "type",
    "untracked",
    "vlan",
];

/// A word of the line that nft complains of (the one below its first `Error:`) that is nearly one of its own, and that one.
#[must_use]
pub(crate) fn misspelt(stderr: &str) -> Option<(String, &'static str)> {
    let line = stderr.lines().skip_while(|line| !line.contains("Error:")).nth(1)?;
    let bare: String = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.len() > 3);
    words
        .filter(|word| !WORDS.contains(word) && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .find_map(|word| suggest::nearest(word, WORDS).map(|near| (word.to_owned(), near)))
}

/// The commands that only ask.
const QUESTIONS: [&str; 4] = ["list", "get", "describe", "help"];
/// The commands that change something.
const VERBS: [&str; 9] = ["add", "create", "insert", "delete", "destroy", "flush", "replace", "rename", "reset"];
/// What has a name in a table, and a list that a plural asks for.
const NAMED: [&str; 10] =
    ["chain", "set", "map", "flowtable", "counter", "quota", "limit", "ct", "secmark", "synproxy"];

/// One command of nft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It only asks.
    Question,
    /// It adds a rule to a chain.
    Rule {
        /// The table.
        table: Table,
        /// The chain.
        chain: String,
        /// The rule, without the place in the chain that it was given.
        rule: String,
    },
    /// It adds elements to a set or a map.
    Elements {
        /// The table.
        table: Table,
        /// The set or map.
        set: String,
        /// Each element as it was written.
        elements: Vec<String>,
    },
    /// It makes a table, or something with a name in a table.
    Named {
        /// The table.
        table: Table,
        /// `table`, `chain`, `set`, `ct helper` …
        kind: String,
        /// Its name; that of the table itself for a table.
        name: String,
    },
    /// It changes the table in another way.
    Other {
        /// The table.
        table: Table,
        /// `delete`, `flush`, `replace` …
        verb: String,
    },
}

fn invalid(message: String) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

/// A text as nft's own reader splits it: quotes and braces hold together.
fn pieces(text: &str, at: impl Fn(char) -> bool) -> Vec<&str> {
    let (mut found, mut from, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ if !quoted && depth == 0 && at(c) => {
                found.push(&text[from..index]);
                from = index + c.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&text[from..]);
    found.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

impl Said {
    /// Reads one command.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for more than one command, for one that names no table, and for what is no command.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let whole = pieces(text, |c| c == ';' || c == '\n');
        let one = match whole[..] {
            [] => return Err(invalid("`nft` needs words".into()).hint("ns.nft(\"list ruleset\")")),
            [one] => one,
            _ => {
                return Err(invalid("`nft` takes one command at a time".into())
                    .hint("`ns.nft_table(\"inet lab\", \"…\")` loads a whole table at once"));
            }
        };
        let mut words = pieces(one, char::is_whitespace).into_iter().skip_while(|word| word.starts_with('-'));
        let has_options = one.starts_with('-');
        let verb = words.next().unwrap_or_default();
        if QUESTIONS.contains(&verb) {
            return Ok(Self::Question);
        }
        if !VERBS.contains(&verb) {
            let all = QUESTIONS.into_iter().chain(VERBS);
            return Err(suggest::with_nearest(invalid(format!("`{verb}` is no command of nft")), verb, all)
                .hint(format!("commands: {}, {}", QUESTIONS.join(", "), VERBS.join(", "))));
        }
        if has_options {
            return Err(invalid("a command that changes something takes no options".into())
                .hint("begin with the verb: `ns.nft(\"add table inet lab\")`"));
        }
        let mut words: Vec<&str> = words.collect();
        // `add` and `flush` may leave out what they speak of no more than the others here: nobody could tell what undoes them.
        let mut kind = if words.is_empty() { String::new() } else { words.remove(0).to_owned() };
        if kind == "ruleset" {
            return Err(invalid(format!("`nft {verb} ruleset` would reach every table, also those of others"))
                .hint("say which table: `flush table inet lab`, `delete table inet lab`"));
        }
        if kind == "ct" && !words.is_empty() {
            kind = format!("ct {}", words.remove(0));
        }
        let first = kind.split(' ').next().unwrap_or_default();
        if !(["table", "rule", "element"].contains(&first) || NAMED.contains(&first.trim_end_matches('s'))) {
            let all = ["table", "rule", "element"].into_iter().chain(NAMED);
            return Err(suggest::with_nearest(invalid(format!("`nft {verb} {kind}` cannot be read")), first, all)
                .hint(format!("after `{verb}` comes table, rule, element, {}", NAMED.join(", "))));
        }
        let family = match words.first() {
            Some(word) if FAMILIES.contains(word) => words.remove(0),
            _ => "ip",
        };
        let missing = |what: &str| {
            invalid(format!("`nft {verb} {kind}` names no {what}"))
                .hint(format!("nft {verb} {kind} inet TABLE {}", if what == "table" { "…" } else { "NAME …" }))
        };
        let mut words = words.into_iter();
        let table = words.next().filter(|word| !word.starts_with('{')).ok_or_else(|| missing("table"))?;
        let table = Table { family: family.to_owned(), name: table.to_owned() };
        let adds = matches!(verb, "add" | "create" | "insert");
        if !adds {
            return Ok(Self::Other { table, verb: verb.to_owned() });
        }
        if kind == "table" {
            return Ok(Self::Named { kind, name: table.name.clone(), table });
        }
        let name = words.next().ok_or_else(|| missing(if kind == "rule" { "chain" } else { "name" }))?.to_owned();
        match kind.as_str() {
            "rule" => {
                let mut rule: Vec<&str> = words.collect();
                if rule.first().is_some_and(|word| matches!(*word, "position" | "handle" | "index")) {
                    rule.drain(..2.min(rule.len()));
                }
                if rule.is_empty() {
                    return Err(invalid(format!("`{one}` says no rule")));
                }
                Ok(Self::Rule { table, chain: name, rule: rule.join(" ") })
            }
            "element" => {
                let rest: Vec<&str> = words.collect();
                let rest = rest.join(" ");
                let inner = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(|| {
                    invalid(format!("`{one}` says no elements")).hint(format!("add element {table} {name} {{ … }}"))
                })?;
                let elements = pieces(inner, |c| c == ',').into_iter().map(str::to_owned).collect();
                Ok(Self::Elements { table, set: name, elements })
            }
            _ => Ok(Self::Named { table, kind, name }),
        }
    }
}

impl std::str::FromStr for Table {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./\\".contains(c));
        match words[..] {
            [family, name] if FAMILIES.contains(&family) && plain(name) => {
                Ok(Self { family: family.to_owned(), name: name.to_owned() })
            }
            [family, _] if !FAMILIES.contains(&family) => {
                let meant = match family.to_lowercase().as_str() {
                    "ipv4" | "ip4" | "inet4" => "ip",
                    "ipv6" | "inet6" => "ip6",
                    _ => suggest::nearest(family, FAMILIES).unwrap_or_default(),
                };
                let error = invalid(format!("`{family}` is no family of nft"));
                let error = if meant.is_empty() { error } else { error.hint(format!("did you mean `{meant}`?")) };
                Err(error.hint(format!("families: {}", FAMILIES.join(", "))))
            }
            _ => {
                Err(invalid(format!("`{text}` is not the family and the name of a table"))
                    .hint("for example \"inet lab\""))
            }
        }
    }
}

/// An element without what is not its key: `10.0.0.1 timeout 5m` and `10.0.0.1 : 80` are told by `10.0.0.1`.
#[must_use]
pub(crate) fn element_key(element: &str) -> &str {
    let ends = [" timeout ", " expires ", " comment ", " counter", " : ", " limit ", " quota "];
    let end = ends.iter().filter_map(|end| element.find(end)).min().unwrap_or(element.len());
    element[..end].trim()
}

/// A rule as nft lists it, and its handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// In nft's words.
    pub text: String,
    /// Its number in the table.
    pub handle: u64,
}

/// A line with `# handle N` behind it.
#[must_use]
pub(crate) fn handle_of(line: &str) -> Option<Listed> {
    let (text, rest) = line.rsplit_once("# handle ")?;
    let handle = rest.split_whitespace().next()?.parse().ok()?;
    Some(Listed { text: text.trim().to_owned(), handle })
}

/// The rules of a chain in `nft -a list chain …`: the lines that have a handle and are no beginning of a block.
#[must_use]
pub(crate) fn rules(listing: &str) -> Vec<Listed> {
    let mut all = Vec::new();
    // A rule with a verdict map of its own may be told in several lines.
    let mut begun = String::new();
    for line in listing.lines() {
        let line = line.trim();
        let Some(found) = handle_of(line) else {
            if begun.is_empty() && (line == "}" || line.starts_with("type ") || line.starts_with("comment ")) {
                continue;
            }
            begun.push_str(line);
            begun.push(' ');
            continue;
        };
        if line.ends_with('}') || !found.text.ends_with('{') {
            let text = std::mem::take(&mut begun) + found.text.as_str();
            all.push(Listed { text, handle: found.handle });
        } else {
            begun.clear();
        }
    }
    all
}

/// The handle of a named thing in `nft -a list table …`, by its kind and name; the table's own for `table`.
#[must_use]
pub(crate) fn named(listing: &str, kind: &str, name: &str) -> Option<u64> {
    listing.lines().filter_map(|line| handle_of(line.trim())).find_map(|found| {
        let head = found.text.strip_suffix('{')?.trim();
        let is_it = match kind {
            "table" => head.starts_with("table ") && head.ends_with(&format!(" {name}")),
            _ => head == format!("{kind} {name}"),
        };
        is_it.then_some(found.handle)
    })
}

/// Whether a table has nothing in it.
#[must_use]
pub(crate) fn is_empty(listing: &str) -> bool {
    let heads = listing.lines().filter_map(|line| line.split(" # handle ").next());
    !heads.map(str::trim).any(|line| line.ends_with('{') && !line.starts_with("table "))
}

/// A listing as it is compared with another: without handles, without how long elements have to live, and without what packets have put into
/// dynamic sets.
#[must_use]
pub(crate) fn comparable(listing: &str) -> String {
    let mut all = Vec::new();
    let (mut dynamic, mut in_elements) = (false, false);
    for line in listing.lines() {
        let line = line.split(" # handle ").next().unwrap_or_default().trim();
        if line.is_empty() || (line.starts_with('#') && !line.contains("xt_")) {
            continue;
        }
        if line.ends_with('{') {
            dynamic = false;
        }
        dynamic |= line.starts_with("flags ") && line.contains("dynamic");
        if in_elements || (dynamic && line.starts_with("elements =")) {
            in_elements = !line.ends_with('}');
            continue;
        }
        all.push(without_expiry(line));
    }
    all.join("\n")
}

fn without_expiry(line: &str) -> String {
    let mut parts = line.split(" expires ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    text
}

/// Whether the table is one that iptables keeps in nft, with rules that nft cannot write.
#[must_use]
pub(crate) fn is_of_iptables(listing: &str) -> bool {
    listing.lines().any(|line| {
        let line = line.trim();
        line.contains("# xt_") || line.contains("xt match ") || line.contains("xt target ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table { family: "inet".into(), name: "filter".into() }
    }

    #[test]
    fn a_misspelt_word_of_the_line_that_is_wrong_is_told() {
        let said = |line: &str| {
            misspelt(&format!(
                "/dev/stdin:5:52-55: Error: syntax error, unexpected drop\n{line}\n    ^^^^\nmore polcy\n"
            ))
        };
        for (line, word, near) in [
            ("type filter hook forward priority 0; polcy drop;", "polcy", "policy"),
            ("iifnam \"guest\" oifname \"wan\" accept", "iifnam", "iifname"),
            ("type filter hook foward priority 0; policy drop;", "foward", "forward"),
            ("ct state establshed,related accept", "establshed", "established"),
        ] {
            assert_eq!(said(line), Some((word.to_owned(), near)), "{line}");
        }
        assert_eq!(said("iifname \"polcy\" tcp dport 22 accept"), None, "a name is nobody's mistake");
        assert_eq!(misspelt("nothing of the kind"), None);
    }

    #[test]
    fn commands_are_read() {
        let said = |text: &str| Said::parse(text).unwrap();
        let rule = |rule: &str| Said::Rule { table: table(), chain: "fw".into(), rule: rule.into() };
        assert_eq!(said("add rule inet filter fw tcp dport { 22, 80 } drop"), rule("tcp dport { 22, 80 } drop"));
        assert_eq!(said("insert rule inet filter fw position 5 ip saddr 1.2.3.4 drop;"), rule("ip saddr 1.2.3.4 drop"));
        assert_eq!(said("add rule inet filter fw log prefix \"a; b\" drop"), rule("log prefix \"a; b\" drop"));
        assert_eq!(said("list ruleset"), Said::Question);
        assert_eq!(said("-a list table inet filter"), Said::Question);
        let elements = ["10.0.0.1".to_owned(), "10.0.0.2 timeout 5m".to_owned()].into();
        assert_eq!(
            said("add element inet filter s { 10.0.0.1, 10.0.0.2 timeout 5m }"),
            Said::Elements { table: table(), set: "s".into(), elements }
        );
        let named = |kind: &str, name: &str| Said::Named { table: table(), kind: kind.into(), name: name.into() };
        assert_eq!(said("add table inet filter"), named("table", "filter"));
        assert_eq!(
            said("add chain inet filter fw { type filter hook input priority 0; policy drop; }"),
            named("chain", "fw")
        );
        assert_eq!(said("add ct helper inet filter ftp { type \"ftp\" protocol tcp; }"), named("ct helper", "ftp"));
        assert_eq!(said("flush chain inet filter fw"), Said::Other { table: table(), verb: "flush".into() });
        let ip = Table { family: "ip".into(), name: "nat".into() };
        assert_eq!(said("delete table nat"), Said::Other { table: ip, verb: "delete".into() });
    }

    #[test]
    fn what_cannot_be_undone_by_anybody_is_refused() {
        for (text, word) in [
            ("", "words"),
            ("add table inet a; add table inet b", "one command"),
            ("add table inet a\nadd table inet b", "one command"),
            ("flush ruleset", "every table"),
            ("ad table inet a", "add"),
            ("add tabel inet a", "cannot be read"),
            ("add rule", "no table"),
            ("add rule inet filter", "no chain"),
            ("add rule inet filter fw", "no rule"),
            ("add element inet filter s 10.0.0.1", "no elements"),
            ("-a add table inet a", "no options"),
        ] {
            let error = Said::parse(text).unwrap_err();
            let all = format!("{error} {:?}", error.parts().hints);
            assert!(all.contains(word), "{text}: {all}");
        }
        assert!("inet lab".parse::<Table>().is_ok());
        for bad in ["lab", "inett lab", "inet l{b", "inet a b", ""] {
            assert!(bad.parse::<Table>().is_err(), "{bad}");
        }
    }

    #[test]
    fn listings_are_read() {
        let listing = "table inet filter { # handle 1\n\tset s { # handle 2\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\telements = { 10.0.0.1 expires 3s,\n\t\t\t     10.0.0.2 }\n\t}\n\n\tchain fw { # handle 3\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 80 counter drop # handle 7\n\t\ttcp dport vmap { 80 : drop } # handle 9\n\t}\n}\n";
        let rules = rules(listing);
        assert_eq!(rules[0], Listed { text: "tcp dport 80 counter drop".into(), handle: 7 });
        assert_eq!(rules[1], Listed { text: "tcp dport vmap { 80 : drop }".into(), handle: 9 });
        assert_eq!(named(listing, "table", "filter"), Some(1));
        assert_eq!(named(listing, "chain", "fw"), Some(3));
        assert_eq!(named(listing, "set", "fw"), None);
        assert!(!is_empty(listing) && is_empty("table inet filter { # handle 1\n}\n"));
        let same = comparable(listing);
        assert!(!same.contains("handle") && !same.contains("10.0.0") && same.contains("tcp dport 80"), "{same}");
        assert_eq!(
            without_expiry("elements = { 10.0.0.1 timeout 5m expires 4m59s, 10.0.0.2 }"),
            "elements = { 10.0.0.1 timeout 5m, 10.0.0.2 }"
        );
        assert_eq!(element_key("10.0.0.1 timeout 5m"), "10.0.0.1");
        assert_eq!(element_key("10.0.0.1 . 80 : accept"), "10.0.0.1 . 80");
    }
}
