//! Packet probes and listeners of netwright's own.
//!
//! Everything here works *in the network namespace of the calling thread* and on plain or raw sockets: no process is started, nothing is printed,
//! nothing knows Rhai or iproute2. A socket keeps the namespace it was opened in, so a [`Witness`], an [`Established`] or a [`Listener`]
//! may be used and dropped on any thread.
//!
//! A [`Verdict`] has three values. [`Reached`] needs an answer that carries our own random [`Token`] (or a finished TCP handshake),
//! [`NotReached`] needs a reason that the kernel gave — an errno or an ICMP error out of the socket's error queue, with who sent it — and
//! silence is [`Inconclusive`](Verdict::Inconclusive), never dressed up as either.
//!
//! | file | what |
//! |---|---|
//! | `target` | what is probed and listened on, as text |
//! | `verdict` | the outcome, and what errnos and ICMP codes mean |
//! | `ping` | one address, or hundreds at once |
//! | `connect` | TCP and UDP |
//! | `witness` | who received it: the other end's view |
//! | `passing`, `sighting` | who passes a namespace; a probe among it |
//! | `listener`, `site` | a TCP and UDP echo service, and pages over HTTP |
//! | [`http`] | a GET, so that nothing like `curl` is needed |
//! | [`throughput`] | bits per second over TCP |
//! | `changes` | what the kernel announces about the network |
//! | `dump` | whether there are tables of nftables; the policy rules of IPv6 |
//! | `devconf` | the settings of all links, without a file for each |
//! | `nsid` | the ids by which a namespace knows others, and the indexes of links |
//! | `dad` | waiting for IPv6 addresses to become usable |
//! | `packet` | bytes to values and back; pure |
//! | `sys` | system calls that socket2 and rustix do not have; all `unsafe` is there |

mod changes;
mod connect;
mod dad;
pub mod devconf;
mod dump;
pub(crate) mod http;
mod listener;
mod nsid;
mod packet;
pub(crate) mod passing;
mod ping;
pub(crate) mod sighting;
mod site;
mod sys;
mod target;
pub(crate) mod throughput;
mod verdict;
mod witness;

pub use changes::{announcements, drain};
pub use connect::{ConnectOptions, Established, answered_by, connect};
pub use dad::{Dad, Inet6Addr, wait_dad};
pub use dump::{has_legacy_tables, has_nft_tables, policy_rules_v6};
pub use listener::{Counts, Listener, Visitors};
pub use nsid::{Ids, link_index};
pub use packet::Connection;
pub(crate) use ping::ASKED;
pub use ping::{PingOptions, PingReport, ping, ping_many};
pub use site::{Page, Site};
pub use target::{Endpoint, Named, Proto, Target};
pub use verdict::{NotReached, Reached, Reason, Silence, Verdict};
pub use witness::{Token, Witness, connections, has_connection, listens};
