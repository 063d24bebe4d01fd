//! Links: making them, setting them, looking at them.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::record::{Record, row};
use super::value::{Options, interface_addr, pairs, to_map, type_of};
use super::{Link, Netns, Out, act, reject};
use crate::error::Result;
use crate::model::ethtool::listed_name;
use crate::model::link;
use crate::op;
use crate::session::{PlugOptions, Session};

/// A link of a kind.
fn ensure(context: &NativeCallContext, netns: &Netns, kind: &str, name: &str, options: &Map) -> Out<Link> {
    let options = reject(context, pairs(options, kind))?;
    act(context, &netns.run, |session| session.link_ensure((&netns.at, name), kind, &options))?;
    Ok(netns.link(name))
}

/// A verb on a link, which returns the link so that verbs chain.
pub(super) fn verb<T>(context: &NativeCallContext, link: &Link, work: impl FnOnce(&Session) -> Result<T>) -> Out<Link> {
    act(context, &link.netns.run, work)?;
    Ok(link.clone())
}

/// A question about a link.
fn look<T>(context: &NativeCallContext, link: &Link, work: impl FnOnce(link::Link) -> T) -> Out<T> {
    act(context, &link.netns.run, |session| session.link_require(link.at())).map(work)
}

/// A link as a map: what `ip -j -d link show` prints, without the addresses that come with it here.
pub(crate) fn link_map(link: &link::Link) -> Map {
    let mut map = to_map(link.raw());
    map.remove("addr_info");
    map
}

