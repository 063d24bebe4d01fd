//! `netwright emit`: a script as plain shell, out of one rehearsal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::run::{Finished, Manner, exit_code, show_errors, start};
use super::{Common, copy, fail};
use crate::emit::{Origin, Scripts, emit as made};
use crate::error::{Error, Kind, Result};
use crate::files::Folder;
use crate::op::{Command, Where};
use crate::patience::scaled;
use crate::probe::Target;
use crate::report::human::{self, Human};
use crate::session::Mode;
use crate::verify::{self, Aim, Outcome};

/// `netwright emit`
#[derive(Args, Debug)]
#[command(after_help = "\
up.sh -n prints, up.sh does only what is needed, verify.sh says TAP, down.sh
takes back what up.sh did. POSIX sh; the tools are those of the commands.

Examples:
  netwright emit -o out scripts/05-runbook.rhai --pods 3
  netwright emit --strict -o out lab.rhai
  sudo netwright emit --on this -o out runbook.rhai")]
pub(super) struct EmitArgs {
    /// The folder for the three scripts
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// For that machine, as it is: FILE, or `this`
    #[arg(long, value_name = "SNAPSHOT")]
    on: Option<OsString>,
    /// What has no plain command is an error
    #[arg(long)]
    strict: bool,
    /// Write over scripts that are there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// How long a target may take to answer that the script reached before it changed something else.
const REACHES: Duration = Duration::from_secs(1);

/// The names of the files.
const UP: &str = "up.sh";
const VERIFY: &str = "verify.sh";
const DOWN: &str = "down.sh";

/// Runs `netwright emit`; the exit code.
pub(super) fn emit(arguments: &EmitArgs) -> u8 {
    // Below the current folder, whatever the sandbox makes of it.
    let folder = std::path::absolute(&arguments.output).unwrap_or_else(|_| arguments.output.clone());
    if !arguments.force
        && let Some(there) = [UP, VERIFY, DOWN].into_iter().map(|name| folder.join(name)).find(|path| path.exists())
    {
        let error = Error::new(Kind::AlreadyExists, format!("`{}` is there already", there.display()));
        return fail(&error.hint("take another folder, or `--force`"));
    }
    let out = match super::written_below_run(&folder, EXECUTABLE) {
        Ok(out) => out,
        Err(error) => return fail(&cannot(&folder, &error)),
    };
    let strict = arguments.strict;
    let script = arguments.common.split().0.first().cloned().unwrap_or_default();
    let origin = origin(&script);
    let copy = arguments.on.as_ref().map(copy::Source::of);
    let rehearses = copy.is_some();
    let manner = Manner { in_order: true, copy, rehearses, writes: out, ..Manner::new(Mode::Sandbox) };
    start(&arguments.common, manner, Human::quiet(false), move |finished| {
        let code = exit_code(finished);
        if code != 0 {
            show_errors(finished);
            human::line("nothing was written: the rehearsal failed");
            return code;
        }
        let reaches = |from: &Where, target: &Target| {
            let found = finished
                .session
                .reach(from, &Aim::Target(target.clone()), &verify::Manner::default(), scaled(REACHES))
                .ok()?;
            (!found.is_not_known()).then_some(found.outcome == Outcome::Reached)
        };
        let scripts = made(&finished.session, &origin, &|source, line| line_of(finished, source, line), &reaches);
        if !rehearses && finished.session.log().iter().any(|record| names_uplink(&record.op.command)) {
            human::line(
                "the uplink is called `eth0` in these scripts, as in the rehearsal: `--on this` takes the machine's own",
            );
        }
        for line in &scripts.missing {
            human::line(&format!("not in plain shell: {line}"));
        }
        for line in &scripts.with_keys {
            human::line(&format!("{line}: its key stands in {UP} as it is; only its owner may read the scripts"));
        }
        if strict && !scripts.missing.is_empty() {
            let error = Error::new(Kind::Unsupported, "nothing was written: not all of it has a plain command");
            return fail(&error.hint("without `--strict` such lines are comments"));
        }
        match write(&folder, &scripts) {
            Ok(()) => {
                human::line(&format!("{}: {UP}, {VERIFY}, {DOWN}", folder.display()));
                0
            }
            Err(error) => fail(&error),
        }
    })
}

/// Whether a command of the host speaks of the link that is the sandbox's uplink.
fn names_uplink(command: &Command) -> bool {
    command.netns == Where::Host
        && command.argv.iter().any(|word| word == "eth0")
        && !command.argv.iter().any(|word| word == "peer")
}

fn line_of(finished: &Finished, source: &str, line: usize) -> Option<String> {
    let text = finished.outcome.sources().text(source)?;
    text.lines().nth(line.checked_sub(1)?).map(str::to_owned)
}

fn origin(script: &Path) -> Origin {
    let name = script.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    Origin {
        script: script.display().to_string(),
        sha256: super::run::hash(script),
        name: format!("x{}", name.chars().map(plain).collect::<String>()).split_off(usize::from(!name.is_empty())),
    }
}

/// The mode of a script that others may run, and of one that holds keys.
const EXECUTABLE: u32 = 0o777;
const WITH_KEYS: u32 = 0o700;

fn cannot(folder: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::CommandFailed, format!("cannot write to `{}`: {error}", folder.display()))
}

fn write(folder: &Path, scripts: &Scripts) -> Result<()> {
    let cannot = |error| cannot(folder, &error);
    let mode = if scripts.with_keys.is_empty() { EXECUTABLE } else { WITH_KEYS };
    let opened = Folder::make(folder, EXECUTABLE).map_err(cannot)?;
    for (name, text) in [(UP, &scripts.up), (VERIFY, &scripts.verify), (DOWN, &scripts.down)] {
        opened.replace(name.as_ref(), mode, text.as_bytes()).map_err(cannot)?;
    }
    Ok(())
}
