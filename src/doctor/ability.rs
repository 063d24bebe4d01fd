//! What the kernel can do, tried out in a sandbox that a child process makes: this process stays where it is.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Lack;
use super::modules::Modules;
use super::tools::{Backend, Found};
use crate::error::{Error, Kind, Result};
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::exec::{Exec, reexec};
use crate::features::table::{self, Group, Known, Proof};
use crate::features::{Answer, Feature, Features};
use crate::sandbox::{self, Entered};

/// The variable that makes netwright the child that tries features; its value is the order.
const ENV: &str = "NETWRIGHT_FEATURES";
/// Without these there is no network to build.
const NEEDED: &[&str] = &["veth", "bridge"];

/// A feature of the kernel.
#[derive(Debug)]
pub(crate) struct Ability {
    /// The word that scripts give to `needs`.
    pub name: &'static str,
    /// Where it is listed.
    pub group: Group,
    /// Whether netwright cannot do without it.
    pub needed: bool,
    /// Whether it is there.
    pub state: State,
}

/// Whether it is there.
#[derive(Debug)]
pub(crate) enum State {
    /// It was made and works.
    Yes,
    /// Not tried: it lies in this kernel module, which is there and loads when it is first used.
    Module(&'static str),
    /// It is not there, but its kernel module is, which loads by hand only.
    NotLoaded(&'static str),
    /// It is not there: a sentence, and what the tool said.
    No(String, Option<String>),
    /// Nobody can say, and why.
    Unknown(String),
}

impl Ability {
    pub(super) fn lack(&self) -> Option<Lack> {
        match &self.state {
            State::No(reason, _) if self.needed => Some(Lack {
                what: reason.clone(),
                advice: vec![format!("netwright needs a kernel with {}", self.name)],
            }),
            _ => None,
        }
    }
}

/// Tries every feature that loads nothing.
#[must_use]
pub(crate) fn survey(chosen: &[(String, PathBuf)], modules: &Modules, tools: &[Found]) -> Vec<Ability> {
    let backend = tools.iter().find_map(|tool| tool.backend);
    let would_load =
        |known: &Known| known.modules.iter().copied().find(|name| used(name, backend) && modules.would_load(name));
    let may_try = |known: &Known| would_load(known).is_none() && hindrance(known, tools).is_none();
    let order: Vec<_> = table::TABLE.iter().filter(|known| may_try(known)).map(|known| known.name).collect();
    let answers = try_in_child(&order, chosen);
    let tried = |known: &Known| match &answers {
        Ok(answers) => answers.get(known.name).map_or_else(|| State::Unknown("it was not tried".into()), state),
        Err(error) => State::Unknown(error.to_string()),
    };
    let ability = |known: &'static Known| Ability {
        name: known.name,
        group: known.group,
        needed: NEEDED.contains(&known.name),
        state: match (would_load(known), hindrance(known, tools)) {
            (Some(module), _) => State::Module(module),
            (None, Some(why)) => State::Unknown(why),
            (None, None) => match tried(known) {
                State::No(..) if matches!(known.proof, Proof::File(_)) && modules.would_load(known.name) => {
                    State::NotLoaded(known.name)
                }
                state => state,
            },
        },
    };
    table::TABLE.iter().map(ability).collect()
}

/// The tool that is missing or broken, so that the feature cannot be tried.
fn hindrance(known: &Known, tools: &[Found]) -> Option<String> {
    let (Proof::Steps(steps) | Proof::OnLink(steps)) = known.proof else { return None };
    let broken = |step: &&str| {
        let program = step.split(' ').next();
        tools.iter().find(|tool| Some(tool.name) == program)?.trouble()
    };
    steps.iter().find_map(broken)
}

/// Each backend of iptables has modules of its own.
fn used(module: &str, backend: Option<Backend>) -> bool {
    let legacy = ["ip_tables", "ip6_tables", "iptable_", "ip6table_"].iter().any(|start| module.starts_with(start));
    match backend {
        Some(Backend::Nft) => !legacy,
        Some(Backend::Legacy) => !module.starts_with("nft_") && module != "nf_tables",
        None => true,
    }
}

fn state(answer: &Value) -> State {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    match answer["answer"].as_str() {
        Some("yes") => State::Yes,
        Some("no") => State::No(text("reason"), answer["said"].as_str().map(str::to_owned)),
        _ => State::Unknown(text("reason")),
    }
}

fn try_in_child(order: &[&str], chosen: &[(String, PathBuf)]) -> Result<HashMap<String, Value>> {
    let internal = |why: String| Error::new(Kind::Internal, why);
    let order = json!({ "features": order, "tools": chosen });
    let (status, stdout) = reexec::output(ENV, &order.to_string())
        .map_err(|error| internal(format!("cannot start netwright to try features: {error}")))?;
    let document: Value = serde_json::from_slice(&stdout)
        .map_err(|_| internal(format!("the process that tries features ended without an answer ({status})")))?;
    if let Some(message) = document["error"].as_str() {
        return Err(Error::new(Kind::Unsupported, format!("no sandbox to try it in: {message}")));
    }
    serde_json::from_value(document["answers"].clone())
        .map_err(|error| internal(format!("unreadable answers: {error}")))
}

/// Call it early in `main`, before the arguments are read and before any thread exists: when this process is the child that tries
/// features, it does so; the document is what to print, the number the exit code. `None` in every other process.
#[must_use]
pub(crate) fn child() -> Option<(Option<Value>, u8)> {
    let order = std::env::var(ENV).ok()?;
    Some(match answers(&order) {
        Ok(None) => (None, 0),
        Ok(Some(answers)) => (Some(json!({ "answers": answers })), 0),
        Err(error) => (Some(json!({ "error": error.to_string() })), error.kind().exit_code()),
    })
}

/// The answers, when this process is inside of the sandbox; nothing in the processes around it.
fn answers(order: &str) -> Result<Option<Value>> {
    let bad = |_| Error::new(Kind::InvalidArgument, format!("`{ENV}` is netwright's own: unset it"));
    let order: Value = serde_json::from_str(order).map_err(bad)?;
    let tools: Vec<(String, PathBuf)> = serde_json::from_value(order["tools"].clone()).map_err(bad)?;
    let features: Vec<String> = serde_json::from_value(order["features"].clone()).map_err(bad)?;
    let keep: Vec<_> = tools.iter().map(|(_, path)| path.clone()).collect();
    let Entered::Inside(_) = sandbox::enter_or_supervise(&keep)? else { return Ok(None) };
    let exec = Exec::new(Tools::new(&tools)?, Interrupt::default())?;
    let known = Features::default();
    let answer = |word: &String| -> Result<(String, Value)> {
        let answer = match known.ask(&Feature::parse(word)?, &exec) {
            Answer::Yes => json!({ "answer": "yes" }),
            Answer::No { reason, said } => json!({ "answer": "no", "reason": reason, "said": said }),
            Answer::Unknown(error) => json!({ "answer": "unknown", "reason": error.to_string() }),
        };
        Ok((word.clone(), answer))
    };
    features.iter().map(answer).collect::<Result<serde_json::Map<_, _>>>().map(|map| Some(Value::Object(map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_loads_its_own_modules() {
        assert!(used("bridge", None) && used("ip_tables", None));
        assert!(!used("ip_tables", Some(Backend::Nft)) && used("nft_compat", Some(Backend::Nft)));
        assert!(used("iptable_nat", Some(Backend::Legacy)) && !used("nf_tables", Some(Backend::Legacy)));
    }
}
