//! `netwright down`, `gc`, `confirm`: what becomes of the runs of this machine.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::{fail, require_root};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::netns::NetnsStamp;
use crate::exec::whereabouts;
use crate::files::{self, State};
use crate::op::{Object, Undo, Where};
use crate::patience::scaled;
use crate::report::human;
use crate::sandbox::stay::{self, Name};
use crate::session::journal::{self, End, Journal, Past, RUNS, UNDO_NOW};
use crate::session::log::Log;
use crate::session::scan::{self, Orphan};
use crate::session::undo::{Undoing, Undone};
use crate::session::{Record, claim};

/// `netwright down`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo netwright down 261120-214224-4711
  sudo netwright down runbook.rhai
  netwright down lab                  a sandbox that stays: run --keep lab
  sudo netwright down --forget 261120-214224-4711")]
pub(super) struct DownArgs {
    /// A run or a sandbox that `netwright ps` names, or the script of kept runs
    run: String,
    /// Let go of what cannot be undone: name it, leave it, and forget the run
    #[arg(long)]
    forget: bool,
    /// Say what came of it to journald, to syslog, or append it to a file
    #[arg(long, value_name = "TO")]
    log: Option<OsString>,
}

/// `netwright gc`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo netwright gc --dry-run
  sudo netwright gc --scan")]
pub(super) struct GcArgs {
    /// Only say what would be undone
    #[arg(long)]
    dry_run: bool,
    /// Remove also what carries netwright's mark and belongs to no run
    #[arg(long)]
    scan: bool,
    /// Say what came of it to journald, to syslog, or append it to a file
    #[arg(long, value_name = "TO")]
    log: Option<OsString>,
}

/// `netwright confirm`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo netwright run --host --try 60s runbook.rhai
  sudo netwright confirm")]
pub(super) struct ConfirmArgs {
    /// The run; the only one that waits, when left out
    run: Option<String>,
}

/// `netwright __watch`
#[derive(Args, Debug)]
pub(super) struct WatchArgs {
    run: String,
}

/// What stands for a thing that a run made, in a list.
pub(super) fn made(records: &[Record]) -> Vec<String> {
    let name = |record: &Record| {
        if matches!(record.op.undo, Undo::None(_)) || record.ok == Some(false) || record.is_undone() {
            return None;
        }
        Some(match &record.op.changes() {
            Object::Netns { name } => format!("netns {name}"),
            Object::Link { netns: Where::Host, name, .. } => format!("link {name}"),
            Object::Sysctl { name } => format!("sysctl {name}"),
            Object::NfRule { chain } => format!("rule in {chain}"),
            Object::NfChain { chain } => format!("chain {chain}"),
            Object::NfPolicy { chain } => format!("policy of {chain}"),
            Object::Nft { what } => format!("nft {what}"),
            Object::Route { dst } if record.op.command.netns == Where::Host => format!("route {dst}"),
            _ => return None,
        })
    };
    records.iter().filter_map(name).collect()
}

/// Names in lines of at most 100 columns.
pub(super) fn fold(names: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() < 98 => {
                line.push_str(", ");
                line.push_str(name);
            }
            _ => lines.push(name.clone()),
        }
    }
    lines
}

fn executor() -> Result<Exec> {
    Exec::new(super::tools(&[])?, Interrupt::default())
}

/// Undoes one run. `None`: somebody acts for it.
fn undo(id: &str) -> Result<Option<Undone>> {
    let mut journal = match Journal::reopen(id) {
        Ok(Some(journal)) => journal,
        Ok(None) => return Ok(None),
        // Somebody else undid it just now.
        Err(_) if !Path::new(RUNS).join(id).exists() => return Ok(None),
        Err(error) => return Err(error),
    };
    // Read under the lock: nobody writes any more.
    let past = Past::read(id)?;
    if past.header.boot != journal::boot_id() {
        // The kernel state that it speaks of is gone with the boot.
        journal.remove();
        return Ok(Some(Undone::default()));
    }
    let exec = executor()?;
    let mut gone = false;
    let mut undoing =
        Undoing::new(&exec, &past.records, Some(&mut journal), id).knowing(past.before.clone(), past.owes.clone());
    if is_elsewhere(&past, &exec)? {
        match whereabouts::way_into(&past.header.netns) {
            Some(way) => {
                let message = format!("the run `{id}` acted in another network namespace");
                return Err(Error::new(Kind::InvalidArgument, message).hint(format!("`{way} netwright down {id}`")));
            }
            None => {
                gone = true;
                undoing = undoing.without_host();
            }
        }
    }
    let mut undone = undoing.all();
    if gone {
        undone.notes.push("its network namespace is gone, and what was in it".into());
    } else {
        undone.unknown.clone_from(&past.ran);
    }
    if undone.left.is_empty() {
        journal.remove();
    } else {
        let _ = journal.end(End::Left);
    }
    Ok(Some(undone))
}

