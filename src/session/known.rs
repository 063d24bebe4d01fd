//! What needs no look: a namespace that this run just made holds nothing but what this run put there.
//!
//! A look costs a question to the kernel and, in a new namespace, the wait for its warm `ip` to start. So what is known by construction is not
//! asked. The knowledge ends as soon as anything acts that netwright does not understand.

use std::collections::{HashMap, HashSet};

use crate::op::{Object, Op, Undo, Where};

/// What is known of the namespaces that this run made, and of bridges that it saw.
#[derive(Debug, Default)]
pub(super) struct Known {
    namespaces: HashMap<Where, Fresh>,
    bridges: HashSet<(Where, String)>,
}

/// A namespace since it was made.
#[derive(Debug, Default)]
struct Fresh {
    links: HashSet<String>,
    addressed: HashSet<String>,
    routed: bool,
}

impl Known {
    /// There is no link of this name.
    pub(super) fn no_link(&self, netns: &Where, name: &str) -> bool {
        name != "lo" && self.namespaces.get(netns).is_some_and(|fresh| !fresh.links.contains(name))
    }

    /// The link is there and nobody gave it an address.
    pub(super) fn no_address(&self, netns: &Where, link: &str) -> bool {
        let fresh = self.namespaces.get(netns);
        fresh.is_some_and(|fresh| fresh.links.contains(link) && !fresh.addressed.contains(link))
    }

    /// Nobody made a route by hand.
    pub(super) fn no_route(&self, netns: &Where) -> bool {
        self.namespaces.get(netns).is_some_and(|fresh| !fresh.routed)
    }

    /// The link is a bridge.
    pub(super) fn is_bridge(&self, netns: &Where, name: &str) -> bool {
        self.bridges.contains(&(netns.clone(), name.to_owned()))
    }

    /// The link was seen to be a bridge.
    pub(super) fn saw_bridge(&mut self, netns: &Where, name: &str) {
        self.bridges.insert((netns.clone(), name.to_owned()));
    }

    /// Learns from an op that is about to run.
    pub(super) fn learn(&mut self, op: &Op) {
        let netns = &op.command.netns;
        match &op.changes {
            Object::Netns { name } => {
                let netns = Where::Named(name.clone());
                self.namespaces.remove(&netns);
                if matches!(op.undo, Undo::Commands(_)) {
                    self.namespaces.insert(netns, Fresh::default());
                } else {
                    self.bridges.clear();
                }
            }
            Object::Link { netns, name, peer } => {
                if matches!(op.undo, Undo::None(_)) {
                    // A deleted link takes its other end, its addresses and its routes with it.
                    return self.forget();
                }
                let ends = std::iter::once((netns, name)).chain(peer.iter().map(|(netns, name)| (netns, name)));
                for (netns, name) in ends {
                    if let Some(fresh) = self.namespaces.get_mut(netns) {
                        fresh.links.insert(name.clone());
                    }
                }
            }
            Object::LinkSetting { setting, .. } if op.moves_names() || setting == "name" => self.forget(),
            Object::Addr { link, .. } => {
                if let Some(fresh) = self.namespaces.get_mut(netns) {
                    fresh.addressed.insert(link.clone());
                }
            }
            Object::Route { .. } => {
                if let Some(fresh) = self.namespaces.get_mut(netns) {
                    fresh.routed = true;
                }
            }
            Object::Raw => self.forget(),
            _ => {}
        }
    }

    /// Knows nothing any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;

    #[test]
    fn what_is_known_ends_when_somebody_else_may_have_acted() {
        let red = Where::Named("red".into());
        let mut known = Known::default();
        assert!(!known.no_link(&red, "eth0"), "nothing is known of a namespace that was there before");
        known.learn(&op::netns::add("red"));
        assert!(known.no_link(&red, "eth0") && known.no_route(&red));
        assert!(!known.no_link(&red, "lo") && !known.no_address(&red, "eth0"));
        known.learn(&op::link::add_veth((&red, "eth0"), (&Where::Host, "p0")));
        assert!(!known.no_link(&red, "eth0") && known.no_address(&red, "eth0"));
        known.learn(&op::link::addr_add(&red, "eth0", "10.0.0.1/24"));
        assert!(!known.no_address(&red, "eth0"));
        known.learn(&op::route::add(&red, op::route::Family::V4, "default", &[]));
        assert!(!known.no_route(&red));
        known.saw_bridge(&Where::Host, "br0");
        known.learn(&op::link::delete(&red, "eth0"));
        assert!(!known.no_link(&red, "eth0") && !known.is_bridge(&Where::Host, "br0"));
    }
}
