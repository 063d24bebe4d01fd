//! What the tools print, and what users write, as types. Text in, types out: no I/O, no processes, no printing, no Rhai.
//!
//! Two rules hold in every file of this room:
//!
//! - what a tool printed may be anything: a reader answers [`Kind::ToolOutput`](crate::Kind::ToolOutput), naming what was read,
//!   where it broke and how it begins, and never panics;
//! - what a user wrote may be anything: a validator answers [`Kind::InvalidArgument`](crate::Kind::InvalidArgument), naming the rule
//!   that is broken, with a hint that would work.
//!
//! | file | what |
//! |---|---|
//! | [`json`] | the one tolerant reader of iproute2's JSON |
//! | [`link`], [`net_addr`], [`route`], [`rule`], [`neigh`], [`netns`] | its typed views |
//! | [`bridge`] | VLANs and tables of bridges, as `bridge` prints them |
//! | [`iptables`] | `iptables -S` and `iptables-save` |
//! | [`iptables_args`] | the words that a user gives to iptables |
//! | [`ip_words`] | the words that a user gives to `ip` |
//! | [`link_kinds`] | kinds of links and their options |
//! | [`state`] | what a namespace holds, thing by thing: what an act takes away is told by two of them |
//! | [`addr`], [`names`], [`sysctl`] | validators |
//! | [`shell`] | what only a shell would understand in a command |

pub mod addr;
pub mod bridge;
pub mod ethtool;
pub(crate) mod ip_words;
pub mod iptables;
pub mod iptables_args;
pub mod json;
pub mod link;
pub mod link_kinds;
pub mod messages;
pub mod names;
pub mod neigh;
pub mod net_addr;
pub mod netns;
pub mod nft_drops;
pub(crate) mod nft_words;
pub(crate) mod packages;
pub mod route;
pub mod rule;
pub(crate) mod shell;
pub(crate) mod state;
pub mod suggest;
pub mod sysctl;
pub mod version;
pub(crate) mod wireguard;
pub(crate) mod words;

pub use addr::Cidr;
pub use link::{Link, LinkInfo, Peer};
pub use neigh::Neigh;
pub use net_addr::{Addr, AddrInfo};
pub use netns::NetnsEntry;
pub use route::{NextHop, Route, Via};
pub use rule::Rule;
