//! What was recorded, as data, and how it ends.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Class, Hook};
use crate::exec::netns::NetnsId;
use crate::op::Where;

/// Whether an event belongs to the way there or to an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leg {
    /// The way there.
    #[default]
    Request,
    /// The way back: the reply, or an ICMP error.
    Reply,
}

/// A packet that the kernel dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The kernel's word for it, for example `IP_RPFILTER`; `None` before Linux 5.17.
    pub reason: Option<String>,
    /// The function that dropped it, where the kernel says.
    pub function: Option<String>,
    /// What both mean.
    pub class: Class,
    /// The netfilter hook it was in, read off the stack: it tells INPUT from FORWARD.
    pub hook: Option<Hook>,
    /// That hook was called for a bridged frame.
    pub bridged: bool,
    /// The functions that led there, innermost first; empty where the kernel records no stacks.
    pub stack: Vec<String>,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_deref().unwrap_or("dropped"))?;
        match (&self.function, self.hook) {
            (Some(function), Some(hook)) => write!(f, " ({function}, {hook})"),
            (Some(function), None) => write!(f, " ({function})"),
            (None, Some(hook)) => write!(f, " ({hook})"),
            (None, None) => Ok(()),
        }
    }
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A link was given the packet to send.
    Xmit {
        /// Its length at layer 3.
        len: u32,
    },
    /// A link received it.
    Receive {
        /// Its length at layer 3.
        len: u32,
    },
    /// It was dropped.
    Drop(Dropped),
    /// A routing table was asked.
    Fib {
        /// The table; 254 is `main`, and answers for `local` too as long as there are no rules.
        table: u32,
        /// 0, or the negative errno: -11 nothing in this table, -22 blackhole, -113 unreachable, -13 prohibit.
        error: i32,
        /// The incoming link; 1 for a packet of the namespace's own, 0 when only the kind of an address was asked.
        iif: u32,
        /// The source; unspecified while the kernel still looks for one.
        source: IpAddr,
        /// The destination.
        destination: IpAddr,
        /// The link it leads to. The gateway is not told: where there is none the kernel prints whatever was in memory.
        out: Option<String>,
    },
    /// An ICMP error was about to be sent (IPv4 only); a limit on their rate may still suppress it.
    IcmpSend {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
    /// A neighbour entry changed or is waited for.
    Neighbour {
        /// Whose.
        addr: IpAddr,
        /// `incomplete`, `reachable`, `failed` …
        state: String,
    },
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// On the kernel's monotonic clock.
    pub time: Duration,
    /// In which namespace; `None` where that could not be told.
    pub netns: Option<NetnsId>,
    /// On which link. Of a drop: where the packet was last seen; `None` before it reached any.
    pub dev: Option<String>,
    /// A number for the packet, kept from link to link as long as the kernel does not copy it.
    pub packet: Option<u32>,
    /// Its Ethernet protocol; 0x0806 is ARP.
    pub protocol: Option<u16>,
    /// Way there or way back.
    pub leg: Leg,
    /// Seen under the probing thread; else in a timer or in another thread.
    pub own: bool,
    /// What happened.
    pub what: What,
}

impl Seen {
    /// It is about an IP packet and not about ARP.
    fn is_ip(&self) -> bool {
        matches!(self.protocol, Some(0x0800 | 0x86dd))
    }

    fn drop(&self) -> Option<&Dropped> {
        if let What::Drop(dropped) = &self.what { Some(dropped) } else { None }
    }
}

/// How the record of a probe ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// The kernel dropped it.
    Dropped(&'a Seen, &'a Dropped),
    /// A neighbour did not answer, and the drop was not seen.
    Unresolved(&'a Seen),
    /// The last table that was asked had no route.
    Unrouted(&'a Seen),
    /// Nothing says that it was stopped.
    Open,
}

/// Everything that was recorded about one probe.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What happened, in order.
    pub events: Vec<Seen>,
    /// The counters that changed while the probe ran, per namespace. On a busy machine others have changed them too.
    pub counters: Vec<(NetnsId, Vec<(String, i64)>)>,
    /// Events that the kernel had no room for.
    pub lost: u64,
    pub(super) names: Vec<(NetnsId, Where)>,
    /// Where the probe was sent.
    pub(super) prober: Option<NetnsId>,
}

impl Recording {
    /// What the namespace is called that an event was seen in.
    #[must_use]
    pub fn name_of(&self, netns: NetnsId) -> Option<&Where> {
        self.names.iter().find(|(id, _)| *id == netns).map(|(_, at)| at)
    }

