//! nft in its own words.

use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::value::word;
use super::{Netns, Out, act, reject};
use crate::error::{Error, Kind, Result};
use crate::model::nft_words::Table;
use crate::session::NftAnswer;

/// nft reads its words with their quotes and braces: an array is only joined.
fn text(value: &Dynamic) -> Result<String> {
    let joined = value.as_array_ref().ok().and_then(|array| {
        let words: Option<Vec<String>> = array.iter().map(word).collect();
        words.map(|words| words.join(" "))
    });
    let given = joined.or_else(|| value.as_immutable_string_ref().ok().map(|text| text.to_string()));
    given.ok_or_else(|| {
        Error::new(
            Kind::InvalidArgument,
            format!("`nft` takes its words as a string or an array, not {}", super::value::type_of(value)),
        )
        .hint("ns.nft(\"add rule inet lab input tcp dport 22 accept\")")
    })
}

#[export_module]
pub mod api {
    /// One command of `nft` in its own words. What is so already is not done again: a rule that stands in its chain, a set's element, a chain with
    /// the same policy, something to delete that is not there. Undone by the handle that nft gave, or by the table as it was. Questions (`list`,
    /// `get`) return text.
    ///
    /// Which firewall to take: `iptables` for a few rules, NAT and what other programs on the machine already do with it; `nft` for sets, maps,
    /// verdict maps, both families in one table (`inet`), and whole tables ([`nft_table`]). Both act on every packet, each hook in the order of its
    /// priorities: what one of them drops, the other cannot let through.
    ///
    /// ```rhai
    /// needs("nft");
    /// let blue = netns("ns-blue");
    /// blue.nft("add table inet lab");
    /// blue.nft("add chain inet lab input { type filter hook input priority 0; policy accept; }");
    /// blue.nft("add rule inet lab input tcp dport { 22, 23 } counter drop");
    /// assert(blue.nft("list table inet lab").contains("tcp dport { 22, 23 }"));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn nft(context: NativeCallContext, netns: &mut Netns, words: Dynamic) -> Out<Dynamic> {
        let given = reject(&context, super::text(&words))?;
        Ok(match act(&context, &netns.run, |session| session.nft(&netns.at, &given))? {
            NftAnswer::Text(text) => text.into(),
            NftAnswer::Did(_) => Dynamic::UNIT,
        })
    }

    /// A whole table of `nft`: its family and name, and what stands between its braces. It is loaded in one step, in place of whatever had its name;
    /// a table that is so already is left alone, with what it has counted. The former one comes back when this is undone.
    ///
    /// ```rhai
    /// needs("nft");
    /// netns("ns-blue").nft_table("inet lab", `
    ///     set admins { type ipv4_addr; elements = { 10.0.0.7, 10.0.0.8 } }
    ///     chain input {
    ///         type filter hook input priority 0; policy drop;
    ///         ct state established,related accept
    ///         iifname "lo" accept
    ///         ip saddr @admins tcp dport 22 accept
    ///     }
    /// `);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn nft_table(context: NativeCallContext, netns: &mut Netns, table: &str, text: &str) -> Out<()> {
        let table: Table = reject(&context, table.parse())?;
        act(&context, &netns.run, |session| session.nft_table(&netns.at, &table, text).map(drop))
    }
}
