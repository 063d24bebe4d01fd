//! The hidden `netwright generate`: what packagers ship beside the program, made from the arguments themselves.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::fail;
use crate::error::{Error, Kind};
use crate::report::human;

/// `netwright generate`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright generate completions bash > /usr/share/bash-completion/completions/netwright
  netwright generate man /usr/share/man/man1")]
pub(super) struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder; it must be there
        folder: PathBuf,
    },
}

/// Runs `netwright generate`; the exit code.
pub(super) fn generate(arguments: &GenerateArgs, mut command: clap::Command) -> u8 {
    match &arguments.what {
        What::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(*shell, &mut command, "netwright", &mut out);
            human::print(&String::from_utf8_lossy(&out));
            0
        }
        What::Man { folder } => match man(command, folder) {
            Ok(count) => {
                human::line(&format!("wrote {count} man pages to {}", folder.display()));
                0
            }
            Err(error) => {
                fail(&Error::new(Kind::CommandFailed, format!("cannot write to `{}`: {error}", folder.display())))
            }
        },
    }
}

/// `netwright.1`, and `netwright-run.1` for each command.
fn man(command: clap::Command, folder: &Path) -> std::io::Result<usize> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut count = 0;
    let mut write = |name: String, command: clap::Command| -> std::io::Result<()> {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.name(name.clone())).render(&mut page)?;
        crate::files::replace(&folder.join(format!("{name}.1")), crate::files::SHARED, &page)?;
        count += 1;
        Ok(())
    };
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write(format!("netwright-{}", sub.get_name()), sub.clone())?;
    }
    write("netwright".to_owned(), command)?;
    Ok(count)
}
