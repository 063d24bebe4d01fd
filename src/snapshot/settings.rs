//! The settings of a namespace: hundreds of files below `/proc/sys/net`, most of them as in every other namespace.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::path_is_of_all;
use crate::files::ReadFolder;
use crate::op::secret;
use crate::probe::devconf::{self, Family, LinkConf, Place};

/// Settings that pass, or that nobody can write. Those that are keys ([`secret::SETTINGS`]) are left out as well.
const PASSING: &[&str] = &[
    "nf_conntrack_count",
    "nf_conntrack_buckets",
    "flush",
    "nf_conntrack_max",
    "nf_conntrack_expect_max",
    "ip_local_reserved_ports",
];

/// The names in a folder, and which of them are folders.
type Listing = Arc<Vec<(String, bool)>>;

/// The names in the folders of settings, as they were found first: all namespaces but the first have the same.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Listing>>);

impl Names {
    /// Those of a folder.
    fn of(&self, path: &str, open: &ReadFolder) -> Listing {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = known().get(path) {
            return Arc::clone(names);
        }
        let mut names = open.names();
        names.retain(|(name, _)| !PASSING.contains(&name.as_str()) && !secret::is_setting(name));
        let names = Arc::new(names);
        known().insert(path.to_owned(), Arc::clone(&names));
        names
    }
}

/// What a namespace has.
#[derive(Default)]
pub(super) struct Settings {
    /// By their path below `/proc/sys`.
    plain: Vec<(String, String)>,
    conf: Vec<Conf>,
}

/// The settings of all links of a family: each has those that new ones get (`devinet_sysctl`, `ipv6_devconf`), so one list of names will do.
struct Conf {
    /// Its path below `/proc/sys`.
    path: String,
    names: Listing,
    /// `all` and `default` are called links there. A value for each name.
    links: Vec<(String, Vec<Option<String>>)>,
}

impl Settings {
    /// Those of the calling thread's namespace.
    pub(super) fn read(known: &Names) -> Self {
        Self::read_with(known, devconf::link_confs().ok().as_deref())
    }

    /// `told` is what the kernel told of the links; without it, each file of theirs is read.
    fn read_with(known: &Names, told: Option<&[LinkConf]>) -> Self {
        let mut found = Self::default();
        let folders = [
            ("net/ipv4", Some(Family::V4)),
            ("net/ipv6", Some(Family::V6)),
            ("net/netfilter", None),
            ("net/bridge", None),
        ];
        for (folder, of_links) in folders {
            let Some(open) = ReadFolder::open(&Path::new("/proc/sys").join(folder)) else { continue };
            found.take(&open, folder, &known.of(folder, &open));
            if let Some((family, conf)) = of_links.and_then(|family| Some((family, open.folder("conf")?))) {
                found.take_conf(&conf, format!("{folder}/conf"), known, (family, told));
            }
        }
        found
    }

    /// Takes the settings that are files of a folder.
    fn take(&mut self, open: &ReadFolder, folder: &str, names: &[(String, bool)]) {
        let files = names.iter().filter(|(_, is_folder)| !is_folder);
        let values = files.filter_map(|(name, _)| Some((name, open.setting(name)?)));
        self.plain.extend(values.map(|(name, text)| (format!("{folder}/{name}"), value_of(&text))));
    }

