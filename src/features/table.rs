//! The table: every feature by the word that `needs` takes, what proves it, and the kernel modules that it may load.

/// A feature that can be proved.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// The word that `needs` takes.
    pub name: &'static str,
    /// Where `doctor` lists it.
    pub group: Group,
    /// What is so when it is not there.
    pub lacking: &'static str,
    /// What proves it.
    pub proof: Proof,
    /// The kernel modules that the proof loads where they are modules.
    pub modules: &'static [&'static str],
}

/// Where `doctor` lists a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// A kind of link.
    Link,
    /// A queueing discipline.
    Qdisc,
    /// Firewall and NAT.
    Firewall,
    /// What else there is.
    Other,
}

impl Group {
    /// All, in the order of the list.
    pub const ALL: [Self; 4] = [Self::Link, Self::Qdisc, Self::Firewall, Self::Other];

    /// The word for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "links",
            Self::Qdisc => "qdiscs",
            Self::Firewall => "firewall",
            Self::Other => "other",
        }
    }
}

/// What proves a feature, in a fresh namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Commands that all succeed: program and words, split at spaces.
    Steps(&'static [&'static str]),
    /// The same, with a link `nwlower` to stand on.
    OnLink(&'static [&'static str]),
    /// A file that exists.
    File(&'static str),
}

/// Links that others can stand on; the first that the kernel has is taken.
pub(crate) const PARENTS: &[&str] = &[
    "ip link add name nwlower type veth peer name nwlower2",
    "ip link add name nwlower type dummy",
    "ip link add name nwlower type bridge",
];

const fn on(
    group: Group,
    name: &'static str,
    lacking: &'static str,
    proof: Proof,
    modules: &'static [&'static str],
) -> Known {
    Known { name, group, lacking, proof, modules }
}

macro_rules! link {
    ($name:literal, $words:literal, $modules:expr) => {
        on(
            Group::Link,
            $name,
            concat!("this kernel has no ", $name, " links"),
            Proof::Steps(&[concat!("ip link add name nwprobe type ", $name, $words)]),
            $modules,
        )
    };
}

macro_rules! upper {
    ($name:literal, $words:literal, $modules:expr) => {
        on(
            Group::Link,
            $name,
            concat!("this kernel has no ", $name, " links"),
            Proof::OnLink(&[concat!("ip link add link nwlower name nwprobe type ", $name, $words)]),
            $modules,
        )
    };
}

macro_rules! qdisc {
    ($name:literal, $words:literal) => {
        on(
            Group::Qdisc,
            $name,
            concat!("this kernel has no queueing discipline ", $name),
            Proof::Steps(&[concat!("tc qdisc add dev lo ", $words)]),
            &[concat!("sch_", $name)],
        )
    };
}

/// Modules of the nft backend of iptables, and of the legacy one: a proof loads those of the backend that is in use.
const XTABLES: &[&str] = &["nf_tables", "nft_compat", "x_tables", "ip_tables", "iptable_filter"];
const XTABLES6: &[&str] = &["nf_tables", "nft_compat", "x_tables", "ip6_tables", "ip6table_filter"];

