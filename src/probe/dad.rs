//! Waiting until the IPv6 addresses of the calling thread's namespace can be used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::thread;
use std::time::{Duration, Instant};

use super::packet::{Inet6, inet6_table};
use super::{sys, witness};
use crate::Result;

/// An IPv6 address and its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inet6Addr {
    /// The address.
    pub addr: Ipv6Addr,
    /// The link that has it.
    pub link: String,
}

/// How duplicate address detection stands, on the links that have more than a link-local address.
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

/// Waits until no address of this namespace is tentative any more. Detection takes one to two seconds on a new address.
///
/// Links that have only their link-local address are left out: nobody asked for IPv6 there. On the others the link-local address counts too: measured on
/// Linux 6.18, neighbour discovery over a link whose link-local address is still tentative loses its first question, and the next one comes a second
/// later, even between addresses that were set with `nodad`.
///
/// An address on a link without carrier is waited for only 100 ms: its detection starts when the carrier comes, perhaps never.
///
/// # Errors
/// `/proc` cannot be read.
pub fn wait_dad(timeout: Duration, cancel: &dyn Fn() -> bool) -> Result<Dad> {
    const GRACE: Duration = Duration::from_millis(100);
    const STEP: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        let text = witness::proc_net("if_inet6")?;
        let mut running = BTreeMap::new();
        let mut dad = Dad::default();
        let mut hopeful = false;
        let table: Vec<Inet6> = inet6_table(&text).collect();
        let wanted: BTreeSet<String> = (table.iter())
            .filter(|known| !known.addr.is_unicast_link_local())
            .map(|known| known.link.clone())
            .collect();
        for Inet6 { addr, link, tentative, duplicate } in table {
            if !wanted.contains(&link) {
                continue;
            }
            if tentative {
                hopeful |= *running.entry(link.clone()).or_insert_with(|| sys::is_running(&link).unwrap_or(false));
                dad.tentative.push(Inet6Addr { addr, link });
            } else if duplicate {
                dad.duplicate.push(Inet6Addr { addr, link });
            }
        }
        let passed = began.elapsed();
        if dad.tentative.is_empty() || passed >= timeout || (!hopeful && passed >= GRACE) || cancel() {
            return Ok(dad);
        }
        thread::sleep(STEP.min(timeout.saturating_sub(passed)));
    }
}