/// Whether a run acted in another network namespace than this one.
fn is_elsewhere(past: &Past, exec: &Exec) -> Result<bool> {
    Ok(past.header.netns.same(&exec.netns_stamp(&Where::Host)?) == Some(false))
}

/// Says to the terminal what becomes of runs, and to a log for those who are not there.
struct Teller(Option<Log>);

impl Teller {
    /// A teller with the log of `--log`, which must open before anything is done.
    fn open(to: Option<&OsString>) -> Result<Self> {
        to.map(|to| Log::open(to, &super::who::caller())).transpose().map(Self)
    }

    /// Says something of a run; the exit code. What is undone is undone, logged or not.
    fn of(&self, id: &str, what: &str) -> u8 {
        human::line(&format!("{id}: {what}"));
        self.log(id, what)
    }

    fn log(&self, id: &str, what: &str) -> u8 {
        self.0.as_ref().map_or(Ok(()), |log| log.line(id, what)).map_or_else(|error| fail(&error), |()| 0)
    }

    /// Says what came of undoing a run; the exit code.
    fn undone(&self, id: &str, undone: &Undone) -> u8 {
        let mut code = self.of(id, &format!("undone {}", undone.summary()));
        let foreign = undone.foreign.iter().map(|foreign| format!("left alone: {foreign}"));
        let notes = undone.notes.iter().map(|note| format!("note: {note}"));
        let left = undone.left.iter().map(|(line, why)| format!("left: {line} ({why})"));
        for line in foreign.chain(notes).chain(left) {
            human::line(&format!("  {line}"));
            code = code.max(self.log(id, &line));
        }
        if undone.left.is_empty() { code } else { 5 }
    }
}

