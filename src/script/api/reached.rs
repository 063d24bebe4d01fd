//! What more is to be so of an answer: `expect(a).reaches(b).within("20ms").via(["r1"])`.

use std::net::IpAddr;
use std::time::Duration;

use rhai::plugin::{Dynamic, NativeCallContext, export_module};

use super::value::{duration, type_of};
use super::verify::{Missed, aim_text, explained, failed};
use super::{Netns, Out, Run, act, reject};
use crate::error::{Error, Kind, Result};
use crate::model::{addr, names, suggest};
use crate::op::Where;
use crate::script::error::{place_of, throw};
use crate::session::Session;
use crate::session::noted::Noted;
use crate::verify::answered::{Fits, MTUS};
use crate::verify::way::Seen;
use crate::verify::{Aim, Finding, Manner};

/// An answer that an expectation got, of which more can be expected.
#[derive(Clone)]
pub struct Reached {
    pub(super) run: Run,
    pub(super) from: Where,
    pub(super) aim: Aim,
    /// What was found of each target.
    pub(super) findings: Vec<Finding>,
    pub(super) manner: Manner,
    pub(super) timeout: Duration,
}

/// How an answer falls short of what is expected.
struct Short {
    /// What is not so, behind "`a` reaches `b`, ": "but not within 20ms".
    what: String,
    /// The word for it.
    label: &'static str,
    expected: String,
    found: String,
    hints: Vec<String>,
    /// The packet that failed, to be explained.
    missed: Option<Missed>,
}

/// What came of looking.
enum Looked {
    /// It is so.
    Holds,
    Short(Box<Short>),
    /// Nobody can say: what is not known, and what was found.
    Unknown(String, String),
}

impl Reached {
    /// Looks at each target, and fails with the first that is not so.
    fn each(
        &self,
        context: &NativeCallContext,
        wanted: &str,
        look: impl Fn(&Session, &Finding) -> Result<Looked>,
    ) -> Out<Self> {
        for finding in self.findings.iter().filter(|finding| !finding.is_not_known()) {
            let text = aim_text(&self.aim, finding);
            let from = &self.from;
            match act(context, &self.run, |session| look(session, finding))? {
                Looked::Holds => {}
                Looked::Short(short) => {
                    let mut error = failed(format!("`{from}` reaches {text}, {}", short.what))
                        .label(short.label)
                        .note("expected", short.expected)
                        .note("found", short.found)
                        .netns(from.name());
                    for hint in short.hints {
                        error = error.hint(hint);
                    }
                    if let Some(missed) = short.missed {
                        // Who looks again and again asks why once, at the end.
                        if self.run.0.looking.get() {
                            self.run.0.missed.replace(Some(missed));
                        } else {
                            error = explained(context, &self.run, &missed, error);
                        }
                    }
                    return Err(throw(error.at(place_of(context))));
                }
                Looked::Unknown(what, found) => {
                    let error = failed(format!("inconclusive: nobody can say {what}"))
                        .label("inconclusive")
                        .note("expected", format!("`{from}` reaches {text} {wanted}"))
                        .note("found", found)
                        .netns(from.name());
                    return Err(throw(error.at(place_of(context))));
                }
            }
            let text = format!("{from} reaches {text} {wanted}");
            self.run.0.session.note_down(Noted::Refined { text, place: Some(place_of(context)) });
        }
        self.run.0.hold();
        Ok(self.clone())
    }

    /// Looks which way a packet takes.
    fn seen(&self, session: &Session, finding: &Finding) -> Result<Seen> {
        session.way(&self.from, &finding.target, &Manner { port: None, ..self.manner.clone() }, self.timeout)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidArgument, message)
}

/// A time that an answer may take.
pub(crate) fn limit(value: &Dynamic) -> Result<Duration> {
    let limit = duration(value)?;
    if limit.is_zero() { Err(no_time()) } else { Ok(limit) }
}

/// The error of a limit that nothing keeps.
pub(crate) fn no_time() -> Error {
    invalid("no answer comes in no time").hint("write how long it may take: .within(\"20ms\")")
}

/// An MTU that is expected.
pub(crate) fn mtu(given: i64) -> Result<u32> {
    let fits = u32::try_from(given).ok().filter(|_| MTUS.contains(&given));
    fits.ok_or_else(|| {
        invalid(format!("no packet has {given} bytes: `with_mtu` is between {} and {}", MTUS.start(), MTUS.end()))
            .hint(".with_mtu(1400) expects that packets of 1400 bytes pass whole, their IP header among them")
    })
}

