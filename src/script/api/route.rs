//! Routing and kernel settings.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::value::{Options, pairs, to_dynamic, type_of, word, words};
use super::{Netns, Out, act, reject};
use crate::error::{Error, Kind, Result};
use crate::model::{Cidr, addr, json, route};
use crate::op;
use crate::op::route::Hop;
use crate::session::{NeighSpec, RawAnswer, RouteSpec};

/// The ways of a route among which packets are shared.
fn hops(ways: &Array) -> Result<Vec<Hop>> {
    let hop = |way: &Dynamic| {
        let Some(map) = way.read_lock::<Map>() else {
            return Ok(Hop { via: Some(address(way)?), dev: None, weight: 1 });
        };
        let options = Options::new(map.clone(), "hop")?;
        let weight = options.number("weight", 1..=256)?.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
        let (via, dev) = (options.value("via").map(address).transpose()?, options.text("dev")?);
        if via.is_none() && dev.is_none() {
            let error = Error::new(Kind::InvalidArgument, "a way needs a gateway or a link");
            return Err(error.hint("#{ via: \"10.0.0.2\", weight: 3 }"));
        }
        Ok(Hop { via, dev, weight })
    };
    ways.iter().map(hop).collect()
}

/// The address of a gateway: text, or the host of a cidr.
fn address(value: &Dynamic) -> Result<String> {
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok(cidr.ip().to_string());
    }
    let text = word(value).unwrap_or_else(|| value.to_string());
    addr::ip(&text).map(|_| text)
}

/// A route; with `vrf` it is in that one's table.
fn add_route(context: &NativeCallContext, netns: &Netns, dst: &Dynamic, options: &Options) -> Out<()> {
    let spec = reject(context, route_spec(dst, options))?;
    let vrf = reject(context, options.text("vrf"))?;
    if vrf.is_some() && spec.table.is_some() {
        let error = Error::new(Kind::InvalidArgument, "a route has `vrf` or `table`, not both: a VRF is a table");
        return reject(context, Err(error));
    }
    act(context, &netns.run, |session| {
        let table = vrf.map(|vrf| session.vrf_table((&netns.at, &vrf))).transpose()?;
        session.route_ensure(&netns.at, &RouteSpec { table: table.or(spec.table), ..spec }).map(drop)
    })
}

/// A next hop object in the words of `ip nexthop`.
fn nexthop_words(options: &Options) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut parts = 0;
    if let Some(via) = options.value("via").map(address).transpose()? {
        words.extend(["via".to_owned(), via]);
        parts += 1;
    }
    if let Some(dev) = options.text("dev")? {
        words.extend(["dev".to_owned(), dev]);
        parts = 1;
    }
    if let Some(group) = options.value("group") {
        let ways = group.as_array_ref().map_err(|_| {
            Error::new(Kind::InvalidArgument, format!("`group` of `nexthop` is an array, you gave {}", type_of(group)))
        })?;
        let bad = || {
            Error::new(Kind::InvalidArgument, "a group is of next hops by their numbers, each perhaps with its weight")
                .hint("group: [1, 2] or [[1, 3], 2]")
        };
        let id = |value: &Dynamic| value.as_int().ok().and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
        let one = |way: &Dynamic| match way.as_array_ref() {
            Ok(pair) => match &pair[..] {
                [first, weight] => match (id(first), id(weight).filter(|weight| *weight <= 256)) {
                    (Some(id), Some(1)) => Ok(id.to_string()),
                    (Some(id), Some(weight)) => Ok(format!("{id},{weight}")),
                    _ => Err(bad()),
                },
                _ => Err(bad()),
            },
            Err(_) => id(way).map(|id| id.to_string()).ok_or_else(bad),
        };
        let all = ways.iter().map(one).collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Err(bad());
        }
        words.extend(["group".to_owned(), all.join("/")]);
        parts += 1;
    }
    for flag in ["blackhole", "onlink", "fdb"] {
        if options.flag(flag)?.unwrap_or(false) {
            words.push(flag.to_owned());
            parts += usize::from(flag == "blackhole");
        }
    }
    if parts == 1 {
        return Ok(words);
    }
    Err(Error::new(Kind::InvalidArgument, "a next hop leads by a gateway or a link, to a group of others, or nowhere")
        .hint("ns.nexthop(1, #{ via: \"10.0.0.2\", dev: \"eth0\" }), #{ group: [1, 2] } or #{ blackhole: true }"))
}

