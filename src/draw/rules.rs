//! What rules do, in a few words: `tcp/443 → 10.1.0.1:8443`, `masquerade out eth0`, `FORWARD drops tcp/22 in eth0`.
//!
//! Rules of iptables and native ones of nft become the same [`Parts`] and so the same words.

use std::fmt::Write as _;

use serde_json::Value;

use crate::model::iptables::{Chain, Rule, Ruleset};

/// More than this of what a rule matches is cut.
const REST: usize = 48;

/// What a set of rules translates and what it stops, a sentence each; none twice: a published port is a rule for what comes from outside and
/// one for what the namespace itself sends.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) nat: Vec<String>,
    /// What stops all that no rule lets pass; to be said before any rule.
    policies: Vec<String>,
    rules: Vec<String>,
}

impl Said {
    fn nat(&mut self, sentence: String) {
        if !self.nat.contains(&sentence) {
            self.nat.push(sentence);
        }
    }

    fn filter(&mut self, sentence: String) {
        if !self.rules.contains(&sentence) {
            self.rules.push(sentence);
        }
    }

    /// What stops packets: policies, then rules.
    pub(super) fn filter_lines(&self) -> Vec<String> {
        self.policies.iter().chain(&self.rules).cloned().collect()
    }

    /// What `iptables-save` or `ip6tables-save` printed.
    pub(super) fn iptables(&mut self, ruleset: &Ruleset, v6: bool) {
        let family = if v6 { "ip6 " } else { "" };
        for table in &ruleset.tables {
            let place = if table.name == "filter" { String::new() } else { format!("{} ", table.name) };
            for chain in &table.chains {
                let name = format!("{family}{place}{}", chain.name);
                if let Some(policy) = chain.policy.as_deref().filter(|policy| *policy != "ACCEPT") {
                    self.policies.push(format!("{name} policy {policy}"));
                }
                for rule in &chain.rules {
                    self.rule(&Parts::of(rule), &name, family, table.name == "nat", chain);
                }
            }
        }
    }

    fn rule(&mut self, parts: &Parts, name: &str, family: &str, in_nat: bool, chain: &Chain) {
        match parts.target.as_str() {
            "DROP" => self.filter(format!("{name} drops {}", parts.matched())),
            "REJECT" => self.filter(format!("{name} rejects {}", parts.matched())),
            // In a chain that users made it ends that chain only.
            "ACCEPT" | "RETURN" if in_nat && chain.policy.is_some() => {
                self.nat(format!("{family}nothing translated of {}", parts.matched()));
            }
            _ => self.nat.extend(
                parts.translation().map(|done| format!("{family}{done}")).filter(|done| !self.nat.contains(done)),
            ),
        }
    }

    /// `nft -j list ruleset`; `skip` says which tables were read otherwise, by family and name.
    pub(super) fn nft(&mut self, document: &Value, skip: impl Fn(&str, &str) -> bool) {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let is_read = |body: &Value| body.is_object() && !skip(&text(body, "family"), &text(body, "table"));
        for object in document["nftables"].as_array().into_iter().flatten() {
            let chain = &object["chain"];
            if is_read(chain) && chain["policy"] == "drop" {
                let (family, table, name) = (text(chain, "family"), text(chain, "table"), text(chain, "name"));
                self.policies.push(format!("{family} {table} {name} policy drop"));
            }
            let rule = &object["rule"];
            if !is_read(rule) {
                continue;
            }
            let parts = Parts::of_nft(&rule["expr"]);
            let place = format!("{} {} {}", text(rule, "family"), text(rule, "table"), text(rule, "chain"));
            match parts.target.as_str() {
                "DROP" => self.filter(format!("{place} drops {}", parts.matched())),
                "REJECT" => self.filter(format!("{place} rejects {}", parts.matched())),
                _ => {
                    let family = if rule["family"] == "ip6" { "ip6 " } else { "" };
                    if let Some(done) = parts.translation() {
                        self.nat(format!("{family}{done}"));
                    }
                }
            }
        }
    }
}

