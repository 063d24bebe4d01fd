//! "did you mean": the nearest of some names.

/// The candidate nearest to `given`, if any is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter(|candidate| *candidate != given)
        .map(|candidate| (strsim::damerau_levenshtein(&given.to_lowercase(), &candidate.to_lowercase()), candidate))
        // A third of the letters may differ, at least one: `veth9` is near `veth0`, `x` is near nothing.
        .filter(|(distance, candidate)| *distance <= given.chars().count().min(candidate.chars().count()).div_ceil(3))
        .filter(|(distance, candidate)| *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names() {
        assert_eq!(nearest("veth9", ["lo", "veth0"]), Some("veth0"));
        assert_eq!(nearest("bridg", ["bridge", "vlan"]), Some("bridge"));
        assert_eq!(nearest("zzz", ["bridge", "vlan"]), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
