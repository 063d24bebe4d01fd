//! Which two links are the ends of one cable.

use super::Session;
use super::link::{At, describe};
use crate::error::{Error, Kind, Result};
use crate::model::link::{Link, Peer};
use crate::model::netns;
use crate::op::{self, Where};
use crate::probe::Ids;

impl Session {
    /// The other end of a veth, wherever it is.
    ///
    /// # Errors
    ///
    /// `NotFound` for the link, or when it has no other end that netwright can see.
    pub fn link_peer(&self, at: At<'_>) -> Result<(Where, String)> {
        let link = self.link_require(at)?;
        match link.peer() {
            Some(Peer::Here(name)) => Ok((at.0.clone(), name)),
            Some(Peer::Elsewhere { ifindex, .. }) => {
                for netns in self.everywhere() {
                    let Ok(links) = self.links(&netns) else { continue };
                    let Some(other) = links.into_iter().find(|other| other.ifindex == ifindex) else { continue };
                    if self.are_ends((at.0, &link), (&netns, &other))? {
                        return Ok((netns, other.ifname));
                    }
                }
                Err(Error::new(Kind::NotFound, format!("the other end of `{}` is in a namespace without a name", at.1)))
            }
            None => Err(Error::new(
                Kind::NotFound,
                format!("`{}` in `{}` is {}: it has no other end", at.1, at.0, describe(&link)),
            )),
        }
    }

    /// Whether two links are the ends of one veth.
    pub(super) fn are_ends(&self, a: (&Where, &Link), b: (&Where, &Link)) -> Result<bool> {
        match (a.1.peer(), b.1.peer()) {
            (Some(Peer::Here(to_b)), Some(Peer::Here(to_a))) => {
                Ok(a.0 == b.0 && to_b == b.1.ifname && to_a == a.1.ifname)
            }
            (
                Some(Peer::Elsewhere { ifindex: index_b, netnsid: id_b }),
                Some(Peer::Elsewhere { ifindex: index_a, netnsid: id_a }),
            ) => {
                if a.0 == b.0 || index_b != b.1.ifindex || index_a != a.1.ifindex {
                    return Ok(false);
                }
                // Two veths between fresh namespaces have the same indices; only the id says which namespace is meant.
                match (a.0, b.0) {
                    (from, Where::Named(name)) => self.has_netnsid(from, name, id_b),
                    (Where::Named(name), from) => self.has_netnsid(from, name, id_a),
                    _ => Ok(true),
                }
            }
            _ => Ok(false),
        }
    }

    /// Whether `from` knows the namespace `name` by this id. Ids are made when links are listed, so they are there by now. The kernel is asked for
    /// the one: `ip netns list` opens every name there is.
    fn has_netnsid(&self, from: &Where, name: &str, id: Option<i32>) -> Result<bool> {
        let file = self.exec.netns(&Where::Named(name.to_owned()))?;
        if let Ok(known) = self.exec.within(from, || Ids::open().and_then(|ids| ids.of(&file)))? {
            return Ok(id.is_some() && known == id);
        }
        let names = netns::parse(&self.query(&op::netns::list(from))?)?;
        Ok(id.is_some() && names.iter().any(|entry| entry.name == name && entry.id == id))
    }
}