/// A rule, taken apart.
#[derive(Debug, Default)]
struct Parts {
    source: String,
    destination: String,
    into: String,
    out: String,
    protocol: String,
    ports: String,
    source_ports: String,
    /// What else it looks at, as the tool says it.
    rest: Vec<String>,
    /// `DROP`, `DNAT`, …; nft's words in capitals.
    target: String,
    /// What addresses or ports are turned into.
    to: String,
}

impl Parts {
    fn of(rule: &Rule) -> Self {
        let mut parts = Self::default();
        let mut not = false;
        let mut at = 0;
        while let Some(word) = rule.words.get(at) {
            at += 1;
            if word == "!" {
                not = true;
                continue;
            }
            let value = rule.words.get(at).cloned().unwrap_or_default();
            let signed = if not { format!("not {value}") } else { value.clone() };
            not = false;
            let (place, text) = match word.as_str() {
                "-s" | "--source" => (&mut parts.source, host(&signed)),
                "-d" | "--destination" => (&mut parts.destination, host(&signed)),
                "-i" | "--in-interface" => (&mut parts.into, signed),
                "-o" | "--out-interface" => (&mut parts.out, signed),
                "-p" | "--protocol" => (&mut parts.protocol, signed),
                "--dport" | "--dports" | "--destination-port" | "--destination-ports" => (&mut parts.ports, signed),
                "--sport" | "--sports" | "--source-port" | "--source-ports" => (&mut parts.source_ports, signed),
                "-j" | "--jump" | "-g" | "--goto" => (&mut parts.target, value),
                "--to-destination" | "--to-source" | "--to-ports" | "--to" => (&mut parts.to, value),
                // A module's name says nothing beside its options; that an address is the machine's own goes without saying.
                "-m" | "--match" | "--reject-with" => {
                    at += 1;
                    continue;
                }
                "--dst-type" if signed == "LOCAL" => {
                    at += 1;
                    continue;
                }
                option if crate::model::words::takes_text(option) => {
                    at += 1;
                    continue;
                }
                option => {
                    let values: Vec<&str> = rule.words[at..]
                        .iter()
                        .map(String::as_str)
                        .take_while(|word| !word.starts_with('-') && *word != "!")
                        .collect();
                    at += values.len();
                    // What follows the target is how it does it.
                    if !parts.target.is_empty() {
                        continue;
                    }
                    let said = match option {
                        "--ctstate" | "--state" => values.join(" "),
                        _ => [&[option.trim_start_matches('-')], values.as_slice()].concat().join(" "),
                    };
                    parts.rest.push(if signed.starts_with("not ") { format!("not {said}") } else { said });
                    continue;
                }
            };
            *place = text;
            at += 1;
        }
        parts
    }

    /// The expressions of a native rule.
    fn of_nft(expressions: &Value) -> Self {
        let mut parts = Self::default();
        for expression in expressions.as_array().into_iter().flatten() {
            let Some((name, body)) = expression.as_object().and_then(|map| map.iter().next()) else { continue };
            match name.as_str() {
                "match" => parts.nft_match(body),
                "drop" | "reject" | "masquerade" | "snat" | "dnat" | "redirect" => {
                    parts.target = name.to_uppercase();
                    let addr = nft_value(&body["addr"]);
                    let port = nft_value(&body["port"]);
                    parts.to = match (addr.is_empty(), port.is_empty()) {
                        (false, false) if addr.contains(':') => format!("[{addr}]:{port}"),
                        (false, false) => format!("{addr}:{port}"),
                        (false, true) => addr,
                        (true, _) => port,
                    };
                }
                // A map from what a packet is to what becomes of it.
                "vmap" if holds(body, "drop") => {
                    parts.target = "DROP".into();
                    parts.rest.push(format!("some of {}", nft_left(&body["key"])));
                }
                "counter" | "log" | "comment" | "accept" | "return" | "jump" | "goto" | "mangle" | "vmap" => {}
                other => parts.rest.push(other.to_owned()),
            }
        }
        parts
    }

