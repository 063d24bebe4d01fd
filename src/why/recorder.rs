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
//! | `recording` | what happened, and how it ends |
//! | `meaning` | reason and function → what it means |
//! | `reasons` | every word that the kernel has for a drop, and what it means |
//! | `counters` | the counters of a namespace, before and after |

mod counters;
mod follow;
mod meaning;
mod parse;
mod reasons;
mod recording;
mod tracefs;

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

pub use meaning::{Class, Hook, hook};
pub use reasons::means;
pub use recording::{Dropped, End, Leg, Recording, Seen, What};

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
            *filter = filter.filter(has);
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
        Ok((value, Recording { events, counters, lost, names, prober: Some(netns.id()) }))
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
