//! The kernel's counters of a namespace, before and after.

use std::collections::BTreeMap;

/// Counters by name, for example `Ip.InDiscards`, `TcpExt.ListenDrops`, `Ip6.InNoRoutes`, `conntrack.drop`, `dev.eth0.rx_drop`.
pub(super) type Counters = BTreeMap<String, u64>;

/// Reads those of the calling thread's namespace. What a kernel does not have is missing.
pub(super) fn read() -> Counters {
    let file = |name: &str| {
        std::fs::read(format!("/proc/thread-self/net/{name}"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let mut all = Counters::new();
    for name in ["snmp", "netstat"] {
        pairs_of_lines(&file(name), &mut all);
    }
    words(&file("snmp6"), "", &mut all);
    words(&file("xfrm_stat"), "", &mut all);
    per_cpu(&file("stat/nf_conntrack"), "conntrack.", &mut all);
    devices(&file("dev"), &mut all);
    all
}

/// What has changed, by how much. `Ip.Forwarding` and its like are settings, not counters, and stay the same.
pub(super) fn differences(before: &Counters, after: &Counters) -> Vec<(String, i64)> {
    let zero = |name| before.get(name).copied().unwrap_or(0);
    after
        .iter()
        .filter_map(|(name, now)| {
            let by = now.wrapping_sub(zero(name)).cast_signed();
            (by != 0).then(|| (name.clone(), by))
        })
        .collect()
}

/// `Ip: A B` and below it `Ip: 1 2`.
fn pairs_of_lines(text: &str, all: &mut Counters) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((_, values))) = (names.split_once(':'), values.split_once(':')) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // `MaxConn` is -1.
            if let Ok(value) = value.parse() {
                all.insert(format!("{group}.{name}"), value);
            }
        }
    }
}

/// `Ip6InReceives   7`.
fn words(text: &str, prefix: &str, all: &mut Counters) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            let name =
                match name.split_once("Ip6").or_else(|| name.split_once("Icmp6")).or_else(|| name.split_once("Udp6")) {
                    Some(("", rest)) if !rest.is_empty() => format!("{}.{rest}", name.trim_end_matches(rest)),
                    _ => name.to_owned(),
                };
            all.insert(format!("{prefix}{name}"), value);
        }
    }
}

/// A line of names and one line of hexadecimal numbers per processor.
fn per_cpu(text: &str, prefix: &str, all: &mut Counters) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    for line in lines {
        for (name, value) in names.iter().zip(line.split_whitespace()) {
            // The number of entries is the same in each line, and no counter.
            if let (false, Ok(value)) = (*name == "entries", u64::from_str_radix(value, 16)) {
                let sum = all.entry(format!("{prefix}{name}")).or_default();
                *sum = sum.wrapping_add(value);
            }
        }
    }
}

/// `eth0: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop fifo colls carrier compressed`.
fn devices(text: &str, all: &mut Counters) {
    const NAMES: [(usize, &str); 7] = [
        (1, "rx_packets"),
        (2, "rx_errors"),
        (3, "rx_drop"),
        (9, "tx_packets"),
        (10, "tx_errors"),
        (11, "tx_drop"),
        (14, "tx_carrier"),
    ];
    for line in text.lines().skip(2) {
        // A name may hold a colon (`eth0:1` is an old alias), the numbers never do.
        let Some((device, numbers)) = line.rsplit_once(':') else { continue };
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        for (at, name) in NAMES {
            if let Some(Ok(value)) = numbers.get(at).map(|word| word.parse()) {
                all.insert(format!("dev.{}.{name}", device.trim()), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_file_is_read() {
        let mut all = Counters::new();
        pairs_of_lines("Ip: Forwarding InDiscards\nIp: 1 7\nTcp: MaxConn InErrs\nTcp: -1 3\n", &mut all);
        words("Ip6InReceives  5\nIcmp6OutMsgs 6\nXfrmInError 2\n", "", &mut all);
        per_cpu("entries drop\n00000009 0000000a\n00000009 00000001\n", "conntrack.", &mut all);
        devices("a\nb\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", &mut all);
        let expected = [
            ("Icmp6.OutMsgs", 6),
            ("Ip.Forwarding", 1),
            ("Ip.InDiscards", 7),
            ("Ip6.InReceives", 5),
            ("Tcp.InErrs", 3),
            ("XfrmInError", 2),
            ("conntrack.drop", 11),
            ("dev.eth0.rx_drop", 4),
            ("dev.eth0.rx_errors", 3),
            ("dev.eth0.rx_packets", 2),
            ("dev.eth0.tx_carrier", 15),
            ("dev.eth0.tx_drop", 12),
            ("dev.eth0.tx_errors", 11),
            ("dev.eth0.tx_packets", 10),
        ];
        assert_eq!(all, expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect());
        let mut later = all.clone();
        later.insert("Ip.InDiscards".into(), 9);
        later.insert("new".into(), 1);
        assert_eq!(differences(&all, &later), [("Ip.InDiscards".into(), 2), ("new".into(), 1)]);
    }

    #[test]
    fn this_kernel_has_the_usual_ones() {
        let all = read();
        for name in ["Ip.InDiscards", "TcpExt.ListenDrops", "dev.lo.rx_packets"] {
            assert!(all.contains_key(name), "{name} is missing");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}(\n[\\PC ]{0,80}){0,4}") {
            let mut all = Counters::new();
            pairs_of_lines(&text, &mut all);
            words(&text, "", &mut all);
            per_cpu(&text, "", &mut all);
            devices(&text, &mut all);
        }
    }
}
