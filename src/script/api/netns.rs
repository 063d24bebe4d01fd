//! Namespaces.

use rhai::Array;
use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::link::link_map;
use super::record::row;
use super::value::to_map;
use super::{Netns, Out, act, act_global, run_of};
use crate::error::{Error, Kind};
use crate::model::{neigh, route, rule};
use crate::op::route::Family;
use crate::op::{self, Where};

#[export_module]
pub mod api {
    /// The namespace that plays the host: the sandbox's root, or this machine with `--host`.
    ///
    /// ```rhai
    /// host().sysctl("net.ipv4.ip_forward", 1);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn host(context: NativeCallContext) -> Out<Netns> {
        Ok(Netns::new(&run_of(&context)?, Where::Host))
    }

    /// The namespace `name`, made (with `lo` up) if it is not there.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// assert(blue.exists);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn netns(context: NativeCallContext, name: &str) -> Out<Netns> {
        act_global(&context, |session| session.netns_ensure(name))?;
        Ok(Netns::new(&run_of(&context)?, Where::Named(name.to_owned())))
    }

    /// The namespace of a process: a container, a pod.
    ///
    /// ```rhai
    /// let server = netns("web").start("sleep 60");
    /// assert_eq(netns_pid(server.pid).links.len(), netns("web").links.len());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn netns_pid(context: NativeCallContext, pid: i64) -> Out<Netns> {
        let at = Where::Path(format!("/proc/{pid}/ns/net").into());
        act_global(&context, |session| {
            session.netns_require(&at).map_err(|error| match error.kind() {
                Kind::NotFound => Error::new(Kind::NotFound, format!("there is no process {pid}")),
                _ => error,
            })
        })?;
        Ok(Netns::new(&run_of(&context)?, at))
    }

    /// The namespace of a file, such as `/proc/4711/ns/net` or what a container engine hands out.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// assert_eq(netns_path("/run/netns/ns-blue").links.len(), blue.links.len());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn netns_path(context: NativeCallContext, path: &str) -> Out<Netns> {
        let at = Where::Path(path.into());
        act_global(&context, |session| {
            if !path.starts_with('/') {
                return Err(Error::new(Kind::InvalidArgument, format!("`{path}` is not an absolute path")).hint(
                    "netns(\"blue\") is a namespace by name, netns_path(\"/proc/4711/ns/net\") one by its file",
                ));
            }
            session.netns_require(&at)
        })?;
        Ok(Netns::new(&run_of(&context)?, at))
    }

    /// The names of the namespaces, as `ip netns list` has them.
    ///
    /// ```rhai
    /// netns("ns-blue");
    /// assert(netns_list().contains("ns-blue"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn netns_list(context: NativeCallContext) -> Out<Array> {
        let names = act_global(&context, crate::session::Session::netns_names)?;
        Ok(names.into_iter().map(Into::into).collect())
    }

    /// The name; `host` for the host.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").name, "ns-blue");
    /// assert_eq(host().name, "host");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(netns: &mut Netns) -> String {
        netns.at.name()
    }

    /// Whether the namespace is there now.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.delete();
    /// assert(!blue.exists);
    /// ```
    #[rhai_fn(get = "exists", return_raw, pure)]
    pub fn exists(context: NativeCallContext, netns: &mut Netns) -> Out<bool> {
        act(&context, &netns.run, |session| session.settle(&netns.at).map(|()| session.netns_exists(&netns.at)))
    }

    /// The links now, an array of maps with the keys of `ip -j -d link show`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").links[0].ifname, "lo");
    /// ```
    #[rhai_fn(get = "links", return_raw, pure)]
    pub fn links(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let links = act(&context, &netns.run, |session| session.links(&netns.at))?;
        Ok(links.iter().map(|link| Dynamic::from(row(link_map(link), "links"))).collect())
    }

    /// The addresses now, an array of maps, one per link: `ip -j address show`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").addrs[0].addr_info[0].local, "127.0.0.1");
    /// ```
    #[rhai_fn(get = "addrs", return_raw, pure)]
    pub fn addrs(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let addrs = act(&context, &netns.run, |session| session.addrs(&netns.at))?;
        Ok(addrs.iter().map(|addr| Dynamic::from(row(to_map(addr.raw()), "addrs"))).collect())
    }

    /// The routes of both families in the main table now, an array of maps: `ip -j route show`.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.link("lo").addr("198.51.100.77/32");
    /// blue.route("default", #{ dev: "lo" });
    /// assert_eq(blue.routes[0].dst, "default");
    /// ```
    #[rhai_fn(get = "routes", return_raw, pure)]
    pub fn routes(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let mut all = Array::new();
        for family in [Family::V4, Family::V6] {
            let command = op::route::show_main(&netns.at, family);
            let routes = act(&context, &netns.run, |session| route::parse(&session.query(&command)?, "ip route show"))?;
            all.extend(routes.iter().map(|route| Dynamic::from(row(to_map(route.raw()), "routes"))));
        }
        Ok(all)
    }

    /// The policy rules of both families now, an array of maps: `ip -j rule show`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").rules[0].table, "local");
    /// ```
    #[rhai_fn(get = "rules", return_raw, pure)]
    pub fn rules(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let mut all = Array::new();
        for family in [Family::V4, Family::V6] {
            let command = op::route::rules(&netns.at, family);
            let rules = act(&context, &netns.run, |session| rule::parse(&session.query(&command)?, "ip rule show"))?;
            all.extend(rules.iter().map(|rule| Dynamic::from(row(to_map(rule.raw()), "rules"))));
        }
        Ok(all)
    }

    /// The neighbours now, an array of maps: `ip -j neigh show`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").neighbours, []);
    /// ```
    #[rhai_fn(get = "neighbours", return_raw, pure)]
    pub fn neighbours(context: NativeCallContext, netns: &mut Netns) -> Out<Array> {
        let command = op::route::neighbours(&netns.at);
        let all = act(&context, &netns.run, |session| neigh::parse(&session.query(&command)?, "ip neigh show"))?;
        Ok(all.iter().map(|neigh| Dynamic::from(row(to_map(neigh.raw()), "neighbours"))).collect())
    }

    /// Deletes the namespace, if it is there. Processes inside are an error: they would keep it alive without a name.
    ///
    /// ```rhai
    /// netns("ns-blue").delete();
    /// assert(!netns_list().contains("ns-blue"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn delete(context: NativeCallContext, netns: &mut Netns) -> Out<()> {
        act(&context, &netns.run, |session| session.netns_delete(&netns.at).map(drop))
    }

    /// The namespace as text.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").to_string(), "ns-blue");
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn netns_to_string(netns: &mut Netns) -> String {
        netns.at.name()
    }

    /// Whether two handles mean the same namespace.
    ///
    /// ```rhai
    /// assert(netns("ns-blue") == netns("ns-blue"));
    /// ```
    #[rhai_fn(name = "==")]
    pub fn netns_equals(a: Netns, b: Netns) -> bool {
        a.at == b.at
    }

    /// Whether two handles mean different namespaces.
    ///
    /// ```rhai
    /// assert(netns("ns-blue") != netns("ns-green"));
    /// ```
    #[rhai_fn(name = "!=")]
    pub fn netns_differs(a: Netns, b: Netns) -> bool {
        a.at != b.at
    }
}
