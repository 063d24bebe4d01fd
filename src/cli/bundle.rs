//! `netwright bundle`: a script and its modules as one file.

use std::path::{Path, PathBuf};

use clap::Args;

use super::fail;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::report::human;
use crate::script::bundle::{Bundle, std_moved};
use crate::text::plural;

/// `netwright bundle`
#[derive(Args, Debug)]
#[command(after_help = "\
run, plan, check, test, repl and emit take the file like any script.
Exit codes of --check: 0 nothing has moved on, 1 something has

Examples:
  netwright bundle scripts/05-runbook.rhai -o runbook.bundle.rhai
  netwright bundle --check runbook.bundle.rhai
  netwright bundle --update runbook.bundle.rhai")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct BundleArgs {
    /// A script; with --check, --update, --list a bundle
    script: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["check", "update", "list"])]
    output: Option<PathBuf>,
    /// Say whether the script, its modules or std have moved on
    #[arg(long, conflicts_with_all = ["output", "update", "list"])]
    check: bool,
    /// Take over what has moved on, and show the difference
    #[arg(long, conflicts_with_all = ["output", "list"])]
    update: bool,
    /// List what is in it
    #[arg(long, conflicts_with = "output")]
    list: bool,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// Runs `netwright bundle`; the exit code.
pub(super) fn bundle(arguments: &BundleArgs) -> u8 {
    let path = arguments.script.as_path();
    let work = || -> Result<u8> {
        if let Some(output) = &arguments.output {
            let bundle = Bundle::of(path)?;
            if output.exists() && !arguments.force {
                return Err(Error::new(Kind::AlreadyExists, format!("`{}` is there already", output.display()))
                    .hint("take another name, or `--force`"));
            }
            write(output, &bundle)?;
            human::line(&format!("{}: the script and {}", output.display(), plural(bundle.modules.len(), "module")));
            return Ok(0);
        }
        let bundle = read(path)?;
        if arguments.list {
            human::print(&format!("{}  {} (netwright {})\n", bundle.script.sha256, bundle.origin, bundle.netwright));
            for (name, part) in &bundle.modules {
                human::print(&format!("{}  {name}\n", part.sha256));
            }
            return Ok(0);
        }
        let now = match Bundle::of(Path::new(&bundle.origin)) {
            Ok(now) => now,
            Err(error) if arguments.check && error.kind() == Kind::NotFound => return Ok(without_origin(&bundle)),
            Err(error) => return Err(error.hint(format!("it was made of `{}`, seen from this folder", bundle.origin))),
        };
        let differences = bundle.differences(&now);
        for (name, how) in &differences {
            human::text(&format!("{name} {how}\n"));
            if arguments.update {
                let (old, new) = bundle.texts(&now, name);
                human::text(&changed_lines(old, new));
            }
        }
        if differences.is_empty() {
            human::line("nothing has moved on");
        } else if arguments.update {
            write(path, &now)?;
        }
        Ok(u8::from(arguments.check && !differences.is_empty()))
    };
    work().unwrap_or_else(|error| fail(&error))
}

/// Where the script is not at hand, only netwright's own modules can have moved on.
fn without_origin(bundle: &Bundle) -> u8 {
    let moved = std_moved(bundle);
    for name in &moved {
        human::text(&format!("{name} has changed\n"));
    }
    human::line(&format!("`{}` is not here: only the modules of netwright were compared", bundle.origin));
    u8::from(!moved.is_empty())
}

fn read(path: &Path) -> Result<Bundle> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::new(Kind::NotFound, format!("cannot read `{shown}`: {error}")))?;
    Bundle::parse(&shown.to_string(), &text)?.ok_or_else(|| {
        Error::new(Kind::InvalidArgument, format!("`{shown}` is no bundle"))
            .hint("`netwright bundle -o FILE SCRIPT` makes one")
    })
}

fn write(path: &Path, bundle: &Bundle) -> Result<()> {
    files::replace(path, files::SHARED, bundle.to_text().as_bytes())
        .map_err(|error| Error::new(Kind::CommandFailed, format!("cannot write `{}`: {error}", path.display())))
}

/// The lines between what both begin with and what both end with.
fn changed_lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old, new) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let lines = |sign: &str, lines: &[&str]| -> String {
        lines.iter().take(lines.len() - tail).flat_map(|line| ["  ", sign, line, "\n"].map(str::to_owned)).collect()
    };
    format!("{}{}", lines("-", old), lines("+", new))
}
