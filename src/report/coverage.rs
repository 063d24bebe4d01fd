//! What `netwright test --coverage` found: which rules, routes and services no packet of any test touched.

use std::fmt::Write as _;

use super::github;
use super::human;
use super::mutation::percent;
use super::place;
use crate::testing::results::Results;
use crate::text::cell;

/// Prints it for a person; whether enough was touched.
#[must_use]
pub(crate) fn print(results: &Results, fail_under: Option<f64>) -> bool {
    for (file, one) in results.covered().filter(|(_, one)| one.touched != Some(true)) {
        let place = place(file, one.source.as_deref(), one.line);
        human::line(&match &one.reason {
            None => format!("not touched  {place}: {}", one.what),
            Some(reason) => format!("not known    {place}: {}: {reason}", one.what),
        });
    }
    human::line(&verdict(results));
    let enough = fail_under.is_none_or(|least| results.coverage().is_none_or(|share| share >= least));
    if let (false, Some(least)) = (enough, fail_under) {
        human::line(&format!("{least} % was asked for"));
    }
    enough
}

fn verdict(results: &Results) -> String {
    let count = |touched| results.covered().filter(|(_, one)| one.touched == touched).count();
    let (yes, no, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let unknown = if unknown == 0 { String::new() } else { format!(", of {unknown} nobody can tell") };
    match results.coverage() {
        None => format!("no rule, route or service was made{unknown}"),
        Some(share) => {
            let share = percent(share);
            format!("packets touched {yes} of {} rules, routes and services: {share}{unknown}", yes + no)
        }
    }
}

/// A section for the Markdown report; empty without `--coverage`.
#[must_use]
pub(crate) fn markdown(results: &Results) -> String {
    if results.covered().next().is_none() {
        return String::new();
    }
    let mut out = format!("\n### What packets touched\n\n{}\n", cell(&verdict(results)));
    let left: Vec<_> = results.covered().filter(|(_, one)| one.touched != Some(true)).collect();
    if !left.is_empty() {
        out.push_str("\n| | made by | what |\n|---|---|---|\n");
    }
    for (file, one) in left {
        let mark =
            one.reason.as_deref().map_or_else(|| "not touched".into(), |why| format!("not known: {}", cell(why)));
        let _ =
            writeln!(out, "| {mark} | {} | {} |", cell(&place(file, one.source.as_deref(), one.line)), cell(&one.what));
    }
    out
}

/// A warning at the script line of each thing that was not touched, at most ten.
#[must_use]
pub(crate) fn annotations(results: &Results) -> String {
    let all: Vec<_> = results
        .covered()
        .filter(|(_, one)| one.touched == Some(false))
        .map(|(file, one)| (one.source.as_deref().unwrap_or(file), one.line, format!("no packet touched {}", one.what)))
        .collect();
    github::warnings("--coverage", &all, "more were not touched")
}
