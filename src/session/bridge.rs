//! Plugging a namespace into a bridge.

use super::link::At;
use super::{Did, Session};
use crate::error::{Error, Kind, Result};
use crate::model::bridge::Tags;
use crate::model::names::link_name;
use crate::op::{self, Op, Where};

/// What `plug` may be told.
#[derive(Clone, Debug, Default)]
pub struct PlugOptions {
    /// The name of the outer end; made from the namespace and the inner name otherwise.
    pub outer: Option<String>,
    /// The VLANs of the port, all of them; the bridge must filter VLANs.
    pub vlans: Option<Vec<(u16, Tags)>>,
    /// Options of the port, in the words of `bridge link set`.
    pub port: Vec<(String, String)>,
}

/// The longest link name: `IFNAMSIZ` - 1 of linux/if.h, in bytes.
const LINK_NAME_MAX_BYTES: usize = 15;

impl Session {
    /// A veth whose inner end is `inner` and whose outer end is a port of `bridge`; both up.
    ///
    /// # Errors
    ///
    /// `NotFound` for the bridge, `InvalidArgument` when it is none, `AlreadyExists` for names that belong to something else.
    pub fn plug(&self, inner: At<'_>, bridge: At<'_>, options: &PlugOptions) -> Result<Did> {
        link_name(inner.1)?;
        let outer = match &options.outer {
            Some(outer) => outer.clone(),
            None => outer_name(inner),
        };
        let outer = (bridge.0, outer.as_str());
        self.require_bridge(bridge)?;
        if options.vlans.is_some() {
            self.require_filter(bridge)?;
        }
        let did = self.plug_in(inner, bridge, outer)?;
        let port = if options.port.is_empty() { Did::Nothing } else { self.port_options(outer, &options.port)? };
        let vlans = options.vlans.as_ref().map_or(Ok(Did::Nothing), |vlans| self.port_vlans(outer, vlans))?;
        Ok(self.count(did.or(port).or(vlans)))
    }

    fn plug_in(&self, inner: At<'_>, bridge: At<'_>, outer: At<'_>) -> Result<Did> {
        let at_once = op::link::add_port(inner, outer, bridge.1);
        let enslave = || Op { place: self.place(), ..op::link::master_up(outer.0, outer.1, bridge.1) };
        let enslave = at_once.is_none().then(enslave);
        let op = at_once.unwrap_or_else(|| op::link::add_veth(inner, outer));
        let mut did = self.veth(inner, outer, op, move |session, number| match enslave {
            Some(op) => {
                session.prove_later(number)?;
                let number = session.make(op)?;
                session.prove_later(number)
            }
            None => session.prove_later(number),
        })?;
        if did == Did::Something {
            self.make_or_defer(op::link::up(inner.0, inner.1))?;
            return Ok(did);
        }
        let port = self.link_require(outer)?;
        if port.master.as_deref() != Some(bridge.1) {
            let former = port.master.as_deref();
            self.act_and_look(op::link::master(outer.0, outer.1, Some(bridge.1), former))?;
            did = Did::Something;
        }
        if !port.is_up() {
            self.act_and_look(op::link::up(outer.0, outer.1))?;
            did = Did::Something;
        }
        if !self.link_require(inner)?.is_up() {
            self.act_and_look(op::link::up(inner.0, inner.1))?;
            did = Did::Something;
        }
        Ok(did)
    }
}

impl Session {
    /// A link that must be a bridge. It is looked at once: should it vanish later, the kernel says so when a port is to join it.
    fn require_bridge(&self, (netns, name): At<'_>) -> Result<()> {
        if self.known.borrow().is_bridge(netns, name) {
            return Ok(());
        }
        let link = self.link_require((netns, name))?;
        if link.kind() == Some("bridge") {
            self.known.borrow_mut().saw_bridge(netns, name);
            return Ok(());
        }
        let kind = link.kind().unwrap_or("physical link");
        Err(Error::new(Kind::InvalidArgument, format!("`{name}` in `{netns}` is a {kind}, not a bridge"))
            .hint(format!("make one: `{}.bridge(\"br0\")`", if *netns == Where::Host { "host()" } else { "ns" }))
            .netns(netns.name()))
    }
}

impl Session {
    /// A bridge that must filter VLANs: in another one, the VLANs of a port keep nobody apart.
    fn require_filter(&self, (netns, name): At<'_>) -> Result<()> {
        let link = self.link_require((netns, name))?;
        let filters = link.linkinfo.info_data.as_ref().and_then(|data| data.get("vlan_filtering"));
        if filters.is_some_and(|filters| filters == 1) {
            return Ok(());
        }
        if filters.is_none() {
            return Err(super::port::no_vlans(netns));
        }
        let ns = if *netns == Where::Host { "host()" } else { "ns" };
        Err(Error::new(
            Kind::InvalidArgument,
            format!("`{name}` in `{netns}` does not filter VLANs, so they would keep nobody apart"),
        )
        .hint(format!("turn it on: `{ns}.bridge(\"{name}\", #{{ vlan_filtering: true }})`"))
        .netns(netns.name()))
    }
}

/// The name of the outer end: `NETNS-LINK`, or when that is too long its beginning and a hash of the whole, so that a second run finds it.
fn outer_name((netns, name): At<'_>) -> String {
    let netns = match netns {
        Where::Host => "host".to_owned(),
        Where::Named(netns) => netns.clone(),
        Where::Path(path) => path.to_string_lossy().into_owned(),
    };
    let whole = format!("{netns}-{name}");
    if link_name(&whole).is_ok() {
        return whole;
    }
    // FNV-1a: stable over versions and machines, which std's hasher does not promise.
    let hash = whole
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let kept: String = netns.chars().filter(char::is_ascii_alphanumeric).take(LINK_NAME_MAX_BYTES - 9).collect();
    format!("{kept}-{:08x}", hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_end_is_named_after_the_inner_one() {
        let name = |netns: &str, link: &str| outer_name((&Where::Named(netns.into()), link));
        assert_eq!(name("ns-blue", "eth0"), "ns-blue-eth0");
        let long = name("a-namespace-with-a-long-name", "eth0");
        assert!(link_name(&long).is_ok() && long.starts_with("anames-"), "{long}");
        assert_ne!(long, name("a-namespace-with-a-long-name", "eth1"));
        assert_ne!(long, name("a-namespace-with-a-long-namf", "eth0"));
        assert!(link_name(&outer_name((&Where::Path("/proc/4711/ns/net".into()), "eth0"))).is_ok());
    }
}
