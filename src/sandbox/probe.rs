//! Trying a sandbox without entering it: for `doctor` and for tests that must know whether they can run.

use serde_json::{Value, json};

use super::ENV;
use super::enter::{Entered, Marker, Mode, enter_or_supervise, supervise};
use crate::exec::reexec;
use crate::{Error, Kind, Result};

/// Whether a sandbox of this mode works here; the error says why not. It is tried in a child process, threads do not matter.
///
/// # Errors
///
/// What [`enter_or_supervise`] would say.
pub fn probe(mode: Mode) -> Result<()> {
    let word = if mode == Mode::Root { "probe:root" } else { "probe:rootless" };
    let (status, stdout) = reexec::output(ENV, word)
        .map_err(|e| Error::new(Kind::Internal, format!("cannot start netwright to try the sandbox: {e}")))?;
    if status.success() {
        return Ok(());
    }
    Err(decode(&stdout)
        .unwrap_or_else(|| Error::new(Kind::Internal, format!("trying the sandbox failed silently ({status})"))))
}

/// Call it first in `main`, before the arguments are read: when this process was started by [`probe`], it plays its part and the
/// result is the exit code to leave with. `None` in every other process.
#[must_use]
pub fn run_probe_child() -> Option<u8> {
    let marker = std::env::var(ENV).ok()?;
    let result = match marker.as_str() {
        "probe:root" => supervise(Mode::Root, true, None, None),
        "probe:rootless" => supervise(Mode::Rootless, true, None, None),
        text => match Marker::parse(text) {
            Some(Marker::Init { probe: true, .. }) => enter_or_supervise(&[]).map(|entered| match entered {
                Entered::Ended(ended) => ended,
                Entered::Inside(_) => super::Ended { code: 70, signal: None },
            }),
            _ => return None,
        },
    };
    match result {
        Ok(ended) => Some(ended.code),
        Err(error) => {
            use std::io::Write;
            // To the parent's pipe, not to the user.
            let _ = writeln!(std::io::stdout(), "{}", encode(&error));
            Some(error.kind().exit_code())
        }
    }
}

fn encode(error: &Error) -> Value {
    let parts = error.parts();
    json!({ "kind": parts.kind.name(), "message": parts.message, "hints": parts.hints, "notes": parts.notes })
}

fn decode(stdout: &[u8]) -> Option<Error> {
    let value: Value = serde_json::from_slice(stdout).ok()?;
    let mut error = Error::new(Kind::from_name(value["kind"].as_str()?)?, value["message"].as_str()?);
    for hint in value["hints"].as_array()?.iter().filter_map(Value::as_str) {
        error = error.hint(hint);
    }
    for note in value["notes"].as_array()? {
        error = error.note(note[0].as_str()?, note[1].as_str()?);
    }
    Some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_pipe() {
        let error = Error::new(Kind::Unsupported, "no `x`").hint("a").hint("b").note("failed", "y: z");
        let back = decode(encode(&error).to_string().as_bytes()).expect("it is readable");
        assert_eq!(format!("{error:?}"), format!("{back:?}"));
        assert!(decode(b"junk").is_none());
    }
}
