//! The table: kinds, options, and where they show.

use super::Shown::{Flag as InFlags, In, Lower, OnLink, WhenOn};
use super::{LinkKind, LinkOption, Mac, Shown, Takes};

const U8: u64 = 0xff;
const U16: u64 = 0xffff;
const U32: u64 = 0xffff_ffff;
const INHERIT: &[&str] = &["inherit"];
const TTL: Takes = Takes::NumberOr(1, U8, &["auto", "inherit"]);
const TUNNEL_TTL: Takes = Takes::NumberOr(1, U8, INHERIT);
const TOS: Takes = Takes::Tos;
const LABEL: Takes = Takes::Number(0, 0xf_ffff);
const DF: Takes = Takes::OneOf(&["unset", "set", "inherit"]);
const MACVLAN_MODE: Takes = Takes::OneOf(&["private", "vepa", "bridge", "passthru", "source"]);

/// An option that can be changed later.
const fn live(name: &'static str, takes: Takes, shown: Shown) -> LinkOption {
    LinkOption { name, takes, shown, changeable: true }
}

/// An option that is fixed when the link is made.
const fn fixed(name: &'static str, takes: Takes, shown: Shown) -> LinkOption {
    LinkOption { name, takes, shown, changeable: false }
}

/// Options that every kind takes; they come before `type`.
pub const COMMON: &[LinkOption] = &[
    fixed("link", Takes::Link, OnLink("link")),
    live("address", Takes::Mac, OnLink("address")),
    live("mtu", Takes::Number(68, 0x7fff_ffff), OnLink("mtu")),
    live("txqueuelen", Takes::Number(0, U32), OnLink("txqlen")),
    fixed("numtxqueues", Takes::Number(1, 4096), OnLink("num_tx_queues")),
    fixed("numrxqueues", Takes::Number(1, 4096), OnLink("num_rx_queues")),
];

/// All kinds that netwright makes. A tun (also one of frames, a tap) is no `ip link` kind: `ip tuntap` makes it.
pub const KINDS: &[LinkKind] = &[
    plain("bridge", BRIDGE),
    plain("veth", &[]),
    plain("dummy", &[]),
    LinkKind { mac: Mac::Fixed, ..plain("ifb", &[]) },
    without_mac("wireguard", &[]),
    LinkKind { name: "vlan", mac: Mac::Live, needs_parent: true, required: &["link", "id"], options: VLAN },
    LinkKind { name: "vxlan", mac: Mac::Live, needs_parent: false, required: &[], options: VXLAN },
    LinkKind { name: "macvlan", mac: Mac::Live, needs_parent: true, required: &["link"], options: MACVLAN },
    LinkKind { name: "macvtap", mac: Mac::Live, needs_parent: true, required: &["link"], options: MACVLAN },
    LinkKind { name: "ipvlan", mac: Mac::None, needs_parent: true, required: &["link"], options: IPVLAN },
    LinkKind { name: "vrf", mac: Mac::Live, needs_parent: false, required: &["table"], options: VRF },
    plain("bond", BOND),
    without_mac("gre", GRE),
    without_mac("ip6gre", IP6GRE),
    without_mac("ipip", IPIP),
    without_mac("sit", SIT),
    plain("geneve", GENEVE),
    plain("gretap", GRE),
    plain("ip6gretap", IP6GRE),
    LinkKind { required: &["key", "seq"], ..plain("erspan", ERSPAN) },
    without_mac("ip6tnl", IP6TNL),
    without_mac("vti", VTI),
    without_mac("vti6", VTI),
    LinkKind { required: &["if_id"], ..without_mac("xfrm", XFRM) },
    LinkKind { name: "macsec", mac: Mac::Live, needs_parent: true, required: &["link"], options: MACSEC },
    LinkKind { required: &["slave1", "slave2"], mac: Mac::None, ..plain("hsr", HSR) },
    plain("team", &[]),
    without_mac("vcan", &[]),
    without_mac(TUN, TUNTAP),
];

/// The kind that `ip tuntap` makes.
pub const TUN: &str = "tun";

/// The port of a bridge: no kind of its own, but `ip link set … type bridge_slave` has options of it, by the words of `bridge link set`.
pub const PORT: LinkKind = LinkKind { mac: Mac::None, ..plain("bridge_slave", BRIDGE_SLAVE) };

