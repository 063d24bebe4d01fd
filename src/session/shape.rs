//! Shaping: rate by tbf, delay and loss by netem, a policer by a filter.

use super::link::At;
use super::{Did, Session, failure};
use crate::error::{Error, Kind, Result};
use crate::features::{Answer, Feature};
use crate::model::state::Qdisc;
use crate::model::{json, suggest};
use crate::op::{self, Where};

/// What a link is to behave like, in tc's own words.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// For example `10mbit`.
    pub rate: Option<String>,
    /// How much may pass at once, for example `32kb`; chosen from the rate otherwise.
    pub burst: Option<String>,
    /// For example `20ms`.
    pub delay: Option<String>,
    /// How much the delay varies, for example `5ms`.
    pub jitter: Option<String>,
    /// For example `1%`, or a model with its numbers: `gemodel 1% 10% 70% 0.1%`.
    pub loss: Option<String>,
    /// How many come twice, for example `1%`.
    pub duplicate: Option<String>,
    /// In how many a bit is wrong, for example `0.1%`.
    pub corrupt: Option<String>,
    /// How many overtake the others, which are delayed, for example `25%`.
    pub reorder: Option<String>,
    /// What comes faster is dropped and waits nowhere: `10mbit`, `10mbit burst 100kb`.
    pub police: Option<String>,
    /// `both` (the default), `egress` or `ingress`.
    pub direction: Option<String>,
    /// What the rest is taken from: one of [`PRESETS`].
    pub preset: Option<String>,
}

/// An access line as it is seen from the side that uses it.
struct Access {
    name: &'static str,
    down: &'static str,
    up: &'static str,
    /// Half of the round trip, in each direction.
    delay: &'static str,
}

const fn access(name: &'static str, down: &'static str, up: &'static str, delay: &'static str) -> Access {
    Access { name, down, up, delay }
}

/// The connectivity profiles of `WebPageTest` (its `connectivity.ini`), with half of their round trip on each side; of a geostationary satellite, the
/// round trip that the FCC measured ("Measuring Broadband America", about 600 ms).
const ACCESS: [Access; 10] = [
    access("2g", "280kbit", "256kbit", "400ms"),
    access("3g-slow", "400kbit", "400kbit", "200ms"),
    access("3g", "1600kbit", "768kbit", "150ms"),
    access("3g-fast", "1600kbit", "768kbit", "75ms"),
    access("4g", "9mbit", "9mbit", "85ms"),
    access("lte", "12mbit", "12mbit", "35ms"),
    access("dsl", "1500kbit", "384kbit", "25ms"),
    access("cable", "5mbit", "1mbit", "14ms"),
    access("fios", "20mbit", "5mbit", "2ms"),
    access("satellite", "25mbit", "3mbit", "300ms"),
];

/// The presets of a shape.
pub(crate) const PRESETS: &[&str] =
    &["2g", "3g-slow", "3g", "3g-fast", "4g", "lte", "dsl", "cable", "fios", "satellite"];

/// The units of tc's rates, in bits per second (man 8 tc, "PARAMETERS").
const RATES: [(&str, u64); 12] = [
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
    ("kbps", 8_000),
    ("mbps", 8_000_000),
    ("gbps", 8_000_000_000),
    ("bps", 8),
    ("bit", 1),
];

/// The largest packet that a bucket must hold: an MTU of 1500 with its Ethernet header.
const BURST_MIN_BYTES: u64 = 1540;

fn invalid(what: &str, text: &str, hint: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("`{text}` is not a {what}")).hint(hint.to_owned())
}

/// A rate in bits per second.
fn rate_bits(text: &str) -> Result<u64> {
    let bad = || invalid("rate", text, "write \"10mbit\", \"500kbit\", \"1gbit\"");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let factor =
        RATES.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|(_, factor)| *factor).ok_or_else(bad)?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are far below 2^53"
    )]
    let bits = (number * factor as f64) as u64;
    if bits >= 8 { Ok(bits) } else { Err(bad()) }
}

fn time(text: &str) -> Result<std::time::Duration> {
    humantime::parse_duration(text).map_err(|_| invalid("time", text, "write \"20ms\" or \"1s\""))
}

/// How many bytes a size of tc's words is (man 8 tc, "PARAMETERS"): `6250`, `32kb`, `1m`.
fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok().map(|number| number * factor)
}

