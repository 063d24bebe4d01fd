//! iptables and ip6tables in their own words, and NAT.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};
use rhai::{Array, Map};

use super::value::{type_of, word, words};
use super::{Link, Netns, Out, act, reject};
use crate::error::{Error, Kind, Result};
use crate::model::Cidr;
use crate::model::iptables::{Operand, Ruleset};
use crate::op::route::Family;
use crate::probe::{Endpoint, Proto};
use crate::session::{FirewallAnswer, Forward};

fn call(context: &NativeCallContext, netns: &Netns, family: Family, given: &Dynamic) -> Out<Dynamic> {
    let given = reject(context, words(given, if family == Family::V4 { "iptables" } else { "ip6tables" }))?;
    let answer = act(context, &netns.run, |session| session.iptables(&netns.at, family, &given))?;
    Ok(match answer {
        FirewallAnswer::Text(text) => text.into(),
        FirewallAnswer::Did(_) => Dynamic::UNIT,
    })
}

/// Rules as maps: what a script asks about them, and the whole rule as text.
fn rules_array(rules: &Ruleset) -> Array {
    let operand = |operand: Option<Operand<'_>>| -> Dynamic {
        operand.map_or(Dynamic::UNIT, |operand| {
            if operand.not { format!("! {}", operand.value).into() } else { operand.value.to_owned().into() }
        })
    };
    let text = |text: Option<&str>| text.map_or(Dynamic::UNIT, |text| text.to_owned().into());
    let mut all = Array::new();
    for table in &rules.tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                let number = |value: u64| Dynamic::from_int(i64::try_from(value).unwrap_or(i64::MAX));
                all.push(
                    Map::from_iter([
                        ("table".into(), table.name.clone().into()),
                        ("chain".into(), chain.name.clone().into()),
                        ("number".into(), number(rule.number.into())),
                        ("packets".into(), number(rule.packets)),
                        ("bytes".into(), number(rule.bytes)),
                        ("target".into(), text(rule.target())),
                        ("protocol".into(), operand(rule.protocol())),
                        ("source".into(), operand(rule.source())),
                        ("destination".into(), operand(rule.destination())),
                        ("in_interface".into(), operand(rule.in_interface())),
                        ("out_interface".into(), operand(rule.out_interface())),
                        ("comment".into(), text(rule.comment())),
                        ("rule".into(), rule.text().into()),
                    ])
                    .into(),
                );
            }
        }
    }
    all
}

fn source(value: &Dynamic) -> Result<String> {
    if let Some(cidr) = value.read_lock::<Cidr>() {
        return Ok(cidr.network().to_string());
    }
    word(value).ok_or_else(|| {
        Error::new(
            Kind::InvalidArgument,
            format!("a source is a network as a string or a cidr, not {}", type_of(value)),
        )
    })
}

/// `tcp/8080` and `10.0.0.1:80` or `[2001:db8::1]:80`.
fn forward(published: &str, to: &str) -> Result<Forward> {
    let endpoint: Endpoint = published.parse()?;
    let protocol = match endpoint.proto {
        Proto::Tcp => "tcp",
        Proto::Udp => "udp",
        Proto::Icmp => {
            return Err(Error::new(Kind::InvalidArgument, "icmp has no ports").hint("\"tcp/8080\" or \"udp/53\""));
        }
    };
    let to: std::net::SocketAddr = to.parse().map_err(|_| {
        Error::new(Kind::InvalidArgument, format!("`{to}` is not an address with a port"))
            .hint("\"10.0.0.1:80\" or \"[2001:db8::1]:80\"")
    })?;
    Ok(Forward { protocol, port: endpoint.port, addr: endpoint.addr, to: (to.ip(), to.port()) })
}

#[export_module]
pub mod api {
    /// `iptables` in its own words, a string or an array. `-A` and `-I` look first and add only what is missing; questions (`-S`, `-L`) return text.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// blue.iptables("-A INPUT -p tcp --dport 22 -j DROP");
    /// assert_eq(blue.iptables_rules("filter")[0].target, "DROP");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn iptables(context: NativeCallContext, netns: &mut Netns, words: Dynamic) -> Out<Dynamic> {
        call(&context, netns, Family::V4, &words)
    }

    /// `ip6tables`, as [`iptables`].
    ///
    /// ```rhai
    /// netns("ns-blue").ip6tables("-P FORWARD DROP");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn ip6tables(context: NativeCallContext, netns: &mut Netns, words: Dynamic) -> Out<Dynamic> {
        call(&context, netns, Family::V6, &words)
    }

    /// The rules of a table, an array of maps: `table chain number packets bytes target protocol source destination in_interface
    /// out_interface comment rule`.
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").iptables_rules("nat"), []);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn iptables_rules(context: NativeCallContext, netns: &mut Netns, table: &str) -> Out<Array> {
        let rules = act(&context, &netns.run, |session| session.firewall_rules(&netns.at, Family::V4, Some(table)))?;
        Ok(rules_array(&rules))
    }

    /// The rules of an `ip6tables` table, as [`iptables_rules`].
    ///
    /// ```rhai
    /// assert_eq(netns("ns-blue").ip6tables_rules("filter"), []);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn ip6tables_rules(context: NativeCallContext, netns: &mut Netns, table: &str) -> Out<Array> {
        let rules = act(&context, &netns.run, |session| session.firewall_rules(&netns.at, Family::V6, Some(table)))?;
        Ok(rules_array(&rules))
    }

    /// Hides all IPv4 traffic that leaves by `link` behind the link's own address.
    ///
    /// ```rhai
    /// host().masquerade(host().uplink());
    /// assert_eq(host().iptables_rules("nat")[0].target, "MASQUERADE");
    /// ```
    #[rhai_fn(name = "masquerade", return_raw, pure)]
    pub fn masquerade(context: NativeCallContext, netns: &mut Netns, link: Link) -> Out<()> {
        act(&context, &netns.run, |session| session.masquerade(&netns.at, own(netns, &link)?, None).map(drop))
    }

    /// The same for what comes from `source`, a network of either family.
    ///
    /// ```rhai
    /// host().masquerade(host().uplink(), "10.0.0.0/24");
    /// host().masquerade(host().uplink(), cidr("fd00::/64"));
    /// ```
    #[rhai_fn(name = "masquerade", return_raw, pure)]
    pub fn masquerade_source(context: NativeCallContext, netns: &mut Netns, link: Link, source: Dynamic) -> Out<()> {
        let source = reject(&context, super::source(&source))?;
        act(&context, &netns.run, |session| session.masquerade(&netns.at, own(netns, &link)?, Some(&source)).map(drop))
    }

    /// Publishes a port: what comes for it, from outside or from the namespace itself, goes to another address.
    /// The namespace must forward (`net.ipv4.ip_forward`).
    ///
    /// ```rhai
    /// host().port_forward("tcp/8080", "10.0.0.1:80");
    /// assert_eq(host().iptables_rules("nat").len(), 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn port_forward(context: NativeCallContext, netns: &mut Netns, published: &str, to: &str) -> Out<()> {
        let forward = reject(&context, super::forward(published, to))?;
        act(&context, &netns.run, |session| session.port_forward(&netns.at, &forward).map(drop))
    }
}

/// The name of a link that must be in the namespace.
fn own<'a>(netns: &Netns, link: &'a Link) -> Result<&'a str> {
    if link.netns.at == netns.at {
        return Ok(&link.name);
    }
    Err(Error::new(Kind::InvalidArgument, format!("`{}` is in `{}`, not in `{}`", link.name, link.netns.at, netns.at)))
}
