//! What a person, or a program of theirs, gets to see: events → human, JSON, `JUnit`, TAP, GitHub.
//!
//! Beside `cli` this is the only room that prints. A renderer here returns a string; it decides nothing about what happened.

pub(crate) mod coverage;
pub(crate) mod doctor;
pub(crate) mod files;
pub mod finding;
pub(crate) mod github;
pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod live;
pub(crate) mod markdown;
pub(crate) mod mutation;
pub(crate) mod stream;
pub(crate) mod tap;

/// Where in a script something was made, for people: `FILE:LINE`, as far as it is known; `file` is the one that was run.
fn place(file: &str, source: Option<&str>, line: usize) -> String {
    let source = source.unwrap_or(file);
    if line > 0 { format!("{source}:{line}") } else { source.to_owned() }
}