fn route_spec(dst: &Dynamic, options: &Options) -> Result<RouteSpec> {
    let family = options.text("family")?.map(|family| family.parse::<op::route::Family>()).transpose()?;
    let number = |key, max| -> Result<Option<u32>> {
        Ok(options.number(key, 0..=max)?.and_then(|number| u32::try_from(number).ok()))
    };
    Ok(RouteSpec {
        protocol: None,
        dst: destination(dst)?,
        via: options.value("via").filter(|via| !via.is_array()).map(address).transpose()?,
        hops: match options.value("via").and_then(|via| via.as_array_ref().ok().map(|ways| hops(&ways))) {
            Some(hops) => hops?,
            None => Vec::new(),
        },
        nhid: number("nhid", u32::MAX.into())?,
        dev: options.text("dev")?,
        metric: number("metric", u32::MAX.into())?,
        table: options.text("table")?,
        kind: options.text("type")?,
        src: options.text("src")?,
        scope: options.text("scope")?,
        onlink: options.flag("onlink")?.unwrap_or(false),
        mtu: number("mtu", 65535)?,
        family,
    })
}

fn destination(value: &Dynamic) -> Result<String> {
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok(cidr.network().to_string());
    }
    word(value).ok_or_else(|| {
        Error::new(Kind::InvalidArgument, format!("a destination is a string or a cidr, not {}", type_of(value)))
    })
}

#[export_module]
pub mod api {
    /// A route through a gateway. Another route in its place (same destination, table and metric) is replaced.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0")[0].addr("10.0.0.1/24").up();
    /// blue.route("default", "10.0.0.254");
    /// assert_eq(blue.route_get("203.0.113.1").gateway, "10.0.0.254");
    /// ```
    #[rhai_fn(name = "route", return_raw, pure)]
    pub fn route_via(context: NativeCallContext, netns: &mut Netns, dst: Dynamic, via: &str) -> Out<()> {
        let options = Map::from_iter([("via".into(), via.into())]);
        let options = reject(&context, Options::new(options, "route"))?;
        add_route(&context, netns, &dst, &options)
    }

    /// The same through the host of a cidr: its address counts.
    ///
    /// ```rhai
    /// let net = cidr("10.0.0.0/24");
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0")[0].addr(net.host(1)).up();
    /// blue.route("default", net.host(254));
    /// assert_eq(blue.route_get("203.0.113.1").gateway, "10.0.0.254");
    /// ```
    #[rhai_fn(name = "route", return_raw, pure)]
    pub fn route_via_host(context: NativeCallContext, netns: &mut Netns, dst: Dynamic, via: Cidr) -> Out<()> {
        let via = via.ip().to_string();
        route_via(context, netns, dst, &via)
    }

    /// A route with iproute2's options: `via`, `dev`, `metric`, `table` or `vrf`, `type` (`"blackhole"` …), `src`, `scope`, `onlink`, `mtu`, `nhid`,
    /// `family`. Several ways share the packets: `via: ["10.0.0.2", "10.0.0.3"]`, or with their shares `via: [#{ via: "10.0.0.2", weight: 3 }, …]`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0")[0].addr("10.0.0.1/24").up().peer.up();
    /// blue.route("default", #{ via: ["10.0.0.2", #{ via: "10.0.0.3", weight: 3 }] });
    /// assert_eq(blue.routes[0].nexthops[1].weight, 3);
    /// blue.route("10.1.0.0/16", #{ dev: "lo", metric: 50 });
    /// blue.route("10.2.0.0/16", #{ type: "blackhole" });
    /// ```
    #[rhai_fn(name = "route", return_raw, pure)]
    pub fn route_with(context: NativeCallContext, netns: &mut Netns, dst: Dynamic, options: Map) -> Out<()> {
        let options = reject(&context, Options::new(options, "route"))?;
        add_route(&context, netns, &dst, &options)
    }

