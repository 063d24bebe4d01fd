//! Texts of scripts: reading them, and keeping them for diagnostics.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::error::{Error, Kind, Place, Result};

/// The longest script that is read, in bytes. A network of a thousand namespaces written out by hand is a tenth of it.
const SCRIPT_MAX_BYTES: u64 = 4 << 20;

/// The texts by name. Cloning shares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Rc<RefCell<BTreeMap<String, String>>>);

impl Sources {
    pub(crate) fn add(&self, name: &str, text: &str) {
        self.0.borrow_mut().insert(name.to_owned(), text.to_owned());
    }
}

impl crate::report::diagnostic::Sources for Sources {
    fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.borrow().get(name).map(|text| Cow::Owned(text.clone()))
    }
}

/// Reads a script or module.
///
/// # Errors
///
/// `NotFound`, `PermissionDenied`; `InvalidArgument` for a folder, for what is too large, and for what is not UTF-8, with the line.
pub(crate) fn read(path: &Path) -> Result<String> {
    let name = path.display();
    let failed = |error: &io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::PermissionDenied => Kind::PermissionDenied,
            _ => Kind::CommandFailed,
        };
        Error::new(kind, format!("cannot read `{name}`: {}", plain(error)))
    };
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
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    io::Read::read_to_end(&mut io::Read::take(file, SCRIPT_MAX_BYTES + 1), &mut bytes)
        .map_err(|error| failed(&error))?;
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