/// Whether a tbf has a smaller bucket than the one that is there, or nobody knows.
fn lowers_burst(former: &serde_json::Value, spec: &[String]) -> bool {
    let had = former.get("options").and_then(|options| options.get("burst")).and_then(serde_json::Value::as_u64);
    let wants = spec.iter().skip_while(|word| *word != "burst").nth(1).and_then(|text| size_bytes(text));
    let is_tbf = former.get("kind").is_some_and(|kind| kind == "tbf");
    // The kernel keeps it in ticks of its clock, so that it comes back a little smaller.
    is_tbf && had.zip(wants).is_none_or(|(had, wants)| wants < had)
}

/// The models of loss, and how many percentages each takes at most (man 8 tc-netem, "loss").
const LOSSES: [(&str, usize); 3] = [("random", 2), ("state", 5), ("gemodel", 4)];
const LOSS_HINT: &str = "write \"1%\", \"1% 25%\" with a correlation, \"gemodel 1% 10% 70% 0.1%\" (p, r, 1-h, 1-k) or \"state 1% 99%\" \
    (p13, p31, p32, p23, p14)";

/// A loss, or a model of it, in the words of tc.
fn loss(text: &str) -> Result<Vec<String>> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let ecn = words.last() == Some(&"ecn");
    words.truncate(words.len() - usize::from(ecn));
    let is_word = |word: &&str| word.starts_with(char::is_alphabetic);
    let (model, numbers) = match words.split_first() {
        Some((first, rest)) if is_word(first) => (*first, rest),
        _ => ("random", words.as_slice()),
    };
    let Some((_, most)) = LOSSES.iter().find(|(name, _)| *name == model) else {
        let error = Error::new(Kind::InvalidArgument, format!("tc has no loss model `{model}`"));
        return Err(suggest::with_nearest(error, model, LOSSES.map(|(name, _)| name)).hint(LOSS_HINT));
    };
    if numbers.is_empty() || numbers.len() > *most {
        let message = format!("the loss model {model} takes 1 to {most} percentages, you gave {}", numbers.len());
        return Err(Error::new(Kind::InvalidArgument, message).hint(LOSS_HINT));
    }
    let numbers: Vec<String> = numbers.iter().map(|text| Ok(format!("{}%", percent(text)?))).collect::<Result<_>>()?;
    let model = (model != "random").then(|| model.to_owned());
    Ok(model.into_iter().chain(numbers).chain(ecn.then(|| "ecn".to_owned())).collect())
}

/// A policer (man 8 tc-police).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Police {
    /// Bits per second.
    rate: u64,
    /// Bytes that may pass at once.
    burst: u64,
}

/// As much as a sender may hand over at once, 64 KiB with the headers of its segments: a policer drops such a whole, where it is more than its burst.
const POLICE_BURST_MIN_BYTES: u64 = 72 << 10;
/// The filter that polices: where it stands among others, and by which number it is known.
const POLICE_PREF: &str = "49150";
const POLICE_HANDLE: &str = "0x6e77";

impl Police {
    /// `10mbit`, `10mbit burst 100kb`.
    fn parse(text: &str) -> Result<Self> {
        let hint = "write \"10mbit\", or \"10mbit burst 100kb\"";
        let words: Vec<&str> = text.split_whitespace().collect();
        let (rate, burst) = match words[..] {
            [rate] => (rate, None),
            [rate, "burst", burst] => {
                let bytes = size_bytes(burst).filter(|bytes| *bytes > 0);
                (rate, Some(bytes.ok_or_else(|| invalid("size", burst, "write \"64kb\" or \"1m\""))?))
            }
            _ => return Err(invalid("policer", text, hint)),
        };
        let rate = rate_bits(rate)?;
        // 100 ms worth of bytes.
        Ok(Self { rate, burst: burst.unwrap_or((rate / 80).max(POLICE_BURST_MIN_BYTES)) })
    }

