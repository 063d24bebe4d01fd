//! A rehearsed run as plain shell: `up.sh`, `verify.sh`, `down.sh`, for machines without netwright.
//!
//! POSIX sh and the tools that the commands name. Each command stands behind the question whether it is needed ([`step`]), so that a second `up.sh`
//! changes nothing; what it does is written to a file before it does it, so that `down.sh` takes back that and nothing else, whenever `up.sh` ended.
//! Pure: text in, text out.

mod scripts;
mod step;

use std::collections::HashMap;

use crate::op::link::{Link, Setting};
use crate::op::netns::Netns;
use crate::op::qdisc::Is;
use crate::op::{Fact, Op, Where};
use crate::probe::{Proto, Target};
use crate::session::noted::Noted;
use crate::session::{Record, Session};
use step::Step;

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scripts {
    /// Brings about what the script says.
    pub up: String,
    /// Says as TAP whether it is so.
    pub verify: String,
    /// Takes back what `up.sh` did.
    pub down: String,
    /// What has no plain command, each with its line.
    pub missing: Vec<String>,
    /// The lines of the script whose commands hold keys, which stand in the scripts as they are.
    pub with_keys: Vec<String>,
}

/// Where the scripts come from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The script, as its user named it.
    pub script: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// A word for the file that tells what was done.
    pub name: String,
}

/// Makes the scripts of a run that was rehearsed; `line` gives a line of a source, `reaches` says whether a target is reached now that the script is at
/// its end, if anybody can.
#[must_use]
pub(crate) fn emit(
    session: &Session,
    origin: &Origin,
    line: &dyn Fn(&str, usize) -> Option<String>,
    reaches: &dyn Fn(&Where, &Target) -> Option<bool>,
) -> Scripts {
    let log = session.log();
    let mut kept = kept(&log);
    let last = kept.iter().copied().max().map_or(0, |at| at + 1);
    drop_detours(&log, &mut kept);
    let noted = session.noted();
    let had = session.had_already();
    // What was so already and the script's own programs stand before the command that came after them.
    let programs = noted.iter().filter(|(_, noted)| noted.is_of_up());
    let mut parts: Vec<(usize, Part<'_>)> = had.iter().map(|(at, op)| (*at, Part::Op(op))).collect();
    parts.extend(programs.map(|(at, noted)| (*at, Part::Noted(noted))));
    parts.extend(log.iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(at, one)| (at, Part::Op(&one.op))));
    parts.sort_by_key(|(at, _)| *at);
    let mut made: HashMap<&str, usize> = HashMap::new();
    let mut items: Vec<Item> = Vec::new();
    let (mut missing, mut with_keys) = (Vec::new(), Vec::new());
    let (mut settings, mut links): (HashMap<String, Vec<usize>>, Links) = Default::default();
    for (number, (_, part)) in (1..).zip(&parts) {
        let op = match part {
            Part::Op(op) => op,
            Part::Noted(noted) => {
                let what = What::Noted((*noted).clone());
                items.push(Item { number, head: head(noted.place(), line), what });
                continue;
            }
        };
        let inside = match &op.command.netns {
            Where::Named(name) => made.get(name.as_str()).copied(),
            _ => None,
        };
        if let Some(Fact::Netns(Netns { name, there: true })) = op.fact() {
            made.insert(name, number);
        }
        let step = Step::of(op, number, inside);
        let place = line_of(op.place.as_ref());
        if let Some(why) = &step.without_undo {
            missing.push(format!("{place}: `{}` cannot be taken back: {why}", op.command.line()));
        }
        if let Some(Fact::Moved(one)) = op.fact()
            && !log.iter().any(|record| record.op.makes_link().is_some_and(|link| is_end(record, link, &one.link)))
        {
            let (link, from) = (&one.link, &one.from);
            missing.push(format!(
                "{place}: what `{link}` had in `{from}`, its addresses and routes, does not come back with it"
            ));
        }
        if op.command.without_keys().is_some() {
            with_keys.push(place);
        }
        if let Some((key, _)) = setting(op) {
            settings.entry(key).or_default().push(items.len());
        }
        links.step(op, items.len());
        items.push(Item { number, head: head(op.place.as_ref(), line), what: What::Step(Box::new(step)) });
    }
    for at in settings.into_values().chain(links.renamed()) {
        overtake(&mut items, &at);
    }
    for (_, one) in &noted {
        if one.has_keys() {
            with_keys.push(line_of(one.place()));
        }
        if let Some(why) = one.why_not_plain() {
            missing.push(format!("{}: {why}", line_of(one.place())));
        }
    }
    let serves = noted.iter().any(|(_, one)| one.serves());
    let checks: Vec<Check> = noted
        .iter()
        .enumerate()
        .filter(|(at, (_, one))| !noted.iter().skip(at + 1).any(|(_, later)| one.is_asked_again_by(later)))
        .filter_map(|(_, (position, one))| Check::of(one, serves, *position >= last, reaches))
        .collect();
    Scripts {
        up: scripts::up(origin, &items),
        verify: scripts::verify(origin, &items, &checks),
        down: scripts::down(origin, &items),
        missing,
        with_keys,
    }
}

