//! `netwright check`: mistakes in scripts, found without running them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::report::{github, human, json};
use crate::script::check::{Checked, Finding};

/// The exit code when there is something to mend.
const FOUND: u8 = 3;

/// `netwright check`
#[derive(Args, Debug)]
#[command(after_help = "\
Runs nothing and needs no root. Exit code 3 when there are findings.

Examples:
  netwright check lab.rhai
  netwright check scripts/*.rhai --format github    for a pull request
  netwright check --json lab.rhai | jq '.findings[].message'")]
pub(super) struct CheckArgs {
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Scripts; what they import from beside them is checked too
    #[arg(required = true, value_name = "SCRIPT")]
    scripts: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Github,
}

/// Runs `netwright check`; the exit code.
pub(super) fn check(arguments: &CheckArgs) -> u8 {
    let mut checked = Checked::default();
    for script in &arguments.scripts {
        checked.check(script);
    }
    match if arguments.json { Format::Json } else { arguments.format } {
        Format::Human => {
            for finding in &checked.findings {
                human::error(&finding.error, checked.sources());
            }
            if !checked.findings.is_empty() {
                let count = checked.findings.len();
                human::line(&format!("{count} {}", if count == 1 { "mistake" } else { "mistakes" }));
            }
        }
        Format::Json => {
            let findings: Vec<Value> = checked.findings.iter().map(document).collect();
            json::print(&json!({ "schema": crate::text::SCHEMA, "findings": findings }));
        }
        Format::Github => checked.findings.iter().for_each(annotate),
    }
    if checked.findings.is_empty() { 0 } else { FOUND }
}

fn document(finding: &Finding) -> Value {
    let mut document = json::error(&finding.error);
    document["rule"] = finding.rule.into();
    document
}

/// An annotation beside the line.
fn annotate(finding: &Finding) {
    let parts = finding.error.parts();
    let place = parts.place.as_ref();
    let file = place.and_then(|place| place.source.clone()).unwrap_or_default();
    let at = place.map_or((1, 1), |place| (place.line, place.column));
    let text: Vec<&str> =
        std::iter::once(parts.message.as_str()).chain(parts.hints.iter().map(String::as_str)).collect();
    github::print_annotation(&file, at, &format!("netwright {}", finding.rule), &text.join("\n"));
}