const fn plain(name: &'static str, options: &'static [LinkOption]) -> LinkKind {
    LinkKind { name, mac: Mac::Live, needs_parent: false, required: &[], options }
}

/// A tunnel of packets, not of frames. (What `ip link show` calls its address is its local end.)
const fn without_mac(name: &'static str, options: &'static [LinkOption]) -> LinkKind {
    LinkKind { mac: Mac::None, ..plain(name, options) }
}

/// `ip/iplink_bridge.c`. Times are in hundredths of a second.
const BRIDGE: &[LinkOption] = &[
    live("forward_delay", Takes::Time(0, U32), In(&["forward_delay"])),
    live("hello_time", Takes::Time(100, 1000), In(&["hello_time"])),
    live("max_age", Takes::Time(600, 4000), In(&["max_age"])),
    live("ageing_time", Takes::Time(0, U32), In(&["ageing_time"])),
    live("stp_state", Takes::Bit, In(&["stp_state"])),
    live("priority", Takes::Number(0, U16), In(&["priority"])),
    live("group_fwd_mask", Takes::Number(0, U16), In(&["group_fwd_mask"])),
    live("no_linklocal_learn", Takes::Bit, In(&["no_linklocal_learn"])),
    live("vlan_filtering", Takes::Bit, In(&["vlan_filtering"])),
    live("vlan_protocol", Takes::OneOf(&["802.1Q", "802.1ad"]), In(&["vlan_protocol"])),
    live("vlan_default_pvid", Takes::Number(0, 4094), In(&["vlan_default_pvid"])),
    live("vlan_stats_enabled", Takes::Bit, In(&["vlan_stats_enabled"])),
    live("vlan_stats_per_port", Takes::Bit, In(&["vlan_stats_per_port"])),
    live("mcast_snooping", Takes::Bit, In(&["mcast_snooping"])),
    live("mcast_vlan_snooping", Takes::Bit, In(&["mcast_vlan_snooping"])),
    live("mcast_router", Takes::Number(0, 2), In(&["mcast_router"])),
    live("mcast_query_use_ifaddr", Takes::Bit, In(&["mcast_query_use_ifaddr"])),
    live("mcast_querier", Takes::Bit, In(&["mcast_querier"])),
    live("mcast_hash_max", Takes::Number(1, U32), In(&["mcast_hash_max"])),
    live("mcast_last_member_count", Takes::Number(0, U32), In(&["mcast_last_member_cnt"])),
    live("mcast_startup_query_count", Takes::Number(0, U32), In(&["mcast_startup_query_cnt"])),
    live("mcast_last_member_interval", Takes::Time(0, U32), In(&["mcast_last_member_intvl"])),
    live("mcast_membership_interval", Takes::Time(0, U32), In(&["mcast_membership_intvl"])),
    live("mcast_querier_interval", Takes::Time(0, U32), In(&["mcast_querier_intvl"])),
    live("mcast_query_interval", Takes::Time(0, U32), In(&["mcast_query_intvl"])),
    live("mcast_query_response_interval", Takes::Time(0, U32), In(&["mcast_query_response_intvl"])),
    live("mcast_startup_query_interval", Takes::Time(0, U32), In(&["mcast_startup_query_intvl"])),
    live("mcast_stats_enabled", Takes::Bit, In(&["mcast_stats_enabled"])),
    live("mcast_igmp_version", Takes::Number(2, 3), In(&["mcast_igmp_version"])),
    live("mcast_mld_version", Takes::Number(1, 2), In(&["mcast_mld_version"])),
    live("nf_call_iptables", Takes::Bit, In(&["nf_call_iptables"])),
    live("nf_call_ip6tables", Takes::Bit, In(&["nf_call_ip6tables"])),
    live("nf_call_arptables", Takes::Bit, In(&["nf_call_arptables"])),
];

