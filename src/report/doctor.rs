//! What `netwright doctor` found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::doctor::ability::{self, Ability};
use crate::doctor::machine::{Machine, SandboxFact};
use crate::doctor::tools::Found;
use crate::doctor::traps::{self, Trap};
use crate::doctor::{Lack, Report};
use crate::features::table::Group;
use crate::sandbox::Mode;
use crate::text::SCHEMA;
use crate::text::diagnostic::escape;

/// How wide a list of words gets before it goes on below.
const WIDTH: usize = 100;
/// Where the text of an item begins: mark, name.
const INDENT: usize = 22;

/// What stands in front of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Good,
    Bad,
    Care,
    Unknown,
}

/// The marks, as the terminal can show them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    utf8: bool,
}

impl Marks {
    /// As the locale of the environment says: `LC_ALL` before `LC_CTYPE` before `LANG`.
    #[must_use]
    pub(crate) fn of_locale() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_lowercase();
        Self { utf8: locale.contains("utf-8") || locale.contains("utf8") }
    }

    fn show(self, mark: Mark) -> char {
        match (mark, self.utf8) {
            (Mark::Good, true) => '✓',
            (Mark::Bad, true) => '✗',
            (Mark::Good, false) => '+',
            (Mark::Bad, false) => 'x',
            (Mark::Care, _) => '!',
            (Mark::Unknown, _) => '?',
        }
    }

    fn arrow(self) -> &'static str {
        if self.utf8 { "→" } else { "->" }
    }
}

/// The lines of the human report.
struct Page {
    marks: Marks,
    text: String,
}

impl Page {
    fn title(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{gap}{title}");
    }

    fn item(&mut self, mark: Mark, name: &str, what: &str) {
        let mark = self.marks.show(mark);
        let _ = writeln!(self.text, "{}", format!("  {mark} {name:<18}{}", escape(what)).trim_end());
    }

    fn advice<'a>(&mut self, advice: impl IntoIterator<Item = &'a String>) {
        for line in advice {
            let _ = writeln!(self.text, "{:INDENT$}{} {}", "", self.marks.arrow(), escape(line));
        }
    }

    /// A list of words, going on below where it is long.
    fn words(&mut self, mark: Mark, name: &str, words: &[String]) {
        let mut lines = vec![String::new()];
        for word in words {
            let line = lines.last_mut().map_or(0, |line| line.chars().count());
            if line > 0 && INDENT + line + word.chars().count() + 2 > WIDTH {
                if let Some(line) = lines.last_mut() {
                    line.push(',');
                }
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                let _ = write!(line, "{}{word}", if line.is_empty() { "" } else { ", " });
            }
        }
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                self.item(mark, name, line);
            } else {
                let _ = writeln!(self.text, "{:INDENT$}{}", "", escape(line));
            }
        }
    }
}

/// The report for people.
#[must_use]
pub(crate) fn human(report: &Report, marks: Marks) -> String {
    let mut page = Page { marks, text: String::new() };
    page.title("tools");
    report.tools.iter().for_each(|tool| tool_lines(&mut page, tool));
    page.title("privileges");
    machine_lines(&mut page, &report.machine);
    page.title(&format!("kernel {}", report.machine.kernel));
    ability_lines(&mut page, &report.abilities);
    page.title("traps");
    trap_lines(&mut page, &report.traps);
    page.title(&verdict(report));
    page.text
}

fn tool_lines(page: &mut Page, tool: &Found) {
    let mark = match (tool.ok(), tool.needed) {
        (true, _) => Mark::Good,
        (false, true) => Mark::Bad,
        (false, false) => Mark::Care,
    };
    let path = tool.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let version = tool.version.as_deref().unwrap_or("");
    let backend = tool.backend.filter(|_| tool.path.is_some()).map(|backend| format!(" ({})", backend.name()));
    let optional = if tool.needed { String::new() } else { format!("; optional, {}", tool.purpose) };
    match &tool.problem {
        None => page.item(mark, tool.name, &format!("{version:<9} {path}{}", backend.unwrap_or_default())),
        Some(problem) => page.item(mark, tool.name, format!("{path} {problem}{optional}").trim_start()),
    }
    page.advice(&tool.advice());
}