    fn nft_match(&mut self, body: &Value) {
        let not = if body["op"] == "!=" { "not " } else { "" };
        let value = format!("{not}{}", nft_value(&body["right"]));
        let payload = &body["left"]["payload"];
        let field = payload["field"].as_str().unwrap_or_default();
        let place = match (body["left"]["meta"]["key"].as_str(), payload["protocol"].as_str(), field) {
            (Some("iifname" | "iif"), ..) => &mut self.into,
            (Some("oifname" | "oif"), ..) => &mut self.out,
            (Some("l4proto"), ..) | (_, Some("ip"), "protocol") | (_, Some("ip6"), "nexthdr") => &mut self.protocol,
            (_, Some("ip" | "ip6"), "saddr") => &mut self.source,
            (_, Some("ip" | "ip6"), "daddr") => &mut self.destination,
            (_, Some(protocol), "dport" | "sport") => {
                protocol.clone_into(&mut self.protocol);
                if field == "dport" { &mut self.ports } else { &mut self.source_ports }
            }
            _ => {
                self.rest.push(format!("{} {value}", nft_left(&body["left"])).trim().to_owned());
                return;
            }
        };
        *place = value;
    }

    /// What it does to the addresses of a packet; `None` when nothing.
    fn translation(&self) -> Option<String> {
        let what = match self.target.as_str() {
            "MASQUERADE" => {
                return Some(self.ended(
                    if self.service().is_empty() {
                        "masquerade".into()
                    } else {
                        format!("masquerade {}", self.service())
                    },
                    &[("from", &self.source), ("to", &self.destination)],
                ));
            }
            "SNAT" => {
                let from = if self.source.is_empty() { "any" } else { &self.source };
                return Some(self.ended(
                    format!("source {from} → {}", self.to),
                    &[("of", &self.service()), ("to", &self.destination)],
                ));
            }
            "NETMAP" => {
                let net = if self.source.is_empty() { &self.destination } else { &self.source };
                return Some(self.ended(format!("{net} → {} netmap", self.to), &[]));
            }
            "DNAT" => self.to.clone(),
            "REDIRECT" if self.to.is_empty() => "here".into(),
            "REDIRECT" => format!("port {} here", self.to),
            _ => return None,
        };
        let asked = match (self.destination.as_str(), self.ports.as_str(), self.protocol.as_str()) {
            ("", "", "") => "all".into(),
            (to, "", "") => to.to_owned(),
            ("", "", protocol) => protocol.to_owned(),
            ("", ports, protocol) => format!("{protocol}/{ports}"),
            (to, "", protocol) => format!("{protocol}/{to}"),
            (to, ports, protocol) if to.contains(':') => format!("{protocol}/[{to}]:{ports}"),
            (to, ports, protocol) => format!("{protocol}/{to}:{ports}"),
        };
        Some(self.ended(format!("{asked} → {what}"), &[("from", &self.source)]))
    }

    /// `tcp/80`, `icmp`, or nothing.
    fn service(&self) -> String {
        match (self.protocol.as_str(), self.ports.as_str()) {
            (protocol, "") => protocol.to_owned(),
            (protocol, ports) => format!("{protocol}/{ports}"),
        }
    }

    /// What a rule that stops packets looks at.
    fn matched(&self) -> String {
        let service = self.service();
        let what = if service.is_empty() { "all".to_owned() } else { service };
        self.ended(what, &[("from", &self.source), ("to", &self.destination)])
    }

