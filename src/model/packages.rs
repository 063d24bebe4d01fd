//! Which command installs a package: by `/etc/os-release`, whose `ID` and `ID_LIKE` name the system and what it descends from.

/// A package manager: what its systems are called, how it installs, and what it calls the packages that Debian calls otherwise.
struct Manager {
    systems: &'static [&'static str],
    install: &'static str,
    names: &'static [(&'static str, &'static str)],
}

const DNF: &[(&str, &str)] =
    &[("iproute2", "iproute iproute-tc"), ("procps", "procps-ng"), ("iptables", "iptables-nft")];
const OPENWRT: &[(&str, &str)] = &[
    ("iproute2", "ip-full ip-bridge tc-full"),
    ("procps", "procps-ng-sysctl"),
    ("iptables", "iptables-nft ip6tables-nft"),
];

const MANAGERS: &[Manager] = &[
    Manager { systems: &["debian", "ubuntu"], install: "apt-get install", names: &[] },
    Manager { systems: &["alpine"], install: "apk add", names: &[] },
    Manager { systems: &["fedora", "rhel", "centos"], install: "dnf install", names: DNF },
    Manager { systems: &["arch"], install: "pacman -S", names: &[("procps", "procps-ng")] },
    Manager { systems: &["openwrt"], install: "opkg install", names: OPENWRT },
    Manager { systems: &["suse", "opensuse"], install: "zypper install", names: &[] },
];

/// The command that installs a package, by its Debian name, on the system of this `/etc/os-release`; a sentence where none is known.
#[must_use]
pub(crate) fn install(os_release: &str, package: &str) -> String {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
    };
    let systems = format!("{} {}", value("ID"), value("ID_LIKE"));
    let is_of = |system: &str, manager: &Manager| {
        // `opensuse-leap` and its like.
        manager
            .systems
            .iter()
            .any(|known| system == *known || system.strip_prefix(known).is_some_and(|rest| rest.starts_with('-')))
    };
    let manager = systems.split_whitespace().find_map(|system| MANAGERS.iter().find(|manager| is_of(system, manager)));
    let Some(manager) = manager else {
        return format!("install the package `{package}` (so Debian calls it) with the package manager of this system");
    };
    // OpenWrt 25 has taken apk for opkg.
    let version: u32 = value("VERSION_ID").split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let install = if manager.install.starts_with("opkg") && version >= 25 { "apk add" } else { manager.install };
    let name = manager.names.iter().find(|(debian, _)| *debian == package).map_or(package, |(_, name)| name);
    format!("{install} {name}")
}

#[cfg(test)]
mod tests {
    use super::install;

    #[test]
    fn every_system_has_its_own_words() {
        let cases = [
            ("ID=debian\nVERSION_ID=\"12\"\n", "iproute2", "apt-get install iproute2"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "procps", "apt-get install procps"),
            ("NAME=\"Alpine Linux\"\nID=alpine\n", "iproute2", "apk add iproute2"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "iproute2", "dnf install iproute iproute-tc"),
            ("ID=fedora\n", "procps", "dnf install procps-ng"),
            ("ID=manjaro\nID_LIKE=arch\n", "iproute2", "pacman -S iproute2"),
            ("ID=\"openwrt\"\nID_LIKE=\"lede openwrt\"\nVERSION_ID=\"23.05.3\"\n", "nftables", "opkg install nftables"),
            ("ID=openwrt\nVERSION_ID=\"25.12.0\"\n", "iproute2", "apk add ip-full ip-bridge tc-full"),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", "iproute2", "zypper install iproute2"),
        ];
        for (text, package, line) in cases {
            assert_eq!(install(text, package), line, "{text}");
        }
        for text in ["", "ID=\n", "ID=plan9\n", "no file at all \u{0} ="] {
            assert!(install(text, "iproute2").starts_with("install the package `iproute2`"), "{text}");
        }
    }
}