fn machine_lines(page: &mut Page, machine: &Machine) {
    let lacking: Vec<_> = machine.capabilities.iter().filter(|(_, has)| !has).map(|(name, _)| *name).collect();
    match (machine.uid, lacking.as_slice()) {
        (0, []) => page.item(Mark::Good, "user", "root"),
        (0, lacking) => page.item(Mark::Care, "user", &format!("root without {}", lacking.join(", "))),
        (uid, lacking) => {
            let has = if lacking.is_empty() { "with" } else { "without" };
            page.item(Mark::Good, "user", &format!("uid {uid}, {has} the capabilities that `--host` needs"));
        }
    }
    if !machine.may_host() {
        let text = match &machine.sudo {
            Some(path) => format!("`run --host` needs root: {} is there", path.display()),
            None => "`run --host` needs root, and there is no sudo".into(),
        };
        page.item(if machine.sudo.is_some() { Mark::Good } else { Mark::Care }, "root", &text);
    }
    for sandbox in &machine.sandboxes {
        let name = match sandbox.mode {
            Mode::Root => "root sandbox",
            Mode::Rootless => "rootless sandbox",
        };
        match &sandbox.error {
            None => page.item(Mark::Good, name, "works"),
            Some(error) => {
                page.item(if sandbox.used { Mark::Bad } else { Mark::Care }, name, &error.to_string());
                page.advice(&error.parts().hints);
            }
        }
    }
    let settings: Vec<String> = settings(machine)
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
        .collect();
    page.words(if settings.is_empty() { Mark::Unknown } else { Mark::Good }, "user namespaces", &settings);
}

