//! What `why` answers: a verdict, at most one culprit, and how each statement is known.

use std::time::Duration;

use serde_json::{Value, json};

use super::codes::Code;
use crate::op::{Where, as_typed, quote};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Reachable,
    /// It does not, and the culprit is known.
    Blocked,
    /// It does not yet, and will by itself.
    Pending,
    /// It does not, or nobody tried, and nothing certain can be said.
    Inconclusive,
}

impl Verdict {
    /// The word of JSON and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Blocked => "blocked",
            Self::Pending => "pending",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// How the verdict is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// The state says so, and a packet was seen to meet that fate: at that place, or in that way.
    Confirmed,
    /// The state says so; no packet was tried.
    Predicted,
    /// A packet was tried and failed; the state alone would not have told.
    Observed,
    /// The state says one thing and the packet did another: the packet is right.
    Contradicted,
}

impl Confidence {
    /// The word of JSON and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Predicted => "predicted",
            Self::Observed => "observed",
            Self::Contradicted => "contradicted",
        }
    }
}

/// On the way there or on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// From the asker to the target.
    Request,
    /// The answer.
    Reply,
}

impl Leg {
    /// The word of JSON and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        if self == Self::Request { "request" } else { "reply" }
    }
}

/// How a statement is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The kernel was asked what it would do.
    Kernel,
    /// It was read.
    State,
    /// A packet was sent.
    Probe,
    /// It follows from the others.
    Inferred,
}

impl Label {
    /// The word of JSON and of the picture.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::State => "state",
            Self::Probe => "probe",
            Self::Inferred => "inferred",
        }
    }
}

/// A statement with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How it is known.
    pub label: Label,
    /// The statement.
    pub text: String,
}

/// A command that mends something: words, never a line, for the words of a rule may hold blanks (`--comment "it is late"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Where it runs.
    pub netns: Where,
    /// The program and its words.
    pub words: Vec<String>,
    /// What else it lets pass, where it takes a guard away.
    pub opens: Option<String>,
}

/// What a command does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Something is there that was not, and what was there stays as it is.
    Adds,
    /// A value becomes another.
    Changes,
    /// Something is taken away.
    Removes,
}

impl Change {
    /// The word of JSON and scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Adds => "adds",
            Self::Changes => "changes",
            Self::Removes => "removes",
        }
    }
}

impl Fix {
    /// From words.
    pub fn of<S: Into<String>>(netns: &Where, words: impl IntoIterator<Item = S>) -> Self {
        Self { netns: netns.clone(), words: words.into_iter().map(Into::into).collect(), opens: None }
    }

    /// From a line whose words are netwright's own, numbers, addresses and names of links, which hold no blanks (`dev_valid_name`).
    #[must_use]
    pub fn new(netns: &Where, line: &str) -> Self {
        Self::of(netns, line.split_whitespace())
    }

    /// Says what else passes then.
    #[must_use]
    pub fn opening(mut self, what: impl Into<String>) -> Self {
        self.opens = Some(what.into());
        self
    }

    /// The command as a person would type it on the machine.
    #[must_use]
    pub fn line(&self) -> String {
        quote(&as_typed(&self.netns, &self.words))
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> Change {
        let verb = |words: &[&str]| self.words.iter().skip(1).take(6).any(|word| words.contains(&word.as_str()));
        let program = self.words.first().map(String::as_str).unwrap_or_default();
        if program.contains("tables") {
            return match self.words.iter().find(|word| ["-A", "-I", "-N", "-D", "-F", "-X"].contains(&word.as_str())) {
                Some(word) if ["-A", "-I", "-N"].contains(&word.as_str()) => Change::Adds,
                Some(_) => Change::Removes,
                None => Change::Changes,
            };
        }
        match program {
            "ip" | "bridge" | "tc" | "nft" if verb(&["del", "delete", "flush", "destroy"]) => Change::Removes,
            "ip" | "bridge" | "tc" | "nft" if verb(&["add", "append", "insert"]) => Change::Adds,
            "conntrack" => Change::Removes,
            _ => Change::Changes,
        }
    }

    /// The command as JSON, with the keys that scripts see.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "run": self.line(), "netns": self.netns.name(), "kind": self.kind().word(), "opens": self.opens })
    }

    /// The command and what it opens, as a hint: in expectations, reports and on the command line alike.
    #[must_use]
    pub fn hint(&self) -> String {
        match &self.opens {
            Some(opens) => format!("{}   # opens: {opens}", self.line()),
            None => self.line(),
        }
    }
}

