//! The lists of `-m recent`: which addresses they hold, and whether a rule that asks one matches (`xt_recent.c`, `recent_mt`).

use std::collections::HashMap;
use std::net::IpAddr;

use super::packet::{Packet, Tri};
use crate::model::iptables::Rule;

/// The list of rules that name none (`iptables-extensions(8)`).
const DEFAULT: &str = "DEFAULT";

/// One list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// How often each address was seen, as far as the kernel remembers.
    seen: HashMap<IpAddr, usize>,
    /// How many rules add to it, and how many take away.
    adds: usize,
    removes: usize,
}

/// The lists of a namespace that its rules ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recents {
    lists: HashMap<String, List>,
}

/// What a rule asks of a list.
fn asks(rule: &Rule) -> Option<(&str, &'static str)> {
    let mode = ["--set", "--rcheck", "--update", "--remove"].into_iter().find(|mode| has(rule, mode))?;
    has(rule, "recent").then(|| (rule.option(&["--name"]).map_or(DEFAULT, |name| name.value), mode))
}

fn has(rule: &Rule, word: &str) -> bool {
    rule.words.iter().any(|one| one == word)
}

impl Recents {
    /// The lists that these rules ask; `read` gives the file of one in `/proc/net/xt_recent`.
    #[must_use]
    pub(super) fn of<'a>(rules: impl Iterator<Item = &'a Rule>, read: &dyn Fn(&str) -> String) -> Self {
        let mut lists: HashMap<String, List> = HashMap::new();
        for (name, mode) in rules.filter_map(asks) {
            let list =
                lists.entry(name.to_owned()).or_insert_with(|| List { seen: seen(&read(name)), ..List::default() });
            list.adds += usize::from(matches!(mode, "--set" | "--update"));
            list.removes += usize::from(mode == "--remove");
        }
        Self { lists }
    }

    /// How often a list saw an address.
    pub(super) fn times(&self, list: &str, ip: IpAddr) -> Option<usize> {
        self.lists.get(list)?.seen.get(&ip).copied()
    }

    /// Whether a rule that asks a list matches, not negated.
    #[must_use]
    pub(super) fn matches(&self, rule: &Rule, packet: &Packet) -> Tri {
        let Some((name, mode)) = asks(rule) else { return Tri::Maybe };
        let whole = rule.option(&["--mask"]).is_none_or(|mask| is_whole(mask.value));
        let ip = if has(rule, "--rdest") { packet.dst } else { packet.src };
        let Some(list) = self.lists.get(name).filter(|_| whole && !has(rule, "--rttl")) else {
            return if mode == "--set" { Tri::Yes } else { Tri::Maybe };
        };
        let known = list.seen.get(&ip).copied().unwrap_or(0);
        let number = |option: &str| rule.option(&[option]).and_then(|one| one.value.parse::<usize>().ok());
        let wanted = number("--hitcount").unwrap_or(1).max(1);
        match mode {
            "--set" => Tri::Yes,
            // Each rule that adds may have seen this very packet already.
            _ if known + list.adds < wanted => Tri::No,
            // `--remove` asks for no number.
            _ if known >= wanted && number("--seconds").is_none() && list.removes == 0 => Tri::Yes,
            _ => Tri::Maybe,
        }
    }
}

/// Whether a mask leaves the whole address.
fn is_whole(mask: &str) -> bool {
    mask.parse::<IpAddr>().is_ok_and(|mask| match mask {
        IpAddr::V4(mask) => u32::from(mask) == u32::MAX,
        IpAddr::V6(mask) => u128::from(mask) == u128::MAX,
    })
}

/// What `/proc/net/xt_recent/NAME` says: `src=10.0.0.1 ttl: 64 last_seen: 4295 oldest_pkt: 2 4290, 4295`.
fn seen(text: &str) -> HashMap<IpAddr, usize> {
    let line = |line: &str| {
        let ip = line.strip_prefix("src=")?.split(' ').next()?.parse().ok()?;
        let stamps = line.split_once("oldest_pkt: ")?.1.split_once(' ')?.1;
        Some((ip, stamps.split(',').count()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_the_kernel_writes_it() {
        let text = "src=10.0.0.1 ttl: 64 last_seen: 4295 oldest_pkt: 2 4290, 4295\nsrc=fd00::1 ttl: 63 last_seen: 7 oldest_pkt: 1 7\nbroken";
        let want = [("10.0.0.1", 2), ("fd00::1", 1)].map(|(ip, count)| (ip.parse().unwrap(), count));
        assert_eq!(seen(text), HashMap::from(want));
        let list = List { seen: seen(text), ..List::default() };
        let all = Recents { lists: HashMap::from([("SSH".to_owned(), list)]) };
        for (name, ip, times) in [("SSH", "10.0.0.1", Some(2)), ("SSH", "10.0.0.2", None), ("other", "10.0.0.1", None)]
        {
            assert_eq!(all.times(name, ip.parse().unwrap()), times, "{ip} in {name}");
        }
    }
}