    /// Where an event was seen: of a packet that had come to no link yet, that is where it was sent.
    #[must_use]
    pub fn place_of(&self, seen: &Seen) -> Option<&Where> {
        let moved = |other: &&Seen| matches!(other.what, What::Xmit { .. } | What::Receive { .. });
        let started = self.events.iter().filter(moved).any(|other| other.time <= seen.time && other.is_ip());
        let prober = self.prober.filter(|_| seen.own && !started);
        self.name_of(seen.netns.or(prober)?)
    }

    /// All drops, harmless ones included.
    pub fn drops(&self) -> impl Iterator<Item = (&Seen, &Dropped)> {
        self.events.iter().filter_map(|seen| Some((seen, seen.drop()?)))
    }

    /// The drop that matters: the first that is not harmless, those under the probing thread before those elsewhere. A copy that a bridge flooded to a bystander ([`Class::OtherHost`]) counts only
    /// where there is no other. A probe that was answered may have one too.
    #[must_use]
    pub fn dropped(&self) -> Option<(&Seen, &Dropped)> {
        let real = || self.drops().filter(|(_, dropped)| dropped.class != Class::Harmless);
        let better = |(seen, dropped): &(&Seen, &Dropped)| (dropped.class == Class::OtherHost, !seen.own);
        real().min_by_key(better)
    }

    /// The last link that an IP packet of the probe was sent or received on.
    #[must_use]
    pub fn last(&self) -> Option<&Seen> {
        let moved = |seen: &&Seen| matches!(seen.what, What::Xmit { .. } | What::Receive { .. });
        self.events.iter().rfind(|seen| moved(seen) && seen.is_ip())
    }

    /// The path: each link that an IP packet of the probe was sent or received on, in order.
    pub fn path(&self) -> impl Iterator<Item = &Seen> {
        self.events.iter().filter(|seen| matches!(seen.what, What::Xmit { .. } | What::Receive { .. }) && seen.is_ip())
    }

    /// How it ends.
    #[must_use]
    pub fn end(&self) -> End<'_> {
        if let Some((seen, dropped)) = self.dropped() {
            return End::Dropped(seen, dropped);
        }
        // The last word about each neighbour counts.
        let mut states: HashMap<(Option<NetnsId>, Option<&str>, IpAddr), &Seen> = HashMap::new();
        for seen in &self.events {
            if let What::Neighbour { addr, .. } = &seen.what {
                states.insert((seen.netns, seen.dev.as_deref(), *addr), seen);
            }
        }
        let silent = |seen: &&&Seen| matches!(&seen.what, What::Neighbour { state, .. } if state == "failed" || state == "incomplete");
        if let Some(seen) = states.values().filter(silent).min_by_key(|seen| seen.time) {
            return End::Unresolved(seen);
        }
        // A lookup goes through several tables; only one that nothing follows is a dead end.
        let last = self.events.iter().rfind(|seen| match &seen.what {
            What::Fib { iif, .. } => *iif != 0,
            What::Xmit { .. } | What::Receive { .. } => seen.is_ip(),
            _ => false,
        });
        match last {
            Some(seen) if matches!(seen.what, What::Fib { error, .. } if error != 0) => End::Unrouted(seen),
            _ => End::Open,
        }
    }

    /// The last hop and how it ended, in one line: `dropped in dx-host at va2: IP_RPFILTER (ip_rcv_finish_core)`.
    #[must_use]
    pub fn summary(&self) -> String {
        let place = |seen: &Seen| {
            let netns = match (self.place_of(seen), seen.netns) {
                (Some(at), _) => at.name(),
                (None, Some(id)) => format!("netns {}", id.inode),
                (None, None) => "an unknown namespace".into(),
            };
            seen.dev.as_ref().map_or_else(|| netns.clone(), |dev| format!("{netns} at {dev}"))
        };
        match self.end() {
            End::Dropped(seen, dropped) => format!("dropped in {}: {dropped}", place(seen)),
            End::Unresolved(seen) => match &seen.what {
                What::Neighbour { addr, state } => format!("in {}: neighbour {addr} is {state}", place(seen)),
                _ => format!("in {}: a neighbour is silent", place(seen)),
            },
            End::Unrouted(seen) => match &seen.what {
                What::Fib { destination, error, table, .. } => {
                    format!("no route in {} to {destination} (table {table}, error {error})", place(seen))
                }
                _ => format!("no route in {}", place(seen)),
            },
            End::Open => match self.last() {
                Some(seen) if matches!(seen.what, What::Xmit { .. }) => format!("last sent in {}", place(seen)),
                Some(seen) => format!("last received in {}", place(seen)),
                None => "no packet left the sender".into(),
            },
        }
    }
}
