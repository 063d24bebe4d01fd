//! `ip -j rule show`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, keeps_raw, present, word};
use crate::Result;

/// A routing rule, as `ip -j rule show` prints it.
///
/// ```json
/// {"priority":1001,"not":null,"src":"10.1.0.0","srclen":16,"dst":"10.2.0.0","dstlen":16,"fwmark":"0x1","fwmask":"0xff",
///  "iif":"v1","table":"main"}
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// The lowest is asked first.
    pub priority: u32,
    /// The selectors are negated.
    #[serde(deserialize_with = "present")]
    pub not: bool,
    /// `all` or an address.
    pub src: Option<String>,
    /// Length of the prefix; absent for a host.
    pub srclen: Option<u8>,
    /// An address; absent means all.
    pub dst: Option<String>,
    /// Length of the prefix; absent for a host.
    pub dstlen: Option<u8>,
    /// The link that the packet came by.
    pub iif: Option<String>,
    /// The link that its socket is bound to.
    pub oif: Option<String>,
    /// `0x1`.
    #[serde(deserialize_with = "word")]
    pub fwmark: Option<String>,
    /// `0xff`.
    #[serde(deserialize_with = "word")]
    pub fwmask: Option<String>,
    /// `tcp`, `udp`, …
    #[serde(deserialize_with = "word")]
    pub ipproto: Option<String>,
    /// The table to look in, by name or number.
    #[serde(deserialize_with = "word")]
    pub table: Option<String>,
    /// `blackhole`, `unreachable`, `prohibit`, `goto`, …; absent means the table.
    pub action: Option<String>,
    /// Who made it; only with `-d`.
    #[serde(deserialize_with = "word")]
    pub protocol: Option<String>,
    #[serde(skip)]
    raw: Map<String, Value>,
}
keeps_raw!(Rule);

impl Rule {
    /// The source network; `None` for all.
    #[must_use]
    pub fn source(&self) -> Option<IpNet> {
        net(self.src.as_deref()?, self.srclen)
    }

    /// The destination network; `None` for all.
    #[must_use]
    pub fn destination(&self) -> Option<IpNet> {
        net(self.dst.as_deref()?, self.dstlen)
    }

    /// Whether `ip rule add` with these options (`from 10.0.0.0/24`, `table 100`, …) makes this rule: what they say is so, and what they do
    /// not say is not there either. The priority is compared where it is given: without one the kernel chooses it.
    #[must_use]
    pub fn is(&self, options: &[(String, String)]) -> bool {
        let given = |names: &[&str]| {
            options.iter().find(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value.as_str())
        };
        let known = |name: &str| OPTIONS.iter().any(|(words, _)| words.contains(&name));
        let looks_up =
            self.action.is_none() && !["goto", "nop", "l3mdev"].iter().any(|key| self.raw.contains_key(*key));
        let table = given(&["table", "lookup"]).or(if looks_up { Some("main") } else { None });
        self.source() == given(&["from"]).and_then(network)
            && self.destination() == given(&["to"]).and_then(network)
            && given(&["priority", "pref", "preference", "order"])
                .is_none_or(|priority| number(priority, 10) == Some(self.priority.into()))
            && (self.raw.contains_key("l3mdev") || self.table.as_deref().map(table_name) == table.map(table_name))
            && OPTIONS.iter().all(|(words, shows)| shows(self, given(words)))
            && options
                .iter()
                .filter(|(name, _)| !known(name) && !NAMED.contains(&name.as_str()))
                .all(|(name, value)| self.shown(name).as_ref() == Some(value))
    }

