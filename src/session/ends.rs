//! Where links lead that lead into another namespace, when many namespaces are looked at together.

use std::collections::HashMap;

use crate::exec::asker::{inside, side_by_side};
use crate::exec::netns::NetnsFile;
use crate::model::link::Link;
use crate::op::Where;
use crate::probe::Ids;

/// A link, by the index of its namespace and its own.
pub(crate) type Spot = (usize, usize);

/// A namespace and its links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    /// How it is named.
    pub at: &'a Where,
    /// The namespace itself.
    pub file: &'a NetnsFile,
    /// What `ip -d link show` told of its links.
    pub links: &'a [Link],
}

/// The links in other namespaces that links lead to: the other end of a veth, the parent of a link that was moved. Indices are alike in many
/// namespaces, so the id that this one has for the other has to agree too.
#[must_use]
pub(crate) fn ends(seen: &[Shown<'_>]) -> HashMap<Spot, Spot> {
    let mut by_index: HashMap<u32, Vec<Spot>> = HashMap::new();
    for (n, raw) in seen.iter().enumerate() {
        for (l, link) in raw.links.iter().enumerate() {
            by_index.entry(link.ifindex).or_default().push((n, l));
        }
    }
    // A veth is named by both of its ends: hardly ever there is more than one that fits.
    let mut pairs: HashMap<(u32, u32), Vec<Spot>> = HashMap::new();
    for (n, raw) in seen.iter().enumerate() {
        for (l, link) in raw.links.iter().enumerate().filter(|(_, link)| link.kind() == Some("veth")) {
            pairs.entry((link.ifindex, link.link_index.unwrap_or(0))).or_default().push((n, l));
        }
    }
    let all: Vec<_> = seen.iter().enumerate().map(|spot| (spot, spot.1.at, spot.1.file)).collect();
    let found = side_by_side(&all, |((n, raw), ..)| {
        let away: Vec<(usize, &Link)> =
            raw.links.iter().enumerate().filter(|(_, link)| link.link_index.is_some_and(|index| index != 0)).collect();
        if away.is_empty() {
            return Vec::new();
        }
        let ids = inside(raw.at, raw.file, Ids::open).ok().and_then(std::result::Result::ok);
        let id_of = |other: usize| ids.as_ref().and_then(|ids| ids.of(seen[other].file).ok()).flatten();
        away.into_iter()
            .filter_map(|(l, link)| {
                let index = link.link_index?;
                let is_veth = link.kind() == Some("veth");
                let fits = if is_veth { pairs.get(&(index, link.ifindex)) } else { by_index.get(&index) }?;
                let fits = fits.iter().filter(|(other, _)| other != n);
                let found = match link.link_netnsid {
                    Some(id) => fits.into_iter().find(|(other, _)| id_of(*other) == Some(id)),
                    // It has no id for that namespace: one that it has an id for it is not.
                    None => fits.into_iter().find(|(other, _)| is_veth && id_of(*other).is_none()),
                }?;
                Some(((*n, l), *found))
            })
            .collect()
    });
    found.into_iter().flatten().collect()
}