    /// A next hop object of this number, made or changed if it is not so: where routes with `nhid` lead. It has `via`, `dev` and `onlink`, or is a
    /// `group` of others, each perhaps with a weight, or a `blackhole`; `fdb` is for entries of a VXLAN.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0")[0].addr("10.0.0.1/24").up().peer.up();
    /// blue.nexthop(1, #{ via: "10.0.0.2", dev: "eth0" });
    /// blue.nexthop(2, #{ via: "10.0.0.3", dev: "eth0" });
    /// blue.nexthop(10, #{ group: [[1, 3], 2] });
    /// blue.route("10.1.0.0/16", #{ nhid: 10 });
    /// assert_eq(blue.nexthops.filter(|one| one.id == 10)[0].group.len(), 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn nexthop(context: NativeCallContext, netns: &mut Netns, id: i64, options: Map) -> Out<()> {
        let options = reject(&context, Options::new(options, "nexthop"))?;
        let words = reject(&context, nexthop_words(&options))?;
        let id = u32::try_from(id).ok().filter(|id| *id > 0).ok_or_else(|| {
            Error::new(Kind::InvalidArgument, format!("the number of a next hop is from 1 to {}, not {id}", u32::MAX))
        });
        let id = reject(&context, id)?;
        act(&context, &netns.run, |session| session.nexthop_ensure(&netns.at, id, &words).map(drop))
    }

    /// The next hop objects now, an array of maps: `ip -j nexthop show`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").nexthops, []);
    /// ```
    #[rhai_fn(get = "nexthops", return_raw, pure)]
    pub fn nexthops(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let command = op::Command::new(op::Tool::Ip, &netns.at, ["-j", "nexthop", "show"]);
        let all = act(&context, &netns.run, |session| json::records(&session.query(&command)?, "ip nexthop show"))?;
        Ok(all.iter().map(to_dynamic).collect())
    }

    /// The way that the kernel would take: `ip -j route get`. `()` when there is none.
    ///
    /// ```rhai
    /// assert_eq(host().route_get("203.0.113.1").dev, "eth0");
    /// assert_eq(netns("ns-blue").route_get("203.0.113.1"), ());
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn route_get(context: NativeCallContext, netns: &mut Netns, addr: &str) -> Out<Dynamic> {
        let routes = act(&context, &netns.run, |session| {
            addr::ip(addr)?;
            let command = op::route::get(&netns.at, addr, &[]);
            let output = session.ask(&command)?;
            if output.ok {
                return route::parse(&output.ran.stdout, "ip route get");
            }
            // "RTNETLINK answers: Network is unreachable" and its kin say that there is no way; anything else is an error.
            if output.ran.stderr.contains("RTNETLINK answers") {
                return Ok(Vec::new());
            }
            Err(crate::session::failure(&command, output.ran))
        })?;
        Ok(routes.first().map_or(Dynamic::UNIT, |route| super::super::value::to_map(route.raw()).into()))
    }

    /// A policy rule in iproute2's words: what packets it is for (`from`, `to`, `iif`, `oif`, `fwmark`, `tos`, `ipproto`, `sport`, `dport`, `uidrange`,
    /// `tun_id`, `l3mdev`, `not: true`), and what becomes of them (`table`, with `suppress_prefixlength` or `suppress_ifgroup`; `goto`; `type`). `family`
    /// says which one it is of where no network does.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.rule(#{ from: "10.0.0.0/24", table: 100 });
    /// assert_eq(blue.rules[1].table, "100");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rule(context: NativeCallContext, netns: &mut Netns, words: Map) -> Out<()> {
        reject(&context, Options::new(words.clone(), "rule").map(drop))?;
        let words = reject(&context, pairs(&words, "rule"))?;
        act(&context, &netns.run, |session| session.rule_ensure(&netns.at, &words).map(drop))
    }

    /// Pins a neighbour: address, MAC address, link.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// veth(blue, "eth0", netns("ns-green"), "eth0");
    /// blue.link("eth0").addr("10.0.0.1/24").up();
    /// blue.neigh("10.0.0.9", "02:00:00:00:00:09", "eth0");
    /// assert_eq(blue.neighbours[0].lladdr, "02:00:00:00:00:09");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn neigh(context: NativeCallContext, netns: &mut Netns, addr: &str, mac: &str, dev: &str) -> Out<()> {
        let spec = NeighSpec { addr: addr.to_owned(), mac: mac.to_owned(), dev: dev.to_owned() };
        act(&context, &netns.run, |session| session.neigh_ensure(&netns.at, &spec).map(drop))
    }

    /// Reads a kernel setting: an integer when it is one, text otherwise.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").sysctl("net.ipv4.ip_forward"), 0);
    /// ```
    #[rhai_fn(name = "sysctl", return_raw, pure)]
    pub fn sysctl_get(context: NativeCallContext, netns: &mut Netns, name: &str) -> Out<Dynamic> {
        let text = act(&context, &netns.run, |session| session.sysctl_get(&netns.at, name))?;
        Ok(text.parse::<i64>().map_or_else(|_| text.clone().into(), Dynamic::from_int))
    }

    /// Sets a kernel setting, and reads it back.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.sysctl("net.ipv4.ip_forward", 1);
    /// assert_eq(blue.sysctl("net.ipv4.ip_forward"), 1);
    /// ```
    #[rhai_fn(name = "sysctl", return_raw, pure)]
    pub fn sysctl_set(context: NativeCallContext, netns: &mut Netns, name: &str, value: Dynamic) -> Out<()> {
        let text = word(&value).ok_or_else(|| {
            Error::new(
                Kind::InvalidArgument,
                format!("`{name}` is set to a string or a number, not to {}", type_of(&value)),
            )
        });
        let text = reject(&context, text)?;
        act(&context, &netns.run, |session| session.sysctl_set(&netns.at, name, &text).map(drop))
    }

    /// Anything that `ip` can do, in its own words; JSON comes back as maps.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").ip("link show dev lo")[0].ifname, "lo");
    /// ```
    #[rhai_fn(name = "ip", return_raw, pure)]
    pub fn ip(context: NativeCallContext, netns: &mut Netns, words: Dynamic) -> Out<Dynamic> {
        raw(&context, netns, &words, None)
    }

    /// The same for a change that says what undoes it.
    ///
    /// ```rhai
    /// netns("ns-blue").ip("link set dev lo mtu 9000", #{ undo: "link set dev lo mtu 65536" });
    /// ```
    #[rhai_fn(name = "ip", return_raw, pure)]
    pub fn ip_with(context: NativeCallContext, netns: &mut Netns, words: Dynamic, options: Map) -> Out<Dynamic> {
        let options = reject(&context, Options::new(options, "ip"))?;
        raw(&context, netns, &words, options.value("undo"))
    }
}

fn raw(context: &NativeCallContext, netns: &Netns, given: &Dynamic, undo: Option<&Dynamic>) -> Out<Dynamic> {
    let given = reject(context, words(given, "ip"))?;
    let undo = reject(context, undo.map(|undo| words(undo, "undo")).transpose())?;
    let answer = act(context, &netns.run, |session| session.ip_raw(&netns.at, &given, undo.as_deref()))?;
    Ok(match answer {
        RawAnswer::Records(records) => records.iter().map(to_dynamic).collect::<rhai::Array>().into(),
        RawAnswer::Text(text) => text.into(),
    })
}
