//! Waiting until the IPv6 addresses of the calling thread's namespace can be used.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use super::packet::{Inet6, inet6_table};
use super::{sys, witness};
use crate::Result;
use crate::patience::scaled;

/// An IPv6 address and its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inet6Addr {
    /// The address.
    pub addr: Ipv6Addr,
    /// The link that has it.
    pub link: String,
}

/// How duplicate address detection stands, for all but link-local addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dad {
    /// Still tentative when the wait ended: the deadline passed, or the link has no carrier and so detection cannot even begin.
    pub tentative: Vec<Inet6Addr>,
    /// Found to be in use by somebody else; these stay unusable.
    pub duplicate: Vec<Inet6Addr>,
}

impl Dad {
    /// Whether every address can be used.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.tentative.is_empty() && self.duplicate.is_empty()
    }
}

/// Waits until no address of this namespace is tentative any more, except link-local ones. Detection takes one to two seconds on a new address.
///
/// A link that is up and not running is waited for 1.1 s, even with `nodad` addresses. The kernel notices a carrier up to a second late
/// (`linkwatch`), and until then IPv6 has no multicast route on the link, so that neighbour discovery to it is lost. It is prompt for a link
/// whose index differs from its peer's; the two ends of a veth between fresh namespaces often have the same.
///
/// # Errors
/// `/proc` cannot be read.
pub fn wait_dad(timeout: Duration, cancel: &dyn Fn() -> bool) -> Result<Dad> {
    const GRACE: Duration = Duration::from_millis(1100);
    const STEP: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        let text = witness::proc_net("if_inet6")?;
        let mut running = BTreeMap::new();
        let mut dad = Dad::default();
        let mut hopeful = false;
        let passed = began.elapsed();
        for Inet6 { addr, link, tentative, duplicate } in inet6_table(&text) {
            if addr.is_unicast_link_local() {
                continue;
            }
            // What cannot be asked about (a link renamed this moment) is not waited for.
            let state = *running.entry(link.clone()).or_insert_with(|| sys::link_state(&link).unwrap_or_default());
            hopeful |= state.up && (state.running && tentative || !state.running && passed < scaled(GRACE));
            if tentative {
                dad.tentative.push(Inet6Addr { addr, link });
            } else if duplicate {
                dad.duplicate.push(Inet6Addr { addr, link });
            }
        }
        if !hopeful || passed >= timeout || cancel() {
            return Ok(dad);
        }
        thread::sleep(STEP.min(timeout.saturating_sub(passed)));
    }
}