/// The error of hops that are no list.
pub(crate) fn no_list(given: &str, example: &str) -> Error {
    invalid(format!("`via` takes the names of namespaces in an array, you gave {given}"))
        .hint(format!(".via([{example}]) expects these routers in this order, .via([]) none"))
}

/// The error of an item that is no name.
pub(crate) fn no_name(given: &str) -> Error {
    invalid(format!("a hop of `via` is a namespace or its name, not {given}"))
        .hint(".via([\"r1\", \"r2\"]) expects these routers in this order")
}

/// A router that is expected, by the name of its namespace.
pub(crate) fn hop_name(name: &str) -> Result<()> {
    if name.parse::<IpAddr>().is_ok() {
        return Err(no_name(&format!("the address {name}")));
    }
    if name == "host" { Ok(()) } else { names::netns_name(name) }
}

/// The routers that are expected.
fn hops(value: &Dynamic) -> Result<Vec<Where>> {
    let Ok(all) = value.as_array_ref() else {
        let text = value.as_immutable_string_ref().ok().map(|text| format!("\"{}\"", text.as_str()));
        return Err(no_list(&type_of(value), text.as_deref().unwrap_or("\"r1\", \"r2\"")));
    };
    let hop = |one: &Dynamic| {
        if let Some(netns) = one.read_lock::<Netns>() {
            return Ok(netns.at.clone());
        }
        let name = one.as_immutable_string_ref().map_err(|_| no_name(&type_of(one)))?;
        hop_name(&name)?;
        Ok(if name.as_str() == "host" { Where::Host } else { Where::Named(name.to_string()) })
    };
    all.iter().map(hop).collect()
}

/// All of them must be there, or a name that is misspelled would be a way that no packet takes.
fn all_there(session: &Session, hops: &[Where]) -> Result<()> {
    session.settle_all()?;
    for hop in hops {
        if let Err(error) = session.exec().netns(hop) {
            let there: Vec<String> = session.everywhere().iter().map(Where::name).collect();
            return Err(suggest::with_nearest(error, &hop.name(), there.iter().map(String::as_str)));
        }
    }
    Ok(())
}

/// `r1, r2`; of none, that it was direct.
fn by(hops: &[Where]) -> String {
    let names: Vec<String> = hops.iter().map(|hop| format!("`{hop}`")).collect();
    if names.is_empty() { "by no router".to_owned() } else { format!("by {}", names.join(", ")) }
}

fn look_within(it: &Reached, session: &Session, finding: &Finding, limit: Duration) -> Result<Looked> {
    let times = session.timed(&it.from, finding, &it.manner, limit)?;
    let shown = humantime::format_duration(limit);
    let ms = |time: &Duration| format!("{:.3}", time.as_secs_f64() * 1e3);
    let Some(best) = times.iter().min() else {
        return Ok(Looked::Unknown("how long an answer takes".into(), "no answer could be timed".into()));
    };
    if *best <= limit {
        return Ok(Looked::Holds);
    }
    let found = match times.len() {
        1 => format!("{} ms", ms(best)),
        count => {
            let all: Vec<String> = times.iter().map(ms).collect();
            format!("{} ms, the fastest of {count} (in ms: {})", ms(best), all.join(", "))
        }
    };
    let hint = "what waits on the way: `tc -s qdisc show` in each namespace; `ns.link(…).shape(#{})` lifts a shape";
    Ok(Looked::Short(Box::new(Short {
        what: format!("but not within {shown}"),
        label: "too late",
        expected: format!("an answer within {shown}"),
        found,
        hints: vec![hint.to_owned()],
        missed: None,
    })))
}

fn look_mtu(it: &Reached, session: &Session, finding: &Finding, mtu: u32) -> Result<Looked> {
    Ok(match session.fits(&it.from, &finding.target, &it.manner, mtu, it.timeout)? {
        Fits::Yes => Looked::Holds,
        Fits::Unknown(found) => Looked::Unknown(
            format!("whether packets of {mtu} bytes pass: no ping of any size is answered"),
            found.detail,
        ),
        Fits::No { found, manner, small } => Looked::Short(Box::new(Short {
            what: format!("but not with packets of {mtu} bytes"),
            label: found.word,
            expected: format!("an answer to a ping of {mtu} bytes that may not be fragmented"),
            found: format!(
                "{} (after {} ms){}",
                found.detail,
                found.after.as_millis(),
                if small { ", while a small one is answered" } else { "" }
            ),
            hints: Vec::new(),
            missed: Some(Missed::new(&it.from, found, manner)),
        })),
    })
}