/// Undoes a run, or all kept runs of a script, the newest first.
pub(super) fn down(arguments: &DownArgs) -> u8 {
    let work = || -> Result<u8> {
        let teller = Teller::open(arguments.log.as_ref())?;
        if let Ok(name) = Name::parse(&arguments.run) {
            match stay::find(&name) {
                Ok(kept) => {
                    kept.end()?;
                    return Ok(teller.of(&name.to_string(), "gone, with all that was in it"));
                }
                // Root's word may be the script of a run.
                Err(error) if error.kind() == Kind::NotFound && rustix::process::geteuid().is_root() => {}
                Err(error) => return Err(error),
            }
        }
        require_root("down")?;
        journal::trusted()?;
        let ids = wanted(&arguments.run)?;
        let mut code = 0;
        for id in ids.iter().rev() {
            let undone = match undo(id) {
                // A tool of a run or an undo that was killed ends by itself; another undo may be at work.
                Ok(None) if !is_trial(id) => match Past::read(id).ok().and_then(|past| outlive(id, past)) {
                    Some(_) => undo(id),
                    None => Ok(None),
                },
                other => other,
            };
            match undone {
                Ok(Some(undone)) if arguments.forget && !undone.left.is_empty() => {
                    teller.undone(id, &undone);
                    forget(id, true, &teller)?;
                }
                Ok(Some(undone)) => code = code.max(teller.undone(id, &undone)),
                Ok(None) if is_trial(id) => code = code.max(end_trial(id, &teller)?),
                Ok(None) if !Path::new(RUNS).join(id).exists() => {
                    human::line(&format!("{id}: somebody else undid it just now"));
                }
                Ok(None) => {
                    return Err(Error::new(Kind::Busy, format!("the run `{id}` is still going on"))
                        .hint("interrupt it (Ctrl-C): it then undoes itself"));
                }
                Err(error) if arguments.forget => {
                    fail(&error);
                    forget(id, false, &teller)?;
                }
                Err(error) => return Err(error),
            }
        }
        claim::sweep();
        Ok(code)
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// Forgets a run: names what is not undone, unless that was `told`, and removes its journal. Nobody may act for it.
fn forget(id: &str, told: bool, teller: &Teller) -> Result<()> {
    let Some(journal) = Journal::reopen_or_empty(id)? else {
        return Err(Error::new(Kind::Busy, format!("the run `{id}` is still going on")));
    };
    match Past::read(id) {
        Ok(past) => {
            let stays: Vec<String> = past
                .records
                .iter()
                .filter(|record| !record.is_undone() && record.ok != Some(false))
                .map(|record| record.op.command.line())
                .collect();
            teller.of(id, &format!("forgotten; {} commands are not undone and stay so", stays.len()));
            for line in stays.iter().filter(|_| !told) {
                human::line(&format!("  stays: {line}"));
                teller.log(id, &format!("stays: {line}"));
            }
        }
        Err(_) => drop(teller.of(id, "forgotten; its journal cannot be read, so nobody knows what stays")),
    }
    journal.remove();
    Ok(())
}

/// Whether a run waits to be confirmed.
fn is_trial(id: &str) -> bool {
    Past::read(id).is_ok_and(|past| matches!(past.end, Some(End::Trial(_))))
}

/// Tells the watcher of a trial to undo it now, and waits for that. It does so itself: should this call be cut off, the run is undone all the same.
fn end_trial(id: &str, teller: &Teller) -> Result<u8> {
    let path = Path::new(RUNS).join(id).join(UNDO_NOW);
    files::state(&path, State::OpenOrMake)
        .map_err(|error| Error::new(Kind::CommandFailed, format!("`{}` cannot be written: {error}", path.display())))?;
    let deadline = Instant::now() + scaled(TRIAL_UNDO_MAX);
    while Instant::now() < deadline {
        match Past::read(id) {
            Err(error) if error.kind() == Kind::NotFound => {
                return Ok(teller.of(id, "undone, nothing left behind"));
            }
            // What it could not undo is tried again here, and named. Killed, it has let go of the run.
            Ok(past) if !past.live => {
                if let Some(undone) = undo(id)? {
                    return Ok(teller.undone(id, &undone));
                }
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Error::new(Kind::Busy, format!("the watcher of `{id}` does not answer")))
}

/// How long the watcher of a trial may take to undo it.
const TRIAL_UNDO_MAX: Duration = Duration::from_secs(120);

/// The runs that a word means: one by its name, or those of a script.
fn wanted(word: &str) -> Result<Vec<String>> {
    let all = Past::all();
    if all.iter().any(|(id, _)| id == word) {
        return Ok(vec![word.to_owned()]);
    }
    let script = Path::new(word).canonicalize().ok().map(|path| path.display().to_string());
    let of_script = |past: &Past| script.as_deref() == Some(past.header.script.as_str());
    let ids: Vec<String> =
        all.iter().filter(|(_, past)| past.as_ref().is_ok_and(of_script)).map(|(id, _)| id.clone()).collect();
    if !ids.is_empty() {
        return Ok(ids);
    }
    let mut error = Error::new(Kind::NotFound, format!("there is no run `{word}`, and no kept run of such a script"));
    if let Some(near) = crate::model::suggest::nearest(word, all.iter().map(|(id, _)| id.as_str())) {
        error = error.hint(format!("did you mean `{near}`?"));
    }
    Err(error.hint("`netwright ps` lists the runs of this machine"))
}

/// Undoes dead runs; with `--scan`, also what no journal knows.
pub(super) fn gc(arguments: &GcArgs) -> u8 {
    let work = || -> Result<u8> {
        require_root("gc")?;
        journal::trusted()?;
        let teller = Teller::open(arguments.log.as_ref())?;
        let mut code = 0;
        let mut nothing = true;
        let here = executor()?.netns_stamp(&Where::Host)?;
        for (id, past) in Past::all() {
            let past = match past {
                Ok(past) => past,
                Err(error) => {
                    code = code.max(unreadable(&id, &error, arguments.dry_run));
                    continue;
                }
            };
            let past = match outlive(&id, past) {
                Some(past) if is_dead(&past, here) => past,
                Some(past) if past.is_orphaned() && past.header.netns.same(&here) != Some(false) => {
                    nothing = false;
                    code = 5;
                    human::line(&format!(
                        "{id}: its process is gone, but a tool that it started still runs (process {}): end it, then `netwright gc` again",
                        journal::holders(&id).join(", ")
                    ));
                    continue;
                }
                Some(past) if is_lost(&past, here) => {
                    nothing = false;
                    human::line(&elsewhere(&id, &past));
                    continue;
                }
                _ => continue,
            };
            nothing = false;
            if arguments.dry_run {
                human::line(&format!("{id} is {}: {}", past.state(), past.header.script));
                for line in fold(&made(&past.records)) {
                    human::line(&format!("    {line}"));
                }
                continue;
            }
            match undo(&id) {
                Ok(Some(undone)) => code = code.max(teller.undone(&id, &undone)),
                Ok(None) => {}
                Err(error) => code = code.max(fail(&error)),
            }
        }
        if arguments.scan {
            nothing &= !scan_all(arguments.dry_run, &mut code, &teller)?;
        }
        if !arguments.dry_run {
            claim::sweep();
        }
        if nothing {
            human::line("nothing to clean up");
        }
        Ok(code)
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// Waits for the tools that a dead run has left acting: they hold its lock, and end within the deadline of a command. `None`: it is gone.
fn outlive(id: &str, mut past: Past) -> Option<Past> {
    let deadline = Instant::now() + scaled(Duration::from_secs(3)) + crate::exec::process::deadline();
    while past.is_orphaned() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
        past = Past::read(id).ok()?;
    }
    Some(past)
}

/// A dead run of this network namespace; those of others (a namespace that played the machine) are not ours to judge, unless that or their boot is
/// over.
fn is_dead(past: &Past, here: NetnsStamp) -> bool {
    matches!(past.state(), "dead" | "left" | "undone")
        && (past.header.netns.same(&here) != Some(false)
            || past.header.boot != journal::boot_id()
            || whereabouts::way_into(&past.header.netns).is_none())
}

/// A dead run of another network namespace that lives.
fn is_lost(past: &Past, here: NetnsStamp) -> bool {
    matches!(past.state(), "dead" | "left" | "undone") && past.header.netns.same(&here) == Some(false)
}

/// What is to be done about a dead run of another network namespace.
fn elsewhere(id: &str, past: &Past) -> String {
    let way = whereabouts::way_into(&past.header.netns).unwrap_or_else(|| "nsenter --net=FILE".into());
    format!("{id} is {} and acted in another network namespace: `{way} netwright gc` undoes it", past.state())
}

/// A run without a journal that can be read: it is gone just now, or was killed before its first line was whole, and then nothing was done; or
/// damaged, and then a person must look.
fn unreadable(id: &str, error: &Error, dry_run: bool) -> u8 {
    if error.kind() != Kind::NotFound {
        let path = Path::new(RUNS).join(id).join("journal");
        human::line(&format!("{id}: {error}; look at `{}` and remove it when all is well", path.display()));
        return 5;
    }
    // Who has the lock of a run that begins right now keeps it; with the lock, an empty journal stays so.
    if !dry_run
        && let Ok(Some(journal)) = Journal::reopen_or_empty(id)
        && journal.is_empty()
    {
        journal.remove();
    }
    0
}

/// Finds and removes what belongs to no run. Returns whether there was anything.
fn scan_all(dry_run: bool, code: &mut u8, teller: &Teller) -> Result<bool> {
    let exec = executor()?;
    let here = exec.netns_stamp(&Where::Host)?;
    let mut known = scan::Known::default();
    for (id, past) in Past::all() {
        known.add(id, past.ok().map(|past| past.header.netns), &here);
    }
    known.add_elsewhere(&here);
    let scan::Found { orphans, mut unread } = scan::orphans(&exec, &known)?;
    let blind = !orphans.is_empty() && runs_unseen(scan::pid_namespace(), here.cookie);
    if blind {
        unread.push("the runs outside of this container, which has the machine's network: ask there".into());
    }
    for orphan in &orphans {
        if dry_run || blind {
            human::line(&format!(
                "{orphan} belongs to no run{}",
                if blind { " that can be seen from here" } else { "" }
            ));
            continue;
        }
        match orphan.remove(&exec) {
            Ok(()) => {
                human::line(&format!("removed {orphan}"));
                *code = (*code).max(teller.log("gc", &format!("removed {orphan}")));
            }
            Err(error) => {
                human::line(&format!("left: {orphan} ({error})"));
                teller.log("gc", &format!("left: {orphan} ({error})"));
                *code = (*code).max(5);
            }
        }
    }
    for what in &unread {
        human::line(&format!("not looked at: {what}"));
        *code = (*code).max(5);
    }
    Ok(!orphans.is_empty() || !unread.is_empty())
}

/// The PID namespace that the machine starts with (`PROC_PID_INIT_INO` of `linux/proc_ns.h`).
const FIRST_PIDS: u64 = 0xefff_fffc;
/// How high the cookie of the machine's own network namespace may be: cookies are counted from the start of the machine, and it is among the first.
const FIRST_COOKIES: u64 = 16;

/// Whether runs may act on this network that cannot be seen: by processes of other numbers, on the machine's own network.
fn runs_unseen(pids: Option<u64>, network: Option<u64>) -> bool {
    pids.is_some_and(|pids| pids != FIRST_PIDS) && network.is_some_and(|cookie| cookie <= FIRST_COOKIES)
}

impl std::fmt::Display for Orphan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Netns(name) => write!(f, "netns {name}"),
            Self::Link(netns, name) => write!(f, "link {name} in {netns}"),
            Self::Rule(_, command) => f.write_str(&command.line()),
            Self::Broken(path) => write!(f, "{} (no namespace behind it)", path.display()),
        }
    }
}

/// Keeps a run that waits.
pub(super) fn confirm(arguments: &ConfirmArgs) -> u8 {
    let work = || -> Result<u8> {
        require_root("confirm")?;
        journal::trusted()?;
        let waiting: Vec<String> = Past::all()
            .into_iter()
            .filter(|(_, past)| past.as_ref().is_ok_and(|past| matches!(past.end, Some(End::Trial(_)))))
            .map(|(id, _)| id)
            .collect();
        let id = match (&arguments.run, &waiting[..]) {
            (Some(run), _) if waiting.contains(run) => run.clone(),
            (Some(run), _) => {
                return Err(Error::new(Kind::NotFound, format!("the run `{run}` does not wait to be confirmed"))
                    .hint("it was confirmed or undone already, or is still going on: `netwright ps`"));
            }
            (None, [only]) => only.clone(),
            (None, []) => return Err(Error::new(Kind::NotFound, "no run waits to be confirmed")),
            (None, _) => {
                return Err(Error::new(Kind::InvalidArgument, format!("several runs wait: {}", waiting.join(", ")))
                    .hint("say which: `netwright confirm RUN`"));
            }
        };
        let path = Path::new(RUNS).join(&id).join("confirmed");
        files::state(&path, State::OpenOrMake).map_err(|error| {
            Error::new(Kind::CommandFailed, format!("`{}` cannot be written: {error}", path.display()))
        })?;
        // The watcher answers by writing the end; when it is gone, this process does.
        let deadline = Instant::now() + scaled(Duration::from_secs(3));
        while Instant::now() < deadline {
            if Past::read(&id)?.end == Some(End::Kept) {
                human::line(&format!("kept: `netwright down {id}` undoes it"));
                return Ok(0);
            }
            if let Some(mut journal) = Journal::reopen(&id)? {
                journal.end(End::Kept)?;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Error::new(Kind::Busy, format!("the watcher of `{id}` does not answer")))
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// Waits for the run to end and then for `confirm`; undoes the run without it. It holds the run's lock from the run's end on, so nobody else acts for it.
pub(super) fn watch(arguments: &WatchArgs) -> u8 {
    let id = &arguments.run;
    if !journal::is_id(id) || std::env::var_os(super::run::WATCHES).is_none_or(|watched| watched != id.as_str()) {
        return fail(
            &Error::new(Kind::InvalidArgument, "`__watch` is started by `run --host --try` and by nobody else")
                .hint("`netwright ps` lists the runs of this machine"),
        );
    }
    if let Err(error) = require_root("__watch").and_then(|()| journal::trusted()) {
        return fail(&error);
    }
    let mut journal = loop {
        match Journal::reopen(id) {
            Ok(Some(journal)) => break journal,
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            // The run failed, undid itself and removed its journal.
            Err(_) => return 0,
        }
    };
    let confirmed = Path::new(RUNS).join(id).join("confirmed");
    let until_ms = match Past::read(id).map(|past| past.end) {
        Ok(Some(End::Trial(until_ms))) => until_ms,
        // Confirmed before this process had the lock, or ended otherwise.
        Ok(Some(_)) => return 0,
        // Killed: what it did goes now.
        Ok(None) | Err(_) => 0,
    };
    let now = Path::new(RUNS).join(id).join(UNDO_NOW);
    while journal::boot_ms() < until_ms && !now.exists() {
        if confirmed.exists() {
            let _ = journal.end(End::Kept);
            let _ = std::fs::remove_file(&confirmed);
            return 0;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(journal);
    match undo(id) {
        Ok(Some(undone)) if undone.left.is_empty() => 0,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_the_machines_network_does_not_see_its_runs() {
        assert!(runs_unseen(Some(4_026_532_200), Some(3)));
        assert!(!runs_unseen(Some(FIRST_PIDS), Some(3)), "the machine itself");
        assert!(!runs_unseen(Some(4_026_532_200), Some(4_711)), "a network of its own");
        assert!(!runs_unseen(None, Some(3)) && !runs_unseen(Some(4_026_532_200), None));
    }
}
