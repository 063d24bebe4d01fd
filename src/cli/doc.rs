//! `netwright doc`: what scripts can call.

use clap::{Args, ValueEnum};

use super::fail;
use crate::error::Result;
use crate::report::{human, json};
use crate::script::reference::{Reference, definitions};
use crate::script::reference_text as reference;

/// `netwright doc`
#[derive(Args, Debug)]
#[command(after_help = "\
In a script, help() and help(\"link.addr\") print the same.

Examples:
  netwright doc tour                                begin here
  netwright doc language                            Rhai in two pages
  netwright doc nat                                 what speaks of it
  netwright doc
  netwright doc link.addr
  netwright doc std/container
  netwright doc --format d.rhai > netwright.d.rhai  definitions for editors")]
pub(super) struct DocArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    #[arg(help = "link.addr, addr, link, std/container, container::network, tour, language, any word")]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
    // Definitions for editors, of all that is always there or of a module.
    #[value(name = "d.rhai")]
    Definitions,
}

/// Runs `netwright doc`; the exit code.
pub(super) fn doc(arguments: &DocArgs) -> u8 {
    match print(arguments) {
        Ok(()) => 0,
        Err(error) => fail(&error),
    }
}

fn print(arguments: &DocArgs) -> Result<()> {
    let name = arguments.name.as_deref();
    if let Format::Definitions = arguments.format {
        human::print(&definitions(name)?);
        return Ok(());
    }
    let all = Reference::new();
    let page = all.find(name)?;
    match arguments.format {
        Format::Text => human::print(&reference::text(&page)),
        Format::Markdown => human::print(&reference::markdown(&page)),
        Format::Json | Format::Definitions => json::print(&reference::document(&page)),
    }
    Ok(())
}
