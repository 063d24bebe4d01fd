//! `netwright completions` and `netwright man`: made from the arguments themselves, so that they say what the program takes.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::Shell;

use super::fail;
use crate::error::{Error, Kind};
use crate::report::human;

/// `netwright completions`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright completions bash > ~/.bash_completion
  netwright completions zsh > ~/.zfunc/_netwright
  netwright completions fish > ~/.config/fish/completions/netwright.fish")]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// `netwright man`
#[derive(Args, Debug)]
#[command(after_help = "\
Without a folder the page of netwright itself is printed; each command has
one of its own.

Examples:
  netwright man | man -l -
  sudo netwright man /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Write all pages into this folder, which must be there
    folder: Option<PathBuf>,
}

/// Runs `netwright completions`; the exit code.
pub(super) fn completions(arguments: &CompletionsArgs, mut command: clap::Command) -> u8 {
    let mut out = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "netwright", &mut out);
    human::print(&String::from_utf8_lossy(&out));
    0
}

/// Runs `netwright man`; the exit code.
pub(super) fn man(arguments: &ManArgs, command: clap::Command) -> u8 {
    let pages = match pages(command) {
        Ok(pages) => pages,
        Err(error) => return fail(&Error::new(Kind::Internal, format!("cannot make a man page: {error}"))),
    };
    let Some(folder) = &arguments.folder else {
        let own = pages.iter().filter(|(name, _)| name == "netwright");
        own.for_each(|(_, page)| human::print(&String::from_utf8_lossy(page)));
        return 0;
    };
    match write(&pages, folder) {
        Ok(()) => {
            human::line(&format!("wrote {} man pages to {}", pages.len(), folder.display()));
            0
        }
        Err(error) => {
            fail(&Error::new(Kind::CommandFailed, format!("cannot write to `{}`: {error}", folder.display())))
        }
    }
}

/// `netwright`, and `netwright-run` for each command, with their pages.
fn pages(command: clap::Command) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let subs = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let mut all: Vec<(String, clap::Command)> =
        subs.map(|sub| (format!("netwright-{}", sub.get_name()), sub.clone())).collect();
    all.push(("netwright".to_owned(), command));
    all.into_iter()
        .map(|(name, command)| {
            let mut page = Vec::new();
            clap_mangen::Man::new(command.name(name.clone())).render(&mut page)?;
            Ok((name, page))
        })
        .collect()
}

fn write(pages: &[(String, Vec<u8>)], folder: &Path) -> std::io::Result<()> {
    let write = |(name, page): &(String, Vec<u8>)| {
        crate::files::replace(&folder.join(format!("{name}.1")), crate::files::SHARED, page)
    };
    pages.iter().try_for_each(write)
}
