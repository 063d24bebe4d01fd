//! What a link is beyond its kind, in iproute2's words: `id 42 remote 10.0.0.2`, `mode bridge`, `active-backup active eth1`.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::link::Link;
#[cfg(test)]
use crate::model::link::is_fall_back;

/// The port of a VXLAN when nothing else is said, to IANA and to the kernel.
const VXLAN_PORTS: [u64; 2] = [4789, 8472];

/// Its particulars, none of which are its name, state or addresses.
pub(super) fn of(link: &Link) -> Vec<String> {
    let data = data(link);
    let word = |key: &str| value(&data, key);
    let named = |name: &str, key: &str| value(&data, key).map(|value| format!("{name} {value}"));
    let ends = || ["local", "remote"].map(|end| Some(format!("{end} {}", tunnel_end(&data, end)?)));
    let list: Vec<Option<String>> = match link.kind() {
        Some("vlan") => vec![word("protocol").filter(|protocol| protocol != "802.1Q"), named("id", "id")],
        Some("macvlan" | "macvtap" | "ipvlan" | "ipvtap") => vec![named("mode", "mode")],
        Some("bond") => vec![word("mode"), named("active", "active_slave")],
        Some("vrf") => vec![named("table", "table")],
        Some("bridge") => vec![(data["vlan_filtering"] == 1).then(|| "vlan filtering".to_owned())],
        Some("vxlan" | "geneve") => {
            let group = ["group", "group6"].into_iter().find_map(|key| named("group", key));
            let port = data["port"].as_u64().filter(|port| link.kind() == Some("vxlan") && !VXLAN_PORTS.contains(port));
            let [local, remote] = ends();
            vec![named("id", "id"), local, remote, group, port.map(|port| format!("dstport {port}"))]
        }
        Some("wireguard") => vec![],
        Some("tun") => vec![word("type").map(|kind| kind.to_lowercase())],
        Some(_) if is_tunnel(link) => {
            let [local, remote] = ends();
            let key = |name: &'static str| {
                word(name).filter(|key| key != "0" && key != "0.0.0.0").map(|key| format!("{name} {key}"))
            };
            vec![local, remote, key("ikey"), key("okey"), named("if_id", "if_id")]
        }
        _ => vec![],
    };
    list.into_iter().flatten().collect()
}

/// Whether a link is a bridge that filters VLANs.
pub(super) fn filters_vlans(link: &Link) -> bool {
    link.kind() == Some("bridge") && data(link)["vlan_filtering"] == 1
}

/// The VLANs of a port, or of the bridge itself, from `bridge -j vlan show`: `pvid 10` is what it takes and sends without a tag, `vlan 20-30` with.
pub(super) fn vlans(all: &[Value], port: &str) -> Vec<String> {
    let Some(entry) = all.iter().find(|entry| entry["ifname"] == port) else { return Vec::new() };
    let (mut own, mut untagged, mut tagged) = (Vec::new(), Vec::new(), Vec::new());
    for vlan in entry["vlans"].as_array().into_iter().flatten() {
        let Some(first) = vlan["vlan"].as_u64() else { continue };
        let ids = vlan["vlanEnd"].as_u64().map_or(first.to_string(), |last| format!("{first}-{last}"));
        let flags: Vec<&str> = vlan["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let plain = flags.contains(&"Egress Untagged");
        if flags.contains(&"PVID") {
            own.push(format!("pvid {ids}{}", if plain { "" } else { " tagged" }));
        } else if plain {
            untagged.push(ids);
        } else {
            tagged.push(ids);
        }
    }
    let list = |words: &str, ids: Vec<String>| (!ids.is_empty()).then(|| format!("{words} {}", ids.join(",")));
    own.extend(list("vlan", tagged));
    own.extend(list("untagged", untagged));
    own
}

/// Disciplines that the kernel gives a link by itself (`net/sched`, `net.core.default_qdisc`).
const USUAL_QDISCS: [&str; 9] = ["noqueue", "noop", "pfifo_fast", "fq_codel", "fq", "mq", "pfifo", "mqprio", "clsact"];

/// Whether a link has another root discipline than the kernel gives it.
pub(super) fn is_shaped(link: &Link) -> bool {
    link.raw()["qdisc"].as_str().is_some_and(|kind| !USUAL_QDISCS.contains(&kind))
}

/// The root discipline of a link from the text of `tc qdisc show`, without what nobody chose: `netem delay 20ms loss 1%`, `tbf rate 10Mbit`.
pub(super) fn shape(text: &str, dev: &str) -> Vec<String> {
    let root = text.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, kind, _, "dev", name, "root", rest @ ..] = words.as_slice() else { return None };
        (*name == dev && !USUAL_QDISCS.contains(kind)).then(|| (*kind, rest.to_vec()))
    });
    let Some((kind, words)) = root else { return Vec::new() };
    // Words that the kernel adds, each with a value.
    let added: &[&str] = match kind {
        "netem" => &["refcnt", "limit", "seed"],
        "tbf" => &["refcnt", "burst", "lat", "limit", "minburst", "mpu"],
        _ => return vec![kind.to_owned()],
    };
    let (mut said, mut words) = (vec![kind], words.into_iter());
    while let Some(word) = words.next() {
        if added.contains(&word) {
            words.next();
        } else {
            said.push(word);
        }
    }
    vec![said.join(" ")]
}

