//! How things are put into words, whoever asks: diagnostics with their source lines, spans, line breaks, the version of documents.
//!
//! Text in, text out. This room stands on the ground: it knows the error type and nothing else of netwright, and does no I/O.

pub mod diagnostic;
pub mod span;
pub mod wrap;

/// The version of every JSON document that netwright writes (`"schema"`).
pub const SCHEMA: u32 = 1;

/// A noun as it stands after a number: `line`, `lines`.
#[must_use]
pub fn noun(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// A number and its noun: `1 line`, `3 lines`.
#[must_use]
pub fn plural(count: usize, what: &str) -> String {
    format!("{count} {}", noun(count, what))
}
