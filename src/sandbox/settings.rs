//! Settings that a new network namespace takes from the machine, and what they are in a sandbox.
//!
//! The kernel gives a new namespace the IPv4 settings of the machine's own first one (`devinet_init_net` in net/ipv4/devinet.c, unless
//! `net.core.devconf_inherit_init_net` is 2), for example the forwarding that Docker switched on or the `rp_filter` of systemd, and
//! `br_netfilter` switches itself on in each when it is loaded. A sandbox is the same on every machine: as the kernel boots, without that module.

use std::path::Path;

/// A file below `/proc/sys/net` and what is in it.
pub type Setting = (&'static str, &'static str);

/// Where they are.
const NET: &str = "/proc/sys/net";

/// The kernel's own values (`ipv4_devconf`, `ipv4_devconf_dflt` in net/ipv4/devinet.c); of `bridge-nf-call-*` what holds without `br_netfilter`;
/// of `nf_conntrack_helper` its default since 4.7. `ip_forward` stands for `conf/all/forwarding`, and gives it to all links.
const AS_BOOTED: [Setting; 43] = [
    ("ipv4/ip_forward", "0"),
    ("ipv4/conf/default/forwarding", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/accept_local", "0"),
    ("ipv4/conf/default/accept_local", "0"),
    ("ipv4/conf/all/accept_redirects", "1"),
    ("ipv4/conf/default/accept_redirects", "1"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/conf/default/accept_source_route", "1"),
    ("ipv4/conf/all/arp_accept", "0"),
    ("ipv4/conf/default/arp_accept", "0"),
    ("ipv4/conf/all/arp_announce", "0"),
    ("ipv4/conf/default/arp_announce", "0"),
    ("ipv4/conf/all/arp_filter", "0"),
    ("ipv4/conf/default/arp_filter", "0"),
    ("ipv4/conf/all/arp_ignore", "0"),
    ("ipv4/conf/default/arp_ignore", "0"),
    ("ipv4/conf/all/drop_gratuitous_arp", "0"),
    ("ipv4/conf/default/drop_gratuitous_arp", "0"),
    ("ipv4/conf/all/drop_unicast_in_l2_multicast", "0"),
    ("ipv4/conf/default/drop_unicast_in_l2_multicast", "0"),
    ("ipv4/conf/all/ignore_routes_with_linkdown", "0"),
    ("ipv4/conf/default/ignore_routes_with_linkdown", "0"),
    ("ipv4/conf/all/log_martians", "0"),
    ("ipv4/conf/default/log_martians", "0"),
    ("ipv4/conf/all/promote_secondaries", "0"),
    ("ipv4/conf/default/promote_secondaries", "0"),
    ("ipv4/conf/all/proxy_arp", "0"),
    ("ipv4/conf/default/proxy_arp", "0"),
    ("ipv4/conf/all/route_localnet", "0"),
    ("ipv4/conf/default/route_localnet", "0"),
    ("ipv4/conf/all/secure_redirects", "1"),
    ("ipv4/conf/default/secure_redirects", "1"),
    ("ipv4/conf/all/send_redirects", "1"),
    ("ipv4/conf/default/send_redirects", "1"),
    ("ipv4/conf/all/src_valid_mark", "0"),
    ("ipv4/conf/default/src_valid_mark", "0"),
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
    ("bridge/bridge-nf-filter-vlan-tagged", "0"),
    ("netfilter/nf_conntrack_helper", "0"),
];

/// What of the calling thread's network namespace is not as the kernel boots: what it is to be. A setting that this kernel has not is left out.
#[must_use]
pub fn unlike_booted() -> Vec<Setting> {
    let differs = |(file, value): &Setting| {
        std::fs::read_to_string(Path::new(NET).join(file)).is_ok_and(|now| now.trim_end() != *value)
    };
    AS_BOOTED.into_iter().filter(differs).collect()
}

/// Sets them in the calling thread's network namespace. What the kernel refuses stays as it was: some are the machine's alone in older kernels
/// (`bridge-nf-call-*` before 5.3), and nothing later depends on it.
pub fn put_as_booted(settings: &[Setting]) {
    for (file, value) in settings {
        let _ = std::fs::write(Path::new(NET).join(file), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::netns::NetnsFile;

    #[test]
    fn what_is_not_as_booted_is_found_and_put_right() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let work = || {
            // SAFETY: a network namespace of its own, for this thread.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
            put_as_booted(&unlike_booted());
            assert_eq!(unlike_booted(), [], "all of them can be set");
            let changed = [("ipv4/ip_forward", "0"), ("ipv4/conf/default/promote_secondaries", "0")];
            put_as_booted(&changed.map(|(file, _)| (file, "1")));
            let found = unlike_booted();
            assert!(changed.iter().all(|one| found.contains(one)), "{found:?}");
            put_as_booted(&found);
            assert_eq!(unlike_booted(), []);
            NetnsFile::current().unwrap().id()
        };
        let inside = std::thread::spawn(work).join().unwrap();
        assert_ne!(NetnsFile::current().unwrap().id(), inside);
    }
}