fn settings(machine: &Machine) -> [(&'static str, Option<u64>); 3] {
    let facts = &machine.facts;
    [
        ("user.max_user_namespaces", facts.max_user_namespaces),
        ("kernel.unprivileged_userns_clone", facts.unprivileged_userns_clone),
        ("kernel.apparmor_restrict_unprivileged_userns", facts.apparmor_restrict),
    ]
}

fn ability_lines(page: &mut Page, all: &[Ability]) {
    for group in Group::ALL {
        let of_group = || all.iter().filter(|ability| ability.group == group);
        let mut name = group.name();
        let mut list = |page: &mut Page, mark: Mark, words: Vec<String>, note: &str| {
            if let Some(last) = words.last().map(|last| format!("{last}{note}")) {
                let words: Vec<String> = words[..words.len() - 1].iter().cloned().chain([last]).collect();
                page.words(mark, name, &words);
                name = "";
            }
        };
        let yes = of_group().filter(|one| matches!(one.state, ability::State::Yes));
        list(page, Mark::Good, yes.map(|one| one.name.to_owned()).collect(), "");
        let module = of_group().filter(|one| matches!(one.state, ability::State::Module(_)));
        list(
            page,
            Mark::Good,
            module.map(|one| one.name.to_owned()).collect(),
            " (modules that load when used; not tried)",
        );
        let no = |needed: bool| {
            of_group().filter(move |one| one.needed == needed && matches!(one.state, ability::State::No(..)))
        };
        for module in of_group().filter_map(|one| match one.state {
            ability::State::NotLoaded(module) => Some(module),
            _ => None,
        }) {
            list(page, Mark::Care, vec![module.to_owned()], &format!(" (not loaded: modprobe {module})"));
        }
        list(page, Mark::Bad, no(true).map(|one| one.name.to_owned()).collect(), " (needed)");
        list(page, Mark::Care, no(false).map(|one| one.name.to_owned()).collect(), " (not here)");
        let unknown = of_group().filter_map(|one| match &one.state {
            ability::State::Unknown(why) => Some((one.name, why)),
            _ => None,
        });
        let unknown: Vec<_> = unknown.collect();
        let why = unknown.first().map(|(_, why)| format!(" ({why})")).unwrap_or_default();
        list(page, Mark::Unknown, unknown.iter().map(|(name, _)| (*name).to_owned()).collect(), &why);
    }
}

fn trap_lines(page: &mut Page, all: &[Trap]) {
    let clear: Vec<String> =
        all.iter().filter(|trap| trap.state == traps::State::Clear).map(|trap| trap.title.to_owned()).collect();
    for trap in all {
        match &trap.state {
            traps::State::Clear => {}
            traps::State::Note(what, advice) | traps::State::Set(what, advice) => {
                page.item(Mark::Care, trap.code, what);
                page.advice(advice);
            }
            traps::State::Unknown(why) => page.item(Mark::Unknown, trap.code, &format!("{}: {why}", trap.title)),
        }
    }
    if !clear.is_empty() {
        page.words(Mark::Good, "clear", &clear);
    }
}

fn verdict(report: &Report) -> String {
    let lacks = report.lacks();
    if let Some((first, rest)) = lacks.split_first() {
        let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        return format!("not ready: {}{more}", escape(&first.what));
    }
    let found = report.traps.iter().filter(|trap| matches!(trap.state, traps::State::Set(..))).count();
    let host = if report.machine.may_host() { ", and on this machine with `--host`" } else { "" };
    let traps = match found {
        0 => String::new(),
        1 => "; mind the trap above".into(),
        many => format!("; mind the {many} traps above"),
    };
    format!("ready: scripts run in the sandbox{host}{traps}")
}

/// The report for programs.
#[must_use]
pub(crate) fn document(report: &Report, code: u8) -> Value {
    let machine = &report.machine;
    json!({
        "schema": SCHEMA,
        "ready": report.lacks().is_empty(),
        "exit": code,
        "missing": report.lacks().iter().map(lack).collect::<Vec<_>>(),
        "tools": report.tools.iter().map(tool).collect::<Vec<_>>(),
        "privileges": {
            "uid": machine.uid,
            "host": machine.may_host(),
            "capabilities": machine.capabilities.iter().map(|(name, has)| ((*name).to_owned(), json!(has))).collect::<serde_json::Map<_, _>>(),
            "sudo": machine.sudo,
            "container": machine.facts.container,
            "settings": settings(machine).iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<serde_json::Map<_, _>>(),
            "sandboxes": machine.sandboxes.iter().map(sandbox).collect::<Vec<_>>(),
        },
        "kernel": machine.kernel,
        "features": report.abilities.iter().map(ability).collect::<Vec<_>>(),
        "traps": report.traps.iter().map(trap).collect::<Vec<_>>(),
    })
}

fn lack(lack: &Lack) -> Value {
    json!({ "what": lack.what, "advice": lack.advice })
}

fn tool(tool: &Found) -> Value {
    json!({
        "name": tool.name,
        "ok": tool.ok(),
        "needed": tool.needed,
        "path": tool.path,
        "version": tool.version,
        "backend": tool.backend.map(crate::doctor::tools::Backend::name),
        "package": tool.package,
        "problem": tool.problem,
        "advice": tool.advice().into_iter().collect::<Vec<_>>(),
    })
}

fn sandbox(sandbox: &SandboxFact) -> Value {
    let error = sandbox.error.as_ref();
    json!({
        "mode": match sandbox.mode { Mode::Root => "root", Mode::Rootless => "rootless" },
        "used": sandbox.used,
        "works": error.is_none(),
        "reason": error.map(ToString::to_string),
        "advice": error.map(|error| error.parts().hints.clone()).unwrap_or_default(),
    })
}

fn ability(ability: &Ability) -> Value {
    let (answer, reason, said, module) = match &ability.state {
        ability::State::Yes => ("yes", None, None, None),
        ability::State::Module(module) => ("module", None, None, Some(*module)),
        ability::State::NotLoaded(module) => ("not-loaded", None, None, Some(*module)),
        ability::State::No(reason, said) => ("no", Some(reason), said.as_ref(), None),
        ability::State::Unknown(why) => ("unknown", Some(why), None, None),
    };
    json!({
        "name": ability.name, "group": ability.group.name(), "needed": ability.needed,
        "answer": answer, "reason": reason, "said": said, "module": module,
    })
}

fn trap(trap: &Trap) -> Value {
    let (state, what, advice) = match &trap.state {
        traps::State::Clear => ("clear", None, None),
        traps::State::Note(what, advice) => ("note", Some(what), Some(advice)),
        traps::State::Set(what, advice) => ("set", Some(what), Some(advice)),
        traps::State::Unknown(why) => ("unknown", Some(why), None),
    };
    json!({ "code": trap.code, "title": trap.title, "state": state, "what": what, "advice": advice.cloned().unwrap_or_default() })
}
