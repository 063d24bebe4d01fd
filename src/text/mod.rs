//! How things are put into words, whoever asks: diagnostics with their source lines, spans, line breaks, the version of documents.
//!
//! Text in, text out. This room stands on the ground: it knows the error type and nothing else of netwright, and does no I/O.

pub mod diagnostic;
pub mod span;
pub mod wrap;

/// The version of every JSON document that netwright writes (`"schema"`).
pub const SCHEMA: u32 = 1;
