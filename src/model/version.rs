//! Versions as the tools print them.

/// The first run of numbers with dots: `iproute2-6.1.0, libbpf 1.1.2` → `6.1.0`. A snapshot of old (`iproute2-ss190107`) has none.
#[must_use]
pub fn find(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|part| part.trim_matches('.'))
        .find(|part| part.contains('.') && part.split('.').all(|number| !number.is_empty()))
}

/// The numbers of a version, for comparing.
#[must_use]
pub fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|number| number.parse().unwrap_or(u64::MAX)).collect()
}

/// The date of a snapshot, which is how iproute2 named its versions up to 5.8: `iproute2-ss200127` → 200127.
#[must_use]
pub fn snapshot(text: &str) -> Option<u32> {
    let digits = text.split_once("iproute2-ss")?.1;
    digits.get(..6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_tools_print() {
        for (text, version) in [
            ("ip utility, iproute2-6.1.0, libbpf 1.1.2", Some("6.1.0")),
            ("iptables v1.8.9 (nf_tables)", Some("1.8.9")),
            ("sysctl from procps-ng 4.0.2", Some("4.0.2")),
            ("nftables v1.0.6 (Lester Gooch #5)", Some("1.0.6")),
            ("ip utility, iproute2-ss190107", None),
            ("garbage ... . .5. ..", None),
            ("", None),
        ] {
            assert_eq!(find(text), version, "{text}");
        }
        assert!(numbers("5.10.0") > numbers("5.9"));
        assert!(numbers("99999999999999999999999.0") > numbers("6.1"));
        assert_eq!(snapshot("ip utility, iproute2-ss190107"), Some(190_107));
        assert_eq!(snapshot("iproute2-ss19"), None);
        assert_eq!(snapshot("iproute2-ssäöü"), None);
    }
}
