//! The settings of links, as the kernel tells all of them in one answer: `conf/LINK` of `/proc/sys/net/ipv4` and `ipv6` without opening a file for each.

use std::io;

use super::changes::socket;
use super::dump::{Attributes, dump};

/// From `linux/rtnetlink.h`, `linux/if_link.h`.
const RTM_GETLINK: u16 = 18;
const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_CONF: u16 = 2;
/// Counters are left out.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
/// `struct ifinfomsg`.
const IFINFOMSG: usize = 16;

/// How the file of a setting shows what the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// `proc_dointvec`.
    Signed,
    /// `proc_douintvec`.
    Unsigned,
    /// `proc_dointvec_jiffies`, where netlink has milliseconds (`ipv6_store_devconf`).
    Seconds,
}

use Shown::{Seconds, Signed, Unsigned};

/// The files of `/proc/sys/net/ipv4/conf/LINK`, in the order of `IPV4_DEVCONF_*` (`linux/ip.h`): numbers that are never given again.
const V4: &[(&str, Shown)] = &[
    ("forwarding", Signed),
    ("mc_forwarding", Signed),
    ("proxy_arp", Signed),
    ("accept_redirects", Signed),
    ("secure_redirects", Signed),
    ("send_redirects", Signed),
    ("shared_media", Signed),
    ("rp_filter", Signed),
    ("accept_source_route", Signed),
    ("bootp_relay", Signed),
    ("log_martians", Signed),
    ("tag", Signed),
    ("arp_filter", Signed),
    ("medium_id", Signed),
    ("disable_xfrm", Signed),
    ("disable_policy", Signed),
    ("force_igmp_version", Signed),
    ("arp_announce", Signed),
    ("arp_ignore", Signed),
    ("promote_secondaries", Signed),
    ("arp_accept", Signed),
    ("arp_notify", Signed),
    ("accept_local", Signed),
    ("src_valid_mark", Signed),
    ("proxy_arp_pvlan", Signed),
    ("route_localnet", Signed),
    ("igmpv2_unsolicited_report_interval", Signed),
    ("igmpv3_unsolicited_report_interval", Signed),
    ("ignore_routes_with_linkdown", Signed),
    ("drop_unicast_in_l2_multicast", Signed),
    ("drop_gratuitous_arp", Signed),
    ("bc_forwarding", Signed),
    ("arp_evict_nocarrier", Signed),
];

/// The files of `/proc/sys/net/ipv6/conf/LINK`, in the order of `DEVCONF_*` (`linux/ipv6.h`).
const V6: &[(&str, Shown)] = &[
    ("forwarding", Signed),
    ("hop_limit", Signed),
    ("mtu", Signed),
    ("accept_ra", Signed),
    ("accept_redirects", Signed),
    ("autoconf", Signed),
    ("dad_transmits", Signed),
    ("router_solicitations", Signed),
    ("router_solicitation_interval", Seconds),
    ("router_solicitation_delay", Seconds),
    ("use_tempaddr", Signed),
    ("temp_valid_lft", Signed),
    ("temp_prefered_lft", Signed),
    ("regen_max_retry", Signed),
    ("max_desync_factor", Signed),
    ("max_addresses", Signed),
    ("force_mld_version", Signed),
    ("accept_ra_defrtr", Signed),
    ("accept_ra_pinfo", Signed),
    ("accept_ra_rtr_pref", Signed),
    ("router_probe_interval", Seconds),
    ("accept_ra_rt_info_max_plen", Signed),
    ("proxy_ndp", Signed),
    ("optimistic_dad", Signed),
    ("accept_source_route", Signed),
    ("mc_forwarding", Signed),
    ("disable_ipv6", Signed),
    ("accept_dad", Signed),
    ("force_tllao", Signed),
    ("ndisc_notify", Signed),
    ("mldv1_unsolicited_report_interval", Signed),
    ("mldv2_unsolicited_report_interval", Signed),
    ("suppress_frag_ndisc", Signed),
    ("accept_ra_from_local", Signed),
    ("use_optimistic", Signed),
    ("accept_ra_mtu", Signed),
    // A place that is always empty: the secret is not told.
    ("", Signed),
    ("use_oif_addrs_only", Signed),
    ("accept_ra_min_hop_limit", Signed),
    ("ignore_routes_with_linkdown", Signed),
    ("drop_unicast_in_l2_multicast", Signed),
    ("drop_unsolicited_na", Signed),
    ("keep_addr_on_down", Signed),
    ("router_solicitation_max_interval", Seconds),
    ("seg6_enabled", Signed),
    ("seg6_require_hmac", Signed),
    ("enhanced_dad", Signed),
    ("addr_gen_mode", Signed),
    ("disable_policy", Signed),
    ("accept_ra_rt_info_min_plen", Signed),
    ("ndisc_tclass", Signed),
    ("rpl_seg_enabled", Signed),
    ("ra_defrtr_metric", Unsigned),
    ("ioam6_enabled", Signed),
    ("ioam6_id", Unsigned),
    ("ioam6_id_wide", Unsigned),
    ("ndisc_evict_nocarrier", Signed),
    ("accept_untracked_na", Signed),
    ("accept_ra_min_lft", Signed),
    ("force_forwarding", Signed),
];

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `/proc/sys/net/ipv4/conf`.
    V4,
    /// `/proc/sys/net/ipv6/conf`.
    V6,
}