    /// Reads what `tc filter show` prints of it. It keeps neither number exactly.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().skip_while(|word| *word != "police");
        let mut after = |name: &str| words.by_ref().skip_while(|word| *word != name).nth(1);
        let rate = rate_bits(after("rate")?).ok()?;
        Some(Self { rate, burst: size_bytes(after("burst")?)? })
    }

    fn is(self, now: Self) -> bool {
        let near = |wanted: u64, now: u64| wanted.abs_diff(now) <= wanted / 100;
        near(self.rate, now.rate) && near(self.burst, now.burst)
    }

    /// The words of the filter behind its place.
    fn words(self) -> Vec<String> {
        let (rate, burst) = (format!("{}bit", self.rate), self.burst.to_string());
        [
            "handle",
            POLICE_HANDLE,
            "matchall",
            "action",
            "police",
            "rate",
            &rate,
            "burst",
            &burst,
            "conform-exceed",
            "drop",
        ]
        .map(String::from)
        .into()
    }
}

/// Whether a netem would go on to do what its new words no longer say: a change of one leaves its optional parts as they were.
fn keeps_more(former: &serde_json::Value, spec: &[String]) -> bool {
    let Some(options) = former.get("options").filter(|_| former.get("kind").is_some_and(|kind| kind == "netem")) else {
        return false;
    };
    let says = |word: &str| spec.iter().any(|one| one == word);
    let parts = [
        ("loss-random", "loss"),
        ("loss-state", "loss"),
        ("loss-gemodel", "loss"),
        ("duplicate", "duplicate"),
        ("corrupt", "corrupt"),
        ("reorder", "reorder"),
        ("rate", "rate"),
    ];
    let is_left = parts.iter().any(|(key, word)| options.get(key).is_some() && !says(word));
    // One correlation is set for all of them, and stays when it is not said again.
    let correlates = |part: &serde_json::Value| {
        part.get("correlation").and_then(serde_json::Value::as_f64).is_some_and(|part| part > 0.0)
    };
    is_left || options.as_object().is_some_and(|options| options.values().any(correlates))
}

/// Whether the literal value of an option can be one: a mistake is known before anything runs.
///
/// # Errors
///
/// `InvalidArgument` for what `shape` would refuse.
pub(crate) fn check_option(key: &str, text: &str) -> Result<()> {
    match key {
        "rate" => rate_bits(text).map(drop),
        "delay" | "jitter" => time(text).map(drop),
        "loss" => loss(text).map(drop),
        "duplicate" | "corrupt" | "reorder" => percent(text).map(drop),
        "police" => Police::parse(text).map(drop),
        _ => Ok(()),
    }
}

fn percent(text: &str) -> Result<f64> {
    let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| invalid("percentage", text, "write \"1%\""))
}

impl Shape {
    /// Whether it asks for no discipline: then what is there is lifted.
    fn is_empty(&self) -> bool {
        let all = [&self.rate, &self.burst, &self.delay, &self.jitter, &self.loss, &self.preset];
        all.into_iter().chain([&self.duplicate, &self.corrupt, &self.reorder]).all(Option::is_none)
    }

    /// The shape of one direction, with what its preset says where it says nothing itself.
    fn one_way(&self, down: bool) -> Result<Self> {
        let Some(name) = &self.preset else { return Ok(self.clone()) };
        let found = ACCESS.iter().find(|access| access.name == name);
        let access = found.ok_or_else(|| {
            let error = Error::new(Kind::InvalidArgument, format!("`{name}` is no preset of a shape"));
            crate::model::suggest::with_nearest(error, name, PRESETS.iter().copied())
                .hint(format!("presets: {}", PRESETS.join(", ")))
        })?;
        let or = |own: &Option<String>, preset: &str| own.clone().or_else(|| Some(preset.to_owned()));
        Ok(Self {
            rate: or(&self.rate, if down { access.down } else { access.up }),
            delay: or(&self.delay, access.delay),
            ..self.clone()
        })
    }