/// `ip/iplink_bridge_slave.c`; shown in `info_slave_data`.
const BRIDGE_SLAVE: &[LinkOption] = &[
    live("state", Takes::OneOf(&["disabled", "listening", "learning", "forwarding", "blocking"]), In(&["state"])),
    live("priority", Takes::Number(0, 63), In(&["priority"])),
    live("cost", Takes::Number(1, U16), In(&["cost"])),
    live("guard", Takes::OnOff, In(&["guard"])),
    live("hairpin", Takes::OnOff, In(&["hairpin"])),
    live("fastleave", Takes::OnOff, In(&["fastleave"])),
    live("root_block", Takes::OnOff, In(&["root_block"])),
    live("learning", Takes::OnOff, In(&["learning"])),
    live("flood", Takes::OnOff, In(&["flood"])),
    live("proxy_arp", Takes::OnOff, In(&["proxy_arp"])),
    live("proxy_arp_wifi", Takes::OnOff, In(&["proxy_arp_wifi"])),
    live("mcast_router", Takes::Number(0, 3), In(&["multicast_router"])),
    live("mcast_flood", Takes::OnOff, In(&["mcast_flood"])),
    live("bcast_flood", Takes::OnOff, In(&["bcast_flood"])),
    live("mcast_to_unicast", Takes::OnOff, In(&["mcast_to_unicast"])),
    live("group_fwd_mask", Takes::Number(0, U16), In(&["group_fwd_mask"])),
    live("neigh_suppress", Takes::OnOff, In(&["neigh_suppress"])),
    live("vlan_tunnel", Takes::OnOff, In(&["vlan_tunnel"])),
    live("isolated", Takes::OnOff, In(&["isolated"])),
    live("locked", Takes::OnOff, In(&["locked"])),
    live("mab", Takes::OnOff, In(&["mab"])),
    live("backup_port", Takes::Link, In(&["backup_port"])),
];

/// `ip/iplink_vlan.c`: `"flags":["REORDER_HDR"]`.
const VLAN: &[LinkOption] = &[
    fixed("id", Takes::Number(0, 4095), In(&["id"])),
    fixed("protocol", Takes::OneOf(&["802.1Q", "802.1ad"]), In(&["protocol"])),
    live("reorder_hdr", Takes::OnOff, InFlags("REORDER_HDR")),
    live("gvrp", Takes::OnOff, InFlags("GVRP")),
    live("mvrp", Takes::OnOff, InFlags("MVRP")),
    live("loose_binding", Takes::OnOff, InFlags("LOOSE_BINDING")),
    live("bridge_binding", Takes::OnOff, InFlags("BRIDGE_BINDING")),
];

/// `ip/iplink_vxlan.c`; what can be changed was measured (`Error: Cannot change VNI.`, `Error: Cannot change port.`, …).
const VXLAN: &[LinkOption] = &[
    fixed("id", Takes::Number(0, 0xff_ffff), In(&["id"])),
    live("remote", Takes::Address, In(&["remote", "remote6"])),
    live("group", Takes::Address, In(&["group", "group6"])),
    live("local", Takes::Address, In(&["local", "local6"])),
    live("dev", Takes::Link, In(&["link"])),
    fixed("dstport", Takes::Number(0, U16), In(&["port"])),
    fixed("srcport", Takes::PortRange, In(&["port_range"])),
    live("ttl", TTL, In(&["ttl"])),
    live("tos", TOS, In(&["tos"])),
    live("df", DF, In(&["df"])),
    live("flowlabel", LABEL, In(&["label"])),
    live("ageing", Takes::Number(0, U32), In(&["ageing"])),
    fixed("maxaddress", Takes::Number(0, U32), In(&["limit"])),
    live("learning", Takes::Flag, In(&["learning"])),
    fixed("proxy", Takes::Flag, WhenOn("proxy")),
    fixed("rsc", Takes::Flag, WhenOn("rsc")),
    fixed("l2miss", Takes::Flag, WhenOn("l2miss")),
    fixed("l3miss", Takes::Flag, WhenOn("l3miss")),
    fixed("udpcsum", Takes::Flag, In(&["udp_csum"])),
    fixed("udp6zerocsumtx", Takes::Flag, In(&["udp_zero_csum6_tx"])),
    fixed("udp6zerocsumrx", Takes::Flag, In(&["udp_zero_csum6_rx"])),
    fixed("external", Takes::Flag, WhenOn("external")),
    fixed("vnifilter", Takes::Flag, WhenOn("vnifilter")),
    fixed("gbp", Takes::Word, WhenOn("gbp")),
    fixed("gpe", Takes::Word, WhenOn("gpe")),
];

/// `ip/iplink_macvlan.c`.
const MACVLAN: &[LinkOption] =
    &[live("mode", MACVLAN_MODE, In(&["mode"])), live("bcqueuelen", Takes::Number(0, U32), In(&["bcqueuelen"]))];

