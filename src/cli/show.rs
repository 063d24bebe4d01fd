//! `netwright show`: the live network of this machine as a picture. Read only.

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::fail;
use crate::draw::Topology;
use crate::error::{Kind, Result};
use crate::exec::Exec;
use crate::exec::interrupt::Interrupt;
use crate::exec::tools::Tools;
use crate::report::{human, json};
use crate::session::{Mode, Session};

/// How often `--watch` looks.
const PERIOD: Duration = Duration::from_millis(500);
/// Moves the cursor home and clears the screen, and what scrolled off it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// `netwright show`
#[derive(Args, Debug)]
#[command(after_help = "\
Reads and changes nothing. Without root only this namespace can be read: sudo shows them all.

Examples:
  sudo netwright show
  sudo netwright show --format svg > network.svg
  sudo netwright show --format mermaid           for a README or a pull request
  sudo netwright show --watch                    redraw whenever something changes")]
pub(super) struct ShowArgs {
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Draw again whenever something changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// Graphviz
    Dot,
    /// For markdown
    Mermaid,
    /// A picture that follows the reader's light or dark scheme
    Svg,
    /// Everything, for programs
    Json,
}

/// Runs `netwright show`; the exit code.
pub(super) fn show(arguments: &ShowArgs) -> u8 {
    let format = if arguments.json { Format::Json } else { arguments.format };
    let session = match Tools::new(&[]).and_then(|tools| Exec::new(tools, Interrupt::default())) {
        // A session that is only asked: no verb of it is called.
        Ok(exec) => Session::new(exec, Mode::Host, Box::new(|_| {})),
        Err(error) => return fail(&error),
    };
    let mut last = None;
    loop {
        let topology = match read(&session) {
            Ok(topology) => topology,
            Err(error) => return fail(&error),
        };
        if last.as_ref() != Some(&topology) {
            draw(&topology, format, arguments.watch);
            last = Some(topology);
        }
        if !arguments.watch {
            return 0;
        }
        std::thread::sleep(PERIOD);
    }
}

fn read(session: &Session) -> Result<Topology> {
    Topology::read(session).map_err(|error| match error.kind() {
        Kind::PermissionDenied => error.hint("sudo netwright show"),
        _ => error,
    })
}

fn draw(topology: &Topology, format: Format, watch: bool) {
    let terminal = std::io::stdout().is_terminal();
    if watch && terminal {
        human::print(CLEAR);
    }
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match format {
        Format::Text => human::print(&format!("{}\n", topology.draw_text(colour))),
        Format::Dot => human::print(&topology.dot()),
        Format::Mermaid => human::print(&topology.mermaid()),
        Format::Svg => human::print(&topology.svg()),
        Format::Json => json::print(&topology.document()),
    }
}