    /// The discipline and its words.
    fn spec(&self) -> Result<Vec<String>> {
        let rate = self.rate.as_deref().map(rate_bits).transpose()?;
        let delay = self.delay.as_deref().map(time).transpose()?;
        let jitter = self.jitter.as_deref().map(time).transpose()?;
        let loss = self.loss.as_deref().map(loss).transpose()?;
        let micros = |time: std::time::Duration| format!("{}us", time.as_micros());
        if self.reorder.is_some() && delay.is_none() {
            return Err(Error::new(
                Kind::InvalidArgument,
                "a reorder needs a delay: what is not delayed overtakes the rest",
            )
            .hint("link.shape(#{ delay: \"10ms\", reorder: \"25%\" })"));
        }
        let more = [("duplicate", &self.duplicate), ("corrupt", &self.corrupt), ("reorder", &self.reorder)];
        let more = more.into_iter().filter_map(|(word, text)| Some((word, text.as_deref()?)));
        let more: Vec<(&str, f64)> = more.map(|(word, text)| Ok((word, percent(text)?))).collect::<Result<_>>()?;
        if delay.is_none() && loss.is_none() && more.is_empty() {
            let Some(rate) = rate else {
                return Err(Error::new(Kind::InvalidArgument, "a shape needs a rate, a delay or a loss")
                    .hint("link.shape(#{ rate: \"10mbit\", delay: \"20ms\", loss: \"1%\" }); `shape(#{})` lifts it"));
            };
            // 10 ms worth of bytes, so that the timer of any kernel keeps the rate (man 8 tc-tbf, "burst").
            let burst = self.burst.clone().unwrap_or_else(|| (rate / 800).max(BURST_MIN_BYTES).to_string());
            return Ok(["tbf", "rate", &format!("{rate}bit"), "burst", &burst, "latency", "100ms"]
                .map(String::from)
                .into());
        }
        let mut words = vec!["netem".to_owned()];
        if let Some(delay) = delay {
            words.extend(["delay".into(), micros(delay)]);
            words.extend(jitter.map(micros));
        } else if jitter.is_some() {
            return Err(Error::new(Kind::InvalidArgument, "a jitter needs a delay to vary"));
        }
        if let Some(loss) = loss {
            words.push("loss".into());
            words.extend(loss);
        }
        words.extend(more.into_iter().flat_map(|(word, percent)| [word.to_owned(), format!("{percent}%")]));
        if let Some(rate) = rate {
            words.extend(["rate".into(), format!("{rate}bit")]);
        }
        Ok(words)
    }

    fn ends(&self) -> Result<(bool, bool)> {
        match self.direction.as_deref() {
            None | Some("both") => Ok((true, true)),
            Some("egress") => Ok((true, false)),
            Some("ingress") => Ok((false, true)),
            Some(other) => Err(invalid("direction", other, "\"both\", \"egress\" or \"ingress\"")),
        }
    }
}

impl Session {
    /// Shapes what leaves by a link, and what comes in by shaping the other end of its veth. A shape that asks for nothing lifts what is there.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for what tc could not read; `Unsupported` where the kernel lacks tbf or netem, or the link has no other end to shape.
    pub fn shape(&self, at: At<'_>, shape: &Shape) -> Result<Did> {
        let spec = |down| if shape.is_empty() { Ok(Vec::new()) } else { shape.one_way(down)?.spec() };
        let (up, down) = (spec(false)?, spec(true)?);
        let (egress, ingress) = shape.ends()?;
        let police = shape.police.as_deref().map(Police::parse).transpose()?;
        self.link_require(at)?;
        let has_clsact = self.has_clsact(at)?;
        if police.is_some() && !has_clsact {
            self.require_police(at.0)?;
        }
        let mut did = Did::Nothing;
        if egress {
            did = did.or(self.shape_end(at, &up)?);
        }
        if ingress {
            match self.link_peer(at) {
                Ok((netns, name)) => did = did.or(self.shape_end((&netns, &name), &down)?),
                // What comes in is policed where it comes in.
                Err(_) if police.is_some() && down.is_empty() => {}
                Err(error) => {
                    let message = format!("what comes in by `{}` cannot be shaped: {error}", at.1);
                    return Err(Error::new(Kind::Unsupported, message)
                        .hint("shape only what leaves: `direction: \"egress\"`")
                        .netns(at.0.name()));
                }
            }
        }
        if police.is_some() || has_clsact {
            did = did.or(self.police(at, (egress, ingress), has_clsact, police)?);
        }
        Ok(self.count(did))
    }

    /// Whether a link has the discipline that holds filters of both directions.
    fn has_clsact(&self, (netns, name): At<'_>) -> Result<bool> {
        let text = self.query(&op::qdisc::show_words(netns, name))?;
        let is_one = |qdisc: Qdisc| qdisc.words.first().is_some_and(|kind| kind == "clsact");
        Ok(text.lines().filter_map(Qdisc::parse).any(is_one))
    }