    /// The value of a key as text.
    fn shown(&self, key: &str) -> Option<String> {
        self.raw.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The rule in iproute2's words, without its number: `from 10.0.0.0/24 fwmark 0x1 lookup 100`. `None` for those that every namespace has:
    /// for the tables `local`, `main` and `default`, and that of VRFs.
    #[must_use]
    pub fn said(&self) -> Option<String> {
        let all = self.src.as_deref().is_none_or(|src| src == "all");
        let table = self.table.as_deref();
        let selects =
            !all || [&self.dst, &self.iif, &self.oif, &self.fwmark, &self.ipproto].iter().any(|one| one.is_some());
        let known = ["priority", "src", "srclen", "table", "protocol", "suppress_prefixlen"];
        let more = self.raw.keys().any(|key| !known.contains(&key.as_str()));
        let ordinary =
            matches!((self.priority, table), (0, Some("local")) | (32766, Some("main")) | (32767, Some("default")));
        if ordinary && !selects && !more || self.raw.contains_key("l3mdev") {
            return None;
        }
        let mut words: Vec<String> = Vec::new();
        words.extend(self.not.then(|| "not".to_owned()));
        let side = |word: &str, ip: &Option<String>, len: Option<u8>| {
            let ip = ip.as_deref().filter(|ip| *ip != "all")?;
            Some(len.map_or_else(|| format!("{word} {ip}"), |len| format!("{word} {ip}/{len}")))
        };
        words.push(side("from", &self.src, self.srclen).unwrap_or_else(|| "from all".into()));
        words.extend(side("to", &self.dst, self.dstlen));
        for (word, value) in [("iif", &self.iif), ("oif", &self.oif), ("ipproto", &self.ipproto)] {
            words.extend(value.as_ref().map(|value| format!("{word} {value}")));
        }
        let mask = self.fwmask.as_ref().map_or_else(String::new, |mask| format!("/{mask}"));
        words.extend(self.fwmark.as_ref().map(|mark| format!("fwmark {mark}{mask}")));
        words.extend(self.shown("tos").map(|tos| format!("tos {tos}")));
        for (word, one, start, end) in [
            ("sport", "sport", "sport_start", "sport_end"),
            ("dport", "dport", "dport_start", "dport_end"),
            ("uidrange", "uidrange", "uid_start", "uid_end"),
        ] {
            let range = || Some(format!("{}-{}", self.shown(start)?, self.shown(end)?));
            words.extend(self.shown(one).or_else(range).map(|value| format!("{word} {value}")));
        }
        words.push(match (&self.action, table) {
            (Some(action), _) => action.clone(),
            (None, table) => format!("lookup {}", table.unwrap_or("main")),
        });
        Some(words.join(" "))
    }

    /// The record with iproute2's own keys.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }
}

/// Options that [`Rule::is`] compares by themselves.
const NAMED: &[&str] = &["from", "to", "priority", "pref", "preference", "order", "table", "lookup"];

/// Whether a rule has the value of an option, or, without one, has none of it.
type Shows = fn(&Rule, Option<&str>) -> bool;

/// The other options of `ip rule add` by their words (`iprule_modify` of iproute2), and how a rule shows them.
const OPTIONS: &[(&[&str], Shows)] = &[
    (&["iif", "dev"], |rule, want| rule.iif.as_deref() == want),
    (&["oif"], |rule, want| rule.oif.as_deref() == want),
    (&["fwmark"], |rule, want| {
        let (mark, mask) = want.map_or((None, None), |want| match want.split_once('/') {
            Some((mark, mask)) => (Some(mark), Some(mask)),
            None => (Some(want), None),
        });
        // A mark without a mask is compared whole.
        let all = Some(u64::from(u32::MAX));
        let whole = |mask: Option<&str>| mask.map_or(all, |mask| number(mask, 10));
        same(rule.fwmark.as_deref(), mark, |mark| number(mark, 10))
            && (mark.is_none() || whole(rule.fwmask.as_deref()) == whole(mask))
    }),
    // iproute2 reads it as hexadecimal, with and without `0x` (`rtnl_dsfield_a2n`).
    (&["tos", "dsfield"], |rule, want| same(rule.shown("tos").as_deref(), want, |tos| number(tos, 16))),
    (&["ipproto"], |rule, want| same(rule.ipproto.as_deref(), want, protocol)),
    (&["sport"], |rule, want| rule.ports("sport") == want.map(range)),
    (&["dport"], |rule, want| rule.ports("dport") == want.map(range)),
    (&["uidrange"], |rule, want| {
        let shown = rule.shown("uid_start").zip(rule.shown("uid_end")).map(|(from, to)| format!("{from}-{to}"));
        shown.as_deref() == want
    }),
    (&["not"], |rule, want| rule.not == want.is_some()),
    (&["l3mdev"], |rule, want| rule.raw.contains_key("l3mdev") == want.is_some()),
    (&["tun_id"], |rule, want| same(rule.shown("tun_id").as_deref(), want, |id| number(id, 10))),
    (&["suppress_prefixlength"], |rule, want| rule.shown("suppress_prefixlen").as_deref() == want),
    (&["suppress_ifgroup"], |rule, want| rule.shown("suppress_ifgroup").as_deref() == want),
    (&["type"], |rule, want| {
        let shown = rule.action.as_deref().or(rule.raw.contains_key("nop").then_some("nop"));
        shown == want
    }),
    (&["goto"], |rule, want| rule.shown("goto").as_deref() == want),
];

impl Rule {
    /// The ports of `sport` or `dport`, one or a range.
    fn ports(&self, key: &str) -> Option<(String, String)> {
        let one = self.shown(key).map(|port| (port.clone(), port));
        one.or_else(|| self.shown(&format!("{key}_start")).zip(self.shown(&format!("{key}_end"))))
    }
}

/// Whether what is shown and what is wanted mean the same, or are both absent. What `meaning` cannot read is compared as text.
fn same<T: PartialEq>(shown: Option<&str>, want: Option<&str>, meaning: impl Fn(&str) -> Option<T>) -> bool {
    match (shown, want) {
        (Some(shown), Some(want)) => {
            shown == want || matches!((meaning(shown), meaning(want)), (Some(a), Some(b)) if a == b)
        }
        (shown, want) => shown == want,
    }
}

/// `80` or `80-90`.
fn range(text: &str) -> (String, String) {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    (from.to_owned(), to.to_owned())
}

/// A number, hexadecimal after `0x`, otherwise of the given radix.
fn number(text: &str, radix: u32) -> Option<u64> {
    text.strip_prefix("0x")
        .map_or_else(|| u64::from_str_radix(text, radix).ok(), |hex| u64::from_str_radix(hex, 16).ok())
}

/// The tables that have names everywhere (`RT_TABLE_DEFAULT`, `…_MAIN`, `…_LOCAL`).
fn table_name(table: &str) -> &str {
    match table {
        "253" => "default",
        "254" => "main",
        "255" => "local",
        other => other,
    }
}

/// The number of a protocol that iproute2 shows by its name (`inet_proto_a2n`).
fn protocol(name: &str) -> Option<u64> {
    Some(match name {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" => 58,
        "sctp" => 132,
        number => number.parse().ok()?,
    })
}

/// A network or an address; `None` for all (`all`, `default`, `0.0.0.0/0`), as a rule shows it.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    Some(net).filter(|net: &IpNet| net.prefix_len() > 0).map(|net| net.trunc())
}

