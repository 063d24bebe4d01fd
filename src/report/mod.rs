//! What a person, or a program of theirs, gets to see: events → human, JSON, `JUnit`, TAP, GitHub.
//!
//! Beside `cli` this is the only room that prints. A renderer here returns a string; it decides nothing about what happened.

pub mod coverage;
pub mod doctor;
pub mod files;
pub mod finding;
pub mod github;
pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod live;
pub mod markdown;
pub mod mutation;
pub mod stream;
pub mod tap;

/// Where in a script something was made, for people: `FILE:LINE`, as far as it is known; `file` is the one that was run.
fn place(file: &str, source: Option<&str>, line: usize) -> String {
    let source = source.unwrap_or(file);
    if line > 0 { format!("{source}:{line}") } else { source.to_owned() }
}