fn look_via(it: &Reached, session: &Session, finding: &Finding, wanted: &[Where]) -> Result<Looked> {
    all_there(session, wanted)?;
    let seen = it.seen(session, finding)?;
    let Some(way) = &seen.way else { return Ok(not_seen(&seen, "which way it goes")) };
    let definite = way.end.is_some() || !wanted.starts_with(&way.hops);
    if !definite {
        let last = way.hops.last().unwrap_or(&it.from);
        return Ok(Looked::Unknown(
            format!("which way it goes behind `{last}`"),
            format!("{}; from there it goes where no namespace of this run sees it{}", by(&way.hops), blind(&seen)),
        ));
    }
    if way.end.is_some() && way.hops == wanted {
        return Ok(Looked::Holds);
    }
    let end = way.end.as_ref().map_or_else(|| ", then out of sight".to_owned(), |end| format!(" to `{end}`"));
    let last = way.hops.iter().zip(wanted).take_while(|(found, wanted)| found == wanted).last();
    let turn = last.map_or(&it.from, |(hop, _)| hop);
    Ok(Looked::Short(Box::new(Short {
        what: if wanted.is_empty() { "but not directly".to_owned() } else { format!("but not {}", by(wanted)) },
        label: "another way",
        expected: by(wanted),
        found: format!("{}{end}", by(&way.hops)),
        hints: vec![format!("where `{turn}` sends it: `ip route get {}` there", finding.target.addr)],
        missed: None,
    })))
}

fn look_nat(it: &Reached, session: &Session, finding: &Finding, wanted: IpAddr) -> Result<Looked> {
    // Of a target of both families, the address is that of one.
    if wanted.is_ipv4() != finding.target.addr.is_ipv4() {
        return Ok(Looked::Holds);
    }
    let seen = it.seen(session, finding)?;
    let Some(way) = &seen.way else { return Ok(not_seen(&seen, "which address it comes from")) };
    if way.source == wanted {
        return Ok(Looked::Holds);
    }
    let found = match way.translated.last() {
        Some((netns, source)) => format!("it comes from {source}, translated in `{netns}`"),
        None => format!("it comes from {}; no router gave it another address", way.source),
    };
    let last = way.hops.last().unwrap_or(&it.from);
    Ok(Looked::Short(Box::new(Short {
        what: format!("but not from {wanted}"),
        label: "another source",
        expected: format!("it arrives from {wanted}"),
        found,
        hints: vec![format!(
            "what translates: ns.{}(\"-t nat -A POSTROUTING -j SNAT --to-source {wanted}\") in `{last}`, or ns.masquerade(link)",
            if wanted.is_ipv4() { "iptables" } else { "ip6tables" }
        )],
        missed: None,
    })))
}

/// An address of a family that was reached: one of another would be found by nobody, and never missed.
fn of_family(it: &Reached, address: IpAddr) -> Result<IpAddr> {
    if it.findings.iter().any(|finding| finding.target.addr.is_ipv4() == address.is_ipv4()) {
        return Ok(address);
    }
    let reached: Vec<String> = it.findings.iter().map(|finding| finding.target.addr.to_string()).collect();
    Err(invalid(format!(
        "{} is reached from no address like {address}: they are of different families",
        reached.join(", ")
    ))
    .hint("give the address that the sender has there in the family of what is reached"))
}

/// A packet whose way was not seen.
fn not_seen(seen: &Seen, what: &str) -> Looked {
    let found = if seen.verdict.is_reached() {
        format!("one more packet was answered, and not seen to leave{}", blind(seen))
    } else {
        format!("one more packet was not answered: {}", seen.verdict.detail())
    };
    Looked::Unknown(what.to_owned(), found)
}

/// Who could not be looked into.
fn blind(seen: &Seen) -> String {
    let Some((netns, why)) = seen.blind.first() else { return String::new() };
    format!("; `{netns}` cannot be looked into: {why}")
}

#[export_module]
pub mod api {
    /// Fails unless the answer comes within a time: the round trip, of a TCP port that of the handshake. Up to five packets are timed, and the
    /// fastest counts: what the first waits for while neighbours are asked for is not what the way takes. Of a namespace each of its addresses.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").up();
    /// ends[1].addr("10.0.0.2/24").up();
    /// expect(netns("ns-blue")).reaches(netns("ns-green")).within("500ms");
    /// ```
    #[rhai_fn(name = "within", return_raw, pure)]
    pub fn within(context: NativeCallContext, answer: &mut Reached, limit: Dynamic) -> Out<Reached> {
        let limit = reject(&context, super::limit(&limit))?;
        let wanted = format!("within {}", humantime::format_duration(limit));
        answer.each(&context, &wanted, |session, finding| look_within(answer, session, finding, limit))
    }