fn net(ip: &str, len: Option<u8>) -> Option<IpNet> {
    let ip: IpAddr = ip.parse().ok()?;
    match len {
        Some(len) => IpNet::new(ip, len).ok(),
        None => Some(IpNet::from(ip)),
    }
}

/// The rules that `ip -j rule show` printed; `what` names them in errors.
///
/// # Errors
///
/// [`Kind::ToolOutput`](crate::Kind::ToolOutput), see [`json::views`].
pub fn parse(stdout: &str, what: &str) -> Result<Vec<Rule>> {
    json::views(stdout, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ip -j rule show` of iproute2 6.1 printed after each `ip rule add`.
    const TABLE: &[(&str, &str)] = &[
        ("table 100", r#"{"priority":900,"src":"all","table":"100"}"#),
        ("from 10.0.0.0/24 table 100", r#"{"priority":5,"src":"10.0.0.0","srclen":24,"table":"100"}"#),
        ("from 10.0.0.0/24 table 101", r#"{"priority":5,"src":"10.0.0.0","srclen":24,"table":"101"}"#),
        ("from 10.0.0.1 table 100", r#"{"priority":5,"src":"10.0.0.1","table":"100"}"#),
        (
            "to 10.1.0.1 ipproto tcp dport 80 table 102",
            r#"{"priority":6,"src":"all","dst":"10.1.0.1","ipproto":"tcp","dport":80,"table":"102"}"#,
        ),
        ("fwmark 5 table 101", r#"{"priority":7,"src":"all","fwmark":"0x5","table":"101"}"#),
        ("fwmark 0x1/0xff table 101", r#"{"priority":8,"src":"all","fwmark":"0x1","fwmask":"0xff","table":"101"}"#),
        ("fwmark 0x1 table 101", r#"{"priority":8,"src":"all","fwmark":"0x1","table":"101"}"#),
        ("tos 10 table 5", r#"{"priority":9,"src":"all","tos":"0x10","table":"5"}"#),
        (
            "ipproto 17 sport 10-20 dport 80-90 table 254",
            r#"{"priority":9,"src":"all","ipproto":"udp","sport_start":10,"sport_end":20,"dport_start":80,"dport_end":90,"table":"main"}"#,
        ),
        ("iif lo table 7", r#"{"priority":10,"src":"all","iif":"lo","table":"7"}"#),
        ("oif x table 7", r#"{"priority":10,"src":"all","oif":"x","oif_detached":null,"table":"7"}"#),
        ("from 10.2.0.0/16", r#"{"priority":11,"src":"10.2.0.0","srclen":16,"table":"main"}"#),
        ("from 10.2.0.0/16 not 1", r#"{"priority":11,"not":null,"src":"10.2.0.0","srclen":16,"table":"main"}"#),
        ("uidrange 1-5 table 3", r#"{"priority":12,"src":"all","uid_start":1,"uid_end":5,"table":"3"}"#),
        ("suppress_prefixlength 0 table 9", r#"{"priority":13,"src":"all","table":"9","suppress_prefixlen":0}"#),
        ("table 9", r#"{"priority":13,"src":"all","table":"9"}"#),
        ("from 10.0.0.0/8 goto 100", r#"{"priority":50,"src":"10.0.0.0","srclen":8,"goto":100,"unresolved":null}"#),
        (
            "from 10.0.0.0/8 not 1 type blackhole",
            r#"{"priority":51,"not":null,"src":"10.0.0.0","srclen":8,"action":"blackhole"}"#,
        ),
        ("type nop", r#"{"priority":52,"src":"all","nop":null}"#),
        ("l3mdev 1", r#"{"priority":32765,"src":"all","l3mdev":null}"#),
        ("suppress_ifgroup 7 table 9", r#"{"priority":14,"src":"all","table":"9","suppress_ifgroup":"7"}"#),
        ("tun_id 5 table 9", r#"{"priority":15,"src":"all","tun_id":5,"table":"9"}"#),
    ];

    fn options(text: &str) -> Vec<(String, String)> {
        let words: Vec<&str> = text.split(' ').collect();
        words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
    }

    /// Each wanted rule is found in what was printed for it, and in nothing else.
    #[test]
    fn a_rule_is_what_was_asked_for_and_nothing_else() {
        for (at, (wanted, _)) in TABLE.iter().enumerate() {
            for (other, (_, json)) in TABLE.iter().enumerate() {
                let rule = &parse(&format!("[{json}]"), "x").unwrap()[0];
                assert_eq!(rule.is(&options(wanted)), at == other, "{wanted} against {json}");
            }
        }
    }

    #[test]
    fn a_priority_counts_when_it_is_said() {
        let rule = &parse(r#"[{"priority":900,"src":"all","table":"100"}]"#, "x").unwrap()[0];
        assert!(rule.is(&options("table 100 priority 900")));
        assert!(!rule.is(&options("table 100 priority 901")));
        assert!(rule.is(&options("from all lookup 100")) && rule.is(&options("from 0.0.0.0/0 table 100")));
    }

    #[test]
    fn rules_in_iproute2s_words_but_for_those_of_every_namespace() {
        let text = r#"[{"priority":0,"src":"all","table":"local"},{"priority":1000,"src":"all","l3mdev":null,"table":"l3mdev-table"},
            {"priority":100,"src":"10.0.0.0","srclen":24,"table":"100"},{"priority":101,"not":null,"src":"all","dst":"10.9.0.1","fwmark":"0x1","fwmask":"0xff","table":"main"},
            {"priority":102,"src":"10.1.0.1","iif":"eth0","ipproto":"tcp","dport":80,"action":"blackhole"},{"priority":32766,"src":"all","table":"main"},
            {"priority":32765,"src":"all","table":"main","protocol":"kernel"},{"priority":32767,"src":"all","table":"default"},{"priority":0,"src":"all","table":"77"},{}]"#;
        let said: Vec<String> = parse(text, "rules").unwrap().iter().filter_map(Rule::said).collect();
        assert_eq!(
            said,
            [
                "from 10.0.0.0/24 lookup 100",
                "not from all to 10.9.0.1 fwmark 0x1/0xff lookup main",
                "from 10.1.0.1 iif eth0 ipproto tcp dport 80 blackhole",
                "from all lookup main",
                "from all lookup 77",
            ]
        );
    }
}