    fn take_conf(
        &mut self,
        conf: &ReadFolder,
        path: String,
        known: &Names,
        (family, told): (Family, Option<&[LinkConf]>),
    ) {
        let Some(names) = conf.folder("default").map(|open| known.of(&format!("{path}/default"), &open)) else {
            return;
        };
        let by_files = |link: String| {
            let open = conf.folder(&link)?;
            let all = names.iter().map(|(name, _)| open.setting(name).map(|text| value_of(&text))).collect();
            Some((link, all))
        };
        let Some(told) = told else {
            let inside = conf.names();
            self.take(conf, &path, &inside);
            let of_link = inside.into_iter().filter(|(_, is_folder)| *is_folder).map(|(link, _)| link);
            let links = of_link.filter_map(by_files).collect();
            self.conf.push(Conf { path, names, links });
            return;
        };
        let places: Vec<Option<Place>> = names.iter().map(|(name, _)| devconf::place(family, name)).collect();
        let by_answer = |link: &LinkConf| {
            // The few that the kernel does not tell.
            let mut open = None;
            let mut by_file = |name: &str| {
                let open = open.get_or_insert_with(|| conf.folder(&link.link)).as_ref()?;
                open.setting(name).map(|text| value_of(&text))
            };
            let one = |(place, (name, _)): (&Option<Place>, &(String, bool))| {
                link.setting(family, *place).or_else(|| by_file(name))
            };
            (link.link.clone(), places.iter().zip(names.iter()).map(one).collect())
        };
        // No link can be called like one of these two where there are such settings (`sysctl_dev_name_is_allowed`).
        let of_all = ["all", "default"].map(str::to_owned);
        let own = told.iter().filter(|link| link.has(family) && !of_all.contains(&link.link));
        let links = own.map(by_answer).chain(of_all.clone().into_iter().filter_map(by_files)).collect();
        self.conf.push(Conf { path, names, links });
    }

    /// All of them, by their path below `/proc/sys`.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.kept(|_, _| true, |_, _, _| true)
    }

    /// Those that a fresh namespace has otherwise, and those that a link has otherwise than its namespace gives to new ones. Of the host all that hold
    /// for every link, because a fresh namespace has some of them from it.
    pub(super) fn changed(&self, fresh: Option<&BTreeMap<String, String>>, host: bool) -> BTreeMap<String, String> {
        let otherwise =
            |path: &str, value: &str| fresh.is_none_or(|fresh| fresh.get(path).is_some_and(|other| other != value));
        // The kernel has its own for `lo` (`devinet_sysctl_register`, `addrconf_init`).
        let of_lo =
            |path: &str, value: &str| fresh.is_none_or(|fresh| fresh.get(path).map(String::as_str) != Some(value));
        let of_link = |link: &str, path: &str, (value, default): (&str, Option<&str>)| match link {
            // Follows from the link.
            _ if !path_is_of_all(link) && path.ends_with("/mtu") => false,
            "lo" => of_lo(path, value),
            _ if path_is_of_all(link) => host || otherwise(path, value),
            _ => default != Some(value),
        };
        self.kept(otherwise, of_link)
    }

    fn kept(
        &self,
        plain: impl Fn(&str, &str) -> bool,
        of_link: impl Fn(&str, &str, (&str, Option<&str>)) -> bool,
    ) -> BTreeMap<String, String> {
        let mut kept: BTreeMap<String, String> =
            self.plain.iter().filter(|(path, value)| plain(path, value)).cloned().collect();
        let mut path = String::new();
        for Conf { path: folder, names, links } in &self.conf {
            let defaults = links.iter().find(|(link, _)| link == "default").map(|(_, values)| values);
            for (link, values) in links {
                path.clear();
                path.extend([folder.as_str(), "/", link, "/"]);
                let stem = path.len();
                for (at, ((name, _), value)) in names.iter().zip(values).enumerate() {
                    path.truncate(stem);
                    path.push_str(name);
                    let default = defaults.and_then(|all| all.get(at)?.as_deref());
                    if let Some(value) = value
                        && of_link(link, &path, (value, default))
                    {
                        kept.insert(path.clone(), value.clone());
                    }
                }
            }
        }
        kept
    }
}