    /// Else it would fail when half is done.
    fn require_police(&self, netns: &Where) -> Result<()> {
        let Answer::No { reason, .. } = self.feature(&Feature::parse("police")?) else { return Ok(()) };
        Err(Error::new(Kind::Unsupported, reason)
            .hint("`modprobe -a act_police cls_matchall` as root may load it; `needs(\"police\")` skips the script")
            .hint("`rate` needs neither: what is too fast waits, and only where too much waits it is dropped")
            .netns(netns.name()))
    }

    /// Polices what leaves by a link, what comes in, or both; or nothing any more.
    fn police(
        &self,
        (netns, name): At<'_>,
        (egress, ingress): (bool, bool),
        has_clsact: bool,
        wanted: Option<Police>,
    ) -> Result<Did> {
        let now = |side| Ok(Police::read(&self.query(&op::qdisc::show_filter(netns, name, side, POLICE_PREF))?));
        let mut did = Did::Nothing;
        if !has_clsact {
            self.apply(op::qdisc::clsact(netns, name))?;
            did = Did::Something;
        }
        for (side, _) in [("egress", egress), ("ingress", ingress)].into_iter().filter(|(_, shaped)| *shaped) {
            let former = if has_clsact { now(side)? } else { None };
            let same = former.zip(wanted).is_some_and(|(former, wanted)| wanted.is(former));
            if same || (former.is_none() && wanted.is_none()) {
                continue;
            }
            let at = (netns, name, side, POLICE_PREF);
            if let Some(former) = former {
                self.apply(op::qdisc::filter_delete(at, &former.words()))?;
            }
            if let Some(wanted) = wanted {
                self.apply(op::qdisc::filter(at, &wanted.words()))?;
            }
            let holds = match (now(side)?, wanted) {
                (Some(now), Some(wanted)) => wanted.is(now),
                (now, wanted) => now.is_none() && wanted.is_none(),
            };
            let way = if side == "egress" { "leaves" } else { "comes in" };
            self.read_back(netns, holds, || format!("what {way} by `{name}` is not policed so"))?;
            did = Did::Something;
        }
        Ok(did)
    }

    fn shape_end(&self, (netns, name): At<'_>, spec: &[String]) -> Result<Did> {
        let former = self.qdisc(netns, name)?;
        // The kernel's own has the handle 0 and cannot be deleted.
        let text = self.query(&op::qdisc::show_words(netns, name))?;
        let mut words = text.lines().find_map(Qdisc::parse).filter(|root| root.is_root() && !root.is_of_kernel());
        let Some(kind) = spec.first() else {
            let Some(words) = words else { return Ok(Did::Nothing) };
            self.apply(op::qdisc::delete(netns, name, &words.spec()))?;
            let now = self.qdisc(netns, name)?;
            self.read_back(netns, now != former, || format!("`{name}` is still shaped"))?;
            return Ok(Did::Something);
        };
        // A packet that waits and does not fit into the new bucket would wait for ever, and all others behind it (`tbf_change` of the kernel).
        let is_stuck = kind == "tbf" && former.as_ref().is_some_and(|former| lowers_burst(former, spec));
        let is_more = kind == "netem" && former.as_ref().is_some_and(|former| keeps_more(former, spec));
        if (is_stuck || is_more)
            && let Some(words) = words.take()
        {
            self.apply(op::qdisc::delete(netns, name, &words.spec()))?;
        }
        let op = op::qdisc::replace(netns, name, spec, words.map(|words| words.spec()).as_deref());
        let command = op.command.clone();
        self.apply(op).map_err(|error| {
            if error.kind() == Kind::Unsupported {
                return Error::new(Kind::Unsupported, format!("this kernel has no queueing discipline {kind}"))
                    .hint(if kind == "netem" {
                        "delay and loss need netem; a rate alone works with tbf"
                    } else {
                        "`modprobe sch_tbf` as root may load it"
                    })
                    .netns(netns.name())
                    .ran(error.parts().ran.clone().unwrap_or_default());
            }
            error
        })?;
        let now = self.qdisc(netns, name)?;
        if now.as_ref().and_then(|qdisc| qdisc.get("kind")).and_then(serde_json::Value::as_str) != Some(kind.as_str()) {
            let output = crate::error::Ran { command: command.line(), ..Default::default() };
            return Err(failure(&command, output));
        }
        Ok(if now == former { Did::Nothing } else { Did::Something })
    }

