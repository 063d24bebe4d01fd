//! The audit log: one JSON line per command that changed the machine, for whoever has to answer for it later.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::exec::Output;
use crate::op::{Command, Op, Undo};

/// An open audit log.
#[derive(Debug)]
pub struct Audit {
    file: File,
    path: PathBuf,
    user: String,
    sha256: String,
}

impl Audit {
    /// Opens the log for appending.
    ///
    /// # Errors
    ///
    /// When it cannot be written: then nothing is changed either.
    pub fn open(path: &Path, user: &str, sha256: &str) -> Result<Self> {
        let file = crate::files::append(path, crate::files::AUDIT).map_err(|error| {
            Error::new(Kind::InvalidArgument, format!("the audit log `{}` cannot be written: {error}", path.display()))
        })?;
        Ok(Self { file, path: path.to_path_buf(), user: user.to_owned(), sha256: sha256.to_owned() })
    }

    /// Writes down a command that ran.
    ///
    /// # Errors
    ///
    /// When the line cannot be written whole: a run that must be audited does not go on without.
    pub fn command(&self, run: &str, op: &Op, output: &Output) -> Result<()> {
        let undo = match &op.undo {
            Undo::Commands(commands) => json!(commands.iter().map(Command::words).collect::<Vec<_>>()),
            Undo::Rules { commands, chains } => json!({
                "commands": commands.iter().map(Command::words).collect::<Vec<_>>(),
                "put_back": chains,
            }),
            Undo::Nft(inverse) => json!({ "nft": inverse }),
            Undo::None(why) => json!({ "none": why }),
        };
        let line = json!({
            "schema": crate::text::SCHEMA,
            "time": humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string(),
            "run": run,
            "user": self.user,
            "script_sha256": self.sha256,
            "source": op.place.as_ref().and_then(|place| place.source.clone()),
            "line": op.place.as_ref().map(|place| place.line),
            "argv": op.command.words(),
            "status": output.ran.status,
            "took_ms": output.ran.took.as_secs_f64() * 1e3,
            "undo": undo,
        });
        (&self.file).write_all(format!("{line}\n").as_bytes()).map_err(|error| {
            Error::new(
                Kind::CommandFailed,
                format!("the audit log `{}` cannot be written: {error}", self.path.display()),
            )
        })
    }
}