    /// Fails unless a packet of so many bytes, its IP header among them, arrives whole: a ping that may not be fragmented, whatever port was reached.
    /// Where it does not, `why` says which link is too small.
    ///
    /// ```rhai
    /// let ends = veth(netns("ns-blue"), "eth0", netns("ns-green"), "eth0");
    /// ends[0].addr("10.0.0.1/24").mtu(1400).up();
    /// ends[1].addr("10.0.0.2/24").mtu(1400).up();
    /// expect(netns("ns-blue")).reaches(netns("ns-green")).with_mtu(1400);
    /// ```
    #[rhai_fn(name = "with_mtu", return_raw, pure)]
    pub fn with_mtu(context: NativeCallContext, answer: &mut Reached, mtu: i64) -> Out<Reached> {
        let mtu = reject(&context, super::mtu(mtu))?;
        let wanted = format!("with packets of {mtu} bytes");
        answer.each(&context, &wanted, |session, finding| look_mtu(answer, session, finding, mtu))
    }

    /// Fails unless the packets are forwarded by these namespaces, in this order, and by no other; `[]`: by none. One more packet is sent and seen
    /// in every namespace that it passes. Bridges are no hops; a tunnel is one, as for `traceroute`. It is the way there, not the way back. Where the
    /// packet goes out of sight of this run, nobody can say, and that fails.
    ///
    /// ```rhai
    /// let blue = netns("ns-blue");
    /// let router = netns("ns-router");
    /// let green = netns("ns-green");
    /// veth(blue, "eth0", router, "to-blue")[0].addr("10.0.1.1/24").up().peer.addr("10.0.1.254/24").up();
    /// veth(green, "eth0", router, "to-green")[0].addr("10.0.2.1/24").up().peer.addr("10.0.2.254/24").up();
    /// router.sysctl("net.ipv4.ip_forward", 1);
    /// blue.route("default", "10.0.1.254");
    /// green.route("default", "10.0.2.254");
    /// expect(blue).reaches(green).via(["ns-router"]);
    /// expect(blue).reaches("10.0.1.254").via([]);
    /// ```
    #[rhai_fn(name = "via", return_raw, pure)]
    pub fn via(context: NativeCallContext, answer: &mut Reached, hops: Dynamic) -> Out<Reached> {
        let hops = reject(&context, super::hops(&hops))?;
        answer.each(&context, &by(&hops), |session, finding| look_via(answer, session, finding, &hops))
    }

    /// Fails unless the packets arrive from this address: that of whoever translates theirs. Of a target of both families, those of the address's
    /// own. One more packet is sent and seen on its way.
    ///
    /// ```rhai
    /// needs("nat");
    /// let blue = netns("ns-blue");
    /// let router = netns("ns-router");
    /// let green = netns("ns-green");
    /// veth(blue, "eth0", router, "to-blue")[0].addr("10.0.1.1/24").up().peer.addr("10.0.1.254/24").up();
    /// veth(green, "eth0", router, "to-green")[0].addr("198.51.100.1/24").up().peer.addr("198.51.100.2/24").up();
    /// router.sysctl("net.ipv4.ip_forward", 1);
    /// router.masquerade(router.link("to-green"));
    /// blue.route("default", "10.0.1.254");
    /// expect(blue).reaches(green).through_nat("198.51.100.2");
    /// ```
    #[rhai_fn(name = "through_nat", return_raw, pure)]
    pub fn through_nat(context: NativeCallContext, answer: &mut Reached, address: &str) -> Out<Reached> {
        let address = reject(&context, addr::ip(address).and_then(|address| of_family(answer, address)))?;
        answer
            .each(&context, &format!("from {address}"), |session, finding| look_nat(answer, session, finding, address))
    }

    /// The answer as text: who answered, and how soon.
    ///
    /// ```rhai
    /// assert(expect(netns("ns-blue")).reaches("127.0.0.1").to_string().contains("127.0.0.1"));
    /// ```
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn answer_to_string(answer: &mut Reached) -> String {
        answer.findings.iter().map(|finding| finding.detail.as_str()).collect::<Vec<_>>().join("; ")
    }
}