/// The thing that stops the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// What kind of fault it is.
    pub code: Code,
    /// On which way.
    pub leg: Leg,
    /// Where.
    pub at: Where,
    /// What sort of thing: `sysctl`, `link`, `route`, `rule`, `chain`, …
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its value, or what it says.
    pub value: String,
    /// What happens, as a sentence.
    pub message: String,
    /// How that is known.
    pub evidence: Vec<Evidence>,
    /// What mends it, in order.
    pub fix: Vec<Fix>,
    /// What mends it when no command can.
    pub advice: Option<String>,
    /// What a script says instead of the commands, where a verb does it.
    pub script: Option<String>,
    /// How many hops were passed before it.
    pub hop: usize,
    /// It leads the packet astray: what stops it further on is a consequence.
    pub astray: bool,
}

impl Culprit {
    /// A culprit without evidence or mending.
    pub fn new(code: Code, at: &Where, kind: &'static str, name: impl Into<String>) -> Self {
        Self {
            code,
            leg: Leg::Request,
            at: at.clone(),
            kind,
            name: name.into(),
            value: String::new(),
            message: String::new(),
            evidence: Vec::new(),
            fix: Vec::new(),
            advice: None,
            script: None,
            hop: 0,
            astray: false,
        }
    }

    /// Sets the value of the object.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// Sets the sentence.
    #[must_use]
    pub fn says(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Says that it leads the packet astray.
    #[must_use]
    pub fn leads_astray(mut self) -> Self {
        self.astray = true;
        self
    }

    /// Adds a statement.
    #[must_use]
    pub fn because(mut self, label: Label, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { label, text: text.into() });
        self
    }

    /// Adds a command that mends it.
    #[must_use]
    pub fn fix(mut self, line: &str) -> Self {
        let fix = Fix::new(&self.at, line);
        self.fix.push(fix);
        self
    }

    /// Adds a command that mends it, of words that may hold blanks: those of a rule, the name of a namespace.
    #[must_use]
    pub fn fix_words<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let fix = Fix::of(&self.at, words);
        self.fix.push(fix);
        self
    }

    /// Adds a command that mends it elsewhere.
    #[must_use]
    pub fn fix_at(mut self, netns: &Where, line: &str) -> Self {
        self.fix.push(Fix::new(netns, line));
        self
    }

    /// Sets what to do when no command mends it.
    #[must_use]
    pub fn advise(mut self, text: impl Into<String>) -> Self {
        self.advice = Some(text.into());
        self
    }

    /// What mends it, in the same words wherever it is told: in an expectation and in every report.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let script = self.script.iter().map(|script| format!("in the script: {script}"));
        script.chain(self.fix.iter().map(Fix::hint)).chain(self.advice.clone()).collect()
    }

    /// The culprit as JSON, with the keys that scripts see.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "code": self.code.name(),
            "leg": self.leg.word(),
            "netns": self.at.name(),
            "object": { "kind": self.kind, "name": self.name, "value": self.value },
            "message": self.message,
            "evidence": evidence_json(&self.evidence),
            "mending": if self.fix.is_empty() { self.advice.as_ref().map(|_| "advice") } else { Some("commands") },
            "fix": self.fix.iter().map(Fix::json).collect::<Vec<_>>(),
            "advice": self.advice,
            "script": self.script,
        })
    }
}

fn evidence_json(evidence: &[Evidence]) -> Vec<Value> {
    evidence.iter().map(|one| json!({ "label": one.label.word(), "text": one.text })).collect()
}

/// A device that the packet passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// On which way.
    pub leg: Leg,
    /// The namespace.
    pub at: Where,
    /// The link.
    pub dev: String,
    /// Whether the packet goes out by it.
    pub out: bool,
}

/// What a packet did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Whether it was answered.
    pub reached: bool,
    /// One word for it.
    pub word: String,
    /// What was seen.
    pub detail: String,
    /// Why the sender's own kernel refused to send it: the exact name of the reason.
    pub refused: Option<&'static str>,
    /// Where it was seen to end, by the flight recorder.
    pub last: Option<LastSeen>,
    /// How long it took.
    pub took: Duration,
}

impl Tried {
    /// Whether nobody answered, neither with what was asked for nor with an error.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.reached && self.word == crate::probe::Reason::Timeout.word()
    }
}

/// Where the flight recorder saw a packet last, and why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// The namespace, when the recorder knows it.
    pub at: Option<Where>,
    /// The link.
    pub dev: String,
    /// The kernel's reason, for example `IP_RPFILTER`.
    pub reason: String,
    /// The kernel's function.
    pub function: String,
}

