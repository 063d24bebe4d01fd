//! Texts of scripts: reading them, and keeping them for diagnostics.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use super::bundle::Carried;
use crate::error::{Error, Kind, Place, Result};
use crate::exec::interrupt::Interrupt;
use crate::model::suggest;

/// The longest script that is read, in bytes. A network of a thousand namespaces written out by hand is a tenth of it.
const SCRIPT_MAX_BYTES: u64 = 4 << 20;
/// How long a pipe may stay silent.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);

/// The texts by name. Cloning shares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    texts: Rc<RefCell<BTreeMap<String, String>>>,
    /// The modules that the script itself carries: then those, and no others.
    carried: Rc<RefCell<Option<Carried>>>,
}

impl Sources {
    pub(crate) fn add(&self, name: &str, text: &str) {
        self.texts.borrow_mut().insert(name.to_owned(), text.to_owned());
    }

    pub(super) fn carry(&self, carried: Option<Carried>) {
        *self.carried.borrow_mut() = carried;
    }

    /// Whether the script carries its modules.
    pub(super) fn carries(&self) -> bool {
        self.carried.borrow().is_some()
    }

    /// The module of this name that the script carries.
    pub(super) fn carried(&self, named: &str) -> Option<String> {
        self.carried.borrow().as_ref().and_then(|carried| carried.find(named).map(str::to_owned))
    }
}

impl crate::text::diagnostic::Sources for Sources {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.texts.borrow().get(name).map(|text| Cow::Owned(text.clone()))
    }
}

/// Reads a script or module.
///
/// # Errors
///
/// `NotFound`, `PermissionDenied`; `InvalidArgument` for a folder, for what is too large, and for what is not UTF-8, with the line.
pub(crate) fn read(path: &Path, interrupt: &Interrupt) -> Result<String> {
    let name = path.display();
    let failed = |error: &io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::PermissionDenied,
            _ => Kind::CommandFailed,
        };
        let error = Error::new(kind, format!("cannot read `{name}`: {}", plain(error)));
        match nearest_file(path).filter(|_| kind == Kind::NotFound) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    };
    if path.as_os_str().is_empty() {
        return Err(Error::new(Kind::InvalidArgument, "the name of the script is empty").hint("netwright run SCRIPT"));
    }
    let metadata = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if metadata.is_dir() {
        return Err(Error::new(Kind::InvalidArgument, format!("`{name}` is a folder, not a script")));
    }
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let too_large = |bytes: u64| {
        Error::new(Kind::InvalidArgument, format!("`{name}` is too large for a script: {:.1} MB", bytes as f64 / 1e6))
            .hint(format!("at most {} MiB are read", SCRIPT_MAX_BYTES >> 20))
    };
    if metadata.len() > SCRIPT_MAX_BYTES {
        return Err(too_large(metadata.len()));
    }
    // A pipe says nothing about its length, so what is read is bounded too.
    let bytes = read_bytes(path, SCRIPT_MAX_BYTES, interrupt).map_err(|error| match error {
        Unread::Failed(error) => failed(&error),
        Unread::Silent(waited) => Error::new(Kind::TimedOut, format!("nobody writes a script into `{name}`"))
            .hint(format!("waited {waited}; a script in a file needs no writer")),
        Unread::Interrupted(error) => error,
    })?;
    if bytes.len() as u64 > SCRIPT_MAX_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        Error::new(
            Kind::InvalidArgument,
            format!("`{name}` is not UTF-8: byte 0x{:02x} in line {line}", error.as_bytes()[at]),
        )
        .hint("a script is UTF-8 text")
        .at(Place { source: Some(name.to_string()), line, column })
    })
}

/// Why a file could not be read.
pub(crate) enum Unread {
    /// What the kernel says.
    Failed(io::Error),
    /// A pipe into which nobody wrote for so long.
    Silent(humantime::FormattedDuration),
    /// The run is to stop.
    Interrupted(Error),
}

/// Reads a file, pipe or device, at most one byte more than `max`.
///
/// # Errors
///
/// As [`Unread`] has it.
pub(crate) fn read_bytes(path: &Path, max: u64, interrupt: &Interrupt) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    if std::fs::metadata(path).map_err(Unread::Failed)?.is_file() {
        let file = std::fs::File::open(path).map_err(Unread::Failed)?;
        io::Read::read_to_end(&mut io::Read::take(file, max + 1), &mut bytes).map_err(Unread::Failed)?;
    } else {
        read_stream(path, max, &mut bytes, interrupt)?;
    }
    Ok(bytes)
}

/// A pipe into which nobody writes must not hold the run for ever.
fn read_stream(path: &Path, max: u64, bytes: &mut Vec<u8>, interrupt: &Interrupt) -> Result<(), Unread> {
    use std::io::{IsTerminal, Read};
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = std::fs::File::options().read(true).custom_flags(flags).open(path).map_err(Unread::Failed)?;
    let patience = if file.is_terminal() { Duration::MAX } else { crate::patience::scaled(STREAM_PATIENCE) };
    let mut heard = Instant::now();
    let mut buffer = [0; 16 << 10];
    while bytes.len() as u64 <= max {
        interrupt.check().map_err(Unread::Interrupted)?;
        if heard.elapsed() > patience {
            return Err(Unread::Silent(humantime::format_duration(patience)));
        }
        let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        // A pipe that nobody has opened yet reads as ended, but does not poll as such.
        if poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&tick)).is_ok_and(|ready| ready == 0) {
            continue;
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                heard = Instant::now();
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(Unread::Failed(error)),
        }
    }
    Ok(())
}

/// The script beside a missing one that was perhaps meant.
pub(crate) fn nearest_file(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let names: Vec<String> = std::fs::read_dir(folder.unwrap_or(Path::new(".")))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "rhai"))
        .collect();
    let near = suggest::nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(folder.map_or_else(|| near.to_owned(), |folder| folder.join(near).display().to_string()))
}

/// An I/O error without Rust's `(os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// The text as Rhai takes it: without a byte order mark, and with a `#!` line as a comment, so that the lines keep their numbers.
pub(crate) fn without_shebang(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.strip_prefix("#!") {
        // A third slash would make it a doc comment.
        Some(rest) => Cow::Owned(format!("// {}", rest.strip_prefix(['/', '!', ' ']).unwrap_or(rest))),
        None => Cow::Borrowed(text),
    }
}
