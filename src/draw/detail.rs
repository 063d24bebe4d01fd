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
