//! The flight recorder: what the kernel did with one probe, hop by hop, in every namespace that it came through.
//!
//! veth pairs, bridges and forwarding run in the sender's own softirq, so the whole journey of a packet appears in the kernel's trace events
//! under the thread that sent it. A [`Recorder`] holds two trace instances of its own: one takes what the probing thread does, the other what
//! timers and other threads do with packets of the probe's length and with neighbours that do not answer. Both are filtered in the kernel.
//! Nothing of it can be seen from the machine's file systems, and it is all removed when the recorder is dropped; what a killed run has left
//! is removed by the next one.
//!
//! | file | what |
//! |---|---|
//! | `tracefs` | the private mount and the instances |
//! | `parse` | the text of a trace → raw events; pure |
//! | `follow` | raw events → whose packet, on which link of which namespace; pure |
//! | `meaning` | reason and function → what it means |
//! | `counters` | the counters of a namespace, before and after |

mod counters;
mod follow;
mod meaning;
mod parse;
mod tracefs;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

pub use meaning::{Class, Hook, hook};

use crate::exec::netns::{NetnsFile, NetnsId};
use crate::op::Where;
use crate::{Error, Kind, Result};
use tracefs::{Instance, Tracefs};

/// The events, and the filter of each in the second instance; `None`: only in the first. `{p}` is the protocol, `{n}` the length of the
/// probe at layer 3, `{f}` with an Ethernet header before it.
const EVENTS: [(&str, Option<&str>); 10] = [
    ("net/net_dev_queue", None),
    ("net/net_dev_start_xmit", Some("protocol == {p} && len == {f}")),
    ("net/netif_receive_skb", Some("len == {n}")),
    ("skb/kfree_skb", Some("protocol == {p}")), // without a length: only NEIGH_FAILED
    ("fib/fib_table_lookup", None),
    ("fib6/fib6_table_lookup", None),
    ("icmp/icmp_send", Some("type == 3 && code == 1")),
    ("neigh/neigh_update", Some("new_state == 32")),
    ("neigh/neigh_event_send_done", None),
    ("neigh/neigh_timer_handler", Some("nud_state == 32")),
];

/// Without these there is nothing to see.
const NEEDED: [&str; 3] = ["net/net_dev_start_xmit", "net/netif_receive_skb", "skb/kfree_skb"];

/// Kilobytes per processor of the instance for the probing thread, and of the other, which on a busy machine takes other people's drops.
const OWN_KB: &str = "256";
const OTHERS_KB: &str = "1024";

/// A link of a namespace, as far as following a packet needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLink {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The other end of a veth: namespace and index.
    pub peer: Option<(NetnsId, u32)>,
}

/// A namespace that the probe may come through. What is not given is still recorded, but stays without a namespace.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it is called.
    pub at: Where,
    /// The namespace.
    pub netns: NetnsFile,
    /// Its links.
    pub links: Vec<KnownLink>,
}

impl Place {
    fn link(&self, name: &str) -> Option<&KnownLink> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// What the probe's packets look like, to know them where other threads handle them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The Ethernet protocol, 0x0800 or 0x86dd.
    pub protocol: Option<u16>,
    /// The length at layer 3, headers included: a random one tells the probe from other traffic. `None` where it cannot be chosen (TCP).
    pub length: Option<u32>,
}

/// What to record.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The namespaces that the probe may come through: names for its events, and counters.
    pub places: Vec<Place>,
    /// How to know the probe.
    pub wanted: Match,
    /// How long to wait after the probe while a neighbour that was asked for has neither answered nor failed. Failing takes 3 s.
    pub linger: Duration,
}

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
    names: Vec<(NetnsId, Where)>,
}

impl Recording {
    /// What the namespace is called that an event was seen in.
    #[must_use]
    pub fn name_of(&self, netns: NetnsId) -> Option<&Where> {
        self.names.iter().find(|(id, _)| *id == netns).map(|(_, at)| at)
    }

