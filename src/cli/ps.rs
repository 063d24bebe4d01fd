//! `netwright ps`: the runs of this machine, which, when, by whom, how long, and what each made; and the sandboxes that stay.

use clap::Args;
use serde_json::json;

use super::runs::{fold, made};
use super::{fail, who};
use crate::error::{Error, Kind, Result};
use crate::report::human;
use crate::report::json as documents;
use crate::sandbox::stay::{self, Kept, Sandboxes};
use crate::session::journal::{self, End, Past};
use crate::text::SCHEMA;

/// `netwright ps`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright ps
  netwright ps --json | jq -r '.runs[].id'")]
pub(super) struct PsArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Lists the runs.
pub(super) fn ps(arguments: &PsArgs) -> u8 {
    if let Err(error) = journal::trusted() {
        return fail(&error);
    }
    let mut runs = Past::all();
    runs.retain(|(_, past)| !matches!(past, Err(error) if error.kind() == Kind::NotFound));
    let Sandboxes { kept, unread } = match stay::all() {
        Ok(sandboxes) => sandboxes,
        Err(error) => return fail(&error),
    };
    let (boot, now) = (journal::boot_id(), journal::boot_ms());
    if arguments.json {
        let sandbox = |kept: &Kept| json!({ "name": kept.name, "pid": kept.pid(), "script": kept.script, "started": kept.started });
        let lost = |(name, error): &(String, Error)| json!({ "name": name, "state": "unreadable", "message": error.to_string() });
        let document = |(id, past): &(String, Result<Past>)| match past {
            Ok(past) => {
                let times = Times::of(past, &boot, now);
                json!({
                    "id": id,
                    "state": past.state(),
                    "script": past.header.script,
                    "sha256": past.header.sha256,
                    "user": who::named(&past.header.user),
                    "pid": past.header.pid,
                    "started": past.header.started,
                    "age_ms": times.age,
                    "took_ms": times.took,
                    "confirm_ms": times.waits,
                    "commands": past.records.len(),
                    "made": made(&past.records),
                })
            }
            Err(error) => json!({ "id": id, "state": "unreadable", "message": error.to_string() }),
        };
        documents::print(&json!({
            "schema": SCHEMA,
            "runs": runs.iter().map(document).collect::<Vec<_>>(),
            "sandboxes": kept.iter().map(sandbox).chain(unread.iter().map(lost)).collect::<Vec<_>>(),
        }));
        return 0;
    }
    if runs.is_empty() && kept.is_empty() && unread.is_empty() {
        human::line("no runs on this machine");
    }
    for kept in &kept {
        human::text(&format!("{}  sandbox {}  since {}\n", kept.name, kept.script, kept.started));
    }
    for (name, error) in &unread {
        human::text(&format!("{name}  unreadable: {error}\n"));
    }
    for (id, past) in &runs {
        match past {
            Ok(past) => {
                let (header, user) = (&past.header, who::named(&past.header.user));
                human::text(&format!("{id}  {:<5} {}  by {user}\n", past.state(), header.script));
                let times = Times::of(past, &boot, now);
                human::text(&format!("    {}\n", times.words(&header.started, past.state())));
                for line in fold(&made(&past.records)) {
                    human::text(&format!("    {line}\n"));
                }
            }
            Err(error) => human::text(&format!("{id}  unreadable: {error}\n")),
        }
    }
    0
}

/// Of a run, in milliseconds; `None` is what nobody knows, or what does not apply.
#[derive(Debug, Default, PartialEq, Eq)]
struct Times {
    /// How long ago it began.
    age: Option<u64>,
    /// How long it took, when it has ended by itself.
    took: Option<u64>,
    /// How long it still waits to be confirmed.
    waits: Option<u64>,
}

impl Times {
    /// By the clock that nobody can set, at the moment `now` of the boot.
    fn of(past: &Past, boot: &str, now: u64) -> Self {
        // Of another boot this clock says nothing; an earlier version wrote no time of it down.
        let began = Some(past.header.began_ms).filter(|began| *began > 0 && past.header.boot == boot);
        let waits = match past.end {
            Some(End::Trial(until)) if past.state() == "trial" => Some(until.saturating_sub(now)),
            _ => None,
        };
        Self {
            age: began.and_then(|began| now.checked_sub(began)),
            took: past.ended_ms.zip(began).and_then(|(ended, began)| ended.checked_sub(began)),
            waits,
        }
    }

    /// `began 3 min 5 s ago (2026-11-29T20:56:41Z), took 120 ms`
    fn words(&self, started: &str, state: &str) -> String {
        let began = match self.age {
            Some(age) => format!("began {} ago ({started})", lasting(age)),
            None => format!("began {started}"),
        };
        let took = self.took.map(|took| format!("took {}", lasting(took)));
        let now = match (state, self.waits) {
            ("live", _) => Some("still going on".to_owned()),
            (_, Some(0)) => Some("was not confirmed in time".to_owned()),
            (_, Some(waits)) => Some(format!("undone in {} unless confirmed", lasting(waits))),
            _ => None,
        };
        std::iter::once(began).chain(took).chain(now).collect::<Vec<_>>().join(", ")
    }
}

/// A time in its two largest units: `120 ms`, `4.2 s`, `3 min 5 s`, `2 d 7 h`.
fn lasting(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    if ms < 1000 {
        return format!("{ms} ms");
    }
    if ms < 60_000 {
        return format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    }
    let mut rest = ms / 1000;
    let mut words = Vec::new();
    for (size, unit) in UNITS.into_iter().skip_while(|(size, _)| *size > ms / 1000).take(2) {
        if rest / size > 0 {
            words.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        let said = [0, 120, 999, 1000, 4250, 59_999, 60_000, 185_000, 7_200_000, 7_325_000, 90_061_000, 864_000_000];
        let words = ["0 ms", "120 ms", "999 ms", "1.0 s", "4.2 s", "59.9 s"].into_iter();
        let words = words.chain(["1 min", "3 min 5 s", "2 h", "2 h 2 min", "1 d 1 h", "10 d"]);
        assert_eq!(said.map(lasting).to_vec(), words.collect::<Vec<_>>());
    }

    #[test]
    fn when_and_how_long_is_said_as_far_as_it_is_known() {
        let times = Times { age: Some(185_000), took: Some(120), waits: None };
        assert_eq!(times.words("T", "kept"), "began 3 min 5 s ago (T), took 120 ms");
        assert_eq!(Times { took: None, ..times }.words("T", "live"), "began 3 min 5 s ago (T), still going on");
        let trial = Times { age: Some(2000), took: Some(1500), waits: Some(58_000) };
        assert_eq!(trial.words("T", "trial"), "began 2.0 s ago (T), took 1.5 s, undone in 58.0 s unless confirmed");
        assert_eq!(Times::default().words("T", "dead"), "began T");
    }
}
