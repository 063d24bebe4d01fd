//! `netwright snapshot` and `netwright diff`: a machine's network as a document, and what is otherwise in another one.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{copy, fail, parse_tool};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::files;
use crate::report::{human, json as documents};
use crate::snapshot::{self, Difference};
use crate::text::SCHEMA;

/// `netwright snapshot`
#[derive(Args, Debug)]
#[command(after_help = "\
Changes nothing. Without root the firewall is not seen, and the file says so.
Secret keys are never in it; --redact also replaces public addresses, MACs, public
keys and the machine's name.

Examples:
  sudo netwright snapshot -o before.json
  sudo netwright snapshot --redact -o report.json    for a bug report
  netwright run --on before.json runbook.rhai        rehearse on the copy")]
pub(super) struct SnapshotArgs {
    /// Write it to this file, else to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace public addresses, MACs, public keys and the machine's name
    #[arg(long)]
    redact: bool,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
}

/// `netwright diff`
#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 alike, 1 not, 2 usage, 3 no snapshot
Counters, learned neighbours and lifetimes are not compared.

Examples:
  sudo netwright diff before.json this
  netwright diff monday.json tuesday.json --json")]
pub(super) struct DiffArgs {
    /// A snapshot, or `this` for this machine as it is now
    first: OsString,
    /// Another one
    second: OsString,
    /// Print the differences as JSON
    #[arg(long)]
    json: bool,
}

fn exec(tools: &[(String, PathBuf)]) -> Result<Exec> {
    super::run::raise_open_files();
    Exec::new(super::tools(tools)?, Interrupt::default())
}

/// Runs `netwright snapshot`; the exit code.
pub(super) fn snapshot(arguments: &SnapshotArgs) -> u8 {
    let work = || -> Result<()> {
        let mut taken = snapshot::read(&exec(&arguments.tools)?, &[], snapshot::Extent::Whole)?;
        if arguments.redact {
            taken = snapshot::redact(&taken)?;
        }
        let text = taken.to_text()?;
        let Some(path) = &arguments.output else {
            human::print(&text);
            return Ok(());
        };
        files::replace(path, files::PRIVATE, text.as_bytes())
            .map_err(|error| Error::new(Kind::CommandFailed, format!("cannot write `{}`: {error}", path.display())))?;
        for netns in taken.namespaces.iter().filter(|netns| !netns.unread.is_empty()) {
            for why in &netns.unread {
                human::line(&format!("{}: not in the snapshot: {why}", netns.name));
            }
        }
        let links: usize = taken.namespaces.iter().map(|netns| netns.links.len()).sum();
        human::line(&format!("{}: {} namespaces, {links} links", path.display(), taken.namespaces.len()));
        Ok(())
    };
    work().map_or_else(|error| fail(&error), |()| 0)
}

/// Runs `netwright diff`; the exit code.
pub(super) fn diff(arguments: &DiffArgs) -> u8 {
    let work = || -> Result<u8> {
        let [first, second] = [&arguments.first, &arguments.second].map(|word| copy::machine(word, || exec(&[])));
        let (first, second) = (first?, second?);
        let differences = snapshot::diff(&first, &second);
        let unread: Vec<String> = [&first, &second]
            .into_iter()
            .flat_map(|one| &one.namespaces)
            .flat_map(|netns| netns.unread.iter().map(|why| format!("{}: {why}", netns.name)))
            .collect();
        if arguments.json {
            documents::print(&json!({ "schema": SCHEMA, "differences": differences, "unread": unread }));
        } else {
            human::text(&lines(&differences));
        }
        for line in &unread {
            human::line(&format!("not compared: {line}"));
        }
        Ok(if !differences.is_empty() {
            1
        } else if unread.is_empty() {
            0
        } else {
            human::line("no difference was found in what could be read");
            4
        })
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// The differences, each namespace under its name.
pub(super) fn lines(differences: &[Difference]) -> String {
    let mut out = String::new();
    let mut last = None;
    for one in differences {
        if last != Some(&one.netns) {
            out.push_str(&one.netns);
            out.push('\n');
            last = Some(&one.netns);
        }
        let _ = writeln!(out, "  {one}");
    }
    out
}
