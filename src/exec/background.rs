//! Processes that go on while the script does: `ns.start("…")`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use super::netns::NetnsFile;
use super::process::{OUTPUT_MAX_BYTES, Started, start, start_error};
use crate::error::{Error, Kind, Result};

/// How long a process has between TERM and KILL.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// A running program of the user's. Its output goes to an unnamed file, so it never blocks on a full pipe.
pub struct Background {
    started: Started,
    output: File,
    line: String,
}

impl Background {
    pub(super) fn start(
        path: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        netns: Option<&NetnsFile>,
        line: String,
    ) -> Result<Self> {
        let fail = |error: &io::Error| start_error(path, error);
        let output = tempfile::tempfile().map_err(|error| {
            Error::new(Kind::CommandFailed, format!("cannot make a temporary file for the output: {error}"))
        })?;
        let clone = || output.try_clone().map_err(|error| fail(&error));
        let null = File::open("/dev/null").map_err(|error| fail(&error))?;
        let files = [null.into(), clone()?.into(), clone()?.into()];
        let started = start(path, argv, env, netns, files).map_err(|error| fail(&error))?;
        Ok(Self { started, output, line })
    }

    /// The command as a person would type it.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.started.pid.as_raw_nonzero().get()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        matches!(self.started.handle.try_wait(), Ok(None))
    }

    /// Its exit status: `None` while it runs, 128 + n when signal n ended it.
    #[must_use]
    pub fn status(&self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let output = self.started.handle.try_wait().ok()??;
        output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal))
    }

    /// What it printed so far, standard output and error together, at most the last [`OUTPUT_MAX_BYTES`].
    #[must_use]
    pub fn output(&self) -> String {
        let read = || -> io::Result<String> {
            let file = &self.output;
            let length = file.metadata()?.len();
            let from = length.saturating_sub(OUTPUT_MAX_BYTES as u64);
            let mut bytes = Vec::new();
            let mut reader = PositionedReader { file, at: from };
            reader.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// Ends it and everything in its process group: TERM, then KILL. Returns whether it is gone.
    pub fn stop(&self) -> bool {
        let group = |signal| {
            let _ = kill_process_group(self.started.pid, signal);
        };
        if self.running() {
            group(Signal::TERM);
            let deadline = Instant::now() + TERM_GRACE;
            let _ = self.started.handle.wait_deadline(deadline);
        }
        // The group may outlive its leader; its id stays taken while anyone is in it.
        group(Signal::KILL);
        matches!(self.started.handle.wait_timeout(TERM_GRACE), Ok(Some(_)))
    }
}

/// Reads at its own position: the file's is shared with the process that writes there.
struct PositionedReader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl std::fmt::Debug for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Background").field("line", &self.line).field("pid", &self.pid()).finish_non_exhaustive()
    }
}