impl Family {
    fn names(self) -> &'static [(&'static str, Shown)] {
        match self {
            Self::V4 => V4,
            Self::V6 => V6,
        }
    }
}

/// The settings of a link, as the kernel told them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkConf {
    /// Its name.
    pub link: String,
    /// In the order of [`V4`] and of [`V6`]; `None` where it has none of the family.
    v4: Option<Vec<u32>>,
    v6: Option<Vec<u32>>,
}

impl LinkConf {
    /// Whether it has settings of a family.
    #[must_use]
    pub fn has(&self, family: Family) -> bool {
        self.told(family).is_some()
    }

    fn told(&self, family: Family) -> Option<&[u32]> {
        match family {
            Family::V4 => self.v4.as_deref(),
            Family::V6 => self.v6.as_deref(),
        }
    }

    /// What the file of a setting would show, which must be there; `None` for one that the kernel does not tell.
    #[must_use]
    pub fn setting(&self, family: Family, at: Option<Place>) -> Option<String> {
        let Place(at) = at?;
        let (value, (_, shown)) = (*self.told(family)?.get(at)?, family.names().get(at)?);
        match shown {
            Signed => Some(value.cast_signed().to_string()),
            Unsigned => Some(value.to_string()),
            Seconds => (value % 1000 == 0).then(|| (value / 1000).to_string()),
        }
    }
}

/// Where a setting stands in what the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// That of the file of a name; `None` for one that the kernel does not tell.
#[must_use]
pub fn place(family: Family, name: &str) -> Option<Place> {
    family.names().iter().position(|(known, _)| *known == name && !name.is_empty()).map(Place)
}

/// The settings of all links of the calling thread's namespace.
///
/// # Errors
///
/// What the kernel says; an answer that is cut.
pub fn link_confs() -> io::Result<Vec<LinkConf>> {
    let mut head = vec![0; IFINFOMSG];
    head.extend(8_u16.to_ne_bytes());
    head.extend(IFLA_EXT_MASK.to_ne_bytes());
    head.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    links(&dump(&socket(None, &[])?, RTM_GETLINK, &head)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The links of an answer.
fn links(mut told: &[u8]) -> Option<Vec<LinkConf>> {
    /// What [`dump`] leaves of a header.
    const HEADER: usize = 8;
    /// The whole header that its length counts.
    const WHOLE: usize = 16;
    let mut links = Vec::new();
    while !told.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(told.get(..4)?.try_into().ok()?)).ok()?;
        let kind = u16::from_ne_bytes(told.get(4..6)?.try_into().ok()?);
        let end = length.checked_sub(WHOLE - HEADER)?;
        if kind == RTM_NEWLINK {
            links.push(link(told.get(HEADER + IFINFOMSG..end)?)?);
        }
        told = told.get(end..)?;
    }
    Some(links)
}