/// What a rule or policy did with a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Where.
    pub at: Where,
    /// Its family and table, as nft names them.
    pub table: String,
    /// Its chain.
    pub chain: String,
    /// The rule; none for the policy of the chain or its end.
    pub rule: Option<String>,
    /// `accept`, `drop`, `jump CHAIN`, …
    pub verdict: String,
}

/// The whole answer.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Who asked.
    pub from: Where,
    /// For what, as text.
    pub to: String,
    /// The answer in one word.
    pub verdict: Verdict,
    /// How it is known.
    pub confidence: Confidence,
    /// The thing to blame.
    pub culprit: Option<Culprit>,
    /// Further things in the way, or that may be: at most three.
    pub others: Vec<Culprit>,
    /// The way of the packet, as far as it goes.
    pub hops: Vec<Hop>,
    /// What a packet did.
    pub probe: Option<Tried>,
    /// Further statements about the whole.
    pub notes: Vec<Evidence>,
    /// The way through the rules, where it was traced.
    pub trace: Vec<Traced>,
    /// How long reading and judging took.
    pub took: Duration,
}

impl Finding {
    /// A finding of which nothing is known yet.
    pub(super) fn new(from: &Where, to: impl Into<String>) -> Self {
        Self {
            from: from.clone(),
            to: to.into(),
            verdict: Verdict::Inconclusive,
            confidence: Confidence::Predicted,
            culprit: None,
            others: Vec::new(),
            hops: Vec::new(),
            probe: None,
            notes: Vec::new(),
            trace: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// Every namespace that it speaks of, once.
    #[must_use]
    pub fn places(&self) -> Vec<Where> {
        let culprits = self.culprit.iter().chain(&self.others).map(|culprit| &culprit.at);
        let mut all: Vec<Where> = Vec::new();
        for at in std::iter::once(&self.from).chain(self.hops.iter().map(|hop| &hop.at)).chain(culprits) {
            if !all.contains(at) {
                all.push(at.clone());
            }
        }
        all
    }

    /// What a failed expectation tells: names and texts of notes.
    #[must_use]
    pub fn notes_for_error(&self) -> Vec<(String, String)> {
        let Some(culprit) = &self.culprit else {
            let mut notes = self.notes.iter();
            let first =
                notes.next().map_or("nothing that could be judged stands in the way", |note| note.text.as_str());
            let maybe =
                self.others.iter().map(|other| ("maybe".to_owned(), format!("[{}] {}", other.code, other.message)));
            let rest = notes.map(|note| (note.label.word().to_owned(), note.text.clone()));
            return std::iter::once(("why".to_owned(), first.to_owned())).chain(rest).chain(maybe).collect();
        };
        let mut notes = vec![("why".to_owned(), format!("[{}] {}", culprit.code, culprit.message))];
        notes.extend(culprit.evidence.iter().map(|one| (one.label.word().to_owned(), one.text.clone())));
        notes
    }

    /// The document of `--json`, and what scripts see.
    #[must_use]
    pub fn json(&self) -> Value {
        let evidence: Vec<Evidence> =
            self.culprit.iter().flat_map(|culprit| culprit.evidence.iter()).chain(&self.notes).cloned().collect();
        json!({
            "schema": 1,
            "from": self.from.name(),
            "to": self.to,
            "verdict": self.verdict.word(),
            "confidence": self.confidence.word(),
            "culprit": self.culprit.as_ref().map(Culprit::json),
            "evidence": evidence_json(&evidence),
            "hops": self.hops.iter().map(|hop| json!({
                "leg": hop.leg.word(), "netns": hop.at.name(), "dev": hop.dev, "direction": if hop.out { "out" } else { "in" },
            })).collect::<Vec<_>>(),
            "trace": self.trace.iter().map(|step| json!({
                "netns": step.at.name(), "table": step.table, "chain": step.chain, "rule": step.rule, "verdict": step.verdict,
            })).collect::<Vec<_>>(),
            "others": self.others.iter().map(Culprit::json).collect::<Vec<_>>(),
            "probe": self.probe.as_ref().map(|probe| json!({
                "reached": probe.reached,
                "word": probe.word,
                "detail": probe.detail,
                "last": probe.last.as_ref().map(|last| json!({
                    "netns": last.at.as_ref().map(Where::name), "dev": last.dev, "reason": last.reason, "function": last.function,
                })),
                "took_ms": probe.took.as_secs_f64() * 1e3,
            })),
            "took_ms": self.took.as_secs_f64() * 1e3,
        })
    }
}
