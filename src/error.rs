//! The one error type. It is data: a kind, what happened, what ran, and hints; `text::diagnostic` renders it.
//!
//! Nothing here prints, and nothing here knows Rhai: `script::error` turns an [`Error`] into the map that a script catches.

use std::fmt;
use std::time::Duration;

/// What sort of thing went wrong. Scripts see it as `e.error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value that can never be valid: a name, an address, an option, a type.
    InvalidArgument,
    /// The thing that was named does not exist.
    NotFound,
    /// Something of that name exists and is something else.
    AlreadyExists,
    /// The kernel or a tool refused for want of privilege.
    PermissionDenied,
    /// The kernel or a tool does not have the feature.
    Unsupported,
    /// The thing is in use, or held by another run.
    Busy,
    /// A deadline passed.
    TimedOut,
    /// A program is not installed.
    ToolMissing,
    /// A program printed something that cannot be read.
    ToolOutput,
    /// A program failed in a way that no other kind describes.
    CommandFailed,
    /// An expectation did not hold.
    CheckFailed,
    /// A signal asked the run to end.
    Interrupted,
    /// A bug in netwright.
    Internal,
}

impl Kind {
    /// The name that scripts compare with, for example `NotFound`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::PermissionDenied => "PermissionDenied",
            Self::Unsupported => "Unsupported",
            Self::Busy => "Busy",
            Self::TimedOut => "TimedOut",
            Self::ToolMissing => "ToolMissing",
            Self::ToolOutput => "ToolOutput",
            Self::CommandFailed => "CommandFailed",
            Self::CheckFailed => "CheckFailed",
            Self::Interrupted => "Interrupted",
            Self::Internal => "Internal",
        }
    }

    /// The inverse of [`Kind::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::InvalidArgument,
            Self::NotFound,
            Self::AlreadyExists,
            Self::PermissionDenied,
            Self::Unsupported,
            Self::Busy,
            Self::TimedOut,
            Self::ToolMissing,
            Self::ToolOutput,
            Self::CommandFailed,
            Self::CheckFailed,
            Self::Interrupted,
            Self::Internal,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }

    /// The exit code of a run that ends with this error (README, "Commands").
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::CheckFailed => 1,
            Self::PermissionDenied | Self::Unsupported | Self::ToolMissing => 4,
            Self::TimedOut => 6,
            Self::Busy => 7,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::InvalidArgument | Self::NotFound | Self::AlreadyExists | Self::ToolOutput | Self::CommandFailed => 3,
        }
    }
}

/// A command that ran, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// The command as a person would type it on the machine, for example `ip -n red link set dev veth9 up`.
    pub command: String,
    /// The exit status; `None` when it did not end by itself.
    pub status: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// A position in a script: 1-based line and column, as Rhai counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The script or module file; `None` for text that has no file.
    pub source: Option<String>,
    /// 1-based line; 0 when unknown.
    pub line: usize,
    /// 1-based column; 0 when unknown.
    pub column: usize,
}

/// One step of the way from the script's top level to the place of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The function that the call stands in; `None` at the top level of a file, empty for a closure.
    pub within: Option<String>,
    /// It is an `import` and not a call.
    pub import: bool,
    /// Where the call stands.
    pub place: Place,
}

/// Any failure of netwright, as data.
///
/// The message is one lowercase sentence without a final period, names in backticks. It never contains hints: those are separate.
#[derive(Clone, Debug)]
pub struct Error(Box<Parts>);

/// The parts of an [`Error`].
#[derive(Clone, Debug)]
pub struct Parts {
    /// What sort of error it is.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// What stands beside the carets under the source line, for example ``links in `red`: lo, veth0``.
    pub label: Option<String>,
    /// Ways out, most helpful first.
    pub hints: Vec<String>,
    /// Further facts, each a name and a text: rendered as `= name: text`.
    pub notes: Vec<(String, String)>,
    /// The command that failed.
    pub ran: Option<Ran>,
    /// The namespace that it is about, by name.
    pub netns: Option<String>,
    /// Where in the script.
    pub place: Option<Place>,
    /// The calls that led there, innermost first.
    pub calls: Vec<Call>,
    /// It came out when the script had gone on: the calls around that place did not lead to it.
    pub late: bool,
    /// What `why` found about a failed expectation, as its JSON document.
    pub why: Option<serde_json::Value>,
}

impl Error {
    /// A new error of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: message.into(),
            label: None,
            hints: Vec::new(),
            notes: Vec::new(),
            ran: None,
            netns: None,
            place: None,
            late: false,
            calls: Vec::new(),
            why: None,
        }))
    }

    /// What the command that failed said on standard error.
    #[must_use]
    pub fn ran_stderr(&self) -> Option<&str> {
        self.0.ran.as_ref().map(|ran| ran.stderr.as_str())
    }

    /// Adds a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// The same error told in other words.
    #[must_use]
    pub fn retold(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Sets what stands beside the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = Some(label.into());
        self
    }

    /// Adds a named fact, rendered as `= name: text`.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.0.notes.push((name.into(), text.into()));
        self
    }

    /// Sets the command that failed.
    #[must_use]
    pub fn ran(mut self, ran: Ran) -> Self {
        self.0.ran = Some(ran);
        self
    }

    /// Sets the namespace that it is about.
    #[must_use]
    pub fn netns(mut self, name: impl Into<String>) -> Self {
        self.0.netns = Some(name.into());
        self
    }

    /// Sets the place of an error that comes out when the script has gone on.
    #[must_use]
    pub fn late_at(mut self, place: Place) -> Self {
        self.0.late = true;
        self.at(place)
    }

    /// Sets the place unless one is known already: the innermost position is the exact one.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        if self.0.place.is_none() {
            self.0.place = Some(place);
        }
        self
    }

    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// All parts.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// All parts, for changing.
    pub fn parts_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
