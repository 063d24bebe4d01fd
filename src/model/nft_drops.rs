//! `nft -j list ruleset`: which tables drop packets that `iptables -S` never shows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::garbage;
use crate::Result;

/// A base chain of a table that iptables does not know, which can end packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropping {
    /// `inet`, `ip`, `bridge`, …
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// `input`, `forward`, …; absent for a chain that others jump to.
    pub hook: Option<String>,
    /// Whether its policy is drop.
    pub policy: bool,
    /// How many of its rules drop or reject.
    pub rules: usize,
}

/// The tables that iptables-nft itself keeps.
pub const COMPAT: &[&str] = &["filter", "nat", "mangle", "raw", "security", "broute"];

/// Reads it.
///
/// # Errors
///
/// `ToolOutput` when it is not what `nft -j` prints.
pub fn parse(stdout: &str) -> Result<Vec<Dropping>> {
    let what = "nft -j list ruleset";
    let document: Value =
        serde_json::from_str(stdout).map_err(|error| garbage(what, &format!("is no JSON: {error}"), stdout))?;
    let Some(objects) = document["nftables"].as_array() else {
        return Err(garbage(what, "has no list `nftables`", stdout));
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut chains: BTreeMap<(String, String, String), Dropping> = BTreeMap::new();
    for object in objects {
        let (kind, body) =
            if object["chain"].is_object() { ("chain", &object["chain"]) } else { ("rule", &object["rule"]) };
        if !body.is_object() {
            continue;
        }
        let (family, table) = (text(body, "family"), text(body, "table"));
        if matches!(family.as_str(), "ip" | "ip6" | "arp" | "bridge") && COMPAT.contains(&table.as_str()) {
            continue;
        }
        let chain = text(body, if kind == "chain" { "name" } else { "chain" });
        let entry = chains.entry((family.clone(), table.clone(), chain.clone())).or_insert_with(|| Dropping {
            family,
            table,
            chain,
            hook: None,
            policy: false,
            rules: 0,
        });
        if kind == "chain" {
            entry.hook = body["hook"].as_str().map(str::to_owned);
            entry.policy = body["policy"] == "drop";
        } else if body["expr"].as_array().is_some_and(|all| all.iter().any(ends_packets)) {
            entry.rules += 1;
        }
    }
    Ok(chains.into_values().filter(|chain| chain.policy || chain.rules > 0).collect())
}

fn ends_packets(expression: &Value) -> bool {
    expression.as_object().is_some_and(|map| map.contains_key("drop") || map.contains_key("reject"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_iptables_does_not_show() {
        let stdout = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"table": {"family": "ip", "name": "filter", "handle": 1}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "inet", "table": "fw", "name": "fwd", "handle": 1, "type": "filter", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "inet", "table": "fw", "name": "open", "hook": "input", "policy": "accept"}},
            {"rule": {"family": "inet", "table": "fw", "chain": "side", "expr": [{"counter": null}, {"drop": null}]}},
            {"rule": {"family": "inet", "table": "fw", "chain": "open", "expr": [{"accept": null}]}}]}"#;
        let found = parse(stdout).expect("readable");
        let short: Vec<_> = found.iter().map(|d| (d.chain.as_str(), d.hook.as_deref(), d.policy, d.rules)).collect();
        assert_eq!(short, [("fwd", Some("forward"), true, 0), ("side", None, false, 1)]);
        for text in ["", "{}", "[1", r#"{"nftables": 1}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(r#"{"nftables": [1, {"rule": 2}, {"chain": {}}]}"#).expect("readable").is_empty());
    }
}
