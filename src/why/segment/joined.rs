//! Which links are joined: where no frame can get by anything that joins links, none has to be followed.

use std::collections::HashMap;

use super::super::state::Net;
use super::flood::lower;
use crate::model::link::Link;

/// A link and its namespace.
pub(in crate::why) type Joined<'a> = (usize, &'a Link);

/// Sets of which each is joined to itself.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut one: usize) -> usize {
        while self.0[one] != one {
            self.0[one] = self.0[self.0[one]];
            one = self.0[one];
        }
        one
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// All links in parts between which no frame can get: what joins two is what the flood follows, whatever bars its way.
pub(in crate::why) fn joined(net: &Net) -> Vec<Vec<Joined<'_>>> {
    let all: Vec<Joined<'_>> =
        net.all.iter().enumerate().flat_map(|(ns, there)| there.links.iter().map(move |link| (ns, link))).collect();
    let number: HashMap<(usize, &str), usize> =
        all.iter().enumerate().map(|(number, (ns, link))| ((*ns, link.ifname.as_str()), number)).collect();
    let mut sets = Sets((0..all.len()).collect());
    let mut vxlans: HashMap<String, usize> = HashMap::new();
    for (one, (ns, link)) in all.iter().enumerate() {
        let here = |name: Option<&str>| number.get(&(*ns, name?)).copied();
        let peer = net.peer(*ns, link).and_then(|(at, far)| number.get(&(at, far.ifname.as_str())).copied());
        let below = lower(net, *ns, link).and_then(|(at, name)| number.get(&(at, name.as_str())).copied());
        let id = link.linkinfo.info_data.as_ref().and_then(|data| data.get("id")).map(ToString::to_string);
        let tunnel = id.filter(|_| link.kind() == Some("vxlan")).map(|id| *vxlans.entry(id).or_insert(one));
        let others = [here(link.master.as_deref()), here(link.parent()), peer, below, tunnel];
        for other in others.into_iter().flatten() {
            sets.join(one, other);
        }
    }
    let mut parts: HashMap<usize, Vec<Joined<'_>>> = HashMap::new();
    for (one, link) in all.into_iter().enumerate() {
        parts.entry(sets.root(one)).or_default().push(link);
    }
    let mut parts: Vec<(usize, Vec<Joined<'_>>)> = parts.into_iter().collect();
    parts.sort_by_key(|(first, _)| *first);
    parts.into_iter().map(|(_, links)| links).collect()
}
