//! Fuzz targets of what `why` reads: no damage to a rule set makes the walk through it panic, and nothing is decided by rules that are not there.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::iptables::Tables;
use super::nft::Nft;
use super::packet::{Ct, Hook, Packet, Past, Port, Sort, Spot, Track, Way};

const RULESET: &str = include_str!("../../tests/fixtures/nft-1.0.6/ruleset.json");
const SAVED: &str = include_str!("../../tests/fixtures/iptables-1.8.9/save-nft.txt");

const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

/// Real output with characters cut out, doubled, or others put in.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let put = prop_oneof!["[\\[\\]{}\",:0-9a-z./-]{0,8}", "(?s).{0,4}"];
    vec((any::<Index>(), 0_usize..50, put), 0..4).prop_map(move |edits| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, put) in edits {
            let at = at.index(chars.len() + 1);
            let to = (at + length).min(chars.len());
            chars.splice(at..to, put.chars());
        }
        chars.into_iter().collect()
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let ct = prop_oneof![Just(Ct::New), Just(Ct::Established), Just(Ct::Invalid), Just(Ct::Untracked)];
    let port = prop_oneof![Just(Port::None), Just(Port::Ephemeral), any::<u16>().prop_map(Port::Exact)];
    let proto = prop_oneof![Just(1_u8), Just(6), Just(17), Just(58)];
    (any::<IpAddr>(), any::<IpAddr>(), proto, port.clone(), port, any::<Option<u8>>(), any::<Option<u32>>(), ct)
        .prop_map(|(src, dst, proto, sport, dport, icmp, mark, ct)| Packet {
            src,
            dst,
            proto,
            sport,
            dport,
            icmp,
            reply: false,
            size: 84,
            df: true,
            ttl: Some(64),
            tos: Some(0),
            mark,
            ct,
            track: Track::default(),
            past: Past::default(),
        })
}

fn spot(hook: Hook) -> Spot<'static> {
    let sort = &|ip: IpAddr| if ip.is_loopback() { Sort::Local } else { Sort::Unicast };
    let way = &|_: &Packet| Way::By(vec!["eth0".to_owned()]);
    Spot { hook, iif: "eth0", oif: "lo", physin: None, physout: Some("p1"), sort, way, arp: false, macs: None }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_ruleset_of_nft_can_be_walked(text in damaged(RULESET), packet in packet(), device in "(?s).{0,60}") {
        let mut nft = Nft::parse(&text);
        nft.add_devices(&format!("table netdev x {{\n chain y {{\n type filter hook ingress device {device} priority 0;"));
        for hook in HOOKS {
            for (_, index) in nft.bases(&["ip", "ip6", "inet"], hook, "eth0", &[]) {
                let effect = nft.run(index, &packet, &spot(hook), None);
                if let Some(rule) = effect.drop {
                    prop_assert!(text.contains(&rule.chain), "{:?} is not in the rules", rule.chain);
                }
            }
        }
        let _ = (nft.translates(), nft.has_netdev());
    }

    #[test]
    fn any_rules_of_iptables_can_be_walked(text in damaged(SAVED), packet in packet(), v6 in any::<bool>()) {
        let Ok(Some(tables)) = Tables::parse(&text, v6, false) else { return Ok(()) };
        for hook in HOOKS {
            for (_, table) in tables.bases(hook) {
                let effect = tables.run(table, &packet, &spot(hook), None);
                if let Some(rule) = effect.drop {
                    prop_assert!(tables.has(&rule.table) && text.contains(&rule.chain), "{:?}", rule);
                    prop_assert!(tables.counter(&rule).is_some(), "a rule that is not there: {:?}", rule);
                }
            }
        }
    }
}

fn cases() -> ProptestConfig {
    let full = std::env::var_os("NETWRIGHT_FULL").is_some_and(|full| full == "1");
    ProptestConfig { cases: if full { 50_000 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() }
}
