//! "did you mean": the nearest of some names.

use crate::error::Error;

/// The candidate nearest to `given`, if any is near enough to be what was meant; the first of those as near.
///
/// Case, `_` and `-` do not count. Of names of up to four letters one letter may differ, of up to eight two, of longer ones three: with
/// more, everything is near everything. More than one only when the first letter is the same, and of one or two letters not the first.
#[must_use]
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let wanted = fold(given);
    let distance = |candidate: &str| {
        let name = fold(candidate);
        let distance = strsim::damerau_levenshtein(&wanted, &name);
        let same_start = wanted.chars().next() == name.chars().next();
        let allowed = match wanted.chars().count().min(name.chars().count()) {
            0 => return None,
            1 | 2 => usize::from(same_start),
            3 | 4 => 1,
            5..=8 => 1 + usize::from(same_start),
            _ => 1 + 2 * usize::from(same_start),
        };
        (distance <= allowed).then_some(distance)
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != given)
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The error with the nearest candidate as a hint, if one is near enough.
#[must_use]
pub fn with_nearest<'a>(error: Error, given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Error {
    match nearest(given, candidates) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["lo", "veth0", "bridge", "link", "addr", "up", "down", "port_forward", "vlan", "u1saved"];
        for (given, near) in [
            ("veth9", Some("veth0")),
            ("bridg", Some("bridge")),
            ("birdge", Some("bridge")),
            ("bird", None),
            ("portForward", Some("port_forward")),
            ("port-forwrad", Some("port_forward")),
            ("Up", Some("up")),
            ("upp", Some("up")),
            ("ip", None),
            ("lp", Some("lo")),
            ("l", Some("lo")),
            ("x", None),
            ("", None),
            ("adr", Some("addr")),
            ("lnk", Some("link")),
            ("upward", None),
            ("frobnicate", None),
            ("zzz", None),
            ("link", None),
        ] {
            assert_eq!(nearest(given, names), near, "{given}");
        }
    }
}
