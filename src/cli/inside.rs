//! `netwright exec`, `netwright shell`, and `--in NAME`: sandboxes that stay.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::{Command, UserFiles, fail, why};
use crate::error::{Error, Kind, Result};
use crate::exec::Exec;
use crate::exec::child::shell_of_user;
use crate::exec::interrupt::Interrupt;
use crate::op::Where;
use crate::report::human;
use crate::sandbox::stay::{self, Name};
use crate::sandbox::{self, Entered, Sandbox};
use crate::session::{Event, Mode, Session};

/// `netwright exec`
#[derive(Args, Debug)]
#[command(after_help = "\
The program sees the files that those of the script see, and writes to no
file of this machine. Its exit code is that of netwright.

Examples:
  netwright run --keep lab lab.rhai
  netwright exec lab web ss -ltn
  netwright exec lab host ip -brief address")]
pub(super) struct ExecArgs {
    /// A sandbox that stays
    #[arg(value_name = "NAME")]
    sandbox: String,
    /// A namespace in it, or `host`
    netns: String,
    /// The program and its words
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// `netwright shell`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  netwright shell lab web
  netwright shell lab")]
pub(super) struct ShellArgs {
    /// A sandbox that stays
    #[arg(value_name = "NAME")]
    sandbox: String,
    /// A namespace in it
    #[arg(default_value = "host")]
    netns: String,
}

impl Command {
    /// The sandbox that the command looks at instead of this machine.
    pub(super) fn inside(&self) -> Option<&str> {
        match self {
            Self::Show(arguments) => arguments.inside.as_deref(),
            Self::Why(arguments) => arguments.inside.as_deref(),
            Self::Doctor(arguments) => arguments.inside.as_deref(),
            Self::Exec(arguments) => Some(&arguments.sandbox),
            Self::Shell(arguments) => Some(&arguments.sandbox),
            _ => None,
        }
    }
}

/// Goes into a sandbox that stays, before this process has threads. `Err` is the exit code of a process that only waited, or could not.
pub(super) fn join(name: &str) -> std::result::Result<Sandbox, u8> {
    match Name::parse(name).and_then(|name| stay::join(&name)) {
        Ok(Entered::Inside(sandbox)) => Ok(sandbox),
        Ok(Entered::Ended(ended)) => Err(ended.code),
        Err(error) if error.kind() == Kind::InvalidArgument => {
            fail(&error);
            Err(2)
        }
        Err(error) => Err(fail(&error)),
    }
}

/// A session that only looks: at this machine, or at the sandbox that this process is in.
pub(super) fn looking(exec: Exec) -> Session {
    knowing(Session::new(exec, Mode::Host, Box::new(|_| {})))
}

/// The session of scripts in a sandbox that was there before.
pub(super) fn going_on(exec: Exec, events: Box<dyn Fn(&Event<'_>)>) -> Session {
    knowing(Session::new(exec, Mode::Sandbox, events))
}

/// The pretended internet is there in a sandbox only.
fn knowing(session: Session) -> Session {
    if Path::new(sandbox::INTERNET).exists() {
        session.add_hidden(Where::Path(sandbox::INTERNET.into()));
    }
    session
}

/// Lets the sandbox of a session stay, and this process with it, which listens and records for it; the exit code when it ends.
pub(super) fn remain(session: &Session, name: &Name, code: u8) -> u8 {
    human::line(&format!("stays as {name}: `netwright shell {name}`, `netwright down {name}` ends it"));
    let interrupt = session.exec().interrupt();
    // The time of the run is over, not that of the sandbox.
    interrupt.reset();
    if let Err(error) = stay::remain(code, session.exec().user_files().ok().flatten()) {
        session.stop_background();
        return fail(&error);
    }
    while !interrupt.is_set() {
        std::thread::sleep(NAP);
    }
    session.stop_background();
    code
}

/// How often what stays looks whether it is to end.
const NAP: Duration = Duration::from_millis(500);

/// Runs `netwright exec`, inside; the exit code.
pub(super) fn exec(arguments: &ExecArgs, sandbox: &Sandbox) -> u8 {
    let words: Vec<String> = arguments.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    within(&arguments.netns, sandbox, |exec, netns| match exec.become_program(netns, &words)? {})
}

/// Runs `netwright shell`, inside; the exit code.
pub(super) fn shell(arguments: &ShellArgs, sandbox: &Sandbox) -> u8 {
    human::line(&format!("a shell in {} of the sandbox {}; `exit` comes back", arguments.netns, arguments.sandbox));
    within(&arguments.netns, sandbox, |exec, netns| exec.run_interactive(netns, &[shell_of_user()]))
}

fn within(netns: &str, sandbox: &Sandbox, run: impl Fn(&Exec, &Where) -> Result<i32>) -> u8 {
    let work = || {
        let exec = UserFiles::of(sandbox, Vec::new()).given_to(Exec::new(super::tools(&[])?, Interrupt::default())?);
        let session = looking(exec);
        let netns = why::place(&session, netns)?;
        run(session.exec(), &why::there(&session, netns)?)
    };
    match work() {
        Ok(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Err(error) => fail(&error),
    }
}

/// What `run --keep` keeps: paths that programs may write to, and perhaps the sandbox itself, by its name. A path has a slash.
pub(super) fn kept(words: &[PathBuf]) -> Result<(Vec<PathBuf>, Option<Name>)> {
    let (mut paths, mut name) = (Vec::new(), None);
    for word in words {
        let text = word.to_string_lossy();
        if text.contains('/') || matches!(text.as_ref(), "." | "..") {
            paths.push(word.clone());
            continue;
        }
        let is_there = word.symlink_metadata().is_ok();
        let path = format!("a path has a slash: `--keep ./{text}` keeps what programs write there");
        let parsed = Name::parse(&text).map_err(|error| if is_there { error.hint(path.clone()) } else { error })?;
        if is_there {
            let message = format!("`--keep {text}`: a sandbox of that name, or what is written to `{text}` here?");
            return Err(Error::new(Kind::InvalidArgument, message).hint(path).hint("or give the sandbox another name"));
        }
        if name.replace(parsed).is_some() {
            return Err(Error::new(Kind::InvalidArgument, "a sandbox has one name").hint(path));
        }
    }
    Ok((paths, name))
}