/// The value of a setting, as its file shows it.
pub(super) fn value_of(text: &str) -> String {
    text.trim().replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a namespace of its own, where links and their settings are not as they were made.
    fn read_both_ways() -> Option<[Settings; 2]> {
        let flags = rustix::thread::UnshareFlags::NEWNET;
        // SAFETY: this thread of the test shares no file or memory with the namespace that it leaves.
        unsafe { rustix::thread::unshare_unsafe(flags) }.ok()?;
        let lines = "link add a.1 mtu 1400 type veth peer name b.2\nlink add br0 type bridge\nlink set lo up\n";
        let made = std::process::Command::new("sh").args(["-c", &format!("printf '{lines}' | ip -batch -")]).status();
        assert!(made.is_ok_and(|status| status.success()));
        for (name, value) in [
            ("ipv4/conf/a.1/rp_filter", "2"),
            ("ipv4/conf/default/rp_filter", "1"),
            ("ipv6/conf/br0/router_solicitation_interval", "7"),
            ("ipv6/conf/a.1/disable_ipv6", "1"),
        ] {
            std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
        }
        let told = devconf::link_confs().unwrap();
        Some([Some(&*told), None].map(|told| Settings::read_with(&Names::default(), told)))
    }

    #[test]
    fn what_the_kernel_tells_of_links_is_what_their_files_show() {
        let Some([told, files]) = std::thread::spawn(read_both_ways).join().unwrap() else {
            println!("skipped: making a network namespace in a thread needs root");
            return;
        };
        assert_eq!(told.all(), files.all());
        assert!(told.all().contains_key("net/ipv4/conf/a.1/rp_filter"));
        assert_eq!(told.changed(Some(&fresh()), false), files.changed(Some(&fresh()), false));
    }

    fn some() -> Settings {
        let values = |all: &[&str]| all.iter().map(|value| (*value != "-").then(|| (*value).to_owned())).collect();
        Settings {
            plain: vec![("net/ipv4/ip_forward".into(), "1".into()), ("net/ipv4/tcp_ecn".into(), "2".into())],
            conf: vec![Conf {
                path: "net/ipv6/conf".into(),
                names: Arc::new(["forwarding", "mtu", "accept_ra"].map(|name| (name.to_owned(), false)).into()),
                links: vec![
                    ("all".into(), values(&["1", "1280", "1"])),
                    ("default".into(), values(&["1", "1280", "1"])),
                    ("lo".into(), values(&["0", "65536", "1"])),
                    ("eth0".into(), values(&["1", "1500", "0"])),
                    ("gone".into(), values(&["-", "-", "-"])),
                ],
            }],
        }
    }

    fn fresh() -> BTreeMap<String, String> {
        let all = [
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv4/tcp_ecn", "2"),
            ("net/ipv6/conf/all/forwarding", "0"),
            ("net/ipv6/conf/all/mtu", "1280"),
            ("net/ipv6/conf/default/forwarding", "0"),
            ("net/ipv6/conf/lo/forwarding", "0"),
            ("net/ipv6/conf/lo/accept_ra", "0"),
        ];
        all.map(|(path, value)| (path.to_owned(), value.to_owned())).into()
    }

    fn paths(all: &BTreeMap<String, String>) -> Vec<&str> {
        all.keys().map(String::as_str).collect()
    }

    #[test]
    fn what_a_fresh_namespace_or_a_new_link_has_otherwise_is_told() {
        let changed = some().changed(Some(&fresh()), false);
        let told = [
            "net/ipv4/ip_forward",
            "net/ipv6/conf/all/forwarding",
            "net/ipv6/conf/default/forwarding",
            "net/ipv6/conf/eth0/accept_ra",
            "net/ipv6/conf/lo/accept_ra",
        ];
        assert_eq!(paths(&changed), told);
        // A setting that the fresh one lacks is one of a module that came later: nobody knows what is usual.
        assert!(!changed.contains_key("net/ipv6/conf/all/accept_ra"));
    }

    #[test]
    fn of_the_host_all_that_hold_for_every_link_is_told() {
        let changed = some().changed(Some(&fresh()), true);
        assert!(changed.contains_key("net/ipv6/conf/all/mtu") && changed.contains_key("net/ipv6/conf/default/mtu"));
        assert!(!changed.contains_key("net/ipv4/tcp_ecn"), "it holds for no link");
        assert!(
            !changed.contains_key("net/ipv6/conf/eth0/forwarding") && !changed.contains_key("net/ipv6/conf/lo/mtu")
        );
    }

    #[test]
    fn nothing_is_usual_where_no_fresh_namespace_can_be_made() {
        let changed = some().changed(None, false);
        assert_eq!(changed.get("net/ipv4/tcp_ecn").map(String::as_str), Some("2"));
        assert_eq!(some().all().len(), 2 + 3 * 4);
    }
}