    /// All drops, harmless ones included.
    pub fn drops(&self) -> impl Iterator<Item = (&Seen, &Dropped)> {
        self.events.iter().filter_map(|seen| Some((seen, seen.drop()?)))
    }

    /// The drop that matters: the first that is not harmless. A copy that a bridge flooded to a bystander ([`Class::OtherHost`]) counts only
    /// where there is no other. A probe that was answered may have one too.
    #[must_use]
    pub fn dropped(&self) -> Option<(&Seen, &Dropped)> {
        let real = || self.drops().filter(|(_, dropped)| dropped.class != Class::Harmless);
        real().find(|(_, dropped)| dropped.class != Class::OtherHost).or_else(|| real().next())
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
            let netns = match seen.netns {
                Some(id) => self.name_of(id).map_or_else(|| format!("netns {}", id.inode), Where::name),
                None => "an unknown namespace".into(),
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

/// Whether a probe can be recorded here.
///
/// # Errors
///
/// `PermissionDenied` in a user namespace or on a locked down kernel, `Unsupported` where the kernel was built without.
pub fn available() -> Result<()> {
    let tracefs = Tracefs::mount()?;
    check(&tracefs)
}

fn check(tracefs: &Tracefs) -> Result<()> {
    if let Some(missing) = NEEDED.iter().find(|event| !tracefs.has_event(event)) {
        return Err(Error::new(Kind::Unsupported, format!("this kernel has no trace event `{missing}`"))
            .hint("it needs `CONFIG_EVENT_TRACING` and `CONFIG_NET`"));
    }
    tracefs.read("trace_clock").map(drop).map_err(|error| {
        Error::new(Kind::PermissionDenied, format!("the flight recorder cannot read tracefs: {error}"))
            .hint("a locked down kernel closes tracefs even to root: see `/sys/kernel/security/lockdown`")
    })
}

/// Two trace instances, ready to record probes one after the other.
pub struct Recorder {
    own: Instance,
    others: Instance,
    /// The events that this kernel has, with the filter of the second instance.
    events: Vec<(&'static str, Option<&'static str>)>,
    /// The drop reasons of this kernel, by number: an old `trace` prints numbers for those that came with a module.
    reasons: HashMap<u32, String>,
    // Last: the instances are removed through it.
    _tracefs: Tracefs,
}

impl Recorder {
    /// Makes both instances, and removes those that killed runs have left.
    ///
    /// # Errors
    ///
    /// As [`available`].
    pub fn open() -> Result<Self> {
        let tracefs = Tracefs::mount()?;
        check(&tracefs)?;
        tracefs.sweep();
        let mut events: Vec<_> = EVENTS.into_iter().filter(|(event, _)| tracefs.has_event(event)).collect();
        // A field that a kernel does not have would make its filter fail: then that event is not looked for in other threads.
        for (event, filter) in &mut events {
            let fields = parse::fields(&tracefs.read(&format!("events/{event}/format")).unwrap_or_default());
            let has = |filter: &&str| {
                filter.split(" && ").all(|part| {
                    part.split_whitespace().next().is_some_and(|name| fields.iter().any(|field| field == name))
                })
            };
            *filter = filter.filter(|filter| has(&filter));
        }
        let reasons = tracefs.read("events/skb/kfree_skb/format").unwrap_or_default();
        let (own, others) = (tracefs.instance()?, tracefs.instance()?);
        for (instance, kilobytes) in [(&own, OWN_KB), (&others, OTHERS_KB)] {
            instance.set("tracing_on", "0")?;
            instance.set("buffer_size_kb", kilobytes)?;
            // One clock for all processors: both traces are merged by it.
            instance.write("trace_clock", "mono").or_else(|_| instance.write("trace_clock", "global")).ok();
        }
        Ok(Self { own, others, events, reasons: parse::reasons(&reasons).into_iter().collect(), _tracefs: tracefs })
    }

    /// Runs `probe` on a thread of its own in `netns` and records what becomes of its packets.
    ///
    /// The thread must do nothing but the probe: all that it sends is taken for it.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered or the trace cannot be set up or read; `Internal` if the probe panicked. What the probe itself
    /// says is its own affair.
    pub fn record<T: Send>(
        &self,
        netns: &NetnsFile,
        plan: &Plan,
        probe: impl FnOnce() -> T + Send,
    ) -> Result<(T, Recording)> {
        let before = count(plan);
        let recorded = netns.within(|| {
            let tid = self.tid()?;
            self.start(tid, plan.wanted)?;
            let value = probe();
            Ok((tid, value))
        });
        let recorded = recorded.and_then(|result: Result<(u32, T)>| result).and_then(|(tid, value)| {
            self.settle(tid, plan.linger)?;
            Ok(value)
        });
        // Also when the probe failed or panicked: nothing records on.
        self.pause();
        let value = recorded?;
        let (own, others) = (self.read(&self.own)?, self.read(&self.others)?);
        let counters = differences(plan, &before);

        let lost = own.lost + others.lost;
        let mut events: Vec<(bool, parse::Raw)> = own.events.into_iter().map(|raw| (true, raw)).collect();
        events.extend(others.events.into_iter().map(|raw| (false, raw)));
        events.sort_by_key(|(_, raw)| raw.time);
        let events = follow::follow(&events, netns.id(), &plan.places, plan.wanted);
        let names = plan.places.iter().map(|place| (place.netns.id(), place.at.clone())).collect();
        Ok((value, Recording { events, counters, lost, names }))
    }

    /// The calling thread's id as the kernel itself numbers it, which a process id namespace hides: read off a mark in the trace.
    fn tid(&self) -> Result<u32> {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let mark = format!("netwright {thread} {:?}", Instant::now());
        self.own.clear()?;
        self.own.set("tracing_on", "1")?;
        self.own.set("trace_marker", &mark)?;
        self.own.set("tracing_on", "0")?;
        let trace = parse::trace(&self.own.trace()?);
        trace.events.iter().find(|raw| raw.text == mark).map(|raw| raw.pid).ok_or_else(|| {
            Error::new(Kind::Unsupported, "the flight recorder does not find its own mark in the trace")
                .hint("`trace_marker` of tracefs may be switched off: see `options/markers`")
        })
    }

    /// Sets the filters for a thread and switches on.
    fn start(&self, tid: u32, wanted: Match) -> Result<()> {
        let only = format!("common_pid == {tid}");
        for (event, filter) in &self.events {
            self.own.set(&format!("events/{event}/filter"), &only)?;
            if *event == "skb/kfree_skb" {
                // The stack tells the hook. Kernels without stacks or triggers do without.
                let trigger = format!("events/{event}/trigger");
                let _ = self.own.write(&trigger, "!stacktrace");
                let _ = self.own.write(&trigger, &format!("stacktrace if {only}"));
            }
            let mut filter = filter.and_then(|filter| fill(filter, wanted));
            if *event == "skb/kfree_skb" && wanted.length.is_none() {
                // Nothing tells the probe from others; what still can be told is a neighbour's failure.
                let failed = self.reasons.iter().find(|(_, name)| *name == "NEIGH_FAILED");
                filter = failed.map(|(number, _)| format!("reason == {number}"));
            }
            if let Some(filter) = filter {
                self.others.set(&format!("events/{event}/filter"), &format!("common_pid != {tid} && {filter}"))?;
                self.others.set(&format!("events/{event}/enable"), "1")?;
            } else {
                let _ = self.others.write(&format!("events/{event}/enable"), "0");
            }
            self.own.set(&format!("events/{event}/enable"), "1")?;
        }
        for instance in [&self.own, &self.others] {
            instance.clear()?;
            instance.set("tracing_on", "1")?;
        }
        Ok(())
    }

    fn pause(&self) {
        for instance in [&self.own, &self.others] {
            let _ = instance.write("tracing_on", "0");
        }
    }

    fn read(&self, instance: &Instance) -> Result<parse::Trace> {
        let mut trace = parse::trace(&instance.trace()?);
        for raw in &mut trace.events {
            if let Some(number) = raw.after("reason:").and_then(|word| word.strip_prefix("0x"))
                && let Some(name) = u32::from_str_radix(number, 16).ok().and_then(|number| self.reasons.get(&number))
            {
                raw.text = raw.text.replace(&format!("reason: 0x{number}"), &format!("reason: {name}"));
            }
        }
        Ok(trace)
    }

    /// Waits until every neighbour that the probe asked for has answered or failed.
    fn settle(&self, tid: u32, linger: Duration) -> Result<()> {
        let end = Instant::now() + linger;
        while Instant::now() < end {
            let mut open: Vec<(String, String)> = Vec::new();
            let mut events = self.read(&self.own)?.events;
            events.extend(self.read(&self.others)?.events);
            events.sort_by_key(|raw| raw.time);
            for raw in events.iter().filter(|raw| raw.event.starts_with("neigh_")) {
                let key = |name| raw.after(name).unwrap_or_default().to_owned();
                let neighbour = (key("dev"), key("primary_key6"));
                let state = raw.after("new_state").or_else(|| raw.after("nud_state")).unwrap_or_default();
                open.retain(|other| *other != neighbour);
                if state == "incomplete" && raw.pid == tid {
                    open.push(neighbour);
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

/// Runs one probe with a recorder made for it. Who probes more than once keeps a [`Recorder`].
///
/// # Errors
///
/// As [`Recorder::open`] and [`Recorder::record`].
pub fn record<T: Send>(netns: &NetnsFile, plan: &Plan, probe: impl FnOnce() -> T + Send) -> Result<(T, Recording)> {
    Recorder::open()?.record(netns, plan, probe)
}

/// A filter with the probe's numbers; `None` where it needs one that is not known.
fn fill(filter: &str, wanted: Match) -> Option<String> {
    let mut out = filter.to_owned();
    for (word, value) in [
        ("{p}", wanted.protocol.map(u32::from)),
        ("{n}", wanted.length),
        ("{f}", wanted.length.map(|length| length.saturating_add(14))),
    ] {
        if out.contains(word) {
            out = out.replace(word, &value?.to_string());
        }
    }
    Some(out)
}

type Counted = Vec<(NetnsId, counters::Counters)>;

/// Reads the counters of all places, on one thread that goes from namespace to namespace.
fn count(plan: &Plan) -> Counted {
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let read = |place: &Place| place.netns.enter().ok().map(|()| (place.netns.id(), counters::read()));
            plan.places.iter().filter_map(read).collect()
        });
        reader.join().unwrap_or_default()
    })
}

fn differences(plan: &Plan, before: &Counted) -> Vec<(NetnsId, Vec<(String, i64)>)> {
    let after = count(plan);
    let old = |id: NetnsId| before.iter().find(|(other, _)| *other == id).map(|(_, counters)| counters);
    after
        .iter()
        .filter_map(|(id, now)| Some((*id, counters::differences(old(*id)?, now))))
        .filter(|(_, changes)| !changes.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_needs_its_numbers() {
        let wanted = Match { protocol: Some(0x800), length: Some(105) };
        assert_eq!(fill("protocol == {p} && len == {f}", wanted).as_deref(), Some("protocol == 2048 && len == 119"));
        assert_eq!(fill("len == {n}", wanted).as_deref(), Some("len == 105"));
        assert_eq!(fill("len == {n}", Match { length: None, ..wanted }), None);
        assert_eq!(fill("new_state == 32", Match::default()).as_deref(), Some("new_state == 32"));
    }
}
