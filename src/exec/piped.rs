//! A program that is kept open and told lines: what the kernel gives it goes when it ends, and it ends with us, however we end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::background::Background;
use super::entry::Entry;
use super::netns::NetnsFile;
use super::process::start_error;
use crate::error::Result;

/// A program that reads lines from us until we are gone: the other end of its input is a pipe that only we hold.
#[derive(Debug)]
pub struct Piped {
    background: Background,
    stdin: Option<File>,
}

impl Piped {
    pub(super) fn start(
        path: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        netns: &NetnsFile,
        line: String,
    ) -> Result<Self> {
        let (reader, writer) = io::pipe().map_err(|error| start_error(path, &error))?;
        let background = Background::start_with(path, argv, env, Entry::of(Some(netns)), line, (reader.into(), None))?;
        Ok(Self { background, stdin: Some(File::from(std::os::fd::OwnedFd::from(writer))) })
    }

    /// Tells it a line.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(format!("{line}\n").as_bytes()))
    }

    /// What it printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.background.output()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn running(&self) -> bool {
        self.background.running()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // The end of its input ends it; what does not end by that is ended.
        self.stdin = None;
        if !self.background.ends_within(crate::patience::scaled(std::time::Duration::from_secs(1))) {
            self.background.stop();
        }
    }
}