/// What the scripts are made of, in the order of the run.
enum Part<'a> {
    Op(&'a Op),
    Noted(&'a Noted),
}

/// Something that `up.sh` does, with a number of its own in the file that tells what was done.
struct Item {
    number: usize,
    /// The line of the script that it comes from.
    head: String,
    what: What,
}

enum What {
    Step(Box<Step>),
    /// A program of the script's own, as it is.
    Noted(Noted),
}

/// Something that `verify.sh` asks beside the steps.
struct Check {
    text: String,
    /// The command whose status says whether it holds, or why there is none.
    command: Result<String, String>,
}

impl Check {
    /// `last`: the script changed nothing afterwards. Where it did, what holds by now is asked.
    fn of(noted: &Noted, serves: bool, last: bool, now: &dyn Fn(&Where, &Target) -> Option<bool>) -> Option<Self> {
        match noted {
            Noted::Reaches { from, target, reaches, told, .. } => {
                let verb = if *reaches { "reaches" } else { "cannot reach" };
                let text = format!("{from} {verb} {target}");
                let command = match probe(from, target, *reaches, serves) {
                    _ if *told => Err("the script says how it is sent, for which there is no plain command".into()),
                    Ok(_) if !last && now(from, target) != Some(*reaches) => {
                        Err("the script went on to change the network behind it".into())
                    }
                    command => command,
                };
                Some(Self { text, command })
            }
            Noted::Refined { text, .. } => {
                Some(Self { text: text.clone(), command: Err("no plain command measures it".into()) })
            }
            Noted::Checked { sentence, .. } => {
                Some(Self { text: sentence.clone(), command: Err("it is a closure of the script".into()) })
            }
            _ => None,
        }
    }
}

/// The command that probes as the script did.
fn probe(from: &Where, target: &Target, reaches: bool, serves: bool) -> Result<String, String> {
    let addr = target.addr.to_string();
    let words = match target.proto {
        Proto::Icmp => ["ping", "-c", "1", "-W", "1", &addr].map(str::to_owned).to_vec(),
        Proto::Udp => return Err("there is no plain command that hears whether UDP arrives".into()),
        Proto::Tcp if serves => return Err("the script itself serves what it asks for".into()),
        Proto::Tcp => {
            let port = target.port.to_string();
            ["nc", "-z", "-w", "1", &addr, &port].map(str::to_owned).to_vec()
        }
    };
    let line = crate::op::quote(&crate::op::as_typed(from, &words));
    Ok(if reaches { format!("tries {line}") } else { format!("not {line}") })
}

/// The commands that stay: those that succeeded, and neither what the run took back itself nor what did that.
fn kept(log: &[Record]) -> std::collections::HashSet<usize> {
    let mut kept: std::collections::HashSet<usize> = (0..log.len())
        .filter(|at| log.get(*at).is_some_and(|record| record.succeeded() && !record.is_undone()))
        .collect();
    for (at, record) in log.iter().enumerate() {
        if let Some(maker) = record.maker().filter(|_| kept.contains(&at)) {
            kept.remove(&maker);
            kept.remove(&at);
        }
    }
    kept
}

/// A command that gives something a value which another one may give it anew: what it is of, and the value.
fn setting(op: &Op) -> Option<(String, String)> {
    let netns = &op.command.netns;
    Some(match op.fact()? {
        Fact::Sysctl(set) => (format!("{netns} sysctl {}", set.name), set.value.clone()),
        Fact::NfPolicy(policy) => {
            (format!("{netns} {} {}", op.command.tool.program(), policy.at), policy.target.clone())
        }
        Fact::Qdisc(one) => match &one.is {
            Is::Root(spec) => (format!("{netns} qdisc {}", one.link), spec.join(" ")),
            Is::Kernel => (format!("{netns} qdisc {}", one.link), String::new()),
            Is::Below(_) => return None,
        },
        Fact::Settings(set) => {
            let (what, value) = match set.to.as_slice() {
                [Setting::Up] | [Setting::Up, Setting::Alias(_)] => (STATE, "up".to_owned()),
                [Setting::Down] => (STATE, "down".to_owned()),
                [Setting::Mtu(mtu)] => ("mtu", mtu.to_string()),
                [Setting::Address(mac)] => ("address", mac.clone()),
                [Setting::Master(master)] => (MASTER, master.clone()),
                [Setting::NoMaster] => (MASTER, "-".to_owned()),
                _ => return None,
            };
            (format!("{netns} link {} {what}", set.link), value)
        }
        _ => return None,
    })
}

/// The settings that others stand on: routes and addresses go with a link's state, options of a port with its bridge.
const STATE: &str = "state";
const MASTER: &str = "master";

/// Leaves out what leads away from a value and back to it (a link that is set down and up again for a test), and values that another one follows: a
/// machine on which all is so already would go that way each time.
fn drop_detours(log: &[Record], kept: &mut std::collections::HashSet<usize>) {
    let mut all: HashMap<String, Vec<(usize, String)>> = HashMap::new();
    for (at, record) in log.iter().enumerate().filter(|(at, _)| kept.contains(at)) {
        if let Some((key, value)) = setting(&record.op) {
            all.entry(key).or_default().push((at, value));
        } else if let Some(link) = record.op.makes_link()
            && link.new.as_ref().is_some_and(|new| new.port_of.is_some())
        {
            // A link that is made and set up in one command.
            let key = format!("{} link {} {STATE}", record.op.command.netns, link.name);
            all.entry(key).or_default().push((at, "up".into()));
        }
    }
    for (key, values) in all {
        let Some((_, last)) = values.last() else { continue };
        let same = values.iter().position(|(_, value)| value == last).unwrap_or_default();
        let stands = [STATE, MASTER].iter().any(|what| key.ends_with(&format!(" {what}")));
        let passed = if stands { 0 } else { same };
        for (at, _) in values.iter().take(passed).chain(values.iter().skip(same + 1)) {
            kept.remove(at);
        }
    }
}

/// Whether a link that a record makes has an end of this name, wherever that has gone by now.
fn is_end(record: &Record, link: &Link, name: &str) -> bool {
    record.succeeded() && (link.name == name || link.peer.as_ref().is_some_and(|(_, peer)| peer == name))
}

/// The steps of each link, by where it is and how it is called by then: those up to the last one that renames or moves it, and the others.
#[derive(Default)]
struct Links(HashMap<(Where, String), (Vec<usize>, Vec<usize>)>);

impl Links {
    fn step(&mut self, op: &Op, at: usize) {
        let netns = &op.command.netns;
        if let Some(link) = op.makes_link() {
            self.0.insert((netns.clone(), link.name.clone()), (Vec::new(), vec![at]));
        }
        let (Some(link), Some((to, new))) = (op.sets_link(), op.link_after()) else { return };
        let from = (netns.clone(), link.to_owned());
        let (mut renamed, mut others) = self.0.remove(&from).unwrap_or_default();
        others.push(at);
        if (to, new) != (&from.0, &from.1) {
            renamed.append(&mut others);
        }
        self.0.insert((to.clone(), new.to_owned()), (renamed, others));
    }

    /// Of each link that gets another name or place: the steps up to the last that does so.
    fn renamed(self) -> impl Iterator<Item = Vec<usize>> {
        self.0.into_values().map(|(renamed, _)| renamed).filter(|renamed| renamed.len() > 1)
    }
}

/// Of several values that one thing gets, the last is what the machine is to have: the others are passed through only on the way to it.
fn overtake(items: &mut [Item], at: &[usize]) {
    let Some((last, before)) = at.split_last() else { return };
    let Some(Item { number, what: What::Step(step), .. }) = items.get(*last) else { return };
    let Some(ask) = &step.ask else { return };
    let ended = format!("{{ done_before {number} && {ask}; }}");
    for at in before {
        if let Some(Item { what: What::Step(step), .. }) = items.get_mut(*at) {
            step.overtaken = Some(ended.clone());
        }
    }
}

fn line_of(place: Option<&crate::error::Place>) -> String {
    place.map_or_else(|| "?".to_owned(), |place| format!("line {}", place.line))
}

/// `# runbook.rhai:7  let br = host().bridge("br0");`
fn head(place: Option<&crate::error::Place>, line: &dyn Fn(&str, usize) -> Option<String>) -> String {
    let Some(place) = place else { return String::new() };
    let source = place.source.clone().unwrap_or_default();
    let text = line(&source, place.line).unwrap_or_default();
    // A key may stand in the script itself.
    let text = crate::op::secret::redact(text.trim());
    format!("# {}:{}  {}", one_line(&source), place.line, one_line(&text))
}

/// A text as part of a comment, which is one line, whatever a name holds.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_that_says_how_it_is_sent_is_skipped_with_the_reason() {
        let target = Target { proto: Proto::Tcp, addr: std::net::Ipv4Addr::LOCALHOST.into(), port: 80, zone: None };
        let noted =
            |told| Noted::Reaches { from: Where::Host, target: target.clone(), reaches: true, told, place: None };
        let command = |told| Check::of(&noted(told), false, true, &|_, _| None).map(|check| check.command);
        assert_eq!(command(false), Some(Ok("tries nc -z -w 1 127.0.0.1 80".to_owned())));
        assert!(command(true).is_some_and(|command| command.is_err_and(|why| why.contains("how it is sent"))));
        let refined = Noted::Refined { text: "a reaches b within 20ms".into(), place: None };
        let check = Check::of(&refined, false, true, &|_, _| None).unwrap();
        assert!(check.text.contains("within 20ms") && check.command.is_err(), "nothing that held is left out");
    }
}
