//! What the tools say when they fail, recognised in one table. Unknown text stays unknown and is shown as it is.

use crate::error::Kind;

/// A line that a tool is known to print.
#[derive(Debug)]
pub struct Said {
    /// A part of the line, exact but for what stands around it.
    pub text: &'static str,
    /// What it means.
    pub kind: Kind,
    /// The way out, when there is one in general.
    pub hint: Option<&'static str>,
    /// A whole line as it was seen, and by which version.
    pub seen: (&'static str, &'static str),
}

const fn said(text: &'static str, kind: Kind, hint: Option<&'static str>, seen: (&'static str, &'static str)) -> Said {
    Said { text, kind, hint, seen }
}

const IPROUTE2: &str = "iproute2 6.1.0";
const IPTABLES: &str = "iptables 1.8.9 (nf_tables)";
const LEGACY: &str = "iptables 1.8.9 (legacy)";
const PROCPS: &str = "procps 4.0.2";
const NFT: &str = "nftables 1.0.6";

const NEEDS_ROOT: Option<&str> = Some("run it in the sandbox (without `--host`), or with sudo");
const NOT_IN_KERNEL: Option<&str> = Some("this kernel does not have it: `netwright doctor` lists what it has");

const NEWER_IPROUTE2: Option<&str> =
    Some("if it is written right, it needs a newer iproute2 than this one: `ip -V` says which that is");
/// `netns_immutable` of the kernel: bridges, VRFs, `lo`, the fall-back links of tunnels.
pub(crate) const STAYS: &str =
    "a link of this kind stays in the namespace that it was made in: make it where it belongs";

const UNKNOWN_COMMAND: &str = ": unknown command \"";
const UNKNOWN_OPTION: &str = ": unknown option \"";