    fn ended(&self, mut said: String, places: &[(&str, &str)]) -> String {
        let ports = if self.source_ports.is_empty() { String::new() } else { format!("port {}", self.source_ports) };
        let links = [("from", ports.as_str()), ("in", &self.into), ("out", &self.out)];
        for (word, value) in places.iter().copied().chain(links).filter(|(_, value)| !value.is_empty()) {
            let _ = write!(said, " {word} {value}");
        }
        if !self.rest.is_empty() {
            let rest = self.rest.join(", ");
            let cut: String = rest.chars().take(REST).collect();
            let _ = write!(said, " ({cut}{})", if cut.len() < rest.len() { "…" } else { "" });
        }
        said
    }
}

/// An address without the length that says no more than the address.
fn host(text: &str) -> String {
    let bare = text.strip_suffix("/32").or_else(|| text.strip_suffix("/128").filter(|ip| ip.contains(':')));
    bare.unwrap_or(text).to_owned()
}

/// What a match of nft looks at: `ct state`, `ip dscp`, `fib`.
fn nft_left(left: &Value) -> String {
    let Some((name, body)) = left.as_object().and_then(|map| map.iter().next()) else { return String::new() };
    match (body["key"].as_str(), body["protocol"].as_str(), body["field"].as_str()) {
        (Some(key), ..) if name == "meta" => key.to_owned(),
        (Some(key), ..) => format!("{name} {key}"),
        (None, Some(protocol), Some(field)) => format!("{protocol} {field}"),
        _ => name.clone(),
    }
}