#[export_module]
pub mod api {
    /// A veth pair with both ends made in place; returns `[link in a, link in b]`.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// assert_eq(ends[0].peer.netns.name, "ns-green");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn veth(context: NativeCallContext, a: Netns, a_name: &str, b: Netns, b_name: &str) -> Out<Array> {
        act(&context, &a.run, |session| session.veth_ensure((&a.at, a_name), (&b.at, b_name)))?;
        Ok(vec![Dynamic::from(a.link(a_name)), Dynamic::from(b.link(b_name))])
    }

    /// An existing link.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").state, "UNKNOWN");
    /// ```
    #[rhai_fn(name = "link", return_raw, pure)]
    pub fn existing(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        act(&context, &netns.run, |session| session.link_require((&netns.at, name)))?;
        Ok(netns.link(name))
    }

    /// Plugs the namespace into a bridge: a veth whose inner end is `name` and whose outer end is a port of the bridge, both up.
    /// Returns the inner link.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// let eth0 = netns("ns-blue").plug("eth0", br0);
    /// assert_eq(eth0.peer.info.master, "br0");
    /// ```
    #[rhai_fn(name = "plug", return_raw, pure)]
    pub fn plug(context: NativeCallContext, netns: &mut Netns, name: &str, bridge: Link) -> Out<Link> {
        act(&context, &netns.run, |session| session.plug((&netns.at, name), bridge.at(), &PlugOptions::default()))?;
        Ok(netns.link(name))
    }

    /// The same with a name for the outer end (`outer`), its VLANs, and options of the port as `bridge_link` has them. `vlan: 10` makes it a port
    /// of that VLAN alone, which what is plugged in does not see. `vlans: [10, "20-29"]` makes it a trunk: they come and go with their tags, but for
    /// the one that is its `pvid`, which has none, or with `tagged: true` is sent with it. It is in no other VLAN then. The bridge must filter VLANs.
    ///
    /// ```rhai
    /// let br0 = host().bridge("br0").up();
    /// netns("ns-blue").plug("eth0", br0, #{ outer: "to-blue", isolated: true });
    /// assert_eq(host().link("to-blue").info.master, "br0");
    /// ```
    #[rhai_fn(name = "plug", return_raw, pure)]
    pub fn plug_with(
        context: NativeCallContext,
        netns: &mut Netns,
        name: &str,
        bridge: Link,
        options: Map,
    ) -> Out<Link> {
        let options = reject(&context, super::super::bridge::plug_options(options))?;
        act(&context, &netns.run, |session| session.plug((&netns.at, name), bridge.at(), &options))?;
        Ok(netns.link(name))
    }

    /// The link of the default route.
    ///
    /// ```rhai
    /// assert_eq(host().uplink().name, "eth0");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn uplink(context: NativeCallContext, netns: &mut Netns) -> Out<Link> {
        let name = act(&context, &netns.run, |session| session.uplink(&netns.at))?;
        Ok(netns.link(&name))
    }

    /// The bridge `name`, made if it is not there.
    ///
    /// ```rhai
    /// let link = netns("ns-blue").bridge("br0");
    /// assert_eq(link.info.linkinfo.info_kind, "bridge");
    /// ```
    #[rhai_fn(name = "bridge", return_raw, pure)]
    pub fn bridge(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "bridge", name, &Map::new())
    }

    /// The bridge `name` with iproute2's options of a bridge, made or changed if it is not so.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.bridge("br0", #{ stp_state: 0 });
    /// assert_eq(blue.link("br0").info.linkinfo.info_kind, "bridge");
    /// ```
    #[rhai_fn(name = "bridge", return_raw, pure)]
    pub fn bridge_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "bridge", name, &options)
    }

    /// The VLAN `name` with iproute2's options of a vlan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vlan");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.vlan("eth0.10", #{ link: "eth0", id: 10 });
    /// assert_eq(blue.link("eth0.10").info.linkinfo.info_kind, "vlan");
    /// ```
    #[rhai_fn(name = "vlan", return_raw, pure)]
    pub fn vlan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vlan", name, &options)
    }

    /// The VXLAN tunnel `name` with iproute2's options of a vxlan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vxlan");
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("10.0.0.1/32");
    /// blue.vxlan("vx0", #{ id: 42, local: "10.0.0.1", remote: "10.0.0.2", dstport: 4789 });
    /// assert_eq(blue.link("vx0").info.linkinfo.info_kind, "vxlan");
    /// ```
    #[rhai_fn(name = "vxlan", return_raw, pure)]
    pub fn vxlan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vxlan", name, &options)
    }

    /// The macvlan `name` with iproute2's options of a macvlan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("macvlan");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.macvlan("mv0", #{ link: "eth0", mode: "bridge" });
    /// assert_eq(blue.link("mv0").info.linkinfo.info_kind, "macvlan");
    /// ```
    #[rhai_fn(name = "macvlan", return_raw, pure)]
    pub fn macvlan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "macvlan", name, &options)
    }

    /// The ipvlan `name` with iproute2's options of a ipvlan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ipvlan");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.ipvlan("iv0", #{ link: "eth0", mode: "l2" });
    /// assert_eq(blue.link("iv0").info.linkinfo.info_kind, "ipvlan");
    /// ```
    #[rhai_fn(name = "ipvlan", return_raw, pure)]
    pub fn ipvlan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ipvlan", name, &options)
    }

    /// The dummy `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("dummy");
    /// let link = netns("ns-blue").dummy("dm0");
    /// assert_eq(link.info.linkinfo.info_kind, "dummy");
    /// ```
    #[rhai_fn(name = "dummy", return_raw, pure)]
    pub fn dummy(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "dummy", name, &Map::new())
    }

    /// The dummy `name` with iproute2's options of a dummy, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("dummy");
    /// let blue = netns("ns-blue");
    /// blue.dummy("dm0", #{ mtu: 1400 });
    /// assert_eq(blue.link("dm0").info.linkinfo.info_kind, "dummy");
    /// ```
    #[rhai_fn(name = "dummy", return_raw, pure)]
    pub fn dummy_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "dummy", name, &options)
    }

    /// The VRF `name` with iproute2's options of a vrf, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vrf");
    /// let blue = netns("ns-blue");
    /// blue.vrf("red", #{ table: 100 });
    /// assert_eq(blue.link("red").info.linkinfo.info_kind, "vrf");
    /// ```
    #[rhai_fn(name = "vrf", return_raw, pure)]
    pub fn vrf_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vrf", name, &options)
    }

    /// The bond `name` with iproute2's options of a bond, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("bond");
    /// let blue = netns("ns-blue");
    /// blue.bond("bond0", #{ mode: "active-backup" });
    /// assert_eq(blue.link("bond0").info.linkinfo.info_kind, "bond");
    /// ```
    #[rhai_fn(name = "bond", return_raw, pure)]
    pub fn bond_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "bond", name, &options)
    }

    /// The `WireGuard` link `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("wireguard");
    /// let link = netns("ns-blue").wireguard("wg0");
    /// assert_eq(link.info.linkinfo.info_kind, "wireguard");
    /// ```
    #[rhai_fn(name = "wireguard", return_raw, pure)]
    pub fn wireguard(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "wireguard", name, &Map::new())
    }

    /// The `WireGuard` link `name` with its private `key`, the UDP `port` that it listens on, its `peers` (all of them: others go), and `ip`'s own
    /// options of a link; made or changed if it is not so. A peer has its public `key`, and may have an `endpoint`, the networks behind it
    /// (`allowed`), a `keepalive` in seconds and a preshared key (`psk`). No key stands in a command, a trace, a journal or a report.
    ///
    /// ```rhai
    /// needs("wireguard");
    /// needs("tool:wg");
    /// let blue = netns("ns-blue"); let green = netns("ns-green");
    /// let b = wg_key(); let g = wg_key();
    /// veth(blue, "eth0", green, "eth0")[0].addr("10.0.0.1/24").up().peer.addr("10.0.0.2/24").up();
    /// blue.wireguard("wg0", #{ key: b.private_key, port: 51820, peers: [#{ key: g.public_key, allowed: ["10.9.0.2"] }] }).addr("10.9.0.1/24").up();
    /// green.wireguard("wg0", #{ key: g.private_key, peers: [
    ///     #{ key: b.public_key, endpoint: "10.0.0.1:51820", allowed: ["10.9.0.0/24"], keepalive: 25 },
    /// ] }).addr("10.9.0.2/24").up();
    /// expect(green).reaches("10.9.0.1");
    /// ```
    #[rhai_fn(name = "wireguard", return_raw, pure)]
    pub fn wireguard_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        let mut options = options;
        let wanted = reject(&context, super::super::secret::wireguard(&mut options))?;
        let link = ensure(&context, netns, "wireguard", name, &options)?;
        if wanted.key.is_some() || wanted.port.is_some() || wanted.peers.is_some() {
            act(&context, &netns.run, |session| {
                let did = session.wireguard((&netns.at, name), &wanted)?;
                session.count(did);
                Ok(())
            })?;
        }
        Ok(link)
    }

    /// The GRE tunnel `name` with iproute2's options of a gre, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("gre");
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("10.0.0.1/32");
    /// blue.gre("gre1", #{ local: "10.0.0.1", remote: "10.0.0.2" });
    /// assert_eq(blue.link("gre1").info.linkinfo.info_kind, "gre");
    /// ```
    #[rhai_fn(name = "gre", return_raw, pure)]
    pub fn gre_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "gre", name, &options)
    }

    /// The GRE tunnel over IPv6 `name` with iproute2's options of a ip6gre, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ip6gre");
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("2001:db8::1/128");
    /// blue.ip6gre("gre6", #{ local: "2001:db8::1", remote: "2001:db8::2" });
    /// assert_eq(blue.link("gre6").info.linkinfo.info_kind, "ip6gre");
    /// ```
    #[rhai_fn(name = "ip6gre", return_raw, pure)]
    pub fn ip6gre_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ip6gre", name, &options)
    }

    /// The IPIP tunnel `name` with iproute2's options of a ipip, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ipip");
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("10.0.0.1/32");
    /// blue.ipip("ipip1", #{ local: "10.0.0.1", remote: "10.0.0.2" });
    /// assert_eq(blue.link("ipip1").info.linkinfo.info_kind, "ipip");
    /// ```
    #[rhai_fn(name = "ipip", return_raw, pure)]
    pub fn ipip_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ipip", name, &options)
    }

    /// The SIT tunnel `name` with iproute2's options of a sit, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("sit");
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("10.0.0.1/32");
    /// blue.sit("sit1", #{ local: "10.0.0.1", remote: "10.0.0.2" });
    /// assert_eq(blue.link("sit1").info.linkinfo.info_kind, "sit");
    /// ```
    #[rhai_fn(name = "sit", return_raw, pure)]
    pub fn sit_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "sit", name, &options)
    }

    /// The GENEVE tunnel `name` with iproute2's options of a geneve, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("geneve");
    /// let blue = netns("ns-blue");
    /// blue.geneve("gnv0", #{ id: 42, remote: "10.0.0.2" });
    /// assert_eq(blue.link("gnv0").info.linkinfo.info_kind, "geneve");
    /// ```
    #[rhai_fn(name = "geneve", return_raw, pure)]
    pub fn geneve_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "geneve", name, &options)
    }

    /// The ifb `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("ifb");
    /// let link = netns("ns-blue").ifb("ifb9");
    /// assert_eq(link.info.linkinfo.info_kind, "ifb");
    /// ```
    #[rhai_fn(name = "ifb", return_raw, pure)]
    pub fn ifb(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "ifb", name, &Map::new())
    }

    /// The ifb `name` with iproute2's options of a ifb, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ifb");
    /// let blue = netns("ns-blue");
    /// blue.ifb("ifb9", #{ mtu: 1500 });
    /// assert_eq(blue.link("ifb9").info.linkinfo.info_kind, "ifb");
    /// ```
    #[rhai_fn(name = "ifb", return_raw, pure)]
    pub fn ifb_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ifb", name, &options)
    }

    /// The macvtap `name` with iproute2's options of a macvtap, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("macvtap");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.macvtap("mt0", #{ link: "eth0", mode: "bridge" });
    /// assert_eq(blue.link("mt0").info.linkinfo.info_kind, "macvtap");
    /// ```
    #[rhai_fn(name = "macvtap", return_raw, pure)]
    pub fn macvtap_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "macvtap", name, &options)
    }

    /// The GRE tunnel of frames `name` with iproute2's options of a gretap, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("gretap");
    /// let blue = netns("ns-blue");
    /// blue.gretap("gt0", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 7 });
    /// assert_eq(blue.link("gt0").info.linkinfo.info_kind, "gretap");
    /// ```
    #[rhai_fn(name = "gretap", return_raw, pure)]
    pub fn gretap_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "gretap", name, &options)
    }

    /// The GRE tunnel of frames over IPv6 `name` with iproute2's options of an ip6gretap, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ip6gretap");
    /// let blue = netns("ns-blue");
    /// blue.ip6gretap("gt6", #{ local: "2001:db8::1", remote: "2001:db8::2" });
    /// assert_eq(blue.link("gt6").info.linkinfo.info_kind, "ip6gretap");
    /// ```
    #[rhai_fn(name = "ip6gretap", return_raw, pure)]
    pub fn ip6gretap_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ip6gretap", name, &options)
    }

    /// The ERSPAN tunnel `name` with iproute2's options of an erspan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("erspan");
    /// let blue = netns("ns-blue");
    /// blue.erspan("er0", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 7, seq: true, erspan_ver: 1, erspan: 123 });
    /// assert_eq(blue.link("er0").info.linkinfo.info_kind, "erspan");
    /// ```
    #[rhai_fn(name = "erspan", return_raw, pure)]
    pub fn erspan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "erspan", name, &options)
    }

    /// The tunnel over IPv6 `name` with iproute2's options of an ip6tnl, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("ip6tnl");
    /// let blue = netns("ns-blue");
    /// blue.ip6tnl("t6", #{ local: "2001:db8::1", remote: "2001:db8::2", mode: "any" });
    /// assert_eq(blue.link("t6").info.linkinfo.info_kind, "ip6tnl");
    /// ```
    #[rhai_fn(name = "ip6tnl", return_raw, pure)]
    pub fn ip6tnl_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "ip6tnl", name, &options)
    }

    /// The VTI tunnel `name` with iproute2's options of a vti, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vti");
    /// let blue = netns("ns-blue");
    /// blue.vti("vti1", #{ local: "10.0.0.1", remote: "10.0.0.2", key: 7 });
    /// assert_eq(blue.link("vti1").info.linkinfo.info_kind, "vti");
    /// ```
    #[rhai_fn(name = "vti", return_raw, pure)]
    pub fn vti_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vti", name, &options)
    }

    /// The VTI tunnel over IPv6 `name` with iproute2's options of a vti6, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vti6");
    /// let blue = netns("ns-blue");
    /// blue.vti6("vti6x", #{ local: "2001:db8::1", remote: "2001:db8::2", key: 7 });
    /// assert_eq(blue.link("vti6x").info.linkinfo.info_kind, "vti6");
    /// ```
    #[rhai_fn(name = "vti6", return_raw, pure)]
    pub fn vti6_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vti6", name, &options)
    }

    /// The XFRM interface `name` with iproute2's options of an xfrm, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("xfrm");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.xfrm("ipsec0", #{ dev: "eth0", if_id: 42 });
    /// assert_eq(blue.link("ipsec0").info.linkinfo.info_kind, "xfrm");
    /// ```
    #[rhai_fn(name = "xfrm", return_raw, pure)]
    pub fn xfrm_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "xfrm", name, &options)
    }

    /// The `MACsec` link `name` with iproute2's options of a macsec, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("macsec");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.macsec("ms0", #{ link: "eth0", encrypt: true });
    /// assert_eq(blue.link("ms0").info.linkinfo.info_kind, "macsec");
    /// ```
    #[rhai_fn(name = "macsec", return_raw, pure)]
    pub fn macsec_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "macsec", name, &options)
    }

    /// The HSR ring `name` with iproute2's options of a hsr, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("hsr");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// veth(blue, "eth1", netns("ns-green"), "eth1");
    /// blue.hsr("hsr0", #{ slave1: "eth0", slave2: "eth1", proto: 0 });
    /// assert_eq(blue.link("hsr0").info.linkinfo.info_kind, "hsr");
    /// ```
    #[rhai_fn(name = "hsr", return_raw, pure)]
    pub fn hsr_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "hsr", name, &options)
    }

    /// The team `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("team");
    /// let link = netns("ns-blue").team("team0");
    /// assert_eq(link.info.linkinfo.info_kind, "team");
    /// ```
    #[rhai_fn(name = "team", return_raw, pure)]
    pub fn team(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "team", name, &Map::new())
    }

    /// The team `name` with iproute2's options of a team, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("team");
    /// let blue = netns("ns-blue");
    /// blue.team("team0", #{ mtu: 1400 });
    /// assert_eq(blue.link("team0").info.linkinfo.info_kind, "team");
    /// ```
    #[rhai_fn(name = "team", return_raw, pure)]
    pub fn team_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "team", name, &options)
    }

    /// The virtual CAN bus `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("vcan");
    /// let link = netns("ns-blue").vcan("vcan0");
    /// assert_eq(link.info.linkinfo.info_kind, "vcan");
    /// ```
    #[rhai_fn(name = "vcan", return_raw, pure)]
    pub fn vcan(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "vcan", name, &Map::new())
    }

    /// The virtual CAN bus `name` with iproute2's options of a vcan, made or changed if it is not so.
    ///
    /// ```rhai
    /// needs("vcan");
    /// let blue = netns("ns-blue");
    /// blue.vcan("vcan0", #{ mtu: 72 });
    /// assert_eq(blue.link("vcan0").info.linkinfo.info_kind, "vcan");
    /// ```
    #[rhai_fn(name = "vcan", return_raw, pure)]
    pub fn vcan_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "vcan", name, &options)
    }

    /// The tun `name`, made if it is not there.
    ///
    /// ```rhai
    /// needs("tun");
    /// let link = netns("ns-blue").tun("tap9");
    /// assert_eq(link.info.linkinfo.info_kind, "tun");
    /// ```
    #[rhai_fn(name = "tun", return_raw, pure)]
    pub fn tun(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Link> {
        ensure(&context, netns, "tun", name, &Map::new())
    }

    /// The tun `name` with iproute2's options of a tun, made or changed if it is not so. `mode: "tap"` is one of frames;
    /// `user` and `group` may hold its other end without being root.
    ///
    /// ```rhai
    /// needs("tun");
    /// let blue = netns("ns-blue");
    /// blue.tun("tap9", #{ mode: "tap", vnet_hdr: true });
    /// assert_eq(blue.link("tap9").info.linkinfo.info_kind, "tun");
    /// ```
    #[rhai_fn(name = "tun", return_raw, pure)]
    pub fn tun_with(context: NativeCallContext, netns: &mut Netns, name: &str, options: Map) -> Out<Link> {
        ensure(&context, netns, "tun", name, &options)
    }

    /// An address of either family on the link, as a string or a cidr.
    ///
    /// ```rhai
    /// let lo = netns("ns-blue").link("lo").addr("10.0.0.1/32").addr(cidr("2001:db8::/64").host(1));
    /// assert_eq(lo.addrs.len(), 4);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn addr(context: NativeCallContext, link: &mut Link, addr: Dynamic) -> Out<Link> {
        let addr = reject(&context, interface_addr(&addr))?;
        verb(&context, link, |session| session.addr_ensure(link.at(), addr))
    }

    /// Takes an address off the link, if it is there. What the kernel drops with it comes back with the undo: other addresses of its subnet
    /// (unless `promote_secondaries` is set) and every route that needs it.
    ///
    /// ```rhai
    /// let lo = netns("ns-blue").link("lo").addr("10.0.0.1/32").addr_delete("10.0.0.1/32");
    /// assert_eq(lo.addrs.len(), 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn addr_delete(context: NativeCallContext, link: &mut Link, addr: Dynamic) -> Out<Link> {
        let addr = reject(&context, interface_addr(&addr))?;
        verb(&context, link, |session| session.addr_delete(link.at(), addr))
    }

    /// Sets the link up.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").bridge("br0").up().info.flags.contains("UP"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn up(context: NativeCallContext, link: &mut Link) -> Out<Link> {
        verb(&context, link, |session| session.link_up(link.at(), true))
    }

    /// Sets the link down.
    ///
    /// ```rhai
    /// assert(!netns("ns-blue").link("lo").down().info.flags.contains("UP"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn down(context: NativeCallContext, link: &mut Link) -> Out<Link> {
        verb(&context, link, |session| session.link_up(link.at(), false))
    }

    /// Sets the MTU in bytes.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").bridge("br0").mtu(1400).mtu, 1400);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn mtu(context: NativeCallContext, link: &mut Link, mtu: i64) -> Out<Link> {
        verb(&context, link, |session| session.link_mtu(link.at(), mtu))
    }

    /// Sets the MAC address.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").bridge("br0").mac("02:00:00:00:00:01").mac, "02:00:00:00:00:01");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn mac(context: NativeCallContext, link: &mut Link, mac: &str) -> Out<Link> {
        verb(&context, link, |session| session.link_mac(link.at(), mac))
    }

    /// Makes the link a port of a bridge, bond or VRF of the same namespace.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let ends = veth(blue, "a", blue, "b");
    /// ends[0].master(blue.bridge("br0"));
    /// assert_eq(ends[0].info.master, "br0");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn master(context: NativeCallContext, link: &mut Link, master: Link) -> Out<Link> {
        verb(&context, link, |session| {
            if master.netns.at != link.netns.at {
                let message = format!(
                    "`{}` is in `{}`, its master `{}` in `{}`",
                    link.name, link.netns.at, master.name, master.netns.at
                );
                return Err(crate::Error::new(crate::Kind::InvalidArgument, message)
                    .hint("a port and its master are in one namespace; ns.plug(\"eth0\", bridge) joins two"));
            }
            session.link_master(link.at(), Some(&master.name))
        })
    }

    /// Frees the link from its bridge, bond or VRF.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let ends = veth(blue, "a", blue, "b");
    /// ends[0].master(blue.bridge("br0")).nomaster();
    /// assert_eq(ends[0].info.get("master"), ());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn nomaster(context: NativeCallContext, link: &mut Link) -> Out<Link> {
        verb(&context, link, |session| session.link_master(link.at(), None))
    }

    /// Renames the link; the handle and what is returned carry the new name.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").bridge("br0").rename("br1").name, "br1");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn rename(context: NativeCallContext, link: &mut Link, name: &str) -> Out<Link> {
        act(&context, &link.netns.run, |session| session.link_rename(link.at(), name))?;
        name.clone_into(&mut link.name);
        Ok(link.clone())
    }

    /// Moves the link to another namespace, under its name; the handle and what is returned stand there. It arrives down, nobody's port and without
    /// addresses: `up` and `addr` come after it. What a link of the machine had by then (addresses, routes, settings) is put back with it when the run is
    /// undone. What is made where it belongs, as `veth` and `plug` do, need not move.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let ends = veth(host(), "to-blue", host(), "spare");
    /// ends[1].move(blue).rename("eth0").addr("10.0.0.2/24").up();
    /// assert_eq(blue.link("eth0").peer.name, "to-blue");
    /// ```
    #[rhai_fn(name = "move", return_raw)]
    pub fn move_to(context: NativeCallContext, link: &mut Link, netns: Netns) -> Out<Link> {
        act(&context, &link.netns.run, |session| session.link_move(link.at(), &netns.at))?;
        link.netns = netns;
        Ok(link.clone())
    }

    /// Moves a link of this namespace to another one, as `link.move` does; when it is there already, it was done before, so that a runbook runs twice.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// veth(host(), "eth7", host(), "spare");
    /// host().move("eth7", blue);
    /// host().move("eth7", blue).addr("10.0.0.2/24").up();
    /// assert_eq(blue.link("eth7").peer.name, "spare");
    /// ```
    #[rhai_fn(name = "move", return_raw, pure)]
    pub fn move_named(context: NativeCallContext, netns: &mut Netns, name: &str, to: Netns) -> Out<Link> {
        act(&context, &netns.run, |session| session.link_move((&netns.at, name), &to.at))?;
        Ok(to.link(name))
    }

    /// Deletes the link, if it is there.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.bridge("br0").delete();
    /// assert(!blue.links.some(|link| link.ifname == "br0"));
    /// ```
    #[rhai_fn(name = "delete", return_raw, pure)]
    pub fn link_delete(context: NativeCallContext, link: &mut Link) -> Out<()> {
        act(&context, &link.netns.run, |session| session.link_delete(link.at()).map(drop))
    }

    /// Shapes what passes the link with tbf or netem: `rate`, `delay`, `jitter`, `loss`, `duplicate`, `corrupt`, `reorder`, and `direction` (`"both"`,
    /// `"egress"`, `"ingress"`; said twice, each has its own).
    /// Ingress is shaped at the other end of the veth. An empty map lifts the shape. `loss` is a percentage, with a correlation if one follows, or a
    /// model in tc's words: `"gemodel 1% 10% 70% 0.1%"` (Gilbert-Elliott: p, r, 1-h, 1-k) or `"state 1% 99%"` (p13, p31, p32, p23, p14). `police`
    /// (`"10mbit"`, `"10mbit burst 100kb"`) drops what comes faster, where `rate` lets it wait; what comes in is policed at this end. `preset` is an access line, from the side that uses it (down/up,
    /// delay each way): `"2g"` 280/256 kbit/s 400 ms, `"3g-slow"` 400/400 kbit/s 200 ms, `"3g"` 1600/768 kbit/s 150 ms, `"3g-fast"` 1600/768 kbit/s
    /// 75 ms, `"4g"` 9/9 Mbit/s 85 ms, `"lte"` 12/12 Mbit/s 35 ms, `"dsl"` 1500/384 kbit/s 25 ms, `"cable"` 5/1 Mbit/s 14 ms, `"fios"` 20/5 Mbit/s
    /// 2 ms (the profiles of `WebPageTest`), `"satellite"` 25/3 Mbit/s 300 ms. What is said beside it goes before it.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].shape(#{ rate: "10mbit" });
    /// ends[0].shape(#{});
    /// ```
    ///
    /// ```rhai
    /// needs("netem");
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].shape(#{ delay: "20ms", loss: "gemodel 1% 10% 70% 0.1%", direction: "egress" });
    /// assert_eq(netns("ns-blue").tc("qdisc show dev eth0")[0].kind, "netem");
    /// ```
    ///
    /// ```rhai
    /// needs("police");
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].shape(#{ police: "10mbit", direction: "ingress" });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn shape(context: NativeCallContext, link: &mut Link, options: Map) -> Out<Link> {
        let options = reject(&context, Options::new(options, "shape"))?;
        let shape = reject(&context, super::shape_of(&options))?;
        verb(&context, link, |session| session.shape(link.at(), &shape))
    }

    /// The same by the name of a preset.
    ///
    /// ```rhai
    /// needs("netem");
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].shape("3g");
    /// ```
    #[rhai_fn(name = "shape", return_raw, pure)]
    pub fn shape_preset(context: NativeCallContext, link: &mut Link, preset: &str) -> Out<Link> {
        let shape = crate::session::Shape { preset: Some(preset.to_owned()), ..Default::default() };
        verb(&context, link, |session| session.shape(link.at(), &shape))
    }

    /// Turns on or off what the link leaves to its device, in the words of `ethtool -K`: `rx`, `tx`, `sg`, `tso`, `ufo`, `gso`, `gro`, `lro`, `rxvlan`,
    /// `txvlan`, `ntuple`, `rxhash`, or a name that `ethtool -k` lists. What others need goes on before them.
    ///
    /// ```rhai
    /// needs("ethtool");
    /// let eth0 = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0")[0];
    /// eth0.offload(#{ tso: false, tx: false, "rx-gro-list": true });
    /// assert_eq(eth0.offloads["tcp-segmentation-offload"], false);
    /// ```
    #[rhai_fn(name = "offload", return_raw, pure)]
    pub fn offload(context: NativeCallContext, link: &mut Link, options: Map) -> Out<Link> {
        let wanted = reject(&context, super::offload_of(&options))?;
        verb(&context, link, |session| session.offload(link.at(), &wanted))
    }

    /// What the link leaves to its device: a map of the names that `ethtool -k` lists to whether they are on.
    ///
    /// ```rhai
    /// needs("ethtool");
    /// assert_eq(netns("ns-blue").link("lo").offloads["rx-checksumming"], true);
    /// ```
    #[rhai_fn(get = "offloads", return_raw, pure)]
    pub fn offloads(context: NativeCallContext, link: &mut Link) -> Out<Map> {
        let all = act(&context, &link.netns.run, |session| session.offloads(link.at()))?;
        Ok(all.into_iter().map(|one| (one.name.into(), one.on.into())).collect())
    }

    /// The name.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").name, "lo");
    /// ```
    #[rhai_fn(name = "name", get = "name", pure)]
    pub fn link_name(link: &mut Link) -> String {
        link.name.clone()
    }

    /// The namespace it is in.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").netns.name, "ns-blue");
    /// ```
    #[rhai_fn(get = "netns", pure)]
    pub fn link_netns(link: &mut Link) -> Netns {
        link.netns.clone()
    }

    /// The state as `ip` shows it: `UP`, `DOWN`, `UNKNOWN` (for `lo`), `LOWERLAYERDOWN`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").bridge("br0").state, "DOWN");
    /// ```
    #[rhai_fn(get = "state", return_raw, pure)]
    pub fn state(context: NativeCallContext, link: &mut Link) -> Out<String> {
        look(&context, link, |link| link.operstate.unwrap_or_default())
    }

    /// The MTU in bytes.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").mtu, 65536);
    /// ```
    #[rhai_fn(get = "mtu", return_raw, pure)]
    pub fn get_mtu(context: NativeCallContext, link: &mut Link) -> Out<Dynamic> {
        look(&context, link, |link| link.mtu.map_or(Dynamic::UNIT, |mtu| i64::from(mtu).into()))
    }

    /// The MAC address.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").mac, "00:00:00:00:00:00");
    /// ```
    #[rhai_fn(get = "mac", return_raw, pure)]
    pub fn get_mac(context: NativeCallContext, link: &mut Link) -> Out<String> {
        look(&context, link, |link| link.address.unwrap_or_default())
    }

    /// The addresses now, an array of maps with iproute2's keys (`local`, `prefixlen`, `family`, …).
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").addrs[0].local, "127.0.0.1");
    /// ```
    #[rhai_fn(get = "addrs", return_raw, pure)]
    pub fn link_addrs(context: NativeCallContext, link: &mut Link) -> Out<Array> {
        let addrs = act(&context, &link.netns.run, |session| session.addrs_of(link.at()))?;
        let infos = addrs.iter().filter_map(|addr| addr.raw().get("addr_info")?.as_array()).flatten();
        Ok(infos
            .filter_map(serde_json::Value::as_object)
            .map(|info| Dynamic::from(row(to_map(info), "addr_info")))
            .collect())
    }

    /// The bridge, bond or VRF that the link is a port of, or `()`.
    ///
    /// ```rhai
    /// let br0 = netns("ns-blue").bridge("br0");
    /// let port = netns("ns-green").plug("eth0", br0).peer;
    /// assert_eq(port.master.name, "br0");
    /// assert_eq(br0.master, ());
    /// ```
    #[rhai_fn(get = "master", return_raw, pure)]
    pub fn get_master(context: NativeCallContext, link: &mut Link) -> Out<Dynamic> {
        let name = look(&context, link, |link| link.master)?;
        Ok(name.map_or(Dynamic::UNIT, |name| Dynamic::from(link.netns.link(&name))))
    }

    /// The other end of a veth, wherever it is.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth1");
    /// assert_eq(ends[0].peer.name, "eth1");
    /// ```
    #[rhai_fn(get = "peer", return_raw, pure)]
    pub fn peer(context: NativeCallContext, link: &mut Link) -> Out<Link> {
        let (netns, name) = act(&context, &link.netns.run, |session| session.link_peer(link.at()))?;
        Ok(Netns::new(&link.netns.run, netns).link(&name))
    }

    /// Everything that `ip -j -d link show` says about the link.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").info.link_type, "loopback");
    /// ```
    #[rhai_fn(get = "info", return_raw, pure)]
    pub fn info(context: NativeCallContext, link: &mut Link) -> Out<Record> {
        look(&context, link, |link| row(link_map(&link), "links"))
    }

    /// The counters: `#{ rx: #{ bytes, packets, errors, dropped, … }, tx: #{ … } }`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").stats.rx.packets, 0);
    /// ```
    #[rhai_fn(get = "stats", return_raw, pure)]
    pub fn stats(context: NativeCallContext, link: &mut Link) -> Out<Dynamic> {
        let (netns, name) = link.at();
        let links = act(&context, &link.netns.run, |session| {
            session.link_require(link.at())?;
            link::parse(&session.query(&op::link::stats(netns, name))?, "ip -s link show")
        })?;
        let stats = links.into_iter().next().and_then(|link| link.stats64);
        Ok(stats.as_ref().map_or(Dynamic::UNIT, super::super::value::to_dynamic))
    }

    /// The link as text: `ns-blue/eth0`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").link("lo").to_string(), "ns-blue/lo");
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn link_to_string(link: &mut Link) -> String {
        format!("{}/{}", link.netns.at, link.name)
    }

    /// Whether two handles mean the same link.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").link("lo") == netns("ns-blue").link("lo"));
    /// ```
    #[rhai_fn(name = "==")]
    pub fn link_equals(a: Link, b: Link) -> bool {
        a.at() == b.at()
    }

    /// Whether two handles mean different links.
    ///
    /// ```rhai
    /// assert(netns("ns-blue").link("lo") != netns("ns-green").link("lo"));
    /// ```
    #[rhai_fn(name = "!=")]
    pub fn link_differs(a: Link, b: Link) -> bool {
        a.at() != b.at()
    }
}

/// The features that a script turns on or off.
fn offload_of(options: &Map) -> Result<Vec<(String, bool)>> {
    let one = |(word, value): (&rhai::Identifier, &Dynamic)| {
        listed_name(word)?;
        let on = value.as_bool().map_err(|_| {
            let message = format!("`{word}` of `offload` is true or false, you gave {}", type_of(value));
            crate::Error::new(crate::Kind::InvalidArgument, message)
        })?;
        Ok((word.to_string(), on))
    };
    options.iter().filter(|(_, value)| !value.is_unit()).map(one).collect()
}

/// The shape that a script asks for.
fn shape_of(options: &Options) -> Result<crate::session::Shape> {
    Ok(crate::session::Shape {
        rate: options.text("rate")?,
        burst: options.text("burst")?,
        delay: options.text("delay")?,
        jitter: options.text("jitter")?,
        loss: options.text("loss")?,
        duplicate: options.text("duplicate")?,
        corrupt: options.text("corrupt")?,
        reorder: options.text("reorder")?,
        police: options.text("police")?,
        direction: options.text("direction")?,
        preset: options.text("preset")?,
    })
}