    /// The root discipline without the handle, which is a new one each time.
    fn qdisc(&self, netns: &Where, name: &str) -> Result<Option<serde_json::Value>> {
        let records = json::records(&self.query(&op::qdisc::show(netns, name))?, "tc qdisc show")?;
        Ok(records.into_iter().find(|qdisc| qdisc.get("root").is_some()).map(|mut qdisc| {
            if let Some(map) = qdisc.as_object_mut() {
                map.remove("handle");
            }
            qdisc
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_tc_reads_them() {
        assert_eq!(rate_bits("10mbit").unwrap(), 10_000_000);
        assert_eq!(rate_bits("1.5Mbit").unwrap(), 1_500_000);
        assert_eq!(rate_bits("1kbps").unwrap(), 8_000);
        for bad in ["", "10", "mbit", "10 parsecs", "-1mbit", "0bit"] {
            assert!(rate_bits(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn models_of_loss_are_tcs_own() {
        let words = |text: &str| loss(text).map(|words| words.join(" "));
        for (text, same) in [
            ("1%", "1%"),
            ("0.5", "0.5%"),
            ("1% 25%", "1% 25%"),
            ("random 1%", "1%"),
            ("gemodel 1% 10% 70% 0.1%", "gemodel 1% 10% 70% 0.1%"),
            ("state 1% 99% 0 100 0", "state 1% 99% 0% 100% 0%"),
            ("gemodel 1% ecn", "gemodel 1% ecn"),
        ] {
            assert_eq!(words(text).unwrap(), same);
            assert!(check_option("loss", text).is_ok());
        }
        for (bad, expected) in [
            ("gemodl 1%", "no loss model `gemodl`"),
            ("gemodel", "takes 1 to 4 percentages, you gave 0"),
            ("gemodel 1% 2% 3% 4% 5%", "you gave 5"),
            ("1% 2% 3%", "random takes 1 to 2"),
            ("state 101%", "`101%` is not a percentage"),
            ("", "you gave 0"),
            ("ecn", "you gave 0"),
        ] {
            let error = words(bad).unwrap_err();
            assert!(error.to_string().contains(expected) && !error.parts().hints.is_empty(), "{bad}: {error}");
        }
        let shape = Shape { loss: Some("gemodel 1% 10%".into()), delay: Some("5ms".into()), ..Shape::default() };
        assert_eq!(shape.spec().unwrap().join(" "), "netem delay 5000us loss gemodel 1% 10%");
    }

    #[test]
    fn a_policer_is_read_back_as_tc_prints_it() {
        let wanted = Police::parse("10mbit").unwrap();
        assert_eq!(wanted, Police { rate: 10_000_000, burst: 125_000 });
        assert_eq!(Police::parse("1mbit").unwrap().burst, POLICE_BURST_MIN_BYTES);
        assert_eq!(Police::parse("10mbit burst 64kb").unwrap().burst, 65_536);
        // As Linux 6.12 with iproute2 6.1 prints one.
        let text = "filter protocol all matchall chain 0 handle 0x6e77 \n  not_in_hw\n\taction order 1:  police 0x1 rate 10Mbit burst 124992b mtu 2Kb action drop overhead 0b \n\tref 1 bind 1 \n";
        assert!(wanted.is(Police::read(text).unwrap()));
        assert!(!Police::parse("11mbit").unwrap().is(Police::read(text).unwrap()));
        assert_eq!(Police::read("filter protocol all matchall chain 0 \n"), None);
        assert_eq!(
            wanted.words().join(" "),
            "handle 0x6e77 matchall action police rate 10000000bit burst 125000 conform-exceed drop"
        );
        for bad in ["", "10", "10mbit burst", "10mbit burst 0", "10mbit brust 1kb", "10mbit burst 1parsec"] {
            assert!(Police::parse(bad).is_err(), "{bad}");
        }
        let only = Shape { police: Some("10mbit".into()), ..Shape::default() };
        assert!(only.is_empty(), "it asks for no discipline");
    }

    #[test]
    fn what_a_change_of_netem_would_leave_is_known() {
        let netem = |options| serde_json::json!({ "kind": "netem", "options": options });
        let spec = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let random = netem(
            serde_json::json!({ "limit": 1000, "loss-random": { "loss": 0.01, "correlation": 0 }, "ecn": false }),
        );
        assert!(!keeps_more(&random, &spec("netem loss 2%")) && keeps_more(&random, &spec("netem delay 1ms")));
        let correlated = netem(serde_json::json!({ "loss-random": { "loss": 0.01, "correlation": 0.25 } }));
        assert!(keeps_more(&correlated, &spec("netem loss 1%")));
        assert!(keeps_more(&netem(serde_json::json!({ "rate": { "rate": 125_000 } })), &spec("netem delay 1ms")));
        assert!(!keeps_more(&serde_json::json!({ "kind": "tbf", "options": { "rate": 1 } }), &spec("netem delay 1ms")));
    }

    #[test]
    fn a_smaller_bucket_is_told_from_the_same_one() {
        let tbf = |burst: u64| serde_json::json!({ "kind": "tbf", "options": { "burst": burst } });
        let spec = |burst: &str| ["tbf", "rate", "8bit", "burst", burst].map(String::from);
        assert!(!lowers_burst(&tbf(6250), &spec("6250")) && !lowers_burst(&tbf(6250), &spec("25000")));
        assert!(lowers_burst(&tbf(25000), &spec("6250")) && lowers_burst(&tbf(40000), &spec("32kb")));
        assert!(lowers_burst(&tbf(25000), &spec("1parsec")), "nobody knows");
        assert!(!lowers_burst(&serde_json::json!({ "kind": "netem" }), &spec("6250")));
    }

    #[test]
    fn presets_differ_by_direction_and_give_way_to_what_is_said() {
        let dsl = Shape { preset: Some("dsl".into()), loss: Some("1%".into()), ..Shape::default() };
        let words = |down| dsl.one_way(down).unwrap().spec().unwrap().join(" ");
        assert_eq!(words(true), "netem delay 25000us loss 1% rate 1500000bit");
        assert_eq!(words(false), "netem delay 25000us loss 1% rate 384000bit");
        let own = Shape { preset: Some("4g".into()), rate: Some("1mbit".into()), ..Shape::default() };
        assert_eq!(own.one_way(true).unwrap().rate.as_deref(), Some("1mbit"));
        assert!(Shape { preset: Some("5g".into()), ..Shape::default() }.one_way(true).is_err());
        assert_eq!(ACCESS.map(|access| access.name), PRESETS);
        for name in PRESETS {
            let shape = Shape { preset: Some((*name).to_owned()), ..Shape::default() };
            assert!(shape.one_way(true).unwrap().spec().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_rate_alone_is_tbf_and_the_rest_netem() {
        let words = |shape: Shape| shape.spec().unwrap().join(" ");
        let some = |text: &str| Some(text.to_owned());
        let wrong = Shape { duplicate: some("1%"), corrupt: some("0.1%"), ..Shape::default() };
        assert_eq!(words(wrong.clone()), "netem duplicate 1% corrupt 0.1%");
        assert_eq!(
            words(Shape { delay: some("10ms"), reorder: some("25%"), ..wrong.clone() }),
            "netem delay 10000us duplicate 1% corrupt 0.1% reorder 25%"
        );
        assert!(Shape { reorder: some("25%"), ..wrong.clone() }.spec().is_err(), "there is nothing to overtake");
        assert!(!wrong.is_empty() && Shape { corrupt: some("101%"), ..Shape::default() }.spec().is_err());
        assert_eq!(
            words(Shape { rate: some("10mbit"), ..Shape::default() }),
            "tbf rate 10000000bit burst 12500 latency 100ms"
        );
        assert_eq!(
            words(Shape {
                rate: some("1mbit"),
                delay: some("20ms"),
                jitter: some("5ms"),
                loss: some("1%"),
                ..Shape::default()
            }),
            "netem delay 20000us 5000us loss 1% rate 1000000bit"
        );
        assert!(Shape::default().spec().is_err());
        assert!(Shape { jitter: some("1ms"), loss: some("1%"), ..Shape::default() }.spec().is_err());
        assert!(Shape { loss: some("101%"), ..Shape::default() }.spec().is_err());
    }
}