/// The right side of a match: `eth0`, `10.0.0.0/8`, `80-90`, `{22, 80}`.
fn nft_value(value: &Value) -> String {
    let joined = |all: &[Value], by: &str| all.iter().map(nft_value).collect::<Vec<_>>().join(by);
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => joined(all, ","),
        Value::Object(map) => match map.iter().next() {
            Some((name, body)) if name == "prefix" => format!("{}/{}", nft_value(&body["addr"]), body["len"]),
            Some((name, Value::Array(ends))) if name == "range" => joined(ends, "-"),
            Some((name, Value::Array(all))) if name == "set" => format!("{{{}}}", joined(all, ", ")),
            Some((name, body)) if name == "elem" => nft_value(&body["val"]),
            Some((name, _)) => name.clone(),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

fn holds(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(map) => map.contains_key(key) || map.values().any(|value| holds(value, key)),
        Value::Array(all) => all.iter().any(|value| holds(value, key)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::iptables::parse_save;

    fn iptables(save: &str) -> Said {
        let mut said = Said::default();
        said.iptables(&parse_save(save).unwrap(), false);
        said
    }

    #[test]
    fn what_iptables_translates_in_words() {
        let said = iptables(
            "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
             -A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 443 -m comment --comment netwright -j DNAT --to-destination 10.1.0.1:8443\n\
             -A OUTPUT -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 443 -m comment --comment netwright -j DNAT --to-destination 10.1.0.1:8443\n\
             -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
             -A POSTROUTING -s 10.0.0.0/24 -o eth0 -m comment --comment \"-j DROP\" -j MASQUERADE\n\
             -A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n\
             -A POSTROUTING -s 10.2.0.0/16 ! -o br0 -j SNAT --to-source 203.0.113.5\n\
             -A POSTROUTING -s 10.0.0.0/24 -d 10.9.0.0/16 -j ACCEPT\n\
             -A PREROUTING -s 192.168.1.0/24 -j NETMAP --to 10.1.1.0/24\n\
             -A PREROUTING -i eth0 -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353\n\
             -A DOCKER -i docker0 -j RETURN\n\
             -A DOCKER -d 203.0.113.9/32 -p tcp -m tcp --dport 8080 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.0.0.7:80\n\
             COMMIT\n",
        );
        let expected = [
            "tcp/443 → 10.1.0.1:8443",
            "nothing translated of all from 10.0.0.0/24 to 10.9.0.0/16",
            "10.1.1.0/24",
            "udp/53 → port 5353 here in eth0",
            "masquerade from 10.0.0.0/24 out eth0",
            "masquerade tcp/80 from 172.17.0.2 to 172.17.0.2",
            "source 10.2.0.0/16 → 203.0.113.5 out not br0",
            "tcp/203.0.113.9:8080 → 10.0.0.7:80 (mode nth, every 2, packet 0)",
        ];
        for sentence in expected {
            assert!(said.nat.iter().any(|one| one.contains(sentence)), "{sentence}: {:#?}", said.nat);
        }
        assert_eq!(said.nat.len(), expected.len(), "{:#?}", said.nat);
        assert_eq!(said.filter_lines(), [""; 0]);
    }

    #[test]
    fn what_iptables_stops_in_words() {
        let said = iptables(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:mine - [0:0]\n\
             -A INPUT -p tcp -m tcp --dport 22 ! -i lo -j DROP\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n\
             -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A mine -s 10.0.0.1/32 -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n\
             *raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --invert -j DROP\nCOMMIT\n",
        );
        assert_eq!(
            said.filter_lines(),
            [
                "FORWARD policy DROP",
                "INPUT drops tcp/22 in not lo",
                "INPUT drops all (INVALID)",
                "mine rejects all from 10.0.0.1",
                "raw PREROUTING drops all (invert)",
            ]
        );
    }

    #[test]
    fn what_nft_does_in_the_same_words() {
        let document = serde_json::json!({ "nftables": [
            { "table": { "family": "inet", "name": "fw" } },
            { "chain": { "family": "inet", "table": "fw", "name": "forward", "policy": "drop" } },
            { "chain": { "family": "ip", "table": "filter", "name": "FORWARD", "policy": "drop" } },
            { "rule": { "family": "inet", "table": "fw", "chain": "input", "expr": [
                { "match": { "op": "==", "left": { "meta": { "key": "iifname" } }, "right": "eth0" } },
                { "match": { "op": "in", "left": { "ct": { "key": "state" } }, "right": ["invalid", "new"] } },
                { "match": { "op": "==", "left": { "payload": { "protocol": "tcp", "field": "dport" } }, "right": { "set": [22, { "range": [80, 90] }] } } },
                { "counter": null }, { "drop": null }] } },
            { "rule": { "family": "ip", "table": "my", "chain": "post", "expr": [
                { "match": { "op": "==", "left": { "payload": { "protocol": "ip", "field": "saddr" } }, "right": { "prefix": { "addr": "10.0.0.0", "len": 24 } } } },
                { "match": { "op": "!=", "left": { "meta": { "key": "oifname" } }, "right": "br0" } }, { "masquerade": null }] } },
            { "rule": { "family": "ip", "table": "my", "chain": "pre", "expr": [
                { "match": { "op": "==", "left": { "payload": { "protocol": "tcp", "field": "dport" } }, "right": 443 } },
                { "dnat": { "addr": "10.1.0.1", "port": 8443 } }] } },
            { "rule": { "family": "ip", "table": "my", "chain": "pre", "expr": [
                { "vmap": { "key": { "meta": { "key": "iifname" } }, "data": { "set": [["eth1", { "drop": null }]] } } }] } },
            7, { "rule": 3 }, { "rule": { "expr": [null, { "match": 3 }, { "dnat": [] }] } }
        ] });
        let mut said = Said::default();
        said.nft(&document, |family, table| (family, table) == ("ip", "filter"));
        assert_eq!(
            said.filter_lines(),
            [
                "inet fw forward policy drop",
                "inet fw input drops tcp/{22, 80-90} in eth0 (ct state invalid,new)",
                "ip my pre drops all (some of iifname)",
            ]
        );
        assert_eq!(said.nat[..2], ["masquerade from 10.0.0.0/24 out not br0", "tcp/443 → 10.1.0.1:8443"]);
        said.nft(&Value::Null, |_, _| false);
    }
}