/// `ip/iplink_ipvlan.c`. The flags are words of their own.
const IPVLAN: &[LinkOption] = &[
    live("mode", Takes::OneOf(&["l2", "l3", "l3s"]), In(&["mode"])),
    live("bridge", Takes::Word, WhenOn("bridge")),
    live("private", Takes::Word, WhenOn("private")),
    live("vepa", Takes::Word, WhenOn("vepa")),
];

/// `ip/iplink_vrf.c`.
const VRF: &[LinkOption] = &[fixed("table", Takes::Number(1, U32), In(&["table"]))];

/// `ip/iplink_bond.c`. The kernel changes `mode` only on a bond without ports.
const BOND: &[LinkOption] = &[
    fixed(
        "mode",
        Takes::OneOf(&[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ]),
        In(&["mode"]),
    ),
    live("miimon", Takes::Number(0, 0x7fff_ffff), In(&["miimon"])),
    live("updelay", Takes::Number(0, 0x7fff_ffff), In(&["updelay"])),
    live("downdelay", Takes::Number(0, 0x7fff_ffff), In(&["downdelay"])),
    live("peer_notify_delay", Takes::Number(0, 0x7fff_ffff), In(&["peer_notify_delay"])),
    live("use_carrier", Takes::Bit, In(&["use_carrier"])),
    live("arp_interval", Takes::Number(0, 0x7fff_ffff), In(&["arp_interval"])),
    live("arp_ip_target", Takes::Addresses, In(&["arp_ip_target"])),
    live("ns_ip6_target", Takes::Addresses, In(&["ns_ip6_target"])),
    live(
        "arp_validate",
        Takes::OneOf(&["none", "active", "backup", "all", "filter", "filter_active", "filter_backup"]),
        In(&["arp_validate"]),
    ),
    live("arp_all_targets", Takes::OneOf(&["any", "all"]), In(&["arp_all_targets"])),
    live("arp_missed_max", Takes::Number(1, U8), In(&["arp_missed_max"])),
    live("primary", Takes::Link, In(&["primary"])),
    live("primary_reselect", Takes::OneOf(&["always", "better", "failure"]), In(&["primary_reselect"])),
    live("active_slave", Takes::Link, In(&["active_slave"])),
    live("fail_over_mac", Takes::OneOf(&["none", "active", "follow"]), In(&["fail_over_mac"])),
    live(
        "xmit_hash_policy",
        Takes::OneOf(&["layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4", "vlan+srcmac"]),
        In(&["xmit_hash_policy"]),
    ),
    live("resend_igmp", Takes::Number(0, U8), In(&["resend_igmp"])),
    live("num_grat_arp", Takes::Number(0, U8), In(&["num_peer_notif"])),
    live("num_unsol_na", Takes::Number(0, U8), In(&["num_peer_notif"])),
    live("all_slaves_active", Takes::Bit, In(&["all_slaves_active"])),
    live("min_links", Takes::Number(0, 0x7fff_ffff), In(&["min_links"])),
    live("lp_interval", Takes::Number(1, 0x7fff_ffff), In(&["lp_interval"])),
    live("packets_per_slave", Takes::Number(0, U16), In(&["packets_per_slave"])),
    live("tlb_dynamic_lb", Takes::Bit, In(&["tlb_dynamic_lb"])),
    live("lacp_rate", Takes::OneOf(&["slow", "fast"]), In(&["ad_lacp_rate"])),
    live("lacp_active", Takes::OnOff, In(&["ad_lacp_active"])),
    live("ad_select", Takes::OneOf(&["stable", "bandwidth", "count"]), In(&["ad_select"])),
    live("ad_user_port_key", Takes::Number(0, 1023), In(&["ad_user_port_key"])),
    live("ad_actor_sys_prio", Takes::Number(1, U16), In(&["ad_actor_sys_prio"])),
    live("ad_actor_system", Takes::Mac, In(&["ad_actor_system"])),
];

