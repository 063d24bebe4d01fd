//! What one `ip -j -d -batch` told of a namespace: one start of `ip` instead of two, where there is nothing out of the ordinary.

use serde_json::Value;

use crate::model::json;

/// What is asked. Routes and rules are read from text, which says all; as JSON only those of a plain sort are taken.
pub(super) const BATCH: &str =
    "address show\nneigh show\nneigh show proxy\nroute show table all\nrule show\nnexthop show\n";

/// More than this is a machine with so many routes that they are better not held as JSON.
const MOST: usize = 4 << 20;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The links with their addresses.
    pub shown: Vec<Value>,
    pub neighbours: Vec<Value>,
    /// Routes and rules, as `ip -o -d` prints them.
    pub routes: String,
}

impl Told {
    /// `None` where something is of a sort that is only known as text, or the answer is not whole.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MOST {
            return None;
        }
        let mut told = Self::default();
        for record in json::records(text, "`ip -batch`").ok()? {
            let has = |key: &str| record.get(key).is_some();
            if has("addr_info") {
                told.shown.push(record);
            } else if has("type") || has("priority") || has("id") {
                told.routes.push_str(&line(&record)?);
                told.routes.push('\n');
            } else {
                told.neighbours.push(record);
            }
        }
        Some(told)
    }
}

/// The keys of a plain route, each with the word that stands before it in text, in the order of `print_route` (iproute2 6.1.0, `ip/iproute.c`).
const ROUTE: &[(&str, &str)] = &[
    ("type", ""),
    ("dst", ""),
    ("gateway", "via"),
    ("dev", "dev"),
    ("table", "table"),
    ("protocol", "proto"),
    ("scope", "scope"),
    ("prefsrc", "src"),
    ("metric", "metric"),
    ("pref", "pref"),
];

/// A plain route or rule as `ip -o -d` prints it.
fn line(record: &Value) -> Option<String> {
    let record = record.as_object()?;
    let text = |key: &str| match record.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let Some(priority) = record.get("priority").and_then(Value::as_u64) {
        let plain = record.keys().all(|key| matches!(key.as_str(), "priority" | "src" | "table" | "protocol"));
        let from = text("src").filter(|src| plain && src == "all")?;
        return Some(format!("{priority}:\tfrom {from} lookup {}", text("table")?));
    }
    let is_plain = |(key, value): (&String, &Value)| match key.as_str() {
        "flags" => value.as_array().is_some_and(Vec::is_empty),
        key => ROUTE.iter().any(|(known, _)| *known == key),
    };
    if !record.iter().all(is_plain) || !record.contains_key("type") || !record.contains_key("dst") {
        return None;
    }
    let mut words = Vec::new();
    for (key, word) in ROUTE.iter().filter(|(key, _)| record.contains_key(*key)) {
        words.extend((!word.is_empty()).then(|| (*word).to_owned()));
        words.push(text(key)?);
    }
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn said(flags: &str, batch: &str) -> String {
        let made = Command::new("sh").args(["-c", &format!("printf '{batch}' | ip {flags} -force -batch -")]).output();
        String::from_utf8(made.unwrap().stdout).unwrap()
    }

    /// In a namespace of its own: what `ip` prints as text, and what its JSON is taken for.
    fn both(setup: &str) -> Option<(Vec<String>, Option<Told>)> {
        let script = format!("{setup}link set lo up\n");
        let ask = move || {
            let flags = rustix::thread::UnshareFlags::NEWNET;
            // SAFETY: this thread of the test shares no file or memory with the namespace that it leaves.
            unsafe { rustix::thread::unshare_unsafe(flags) }.ok()?;
            said("", &script.replace('\n', "\\n"));
            let text = said("-o -d", "route show table all\\nrule show\\nnexthop show\\n");
            let told = Told::read(&said("-j -d", &BATCH.replace('\n', "\\n")));
            Some((lines(&text), told))
        };
        std::thread::spawn(ask).join().unwrap()
    }

    /// Without who made a rule, which nobody asks.
    fn lines(text: &str) -> Vec<String> {
        let line = |line: &str| {
            let is_rule = line.split_once(':').is_some_and(|(number, _)| number.parse::<u32>().is_ok());
            let line = if is_rule { line.split(" proto ").next().unwrap() } else { line };
            line.trim_end().to_owned()
        };
        text.lines().map(line).collect()
    }

    const LINKS: &str = "link add e0 type veth peer name e1\nlink set e0 up\nlink set e1 up\naddress add 10.5.0.1/24 dev e0\naddress add 2001:db9::1/64 dev e0 nodad\n";

    #[test]
    fn plain_routes_and_rules_are_told_as_text_tells_them() {
        let plain = "route add default via 10.5.0.2\nroute add 10.9.0.0/16 dev e0 scope link\nroute add 10.10.0.0/16 via 10.5.0.3 metric 50 table 100\n\
            route add blackhole 10.11.0.0/16\nroute add unreachable 2001:db9:5::/48\nroute add default via 2001:db9::2 metric 7\nneigh add 10.5.0.9 lladdr 02:00:00:00:00:09 dev e0\n\
            rule add lookup 100 priority 100\n";
        let Some((text, told)) = both(&format!("{LINKS}{plain}")) else {
            println!("skipped: making a network namespace in a thread needs root");
            return;
        };
        let told = told.expect("all of it is plain");
        assert!(text.len() >= 12 && told.shown.len() == 3, "{text:?} {told:?}");
        assert_eq!(lines(&told.routes), text);
        assert!(told.neighbours.iter().any(|one| one["dst"] == "10.5.0.9"), "{told:?}");
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_text() {
        for other in [
            "route add 10.12.0.0/16 nexthop via 10.5.0.3 nexthop via 10.5.0.4",
            "route add 10.13.0.0/16 via 10.5.0.3 mtu 1300",
            "route add 10.14.0.0/16 via inet6 fe80::1 dev e0",
            "route add 10.15.0.0/16 via 10.77.0.1 dev e0 onlink",
            "route add 10.16.0.0/16 tos 0x10 via 10.5.0.3",
            "rule add from 10.5.0.0/24 lookup 100",
            "rule add fwmark 1/7 lookup 200",
            "rule add iif e0 blackhole",
            "rule add not from all lookup 9",
            "nexthop add id 5 via 10.5.0.9 dev e0",
        ] {
            let Some((text, told)) = both(&format!("{LINKS}{other}\n")) else { return };
            let first = other.split(' ').nth(2).unwrap();
            assert!(text.len() > 10, "{first} {text:?}");
            assert!(told.is_none(), "{other}: {:?}", told.map(|told| told.routes));
        }
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        assert!(Told::read("[{\"type\":\"unicast\",\"dst\":\"10.0.0.0/8\"").is_none());
        assert!(Told::read("[{\"addr_info\":[],\"ifname\":\"lo\"}]\n[").is_none(), "a list that ended with an error");
    }
}