/// All features.
pub(crate) const TABLE: &[Known] = &[
    link!("bridge", "", &["bridge"]),
    link!("veth", " peer name nwprobe2", &["veth"]),
    link!("vxlan", " id 1 dstport 4789", &["vxlan"]),
    upper!("vlan", " id 2", &["8021q"]),
    upper!("macvlan", "", &["macvlan"]),
    upper!("macvtap", "", &["macvtap"]),
    upper!("ipvlan", "", &["ipvlan"]),
    link!("dummy", "", &["dummy"]),
    link!("vrf", " table 10", &["vrf"]),
    link!("bond", "", &["bonding"]),
    link!("wireguard", "", &["wireguard"]),
    link!("gre", " local 198.51.100.1 remote 198.51.100.2", &["ip_gre"]),
    link!("ip6gre", " local 2001:db8::1 remote 2001:db8::2", &["ip6_gre"]),
    link!("ipip", " local 198.51.100.1 remote 198.51.100.2", &["ipip"]),
    link!("sit", " local 198.51.100.1 remote 198.51.100.2", &["sit"]),
    link!("geneve", " id 1 remote 198.51.100.2", &["geneve"]),
    link!("ifb", "", &["ifb"]),
    link!("gretap", " local 198.51.100.1 remote 198.51.100.2", &["ip_gre"]),
    link!("ip6gretap", " local 2001:db8::1 remote 2001:db8::2", &["ip6_gre"]),
    link!("erspan", " local 198.51.100.1 remote 198.51.100.2 seq key 1 erspan_ver 1 erspan 1", &["ip_gre"]),
    link!("ip6tnl", " local 2001:db8::1 remote 2001:db8::2 mode any", &["ip6_tunnel"]),
    link!("vti", " local 198.51.100.1 remote 198.51.100.2 key 1", &["ip_vti"]),
    link!("vti6", " local 2001:db8::1 remote 2001:db8::2 key 1", &["ip6_vti"]),
    link!("xfrm", " if_id 1", &["xfrm_interface"]),
    upper!("macsec", "", &["macsec"]),
    on(
        Group::Link,
        "hsr",
        "this kernel has no hsr links",
        Proof::OnLink(&[
            "ip link add name nwsecond type veth peer name nwsecond2",
            "ip link add name nwprobe type hsr slave1 nwlower slave2 nwsecond",
        ]),
        &["hsr"],
    ),
    link!("team", "", &["team"]),
    link!("vcan", "", &["vcan"]),
    on(
        Group::Link,
        "tun",
        "there are no tun links here",
        Proof::Steps(&["ip tuntap add dev nwprobe mode tun"]),
        &["tun"],
    ),
    qdisc!("tbf", "root tbf rate 1mbit burst 32kbit latency 50ms"),
    qdisc!("htb", "root handle 1: htb"),
    qdisc!("netem", "root netem delay 1ms"),
    qdisc!("ingress", "ingress"),
    qdisc!("fq_codel", "root fq_codel"),
    on(
        Group::Qdisc,
        "police",
        "this kernel has no policer",
        Proof::Steps(&[
            "tc qdisc add dev lo clsact",
            "tc filter add dev lo egress protocol all pref 1 matchall action police rate 1mbit burst 64kb conform-exceed drop",
        ]),
        &["sch_ingress", "cls_matchall", "act_police"],
    ),
    on(
        Group::Firewall,
        "iptables",
        "iptables does not work with this kernel",
        Proof::Steps(&["iptables -w 5 -N nwprobe", "iptables -w 5 -A FORWARD -j nwprobe"]),
        XTABLES,
    ),
    on(
        Group::Firewall,
        "ip6tables",
        "ip6tables does not work with this kernel",
        Proof::Steps(&["ip6tables -w 5 -N nwprobe", "ip6tables -w 5 -A FORWARD -j nwprobe"]),
        XTABLES6,
    ),
    on(
        Group::Firewall,
        "nft",
        "this kernel has no nftables",
        Proof::Steps(&["nft add table inet nwprobe", "nft add chain inet nwprobe c"]),
        &["nf_tables"],
    ),
    on(
        Group::Firewall,
        "conntrack",
        "this kernel has no connection tracking",
        Proof::Steps(&["iptables -w 5 -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"]),
        &["nf_tables", "nft_compat", "x_tables", "nf_conntrack", "xt_conntrack"],
    ),
    on(
        Group::Firewall,
        "nat",
        "this kernel has no NAT",
        Proof::Steps(&[
            "iptables -w 5 -t nat -A POSTROUTING -j MASQUERADE",
            "iptables -w 5 -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 198.51.100.2",
        ]),
        &["nf_tables", "nft_compat", "x_tables", "nft_chain_nat", "iptable_nat", "nf_nat", "xt_MASQUERADE", "xt_nat"],
    ),
    on(
        Group::Other,
        "ipv6",
        "this kernel has no IPv6",
        Proof::Steps(&["ip -6 address add 2001:db8::1/128 dev lo"]),
        &["ipv6"],
    ),
    on(
        Group::Other,
        "vlan_filtering",
        "bridges of this kernel cannot filter VLANs",
        Proof::Steps(&["ip link add name nwprobe type bridge vlan_filtering 1"]),
        &["bridge"],
    ),
    on(
        Group::Other,
        "br_netfilter",
        "br_netfilter is not loaded",
        Proof::File("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        &[],
    ),
];

/// The feature of this name.
#[must_use]
pub(crate) fn find(name: &str) -> Option<&'static Known> {
    TABLE.iter().find(|known| known.name == name)
}