/// `ip/link_gre.c`. `key`, `seq` and `csum` set both directions; the one that is shown under `i…` stands for both.
const GRE: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("ttl", TUNNEL_TTL, In(&["ttl"])),
    live("tos", TOS, In(&["tos"])),
    live("key", Takes::Key, In(&["ikey"])),
    live("ikey", Takes::Key, In(&["ikey"])),
    live("okey", Takes::Key, In(&["okey"])),
    live("seq", Takes::Flag, WhenOn("iseq")),
    live("csum", Takes::Flag, WhenOn("icsum")),
    live("pmtudisc", Takes::Flag, In(&["pmtudisc"])),
    live("ignore-df", Takes::Flag, WhenOn("ignore_df")),
    live("fwmark", Takes::Number(0, U32), In(&["fwmark"])),
    fixed("external", Takes::Word, WhenOn("external")),
];

/// `ip/link_gre6.c`.
const IP6GRE: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("hoplimit", Takes::Number(0, U8), In(&["ttl"])),
    live("ttl", Takes::Number(0, U8), In(&["ttl"])),
    live("encaplimit", Takes::NumberOr(0, U8, &["none"]), In(&["encap_limit"])),
    live("tclass", TOS, In(&["tclass"])),
    live("flowlabel", Takes::NumberOr(0, 0xf_ffff, INHERIT), In(&["flowlabel"])),
    live("key", Takes::Key, In(&["ikey"])),
    live("ikey", Takes::Key, In(&["ikey"])),
    live("okey", Takes::Key, In(&["okey"])),
    live("seq", Takes::Flag, WhenOn("iseq")),
    live("csum", Takes::Flag, WhenOn("icsum")),
    live("allow-localremote", Takes::Flag, WhenOn("ip6_tnl_f_allow_local_remote")),
    live("fwmark", Takes::NumberOr(0, U32, INHERIT), In(&["fwmark"])),
    fixed("external", Takes::Word, WhenOn("external")),
];

/// `ip/link_iptnl.c`.
const IPIP: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("ttl", TUNNEL_TTL, In(&["ttl"])),
    live("tos", TOS, In(&["tos"])),
    live("pmtudisc", Takes::Flag, In(&["pmtudisc"])),
    live("fwmark", Takes::Number(0, U32), In(&["fwmark"])),
    fixed("mode", Takes::OneOf(&["ipip", "mplsip", "any"]), In(&["proto"])),
    fixed("external", Takes::Word, WhenOn("external")),
];

/// `ip/link_iptnl.c`.
const SIT: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("ttl", TUNNEL_TTL, In(&["ttl"])),
    live("tos", TOS, In(&["tos"])),
    live("pmtudisc", Takes::Flag, In(&["pmtudisc"])),
    live("fwmark", Takes::Number(0, U32), In(&["fwmark"])),
    live("isatap", Takes::Word, WhenOn("isatap")),
    fixed("mode", Takes::OneOf(&["ip6ip", "ipip", "mplsip", "any"]), In(&["proto"])),
];

/// `ip/link_gre.c` of an erspan, which the kernel makes with sequence numbers only. A change of one option would set the others of it to what `ip` takes for usual.
const ERSPAN: &[LinkOption] = &[
    fixed("remote", Takes::Address, In(&["remote"])),
    fixed("local", Takes::Address, In(&["local"])),
    fixed("dev", Takes::Link, In(&["link"])),
    fixed("ttl", TUNNEL_TTL, In(&["ttl"])),
    fixed("tos", TOS, In(&["tos"])),
    fixed("key", Takes::Key, In(&["ikey"])),
    fixed("seq", Takes::Word, WhenOn("iseq")),
    fixed("erspan_ver", Takes::Number(0, 2), In(&["erspan_ver"])),
    fixed("erspan", Takes::Number(0, 0xf_ffff), In(&["erspan_index"])),
    fixed("erspan_dir", Takes::OneOf(&["ingress", "egress"]), In(&["erspan_dir"])),
    fixed("erspan_hwid", Takes::Number(0, 63), In(&["erspan_hwid"])),
    fixed("fwmark", Takes::Number(0, U32), In(&["fwmark"])),
];

/// `ip/link_ip6tnl.c`.
const IP6TNL: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("hoplimit", Takes::Number(0, U8), In(&["ttl"])),
    live("ttl", Takes::Number(0, U8), In(&["ttl"])),
    live("encaplimit", Takes::NumberOr(0, U8, &["none"]), In(&["encap_limit"])),
    live("tclass", TOS, In(&["tclass"])),
    live("flowlabel", Takes::NumberOr(0, 0xf_ffff, INHERIT), In(&["flowlabel"])),
    live("allow-localremote", Takes::Flag, WhenOn("ip6_tnl_f_allow_local_remote")),
    live("fwmark", Takes::NumberOr(0, U32, INHERIT), In(&["fwmark"])),
    live("mode", Takes::OneOf(&["ip6ip6", "ipip6", "any"]), In(&["proto"])),
    fixed("external", Takes::Word, WhenOn("external")),
];

