//! The log of a run on the machine, for whoever reads the machine's logs: one line per change, to journald, to syslog or to a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::exec::Output;
use crate::op::Op;
use crate::patience::scaled;
use crate::text::diagnostic::escape;

/// Where journald takes fields, one a line.
const JOURNALD: &str = "/run/systemd/journal/socket";
/// Where syslog daemons, and journald in their place, take lines.
const SYSLOG: &str = "/dev/log";
/// How long a daemon may take for a line.
const TAKES_MAX: Duration = Duration::from_secs(2);
/// As many letters of a line are written; daemons cut what is much longer.
const LETTERS_MAX: usize = 2000;
/// The numbers of syslog(3): messages of users' programs, and how much a line matters.
const USER: u8 = 1;
const INFO: u8 = 6;
const WARNING: u8 = 4;

/// An open log.
#[derive(Debug)]
pub struct Log {
    sink: Sink,
    user: String,
}

#[derive(Debug)]
enum Sink {
    Journald(UnixDatagram),
    Syslog(UnixDatagram),
    File(File, PathBuf),
}

impl Log {
    /// Opens `journald`, `syslog`, or a file for appending; a file of such a name is `./syslog`.
    ///
    /// # Errors
    ///
    /// `Unsupported` when nobody listens there, `InvalidArgument` for a file that cannot be written: then nothing is changed either.
    pub fn open(to: &OsStr, user: &str) -> Result<Self> {
        let socket = |name: &str, path: &str| {
            connect(Path::new(path)).map_err(|error| {
                Error::new(Kind::Unsupported, format!("{name} does not listen at `{path}`: {error}"))
                    .hint("`--log FILE` needs no daemon")
            })
        };
        let sink = match to.to_str() {
            Some("journald") => Sink::Journald(socket("journald", JOURNALD)?),
            Some("syslog") => Sink::Syslog(socket("syslog", SYSLOG)?),
            _ => {
                let path = PathBuf::from(to);
                let file = crate::files::append(&path, crate::files::AUDIT).map_err(|error| {
                    let message = format!("the log `{}` cannot be written: {error}", path.display());
                    Error::new(Kind::InvalidArgument, message)
                })?;
                Sink::File(file, path)
            }
        };
        Ok(Self { sink, user: escape(user) })
    }

    /// Writes down a command that ran.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn command(&self, run: &str, op: &Op, output: &Output) -> Result<()> {
        let place = op.place.as_ref().filter(|place| place.line > 0);
        let place = place.map(|place| match &place.source {
            Some(source) => format!("{source}:{}: ", place.line),
            None => format!("line {}: ", place.line),
        });
        let did = format!("{}{}", place.unwrap_or_default(), op.command.line());
        if output.ok {
            return self.write(INFO, run, &did);
        }
        let ended = output.ran.status.map_or_else(|| "did not end".to_owned(), |status| format!("exit {status}"));
        self.write(WARNING, run, &format!("failed ({ended}): {did}"))
    }

    /// Writes down how the run goes.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn line(&self, run: &str, what: &str) -> Result<()> {
        self.write(INFO, run, what)
    }

    fn write(&self, level: u8, run: &str, what: &str) -> Result<()> {
        let (pid, user) = (std::process::id(), &self.user);
        let mut text = escape(&format!("{run}: {what}"));
        if let Some((at, _)) = text.char_indices().nth(LETTERS_MAX) {
            text.truncate(at);
            text.push('…');
        }
        let (name, written) = match &self.sink {
            Sink::Journald(socket) => {
                let fields = format!(
                    "MESSAGE={text}\nPRIORITY={level}\nSYSLOG_FACILITY={USER}\nSYSLOG_IDENTIFIER=netwright\nSYSLOG_PID={pid}\n\
                     NETWRIGHT_RUN={run}\nNETWRIGHT_USER={user}\n"
                );
                ("journald".to_owned(), socket.send(fields.as_bytes()).map(drop))
            }
            // Without a time: each daemon puts its own in front.
            Sink::Syslog(socket) => {
                let line = format!("<{}>netwright[{pid}]: {text}", USER * 8 + level);
                ("syslog".to_owned(), socket.send(line.as_bytes()).map(drop))
            }
            Sink::File(file, path) => {
                let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
                let line = format!("{now} netwright[{pid}]: {text}\n");
                let mut file: &File = file;
                (format!("`{}`", path.display()), file.write_all(line.as_bytes()))
            }
        };
        written
            .map_err(|error| Error::new(Kind::CommandFailed, format!("the log cannot be written to {name}: {error}")))
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // A daemon that hangs must not hang a run that has the machine half changed.
    socket.set_write_timeout(Some(scaled(TAKES_MAX)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon() -> (tempfile::TempDir, UnixDatagram, UnixDatagram) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let socket = connect(&path).unwrap();
        (folder, daemon, socket)
    }

    fn heard(daemon: &UnixDatagram) -> String {
        let mut bytes = [0; 16_384];
        let count = daemon.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn each_daemon_hears_one_line_in_its_own_form() {
        let pid = std::process::id();
        let (_folder, daemon, socket) = daemon();
        let user = escape("anna\nPRIORITY=0");
        let log = Log { sink: Sink::Journald(socket.try_clone().unwrap()), user };
        log.line("1-2", "kept\nMESSAGE=another").unwrap();
        let fields = heard(&daemon);
        assert_eq!(fields.lines().filter(|line| line.starts_with("MESSAGE=")).count(), 1, "{fields}");
        assert!(fields.starts_with("MESSAGE=1-2: kept\\nMESSAGE=another\nPRIORITY=6\n"), "{fields}");
        assert!(fields.ends_with("NETWRIGHT_RUN=1-2\nNETWRIGHT_USER=anna\\nPRIORITY=0\n"), "{fields}");

        let log = Log { sink: Sink::Syslog(socket), user: String::new() };
        log.write(WARNING, "1-2", "failed").unwrap();
        assert_eq!(heard(&daemon), format!("<12>netwright[{pid}]: 1-2: failed"));
        log.line("1-2", &"ä".repeat(5000)).unwrap();
        assert_eq!(heard(&daemon).chars().filter(|c| *c == 'ä').count(), LETTERS_MAX - "1-2: ".len());
        drop(daemon);
        assert_eq!(log.line("1-2", "x").unwrap_err().kind(), Kind::CommandFailed);
    }
}