/// One end of a tunnel: where its packets go, and what they carry so that the other end knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) kind: String,
    pub(super) local: Option<IpAddr>,
    pub(super) remote: IpAddr,
    /// The id of a VXLAN or Geneve.
    pub(super) id: Option<String>,
    /// The keys of what is received and of what is sent.
    pub(super) keys: [Option<String>; 2],
}

impl Tunnel {
    /// The tunnel that a link is an end of; `None` when it has no fixed other end.
    pub(super) fn of(link: &Link) -> Option<Self> {
        if !is_tunnel(link) {
            return None;
        }
        let data = data(link);
        Some(Self {
            kind: link.kind()?.to_owned(),
            local: tunnel_end(&data, "local"),
            remote: tunnel_end(&data, "remote")?,
            id: value(&data, "id").filter(|_| matches!(link.kind(), Some("vxlan" | "geneve"))),
            keys: ["ikey", "okey"].map(|key| value(&data, key).filter(|key| key != "0" && key != "0.0.0.0")),
        })
    }

    /// Whether what one sends is what the other takes: kind, id, keys, and the addresses that are fixed.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let meets = |local: Option<IpAddr>, remote: IpAddr| local.is_none_or(|local| local == remote);
        self.kind == other.kind
            && self.id == other.id
            && self.keys[0] == other.keys[1]
            && self.keys[1] == other.keys[0]
            && meets(self.local, other.remote)
            && meets(other.local, self.remote)
    }
}

fn is_tunnel(link: &Link) -> bool {
    let kinds = [
        "vxlan",
        "geneve",
        "gre",
        "gretap",
        "erspan",
        "ip6gre",
        "ip6gretap",
        "ip6erspan",
        "ipip",
        "sit",
        "ip6tnl",
        "vti",
        "vti6",
        "xfrm",
        "bareudp",
        "gtp",
    ];
    link.kind().is_some_and(|kind| kinds.contains(&kind))
}

fn data(link: &Link) -> Value {
    link.linkinfo.info_data.clone().unwrap_or_default()
}

/// The address of an end; iproute2 prints `any` and zeros for one that is not fixed.
fn tunnel_end(data: &Value, end: &str) -> Option<IpAddr> {
    let text = [end.to_owned(), format!("{end}6")].iter().find_map(|key| data[key.as_str()].as_str())?.to_owned();
    text.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
}