/// `ip/link_vti.c`, `ip/link_vti6.c`.
const VTI: &[LinkOption] = &[
    live("remote", Takes::Address, In(&["remote"])),
    live("local", Takes::Address, In(&["local"])),
    live("dev", Takes::Link, In(&["link"])),
    live("key", Takes::Key, In(&["ikey"])),
    live("ikey", Takes::Key, In(&["ikey"])),
    live("okey", Takes::Key, In(&["okey"])),
    live("fwmark", Takes::Number(0, U32), In(&["fwmark"])),
];

/// `ip/link_xfrm.c`.
const XFRM: &[LinkOption] = &[
    fixed("dev", Takes::Link, Lower),
    fixed("if_id", Takes::Number(1, U32), In(&["if_id"])),
    fixed("external", Takes::Word, WhenOn("external")),
];

/// `ip/ipmacsec.c`. Associations and their keys are no options of the link.
const MACSEC: &[LinkOption] = &[
    fixed("port", Takes::Number(1, U16), Shown::Nowhere),
    fixed(
        "cipher",
        Takes::OneOf(&["GCM-AES-128", "GCM-AES-256", "GCM-AES-XPN-128", "GCM-AES-XPN-256"]),
        In(&["cipher_suite"]),
    ),
    fixed("icvlen", Takes::Number(8, 16), In(&["icv_len"])),
    live("encrypt", Takes::OnOff, In(&["encrypt"])),
    fixed("send_sci", Takes::OnOff, In(&["send_sci", "inc_sci"])),
    fixed("end_station", Takes::OnOff, In(&["end_station", "es"])),
    fixed("scb", Takes::OnOff, In(&["scb"])),
    live("protect", Takes::OnOff, In(&["protect"])),
    live("validate", Takes::OneOf(&["disabled", "check", "strict"]), In(&["validate", "validation"])),
    live("encodingsa", Takes::Number(0, 3), In(&["encodingsa", "encoding_sa"])),
];

/// `ip/iplink_hsr.c`.
const HSR: &[LinkOption] = &[
    fixed("slave1", Takes::Link, In(&["slave1"])),
    fixed("slave2", Takes::Link, In(&["slave2"])),
    fixed("supervision", Takes::Number(0, U8), Shown::Nowhere),
    fixed("proto", Takes::Number(0, 1), In(&["proto"])),
    fixed("version", Takes::Number(0, 1), Shown::Nowhere),
];

/// `ip/iptuntap.c`.
const TUNTAP: &[LinkOption] = &[
    fixed("mode", Takes::OneOf(&["tun", "tap"]), In(&["type"])),
    fixed("user", Takes::Number(0, U32), In(&["user"])),
    fixed("group", Takes::Number(0, U32), In(&["group"])),
    fixed("pi", Takes::Word, In(&["pi"])),
    fixed("vnet_hdr", Takes::Word, In(&["vnet_hdr"])),
    fixed("multi_queue", Takes::Word, In(&["multi_queue"])),
];

/// `ip/iplink_geneve.c`.
const GENEVE: &[LinkOption] = &[
    fixed("id", Takes::Number(0, 0xff_ffff), In(&["id"])),
    live("remote", Takes::Address, In(&["remote", "remote6"])),
    live("ttl", TTL, In(&["ttl"])),
    live("tos", TOS, In(&["tos"])),
    live("df", DF, In(&["df"])),
    live("flowlabel", LABEL, In(&["label"])),
    fixed("dstport", Takes::Number(0, U16), In(&["port"])),
    fixed("external", Takes::Flag, WhenOn("external")),
    fixed("udpcsum", Takes::Flag, In(&["udp_csum"])),
    fixed("udp6zerocsumtx", Takes::Flag, In(&["udp_zero_csum6_tx"])),
    fixed("udp6zerocsumrx", Takes::Flag, In(&["udp_zero_csum6_rx"])),
    fixed("innerprotoinherit", Takes::Word, WhenOn("inner_proto_inherit")),
];