/// The table, most specific first.
pub const TABLE: &[Said] = &[
    said("Unknown device type", Kind::Unsupported, NOT_IN_KERNEL, ("Error: Unknown device type.", IPROUTE2)),
    said(
        "The interface netns is immutable",
        Kind::Unsupported,
        Some(STAYS),
        ("Error: The interface netns is immutable.", IPROUTE2),
    ),
    said(
        "Specified qdisc kind is unknown",
        Kind::Unsupported,
        NOT_IN_KERNEL,
        ("Error: Specified qdisc kind is unknown.", IPROUTE2),
    ),
    said(
        "Specified qdisc not found",
        Kind::Unsupported,
        NOT_IN_KERNEL,
        ("Error: Specified qdisc not found.", IPROUTE2),
    ),
    said(
        "Garbage instead of arguments",
        Kind::InvalidArgument,
        None,
        ("Garbage instead of arguments \"x ...\". Try \"ip link help\".", IPROUTE2),
    ),
    said("Cannot find device", Kind::NotFound, None, ("Cannot find device \"veth9\"", IPROUTE2)),
    said("\" does not exist", Kind::NotFound, None, ("Device \"veth9\" does not exist.", IPROUTE2)),
    said(
        "Cannot open network namespace",
        Kind::NotFound,
        None,
        ("Cannot open network namespace \"x\": No such file or directory", IPROUTE2),
    ),
    said(
        "Cannot remove namespace file",
        Kind::NotFound,
        None,
        ("Cannot remove namespace file \"/run/netns/x\": No such file or directory", IPROUTE2),
    ),
    said(
        "Cannot create namespace file",
        Kind::AlreadyExists,
        None,
        ("Cannot create namespace file \"/run/netns/x\": File exists", IPROUTE2),
    ),
    said(
        "Nexthop has invalid gateway",
        Kind::InvalidArgument,
        Some("the gateway must be in a network of one of the links, and that link must be up"),
        ("Error: Nexthop has invalid gateway.", IPROUTE2),
    ),
    said(
        "Nexthop device is not up",
        Kind::InvalidArgument,
        Some("set the link up first"),
        ("Error: Nexthop device is not up.", IPROUTE2),
    ),
    said(
        "Device for nexthop is not up",
        Kind::InvalidArgument,
        Some("set the link up first"),
        ("Error: Device for nexthop is not up.", IPROUTE2),
    ),
    said(
        "Invalid prefix for given prefix length",
        Kind::InvalidArgument,
        None,
        ("Error: Invalid prefix for given prefix length.", IPROUTE2),
    ),
    said("Bridge not found", Kind::NotFound, None, ("Error: Bridge not found.", IPROUTE2)),
    said("RTNETLINK answers: File exists", Kind::AlreadyExists, None, ("RTNETLINK answers: File exists", IPROUTE2)),
    said("ddress already assigned", Kind::AlreadyExists, None, ("Error: ipv4: Address already assigned.", IPROUTE2)),
    said("FIB table does not exist", Kind::NotFound, None, ("Error: ipv4: FIB table does not exist.", IPROUTE2)),
    said("ddress not found", Kind::NotFound, None, ("Error: ipv6: address not found.", IPROUTE2)),
    said(
        "RTNETLINK answers: Operation not permitted",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("RTNETLINK answers: Operation not permitted", IPROUTE2),
    ),
    said(
        "failed: Operation not permitted",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("mount --make-shared /run/netns failed: Operation not permitted", IPROUTE2),
    ),
    said(
        "mkdir /run/netns failed: Permission denied",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("mkdir /run/netns failed: Permission denied", IPROUTE2),
    ),
    said(
        "IPv6 is disabled on this device",
        Kind::Unsupported,
        Some("net.ipv6.conf.….disable_ipv6 is 1 there"),
        ("Error: ipv6: IPv6 is disabled on this device.", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: Operation not supported",
        Kind::Unsupported,
        NOT_IN_KERNEL,
        ("RTNETLINK answers: Operation not supported", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: Device or resource busy",
        Kind::Busy,
        None,
        ("RTNETLINK answers: Device or resource busy", IPROUTE2),
    ),
    said("RTNETLINK answers: No such device", Kind::NotFound, None, ("RTNETLINK answers: No such device", IPROUTE2)),
    said("RTNETLINK answers: No such process", Kind::NotFound, None, ("RTNETLINK answers: No such process", IPROUTE2)),
    said(
        "RTNETLINK answers: Cannot assign requested address",
        Kind::NotFound,
        None,
        ("RTNETLINK answers: Cannot assign requested address", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: No such file or directory",
        Kind::NotFound,
        None,
        ("RTNETLINK answers: No such file or directory", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: Network is unreachable",
        Kind::NotFound,
        None,
        ("RTNETLINK answers: Network is unreachable", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: No route to host",
        Kind::NotFound,
        None,
        ("RTNETLINK answers: No route to host", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: Invalid argument",
        Kind::InvalidArgument,
        None,
        ("RTNETLINK answers: Invalid argument", IPROUTE2),
    ),
    said(
        "RTNETLINK answers: Numerical result out of range",
        Kind::InvalidArgument,
        None,
        ("RTNETLINK answers: Numerical result out of range", IPROUTE2),
    ),
    said(
        "is wrong",
        Kind::InvalidArgument,
        None,
        ("Error: argument \"x\" is wrong: \"name\" not a valid ifname", IPROUTE2),
    ),
    said(
        "prefix is expected rather than",
        Kind::InvalidArgument,
        None,
        ("Error: inet prefix is expected rather than \"300.0.0.1\".", IPROUTE2),
    ),
    said(
        "address is expected rather than",
        Kind::InvalidArgument,
        None,
        ("Error: inet address is expected rather than \"x\".", IPROUTE2),
    ),
    said("is unknown, try", Kind::InvalidArgument, None, ("Object \"x\" is unknown, try \"ip help\".", IPROUTE2)),
    said(
        "mtu greater than device maximum",
        Kind::InvalidArgument,
        None,
        ("Error: mtu greater than device maximum.", IPROUTE2),
    ),
    said(
        "mtu less than device minimum",
        Kind::InvalidArgument,
        None,
        ("Error: mtu less than device minimum.", IPROUTE2),
    ),
    said(
        "you must be root",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        (
            "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
            IPTABLES,
        ),
    ),
    said(
        "currently holding the xtables lock",
        Kind::Busy,
        Some("another program changes iptables at this moment: try again"),
        (
            "Another app is currently holding the xtables lock; still -9s 0us time ahead to have a chance to grab the lock...",
            LEGACY,
        ),
    ),
    said(
        "Couldn't load match",
        Kind::Unsupported,
        Some("the name of a match after `-m` is unknown to this iptables"),
        ("iptables v1.8.9 (nf_tables): Couldn't load match `nosuch':No such file or directory", IPTABLES),
    ),
    said(
        "Couldn't load target",
        Kind::NotFound,
        Some("the target after `-j` is neither a chain of this table nor known to this iptables"),
        ("iptables v1.8.9 (nf_tables): Couldn't load target `NOSUCH':No such file or directory", IPTABLES),
    ),
    said("Chain already exists", Kind::AlreadyExists, None, ("iptables: Chain already exists.", IPTABLES)),
    said(
        "No chain/target/match by that name",
        Kind::NotFound,
        None,
        ("iptables: No chain/target/match by that name.", IPTABLES),
    ),
    said(
        "does a matching rule exist in that chain",
        Kind::NotFound,
        None,
        ("iptables: Bad rule (does a matching rule exist in that chain?).", IPTABLES),
    ),
    said(
        "Directory not empty",
        Kind::Busy,
        Some("flush the chain first: `-F CHAIN`"),
        ("iptables v1.8.9 (nf_tables):  CHAIN_DEL failed (Device or resource busy): chain WEB", IPTABLES),
    ),
    said(
        "CHAIN_DEL failed (Device or resource busy)",
        Kind::Busy,
        Some("flush the chain and remove the rules that jump to it first"),
        ("iptables v1.8.9 (nf_tables):  CHAIN_DEL failed (Device or resource busy): chain WEB", IPTABLES),
    ),
    said(
        "Table does not exist",
        Kind::Unsupported,
        NOT_IN_KERNEL,
        (
            "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
            LEGACY,
        ),
    ),
    said(
        "unknown option \"--",
        Kind::InvalidArgument,
        None,
        ("iptables v1.8.9 (nf_tables): unknown option \"--nosuch\"", IPTABLES),
    ),
    said(
        UNKNOWN_COMMAND,
        Kind::Unsupported,
        NEWER_IPROUTE2,
        ("bridge: unknown command \"no_linklocal_learn\"?", "iproute2 5.9.0"),
    ),
    said(
        UNKNOWN_OPTION,
        Kind::Unsupported,
        NEWER_IPROUTE2,
        ("bridge_slave: unknown option \"bcast_flood\"?", "iproute2 5.9.0"),
    ),
    said("Bad argument", Kind::InvalidArgument, None, ("Bad argument `x'", IPTABLES)),
    said(
        "host/network",
        Kind::InvalidArgument,
        None,
        ("iptables v1.8.9 (nf_tables): host/network `300.0.0.1' not found", IPTABLES),
    ),
    said(
        "Could not process rule: File exists",
        Kind::AlreadyExists,
        None,
        ("Error: Could not process rule: File exists", NFT),
    ),
    said(
        "Could not process rule: No such file or directory",
        Kind::NotFound,
        None,
        ("Error: Could not process rule: No such file or directory", NFT),
    ),
    said(
        "Could not process rule: Operation not permitted",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("Error: Could not process rule: Operation not permitted", NFT),
    ),
    said(
        "Could not process rule: Operation not supported",
        Kind::Unsupported,
        NOT_IN_KERNEL,
        ("Error: Could not process rule: Operation not supported", NFT),
    ),
    said(
        "Error: syntax error, unexpected ",
        Kind::InvalidArgument,
        Some("`man 8 nft` says what stands where"),
        ("Error: syntax error, unexpected newline, expecting string", NFT),
    ),
    said(
        "Error: No such file or directory",
        Kind::NotFound,
        None,
        ("Error: No such file or directory; did you mean table ‘filter’ in family inet?", NFT),
    ),
    said(
        "sysctl: cannot stat",
        Kind::NotFound,
        None,
        ("sysctl: cannot stat /proc/sys/net/ipv4/nosuch: No such file or directory", PROCPS),
    ),
    said(
        "sysctl: permission denied on key",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("sysctl: permission denied on key \"net.ipv4.ip_forward\"", PROCPS),
    ),
    said(
        "Read-only file system",
        Kind::PermissionDenied,
        Some("this setting belongs to the machine, not to a namespace; the sandbox keeps it as it is"),
        ("sysctl: setting key \"kernel.panic\": Read-only file system", PROCPS),
    ),
    said(
        "Invalid argument",
        Kind::InvalidArgument,
        None,
        ("sysctl: setting key \"net.ipv4.ip_forward\": Invalid argument", PROCPS),
    ),
    said(
        "Permission denied",
        Kind::PermissionDenied,
        NEEDS_ROOT,
        ("mkdir /run/netns failed: Permission denied", IPROUTE2),
    ),
];

/// Whether iproute2 does not know one of the words: it is older than the word, or the word is mistyped.
#[must_use]
pub fn is_unknown_word(stderr: &str) -> bool {
    [UNKNOWN_COMMAND, UNKNOWN_OPTION].iter().any(|text| stderr.contains(text))
}

/// Whether a list of routes failed because its table has none: `Error: ipv4: FIB table does not exist.` with status 2 (iproute2 6.1.0).
#[must_use]
pub fn has_no_table(stderr: &str) -> bool {
    stderr.contains("FIB table does not exist")
}

/// Recognises what a tool said.
#[must_use]
pub fn recognise(stderr: &str) -> Option<&'static Said> {
    // What is said first is the cause of what follows.
    stderr.lines().find_map(|line| TABLE.iter().find(|said| line.contains(said.text)))
}

/// Whether the kernel has nothing of the kind, so that there is nothing to read: `EOPNOTSUPP`, `EPROTONOSUPPORT`, `EAFNOSUPPORT`, and
/// `EINVAL` of a netlink subsystem that nobody registered (`nfnetlink_rcv_msg`).
#[must_use]
pub fn is_unsupported(stderr: &str) -> bool {
    ["not supported", "cache initialization failed: Invalid argument", "Failed to initialize nft: Invalid argument"]
        .iter()
        .any(|known| stderr.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_was_seen_is_recognised_as_its_own() {
        for said in TABLE {
            let found = recognise(said.seen.0).unwrap_or_else(|| panic!("{:?} is not recognised", said.seen.0));
            assert_eq!(found.kind, said.kind, "{:?} is taken for {:?}", said.seen.0, found.text);
        }
        assert!(recognise("something new").is_none());
        // A kernel without the family: that there is no table of it either is not the fault.
        let both = "/dev/stdin:1:1-19: Error: Could not process rule: Operation not supported\nadd table inet lab\n\
            /dev/stdin:2:19-21: Error: No such file or directory; did you mean table ‘lab’ in family inet?";
        assert_eq!(recognise(both).map(|said| said.kind), Some(Kind::Unsupported));
    }
}
