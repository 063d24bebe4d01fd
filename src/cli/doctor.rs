//! `netwright doctor`: whether this machine has what netwright needs, and what on it will surprise.

use std::path::PathBuf;

use clap::Args;

use super::inside::looking;
use super::{fail, parse_tool};
use crate::doctor;
use crate::error::Result;
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::report::doctor::{self as show, Marks};
use crate::report::{finding as picture, human, json};
use crate::why::survey::survey;

/// `netwright doctor`
#[derive(Args, Debug)]
#[command(after_help = "\
Changes nothing: features of the kernel are tried out in a sandbox, modules are
not loaded. Without root some traps cannot be read: they are marked as unknown.
Exit codes: 0 netwright can work here, 4 something that it needs is missing;
with --network: 0 nothing found, 1 something found

Examples:
  netwright doctor
  sudo netwright doctor --network
  sudo netwright doctor --json | jq .missing")]
pub(crate) struct DoctorArgs {
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// In a sandbox that stays: run --keep NAME
    #[arg(long = "in", value_name = "NAME")]
    pub(super) inside: Option<String>,
    /// Look for what kills packets silently, in all namespaces
    #[arg(long)]
    network: bool,
    /// Use another program: ip=/opt/iproute2/ip
    #[arg(long = "tool", value_name = "NAME=PATH", value_parser = parse_tool)]
    tools: Vec<(String, PathBuf)>,
}

pub(super) fn doctor(arguments: &DoctorArgs) -> u8 {
    if arguments.network {
        return network(arguments).unwrap_or_else(|error| fail(&error).max(4));
    }
    let report = match doctor::examine(&arguments.tools) {
        Ok(report) => report,
        Err(error) => {
            let code = fail(&error);
            return if error.kind() == crate::Kind::InvalidArgument { 2 } else { code };
        }
    };
    let code = if report.lacks().is_empty() { 0 } else { 4 };
    if arguments.json {
        json::print(&show::document(&report, code));
    } else {
        human::print(&show::human(&report, Marks::of_locale()));
    }
    code
}

fn network(arguments: &DoctorArgs) -> Result<u8> {
    let exec = Exec::new(super::tools(&arguments.tools)?, Interrupt::default())?;
    let session = looking(exec);
    let found = survey(&session)?;
    if arguments.json {
        json::print(&found.json());
    } else {
        human::print(&picture::survey(&found, picture::Style::of_stdout()));
    }
    Ok(u8::from(!found.findings.is_empty()))
}

/// When this process is the child that tries features: does so, and gives the exit code.
pub(super) fn child() -> Option<u8> {
    let (document, code) = doctor::ability::child()?;
    if let Some(document) = document {
        json::print(&document);
    }
    Some(code)
}