fn value(data: &Value, key: &str) -> Option<String> {
    match &data[key] {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::link::parse;

    fn link(kind: &str, data: &str) -> Link {
        let text = format!(r#"[{{"ifname":"x","linkinfo":{{"info_kind":"{kind}","info_data":{data}}}}}]"#);
        parse(&text, "links").unwrap().remove(0)
    }

    #[test]
    fn each_kind_says_what_it_is() {
        for (kind, data, expected) in [
            ("vlan", r#"{"protocol":"802.1Q","id":10,"flags":["REORDER_HDR"]}"#, "id 10"),
            ("vlan", r#"{"protocol":"802.1ad","id":10}"#, "802.1ad id 10"),
            ("macvlan", r#"{"mode":"bridge"}"#, "mode bridge"),
            ("ipvlan", r#"{"mode":"l3","flags":["private"]}"#, "mode l3"),
            ("bond", r#"{"mode":"active-backup","active_slave":"e1","miimon":100}"#, "active-backup active e1"),
            ("vrf", r#"{"table":10}"#, "table 10"),
            ("bridge", r#"{"vlan_filtering":1}"#, "vlan filtering"),
            ("bridge", r#"{"vlan_filtering":0}"#, ""),
            ("vxlan", r#"{"id":42,"remote":"10.0.0.2","port":4789}"#, "id 42 remote 10.0.0.2"),
            ("vxlan", r#"{"id":42,"group":"239.1.1.1","port":4790}"#, "id 42 group 239.1.1.1 dstport 4790"),
            ("vxlan", r#"{"id":42,"remote6":"fd00::2","port":8472}"#, "id 42 remote fd00::2"),
            (
                "gre",
                r#"{"remote":"10.0.0.2","local":"10.0.0.1","ikey":"0.0.0.7","okey":"0.0.0.8"}"#,
                "local 10.0.0.1 remote 10.0.0.2 ikey 0.0.0.7 okey 0.0.0.8",
            ),
            ("sit", r#"{"remote":"any","local":"any"}"#, ""),
            ("geneve", r#"{"id":"7","remote":"10.0.0.2"}"#, "id 7 remote 10.0.0.2"),
            ("veth", "{}", ""),
            ("unheard", r#"{"id":7}"#, ""),
        ] {
            assert_eq!(of(&link(kind, data)).join(" "), expected, "{kind} {data}");
        }
        // What a tool may print instead.
        for data in ["null", "[]", "7", r#"{"id":[],"mode":{},"remote":3}"#] {
            for kind in ["vlan", "vxlan", "gre", "bond"] {
                assert_eq!((of(&link(kind, data)).join(" "), Tunnel::of(&link(kind, data))), (String::new(), None));
            }
        }
    }

    #[test]
    fn ports_say_their_vlans_and_links_their_discipline() {
        let all = serde_json::json!([
            { "ifname": "pa", "vlans": [{ "vlan": 10, "flags": ["PVID", "Egress Untagged"] }] },
            { "ifname": "pc", "vlans": [{ "vlan": 1, "flags": ["PVID"] }, { "vlan": 10 }, { "vlan": 20, "vlanEnd": 30 }, { "vlan": 7, "flags": ["Egress Untagged"] }] },
        ]);
        let all = all.as_array().unwrap();
        assert_eq!(vlans(all, "pa").join(" "), "pvid 10");
        assert_eq!(vlans(all, "pc").join(" "), "pvid 1 tagged vlan 10,20-30 untagged 7");
        assert_eq!(vlans(all, "pb").join(" "), "");
        let text = "qdisc noqueue 0: dev lo root refcnt 2 \n\
            qdisc netem 8001: dev eth0 root refcnt 17 limit 1000 delay 40ms  5ms loss 10% seed 77\n\
            qdisc tbf 8002: dev eth1 root refcnt 17 rate 10Mbit burst 10Kb lat 50ms \n\
            qdisc htb 1: dev eth2 root refcnt 17 r2q 10 default 0x30\n\
            qdisc netem 8004: dev eth3 parent 1:1 limit 1000 delay 9ms\n";
        let said = ["eth0", "eth1", "eth2", "eth3", "lo"].map(|dev| shape(text, dev).join(" "));
        assert_eq!(said, ["netem delay 40ms 5ms loss 10%", "tbf rate 10Mbit", "htb", "", ""]);
    }

    #[test]
    fn the_ends_of_a_tunnel_know_each_other() {
        let end = |data: &str| Tunnel::of(&link("gre", data)).unwrap();
        let a = end(r#"{"local":"10.0.0.1","remote":"10.0.0.2"}"#);
        let b = end(r#"{"local":"10.0.0.2","remote":"10.0.0.1"}"#);
        let any = end(r#"{"local":"any","remote":"10.0.0.1"}"#);
        let keyed = end(r#"{"local":"10.0.0.2","remote":"10.0.0.1","ikey":"7","okey":"7"}"#);
        assert!(a.fits(&b) && b.fits(&a) && a.fits(&any) && any.fits(&a));
        assert!(!a.fits(&keyed) && !a.fits(&a));
    }

    #[test]
    fn what_the_kernel_made_unasked() {
        assert!(
            is_fall_back("gre0", Some("gre"))
                && is_fall_back("tunl0", Some("ipip"))
                && !is_fall_back("gre1", Some("gre"))
        );
        assert!(!is_fall_back("gre0", Some("dummy")), "somebody chose that name");
    }
}
