//! Namespaces that are alike, as one: a star of 40 is a hub and "node-1 … node-40".

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::{End, Link, Namespace, Role, Spot, Topology};

/// As many must be alike before they are folded.
const ALIKE: usize = 4;

impl Topology {
    /// The picture with at most about `most` namespaces: when there are more, those alike become one, and so do the links to them.
    #[must_use]
    pub fn folded(&self, most: usize) -> Self {
        self.fold(most).0
    }

    /// The same, with those that each of its namespaces stands for.
    pub(super) fn fold(&self, most: usize) -> (Self, Vec<Vec<usize>>) {
        if self.namespaces.len() <= most {
            return (self.clone(), (0..self.namespaces.len()).map(|one| vec![one]).collect());
        }
        let spots = self.index();
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, namespace) in self.namespaces.iter().enumerate() {
            // What is to blame stands out.
            let whole = namespace.role == Role::Netns && namespace.unread.is_none();
            if whole && !self.blames(namespace) && !self.passes_netns(namespace) {
                groups.entry(self.shape(namespace, &spots)).or_default().push(index);
            }
        }
        // Which namespace each one is drawn as.
        let (mut drawn_as, mut members_of) = (HashMap::new(), HashMap::new());
        for members in groups.into_values().filter(|members| members.len() >= ALIKE) {
            drawn_as.extend(members.iter().map(|member| (*member, members[0])));
            let all = members.iter().map(|at| self.namespaces[*at].name.as_str());
            members_of.insert(members[0], (range_of(all), members));
        }
        let mut names: HashMap<&str, String> = HashMap::new();
        for (index, namespace) in self.namespaces.iter().enumerate() {
            let name = match drawn_as.get(&index) {
                Some(first) => members_of[first].0.clone(),
                None => namespace.name.clone(),
            };
            names.insert(&namespace.name, name);
        }
        // Where each link is drawn, so that peers can follow.
        let mut ends: HashMap<End, End> = HashMap::new();
        let (mut namespaces, mut stands_for) = (Vec::new(), Vec::new());
        for index in 0..self.namespaces.len() {
            let members: Vec<usize> = match drawn_as.get(&index) {
                Some(first) if *first != index => continue,
                Some(first) => members_of[first].1.clone(),
                None => vec![index],
            };
            let all: Vec<&Namespace> = members.iter().map(|at| &self.namespaces[*at]).collect();
            namespaces.push(self.merge(&all, &names, &mut ends));
            stands_for.push(members);
        }
        for link in namespaces.iter_mut().flat_map(|namespace: &mut Namespace| &mut namespace.links) {
            for end in [&mut link.peer, &mut link.parent, &mut link.far] {
                *end = end.take().and_then(|end| ends.get(&end).cloned());
            }
        }
        (Self { namespaces, culprit: self.culprit.clone() }, stands_for)
    }

    /// What makes namespaces alike: the same links in the same state on the same others, and routes and rules of the same kind.
    fn shape(&self, namespace: &Namespace, spots: &HashMap<(&str, &str), Spot>) -> String {
        let counts =
            [&namespace.nat, &namespace.filter, &namespace.routes, &namespace.tables, &namespace.rules].map(Vec::len);
        let mut shape = format!("{} {counts:?}", namespace.forwards);
        for link in &namespace.links {
            let other = |end: &Option<End>| {
                let end = end.as_ref()?;
                let spot = spots.get(&(&end.netns, &end.link));
                Some((end.netns.clone(), spot.and_then(|(n, l)| self.namespaces[*n].links[*l].master.clone())))
            };
            let far = [
                other(&link.peer),
                other(&link.parent).filter(|(netns, _)| *netns != namespace.name),
                other(&link.far),
            ];
            let _ = write!(
                shape,
                " {}:{:?}:{}:{:?}:{:?}:{far:?}",
                link.name,
                link.kind,
                link.addrs.len(),
                link.state,
                link.master
            );
        }
        shape
    }

    /// Namespaces that are alike as one; inside of each, links to the same folded namespace and master as one.
    fn merge(&self, members: &[&Namespace], names: &HashMap<&str, String>, ends: &mut HashMap<End, End>) -> Namespace {
        let first = members[0];
        let name = names.get(first.name.as_str()).cloned().unwrap_or_default();
        let mut links: Vec<Link> = Vec::new();
        if members.len() > 1 {
            for (at, link) in first.links.iter().enumerate() {
                let all: Vec<&Link> = members.iter().filter_map(|member| member.links.get(at)).collect();
                links.push(Link { count: 1, ..joined(&all) });
                for member in members {
                    let here = End { netns: name.clone(), link: link.name.clone() };
                    ends.insert(End { netns: member.name.clone(), link: member.links[at].name.clone() }, here);
                }
            }
        } else {
            let mut bundles: Vec<(String, Vec<&Link>)> = Vec::new();
            for link in &first.links {
                let far = link
                    .peer
                    .as_ref()
                    .and_then(|peer| names.get(peer.netns.as_str()).filter(|name| **name != peer.netns))
                    .filter(|_| !self.blames_link(first, link) && !self.passes(first, link));
                let key = match far {
                    Some(far) => format!("{far} {:?} {:?} {}", link.master, link.state, link.addrs.is_empty()),
                    None => link.name.clone(),
                };
                match bundles.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, bundle)) => bundle.push(link),
                    None => bundles.push((key, vec![link])),
                }
            }
            for (_, bundle) in &bundles {
                let link = joined(bundle);
                for part in bundle {
                    let here = End { netns: name.clone(), link: link.name.clone() };
                    ends.insert(End { netns: name.clone(), link: part.name.clone() }, here);
                }
                links.push(link);
            }
        }
        Namespace { name, count: members.len(), links, ..first.clone() }
    }
}

/// Links as one: `veth-1 … veth-40` with the first and last address.
fn joined(all: &[&Link]) -> Link {
    let Some(first) = all.first() else { return Link::default() };
    let name = range_of(all.iter().map(|link| link.name.as_str()));
    let addrs = (0..first.addrs.len())
        .map(|at| range_of(all.iter().filter_map(|link| link.addrs.get(at)).map(String::as_str)))
        .collect();
    Link { name, addrs, count: all.len(), ..(*first).clone() }
}

/// `first … last` by their numbers, or the one when all are the same.
fn range_of<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = all.collect();
    all.sort_by_cached_key(|text| natural(text));
    match (all.first(), all.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} … {last}"),
        (Some(one), _) => (*one).to_owned(),
        _ => String::new(),
    }
}

/// Text cut into words and numbers, so that `node-9` comes before `node-10`.
fn natural(text: &str) -> Vec<(u128, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[word..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |len| word + len);
        // The word first: the number that follows it decides among the same words.
        parts.push((0, rest[..word].to_owned()));
        parts.push((rest[word..digits].parse().unwrap_or(u128::MAX), String::new()));
        rest = &rest[digits..];
    }
    parts
}
