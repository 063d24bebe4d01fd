//! Routing and kernel settings.

use rhai::Map;
use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::value::{Options, pairs, to_dynamic, type_of, word, words};
use super::{Netns, Out, act, reject};
use crate::error::{Error, Kind, Result};
use crate::model::{Cidr, addr, route};
use crate::op;
use crate::session::{NeighSpec, RawAnswer, RouteSpec};

fn route_spec(dst: &Dynamic, options: &Options) -> Result<RouteSpec> {
    let family = match options.text("family")?.as_deref() {
        None => None,
        Some("inet" | "4") => Some(op::route::Family::V4),
        Some("inet6" | "6") => Some(op::route::Family::V6),
        Some(other) => {
            return Err(
                Error::new(Kind::InvalidArgument, format!("`{other}` is not a family")).hint("\"inet\" or \"inet6\"")
            );
        }
    };
    let number = |key, max| -> Result<Option<u32>> {
        Ok(options.number(key, 0..=max)?.and_then(|number| u32::try_from(number).ok()))
    };
    Ok(RouteSpec {
        protocol: None,
        dst: destination(dst)?,
        via: match options.value("via").and_then(|via| via.read_lock::<Cidr>().map(|cidr| cidr.ip().to_string())) {
            Some(ip) => Some(ip),
            None => options.text("via")?,
        },
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
        let spec = reject(&context, route_spec(&dst, &options))?;
        act(&context, &netns.run, |session| session.route_ensure(&netns.at, &spec).map(drop))
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

    /// A route with iproute2's options: `via`, `dev`, `metric`, `table`, `type` (`"blackhole"` …), `src`, `scope`, `onlink`, `mtu`, `family`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.route("10.1.0.0/16", #{ dev: "lo", metric: 50 });
    /// blue.route("10.2.0.0/16", #{ type: "blackhole" });
    /// ```
    #[rhai_fn(name = "route", return_raw, pure)]
    pub fn route_with(context: NativeCallContext, netns: &mut Netns, dst: Dynamic, options: Map) -> Out<()> {
        let options = reject(&context, Options::new(options, "route"))?;
        let spec = reject(&context, route_spec(&dst, &options))?;
        act(&context, &netns.run, |session| session.route_ensure(&netns.at, &spec).map(drop))
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

    /// A policy rule in iproute2's words.
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