fn link(attributes: &[u8]) -> Option<LinkConf> {
    let mut found = LinkConf::default();
    for (kind, value) in Attributes(attributes) {
        match kind {
            IFLA_IFNAME => found.link = String::from_utf8(value.strip_suffix(&[0])?.to_vec()).ok()?,
            IFLA_AF_SPEC => {
                for (family, inside) in Attributes(value) {
                    let of =
                        |wanted| Attributes(inside).find(|(kind, _)| *kind == wanted).map(|(_, value)| words(value));
                    match i32::from(family) {
                        libc::AF_INET => found.v4 = of(IFLA_INET_CONF),
                        libc::AF_INET6 => found.v6 = of(IFLA_INET6_CONF),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (!found.link.is_empty()).then_some(found)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).filter_map(|four| Some(u32::from_ne_bytes(four.try_into().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    /// The files of `conf/LINK`, each with what it shows.
    fn files(family: Family, link: &str) -> BTreeMap<String, String> {
        let number = if family == Family::V4 { 4 } else { 6 };
        let files = fs::read_dir(format!("/proc/sys/net/ipv{number}/conf/{link}")).into_iter().flatten().flatten();
        let shown = |file: fs::DirEntry| {
            let text = fs::read_to_string(file.path()).ok()?;
            Some((file.file_name().into_string().ok()?, text.trim().to_owned()))
        };
        files.filter_map(shown).collect()
    }

    /// Every file that can be written gets another value, so that none is right by chance.
    fn every_setting() -> Option<()> {
        let flags = rustix::thread::UnshareFlags::NEWNET;
        // SAFETY: this thread of the test shares no file or memory with the namespace that it leaves.
        unsafe { rustix::thread::unshare_unsafe(flags) }.ok()?;
        let made = std::process::Command::new("ip")
            .args(["link", "add", "a.1", "mtu", "1400", "type", "veth", "peer", "name", "b.2"])
            .status();
        assert!(made.is_ok_and(|status| status.success()));
        let (mut told, mut other) = (0, 0);
        for family in [Family::V4, Family::V6] {
            for (name, value) in files(family, "a.1") {
                let path = format!("/proc/sys/net/ipv{}/conf/a.1/{name}", if family == Family::V4 { 4 } else { 6 });
                let number: i64 = value.parse().unwrap_or(0);
                // The MTU of IPv6 ends with that of the link. A link without IPv6 has no settings of it that are told.
                if name != "disable_ipv6" {
                    let others = [number + 1, number - 1, 1 - number, 3_000_000_000];
                    other += usize::from(others.iter().any(|value| fs::write(&path, value.to_string()).is_ok()));
                }
            }
        }
        let confs = link_confs().unwrap();
        for link in ["lo", "a.1"] {
            let conf = confs.iter().find(|conf| conf.link == link).unwrap();
            for family in [Family::V4, Family::V6].into_iter().filter(|family| conf.has(*family)) {
                for (name, shown) in files(family, link) {
                    if let Some(value) = conf.setting(family, place(family, &name)) {
                        assert_eq!(value, shown, "{family:?} {link} {name}");
                        told += 1;
                    }
                }
            }
        }
        assert!(told >= 100 && other >= 50, "{told} told, {other} with another value");
        Some(())
    }

    #[test]
    fn what_the_kernel_tells_is_what_its_files_show() {
        if std::thread::spawn(every_setting).join().unwrap().is_none() {
            println!("skipped: making a network namespace in a thread needs root");
        }
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        let mut told = Vec::new();
        let mut attributes = Vec::new();
        attributes.extend(7_u16.to_ne_bytes());
        attributes.extend(IFLA_IFNAME.to_ne_bytes());
        attributes.extend(b"lo\0\0");
        told.extend(u32::try_from(16 + IFINFOMSG + attributes.len()).unwrap().to_ne_bytes());
        told.extend(RTM_NEWLINK.to_ne_bytes());
        told.extend([0; 2 + IFINFOMSG]);
        told.extend(attributes);
        assert_eq!(links(&told).unwrap(), [LinkConf { link: "lo".into(), ..LinkConf::default() }]);
        assert_eq!(links(&[]), Some(Vec::new()));
        for cut in 1..told.len() {
            assert_eq!(links(&told[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_setting_has_one_place() {
        for family in [Family::V4, Family::V6] {
            for (at, (name, _)) in family.names().iter().enumerate() {
                assert_eq!(place(family, name), (!name.is_empty()).then_some(Place(at)), "{name}");
            }
        }
    }
}
